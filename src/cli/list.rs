//! `mnemoscope list`: what there is, with every setting, default and range.

use std::process::ExitCode;

use clap::{Args, ValueEnum};

use crate::base::error::{Error, Result};
use crate::base::registry::{Named, find};
use crate::base::settings::{self, Settings, Slot, Spec};
use crate::export::sheet::{self, Sheet};
use crate::measurement::study;
use crate::run::experiment::Experiment;
use crate::run::gallery;
use crate::run::lesson;
use crate::run::tour::{self, Tour};
use crate::run_folder::{library, recent};
use crate::{measurement, model, panel, task};

use super::say;

#[derive(Args)]
pub struct List {
    /// Which kind of thing (all kinds when left out)
    kind: Option<Kind>,
    /// One of them, with every setting, its default and its range
    name: Option<String>,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Kind {
    Tasks,
    Models,
    #[value(alias = "probes")]
    Measurements,
    #[value(alias = "inquiries")]
    Analyses,
    /// Experiments of the literature, for networks of other programs: `mnemoscope study`
    Studies,
    Panels,
    Experiments,
    /// Figure sheets: pages of several panels
    Figures,
    /// Guided tours: in the menu Help of the window
    Tours,
    /// Models, series and sets of prompts that were opened lately
    Recent,
}

impl List {
    pub fn run(self) -> Result<ExitCode> {
        match (self.kind, self.name) {
            (Some(kind), Some(name)) => one(kind, &name)?,
            (Some(kind), None) => all(kind)?,
            (None, _) => {
                // What was opened lately is of a person and not of the program.
                let all_kinds = Kind::value_variants().iter();
                for kind in all_kinds.filter(|kind| **kind != Kind::Recent) {
                    let value = kind.to_possible_value();
                    say(format!("{}:", value.as_ref().map_or("", |v| v.get_name())))?;
                    all(*kind)?;
                    say("")?;
                }
                say(
                    "Settings of one: mnemoscope list KIND NAME, for example: mnemoscope list tasks bigram",
                )?;
                say("Settings of training: mnemoscope list experiments birth")?;
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn all(kind: Kind) -> Result<()> {
    match kind {
        Kind::Tasks => entries(task::ALL, |t| t.about()),
        Kind::Models => entries(model::ALL, |m| m.about()),
        Kind::Measurements => entries(measurement::ALL, |p| p.about()),
        Kind::Analyses => entries(measurement::analysis::ALL, |i| i.about()),
        Kind::Studies => entries(study::ALL, |s| s.about()),
        Kind::Panels => entries(panel::ALL, |p| p.about()),
        Kind::Experiments => {
            for card in gallery::cards()? {
                say(format!("  {:<22} {}", card.name, card.about))?;
                say(format!("  {:<22} {}; {}", "", card.source, card.time(None)))?;
            }
            Ok(())
        }
        Kind::Tours => tour::BUILTIN
            .iter()
            .try_for_each(|tour| say(format!("  {:<22} {}", tour.name, tour.about))),
        Kind::Recent => recent::list(&library::home()?)?.iter().try_for_each(|recent| {
            let gone = if recent.is_there {
                ""
            } else {
                "   (gone: mnemoscope runs --forget takes it off this list)"
            };
            say(format!("  {:<8} {}{gone}", recent.kind.name(), recent.path.display()))
        }),
        Kind::Figures => {
            for (name, _) in sheet::BUILTIN {
                say(format!("  {name:<22} {}", Sheet::find(name)?.about))?;
            }
            Ok(())
        }
    }
}

fn entries<R: Named>(list: &[R], about: impl Fn(&R::Made) -> &'static str) -> Result<()> {
    for row in list {
        say(format!("  {:<22} {}", row.name(), about(&*row.make())))?;
    }
    Ok(())
}

fn one(kind: Kind, name: &str) -> Result<()> {
    match kind {
        Kind::Tasks => {
            let mut task = find("task", task::ALL, name)?;
            settings(&mut *task, "task.")?;
            labels(&*task)
        }
        Kind::Models => settings(&mut *find("model", model::ALL, name)?, "model."),
        Kind::Measurements => settings(&mut *find("measurement", measurement::ALL, name)?, ""),
        Kind::Analyses => settings(&mut *find("analysis", measurement::analysis::ALL, name)?, ""),
        Kind::Studies => study(&mut *find("study", study::ALL, name)?),
        Kind::Panels => settings(&mut *find("panel", panel::ALL, name)?, ""),
        Kind::Figures => say(Sheet::find(name)?.to_toml()),
        Kind::Recent => Err(Error::usage(format!(
            "there is nothing more to say of {name}: mnemoscope list recent says all; mnemoscope {name} opens it"
        ))),
        Kind::Tours => {
            let tour = Tour::builtin(name)?;
            say(format!("{name}: {}", tour.about))?;
            say(lesson::to_toml(&tour.lessons))
        }
        Kind::Experiments => {
            let mut experiment = Experiment::builtin(name)?;
            say(format!("{name}, {}: {}", experiment.title(), experiment.about))?;
            say(format!("\ntask {}", experiment.task_kind))?;
            settings(&mut *experiment.task, "task.")?;
            say(format!("\nmodel {}", experiment.model_kind))?;
            settings(&mut *experiment.model, "model.")?;
            say("\ntraining")?;
            settings(&mut experiment.train, "train.")?;
            for staged in &experiment.at {
                say(format!("\nat step {}: {}", staged.step, staged.what))?;
            }
            Ok(())
        }
    }
}

/// A study: its settings, and what the literature found.
fn study(study: &mut dyn study::Study) -> Result<()> {
    settings(study, "")?;
    say("\nWhat the literature found")?;
    study.known().iter().try_for_each(|known| {
        say(format!("  {}: {}", known.network, known.found))?;
        say(format!("    {}", known.source))
    })
}

/// What a task offers to be read out of a network, where it opens without a file of one's own.
fn labels(task: &dyn task::Task) -> Result<()> {
    let Ok(source) = task.open() else { return Ok(()) };
    let kinds = source.label_kinds();
    if !kinds.is_empty() {
        say("\nlabels (mnemoscope fit RUN_FOLDER linear-probe --label NAME)")?;
    }
    kinds.iter().try_for_each(|kind| say(format!("  {:<22} {}", kind.name, kind.about)))
}

fn settings(settings: &mut (impl Settings + ?Sized), path: &str) -> Result<()> {
    say(settings.about())?;
    let mut lines = Vec::new();
    settings.each(&mut |spec, slot| lines.push(setting(path, spec, slot)));
    for line in lines {
        say(line)?;
    }
    Ok(())
}

/// `  train.rate = 0.2   from 1e-8 to 100; takes effect while running` and the help below it.
fn setting(path: &str, spec: &Spec, slot: Slot<'_>) -> String {
    let (value, mut range) = match slot {
        Slot::Bool(v) => (v.to_string(), "true or false".to_owned()),
        Slot::Int(v) => (v.to_string(), settings::range_text(spec, "whole number")),
        Slot::Float(v) => (v.to_string(), settings::range_text(spec, "number")),
        Slot::Choice(v) => (v.names()[v.index()].to_owned(), v.names().join(" | ")),
        Slot::Text(v) => (format!("\"{v}\""), "text".to_owned()),
    };
    if spec.live && !path.is_empty() {
        range.push_str("; takes effect while running");
    }
    format!("  {:<34} {range}\n      {}", format!("{path}{} = {value}", spec.name), spec.help)
}
