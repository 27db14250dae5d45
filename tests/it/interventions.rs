//! Surgery: what is frozen does not move, what is zeroed is zero, and nothing else changes.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use candle_core::Tensor;
use mnemoscope::Result;
use mnemoscope::base::array::Array;
use mnemoscope::base::batch::Row;
use mnemoscope::base::intervention::{Intervention, Site, VERBS};
use mnemoscope::base::question::MeasurementCall;
use mnemoscope::base::settings::{Settings, Slot, Spec};
use mnemoscope::base::weights::Weights;
use mnemoscope::model::{Architecture, Input, Layout, Model, Output, Sequences};
use mnemoscope::nn::params::Params;
use mnemoscope::nn::tap::Tap;
use mnemoscope::run::examine::Instrument;
use mnemoscope::run::experiment::Experiment;
use mnemoscope::run::lesson::Deed;
use mnemoscope::run::trainer::Trainer;
use mnemoscope::task::held_out_seed;

use super::tiny::{tiny, train, with};

fn values(trainer: &Trainer, name: &str) -> Vec<f32> {
    trainer.weights().unwrap().get(name).unwrap().data.to_vec()
}

fn staged(stages: &str) -> Experiment {
    Experiment::parse(&format!("{}{stages}", tiny().to_toml()), "staged").unwrap()
}

#[test]
fn a_frozen_matrix_does_not_move_and_the_others_do() {
    let mut trainer = Trainer::new(&tiny()).unwrap();
    train(&mut trainer, 3);
    let kept = values(&trainer, "layer0.wk");
    let other = values(&trainer, "layer1.wk");
    trainer.intervene(&"freeze layer0.wk".parse().unwrap()).unwrap();
    train(&mut trainer, 6);
    assert_eq!(values(&trainer, "layer0.wk"), kept);
    assert_ne!(values(&trainer, "layer1.wk"), other);
    trainer.lift(&"freeze layer0.wk".parse().unwrap()).unwrap();
    train(&mut trainer, 7);
    assert_ne!(values(&trainer, "layer0.wk"), kept);
}

#[test]
fn a_staged_matrix_moves_from_its_step_on() {
    let experiment = staged(
        "\n[[at]]\nstep = 0\nfreeze = [\"layer0.wk\", \"layer1.wk\"]\n\n[[at]]\nstep = 4\nunfreeze = \"layer0.wk\"\n",
    );
    let mut trainer = Trainer::new(&experiment).unwrap();
    let fresh = values(&trainer, "layer0.wk");
    let (_, marks) = train(&mut trainer, 4);
    let said: Vec<&str> = marks.iter().map(|mark| &*mark.text).collect();
    assert_eq!(said, ["freeze layer0.wk", "freeze layer1.wk"]);
    assert_eq!(values(&trainer, "layer0.wk"), fresh);
    let (_, marks) = train(&mut trainer, 5);
    assert_eq!((marks[0].step, &*marks[0].text), (4, "unfreeze layer0.wk"));
    assert_ne!(values(&trainer, "layer0.wk"), fresh);
    assert_eq!(trainer.in_force(), ["freeze layer1.wk".parse().unwrap()]);
}

#[test]
fn the_document_of_a_staged_experiment_reads_back() {
    let experiment = staged("\n[[at]]\nstep = 4\nzero = \"layer1.head0\"\n");
    let again = Experiment::parse(&experiment.to_toml(), "again").unwrap();
    assert_eq!(again.at, experiment.at);
    assert_eq!(again.to_toml(), experiment.to_toml());
}

