//! The reference-back task: labels beside vectors, the sampler beside shares that others counted, and the laws of each setting.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;

use mnemoscope::base::batch::{NO_TARGET, Row};
use mnemoscope::base::pair::Pair;
use mnemoscope::base::tuples::{Tuple, Tuples};
use mnemoscope::task::reference_back::{
    ReferenceBack, RegisterChoice, Rule, SymbolSet, TokenOrder, TupleText,
};
use mnemoscope::task::{Source, Task, held_out_seed};

const SAME: u32 = 2;
const DIFFERENT: u32 = 3;

fn open(settings: &ReferenceBack) -> Arc<dyn Source> {
    settings.open().unwrap_or_else(|e| panic!("{settings:?}: {e}"))
}

fn tuples(source: &dyn Source, row: &Row) -> Tuples {
    source.facet::<TupleText>().unwrap().tuples(&row.tokens)
}

fn sequence(source: &dyn Source, seed: u64, index: u64) -> Vec<Tuple> {
    tuples(source, &source.sequence(seed, index)).list
}

fn role(source: &dyn Source, name: &str) -> u8 {
    1 << source.roles().iter().position(|r| *r == name).unwrap()
}

/// Settings that differ from the defaults in each way that changes sequences.
fn variants() -> Vec<ReferenceBack> {
    let base = ReferenceBack::default;
    let four = || ReferenceBack { registers: 4, concurrent: 3, ..base() };
    vec![
        base(),
        ReferenceBack { registers: 8, concurrent: 8, distinct: 5, tuples: 30, ..base() },
        ReferenceBack { concurrent: 1, ..base() },
        ReferenceBack { store_when_empty: false, ignore: 0.7, ..base() },
        ReferenceBack { order: TokenOrder::InstructionLast, ..base() },
        ReferenceBack { masked: true, order: TokenOrder::InstructionLast, ..four() },
        ReferenceBack { masked: true, sparse: 0.3, ..base() },
        ReferenceBack { rule: Rule::NBack, back: 3, tuples: 20, ..four() },
        ReferenceBack { register_choice: RegisterChoice::Congruent, congruence: 0.8, ..four() },
        ReferenceBack { warm_up: true, back: 3, ..four() },
        ReferenceBack { symbol_set: SymbolSet::Split, distinct: 6, ..four() },
        ReferenceBack { symbol_set: SymbolSet::Train, held_out: 9, ..four() },
        ReferenceBack { symbol_set: SymbolSet::Challenge, held_out: 9, ..four() },
        ReferenceBack { pool: 7, ..base() },
        ReferenceBack { lead_in: 5, lead_in_registers: 2, ..four() },
    ]
}

// ── labels ───────────────────────────────────────────────────────────────────────────────────────────

/// A vector: tuples as instruction, register, symbol and right answer; source of each; symbol of each register at the end.
struct Vector {
    text: &'static str,
    sources: &'static [i64],
    ends: &'static [(usize, usize)],
}

const VECTORS: [Vector; 5] = [
    Vector {
        text: "S03d S17d I07d S03s I17s S13d S17d I03s",
        sources: &[-1, -1, 0, 0, 1, 1, 5, 3],
        ends: &[(0, 3), (1, 7)],
    },
    Vector {
        text: "S01d S12d S02d S11d I02s I11s",
        sources: &[-1, -1, 0, 1, 2, 3],
        ends: &[(0, 2), (1, 1)],
    },
    Vector { text: "S01d S02d S01d I02d I01s", sources: &[-1, 0, 1, 2, 2], ends: &[(0, 1)] },
    Vector { text: "I05d I05d S05d S05s", sources: &[-1, -1, -1, 2], ends: &[(0, 5)] },
    Vector {
        text: "S24d S04d S14d I19d S29d I24d I29s I04s",
        sources: &[-1, -1, -1, 2, 0, 4, 4, 1],
        ends: &[(0, 4), (1, 4), (2, 9)],
    },
];

/// The words of one tuple of a vector in the order that the task writes them, and its answer.
fn spelled(tuple: &str, order: TokenOrder) -> (String, u32) {
    let letters: Vec<char> = tuple.chars().collect();
    let instruction = if letters[0] == 'S' { "Store" } else { "Ignore" };
    let (answer, token) = if letters[3] == 's' { ("same", SAME) } else { ("different", DIFFERENT) };
    let middle = format!("Reg{} Sym{}", letters[1], letters[2]);
    let text = match order {
        TokenOrder::InstructionFirst => format!("{instruction} {middle} {answer}"),
        TokenOrder::InstructionLast => format!("{middle} {answer} {instruction}"),
    };
    (text, token)
}

