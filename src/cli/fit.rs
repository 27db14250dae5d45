//! `mnemoscope fit`: linear probes, lenses and erasure, fitted to a recorded run and kept in its folder.
#![expect(clippy::doc_markdown, reason = "help is printed as it stands, and backticks with it")]

use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, ValueEnum};
use crossbeam_channel::Receiver;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Value, json};

use crate::base::error::{Error, Result};
use crate::base::intervention::{Intervention, Site};
use crate::base::plain::Plain;
use crate::base::settings::Settings;
use crate::base::vocab::plain;
use crate::figure::file::save;
use crate::formats::file::check_free;
use crate::measurement::analysis::readers::Readers;
use crate::measurement::probing::data::parse_site;
use crate::measurement::probing::{self, FitSettings, Kind, Outcome, Progress, Read, Reader};
use crate::run::examine::Instrument;
use crate::run::experiment::Experiment;
use crate::run_folder::Reader as RunReader;
use crate::run_folder::readers::{self, KeptReader};

use super::options::{Asked, Options};
use super::run_at::weights_near;
use super::say;
use super::train::interrupts;

#[derive(Clone, Copy, ValueEnum)]
enum What {
    /// At every boundary between layers an affine change of the stream, after which the network's own unembedding reads it
    /// (Belrose et al. 2023)
    TunedLens,
    /// A linear map from the stream at every boundary between layers straight to the next token
    TokenLens,
    /// A linear map from a site to a label: how much of it can be read there
    LinearProbe,
    /// The same with one hidden layer of rectified units: what is there, but not in a linear form
    MlpProbe,
    /// The smallest linear change of a site after which no linear probe tells the label, and what the network does then
    Leace,
}

impl What {
    fn kind(self) -> Kind {
        match self {
            Self::TunedLens => Kind::TunedLens,
            Self::TokenLens => Kind::TokenLens,
            Self::LinearProbe => Kind::LinearProbe,
            Self::MlpProbe => Kind::MlpProbe,
            Self::Leace => Kind::Leace,
        }
    }
}

/// The settings that a fit at one place shares with one at every place.
#[derive(Clone)]
struct OnePlace;

impl Asked for OnePlace {
    const ONLY: &'static [&'static str] =
        &["label", "positions", "train", "test", "seed", "hidden", "decay", "rounds"];

    fn usual() -> Box<dyn Settings> {
        Box::new(Readers::of_one_place())
    }
}

#[derive(Args)]
pub struct Fit {
    /// Folder of a recorded run
    #[arg(value_name = "RUN_FOLDER")]
    folder: PathBuf,
    /// What to fit
    #[arg(value_enum, value_name = "KIND")]
    what: What,
    /// Step to fit at: the nearest one whose weights are recorded (default: the last)
    #[arg(long, value_name = "N")]
    step: Option<u64>,
    /// Where vectors are read, e.g. `layer0.resid_mid` (default: `resid_post` of the last layer; the lens reads all boundaries)
    #[arg(long, value_name = "SITE")]
    site: Option<String>,
    #[command(flatten)]
    options: Options<OnePlace>,
    /// Change the forward pass while examples are read, as of `mnemoscope examine`, e.g. --intervene
    /// "zero layer1.pattern@47<-36"
    #[arg(long, value_name = "WHAT")]
    intervene: Vec<String>,
    /// A setting of the task for the sequences, e.g. --set task.path_length=6; the network stays the same
    #[arg(long, value_name = "NAME=VALUE")]
    set: Vec<String>,
    /// A bias in the maps of the token lens, which has none otherwise
    #[arg(long)]
    bias: bool,
    /// Name to keep it under, in the folder `readers` of the run (default: kind, site, positions, label and step)
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// Fit nothing: judge what is kept under this name, at this step and on these positions
    #[arg(long, value_name = "NAME", conflicts_with = "name")]
    with: Option<String>,
    /// Write what was found to a .json file as well
    #[arg(short, long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Replace the file, and what is kept under the name, if they exist
    #[arg(long)]
    force: bool,
}

