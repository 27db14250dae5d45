//! Figures: colour maps, scales, the laws of layout, what the pointer finds, and every kind of file.

use std::sync::Arc;

use mnemoscope::app::canvas::cloud::{Camera, CloudCanvas, Kept, Place, show};
use mnemoscope::app::canvas::theme::palette;
use mnemoscope::app::panes::timeline::step_at;
use mnemoscope::figure::color::{self, CATEGORIES, Color, ColorMap, ROLES, Scaling, fraction};
use mnemoscope::figure::file::{Format, parse_length, render, save};
use mnemoscope::figure::layout::layout;
use mnemoscope::figure::page::Page;
use mnemoscope::figure::pick::{pick, read_lines};
use mnemoscope::figure::provenance::{self, PanelFacts, Provenance, quantities};
use mnemoscope::figure::scale::{Scale, number, ticks};
use mnemoscope::figure::scene::MM_PER_POINT;
use mnemoscope::figure::scene::{AreaPick, Item, Scene};
use mnemoscope::figure::style::Style;
use mnemoscope::figure::{
    Along, Anchor, Axis, Cell, Cloud, ColorBar, Dash, Figure, Heat, HeatPick, LegendEntry, Mark,
    Pick, Plot, Ticks, cloud, font, png,
};
use proptest::prelude::*;
use resvg::usvg;

// ---- figures to test with

fn one(plot: Plot) -> Figure {
    Figure { title: "A figure".into(), plots: vec![plot], columns: 1, ..Figure::default() }
}

fn tokens(n: usize) -> Vec<String> {
    "to be or not ".chars().cycle().take(n).map(|c| c.to_string()).collect()
}

fn named(tokens: &[String]) -> Ticks {
    Ticks::At(tokens.iter().enumerate().map(|(i, t)| (i as f64 + 0.5, t.clone())).collect())
}

/// A causal attention map over `n` tokens; row r, column c holds (r + c) / 2n.
fn attention(n: usize) -> Plot {
    let values: Vec<f32> = (0..n * n).map(|i| (i / n + i % n) as f32 / (2 * n) as f32).collect();
    let tokens = tokens(n);
    Plot {
        title: "Layer 1, head 0".into(),
        x: Axis {
            label: "key".into(),
            range: (0.0, n as f64),
            ticks: named(&tokens),
            ..Axis::default()
        },
        y: Axis {
            label: "query".into(),
            range: (n as f64, 0.0),
            ticks: named(&tokens),
            ..Axis::default()
        },
        equal: true,
        marks: vec![Mark::Heat(Heat {
            name: "attention".into(),
            rows: n,
            columns: n,
            values: values.into(),
            map: ColorMap::Viridis,
            range: (0.0, 1.0),
            causal: true,
            pick: HeatPick::QueryKey,
            ..Heat::default()
        })],
        color_bar: Some(ColorBar {
            label: "attention".into(),
            map: ColorMap::Viridis,
            range: (0.0, 1.0),
            scaling: Scaling::Linear,
        }),
        ..Plot::default()
    }
}

/// The same with a text for every position.
fn by_position(n: usize) -> Plot {
    let mut plot = attention(n);
    let names: Arc<[String]> = tokens(n).into();
    (plot.x.ticks, plot.y.ticks) = (Ticks::Each(Arc::clone(&names)), Ticks::Each(names));
    plot
}

fn curve(name: &str, points: &[[f64; 2]]) -> Mark {
    Mark::Line {
        name: name.into(),
        points: points.into(),
        color: color::category(0),
        width: 1.0,
        dash: Dash::Solid,
    }
}

fn curves() -> Plot {
    let falling: Vec<[f64; 2]> =
        (0..3000).map(|i| [f64::from(i), 4.0 / (1.0 + f64::from(i) / 300.0)]).collect();
    Plot {
        title: "Loss".into(),
        x: Axis { label: "step".into(), range: (0.0, 3000.0), ..Axis::default() },
        y: Axis { label: "loss (nats)".into(), range: (0.0, 4.5), ..Axis::default() },
        marks: vec![
            curve("all tokens", &falling),
            Mark::Upright {
                x: 1200.0,
                text: "induction head formed".into(),
                color: Color::rgb(90, 90, 90),
                dash: Dash::Dashed,
            },
            Mark::Upright {
                x: 1300.0,
                text: "previous-token head formed".into(),
                color: Color::rgb(90, 90, 90),
                dash: Dash::Dashed,
            },
        ],
        legend: ["all tokens", "in-context tokens", "a third line with a long name"]
            .map(|text| LegendEntry::line(text, color::category(0), Dash::Solid))
            .to_vec(),
        ..Plot::default()
    }
}

fn small_cloud() -> Plot {
    let dims = 5;
    let points: Vec<f32> = (0..40 * dims).map(|i| ((i * 37 % 101) as f32 / 50.0) - 1.0).collect();
    let mut basis = vec![0.0; 3 * dims];
    (basis[0], basis[dims + 1], basis[2 * dims + 2]) = (1.0, 1.0, 1.0);
    let pick =
        |i: usize| Pick::CloudPoint { sequence: 0, position: i, is_key: i.is_multiple_of(2) };
    Plot {
        title: "Queries and keys".into(),
        x: Axis { label: "first".into(), range: (-1.5, 1.5), ..Axis::default() },
        y: Axis { label: "second".into(), range: (-1.5, 1.5), ..Axis::default() },
        equal: true,
        marks: vec![Mark::Cloud(Cloud {
            name: "queries and keys".into(),
            dims,
            points: points.into(),
            basis: basis.into(),
            colors: (0..40).map(|i| color::role(Some(i % 2), false)).collect(),
            diameter: 3.0,
            picks: (0..40).map(pick).collect(),
            hovers: Arc::default(),
            three_d: true,
            links: vec![(0, 1, color::category(5))],
            rings: vec![3],
        })],
        ..Plot::default()
    }
}

fn bars() -> Plot {
    Plot {
        title: "Scores".into(),
        x: Axis {
            range: (-0.5, 3.5),
            ticks: Ticks::At(
                ["layer 0 head 0", "layer 0 head 1", "layer 1 head 0", "layer 1 head 1"]
                    .iter()
                    .enumerate()
                    .map(|(i, t)| (i as f64, (*t).to_owned()))
                    .collect(),
            ),
            ..Axis::default()
        },
        y: Axis { label: "score".into(), range: (-0.5, 1.0), ..Axis::default() },
        marks: vec![Mark::Bars {
            name: "score".into(),
            at: vec![0.0, 1.0, 2.0, 3.0],
            values: vec![0.125, 0.9, -0.3, 1.0 / 3.0],
            base: 0.0,
            width: 0.7,
            color: color::category(2),
        }],
        ..Plot::default()
    }
}

fn composite() -> Figure {
    Figure {
        title: "Everything at once".into(),
        plots: vec![attention(20), curves(), small_cloud(), bars(), attention(70), curves()],
        columns: 3,
        caption: "The step in view is 212; the upper triangle does not exist.".into(),
        ..Figure::default()
    }
}

fn page(width: f32, height: f32) -> Page {
    Page { size: [width, height], ..Page::column() }
}

/// A text of a scene and the box around it: left, top, right, bottom.
fn texts(scene: &Scene) -> Vec<(String, [f32; 4])> {
    let boxed = |item: &Item| {
        let Item::Text { at, text, size, align, upright, bold, .. } = item else { return None };
        let width = font::Typeface::of(font::Family::Sans).width(text, *size, *bold);
        let before = match align {
            Anchor::Left => 0.0,
            Anchor::Center => width / 2.0,
            Anchor::Right => width,
        };
        let half = 0.5 * size;
        let around = if *upright {
            [at[0] - half, at[1] + before - width, at[0] + half, at[1] + before]
        } else {
            [at[0] - before, at[1] - half, at[0] - before + width, at[1] + half]
        };
        Some((text.clone(), around))
    };
    scene.items.iter().filter_map(boxed).collect()
}

fn overlap(a: [f32; 4], b: [f32; 4]) -> bool {
    // A tenth of a point is rounding.
    a[0] + 0.1 < b[2] && b[0] + 0.1 < a[2] && a[1] + 0.1 < b[3] && b[1] + 0.1 < a[3]
}

fn has_text(scene: &Scene, wanted: &str) -> bool {
    texts(scene).iter().any(|(text, _)| text == wanted)
}

// ---- colours

/// CIE L*a*b* (D65) of an sRGB colour given as linear light.
fn lab(linear: [f64; 3]) -> [f64; 3] {
    let [r, g, b] = linear;
    let x = (0.412_456 * r + 0.357_576 * g + 0.180_437 * b) / 0.950_47;
    let y = 0.212_673 * r + 0.715_152 * g + 0.072_175 * b;
    let z = (0.019_334 * r + 0.119_192 * g + 0.950_304 * b) / 1.088_83;
    let f =
        |t: f64| if t > 216.0 / 24389.0 { t.cbrt() } else { (24389.0 / 27.0 * t + 16.0) / 116.0 };
    [116.0 * f(y) - 16.0, 500.0 * (f(x) - f(y)), 200.0 * (f(y) - f(z))]
}

fn linear(c: Color) -> [f64; 3] {
    [c.r, c.g, c.b].map(|v| {
        let v = f64::from(v) / 255.0;
        if v <= 0.04045 { v / 12.92 } else { ((v + 0.055) / 1.055).powf(2.4) }
    })
}

