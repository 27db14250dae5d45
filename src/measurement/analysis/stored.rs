//! What a memory holds, as probes tell it: of each slot after each segment, or of the state of recurrent units at each position.

use candle_core::Tensor;

use super::{Analysis, Ground, OnPartial, PartialAnswer, one};
use crate::base::array::Array;
use crate::base::batch::{Batch, Row};
use crate::base::convert::{id, narrow};
use crate::base::error::{Error, Result, did_you_mean};
use crate::base::intervention::{Point, Site};
use crate::base::label::LabelKind;
use crate::measurement::probing::data::{Dataset, Labels};
use crate::measurement::probing::linear::{Fitting, Score, constant_score, fit, fit_shuffled};
use crate::measurement::read::{argmax, values};
use crate::measurement::{Answer, Subject};
use crate::model::Keeps;
use crate::model::pass::Tensors;
use crate::model::segments::Segments;
use crate::nn::tap::{Captured, EditAndCapture};

crate::settings! {
    /// Linear probes of a label of the task, fitted to held-out sequences and judged by others: one for each slot of the memory as it
    /// is written at the end of each segment (of recurrent units: for the state at each position), of what the label says there.
    ///
    /// Arrays `[segment, slot]`: `score` (accuracy, or micro F1 where several truths hold at once), `shuffled` (fitted to labels dealt out
    /// anew), `constant` (always the most frequent); and of the sequence in view `told`, the likeliest class, and `true`, the right
    /// one, NaN where there is none. `end`: the last position of each segment. Numbers: `train_examples`, `test_examples`.
    pub struct Stored = "What each slot of the memory holds after each segment, as probes of a label tell it, beside shuffled labels." {
        /// Layer of the memory, where each layer has its own.
        layer: usize = 0, in 0..=63;
        /// Which label of the task (empty: its first).
        label: String = String::new();
        /// Sequences to fit to.
        train: usize = 512, in 16..=65536, @log;
        /// Sequences to judge by.
        test: usize = 256, in 16..=65536, @log;
    }
}

/// Sequences in one forward pass.
const CHUNK: usize = 16;
/// Segments, or positions of recurrent networks, that are probed: the first.
const MOST: usize = 64;
/// First sequences of the two halves, far from those that runs are measured on.
const HALVES: [u64; 2] = [1 << 34, 1 << 35];

impl Analysis for Stored {
    fn run(&self, ground: &Ground<'_>, tell: OnPartial<'_>) -> Result<Answer> {
        let kind = self.kind(ground.subject)?;
        let site = self.site(ground.subject)?;
        let desk = Desk { ground, kind, site };
        let prompt = desk.read(std::slice::from_ref(ground.prompt))?;
        let cells = prompt.len() * prompt.first().map_or(0, Vec::len);
        let half = |half: usize, count: usize| desk.half(HALVES[half], count);
        if !tell(PartialAnswer { done: 0, total: cells, so_far: &|| Ok(Answer::default()) }) {
            return Ok(Answer::default());
        }
        let (train, test) = (half(0, self.train)?, half(1, self.test)?);
        let mut found = Vec::new();
        for (segment, slots) in train.iter().enumerate() {
            for (slot, train) in slots.iter().enumerate() {
                found.push(desk.probed(train, &test[segment][slot], &prompt[segment][slot])?);
                let so_far = || self.answer(&desk, &prompt, &found);
                if !tell(PartialAnswer { done: found.len(), total: cells, so_far: &so_far }) {
                    return self.answer(&desk, &prompt, &found);
                }
            }
        }
        self.answer(&desk, &prompt, &found)
    }
}

impl Stored {
    fn kind(&self, subject: Subject<'_>) -> Result<LabelKind> {
        let kinds = subject.source.label_kinds();
        let asked = self.label.trim();
        let found = kinds.iter().find(|kind| asked.is_empty() || kind.name == asked);
        found.copied().ok_or_else(|| {
            let names: Vec<&str> = kinds.iter().map(|kind| kind.name).collect();
            Error::usage(match names.is_empty() {
                true => "this task offers no labels that a probe could tell".to_owned(),
                false => format!(
                    "this task has no label \"{asked}\".{} It has {}.",
                    did_you_mean(asked, names.iter().copied()),
                    names.join(", ")
                ),
            })
        })
    }

