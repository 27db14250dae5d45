//! What each part of the network does: its effect when it alone is taken from a counterfactual run.

use std::sync::Arc;

use crate::base::analysis::Patching as Asked;
use crate::base::array::Array;
use crate::base::convert::{self, narrow};
use crate::base::intervention::{How, Intervention, Place, Point, Site};
use crate::base::pair::Metric;
use crate::base::plain::Plain;
use crate::base::question::{Found, MeasurementCall, Reading};
use crate::figure::color::{Color, ColorMap, Scaling, fraction};
use crate::figure::{
    Anchor, Axis, Cell, ColorBar, Figure, Heat, HeatPick, LegendEntry, Mark, Patch, Pick, Plot,
    Ticks,
};

use super::outputs::{array, long_answer, number, sentence, tokens};
use super::tokens::as_id;
use super::{NetShape, Panel, PanelKind, Selection, Stack, View, colors, span};

/// What is known of it before one is made.
pub const KIND: PanelKind = PanelKind {
    title: "Patching",
    look_for: "Cells of a strong colour: parts of the network that, taken from the run on the counterfactual sequence (the other text), bring its answer along. Near 1 is the whole effect, near 0 none.",
    click: "A click on a cell shows the run with that part taken over, in all panels and never in training; another click takes it back.",
    stack: Stack::MiddleBelow,
    controls: &[("map", "Patch"), ("metric", "Measure")],
    ..PanelKind::new("patching", || Box::<Patching>::default())
};

crate::settings! {
    /// The panel `patching`.
    pub struct Patching = "What each part of the network does: the base sequence is run with that part alone taken from the run on the counterfactual sequence. A click on a cell shows that run in all panels." {
        /// What it asks. A picture over positions is of one pair: of several it would mix what stands at them.
        asked: Asked = Asked { one_pair: true, ..Asked::default() };
    }
}

/// More heads than this in a network are drawn as one map for each point, fewer as one table of all points.
const MOST_IN_TABLE: usize = 32;

const WAITING: &str =
    "The parts of the network are being tried one by one; the first results come in a moment.";

/// In maps of at most so many cells the effects are written.
const MOST_NUMBERS: usize = 40;

impl Panel for Patching {
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

impl Patching {
    /// The analysis with these settings; those that say nothing are left out.
    fn call(&self) -> MeasurementCall {
        let Asked { map, measured, compared, counted, one_pair } = &self.asked;
        let mut call = MeasurementCall::new("patching")
            .with("map", map.name())
            .with("metric", measured.metric.name());
        let of_task = compared.other.trim().is_empty();
        if of_task {
            call = call.with("pairs", i64::try_from(compared.pairs).unwrap_or(i64::MAX));
        }
        let texts = match of_task {
            true => vec![("pair", &compared.pair)],
            false => vec![
                ("other", &compared.other),
                ("at", &compared.at),
                ("answers", &compared.answers),
            ],
        };
        for (setting, text) in texts.into_iter().filter(|(_, text)| !text.trim().is_empty()) {
            call = call.with(setting, text.as_str());
        }
        if counted.all_pairs {
            call = call.with("all_pairs", true);
        }
        if *one_pair && map.is_over_positions() { call.with("one_pair", true) } else { call }
    }

    fn draw(&self, view: &View<'_>) -> Result<Figure, Figure> {
        let (reading, found) = long_answer(view, &self.call(), WAITING)?;
        if view.net.heads.is_empty() {
            return Err(sentence("This network has no layers, so there is no part to patch."));
        }
        let counted = reading.number("pairs_counted").unwrap_or(0.0);
        if counted == 0.0 {
            return Err(sentence(format!(
                "At step {} no pair counts. {} The setting “all pairs” counts them all the same; later in training there may be some.",
                found.step,
                reading.notes.join(" ")
            )));
        }
        let pair = Shown::new(reading)?;
        let maps = self.maps(view, reading, found, &pair)?;
        let strip = pair.strip(view);
        let stacked = maps.iter().filter(|map| map.wide).count().max(1);
        // What the title, the pair and the gaps between plots leave.
        let height = (view.size[1] - STRIP - 44.0).max(40.0) / stacked as f32;
        let maps: Vec<Plot> = maps.into_iter().map(|map| Plot { weight: height, ..map }).collect();
        let side_by_side = maps.iter().filter(|map| !map.wide).count().max(1);
        let past = match self.asked.measured.metric {
            Metric::Kl => span::past_maps(&maps),
            // Of these the ends of the colours have a meaning.
            Metric::Normalised | Metric::LogitDifference | Metric::Flip | Metric::RecoveredLoss => {
                String::new()
            }
        };
        let mut plots = vec![strip];
        plots.extend(maps);
        Ok(Figure {
            title: format!("{}, step {}", self.metric_title(), found.step),
            columns: side_by_side,
            plots,
            caption: span::sentences([caption(view, reading), past]),
            ..Figure::default()
        })
    }

