//! Small windows and halls: what is seen in them, and that it can be read.

use egui::accesskit::Role;
use egui::{Key, Rect};
use egui_kittest::Harness;
use egui_kittest::kittest::Queryable;

use mnemoscope::app::lab::Lab;
use mnemoscope::app::{App, Launch, Panels, Surroundings};
use mnemoscope::figure::scene::{AreaPick, Item, Scene};
use mnemoscope::figure::style::Style;
use mnemoscope::figure::{Anchor, Cell, Figure, Mark};
use mnemoscope::panel::{Selection, positions};

use super::app::{TINY, finished, named, overlap, until, window_on, window_sized};
use super::first_view::{born, drawn, figure};
use super::tour_window::Kept;

/// The room of the panel Attention in a window of 1280 × 720, and in one of 1024 × 700, both at 150 %; in points of a figure.
const LOW: [[f32; 2]; 2] = [[335.0, 147.0], [268.0, 136.0]];

fn looked_at() -> Harness<'static, App> {
    let mut harness = window_on(&born().join("birth"));
    until(&mut harness, "it is looked at", |app| app.lab.examination.is_settled(250));
    harness
}

/// The axes of the only plot.
fn axes(scene: &Scene) -> [[f32; 2]; 2] {
    let area = scene.areas.iter().find(|area| matches!(area.pick, AreaPick::Plot(_))).unwrap();
    [area.min, area.max]
}

/// Where the words of a scene that begin so end: right and lower edge, at most.
fn words(scene: &Scene, begin: &str) -> [f32; 2] {
    let found = scene.items.iter().find_map(|item| {
        let Item::Text { at, text, size, align: Anchor::Left, bold, .. } = item else {
            return None;
        };
        let width = 1.1 * scene.family.width(text, *size, *bold);
        text.starts_with(begin).then_some([at[0] + width, at[1]])
    });
    found.unwrap_or_else(|| panic!("no {begin}"))
}

#[test]
fn on_a_low_screen_the_map_has_the_height_and_its_words_stand_beside_it() {
    let harness = looked_at();
    for size in LOW {
        let scene = drawn(&harness.state().lab, "attention", false, size);
        let [min, max] = axes(&scene);
        assert!(max[1] - min[1] >= 0.74 * size[1], "{size:?}: {min:?} to {max:?}");
        for begin in ["Attention of", "query 46", "where an", "the future", "Positions 0"] {
            let [right, y] = words(&scene, begin);
            assert!(right < min[0] && y < size[1], "{size:?}: {begin} ends at {right}, {y}");
        }
    }
    // Where there is height, and in print, they stand above.
    let lab = &harness.state().lab;
    let high = drawn(lab, "attention", false, [335.0, 300.0]);
    let figure = figure(lab, "attention", false, LOW[0]);
    let print = mnemoscope::figure::layout::layout(&figure, LOW[0], &Style::light());
    for scene in [high, print] {
        assert!(words(&scene, "Attention of")[1] < axes(&scene)[0][1]);
    }
}

/// The boxes of the tokens, and the lines in view.
fn text(figure: &Figure) -> (&[Cell], (f64, f64)) {
    let plot = &figure.plots[0];
    let mut marks = plot.marks.iter();
    let cells =
        marks.find_map(|mark| if let Mark::Cells(cells) = mark { Some(cells) } else { None });
    (cells.unwrap(), (plot.y.range.1, plot.y.range.0))
}

fn is_seen(figure: &Figure, position: usize) -> bool {
    let (cells, (top, bottom)) = text(figure);
    cells[position].from[1] >= top && cells[position].to[1] <= bottom
}

/// What a query attends to most.
fn strongest(lab: &Lab, query: usize) -> usize {
    let attention = lab.readings.as_ref().unwrap().by_call["attention"].as_ref().unwrap();
    let pattern = attention.array("pattern.layer1").unwrap();
    let n = lab.prompt.len();
    let share = |key: &usize| pattern.data[query * n + key];
    (0..=query).max_by(|a, b| share(a).total_cmp(&share(b))).unwrap()
}

#[test]
fn lines_of_text_in_view_hold_the_query_and_what_it_looks_at_or_point_to_it() {
    let mut harness = looked_at();
    let lab = &mut harness.state_mut().lab;
    let (mut both, mut pointed) = (0, 0);
    for query in (positions::IN_VIEW..lab.prompt.len()).step_by(3) {
        lab.selection = Selection { query: Some(query), first: None, ..lab.selection.clone() };
        let figure = figure(lab, "tokens", false, [290.0, 120.0]);
        assert!(is_seen(&figure, query), "query {query}");
        let key = strongest(lab, query);
        let (cells, (top, bottom)) = text(&figure);
        let room = (bottom - top).floor();
        let lines = cells[query].from[1].floor() - cells[key].from[1].floor() + 1.0;
        if lines <= room {
            assert!(is_seen(&figure, key), "query {query}, key {key}");
            both += 1;
        }
        let marks = figure.plots[0].marks.iter();
        let ends =
            marks.filter_map(
                |mark| if let Mark::Arc { ends, .. } = mark { Some(ends[1]) } else { None },
            );
        let wedges: Vec<[f64; 2]> = figure.plots[0]
            .marks
            .iter()
            .filter_map(|mark| if let Mark::Wedge { at, .. } = mark { Some(*at) } else { None })
            .collect();
        for end in ends {
            assert!(end[1] >= top, "query {query}: an arc is cut");
            pointed += usize::from(wedges.contains(&end));
        }
    }
    assert!(both > 5 && pointed > 5, "{both} times in view, {pointed} arcs that point on");
}

