//! Scores of every step of a series: losses and scores of heads, which steps first, and what becomes of them in a recording.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::base::batch::Row;
use crate::base::error::{Error, Result};
use crate::base::event::{Mark, MetricsRow};
use crate::base::question::{MeasurementCall, Reading};
use crate::measurement::heads::LOSSES;
use crate::measurement::marks::{Facts, IN_A_ROW, Marks};
use crate::run_folder::library;
use crate::run_folder::model_folder::is_model;
use crate::run_folder::recording::Recording;
use crate::run_folder::series::scores::{Scores, versions};

use super::examiner::{Desk, Which};
use super::experiment::Experiment;
use super::job::analysis_of;
use super::recorded::short_hash;

/// Another number where the same settings give other scores, or the file says them otherwise.
const SCHEMA: &str = "2";

/// What the loss is told of where a tokenizer reads text.
const TEXT: &str = "In the morning Anna walked to the market with her brother Paul. The market was full of people, and the people were buying bread, fish and flowers. \"What do we need?\" asked Paul. \"We need bread and fish,\" said Anna, \"but no flowers.\" Paul went to buy the bread, and Anna went to buy the fish. When they met again in front of the old clock, Paul carried the bread and a bunch of flowers. \"I told you that we need no flowers,\" said Anna. \"We do not need them,\" said Paul, \"but they are for you.\" So Anna took the flowers, Paul took the bread and the fish, and together they walked home from the market.";

/// Scores of heads of which the best is told, by the beginning of their names.
const BEST: [&str; 4] = ["prefix_matching", "copying", "previous_token_random", "duplicate_token"];

/// The name of the best of all heads in a score.
fn best_of(score: &str) -> String {
    format!("{score}_best")
}

/// In which order `count` steps are scored: both ends, then the middle of the widest gap between steps that are scored, the first of
/// equal ones. So a change shows after few of them.
pub fn order(count: usize) -> Vec<usize> {
    let ends = [0, count.saturating_sub(1)];
    let mut order: Vec<usize> = ends[..count.min(2)].to_vec();
    let mut gaps = vec![(0, count.saturating_sub(1))];
    while !gaps.is_empty() {
        let mut next = Vec::new();
        for (from, to) in gaps {
            let middle = usize::midpoint(from, to);
            if middle > from {
                order.push(middle);
                next.extend([(from, middle), (middle, to)]);
            }
        }
        gaps = next;
    }
    order
}

/// The scores of all heads on random tokens, as every step is asked for them.
pub fn call() -> MeasurementCall {
    MeasurementCall::new("head_scores").with("task", false)
}

/// Where the scores of a series are kept: beside a library, by where the series lies and what is measured.
pub fn place(library: &Path, folder: &Path) -> PathBuf {
    let whole = folder.canonicalize().unwrap_or_else(|_| folder.to_owned());
    let key = format!("{SCHEMA} {} {TEXT}", call().key());
    let hash = short_hash([whole.as_os_str().as_encoded_bytes(), key.as_bytes()]);
    let name = whole.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let safe = |c: char| if c.is_alphanumeric() || "-_.".contains(c) { c } else { '-' };
    let name: String = name.chars().take(60).map(safe).collect();
    library::beside(Some(library), "scores").join(format!("{name}-{hash}.csv"))
}

/// A series that is to be scored.
#[derive(Clone)]
pub struct Asked {
    pub experiment: Experiment,
    pub folder: PathBuf,
    /// Steps that can be read.
    pub steps: Vec<u64>,
}

/// The steps of a series, what is known of them, and who finds out the rest.
pub struct Pass {
    asked: Asked,
    scores: Scores,
    versions: BTreeMap<u64, String>,
    /// Made for the first step that is not known.
    desk: Option<(Desk, MeasurementCall)>,
}

impl Pass {
    /// What is kept of a series, as far as it still holds; what was wrong with it is computed anew, and comes as sentences.
    ///
    /// # Errors
    /// When the folder is none of a network of another program.
    pub fn open(asked: Asked, library: Option<&Path>) -> Result<(Self, Vec<Error>)> {
        let folder = &*asked.folder;
        if !is_model(folder) {
            return Err(Error::usage(format!(
                "{} is no network of another program and no series of its checkpoints; a run of this program records its scores itself (metrics.csv)",
                folder.display()
            )));
        }
        let versions = versions_of(folder, &asked.steps)?;
        let (mut scores, problem) = Scores::open(library.map(|library| place(library, folder)));
        let kept = scores.keep(&versions);
        let problems = problem.into_iter().chain(kept.err()).collect();
        Ok((Self { asked, scores, versions, desk: None }, problems))
    }