    fn metric_title(&self) -> &'static str {
        match self.asked.measured.metric {
            Metric::Normalised => {
                "How far each part moves the prediction to the counterfactual one"
            }
            Metric::LogitDifference => "How much each part changes the logit difference",
            Metric::Flip => "How often each part alone turns the answer",
            Metric::Kl => "How much each part alone changes the prediction",
            Metric::RecoveredLoss => "How much of the prediction is left without each part",
        }
    }

    fn maps(
        &self,
        view: &View<'_>,
        reading: &Reading,
        found: &Found,
        pair: &Shown,
    ) -> Result<Vec<Plot>, Figure> {
        let names: Vec<&str> =
            reading.arrays.iter().filter_map(|a| a.name.strip_prefix("effect.")).collect();
        let families = names.iter().map(|name| Family::new(reading, name));
        let families = families.collect::<Result<Vec<Family<'_>>, Figure>>()?;
        let (map, range) = self.scale(reading, &families);
        let scale = (map.on(view.palette.dark), range);
        let ended = found.ended && found.done >= found.total;
        let sheet = Sheet { metric: self.asked.measured.metric, scale, view, pair, ended };
        let by_head = families.iter().all(|family| family.effect.axes.len() == 2)
            && families.iter().all(|family| family.effect.axes[1] == "head");
        let heads: usize = view.net.heads.iter().sum();
        if by_head && (families.len() == 1 || heads > MOST_IN_TABLE) {
            let last = families.len();
            let plots = families.iter().enumerate();
            return Ok(plots.map(|(i, f)| sheet.by_head(f, i + 1 == last)).collect());
        }
        if by_head {
            return Ok(vec![sheet.table(&families)]);
        }
        Ok(families.iter().map(|family| sheet.by_position(family)).collect())
    }

    /// Colours and their limits: around zero for what has two directions, fixed while the map fills.
    fn scale(&self, reading: &Reading, families: &[Family<'_>]) -> (ColorMap, (f32, f32)) {
        match self.asked.measured.metric {
            Metric::Normalised => (ColorMap::Vik, (-1.0, 1.0)),
            Metric::LogitDifference => {
                let of = |name: &str| reading.number(name).unwrap_or(0.0);
                let whole = of("logit_difference_other") - of("logit_difference_base");
                let whole = if whole.is_finite() { narrow(whole.abs()) } else { 1.0 };
                let whole = whole.max(1e-3);
                (ColorMap::Vik, (-whole, whole))
            }
            Metric::Flip | Metric::RecoveredLoss => (ColorMap::Paper, (0.0, 1.0)),
            Metric::Kl => {
                let all = families.iter().flat_map(|family| family.effect.data.iter());
                let most = span::most(all);
                (ColorMap::Paper, (0.0, if most > 0.0 { most } else { 1.0 }))
            }
        }
    }
}

/// Which pairs do not count, and what else a reader could take for an error.
fn caption(view: &View<'_>, reading: &Reading) -> String {
    let mut parts = reading.notes.clone();
    let of = |name: &str| reading.number(name).unwrap_or(f64::NAN);
    if of("pairs") > 1.0 {
        parts
            .insert(0, format!("Means of {:.0} pairs; one of them is shown.", of("pairs_counted")));
    }
    let in_force = view.readings.map_or(&[][..], |readings| &readings.interventions);
    if in_force.iter().any(|what| !is_patch(what)) {
        parts.push("The map is of the network with nothing in force.".to_owned());
    }
    parts.join(" ")
}

fn is_patch(what: &Intervention) -> bool {
    matches!(what, Intervention::Change { how: How::Patch(_), .. })
}

/// The pair that is shown at the top, and to whose base a click leads.
struct Shown {
    base: Arc<[u32]>,
    other: Arc<[u32]>,
    at: usize,
    answers: [u32; 2],
    /// The last position where any pair is predicted.
    last: usize,
}

impl Shown {
    fn new(reading: &Reading) -> Result<Self, Figure> {
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

/// One family of a map with its intervals.
struct Family<'a> {
    point: Point,
    effect: &'a Array,
    low: &'a Array,
    high: &'a Array,
}

impl<'a> Family<'a> {
    fn new(reading: &'a Reading, name: &str) -> Result<Self, Figure> {
        let rank = reading.array(&format!("effect.{name}")).map_or(0, |a| a.shape.len());
        let of = |what: &str| array(reading, &format!("{what}.{name}"), rank);
        let point = name.split("_by_").next().unwrap_or(name);
        let point = Point::ALL.iter().find(|(_, n)| *n == point).map(|(p, _)| *p);
        let point = point.ok_or_else(|| sentence(format!("There is no point \"{name}\".")))?;
        Ok(Self { point, effect: of("effect")?, low: of("low")?, high: of("high")? })
    }

