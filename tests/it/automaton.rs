//! The task of machines: states beside vectors and beside definitions without a state, the samplers, and the laws of each setting.

use std::collections::BTreeSet;
use std::sync::Arc;

use mnemoscope::base::batch::{NO_TARGET, Row};
use mnemoscope::base::error::Kind as ErrorKind;
use mnemoscope::task::automaton::{Automaton, Kind, Machine, Told};
use mnemoscope::task::{Source, Task, held_out_seed};

fn base() -> Automaton {
    Automaton::default()
}

fn of(machine: Kind, size: usize) -> Automaton {
    Automaton { machine, size, ..base() }
}

fn open(settings: &Automaton) -> Arc<dyn Source> {
    settings.open().unwrap_or_else(|e| panic!("{settings:?}: {e}"))
}

fn machine(source: &dyn Source) -> &Machine {
    source.facet::<Machine>().unwrap()
}

fn numbers(text: &str) -> Vec<u32> {
    text.split_whitespace().map(|number| number.parse().unwrap()).collect()
}

/// What is told at each symbol, as numbers of labels.
fn told(settings: &Automaton, symbols: &[u32]) -> Vec<u32> {
    let source = open(settings);
    let row = source.label(symbols, &Row::default());
    let first = machine(&*source).actions.len() as u32;
    row.targets.iter().map(|target| target - first).collect()
}

/// The names of the states after each symbol.
fn states(source: &dyn Source, symbols: &[u32]) -> Vec<String> {
    let row = source.label(symbols, &Row::default());
    let states = source.labels("state", &row);
    let name = |state: Option<Vec<usize>>| machine(source).states[state.unwrap()[0]].clone();
    states.into_iter().map(name).collect()
}

/// The symbols of a sequence, by number.
fn symbols(settings: &Automaton, source: &dyn Source, seed: u64, index: u64) -> Vec<usize> {
    let row = source.sequence(seed, index);
    let each = if settings.scratchpad { 2 } else { 1 };
    row.tokens.iter().step_by(each).map(|token| *token as usize).collect()
}

/// Every machine, in more than one size, with everything that can be told of it, and other changes.
fn variants() -> Vec<Automaton> {
    let mut variants: Vec<Automaton> = Kind::ALL.iter().map(|kind| of(*kind, 0)).collect();
    for (kind, size) in [
        (Kind::Cyclic, 2),
        (Kind::Gridworld, 4),
        (Kind::FlipFlop, 5),
        (Kind::Dihedral, 3),
        (Kind::Symmetric, 3),
        (Kind::Alternating, 4),
        (Kind::Adder, 3),
        (Kind::Dyck, 1),
    ] {
        variants.push(Automaton { scratchpad: true, length: 11, ..of(kind, size) });
    }
    for (kind, label) in [
        (Kind::Gridworld, Told::Parity),
        (Kind::Gridworld, Told::Boundary),
        (Kind::Symmetric, Told::FirstChair),
        (Kind::Alternating, Told::FirstChair),
        (Kind::Dihedral, Told::Toggle),
        (Kind::Dihedral, Told::Position),
        (Kind::Adder, Told::Digit),
        (Kind::Adder, Told::Carry),
    ] {
        variants.push(Automaton { label, ..of(kind, 0) });
        variants.push(Automaton { label, scratchpad: true, ..of(kind, 3) });
    }
    variants.push(Automaton { ones: 0.9, ..base() });
    variants.push(Automaton { actions: 3, ..of(Kind::Cyclic, 3) });
    variants.push(Automaton { actions: 6, ..of(Kind::Symmetric, 3) });
    variants.push(Automaton { depth: 1, ..of(Kind::Dyck, 4) });
    variants
}

// ── machines ─────────────────────────────────────────────────────────────────────────────────────────

