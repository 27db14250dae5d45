//! Queries and keys of the selected head as one cloud: near points attend to each other.

use std::sync::{Arc, Mutex, PoisonError};

use crate::figure::color::Color;
use crate::figure::{Axis, Cloud, Figure, LegendEntry, Mark, Pick, Plot, Ticks};
use crate::record::array::Array;
use crate::record::geometry::{Basis, QueriesKeys, Scale, align, arrange, centered, pca, starts};
use crate::record::knobs::{Knobs, Slot, Spec};
use crate::record::question::{ProbeCall, Reading};

use super::answer::{Pattern, array, number, pattern, place, reading, sentence, step_text, tokens};
use super::tokens::as_id;
use super::{NetShape, Panel, Selection, View, ink};

crate::choices! {
    /// What colours the points.
    pub enum ColorBy {
        Kind = "query or key",
        Role = "role",
        Token = "token",
        Position = "position",
        Norm = "norm",
    }
}

crate::choices! {
    /// In how many dimensions the cloud is drawn.
    pub enum Space {
        Plane = "2D",
        Volume = "3D",
    }
}

crate::knobs! {
    /// Settings of the panel `query_key`.
    pub struct Settings = "Queries and keys of the selected head in one space, over several sequences: a query lies near the keys that it attends to." {
        /// Draw the cloud in the plane of its two main axes, or in space, to be turned with the pointer.
        space: Space = Space::Plane, @live;
        /// What colours the points. Keys are paler than queries where both have a role, a token, a position or a norm.
        color: ColorBy = ColorBy::Kind, @live;
        /// How many sequences to draw. The first ones come first.
        sequences: usize = 4, in 1..=64, @live;
        /// How the factor c is chosen that shrinks queries and stretches keys; attention stays the same for every c. By correlation: so that near points attend most to each other. By norms: so that both are equally long.
        scale: Scale = Scale::Correlation, @live;
        /// Join the selected query to the keys that it attends to; the stronger, the more opaque the line.
        links: bool = true, @live;
        /// Diameter of the points.
        diameter: f64 = 3.5, in 0.5..=20.0, @live;
    }
}

/// The panel `query_key`. Besides its settings it remembers the axes that it drew last.
///
/// Principal axes are defined up to sign, and two of them swap when their variances cross: drawn as they
/// come, the cloud would flip from step to step. So each new basis is turned as near as it can to the one
/// before, for as long as layer and head stay the same. The first basis, and thus every figure made from a
/// file, follows a fixed convention: the largest entry of each axis is positive.
#[derive(Default)]
pub struct QueryKey {
    pub settings: Settings,
    last: Mutex<Option<Placed>>,
}

/// A cloud placed on its axes, and what it was made from.
#[derive(Clone)]
struct Placed {
    key: Key,
    queries: Array,
    keys: Array,
    /// `[2 * point, dim]`, centred: queries, then keys.
    points: Arc<[f32]>,
    basis: Basis,
    c: f64,
    correlation: f64,
}

#[derive(Clone, PartialEq)]
struct Key {
    layer: usize,
    head: usize,
    scale: Scale,
}

/// Attention below this draws no line.
const FAINTEST_LINK: f32 = 0.02;
/// Colour of the lines of attention, readable on black and on white.
const LINK: Color = Color::rgb(235, 165, 0);

impl Knobs for QueryKey {
    fn about(&self) -> &'static str {
        self.settings.about()
    }

    fn each(&mut self, visit: &mut dyn FnMut(&Spec, Slot<'_>)) {
        self.settings.each(visit);
    }
}

impl Panel for QueryKey {
    fn needs(&self, _net: &NetShape, selection: &Selection) -> Vec<ProbeCall> {
        let mut calls = vec![self.call(selection)];
        if self.settings.links {
            calls.push(ProbeCall::new("attention"));
        }
        calls
    }

    fn figure(&self, view: &View<'_>) -> Figure {
        self.draw(view).unwrap_or_else(|instead| instead)
    }
}

impl QueryKey {
    fn call(&self, selection: &Selection) -> ProbeCall {
        let whole = |n: usize| i64::try_from(n).unwrap_or(i64::MAX);
        ProbeCall::new("query_key")
            .with("layer", whole(selection.layer))
            .with("head", whole(selection.head))
            .with("sequences", whole(self.settings.sequences))
    }

