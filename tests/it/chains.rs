//! Backward chaining made visible: its scores against plain loops and patterns whose answer is known, what the lens
//! reads, and the laws of scrubbing a tree.

use std::sync::Arc;

use candle_core::{Device, Tensor};
use mnemoscope::base::analysis::TreeScrubbing as Asked;
use mnemoscope::base::batch::{Batch, Row};
use mnemoscope::base::intervention::{Point, Site};
use mnemoscope::base::pair::Pair;
use mnemoscope::base::tree::Tree;
use mnemoscope::measurement::analysis::registers::FindingRegisters;
use mnemoscope::measurement::analysis::tree_scrubbing::TreeScrubbing;
use mnemoscope::measurement::analysis::{Analysis, Ground};
use mnemoscope::measurement::causal::effect::estimate;
use mnemoscope::measurement::causal::tree_scrubbing::{Hypothesis, recovered};
use mnemoscope::measurement::causal::{Pairs, Side};
use mnemoscope::measurement::chains::Chains;
use mnemoscope::measurement::probing::lens::{Kept, Lenses, Way};
use mnemoscope::measurement::probing::linear::Linear;
use mnemoscope::measurement::probing::translator::identity;
use mnemoscope::measurement::tree_view::TreeView;
use mnemoscope::measurement::{Answer, Measurement, Scene, Subject};
use mnemoscope::model::{Architecture, Model, Sequences, decoder, pass};
use mnemoscope::nn::kernel::pool::Pool;
use mnemoscope::nn::params::{Init, Params, draw};
use mnemoscope::nn::tap::Captured;
use mnemoscope::task::bigram::Bigram;
use mnemoscope::task::tree_path::{TreePath, Trees};
use mnemoscope::task::{Source, Task, held_out_seed};

const NODES: usize = 8;

fn trees(source: &dyn Source) -> &Trees {
    source.facet().unwrap()
}

/// A decoder that was not trained, and trees.
struct Lab {
    model: Box<dyn Model>,
    params: Params,
    source: Arc<dyn Source>,
}

impl Lab {
    fn new(layers: usize, heads: usize) -> Self {
        Self::seeded(layers, heads, 3)
    }

    fn seeded(layers: usize, heads: usize, seed: u64) -> Self {
        let source = TreePath { nodes: NODES, ..TreePath::default() }.open().unwrap();
        let mut params = Params::new(seed);
        let settings = decoder::Decoder { layers, heads, width: 16, ..decoder::Decoder::default() };
        let model = settings
            .build(Sequences::of_tokens(source.vocab().len(), source.length()), &mut params)
            .unwrap();
        Self { model, params: params.watched().unwrap(), source }
    }

    fn subject(&self) -> Subject<'_> {
        Subject { model: &*self.model, params: &self.params, source: &*self.source }
    }

    fn batch(&self, rows: u64) -> Batch {
        let row = |i| self.source.sequence(held_out_seed(1), i);
        Batch::from_rows(&(0..rows).map(row).collect::<Vec<Row>>())
    }

    fn tree(&self, batch: &Batch, row: usize) -> Tree {
        trees(&*self.source).tree(&batch.row(row).tokens).unwrap()
    }

    fn ask(&self, measurement: &dyn Measurement, batch: &Batch, captured: &Captured) -> Answer {
        let subject = self.subject();
        measurement.applies(subject).unwrap();
        let answer = measurement
            .measure(&Scene { subject, batch, first: 0, logits: None, captured })
            .unwrap();
        let names: Vec<String> = answer.means.iter().map(|mean| mean.name.clone()).collect();
        let columns = measurement.columns(subject);
        assert!(columns.is_empty() || names == columns);
        answer
    }

    /// Patterns of all layers by rule: the weight of each key, given layer, head, row, query.
    fn patterns(
        &self,
        batch: &Batch,
        rule: impl Fn(usize, usize, usize, usize, usize) -> f32,
    ) -> Captured {
        let (rows, len) = (batch.rows, batch.len);
        let layers = self.model.layout().heads.iter().enumerate();
        let layer = |(layer, &heads): (usize, &usize)| {
            let mut all = Vec::with_capacity(rows * heads * len * len);
            for row in 0..rows {
                for head in 0..heads {
                    for query in 0..len {
                        all.extend((0..len).map(|key| rule(layer, head, row, query, key)));
                    }
                }
            }
            let pattern = Tensor::from_vec(all, (rows, heads, len, len), &Device::Cpu).unwrap();
            (Site { layer, point: Point::Pattern }, pattern)
        };
        layers.map(layer).collect()
    }
}

