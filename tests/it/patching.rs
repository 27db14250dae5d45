//! Long questions in the window: jobs, the panel of patching, and what a click on its map does.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use egui::accesskit::Role;
use egui_kittest::Harness;
use egui_kittest::kittest::Queryable;

use mnemoscope::app::commands::Command;
use mnemoscope::app::{App, Panels};
use mnemoscope::base::analysis::Map;
use mnemoscope::base::array::Array;
use mnemoscope::base::error::Error;
use mnemoscope::base::intervention::{How, Intervention, Place, Point, Site};
use mnemoscope::base::pair::Metric;
use mnemoscope::base::question::{Analyzed, Found, MeasurementCall, Reading, Readings};
use mnemoscope::base::registry::find;
use mnemoscope::base::settings::{self, Settings};
use mnemoscope::base::vocab::Vocab;
use mnemoscope::figure::color::{Color, ColorMap};
use mnemoscope::figure::layout::layout;
use mnemoscope::figure::pick::pick;
use mnemoscope::figure::scene::AreaPick;
use mnemoscope::figure::style::Style;
use mnemoscope::figure::{Figure, Heat, HeatPick, Mark, Patch, Pick};
use mnemoscope::measurement::analysis;
use mnemoscope::measurement::causal::patching::{FAMILIES, Family, STACKS};
use mnemoscope::panel::patching::Patching;
use mnemoscope::panel::{self, NetShape, Palette, Panel, Selection, View};
use mnemoscope::run::examine::Instrument;
use mnemoscope::run::examiner::Which;
use mnemoscope::run::experiment::Experiment;
use mnemoscope::run::job::{Assignment, Heard, Job, analysis_of, reads_prompt};
use mnemoscope::run::trainer::Trainer;
use mnemoscope::task::held_out_seed;

use super::app::{TINY, endless, finished, press, until, window_of};

// Jobs.

const PATIENCE: Duration = Duration::from_secs(60);

/// A question about a small untrained network, over all pairs.
pub fn assignment(call: MeasurementCall) -> (Experiment, Assignment) {
    let mut experiment = Experiment::of("asked", "bigram", "decoder").unwrap();
    experiment
        .set_texts(["task.length=24", "model.width=16", "train.batch=2", "train.held_out=8"])
        .unwrap();
    let weights = Trainer::new(&experiment).unwrap().weights().unwrap();
    let instrument = Instrument::new(&experiment).unwrap();
    let prompt = Arc::new(instrument.source().sequence(held_out_seed(0), 0));
    (
        experiment,
        Assignment {
            which: Which::Given(Arc::new(weights)),
            prompt,
            interventions: Vec::new(),
            call,
        },
    )
}

fn patching(map: &str) -> MeasurementCall {
    MeasurementCall::new("patching").with("map", map).with("pairs", 4).with("all_pairs", true)
}

pub fn last(job: &Job) -> Heard {
    loop {
        let heard = job.heard.recv_timeout(PATIENCE).unwrap();
        if heard.ended {
            return heard;
        }
    }
}

#[test]
fn the_last_report_of_a_job_is_what_the_question_is_answered_without_a_thread() {
    let (experiment, assignment) = assignment(patching("heads_by_position"));
    let woken = Arc::new(AtomicUsize::new(0));
    let count = woken.clone();
    let job = Job::start(&experiment, assignment.clone(), move || {
        count.fetch_add(1, Ordering::Relaxed);
    })
    .unwrap();
    let found = last(&job).reading.unwrap();
    let Which::Given(weights) = &assignment.which else { unreachable!() };
    let mut instrument = Instrument::new(&experiment).unwrap();
    let analysis = analysis_of(&assignment.call).unwrap();
    let alone = instrument
        .analyze(weights, &assignment.prompt, &[], &*analysis, &mut |_, _, _| true)
        .unwrap();
    assert_eq!(found.numbers, alone.numbers);
    for (a, b) in found.arrays.iter().zip(&alone.arrays) {
        let bits = |a: &Array| a.data.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
        assert_eq!((&a.name, bits(a)), (&b.name, bits(b)));
    }
    assert!(woken.load(Ordering::Relaxed) > 0);
    assert!(job.heard.recv_timeout(PATIENCE).is_err(), "something came after the last report");
}

#[test]
fn a_job_that_is_stopped_says_what_it_has_and_leaves_the_rest_open() {
    let (experiment, assignment) = assignment(patching("pattern_by_cell"));
    let job = Job::start(&experiment, assignment, || {}).unwrap();
    let first = job.heard.recv_timeout(PATIENCE).unwrap();
    assert!(!first.ended, "the job was done before it could be stopped");
    job.stop();
    let reading = last(&job).reading.unwrap();
    assert!(reading.notes.iter().any(|note| note.starts_with("Stopped before the end")));
    let effects = reading.array("effect.pattern_by_cell").unwrap();
    let open = effects.data.iter().filter(|v| v.is_nan()).count();
    assert!(open > 0 && open < effects.data.len(), "{open} of {}", effects.data.len());
}

