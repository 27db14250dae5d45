//! Time and memory in a wiring: segments, carried state, memory tokens, gradients cut or not, places passed step by step.

use candle_core::Tensor;
use std::sync::Arc;

use mnemoscope::Result;
use mnemoscope::base::batch::Batch;
use mnemoscope::base::intervention::{Intervention, Place, Point, Site};
use mnemoscope::base::question::MeasurementCall;
use mnemoscope::base::settings::Settings;
use mnemoscope::model::feedback::Feedback;
use mnemoscope::model::memory_tokens::MemoryTokens;
use mnemoscope::model::pass;
use mnemoscope::model::readout::Read;
use mnemoscope::model::recurrent::{Cell, Recurrent};
use mnemoscope::model::segments::{Segmented, Segments};
use mnemoscope::model::stack::Stack;
use mnemoscope::model::transformer_xl::TransformerXl;
use mnemoscope::model::{Architecture, Input, Layout, Model, Network, Sequences, State};
use mnemoscope::nn::activation::Activation;
use mnemoscope::nn::attention::{Attention, Mask, Sees};
use mnemoscope::nn::edit::{Edit, With};
use mnemoscope::nn::params::{Init, Param, Params};
use mnemoscope::nn::tap::{EditAndCapture, Untapped};
use mnemoscope::nn::tape::{Numbers, Workspace};
use mnemoscope::nn::wire::{Along, Heads, Map, Wire};
use mnemoscope::run::examine::Instrument;
use mnemoscope::run::experiment::Experiment;
use mnemoscope::run::trainer::Trainer;

use super::models::{
    Variation, assert_gradients_are_slopes, assert_tape_agrees, assert_tape_keeps, gradients, ids,
    logits, loss_over, taped, tokens,
};

const LENGTH: usize = 14;

/// An architecture that reads its sequences in segments.
struct InSegments {
    settings: Box<dyn Architecture>,
    segments: Segments,
}

impl Settings for InSegments {
    fn about(&self) -> &'static str {
        self.settings.about()
    }

    fn each(
        &mut self,
        visit: &mut dyn FnMut(
            &mnemoscope::base::settings::Spec,
            mnemoscope::base::settings::Slot<'_>,
        ),
    ) {
        self.settings.each(visit);
    }
}

impl Architecture for InSegments {
    fn build(&self, on: Sequences, params: &mut Params) -> Result<Box<dyn Model>> {
        let segment = self.segments.length.min(on.length);
        let model = self.settings.build(Sequences { segment, ..on }, params)?;
        Ok(Box::new(Segmented { model, segments: self.segments }))
    }

    fn boxed(&self) -> Box<dyn Architecture> {
        Box::new(Self { settings: self.settings.boxed(), segments: self.segments })
    }
}

mnemoscope::settings! {
    /// Every operation that the models of the registry leave alone.
    pub struct Odd = "A layer whose queries see memory by a rule, with shared heads of keys, and a gate." {
        /// Which rule.
        rule: usize = 0, in 0..=3;
    }
}

impl Architecture for Odd {
    fn build(&self, on: Sequences, params: &mut Params) -> Result<Box<dyn Model>> {
        let Sequences { vocab, length, .. } = on;
        let width = 8;
        let mut table = |name: &str, rows: usize, columns: usize| {
            params.add(name, &[rows, columns], Init::Normal(0.4), true)
        };
        let sees = [Sees::Before, Sees::Window(3), Sees::Block(4), Sees::All][self.rule];
        let mask = Mask { memory: 3, sees };
        Ok(Box::new(OddNet {
            how: Attention { kv_heads: 2, mask, ..Attention::causal(0, 4, 0.6) },
            embed: table("embed", vocab, width)?,
            positions: table("pos", length, width)?,
            memory: table("memory", 3, width)?,
            queries: Map::plain(table("layer0.wq", 16, width)?),
            keys: Map::plain(table("layer0.wk", 8, width)?),
            values: Map::plain(table("layer0.wv", 8, width)?),
            outputs: Map::plain(table("layer0.wo", width, 16)?),
            gate: Map::plain(table("layer0.gate", width, width)?),
            unembed: Map::plain(table("unembed", vocab, width)?),
            layout: Layout { kind: "odd", heads: vec![4], width, vocab, length },
        }))
    }

