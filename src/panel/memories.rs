//! The associations stored in the weight matrices, beside those that a perfect induction head would store.

use crate::base::array::Array;
use crate::base::plain::Plain;
use crate::base::question::{MeasurementCall, Reading};
use crate::figure::color::{ColorMap, Scaling};
use crate::figure::{Axis, ColorBar, Figure, Heat, HeatPick, LegendEntry, Mark, Plot, Ticks};

use super::outputs::{array, reading, sentence, step_text};
use super::{NetShape, Palette, Panel, PanelKind, Selection, View, colors, span};

/// What is known of it before one is made.
pub const KIND: PanelKind = PanelKind {
    title: "Memories",
    look_for: "How the diagonal fills: a matrix that has stored an association has its largest entry where the perfect one has it. The strip says which are stored (teal) and which not yet (pale).",
    click: "A click does nothing here; pointing at a cell tells the two tokens or positions, and the value.",
    aspect: 1.2,
    example: "birth",
    ..PanelKind::new("memories", || Box::<Memories>::default())
};

crate::choices! {
    /// Which matrices are drawn.
    pub enum Which {
        All = "all",
        Wo2 = "wo2",
        Wk2 = "wk2",
        Wk1 = "wk1",
        Wf = "wf",
    }
}

crate::settings! {
    /// The panel `memories`.
    pub struct Memories = "What the weight matrices of the model birth have stored, in the space of tokens and positions, beside what they should store." {
        /// Which matrix to draw: the output memory, the induction memory, the previous-token memory, the global law, or all of them.
        which: Which = Which::All, @live;
        /// Draw, beside each matrix, the one that a perfect induction head would have.
        ideal: bool = true, @live;
        /// Positions shown of the previous-token memory; the others follow the same rule.
        positions: usize = 64, in 8..=1024, @live;
    }
}

impl Panel for Memories {
    fn needs(&self, _net: &NetShape, _selection: &Selection) -> Vec<MeasurementCall> {
        vec![self.call()]
    }

    fn figure(&self, view: &View<'_>) -> Figure {
        self.draw(view).unwrap_or_else(|instead| instead)
    }
}

impl Memories {
    fn call(&self) -> MeasurementCall {
        let positions = i64::try_from(self.positions).unwrap_or(i64::MAX);
        MeasurementCall::new("memories").with("positions", positions)
    }

    fn draw(&self, view: &View<'_>) -> Result<Figure, Figure> {
        let answer = reading(view, &self.call())?;
        let wanted = MEMORIES.iter().filter(|m| self.which == Which::All || self.which == m.which);
        let present: Vec<&Memory> = wanted.filter(|m| answer.array(m.array).is_some()).collect();
        if present.is_empty() {
            return Err(sentence(format!(
                "This network has no {}: choose another matrix in the settings of this panel.",
                self.which.name()
            )));
        }
        // What should be stored is the same in all that is compared.
        let ideal = self.ideal && view.against.is_none();
        let mut plots = Vec::new();
        for memory in &present {
            let found = Found::new(memory, array(answer, memory.array, 2)?, answer, self.positions);
            let mut plot = found.plot(view, answer);
            plot.title = found.title(answer, present.len() > 1);
            // Beside other matrices the caption says it: there is no room for a legend.
            if present.len() == 1 && found.stored.iter().any(Option::is_some) {
                plot.legend =
                    [("stored", colors::STORED), ("not yet", colors::not_yet(view.palette))]
                        .map(|(text, color)| LegendEntry::square(text, color))
                        .to_vec();
            }
            plots.push(plot);
            if ideal {
                plots.extend(found.ideal(view, answer));
            }
        }
        if present.len() > 1 {
            for bar in plots.iter_mut().filter_map(|plot| plot.color_bar.as_mut()) {
                bar.label.clear();
            }
        }
        let per_memory = if ideal { 2 } else { 1 };
        Ok(Figure {
            title: format!("Memories, {}", step_text(view)),
            columns: columns(view, plots.len(), per_memory),
            caption: span::sentences([caption(view, answer, &present), span::past_maps(&plots)]),
            plots,
            ..Figure::default()
        })
    }
}

