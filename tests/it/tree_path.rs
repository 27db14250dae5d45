//! Trees: the published generator bit for bit, the laws of every size, edited trees, pairs, and paths that are counted.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use candle_core::{Device, Tensor};
use mnemoscope::base::batch::{Batch, NO_TARGET, Row};
use mnemoscope::base::tree::{COMMA, FEWEST, MOST, Script, Tree};
use mnemoscope::measurement::tree::TreeOutcome;
use mnemoscope::measurement::{Measurement, Scene, Subject};
use mnemoscope::model::{Architecture, Sequences, decoder};
use mnemoscope::nn::params::Params;
use mnemoscope::nn::tap::Captured;
use mnemoscope::run::experiment::Experiment;
use mnemoscope::task::bigram::Bigram;
use mnemoscope::task::numpy::Numpy;
use mnemoscope::task::tree_path::{Growth, Order, TreePath, Trees};
use mnemoscope::task::{Source, Task, held_out_seed};

fn open(settings: &TreePath) -> Arc<dyn Source> {
    settings.open().unwrap()
}

fn of(nodes: usize, growth: Growth, order: Order) -> TreePath {
    TreePath { nodes, growth, order, ..TreePath::default() }
}

/// Every size, way of growing and order.
fn sweep() -> Vec<TreePath> {
    let sizes = FEWEST..=MOST;
    sizes
        .flat_map(|nodes| Growth::ALL.iter().map(move |growth| (nodes, *growth)))
        .flat_map(|(nodes, growth)| Order::ALL.iter().map(move |order| of(nodes, growth, *order)))
        .collect()
}

/// The text without its padding.
fn text(tree: &Tree) -> String {
    tree.script().vocab().spell(&tree.to_tokens()).trim_end_matches(',').to_owned()
}

fn role(source: &dyn Source, row: &Row, name: &str) -> Vec<usize> {
    let bit = source.roles().iter().position(|r| *r == name).unwrap();
    (0..row.len()).filter(|i| row.roles[*i] & (1 << bit) != 0).collect()
}

// ── the published generator ──────────────────────────────────────────────────────────────────────────

fn tree_of(source: &dyn Source, row: &Row) -> Option<Tree> {
    source.facet::<Trees>().unwrap().tree(&row.tokens)
}

#[test]
fn random_numbers_are_those_of_numpy() {
    let mut rng = Numpy::new(0);
    let expected = [
        0xa30f_ebcf_d9c2_825f,
        0x4510_bdf8_82d9_d721,
        0x0a7d_3da9_4ecd_e8b8,
        0x043b_27b6_1342_f01d,
    ];
    assert_eq!([(); 4].map(|()| rng.next_u64()), expected);
    let mut rng = Numpy::new(0);
    let expected = [3_653_403_231, 2_735_729_615, 2_195_314_465, 1_158_725_112];
    assert_eq!([(); 4].map(|()| rng.next_u32()), expected);
}

#[test]
fn trees_are_those_of_the_published_files() {
    let training = TreePath::default();
    let evaluation = of(16, Growth::Plain, Order::Backward);
    let long = TreePath { path_length: 10, ..evaluation.clone() };
    let cases = [
        (
            &training,
            0,
            "13>9,11>13,10>11,15>10,12>15,14>12,6>14,2>6,1>2,0>1,5>0,7>3,4>5,8>7,8>4|9:8>4>5>0>1>2>6>14>12>15>10>11>13>9",
        ),
        (
            &training,
            1,
            "12>6,4>5,0>2,12>15,6>9,3>13,14>1,14>4,2>11,13>7,11>14,15>0,3>8,5>10,6>3|10:12>15>0>2>11>14>4>5>10",
        ),
        (
            &training,
            2,
            "10>3,0>10,15>0,12>15,14>12,11>14,6>11,2>6,8>4,8>2,13>8,7>13,5>7,1>9,1>5|3:1>5>7>13>8>2>6>11>14>12>15>0>10>3",
        ),
        (
            &training,
            3,
            "14>9,0>1,13>14,3>13,7>10,11>12,9>0,4>3,2>15,10>11,2>4,6>5,11>8,8>6,1>7|5:2>4>3>13>14>9>0>1>7>10>11>8>6>5",
        ),
        (
            &training,
            4,
            "9>11,4>9,3>4,8>3,5>8,0>5,12>0,13>12,10>2,15>13,1>10,7>15,6>1,14>7,14>6|11:14>7>15>13>12>0>5>8>3>4>9>11",
        ),
        (
            &long,
            89_342_568,
            "8>13,7>8,2>11,2>7,14>2,14>1,6>14,4>6,3>4,0>3,9>0,5>12,5>9,10>5,15>10|11:15>10>5>9>0>3>4>6>14>2>11",
        ),
        (
            &evaluation,
            0,
            "11>12,8>15,6>14,6>11,4>8,2>6,9>13,1>4,1>2,0>9,0>1,5>0,3>5,7>3,10>7|14:10>7>3>5>0>1>2>6>14",
        ),
    ];
    for (settings, seed, expected) in cases {
        let tree = settings.published(seed).unwrap();
        assert_eq!(text(&tree), expected, "seed {seed}");
        let script = tree.script();
        let tokens = script.vocab().encode(expected).unwrap();
        assert_eq!(tree.to_tokens()[..tokens.len()], tokens);
    }
}

