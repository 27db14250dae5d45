//! Where a fact is looked up: which states, MLPs and attentions bring the answer back when the subject is corrupted.

use std::sync::Arc;

use crate::base::analysis::Tracing as Asked;
use crate::base::array::Array;
use crate::base::convert::{self, narrow};
use crate::base::plain::Plain;
use crate::base::question::{MeasurementCall, Reading};
use crate::base::settings;
use crate::base::study::PLACES;
use crate::figure::color::{ColorMap, Scaling, fraction};
use crate::figure::{
    Anchor, Axis, ColorBar, Figure, Heat, HeatPick, LegendEntry, Mark, Pick, Plot, Ticks,
};

use super::outputs::{array, long_answer, sentence, tokens};
use super::tokens::as_id;
use super::{NetShape, Panel, PanelKind, Selection, Stack, View, colors, pairs, span};

/// What is known of it before one is made.
pub const KIND: PanelKind = PanelKind {
    title: "Tracing",
    look_for: "Strong cells: with the subject corrupted the answer is lost, and a state, an MLP or attention that brings it back when it alone is restored lies on its way. An early strong cell at the last token of the subject is where a fact is looked up, a late one at the end where it is said.",
    click: "A click on a cell of the prompt in view selects its position as the query (the token that asks).",
    stack: Stack::MiddleBelow,
    aspect: 0.7,
    example: "facts",
    controls: &[
        ("restored", "Restore"),
        ("corrupted", "Corrupt"),
        ("severed", "Severed"),
        ("show", "Show"),
    ],
    ..PanelKind::new("tracing", || Box::<Tracing>::default())
};

crate::choices! {
    /// Which maps are drawn.
    pub enum Show { Both = "both", Prompt = "prompt", Mean = "mean" }
}

crate::settings! {
    /// The panel `tracing`: maps of the analysis of the same name.
    pub struct Tracing = "Causal tracing: the tokens of a subject are corrupted and the answer is lost; maps of its probability when states, MLPs or attentions are restored one by one, for one prompt and on average over prompts." {
        /// What it asks.
        asked: Asked = Asked::default();
        /// Which maps to draw: of the prompt in focus, of the means over prompts, or both.
        show: Show = Show::Both, @live;
        /// Colours of the maps.
        map: ColorMap = ColorMap::Paper, called "colours", @live;
    }
}

/// What is said before the first answer.
const WAITING: &str = "The subject is being corrupted, and states, MLPs and attentions restored one by one; the first results come in a moment.";
/// In maps of at most so many cells the probabilities are written.
const MOST_NUMBERS: usize = 48;
/// Points of height that a number in a cell needs.
const ROOM_FOR_NUMBER: f32 = 10.0;
/// Least width of a map beside others, in points.
const LEAST: f32 = 115.0;

impl Panel for Tracing {
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

impl Tracing {
    /// The analysis with the settings that are not as usual.
    fn call(&self) -> MeasurementCall {
        let usual = settings::to_table(&mut Asked::default());
        let own = settings::to_table(&mut self.asked.clone());
        let other = own.into_iter().filter(|(name, value)| usual.get(name) != Some(value));
        other.fold(MeasurementCall::new("tracing"), |call, (name, value)| call.with(&name, value))
    }

    fn draw(&self, view: &View<'_>) -> Result<Figure, Figure> {
        let (reading, found) = long_answer(view, &self.call(), WAITING)?;
        let sheet = Sheet::new(self, view, reading, found.ended && found.done >= found.total)?;
        let mut plots = Vec::new();
        for (what, columns) in [("trace", &sheet.positions), ("mean", &sheet.places)] {
            let drawn = match self.show {
                Show::Both => true,
                Show::Prompt => what == "trace",
                Show::Mean => what == "mean",
            };
            if drawn {
                plots.extend(sheet.maps(what, columns)?);
            }
        }
        let rows = if self.show == Show::Both { 2 } else { 1 };
        let kinds = plots.len().div_ceil(rows).max(1);
        let most = convert::index((view.size[0] / LEAST).max(1.0));
        if plots.is_empty() {
            return Err(sentence("This network has none of the places that are restored."));
        }
        let columns = kinds.min(most);
        let cells = plots.len().div_ceil(columns) * view.net.heads.len().max(1);
        if 0.7 * view.size[1] < ROOM_FOR_NUMBER * cells as f32 {
            // Numbers that would lie over each other say nothing.
            plots
                .iter_mut()
                .for_each(|plot| plot.marks.retain(|m| !matches!(m, Mark::Text { .. })));
        }
        Ok(Figure {
            title: sheet.title(found.step),
            columns,
            caption: sheet.caption(self.show),
            plots,
            ..Figure::default()
        })
    }
}

/// Names of the columns of a map, and which of the array's they are.
type Columns = Vec<(usize, String)>;

/// What all maps of a figure share.
struct Sheet<'a> {
    view: &'a View<'a>,
    reading: &'a Reading,
    prompt: Vec<u32>,
    answer: u32,
    positions: Columns,
    places: Columns,
    map: ColorMap,
    range: (f32, f32),
    /// All cells that there are have been done.
    ended: bool,
}

