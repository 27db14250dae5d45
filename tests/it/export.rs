//! From a run to files: sheets, pages, numbers, provenance, films.

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock};

use mnemoscope::base::array::Array;
use mnemoscope::base::event::State;
use mnemoscope::base::question::{MeasurementCall, Reading, Readings};
use mnemoscope::base::settings;
use mnemoscope::export::drawn_panel::compose;
use mnemoscope::export::run_at::{Question, RunAt};
use mnemoscope::export::sheet::{BUILTIN, PageSpec, PanelSpec, Sheet};
use mnemoscope::export::sheet_runner::SheetRunner;
use mnemoscope::export::{answers, files, film};
use mnemoscope::figure::color::{Color, ColorMap, Scaling, fraction};
use mnemoscope::figure::composite::{Composite, Part, Place};
use mnemoscope::figure::file::{Format, render, render_all};
use mnemoscope::figure::grey;
use mnemoscope::figure::layout::layout;
use mnemoscope::figure::page::Page;
use mnemoscope::figure::preset;
use mnemoscope::figure::provenance::Provenance;
use mnemoscope::figure::scene::MM_PER_POINT;
use mnemoscope::figure::scene::{Item, Scene};
use mnemoscope::figure::style::Style;
use mnemoscope::figure::{
    Axis, ColorBar, Dash, Figure, Heat, HeatPick, LegendEntry, Mark, Plot, Ticks, pgf, png,
};
use mnemoscope::measurement::{self, analysis};
use mnemoscope::run::experiment::Experiment;
use mnemoscope::run::job::analysis_of;
use mnemoscope::run::session::{Begin, Command, Session, Start};
use proptest::prelude::*;

use crate::{npz, tiny};

/// A recorded run of a small network, made once.
pub static RUN: LazyLock<(tempfile::TempDir, PathBuf)> =
    LazyLock::new(|| recorded(tiny::with(&["train.steps=30"])));

pub fn recorded(experiment: Experiment) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let run = folder.path().join("a-run");
    fs::create_dir(&run).unwrap();
    let session = Session::start(Start {
        experiment,
        begin: Begin::Fresh,
        folder: Some(run.clone()),
        paused: false,
        attended: false,
    })
    .unwrap();
    tiny::until(&session, |event| tiny::is_state(event, State::Finished));
    drop(session);
    (folder, run)
}

pub fn panel(name: &str) -> PanelSpec {
    PanelSpec { panel: name.to_owned(), ..PanelSpec::default() }
}

fn drawn(sheet: &Sheet) -> (Composite, Page) {
    let drawn_panels = SheetRunner::new(&RUN.1).drawn_panels(sheet, &mut |_, _| true).unwrap();
    compose(sheet, &drawn_panels).unwrap()
}

pub fn several(panels: &[&str]) -> Sheet {
    Sheet { panels: panels.iter().map(|p| panel(p)).collect(), ..Sheet::default() }
}

fn texts(scene: &Scene) -> Vec<String> {
    let text =
        |item: &Item| if let Item::Text { text, .. } = item { Some(text.clone()) } else { None };
    scene.items.iter().filter_map(text).collect()
}

fn heat(values: Vec<f32>, columns: usize, range: (f32, f32)) -> Plot {
    let rows = values.len() / columns;
    let heat = Heat {
        name: "attention".into(),
        rows,
        columns,
        values: values.into(),
        map: ColorMap::Viridis,
        range,
        pick: HeatPick::QueryKey,
        ..Heat::default()
    };
    let axis = |n: usize| Axis { range: (0.0, n as f64), ticks: Ticks::Hidden, ..Axis::default() };
    let (map, label, scaling) = (ColorMap::Viridis, "attention".to_owned(), Scaling::Linear);
    Plot {
        x: axis(columns),
        y: axis(rows),
        marks: vec![Mark::Heat(heat)],
        color_bar: Some(ColorBar { label, map, range, scaling }),
        ..Plot::default()
    }
}

fn one(plot: Plot) -> Figure {
    Figure { plots: vec![plot], columns: 1, ..Figure::default() }
}

fn part(letter: &str, figure: Figure, column: usize) -> Part {
    let place = Place { row: 0, column, rows: 1, columns: 1 };
    Part { letter: letter.into(), figure, place }
}

// ---- sheets

#[test]
fn every_sheet_that_comes_along_is_one_and_says_what_it_shows() {
    for (name, text) in BUILTIN {
        let sheet = Sheet::parse(text, name).unwrap();
        assert!(sheet.about.len() > 20, "{name}");
        sheet.page().unwrap();
        let again = Sheet::parse(&sheet.to_toml(), name).unwrap();
        assert_eq!(again, sheet, "{name}");
    }
}

#[test]
fn a_wrong_sheet_says_what_is_wrong_and_where() {
    let cases = [
        ("[[panel]]\npanel = \"attenton\"", "attention"),
        ("colums = 2\n[[panel]]\npanel = \"heads\"", "line 1"),
        ("", "[[panel]]"),
        ("letters = \"greek\"\n[[panel]]\npanel = \"heads\"", "lower, upper, none"),
        ("share = [\"axes\"]\n[[panel]]\npanel = \"heads\"", "colors, legend"),
        ("[[panel]]\npanel = \"heads\"\nrow = 0", "1 to 64"),
        ("[[panel]]\npanel = \"heads\"\ncolumns = 99999999999", "1 to 64"),
    ];
    for (text, wanted) in cases {
        let message = Sheet::parse(text, "mine.toml").unwrap_err().message;
        assert!(message.contains(wanted) && message.contains("mine.toml"), "{message}");
    }
    let page = |page: PageSpec| Sheet::one(panel("heads"), page).page().unwrap_err().message;
    let wrong = page(PageSpec { preset: "sciense".into(), ..PageSpec::default() });
    assert!(wrong.contains("nature"), "{wrong}");
    let wrong = page(PageSpec { width: "9".into(), ..PageSpec::default() });
    assert!(wrong.contains("89mm"), "{wrong}");
    let wrong = page(PageSpec { text: Some(f32::NAN), ..PageSpec::default() });
    assert!(wrong.contains("3 to 72 points"), "{wrong}");
    let missing = Sheet::find("no-such-sheet").unwrap_err().message;
    assert!(missing.contains("birth-2"), "{missing}");
}

#[test]
fn panels_fill_the_grid_row_by_row_unless_they_say_otherwise() {
    let mut sheet = several(&["heads", "heads", "heads", "heads", "heads"]);
    sheet.columns = 3;
    sheet.panels[1].columns = Some(2);
    sheet.panels[4].row = Some(3);
    sheet.panels[4].column = Some(2);
    let places: Vec<(usize, usize, usize)> =
        sheet.places().iter().map(|p| (p.row, p.column, p.columns)).collect();
    assert_eq!(places, [(0, 0, 1), (0, 1, 2), (1, 0, 1), (1, 1, 1), (2, 1, 1)]);
    let letters: Vec<String> = (0..28).map(|i| sheet.letter(i)).collect();
    assert_eq!((&*letters[0], &*letters[25], &*letters[26]), ("a", "z", "a2"));
    assert_eq!(Sheet::one(panel("heads"), PageSpec::default()).letter(0), "", "one needs none");
}

