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
