//! The menu that a right click on a panel opens.

use egui::{Context, Id, Rect};

use crate::app::commands::{Action, CopyAs};
use crate::panel::PanelKind;
use crate::panel::compare::Compares;

/// Of which panel, and where it was asked for.
#[derive(Default)]
pub struct PanelMenu {
    at: Option<(&'static PanelKind, egui::Pos2)>,
}

impl PanelMenu {
    /// Opens it for a panel, at a place of the screen.
    pub fn open(&mut self, kind: &'static PanelKind, at: egui::Pos2) {
        self.at = Some((kind, at));
    }

    pub fn ui(&mut self, ctx: &Context) -> Option<Action> {
        let (kind, at) = self.at?;
        let name = || kind.name.to_owned();
        let mut chosen = None;
        let area = egui::Area::new(Id::unique("panel menu"))
            .order(egui::Order::Foreground)
            .fixed_pos(at)
            .constrain(true)
            .show(ctx, |ui| {
                egui::Frame::menu(ui.style()).show(ui, |ui| {
                    ui.set_max_width(170.0);
                    egui::containers::menu::menu_style(ui.style_mut());
                    ui.weak(kind.title);
                    let pin = ("Pin or unpin", Action::Pin(name()));
                    let choices = [
                        ("Export figure…", Action::Export(name())),
                        ("Add to figure sheet", Action::AddToSheet(name())),
                        ("Copy image", Action::Copy(name(), CopyAs::Image)),
                        ("Copy SVG", Action::Copy(name(), CopyAs::Svg)),
                        ("Copy numbers", Action::Copy(name(), CopyAs::Numbers)),
                    ];
                    ui.with_layout(egui::Layout::top_down_justified(egui::Align::Min), |ui| {
                        let pin = Some(pin).filter(|_| kind.compares == Compares::Parts);
                        for (text, action) in pin.into_iter().chain(choices) {
                            if ui.button(text).clicked() {
                                chosen = Some(action);
                            }
                        }
                    });
                });
            });
        let rect: Rect = area.response.rect;
        let elsewhere = ctx.input(|i| {
            let there = i.pointer.interact_pos().is_none_or(|p| !rect.contains(p));
            (i.pointer.primary_pressed() && there) || i.key_pressed(egui::Key::Escape)
        });
        if chosen.is_some() || elsewhere {
            self.at = None;
        }
        chosen
    }
}