#[test]
fn labels_sources_and_registers_are_those_of_the_vectors() {
    for order in TokenOrder::ALL {
        let settings = ReferenceBack { registers: 3, symbols: 10, order: *order, ..base() };
        let source = open(&settings);
        for Vector { text, sources, ends } in VECTORS {
            let (words, answers): (Vec<String>, Vec<u32>) =
                text.split(' ').map(|tuple| spelled(tuple, *order)).unzip();
            let tokens = source.vocab().encode(&words.join(" ")).unwrap();
            let row = source.label(&tokens, &Row::default());
            let targets: Vec<u32> =
                row.targets.iter().copied().filter(|t| *t != NO_TARGET).collect();
            assert_eq!(targets, answers, "{text}");
            let asked = if *order == TokenOrder::InstructionFirst { 2 } else { 1 };
            let at = (0..row.len()).filter(|i| row.targets[*i] != NO_TARGET);
            assert!(at.eq((0..answers.len()).map(|i| 4 * i + asked)), "{text}");
            let found = tuples(&*source, &row);
            let found_sources: Vec<i64> =
                found.list.iter().map(|t| t.source.map_or(-1, |s| s as i64)).collect();
            assert_eq!(found_sources, sources, "{text}");
            let last = found.list.len() - 1;
            let held: Vec<(usize, usize)> =
                (0..3).filter_map(|r| found.held(last, r).map(|symbol| (r, symbol))).collect();
            assert_eq!(held, ends, "{text}");
        }
    }
}

fn base() -> ReferenceBack {
    ReferenceBack::default()
}

/// The right answers after the definition, looking back from each tuple: no state.
fn answers(list: &[Tuple], settings: &ReferenceBack) -> Vec<bool> {
    let each = list.iter().enumerate().map(|(i, now)| {
        let stores = list[..i].iter().rev().filter(|t| t.store == Some(true));
        let compared = match settings.rule {
            Rule::Register => stores.clone().find(|t| t.register == now.register),
            Rule::NBack => stores.clone().nth(settings.back - 1),
        };
        compared.is_some_and(|t| t.symbol == now.symbol)
    });
    each.collect()
}

#[test]
fn targets_and_visible_answers_follow_the_definition_in_every_variant() {
    for settings in variants() {
        let source = open(&settings);
        for index in 0..50 {
            let row = source.sequence(held_out_seed(4), index);
            let list = tuples(&*source, &row).list;
            assert_eq!(list.len(), settings.tuples, "{settings:?}");
            assert!(row.occurrence.iter().all(|o| *o == 0));
            let mut asked = vec![NO_TARGET; row.len()];
            for (tuple, same) in list.iter().zip(answers(&list, &settings)) {
                assert_eq!(tuple.same, same, "{settings:?}");
                let answer = if same { SAME } else { DIFFERENT };
                asked[tuple.symbol_at] = answer;
                let shown = row.tokens[tuple.answer_at.unwrap()];
                let mask = source.vocab().len() as u32 - 1;
                assert_eq!(shown, if settings.masked { mask } else { answer });
                assert_eq!(tuple.answer_at, Some(tuple.symbol_at + 1));
            }
            assert_eq!(row.targets, asked, "{settings:?}");
        }
    }
}

#[test]
fn labelling_gives_every_sequence_and_every_pair_back() {
    for settings in variants() {
        let source = open(&settings);
        for index in 0..20 {
            for seed in [1, held_out_seed(1)] {
                let row = source.sequence(seed, index);
                assert_eq!(source.label(&row.tokens, &row), row, "{settings:?}");
            }
        }
        for kind in source.pair_kinds() {
            let Some(pair) = source.pair(kind.name, 0, 0) else { continue };
            for row in [&pair.base, &pair.other] {
                assert_eq!(source.label(&row.tokens, row), *row, "{} {settings:?}", kind.name);
            }
        }
    }
}