#[test]
fn a_job_that_cannot_be_done_says_why_and_its_thread_ends() {
    let (experiment, assignment) = assignment(MeasurementCall::new("patching").with("map", "hats"));
    let job = Job::start(&experiment, assignment, || {}).unwrap();
    let error = last(&job).reading.unwrap_err();
    assert!(error.message.contains("hats"), "{error}");
    let begun = Instant::now();
    while !job.is_retired() {
        assert!(begun.elapsed() < PATIENCE);
        std::thread::sleep(Duration::from_millis(2));
    }
}

#[test]
fn only_a_pair_that_was_written_depends_on_the_sequence_in_view() {
    assert!(!reads_prompt(&patching("z")).unwrap());
    assert!(reads_prompt(&patching("z").with("other", "the cat")).unwrap());
    assert!(!reads_prompt(&MeasurementCall::new("path")).unwrap());
    assert!(reads_prompt(&MeasurementCall::new("knock_out")).unwrap());
    assert!(reads_prompt(&MeasurementCall::new("astrology")).is_err());
}

#[test]
fn one_pair_alone_is_the_first_that_counts() {
    let (experiment, assignment) = assignment(patching("resid_pre").with("one", true));
    let found = last(&Job::start(&experiment, assignment, || {}).unwrap()).reading.unwrap();
    assert_eq!(found.number("pairs"), Some(1.0));
    // Of the same pair, each cell is what the pair written by hand gives.
    let vocab = Instrument::new(&experiment).unwrap().source().vocab().clone();
    let text = |name: &str| {
        let ids: Vec<u32> = found.array(name).unwrap().data.iter().map(|v| *v as u32).collect();
        vocab.spell(&ids)
    };
    let at = found.array("at").unwrap().data[0].to_string();
    let call = patching("resid_pre")
        .with("base", text("base_tokens"))
        .with("other", text("other_tokens"))
        .with("at", at)
        .with("answers", text("answers"));
    let (experiment, written) = self::assignment(call);
    let written = last(&Job::start(&experiment, written, || {}).unwrap()).reading.unwrap();
    let of = |reading: &Reading| reading.array("effect.resid_pre").unwrap().data.clone();
    for (a, b) in of(&found).iter().zip(of(&written).iter()) {
        assert!((a - b).abs() < 1e-5, "{a} {b}");
    }
}

// The panel.

const LIGHT: Palette = Palette {
    dark: false,
    paper: Color::rgb(255, 255, 255),
    ink: Color::rgb(25, 25, 28),
    faint: Color::rgb(120, 120, 125),
    accent: Color::rgb(0, 114, 178),
};

pub struct World {
    pub net: NetShape,
    vocab: Vocab,
    analyzed: Analyzed,
    readings: Option<Readings>,
    size: [f32; 2],
}

impl World {
    pub fn new() -> Self {
        Self {
            net: NetShape {
                kind: "birth".into(),
                heads: vec![1, 1],
                vocab: 6,
                answers: 6,
                length: 6,
                segment: 0,
                reals: false,
                is_read: false,
            },
            vocab: Vocab::new("abcdef".chars().map(String::from).collect()),
            analyzed: Analyzed::default(),
            readings: None,
            size: [420.0, 320.0],
        }
    }

    pub fn answer(&mut self, panel: &dyn Panel, reading: Result<Reading, Error>) {
        let call = panel.analyses(&self.net, &Selection::default()).remove(0);
        let reading = Some(reading.map(Arc::new));
        let found = Found { step: 120, done: 4, total: 10, reading, ended: false };
        self.analyzed.by_call.insert(call.key(), found);
    }

    pub fn figure(&self, panel: &dyn Panel) -> Figure {
        panel.figure(&View {
            net: &self.net,
            vocab: &self.vocab,
            roles: &[],
            runs: &[],
            sweep: None,
            step: Some(120),
            live: false,
            readings: self.readings.as_ref(),
            before: None,
            beside: &[],
            against: None,
            failure: None,
            analyzed: &self.analyzed,
            selection: &Selection { layer: 1, ..Selection::default() },
            palette: LIGHT,
            size: self.size,
        })
    }
}

fn array(name: &str, axes: &[&str], shape: &[usize], data: Vec<f32>) -> Array {
    Array::new(name, axes, shape, data).unwrap()
}

