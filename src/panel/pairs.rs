//! What panels over counterfactual pairs share: how they ask, the pair at the top, and the colours and the words of an effect.

use std::sync::Arc;

use crate::base::analysis::{Compared, Counted, Measured};
use crate::base::array::Array;
use crate::base::convert::{self, narrow};
use crate::base::intervention::{How, Intervention};
use crate::base::pair::Metric;
use crate::base::plain::Plain;
use crate::base::question::{MeasurementCall, Reading};
use crate::figure::color::{Color, ColorMap, Scaling, fraction};
use crate::figure::{Anchor, Axis, Cell, ColorBar, Figure, Mark, Pick, Plot, Ticks};

use super::outputs::{array, number, sentence, tokens};
use super::tokens::as_id;
use super::{View, colors, span};

/// What is said before the first answer to a question of patching.
pub const WAITING: &str =
    "The parts of the network are being tried one by one; the first results come in a moment.";

/// Asks it of these pairs; settings that say nothing are left out.
pub fn asked(
    call: MeasurementCall,
    measured: &Measured,
    compared: &Compared,
    counted: &Counted,
) -> MeasurementCall {
    let mut call = call.with("metric", measured.metric.name());
    let of_task = compared.other.trim().is_empty();
    if of_task {
        call = call.with("pairs", i64::try_from(compared.pairs).unwrap_or(i64::MAX));
    }
    let texts = match of_task {
        true => vec![("pair", &compared.pair)],
        false => {
            vec![("other", &compared.other), ("at", &compared.at), ("answers", &compared.answers)]
        }
    };
    for (setting, text) in texts.into_iter().filter(|(_, text)| !text.trim().is_empty()) {
        call = call.with(setting, text.as_str());
    }
    if counted.all_pairs { call.with("all_pairs", true) } else { call }
}

/// In maps of at most so many cells the effects are written.
pub const MOST_NUMBERS: usize = 40;

/// How effects are counted, and their colours.
pub struct Effects {
    metric: Metric,
    pub map: ColorMap,
    pub range: (f32, f32),
}

impl Effects {
    /// Colours around zero for what has two directions, with limits that are fixed while a map fills.
    pub fn new(metric: Metric, reading: &Reading, view: &View<'_>) -> Self {
        let of = |name: &str| reading.number(name).unwrap_or(0.0);
        let (map, range) = match metric {
            Metric::Normalised => (ColorMap::Vik, (-1.0, 1.0)),
            Metric::LogitDifference => {
                let whole = of("logit_difference_other") - of("logit_difference_base");
                let whole = if whole.is_finite() { narrow(whole.abs()) } else { 1.0 };
                let whole = whole.max(1e-3);
                (ColorMap::Vik, (-whole, whole))
            }
            Metric::Flip | Metric::RecoveredLoss => (ColorMap::Paper, (0.0, 1.0)),
            Metric::Kl => {
                let all = reading.arrays.iter().filter(|a| a.name.starts_with("effect."));
                let one = [narrow(of("effect"))];
                let most = span::most(all.flat_map(|a| a.data.iter()).chain(&one));
                (ColorMap::Paper, (0.0, if most > 0.0 { most } else { 1.0 }))
            }
        };
        Self { metric, map: map.on(view.palette.dark), range }
    }

    pub fn color(&self, value: f32) -> Color {
        self.map.at(fraction(value, self.range, Scaling::Linear))
    }

