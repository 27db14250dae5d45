//! The lanes: a row for each register, a column for each tuple. x counts tuples, y counts lanes from the top.

use crate::base::convert::{self, narrow};
use crate::base::plain::Plain;
use crate::figure::color::Color;
use crate::figure::font::{Family, Typeface};
use crate::figure::{Anchor, Cell, Dash, Mark, Pick};
use crate::panel::{Palette, View, colors};

use super::hover_text;
use super::parsed::{Facts, TokenMeaning};

/// Strength of the colour of a symbol in a band, and in the box of a tuple that stores.
pub const BAND: f32 = 0.3;
const BOX: f32 = 0.55;

/// Parts of a lane, from its top: what is held, what is decoded, the gate, the word for how it stands, the tuple's box; below it
/// lines of attention.
const HELD: [f64; 2] = [0.02, 0.13];
const DECODED: [f64; 2] = [0.145, 0.245];
const GATE: f64 = 0.49;
const WORD: [f64; 2] = [0.51, 0.59];
const TUPLE: [f64; 2] = [0.60, 0.79];

/// Room for the names of registers, for the instructions above and for the two lines of answers below, in points.
const NAMES: f32 = 48.0;
const HEAD: f32 = 10.0;
const ANSWERS: f32 = 21.0;
/// For what was answered before a change.
const BEFORE: f32 = 10.0;
/// A column is at least so wide, a lane at most so high.
const NARROWEST: f32 = 25.0;
const HIGHEST: f32 = 104.0;
/// Where a column has this width and a lane this height to spare, all is drawn larger, up to so many times.
const COMFORTABLE: [f32; 2] = [46.0, 92.0];
const LARGEST: f32 = 2.6;
/// Sizes of text, in points; below the smallest it is left out.
const TEXT: f32 = 6.5;
const SMALLEST: f32 = 4.0;
/// What widths are measured in; a figure in another face is near to it.
const FACE: Typeface = Typeface::of(Family::Sans);
/// Columns so wide and lanes so high have the attention as numbers too, in points.
const ROOM_FOR_NUMBERS: [f32; 2] = [40.0, 50.0];
/// Width of one leaf of a gate, in points.
const WING: f32 = 18.0;
/// Colours of the symbols of a sequence, those first that are unlike queries and keys.
const APART: [usize; 6] = [0, 1, 5, 4, 3, 2];
/// Attention below this draws no line.
const FAINTEST: f32 = 0.03;

pub struct Lanes<'a> {
    view: &'a View<'a>,
    facts: &'a Facts,
    before: Option<&'a Facts>,
    /// Registers of the lanes, from the top.
    registers: Vec<usize>,
    /// First tuple drawn, and one past the last.
    from: usize,
    to: usize,
    /// Points of one unit of x and of y.
    pub unit: [f32; 2],
    /// Room beside the lanes, in points.
    pub side: f32,
    /// Height of everything, in points.
    height: f32,
    /// All points are so many of the page.
    pub scale: f32,
}

impl<'a> Lanes<'a> {
    pub fn new(
        view: &'a View<'a>,
        facts: &'a Facts,
        before: Option<&'a Facts>,
        side: f32,
        caption: &str,
    ) -> Self {
        let size = view.size.map(|s| if s.is_finite() { s.clamp(40.0, 1e4) } else { 400.0 });
        // What title, legend and caption take.
        let lines = FACE.wrap(caption, TEXT, size[0]).len() as f32;
        let height = (size[1] - 28.0 - 8.0 * lines).max(0.4 * size[1]);
        let registers = facts.present();
        let count = facts.tuples.len();
        let foot = ANSWERS + if before.is_some() { BEFORE } else { 0.0 };
        let wanted = [
            10.0 + side + NAMES + COMFORTABLE[0] * count as f32,
            HEAD + foot + COMFORTABLE[1] * registers.len() as f32,
        ];
        let scale = (size[0] / wanted[0]).min(height / wanted[1]).clamp(1.0, LARGEST);
        let (width, height) = (size[0] / scale - 10.0 - side - NAMES, height / scale);
        let width = width.max(NARROWEST);
        let shown = convert::index(width / NARROWEST).clamp(1, count.max(1));
        // What came before the selected tuple says what it reads.
        let to = (facts.selected + 1 + shown / 4).clamp(shown, count.max(shown));
        let lane = (height - HEAD - foot) / registers.len().max(1) as f32;
        let unit = [width / shown as f32, lane.clamp(8.0, HIGHEST)];
        Self { view, facts, before, registers, from: to - shown, to, unit, side, height, scale }
    }

