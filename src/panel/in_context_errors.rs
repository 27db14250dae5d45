//! How well the next number is predicted from more and more of them: by the network, by each layer, by simple predictors; and what each head
//! does.

use crate::base::array::Array;
use crate::base::question::{MeasurementCall, Reading};
use crate::figure::color::{Color, ColorMap};
use crate::figure::{Along, Axis, Dash, Figure, LegendEntry, Mark, Plot, Ticks};

use super::head_map::HeadMap;
use super::outputs::{array, reading, sentence};
use super::span::Extent;
use super::{NetShape, Panel, PanelKind, Selection, Stack, View, colors};

/// What is known of it before one is made.
pub const KIND: PanelKind = PanelKind {
    title: "In-context errors",
    look_for: "Where the line of the network leaves that of copying the last number and comes down to ridge regression: it has found out from the numbers before how the sequence goes on. The lines of the layers tell which of them knows what.",
    click: "A click on a head puts it into focus everywhere.",
    stack: Stack::MiddleBelow,
    aspect: 0.6,
    example: "affine-recurrences",
    controls: &[("heads", "Heads by")],
    ..PanelKind::new("in_context_errors", || Box::<InContextErrors>::default())
};

crate::choices! {
    /// What the map of heads shows.
    pub enum HeadsBy {
        Ablated = "error when cut",
        Product = "slope on products",
        Distance = "slope on nearness",
    }
}

crate::settings! {
    /// The panel `in_context_errors`.
    pub struct InContextErrors = "Squared error by the number of terms seen, beside what each layer knows and what simple predictors do; and a number for each head." {
        /// What the map of heads shows: how much the squared error grows when the head writes nothing; or the slope of its attention scores on the product of the numbers at query and key, or on how near they are: below 0, a head of negative similarity.
        heads: HeadsBy = HeadsBy::Ablated, @live;
        /// Held-out sequences to look at.
        sequences: usize = 256, in 2..=4096, @live;
        /// Errors below this are drawn there.
        floor: f64 = 1e-8, in 1e-30..=1.0, @log, @live;
    }
}

impl Panel for InContextErrors {
    fn needs(&self, _net: &NetShape, _selection: &Selection) -> Vec<MeasurementCall> {
        vec![self.call()]
    }

    fn figure(&self, view: &View<'_>) -> Figure {
        self.draw(view).unwrap_or_else(|instead| instead)
    }
}

/// A line of errors by position.
struct Course {
    name: String,
    color: Color,
    dash: Dash,
    width: f32,
    errors: Vec<f64>,
}

impl InContextErrors {
    fn call(&self) -> MeasurementCall {
        let call = MeasurementCall::new("in_context_errors");
        match i64::try_from(self.sequences) {
            Ok(count) if self.sequences != Self::default().sequences => {
                call.with("sequences", count)
            }
            Ok(_) | Err(_) => call,
        }
    }

    fn draw(&self, view: &View<'_>) -> Result<Figure, Figure> {
        let found = reading(view, &self.call())?;
        let courses = courses(view, found)?;
        let plots = vec![self.by_terms(&courses)?, self.map(view, found)?];
        let columns = if view.size[0] > 1.3 * view.size[1] { 2 } else { 1 };
        Ok(Figure {
            title: "Squared error of the next number".to_owned(),
            plots,
            columns,
            caption: in_words(&courses),
            ..Figure::default()
        })
    }

    fn by_terms(&self, courses: &[Course]) -> Result<Plot, Figure> {
        let floor = self.floor;
        let mut span = Extent::default();
        let mut marks = Vec::new();
        for course in courses {
            let known = course.errors.iter().enumerate().filter(|(_, error)| error.is_finite());
            let points: Vec<[f64; 2]> =
                known.map(|(i, error)| [i as f64 + 1.0, error.max(floor)]).collect();
            points.iter().for_each(|point| span.add(point[1]));
            marks.push(Mark::Line {
                name: course.name.clone(),
                points: points.into(),
                color: course.color,
                width: course.width,
                dash: course.dash,
            });
        }
        if span.is_empty() {
            return Err(sentence("No held-out sequence has a number to predict."));
        }
        let legend = courses.iter().map(|c| LegendEntry::line(&c.name, c.color, c.dash)).collect();
        let terms = courses.iter().map(|c| c.errors.len()).max().unwrap_or(1);
        Ok(Plot {
            x: Axis {
                label: "numbers seen".to_owned(),
                range: (1.0, terms as f64),
                ticks: Ticks::Auto,
                ..Axis::default()
            },
            y: Axis {
                label: "squared error".to_owned(),
                range: (span.low / 1.5, span.high * 1.5),
                along: Along::log(true),
                ticks: Ticks::Auto,
            },
            marks,
            legend,
            weight: 1.6,
            ..Plot::default()
        })
    }

