//! Registers as an analysis: positions that keep a part of a path for the root to read.

use super::{Analysis, Ground, OnPartial, PartialAnswer, counted_positions, one};
use crate::base::array::Array;
use crate::base::convert::narrow;
use crate::base::error::{Error, Result};
use crate::measurement::Answer;
use crate::measurement::causal::knock_out::Registers;
use crate::task::tree_path::Trees;

crate::settings! {
    /// Which positions the first step in a tree needs to read directly in the last layers. Brinkmann et al. 2024.
    ///
    /// Arrays over the positions that were tried, in order: `position`, `kl` (nats), `important` (1 or 0). Number:
    /// `important_count`.
    pub struct FindingRegisters = "Which of some positions the first step in the tree in view needs to read directly in the last layers." {
        /// Positions to try, with commas between (empty: the registers of the published network, as far from the goal, and the goal).
        positions: String = String::new();
        /// How many layers are cut, from the last.
        layers: usize = 2, in 1..=64;
        /// From which KL of the first step a position is important, in nats; one whose loss changes the step always is.
        least_kl: f64 = 0.7, in 0.0..=100.0;
        /// Look at a first step that the network gets wrong, too.
        all_pairs: bool = false;
    }
}

impl Analysis for FindingRegisters {
    fn run(&self, ground: &Ground<'_>, tell: OnPartial<'_>) -> Result<Answer> {
        let trees = ground.subject.source.facet::<Trees>();
        let tree = trees.and_then(|trees| trees.tree(&ground.prompt.tokens)).ok_or_else(|| {
            Error::usage("the sequence in view is no tree; registers are looked for in one")
        })?;
        let script = tree.script();
        let candidates = if self.positions.trim().is_empty() {
            script.registers().into_iter().chain([script.goal()]).collect()
        } else {
            let number = |part: &str| {
                part.trim().parse().map_err(|_| {
                    Error::usage(format!("positions: read \"{part}\", expected numbers from 0"))
                })
            };
            self.positions.split(',').map(number).collect::<Result<Vec<usize>>>()?
        };
        let rule = Registers {
            at: script.root(),
            candidates,
            layers: self.layers,
            least_kl: self.least_kl,
        };
        let (_, mut answer) = counted_positions(ground, vec![script.root()], self.all_pairs)?;
        tell(PartialAnswer { done: 0, total: 1, so_far: &|| Ok(Answer::default()) });
        let found = rule.run(ground.subject, ground.prompt)?;
        let array = |name: &str, of: &dyn Fn(usize) -> f32| {
            let data: Vec<f32> = (0..found.len()).map(of).collect();
            Array::new(name, &["register"], &[found.len()], data)
        };
        answer.arrays = vec![
            array("position", &|i| found[i].position as f32)?,
            array("kl", &|i| narrow(found[i].kl))?,
            array("important", &|i| f32::from(u8::from(found[i].important)))?,
        ];
        let count = found.iter().filter(|register| register.important).count();
        answer.means.push(one("important_count", count as f64));
        let named = |what: &str, keep: bool| {
            let list: Vec<String> = found
                .iter()
                .filter(|register| register.important == keep)
                .map(|register| format!("{} (KL {:.2})", register.position, register.kl))
                .collect();
            (!list.is_empty()).then(|| format!("{what}: {}.", list.join(", ")))
        };
        answer.notes.extend(named("Important", true));
        answer.notes.extend(named("Not needed", false));
        Ok(answer)
    }
}