#[test]
fn presets_are_as_wide_as_their_venues_ask() {
    let width = |preset: &str, width: &str| {
        let (preset, width) = (preset.to_owned(), width.to_owned());
        let page = PageSpec { preset, width, ..PageSpec::default() };
        Sheet::one(panel("heads"), page).page().unwrap().size[0]
    };
    assert!((width("nature", "column") * MM_PER_POINT - 89.0).abs() < 0.01);
    assert!((width("nature", "page") * MM_PER_POINT - 183.0).abs() < 0.01);
    assert!((width("neurips", "") - 5.5 * 72.0).abs() < 0.01);
    assert!((width("icml", "column") - 3.25 * 72.0).abs() < 0.01);
    for preset in preset::ALL {
        assert!(preset.small >= 5.0 && preset.small <= preset.text, "{}", preset.name);
        assert!(preset.widths[0] <= preset.widths[1], "{}", preset.name);
    }
}

// ---- pages

#[test]
fn a_page_of_one_part_is_its_figure() {
    let figure = Figure { title: "One".into(), ..one(heat(vec![0.5; 12], 4, (0.0, 1.0))) };
    let (size, style) = ([200.0, 150.0], Style::light());
    assert_eq!(Composite::one(figure.clone()).layout(size, &style), layout(&figure, size, &style));
}

#[test]
fn parts_of_a_page_do_not_touch_and_carry_their_letters() {
    let sheet = Sheet { columns: 2, ..several(&["attention", "heads", "curves", "tokens"]) };
    let (drawing, page) = drawn(&sheet);
    let scene = page.scene(&drawing);
    let words = texts(&scene);
    for letter in ["a", "b", "c", "d"] {
        assert!(words.iter().any(|w| w == letter), "{letter} is not among {words:?}");
    }
    let sizes = drawing.sizes(page.size, &page.style);
    assert_eq!(sizes.len(), 4);
    let both = sizes[0][0] + sizes[1][0];
    assert!(both < page.size[0] && both > 0.9 * page.size[0]);
    assert!(scene.items.iter().all(|item| if let Item::Text { at, .. } = item {
        at[0] >= 0.0 && at[0] <= page.size[0] && at[1] <= page.size[1]
    } else {
        true
    }));
}

#[test]
fn a_shared_scale_is_the_widest_and_drawn_once() {
    let low = one(heat(vec![0.0, 0.2, 0.1, 0.2], 2, (0.0, 0.2)));
    let high = one(heat(vec![0.1, 0.9, 0.3, 0.2], 2, (0.1, 0.9)));
    let mut drawing =
        Composite { parts: vec![part("a", low, 0), part("b", high, 1)], ..Composite::default() };
    drawing.share_colors();
    let bar = drawing.bar.clone().expect("one bar for both");
    assert_eq!(bar.range, (0.0, 0.9));
    for part in &drawing.parts {
        assert_eq!(part.figure.plots[0].color_bar, None);
        let Mark::Heat(heat) = &part.figure.plots[0].marks[0] else { panic!("a map") };
        assert_eq!(heat.range, (0.0, 0.9));
    }
    let scene = drawing.layout([300.0, 120.0], &Style::light());
    assert_eq!(texts(&scene).iter().filter(|t| *t == "attention").count(), 1);
    // A map of another quantity keeps its own.
    let mut other = heat(vec![3.0; 4], 2, (0.0, 3.0));
    if let Some(bar) = &mut other.color_bar {
        bar.label = "nats".into();
    }
    let first = one(heat(vec![0.5; 4], 2, (0.0, 1.0)));
    let parts = vec![part("a", first, 0), part("b", one(other), 1)];
    let mut drawing = Composite { parts, ..Composite::default() };
    drawing.share_colors();
    assert_eq!(drawing.bar, None);
    assert!(drawing.parts.iter().all(|p| p.figure.plots[0].color_bar.is_some()));
}

#[test]
fn shared_legends_stand_once_and_say_whose_they_are() {
    let with = |names: &[&str]| {
        let entry = |name: &&str| LegendEntry::line(*name, Color::rgb(0, 0, 200), Dash::Solid);
        one(Plot { legend: names.iter().map(entry).collect(), ..Plot::default() })
    };
    let page = |parts: Vec<Part>| {
        let mut drawing = Composite { parts, ..Composite::default() };
        drawing.share_legend();
        drawing
    };
    let same = page(vec![part("a", with(&["loss"]), 0), part("b", with(&["loss"]), 1)]);
    assert_eq!(same.legends.len(), 1);
    assert_eq!(same.legends[0].0, "", "all of them need no letters");
    let mixed = page(vec![
        part("a", with(&["loss"]), 0),
        part("b", with(&["recall"]), 1),
        part("c", with(&["loss"]), 2),
    ]);
    let letters: Vec<&str> = mixed.legends.iter().map(|(l, _)| l.as_str()).collect();
    assert_eq!(letters, ["a, c", "b"]);
    let words = texts(&mixed.layout([300.0, 120.0], &Style::light()));
    assert_eq!(words.iter().filter(|w| *w == "loss").count(), 1);
    assert!(words.contains(&"a, c".to_owned()));
}

#[test]
fn greys_keep_luminance_and_what_they_hide_is_said() {
    for color in ColorMap::Viridis.table().iter().chain(ColorMap::Vik.table()) {
        let grey = grey::grey(*color);
        assert!(grey.r == grey.g && grey.g == grey.b);
        assert!((grey.luminance() - color.luminance()).abs() < 0.006, "{color:?}");
    }
    let [a, b] = [Color::rgb(200, 60, 60), Color::rgb(60, 128, 60)];
    assert!((grey::lightness(a) - grey::lightness(b)).abs() < 8.0, "chosen to look alike");
    let legend = vec![
        LegendEntry::line("queries", a, Dash::Solid),
        LegendEntry::line("keys", b, Dash::Solid),
    ];
    let told = grey::check(&one(Plot { legend: legend.clone(), ..Plot::default() }));
    assert!(told.len() == 1 && told[0].contains("queries") && told[0].contains("keys"), "{told:?}");
    let mut dashed = legend;
    dashed[1].dash = Dash::Dashed;
    assert_eq!(grey::check(&one(Plot { legend: dashed, ..Plot::default() })), Vec::<String>::new());
    let mut sheet = Sheet::one(panel("attention"), PageSpec::default());
    sheet.page.grey = true;
    let (drawing, page) = drawn(&sheet);
    let is_grey = |c: &Color| c.r == c.g && c.g == c.b;
    assert!(page.scene(&drawing).items.iter().all(|item| match item {
        Item::Image { pixels, .. } => pixels.iter().all(is_grey),
        Item::Rect { fill, .. } => fill.as_ref().is_none_or(is_grey),
        Item::Text { color, .. } | Item::Polyline { color, .. } => is_grey(color),
        Item::Circle { .. } | Item::Cloud { .. } | Item::Clip { .. } | Item::Unclip => true,
    }));
}