    fn map(&self, view: &View<'_>, found: &Reading) -> Result<Plot, Figure> {
        let (name, label) = match self.heads {
            HeadsBy::Ablated => ("ablated", "growth of the squared error"),
            HeadsBy::Product => ("slope.product", "slope of scores on products"),
            HeadsBy::Distance => ("slope.distance", "slope of scores on nearness"),
        };
        let of = |name: &str| array(found, name, 2);
        let (chosen, all) =
            (of(name)?, [of("ablated")?, of("slope.product")?, of("slope.distance")?]);
        let [layers, heads] = chosen.shape[..] else { return Err(sentence("No heads.")) };
        let hover = |at: usize| {
            let [ablated, product, distance] = all.map(|array| array.data[at]);
            format!(
                "layer {} head {}: error grows by {ablated:.2e} when cut; slope of scores on products {product:.3}, on nearness {distance:.3}",
                at / heads,
                at % heads
            )
        };
        let largest =
            chosen.data.iter().filter(|x| x.is_finite()).fold(1e-6, |m: f32, x| m.max(x.abs()));
        let map = ColorMap::Vik;
        let map = HeadMap {
            title: self.heads.name(),
            label,
            size: [layers, heads],
            values: chosen.data.to_vec(),
            hovers: (0..layers * heads).map(hover).collect(),
            map: map.on(view.palette.dark),
            range: (-largest, largest),
        };
        Ok(map.plot(view))
    }
}

/// References first, then layers, then the network, which lies on top.
fn courses(view: &View<'_>, found: &Reading) -> Result<Vec<Course>, Figure> {
    let doubles = |array: &Array| array.data.iter().map(|x| f64::from(*x)).collect::<Vec<f64>>();
    let mut all = Vec::new();
    let of = |prefix: &str| {
        let prefix = format!("error.{prefix}");
        let named = move |array: &'_ &Array| array.name.starts_with(&prefix);
        found.arrays.iter().filter(named).collect::<Vec<_>>()
    };
    for (i, array) in of("reference.").into_iter().enumerate() {
        all.push(Course {
            name: array.name.trim_start_matches("error.reference.").replace('_', " "),
            color: colors::mix(view.palette.paper, view.palette.ink, 0.75 - 0.12 * i as f32),
            dash: [Dash::Dotted, Dash::Dashed, Dash::Long, Dash::Solid][i % 4],
            width: 1.0,
            errors: doubles(array),
        });
    }
    for (i, array) in of("layer").into_iter().enumerate() {
        all.push(Course {
            name: array.name.trim_start_matches("error.").replace("layer", "after layer "),
            color: colors::line(view.palette, i + 1),
            dash: Dash::Solid,
            width: 1.2,
            errors: doubles(array),
        });
    }
    all.push(Course {
        name: "network".to_owned(),
        color: colors::line(view.palette, 0),
        dash: Dash::Solid,
        width: 2.2,
        errors: doubles(array(found, "error.network", 1)?),
    });
    Ok(all)
}

/// Mean errors over all numbers of terms.
fn in_words(courses: &[Course]) -> String {
    let mean = |course: &Course| {
        let known: Vec<f64> = course.errors.iter().copied().filter(|e| e.is_finite()).collect();
        known.iter().sum::<f64>() / known.len().max(1) as f64
    };
    let each = courses.iter().rev().map(|c| format!("{} {:.2e}", c.name, mean(c)));
    format!(
        "Mean squared errors: {}. A layer is read, as it is and through the final norm, by a linear map that was fitted to other sequences.",
        each.collect::<Vec<_>>().join(", ")
    )
}
