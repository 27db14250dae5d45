//! Beside the lanes: the gates of the tuple in view, and which register's reads look at which register's address.

use crate::base::plain::Plain;
use crate::figure::color::{Color, ColorMap};
use crate::figure::{Anchor, Cell, Mark, Pick};
use crate::panel::outputs::number;
use crate::panel::{View, colors};

use super::hover_text::{self, missing};
use super::lanes::{Lanes, Words};
use super::parsed::Facts;
use super::parts::{self, FACE, RIGHT, TEXT};

/// Colours of attention; numbers stand upon them.
const MAP: ColorMap = ColorMap::Paper;
/// From the lanes to what stands beside them, and the height of a line of text, in points.
const GAP: f32 = 16.0;
const LINE: f32 = 9.0;
/// The largest side of a cell, and the smallest that is drawn, in points.
const LARGEST: f32 = 24.0;
const SMALLEST: f32 = 8.0;
/// Room for what is said here, in points.
const WIDTH: f32 = RIGHT - GAP;

/// Places beside the lanes, in points from a corner.
struct Beside<'a> {
    view: &'a View<'a>,
    facts: &'a Facts,
    lanes: &'a Lanes<'a>,
    /// The corner, in points below the upper end of the lanes and in tuples.
    left: f64,
    top: f32,
}

/// The gates of the tuple in view, and the matrix of registers: one below the other right of the lanes, or beside each other
/// below them.
pub fn marks<'a>(view: &'a View<'a>, facts: &'a Facts, lanes: &'a Lanes<'a>) -> Vec<Mark> {
    let at = |left, top| Beside { view, facts, lanes, left, top };
    match lanes.beside {
        parts::Beside::Nowhere => Vec::new(),
        parts::Beside::Right => {
            let left = lanes.right() + lanes.dx(GAP);
            let (mut marks, end) = at(left, 0.0).gates();
            marks.extend(at(left, end + 1.2 * LINE).matrix());
            marks
        }
        parts::Beside::Below => {
            let (left, top) = (lanes.left() + lanes.dx(2.0), lanes.answers_end() + GAP);
            let mut marks = at(left, top).gates().0;
            marks.extend(at(left + lanes.dx(RIGHT), top).matrix());
            marks
        }
    }
}

