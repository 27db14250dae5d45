//! Tasks that take a procedure: the largest number of a list, sums.

use mnemoscope::base::batch::NO_TARGET;
use mnemoscope::base::error::Kind;
use mnemoscope::task::addition::Addition;
use mnemoscope::task::groups::Groups;
use mnemoscope::task::max_of_list::MaxOfList;
use mnemoscope::task::{Source, Task, altered, held_out_seed};

use super::memory_tasks::{check_laws, of_text, open, targets};
use super::working_memory::Asked;

// ── the largest number of a list ─────────────────────────────────────────────────────────────────────

fn max_of_list() -> MaxOfList {
    MaxOfList::default()
}

#[test]
fn after_each_number_the_largest_so_far_is_asked() {
    let source = open(&max_of_list());
    let row = of_text(&*source, "46 41 41 63 0 63");
    assert_eq!(row.tokens, [46, 41, 41, 63, 0, 63]);
    assert_eq!(targets(&*source, &row), "46 46 46 63 63 63");
    // The last number is as large as the largest.
    assert_eq!(row.roles, [5, 6, 6, 5, 6, 5]);
    let largest: Vec<usize> =
        source.labels("largest", &row).into_iter().map(|label| label.unwrap()[0]).collect();
    assert_eq!(largest, [46, 46, 46, 63, 63, 63]);
}

#[test]
fn lists_keep_the_laws_of_a_task() {
    for settings in [
        max_of_list(),
        MaxOfList { numbers: 2, length: 8, ..max_of_list() },
        MaxOfList { numbers: 5, length: 1, ..max_of_list() },
        MaxOfList { longest: 9, ..max_of_list() },
    ] {
        check_laws(&format!("{settings:?}"), &*open(&settings));
    }
}

#[test]
fn numbers_are_each_as_likely() {
    let source = open(&MaxOfList { numbers: 4, ..max_of_list() });
    let mut counts = [0usize; 4];
    for index in 0..2000 {
        source.sequence(3, index).tokens.iter().for_each(|t| counts[*t as usize] += 1);
    }
    // A quarter of 6,000 has a standard deviation of 34.
    assert!(counts.iter().all(|count| count.abs_diff(1500) < 140), "{counts:?}");
}

#[test]
fn the_two_lists_of_a_pair_differ_in_their_largest_number() {
    let source = open(&MaxOfList { length: 5, ..max_of_list() });
    for index in 0..50 {
        let pair = source.pair("largest", 0, index).unwrap();
        let place = pair.places[0].1;
        assert_eq!(pair.differs(), [place]);
        for row in [&pair.base, &pair.other] {
            assert_eq!(row.tokens.iter().max(), Some(&row.tokens[place]));
            assert_eq!(row.targets[pair.at], row.tokens[place]);
        }
    }
}

#[test]
fn lists_may_be_longer_and_other_numbers_are_refused() {
    let source = open(&MaxOfList { longest: 12, ..max_of_list() });
    assert_eq!((source.length(), source.longest()), (3, 12));
    assert_eq!(max_of_list().of_length(7).unwrap().open().unwrap().length(), 7);
    let error = altered(&*source, &[("numbers".to_owned(), 65.into())]).err().unwrap();
    assert!(error.message.contains("task.numbers"), "{error}");
}

#[test]
fn one_head_learns_to_look_at_the_largest_number_and_to_copy_it() {
    let small = ["task.numbers=8", "model.layers=1", "model.heads=1", "model.width=16"];
    let bare = ["model.norm=none", "model.final_norm=false", "model.mlp=none"];
    let drawn = ["model.init=fan_in", "model.embedding_std=0.5", "model.biases=false"];
    let mut asked = Asked::of("max_of_list", "decoder", &[&small[..], &bare, &drawn].concat(), 400);
    let columns = asked.trainer.columns().to_vec();
    let values = asked.trainer.evaluate().unwrap().0.values;
    let smaller = columns.iter().position(|column| column == "accuracy_smaller").unwrap();
    assert!(values[smaller] > 0.95, "{values:?}");
}

// ── sums ─────────────────────────────────────────────────────────────────────────────────────────────

fn addition() -> Addition {
    Addition::default()
}