    /// Where the memory is.
    fn site(&self, subject: Subject<'_>) -> Result<[Site; 2]> {
        let last = subject.model.layout().heads.len().saturating_sub(1);
        let point = match subject.model.keeps() {
            Some(Keeps::Tokens | Keeps::Retrieved) => Point::own("memory.write"),
            Some(Keeps::Units) => Point::own("hidden"),
            Some(Keeps::Positions | Keeps::Compressed { .. } | Keeps::Mechanisms) | None => {
                return Err(Error::usage(
                    "this network has no memory of its own whose content could be told: it has neither memory tokens nor recurrent units",
                ));
            }
        };
        if self.layer > last {
            return Err(Error::usage(format!(
                "layer {} asked for, this network has the layers 0 to {last}",
                self.layer
            )));
        }
        Ok([self.layer, last].map(|layer| Site { layer, point }))
    }

    fn answer(&self, desk: &Desk<'_>, prompt: &[Vec<Cell>], found: &[Found]) -> Result<Answer> {
        let slots = prompt.first().map_or(0, Vec::len);
        let shape = [prompt.len(), slots];
        let array = |name: &str, of: &dyn Fn(&Found) -> f64| {
            let known = found.iter().map(|found| narrow(of(found)));
            let missing = std::iter::repeat(f32::NAN);
            let data: Vec<f32> = known.chain(missing).take(shape[0] * slots).collect();
            Array::new(name, &["segment", "slot"], &shape, data)
        };
        let many = desk.kind.many;
        let score = move |score: &Score| if many { score.micro_f1 } else { score.accuracy };
        let ends: Vec<f32> = prompt.iter().map(|cells| cells[0].at as f32).collect();
        Ok(Answer {
            means: vec![
                one("train_examples", self.train as f64),
                one("test_examples", self.test as f64),
            ],
            arrays: vec![
                array("score", &|found| score(&found.score))?,
                array("shuffled", &|found| score(&found.shuffled))?,
                array("constant", &|found| score(&found.constant))?,
                array("told", &|found| found.told)?,
                array("true", &|found| found.truth)?,
                Array::new("end", &["segment"], &[ends.len()], ends)?,
            ],
            notes: vec![format!("Label: {}.", desk.kind.name)],
        })
    }
}

/// Vectors of one slot after one segment, with what the label says of their sequences there.
#[derive(Default)]
struct Cell {
    /// The position whose label is told.
    at: usize,
    dim: usize,
    x: Vec<f32>,
    told: Vec<Vec<usize>>,
}

/// What became of a cell.
struct Found {
    score: Score,
    shuffled: Score,
    constant: Score,
    told: f64,
    truth: f64,
}

struct Desk<'a> {
    ground: &'a Ground<'a>,
    kind: LabelKind,
    site: [Site; 2],
}