#[test]
fn what_is_no_tuple_is_asked_nothing() {
    let source = open(&base());
    let asked = |text: &str| {
        let tokens = source.vocab().encode(text).unwrap();
        let row = source.label(&tokens, &source.sequence(0, 0));
        assert_eq!([row.targets.len(), row.roles.len(), row.occurrence.len()], [row.len(); 3]);
        (0..row.len()).filter(|i| row.targets[*i] != NO_TARGET).collect::<Vec<_>>()
    };
    assert_eq!(asked(""), [0; 0]);
    assert_eq!(asked("Reg0 Store Sym1 same"), [0; 0]);
    assert_eq!(asked("Store Reg0"), [0; 0]);
    assert_eq!(asked("Store Reg0 Sym1"), [2]);
    assert_eq!(
        asked("Store Store Reg0 Sym1 Ignore Reg0 Sym1 same same Store Reg1 Sym2"),
        [3, 6, 11]
    );

    let last = open(&ReferenceBack { order: TokenOrder::InstructionLast, ..base() });
    let read = |text: &str| {
        let row = last.label(&last.vocab().encode(text).unwrap(), &Row::default());
        let list = tuples(&*last, &row).list;
        list.iter().map(|t| (t.store, t.same)).collect::<Vec<_>>()
    };
    assert_eq!(read("Reg0 Sym1 different Store Reg0 Sym1"), [(Some(true), false), (None, true)]);
    assert_eq!(read("Reg0 Sym1 Reg0 Sym1"), [(None, false), (None, false)], "nothing was stored");
}

#[test]
fn a_wrong_answer_in_edited_text_is_shown_and_not_the_target() {
    let source = open(&base());
    let tokens = source.vocab().encode("Store Reg0 Sym1 same").unwrap();
    let row = source.label(&tokens, &Row::default());
    assert_eq!((row.tokens[3], row.targets[2]), (SAME, DIFFERENT));
}

// ── what each setting does ───────────────────────────────────────────────────────────────────────────

#[test]
fn token_ids_and_roles_are_those_of_the_documentation() {
    let source = open(&ReferenceBack { symbols: 3, masked: true, ..base() });
    let words = "Store Ignore same different Reg0 Reg1 Sym0 Sym1 Sym2 mask";
    assert_eq!(source.vocab().len(), 10);
    assert!(source.vocab().encode(words).unwrap().into_iter().eq(0..10));
    assert_eq!(open(&base()).vocab().len(), 4 + 2 + 50);
    let row = open(&base()).sequence(0, 0);
    let of = |name: &str| role(&*open(&base()), name);
    for (i, tuple) in sequence(&*open(&base()), 0, 0).iter().enumerate() {
        let stores = of(if tuple.store == Some(true) { "store" } else { "ignore" });
        let roles: Vec<u8> =
            row.roles[4 * i..4 * i + 4].iter().map(|r| r & !of("discriminating")).collect();
        let expected =
            [of("instruction"), of("register"), of("symbol") | of("asked"), of("answer")];
        assert_eq!(roles, expected.map(|kind| kind | stores));
    }
    assert_eq!(open(&base()).solved_by(), Some("asked"));
    assert_eq!(open(&base()).scored_roles(), ["discriminating"]);
}

/// Share of tuples that `counts` calls true, of those that it does not call `None`.
fn share(
    source: &dyn Source,
    sequences: u64,
    counts: impl Fn(&[Tuple], usize) -> Option<bool>,
) -> f64 {
    let (mut yes, mut all) = (0, 0);
    for index in 0..sequences {
        let list = sequence(source, 2, index);
        for i in 0..list.len() {
            let Some(hit) = counts(&list, i) else { continue };
            yes += usize::from(hit);
            all += 1;
        }
    }
    yes as f64 / f64::from(all)
}

fn assert_share(found: f64, expected: f64, what: &str) {
    // At least 20,000 are counted: four standard deviations.
    assert!((found - expected).abs() < 0.015, "{what}: {found}, expected {expected}");
}

#[test]
fn instructions_and_answers_have_the_probabilities_of_the_settings() {
    for (ignore, same) in [(0.5, 0.5), (0.2, 0.7)] {
        let source = open(&ReferenceBack { ignore, same, tuples: 20, ..base() });
        let compared = |list: &[Tuple], i: usize| list[i].source.is_some();
        let ignores =
            share(&*source, 2000, |l, i| compared(l, i).then(|| l[i].store == Some(false)));
        assert_share(ignores, ignore, "ignore");
        let sames = share(&*source, 2000, |l, i| compared(l, i).then_some(l[i].same));
        assert_share(sames, same, "same");
        let both = share(&*source, 2000, |l, i| {
            (compared(l, i) && l[i].same).then(|| l[i].store == Some(false))
        });
        assert_share(both, ignore, "ignore, given same");
    }
    let empty =
        |list: &[Tuple], i: usize| list[i].source.is_none().then_some(list[i].store == Some(false));
    let forced = open(&base());
    assert!(share(&*forced, 200, empty) == 0.0);
    let free = open(&ReferenceBack { store_when_empty: false, ..base() });
    assert_share(share(&*free, 10_000, empty), 0.5, "ignore at an empty register");
}

