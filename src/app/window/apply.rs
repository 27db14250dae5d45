//! What a hand did, carried out after the frame.

use egui::{Context, Vec2};

use crate::app::Look;
use crate::app::commands::{Action, Command};
use crate::app::lab::run::Origin;
use crate::app::panes::News;
use crate::app::panes::docking::Dock;
use crate::app::worker::Then;
use crate::base::analysis::Generating;
use crate::base::error::Error;
use crate::base::question::MeasurementCall;
use crate::base::settings;
use crate::figure::Pick;
use crate::formats::tokenizer::Begin;
use crate::panel;
use crate::panel::compare::Showing;
use crate::run::experiment::Experiment;
use crate::run::tour::Tour;

use super::file_dialog::FileDialog;
use super::{App, BeforeHall, ZOOMS, menu};

/// Points of width and height that are enough for what a hall sees.
const HALL: [f32; 2] = [880.0, 495.0];

impl App {
    /// Carries out what a hand did, after the frame.
    pub(super) fn carry_out(&mut self, action: Action, ctx: &Context) {
        match action {
            Action::Do(command) => self.command(command, ctx),
            Action::Pick { pick: Pick::Run(run), .. } => self.show_run_of_sweep(run),
            Action::Pick { pick, shift } => self.lab.pick(&pick, shift),
            Action::Scroll(by) => self.lab.scroll(by),
            Action::ScrollTo(first) => self.lab.scroll_to(first),
            Action::View(step) => {
                self.lab.playback.playing = false;
                self.lab.view(step);
            }
            Action::Go(on) => self.lab.go(on),
            Action::Choose(index) => self.lab.choose(index),
            Action::ChooseFile(setting) => self.ask(FileDialog::ChooseFile(setting)),
            Action::Sequence(number) => self.lab.draw_sequence(number),
            Action::Intervene(what) => self.lab.intervene(what),
            Action::Lift(what) => self.lab.lift(&what),
            Action::Operate(all) => self.lab.operate(&all),
            Action::Compare(subject) => self.lab.compare_with(subject),
            Action::ShowCompared(showing) => {
                self.lab.comparison.showing = showing;
                self.lab.changed();
            }
            Action::CompareRuns { a, b } => self.compare_runs(a, b),
            Action::Pin(kind) => self.lab.pin(&kind),
            Action::Set { name, value } => self.lab.set_live(name, value),
            Action::Speed(speed) => {
                self.lab.speed = speed;
                self.lab.send_speed();
            }
            Action::PlaybackSpeed(speed) => self.lab.playback.steps_per_second = speed,
            Action::Start => self.restart(),
            Action::Begin(begin) => self.begin_with(begin),
            Action::Text(text) => self.lab.set_text(&text),
            Action::EditTuple(edit) => {
                self.lab.edit_tuple(edit);
                self.host.tell(News::Rewritten, &self.lab);
            }
            Action::OpenRun(folder) => self.open_run(folder, None),
            Action::OpenPrompts(file) => self.open_prompts(file),
            Action::OpenDropped(path) => self.open_dropped(path),
            Action::ReadSweep(folder) => self.open_sweep(folder, true, None),
            Action::DiscardRuns(folders) => self.discard_runs(folders),
            Action::RestoreRuns(folders) => self.restore_runs(folders),
            Action::EmptyTrash => self.empty_trash(),
            Action::Forget(path) => self.forget_recent(path),
            Action::NameRun(folder, name) => self.name_run(&folder, &name),
            Action::SaveFigure(kind) => self.ask(FileDialog::SaveFigure(kind)),
            Action::Export(kind) => self.export(&kind),
            Action::AddToSheet(kind) => self.add_to_sheet(&kind),
            Action::Copy(kind, copy) => self.copy(&kind, copy),
            Action::Greeted => self.greets = false,
            Action::Maximise(kind) => self.dock.maximise(&kind),
            Action::Settings(kind) => {
                let open = &mut self.host.open_settings;
                *open = Some(kind).filter(|kind| open.as_ref() != Some(kind));
            }
            Action::Close(kind) => self.dock.close(&kind),
            Action::Dismiss(index) => {
                if index < self.lab.troubles.len() {
                    self.lab.troubles.remove(index);
                }
            }
            Action::DismissAll => self.lab.troubles.clear(),
        }
    }