#[test]
fn the_causal_triangle_is_hatched_where_asked_and_only_there() {
    let mut plot = heat(vec![1.0; 36], 6, (0.0, 1.0));
    (plot.y.range, plot.equal, plot.color_bar) = ((6.0, 0.0), true, None);
    if let Mark::Heat(heat) = &mut plot.marks[0] {
        heat.causal = true;
    }
    let (figure, size) = (one(plot), [120.0, 120.0]);
    let lines = |style: &Style| {
        let scene = layout(&figure, size, style);
        let hatch = |item: &Item| {
            if let Item::Polyline { points, color, .. } = item
                && *color == style.faint
            {
                Some(points.clone())
            } else {
                None
            }
        };
        scene.items.iter().filter_map(hatch).collect::<Vec<_>>()
    };
    assert!(lines(&Style::light()).is_empty());
    let style = Style { hatched: true, ..Style::light() };
    let lines = lines(&style);
    assert!(lines.len() > 15, "{}", lines.len());
    let scene = layout(&figure, size, &style);
    let (min, max) = scene
        .items
        .iter()
        .find_map(
            |item| if let Item::Image { min, max, .. } = item { Some((*min, *max)) } else { None },
        )
        .unwrap();
    let side = (max[0] - min[0]) / 6.0;
    for line in lines {
        let [x, y] = [0, 1].map(|i| f32::midpoint(line[0][i], line[1][i]));
        let (column, row) = ((x - min[0]) / side, (y - min[1]) / side);
        assert!(column >= row.floor() + 0.99, "({column}, {row}) is a cell that exists");
        assert!(column <= 6.01 && row <= 6.01);
    }
}

// ---- numbers and provenance

#[test]
fn drawing_the_table_again_gives_the_same_picture() {
    let mut sheet = Sheet::one(panel("attention"), PageSpec::default());
    sheet.panels[0].set.insert("curves".into(), false.into());
    let (drawing, page) = drawn(&sheet);
    let csv = render_all(&drawing, &page, Format::Csv).unwrap();
    let facts = &page.provenance.panels[0].quantities[0];
    let color = facts.color.as_ref().unwrap();
    let scene = page.scene(&drawing);
    let dpi = 300.0;
    let (width, _, rgba) = png::pixels(&scene, dpi).unwrap();
    let image = scene.items.iter().find_map(|item| {
        if let Item::Image { min, max, columns, rows, .. } = item {
            Some((*min, *max, *columns, *rows))
        } else {
            None
        }
    });
    let (min, max, columns, rows) = image.unwrap();
    let mut cells = 0;
    for row in csv::Reader::from_reader(csv.as_slice()).records() {
        let row = row.unwrap();
        if &row[1] != "attention" {
            continue;
        }
        let number = |i: usize| row[i].parse::<f32>().unwrap();
        let at = |i: usize, n: usize| {
            let place = min[i] + (number(3 + i) + 0.3) / n as f32 * (max[i] - min[i]);
            (place * dpi / 72.0) as usize
        };
        let pixel = 4 * (at(1, rows) * width as usize + at(0, columns));
        let found = Color::rgb(rgba[pixel], rgba[pixel + 1], rgba[pixel + 2]);
        let map = ColorMap::ALL[ColorMap::NAMES.iter().position(|n| *n == color.map).unwrap()];
        let wanted = map.at(fraction(number(5), (color.from, color.to), Scaling::Linear));
        assert_eq!(found, wanted, "row {} column {}", &row[4], &row[3]);
        cells += 1;
    }
    assert_eq!(cells, rows * (rows + 1) / 2, "every cell that exists, and no other");
}

#[test]
fn the_archive_holds_the_numbers_of_the_table() {
    let (drawing, page) = drawn(&several(&["attention", "curves"]));
    let bytes = render_all(&drawing, &page, Format::Npz).unwrap();
    let mut zip = zip::ZipArchive::new(std::io::Cursor::new(bytes)).unwrap();
    let mut member = |name: &str| {
        let mut bytes = Vec::new();
        zip.by_name(&format!("{name}.npy")).unwrap().read_to_end(&mut bytes).unwrap();
        let length = usize::from(u16::from_le_bytes([bytes[8], bytes[9]]));
        let head = String::from_utf8(bytes[10..10 + length].to_vec()).unwrap();
        (head, bytes.split_off(10 + length))
    };
    let (head, data) = member("a/plot1/attention");
    let Mark::Heat(heat) = &drawing.parts[0].figure.plots[0].marks[0] else { panic!("a map") };
    assert!(head.contains("'<f4'") && head.contains(&format!("({}, {})", heat.rows, heat.columns)));
    let numbers = data.chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().unwrap()));
    for (index, number) in numbers.enumerate() {
        let (row, column) = (index / heat.columns, index % heat.columns);
        assert_eq!(number.is_nan(), column > row, "absent above the diagonal");
        assert!(number.is_nan() || number == heat.values[index]);
    }
    let (_, about) = member("about");
    let about: serde_json::Value = serde_json::from_slice(&about).unwrap();
    assert_eq!(about["provenance"]["panels"][1]["panel"], "curves");
    let arrays = about["arrays"].as_object().unwrap();
    let lines = |name: &&String| name.starts_with("b/");
    let line = arrays.keys().find(lines).expect("the curves have lines");
    let (head, data) = member(line);
    assert!(head.contains("'<f8'"));
    let numbers: Vec<f64> =
        data.chunks_exact(8).map(|b| f64::from_le_bytes(b.try_into().unwrap())).collect();
    let Some(Mark::Line { points, .. }) =
        drawing.parts[1].figure.plots[0].marks.iter().find(|m| matches!(m, Mark::Line { .. }))
    else {
        panic!("a line")
    };
    assert_eq!(numbers, points.concat());
}

#[test]
fn a_figure_is_made_again_out_of_any_of_its_files() {
    let mut sheet = several(&["attention", "curves", "tokens"]);
    sheet.panels[0].step = Some(12);
    sheet.panels[0].set.insert("map".into(), "magma".into());
    sheet.panels[2].intervene = vec!["zero layer1.head0".into()];
    sheet.page.preset = "neurips".into();
    let (drawing, page) = drawn(&sheet);
    for format in [Format::Pdf, Format::Svg, Format::Png, Format::Json] {
        let bytes = render_all(&drawing, &page, format).unwrap();
        let read = Provenance::read(&bytes).unwrap();
        assert_eq!(read, page.provenance, "{}", format.name());
        let again = Sheet::parse(&read.sheet, "again").unwrap();
        let (drawing, page) = drawn(&again);
        let second = render_all(&drawing, &page, format).unwrap();
        assert!(second == bytes, "{} is another", format.name());
    }
    let [panel, _, cut] = page.provenance.panels.as_slice() else { panic!("three panels") };
    assert_eq!((panel.step, panel.letter.as_str()), (Some(12), "a"));
    assert_eq!(panel.weights_sha256.as_ref().unwrap().len(), 64);
    assert_ne!(panel.weights_sha256, cut.weights_sha256, "another step has other weights");
    assert_eq!(cut.interventions, ["zero layer1.head0"]);
    assert_eq!(page.provenance.runs.len(), 1);
    assert!(page.provenance.runs[0].experiment.contains("bigram"));
}