    fn boxed(&self) -> Box<dyn Architecture> {
        Box::new(self.clone())
    }
}

struct OddNet {
    layout: Layout,
    how: Attention,
    embed: Param,
    positions: Param,
    memory: Param,
    queries: Map,
    keys: Map,
    values: Map,
    outputs: Map,
    gate: Map,
    unembed: Map,
}

impl Network for OddNet {
    fn layout(&self) -> &Layout {
        &self.layout
    }

    fn wire<'m, W: Wire<'m>>(&'m self, wire: &mut W) -> Result<W::X> {
        let x = wire.embed(self.embed, Some(self.positions))?;
        let x = wire.at(0, Point::ResidPre, x)?;
        let memory = wire.repeat(self.memory)?;
        let memory = wire.at_memory(0, Point::own("memory.read"), memory)?;
        let all = wire.concat(&[memory, x.clone()], Along::Positions)?;
        let (queries, keys) = (wire.linear(&x, self.queries)?, wire.linear(&all, self.keys)?);
        let heads = Heads {
            queries: &queries,
            keys: &keys,
            read: &all,
            values: Some(self.values),
            outputs: Some(self.outputs),
            residual: Some(&x),
            last: false,
        };
        let x = wire.attend(self.how, heads)?;
        let [a, b] = wire.split(&x, 4)?;
        let turned = wire.concat(&[b, a], Along::Columns)?;
        let gate = wire.linear(&turned, self.gate)?;
        let gate = wire.activate(gate, Activation::Sigmoid)?;
        let new = wire.scale(&turned, 0.5)?;
        let new = wire.activate(new, Activation::Tanh)?;
        let x = wire.mix(&x, &new, &gate)?;
        let zeros = wire.zeros(wire.positions(), 8)?;
        let x = wire.sum(&x, &zeros)?;
        self.read().wire(wire, 0, x)
    }

    fn read(&self) -> Read<'_> {
        Read::new(None, self.unembed)
    }
}

pub fn of(name: &str, settings: Box<dyn Architecture>) -> Variation {
    Variation { name: name.to_owned(), settings }
}

fn gru() -> Box<dyn Architecture> {
    Box::new(Recurrent { width: 6, ..Recurrent::default() })
}

fn memory_tokens(stop_gradient: bool) -> Box<dyn Architecture> {
    let stack = Stack { layers: 1, heads: 1, width: 6, ..Stack::default() };
    Box::new(MemoryTokens { stack, memory: 2, stop_gradient, ..MemoryTokens::default() })
}

pub fn in_segments(settings: Box<dyn Architecture>, length: usize, through: usize) -> Variation {
    let name = format!("segments of {length}, through {through}");
    of(&name, Box::new(InSegments { settings, segments: Segments { length, through } }))
}

#[test]
fn new_operations_have_the_slopes_of_their_values_on_both_engines() {
    for rule in 0..4 {
        let variation = of(&format!("rule {rule}"), Box::new(Odd { rule }));
        assert_gradients_are_slopes(&variation, LENGTH, 2);
        assert_tape_agrees(&variation, None, false, 2 * 70);
        assert_tape_agrees(&variation, Some("memory"), true, 2 * 70);
    }
}

#[test]
fn gradients_pass_through_the_state_of_all_segments() {
    for settings in [gru(), memory_tokens(false)] {
        assert_gradients_are_slopes(&in_segments(settings.boxed(), 5, 65536), LENGTH, 2);
    }
    assert_gradients_are_slopes(&of("gru", gru()), LENGTH, 2);
}

#[test]
fn the_tape_walks_segments_as_the_pass_over_tensors_does() {
    for settings in [gru(), memory_tokens(false), memory_tokens(true)] {
        for through in [0, 1, 3, 65536] {
            let variation = in_segments(settings.boxed(), 16, through);
            assert_tape_agrees(&variation, None, false, 2 * 70);
            assert_tape_agrees(&variation, Some("embed"), true, 100 * 70);
        }
    }
    // Models of the registry have no state, and their positions are counted through the whole sequence.
    for variation in super::models::defaults() {
        assert_tape_agrees(&in_segments(variation.settings, 16, 0), None, true, 100 * 70);
    }
}

