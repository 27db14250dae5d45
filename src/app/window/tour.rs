//! A guided tour for newcomers: from what a register is to the memory that fails when its gate is cut.

use egui::{Align2, Context, Id, RichText, Ui, Window};

use crate::base::intervention::{Intervention, Point, Site};
use crate::panel;
use crate::task::reference_back::TupleText;

use crate::app::commands::{Action, Command};
use crate::app::lab::Lab;
use crate::app::lab::panels::Form;

/// The experiment of the tour.
const EXPERIMENT: &str = "gating";

/// The share of held-out sequences in which every answer is right.
const SOLVED: &str = "accuracy_sequence";

/// Which step is shown, if any.
#[derive(Default)]
pub struct Tour {
    at: Option<usize>,
}

struct Step {
    title: &'static str,
    text: &'static [&'static str],
    /// What the button says and does; it is there where it can be done.
    button: &'static str,
    scene: fn(&Lab) -> Vec<Action>,
    needs_run: bool,
}

const STEPS: [Step; 5] = [
    Step {
        title: "What is a register?",
        text: &[
            "A register is a place that holds one symbol until another one is stored there. This network reads tuples like “Store Reg0 Sym3”: Store puts the symbol into the register, Ignore leaves the register as it is. After each tuple it has to say whether the register held that very symbol before.",
            "Nobody gave it registers. It has two layers of attention and must make a working memory out of them.",
        ],
        button: "Start the experiment",
        scene: |_| {
            vec![
                Action::Do(Command::Start(EXPERIMENT)),
                show(panel::gating::KIND.name),
                show(panel::tokens::KIND.name),
            ]
        },
        needs_run: false,
    },
    Step {
        title: "A memory forms",
        text: &[
            "Training takes a minute or two. Single answers get right early, by shortcuts such as “has this symbol been seen with this register?”. A whole sequence is right only when the memory works.",
            "The curves of the gates are measured by intervention: what happens to the answers when keys or queries are taken from a sequence with another instruction, or another register. 1 is the whole effect, 0 none.",
        ],
        button: "Show the curves",
        scene: |_| vec![show(panel::curves::KIND.name)],
        needs_run: true,
    },
    Step {
        title: "The input gate: what gets in",
        text: &[
            "Each lane is a register, each glyph a tuple. A filled glyph stores, a hollow one ignores. The gate at it is drawn as open or shut by its measured effect.",
            "In a transformer the key of a tuple says under which address it can be found. If keys gate what is stored, an ignored tuple has a key that no later question finds. Click a tuple, flip its instruction, and see what is remembered.",
        ],
        button: "Show the gates",
        scene: |_| vec![Action::Do(Command::LiftAll), show(panel::gating::KIND.name)],
        needs_run: true,
    },
    Step {
        title: "The output gate: what is read",
        text: &[
            "When a tuple asks, its query goes out to an address. The line from the last tuple shows whom it attends to, and beside it stands what that does: attention is a hypothesis, the effect is the evidence.",
            "The small matrix says which register's question opens which register's address. A memory that can be addressed by role is dark on the diagonal alone.",
        ],
        button: "Ask with the last tuple",
        scene: |lab| {
            last_asked(lab)
                .map(|at| Action::Pick { pick: crate::figure::Pick::Query(at), shift: false })
                .into_iter()
                .chain([show(panel::gating::KIND.name)])
                .collect()
        },
        needs_run: true,
    },
    Step {
        title: "Cut the gate and see memory fail",
        text: &[
            "Now set all keys of the last layer to zero: no tuple has an address any more, and every question finds all of them alike. Training is held and its weights stay as they are; only what you look at changes.",
            "The panel Surgery says how accuracy falls. Take it back with “Lift all”, and the memory is there again: it was never in the weights that you cut, but in what they let pass.",
        ],
        button: "Cut the keys",
        scene: cut,
        needs_run: true,
    },
];

fn show(kind: &'static str) -> Action {
    Action::Do(Command::Show(kind))
}

/// The newest recorded step is looked at, so that training is not touched.
fn cut(lab: &Lab) -> Vec<Action> {
    let Some(run) = lab.run() else { return Vec::new() };
    let Some(layer) = run.info.net.heads.len().checked_sub(1) else { return Vec::new() };
    let keys = Intervention::zero(Site { layer, point: Point::K }, None, None);
    let newest = run.recording.recorded.last().copied();
    let mut actions = vec![show(panel::gating::KIND.name), show(Form::Surgery.name())];
    if let Some(step) = newest {
        actions.push(Action::Go(false));
        actions.push(Action::View(Some(step)));
        actions.push(Action::Intervene(keys));
    }
    actions
}

/// The last position at which something is asked.
fn last_asked(lab: &Lab) -> Option<usize> {
    let targets = &lab.prompt.targets;
    targets.iter().rposition(|target| *target != crate::base::batch::NO_TARGET)
}

impl Tour {
    pub fn begin(&mut self) {
        self.at = Some(0);
    }

    /// Draws the step that is shown, over the panels.
    pub fn ui(&mut self, ctx: &Context, lab: &Lab) -> Vec<Action> {
        let Some(at) = self.at else { return Vec::new() };
        let Some(step) = STEPS.get(at) else { return Vec::new() };
        let (mut open, mut actions) = (true, Vec::new());
        Window::new(format!("Guided tour, {} of {}", at + 1, STEPS.len()))
            .id(Id::unique("tour"))
            // In the middle it covers neither the gates nor surgery; it can be moved.
            .pivot(Align2::CENTER_BOTTOM)
            .default_pos(ctx.content_rect().center_bottom() - egui::vec2(0.0, 16.0))
            .collapsible(false)
            .resizable(false)
            .open(&mut open)
            .show(ctx, |ui| {
                ui.set_width(360.0);
                ui.label(RichText::new(step.title).heading());
                ui.add_space(2.0);
                for paragraph in step.text {
                    ui.add(egui::Label::new(*paragraph).wrap());
                    ui.add_space(4.0);
                }
                actions.extend(scene(ui, lab, step));
                ui.separator();
                self.turn(ui, at);
            });
        if !open {
            self.at = None;
        }
        actions
    }

    /// Back, on, and out.
    fn turn(&mut self, ui: &mut Ui, at: usize) {
        ui.horizontal(|ui| {
            if ui.add_enabled(at > 0, egui::Button::new("Back")).clicked() {
                self.at = Some(at - 1);
            }
            let last = at + 1 == STEPS.len();
            if ui.button(if last { "Done" } else { "Next" }).clicked() {
                self.at = (!last).then_some(at + 1);
            }
            if !last && ui.button("Skip the tour").clicked() {
                self.at = None;
            }
        });
    }
}

/// The button of a step, or why it is not there yet, and how well the network does.
fn scene(ui: &mut Ui, lab: &Lab, step: &Step) -> Vec<Action> {
    let of_task = lab.run().filter(|run| run.info.source.facet::<TupleText>().is_some());
    let Some(run) = of_task.or_else(|| lab.run().filter(|_| !step.needs_run)) else {
        ui.weak(
            "This step needs a run with registers in view: go back to the first step and start it.",
        );
        return Vec::new();
    };
    let clicked = ui.button(RichText::new(step.button).strong()).clicked();
    if let Some([at, share]) = run.recording.series(SOLVED).iter().rfind(|p| p[1].is_finite()) {
        ui.weak(format!("Whole sequences right at step {at}: {:.0} %", 100.0 * share));
    }
    if clicked { (step.scene)(lab) } else { Vec::new() }
}