    fn draw(&self, view: &View<'_>) -> Result<Figure, Figure> {
        let Selection { layer, head, .. } = *view.selection;
        if head >= view.net.heads.get(layer).copied().unwrap_or(0) {
            return Err(sentence(format!(
                "This network has no layer {layer}, head {head}: pick a head in the overview of heads."
            )));
        }
        let answer = reading(view, &self.call(view.selection))?;
        let labels = Labels::new(answer)?;
        let placed = self.placed(view, answer, &labels)?;
        let cloud = self.cloud(view, &labels, &placed);
        Ok(Figure {
            title: format!("Queries and keys of layer {layer}, head {head}, {}", step_text(view)),
            plots: vec![self.plot(view, &labels, &placed, cloud)],
            columns: 1,
            caption: caption(&placed),
            empty: None,
        })
    }

    /// The cloud on axes that follow those drawn before; computed once per answer.
    fn placed(&self, view: &View<'_>, answer: &Reading, labels: &Labels) -> Result<Placed, Figure> {
        let (queries, keys) = (array(answer, "queries", 2)?, array(answer, "keys", 2)?);
        if queries.shape != keys.shape || queries.shape[0] != labels.count {
            return Err(sentence(
                "The answer does not have one query and one key for each position.",
            ));
        }
        if queries.data.iter().chain(&*keys.data).any(|x| !x.is_finite()) {
            return Err(sentence(
                "Some queries or keys of this head are no finite numbers, so they have no place to be drawn: training has diverged. Go back to an earlier step.",
            ));
        }
        let Selection { layer, head, .. } = *view.selection;
        let key = Key { layer, head, scale: self.settings.scale };
        // A panic elsewhere cannot have left half a basis here: take it all the same.
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let before = last.take().filter(|p| (p.key.layer, p.key.head) == (layer, head));
        let same = |p: &&Placed| {
            p.key == key
                && Arc::ptr_eq(&p.queries.data, &queries.data)
                && Arc::ptr_eq(&p.keys.data, &keys.data)
        };
        let placed = match before.as_ref().filter(same) {
            Some(same) => same.clone(),
            None => place_cloud(key, queries, keys, labels, before.as_ref().map(|p| &p.basis)),
        };
        *last = Some(placed.clone());
        Ok(placed)
    }

    fn cloud(&self, view: &View<'_>, labels: &Labels, placed: &Placed) -> Cloud {
        let here = labels.sequence_in_view(tokens(view));
        let points = 2 * labels.count;
        let mut basis = placed.basis.rows.clone();
        basis.resize(3 * placed.basis.dims, 0.0);
        let norms = Norms::new(placed);
        let colors = (0..points).map(|i| self.point_color(view, labels, &norms, here, i));
        let picks = (0..points).map(|i| labels.pick(i, here));
        let hovers = (0..points).map(|i| labels.hover(view, &norms, i));
        Cloud {
            name: "queries and keys".to_owned(),
            dims: placed.basis.dims,
            points: placed.points.clone(),
            basis: basis.into(),
            colors: colors.collect(),
            #[expect(clippy::cast_possible_truncation, reason = "at most 20")]
            diameter: self.settings.diameter as f32,
            picks: picks.collect(),
            hovers: hovers.collect(),
            three_d: self.settings.space == Space::Volume,
            links: self.links(view, labels, here),
        }
    }