#[test]
fn a_sequence_has_its_number_of_registers_and_symbols_and_all_come_alike() {
    let settings = ReferenceBack {
        registers: 5,
        concurrent: 3,
        symbols: 12,
        distinct: 4,
        tuples: 40,
        ..base()
    };
    let source = open(&settings);
    let (mut registers, mut symbols) = (BTreeMap::new(), BTreeMap::new());
    for index in 0..1000 {
        let list = sequence(&*source, 0, index);
        let of = |value: fn(&Tuple) -> usize| list.iter().map(value).collect::<BTreeSet<_>>();
        assert_eq!(
            of(|t| t.register).len(),
            3,
            "40 tuples miss a register in no sequence of 1,000"
        );
        assert!(of(|t| t.symbol).len() <= 4);
        for tuple in &list {
            *registers.entry(tuple.register).or_insert(0) += 1;
            *symbols.entry(tuple.symbol).or_insert(0) += 1;
        }
    }
    for (counts, all) in [(registers, 5), (symbols, 12)] {
        assert_eq!(counts.len(), all);
        let even = 40_000.0 / all as f64;
        assert!(counts.values().all(|n| (f64::from(*n) / even - 1.0).abs() < 0.15), "{counts:?}");
    }
}

#[test]
fn under_split_sets_a_symbol_belongs_to_one_register() {
    let settings = ReferenceBack {
        registers: 3,
        concurrent: 3,
        symbols: 20,
        distinct: 6,
        symbol_set: SymbolSet::Split,
        ..base()
    };
    let source = open(&settings);
    for index in 0..300 {
        let list = sequence(&*source, 0, index);
        let mut own: BTreeMap<usize, BTreeSet<usize>> = BTreeMap::new();
        for tuple in list {
            // Twenty symbols in three equal ranges of six; two are left over.
            assert_eq!(tuple.symbol / 6, tuple.register);
            own.entry(tuple.register).or_default().insert(tuple.symbol);
        }
        assert!(own.values().all(|symbols| symbols.len() <= 2));
    }
    // Two of three registers: the ranges go by their order in the sequence.
    let two = open(&ReferenceBack { concurrent: 2, ..settings });
    for index in 0..300 {
        let list = sequence(&*two, 0, index);
        let least = list.iter().map(|t| t.register).min().unwrap();
        let both = list.iter().any(|t| t.register != least);
        assert!(!both || list.iter().all(|t| (t.symbol / 10 == 0) == (t.register == least)));
    }
}

#[test]
fn held_out_symbols_never_come_with_their_register_in_training_and_alone_in_the_challenge() {
    let settings =
        ReferenceBack { registers: 8, held_out: 10, symbol_set: SymbolSet::Train, ..base() };
    let source = open(&settings);
    let mut seen = vec![BTreeSet::new(); 8];
    for index in 0..20_000 {
        for tuple in sequence(&*source, 0, index) {
            seen[tuple.register].insert(tuple.symbol);
        }
    }
    let held_out: Vec<BTreeSet<usize>> =
        seen.iter().map(|seen| (0..50).filter(|s| !seen.contains(s)).collect()).collect();
    assert!(held_out.iter().all(|symbols| symbols.len() == 10), "{held_out:?}");
    assert!(held_out[0] != held_out[1]);
    let challenge = source.variant("challenge").unwrap();
    let same = open(&ReferenceBack { symbol_set: SymbolSet::Challenge, ..settings });
    let mut used = BTreeSet::new();
    for index in 0..2000 {
        assert_eq!(challenge.sequence(5, index), same.sequence(5, index));
        let list = sequence(&*challenge, 0, index);
        let registers: BTreeSet<usize> = list.iter().map(|t| t.register).collect();
        if registers.len() == 2 {
            let of_them = |s: &usize| registers.iter().any(|r| held_out[*r].contains(s));
            assert!(list.iter().all(|t| of_them(&t.symbol)));
        }
        used.extend(list.iter().map(|t| (t.register, t.symbol)));
    }
    let never = |r: usize| held_out[r].iter().filter(|s| used.contains(&(r, **s))).count();
    assert_eq!((0..8).map(never).sum::<usize>(), 80, "every pair that was held out is asked for");
    assert!(open(&base()).variant("challenge").is_none());
}

