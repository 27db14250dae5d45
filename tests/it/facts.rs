//! Facts: where they are looked up, how they are rewritten, and what becomes of them against what is said.

use std::sync::Arc;

use mnemoscope::base::batch::{Batch, NO_TARGET, Row};
use mnemoscope::base::intervention::{Intervention, Point, Site};
use mnemoscope::base::question::{MeasurementCall, Reading};
use mnemoscope::base::vocab::Vocab;
use mnemoscope::measurement::Subject;
use mnemoscope::measurement::causal::rewriting::{RankOne, Wanted, rank_one};
use mnemoscope::model::pass;
use mnemoscope::nn::edit::{At, Edit, With};
use mnemoscope::nn::kernel::pool::Pool;
use mnemoscope::nn::params::Params;
use mnemoscope::nn::tap::Captured;
use mnemoscope::run::job::analysis_of;
use mnemoscope::task::counterfact::Counterfact;
use mnemoscope::task::facts::Facts;
use mnemoscope::task::prompted::Prompted;
use mnemoscope::task::{Source, batch, held_out_seed};

use super::memory_tasks::{check_laws, of_text, open, targets};
use super::working_memory::Asked;

// ── facts known by heart ─────────────────────────────────────────────────────────────────────────────

fn facts() -> Facts {
    Facts { first: 3, second: 4, relations: 2, objects: 5, table: 0 }
}

#[test]
fn facts_keep_the_laws_of_a_task() {
    for settings in [Facts::default(), facts(), Facts { first: 2, second: 2, ..facts() }] {
        check_laws(&format!("{settings:?}"), &*open(&settings));
    }
}

#[test]
fn a_fact_is_asked_at_the_sign_and_has_the_same_object_every_time() {
    let source = open(&facts());
    let row = of_text(&*source, "a2 b1 r0 =");
    assert_eq!(row.tokens, [2, 4, 7, 9]);
    assert_eq!(row.roles, [1, 1, 2, 4]);
    assert_eq!(row.targets[..3], [NO_TARGET; 3]);
    let object = row.targets[3];
    assert!((10..15).contains(&object));
    let seen = (0..200).map(|index| source.sequence(1, index));
    let same = seen.filter(|other| other.tokens == row.tokens).collect::<Vec<Row>>();
    assert!(same.len() > 2 && same.iter().all(|other| other.targets[3] == object));
    let number = |kind: &str| source.labels(kind, &row);
    assert_eq!(
        number("object")[1..],
        [None, Some(vec![object as usize - 10]), Some(vec![object as usize - 10])]
    );
    assert_eq!(number("subject"), [None, Some(vec![9]), Some(vec![9]), Some(vec![9])]);
    // What is no fact has no answer.
    for text in ["a2 a1 r0 =", "a2 b1 = r0", "a2 b1 r0", "= ="] {
        assert!(
            of_text(&*source, text).targets.iter().all(|target| *target == NO_TARGET),
            "{text}"
        );
    }
    let other = open(&Facts { table: 1, ..facts() });
    let all = |source: &dyn Source| -> Vec<u32> {
        (0..50)
            .map(|index| source.sequence(1, index))
            .map(|row| source.label(&row.tokens, &row).targets[3])
            .collect()
    };
    assert_ne!(all(&*source), all(&*other), "another number, other facts");
}

#[test]
fn prompts_of_a_task_are_its_facts_each_once() {
    let source = open(&facts());
    let prompted = source.facet::<Prompted>().unwrap();
    let all = prompted.first(7, 1000);
    let mut tokens: Vec<_> = all.iter().map(|prompt| prompt.tokens.clone()).collect();
    tokens.sort();
    tokens.dedup();
    assert_eq!((all.len(), tokens.len()), (24, 24));
    for prompt in &all {
        assert_eq!(prompt.answer(), Some(source.label(&prompt.tokens, &Row::default()).targets[3]));
        assert_eq!(prompt.role("subject"), [0, 1]);
        assert_eq!((prompted.of_text)(&prompt.tokens).as_ref(), Some(prompt));
        if let Some(other) = &prompt.counterpart {
            assert!(other[0] != prompt.tokens[0] && other[1] != prompt.tokens[1]);
            assert_eq!(other[2..], prompt.tokens[2..]);
            assert_eq!(prompt.wrong(), Some(source.label(other, &Row::default()).targets[3]));
        }
    }
    assert!((prompted.of_text)(&[0, 1, 2]).is_none());
}

