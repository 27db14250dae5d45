//! A whole run in one document.

use std::path::Path;
use std::sync::Arc;

use toml::{Table, Value};

use crate::base::batch::Reals;
use crate::base::documents::Documents;
use crate::base::error::{Error, Result, did_you_mean};
use crate::base::intervention::Intervention;
use crate::base::registry;
use crate::base::settings::{self, Settings};
use crate::formats::foreign;
use crate::model::pretrained::FromFiles;
use crate::model::segments::{Segmented, Segments};
use crate::model::{Architecture, Model, Sequences};
use crate::nn::params::Params;
use crate::run_folder;
use crate::run_folder::model_folder;
use crate::run_folder::series;
use crate::task::prompts::{PromptTask, Prompts};
use crate::task::{Source, Task};

use super::lesson::{self, Lesson};
use super::phenomenon::Phenomenon;
use super::size;

crate::choices! {
    /// Which positions the loss averages over.
    pub enum LossOver { All = "all", Repeated = "repeated" }
}

crate::choices! {
    pub enum Optimizer { Sgd = "sgd", AdamW = "adamw" }
}

crate::choices! {
    /// What training computes on.
    pub enum On { Cpu = "cpu", Cuda = "cuda", Metal = "metal" }
}

/// Held-out sequences of a network that was trained elsewhere: it is large, and they are random tokens.
const HELD_OUT: usize = 4;

crate::choices! {
    pub enum Schedule { Constant = "constant", Cosine = "cosine" }
}

crate::settings! {
    /// Settings of training: `train.…`.
    pub struct Train = "How the network is trained and how often it is measured and recorded." {
        /// Seed of everything random: initial weights and sequences.
        seed: usize = 0, in 0.0..=4294967295.0;
        /// Sequences in a batch.
        batch: usize = 64, in 1..=4096;
        /// Steps after which training ends; 0 goes on until stopped.
        steps: usize = 0, in 0..=1000000000, @live;
        /// Optimiser: SGD with momentum and coupled decay, or AdamW.
        optimizer: Optimizer = Optimizer::Sgd;
        /// Learning rate.
        rate: f64 = 0.2, in 1e-8..=100.0, @log, @live;
        /// Momentum of SGD.
        momentum: f64 = 0.9, in 0.0..=0.9999, @live;
        /// Weight decay: coupled (L2) for SGD, decoupled for AdamW.
        decay: f64 = 1e-4, in 0.0..=10.0, @live;
        /// First moment decay of AdamW.
        beta1: f64 = 0.9, in 0.0..=0.9999, @live;
        /// Second moment decay of AdamW.
        beta2: f64 = 0.99, in 0.0..=0.99999, @live;
        /// Learning-rate schedule after the warm-up; cosine falls to a share of the rate at the last step.
        schedule: Schedule = Schedule::Constant, @live;
        /// Share of the learning rate that is left at the end of the cosine.
        cosine_to: f64 = 0.1, in 0.0..=1.0, @live;
        /// Steps over which the learning rate rises from 0.
        warmup: usize = 0, in 0..=1000000, @live;
        /// Learning rates of single tensors as multiples of the rate, with semicolons between, as in: p1=1000; layer0.wk=0.1. Empty: all learn at the rate.
        rates: String = String::new();
        /// Largest norm of the gradient; larger ones are scaled down to it. 0: no clipping.
        clip: f64 = 0.0, in 0.0..=1e6, @live;
        /// Positions in the loss: all of them, or only repeated outputs (the answer was seen before in the sequence).
        loss: LossOver = LossOver::All;
        /// Sequences in a shard: each shard is one forward and backward pass on one thread, and gradients are added in the order of shards, so this number (not the number of threads) decides the last bits. 0: about 512 positions.
        shard: usize = 0, in 0..=256;
        /// Positions that are read at a time: a network with a state carries it from segment to segment, and attention sees one segment. 0: the whole sequence.
        segment: usize = 0, in 0..=65536;
        /// Of the last segments of a sequence, so many receive the gradient of the state that was carried into them; 0: the state passes no gradient on.
        through: usize = 65536, in 0..=65536;
        /// Steps from one evaluation to the next.
        evaluate: usize = 5, in 1..=1000000;
        /// Sequences in the fixed held-out batch.
        held_out: usize = 128, in 1..=4096;
        /// Disk budget of the recorded weights in MB; when it is full, every second recorded step goes.
        record_mb: usize = 512, in 1..=1000000;
        /// Threads to train with; 0: as many as the machine has. Changes no number.
        threads: usize = 0, in 0..=1024;
        /// What training computes on: the processor, or a graphics card if this program was built with the feature of the same name. Measuring stays on the processor.
        device: On = On::Cpu;
    }
}