    /// Lines from the selected query to the keys of its sequence.
    fn links(
        &self,
        view: &View<'_>,
        labels: &Labels,
        here: Option<usize>,
    ) -> Vec<(u32, u32, Color)> {
        let Selection { layer, head, query, .. } = *view.selection;
        let (true, Some(query), Some(here)) = (self.settings.links, query, here) else {
            return Vec::new();
        };
        let Ok(answer) = reading(view, &ProbeCall::new("attention")) else { return Vec::new() };
        let Ok(pattern) = pattern(answer, layer, head) else { return Vec::new() };
        let Some(from) = labels.find(here, query) else { return Vec::new() };
        strongest(pattern, query)
            .filter_map(|(key, weight)| {
                let to = labels.find(here, key)? + labels.count;
                #[expect(
                    clippy::cast_possible_truncation,
                    clippy::cast_sign_loss,
                    reason = "0..=255"
                )]
                let alpha = (60.0 + 195.0 * weight.clamp(0.0, 1.0)) as u8;
                Some((u32::try_from(from).ok()?, u32::try_from(to).ok()?, LINK.alpha(alpha)))
            })
            .collect()
    }

    fn point_color(
        &self,
        view: &View<'_>,
        labels: &Labels,
        norms: &Norms,
        here: Option<usize>,
        point: usize,
    ) -> Color {
        let (i, is_key) = (point % labels.count, point >= labels.count);
        let kind = if is_key { ink::KEY } else { ink::QUERY };
        let full = match self.settings.color {
            ColorBy::Kind => kind,
            ColorBy::Role => ink::role(view.palette, labels.role(i)),
            ColorBy::Token => token_color(view, as_id(labels.token[i])),
            ColorBy::Position => ramp(view, kind, labels.position[i] / labels.last_position()),
            ColorBy::Norm => ramp(view, kind, norms.share(point)),
        };
        let pale = is_key && matches!(self.settings.color, ColorBy::Role | ColorBy::Token);
        let color = if pale { ink::mix(full, view.palette.paper, 0.45) } else { full };
        let selection = view.selection;
        let in_view = here == Some(labels.sequence[i]);
        let position = labels.place(i);
        let selected = if is_key { selection.key } else { selection.query };
        if in_view && selected == Some(position) {
            return view.palette.ink;
        }
        // With a query selected the other sequences step back, so that the lines can be followed.
        let aside = selection.query.is_some() && here.is_some() && !in_view;
        color.alpha(if aside { 60 } else { 190 })
    }

    fn plot(&self, view: &View<'_>, labels: &Labels, placed: &Placed, cloud: Cloud) -> Plot {
        let ranges = ranges(placed, self.settings.space);
        let axis = |i: usize| {
            let share = placed.basis.explained.get(i).copied().unwrap_or(0.0);
            let plane = self.settings.space == Space::Plane;
            let label = format!("axis {} ({:.0} % of variance)", i + 1, share * 100.0);
            Axis {
                label: if plane { label } else { String::new() },
                range: ranges[i],
                log: false,
                ticks: if plane { Ticks::Auto } else { Ticks::Hidden },
            }
        };
        Plot {
            x: axis(0),
            y: axis(1),
            equal: true,
            marks: vec![Mark::Cloud(cloud)],
            legend: self.legend(view, labels),
            ..Plot::default()
        }
    }

    fn legend(&self, view: &View<'_>, labels: &Labels) -> Vec<LegendEntry> {
        let entry = |text: &str, color, line| LegendEntry {
            text: text.to_owned(),
            color,
            line,
            dashed: false,
        };
        let mut legend = match self.settings.color {
            ColorBy::Kind => {
                vec![entry("query", ink::QUERY, false), entry("key", ink::KEY, false)]
            }
            ColorBy::Role => {
                let roles = view.roles.iter().enumerate();
                let mut legend: Vec<_> = roles
                    .map(|(i, name)| entry(name, ink::role(view.palette, Some(i)), false))
                    .collect();
                legend.push(entry("other", ink::role(view.palette, None), false));
                legend
            }
            ColorBy::Token => token_legend(view, labels),
            ColorBy::Position => vec![
                entry("query, later is stronger", ink::QUERY, false),
                entry("key, later is stronger", ink::KEY, false),
            ],
            ColorBy::Norm => vec![
                entry("query, longer is stronger", ink::QUERY, false),
                entry("key, longer is stronger", ink::KEY, false),
            ],
        };
        if let (Some(query), Some(_)) =
            (view.selection.query, labels.sequence_in_view(tokens(view)))
            && self.settings.links
        {
            legend.push(entry(&format!("attention of {}", place(view, query)), LINK, true));
        }
        legend
    }
}

/// What is known of each point, queries and keys alike.
struct Labels {
    count: usize,
    sequence: Vec<usize>,
    position: Arc<[f32]>,
    token: Arc<[f32]>,
    roles: Arc<[f32]>,
}

