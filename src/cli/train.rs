//! `mnemoscope train`: a run without a window.

use std::io::IsTerminal;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use crossbeam_channel::{Receiver, bounded, never, select};
use indicatif::{ProgressBar, ProgressStyle};

use crate::record::error::{Error, Result};
use crate::record::event::{Event, MarkKind, MetricsRow, State};
use crate::record::folder::library;
use crate::run::experiment::Experiment;
use crate::run::session::{Begin, Command, Session, Start};

use super::{assignment, say};

#[derive(Args)]
pub struct Train {
    /// An experiment: a name of `mnemoscope list experiments`, or a .toml file (with --resume it may be left out)
    #[arg(required_unless_present = "resume")]
    experiment: Option<String>,
    /// Change a setting, e.g. --set train.seed=3 --set task.triggers=5 (see `mnemoscope list`)
    #[arg(long = "set", value_name = "NAME=VALUE")]
    set: Vec<String>,
    /// Number of steps (the same as --set train.steps=N)
    #[arg(long, value_name = "N")]
    steps: Option<usize>,
    /// Folder to record into (default: a new one in the library of runs)
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Go on with the run in --out, bit for bit as if it had not stopped
    #[arg(long, requires = "out")]
    resume: bool,
    /// Say nothing but errors
    #[arg(long)]
    quiet: bool,
}

impl Train {
    pub fn run(self) -> Result<ExitCode> {
        let experiment = self.experiment()?;
        let folder = match &self.out {
            Some(folder) => folder.clone(),
            None => library::new_run_folder(&library::home()?, &experiment.name)?,
        };
        let total = experiment.train.steps as u64;
        let interrupted = interrupts()?;
        let session = Session::start(Start {
            experiment,
            begin: if self.resume { Begin::Resume } else { Begin::Fresh },
            folder: Some(folder.clone()),
            paused: false,
        })?;
        let mut report = Report::new(total, self.quiet)?;
        let stopped = watch(&session, &interrupted, &mut report);
        drop(session);
        let stopped = stopped?;
        report.end(&folder, stopped)?;
        Ok(if stopped { ExitCode::from(130) } else { ExitCode::SUCCESS })
    }

    fn experiment(&self) -> Result<Experiment> {
        let mut experiment = match (&self.experiment, &self.out) {
            (Some(name), _) => Experiment::find(name)?,
            (None, Some(out)) => Experiment::load(&out.join("experiment.toml"))?,
            (None, None) => {
                return Err(Error::usage("which experiment? See: mnemoscope list experiments"));
            }
        };
        for text in &self.set {
            let (name, value) = assignment(text)?;
            experiment.set(name, &value)?;
        }
        if let Some(steps) = self.steps {
            experiment.train.steps = steps;
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

/// A message for each Ctrl-C (or termination signal).
fn interrupts() -> Result<Receiver<()>> {
    let (sender, receiver) = bounded(1);
    ctrlc::set_handler(move || {
        let _ = sender.try_send(());
    })
    .map_err(|e| Error::system(format!("listening for Ctrl-C: {e}")))?;
    Ok(receiver)
}

/// Follows the session to its end; true when a person stopped it.
fn watch(session: &Session, interrupted: &Receiver<()>, report: &mut Report) -> Result<bool> {
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
    trouble.map_or(Ok(stopped), Err)
}

/// What a person sees meanwhile: a bar on a terminal, plain lines elsewhere.
struct Report {
    quiet: bool,
    bar: Option<ProgressBar>,
    columns: Vec<String>,
    last: Option<MetricsRow>,
    learned: Vec<(u64, String)>,
    total: u64,
    next_line: u64,
}

impl Report {
    fn new(total: u64, quiet: bool) -> Result<Self> {
        let bar = (!quiet && std::io::stderr().is_terminal()).then(|| ProgressBar::new(total));
        if let Some(bar) = &bar {
            let style = ProgressStyle::with_template(
                "{bar:30} step {pos}/{len}  {per_sec}  {eta} left  {msg}",
            )
            .map_err(|e| Error::internal(e.to_string()))?;
            bar.set_style(style);
        }
        Ok(Self {
            quiet,
            bar,
            columns: Vec::new(),
            last: None,
            learned: Vec::new(),
            total,
            next_line: 0,
        })
    }

    fn take(&mut self, event: &Event) -> Result<()> {
        match event {
            Event::Started { columns, step, .. } => {
                self.columns.clone_from(columns);
                if let Some(bar) = &self.bar {
                    bar.set_position(*step);
                    bar.reset_eta();
                }
            }
            Event::Metrics(row) => self.metrics(row)?,
            Event::Mark(mark) => {
                if mark.kind == MarkKind::Emergence {
                    self.learned.push((mark.step, mark.text.clone()));
                }
                self.line(&format!("step {}: {}", mark.step, mark.text))?;
            }
            Event::Progress { step, state, .. } => {
                if let Some(bar) = &self.bar {
                    bar.set_position(*step);
                    if *state == State::Finished {
                        bar.abandon();
                    }
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn metrics(&mut self, row: &MetricsRow) -> Result<()> {
        let summary = self.summary(row);
        self.last = Some(row.clone());
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

    fn summary(&self, row: &MetricsRow) -> String {
        let shown = [("loss", "loss"), ("accuracy_in_context", "in-context accuracy")];
        let value = |name: &str| {
            let i = self.columns.iter().position(|c| c == name)?;
            row.values.get(i).copied().filter(|v| v.is_finite())
        };
        let parts: Vec<String> = shown
            .iter()
            .filter_map(|(name, label)| Some(format!("{label} {:.3}", value(name)?)))
            .collect();
        parts.join("  ")
    }

    fn line(&self, text: &str) -> Result<()> {
        match &self.bar {
            _ if self.quiet => Ok(()),
            Some(bar) => {
                bar.println(text);
                Ok(())
            }
            None => say(text),
        }
    }

    fn end(&self, folder: &std::path::Path, stopped: bool) -> Result<()> {
        if self.quiet {
            return Ok(());
        }
        let last = self.last.as_ref();
        let step = last.map_or(0, |row| row.step);
        say(format!(
            "{} at step {step}: {}",
            if stopped { "Stopped" } else { "Finished" },
            last.map_or_else(String::new, |row| self.summary(row))
        ))?;
        for (step, text) in &self.learned {
            say(format!("  step {step}: {text}"))?;
        }
        if self.learned.is_empty() {
            say("  no emergence mark was set")?;
        }
        say(format!("The run lies in {}", folder.display()))?;
        say(format!("Look at it: mnemoscope \"{}\"", folder.display()))?;
        if stopped {
            say(format!("Go on: mnemoscope train --resume --out \"{}\"", folder.display()))?;
        }
        Ok(())
    }
}