fn number(answer: &Answer, name: &str) -> f64 {
    let mean = answer.means.iter().find(|mean| mean.name == name);
    let mean = mean.unwrap_or_else(|| panic!("no {name} in {:?}", answer.means));
    mean.sum / mean.count
}

// ── scores ───────────────────────────────────────────────────────────────────────────────────────────

/// Where a network that does backward chaining looks in a layer: `stalls` is the first layer that does not.
fn climber(tree: &Tree, layer: usize, query: usize, stalls: usize) -> usize {
    let root = tree.script().root();
    if layer == 0 {
        let edge = tree.edges.iter().find(|edge| edge.target == query);
        return edge.map_or(if query >= root { tree.script().goal() } else { query }, |e| e.source);
    }
    let held = tree.climb(if layer < stalls { layer - 1 } else { 0 });
    if query == root { tree.edge_to(held).unwrap().target } else { query }
}

#[test]
fn attention_that_climbs_in_every_layer_has_full_scores() {
    let lab = Lab::new(4, 1);
    let batch = lab.batch(40);
    let all = |stalls| {
        let attends = |layer, row, query| climber(&lab.tree(&batch, row), layer, query, stalls);
        let captured = lab.patterns(&batch, |layer, _, row, query, key| {
            f32::from(u8::from(attends(layer, row, query) == key))
        });
        lab.ask(&Chains::default(), &batch, &captured)
    };
    let full = all(usize::MAX);
    for name in ["edge_concatenation_l0h0", "goal_copy_l0h0", "deduction_l1h0", "deduction_l3h0"] {
        assert_eq!(number(&full, name), 1.0, "{name}");
    }
    assert_eq!(number(&full, "chain_depth"), 3.0, "three layers follow the first");
    // The root's own position looks at an edge, the rest of the path at itself.
    assert_eq!(number(&full, "goal_copy_l1h0"), 0.0);
    for stalls in [2, 3] {
        let answer = all(stalls);
        assert_eq!(number(&answer, "chain_depth"), stalls as f64 - 1.0);
        assert_eq!(number(&answer, "deduction_l1h0"), 1.0);
        assert_eq!(number(&answer, &format!("deduction_l{stalls}h0")), 0.0);
        let count = |name: &str| full.means.iter().find(|m| m.name == name).unwrap().count;
        let long = |least| (0..40).filter(|i| lab.tree(&batch, *i).path_length() > least).count();
        assert_eq!(count(&format!("deduction_l{stalls}h0")), long(stalls) as f64);
        assert_eq!(count("chain_depth"), long(3) as f64);
    }
}

