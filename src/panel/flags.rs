//! What emerged, in plain words: what its flag says under the pointer.

use crate::base::event::{DIVERGED, Mark, MarkKind};

/// A mark by its id, and what it means.
const MEANINGS: &[(&str, &str)] = &[
    (
        "global_statistics_learned",
        "The network knows which tokens are frequent and which follow each other in general; nothing yet of the text before it.",
    ),
    (
        "output_memory",
        "What a head copies is turned into the right next token: the output matrix stores it for at least half of all tokens.",
    ),
    (
        "previous_token_head",
        "A head of the first layer looks at the token just before, so that each position knows what came before it. The first half of an induction head.",
    ),
    (
        "induction_head",
        "A head looks for an earlier copy of the token, at what followed it there, and predicts that again: memory of the text in view.",
    ),
    (
        "four_gram_learned",
        "What stands at a fixed distance is predicted: the head that minds the distance has found it.",
    ),
    ("plateau_left", "The head that minds similarity begins to do better than a uniform mean."),
    (
        "in_context_learned",
        "What followed similar numbers in this sequence is predicted, all but a hundredth of it.",
    ),
    (
        "output_gate",
        "What is read depends on the question: with the query (what a position asks with) of another register, that register is read.",
    ),
    (
        "input_gate",
        "What is stored depends on the instruction: with the keys (by which a position is found) of the other instruction, it is stored or kept out.",
    ),
    (
        "memory_carries",
        "What is read in one segment answers in a later one: it passes through the memory, and without it the answers are wrong.",
    ),
    (
        "machine_learned",
        "After every symbol of a sequence the state of the machine is told rightly, on sequences as long as those of training.",
    ),
    (
        "extrapolates",
        "It goes on: on sequences four times as long as those of training, the answers near the end are still right.",
    ),
    ("solved", "In ninety-nine of a hundred held-out sequences every answer is right."),
    (
        DIVERGED,
        "A number was no longer finite, and training stopped; the last good step is recorded.",
    ),
];

/// Courses of training in phases: of each phase the mark that ends it and its name; the last ends with the run.
const PHASES: &[&[(&str, &str)]] = &[&[
    ("four_gram_learned", "I partial learning"),
    ("plateau_left", "II plateau"),
    ("in_context_learned", "III emergence"),
    ("", "IV convergence"),
]];

/// A stretch of steps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Phase {
    pub from: u64,
    pub to: u64,
    pub name: &'static str,
}

/// The phases of a run that has come to step `last`, in order: those whose ends its marks say and the one that it is in; none of a
/// run without such marks. The first begins with the last change of training before it ends.
pub fn phases(marks: &[Mark], last: u64) -> Vec<Phase> {
    PHASES
        .iter()
        .map(|course| course_of(course, marks, last))
        .find(|all| !all.is_empty())
        .unwrap_or_default()
}

fn course_of(course: &[(&str, &'static str)], marks: &[Mark], last: u64) -> Vec<Phase> {
    let step = |id: &str| marks.iter().find(|mark| mark.id == id).map(|mark| mark.step);
    let Some(first) = course.first().and_then(|(id, _)| step(id)) else { return Vec::new() };
    let is_change = |mark: &&Mark| mark.kind == MarkKind::Intervention && mark.step < first;
    let begin = marks.iter().filter(is_change).map(|mark| mark.step).max().unwrap_or(0);
    let mut phases: Vec<Phase> = Vec::new();
    for (id, name) in course {
        let from = phases.last().map_or(begin, |phase| phase.to);
        let to = step(id).unwrap_or(last).max(from);
        phases.push(Phase { from, to, name });
        if step(id).is_none() {
            break;
        }
    }
    phases
}

/// What a mark means; empty where its text says it.
pub fn describe(mark: &Mark) -> &'static str {
    let known = MEANINGS.iter().find(|(id, _)| *id == mark.id).map(|(_, means)| *means);
    known.unwrap_or(match mark.kind {
        MarkKind::Emergence | MarkKind::Note => "",
        MarkKind::Intervention => {
            "A change by hand or by the experiment. What is in force stands in the panel Surgery."
        }
    })
}
