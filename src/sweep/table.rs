//! The runs of a sweep as one table: a row a run, or a row an evaluation.

use std::collections::BTreeMap;
use std::path::Path;

use toml::Value;

use crate::base::error::{Error, Result, did_you_mean};
use crate::base::event::{Mark, MetricsRow};
use crate::formats::columns::{Columns, Values};
use crate::numeric::correlation::{self, Coefficient, Undefined, pairs};
use crate::run_folder;
use crate::sweep::{Member, Plan, Stage, diverged, formed_name, text};

/// Of which metrics the best value is a column, and whether that is the largest: by how the name begins.
const BEST: [(&str, bool); 4] =
    [("loss", false), ("kl_", false), ("accuracy", true), ("recall", true)];

/// What a metric's name begins with decides whether its best is its largest (true), its smallest, or none.
fn best_is_largest(metric: &str) -> Option<bool> {
    BEST.iter().find(|(prefix, _)| metric.starts_with(prefix)).map(|(_, largest)| *largest)
}

/// A table of the runs of a sweep. A run that cannot be read stops no other: it has a row that says so, or none where its
/// rows are its evaluations.
pub struct Table {
    pub columns: Columns,
    /// Why a run cannot be read, a sentence each.
    pub problems: Vec<Error>,
}

/// What is known of a run when all its rows have been read.
struct Summary {
    stage: Stage,
    columns: Vec<String>,
    last: Option<MetricsRow>,
    /// Of each column with a best value.
    best: BTreeMap<String, f64>,
    marks: Vec<Mark>,
    problem: Option<Error>,
}

impl Summary {
    /// Of a run of which nothing is known but its stage.
    fn new(stage: Stage, problem: Option<Error>) -> Self {
        let (columns, marks) = (Vec::new(), Vec::new());
        Self { stage, columns, last: None, best: BTreeMap::new(), marks, problem }
    }

    fn read(place: &Path, steps: u64) -> Self {
        Self::whole(place, steps).unwrap_or_else(|e| Self::new(Stage::Damaged, Some(e)))
    }

    fn whole(place: &Path, steps: u64) -> Result<Self> {
        let mut summary = Self::new(Stage::NotBegun, None);
        if !run_folder::has_begun(place)? {
            return Ok(summary);
        }
        summary.columns = run_folder::about(place)?.columns;
        summary.marks = run_folder::marks(place)?;
        let columns = summary.columns.clone();
        run_folder::rows(place, |row| summary.take(&columns, row))?;
        let last = summary.last.as_ref().map_or(0, |row| row.step);
        summary.stage = match diverged(&summary.marks) {
            Some(step) => Stage::Diverged(step),
            None if steps > 0 && last >= steps => Stage::Finished,
            None => Stage::Unfinished,
        };
        Ok(summary)
    }

    fn take(&mut self, columns: &[String], row: MetricsRow) {
        for (column, &value) in columns.iter().zip(&row.values) {
            let Some(largest) = best_is_largest(column).filter(|_| value.is_finite()) else {
                continue;
            };
            let best = self.best.entry(column.clone()).or_insert(value);
            *best = if largest { best.max(value) } else { best.min(value) };
        }
        self.last = Some(row);
    }

    fn last(&self, metric: &str) -> Option<f64> {
        let column = self.columns.iter().position(|c| c == metric)?;
        let value = self.last.as_ref()?.values.get(column).copied()?;
        value.is_finite().then_some(value)
    }

    fn formed(&self, name: &str) -> Option<i64> {
        let is = |mark: &&Mark| formed_name(mark).as_deref() == Some(name);
        self.marks.iter().find(is).and_then(|mark| i64::try_from(mark.step).ok())
    }
}

/// A sweep with all its runs read once.
struct Sources {
    plan: Plan,
    members: Vec<Member>,
    summaries: Vec<Summary>,
}

impl Sources {
    fn read(sweep: &Path) -> Result<Self> {
        let plan = Plan::read(sweep)?;
        let members = plan.members();
        let read = |m: &Member| Summary::read(&sweep.join(&m.name), m.steps);
        let summaries = members.iter().map(read).collect();
        Ok(Self { plan, members, summaries })
    }

    fn metrics(&self) -> Vec<String> {
        distinct(self.summaries.iter().flat_map(|s| &s.columns))
    }

    /// Columns of the emergence marks that any run has.
    fn formed(&self) -> Vec<String> {
        let marks = self.summaries.iter().flat_map(|s| &s.marks);
        let names: Vec<String> = marks.filter_map(formed_name).collect();
        distinct(names.iter())
    }
}

