//! The sequence in view as boxes with glyphs: roles, selection, and how well each position is predicted.

use crate::base::analysis::Generating;
use crate::base::batch::{NO_TARGET, Row};
use crate::base::convert::{self, narrow};
use crate::base::question::{MeasurementCall, Reading};
use crate::figure::color::{Color, ColorMap};
use crate::figure::{Anchor, Axis, Cell, Figure, LegendEntry, Mark, Pick, Plot, Ticks};

use super::outputs::{
    answers, attention_call, number, pattern, reading, sentence, sign, step_text,
};
use super::{
    NetShape, Palette, Panel, PanelKind, Selection, Stack, View, colors, compare, positions, span,
};

/// What is known of it before one is made.
pub const KIND: PanelKind = PanelKind {
    title: "Tokens",
    look_for: "Which letters are cue letters (triggers) and which are their answers in this text (outputs). The line under a box is as long as the probability of the right next token: lines that grow along the text are memory at work.",
    click: "A click makes a token the query (the token that asks); Shift and a click make it the key (the token that is looked at). Pointing at a box tells what should follow and what is predicted.",
    stack: Stack::LeftAbove,
    aspect: 0.5,
    is_of_head: true,
    ..PanelKind::new("tokens", || Box::<Tokens>::default())
};

crate::choices! {
    /// What colours the boxes.
    pub enum Shade {
        Role = "role",
        Attention = "attention",
        Loss = "loss",
        Probability = "probability",
    }
}

crate::settings! {
    /// The panel `tokens`.
    pub struct Tokens = "The sequence in view, token by token: its roles, what is selected, how well each position is predicted." {
        /// What colours the boxes: the role of the token, the attention it gets from the selected query in the selected head, the loss of its prediction, or the probability given to the right next token. Where it is not the role, that is a stripe above the letter.
        shade: Shade = Shade::Attention, @live;
        /// Join the selected query to the tokens that it attends to most by arcs, the thicker the more attention.
        arcs: bool = true, @live;
        /// Underline each token by the probability that the network gives to the right next token: a full line is certainty.
        underline: bool = true, @live;
        /// How the text goes on when the network is to continue it.
        generating: Generating = Generating::default();
    }
}

impl Panel for Tokens {
    fn needs(&self, net: &NetShape, selection: &Selection) -> Vec<MeasurementCall> {
        let mut calls = vec![MeasurementCall::new("predictions")];
        if self.shade == Shade::Attention || self.arcs {
            calls.push(attention_call(net, selection));
        }
        calls
    }

    fn figure(&self, view: &View<'_>) -> Figure {
        let readings = match answers(view, "Waiting for the first sequence.") {
            Ok(readings) => readings,
            Err(instead) => return instead,
        };
        let row = &*readings.prompt;
        if row.is_empty() {
            return sentence("The sequence is empty: type a text, or draw another one.");
        }
        let shading = Shading::new(self.shade, view, row);
        let asked = reading(view, &MeasurementCall::new("predictions"));
        let predictions = asked.as_ref().ok().copied();
        let flow = Flow::new(view, row, self.strongest(view));
        let title = format!("Sequence of {} tokens, {}", row.len(), step_text(view));
        Figure {
            title: if is_low(view) { String::new() } else { title },
            columns: 1,
            plots: vec![self.plot(view, row, &shading, predictions, &flow)],
            caption: format!(
                "{}{}",
                self.caption(view, &shading, &asked),
                positions::about(flow.in_view(), row.len())
            ),
            ..Figure::default()
        }
    }

