//! A worked example of a new panel, with controls and a long question: what each head does to the answer, as bars.
//!
//! `cargo run --example add_panel` asks it of a small untrained network and shows its numbers. Inside the crate this
//! file would be `src/panel/head_effects.rs`, with `pub mod head_effects;` and the line `head_effects::KIND` in `panel::ALL`:
//! it then has a tile in the window with its controls above it, an entry in the menu and the palette, a form of its settings,
//! and `mnemoscope figure RUN head_effects -o effects.pdf`. The tests open it in the window.

use std::sync::Arc;

use mnemoscope::Result;
use mnemoscope::base::analysis::{Compared, Counted, Measured};
use mnemoscope::base::question::{Analyzed, Found, MeasurementCall, Reading};
use mnemoscope::figure::color::Color;
use mnemoscope::figure::file::{Format, render};
use mnemoscope::figure::page::Page;
use mnemoscope::figure::{Axis, Dash, Figure, Mark, Plot, Ticks};
use mnemoscope::panel::outputs::{array, long_answer, sentence};
use mnemoscope::panel::{NetShape, Palette, Panel, PanelKind, Selection, Snapshot, Stack, View};
use mnemoscope::run::examine::Instrument;
use mnemoscope::run::experiment::Experiment;
use mnemoscope::run::job::analysis_of;
use mnemoscope::run::trainer::Trainer;

/// All that is known of the panel before one is made: the window, the figure sheets and the commands read it here.
pub const KIND: PanelKind = PanelKind {
    title: "Head effects",
    look_for: "Bars that stand out: heads without which the answer would be another.",
    click: "A click does nothing here; pointing at a bar tells its head and the number.",
    stack: Stack::MiddleAbove,
    aspect: 0.6,
    // Settings that stand above the picture; the others stand in the form alone.
    controls: &[
        ("metric", "Effect"),
        ("pairs", "Pairs"),
        ("all_pairs", "Wrong ones too"),
        ("sorted", "Largest first"),
    ],
    ..PanelKind::new("head_effects", || Box::<HeadEffects>::default())
};

mnemoscope::settings! {
    /// The panel. Settings that it shares with the question are declared with it, once for all who ask it.
    pub struct HeadEffects = "What each head does: its output alone is taken from the run on the counterfactual sequence." {
        /// How the effect is counted.
        measured: Measured = Measured::default();
        /// Which sequences.
        compared: Compared = Compared::default();
        /// Which of them count.
        counted: Counted = Counted::default();
        /// Draw the heads with the largest effects first.
        sorted: bool = false, @live;
    }
}

impl Panel for HeadEffects {
    // It asks no measurement; `vec![MeasurementCall::new("attention")]` would ask one, for every frame that is drawn.
    fn needs(&self, _net: &NetShape, _selection: &Selection) -> Vec<MeasurementCall> {
        Vec::new()
    }

    // A long question: many forward passes over pairs of sequences, on a thread of its own. Progress, Cancel and Ask again
    // stand beside the controls without a word here.
    fn analyses(&self, _net: &NetShape, _selection: &Selection) -> Vec<MeasurementCall> {
        vec![self.call()]
    }

    // Pure: the same view gives the same figure, in the window, in a file and in a test.
    fn figure(&self, view: &View<'_>) -> Figure {
        self.draw(view).unwrap_or_else(|instead| instead)
    }
}

/// A head with its effect and the interval of it.
struct Bar {
    name: String,
    effect: f64,
    interval: [f64; 2],
}

impl HeadEffects {
    fn call(&self) -> MeasurementCall {
        let call = MeasurementCall::new("patching")
            .with("map", "z")
            .with("metric", self.measured.metric.name())
            .with("pairs", i64::try_from(self.compared.pairs).unwrap_or(i64::MAX))
            .with("all_pairs", self.counted.all_pairs);
        match self.compared.pair.as_str() {
            "" => call,
            pair => call.with("pair", pair),
        }
    }

