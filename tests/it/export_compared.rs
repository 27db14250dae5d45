//! Comparisons on their way to files: sheets whose panels are against another subject, films, answers.

use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use mnemoscope::base::error::Result;
use mnemoscope::base::question::{MeasurementCall, Readings};
use mnemoscope::export::against::{AgainstSpec, Other};
use mnemoscope::export::answers::{self, Answered};
use mnemoscope::export::drawn_panel::compose;
use mnemoscope::export::film;
use mnemoscope::export::run_at::{Question, RunAt};
use mnemoscope::export::sheet::{PageSpec, PanelSpec, Sheet};
use mnemoscope::export::sheet_runner::SheetRunner;
use mnemoscope::figure::composite::Composite;
use mnemoscope::figure::file::{Format, render_all};
use mnemoscope::figure::page::Page;
use mnemoscope::figure::provenance::Provenance;
use mnemoscope::figure::{Figure, Mark};
use mnemoscope::panel::compare::{Compares, Showing};
use serde_json::Value;

use super::export::{RUN, copied, panel, recorded, several};
use crate::tiny;

/// A run of a network that reads other signs.
static OTHER_SIGNS: LazyLock<(tempfile::TempDir, PathBuf)> = LazyLock::new(|| {
    let folder = tempfile::tempdir().unwrap();
    let text = folder.path().join("signs.txt");
    std::fs::write(&text, "zyx xyz yzx zxy xzy yxz\n".repeat(400)).unwrap();
    recorded(tiny::with(&["train.steps=3", &format!("task.text={}", text.display())]))
});

fn against(step: Option<u64>, show: &str) -> Option<AgainstSpec> {
    Some(AgainstSpec { step, show: show.to_owned(), ..AgainstSpec::default() })
}

/// A sheet of one panel at the end of the run, against a step of it.
fn sheet(name: &str, step: u64, show: &str) -> Sheet {
    let spec = PanelSpec { against: against(Some(step), show), ..panel(name) };
    Sheet::one(spec, PageSpec::default())
}

fn made(run: &Path, sheet: &Sheet) -> Result<(Composite, Page)> {
    compose(sheet, &SheetRunner::new(run).drawn_panels(sheet, &mut |_, _| true)?)
}

fn drawn(sheet: &Sheet) -> Composite {
    made(&RUN.1, sheet).unwrap().0
}

fn refused(run: &Path, sheet: &Sheet) -> String {
    made(run, sheet).map(|_| ()).unwrap_err().message
}

/// The values of the maps of a figure.
fn cells(figure: &Figure) -> Vec<f32> {
    let of = |mark: &Mark| if let Mark::Heat(heat) = mark { heat.values.to_vec() } else { vec![] };
    figure.plots.iter().flat_map(|plot| plot.marks.iter().flat_map(of)).collect()
}

/// All numbers of a page, as they are written.
fn written(drawing: &Composite) -> Vec<(String, f64)> {
    let csv = render_all(drawing, &Page::column(), Format::Csv).unwrap();
    let mut rows = csv::Reader::from_reader(&csv[..]);
    let value = rows.headers().unwrap().iter().position(|name| name == "value").unwrap();
    let row = |row: csv::StringRecord| (row[0].to_owned(), row[value].parse().unwrap());
    rows.records().map(|r| row(r.unwrap())).collect()
}

// ---- sheets

#[test]
fn a_sheet_has_the_numbers_of_a_minus_those_of_b() {
    let own = |step: u64| {
        let spec = PanelSpec { step: Some(step), ..panel("attention") };
        cells(&drawn(&Sheet::one(spec, PageSpec::default())).parts[0].figure)
    };
    let (a, b) = (own(30), own(6));
    let all = drawn(&sheet("attention", 6, "all"));
    let [of_a, of_b, less] = &all.parts[..] else { panic!("three figures") };
    let bits = |values: &[f32]| values.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
    assert_eq!(bits(&cells(&of_a.figure)), bits(&a));
    assert_eq!(bits(&cells(&of_b.figure)), bits(&b));
    let expected: Vec<f32> = a.iter().zip(&b).map(|(a, b)| a - b).collect();
    assert_eq!(bits(&cells(&less.figure)), bits(&expected));
    assert!(expected.iter().any(|v| v.abs() > 1e-4), "nothing was learned");
    let alone = drawn(&sheet("attention", 6, ""));
    assert_eq!(alone.parts.len(), 1);
    assert_eq!(bits(&cells(&alone.parts[0].figure)), bits(&expected));
    // In the table the figures are told apart, and say the same.
    let rows = written(&all);
    let of = |letter: &str| {
        let rows = rows.iter().filter(|(plot, _)| plot.starts_with(&format!("{letter} ")));
        rows.map(|(_, value)| *value).collect::<Vec<_>>()
    };
    let (a, b, less) = (of("a"), of("b"), of("c"));
    assert!(!a.is_empty() && a.len() == b.len() && a.len() == less.len(), "{rows:?}");
    for ((a, b), less) in a.iter().zip(&b).zip(&less) {
        assert!((a - b - less).abs() < 1e-6, "{a} {b} {less}");
    }
}