#[test]
fn tokens_are_those_of_the_published_tokeniser() {
    let mut expected = vec![
        21, 15, 0, 29, 14, 0, 25, 11, 0, 21, 8, 0, 31, 18, 0, 28, 6, 0, 23, 10, 0, 23, 13, 0, 27,
        4, 0, 22, 16, 0, 20, 7, 0, 24, 9, 0, 28, 17, 0, 30, 3, 0, 31, 12, 2, 19, 1, 21, 8, 9, 11,
        4, 7, 13, 14, 3,
    ];
    expected.extend([0; 10]);
    assert_eq!(TreePath::default().published(1).unwrap().to_tokens(), expected);
    // Run 0 without a pool reads the file from its first line on.
    let row = open(&TreePath::default()).sequence(0, 1);
    assert_eq!(row.tokens, expected[..65]);
    assert_eq!(row.targets[47..], expected[48..]);
    assert!(row.targets[..47].iter().all(|t| *t == NO_TARGET));
}

/// Checksum of the texts of these seeds, a line each.
fn checksum(settings: &TreePath, seeds: impl IntoIterator<Item = u128>) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    for seed in seeds {
        hasher.update(text(&settings.published(seed).unwrap()).as_bytes());
        hasher.update(b"\n");
    }
    hasher.finalize()
}

/// The right sides were written by the generator in Python on numpy 2.4.6.
#[test]
fn thousands_of_trees_of_all_sizes_are_those_that_numpy_draws() {
    assert_eq!(checksum(&TreePath::default(), 0..5000), 0x2fad_12bd);
    let orders = [
        (Order::Forward, 0x6fb7_4cb5),
        (Order::Random, 0x74a6_a619),
        (Order::Backward, 0xe3c4_03bb),
    ];
    for (order, expected) in orders {
        assert_eq!(checksum(&of(16, Growth::Plain, order), 0..500), expected, "{order:?}");
    }
    let by_size: [[u32; 2]; 13] = [
        [0xa3fe_bb3b, 0x7168_3cbe],
        [0x976a_bdfb, 0x4e2f_d888],
        [0xe48e_75bb, 0x440e_596b],
        [0x0dcc_da9c, 0x751f_43bd],
        [0x9ef8_08f0, 0xdcb0_afbe],
        [0xfe42_b352, 0xefd6_5eec],
        [0x6cdb_c99a, 0x8ab7_79a8],
        [0x7b76_6841, 0xebdf_146e],
        [0xae72_2973, 0x049f_a8b0],
        [0x8255_b81a, 0x9786_1e0b],
        [0x38c7_b580, 0x51de_2501],
        [0x44e9_4c42, 0x8f01_4636],
        [0x9220_957e, 0x5790_bd76],
    ];
    // Seeds of one word and of four.
    let large = (1 << 127) + (7 << 64);
    for (nodes, expected) in (4..).zip(by_size) {
        let of =
            |growth| checksum(&of(nodes, growth, Order::File), (0..300).chain(large..large + 50));
        assert_eq!(Growth::ALL.iter().map(|g| of(*g)).collect::<Vec<_>>(), expected, "{nodes}");
    }
}

// ── laws of every size ───────────────────────────────────────────────────────────────────────────────