// ── facts against what is said ───────────────────────────────────────────────────────────────────────

fn counterfact() -> Counterfact {
    Counterfact { subjects: 6, attributes: 4, ..Counterfact::default() }
}

#[test]
fn counterfacts_keep_the_laws_of_a_task() {
    let all = Counterfact { stated: 1.0, same: 1.0, truth: 0.0, copied: 0.2, ..counterfact() };
    for settings in [Counterfact::default(), counterfact(), all] {
        check_laws(&format!("{settings:?}"), &*open(&settings));
    }
}

#[test]
fn a_sentence_is_a_rival_only_where_it_contradicts_the_fact_that_is_asked() {
    let source = open(&counterfact());
    let fact = |subject: &str| {
        let row = of_text(&*source, &format!("PAD PAD PAD PAD {subject}"));
        assert_eq!(row.roles, [0, 0, 0, 0, 1 | 4 | 16]);
        targets(&*source, &row)[8..].to_owned()
    };
    let own = fact("s2");
    let other = if own == "a0" { "a1" } else { "a0" };
    let told = |text: &str| {
        let row = of_text(&*source, text);
        (targets(&*source, &row)[8..].to_owned(), row.roles[4])
    };
    assert_eq!(told(&format!("RED s2 {other} DOT s2")), (other.to_owned(), 1 | 8 | 16));
    assert_eq!(told(&format!("RED s2 {own} DOT s2")), (own.clone(), 1 | 4 | 16));
    assert_eq!(told(&format!("RED s3 {other} DOT s2")), (own, 1 | 4 | 16));
    for text in ["RED s2 s3 DOT s2", "s2 s2 s2 s2 s2", "RED s2 a1 DOT a1", "PAD s2"] {
        let row = of_text(&*source, text);
        assert!(row.targets.iter().all(|target| *target == NO_TARGET), "{text}");
    }
}

#[test]
fn sentences_and_answers_are_drawn_as_the_settings_say() {
    let source = open(&Counterfact::default());
    let (mut stated, mut same, mut rivals, mut copied) = (0, 0, 0, 0);
    for index in 0..8000 {
        let row = source.sequence(5, index);
        stated += usize::from(row.roles[2] & 2 == 2);
        same += usize::from(row.roles[2] & 2 == 2 && row.tokens[1] == row.tokens[4]);
        if row.roles[4] & 8 == 8 {
            rivals += 1;
            copied += usize::from(row.targets[4] == row.tokens[2]);
        }
    }
    // Within four standard errors.
    let near = |count: usize, all: usize, share: f64| {
        let error = (share * (1.0 - share) / all as f64).sqrt();
        assert!(
            (count as f64 / all as f64 - share).abs() < 4.0 * error,
            "{count} of {all}, {share}"
        );
    };
    near(stated, 8000, 0.5);
    near(same, stated, 0.5);
    near(rivals, same, 0.5);
    near(copied, rivals, 0.7);
}

#[test]
fn the_two_variants_ask_the_same_rivals_for_what_is_said_and_for_what_is_known() {
    let source = open(&counterfact());
    let [copied, recalled] = ["copied", "recalled"].map(|name| source.variant(name).unwrap());
    for index in 0..30 {
        let (said, known) = (copied.sequence(3, index), recalled.sequence(3, index));
        assert_eq!(said.tokens, known.tokens);
        assert_eq!(said.targets[4], said.tokens[2]);
        let prompt = (source.facet::<Prompted>().unwrap().of_text)(&said.tokens).unwrap();
        assert_eq!(
            (prompt.answer(), prompt.wrong()),
            (Some(known.targets[4]), Some(said.targets[4]))
        );
        assert_eq!((prompt.role("attribute"), prompt.role("subject")), (&[2][..], &[1, 4][..]));
    }
    assert!(source.variant("dense").is_none());
}

// ── where a fact is looked up ────────────────────────────────────────────────────────────────────────

/// A small network that knows a few facts, each position of which sees itself and the one before.
fn knows() -> Asked {
    let task = ["task.first=3", "task.second=3", "task.objects=6"];
    let model = ["model.layers=3", "model.heads=2", "model.width=16", "model.window=2"];
    let drawn = ["model.init=fan_in", "model.embedding_std=0.5", "train.held_out=32"];
    Asked::of("facts", "decoder", &[&task[..], &model, &drawn].concat(), 300)
}