#[test]
fn states_are_those_of_the_vectors() {
    let walk = "0 1 1 1 1 0 1 0 0 0 0 1";
    let turns = "1 1 0 1 1 1 0 1";
    let sums = "3 1 2 3 0";
    let label = |label, settings: Automaton| Automaton { label, ..settings };
    for (settings, symbols, expected) in [
        (base(), "1 0 1 1 0 1 1 1", "1 1 0 1 1 0 1 0"),
        (of(Kind::Cyclic, 5), "0 1 1 0 1 1 1 0 1", "0 1 2 2 3 4 0 0 1"),
        (Automaton { actions: 3, ..of(Kind::Cyclic, 3) }, "2 1 2 0 2 1", "2 0 2 2 1 2"),
        (of(Kind::Gridworld, 4), walk, "0 1 2 3 3 2 3 2 1 0 0 1"),
        (of(Kind::Gridworld, 9), walk, "0 1 2 3 4 3 4 3 2 1 0 1"),
        (of(Kind::FlipFlop, 2), "0 2 0 0 1 0 2 2 0", "0 2 2 2 1 1 2 2 2"),
        (of(Kind::Dihedral, 4), turns, "1 2 6 5 4 7 3 0"),
        (label(Told::Toggle, of(Kind::Dihedral, 4)), turns, "0 0 1 1 1 1 0 0"),
        (label(Told::Position, of(Kind::Dihedral, 4)), turns, "1 2 2 1 0 3 3 0"),
        (of(Kind::Symmetric, 3), "1 2 1 0 2 1 1", "3 5 2 2 0 3 4"),
        (of(Kind::Symmetric, 5), "1 2 1 0 2 1 1", "33 57 40 40 82 42 99"),
        (label(Told::FirstChair, of(Kind::Symmetric, 5)), "1 2 1 0 2 1 1", "1 2 1 1 3 1 4"),
        (of(Kind::Quaternion, 0), "1 1 2 3 1 2", "1 4 6 5 0 2"),
        (of(Kind::Abab, 0), "0 1 0 1 0 1 1 0", "0 1 2 3 0 1 4 4"),
        (of(Kind::Adder, 2), sums, "2 2 2 3 1"),
        (label(Told::Digit, of(Kind::Adder, 2)), sums, "0 0 0 1 1"),
        (label(Told::Carry, of(Kind::Adder, 2)), sums, "1 1 1 1 0"),
        (label(Told::Parity, of(Kind::Gridworld, 4)), walk, "0 1 0 1 1 0 1 0 1 0 0 1"),
        (label(Told::Boundary, of(Kind::Gridworld, 4)), walk, "1 0 0 1 1 0 1 0 0 1 1 0"),
    ] {
        assert_eq!(told(&settings, &numbers(symbols)), numbers(expected), "{settings:?}");
    }
}

#[test]
fn permutations_and_quaternions_have_their_names() {
    for (size, names) in
        [(3, "120 210 102 102 012 120 201"), (5, "12340 21340 13402 13402 31402 14023 40231")]
    {
        let source = open(&of(Kind::Symmetric, size));
        let found = states(&*source, &numbers("1 2 1 0 2 1 1"));
        assert_eq!(found, names.split(' ').collect::<Vec<_>>());
    }
    let quaternion = open(&of(Kind::Quaternion, 0));
    let rows = ["0123", "1436", "2741", "3254", "4567", "5072", "6305", "7610"];
    let found = &machine(&*quaternion).next;
    let found: Vec<String> =
        found.iter().map(|row| row.iter().map(usize::to_string).collect()).collect();
    assert_eq!(found, rows);
    assert_eq!(states(&*quaternion, &numbers("1 1 2 3 1 2")), ["i", "-1", "-j", "-i", "1", "j"]);
}

#[test]
fn brackets_open_close_and_die() {
    let source = open(&of(Kind::Dyck, 2));
    assert_eq!(machine(&*source).states.len(), 16);
    for (text, expected) in [
        ("([])[([", "( ([ ( empty [ [( [(["),
        ("([)]", "( ([ dead dead"),
        ("(([[", "( (( (([ dead"),
        (")(", "dead dead"),
    ] {
        let symbols = source.vocab().encode(text).unwrap();
        let expected: Vec<&str> = expected.split(' ').collect();
        assert_eq!(states(&*source, &symbols), expected, "{text}");
    }
}