    fn difference(&self, [a, b]: [&View<'_>; 2], _drawn: [&Figure; 2]) -> Figure {
        let shade = self.shade_of_difference(a, b);
        // Lines of another length are no difference.
        let boxes = Self { shade, arcs: false, underline: false, ..Self::default() };
        // Their captions say the scales of colours that are not those of a difference.
        let [of_a, of_b] =
            [a, b].map(|view| Figure { caption: String::new(), ..boxes.figure(view) });
        let mut figure = compare::subtracted([&of_a, &of_b], a.palette.dark);
        let Some(plot) = figure.plots.first_mut() else { return figure };
        let (lines, said) = predicts_another(a, b);
        plot.marks.extend(lines);
        let colors = format!("Colours: {}, A minus B.", shade.words());
        figure.caption = span::sentences([colors, said, figure.caption]);
        figure
    }
}

impl Tokens {
    /// Roles are the same in both, and so is attention where what is in force does not reach it.
    fn shade_of_difference(&self, a: &View<'_>, b: &View<'_>) -> Shade {
        let is_same = self.shade == Shade::Attention && attention(a) == attention(b);
        if is_same || self.shade == Shade::Role { Shade::Probability } else { self.shade }
    }
}

impl Shade {
    /// What the colours show.
    fn words(self) -> &'static str {
        match self {
            Self::Role => "role",
            Self::Attention => "attention it gets from the query",
            Self::Loss => "loss of its prediction",
            Self::Probability => RIGHT,
        }
    }
}

/// Lines under the tokens after which A predicts another one than B, and what they say.
fn predicts_another(a: &View<'_>, b: &View<'_>) -> (Vec<Mark>, String) {
    let positions = compare::differing_predictions(a, b);
    let Some(row) = a.readings.map(|readings| &*readings.prompt) else {
        return (Vec::new(), String::new());
    };
    let flow = Flow::new(a, row, None);
    let line = |position: &usize| {
        let (from, to) = flow.corners(*position);
        Mark::Rect {
            from: [from[0], to[1] + 0.03],
            to: [to[0], to[1] + 0.13],
            fill: Some(colors::changed(a.palette)),
            stroke: None,
            width: 0.0,
        }
    };
    let said = match positions.len() {
        0 => "After every token both predict the same.".to_owned(),
        n => format!("Underlined: A predicts another token than B ({n} of {}).", row.len()),
    };
    (positions.iter().map(line).collect(), said)
}

/// In a panel lower than this, in points, lines of text come before a title and before words about the lines below the boxes.
const LOW: f32 = 170.0;

fn is_low(view: &View<'_>) -> bool {
    view.size[1] < LOW
}

impl Tokens {
    /// The token that the query attends to most, where that is shown.
    fn strongest(&self, view: &View<'_>) -> Option<usize> {
        let is_shown = self.arcs || self.shade == Shade::Attention;
        let shares = attention(view).ok().filter(|_| is_shown)?;
        let strongest = shares.iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1))?;
        Some(strongest.0)
    }

    /// What the underlines are, or why there are none.
    fn caption(
        &self,
        view: &View<'_>,
        shading: &Shading,
        predictions: &Result<&Reading, Figure>,
    ) -> String {
        let underline = match (self.underline, predictions) {
            (true, Ok(_)) if is_low(view) => "",
            (true, Ok(_)) => "Underline: probability of the right next token.",
            (_, Err(instead)) => instead.empty.as_deref().unwrap_or(""),
            _ => "",
        };
        // Both may be awaited, which is said once.
        let mut parts = vec![shading.caption.as_str(), underline];
        parts.retain(|part| !part.is_empty());
        parts.dedup();
        parts.join(" ")
    }

    fn plot(
        &self,
        view: &View<'_>,
        row: &Row,
        shading: &Shading,
        predictions: Option<&Reading>,
        flow: &Flow,
    ) -> Plot {
        let cells = (0..row.len()).map(|position| {
            let fill = shading.fills[position];
            let (from, to) = flow.corners(position);
            Cell {
                from,
                to,
                text: sign(view, row, position),
                fill: Some(fill),
                stroke: match view.vocab.is_special(row.tokens[position]) {
                    true => Some(special(view.palette)),
                    false => shading.values.as_ref().map(|_| outline(view.palette)),
                },
                ink: colors::text_on(fill),
                pick: Pick::Query(position),
                hover: hover(view, row, predictions, position),
                value: shading.value(position),
            }
        });
        let mut marks = flow.line_numbers(view.palette.faint);
        marks.push(Mark::Cells(cells.collect()));
        marks.extend(specials(view, row, flow));
        marks.extend(characters(view, row, flow));
        if self.shade != Shade::Role {
            marks.extend(stripes(view.palette, row, flow));
        }
        if self.underline {
            marks.extend(underlines(view.palette, predictions, flow).map(Mark::Cells));
        }
        marks.extend(flow.strip(view.palette.paper));
        if self.arcs {
            marks.extend(arcs(view, flow));
        }
        marks.extend(outlines(view.selection, flow));
        Plot {
            x: Axis {
                range: (-flow.margin, flow.line_width),
                ticks: Ticks::Hidden,
                ..Axis::default()
            },
            y: Axis {
                range: (flow.first + flow.room, flow.edge()),
                ticks: Ticks::Hidden,
                ..Axis::default()
            },
            marks,
            scale: flow.scale,
            legend: legend(self.shade, view, row),
            ..Plot::default()
        }
    }
}

