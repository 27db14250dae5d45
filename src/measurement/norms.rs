//! Sizes of the trained tensors.

use super::read::{Tally, values};
use super::{Answer, Measurement, Scene, Scope, Subject};
use crate::base::error::Result;
use crate::base::intervention::Site;
use crate::nn::params::Param;

crate::settings! {
    /// Numbers: `norm_<tensor>` (`norm_layer0.wk`), the square root of the sum of squares of all its values.
    pub struct Norms = "Frobenius norm of every trained tensor." {
    }
}

impl Measurement for Norms {
    fn scope(&self) -> Scope {
        Scope::Weights
    }

    fn suits_reals(&self) -> bool {
        true
    }

    fn applies(&self, _subject: Subject<'_>) -> Result<()> {
        Ok(())
    }

    fn sites(&self, _subject: Subject<'_>) -> Vec<Site> {
        Vec::new()
    }

    fn columns(&self, subject: Subject<'_>) -> Vec<String> {
        trained(subject).map(|p| column(subject, p)).collect()
    }

    fn measure(&self, scene: &Scene<'_>) -> Result<Answer> {
        let subject = scene.subject;
        let means = trained(subject)
            .map(|p| {
                let squares = values(&subject.params.get(p)?, |all| {
                    all.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>()
                })?;
                Ok(Tally { sum: squares.sqrt(), count: 1.0 }.named(column(subject, p)))
            })
            .collect::<Result<_>>()?;
        Ok(Answer { means, ..Answer::default() })
    }
}

fn trained(subject: Subject<'_>) -> impl Iterator<Item = Param> {
    subject.params.all().filter(move |&p| subject.params.is_trained(p))
}

fn column(subject: Subject<'_>, param: Param) -> String {
    format!("norm_{}", subject.params.name(param))
}