    fn shape(&self, axis: usize) -> usize {
        self.effect.shape.get(axis).copied().unwrap_or(1)
    }

    /// Effect and interval of a cell by its coordinates.
    fn at(&self, coordinates: &[usize]) -> [f32; 3] {
        let index = coordinates.iter().zip(&self.effect.shape).fold(0, |at, (c, n)| at * n + c);
        [self.effect, self.low, self.high].map(|a| a.data.get(index).copied().unwrap_or(f32::NAN))
    }

    /// The part of the network that a cell stands for.
    fn place(&self, coordinates: &[usize]) -> Place {
        let of = |names: &[&str]| {
            let axis =
                self.effect.axes.iter().position(|axis| names.contains(&axis.name.as_str()))?;
            coordinates.get(axis).copied()
        };
        let one = |found: Option<usize>| found.into_iter().collect();
        Place {
            site: Site { layer: of(&["layer"]).unwrap_or(0), point: self.point },
            head: of(&["head"]),
            positions: one(of(&["position", "query"])),
            keys: one(of(&["key"])),
        }
    }
}

/// What a point is called in a map.
fn called(point: &Point) -> &str {
    match point {
        Point::ResidPre => "residual stream before the layer",
        Point::ResidMid => "residual stream after attention",
        Point::AttnOut => "what attention writes",
        Point::MlpOut => "what the MLP writes",
        Point::Z => "what heads write",
        Point::Q => "queries",
        Point::K => "keys",
        Point::V => "values",
        Point::Pattern => "attention pattern",
        Point::Embed
        | Point::Scores
        | Point::MlpPost
        | Point::ResidPost
        | Point::Final
        | Point::Logits
        | Point::Own(_) => point.name(),
    }
}

/// A column of the table of heads: short enough for a narrow panel.
fn column_name(point: &Point) -> &str {
    if *point == Point::Z {
        "output"
    } else if *point == Point::Pattern {
        "pattern"
    } else {
        called(point)
    }
}

/// Cells of a map, in drawing order.
struct Cells {
    rows: usize,
    columns: usize,
    values: Vec<f32>,
    picks: Vec<Pick>,
    hovers: Vec<String>,
    /// Row and column of the cells whose part is patched in all panels.
    shown: Vec<(usize, usize)>,
}

/// What all maps of a figure share.
struct Sheet<'a> {
    metric: Metric,
    scale: (ColorMap, (f32, f32)),
    view: &'a View<'a>,
    pair: &'a Shown,
    /// All cells that there are have been done.
    ended: bool,
}

impl Sheet<'_> {
    /// Rows are layers, columns are heads.
    fn by_head(&self, family: &Family<'_>, bar: bool) -> Plot {
        let (rows, columns) = (family.shape(0), family.shape(1));
        let cells = self.cells(rows, columns, &|row, column| (family, vec![row, column]));
        let mut plot = self.plot(called(&family.point), "layer", cells, numbers(rows));
        plot.x.label = "head".to_owned();
        plot.x.ticks = Ticks::Each(numbers(columns));
        plot.equal = columns > 1;
        if !bar {
            plot.color_bar = None;
        }
        plot.wide = false;
        plot
    }

