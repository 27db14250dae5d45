//! A slider that multiplies what one position attends to another, in all heads or in one.

use egui::{ComboBox, Slider, Ui};

use crate::app::commands::Action;
use crate::app::lab::Lab;
use crate::base::intervention::{How, Intervention, Place, Point, Site, label};

/// In which heads, and where: the pattern behind the softmax, or the scores before it.
#[derive(Default)]
pub struct AttentionScale {
    heads: Heads,
    is_before: bool,
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Heads {
    #[default]
    All,
    /// Of the layer in focus.
    Layer,
    /// That in focus.
    One,
}

impl Heads {
    const ALL: [(Self, &'static str); 3] = [
        (Self::All, "all heads"),
        (Self::Layer, "heads of the layer in focus"),
        (Self::One, "the head in focus"),
    ];

    fn name(self) -> &'static str {
        Self::ALL.iter().find(|(heads, _)| *heads == self).map_or("", |(_, name)| *name)
    }
}

impl AttentionScale {
    pub fn ui(&mut self, ui: &mut Ui, lab: &Lab, actions: &mut Vec<Action>) {
        let (Some(query), Some(key)) = (lab.selection.query, lab.selection.key) else {
            ui.weak("Select a query and a key in Attention: a slider then scales what the one attends to the other.");
            return;
        };
        let point = if self.is_before { Point::Scores } else { Point::Pattern };
        let now = factor(lab, point, [query, key]);
        let (mut alpha, before) = (now.unwrap_or(1.0), (self.heads, self.is_before));
        ui.horizontal_wrapped(|ui| {
            ui.label(format!("α from {} to {}", label(query), label(key)));
            let help = "What the query attends to the key is multiplied by α. Behind the softmax the other weights of the row stay as they are.";
            let slider = Slider::new(&mut alpha, 0.0..=4.0).step_by(0.05);
            ui.add(slider).on_hover_text(help).accessible_name("Attention scaled by");
            let combo = ComboBox::from_id_salt("heads scaled").selected_text(self.heads.name());
            combo.show_ui(ui, |ui| {
                for (heads, name) in Heads::ALL {
                    ui.selectable_value(&mut self.heads, heads, name);
                }
            });
            let help = "Scores are multiplied before the softmax: a negative one becomes smaller by a factor above 1.";
            ui.checkbox(&mut self.is_before, "scores, before the softmax").on_hover_text(help);
        });
        let changed = (self.heads, self.is_before) != before && now.is_some();
        if changed || now.unwrap_or(1.0).to_bits() != alpha.to_bits() {
            actions.push(Action::Operate(self.operated(lab, [query, key], alpha)));
        }
    }

    /// What is in force, with this edge scaled by another factor.
    fn operated(&self, lab: &Lab, edge: [usize; 2], alpha: f64) -> Vec<Intervention> {
        let mut all = lab.in_force();
        all.retain(|what| !is_scaled(what, edge));
        let heads = lab.run().map_or(&[][..], |run| &run.info.net.heads);
        let (layer, head) = (lab.selection.layer, lab.selection.head);
        let layers = (0..heads.len()).filter(|at| heads[*at] > 0);
        let layers = layers.filter(|at| self.heads == Heads::All || *at == layer);
        let point = if self.is_before { Point::Scores } else { Point::Pattern };
        let scaled = layers.map(|layer| {
            let head = (self.heads == Heads::One).then_some(head);
            let site = Site { layer, point };
            let place = Place { head, keys: vec![edge[1]], ..Place::all(site) }.at([edge[0]]);
            Intervention::Change { place, how: How::Scale(alpha) }
        });
        if alpha.to_bits() != 1.0f64.to_bits() {
            all.extend(scaled);
        }
        all
    }
}

/// Whether it scales this edge, of whatever heads.
fn is_scaled(what: &Intervention, [query, key]: [usize; 2]) -> bool {
    let Intervention::Change { place, how: How::Scale(_) } = what else { return false };
    place.site.point.has_keys() && place.positions == [query] && place.keys == [key]
}

/// What the edge is scaled by now.
fn factor(lab: &Lab, point: Point, edge: [usize; 2]) -> Option<f64> {
    lab.in_force().iter().find_map(|what| match what {
        Intervention::Change { place, how: How::Scale(by) }
            if is_scaled(what, edge) && place.site.point == point =>
        {
            Some(*by)
        }
        Intervention::Change { .. } | Intervention::Freeze(_) | Intervention::Unfreeze(_) => None,
    })
}