/// From the root to the goal by walking down all branches.
fn walked(tree: &Tree) -> Vec<usize> {
    let mut stack = vec![vec![tree.root]];
    while let Some(way) = stack.pop() {
        let end = *way.last().unwrap();
        if end == tree.goal {
            return way;
        }
        let below = tree.edges.iter().filter(|edge| edge.parent == end);
        stack.extend(below.map(|edge| [&way[..], &[edge.child]].concat()));
    }
    panic!("the goal is not below the root: {tree:?}");
}

#[test]
fn every_generated_sequence_is_a_binary_tree_and_its_path() {
    for settings in sweep() {
        let source = open(&settings);
        let n = settings.nodes;
        assert_eq!(source.length(), 4 * n + 1);
        assert_eq!(source.vocab().len(), 3 + 2 * n);
        for (seed, index) in (0..12).map(|i| (if i % 2 == 0 { 5 } else { held_out_seed(5) }, i)) {
            let row = source.sequence(seed, index);
            let tree = tree_of(&*source, &row).unwrap();
            assert_eq!(tree.edges.len(), n - 1);
            let below: BTreeSet<usize> = tree.edges.iter().map(|edge| edge.child).collect();
            assert_eq!(below.len(), n - 1, "each node but the root hangs under one");
            assert!(!below.contains(&tree.root));
            assert!((0..n).all(|node| tree.children(node).len() <= 2));
            assert!(tree.is_leaf(tree.goal));
            assert_eq!(tree.path, walked(&tree));
            assert_eq!(tree.path_length(), tree.depth(tree.goal));
            let longest = if settings.growth == Growth::Plain { n / 3 * 2 - 1 } else { n - 1 };
            assert!((1..=longest).contains(&tree.path_length()), "{settings:?}");
            for edge in &tree.edges {
                let texts =
                    [edge.source, edge.target].map(|at| source.vocab().text(row.tokens[at]));
                assert_eq!(texts, [edge.parent.to_string(), format!(">{}", edge.child)]);
            }
        }
    }
}

#[test]
fn the_training_file_has_a_second_branch_and_the_evaluation_need_not() {
    let branches = |growth| {
        let trees = (0..200).map(|seed| of(16, growth, Order::File).published(seed).unwrap());
        trees.filter(|t| t.path_length() < 15).map(|t| t.children(t.root).len()).min().unwrap()
    };
    assert_eq!(branches(Growth::SecondaryPath), 2);
    assert_eq!(branches(Growth::Plain), 1);
}

#[test]
fn edges_stand_in_the_order_that_is_asked_for() {
    for n in FEWEST..=MOST {
        let pairs =
            |order, seed| of(n, Growth::SecondaryPath, order).published(seed).unwrap().pairs();
        let mut shuffles = 0;
        for seed in 0..10 {
            let forward = pairs(Order::Forward, seed);
            let tree = of(n, Growth::SecondaryPath, Order::Forward).published(seed).unwrap();
            let depths: Vec<usize> = forward.iter().map(|(_, child)| tree.depth(*child)).collect();
            assert!(depths.is_sorted(), "upper edges first");
            let backward: Vec<_> = forward.iter().rev().copied().collect();
            assert_eq!(pairs(Order::Backward, seed), backward);
            let shuffled = pairs(Order::Random, seed);
            let set = |pairs: &[(usize, usize)]| pairs.iter().copied().collect::<BTreeSet<_>>();
            assert_eq!(set(&shuffled), set(&forward));
            shuffles += usize::from(shuffled != forward && shuffled != backward);
            let file = if seed % 2 == 0 { backward } else { shuffled };
            assert_eq!(pairs(Order::File, seed), file);
        }
        assert!(shuffles > 2, "{n}: {shuffles}");
    }
}

