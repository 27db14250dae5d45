//! Tasks of memory over distance (flip-flop, copy, pass key) and how tasks are asked about other lengths and shares.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use mnemoscope::base::batch::{NO_TARGET, Row};
use mnemoscope::base::error::Kind;
use mnemoscope::base::settings::to_table;
use mnemoscope::base::vocab::Vocab;
use mnemoscope::task::associative_retrieval::{AssociativeRetrieval, Text};
use mnemoscope::task::automaton::{self, Automaton};
use mnemoscope::task::bigram::Bigram;
use mnemoscope::task::copy::Copying;
use mnemoscope::task::flip_flop::FlipFlop;
use mnemoscope::task::interleaved::Interleaved;
use mnemoscope::task::passkey::Passkey;
use mnemoscope::task::{self, Source, Task, altered, held_out_seed};

pub(super) fn open(task: &dyn Task) -> Arc<dyn Source> {
    task.open().unwrap()
}

fn role(source: &dyn Source, name: &str) -> u8 {
    1 << source.roles().iter().position(|role| *role == name).unwrap()
}

pub(super) fn of_text(source: &dyn Source, text: &str) -> Row {
    source.label(&source.vocab().encode(text).unwrap(), &source.sequence(0, 0))
}

/// Words of the targets, `-` where there is none.
pub(super) fn targets(source: &dyn Source, row: &Row) -> String {
    let word = |target: &u32| match *target {
        NO_TARGET => "-",
        target => source.vocab().text(target),
    };
    row.targets.iter().map(word).collect::<Vec<_>>().join(" ")
}

fn words(source: &dyn Source, row: &Row) -> Vec<String> {
    row.tokens.iter().map(|token| source.vocab().text(*token).to_owned()).collect()
}

/// Asserts that `count` of `all` is a share of `expected`, within four standard errors.
fn assert_share(count: usize, all: usize, expected: f64, what: &str) {
    let share = count as f64 / all as f64;
    let error = (expected * (1.0 - expected) / all as f64).sqrt();
    assert!((share - expected).abs() <= 4.0 * error, "{what}: {share}, expected {expected}");
}

fn refused(task: &dyn Task, expected: &str) {
    let error = task.open().err().unwrap_or_else(|| panic!("opened: {expected}"));
    assert_eq!(error.kind, Kind::Usage);
    assert!(error.message.contains(expected), "{error}");
}

/// What holds for any source: labels follow from tokens, pairs are sequences of the task and keyed by seed and index.
pub(super) fn check_laws(name: &str, source: &dyn Source) {
    check_laws_but_pairs(name, source);
    check_pairs(name, source);
}

/// Of a source that may make no pairs.
fn check_laws_but_pairs(name: &str, source: &dyn Source) {
    for index in 0..20 {
        for seed in [1, held_out_seed(1)] {
            let row = source.sequence(seed, index);
            assert_eq!(row.len(), source.length(), "{name}");
            assert_eq!(source.label(&row.tokens, &row), row, "{name}");
            assert!(row.tokens.iter().all(|t| (*t as usize) < source.vocab().len()), "{name}");
            assert!(
                row.roles.iter().all(|roles| u16::from(*roles) < 1 << source.roles().len()),
                "{name}"
            );
            let solved = role(source, source.solved_by().unwrap());
            let asked = row.targets.iter().zip(&row.roles).filter(|(t, _)| **t != NO_TARGET);
            let (asked, of_role): (Vec<_>, Vec<_>) =
                asked.partition(|(_, roles)| **roles & solved == 0);
            assert!(
                asked.is_empty() && !of_role.is_empty(),
                "{name}: a sequence is solved by all answers"
            );
        }
    }
}

fn check_pairs(name: &str, source: &dyn Source) {
    for kind in source.pair_kinds() {
        let pairs: Vec<_> =
            (0..20).map(|index| source.pair(kind.name, 0, index).unwrap()).collect();
        for (index, pair) in (0..).zip(&pairs) {
            assert_eq!(source.pair(kind.name, 0, index).as_ref(), Some(pair), "{name}");
            assert_eq!(pair.answers, [pair.base.targets[pair.at], pair.other.targets[pair.at]]);
            assert_ne!(pair.answers[0], pair.answers[1], "{name}");
            let before = pair.differs().into_iter().filter(|at| *at <= pair.at).count();
            assert!(before >= 1, "{name}");
            for row in [&pair.base, &pair.other] {
                assert_eq!(source.label(&row.tokens, row), *row, "{name}");
                assert_eq!(row.len(), source.length(), "{name}");
            }
        }
        assert!(pairs.iter().any(|pair| *pair != pairs[0]), "{name}: all pairs are the same");
    }
    assert!(source.pair("no such kind", 0, 0).is_none());
}

