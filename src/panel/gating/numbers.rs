//! The gates of all tuples as bars: what two networks, or two steps of one, are subtracted by.

use crate::figure::color::Color;
use crate::figure::{Axis, Figure, Mark, Plot, Ticks};

use super::parsed::{Facts, TokenMeaning};
use crate::panel::colors;

/// How far the door of each tuple is open, and how much of the attention of each read goes to what is held.
pub fn figure(facts: &Facts) -> Figure {
    let tuples = || facts.tuples.iter().enumerate();
    let opened =
        |(at, tuple): (usize, &TokenMeaning)| tuple.gate.is_told().then_some((at, tuple.gate.open));
    let read = |(at, tuple): (usize, &TokenMeaning)| {
        tuple.source.map(|source| (at, facts.attention(at, source)))
    };
    let input = bars("how far its door is open", colors::KEY, tuples().filter_map(opened));
    let output = bars("attention to what is held", colors::QUERY, tuples().filter_map(read));
    let plots = [("input gate", input), ("output gate", output)]
        .map(|(title, mark)| plot(title, mark, facts.tuples.len()));
    Figure { plots: plots.into(), columns: 1, ..Figure::default() }
}

fn bars(name: &str, color: Color, values: impl Iterator<Item = (usize, f32)>) -> Mark {
    let known = values.filter(|(_, value)| value.is_finite());
    let (at, values) = known.map(|(at, value)| (at as f64 + 0.5, f64::from(value))).unzip();
    Mark::Bars { name: name.to_owned(), at, values, base: 0.0, width: 0.7, color }
}

fn plot(title: &str, mark: Mark, tuples: usize) -> Plot {
    let names = (0..tuples).map(|at| (at as f64 + 0.5, at.to_string())).collect();
    let x = Axis { label: "tuple".to_owned(), range: (0.0, tuples as f64), ..Axis::default() };
    Plot {
        title: title.to_owned(),
        x: Axis { ticks: Ticks::At(names), ..x },
        y: Axis { label: "share".to_owned(), ..Axis::default() },
        marks: vec![mark],
        ..Plot::default()
    }
}