impl Desk<'_> {
    fn half(&self, first: u64, count: usize) -> Result<Vec<Vec<Cell>>> {
        let (source, seed) = (self.ground.subject.source, self.ground.seed);
        let mut all: Vec<Vec<Cell>> = Vec::new();
        let chunk = |i: usize| {
            let from = i * CHUNK;
            let rows = from..count.min(from + CHUNK);
            let rows: Vec<Row> = rows.map(|i| source.sequence(seed, first + i as u64)).collect();
            self.read(&rows)
        };
        self.ground.pool.fold_in_order(count.div_ceil(CHUNK), chunk, |more: Vec<Vec<Cell>>| {
            if all.is_empty() {
                all = more;
                return Ok(());
            }
            for (all, more) in all.iter_mut().flatten().zip(more.into_iter().flatten()) {
                all.x.extend(more.x);
                all.told.extend(more.told);
            }
            Ok(())
        })?;
        Ok(all)
    }

    /// The cells of some sequences, by segment and slot.
    fn read(&self, rows: &[Row]) -> Result<Vec<Vec<Cell>>> {
        let Subject { model, params, source } = self.ground.subject;
        let batch = Batch::from_rows(rows);
        let tensors = Tensors::of(&batch, params)?;
        let mut bench = EditAndCapture::new(Vec::new(), self.site.to_vec());
        model.forward(params, &tensors.input(), &mut bench)?;
        let labels: Vec<_> = rows.iter().map(|row| source.labels(self.kind.name, row)).collect();
        let segments = model.segments().unwrap_or(Segments { length: 1, through: 0 });
        let mut all = Vec::new();
        for (at, x) in self.vectors(&bench.captured, segments, batch.len)?.into_iter().take(MOST) {
            let (_, slots, dim) = x.dims3()?;
            let told = |row: usize| {
                let labels: Option<&Option<Vec<usize>>> = labels[row].get(at);
                labels.and_then(Clone::clone).unwrap_or_default()
            };
            let cell = |slot: usize| -> Result<Cell> {
                let x = x.narrow(1, slot, 1)?.contiguous()?;
                let x = values(&x, <[f32]>::to_vec)?;
                Ok(Cell { at, dim, x, told: (0..rows.len()).map(told).collect() })
            };
            all.push((0..slots).map(cell).collect::<Result<_>>()?);
        }
        Ok(all)
    }

    /// The last position of each segment, and what is kept then, `[batch, slot, width]`.
    fn vectors(
        &self,
        captured: &Captured,
        segments: Segments,
        length: usize,
    ) -> Result<Vec<(usize, Tensor)>> {
        if self.site[0].point == Point::own("hidden") {
            let states = captured.get(&self.site[0]);
            let states = states.ok_or_else(|| Error::internal("no state was passed"))?;
            return (0..length).map(|at| Ok((at, states.narrow(1, at, 1)?))).collect();
        }
        let pieces = self.site.iter().map(|site| captured.pieces(*site));
        let pieces = pieces.into_iter().find(|pieces| !pieces.is_empty()).unwrap_or(&[]);
        let ends = segments.of(length).map(|segment| segment.from + segment.len - 1);
        Ok(ends.zip(pieces).map(|(end, (_, x))| (end, x.clone())).collect())
    }

    /// A probe of one cell.
    fn probed(&self, train: &Cell, test: &Cell, prompt: &Cell) -> Result<Found> {
        let (train, test) = (self.dataset(train)?, self.dataset(test)?);
        let mut watch = |_: crate::measurement::probing::Progress<'_>| true;
        let fitting = Fitting { rounds: 100, ..Fitting::default() };
        let stopped = || Error::internal("a fit that nobody stopped was stopped");
        let reader = fit(&train, fitting, "", &mut watch)?.ok_or_else(stopped)?.reader;
        let dealt = fit_shuffled(&train, 0, fitting, "", &mut watch)?.ok_or_else(stopped)?.reader;
        let scores = reader.scores(&prompt.x)?;
        let told = argmax(scores.iter().map(|score| narrow(*score))) as f64;
        let truth = prompt.told[0].first().filter(|_| !self.kind.many);
        Ok(Found {
            score: reader.score(&test)?,
            shuffled: dealt.score(&test)?,
            constant: constant_score(&train, &test),
            told: if self.kind.many { f64::NAN } else { told },
            truth: truth.map_or(f64::NAN, |class| *class as f64),
        })
    }

    /// The examples of a cell that have a label.
    fn dataset(&self, cell: &Cell) -> Result<Dataset> {
        let count = self.ground.subject.source.label_classes(self.kind.name);
        let labelled = cell.told.iter().enumerate().filter(|(_, told)| !told.is_empty());
        let kept: Vec<usize> = labelled.map(|(i, _)| i).collect();
        if kept.is_empty() {
            return Err(Error::usage(format!(
                "the label \"{}\" says nothing at position {}, the end of a segment",
                self.kind.name, cell.at
            )));
        }
        let x = kept.iter().flat_map(|i| &cell.x[i * cell.dim..(i + 1) * cell.dim]);
        let labels = match self.kind.many {
            false => Labels::One { count, of: kept.iter().map(|i| id(cell.told[*i][0])).collect() },
            true => {
                let cells = kept.iter().flat_map(|i| (0..count).map(move |truth| (*i, truth)));
                Labels::Many { count, of: cells.map(|(i, t)| cell.told[i].contains(&t)).collect() }
            }
        };
        Dataset::new(cell.dim, x.copied().collect(), labels)
    }
}