/// Keys of two layers of six positions; the last two cells are not known yet.
fn found() -> Reading {
    let mut effect: Vec<f32> = (0..12).map(|i| i as f32 / 10.0 - 0.3).collect();
    effect[10] = f32::NAN;
    effect[11] = f32::NAN;
    let axes = ["layer", "head", "position"];
    let moved = |by: f32| effect.iter().map(|v| v + by).collect();
    Reading {
        arrays: vec![
            array("base_tokens", &["position"], &[6], vec![0.0, 1.0, 2.0, 0.0, 4.0, 5.0]),
            array("other_tokens", &["position"], &[6], vec![0.0, 3.0, 2.0, 0.0, 4.0, 5.0]),
            array("at", &["one"], &[1], vec![3.0]),
            array("answers", &["sequence"], &[2], vec![1.0, 3.0]),
            array("last", &["one"], &[1], vec![3.0]),
            array("effect.k_by_position", &axes, &[2, 1, 6], effect.clone()),
            array("low.k_by_position", &axes, &[2, 1, 6], moved(-0.05)),
            array("high.k_by_position", &axes, &[2, 1, 6], moved(0.05)),
        ],
        numbers: [("pairs", 8.0), ("pairs_counted", 7.0)].map(|(n, v)| (n.into(), v)).to_vec(),
        notes: vec!["1 of 8 pairs are left out.".to_owned()],
    }
}

fn keys() -> Patching {
    let mut panel = Patching::default();
    panel.asked.map = Map::KByPosition;
    panel
}

pub fn heat(figure: &Figure) -> &Heat {
    let marks = figure.plots.iter().flat_map(|plot| &plot.marks);
    let mut heats =
        marks.filter_map(|mark| if let Mark::Heat(heat) = mark { Some(heat) } else { None });
    heats.next().unwrap()
}

#[test]
fn the_names_of_maps_are_those_of_the_analysis() {
    let mut known: Vec<&str> = FAMILIES.iter().map(|(name, _)| *name).collect();
    known.extend(STACKS.iter().map(|(name, _)| *name));
    let mut offered = Map::NAMES.to_vec();
    known.sort_unstable();
    offered.sort_unstable();
    assert_eq!(offered, known);
    assert!(offered.iter().all(|name| Family::named(name).is_ok()));
}

#[test]
fn the_analyses_of_every_panel_are_in_the_registry_with_settings_that_apply() {
    let net = NetShape {
        kind: "birth".into(),
        heads: vec![1, 1],
        vocab: 30,
        answers: 30,
        length: 64,
        segment: 0,
        reals: false,
        is_read: false,
    };
    let mut asked = 0;
    for entry in panel::ALL {
        let panel = (entry.make)();
        for call in panel.analyses(&net, &Selection::default()) {
            asked += 1;
            analysis_of(&call).map(drop).unwrap_or_else(|e| panic!("{}: {e}", entry.name));
        }
    }
    assert!(asked > 0);
    // With every setting of the panel in use.
    for map in Map::NAMES {
        for metric in Metric::NAMES {
            let mut panel = keys();
            panel.asked.counted.all_pairs = true;
            panel.asked.compared.pair = "output".into();
            settings::set(&mut panel, "", "map", &(*map).into()).unwrap();
            settings::set(&mut panel, "", "metric", &(*metric).into()).unwrap();
            for other in ["", "the hat"] {
                let compared = &mut panel.asked.compared;
                compared.other = other.into();
                (compared.at, compared.answers) = ("3".into(), "ab".into());
                analysis_of(&panel.analyses(&net, &Selection::default())[0]).map(drop).unwrap();
            }
        }
    }
}

/// Name, help, range and value of every setting.
fn declared(settings: &mut dyn Settings) -> Vec<(&'static str, String)> {
    let values = settings::to_table(settings);
    let mut all = Vec::new();
    settings.each(&mut |spec, _| {
        let value = &values[spec.name];
        all.push((spec.name, format!("{} {:?} {value}", spec.help, spec.range)));
    });
    all
}