/// An intervention that comes into force at the start of a step.
#[derive(Clone, Debug, PartialEq)]
pub struct Staged {
    pub step: u64,
    pub what: Intervention,
}

/// How a run goes on that was recorded: [`Experiment::going_on`].
pub struct GoingOn {
    /// As it was recorded, but for what may differ.
    pub experiment: Experiment,
    /// What a hand changed in it and keeps that value.
    pub changed: Vec<(String, Value)>,
    /// Steps to do from now on that are neither the experiment's nor among `changed`: one more change by hand, for steps
    /// that are done were trained towards another number.
    pub steps: Option<usize>,
}

/// An experiment: a task, a network, how it is trained, and what happens when.
pub struct Experiment {
    /// Short name, e.g. `birth-joint`.
    pub name: String,
    /// What it is called for a person; empty: its name.
    pub title: String,
    /// A sentence or two for a person.
    pub about: String,
    /// The paper or text that it comes from.
    pub source: String,
    pub task_kind: String,
    pub task: Box<dyn Task>,
    pub model_kind: String,
    pub model: Box<dyn Architecture>,
    pub train: Train,
    pub at: Vec<Staged>,
    /// A tour through its run.
    pub lessons: Vec<Lesson>,
    /// When it shows what it is about.
    pub phenomenon: Option<Phenomenon>,
}

macro_rules! with_the_program {
    ($($name:literal)*) => {
        /// The experiments that come with the program: name and document.
        pub const BUILTIN: &[(&str, &str)] = &[
            $(($name, include_str!(concat!("../../assets/experiments/", $name, ".toml"))),)*
        ];

        /// Of each of them a picture of what it shows, as PNG.
        pub(super) const STILLS: &[(&str, &[u8])] = &[
            $(($name, include_bytes!(concat!("../../assets/stills/", $name, ".png"))),)*
        ];
    };
}

with_the_program! {
    "birth"
    "birth-joint"
    "birth-output-first"
    "birth-keys-first"
    "birth-global"
    "birth-global-random"
    "birth-bigram-outputs"
    "birth-one-layer"
    "birth-two-layers"
    "tree"
    "tree-chain"
    "tree-paper"
    "gating"
    "gating-lab"
    "gating-three"
    "gating-two-then-three"
    "gating-split-set"
    "parity-gru"
    "parity-tanh"
    "parity-transformer"
    "parity-memory-tokens"
    "parity-scratchpad"
    "automaton-flip-flop"
    "automaton-cyclic5"
    "automaton-grid4"
    "automaton-cyclic3"
    "automaton-s3"
    "automaton-cyclic3-gru"
    "automaton-grid4-gru"
    "automaton-s3-gru"
    "flip-flop"
    "flip-flop-mixed"
    "flip-flop-gru"
    "copy-memory-tokens"
    "reverse-memory-tokens"
    "copy-far-memory-tokens"
    "copy-far-cache"
    "copy-far-cache-through"
    "passkey-feedback"
    "passkey-window"
    "passkey-cache"
    "passkey-compressive"
    "passkey-keys"
    "addition"
    "max-of-list"
    "interleaved-mechanisms"
    "retrieval-hierarchical"
    "retrieval-memory-tokens"
    "fact-counterfact"
    "facts"
    "affine-recurrences"
    "induction-phases"
}

/// Title and sentence of an experiment that comes with the program, as its document begins.
pub fn heading(name: &str) -> [&'static str; 2] {
    let document = BUILTIN.iter().find(|(known, _)| *known == name).map_or("", |(_, text)| *text);
    ["title", "about"].map(|key| {
        let mut lines = document.lines();
        let value = lines.find_map(|line| line.strip_prefix(key)?.strip_prefix(" = \""));
        value.and_then(|value| value.strip_suffix('"')).unwrap_or(name_of(document))
    })
}