#[test]
fn against_itself_every_number_is_zero() {
    let mut subtracted = Vec::new();
    for kind in mnemoscope::panel::ALL.iter().filter(|kind| kind.compares == Compares::Parts) {
        match made(&RUN.1, &sheet(kind.name, 30, "difference")) {
            Ok((drawing, _)) => {
                let figure = &drawing.parts[0].figure;
                assert!(cells(figure).iter().all(|v| v.is_nan() || *v == 0.0), "{}", kind.name);
                subtracted.push(kind.name);
            }
            Err(error) => assert!(error.message.len() > 20, "{}", error.message),
        }
    }
    for name in ["attention", "tokens", "predictions", "lens"] {
        assert!(subtracted.contains(&name), "{name} of {subtracted:?}");
    }
}

#[test]
fn figures_of_a_comparison_stand_together_on_the_same_scales() {
    for show in ["A | B", "beside"] {
        let both = drawn(&sheet("attention", 0, show));
        let [a, b] = &both.parts[..] else { panic!("two figures") };
        assert_eq!((a.figure.title.as_str(), b.figure.title.as_str()), ("A: step 30", "B: step 0"));
        let bar = |figure: &Figure| figure.plots[0].color_bar.clone().unwrap();
        assert_eq!(bar(&a.figure), bar(&b.figure));
        assert_eq!((a.place.row, a.place.column, b.place.row, b.place.column), (0, 0, 0, 1));
    }
    let wide = drawn(&sheet("tokens", 0, "all"));
    assert!(wide.parts.iter().all(|part| part.place.column == 0), "wide ones are stacked");
    // Among others, each figure takes a place of the grid and a letter, as they come.
    let mut page = several(&["tokens", "attention", "heads"]);
    page.panels[1].against = against(Some(0), Showing::All.name());
    page.panels[1].title = Some("Birth".to_owned());
    let page = drawn(&page);
    let letters: Vec<&str> = page.parts.iter().map(|part| part.letter.as_str()).collect();
    assert_eq!(letters, ["a", "b", "c", "d", "e"]);
    assert_eq!(page.parts[2].figure.title, "Birth, B: step 0");
}

#[test]
fn the_figure_says_what_it_is_against_and_is_made_again() {
    let mut compared = sheet("attention", 6, "all");
    compared.panels[0].intervene = vec!["zero layer1.head0".into()];
    let other = compared.panels[0].against.as_mut().unwrap();
    (other.head, other.intervene) = ("0.1".into(), vec!["zero layer0.head0".into()]);
    let (drawing, page) = made(&RUN.1, &compared).unwrap();
    let [facts] = &page.provenance.panels[..] else { panic!("one panel") };
    let b = facts.against.as_ref().unwrap();
    assert_eq!((facts.letter.as_str(), facts.head, b.head), ("a, b, c", [1, 0], [0, 1]));
    assert_eq!((facts.step, b.step), (Some(30), Some(6)));
    assert_eq!(facts.interventions, ["zero layer1.head0"]);
    assert_eq!(b.interventions, ["zero layer0.head0"]);
    let hashes = [&facts.weights_sha256, &b.weights_sha256].map(|hash| hash.clone().unwrap());
    assert_ne!(hashes[0], hashes[1]);
    let plots: usize = drawing.parts.iter().map(|part| part.figure.plots.len()).sum();
    assert_eq!(facts.quantities.len(), plots);
    for format in [Format::Svg, Format::Json] {
        let bytes = render_all(&drawing, &page, format).unwrap();
        let read = Provenance::read(&bytes).unwrap();
        assert_eq!(read, page.provenance);
        let (drawing, page) = made(&RUN.1, &Sheet::parse(&read.sheet, "again").unwrap()).unwrap();
        assert!(render_all(&drawing, &page, format).unwrap() == bytes, "{}", format.name());
    }
}