// ── flip-flop ────────────────────────────────────────────────────────────────────────────────────────

fn flip_flop() -> FlipFlop {
    FlipFlop::default()
}

#[test]
fn instructions_and_targets_are_those_of_the_vector() {
    let apart = open(&FlipFlop { merged: false, ..flip_flop() });
    let row = of_text(&*apart, "w 1 i 0 i 1 r 1 w 0 r 0 i 1 r 0");
    assert_eq!(row.tokens, [0, 4, 2, 3, 2, 4, 1, 4, 0, 3, 1, 3, 2, 4, 1, 3]);
    // The bits at 7, 11 and 15 are predicted one position before.
    let asked: Vec<(usize, u32)> =
        row.targets.iter().copied().enumerate().filter(|(_, t)| *t != NO_TARGET).collect();
    assert_eq!(asked, [(6, 4), (10, 3), (14, 3)]);
    let merged = open(&flip_flop());
    let row = of_text(&*merged, "w1 i0 i1 r w0 r i1 r");
    assert_eq!(row.tokens, [1, 3, 4, 2, 0, 2, 4, 2]);
    assert_eq!(targets(&*merged, &row), "- - - 1 - 0 - 0");
    assert_eq!(row.roles, [2, 4, 4, 1, 2, 1, 4, 1]);
}

#[test]
fn flip_flops_keep_the_laws_of_a_task() {
    for merged in [true, false] {
        for mixed in [true, false] {
            let settings = FlipFlop { merged, mixed, instructions: 20, ..flip_flop() };
            check_laws(&format!("{settings:?}"), &*open(&settings));
        }
    }
    check_laws("two", &*open(&FlipFlop { instructions: 2, ..flip_flop() }));
}

#[test]
fn what_is_read_is_what_was_written_last_and_the_ends_are_a_write_and_a_read() {
    for ignore in [0.0, 0.8, 1.0] {
        let source = open(&FlipFlop { ignore, ..flip_flop() });
        for index in 0..200 {
            let row = source.sequence(0, index);
            let words = words(&*source, &row);
            assert!(words[0].starts_with('w') && words[63] == "r");
            for (at, word) in words.iter().enumerate() {
                let last = words[..=at].iter().rev().find(|word| word.starts_with('w')).unwrap();
                let told = if word == "r" { &last[1..] } else { "-" };
                assert_eq!(targets(&*source, &row).split(' ').nth(at), Some(told));
                let stored = source.labels("stored", &row)[at].clone();
                assert_eq!(stored, Some(vec![last[1..].parse().unwrap()]));
            }
        }
    }
}

/// How many of the inner instructions are of each letter, and of ones among their bits, in sequences of these numbers.
fn counts(
    source: &dyn Source,
    seed: u64,
    numbers: impl Iterator<Item = u64>,
) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for index in numbers {
        let row = source.sequence(seed, index);
        let words = words(source, &row);
        for word in &words[1..words.len() - 1] {
            *counts.entry(word.clone()).or_default() += 1;
        }
    }
    counts
}

/// Asserts shares of ignore of [`FlipFlop`] in sequences of these numbers; writes and reads are alike.
fn assert_ignored(source: &dyn Source, seed: u64, numbers: impl Iterator<Item = u64>, ignore: f64) {
    let counts = counts(source, seed, numbers);
    let all: usize = counts.values().sum();
    let of = |word: &str| counts.get(word).copied().unwrap_or(0);
    assert_share(of("i0") + of("i1"), all, ignore, "ignored");
    assert_share(of("r"), all, (1.0 - ignore) / 2.0, "read");
    assert_share(of("i0"), of("i0") + of("i1"), 0.5, "bits ignored");
    assert_share(of("w0"), of("w0") + of("w1"), 0.5, "bits written");
}

#[test]
fn instructions_have_the_probabilities_of_the_settings() {
    let source = open(&flip_flop());
    assert_ignored(&*source, 3, 0..1000, 0.8);
    assert_ignored(&*source.variant("dense").unwrap(), 3, 0..1000, 0.1);
    assert_ignored(&*source.variant("sparse").unwrap(), 3, 0..1000, 0.98);
    assert!(source.variant("other_outputs").is_none());
}