#[test]
fn a_panel_and_the_analysis_that_it_asks_have_the_same_settings() {
    let net = NetShape {
        kind: "birth".into(),
        heads: vec![1, 1],
        vocab: 30,
        answers: 30,
        length: 64,
        segment: 0,
        reals: false,
        is_read: false,
    };
    let mut shared = Vec::new();
    for kind in panel::ALL {
        let mut panel = (kind.make)();
        let of_panel = declared(&mut *panel);
        for call in panel.analyses(&net, &Selection::default()) {
            let of_analysis =
                declared(&mut *find("analysis", analysis::ALL, &call.measurement).unwrap());
            // Of these a panel has another usual value.
            let own = ["one_pair", "from", "to"];
            for (name, said) in of_panel.iter().filter(|(name, _)| !own.contains(name)) {
                if let Some((_, other)) = of_analysis.iter().find(|(other, _)| other == name) {
                    assert_eq!(said, other, "{}: {name}", kind.name);
                    shared.push(*name);
                }
            }
            // The layer is that of the head in focus; whether sequences of the task are scored is called "on" in a panel.
            let others = |name: &str| !["layer", "task"].contains(&name);
            for (name, _) in call.settings.iter().filter(|(name, _)| others(name)) {
                let here = |all: &[(&str, String)]| all.iter().any(|(known, _)| known == name);
                assert!(here(&of_panel) && here(&of_analysis), "{}: {name}", kind.name);
            }
        }
    }
    for name in
        ["map", "metric", "pairs", "train", "test", "hypothesis", "all_pairs", "freeze_mlps"]
    {
        assert!(shared.contains(&name), "{name} is shared by no panel");
    }
    // A map over positions is of one pair in a picture; the analysis by itself compares all. Its other name is known.
    let mut asked = find("analysis", analysis::ALL, "patching").unwrap();
    assert_eq!(settings::to_table(&mut *asked)["one_pair"], false.into());
    settings::set(&mut *asked, "", "one", &true.into()).unwrap();
    assert_eq!(settings::to_table(&mut *asked)["one_pair"], true.into());
    assert!(Patching::default().asked.one_pair);
}

#[test]
fn a_pair_is_drawn_as_two_rows_to_the_prediction_and_its_two_answers() {
    let mut world = World::new();
    world.answer(&keys(), Ok(found()));
    let figure = world.figure(&keys());
    let cells: Vec<_> = figure.plots[0]
        .marks
        .iter()
        .filter_map(|mark| if let Mark::Cells(cells) = mark { Some(cells) } else { None })
        .flatten()
        .collect();
    // Positions after the prediction say nothing; the two answers stand at the end.
    let text = |row: usize, column: usize| cells[2 * column + row].text.as_str();
    assert_eq!(cells.len(), 2 * 4 + 2);
    assert_eq!((0..4).map(|c| text(0, c)).collect::<String>(), "abca");
    assert_eq!((0..4).map(|c| text(1, c)).collect::<String>(), "adca");
    assert_eq!((cells[8].text.as_str(), cells[9].text.as_str()), ("b", "d"));
    // What differs is marked, and where the prediction is made.
    assert!(cells[2].fill != cells[0].fill && cells[2].fill != cells[3].fill);
    let framed: Vec<usize> = (0..8).filter(|i| cells[*i].stroke.is_some()).collect();
    assert_eq!(framed, [6, 7]);
    assert!(cells[2].hover.contains("“b” in the base sequence, “d” in the counterfactual one"));
}

#[test]
fn a_long_pair_is_shown_around_its_differences_and_its_prediction() {
    let mut world = World::new();
    let mut reading = found();
    let base: Vec<f32> = vec![0.0; 500];
    let mut other = base.clone();
    other[40] = 3.0;
    reading.arrays[0] = array("base_tokens", &["position"], &[500], base);
    reading.arrays[1] = array("other_tokens", &["position"], &[500], other);
    reading.arrays[2] = array("at", &["one"], &[1], vec![480.0]);
    world.answer(&keys(), Ok(reading));
    for width in [180.0, 420.0, 900.0] {
        world.size[0] = width;
        let figure = world.figure(&keys());
        let texts: Vec<String> = figure.plots[0]
            .marks
            .iter()
            .filter_map(
                |mark| if let Mark::Text { text, .. } = mark { Some(text.clone()) } else { None },
            )
            .collect();
        assert!(texts.contains(&"40".to_owned()), "{width}: {texts:?}");
        assert!(texts.contains(&"480".to_owned()) && texts.contains(&"…".to_owned()));
        let scene = layout(&figure, world.size, &Style::light());
        let outside = scene.areas.iter().filter(|area| area.max[0] > width + 0.5).count();
        assert_eq!(outside, 0, "{width}");
    }
}

#[test]
fn effects_with_two_directions_have_limits_around_zero() {
    let mut world = World::new();
    let mut reading = found();
    reading.numbers.push(("logit_difference_base".into(), 4.0));
    reading.numbers.push(("logit_difference_other".into(), -3.0));
    for (metric, map, range) in [
        (Metric::Normalised, ColorMap::Vik, (-1.0, 1.0)),
        (Metric::LogitDifference, ColorMap::Vik, (-7.0, 7.0)),
        (Metric::Flip, ColorMap::Paper, (0.0, 1.0)),
        (Metric::RecoveredLoss, ColorMap::Paper, (0.0, 1.0)),
        (Metric::Kl, ColorMap::Paper, (0.0, 0.6)),
    ] {
        let mut panel = keys();
        panel.asked.measured.metric = metric;
        world.answer(&panel, Ok(reading.clone()));
        let figure = world.figure(&panel);
        let heat = heat(&figure);
        assert_eq!(heat.map, map);
        assert!((heat.range.0 - range.0).abs() < 1e-6 && (heat.range.1 - range.1).abs() < 1e-6);
    }
}

