//! The lanes: a row for each register, a column for each tuple. x counts tuples, y counts lanes from the top.

use crate::base::convert;
use crate::figure::color::Color;
use crate::figure::{Anchor, Cell, Dash, Mark, Pick};
use crate::panel::{Palette, View, colors};

use super::hover_text;
use super::parsed::{Facts, TokenMeaning};
use super::parts::{Beside, FACE, HEAD, NAMES, Parts, Room, TEXT};

/// Strength of the colour of a symbol in a band, and in the box of a tuple that stores.
pub const BAND: f32 = 0.3;
pub const BOX: f32 = 0.55;
/// Strength of the colour of keys in a door that they leave alone; on dark paper more of it takes to be seen.
pub fn pale(palette: Palette) -> f32 {
    if palette.dark { 0.5 } else { 0.35 }
}

/// A column is at least so wide, a lane at most so high, in points.
const NARROWEST: f32 = 30.0;
const HIGHEST: f32 = 130.0;
/// Text smaller than this is left out, in points.
const SMALLEST: f32 = 5.0;
/// Size of text in boxes, as large as they allow.
const IN_BOX: f32 = 8.4;
/// Columns so wide and lanes so high have the attention as numbers too, in points; of weak attention only a hover tells.
const ROOM_FOR_NUMBERS: [f32; 2] = [30.0, 48.0];
const WORTH_A_NUMBER: f32 = 0.1;
/// Width of one leaf of a gate, in points.
const WING: f32 = 24.0;
/// Colours of the symbols of a sequence, on light paper and on dark: those first that are unlike queries and keys and, pale as
/// they are drawn, unlike each other.
const APART: [[usize; 6]; 2] = [[0, 1, 7, 4, 5, 3], [0, 1, 4, 3, 5, 2]];
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
    /// What stands beside the lanes, and the room for all, in points.
    pub beside: Beside,
    height: f32,
    /// What the lines of answers take.
    foot: f32,
    parts: Parts,
}

impl<'a> Lanes<'a> {
    /// `before`: what was answered before a change; `decoded`: whether what is found stands below what should be held.
    pub fn new(
        view: &'a View<'a>,
        facts: &'a Facts,
        before: Option<&'a Facts>,
        room: Room,
        decoded: bool,
    ) -> Self {
        let [width, height] = room.size;
        let takes = room.beside.takes();
        let registers = facts.present();
        let count = facts.tuples.len();
        let width = (width - 10.0 - NAMES - takes[0]).max(NARROWEST);
        let shown = convert::index(width / NARROWEST).clamp(1, count.max(1));
        // What came before the selected tuple says what it reads.
        let to = (facts.selected + 1 + shown / 4).clamp(shown, count.max(shown));
        let lane = (height - HEAD - room.foot - takes[1]) / registers.len().max(1) as f32;
        let unit = [width / shown as f32, lane.clamp(8.0, HIGHEST)];
        let parts = Parts::new(unit[1], decoded);
        let (from, beside, foot) = (to - shown, room.beside, room.foot);
        Self { view, facts, before, registers, from, to, unit, beside, height, foot, parts }
    }

    pub fn x_range(&self) -> (f64, f64) {
        (self.left(), self.to as f64 + self.dx(self.beside.takes()[0]))
    }

    pub fn y_range(&self) -> (f64, f64) {
        (self.dy(self.room_below()), -self.dy(HEAD))
    }

    /// From the upper end of the lanes to the lower end of everything, in points.
    pub fn room_below(&self) -> f32 {
        (self.height - HEAD).max(self.answers_end())
    }

    /// From the upper end of the lanes to the lower end of the answers, in points.
    pub fn answers_end(&self) -> f32 {
        self.unit[1] * self.registers.len() as f32 + self.foot
    }