/// What stands between the first quotes.
fn name_of(document: &'static str) -> &'static str {
    document.split('"').nth(1).unwrap_or("")
}

impl Experiment {
    /// An experiment of the kinds called `task` and `model`, with default settings.
    ///
    /// # Errors
    /// When there is no such kind.
    pub fn of(name: &str, task: &str, model: &str) -> Result<Self> {
        let (of_task, of_model) = (task, model);
        let task = registry::find("task", crate::task::ALL, of_task)?;
        let model = registry::find("model", crate::model::ALL, of_model)?;
        Ok(Self::new(name, (of_task, task), (of_model, model)))
    }

    /// Of a task and a network, each with its kind, which need not be in a registry; all else is as if nothing were said.
    pub fn new(
        name: &str,
        (task_kind, task): (&str, Box<dyn Task>),
        (model_kind, model): (&str, Box<dyn Architecture>),
    ) -> Self {
        Self {
            name: name.to_owned(),
            title: String::new(),
            about: String::new(),
            source: String::new(),
            task_kind: task_kind.to_owned(),
            task,
            model_kind: model_kind.to_owned(),
            model,
            train: Train::default(),
            at: Vec::new(),
            lessons: Vec::new(),
            phenomenon: None,
        }
    }

    /// Reads a document; settings that it leaves out have their defaults. `origin` stands in messages: the file.
    ///
    /// # Errors
    /// When the text is no TOML, a setting is unknown (with the nearest names), of the wrong type or out of range.
    pub fn parse(text: &str, origin: &str) -> Result<Self> {
        let wrong = |why: String| Error::input(format!("experiment {origin}: {why}"));
        if text.len() as u64 > MOST_DOCUMENT_BYTES {
            return Err(wrong(format!(
                "{} bytes, expected at most {MOST_DOCUMENT_BYTES}",
                text.len()
            )));
        }
        let table: Table =
            text.parse().map_err(|e: toml::de::Error| wrong(plain(text, &e)).caused_by(e))?;
        let mut experiment = Self::from_table(&table).map_err(|e| wrong(e.message))?;
        if experiment.name.is_empty() {
            let stem = Path::new(origin).file_stem().unwrap_or_default();
            experiment.name = stem.to_string_lossy().into_owned();
        }
        Ok(experiment)
    }

    /// Reads the experiment file at `path`. Files that it names are looked for from its folder on.
    ///
    /// # Errors
    /// When it cannot be read, or as [`Self::parse`].
    pub fn load(path: &Path) -> Result<Self> {
        let mut experiment = Self::parse(&read_document(path)?, &path.display().to_string())?;
        let whole = std::path::absolute(path)
            .map_err(|e| Error::from(e).context(format!("experiment file {}", path.display())))?;
        // A setting is text: from a folder whose name is none, paths stay as they are from here on.
        let place = if whole.to_str().is_some() { &whole } else { path };
        experiment.task.resolve(place.parent().unwrap_or(place));
        Ok(experiment)
    }

    /// The experiment of a run folder, whose task opens from what the folder keeps.
    ///
    /// # Errors
    /// When it is no run folder, was written by a newer program, or cannot be read.
    pub fn of_run(run: &Path) -> Result<Self> {
        if model_folder::is_model(run) {
            return Self::of_model(run);
        }
        let experiment = Self::written_in(run)?;
        experiment
            .restored(&run_folder::documents(run)?)
            .map_err(|e| e.context(format!("run {}", run.display())))
    }

    /// What is asked of a network of another program, or of a series of its checkpoints: prompts.
    ///
    /// # Errors
    /// When the folder holds none that is read.
    fn of_model(folder: &Path) -> Result<Self> {
        let files = Arc::new(series::network(folder)?);
        let place = folder.display().to_string();
        let model = FromFiles::new(place.clone(), &files.config, files.clone())
            .map_err(|e| e.context(place))?;
        let config = model.config();
        let (tokens, longest) = (config.vocab, config.length);
        let prompts = Prompts { tokens, longest, ..Prompts::default() };
        let tokenizer = series::tokenizer_folder(folder).unwrap_or_else(|| folder.to_owned());
        let task = PromptTask::new(prompts, &tokenizer, config.model_type);
        let name = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let (task, kind) = (("prompts", Box::new(task) as Box<dyn Task>), config.model_type);
        let made = Self::new(&name, task, (kind, Box::new(model)));
        Ok(Self { train: Train { held_out: HELD_OUT, ..Train::default() }, ..made })
    }

    /// The experiment of a run folder as it is written there: its task would open from outside.
    pub fn written_in(run: &Path) -> Result<Self> {
        // First: what a newer program wrote is refused by its version, not for a setting that is unknown here.
        run_folder::about(run)?;
        let path = run.join("experiment.toml");
        Self::parse(&read_document(&path)?, &path.display().to_string())
    }

    /// The experiment of a run that stopped, as it would go on: with the settings that a hand changed on its way.
    ///
    /// # Errors
    /// As [`Self::of_run`], or when its checkpoint is damaged.
    pub fn of_halted(run: &Path) -> Result<Self> {
        let experiment = Self::of_run(run)?;
        match run_folder::checkpoint(run)? {
            Some(checkpoint) => experiment.changed(&checkpoint.changed),
            None => Ok(experiment),
        }
    }

    /// The same experiment, whose task opens into what it opened into when a run began: see [`Task::restored`].
    ///
    /// # Errors
    /// When the documents are damaged.
    pub fn restored(mut self, documents: &Documents) -> Result<Self> {
        self.task = self.task.restored(documents)?;
        Ok(self)
    }

    /// The same experiment, whose task opens from now on into what it opens into now: everyone who opens it sees
    /// the same sequences, even when a file changes in between.
    ///
    /// # Errors
    /// When the task cannot be opened.
    pub fn pinned(self) -> Result<Self> {
        let documents = self.task.open()?.documents()?;
        self.restored(&documents)
    }

    /// An experiment that comes with the program.
    ///
    /// # Errors
    /// When none has that name; the sentence lists the names.
    pub fn builtin(name: &str) -> Result<Self> {
        if let Some((_, text)) = BUILTIN.iter().find(|(n, _)| *n == name) {
            return Self::parse(text, name);
        }
        let names: Vec<&str> = BUILTIN.iter().map(|(n, _)| *n).collect();
        Err(Error::usage(format!(
            "there is no experiment \"{name}\", neither a file nor one that comes with the program.{} Those that come with it: {}.",
            did_you_mean(name, names.iter().copied()),
            names.join(", ")
        )))
    }

    /// Whether an experiment that comes with the program has this name. It wins over a file or a folder of the
    /// same name, which can be meant with a separator: `./birth`.
    pub fn is_builtin(arg: &str) -> bool {
        BUILTIN.iter().any(|(name, _)| *name == arg)
    }

    /// The experiment that a person means by `arg`: the name of one that comes with the program, an experiment
    /// file, or a run folder.
    ///
    /// # Errors
    /// When it is none of the three, or cannot be read.
    pub fn find(arg: impl AsRef<Path>) -> Result<Self> {
        let path = arg.as_ref();
        let name = path.to_string_lossy();
        if Self::is_builtin(&name) {
            return Self::builtin(&name);
        }
        if path.is_dir() {
            return Self::of_run(path);
        }
        if path.is_file() || path.extension().is_some_and(|e| e == "toml") {
            return Self::load(path);
        }
        if path.components().count() > 1 {
            return Err(Error::usage(format!(
                "no such file or folder: {name}. Expected an experiment (.toml), the folder of a recorded run, or an experiment that comes with the program (mnemoscope list experiments)"
            )));
        }
        Self::builtin(&name)
    }

    /// Takes paths among the settings as paths from the folder on that the program was started in, also for who looks at
    /// a run from elsewhere. Settings are text: where the name of that folder is none, they stay as they are.
    pub fn resolve_from_here(&mut self) {
        if let Some(here) = std::env::current_dir().ok().filter(|here| here.to_str().is_some()) {
            self.task.resolve(&here);
        }
    }

    /// Gives the setting at `path` a value: `task.…`, `model.…`, `train.…`, or one of `name`, `title`, `about`, `source`,
    /// `task.kind`, `model.kind` (which bring the defaults of the new kind).
    ///
    /// # Errors
    /// When there is no such setting or the value does not suit it. Nothing has changed then.
    pub fn set(&mut self, path: &str, value: &Value) -> Result<()> {
        match path.split_once('.') {
            Some(("task", "kind")) => {
                let kind = text_of(path, value)?;
                self.task = registry::find("task", crate::task::ALL, kind)?;
                kind.clone_into(&mut self.task_kind);
            }
            Some(("model", "kind")) => {
                let kind = text_of(path, value)?;
                self.model = registry::find("model", crate::model::ALL, kind)?;
                kind.clone_into(&mut self.model_kind);
            }
            Some(("task", name)) => settings::set(&mut *self.task, "task.", name, value)?,
            Some(("model", name)) => settings::set(&mut *self.model, "model.", name, value)?,
            Some(("train", name)) => settings::set(&mut self.train, "train.", name, value)?,
            None if path == "name" => text_of(path, value)?.clone_into(&mut self.name),
            None if path == "title" => text_of(path, value)?.clone_into(&mut self.title),
            None if path == "about" => text_of(path, value)?.clone_into(&mut self.about),
            None if path == "source" => text_of(path, value)?.clone_into(&mut self.source),
            _ => return Err(self.unknown_setting(path)),
        }
        Ok(())
    }

    /// Adds the parameters of the network to `params` and gives back its forward pass. What others ask for is compared with
    /// what a machine can hold before memory is asked for.
    ///
    /// # Errors
    /// When settings contradict each other, or the network or one pass through it would be larger than this program's
    /// largest: the size is named.
    pub fn network(&self, source: &dyn Source, params: &mut Params) -> Result<Box<dyn Model>> {
        let on = self.sequences(source)?;
        if self.model.is_read() {
            return self.model.build(on, params);
        }
        size::check_asked(&mut *self.model.boxed(), on.vocab, on.length)?;
        let model = self.model.build(on, params)?;
        size::check_pass(&self.train, model.layout(), params)?;
        let (length, through) = (self.train.segment, self.train.through);
        Ok(match length {
            0 => model,
            _ => Box::new(Segmented { model, segments: Segments { length, through } }),
        })
    }

    /// The network without its numbers, where those are in files: for what stays the same at all steps.
    ///
    /// # Errors
    /// As [`Self::network`].
    pub fn outline(&self, source: &dyn Source, params: &mut Params) -> Result<Box<dyn Model>> {
        if self.model.is_read() {
            return self.model.outline(self.sequences(source)?, params);
        }
        self.network(source, params)
    }

    /// What the network reads.
    ///
    /// # Errors
    /// When it cannot read that.
    fn sequences(&self, source: &dyn Source) -> Result<Sequences> {
        let reals = source.facet::<Reals>().copied().unwrap_or_default();
        if reals != Reals::default() && !self.model.reads_reals() {
            return Err(Error::usage(
                "this model reads and predicts tokens alone, and the task is one of real numbers; choose the model \"decoder\"",
            ));
        }
        let (length, segment) = (source.length(), self.train.segment);
        if segment > 0 && self.model.needs_whole_segments() && !length.is_multiple_of(segment) {
            return Err(Error::usage(format!(
                "sequences of {length} positions cannot be read in segments of train.segment = {segment}: the last one would have {}; change the length of the task or train.segment, so that one divides the other",
                length % segment
            )));
        }
        let (vocab, length) = (source.vocab().len(), source.longest());
        let segment = if segment == 0 { length } else { segment };
        Ok(Sequences { vocab, length, segment, reals })
    }

    /// As [`Self::set`], of a value as a command line has it.
    pub fn set_text(&mut self, path: &str, text: &str) -> Result<()> {
        let value = self.read(path, text);
        self.set(path, &value)
    }

    /// What a text on a command line means for the setting at `path`: [`settings::read`].
    pub fn read(&mut self, path: &str, text: &str) -> Value {
        match path.split_once('.') {
            None | Some((_, "kind")) => settings::unquoted(text).into(),
            Some(("task", name)) => settings::read(&mut *self.task, name, text),
            Some(("model", name)) => settings::read(&mut *self.model, name, text),
            Some((_, name)) => settings::read(&mut self.train, name, text),
        }
    }

    /// As [`Self::set`] for several `name=value` texts, as they come from a command line.
    ///
    /// # Errors
    /// The first that does not fit.
    pub fn set_texts<'a>(&mut self, texts: impl IntoIterator<Item = &'a str>) -> Result<()> {
        for text in texts {
            let (path, value) = text.split_once('=').ok_or_else(|| {
                Error::usage(format!(
                    "read \"{text}\", expected name=value, for example train.rate=0.1"
                ))
            })?;
            self.set_text(path.trim(), value)?;
        }
        Ok(())
    }

    /// The whole experiment as a document, with every setting; [`Self::parse`] reads it back.
    pub fn to_toml(&self) -> String {
        let mut text = self.to_table().to_string();
        for staged in &self.at {
            text.push_str(&staged.to_toml());
        }
        text + &lesson::to_toml(&self.lessons)
    }

    /// What it is called for a person.
    pub fn title(&self) -> &str {
        if self.title.is_empty() { &self.name } else { &self.title }
    }

    /// Whether a run of the other learns the same from the same sequences: everything that decides a number is as here.
    pub fn learns_as(&self, other: &Self) -> bool {
        self.at == other.at && self.check_meant(&[other]).is_ok()
    }

    /// Everything that decides a number, as a document: it stays the same however long a run goes on.
    pub fn decisive(&self) -> String {
        let train = Train { steps: 0, threads: 0, record_mb: 0, ..self.train.clone() };
        Self { train, ..self.clone() }.to_toml()
    }

    /// Every setting, without what is staged.
    fn to_table(&self) -> Table {
        let mut copy = self.clone();
        let mut table = Table::new();
        table.insert("name".into(), self.name.clone().into());
        if !self.title.is_empty() {
            table.insert("title".into(), self.title.clone().into());
        }
        table.insert("about".into(), self.about.clone().into());
        if !self.source.is_empty() {
            table.insert("source".into(), self.source.clone().into());
        }
        if let Some(phenomenon) = &self.phenomenon {
            table.insert("phenomenon".into(), phenomenon.to_value());
        }
        let kind = |kind: &str, settings: Table| {
            let mut table = Table::new();
            table.insert("kind".into(), kind.into());
            table.extend(settings);
            Value::Table(table)
        };
        table.insert("task".into(), kind(&self.task_kind, settings::to_table(&mut *copy.task)));
        table.insert("model".into(), kind(&self.model_kind, settings::to_table(&mut *copy.model)));
        table.insert("train".into(), Value::Table(settings::to_table(&mut copy.train)));
        table
    }

    /// How a run that was recorded with the experiment `document` goes on under this one, so that all its numbers are those
    /// of the experiment that it keeps. `changed`: settings of training that a hand changed while it went on; they keep
    /// that value. With how many threads and within which disk budget it goes on may differ, and how long wherever no
    /// learning rate depends on it.
    ///
    /// # Errors
    /// When it would go on with other numbers: the first setting that differs is named.
    pub fn going_on(&self, document: &str, changed: &[(String, Value)]) -> Result<GoingOn> {
        let began = Self::parse(document, "experiment.toml")?;
        let last = began.clone().changed(changed)?;
        self.check_meant(&[&began, &last])?;
        if let Some((then, now)) = first_apart(&began.at, &self.at) {
            return Err(goes_on_otherwise("[[at]]", &then, &now));
        }
        self.going_on_for(began, &last, changed)
    }

    /// Refuses what differs from the run as it would go on, where nothing else was named: a value that was said is not one
    /// that was merely read.
    ///
    /// # Errors
    /// As [`Self::going_on`], or those of [`Self::of_halted`].
    pub fn check_said(&self, run: &Path) -> Result<()> {
        self.check_meant(&[&Self::of_halted(run)?])
    }

    /// That every setting that decides numbers has the value of one of these, the last of which is in force.
    fn check_meant(&self, known: &[&Self]) -> Result<()> {
        const FREE: [&str; 3] = ["steps", "threads", "record_mb"];
        let tables: Vec<Table> = known.iter().map(|known| known.to_table()).collect();
        let now = self.to_table();
        for section in ["task", "model", "train"] {
            let Some(now) = now.get(section).and_then(Value::as_table) else { continue };
            let is_free = |name: &str| section == "train" && FREE.contains(&name);
            for (name, now) in now.iter().filter(|(name, _)| !is_free(name)) {
                let mut known = tables.iter().map(|table| table.get(section)?.get(name));
                if known.clone().flatten().any(|value| settings::same(value, now)) {
                    continue;
                }
                let then = known.next_back().flatten();
                let then = then.map_or("nothing".to_owned(), Value::to_string);
                return Err(goes_on_otherwise(&format!("{section}.{name}"), &then, now));
            }
        }
        Ok(())
    }

    /// The same, when all but the number of steps is known to agree.
    fn going_on_for(
        &self,
        began: Self,
        last: &Self,
        changed: &[(String, Value)],
    ) -> Result<GoingOn> {
        let (then, now) = (last.train.steps, self.train.steps);
        let by_hand = |name: &str| changed.iter().any(|(changed, _)| changed == name);
        let mattered = began.train.schedule == Schedule::Cosine || by_hand("schedule");
        let (threads, record_mb) = (self.train.threads, self.train.record_mb);
        let steps = if mattered { began.train.steps } else { now };
        let train = Train { steps, threads, record_mb, ..began.train.clone() };
        let mut changed = changed.to_vec();
        let mut newly = None;
        if !mattered {
            changed.retain(|(name, _)| name != "steps");
        } else if now != then && now != began.train.steps {
            if last.train.schedule == Schedule::Cosine {
                return Err(Error::usage(format!(
                    "it was recorded with train.steps = {then}, towards which the learning rate falls (train.schedule = \"cosine\"), and train.steps = {now} would go on with other rates; resume it as it was recorded, begin a new run, or branch from a step of it in the window"
                )));
            }
            newly = Some(now);
        }
        Ok(GoingOn { experiment: Self { train, ..began }, changed, steps: newly })
    }

    /// With settings of training that a hand changed while it went on.
    fn changed(mut self, changed: &[(String, Value)]) -> Result<Self> {
        for (name, value) in changed {
            self.set(&format!("train.{name}"), value)?;
        }
        Ok(self)
    }

    fn from_table(table: &Table) -> Result<Self> {
        const KEYS: [&str; 10] = [
            "name",
            "title",
            "about",
            "source",
            "phenomenon",
            "task",
            "model",
            "train",
            "at",
            "lesson",
        ];
        if let Some(key) = table.keys().find(|key| !KEYS.contains(&key.as_str())) {
            return Err(Error::usage(format!(
                "there is no section \"{key}\".{} Known: {}.",
                did_you_mean(key, KEYS),
                KEYS.join(", ")
            )));
        }
        let (task, model) = (kind_of(table, "task")?, kind_of(table, "model")?);
        let mut experiment = Self::of("", task, model)?;
        for (key, value) in table {
            if key == "at" {
                experiment.at = staged_list(value)?;
            } else if key == "lesson" {
                experiment.lessons = lesson::read_all(value)?;
            } else if key == "phenomenon" {
                experiment.phenomenon = Some(Phenomenon::read(value)?);
            } else if let Value::Table(settings) = value {
                for (name, value) in settings.iter().filter(|(name, _)| *name != "kind") {
                    experiment.set(&format!("{key}.{name}"), value)?;
                }
            } else {
                experiment.set(key, value)?;
            }
        }
        if let Some(phenomenon) = &experiment.phenomenon {
            phenomenon.check(&experiment.lessons)?;
        }
        Ok(experiment)
    }

    fn unknown_setting(&self, path: &str) -> Error {
        let mut copy = self.clone();
        let sections: [(&str, &mut dyn Settings); 3] =
            [("task", &mut *copy.task), ("model", &mut *copy.model), ("train", &mut copy.train)];
        let mut known = Vec::new();
        for (section, settings) in sections {
            known.extend(settings::names(settings).iter().map(|name| format!("{section}.{name}")));
        }
        // The section alone may be missing.
        let called = |full: &&str| full.split_once('.').is_some_and(|(_, name)| name == path);
        let whole: Vec<&str> = known.iter().map(String::as_str).collect();
        let same: Vec<&str> = whole.iter().copied().filter(called).collect();
        Error::usage(format!(
            "there is no setting \"{path}\": settings are named task.…, model.… or train.….{}",
            if same.is_empty() {
                did_you_mean(path, whole)
            } else {
                format!(" Did you mean {}?", same.join(" or "))
            }
        ))
    }
}