#[test]
fn scores_are_the_means_that_they_say() {
    let lab = Lab::new(3, 2);
    let batch = lab.batch(12);
    let len = batch.len;
    let noise = draw(7, "pattern", 3 * 2 * 12 * len * len, Init::Uniform(1.0));
    let weight = |layer: usize, head: usize, row: usize, query: usize, key: usize| {
        let at = (((layer * 2 + head) * 12 + row) * len + query) * len + key;
        if key <= query { noise[at].abs() / (query + 1) as f32 } else { 0.0 }
    };
    let answer = lab.ask(&Chains::default(), &batch, &lab.patterns(&batch, weight));
    let mean =
        |values: Vec<f32>| values.iter().map(|v| f64::from(*v)).sum::<f64>() / values.len() as f64;
    let trees: Vec<Tree> = (0..12).map(|row| lab.tree(&batch, row)).collect();
    let rows = || trees.iter().enumerate();
    let (goal, root) = (3 * (NODES - 1), 3 * NODES - 1);
    for head in 0..2 {
        let mut concatenated = Vec::new();
        for (row, _) in rows() {
            for edge in 0..NODES - 1 {
                concatenated.push(weight(0, head, row, 3 * edge + 1, 3 * edge));
            }
        }
        let name = format!("edge_concatenation_l0h{head}");
        assert!((number(&answer, &name) - mean(concatenated)).abs() < 1e-6, "{name}");
        for layer in 0..3 {
            let mut copied = Vec::new();
            let mut deduced = Vec::new();
            for (row, tree) in rows() {
                for step in 0..tree.path.len() {
                    copied.push(weight(layer, head, row, root + step, goal));
                }
                if layer > 0 && tree.path.len() > layer + 1 {
                    let held = tree.path[tree.path.len() - layer];
                    let edge = tree.edges.iter().position(|e| e.child == held).unwrap();
                    deduced.push(weight(layer, head, row, root, 3 * edge + 1));
                }
            }
            let name = format!("goal_copy_l{layer}h{head}");
            assert!((number(&answer, &name) - mean(copied)).abs() < 1e-6, "{name}");
            if layer > 0 {
                let name = format!("deduction_l{layer}h{head}");
                assert!((number(&answer, &name) - mean(deduced)).abs() < 1e-6, "{name}");
            }
        }
    }
    let mut depths = Vec::new();
    for (row, tree) in rows().filter(|(_, tree)| tree.path.len() > 3) {
        let mut depth = 0;
        'layers: for layer in 1..3 {
            let held = tree.path[tree.path.len() - layer];
            for head in 0..2 {
                let (mut best, mut most) = (usize::MAX, f32::NEG_INFINITY);
                for (at, edge) in tree.edges.iter().enumerate() {
                    let here = weight(layer, head, row, root, 3 * at + 1);
                    if here > most {
                        (best, most) = (edge.child, here);
                    }
                }
                if best == held {
                    depth += 1;
                    continue 'layers;
                }
            }
            break;
        }
        depths.push(depth as f32);
    }
    assert!(depths.iter().any(|d| *d > 0.0));
    assert!((number(&answer, "chain_depth") - mean(depths)).abs() < 1e-6);
}

#[test]
fn what_has_no_trees_is_refused_in_a_sentence() {
    let lab = Lab::new(2, 1);
    let bigram = Bigram::default().open().unwrap();
    let subject = Subject { source: &*bigram, ..lab.subject() };
    for measurement in [&Chains::default() as &dyn Measurement, &TreeView::default()] {
        let error = measurement.applies(subject).unwrap_err();
        assert!(error.message.contains("experiment \"tree\""), "{error}");
    }
    let row = bigram.sequence(0, 0);
    let pool = Pool::new(1).unwrap();
    let ground = Ground { subject, pool: &pool, prompt: &row, seed: 1, edits: &[] };
    let error = TreeScrubbing::default().run(&ground, &mut |_| true).unwrap_err();
    assert!(error.message.contains("experiment \"tree\""), "{error}");
}

// ── the tree in view ─────────────────────────────────────────────────────────────────────────────────

fn seen(lab: &Lab, batch: &Batch) -> (Answer, Tensor) {
    let measurement = TreeView::default();
    let sites = measurement.sites(lab.subject());
    let (logits, captured) =
        pass::forward(&*lab.model, &lab.params, batch, &[], &sites, true).unwrap();
    (lab.ask(&measurement, batch, &captured), logits.unwrap())
}