#[test]
fn mixed_sequences_come_in_turn_and_in_training_alone() {
    let plain = open(&flip_flop());
    let mixed = open(&FlipFlop { mixed: true, ..flip_flop() });
    for (first, ignore) in (0..).zip([0.1, 0.9, 0.98]) {
        assert_ignored(&*mixed, 3, (first..3000).step_by(3), ignore);
    }
    let seed = held_out_seed(3);
    assert!((0..50).all(|index| mixed.sequence(seed, index) == plain.sequence(seed, index)));
    let (dense, of_mixed) = (plain.variant("dense").unwrap(), mixed.variant("dense").unwrap());
    assert!((0..50).all(|index| of_mixed.sequence(3, index) == dense.sequence(3, index)));
}

#[test]
fn merged_or_apart_the_instructions_are_the_same() {
    let (merged, apart) = (open(&flip_flop()), open(&FlipFlop { merged: false, ..flip_flop() }));
    assert_eq!((merged.length(), apart.length()), (64, 128));
    for index in 0..20 {
        let (row, other) = (merged.sequence(0, index), apart.sequence(0, index));
        let (one, two) = (words(&*merged, &row), words(&*apart, &other));
        for (at, word) in one.iter().enumerate() {
            let both = two[2 * at..2 * at + 2].concat();
            let bit = &two[2 * at + 1];
            assert!(*word == both || word == "r" && two[2 * at] == "r", "{word} {both}");
            if word == "r" {
                assert_eq!(merged.vocab().text(row.targets[at]), bit);
                assert_eq!(apart.vocab().text(other.targets[2 * at]), bit);
            }
        }
    }
}

#[test]
fn text_with_gaps_is_read_as_far_as_it_says_something() {
    let (merged, apart) = (open(&flip_flop()), open(&FlipFlop { merged: false, ..flip_flop() }));
    let told = |source: &dyn Source, text: &str| targets(source, &of_text(source, text));
    assert_eq!(told(&*merged, "r i1 r w1 0 r"), "- - - - - 1", "nothing is stored, then a bit");
    assert_eq!(
        told(&*apart, "w w 1 r 0 w r 1"),
        "- - - 1 - - 1 -",
        "what is shown is not believed"
    );
    assert_eq!(told(&*apart, "0 1 r"), "- - -");
    let row = apart.label(&[0, 4, 77, 1], &Row::default());
    assert_eq!(row.targets, [NO_TARGET, NO_TARGET, NO_TARGET, 4]);
    let stored = apart.labels("stored", &row);
    assert_eq!(stored, [None, Some(vec![1]), Some(vec![1]), Some(vec![1])]);
    assert!(apart.labels("no such label", &row).is_empty());
}

#[test]
fn a_pair_of_bits_differs_where_the_last_one_is_written_and_read() {
    let merged = open(&flip_flop());
    for index in 0..50 {
        let pair = merged.pair("bit", 0, index).unwrap();
        let write = pair.place("write").unwrap();
        assert_eq!((pair.differs(), pair.place("read")), (vec![write], Some(63)));
        let words = words(&*merged, &pair.base);
        assert!(words[write].starts_with('w'));
        assert!(words[write + 1..].iter().all(|word| !word.starts_with('w')));
    }
    let apart = open(&FlipFlop { merged: false, ignore: 0.5, ..flip_flop() });
    for index in 0..50 {
        let pair = apart.pair("bit", 0, index).unwrap();
        let words = words(&*apart, &pair.base);
        let write = pair.place("write").unwrap();
        assert_eq!((words[write - 1].as_str(), pair.at), ("w", 126));
        let shown = (write + 1..127).filter(|at| words[*at - 1] == "r");
        let expected: Vec<usize> = [write].into_iter().chain(shown).chain([127]).collect();
        assert_eq!(pair.differs(), expected, "the bits that are read change with it");
    }
}

// ── copy ─────────────────────────────────────────────────────────────────────────────────────────────

fn copying() -> Copying {
    Copying::default()
}

#[test]
fn copies_are_those_of_the_vectors() {
    for (reverse, whole) in [
        (false, [5, 2, 9, 9, 3, 7, 1, 5, 2, 9, 9, 3, 7]),
        (true, [5, 2, 9, 9, 3, 7, 1, 7, 3, 9, 9, 2, 5]),
    ] {
        let source = open(&Copying { reverse, ..copying() });
        let row = source.label(&whole[..12], &Row::default());
        assert_eq!(row.targets[..6], [NO_TARGET; 6]);
        assert_eq!(row.targets[6..], whole[7..]);
        assert_eq!(source.length(), 12);
    }
    let source = open(&copying());
    let row = of_text(&*source, "dahhbf=dahhb");
    assert_eq!(row.tokens, [5, 2, 9, 9, 3, 7, 1, 5, 2, 9, 9, 3]);
    assert_eq!(row.roles, [1, 1, 1, 1, 1, 1, 18, 20, 20, 20, 20, 20]);
}