/// Where each token stands: lines of boxes that wrap, in units of the width of a one-sign box.
struct Flow {
    /// Line, left edge and width of each token.
    boxes: Vec<(usize, f64, f64)>,
    line_width: f64,
    /// Room for line numbers, left of the lines.
    margin: f64,
    /// The first line in view, and how many there is room for.
    first: f64,
    room: f64,
    /// Room in each line above its boxes, in lines, where tokens make characters only together.
    lead: f64,
    /// Room for arcs above the first line, in lines, where the query stands in it and nothing is hidden.
    above: f64,
    /// Letters are so many times as large as in an ordinary box.
    scale: f32,
}

/// Height of a line over the width of a one-sign box.
const LINE_HEIGHT: f64 = 1.7;
/// Width of a one-sign box in points: at most, with letters of ordinary size, and at least, so that a letter can be read.
const WIDEST: f64 = 32.0;
const ORDINARY: f64 = 17.0;
const NARROWEST: f64 = 11.5;
/// Room that arcs within the first line take above it, in lines.
const ABOVE: f64 = 0.6;
/// Size of the line numbers, in points.
const NUMBER_SIZE: f32 = 8.0;
/// Height of a character that several tokens make, above their boxes, in points.
const CHARACTER: f64 = 11.0;
/// Longer tokens are cut with an ellipsis by the box that they sit in.
const LONGEST: usize = 14;

impl Flow {
    /// `strongest`: the token that is to be in view with the query, where both have room.
    fn new(view: &View<'_>, row: &Row, strongest: Option<usize>) -> Self {
        // What title, legend, caption and line numbers take, in points.
        let digits = row.len().to_string().len() as f64;
        let margin = digits * 0.6 * f64::from(NUMBER_SIZE) + 6.0;
        let width = (f64::from(view.size[0]) - 12.0 - margin).max(40.0);
        let outside = if is_low(view) { 32.0 } else { 56.0 };
        let height = f64::from(view.size[1] - outside).max(20.0);
        let widths: Vec<f64> = (0..row.len())
            .map(|position| sign(view, row, position).chars().count().clamp(1, LONGEST))
            .map(|signs| 0.38 + 0.62 * signs as f64)
            .collect();
        let has_characters = !view.vocab.groups(&row.tokens).is_empty();
        let over = if has_characters { CHARACTER } else { 0.0 };
        let mut unit = WIDEST;
        loop {
            let (boxes, lines) = wrap(&widths, width / unit);
            let line_height = unit * LINE_HEIGHT + over;
            let (lines, room) = (lines as f64, height / line_height);
            let query = view.selection.query.and_then(|query| boxes.get(query));
            let above = if query.is_some_and(|(line, ..)| *line == 0) { ABOVE } else { 0.0 };
            let fits = lines + above <= room;
            if fits || unit <= NARROWEST {
                // Whole lines.
                let room = if fits { room - above } else { room.floor().max(1.0) };
                let first = first_line((view.selection, strongest), &boxes, (lines, room));
                let (line_width, margin) = (width / unit, margin / unit);
                let above = if fits { above } else { 0.0 };
                let scale = narrow((unit / ORDINARY).max(1.0));
                let lead = over / line_height;
                return Self { boxes, line_width, margin, first, room, lead, above, scale };
            }
            unit -= 0.5;
        }
    }