#[test]
fn the_tree_in_view_is_that_of_the_text() {
    let lab = Lab::new(3, 1);
    let batch = lab.batch(1);
    let tree = lab.tree(&batch, 0);
    let (answer, _) = seen(&lab, &batch);
    let array = |name: &str| answer.arrays.iter().find(|a| a.name == name).unwrap();
    let edges = array("edges");
    assert_eq!(edges.shape, [NODES - 1, 4]);
    for (i, edge) in tree.edges.iter().enumerate() {
        let expected = [edge.parent, edge.child, edge.source, edge.target].map(|n| n as f32);
        assert_eq!(edges.outer(i), expected);
        assert_eq!(batch.tokens[edge.target], tree.script().step(edge.child));
    }
    let path: Vec<usize> = array("path").data.iter().map(|n| *n as usize).collect();
    assert_eq!(path, tree.path);
    for (name, expected) in
        [("nodes", NODES), ("goal", tree.goal), ("root", tree.root), ("root_position", 23)]
    {
        assert_eq!(number(&answer, name), expected as f64, "{name}");
    }
    let mut cut = batch.clone();
    cut.tokens[4] = cut.tokens[3];
    let mut bare = TreeView::default();
    bare.settings.lens = false;
    let error = bare
        .measure(&Scene {
            subject: lab.subject(),
            batch: &cut,
            first: 0,
            logits: None,
            captured: &Captured::new(),
        })
        .unwrap_err();
    assert!(error.message.contains("position 4"), "{error}");
}

#[test]
fn after_the_last_layer_the_lens_reads_what_the_network_predicts() {
    let lab = Lab::new(3, 1);
    let batch = lab.batch(1);
    let (answer, logits) = seen(&lab, &batch);
    let lens = answer.arrays.iter().find(|a| a.name == "lens").unwrap();
    assert_eq!(lens.shape, [3, batch.len, NODES]);
    let tree = lab.tree(&batch, 0);
    let all: Vec<Vec<f32>> = logits.get(0).unwrap().to_vec2().unwrap();
    let mut layers_differ = false;
    for (at, logits) in all.iter().enumerate() {
        let sum: f64 = logits.iter().map(|l| f64::from(*l).exp()).sum();
        for node in 0..NODES {
            let token = tree.script().step(node) as usize;
            let expected = f64::from(logits[token]).exp() / sum;
            let found = lens.outer(2)[at * NODES + node];
            assert!((f64::from(found) - expected).abs() < 1e-5, "{at} {node}");
            layers_differ |= (lens.outer(0)[at * NODES + node] - found).abs() > 1e-4;
        }
    }
    assert!(layers_differ);
}

/// Maps whose scores for the token `t` are `t` times the boundary, whatever the stream.
fn told_by_boundary(step: u64, boundaries: usize, vocab: usize, width: usize) -> Arc<Kept> {
    let map = |boundary: usize| Linear {
        outputs: vocab,
        dim: width,
        weight: vec![0.0; vocab * width],
        bias: Some((0..vocab).map(|token| 0.01 * (token * boundary) as f32).collect()),
    };
    let maps = (0..boundaries).map(map).collect();
    Arc::new(Kept { name: format!("at{step}"), step, way: Way::Tokens, maps })
}