impl Clone for Experiment {
    fn clone(&self) -> Self {
        Self {
            name: self.name.clone(),
            title: self.title.clone(),
            about: self.about.clone(),
            task_kind: self.task_kind.clone(),
            task: self.task.boxed(),
            model_kind: self.model_kind.clone(),
            model: self.model.boxed(),
            train: self.train.clone(),
            at: self.at.clone(),
            lessons: self.lessons.clone(),
            source: self.source.clone(),
            phenomenon: self.phenomenon,
        }
    }
}

impl Staged {
    fn to_toml(&self) -> String {
        let text = self.what.to_string();
        let (verb, object) = text.split_once(' ').unwrap_or((&text, ""));
        format!("\n[[at]]\nstep = {}\n{verb} = {}\n", self.step, Value::from(object))
    }
}

/// Documents longer than this are not what they seem.
pub(super) const MOST_DOCUMENT_BYTES: u64 = 1 << 20;

pub(super) fn read_document(path: &Path) -> Result<String> {
    if let Some(error) = foreign::refusal(path) {
        return Err(error);
    }
    run_folder::read_text(path, MOST_DOCUMENT_BYTES).map_err(|e| e.context("the experiment file"))
}

fn goes_on_otherwise(what: &str, then: &str, now: impl std::fmt::Display) -> Error {
    Error::usage(format!(
        "it was recorded with {what} = {then}, and {what} = {now} would go on with other numbers; resume it as it was recorded, or begin a new run"
    ))
}