    /// What a map of them shows; `How` stands before it.
    pub fn title(&self) -> &'static str {
        match self.metric {
            Metric::Normalised => "far each part moves the prediction to the counterfactual one",
            Metric::LogitDifference => "much each part changes the logit difference",
            Metric::Flip => "often each part alone turns the answer",
            Metric::Kl => "much each part alone changes the prediction",
            Metric::RecoveredLoss => "much of the prediction is left without each part",
        }
    }

    pub fn bar(&self) -> ColorBar {
        let unit = match self.metric {
            Metric::Normalised => "effect",
            Metric::LogitDifference => "logits",
            Metric::Flip => "share of pairs",
            Metric::Kl => "KL (nats)",
            Metric::RecoveredLoss => "share recovered",
        };
        let (map, range) = (self.map, self.range);
        ColorBar { label: unit.to_owned(), map, range, scaling: Scaling::Linear }
    }

    /// What a part does, with its interval where it has one; nothing where it is not known.
    pub fn words(&self, [mean, low, high]: [f32; 3]) -> Option<String> {
        let interval = if low.is_finite() && high.is_finite() {
            format!(" (95 % interval {} to {})", number(low), number(high))
        } else {
            String::new()
        };
        let mean = (!mean.is_nan()).then(|| number(mean))?;
        Some(match self.metric {
            Metric::Normalised => {
                format!(
                    "moves the prediction {mean}{interval} of the way to the counterfactual one"
                )
            }
            Metric::LogitDifference => format!("changes the logit difference by {mean}{interval}"),
            Metric::Flip => format!("turns the answer in {mean} of the pairs{interval}"),
            Metric::Kl => format!("changes the prediction by {mean} nats{interval}"),
            Metric::RecoveredLoss => {
                format!("leaves {mean} of what the network gains over guessing{interval}")
            }
        })
    }

    /// The effect in each cell of a map.
    pub fn written(&self, values: &[f32], columns: usize) -> Vec<Mark> {
        let known = values.iter().enumerate().filter(|(_, value)| value.is_finite());
        let mark = |(i, value): (usize, &f32)| Mark::Text {
            at: [(i % columns) as f64 + 0.5, (i / columns) as f64 + 0.5],
            text: short(*value),
            color: colors::text_on(self.color(*value)),
            anchor: Anchor::Center,
            size: 8.0,
        };
        known.map(mark).collect()
    }

    /// Which pairs do not count, and what else a reader could take for an error.
    pub fn caption(&self, view: &View<'_>, reading: &Reading, plots: &[Plot]) -> String {
        let past = match self.metric {
            Metric::Kl => span::past_maps(plots),
            // Of these the ends of the colours have a meaning.
            Metric::Normalised | Metric::LogitDifference | Metric::Flip | Metric::RecoveredLoss => {
                String::new()
            }
        };
        let mut parts = reading.notes.clone();
        let of = |name: &str| reading.number(name).unwrap_or(f64::NAN);
        if of("pairs") > 1.0 {
            let counted = of("pairs_counted");
            parts.insert(0, format!("Means of {counted:.0} pairs; one of them is shown."));
        }
        let in_force = view.readings.map_or(&[][..], |readings| &readings.interventions);
        if in_force.iter().any(|what| !is_patch(what)) {
            parts.push("The map is of the network with nothing in force.".to_owned());
        }
        span::sentences([parts.join(" "), past])
    }
}

fn is_patch(what: &Intervention) -> bool {
    matches!(what, Intervention::Change { how: How::Patch(_), .. })
}

/// Two digits after the point.
pub fn short(value: f32) -> String {
    format!("{:.2}", Plain(f64::from(value))).replace('-', "−")
}

/// What stands in place of an effect that is not known; `ended`: all cells that there are have been done.
pub fn unknown(ended: bool) -> &'static str {
    if ended { "not there" } else { "not tried yet" }
}

/// The colour of its hatching.
pub fn hatched(view: &View<'_>) -> Color {
    colors::mix(view.palette.paper, view.palette.ink, 0.4)
}

/// What was found of the cells of a map.
pub struct Estimates<'a> {
    pub effect: &'a Array,
    low: &'a Array,
    high: &'a Array,
}

impl<'a> Estimates<'a> {
    /// # Errors
    /// The figure that says what is missing.
    pub fn named(reading: &'a Reading, name: &str) -> Result<Self, Figure> {
        let rank = reading.array(&format!("effect.{name}")).map_or(0, |a| a.shape.len());
        let of = |what: &str| array(reading, &format!("{what}.{name}"), rank);
        Ok(Self { effect: of("effect")?, low: of("low")?, high: of("high")? })
    }

    /// Effect and interval of a cell by its coordinates; not a number where there is none.
    pub fn at(&self, coordinates: &[usize]) -> [f32; 3] {
        let along = || coordinates.iter().zip(&self.effect.shape);
        if along().any(|(c, n)| c >= n) {
            return [f32::NAN; 3];
        }
        let index = along().fold(0, |at, (c, n)| at * n + c);
        [self.effect, self.low, self.high].map(|a| a.data.get(index).copied().unwrap_or(f32::NAN))
    }
}