#[test]
fn rings_read_by_the_fitted_lens_of_their_step_and_say_so() {
    let lab = Lab::new(3, 1);
    let batch = lab.batch(1);
    let vocab = lab.source.vocab().len();
    let width = lab.model.layout().width;
    let all = [told_by_boundary(30, 4, vocab, width), told_by_boundary(40, 3, vocab, width)];
    let read = |step: u64, tuned: bool| {
        let mut measurement = TreeView::default();
        measurement.settings.tuned = tuned;
        measurement.equip(&Lenses { step, kept: all.to_vec() });
        let sites = measurement.sites(lab.subject());
        let (_, captured) =
            pass::forward(&*lab.model, &lab.params, &batch, &[], &sites, true).unwrap();
        let answer = lab.ask(&measurement, &batch, &captured);
        let lens = answer.arrays.iter().find(|a| a.name == "lens").unwrap().clone();
        (lens, answer.notes)
    };
    let (plain, _) = read(30, false);
    let (lens, said) = read(30, true);
    assert_eq!(said, ["Rings: the token lens at30."]);
    let script = lab.tree(&batch, 0).script();
    for layer in 0..3 {
        // After layer 0 the lens of boundary 1 reads.
        let score = |token: usize| (0.01 * (token * (layer + 1)) as f32).exp();
        let sum: f32 = (0..vocab).map(score).sum();
        for node in 0..NODES {
            let told = lens.outer(layer)[5 * NODES + node];
            let expected = score(script.step(node) as usize) / sum;
            assert!((told - expected).abs() < 1e-6, "{layer} {node}: {told} {expected}");
        }
    }
    // Of another step, or of a network with another number of layers, none reads.
    for (step, steps) in [(31, "30, 40"), (40, "30, 40")] {
        let (lens, said) = read(step, true);
        assert_eq!(lens, plain);
        let expected =
            format!("Rings: the plain logit lens; a fitted one is kept for step {steps}.");
        assert_eq!(said, [expected]);
    }
    assert_eq!(read(30, false).1, ["Rings: the logit lens."]);
    // A tuned lens that changes nothing is the logit lens.
    let still = Arc::new(Kept {
        name: "still".to_owned(),
        step: 50,
        way: Way::Stream,
        maps: (0..4).map(|_| identity(width)).collect(),
    });
    let mut measurement = TreeView::default();
    measurement.equip(&Lenses { step: 50, kept: vec![still] });
    let sites = measurement.sites(lab.subject());
    let (_, captured) = pass::forward(&*lab.model, &lab.params, &batch, &[], &sites, true).unwrap();
    let answer = lab.ask(&measurement, &batch, &captured);
    assert_eq!(*answer.arrays.iter().find(|a| a.name == "lens").unwrap(), plain);
    assert_eq!(answer.notes, ["Rings: the tuned lens still."]);
}

// ── scrubbing ────────────────────────────────────────────────────────────────────────────────────────

fn pairs(lab: &Lab, length: usize, steps: Option<usize>, count: u64) -> Pairs {
    let pair = |i| trees(&*lab.source).scrubbing_pair(length, steps, held_out_seed(1), i);
    Pairs::new((0..count).filter_map(pair).collect()).unwrap()
}

#[test]
fn trees_to_scrub_with_share_the_node_and_are_held_out() {
    let lab = Lab::new(2, 1);
    for length in 1..NODES {
        for steps in 0..NODES - 2 {
            for pair in pairs(&lab, length, Some(steps), 20).all() {
                let [base, other] =
                    [&pair.base, &pair.other].map(|r| trees(&*lab.source).tree(&r.tokens).unwrap());
                assert_eq!(base.path_length(), length);
                assert!(other.path_length() > steps && other.path_length() <= NODES - 2);
                assert_eq!(base.climb(steps), other.climb(steps));
                assert_eq!(pair.at, base.script().root());
                // The second branch off the root has two nodes more where there are nodes for it, and lower edges come first.
                let room = (NODES - 1 - length).min(2);
                let branches = base.children(base.root).len();
                assert!(branches == 2 || room == 0 && branches == 1, "{length} {branches}");
                let depths: Vec<usize> = base.edges.iter().map(|e| base.depth(e.child)).collect();
                assert!(depths.windows(2).all(|w| w[0] >= w[1]));
            }
        }
        assert!(trees(&*lab.source).scrubbing_pair(length, Some(NODES - 2), 0, 0).is_none());
    }
    assert!(trees(&*lab.source).scrubbing_pair(NODES, Some(0), 0, 0).is_none());
    assert!(trees(&*lab.source).scrubbing_pair(0, Some(0), 0, 0).is_none());
}

#[test]
fn from_the_same_tree_and_with_everything_kept_nothing_is_lost() {
    for heads in [1, 2] {
        let lab = Lab::new(3, heads);
        let two = pairs(&lab, 4, Some(1), 9);
        let script = lab.tree(&lab.batch(1), 0).script();
        let same = |pair: &Pair| Pair { other: pair.base.clone(), ..pair.clone() };
        let one = Pairs::new(two.all().iter().map(same).collect()).unwrap();
        let kept = |hypothesis: Hypothesis| hypothesis.kept(script, &script.registers());
        for layer in 0..3 {
            for hypothesis in Hypothesis::ALL {
                let shares = recovered(lab.subject(), &one, layer, &kept(*hypothesis)).unwrap();
                assert_eq!(shares, vec![100.0; 9], "{hypothesis:?}");
            }
            let shares =
                recovered(lab.subject(), &two, layer, &kept(Hypothesis::Everything)).unwrap();
            assert_eq!(shares, vec![100.0; 9]);
            let shares = recovered(lab.subject(), &two, layer, &kept(Hypothesis::H1)).unwrap();
            assert!(shares.iter().all(|s| s.is_finite() && *s != 100.0), "{shares:?}");
        }
    }
}