    pub fn x_range(&self) -> (f64, f64) {
        (self.from as f64 - self.dx(NAMES), self.to as f64 + self.dx(self.side))
    }

    pub fn y_range(&self) -> (f64, f64) {
        (self.dy(self.room_below()), -self.dy(HEAD))
    }

    /// From the upper end of the lanes to the lower end of everything, in points.
    pub fn room_below(&self) -> f32 {
        (self.height - HEAD).max(self.unit[1] * narrow(self.bottom()) + self.foot())
    }

    /// What the lines of answers take, in points.
    fn foot(&self) -> f32 {
        ANSWERS + if self.before.is_some() { BEFORE } else { 0.0 }
    }

    /// Right end of the lanes.
    pub fn right(&self) -> f64 {
        self.to as f64
    }

    /// Lower end of the lanes.
    pub fn bottom(&self) -> f64 {
        self.registers.len() as f64
    }

    /// Points as a part of a column, and of a lane.
    pub fn dx(&self, points: f32) -> f64 {
        f64::from(points / self.unit[0])
    }

    pub fn dy(&self, points: f32) -> f64 {
        f64::from(points / self.unit[1])
    }

    pub fn marks(&self, decoded: bool) -> Vec<Mark> {
        let mut marks = vec![self.highlight()];
        let time = Words {
            color: self.palette().faint,
            anchor: Anchor::Right,
            width: NAMES,
            height: HEAD,
        };
        let at = [self.from as f64 - self.dx(4.0), -0.5 * self.dy(HEAD)];
        marks.extend(self.text(at, "time →", &time));
        marks.extend(self.names_of_answers());
        for lane in 0..self.registers.len() {
            marks.extend(self.lane(lane, decoded));
        }
        marks.extend(self.looks());
        for at in self.from..self.to.min(self.facts.tuples.len()) {
            marks.extend(self.tuple(at));
        }
        marks
    }

    /// What stands in the lines of answers.
    fn names_of_answers(&self) -> Vec<Mark> {
        let names = ["answer", "how sure", "before"];
        let shown = if self.before.is_some() { 3 } else { 2 };
        let style = Words {
            color: self.palette().faint,
            anchor: Anchor::Right,
            width: NAMES - 4.0,
            height: HEAD,
        };
        let name = |(i, name): (u8, &&str)| {
            let y = self.bottom() + self.dy(1.0 + 10.0 * f32::from(i) + 4.75);
            self.text([self.from as f64 - self.dx(4.0), y], name, &style)
        };
        (0..).zip(names.iter().take(shown)).filter_map(name).collect()
    }

    fn has_numbers(&self) -> bool {
        self.unit.iter().zip(ROOM_FOR_NUMBERS).all(|(unit, room)| *unit >= room)
    }

    fn palette(&self) -> Palette {
        self.view.palette
    }

    /// Text as it fits a room, at a size that fits a height; none where it could not be read.
    pub fn text(&self, at: [f64; 2], text: &str, style: &Words) -> Option<Mark> {
        let size = TEXT.min(0.95 * style.height);
        let shown = FACE.fit(text, size, style.width).into_owned();
        (size >= SMALLEST && !shown.is_empty()).then_some(Mark::Text {
            at,
            text: shown,
            color: style.color,
            anchor: style.anchor,
            size,
        })
    }

