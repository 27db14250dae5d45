//! What each part of the network does through its direct path into another: its effect when that path alone is taken from a
//! counterfactual run.

use crate::base::analysis::{Compared, Counted, Measured, Paths as Between};
use crate::base::convert::narrow;
use crate::base::intervention::{Place, Point};
use crate::base::question::{MeasurementCall, Reading};
use crate::figure::{Axis, Cell, Figure, Heat, HeatPick, LegendEntry, Mark, Pick, Plot, Ticks};

use super::outputs::{long_answer, sentence};
use super::pairs::{self, Effects, Estimates, Shown};
use super::{NetShape, Panel, PanelKind, Selection, Stack, View, colors};

/// What is known of it before one is made.
pub const KIND: PanelKind = PanelKind {
    title: "Path patching",
    look_for: "Cells of a strong colour: heads that bring the answer of the counterfactual sequence (the other text) along by what they send directly into the place that is chosen at “Into”. Near 1 is the whole effect, near 0 none.",
    click: "A click on a head puts it into focus everywhere. “Into” then offers its queries, keys and values: so a circuit is followed back, head by head.",
    stack: Stack::MiddleBelow,
    controls: &[("metric", "Measure")],
    ..PanelKind::new("paths", || Box::<Paths>::default())
};

crate::settings! {
    /// The panel `paths`: a map of the analysis `path`.
    pub struct Paths = "What each head does through its direct path into another part of the network: only what goes along this path is taken from the run on the counterfactual sequence." {
        /// From where to where: from each part by itself into the prediction.
        between: Between = Between { from: Between::EACH.to_owned(), to: "logits".to_owned(), ..Between::default() };
        /// How.
        measured: Measured = Measured::default();
        /// Which sequences.
        compared: Compared = Compared::default();
        /// Which pairs.
        counted: Counted = Counted::default();
    }
}

impl Panel for Paths {
    fn needs(&self, _net: &NetShape, _selection: &Selection) -> Vec<MeasurementCall> {
        Vec::new()
    }

    fn analyses(&self, _net: &NetShape, _selection: &Selection) -> Vec<MeasurementCall> {
        vec![self.call()]
    }

    fn figure(&self, view: &View<'_>) -> Figure {
        self.draw(view).unwrap_or_else(|instead| instead)
    }
}

impl Paths {
    /// The analysis with these settings; those that say nothing are left out.
    fn call(&self) -> MeasurementCall {
        let Between { from, to, from_at, to_at, freeze_mlps } = &self.between;
        let mut call = MeasurementCall::new("path").with("from", from.trim()).with("to", to.trim());
        for (name, at) in [("from_at", from_at.trim()), ("to_at", to_at.trim())] {
            if !["", "all"].contains(&at) {
                call = call.with(name, at);
            }
        }
        if *freeze_mlps {
            call = call.with("freeze_mlps", true);
        }
        pairs::asked(call, &self.measured, &self.compared, &self.counted)
    }

    fn draw(&self, view: &View<'_>) -> Result<Figure, Figure> {
        let (reading, found) = long_answer(view, &self.call(), pairs::WAITING)?;
        if view.net.heads.is_empty() {
            return Err(sentence("This network has no layers, so there is no path between them."));
        }
        let pair = Shown::new(reading, found.step)?;
        let effects = Effects::new(self.measured.metric, reading, view);
        let sheet = Sheet {
            effects: &effects,
            view,
            into: receivers_in_words(&self.between.to),
            ended: found.ended && found.done >= found.total,
        };
        let map = match self.between.from.trim() {
            Between::EACH => sheet.each(reading, &receivers(&self.between.to))?,
            from => sheet.together(reading, from),
        };
        let plots = pair.above(view, vec![map]);
        Ok(Figure {
            title: format!("What goes directly into {}, step {}", sheet.into, found.step),
            columns: 1,
            caption: format!("How {}. {}", effects.title(), effects.caption(view, reading, &plots)),
            plots,
            ..Figure::default()
        })
    }
}