#[test]
fn registers_are_congruent_as_often_as_the_setting_says() {
    for congruence in [0.0, 0.4, 1.0] {
        let settings = ReferenceBack {
            registers: 4,
            concurrent: 4,
            tuples: 20,
            register_choice: RegisterChoice::Congruent,
            congruence,
            back: 2,
            store_when_empty: false,
            ..base()
        };
        let found = share(&*open(&settings), 2500, |list, i| {
            let stores = list[..i].iter().rev().filter(|t| t.store == Some(true));
            stores.clone().nth(1).map(|t| t.register == list[i].register)
        });
        assert_share(found, congruence, "congruent registers");
    }
}

#[test]
fn in_the_warm_up_every_register_comes_once() {
    let settings = ReferenceBack { registers: 6, concurrent: 5, warm_up: true, back: 5, ..base() };
    let source = open(&settings);
    let first = |source: &dyn Source, index| -> BTreeSet<usize> {
        sequence(source, 0, index)[..5].iter().map(|t| t.register).collect()
    };
    assert!((0..200).all(|index| first(&*source, index).len() == 5));
    let without = open(&ReferenceBack { warm_up: false, ..settings });
    assert!((0..200).any(|index| first(&*without, index).len() < 5));
}

#[test]
fn masks_and_the_order_of_tokens_change_nothing_else() {
    let plain = open(&base());
    let masked = open(&ReferenceBack { masked: true, ..base() });
    let last = open(&ReferenceBack { order: TokenOrder::InstructionLast, ..base() });
    for index in 0..100 {
        let row = plain.sequence(0, index);
        let hidden = masked.sequence(0, index);
        assert_eq!((&row.targets, &row.roles), (&hidden.targets, &hidden.roles));
        let differ = (0..row.len()).filter(|i| row.tokens[*i] != hidden.tokens[*i]);
        assert!(differ.eq((0..10).map(|i| 4 * i + 3)));
        let turned: Vec<u32> =
            row.tokens.chunks(4).flat_map(|t| [t[1], t[2], t[3], t[0]]).collect();
        assert_eq!(last.sequence(0, index).tokens, turned);
    }
}

#[test]
fn sparse_feedback_drops_targets_of_training_alone() {
    let sparse = open(&ReferenceBack { sparse: 0.3, ..base() });
    let plain = open(&base());
    let mut left = 0;
    for index in 0..3000 {
        let (row, whole) = (sparse.sequence(0, index), plain.sequence(0, index));
        assert_eq!((&row.tokens, &row.roles), (&whole.tokens, &whole.roles));
        for (target, there) in row.targets.iter().zip(&whole.targets) {
            assert!(target == there || *target == NO_TARGET);
            left += usize::from(*target != NO_TARGET);
        }
        let held_out = held_out_seed(0);
        assert_eq!(sparse.sequence(held_out, index), plain.sequence(held_out, index));
    }
    assert_share(left as f64 / 30_000.0, 0.7, "targets that are left");
}

#[test]
fn a_pool_comes_whole_in_every_pass_and_each_time_in_another_order() {
    for pool in [1usize, 12, 97] {
        let source = open(&ReferenceBack { pool, ..base() });
        let pass = |n: usize| -> Vec<Vec<u32>> {
            (n * pool..(n + 1) * pool).map(|i| source.sequence(0, i as u64).tokens).collect()
        };
        let (mut first, mut second) = (pass(0), pass(1));
        assert!(pool == 1 || first != second, "{pool}");
        first.sort_unstable();
        second.sort_unstable();
        assert_eq!(first, second, "{pool}");
        first.dedup();
        assert_eq!(first.len(), pool);
        let fresh = open(&base());
        let held_out = held_out_seed(0);
        assert_eq!(source.sequence(held_out, 500), fresh.sequence(held_out, 500));
    }
}

#[test]
fn among_a_hundred_thousand_sequences_none_comes_twice() {
    let source = open(&base());
    let mut seen = HashSet::new();
    for (seed, count) in [(0, 100_000), (held_out_seed(0), 2_000)] {
        assert!((0..count).all(|index| seen.insert(source.sequence(seed, index).tokens)));
    }
}

#[test]
fn the_lead_in_uses_the_first_registers_of_training_sequences() {
    let settings = ReferenceBack { registers: 3, concurrent: 3, lead_in: 50, ..base() };
    let (source, plain) = (open(&settings), open(&ReferenceBack { lead_in: 0, ..settings }));
    let two = open(&base());
    let spoken = |source: &dyn Source, index| {
        let row = source.sequence(0, index);
        source.vocab().spell(&row.tokens)
    };
    for index in 0..50 {
        assert!(sequence(&*source, 0, index).iter().all(|t| t.register < 2));
        assert_eq!(spoken(&*source, index), spoken(&*two, index), "the task with two registers");
    }
    for index in 50..100 {
        assert_eq!(source.sequence(0, index), plain.sequence(0, index));
    }
    let held_out = held_out_seed(0);
    assert!((0..50).all(|i| source.sequence(held_out, i) == plain.sequence(held_out, i)));
}

