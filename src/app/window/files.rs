//! What is opened and written: from a path to a run, from the form to a file.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::app::Launch;
use crate::app::lab::run::{Opened, Origin, RunInfo};
use crate::base::error::{Error, Result};
use crate::base::quoting;
use crate::base::settings;
use crate::base::weights::Weights;
use crate::export::against::Other;
use crate::export::sheet::Sheet;
use crate::figure::file::save;
use crate::formats::file::save_all;
use crate::formats::foreign;
use crate::panel;
use crate::run::experiment::Experiment;
use crate::run::interchange::{WeightFormat, files, is_ours, refusal};
use crate::run::tour::{self, Ground, Tour};
use crate::run_folder::Reader;
use crate::sweep::{Run, Sweep, is_sweep};

use super::App;
use super::file_dialog::{Chosen, FileDialog};
use super::weight_format::FormatList;

/// Reads weights where reading takes its time.
type ReadWeights = Box<dyn FnOnce() -> Result<Arc<Weights>> + Send>;

impl App {
    /// Begins what the command line asks for; what fails is said in the window.
    pub(super) fn begin(&mut self, launch: &Launch) {
        let what = launch.what.as_deref().unwrap_or("birth".as_ref());
        let path = Path::new(what);
        if launch.what.is_some() && tour::is_tour_file(path) {
            let path = path.to_owned();
            return self.begin_tour(move |(panels, home)| Tour::checked(&path, panels, home));
        }
        if launch.what.is_some()
            && path.is_dir()
            && !Experiment::is_builtin(&what.to_string_lossy())
        {
            return self.open_run(path.to_owned(), launch.at_step);
        }
        self.lab.next_folder.clone_from(&launch.folder);
        self.lab.attempt(|lab| {
            let mut experiment = Experiment::find(what)?;
            if !Experiment::is_builtin(&what.to_string_lossy()) {
                let panels: Vec<&str> = lab.panels.names().collect();
                tour::check(&experiment, &panels, &tour::home(lab.runs_folder.as_deref()))?;
            }
            if let Some(device) = &launch.device {
                experiment.set("train.device", &device.as_str().into())?;
            }
            if let Some(step) = launch.at_step {
                // A run of 0 steps would be one without an end.
                let steps = i64::try_from(step.max(1)).unwrap_or(i64::MAX);
                experiment.set("train.steps", &steps.into())?;
            }
            lab.start(experiment, Origin::Fresh);
            Ok(())
        });
    }

    /// Opens the folder of a run, or of a sweep with the first run of it that can be looked at.
    pub(super) fn open_run(&mut self, folder: PathBuf, step: Option<u64>) {
        if is_sweep(&folder) {
            return self.open_sweep(folder, false, step);
        }
        self.work(
            "open run",
            move || Opened::read(&folder),
            move |app, opened| {
                let network = opened.network().cloned();
                app.lab.opened(opened);
                app.lab.view(step);
                if let Some(folder) = network {
                    app.remember(folder);
                }
            },
        );
    }

    /// Opens what was dropped on the window: a folder, or a file that says which one is meant.
    pub(super) fn open_dropped(&mut self, path: PathBuf) {
        let is_named = |name: &str| path.file_name().is_some_and(|file| file == name);
        let has_ending = |ending: &str| path.extension().is_some_and(|e| e == ending);
        let is_of_folder = ["config.json", "run.json", "model.safetensors.index.json"]
            .iter()
            .any(|name| is_named(name))
            || has_ending("safetensors");
        if path.is_dir() {
            return self.open_run(path, None);
        }
        if let Some(folder) = path.parent().filter(|_| is_of_folder) {
            return self.open_run(folder.to_owned(), None);
        }
        if has_ending("toml") {
            let is_tour = tour::is_tour_file(&path);
            let dialog = if is_tour { FileDialog::OpenLesson } else { FileDialog::OpenExperiment };
            return self.chosen(Chosen { dialog, path, replace: false });
        }
        if has_ending("jsonl") || has_ending("txt") {
            return self.open_prompts(path);
        }
        let unknown = || {
            Error::input(format!(
                "{} was dropped on the window; expected the folder of a run, of a sweep or of a network, an experiment (.toml), or prompts (.txt, .jsonl)",
                path.display()
            ))
        };
        self.lab.trouble(foreign::refusal(&path).unwrap_or_else(unknown));
    }

    /// Asks the network in view the prompts of a file.
    pub(super) fn open_prompts(&mut self, path: PathBuf) {
        let experiment = match self.lab.asked_prompts(&path) {
            Ok(experiment) => experiment,
            Err(error) => return self.lab.trouble(error),
        };
        let run = self.lab.run_id();
        let read = move || RunInfo::of(&experiment).map(|info| (experiment, info));
        self.work("open prompts", read, move |app, (experiment, info)| {
            app.lab.take_prompts(run, experiment, info);
            app.remember(path);
        });
    }

