//! A kind of panel: all that is known of it before one is made. Each panel says it once, beside its figure.

use crate::base::registry::Named;

use super::Panel;
use super::compare::Compares;

/// One row of [`super::ALL`]. Menu, palette, tabs, first layout, figure sheets, commands and tests read it here.
#[derive(Clone, Copy, Debug)]
pub struct PanelKind {
    /// Its name in files and commands.
    pub name: &'static str,
    pub make: fn() -> Box<dyn Panel>,
    /// What stands on its tab.
    pub title: &'static str,
    /// What to look for in it, in a sentence or two for someone who sees it for the first time.
    pub look_for: &'static str,
    /// What a click does.
    pub click: &'static str,
    /// Where it lies before a hand has moved it. Tabs of a stack stand in the order of the list.
    pub stack: Stack,
    /// In a small window several stacks are one: there tabs of a lower number come first.
    pub turn: u8,
    /// Height over width that suits it on a page where nothing is said.
    pub aspect: f32,
    /// Its picture can be moved, zoomed and turned, and a figure sheet keeps how.
    pub has_camera: bool,
    /// How it is compared with another subject.
    pub compares: Compares,
    /// What it draws is of the head in focus: with another head it is another picture.
    pub is_of_head: bool,
    /// It draws a sweep, not a run.
    pub is_of_sweep: bool,
    /// An experiment that it draws, where it cannot draw most; empty: it draws all.
    pub example: &'static str,
    /// Settings that stand above its picture, each with what it is called there; the others stand in its form alone.
    pub controls: &'static [(&'static str, &'static str)],
}

impl PanelKind {
    /// What is usual; a panel says what differs.
    pub const fn new(name: &'static str, make: fn() -> Box<dyn Panel>) -> Self {
        Self {
            name,
            make,
            title: name,
            look_for: "",
            click: "",
            stack: Stack::RightBelow,
            turn: u8::MAX,
            aspect: 0.9,
            has_camera: false,
            is_of_head: false,
            compares: Compares::Parts,
            is_of_sweep: false,
            example: "",
            controls: &[],
        }
    }
}

impl Named for PanelKind {
    type Made = dyn Panel;

    fn name(&self) -> &'static str {
        self.name
    }

    fn make(&self) -> Box<dyn Panel> {
        (self.make)()
    }
}

/// A stack of tabs. The window says how wide and how high each is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stack {
    LeftAbove,
    LeftBelow,
    MiddleAbove,
    MiddleBelow,
    RightAbove,
    RightBelow,
    /// Under all columns.
    Foot,
}