    fn middle(at: usize) -> f64 {
        at as f64 + 0.5
    }

    fn lane_of(&self, register: usize) -> f64 {
        self.registers.iter().position(|r| *r == register).unwrap_or(0) as f64
    }

    /// The column of the tuple that is looked at.
    fn highlight(&self) -> Mark {
        let at = self.facts.selected as f64;
        let bottom = self.bottom() + self.dy(self.foot());
        Mark::Rect {
            from: [at, -self.dy(HEAD)],
            to: [at + 1.0, bottom],
            fill: Some(colors::mix(self.palette().paper, colors::QUERY, 0.12)),
            stroke: None,
            width: 0.0,
        }
    }

    fn lane(&self, lane: usize, decoded: bool) -> Vec<Mark> {
        let (palette, top) = (self.palette(), lane as f64);
        let register = self.registers[lane];
        let mut marks = Vec::new();
        if lane > 0 {
            let ends = [[self.from as f64 - self.dx(NAMES), top], [self.to as f64, top]];
            let color = colors::mix(palette.paper, palette.ink, 0.15);
            marks.push(line(ends.to_vec(), color, 0.5, Dash::Solid));
        }
        let left = self.from as f64 - self.dx(4.0);
        let name = |at: [f64; 2], color| Words {
            color,
            anchor: Anchor::Right,
            width: NAMES - 6.0,
            height: self.unit[1] * narrow(at[1] - at[0]),
        };
        let size = 8.0_f32.min(0.3 * self.unit[1]);
        if size >= SMALLEST {
            marks.push(Mark::Text {
                at: [
                    self.from as f64 - self.dx(NAMES - 2.0),
                    top + f64::midpoint(TUPLE[0], TUPLE[1]),
                ],
                text: FACE.fit(&self.facts.registers[register], size, NAMES - 6.0).into_owned(),
                color: palette.ink,
                anchor: Anchor::Left,
                size,
            });
        }
        for (place, what, wanted) in [(HELD, "should hold", true), (DECODED, "is found", decoded)] {
            if wanted {
                let at = [left, top + f64::midpoint(place[0], place[1])];
                marks.extend(self.text(at, what, &name(place, palette.faint)));
            }
        }
        marks.push(Mark::Cells(self.band(register, top, HELD, false)));
        if decoded {
            marks.push(Mark::Cells(self.band(register, top, DECODED, true)));
        }
        marks
    }

    /// What a register holds, from the tuple that stored it on: one box for as long as it stays.
    fn band(&self, register: usize, top: f64, place: [f64; 2], decoded: bool) -> Vec<Cell> {
        let (palette, facts) = (self.palette(), self.facts);
        let state = |at: usize| {
            let truth = facts.held(at, register, false);
            let held = facts.held(at, register, decoded);
            (held, held != truth)
        };
        let last = self.to.min(facts.tuples.len());
        let mut cells = Vec::new();
        let mut begin = self.from;
        while begin < last {
            let (held, wrong) = state(begin);
            let stays = |at: &usize| state(*at) == (held, wrong);
            let end = (begin + 1..last).find(|at| !stays(at)).unwrap_or(last);
            let right = if end == last { self.to as f64 } else { Self::middle(end) };
            // Before the first column drawn, what was held then goes on.
            let before = begin == self.from && self.from > 0;
            let left = if before { begin as f64 } else { Self::middle(begin) };
            let text = match (held, wrong) {
                (Some(symbol), false) => facts.symbols[symbol].clone(),
                (Some(symbol), true) => format!("≠ {}", facts.symbols[symbol]),
                (None, false) => "empty".to_owned(),
                (None, true) => "≠ empty".to_owned(),
            };
            let fill = held.map(|symbol| self.tint(symbol, BAND));
            let empty = held.is_none() && !wrong;
            cells.push(Cell {
                from: [left + self.dx(0.5), top + place[0]],
                to: [right - self.dx(0.5), top + place[1]],
                text,
                fill,
                stroke: if wrong {
                    Some(palette.ink)
                } else {
                    empty.then(|| colors::mix(palette.paper, palette.ink, 0.2))
                },
                ink: fill.map_or(if empty { palette.faint } else { palette.ink }, colors::text_on),
                pick: Pick::Nothing,
                hover: hover_text::content(facts, register, begin, decoded),
                value: None,
            });
            begin = end;
        }
        cells
    }