/// Settings that differ from the defaults in each way that changes sequences.
fn copies() -> Vec<Copying> {
    let mut all = vec![copying(), Copying { symbols: 26, count: 1, ..copying() }];
    for reverse in [false, true] {
        all.push(Copying { reverse, times: 2, segment: 6, ..copying() });
        all.push(Copying { reverse, times: 3, segment: 5, symbols: 2, count: 9, ..copying() });
    }
    all
}

#[test]
fn copies_keep_the_laws_of_a_task() {
    for settings in copies() {
        let source = open(&settings);
        check_laws(&format!("{settings:?}"), &*source);
        assert_eq!(source.possible_answers(), settings.symbols);
    }
}

#[test]
fn symbols_are_written_as_often_and_in_the_order_that_is_asked_for() {
    for settings in copies() {
        let source = open(&settings);
        let Copying { count, times, segment, reverse, .. } = settings;
        for index in 0..20 {
            let row = source.sequence(0, index);
            let padding = row.tokens.iter().take_while(|token| **token == 0).count();
            assert!(row.len().is_multiple_of(segment.max(1)) && padding < segment.max(1));
            let symbols = &row.tokens[padding..padding + count];
            assert_eq!(row.tokens[padding + count], 1);
            let mut once = symbols.to_vec();
            if reverse {
                once.reverse();
            }
            let written = once.repeat(times);
            assert_eq!(row.targets[padding + count..], written, "{settings:?}");
            assert_eq!(row.tokens[padding + count + 1..], written[..written.len() - 1]);
            assert!(row.targets[..padding + count].iter().all(|target| *target == NO_TARGET));
            let truths: Vec<usize> = symbols
                .iter()
                .enumerate()
                .map(|(place, symbol)| place * settings.symbols + *symbol as usize - 2)
                .collect();
            for (at, told) in source.labels("symbols", &row).into_iter().enumerate() {
                let read = (at + 1).saturating_sub(padding).min(count);
                assert_eq!(told.unwrap_or_default(), truths[..read], "{settings:?}");
            }
        }
    }
}

#[test]
fn symbols_to_copy_are_drawn_evenly() {
    let source = open(&copying());
    let mut counts = [[0; 8]; 2];
    for index in 0..3000 {
        let row = source.sequence(0, index);
        for (counts, at) in counts.iter_mut().zip([0, 5]) {
            counts[row.tokens[at] as usize - 2] += 1;
        }
    }
    for count in counts.iter().flatten() {
        assert_share(*count, 3000, 1.0 / 8.0, "symbols");
    }
}

#[test]
fn text_that_is_no_copy_is_asked_nothing_from_there_on() {
    let source = open(&copying());
    let told = |text: &str| targets(&*source, &of_text(&*source, text));
    assert_eq!(told("__ab=a"), "- - - - a b", "shorter ones are copied too");
    assert_eq!(told("ab=hh"), "- - a b -", "a wrong symbol changes nothing, and two are enough");
    assert_eq!(told("ab=_b"), "- - a - -");
    assert_eq!(told("ab==b"), "- - a - -");
    assert_eq!((told("a_b=a").as_str(), told("=ab").as_str()), ("- - - - -", "- - -"));
    assert_eq!((told("ab").as_str(), told("__").as_str(), told("").as_str()), ("- -", "- -", ""));
    let long = of_text(&*source, "abcdefgh=abc");
    assert_eq!(targets(&*source, &long), "- - - - - - - - a b c d");
    let labels = source.labels("symbols", &long);
    assert_eq!(
        labels[11].as_ref().map(Vec::len),
        Some(6),
        "places beyond those of the task are not told"
    );
    assert_eq!(source.labels("symbols", &of_text(&*source, "__")), [None, None]);
    assert!(source.labels("no such label", &long).is_empty());
    assert_eq!(source.label(&[2, 40, 1, 2], &Row::default()).targets, [NO_TARGET; 4]);
}

#[test]
fn a_pair_of_copies_differs_in_one_symbol_and_where_it_is_written() {
    for settings in copies() {
        let source = open(&settings);
        let mut places = BTreeSet::new();
        for index in 0..40 {
            let pair = source.pair("symbol", 0, index).unwrap();
            let (from, at) = (pair.place("source").unwrap(), pair.place("answer").unwrap());
            assert_eq!(at, pair.at);
            let until: Vec<usize> = pair.differs().into_iter().filter(|p| *p <= at).collect();
            assert_eq!(until, [from], "{settings:?}");
            assert_eq!(pair.answers, [pair.base.tokens[from], pair.other.tokens[from]]);
            places.insert(from);
        }
        assert!(places.len() > settings.count / 2, "{places:?}");
    }
}

