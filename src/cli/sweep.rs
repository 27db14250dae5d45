//! `mnemoscope sweep`: one experiment with many seeds and settings, a few runs at a time.

use std::io::{IsTerminal, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

use crate::base::error::{Error, Result};
use crate::base::event::MetricsRow;
use crate::base::quoting;
use crate::base::vocab::plain;
use crate::run::experiment::Experiment;
use crate::run::sweep::{self, Crew, Stage, Standing};
use crate::sweep::{Member, Plan, is_sweep};

use super::say;
use super::train::{interrupts, numbers_at, summary};

/// The share of steps of a quick look.
const QUICK: f64 = 0.2;

/// A sweep has runs that are not done: they diverged, failed or are elsewhere.
const NOT_ALL_DONE: u8 = 6;

/// Where a job of an array finds its number.
const JOB_NUMBERS: [&str; 3] = ["SLURM_ARRAY_TASK_ID", "HQ_TASK_ID", "JOB_COMPLETION_INDEX"];

#[derive(Args)]
pub struct Sweep {
    /// An experiment: a name of `mnemoscope list experiments`, a .toml file or a run folder; or a sweep file, which is written like
    /// sweep.toml, or memory-zoo, which comes with the program (may be left out to go on with the sweep in --out)
    experiment: Option<PathBuf>,
    /// Seeds: 0..19 (both ends included), 1,5,8 or a mixture (default: the experiment's own)
    #[arg(long, value_name = "SEEDS")]
    seeds: Option<String>,
    /// Change a setting in all runs, or try several values: --set train.rate=0.1,0.2. Several settings with several values
    /// are tried in all combinations. A value with a comma in it goes into double quotes: --set 'task.text="a,b.txt",c.txt'
    #[arg(long = "set", value_name = "NAME=VALUE[,VALUE…]")]
    set: Vec<String>,
    /// Number of steps of each run (the same as --set train.steps=N)
    #[arg(long, value_name = "N")]
    steps: Option<String>,
    /// What to train on: cpu, or cuda or metal in a program built with that feature
    #[arg(long, value_name = "DEVICE")]
    device: Option<String>,
    /// Folder of the sweep: a run folder for each run, and sweep.toml. One that is there goes on: what is done stays
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Of a sweep file: a fifth of the steps, and the first seed alone, to see how it looks
    #[arg(long)]
    quick: bool,
    /// Runs at a time; the cores are shared among them (default: as many as there are cores)
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    jobs: Option<u16>,
    /// Only the run of this number, from 0, for a job of an array; without a number, that in `SLURM_ARRAY_TASK_ID`, `HQ_TASK_ID`
    /// or `JOB_COMPLETION_INDEX`
    #[arg(long, value_name = "I", num_args = 0..=1, default_missing_value = "")]
    index: Option<String>,
    /// List the runs with their numbers and begin none
    #[arg(long)]
    dry_run: bool,
    /// Say nothing but errors
    #[arg(long)]
    quiet: bool,
}

impl Sweep {
    pub fn run(self) -> Result<ExitCode> {
        let plan = self.plan()?;
        if self.dry_run {
            for (i, member) in plan.members().iter().enumerate() {
                say(format!("{i}\t{}", member.name))?;
            }
            return Ok(ExitCode::SUCCESS);
        }
        let runs = plan.members().len();
        let which = match &self.index {
            Some(text) => vec![number_of_job(text, runs)?],
            None => (0..runs).collect(),
        };
        let (plan, notice) = sweep::claim(&plan, &self.out)?;
        if let Some(notice) = notice {
            super::tell(&notice.message);
        }
        let members = plan.members();
        let crew = Crew::new(self.jobs.map(usize::from), which.len());
        let interrupted = interrupts()?;
        let mut report = Report::new(&members, &which, self.quiet)?;
        if !self.quiet {
            report.begin(crew)?;
        }
        let sweep = (self.out.as_path(), &plan);
        let standings = sweep::carry_out(sweep, &which, crew, &interrupted, &mut |index, now| {
            report.take(index, now);
        });
        report.clear();
        self.end(&members, &which, &standings)
    }

    /// The plan in the words of the command, or that of the folder.
    fn plan(&self) -> Result<Plan> {
        let words = self.seeds.is_some()
            || !self.set.is_empty()
            || self.steps.is_some()
            || self.device.is_some();
        if self.quick && self.experiment.is_none() {
            return Err(Error::usage(
                "--quick is said when a sweep begins, with its file; one that has begun goes on as it was planned",
            ));
        }
        let Some(name) = &self.experiment else {
            return match is_sweep(&self.out) {
                true if !words => sweep::read(&self.out),
                true => Err(Error::usage(format!(
                    "{} holds a sweep: it goes on as it was planned, without --seeds, --set, --steps and --device; for another one name the experiment and another folder",
                    self.out.display()
                ))),
                false => Err(Error::usage(format!(
                    "which experiment? {} holds no sweep to go on with. See: mnemoscope list experiments",
                    self.out.display()
                ))),
            };
        };
        let Some(plan) = sweep::planned(name)? else {
            if self.quick {
                return Err(Error::usage("--quick is of sweep files; say --steps N instead"));
            }
            return self.new_plan(Experiment::find(name)?);
        };
        if words {
            return Err(Error::usage(format!(
                "{} says its seeds and settings itself: change them there (a copy of it), or name an experiment",
                name.display()
            )));
        }
        Ok(if self.quick { plan.quicker(QUICK) } else { plan })
    }

    fn new_plan(&self, mut experiment: Experiment) -> Result<Plan> {
        let mut settings = Vec::new();
        for text in &self.set {
            let (name, values) = assignments(text)?;
            match values.as_slice() {
                [value] => experiment.set_text(&name, value)?,
                _ => settings.push((name, values)),
            }
        }
        experiment.resolve_from_here();
        if let Some(device) = &self.device {
            experiment.set("train.device", &device.as_str().into())?;
        }
        if let Some(steps) = &self.steps {
            experiment.set_text("train.steps", steps)?;
        }
        let seeds = match &self.seeds {
            Some(text) => sweep::seeds(text)?,
            None => vec![experiment.train.seed as u64],
        };
        // What differs between the runs is no part of what they share.
        experiment.train.seed = 0;
        sweep::plan(&experiment, seeds, &settings).map_err(|mut e| {
            // `0,25` may have been meant as one number.
            let is_whole = |value: &String| value.parse::<i64>().is_ok();
            if settings.iter().any(|(_, values)| values.len() == 2 && values.iter().all(is_whole)) {
                let end = if e.message.ends_with(['.', '?']) { "" } else { "." };
                e.message.push_str(end);
                e.message.push_str(" A comma in --set stands between two values: 0.25 has a point");
            }
            e
        })
    }

    fn end(&self, members: &[Member], which: &[usize], standings: &[Standing]) -> Result<ExitCode> {
        let of = |stage: fn(&Stage) -> bool| {
            which.iter().filter(|&&i| stage(&standings[i].stage)).count()
        };
        let done = of(|s| matches!(s, Stage::Finished));
        let stopped = of(|s| matches!(s, Stage::Stopped | Stage::Waiting)) > 0;
        for (member, e) in which.iter().filter_map(|&i| {
            if let Stage::Failed(e) = &standings[i].stage { Some((&members[i], e)) } else { None }
        }) {
            // Errors are said to who wants to hear nothing else, too.
            super::tell(&format!("{}: {e}", member.name));
        }
        if !self.quiet {
            table(members, which, standings)?;
            say(format!("{done} of {} runs are finished.", which.len()))?;
        }
        if !self.quiet && self.out.exists() {
            let there = quoting::path(&self.out);
            say(format!("The sweep lies in {}", self.out.display()))?;
            say(format!("Look at it: mnemoscope {there}"))?;
            say(format!("Its numbers: mnemoscope gather {there}"))?;
            if stopped {
                say(format!("Go on: mnemoscope sweep --out {there}"))?;
            }
        }
        Ok(match (stopped, done == which.len()) {
            (true, _) => ExitCode::from(130),
            (false, true) => ExitCode::SUCCESS,
            (false, false) => ExitCode::from(NOT_ALL_DONE),
        })
    }
}

/// `NAME=A,B,C` as a name and its values.
fn assignments(text: &str) -> Result<(String, Vec<String>)> {
    let (name, values) = text.split_once('=').ok_or_else(|| {
        Error::usage(format!("--set {text}: expected NAME=VALUE or NAME=VALUE,VALUE,…"))
    })?;
    let values = sweep::values(values).map_err(|e| e.context(format!("--set {text}")))?;
    Ok((name.trim().to_owned(), values))
}

/// The number after `--index`, or in the environment of a job of an array.
fn number_of_job(text: &str, runs: usize) -> Result<usize> {
    let found = || JOB_NUMBERS.iter().find_map(|name| Some((*name, std::env::var(name).ok()?)));
    let (name, text) = match (text, found()) {
        ("", Some(found)) => found,
        ("", None) => {
            return Err(Error::usage(format!(
                "--index: say the number of the run, or run it in a job of an array, which has {}",
                JOB_NUMBERS.join(" or ")
            )));
        }
        (text, _) => ("--index", text.to_owned()),
    };
    text.trim().parse().ok().filter(|index| *index < runs).ok_or_else(|| {
        Error::usage(format!(
            "{name} = {text}: expected a number from 0 to {}, for this sweep has {runs} runs",
            runs - 1
        ))
    })
}

fn word(stage: &Stage) -> &'static str {
    match stage {
        Stage::Waiting => "not begun",
        Stage::Running => "running",
        Stage::Finished => "finished",
        Stage::Stopped => "stopped",
        Stage::Elsewhere => "elsewhere",
        Stage::Diverged(_) => "diverged",
        Stage::Failed(_) => "failed",
    }
}

