//! The gates of a working memory: what gets into each register, what it holds, and what a read takes out.

mod hover_text;
mod lanes;
mod parsed;
mod roles;

use crate::base::question::{MeasurementCall, Reading};
use crate::figure::{Axis, Dash, Figure, LegendEntry, Mark, Plot, Ticks};

use super::outputs::{reading, step_text};
use super::{NetShape, Panel, PanelKind, Selection, Stack, View, colors};
use lanes::Lanes;
use parsed::Facts;

/// What is known of it before one is made.
pub const KIND: PanelKind = PanelKind {
    title: "Gating",
    look_for: "Doors above the tuples: open where what is told gets into the register, shut where it is kept out. The line from the last tuple leads to the one that it reads.",
    click: "A click on a tuple selects it; the buttons above say something else in it, and every panel answers.",
    stack: Stack::RightBelow,
    turn: 3,
    aspect: 0.5,
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
        /// Show, beside the lanes, which register's reads look at which register's address, over held-out sequences.
        roles: bool = true, @live;
        /// The layer that reads, counted back from the last one with heads: 0 is that one.
        before_last: usize = 0, in 0..=11, @live;
        /// Where the keys of a tuple are looked for, and the queries of a read. bound: where its instruction, register and symbol have all been read, and at the symbol. tuple: at all of its positions.
        address: Address = Address::Bound, @live;
    }
}

/// Narrower panels have the lanes alone, in points.
const ROOM_FOR_ROLES: f32 = 360.0;
/// Of the width, what stands beside the lanes may take this share, in points no more than the next number.
const ROLES_SHARE: f32 = 0.27;
const ROLES_WIDTH: f32 = 132.0;

impl Panel for Gating {
    fn needs(&self, _net: &NetShape, _selection: &Selection) -> Vec<MeasurementCall> {
        vec![self.call()]
    }

    fn figure(&self, view: &View<'_>) -> Figure {
        self.draw(view).unwrap_or_else(|instead| instead)
    }
}

impl Gating {
    fn call(&self) -> MeasurementCall {
        let mut call = MeasurementCall::new("gating");
        if self.before_last > 0 {
            call = call.with("before_last", i64::try_from(self.before_last).unwrap_or(0));
        }
        if self.address != Address::Bound {
            call = call.with("address", self.address.name());
        }
        call
    }

    fn draw(&self, view: &View<'_>) -> Result<Figure, Figure> {
        let answer = reading(view, &self.call())?;
        let facts = Facts::new(view, answer)?;
        let caption = self.caption(answer);
        let beside = self.roles && view.size[0] >= ROOM_FOR_ROLES;
        let side = if beside { (ROLES_SHARE * view.size[0]).min(ROLES_WIDTH) } else { 0.0 };
        let lanes = Lanes::new(view, &facts, side, &caption);
        let mut marks = lanes.marks(self.decoded);
        if beside {
            marks.extend(roles::marks(view, &facts, &lanes));
        }
        let layer = answer.number("layer").unwrap_or(f64::NAN);
        Ok(Figure {
            title: format!("Gates of working memory, read by layer {layer}, {}", step_text(view)),
            plots: vec![plot(view, &lanes, marks)],
            columns: 1,
            caption,
            empty: None,
        })
    }

    /// How far the decoder can be believed.
    fn caption(&self, answer: &Reading) -> String {
        let gates = "An input gate stands open where later answers show that the symbol got in, shut where they show that it did not; thin: one more read had to be put in to tell; dots: none can tell. The number beside it, and the stronger magenta: how much of that the keys alone do. A line of attention is whole if it leads to what should be read.";
        if !self.decoded {
            return gates.to_owned();
        }
        let tried = [("register", "register"), ("store", "instruction"), ("symbol", "symbol")];
        let tried = tried.map(|(name, what)| {
            let share = |kind: &str| {
                let number = answer.number(&format!("{name}_{kind}")).unwrap_or(f64::NAN);
                if number.is_nan() { "undefined".to_owned() } else { format!("{number:.2}") }
            };
            format!("{what} {} (labels shuffled: {})", share("accuracy"), share("shuffled"))
        });
        format!(
            "{gates} Decoded: by a linear decoder, right on held-out tuples for the {}.",
            tried.join(", ")
        )
    }
}

fn plot(view: &View<'_>, lanes: &Lanes<'_>, marks: Vec<Mark>) -> Plot {
    let axis = |range| Axis { range, ticks: Ticks::Hidden, ..Axis::default() };
    Plot {
        x: axis(lanes.x_range()),
        y: axis(lanes.y_range()),
        marks,
        legend: vec![
            LegendEntry::line("input gate: what a key announces", colors::KEY, Dash::Solid),
            LegendEntry::line("output gate: what a query looks for", colors::QUERY, Dash::Solid),
            LegendEntry::square(
                "content: what a value carries",
                colors::mix(view.palette.paper, colors::role(view.palette, Some(0)), lanes::BAND),
            ),
            LegendEntry::square("≠ wrong", view.palette.ink),
        ],
        ..Plot::default()
    }
}
