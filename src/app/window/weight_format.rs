//! "Export weights…": in which format, asked before the path; a format that cannot say the network in view is grey, with the reason.

use egui::{Context, Id, Modal, RichText, Ui, vec2};

use crate::app::lab::capital;
use crate::run::interchange::WeightFormat;

/// The list of formats, while it is open.
#[derive(Default)]
pub struct FormatList {
    pub open: bool,
    /// Formats that cannot say the network, and why: known a moment after the list was opened.
    pub refused: Vec<(WeightFormat, String)>,
}

impl FormatList {
    /// The format that was chosen, if one was.
    pub fn ui(&mut self, ctx: &Context) -> Option<WeightFormat> {
        if !self.open {
            return None;
        }
        let mut chosen = None;
        let mut closed = false;
        let modal = Modal::new(Id::unique("export weights")).show(ctx, |ui| {
            ui.set_width(640.0);
            ui.heading("Export weights for");
            crate::app::widgets::scroll::up_to(ui, 480.0, |ui| {
                for format in WeightFormat::ALL {
                    let refused = self.refused.iter().find(|(refused, _)| refused == format);
                    let why = refused.map(|(_, why)| why.as_str());
                    if offer(ui, *format, why) {
                        chosen = Some(*format);
                    }
                    ui.add_space(4.0);
                }
            });
            closed = ui.button("Cancel").clicked();
        });
        if chosen.is_some() || closed || modal.should_close() {
            self.open = false;
        }
        chosen
    }
}

/// A format with what it is, or why it cannot say this network; whether it was chosen.
fn offer(ui: &mut Ui, format: WeightFormat, refused: Option<&str>) -> bool {
    let width = ui.available_width();
    let button = egui::Button::new(format.title()).min_size(vec2(width, 26.0));
    let button = ui.add_enabled(refused.is_none(), button);
    let words = refused.map_or_else(|| format.about().to_owned(), capital);
    // One line, whatever it says: nothing moves under the pointer when a reason comes.
    ui.add(egui::Label::new(RichText::new(&words).weak()).truncate()).on_hover_text(&words);
    button.on_disabled_hover_text(words).clicked()
}