#[test]
fn settings_that_contradict_each_other_are_refused() {
    let split = || ReferenceBack { symbol_set: SymbolSet::Split, distinct: 4, ..base() };
    let train = || ReferenceBack { symbol_set: SymbolSet::Train, registers: 4, ..base() };
    let cases = [
        (ReferenceBack { concurrent: 3, ..base() }, "task.concurrent is 3"),
        (ReferenceBack { lead_in: 1, lead_in_registers: 3, ..base() }, "task.lead_in_registers"),
        (ReferenceBack { symbols: 2, ..base() }, "task.distinct is 3"),
        (ReferenceBack { rule: Rule::NBack, back: 10, ..base() }, "task.back is 10"),
        (ReferenceBack { distinct: 3, ..split() }, "set task.distinct to 4"),
        (ReferenceBack { distinct: 2, ..split() }, "at least 2"),
        (ReferenceBack { symbols: 3, distinct: 3, ..split() }, "task.symbols (3)"),
        (ReferenceBack { rule: Rule::NBack, ..split() }, "across registers"),
        (ReferenceBack { registers: 2, ..train() }, "raise task.registers"),
        (ReferenceBack { held_out: 49, ..train() }, "leaves some sequences only"),
        (
            ReferenceBack { symbol_set: SymbolSet::Challenge, held_out: 1, ..train() },
            "task.held_out = 1",
        ),
    ];
    for (settings, expected) in cases {
        let error = settings.open().err().unwrap_or_else(|| panic!("{settings:?} opened"));
        assert!(error.message.contains(expected), "{error}");
    }
    for settings in [split(), train(), ReferenceBack { distinct: 8, ..split() }] {
        assert!(settings.open().is_ok(), "{settings:?}");
    }
}

// ── shortcuts ────────────────────────────────────────────────────────────────────────────────────────

/// What six ways to answer without gating say of tuple `i`: always different; symbol anywhere before; with this register;
/// in its last tuple; in the last store; ever stored in this register.
fn guesses(list: &[Tuple], i: usize) -> [bool; 6] {
    let (now, before) = (&list[i], &list[..i]);
    let mut guesses = [false; 6];
    let (mut last_here, mut last_store) = (None, None);
    for t in before {
        let (symbol, here, stored) =
            (t.symbol == now.symbol, t.register == now.register, t.store == Some(true));
        guesses[1] |= symbol;
        guesses[2] |= symbol && here;
        guesses[5] |= symbol && here && stored;
        if here {
            last_here = Some(symbol);
        }
        if stored {
            last_store = Some(symbol);
        }
    }
    guesses[3] = last_here == Some(true);
    guesses[4] = last_store == Some(true);
    guesses
}

/// Share of same answers, then of right guesses; share of discriminating answers, then of right guesses among these.
fn measured(settings: &ReferenceBack, sequences: u64) -> ([f64; 7], [f64; 7]) {
    let source = open(settings);
    let discriminating = role(&*source, "discriminating");
    let part = |thread: u64| {
        let mut counts = [[0u64; 7]; 2];
        for index in (thread..sequences).step_by(2) {
            let row = source.sequence(0, index);
            let list = tuples(&*source, &row).list;
            for (i, now) in list.iter().enumerate() {
                let right = guesses(&list, i).map(|guess| u64::from(guess == now.same));
                // Those that mind the register, but not what it keeps.
                let misled = [2, 3, 5].iter().any(|k| right[*k] == 0);
                assert_eq!(row.roles[now.symbol_at] & discriminating != 0, misled);
                counts[0][0] += u64::from(now.same);
                counts[1][0] += u64::from(misled);
                for (k, right) in right.iter().enumerate() {
                    counts[0][k + 1] += right;
                    counts[1][k + 1] += right * u64::from(misled);
                }
            }
        }
        counts
    };
    let both = std::thread::scope(|scope| {
        [scope.spawn(|| part(0)), scope.spawn(|| part(1))].map(|thread| thread.join().unwrap())
    });
    let sum = |of: usize, k: usize| (both[0][of][k] + both[1][of][k]) as f64;
    let all = sequences as f64 * settings.tuples as f64;
    let over = |of: usize, k: usize| sum(of, k) / if of == 1 && k > 0 { sum(1, 0) } else { all };
    (std::array::from_fn(|k| over(0, k)), std::array::from_fn(|k| over(1, k)))
}

