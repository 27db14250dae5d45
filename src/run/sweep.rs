//! Many runs of one experiment: planned, carried out a few at a time, and gone on with where they stopped.

use std::collections::VecDeque;
use std::path::Path;

use crossbeam_channel::{Receiver, Select, TryRecvError};
use toml::{Table, Value};

use crate::base::error::{Error, Kind, Result};
use crate::base::event::{Event, MetricsRow, State};
use crate::nn::params::Params;
use crate::run_folder::{self, Claim, Reader};
use crate::sweep::{MOST_RUNS, Member, Plan, diverged};

use super::experiment::{Experiment, read_document};
use super::session::{Begin, Command, Session, Start};

/// The plan of a sweep of `experiment`, whose `settings` have values as [`values`] gives them. Every choice of values is tried on it: what is wrong is said before any run
/// begins.
///
/// # Errors
/// When a setting is unknown or a value does not suit it, the experiment has no end, or as [`Plan::new`].
pub fn plan(
    experiment: &Experiment,
    seeds: Vec<u64>,
    settings: &[(String, Vec<String>)],
) -> Result<Plan> {
    if experiment.train.steps == 0 {
        return Err(Error::usage(format!(
            "experiment {} goes on until stopped; say how long each run is with --steps N",
            experiment.name
        )));
    }
    if settings.iter().any(|(name, _)| name == "train.seed") {
        return Err(Error::usage("the seeds of a sweep are given by --seeds, as in --seeds 0..19"));
    }
    if settings.iter().any(|(name, _)| name == "train.steps") {
        return Err(Error::usage("all runs of a sweep have the same steps: --steps N"));
    }
    let settings = read_values(experiment.clone(), settings)?;
    let plan = Plan::new(document(experiment)?, seeds, settings)?;
    for &seed in &plan.seeds {
        experiment.clone().set("train.seed", &whole(seed)?)?;
    }
    Ok(plan)
}

/// The values that texts mean. Each value once is enough to know of all choices whether they are settings and in range.
fn read_values(
    mut experiment: Experiment,
    settings: &[(String, Vec<String>)],
) -> Result<Vec<(String, Vec<Value>)>> {
    let mut read = Vec::new();
    for (name, texts) in settings {
        let values: Vec<Value> = texts.iter().map(|text| experiment.read(name, text)).collect();
        values.iter().try_for_each(|value| experiment.clone().set(name, value))?;
        // Kinds come before the settings that they bring.
        values.first().map_or(Ok(()), |value| experiment.set(name, value))?;
        read.push((name.clone(), values));
    }
    Ok(read)
}

/// The plan of a sweep folder, its experiment with every setting of this program.
///
/// # Errors
/// As [`Plan::read`], or when the experiment in it cannot be read.
pub fn read(folder: &Path) -> Result<Plan> {
    let mut plan = Plan::read(folder)?;
    let origin = folder.join(crate::sweep::DOCUMENT).display().to_string();
    plan.experiment = document(&Experiment::parse(&plan.experiment.to_string(), &origin)?)?;
    Ok(plan)
}

/// The sweeps that come with the program: name and document.
pub const BUILTIN: &[(&str, &str)] = &[
    ("memory-zoo", include_str!("../../assets/sweeps/memory-zoo.toml")),
    ("plateau-length", include_str!("../../assets/sweeps/plateau-length.toml")),
    ("plateau-start", include_str!("../../assets/sweeps/plateau-start.toml")),
    ("plateau-w", include_str!("../../assets/sweeps/plateau-w.toml")),
    ("plateau-alpha", include_str!("../../assets/sweeps/plateau-alpha.toml")),
];

/// The plan of a sweep file, which is written like `sweep.toml`, or of a sweep that comes with the program; `None` where neither is
/// meant. Every run is tried on its experiment: what is wrong is said before any begins.
///
/// # Errors
/// When the file cannot be read, or a setting does not suit.
pub fn planned(name: &Path) -> Result<Option<Plan>> {
    let builtin = BUILTIN.iter().find(|(known, _)| name == Path::new(known));
    let text = match builtin {
        Some((_, text)) => (*text).to_owned(),
        None if name.is_file() => read_document(name)?,
        None => return Ok(None),
    };
    let table = text.parse::<Table>().unwrap_or_default();
    if !["experiment", "seeds", "bundles", "schema"].iter().any(|key| table.contains_key(*key)) {
        return Ok(None);
    }
    let mut plan = Plan::parse(&text, name)?;
    let origin = name.display().to_string();
    plan.experiment = document(&Experiment::parse(&plan.experiment.to_string(), &origin)?)?;
    plan.check_expected().map_err(|e| e.context(origin.clone()))?;
    for member in plan.members() {
        let tried = tried(&plan, &member);
        let experiment = tried.map_err(|e| e.context(format!("{origin}: run {}", member.name)))?;
        if experiment.train.steps == 0 {
            return Err(Error::usage(format!(
                "{origin}: run {} goes on until stopped; say how long it is with steps = N in [experiment.train]",
                member.name
            )));
        }
    }
    Ok(Some(plan))
}