    #[deny(clippy::wildcard_enum_match_arm, reason = "a command that does nothing is none")]
    fn command(&mut self, command: Command, ctx: &Context) {
        let lab = &mut self.lab;
        match command {
            Command::RunPause => lab.run_or_pause(),
            Command::SingleStep => lab.single_step(),
            Command::Restart => self.restart(),
            Command::Branch => self.lab.attempt(|lab| lab.branch(false)),
            Command::BranchAndGo => self.lab.attempt(|lab| lab.branch(true)),
            Command::CloseRun => self.close_run(),
            Command::NextRun => lab.choose_by(1),
            Command::PreviousRun => lab.choose_by(-1),
            Command::Start(name) => self.lab.attempt(|lab| {
                lab.start(Experiment::builtin(name)?, Origin::Fresh);
                Ok(())
            }),
            Command::Faster => self.change_speed(-1),
            Command::Slower => self.change_speed(1),
            Command::Live => self.carry_out(Action::View(None), ctx),
            Command::PreviousStep => lab.move_step(-1),
            Command::NextStep => lab.move_step(1),
            Command::FirstStep => lab.view(Some(0)),
            Command::Play => lab.play_or_hold(),
            Command::NextToken => lab.move_selection(1, false),
            Command::PreviousToken => lab.move_selection(-1, false),
            Command::NextKey => lab.move_selection(1, true),
            Command::PreviousKey => lab.move_selection(-1, true),
            Command::ClearSelection => lab.clear_selection(),
            Command::NextHead => lab.move_head(1),
            Command::PreviousHead => lab.move_head(-1),
            Command::Difference => lab.show_compared(Showing::Difference),
            Command::SideBySide => lab.show_compared(Showing::Beside),
            Command::BothAndDifference => lab.show_compared(Showing::All),
            Command::CompareStep => lab.keep_for_comparison(),
            Command::CompareHead => lab.keep_head_for_comparison(),
            Command::CompareRun => lab.compare_with_next_run(),
            Command::Pin => self.of_figure(|app, name| app.lab.pin(name)),
            Command::StopComparing => lab.stop_comparing(),
            Command::DrawSequence => lab.draw_next(),
            Command::Generate => self.generate(),
            Command::AskAgain => lab.analyses.ask_again(),
            Command::CancelJob => lab.analyses.cancel(),
            Command::KeepReaders => self.keep_readers(),
            Command::EditText => {
                self.dock.show_panel(panel::tokens::KIND.name);
                self.host.tell(News::Write, lab);
            }
            Command::CutHead => lab.cut_or_mend_head(),
            Command::UndoIntervention => lab.lift_newest(),
            Command::LiftAll => lab.lift_all(),
            Command::OpenRun => self.ask(FileDialog::OpenRun),
            Command::OpenExperiment => self.ask(FileDialog::OpenExperiment),
            Command::SaveExperiment => self.ask(FileDialog::SaveExperiment),
            Command::ExportWeights => self.list_formats(),
            Command::SaveFigure => {
                self.of_figure(|app, name| app.ask(FileDialog::SaveFigure(name.to_owned())));
            }
            Command::ExportFigure => self.of_figure(Self::export),
            Command::AddToSheet => self.of_figure(Self::add_to_sheet),
            Command::FigureSheet => self.show_sheet(),
            Command::Fonts => self.ask(FileDialog::ChooseFont),
            Command::Palette => self.palette.show(),
            Command::Keys => self.help.show(),
            Command::Gallery => self.gallery.show(),
            Command::OpenLesson => self.ask(FileDialog::OpenLesson),
            Command::OpenPrompts => self.ask(FileDialog::OpenPrompts),
            Command::TourOfRun => self.tour_of_run(),
            Command::Tour(name) => self.begin_tour(move |_| Tour::builtin(name)),
            Command::Theme => self.change_look(ctx, |app| app.dark = !app.dark),
            Command::Larger => self.change_look(ctx, |app| app.zoom_to(app.zoom + 0.1)),
            Command::Smaller => self.change_look(ctx, |app| app.zoom_to(app.zoom - 0.1)),
            Command::NormalSize => self.change_look(ctx, |app| app.zoom_to(1.0)),
            Command::Present => self.present(ctx),
            Command::Maximise => {
                self.change_look(ctx, |app| app.dock.maximise(&app.dock.focus.clone()));
            }
            Command::ClosePanel => {
                self.change_look(ctx, |app| app.dock.close(&app.dock.focus.clone()));
            }
            Command::NextPanel => {
                self.change_look(ctx, |app| app.dock.next_panel(app.lab.panels));
            }
            Command::PanelSettings => self.of_figure(|app, name| {
                app.carry_out(Action::Settings(name.to_owned()), ctx);
            }),
            Command::ResetLayout => {
                self.change_look(ctx, |app| app.dock = Dock::new(app.lab.panels));
            }
            Command::Undo => self.undo(ctx),
            Command::Redo => self.redo(ctx),
            Command::Show(name) => self.change_look(ctx, |app| app.dock.show_panel(name)),
            Command::Quit => ctx.send_viewport_cmd(egui::ViewportCommand::Close),
        }
    }

