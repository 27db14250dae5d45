//! Choosing files: the system's dialog, and a path field in the window when no dialog answers.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use egui::{Context, Id, Key, TextEdit};

use crate::export::files;
use crate::formats::file::meant;
use crate::run::interchange::WeightFormat;

/// A dialog service that has not answered by then may never do so: the path field is offered beside it.
const PATIENCE: Duration = Duration::from_secs(5);

/// A dialog that is gone sooner than a hand closes one never was there: a service that fails takes its time to say so.
const TOO_SOON: Duration = Duration::from_millis(1500);

/// What a path is wanted for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FileDialog {
    OpenRun,
    OpenExperiment,
    OpenLesson,
    OpenPrompts,
    /// The file that a setting of the task names.
    ChooseFile(&'static str),
    /// A font for the signs that our own lack.
    ChooseFont,
    SaveExperiment,
    /// The figure of a panel, by its kind.
    SaveFigure(String),
    /// The page of the export window, or of the figure sheet.
    SavePage {
        sheet: bool,
    },
    OpenSheet,
    SaveSheet,
    ExportWeights(WeightFormat),
}

impl FileDialog {
    fn title(&self) -> &'static str {
        match self {
            Self::OpenRun => "Open the folder of a run or of a network",
            Self::OpenExperiment => "Open an experiment",
            Self::OpenLesson => "Open lessons",
            Self::OpenPrompts => "Open a set of prompts (.txt: one a line, or .jsonl)",
            Self::ChooseFile(_) => "Choose a UTF-8 text file",
            Self::ChooseFont => "Choose a font for other scripts (.ttf, .otf or .ttc)",
            Self::SaveExperiment => "Save the experiment",
            Self::SaveFigure(_) | Self::SavePage { .. } => "Save as .pdf, .svg, .png or .tex",
            Self::OpenSheet => "Open a figure sheet",
            Self::SaveSheet => "Save the figure sheet",
            Self::ExportWeights(format) if format.is_folder() => "Export weights into a folder",
            Self::ExportWeights(_) => "Export weights (.safetensors)",
        }
    }

    fn file_name(&self) -> String {
        match self {
            Self::OpenRun
            | Self::OpenExperiment
            | Self::OpenLesson
            | Self::OpenPrompts
            | Self::ChooseFile(_)
            | Self::ChooseFont
            | Self::OpenSheet => String::new(),
            Self::SavePage { .. } => "figure.pdf".to_owned(),
            Self::SaveSheet => "sheet.toml".to_owned(),
            Self::SaveExperiment => "experiment.toml".to_owned(),
            Self::SaveFigure(kind) => format!("{kind}.svg"),
            Self::ExportWeights(format) if format.is_folder() => format.name().to_owned(),
            Self::ExportWeights(_) => "weights.safetensors".to_owned(),
        }
    }

    /// What is there already of the files that would be written for a path. In a folder nothing is replaced.
    fn in_the_way(&self, path: &Path) -> Vec<PathBuf> {
        match self {
            Self::SaveFigure(_) | Self::SavePage { .. } => files::in_the_way(path),
            Self::SaveExperiment | Self::SaveSheet => there(path),
            Self::ExportWeights(format) if format.is_folder() => Vec::new(),
            Self::ExportWeights(_) => there(path),
            Self::OpenRun
            | Self::OpenExperiment
            | Self::OpenLesson
            | Self::OpenPrompts
            | Self::ChooseFile(_)
            | Self::ChooseFont
            | Self::OpenSheet => Vec::new(),
        }
    }

    /// Those of them that nobody named and that this program did not make: they stay.
    fn foreign<'a>(&self, path: &Path, in_the_way: &'a [PathBuf]) -> Vec<&'a PathBuf> {
        match self {
            Self::SaveFigure(_) | Self::SavePage { .. } => {
                let beside = in_the_way.iter().filter(|there| *there != path);
                beside.filter(|there| !files::is_ours(there)).collect()
            }
            Self::SaveExperiment
            | Self::SaveSheet
            | Self::ExportWeights(_)
            | Self::OpenRun
            | Self::OpenExperiment
            | Self::OpenLesson
            | Self::OpenPrompts
            | Self::ChooseFile(_)
            | Self::ChooseFont
            | Self::OpenSheet => Vec::new(),
        }
    }

    /// Asks the system; blocks until a person has answered.
    pub fn ask(&self) -> Option<PathBuf> {
        let dialog = rfd::FileDialog::new().set_title(self.title()).set_file_name(self.file_name());
        match self {
            Self::OpenRun => dialog.pick_folder(),
            Self::OpenExperiment => dialog.add_filter("Experiment", &["toml"]).pick_file(),
            Self::OpenLesson => dialog.add_filter("Lessons", &["toml"]).pick_file(),
            Self::OpenPrompts => dialog.add_filter("Prompts", &["txt", "jsonl"]).pick_file(),
            Self::OpenSheet => dialog.add_filter("Figure sheet", &["toml"]).pick_file(),
            Self::ChooseFile(_) => dialog.pick_file(),
            Self::ChooseFont => {
                dialog.add_filter("Font", &["ttf", "otf", "ttc", "otc"]).pick_file()
            }
            Self::ExportWeights(format) if format.is_folder() => dialog.pick_folder(),
            Self::SaveExperiment
            | Self::SaveFigure(_)
            | Self::SavePage { .. }
            | Self::SaveSheet
            | Self::ExportWeights(_) => dialog.save_file(),
        }
    }
}

