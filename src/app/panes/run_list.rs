//! The runs recorded on this machine, in the window: opened, named, and moved to a trash only after a question.

use std::path::PathBuf;

use egui::{CollapsingHeader, Context, Id, Modal, RichText, ScrollArea, TextEdit, Ui};

use crate::run_folder::library::{CAP_BYTES, Entry, Stock, counted, spell_bytes};
use crate::run_folder::recent::{Kind, Recent};

use crate::app::commands::Action;
use crate::app::lab::capital;

/// The list, and what is being done to one of its rows.
#[derive(Default)]
pub struct RunList {
    pub stock: Stock,
    /// What of other programs was opened lately.
    pub recent: Vec<Recent>,
    /// The list was asked for and is up to date, or on its way.
    pub asked: bool,
    /// It was read at least once.
    pub listed: bool,
    /// Whether the network in view can be asked a set of prompts.
    pub reads_prompts: bool,
    doubtful: Option<Doubt>,
    /// This one is being given a name.
    naming: Option<(PathBuf, String)>,
}

/// What is being asked about.
#[derive(Clone)]
enum Doubt {
    Discard(Vec<Entry>),
    EmptyTrash,
}

impl RunList {
    /// Whether a question lies over the panels.
    pub fn is_asking(&self) -> bool {
        self.doubtful.is_some()
    }

    /// Rows of runs; `open` are shown as such and cannot be deleted.
    pub fn ui(&mut self, ui: &mut Ui, open: &[PathBuf]) -> Vec<Action> {
        let mut actions = Vec::new();
        ui.horizontal(|ui| {
            let refresh = ui.button("Refresh").accessible_name("Refresh the runs");
            if refresh.on_hover_text("Read the list now; it also keeps itself fresh.").clicked() {
                self.asked = false;
            }
            let runs = &self.stock.runs;
            ui.weak(format!("{}.", counted(runs)));
        });
        self.room(ui);
        if self.stock.runs.is_empty() {
            ui.weak(match self.listed {
                true => "No recorded run yet. Every run that is started here is recorded.",
                false => "Reading the list of runs …",
            });
        }
        ScrollArea::vertical().auto_shrink(false).show(ui, |ui| {
            for run in self.stock.runs.clone() {
                self.row(ui, &run, open.contains(&run.folder), &mut actions);
            }
            self.recents(ui, open, &mut actions);
            self.trash(ui, &mut actions);
        });
        actions.extend(self.question(ui.ctx()));
        actions
    }

