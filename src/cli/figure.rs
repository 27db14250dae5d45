//! `mnemoscope figure`: a panel of a recorded run as a file, drawn by the same code as the window.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use clap::Args;

use crate::figure::Figure as Drawing;
use crate::figure::file::{Format, Page, parse_length, render, save};
use crate::figure::layout::Style;
use crate::figure::provenance::Provenance;
use crate::panel::{self, NetShape, Palette, Panel, Selection, View};
use crate::record::error::{Error, Result};
use crate::record::knobs;
use crate::record::registry::find;

use super::inquire::long_answers;
use super::run_at::{Asked, RunAt};
use super::{assignment, say};

#[derive(Args)]
pub struct Figure {
    #[command(flatten)]
    asked: Asked,
    /// Which panel (see `mnemoscope list panels`)
    panel: String,
    /// Change a setting of the panel, e.g. --set map=magma (see `mnemoscope list panels NAME`)
    #[arg(long = "set", value_name = "NAME=VALUE")]
    set: Vec<String>,
    /// Layer and head in focus, e.g. 1.0
    #[arg(long, value_name = "LAYER.HEAD", default_value = "1.0")]
    head: String,
    /// Position of the selected query (from 0)
    #[arg(long, value_name = "POSITION")]
    query: Option<usize>,
    /// Position of the selected key (from 0)
    #[arg(long, value_name = "POSITION")]
    key: Option<usize>,
    /// File to write: its ending says the format
    #[arg(short, long, value_name = "FILE.(svg|pdf|png|csv)")]
    out: PathBuf,
    /// Width of the figure: a number with mm, in or pt
    #[arg(long, default_value = "89mm")]
    width: String,
    /// Height of the figure (default: what suits the panel)
    #[arg(long)]
    height: Option<String>,
    /// Dots per inch of a PNG
    #[arg(long, default_value_t = 300.0)]
    dpi: f32,
    /// Light on dark
    #[arg(long)]
    dark: bool,
    /// Replace the file if it exists
    #[arg(long)]
    force: bool,
}

impl Figure {
    pub fn run(self) -> Result<ExitCode> {
        let mut panel = find("panel", panel::ALL, &self.panel)?;
        for text in &self.set {
            let (name, value) = assignment(text)?;
            knobs::set(&mut *panel, "", name, &value)?;
        }
        let format = Format::from_path(&self.out)?;
        let style = if self.dark { Style::dark() } else { Style::light() };
        let width = parse_length(&self.width)?;
        let height = match &self.height {
            Some(text) => parse_length(text)?,
            None => width * usual_aspect(&self.panel),
        };
        let mut run = self.asked.open()?;
        let drawing = self.draw(&mut *panel, &mut run, [width, height], &style)?;
        let page = Page {
            size: [width, height],
            dpi: self.dpi,
            style,
            provenance: self.provenance(&mut *panel, &run),
        };
        save(&self.out, &render(&drawing, &page, format)?, self.force)?;
        say(self.out.display().to_string())?;
        Ok(ExitCode::SUCCESS)
    }

    fn draw(
        &self,
        panel: &mut dyn Panel,
        run: &mut RunAt,
        size: [f32; 2],
        style: &Style,
    ) -> Result<Drawing> {
        let layout = run.instrument.layout();
        let net = NetShape {
            kind: layout.kind.to_owned(),
            heads: layout.heads.clone(),
            vocab: layout.vocab,
            length: layout.length,
        };
        let selection = self.selection(&net, run.prompt.len())?;
        let readings = run.ask(&panel.needs(&net, &selection))?;
        if let Some(e) = readings.by_call.values().find_map(|r| r.as_ref().err()) {
            return Err(e.clone());
        }
        let inquired = long_answers(run, &panel.inquiries(&net, &selection))?;
        let step = run.weights.step;
        let name = run.experiment.name.clone();
        let view = View {
            net: &net,
            vocab: run.instrument.source().vocab(),
            roles: run.instrument.source().roles(),
            runs: &[(name, Arc::new(run.recording.clone()))],
            step: Some(step),
            live: false,
            readings: Some(&readings),
            failure: None,
            inquired: &inquired,
            selection: &selection,
            palette: Palette {
                dark: style.dark,
                paper: style.paper,
                ink: style.ink,
                faint: style.faint,
                accent: Palette::accent_on(style.dark),
            },
            size,
        };
        let drawing = panel.figure(&view);
        drawing.empty.as_ref().map_or(Ok(()), |why| Err(Error::usage(why.clone())))?;
        Ok(drawing)
    }

    fn selection(&self, net: &NetShape, length: usize) -> Result<Selection> {
        let wrong = || {
            let layers = net.heads.len();
            Error::usage(format!(
                "--head {}: expected LAYER.HEAD, for example 1.0; this network has layers 0 to {} with {:?} heads",
                self.head,
                layers.saturating_sub(1),
                net.heads
            ))
        };
        let (layer, head) = self.head.split_once('.').ok_or_else(wrong)?;
        let (layer, head) =
            (layer.parse().map_err(|_| wrong())?, head.parse().map_err(|_| wrong())?);
        if net.heads.get(layer).is_none_or(|&heads| head >= heads) {
            return Err(wrong());
        }
        for (what, position) in [("--query", self.query), ("--key", self.key)] {
            if position.is_some_and(|p| p >= length) {
                return Err(Error::usage(format!(
                    "{what}: the sequence has positions 0 to {}",
                    length.saturating_sub(1)
                )));
            }
        }
        Ok(Selection { layer, head, query: self.query, key: self.key })
    }

    fn provenance(&self, panel: &mut dyn Panel, run: &RunAt) -> Provenance {
        let settings = knobs::to_table(panel).to_string().replace('\n', "; ");
        let vocab = run.instrument.source().vocab();
        Provenance {
            run: self
                .asked
                .folder()
                .file_name()
                .map_or_else(String::new, |n| n.to_string_lossy().into_owned()),
            step: Some(run.weights.step),
            panel: format!("{} {}", self.panel, settings.trim_end_matches("; ")),
            experiment: run.experiment.to_toml(),
            interventions: run.interventions.iter().map(ToString::to_string).collect(),
            tokens: run.prompt.tokens.iter().map(|&t| vocab.text(t).to_owned()).collect(),
            ..Provenance::new()
        }
    }
}

/// Height over width that suits a panel when nothing is said.
fn usual_aspect(panel: &str) -> f32 {
    match panel {
        "timeline" => 0.3,
        "tokens" => 0.5,
        "heads" => 0.6,
        "curves" | "memories" => 1.2,
        _ => 0.9,
    }
}
