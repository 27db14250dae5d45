//! Attention knock-out as an analysis.

use super::{Analysis, Ground, OnPartial, PartialAnswer, check_whole, counted_positions, one};
use crate::base::array::Array;
use crate::base::batch::{NO_TARGET, Row};
use crate::base::error::{Error, Result};
use crate::measurement::Answer;
use crate::measurement::causal::knock_out::{KnockOut, Needed};

crate::settings! {
    /// Which edges of the attention the predictions on the sequence in view need. Brinkmann et al. 2024.
    ///
    /// Arrays: `needed.layerL`, `[head, query, key]`, 1 where the edge is needed. Numbers: `edges_needed`, `edges_tried`,
    /// `kl` (the largest KL of a prediction with all other edges cut, in nats), `predictions` asked about and
    /// `predictions_counted`.
    pub struct KnockingOut = "Which edges of the attention are needed for the predictions on the sequence in view: the others are cut one by one." {
        /// Positions whose predictions must stay, with commas between (empty: all that have a target).
        positions: String = String::new();
        /// Largest KL of these predictions in nats; 0: the likeliest token alone must stay.
        most_kl: f64 = 0.0, in 0.0..=100.0;
        /// Count predictions that the network gets wrong, too.
        all_pairs: bool = false;
    }
}

impl Analysis for KnockingOut {
    fn run(&self, ground: &Ground<'_>, tell: OnPartial<'_>) -> Result<Answer> {
        check_whole(ground)?;
        let chosen = self.chosen(ground.prompt)?;
        let (positions, about) = counted_positions(ground, chosen, self.all_pairs)?;
        let rule = KnockOut { positions, most_kl: (self.most_kl > 0.0).then_some(self.most_kl) };
        let mut progress =
            |done, total| tell(PartialAnswer { done, total, so_far: &|| Ok(Answer::default()) });
        let needed = rule.run(ground.subject, ground.prompt, &mut progress)?;
        answer(about, &needed, &ground.subject.model.layout().heads, ground.prompt.len())
    }
}

impl KnockingOut {
    fn chosen(&self, row: &Row) -> Result<Vec<usize>> {
        if self.positions.trim().is_empty() {
            return Ok((0..row.len()).filter(|&i| row.targets[i] != NO_TARGET).collect());
        }
        let number = |part: &str| {
            part.trim().parse().map_err(|_| {
                Error::usage(format!("positions: read \"{part}\", expected numbers from 0"))
            })
        };
        self.positions.split(',').map(number).collect()
    }
}

/// What was found, beside what is said of the predictions that count.
fn answer(mut answer: Answer, needed: &Needed, heads: &[usize], length: usize) -> Result<Answer> {
    for (layer, &heads) in heads.iter().enumerate() {
        let mut mask = vec![0.0; heads * length * length];
        for edge in needed.edges.iter().filter(|edge| edge.layer == layer) {
            mask[(edge.head * length + edge.query) * length + edge.key] = 1.0;
        }
        let (axes, shape) = (["head", "query", "key"], [heads, length, length]);
        answer.arrays.push(Array::new(format!("needed.layer{layer}"), &axes, &shape, mask)?);
    }
    answer.means.extend([
        one("edges_needed", needed.edges.len() as f64),
        one("edges_tried", needed.tried as f64),
        one("kl", needed.kl),
    ]);
    if !needed.whole {
        answer.notes.push("Stopped before the end: lower layers were not tried.".to_owned());
    }
    Ok(answer)
}