/// The first two entries that differ, in words.
fn first_apart(then: &[Staged], now: &[Staged]) -> Option<(String, String)> {
    let words = |staged: Option<&Staged>| {
        staged
            .map_or_else(|| "nothing".to_owned(), |s| format!("\"{} at step {}\"", s.what, s.step))
    };
    let at = (0..then.len().max(now.len())).find(|&i| then.get(i) != now.get(i))?;
    Some((words(then.get(at)), words(now.get(at))))
}

/// A TOML error with its line, without the drawing that toml makes for a terminal.
pub(super) fn plain(text: &str, error: &toml::de::Error) -> String {
    let at = error.span().map_or(0, |span| span.start.min(text.len()));
    let line = 1 + text.as_bytes()[..at].iter().filter(|b| **b == b'\n').count();
    format!("line {line}: {}", error.message().trim())
}

fn text_of<'a>(path: &str, value: &'a Value) -> Result<&'a str> {
    value.as_str().ok_or_else(|| {
        Error::usage(format!("setting {path}: read {value}, expected text in quotes"))
    })
}

fn kind_of<'a>(table: &'a Table, section: &str) -> Result<&'a str> {
    match table.get(section) {
        Some(Value::Table(settings)) => match settings.get("kind") {
            Some(kind) => text_of(&format!("{section}.kind"), kind),
            None => Err(Error::usage(format!("section [{section}] lacks its kind = \"…\""))),
        },
        _ => Err(Error::usage(format!("there is no section [{section}] with a kind = \"…\""))),
    }
}

