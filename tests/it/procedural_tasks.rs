//! Tasks that take a procedure: the largest number of a list.

use mnemoscope::task::max_of_list::MaxOfList;
use mnemoscope::task::{Task, altered};

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