#[test]
fn shortcuts_are_as_good_as_in_sequences_that_others_drew() {
    let row = |concurrent, distinct| ReferenceBack {
        registers: concurrent,
        concurrent,
        distinct,
        ..base()
    };
    for (settings, expected) in [
        (row(2, 3), [0.403, 0.597, 0.689, 0.861, 0.887, 0.792, 0.921]),
        (row(3, 3), [0.353, 0.647, 0.641, 0.916, 0.917, 0.733, 0.955]),
        (row(2, 4), [0.399, 0.601, 0.747, 0.897, 0.900, 0.800, 0.943]),
    ] {
        let (found, among) = measured(&settings, 60_000);
        for (found, expected) in found.iter().zip(expected) {
            assert!((found - expected).abs() <= 0.003, "{found:.4}, expected {expected}");
        }
        // Where they disagree with the truth, those that mind the register do not get far, and no other makes up for it.
        assert!([3, 4, 6].iter().all(|k| among[*k] < 0.75), "{among:.3?}");
        assert!(among[1..].iter().all(|share| *share < 0.85), "{among:.3?}");
    }
}

// ── counterfactual pairs ─────────────────────────────────────────────────────────────────────────────

/// The last tuple before `at` that stored in a register.
fn last_store(list: &[Tuple], register: usize, at: usize) -> Option<usize> {
    (0..at).rev().find(|i| list[*i].store == Some(true) && list[*i].register == register)
}

/// A pair as tuples, with the number of the tuple that is looked at.
struct Told {
    base: Vec<Tuple>,
    other: Vec<Tuple>,
    read: usize,
    pair: Pair,
}

impl Told {
    fn new(source: &dyn Source, pair: Pair) -> Self {
        let (base, other) = (tuples(source, &pair.base).list, tuples(source, &pair.other).list);
        let read = base.iter().position(|t| t.symbol_at == pair.at).unwrap();
        Self { base, other, read, pair }
    }

    /// The tuple of a place.
    fn tuple(&self, name: &str) -> usize {
        let at = self.pair.place(name).unwrap_or_else(|| panic!("no place {name}"));
        let with =
            |t: &Tuple| t.bound_at() == at || t.symbol_at == at || t.instruction_at == Some(at);
        self.base.iter().position(with).unwrap()
    }

    fn changed(&self) -> usize {
        let [at] = self.pair.differs()[..] else { panic!("{:?}", self.pair.differs()) };
        assert_eq!(self.pair.place("changed"), Some(at));
        at / 4
    }
}

/// What the table of kinds asks of each of them.
fn check_kind(kind: &str, told: &Told) {
    let Told { base, other, read, .. } = told;
    let (read, changed) = (*read, told.changed());
    let register = base[read].register;
    let symbol = |i: usize| base[i].symbol;
    let store = last_store(base, register, read).unwrap();
    let before = |i: usize| last_store(base, base[i].register, i);
    let one_of = |read: usize, a: usize, b: usize| {
        assert!(symbol(a) != symbol(b));
        assert!([symbol(a), symbol(b)].contains(&symbol(read)));
    };
    match kind {
        "deny" => {
            assert_eq!(
                (changed, told.tuple("store"), told.tuple("instruction")),
                (store, store, store)
            );
            assert_eq!((base[store].store, other[store].store), (Some(true), Some(false)));
            assert_eq!(told.tuple("earlier_store"), before(store).unwrap());
            one_of(read, store, before(store).unwrap());
        }
        "admit" => {
            assert_eq!(
                (changed, told.tuple("ignore"), told.tuple("store")),
                (changed, changed, store)
            );
            assert!(changed > store && base[changed].register == register);
            assert_eq!((base[changed].store, other[changed].store), (Some(false), Some(true)));
            one_of(read, store, changed);
        }
        "content" => {
            assert_eq!((changed, told.tuple("store")), (store, store));
            assert!([symbol(store), other[store].symbol].contains(&symbol(read)));
            assert_ne!(symbol(store), other[store].symbol);
        }
        "role" => {
            let (from, to) = (base[changed].register, other[changed].register);
            assert_eq!((base[changed].store, told.tuple("store")), (Some(true), changed));
            let second = told.tuple("other_read");
            assert!(second > read && base[second].same != other[second].same);
            let mut registers = [base[read].register, base[second].register];
            registers.sort_unstable();
            assert_eq!(registers, [from.min(to), from.max(to)]);
            let here = if register == from { read } else { second };
            let there = if register == from { second } else { read };
            let (earlier, held) =
                (before(changed).unwrap(), last_store(base, to, changed).unwrap());
            assert_eq!((told.tuple("earlier_store"), told.tuple("other_store")), (earlier, held));
            assert_eq!(other[here].source, Some(earlier), "the register keeps what it held");
            assert_eq!(other[there].source, Some(changed), "the symbol is found there");
            assert_eq!((base[here].source, base[there].source), (Some(changed), Some(held)));
            one_of(here, changed, earlier);
            one_of(there, changed, held);
        }
        "output" => {
            assert_eq!((changed, told.tuple("store")), (read, store));
            let held = last_store(base, other[read].register, read).unwrap();
            assert_eq!(told.tuple("other_store"), held);
            one_of(read, store, held);
        }
        "specificity" => {
            assert_eq!((changed, told.tuple("store")), (changed, changed));
            assert_ne!(base[changed].register, register);
            assert_eq!((base[changed].store, other[changed].store), (Some(true), Some(false)));
            assert_eq!(last_store(base, base[changed].register, read), Some(changed));
            assert_ne!(symbol(before(changed).unwrap()), symbol(changed));
            assert_eq!(told.tuple("other_store"), store);
        }
        _ => panic!("there is no kind {kind}"),
    }
}