fn tracing() -> MeasurementCall {
    MeasurementCall::new("tracing")
        .with("all_prompts", true)
        .with("mean_over", 4)
        .with("samples", 3)
}

fn map<'r>(reading: &'r Reading, name: &str) -> &'r [f32] {
    &reading.array(name).unwrap_or_else(|| panic!("no {name}")).data
}

#[test]
fn what_is_restored_at_the_end_brings_the_answer_back_and_what_stands_before_a_subject_nothing() {
    let mut asked = knows();
    let call = tracing().with("severed", true).with("positions", "1");
    let reading = asked.analyze(&call).unwrap();
    let clean = reading.number("focus").unwrap() as f32;
    let corrupted = reading.number("focus_corrupted").unwrap() as f32;
    assert!((clean - corrupted).abs() > 0.1, "{clean} {corrupted}");
    for kind in ["state", "state_without_mlp", "state_without_attention"] {
        let trace = map(&reading, &format!("trace.{kind}"));
        // Layers by positions: the last state decides, and the first token was not corrupted.
        assert!((trace[11] - clean).abs() < 1e-5, "{kind}: {trace:?}");
        for layer in 0..3 {
            assert!((trace[4 * layer] - corrupted).abs() < 1e-6, "{kind}: {trace:?}");
        }
    }
    // Behind a state at the last position nothing else matters in the last layer, and severed MLPs matter before it.
    let (whole, severed) = (map(&reading, "trace.state"), map(&reading, "trace.state_without_mlp"));
    assert!(whole.iter().zip(severed).any(|(a, b)| (a - b).abs() > 1e-3));
}

#[test]
fn no_noise_corrupts_nothing_and_the_counterpart_brings_its_own_answer() {
    let mut asked = knows();
    let still = asked.analyze(&tracing().with("noise", 0)).unwrap();
    let [clean, corrupted] = ["focus", "focus_corrupted"].map(|name| still.number(name).unwrap());
    assert!((clean - corrupted).abs() < 1e-6);
    assert!(map(&still, "trace.mlp").iter().all(|x| (f64::from(*x) - clean).abs() < 1e-5));
    // The counterpart on its own gives the answer of the prompt as rarely as the resampled prompt does.
    let resampled = asked.analyze(&tracing().with("corrupted", "resample")).unwrap();
    let source = asked.instrument.source().clone();
    let prompt = asked.prompt();
    let known = (source.facet::<Prompted>().unwrap().of_text)(&prompt.tokens).unwrap();
    let other = source.label(&known.counterpart.unwrap(), &Row::default());
    let logits = logits(&mut asked, &other.tokens);
    let wanted = probability(&logits, prompt.targets[3]);
    assert!((resampled.number("focus_corrupted").unwrap() - wanted).abs() < 1e-5);
    let zeroed = asked.analyze(&tracing().with("corrupted", "zero")).unwrap();
    assert!((zeroed.number("focus").unwrap() - clean).abs() < 1e-9);
    assert!((zeroed.number("focus_corrupted").unwrap() - wanted).abs() > 1e-6);
}

fn logits(asked: &mut Asked, tokens: &[u32]) -> Vec<f32> {
    let weights = asked.trainer.weights().unwrap();
    let (subject, _) = asked.instrument.subject(&weights).unwrap();
    last_logits(subject, subject.params, tokens, &[])
}

fn last_logits(subject: Subject<'_>, params: &Params, tokens: &[u32], edits: &[Edit]) -> Vec<f32> {
    let batch = of_tokens(tokens);
    let (logits, _) = pass::forward(subject.model, params, &batch, edits, &[], true).unwrap();
    let logits = logits.unwrap().get(0).unwrap();
    logits.get(tokens.len() - 1).unwrap().to_vec1().unwrap()
}

fn of_tokens(tokens: &[u32]) -> Batch {
    let count = tokens.len();
    let (targets, roles) = (vec![NO_TARGET; count], vec![0; count]);
    let tokens = tokens.to_vec();
    Batch::from_rows(&[Row {
        tokens,
        targets,
        roles,
        occurrence: vec![0; count],
        ..Row::default()
    }])
}

