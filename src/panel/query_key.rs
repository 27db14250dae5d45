//! Queries and keys of the selected head as one cloud: near points attend to each other.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::base::array::Array;
use crate::base::convert::{self, narrow};
use crate::base::plain::Plain;
use crate::base::question::{MeasurementCall, Reading};
use crate::figure::color::{Color, ColorMap, ROLES};
use crate::figure::{Along, Axis, Cloud, Dash, Figure, LegendEntry, Mark, Pick, Plot, Ticks};
use crate::numeric::geometry::{Basis, Scale, align};

use super::attention::FirstKey;
use super::outputs::{
    Pattern, array, attention_call, number, pattern, place, reading, sentence, step_text,
};
use super::tokens::as_id;
use super::{Memory, NetShape, Panel, PanelKind, Selection, View, colors, span};

/// What is known of it before one is made.
pub const KIND: PanelKind = PanelKind {
    title: "Query-key space",
    look_for: "Queries (tokens that ask) that lie among the keys (tokens that are looked at) which they attend to. Clusters of one role are an address.",
    click: "A click on a point selects its position, and brings its sequence into view. Drag to move or turn, scroll to zoom.",
    has_camera: true,
    is_of_head: true,
    ..PanelKind::new("query_key", || Box::<QueryKey>::default())
};

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

crate::settings! {
    /// The panel `query_key`.
    pub struct QueryKey = "Queries and keys of the selected head in one space, of the sequence in view and several others: a query lies near the keys that it attends to." {
        /// Draw the cloud in the plane of its two main axes, or in space, to be turned with the pointer.
        space: Space = Space::Plane, @live;
        /// What colours the points. Keys are paler than queries where both have a role or a token; the most frequent tokens have a colour each.
        color: ColorBy = ColorBy::Kind, @live;
        /// How many held-out sequences to draw behind the one in view. The first ones come first.
        sequences: usize = 4, in 1..=64, @live;
        /// How the factor c is chosen that shrinks queries and stretches keys; attention stays the same for every c. By correlation: so that near points attend most to each other. By norms: so that both are equally long.
        scale: Scale = Scale::Norms, @live;
        /// Whether the axes run over the positions after the first: as usual is so in networks of other programs, where the first takes what attention a head has to spare and lies far from all others.
        first_key: FirstKey = FirstKey::Usual, @live;
        /// Join the selected query to the keys that it attends to; the stronger, the more opaque the line.
        links: bool = true, @live;
        /// Diameter of the points.
        diameter: f64 = 3.5, in 0.5..=20.0, @live;
    }
}

/// A cloud on its axes, and what is the same in every picture of it: what is remembered of a figure.
///
/// Principal axes are defined up to sign, and two of them swap when their variances cross: drawn as they
/// come, the cloud would flip from step to step. So each new basis is turned as near as it can to the one
/// before, for as long as layer and head stay the same. The first basis, and thus every figure made from a
/// file, follows a fixed convention: the largest entry of each axis is positive.
#[derive(Clone)]
struct Placed {
    layer: usize,
    head: usize,
    /// `[2 * point, dim]`, centred: queries, then keys.
    points: Arc<[f32]>,
    basis: Basis,
    norms: Arc<Norms>,
    hovers: Arc<[String]>,
}

/// Attention below this draws no line.
const FAINTEST_LINK: f32 = 0.02;

/// Colour of the lines of attention: that of its maps.
fn link_color(view: &View<'_>) -> Color {
    ColorMap::Paper.on(view.palette.dark).at(0.65)
}

impl Panel for QueryKey {
    fn needs(&self, net: &NetShape, selection: &Selection) -> Vec<MeasurementCall> {
        let mut calls = vec![self.call(selection)];
        if self.links {
            calls.push(attention_call(net, selection));
        }
        calls
    }

    fn figure(&self, view: &View<'_>) -> Figure {
        self.next_figure(view, &mut Memory::default())
    }

    fn next_figure(&self, view: &View<'_>, memory: &mut Memory) -> Figure {
        self.draw(view, memory).unwrap_or_else(|instead| instead)
    }
}

impl QueryKey {
    fn call(&self, selection: &Selection) -> MeasurementCall {
        let whole = |n: usize| i64::try_from(n).unwrap_or(i64::MAX);
        MeasurementCall::new("query_key")
            .with("layer", whole(selection.layer))
            .with("head", whole(selection.head))
            .with("sequences", whole(self.sequences))
            .with("scale", self.scale.name())
    }

