//! The gates of a working memory: what gets into each register, what it holds, and what a read takes out.

mod beside;
mod hover_text;
mod lanes;
mod numbers;
mod parsed;
mod parts;

use crate::base::question::MeasurementCall;
use crate::figure::{Axis, Dash, Figure, LegendEntry, Plot, Ticks};

use super::outputs::{reading, step_text};
use super::{NetShape, Panel, PanelKind, Selection, Stack, View, colors, compare};
use lanes::{BAND, BOX, Lanes, pale};
use parsed::Facts;
use parts::{Room, Wanted};

/// What is known of it before one is made.
pub const KIND: PanelKind = PanelKind {
    title: "Gating",
    look_for: "Doors above the tuples: open where what is told gets into the register, shut where it is kept out. The line from the last tuple leads to the one that it reads.",
    click: "A click on a tuple selects it; the buttons above say something else in it, and every panel answers.",
    // As large as the attention, which it explains.
    stack: Stack::MiddleBelow,
    turn: 3,
    aspect: 0.5,
    example: "gating",
    ..PanelKind::new("gating", || Box::<Gating>::default())
};

crate::choices! {
    /// Which positions of a tuple count as its address.
    pub enum Address { Bound = "bound", Tuple = "tuple" }
}

crate::settings! {
    /// The panel `gating`.
    pub struct Gating = "The gates of a working memory: a lane for each register, time from left to right; what gets in, what is held, and what the selected read takes out." {
        /// Below what the registers hold by the rule, show what a linear decoder reads from the network's keys and values.
        decoded: bool = true, @live;
        /// Show, beside the lanes, the gates of the selected tuple as numbers, and which register's reads look at which register's address, over held-out sequences.
        roles: bool = true, @live;
        /// The layer that reads, counted back from the last one with heads: 0 is that one.
        before_last: usize = 0, in 0..=11, @live;
        /// Where the keys of a tuple are looked for, and the queries of a read. bound: where its instruction, register and symbol have all been read, and at the symbol. tuple: at all of its positions.
        address: Address = Address::Tuple, @live;
    }
}

/// So wide, before and after a change stand side by side, in points.
const SIDE_BY_SIDE: f32 = 620.0;
/// Lower panels say nothing of the decoders but where they are drawn, in points.
const ROOM_FOR_DECODERS: f32 = 230.0;

impl Panel for Gating {
    fn needs(&self, _net: &NetShape, _selection: &Selection) -> Vec<MeasurementCall> {
        vec![self.call()]
    }

    fn figure(&self, view: &View<'_>) -> Figure {
        self.draw(view).unwrap_or_else(|instead| instead)
    }

    fn difference(&self, [a, b]: [&View<'_>; 2], _drawn: [&Figure; 2]) -> Figure {
        // Doors that are open in one and shut in the other are told by numbers.
        let [of_a, of_b] = [a, b].map(|view| {
            let facts = reading(view, &self.call()).and_then(|answer| Facts::new(view, answer));
            facts.map_or_else(|instead| instead, |facts| numbers::figure(&facts))
        });
        compare::subtracted([&of_a, &of_b], a.palette.dark)
    }
}

impl Gating {
    fn call(&self) -> MeasurementCall {
        let mut call = MeasurementCall::new("gating");
        if self.before_last > 0 {
            call = call.with("before_last", i64::try_from(self.before_last).unwrap_or(0));
        }
        if self.address != Address::Tuple {
            call = call.with("address", self.address.name());
        }
        call
    }

    fn draw(&self, view: &View<'_>) -> Result<Figure, Figure> {
        let answer = reading(view, &self.call())?;
        let facts = Facts::new(view, answer)?;
        let earlier = View { readings: view.before, before: None, ..*view };
        let before = view.before.and_then(|_| reading(&earlier, &self.call()).ok());
        let before = before.and_then(|answer| Facts::new(&earlier, answer).ok());
        let beside_each_other = before.is_some() && view.size[0] >= SIDE_BY_SIDE;
        let (mut caption, mut legend) = (self.caption(view, &facts), legend(view));
        let arranged = |legend: &[LegendEntry], caption: &str| {
            let wanted = Wanted {
                size: view.size.map(|s| if s.is_finite() { s.clamp(40.0, 1e4) } else { 400.0 }),
                plots: if beside_each_other { 2 } else { 1 },
                beside: self.roles,
                registers: facts.present().len(),
                tuples: facts.tuples.len(),
                compared: before.is_some(),
                legend,
                caption,
            };
            wanted.arranged()
        };
        let mut room = arranged(&legend, &caption);
        // Names in the lanes say more than what stands around them.
        if room.is_tight {
            caption.clear();
            room = arranged(&legend, &caption);
        }
        if room.is_tight {
            legend.clear();
            room = arranged(&legend, &caption);
        }
        let now = self.plot(view, &facts, before.as_ref(), room);
        let mut plots = match &before {
            Some(before) if beside_each_other => vec![
                Plot { title: "before".to_owned(), ..self.plot(&earlier, before, None, room) },
                Plot { title: "after the change".to_owned(), ..now },
            ],
            _ => vec![now],
        };
        // Two drawings beside each other share one.
        plots[0].legend = legend;
        let layer = answer.number("layer").unwrap_or(f64::NAN);
        Ok(Figure {
            title: format!("Gates of working memory, read by layer {layer}, {}", step_text(view)),
            columns: plots.len(),
            plots,
            caption,
            scale: room.scale,
            ..Figure::default()
        })
    }

    /// The lanes of a sequence; `before`: what was answered before something in it was changed.
    fn plot(&self, view: &View<'_>, facts: &Facts, before: Option<&Facts>, room: Room) -> Plot {
        let lanes = Lanes::new(view, facts, before, room, self.decoded);
        let mut marks = lanes.marks();
        marks.extend(beside::marks(view, facts, &lanes));
        let axis = |range| Axis { range, ticks: Ticks::Hidden, ..Axis::default() };
        Plot { x: axis(lanes.x_range()), y: axis(lanes.y_range()), marks, ..Plot::default() }
    }

    /// What the selected tuple says, and how far the decoders can be believed.
    fn caption(&self, view: &View<'_>, facts: &Facts) -> String {
        let story = hover_text::story(view, facts, facts.selected);
        if !self.decoded || view.size[1] < ROOM_FOR_DECODERS {
            return story;
        }
        let found = hover_text::decoders(facts);
        format!("{story} Linear decoders are right, on held-out tuples: {found}.")
    }
}

/// What the drawing uses, in the words of both fields.
fn legend(view: &View<'_>) -> Vec<LegendEntry> {
    let palette = view.palette;
    let keys = |strength| colors::mix(palette.paper, colors::KEY, strength);
    let symbol = |strength| colors::mix(palette.paper, colors::role(palette, Some(0)), strength);
    vec![
        LegendEntry::line("door (input gate, key)", keys(1.0), Dash::Solid),
        LegendEntry::line("… not by keys alone", keys(pale(palette)), Dash::Solid),
        LegendEntry::line("no answer tells", colors::quiet(palette), Dash::Dotted),
        LegendEntry::line("read (output gate, query)", colors::QUERY, Dash::Solid),
        LegendEntry::line("elsewhere", colors::QUERY, Dash::Dashed),
        LegendEntry::square("Store", symbol(BOX)),
        LegendEntry::outline("Ignore", symbol(1.0)),
        LegendEntry::square("held (value)", symbol(BAND)),
        LegendEntry::outline("wrong", palette.ink),
    ]
}