/// The digits of a text's sum, the largest first, and what each takes from the ones on: its case and what it makes.
fn told(source: &dyn Source, text: &str) -> (String, Vec<String>) {
    let row = of_text(source, text);
    let digits = source.length() / 3;
    let asked = 2 * digits + 1..3 * digits + 2;
    let sum = asked.clone().map(|at| source.vocab().text(row.targets[at])).collect();
    let makes = |kind: &str, at: usize| source.labels(kind, &row)[at] == Some(vec![1]);
    let each = asked.skip(1).rev().map(|at| {
        let case = ["BA", "UC1", "US9"][row.roles[at].trailing_zeros() as usize];
        let makes = [("makes_carry", " MC1"), ("makes_sum_9", " MS9")]
            .map(|(kind, text)| if makes(kind, at) { text } else { "" });
        format!("{case}{}", makes.concat())
    });
    (sum, each.collect())
}

#[test]
fn sums_and_their_cases_are_those_of_the_vectors() {
    let source = open(&addition());
    for (text, sum, cases) in [
        ("33357+82243=11560", "115600", ["BA MC1", "US9 MC1 MS9", "UC1", "BA", "BA MC1"]),
        ("11111+22222=03333", "033333", ["BA"; 5]),
        ("00045+00055=00010", "000100", ["BA MC1", "US9 MC1 MS9", "UC1", "BA", "BA"]),
        ("00450+00550=00100", "001000", ["BA", "BA MC1", "US9 MC1 MS9", "UC1", "BA"]),
        ("04450+05550=01000", "010000", ["BA", "BA MC1", "US9 MC1 MS9", "US9 MC1 MS9", "UC1"]),
        ("44445+55555=10000", "100000", {
            let nine = "US9 MC1 MS9";
            ["BA MC1", nine, nine, nine, nine]
        }),
    ] {
        let found = told(&*source, text);
        assert_eq!(found, (sum.to_owned(), cases.map(str::to_owned).to_vec()), "{text}");
    }
}

#[test]
fn a_sum_that_is_not_written_yet_or_wrongly_has_the_same_answers() {
    let source = open(&addition());
    let (whole, wrong) = ("00450+00550=00100", "00450+00550=99999");
    let [whole, wrong] = [whole, wrong].map(|text| of_text(&*source, text).targets);
    assert_eq!(whole, wrong);
    let prompt = of_text(&*source, "00450+00550=");
    assert_eq!((prompt.len(), prompt.targets[11]), (12, 0));
    // No sum: no plus where it should be, a sign among the digits, no end.
    for text in ["004500+0550=00100", "00450+00=50=00100", "00450+00550"] {
        let row = of_text(&*source, text);
        assert!(row.targets.iter().all(|target| *target == NO_TARGET), "{text}");
        assert!(source.labels("carry_in", &row).is_empty(), "{text}");
    }
}

#[test]
fn sums_keep_the_laws_of_a_task() {
    for settings in [
        addition(),
        Addition { digits: 1, ..addition() },
        Addition { digits: 3, trained: 2, ..addition() },
        Addition { nines: 1.0, ..addition() },
        Addition { digits: 16, ..addition() },
    ] {
        check_laws(&format!("{settings:?}"), &*open(&settings));
    }
}

/// The two numbers of a sequence, and what is to be predicted of their sum.
fn numbers(source: &dyn Source, seed: u64, index: u64) -> [u64; 3] {
    let row = source.sequence(seed, index);
    let digits = row.len() / 3;
    let number = |ids: &[u32]| ids.iter().fold(0, |n, digit| 10 * n + u64::from(*digit));
    [
        number(&row.tokens[..digits]),
        number(&row.tokens[digits + 1..=2 * digits]),
        number(&row.targets[2 * digits + 1..]),
    ]
}