#[test]
fn the_positions_that_are_kept_are_those_of_the_hypothesis() {
    let script = mnemoscope::base::tree::Script { nodes: 16 };
    let registers = script.registers();
    let kept = |h: Hypothesis| h.kept(script, &registers);
    assert!(kept(Hypothesis::H1).is_empty());
    assert_eq!(kept(Hypothesis::H2), [36, 38, 39, 41, 42, 44, 45]);
    let targets: Vec<usize> = (1..44).step_by(3).collect();
    assert_eq!(kept(Hypothesis::Targets), targets);
    let mut both = [kept(Hypothesis::H2), targets].concat();
    both.sort_unstable();
    assert_eq!(kept(Hypothesis::H3), both);
}

/// Attention and what it gathers, by plain loops; then the layer's output overwritten by hand.
#[test]
fn a_scrubbed_prediction_is_what_mixing_by_hand_gives() {
    let lab = Lab::new(2, 2);
    let two = pairs(&lab, 5, Some(1), 5);
    let script = lab.tree(&lab.batch(1), 0).script();
    let kept = Hypothesis::H3.kept(script, &script.registers());
    let (layer, part) = (1, &two.parts()[0]);
    let found = recovered(lab.subject(), &two, layer, &kept).unwrap();
    let site = |point| Site { layer, point };
    let sites = [site(Point::Pattern), site(Point::V), site(Point::Z)];
    let runs = [Side::Base, Side::Other].map(|side| {
        let captured = part.capture(lab.subject(), side, &[], &sites).unwrap();
        [Point::Pattern, Point::V, Point::Z].map(|point| -> Vec<f32> {
            captured[&site(point)].flatten_all().unwrap().to_vec1().unwrap()
        })
    });
    let (rows, heads, len, dim) = (two.len(), 2, two.length(), 8);
    let mut z = runs[0][2].clone();
    for row in 0..rows {
        for head in 0..heads {
            let first = (row * heads + head) * len;
            for d in 0..dim {
                let gathered: f32 = (0..=script.root())
                    .map(|key| {
                        let [pattern, values, _] = &runs[usize::from(!kept.contains(&key))];
                        pattern[(first + script.root()) * len + key]
                            * values[(first + key) * dim + d]
                    })
                    .sum();
                z[(first + script.root()) * dim + d] = gathered;
            }
        }
    }
    let z = Tensor::from_vec(z, (rows, heads, len, dim), &Device::Cpu).unwrap();
    let edit =
        mnemoscope::nn::edit::Edit::all(site(Point::Z), mnemoscope::nn::edit::With::Replace(z));
    let log_p = |logits: &[f32], token: usize| {
        let sum: f64 = logits.iter().map(|l| f64::from(*l).exp()).sum();
        f64::from(logits[token]) - sum.ln()
    };
    let (before, _) = part.run(lab.subject(), Side::Base, &[], &[]).unwrap();
    let (after, _) = part.run(lab.subject(), Side::Base, &[edit], &[]).unwrap();
    for row in 0..rows {
        let best = (0..before[row].len())
            .fold(0, |best, i| if before[row][i] > before[row][best] { i } else { best });
        let guess = (before[row].len() as f64).ln();
        let expected =
            100.0 * (log_p(&after[row], best) + guess) / (log_p(&before[row], best) + guess);
        assert!((found[row] - expected).abs() < 0.05, "{row}: {} for {expected}", found[row]);
    }
}