    /// First and one past the last position in view.
    fn in_view(&self) -> (usize, usize) {
        let lines = self.first..self.first + self.room;
        let is_seen = |(line, ..): &&(usize, f64, f64)| lines.contains(&(*line as f64));
        let first = self.boxes.iter().position(|one| is_seen(&one)).unwrap_or(0);
        (first, first + self.boxes.iter().filter(is_seen).count())
    }

    fn corners(&self, position: usize) -> ([f64; 2], [f64; 2]) {
        let (line, x, width) = self.boxes[position];
        ([x + 0.04, self.down(line, 0.1)], [x + width - 0.04, self.down(line, 0.84)])
    }

    /// So far down a line, of which 0 is where its boxes may begin and 1 its end.
    fn down(&self, line: usize, share: f64) -> f64 {
        line as f64 + self.lead + share * (1.0 - self.lead)
    }

    /// A curve from a box to another, which stands in the same line or above: over the line, or from the top of the one to the foot
    /// of the other. Where that is above the lines in view, it ends at the edge and points on.
    fn arc(&self, from: usize, to: usize, share: f32) -> Vec<Mark> {
        let middle = |position: usize| {
            let (left, right) = self.corners(position);
            (0.5 * (left[0] + right[0]), left[1], right[1])
        };
        let ((x0, top, _), (x1, other_top, foot)) = (middle(from), middle(to));
        let is_beyond = (self.boxes[to].0 as f64) < self.first;
        let (end, rise) = match is_beyond {
            true => (self.edge(), 0.45 * (top - self.edge()).clamp(0.2, 2.5)),
            false if self.boxes[from].0 == self.boxes[to].0 => {
                (other_top, (0.12 * (x1 - x0).abs()).clamp(0.25, 0.9))
            }
            false => (foot, 0.45 * (top - foot).abs().clamp(0.4, 2.5)),
        };
        let toward = if end < top { end + rise } else { end - rise };
        let arc = Mark::Arc {
            ends: [[x0, top], [x1, end]],
            by: [[x0, top - rise], [x1, toward]],
            color: colors::QUERY.alpha(190),
            width: 0.8 + 2.2 * share.clamp(0.0, 1.0),
        };
        let wedge = Mark::Wedge { at: [x1, self.edge()], color: colors::QUERY };
        if is_beyond { vec![arc, wedge] } else { vec![arc] }
    }

    /// The upper edge of the lines in view: where some are hidden above it there is room to point at them.
    fn edge(&self) -> f64 {
        if self.first > 0.0 { self.first - 0.25 } else { self.first - self.above }
    }

    /// Paper above the lines in view, over what is hidden there.
    fn strip(&self, paper: Color) -> Option<Mark> {
        let (from, to) = ([-self.margin, self.edge()], [self.line_width, self.first]);
        let strip = Mark::Rect { from, to, fill: Some(paper), stroke: None, width: 0.0 };
        (self.first > 0.0).then_some(strip)
    }

    /// The position of the first token of each line, left of it.
    fn line_numbers(&self, color: Color) -> Vec<Mark> {
        let is_first = |i: &usize| *i == 0 || self.boxes[i - 1].0 != self.boxes[*i].0;
        let number = |i: usize| Mark::Text {
            at: [-0.3 / f64::from(self.scale), self.down(self.boxes[i].0, 0.47)],
            text: i.to_string(),
            color,
            anchor: Anchor::Right,
            // As large on any scale.
            size: NUMBER_SIZE / self.scale,
        };
        (0..self.boxes.len()).filter(is_first).map(number).collect()
    }
}