/// Loss and gradients by the tape.
fn found(variation: &Variation) -> (f64, Vec<f32>) {
    let (model, params) = variation.build(LENGTH);
    let ids = ids(2, LENGTH);
    let (targets, weight) = loss_over(&ids);
    let batch = Batch { rows: 2, len: LENGTH, tokens: ids, targets, ..Batch::default() };
    let work = Workspace::default();
    let (loss, grads) = taped(&*model, &params, &batch, &weight, 2 * LENGTH, &work);
    (loss, grads.into_iter().flatten().flatten().collect())
}

#[test]
fn the_tape_keeps_places_that_are_passed_in_pieces() {
    for rule in 0..4 {
        assert_tape_keeps(&of("odd", Box::new(Odd { rule })), LENGTH);
    }
    assert_tape_keeps(&of("gru", gru()), LENGTH);
    assert_tape_keeps(&in_segments(gru(), 4, 1), LENGTH);
    assert_tape_keeps(&in_segments(memory_tokens(false), 5, 9), LENGTH);
}

#[test]
fn a_cut_gradient_is_another_one_of_the_same_loss() {
    let depths = [0, 1, 2, 65536].map(|through| found(&in_segments(gru(), 5, through)));
    for (loss, _) in &depths {
        assert_eq!(*loss, depths[0].0);
    }
    // There are three segments, so two states are carried.
    assert_ne!(depths[0].1, depths[1].1);
    assert_ne!(depths[1].1, depths[2].1);
    assert_eq!(depths[2].1, depths[3].1);
    let stopped = found(&in_segments(memory_tokens(true), 5, 65536));
    let whole = found(&in_segments(memory_tokens(false), 5, 65536));
    assert_eq!(stopped.0, whole.0);
    assert_ne!(stopped.1, whole.1);
    assert_eq!(stopped.1, found(&in_segments(memory_tokens(false), 5, 0)).1);
}

/// The most numbers that are out at once in a pass over two sequences of so many positions, forward and back or forward alone.
fn most(variation: &Variation, length: usize, goes_back: bool) -> usize {
    let (model, params) = variation.build(length);
    let ids = ids(2, length);
    let (targets, weight) = loss_over(&ids);
    let batch = Batch { rows: 2, len: length, tokens: ids, targets, ..Batch::default() };
    let work = Workspace::default();
    if goes_back {
        taped(&*model, &params, &batch, &weight, 2 * length, &work);
    } else {
        let numbers = Numbers::of(&params, 2 * length, &work).unwrap();
        pass::on_tape(&*model, &numbers, (&batch, &weight), &[], true).unwrap();
    }
    work.most()
}

fn transformer_xl(stop_gradient: bool) -> Box<dyn Architecture> {
    let stack = Stack { layers: 1, heads: 1, width: 6, ..Stack::default() };
    Box::new(TransformerXl { stack, cache: 0, stop_gradient })
}

fn feedback(memory: usize, stop_gradient: bool) -> Box<dyn Architecture> {
    let stack = Stack { layers: 1, heads: 1, width: 6, ..Stack::default() };
    Box::new(Feedback { stack, memory, blocks: 1, stop_gradient })
}

#[test]
fn memory_grows_with_the_segments_that_the_gradient_flows_through_and_with_no_others() {
    let grows = |settings: &dyn Architecture, through, goes_back| -> bool {
        let variation = in_segments(settings.boxed(), 5, through);
        let [short, long] = [40, 400].map(|length| most(&variation, length, goes_back));
        assert!(long == short || long > 5 * short, "{short}, {long}");
        long > short
    };
    for settings in
        [gru(), memory_tokens(false), transformer_xl(false), feedback(2, false), feedback(0, false)]
    {
        assert!(grows(&*settings, 65536, true));
        assert!(!grows(&*settings, 0, true) && !grows(&*settings, 3, true));
        assert!(!grows(&*settings, 65536, false));
    }
    // Where the model itself stops all that it carries.
    assert!(!grows(&*memory_tokens(true), 65536, true));
    assert!(!grows(&*transformer_xl(true), 65536, true));
    assert!(!grows(&*feedback(0, true), 65536, true));
    // The memory of feedback attention passes its gradient on.
    assert!(grows(&*feedback(2, true), 65536, true));
}