impl<'a> Sheet<'a> {
    fn new(
        panel: &Tracing,
        view: &'a View<'a>,
        reading: &'a Reading,
        ended: bool,
    ) -> Result<Self, Figure> {
        let ids = |name: &str| -> Result<Vec<u32>, Figure> {
            Ok(array(reading, name, 1)?.data.iter().map(|id| as_id(*id)).collect())
        };
        let (prompt, answer, subject) = (ids("tokens")?, ids("answer")?, ids("subject")?);
        let is_subject = |at: usize| subject.iter().any(|position| *position as usize == at);
        let star = |at: usize| if is_subject(at) { "*" } else { "" };
        let named = |(at, id): (usize, &u32)| (at, view.vocab.glyph(*id) + star(at));
        let first = subject.iter().min().map_or(0, |at| *at as usize);
        let positions = prompt.iter().enumerate().map(named).filter(|(at, _)| *at >= first);
        let mut sheet = Self {
            view,
            reading,
            positions: positions.collect(),
            prompt,
            answer: answer[0],
            places: Vec::new(),
            map: panel.map.on(view.palette.dark),
            range: (0.0, 1.0),
            ended,
        };
        sheet.places = sheet.places();
        sheet.range.1 = sheet.most();
        Ok(sheet)
    }

    /// Places that some prompt has.
    fn places(&self) -> Columns {
        let maps: Vec<&Array> = self.arrays("mean").collect();
        let has = |place: usize| {
            maps.iter().any(|map| {
                map.data.iter().skip(place).step_by(PLACES.len()).any(|value| value.is_finite())
            })
        };
        let all = PLACES.iter().enumerate().filter(|(place, _)| has(*place));
        all.map(|(place, name)| (place, (*name).to_owned())).collect()
    }

