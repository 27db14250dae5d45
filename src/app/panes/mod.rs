//! The panels of the window: the list of them, and what some of them have besides a figure.

mod attention;
mod attention_scale;
mod curve_legend;
pub mod curves;
pub mod docking;
pub mod form;
pub mod gating;
mod head_scores;
pub mod host;
pub mod interventions;
mod long_question;
pub mod panel_menu;
mod patching;
mod paths;
pub mod readers;
pub mod run_list;
mod sweep;
pub mod timeline;
mod tokens;
mod tree;
mod working_memory;

use egui::{Rect, Ui};

use crate::base::batch::Reals;
use crate::figure::Figure;
use crate::figure::scene::Scene;
use crate::panel::{self, Panel, PanelKind};
use crate::task::automaton::Machine;
use crate::task::prompted::Prompted;
use crate::task::prompts::PromptSet;

use crate::app::canvas::Picked;
use crate::app::canvas::paint::{self, Canvas};
use crate::app::commands::Action;
use crate::app::lab::Lab;
use crate::app::lab::run::RunInfo;

/// What a panel of the window has besides its figure. Most have nothing; one whose controls are settings names these in its
/// [`PanelKind`]. `panel` is the panel with its settings; what a hand changes in them is drawn and asked at once.
pub trait Pane {
    /// Whether it was made for the task or the network of this run: it comes to the front with it.
    fn suits(&self, _run: &RunInfo) -> bool {
        false
    }

    /// Controls in the row of its settings, before how far its long question has come.
    fn row(&mut self, _ui: &mut Ui, _panel: &mut dyn Panel, _lab: &Lab) -> Vec<Action> {
        Vec::new()
    }

    /// Controls in rows of their own, above the picture.
    fn controls(&mut self, _ui: &mut Ui, _panel: &mut dyn Panel, _lab: &Lab) -> Vec<Action> {
        Vec::new()
    }

    /// Those of them that a hall sees.
    fn controls_for_hall(
        &mut self,
        _ui: &mut Ui,
        _panel: &mut dyn Panel,
        _lab: &Lab,
    ) -> Vec<Action> {
        Vec::new()
    }

    /// The picture, and what a hand can do in it besides picking.
    fn picture(&mut self, ui: &mut Ui, drawn: &mut Drawn<'_>, _lab: &Lab) -> Vec<Action> {
        drawn.paint(ui)
    }

    /// Something happened elsewhere.
    fn told(&mut self, _news: News, _lab: &Lab) {}

    /// Something is being written here: Escape is for it.
    fn is_writing(&self) -> bool {
        false
    }
}

/// What panes are told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum News {
    /// The sequence in view is to be written by hand.
    Write,
    /// It was changed by something else.
    Rewritten,
}

/// A pane with nothing besides its figure, and which runs it was made for.
struct Plain(fn(&RunInfo) -> bool);

impl Pane for Plain {
    fn suits(&self, run: &RunInfo) -> bool {
        (self.0)(run)
    }
}

/// Those of recurrent networks, where others have maps of their heads.
fn has_no_heads(run: &RunInfo) -> bool {
    !run.net.has_heads()
}

/// Where the maps of one layer are all that there is.
fn has_one_layer(run: &RunInfo) -> bool {
    run.net.heads.len() == 1 && run.net.has_heads()
}

fn has_machine(run: &RunInfo) -> bool {
    run.source.facet::<Machine>().is_some()
}

/// Prompts with a subject that the task makes itself; a set that a person opened is looked at in whatever panel is open.
fn has_prompts(run: &RunInfo) -> bool {
    run.source.facet::<Prompted>().is_some() && run.source.facet::<PromptSet>().is_none()
}

/// One real number at each position, and the next to predict.
fn continues_numbers(run: &RunInfo) -> bool {
    run.source.facet::<Reals>() == Some(&Reals { inputs: 1, outputs: 1 })
}

/// A panel by its name, and what it has besides its figure.
type Row = (&'static str, fn() -> Box<dyn Pane>);

/// Those that have something.
const PANES: &[Row] = &[
    (panel::tokens::KIND.name, || Box::<tokens::Tokens>::default()),
    (panel::heads::KIND.name, || Box::<attention::Heads>::default()),
    (panel::head_scores::KIND.name, || Box::new(head_scores::HeadScores)),
    (panel::attention::KIND.name, || Box::new(attention::Attention)),
    (panel::patching::KIND.name, || Box::<patching::Patching>::default()),
    (panel::paths::KIND.name, || Box::<paths::Paths>::default()),
    (panel::readers::KIND.name, || Box::new(readers::Readers)),
    (panel::curves::KIND.name, || Box::<curves::Curves>::default()),
    (panel::sweep::KIND.name, || Box::new(sweep::SweepPane)),
    (panel::circuits::KIND.name, || Box::new(Plain(has_one_layer))),
    (panel::gating::KIND.name, || Box::new(gating::Gating)),
    (panel::tree::KIND.name, || Box::<tree::TreeEditor>::default()),
    (panel::working_memory::KIND.name, || Box::<working_memory::Memory>::default()),
    (panel::length::KIND.name, || Box::new(Plain(has_no_heads))),
    (panel::in_context_errors::KIND.name, || Box::new(Plain(continues_numbers))),
    (panel::automaton::KIND.name, || Box::new(Plain(has_machine))),
    (panel::tracing::KIND.name, || Box::new(Plain(has_prompts))),
    (panel::timeline::KIND.name, || Box::new(timeline::Timeline)),
];

fn pane_of(kind: &PanelKind) -> Box<dyn Pane> {
    match PANES.iter().find(|(name, _)| *name == kind.name) {
        Some((_, make)) => make(),
        None => Box::new(Plain(|_| false)),
    }
}

/// A picture on the screen.
pub struct Drawn<'a> {
    /// All the room that there is.
    pub room: Rect,
    /// What of it the scene takes.
    pub place: Rect,
    pub figure: &'a Figure,
    pub scene: &'a Scene,
    /// With its settings; what a hand changes in them is drawn in the next frame.
    pub panel: &'a mut dyn Panel,
    canvas: &'a mut Canvas,
    /// What a screen reader calls it.
    title: &'a str,
}

impl Drawn<'_> {
    /// Draws the scene; returns what was picked in it.
    pub fn paint(&mut self, ui: &mut Ui) -> Vec<Action> {
        let picked = paint::scene(ui, self.place, self.scene, self.canvas, self.title);
        picked.into_iter().map(|Picked { pick, shift }| Action::Pick { pick, shift }).collect()
    }
}