#[test]
fn recurrent_units_in_one_go_give_what_they_give_step_by_step() {
    let hidden = Site { layer: 0, point: Point::own("hidden") };
    let candidate = Site { layer: 0, point: Point::own("candidate") };
    for cell in [Cell::Tanh, Cell::Gru, Cell::Lstm] {
        // More units than are worked on side by side.
        let settings = Recurrent { cell, layers: 2, width: 37, ..Recurrent::default() };
        let variation = in_segments(Box::new(settings), 5, 65536);
        assert_tape_agrees(&variation, None, true, 2 * 70);
        let (model, params) = variation.build(LENGTH);
        let batch = Batch { rows: 2, len: LENGTH, tokens: ids(2, LENGTH), ..Batch::default() };
        let (work, reads) = (Workspace::default(), vec![1.0; 2 * LENGTH]);
        let numbers = Numbers::of(&params, 2 * LENGTH, &work).unwrap();
        // A place between the states is kept, so that they are made step by step.
        let [one, steps] = [&[hidden][..], &[hidden, candidate]].map(|sites| {
            let seen = pass::on_tape(&*model, &numbers, (&batch, &reads), sites, true);
            let (_, kept) = seen.unwrap().unwrap();
            kept.whole(hidden).unwrap().unwrap().0.flatten_all().unwrap().to_vec1().unwrap()
        });
        assert_close(&one, &steps);
    }
}

/// The states before each segment, as the weights are now.
fn states(model: &dyn Model, params: &Params, ids: &[u32], length: usize) -> Vec<Option<State>> {
    let all = tokens(ids, 2);
    let mut states = vec![None];
    for from in (0..LENGTH).step_by(length) {
        let tokens = all.narrow(1, from, length.min(LENGTH - from)).unwrap();
        let state = states.last().unwrap().as_ref();
        let input = Input { state, ..Input::new(&tokens) };
        let state = model.forward(params, &input, &mut Untapped).unwrap().state;
        states.push(state);
    }
    states
}

/// A network whose state before each segment is a constant: what a gradient that is stopped there is the slope of.
struct Held {
    model: Box<dyn Model>,
    length: usize,
    states: Vec<Option<State>>,
}

impl Model for Held {
    fn layout(&self) -> &Layout {
        self.model.layout()
    }

    fn forward(
        &self,
        params: &Params,
        input: &Input<'_>,
        tap: &mut dyn mnemoscope::nn::tap::Tap,
    ) -> Result<mnemoscope::model::Output> {
        let mut logits = Vec::new();
        for (i, from) in (0..LENGTH).step_by(self.length).enumerate() {
            let tokens = input.tokens.narrow(1, from, self.length.min(LENGTH - from))?;
            let input = Input { state: self.states[i].as_ref(), ..Input::new(&tokens) };
            logits.push(self.model.forward(params, &input, tap)?.logits);
        }
        Ok(mnemoscope::model::Output {
            logits: Tensor::cat(&logits, 1)?,
            state: None,
            beside: None,
        })
    }
}

#[test]
fn a_stopped_gradient_is_the_slope_with_the_memory_held() {
    // Cut by how it is read, and by the network itself.
    for (settings, through) in [(gru(), 0), (memory_tokens(true), 65536)] {
        let (model, params) = in_segments(settings.boxed(), 5, through).build(LENGTH);
        let ids = ids(2, LENGTH);
        let stopped = gradients(&*model, &params, &ids, &mut Untapped);
        let (alone, mut params) = in_segments(settings, 5, through).build(LENGTH);
        let states = states(&*alone, &params, &ids, 5);
        let held = Held { model: alone, length: 5, states };
        let size = |grad: &Vec<f32>| grad.iter().map(|g| f64::from(g.abs()) * 0.1).sum::<f64>();
        let largest = stopped.iter().flatten().map(size).fold(0.0, f64::max);
        for (index, grad) in stopped.iter().enumerate() {
            let grad = grad.as_ref().unwrap();
            let direction: Vec<f32> = grad.iter().map(|g| g.signum() * 0.1).collect();
            let expected: f64 = grad.iter().zip(&direction).map(|(g, d)| f64::from(g * d)).sum();
            let found = super::models::slopes(&held, &mut params, &ids, index, &direction);
            // That of a bias of all keys is zero.
            let scale = expected.max(0.03 * largest);
            let meets = found.iter().any(|slope| (slope - expected).abs() < 0.02 * scale);
            assert!(meets, "tensor {index}: {found:?}, {expected}");
        }
    }
}

