//! A page of six panels from a recorded run to the pixels of a printer.

use crate::base::error::Result;
use crate::export::drawn_panel::compose;
use crate::export::sheet::{PageSpec, PanelSpec, Sheet};
use crate::export::sheet_runner::SheetRunner;
use crate::figure::file::{Format, render_all};
use crate::run::experiment::Experiment;

use super::scratch::{Scratch, record};
use super::{How, Kind, Steady, Workload};

pub const COMPOSITE: Workload = Workload {
    name: "figure/composite",
    about: "six panels of a recorded run, asked and drawn on a page of 183 mm, as a PNG of 600 dots per inch",
    kind: Kind::Repeated(composite),
};

pub const PDF: Workload =
    Workload { name: "figure/pdf", about: "the same page as a PDF", kind: Kind::Repeated(pdf) };

/// Recorded steps of the run.
const STEPS: u64 = 20;

fn composite(how: &How) -> Result<Steady> {
    page(how, Format::Png)
}

fn pdf(how: &How) -> Result<Steady> {
    page(how, Format::Pdf)
}

fn page(how: &How, format: Format) -> Result<Steady> {
    let scratch = Scratch::new()?;
    let mut experiment = Experiment::builtin("birth")?;
    experiment.set_texts(how.set.iter().map(String::as_str))?;
    let folder = scratch.path().join("run");
    record(&folder, &experiment, STEPS, STEPS)?;
    let panel = |name: &str| PanelSpec { panel: name.to_owned(), ..PanelSpec::default() };
    let panels = ["attention", "heads", "curves", "query_key", "memories", "predictions"];
    let sheet = Sheet {
        columns: 3,
        page: PageSpec { width: "183mm".to_owned(), dpi: Some(600.0), ..PageSpec::default() },
        panels: panels.into_iter().map(panel).collect(),
        ..Sheet::default()
    };
    let work = move || {
        // Kept as long as the workload.
        let _ = scratch.path();
        let drawn_panels = SheetRunner::new(&folder).drawn_panels(&sheet, &mut |_, _| true)?;
        let (drawing, page) = compose(&sheet, &drawn_panels)?;
        render_all(&drawing, &page, format).map(drop)
    };
    Ok(Steady { work: Box::new(work), tokens: None, flop: None })
}