/// The experiment of a run, whose network can be built: with other seeds it is the same one.
fn tried(plan: &Plan, member: &Member) -> Result<Experiment> {
    let changes = plan.changes(&member.values);
    if changes.iter().any(|(name, _)| name == "train.seed") {
        return Err(Error::usage(
            "train.seed is what the seeds of a sweep say: seeds = [0, 1, 2] at the top of the file; leave it out of settings and bundles",
        ));
    }
    let experiment = experiment_of(plan, member)?;
    if plan.seeds.first() == Some(&member.seed) {
        let source = experiment.task.open()?;
        experiment.network(&*source, &mut Params::new(0))?;
    }
    Ok(experiment)
}

/// Makes `folder` the folder of a sweep: [`Plan::claim`]. Gives back the plan as the folder has it: the same values may be
/// written in another way there, and runs are called after them.
pub fn claim(plan: &Plan, folder: &Path) -> Result<(Plan, Option<Error>)> {
    let notice = plan.claim(folder, read)?;
    Ok((read(folder)?, notice))
}

fn document(experiment: &Experiment) -> Result<Table> {
    let document = experiment.to_toml();
    document.parse().map_err(|e: toml::de::Error| {
        Error::internal(format!("the experiment cannot be written as a document: {e}")).caused_by(e)
    })
}

fn whole(seed: u64) -> Result<Value> {
    i64::try_from(seed).map(Value::Integer).map_err(|_| {
        Error::usage(format!("seed {seed} is too large: seeds go from 0 to {}", u32::MAX))
    })
}

/// The experiment of one run of a plan.
///
/// # Errors
/// When a setting does not suit the experiment.
pub fn experiment_of(plan: &Plan, member: &Member) -> Result<Experiment> {
    let mut experiment = Experiment::parse(&plan.experiment.to_string(), "of the sweep")?;
    for (name, value) in plan.changes(&member.values) {
        experiment.set(&name, &value)?;
    }
    experiment.set("train.seed", &whole(member.seed)?)?;
    Ok(experiment)
}

/// Seeds as a person writes them: `3`, `0..19` (both ends included), `0..4,7,9..11`.
///
/// # Errors
/// When it is something else, or more than [`MOST_RUNS`] seeds.
pub fn seeds(text: &str) -> Result<Vec<u64>> {
    let wrong = || {
        Error::usage(format!(
            "read the seeds \"{text}\", expected whole numbers and ranges of them, as in 0..19 (both ends included) or 1,5,8..9"
        ))
    };
    let mut seeds = Vec::new();
    for part in text.split(',') {
        let number = |text: &str| text.trim().parse::<u64>().map_err(|_| wrong());
        let (first, last) = match part.split_once("..") {
            // As Rust writes a range with both its ends.
            Some((first, last)) => {
                (number(first)?, number(last.strip_prefix('=').unwrap_or(last))?)
            }
            None => (number(part)?, number(part)?),
        };
        if last < first {
            return Err(wrong());
        }
        if last - first >= (MOST_RUNS - seeds.len()) as u64 {
            return Err(Error::usage(format!("{text}: a sweep has at most {MOST_RUNS} runs")));
        }
        seeds.extend(first..=last);
    }
    Ok(seeds)
}

/// The values after a `--set NAME=`: separated by commas, but for commas within double quotes.
///
/// # Errors
/// When one of several is empty, or a quote is left open.
pub fn values(text: &str) -> Result<Vec<String>> {
    let (mut parts, mut quoted) = (vec![String::new()], false);
    for c in text.chars() {
        quoted ^= c == '"';
        match parts.last_mut() {
            Some(_) if c == ',' && !quoted => parts.push(String::new()),
            Some(part) => part.push(c),
            None => {}
        }
    }
    if quoted {
        return Err(Error::usage(format!("{text}: a quote is left open")));
    }
    if parts.len() > 1 && parts.iter().any(|part| part.trim().is_empty()) {
        return Err(Error::usage(format!(
            "{text}: a value between two commas is empty; write \"\" for an empty text"
        )));
    }
    Ok(parts)
}

/// How far a run is.
#[derive(Clone, Debug)]
pub enum Stage {
    Waiting,
    Running,
    Finished,
    /// Stopped by hand and saved.
    Stopped,
    /// Another program is writing it.
    Elsewhere,
    /// A number was no longer finite at this step: a result too, and not tried again.
    Diverged(u64),
    Failed(Error),
}

