//! A worked example of a new panel: the sizes of the trained matrices at the step in view, as bars.
//!
//! `cargo run --example add_panel` draws it for a small made-up run and shows its numbers. Inside the crate this
//! file would be `src/panel/sizes.rs`, with `pub mod sizes;` and one line in `panel::ALL`: it then has a tile in
//! the window, an entry in the menu and the palette, and `mnemoscope figure RUN sizes -o sizes.pdf`.

use std::sync::Arc;

use mnemoscope::Result;
use mnemoscope::figure::color::Color;
use mnemoscope::figure::file::{Format, Page, render};
use mnemoscope::figure::{Axis, Figure, Mark, Plot, Ticks};
use mnemoscope::panel::{NetShape, Palette, Panel, Selection, View};
use mnemoscope::record::event::MetricsRow;
use mnemoscope::record::question::{Inquired, ProbeCall};
use mnemoscope::record::recording::Recording;
use mnemoscope::record::vocab::Vocab;

mnemoscope::knobs! {
    /// Settings of the panel.
    pub struct Sizes = "Norms of the trained matrices at the step in view." {
        /// Divide by the norms at the first step: growth instead of size.
        relative: bool = false, @live;
    }
}

impl Panel for Sizes {
    // It draws recorded metrics and asks no probe; `vec![ProbeCall::new("attention")]` would ask one.
    fn needs(&self, _net: &NetShape, _selection: &Selection) -> Vec<ProbeCall> {
        Vec::new()
    }

    // Pure: the same view gives the same figure, in the window, in a file and in a test.
    fn figure(&self, view: &View<'_>) -> Figure {
        let Some((name, recording)) = view.runs.first() else { return empty("No run yet.") };
        let step = view.step.unwrap_or(recording.last_step);
        let bars = self.bars(recording, step);
        if bars.is_empty() {
            return empty("This run records no norms.");
        }
        let largest = bars.iter().map(|(_, value)| *value).fold(0.0, f64::max);
        let ticks = bars.iter().enumerate().map(|(i, (name, _))| (i as f64, name.clone()));
        let plot = Plot {
            x: Axis {
                range: (-0.6, bars.len() as f64 - 0.4),
                ticks: Ticks::At(ticks.collect()),
                ..Axis::default()
            },
            y: Axis {
                label: if self.relative { "growth".to_owned() } else { "norm".to_owned() },
                range: (0.0, largest * 1.05),
                ..Axis::default()
            },
            marks: vec![Mark::Bars {
                name: "norm".to_owned(),
                at: (0..bars.len()).map(|i| i as f64).collect(),
                values: bars.iter().map(|(_, value)| *value).collect(),
                base: 0.0,
                width: 0.8,
                color: view.palette.accent,
            }],
            ..Plot::default()
        };
        let title = format!("Sizes of the matrices of {name}, step {step}");
        Figure { title, plots: vec![plot], columns: 1, ..Figure::default() }
    }
}

impl Sizes {
    /// Name and height of each bar.
    fn bars(&self, recording: &Recording, step: u64) -> Vec<(String, f64)> {
        let (Some(now), Some(first)) = (recording.row_at(step), recording.rows.first()) else {
            return Vec::new();
        };
        let columns = recording.columns.iter().enumerate();
        columns
            .filter_map(|(i, column)| {
                let name = column.strip_prefix("norm_")?;
                let unit = if self.relative { first.values[i] } else { 1.0 };
                Some((name.to_owned(), now.values[i] / unit))
            })
            .collect()
    }
}

/// What stands in place of a figure: a sentence.
fn empty(why: &str) -> Figure {
    Figure { empty: Some(why.to_owned()), ..Figure::default() }
}

#[expect(clippy::print_stdout, reason = "an example shows what it does")]
pub fn main() -> Result<()> {
    let row = |step, values: [f64; 3]| MetricsRow { step, values: values.to_vec() };
    let recording = Recording {
        columns: ["loss", "norm_layer0.wk", "norm_layer1.wk"].map(str::to_owned).to_vec(),
        rows: vec![row(0, [4.5, 6.5, 6.5]), row(10, [3.9, 6.6, 7.8])],
        last_step: 10,
        ..Recording::default()
    };
    let view = View {
        net: &NetShape::default(),
        vocab: &Vocab::new(Vec::new()),
        roles: &[],
        runs: &[("example".to_owned(), Arc::new(recording))],
        sweep: None,
        step: None,
        live: false,
        readings: None,
        failure: None,
        inquired: &Inquired::default(),
        selection: &Selection::default(),
        palette: Palette {
            dark: false,
            paper: Color::rgb(255, 255, 255),
            ink: Color::rgb(20, 20, 20),
            faint: Color::rgb(120, 120, 120),
            accent: Color::rgb(0, 114, 178),
        },
        size: [252.0, 189.0],
    };
    let figure = Sizes { relative: true }.figure(&view);
    let drawn = render(&figure, &Page::column(), Format::Svg)?;
    let numbers = render(&figure, &Page::column(), Format::Csv)?;
    println!("{}\n{}", figure.title, String::from_utf8_lossy(&numbers));
    assert!(drawn.starts_with(b"<?xml") || drawn.starts_with(b"<svg"));
    let none = Sizes::default().figure(&View { runs: &[], ..view });
    assert_eq!(none.empty.as_deref(), Some("No run yet."));
    Ok(())
}