    /// Changes how the window looks, or which panels it shows.
    fn change_look(&mut self, ctx: &Context, change: impl FnOnce(&mut Self)) {
        change(self);
        self.apply_look(ctx);
        self.lab.changed();
    }

    fn zoom_to(&mut self, zoom: f32) {
        self.zoom = zoom.clamp(*ZOOMS.start(), *ZOOMS.end());
    }

    /// Looks as a picture of the window is wanted.
    pub(in crate::app) fn look_as(&mut self, look: &Look, ctx: &Context) {
        self.dark = look.dark;
        self.zoom_to(look.scale);
        self.dock.maximised.clone_from(&look.expand);
        self.lab.comparison.showing = look.showing;
        self.against.clone_from(&look.against);
        if look.present {
            self.present(ctx);
        }
        self.apply_look(ctx);
    }

    /// Arranges the window for a hall, or as it was.
    fn present(&mut self, ctx: &Context) {
        let on = !self.dock.is_presenting();
        if on {
            let curves = self.host.setting(panel::curves::KIND.name, "show");
            self.before_hall = Some(BeforeHall { zoom: self.zoom, curves, fitted: Vec2::ZERO });
            self.show_of_curves("accuracies");
            self.host.open_settings = None;
        } else if let Some(before) = self.before_hall.take() {
            self.zoom = before.zoom;
            self.show_of_curves(&before.curves);
        }
        self.history.skip();
        ctx.send_viewport_cmd(egui::ViewportCommand::Fullscreen(on));
        let made = self.lab.run().and_then(|run| self.host.made_for(&run.info).pop());
        let picture = made.unwrap_or(panel::attention::KIND.name);
        self.change_look(ctx, |app| app.dock.present(on.then_some(picture)));
    }

    /// Chooses the scale of a hall by the size of the window, and anew when that changes: whatever the screen, all of it is
    /// seen and is as large as it can be.
    pub(super) fn fit_hall(&mut self, ctx: &Context) {
        let Some(before) = &mut self.before_hall else { return };
        let size = ctx.content_rect().size() * ctx.zoom_factor();
        if (size - before.fitted).abs().max_elem() < 1.0 {
            return;
        }
        before.fitted = size;
        let [width, height] = HALL;
        self.zoom_to((size.x / width).min(size.y / height));
        self.apply_look(ctx);
        ctx.request_repaint();
    }

    /// Which metrics Curves draws.
    pub(super) fn show_of_curves(&mut self, show: &str) {
        let set = format!("show = \"{show}\"");
        self.host.restore(&[(panel::curves::KIND.name.to_owned(), set)]);
    }

