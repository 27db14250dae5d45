//! The measurements of every evaluation: which measurements, which columns, on which held-out sequences.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::base::batch::Batch;
use crate::base::error::{Error, Result};
use crate::measurement::{self, Answer, Measurement, Scope, Subject};
use crate::nn::edit::Edit;
use crate::nn::kernel::pool::Pool;
use crate::nn::tape::Workspace;
use crate::task::{self, Source};

use super::measure::{Round, of_weights};

/// The measurements that have columns in `metrics.csv`, and the fixed sequences they look at.
pub(super) struct Meters {
    meters: Vec<Meter>,
    held_out: HeldOut,
    pub columns: Vec<String>,
    work: Workspace,
}

struct Meter {
    measurement: Box<dyn Measurement>,
    columns: Vec<String>,
}

impl Meters {
    /// All measurements that apply to the subject and have columns; `loss` is the first of them.
    ///
    /// # Errors
    /// When two measurements claim the same column.
    pub fn new(subject: Subject<'_>, held_out: HeldOut) -> Result<Self> {
        let mut meters = Vec::new();
        for entry in measurement::ALL {
            let measurement = (entry.make)();
            if measurement::check(&*measurement, subject).is_err() {
                continue;
            }
            let columns = measurement.columns(subject);
            if !columns.is_empty() {
                meters.push(Meter { measurement, columns });
            }
        }
        let mut columns: Vec<String> =
            meters.iter().flat_map(|m| m.columns.iter().cloned()).collect();
        if let Some(at) = columns.iter().position(|c| c == "loss") {
            columns[..=at].rotate_right(1);
        }
        let twice = columns.iter().enumerate().find(|(i, c)| columns[..*i].contains(c));
        if let Some((_, column)) = twice {
            return Err(Error::internal(format!("two measurements claim the column {column}")));
        }
        Ok(Self { meters, held_out, columns, work: Workspace::default() })
    }

    /// Measures these columns alone, of those that it has.
    pub fn keep(&mut self, columns: &[String]) {
        self.columns.retain(|column| columns.contains(column));
        self.meters.retain(|meter| meter.columns.iter().any(|column| columns.contains(column)));
    }

    /// One value per column: NaN where there was nothing to count.
    ///
    /// # Errors
    /// When a forward pass or a measurement fails.
    pub fn measure(
        &mut self,
        pool: &Pool,
        subject: Subject<'_>,
        edits: &[Edit],
    ) -> Result<Vec<f64>> {
        let mut value_of = BTreeMap::new();
        let mut scopes = Vec::new();
        for meter in &self.meters {
            if !scopes.contains(&meter.measurement.scope()) {
                scopes.push(meter.measurement.scope());
            }
        }
        for scope in scopes {
            let measurements: Vec<&dyn Measurement> = self
                .meters
                .iter()
                .filter(|m| m.measurement.scope() == scope)
                .map(|m| &*m.measurement)
                .collect();
            let answers: Vec<Result<Answer>> = match self.held_out.of(scope, subject.source) {
                Some(batch) => {
                    let (measurements, work) = (&measurements, &self.work);
                    Round {
                        pool,
                        subject,
                        edits,
                        measurements,
                        arrays: false,
                        work,
                        remembered: None,
                        listener: None,
                    }
                    .over(&batch)?
                }
                None if scope == Scope::Weights => measurements
                    .iter()
                    .map(|measurement| of_weights(subject, *measurement))
                    .collect(),
                None => Vec::new(),
            };
            for answer in answers {
                for mean in answer?.means {
                    value_of.insert(mean.name, mean.sum / mean.count);
                }
            }
        }
        Ok(self.columns.iter().map(|c| value_of.get(c).copied().unwrap_or(f64::NAN)).collect())
    }
}

/// The fixed held-out sequences of a run, of the task and of its variants; made when first asked for.
pub(super) struct HeldOut {
    seed: u64,
    rows: usize,
    batches: Vec<(Scope, Option<Arc<Batch>>)>,
}

impl HeldOut {
    /// `seed` is that of the run: the held-out sequences have one of their own.
    pub fn new(seed: u64, rows: usize) -> Self {
        Self { seed: task::held_out_seed(seed), rows, batches: Vec::new() }
    }

    /// The seed of the sequences.
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// The sequences of a scope; `None` where it has none of its own, or the task has no such variant.
    pub fn of(&mut self, scope: Scope, source: &dyn Source) -> Option<Arc<Batch>> {
        if let Some((_, batch)) = self.batches.iter().find(|(s, _)| *s == scope) {
            return batch.clone();
        }
        let made = |source: &dyn Source| Arc::new(task::batch(source, self.seed, 0, self.rows));
        let batch = match scope {
            Scope::HeldOut => Some(made(source)),
            Scope::Variant(task::LONGER) => task::longer(source).map(|longer| made(&*longer)),
            Scope::Variant(name) => source.variant(name).map(|variant| made(&*variant)),
            Scope::Prompt | Scope::Weights => None,
        };
        self.batches.push((scope, batch.clone()));
        batch
    }
}