/// Vision as simulated by Machado, Oliveira and Fernandes (2009), severity 1.0, on linear light.
#[derive(Clone, Copy, Debug)]
pub enum Vision {
    Usual,
    Protanopia,
    Deuteranopia,
}

pub fn seen(c: Color, vision: Vision) -> [f64; 3] {
    let rgb = linear(c);
    let matrix = match vision {
        Vision::Usual => return lab(rgb),
        Vision::Protanopia => [
            [0.152_286, 1.052_583, -0.204_868],
            [0.114_503, 0.786_281, 0.099_216],
            [-0.003_882, -0.048_116, 1.051_998],
        ],
        Vision::Deuteranopia => [
            [0.367_322, 0.860_646, -0.227_968],
            [0.280_085, 0.672_501, 0.047_413],
            [-0.011_820, 0.042_940, 0.968_881],
        ],
    };
    lab(matrix.map(|row| {
        let light: f64 = row.iter().zip(rgb).map(|(a, b)| a * b).sum();
        light.clamp(0.0, 1.0)
    }))
}

/// CIEDE2000 (Sharma, Wu, Dalal 2005).
pub fn ciede2000(p: [f64; 3], q: [f64; 3]) -> f64 {
    let chroma = |v: [f64; 3]| v[1].hypot(v[2]);
    let mean = f64::midpoint(chroma(p), chroma(q)).powi(7);
    let g = 0.5 * (1.0 - (mean / (mean + 25f64.powi(7))).sqrt());
    let prime = |v: [f64; 3]| {
        let a = v[1] * (1.0 + g);
        let hue = if a == 0.0 && v[2] == 0.0 {
            0.0
        } else {
            v[2].atan2(a).to_degrees().rem_euclid(360.0)
        };
        (v[0], a.hypot(v[2]), hue)
    };
    let ((l1, c1, h1), (l2, c2, h2)) = (prime(p), prime(q));
    let grey = c1 * c2 == 0.0;
    let mut dh = h2 - h1;
    if grey {
        dh = 0.0;
    } else if dh > 180.0 {
        dh -= 360.0;
    } else if dh < -180.0 {
        dh += 360.0;
    }
    let big_dh = 2.0 * (c1 * c2).sqrt() * (dh / 2.0).to_radians().sin();
    let l = f64::midpoint(l1, l2);
    let c = f64::midpoint(c1, c2);
    let h = match h1 + h2 {
        sum if grey => sum,
        sum if (h1 - h2).abs() <= 180.0 => sum / 2.0,
        sum if sum < 360.0 => (sum + 360.0) / 2.0,
        sum => (sum - 360.0) / 2.0,
    };
    let cos = |degrees: f64| degrees.to_radians().cos();
    let t = 1.0 - 0.17 * cos(h - 30.0) + 0.24 * cos(2.0 * h) + 0.32 * cos(3.0 * h + 6.0)
        - 0.20 * cos(4.0 * h - 63.0);
    let turn = 30.0 * (-((h - 275.0) / 25.0).powi(2)).exp();
    let rc = 2.0 * (c.powi(7) / (c.powi(7) + 25f64.powi(7))).sqrt();
    let sl = 1.0 + 0.015 * (l - 50.0).powi(2) / (20.0 + (l - 50.0).powi(2)).sqrt();
    let (sc, sh) = (1.0 + 0.045 * c, 1.0 + 0.015 * c * t);
    let rt = -(2.0 * turn).to_radians().sin() * rc;
    let (dl, dc, dh) = ((l2 - l1) / sl, (c2 - c1) / sc, big_dh / sh);
    (dl * dl + dc * dc + dh * dh + rt * dc * dh).sqrt()
}

#[test]
fn our_color_difference_gives_the_published_values() {
    // Pairs 1, 7, 17 and 25 of Sharma, Wu, Dalal (2005), table 1.
    let pairs = [
        ([50.0, 2.6772, -79.7751], [50.0, 0.0, -82.7485], 2.0425),
        ([50.0, 0.0, 0.0], [50.0, -1.0, 2.0], 2.3669),
        ([50.0, 2.5, 0.0], [73.0, 25.0, -18.0], 27.1492),
        ([60.2574, -34.0099, 36.2677], [60.4626, -34.1751, 39.4387], 1.2644),
    ];
    for (p, q, expected) in pairs {
        let found = ciede2000(p, q);
        assert!((found - expected).abs() < 1e-4, "{p:?} {q:?}: {found}, published {expected}");
    }
}

#[test]
fn color_maps_are_the_published_ones() {
    let ends = |map: ColorMap| (map.at(0.0), map.at(1.0));
    assert_eq!(ends(ColorMap::Viridis), (Color::rgb(0x44, 1, 0x54), Color::rgb(0xfd, 0xe7, 0x25)));
    assert_eq!(ends(ColorMap::Magma), (Color::rgb(0, 0, 4), Color::rgb(0xfc, 0xfd, 0xbf)));
    assert_eq!(ends(ColorMap::Cividis), (Color::rgb(0, 0x22, 0x4e), Color::rgb(0xfe, 0xe8, 0x38)));
    assert_eq!(ends(ColorMap::Batlow), (Color::rgb(1, 0x19, 0x59), Color::rgb(0xfa, 0xcc, 0xfa)));
    assert_eq!(ColorMap::Viridis.at(f32::NAN), Color::TRANSPARENT);
    assert_eq!(ColorMap::Viridis.at(7.0), ColorMap::Viridis.at(1.0));
}

#[test]
fn sequential_maps_only_grow_lighter_but_for_that_of_light_paper_which_grows_darker() {
    for map in ColorMap::ALL.iter().copied().filter(|m| !m.is_diverging()) {
        let mut lightness: Vec<f64> =
            map.table().iter().step_by(5).map(|c| seen(*c, Vision::Usual)[0]).collect();
        if map == ColorMap::Paper {
            lightness.reverse();
        }
        assert!(lightness.windows(2).all(|w| w[1] > w[0]), "{}: {lightness:?}", map.name());
    }
}

#[test]
fn of_maps_that_begin_at_the_paper_zero_is_the_paper_of_the_window() {
    assert_eq!(ColorMap::Paper.on(false).at(0.0), palette(false).paper);
    assert_eq!(ColorMap::Paper.on(true).at(0.0), palette(true).paper);
    for map in ColorMap::ALL {
        assert_eq!(map.on(false), *map);
        assert_eq!(map.on(true).is_diverging(), map.is_diverging());
    }
}

#[test]
fn the_diverging_map_of_dark_paper_is_darkest_in_the_middle() {
    let light = |i: usize| seen(ColorMap::Berlin.table()[i], Vision::Usual)[0];
    assert!((0..=112).step_by(8).all(|i| light(i) > light(i + 8)), "left half falls");
    assert!((144..248).step_by(8).all(|i| light(i) < light(i + 8)), "right half rises");
}

#[test]
fn the_diverging_map_is_lightest_in_the_middle_and_as_dark_on_both_sides() {
    let light = |i: usize| seen(ColorMap::Vik.table()[i], Vision::Usual)[0];
    assert!((110..146).all(|i| light(i) > light(80) && light(i) > light(175)));
    assert!((0..=120).step_by(8).all(|i| light(i) < light(i + 8)), "left half rises");
    assert!((136..248).step_by(8).all(|i| light(i) > light(i + 8)), "right half falls");
    for i in (0..128).step_by(16) {
        assert!((light(i) - light(255 - i)).abs() < 12.0, "{i}: {} {}", light(i), light(255 - i));
    }
}

#[test]
fn sixteen_levels_of_every_map_are_told_apart_by_every_eye() {
    for map in ColorMap::ALL {
        for vision in [Vision::Usual, Vision::Protanopia, Vision::Deuteranopia] {
            let levels: Vec<[f64; 3]> =
                (0..16).map(|i| seen(map.at(i as f32 / 15.0), vision)).collect();
            for a in 0..16 {
                for b in a + 1..16 {
                    let apart = ciede2000(levels[a], levels[b]);
                    assert!(apart >= 2.0, "{} {vision:?}: levels {a} and {b}: {apart}", map.name());
                }
            }
        }
    }
}

#[test]
fn categories_and_roles_are_told_apart_by_every_eye_and_read_on_their_paper() {
    for vision in [Vision::Usual, Vision::Protanopia, Vision::Deuteranopia] {
        for (a, first) in CATEGORIES.iter().enumerate() {
            for (b, second) in CATEGORIES.iter().enumerate().skip(a + 1) {
                let apart = ciede2000(seen(*first, vision), seen(*second, vision));
                assert!(apart >= 8.0, "categories {a} and {b}, {vision:?}: {apart}");
            }
        }
        for style in [Style::light(), Style::dark()] {
            let all: Vec<Color> = (0..ROLES)
                .map(Some)
                .chain([None])
                .map(|role| color::role(role, style.dark))
                .collect();
            for (a, first) in all.iter().enumerate() {
                assert!(first.contrast(style.paper) >= 3.0, "role {a}, dark {}", style.dark);
                for (b, second) in all.iter().enumerate().skip(a + 1) {
                    let apart = ciede2000(seen(*first, vision), seen(*second, vision));
                    assert!(apart >= 6.5, "roles {a} and {b}, {vision:?}: {apart}");
                }
            }
            let roles = [Some(0), Some(1), None].map(|role| color::role(role, style.dark));
            for a in 0..3 {
                assert!(roles[a].contrast(style.paper) >= 3.0, "role {a}, dark {}", style.dark);
                for b in a + 1..3 {
                    let apart = ciede2000(seen(roles[a], vision), seen(roles[b], vision));
                    assert!(apart >= 15.0, "roles {a} and {b}, {vision:?}: {apart}");
                }
            }
        }
    }
}

