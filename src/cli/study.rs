//! `mnemoscope study`: an experiment of the literature on a network, as a table, a figure or a file.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use clap::builder::PossibleValuesParser;

use crate::base::array::Array;
use crate::base::error::{Error, Result};
use crate::base::plain::Plain;
use crate::base::study::{Drawn, First, Known};
use crate::export::run_at::{Question, RunAt};
use crate::export::study::Report;
use crate::figure::file::{Format, save};
use crate::formats::file::check_free;
use crate::formats::tokenizer::Begin;
use crate::panel::study::{Study, names, strongest};
use crate::run::study::{Request, Studied, prepare, study_of};

use super::bar::Bar;
use super::run_at::{remember, tell_problems, tell_taken};
use super::{assignment, say};

/// The words of the command.
#[derive(Args)]
pub struct Words {
    /// Which one (see `mnemoscope list studies`)
    #[arg(value_name = "NAME")]
    name: String,
    /// Folder of a network of another program, of a series of its checkpoints, or of a recorded run
    #[arg(value_name = "FOLDER")]
    folder: PathBuf,
    /// Change a setting, as --set prompts=100 (see `mnemoscope list studies NAME`)
    #[arg(long, value_name = "NAME=VALUE")]
    set: Vec<String>,
    /// Prompts in the place of the study's own: a text a line, or lines of JSON (.jsonl) with prompt, answer, wrong, counterpart, roles
    /// and fillers. A prompt may be a list of ids, and an answer an id
    #[arg(long, value_name = "FILE")]
    prompts: Option<PathBuf>,
    /// What begins each prompt (BOS): what the tokenizer puts there, what TransformerLens does, or nothing (default: as the study was
    /// published)
    #[arg(long, value_name = "HOW", value_parser = PossibleValuesParser::new(Begin::NAMES))]
    begin: Option<String>,
    /// Step of a series or of a run: the nearest one whose weights are recorded (default: the last)
    #[arg(long, value_name = "N")]
    step: Option<u64>,
    /// Ask the network with a change in force, as in `mnemoscope examine --intervene`
    #[arg(long, value_name = "WHAT")]
    intervene: Vec<String>,
    /// Write everything to a file instead of a table to the terminal: numbers as .json, .csv or .npz, the figure as .svg, .pdf or
    /// .png. May be said several times
    #[arg(short, long, value_name = "FILE.(json|csv|npz|svg|pdf|png)")]
    out: Vec<PathBuf>,
    /// Replace files that exist
    #[arg(long)]
    force: bool,
}

impl Words {
    pub fn run(self) -> Result<ExitCode> {
        let settings = self
            .set
            .iter()
            .map(|text| assignment(text).map(|(name, value)| (name.to_owned(), value.to_owned())));
        let settings = settings.collect::<Result<Vec<_>>>()?;
        // What is wrong with the words is said before anything is opened.
        study_of(&self.name, &settings)?;
        let out = self.files()?;
        let mut run = self.open()?;
        let request = Request {
            study: &self.name,
            settings: &settings,
            prompts: self.prompts.as_deref(),
            begin: self.begin.as_deref().and_then(Begin::named),
        };
        let prepared = prepare(&request, &self.folder, &run.experiment)?;
        remember(&self.folder, self.prompts.as_deref());
        let mut bar = Bar::begin("passes")?;
        let mut tell = |done: usize, total: usize| bar.show(done, total);
        let asked = run.instrument.study(&run.weights, &run.interventions, &prepared, &mut tell);
        let stopped = bar.end();
        let mut reading = asked?;
        reading.notes.splice(0..0, prepared.notes.iter().cloned());
        if stopped {
            reading
                .notes
                .push("Stopped before its end: what has no number was not done.".to_owned());
        }
        let mut studied = Studied { prepared, reading };
        let mut report = Report { run: &run, studied: &mut studied };
        for (path, format) in &out {
            save(path, &report.file(*format)?, self.force)?;
            say(path.display().to_string())?;
        }
        if out.is_empty() {
            table(&report)?;
        }
        Ok(if stopped { ExitCode::from(130) } else { ExitCode::SUCCESS })
    }