    /// Does something with the panel in focus, or says that it has no figure.
    fn of_figure(&mut self, act: impl FnOnce(&mut Self, &str)) {
        let name = self.dock.focus.clone();
        if self.lab.panels.figure(&name).is_some() {
            return act(self, &name);
        }
        self.lab.trouble(Error::usage(format!(
            "the panel {} is no figure: click one that is, or use the button on its tab",
            self.lab.panels.title(&name)
        )));
    }

    /// The network continues the text in view as the panel Tokens says, or stops.
    fn generate(&mut self) {
        if self.lab.generation.is_running() {
            return self.lab.generation.stop();
        }
        self.dock.show_panel(panel::tokens::KIND.name);
        let settings = self.host.table_of(panel::tokens::KIND.name);
        let mut usual = Generating::default();
        let names = settings::names(&mut usual);
        let of = |call: MeasurementCall, name: &'static str| match settings.get(name) {
            Some(value) => call.with(name, value.clone()),
            None => call,
        };
        let call = names.into_iter().fold(MeasurementCall::new("generation"), of);
        self.lab.attempt(|lab| lab.go_on_writing(call));
    }

    fn restart(&mut self) {
        if let Some(draft) = self.lab.draft().cloned() {
            self.lab.start(draft, Origin::Fresh);
        }
        self.run_list.asked = false;
    }

    /// The offered speeds stand in order, the fastest first.
    fn change_speed(&mut self, by: isize) {
        let at = menu::SPEEDS.iter().position(|speed| *speed == self.lab.speed).unwrap_or(0);
        let to = at.saturating_add_signed(by).min(menu::SPEEDS.len() - 1);
        self.lab.speed = menu::SPEEDS[to];
        self.lab.send_speed();
    }

    pub(super) fn ask(&mut self, dialog: FileDialog) {
        let worker = &mut self.worker;
        self.dialogs.ask(dialog, |dialog| {
            let ask = move || -> Then<Self> {
                let path = dialog.ask();
                Box::new(move |app| {
                    if let Some(chosen) = app.dialogs.answered(dialog, path) {
                        app.chosen(chosen);
                    }
                })
            };
            worker.start_aside("file dialog", ask).is_ok()
        });
    }

    /// Puts something else before the text in view (BOS), and before all prompts of a set.
    fn begin_with(&mut self, begin: Begin) {
        self.lab.begin_text_with(begin);
        if let Some(prompts) = self.lab.prompts_file() {
            self.open_prompts(prompts);
        }
    }

    /// Whether a hand has arranged the panels.
    pub(super) fn is_arranged(&mut self) -> bool {
        *self.layout.get_or_insert_with(|| self.dock.clone()) != self.dock
    }

    /// Panels that have nothing to show of the run in view are not seen. No hand did that.
    pub(super) fn put_idle_panels_away(&mut self) {
        let idle = self.host.idle(&self.lab);
        if self.dock.away() == idle {
            return;
        }
        let arranged = self.is_arranged();
        if self.dock.put_away(idle) {
            self.history.skip();
            if !arranged {
                self.layout = Some(self.dock.clone());
            }
        }
    }

    /// The panels that were made for the task or the network of a run come to the front of their stacks when the run comes into the
    /// window, unless a hand has arranged the panels.
    pub(super) fn show_picture_of_task(&mut self) {
        let arranged = self.is_arranged();
        let id = self.lab.run_id();
        if id <= self.shown_for {
            return;
        }
        self.shown_for = id;
        self.say_lacking();
        let Some(run) = self.lab.run().filter(|_| !arranged) else { return };
        if !run.info.has_memories {
            // Memories would have nothing to show.
            self.dock.bring_forward_beside(panel::query_key::KIND.name);
        }
        let has_curves = run.series.as_ref().is_some_and(|series| series.has_curves());
        if has_curves {
            // What forms in a series is seen there first, also where both share a stack.
            self.dock.bring_forward(panel::curves::KIND.name);
        } else if run.info.net.is_read {
            // In a small window the map of a head is behind it then.
            self.dock.bring_forward_beside(panel::head_scores::KIND.name);
        }
        let made = self.host.made_for(&run.info);
        made.into_iter().chain(self.sweep_panel()).for_each(|panel| self.dock.bring_forward(panel));
        self.layout = Some(self.dock.clone());
    }
}