    fn draw(&self, view: &View<'_>, memory: &mut Memory) -> Result<Figure, Figure> {
        let Selection { layer, head, .. } = *view.selection;
        if head >= view.net.heads.get(layer).copied().unwrap_or(0) {
            return Err(sentence(format!(
                "This network has no layer {layer}, head {head}: pick a head in the overview of heads."
            )));
        }
        let answer = reading(view, &self.call(view.selection))?;
        let labels = Labels::new(view, answer)?;
        let placed = placed(view, answer, &labels, memory)?;
        let (links, unlinked) = self.links(view, &labels);
        let cloud = self.cloud(view, &labels, &placed, links);
        Ok(Figure {
            title: format!("Queries and keys of layer {layer}, head {head}, {}", step_text(view)),
            plots: vec![self.plot(view, &labels, &placed, cloud)],
            columns: 1,
            caption: span::sentences([
                caption(answer, &placed) + &unlinked,
                self.about_first(view).to_owned(),
            ]),
            ..Figure::default()
        })
    }

    fn about_first(&self, view: &View<'_>) -> &'static str {
        match self.first_key.is_apart(view.net) {
            true => "The first position of each sequence may lie outside.",
            false => "",
        }
    }

    fn cloud(
        &self,
        view: &View<'_>,
        labels: &Labels,
        placed: &Placed,
        links: Vec<(u32, u32, Color)>,
    ) -> Cloud {
        let points = 2 * labels.count;
        let mut basis = placed.basis.rows.clone();
        basis.resize(3 * placed.basis.dims, 0.0);
        let shades = Shades::new(self.color, labels, &placed.norms);
        let colors = (0..points).map(|i| self.point_color(view, labels, &shades, i));
        let picks = (0..points).map(|i| labels.pick(i));
        Cloud {
            name: "queries and keys".to_owned(),
            dims: placed.basis.dims,
            points: placed.points.clone(),
            basis: basis.into(),
            colors: colors.collect(),
            diameter: narrow(self.diameter),
            picks: picks.collect(),
            hovers: placed.hovers.clone(),
            three_d: self.space == Space::Volume,
            links,
            rings: labels.selected(view.selection),
        }
    }

    /// Lines from the selected query to the keys that it attends to; where they cannot be drawn, why.
    fn links(&self, view: &View<'_>, labels: &Labels) -> (Vec<(u32, u32, Color)>, String) {
        let Selection { layer, head, query, .. } = *view.selection;
        let none = |why: String| (Vec::new(), why);
        let (true, Some(query)) = (self.links, query) else { return none(String::new()) };
        let answer = match reading(view, &attention_call(view.net, view.selection)) {
            Ok(answer) => answer,
            Err(Figure { empty: Some(why), .. }) => return none(format!(" No lines: {why}")),
            Err(_) => return none(String::new()),
        };
        let (Ok(pattern), Some(from)) = (pattern(answer, layer, head), labels.find(query)) else {
            return none(String::new());
        };
        let link = |(key, weight): (usize, f32)| {
            let to = labels.find(key)? + labels.count;
            let alpha = convert::byte(60.0 + 195.0 * weight.clamp(0.0, 1.0));
            Some((
                u32::try_from(from).ok()?,
                u32::try_from(to).ok()?,
                link_color(view).alpha(alpha),
            ))
        };
        (strongest(pattern, query).filter_map(link).collect(), String::new())
    }

    fn point_color(
        &self,
        view: &View<'_>,
        labels: &Labels,
        shades: &Shades<'_>,
        point: usize,
    ) -> Color {
        let (i, is_key) = (point % labels.count, point >= labels.count);
        let kind = if is_key { colors::KEY } else { colors::QUERY };
        let full = match self.color {
            ColorBy::Kind => kind,
            ColorBy::Role => colors::role(view.palette, labels.role(i)),
            ColorBy::Token => shades.token(view, as_id(labels.token[i])),
            ColorBy::Position => ramp(view, kind, labels.position[i] / shades.last_position),
            ColorBy::Norm => ramp(view, kind, shades.norms.share(point)),
        };
        let pale = is_key && matches!(self.color, ColorBy::Role | ColorBy::Token);
        let color = if pale { colors::mix(full, view.palette.paper, 0.45) } else { full };
        let selection = view.selection;
        let in_view = labels.is_in_view(i);
        let selected = if is_key { selection.key } else { selection.query };
        if in_view && selected == Some(labels.place(i)) {
            return view.palette.ink;
        }
        // The sequence in view stands out; with a query selected the others step back further, so that its lines
        // can be followed.
        match (in_view, selection.query) {
            (true, _) => color,
            (false, None) => color.alpha(130),
            (false, Some(_)) => color.alpha(60),
        }
    }

    fn plot(&self, view: &View<'_>, labels: &Labels, placed: &Placed, cloud: Cloud) -> Plot {
        let apart = self.first_key.is_apart(view.net);
        let is_framed = |point: usize| !apart || labels.place(point % labels.count) > 0;
        let ranges = ranges(placed, self.space, &is_framed);
        let axis = |i: usize| {
            let share = placed.basis.explained.get(i).copied().unwrap_or(0.0);
            let plane = self.space == Space::Plane;
            let label = format!("axis {} ({:.0} % of variance)", i + 1, share * 100.0);
            Axis {
                label: if plane { label } else { String::new() },
                range: ranges[i],
                along: Along::Values,
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
        let mut legend = match self.color {
            ColorBy::Kind => {
                vec![
                    LegendEntry::square("query", colors::QUERY),
                    LegendEntry::square("key", colors::KEY),
                ]
            }
            ColorBy::Role => {
                let is_seen = |role| (0..labels.count).any(|i| labels.role(i) == role);
                let roles = view.roles.iter().enumerate().filter(|(i, _)| is_seen(Some(*i)));
                let mut legend: Vec<_> = roles
                    .map(|(i, name)| {
                        LegendEntry::square(*name, colors::role(view.palette, Some(i)))
                    })
                    .collect();
                if is_seen(None) {
                    let color = colors::role(view.palette, None);
                    legend.push(LegendEntry::square("other", color));
                }
                legend
            }
            ColorBy::Token => token_legend(view, labels),
            ColorBy::Position => vec![
                LegendEntry::square("query, later is stronger", colors::QUERY),
                LegendEntry::square("key, later is stronger", colors::KEY),
            ],
            ColorBy::Norm => vec![
                LegendEntry::square("query, longer is stronger", colors::QUERY),
                LegendEntry::square("key, longer is stronger", colors::KEY),
            ],
        };
        if let Some(query) = view.selection.query
            && self.links
        {
            let text = format!("attention of {}", place(view, query));
            legend.push(LegendEntry::line(text, link_color(view), Dash::Solid));
        }
        legend
    }
}

/// The cloud on axes that follow those drawn before; made once per answer.
fn placed(
    view: &View<'_>,
    answer: &Reading,
    labels: &Labels,
    memory: &mut Memory,
) -> Result<Placed, Figure> {
    let points = array(answer, "points", 2)?;
    let (axes, explained) = (array(answer, "axes", 2)?, array(answer, "explained", 1)?);
    let (dims, count) = (points.shape[1], axes.shape[0]);
    if points.shape[0] != 2 * labels.count || axes.shape[1] != dims || count > 3 {
        return Err(sentence("The answer does not have one query and one key for each position."));
    }
    if points.data.iter().chain(&*axes.data).any(|x| !x.is_finite()) {
        return Err(sentence(
            "Some queries or keys of this head are no finite numbers, so they have no place to be drawn: training has diverged. Go back to an earlier step.",
        ));
    }
    let Selection { layer, head, .. } = *view.selection;
    let before = memory.take::<Placed>().filter(|p| (p.layer, p.head) == (layer, head));
    let same = |p: &&Placed| Arc::ptr_eq(&p.points, &points.data);
    let placed = match before.as_ref().filter(same) {
        Some(same) => same.clone(),
        None => {
            let explained = explained.data.iter().map(|&share| f64::from(share)).collect();
            let axes = Basis { rows: axes.data.to_vec(), dims, explained };
            let basis = before.map_or_else(|| axes.clone(), |b| align(&axes, &b.basis));
            let norms = Norms::new(answer, labels)?;
            let hovers = (0..2 * labels.count).map(|i| labels.hover(view, &norms, i));
            let hovers = hovers.collect();
            let points = points.data.clone();
            Placed { layer, head, points, basis, norms: Arc::new(norms), hovers }
        }
    };
    memory.keep(placed.clone());
    Ok(placed)
}

/// What is known of each point, queries and keys alike.
struct Labels {
    count: usize,
    /// The number of the held-out sequence; below 0 the one in view.
    sequence: Arc<[f32]>,
    position: Arc<[f32]>,
    token: Arc<[f32]>,
    roles: Arc<[f32]>,
    /// First point of the sequence in view.
    here: Option<usize>,
}

impl Labels {
    fn new(view: &View<'_>, answer: &Reading) -> Result<Self, Figure> {
        let get = |name: &str| array(answer, name, 1).map(|a| a.data.clone());
        let (position, token, roles) = (get("position")?, get("token")?, get("roles")?);
        let sequence = get("sequence")?;
        let count = position.len();
        if [token.len(), roles.len(), sequence.len()].iter().any(|&n| n != count) {
            return Err(sentence("The answer does not name the token and role of every point."));
        }
        // An answer about another sequence than the one it came with names nothing of it.
        let here = sequence.iter().position(|&number| number < 0.0);
        let here = here.filter(|&at| {
            let ids = token[at..].iter().copied().map(as_id);
            view.readings.is_some_and(|r| ids.eq(r.prompt.tokens.iter().copied()))
        });
        Ok(Self { count, sequence, position, token, roles, here })
    }

    fn role(&self, i: usize) -> Option<usize> {
        let bits = as_id(self.roles[i]);
        (bits != 0).then(|| bits.trailing_zeros() as usize)
    }

    fn place(&self, i: usize) -> usize {
        as_id(self.position[i]) as usize
    }

    fn is_in_view(&self, i: usize) -> bool {
        self.here.is_some_and(|first| i >= first)
    }

    /// The point of a position of the sequence in view, as a query.
    fn find(&self, position: usize) -> Option<usize> {
        self.here.map(|first| first + position).filter(|&i| i < self.count)
    }

    /// The points of the selected query and key.
    fn selected(&self, selection: &Selection) -> Vec<u32> {
        let query = selection.query.and_then(|position| self.find(position));
        let key = selection.key.and_then(|position| self.find(position));
        let points = [query, key.map(|i| i + self.count)];
        points.into_iter().flatten().filter_map(|i| u32::try_from(i).ok()).collect()
    }

    /// First and one past the last point of the sequence of a point.
    fn sequence_of(&self, i: usize) -> (usize, usize) {
        let from = i.saturating_sub(self.place(i));
        let same = |j: &usize| self.sequence[*j] == self.sequence[i];
        (from, (i..self.count).take_while(same).last().map_or(i + 1, |last| last + 1))
    }

    fn hover(&self, view: &View<'_>, norms: &Norms, point: usize) -> String {
        let (i, is_key) = (point % self.count, point >= self.count);
        let kind = if is_key { "key" } else { "query" };
        let token = view.vocab.glyph(as_id(self.token[i]));
        let role = self.role(i).and_then(|r| view.roles.get(r)).copied().unwrap_or("other");
        let (from, to) = self.sequence_of(i);
        let which = if self.sequence[i] < 0.0 {
            "the sequence in view".to_owned()
        } else {
            format!("sequence {}", self.sequence[i])
        };
        format!(
            "{kind} “{token}”, {role}\nposition {} of {} in {which}\nnorm {}\n{}",
            self.place(i),
            to - from,
            number(norms.lengths[point]),
            self.around(view, (from, i, to))
        )
    }

    /// What stands around a point in its sequence, itself in brackets.
    fn around(&self, view: &View<'_>, (from, i, to): (usize, usize, usize)) -> String {
        let (first, end) = (i.saturating_sub(AROUND).max(from), (i + AROUND + 1).min(to));
        let glyph = |j: usize| {
            let glyph = view.vocab.glyph(as_id(self.token[j]));
            if j == i { format!("[{glyph}]") } else { glyph }
        };
        let text: String = (first..end).map(glyph).collect();
        let before = if first > from { "… " } else { "" };
        let after = if end < to { " …" } else { "" };
        format!("{before}{text}{after}")
    }

    fn pick(&self, point: usize) -> Pick {
        let (i, is_key) = (point % self.count, point >= self.count);
        let position = self.place(i);
        match (self.is_in_view(i), is_key) {
            (true, false) => Pick::Query(position),
            (true, true) => Pick::Key(position),
            (false, _) if self.sequence[i] < 0.0 => Pick::Nothing,
            (false, is_key) => {
                let sequence = as_id(self.sequence[i]) as usize;
                Pick::CloudPoint { sequence, position, is_key }
            }
        }
    }
}

/// Tokens that a hover shows on each side of its own.
const AROUND: usize = 24;

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
    fn new(answer: &Reading, labels: &Labels) -> Result<Self, Figure> {
        let (queries, keys) = (array(answer, "queries", 2)?, array(answer, "keys", 2)?);
        if [queries.shape[0], keys.shape[0]] != [labels.count; 2] {
            return Err(sentence(
                "The answer does not have one query and one key for each position.",
            ));
        }
        let length = |x: &[f32]| x.iter().map(|v| v * v).sum::<f32>().sqrt();
        let rows =
            |a: &Array| -> Vec<f32> { (0..a.shape[0]).map(|i| length(a.outer(i))).collect() };
        let lengths = [rows(queries), rows(keys)].concat();
        let low = lengths.iter().copied().fold(f32::INFINITY, f32::min);
        let high = span::most(&lengths);
        Ok(Self { lengths, low, high })
    }

    fn share(&self, point: usize) -> f32 {
        (self.lengths[point] - self.low) / (self.high - self.low).max(f32::MIN_POSITIVE)
    }
}

/// What the colours of single points are read from.
struct Shades<'a> {
    norms: &'a Norms,
    last_position: f32,
    /// Tokens with a colour of their own, by id: which one.
    tokens: BTreeMap<u32, usize>,
}

impl<'a> Shades<'a> {
    fn new(by: ColorBy, labels: &Labels, norms: &'a Norms) -> Self {
        let last_position = labels.position.iter().copied().fold(1.0, f32::max);
        let tokens = match by {
            ColorBy::Token => frequent(labels).into_iter().zip(0..).collect(),
            ColorBy::Kind | ColorBy::Role | ColorBy::Position | ColorBy::Norm => BTreeMap::new(),
        };
        Self { norms, last_position, tokens }
    }

