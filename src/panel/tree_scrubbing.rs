//! What scrubbing a tree leaves of the first step's prediction: a map of layers and path lengths for each hypothesis.

use crate::base::analysis::TreeScrubbing as Asked;
use crate::base::array::Array;
use crate::base::plain::Plain;
use crate::base::question::{MeasurementCall, Reading};
use crate::figure::color::{ColorMap, Scaling};
use crate::figure::{Along, Axis, ColorBar, Figure, Heat, HeatPick, Mark, Plot, Ticks};

use super::outputs::{long_answer, sentence};
use super::{NetShape, Panel, PanelKind, Selection, View};

/// What is known of it before one is made.
pub const KIND: PanelKind = PanelKind {
    title: "Tree scrubbing",
    look_for: "Cells near 100: there a layer may look at another tree as long as the named node is the same, so that node is what it uses.",
    click: "A click on a cell brings its layer into focus; pointing tells over how many trees it was counted.",
    example: "tree",
    ..PanelKind::new("tree_scrubbing", || Box::<TreeScrubbing>::default())
};

crate::settings! {
    /// The panel `tree_scrubbing`: maps of the analysis of the same name.
    pub struct TreeScrubbing = "How much of a tree's first step survives when one layer looks at another tree with the same node held, by layer and length of the path." {
        /// What it asks.
        asked: Asked = Asked::default();
    }
}

impl Panel for TreeScrubbing {
    fn needs(&self, _net: &NetShape, _selection: &Selection) -> Vec<MeasurementCall> {
        Vec::new()
    }

    fn analyses(&self, _net: &NetShape, _selection: &Selection) -> Vec<MeasurementCall> {
        vec![self.call()]
    }

    fn figure(&self, view: &View<'_>) -> Figure {
        let waiting =
            "Trees are scrubbed where this panel is in view: the first answer is awaited.";
        match long_answer(view, &self.call(), waiting) {
            Ok((reading, found)) => figure(reading, found.step, view.palette.dark),
            Err(instead) => instead,
        }
    }
}

impl TreeScrubbing {
    fn call(&self) -> MeasurementCall {
        let trees = i64::try_from(self.asked.trees).unwrap_or(i64::MAX);
        let call = MeasurementCall::new("tree_scrubbing")
            .with("hypothesis", self.asked.hypothesis.clone())
            .with("trees", trees);
        if self.asked.all_pairs { call.with("all_pairs", true) } else { call }
    }
}

/// Cells whose number is written into the map.
const MOST_NUMBERS: usize = 120;

/// The maps of an answer of the analysis `tree_scrubbing`; `step` is that of the weights, `dark` the
/// paper.
pub fn figure(reading: &Reading, step: u64, dark: bool) -> Figure {
    let map = ColorMap::Vik.on(dark);
    let tables = reading.arrays.iter().filter_map(|array| {
        let name = array.name.strip_prefix("recovered.")?;
        (array.shape.len() == 2 && !array.data.is_empty()).then(|| table(array, name, map))
    });
    let plots: Vec<Plot> = tables.collect();
    if plots.is_empty() {
        return sentence(
            "Nothing is scrubbed yet: ask \u{201c}tree_scrubbing\u{201d} of a run of the task \"tree_path\".",
        );
    }
    let trees = reading.number("trees").unwrap_or(f64::NAN);
    let notes: String = reading.notes.iter().map(|note| format!(" {note}")).collect();
    Figure {
        title: format!("Recovered of the first step, percent, step {step}"),
        columns: if plots.len() > 2 { 2 } else { 1 },
        plots,
        caption: format!(
            "Mean over the trees that count of {trees:.0} of each length. 100: nothing is lost; 0: a guess among all tokens; below: worse than that.{notes}"
        ),
        ..Figure::default()
    }
}

fn table(array: &Array, name: &str, map: ColorMap) -> Plot {
    let (rows, columns) = (array.shape[0], array.shape[1]);
    let names = |count: usize, what: &str, first: usize| -> Vec<String> {
        (0..count).map(|i| format!("{what} {}", i + first)).collect()
    };
    // As much below a guess as above it has a colour; more than that is no more news.
    let range = (-100.0, 100.0);
    let mut marks = vec![Mark::Heat(Heat {
        name: name.to_owned(),
        rows,
        columns,
        values: array.data.clone(),
        map,
        range,
        pick: HeatPick::Named {
            rows: names(rows, "layer", 0).into(),
            columns: names(columns, "path of", 1).into(),
        },
        ..Heat::default()
    })];
    if rows * columns <= MOST_NUMBERS {
        marks.push(Mark::Cells(
            array.data.iter().enumerate().map(|(i, value)| cell(i, columns, *value, map)).collect(),
        ));
    }
    let tick = |first: usize| move |i: usize| (i as f64 + 0.5, (i + first).to_string());
    let axis = |label: &str, range, ticks| Axis {
        label: label.to_owned(),
        range,
        along: Along::Values,
        ticks,
    };
    Plot {
        title: name.to_owned(),
        x: axis(
            "edges of the path",
            (0.0, columns as f64),
            Ticks::At((0..columns).map(tick(1)).collect()),
        ),
        y: axis("layer", (rows as f64, 0.0), Ticks::At((0..rows).map(tick(0)).collect())),
        marks,
        color_bar: Some(ColorBar {
            label: "percent".to_owned(),
            map,
            range,
            scaling: Scaling::Linear,
        }),
        ..Plot::default()
    }
}

/// The number of a cell of the map.
fn cell(index: usize, columns: usize, value: f32, map: ColorMap) -> crate::figure::Cell {
    let (x, y) = ((index % columns) as f64, (index / columns) as f64);
    let fill = map.at(((value + 100.0) / 200.0).clamp(0.0, 1.0));
    crate::figure::Cell {
        from: [x, y],
        to: [x + 1.0, y + 1.0],
        text: if value.is_finite() {
            format!("{:.0}", Plain(f64::from(value)))
        } else {
            String::new()
        },
        fill: None,
        stroke: None,
        ink: super::colors::text_on(fill),
        pick: crate::figure::Pick::Nothing,
        hover: String::new(),
        // The map below says it.
        value: None,
    }
}