// ---- scales

#[test]
fn ticks_are_round_and_say_exactly_what_they_are() {
    let labels = |range, log, most| -> Vec<String> {
        ticks(range, Along::log(log), most)
            .into_iter()
            .map(|t| t.label)
            .filter(|l| !l.is_empty())
            .collect()
    };
    assert_eq!(labels((0.0, 1.0), false, 6), ["0.0", "0.2", "0.4", "0.6", "0.8", "1.0"]);
    assert_eq!(labels((-0.3, 0.3), false, 4), ["−0.2", "0.0", "0.2"]);
    assert_eq!(labels((0.0, 400.0), false, 5), ["0", "100", "200", "300", "400"]);
    assert_eq!(labels((0.0, 20_000.0), false, 5), ["0", "5k", "10k", "15k", "20k"]);
    assert_eq!(labels((0.0, 3e6), false, 4), ["0", "1M", "2M", "3M"]);
    assert_eq!(labels((0.0, 3e-5), false, 4), ["0", "1e−5", "2e−5", "3e−5"]);
    assert_eq!(labels((0.01, 10.0), true, 6), ["0.01", "0.1", "1", "10"]);
    assert_eq!(
        labels((1.0, 1e8), true, 5),
        ["1", "100", "10000", "1e6", "1e8"].map(|s| if s == "1e6" { "1000000" } else { s })
    );
    assert_eq!(labels((2.0, 8.0), true, 6), ["2", "5"]);
    let doublings = |range, first, most| -> Vec<String> {
        let ticks = ticks(range, Along::Doublings(first), most).into_iter();
        ticks.map(|t| t.label).filter(|l| !l.is_empty()).collect()
    };
    assert_eq!(doublings((0.0, 1500.0), 1.0, 6), ["0", "1", "10", "100", "1000"]);
    assert_eq!(doublings((0.0, 143_000.0), 1.0, 4), ["0", "1", "100", "10000"]);
    assert_eq!(doublings((10.0, 400_000.0), 10.0, 6), ["10", "100", "1000", "10000", "100000"]);
    assert_eq!(doublings((0.0, 1.5), 1.0, 4), ["0.0", "0.5", "1.0", "1.5"]);
}

#[test]
fn steps_that_double_stand_evenly_and_a_place_gives_the_step_back() {
    let along = Along::Doublings(10.0);
    let steps = [0.0, 10.0, 20.0, 40.0, 80.0, 160.0, 320.0, 640.0];
    let scale = Scale::new((0.0, 640.0), along, (0.0, 700.0));
    for (i, step) in steps.into_iter().enumerate() {
        let place = 100.0 * i as f32;
        assert!((scale.at(step) - place).abs() < 1e-3, "{step}");
        assert!((scale.value_at(place) - step).abs() < 1e-3 * step.max(1.0), "{step}");
        let last = 1000;
        assert_eq!(step_at((0.0, 640.0), along, i as f64 / 7.0, last), Some(step as u64));
    }
    assert!((scale.at(5.0) - 50.0).abs() < 1e-3 && (scale.at(-10.0) + 100.0).abs() < 1e-3);
    assert_eq!(step_at((0.0, 640.0), Along::Values, 0.5, 1000), Some(320));
    assert_eq!(step_at((1.0, 100.0), Along::Logarithms, 0.5, 1000), Some(10));
    assert_eq!(step_at((0.0, 640.0), along, 1.0, 640), None, "the right end is live");
}

#[test]
fn numbers_are_short() {
    let said = [0.0, 1.0, 0.834_49, 12.0, 1234.56, -0.5, 1.5e-7, 2e9, 0.001, f64::NAN];
    let text = said.map(number);
    let expected = ["0", "1", "0.8345", "12", "1235", "−0.5", "1.5e−7", "2e9", "0.001", "NaN"];
    assert_eq!(text, expected);
}

/// The ways in which values lie along an axis.
const ALONG: [Along; 3] = [Along::Values, Along::Logarithms, Along::Doublings(3.0)];

proptest! {
    #[test]
    fn a_scale_gives_back_every_value(a in -1e6..1e6f64, width in 1e-3..1e6f64, t in 0.0..1.0f64) {
        let scale = Scale::new((a, a + width), Along::Values, (10.0, 510.0));
        let value = a + t * width;
        let back = scale.value_at(scale.at(value));
        prop_assert!((back - value).abs() <= width * 1e-4, "{} became {}", value, back);
    }

    #[test]
    fn ticks_lie_in_any_range_in_order_and_never_too_many(
        a in prop::num::f64::ANY, b in prop::num::f64::ANY, along in 0..3usize, most in 1..9usize
    ) {
        let found = ticks((a, b), ALONG[along], most);
        prop_assert!(found.len() < 100);
        prop_assert!(found.windows(2).all(|w| w[0].value < w[1].value));
    }

    #[test]
    fn layout_takes_any_numbers_and_any_size(
        a in prop::num::f64::ANY, b in prop::num::f64::ANY, v in prop::num::f32::ANY,
        width in 0.0..700f32, height in 0.0..700f32, log: bool, text in ".{0,40}", scaling in 0..3usize, along in 0..3usize
    ) {
        let mut plot = curves();
        plot.title.clone_from(&text);
        plot.x = Axis { label: text.clone(), range: (a, b), along: ALONG[along], ..Axis::default() };
        plot.y = Axis { label: text, range: (b, a), along: ALONG[along], ..Axis::default() };
        plot.marks.push(curve("c", &[[a, b], [b, a], [f64::NAN, 0.0]]));
        let mut heat = attention(5);
        if let Mark::Heat(heat) = &mut heat.marks[0] {
            heat.values = vec![v; 25].into();
            heat.range = (v, -v);
            heat.scaling = [Scaling::Linear, Scaling::SquareRoot, Scaling::Logarithmic][scaling];
            heat.tops = if log { vec![v; 5].into() } else { Arc::default() };
        }
        let figure = Figure { plots: vec![plot, heat], columns: 2, ..Figure::default() };
        let scene = layout(&figure, [width, height], &Style::light());
        prop_assert!(!scene.items.is_empty());
    }
}

// ---- layout

/// Every figure at every size from a thumbnail to two columns.
fn every_scene() -> Vec<(String, Scene)> {
    let figures = [
        ("attention", one(attention(36))),
        ("long attention", one(attention(150))),
        ("attention by position", one(by_position(40))),
        ("curves", one(curves())),
        ("cloud", one(small_cloud())),
        ("bars", one(bars())),
        ("composite", composite()),
    ];
    let sizes = [[120.0, 80.0], [180.0, 300.0], [252.0, 190.0], [519.0, 340.0], [1200.0, 700.0]];
    let mut scenes = Vec::new();
    for (name, figure) in &figures {
        for size in sizes {
            for style in [Style::light(), Style::light().scaled(1.7)] {
                let label = format!("{name} at {size:?}, text {}", style.tick_size);
                scenes.push((label, layout(figure, size, &style)));
            }
        }
    }
    scenes
}

#[test]
fn no_text_leaves_the_page() {
    for (name, scene) in every_scene() {
        for (text, [left, top, right, bottom]) in texts(&scene) {
            let inside = left >= -0.1
                && top >= -0.1
                && right <= scene.width + 0.1
                && bottom <= scene.height + 0.1;
            assert!(inside, "{name}: \"{text}\" at {left} {top} {right} {bottom}");
        }
    }
}

#[test]
fn no_text_covers_another() {
    for (name, scene) in every_scene() {
        let texts = texts(&scene);
        for (i, (a, box_a)) in texts.iter().enumerate() {
            for (b, box_b) in &texts[i + 1..] {
                assert!(
                    !overlap(*box_a, *box_b),
                    "{name}: \"{a}\" {box_a:?} and \"{b}\" {box_b:?}"
                );
            }
        }
    }
}

#[test]
fn a_column_wide_figure_has_all_its_words() {
    let scene = layout(&one(curves()), [252.0, 190.0], &Style::light());
    for word in ["A figure", "Loss", "step", "loss (nats)", "in-context tokens", "0", "1000"] {
        assert!(has_text(&scene, word), "{word} is missing");
    }
}

#[test]
fn every_text_and_line_of_a_figure_of_a_scale_is_so_many_times_as_large() {
    let of = |scale: f32| {
        let figure = Figure { scale, ..one(curves()) };
        let scene = layout(&figure, [300.0 * scale, 200.0 * scale], &Style::light());
        // In units of the scale, to a thousandth.
        let in_units = |size: f32| (1000.0 * size / scale).round();
        let texts = texts(&scene).into_iter();
        let texts = texts.map(|(text, at)| (text, in_units(at[3] - at[1])));
        let width = |item: &Item| {
            if let Item::Polyline { width, .. } = item { Some(in_units(*width)) } else { None }
        };
        let widths = scene.items.iter().filter_map(width);
        (texts.collect::<Vec<_>>(), widths.collect::<Vec<f32>>())
    };
    let (texts, widths) = of(2.0);
    let (as_it_says, widths_as_they_say) = of(1.0);
    for word in ["A figure", "Loss", "step", "in-context tokens"] {
        let size = |texts: &[(String, f32)]| texts.iter().find(|t| t.0 == word).unwrap().1;
        assert_eq!(size(&texts), size(&as_it_says), "{word}");
    }
    assert!(widths.iter().all(|width| widths_as_they_say.contains(width)), "{widths:?}");
}