fn staged_list(value: &Value) -> Result<Vec<Staged>> {
    let wrong = || {
        Error::usage("\"at\" is no list of [[at]] sections, each with a step and what happens then")
    };
    let entries = value.as_array().ok_or_else(wrong)?;
    let mut list = Vec::new();
    for entry in entries {
        list.extend(staged(entry.as_table().ok_or_else(wrong)?)?);
    }
    // In order of steps; entries of one step keep the order of the document.
    list.sort_by_key(|staged| staged.step);
    Ok(list)
}

/// One `[[at]]` section: a step, and for each verb one object or a list of them.
fn staged(entry: &Table) -> Result<Vec<Staged>> {
    const VERBS: [&str; 3] = ["freeze", "unfreeze", "zero"];
    let step = entry.get("step").and_then(Value::as_integer);
    let step = step.and_then(|step| u64::try_from(step).ok()).ok_or_else(|| {
        Error::usage(format!("[[at]] {entry}: expected step = a whole number from 0"))
    })?;
    let mut list = Vec::new();
    for (verb, objects) in entry.iter().filter(|(key, _)| *key != "step") {
        if !VERBS.contains(&verb.as_str()) {
            return Err(Error::usage(format!(
                "[[at]] step = {step}: there is no \"{verb}\".{} Known: {}.",
                did_you_mean(verb, VERBS),
                VERBS.join(", ")
            )));
        }
        let objects = objects.as_array().map_or(std::slice::from_ref(objects), Vec::as_slice);
        for object in objects {
            let object = text_of(&format!("{verb} of [[at]] step = {step}"), object)?;
            list.push(Staged { step, what: format!("{verb} {object}").parse()? });
        }
    }
    if list.is_empty() {
        return Err(Error::usage(format!(
            "[[at]] step = {step} says nothing to do; expected for example unfreeze = \"layer0.wk\""
        )));
    }
    Ok(list)
}