#[test]
fn alternating_machines_stay_within_even_permutations_and_reach_all() {
    for (size, count) in [(3, 3), (4, 12), (5, 60)] {
        let source = open(&of(Kind::Alternating, size));
        let machine = machine(&*source);
        assert_eq!((machine.states.len(), machine.actions.len()), (count, size - 1));
        let sorted: BTreeSet<&String> = machine.states.iter().collect();
        assert!(sorted.into_iter().eq(&machine.states), "in lexicographic order");
        // The cycle of 0, 1 and x puts 1 first, what was at x second, and 0 at x.
        let name: Vec<char> = machine.actions[size - 2].chars().collect();
        assert_eq!(
            (name[0], name[1].to_digit(10), name[size - 1]),
            ('1', Some(size as u32 - 1), '0')
        );
        let mut reached = BTreeSet::from([machine.start]);
        for _ in 0..count {
            let next: Vec<usize> =
                reached.iter().flat_map(|state| machine.next[*state].clone()).collect();
            reached.extend(next);
        }
        assert_eq!(reached.len(), count);
    }
}

#[test]
fn further_symbols_of_a_symmetric_machine_are_the_other_permutations_in_order() {
    let source = open(&Automaton { actions: 6, ..of(Kind::Symmetric, 3) });
    assert_eq!(machine(&*source).actions, ["012", "120", "102", "021", "201", "210"]);
    let all = open(&Automaton { actions: 24, ..of(Kind::Symmetric, 4) });
    let distinct: BTreeSet<&String> = machine(&*all).actions.iter().collect();
    assert_eq!(distinct.len(), 24);
}

#[test]
fn every_machine_is_whole_and_its_tokens_are_told_apart() {
    for settings in variants() {
        let source = open(&settings);
        let machine = machine(&*source);
        let (states, actions) = (machine.states.len(), machine.actions.len());
        assert_eq!((machine.next.len(), machine.told.len()), (states, states), "{settings:?}");
        assert!(machine.start < states && states <= 256 && actions <= 64);
        assert!(machine.next.iter().all(|row| row.len() == actions));
        assert!(machine.next.iter().flatten().all(|state| *state < states));
        let labels: BTreeSet<usize> = machine.told.iter().copied().collect();
        assert!(labels.into_iter().eq(0..machine.labels.len()), "{settings:?}");
        let names: BTreeSet<&String> = machine.states.iter().collect();
        assert_eq!(names.len(), states, "{settings:?}");
        let vocab = source.vocab();
        assert_eq!(vocab.len(), actions + machine.labels.len());
        assert_eq!(source.possible_answers(), machine.labels.len());
        let all: Vec<u32> = (0..vocab.len() as u32).collect();
        assert_eq!(vocab.encode(&vocab.spell(&all)).unwrap(), all, "{settings:?}");
    }
}

// ── sequences ────────────────────────────────────────────────────────────────────────────────────────

#[test]
fn labelling_gives_every_sequence_and_every_pair_back() {
    for settings in variants() {
        let source = open(&settings);
        for index in 0..20 {
            for seed in [1, held_out_seed(1)] {
                let row = source.sequence(seed, index);
                assert_eq!(row.len(), source.length());
                assert_eq!(source.label(&row.tokens, &row), row, "{settings:?}");
            }
        }
        let pair = source.pair("flip", 0, 0);
        for row in pair.iter().flat_map(|pair| [&pair.base, &pair.other]) {
            assert_eq!(source.label(&row.tokens, row), *row, "{settings:?}");
        }
    }
}