/// What is known of a run while the sweep goes on.
#[derive(Clone, Debug)]
pub struct Standing {
    pub stage: Stage,
    pub step: u64,
    pub steps_per_second: f64,
    /// Columns of the metrics, and their last row.
    pub columns: Vec<String>,
    pub row: Option<MetricsRow>,
}

impl Standing {
    fn new() -> Self {
        Self {
            stage: Stage::Waiting,
            step: 0,
            steps_per_second: 0.0,
            columns: Vec::new(),
            row: None,
        }
    }
}

/// How many runs go on at once, and with how many threads each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Crew {
    pub jobs: usize,
    pub threads: usize,
}

impl Crew {
    /// Shares the cores of this machine among `jobs` of `runs` runs; as many at once as there are cores when nothing
    /// is said: a thread of a run of its own never waits for another.
    pub fn new(jobs: Option<usize>, runs: usize) -> Self {
        /// As many as `train.threads` takes.
        const MOST_THREADS: usize = 1024;
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let jobs = jobs.unwrap_or(cores).clamp(1, runs.max(1));
        Self { jobs, threads: (cores / jobs).clamp(1, MOST_THREADS) }
    }
}

/// Carries out the runs `which` of a plan in the folder of its sweep. A finished or diverged run is left as it is, one
/// that was interrupted goes on bit for bit, and one that fails stops no other. One that another program writes is looked
/// at again when all else is done. `tell` hears of every change of a run, by its number in the plan; a message of
/// `interrupted` saves and ends all.
///
/// Threads are not part of the plan: they change no number. An experiment that says its threads keeps them.
pub fn carry_out(
    sweep: (&Path, &Plan),
    which: &[usize],
    crew: Crew,
    interrupted: &Receiver<()>,
    tell: &mut dyn FnMut(usize, &Standing),
) -> Vec<Standing> {
    let (folder, plan) = sweep;
    let members = plan.members();
    let mut work = Work {
        standings: members.iter().map(|_| Standing::new()).collect(),
        active: Vec::new(),
        stopping: false,
        tell,
    };
    let mut queue: VecDeque<usize> = which.iter().copied().filter(|i| *i < members.len()).collect();
    let (mut elsewhere, mut again) = (VecDeque::new(), false);
    loop {
        while !work.stopping && work.active.len() < crew.jobs {
            if interrupted.try_recv().is_ok() {
                work.stop();
                break;
            }
            if queue.is_empty() && work.active.is_empty() && !std::mem::replace(&mut again, true) {
                queue.append(&mut elsewhere);
            }
            let Some(index) = queue.pop_front() else { break };
            let member = &members[index];
            let begun = start(&folder.join(&member.name), || {
                let mut experiment = experiment_of(plan, member)?;
                if experiment.train.threads == 0 {
                    let threads = i64::try_from(crew.threads).unwrap_or(i64::MAX);
                    experiment.set("train.threads", &threads.into())?;
                }
                Ok(experiment)
            });
            match begun {
                Ok(Begun::Elsewhere) if !again => elsewhere.push_back(index),
                begun => work.take(index, begun),
            }
        }
        if work.active.is_empty() {
            return work.end(&elsewhere);
        }
        work.wait(interrupted);
    }
}

/// A run that goes on.
struct Active {
    index: usize,
    session: Session,
    steps: u64,
    trouble: Option<Error>,
}

struct Work<'a> {
    standings: Vec<Standing>,
    active: Vec<Active>,
    stopping: bool,
    tell: &'a mut dyn FnMut(usize, &Standing),
}

impl Work<'_> {
    /// Takes in what came of beginning a run.
    fn take(&mut self, index: usize, begun: Result<Begun>) {
        let standing = &mut self.standings[index];
        match begun {
            Ok(Begun::Active(session, steps)) => {
                standing.stage = Stage::Running;
                self.active.push(Active { index, session, steps, trouble: None });
            }
            Ok(Begun::Over(over)) => *standing = *over,
            Ok(Begun::Elsewhere) => standing.stage = Stage::Elsewhere,
            Err(e) => standing.stage = Stage::Failed(e),
        }
        (self.tell)(index, &self.standings[index]);
    }

    /// What is known of all runs; those that another program was writing were not looked at again.
    fn end(mut self, elsewhere: &VecDeque<usize>) -> Vec<Standing> {
        elsewhere.iter().for_each(|&index| self.take(index, Ok(Begun::Elsewhere)));
        self.standings
    }

    /// Takes in the next event of any run.
    fn wait(&mut self, interrupted: &Receiver<()>) {
        let mut select = Select::new();
        for active in &self.active {
            select.recv(&active.session.events);
        }
        if !self.stopping {
            select.recv(interrupted);
        }
        let at = select.ready();
        drop(select);
        let Some(active) = self.active.get_mut(at) else {
            return match interrupted.try_recv() {
                Err(TryRecvError::Empty) => {}
                // Also when whoever could interrupt is gone: nobody could end the runs any more.
                Ok(()) | Err(TryRecvError::Disconnected) => self.stop(),
            };
        };
        let index = active.index;
        match active.session.events.try_recv() {
            Ok(event) => active.take(event, &mut self.standings[index]),
            Err(TryRecvError::Empty) => return,
            Err(TryRecvError::Disconnected) => {
                let active = self.active.swap_remove(at);
                self.standings[index].stage = active.end(&self.standings[index]);
            }
        }
        (self.tell)(index, &self.standings[index]);
    }

    fn stop(&mut self) {
        self.stopping = true;
        for active in &self.active {
            let _ = active.session.commands.send(Command::Stop);
        }
    }
}

