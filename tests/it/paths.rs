//! Path patching, sender by sender: the analysis, its panel and its place in the window.

use egui::accesskit::Role;
use egui_kittest::kittest::Queryable;

use mnemoscope::base::array::Array;
use mnemoscope::base::question::{MeasurementCall, Reading};
use mnemoscope::figure::layout::layout;
use mnemoscope::figure::pick::pick;
use mnemoscope::figure::scene::AreaPick;
use mnemoscope::figure::style::Style;
use mnemoscope::figure::{Cell, Figure, HeatPick, Mark, Pick};
use mnemoscope::panel::paths::{Paths, receivers_in_words};
use mnemoscope::panel::{NetShape, Panel, Selection};
use mnemoscope::run::job::Job;

use super::app::{TINY, find, finished, press, until, window_of};
use super::patching::{World, assignment, count_all, heat, is_whole, last};

/// The panel about paths into `to`, over few pairs that count all the same.
fn panel(to: &str) -> Paths {
    let mut panel = Paths::default();
    panel.between.to = to.to_owned();
    panel.compared.pairs = 4;
    panel.counted.all_pairs = true;
    panel
}

fn answer(call: MeasurementCall) -> Reading {
    let (experiment, assignment) = assignment(call);
    (*last(&Job::start(&experiment, assignment, || {}).unwrap()).reading.unwrap()).clone()
}

fn call(panel: &Paths) -> MeasurementCall {
    panel.analyses(&NetShape::default(), &Selection::default()).remove(0)
}

/// The cell above the map.
fn above(figure: &Figure) -> &Cell {
    let cells = |mark: &Mark| matches!(mark, Mark::Cells(_));
    let marks = &figure.plots[1].marks;
    let Some(Mark::Cells(cells)) = marks.iter().find(|mark| cells(mark)) else { panic!("no cell") };
    &cells[0]
}

#[test]
fn each_sender_has_the_effect_that_the_command_tells_of_it_alone() {
    for (to, layers) in [("logits", 2), ("layer1.k.head0", 1), ("layer1.resid_mid", 2)] {
        let found = answer(call(&panel(to)));
        let alone = |from: String| {
            let call = MeasurementCall::new("path").with("from", from).with("to", to);
            let reading = answer(call.with("pairs", 4).with("all_pairs", true));
            let number = |name| (reading.number(name).unwrap() as f32).to_bits();
            ["effect", "effect_low", "effect_high"].map(number)
        };
        let at = |name: &str, index: usize| {
            let of = |what: &str| &found.array(&format!("{what}.{name}")).unwrap().data;
            ["effect", "low", "high"].map(|what| of(what)[index].to_bits())
        };
        assert_eq!(at("embed", 0), alone("embed".to_owned()));
        let heads = found.array("effect.z").unwrap();
        assert_eq!(heads.shape[0], layers, "{to}");
        for layer in 0..layers {
            for head in 0..heads.shape[1] {
                let index = layer * heads.shape[1] + head;
                assert_eq!(at("z", index), alone(format!("layer{layer}.head{head}")), "{to}");
            }
        }
    }
}

#[test]
fn cells_of_the_map_are_the_numbers_of_the_answer() {
    let panel = panel("logits");
    let found = answer(call(&panel));
    let mut world = World::new();
    let heads: &Array = found.array("effect.z").unwrap();
    let (layers, width) = (heads.shape[0], heads.shape[1]);
    world.net.heads = vec![width; layers];
    world.answer(&panel, Ok(found.clone()));
    let figure = world.figure(&panel);
    let drawn = heat(&figure);
    let mlps = found.array("effect.mlp_out");
    assert_eq!((drawn.rows, drawn.columns), (layers, width + usize::from(mlps.is_some())));
    for layer in 0..layers {
        let row = &drawn.values[layer * drawn.columns..][..drawn.columns];
        assert_eq!(row[..width], heads.data[layer * width..][..width]);
        assert_eq!(row.get(width), mlps.map(|mlps| &mlps.data[layer]));
    }
    let embedding = found.array("effect.embed").unwrap().data[0];
    assert_eq!(above(&figure).value, Some(("effect", f64::from(embedding))));
    // Senders together have one effect.
    let mut together = panel;
    together.between.from = "layer0, layer1.head0".to_owned();
    let found = answer(call(&together));
    world.answer(&together, Ok(found.clone()));
    let figure = world.figure(&together);
    let effect = found.number("effect").unwrap() as f32;
    assert_eq!(above(&figure).value, Some(("effect", f64::from(effect))));
    assert!(above(&figure).hover.starts_with("what goes from layer0, layer1.head0 together"));
}

fn array(name: &str, axes: &[&str], shape: &[usize], data: &[f32]) -> Array {
    Array::new(name, axes, shape, data.to_vec()).unwrap()
}