/// The first of the lines in view, of which there is room for some: as far down as a hand has scrolled, else where the query (or
/// the key) is seen, with the key, or what the query attends to most, if there is room for both.
fn first_line(
    (selection, strongest): (&Selection, Option<usize>),
    boxes: &[(usize, f64, f64)],
    (lines, room): (f64, f64),
) -> f64 {
    let below = (lines - room).max(0.0);
    let farthest = boxes.len().saturating_sub(positions::IN_VIEW);
    if let Some(first) = selection.first.filter(|_| farthest > 0) {
        return (first.min(farthest) as f64 / farthest as f64 * below).round();
    }
    let line = |at: usize| boxes.get(at).map(|(line, ..)| *line as f64);
    let Some(last) = selection.query.or(selection.key).and_then(line) else { return 0.0 };
    if last < room {
        return 0.0;
    }
    // What it looks at stands before it: more of that is in view than of what follows.
    let other = selection.key.or(strongest).and_then(line).filter(|other| *other <= last);
    let spare = room - 1.0 - (last - other.unwrap_or(last));
    let after = if spare >= 0.0 { (0.5 * spare).floor() } else { 0.0 };
    (last - room + 1.0 + after).clamp(0.0, below)
}

/// Line, left edge and width of each box, and the number of lines.
fn wrap(widths: &[f64], line_width: f64) -> (Vec<(usize, f64, f64)>, usize) {
    let (mut line, mut x) = (0, 0.0);
    let mut boxes = Vec::with_capacity(widths.len());
    for &width in widths {
        if x > 0.0 && x + width > line_width {
            (line, x) = (line + 1, 0.0);
        }
        boxes.push((line, x, width.min(line_width)));
        x += width;
    }
    (boxes, line + 1)
}

/// The colour of every box, and what it means where a legend cannot say it.
struct Shading {
    fills: Vec<Color>,
    caption: String,
    /// The numbers that the colours show, and of what.
    values: Option<(&'static str, Vec<f32>)>,
}

impl Shading {
    fn new(shade: Shade, view: &View<'_>, row: &Row) -> Self {
        if shade == Shade::Role || (shade == Shade::Attention && !view.net.has_heads()) {
            return Self::by_role(view.palette, row);
        }
        match Shown::new(shade, view) {
            Ok(shown) => {
                // What it is compared with has the same scale.
                let other = view.against.and_then(|other| Shown::new(shade, other).ok());
                let values = shown.values.iter().chain(other.iter().flat_map(|o| &o.values));
                let most = span::most(values);
                Self::by_value(view.palette, row, shown, most)
            }
            Err(caption) => {
                Self { fills: vec![plain(view.palette); row.len()], caption, values: None }
            }
        }
    }

    fn by_role(palette: Palette, row: &Row) -> Self {
        let fill = |position| role_fill(palette, first_role(row, position));
        Self { fills: (0..row.len()).map(fill).collect(), caption: String::new(), values: None }
    }

    /// What the box of a position shows; NaN where its value is not known.
    fn value(&self, position: usize) -> Option<(&'static str, f64)> {
        let (what, values) = self.values.as_ref()?;
        Some((*what, values.get(position).copied().map_or(f64::NAN, f64::from)))
    }

