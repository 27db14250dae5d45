//! How far the two attention layers of an induction head do their parts.

use super::read::{Tally, argmax, captured, each_prediction, has_occurrences, values};
use super::{Answer, Probe, Scene, Scope, Subject};
use crate::record::error::{Error, Result};
use crate::record::intervention::{Point, Site};

const FIRST: Site = Site { layer: 0, point: Point::Pattern };
const SECOND: Site = Site { layer: 1, point: Point::Pattern };

crate::knobs! {
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

impl Probe for Induction {
    fn scope(&self) -> Scope {
        Scope::HeldOut
    }

    fn applies(&self, subject: Subject<'_>) -> Result<()> {
        if subject.model.layout().heads != [1, 1] {
            return Err(Error::usage(
                "induction scores are for two attention layers of one head each; the probe \"heads\" scores the heads of any network",
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
        let first = attended(scene, FIRST)?;
        let second = attended(scene, SECOND)?;
        let mut predicted = vec![None; scene.batch.tokens.len()];
        each_prediction(scene, |i, _, logits| predicted[i] = Some(argmax(logits.iter().copied())))?;
        let mut tallies = [Tally::default(); NAMES.len()];
        for row in 0..scene.batch.rows {
            count_row(scene, row, [&first, &second], &predicted, &mut tallies);
        }
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

/// The key that each query attends to most, by position in the batch (row by row).
fn attended(scene: &Scene<'_>, site: Site) -> Result<Vec<usize>> {
    let pattern = captured(scene, site)?;
    let len = scene.batch.len;
    values(pattern, |all| {
        let row =
            |(query, weights): (usize, &[f32])| argmax(weights[..=query % len].iter().copied());
        all.chunks_exact(len).enumerate().map(row).collect()
    })
}

fn count_row(
    scene: &Scene<'_>,
    row: usize,
    [first, second]: [&[usize]; 2],
    predicted: &[Option<usize>],
    tallies: &mut [Tally; NAMES.len()],
) {
    let batch = scene.batch;
    let start = row * batch.len;
    let tokens = &batch.tokens[start..start + batch.len];
    let [previous, induction, previous_all, previous_attended, followed] = tallies;
    for i in 0..batch.len {
        let occurrence = batch.occurrence[start + i];
        if occurrence == 0 {
            continue;
        }
        if i + 1 < batch.len {
            let hit = first[start + i + 1] == i;
            previous_all.hit(hit);
            if occurrence == 1 {
                previous.hit(hit);
            }
        }
        if occurrence >= 2 {
            let attended = second[start + i];
            induction.hit(attended >= 1 && tokens[attended - 1] == tokens[i]);
            if attended >= 1 {
                previous_attended.hit(first[start + attended] == attended - 1);
            }
            if let Some(predicted) = predicted[start + i] {
                followed.hit(predicted == tokens[attended] as usize);
            }
        }
    }
}
