//! What the eye meets first: the default run after the birth of its induction head, untouched.

use std::path::Path;
use std::process::Command;
use std::sync::OnceLock;

use mnemoscope::app::canvas::theme;
use mnemoscope::app::lab::Lab;
use mnemoscope::figure::Figure;
use mnemoscope::figure::color::Color;
use mnemoscope::figure::fallback::Fallback;
use mnemoscope::figure::layout::layout;
use mnemoscope::figure::scene::{Item, Scene};
use mnemoscope::panel::attention::induction_keys;
use mnemoscope::panel::positions::{IN_VIEW, first_in_view};
use mnemoscope::panel::{self, View};
use tempfile::TempDir;

use super::app::{until, window_on};
use super::figure::{Vision, ciede2000, seen};

/// A recorded run of the experiment that the program starts with, until its head has formed: trained once for all tests.
pub fn born() -> &'static Path {
    static BORN: OnceLock<TempDir> = OnceLock::new();
    let train = || {
        let home = tempfile::tempdir().unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_mnemoscope"));
        command.args(["train", "birth", "--quiet", "--steps", "250", "--out"]);
        assert!(command.arg(home.path().join("birth")).status().unwrap().success());
        home
    };
    BORN.get_or_init(train).path()
}

/// A panel with its defaults as the window draws it.
pub fn drawn(lab: &Lab, name: &str, dark: bool, size: [f32; 2]) -> Scene {
    let figure = figure(lab, name, dark, size);
    layout(&figure, size, &theme::figure_style(dark, Fallback::NONE))
}

/// What it has drawn.
pub fn figure(lab: &Lab, name: &str, dark: bool, size: [f32; 2]) -> Figure {
    let kind = panel::ALL.iter().find(|kind| kind.name == name).unwrap();
    let run = lab.run().unwrap();
    let runs = lab.recordings();
    let view = View {
        net: &run.info.net,
        vocab: &run.info.vocab,
        roles: run.info.roles,
        runs: &runs,
        sweep: None,
        step: None,
        live: false,
        readings: lab.readings.as_deref(),
        before: None,
        beside: &[],
        against: None,
        failure: None,
        analyzed: &lab.analyses.analyzed,
        selection: &lab.selection,
        palette: theme::palette(dark),
        size,
    };
    (kind.make)().figure(&view)
}

/// The pixels of the last map of a scene: columns, and colours row by row.
fn pixels(scene: &Scene) -> (usize, &[Color]) {
    let map = scene.items.iter().rev().find_map(|item| {
        // A colour bar has one column.
        if let Item::Image { columns, pixels, .. } = item
            && *columns > 1
        {
            Some((*columns, &pixels[..]))
        } else {
            None
        }
    });
    map.unwrap()
}

/// By how much the colour of a cell differs from the median of those around it that exist.
fn apart((columns, pixels): (usize, &[Color]), [row, column]: [usize; 2]) -> f64 {
    let lab = |row: usize, column: usize| seen(pixels[row * columns + column], Vision::Usual);
    let around = |at: usize, end: usize| at.saturating_sub(1)..(at + 2).min(end);
    let mut near: Vec<[f64; 3]> = around(row, pixels.len() / columns)
        .flat_map(|r| around(column, columns).map(move |c| (r, c)))
        .filter(|&(r, c)| (r, c) != (row, column) && c <= r)
        .map(|(r, c)| lab(r, c))
        .collect();
    let median = [0, 1, 2].map(|i| {
        near.sort_by(|a, b| a[i].total_cmp(&b[i]));
        near[near.len() / 2][i]
    });
    ciede2000(lab(row, column), median)
}

#[test]
fn the_stripe_of_the_new_head_is_seen_in_map_and_thumbnail_without_a_click() {
    let mut harness = window_on(&born().join("birth"));
    until(&mut harness, "it is looked at", |app| app.lab.examination.is_settled(250));
    let lab = &harness.state().lab;
    assert_eq!((lab.selection.layer, lab.selection.head), (1, 0));
    assert_eq!(first_in_view(&lab.selection, lab.prompt.len()), 0);
    let row = &lab.prompt;
    let repeats = (0..row.len()).filter(|&at| row.occurrence[at] >= 2).take(10);
    // Of several keys the one that is attended to most.
    let readings = lab.readings.as_ref().unwrap();
    let pattern = readings.by_call["attention"].as_ref().unwrap().array("pattern.layer1").unwrap();
    let n = row.len();
    let strongest = |query: usize| {
        let keys = induction_keys(&row.tokens, query).into_iter();
        keys.max_by(|a, b| pattern.data[query * n + a].total_cmp(&pattern.data[query * n + b]))
    };
    let cells: Vec<[usize; 2]> = repeats.map(|query| [query, strongest(query).unwrap()]).collect();
    assert!(cells.iter().all(|[query, _]| *query < IN_VIEW), "out of the first view: {cells:?}");
    for (name, size) in [("attention", [380.0, 320.0]), ("heads", [380.0, 160.0])] {
        for dark in [false, true] {
            let scene = drawn(lab, name, dark, size);
            let found: Vec<f64> = cells.iter().map(|cell| apart(pixels(&scene), *cell)).collect();
            let clear = found.iter().filter(|apart| **apart >= 15.0).count();
            assert!(clear >= 8, "{name}, dark {dark}: {found:?} at {cells:?}");
        }
    }
}
