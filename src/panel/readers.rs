//! What can be read out of the network, layer by layer: held-out scores of fitted readers beside what they are to beat.

use crate::base::analysis::{Examples, Told};
use crate::base::array::Array;
use crate::base::convert;
use crate::base::intervention::Point;
use crate::base::label::Kind;
use crate::base::question::{Found, MeasurementCall, Reading};
use crate::figure::{Along, Axis, Cell, Dash, Figure, LegendEntry, Mark, Pick, Plot, Ticks};

use super::outputs::{array, long_answer, number};
use super::{NetShape, Panel, PanelKind, Selection, Stack, View, colors, span};

/// What is known of it before one is made.
pub const KIND: PanelKind = PanelKind {
    title: "Probing",
    look_for: "A held-out score (line) well above the shuffled labels (dashed) and the constant guess (dotted): only then does a place hold what is asked for.",
    click: "A click on a place brings its layer into focus; Keep writes what was fitted into the folder of the run, or beside your own runs while another program writes it.",
    stack: Stack::MiddleBelow,
    controls: &[("kind", "Fit"), ("places", "Read from"), ("score", "Score")],
    ..PanelKind::new("readers", || Box::<Readers>::default())
};

crate::choices! {
    /// How well a label is told.
    pub enum Score {
        /// Share of examples told right; of many labels, all of them.
        Accuracy = "accuracy",
        /// Mean F1 over the classes.
        MacroF1 = "macro_f1",
        /// F1 over all labels together.
        MicroF1 = "micro_f1",
    }
}

crate::settings! {
    /// The panel `readers`: curves of the analysis of the same name.
    pub struct Readers = "What can be read out of the network, place by place: held-out score of a probe beside shuffled labels, a fitted lens beside the logit lens, or what is left when a label is erased." {
        /// What is told, and where.
        told: Told = Told::default();
        /// What is drawn of probes: accuracy, or F1 (which suits many labels at once).
        score: Score = Score::Accuracy, @live;
        /// How much of what.
        examples: Examples = Examples::default();
    }
}