/// The last numbers of a run, or why there are none.
fn note(standing: &Standing) -> String {
    let last = |words: &dyn Fn(&MetricsRow) -> String| {
        standing.row.as_ref().map_or_else(String::new, words)
    };
    match &standing.stage {
        Stage::Failed(e) => e.message.clone(),
        Stage::Elsewhere => "another program is writing it".to_owned(),
        Stage::Running => last(&|row| summary(&standing.columns, row)),
        Stage::Waiting | Stage::Finished | Stage::Stopped | Stage::Diverged(_) => {
            last(&|row| numbers_at(standing.step, row, &standing.columns))
        }
    }
}

/// A line a run.
fn table(members: &[Member], which: &[usize], standings: &[Standing]) -> Result<()> {
    let width = which.iter().map(|&i| members[i].name.chars().count()).max().unwrap_or(0);
    for &i in which {
        let (name, standing) = (&members[i].name, &standings[i]);
        let (word, step) = (word(&standing.stage), standing.step);
        let line = format!("{name:width$}  {word:9}  step {step:>6}  {}", note(standing));
        say(line.trim_end())?;
    }
    Ok(())
}

/// What a person sees meanwhile: a bar for each run that goes on and one for all on a terminal, a line for each that
/// begins or ends elsewhere.
struct Report {
    quiet: bool,
    names: Vec<String>,
    /// Of each run.
    steps: Vec<u64>,
    runs: usize,
    over: usize,
    /// What was last said of each run.
    said: Vec<&'static str>,
    screen: Option<Screen>,
}

