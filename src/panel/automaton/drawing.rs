//! Where the states of a machine stand, and how its arrows run: on a circle of radius 1 around 0.

use std::f64::consts::{FRAC_PI_2, PI, TAU};

/// A place in the drawing, or a direction.
pub type At = [f64; 2];

/// Most radius of a state.
const LARGEST: f64 = 0.24;
/// How far an arrow bows in parts of its length, so that two that go to and fro lie apart; and at most in radii of a state, so that
/// it does not run across those beside its way.
const BOW: (f64, f64) = (0.14, 0.6);
/// How far a loop reaches beyond the rim of its state, in radii of it.
const REACH: f64 = 1.9;
/// Where an arrow ends, in radii of its state: a hair's breadth outside.
const RIM: f64 = 1.14;
/// The shares of its way at which what is said of an arrow may stand, the best first: nearer to where it begins, for the ways of many
/// cross in the middle.
const LABELS: [f64; 6] = [0.4, 0.33, 0.5, 0.58, 0.27, 0.66];
/// Half the angle between the ends of a loop.
const OPENING: f64 = 0.55;
/// Rounds in which places are exchanged at most.
const MOST_ROUNDS: usize = 64;

/// The states of a circle in an order in which those that lead to each other stand near: two are exchanged as long as that
/// shortens the ways. `next` is `[state][action]`.
pub fn around(next: &[Vec<Option<usize>>]) -> Vec<usize> {
    let count = next.len();
    let mut order: Vec<usize> = (0..count).collect();
    let mut shortest = ways(next, &order);
    for _ in 0..MOST_ROUNDS {
        let before = shortest;
        for (a, b) in (0..count).flat_map(|b| (0..b).map(move |a| (a, b))) {
            order.swap(a, b);
            match ways(next, &order) {
                shorter if shorter < shortest => shortest = shorter,
                _ => order.swap(a, b),
            }
        }
        if shortest == before {
            break;
        }
    }
    order
}

/// The steps around the circle that all arrows together make.
fn ways(next: &[Vec<Option<usize>>], order: &[usize]) -> usize {
    let mut place = vec![0; order.len()];
    order.iter().enumerate().for_each(|(at, state)| place[*state] = at);
    let way = |from: usize, to: usize| {
        let steps = place[from].abs_diff(place[to]);
        steps.min(order.len() - steps)
    };
    let from = |(state, row): (usize, &Vec<Option<usize>>)| {
        row.iter().flatten().map(|next| way(state, *next)).sum::<usize>()
    };
    next.iter().enumerate().map(from).sum()
}

/// Where the states of an order stand: the first one above, the others clockwise; two lie side by side.
pub fn places(order: &[usize]) -> Vec<At> {
    let mut places = vec![[0.0; 2]; order.len()];
    let first = if order.len() == 2 { PI } else { FRAC_PI_2 };
    for (at, state) in order.iter().enumerate() {
        let angle = first - TAU * at as f64 / order.len() as f64;
        places[*state] = [angle.cos(), angle.sin()];
    }
    places
}

/// Places inside the circle, for states that have none on it.
pub fn inside(count: usize) -> Vec<At> {
    let radius = if count == 1 { 0.0 } else { 0.48 };
    let order: Vec<usize> = (0..count).collect();
    places(&order).into_iter().map(|place| scaled(place, radius)).collect()
}

/// The radius of states of which the nearest two stand so.
pub fn radius(places: &[At]) -> f64 {
    let pairs = (0..places.len()).flat_map(|b| (0..b).map(move |a| (a, b)));
    let nearest =
        pairs.map(|(a, b)| length(minus(places[a], places[b]))).fold(f64::INFINITY, f64::min);
    LARGEST.min(0.25 * nearest)
}

/// An arrow from rim to rim: a cubic Bézier curve, and where its head begins.
#[derive(Clone, Debug, PartialEq)]
pub struct Bow {
    /// The curve up to its head.
    pub curve: [At; 4],
    /// The tip.
    pub tip: At,
    /// Where what is said of it may stand, the best first.
    pub labels: Vec<At>,
}

/// The arrow from one state to another, which bows to the left of its way. `radius` is that of states, `head` the length of its head.
pub fn bow(from: At, to: At, radius: f64, head: f64) -> Bow {
    let along = minus(to, from);
    let bend = BOW.0.min(BOW.1 * radius / length(along).max(1e-9));
    let aside = scaled([-along[1], along[0]], 4.0 / 3.0 * bend);
    let control = |share: f64| plus(plus(from, scaled(along, share)), aside);
    let whole = [from, control(1.0 / 3.0), control(2.0 / 3.0), to];
    let back = reversed(whole);
    let tip = radius * RIM;
    let [end, base] = [tip, tip + head].map(|from_middle| 1.0 - leaves(back, from_middle));
    let curve = part(whole, leaves(whole, radius), base);
    Bow { curve, tip: at(whole, end), labels: LABELS.map(|share| at(whole, share)).to_vec() }
}

