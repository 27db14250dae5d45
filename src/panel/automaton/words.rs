//! Machines in words: what states are called, where they are met, and the arrows between them.

use std::collections::BTreeMap;

use super::answer::Machine;

/// The positions, for a person.
pub fn in_words(positions: impl Iterator<Item = usize>) -> String {
    let list: Vec<String> = positions.map(|at| at.to_string()).collect();
    match list.len() {
        0 => "\nnowhere in the sequence in view".to_owned(),
        _ => format!("\nin the sequence in view at {}", list.join(", ")),
    }
}

/// A share, as a person reads it; all is said only of all.
pub fn percent(share: f32) -> String {
    match 100.0 * share {
        all if all >= 100.0 => "100 %".to_owned(),
        share => format!("{:.1} %", (share * 10.0).floor() / 10.0),
    }
}

/// Both ends and the actions of each arrow of a machine.
pub fn grouped(next: &[Vec<Option<usize>>]) -> BTreeMap<[usize; 2], Vec<usize>> {
    let mut arrows: BTreeMap<[usize; 2], Vec<usize>> = BTreeMap::new();
    for (state, row) in next.iter().enumerate() {
        for (action, to) in row.iter().enumerate() {
            if let Some(to) = to {
                arrows.entry([state, *to]).or_default().push(action);
            }
        }
    }
    arrows
}

/// The labels of a machine, each once.
pub fn labels(all: &[Option<u32>]) -> Vec<u32> {
    let mut labels: Vec<u32> = all.iter().flatten().copied().collect();
    labels.sort_unstable();
    labels.dedup();
    labels
}

/// What a state of a machine is called: what it tells, and a number where several tell it.
pub fn named(machine: &Machine, state: usize, glyph: impl Fn(Option<u32>) -> String) -> String {
    let label = machine.label[state];
    let alike = |states: &[Option<u32>]| states.iter().filter(|other| **other == label).count();
    let name = glyph(label);
    match alike(&machine.label) {
        1 => format!("“{name}”"),
        _ => format!("“{name}” ({})", alike(&machine.label[..=state])),
    }
}
