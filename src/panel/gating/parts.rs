//! How a page is shared: how large everything is, where what belongs to the tuple in view stands, and what a lane is made of.

use crate::base::convert::narrow;
use crate::figure::font::{Family, Typeface};
use crate::figure::{LegendEntry, Sample};

/// What widths are measured in; a figure in another face is near to it.
pub const FACE: Typeface = Typeface::of(Family::Sans);
/// Sizes of text, in points: of the drawing, and of title and legend on a screen, which are the larger ones.
pub const TEXT: f32 = 7.0;
const TITLE: f32 = 9.6;
const LEGEND: f32 = 7.2;
/// A line of text is so many times as high as its letters.
const LINE: f32 = 1.2;

/// Room for the names of lanes, for the instructions above and for the two lines of answers below, in points.
pub const NAMES: f32 = 52.0;
pub const HEAD: f32 = 10.0;
const ANSWERS: f32 = 21.0;
/// For what was answered before a change.
const BEFORE: f32 = 10.0;
/// What stands beside the lanes takes, in points: right of them, or below them.
pub const RIGHT: f32 = 146.0;
pub const BELOW: f32 = 126.0;
/// Where a column has this width and a lane this height to spare, all is drawn larger, up to so many times.
const COMFORTABLE: [f32; 2] = [40.0, 72.0];
const LARGEST: f32 = 2.6;
/// Narrower panels have the lanes alone, in points.
const ROOM_FOR_RIGHT: f32 = 400.0;

/// Where the gates of the tuple in view and the matrix of registers stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Beside {
    Nowhere,
    Right,
    Below,
}

impl Beside {
    /// Points of width and of height.
    pub fn takes(self) -> [f32; 2] {
        match self {
            Self::Nowhere => [0.0; 2],
            Self::Right => [RIGHT, 0.0],
            Self::Below => [0.0, BELOW],
        }
    }
}

/// What has to find room on a page.
pub struct Wanted<'a> {
    pub size: [f32; 2],
    /// Drawings beside each other.
    pub plots: usize,
    pub beside: bool,
    pub registers: usize,
    pub tuples: usize,
    /// Answers are compared with earlier ones.
    pub compared: bool,
    pub legend: &'a [LegendEntry],
    pub caption: &'a str,
}

/// How large everything is, and the room of one drawing in points of that size.
#[derive(Clone, Copy, Debug)]
pub struct Room {
    pub scale: f32,
    pub size: [f32; 2],
    /// What the lines of answers below the lanes take.
    pub foot: f32,
    pub beside: Beside,
    /// Lanes are too low for the names in them.
    pub is_tight: bool,
}

impl Wanted<'_> {
    /// The arrangement in which all is largest.
    pub fn arranged(&self) -> Room {
        let places: &[Beside] = match self.beside {
            true => &[Beside::Right, Beside::Below],
            false => &[Beside::Nowhere],
        };
        let best = places.iter().filter_map(|beside| self.largest(*beside));
        let best = best.reduce(|best, next| if next.scale > best.scale { next } else { best });
        best.unwrap_or_else(|| {
            let room = self.room(1.0, Beside::Nowhere);
            let has_right = self.beside && room.size[0] >= ROOM_FOR_RIGHT;
            Room { beside: if has_right { Beside::Right } else { Beside::Nowhere }, ..room }
        })
    }

    /// The largest size at which all is comfortable; none where it is at no size.
    fn largest(&self, beside: Beside) -> Option<Room> {
        const STEP: f32 = 0.05;
        let sizes = (0..).map(|i| LARGEST - STEP * i as f32).take_while(|scale| *scale >= 1.0);
        let takes = beside.takes();
        let columns = COMFORTABLE[0] * self.tuples as f32;
        let lanes = COMFORTABLE[1] * self.registers as f32;
        let wanted = [10.0 + NAMES + columns + takes[0], HEAD + self.foot() + lanes + takes[1]];
        let fits = |room: &Room| room.size.iter().zip(wanted).all(|(has, wants)| *has >= wants);
        sizes.map(|scale| self.room(scale, beside)).find(fits)
    }

    fn foot(&self) -> f32 {
        if self.compared { ANSWERS + BEFORE } else { ANSWERS }
    }

    fn room(&self, scale: f32, beside: Beside) -> Room {
        let page = self.size.map(|s| s / scale);
        let width = page[0] / self.plots as f32;
        let caption = FACE.wrap(self.caption, LEGEND, page[0] - 8.0).len() as f32;
        let legend = rows(self.legend, 0.8 * width) as f32;
        // Names of drawings beside each other take a line.
        let lines = caption + legend + if self.plots > 1 { 1.0 } else { 0.0 };
        let height = page[1] - LINE * (TITLE + LEGEND * lines) - 16.0;
        let (foot, lanes) = (self.foot(), self.registers.max(1) as f32);
        let lane = (height - HEAD - foot - beside.takes()[1]) / lanes;
        let size = [width, height.max(0.4 * page[1])];
        Room { scale, size, foot, beside, is_tight: lane < LOWEST }
    }
}