fn probability(logits: &[f32], token: u32) -> f64 {
    let sum: f64 = logits.iter().map(|x| f64::from(*x).exp()).sum();
    f64::from(logits[token as usize]).exp() / sum
}

/// As the published code carries it out: at the restored position the MLPs of all layers are held at what they were in the corrupted run.
#[test]
fn severed_mlps_are_those_of_all_layers_at_the_restored_position() {
    let mut asked = knows();
    let call = tracing().with("corrupted", "resample").with("severed", true);
    let reading = asked.analyze(&call).unwrap();
    let prompt = asked.prompt();
    let source = asked.instrument.source().clone();
    let known = (source.facet::<Prompted>().unwrap().of_text)(&prompt.tokens).unwrap();
    let other = known.counterpart.unwrap();
    let weights = asked.trainer.weights().unwrap();
    let (subject, _) = asked.instrument.subject(&weights).unwrap();
    for (kind, point) in
        [("state_without_mlp", Point::MlpOut), ("state_without_attention", Point::AttnOut)]
    {
        let sites = |point: Point| (0..3).map(move |layer| Site { layer, point });
        let all: Vec<Site> = sites(Point::ResidPost).chain(sites(point)).collect();
        // With both tokens of the subject resampled the corrupted run is that on the counterpart.
        let [clean, corrupted] =
            [&prompt.tokens, &other].map(|tokens| captured(subject, tokens, &all));
        let trace = map(&reading, &format!("trace.{kind}"));
        for (layer, position) in [(0, 1), (1, 2), (0, 2), (1, 3), (2, 3)] {
            let held = sites(point).map(|site| replaced(site, position, &corrupted));
            let restored = replaced(Site { layer, point: Point::ResidPost }, position, &clean);
            // What is held before the restored state is written over by it.
            let edits: Vec<Edit> = held.chain([restored]).collect();
            let logits = last_logits(subject, subject.params, &other, &edits);
            let wanted = probability(&logits, prompt.targets[3]) as f32;
            let found = trace[4 * layer + position];
            assert!((found - wanted).abs() < 1e-5, "{kind} {layer} {position}: {found} {wanted}");
        }
    }
}

fn captured(subject: Subject<'_>, tokens: &[u32], sites: &[Site]) -> Captured {
    let batch = of_tokens(tokens);
    pass::forward(subject.model, subject.params, &batch, &[], sites, true).unwrap().1
}

fn replaced(site: Site, position: usize, by: &Captured) -> Edit {
    let (positions, with) = (At::Same(vec![position]), With::Replace(by[&site].clone()));
    Edit { site, head: None, positions, keys: At::All, with }
}

#[test]
fn tracing_says_what_it_lacks() {
    let mut asked = knows();
    let said = asked.analyze(&tracing().with("positions", "verb")).unwrap_err();
    assert!(said.contains("positions") && said.contains("relation"), "{said}");
    let said = asked.analyze(&tracing().with("positions", "9")).unwrap_err();
    assert!(said.contains("0-3"), "{said}");
    // Another role of the task will do.
    assert!(asked.analyze(&tracing().with("positions", "relation")).is_ok());
    let mut none = Asked::of("bigram", "birth", &["task.length=16", "model.width=16"], 1);
    let said = none.analyze(&tracing().with("positions", "verb")).unwrap_err();
    assert!(said.contains("positions"), "{said}");
}

#[test]
fn any_network_is_traced_through_the_pairs_of_its_task() {
    let gru = ["task.length=6", "task.longest=6", "model.width=6"];
    let mut gru = Asked::of("automaton", "recurrent", &gru, 2);
    let found = gru.analyze(&tracing()).unwrap();
    assert!(map(&found, "trace.state").iter().all(|x| x.is_finite()), "{found:?}");
    assert!(map(&found, "mean.mlp").iter().all(|x| x.is_nan()), "it has no MLP");
    let memory = ["task.count=4", "task.segment=4", "model.memory=2", "train.segment=4"];
    let small = ["model.width=8", "model.heads=2", "model.layers=2"];
    let mut memory = Asked::of("copy", "memory_tokens", &[&small[..], &memory].concat(), 2);
    let found = memory.analyze(&tracing()).unwrap();
    assert!(map(&found, "trace.state").iter().all(|x| x.is_finite()), "{found:?}");
}