    /// Rows are heads, columns are what of a head is patched.
    fn table(&self, families: &[Family<'_>]) -> Plot {
        let heads = self.heads();
        let coordinates = |row: usize, column: usize| {
            let (layer, head) = heads.get(row).copied().unwrap_or_default();
            (&families[column], vec![layer, head])
        };
        let cells = self.cells(heads.len(), families.len(), &coordinates);
        let mut plot = self.plot("", "", cells, head_names(&heads));
        let columns: Vec<String> =
            families.iter().map(|family| column_name(&family.point).to_owned()).collect();
        plot.x.label = "what of the head is patched".to_owned();
        plot.x.ticks = Ticks::Each(columns.into());
        plot.wide = true;
        plot
    }

    /// Columns are positions (keys, of single weights of the pattern); rows are layers, heads, or the queries of the head
    /// in focus.
    fn by_position(&self, family: &Family<'_>) -> Plot {
        let (heads, axes) = (self.heads(), family.effect.axes.len());
        let Selection { layer, head, .. } = *self.view.selection;
        let length = family.shape(axes - 1);
        let rows = match axes {
            2 => family.shape(0),
            3 => heads.len(),
            _ => length,
        };
        let coordinates = |row: usize, column: usize| match axes {
            2 => (family, vec![row, column]),
            3 => {
                let (layer, head) = heads.get(row).copied().unwrap_or_default();
                (family, vec![layer, head, column])
            }
            _ => (family, vec![layer, head, row, column]),
        };
        let cells = self.cells(rows, length, &coordinates);
        let positions = self.positions();
        let (label, names) = match axes {
            2 => ("layer", numbers(rows)),
            3 => ("", head_names(&heads)),
            _ => ("query", positions.clone()),
        };
        let title = match axes {
            4 => format!("{} of layer {layer}, head {head}", called(&family.point)),
            _ => called(&family.point).to_owned(),
        };
        let mut plot = self.plot(&title, label, cells, names);
        let columns = family.effect.axes.last().map_or("position", |axis| axis.name.as_str());
        plot.x.label = match columns {
            "position" => "position".to_owned(),
            axis => axis.to_owned(),
        };
        plot.x.ticks = Ticks::Each(positions);
        // Later positions are seen by no prediction.
        let end = self.pair.last.saturating_add(1).min(length) as f64;
        plot.x.range.1 = end;
        if axes == 4 {
            plot.y.range.0 = end;
            plot.equal = true;
        }
        plot.wide = true;
        plot
    }

    fn heads(&self) -> Vec<(usize, usize)> {
        let layers = self.view.net.heads.iter().enumerate();
        layers.flat_map(|(layer, &heads)| (0..heads).map(move |head| (layer, head))).collect()
    }

    /// The token of each position, where the base and the counterfactual sequence have the same.
    fn positions(&self) -> Arc<[String]> {
        let glyph = |id: u32| self.view.vocab.glyph(id);
        let pair = self.pair.base.iter().zip(self.pair.other.iter());
        pair.map(|(a, b)| if a == b { glyph(*a) } else { format!("{}/{}", glyph(*a), glyph(*b)) })
            .collect()
    }

    fn cells<'f, 'd: 'f>(
        &self,
        rows: usize,
        columns: usize,
        cell: &dyn Fn(usize, usize) -> (&'f Family<'d>, Vec<usize>),
    ) -> Cells {
        let mut cells = Cells {
            rows,
            columns,
            values: Vec::with_capacity(rows * columns),
            picks: Vec::with_capacity(rows * columns),
            hovers: Vec::with_capacity(rows * columns),
            shown: Vec::new(),
        };
        for row in 0..rows {
            for column in 0..columns {
                let (family, coordinates) = cell(row, column);
                let found = family.at(&coordinates);
                let place = family.place(&coordinates);
                if self.is_shown(&place) {
                    cells.shown.push((row, column));
                }
                cells.values.push(found[0]);
                cells.hovers.push(self.words(&place, found));
                cells.picks.push(self.pick(place));
            }
        }
        cells
    }

    fn pick(&self, place: Place) -> Pick {
        let there = self.view.net.heads.get(place.site.layer);
        if place.head.is_some_and(|head| there.is_none_or(|&heads| head >= heads)) {
            return Pick::Nothing;
        }
        let Shown { base, other, at, .. } = self.pair;
        Pick::Patch(Patch { place, base: base.clone(), other: other.clone(), at: *at })
    }

    /// Whether the answers in view are those of the base sequence with this place patched.
    fn is_shown(&self, place: &Place) -> bool {
        let of = |what: &Intervention| {
            if let Intervention::Change { place: there, how: How::Patch(from) } = what {
                there == place && from[..] == self.pair.other[..]
            } else {
                false
            }
        };
        self.view.readings.is_some_and(|readings| readings.interventions.iter().any(of))
    }

