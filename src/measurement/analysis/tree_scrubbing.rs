//! Causal scrubbing of backward chaining as an analysis.

use super::{Analysis, Ground, OnPartial, PartialAnswer, counts, one};
use crate::base::analysis::TreeScrubbing as Asked;
use crate::base::array::Array;
use crate::base::convert::narrow;
use crate::base::error::{Error, Result};
use crate::base::tree::Script;
use crate::measurement::Answer;
use crate::measurement::causal::effect::{Estimate, Excluded, Rule, Verdict, estimate, sifted};
use crate::measurement::causal::tree_scrubbing::{Hypothesis, recovered};
use crate::measurement::causal::{Pairs, Side};
use crate::task::tree_path::Trees;

crate::settings! {
    /// How much of the prediction at the root survives when the attention of one layer there comes from another tree that has the same
    /// node a(l) above its goal, l being the layer. Brinkmann et al. 2024.
    ///
    /// Arrays, for each hypothesis: `recovered.H1` `[layer, length]`, percent of the loss recovered, the mean over trees, for paths of
    /// 1, 2, … edges (the first column is 1 edge), with `low.H1` and `high.H1` (95 % interval over trees); NaN where it is not known yet, or where
    /// no such trees exist or none counts; `counted` `[layer, length]`, how many do: those whose first step the network gets right, in
    /// both trees. Numbers: `trees`, of each length; `pairs` of all cells, `pairs_counted`, and why the others do not.
    pub struct TreeScrubbing = "How much of the first step's prediction survives when the attention of one layer comes from another tree with the same node so many edges above its goal." {
        /// The question.
        asked: Asked = Asked::default();
        /// Positions of the registers, with commas between (empty: those of the published network, as far from the goal).
        registers: String = String::new();
        /// The other tree has the same node above its goal; off: any other tree, the control of what that node is worth.
        same_node: bool = true;
    }
}

impl Analysis for TreeScrubbing {
    fn run(&self, ground: &Ground<'_>, tell: OnPartial<'_>) -> Result<Answer> {
        let script = trees(ground)?.script();
        let registers = self.positions(script)?;
        let hypotheses = self.hypotheses()?;
        let heads = &ground.subject.model.layout().heads;
        let shape = [heads.len(), script.nodes - 1];
        let mut tables: Vec<Table> = hypotheses
            .iter()
            .map(|hypothesis| Table::new(*hypothesis, script, &registers, shape))
            .collect();
        let all: Vec<(usize, usize)> = (0..heads.len())
            .filter(|layer| heads[*layer] > 0)
            .flat_map(|layer| (1..script.nodes).map(move |length| (layer, length)))
            .collect();
        let kept: Vec<Vec<usize>> = tables.iter().map(|table| table.kept.clone()).collect();
        let mut counted =
            Counted { shape, of: vec![f32::NAN; shape[0] * shape[1]], ..<_>::default() };
        let (mut done, mut on) = (0, true);
        // A few at a time, so that a stop is heard.
        for cells in all.chunks(2 * ground.pool.threads()) {
            let found = |i: usize| self.cell(ground, cells[i], &kept);
            ground.pool.fold_in_order(cells.len(), found, |cell: Option<Cell>| {
                let (layer, length) = all[done];
                let at = layer * shape[1] + length - 1;
                done += 1;
                let Some(Cell { estimates, pairs, excluded }) = cell else { return Ok(()) };
                counted.put(at, pairs, excluded);
                for (table, estimate) in tables.iter_mut().zip(estimates) {
                    table.put(at, estimate);
                }
                Ok(())
            })?;
            on = tell(PartialAnswer {
                done,
                total: all.len(),
                so_far: &|| self.answer(&tables, &counted),
            });
            if !on {
                break;
            }
        }
        let mut answer = self.answer(&tables, &counted)?;
        if !on {
            let note = "Stopped before the end: cells that are left out were not done.";
            answer.notes.push(note.to_owned());
        }
        Ok(answer)
    }
}

/// The trees of the task.
fn trees<'a>(ground: &Ground<'a>) -> Result<&'a Trees> {
    ground.subject.source.facet().ok_or_else(|| {
        Error::usage(
            "The sequences of this task are no trees that could be scrubbed; those of the experiment \"tree\" are.",
        )
    })
}

impl TreeScrubbing {
    fn hypotheses(&self) -> Result<Vec<Hypothesis>> {
        let all = || Hypothesis::ALL.iter().copied();
        if self.asked.hypothesis.trim() == "all" {
            return Ok(all().filter(|h| *h != Hypothesis::Everything).collect());
        }
        let named = |part: &str| {
            let found = all().find(|h| h.name().eq_ignore_ascii_case(part.trim()));
            found.ok_or_else(|| {
                let names: Vec<&str> = all().map(Hypothesis::name).collect();
                Error::usage(format!(
                    "hypothesis: read \"{part}\", expected {} or all",
                    names.join(", ")
                ))
            })
        };
        self.asked.hypothesis.split(',').map(named).collect()
    }

