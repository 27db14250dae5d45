//! Maps of activation patching.

use super::{Analysis, Choice, Ground, Judge, OnPartial, PartialAnswer, rule};
use crate::base::analysis::Patching as Asked;
use crate::base::array::Array;
use crate::base::convert::narrow;
use crate::base::error::Result;
use crate::base::pair::Pair;
use crate::measurement::Answer;
use crate::measurement::causal::effect::Estimate;
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
        let mut maps: Vec<Map> = plans.iter().map(|(n, p)| Map::new(n, p.family, &stage)).collect();
        let (mut before, mut on) = (0, true);
        for (i, (_, plan)) in plans.iter().enumerate() {
            let (done, rest) = maps.split_at_mut(i);
            let (map, later) = rest.split_at_mut(1);
            let map = std::cell::RefCell::new(&mut map[0]);
            let take = |patched: crate::measurement::causal::patching::Patched| {
                map.borrow_mut()
                    .put(patched.cell.index(&plan.family.shape(&stage)), judge.of(&patched.seen));
            };
            let mut progress = |here: usize, _: usize| {
                let so_far = || {
                    let map = map.borrow();
                    answer(&judge, &pairs, done.iter().chain([&**map]).chain(later.iter()))
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
        let mut all = answer(&judge, &pairs, maps.iter())?;
        if !on {
            all.notes
                .push("Stopped before the end: cells that are left out were not done.".to_owned());
        }
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

/// A map in the making.
struct Map {
    name: &'static str,
    axes: &'static [&'static str],
    shape: Vec<usize>,
    effect: Vec<f32>,
    low: Vec<f32>,
    high: Vec<f32>,
}

impl Map {
    fn new(name: &'static str, family: Family, stage: &Stage<'_>) -> Self {
        let shape = family.shape(stage);
        let empty = vec![f32::NAN; shape.iter().product()];
        let (effect, low, high) = (empty.clone(), empty.clone(), empty);
        Self { name, axes: family.axes(), shape, effect, low, high }
    }

    fn put(&mut self, index: usize, found: Estimate) {
        self.effect[index] = narrow(found.mean);
        self.low[index] = narrow(found.interval[0]);
        self.high[index] = narrow(found.interval[1]);
    }

    fn arrays(&self) -> Result<[Array; 3]> {
        let array = |what: &str, data: &Vec<f32>| {
            Array::new(format!("{what}.{}", self.name), self.axes, &self.shape, data.clone())
        };
        Ok([array("effect", &self.effect)?, array("low", &self.low)?, array("high", &self.high)?])
    }
}

fn answer<'a>(
    judge: &Judge<'_>,
    pairs: &Pairs,
    maps: impl Iterator<Item = &'a Map>,
) -> Result<Answer> {
    let mut answer = judge.about();
    let shown = judge.kept.first().copied().unwrap_or(0);
    if let Some(pair) = pairs.all().get(shown) {
        answer.arrays = of_pair(pair)?;
        let last = pairs.all().iter().map(|pair| pair.at).max().unwrap_or(0);
        answer.arrays.push(Array::new("last".to_owned(), &["one"], &[1], vec![last as f32])?);
    }
    let (mut done, mut without) = (0, 0);
    for map in maps {
        answer.arrays.extend(map.arrays()?);
        let cells = map.effect.iter().zip(&map.low).filter(|(effect, _)| effect.is_finite());
        cells
            .for_each(|(_, low)| (done, without) = (done + 1, without + usize::from(low.is_nan())));
    }
    if without > 0 {
        answer.notes.push(match judge.kept.len() {
            1 => "One pair alone has no interval.".to_owned(),
            _ => format!(
                "{without} of {done} cells have no interval: all pairs have the very same effect there."
            ),
        });
    }
    Ok(answer)
}

/// The two sequences of a pair, where it is predicted, and what.
fn of_pair(pair: &Pair) -> Result<Vec<Array>> {
    let ids = |ids: &[u32]| ids.iter().map(|&id| id as f32).collect::<Vec<f32>>();
    let array = |name: &str, axis: &str, data: Vec<f32>| {
        Array::new(name.to_owned(), &[axis], &[data.len()], data)
    };
    Ok(vec![
        array("base_tokens", "position", ids(&pair.base.tokens))?,
        array("other_tokens", "position", ids(&pair.other.tokens))?,
        array("at", "one", vec![pair.at as f32])?,
        array("answers", "sequence", ids(&pair.answers))?,
    ])
}