// ── rewriting ────────────────────────────────────────────────────────────────────────────────────────

const LAYER: usize = 2;
const AT: usize = 3;

/// A change of the fact in view, and the weights that it was made of.
fn rewritten(asked: &mut Asked) -> (RankOne, u32) {
    let (prompt, weights) = (asked.prompt(), asked.trainer.weights().unwrap());
    let (subject, _) = asked.instrument.subject(&weights).unwrap();
    let to = if prompt.targets[AT] == 9 { 10 } else { 9 };
    let wanted = Wanted { tokens: &prompt.tokens, layer: LAYER, position: AT, to };
    (rank_one(subject, &wanted, held_out_seed(0)).unwrap(), to)
}

fn matrix(params: &Params, change: &RankOne) -> Vec<Vec<f64>> {
    let rows: Vec<Vec<f32>> = params.get(change.param).unwrap().to_vec2().unwrap();
    rows.iter().map(|row| row.iter().map(|x| f64::from(*x)).collect()).collect()
}

fn times(matrix: &[Vec<f64>], x: &[f64]) -> Vec<f64> {
    matrix.iter().map(|row| dot(row, x)).collect()
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(x, y)| x * y).sum()
}

#[test]
fn the_changed_matrix_has_the_wanted_value_for_the_key_and_the_old_ones_for_keys_apart_from_it() {
    let mut asked = knows();
    let (change, to) = rewritten(&mut asked);
    let (prompt, weights) = (asked.prompt(), asked.trainer.weights().unwrap());
    let (subject, _) = asked.instrument.subject(&weights).unwrap();
    let params = change.carried_out(subject.params).unwrap();
    let (before, after) = (matrix(subject.params, &change), matrix(&params, &change));
    // W' k* = v*, but for the bias, which both have.
    let (was, is) = (times(&before, &change.key), times(&after, &change.key));
    for ((was, is), left) in was.iter().zip(&is).zip(&change.left) {
        assert!((is - was - left).abs() < 1e-4, "{is} {was} {left}");
    }
    // A key without a part along C⁻¹ k*.
    let mut apart: Vec<f64> =
        (0..change.key.len()).map(|i| ((i * 7 + 3) % 11) as f64 - 5.0).collect();
    let along = dot(&apart, &change.right) / dot(&change.right, &change.right);
    apart.iter_mut().zip(&change.right).for_each(|(x, right)| *x -= along * right);
    for (was, is) in times(&before, &apart).iter().zip(times(&after, &apart)) {
        assert!((is - was).abs() < 1e-3, "{is} {was}");
    }
    // The network says the new answer, with the probability that the wanted value has.
    let told = probability(&last_logits(subject, &params, &prompt.tokens, &[]), to);
    assert!(
        (told - change.probability).abs() < 1e-3 && told > 0.5,
        "{told} {}",
        change.probability
    );
}

/// `C⁻¹ k*` by what it is: the second moment of all keys, added up number by number, times it is the key.
#[test]
fn the_direction_of_the_change_is_the_key_seen_by_the_second_moment_of_keys() {
    let mut asked = knows();
    let (change, _) = rewritten(&mut asked);
    let weights = asked.trainer.weights().unwrap();
    let (subject, _) = asked.instrument.subject(&weights).unwrap();
    let site = Site { layer: LAYER, point: Point::MlpPost };
    let all = batch(subject.source, held_out_seed(0), 0, 256);
    let (_, seen) = pass::forward(subject.model, subject.params, &all, &[], &[site], true).unwrap();
    let width = change.key.len();
    let keys: Vec<Vec<f32>> = seen[&site].reshape(((), width)).unwrap().to_vec2().unwrap();
    let mut product = vec![0.0; width];
    let mut diagonal = 0.0;
    for key in &keys {
        let key: Vec<f64> = key.iter().map(|x| f64::from(*x)).collect();
        let along = dot(&key, &change.right);
        product.iter_mut().zip(&key).for_each(|(sum, x)| *sum += along * x / keys.len() as f64);
        diagonal += dot(&key, &key) / (keys.len() * width) as f64;
    }
    product.iter_mut().zip(&change.right).for_each(|(sum, x)| *sum += 1e-4 * diagonal * x);
    // It is scaled so that k* along it is 1.
    assert!((dot(&change.key, &change.right) - 1.0).abs() < 1e-9);
    let scale = dot(&product, &change.key) / dot(&change.key, &change.key);
    for (found, key) in product.iter().zip(&change.key) {
        assert!((found / scale - key).abs() < 1e-3, "{found} {scale} {key}");
    }
}

