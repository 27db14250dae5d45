//! A guided tour: lessons one after the other, each beside the panel that it points at.

use std::path::PathBuf;
use std::sync::Arc;

use egui::{
    Color32, Context, Id, LayerId, Rect, RichText, Stroke, TextStyle, Ui, Vec2, Window, WindowDrag,
    vec2,
};

use crate::app::commands::{Action, Command};
use crate::app::lab::Lab;
use crate::app::lab::run::Run;
use crate::app::lab::tuple_edit::TupleEdit;
use crate::app::widgets::scroll;
use crate::base::event::State;
use crate::base::intervention::Intervention;
use crate::base::question::MeasurementCall;
use crate::figure::Pick;
use crate::panel::{self, columns};
use crate::run::expectation::{Expectation, Gate, Observed, Quantity, Scene, Than};
use crate::run::experiment::{BUILTIN, Experiment};
use crate::run::lesson::{Deed, Lesson, Look, When};
use crate::run::tour::{Ground, Tour};

/// Width of its window, in points: where there is room, and the least where that keeps it beside what it points at.
const WIDTH: f32 = 390.0;
const LEAST_WIDTH: f32 = 230.0;
/// What its frame adds to that, and the room that is left around it.
const FRAME: f32 = 22.0;
const AROUND: f32 = 10.0;
const APART: f32 = 12.0;
/// Height of its title bar with the frame, and the least of the text, some lines of which are always seen.
const TITLE: f32 = 46.0;
const LEAST_TEXT: f32 = 60.0;

/// The tour that is shown, if any.
#[derive(Default)]
pub struct Guide {
    playing: Option<Playing>,
}

struct Playing {
    tour: Arc<Tour>,
    /// The folder of its run, where that was recorded before.
    folder: Option<PathBuf>,
    at: usize,
    /// Experiments that single lessons are about.
    others: Vec<Experiment>,
    /// The run that it is shown on, by its id in the window.
    run: Option<u64>,
    /// What this lesson looks at is in view.
    entered: bool,
    /// For which lesson and panel the window was put, and for how many frames.
    placed: Option<((usize, Rect), usize)>,
    /// Points of height of what stood below the text in the last frame: what to do, the claims, the buttons.
    below: f32,
}

impl Guide {
    pub fn begin(&mut self, tour: Tour, folder: Option<PathBuf>) {
        let names = tour.lessons.iter().map(|lesson| &lesson.look.experiment);
        let others = names.filter_map(|name| Experiment::builtin(name).ok()).collect();
        let (tour, at, run) = (Arc::new(tour), 0, None);
        let (entered, placed, below) = (false, None, 160.0);
        self.playing = Some(Playing { tour, folder, at, others, run, entered, placed, below });
    }

    pub fn is_shown(&self) -> bool {
        self.playing.is_some()
    }

    /// Finds the run that the tour is about among those of the window.
    pub fn find_run(&mut self, lab: &Lab) -> bool {
        self.playing.as_mut().is_some_and(|playing| playing.run_in(lab).is_some())
    }

    /// What has to be known to say whether the claims of the lesson hold.
    pub fn calls(&self, lab: &Lab) -> Vec<MeasurementCall> {
        let Some(playing) = self.playing.as_ref().filter(|p| p.entered) else { return Vec::new() };
        if playing.run != lab.run().map(|run| run.id) {
            return Vec::new();
        }
        playing.lesson().map_or_else(Vec::new, |lesson| {
            lesson.expect.iter().flat_map(Expectation::calls).collect()
        })
    }

    /// Draws the lesson that is shown, beside the panel that it points at; `places` says where panels lie.
    pub fn ui(&mut self, ctx: &Context, lab: &Lab, places: &[(String, Rect)]) -> Vec<Action> {
        let Some(playing) = &mut self.playing else { return Vec::new() };
        let Some(lesson) = playing.lesson().cloned() else { return Vec::new() };
        let mut actions = playing.enter(lab, &lesson);
        let place =
            |panel: &str| places.iter().find(|(name, _)| name == panel).map(|(_, rect)| *rect);
        let target = place(&lesson.look.panel).filter(|_| playing.entered);
        if let Some(rect) = target {
            outline(ctx, rect);
        }
        // The text in view is what most lessons speak of.
        let spared = [target, place(panel::tokens::KIND.name)].map(|r| r.unwrap_or(Rect::NOTHING));
        let mut turn = Turn::Stay;
        if !playing.window(ctx, lab, &lesson, spared, &mut actions, &mut turn) {
            turn = Turn::End;
        }
        match turn {
            Turn::Stay => {}
            Turn::To(at) => {
                (playing.at, playing.entered) = (at, false);
            }
            Turn::End => self.playing = None,
        }
        actions
    }
}