#[test]
fn what_cannot_be_compared_says_why() {
    let never = refused(&RUN.1, &sheet("curves", 0, ""));
    assert!(never.contains("curves") && never.contains("compared with nothing"), "{never}");
    let alone = Sheet::one(panel("differences"), PageSpec::default());
    let alone = refused(&RUN.1, &alone);
    assert!(alone.contains("--against"), "{alone}");
    assert_eq!(drawn(&sheet("differences", 0, "all")).parts.len(), 1);
    let shown = "[[panel]]\npanel = \"heads\"\n[panel.against]\nshow = \"A + B\"";
    let unknown = Sheet::parse(shown, "mine.toml").unwrap_err().message;
    assert!(unknown.contains("A \u{2212} B, A | B") && unknown.contains("beside"), "{unknown}");
    let path = "[[panel]]\npanel = \"heads\"\n[panel.against]\nrun = \"../b\"";
    let path = Sheet::parse(path, "mine.toml").unwrap_err().message;
    assert!(path.contains("beside the run"), "{path}");
    let mut elsewhere = sheet("attention", 0, "");
    elsewhere.panels[0].against.as_mut().unwrap().head = "7.0".into();
    let elsewhere = refused(&RUN.1, &elsewhere);
    assert!(elsewhere.contains("head 7.0") && elsewhere.contains("against"), "{elsewhere}");
}

#[test]
fn another_run_is_asked_about_the_same_text_or_says_what_it_cannot_read() {
    let folder = tempfile::tempdir().unwrap();
    copied(&RUN.1, &folder.path().join("first"));
    copied(&RUN.1, &folder.path().join("second"));
    copied(&OTHER_SIGNS.1, &folder.path().join("other"));
    let first = folder.path().join("first");
    let mut compared = sheet("attention", 12, "beside");
    compared.panels[0].sequence = 3;
    let with = |compared: &mut Sheet, run: &str| {
        compared.panels[0].against.as_mut().unwrap().run = run.to_owned();
    };
    with(&mut compared, "second");
    let (drawing, page) = made(&first, &compared).unwrap();
    assert_eq!(drawing.parts[1].figure.title, "B: step 12, second");
    let names: Vec<&str> = page.provenance.runs.iter().map(|run| run.name.as_str()).collect();
    assert_eq!(names, ["first", "second"]);
    assert_eq!(page.provenance.panels[0].against.as_ref().unwrap().run, "second");
    with(&mut compared, "other");
    let unread = refused(&first, &compared);
    assert!(unread.contains("it has no token") && unread.contains("other"), "{unread}");
    with(&mut compared, "third");
    assert!(refused(&first, &compared).contains("third"));
}

#[test]
fn a_word_says_a_run_a_step_or_both() {
    let read = |word: &str| {
        let other = Other::read(word.as_ref()).unwrap();
        (other.run.display().to_string(), other.step)
    };
    assert_eq!(read("b"), ("b".to_owned(), None));
    assert_eq!(read("b@100"), ("b".to_owned(), Some(100)));
    assert_eq!(read("@7"), (String::new(), Some(7)));
    assert_eq!(read("@"), (String::new(), None));
    assert_eq!(read("b@"), ("b".to_owned(), None));
    assert_eq!(read("me@home"), ("me@home".to_owned(), None));
    assert!(Other::read("".as_ref()).unwrap_err().message.contains("@100"));
    let folder = tempfile::tempdir().unwrap();
    let named = folder.path().join("run@3");
    std::fs::create_dir(&named).unwrap();
    assert_eq!(read(named.to_str().unwrap()).1, None, "a folder that is there is meant");
}

// ---- films and strips