/// No small step from the value that was found has less loss in the direction that was still open, and the penalty is kept.
#[test]
fn the_wanted_value_is_no_further_away_than_it_may_be() {
    let mut asked = knows();
    let (change, _) = rewritten(&mut asked);
    let size = |x: &[f64]| dot(x, x).sqrt();
    assert!(size(&change.left) > 0.0);
    assert!(size(&change.left) <= 4.0 * size(&change.value) * (1.0 + 1e-6));
}

#[test]
fn a_rewritten_fact_is_in_force_for_all_who_ask_and_undone_without_a_trace() {
    let mut asked = knows();
    let (change, to) = rewritten(&mut asked);
    let prompt = asked.prompt();
    let tokens: Vec<String> = prompt.tokens.iter().map(ToString::to_string).collect();
    let text = format!("rewrite layer{LAYER}.mlp_out@{AT} from {} to {to}", tokens.join(" "));
    let calls = ["predictions", "logit_lens"].map(MeasurementCall::new);
    let before = calls.each_ref().map(|call| asked.ask(call, &[]).unwrap());
    let after = calls.each_ref().map(|call| asked.ask(call, &[&text]).unwrap());
    let token = |reading: &Reading| {
        let lens = reading.array("token").unwrap();
        lens.outer(lens.shape[0] - 1)[AT * lens.shape[2]]
    };
    assert_eq!((token(&before[1]), token(&after[1])), (prompt.targets[AT] as f32, to as f32));
    let again = calls.each_ref().map(|call| asked.ask(call, &[]).unwrap());
    // Some of them are not a number where there is no target.
    let spelled = |readings: &[Reading]| format!("{readings:?}");
    assert_eq!(spelled(&before), spelled(&again), "it is undone");
    // With another intervention beside it, and twice over.
    let with_cut = asked.ask(&calls[0], &[&text, "zero layer0.head0"]).unwrap();
    assert_ne!(with_cut.array("probability"), after[0].array("probability"));
    let once_more = asked.ask(&calls[0], &[&text]).unwrap();
    assert_eq!(once_more.array("probability"), after[0].array("probability"));
    assert!(change.probability > 0.5);
    for (wrong, said) in [
        (format!("rewrite layer9.mlp_out@{AT} from 0 3 6 8 to 9"), "layer"),
        (format!("rewrite layer{LAYER}.mlp_out@9 from 0 3 6 8 to 9"), "position"),
        (format!("rewrite layer{LAYER}.mlp_out@{AT} from 0 3 6 8 to 99"), "tokens 0 to"),
        (format!("rewrite layer{LAYER}.mlp_out@{AT} from 0 3 99 8 to 9"), "token 99"),
    ] {
        let error = asked.ask(&calls[0], &[&wrong]).unwrap_err();
        assert!(error.contains(said), "{error}");
    }
}

#[test]
fn a_fact_is_rewritten_in_words_too() {
    let vocab = Vocab::of_words(["a0", "b0", "r0", "=", "o0", "o1"].map(str::to_owned).to_vec());
    let read = |text: &str| Intervention::written(text, &vocab);
    let what = read("rewrite layer2.mlp_out@3 from a0 b0 r0 = to o1").unwrap();
    assert_eq!(what.to_string(), "rewrite layer2.mlp_out@3 from 0 1 2 3 to 5");
    assert!(what.needs_reference() && what.rewrites() && what.changes_forward());
    for wrong in [
        "rewrite layer2.mlp_out from 0 1 to 2",
        "rewrite layer2.attn_out@3 from 0 1 to 2",
        "rewrite layer2.mlp_out@1,2 from 0 1 to 2",
        "rewrite layer2.mlp_out@3 from 0 1",
        "rewrite layer2.mlp_out@3 from to 2",
        "rewrite layer2.mlp_out@3 from a0 b0 to o0 o1",
        "rewrite layer2.mlp_out@3 from a0 zz to o0",
    ] {
        assert!(read(wrong).is_err(), "{wrong}");
    }
}