/// What becomes of the tour.
enum Turn {
    Stay,
    To(usize),
    End,
}

impl Playing {
    fn lesson(&self) -> Option<&Lesson> {
        self.tour.lessons.get(self.at)
    }

    /// The number of the run that it is about.
    fn run_in(&mut self, lab: &Lab) -> Option<usize> {
        let known = self
            .run
            .and_then(|id| lab.runs.iter().position(|run| run.id == id && self.is_about(run)));
        let found = known.or_else(|| lab.runs.iter().position(|run| self.is_about(run)));
        self.run = found.map(|at| lab.runs[at].id);
        found
    }

    fn is_about(&self, run: &Run) -> bool {
        let own = self.lesson().map(|lesson| &lesson.look.experiment);
        let other = own.and_then(|name| self.others.iter().find(|other| other.name == *name));
        if let Some(other) = other {
            return other.learns_as(&run.began);
        }
        match (&self.tour.ground, &self.folder) {
            (Ground::Experiment(experiment), _) => experiment.learns_as(&run.began),
            (_, folder) => folder.is_some() && run.recording.folder == *folder,
        }
    }

    /// Brings into view what the lesson looks at, once that is there.
    fn enter(&mut self, lab: &Lab, lesson: &Lesson) -> Vec<Action> {
        let Some(at) = self.run_in(lab).filter(|_| !self.entered) else { return Vec::new() };
        let run = &lab.runs[at];
        let step = lesson.look.step.as_ref();
        if step.is_some_and(|when| step_of(run, when).is_none()) {
            return Vec::new();
        }
        self.entered = true;
        let mut actions = Vec::new();
        if at != lab.current {
            actions.push(Action::Choose(at));
        }
        actions.extend(step.map(|when| view(run, when)));
        // What was tried on a step of the past goes with it, and what is in force elsewhere is nothing here.
        let leaves_step = step.is_some_and(|when| (*when == When::Live) == lab.step.is_some());
        let stays = at == lab.current && !leaves_step;
        let now = if stays { lab.in_force() } else { Vec::new() };
        actions.extend(self.put_right(&now));
        actions.extend(looked_at(&lesson.look, lab));
        actions
    }

    /// What the lessons before have brought into force is in force, and nothing that later ones bring.
    fn put_right(&self, now: &[Intervention]) -> Vec<Action> {
        let wanted = in_force_after(&self.tour.lessons[..self.at]);
        let all = self.tour.lessons.iter().flat_map(|lesson| &lesson.deeds);
        let mine = all.filter_map(Deed::brings);
        let mut actions = Vec::new();
        for what in mine {
            let (is, should) = (now.contains(what), wanted.contains(what));
            if is && !should {
                actions.push(Action::Lift(what.clone()));
            } else if should && !is && !actions.contains(&Action::Intervene(what.clone())) {
                actions.push(Action::Intervene(what.clone()));
            }
        }
        actions
    }

    /// Whether it stays open.
    fn window(
        &mut self,
        ctx: &Context,
        lab: &Lab,
        lesson: &Lesson,
        spared: [Rect; 2],
        actions: &mut Vec<Action>,
        turn: &mut Turn,
    ) -> bool {
        let (id, mut open) = (Id::unique("tour"), true);
        // A window that is dragged by its title alone cannot be put anywhere.
        let drag = WindowDrag::Anywhere;
        let room = ctx.content_rect().shrink(AROUND);
        let width = width_beside(room, spared[0]);
        // No wider than the text: a title in large letters would hold the window open over what it points at, and so would the
        // width that it had before.
        let mut window = Window::new(RichText::new(&self.tour.title).text_style(TextStyle::Body))
            .id(id)
            .collapsible(false)
            .resizable(false)
            .max_width(width)
            .drag_area(drag);
        if let Some(at) = self.place(ctx, id, spared) {
            window = window.current_pos(at);
        }
        window.open(&mut open).show(ctx, |ui| {
            ui.set_width(width);
            ui.label(RichText::new(&lesson.title).heading());
            ui.add_space(2.0);
            // What stands above the text was drawn by now; what comes below it is as high as in the frame before.
            let above = ui.cursor().top() - ui.min_rect().top() + TITLE;
            let most = 0.6 * room.height();
            let room = (room.height() - above - self.below).clamp(LEAST_TEXT.min(most), most);
            scroll::up_to(ui, room, |ui| {
                for paragraph in lesson.text.split("\n\n") {
                    ui.add(egui::Label::new(paragraph.replace('\n', " ")).wrap());
                    ui.add_space(4.0);
                }
            });
            let text_end = ui.cursor().top();
            actions.extend(self.scene(ui, lab, lesson));
            ui.separator();
            self.turn(ui, turn);
            self.below = ui.cursor().top() - text_end;
        });
        open
    }