/// One weight matrix as a memory of associations.
struct Memory {
    which: Which,
    /// Its name in the answer.
    array: &'static str,
    title: &'static str,
    /// What it is a memory of.
    plainly: &'static str,
    rows: &'static str,
    columns: &'static str,
    /// The number that says how much is stored.
    score: &'static str,
    /// What is asked of it: the axis along which associations are counted.
    along: Along,
}

/// The axis of a matrix on which each association has one entry.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Along {
    /// For every column, the right row should be the largest.
    Columns,
    /// For every row, the right column should be the largest.
    Rows,
}

const MEMORIES: [Memory; 4] = [
    Memory {
        which: Which::Wo2,
        array: "wo2",
        title: "W_O2",
        plainly: "What to output",
        rows: "output token",
        columns: "attended token",
        score: "recall_wo2",
        along: Along::Columns,
    },
    Memory {
        which: Which::Wk2,
        array: "wk2",
        title: "W_K2",
        plainly: "Whom to find",
        rows: "query token",
        columns: "token before the key",
        score: "recall_wk2",
        along: Along::Rows,
    },
    Memory {
        which: Which::Wk1,
        array: "wk1",
        title: "W_K1",
        plainly: "Look one back",
        rows: "query position",
        columns: "key position",
        score: "recall_wk1",
        along: Along::Rows,
    },
    Memory {
        which: Which::Wf,
        array: "wf",
        title: "W_F",
        plainly: "Usual next letter",
        rows: "next token",
        columns: "current token",
        score: "kl_wf",
        along: Along::Columns,
    },
];

/// A matrix as it is, cut to what is shown.
struct Found<'a> {
    memory: &'a Memory,
    rows: usize,
    columns: usize,
    values: Vec<f32>,
    /// For each row or column: stored, not yet, or not asked for.
    stored: Vec<Option<bool>>,
}

impl<'a> Found<'a> {
    fn new(memory: &'a Memory, array: &Array, answer: &Reading, positions: usize) -> Self {
        let most = if memory.which == Which::Wk1 { positions } else { usize::MAX };
        let (rows, columns) = (array.shape[0].min(most), array.shape[1].min(most));
        let values = (0..rows).flat_map(|r| array.outer(r)[..columns].iter().copied()).collect();
        let stored = stored(memory, array, answer);
        Self { memory, rows, columns, values, stored }
    }

    fn plot(&self, view: &View<'_>, answer: &Reading) -> Plot {
        let (values, scale) = (self.values.clone(), self.scale(answer));
        let mut plot = self.heat(view, values, &scale, String::new());
        plot.marks.extend(self.strip(view.palette));
        plot
    }

    /// Probabilities share their scale with the law; scores are centred on 0.
    fn scale(&self, answer: &Reading) -> Scale {
        let law = self.law(answer).map_or(&[][..], |law| &law.data);
        let most = span::most(self.values.iter().chain(law));
        let most = if most > 0.0 { most } else { 1.0 };
        match self.memory.which {
            Which::Wf => Scale { map: ColorMap::Paper, range: (0.0, most), label: "probability" },
            Which::All | Which::Wo2 | Which::Wk2 | Which::Wk1 => {
                Scale { map: ColorMap::Vik, range: (-most, most), label: "score" }
            }
        }
    }

