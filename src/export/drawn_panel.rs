//! The answers that a panel of a sheet draws, and how they are put on a page of any size.

use std::sync::Arc;

use crate::base::error::{Error, Result};
use crate::base::event::{Mark, MarkKind};
use crate::base::registry::{find, row};
use crate::base::settings;
use crate::figure::Figure;
use crate::figure::composite::{Composite, Part};
use crate::figure::page::Page;
use crate::figure::provenance::{
    AgainstFacts, PanelFacts, Provenance, RunFacts, fonts, quantities,
};
use crate::figure::style::Style;
use crate::formats::file::source_date;
use crate::panel::compare::Showing;
use crate::panel::{self, Palette, Panel, Snapshot, View, compare};
use crate::run::experiment::Experiment;

use super::against::AgainstSpec;
use super::sheet::{PanelSpec, Sheet};

/// What a panel of a sheet looks at.
#[derive(Clone, Debug, Default)]
pub struct DrawnPanel {
    pub shown: Arc<Snapshot>,
    /// What it is compared with.
    pub against: Option<Arc<Self>>,
    /// What is known of where it comes from; letter, settings and quantities are added on the page.
    pub facts: PanelFacts,
    pub run: RunFacts,
}

impl DrawnPanel {
    /// Of a panel of a kind; the hash of the weights is not known yet.
    pub fn new(kind: &str, shown: Snapshot, run: RunFacts) -> Self {
        let readings = shown.readings.as_deref();
        let selection = &shown.selection;
        let text = |&id: &u32| shown.vocab.text(id).to_owned();
        let facts = PanelFacts {
            panel: kind.to_owned(),
            run: run.name.clone(),
            step: shown.step,
            head: [selection.layer, selection.head],
            query: selection.query,
            key: selection.key,
            tokens: readings.map_or_else(Vec::new, |r| r.prompt.tokens.iter().map(text).collect()),
            interventions: readings.map_or_else(Vec::new, |r| {
                r.interventions.iter().map(ToString::to_string).collect()
            }),
            ..PanelFacts::default()
        };
        Self { shown: Arc::new(shown), against: None, facts, run }
    }

    /// What is known of it where something is compared with it.
    fn as_against(&self) -> AgainstFacts {
        let facts = self.facts.clone();
        AgainstFacts {
            run: facts.run,
            step: facts.step,
            head: facts.head,
            interventions: facts.interventions,
            weights_sha256: facts.weights_sha256,
        }
    }

    /// It, and what it is compared with.
    fn subjects(&self) -> impl Iterator<Item = &Self> {
        std::iter::once(self).chain(self.against.as_deref())
    }
}

/// What a figure says of the run of a name.
pub fn run_facts(name: String, experiment: &Experiment, marks: &[Mark]) -> RunFacts {
    RunFacts {
        name,
        experiment: experiment.to_toml(),
        seed: experiment.train.seed as u64,
        device: experiment.train.device.name().to_owned(),
        dtype: "float32".to_owned(),
        history: history(marks),
    }
}

/// What changed a run on its way, in words.
fn history(marks: &[Mark]) -> Vec<String> {
    /// A provenance is read up to some megabytes; a hand does not change as much.
    const MOST: usize = 1000;
    let changes = || marks.iter().filter(|mark| mark.kind != MarkKind::Emergence);
    let words = |mark: &Mark| format!("step {}: {}", mark.step, mark.text);
    let mut history: Vec<String> = changes().take(MOST).map(words).collect();
    let more = changes().count() - history.len();
    history.extend((more > 0).then(|| format!("and {more} changes more")));
    history
}

/// The panel of a sheet with the settings that it asks for, and in the colours of the page where it has some to choose.
///
/// # Errors
/// When there is no such panel, or it has no such setting, or not this value.
pub fn panel_of(spec: &PanelSpec, sheet: &Sheet) -> Result<Box<dyn Panel>> {
    let mut panel = find("panel", panel::ALL, &spec.panel)?;
    for (name, value) in &spec.set {
        settings::set(&mut *panel, "", name, value)?;
    }
    if let Some(map) = sheet.page.map()?
        && settings::names(&mut *panel).contains(&"map")
    {
        settings::set(&mut *panel, "", "map", &map.name().into())?;
    }
    Ok(panel)
}

/// Puts the panels of a sheet on a page: what is drawn, and the page with its provenance. `drawn panels`: one for each panel.
///
/// # Errors
/// When the page cannot be made, or a panel has nothing to draw: the sentence says why.
pub fn compose(sheet: &Sheet, drawn_panels: &[DrawnPanel]) -> Result<(Composite, Page)> {
    let mut page = sheet.page()?;
    let drawing = arrange(sheet, drawn_panels, &page)?;
    page.provenance = provenance(sheet, drawn_panels, &drawing)?;
    page.provenance.fonts = fonts(&page.scene(&drawing).beyond());
    Ok((drawing, page))
}

