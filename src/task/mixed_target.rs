//! A mixed target of independent Gaussian numbers: the number two places before the last (a 4-gram) and the number that an induction
//! head would copy (an in-context 2-gram).

use std::any::Any;
use std::sync::Arc;

use crate::base::batch::{Reals, Row};
use crate::base::convert::narrow;
use crate::base::error::Result;
use crate::base::vocab::Vocab;

use super::chance::{normal, stream};
use super::components::{Components, Reference};
use super::{Source, Task, resized, unlabelled};

crate::settings! {
    /// Settings of the mixed target. The setting is that of Wang, Yu, E and Wu (*How Transformers Implement Induction Heads*, 2024,
    /// arXiv 2410.11474): Gaussian inputs and a target of two numbers, a 4-gram and an in-context 2-gram. The formulas are our reconstruction.
    ///
    /// Of numbers `x_1 .. x_L` the target at the last position is `(alpha / (1 + alpha) x_{L-2}, 1 / (1 + alpha) sum_s softmax_s(w² x_L x_{s-1}) x_s)`,
    /// `s` from 2 to `L - 1`.
    pub struct MixedTarget = "Gaussian numbers: at the last, a number of the past at a fixed distance (4-gram) and a mean of those that followed similar numbers (in-context 2-gram) are to be predicted." {
        /// Numbers in a sequence, L.
        length: usize = 40, in 4..=1024;
        /// The 4-gram counts alpha times as much as the in-context 2-gram.
        alpha: f64 = 1.0, in 0.01..=100.0, @log;
        /// How sharply the in-context 2-gram minds similarity: the product of two numbers is multiplied by the square of this.
        w: f64 = 0.49, in 0.01..=10.0, @log;
    }
}

impl Task for MixedTarget {
    fn open(&self) -> Result<Arc<dyn Source>> {
        Ok(Arc::new(Mixed {
            settings: self.clone(),
            vocab: Vocab::new(vec!["x".to_owned()]),
            reals: Reals { inputs: 1, outputs: 2 },
            components: Components {
                names: &["four_gram", "induction"],
                references: vec![uniform(self.shares()[1])],
            },
        }))
    }

    fn boxed(&self) -> Box<dyn Task> {
        Box::new(self.clone())
    }

    fn length_setting(&self) -> Option<&'static str> {
        Some("length")
    }
}

/// Bits of [`Row::roles`].
const NUMBER: u8 = 1;
const ASKED: u8 = 2;

/// In the order of the bits: a number, and the last, at which the target stands.
const ROLES: [&str; 2] = ["number", "asked"];

/// The fewest numbers that have a target.
const FEWEST: usize = 4;

struct Mixed {
    settings: MixedTarget,
    vocab: Vocab,
    reals: Reals,
    components: Components,
}

impl Source for Mixed {
    fn vocab(&self) -> &Vocab {
        &self.vocab
    }

    fn settings(&self) -> Option<Box<dyn Task>> {
        Some(self.settings.boxed())
    }

    fn roles(&self) -> &'static [&'static str] {
        &ROLES
    }

    fn length(&self) -> usize {
        self.settings.length
    }

    fn sequence(&self, seed: u64, index: u64) -> Row {
        let mut rng = stream("mixed target", seed, index);
        let values = (0..self.settings.length).map(|_| narrow(normal(&mut rng))).collect();
        self.settings.labelled(values)
    }

    /// The numbers are those of the sequence that they replace, and zeros after its last.
    fn label(&self, tokens: &[u32], like: &Row) -> Row {
        self.settings.labelled(resized(&like.values, tokens.len()))
    }

    fn facets(&self) -> Vec<&dyn Any> {
        vec![&self.reals, &self.components]
    }
}

impl MixedTarget {
    /// What each of the two targets is multiplied by.
    fn shares(&self) -> [f64; 2] {
        [self.alpha / (1.0 + self.alpha), 1.0 / (1.0 + self.alpha)]
    }

    fn labelled(&self, values: Vec<f32>) -> Row {
        let count = values.len();
        let mut row = unlabelled(vec![0; count]);
        row.roles.fill(NUMBER);
        row.value_targets = vec![0.0; 2 * count];
        if count >= FEWEST {
            row.targets[count - 1] = 0;
            row.roles[count - 1] |= ASKED;
            row.value_targets[2 * count - 2..].copy_from_slice(&self.target(&values));
        }
        Row { values, ..row }
    }

    /// 4-gram and in-context 2-gram of at least [`FEWEST`] numbers.
    fn target(&self, x: &[f32]) -> [f32; 2] {
        let [fixed, in_context] = self.shares();
        let last = x.len() - 1;
        let logit = |s: usize| self.w.powi(2) * f64::from(x[last]) * f64::from(x[s - 1]);
        let highest = (1..last).map(logit).fold(f64::NEG_INFINITY, f64::max);
        let (sum, weights) = (1..last).fold((0.0, 0.0), |(sum, weights), s| {
            let weight = (logit(s) - highest).exp();
            (sum + weight * f64::from(x[s]), weights + weight)
        });
        [narrow(fixed * f64::from(x[last - 2])), narrow(in_context * sum / weights)]
    }
}

/// The in-context 2-gram of attention that minds nothing: its share of the target times the mean of all that it is a mean of.
fn uniform(share: f64) -> Reference {
    let predict = move |row: &Row| {
        let last = row.len().saturating_sub(1);
        let all = row.values.get(1..last).unwrap_or_default();
        let sum: f64 = all.iter().copied().map(f64::from).sum();
        let mut predicted = vec![0.0; row.len()];
        if let Some(asked) = predicted.last_mut() {
            *asked = narrow(share * sum / all.len().max(1) as f64);
        }
        predicted
    };
    Reference {
        name: "uniform",
        about: "the mean of all numbers, whatever they followed: where the in-context 2-gram waits before an induction head forms",
        component: 1,
        is_plateau: true,
        predict: Arc::new(predict),
    }
}