#[test]
fn a_zeroed_head_changes_what_comes_after_it_and_nothing_else() {
    let experiment = tiny();
    let mut trainer = Trainer::new(&experiment).unwrap();
    train(&mut trainer, 3);
    let weights = trainer.weights().unwrap();
    let mut instrument = Instrument::new(&experiment).unwrap();
    let prompt = Arc::new(instrument.source().sequence(1, 0));
    let calls = [MeasurementCall::new("attention")];
    let mut patterns = |cut: &str| {
        let cuts = [cut.parse().unwrap()];
        let readings = instrument.examine(&weights, &prompt, &cuts, &calls).unwrap();
        let reading = readings.get(&calls[0]).unwrap().as_ref().unwrap().clone();
        format!("{:?}", reading.arrays)
    };
    // A head writes into the residual stream after its own pattern, and later layers read it.
    let untouched = patterns("freeze layer0.wk");
    assert_eq!(patterns("zero layer1.head0"), untouched);
    assert_ne!(patterns("zero layer0.head0"), untouched);
    assert_eq!(patterns("freeze layer0.wk"), untouched, "an examination leaves nothing behind");
}

#[test]
fn a_head_zeroed_while_training_counts_in_the_metrics_until_it_is_lifted() {
    let mut trainer = Trainer::new(&tiny()).unwrap();
    train(&mut trainer, 3);
    let loss = |trainer: &mut Trainer| trainer.evaluate().unwrap().0.values[0];
    let before = loss(&mut trainer);
    let cut = "zero layer1.head0".parse().unwrap();
    trainer.intervene(&cut).unwrap();
    assert_ne!(loss(&mut trainer), before);
    trainer.lift(&cut).unwrap();
    assert_eq!(loss(&mut trainer), before);
}

#[test]
fn a_zeroed_head_gets_no_gradient() {
    let mut trainer = Trainer::new(&tiny()).unwrap();
    trainer.intervene(&"zero layer0.z".parse().unwrap()).unwrap();
    trainer.set("decay", &toml::Value::Float(0.0)).unwrap();
    let (key, value) = (values(&trainer, "layer0.wk"), values(&trainer, "layer0.wv"));
    train(&mut trainer, 2);
    assert_eq!(values(&trainer, "layer0.wk"), key);
    assert_eq!(values(&trainer, "layer0.wv"), value);
}

#[test]
fn what_is_not_there_cannot_be_cut_and_nothing_is_in_force() {
    let mut trainer = Trainer::new(&tiny()).unwrap();
    for (what, said) in [
        ("freeze layer0.wkk", "layer0.wk"),
        ("zero layer7.head0", "no such place"),
        ("zero layer1.head9", "head 9"),
        ("zero layer0.attn_out@99", "position 99"),
    ] {
        let error = trainer.intervene(&what.parse().unwrap()).unwrap_err();
        assert!(error.message.contains(said), "{what}: {error}");
    }
    assert!(trainer.in_force().is_empty());
    assert!(trainer.lift(&"zero layer1.head0".parse().unwrap()).is_err());
    let error = Trainer::new(&staged("\n[[at]]\nstep = 9999\nzero = \"layer7.head0\"\n")).err();
    assert!(error.unwrap().message.contains("step = 9999"));
}

/// A network that notes which places its taps want.
struct Overheard {
    inner: Box<dyn Architecture>,
    heard: Arc<Mutex<Heard>>,
}

/// Places that a tap was asked about, and those of them that it wants.
#[derive(Default)]
struct Heard {
    asked: usize,
    wanted: BTreeSet<Site>,
}

impl Settings for Overheard {
    fn about(&self) -> &'static str {
        self.inner.about()
    }

    fn each(&mut self, visit: &mut dyn FnMut(&Spec, Slot<'_>)) {
        self.inner.each(visit);
    }
}

impl Architecture for Overheard {
    fn build(&self, on: Sequences, params: &mut Params) -> Result<Box<dyn Model>> {
        let inner = self.inner.build(on, params)?;
        Ok(Box::new(OverheardNet { inner, heard: Arc::clone(&self.heard) }))
    }

    fn boxed(&self) -> Box<dyn Architecture> {
        Box::new(Self { inner: self.inner.boxed(), heard: Arc::clone(&self.heard) })
    }
}

struct OverheardNet {
    inner: Box<dyn Model>,
    heard: Arc<Mutex<Heard>>,
}