#[test]
fn roles_and_targets_say_what_stands_where() {
    for settings in sweep() {
        for padding in [true, false] {
            let source = open(&TreePath { padding, ..settings.clone() });
            let row = source.sequence(1, 2);
            let tree = tree_of(&*source, &row).unwrap();
            let n = settings.nodes;
            let (root, length) = (3 * n - 1, tree.path_length());
            let at = |name| role(&*source, &row, name);
            assert_eq!(at("goal"), [root - 2]);
            assert_eq!(at("path"), (root..=root + length).collect::<Vec<_>>());
            assert_eq!(at("padding"), (root + length + 1..4 * n + 1).collect::<Vec<_>>());
            assert_eq!(at("source"), (0..n - 1).map(|e| 3 * e).collect::<Vec<_>>());
            assert_eq!(at("target"), (0..n - 1).map(|e| 3 * e + 1).collect::<Vec<_>>());
            let mut separators: Vec<usize> = (0..n - 1).map(|e| 3 * e + 2).collect();
            separators.push(root - 1);
            assert_eq!(at("separator"), separators);
            assert_eq!(at("leaf").len(), tree.leaves().len());
            assert_eq!(at("on_path").len(), 2 * length);
            for place in at("on_path") {
                let edge = tree.edges.iter().find(|e| e.source == place || e.target == place);
                assert!(tree.path.contains(&edge.unwrap().parent));
                assert!(tree.path.contains(&edge.unwrap().child));
            }
            let mut expected = vec![NO_TARGET; 4 * n + 1];
            for (place, target) in expected.iter_mut().enumerate().skip(root) {
                let step = place - root;
                if step < length {
                    *target = tree.script().step(tree.path[step + 1]);
                } else if step == length || padding {
                    *target = COMMA;
                }
            }
            assert_eq!(row.targets, expected);
            assert!(row.occurrence.iter().all(|c| *c == 0));
        }
    }
}

#[test]
fn labels_and_trees_survive_the_way_through_text() {
    for settings in sweep() {
        let source = open(&settings);
        for index in 0..6 {
            let row = source.sequence(3, index);
            let spelled = source.vocab().spell(&row.tokens);
            let read = source.vocab().encode(&spelled).unwrap();
            assert_eq!(read, row.tokens);
            let other = source.sequence(4, index);
            assert_eq!(source.label(&read, &other), row, "what it replaces does not matter");
            let tree = tree_of(&*source, &row).unwrap();
            assert_eq!(Tree::parse(settings.nodes, &tree.question()).unwrap(), tree);
            assert_eq!(Tree::new(settings.nodes, &tree.pairs(), tree.goal).unwrap(), tree);
            assert_eq!(tree.to_tokens()[..source.length()], row.tokens);
        }
    }
}

#[test]
fn a_path_length_that_is_asked_for_is_drawn_and_one_that_cannot_be_is_refused() {
    for n in [4, 9, 16] {
        for path_length in 1..n {
            let source =
                open(&TreePath { path_length, ..of(n, Growth::SecondaryPath, Order::Random) });
            for index in 0..5 {
                let row = source.sequence(held_out_seed(0), index);
                assert_eq!(tree_of(&*source, &row).unwrap().path_length(), path_length);
            }
        }
        let error =
            TreePath { nodes: n, path_length: n, ..TreePath::default() }.open().err().unwrap();
        assert!(error.message.contains("at most"), "{error}");
    }
}

#[test]
fn path_lengths_are_even_over_all_that_there_are() {
    let mut counts = BTreeMap::new();
    for seed in 0..3000 {
        *counts.entry(TreePath::default().published(seed).unwrap().path_length()).or_insert(0) += 1;
    }
    assert_eq!(counts.len(), 15);
    // 200 each, with a standard deviation below 14.
    assert!(counts.values().all(|n| (130..270).contains(n)), "{counts:?}");
}

// ── which trees are trained on ───────────────────────────────────────────────────────────────────────

#[test]
fn a_pool_is_gone_through_once_in_each_epoch_in_a_new_order() {
    for pool in [1, 2, 7, 64, 257] {
        let settings = TreePath { pool, ..TreePath::default() };
        let source = open(&settings);
        let lines: BTreeMap<Vec<u32>, u128> = (0..pool as u128)
            .map(|seed| (settings.published(seed).unwrap().to_tokens()[..65].to_vec(), seed))
            .collect();
        assert_eq!(lines.len(), pool);
        let epoch = |seed: u64, epoch: u64| -> Vec<u128> {
            let from = epoch * pool as u64;
            (from..from + pool as u64).map(|i| lines[&source.sequence(seed, i).tokens]).collect()
        };
        let orders = [epoch(0, 0), epoch(0, 1), epoch(1, 0), epoch(1, 1)];
        for order in &orders {
            let mut sorted = order.clone();
            sorted.sort_unstable();
            assert_eq!(sorted, (0..pool as u128).collect::<Vec<_>>(), "a permutation");
        }
        let different: BTreeSet<_> = orders.iter().collect();
        assert_eq!(different.len(), if pool < 7 { different.len() } else { 4 });
        let held_out = source.sequence(held_out_seed(0), 0).tokens;
        assert!(!lines.contains_key(&held_out));
    }
}