#[test]
fn pairs_of_every_kind_keep_the_laws_of_their_kind() {
    let three = ReferenceBack { registers: 3, concurrent: 3, distinct: 4, tuples: 16, ..base() };
    let last = ReferenceBack { order: TokenOrder::InstructionLast, masked: true, ..base() };
    let free = ReferenceBack { store_when_empty: false, ..base() };
    for settings in [base(), three, last, free] {
        let source = open(&settings);
        assert_eq!(source.pair_kinds().len(), 6);
        for kind in source.pair_kinds() {
            let mut same = 0;
            for index in 0..60 {
                let pair = source.pair(kind.name, 3, index).unwrap();
                let told = Told::new(&*source, pair);
                let (pair, read) = (&told.pair, told.read);
                check_kind(kind.name, &told);
                assert_eq!(pair.place("read"), Some(pair.at));
                let right = [&told.base, &told.other]
                    .map(|list| if answers(list, &settings)[read] { SAME } else { DIFFERENT });
                assert_eq!(pair.answers, right);
                assert_eq!(right, [pair.base.targets[pair.at], pair.other.targets[pair.at]]);
                let changes = kind.name != "specificity";
                assert_eq!(right[0] != right[1], changes, "{}", kind.name);
                for (base, other) in told.base[..read].iter().zip(&told.other) {
                    assert_eq!(base.same, other.same, "{}: no earlier answer changes", kind.name);
                }
                same += usize::from(right[0] == SAME);
            }
            assert!((5..=55).contains(&same), "{}: both answers come first, {same}", kind.name);
        }
    }
}

#[test]
fn a_pair_is_keyed_by_kind_seed_and_index() {
    let source = open(&base());
    let other = open(&base());
    let mut seen = HashSet::new();
    for kind in source.pair_kinds() {
        for (seed, index) in [(0, 0), (0, 1), (1, 0)] {
            let pair = source.pair(kind.name, seed, index).unwrap();
            assert_eq!(other.pair(kind.name, seed, index), Some(pair.clone()));
            assert!(seen.insert(pair.base.tokens));
        }
    }
    assert!(source.pair("birth", 0, 0).is_none());
}

#[test]
fn settings_without_such_pairs_have_none() {
    let names = |settings: &ReferenceBack| {
        open(settings).pair_kinds().iter().map(|kind| kind.name).collect::<Vec<_>>()
    };
    let one = ReferenceBack { concurrent: 1, ..base() };
    assert_eq!(names(&one), ["deny", "admit", "content"]);
    assert!(open(&one).pair("output", 0, 0).is_none());
    assert!(open(&one).pair("admit", 0, 0).is_some());
    let n_back = ReferenceBack { rule: Rule::NBack, ..base() };
    assert!(names(&n_back).is_empty() && open(&n_back).pair("deny", 0, 0).is_none());
    let short = open(&ReferenceBack { tuples: 2, ..base() });
    assert!(short.pair("deny", 0, 0).is_none() && short.pair("content", 0, 0).is_some());
    assert!(open(&ReferenceBack { ignore: 0.0, ..base() }).pair("admit", 0, 0).is_none());
}
