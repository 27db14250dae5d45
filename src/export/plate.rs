//! A panel that has its answers, ready to be put on a page of any size.

use std::sync::Arc;

use crate::figure::Figure;
use crate::figure::composite::{Composite, Part};
use crate::figure::file::Page;
use crate::figure::layout::Style;
use crate::figure::provenance::{PanelFacts, Provenance, RunFacts, quantities};
use crate::panel::{Palette, Panel, Snapshot};
use crate::record::error::{Error, Result};
use crate::record::knobs;

use super::sheet::{PanelSpec, Sheet};

/// A panel of a sheet with everything it draws.
pub struct Plate {
    pub spec: PanelSpec,
    pub panel: Box<dyn Panel>,
    pub shown: Arc<Snapshot>,
    /// What is known of where it comes from; its letter and quantities are added on the page.
    pub facts: PanelFacts,
    pub run: RunFacts,
}

impl Plate {
    /// The figure for a part of a page.
    fn figure(&self, size: [f32; 2], style: &Style) -> Figure {
        let mut figure = self.panel.figure(&self.shown.view(palette(style), size));
        if let Some(camera) = &self.spec.camera {
            camera.take(&mut figure);
        }
        if let Some(title) = &self.spec.title {
            figure.title.clone_from(title);
        }
        if let Some(caption) = &self.spec.caption {
            figure.caption.clone_from(caption);
        }
        figure
    }
}

/// The settings that a panel of a sheet asks for, and the map of the page where the panel has one to choose.
///
/// # Errors
/// When it has no such setting, or not this value.
pub fn set(panel: &mut dyn Panel, spec: &PanelSpec, sheet: &Sheet) -> Result<()> {
    for (name, value) in &spec.set {
        knobs::set(panel, "", name, value)?;
    }
    let chooses = knobs::names(panel).contains(&"map") && !spec.set.contains_key("map");
    if let Some(map) = sheet.page.map()?.filter(|_| chooses) {
        knobs::set(panel, "", "map", &map.name().into())?;
    }
    Ok(())
}

/// Puts the panels of a sheet on a page: what is drawn, and the page with its provenance.
///
/// # Errors
/// When the page cannot be made, or a panel has nothing to draw: the sentence says why.
pub fn compose(sheet: &Sheet, plates: &mut [Plate]) -> Result<(Composite, Page)> {
    let mut page = sheet.page()?;
    let drawing = arrange(sheet, plates, &page)?;
    for (plate, part) in plates.iter_mut().zip(&drawing.parts) {
        plate.facts.letter.clone_from(&part.letter);
        plate.facts.settings = knobs::to_table(&mut *plate.panel).to_string();
        plate.facts.quantities = quantities(&part.figure);
    }
    page.provenance = provenance(sheet, plates);
    Ok((drawing, page))
}

/// The figures of the panels on a page.
///
/// # Errors
/// When a panel has nothing to draw: the sentence says why.
pub fn arrange(sheet: &Sheet, plates: &[Plate], page: &Page) -> Result<Composite> {
    let parts = plates.iter().zip(sheet.places()).enumerate();
    let part = |(index, (_, place))| Part {
        letter: sheet.letter(index),
        figure: Figure::default(),
        place,
    };
    let mut drawing = Composite {
        title: sheet.title.clone(),
        parts: parts.map(part).collect(),
        widths: sheet.widths.clone(),
        heights: sheet.heights.clone(),
        ..Composite::default()
    };
    let sizes = drawing.sizes(page.size, &page.style);
    for ((part, plate), size) in drawing.parts.iter_mut().zip(plates).zip(sizes) {
        part.figure = plate.figure(size, &page.style);
        if let Some(why) = &part.figure.empty {
            let what = format!("panel {}", plate.spec.panel);
            return Err(Error::usage(why.clone()).context(what));
        }
    }
    if sheet.shares("colors") {
        drawing.share_colors();
    }
    if sheet.shares("legend") {
        drawing.share_legend();
    }
    Ok(drawing)
}

fn provenance(sheet: &Sheet, plates: &[Plate]) -> Provenance {
    let mut runs: Vec<RunFacts> = Vec::new();
    for plate in plates {
        if !runs.contains(&plate.run) {
            runs.push(plate.run.clone());
        }
    }
    let panels = plates.iter().map(|plate| plate.facts.clone()).collect();
    Provenance { date: epoch(), sheet: sheet.to_toml(), runs, panels, ..Provenance::new() }
}

/// The date that the environment gives to everything that is built.
fn epoch() -> Option<i64> {
    std::env::var("SOURCE_DATE_EPOCH").ok()?.trim().parse().ok()
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