/// The pair that is shown at the top, and to whose base a click leads.
pub struct Shown {
    pub base: Arc<[u32]>,
    pub other: Arc<[u32]>,
    /// Where the prediction is made.
    pub at: usize,
    answers: [u32; 2],
    /// The last position where any pair is predicted.
    pub last: usize,
}

impl Shown {
    /// # Errors
    /// The figure that says that no pair counts, or what is missing.
    pub fn new(reading: &Reading, step: u64) -> Result<Self, Figure> {
        if reading.number("pairs_counted").unwrap_or(0.0) == 0.0 {
            return Err(sentence(format!(
                "At step {step} no pair counts. {} The setting “all pairs” counts them all the same; later in training there may be some.",
                reading.notes.join(" ")
            )));
        }
        let ids = |name: &str| -> Result<Vec<u32>, Figure> {
            Ok(array(reading, name, 1)?.data.iter().map(|id| as_id(*id)).collect())
        };
        let one = |name: &str| -> Result<usize, Figure> {
            Ok(array(reading, name, 1)?.data.first().map_or(0, |v| convert::index(*v)))
        };
        let answers = ids("answers")?;
        let answer = |i: usize| answers.get(i).copied().unwrap_or(0);
        Ok(Self {
            base: ids("base_tokens")?.into(),
            other: ids("other_tokens")?.into(),
            at: one("at")?,
            answers: [answer(0), answer(1)],
            last: one("last")?,
        })
    }

    fn differs(&self, position: usize) -> bool {
        self.base.get(position) != self.other.get(position)
    }

    /// Positions to show, none where some are left out: around each difference and before the prediction.
    fn columns(&self, most: usize) -> Vec<Option<usize>> {
        let until = self.at.min(self.base.len().saturating_sub(1));
        if until < most {
            return (0..=until).map(Some).collect();
        }
        let reach = |around: usize| -> Vec<Option<usize>> {
            let near = |p: usize| {
                let from = p.saturating_sub(around);
                p + around >= until || (from..=p + around).any(|q| q <= until && self.differs(q))
            };
            let mut columns = Vec::new();
            for position in 0..=until {
                match columns.last() {
                    _ if near(position) => columns.push(Some(position)),
                    Some(None) => {}
                    _ => columns.push(None),
                }
            }
            columns
        };
        // As much around them as there is room for.
        let chosen = (0..most).map(reach).take_while(|columns| columns.len() <= most).last();
        let mut columns = chosen.unwrap_or_else(|| reach(0));
        let surplus = columns.len().saturating_sub(most);
        columns.drain(..surplus);
        columns
    }

    /// The pair above maps, which have what is left of the height; those that are wide lie below each other.
    pub fn above(&self, view: &View<'_>, maps: Vec<Plot>) -> Vec<Plot> {
        let stacked = maps.iter().filter(|map| map.wide).count().max(1);
        // What the title, the pair and the gaps between plots leave.
        let height = (view.size[1] - STRIP - 44.0).max(40.0) / stacked as f32;
        let maps = maps.into_iter().map(|map| Plot { weight: height, ..map });
        [self.strip(view)].into_iter().chain(maps).collect()
    }