#[test]
fn a_thumbnail_keeps_half_of_its_page_for_the_data() {
    let scene = layout(&one(curves()), [120.0, 80.0], &Style::light());
    let axes = scene.areas.iter().find(|a| matches!(a.pick, AreaPick::Plot(0))).unwrap();
    let [width, height] = [axes.max[0] - axes.min[0], axes.max[1] - axes.min[1]];
    assert!(width > 55.0 && height > 30.0, "{width} by {height}");
}

#[test]
fn cells_above_the_diagonal_are_absent_and_not_zero() {
    let scene = layout(&one(attention(8)), [252.0, 252.0], &Style::light());
    let image = scene.items.iter().find_map(|item| {
        if let Item::Image { rows: 8, columns: 8, pixels, .. } = item {
            Some(Arc::clone(pixels))
        } else {
            None
        }
    });
    for (i, pixel) in image.unwrap().iter().enumerate() {
        let (row, column) = (i / 8, i % 8);
        assert_eq!(pixel.a, if column > row { 0 } else { 255 }, "row {row}, column {column}");
    }
}

#[test]
fn axes_of_one_column_line_up() {
    let mut short = curves();
    short.y.label = String::new();
    let figure = Figure { plots: vec![curves(), short], columns: 1, ..Figure::default() };
    let scene = layout(&figure, [252.0, 300.0], &Style::light());
    let lefts: Vec<f32> = scene
        .areas
        .iter()
        .filter(|a| matches!(a.pick, AreaPick::Plot(_)))
        .map(|a| a.min[0])
        .collect();
    assert_eq!(lefts[0], lefts[1]);
}

#[test]
fn a_color_bar_has_two_labels_at_least() {
    for half in [0.37f32, 1.0, 4.4, 6.9, 123.0] {
        let mut plot = attention(12);
        if let Some(bar) = &mut plot.color_bar {
            (bar.map, bar.range) = (ColorMap::Vik, (-half, half));
        }
        for size in [[160.0, 110.0], [252.0, 252.0]] {
            let scene = layout(&one(plot.clone()), size, &Style::light());
            let axes = scene.areas.iter().find(|a| matches!(a.pick, AreaPick::Plot(0))).unwrap();
            let beside = |t: &&(String, [f32; 4])| t.1[0] > axes.max[0] && t.0 != "attention";
            let labels = texts(&scene).iter().filter(beside).count();
            assert!(labels >= 2, "{labels} labels for ±{half} at {size:?}");
        }
    }
}

#[test]
fn one_unit_is_as_long_across_as_up_where_asked() {
    let scene = layout(&one(small_cloud()), [300.0, 170.0], &Style::light());
    let axes = scene.areas.iter().find(|a| matches!(a.pick, AreaPick::Plot(0))).unwrap();
    assert!((axes.max[0] - axes.min[0] - (axes.max[1] - axes.min[1])).abs() < 0.01);
}

#[test]
fn nothing_to_draw_says_why() {
    let empty = Some("No step is recorded yet.".to_owned());
    let scene = layout(&Figure { empty, ..Figure::default() }, [200.0, 100.0], &Style::dark());
    assert!(has_text(&scene, "No step is recorded yet."));
}

#[test]
fn long_lines_keep_their_highest_and_lowest_point() {
    let mut points: Vec<[f64; 2]> = (0..100_000).map(|i| [f64::from(i), 1.0]).collect();
    points[54_321][1] = 4.0;
    points[77_777][1] = 0.25;
    let mut plot = curves();
    plot.x.range = (0.0, 100_000.0);
    plot.marks = vec![curve("noise", &points)];
    let scene = layout(&one(plot), [252.0, 190.0], &Style::light());
    let axes = scene.areas.iter().find(|a| matches!(a.pick, AreaPick::Plot(0))).unwrap();
    let longest = scene.items.iter().filter_map(|item| {
        if let Item::Polyline { points, .. } = item { Some(points) } else { None }
    });
    let line = longest.max_by_key(|points| points.len()).unwrap();
    assert!(line.len() < 6000, "{} points are too many to draw", line.len());
    let height = axes.max[1] - axes.min[1];
    let place = |value: f32| axes.max[1] - value / 4.5 * height;
    for value in [4.0, 0.25] {
        assert!(line.iter().any(|p| (p[1] - place(value)).abs() < 0.01), "{value} got lost");
    }
}

// ---- what the pointer finds

/// The place of the middle of a cell.
fn middle_of(scene: &Scene, row: f32, column: f32, n: f32) -> [f32; 2] {
    let area = scene.areas.iter().find(|a| matches!(a.pick, AreaPick::Heat(_))).unwrap();
    let [from, to] = area.frame;
    let at = |i: usize, cell: f32| from[i] + (cell + 0.5) / n * (to[i] - from[i]);
    [at(0, column), at(1, row)]
}

#[test]
fn a_cell_of_attention_says_who_looks_at_whom_and_how_much() {
    let scene = layout(&one(attention(20)), [252.0, 252.0], &Style::light());
    let (found, hover) = pick(&scene, middle_of(&scene, 12.0, 4.0, 20.0)).unwrap();
    assert_eq!(found, Pick::QueryKey { query: 12, key: 4 });
    assert_eq!(hover, "query 12 ' ' → key 4 'e': 0.4");
    assert_eq!(pick(&scene, middle_of(&scene, 4.0, 12.0, 20.0)), None, "above the diagonal");
}

#[test]
fn rows_that_run_upwards_are_found_where_they_are_drawn() {
    let mut plot = attention(20);
    plot.y.range = (0.0, 20.0);
    let scene = layout(&one(plot), [252.0, 252.0], &Style::light());
    let low = middle_of(&scene, 0.0, 0.0, 20.0);
    let high = middle_of(&scene, 19.0, 0.0, 20.0);
    assert!(low[1] > high[1], "row 0 is at the bottom");
    assert_eq!(pick(&scene, low).unwrap().0, Pick::QueryKey { query: 0, key: 0 });
}

#[test]
fn a_thumbnail_picks_its_head() {
    let mut plot = attention(20);
    plot.pick = Pick::Head { layer: 1, head: 3 };
    if let Mark::Heat(heat) = &mut plot.marks[0] {
        heat.pick = HeatPick::Nothing;
    }
    let scene = layout(&one(plot), [120.0, 80.0], &Style::light());
    let (found, hover) = pick(&scene, [60.0, 40.0]).unwrap();
    assert_eq!((found, hover.as_str()), (Pick::Head { layer: 1, head: 3 }, "Layer 1, head 0"));
}

#[test]
fn the_nearest_point_of_a_cloud_is_found() {
    let figure = one(small_cloud());
    let scene = layout(&figure, [252.0, 252.0], &Style::light());
    let (min, max, cloud, x, y) = scene
        .items
        .iter()
        .find_map(|item| {
            if let Item::Cloud { min, max, cloud, x, y } = item {
                Some((*min, *max, cloud, *x, *y))
            } else {
                None
            }
        })
        .unwrap();
    let discs = cloud::discs(cloud, min, max, x, y);
    let disc = discs.iter().find(|d| d.index == 7).unwrap();
    let (found, _) = pick(&scene, disc.center).unwrap();
    assert_eq!(found, Pick::CloudPoint { sequence: 0, position: 7, is_key: false });
}

#[test]
fn a_hover_reads_every_line_at_the_nearest_step() {
    let mut plot = curves();
    plot.x.range = (0.0, 10.0);
    let square: Vec<[f64; 2]> = (0..=10).map(|i| [f64::from(i), f64::from(i * i)]).collect();
    let sparse = [[0.0, 1.0], [5.0, 2.0], [10.0, 3.0]];
    plot.marks = vec![curve("square", &square), curve("sparse", &sparse)];
    let figure = one(plot);
    let scene = layout(&figure, [252.0, 190.0], &Style::light());
    let axes = scene.areas.iter().find(|a| matches!(a.pick, AreaPick::Plot(0))).unwrap();
    let x = axes.min[0] + 0.43 * (axes.max[0] - axes.min[0]);
    let reading = read_lines(&figure, &scene, [x, axes.min[1] + 5.0]).unwrap();
    assert_eq!((reading.plot, reading.x), (0, 4.0));
    let values: Vec<(&str, f64)> = reading.lines.iter().map(|l| (l.0.as_str(), l.2)).collect();
    assert_eq!(values, [("square", 16.0), ("sparse", 2.0)]);
}

#[test]
fn a_box_of_text_picks_what_it_stands_for() {
    let mut plot = Plot {
        x: Axis { range: (0.0, 2.0), ticks: Ticks::Hidden, ..Axis::default() },
        y: Axis { range: (1.0, 0.0), ticks: Ticks::Hidden, ..Axis::default() },
        ..Plot::default()
    };
    let cell = |i: usize| Cell {
        from: [i as f64, 0.0],
        to: [i as f64 + 1.0, 1.0],
        text: "t".into(),
        fill: None,
        stroke: None,
        ink: Color::rgb(0, 0, 0),
        pick: Pick::Query(i),
        hover: format!("position {i}"),
        value: None,
    };
    plot.marks = vec![Mark::Cells(vec![cell(0), cell(1)])];
    let figure = Figure { plots: vec![plot], columns: 1, ..Figure::default() };
    let scene = layout(&figure, [100.0, 20.0], &Style::light());
    assert_eq!(pick(&scene, [75.0, 10.0]), Some((Pick::Query(1), "position 1".into())));
}