/// Those of the receivers that are parts of a layer.
fn receivers(to: &str) -> Vec<Place> {
    to.split(',').filter_map(|one| one.trim().parse().ok()).collect()
}

/// Receivers as a person would say them: `the keys of layer 1 head 0`; what is none of them stays as it is written.
pub fn receivers_in_words(to: &str) -> String {
    let all: Vec<String> = to.split(',').map(|one| receiver_in_words(one.trim())).collect();
    all.join(" and ")
}

fn receiver_in_words(to: &str) -> String {
    if to == "logits" {
        return "the logits".to_owned();
    }
    let Ok(Place { site, head, .. }) = to.parse::<Place>() else { return to.to_owned() };
    let of_heads = [(Point::Q, "queries"), (Point::K, "keys"), (Point::V, "values")].into_iter();
    let of_stream = [
        (Point::ResidPre, "stream before"),
        (Point::ResidMid, "stream after the attention of"),
        (Point::ResidPost, "stream after"),
        (Point::Final, "logits after"),
    ];
    let layer = site.layer;
    let of_heads = of_heads.map(|(point, name)| match head {
        Some(head) => (point, format!("the {name} of layer {layer} head {head}")),
        None => (point, format!("the {name} of layer {layer}")),
    });
    let of_stream = of_stream.map(|(point, name)| (point, format!("the {name} layer {layer}")));
    let mut all = of_heads.chain(of_stream);
    all.find(|(point, _)| *point == site.point).map_or_else(|| to.to_owned(), |(_, said)| said)
}

/// What sends.
#[derive(Clone, Copy)]
enum Sender<'a> {
    Embedding,
    Head(usize, usize),
    Mlp(usize),
    /// As they are written.
    Together(&'a str),
}

impl Sender<'_> {
    fn words(self) -> String {
        match self {
            Self::Embedding => "the embedding".to_owned(),
            Self::Head(layer, head) => format!("layer {layer} head {head}"),
            Self::Mlp(layer) => format!("the MLP of layer {layer}"),
            Self::Together(from) => format!("{from} together"),
        }
    }
}

/// What stands in a cell.
#[derive(Clone, Copy)]
enum Stands {
    /// Its effect with the interval; not a number where it is not known.
    Effect([f32; 3]),
    /// It lies after the receivers.
    After,
    /// There is no such head.
    Nobody,
}

/// A cell of the map.
struct Tile<'a> {
    /// Row and column.
    at: [usize; 2],
    sender: Sender<'a>,
    stands: Stands,
}

impl Tile<'_> {
    fn corners(&self) -> [[f64; 2]; 2] {
        let [row, column] = self.at.map(|at| at as f64);
        [[column, row], [column + 1.0, row + 1.0]]
    }

    fn effect(&self) -> f32 {
        if let Stands::Effect([mean, ..]) = self.stands { mean } else { f32::NAN }
    }

    fn is_unknown(&self) -> bool {
        matches!(self.stands, Stands::Effect([mean, ..]) if mean.is_nan())
    }

    fn is_after(&self) -> bool {
        matches!(self.stands, Stands::After)
    }

    fn pick(&self) -> Pick {
        let is_there = !matches!(self.stands, Stands::Nobody);
        match self.sender {
            Sender::Head(layer, head) if is_there => Pick::Head { layer, head },
            Sender::Head(..) | Sender::Embedding | Sender::Mlp(_) | Sender::Together(_) => {
                Pick::Nothing
            }
        }
    }
}

/// Height of what stands above the map, and of the gap between, in rows.
const BAND: f64 = 0.8;
const GAP: f64 = 0.2;

/// What the parts of a map share.
struct Sheet<'a> {
    effects: &'a Effects,
    view: &'a View<'a>,
    /// The receivers in words.
    into: String,
    /// All that there is to try has been tried.
    ended: bool,
}