/// The controls in the bar above the panels.
fn has(harness: &Harness<'_, App>, role: Role, label: &str) -> bool {
    harness.query_all_by_role_and_label(role, label).next().is_some()
}

#[test]
fn a_narrow_window_drops_what_the_menu_has_too_in_its_order_and_keeps_one_row() {
    let rows = [
        (1600.0, [true, true, true]),
        (1120.0, [true, true, false]),
        (1000.0, [true, false, false]),
        (853.0, [false, false, false]),
    ];
    for (width, seen) in rows {
        let folder = tempfile::tempdir().unwrap();
        let mut harness = window_sized(folder.path(), TINY, [width, 600.0]);
        finished(&mut harness);
        harness.state_mut().lab.view(Some(20));
        until(&mut harness, "step 20 is answered", |app| app.lab.examination.is_settled(20));
        let buttons = ["Step", "Restart"].map(|label| has(&harness, Role::Button, label));
        let speed = has(&harness, Role::ComboBox, "Speed");
        assert_eq!([buttons[0], buttons[1], speed], seen, "{width}");
        let run = harness.get_by_role_and_label(Role::Button, "Run").rect();
        let words = harness.get_by_label("Looking back at step 20").rect();
        assert!(run.y_range().contains(words.center().y), "{width}: {words:?} is not beside Run");
    }
}

/// A window of so many points of scale 1 with something shown to a hall: its points are fewer and larger.
fn hall(harness: &mut Harness<'_, App>, size: [f32; 2]) {
    harness.key_press(Key::F11);
    (0..2).for_each(|_| harness.step());
    harness.set_size(egui::Vec2::from(size) / harness.ctx.zoom_factor());
    (0..4).for_each(|_| harness.step());
}

#[test]
fn a_hall_sees_four_pictures_large_with_hardly_anything_to_press_and_a_way_out() {
    for (size, zoom) in
        [([1280.0, 720.0], 1.45), ([1600.0, 1000.0], 1.81), ([1920.0, 1080.0], 2.18)]
    {
        let folder = tempfile::tempdir().unwrap();
        let mut harness = window_sized(folder.path(), TINY, size);
        finished(&mut harness);
        hall(&mut harness, size);
        assert!((harness.ctx.zoom_factor() - zoom).abs() < 0.01, "{}", harness.ctx.zoom_factor());
        let window = harness.ctx.content_rect();
        let pictures = named(&harness, Role::Image);
        let places: Vec<(String, Rect)> = pictures.clone();
        assert!(places.len() >= 3, "{places:?}");
        assert_eq!(overlap(&places), None, "{size:?}");
        for (name, rect) in &places {
            assert!(window.contains_rect(rect.shrink(1.0)), "{size:?}: {name} at {rect:?}");
        }
        let map = pictures.iter().find(|(name, _)| name == "Attention figure").unwrap();
        assert!(map.1.height() > 0.6 * window.height(), "{size:?}: {map:?}");
        let track = harness.get_by_role_and_label(Role::Slider, "Step in view").rect();
        assert!(window.contains_rect(track) && track.height() >= 24.0, "{size:?}: {track:?}");
        for gone in ["File", "Run", "More", "Another sequence", "Settings of Tokens"] {
            assert!(!has(&harness, Role::Button, gone), "{size:?}: {gone}");
        }
        assert!(has(&harness, Role::Button, "Play back"));
        assert!(has(&harness, Role::Button, "Leave (F11)"));
        harness.key_press(Key::Escape);
        (0..3).for_each(|_| harness.step());
        assert!((harness.ctx.zoom_factor() - 1.0).abs() < 1e-6);
        assert!(has(&harness, Role::Button, "Another sequence"), "all as it was");
    }
}

/// The program as it is launched again.
fn launched(folder: &std::path::Path, kept: &Kept, size: [f32; 2]) -> Harness<'static, App> {
    let surroundings = Surroundings {
        library: Ok(folder.join("runs")),
        system_dialogs: false,
        adapter: None,
        panels: Panels::default(),
    };
    let launch = Launch { what: Some(folder.join("tiny.toml").into()), ..Launch::default() };
    let mut harness = Harness::builder()
        .with_size(size)
        .with_max_steps(4)
        .build_eframe(|creation| App::new(&creation.egui_ctx, Some(kept), surroundings, &launch));
    harness.step();
    harness
}

#[test]
fn a_window_has_the_size_that_it_was_left_with_whatever_its_scale_and_whoever_was_shown_something()
{
    const SIZE: [f32; 2] = [1280.0, 720.0];
    let is_size = |app: &App| (app.size().unwrap() - SIZE.into()).length() < 1.0;
    let folder = tempfile::tempdir().unwrap();
    let mut harness = window_sized(folder.path(), TINY, SIZE);
    finished(&mut harness);
    for _ in 0..5 {
        harness.key_press_modifiers(egui::Modifiers::COMMAND, Key::Plus);
        harness.step();
    }
    let scaled = SIZE.map(|side| side / 1.5);
    harness.set_size(scaled.into());
    (0..3).for_each(|_| harness.step());
    assert!((harness.ctx.zoom_factor() - 1.5).abs() < 1e-3 && is_size(harness.state()));
    // Into a hall, and out of the program from there.
    hall(&mut harness, SIZE);
    let mut kept = Kept::default();
    eframe::App::save(harness.state_mut(), &mut kept);
    for _ in 0..2 {
        let mut again = launched(folder.path(), &kept, scaled);
        again.step();
        assert!((again.ctx.zoom_factor() - 1.5).abs() < 1e-3);
        assert!(is_size(again.state()), "{:?}", again.state().size());
        eframe::App::save(again.state_mut(), &mut kept);
    }
}