#[test]
fn what_is_asked_is_the_sum_and_nines_come_as_often_as_they_should() {
    let source = open(&addition());
    let (mut nines, all) = (0, 4000 * 5);
    for index in 0..4000 {
        let [a, b, sum] = numbers(&*source, 3, index);
        assert_eq!(a + b, sum);
        let mut places = (a, b);
        for _ in 0..5 {
            nines += u32::from(places.0 % 10 + places.1 % 10 == 9);
            places = (places.0 / 10, places.1 / 10);
        }
    }
    // A tenth by chance, and of the rest a fifth in one sequence of five.
    let (share, expected) = (f64::from(nines) / f64::from(all), 0.1 + 0.9 * 0.04);
    assert!((share - expected).abs() < 0.01, "{share}, expected {expected}");
}

#[test]
fn numbers_of_a_digit_more_are_asked_beside_those_of_training() {
    let source = open(&Addition { trained: 3, ..addition() });
    let more = source.variant("more_digits").unwrap();
    for index in 0..200 {
        for seed in [1, held_out_seed(1)] {
            let [a, b, sum] = numbers(&*source, seed, index);
            assert!(a < 1000 && b < 1000 && a + b == sum);
            let [a, b, sum] = numbers(&*more, seed, index);
            assert!(a < 10_000 && b < 10_000 && a.max(b) >= 1000 && a + b == sum);
        }
    }
    assert!(open(&addition()).variant("more_digits").is_none());
    let error = Addition { trained: 6, ..addition() }.open().err().unwrap();
    assert_eq!(error.kind, Kind::Usage);
    assert!(error.message.contains("task.trained is 6, but task.digits is 5"), "{error}");
}

#[test]
fn in_a_pair_one_is_carried_into_the_digit_that_is_asked_for_or_not() {
    let source = open(&addition());
    for index in 0..100 {
        let pair = source.pair("carry", 0, index).unwrap();
        let carried = |row| source.labels("carry_in", row)[pair.at].clone();
        assert_eq!([carried(&pair.base), carried(&pair.other)], [Some(vec![0]), Some(vec![1])]);
        assert_eq!((pair.answers[0] + 1) % 10, pair.answers[1]);
        let differs = pair.differs();
        assert_eq!(differs[0], pair.places[0].1, "the digit of the first number");
        assert!(differs[1..].iter().all(|at| *at > 11), "and digits of the sum");
    }
}

#[test]
fn each_digit_is_in_the_groups_of_its_place_and_of_its_case() {
    let source = open(&addition());
    let groups = source.facet::<Groups>().unwrap();
    let named = |text: &str, at: usize| -> Vec<&str> {
        let tokens = source.vocab().encode(text).unwrap();
        let of = (groups.of)(&tokens).into_iter().filter(|(position, _)| *position == at);
        of.map(|(_, group)| groups.columns[group].as_str()).collect()
    };
    let text = "00450+00550=00100";
    assert_eq!(named(text, 11), ["loss_by_digit_5"]);
    let of_2 = ["loss_by_digit_2", "loss_by_case_use_sum_9", "loss_by_both_2_use_sum_9"];
    assert_eq!(named(text, 14), of_2);
    assert_eq!(named(text, 16)[1..], ["loss_by_case_base_add", "loss_by_both_0_base_add"]);
    assert!(named(text, 5).is_empty());
    assert_eq!(named("00450+00550=", 11), ["loss_by_digit_5"]);
    assert_eq!(groups.columns.len(), 6 + 3 + 15);
}

#[test]
fn the_loss_is_recorded_by_digit_and_by_case() {
    let settings = ["task.digits=2", "task.trained=1", "train.held_out=64"];
    let small = ["model.layers=1", "model.heads=2", "model.width=8"];
    let mut asked = Asked::of("addition", "decoder", &[&settings[..], &small].concat(), 20);
    let columns = asked.trainer.columns().to_vec();
    let values = asked.trainer.evaluate().unwrap().0.values;
    let of = |name: &str| values[columns.iter().position(|column| column == name).unwrap()];
    // All digits are asked as often.
    let mean = (0..3).map(|place| of(&format!("loss_by_digit_{place}"))).sum::<f64>() / 3.0;
    assert!((mean - of("loss")).abs() < 1e-6, "{mean}");
    assert!(of("loss_by_both_0_use_carry").is_nan(), "nothing is carried into the ones");
    assert!((0.0..=1.0).contains(&of("accuracy_more_digits")));
    assert!(of("loss_by_both_0_base_add") == of("loss_by_digit_0"));
}
