//! The row above the map of paths: where they lead to, and what is compared.

use egui::Ui;

use super::Pane;
use super::patching::Patching;
use crate::app::commands::Action;
use crate::app::lab::Lab;
use crate::app::panes::form::{Offered, offer, text_of};
use crate::panel::paths::receivers_in_words;
use crate::panel::{Panel, Selection};

/// Receivers to choose from, and the pairs of the maps of patching.
#[derive(Default)]
pub struct Paths {
    pairs: Patching,
}

impl Pane for Paths {
    fn row(&mut self, ui: &mut Ui, panel: &mut dyn Panel, lab: &Lab) -> Vec<Action> {
        receiver(ui, panel, lab);
        self.pairs.row(ui, panel, lab)
    }

    fn controls(&mut self, ui: &mut Ui, panel: &mut dyn Panel, lab: &Lab) -> Vec<Action> {
        self.pairs.controls(ui, panel, lab)
    }
}

/// The logits, what the head in focus reads, and what was chosen before.
fn receiver(ui: &mut Ui, panel: &mut dyn Panel, lab: &Lab) {
    const HELP: &str = "Where the paths lead to: the logits, or what the head in focus reads. Click another head to be offered that one.";
    let Selection { layer, head, .. } = lab.selection;
    let mut known = vec!["logits".to_owned()];
    known.extend(["q", "k", "v"].map(|point| format!("layer{layer}.{point}.head{head}")));
    let now = text_of(panel, "to");
    if !known.contains(&now) {
        known.push(now);
    }
    let offered = |to| Offered { value: to, called: receivers_in_words(to), about: "" };
    let offered: Vec<Offered<'_>> = known.iter().map(|to| offered(to.as_str())).collect();
    ui.label("Into");
    offer(ui, panel, "to", "logits", &offered).on_hover_text(HELP).accessible_name("Into");
}