/// Lines of a legend of a width.
fn rows(legend: &[LegendEntry], width: f32) -> usize {
    let wide = |entry: &LegendEntry| {
        let sample = if entry.sample == Sample::Line { 1.6 } else { 0.75 };
        FACE.width(&entry.text, LEGEND, false) + (sample + 1.9) * LEGEND
    };
    let (mut rows, mut used) = (usize::from(!legend.is_empty()), 0.0);
    for needs in legend.iter().map(wide) {
        if used > 0.0 && used + needs > width {
            (rows, used) = (rows + 1, 0.0);
        }
        used += needs;
    }
    rows
}

/// Where the parts of a lane lie, from its top on, in parts of its height; below the last one are lines of attention.
#[derive(Clone, Copy, Debug)]
pub struct Parts {
    /// What is held, and what is decoded where there is room for it.
    pub held: [f64; 2],
    pub decoded: Option<[f64; 2]>,
    /// From the upper end of open doors to their hinges.
    pub door: [f64; 2],
    /// The word for how a door stands.
    pub word: Option<[f64; 2]>,
    /// The box of a tuple.
    pub tuple: [f64; 2],
}

/// The least heights of the parts and of the room below, in points, and how they share what is left: doors gain most.
const LEAST: [f32; 6] = [10.0, 9.0, 12.0, 8.0, 10.0, 9.0];
const GAIN: [f32; 6] = [0.06, 0.06, 0.45, 0.03, 0.16, 0.24];
/// A lane that has neither what is decoded nor words, in points.
const LOWEST: f32 = 40.0;

impl Parts {
    /// The parts of a lane of a height in points. Where it is low, what is decoded goes first, then the word.
    pub fn new(height: f32, decoded: bool) -> Self {
        let mut least = LEAST;
        for (part, wanted) in [(1, decoded), (3, true)] {
            let low = least.iter().sum::<f32>() > height + 1.0;
            if !wanted || low {
                least[part] = 0.0;
            }
        }
        let sum: f32 = least.iter().sum();
        let spare = (height - sum).max(0.0);
        let squeezed = (height / sum).min(1.0);
        let share = |i: usize| {
            let gain = if least[i] > 0.0 { GAIN[i] } else { 0.0 };
            (least[i] * squeezed + gain * spare) / height
        };
        let end = |i: usize| f64::from((0..=i).map(share).sum::<f32>());
        // A hair between bands.
        let hair = f64::from(0.75 / height);
        Self {
            held: [hair, end(0)],
            decoded: (least[1] > 0.0).then(|| [end(0) + hair, end(1)]),
            door: [end(1), end(2)],
            word: (least[3] > 0.0).then(|| [end(2), end(3)]),
            tuple: [end(3) + hair, end(4)],
        }
    }

    /// Room between two ends of a part, in points of a lane of a height.
    pub fn points([from, to]: [f64; 2], height: f32) -> f32 {
        narrow(to - from) * height
    }
}