/// The state after some symbols, by a definition that keeps none.
fn defined(settings: &Automaton, machine: &Machine, before: &[usize]) -> Option<usize> {
    match settings.machine {
        Kind::Parity => Some(before.iter().filter(|x| **x == 1).count() % 2),
        Kind::Cyclic => Some(before.iter().sum::<usize>() % machine.states.len()),
        Kind::FlipFlop => Some(before.iter().rev().copied().find(|x| *x > 0).unwrap_or(0)),
        Kind::Abab => before.iter().enumerate().any(|(i, x)| *x != i % 2).then_some(4),
        Kind::Gridworld
        | Kind::Dihedral
        | Kind::Quaternion
        | Kind::Symmetric
        | Kind::Alternating
        | Kind::Adder
        | Kind::Dyck
        | Kind::Table => None,
    }
}

#[test]
fn states_follow_from_the_symbols_so_far() {
    let mut checked = 0;
    for settings in variants() {
        let source = open(&settings);
        for index in 0..50 {
            let symbols = symbols(&settings, &*source, 3, index);
            assert_eq!(symbols.len(), settings.length);
            let states = source.labels("state", &source.sequence(3, index));
            let each = if settings.scratchpad { 2 } else { 1 };
            for at in 0..symbols.len() {
                if let Some(state) = defined(&settings, machine(&*source), &symbols[..=at]) {
                    assert_eq!(states[each * at], Some(vec![state]), "{settings:?}");
                    checked += 1;
                }
            }
        }
    }
    assert!(checked > 1000, "{checked}");
}

#[test]
fn digits_of_an_adder_are_those_of_the_sum() {
    for addends in [2, 3, 6] {
        let settings = Automaton { label: Told::Digit, length: 12, ..of(Kind::Adder, addends) };
        let source = open(&settings);
        for index in 0..100 {
            let row = source.sequence(5, index);
            let first = machine(&*source).actions.len() as u32;
            let weight = |at: usize| addends.pow(at as u32);
            let ones = row.tokens.iter().enumerate().map(|(at, bits)| (at, bits.count_ones()));
            let sum: usize = ones.map(|(at, ones)| ones as usize * weight(at)).sum();
            let digits = row.targets.iter().map(|target| (target - first) as usize);
            let written: usize = digits.enumerate().map(|(at, digit)| digit * weight(at)).sum();
            assert_eq!(sum, written, "{addends}");
            assert_eq!(row.tokens[11], 0, "room for what is carried");
        }
    }
}

#[test]
fn what_is_told_is_that_of_the_state() {
    for settings in variants() {
        let source = open(&settings);
        let row = source.sequence(2, 7);
        let states = source.labels("state", &row);
        let machine = machine(&*source);
        for (at, target) in row.targets.iter().enumerate().filter(|(_, t)| **t != NO_TARGET) {
            let state = states[at].as_ref().unwrap()[0];
            let told = &machine.labels[machine.told[state]];
            assert_eq!(source.vocab().text(*target), told, "{settings:?}");
            if settings.label == Told::FirstChair {
                assert_eq!(told[1..], machine.states[state][..1], "{settings:?}");
            }
        }
    }
}

/// Asserts that `count` of `all` is a share of `expected`, within four standard errors.
fn assert_share(count: usize, all: usize, expected: f64, what: &str) {
    let share = count as f64 / all as f64;
    let error = (expected * (1.0 - expected) / all as f64).sqrt();
    assert!((share - expected).abs() <= 4.0 * error, "{what}: {share}, expected {expected}");
}

#[test]
fn symbols_are_drawn_as_the_setting_says() {
    let shares = |settings: &Automaton| -> (Vec<usize>, usize) {
        let source = open(settings);
        let mut counts = vec![0; machine(&*source).actions.len()];
        for index in 0..2000 {
            for symbol in symbols(settings, &*source, 0, index) {
                counts[symbol] += 1;
            }
        }
        (counts, 2000 * settings.length)
    };
    for (settings, expected) in [
        (base(), vec![0.5; 2]),
        (Automaton { ones: 0.9, ..base() }, vec![0.1, 0.9]),
        (Automaton { ones: 0.2, ..of(Kind::Gridworld, 0) }, vec![0.8, 0.2]),
        (Automaton { ones: 1.0, ..base() }, vec![0.0, 1.0]),
        (Automaton { actions: 3, ..of(Kind::Cyclic, 0) }, vec![1.0 / 3.0; 3]),
        (of(Kind::Quaternion, 0), vec![0.25; 4]),
        (of(Kind::FlipFlop, 4), vec![0.5, 0.125, 0.125, 0.125, 0.125]),
    ] {
        let (counts, all) = shares(&settings);
        for (count, expected) in counts.iter().zip(expected) {
            assert_share(*count, all, expected, &format!("{settings:?}"));
        }
    }
}