impl Beside<'_> {
    fn place(&self, x: f32, y: f32) -> [f64; 2] {
        [self.left + self.lanes.dx(x), self.lanes.dy(self.top + y)]
    }

    /// Whether there is room down to a height.
    fn fits(&self, bottom: f32) -> bool {
        self.top + bottom <= self.lanes.room_below()
    }

    fn line(&self, y: f32, text: &str, color: Color) -> Option<Mark> {
        if !self.fits(y + 0.6 * LINE) {
            return None;
        }
        let words = Words { color, anchor: Anchor::Left, width: WIDTH, height: LINE };
        self.lanes.text(self.place(0.0, y), text, &words)
    }

    /// The matrix with its heading.
    fn matrix(&self) -> Vec<Mark> {
        let (palette, facts) = (self.view.palette, self.facts);
        let count = facts.registers.len();
        let (left, top) = (26.0, 22.0);
        let room = [WIDTH - left, self.lanes.room_below() - self.top - top];
        let side = room.map(|room| room / count.max(1) as f32);
        let side = side[0].min(side[1]).min(LARGEST);
        if side < SMALLEST {
            return Vec::new();
        }
        let mut marks = Vec::new();
        marks.extend(self.line(-4.0, "Questions about (rows) attend to", palette.ink));
        marks.extend(self.line(5.0, "what is stored in (columns)", palette.ink));
        let name = |register: usize, x: f32, y: f32, anchor| {
            let width = if anchor == Anchor::Right { left } else { side };
            let words = Words { color: palette.faint, anchor, width, height: side };
            self.lanes.text(self.place(x, y), &facts.registers[register], &words)
        };
        let mut cells = Vec::new();
        for read in 0..count {
            let y = top + side * read as f32;
            marks.extend(name(read, left - 3.0, y + 0.5 * side, Anchor::Right));
            let over = left + side * (read as f32 + 0.5);
            marks.extend(name(read, over, top - 5.0, Anchor::Center));
            for of in 0..count {
                let x = left + side * of as f32;
                cells.push(self.cell(read, of, [x, y], side));
            }
        }
        marks.push(Mark::Cells(cells));
        marks
    }

    fn cell(&self, read: usize, of: usize, [x, y]: [f32; 2], side: f32) -> Cell {
        let facts = self.facts;
        let count = facts.registers.len();
        let (attention, score) =
            (facts.role_attention[read * count + of], facts.role_score[read * count + of]);
        let fill = attention
            .is_finite()
            .then(|| MAP.on(self.view.palette.dark).at(attention.clamp(0.0, 1.0)));
        let text = if fill.is_some() { format!("{attention:.2}") } else { String::new() };
        Cell {
            from: self.place(x, y),
            to: self.place(x + side, y + side),
            text,
            fill,
            stroke: Some(self.view.palette.paper),
            ink: fill.map_or(self.view.palette.ink, colors::text_on),
            pick: Pick::Nothing,
            hover: format!(
                "reads of {} attend to the tuple that stored what {} holds: mean attention {} over held-out sequences and heads, mean logit {}",
                facts.registers[read],
                facts.registers[of],
                number(attention),
                number(score)
            ),
            value: Some(("mean attention", f64::from(attention))),
        }
    }

    /// How the gates of the tuple in view stand, as bars from 0 to 1 or in the words why there is no number; and where that ends.
    fn gates(&self) -> (Vec<Mark>, f32) {
        let (palette, facts, at) = (self.view.palette, self.facts, self.facts.selected);
        let Some(tuple) = facts.tuples.get(at) else { return (Vec::new(), 0.0) };
        let mut marks = Vec::new();
        let title = format!("Tuple {at}: {}", hover_text::spelled(facts, tuple));
        marks.extend(self.line(-4.0, &title, palette.ink));
        let mut y = 1.2 * LINE - 4.0;
        for (heading, bars) in [
            ("Does it get in? (input gate)", self.input()),
            ("What is read? (output gate)", self.output()),
        ] {
            marks.extend(self.line(y, heading, palette.faint));
            y += 1.1 * LINE;
            for bar in bars {
                marks.extend(self.bar(&bar, &mut y));
            }
            y += 0.3 * LINE;
        }
        (marks, y)
    }

    fn input(&self) -> Vec<Bar> {
        let (facts, at) = (self.facts, self.facts.selected);
        let gate = facts.tuples[at].gate;
        let bar = |what, value, why: String| Bar {
            what,
            value,
            why,
            hover: hover_text::input_gate(facts, at),
            color: colors::KEY,
        };
        let open = if gate.is_told() { gate.open } else { f32::NAN };
        let mut bars = vec![bar("how far its door is open", open, missing::open(facts, at))];
        if gate.is_told() {
            bars.push(bar("… by its keys alone", gate.effect, missing::keys()));
        }
        bars
    }

    fn output(&self) -> Vec<Bar> {
        let (facts, at) = (self.facts, self.facts.selected);
        let tuple = &facts.tuples[at];
        let bar = |what, value, why, hover| Bar { what, value, why, hover, color: colors::QUERY };
        let Some(source) = tuple.source else {
            let why = missing::attention(facts, at);
            return vec![bar("attention", f32::NAN, why.clone(), why)];
        };
        let attention = facts.attention(at, source);
        let looked = hover_text::attention(facts, at, source);
        vec![
            bar("attention to what is held", attention, String::new(), looked),
            bar(
                "… by its query alone",
                tuple.output.effect,
                missing::query(facts, at),
                hover_text::output_gate(facts, at),
            ),
        ]
    }

    /// A bar with its number, or why there is none; `y` goes on to what follows.
    fn bar(&self, bar: &Bar, y: &mut f32) -> Vec<Mark> {
        let palette = self.view.palette;
        let top = *y;
        if !bar.value.is_finite() {
            let lines = FACE.wrap(&bar.why, TEXT, WIDTH);
            *y += LINE * (lines.len() as f32 + 0.2);
            let places = (0..).map(|i: u8| top + LINE * f32::from(i));
            let drawn =
                places.zip(&lines).filter_map(|(y, line)| self.line(y, line, palette.faint));
            return drawn.collect();
        }
        *y += 1.9 * LINE;
        let (upper, lower) = (top + 0.6 * LINE, top + 1.15 * LINE);
        if !self.fits(lower) {
            return Vec::new();
        }
        let said = format!("{}: {:.2}", bar.what, Plain(f64::from(bar.value)));
        let mut marks: Vec<Mark> = self.line(top, &said, palette.ink).into_iter().collect();
        marks.push(Mark::Rect {
            from: self.place(0.0, upper),
            to: self.place(bar.value.clamp(0.0, 1.0) * WIDTH, lower),
            fill: Some(bar.color),
            stroke: None,
            width: 0.0,
        });
        marks.push(Mark::Cells(vec![Cell {
            from: self.place(0.0, upper),
            to: self.place(WIDTH, lower),
            text: String::new(),
            fill: None,
            stroke: Some(palette.faint),
            ink: palette.ink,
            pick: Pick::Nothing,
            hover: bar.hover.clone(),
            value: Some((bar.what, f64::from(bar.value))),
        }]));
        marks
    }
}

/// A number from 0 to 1 of the tuple in view.
struct Bar {
    what: &'static str,
    /// NaN where there is none, and why.
    value: f32,
    why: String,
    hover: String,
    color: Color,
}
