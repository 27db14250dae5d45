//! Trained tensors of a single number.

use super::read::{Tally, values};
use super::{Answer, Measurement, Scene, Scope, Subject};
use crate::base::error::{Error, Result};
use crate::base::intervention::Site;
use crate::nn::params::Param;

crate::settings! {
    /// Numbers: `value_<tensor>` of every trained tensor that is a single number, with its sign.
    pub struct Scalars = "Trained tensors that are a single number, with their signs." {
    }
}

impl Measurement for Scalars {
    fn scope(&self) -> Scope {
        Scope::Weights
    }

    fn suits_reals(&self) -> bool {
        true
    }

    fn applies(&self, subject: Subject<'_>) -> Result<()> {
        if scalars(subject).next().is_some() {
            return Ok(());
        }
        Err(Error::usage("no trained tensor of this network is a single number"))
    }

    fn sites(&self, _subject: Subject<'_>) -> Vec<Site> {
        Vec::new()
    }

    fn columns(&self, subject: Subject<'_>) -> Vec<String> {
        scalars(subject).map(|p| column(subject, p)).collect()
    }

    fn measure(&self, scene: &Scene<'_>) -> Result<Answer> {
        let subject = scene.subject;
        let means = scalars(subject).map(|p| {
            let value = values(&subject.params.get(p)?, |all| f64::from(all[0]))?;
            Ok(Tally { sum: value, count: 1.0 }.named(column(subject, p)))
        });
        Ok(Answer { means: means.collect::<Result<_>>()?, ..Answer::default() })
    }
}

fn scalars(subject: Subject<'_>) -> impl Iterator<Item = Param> {
    let params = subject.params;
    params.all().filter(move |&p| params.is_trained(p) && params.count(p) == 1)
}

fn column(subject: Subject<'_>, param: Param) -> String {
    format!("value_{}", subject.params.name(param))
}