#[test]
fn a_figure_says_what_was_changed_in_its_run_on_the_way() {
    let folder = tempfile::tempdir().unwrap();
    let run = folder.path().join("changed");
    let start = |steps: &str, begin| {
        let experiment = tiny::with(&["train.schedule=cosine", steps]);
        let folder = Some(run.clone());
        let start = Start { experiment, begin, folder, paused: true, attended: false };
        Session::start(start).unwrap()
    };
    let session = start("train.steps=9", Begin::Fresh);
    for (name, value) in [("rate", 0.01.into()), ("steps", toml::Value::Integer(12))] {
        session.commands.send(Command::Set { name: name.to_owned(), value }).unwrap();
    }
    drop(session);
    let session = start("train.steps=12", Begin::Resume);
    session.commands.send(Command::Run).unwrap();
    tiny::until(&session, |event| tiny::is_state(event, State::Finished));
    drop(session);
    let sheet = several(&["curves"]);
    let drawn_panels = SheetRunner::new(&run).drawn_panels(&sheet, &mut |_, _| true).unwrap();
    let (_, page) = compose(&sheet, &drawn_panels).unwrap();
    let [facts] = page.provenance.runs.as_slice() else { panic!("one run") };
    assert_eq!(facts.history, ["step 0: train.rate = 0.01", "step 0: train.steps = 12"]);
    assert!(facts.experiment.contains("steps = 9\n"), "{}", facts.experiment);
    let read = Provenance::from_json(&page.provenance.to_json()).unwrap();
    assert_eq!(read.runs[0].history, facts.history);
}

#[test]
fn the_hash_of_weights_is_that_of_names_shapes_and_numbers() {
    use mnemoscope::base::weights::{NamedTensor, Weights};
    let tensor = |name: &str, shape: &[usize], data: &[f32]| NamedTensor {
        name: name.into(),
        shape: shape.to_vec(),
        data: data.to_vec().into(),
        trained: true,
    };
    let weights = |tensors: Vec<NamedTensor>| Weights::new(3, tensors);
    let a = tensor("a", &[2], &[1.0, -2.0]);
    let b = tensor("b", &[1, 1], &[0.5]);
    let hash = weights(vec![a.clone(), b.clone()]).sha256();
    // printf of the bytes by hand: a\0, 1 axis of 2, two numbers; b\0, 2 axes of 1, one number.
    let mut bytes = b"a\0".to_vec();
    bytes.extend([1u64, 2].map(u64::to_le_bytes).concat());
    bytes.extend([1.0f32, -2.0].map(f32::to_le_bytes).concat());
    bytes.extend(b"b\0");
    bytes.extend([2u64, 1, 1].map(u64::to_le_bytes).concat());
    bytes.extend(0.5f32.to_le_bytes());
    use sha2::Digest;
    let wanted: String =
        sha2::Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(hash, wanted);
    assert_eq!(
        hash,
        weights(vec![b.clone(), a.clone()]).sha256(),
        "the order is that of the names"
    );
    assert_ne!(
        hash,
        weights(vec![a, tensor("b", &[1], &[0.5])]).sha256(),
        "a shape is a part of it"
    );
}

#[test]
fn a_provenance_of_a_later_version_is_told_from_a_broken_one() {
    let mut later = Provenance::new();
    later.schema += 1;
    later.program = "mnemoscope 9.0".into();
    let message = Provenance::read(later.to_json().as_bytes()).unwrap_err().message;
    assert!(message.contains("mnemoscope 9.0"), "{message}");
    for wrong in [&b"{}"[..], b"", b"<svg/>", b"%PDF-1.7", b"\x89PNG\r\n\x1a\n", b"{\"schema\":1}"]
    {
        let message = Provenance::read(wrong).unwrap_err().message;
        assert!(message.contains("provenance"), "{message}");
    }
}

proptest! {
    /// Whatever becomes of a file, reading it says something or gives something, and never panics.
    #[test]
    fn files_that_were_spoilt_are_read_without_a_panic(
        which in 0usize..4,
        cut in 0.0f64..1.0,
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..24),
    ) {
        static FILES: LazyLock<Vec<Vec<u8>>> = LazyLock::new(|| {
            let (drawing, page) = drawn(&several(&["heads", "tokens"]));
            let formats = [Format::Pdf, Format::Svg, Format::Png, Format::Json];
            formats.iter().map(|f| render_all(&drawing, &page, *f).unwrap()).collect()
        });
        let mut bytes = FILES[which].clone();
        bytes.truncate((cut * bytes.len() as f64) as usize + 1);
        for (place, value) in changes {
            let at = place.index(bytes.len());
            bytes[at] = value;
        }
        if let Ok(read) = Provenance::read(&bytes) {
            let _ = Sheet::parse(&read.sheet, "spoilt");
        }
    }

    /// Any text as a sheet gives a sentence or a sheet that can be laid out.
    #[test]
    fn any_text_is_a_sheet_or_says_why_not(text in "(\\PC|\n){0,300}") {
        if let Ok(sheet) = Sheet::parse(&text, "any") {
            let _ = sheet.page();
            prop_assert_eq!(sheet.places().len(), sheet.panels.len());
        }
    }

    /// Nothing that a token holds leaves its braces in TeX.
    #[test]
    fn any_token_is_plain_text_for_tex(text in "\\PC{0,40}") {
        let escaped = pgf::escaped(&text);
        let mut depth = 0i32;
        let mut before = ' ';
        for c in escaped.chars() {
            let quoted = before == '\\';
            match c {
                '{' if !quoted => depth += 1,
                '}' if !quoted => depth -= 1,
                '%' | '#' | '&' | '_' => prop_assert!(quoted, "{escaped}"),
                _ => {}
            }
            prop_assert!(depth >= 0, "{escaped}");
            before = if quoted { ' ' } else { c };
        }
        prop_assert_eq!(depth, 0);
        let forbidden = ['^', '~', '\u{202e}', '\n'];
        prop_assert!(!escaped.contains(forbidden), "{escaped}");
    }
}

// ---- answers

/// A recorded run of a network that finds its way in small trees.
static TREES: LazyLock<(tempfile::TempDir, PathBuf)> = LazyLock::new(|| {
    let mut experiment = Experiment::of("trees", "tree_path", "decoder").unwrap();
    experiment
        .set_texts([
            "task.nodes=6",
            "model.layers=3",
            "model.heads=1",
            "model.width=16",
            "model.mlp=relu",
            "train.steps=2",
            "train.batch=4",
            "train.held_out=4",
        ])
        .unwrap();
    recorded(experiment)
});

/// A recorded run of recurrent units that read a machine's symbols.
static MACHINE: LazyLock<(tempfile::TempDir, PathBuf)> = LazyLock::new(|| {
    let mut experiment = Experiment::of("machine", "automaton", "recurrent").unwrap();
    experiment
        .set_texts([
            "task.length=6",
            "task.longest=12",
            "model.width=8",
            "train.steps=2",
            "train.batch=4",
            "train.held_out=4",
        ])
        .unwrap();
    recorded(experiment)
});

fn asked(folder: &Path, analysis: &MeasurementCall) -> Option<(RunAt, Readings)> {
    let mut run = RunAt::open(folder, &Question::default()).unwrap();
    let (weights, prompt) = (run.weights.clone(), run.prompt.clone());
    let analyzed = analysis_of(analysis).unwrap();
    let reading =
        run.instrument.analyze(&weights, &prompt, &[], &*analyzed, &mut |_, _, _| true).ok()?;
    let readings = Readings {
        step: weights.step,
        prompt,
        interventions: Vec::new(),
        weights,
        by_call: [(analysis.key(), Ok(Arc::new(reading)))].into(),
    };
    Some((run, readings))
}