    /// Compares a run with another; opens those that are not in the window.
    pub(super) fn compare_runs(&mut self, a: Option<PathBuf>, b: PathBuf) {
        let in_view = self.lab.run_id();
        self.with_run(b, move |app, b| match a {
            None => app.lab.compare_runs(in_view, b),
            Some(a) => app.with_run(a, move |app, a| app.lab.compare_runs(a, b)),
        });
    }

    /// Compares what is in view with what the command line says, once there is something in view.
    pub(super) fn compare_as_asked(&mut self) {
        let Some(in_view) = self.lab.run() else { return };
        let (a, at) = (in_view.id, self.lab.step);
        let folder = in_view.recording.folder.clone().unwrap_or_default();
        let Some(Other { run, step }) = self.against.take() else { return };
        if run.as_os_str().is_empty() {
            return self.lab.compare_with_step(a, step);
        }
        let folder = Other { run, step }.folder(&folder);
        self.with_run(folder, move |app, b| {
            app.lab.compare_runs(a, b);
            app.lab.view(at);
            app.lab.compare_with_step(b, step);
        });
    }

    /// Does something with the run of a folder once it is in the window.
    fn with_run(&mut self, folder: PathBuf, then: impl FnOnce(&mut Self, u64) + Send + 'static) {
        let index = self.lab.folders_of_runs().position(|of| of == Some(&folder));
        if let Some(index) = index {
            return then(self, self.lab.runs[index].id);
        }
        self.work(
            "open run",
            move || Opened::read(&folder),
            move |app, opened| {
                app.lab.opened(opened);
                let id = app.lab.run_id();
                then(app, id);
            },
        );
    }

    pub(super) fn open_sweep(&mut self, folder: PathBuf, again: bool, step: Option<u64>) {
        self.sweep_step = step;
        let show = move |app: &mut Self, sweep| app.opened_sweep(sweep, again);
        self.work("open sweep", move || Sweep::read(&folder), show);
    }

    /// Shows a sweep that was read.
    pub(super) fn opened_sweep(&mut self, sweep: Sweep, again: bool) {
        let step = self.sweep_step.take();
        for problem in sweep.runs.iter().filter_map(|run| run.problem.clone()) {
            self.lab.trouble(Error::input(problem));
        }
        let sweep = Arc::new(sweep);
        self.lab.sweep = Some(sweep.clone());
        self.lab.changed();
        if again {
            return;
        }
        self.show_sweep();
        let recorded = |run: &Run| run.recording.as_ref().is_some_and(|r| !r.recorded.is_empty());
        match sweep.runs.iter().position(recorded).and_then(|run| sweep.folder_of(run)) {
            Some(folder) => self.open_run(folder, step),
            None => self.lab.trouble(Error::usage(format!(
                "no run of the sweep {} has begun: go on with mnemoscope sweep --out {}",
                sweep.folder.display(),
                quoting::path(&sweep.folder)
            ))),
        }
    }

    /// The panel of the open sweep comes to the front; what a picture is wanted of stays.
    fn show_sweep(&mut self) {
        let Some(panel) = self.sweep_panel() else { return };
        let (arranged, maximised) = (self.is_arranged(), self.dock.maximised.clone());
        self.dock.show_panel(panel);
        if self.screenshot.is_some() {
            self.dock.maximised = maximised;
        }
        if !arranged {
            self.layout = Some(self.dock.clone());
        }
    }

