//! `mnemoscope train`: a run without a window.

use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use crossbeam_channel::{Receiver, bounded, never, select};
use indicatif::{ProgressBar, ProgressStyle};

use crate::app::Panels;
use crate::base::error::{Error, Kind, Result};
use crate::base::event::{Event, MarkKind, MetricsRow, State};
use crate::base::quoting;
use crate::base::vocab::plain;
use crate::run::experiment::Experiment;
use crate::run::session::{Begin, Command, Session, Start};
use crate::run::tour;
use crate::run_folder::Reader;
use crate::run_folder::library::{self, CAP_BYTES, Stock};
use crate::run_folder::recording::Recording;

use super::assignment;

#[derive(Args)]
pub struct Train {
    /// An experiment: a name of `mnemoscope list experiments`, a .toml file, or a run folder to repeat (with --resume it
    /// may be left out). A name of the list wins: ./birth is the folder, birth the experiment
    #[arg(required_unless_present = "resume")]
    experiment: Option<PathBuf>,
    /// Change a setting, e.g. --set train.seed=3 --set task.triggers=5 (see `mnemoscope list`)
    #[arg(long = "set", value_name = "NAME=VALUE")]
    set: Vec<String>,
    /// Number of steps (the same as --set train.steps=N)
    #[arg(long, value_name = "N")]
    steps: Option<String>,
    /// What to train on: cpu, or cuda or metal in a program built with that feature (the same as --set train.device=…)
    #[arg(long, value_name = "DEVICE")]
    device: Option<String>,
    /// Folder to record into (default: a new one in the library of runs)
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Go on with the run in --out, bit for bit as if it had not stopped
    #[arg(long, requires = "out")]
    resume: bool,
    /// Show each row within seconds to those who follow the folder over a network: sync it after an evaluation, once a second
    /// at most
    #[arg(long)]
    follow_friendly: bool,
    /// Say nothing but errors
    #[arg(long)]
    quiet: bool,
}

/// An experiment, with every name in its lessons looked up: those that come with the program are looked up by its tests.
fn found(name: &Path) -> Result<Experiment> {
    let experiment = Experiment::find(name)?;
    if !Experiment::is_builtin(&name.to_string_lossy()) {
        let panels: Vec<&str> = Panels::default().names().collect();
        tour::check(&experiment, &panels, &tour::home(library::home().ok().as_deref()))?;
    }
    Ok(experiment)
}

impl Train {
    pub fn run(self) -> Result<ExitCode> {
        let experiment = self.experiment()?;
        let (folder, made) = match &self.out {
            Some(folder) => (folder.clone(), false),
            None => (new_folder(&experiment.name)?, true),
        };
        let total = experiment.train.steps as u64;
        let interrupted = interrupts()?;
        let session = Session::start(Start {
            experiment,
            begin: if self.resume { Begin::Resume } else { Begin::Fresh },
            folder: Some(folder.clone()),
            paused: false,
            attended: false,
        })
        .inspect_err(|_| {
            if made {
                library::give_back(&folder);
            }
        })?;
        if self.follow_friendly {
            let _ = session.commands.send(Command::Sync);
        }
        let mut report = Report::new(total, self.quiet)?;
        let end = watch(&session, &interrupted, &mut report);
        // Everything is saved and said before the run is read again.
        drop(session);
        let end = end?;
        let told = report.end(&folder, &end);
        match end {
            // Of two errors the one that ended the run.
            End::Trouble(e) => Err(e),
            End::Stopped => told.map(|()| ExitCode::from(130)),
            End::Done => told.map(|()| ExitCode::SUCCESS),
        }
    }

    fn experiment(&self) -> Result<Experiment> {
        let mut experiment = match (&self.experiment, &self.out) {
            (Some(name), _) => found(name)?,
            (None, Some(out)) => Experiment::of_halted(out)?,
            (None, None) => {
                return Err(Error::usage("which experiment? See: mnemoscope list experiments"));
            }
        };
        for text in &self.set {
            let (name, value) = assignment(text)?;
            experiment.set_text(name, value)?;
        }
        experiment.resolve_from_here();
        if let Some(device) = &self.device {
            experiment.set("train.device", &device.as_str().into())?;
        }
        if let Some(steps) = &self.steps {
            experiment.set_text("train.steps", steps)?;
        }
        if let (None, Some(out)) = (&self.experiment, &self.out) {
            experiment.check_said(out).map_err(|e| e.context(format!("run {}", out.display())))?;
        }
        if experiment.model.is_read() {
            return Err(Error::usage(format!(
                "{} is a network of another program: it is looked at here (mnemoscope FOLDER opens it in the window) and not trained",
                experiment.name
            )));
        }
        if experiment.train.steps == 0 {
            return Err(Error::usage(format!(
                "experiment {} goes on until stopped; say how long with --steps N",
                experiment.name
            )));
        }
        Ok(experiment)
    }
}