#[test]
fn the_order_of_a_small_pool_is_even() {
    // Each of 5 lines stands first in a fifth of the epochs, each of the 20 pairs first and second in a twentieth.
    let settings = TreePath { pool: 5, ..TreePath::default() };
    let source = open(&settings);
    let mut pairs: BTreeMap<[Vec<u32>; 2], usize> = BTreeMap::new();
    for epoch in 0..2000 {
        let first = [0, 1].map(|i| source.sequence(9, 5 * epoch + i).tokens);
        *pairs.entry(first).or_default() += 1;
    }
    assert_eq!(pairs.len(), 20);
    // 100 each, with a standard deviation below 10.
    assert!(pairs.values().all(|n| (50..150).contains(n)), "{:?}", pairs.values());
}

/// Edges without their order, and the goal.
type Meaning = (BTreeSet<(usize, usize)>, usize);

fn meaning(tree: &Tree) -> Meaning {
    (tree.pairs().into_iter().collect(), tree.goal)
}

#[test]
fn below_sixteen_nodes_no_held_out_tree_is_trained_on_in_any_order() {
    for (nodes, pool) in [(4, 0), (4, 50), (5, 0), (6, 0), (7, 300), (8, 0)] {
        let source = open(&TreePath { nodes, pool, ..TreePath::default() });
        let seen = |seed, count| -> BTreeSet<Meaning> {
            (0..count)
                .map(|i| meaning(&tree_of(&*source, &source.sequence(seed, i)).unwrap()))
                .collect()
        };
        let trained = seen(0, 3000);
        let held_out = seen(held_out_seed(0), 300);
        assert!(trained.is_disjoint(&held_out), "{nodes} nodes, pool {pool}");
        assert!(held_out.len() >= 4, "{nodes}: {}", held_out.len());
    }
}

#[test]
fn trees_of_every_path_length_are_held_out_and_trained_on() {
    for nodes in FEWEST..=7 {
        for path_length in 1..nodes {
            let source = open(&TreePath { nodes, path_length, ..TreePath::default() });
            let seen = |seed| -> BTreeSet<Meaning> {
                (0..40)
                    .map(|i| meaning(&tree_of(&*source, &source.sequence(seed, i)).unwrap()))
                    .collect()
            };
            let disjoint = seen(0).is_disjoint(&seen(held_out_seed(0)));
            assert!(disjoint, "{nodes} nodes, {path_length} edges");
        }
    }
}

// ── text and trees that a person edits ───────────────────────────────────────────────────────────────

#[test]
fn a_question_has_its_answer_as_targets_and_unfinished_text_has_roles() {
    let source = open(&TreePath { nodes: 5, ..TreePath::default() });
    let like = source.sequence(0, 0);
    let label = |text: &str| source.label(&source.vocab().encode(text).unwrap(), &like);
    let texts = |targets: &[u32]| -> Vec<String> {
        let shown = targets.iter().filter(|t| **t != NO_TARGET);
        shown.map(|t| source.vocab().glyph(*t)).collect()
    };
    let question = label("0>1,1>2,0>3,3>4|2:0");
    assert_eq!(question.targets[..14], [NO_TARGET; 14]);
    assert_eq!(texts(&question.targets), [">1"]);
    assert_eq!(role(&*source, &question, "on_path"), [0, 1, 3, 4]);
    assert_eq!(role(&*source, &question, "leaf"), [4, 10]);
    let whole = label("0>1,1>2,0>3,3>4|2:0>1>2,,,,");
    assert_eq!(texts(&whole.targets), [">1", ">2", ",", ",", ",", ",", ","]);
    // Where the written path leaves the right one, nothing more is asked.
    assert_eq!(texts(&label("0>1,1>2,0>3,3>4|2:0>3>4,,").targets), [">1"]);
    assert_eq!(texts(&label("0>1,1>2,0>3,3>4|2:0>1,").targets), [">1", ">2"]);
    for broken in
        ["0>1,1>2,0>3|2:0", "0>1,1>2,0>3,3>4|1:0", "0>1,1>2,0>3,3>4|2:1", "0>1,1", "|||,", ""]
    {
        let row = label(broken);
        assert!(texts(&row.targets).is_empty(), "{broken}");
        assert!(tree_of(&*source, &row).is_none());
        assert_eq!(row.roles.len(), row.len());
    }
    let unfinished = label("0>1,1>2|2:0>1");
    assert_eq!(role(&*source, &unfinished, "source"), [0, 3]);
    assert_eq!(role(&*source, &unfinished, "target"), [1, 4]);
    assert_eq!(role(&*source, &unfinished, "leaf"), [4]);
    assert_eq!(role(&*source, &unfinished, "goal"), [6]);
    assert_eq!(role(&*source, &unfinished, "path"), [8, 9]);
}