    /// Where the window goes when the lesson or the panel has changed; else it stays where a hand put it. Its size is that of
    /// the frame before, so that the first frames of a lesson put it anew.
    fn place(&mut self, ctx: &Context, id: Id, spared: [Rect; 2]) -> Option<egui::Pos2> {
        const FRAMES: usize = 3;
        let now = (self.at, spared[0]);
        let (put, frames) = self.placed.unwrap_or((now, 0));
        let frames = if put == now { frames } else { 0 };
        if frames == FRAMES {
            return None;
        }
        self.placed = Some((now, frames + 1));
        ctx.request_repaint();
        let area = ctx.memory(|memory| memory.area_rect(id));
        let size = area.map_or(vec2(WIDTH, 280.0), |rect| rect.size());
        Some(beside(ctx.content_rect().shrink(AROUND), spared, size))
    }

    /// What is to be done, and what should be seen; or why it is not there yet.
    fn scene(&mut self, ui: &mut Ui, lab: &Lab, lesson: &Lesson) -> Vec<Action> {
        let Some(at) = self.run_in(lab) else {
            ui.weak("The run of this tour is being opened.");
            return Vec::new();
        };
        let run = &lab.runs[at];
        if !self.entered {
            return waits(ui, run, lesson.look.step.as_ref());
        }
        if at != lab.current {
            let back = ui.button("Back to the run of this tour").clicked();
            self.entered &= !back;
            return Vec::new();
        }
        let mut actions = Vec::new();
        if !lesson.deeds.is_empty() {
            let text = if lesson.button.is_empty() { "Do it" } else { &lesson.button };
            if ui.button(RichText::new(text).strong()).clicked() {
                actions.extend(lesson.deeds.iter().flat_map(|deed| done(deed, lab)));
            }
            ui.add_space(2.0);
        }
        claims(ui, lab, run, &lesson.expect);
        actions
    }

    /// Back, on, and out.
    fn turn(&self, ui: &mut Ui, turn: &mut Turn) {
        ui.horizontal(|ui| {
            if ui.add_enabled(self.at > 0, egui::Button::new("Back")).clicked() {
                *turn = Turn::To(self.at - 1);
            }
            let last = self.at + 1 == self.tour.lessons.len();
            if ui.button(if last { "Done" } else { "Next" }).clicked() {
                *turn = if last { Turn::End } else { Turn::To(self.at + 1) };
            }
            if !last && ui.button("Skip the tour").clicked() {
                *turn = Turn::End;
            }
            ui.weak(format!("{} of {}", self.at + 1, self.tour.lessons.len()));
        });
    }
}

/// The step of a run that is meant; `None` where it has not come yet.
fn step_of(run: &Run, when: &When) -> Option<u64> {
    let recorded = !run.recording.recorded.is_empty();
    when.step(&run.recording).filter(|_| recorded)
}

fn view(run: &Run, when: &When) -> Action {
    Action::View(step_of(run, when).filter(|_| *when != When::Live))
}

/// What lessons have brought into force, one after the other.
fn in_force_after(lessons: &[Lesson]) -> Vec<Intervention> {
    let mut all: Vec<Intervention> = Vec::new();
    for deed in lessons.iter().flat_map(|lesson| &lesson.deeds) {
        deed.change(&mut all);
    }
    all
}

fn looked_at(look: &Look, lab: &Lab) -> Vec<Action> {
    let pick = |pick, shift| Action::Pick { pick, shift };
    let sequence = look.sequence.map(|number| Action::Sequence(number as u64));
    let head = look.head.map(|(layer, head)| pick(Pick::Head { layer, head }, false));
    let query = look.query.map(|at| pick(Pick::Query(at), false));
    let key = look.key.map(|at| pick(Pick::Key(at), false));
    [sequence, head, query, key, show(&look.panel, lab)].into_iter().flatten().collect()
}

fn show(panel: &str, lab: &Lab) -> Option<Action> {
    let name = lab.panels.names().find(|name| *name == panel)?;
    Some(Action::Do(Command::Show(name)))
}