impl Fit {
    pub fn run(self) -> Result<ExitCode> {
        self.check_out()?;
        let mut reader = RunReader::open(&self.folder)?;
        let weights = weights_near(&mut reader, self.step)?;
        let step = weights.step;
        let mut instrument = Instrument::new(&self.experiment()?)?;
        let (settings, site) = self.settings(&instrument)?;
        let name = self.name.clone().unwrap_or_else(|| probing::usual_name(&settings, site, step));
        if self.with.is_none() {
            self.check_name(&name)?;
        }
        let kept = self.with.as_deref().map(|name| self.kept(name)).transpose()?;
        let mut bar = Bar::new()?;
        let (subject, pool) = instrument.subject(&weights)?;
        let read = Read { subject, pool, step };
        let found = probing::run(read, &settings, site, kept, &mut |progress| bar.show(progress));
        bar.clear();
        let Some(outcome) = found? else {
            say("Stopped; nothing was kept.")?;
            return Ok(ExitCode::from(130));
        };
        self.tell(&outcome, &name)?;
        Ok(ExitCode::SUCCESS)
    }

    /// What is wrong with the name of the file is said before anything is computed.
    fn check_out(&self) -> Result<()> {
        let Some(path) = &self.out else { return Ok(()) };
        if !path.extension().is_some_and(|e| e.eq_ignore_ascii_case("json")) {
            return Err(Error::usage(format!(
                "-o {}: expected a name that ends in .json",
                path.display()
            )));
        }
        check_free(path, self.force)
    }

    fn check_name(&self, name: &str) -> Result<()> {
        if self.force || !readers::names(&self.folder)?.iter().any(|kept| kept == name) {
            return Ok(());
        }
        Err(Error::usage(format!(
            "a reader {name} is kept in {} already and is left as it is; choose another --name, or replace it with --force",
            self.folder.display()
        )))
    }

    /// The experiment of the run, perhaps with other sequences.
    fn experiment(&self) -> Result<Experiment> {
        if let Some(other) = self.set.iter().find(|text| !text.starts_with("task.")) {
            return Err(Error::usage(format!(
                "--set {other}: only settings of the task can change here, e.g. --set task.path_length=6"
            )));
        }
        let mut experiment = Experiment::of_run(&self.folder)?;
        experiment.set_texts(self.set.iter().map(String::as_str))?;
        Ok(experiment)
    }

    fn settings(&self, instrument: &Instrument) -> Result<(FitSettings, Site)> {
        let layers = instrument.layout().heads.len();
        let last = format!("layer{}.resid_post", layers.saturating_sub(1));
        let mut asked = Readers::of_one_place();
        self.options.set(&mut asked)?;
        asked.told.kind = self.what.kind();
        let source = instrument.source();
        let under = self.intervene.iter().map(|what| {
            Intervention::written(what, source.vocab()).map_err(|e| e.context("--intervene"))
        });
        let mut settings = asked.settings(&**source)?;
        settings.under = under.collect::<Result<_>>()?;
        settings.fitting.bias |= self.bias;
        Ok((settings, parse_site(self.site.as_ref().unwrap_or(&last), layers)?))
    }

    fn kept(&self, name: &str) -> Result<Reader> {
        let KeptReader { about, tensors } = readers::read(&self.folder, name)?;
        let about = crate::base::json::parse(&about).map_err(|e| {
            Error::input(format!("what is said of the reader {name} cannot be read: {e}"))
                .caused_by(e)
        })?;
        let kind = self.what.kind();
        let kept = Reader::kind_of(&about, &tensors);
        if kept != Some(kind) {
            return Err(Error::usage(format!(
                "the reader {name} is a {}, not a {}; ask for that kind, or name another one",
                kept.map_or("reader of no known kind", Kind::name),
                kind.name()
            )));
        }
        Reader::from_tensors(kind, &tensors).map_err(|e| e.context(name))
    }