    fn color(&self, symbol: usize) -> Color {
        let rank = self.facts.rank(symbol).map(|rank| APART[rank % APART.len()]);
        colors::role(self.palette(), rank)
    }

    fn tint(&self, symbol: usize, strength: f32) -> Color {
        colors::mix(self.palette().paper, self.color(symbol), strength)
    }

    /// Everything of one tuple: its instruction, its box, its gate, its answer.
    fn tuple(&self, at: usize) -> Vec<Mark> {
        let (palette, facts) = (self.palette(), self.facts);
        let tuple = &facts.tuples[at];
        let top = self.lane_of(tuple.register);
        let stores = tuple.store == Some(true);
        let column = |height, color| Words {
            color,
            anchor: Anchor::Center,
            width: self.unit[0] - 2.0,
            height,
        };
        let mut marks = Vec::new();
        let head = [Self::middle(at), -0.5 * self.dy(HEAD)];
        let color = if stores { palette.ink } else { palette.faint };
        marks.extend(self.text(head, hover_text::instruction(tuple), &column(HEAD, color)));
        marks.extend(self.gate(at, tuple, top));
        let fill = if stores { self.tint(tuple.symbol, BOX) } else { palette.paper };
        let half = f64::from(0.5 * (self.unit[0] - 4.0).min(40.0) / self.unit[0]);
        marks.push(Mark::Cells(vec![Cell {
            from: [Self::middle(at) - half, top + TUPLE[0]],
            to: [Self::middle(at) + half, top + TUPLE[1]],
            text: facts.symbols[tuple.symbol].clone(),
            fill: Some(fill),
            stroke: Some(self.color(tuple.symbol)),
            ink: colors::text_on(fill),
            pick: Pick::Query(tuple.symbol_at),
            hover: hover_text::tuple(self.view, facts, at),
            value: None,
        }]));
        marks.push(self.answer(at, tuple));
        marks.extend(self.answer_before(at));
        marks
    }

    /// A door of two leaves on the way from the box to what the register holds: it stands open or shut as measured, thin where
    /// that had to be asked, dots where no read tells. The more the keys alone do, the more of the colour of keys.
    fn gate(&self, at: usize, tuple: &TokenMeaning, top: f64) -> Vec<Mark> {
        let (palette, gate) = (self.palette(), tuple.gate);
        let (x, y) = (Self::middle(at), top + GATE);
        let known = gate.open.is_finite() && gate.read.is_some();
        let mut marks = Vec::new();
        let room = 0.9 * (GATE - DECODED[1]);
        let leaf = WING.min(0.36 * self.unit[0]).min(narrow(room) * self.unit[1]);
        let wing = self.dx(leaf);
        if known {
            marks.extend(self.door(tuple, [x, y], leaf));
            if gate.open >= 0.5 {
                let (from, to) = ([x, y], [x, top + DECODED[1] + self.dy(0.5)]);
                marks.push(Mark::Arrow { from, to, color: palette.ink, width: 1.0 });
            }
            marks.extend(self.how_it_stands(tuple, x, top));
        } else {
            let quiet = colors::quiet(palette);
            marks.push(line(vec![[x - wing, y], [x + wing, y]], quiet, 1.2, Dash::Dotted));
        }
        marks.push(Mark::Cells(vec![Cell {
            from: [x - wing, top + DECODED[1]],
            to: [x + wing, top + TUPLE[0]],
            text: String::new(),
            fill: None,
            stroke: None,
            ink: palette.ink,
            pick: Pick::Nothing,
            hover: hover_text::input_gate(self.facts, at),
            value: known.then(|| ("gate open", f64::from(gate.open))),
        }]));
        marks
    }