#[test]
fn every_symbol_is_independent_of_the_one_before() {
    let settings = Automaton { length: 200, ..base() };
    let source = open(&settings);
    let mut changes = 0;
    for index in 0..500 {
        let symbols = symbols(&settings, &*source, 0, index);
        changes += symbols.windows(2).filter(|pair| pair[0] != pair[1]).count();
    }
    assert_share(changes, 500 * 199, 0.5, "changes");
}

#[test]
fn a_quarter_of_the_sequences_of_abab_is_right_on_purpose() {
    let settings = of(Kind::Abab, 0);
    let source = open(&settings);
    let right = |index: &u64| {
        let symbols = symbols(&settings, &*source, 0, *index);
        symbols.iter().enumerate().all(|(at, symbol)| *symbol == at % 2)
    };
    assert_share((0..4000).filter(right).count(), 4000, 0.25, "right");
}

#[test]
fn brackets_are_drawn_evenly_among_those_that_may_come() {
    let settings = Automaton { length: 30, ..of(Kind::Dyck, 2) };
    let source = open(&settings);
    let (mut opened, mut halves, mut closed) = ([0; 2], 0, 0);
    for index in 0..2000 {
        let symbols = symbols(&settings, &*source, 0, index);
        opened[symbols[0] / 2] += 1;
        assert_eq!(symbols[0] % 2, 0, "nothing to close yet");
        // With one bracket open: two that open, one that closes it.
        halves += 1;
        closed += usize::from(symbols[1] == symbols[0] + 1);
        let row = source.sequence(0, index);
        assert!(states(&*source, &row.tokens).iter().all(|state| state != "dead"));
    }
    assert_share(opened[0], 2000, 0.5, "kinds");
    assert_share(closed, halves, 1.0 / 3.0, "closed at once");
}

#[test]
fn a_sequence_on_the_scratchpad_has_the_same_symbols_and_says_their_states() {
    let plain = of(Kind::Cyclic, 5);
    let (source, pad) = (open(&plain), open(&Automaton { scratchpad: true, ..plain }));
    assert_eq!(
        (source.roles(), pad.roles()),
        (&["last", "symbol"][..], &["last", "symbol", "state"][..])
    );
    for index in 0..20 {
        let (row, padded) = (source.sequence(1, index), pad.sequence(1, index));
        assert_eq!(padded.len(), 2 * row.len());
        for at in 0..row.len() {
            let last = u8::from(at == row.len() - 1);
            assert_eq!(
                [padded.tokens[2 * at], row.targets[at]],
                [row.tokens[at], padded.tokens[2 * at + 1]]
            );
            assert_eq!(
                [padded.targets[2 * at], padded.targets[2 * at + 1]],
                [row.targets[at], NO_TARGET]
            );
            assert_eq!([padded.roles[2 * at], padded.roles[2 * at + 1]], [2 | last, 4]);
            assert_eq!(row.roles[at], 2 | last);
        }
    }
}

fn targets(source: &dyn Source, text: &str) -> Vec<String> {
    let tokens = source.vocab().encode(text).unwrap();
    let row = source.label(&tokens, &source.sequence(0, 0));
    let text = |target: &u32| match *target {
        NO_TARGET => "-".to_owned(),
        target => source.vocab().text(target).to_owned(),
    };
    row.targets.iter().map(text).collect()
}