/// A new folder in the library. That the library is large is said; nothing of it goes for that.
fn new_folder(name: &str) -> Result<PathBuf> {
    let home = library::home()?;
    if let Some(sentence) = Stock::take(&home, CAP_BYTES, &[])?.sentence(CAP_BYTES) {
        super::tell(&format!("{sentence}; see `mnemoscope runs --prune`"));
    }
    library::new_run_folder(&home, name)
}

/// How a run came to its end.
enum End {
    Done,
    /// By a person.
    Stopped,
    Trouble(Error),
}

/// A message for each Ctrl-C (or termination signal).
///
/// # Errors
/// When the system does not let this program listen.
pub(super) fn interrupts() -> Result<Receiver<()>> {
    let (sender, receiver) = bounded(1);
    ctrlc::set_handler(move || {
        let _ = sender.try_send(());
    })
    .map_err(|e| Error::system(format!("listening for Ctrl-C: {e}")).caused_by(e))?;
    Ok(receiver)
}

/// Follows the session to its end.
fn watch(session: &Session, interrupted: &Receiver<()>, report: &mut Report) -> Result<End> {
    let (mut stopped, mut trouble) = (false, None);
    let mut signals = interrupted.clone();
    loop {
        select! {
            recv(signals) -> _ => {
                stopped = true;
                signals = never();
                let _ = session.commands.send(Command::Stop);
            }
            recv(session.events) -> event => match event {
                Ok(Event::Trouble(e)) => {
                    // No one is there to free the disk and press Run: save what can be saved and end.
                    let _ = session.commands.send(Command::Stop);
                    trouble.get_or_insert(e);
                }
                Ok(Event::Notice(e)) => super::tell(&e.message),
                Ok(event) => {
                    if matches!(event, Event::Progress { state: State::Finished, .. }) {
                        // All steps are done, and the trainer waits for orders.
                        let _ = session.commands.send(Command::Stop);
                    }
                    report.take(&event)?;
                }
                Err(_) => break,
            },
            default(Duration::from_secs(3600)) => {}
        }
    }
    Ok(match trouble {
        Some(e) => End::Trouble(e),
        None if stopped => End::Stopped,
        None => End::Done,
    })
}

/// The numbers of a row that tell most: `loss 2.113  in-context accuracy 0.981`.
pub(super) fn summary(columns: &[String], row: &MetricsRow) -> String {
    let shown = [("loss", "loss"), ("accuracy_in_context", "in-context accuracy")];
    let value = |name: &str| {
        let i = columns.iter().position(|c| c == name)?;
        row.values.get(i).copied().filter(|v| v.is_finite())
    };
    let parts: Vec<String> = shown
        .iter()
        .filter_map(|(name, label)| Some(format!("{label} {:.3}", value(name)?)))
        .collect();
    parts.join("  ")
}

/// The last numbers of a run that is at a step; of which step they are, where that is one before.
pub(super) fn numbers_at(step: u64, row: &MetricsRow, columns: &[String]) -> String {
    let numbers = summary(columns, row);
    if numbers.is_empty() || row.step == step {
        return numbers;
    }
    format!("{numbers} (at step {})", row.step)
}

/// What a person sees meanwhile: a bar on a terminal, plain lines elsewhere.
struct Report {
    quiet: bool,
    bar: Option<ProgressBar>,
    columns: Vec<String>,
    total: u64,
    /// Steps done.
    step: u64,
    next_line: u64,
}