// ── pass key ─────────────────────────────────────────────────────────────────────────────────────────

fn passkey() -> Passkey {
    Passkey::default()
}

fn several() -> Passkey {
    Passkey { keys: 6, blocks: 4, ..passkey() }
}

#[test]
fn the_key_of_the_vector_is_the_answer() {
    let source = open(&passkey());
    assert_eq!(source.vocab().len(), 17);
    let text = "f0 f1 K3 f2 f3 f4 f5 f6  f0 f0 f1 f2 f3 f4 f5 f6  f7 f7 f7 f1 f2 f3 f4 q1";
    let row = of_text(&*source, text);
    assert_eq!(row.len(), 24);
    assert_eq!(row.targets[..23], [NO_TARGET; 23]);
    assert_eq!(source.vocab().text(row.targets[23]), "K3");
    let labels = source.labels("key", &row);
    assert_eq!((&labels[1], &labels[2], &labels[23]), (&None, &Some(vec![3]), &Some(vec![3])));
    assert_eq!([row.roles[0], row.roles[2], row.roles[23]], [4, 1, 2]);
    assert_eq!(open(&several()).vocab().len(), 22);
}

#[test]
fn pass_keys_keep_the_laws_of_a_task() {
    for settings in [
        passkey(),
        several(),
        Passkey { least_blocks: 6, ..passkey() },
        Passkey { block: 2, keys: 2, fillers: 1, keys_known: 2, blocks: 2, ..passkey() },
    ] {
        let source = open(&settings);
        check_laws(&format!("{settings:?}"), &*source);
        assert_eq!(source.possible_answers(), settings.keys_known);
        for index in 0..100 {
            let row = source.sequence(0, index);
            let words = words(&*source, &row);
            let of = |letter: char| -> Vec<usize> {
                (0..row.len()).filter(|at| words[*at].starts_with(letter)).collect()
            };
            let (keys, query) = (of('K'), of('q'));
            assert_eq!((keys.len(), query.len()), (settings.keys, 1), "{settings:?}");
            assert!(keys.iter().all(|at| *at < settings.block));
            let number: usize = words[query[0]][1..].parse().unwrap();
            let told: Vec<(usize, u32)> =
                row.targets.iter().copied().enumerate().filter(|(_, t)| *t != NO_TARGET).collect();
            assert_eq!(told, [(query[0], row.tokens[keys[number - 1]])], "{settings:?}");
        }
    }
}

#[test]
fn questions_and_keys_stand_evenly_where_they_may() {
    let settings = Passkey { keys: 2, ..passkey() };
    let source = open(&settings);
    let (mut ends, mut places, mut asked, mut shown) = ([0; 6], [0; 8], [0; 2], [0; 8]);
    for index in 0..4000 {
        let row = source.sequence(0, index);
        let query = row.targets.iter().position(|target| *target != NO_TARGET).unwrap();
        assert_eq!(query % 8, 7);
        ends[query / 8] += 1;
        asked[row.tokens[query] as usize - 16] += 1;
        shown[row.targets[query] as usize - 8] += 1;
        for at in (0..8).filter(|at| row.roles[*at] == 1) {
            places[at] += 1;
        }
    }
    assert_eq!(ends[0], 0);
    for count in &ends[1..] {
        assert_share(*count, 4000, 0.2, "ends");
    }
    for count in places {
        assert_share(count, 4000, 0.25, "places");
    }
    assert_share(asked[0], 4000, 0.5, "questions");
    for count in shown {
        assert_share(count, 4000, 1.0 / 8.0, "keys");
    }
}

#[test]
fn keys_that_are_not_scattered_stand_at_the_beginning() {
    let source = open(&Passkey { scattered: false, ..several() });
    for index in 0..20 {
        let row = source.sequence(0, index);
        let keys: Vec<usize> = (0..row.len()).filter(|at| row.roles[*at] == 1).collect();
        assert_eq!(keys, [0, 1, 2, 3, 4, 5]);
    }
}