#[test]
fn text_is_labelled_as_far_as_it_is_one_of_the_task() {
    let (plain, pad) = (open(&base()), open(&Automaton { scratchpad: true, ..base() }));
    assert_eq!(targets(&*plain, "1 0 q1 1"), ["q1", "q1", "-", "-"]);
    assert_eq!(targets(&*plain, ""), [""; 0]);
    assert_eq!(targets(&*pad, "1 q1 0 q1 1 q0 1 q1"), ["q1", "-", "q1", "-", "q0", "-", "q1", "-"]);
    assert_eq!(targets(&*pad, "1 q0 1"), ["q1", "-", "q0"], "a wrong state is not believed");
    assert_eq!(targets(&*pad, "1 1 q1"), ["q1", "-", "-"]);
    let row = plain.label(&[1, 99, 1], &Row::default());
    assert_eq!(row.targets, [3, NO_TARGET, NO_TARGET]);
    assert_eq!(plain.labels("state", &row), [Some(vec![1]), None, None]);
    // The last symbol that is one is the last.
    assert_eq!(row.roles, [3, 0, 2]);
}

// ── tables and settings ──────────────────────────────────────────────────────────────────────────────

fn of_table(table: &str) -> Automaton {
    Automaton { table: table.to_owned(), ..of(Kind::Table, 0) }
}

#[test]
fn a_machine_of_ones_own_does_what_its_table_says() {
    let parity = open(&base());
    for table in ["0 1; 1 0", "0 1;1 0;", "  0   1 ;\n1 0 ; "] {
        let own = open(&of_table(table));
        assert_eq!(own.vocab(), parity.vocab(), "{table:?}");
        assert_eq!(own.sequence(4, 4), parity.sequence(4, 4), "{table:?}");
    }
    let own = open(&of_table("1 0 2; 2 0 0; 0 1 2"));
    assert_eq!(machine(&*own).next, [[1, 0, 2], [2, 0, 0], [0, 1, 2]]);
    assert_eq!(states(&*own, &[0, 0, 1, 2, 2]), ["1", "2", "1", "0", "2"]);
    // One state, or one symbol, is little; but it is a machine, in which nothing ever differs.
    let source = open(&of_table("0 0"));
    assert_eq!(source.sequence(0, 0).targets, [2; 16]);
    assert!(
        source.pair("flip", 0, 0).is_none() && open(&of_table("0")).pair("flip", 0, 0).is_none()
    );
}

fn refusal(settings: &Automaton) -> String {
    let error = settings.open().err().unwrap_or_else(|| panic!("{settings:?} opened"));
    assert_eq!(error.kind, ErrorKind::Usage);
    error.message
}

#[test]
fn a_table_that_is_no_machine_is_refused_with_row_and_column() {
    let many_rows = "0;".repeat(257);
    let many_columns = "0 ".repeat(65);
    for (table, expected) in [
        ("", "row 0 is empty"),
        (" ; 0 1", "row 0 is empty"),
        ("0 1; 1", "row 1 has 1 columns, and row 0 has 2"),
        ("0 1; ; 1 0", "row 1 has 0 columns, and row 0 has 2"),
        ("0 1; 1 2", "row 1, column 1 is \"2\", and the states are 0 to 1"),
        ("0 -1; 1 0", "row 0, column 1 is \"-1\""),
        ("0 1; one 0", "row 1, column 0 is \"one\""),
        (many_rows.as_str(), "257 rows"),
        (many_columns.as_str(), "65 columns"),
    ] {
        let refused = refusal(&of_table(table));
        assert!(refused.contains("task.table") && refused.contains(expected), "{refused}");
    }
}