#[test]
fn cells_that_were_not_tried_yet_are_hatched_and_say_so() {
    let mut world = World::new();
    world.answer(&keys(), Ok(found()));
    let figure = world.figure(&keys());
    let plot = figure.plots.last().unwrap();
    assert!(plot.marks.iter().any(|mark| matches!(mark, Mark::Hatch { .. })));
    assert!(plot.legend.iter().any(|entry| entry.text == "not tried yet"));
    let HeatPick::Cells { hovers, .. } = &heat(&figure).pick else { panic!("cells pick nothing") };
    assert_eq!(hovers[10], "keys of layer 1, head 0, position 4 “e”: not tried yet");
    assert!(
        hovers[7].contains("moves the prediction 0.400 (95 % interval 0.350 to 0.450) of the way"),
        "{}",
        hovers[7]
    );
    // All done: nothing is hatched.
    let mut whole = found();
    for array in &mut whole.arrays {
        array.data = array.data.iter().map(|v| if v.is_nan() { 0.0 } else { *v }).collect();
    }
    world.answer(&keys(), Ok(whole));
    let marks = &world.figure(&keys()).plots[1].marks;
    assert!(!marks.iter().any(|mark| matches!(mark, Mark::Hatch { .. })));
}

#[test]
fn a_click_on_a_cell_picks_its_place_and_the_pair() {
    let mut world = World::new();
    world.answer(&keys(), Ok(found()));
    let figure = world.figure(&keys());
    let scene = layout(&figure, world.size, &Style::light());
    let area = scene.areas.iter().find(|area| matches!(area.pick, AreaPick::Heat(_))).unwrap();
    // Four of six positions are in view; layer 1, position 2.
    let at = [
        area.min[0] + (area.max[0] - area.min[0]) * 2.5 / 4.0,
        area.min[1] + (area.max[1] - area.min[1]) * 0.75,
    ];
    let (picked, words) = pick(&scene, at).unwrap();
    let site = Site { layer: 1, point: Point::K };
    let place = Place { head: Some(0), ..Place::all(site) }.at([2]);
    let (base, other) = (Arc::from([0, 1, 2, 0, 4, 5]), Arc::from([0, 3, 2, 0, 4, 5]));
    assert_eq!(picked, Pick::Patch(Patch { place: place.clone(), base, other, at: 3 }));
    assert!(
        words.starts_with("keys of layer 1, head 0, position 2 “c”: moves the prediction 0.500"),
        "{words}"
    );
    // The cell whose patch is in force is framed.
    let how = How::Patch(vec![0, 3, 2, 0, 4, 5]);
    let interventions = vec![Intervention::Change { place, how }];
    world.readings = Some(Readings { interventions, ..Readings::default() });
    let figure = world.figure(&keys());
    let framed = figure.plots[1]
        .marks
        .iter()
        .find_map(|mark| if let Mark::Rect { from, .. } = mark { Some(*from) } else { None });
    assert_eq!(framed, Some([2.0, 1.0]));
    assert!(figure.plots[1].legend.iter().any(|entry| entry.text == "patched in all panels"));
}

#[test]
fn points_of_heads_stand_side_by_side_in_a_table() {
    let mut world = World::new();
    let mut reading = found();
    reading.arrays.truncate(5);
    for name in ["z", "q"] {
        for what in ["effect", "low", "high"] {
            let name = format!("{what}.{name}");
            reading.arrays.push(array(&name, &["layer", "head"], &[2, 1], vec![-0.001, 0.98]));
        }
    }
    let panel = Patching::default();
    world.answer(&panel, Ok(reading));
    let figure = world.figure(&panel);
    let heat = heat(&figure);
    assert_eq!((heat.rows, heat.columns), (2, 2));
    let texts: Vec<&str> = figure.plots[1]
        .marks
        .iter()
        .filter_map(
            |mark| if let Mark::Text { text, .. } = mark { Some(text.as_str()) } else { None },
        )
        .collect();
    assert_eq!(texts, ["0.00", "0.00", "0.98", "0.98"]);
}