impl Active {
    fn take(&mut self, event: Event, standing: &mut Standing) {
        match event {
            Event::Started { columns, step, .. } => {
                standing.columns = columns;
                standing.step = step;
            }
            Event::Metrics(row) => {
                standing.step = standing.step.max(row.step);
                standing.row = Some(row);
            }
            Event::Progress { step, steps_per_second, state } => {
                standing.step = step;
                standing.steps_per_second = steps_per_second;
                if state == State::Finished {
                    // All steps are done, and the trainer waits for orders.
                    let _ = self.session.commands.send(Command::Stop);
                }
            }
            Event::Trouble(e) => {
                // Nobody is there to make room and press Run: save what can be saved and end.
                let _ = self.session.commands.send(Command::Stop);
                self.trouble.get_or_insert(e);
            }
            // What only somebody who looks on wants to know.
            Event::Mark(_)
            | Event::Recorded { .. }
            | Event::Thinned { .. }
            | Event::Weights(_)
            | Event::Doing(_)
            | Event::InForce(_)
            | Event::Live(_)
            | Event::Missed
            | Event::Notice(_) => {}
        }
    }

    fn end(self, standing: &Standing) -> Stage {
        let Self { session, steps, trouble, .. } = self;
        session.join();
        match trouble {
            Some(e) if e.kind == Kind::Diverged => Stage::Diverged(standing.step),
            Some(e) => Stage::Failed(e),
            None if standing.step >= steps => Stage::Finished,
            None => Stage::Stopped,
        }
    }
}

enum Begun {
    Active(Session, u64),
    /// There is nothing to do.
    Over(Box<Standing>),
    /// Another program is writing it.
    Elsewhere,
}

/// Takes the run at `place`, then looks: what is there may change until it is taken.
fn start(place: &Path, experiment: impl FnOnce() -> Result<Experiment>) -> Result<Begun> {
    let experiment = experiment()?;
    let steps = experiment.train.steps as u64;
    let claim = match Claim::take(place) {
        Ok(Some(claim)) => claim,
        Ok(None) => return Ok(Begun::Elsewhere),
        // A finished run in a folder that nobody may write any more is one all the same.
        Err(e) => {
            let over = run_folder::is_run(place).then(|| over(place, steps).ok().flatten());
            return over.flatten().map(|over| Begun::Over(Box::new(over))).ok_or(e);
        }
    };
    let there = claim.holds_run();
    if there && let Some(standing) = over(place, steps)? {
        return Ok(Begun::Over(Box::new(standing)));
    }
    let session = Session::start_in(
        claim,
        Start {
            experiment,
            begin: if there { Begin::Resume } else { Begin::Fresh },
            folder: None,
            paused: false,
            attended: false,
        },
    )?;
    Ok(Begun::Active(session, steps))
}

/// What became of a run that needs nothing more; `None` when it is to go on.
fn over(place: &Path, steps: u64) -> Result<Option<Standing>> {
    let saved = run_folder::saved_step(place)?;
    let diverged = diverged(&run_folder::marks(place)?);
    if diverged.is_none() && saved.is_none_or(|saved| saved < steps) {
        return Ok(None);
    }
    let recording = Reader::open(place)?.recording;
    let row = recording.rows.last().cloned();
    // A checkpoint of the last step comes after its row; a row that is missing was taken away by a hand.
    if diverged.is_none() && row.as_ref().is_none_or(|row| row.step < steps) {
        return Ok(None);
    }
    Ok(Some(Standing {
        stage: diverged.map_or(Stage::Finished, Stage::Diverged),
        step: diverged.unwrap_or(steps),
        steps_per_second: 0.0,
        columns: recording.columns,
        row,
    }))
}