/// The figures of the panels on a page.
///
/// # Errors
/// When a panel has nothing to draw: the sentence says why.
pub fn arrange(sheet: &Sheet, drawn_panels: &[DrawnPanel], page: &Page) -> Result<Composite> {
    if drawn_panels.len() != sheet.panels.len() {
        return Err(Error::internal(format!(
            "{} panels have {} answers",
            sheet.panels.len(),
            drawn_panels.len()
        )));
    }
    let part =
        |(index, place)| Part { letter: sheet.letter(index), figure: Figure::default(), place };
    let mut drawing = Composite {
        title: sheet.title.clone(),
        parts: sheet.places().into_iter().enumerate().map(part).collect(),
        widths: sheet.widths.clone(),
        heights: sheet.heights.clone(),
        ..Composite::default()
    };
    let sizes = drawing.sizes(page.size, &page.style);
    let mut parts = drawing.parts.iter_mut().zip(sizes);
    for (spec, drawn_panel) in sheet.panels.iter().zip(drawn_panels) {
        let own: Vec<_> = parts.by_ref().take(spec.count()).collect();
        let least = |side: usize| own.iter().map(|(_, size)| size[side]).fold(f32::MAX, f32::min);
        let size = [least(0), least(1)];
        let figures = figures(sheet, spec, drawn_panel, size, &page.style)?;
        own.into_iter().zip(figures).for_each(|((part, _), figure)| part.figure = figure);
    }
    if sheet.shares("colors") {
        drawing.share_colors();
    }
    if sheet.shares("legend") {
        drawing.share_legend();
    }
    Ok(drawing)
}

/// The figures of a panel for parts of the page that have room for so much.
fn figures(
    sheet: &Sheet,
    spec: &PanelSpec,
    drawn_panel: &DrawnPanel,
    size: [f32; 2],
    style: &Style,
) -> Result<Vec<Figure>> {
    let panel = panel_of(spec, sheet)?;
    let palette = palette(style);
    let view = drawn_panel.shown.view(palette, size);
    let mut figures = match &drawn_panel.against {
        None => vec![panel.figure(&view)],
        Some(other) => compared(spec, &*panel, [&view, &other.shown.view(palette, size)])?,
    };
    let several = figures.len() > 1;
    for figure in &mut figures {
        if let Some(why) = &figure.empty {
            let error = Error::usage(why.clone());
            let one = sheet.panels.len() == 1;
            return Err(if one { error } else { error.context(format!("panel {}", spec.panel)) });
        }
        finish(figure, spec, several);
    }
    Ok(figures)
}

fn compared(spec: &PanelSpec, panel: &dyn Panel, views: [&View<'_>; 2]) -> Result<Vec<Figure>> {
    let kind = row("panel", panel::ALL, &spec.panel)?;
    let showing = spec.against.as_ref().map_or(Ok(Showing::default()), AgainstSpec::showing)?;
    Ok(compare::figures(kind, panel, views, showing))
}

/// What a sheet says of a figure beside what is drawn. The titles of several say which is which, and stay.
fn finish(figure: &mut Figure, spec: &PanelSpec, several: bool) {
    if let Some(camera) = &spec.camera {
        camera.take(figure);
    }
    if let Some(title) = &spec.title {
        figure.title = if several { format!("{title}, {}", figure.title) } else { title.clone() };
    }
    if let Some(caption) = &spec.caption {
        figure.caption.clone_from(caption);
    }
}

fn provenance(
    sheet: &Sheet,
    drawn_panels: &[DrawnPanel],
    drawing: &Composite,
) -> Result<Provenance> {
    let mut runs: Vec<RunFacts> = Vec::new();
    let mut panels = Vec::with_capacity(drawn_panels.len());
    let mut parts = drawing.parts.iter();
    for (index, (drawn_panel, spec)) in drawn_panels.iter().zip(&sheet.panels).enumerate() {
        for subject in drawn_panel.subjects() {
            if !runs.contains(&subject.run) {
                runs.push(subject.run.clone());
            }
        }
        let own = parts.by_ref().take(spec.count());
        panels.push(PanelFacts {
            letter: sheet.letters_of(index),
            settings: settings::to_table(&mut *panel_of(spec, sheet)?).to_string(),
            quantities: own.flat_map(|part| quantities(&part.figure)).collect(),
            against: drawn_panel.against.as_ref().map(|other| other.as_against()),
            ..drawn_panel.facts.clone()
        });
    }
    let date = source_date()?.and_then(|seconds| i64::try_from(seconds).ok());
    Ok(Provenance { date, sheet: sheet.to_toml(), runs, panels, ..Provenance::new() })
}

/// The colours of the surroundings in a style.
pub fn palette(style: &Style) -> Palette {
    Palette {
        dark: style.dark,
        paper: style.paper,
        ink: style.ink,
        faint: style.faint,
        accent: Palette::accent_on(style.dark),
    }
}