#[test]
fn where_there_is_no_map_a_sentence_says_why() {
    let mut world = World::new();
    let panel = keys();
    assert!(world.figure(&panel).empty.unwrap().contains("first results come"));
    world.answer(&panel, Err(Error::usage("this task makes no pairs by itself: write one")));
    assert_eq!(
        world.figure(&panel).empty.unwrap(),
        "this task makes no pairs by itself: write one"
    );
    let mut none = found();
    none.numbers[1].1 = 0.0;
    world.answer(&panel, Ok(none));
    let empty = world.figure(&panel).empty.unwrap();
    assert!(empty.contains("no pair counts. 1 of 8 pairs are left out."), "{empty}");
}

// The window.

fn show(harness: &mut Harness<'_, App>) {
    press(harness, "Patching");
}

fn known(app: &App) -> Option<&Found> {
    app.lab.analyses.analyzed.by_call.values().next()
}

pub fn is_whole(app: &App) -> bool {
    known(app).is_some_and(|found| found.ended) && !app.lab.analyses.is_busy()
}

/// Counts all pairs in a panel: a network this small is often wrong.
pub fn count_all(harness: &mut Harness<'_, App>, panel: &str) {
    press(harness, &format!("Settings of {panel}"));
    harness.get_by_role_and_label(Role::CheckBox, "all pairs").click();
    harness.step();
    harness.key_press(egui::Key::Escape);
    harness.step();
    harness.step();
}

#[test]
fn a_long_question_is_asked_once_its_panel_is_seen_and_once_for_each_step() {
    let folder = tempfile::tempdir().unwrap();
    let mut harness = window_of(folder.path(), TINY);
    finished(&mut harness);
    assert_eq!(harness.state().lab.analyses.started, 0);
    show(&mut harness);
    until(&mut harness, "the map is whole", is_whole);
    let last = harness.state().lab.step_in_view();
    assert_eq!(known(harness.state()).unwrap().step, last);
    assert_eq!(harness.state().lab.analyses.started, 1);
    // A selection is none of its business.
    harness.state_mut().lab.pick(&Pick::QueryKey { query: 9, key: 4 }, false);
    harness.state_mut().lab.draw_next();
    std::thread::sleep(Duration::from_millis(300));
    harness.step();
    harness.step();
    assert_eq!(harness.state().lab.analyses.started, 1);
    // Another step is asked about, and the first is still known when one comes back.
    harness.state_mut().lab.view(Some(20));
    until(&mut harness, "step 20 is answered", |app| {
        is_whole(app) && known(app).is_some_and(|found| found.step == 20)
    });
    assert_eq!(harness.state().lab.analyses.started, 2);
    harness.state_mut().lab.view(None);
    until(&mut harness, "the last step is shown", |app| {
        known(app).is_some_and(|found| found.step == last)
    });
    assert_eq!(harness.state().lab.analyses.started, 2);
    press(&mut harness, "Refresh the answer");
    until(&mut harness, "it was asked again", |app| app.lab.analyses.started == 3 && is_whole(app));
    assert!(harness.state().lab.troubles.is_empty(), "{:?}", harness.state().lab.troubles);
}

#[test]
fn a_run_that_trains_is_asked_once_and_then_only_by_hand() {
    let folder = tempfile::tempdir().unwrap();
    let mut harness = window_of(folder.path(), &endless());
    until(&mut harness, "a step is trained", |app| app.lab.step_in_view() > 0);
    show(&mut harness);
    until(&mut harness, "the map is whole", is_whole);
    let about = known(harness.state()).unwrap().step;
    until(&mut harness, "training has gone on", |app| app.lab.step_in_view() > about + 20);
    assert!(harness.state().lab.is_training());
    assert_eq!(harness.state().lab.analyses.started, 1);
    assert_eq!(harness.state().lab.analyses.at_work(), 0);
    harness.key_press(egui::Key::A);
    until(&mut harness, "it was asked again", |app| {
        app.lab.analyses.started == 2 && is_whole(app) && known(app).unwrap().step > about
    });
}

/// Parity, learned without an end.
const MACHINE: &str = r#"
name = "machine"
title = "Parity without an end"

[task]
kind = "automaton"
length = 8
longest = 16

[model]
kind = "recurrent"
width = 6

[train]
batch = 4
steps = 0
evaluate = 5
held_out = 4
threads = 1
"#;