    /// The two leaves of a door about a place.
    fn door(&self, tuple: &TokenMeaning, [x, y]: [f64; 2], leaf: f32) -> Vec<Mark> {
        let gate = tuple.gate;
        let (wing, rise) = (self.dx(leaf), self.dy(leaf));
        let (sine, cosine) =
            (f64::from(gate.open.clamp(0.0, 1.0)) * std::f64::consts::FRAC_PI_2).sin_cos();
        let effect = if gate.effect.is_finite() { gate.effect.clamp(0.0, 1.0) } else { 0.0 };
        let color = colors::mix(self.palette().paper, colors::KEY, 0.45 + 0.55 * effect);
        let width = if gate.asked { 1.2 } else { 2.4 };
        let leaf = |side: f64| {
            let hinge = [x + side * wing, y];
            let tip = [hinge[0] - side * cosine * wing, y - sine * rise];
            line(vec![hinge, tip], color, width, Dash::Solid)
        };
        [-1.0, 1.0].map(leaf).to_vec()
    }

    /// `open` or `shut`, and how much of that the keys alone do, where there is room for it.
    fn how_it_stands(&self, tuple: &TokenMeaning, x: f64, top: f64) -> Option<Mark> {
        let gate = tuple.gate;
        let word = if gate.open >= 0.5 { "open" } else { "shut" };
        let keys = Plain(f64::from(gate.effect));
        let long = format!("{word}, keys {keys:.2}");
        let style = Words {
            color: self.palette().ink,
            anchor: Anchor::Center,
            width: self.unit[0] - 2.0,
            height: narrow(WORD[1] - WORD[0]) * self.unit[1],
        };
        let at = [x, top + f64::midpoint(WORD[0], WORD[1])];
        let fits = gate.effect.is_finite() && FACE.width(&long, TEXT, false) <= style.width;
        self.text(at, if fits { &long } else { word }, &style)
    }

    /// What the network says, and how surely.
    fn answer(&self, at: usize, tuple: &TokenMeaning) -> Mark {
        let palette = self.palette();
        let right = tuple.predicted == tuple.right;
        let word = self.view.vocab.glyph(tuple.predicted);
        let word = if right { word } else { format!("≠ {word}") };
        let sure = format!("{:.2}", tuple.probability);
        let cell = |line: u8, text: String| {
            let top = self.bottom() + self.dy(1.0 + 10.0 * f32::from(line));
            Cell {
                from: [at as f64 + self.dx(1.0), top],
                to: [at as f64 + 1.0 - self.dx(1.0), top + self.dy(9.5)],
                text,
                fill: None,
                stroke: (!right && line == 0).then_some(palette.ink),
                ink: if line == 0 { palette.ink } else { palette.faint },
                pick: Pick::Query(tuple.symbol_at),
                hover: hover_text::tuple(self.view, self.facts, at),
                value: (line == 1).then(|| ("probability", f64::from(tuple.probability))),
            }
        };
        Mark::Cells(vec![cell(0, word), cell(1, sure)])
    }

    /// What the network said to the tuple of this number before something was changed; in a frame where that is another answer.
    fn answer_before(&self, at: usize) -> Option<Mark> {
        let (palette, then) = (self.palette(), self.before?.tuples.get(at)?);
        let now = &self.facts.tuples[at];
        let top = self.bottom() + self.dy(1.0 + 20.0);
        let word = self.view.vocab.glyph(then.predicted);
        Some(Mark::Cells(vec![Cell {
            from: [at as f64 + self.dx(1.0), top],
            to: [at as f64 + 1.0 - self.dx(1.0), top + self.dy(9.5)],
            text: word.clone(),
            fill: None,
            stroke: (then.predicted != now.predicted).then_some(colors::QUERY),
            ink: palette.faint,
            pick: Pick::Query(now.symbol_at),
            hover: format!(
                "before the change the network said “{word}” with probability {:.3}",
                then.probability
            ),
            value: None,
        }]))
    }