impl Labels {
    fn new(answer: &Reading) -> Result<Self, Figure> {
        let get = |name: &str| array(answer, name, 1).map(|a| a.data.clone());
        let (position, token, roles) = (get("position")?, get("token")?, get("roles")?);
        let count = position.len();
        if token.len() != count || roles.len() != count {
            return Err(sentence("The answer does not name the token and role of every point."));
        }
        Ok(Self { count, sequence: sequences(&position), position, token, roles })
    }

    fn role(&self, i: usize) -> Option<usize> {
        let bits = as_id(self.roles[i]);
        (bits != 0).then(|| bits.trailing_zeros() as usize)
    }

    fn place(&self, i: usize) -> usize {
        as_id(self.position[i]) as usize
    }

    fn last_position(&self) -> f32 {
        self.position.iter().copied().fold(1.0, f32::max)
    }

    /// The sequence of the cloud that has the same tokens as the one in view.
    fn sequence_in_view(&self, tokens: &[u32]) -> Option<usize> {
        if tokens.is_empty() {
            return None;
        }
        let mut first = 0;
        for run in self.sequence.chunk_by(|a, b| a == b) {
            let ids = &self.token[first..first + run.len()];
            if ids.iter().copied().map(as_id).eq(tokens.iter().copied()) {
                return Some(run[0]);
            }
            first += run.len();
        }
        None
    }

    /// The point of a position of a sequence, as a query.
    fn find(&self, sequence: usize, position: usize) -> Option<usize> {
        (0..self.count).find(|&i| self.sequence[i] == sequence && self.place(i) == position)
    }

    fn hover(&self, view: &View<'_>, norms: &Norms, point: usize) -> String {
        let (i, is_key) = (point % self.count, point >= self.count);
        let kind = if is_key { "key" } else { "query" };
        let token = view.vocab.glyph(as_id(self.token[i]));
        let role = self.role(i).and_then(|r| view.roles.get(r)).copied().unwrap_or("other");
        format!(
            "{kind} “{token}”, {role}\nposition {} of sequence {}, length {}",
            self.place(i),
            self.sequence[i],
            number(norms.lengths[point])
        )
    }

    fn pick(&self, point: usize, here: Option<usize>) -> Pick {
        let (i, is_key) = (point % self.count, point >= self.count);
        let (sequence, position) = (self.sequence[i], self.place(i));
        match (here == Some(self.sequence[i]), is_key) {
            (true, false) => Pick::Query(position),
            (true, true) => Pick::Key(position),
            (false, is_key) => Pick::CloudPoint { sequence, position, is_key },
        }
    }
}

/// The number of the sequence of each point: a new one begins wherever the position is 0.
fn sequences(positions: &[f32]) -> Vec<usize> {
    let mut current = 0;
    let number = |(i, position): (usize, &f32)| {
        current += usize::from(i > 0 && *position == 0.0);
        current
    };
    positions.iter().enumerate().map(number).collect()
}

fn place_cloud(
    key: Key,
    queries: &Array,
    keys: &Array,
    labels: &Labels,
    before: Option<&Basis>,
) -> Placed {
    let dims = queries.shape[1];
    let mut starts = starts(&labels.position);
    if starts.first() != Some(&0) {
        starts.insert(0, 0);
    }
    let input = QueriesKeys { queries: &queries.data, keys: &keys.data, dims, starts: &starts };
    let arranged = arrange(&input, key.scale);
    let points = centered(&arranged.points, dims);
    let axes = pca(&points, dims, 3);
    let basis = match before {
        Some(before) => align(&axes, before),
        None => axes,
    };
    Placed {
        key,
        queries: queries.clone(),
        keys: keys.clone(),
        points: points.into(),
        basis,
        c: arranged.c,
        correlation: arranged.correlation,
    }
}

/// The keys that a query attends to, with their weights.
fn strongest(pattern: Pattern<'_>, query: usize) -> impl Iterator<Item = (usize, f32)> {
    let row = pattern.row(query).iter().copied().enumerate().take(query + 1);
    row.filter(|(_, weight)| *weight >= FAINTEST_LINK)
}