#[test]
fn several_keys_are_told_in_the_order_in_which_they_came() {
    let source = open(&Passkey { keys: 3, ..passkey() });
    let row = of_text(&*source, "f0 K5 q2 K1 q2 q1 K1 K7 q3 q1");
    assert_eq!(targets(&*source, &row), "- - - - K1 K5 - - K1 K5");
    let labels = source.labels("keys", &row);
    assert_eq!(labels[0], None);
    assert_eq!(labels[2], Some(vec![5]));
    assert_eq!(labels[4], Some(vec![5, 8 + 1]));
    assert_eq!(labels[9], Some(vec![5, 8 + 1, 16 + 1]), "a fourth key is none of the task");
    assert!(source.labels("key", &row).is_empty());
    let row = source.label(&[900, 16, 8, 16], &Row::default());
    assert_eq!(row.targets, [NO_TARGET, NO_TARGET, NO_TARGET, 8]);
}

#[test]
fn a_pair_of_keys_differs_in_the_one_that_is_asked_for() {
    for settings in [passkey(), several()] {
        let source = open(&settings);
        for index in 0..50 {
            let pair = source.pair("key", 0, index).unwrap();
            let key = pair.place("key").unwrap();
            assert_eq!((pair.differs(), pair.place("query")), (vec![key], Some(pair.at)));
            assert_eq!(pair.answers, [pair.base.tokens[key], pair.other.tokens[key]]);
        }
    }
}

#[test]
fn pass_keys_that_contradict_themselves_are_refused() {
    refused(&Passkey { keys: 9, ..passkey() }, "task.keys is 9, but task.block is 8");
    refused(
        &Passkey { least_blocks: 7, ..passkey() },
        "task.least_blocks is 7, but task.blocks is 6",
    );
}

// ── associative retrieval ────────────────────────────────────────────────────────────────────────────

fn retrieval() -> AssociativeRetrieval {
    AssociativeRetrieval::default()
}

#[test]
fn the_value_of_the_key_that_is_asked_for_is_the_answer() {
    let source = open(&retrieval());
    assert_eq!(source.vocab().len(), 21);
    let text = "K3 v1 f0 f1  K0 v7 f0 f2  K5 v1 f3 f0  K2 v4 f1 f1  ? K5 f0 f2";
    let row = of_text(&*source, text);
    assert_eq!(row.targets[..19], [NO_TARGET; 19]);
    assert_eq!(source.vocab().text(row.targets[19]), "v1");
    let asked = source.facet::<Text>().unwrap().asked_segment(&row.tokens);
    assert_eq!(asked, Some(2));
    let labels = source.labels("segment", &row);
    assert_eq!((&labels[16], &labels[17], &labels[19]), (&None, &Some(vec![2]), &Some(vec![2])));
    // A key that no segment shows has no value, and a text without a question no answer.
    for text in ["K3 v1 f0 f1 ? K5 f0 f2", "K3 v1 f0 f1 K5 v2 f0 f2"] {
        let row = of_text(&*source, text);
        assert!(row.targets.iter().all(|target| *target == NO_TARGET), "{text}");
    }
}

#[test]
fn segments_show_different_keys_and_the_last_one_asks_for_each_as_often() {
    for settings in [
        retrieval(),
        AssociativeRetrieval { segments: 9, ..retrieval() },
        AssociativeRetrieval { segments: 12, keys: 3, values: 2, ..retrieval() },
        AssociativeRetrieval { segment: 2, segments: 2, keys: 1, fillers: 1, ..retrieval() },
    ] {
        let source = open(&settings);
        check_laws_but_pairs(&format!("{settings:?}"), &*source);
        let shown = settings.keys.min(settings.segments - 1);
        let mut asked = vec![0; settings.segments - 1];
        for index in 0..1000 {
            let row = source.sequence(0, index);
            let words = words(&*source, &row);
            let keys: Vec<usize> =
                (0..row.len()).filter(|at| words[*at].starts_with('K')).collect();
            let (question, keys) = keys.split_last().unwrap();
            assert!(keys.iter().all(|at| at % settings.segment == 0));
            let different: BTreeSet<&str> = keys.iter().map(|at| &*words[*at]).collect();
            assert_eq!((keys.len(), different.len()), (shown, shown));
            let key = keys.iter().find(|at| words[**at] == words[*question]).unwrap();
            assert_eq!(row.targets[row.len() - 1], row.tokens[key + 1]);
            asked[key / settings.segment] += 1;
        }
        for count in &asked {
            assert_share(*count, 1000, 1.0 / asked.len() as f64, "segments");
        }
    }
    check_laws("associative retrieval", &*open(&retrieval()));
    let pair = open(&retrieval()).pair("value", 0, 0).unwrap();
    assert_eq!(pair.differs(), [pair.place("value").unwrap()]);
    let pair = open(&retrieval()).pair("asked", 0, 0).unwrap();
    assert_eq!(pair.differs(), [pair.place("asked").unwrap()]);
}