    /// Two rows of tokens, one below the other, to the prediction and its two answers.
    fn strip(&self, view: &View<'_>) -> Plot {
        let glyphs = self.base.iter().chain(self.other.iter()).map(|&id| view.vocab.glyph(id));
        let signs = glyphs.map(|glyph| glyph.chars().count()).max().unwrap_or(1).max(1);
        let box_points = (7.0 + 5.5 * signs as f32).min(48.0);
        // The names of the rows stand left, the answers right.
        let names = f64::from(NAMES / box_points);
        let room = (view.size[0] - NAMES - 8.0) / box_points - 2.0;
        let most = convert::index(room.clamp(4.0, 400.0));
        let columns = self.columns(most);
        let width = most.max(columns.len()) as f64 + 2.0;
        let in_view = tokens(view) == &self.base[..];
        // What differs stands on dark in the base and on pale in the other sequence.
        let shade = |t| colors::mix(view.palette.paper, view.palette.ink, t);
        let ([base_ink, other_ink], plain) = ([shade(0.75), shade(0.28)], shade(0.07));
        let mut cells = Vec::new();
        let mut marks = Vec::new();
        let numbered = |p: usize| p == self.at || self.differs(p);
        for (column, position) in columns.iter().enumerate() {
            let x = column as f64;
            let Some(position) = *position else {
                marks.extend([1.5, 2.6].map(|y| text(view.palette.faint, [x + 0.5, y], "…")));
                continue;
            };
            if numbered(position) {
                let at = [x + 0.5, 0.55];
                marks.push(text(view.palette.faint, at, &position.to_string()));
            }
            let (differs, predicts) = (self.differs(position), position == self.at);
            for (row, (ids, color)) in
                [(&self.base, base_ink), (&self.other, other_ink)].into_iter().enumerate()
            {
                let fill = if differs { color } else { plain };
                let y = 1.0 + 1.1 * row as f64;
                cells.push(Cell {
                    from: [x + 0.04, y],
                    to: [x + 0.96, y + 1.0],
                    text: view.vocab.glyph(ids.get(position).copied().unwrap_or(0)),
                    fill: Some(fill),
                    stroke: predicts.then_some(view.palette.ink),
                    ink: if differs { colors::text_on(fill) } else { view.palette.ink },
                    pick: if in_view { Pick::Query(position) } else { Pick::Nothing },
                    hover: self.words(view, position),
                    value: None,
                });
            }
        }
        let x = columns.len() as f64;
        for (row, (answer, color)) in self.answers.iter().zip([base_ink, other_ink]).enumerate() {
            let y = 1.0 + 1.1 * row as f64;
            marks.push(text(view.palette.ink, [x + 0.5, y + 0.5], "→"));
            cells.push(Cell {
                from: [x + 1.0, y],
                to: [x + 1.96, y + 1.0],
                text: view.vocab.glyph(*answer),
                fill: None,
                stroke: Some(color),
                ink: view.palette.ink,
                pick: Pick::Nothing,
                hover: format!("the answer of this sequence: “{}”", view.vocab.glyph(*answer)),
                value: None,
            });
        }
        marks.insert(0, Mark::Cells(cells));
        let named = if view.size[0] < NARROW { &[][..] } else { &NAMED[..] };
        for (y, name) in named {
            let (text, color) = ((*name).to_owned(), view.palette.ink);
            let at = [-0.25, *y];
            marks.push(Mark::Text { at, text, color, anchor: Anchor::Right, size: 7.0 });
        }
        Plot {
            x: Axis { range: (-names, width), ticks: Ticks::Hidden, ..Axis::default() },
            y: Axis { range: (3.15, 0.0), ticks: Ticks::Hidden, ..Axis::default() },
            marks,
            weight: STRIP,
            wide: true,
            ..Plot::default()
        }
    }

    fn words(&self, view: &View<'_>, position: usize) -> String {
        let glyph = |ids: &[u32]| view.vocab.glyph(ids.get(position).copied().unwrap_or(0));
        let (base, other) = (glyph(&self.base), glyph(&self.other));
        let token = if base == other {
            format!("“{base}” in both sequences")
        } else {
            format!("“{base}” in the base sequence, “{other}” in the counterfactual one")
        };
        let here = if position == self.at { "; the prediction is made here" } else { "" };
        format!("position {position}: {token}{here}")
    }
}

/// Height of the pair, in points; maps have what is left.
const STRIP: f32 = 46.0;
/// Its rows by their middle.
const NAMED: [(f64, &str); 2] = [(1.5, "base"), (2.6, "other")];
/// In a narrower panel than this, in points, they have no names.
const NARROW: f32 = 150.0;
/// Room for the names of its rows, in points.
const NAMES: f32 = 58.0;

fn text(color: Color, at: [f64; 2], text: &str) -> Mark {
    Mark::Text { at, text: text.to_owned(), color, anchor: Anchor::Center, size: 8.0 }
}