    fn by_value(palette: Palette, row: &Row, shown: Shown, most: f32) -> Self {
        let Shown { values, what, unit } = shown;
        let map = ColorMap::Paper.on(palette.dark);
        let fill = |position: usize| match values.get(position) {
            Some(value) if value.is_finite() && most > 0.0 => map.at(value / most),
            Some(_) => palette.paper,
            // What a query does not see.
            None => colors::unseen(palette),
        };
        let stronger = if palette.dark { "lighter" } else { "darker" };
        Self {
            fills: (0..row.len()).map(fill).collect(),
            caption: span::sentences([
                format!(
                    "The {stronger} a box, the higher the {what}: 0 to {}{unit}.",
                    number(most)
                ),
                span::past_colors(&values, (0.0, most)),
            ]),
            values: Some((what, values)),
        }
    }
}

/// Numbers of the positions from 0 on, and what they are.
struct Shown {
    values: Vec<f32>,
    what: &'static str,
    unit: &'static str,
}

impl Shown {
    /// # Errors
    /// When the numbers are not known: a sentence.
    fn new(shade: Shade, view: &View<'_>) -> Result<Self, String> {
        let values = match shade {
            Shade::Attention => attention(view),
            Shade::Probability => by_prediction(view, "target_probability"),
            Shade::Loss | Shade::Role => by_prediction(view, "loss"),
        };
        let unit = if shade == Shade::Loss { " nats" } else { "" };
        Ok(Self { values: values?, what: shade.words(), unit })
    }
}

/// Values of one array of the predictions, or the sentence why there are none.
fn by_prediction(view: &View<'_>, name: &str) -> Result<Vec<f32>, String> {
    let call = MeasurementCall::new("predictions");
    let reading = reading(view, &call).map_err(|f| f.empty.unwrap_or_default())?;
    Ok(reading.array(name).map(|a| a.data.to_vec()).unwrap_or_default())
}

/// What each position gets from the selected query in the selected head.
fn attention(view: &View<'_>) -> Result<Vec<f32>, String> {
    let Some(query) = view.selection.query else {
        return Err(
            "Select a query (click a token; for a file: --query N) to see what it attends to."
                .to_owned(),
        );
    };
    let reading = reading(view, &attention_call(view.net, view.selection))
        .map_err(|f| f.empty.unwrap_or_default())?;
    let pattern = pattern(reading, view.selection.layer, view.selection.head)
        .map_err(|f| f.empty.unwrap_or_default())?;
    let mut row = pattern.row(query).to_vec();
    row.truncate(query + 1);
    Ok(row)
}

/// The lowest role bit of a position.
pub fn first_role(row: &Row, position: usize) -> Option<usize> {
    let bits = row.roles.get(position).copied().unwrap_or(0);
    (bits != 0).then(|| bits.trailing_zeros() as usize)
}

/// A thin line around a box that may have the colour of the paper.
fn outline(palette: Palette) -> Color {
    colors::mix(palette.paper, palette.ink, 0.16)
}

/// The frame of a token that is none of a text, e.g. one that begins it.
pub(super) fn special(palette: Palette) -> Color {
    colors::mix(palette.paper, palette.ink, 0.75)
}

/// A second frame within the box of a token that is none of a text, so far inside.
pub(super) fn second_frame(palette: Palette, [from, to]: [[f64; 2]; 2], inset: f64) -> Mark {
    Mark::Rect {
        from: from.map(|x| x + inset),
        to: to.map(|x| x - inset),
        fill: None,
        stroke: Some(special(palette)),
        width: 1.0,
    }
}

/// A second frame within the box of each token that is none of a text.
fn specials(view: &View<'_>, row: &Row, flow: &Flow) -> Vec<Mark> {
    let is_special = |position: &usize| view.vocab.is_special(row.tokens[*position]);
    let frame = |position: usize| {
        let (from, to) = flow.corners(position);
        second_frame(view.palette, [from, to], 0.05)
    };
    (0..row.len()).filter(is_special).map(frame).collect()
}

/// Above tokens that make a character only together: that character, and a line over them.
fn characters(view: &View<'_>, row: &Row, flow: &Flow) -> Vec<Mark> {
    let mut marks = Vec::new();
    for (positions, text) in view.vocab.groups(&row.tokens) {
        let lines: Vec<usize> = positions.clone().map(|at| flow.boxes[at].0).collect();
        // Where a line ends between them, the character stands over those of the first line.
        let count = lines.iter().take_while(|line| **line == lines[0]).count();
        let (from, to) = (flow.corners(positions.start), flow.corners(positions.start + count - 1));
        let (left, right, top) = (from.0[0], to.1[0], from.0[1]);
        marks.push(Mark::Rect {
            from: [left, top - 0.05],
            to: [right, top - 0.01],
            fill: Some(view.palette.faint),
            stroke: None,
            width: 0.0,
        });
        marks.push(Mark::Text {
            at: [0.5 * (left + right), lines[0] as f64 + 0.5 * flow.lead],
            text,
            color: view.palette.ink,
            anchor: Anchor::Center,
            size: NUMBER_SIZE / flow.scale,
        });
    }
    marks
}

/// The role of each token as a stripe along the upper edge of its box.
fn stripes(palette: Palette, row: &Row, flow: &Flow) -> Vec<Mark> {
    let stripe = |position: usize| {
        let role = first_role(row, position)?;
        let (from, to) = flow.corners(position);
        Some(Mark::Rect {
            from,
            to: [to[0], from[1] + 0.13],
            fill: Some(colors::role(palette, Some(role))),
            stroke: None,
            width: 0.0,
        })
    };
    (0..row.len()).filter_map(stripe).collect()
}

/// Arcs that are read beside each other, and the attention from which on one is worth it.
const MOST_ARCS: usize = 4;
const LEAST_OF_ARC: f32 = 0.08;

/// Arcs from the query to what it attends to, the strongest ones.
fn arcs(view: &View<'_>, flow: &Flow) -> Vec<Mark> {
    let (Some(query), Ok(values)) = (view.selection.query, attention(view)) else {
        return Vec::new();
    };
    let mut keys: Vec<(usize, f32)> = values
        .into_iter()
        .enumerate()
        .filter(|(key, share)| *share >= LEAST_OF_ARC && *key != query && *key < flow.boxes.len())
        .collect();
    keys.sort_by(|a, b| b.1.total_cmp(&a.1));
    keys.truncate(MOST_ARCS);
    if query >= flow.boxes.len() {
        return Vec::new();
    }
    // The strongest last, on top.
    keys.iter().rev().flat_map(|(key, share)| flow.arc(query, *key, *share)).collect()
}

/// A box without a meaning of its own.
fn plain(palette: Palette) -> Color {
    colors::mix(palette.paper, palette.ink, 0.07)
}

fn role_fill(palette: Palette, role: Option<usize>) -> Color {
    match role {
        None => plain(palette),
        Some(_) => colors::mix(palette.paper, colors::role(palette, role), 0.5),
    }
}

fn legend(shade: Shade, view: &View<'_>, row: &Row) -> Vec<LegendEntry> {
    let mut entries = Vec::new();
    let color = |role: usize| match shade {
        Shade::Role => role_fill(view.palette, Some(role)),
        Shade::Attention | Shade::Loss | Shade::Probability => {
            colors::role(view.palette, Some(role))
        }
    };
    // A box has the colour of its first role alone.
    let is_seen = |i: usize| (0..row.len()).any(|position| first_role(row, position) == Some(i));
    let named = view.roles.iter().enumerate().filter(|(i, _)| is_seen(*i));
    entries.extend(named.map(|(i, name)| LegendEntry::square(*name, color(i))));
    let has_others = (0..row.len()).any(|position| first_role(row, position).is_none());
    if shade == Shade::Role && has_others {
        entries.push(LegendEntry::square("other", plain(view.palette)));
    }
    if let Some(query) = view.selection.query.filter(|&p| p < row.len()) {
        entries.push(LegendEntry::square(format!("query {query}"), colors::QUERY));
    }
    if let Some(key) = view.selection.key.filter(|&p| p < row.len()) {
        entries.push(LegendEntry::square(format!("key {key}"), colors::KEY));
    }
    entries
}

fn underlines(palette: Palette, predictions: Option<&Reading>, flow: &Flow) -> Option<Vec<Cell>> {
    let probability = predictions?.array("target_probability")?;
    let known = probability.data.iter().zip(&flow.boxes).filter(|(p, _)| p.is_finite());
    let line = |(p, (line, x, width)): (&f32, &(usize, f64, f64))| {
        let (left, top) = (x + 0.04, flow.down(*line, 0.87));
        let full = (width - 0.08).max(0.0) * f64::from(p.clamp(0.0, 1.0));
        let color = colors::mix(palette.faint, palette.ink, *p);
        Cell {
            from: [left, top],
            to: [left + full, flow.down(*line, 0.95)],
            text: String::new(),
            fill: Some(color),
            stroke: None,
            ink: color,
            pick: Pick::Nothing,
            hover: String::new(),
            value: Some((RIGHT, f64::from(*p))),
        }
    };
    Some(known.map(line).collect())
}

/// Query and key outlined; where they are the same position, the frame of the key is the wider one.
fn outlines(selection: &Selection, flow: &Flow) -> Vec<Mark> {
    let frame = |position: Option<usize>, grow: f64, color: Color| {
        let position = position.filter(|&p| p < flow.boxes.len())?;
        let (from, to) = flow.corners(position);
        Some(Mark::Rect {
            from: [from[0] - grow, from[1] - grow],
            to: [to[0] + grow, to[1] + grow],
            fill: None,
            stroke: Some(color),
            width: 2.0,
        })
    };
    let same = selection.key == selection.query;
    let key = frame(selection.key, if same { 0.12 } else { 0.0 }, colors::KEY);
    let query = frame(selection.query, 0.0, colors::QUERY);
    key.into_iter().chain(query).collect()
}

/// What is underlined.
const RIGHT: &str = "probability of the right next token";

/// The real numbers that are to be predicted at a position; none in a task of tokens.
fn value_targets(row: &Row, position: usize) -> &[f32] {
    let width = row.value_targets.len() / row.len().max(1);
    &row.value_targets[position * width..][..width]
}

/// Everything that is known of a position, a line each.
fn hover(view: &View<'_>, row: &Row, predictions: Option<&Reading>, position: usize) -> String {
    let glyph = |id: u32| view.vocab.glyph(id);
    let mut lines =
        vec![format!("position {position} of {}: “{}”", row.len(), sign(view, row, position))];
    lines.push(format!("role: {}", roles(view, row, position)));
    match row.targets.get(position) {
        Some(&target) if target != NO_TARGET => lines.push(match value_targets(row, position) {
            [] => format!("next: “{}”", glyph(target)),
            wanted => format!(
                "to predict: {}",
                wanted.iter().map(|x| number(*x)).collect::<Vec<_>>().join(", ")
            ),
        }),
        _ => {}
    }
    if let Some(line) = predictions.and_then(|p| top_line(view, p, position)) {
        lines.push(line);
    }
    if let Some(loss) = predictions.and_then(|p| p.array("loss")).and_then(|a| a.data.get(position))
        && loss.is_finite()
    {
        lines.push(format!("loss {} nats", number(*loss)));
    }
    if let (Some(query), Ok(shares)) = (view.selection.query, attention(view))
        && let Some(share) = shares.get(position)
    {
        lines.push(format!("gets {} of the attention of the query at {query}", number(*share)));
    }
    lines.join("\n")
}

fn roles(view: &View<'_>, row: &Row, position: usize) -> String {
    let bits = row.roles.get(position).copied().unwrap_or(0);
    let has = |(i, _): &(usize, &&str)| *i < 8 && bits & (1 << i) != 0;
    let names: Vec<&str> = view.roles.iter().enumerate().filter(has).map(|(_, n)| *n).collect();
    let names = if names.is_empty() { "other".to_owned() } else { names.join(" and ") };
    match row.occurrence.get(position) {
        Some(1) => format!("{names}, first time in this sequence"),
        Some(&c) if c >= 2 => {
            format!("{names}, time {c} in this sequence: the answer was seen before")
        }
        _ => names,
    }
}

fn top_line(view: &View<'_>, predictions: &Reading, position: usize) -> Option<String> {
    let (token, probability) = (predictions.array("token")?, predictions.array("probability")?);
    let (ids, shares) = (token.outer(position), probability.outer(position));
    let guesses: Vec<String> = ids
        .iter()
        .zip(shares)
        .take(3)
        .map(|(id, p)| format!("“{}” {}", view.vocab.glyph(as_id(*id)), number(*p)))
        .collect();
    (!guesses.is_empty()).then(|| format!("predicted: {}", guesses.join(", ")))
}

/// A token id that travelled as a float.
pub fn as_id(value: f32) -> u32 {
    convert::natural(value)
}