    pub fn scores(&self) -> &Scores {
        &self.scores
    }

    /// The steps that are there.
    pub fn steps(&self) -> Vec<u64> {
        self.versions.keys().copied().collect()
    }

    /// Steps that are not scored yet, in the order in which they are to be.
    pub fn missing(&self) -> Vec<u64> {
        let steps = self.steps();
        let wanted = order(steps.len()).into_iter().map(|at| steps[at]);
        wanted.filter(|step| !self.scores.has(*step)).collect()
    }

    /// Scores a step and keeps its row, unless `go_on`, which is asked between sequences, says no: then false comes back. A row that
    /// cannot be written is known all the same, and told to `trouble`.
    ///
    /// # Errors
    /// When the step cannot be read or scored.
    pub fn score(
        &mut self,
        step: u64,
        go_on: &dyn Fn() -> bool,
        trouble: &mut dyn FnMut(Error),
    ) -> Result<bool> {
        let files = self.versions.get(&step).cloned().unwrap_or_default();
        if self.desk.is_none() {
            let desk = Desk::new(&self.asked.experiment)?;
            let reads_text = desk.instrument.source().vocab().encode(TEXT).is_ok();
            let call = if reads_text { call().with("text", TEXT) } else { call() };
            self.desk = Some((desk, call));
        }
        let Some((desk, call)) = &mut self.desk else { return Ok(false) };
        let analysis = analysis_of(call)?;
        let which = Which::Recorded { folder: self.asked.folder.clone(), step };
        let weights = desk.weights(&which)?;
        let mut ended = !go_on();
        let mut tell = |_: usize, _: usize, _: &dyn Fn() -> Result<Reading>| {
            ended |= !go_on();
            !ended
        };
        let found =
            desk.instrument.analyze(&weights, &Row::default(), &[], &*analysis, &mut tell)?;
        if ended {
            return Ok(false);
        }
        let (columns, values): (Vec<String>, Vec<f64>) = row(found.numbers).into_iter().unzip();
        if let Err(e) = self.scores.add(step, &files, &columns, values) {
            trouble(e);
        }
        Ok(true)
    }
}

fn versions_of(folder: &Path, steps: &[u64]) -> Result<BTreeMap<u64, String>> {
    let mut versions = versions(folder)?;
    versions.retain(|step, _| steps.contains(step));
    Ok(versions)
}

/// Losses, the best of each score, and the score of each head.
fn row(numbers: Vec<(String, f64)>) -> Vec<(String, f64)> {
    let (losses, heads): (Vec<_>, Vec<_>) =
        numbers.into_iter().partition(|(name, _)| name.starts_with("loss"));
    let best = BEST.iter().map(|score| {
        let of_heads = heads.iter().filter(|(name, _)| is_of(name, score));
        (best_of(score), of_heads.map(|(_, value)| *value).fold(f64::NAN, f64::max))
    });
    let mut row = losses;
    row.extend(best);
    row.extend(heads);
    row
}

/// Whether a column is the score of a head: `copying_l1h0` of `copying`.
fn is_of(column: &str, score: &str) -> bool {
    let rest = column.strip_prefix(score).and_then(|rest| rest.strip_prefix("_l"));
    rest.is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
}

/// Rows of scores as panels see them: of a large network the heads that reach something.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Table {
    pub columns: Vec<String>,
    pub rows: Vec<(u64, Vec<f64>)>,
    /// How many steps there are to score.
    pub steps: usize,
    /// What emerged.
    pub marks: Vec<Mark>,
}

impl Table {
    /// `steps` are all that there are.
    pub fn of(scores: &Scores, steps: &[u64]) -> Self {
        let shown = shown(scores);
        let columns = shown.iter().map(|at| scores.columns[*at].clone()).collect();
        let pick = |values: &[f64]| shown.iter().map(|at| values[*at]).collect();
        let rows = scores.rows().map(|(step, values)| (step, pick(values))).collect();
        let mut table = Self { columns, rows, steps: steps.len(), marks: Vec::new() };
        table.marks = table.emerged(steps);
        table
    }