impl Model for OverheardNet {
    fn layout(&self) -> &Layout {
        self.inner.layout()
    }

    fn forward(&self, params: &Params, input: &Input<'_>, tap: &mut dyn Tap) -> Result<Output> {
        self.inner.forward(params, input, &mut Eavesdropper { tap, heard: &self.heard })
    }
}

struct Eavesdropper<'a> {
    tap: &'a mut dyn Tap,
    heard: &'a Mutex<Heard>,
}

impl Tap for Eavesdropper<'_> {
    fn wants(&self, site: Site) -> bool {
        let wants = self.tap.wants(site);
        let mut heard = self.heard.lock().unwrap();
        heard.asked += 1;
        if wants {
            heard.wanted.insert(site);
        }
        wants
    }

    fn at(&mut self, site: Site, x: Tensor) -> Result<Tensor> {
        self.tap.at(site, x)
    }
}

#[test]
fn a_training_step_is_tapped_where_something_is_zeroed_and_nowhere_else() {
    for kind in ["birth", "decoder"] {
        let mut experiment = with(&[&format!("model.kind={kind}"), "model.width=16"]);
        let (inner, heard) = (experiment.model.boxed(), Arc::default());
        experiment.model = Box::new(Overheard { inner, heard: Arc::clone(&heard) });
        let mut trainer = Trainer::new(&experiment).unwrap();
        let during = |what: &mut dyn FnMut()| {
            *heard.lock().unwrap() = Heard::default();
            what();
            let heard = std::mem::take(&mut *heard.lock().unwrap());
            assert!(heard.asked > 0, "{kind}: every pass asks its tap");
            heard.wanted.iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        let nothing = [""; 0];
        assert_eq!(during(&mut || drop(trainer.step().unwrap())), nothing, "{kind}");
        // An evaluation watches, and the step after it is as fast as any.
        assert_ne!(during(&mut || drop(trainer.evaluate().unwrap())), nothing, "{kind}");
        assert_eq!(during(&mut || drop(trainer.step().unwrap())), nothing, "{kind}");
        trainer.intervene(&"freeze layer0.wk".parse().unwrap()).unwrap();
        assert_eq!(during(&mut || drop(trainer.step().unwrap())), nothing, "{kind}");
        let cut = "zero layer1.head0".parse().unwrap();
        trainer.intervene(&cut).unwrap();
        assert_eq!(during(&mut || drop(trainer.step().unwrap())), ["layer1.z"], "{kind}");
        trainer.lift(&cut).unwrap();
        assert_eq!(during(&mut || drop(trainer.step().unwrap())), nothing, "{kind}");
    }
}

#[test]
fn interventions_read_back_as_they_are_spelled() {
    let mut verbs: BTreeSet<&str> = VERBS.into();
    for text in [
        "freeze layer0.wk",
        "unfreeze layer0.wk",
        "zero layer1.head0",
        "zero layer0.attn_out@7",
        "zero layer1.k.head0@3-5,9",
        "zero layer1.pattern.head0@20<-7",
        "cut layer1.pattern.head0@20<-7 renormalised",
        "scale layer1.head0 by 0.5",
        "add layer1.resid_pre@7 2*embed[5]-0.5*embed[9]",
        "add layer1.resid_pre@7 2*embed[5]-0*embed[9]",
        "mean layer1.head0",
        "hold layer1.memory.write@m0:2",
        "resample layer1.k.head0@7 from 3",
        "patch layer1.k.head0@7 from 4 12 9",
        "rewrite layer3.mlp_out@3 from 4 12 9 to 5",
    ] {
        let what: Intervention = text.parse().unwrap();
        assert_eq!(what.to_string(), text);
        assert_eq!(text.parse::<Deed>().unwrap(), Deed::Intervene(what), "a lesson does it too");
        verbs.remove(text.split(' ').next().unwrap());
    }
    assert!(verbs.is_empty(), "{verbs:?}");
    for (text, spelled) in [
        ("cut layer1.head0", "zero layer1.head0"),
        ("cut layer1.head0@20<-7", "zero layer1.pattern.head0@20<-7"),
        ("add layer1.resid_pre embed[5] - embed[9]", "add layer1.resid_pre 1*embed[5]-1*embed[9]"),
    ] {
        assert_eq!(text.parse::<Intervention>().unwrap().to_string(), spelled);
    }
    for (text, says) in [
        ("zero", "no object"),
        ("grow layer1.head0", "unknown verb"),
        ("zero layer1.head0@9-3", "is no place"),
        ("zero layer1.z@3<-2", "is no place"),
        ("scale layer1.head0 by x", "by"),
        ("scale layer1.head0 by inf", "by"),
        ("add layer1.resid_pre 2*embed", "rows of tensors"),
        ("patch layer1.head0 from", "numbers of tokens"),
        ("cut layer1.z renormalised", "sum to one"),
        ("mean layer1.head0 now", "too many words"),
    ] {
        let error = text.parse::<Intervention>().unwrap_err();
        assert!(error.message.contains(says), "{text}: {error}");
    }
}

/// Patterns, queries and keys of both layers under interventions.
fn arrays(
    instrument: &mut Instrument,
    weights: &Weights,
    prompt: &Arc<Row>,
    what: &[&str],
) -> Vec<Array> {
    let what: Vec<Intervention> = what.iter().map(|w| w.parse().unwrap()).collect();
    let call = MeasurementCall::new("attention");
    let readings = instrument.examine(weights, prompt, &what, std::slice::from_ref(&call)).unwrap();
    readings.get(&call).unwrap().as_ref().unwrap().arrays.clone()
}

#[test]
fn patching_the_whole_stream_from_other_tokens_is_reading_these() {
    let mut trainer = Trainer::new(&tiny()).unwrap();
    train(&mut trainer, 3);
    let weights = trainer.weights().unwrap();
    let mut instrument = Instrument::new(&tiny()).unwrap();
    let [prompt, other] = [0, 1].map(|i| Arc::new(instrument.source().sequence(1, i)));
    let tokens: Vec<String> = other.tokens.iter().map(ToString::to_string).collect();
    let patch = format!("patch layer0.resid_pre from {}", tokens.join(" "));
    let patched = arrays(&mut instrument, &weights, &prompt, &[&patch]);
    assert_eq!(patched, arrays(&mut instrument, &weights, &other, &[]));
    assert_ne!(patched, arrays(&mut instrument, &weights, &prompt, &[]));
    // A place that is patched from the same tokens stays what it is.
    let tokens: Vec<String> = prompt.tokens.iter().map(ToString::to_string).collect();
    let same = format!("patch layer1.resid_pre@2-7 from {}", tokens.join(" "));
    assert_eq!(
        arrays(&mut instrument, &weights, &prompt, &[&same]),
        arrays(&mut instrument, &weights, &prompt, &[])
    );
}

#[test]
fn means_and_other_held_out_sequences_are_those_of_the_held_out_batch() {
    let mut trainer = Trainer::new(&tiny()).unwrap();
    train(&mut trainer, 3);
    let weights = trainer.weights().unwrap();
    let mut instrument = Instrument::new(&tiny()).unwrap();
    let prompt = Arc::new(instrument.source().sequence(1, 0));
    let held_out: Vec<Arc<Row>> =
        (0..6).map(|i| Arc::new(instrument.source().sequence(held_out_seed(0), i))).collect();
    let keys = |arrays: &[Array]| {
        arrays.iter().find(|a| a.name == "pattern.layer1").unwrap().data.to_vec()
    };
    let resampled =
        arrays(&mut instrument, &weights, &prompt, &["resample layer1.resid_pre from 4"]);
    let fourth = arrays(&mut instrument, &weights, &held_out[4], &[]);
    assert_eq!(keys(&resampled), keys(&fourth));
    let mean = arrays(&mut instrument, &weights, &prompt, &["mean layer1.scores"]);
    assert_ne!(keys(&mean), keys(&resampled));
    let again = arrays(&mut instrument, &weights, &held_out[2], &["mean layer1.scores"]);
    assert_eq!(keys(&mean), keys(&again), "the mean does not depend on the sequence in view");
    let error = instrument
        .examine(&weights, &prompt, &["resample layer1.k from 6".parse().unwrap()], &[])
        .unwrap_err();
    assert!(error.message.contains("there are 6"), "{error}");
    let error = instrument.examine(
        &weights,
        &prompt,
        &["patch layer1.k from 1 2 3".parse().unwrap()],
        &[MeasurementCall::new("attention")],
    );
    assert!(error.is_err() || error.unwrap().by_call.values().any(Result::is_err));
}

#[test]
fn what_comes_from_other_sequences_is_looked_at_and_not_trained_with() {
    let mut trainer = Trainer::new(&tiny()).unwrap();
    for what in ["mean layer1.head0", "resample layer1.k from 3", "patch layer1.k from 1 2"] {
        let error = trainer.intervene(&what.parse().unwrap()).unwrap_err();
        assert!(error.message.contains("not trained with"), "{error}");
    }
    for what in
        ["scale layer1.head0 by 0.5", "add layer1.resid_pre 0.1*embed[3]", "cut layer1@3<-1"]
    {
        trainer.intervene(&what.parse().unwrap()).unwrap();
    }
    let (rows, _) = train(&mut trainer, 3);
    assert!(rows[0].values[0].is_finite());
    assert_eq!(trainer.in_force().len(), 3);
}

#[test]
fn every_kind_of_intervention_has_plain_words() {
    for (spelled, words, undone) in [
        ("zero layer1.head0", "L1 H0 cut", "L1 H0 cut undone"),
        ("zero layer1.head0@7", "L1 H0 cut at 7", "L1 H0 cut at 7 undone"),
        ("zero layer0.attn_out", "L0 attention output cut", "L0 attention output cut undone"),
        ("zero layer1.k.head0@3-5", "L1 H0 keys cut at 3-5", "L1 H0 keys cut at 3-5 undone"),
        ("cut layer1.head0@20<-7", "L1 H0 attention 20→7 cut", "L1 H0 attention 20→7 cut undone"),
        (
            "cut layer1.head0@20<-7 renormalised",
            "L1 H0 attention 20→7 cut, renormalised",
            "L1 H0 attention 20→7 cut, renormalised undone",
        ),
        ("zero layer0.mlp_out", "L0 MLP output cut", "L0 MLP output cut undone"),
        (
            "zero layer0.embed@1,3,5,7,9,11",
            "embedding cut at 6 positions",
            "embedding cut at 6 positions undone",
        ),
        ("zero layer1.gate.update", "L1 gate.update cut", "L1 gate.update cut undone"),
        ("scale layer1.head0 by 0.5", "L1 H0 × 0.5", "L1 H0 × 0.5 undone"),
        (
            "add layer1.resid_pre@7 2*embed[5]",
            "stream before L1 steered at 7",
            "stream before L1 steered at 7 undone",
        ),
        ("mean layer1.head0", "L1 H0 set to its mean", "L1 H0 set to its mean undone"),
        (
            "resample layer1.v.head0 from 3",
            "L1 H0 values from sequence 3",
            "L1 H0 values from sequence 3 undone",
        ),
        (
            "patch layer1.k.head0@7 from 4 12",
            "L1 H0 keys patched at 7",
            "L1 H0 keys patched at 7 undone",
        ),
        ("freeze layer0.wk", "layer0.wk frozen", "layer0.wk trained again"),
        ("unfreeze layer0.wk", "layer0.wk unfrozen", "layer0.wk frozen again"),
    ] {
        let change: Intervention = spelled.parse().unwrap();
        assert_eq!(change.in_words(), words, "{spelled}");
        assert_eq!(change.undone_in_words(), undone, "{spelled}");
    }
}