    fn arrays(&self, what: &str) -> impl Iterator<Item = &'a Array> {
        let begins = format!("{what}.");
        self.reading
            .arrays
            .iter()
            .filter(move |array| array.name.starts_with(&begins) && array.shape.len() == 2)
    }

    /// The largest probability there is, so that colours reach it.
    fn most(&self) -> f32 {
        let clean = ["focus", "probability"].map(|name| narrow(self.number(name)));
        let cells = self.arrays("trace").chain(self.arrays("mean")).flat_map(|map| map.data.iter());
        let most = span::most(cells.chain(&clean));
        if most > 0.0 { most } else { 1.0 }
    }

    fn number(&self, name: &str) -> f64 {
        self.reading.number(name).unwrap_or(f64::NAN)
    }

    fn title(&self, step: u64) -> String {
        let prompt: Vec<String> = self.prompt.iter().map(|id| self.view.vocab.glyph(*id)).collect();
        // A long prompt is told by its end.
        let shown = prompt.len().saturating_sub(12);
        let before = if shown > 0 { "… " } else { "" };
        format!(
            "{before}{} → {}: probability {}, corrupted {}; step {step}",
            prompt[shown..].join(" "),
            self.view.vocab.glyph(self.answer),
            two(self.number("focus")),
            two(self.number("focus_corrupted")),
        )
    }

    fn caption(&self, show: Show) -> String {
        let mut said = vec![match show {
            Show::Both => "Above: the prompt of the title, its subject marked *.".to_owned(),
            Show::Prompt => "The subject is marked *.".to_owned(),
            Show::Mean => String::new(),
        }];
        if show != Show::Prompt {
            said.push(format!(
                "Means of {:.0} prompts: probability {}, corrupted {}.",
                self.number("prompts"),
                two(self.number("probability")),
                two(self.number("probability_corrupted")),
            ));
        }
        let window = self.number("window");
        if window > 1.0 {
            said.push(format!("MLPs and attention are restored in windows of {window:.0} layers."));
        }
        if tokens(self.view) != self.prompt {
            said.push("It is another prompt than the sequence in view.".to_owned());
        }
        if self.view.readings.is_some_and(|readings| !readings.interventions.is_empty()) {
            said.push("The maps are of the network with nothing in force.".to_owned());
        }
        said.extend(self.reading.notes.iter().cloned());
        said.retain(|sentence| !sentence.is_empty());
        said.join(" ")
    }

    /// The maps of what is restored, one of each kind.
    fn maps(&self, what: &str, columns: &Columns) -> Result<Vec<Plot>, Figure> {
        let known = self.arrays(what).filter(|map| map.shape[0] > 0 && map.shape[1] > 0);
        let maps: Vec<&Array> = known.collect();
        let last = maps.len();
        let of_prompt = what == "trace";
        let plots = maps.iter().enumerate().map(|(i, map)| {
            let kind = map.name.split_once('.').map_or("", |(_, kind)| kind);
            let mut plot = self.plot(map, columns, of_prompt);
            plot.title =
                if of_prompt { called(kind).to_owned() } else { format!("{}, mean", called(kind)) };
            plot.color_bar = (i + 1 == last).then(|| self.bar());
            plot
        });
        Ok(plots.collect())
    }

    fn bar(&self) -> ColorBar {
        let (map, range) = (self.map, self.range);
        ColorBar { label: "probability".to_owned(), map, range, scaling: Scaling::Linear }
    }

    fn plot(&self, map: &Array, columns: &Columns, of_prompt: bool) -> Plot {
        let rows = map.shape[0];
        let cells = (0..rows).flat_map(|row| columns.iter().map(move |column| (row, column)));
        let value =
            |row: usize, column: usize| map.outer(row).get(column).copied().unwrap_or(f32::NAN);
        let values: Vec<f32> = cells.clone().map(|(row, (at, _))| value(row, *at)).collect();
        let hovers = cells
            .clone()
            .zip(&values)
            .map(|((row, (_, name)), value)| self.words(row, name, *value));
        let hovers: Arc<[String]> = hovers.collect();
        let in_view = of_prompt && tokens(self.view).starts_with(&self.prompt);
        let pick = |at: usize| if in_view { Pick::Query(at) } else { Pick::Nothing };
        let picks = cells.map(|(_, (at, _))| pick(*at)).collect();
        let size = [rows, columns.len()];
        let (mut marks, legend) = self.unknown(&values, size);
        marks.push(Mark::Heat(Heat {
            name: map.name.clone(),
            rows,
            columns: columns.len(),
            values: values.as_slice().into(),
            map: self.map,
            range: self.range,
            pick: HeatPick::Cells { picks, hovers },
            ..Heat::default()
        }));
        if values.len() <= MOST_NUMBERS {
            marks.extend(self.written(&values, columns.len()));
        }
        let names = |all: Vec<String>| Ticks::Each(all.into());
        let axis = |label: &str, range, ticks| Axis {
            label: label.to_owned(),
            range,
            ticks,
            ..Axis::default()
        };
        let column_names = columns.iter().map(|(_, name)| name.clone()).collect();
        let layers = (0..rows).map(|row| row.to_string()).collect();
        Plot {
            x: axis("", (0.0, columns.len() as f64), names(column_names)),
            y: axis("layer", (rows as f64, 0.0), names(layers)),
            marks,
            legend,
            ..Plot::default()
        }
    }

    /// Hatching behind cells that are not known.
    fn unknown(
        &self,
        values: &[f32],
        [rows, columns]: [usize; 2],
    ) -> (Vec<Mark>, Vec<LegendEntry>) {
        if values.iter().all(|value| !value.is_nan()) {
            return (Vec::new(), Vec::new());
        }
        let (color, said) = (pairs::hatched(self.view), pairs::unknown(self.ended));
        let to = [columns as f64, rows as f64];
        let hatch = Mark::Hatch { from: [0.0; 2], to, color };
        (vec![hatch], vec![LegendEntry::square(said, color)])
    }

    fn words(&self, layer: usize, name: &str, value: f32) -> String {
        if value.is_nan() {
            return format!("layer {layer}, {name}: {}", pairs::unknown(self.ended));
        }
        format!("layer {layer}, {name}: probability {} when this is restored", two(value.into()))
    }

    /// The probability in each cell.
    fn written(&self, values: &[f32], columns: usize) -> Vec<Mark> {
        let known = values.iter().enumerate().filter(|(_, value)| value.is_finite());
        let mark = |(i, value): (usize, &f32)| Mark::Text {
            at: [(i % columns) as f64 + 0.5, (i / columns) as f64 + 0.5],
            text: pairs::short(*value),
            color: colors::text_on(self.map.at(fraction(*value, self.range, Scaling::Linear))),
            anchor: Anchor::Center,
            size: 8.0,
        };
        known.map(mark).collect()
    }
}

/// What is restored in a map.
fn called(kind: &str) -> &str {
    match kind {
        "state" => "state behind a layer",
        "mlp" => "what the MLP writes",
        "attention" => "what attention writes",
        "state_without_mlp" => "state, MLPs severed",
        "state_without_attention" => "state, attention severed",
        other => other,
    }
}

fn two(value: f64) -> String {
    format!("{:.2}", Plain(value))
}