/// What a hand would do.
fn done(deed: &Deed, lab: &Lab) -> Option<Action> {
    let pick = |pick| Some(Action::Pick { pick, shift: false });
    match deed {
        Deed::Start(name) => {
            let (name, _) = BUILTIN.iter().find(|(known, _)| known == name)?;
            Some(Action::Do(Command::Start(name)))
        }
        Deed::View(when) => lab.run().map(|run| view(run, when)),
        Deed::Sequence(number) => Some(Action::Sequence(*number as u64)),
        Deed::Text(text) => Some(Action::Text(text.clone())),
        Deed::Query(at) => pick(Pick::Query(*at)),
        Deed::Key(at) => pick(Pick::Key(*at)),
        Deed::Head(layer, head) => pick(Pick::Head { layer: *layer, head: *head }),
        Deed::Show(panel) => show(panel, lab),
        Deed::Flip => Some(Action::EditTuple(TupleEdit::Instruction)),
        Deed::Intervene(what) => Some(Action::Intervene(what.clone())),
        Deed::Lift(what) => Some(Action::Lift(what.clone())),
        Deed::LiftAll => Some(Action::Do(Command::LiftAll)),
        Deed::Run => Some(Action::Go(true)),
        Deed::Pause => Some(Action::Go(false)),
    }
}

/// What the lesson waits for, and a button where training is held.
fn waits(ui: &mut Ui, run: &Run, when: Option<&When>) -> Vec<Action> {
    let what = match when {
        Some(When::Mark(id)) => format!("the mark “{}”", id.replace('_', " ")),
        Some(When::Step(step)) => format!("step {step}"),
        Some(When::Live) | None => "its first answer".to_owned(),
    };
    let now = run.recording.last_step;
    let state = run.training.as_ref().filter(|t| !t.gone).map(|t| t.state);
    match state {
        Some(State::Running) => {
            ui.horizontal_wrapped(|ui| {
                ui.spinner();
                ui.label(format!(
                    "This waits for {what}. Training is at step {now} and will be there in a moment."
                ));
            });
        }
        Some(State::Paused) => {
            ui.label(format!("This waits for {what}. Training is held at step {now}."));
            if ui.button("Let training go on").clicked() {
                return vec![Action::Go(true)];
            }
        }
        Some(State::Finished | State::Failed) | None => {
            ui.colored_label(
                ui.visuals().warn_fg_color,
                format!("This run ends at step {now} and has not come to {what}: begin it anew with Restart."),
            );
        }
    }
    Vec::new()
}

/// What should be seen, and what is seen.
fn claims(ui: &mut Ui, lab: &Lab, run: &Run, claims: &[Expectation]) {
    let in_force = lab.in_force();
    let mut changes = in_force.iter().filter(|what| what.changes_forward());
    let readings = lab.readings.as_deref().filter(|readings| {
        Arc::ptr_eq(&readings.prompt, &lab.prompt)
            && (lab.step.is_none() || lab.step == Some(readings.step))
            && readings.interventions.iter().eq(changes.clone())
    });
    let scene = Scene {
        recording: &run.recording,
        vocab: &run.info.vocab,
        row: &lab.prompt,
        step: lab.step_in_view(),
        changed: changes.next().is_some(),
        readings,
    };
    // One below the other, as lines of one text.
    ui.spacing_mut().interact_size.y = 14.0;
    for claim in claims {
        let seen = claim.observed(&scene);
        ui.horizontal(|ui| {
            let holds = seen.as_ref().is_some_and(|seen| seen.holds);
            dot(ui, holds);
            let text = RichText::new(in_words(claim, seen.as_ref(), run));
            ui.add(egui::Label::new(if holds { text } else { text.weak() }).wrap());
        });
    }
}

/// Full where a claim holds.
fn dot(ui: &mut Ui, holds: bool) {
    let (rect, response) = ui.allocate_exact_size(vec2(12.0, 14.0), egui::Sense::hover());
    let accent = ui.visuals().selection.stroke.color;
    if holds {
        ui.painter().circle_filled(rect.center(), 4.0, accent);
    } else {
        ui.painter().circle_stroke(rect.center(), 3.5, Stroke::new(1.0, accent));
    }
    response.on_hover_text(if holds { "It is so." } else { "It is not so now." });
}