/// Lengths of the queries and keys as the network has them, before they are scaled and moved.
struct Norms {
    lengths: Vec<f32>,
    low: f32,
    high: f32,
}

impl Norms {
    fn new(placed: &Placed) -> Self {
        let length = |x: &[f32]| x.iter().map(|v| v * v).sum::<f32>().sqrt();
        let rows =
            |a: &Array| -> Vec<f32> { (0..a.shape[0]).map(|i| length(a.outer(i))).collect() };
        let lengths = [rows(&placed.queries), rows(&placed.keys)].concat();
        let low = lengths.iter().copied().fold(f32::INFINITY, f32::min);
        let high = lengths.iter().copied().fold(0.0, f32::max);
        Self { lengths, low, high }
    }

    fn share(&self, point: usize) -> f32 {
        (self.lengths[point] - self.low) / (self.high - self.low).max(f32::MIN_POSITIVE)
    }
}

/// From a quarter to all of a colour: the beginning stays visible.
fn ramp(view: &View<'_>, color: Color, t: f32) -> Color {
    ink::mix(view.palette.paper, color, 0.25 + 0.75 * t.clamp(0.0, 1.0))
}

/// One of six colours: neighbours in the vocabulary differ.
fn token_color(view: &View<'_>, id: u32) -> Color {
    ink::line(view.palette, id as usize)
}

/// The most frequent tokens of the cloud with their colours; few colours must serve for all.
fn token_legend(view: &View<'_>, labels: &Labels) -> Vec<LegendEntry> {
    let mut counts = std::collections::BTreeMap::<u32, usize>::new();
    for id in &*labels.token {
        *counts.entry(as_id(*id)).or_default() += 1;
    }
    let mut by_count: Vec<(u32, usize)> = counts.into_iter().collect();
    by_count.sort_by_key(|&(id, count)| (std::cmp::Reverse(count), id));
    let entry = |&(id, _): &(u32, usize)| LegendEntry {
        text: view.vocab.glyph(id),
        color: token_color(view, id),
        line: false,
        dashed: false,
    };
    by_count.iter().take(8).map(entry).collect()
}

/// Ends of the two axes: what the cloud takes, and a margin.
fn ranges(placed: &Placed, space: Space) -> [(f64, f64); 2] {
    let padded = |(low, high): (f64, f64)| {
        let room = ((high - low) * 0.04).max(1e-6);
        (low - room, high + room)
    };
    let places = placed.points.chunks_exact(placed.basis.dims).map(|p| project(&placed.basis, p));
    if space == Space::Plane {
        let mut reach = [(0f64, 0f64); 2];
        for place in places {
            for (reach, x) in reach.iter_mut().zip(place) {
                *reach = (reach.0.min(x), reach.1.max(x));
            }
        }
        return reach.map(padded);
    }
    // Turned any way, nothing leaves a square around the farthest point.
    let square = |place: [f64; 3]| place.iter().map(|x| x * x).sum::<f64>();
    let far = places.map(square).fold(0.0, f64::max).sqrt();
    [padded((-far, far)), padded((-far, far))]
}

/// A point on the three axes; 0 on those that a narrow head does not have.
fn project(basis: &Basis, point: &[f32]) -> [f64; 3] {
    let mut place = [0.0; 3];
    for (x, axis) in place.iter_mut().zip(basis.rows.chunks_exact(basis.dims)) {
        *x = point.iter().zip(axis).map(|(p, a)| f64::from(p * a)).sum();
    }
    place
}

fn caption(placed: &Placed) -> String {
    let seen: f64 = placed.basis.explained.iter().take(2).sum();
    let correlation = if placed.correlation.is_finite() {
        format!(
            "correlation of distance and dot product of near points {:.2} (best: -1)",
            placed.correlation
        )
    } else {
        "too few near points to correlate distance and attention".to_owned()
    };
    #[expect(clippy::cast_possible_truncation, reason = "shown with three digits")]
    let c = number(placed.c as f32);
    format!(
        "Queries / c, keys × c with c = {c}; {correlation}. Axes 1 and 2 show {:.0} % of the variance.",
        seen * 100.0
    )
}