    /// What the hover over a cell says.
    fn words(&self, place: &Place, [mean, low, high]: [f32; 3]) -> String {
        let what = match place.head {
            Some(head) => {
                format!(
                    "{} of layer {}, head {head}",
                    column_name(&place.site.point),
                    place.site.layer
                )
            }
            None => format!("{}, layer {}", called(&place.site.point), place.site.layer),
        };
        let token = |p: &usize| {
            let glyph = self.pair.base.get(*p).map(|id| self.view.vocab.glyph(*id));
            format!("{p} “{}”", glyph.unwrap_or_default())
        };
        let at = place.positions.first().map(|p| format!(", position {}", token(p)));
        let key = place.keys.first().map(|p| format!(" to key {}", token(p)));
        let what = format!("{what}{}{}", at.unwrap_or_default(), key.unwrap_or_default());
        if mean.is_nan() {
            let why = if self.ended { "not there" } else { "not tried yet" };
            return format!("{what}: {why}");
        }
        let interval = if low.is_finite() && high.is_finite() {
            format!(" (95 % interval {} to {})", number(low), number(high))
        } else {
            String::new()
        };
        let effect = match self.metric {
            Metric::Normalised => {
                format!("{}{interval} of the way to the counterfactual", number(mean))
            }
            Metric::LogitDifference => {
                format!("changes the logit difference by {}{interval}", number(mean))
            }
            Metric::Flip => format!("turns the answer in {} of the pairs{interval}", number(mean)),
            Metric::Kl => format!("changes the prediction by {} nats{interval}", number(mean)),
            Metric::RecoveredLoss => {
                format!("leaves {} of what the network gains over guessing{interval}", number(mean))
            }
        };
        format!("{what}: {effect}. Click to see this run in all panels.")
    }

    fn plot(&self, title: &str, label: &str, cells: Cells, names: Arc<[String]>) -> Plot {
        let (rows, columns) = (cells.rows, cells.columns);
        let (map, range) = self.scale;
        let values: Arc<[f32]> = cells.values.into();
        let unknown = values.iter().any(|v| v.is_nan());
        let (mut marks, mut legend) = (Vec::new(), Vec::new());
        if unknown {
            let color = colors::mix(self.view.palette.paper, self.view.palette.ink, 0.4);
            let to = [columns as f64, rows as f64];
            marks.push(Mark::Hatch { from: [0.0, 0.0], to, color });
            let text = if self.ended { "not there" } else { "not tried yet" };
            legend.push(LegendEntry::square(text, color));
        }
        marks.push(Mark::Heat(Heat {
            name: title.to_owned(),
            rows,
            columns,
            values: values.clone(),
            map,
            range,
            pick: HeatPick::Cells { picks: cells.picks.into(), hovers: cells.hovers.into() },
            ..Heat::default()
        }));
        if rows * columns <= MOST_NUMBERS {
            marks.extend(self.written(&values, columns));
        }
        for (row, column) in &cells.shown {
            let from = [*column as f64, *row as f64];
            marks.push(Mark::Rect {
                from,
                to: from.map(|v| v + 1.0),
                fill: None,
                stroke: Some(colors::QUERY),
                width: 2.0,
            });
        }
        if !cells.shown.is_empty() {
            legend.push(LegendEntry::square("patched in all panels", colors::QUERY));
        }
        let axis = |label: &str, range| Axis { label: label.to_owned(), range, ..Axis::default() };
        Plot {
            title: title.to_owned(),
            x: axis("", (0.0, columns as f64)),
            y: Axis { ticks: Ticks::Each(names), ..axis(label, (rows as f64, 0.0)) },
            marks,
            legend,
            color_bar: Some(ColorBar {
                label: self.unit().to_owned(),
                map,
                range,
                scaling: Scaling::Linear,
            }),
            ..Plot::default()
        }
    }

    /// The effect in each cell.
    fn written(&self, values: &[f32], columns: usize) -> Vec<Mark> {
        let (map, range) = self.scale;
        let known = values.iter().enumerate().filter(|(_, value)| value.is_finite());
        let mark = |(i, value): (usize, &f32)| Mark::Text {
            at: [(i % columns) as f64 + 0.5, (i / columns) as f64 + 0.5],
            text: short(*value),
            color: colors::text_on(map.at(fraction(*value, range, Scaling::Linear))),
            anchor: Anchor::Center,
            size: 8.0,
        };
        known.map(mark).collect()
    }

    fn unit(&self) -> &'static str {
        match self.metric {
            Metric::Normalised => "effect",
            Metric::LogitDifference => "logits",
            Metric::Flip => "share of pairs",
            Metric::Kl => "KL (nats)",
            Metric::RecoveredLoss => "share recovered",
        }
    }
}

/// Two digits after the point.
fn short(value: f32) -> String {
    format!("{:.2}", Plain(f64::from(value))).replace('-', "−")
}

fn numbers(count: usize) -> Arc<[String]> {
    (0..count).map(|i| i.to_string()).collect()
}

fn head_names(heads: &[(usize, usize)]) -> Arc<[String]> {
    heads.iter().map(|(layer, head)| format!("L{layer} H{head}")).collect()
}