#[test]
fn segments_of_a_recurrent_network_give_the_logits_of_the_whole() {
    let (whole, params) = of("whole", gru()).build(LENGTH);
    let tokens = tokens(&ids(2, LENGTH), 2);
    let expected = logits(&*whole, &params, &tokens);
    for length in [1, 4, 13, 14, 99] {
        let (model, params) = in_segments(gru(), length, 0).build(LENGTH);
        assert_close(&logits(&*model, &params, &tokens), &expected);
    }
}

/// Alike but for the order of sums.
#[track_caller]
fn assert_close(a: &[f32], b: &[f32]) {
    assert_eq!(a.len(), b.len());
    assert!(a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-5), "{a:?}\n{b:?}");
}

/// Logits `[batch, pos, vocab]` of one sequence under an intervention, position by position, and what was kept.
fn under(variation: &Variation, what: &str, keep: &[Site]) -> (Vec<Vec<f32>>, EditAndCapture) {
    let (model, params) = variation.build(LENGTH);
    let edits: Vec<Edit> = match what {
        "" => Vec::new(),
        what => {
            let what: Intervention = what.parse().unwrap();
            assert_eq!(what.to_string().parse::<Intervention>().unwrap(), what);
            Edit::of(&what, &params).unwrap().into_iter().collect()
        }
    };
    let mut bench = EditAndCapture::new(edits, keep.to_vec());
    let tokens = tokens(&ids(1, LENGTH), 1);
    let output = model.forward(&params, &Input::new(&tokens), &mut bench).unwrap();
    (output.logits.get(0).unwrap().to_vec2().unwrap(), bench)
}

#[test]
fn an_edit_of_the_hidden_state_reaches_later_positions_and_no_earlier() {
    let hidden = Site { layer: 0, point: Point::own("hidden") };
    let mut all = Vec::new();
    for variation in [of("gru", gru()), in_segments(gru(), 3, 0)] {
        let (before, bench) = under(&variation, "", &[hidden]);
        let (after, edited) = under(&variation, "zero layer0.hidden@2", &[hidden]);
        assert_eq!(before[..2], after[..2]);
        assert_ne!(before[2], after[2]);
        assert_ne!(before[3], after[3], "the state goes on");
        let states = |bench: &EditAndCapture| {
            bench.captured[&hidden].get(0).unwrap().to_vec2::<f32>().unwrap()
        };
        let (states, edited) = (states(&bench), states(&edited));
        assert_eq!((states.len(), states[0].len()), (LENGTH, 6));
        assert_eq!(states[..2], edited[..2]);
        assert!(edited[2].iter().all(|x| *x == 0.0) && edited[3] != states[3]);
        all.push((before, after, states));
    }
    let [one, segments] =
        [&all[0], &all[1]].map(|(a, b, c)| [a.concat(), b.concat(), c.concat()].concat());
    assert_close(&one, &segments);
}

#[test]
fn memory_tokens_are_places_of_their_own() {
    let variation = in_segments(memory_tokens(false), 5, 0);
    let (before, _) = under(&variation, "", &[]);
    // What is written for the second segment is read by it and, through it, by the third.
    let (after, _) = under(&variation, "zero layer0.memory.write", &[]);
    assert_eq!(before[..5], after[..5]);
    assert!(before[5..10] != after[5..10] && before[10..] != after[10..]);
    // One memory token of two, and attention of one query to it.
    let (one, _) = under(&variation, "zero layer0.memory.read@m1", &[]);
    let (both, _) = under(&variation, "zero layer0.memory.read@m0-m1", &[]);
    assert!(one != before && both != before && one != both);
    let (cut, _) = under(&variation, "cut layer0.head0@7<-m1", &[]);
    // Whoever watches attention gets it in another order of sums.
    let apart =
        |at: usize| cut[at].iter().zip(&before[at]).map(|(a, b)| (a - b).abs()).sum::<f32>();
    assert!(
        (0..10).all(|at| (apart(at) > 1e-3) == (at == 7)),
        "{:?}",
        (0..10).map(apart).collect::<Vec<_>>()
    );
}