/// Into a head of layer 1: of two heads in layer 0 one is not tried yet.
fn found() -> Reading {
    let ids = ["position"];
    let mut arrays = vec![
        array("base_tokens", &ids, &[4], &[0.0, 1.0, 2.0, 0.0]),
        array("other_tokens", &ids, &[4], &[0.0, 3.0, 2.0, 0.0]),
        array("at", &["one"], &[1], &[3.0]),
        array("answers", &["sequence"], &[2], &[1.0, 3.0]),
        array("last", &["one"], &[1], &[3.0]),
    ];
    for (what, by) in [("effect", 0.0), ("low", -0.03), ("high", 0.01)] {
        let z = [0.98 + by, f32::NAN];
        arrays.push(array(&format!("{what}.embed"), &["one"], &[1], &[0.1 + by]));
        arrays.push(array(&format!("{what}.z"), &["layer", "head"], &[1, 2], &z));
    }
    let numbers = [("pairs", 4.0), ("pairs_counted", 4.0)].map(|(n, v)| (n.to_owned(), v)).to_vec();
    Reading { arrays, numbers, notes: Vec::new() }
}

#[test]
fn a_cell_says_what_goes_where_and_picks_its_head() {
    let panel = panel("layer1.k.head0");
    let mut world = World::new();
    world.net.heads = vec![2, 1];
    world.answer(&panel, Ok(found()));
    let figure = world.figure(&panel);
    let HeatPick::Cells { hovers, picks } = &heat(&figure).pick else {
        panic!("cells pick nothing")
    };
    let into = "the keys of layer 1 head 0";
    assert_eq!(
        hovers[0],
        format!(
            "what goes from layer 0 head 0 directly into {into} moves the prediction 0.980 (95 % interval 0.950 to 0.990) of the way to the counterfactual one"
        )
    );
    assert_eq!(
        hovers[1],
        format!("what goes from layer 0 head 1 directly into {into} is not tried yet")
    );
    assert_eq!(hovers[2], format!("layer 1 head 0 lies after {into}: nothing goes there directly"));
    let head = |layer, head| Pick::Head { layer, head };
    assert_eq!(picks[..3], [head(0, 0), head(0, 1), head(1, 0)]);
    assert_eq!((hovers[3].as_str(), &picks[3]), ("layer 1 head 1: not there", &Pick::Nothing));
    let legend: Vec<&str> =
        figure.plots[1].legend.iter().map(|entry| entry.text.as_str()).collect();
    assert_eq!(legend, ["not tried yet", "after the receiver", "in focus", "receiver"]);
    // A click finds the cell below the one of the embedding.
    let scene = layout(&figure, [420.0, 320.0], &Style::light());
    let area = scene.areas.iter().find(|area| matches!(area.pick, AreaPick::Heat(_))).unwrap();
    let (picked, words) = pick(&scene, [area.min[0] + 4.0, area.min[1] + 4.0]).unwrap();
    assert_eq!((picked, words.as_str()), (head(0, 0), hovers[0].as_str()));
}

#[test]
fn receivers_are_said_in_words() {
    for (to, said) in [
        ("logits", "the logits"),
        ("layer1.k.head0", "the keys of layer 1 head 0"),
        ("layer2.q, layer2.v.head3", "the queries of layer 2 and the values of layer 2 head 3"),
        ("layer0.resid_post", "the stream after layer 0"),
        ("layer1.resid_mid", "the stream after the attention of layer 1"),
        ("nowhere", "nowhere"),
    ] {
        assert_eq!(receivers_in_words(to), said);
    }
}

#[test]
fn where_no_pair_counts_the_panel_says_so() {
    let (panel, mut world) = (panel("logits"), World::new());
    let mut none = found();
    none.numbers[1].1 = 0.0;
    world.answer(&panel, Ok(none));
    assert!(world.figure(&panel).empty.unwrap().contains("no pair counts"));
}

#[test]
fn the_panel_asks_once_it_is_seen_and_again_for_another_receiver() {
    let folder = tempfile::tempdir().unwrap();
    let mut harness = window_of(folder.path(), TINY);
    finished(&mut harness);
    find(&mut harness, "path");
    count_all(&mut harness, "Path patching");
    until(&mut harness, "the map is whole", is_whole);
    let started = harness.state().lab.analyses.started;
    harness.state_mut().lab.pick(&Pick::Head { layer: 1, head: 0 }, false);
    harness.step();
    harness.get_by_role_and_label(Role::ComboBox, "Into").click();
    (0..2).for_each(|_| harness.step());
    press(&mut harness, "the keys of layer 1 head 0");
    until(&mut harness, "it is asked about the keys", |app| {
        is_whole(app) && app.lab.analyses.started == started + 1
    });
    let answers = &harness.state().lab.analyses.analyzed.by_call;
    let of_keys = answers.iter().find(|(key, _)| key.contains("layer1.k.head0")).unwrap().1;
    let reading = of_keys.reading.as_ref().unwrap().as_ref().unwrap();
    assert_eq!(reading.array("effect.z").unwrap().shape[0], 1);
    // Another head in focus offers others and changes no question.
    harness.state_mut().lab.pick(&Pick::Head { layer: 0, head: 0 }, false);
    (0..4).for_each(|_| harness.step());
    assert_eq!(harness.state().lab.analyses.started, started + 1);
    // A text of one's own is written here, too.
    harness.get_by_role_and_label(Role::ComboBox, "Pairs").click();
    (0..3).for_each(|_| harness.step());
    press(&mut harness, "my text");
    assert!(harness.query_by_label_contains("until this text differs").is_some());
}