    /// That the library is large, and the offer to make room.
    fn room(&mut self, ui: &mut Ui) {
        let Some(sentence) = self.stock.sentence(CAP_BYTES) else { return };
        let sentence = capital(&format!("{sentence}."));
        let sentence = RichText::new(sentence).color(ui.visuals().warn_fg_color);
        ui.add(egui::Label::new(sentence).wrap());
        for why in &self.stock.passed_over {
            ui.weak(&why.message);
        }
        if !self.stock.surplus.is_empty() && ui.button("Make room…").clicked() {
            self.doubtful = Some(Doubt::Discard(self.stock.surplus.clone()));
        }
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
                    self.doubtful = Some(Doubt::Discard(vec![run.clone()]));
                }
            });
            let button = ui.small_button("Name…").accessible_name(format!("Name {name}"));
            if button.on_hover_text("A run with a title does not go to make room.").clicked() {
                self.naming =
                    Some((run.folder.clone(), run.about.title.clone().unwrap_or_default()));
            }
            let note = if is_open { ", open" } else { "" };
            let size = format!("{}{note}", spell_bytes(run.bytes));
            actions.extend(draggable(ui, run, |ui| {
                named(ui, &name, &size, &run.folder.display().to_string());
            }));
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

    /// Models, series and sets of prompts that were opened lately: those that are gone are said, and can be taken off the list.
    fn recents(&self, ui: &mut Ui, open: &[PathBuf], actions: &mut Vec<Action>) {
        if self.recent.is_empty() {
            return;
        }
        let title = format!("Opened lately: {}", self.recent.len());
        CollapsingHeader::new(title).id_salt("recent").default_open(true).show(ui, |ui| {
            for recent in &self.recent {
                let name = recent.name();
                ui.horizontal(|ui| {
                    let is_open = open.contains(&recent.path);
                    let is_asked = recent.kind != Kind::Prompts || self.reads_prompts;
                    let can_open = recent.is_there && !is_open && is_asked;
                    let button = ui.add_enabled(can_open, egui::Button::new("Open").small());
                    if button.accessible_name(format!("Open {name}")).clicked() {
                        let path = recent.path.clone();
                        actions.push(match recent.kind {
                            Kind::Prompts => Action::OpenPrompts(path),
                            Kind::Model | Kind::Series => Action::OpenRun(path),
                        });
                    }
                    let button = ui.small_button("Off the list");
                    let button = button.on_hover_text("Only the list forgets it; its files stay.");
                    if button.accessible_name(format!("Take {name} off the list")).clicked() {
                        actions.push(Action::Forget(recent.path.clone()));
                    }
                    let note = match (recent.is_there, is_open) {
                        (false, _) => ", is gone",
                        (true, true) => ", open",
                        (true, false) => "",
                    };
                    let kind = format!("{}{note}", recent.kind.name());
                    named(ui, &name, &kind, &recent.path.display().to_string());
                });
            }
        });
    }

    /// What was deleted and can come back.
    fn trash(&mut self, ui: &mut Ui, actions: &mut Vec<Action>) {
        let trash = &self.stock.trash;
        if trash.is_empty() {
            return;
        }
        let title = format!("Trash: {}", counted(trash));
        CollapsingHeader::new(title).id_salt("trash").show(ui, |ui| {
            for run in trash {
                let name = name(run);
                ui.horizontal(|ui| {
                    let button = ui.small_button("Restore");
                    if button.accessible_name(format!("Restore {name}")).clicked() {
                        actions.push(Action::RestoreRuns(vec![run.folder.clone()]));
                    }
                    let size = spell_bytes(run.bytes);
                    named(ui, &name, &size, &run.folder.display().to_string());
                });
            }
            if ui.button("Empty the trash…").clicked() {
                self.doubtful = Some(Doubt::EmptyTrash);
            }
        });
    }

    fn question(&mut self, ctx: &Context) -> Option<Action> {
        let doubt = self.doubtful.clone()?;
        let (mut yes, mut no) = (false, false);
        let (title, text, go, stay) = self.words(&doubt);
        let modal = Modal::new(Id::unique("delete run")).show(ctx, |ui| {
            ui.set_width(360.0);
            ui.heading(title);
            ui.label(text);
            ui.horizontal(|ui| {
                yes = ui.button(go).clicked();
                no = ui.button(stay).clicked();
            });
        });
        if yes || no || modal.should_close() {
            self.doubtful = None;
        }
        yes.then(|| match doubt {
            Doubt::Discard(runs) => {
                Action::DiscardRuns(runs.into_iter().map(|run| run.folder).collect())
            }
            Doubt::EmptyTrash => Action::EmptyTrash,
        })
    }

    /// A question: its title, what would happen, and both answers.
    fn words(&self, doubt: &Doubt) -> (&'static str, String, &'static str, &'static str) {
        let back =
            "to the trash, where they take their room and can be restored until it is emptied.";
        match doubt {
            Doubt::Discard(runs) if let [run] = &runs[..] => (
                "Delete this run?",
                format!(
                    "{} and its {} go, with all that lies in its folder, {back}",
                    name(run),
                    spell_bytes(run.bytes)
                ),
                "Move to the trash",
                "Keep",
            ),
            Doubt::Discard(runs) => (
                "Make room?",
                format!(
                    "The oldest runs without a title go {back} {}: {}.",
                    counted(runs),
                    listed(runs)
                ),
                "Move to the trash",
                "Keep",
            ),
            Doubt::EmptyTrash => (
                "Empty the trash?",
                format!(
                    "{} will be gone for good: metrics, marks and weights.",
                    counted(&self.stock.trash)
                ),
                "Delete for good",
                "Keep",
            ),
        }
    }
}

/// A run that can be dragged onto another, or onto a panel: the two are compared.
fn draggable(ui: &mut Ui, run: &Entry, inside: impl FnOnce(&mut Ui)) -> Option<Action> {
    let id = Id::unique("run").with(&run.folder);
    let row = ui.dnd_drag_source(id, run.folder.clone(), inside).response;
    let dropped = row.dnd_release_payload::<PathBuf>()?;
    let (a, b) = (Some(run.folder.clone()), dropped.as_ref().clone());
    (a.as_ref() != Some(&b)).then_some(Action::CompareRuns { a, b })
}

/// The name of a run and how large it is; in a narrow panel it is the name that is cut.
fn named(ui: &mut Ui, name: &str, size: &str, folder: &str) {
    let size = RichText::new(size).weak();
    let font = egui::TextStyle::Body.resolve(ui.style());
    let galley =
        ui.painter().layout_no_wrap(size.text().to_owned(), font, egui::Color32::PLACEHOLDER);
    let room = ui.available_width() - galley.size().x - ui.spacing().item_spacing.x;
    ui.scope(|ui| {
        ui.set_max_width(room.max(40.0));
        ui.add(egui::Label::new(name).truncate()).on_hover_text(format!("{name}\n{folder}"));
    });
    ui.label(size);
}

/// The name a person gave, or that of the folder.
fn name(run: &Entry) -> String {
    run.about.title.clone().unwrap_or_else(|| run.name())
}

/// Names of runs, as many as a question has room for.
fn listed(runs: &[Entry]) -> String {
    const MOST: usize = 12;
    let names: Vec<String> = runs.iter().take(MOST).map(name).collect();
    let more = match runs.len().saturating_sub(MOST) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    names.join(", ") + &more
}