fn there(path: &Path) -> Vec<PathBuf> {
    if path.exists() { vec![path.to_owned()] } else { Vec::new() }
}

/// What would be lost by going on.
fn warning(in_the_way: &[PathBuf]) -> String {
    let name = |path: &PathBuf| path.file_name().unwrap_or_default().display().to_string();
    match in_the_way {
        [only] => format!("{} is there already.", only.display()),
        all => {
            let names: Vec<String> = all.iter().map(name).collect();
            format!("These are there already and would be replaced: {}.", names.join(", "))
        }
    }
}

/// Why nothing is written.
fn refusal(foreign: &[&PathBuf]) -> String {
    let name = |path: &&PathBuf| path.file_name().unwrap_or_default().display().to_string();
    let names: Vec<String> = foreign.iter().map(name).collect();
    format!(
        "The numbers of the figure would replace {}, which this program did not make. Choose another name.",
        names.join(", ")
    )
}

/// A path that somebody has chosen.
pub struct Chosen {
    pub dialog: FileDialog,
    pub path: PathBuf,
    /// Whether what is there may be replaced: somebody was asked.
    pub replace: bool,
}

struct Asking {
    dialog: FileDialog,
    since: Instant,
    /// The path field is shown.
    field: bool,
    text: String,
    focus: bool,
    /// Files are there that this path would replace: whether to do that is being asked.
    doubtful: Option<(PathBuf, Vec<PathBuf>)>,
}

/// At most one path is asked for at a time.
pub struct FileDialogs {
    asking: Option<Asking>,
    /// False where there is surely no dialog service: the path field comes at once.
    system: bool,
}

impl FileDialogs {
    pub fn new(system: bool) -> Self {
        Self { asking: None, system }
    }

    /// Asks for a path; `started` starts the system's dialog, where there may be one. The answer comes from [`Self::answered`]
    /// or [`Self::ui`].
    pub fn ask(&mut self, dialog: FileDialog, started: impl FnOnce(FileDialog) -> bool) {
        let text = match std::env::current_dir() {
            Ok(here) => here.join(dialog.file_name()).display().to_string(),
            Err(_) => dialog.file_name(),
        };
        let system = self.system && started(dialog.clone());
        self.asking = Some(Asking {
            dialog,
            since: Instant::now(),
            field: !system,
            text,
            focus: true,
            doubtful: None,
        });
    }

    /// What the system's dialog said: the path, if it is still wanted. The system asks before it gives the name of a file
    /// that is there.
    pub fn answered(&mut self, dialog: FileDialog, path: Option<PathBuf>) -> Option<Chosen> {
        let asking = self.asking.as_mut().filter(|asking| asking.dialog == dialog)?;
        // Somebody may be writing in the field by now: a dialog that was closed does not take it away.
        if path.is_none() && (asking.field || asking.since.elapsed() < TOO_SOON) {
            asking.field = true;
            return None;
        }
        self.asking = None;
        path.map(|path| Chosen { replace: path.exists(), dialog, path })
    }

    /// Whether the path field is shown, which has Escape for itself.
    pub fn has_field(&self) -> bool {
        self.asking.as_ref().is_some_and(|asking| asking.field)
    }

    /// The path field, once it is due; some when a path was entered.
    pub fn ui(&mut self, ctx: &Context) -> Option<Chosen> {
        let asking = self.asking.as_mut()?;
        if !asking.field {
            match PATIENCE.checked_sub(asking.since.elapsed()) {
                Some(rest) => ctx.request_repaint_after(rest),
                None => asking.field = true,
            }
            return None;
        }
        let (mut chosen, mut closed, mut replace) = (false, false, false);
        egui::Window::new(asking.dialog.title())
            .id(Id::unique("path field"))
            .collapsible(false)
            .resizable(false)
            .anchor(egui::Align2::CENTER_TOP, [0.0, 120.0])
            .show(ctx, |ui| {
                if self.system {
                    ui.label("No file dialog has answered. Write the path here, or go on waiting for the dialog.");
                }
                let edit = TextEdit::singleline(&mut asking.text).desired_width(520.0);
                let edit = ui.add(edit).accessible_name("Path");
                if std::mem::take(&mut asking.focus) {
                    edit.request_focus();
                }
                chosen = edit.lost_focus() && ui.input(|i| i.key_pressed(Key::Enter));
                closed = ui.input(|i| i.key_pressed(Key::Escape));
                let path = meant(&asking.text);
                let doubt = asking.doubtful.as_ref().filter(|(doubtful, _)| *doubtful == path);
                if let Some((_, in_the_way)) = doubt {
                    let foreign = asking.dialog.foreign(&path, in_the_way);
                    replace = foreign.is_empty();
                    let text = if replace { warning(in_the_way) } else { refusal(&foreign) };
                    ui.colored_label(ui.visuals().warn_fg_color, text);
                }
                ui.horizontal(|ui| {
                    chosen |= ui.button(if replace { "Replace" } else { "OK" }).clicked();
                    closed |= ui.button("Cancel").clicked();
                });
                // What is there is replaced only when asked twice.
                if chosen && !replace {
                    let in_the_way = asking.dialog.in_the_way(&path);
                    if !in_the_way.is_empty() {
                        asking.doubtful = Some((path, in_the_way));
                        asking.focus = true;
                        chosen = false;
                    }
                }
            });
        if chosen {
            let asking = self.asking.take()?;
            let path = meant(&asking.text);
            return Some(Chosen { dialog: asking.dialog, path, replace });
        }
        if closed {
            self.asking = None;
        }
        None
    }
}