#[test]
fn in_a_film_b_stays_at_its_step_or_moves_along() {
    let frames = |sheet: &Sheet| {
        let mut runner = SheetRunner::new(&RUN.1);
        film::frames(&mut runner, sheet, &[0, 12, 30], &mut |_, _| true).unwrap().0
    };
    let fixed = frames(&sheet("attention", 12, "all"));
    let values = |frame: &Composite, part: usize| cells(&frame.parts[part].figure);
    for frame in &fixed {
        assert_eq!(frame.parts[1].figure.title, "B: step 12");
        assert!(format!("{:?}", values(frame, 1)) == format!("{:?}", values(&fixed[0], 1)));
        let range = |frame: &Composite, part: usize| {
            frame.parts[part].figure.plots[0].color_bar.clone().unwrap().range
        };
        assert_eq!(range(frame, 2), range(&fixed[0], 2));
        assert_eq!(range(frame, 0), range(&fixed[0], 1));
    }
    assert!(values(&fixed[1], 2).iter().all(|v| v.is_nan() || *v == 0.0));
    assert!(values(&fixed[2], 2).iter().any(|v| v.abs() > 1e-4));
    let mut along = sheet("attention", 12, "difference");
    along.panels[0].against = against(None, "");
    for frame in frames(&along) {
        assert!(values(&frame, 0).iter().all(|v| v.is_nan() || *v == 0.0));
    }
    let differences = film::strip(&sheet("attention", 0, ""), &[12, 30]).unwrap();
    assert_eq!(differences.title, "A \u{2212} B: each step minus step 0");
    assert_eq!(differences.panels[1].title.as_deref(), Some("Step 30"));
    let strip = film::strip(&sheet("attention", 0, "all"), &[12, 30]).unwrap();
    let strip = drawn(&strip);
    assert_eq!(strip.parts.len(), 6);
    assert_eq!(strip.parts[3].place.row, 1, "each step is a row");
    assert_eq!(strip.parts[3].figure.title, "A: step 30");
}

// ---- answers

fn answered(step: u64, calls: &[MeasurementCall]) -> (RunAt, Readings) {
    let question = Question { step: Some(step), ..Question::default() };
    let mut run = RunAt::open(&RUN.1, &question).unwrap();
    let readings = run.ask(calls).unwrap();
    (run, readings)
}

#[test]
fn answers_of_two_have_a_difference_and_say_what_has_none() {
    let calls = ["attention", "predictions", "norms"].map(MeasurementCall::new);
    let (run_a, of_a) = answered(30, &calls);
    let (run_b, mut of_b) = answered(6, &calls);
    let alone: Value = serde_json::from_slice(&answers::json(&run_a, &of_a).unwrap()).unwrap();
    of_b.by_call.remove("norms");
    let a = Answered { run: &run_a, readings: &of_a };
    let b = Answered { run: &run_b, readings: &of_b };
    let both: Value = serde_json::from_slice(&answers::json_against(a, b).unwrap()).unwrap();
    for (key, value) in alone.as_object().unwrap() {
        assert_eq!(both[key], *value, "{key} of A is as without B");
    }
    assert_eq!(both["against"]["step"], 6);
    assert_eq!(both["difference"]["left_out"], serde_json::json!(["norms"]));
    let data = |of: &Value| {
        let array = &of["probes"]["attention"]["arrays"]["pattern.layer1"]["data"];
        array.as_array().unwrap().iter().map(|v| v.as_f64().unwrap()).collect::<Vec<_>>()
    };
    let (a_data, b_data, less) = (data(&both), data(&both["against"]), data(&both["difference"]));
    for ((a, b), less) in a_data.iter().zip(&b_data).zip(&less) {
        assert!((a - b - less).abs() < 1e-6, "{a} {b} {less}");
    }
    let archive = crate::npz::read(&answers::npz_against(a, b).unwrap());
    let floats = |name: &str| {
        let bytes = &archive[name].2;
        let four = |bytes: &[u8]| f32::from_le_bytes(bytes.try_into().unwrap());
        bytes.chunks_exact(4).map(four).collect::<Vec<_>>()
    };
    let names = ["", "against/", "difference/"].map(|of| format!("{of}attention/pattern.layer0"));
    let [a, b, less] = names.map(|name| floats(&name));
    assert!(a.iter().zip(&b).zip(&less).all(|((a, b), less)| (a - b - less).abs() < 1e-6));
    let about: Value = serde_json::from_slice(&archive["about"].2).unwrap();
    assert_eq!((&about["against"]["step"], &about["left_out"][0]), (&6.into(), &"norms".into()));
}
