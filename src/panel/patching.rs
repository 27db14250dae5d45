//! What each part of the network does: its effect when it alone is taken from a counterfactual run.

use std::sync::Arc;

use crate::base::analysis::Patching as Asked;
use crate::base::intervention::{How, Intervention, Place, Point, Site};
use crate::base::question::{Found, MeasurementCall, Reading};
use crate::figure::{Axis, Figure, Heat, HeatPick, LegendEntry, Mark, Patch, Pick, Plot, Ticks};

use super::outputs::{long_answer, sentence};
use super::pairs::{self, Effects, Estimates, Shown};
use super::{NetShape, Panel, PanelKind, Selection, Stack, View, colors};

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
        let call = MeasurementCall::new("patching").with("map", map.name());
        let call = pairs::asked(call, measured, compared, counted);
        if *one_pair && map.is_over_positions() { call.with("one_pair", true) } else { call }
    }

    fn draw(&self, view: &View<'_>) -> Result<Figure, Figure> {
        let (reading, found) = long_answer(view, &self.call(), pairs::WAITING)?;
        if view.net.heads.is_empty() {
            return Err(sentence("This network has no layers, so there is no part to patch."));
        }
        let pair = Shown::new(reading, found.step)?;
        let effects = Effects::new(self.asked.measured.metric, reading, view);
        let maps = maps(view, reading, found, &pair, &effects)?;
        let side_by_side = maps.iter().filter(|map| !map.wide).count().max(1);
        let plots = pair.above(view, maps);
        Ok(Figure {
            title: format!("How {}, step {}", effects.title(), found.step),
            columns: side_by_side,
            caption: effects.caption(view, reading, &plots),
            plots,
            ..Figure::default()
        })
    }
}

fn maps(
    view: &View<'_>,
    reading: &Reading,
    found: &Found,
    pair: &Shown,
    effects: &Effects,
) -> Result<Vec<Plot>, Figure> {
    let names: Vec<&str> =
        reading.arrays.iter().filter_map(|a| a.name.strip_prefix("effect.")).collect();
    let families = names.iter().map(|name| Family::new(reading, name));
    let families = families.collect::<Result<Vec<Family<'_>>, Figure>>()?;
    let ended = found.ended && found.done >= found.total;
    let sheet = Sheet { effects, view, pair, ended };
    let by_head = families.iter().all(|family| family.found.effect.axes.len() == 2)
        && families.iter().all(|family| family.found.effect.axes[1] == "head");
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

/// One family of a map with its intervals.
struct Family<'a> {
    point: Point,
    found: Estimates<'a>,
}

impl<'a> Family<'a> {
    fn new(reading: &'a Reading, name: &str) -> Result<Self, Figure> {
        let point = name.split("_by_").next().unwrap_or(name);
        let point = Point::ALL.iter().find(|(_, n)| *n == point).map(|(p, _)| *p);
        let point = point.ok_or_else(|| sentence(format!("There is no point \"{name}\".")))?;
        Ok(Self { point, found: Estimates::named(reading, name)? })
    }

    fn shape(&self, axis: usize) -> usize {
        self.found.effect.shape.get(axis).copied().unwrap_or(1)
    }

    /// The part of the network that a cell stands for.
    fn place(&self, coordinates: &[usize]) -> Place {
        let of = |names: &[&str]| {
            let mut axes = self.found.effect.axes.iter();
            let axis = axes.position(|axis| names.contains(&axis.name.as_str()))?;
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
    effects: &'a Effects,
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
        let (heads, axes) = (self.heads(), family.found.effect.axes.len());
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
        let columns = family.found.effect.axes.last().map_or("position", |axis| axis.name.as_str());
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
                let found = family.found.at(&coordinates);
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
    fn words(&self, place: &Place, found: [f32; 3]) -> String {
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
        match self.effects.words(found) {
            Some(effect) => format!("{what}: {effect}. Click to see this run in all panels."),
            None => format!("{what}: {}", pairs::unknown(self.ended)),
        }
    }

    fn plot(&self, title: &str, label: &str, cells: Cells, names: Arc<[String]>) -> Plot {
        let (rows, columns) = (cells.rows, cells.columns);
        let values: Arc<[f32]> = cells.values.into();
        let unknown = values.iter().any(|v| v.is_nan());
        let (mut marks, mut legend) = (Vec::new(), Vec::new());
        if unknown {
            let color = pairs::hatched(self.view);
            let to = [columns as f64, rows as f64];
            marks.push(Mark::Hatch { from: [0.0, 0.0], to, color });
            legend.push(LegendEntry::square(pairs::unknown(self.ended), color));
        }
        marks.push(Mark::Heat(Heat {
            name: title.to_owned(),
            rows,
            columns,
            values: values.clone(),
            map: self.effects.map,
            range: self.effects.range,
            pick: HeatPick::Cells { picks: cells.picks.into(), hovers: cells.hovers.into() },
            ..Heat::default()
        }));
        if rows * columns <= pairs::MOST_NUMBERS {
            marks.extend(self.effects.written(&values, columns));
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
            color_bar: Some(self.effects.bar()),
            ..Plot::default()
        }
    }
}

fn numbers(count: usize) -> Arc<[String]> {
    (0..count).map(|i| i.to_string()).collect()
}

fn head_names(heads: &[(usize, usize)]) -> Arc<[String]> {
    heads.iter().map(|(layer, head)| format!("L{layer} H{head}")).collect()
}
