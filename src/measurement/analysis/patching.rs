//! Maps of activation patching.

use super::map::{Map, answer, note_stop};
use super::{Analysis, Choice, Ground, Judge, OnPartial, PartialAnswer, rule};
use crate::base::analysis::Patching as Asked;
use crate::base::error::Result;
use crate::base::pair::Pair;
use crate::measurement::Answer;
use crate::measurement::causal::patching::{Family, Plan};
use crate::measurement::causal::{Pairs, Stage};

crate::settings! {
    /// Activation patching: the base run gets one part of the counterfactual run, part by part.
    ///
    /// Arrays, for each family of the map: `effect.NAME`, `low.NAME` and `high.NAME` (95 % interval over pairs), NaN where a
    /// cell is not done yet or the network has none. Of a single pair there is no interval. Of the first pair that counts:
    /// `base_tokens` and `other_tokens` `[position]`, `at` `[1]`, the position of the prediction, and `answers` `[2]`, its
    /// right tokens. `last` `[1]` is the last position where any pair is predicted.
    pub struct Patching = "What each part of the network does: it is taken from the counterfactual run, everything else from the base run." {
        /// The question.
        asked: Asked = Asked::default();
        /// A sequence of your own as the base (empty: the sequence in view).
        base: String = String::new();
    }
}

impl Analysis for Patching {
    /// A pair that was written by hand has the sequence in view as its base, or is labelled by its rules.
    fn reads_prompt(&self) -> bool {
        !self.asked.compared.other.is_empty()
    }

    fn run(&self, ground: &Ground<'_>, tell: OnPartial<'_>) -> Result<Answer> {
        let choice = Choice { asked: &self.asked.compared, base: &self.base };
        let families = Family::named(self.asked.map.name())?;
        let mut pairs = choice.pairs(ground)?;
        if self.asked.one_pair
            && let Some(pair) = self.first_counted(ground, &pairs)?
        {
            pairs = Pairs::new(vec![pair])?;
        }
        let stage = Stage::new(ground.subject, &pairs)?;
        let judge = self.judge(&stage);
        let mut plans = Vec::new();
        let mut without = Vec::new();
        for (name, family) in families {
            match Plan::new(&stage, family) {
                Ok(plan) => plans.push((name, plan)),
                Err(e) => without.push(e),
            }
        }
        if plans.is_empty()
            && let Some(e) = without.pop()
        {
            return Err(e);
        }
        let total: usize = plans.iter().map(|(_, plan)| plan.cells().len()).sum();
        let map = |(name, plan): &(&'static str, Plan<'_>)| {
            Map::new(name, plan.family.axes(), plan.shape())
        };
        let mut maps: Vec<Map> = plans.iter().map(map).collect();
        let (mut before, mut on) = (0, true);
        for (i, (_, plan)) in plans.iter().enumerate() {
            let (done, rest) = maps.split_at_mut(i);
            let (map, later) = rest.split_at_mut(1);
            let map = std::cell::RefCell::new(&mut map[0]);
            let take = |patched: crate::measurement::causal::patching::Patched| {
                map.borrow_mut().put(patched.cell.index(&plan.shape()), judge.of(&patched.seen));
            };
            let mut progress = |here: usize, _: usize| {
                let so_far = || {
                    let map = map.borrow();
                    answer(&judge, done.iter().chain([&**map]).chain(later.iter()))
                };
                on = tell(PartialAnswer { done: before + here, total, so_far: &so_far });
                on
            };
            plan.run(ground.pool, take, &mut progress)?;
            before += plan.cells().len();
            if !on {
                break;
            }
        }
        let mut all = answer(&judge, maps.iter())?;
        note_stop(&mut all, on);
        Ok(all)
    }
}

impl Patching {
    fn judge<'a>(&self, stage: &'a Stage<'a>) -> Judge<'a> {
        Judge::new(stage, self.asked.measured.metric, rule(&self.asked.counted))
    }

    /// `None` where no pair counts.
    fn first_counted(&self, ground: &Ground<'_>, pairs: &Pairs) -> Result<Option<Pair>> {
        let stage = Stage::new(ground.subject, pairs)?;
        let judge = self.judge(&stage);
        Ok(judge.kept.first().and_then(|&i| pairs.all().get(i)).cloned())
    }
}