    fn draw(&self, view: &View<'_>) -> Result<Figure, Figure> {
        let waiting = "Heads are patched one by one: the first results come in a moment.";
        let (reading, found) = long_answer(view, &self.call(), waiting)?;
        if reading.number("pairs_counted") == Some(0.0) {
            return Err(sentence("No pair counts at this step: count wrong ones, or look later."));
        }
        let bars = self.bars(view.net, reading)?;
        if bars.is_empty() {
            return Err(sentence(waiting));
        }
        let ends = bars.iter().flat_map(|bar| bar.interval).chain([0.0]);
        let (low, high) =
            ends.fold((0.0, 0.0), |(low, high): (f64, f64), end| (low.min(end), high.max(end)));
        let room = 0.05 * (high - low).max(1e-6);
        let ticks = bars.iter().enumerate().map(|(i, bar)| (i as f64, bar.name.clone()));
        let mut marks = vec![Mark::Bars {
            name: "effect".to_owned(),
            at: (0..bars.len()).map(|i| i as f64).collect(),
            values: bars.iter().map(|bar| bar.effect).collect(),
            base: 0.0,
            width: 0.7,
            color: view.palette.accent,
        }];
        let intervals = bars.iter().enumerate().map(|(i, bar)| Mark::Line {
            name: String::new(),
            points: bar.interval.map(|end| [i as f64, end]).to_vec().into(),
            color: view.palette.ink,
            width: 1.0,
            dash: Dash::Solid,
        });
        marks.extend(intervals);
        let plot = Plot {
            x: Axis {
                label: "head".to_owned(),
                range: (-0.6, bars.len() as f64 - 0.4),
                ticks: Ticks::At(ticks.collect()),
                ..Axis::default()
            },
            y: Axis {
                label: self.measured.metric.name().replace('_', " "),
                range: (low - room, high + room),
                ..Axis::default()
            },
            marks,
            ..Plot::default()
        };
        Ok(Figure {
            title: format!("What each head does, step {}", found.step),
            plots: vec![plot],
            columns: 1,
            caption: reading.notes.join(" "),
            ..Figure::default()
        })
    }

    /// The heads whose effect is known so far.
    fn bars(&self, net: &NetShape, reading: &Reading) -> Result<Vec<Bar>, Figure> {
        let [effect, low, high] =
            ["effect.z", "low.z", "high.z"].map(|name| array(reading, name, 2));
        let (effect, low, high) = (effect?, low?, high?);
        let most = effect.shape[1];
        let mut bars = Vec::new();
        for (layer, heads) in net.heads.iter().enumerate() {
            for head in 0..*heads {
                let at = |data: &[f32]| data.get(layer * most + head).copied().map(f64::from);
                let Some(mean) = at(&effect.data).filter(|mean| mean.is_finite()) else { continue };
                // Of one pair there is no interval.
                let end = |data: &[f32]| at(data).filter(|end| end.is_finite()).unwrap_or(mean);
                let interval = [end(&low.data), end(&high.data)];
                bars.push(Bar { name: format!("{layer}.{head}"), effect: mean, interval });
            }
        }
        if self.sorted {
            bars.sort_by(|a, b| b.effect.abs().total_cmp(&a.effect.abs()));
        }
        Ok(bars)
    }
}

#[expect(clippy::print_stdout, reason = "an example shows what it does")]
pub fn main() -> Result<()> {
    // What the window does for a panel that is in view: it asks the long question on a thread, and draws what is known.
    let mut experiment = Experiment::of("example", "bigram", "decoder")?;
    experiment.set_texts(["task.length=24", "model.width=16", "train.batch=2"])?;
    let weights = Trainer::new(&experiment)?.weights()?;
    let mut instrument = Instrument::new(&experiment)?;
    let mut panel = HeadEffects { sorted: true, ..HeadEffects::default() };
    panel.compared.pairs = 4;
    panel.counted.all_pairs = true;
    let prompt = instrument.source().sequence(0, 0);
    let analysis = analysis_of(&panel.call())?;
    let reading = instrument.analyze(&weights, &prompt, &[], &*analysis, &mut |_, _, _| true)?;
    let reading = Some(Ok(Arc::new(reading)));
    let found = Found { step: weights.step, done: 1, total: 1, reading, ended: true };
    let heads = instrument.layout().heads.clone();
    let mut shown = Snapshot {
        net: NetShape { heads: heads.clone(), ..NetShape::default() },
        analyzed: Analyzed { by_call: [(panel.call().key(), found)].into() },
        ..Snapshot::default()
    };
    let palette = Palette {
        dark: false,
        paper: Color::rgb(255, 255, 255),
        ink: Color::rgb(20, 20, 20),
        faint: Color::rgb(120, 120, 120),
        accent: Color::rgb(0, 114, 178),
    };
    let figure = panel.figure(&shown.view(palette, [252.0, 151.0]));
    let drawn = render(&figure, &Page::column(), Format::Svg)?;
    let numbers = render(&figure, &Page::column(), Format::Csv)?;
    println!("{}\n{}", figure.title, String::from_utf8_lossy(&numbers));
    assert!(drawn.starts_with(b"<?xml") || drawn.starts_with(b"<svg"));
    let Some(Mark::Bars { values, .. }) = figure.plots[0].marks.first() else {
        panic!("the first mark is the bars")
    };
    assert_eq!(values.len(), heads.iter().sum::<usize>());
    assert!(values.windows(2).all(|pair| pair[0].abs() >= pair[1].abs()), "{values:?}");
    // Before there is an answer it says so.
    shown.analyzed = Analyzed::default();
    assert!(panel.figure(&shown.view(palette, [252.0, 151.0])).empty.is_some());
    Ok(())
}
