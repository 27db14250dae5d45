//! "Export weights…": in which format, asked before the path.

use egui::{Context, Id, Modal, RichText};

use crate::run::interchange::WeightFormat;

/// The list of formats, while it is open.
#[derive(Default)]
pub struct FormatList {
    pub open: bool,
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
            ui.set_width(460.0);
            ui.heading("Export weights for");
            crate::app::widgets::scroll::up_to(ui, 480.0, |ui| {
                for format in WeightFormat::ALL {
                    let button = egui::Button::new(format.title());
                    if ui.add_sized([ui.available_width(), 26.0], button).clicked() {
                        chosen = Some(*format);
                    }
                    ui.add(egui::Label::new(RichText::new(format.about()).weak()).wrap());
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