impl Sheet<'_> {
    /// Rows are layers, columns are heads and, last, the MLP; the embedding stands above.
    fn each(&self, reading: &Reading, receivers: &[Place]) -> Result<Plot, Figure> {
        let of = |name: &str| {
            let known = reading.array(&format!("effect.{name}"));
            known.map(|_| Estimates::named(reading, name)).transpose()
        };
        let (embedding, heads, mlps) = (of("embed")?, of("z")?, of("mlp_out")?);
        let net = &self.view.net.heads;
        let width = net.iter().max().copied().unwrap_or(0);
        let columns = width + usize::from(mlps.is_some());
        let tile = |row: usize, column: usize| {
            let (sender, stands) = match column < width {
                true if column >= net[row] => (Sender::Head(row, column), Stands::Nobody),
                true => (Sender::Head(row, column), standing(heads.as_ref(), &[row, column])),
                false => (Sender::Mlp(row), standing(mlps.as_ref(), &[row])),
            };
            Tile { at: [row, column], sender, stands }
        };
        let all = (0..net.len()).flat_map(|row| (0..columns).map(move |column| (row, column)));
        let tiles: Vec<Tile<'_>> = all.map(|(row, column)| tile(row, column)).collect();
        let mut plot = self.map(columns, &tiles);
        let known = embedding.map_or([f32::NAN; 3], |embedding| embedding.at(&[0]));
        self.put_above(&mut plot, columns, Sender::Embedding, known);
        self.frame(&mut plot, width, receivers);
        name_axes(&mut plot, net.len(), width, mlps.is_some());
        Ok(plot)
    }

    /// One effect of several senders.
    fn together(&self, reading: &Reading, from: &str) -> Plot {
        let number = |name: &str| reading.number(name).map_or(f32::NAN, narrow);
        let mut plot = self.map(1, &[]);
        let known = ["effect", "effect_low", "effect_high"].map(number);
        self.put_above(&mut plot, 1, Sender::Together(from), known);
        (plot.x.ticks, plot.y.ticks) = (Ticks::Hidden, Ticks::Hidden);
        plot
    }

    fn map(&self, columns: usize, tiles: &[Tile<'_>]) -> Plot {
        let rows = tiles.len() / columns.max(1);
        let values: Vec<f32> = tiles.iter().map(Tile::effect).collect();
        let numbers = match tiles.len() <= pairs::MOST_NUMBERS {
            true => self.effects.written(&values, columns),
            false => Vec::new(),
        };
        let hovers = tiles.iter().map(|tile| self.words(tile.sender, tile.stands)).collect();
        let heat = Mark::Heat(Heat {
            name: "effect".to_owned(),
            rows,
            columns,
            values: values.into(),
            map: self.effects.map,
            range: self.effects.range,
            pick: HeatPick::Cells { picks: tiles.iter().map(Tile::pick).collect(), hovers },
            ..Heat::default()
        });
        let (blanks, legend) = self.blanks(tiles);
        Plot {
            x: Axis { range: (0.0, columns as f64), ..Axis::default() },
            y: Axis { range: (rows as f64, -GAP - BAND), ..Axis::default() },
            marks: [heat].into_iter().chain(blanks).chain(numbers).collect(),
            legend,
            color_bar: Some(self.effects.bar()),
            wide: true,
            ..Plot::default()
        }
    }

    /// What marks cells without an effect: hatched where it is not known, grey after the receivers.
    fn blanks(&self, tiles: &[Tile<'_>]) -> (Vec<Mark>, Vec<LegendEntry>) {
        let (unknown, after) = (pairs::hatched(self.view), colors::unseen(self.view.palette));
        let hatch = |tile: &Tile<'_>| {
            let [from, to] = tile.corners();
            Mark::Hatch { from, to, color: unknown }
        };
        let grey = |tile: &Tile<'_>| {
            let [from, to] = tile.corners();
            Mark::Rect { from, to, fill: Some(after), stroke: None, width: 0.0 }
        };
        let hatched = tiles.iter().filter(|tile| tile.is_unknown()).map(hatch);
        let marks = hatched.chain(tiles.iter().filter(|tile| tile.is_after()).map(grey)).collect();
        let entries = [
            (tiles.iter().any(Tile::is_unknown), pairs::unknown(self.ended), unknown),
            (tiles.iter().any(Tile::is_after), "after the receiver", after),
        ];
        let entries = entries.into_iter().filter(|(is_drawn, ..)| *is_drawn);
        (marks, entries.map(|(_, text, color)| LegendEntry::square(text, color)).collect())
    }

    /// A sender that has no place among layers and heads, above the map.
    fn put_above(&self, plot: &mut Plot, columns: usize, sender: Sender<'_>, known: [f32; 3]) {
        let (from, to) = ([0.0, -GAP - BAND], [columns as f64, -GAP]);
        let (mean, is_known) = (known[0], known[0].is_finite());
        if !is_known {
            plot.marks.push(Mark::Hatch { from, to, color: pairs::hatched(self.view) });
        }
        let fill = is_known.then(|| self.effects.color(mean));
        plot.marks.push(Mark::Cells(vec![Cell {
            from,
            to,
            text: if is_known { pairs::short(mean) } else { String::new() },
            fill,
            stroke: None,
            ink: fill.map_or(self.view.palette.ink, colors::text_on),
            pick: Pick::Nothing,
            hover: self.words(sender, Stands::Effect(known)),
            value: is_known.then_some(("effect", f64::from(mean))),
        }]));
    }

    /// Frames the head in focus and, over that, the heads that receive.
    fn frame(&self, plot: &mut Plot, width: usize, receivers: &[Place]) {
        let palette = self.view.palette;
        let of_heads = receivers.iter().filter(|place| place.site.point.by_head());
        let receiving = of_heads.map(|place| {
            let columns = place.head.map_or(0..width, |head| head..head + 1);
            ("receiver", palette.ink, 1.5, place.site.layer, columns)
        });
        let Selection { layer, head, .. } = *self.view.selection;
        let focus = ("in focus", palette.accent, 4.0, layer, head..head + 1);
        for (text, color, line, row, columns) in [focus].into_iter().chain(receiving) {
            if row >= self.view.net.heads.len() || columns.end > width {
                continue;
            }
            let from = [columns.start as f64, row as f64];
            let to = [columns.end as f64, row as f64 + 1.0];
            plot.marks.push(Mark::Rect { from, to, fill: None, stroke: Some(color), width: line });
            if plot.legend.iter().all(|entry| entry.text != text) {
                plot.legend.push(LegendEntry::outline(text, color));
            }
        }
    }

    /// What the hover over a cell says.
    fn words(&self, sender: Sender<'_>, stands: Stands) -> String {
        let (name, into) = (sender.words(), &self.into);
        match stands {
            Stands::Nobody => format!("{name}: not there"),
            Stands::After => format!("{name} lies after {into}: nothing goes there directly"),
            Stands::Effect(found) => {
                let effect = self.effects.words(found);
                let effect = effect.unwrap_or_else(|| format!("is {}", pairs::unknown(self.ended)));
                format!("what goes from {name} directly into {into} {effect}")
            }
        }
    }
}

/// Heads and the MLP along, layers down, the embedding above these.
fn name_axes(plot: &mut Plot, layers: usize, heads: usize, mlps: bool) {
    let middle = |(i, name): (usize, String)| (i as f64 + 0.5, name);
    let columns = (0..heads).map(|head| head.to_string()).chain(mlps.then(|| "MLP".to_owned()));
    let rows = (0..layers).map(|layer| format!("layer {layer}"));
    let above = (-GAP - BAND / 2.0, "embedding".to_owned());
    plot.x.label = "head".to_owned();
    plot.x.ticks = Ticks::At(columns.enumerate().map(middle).collect());
    plot.y.ticks = Ticks::At([above].into_iter().chain(rows.enumerate().map(middle)).collect());
}

/// What is known of a sender; arrays hold those that lie before the receivers.
fn standing(known: Option<&Estimates<'_>>, at: &[usize]) -> Stands {
    let before = known.filter(|known| known.effect.shape.first().is_some_and(|rows| at[0] < *rows));
    before.map_or(Stands::After, |known| Stands::Effect(known.at(at)))
}