#[test]
fn a_tree_is_edited_and_asked_again() {
    let tree = Tree::new(6, &[(0, 1), (1, 2), (0, 3), (3, 4), (4, 5)], 5).unwrap();
    assert_eq!((tree.root, tree.path.clone()), (0, vec![0, 3, 4, 5]));
    assert_eq!(tree.with_goal(2).unwrap().path, [0, 1, 2]);
    let moved = tree.rehung(4, 1).unwrap();
    assert_eq!(moved.path, [0, 1, 4, 5]);
    assert_eq!(text(&moved), "0>1,1>2,0>3,1>4,4>5|5:0>1>4>5");
    assert_eq!(moved.rehung(4, 3).unwrap(), tree);
    assert_eq!(tree.leaves(), [2, 5]);
    assert_eq!((tree.parent(4), tree.parent(0), tree.depth(5)), (Some(3), None, 3));
    let climbed: Vec<usize> = (0..5).map(|steps| tree.climb(steps)).collect();
    assert_eq!(climbed, [5, 4, 3, 3, 3], "at most the root's child");
    let edge = tree.edge_to(4).unwrap();
    assert_eq!((edge.parent, edge.source, edge.target), (3, 9, 10));
    assert_eq!(Script { nodes: 16 }.registers(), [36, 38, 39, 41, 42, 44]);
}

#[test]
fn what_is_no_tree_is_refused_in_a_sentence() {
    let pairs = [(0, 1), (1, 2), (0, 3), (3, 4)];
    let refused = |pairs: &[(usize, usize)], goal| Tree::new(5, pairs, goal).unwrap_err().message;
    let with = |at: usize, pair| {
        let mut pairs = pairs.to_vec();
        pairs[at] = pair;
        pairs
    };
    assert!(refused(&pairs[..3], 2).contains("has 4 edges, here are 3"));
    assert!(refused(&with(3, (3, 2)), 2).contains("hangs under 1 and under 3"));
    assert!(refused(&with(3, (3, 9)), 2).contains("names node 9"));
    assert!(refused(&with(1, (4, 1)), 2).contains("1 hangs under 0 and under 4"));
    assert!(refused(&[(0, 1), (2, 3), (3, 4), (4, 2)], 1).contains("in a circle"));
    assert!(refused(&[(0, 1), (2, 2), (0, 3), (3, 4)], 1).contains("in a circle"));
    assert!(refused(&[(0, 1), (0, 2), (0, 3), (3, 4)], 1).contains("0 has three children"));
    assert!(refused(&pairs, 1).contains("the goal 1 is no leaf"));
    assert!(refused(&pairs, 7).contains("the goal 7 is no leaf"));
    assert!(Tree::new(3, &[(0, 1), (0, 2)], 1).unwrap_err().message.contains("from 4 to 16"));
    let tree = Tree::new(5, &pairs, 2).unwrap();
    assert!(tree.rehung(0, 1).unwrap_err().message.contains("is the root"));
    assert!(tree.rehung(3, 2).unwrap_err().message.contains("the goal 2 is no leaf"));
    assert!(tree.rehung(3, 4).unwrap_err().message.contains("in a circle"));
    let vocab = tree.script().vocab();
    let parse = |text: &str| Tree::parse(5, &vocab.encode(text).unwrap()).unwrap_err().message;
    assert!(parse("0>1,1>2,0>3,3>4|2").contains("position 13 holds the end"));
    assert!(parse("0>1,1>2,0>3,3>4,2:0").contains("position 11 holds \",\""));
    assert!(parse("0>1,1>2,0>3,3>4|2:1").contains("the root of these edges is 0"));
    assert!(Tree::parse(5, &[99; 20]).unwrap_err().message.contains("position 0 holds"));
}

