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
/// What stands beside the lanes takes, in points.
const ROLES_WIDTH: f32 = 132.0;
/// So wide, before and after a change stand side by side.
const SIDE_BY_SIDE: f32 = 620.0;

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
        let earlier = View { readings: view.before, before: None, ..*view };
        let before = view.before.and_then(|_| reading(&earlier, &self.call()).ok());
        let before = before.and_then(|answer| Facts::new(&earlier, answer).ok());
        let caption = self.caption(view, answer, &facts);
        let layer = answer.number("layer").unwrap_or(f64::NAN);
        let plots = match before {
            Some(before) if view.size[0] >= SIDE_BY_SIDE => {
                let size = [view.size[0] / 2.0, view.size[1] - 10.0];
                let half = View { size, ..*view };
                let then = View { size, ..earlier };
                let title = |plot, title: &str| Plot { title: title.to_owned(), ..plot };
                vec![
                    title(self.plot(&then, &before, None, &caption), "before"),
                    title(self.plot(&half, &facts, Some(&before), &caption), "after the change"),
                ]
            }
            before => vec![self.plot(view, &facts, before.as_ref(), &caption)],
        };
        Ok(Figure {
            title: format!("Gates of working memory, read by layer {layer}, {}", step_text(view)),
            columns: plots.len(),
            plots,
            caption,
            empty: None,
        })
    }

    /// The lanes of a sequence; `before`: what was answered before something in it was changed.
    fn plot(&self, view: &View<'_>, facts: &Facts, before: Option<&Facts>, caption: &str) -> Plot {
        let beside = self.roles && view.size[0] >= ROOM_FOR_ROLES;
        let side = if beside { ROLES_WIDTH } else { 0.0 };
        let lanes = Lanes::new(view, facts, before, side, caption);
        let mut marks = lanes.marks(self.decoded);
        if beside {
            marks.extend(roles::marks(view, facts, &lanes));
        }
        plot(view, &lanes, marks)
    }

    /// What the selected tuple says, and how far the decoder can be believed.
    fn caption(&self, view: &View<'_>, answer: &Reading, facts: &Facts) -> String {
        let story = hover_text::story(view, facts, facts.selected);
        if !self.decoded {
            return story;
        }
        let tried = [("register", "register"), ("store", "instruction"), ("symbol", "symbol")];
        let tried = tried.map(|(name, what)| {
            let share = |kind: &str| {
                let number = answer.number(&format!("{name}_{kind}")).unwrap_or(f64::NAN);
                if number.is_nan() { "undefined".to_owned() } else { format!("{number:.2}") }
            };
            format!("{what} {} (shuffled {})", share("accuracy"), share("shuffled"))
        });
        format!("{story} A linear decoder finds, on held-out tuples: {}.", tried.join(", "))
    }
}

fn plot(view: &View<'_>, lanes: &Lanes<'_>, marks: Vec<Mark>) -> Plot {
    let axis = |range| Axis { range, ticks: Ticks::Hidden, ..Axis::default() };
    Plot {
        x: axis(lanes.x_range()),
        y: axis(lanes.y_range()),
        scale: lanes.scale,
        marks,
        legend: vec![
            LegendEntry::line("input gate (key)", colors::KEY, Dash::Solid),
            LegendEntry::line("output gate (query)", colors::QUERY, Dash::Solid),
            LegendEntry::square(
                "content (value)",
                colors::mix(view.palette.paper, colors::role(view.palette, Some(0)), lanes::BAND),
            ),
            LegendEntry::square("≠ wrong", view.palette.ink),
        ],
        ..Plot::default()
    }
}