    fn positions(&self, script: Script) -> Result<Vec<usize>> {
        if self.registers.trim().is_empty() {
            return Ok(script.registers().to_vec());
        }
        let number = |part: &str| {
            let at = part.trim().parse().ok().filter(|at| *at < script.root());
            at.ok_or_else(|| {
                Error::usage(format!(
                    "registers: read \"{part}\", expected positions from 0 to {}",
                    script.root() - 1
                ))
            })
        };
        self.registers.split(',').map(number).collect()
    }

    /// What is recovered of a layer and a length under each hypothesis, given what these keep; `None` where there are no such
    /// trees.
    fn cell(
        &self,
        ground: &Ground<'_>,
        (layer, length): (usize, usize),
        kept: &[Vec<usize>],
    ) -> Result<Option<Cell>> {
        let Some(pairs) = self.pairs(ground, layer, length)? else { return Ok(None) };
        let right = |side| pairs.told_right(ground.subject, side);
        let verdicts = right(Side::Base)?
            .into_iter()
            .zip(right(Side::Other)?)
            .map(|(base_right, other_right)| Verdict { base_right, other_right, comparable: true });
        let (counted, excluded) =
            sifted(if self.asked.all_pairs { Rule::All } else { Rule::BothRight }, verdicts);
        let found = |kept: &Vec<usize>| {
            let shares = recovered(ground.subject, &pairs, layer, kept)?;
            Ok(estimate(&counted.iter().map(|&i| shares[i]).collect::<Vec<f64>>()))
        };
        let estimates = kept.iter().map(found).collect::<Result<_>>()?;
        Ok(Some(Cell { estimates, pairs: pairs.len(), excluded }))
    }

    /// The trees of a cell; `None` where there are none.
    fn pairs(&self, ground: &Ground<'_>, layer: usize, length: usize) -> Result<Option<Pairs>> {
        let steps = self.same_node.then_some(layer);
        let trees = trees(ground)?;
        let pair = |i| trees.scrubbing_pair(length, steps, ground.seed, i as u64);
        let pairs: Vec<_> = (0..self.asked.trees).filter_map(pair).collect();
        if pairs.is_empty() {
            return Ok(None);
        }
        Pairs::new(pairs).map(Some)
    }

    fn answer(&self, tables: &[Table], counted: &Counted) -> Result<Answer> {
        let mut answer = counts(counted.pairs, counted.excluded);
        answer.means.insert(0, one("trees", self.asked.trees as f64));
        for table in tables {
            answer.arrays.extend(table.arrays()?);
        }
        let axes = ["layer", "length"];
        answer.arrays.push(Array::new("counted", &axes, &counted.shape, counted.of.clone())?);
        Ok(answer)
    }
}

/// What was found for a layer and a length.
struct Cell {
    /// By hypothesis.
    estimates: Vec<Estimate>,
    pairs: usize,
    excluded: Excluded,
}

/// How many trees count: of each cell, and of all together.
#[derive(Default)]
struct Counted {
    shape: [usize; 2],
    of: Vec<f32>,
    pairs: usize,
    excluded: Excluded,
}

impl Counted {
    fn put(&mut self, cell: usize, pairs: usize, excluded: Excluded) {
        self.of[cell] = (pairs - excluded.total()) as f32;
        self.pairs += pairs;
        self.excluded = self.excluded.and(excluded);
    }
}

/// What is recovered under one hypothesis, in the making.
struct Table {
    hypothesis: Hypothesis,
    kept: Vec<usize>,
    shape: [usize; 2],
    /// Mean, and the lower and the upper end of its interval, of each cell.
    numbers: [Vec<f32>; 3],
}

impl Table {
    fn new(hypothesis: Hypothesis, script: Script, registers: &[usize], shape: [usize; 2]) -> Self {
        let numbers = std::array::from_fn(|_| vec![f32::NAN; shape[0] * shape[1]]);
        Self { hypothesis, kept: hypothesis.kept(script, registers), shape, numbers }
    }

    fn put(&mut self, cell: usize, found: Estimate) {
        let Estimate { mean, interval: [low, high], .. } = found;
        for (numbers, value) in self.numbers.iter_mut().zip([mean, low, high]) {
            numbers[cell] = narrow(value);
        }
    }

    fn arrays(&self) -> Result<[Array; 3]> {
        let array = |what: &str, numbers: &Vec<f32>| {
            let name = format!("{what}.{}", self.hypothesis.name());
            Array::new(name, &["layer", "length"], &self.shape, numbers.clone())
        };
        let [mean, low, high] = &self.numbers;
        Ok([array("recovered", mean)?, array("low", low)?, array("high", high)?])
    }
}