// ── pairs ────────────────────────────────────────────────────────────────────────────────────────────

#[test]
fn pairs_differ_in_what_their_kind_says() {
    for settings in sweep().into_iter().filter(|s| s.order != Order::Forward) {
        let source = open(&settings);
        let mut made = 0;
        for kind in source.pair_kinds() {
            for index in 0..3 {
                let Some(pair) = source.pair(kind.name, 1, index) else { continue };
                made += 1;
                assert_eq!(source.pair(kind.name, 1, index).unwrap(), pair, "the same again");
                let [base, other] =
                    [&pair.base, &pair.other].map(|row| tree_of(&*source, row).unwrap());
                for (tree, row) in [(&base, &pair.base), (&other, &pair.other)] {
                    assert_eq!(source.label(&row.tokens, row), *row);
                    assert_eq!(row.len(), source.length());
                    let answer = pair.answers[usize::from(std::ptr::eq(tree, &other))];
                    assert_eq!(row.targets[pair.at], answer);
                    assert_eq!(answer, tree.script().step(tree.path[1]));
                }
                assert_eq!(pair.at, base.script().root());
                assert_eq!(pair.place("goal"), Some(base.script().goal()));
                let edge = pair.place("goal_edge").unwrap();
                assert_eq!(pair.base.tokens[edge], base.script().step(base.goal));
                match kind.name {
                    "goal" => {
                        assert_eq!(base.edges, other.edges);
                        assert_ne!(pair.answers[0], pair.answers[1]);
                        let before = pair.differs().into_iter().filter(|at| *at <= pair.at);
                        assert_eq!(before.collect::<Vec<_>>(), [base.script().goal()]);
                    }
                    "tree" => {
                        assert_eq!((base.root, base.goal), (other.root, other.goal));
                        assert_eq!(base.path_length(), other.path_length());
                        assert_ne!(pair.answers[0], pair.answers[1]);
                    }
                    name => {
                        let steps = name.strip_prefix("same_ancestor_").unwrap().parse().unwrap();
                        assert_eq!(base.climb(steps), other.climb(steps));
                        assert!((steps + 1..settings.nodes - 1).contains(&other.path_length()));
                    }
                }
            }
        }
        assert!(made >= 9, "{settings:?}: {made}");
        assert!(source.pair("nothing_of_the_kind", 0, 0).is_none());
        assert!(source.pair("same_ancestor_x", 0, 0).is_none());
        assert!(source.pair(&format!("same_ancestor_{}", settings.nodes - 2), 0, 0).is_none());
    }
    // A chain has one leaf, and its goal cannot be reached by another first step.
    let chain = open(&TreePath { nodes: 8, path_length: 7, ..TreePath::default() });
    assert!(chain.pair("goal", 0, 0).is_none());
    assert!(chain.pair("tree", 0, 0).is_some());
}

#[test]
fn trees_of_a_pair_with_the_same_ancestor_are_otherwise_independent() {
    let source = open(&TreePath::default());
    let pairs = (0..400).filter_map(|i| source.pair("same_ancestor_2", held_out_seed(0), i));
    let trees: Vec<[Tree; 2]> =
        pairs.map(|p| [&p.base, &p.other].map(|row| tree_of(&*source, row).unwrap())).collect();
    assert_eq!(trees.len(), 400);
    let same = |of: fn(&Tree) -> usize| trees.iter().filter(|[a, b]| of(a) == of(b)).count();
    // One in sixteen by chance: 25, with a standard deviation below 5. The root's child is the ancestor itself in the
    // shortest of both.
    assert!((8..50).contains(&same(|t| t.goal)), "{}", same(|t| t.goal));
    assert!((8..50).contains(&same(|t| t.root)), "{}", same(|t| t.root));
    let lengths: BTreeSet<usize> = trees.iter().map(|[_, b]| b.path_length()).collect();
    assert_eq!(lengths, (3..=14).collect());
}