// ---- what lies far outside

/// The largest and smallest numbers, those that are none, and ordinary ones.
const WILD: [f64; 14] = [
    1e30,
    -1e30,
    f64::INFINITY,
    f64::NEG_INFINITY,
    f64::NAN,
    f64::MAX,
    f64::MIN,
    f32::MAX as f64,
    f32::MIN as f64,
    f64::MIN_POSITIVE,
    -0.0,
    0.5,
    3.0,
    1e5,
];

/// Every mark there is, with places taken from a list.
fn wild(at: [f64; 4]) -> Vec<Mark> {
    let [a, b, c, d] = at;
    let ink = Color::rgb(200, 30, 30);
    let (from, to) = ([a, b], [c, d]);
    vec![
        curve("wild", &[[0.1, 0.5], from, [0.5, 0.5], to, from, [0.9, b], [a, 0.1]]),
        Mark::Points {
            name: "wild".into(),
            points: [from, to, [0.5, 0.5]].into(),
            colors: [ink].into(),
            diameter: 4.0,
            picks: [Pick::Run(0), Pick::Run(1), Pick::Run(2)].into(),
        },
        Mark::Bars {
            name: "wild".into(),
            at: vec![0.3, 0.5, a],
            values: vec![b, d, 0.5],
            base: 0.0,
            width: 0.1,
            color: ink,
        },
        Mark::Rect { from, to, fill: Some(ink), stroke: Some(ink), width: 2.0 },
        Mark::Hatch { from, to, color: ink },
        Mark::Arrow { from, to, color: ink, width: 1.0 },
        Mark::Text { at: from, text: "wild".into(), color: ink, anchor: Anchor::Center, size: 6.0 },
        Mark::Upright { x: a, text: String::new(), color: ink, dash: Dash::Solid },
        Mark::Wedge { at: from, color: ink },
        Mark::Cells(vec![Cell {
            from,
            to,
            text: "wild".into(),
            fill: Some(ink),
            stroke: Some(ink),
            ink,
            pick: Pick::Query(0),
            hover: "wild".into(),
            value: Some(("wild", a)),
        }]),
    ]
}

fn places(item: &Item) -> Vec<[f32; 2]> {
    match item {
        Item::Rect { min, max, .. } | Item::Image { min, max, .. } | Item::Clip { min, max } => {
            vec![*min, *max]
        }
        Item::Cloud { min, max, .. } => vec![*min, *max],
        Item::Polyline { points, .. } => points.clone(),
        Item::Circle { center, .. } => vec![*center],
        Item::Text { at, .. } => vec![*at],
        Item::Unclip => Vec::new(),
    }
}

fn assert_on_page(scene: &Scene, what: &str) {
    let on_page =
        |[x, y]: [f32; 2]| (0.0..=scene.width).contains(&x) && (0.0..=scene.height).contains(&y);
    for item in &scene.items {
        assert!(places(item).into_iter().all(on_page), "{what}: {item:?}");
    }
    for area in &scene.areas {
        assert!(on_page(area.min) && on_page(area.max), "{what}: {area:?}");
    }
}

#[test]
fn whatever_is_drawn_has_its_coordinates_on_the_page() {
    let mut pairs = Vec::new();
    for a in WILD {
        pairs.extend(WILD.map(|b| [a, b, b, a]));
        pairs.extend(WILD.map(|b| [a, 0.4, 0.6, b]));
    }
    for (log, range) in [(false, (0.0, 1.0)), (true, (0.01, 1.0)), (false, (1.0, 0.0))] {
        for at in &pairs {
            let axis = || Axis {
                range,
                along: Along::log(log),
                label: "values".into(),
                ..Axis::default()
            };
            let plot = Plot { x: axis(), y: axis(), marks: wild(*at), ..Plot::default() };
            let scene = layout(&one(plot), [200.0, 150.0], &Style::light());
            assert_on_page(&scene, &format!("{at:?} log {log}"));
        }
    }
}

#[test]
fn axes_of_any_range_have_their_coordinates_on_the_page() {
    for a in WILD {
        for b in WILD {
            let axis = || Axis { range: (a, b), ..Axis::default() };
            let marks = wild([0.2, 0.3, 1e9, 4.0]);
            let plot = Plot { x: axis(), y: axis(), equal: true, marks, ..Plot::default() };
            assert_on_page(&layout(&one(plot), [200.0, 150.0], &Style::light()), "ranges");
        }
    }
}

#[test]
fn a_map_and_a_cloud_of_which_a_part_is_shown_stay_on_the_page() {
    let mut plot = attention(64);
    (plot.x.range, plot.y.range) = ((20.0, 24.0), (44.0, 40.0));
    let scene = layout(&one(plot), [200.0, 150.0], &Style::light());
    assert_on_page(&scene, "map");
    let image = scene.items.iter().find_map(|item| {
        if let Item::Image { columns, rows, pixels, .. } = item {
            Some((*columns, *rows, pixels.clone()))
        } else {
            None
        }
    });
    let (columns, rows, pixels) = image.unwrap();
    assert_eq!((columns, rows), (4, 4));
    // Row 40, column 20 of 64.
    assert_eq!(
        pixels[0],
        ColorMap::Viridis.at(fraction(60.0 / 128.0, (0.0, 1.0), Scaling::Linear))
    );
    let mut plot = small_cloud();
    for mark in &mut plot.marks {
        let Mark::Cloud(cloud) = mark else { continue };
        let mut points = cloud.points.to_vec();
        (points[0], points[5], points[10]) = (1e30, f32::MAX, f32::NAN);
        cloud.points = points.into();
        cloud.links = vec![(0, 3, Color::rgb(0, 0, 0)), (3, 4, Color::rgb(0, 0, 0))];
        cloud.rings = vec![0, 3];
    }
    (plot.x.range, plot.y.range) = ((-0.1, 0.1), (-0.1, 0.1));
    let scene = cloud::flat(layout(&one(plot), [200.0, 150.0], &Style::light()));
    for item in &scene.items {
        // A disc at the edge, and a ring around it, may stand over it.
        let near = |v: f32, end: f32| (-8.0..=end + 8.0).contains(&v);
        let all = places(item);
        assert!(all.iter().all(|p| near(p[0], 200.0) && near(p[1], 150.0)), "{item:?}");
    }
}

#[test]
fn a_line_is_cut_where_it_leaves_the_axes_and_pointed_at() {
    use mnemoscope::figure::clip::line;
    let axis = |range, log| Scale::new(range, Along::log(log), (0.0, 1.0));
    let (x, y) = (axis((0.0, 10.0), false), axis((0.0, 4.0), false));
    let cut = |points: &[[f64; 2]]| line(points, [&x, &y], [0.0; 2]);
    // Half way up to twice the height, and back.
    let over = cut(&[[0.0, 2.0], [2.0, 6.0], [4.0, 2.0], [5.0, 2.0]]);
    assert_eq!(over.runs, [vec![[0.0, 2.0], [1.0, 4.0]], vec![[3.0, 4.0], [4.0, 2.0], [5.0, 2.0]]]);
    assert_eq!(over.exits, [[1.0, 4.0]]);
    // A line that ends beyond everything goes up to the edge.
    for end in [1e30, f64::MAX, f64::INFINITY] {
        let up = cut(&[[0.0, 1.0], [1.0, 1.0], [2.0, end]]);
        assert_eq!(up.runs.len(), 1);
        assert_eq!(up.runs[0].len(), 3);
        let [at, high] = up.runs[0][2];
        assert!((1.0..1.001).contains(&at) && (high - 4.0).abs() < 1e-9, "{at} {high}");
        assert_eq!(up.exits.len(), 1);
    }
    // Through both ends between two points, and never inside.
    let through = cut(&[[0.0, -4.0], [1.0, 8.0]]);
    assert_eq!(through.runs.len(), 1);
    assert!((through.runs[0][0][0] - 1.0 / 3.0).abs() < 1e-12, "{through:?}");
    assert!(cut(&[[0.0, 9.0], [5.0, 9.0]]).runs.is_empty());
    assert_eq!(cut(&[[0.0, 9.0], [5.0, 9.0]]).exits, [[0.0, 4.0]]);
    // What is undefined is a gap, whatever lies around it.
    let gaps =
        cut(&[[0.0, 1.0], [1.0, f64::NAN], [2.0, 1.0], [3.0, f64::NAN], [4.0, 1.0], [5.0, 2.0]]);
    assert_eq!(gaps.runs, [vec![[0.0, 1.0]], vec![[2.0, 1.0]], vec![[4.0, 1.0], [5.0, 2.0]]]);
    assert!(gaps.exits.is_empty());
    // On logarithmic axes a line is straight in the logarithms, and zero is a gap.
    let log = axis((1.0, 100.0), true);
    let cut = line(&[[0.0, 10.0], [2.0, 1000.0], [3.0, 0.0], [4.0, 10.0]], [&x, &log], [0.0; 2]);
    assert_eq!(cut.runs.len(), 2);
    assert!((cut.runs[0][1][0] - 1.0).abs() < 1e-9, "{cut:?}");
}

/// Pixels of a figure that are not paper.
fn inked(figure: &Figure) -> Vec<bool> {
    let scene = layout(figure, [200.0, 150.0], &Style::light());
    let (_, _, rgba) = png::pixels(&scene, 72.0).unwrap();
    rgba.chunks_exact(4).map(|p| p[..3] != [255, 255, 255]).collect()
}

