//! Accuracy of whole sequences, and of the positions that tell a solution from a shortcut.

use super::read::{Tally, each_hit};
use super::{Answer, Measurement, Scene, Scope, Subject};
use crate::base::error::{Error, Result};
use crate::base::intervention::Site;
use crate::task::Source;

crate::settings! {
    /// For tasks that say what must be right for a sequence to count as solved.
    ///
    /// Numbers: `accuracy_sequence`, the share of held-out sequences in which every position of the role
    /// `Source::solved_by` is right; a sequence without such a position does not count. `accuracy_<role>`, the top-1
    /// accuracy over positions of each of the roles `Source::scored_roles`.
    pub struct Solved = "Share of held-out sequences in which every answer is right, and accuracy where shortcuts are wrong." {
    }
}

impl Measurement for Solved {
    fn scope(&self) -> Scope {
        Scope::HeldOut
    }

    fn applies(&self, subject: Subject<'_>) -> Result<()> {
        if scores(subject.source).is_empty() {
            return Err(Error::usage(
                "this task does not say which answers must be right for a sequence to be solved",
            ));
        }
        Ok(())
    }

    fn sites(&self, _subject: Subject<'_>) -> Vec<Site> {
        Vec::new()
    }

    fn columns(&self, subject: Subject<'_>) -> Vec<String> {
        scores(subject.source).into_iter().map(|score| score.column).collect()
    }

    fn measure(&self, scene: &Scene<'_>) -> Result<Answer> {
        let mut scores = scores(scene.subject.source);
        let (roles, len) = (&scene.batch.roles, scene.batch.len);
        each_hit(scene, |i, right| {
            for score in scores.iter_mut().filter(|score| roles[i] & score.role != 0) {
                score.see(i / len, right);
            }
        })?;
        let means = scores.into_iter().map(|score| score.tally().named(score.column)).collect();
        Ok(Answer { means, ..Answer::default() })
    }
}

/// A column that is being counted.
struct Score {
    column: String,
    /// Bit of the role whose positions count.
    role: u8,
    /// Whether sequences are counted, not positions.
    whole: bool,
    /// Row of the batch and whether all of what was counted together is right.
    seen: Vec<(usize, bool)>,
}

impl Score {
    fn new(source: &dyn Source, column: String, role: &str, whole: bool) -> Option<Self> {
        let bit = source.roles().iter().position(|name| *name == role)?;
        Some(Self { column, role: 1 << bit, whole, seen: Vec::new() })
    }

    /// Takes the next position, in order of rows.
    fn see(&mut self, row: usize, right: bool) {
        match self.seen.last_mut() {
            Some((last, all)) if self.whole && *last == row => *all &= right,
            _ => self.seen.push((row, right)),
        }
    }

    fn tally(&self) -> Tally {
        Tally::of_hits(self.seen.iter().map(|(_, right)| *right))
    }
}

fn scores(source: &dyn Source) -> Vec<Score> {
    let whole = source.solved_by().into_iter();
    let whole = whole.filter_map(|role| Score::new(source, "accuracy_sequence".into(), role, true));
    let each = source.scored_roles().iter();
    let each = each.filter_map(|role| Score::new(source, format!("accuracy_{role}"), role, false));
    whole.chain(each).collect()
}
