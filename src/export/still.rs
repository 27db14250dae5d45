//! A picture of what a lesson looks at: the still of an experiment in the gallery.

use std::path::Path;

use crate::base::error::Result;
use crate::figure::file::{self, Format};
use crate::figure::provenance::Provenance;
use crate::run::lesson::{Deed, Lesson};

use super::drawn_panel::compose;
use super::sheet::{PageSpec, PanelSpec, Sheet};
use super::sheet_runner::SheetRunner;

/// Most bytes of a still.
pub const MOST_BYTES: usize = 200_000;

/// The panel of a lesson on a page of 512 by 320 pixels, as PNG, without provenance: it is remade from the run of its experiment.
///
/// # Errors
/// When the run cannot be read, has no such moment, or not be asked what the panel draws.
pub fn of_lesson(folder: &Path, lesson: &Lesson) -> Result<Vec<u8>> {
    let mut runner = SheetRunner::new(folder);
    let look = &lesson.look;
    let recording = runner.recording("")?;
    let step = look.step.as_ref().and_then(|when| when.step(&recording));
    let intervene = |deed: &Deed| {
        if let Deed::Intervene(what) = deed { Some(what.to_string()) } else { None }
    };
    let panel = PanelSpec {
        panel: look.panel.clone(),
        step,
        head: look.head.map_or_else(String::new, |(layer, head)| format!("{layer}.{head}")),
        query: look.query,
        key: look.key,
        sequence: look.sequence.unwrap_or(0) as u64,
        intervene: lesson.deeds.iter().filter_map(intervene).collect(),
        ..PanelSpec::default()
    };
    let size = |length: &str| length.to_owned();
    let page = PageSpec {
        width: size("192pt"),
        height: size("120pt"),
        dpi: Some(192.0),
        ..PageSpec::default()
    };
    let sheet = Sheet::one(panel, page);
    let drawn = runner.drawn_panels(&sheet, &mut |_, _| true)?;
    let (composite, mut page) = compose(&sheet, &drawn)?;
    page.provenance = Provenance::default();
    file::render_all(&composite, &page, Format::Png)
}