#[test]
fn a_picture_is_the_same_however_far_a_line_goes() {
    let plot = |end: f64| Plot {
        x: Axis { label: "step".into(), range: (0.0, 10.0), ..Axis::default() },
        y: Axis { label: "loss".into(), range: (0.0, 4.0), ..Axis::default() },
        marks: vec![
            curve("sound", &[[0.0, 3.0], [10.0, 1.0]]),
            curve("wild", &[[0.0, 3.0], [4.0, 3.5], [4.001, end]]),
        ],
        ..Plot::default()
    };
    let near = inked(&one(plot(40.0)));
    let count = near.iter().filter(|ink| **ink).count();
    assert!(count > 500, "{count} pixels of ink");
    for end in [1e6, 1e30, 1e300, f64::INFINITY] {
        let far = inked(&one(plot(end)));
        let other = near.iter().zip(&far).filter(|(a, b)| a != b).count();
        assert!(other <= 4, "{end}: {other} pixels differ");
    }
    // Every format draws the places of one scene.
    let scene = layout(&one(plot(1e30)), [200.0, 150.0], &Style::light());
    assert_on_page(&scene, "sweep");
    let svg = mnemoscope::figure::svg::document(&scene, "", &Provenance::new());
    let lines = svg.split("points=\"").skip(1).map(|rest| rest.split('"').next().unwrap());
    let mut numbers = lines.flat_map(|line| line.split([' ', ','])).map(|n| n.parse().unwrap());
    assert!(numbers.all(|n: f64| (0.0..=200.0).contains(&n)), "{svg}");
}

#[test]
fn colours_of_the_largest_numbers_are_told_apart() {
    let range = (f32::MIN, f32::MAX);
    assert_eq!(fraction(0.0, range, Scaling::Linear), 0.5);
    assert_eq!(fraction(f32::MAX, range, Scaling::Linear), 1.0);
    assert!(fraction(f32::INFINITY, range, Scaling::Linear) > 1.0);
    assert!(fraction(f32::NAN, range, Scaling::Linear).is_nan());
}

// ---- projection

#[test]
fn a_turned_view_keeps_lengths_and_a_whole_turn_changes_nothing() {
    let rotation = cloud::rotation(0.7, -0.4);
    for i in 0..3 {
        for j in 0..3 {
            let dot: f32 = (0..3).map(|k| rotation[i][k] * rotation[j][k]).sum();
            assert!((dot - if i == j { 1.0 } else { 0.0 }).abs() < 1e-6);
        }
    }
    let basis: Vec<f32> = (0..12).map(|i| i as f32).collect();
    let whole = cloud::turned(&basis, &cloud::rotation(std::f32::consts::TAU, 0.0));
    assert!(whole.iter().zip(&basis).all(|(a, b)| (a - b).abs() < 1e-4));
}

#[test]
fn a_projection_is_three_scalar_products() {
    let points = [1.0, 2.0, -1.0, 0.5];
    let basis = [1.0, 0.0, 0.0, 1.0, 2.0, 2.0];
    assert_eq!(cloud::project(&points, &basis, 2), [[1.0, 2.0, 6.0], [-1.0, 0.5, -1.0]]);
}

// ---- files

#[test]
fn the_same_figure_gives_the_same_bytes() {
    let (figure, page) = (composite(), page(519.0, 340.0));
    for format in Format::ALL {
        let first = render(&figure, &page, *format).unwrap();
        let second = render(&figure, &page, *format).unwrap();
        assert!(first == second, "{} differs", format.name());
    }
}

fn svg_of(figure: &Figure, page: &Page) -> String {
    String::from_utf8(render(figure, page, Format::Svg).unwrap()).unwrap()
}

#[test]
fn an_svg_is_as_wide_as_asked_and_has_its_words_as_text() {
    let mut page = page(89.0 / MM_PER_POINT, 60.0 / MM_PER_POINT);
    page.provenance.sheet = "[[panel]]\npanel = \"curves\" # < & >".into();
    page.provenance.panels = vec![PanelFacts {
        step: Some(212),
        tokens: vec!["b".into(), "\n".into(), "\u{202e}".into()],
        interventions: vec!["zero layer1.head0".into()],
        quantities: quantities(&one(curves())),
        ..PanelFacts::default()
    }];
    let text = svg_of(&one(curves()), &page);
    let document = usvg::roxmltree::Document::parse(&text).unwrap();
    let root = document.root_element();
    assert_eq!(root.attribute("width"), Some("89mm"));
    assert_eq!(root.attribute("height"), Some("60mm"));
    let words: Vec<&str> =
        root.descendants().filter(|n| n.has_tag_name("text")).filter_map(|n| n.text()).collect();
    for word in ["Loss", "step", "loss (nats)", "in-context tokens"] {
        assert!(words.contains(&word), "{word} is not among {words:?}");
    }
    assert!(root.descendants().all(|n| n.attribute("class").is_none()), "attributes, not classes");
    let metadata = root.descendants().find(|n| n.has_tag_name("metadata")).unwrap();
    assert_eq!(Provenance::from_json(metadata.text().unwrap()).unwrap(), page.provenance);
}

#[test]
fn odd_tokens_survive_xml() {
    let odd = ["<&>", "\"'", "]]>", "\u{1}", "\n", " ", "\u{202e}", "α", "\u{ffff}", "漢"];
    let mut plot = attention(odd.len());
    let odd: Vec<String> = odd.map(str::to_owned).to_vec();
    (plot.x.ticks, plot.y.ticks) = (named(&odd), named(&odd));
    plot.title = "a < b & \"c\"".into();
    let text = svg_of(&one(plot), &page(400.0, 400.0));
    let document = usvg::roxmltree::Document::parse(&text).unwrap();
    let words: Vec<&str> = document
        .descendants()
        .filter(|n| n.has_tag_name("text"))
        .filter_map(|n| n.text())
        .collect();
    for word in ["<&>", "\"'", "]]>", "SOH", "↵", "α", "漢", "U+202E", "U+FFFF", "a < b & \"c\""]
    {
        assert!(words.contains(&word), "{word} is not among {words:?}");
    }
}

#[test]
fn a_pdf_has_the_exact_page_and_text_that_can_be_selected() {
    let width = 89.0 / MM_PER_POINT;
    let bytes = render(&one(curves()), &page(width, 170.0), Format::Pdf).unwrap();
    let text = String::from_utf8_lossy(&bytes);
    let start = text.find("/MediaBox").expect("a page has a size") + "/MediaBox".len();
    let numbers: Vec<f32> = text[start..]
        .trim_start_matches([' ', '['])
        .split(']')
        .next()
        .unwrap()
        .split_whitespace()
        .map(|n| n.parse().unwrap())
        .collect();
    assert_eq!(numbers[..2], [0.0, 0.0]);
    assert!((numbers[2] * MM_PER_POINT - 89.0).abs() < 0.01, "{} mm", numbers[2] * MM_PER_POINT);
    assert!((numbers[3] - 170.0).abs() < 0.01);
    for part in ["/ToUnicode", "/FontFile2", "/CIDFontType2", "LiberationSans", "data.csv"] {
        assert!(text.contains(part), "{part} is missing");
    }
    assert!(!text.contains("/Type3"), "journals refuse Type 3 fonts");
}

#[test]
fn a_png_knows_its_resolution_and_where_it_comes_from() {
    let mut page = page(144.0, 72.0);
    page.dpi = 150.0;
    page.provenance.sheet = "[[panel]]".into();
    let bytes = render(&one(curves()), &page, Format::Png).unwrap();
    let reader = ::png::Decoder::new(std::io::Cursor::new(&bytes)).read_info().unwrap();
    let info = reader.info();
    assert_eq!((info.width, info.height), (300, 150));
    let dims = info.pixel_dims.unwrap();
    assert_eq!((dims.xppu, dims.yppu, dims.unit), (5906, 5906, ::png::Unit::Meter));
    let chunk = info.utf8_text.iter().find(|t| t.keyword == provenance::KEYWORD).unwrap();
    assert_eq!(Provenance::from_json(&chunk.get_text().unwrap()).unwrap(), page.provenance);
}

#[test]
fn a_flat_matrix_has_no_seams_at_any_resolution() {
    let mut plot = attention(40);
    plot.color_bar = None;
    (plot.x, plot.y) = (
        Axis { range: (0.0, 40.0), ticks: Ticks::Hidden, ..Axis::default() },
        Axis { range: (40.0, 0.0), ticks: Ticks::Hidden, ..Axis::default() },
    );
    if let Mark::Heat(heat) = &mut plot.marks[0] {
        heat.values = vec![0.0; 1600].into();
        heat.causal = false;
    }
    let figure = Figure { plots: vec![plot], columns: 1, ..Figure::default() };
    let scene = layout(&figure, [252.0, 252.0], &Style::light());
    let fill = ColorMap::Viridis.at(0.0);
    for dpi in [72.0, 97.0, 150.0, 300.0] {
        let (width, height, rgba) = png::pixels(&scene, dpi).unwrap();
        let inset = |n: u32| (n / 10)..(n - n / 10);
        for y in inset(height) {
            for x in inset(width) {
                let i = (y * width + x) as usize * 4;
                let pixel = Color::rgb(rgba[i], rgba[i + 1], rgba[i + 2]);
                assert_eq!(pixel, fill, "at {x}, {y}, {dpi} dpi");
            }
        }
    }
}