/// The arrow from a state to itself, on the side away from the middle; upwards in the middle.
pub fn circuit(state: At, radius: f64, head: f64) -> Bow {
    let out = outwards(state);
    let end = |side: f64| turned(out, side * OPENING);
    let far = |side: f64| {
        plus(state, scaled(turned(out, 1.35 * side * OPENING), radius * (1.0 + 1.33 * REACH)))
    };
    let rim = |side: f64| plus(state, scaled(end(side), radius * RIM));
    let whole = [rim(1.0), far(1.0), far(-1.0), rim(-1.0)];
    let base = 1.0 - leaves(reversed(whole), head);
    let label = plus(at(whole, 0.5), scaled(out, 0.13));
    Bow { curve: part(whole, 0.0, base), tip: whole[3], labels: vec![label] }
}

/// Where the arrow of the start comes from: beside the loop of the state, if it has one.
pub fn beginning(state: At, radius: f64, has_loop: bool) -> [At; 2] {
    let out = outwards(state);
    let way = if has_loop { turned(out, 1.9 * OPENING) } else { out };
    [plus(state, scaled(way, radius + 0.3)), plus(state, scaled(way, radius * RIM))]
}

/// Where a box of these halves stands just beyond the first of two places, seen from the second.
pub fn beyond([from, to]: [At; 2], half: At) -> At {
    let away = minus(from, to);
    let away = scaled(away, 1.0 / length(away).max(1e-9));
    plus(from, [away[0] * half[0], away[1] * half[1]])
}

/// The direction away from the middle.
fn outwards(state: At) -> At {
    let far = length(state);
    if far > 1e-6 { scaled(state, 1.0 / far) } else { [0.0, 1.0] }
}

/// From which share of its way on a curve is so far from its beginning, for good.
fn leaves(curve: [At; 4], distance: f64) -> f64 {
    let inside = |share: &f64| length(minus(at(curve, *share), curve[0])) < distance;
    shares().take_while(inside).last().unwrap_or(0.0)
}

fn reversed([a, b, c, d]: [At; 4]) -> [At; 4] {
    [d, c, b, a]
}

/// Shares of a curve, finer than a drawing shows.
fn shares() -> impl Iterator<Item = f64> {
    (0..=200u8).map(|i| f64::from(i) / 200.0)
}

/// The place at a share of a cubic Bézier curve.
pub fn at([a, b, c, d]: [At; 4], share: f64) -> At {
    let rest = 1.0 - share;
    let weights =
        [rest.powi(3), 3.0 * share * rest.powi(2), 3.0 * share.powi(2) * rest, share.powi(3)];
    let sum =
        |i: usize| weights[0] * a[i] + weights[1] * b[i] + weights[2] * c[i] + weights[3] * d[i];
    [sum(0), sum(1)]
}

/// The part of a cubic Bézier curve between two shares of it, as such a curve: its ends, and its slopes there.
fn part(curve: [At; 4], from: f64, to: f64) -> [At; 4] {
    let third = (to - from) / 3.0;
    let (start, end) = (at(curve, from), at(curve, to));
    [
        start,
        plus(start, scaled(slope(curve, from), third)),
        minus(end, scaled(slope(curve, to), third)),
        end,
    ]
}

/// How fast and whither a curve goes at a share of it.
fn slope([a, b, c, d]: [At; 4], share: f64) -> At {
    let rest = 1.0 - share;
    let parts = [
        scaled(minus(b, a), 3.0 * rest * rest),
        scaled(minus(c, b), 6.0 * rest * share),
        scaled(minus(d, c), 3.0 * share * share),
    ];
    plus(plus(parts[0], parts[1]), parts[2])
}

fn plus(a: At, b: At) -> At {
    [a[0] + b[0], a[1] + b[1]]
}

fn minus(a: At, b: At) -> At {
    [a[0] - b[0], a[1] - b[1]]
}

fn scaled(a: At, by: f64) -> At {
    a.map(|x| x * by)
}

fn length(a: At) -> f64 {
    a[0].hypot(a[1])
}

fn turned([x, y]: At, angle: f64) -> At {
    [x * angle.cos() - y * angle.sin(), x * angle.sin() + y * angle.cos()]
}

/// Points of a circle, its first at both ends.
pub fn circle(middle: At, radius: f64) -> Vec<At> {
    let point = |i: u8| {
        let angle = TAU * f64::from(i) / 48.0;
        plus(middle, scaled([angle.cos(), angle.sin()], radius))
    };
    (0..=48).map(point).collect()
}