fn distinct<'a>(all: impl Iterator<Item = &'a String>) -> Vec<String> {
    let mut list: Vec<String> = Vec::new();
    for item in all {
        if !list.contains(item) {
            list.push(item.clone());
        }
    }
    list
}

/// One row a run, in the order of the plan: `run`, the settings of the plan, `seed`, `stage`, `diverged`, `step` of the
/// last evaluation, every metric there, `…_best` of losses, divergences (smallest), accuracies and memories (largest), and
/// `formed_…`: the step of each emergence mark. `docs/sweeps.md` describes it.
///
/// # Errors
/// When it is no sweep folder.
pub fn runs(sweep: &Path) -> Result<Table> {
    let sources = Sources::read(sweep)?;
    let mut columns = named(&sources.plan, &sources.members);
    let all = || sources.summaries.iter();
    let stages = all().map(|s| Some(s.stage.words().to_owned())).collect();
    columns.push(("stage".to_owned(), Values::Text(stages)));
    let diverged = |s: &Summary| match s.stage {
        Stage::Diverged(_) => Some(true),
        Stage::NotBegun | Stage::Unfinished | Stage::Finished => Some(false),
        Stage::Damaged => None,
    };
    let diverged = all().map(diverged).collect();
    columns.push(("diverged".to_owned(), Values::Truth(diverged)));
    let step = |s: &Summary| s.last.as_ref().and_then(|row| i64::try_from(row.step).ok());
    columns.push(("step".to_owned(), Values::Whole(all().map(step).collect())));
    for metric in sources.metrics() {
        let last = all().map(|s| s.last(&metric)).collect();
        columns.push((metric.clone(), Values::Number(last)));
        if best_is_largest(&metric).is_some() {
            let best = all().map(|s| s.best.get(&metric).copied()).collect();
            columns.push((format!("{metric}_best"), Values::Number(best)));
        }
    }
    for name in sources.formed() {
        let steps = all().map(|s| s.formed(&name)).collect();
        columns.push((name, Values::Whole(steps)));
    }
    let problems = all().filter_map(|s| s.problem.clone()).collect();
    Ok(Table { columns: Columns(columns), problems })
}

/// The columns that say which run it is: name, settings and seed.
fn named(plan: &Plan, members: &[Member]) -> Vec<(String, Values)> {
    let names = members.iter().map(|m| Some(m.name.clone())).collect();
    let mut columns = vec![("run".to_owned(), Values::Text(names))];
    for (i, (path, values)) in plan.settings.iter().enumerate() {
        let of = |m: &Member| m.values.get(i).map(|(_, value)| value.clone());
        columns.push((path.clone(), typed(values, members.iter().map(of))));
    }
    let seeds = members.iter().map(|m| i64::try_from(m.seed).ok()).collect();
    columns.push(("seed".to_owned(), Values::Whole(seeds)));
    columns
}

/// The kind that suits all values of a setting.
fn typed(kinds: &[Value], values: impl Iterator<Item = Option<Value>>) -> Values {
    let number = |v: &Value| v.as_float().or_else(|| v.as_integer().map(|i| i as f64));
    if kinds.iter().all(Value::is_integer) {
        Values::Whole(values.map(|v| v.as_ref().and_then(Value::as_integer)).collect())
    } else if kinds.iter().all(|v| number(v).is_some()) {
        Values::Number(values.map(|v| v.as_ref().and_then(number)).collect())
    } else if kinds.iter().all(Value::is_bool) {
        Values::Truth(values.map(|v| v.as_ref().and_then(Value::as_bool)).collect())
    } else {
        Values::Text(values.map(|v| v.as_ref().map(text)).collect())
    }
}

/// One row a run and evaluation: `run`, the settings of the plan, `seed`, `step`, every metric.
pub fn curves(sweep: &Path) -> Result<Table> {
    let plan = Plan::read(sweep)?;
    let (mut rows, mut headers, mut problems) = (Vec::new(), Vec::new(), Vec::new());
    for member in plan.members() {
        let place = sweep.join(&member.name);
        match run_folder::has_begun(&place)
            .and_then(|begun| begun.then(|| rows_of(&place)).transpose())
        {
            Ok(None) => {}
            Ok(Some((header, found))) => {
                let of = headers.len();
                headers.push(header);
                rows.extend(found.into_iter().map(|row| (member.clone(), of, row)));
            }
            Err(e) => problems.push(e),
        }
    }
    let members: Vec<Member> = rows.iter().map(|(member, ..)| member.clone()).collect();
    let mut columns = named(&plan, &members);
    let steps = rows.iter().map(|(.., row)| i64::try_from(row.step).ok()).collect();
    columns.push(("step".to_owned(), Values::Whole(steps)));
    for metric in distinct(headers.iter().flatten()) {
        let places: Vec<Option<usize>> =
            headers.iter().map(|h| h.iter().position(|c| *c == metric)).collect();
        let value = |(_, of, row): &(Member, usize, MetricsRow)| {
            let value = row.values.get(places[*of]?).copied()?;
            value.is_finite().then_some(value)
        };
        let values = rows.iter().map(value).collect();
        columns.push((metric, Values::Number(values)));
    }
    Ok(Table { columns: Columns(columns), problems })
}