    fn tell(&self, outcome: &Outcome, name: &str) -> Result<()> {
        let mut about = outcome.about.clone();
        if let Some(with) = &self.with {
            about["with"] = json!(with);
        }
        let text = serde_json::to_string_pretty(&about).map_err(Error::internal_of)?;
        let kept_at = match &self.with {
            Some(_) => None,
            None => {
                let reader = KeptReader { about: text.clone(), tensors: outcome.reader.tensors() };
                Some(readers::save(&self.folder, name, &reader, self.force)?)
            }
        };
        if let Some(path) = &self.out {
            save(path, text.as_bytes(), self.force)?;
        }
        summary(&about)?;
        kept_at.map_or(Ok(()), |path: PathBuf| say_kept(&path))
    }
}

fn say_kept(path: &Path) -> Result<()> {
    say(format!("\nkept in {}", path.display()))
}

/// The numbers of the report for a person, one line each.
fn summary(about: &Value) -> Result<()> {
    let words = |key: &str| about[key].as_str().unwrap_or("").to_owned();
    let split = &about["split"];
    let half = |half: &str| match split[half]["examples"].as_u64() {
        Some(examples) => format!("{examples} of {} sequences", split[half]["sequences"]),
        None => "none".to_owned(),
    };
    say(format!("{} at step {}", words("kind"), about["step"]))?;
    if let Some(site) = about["site"].as_str() {
        say(format!("site      {site}"))?;
    }
    say(format!("positions {}, label {}", words("positions"), words("label")))?;
    say(format!("examples  fitted to {}, judged by {}\n", half("train"), half("test")))?;
    lines(&about["report"], "")
}

/// Every number of a JSON value with its place, `a.b.c`.
fn lines(value: &Value, place: &str) -> Result<()> {
    let inside =
        |key: &str| if place.is_empty() { key.to_owned() } else { format!("{place}.{key}") };
    match value {
        Value::Object(map) if map.values().all(|v| !v.is_object() && !v.is_array()) => {
            let parts: Vec<String> =
                map.iter().map(|(key, value)| format!("{key} {}", shown(value))).collect();
            say(format!("  {place:<34} {}", parts.join("  ")))
        }
        Value::Object(map) => map.iter().try_for_each(|(key, value)| lines(value, &inside(key))),
        Value::Array(list) => list.iter().enumerate().try_for_each(|(i, value)| {
            let named = value["site"].as_str().map_or_else(|| i.to_string(), str::to_owned);
            let mut value = value.clone();
            if let Some(map) = value.as_object_mut() {
                map.retain(|_, part| part.is_object());
            }
            lines(&value, &named)
        }),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {
            say(format!("  {place:<34} {}", shown(value)))
        }
    }
}

fn shown(value: &Value) -> String {
    match value.as_f64() {
        Some(x) if value.is_f64() && x != 0.0 && x.abs() < 1e-3 => format!("{x:.1e}"),
        Some(x) if value.is_f64() && x.fract() != 0.0 => format!("{:.4}", Plain(x)),
        Some(x) if value.is_f64() => Plain(x).to_string(),
        None if value.is_null() => "undefined".to_owned(),
        _ => value.to_string(),
    }
}

/// What a person sees meanwhile, on a terminal.
struct Bar {
    bar: Option<ProgressBar>,
    interrupted: Receiver<()>,
}

impl Bar {
    fn new() -> Result<Self> {
        let bar = std::io::stderr().is_terminal().then(|| ProgressBar::new(1));
        if let Some(bar) = &bar {
            let style = ProgressStyle::with_template("{bar:30} {pos}/{len}  {msg}")
                .map_err(Error::internal_of)?;
            bar.set_style(style);
        }
        Ok(Self { bar, interrupted: interrupts()? })
    }

    /// False after Ctrl-C.
    fn show(&mut self, progress: Progress<'_>) -> bool {
        if let Some(bar) = &self.bar {
            bar.set_length(progress.of as u64);
            bar.set_position(progress.done as u64);
            bar.set_message(plain(progress.doing));
        }
        self.interrupted.try_recv().is_err()
    }

    fn clear(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
