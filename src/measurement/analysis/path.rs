//! Path patching as an analysis.

use std::cell::RefCell;

use super::map::{Map, answer, note_stop};
use super::{Analysis, Choice, Ground, Judge, OnPartial, PartialAnswer, check_whole, rule};
use crate::base::analysis::{Compared, Counted, Measured, Paths};
use crate::base::error::{Error, Result};
use crate::base::intervention::Site;
use crate::measurement::Answer;
use crate::measurement::causal::effect::Estimate;
use crate::measurement::causal::path::{Each, Path, Sender};
use crate::measurement::causal::{Seen, Spot, Stage};
use crate::nn::kernel::pool::Pool;

crate::settings! {
    /// Path patching by four passes: what senders do through the direct paths to receivers. Wang et al. 2022.
    ///
    /// Numbers: `effect`, `effect_low`, `effect_high` (95 % interval over pairs). Of senders that are tried one after the other, arrays
    /// in their place: `effect.NAME`, `low.NAME` and `high.NAME` for `embed` `[1]`, `z` `[layer, head]` and `mlp_out` `[layer]`, of the
    /// layers that lie before a receiver alone, NaN where a sender is not tried yet or the network has none. Of the first pair that
    /// counts the arrays of `patching`.
    pub struct PathPatching = "What parts of the network do through the direct paths to others: only these paths are taken from the counterfactual run." {
        /// Which sequences.
        compared: Compared = Compared::default();
        /// A sequence of your own as the base (empty: the sequence in view).
        base: String = String::new();
        /// From where to where.
        paths: Paths = Paths::default();
        /// How.
        measured: Measured = Measured::default();
        /// Which pairs.
        counted: Counted = Counted::default();
    }
}

impl PathPatching {
    /// From the senders together, or from each of them: then they are found out later.
    fn path(&self) -> Result<Path> {
        let Paths { from, to, from_at, to_at, freeze_mlps } = &self.paths;
        Ok(Path {
            senders: if self.is_each() { Vec::new() } else { listed(from)? },
            receivers: listed(to)?,
            from: Spot::parse(from_at),
            to: Spot::parse(to_at),
            freeze_mlps: *freeze_mlps,
        })
    }

    fn is_each(&self) -> bool {
        self.paths.from.trim() == Paths::EACH
    }
}

impl Analysis for PathPatching {
    /// A pair that was written by hand has the sequence in view as its base, or is labelled by its rules.
    fn reads_prompt(&self) -> bool {
        !self.compared.other.is_empty()
    }

    fn run(&self, ground: &Ground<'_>, tell: OnPartial<'_>) -> Result<Answer> {
        check_whole(ground)?;
        let path = self.path()?;
        let choice = Choice { asked: &self.compared, base: &self.base };
        let pairs = choice.pairs(ground)?;
        let stage = Stage::new(ground.subject, &pairs)?;
        let judge = Judge::new(&stage, self.measured.metric, rule(&self.counted));
        if self.is_each() {
            return each(&path, &judge, ground.pool, tell);
        }
        tell(PartialAnswer { done: 0, total: 1, so_far: &|| answer(&judge, [].iter()) });
        let found = path.patched(&stage)?;
        let mut answer = answer(&judge, [].iter())?;
        answer.take("effect", judge.of(&found.seen));
        answer.notes.extend(found.notes);
        Ok(answer)
    }
}

/// What each sender does, one after the other.
fn each(path: &Path, judge: &Judge<'_>, pool: &Pool, tell: OnPartial<'_>) -> Result<Answer> {
    let each = Each::new(path, judge.stage)?;
    let maps = RefCell::new(Maps::of(each.senders()));
    let take = |(sender, seen): (Sender, Vec<Seen>)| maps.borrow_mut().put(sender, judge.of(&seen));
    let mut is_whole = true;
    let mut progress = |done: usize, total: usize| {
        let so_far = || answer(judge, maps.borrow().0.iter());
        is_whole = tell(PartialAnswer { done, total, so_far: &so_far });
        is_whole
    };
    each.run(pool, take, &mut progress)?;
    let mut all = answer(judge, maps.borrow().0.iter())?;
    note_stop(&mut all, is_whole);
    Ok(all)
}

/// Effects of senders: of the embedding, of heads and of MLPs, where there are any.
struct Maps(Vec<Map>);

impl Maps {
    fn of(senders: &[Sender]) -> Self {
        let [mut embeddings, mut heads, mut mlps] = [[0; 2]; 3];
        for sender in senders {
            let size = match sender {
                Sender::Embedding => &mut embeddings,
                Sender::Heads { .. } => &mut heads,
                Sender::Mlp { .. } => &mut mlps,
            };
            let Site { layer, .. } = sender.site();
            *size = [layer + 1, size[1].max(sender.head().unwrap_or(0) + 1)];
        }
        let maps = [
            Map::new("embed", &["one"], vec![embeddings[0]]),
            Map::new("z", &["layer", "head"], heads.to_vec()),
            Map::new("mlp_out", &["layer"], vec![mlps[0]]),
        ];
        Self(maps.into_iter().filter(|map| !map.is_empty()).collect())
    }

    fn put(&mut self, sender: Sender, found: Estimate) {
        let Site { layer, point } = sender.site();
        if let Some(map) = self.0.iter_mut().find(|map| map.name() == point.name()) {
            map.put_at(&[layer, sender.head().unwrap_or(0)], found);
        }
    }
}

/// Things with commas between.
fn listed<T: std::str::FromStr<Err = Error>>(text: &str) -> Result<Vec<T>> {
    text.split(',').map(str::trim).filter(|part| !part.is_empty()).map(str::parse).collect()
}