#[test]
fn boxes_that_touch_show_no_seam_between_them() {
    let dark = Color::rgb(20, 60, 90);
    let cell = |x: usize, y: usize| Cell {
        from: [x as f64, y as f64],
        to: [x as f64 + 1.0, y as f64 + 1.0],
        text: String::new(),
        fill: Some(dark),
        stroke: None,
        ink: dark,
        pick: Pick::Nothing,
        hover: String::new(),
        value: None,
    };
    // A corner is missing: its neighbours must not reach over it.
    let cells = (0..36).map(|i| (i % 6, i / 6)).filter(|at| *at != (5, 5));
    let axis = |range| Axis { range, ticks: Ticks::Hidden, ..Axis::default() };
    let plot = Plot {
        x: axis((0.0, 6.0)),
        y: axis((6.0, 0.0)),
        marks: vec![Mark::Cells(cells.map(|(x, y)| cell(x, y)).collect())],
        ..Plot::default()
    };
    let figure = Figure { title: String::new(), ..one(plot) };
    let scene = layout(&figure, [101.0, 101.0], &Style::light());
    for dpi in [72.0, 97.0, 150.0, 300.0] {
        let (width, height, rgba) = png::pixels(&scene, dpi).unwrap();
        let pixel = |x: f64, y: f64| {
            let i = 4
                * ((y * f64::from(height)) as usize * width as usize
                    + (x * f64::from(width)) as usize);
            Color::rgb(rgba[i], rgba[i + 1], rgba[i + 2])
        };
        for row in 10..800 {
            for column in 10..800 {
                let (x, y) = (f64::from(column) / 1000.0, f64::from(row) / 1000.0);
                if x > 0.1 && y > 0.1 {
                    assert_eq!(pixel(x, y), dark, "at {x}, {y} with {dpi} dpi");
                }
            }
        }
        assert_eq!(pixel(0.9, 0.9), Style::light().paper);
    }
}

#[test]
fn absent_cells_are_paper_in_files_too() {
    let scene = layout(&one(attention(10)), [252.0, 252.0], &Style::light());
    let (width, _, rgba) = png::pixels(&scene, 144.0).unwrap();
    let color_at = |[x, y]: [f32; 2]| {
        let i = ((y * 2.0) as usize * width as usize + (x * 2.0) as usize) * 4;
        Color::rgb(rgba[i], rgba[i + 1], rgba[i + 2])
    };
    let white = Color::rgb(255, 255, 255);
    for row in 0..10 {
        for column in 0..10 {
            let found = color_at(middle_of(&scene, row as f32, column as f32, 10.0));
            let expected = match column > row {
                true => white,
                false => ColorMap::Viridis.at((row + column) as f32 / 20.0),
            };
            assert_eq!(found, expected, "row {row}, column {column}");
        }
    }
}

/// The rows of a CSV of one series and kind, as text.
fn rows_of(figure: &Figure, series: &str, kind: &str) -> Vec<csv::StringRecord> {
    let bytes = render(figure, &Page::column(), Format::Csv).unwrap();
    let mut reader = csv::Reader::from_reader(bytes.as_slice());
    reader.records().map(Result::unwrap).filter(|r| &r[1] == series && &r[2] == kind).collect()
}

#[test]
fn the_table_holds_exactly_the_numbers_drawn() {
    let points = [[0.1, 1.0 / 3.0], [1e-300, -2.5e17], [3.0, f64::MAX]];
    let mut plot = curves();
    plot.marks = vec![curve("odd numbers", &points)];
    let back: Vec<[f64; 2]> = rows_of(&one(plot), "odd numbers", "line")
        .iter()
        .map(|r| [r[3].parse().unwrap(), r[4].parse().unwrap()])
        .collect();
    assert_eq!(back, points);

    let cells = rows_of(&one(attention(6)), "attention", "cell");
    assert_eq!(cells.len(), 21, "only cells that exist");
    for cell in &cells {
        let (column, row): (usize, usize) = (cell[3].parse().unwrap(), cell[4].parse().unwrap());
        assert_eq!(cell[5].parse::<f32>().unwrap(), (row + column) as f32 / 12.0);
        assert_eq!((&cell[6], &cell[7]), (&*tokens(6)[column], &*tokens(6)[row]));
    }
}

#[test]
fn a_token_is_no_formula() {
    let mut plot = attention(2);
    let odd = ["=1+1".to_owned(), "@a".to_owned()];
    plot.x.ticks = named(&odd);
    let cells = rows_of(&one(plot), "attention", "cell");
    assert_eq!(&cells[0][6], "'=1+1");
}

#[test]
fn the_ending_of_a_name_decides_the_format() {
    let format = |name: &str| Format::from_path(std::path::Path::new(name));
    assert_eq!(format("a/b.pdf").unwrap(), Format::Pdf);
    assert_eq!(format("B.SVG").unwrap(), Format::Svg);
    for wrong in ["a.bmp", "a", "pdf"] {
        let message = format(wrong).unwrap_err().message;
        assert!(message.contains(wrong) && message.contains(".pdf"), "{message}");
    }
}

#[test]
fn lengths_have_units() {
    let close = |text: &str, points: f32| (parse_length(text).unwrap() - points).abs() < 1e-3;
    assert!(close("89mm", 252.2835) && close("3.5in", 252.0) && close("252pt", 252.0));
    assert!(close(" 8.9 cm ", 252.2835));
    assert!(close("1mm", 2.8346));
    for wrong in ["", "89", "mm", "-3mm", "0mm", "0.99mm", "nanmm", "infmm", "NaN", "1e9in", "3px"]
    {
        let message = parse_length(wrong).unwrap_err().message;
        assert!(message.contains("89mm"), "{message}");
    }
}

#[test]
fn a_file_is_replaced_only_when_asked() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.svg");
    save(&path, b"first", false).unwrap();
    let message = save(&path, b"second", false).unwrap_err().message;
    assert!(message.contains("a.svg"), "{message}");
    assert_eq!(std::fs::read(&path).unwrap(), b"first");
    save(&path, b"third", true).unwrap();
    assert_eq!(std::fs::read(&path).unwrap(), b"third");
    let left = std::fs::read_dir(folder.path()).unwrap().count();
    assert_eq!(left, 1, "nothing else stays behind");
    // A missing folder is made; one that is a file cannot be.
    let path = folder.path().join("new/one/b.svg");
    save(&path, b"x", false).unwrap();
    assert_eq!(std::fs::read(&path).unwrap(), b"x");
    let message = save(&path.join("c.svg"), b"x", true).unwrap_err().message;
    assert!(message.contains("b.svg is a file"), "{message}");
    assert_eq!(std::fs::read(&path).unwrap(), b"x");
}

/// A file that nobody writes any more is what a writer that was killed leaves.
#[test]
fn what_killed_writers_of_a_name_left_goes_with_the_next_one_and_the_rest_stays() {
    let folder = tempfile::tempdir().unwrap();
    let place = |name: &str| folder.path().join(name);
    for name in [".k.npz.4194999.tmp", ".k.npz.12.tmp", ".other.npz.7.tmp", ".k.npz.x.tmp"] {
        std::fs::write(place(name), "half").unwrap();
    }
    // Another process is at work on the same name.
    let held = std::fs::File::create(place(".k.npz.77.tmp")).unwrap();
    held.lock().unwrap();
    save(&place("k.npz"), b"whole", false).unwrap();
    let entries = std::fs::read_dir(folder.path()).unwrap();
    let mut left: Vec<String> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    left.sort();
    assert_eq!(left, [".k.npz.77.tmp", ".k.npz.x.tmp", ".other.npz.7.tmp", "k.npz"]);
}

#[test]
fn a_picture_too_large_is_refused_with_its_size() {
    let mut page = page(5000.0, 5000.0);
    page.dpi = 2400.0;
    let error = render(&one(curves()), &page, Format::Png).unwrap_err();
    assert!(error.message.contains("166667"), "{}", error.message);
}

// ---- clouds

fn only_cloud(figure: &mut Figure) -> &mut Cloud {
    let mut marks = figure.plots.iter_mut().flat_map(|plot| &mut plot.marks);
    let found = marks.find_map(|m| if let Mark::Cloud(cloud) = m { Some(cloud) } else { None });
    found.unwrap()
}

#[test]
fn a_file_shows_a_cloud_in_space_as_it_is_turned_moved_and_zoomed() {
    let camera = Camera { yaw: 0.7, pitch: -0.2, zoom: 2.0, shift: [0.25, -0.5] };
    let mut figure = one(small_cloud());
    let before = only_cloud(&mut figure).clone();
    camera.take(&mut figure);
    let plot = &figure.plots[0];
    assert_eq!((plot.x.range, plot.y.range), ((-0.5, 1.0), (-1.25, 0.25)));
    let after = only_cloud(&mut figure).clone();
    let turned = cloud::turned(&before.basis, &cloud::rotation(0.7, -0.2));
    assert_eq!(after.basis[..], turned);
    // The same depths that the window sorts by.
    let projected = cloud::project(&before.points, &before.basis, before.dims);
    let seen = cloud::project(&after.points, &after.basis, after.dims);
    assert_eq!(
        cloud::order(&before, &projected, &cloud::rotation(0.7, -0.2)),
        cloud::order(&after, &seen, &cloud::UNTURNED)
    );
    // In the plane nothing turns.
    let mut flat = one(small_cloud());
    only_cloud(&mut flat).three_d = false;
    camera.take(&mut flat);
    assert_eq!(only_cloud(&mut flat).basis, before.basis);
    assert_eq!(flat.plots[0].x.range, (-0.5, 1.0));
}