#[test]
fn the_question_finds_the_place_and_counts_neighbours_and_others() {
    let mut asked = knows();
    let call = MeasurementCall::new("rewriting");
    let found = asked.analyze(&call).unwrap();
    let number = |name: &str| found.number(name).unwrap_or_else(|| panic!("no {name}"));
    // Nine subjects and two relations: one more of the subject, eight that share a token of it, eight others.
    let counts = ["same_subject_count", "neighbours_count", "others_count"].map(number);
    assert_eq!(counts, [1.0, 8.0, 8.0]);
    assert!(number("rewritten_after") > number("rewritten_before"));
    let traced = asked.analyze(&tracing().with("samples", 10).with("window", 1)).unwrap();
    let trace = map(&traced, "trace.mlp");
    let best = trace.iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1)).unwrap().0;
    let place = [number("layer") as usize, number("position") as usize];
    // The noise is as large as the embeddings of other prompts say: near it, not the same.
    assert!(trace[4 * place[0] + place[1]] > 0.8 * trace[best], "{place:?} {trace:?}");
    let said = |call: MeasurementCall| asked_error(&call);
    assert!(said(call.clone().with("place", "layer2.attn_out@3")).contains("mlp_out@3"));
    assert!(said(call.clone().with("to", "o0 o1")).contains("expected one"));
    assert!(said(call.with("place", "layer7.mlp_out@3")).contains("layer 7"));
}

fn asked_error(call: &MeasurementCall) -> String {
    knows().analyze(call).unwrap_err()
}

// ── the tokens that compete ──────────────────────────────────────────────────────────────────────────

#[test]
fn followed_tokens_have_at_the_end_the_logits_of_the_network() {
    let mut asked = Asked::of("counterfact", "decoder", &["model.width=16", "model.heads=2"], 2);
    let source = asked.instrument.source().clone();
    let rivals = source.variant("copied").unwrap().sequence(1, 0);
    let (prompt, weights) = (Arc::new(rivals), asked.trainer.weights().unwrap());
    let known = (source.facet::<Prompted>().unwrap().of_text)(&prompt.tokens).unwrap();
    let call = MeasurementCall::new("logit_lens").with("tokens", "answers");
    let mut ask = |call: &MeasurementCall, prompt: &Arc<Row>| {
        let readings = asked.instrument.examine(&weights, prompt, &[], std::slice::from_ref(call));
        readings.unwrap().get(call).unwrap().clone()
    };
    let reading = ask(&call, &prompt).unwrap();
    let logit = reading.array("logit").unwrap();
    assert_eq!(logit.shape, [3, 5, 2]);
    let ids = [known.answer().unwrap(), known.wrong().unwrap()];
    assert_eq!(reading.array("followed").unwrap().data[..], ids.map(|id| id as f32));
    let text = source.vocab().spell(&ids);
    let by_text = ask(&MeasurementCall::new("logit_lens").with("tokens", text), &prompt).unwrap();
    assert_eq!(by_text.array("logit"), Some(logit));
    let alone = Arc::new(source.label(&[50, 50, 50, 50, 1], &Row::default()));
    assert!(ask(&call, &alone).unwrap_err().message.contains("write the tokens"));
    let own = logits(&mut asked, &prompt.tokens);
    for (i, id) in ids.iter().enumerate() {
        assert!((logit.outer(2)[4 * 2 + i] - own[*id as usize]).abs() < 1e-4);
    }
}

#[test]
fn analyses_of_facts_are_the_same_on_any_number_of_threads() {
    let asked = knows();
    let weights = asked.trainer.weights().unwrap();
    let mut answers = [1, 3].map(|threads| {
        let mut asked = knows();
        let prompt = asked.prompt();
        let analysis = analysis_of(&tracing()).unwrap();
        let (subject, _) = asked.instrument.subject(&weights).unwrap();
        let pool = Pool::new(threads).unwrap();
        let ground = mnemoscope::measurement::analysis::Ground {
            subject,
            pool: &pool,
            prompt: &prompt,
            seed: held_out_seed(0),
            edits: &[],
        };
        analysis.run(&ground, &mut |_| true).unwrap()
    });
    let bits = |answer: &mut mnemoscope::measurement::Answer| -> Vec<u32> {
        answer.arrays.iter().flat_map(|array| array.data.iter().map(|x| x.to_bits())).collect()
    };
    let [one, three] = &mut answers;
    assert_eq!(bits(one), bits(three));
}