#[test]
fn a_pattern_of_segments_stands_where_its_keys_do() {
    let pattern = Site { layer: 0, point: Point::Pattern };
    let (_, bench) = under(&in_segments(memory_tokens(false), 5, 0), "", &[pattern]);
    let rows = bench.captured[&pattern].get(0).unwrap().get(0).unwrap().to_vec2::<f32>().unwrap();
    assert_eq!((rows.len(), rows[0].len()), (LENGTH, LENGTH));
    for (query, row) in rows.iter().enumerate() {
        let seen = query / 5 * 5..=query;
        for (key, weight) in row.iter().enumerate() {
            assert_eq!(*weight > 0.0, seen.contains(&key), "{query} to {key}");
        }
        // The rest goes to memory.
        assert!(row.iter().sum::<f32>() < 1.0);
    }
}

/// Networks with memory tokens, and how many of them their keys have.
fn with_memory() -> Vec<(Variation, usize)> {
    let odd = (0..4).map(|rule| (of(&format!("rule {rule}"), Box::new(Odd { rule })), 3));
    // Two before the positions and, where there is a next segment, two after them.
    let whole = (of("whole", memory_tokens(false)), 2);
    odd.chain([whole, (in_segments(memory_tokens(false), 5, 0), 4)]).collect()
}

#[test]
fn what_goes_to_memory_is_kept_beside_the_positions() {
    for (variation, memory) in with_memory() {
        for point in [Point::Scores, Point::Pattern] {
            let site = Site { layer: 0, point };
            let (_, bench) = under(&variation, "", &[site]);
            let (whole, before) = bench.captured.whole(site).unwrap().unwrap();
            assert_eq!(before, memory, "{}", variation.name);
            assert_eq!(whole.dims()[2..], [LENGTH, memory + LENGTH]);
            let numbers = |x: &Tensor| x.flatten_all().unwrap().to_vec1::<f32>().unwrap();
            let positions = whole.narrow(3, memory, LENGTH).unwrap();
            assert_eq!(numbers(&positions), numbers(&bench.captured[&site]));
            let rows = numbers(&whole.sum(3).unwrap());
            let sums_to_1 = rows.iter().all(|sum| (sum - 1.0).abs() < 1e-5);
            assert_eq!(sums_to_1, point == Point::Pattern, "{}: {rows:?}", variation.name);
        }
    }
    // Where there are no memory tokens, nothing stands before the positions.
    let pattern = Site { layer: 0, point: Point::Pattern };
    let variation = super::models::defaults().remove(0);
    let (_, bench) = under(&variation, "", &[pattern]);
    let (whole, before) = bench.captured.whole(pattern).unwrap().unwrap();
    assert_eq!((before, whole.id()), (0, bench.captured[&pattern].id()));
}

#[test]
fn an_edge_to_a_memory_token_is_cut_in_its_column() {
    let pattern = Site { layer: 0, point: Point::Pattern };
    let variation = in_segments(memory_tokens(false), 5, 0);
    let rows = |what: &str| -> Vec<Vec<f32>> {
        let (_, bench) = under(&variation, what, &[pattern]);
        let (whole, _) = bench.captured.whole(pattern).unwrap().unwrap();
        whole.get(0).unwrap().get(0).unwrap().to_vec2().unwrap()
    };
    let (before, mut after) = (rows(""), rows("cut layer0.head0@7<-m1"));
    assert!(before[7][1] > 0.0);
    assert_eq!(std::mem::replace(&mut after[7][1], before[7][1]), 0.0);
    assert_eq!(after[..10], before[..10], "nothing else changes before the next segment");
    // No position sees the memory after it.
    assert!(before.iter().all(|row| row[2..4] == [0.0; 2]));
}