    /// What shows the open sweep best: a map where two settings differ.
    pub(super) fn sweep_panel(&self) -> Option<&'static str> {
        let plan = &self.lab.sweep.as_ref()?.plan;
        let varied = plan.settings.iter().filter(|(_, values)| values.len() > 1).count();
        Some(if varied > 1 { panel::sweep_map::KIND.name } else { panel::sweep::KIND.name })
    }

    /// Shows a run of the sweep: the one that is open already, or else its folder.
    pub(super) fn show_run_of_sweep(&mut self, run: usize) {
        let Some(folder) = self.lab.sweep.as_ref().and_then(|sweep| sweep.folder_of(run)) else {
            return;
        };
        let open = self.lab.folders_of_runs().position(|f| f == Some(&folder));
        match open {
            Some(index) => self.lab.choose(index),
            None => self.open_run(folder, None),
        }
    }

    /// A path was chosen for something.
    pub(super) fn chosen(&mut self, Chosen { dialog, path, replace }: Chosen) {
        match dialog {
            FileDialog::OpenRun => self.open_run(path, None),
            FileDialog::OpenExperiment => {
                let panels: Vec<&str> = self.lab.panels.names().collect();
                let home = self.lessons_home();
                let load = move || {
                    let experiment = Experiment::load(&path)?;
                    tour::check(&experiment, &panels, &home).map(|()| experiment)
                };
                self.work("open experiment", load, |app, experiment| {
                    app.lab.start(experiment, Origin::Fresh);
                });
            }
            FileDialog::OpenPrompts => self.open_prompts(path),
            FileDialog::OpenLesson => {
                self.begin_tour(move |(panels, home)| Tour::checked(&path, panels, home));
            }
            FileDialog::ChooseFile(setting) => self.lab.attempt(|lab| {
                let Some(draft) = lab.draft_mut() else { return Ok(()) };
                let value = toml::Value::String(path.display().to_string());
                settings::set(draft.task.as_mut(), "task.", setting, &value)
            }),
            FileDialog::ChooseFont => self.choose_fonts(vec![path]),
            FileDialog::SaveExperiment => {
                let Some(draft) = self.lab.draft() else { return };
                let text = draft.to_toml();
                self.write(path, replace, move || Ok(text.into_bytes()));
            }
            FileDialog::SaveFigure(kind) => self.save_figure(&kind, path, replace),
            FileDialog::SavePage { sheet } => {
                let doc = if sheet { self.sheet.doc.clone() } else { self.export.doc.clone() };
                self.save_page(&doc, path, replace);
            }
            FileDialog::OpenSheet => self.load_sheet(move || Sheet::load(&path)),
            FileDialog::SaveSheet => {
                let text = self.sheet.doc.sheet.to_toml();
                self.write(path, replace, move || Ok(text.into_bytes()));
            }
            FileDialog::ExportWeights(format) => self.export_weights(format, path, replace),
        }
    }

    /// Where runs that come with the program are unpacked.
    fn lessons_home(&self) -> PathBuf {
        tour::home(self.lab.runs_folder.as_deref())
    }

    /// Reads a tour and shows it on its run, which is opened or begun where it is not here yet. What is given to `read` are the
    /// names of all panels, and where runs that come with the program are unpacked.
    pub(super) fn begin_tour(
        &mut self,
        read: impl FnOnce((&[&str], &Path)) -> Result<Tour> + Send + 'static,
    ) {
        self.greets = false;
        let panels: Vec<&str> = self.lab.panels.names().collect();
        let home = self.lessons_home();
        let ready = move || {
            let tour = read((&panels, &home))?;
            let folder = tour.ground.folder(&home)?;
            Ok((tour, folder))
        };
        self.work("open tour", ready, |app, (tour, folder)| {
            let experiment = match &tour.ground {
                Ground::Experiment(experiment) => Some(experiment.as_ref().clone()),
                Ground::Recorded(_) | Ground::Folder(_) => None,
            };
            app.guide.begin(tour, folder.clone());
            if app.guide.find_run(&app.lab) {
                return;
            }
            if let Some(experiment) = experiment {
                app.lab.start(experiment, Origin::Fresh);
            }
            if let Some(folder) = folder {
                app.open_run(folder, None);
            }
        });
    }

    /// Shows the lessons of the experiment in view.
    pub(super) fn tour_of_run(&mut self) {
        let Some(tour) = self.lab.run().and_then(|run| Tour::of_experiment(&run.began)) else {
            return;
        };
        self.begin_tour(move |_| Ok(tour));
    }

    /// The list of formats for weights; which of them cannot say this network is found out beside the window.
    pub(super) fn list_formats(&mut self) {
        self.weight_format = FormatList { open: true, ..FormatList::default() };
        let Ok((experiment, read)) = self.weights_to_read() else { return };
        let refused = move || {
            let weights = read()?;
            let why = |format: &WeightFormat| {
                refusal(*format, &experiment, &weights).map(|why| (*format, why.message))
            };
            Ok(WeightFormat::ALL.iter().filter_map(why).collect())
        };
        self.work("check formats", refused, |app, refused| app.weight_format.refused = refused);
    }

    /// The experiment in view, and what reads its weights.
    ///
    /// # Errors
    /// When there are none.
    fn weights_to_read(&self) -> Result<(Experiment, ReadWeights)> {
        let (step, weights, folder) = self.lab.weights_in_view()?;
        let run = self.lab.run().ok_or_else(|| Error::usage("there is no run"))?;
        let read = move || match (weights, folder) {
            (Some(weights), _) => Ok(weights),
            (None, Some(folder)) => Reader::open(&folder)?.weights(step).map(Arc::new),
            (None, None) => Err(Error::usage("the weights of this step are not recorded")),
        };
        Ok((run.experiment.clone(), Box::new(read)))
    }

    pub(super) fn export_weights(&mut self, format: WeightFormat, path: PathBuf, replace: bool) {
        let (experiment, read) = match self.weights_to_read() {
            Ok(found) => found,
            Err(error) => return self.lab.trouble(error),
        };
        let written = move || {
            let weights = read()?;
            let files = files(format, &experiment, &weights)?;
            if let ([file], false) = (&files[..], format.is_folder()) {
                save(&path, &file.bytes, replace)?;
            } else {
                let files: Vec<_> = files.iter().map(|f| (f.name, &f.bytes[..])).collect();
                save_all(&path, &files, false, &is_ours)?;
            }
            Ok(format!("Saved {}", path.display()))
        };
        self.work("write weights", written, Self::say);
    }

    /// Makes the bytes of a file and writes them, away from the window.
    pub(super) fn write(
        &mut self,
        path: PathBuf,
        replace: bool,
        make: impl FnOnce() -> Result<Vec<u8>> + Send + 'static,
    ) {
        let written = move || {
            save(&path, &make()?, replace)?;
            Ok(format!("Saved {}", path.display()))
        };
        self.work("write file", written, Self::say);
    }
}