fn assert_everything_is_written(run: &RunAt, readings: &Readings) {
    let archive = npz::read(&answers::npz(run, readings).unwrap());
    let json: serde_json::Value =
        serde_json::from_slice(&answers::json(run, readings).unwrap()).unwrap();
    let about: serde_json::Value = serde_json::from_slice(&archive["about"].2).unwrap();
    let mut members = 2;
    for (key, reading) in &readings.by_call {
        let Ok(reading) = reading else { continue };
        assert_eq!(about["notes"][key], serde_json::json!(reading.notes), "{key}");
        let names = reading.numbers.iter().map(|(name, _)| name);
        let names: Vec<&String> = names.chain(reading.arrays.iter().map(|a| &a.name)).collect();
        for (i, name) in names.iter().enumerate() {
            assert!(!names[..i].contains(name), "{key}: two answers are called {name}");
        }
        members += names.len();
        for (name, value) in &reading.numbers {
            let bytes = member(&archive, &about, &format!("{key}/{name}"));
            // No zero has a sign.
            assert_eq!(bytes.2, (value + 0.0).to_le_bytes(), "{key}/{name}");
            let said = json["probes"][key]["numbers"][name].as_f64();
            // The reader of the test rounds.
            let alike = |said: f64| (said - value).abs() <= 1e-12 * value.abs();
            assert!(said.map_or(!value.is_finite(), alike), "{key}/{name}: {said:?}, not {value}");
        }
        for array in &reading.arrays {
            let read = member(&archive, &about, &format!("{key}/{}", array.name));
            assert_eq!(read.1, array.shape, "{key}/{}", array.name);
            let bytes: Vec<u8> = array.data.iter().flat_map(|v| (v + 0.0).to_le_bytes()).collect();
            assert_eq!(read.2, bytes, "{key}/{}", array.name);
            let said = &json["probes"][key]["arrays"][&array.name];
            assert_eq!(said["data"].as_array().unwrap().len(), array.data.len());
        }
    }
    assert_eq!(archive.len(), members);
}

#[test]
fn an_answer_says_what_stands_before_position_0() {
    let mut run = RunAt::open(&RUN.1, &Question::default()).unwrap();
    let call = MeasurementCall::new("attention");
    let (weights, prompt) = (run.weights.clone(), run.prompt.clone());
    let mut readings =
        run.instrument.examine(&weights, &prompt, &[], std::slice::from_ref(&call)).unwrap();
    let said = |readings: &Readings| {
        let archive = npz::read(&answers::npz(&run, readings).unwrap());
        let about: serde_json::Value = serde_json::from_slice(&archive["about"].2).unwrap();
        let json: serde_json::Value =
            serde_json::from_slice(&answers::json(&run, readings).unwrap()).unwrap();
        (about, json["probes"]["attention"]["arrays"].clone())
    };
    // Nothing where every axis begins at position 0.
    let (about, arrays) = said(&readings);
    assert!(about.get("labels").is_none() && arrays["pattern.layer0"].get("labels").is_none());
    let labels: Arc<[String]> = ["m0", "m1"].map(String::from).into();
    let array = Array::new("pattern.layer0", &["head", "query", "key"], &[1, 1, 4], [0.25; 4]);
    let arrays = vec![array.unwrap().labelled(labels)];
    let reading = Reading { arrays, ..Reading::default() };
    readings.by_call.insert(call.key(), Ok(Arc::new(reading)));
    let (about, arrays) = said(&readings);
    let labels = serde_json::json!({ "key": ["m0", "m1", "0", "1"] });
    assert_eq!(about["labels"]["attention/pattern.layer0"], labels);
    assert_eq!(arrays["pattern.layer0"]["labels"], labels);
    let axes = serde_json::json!(["head", "query", "key"]);
    assert_eq!(about["axes"]["attention/pattern.layer0"], axes);
    assert_eq!(arrays["pattern.layer0"]["axes"], axes);
}

/// A member by the name of its answer, whatever it is called in the archive.
fn member<'a>(
    archive: &'a std::collections::BTreeMap<String, npz::Read1>,
    about: &serde_json::Value,
    exact: &str,
) -> &'a npz::Read1 {
    let renamed = about["names"].as_object().unwrap().iter().find(|(_, name)| *name == exact);
    let name = renamed.map_or(exact, |(name, _)| name);
    archive.get(name).unwrap_or_else(|| panic!("{exact} is not in the archive"))
}

#[test]
fn every_answer_goes_into_every_format() {
    let mut answered = Vec::new();
    for folder in [&RUN.1, &TREES.1, &MACHINE.1] {
        let mut run = RunAt::open(folder, &Question::default()).unwrap();
        let calls: Vec<MeasurementCall> =
            measurement::ALL.iter().map(|e| MeasurementCall::new(e.name)).collect();
        let readings = run.ask(&calls).unwrap();
        assert!(readings.by_call.values().any(Result::is_ok));
        assert_everything_is_written(&run, &readings);
        for entry in analysis::ALL {
            let mut call = MeasurementCall::new(entry.name);
            // Few of what there may be many of.
            let mut asked_for = (entry.make)();
            for (name, few) in [("pairs", 2), ("trees", 2), ("train", 40), ("test", 40)] {
                if settings::names(&mut *asked_for).contains(&name) {
                    call = call.with(name, few);
                }
            }
            // The runs are too young to be right.
            for name in ["all_pairs", "all_prompts"] {
                if settings::names(&mut *asked_for).contains(&name) {
                    call = call.with(name, true);
                }
            }
            // Their tasks have no facts.
            if entry.name == "rewriting" {
                let to = run.instrument.source().vocab().text(0).to_owned();
                call = call.with("place", "layer0.mlp_out@1").with("to", to);
            }
            let Some((run, readings)) = asked(folder, &call) else { continue };
            assert_everything_is_written(&run, &readings);
            answered.push(entry.name);
        }
    }
    for entry in analysis::ALL {
        assert!(answered.contains(&entry.name), "nothing answered {}", entry.name);
    }
}

#[test]
fn names_that_no_archive_holds_are_written_as_others() {
    let (mut run, _) =
        asked(&RUN.1, &MeasurementCall::new("knock_out")).expect("the tiny network is asked");
    let other = "to/be\\or:\0\n\"not\" 東京 ".repeat(2000);
    let call = MeasurementCall::new("patching").with("other", other.clone());
    let readings = run.ask(&[MeasurementCall::new("norms")]).unwrap();
    let answer = readings.by_call.values().next().unwrap().clone();
    let by_call = [(call.key(), answer.clone()), (call.with("pairs", 2).key(), answer)].into();
    assert_everything_is_written(&run, &Readings { by_call, ..readings });
}

// ---- files