// ── paths that are counted ───────────────────────────────────────────────────────────────────────────

#[test]
fn a_path_counts_as_right_with_all_its_steps_and_the_comma_after_it() {
    let source = open(&TreePath { nodes: 6, ..TreePath::default() });
    let rows: Vec<Row> = (0..40).map(|i| source.sequence(held_out_seed(1), i)).collect();
    let batch = Batch::from_rows(&rows);
    let vocab = source.vocab().len();
    // Row i is wrong at position `root + i % 6`, if that has a target at all.
    let mut logits = vec![0f32; batch.tokens.len() * vocab];
    let root = 17;
    for (i, target) in batch.targets.iter().enumerate().filter(|(_, t)| **t != NO_TARGET) {
        let (row, at) = (i / batch.len, i % batch.len);
        let wrong = at == root + row % 6;
        logits[i * vocab + (*target as usize + usize::from(wrong)) % vocab] = 1.0;
    }
    let mut params = Params::new(0);
    let settings = decoder::Decoder { width: 8, heads: 1, ..decoder::Decoder::default() };
    let model = settings.build(Sequences::of_tokens(vocab, batch.len), &mut params).unwrap();
    let subject = Subject { model: &*model, params: &params, source: &*source };
    let logits = Tensor::from_vec(logits, (batch.rows, batch.len, vocab), &Device::Cpu).unwrap();
    let captured = Captured::new();
    let scene =
        Scene { subject, batch: &batch, first: 0, logits: Some(&logits), captured: &captured };
    let measurement = TreeOutcome::default();
    measurement.applies(subject).unwrap();
    let answer = measurement.measure(&scene).unwrap();
    let names: Vec<String> = answer.means.iter().map(|mean| mean.name.clone()).collect();
    assert_eq!(names, measurement.columns(subject));
    let lengths: Vec<usize> =
        rows.iter().map(|r| tree_of(&*source, r).unwrap().path_length()).collect();
    assert_eq!(lengths.iter().collect::<BTreeSet<_>>().len(), 5);
    for length in 1..6 {
        let of: Vec<usize> = (0..40).filter(|i| lengths[*i] == length).collect();
        let right = of.iter().filter(|i| **i % 6 > length).count();
        let mean =
            answer.means.iter().find(|m| m.name == format!("accuracy_path_{length}")).unwrap();
        assert_eq!((mean.sum, mean.count), (right as f64, of.len() as f64), "{length}");
    }
    assert_eq!((answer.means[0].sum, answer.means[0].count), (33.0, 40.0), "7 wrong first steps");
    let bigram = Bigram::default().open().unwrap();
    let error = measurement.applies(Subject { source: &*bigram, ..subject }).unwrap_err();
    assert!(error.message.contains("experiment \"tree\""), "{error}");
}

// ── experiments ──────────────────────────────────────────────────────────────────────────────────────

#[test]
fn the_published_network_has_its_number_of_parameters() {
    let experiment = Experiment::builtin("tree-paper").unwrap();
    let source = experiment.task.open().unwrap();
    assert_eq!((source.vocab().len(), source.length()), (35, 65));
    let mut params = Params::new(0);
    experiment
        .model
        .build(Sequences::of_tokens(source.vocab().len(), source.length()), &mut params)
        .unwrap();
    let sizes = params.all().map(|param| params.var(param).unwrap().elem_count());
    assert_eq!(sizes.sum::<usize>(), 1_207_203);
    let drawn = |name: &str| -> Vec<f32> {
        let var = params.var(params.find(name).unwrap()).unwrap();
        var.flatten_all().unwrap().to_vec1().unwrap()
    };
    for name in
        ["embed", "pos", "layer0.wq", "layer5.wo", "layer3.mlp.in", "layer3.mlp.out", "unembed"]
    {
        let x = drawn(name);
        let std = (x.iter().map(|x| x * x).sum::<f32>() / x.len() as f32).sqrt();
        assert!((std / (0.8 / 128f32.sqrt()) - 1.0).abs() < 0.05, "{name}: {std}");
    }
    for name in
        ["layer0.bq", "layer5.bo", "layer2.mlp.in_bias", "layer2.mlp.out_bias", "unembed_bias"]
    {
        assert!(drawn(name).iter().all(|b| *b == 0.0), "{name}");
    }
}