    /// The marks that the rules of emergence set. What holds to the end is taken to stay. A mark is set where the step before is scored
    /// too: else nobody knows that nothing had emerged by then. So there is none at the first step.
    fn emerged(&self, steps: &[u64]) -> Vec<Mark> {
        let mut marks = Marks::new(&self.columns, Facts::default());
        let again = self.rows.last().into_iter().cycle().take(IN_A_ROW as usize - 1);
        let set = self.rows.iter().chain(again).flat_map(|(step, values)| {
            marks.observe(&MetricsRow { step: *step, values: values.clone() })
        });
        let is_known = |step: u64| self.rows.binary_search_by_key(&step, |(step, _)| *step).is_ok();
        let before = |step: u64| {
            let at = steps.partition_point(|other| *other < step);
            at.checked_sub(1).map(|at| steps[at])
        };
        set.filter(|mark| before(mark.step).is_some_and(is_known)).collect()
    }

    /// Adds columns and rows to what a recording of the series has of its own, the log of its trainer: rows stand beside each other.
    pub fn pour(&self, recording: &mut Recording) {
        let own = recording.columns.len();
        let new: Vec<usize> = (0..self.columns.len())
            .filter(|at| recording.column(&self.columns[*at]).is_none())
            .collect();
        recording.columns.extend(new.iter().map(|at| self.columns[*at].clone()));
        let width = own + new.len();
        let mut rows: BTreeMap<u64, Vec<f64>> = BTreeMap::new();
        for MetricsRow { step, mut values } in std::mem::take(&mut recording.rows) {
            values.resize(width, f64::NAN);
            rows.insert(step, values);
        }
        for (step, values) in &self.rows {
            let row = rows.entry(*step).or_insert_with(|| vec![f64::NAN; width]);
            for (to, from) in new.iter().enumerate() {
                row[own + to] = values[*from];
            }
        }
        rows.into_iter().for_each(|(step, values)| recording.add_row(MetricsRow { step, values }));
        recording.marks.extend(self.marks.iter().cloned());
        recording.marks.sort_by_key(|mark| mark.step);
        recording.sparse = true;
        recording.scored = Some([self.rows.len(), self.steps]);
    }
}

/// Which columns are shown: of few heads all; of many, in each score, the strongest of those that ever reach a third.
fn shown(scores: &Scores) -> Vec<usize> {
    const FEW: usize = 16;
    const STRONGEST: usize = 6;
    const SOMETHING: f64 = 1.0 / 3.0;
    let most = |at: usize| scores.rows().map(|(_, values)| values[at]).fold(f64::NAN, f64::max);
    let mut shown = Vec::new();
    for (at, column) in scores.columns.iter().enumerate() {
        if LOSSES.contains(&&**column) || !BEST.iter().any(|score| is_of(column, score)) {
            shown.push(at);
        }
    }
    for score in BEST {
        let of = |at: &usize| is_of(&scores.columns[*at], score);
        let mut heads: Vec<usize> = (0..scores.columns.len()).filter(of).collect();
        if heads.len() > FEW {
            let mut by_most: Vec<(f64, usize)> = heads.iter().map(|at| (most(*at), *at)).collect();
            by_most.retain(|(most, _)| *most >= SOMETHING);
            by_most.sort_by(|a, b| b.0.total_cmp(&a.0));
            heads = by_most.into_iter().take(STRONGEST).map(|(_, at)| at).collect();
            heads.sort_unstable();
        }
        shown.extend(heads);
    }
    shown
}

/// What is kept of the scores of a series, put into its recording; of any other run nothing. What is damaged is as if it were not there.
pub fn recall(recording: &mut Arc<Recording>, folder: &Path, library: Option<&Path>) {
    let Some(library) = library.filter(|_| is_model(folder)) else { return };
    let Ok(versions) = versions_of(folder, &recording.recorded) else { return };
    let (mut scores, _) = Scores::open(Some(place(library, folder)));
    // Nothing is written here: whoever only looks leaves what is kept as it is.
    scores.forget_others(&versions);
    if !scores.is_empty() {
        let steps: Vec<u64> = versions.into_keys().collect();
        Table::of(&scores, &steps).pour(Arc::make_mut(recording));
    }
}