    /// The law of the next token, where it is what should be stored.
    fn law<'r>(&self, answer: &'r Reading) -> Option<&'r Array> {
        let law = answer.array("global_law").filter(|l| l.data.len() == self.values.len());
        law.filter(|_| self.memory.which == Which::Wf)
    }

    /// What it should be: the diagonal (of `W_K2` over the triggers alone), the diagonal below it, or the law of
    /// the next token. Nothing where the law is not known.
    fn ideal(&self, view: &View<'_>, answer: &Reading) -> Option<Plot> {
        let plot = if self.memory.which == Which::Wf {
            let law = self.law(answer)?.data.to_vec();
            self.heat(view, law, &self.scale(answer), "True frequencies".to_owned())
        } else {
            let below = usize::from(self.memory.which == Which::Wk1);
            let cells = (0..self.rows).flat_map(|r| (0..self.columns).map(move |c| (r, c)));
            let is_stored = |r: usize, c: usize| r == c + below && self.is_asked_for(r);
            let values = cells.map(|(r, c)| if is_stored(r, c) { 1.0 } else { 0.0 }).collect();
            let scale = Scale { map: ColorMap::Vik, range: (-1.0, 1.0), label: "score" };
            self.heat(view, values, &scale, "Ideal".to_owned())
        };
        Some(plot)
    }

    /// Whether the query of a row of `W_K2` has anything to find: where triggers are fixed, only theirs have. Rows
    /// of the others always do.
    fn is_asked_for(&self, row: usize) -> bool {
        let known = self.memory.which == Which::Wk2 && !self.stored.is_empty();
        !known || self.stored.get(row).is_some_and(Option::is_some)
    }

    /// The name of the matrix and how much of it is there; beside others the caption says what that means.
    fn title(&self, answer: &Reading, short: bool) -> String {
        let name = self.memory.title;
        let Some(score) = answer.number(self.memory.score).filter(|s| s.is_finite()) else {
            return name.to_owned();
        };
        let plainly = self.memory.plainly;
        match (self.memory.which, short) {
            (Which::Wf, true) => format!("{name}: {:.2} nats", Plain(score)),
            (Which::Wf, false) => format!("{plainly} ({name}): {:.2} nats off", Plain(score)),
            (_, true) => format!("{name}: {:.0} %", score * 100.0),
            (_, false) => format!("{plainly} ({name}): {:.0} % stored", score * 100.0),
        }
    }

    fn heat(&self, view: &View<'_>, values: Vec<f32>, scale: &Scale, title: String) -> Plot {
        let names = |count: usize, what: &str| -> Vec<String> {
            (0..count).map(|i| format!("{what} {}", self.name(view, i))).collect()
        };
        let heat = Heat {
            name: self.memory.title.to_owned(),
            rows: self.rows,
            columns: self.columns,
            values: values.into(),
            map: scale.map.on(view.palette.dark),
            range: scale.range,
            pick: HeatPick::Named {
                rows: names(self.rows, self.memory.rows).into(),
                columns: names(self.columns, self.memory.columns).into(),
            },
            ..Heat::default()
        };
        let (left, top) = self.margins();
        let axis = |label: &str, range, count| Axis {
            label: label.to_owned(),
            range,
            along: crate::figure::Along::Values,
            ticks: self.ticks(view, count),
        };
        Plot {
            title,
            x: axis(self.memory.columns, (-left, self.columns as f64), self.columns),
            y: axis(self.memory.rows, (self.rows as f64, -top), self.rows),
            equal: true,
            marks: vec![Mark::Heat(heat)],
            color_bar: Some(ColorBar {
                label: scale.label.to_owned(),
                map: scale.map.on(view.palette.dark),
                range: scale.range,
                scaling: Scaling::Linear,
            }),
            ..Plot::default()
        }
    }

    /// Room for the strip of what is stored: left of the rows or above the columns.
    fn margins(&self) -> (f64, f64) {
        if self.stored.iter().all(Option::is_none) {
            return (0.0, 0.0);
        }
        match self.memory.along {
            Along::Rows => (self.strip_width(), 0.0),
            Along::Columns => (0.0, self.strip_width()),
        }
    }

    fn strip_width(&self) -> f64 {
        (self.rows.max(self.columns) as f64 * 0.05).max(0.3)
    }

    /// A strip along the matrix: which associations are stored and which not yet.
    fn strip(&self, palette: Palette) -> Vec<Mark> {
        let width = self.strip_width();
        let count = match self.memory.along {
            Along::Rows => self.rows,
            Along::Columns => self.columns,
        };
        let known = self.stored.iter().take(count).enumerate();
        known
            .filter_map(|(i, stored)| {
                let color = if (*stored)? { colors::STORED } else { colors::not_yet(palette) };
                let (i, near, far) = (i as f64, -0.25 * width, -width);
                let (from, to) = match self.memory.along {
                    Along::Rows => ([far, i], [near, i + 1.0]),
                    Along::Columns => ([i, far], [i + 1.0, near]),
                };
                Some(Mark::Rect { from, to, fill: Some(color), stroke: None, width: 0.0 })
            })
            .collect()
    }

    fn ticks(&self, view: &View<'_>, count: usize) -> Ticks {
        if self.memory.which == Which::Wk1 {
            let every = if count > 200 { 50 } else { 16 };
            let at = (0..count).step_by(every).map(|i| (i as f64 + 0.5, i.to_string()));
            return Ticks::At(at.collect());
        }
        Ticks::At((0..count).map(|i| (i as f64 + 0.5, self.name(view, i))).collect())
    }

    /// A row or column by name: its token, or its position.
    fn name(&self, view: &View<'_>, index: usize) -> String {
        if self.memory.which == Which::Wk1 {
            return index.to_string();
        }
        view.vocab.glyph(u32::try_from(index).unwrap_or(u32::MAX))
    }
}