// ── two processes ────────────────────────────────────────────────────────────────────────────────────

#[test]
fn each_symbol_tells_the_state_of_its_own_machine() {
    let source = open(&Interleaved::default());
    let row = of_text(&*source, "a1 b1 b1 a1 a0 b1 a1");
    assert_eq!(targets(&*source, &row), "a=q1 b=q1 b=q2 a=q0 a=q0 b=q0 a=q1");
    let label = |kind| source.labels(kind, &row).into_iter().map(|all| all.unwrap()[0]);
    assert!(label("process").eq([0, 1, 1, 0, 0, 1, 0]));
    assert!(label("first").eq([1, 1, 1, 0, 0, 0, 1]));
    assert!(label("second").eq([0, 1, 2, 2, 2, 0, 0]));
    // What is told is no symbol: from there on nothing is said.
    let row = of_text(&*source, "a1 b=q1 a1");
    assert_eq!(targets(&*source, &row), "a=q1 - -");
}

#[test]
fn two_processes_keep_the_laws_of_a_task_and_take_turns_where_they_are_to() {
    for (turns, first, second) in [
        (false, automaton::Kind::Parity, automaton::Kind::Cyclic),
        (true, automaton::Kind::Gridworld, automaton::Kind::FlipFlop),
        (false, automaton::Kind::Parity, automaton::Kind::Parity),
    ] {
        let second_size = if second == automaton::Kind::Parity { 0 } else { 3 };
        let settings = Interleaved { turns, first, second, second_size, ..Interleaved::default() };
        let source = open(&settings);
        check_laws(&format!("{settings:?}"), &*source);
        let mut of_first = 0;
        for index in 0..100 {
            let row = source.sequence(0, index);
            let processes = source.labels("process", &row);
            let is_first = |at: &usize| processes[*at] == Some(vec![0]);
            of_first += (0..row.len()).filter(is_first).count();
            let in_turn = (0..row.len()).all(|at| is_first(&at) == (at % 2 == 0));
            assert!(in_turn || !turns);
        }
        assert_share(of_first, 3200, 0.5, "symbols of the first");
    }
    refused(
        &Interleaved { first: automaton::Kind::Parity, first_size: 3, ..Interleaved::default() },
        "task.first",
    );
}

// ── other lengths and other shares ───────────────────────────────────────────────────────────────────

#[test]
fn a_task_is_asked_for_sequences_twice_as_long_in_the_same_tokens() {
    let mut longer = 0;
    for entry in task::ALL {
        let task = (entry.make)();
        let source = task.open().unwrap();
        let mut kept = source.settings().unwrap();
        assert_eq!(to_table(&mut *kept), to_table(&mut *(entry.make)()), "{}", entry.name);
        let Some(setting) = task.length_setting() else {
            assert!(task.of_length(2).is_none(), "{}", entry.name);
            continue;
        };
        let now = to_table(&mut *kept)[setting].as_integer().unwrap() as usize;
        let other = kept.of_length(2 * now).unwrap().open().unwrap();
        assert_eq!(other.length(), 2 * source.length(), "{}", entry.name);
        assert!(other.longest() >= other.length(), "{}", entry.name);
        assert_eq!(other.vocab(), source.vocab(), "{}", entry.name);
        let row = other.sequence(held_out_seed(0), 0);
        assert_eq!((row.len(), row.clone()), (other.length(), other.label(&row.tokens, &row)));
        assert!(kept.of_length(1 << 40).is_none() && kept.of_length(0).is_none(), "{}", entry.name);
        longer += 1;
    }
    assert!(longer >= 6, "{longer}");
}

#[test]
fn a_network_can_be_built_for_longer_sequences_than_are_trained() {
    let lengths = |task: &dyn Task| {
        let source = open(task);
        (source.length(), source.longest())
    };
    assert_eq!(
        lengths(&Automaton { length: 8, longest: 20, scratchpad: true, ..Automaton::default() }),
        (16, 40)
    );
    assert_eq!(lengths(&FlipFlop { longest: 100, merged: false, ..flip_flop() }), (128, 200));
    assert_eq!(lengths(&FlipFlop { longest: 3, ..flip_flop() }), (64, 64));
    assert_eq!(lengths(&Copying { longest: 10, segment: 8, ..copying() }), (16, 24));
    assert_eq!(lengths(&Passkey { longest: 16, ..passkey() }), (48, 128));
}

