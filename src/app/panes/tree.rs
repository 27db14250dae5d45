//! The row above the drawn tree: hang a node elsewhere, choose another goal, and ask again.

use egui::{ComboBox, Ui};

use super::Pane;
use crate::app::commands::Action;
use crate::app::lab::Lab;
use crate::app::lab::run::RunInfo;
use crate::base::error::Result;
use crate::base::tree::Tree;
use crate::panel::Panel;
use crate::task::tree_path::Trees;

/// What is chosen, and why it was not done.
#[derive(Default)]
pub struct TreeEditor {
    node: usize,
    under: usize,
    /// The text that was refused, and the sentence; forgotten with that text.
    refused: Option<(String, String)>,
}

impl Pane for TreeEditor {
    fn suits(&self, run: &RunInfo) -> bool {
        run.source.facet::<Trees>().is_some()
    }

    fn controls(&mut self, ui: &mut Ui, _panel: &mut dyn Panel, lab: &Lab) -> Vec<Action> {
        let mut actions = Vec::new();
        let trees = lab.run().and_then(|run| run.info.source.facet::<Trees>());
        let Some(tree) = trees.and_then(|trees| trees.tree(&lab.prompt.tokens)) else {
            return actions;
        };
        let last = tree.nodes - 1;
        (self.node, self.under) = (self.node.min(last), self.under.min(last));
        ui.horizontal_wrapped(|ui| {
            ui.label("Hang");
            nodes(ui, "Node to hang", &mut self.node, tree.nodes);
            ui.label("under");
            nodes(ui, "Node to hang it under", &mut self.under, tree.nodes);
            let button = ui.button("Hang").on_hover_text(
                "Hang this node, with all that is below it, under the other one, and ask again.",
            );
            if button.clicked() {
                self.take(lab, tree.rehung(self.node, self.under), &mut actions);
            }
            ui.separator();
            ui.label("goal");
            let combo = ComboBox::from_id_salt("goal of the tree")
                .width(42.0)
                .selected_text(tree.goal.to_string());
            let combo = combo.show_ui(ui, |ui| {
                for leaf in tree.leaves() {
                    if ui.selectable_label(leaf == tree.goal, leaf.to_string()).clicked() {
                        self.take(lab, tree.with_goal(leaf), &mut actions);
                    }
                }
            });
            combo.response.accessible_name("Goal of the tree");
        });
        let text = lab.text();
        if let Some((_, why)) = self.refused.as_ref().filter(|(of, _)| *of == text) {
            ui.label(egui::RichText::new(why).color(ui.visuals().error_fg_color).small());
        }
        actions
    }
}

impl TreeEditor {
    /// Asks about an edited tree with its whole path, or keeps the sentence.
    fn take(&mut self, lab: &Lab, edited: Result<Tree>, actions: &mut Vec<Action>) {
        match edited {
            Ok(tree) => {
                let mut tokens = tree.to_tokens();
                tokens.truncate(tree.script().length());
                self.refused = None;
                actions.push(Action::Text(tree.script().vocab().spell(&tokens)));
            }
            Err(error) => self.refused = Some((lab.text(), error.message)),
        }
    }
}

fn nodes(ui: &mut Ui, name: &str, chosen: &mut usize, count: usize) {
    let combo = ComboBox::from_id_salt(name)
        .width(42.0)
        .selected_text(chosen.to_string())
        .show_index(ui, chosen, count, |node| node.to_string());
    combo.accessible_name(name);
}