#[test]
fn numbers_and_provenance_lie_beside_every_figure() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let (drawing, page) = drawn(&Sheet::one(panel("attention"), PageSpec::default()));
    let names = files::names(&[path("f.pdf"), path("f.png")], false).unwrap();
    let made = files::rendered(&names, &drawing, &page).unwrap();
    files::write(&made, &[path("f.pdf"), path("f.png")], false).unwrap();
    let mut left: Vec<String> = fs::read_dir(folder.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    left.sort();
    assert_eq!(left, ["f.csv", "f.json", "f.npz", "f.pdf", "f.png"]);
    // A further format of the same figure has the same numbers beside it.
    let names = files::names(&[path("f.svg")], false).unwrap();
    let made = files::rendered(&names, &drawing, &page).unwrap();
    files::write(&made, &[path("f.svg")], false).unwrap();
    // Another figure of the same name would replace them.
    let (other, page) = drawn(&Sheet::one(panel("heads"), PageSpec::default()));
    let names = files::names(&[path("f.tex")], false).unwrap();
    let made = files::rendered(&names, &other, &page).unwrap();
    let tex = [path("f.tex")];
    let message = files::write(&made, &tex, false).unwrap_err().message;
    assert!(message.contains("f.csv") && message.contains("--force"), "{message}");
    assert!(!path("f.tex").exists(), "nothing is written where one file is in the way");
    files::write(&made, &tex, true).unwrap();
    assert!(path("f.tex").exists() && path("f-tex.csv").exists());
    // And once more, of yet another.
    let (third, page) = drawn(&Sheet::one(panel("predictions"), PageSpec::default()));
    files::write(&files::rendered(&names, &third, &page).unwrap(), &tex, true).unwrap();
}

#[test]
fn what_lies_beside_a_figure_is_replaced_only_where_it_is_a_figures() {
    let (drawing, page) = drawn(&Sheet::one(panel("attention"), PageSpec::default()));
    let foreign: [(&str, &[u8]); 9] = [
        ("f.csv", b"my,data\n1,2\n"),
        ("f.csv", b"plot,x,y\n"),
        ("f.csv", b""),
        ("f.json", b"{\"name\": \"my-package\"}"),
        ("f.json", b"[1, 2]"),
        ("f.npz", b"PK\x03\x04"),
        ("f-tex.csv", b"a,b\n"),
        ("f-tex-1.png", b"\x89PNG\r\n\x1a\n"),
        ("f.npz", b"\xff\xfe"),
    ];
    for (name, theirs) in foreign {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        let named = [path("f.pdf"), path("f.tex")];
        let names = files::names(&named, false).unwrap();
        let mut made = files::rendered(&names, &drawing, &page).unwrap();
        made.push((path("f-tex-1.png"), b"a picture".to_vec()));
        // Consent to the figure itself is none to what lies beside it.
        fs::write(path("f.pdf"), "an old one").unwrap();
        fs::write(path(name), theirs).unwrap();
        let message = files::write(&made, &named, true).unwrap_err().message;
        assert!(message.contains(name) && !message.contains("f.pdf"), "{message}");
        assert_eq!(fs::read(path(name)).unwrap(), theirs);
        assert_eq!(fs::read(path("f.pdf")).unwrap(), b"an old one", "nothing at all is written");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
        // It is said before anything is computed, as far as the names are known then.
        let early = files::all_free(&names, &named, true);
        assert_eq!(early.is_err(), name != "f-tex-1.png");
        // Who names it means it.
        let named = [named[0].clone(), named[1].clone(), path(name)];
        files::write(&made, &named, true).unwrap();
        assert_ne!(fs::read(path(name)).unwrap(), theirs);
    }
}

#[test]
fn what_is_asked_about_is_all_that_would_be_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    assert!(files::in_the_way(&path("f.tex")).is_empty());
    for name in ["f.tex", "f-tex.csv", "f.csv", "f.json", "f.svg", "g.npz"] {
        fs::write(path(name), "x").unwrap();
    }
    let found = files::in_the_way(&path("f.tex"));
    assert_eq!(found, ["f.tex", "f-tex.csv", "f.csv", "f.json"].map(path));
    assert_eq!(files::in_the_way(&path("g.pdf")), [path("g.npz")]);
    assert!(files::in_the_way(&path("notes.txt")).is_empty());
}

#[test]
fn two_files_of_one_name_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("f-tex.csv");
    let made = [(path.clone(), b"one".to_vec()), (path.clone(), b"two".to_vec())];
    let message = files::write(&made, std::slice::from_ref(&path), true).unwrap_err().message;
    assert!(message.contains("f-tex.csv") && message.contains("twice"), "{message}");
    assert!(!path.exists());
}

#[cfg(unix)]
#[test]
fn a_figure_is_never_written_through_a_link() {
    let folder = tempfile::tempdir().unwrap();
    let (inside, outside) = (folder.path().join("in"), folder.path().join("out.csv"));
    fs::create_dir(&inside).unwrap();
    fs::write(&outside, "mine").unwrap();
    let link = inside.join("f.csv");
    std::os::unix::fs::symlink(&outside, &link).unwrap();
    let made = [(link.clone(), b"theirs".to_vec())];
    let named = [link.clone()];
    let message = files::write(&made, &named, false).unwrap_err().message;
    assert!(message.contains("is there already"), "{message}");
    // Whose it is cannot be seen through it.
    let message = files::write(&made, &[], true).unwrap_err().message;
    assert!(message.contains("f.csv"), "{message}");
    files::write(&made, &named, true).unwrap();
    assert_eq!(fs::read_to_string(&outside).unwrap(), "mine");
    assert!(fs::symlink_metadata(&link).unwrap().is_file(), "the link itself was replaced");
}

#[test]
fn a_page_for_tex_has_no_number_that_tex_cannot_hold() {
    let line = |points: &[[f64; 2]]| Mark::Line {
        name: "wild".to_owned(),
        points: points.into(),
        color: Color::rgb(200, 30, 30),
        width: 1.0,
        dash: Dash::Solid,
    };
    let plot = Plot {
        x: Axis { range: (0.0, 10.0), ..Axis::default() },
        y: Axis { range: (0.0, 4.0), ..Axis::default() },
        marks: vec![
            line(&[[0.0, 1.0], [1.0, f64::NAN], [2.0, 1.0], [3.0, 1e30]]),
            Mark::Points {
                name: "wild".to_owned(),
                points: [[1.0, 2.0], [2.0, -1e30], [1e30, 1.0]].into(),
                colors: [Color::rgb(0, 0, 0)].into(),
                diameter: 3.0,
                picks: [].into(),
            },
            Mark::Bars {
                name: "wild".to_owned(),
                at: vec![4.0, 5.0],
                values: vec![f64::INFINITY, 2.0],
                base: 0.0,
                width: 0.5,
                color: Color::rgb(0, 90, 0),
            },
        ],
        ..Plot::default()
    };
    let figure = Figure { plots: vec![plot], columns: 1, ..Figure::default() };
    let made = pgf::document(&Composite::one(figure), &Page::column(), "fig").unwrap();
    let mut table = csv::Reader::from_reader(made.table.as_bytes());
    let rows: Vec<csv::StringRecord> = table.records().map(Result::unwrap).collect();
    let numbers = |column: usize| -> Vec<f64> {
        rows.iter().map(|row| row[column].parse().unwrap()).collect()
    };
    for column in 0..6 {
        assert!(numbers(column).iter().all(|v| v.is_nan() || v.abs() < 11.0), "{}", made.table);
    }
    // One point, a gap, a stretch that is cut a little above the axis.
    let (x, y) = (numbers(0), numbers(1));
    assert!(x[0] == 0.0 && x[1].is_nan() && x[2] == 2.0 && x[3] < 2.001, "{x:?}");
    assert!(y[3] > 4.0 && y[3] < 4.2, "{y:?}");
    // A line, two points and a bar go on beyond the axes: as many wedges.
    let wedges =
        made.tex.lines().filter(|l| l.starts_with("\\draw") && l.matches(" -- ").count() == 2);
    assert_eq!(wedges.count(), 4, "{}", made.tex);
}