struct Screen {
    bars: MultiProgress,
    all: ProgressBar,
    style: ProgressStyle,
    of: Vec<Option<ProgressBar>>,
}

impl Report {
    fn new(members: &[Member], which: &[usize], quiet: bool) -> Result<Self> {
        let steps: Vec<u64> = members.iter().map(|member| member.steps).collect();
        let style =
            |template: &str| ProgressStyle::with_template(template).map_err(Error::internal_of);
        let names: Vec<String> = members.iter().map(|m| m.name.clone()).collect();
        let screen = (!quiet && std::io::stderr().is_terminal()).then(|| -> Result<Screen> {
            let bars = MultiProgress::new();
            let all = bars.add(ProgressBar::new(which.iter().map(|i| steps[*i]).sum()));
            all.set_style(style("{bar:30} {msg}  {eta} left")?);
            let width = names.iter().map(|name| name.chars().count()).max().unwrap_or(0);
            let style =
                style(&format!("{{prefix:{width}}} {{bar:20}} step {{pos}}/{{len}}  {{msg}}"))?;
            Ok(Screen { bars, all, style, of: vec![None; names.len()] })
        });
        let said = vec![""; names.len()];
        Ok(Self {
            quiet,
            names,
            steps,
            runs: which.len(),
            over: 0,
            said,
            screen: screen.transpose()?,
        })
    }

