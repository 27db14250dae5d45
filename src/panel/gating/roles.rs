//! Beside the lanes: which register's reads look at which register's address, and the output gate of the read in view.

use crate::base::plain::Plain;
use crate::figure::color::{Color, ColorMap};
use crate::figure::{Anchor, Cell, Mark, Pick};
use crate::panel::outputs::number;
use crate::panel::{View, colors};

use super::hover_text;
use super::lanes::{Lanes, Words};
use super::parsed::Facts;

/// Colours of attention; numbers stand upon them.
const MAP: ColorMap = ColorMap::Paper;
/// From the lanes to what stands beside them, and the height of a line of text, in points.
const GAP: f32 = 16.0;
const LINE: f32 = 9.0;
/// The largest side of a cell, and the smallest that is drawn, in points.
const LARGEST: f32 = 24.0;
const SMALLEST: f32 = 6.0;

/// Places beside the lanes, in points from their upper right corner.
struct Beside<'a> {
    view: &'a View<'a>,
    facts: &'a Facts,
    lanes: &'a Lanes<'a>,
}

pub fn marks<'a>(view: &'a View<'a>, facts: &'a Facts, lanes: &'a Lanes<'a>) -> Vec<Mark> {
    let beside = Beside { view, facts, lanes };
    let (mut marks, below) = beside.matrix();
    marks.extend(beside.output_gate(below + 10.0));
    marks
}

impl Beside<'_> {
    fn place(&self, x: f32, y: f32) -> [f64; 2] {
        [self.lanes.right() + self.lanes.dx(GAP + x), self.lanes.dy(y)]
    }

    fn width(&self) -> f32 {
        self.lanes.side - GAP
    }

    /// Whether there is room down to a height.
    fn fits(&self, bottom: f32) -> bool {
        bottom <= self.lanes.room_below()
    }

    fn line(&self, y: f32, text: &str, color: Color) -> Option<Mark> {
        if !self.fits(y + 0.6 * LINE) {
            return None;
        }
        let words = Words { color, anchor: Anchor::Left, width: self.width(), height: LINE };
        self.lanes.text(self.place(0.0, y), text, &words)
    }

    /// The matrix with its heading, and where it ends.
    fn matrix(&self) -> (Vec<Mark>, f32) {
        let (palette, facts) = (self.view.palette, self.facts);
        let count = facts.registers.len();
        let mut marks = Vec::new();
        marks.extend(self.line(-4.0, "attention of reads (rows)", palette.ink));
        marks.extend(self.line(5.0, "to addresses (columns)", palette.ink));
        let (left, top) = (26.0, 22.0);
        let room = [self.width() - left, self.lanes.room_below() - top];
        let side = room.map(|room| room / count.max(1) as f32);
        let side = side[0].min(side[1]).min(LARGEST);
        if side < SMALLEST {
            return (marks, top);
        }
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
        (marks, top + side * count as f32)
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

    /// Attention to the right address, and beside it what the query does, as bars from 0 to 1.
    fn output_gate(&self, top: f32) -> Vec<Mark> {
        let (palette, facts, read) = (self.view.palette, self.facts, self.facts.selected);
        let Some(tuple) = facts.tuples.get(read) else { return Vec::new() };
        let mut marks = Vec::new();
        let title = format!("Output gate of tuple {read}");
        marks.extend(self.line(top, &title, palette.ink));
        marks.extend(self.line(top + LINE, &hover_text::spelled(facts, tuple), palette.faint));
        let address = tuple.source.map_or(f32::NAN, |source| facts.attention(read, source));
        let looked = match tuple.source {
            Some(source) => hover_text::attention(facts, read, source),
            None => "nothing is held yet, so there is no address to look at".to_owned(),
        };
        let bars = [
            ("attention to its address", address, looked),
            ("effect of its query", tuple.output.effect, hover_text::output_gate(facts, read)),
        ];
        for (i, (what, value, hover)) in bars.into_iter().enumerate() {
            let y = top + 2.3 * LINE + 2.4 * LINE * i as f32;
            marks.extend(self.bar(y, what, value, hover));
        }
        marks
    }

    fn bar(&self, y: f32, what: &'static str, value: f32, hover: String) -> Vec<Mark> {
        let palette = self.view.palette;
        let said = if value.is_finite() {
            format!("{:.2}", Plain(f64::from(value)))
        } else {
            "–".to_owned()
        };
        let (top, bottom) = (y + 0.6 * LINE, y + 1.2 * LINE);
        if !self.fits(bottom) {
            return Vec::new();
        }
        let mut marks: Vec<Mark> =
            self.line(y, &format!("{what}: {said}"), palette.ink).into_iter().collect();
        let share = if value.is_finite() { value.clamp(0.0, 1.0) } else { 0.0 };
        marks.push(Mark::Rect {
            from: self.place(0.0, top),
            to: self.place(share * self.width(), bottom),
            fill: Some(colors::QUERY),
            stroke: None,
            width: 0.0,
        });
        marks.push(Mark::Cells(vec![Cell {
            from: self.place(0.0, top),
            to: self.place(self.width(), bottom),
            text: String::new(),
            fill: None,
            stroke: Some(palette.faint),
            ink: palette.ink,
            pick: Pick::Nothing,
            hover,
            value: Some((what, f64::from(value))),
        }]));
        marks
    }
}
