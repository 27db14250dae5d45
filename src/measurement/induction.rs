//! How far the two attention layers of an induction head do their parts.

use super::read::{Tally, argmax, captured, each_prediction, values};
use super::{Answer, Measurement, Scene, Scope, Subject};
use crate::base::batch::Batch;
use crate::base::error::{Error, Result};
use crate::base::intervention::{Point, Site};
use crate::task::has_occurrences;

const FIRST: Site = Site { layer: 0, point: Point::Pattern };
const SECOND: Site = Site { layer: 1, point: Point::Pattern };

crate::settings! {
    /// For a network of two attention layers with one head each. "Attends to" is the largest weight of the
    /// row. Bietti et al. 2023; names of the original code in brackets.
    ///
    /// Numbers: `previous_token_score` (`score_start_acc`): after the first occurrence of a trigger, the
    /// share of positions where the first layer attends to the position before. `previous_token_score_all`
    /// (`score_acc`): the same after every occurrence. `induction_score` (`score2_acc`): at repeated
    /// triggers, the share where the token before the one that the second layer attends to is the current
    /// one; attention to position 0 is a miss. `previous_token_score_attended` (`score_cond_acc`): where
    /// the second layer attends past position 0, the share where the first layer, at that position, attends
    /// to the one before. `predicted_attended` (`pred_attended_acc`): at repeated triggers, the share where
    /// the prediction is the token that the second layer attends to.
    pub struct Induction = "Whether the first layer attends to the previous token and the second to what followed the current token before." {
    }
}

impl Measurement for Induction {
    fn scope(&self) -> Scope {
        Scope::HeldOut
    }

    fn applies(&self, subject: Subject<'_>) -> Result<()> {
        if subject.model.layout().heads != [1, 1] {
            return Err(Error::usage(
                "induction scores are for two attention layers of one head each; the measurement \"heads\" scores the heads of any network",
            ));
        }
        if !has_occurrences(subject.source) {
            return Err(Error::usage(
                "in this task no answer stands in the context: there is nothing for an induction head to find",
            ));
        }
        Ok(())
    }

    fn sites(&self, _subject: Subject<'_>) -> Vec<Site> {
        vec![FIRST, SECOND]
    }

    fn columns(&self, _subject: Subject<'_>) -> Vec<String> {
        NAMES.iter().map(|n| (*n).to_owned()).collect()
    }

    fn measure(&self, scene: &Scene<'_>) -> Result<Answer> {
        let mut predicted = vec![None; scene.batch.tokens.len()];
        each_prediction(scene, |i, _, logits| predicted[i] = Some(argmax(logits.iter().copied())))?;
        let (first, second) = (captured(scene, FIRST)?, captured(scene, SECOND)?);
        let tallies = values(first, |first| {
            values(second, |second| {
                let layers = [first, second].map(|all| Pattern { all, len: scene.batch.len });
                count(scene.batch, layers, &predicted)
            })
        })??;
        let means = NAMES.iter().zip(tallies).map(|(name, t)| t.named(*name)).collect();
        Ok(Answer { means, ..Answer::default() })
    }
}

const NAMES: [&str; 5] = [
    "previous_token_score",
    "induction_score",
    "previous_token_score_all",
    "previous_token_score_attended",
    "predicted_attended",
];

/// Attention of one head, `[batch, query, key]`.
#[derive(Clone, Copy)]
struct Pattern<'a> {
    all: &'a [f32],
    len: usize,
}

impl Pattern<'_> {
    /// The key that a query attends to most.
    fn attended(&self, row: usize, query: usize) -> usize {
        let from = (row * self.len + query) * self.len;
        argmax(self.all[from..=from + query].iter().copied())
    }
}

fn count(
    batch: &Batch,
    [first, second]: [Pattern<'_>; 2],
    predicted: &[Option<usize>],
) -> [Tally; NAMES.len()] {
    let mut tallies = [Tally::default(); NAMES.len()];
    let [previous, induction, previous_all, previous_attended, followed] = &mut tallies;
    for (at, &occurrence) in batch.occurrence.iter().enumerate() {
        let (row, i) = (at / batch.len, at % batch.len);
        let tokens = &batch.tokens[row * batch.len..(row + 1) * batch.len];
        if occurrence >= 1 && i + 1 < batch.len {
            let hit = first.attended(row, i + 1) == i;
            previous_all.hit(hit);
            if occurrence == 1 {
                previous.hit(hit);
            }
        }
        if occurrence >= 2 {
            let attended = second.attended(row, i);
            induction.hit(attended >= 1 && tokens[attended - 1] == tokens[i]);
            if attended >= 1 {
                previous_attended.hit(first.attended(row, attended) == attended - 1);
            }
            if let Some(predicted) = predicted[at] {
                followed.hit(predicted == tokens[attended] as usize);
            }
        }
    }
    tallies
}