impl Panel for Readers {
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

/// A curve: name of its array, what the legend says, number of its colour, and its dashes.
type Curve = (String, &'static str, usize, Dash);

impl Readers {
    /// The analysis with these settings; those that say nothing are left out.
    fn call(&self) -> MeasurementCall {
        let whole = |n: usize| i64::try_from(n).unwrap_or(i64::MAX);
        let mut call = MeasurementCall::new("readers")
            .with("kind", self.told.kind.name())
            .with("train", whole(self.examples.train))
            .with("test", whole(self.examples.test));
        if !self.told.kind.is_lens() {
            call = call.with("places", self.told.places.name());
        }
        if self.told.kind == Kind::MlpProbe {
            call = call.with("hidden", whole(self.examples.hidden));
        }
        let texts = [
            ("label", &self.told.label),
            ("positions", &self.told.positions),
            ("under", &self.examples.under),
        ];
        for (name, text) in texts.into_iter().filter(|(_, text)| !text.trim().is_empty()) {
            call = call.with(name, text.trim());
        }
        call
    }

    fn draw(&self, view: &View<'_>) -> Result<Figure, Figure> {
        let waiting = "Probes are fitted where this panel is in view: the first examples are read.";
        let (reading, found) = long_answer(view, &self.call(), waiting)?;
        let places = places(reading)?;
        let mut plots = vec![self.plot(view, reading, &places, "", &self.curves(), true)];
        if self.told.kind.is_lens() {
            let curves = self.lens_curves("kl");
            plots.push(self.plot(
                view,
                reading,
                &places,
                "KL to the network (nats)",
                &curves,
                false,
            ));
        }
        let columns = if view.size[0] > 1.4 * view.size[1] { plots.len() } else { 1 };
        Ok(Figure {
            title: self.title(found),
            plots,
            columns,
            caption: caption(reading, self.told.kind),
            ..Figure::default()
        })
    }

    fn title(&self, found: &Found) -> String {
        let of = match self.told.label.trim() {
            "" => String::new(),
            label => format!(" of {label}"),
        };
        let at = match self.told.positions.trim() {
            "" | "all" => String::new(),
            at => format!(" at {at}"),
        };
        let step = found.step;
        match self.told.kind {
            Kind::LinearProbe => format!("Linear probe{of}{at}, step {step}"),
            Kind::MlpProbe => format!("Probe with a hidden layer{of}{at}, step {step}"),
            Kind::TunedLens => format!("Tuned lens{at}, step {step}"),
            Kind::TokenLens => format!("Token lens{at}, step {step}"),
            Kind::Leace => format!("Erasure{of}{at}, step {step}"),
        }
    }

    fn lens_curves(&self, score: &str) -> Vec<Curve> {
        let fitted = if self.told.kind == Kind::TunedLens { "tuned lens" } else { "token lens" };
        vec![
            (score.to_owned(), fitted, 0, Dash::Solid),
            (format!("logit_lens_{score}"), "logit lens", 1, Dash::Dashed),
        ]
    }

    /// What the first plot shows, the line of first rank first.
    fn curves(&self) -> Vec<Curve> {
        let score = self.score.name();
        let curve =
            |prefix: &str, text, color, dash| (format!("{prefix}{score}"), text, color, dash);
        match self.told.kind {
            Kind::LinearProbe | Kind::MlpProbe => vec![
                curve("", "held-out", 0, Dash::Solid),
                curve("shuffled_", "shuffled labels", 1, Dash::Dashed),
                curve("constant_", "constant guess", 2, Dash::Dotted),
            ],
            Kind::TunedLens | Kind::TokenLens => self.lens_curves("accuracy"),
            Kind::Leace => vec![
                curve("", "probe after", 0, Dash::Solid),
                curve("before_", "probe before", 3, Dash::Solid),
                curve("constant_", "constant guess", 2, Dash::Dotted),
                ("network_accuracy".to_owned(), "network after", 1, Dash::Dashed),
                ("network_before_accuracy".to_owned(), "network before", 4, Dash::Dashed),
            ],
        }
    }

    fn plot(
        &self,
        view: &View<'_>,
        reading: &Reading,
        places: &[Place],
        label: &str,
        curves: &[Curve],
        share: bool,
    ) -> Plot {
        let known = |curve: &Curve| Some((curve.clone(), reading.array(&curve.0)?));
        let drawn: Vec<(Curve, &Array)> = curves.iter().filter_map(known).collect();
        let most = span::most(drawn.iter().flat_map(|(_, array)| array.data.iter()));
        // Room above a line at the top, and something to see where all is zero.
        let top = if share { 1.06 } else { f64::from(most).clamp(1e-3, 1e9) * 1.08 };
        let mut marks = Vec::new();
        for ((name, _, color, dash), array) in drawn.iter().rev() {
            let points = array.data.iter().enumerate().map(|(i, v)| [i as f64, f64::from(*v)]);
            let color = colors::line(view.palette, *color);
            marks.extend(Mark::curve(name, points.collect(), color, *dash));
        }
        marks.push(Mark::Cells(cells(view, reading, places, top)));
        let entry = |(name, text, color, dash): &Curve| LegendEntry {
            name: name.clone(),
            ..LegendEntry::line(*text, colors::line(view.palette, *color), *dash)
        };
        let ticks = places.iter().enumerate().map(|(i, place)| (i as f64, place.short()));
        let score = self.score.name().replace('_', " ");
        let label = match (label, self.told.kind) {
            ("", kind) if kind.is_lens() => "accuracy".to_owned(),
            ("", _) => score.replace("f1", "F1"),
            (label, _) => label.to_owned(),
        };
        Plot {
            title: String::new(),
            x: Axis {
                label: "place (layer)".to_owned(),
                range: (-0.5, places.len() as f64 - 0.5),
                along: Along::Values,
                ticks: Ticks::At(ticks.collect()),
            },
            y: Axis { label, range: (0.0, top), along: Along::Values, ticks: Ticks::Auto },
            marks,
            legend: drawn.iter().map(|(curve, _)| entry(curve)).collect(),
            ..Plot::default()
        }
    }
}

/// Where a reader reads.
struct Place {
    layer: usize,
    point: &'static str,
}

impl Place {
    /// As a tick: `pre 0`.
    fn short(&self) -> String {
        let point = self.point.strip_prefix("resid_").unwrap_or(self.point);
        format!("{} {}", point.strip_suffix("_out").unwrap_or(point), self.layer)
    }
}

/// The places of an answer.
fn places(reading: &Reading) -> Result<Vec<Place>, Figure> {
    let (layers, points) = (array(reading, "layer", 1)?, array(reading, "point", 1)?);
    let whole = |x: f32| convert::index(x.clamp(0.0, 1e6));
    let place = |(layer, point): (&f32, &f32)| Place {
        layer: whole(*layer),
        point: Point::ALL.get(whole(*point)).map_or("unknown", |(_, name)| name),
    };
    Ok(layers.data.iter().zip(points.data.iter()).map(place).collect())
}

/// Over each place: all its scores on hover; a click brings its layer into focus.
fn cells(view: &View<'_>, reading: &Reading, places: &[Place], top: f64) -> Vec<Cell> {
    let scores = || reading.arrays.iter().filter(|array| array.axes == ["place"]);
    let cell = |(i, place): (usize, &Place)| {
        let told = scores().filter(|array| !["layer", "point"].contains(&array.name.as_str()));
        let told = told.filter_map(|array| {
            let value = array.data.get(i).filter(|v| v.is_finite())?;
            Some(format!("\n{}: {}", array.name.replace('_', " "), number(*value)))
        });
        Cell {
            from: [i as f64 - 0.5, 0.0],
            to: [i as f64 + 0.5, top],
            text: String::new(),
            fill: None,
            stroke: None,
            ink: view.palette.ink,
            pick: Pick::Head { layer: place.layer, head: 0 },
            hover: format!("layer {}, {}{}", place.layer, place.point, told.collect::<String>()),
            value: None,
        }
    };
    places.iter().enumerate().map(cell).collect()
}

fn caption(reading: &Reading, kind: Kind) -> String {
    let count = |name: &str| reading.number(name).filter(|n| n.is_finite() && *n > 0.0);
    let (Some(train), Some(test)) = (count("train_examples"), count("test_examples")) else {
        return "Reading examples.".to_owned();
    };
    let fitted = match kind {
        Kind::LinearProbe | Kind::MlpProbe | Kind::Leace => "Fitted to",
        Kind::TunedLens => "One map for each boundary but the last, fitted to",
        Kind::TokenLens => "One map for each boundary, fitted to",
    };
    let notes: String = reading.notes.iter().map(|note| format!(" {note}")).collect();
    format!("{fitted} {train:.0} examples, judged by {test:.0} of other sequences.{notes}")
}