fn in_words(claim: &Expectation, seen: Option<&Observed>, run: &Run) -> String {
    let glyph = |is: &str| {
        let ids = run.info.vocab.encode(is).unwrap_or_default();
        ids.first().map_or_else(|| is.to_owned(), |id| run.info.vocab.glyph(*id))
    };
    match claim {
        Expectation::Token { at, is } => {
            let seen = seen.filter(|seen| !seen.holds).map(|seen| format!(", seen: {}", seen.seen));
            format!("At position {at} stands {}{}", glyph(is), seen.unwrap_or_default())
        }
        Expectation::Predicts { at, is } => {
            let what = format!("After position {at} it predicts {}", glyph(is));
            match seen {
                None => format!("{what}: …"),
                Some(seen) if seen.holds => what,
                Some(seen) => format!("{what}, seen: {}", seen.seen),
            }
        }
        Expectation::Number { of, than, value } => {
            let than = match than {
                Than::Less => "below",
                Than::More => "above",
            };
            match seen {
                None => format!("{} should be {than} {value}", of_what(of)),
                Some(seen) if seen.holds => {
                    format!("{} is {than} {value}: {}", of_what(of), seen.seen)
                }
                Some(seen) => {
                    format!("{} should be {than} {value}; now {}", of_what(of), seen.seen)
                }
            }
        }
    }
}

fn of_what(of: &Quantity) -> String {
    match of {
        Quantity::Metric { column, at } => {
            let at = at.as_ref().map(|at| format!(" at {at}")).unwrap_or_default();
            format!("{}{at}", crate::app::lab::capital(&columns::label(column)))
        }
        Quantity::Attention { layer, head, query, key } => {
            format!("Attention of L{layer} H{head} from position {query} to {key}")
        }
        Quantity::Probability(at) => {
            format!("Probability of the right token after position {at}")
        }
        Quantity::Gate { tuple, what } => match what {
            Gate::Open => format!("How far the door of tuple {tuple} stands open"),
            Gate::Keys => format!("How much its keys do at tuple {tuple}"),
            Gate::Query => format!("How much the query of tuple {tuple} does"),
            Gate::Attends(to) => format!("Attention from tuple {tuple} to tuple {to}"),
        },
    }
}

/// A frame around the panel that is pointed at, over the panels and below every window.
fn outline(ctx: &Context, rect: Rect) {
    let color = ctx.global_style().visuals.selection.stroke.color;
    let painter = ctx.layer_painter(LayerId::background());
    let halo =
        Stroke::new(6.0, Color32::from_rgba_unmultiplied(color.r(), color.g(), color.b(), 60));
    painter.rect_stroke(rect.shrink(2.0), 4.0, halo, egui::StrokeKind::Middle);
    painter.rect_stroke(rect.shrink(2.0), 4.0, Stroke::new(2.0, color), egui::StrokeKind::Middle);
}

/// The width of the text: as much as stands beside `target`, where that is enough to read.
fn width_beside(room: Rect, target: Rect) -> f32 {
    let beside = match target.is_positive() {
        true => (target.left() - room.left()).max(room.right() - target.right()),
        false => room.width(),
    };
    (beside - APART - FRAME).clamp(LEAST_WIDTH, WIDTH)
}

/// Where in `room` a window of a size covers least of `target`, and then of `other`; of several such places the nearest to
/// the target.
fn beside(room: Rect, [target, other]: [Rect; 2], size: Vec2) -> egui::Pos2 {
    let free = (room.size() - size).max(Vec2::ZERO);
    if !target.is_positive() {
        return room.min + vec2(0.5 * free.x, free.y);
    }
    const PARTS: [f32; 5] = [0.0, 0.25, 0.5, 0.75, 1.0];
    let aligned = (target.min - room.min).clamp(Vec2::ZERO, free);
    let besides = [
        vec2(target.right() + APART - room.left(), aligned.y),
        vec2(target.left() - APART - size.x - room.left(), aligned.y),
        vec2(aligned.x, target.bottom() + APART - room.top()),
        vec2(aligned.x, target.top() - 32.0 - size.y - room.top()),
    ];
    let grid = PARTS.iter().flat_map(|x| PARTS.iter().map(|y| free * vec2(*x, *y)));
    let places = besides.into_iter().map(|at| at.clamp(Vec2::ZERO, free)).chain(grid);
    let cost = |at: &Vec2| {
        let rect = Rect::from_min_size(room.min + *at, size);
        let covered = |by: Rect| {
            let both = rect.intersect(by);
            if both.is_positive() { both.area() } else { 0.0 }
        };
        10.0 * covered(target) + covered(other) + rect.center().distance(target.center())
    };
    let best = places.min_by(|a, b| cost(a).total_cmp(&cost(b)));
    room.min + best.unwrap_or_default()
}
