//! The runs recorded on this machine, in the window: opened, named, and deleted only after a question.

use std::path::PathBuf;

use egui::{Context, Id, Modal, RichText, ScrollArea, TextEdit, Ui};

use crate::record::folder::library::Entry;

use super::action::Action;

/// The list, and what is being done to one of its rows.
#[derive(Default)]
pub struct Shelf {
    pub runs: Vec<Entry>,
    /// The list was asked for and is up to date, or on its way.
    pub asked: bool,
    /// Whether to delete this one is being asked.
    doubtful: Option<Entry>,
    /// This one is being given a name.
    naming: Option<(PathBuf, String)>,
}

impl Shelf {
    /// Whether a question lies over the panels.
    pub fn is_asking(&self) -> bool {
        self.doubtful.is_some()
    }

    /// Rows of runs; `open` are shown as such and cannot be deleted.
    pub fn ui(&mut self, ui: &mut Ui, open: &[PathBuf]) -> Vec<Action> {
        let mut actions = Vec::new();
        ui.horizontal(|ui| {
            if ui.button("List again").clicked() {
                self.asked = false;
            }
            let bytes: u64 = self.runs.iter().map(|run| run.bytes).sum();
            ui.weak(format!("{} runs, {}. Named ones are kept.", self.runs.len(), size(bytes)));
        });
        if self.runs.is_empty() {
            ui.weak("No recorded run yet. Every run that is started here is recorded.");
        }
        ScrollArea::vertical().auto_shrink(false).show(ui, |ui| {
            for run in self.runs.clone() {
                self.row(ui, &run, open.contains(&run.folder), &mut actions);
            }
        });
        actions.extend(self.question(ui.ctx()));
        actions
    }

    fn row(&mut self, ui: &mut Ui, run: &Entry, is_open: bool, actions: &mut Vec<Action>) {
        let name = name(run);
        ui.horizontal(|ui| {
            ui.add_enabled_ui(!is_open, |ui| {
                if ui.small_button("Open").accessible_name(format!("Open {name}")).clicked() {
                    actions.push(Action::OpenRun(run.folder.clone()));
                }
                let button = ui.small_button("Delete…");
                if button.accessible_name(format!("Delete {name}")).clicked() {
                    self.doubtful = Some(run.clone());
                }
            });
            let button = ui.small_button("Name…").accessible_name(format!("Name {name}"));
            if button.on_hover_text("A named run is never removed to make room.").clicked() {
                self.naming =
                    Some((run.folder.clone(), run.about.title.clone().unwrap_or_default()));
            }
            ui.label(&name).on_hover_text(run.folder.display().to_string());
            let note = if is_open { ", open" } else { "" };
            ui.label(RichText::new(format!("{}{note}", size(run.bytes))).weak());
        });
        let Some((folder, text)) = &mut self.naming else { return };
        if *folder != run.folder {
            return;
        }
        ui.horizontal(|ui| {
            let edit = ui.add(TextEdit::singleline(text).desired_width(180.0));
            let edit = edit.accessible_name("Name of the run");
            let entered = edit.lost_focus() && ui.input(|i| i.key_pressed(egui::Key::Enter));
            if ui.button("Keep this name").clicked() || entered {
                actions.push(Action::NameRun(folder.clone(), text.clone()));
            }
        });
        if actions.iter().any(|action| matches!(action, Action::NameRun(..))) {
            self.naming = None;
        }
    }

    fn question(&mut self, ctx: &Context) -> Option<Action> {
        let run = self.doubtful.clone()?;
        let (mut yes, mut no) = (false, false);
        let modal = Modal::new(Id::unique("delete run")).show(ctx, |ui| {
            ui.set_width(360.0);
            ui.heading("Delete this run?");
            ui.label(format!(
                "{} and its {} will be gone for good: metrics, marks and weights.",
                name(&run),
                size(run.bytes)
            ));
            ui.horizontal(|ui| {
                yes = ui.button("Delete for good").clicked();
                no = ui.button("Keep").clicked();
            });
        });
        if yes || no || modal.should_close() {
            self.doubtful = None;
        }
        yes.then_some(Action::DeleteRun(run.folder))
    }
}

/// The name a person gave, or that of the folder.
fn name(run: &Entry) -> String {
    let folder = || run.folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
    run.about.title.clone().unwrap_or_else(folder)
}

/// Bytes as a person reads them.
pub fn size(bytes: u64) -> String {
    match bytes {
        0..1_000_000 => format!("{:.0} kB", bytes as f64 / 1e3),
        1_000_000..1_000_000_000 => format!("{:.1} MB", bytes as f64 / 1e6),
        _ => format!("{:.2} GB", bytes as f64 / 1e9),
    }
}