    fn token(&self, view: &View<'_>, id: u32) -> Color {
        let own = self.tokens.get(&id).copied();
        own.map_or_else(|| colors::quiet(view.palette), |index| colors::line(view.palette, index))
    }
}

/// From a quarter to all of a colour: the beginning stays visible.
fn ramp(view: &View<'_>, color: Color, t: f32) -> Color {
    colors::mix(view.palette.paper, color, 0.25 + 0.75 * t.clamp(0.0, 1.0))
}

/// The most frequent tokens of the cloud, as many as there are colours that can be told apart.
fn frequent(labels: &Labels) -> Vec<u32> {
    let mut counts = BTreeMap::<u32, usize>::new();
    for id in &*labels.token {
        *counts.entry(as_id(*id)).or_default() += 1;
    }
    let mut by_count: Vec<(u32, usize)> = counts.into_iter().collect();
    by_count.sort_by_key(|&(id, count)| (std::cmp::Reverse(count), id));
    by_count.into_iter().take(ROLES).map(|(id, _)| id).collect()
}

/// The tokens that have a colour of their own, and the colour of all others.
fn token_legend(view: &View<'_>, labels: &Labels) -> Vec<LegendEntry> {
    let own = frequent(labels).into_iter().enumerate();
    let mut legend: Vec<LegendEntry> = own
        .map(|(i, id)| LegendEntry::square(view.vocab.glyph(id), colors::line(view.palette, i)))
        .collect();
    legend.push(LegendEntry::square("other tokens", colors::quiet(view.palette)));
    legend
}

/// Ends of the two axes: what the points that are to be in view take, and a margin.
fn ranges(placed: &Placed, space: Space, is_framed: &dyn Fn(usize) -> bool) -> [(f64, f64); 2] {
    let padded = |(low, high): (f64, f64)| {
        let room = ((high - low) * 0.04).max(1e-6);
        (low - room, high + room)
    };
    let points = || placed.points.chunks_exact(placed.basis.dims).enumerate();
    let all = || points().filter(|(i, _)| is_framed(*i)).map(|(_, p)| project(&placed.basis, p));
    let size = |place: [f64; 3]| place.iter().map(|x| x.abs()).fold(0.0, f64::max);
    let limit = span::limit(all().map(size));
    let places = all().filter(|place| size(*place) <= limit);
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

fn caption(answer: &Reading, placed: &Placed) -> String {
    let seen: f64 = placed.basis.explained.iter().take(2).sum();
    let number_of = |name: &str| answer.number(name).unwrap_or(f64::NAN);
    let correlation = number_of("correlation");
    let correlation = if correlation.is_finite() {
        format!(
            "correlation of distance and dot product of near points {:.2} (best: -1)",
            Plain(correlation)
        )
    } else {
        "too few near points to correlate distance and attention".to_owned()
    };
    let c = number(narrow(number_of("c")));
    format!(
        "Queries / c, keys × c with c = {c}; {correlation}. Axes 1 and 2 show {:.0} % of the variance.",
        seen * 100.0
    )
}