#[test]
fn a_page_for_tex_reads_its_numbers_from_the_table() {
    let (drawing, page) = drawn(&several(&["attention", "curves"]));
    let made = pgf::document(&drawing, &page, "fig").unwrap();
    let begun = made.tex.matches("\\begin{").count();
    assert_eq!(begun, made.tex.matches("\\end{").count());
    assert!(made.tex.contains("\\mnemoscopepath fig-tex.csv"));
    let mut table = csv::Reader::from_reader(made.table.as_bytes());
    let head = table.headers().unwrap().clone();
    let rows: Vec<csv::StringRecord> = table.records().map(|r| r.unwrap()).collect();
    for column in 1.. {
        let reads = format!("x=x{column}, y=y{column}");
        let there = head.iter().any(|name| name == format!("x{column}"));
        assert_eq!(made.tex.contains(&reads), there, "{reads}");
        if !there {
            break;
        }
    }
    let column = |name: &str| {
        let at = head.iter().position(|n| n == name).unwrap();
        let known = rows.iter().map(|r| r[at].parse::<f64>().unwrap()).filter(|v| !v.is_nan());
        known.collect::<Vec<f64>>()
    };
    let Mark::Heat(heat) = &drawing.parts[0].figure.plots[0].marks[0] else { panic!("a map") };
    let values = column("v1");
    assert_eq!(values.len(), heat.rows * (heat.rows + 1) / 2);
    assert_eq!(values[0] as f32, heat.values[0]);
}

/// Where a program that sets TeX is, if there is one.
fn tex_engine() -> Option<PathBuf> {
    let folders = std::env::var_os("PATH")?;
    std::env::split_paths(&folders)
        .flat_map(|folder| ["pdflatex", "lualatex"].map(|name| folder.join(name)))
        .find(|path| path.is_file())
}

#[test]
fn a_page_for_tex_is_read_by_tex_whatever_its_name() {
    let big = heat((0..70 * 70).map(|i| i as f32 / 4900.0).collect(), 70, (0.0, 1.0));
    let mut small = heat(vec![0.5; 4], 2, (0.0, 1.0));
    small.title = "100% of $5 & #1_a {b} ~c^d \\textbf{e} <f> \"g\" 'h' `i` |j| --- ,,k".into();
    let drawing =
        Composite::one(Figure { plots: vec![small, big], columns: 2, ..Figure::default() });
    let home = tempfile::tempdir().unwrap();
    let path = |name: &str| home.path().join(name);
    let mut inputs = String::new();
    let names = ["plain", "a_b", "a$b & c^d ~e", "ü", "漢-1.2", "it's [b]=`c`;"];
    for (number, name) in names.iter().enumerate() {
        let made = pgf::document(&drawing, &Page::column(), name).unwrap();
        fs::write(path(&format!("page{number}.tex")), made.tex).unwrap();
        fs::write(path(&format!("{name}-tex.csv")), made.table).unwrap();
        fs::write(path(&format!("{name}-tex-1.png")), &made.images[0]).unwrap();
        inputs += &format!("\\input{{page{number}}}\n\n");
    }
    for wrong in ["100%", "#1", "a{b", "a}b", "a\\b", "a\"b", "a^^b", "~a", "a  b", "a\nb"] {
        let message =
            pgf::document(&drawing, &Page::column(), wrong).map(|_| ()).unwrap_err().message;
        assert!(message.contains("expected a name"), "{message}");
        let beside = path("x").with_file_name(format!("{wrong}.tex"));
        assert!(
            files::names(&[beside], true).is_err(),
            "{wrong} is refused before anything is drawn"
        );
    }
    let Some(engine) = tex_engine() else { return };
    let text = format!(
        "\\documentclass{{article}}\\usepackage{{pgfplots}}\\pgfplotsset{{compat=1.18}}\\usepackage[T1]{{fontenc}}\
         \\usepackage{{textcomp,amssymb}}\\begin{{document}}\n{inputs}\\end{{document}}\n"
    );
    fs::write(path("all.tex"), text).unwrap();
    let output = std::process::Command::new(engine)
        .current_dir(home.path())
        .args(["-interaction=nonstopmode", "-halt-on-error", "all.tex"])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && path("all.pdf").exists(), "{said}");
}

#[test]
fn serif_figures_are_set_in_the_serif_face_everywhere() {
    let figure = Figure { title: "Attention".into(), ..one(heat(vec![0.5; 4], 2, (0.0, 1.0))) };
    let style = preset::style(mnemoscope::figure::font::Family::Serif, 9.0, 7.0, 0.5, false);
    let page = Page { style, ..Page::column() };
    let pdf = render(&figure, &page, Format::Pdf).unwrap();
    let pdf = String::from_utf8_lossy(&pdf);
    assert!(pdf.contains("LiberationSerif") && !pdf.contains("LiberationSans"));
    let svg = String::from_utf8(render(&figure, &page, Format::Svg).unwrap()).unwrap();
    assert!(svg.contains("font-family=\"Liberation Serif, Times New Roman"));
    let sans = render(&figure, &Page::column(), Format::Png).unwrap();
    assert!(sans != render(&figure, &page, Format::Png).unwrap());
}

#[test]
fn a_page_has_the_date_that_the_environment_gives_and_else_none() {
    let figure = one(heat(vec![0.5; 4], 2, (0.0, 1.0)));
    let mut page = Page::column();
    let pdf = |page: &Page| {
        String::from_utf8_lossy(&render(&figure, page, Format::Pdf).unwrap()).into_owned()
    };
    assert!(!pdf(&page).contains("CreationDate"));
    // 14 July 2017, 02:40:00 UTC.
    page.provenance.date = Some(1_500_000_000);
    assert!(pdf(&page).contains("D:20170714024000"), "the date of the document");
    page.provenance.date = Some(i64::MAX);
    assert!(!pdf(&page).contains("CreationDate"), "no date where it is none");
}

#[test]
fn every_panel_comes_out_of_a_recorded_run_in_every_format_or_says_why_not() {
    let mut drawn_ones = Vec::new();
    for entry in mnemoscope::panel::ALL.iter().filter(|entry| entry.name != "sweep") {
        let mut sheet = Sheet::one(panel(entry.name), PageSpec::default());
        sheet.panels[0].query = Some(9);
        let drawn_panels = SheetRunner::new(&RUN.1).drawn_panels(&sheet, &mut |_, _| true);
        match drawn_panels.and_then(|drawn_panels| compose(&sheet, &drawn_panels)) {
            Ok((drawing, page)) => {
                for format in Format::ALL {
                    let bytes = render_all(&drawing, &page, *format).unwrap();
                    assert!(!bytes.is_empty(), "{} as {}", entry.name, format.name());
                }
                drawn_ones.push(entry.name);
            }
            Err(error) => assert!(error.message.len() > 20, "{}: {}", entry.name, error.message),
        }
    }
    let of_any_network = [
        "tokens",
        "predictions",
        "heads",
        "attention",
        "lens",
        "attribution",
        "query_key",
        "curves",
        "timeline",
    ];
    for name in of_any_network {
        assert!(drawn_ones.contains(&name), "{name} is not among {drawn_ones:?}");
    }
}

