//! What a study found, as files: JSON, a table, NumPy arrays, and its figure with where it comes from.

use std::fmt::Write;

use serde_json::{Map, Value, json};

use super::answers::{array_json, number};
use super::drawn_panel::{palette, run_facts};
use super::run_at::RunAt;
use crate::base::convert::narrow;
use crate::base::error::{Error, Result};
use crate::base::prompt::Encoded;
use crate::base::settings;
use crate::base::study::Known;
use crate::figure::Figure;
use crate::figure::file::{Format, render};
use crate::figure::page::Page;
use crate::figure::provenance::{PanelFacts, Provenance, quantities};
use crate::figure::scene::MM_PER_POINT;
use crate::figure::style::Style;
use crate::formats::npz::{Member, Numbers, archive};
use crate::panel::study as panel;
use crate::run::study::Studied;

/// Width of the page, that of one plot alone, and height of a row of plots.
const WIDTH_MM: f32 = 183.0;
const ALONE_MM: f32 = 120.0;
const ROW_MM: f32 = 74.0;

/// What a study found in a run.
pub struct Report<'a> {
    pub run: &'a RunAt,
    pub studied: &'a mut Studied,
}

impl Report<'_> {
    /// The bytes of a file.
    ///
    /// # Errors
    /// When it is to be a page for TeX, or cannot be drawn.
    pub fn file(&mut self, format: Format) -> Result<Vec<u8>> {
        match format {
            Format::Json => serde_json::to_vec_pretty(&self.document()).map_err(Error::internal_of),
            Format::Csv => Ok(self.table().into_bytes()),
            Format::Npz => self.arrays(),
            Format::Svg | Format::Pdf | Format::Png => self.page(format),
            Format::Tex => Err(Error::usage(
                "the figure of a study is written as .svg, .pdf or .png, and its numbers as .json, .csv or .npz",
            )),
        }
    }

    /// What stands above the table and the figure.
    pub fn title(&self) -> String {
        let Self { run, studied } = self;
        format!("{} on {}, step {}", studied.prepared.name, run.experiment.name, run.weights.step)
    }

    pub fn panel<'s>(&'s self, title: &'s str) -> panel::Study<'s> {
        let prepared = &self.studied.prepared;
        panel::Study {
            title,
            headlines: prepared.study.headlines(),
            drawn: prepared.study.drawn(),
            reading: &self.studied.reading,
            vocab: self.run.instrument.source().vocab(),
        }
    }

    fn document(&mut self) -> Value {
        let mut document = self.about();
        let reading = &self.studied.reading;
        let numbers = reading.numbers.iter().map(|(name, x)| (name.clone(), number(*x)));
        let arrays = reading.arrays.iter().map(|array| (array.name.clone(), array_json(array)));
        document["numbers"] = Value::Object(numbers.collect::<Map<_, _>>());
        document["arrays"] = Value::Object(arrays.collect::<Map<_, _>>());
        document["notes"] = json!(reading.notes);
        document
    }

    /// All that is known beside the numbers.
    fn about(&mut self) -> Value {
        let Self { run, studied } = self;
        let vocab = run.instrument.source().vocab();
        let prepared = &mut studied.prepared;
        let settings = settings::to_table(&mut *prepared.study);
        let known = |known: &Known| json!({ "network": known.network, "found": known.found, "source": known.source });
        let prompt = |prompt: &Encoded| {
            json!({
                "tokens": prompt.tokens,
                "text": prompt.tokens.iter().map(|id| vocab.text(*id)).collect::<Vec<_>>(),
                "counterpart": prompt.counterpart,
                "answers": prompt.answers,
                "wrongs": prompt.wrongs,
                "roles": prompt.roles,
            })
        };
        json!({
            "program": format!("mnemoscope {}", env!("CARGO_PKG_VERSION")),
            "study": prepared.name,
            "about": prepared.study.about(),
            "settings": settings,
            "network": run.experiment.name,
            "experiment_toml": run.experiment.to_toml(),
            "step": run.weights.step,
            "weights_sha256": run.weights.sha256(),
            "interventions": run.interventions.iter().map(ToString::to_string).collect::<Vec<_>>(),
            "begin": prepared.begin.name(),
            "begin_token": prepared.first,
            "prompts": prepared.prompts.iter().map(prompt).collect::<Vec<_>>(),
            "known": prepared.study.known().iter().map(known).collect::<Vec<_>>(),
        })
    }

    /// A row for each number: its name, where it stands along each axis, and its value.
    fn table(&self) -> String {
        let reading = &self.studied.reading;
        let mut axes: Vec<&str> = Vec::new();
        for axis in reading.arrays.iter().flat_map(|array| &array.axes) {
            if !axes.contains(&axis.name.as_str()) {
                axes.push(&axis.name);
            }
        }
        let mut rows =
            format!("name,{}value\n", axes.iter().map(|a| format!("{a},")).collect::<String>());
        let commas = ",".repeat(axes.len());
        for (name, value) in &reading.numbers {
            let _ = writeln!(rows, "{name},{commas}{value}");
        }
        for array in &reading.arrays {
            for (i, value) in array.data.iter().enumerate() {
                let mut cells = vec![String::new(); axes.len()];
                let mut rest = i;
                for (axis, n) in array.axes.iter().zip(&array.shape).rev() {
                    if let Some(at) = axes.iter().position(|name| *name == axis.name) {
                        cells[at] = (rest % n).to_string();
                    }
                    rest /= n;
                }
                let _ = writeln!(rows, "{},{},{value}", array.name, cells.join(","));
            }
        }
        rows
    }

    /// One array for each of the answer; a number is an array of no axis.
    fn arrays(&mut self) -> Result<Vec<u8>> {
        let mut about = self.about();
        let reading = &self.studied.reading;
        let axes =
            reading.arrays.iter().map(|array| (array.name.clone(), json!(array.axis_names())));
        about["axes"] = Value::Object(axes.collect());
        about["notes"] = json!(reading.notes);
        let about = about.to_string();
        let length = [about.len()];
        let number = |(name, value): &'_ (String, f64)| (name.clone(), [*value]);
        let numbers: Vec<(String, [f64; 1])> = reading.numbers.iter().map(number).collect();
        let mut members: Vec<Member<'_>> = reading.arrays.iter().map(Member::of).collect();
        let has = |name: &String| reading.array(name).is_some();
        members.extend(numbers.iter().map(|(name, value)| Member {
            // Of a prompt each and over all.
            name: if has(name) { format!("mean.{name}") } else { name.clone() },
            shape: &[],
            numbers: Numbers::F64(value),
        }));
        members.push(Member::about(&about, &length));
        archive(&members)
    }

    fn page(&mut self, format: Format) -> Result<Vec<u8>> {
        let style = Style::light();
        let title = self.title();
        let figure = panel::figure(&self.panel(&title), palette(&style));
        if let Some(why) = figure.empty {
            return Err(Error::usage(why));
        }
        let provenance = self.provenance(&figure);
        let width = if figure.plots.len() == 1 { ALONE_MM } else { WIDTH_MM } / MM_PER_POINT;
        let height = narrow(f64::from(ROW_MM) * rows(&figure) as f64) / MM_PER_POINT;
        let page = Page { size: [width, height], style, dpi: 300.0, grey: false, provenance };
        render(&figure, &page, format)
    }

    fn provenance(&mut self, figure: &Figure) -> Provenance {
        let Self { run, studied } = self;
        let vocab = run.instrument.source().vocab();
        let prepared = &mut studied.prepared;
        let first = prepared.prompts.first();
        let mut settings = settings::to_table(&mut *prepared.study);
        settings.insert("begin".to_owned(), prepared.begin.name().into());
        let facts = PanelFacts {
            panel: format!("study {}", prepared.name),
            settings: settings.to_string(),
            run: run.experiment.name.clone(),
            step: Some(run.weights.step),
            tokens: first.map_or_else(Vec::new, |prompt| {
                prompt.tokens.iter().map(|id| vocab.text(*id).to_owned()).collect()
            }),
            interventions: run.interventions.iter().map(ToString::to_string).collect(),
            weights_sha256: Some(run.weights.sha256()),
            quantities: quantities(figure),
            ..PanelFacts::default()
        };
        let runs =
            vec![run_facts(run.experiment.name.clone(), &run.experiment, &run.recording.marks)];
        Provenance { runs, panels: vec![facts], ..Provenance::new() }
    }
}

/// Rows of plots.
fn rows(figure: &Figure) -> usize {
    let wide = figure.plots.iter().filter(|plot| plot.wide).count();
    let narrow = figure.plots.len() - wide;
    wide + narrow.div_ceil(figure.columns.max(1))
}