    fn begin(&mut self, crew: Crew) -> Result<()> {
        let plural = |n: usize| if n == 1 { "" } else { "s" };
        let line = format!(
            "{} run{} of {} steps, {} at a time with {} thread{} each",
            self.runs,
            plural(self.runs),
            range(&self.steps),
            crew.jobs,
            crew.threads,
            plural(crew.threads)
        );
        self.line(&line);
        Ok(())
    }

    fn take(&mut self, index: usize, standing: &Standing) {
        if self.quiet {
            return;
        }
        let word = word(&standing.stage);
        let news = std::mem::replace(&mut self.said[index], word) != word;
        let running = matches!(standing.stage, Stage::Running);
        if news && !running {
            self.over += 1;
        }
        if let Some(screen) = &mut self.screen {
            screen.show(index, (&self.names[index], self.steps[index]), standing, running);
            screen.all.set_message(format!("{} of {} runs", self.over, self.runs));
        }
        if news && (!running || self.screen.is_none()) {
            let name = &self.names[index];
            let line = match (running, standing.step) {
                (true, 0) => format!("{name}: begun"),
                (true, step) => format!("{name}: goes on at step {step}"),
                (false, step) => format!("{name}: {word} at step {step}  {}", note(standing)),
            };
            self.line(&line);
        }
    }

    /// When nobody reads any more, the sweep goes on without words.
    fn line(&mut self, text: &str) {
        let text = plain(text.trim_end());
        let said = match &self.screen {
            Some(screen) => screen.bars.println(text),
            None => writeln!(std::io::stdout(), "{text}"),
        };
        self.quiet |= said.is_err();
    }

    fn clear(&mut self) {
        if let Some(screen) = self.screen.take() {
            // A terminal that cannot be cleared keeps its lines.
            let _ = screen.bars.clear();
        }
    }
}

impl Screen {
    fn show(&mut self, index: usize, of: (&str, u64), standing: &Standing, running: bool) {
        let (name, steps) = of;
        if !running {
            if let Some(bar) = self.of[index].take() {
                bar.finish_and_clear();
                self.all.inc(steps.saturating_sub(bar.position()));
            } else {
                self.all.inc(steps);
            }
            return;
        }
        let bar = self.of[index].get_or_insert_with(|| {
            let bar = self.bars.insert_before(&self.all, ProgressBar::new(steps));
            bar.set_style(self.style.clone());
            bar.set_prefix(name.to_owned());
            bar
        });
        self.all.inc(standing.step.saturating_sub(bar.position()));
        bar.set_position(standing.step);
        bar.set_message(note(standing));
    }
}

/// `800`, or `200 to 1500`.
fn range(steps: &[u64]) -> String {
    let (low, high) = (steps.iter().min().unwrap_or(&0), steps.iter().max().unwrap_or(&0));
    if low == high { low.to_string() } else { format!("{low} to {high}") }
}