    /// Left end of everything.
    pub fn left(&self) -> f64 {
        self.from as f64 - self.dx(NAMES)
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

    pub fn marks(&self) -> Vec<Mark> {
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
            marks.extend(self.lane(lane));
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
        let bottom = self.bottom() + self.dy(self.foot);
        Mark::Rect {
            from: [at, -self.dy(HEAD)],
            to: [at + 1.0, bottom],
            fill: Some(colors::mix(self.palette().paper, colors::QUERY, 0.12)),
            stroke: None,
            width: 0.0,
        }
    }

    fn lane(&self, lane: usize) -> Vec<Mark> {
        let (palette, top) = (self.palette(), lane as f64);
        let register = self.registers[lane];
        let mut marks = Vec::new();
        if lane > 0 {
            let ends = [[self.left(), top], [self.to as f64, top]];
            let color = colors::mix(palette.paper, palette.ink, 0.15);
            marks.push(line(ends.to_vec(), color, 0.5, Dash::Solid));
        }
        marks.extend(self.name_of_lane(register, top));
        let bands = [
            (Some(self.parts.held), "should hold", false),
            (self.parts.decoded, "decoder finds", true),
        ];
        for (place, name, decoded) in bands {
            let Some(place) = place else { continue };
            let at = [self.from as f64 - self.dx(4.0), top + f64::midpoint(place[0], place[1])];
            marks.extend(self.text(at, name, &self.name_of_band(place)));
            marks.push(Mark::Cells(self.band(register, top, place, decoded)));
        }
        marks
    }

    fn name_of_lane(&self, register: usize, top: f64) -> Option<Mark> {
        let [from, to] = self.parts.tuple;
        let size = 9.0_f32.min(Parts::points(self.parts.tuple, self.unit[1]));
        (size >= SMALLEST).then(|| Mark::Text {
            at: [self.left() + self.dx(2.0), top + f64::midpoint(from, to)],
            text: FACE.fit(&self.facts.registers[register], size, NAMES - 6.0).into_owned(),
            color: self.palette().ink,
            anchor: Anchor::Left,
            size,
        })
    }

    fn name_of_band(&self, place: [f64; 2]) -> Words {
        Words {
            color: self.palette().faint,
            anchor: Anchor::Right,
            width: NAMES - 4.0,
            height: Parts::points(place, self.unit[1]),
        }
    }

    /// What a register holds, from the tuple that stored it on: one box for as long as it stays. What luck would find as well is
    /// not drawn.
    fn band(&self, register: usize, top: f64, place: [f64; 2], decoded: bool) -> Vec<Cell> {
        let facts = self.facts;
        let is_told = !decoded || facts.is_readable();
        let state = |at: usize| {
            let [truth, held] = [false, decoded].map(|decoded| facts.held(at, register, decoded));
            if is_told { Some((held, held != truth)) } else { None }
        };
        let last = self.to.min(facts.tuples.len());
        let mut cells = Vec::new();
        let mut begin = self.from;
        while begin < last {
            let now = state(begin);
            let end = (begin + 1..last).find(|at| state(*at) != now).unwrap_or(last);
            let right = if end == last { self.to as f64 } else { Self::middle(end) };
            // Before the first column drawn, what was held then goes on.
            let before = begin == self.from && self.from > 0;
            let left = if before { begin as f64 } else { Self::middle(begin) };
            let hover = hover_text::content(facts, register, begin, decoded);
            let ends = [left + self.dx(0.5), right - self.dx(0.5)];
            let rows = place.map(|y| top + y);
            cells.push(self.held(now, ends, rows, hover));
            begin = end;
        }
        cells
    }

    /// The box of what is held for a while, and whether that is wrong; `None` where it cannot be told.
    fn held(
        &self,
        state: Option<(Option<usize>, bool)>,
        [left, right]: [f64; 2],
        [upper, lower]: [f64; 2],
        hover: String,
    ) -> Cell {
        let (palette, facts) = (self.palette(), self.facts);
        let (symbol, is_wrong) = state.unwrap_or_default();
        let fill = symbol.map(|symbol| self.tint(symbol, BAND));
        let size = IN_BOX.min(0.8 * Parts::points([upper, lower], self.unit[1]));
        let room = Parts::points([left, right], self.unit[0]) - 2.0;
        let forms = match (state, symbol) {
            (None, _) => ["not readable", "?"].map(str::to_owned),
            (_, None) => ["empty", "–"].map(str::to_owned),
            (_, Some(symbol)) => [&facts.symbols[symbol], facts.short(symbol)].map(str::to_owned),
        };
        let [whole, short] = forms;
        let is_plain = symbol.is_none() && !is_wrong;
        Cell {
            from: [left, upper],
            to: [right, lower],
            text: if FACE.width(&whole, size, false) <= room { whole } else { short },
            fill,
            stroke: match is_wrong {
                true => Some(palette.ink),
                false => is_plain.then(|| colors::mix(palette.paper, palette.ink, 0.2)),
            },
            ink: fill.map_or(if is_plain { palette.faint } else { palette.ink }, colors::text_on),
            pick: Pick::Nothing,
            hover,
            value: None,
        }
    }

    fn color(&self, symbol: usize) -> Color {
        let apart = APART[usize::from(self.palette().dark)];
        let rank = self.facts.rank(symbol).map(|rank| apart[rank % apart.len()]);
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
        let half = f64::from(0.5 * (self.unit[0] - 4.0).min(44.0) / self.unit[0]);
        marks.push(Mark::Cells(vec![Cell {
            from: [Self::middle(at) - half, top + self.parts.tuple[0]],
            to: [Self::middle(at) + half, top + self.parts.tuple[1]],
            text: self.in_box(tuple.symbol),
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

    /// The name of a symbol as it fits the box of a tuple.
    fn in_box(&self, symbol: usize) -> String {
        let name = &self.facts.symbols[symbol];
        let size = IN_BOX.min(0.8 * Parts::points(self.parts.tuple, self.unit[1]));
        let fits = FACE.width(name, size, false) <= self.unit[0].min(44.0) - 6.0;
        if fits { name.clone() } else { self.facts.short(symbol).to_owned() }
    }

    /// A door of two leaves on the way from the box to what the register holds: it stands open or shut as measured; dots where no
    /// read tells. The more the keys alone do, the more of the colour of keys.
    fn gate(&self, at: usize, tuple: &TokenMeaning, top: f64) -> Vec<Mark> {
        let (palette, gate) = (self.palette(), tuple.gate);
        let [upper, hinges] = self.parts.door;
        let (x, y) = (Self::middle(at), top + hinges);
        let mut marks = Vec::new();
        let room = 0.92 * Parts::points(self.parts.door, self.unit[1]);
        let leaf = WING.min(0.4 * self.unit[0]).min(room);
        let wing = self.dx(leaf);
        if gate.is_told() {
            marks.extend(self.door(tuple, [x, y], leaf));
            if gate.is_open() {
                let (from, to) = ([x, y], [x, top + upper + self.dy(0.5)]);
                marks.push(Mark::Arrow { from, to, color: palette.ink, width: 1.0 });
            }
            marks.extend(self.how_it_stands(tuple, x, top));
        } else {
            let quiet = colors::quiet(palette);
            marks.push(line(vec![[x - wing, y], [x + wing, y]], quiet, 1.2, Dash::Dotted));
        }
        marks.push(Mark::Cells(vec![Cell {
            from: [x - wing, top + upper],
            to: [x + wing, top + self.parts.tuple[0]],
            text: String::new(),
            fill: None,
            stroke: None,
            ink: palette.ink,
            pick: Pick::Nothing,
            hover: hover_text::input_gate(self.facts, at),
            value: gate.is_told().then(|| ("gate open", f64::from(gate.open))),
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
        let least = pale(self.palette());
        let strength = least + (1.0 - least) * effect;
        let color = colors::mix(self.palette().paper, colors::KEY, strength);
        let leaf = |side: f64| {
            let hinge = [x + side * wing, y];
            let tip = [hinge[0] - side * cosine * wing, y - sine * rise];
            line(vec![hinge, tip], color, 2.4, Dash::Solid)
        };
        [-1.0, 1.0].map(leaf).to_vec()
    }

    /// The word for that, where there is room for it.
    fn how_it_stands(&self, tuple: &TokenMeaning, x: f64, top: f64) -> Option<Mark> {
        let place = self.parts.word?;
        let style = Words {
            color: self.palette().ink,
            anchor: Anchor::Center,
            width: self.unit[0] - 2.0,
            height: Parts::points(place, self.unit[1]),
        };
        let at = [x, top + f64::midpoint(place[0], place[1])];
        self.text(at, tuple.gate.word(), &style)
    }

    /// What the network says, and how surely.
    fn answer(&self, at: usize, tuple: &TokenMeaning) -> Mark {
        let palette = self.palette();
        let right = tuple.predicted == tuple.right;
        let word = self.view.vocab.glyph(tuple.predicted);
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
        let start = [Self::middle(read), self.lane_of(reader.register) + self.parts.tuple[1]];
        // Numbers upon all lines, so that none is struck through.
        let (mut marks, mut numbers) = (Vec::new(), Vec::new());
        for (to, tuple) in facts.tuples.iter().enumerate().take(read).skip(self.from) {
            let attention = facts.attention(read, to);
            if attention.is_nan() || attention < FAINTEST {
                continue;
            }
            let end = [Self::middle(to), self.lane_of(tuple.register) + self.parts.tuple[1]];
            let asked = reader.source == Some(to);
            let dash = if asked { Dash::Solid } else { Dash::Dashed };
            let strength = attention.clamp(0.0, 1.0);
            let color = colors::mix(self.palette().paper, colors::QUERY, 0.4 + 0.6 * strength);
            // The lowest place of an arc of this kind lies at three quarters of its handles: above the end of the lane.
            let sag = 0.8 * (1.0 - self.parts.tuple[1]);
            let curve = sagging(start, end, sag / 0.75);
            // A line into another lane crosses doors: its number stands at its end.
            let number = match tuple.register == reader.register {
                true => [f64::midpoint(start[0], end[0]), start[1] + sag],
                false => [end[0], end[1] + sag],
            };
            marks.push(line(curve, color, 0.6 + 3.0 * strength, dash));
            numbers.push(self.weight(number, [read, to], asked));
        }
        marks.extend(numbers);
        marks
    }

    /// The attention of a line, as a number upon it.
    fn weight(&self, at: [f64; 2], [read, tuple]: [usize; 2], asked: bool) -> Mark {
        let (palette, attention) = (self.palette(), self.facts.attention(read, tuple));
        let half = [self.dx(9.0), self.dy(4.5)];
        let is_seen = self.has_numbers() && (asked || attention >= WORTH_A_NUMBER);
        Mark::Cells(vec![Cell {
            from: [at[0] - half[0], at[1] - half[1]],
            to: [at[0] + half[0], at[1] + half[1]],
            text: if is_seen { format!("{attention:.2}") } else { String::new() },
            fill: is_seen.then_some(palette.paper),
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