#[test]
fn all_sequences_of_a_pass_key_of_a_length_are_that_long() {
    for blocks in [2, 3, 16] {
        let source = passkey().of_length(blocks).unwrap().open().unwrap();
        for index in 0..50 {
            let row = source.sequence(0, index);
            assert_eq!(row.targets.iter().position(|t| *t != NO_TARGET), Some(8 * blocks - 1));
        }
    }
    assert!(passkey().of_length(1).is_none());
}

fn change(name: &str, value: impl Into<toml::Value>) -> (String, toml::Value) {
    (name.to_owned(), value.into())
}

#[test]
fn an_altered_task_is_the_one_with_those_settings() {
    let automaton = open(&Automaton::default());
    let changes = [change("length", 40), change("ones", 0.9)];
    let other = altered(&*automaton, &changes).unwrap();
    let direct = open(&Automaton { length: 40, ones: 0.9, ..Automaton::default() });
    assert_eq!((other.vocab(), other.length()), (automaton.vocab(), 40));
    assert!((0..20).all(|index| other.sequence(5, index) == direct.sequence(5, index)));
    // In whatever order changes stand that make sense together.
    let keys = open(&passkey());
    for changes in [
        [change("blocks", 9), change("least_blocks", 9)],
        [change("least_blocks", 9), change("blocks", 9)],
    ] {
        assert_eq!(altered(&*keys, &changes).unwrap().length(), 72);
    }
    assert_eq!(altered(&*keys, &[]).unwrap().sequence(1, 1), keys.sequence(1, 1));
}

#[test]
fn what_cannot_be_altered_is_refused_with_the_setting() {
    let automaton = open(&Automaton::default());
    let error = |source: &dyn Source, changes: &[(String, toml::Value)]| {
        let error = altered(source, changes).err().unwrap();
        assert_eq!(error.kind, Kind::Usage);
        error.message
    };
    assert!(error(&*automaton, &[change("lenght", 4)]).contains("Did you mean task.length"));
    assert!(error(&*automaton, &[change("length", 0)]).contains("setting task.length: read 0"));
    assert!(error(&*automaton, &[change("size", 3)]).contains("task.size is 3"));
    let other = error(&*automaton, &[change("machine", "cyclic"), change("ones", 0.3)]);
    assert!(
        other.contains("task.machine, task.ones") && other.contains("7 tokens where it has 4"),
        "{other}"
    );
    let blocks = error(&*open(&passkey()), &[change("least_blocks", 9)]);
    assert!(blocks.contains("task.least_blocks is 9"), "{blocks}");
    let bare = error(&Bare(Vocab::new(vec!["a".to_owned()])), &[change("length", 2)]);
    assert!(bare.contains("does not keep the settings"), "{bare}");
}

/// A source that says no more than it must.
struct Bare(Vocab);

impl Source for Bare {
    fn vocab(&self) -> &Vocab {
        &self.0
    }

    fn roles(&self) -> &'static [&'static str] {
        &[]
    }

    fn length(&self) -> usize {
        1
    }

    fn sequence(&self, _seed: u64, _index: u64) -> Row {
        Row::default()
    }

    fn label(&self, _tokens: &[u32], _like: &Row) -> Row {
        Row::default()
    }
}

#[test]
fn an_altered_task_keeps_the_counts_of_a_text_that_is_gone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("text.txt");
    std::fs::write(&path, "abracadabra").unwrap();
    let text = path.to_str().unwrap().to_owned();
    let source = open(&Bigram { text, triggers: 2, length: 20, ..Bigram::default() });
    std::fs::remove_file(&path).unwrap();
    let longer = altered(&*source, &[change("length", 50)]).unwrap();
    assert_eq!((longer.length(), longer.vocab()), (50, source.vocab()));
    assert_eq!(longer.sequence(1, 1).tokens[..20], source.sequence(1, 1).tokens);
    let kept = source.settings().unwrap();
    assert_eq!(kept.length_setting(), Some("length"));
    assert_eq!(kept.of_length(33).unwrap().open().unwrap().length(), 33);
}

#[test]
fn sequences_of_an_automaton_of_another_length_begin_alike() {
    // Symbols are drawn one after the other, so a longer sequence goes on where a shorter one ends.
    let source = open(&Automaton { machine: automaton::Kind::Cyclic, ..Automaton::default() });
    let longer = altered(&*source, &[change("length", 64)]).unwrap();
    let (short, long) = (source.sequence(2, 2), longer.sequence(2, 2));
    assert_eq!(short.tokens, long.tokens[..16]);
    assert_eq!(short.targets, long.targets[..16]);
}