    /// The output gate: from the read that is looked at to every earlier tuple, as wide as its attention. The line to the
    /// address that should be read is whole, the others are broken.
    fn looks(&self) -> Vec<Mark> {
        let (facts, read) = (self.facts, self.facts.selected);
        let Some(reader) = facts.tuples.get(read) else { return Vec::new() };
        let start = [Self::middle(read), self.lane_of(reader.register) + TUPLE[1]];
        // Numbers upon all lines, so that none is struck through.
        let (mut marks, mut numbers) = (Vec::new(), Vec::new());
        for (to, tuple) in facts.tuples.iter().enumerate().take(read).skip(self.from) {
            let attention = facts.attention(read, to);
            if attention.is_nan() || attention < FAINTEST {
                continue;
            }
            let end = [Self::middle(to), self.lane_of(tuple.register) + TUPLE[1]];
            let asked = reader.source == Some(to);
            let dash = if asked { Dash::Solid } else { Dash::Dashed };
            let strength = attention.clamp(0.0, 1.0);
            let color = colors::mix(self.palette().paper, colors::QUERY, 0.4 + 0.6 * strength);
            let curve = sagging(start, end, 0.24);
            // The top of an arc of this kind lies at three quarters of its handles.
            let middle = [f64::midpoint(start[0], end[0]), f64::midpoint(start[1], end[1]) + 0.18];
            marks.push(line(curve, color, 0.6 + 3.0 * strength, dash));
            numbers.push(self.weight(middle, read, to, attention));
        }
        marks.extend(numbers);
        marks
    }

    /// The attention of a line, as a number upon it.
    fn weight(&self, at: [f64; 2], read: usize, tuple: usize, attention: f32) -> Mark {
        let palette = self.palette();
        let half = [self.dx(8.0), self.dy(4.0)];
        Mark::Cells(vec![Cell {
            from: [at[0] - half[0], at[1] - half[1]],
            to: [at[0] + half[0], at[1] + half[1]],
            text: if self.has_numbers() { format!("{attention:.2}") } else { String::new() },
            fill: self.has_numbers().then_some(palette.paper),
            stroke: None,
            ink: palette.ink,
            pick: Pick::QueryKey {
                query: self.facts.tuples[read].symbol_at,
                key: self.facts.tuples[tuple].symbol_at,
            },
            hover: hover_text::attention(self.facts, read, tuple),
            value: Some(("attention", f64::from(attention))),
        }])
    }
}

/// How a text is drawn and what room it has, in points.
pub struct Words {
    pub color: Color,
    pub anchor: Anchor,
    pub width: f32,
    pub height: f32,
}

pub fn line(points: Vec<[f64; 2]>, color: Color, width: f32, dash: Dash) -> Mark {
    Mark::Line { name: String::new(), points: points.into(), color, width, dash }
}

/// A curve from one place to another that hangs below both: Bézier's, its handles so far below the ends.
fn sagging(from: [f64; 2], to: [f64; 2], by: f64) -> Vec<[f64; 2]> {
    const STEPS: u32 = 24;
    let point = |i: u32| {
        let t = f64::from(i) / f64::from(STEPS);
        let [a, b, c, d] =
            [(1.0 - t).powi(3), 3.0 * t * (1.0 - t).powi(2), 3.0 * t * t * (1.0 - t), t.powi(3)];
        [
            (a + b) * from[0] + (c + d) * to[0],
            a * from[1] + b * (from[1] + by) + c * (to[1] + by) + d * to[1],
        ]
    };
    (0..=STEPS).map(point).collect()
}