#[test]
fn what_forms_while_a_run_trains_is_asked_again_and_again_and_stays_in_view_meanwhile() {
    let folder = tempfile::tempdir().unwrap();
    let mut harness = window_of(folder.path(), MACHINE);
    until(&mut harness, "a step is trained", |app| app.lab.step_in_view() > 0);
    // Its panel is in front, and others ask too.
    let machine = |app: &App| -> Option<Found> {
        let mut all = app.lab.analyses.analyzed.by_call.iter();
        all.find(|(call, _)| call.starts_with("automaton")).map(|(_, found)| found.clone())
    };
    let is_shown = |app: &App| machine(app).is_some_and(|found| found.ended);
    until(&mut harness, "the machine is shown", is_shown);
    let first = machine(harness.state()).unwrap().step;
    until(&mut harness, "it is that of a later step", |app| {
        assert!(is_shown(app), "the one before stays until the next is whole");
        machine(app).unwrap().step > first
    });
    assert!(harness.state().lab.is_training());
    assert!(harness.state().lab.troubles.is_empty(), "{:?}", harness.state().lab.troubles);
}

#[test]
fn another_setting_ends_the_job_and_one_works_at_a_time() {
    let folder = tempfile::tempdir().unwrap();
    let mut harness = window_of(folder.path(), TINY);
    finished(&mut harness);
    show(&mut harness);
    count_all(&mut harness, "Patching");
    let choose = |harness: &mut Harness<'_, App>, map: &str| {
        harness.get_by_role_and_label(Role::ComboBox, "Patch").click();
        harness.step();
        harness.step();
        harness.get_by_label(map).click();
        harness.step();
        harness.step();
    };
    choose(&mut harness, "heads by position");
    until(&mut harness, "a job works", |app| {
        assert!(app.lab.analyses.at_work() <= 1);
        app.lab.analyses.at_work() == 1
    });
    let started = harness.state().lab.analyses.started;
    choose(&mut harness, "blocks");
    until(&mut harness, "the other map is whole", |app| {
        assert!(app.lab.analyses.at_work() <= 1, "two jobs at a time");
        is_whole(app) && app.lab.analyses.started == started + 1
    });
    let answers = &harness.state().lab.analyses.analyzed.by_call;
    let whole = answers.iter().find(|(key, _)| key.contains("blocks")).unwrap();
    let reading = whole.1.reading.as_ref().unwrap().as_ref().unwrap();
    assert!(reading.array("effect.resid_pre").is_some());
}

#[test]
fn a_job_is_cancelled_and_leaves_what_it_has() {
    let folder = tempfile::tempdir().unwrap();
    let mut harness = window_of(folder.path(), &TINY.replace("length = 24", "length = 48"));
    finished(&mut harness);
    let call = MeasurementCall::new("patching")
        .with("map", "pattern_by_cell")
        .with("pairs", 32)
        .with("all_pairs", true);
    // Driven without its panel, so that there is time to cancel.
    let tick = |harness: &mut Harness<'_, App>, calls: &[MeasurementCall]| {
        harness.state_mut().lab.tick(&[], calls, &[], Instant::now());
        std::thread::sleep(Duration::from_millis(5));
    };
    let begun = Instant::now();
    while harness.state().lab.analyses.analyzed.get(&call).is_none_or(|f| f.reading.is_none()) {
        assert!(begun.elapsed() < PATIENCE, "no report came");
        tick(&mut harness, std::slice::from_ref(&call));
    }
    harness.state_mut().lab.analyses.cancel();
    while harness.state().lab.analyses.is_busy() {
        assert!(begun.elapsed() < PATIENCE, "the job did not end");
        tick(&mut harness, std::slice::from_ref(&call));
    }
    let lab = &harness.state().lab;
    let found = lab.analyses.analyzed.get(&call).unwrap();
    assert!(found.ended && found.done < found.total, "{} of {}", found.done, found.total);
    let reading = found.reading.as_ref().unwrap().as_ref().unwrap();
    assert!(reading.array("effect.pattern_by_cell").unwrap().data.iter().any(|v| v.is_nan()));
    // It is not taken up again by itself.
    let started = lab.analyses.started;
    for _ in 0..80 {
        tick(&mut harness, std::slice::from_ref(&call));
    }
    assert_eq!(harness.state().lab.analyses.started, started);
}