#[test]
fn a_network_that_is_patched_with_itself_stays_itself() {
    let points = [
        Point::ResidPre,
        Point::Q,
        Point::K,
        Point::V,
        Point::Scores,
        Point::Pattern,
        Point::Z,
        Point::AttnOut,
        Point::ResidPost,
    ];
    for (variation, _) in with_memory() {
        let (before, _) = under(&variation, "", &[]);
        for point in points {
            let site = Site { layer: 0, point };
            let (_, bench) = under(&variation, "", &[site]);
            let Some((whole, _)) = bench.captured.whole(site).unwrap() else { continue };
            let (model, params) = variation.build(LENGTH);
            let edit = Edit::all(site, With::Replace(whole));
            let mut bench = EditAndCapture::new(vec![edit], Vec::new());
            let tokens = tokens(&ids(1, LENGTH), 1);
            let output = model.forward(&params, &Input::new(&tokens), &mut bench).unwrap();
            let after: Vec<Vec<f32>> = output.logits.get(0).unwrap().to_vec2().unwrap();
            assert_close(&after.concat(), &before.concat());
        }
    }
}

#[test]
fn places_of_a_models_own_are_spelled_and_checked_by_the_network() {
    for text in ["layer0.gate.update@2", "layer3.memory.read@m0-m3,7", "layer0.hidden"] {
        let place: Place = text.parse().unwrap();
        assert_eq!(place.to_string(), text);
    }
    for text in ["layer0.Hidden", "layer0.a..b", "layer0.hidden@m", "layer0.hidden@3-m2"] {
        assert!(text.parse::<Place>().is_err(), "{text}");
    }
    assert!("layer0.a_name_that_is_longer_than_names_are".parse::<Place>().is_err());
}

#[test]
fn a_network_is_asked_beyond_its_training_length() {
    let mut experiment = Experiment::of("longer", "bigram", "decoder").unwrap();
    experiment.set_text("task.length", "12").unwrap();
    experiment.set_text("train.batch", "4").unwrap();
    experiment.set_text("train.held_out", "4").unwrap();
    // What decays does so everywhere.
    experiment.set_text("train.decay", "0").unwrap();
    let mut short = Trainer::new(&experiment).unwrap();
    experiment.set_text("task.longest", "20").unwrap();
    let mut long = Trainer::new(&experiment).unwrap();
    for trainer in [&mut short, &mut long] {
        (0..3).for_each(|_| drop(trainer.step().unwrap()));
    }
    // It learns the same; rows that no sequence reaches stay as they were drawn.
    let metrics = |trainer: &mut Trainer| -> Vec<u64> {
        trainer.evaluate().unwrap().0.values.iter().map(|value| value.to_bits()).collect()
    };
    assert_eq!(metrics(&mut short)[..2], metrics(&mut long)[..2]);
    let rows = |trainer: &Trainer| {
        let weights = trainer.weights().unwrap();
        weights.tensors.iter().find(|tensor| &*tensor.name == "pos").unwrap().data.to_vec()
    };
    let (few, many) = (rows(&short), rows(&long));
    assert_eq!(many.len() * 12, few.len() * 20);
    assert_eq!(many[..few.len()], few);
    let fresh = rows(&Trainer::new(&experiment).unwrap());
    assert_eq!(many[few.len()..], fresh[few.len()..]);
    assert_ne!(many[..few.len()], fresh[..few.len()]);
    // A longer text is read.
    let source = long.source().clone();
    assert_eq!((source.length(), source.longest()), (12, 20));
    let mut params = Params::new(0);
    let model = experiment.network(&*source, &mut params).unwrap();
    let ids: Vec<u32> = (0..20).collect();
    let output = model.forward(&params, &Input::new(&tokens(&ids, 1)), &mut Untapped).unwrap();
    assert_eq!(output.logits.dims()[1], 20);
    // And cut beyond the training length, as far as the network reads.
    let weights = long.weights().unwrap();
    let mut instrument = Instrument::new(&experiment).unwrap();
    let prompt = Arc::new(source.sequence(1, 0).repeated(20));
    let mut cut = |what: &str| {
        let calls = [MeasurementCall::new("attention")];
        instrument.examine(&weights, &prompt, &[what.parse().unwrap()], &calls).map(|_| ())
    };
    cut("zero layer0.head0@19").unwrap();
    let refused = cut("zero layer0.head0@20").unwrap_err().message;
    assert!(refused.contains("position 20 asked for, layer0.z has 20"), "{refused}");
    let refused = cut("zero layer0.head0@m0").unwrap_err().message;
    assert!(refused.contains("memory token m0 asked for, layer0.z has none"), "{refused}");
}
