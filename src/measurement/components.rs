//! Squared errors of predicted numbers by themselves, and of predictors without a network.

use std::iter;

use super::read::{Tally, values};
use super::{Answer, Mean, Measurement, Scene, Scope, Subject};
use crate::base::batch::{Batch, NO_TARGET, Reals};
use crate::base::error::{Error, Result};
use crate::base::intervention::Site;
use crate::task::components::{Components, Reference};

crate::settings! {
    /// For tasks with the facet [`Components`].
    ///
    /// Numbers, over all positions of the held-out batch that have a target: of each predicted number that has a name
    /// `squared_error_<name>`, the mean squared error, and `explained_<name>`, 1 less the sum of squared errors over the sum of squared
    /// targets. Of each reference, a predictor without a network, `squared_error_of_<name>`, which is the same at all steps; of one that is a plateau
    /// also `explained_beyond_<name>`, 1 less the network's error over its error.
    pub struct ComponentErrors = "Squared errors of predicted numbers by themselves, beside those of simple predictors." {
    }
}

impl Measurement for ComponentErrors {
    fn scope(&self) -> Scope {
        Scope::HeldOut
    }

    fn suits_reals(&self) -> bool {
        true
    }

    fn applies(&self, subject: Subject<'_>) -> Result<()> {
        facets(subject).map(|_| ())
    }

    fn sites(&self, _subject: Subject<'_>) -> Vec<Site> {
        Vec::new()
    }

    fn reads(&self, batch: &Batch, position: usize) -> bool {
        batch.targets[position] != NO_TARGET
    }

    fn columns(&self, subject: Subject<'_>) -> Vec<String> {
        let Ok((_, components)) = facets(subject) else { return Vec::new() };
        let of_names = components.names.iter().flat_map(|name| names(name));
        of_names.chain(components.references.iter().flat_map(reference_names)).collect()
    }

    fn measure(&self, scene: &Scene<'_>) -> Result<Answer> {
        let (reals, components) = facets(scene.subject)?;
        let errors = network_errors(scene, reals.outputs)?;
        let targets = squares(scene.batch, reals.outputs);
        let mut means = Vec::new();
        for ((name, error), target) in components.names.iter().zip(&errors).zip(&targets) {
            let [error_name, share_name] = names(name);
            means.extend([error.named(error_name), explained(share_name, *error, target.sum)]);
        }
        for reference in &components.references {
            let error = reference_error(scene.batch, reference, reals.outputs);
            let mut names = reference_names(reference).into_iter();
            means.extend(names.next().map(|name| error.named(name)));
            let own = errors.get(reference.component).copied().unwrap_or_default();
            means.extend(names.next().map(|name| explained(name, own, error.sum)));
        }
        Ok(Answer { means, ..Answer::default() })
    }
}

fn names(name: &str) -> [String; 2] {
    [format!("squared_error_{name}"), format!("explained_{name}")]
}

fn reference_names(reference: &Reference) -> Vec<String> {
    let Reference { name, is_plateau, .. } = reference;
    let beyond = is_plateau.then(|| format!("explained_beyond_{name}"));
    iter::once(format!("squared_error_of_{name}")).chain(beyond).collect()
}

/// 1 less an error over another sum of squares.
fn explained(name: String, error: Tally, of: f64) -> Mean {
    Mean { name, sum: of - error.sum, count: of }
}

/// Of each predicted number the squared errors at the positions that have a target.
fn network_errors(scene: &Scene<'_>, outputs: usize) -> Result<Vec<Tally>> {
    let predicted =
        scene.logits.ok_or_else(|| Error::internal("a measurement of predictions needs them"))?;
    let batch = scene.batch;
    values(predicted, |all| {
        let mut tallies = vec![Tally::default(); outputs];
        for i in asked(batch) {
            for (c, tally) in tallies.iter_mut().enumerate() {
                let (found, wanted) = (all[i * outputs + c], batch.value_targets[i * outputs + c]);
                tally.add((f64::from(found) - f64::from(wanted)).powi(2));
            }
        }
        tallies
    })
}

/// Of each predicted number the squares of the targets.
fn squares(batch: &Batch, outputs: usize) -> Vec<Tally> {
    let mut tallies = vec![Tally::default(); outputs];
    for i in asked(batch) {
        let targets = &batch.value_targets[i * outputs..][..outputs];
        tallies.iter_mut().zip(targets).for_each(|(t, x)| t.add(f64::from(*x).powi(2)));
    }
    tallies
}

/// Squared errors of a reference.
fn reference_error(batch: &Batch, reference: &Reference, outputs: usize) -> Tally {
    let mut tally = Tally::default();
    for row in (0..batch.rows).map(|index| batch.row(index)) {
        let predicted = (reference.predict)(&row);
        for (i, found) in predicted.iter().enumerate().filter(|(i, _)| row.targets[*i] != NO_TARGET)
        {
            let wanted = row.value_targets[i * outputs + reference.component];
            tally.add((f64::from(*found) - f64::from(wanted)).powi(2));
        }
    }
    tally
}

fn asked(batch: &Batch) -> impl Iterator<Item = usize> {
    batch.targets.iter().enumerate().filter(|(_, target)| **target != NO_TARGET).map(|(i, _)| i)
}

fn facets<'a>(subject: Subject<'a>) -> Result<(&'a Reals, &'a Components)> {
    let both = subject.source.facet::<Reals>().zip(subject.source.facet::<Components>());
    both.ok_or_else(|| {
        Error::usage("this task does not predict real numbers that are followed by themselves")
    })
}