/// Names of the metrics of a run, and all its rows.
fn rows_of(run: &Path) -> Result<(Vec<String>, Vec<MetricsRow>)> {
    let mut rows = Vec::new();
    let columns = run_folder::about(run)?.columns;
    run_folder::rows(run, |row| rows.push(row))?;
    Ok((columns, rows))
}

/// One row an evaluation of a run: `step`, every metric.
///
/// # Errors
/// When it is no run folder, or is damaged.
pub fn metrics(run: &Path) -> Result<Columns> {
    let names = run_folder::about(run)?.columns;
    let (mut steps, mut values) = (Vec::new(), vec![Vec::new(); names.len()]);
    run_folder::rows(run, |row| {
        steps.push(i64::try_from(row.step).ok());
        for (column, values) in values.iter_mut().enumerate() {
            values.push(row.values.get(column).copied().filter(|v| v.is_finite()));
        }
    })?;
    let mut columns = vec![("step".to_owned(), Values::Whole(steps))];
    columns.extend(names.into_iter().zip(values.into_iter().map(Values::Number)));
    Ok(Columns(columns))
}

/// Whether two numbers of the runs go together.
#[derive(Clone, Debug, PartialEq)]
pub struct Relation {
    /// Pairs of finite numbers.
    pub pairs: usize,
    pub pearson: Result<Coefficient, Undefined>,
    pub spearman: Result<Coefficient, Undefined>,
}

impl Relation {
    pub fn of(x: &[f64], y: &[f64]) -> Self {
        let pairs = pairs(x, y);
        Self {
            pairs: pairs.len(),
            pearson: correlation::pearson(&pairs),
            spearman: correlation::spearman(&pairs),
        }
    }
}

/// Two columns of [`runs`] over the runs that are finished.
///
/// # Errors
/// When there is no such column (the nearest are named), or it holds no numbers.
pub fn over_runs(runs: &Columns, x: &str, y: &str) -> Result<Relation> {
    let (mut xs, mut ys) = (numbers(runs, x)?, numbers(runs, y)?);
    if let Some(Values::Text(stages)) = runs.get("stage") {
        let finished = |i: usize| stages[i].as_deref() == Some(Stage::Finished.words());
        for values in [&mut xs, &mut ys] {
            let kept = values.iter().enumerate().filter(|(i, _)| finished(*i));
            *values = kept.map(|(_, v)| *v).collect();
        }
    }
    Ok(Relation::of(&xs, &ys))
}

/// Two columns of [`curves`] over the evaluations of each run, with the run's name.
pub fn within_runs(curves: &Columns, x: &str, y: &str) -> Result<Vec<(String, Relation)>> {
    let (xs, ys) = (numbers(curves, x)?, numbers(curves, y)?);
    let Some(Values::Text(names)) = curves.get("run") else { return Ok(Vec::new()) };
    let mut from = 0;
    let relation = |rows: &[Option<String>]| {
        let range = from..from + rows.len();
        from += rows.len();
        let name = rows.first().cloned().flatten().unwrap_or_default();
        (name, Relation::of(&xs[range.clone()], &ys[range]))
    };
    Ok(names.chunk_by(|a, b| a == b).map(relation).collect())
}

fn numbers(columns: &Columns, name: &str) -> Result<Vec<f64>> {
    let holds = |(_, values): &&(String, Values)| values.numbers().is_some();
    let known: Vec<&str> = columns.0.iter().filter(holds).map(|(n, _)| n.as_str()).collect();
    columns.get(name).and_then(Values::numbers).ok_or_else(|| {
        Error::usage(format!(
            "no column of numbers is called \"{name}\".{} Known: {}.",
            did_you_mean(name, known.iter().copied()),
            known.join(", ")
        ))
    })
}