#[test]
fn settings_that_contradict_each_other_are_refused() {
    for (settings, expected) in [
        (of(Kind::Parity, 3), "task.size is 3, but task.machine = \"parity\" has no such number"),
        (
            of(Kind::Cyclic, 1),
            "task.size is 1, but task.machine = \"cyclic\" takes 2 to 256 there, or 0 for 5",
        ),
        (of(Kind::Symmetric, 6), "takes 3 to 5"),
        (of(Kind::FlipFlop, 64), "takes 1 to 63"),
        (Automaton { actions: 2, ..of(Kind::Gridworld, 4) }, "task.actions is 2"),
        (Automaton { actions: 4, ..of(Kind::Cyclic, 3) }, "takes 2 to 3"),
        (Automaton { actions: 7, ..of(Kind::Symmetric, 3) }, "takes 2 to 6"),
        (Automaton { depth: 8, ..of(Kind::Dyck, 2) }, "task.depth = 8"),
        (
            Automaton { label: Told::Toggle, ..base() },
            "told of task.machine = \"dihedral\" and not of \"parity\"",
        ),
        (Automaton { label: Told::Parity, ..base() }, "task.label is \"parity\""),
        (
            Automaton { label: Told::FirstChair, ..of(Kind::Cyclic, 0) },
            "\"symmetric\" or \"alternating\"",
        ),
        (Automaton { ones: 0.7, ..of(Kind::Quaternion, 0) }, "task.ones is 0.7, but the 4 symbols"),
        (Automaton { ones: 0.7, ..of(Kind::Dyck, 1) }, "task.ones is 0.7"),
        (Automaton { ones: 0.7, ..of(Kind::FlipFlop, 1) }, "task.ones is 0.7"),
    ] {
        let refused = refusal(&settings);
        assert!(refused.contains(expected), "{refused}");
    }
    for settings in [
        Automaton { ones: 0.7, ..of(Kind::Cyclic, 2) },
        Automaton { ones: 0.7, ..of(Kind::Abab, 0) },
        Automaton { ones: 0.7, ..of(Kind::Dihedral, 0) },
        Automaton { depth: 7, ..of(Kind::Dyck, 2) },
        of(Kind::Cyclic, 256),
    ] {
        assert!(settings.open().is_ok(), "{settings:?}");
    }
}

// ── counterfactual pairs ─────────────────────────────────────────────────────────────────────────────

#[test]
fn the_sequences_of_a_pair_differ_in_one_symbol_and_in_what_is_told_last() {
    for settings in variants() {
        let source = open(&settings);
        let each = if settings.scratchpad { 2 } else { 1 };
        if settings.label == Told::Carry {
            // The last symbol takes up what is carried, whatever came before.
            assert!(source.pair("flip", 9, 0).is_none());
            continue;
        }
        for index in 0..20 {
            let pair = source.pair("flip", 9, index).unwrap_or_else(|| panic!("{settings:?}"));
            let differs = pair.place("differs").unwrap();
            let symbols: Vec<usize> =
                pair.differs().into_iter().filter(|at| at % each == 0).collect();
            assert_eq!(symbols, [differs], "{settings:?}");
            assert_eq!(pair.at, source.length() - each);
            assert_eq!(pair.answers, [pair.base.targets[pair.at], pair.other.targets[pair.at]]);
            assert_ne!(pair.answers[0], pair.answers[1]);
            assert_eq!(pair.base.targets[..differs], pair.other.targets[..differs]);
        }
        assert_eq!(source.pair("flip", 9, 3), source.pair("flip", 9, 3));
        assert!(source.pair("no such kind", 9, 3).is_none());
    }
}

#[test]
fn pairs_of_sums_and_brackets_could_have_been_drawn() {
    let (adder, dyck) = (open(&of(Kind::Adder, 2)), open(&of(Kind::Dyck, 2)));
    let mut places = BTreeSet::new();
    for index in 0..100 {
        let pair = adder.pair("flip", 0, index).unwrap();
        assert_eq!(pair.other.tokens.last(), Some(&0));
        places.extend(pair.place("differs"));
        let pair = dyck.pair("flip", 0, index).unwrap();
        assert!(states(&*dyck, &pair.other.tokens).iter().all(|state| state != "dead"));
    }
    assert!(places.len() > 1, "{places:?}");
}
