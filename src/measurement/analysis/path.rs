//! Path patching as an analysis.
#![expect(clippy::doc_markdown, reason = "help is printed as it stands, and backticks with it")]

use super::{Analysis, Choice, Ground, Judge, OnPartial, PartialAnswer, rule};
use crate::base::analysis::{Compared, Counted, Measured};
use crate::base::error::{Error, Result};
use crate::measurement::Answer;
use crate::measurement::causal::path::Path;
use crate::measurement::causal::{Spot, Stage};

crate::settings! {
    /// Path patching by four passes: what senders do through the direct paths to receivers. Wang et al. 2022.
    ///
    /// Numbers: `effect`, `effect_low`, `effect_high` (95 % interval over pairs).
    pub struct PathPatching = "What parts of the network do through the direct paths to others: only these paths are taken from the counterfactual run." {
        /// Which sequences.
        compared: Compared = Compared::default();
        /// A sequence of your own as the base (empty: the sequence in view).
        base: String = String::new();
        /// Senders: embed, layer0 (all its heads), layer0.head1, layer0.mlp; several with commas.
        from: String = "layer0".to_owned();
        /// Receivers: layer1.q, layer1.k.head0, layer1.v, layer1.resid_post; several with commas.
        to: String = "layer1.k".to_owned();
        /// Positions of the senders: all, prediction, different, a place that the pairs name, or numbers.
        from_at: String = "all".to_owned();
        /// Positions of the receivers, likewise.
        to_at: String = "all".to_owned();
        /// Keep MLPs between senders and receivers as they are in the base run.
        freeze_mlps: bool = false;
        /// How.
        measured: Measured = Measured::default();
        /// Which pairs.
        counted: Counted = Counted::default();
    }
}

impl PathPatching {
    fn path(&self) -> Result<Path> {
        Ok(Path {
            senders: listed(&self.from)?,
            receivers: listed(&self.to)?,
            from: Spot::parse(&self.from_at),
            to: Spot::parse(&self.to_at),
            freeze_mlps: self.freeze_mlps,
        })
    }
}

impl Analysis for PathPatching {
    /// A pair that was written by hand has the sequence in view as its base, or is labelled by its rules.
    fn reads_prompt(&self) -> bool {
        !self.compared.other.is_empty()
    }

    fn run(&self, ground: &Ground<'_>, tell: OnPartial<'_>) -> Result<Answer> {
        let path = self.path()?;
        let choice = Choice { asked: &self.compared, base: &self.base };
        let pairs = choice.pairs(ground)?;
        let stage = Stage::new(ground.subject, &pairs)?;
        let judge = Judge::new(&stage, self.measured.metric, rule(&self.counted));
        tell(PartialAnswer { done: 0, total: 1, so_far: &|| Ok(judge.about()) });
        let found = path.patched(&stage)?;
        let mut answer = judge.about();
        answer.take("effect", judge.of(&found.seen));
        answer.notes.extend(found.notes);
        Ok(answer)
    }
}

/// Things with commas between.
fn listed<T: std::str::FromStr<Err = Error>>(text: &str) -> Result<Vec<T>> {
    text.split(',').map(str::trim).filter(|part| !part.is_empty()).map(str::parse).collect()
}
