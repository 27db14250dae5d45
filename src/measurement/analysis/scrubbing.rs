//! Causal scrubbing as an analysis.

use super::{Analysis, Choice, Ground, Judge, OnPartial, PartialAnswer, check_whole, one, rule};
use crate::base::analysis::{Compared, Counted};
use crate::base::error::Result;
use crate::measurement::Answer;
use crate::measurement::causal::Stage;
use crate::measurement::causal::effect::Metric;
use crate::measurement::causal::scrubbing::{Explained, Hypothesis, explained};

crate::settings! {
    /// How much of the behaviour some paths explain: all other paths get the counterfactual sequence.
    /// Goldowsky-Dill et al. 2023.
    ///
    /// Numbers: `explained` (1: all, 0: nothing), `unexplained_effect` and `total_effect`, mean absolute differences of the
    /// logit difference from that of the base run, each with its 95 % interval over pairs.
    pub struct Scrubbing = "How much of the behaviour the paths of a hypothesis explain: all others get the counterfactual sequence." {
        /// Which sequences.
        compared: Compared = Compared::default();
        /// A sequence of your own as the base (empty: the sequence in view).
        base: String = String::new();
        /// Important paths, with semicolons between: embed > layer0.v.head0 > layer1.k.head0 > logits.
        hypothesis: String = "embed > layer1.v.head0 > logits; embed > layer0.v.head0 > layer1.k.head0 > logits".to_owned();
        /// Which pairs.
        counted: Counted = Counted::default();
    }
}

impl Analysis for Scrubbing {
    /// A pair that was written by hand has the sequence in view as its base, or is labelled by its rules.
    fn reads_prompt(&self) -> bool {
        !self.compared.other.is_empty()
    }

    fn run(&self, ground: &Ground<'_>, tell: OnPartial<'_>) -> Result<Answer> {
        check_whole(ground)?;
        let hypothesis: Hypothesis = self.hypothesis.parse()?;
        let choice = Choice { asked: &self.compared, base: &self.base };
        let pairs = choice.pairs(ground)?;
        let stage = Stage::new(ground.subject, &pairs)?;
        // Effects are differences of logits, which every pair has.
        let judge = Judge::new(&stage, Metric::LogitDifference, rule(&self.counted));
        tell(PartialAnswer { done: 0, total: 1, so_far: &|| Ok(judge.about()) });
        let Explained { unexplained, total, share, .. } =
            explained(&stage, &hypothesis, &judge.kept)?;
        let mut answer = judge.about();
        answer.means.push(one("explained", share));
        answer.take("unexplained_effect", unexplained);
        answer.take("total_effect", total);
        Ok(answer)
    }
}