#[test]
fn in_the_plane_points_that_step_back_lie_below() {
    let mut figure = one(small_cloud());
    let cloud = only_cloud(&mut figure);
    cloud.three_d = false;
    let mut colors = cloud.colors.to_vec();
    colors.iter_mut().skip(5).step_by(3).for_each(|color| color.a = 60);
    cloud.colors = colors.into();
    let projected = cloud::project(&cloud.points, &cloud.basis, cloud.dims);
    let order = cloud::order(cloud, &projected, &cloud::UNTURNED);
    let opaque: Vec<u32> =
        order.iter().copied().skip_while(|i| cloud.colors[*i as usize].a < 255).collect();
    assert!(opaque.iter().all(|i| cloud.colors[*i as usize].a == 255));
    assert_eq!(opaque.len(), 28);
    assert!(opaque[..27].is_sorted() && opaque[27] == 3, "the selected one last: {opaque:?}");
}

#[test]
fn a_selected_point_has_a_ring_in_a_file() {
    let figure = one(small_cloud());
    let scene = layout(&figure, [200.0, 200.0], &Style::light());
    let item = scene.items.iter().find_map(|item| {
        if let Item::Cloud { min, max, cloud, x, y } = item {
            Some((cloud, *min, *max, *x, *y))
        } else {
            None
        }
    });
    let (cloud, min, max, x, y) = item.unwrap();
    let discs = cloud::discs(cloud, min, max, x, y);
    let disc = discs.iter().find(|disc| disc.index == 3).unwrap();
    let rings: Vec<Vec<[f32; 2]>> = cloud::primitives(cloud, min, max, x, y)
        .into_iter()
        .filter_map(|item| {
            if let Item::Polyline { points, .. } = item
                && points.len() > 2
            {
                Some(points)
            } else {
                None
            }
        })
        .collect();
    assert_eq!(rings.len(), 1);
    for [px, py] in &rings[0] {
        let away = (px - disc.center[0]).hypot(py - disc.center[1]);
        assert!(away > 1.5 * disc.radius && away < 1.8 * disc.radius, "{away}");
    }
}

/// A cloud in the plane with one point in view and one of another sequence, in a window of 200 by 200.
fn two_points() -> Cloud {
    Cloud {
        name: "two points".into(),
        dims: 2,
        points: [-0.5, 0.0, 0.5, 0.0].into(),
        basis: [1.0, 0.0, 0.0, 1.0, 0.0, 0.0].into(),
        colors: [Color::rgb(255, 0, 0), Color::rgb(0, 0, 255)].into(),
        diameter: 4.0,
        picks: [Pick::Query(3), Pick::CloudPoint { sequence: 1, position: 7, is_key: false }]
            .into(),
        hovers: ["what is said of the first".to_owned(), "of the second".to_owned()].into(),
        three_d: false,
        links: Vec::new(),
        rings: vec![0],
    }
}

#[test]
fn in_the_window_a_point_says_its_words_and_shift_makes_it_the_key() {
    use egui_kittest::kittest::Queryable;
    let (mut camera, mut kept) = (Camera::default(), Kept::default());
    let cloud = two_points();
    let draw = move |ui: &mut egui::Ui, picked: &mut Vec<(Pick, bool)>| {
        let room = egui::Rect::from_min_size(egui::Pos2::ZERO, egui::vec2(200.0, 200.0));
        let place = Place { room, x: (-1.0, 1.0), y: (-1.0, 1.0) };
        let refusal = Default::default();
        let canvas = CloudCanvas { camera: &mut camera, kept: &mut kept, refusal: &refusal };
        let painter = ui.painter().clone();
        let found = show(ui, &painter, place, &cloud, canvas);
        picked.extend(found.into_iter().map(|picked| (picked.pick, picked.shift)));
    };
    let builder = egui_kittest::Harness::builder().with_size([200.0, 200.0]);
    let mut harness = builder.build_ui_state(draw, Vec::new());
    let click =
        |harness: &mut egui_kittest::Harness<'_, Vec<(Pick, bool)>>, x: f32, shift: bool| {
            let modifiers = if shift { egui::Modifiers::SHIFT } else { egui::Modifiers::NONE };
            let pos = egui::pos2(x, 100.0);
            harness.hover_at(pos);
            for pressed in [true, false] {
                let button = egui::PointerButton::Primary;
                let event = egui::Event::PointerButton { pos, button, pressed, modifiers };
                harness.event_modifiers(event, modifiers);
            }
            harness.run_steps(3);
        };
    harness.hover_at(egui::pos2(52.0, 101.0));
    harness.run_steps(4);
    assert!(harness.query_by_label("what is said of the first").is_some());
    click(&mut harness, 50.0, false);
    click(&mut harness, 50.0, true);
    click(&mut harness, 150.0, false);
    click(&mut harness, 150.0, true);
    click(&mut harness, 100.0, false);
    let point = |is_key| Pick::CloudPoint { sequence: 1, position: 7, is_key };
    assert_eq!(
        *harness.state(),
        [
            (Pick::Query(3), false),
            (Pick::Query(3), true),
            (point(false), false),
            (point(true), true)
        ]
    );
}

// ---- lines

#[test]
fn each_kind_of_dash_is_another_in_an_svg() {
    let line = |dash| Mark::Line {
        name: String::new(),
        points: [[0.0, 0.0], [1.0, 1.0]].into(),
        color: Color::rgb(0, 0, 0),
        width: 1.0,
        dash,
    };
    let figure = |dash| one(Plot { marks: vec![line(dash)], ..Plot::default() });
    let mut seen = Vec::new();
    for dash in [Dash::Solid, Dash::Dashed, Dash::Dotted, Dash::Long] {
        let text = svg_of(&figure(dash), &page(200.0, 100.0));
        let pattern = text.split("stroke-dasharray=\"").nth(1).map(|rest| rest[..3].to_owned());
        assert_eq!(pattern.is_none(), dash == Dash::Solid);
        assert!(!seen.contains(&pattern), "{dash:?}");
        seen.push(pattern);
    }
}

#[test]
fn a_file_holds_a_thinned_line_that_looks_like_the_whole_one() {
    let mut points: Vec<[f64; 2]> =
        (0..100_000).map(|i| [f64::from(i), f64::from(i % 7)]).collect();
    points[54_321][1] = 50.0;
    let plot = Plot {
        x: Axis { range: (0.0, 1e5), ..Axis::default() },
        y: Axis { range: (0.0, 50.0), ..Axis::default() },
        marks: vec![curve("long", &points)],
        ..Plot::default()
    };
    let csv =
        String::from_utf8(render(&one(plot), &page(100.0, 80.0), Format::Csv).unwrap()).unwrap();
    let rows = csv.lines().count();
    assert!(rows > 300 && rows < 402, "{rows} rows");
    assert!(csv.contains(",54321,50\n"));
}

#[test]
fn a_logarithmic_axis_of_any_length_has_few_lines() {
    let lines = |bounds| {
        let input = egui_plot::GridInput { bounds, base_step_size: 1.0 };
        mnemoscope::app::panes::curves::decades(input)
    };
    assert_eq!(lines((0.0, 2.0)).len(), 9);
    for bounds in [(-1e9, 1e9), (0.0, 300.0), (f64::NEG_INFINITY, f64::INFINITY)] {
        let lines = lines(bounds);
        assert!(lines.len() >= 10 && lines.len() <= 3 * 25, "{bounds:?}: {}", lines.len());
    }
}

#[test]
fn a_line_on_logarithmic_axes_is_drawn_at_its_logarithms() {
    use mnemoscope::app::panes::curves::decimated_on;
    let points: Vec<[f64; 2]> = (0..1000).map(|i| [f64::from(i), f64::from(i)]).collect();
    let drawn = decimated_on(&points, (Along::Logarithms, Along::Logarithms), 0.0..=3.0, 10_000);
    assert_eq!(drawn.len(), 999, "zero has no place");
    assert_eq!(drawn[9], [1.0, 1.0]);
    let few = decimated_on(&points, (Along::Logarithms, Along::Values), 0.0..=3.0, 50);
    assert!(few.len() <= 104 && few.contains(&[3f64.min(999f64.log10()), 999.0]), "{few:?}");
}

#[test]
fn the_dashes_of_a_rough_line_are_stretches_of_its_axis() {
    use mnemoscope::figure::dash::{is_rough, pieces};
    let calm: Vec<[f64; 2]> =
        (0..=100).map(|i| [f64::from(i), 50.0 - 0.3 * f64::from(i)]).collect();
    let rough: Vec<[f64; 2]> =
        (0..=400).map(|i| [0.25 * f64::from(i), f64::from(i % 2) * 6.0]).collect();
    assert!(!is_rough(&calm) && is_rough(&rough));
    let width = |piece: &Vec<[f64; 2]>| piece[piece.len() - 1][0] - piece[0][0];
    for (line, fewest, most) in [(&calm, 9, 11), (&rough, 25, 50)] {
        let pieces = pieces(line, [6.0, 4.0]);
        assert!((fewest..=most).contains(&pieces.len()), "{}", pieces.len());
        let drawn: f64 = pieces.iter().map(width).sum();
        assert!((50.0..70.0).contains(&drawn), "{drawn} of 100");
        assert!(pieces.windows(2).all(|two| two[0][two[0].len() - 1][0] <= two[1][0][0]));
    }
    // A jump is seen though its way is long.
    assert!(pieces(&[[0.0, 0.0], [1.0, 90.0]], [6.0, 4.0]).len() > 5);
}