#[test]
fn to_an_untrained_network_the_same_node_is_worth_nothing() {
    let mut gains = Vec::new();
    for seed in 0..8 {
        let lab = Lab::seeded(2, 1, seed);
        for layer in 0..2 {
            let of = |steps| {
                let found = recovered(lab.subject(), &pairs(&lab, 5, steps, 30), layer, &[]);
                let shares = found.unwrap();
                shares.iter().sum::<f64>() / shares.len() as f64
            };
            gains.push(of(Some(layer)) - of(None));
        }
    }
    let [low, high] = estimate(&gains).interval;
    assert!(low <= 0.0 && 0.0 <= high, "{low} to {high}");
}

#[test]
fn a_table_has_a_cell_for_every_layer_and_length_and_hears_a_stop() {
    let lab = Lab::new(3, 1);
    let pool = Pool::new(2).unwrap();
    let prompt = lab.source.sequence(held_out_seed(1), 0);
    let ground = Ground {
        subject: lab.subject(),
        pool: &pool,
        prompt: &prompt,
        seed: held_out_seed(1),
        edits: &[],
    };
    let asked = Asked { hypothesis: "H1, targets".to_owned(), trees: 6, all_pairs: true };
    let ask = TreeScrubbing { asked, ..Default::default() };
    let mut told = Vec::new();
    let answer = ask
        .run(&ground, &mut |t| {
            told.push((t.done, t.total));
            true
        })
        .unwrap();
    assert_eq!(told.last(), Some(&(21, 21)));
    let table = answer.arrays.iter().find(|a| a.name == "recovered.H1").unwrap();
    assert_eq!(table.shape, [3, NODES - 1]);
    for (layer, length) in [(0, 1), (2, 7), (1, 4)] {
        let pairs = pairs(&lab, length, Some(layer), 6);
        let shares = recovered(lab.subject(), &pairs, layer, &[]).unwrap();
        let mean = shares.iter().sum::<f64>() / 6.0;
        let found = f64::from(table.outer(layer)[length - 1]);
        assert!((found - mean).abs() < 1e-4, "{found} for {mean}");
    }
    let names: Vec<&str> = answer.arrays.iter().map(|a| &*a.name).collect();
    let of = ["recovered.H1", "low.H1", "high.H1"];
    assert_eq!(names[..3], of);
    assert_eq!(names[3], "recovered.targets");
    // Untrained, it gets most first steps wrong: those trees count only where that was asked for.
    let mut rule = ask.clone();
    rule.asked.all_pairs = false;
    let right = rule.run(&ground, &mut |_| true).unwrap();
    let of = |name: &str| right.arrays.iter().find(|a| a.name == name).unwrap();
    let (counted, table) = (of("counted"), of("recovered.H1"));
    let mut sum = 0.0;
    for (layer, length) in (0..3).flat_map(|layer| (1..NODES).map(move |length| (layer, length))) {
        let found = counted.outer(layer)[length - 1];
        if found.is_nan() {
            continue;
        }
        let pairs = pairs(&lab, length, Some(layer), 6);
        let shares = recovered(lab.subject(), &pairs, layer, &[]).unwrap();
        let sides = [Side::Base, Side::Other];
        let told = sides.map(|side| pairs.told_right(lab.subject(), side).unwrap());
        let kept: Vec<f64> =
            (0..pairs.len()).filter(|&i| told[0][i] && told[1][i]).map(|i| shares[i]).collect();
        let mean = kept.iter().sum::<f64>() / kept.len() as f64;
        let here = f64::from(table.outer(layer)[length - 1]);
        assert_eq!(f64::from(found), kept.len() as f64);
        assert!((here - mean).abs() < 1e-4 || kept.is_empty() && here.is_nan(), "{here} {mean}");
        sum += kept.len() as f64;
    }
    let number = |name: &str| right.means.iter().find(|mean| mean.name == name).unwrap().sum;
    assert_eq!(number("pairs_counted"), sum);
    assert!(right.notes[0].contains("are left out"), "{:?}", right.notes);
    let stopped = ask.run(&ground, &mut |_| false).unwrap();
    let left = stopped.arrays[0].data.iter().filter(|v| v.is_nan()).count();
    assert!(left > 0 && left < 21, "{left}");
    assert!(stopped.notes[0].contains("Stopped"));
    let mut wrong = TreeScrubbing::default();
    wrong.asked.hypothesis = "H9".to_owned();
    let error = wrong.run(&ground, &mut |_| true).unwrap_err();
    assert!(error.message.contains("H9") && error.message.contains("targets"), "{error}");
    let wrong = TreeScrubbing { registers: "99".to_owned(), ..Default::default() };
    assert!(wrong.run(&ground, &mut |_| true).unwrap_err().message.contains("99"));
}