#[test]
fn a_click_on_the_map_shows_the_patched_run_in_all_panels_and_another_lifts_it() {
    let folder = tempfile::tempdir().unwrap();
    let mut harness = window_of(folder.path(), TINY);
    finished(&mut harness);
    harness.state_mut().lab.draw_sequence(5);
    show(&mut harness);
    count_all(&mut harness, "Patching");
    until(&mut harness, "the map is whole", is_whole);
    let app = harness.state();
    let reading = known(app).unwrap().reading.clone().unwrap().unwrap();
    let ids = |name: &str| -> Arc<[u32]> {
        reading.array(name).unwrap().data.iter().map(|v| *v as u32).collect()
    };
    let (base, other) = (ids("base_tokens"), ids("other_tokens"));
    let at = ids("at")[0] as usize;
    let patch = Patch { place: Place::head(1, 0), base: base.clone(), other: other.clone(), at };
    let lab = &mut harness.state_mut().lab;
    lab.pick(&Pick::Patch(patch.clone()), false);
    let what = Intervention::Change { place: Place::head(1, 0), how: How::Patch(other.to_vec()) };
    assert_eq!(lab.in_force(), std::slice::from_ref(&what));
    assert_eq!(&lab.prompt.tokens[..], &base[..]);
    assert_eq!(lab.selection.query, Some(at));
    // Only the view is changed.
    assert!(lab.training().is_none_or(|training| training.in_force.is_empty()));
    until(&mut harness, "the panels are asked about the patched run", |app| {
        app.lab.readings.as_ref().is_some_and(|r| r.interventions == [what.clone()])
    });
    let readings = harness.state().lab.readings.clone().unwrap();
    for name in ["attention", "predictions"] {
        assert!(readings.get(&MeasurementCall::new(name)).unwrap().is_ok(), "{name}");
    }
    // Another cell takes its place; the same one again is lifted; another sequence lifts it, too.
    let lab = &mut harness.state_mut().lab;
    let elsewhere = Patch { place: Place::head(0, 1), ..patch };
    lab.pick(&Pick::Patch(elsewhere.clone()), false);
    assert_eq!(lab.in_force().len(), 1);
    lab.pick(&Pick::Patch(elsewhere.clone()), false);
    assert!(lab.in_force().is_empty());
    assert_eq!(&lab.prompt.tokens[..], &base[..]);
    lab.pick(&Pick::Patch(elsewhere), false);
    lab.draw_next();
    assert!(lab.in_force().is_empty());
}

#[test]
fn any_intervention_is_written_in_the_surgery_panel_and_a_wrong_one_is_explained_beside_it() {
    let folder = tempfile::tempdir().unwrap();
    let mut harness = window_of(folder.path(), TINY);
    finished(&mut harness);
    harness.state_mut().lab.view(Some(20));
    harness.step();
    press(&mut harness, "Surgery");
    press(&mut harness, "Maximise Surgery");
    let write = |harness: &mut Harness<'_, App>, text: &str| {
        let field = harness.get_by_role_and_label(Role::TextInput, "Intervention");
        field.set_text_value_accesskit(text);
        harness.step();
        press(harness, "Apply");
    };
    write(&mut harness, "scale layer7.head0 by 0.5");
    assert!(harness.query_by_label_contains("there is no layer 7").is_some());
    write(&mut harness, "stretch layer1.head0");
    assert!(harness.query_by_label_contains("unknown verb").is_some());
    assert!(harness.state().lab.in_force().is_empty());
    write(&mut harness, "scale layer1.head0 by 0.5");
    let spelled =
        |app: &App| -> Vec<String> { app.lab.in_force().iter().map(ToString::to_string).collect() };
    assert_eq!(spelled(harness.state()), ["scale layer1.head0 by 0.5"]);
    assert!(harness.query_by_label_contains("unknown verb").is_none());
    // A list is saved, everything lifted, and the list loaded again.
    let field = harness.get_by_role_and_label(Role::TextInput, "Name of the list");
    field.set_text_value_accesskit("half");
    harness.step();
    press(&mut harness, "Save what is in force");
    let lab = &mut harness.state_mut().lab;
    lab.lift_all();
    lab.intervene("mean layer0.head1".parse().unwrap());
    harness.step();
    press(&mut harness, "Load half");
    assert_eq!(spelled(harness.state()), ["scale layer1.head0 by 0.5"]);
    press(&mut harness, "Undo loading");
    assert_eq!(spelled(harness.state()), ["mean layer0.head1"]);
    press(&mut harness, "Delete half");
    assert!(harness.query_by_label("Load half").is_none());
}

#[test]
fn what_to_patch_from_may_be_text() {
    let vocab = Vocab::new("abc".chars().map(String::from).collect());
    let written = Intervention::written("patch layer1.k.head0@7 from cab", &vocab).unwrap();
    assert_eq!(written, "patch layer1.k.head0@7 from 2 0 1".parse().unwrap());
    assert!(Intervention::written("patch layer1.k from xyz", &vocab).is_err());
    assert_eq!(
        Intervention::written("zero layer1.z", &vocab).unwrap(),
        "zero layer1.z".parse().unwrap()
    );
}

#[test]
fn commands_for_long_questions_are_in_the_table() {
    let rows = mnemoscope::app::commands::table(Panels::default());
    for command in [Command::AskAgain, Command::CancelJob, Command::Show("patching")] {
        assert!(rows.iter().any(|row| row.command == command), "{command:?}");
    }
}