impl Report {
    fn new(total: u64, quiet: bool) -> Result<Self> {
        let bar = (!quiet && std::io::stderr().is_terminal()).then(|| ProgressBar::new(total));
        if let Some(bar) = &bar {
            let style = ProgressStyle::with_template(
                "{bar:30} step {pos}/{len}  {per_sec}  {eta} left  {msg}",
            )
            .map_err(Error::internal_of)?;
            bar.set_style(style);
        }
        Ok(Self { quiet, bar, columns: Vec::new(), total, step: 0, next_line: 0 })
    }

    fn take(&mut self, event: &Event) -> Result<()> {
        match event {
            Event::Started { columns, step, .. } => {
                self.columns.clone_from(columns);
                self.step = *step;
                if let Some(bar) = &self.bar {
                    bar.set_position(*step);
                    bar.reset_eta();
                }
            }
            Event::Metrics(row) => self.metrics(row)?,
            Event::Mark(mark) => {
                self.line(&format!("step {}: {}", mark.step, mark.text))?;
            }
            Event::Progress { step, state, .. } => {
                self.step = *step;
                if let Some(bar) = &self.bar {
                    bar.set_position(*step);
                    if *state == State::Finished {
                        bar.abandon();
                    }
                }
            }
            // What only the window shows.
            Event::Recorded { .. }
            | Event::Thinned { .. }
            | Event::Weights(_)
            | Event::Doing(_)
            | Event::InForce(_)
            | Event::Live(_)
            | Event::Missed
            | Event::Notice(_)
            | Event::Trouble(_) => {}
        }
        Ok(())
    }

    fn metrics(&mut self, row: &MetricsRow) -> Result<()> {
        let summary = summary(&self.columns, row);
        if let Some(bar) = &self.bar {
            bar.set_message(summary);
            return Ok(());
        }
        // Some twenty lines over a whole run are enough for a log.
        if row.step >= self.next_line {
            self.next_line = row.step + (self.total / 20).max(1);
            self.line(&format!("step {}/{}  {summary}", row.step, self.total))?;
        }
        Ok(())
    }

    fn line(&mut self, text: &str) -> Result<()> {
        let text = &plain(text);
        match &self.bar {
            _ if self.quiet => Ok(()),
            Some(bar) => {
                bar.println(text);
                Ok(())
            }
            None => self.say(text),
        }
    }

    /// Writes a line to standard output. When nobody reads any more, training goes on without words.
    fn say(&mut self, text: &str) -> Result<()> {
        match writeln!(std::io::stdout(), "{}", plain(text)) {
            Err(e) if e.kind() == std::io::ErrorKind::BrokenPipe => {
                self.quiet = true;
                Ok(())
            }
            said => said.map_err(|e| Error::from(e).context("writing to standard output")),
        }
    }

    /// What was learned, and where it lies.
    fn end(&mut self, folder: &Path, end: &End) -> Result<()> {
        if self.quiet {
            return Ok(());
        }
        let word = match end {
            End::Done => "Finished",
            End::Stopped => "Stopped",
            End::Trouble(e) if e.kind == Kind::Diverged => "Diverged",
            End::Trouble(_) => "Ended",
        };
        // Of the whole run, also of what was before it was resumed.
        let recorded = Reader::open(folder).map(|reader| reader.recording);
        if let Ok(recording) = &recorded {
            self.learned(word, recording)?;
        }
        // Nobody can look at a folder that was taken away.
        if !folder.exists() {
            return recorded.map(drop);
        }
        let there = quoting::path(folder);
        self.say(&format!("The run lies in {}", folder.display()))?;
        self.say(&format!("Look at it: mnemoscope {there}"))?;
        if matches!(end, End::Stopped) {
            self.say(&format!("Go on: mnemoscope train --resume --out {there}"))?;
        }
        recorded.map(drop)
    }

    fn learned(&mut self, word: &str, recording: &Recording) -> Result<()> {
        let last = recording.rows.last();
        let numbers =
            last.map_or_else(String::new, |row| numbers_at(self.step, row, &self.columns));
        self.say(&format!("{word} at step {}: {numbers}", self.step))?;
        let learned = recording.marks.iter().filter(|mark| mark.kind == MarkKind::Emergence);
        let mut learned: Vec<String> =
            learned.map(|mark| format!("  step {}: {}", mark.step, mark.text)).collect();
        if learned.is_empty() {
            learned.push("  no emergence mark was set".to_owned());
        }
        learned.iter().try_for_each(|line| self.say(line))
    }
}