// ── registers ────────────────────────────────────────────────────────────────────────────────────────

#[test]
fn a_register_is_important_where_losing_it_changes_the_prediction_that_much() {
    use mnemoscope::measurement::causal::knock_out::Registers;
    use mnemoscope::nn::edit::{At, Edit, With};
    let lab = Lab::new(3, 2);
    let row = lab.source.sequence(held_out_seed(1), 0);
    let batch = Batch::from_rows(std::slice::from_ref(&row));
    let root = 3 * NODES - 1;
    let candidates = vec![2, 5, 14, 21, 22];
    let log_probs = |keys: &[usize]| -> Vec<f64> {
        let edit = |layer| Edit {
            site: Site { layer, point: Point::Pattern },
            head: None,
            positions: At::Same(vec![root]),
            keys: At::Same(keys.to_vec()),
            with: With::Zero,
        };
        let edits: Vec<Edit> = if keys.is_empty() { Vec::new() } else { [1, 2].map(edit).to_vec() };
        let (logits, _) =
            pass::forward(&*lab.model, &lab.params, &batch, &edits, &[], true).unwrap();
        let logits: Vec<f32> =
            logits.unwrap().get(0).unwrap().get(root).unwrap().to_vec1().unwrap();
        let sum: f64 = logits.iter().map(|l| f64::from(*l).exp()).sum();
        logits.iter().map(|l| f64::from(*l) - sum.ln()).collect()
    };
    let before = log_probs(&[]);
    // With a threshold above everything and one of nothing, what is cut together differs.
    for least_kl in [0.0, 1e-6, 100.0] {
        let rule = Registers { at: root, candidates: candidates.clone(), layers: 2, least_kl };
        let found = rule.run(lab.subject(), &row).unwrap();
        let mut cut = Vec::new();
        for (register, position) in found.iter().zip(&candidates) {
            cut.push(*position);
            let now = log_probs(&cut);
            let kl: f64 = before.iter().zip(&now).map(|(b, n)| b.exp() * (b - n)).sum();
            assert_eq!(register.position, *position);
            assert!((register.kl - kl).abs() < 1e-6, "{position}: {} for {kl}", register.kl);
            let best = |p: &[f64]| (0..p.len()).fold(0, |b, i| if p[i] > p[b] { i } else { b });
            assert_eq!(register.important, kl >= least_kl || best(&before) != best(&now));
            if register.important {
                cut.pop();
            }
        }
    }
    let pool = Pool::new(1).unwrap();
    let ground = Ground { subject: lab.subject(), pool: &pool, prompt: &row, seed: 1, edits: &[] };
    let ask = FindingRegisters { all_pairs: true, ..Default::default() };
    let answer = ask.run(&ground, &mut |_| true).unwrap();
    let told = (0..before.len()).fold(0, |b, i| if before[i] > before[b] { i } else { b });
    let by_rule = FindingRegisters::default().run(&ground, &mut |_| true);
    if told == row.targets[root] as usize {
        assert_eq!(by_rule.unwrap().arrays, answer.arrays);
    } else {
        assert!(by_rule.unwrap_err().message.contains("--all-pairs"));
    }
    let positions = answer.arrays.iter().find(|a| a.name == "position").unwrap();
    assert_eq!(*positions.data, [12.0, 14.0, 15.0, 17.0, 18.0, 20.0, 21.0]);
    let late = Registers { at: root, candidates: vec![root + 1], layers: 2, least_kl: 0.7 };
    let error = late.run(lab.subject(), &row).unwrap_err();
    assert!(error.message.contains("after the prediction"), "{error}");
}
