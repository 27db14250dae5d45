//! A run as the window and the figures see it: metrics, marks and recorded steps, live or from a folder.

use std::path::PathBuf;

use crate::base::budget;
use crate::base::event::{Mark, MetricsRow};

use super::Parent;

/// What is known of a run. Weights are not here: they are asked of the folder (or of the trainer) by step.
#[derive(Clone, Debug, Default)]
pub struct Recording {
    pub folder: Option<PathBuf>,
    /// The section `[task]` of its experiment: what its metrics are measured on. Empty where it is not known.
    pub task: toml::Table,
    /// Where it branched from another run.
    pub parent: Option<Parent>,
    /// Columns of the metrics, without `step`.
    pub columns: Vec<String>,
    /// In order of steps.
    pub rows: Vec<MetricsRow>,
    pub marks: Vec<Mark>,
    /// Steps whose weights are recorded, in order.
    pub recorded: Vec<u64>,
    /// Largest step heard of.
    pub last_step: u64,
    /// Rows come from several sources, each with columns of its own: what a row lacks was not measured there.
    pub sparse: bool,
    /// Of a series: how many of its steps are scored, of how many.
    pub scored: Option<[usize; 2]>,
    /// Runs that share the memory for rows ([`budget::ROWS_BYTES`]), this one included; 0 counts as 1.
    pub sharers: usize,
}

impl Recording {
    /// Adds the next row. When the rows of a long run take too much memory, every second of the older half goes
    /// (they stay in `metrics.csv`): what is drawn of them hardly changes. A row that is there already, because
    /// the folder was read in between, changes nothing.
    pub fn add_row(&mut self, row: MetricsRow) {
        if self.rows.last().is_some_and(|last| last.step >= row.step) {
            return;
        }
        self.last_step = self.last_step.max(row.step);
        self.rows.push(row);
        if self.rows.len() > self.most_rows() {
            self.thin();
        }
    }

    /// Shares the memory for rows with other runs: there are `sharers` of them with this one.
    pub fn share(&mut self, sharers: usize) {
        self.sharers = sharers;
        while self.rows.len() > self.most_rows() {
            self.thin();
        }
        // What is drawn while rows come in takes no more than its share either.
        self.rows.shrink_to(self.most_rows());
    }

    fn most_rows(&self) -> usize {
        // A row costs some numbers besides its own: its step and the vector around it.
        let row_bytes = size_of::<f64>() * (self.columns.len() + 6);
        (budget::ROWS_BYTES / row_bytes / self.sharers.max(1)).max(8)
    }

    /// Every second row of the older half goes.
    fn thin(&mut self) {
        let older = self.rows.len() / 2;
        let mut at = 0;
        self.rows.retain(|_| {
            at += 1;
            at > older || at % 2 == 1
        });
    }

    /// Adds a mark, unless it is there already.
    pub fn add_mark(&mut self, mark: Mark) {
        if !self.marks.contains(&mark) {
            self.marks.push(mark);
        }
    }

    pub fn column(&self, name: &str) -> Option<usize> {
        self.columns.iter().position(|c| c == name)
    }

    /// `(step, value)` of one column, NaN where it is undefined, left out where it was not measured; empty where it never is defined.
    pub fn series(&self, name: &str) -> Vec<[f64; 2]> {
        let Some(i) = self.column(name) else { return Vec::new() };
        let value = |row: &MetricsRow| row.values.get(i).copied().unwrap_or(f64::NAN);
        let points = self.rows.iter().map(|row| [row.step as f64, value(row)]);
        let points: Vec<[f64; 2]> = points.filter(|p| !self.sparse || !p[1].is_nan()).collect();
        if points.iter().all(|p| p[1].is_nan()) { Vec::new() } else { points }
    }

    /// The first recorded step after 0, where the steps of a series lie further and further apart: at its end at least sixteen times as
    /// far as at its beginning.
    pub fn doubles_from(&self) -> Option<u64> {
        /// Fewer have no beginning and no end.
        const FEWEST: usize = 6;
        const AT_THE_BEGINNING: usize = 4;
        const FURTHER: u64 = 16;
        if !self.sparse || self.recorded.len() < FEWEST {
            return None;
        }
        let gaps: Vec<u64> = self.recorded.windows(2).map(|two| two[1] - two[0]).collect();
        let median = |gaps: &[u64]| {
            let mut sorted = gaps.to_vec();
            sorted.sort_unstable();
            sorted[sorted.len() / 2]
        };
        let further =
            median(&gaps[gaps.len() / 2..]) >= FURTHER * median(&gaps[..AT_THE_BEGINNING]);
        self.recorded.iter().copied().find(|step| *step > 0).filter(|_| further)
    }

    /// The row at `step`, or the last one before it.
    pub fn row_at(&self, step: u64) -> Option<&MetricsRow> {
        let after = self.rows.partition_point(|row| row.step <= step);
        after.checked_sub(1).map(|i| &self.rows[i])
    }

    /// The recorded step nearest to `step`.
    pub fn nearest_recorded(&self, step: u64) -> Option<u64> {
        let i = self.recorded.partition_point(|&s| s < step);
        let candidates = [i.checked_sub(1), Some(i)].into_iter().flatten();
        candidates.filter_map(|i| self.recorded.get(i).copied()).min_by_key(|s| s.abs_diff(step))
    }
}