    fn files(&self) -> Result<Vec<(&Path, Format)>> {
        let file = |path: &'_ PathBuf| {
            let format = Format::from_path(path)?;
            if format == Format::Tex {
                return Err(Error::usage(format!(
                    "-o {}: expected a name that ends in .json, .csv, .npz, .svg, .pdf or .png",
                    path.display()
                )));
            }
            check_free(path, self.force)?;
            Ok(format)
        };
        self.out.iter().map(|path| file(path).map(|format| (path.as_path(), format))).collect()
    }

    fn open(&self) -> Result<RunAt> {
        let interventions = self.intervene.clone();
        let question = Question { step: self.step, interventions, ..Question::default() };
        let run = RunAt::open(&self.folder, &question)?;
        tell_problems(run.problems());
        if let Some(wanted) = self.step.filter(|wanted| *wanted != run.weights.step) {
            tell_taken(wanted, run.weights.step);
        }
        Ok(run)
    }
}

/// Cells of a map in the table.
const STRONGEST: usize = 10;
/// Layers of lines in the table.
const MOST_ROWS: usize = 128;

fn table(report: &Report<'_>) -> Result<()> {
    let title = report.title();
    say(&title)?;
    let Studied { prepared, reading } = &*report.studied;
    let vocab = report.run.instrument.source().vocab();
    let first = prepared.first.map_or("nothing".to_owned(), |id| vocab.glyph(id));
    say(format!("  {:<28} {first} ({})", "each prompt begins with", prepared.begin.name()))?;
    for intervention in &report.run.interventions {
        say(format!("  {:<28} {intervention}", "in force"))?;
    }
    for (name, value) in &reading.numbers {
        say(format!("  {name:<28} {:.4}", Plain(*value)))?;
    }
    let panel = report.panel(&title);
    for drawn in panel.drawn {
        let arrays = drawn.arrays.iter();
        let found: Vec<(&Array, &str)> =
            arrays.filter_map(|(name, word)| Some((reading.array(name)?, *word))).collect();
        let Some((array, _)) = found.first() else { continue };
        match array.axes.last().map(|axis| axis.name.as_str()) {
            Some("layer") if array.data.len() <= MOST_ROWS => {
                say(format!("\n{} ({})", drawn.title, drawn.quantity))?;
                by_layer(&found)?;
            }
            Some(_) if array.axes.len() == 2 => {
                let count = array.data.iter().filter(|x| x.is_finite()).count();
                let first = match drawn.first {
                    First::Largest => "strongest",
                    First::Lowest => "lowest",
                    First::Highest => "highest",
                };
                say(format!("\n{} ({}), {first} of {count}", drawn.title, drawn.quantity))?;
                cells(&panel, drawn, array)?;
            }
            _ => {}
        }
    }
    if !reading.notes.is_empty() {
        say("")?;
    }
    reading.notes.iter().try_for_each(|note| say(format!("  {note}")))?;
    known(prepared.study.known())
}

fn by_layer(found: &[(&Array, &str)]) -> Result<()> {
    let names: String = found.iter().map(|(_, word)| format!("{word:>14}")).collect();
    say(format!("  {:<8}{names}", "layer"))?;
    for layer in 0..found[0].0.data.len() {
        let cells = found.iter().map(|(array, _)| {
            format!(
                "{:>14.4}",
                Plain(f64::from(array.data.get(layer).copied().unwrap_or(f32::NAN)))
            )
        });
        say(format!("  {layer:<8}{}", cells.collect::<String>()))?;
    }
    Ok(())
}

fn cells(panel: &Study<'_>, drawn: &Drawn, array: &Array) -> Result<()> {
    let axis = array.axes[1].name.as_str();
    let named = names(panel, axis, array, array.shape[1]);
    for (place, value) in strongest(array, drawn.first).into_iter().take(STRONGEST) {
        let [layer, column] = [place[0], place[1]];
        let place = match axis {
            "head" => format!("{layer}.{column}"),
            "place" => format!("layer {layer}, {}", named[column]),
            axis => format!("layer {layer}, {axis} {column} {}", named[column]),
        };
        say(format!("  {place:<36} {:>9.4}", Plain(f64::from(value))))?;
    }
    Ok(())
}

fn known(known: &[Known]) -> Result<()> {
    say("\nWhat the literature found")?;
    known.iter().try_for_each(|known| {
        say(format!("  {}: {}", known.network, known.found))?;
        say(format!("    {}", known.source))
    })
}