// ---- films

#[test]
fn a_strip_shows_steps_side_by_side_in_the_same_colors() {
    let sheet = Sheet::one(panel("attention"), PageSpec::default());
    let strip = film::strip(&sheet, &[0, 12, 30]).unwrap();
    let (drawing, page) = drawn(&strip);
    assert!(drawing.bar.is_some(), "one scale for all");
    let words = texts(&page.scene(&drawing));
    for title in ["Step 0", "Step 12", "Step 30"] {
        assert!(words.iter().any(|w| w == title), "{title} is not among {words:?}");
    }
    assert!(film::strip(&several(&["heads", "curves"]), &[0]).is_err());
    assert!(film::strip(&sheet, &[]).is_err());
}

#[test]
fn steps_of_a_film_are_recorded_ones_as_evenly_apart_as_there_are() {
    let mut runner = SheetRunner::new(&RUN.1);
    let recording = runner.recording("").unwrap();
    let all = film::steps(&recording, 0, u64::MAX, 1000);
    assert_eq!(all, recording.recorded);
    let three = film::steps(&recording, 0, u64::MAX, 3);
    assert_eq!((three[0], *three.last().unwrap()), (all[0], *all.last().unwrap()));
    assert!(film::steps(&recording, 4, 20, 9).iter().all(|s| (4..=20).contains(s)));
    assert_eq!(film::steps(&recording, 1000, 2000, 3), Vec::<u64>::new());
}

#[test]
fn frames_of_a_film_keep_their_scale_and_can_be_decoded() {
    let mut sheet = Sheet::one(panel("attention"), PageSpec::default());
    sheet.page.dpi = Some(60.0);
    let mut runner = SheetRunner::new(&RUN.1);
    let steps = [0, 12, 30];
    let (frames, page) = film::frames(&mut runner, &sheet, &steps, &mut |_, _| true).unwrap();
    let range = |frame: &Composite| frame.parts[0].figure.plots[0].color_bar.clone().unwrap().range;
    assert!(frames.iter().all(|frame| range(frame) == range(&frames[0])));
    let apng = film::apng(&frames, &page, 10.0, &mut |_, _| true).unwrap();
    let mut reader = ::png::Decoder::new(std::io::Cursor::new(&apng)).read_info().unwrap();
    assert_eq!(reader.info().animation_control.unwrap().num_frames, 3);
    let (width, height) = (reader.info().width, reader.info().height);
    let mut picture = vec![0; reader.output_buffer_size().unwrap()];
    for frame in &frames {
        reader.next_frame(&mut picture).unwrap();
        assert!(film::pixels(frame, &page).unwrap().2 == picture, "a frame is the page itself");
    }
    assert_eq!(Provenance::read(&apng).unwrap().panels.len(), 1);
    let gif = film::gif(&frames, &page, 10.0, &mut |_, _| true).unwrap();
    let mut decoder = gif::DecodeOptions::new().read_info(gif.as_slice()).unwrap();
    assert_eq!((u32::from(decoder.width()), u32::from(decoder.height())), (width, height));
    let mut count = 0;
    while let Some(frame) = decoder.read_next_frame().unwrap() {
        assert_eq!(frame.delay, 10);
        count += 1;
    }
    assert_eq!(count, 3);
    let stopped = film::frames(&mut runner, &sheet, &steps, &mut |done, _| done < 1);
    assert!(stopped.unwrap_err().message.contains("stopped"));
}

// ---- more runs than one

#[test]
fn a_sheet_names_runs_beside_the_one_that_is_asked_about() {
    let folder = tempfile::tempdir().unwrap();
    let copy = |to: &str| copied(&RUN.1, &folder.path().join(to));
    copy("first");
    copy("second");
    let mut sheet = several(&["heads", "heads"]);
    sheet.panels[1].run = "second".into();
    let mut runner = SheetRunner::new(&folder.path().join("first"));
    let drawn_panels = runner.drawn_panels(&sheet, &mut |_, _| true).unwrap();
    let (_, page) = compose(&sheet, &drawn_panels).unwrap();
    let names: Vec<&str> = page.provenance.runs.iter().map(|r| r.name.as_str()).collect();
    assert_eq!(names, ["first", "second"]);
    sheet.panels[1].run = "third".into();
    let Err(error) = runner.drawn_panels(&sheet, &mut |_, _| true) else { panic!("no such run") };
    assert!(error.message.contains("third"), "{}", error.message);
}

#[test]
fn a_sheet_asks_the_runs_that_are_drawn_beside_another_their_long_questions() {
    let folder = tempfile::tempdir().unwrap();
    ["first", "second"].iter().for_each(|name| copied(&RUN.1, &folder.path().join(name)));
    let mut sheet = several(&["length"]);
    sheet.panels[0].beside = vec!["second".into()];
    sheet.panels[0].set = toml::toml! { values = "6, 8"
    sequences = 12 };
    let mut runner = SheetRunner::new(&folder.path().join("first"));
    let drawn = runner.drawn_panels(&sheet, &mut |_, _| true).unwrap();
    let [beside] = &*drawn[0].shown.beside else { panic!("one run beside") };
    assert_eq!(beside.name, "second");
    // Two copies of a run answer the same.
    let answers = [&beside.analyzed, &drawn[0].shown.analyzed].map(|analyzed| {
        let found = analyzed.by_call.values().next().unwrap();
        let reading = found.reading.as_ref().unwrap().as_ref().unwrap();
        reading.array("accuracy").unwrap().data.clone()
    });
    assert_eq!(answers[0], answers[1]);
}

#[test]
fn what_a_long_question_does_not_answer_keeps_no_panel_from_drawing_the_rest() {
    // A cache has no content that a probe could be fitted to.
    let mut experiment = Experiment::of("cache", "copy", "transformer_xl").unwrap();
    let small = ["task.count=4", "task.segment=4", "train.segment=4", "model.width=8"];
    experiment.set_texts(small).unwrap();
    experiment
        .set_texts(["model.heads=2", "train.batch=4", "train.held_out=4", "train.steps=2"])
        .unwrap();
    let (_folder, run) = recorded(experiment);
    let sheet = several(&["working_memory"]);
    let mut runner = SheetRunner::new(&run);
    let drawn = runner.drawn_panels(&sheet, &mut |_, _| true).unwrap();
    let found = drawn[0].shown.analyzed.by_call.values().next().unwrap();
    assert!(found.reading.as_ref().unwrap().is_err());
    compose(&sheet, &drawn).unwrap();
    // A panel that draws nothing else says why.
    let sheet = several(&["automaton"]);
    let drawn = runner.drawn_panels(&sheet, &mut |_, _| true).unwrap();
    let Err(error) = compose(&sheet, &drawn) else { panic!("no machine") };
    assert!(error.message.contains("no strings that a machine reads"), "{}", error.message);
}

pub fn copied(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copied(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}