/// Colours of a matrix.
struct Scale {
    map: ColorMap,
    range: (f32, f32),
    label: &'static str,
}

/// For each row or column of a memory whether its association is stored; `None` where none is asked for.
fn stored(memory: &Memory, array: &Array, answer: &Reading) -> Vec<Option<bool>> {
    let Some(recalled) = answer.array(&format!("recalled.{}", memory.array)) else {
        return Vec::new();
    };
    let length = match memory.along {
        Along::Rows => array.shape[0],
        Along::Columns => array.shape[1],
    };
    let known = |v: &f32| v.is_finite().then_some(*v > 0.5);
    let stored: Vec<Option<bool>> = recalled.data.iter().map(known).collect();
    if stored.len() == length { stored } else { Vec::new() }
}

/// Names the tokens that are not stored yet, memory by memory.
fn caption(view: &View<'_>, answer: &Reading, present: &[&Memory]) -> String {
    let missing = |memory: &&Memory| {
        if memory.which == Which::Wk1 || memory.which == Which::Wf {
            return None;
        }
        let stored = stored(memory, answer.array(memory.array)?, answer);
        let missing: Vec<String> = (0u32..)
            .zip(&stored)
            .filter(|(_, s)| **s == Some(false))
            .map(|(id, _)| view.vocab.glyph(id))
            .collect();
        if stored.iter().all(Option::is_none) {
            return None;
        }
        let name = memory.title;
        Some(match missing.len() {
            0 => format!("{name}: all stored."),
            n if n > MOST_NAMED => {
                format!(
                    "{name}: not yet stored {} and {} more.",
                    missing[..MOST_NAMED].join(" "),
                    n - MOST_NAMED
                )
            }
            _ => format!("{name}: not yet stored {}.", missing.join(" ")),
        })
    };
    let mut sentences: Vec<String> = present.iter().filter_map(missing).collect();
    if present.len() > 1 && !sentences.is_empty() {
        sentences.insert(0, "%: share stored (strips: teal, not yet: pale).".to_owned());
    }
    sentences.join(" ")
}

/// Tokens that a caption lists before it counts the rest.
const MOST_NAMED: usize = 20;

/// Plots in a row, so that pairs stay together and plots are about as wide as high.
fn columns(view: &View<'_>, plots: usize, per_memory: usize) -> usize {
    let wide = view.size[0] / view.size[1].max(1.0);
    let choices = [per_memory, 2 * per_memory, 4 * per_memory];
    let misfit = |columns: usize| {
        let rows = plots.div_ceil(columns);
        // Width over height of one plot, as far from square as it is.
        (wide * rows as f32 / columns as f32).ln().abs()
    };
    let fitting = choices.into_iter().filter(|&c| c <= plots.max(per_memory));
    fitting.min_by(|&a, &b| misfit(a).total_cmp(&misfit(b))).unwrap_or(per_memory)
}
