//! The house has room: recurrent networks, memory carried between segments, a label at every position and a
//! foreign vocabulary all pass through the public traits.

use std::sync::Arc;

use candle_core::{Device, Tensor};
use mnemoscope::base::batch::{Batch, Row};
use mnemoscope::base::event::State as Going;
use mnemoscope::base::intervention::{Intervention, Point, Site};
use mnemoscope::base::question::MeasurementCall;
use mnemoscope::base::vocab::Vocab;
use mnemoscope::base::weights::{NamedTensor, Weights};
use mnemoscope::model::{Architecture, Input, Layout, Model, Output, Sequences, State};
use mnemoscope::nn::attention::{Attention, attend};
use mnemoscope::nn::edit::Edit;
use mnemoscope::nn::linear::{embed, linear};
use mnemoscope::nn::loss::cross_entropy;
use mnemoscope::nn::params::{Init, Param, Params};
use mnemoscope::nn::tap::{EditAndCapture, Tap, Untapped, through};
use mnemoscope::run::examine::Instrument;
use mnemoscope::run::experiment::{Experiment, Optimizer, Staged, Train};
use mnemoscope::run::session::{Begin, Session, Start};
use mnemoscope::run::trainer::Trainer;
use mnemoscope::run_folder::Reader;
use mnemoscope::task::{Source, Task, batch, held_out_seed};
use mnemoscope::{Result, measurement, settings};

use super::tiny::{is_state, until};

settings! {
    /// Elman's network: the simplest with a memory of its own.
    pub struct Elman = "A recurrent network: h = tanh(E x + W h), logits = U h." {
        /// Units.
        width: usize = 16, in 1..=512;
    }
}

impl Architecture for Elman {
    fn build(&self, on: Sequences, params: &mut Params) -> Result<Box<dyn Model>> {
        let Sequences { vocab, length, .. } = on;
        let width = self.width;
        let layout = Layout { kind: "elman", heads: vec![0], width, vocab, length };
        let init = Init::Uniform(1.0 / (width as f64).sqrt());
        Ok(Box::new(ElmanNet {
            layout,
            embed: params.add("embed", &[vocab, width], Init::Normal(1.0), true)?,
            recurrent: params.add("layer0.w", &[width, width], init, true)?,
            bias: params.add("layer0.b", &[width], init, true)?,
            unembed: params.add("unembed", &[vocab, width], init, true)?,
        }))
    }

    fn boxed(&self) -> Box<dyn Architecture> {
        Box::new(self.clone())
    }
}

struct ElmanNet {
    layout: Layout,
    embed: Param,
    recurrent: Param,
    bias: Param,
    unembed: Param,
}

impl Model for ElmanNet {
    fn layout(&self) -> &Layout {
        &self.layout
    }

    fn forward(&self, params: &Params, input: &Input<'_>, tap: &mut dyn Tap) -> Result<Output> {
        let (rows, length) = input.tokens.dims2()?;
        let x = embed(&params.get(self.embed)?, input.tokens)?;
        let x = through(tap, 0, Point::Embed, x)?;
        let (w, bias) = (params.get(self.recurrent)?, params.get(self.bias)?);
        let mut h = match input.state {
            Some(state) => state.memory[0].clone(),
            None => Tensor::zeros((rows, self.layout.width), x.dtype(), x.device())?,
        };
        let mut all = Vec::new();
        for place in 0..length {
            let seen = x.narrow(1, place, 1)?.squeeze(1)?;
            h = (seen + linear(&h, &w, Some(&bias))?)?.tanh()?;
            all.push(h.clone());
        }
        let all = through(tap, 0, Point::ResidPost, Tensor::stack(&all, 1)?)?;
        let logits = linear(&all, &params.get(self.unembed)?, None)?;
        let logits = through(tap, 0, Point::Logits, logits)?;
        Ok(Output {
            logits,
            state: Some(State { memory: vec![h], ..State::default() }),
            beside: None,
        })
    }
}

settings! {
    /// Memory rows before and after each segment (Bulatov et al. 2022), with one layer of attention.
    pub struct RecurrentMemory = "A transformer that reads memory before a segment and writes it after." {
        /// Width of the residual stream.
        width: usize = 8, in 1..=512;
        /// Rows of memory.
        rows: usize = 2, in 1..=64;
    }
}

impl Architecture for RecurrentMemory {
    fn build(&self, on: Sequences, params: &mut Params) -> Result<Box<dyn Model>> {
        let Sequences { vocab, length, .. } = on;
        let width = self.width;
        let layout = Layout { kind: "recurrent memory", heads: vec![1], width, vocab, length };
        let mut table =
            |name: &str, rows: usize| params.add(name, &[rows, width], Init::Normal(0.5), true);
        Ok(Box::new(MemoryNet {
            layout,
            rows: self.rows,
            embed: table("embed", vocab)?,
            memory: table("memory", self.rows)?,
            maps: [table("layer0.wq", width)?, table("layer0.wk", width)?],
            unembed: table("unembed", vocab)?,
        }))
    }

    fn boxed(&self) -> Box<dyn Architecture> {
        Box::new(self.clone())
    }
}

struct MemoryNet {
    layout: Layout,
    rows: usize,
    embed: Param,
    memory: Param,
    maps: [Param; 2],
    unembed: Param,
}

impl Model for MemoryNet {
    fn layout(&self) -> &Layout {
        &self.layout
    }

    fn forward(&self, params: &Params, input: &Input<'_>, tap: &mut dyn Tap) -> Result<Output> {
        let (batch, length) = input.tokens.dims2()?;
        let memory = match input.state {
            Some(state) => state.memory[0].clone(),
            None => {
                let fresh = params.get(self.memory)?.unsqueeze(0)?;
                fresh.broadcast_as((batch, self.rows, self.layout.width))?
            }
        };
        let segment = embed(&params.get(self.embed)?, input.tokens)?;
        let x = Tensor::cat(&[&memory, &segment, &memory], 1)?;
        let [queries, keys] = self.maps.map(|map| linear(&x, &params.get(map)?, None));
        let how = Attention::causal(0, 1, 0.5);
        let x = (&x + attend(how, &queries?, &keys?, || Ok(x.clone()), tap)?)?;
        let x = through(tap, 0, Point::ResidPost, x)?;
        let read = x.narrow(1, self.rows, length)?;
        let logits = linear(&read, &params.get(self.unembed)?, None)?;
        let written = x.narrow(1, self.rows + length, self.rows)?;
        Ok(Output {
            logits,
            state: Some(State { memory: vec![written], ..State::default() }),
            beside: None,
        })
    }
}

settings! {
    /// The label of each position is not the next token.
    pub struct Parity = "Is the number of ones so far odd? Asked at every position." {
        /// Tokens in a sequence.
        length: usize = 12, in 1..=1024;
    }
}

impl Task for Parity {
    fn open(&self) -> Result<Arc<dyn Source>> {
        // Pieces of a foreign tokenizer: tokens need not be characters.
        let vocab = Vocab::new(vec!["Ġzero".to_owned(), "Ġone".to_owned()]);
        Ok(Arc::new(ParitySource { vocab, length: self.length }))
    }

    fn boxed(&self) -> Box<dyn Task> {
        Box::new(self.clone())
    }
}

struct ParitySource {
    vocab: Vocab,
    length: usize,
}

impl Source for ParitySource {
    fn vocab(&self) -> &Vocab {
        &self.vocab
    }

    fn roles(&self) -> &'static [&'static str] {
        &["one"]
    }

    fn length(&self) -> usize {
        self.length
    }

    fn sequence(&self, seed: u64, index: u64) -> Row {
        let bits = mnemoscope::nn::params::draw(
            seed,
            &format!("sequence {index}"),
            self.length,
            Init::Uniform(1.0),
        );
        let tokens: Vec<u32> = bits.iter().map(|b| u32::from(*b > 0.0)).collect();
        self.label(&tokens, &Row::default())
    }

    fn label(&self, tokens: &[u32], _like: &Row) -> Row {
        let ones = tokens.iter().scan(0, |ones, token| {
            *ones += token;
            Some(*ones % 2)
        });
        Row {
            tokens: tokens.to_vec(),
            targets: ones.collect(),
            roles: tokens.iter().map(|t| u8::from(*t == 1)).collect(),
            occurrence: vec![0; tokens.len()],
            ..Row::default()
        }
    }
}

fn tensor(tokens: &[u32], rows: usize) -> Tensor {
    Tensor::from_slice(tokens, (rows, tokens.len() / rows), &Device::Cpu).unwrap()
}

fn numbers(x: &Tensor) -> Vec<f32> {
    x.flatten_all().unwrap().to_vec1().unwrap()
}

fn forward(model: &dyn Model, params: &Params, tokens: &[u32], state: Option<&State>) -> Output {
    let tokens = tensor(tokens, 1);
    model.forward(params, &Input { state, ..Input::new(&tokens) }, &mut Untapped).unwrap()
}

#[test]
fn a_recurrent_network_in_two_segments_equals_one_pass() {
    let mut params = Params::new(1);
    let model = Elman::default().build(Sequences::of_tokens(2, 8), &mut params).unwrap();
    let tokens = [1, 0, 1, 1, 0, 0, 1, 0];
    let whole = forward(&*model, &params, &tokens, None);
    let first = forward(&*model, &params, &tokens[..3], None);
    let second = forward(&*model, &params, &tokens[3..], first.state.as_ref());
    let halves = [numbers(&first.logits), numbers(&second.logits)].concat();
    assert_eq!(halves, numbers(&whole.logits));
    assert_eq!(numbers(&second.state.unwrap().memory[0]), numbers(&whole.state.unwrap().memory[0]));
    let forgetful = forward(&*model, &params, &tokens[3..], None);
    assert_ne!(numbers(&forgetful.logits), numbers(&second.logits));
}

#[test]
fn gradients_flow_through_the_memory_into_the_segment_before() {
    let architectures: [&dyn Architecture; 2] = [&Elman::default(), &RecurrentMemory::default()];
    for architecture in architectures {
        let mut params = Params::new(1);
        let model = architecture.build(Sequences::of_tokens(5, 8), &mut params).unwrap();
        // Token 4 stands in the first segment only, the loss in the second only.
        let first = forward(&*model, &params, &[0, 4, 1], None);
        let second = forward(&*model, &params, &[2, 3], first.state.as_ref());
        assert_eq!(second.logits.dims(), [1, 2, 5]);
        let loss = cross_entropy(&second.logits, &[1, 2], &[0.5, 0.5]).unwrap();
        let grads = loss.backward().unwrap();
        let table = params.var(params.find("embed").unwrap()).unwrap();
        let to_token = |t: usize| {
            let rows = grads.get(table.as_tensor()).unwrap().to_vec2::<f32>().unwrap();
            rows[t].iter().map(|g| g.abs()).sum::<f32>()
        };
        assert!(to_token(4) > 1e-4, "{}", model.layout().kind);
    }
}

#[test]
fn memory_goes_on_into_the_next_segment_of_its_own_row_and_no_other() {
    let architectures: [&dyn Architecture; 2] = [&Elman::default(), &RecurrentMemory::default()];
    for architecture in architectures {
        let mut params = Params::new(1);
        let model = architecture.build(Sequences::of_tokens(5, 8), &mut params).unwrap();
        let kind = model.layout().kind;
        // Two rows with the same second segment after another first one.
        let segments = |firsts: &[u32], rows: usize| {
            let (first, second) = (tensor(firsts, rows), tensor(&[2, 3].repeat(rows), rows));
            let pass = |tokens: &Tensor, state: Option<&State>| {
                model
                    .forward(&params, &Input { state, ..Input::new(tokens) }, &mut Untapped)
                    .unwrap()
            };
            let memory = pass(&first, None).state.unwrap();
            numbers(&pass(&second, Some(&memory)).logits)
        };
        let both = segments(&[0, 4, 1, 3, 3, 0], 2);
        let (one, other) = both.split_at(both.len() / 2);
        assert_ne!(one, other, "{kind}: what came before is remembered");
        let alone = [segments(&[0, 4, 1], 1), segments(&[3, 3, 0], 1)].concat();
        for (a, b) in both.iter().zip(&alone) {
            assert!((a - b).abs() < 1e-6, "{kind}: {a} in a batch, {b} alone");
        }
    }
}

#[test]
fn points_of_a_recurrent_network_can_be_kept_and_cut() {
    let mut params = Params::new(1);
    let model = Elman::default().build(Sequences::of_tokens(2, 8), &mut params).unwrap();
    let cut: Intervention = "zero layer0.resid_post@2".parse().unwrap();
    let site = Site { layer: 0, point: Point::ResidPost };
    let mut bench = EditAndCapture::new(Edit::of_all(&[cut], &params).unwrap(), vec![site]);
    let tokens = tensor(&[1, 0, 1, 1], 1);
    let output = model.forward(&params, &Input::new(&tokens), &mut bench).unwrap();
    assert_eq!(bench.captured[&site].dims(), [1, 4, 16]);
    let logits = output.logits.squeeze(0).unwrap().to_vec2::<f32>().unwrap();
    assert_eq!(logits[2], [0.0, 0.0]);
    assert_ne!(logits[3], [0.0, 0.0]);
}

/// Parity learned by Elman's network: neither is in a registry.
fn parity() -> Experiment {
    let task = ("parity", Box::new(Parity::default()) as Box<dyn Task>);
    let mut experiment = Experiment::new("parity", task, ("elman", Box::new(Elman::default())));
    experiment.train = Train {
        batch: 16,
        optimizer: Optimizer::AdamW,
        rate: 0.01,
        decay: 0.0,
        clip: 1.0,
        shard: 4,
        held_out: 32,
        threads: 1,
        ..Train::default()
    };
    experiment.at = vec![Staged { step: 0, what: "freeze layer0.b".parse().unwrap() }];
    experiment
}

/// The same task learned by a transformer with memory rows.
fn parity_with_memory() -> Experiment {
    Experiment {
        model_kind: "recurrent memory".to_owned(),
        model: Box::new(RecurrentMemory::default()),
        at: Vec::new(),
        ..parity()
    }
}

fn column(trainer: &mut Trainer, name: &str) -> f64 {
    let (row, _) = trainer.evaluate().unwrap();
    row.values[trainer.columns().iter().position(|c| c == name).unwrap()]
}

#[test]
fn a_recurrent_network_learns_a_label_at_every_position_under_the_trainer() {
    let mut trainer = Trainer::new(&parity()).unwrap();
    let before = column(&mut trainer, "loss");
    assert!(before > 0.6, "at first the loss is about ln 2, it is {before}");
    for _ in 0..300 {
        trainer.step().unwrap();
    }
    let after = column(&mut trainer, "loss");
    assert!(after < 0.05, "{after}");
    // It has learned a rule, not a length: the state carries it past what it was trained on.
    let (far, mut params) = (Parity { length: 96 }.open().unwrap(), Params::new(0));
    let model = Elman::default().build(Sequences::of_tokens(2, 96), &mut params).unwrap();
    params.load(&trainer.weights().unwrap()).unwrap();
    assert!(accuracy(&*model, &params, &batch(&*far, 4, 0, 16)) > 0.95);
}

fn accuracy(model: &dyn Model, params: &Params, batch: &Batch) -> f64 {
    let tokens = tensor(&batch.tokens, batch.rows);
    let output = model.forward(params, &Input::new(&tokens), &mut Untapped).unwrap();
    let predicted = output.logits.argmax(2).unwrap();
    let predicted: Vec<u32> = predicted.flatten_all().unwrap().to_vec1().unwrap();
    let right = predicted.iter().zip(&batch.targets).filter(|(p, t)| p == t).count();
    right as f64 / predicted.len() as f64
}

#[test]
fn a_recurrent_run_resumes_bit_for_bit() {
    let mut whole = Trainer::new(&parity()).unwrap();
    (0..6).for_each(|_| drop(whole.step().unwrap()));
    let mut resumed = Trainer::resume(&parity(), &whole.checkpoint().unwrap()).unwrap();
    for trainer in [&mut whole, &mut resumed] {
        (0..6).for_each(|_| drop(trainer.step().unwrap()));
    }
    assert_eq!(whole.weights().unwrap(), resumed.weights().unwrap());
    let fresh = Trainer::new(&parity()).unwrap().weights().unwrap();
    let trained = whole.weights().unwrap();
    assert_eq!(fresh.get("layer0.b"), trained.get("layer0.b"), "frozen by the experiment");
    assert_ne!(fresh.get("layer0.w"), trained.get("layer0.w"));
}

#[test]
fn a_recurrent_network_answers_questions_about_text_of_a_foreign_vocabulary() {
    let trainer = Trainer::new(&parity()).unwrap();
    let mut instrument = Instrument::new(&parity()).unwrap();
    let source = Arc::clone(instrument.source());
    let tokens = source.vocab().encode("ĠoneĠzeroĠone").unwrap();
    let prompt = Arc::new(source.label(&tokens, &Row::default()));
    assert_eq!(prompt.targets, [1, 1, 0]);
    let calls = [MeasurementCall::new("predictions"), MeasurementCall::new("attention")];
    let weights = trainer.weights().unwrap();
    let readings = instrument.examine(&weights, &prompt, &[], &calls).unwrap();
    let predictions = readings.get(&calls[0]).unwrap().as_ref().unwrap();
    let targets = predictions.array("target").unwrap();
    assert_eq!(*targets.data, [1.0, 1.0, 0.0], "the label, not the next token");
    let refused = readings.get(&calls[1]).unwrap().as_ref().unwrap_err();
    assert!(!refused.to_string().is_empty(), "no attention here: a sentence, and the rest answers");
}

#[test]
fn every_label_counts_in_the_loss_the_first_and_the_last_too() {
    let mut trainer = Trainer::new(&parity()).unwrap();
    let loss = column(&mut trainer, "loss");
    let source = Arc::clone(trainer.source());
    let held_out = batch(&*source, held_out_seed(0), 0, 32);
    let mut params = Params::new(0);
    let model = Elman::default().build(Sequences::of_tokens(2, 12), &mut params).unwrap();
    let tokens = tensor(&held_out.tokens, 32);
    let output = model.forward(&params, &Input::new(&tokens), &mut Untapped).unwrap();
    let logits = output.logits.reshape((32 * 12, 2)).unwrap().to_vec2::<f32>().unwrap();
    let losses = logits.iter().zip(&held_out.targets).map(|(logits, target)| {
        let sum: f64 = logits.iter().map(|x| f64::from(*x).exp()).sum();
        sum.ln() - f64::from(logits[*target as usize])
    });
    let mean = losses.sum::<f64>() / (32.0 * 12.0);
    assert!((loss - mean).abs() < 1e-6, "{loss}, by hand {mean}");
}

#[test]
fn every_probe_answers_about_networks_of_other_shapes_or_says_why_not() {
    for experiment in [parity(), parity_with_memory()] {
        let mut trainer = Trainer::new(&experiment).unwrap();
        trainer.step().unwrap();
        let (row, _) = trainer.evaluate().unwrap();
        assert!(row.values[0].is_finite(), "{}: {row:?}", experiment.model_kind);
        let mut instrument = Instrument::new(&experiment).unwrap();
        let prompt = Arc::new(instrument.source().sequence(0, 0));
        let calls: Vec<MeasurementCall> =
            measurement::ALL.iter().map(|p| MeasurementCall::new(p.name)).collect();
        let readings =
            instrument.examine(&trainer.weights().unwrap(), &prompt, &[], &calls).unwrap();
        let mut answered = Vec::new();
        for call in &calls {
            match readings.get(call).unwrap() {
                Ok(_) => answered.push(&*call.measurement),
                Err(e) => assert!(e.message.len() > 10, "{}: {e}", call.measurement),
            }
        }
        for needed in ["outcome", "norms", "predictions", "effect"] {
            assert!(answered.contains(&needed), "{needed} is not among {answered:?}");
        }
    }
}

#[test]
fn a_recurrent_run_is_recorded_and_its_folder_answers_as_the_run_does() {
    let home = tempfile::tempdir().unwrap();
    let folder = home.path().join("run");
    let mut experiment = parity();
    experiment.train.steps = 10;
    let session = Session::start(Start {
        experiment: experiment.clone(),
        begin: Begin::Fresh,
        folder: Some(folder.clone()),
        paused: false,
        attended: true,
    });
    let session = session.unwrap();
    until(&session, |e| is_state(e, Going::Finished));
    drop(session);
    let mut trainer = Trainer::new(&experiment).unwrap();
    (0..10).for_each(|_| drop(trainer.step().unwrap()));
    let mut reader = Reader::open(&folder).unwrap();
    assert_eq!(reader.recording.rows.last().unwrap().step, 10);
    let recorded = reader.weights(10).unwrap();
    assert_eq!(recorded, trainer.weights().unwrap());
    let calls = [MeasurementCall::new("predictions")];
    let mut instrument = Instrument::new(&experiment).unwrap();
    let prompt = Arc::new(instrument.source().sequence(0, 0));
    let readings = instrument.examine(&recorded, &prompt, &[], &calls).unwrap();
    assert!(readings.get(&calls[0]).unwrap().is_ok());
    // Its document names kinds that are in no registry: that is said, not guessed.
    let error = Experiment::parse(&reader.experiment().unwrap(), "run").err().unwrap();
    assert!(error.message.contains("parity"), "{error}");
}

/// A transformer of the registry over pieces of a foreign tokenizer.
fn foreign() -> Experiment {
    let mut experiment = Experiment::of("foreign", "bigram", "decoder").unwrap();
    experiment.task = Box::new(Parity::default());
    experiment.set_texts(["model.width=8", "model.heads=2", "model.layers=1"]).unwrap();
    experiment
}

#[test]
fn weights_from_elsewhere_answer_about_pieces_of_their_own_tokenizer() {
    let trainer = Trainer::new(&foreign()).unwrap();
    let ours = trainer.weights().unwrap();
    // Another program writes its tensors in another order, and some that nobody asks for.
    let mut theirs = ours.clone();
    theirs.tensors.reverse();
    theirs.tensors.push(NamedTensor { name: "rotary.inv_freq".into(), ..ours.tensors[0].clone() });
    let mut instrument = Instrument::new(&foreign()).unwrap();
    let source = Arc::clone(instrument.source());
    let tokens = source.vocab().encode("ĠoneĠoneĠzero").unwrap();
    let prompt = Arc::new(source.label(&tokens, &Row::default()));
    let calls = [MeasurementCall::new("predictions"), MeasurementCall::new("attention")];
    let mut ask = |weights: &Weights| {
        let readings = instrument.examine(weights, &prompt, &[], &calls).unwrap();
        calls.each_ref().map(|call| format!("{:?}", readings.get(call).unwrap().as_ref().unwrap()))
    };
    assert_eq!(ask(&theirs), ask(&ours));
    // A checkpoint of another vocabulary, and one that lacks a tensor.
    let mut other = ours.clone();
    other.tensors[0] =
        NamedTensor { shape: vec![3, 8], data: [0.0; 24].into(), ..other.tensors[0].clone() };
    let mut refused = |weights: &Weights| {
        instrument.examine(weights, &prompt, &[], &calls).err().unwrap().message
    };
    let sentence = refused(&other);
    assert!(sentence.contains("embed") && sentence.contains("[3, 8]"), "{sentence}");
    other.tensors.remove(0);
    assert!(refused(&other).contains("lack the tensor embed"));
}

#[test]
fn a_label_need_not_be_the_next_token() {
    let source = Parity { length: 5 }.open().unwrap();
    let row = source.label(&[1, 1, 0, 1, 0], &Row::default());
    assert_eq!(row.targets, [1, 0, 0, 1, 1]);
    assert_eq!(source.sequence(7, 3), source.sequence(7, 3));
    assert_ne!(source.sequence(7, 3), source.sequence(7, 4));
    let together = batch(&*source, 7, 3, 2);
    assert_eq!(together.row(1), source.sequence(7, 4));
}

#[test]
fn a_foreign_vocabulary_reads_its_longest_tokens_and_shows_them() {
    // Byte-level pieces as GPT-2 spells them, a special token, and a byte that is no text of its own.
    let pieces = ["Ġ", "Ġthe", "Ġth", "t", "he", "e", "Ċ", "<|endoftext|>", "<0xE2>", " ", "\n"];
    let vocab = Vocab::new(pieces.map(str::to_owned).to_vec());
    let ids = vocab.encode("ĠtheĠthĠheĊ<|endoftext|><0xE2>").unwrap();
    assert_eq!(ids, [1, 2, 0, 4, 6, 7, 8]);
    let text: String = ids.iter().map(|id| vocab.text(*id)).collect();
    assert_eq!(text, "ĠtheĠthĠheĊ<|endoftext|><0xE2>");
    assert_eq!(vocab.glyph(1), "Ġthe");
    assert_eq!(vocab.glyph(9), "␣");
    assert_eq!(vocab.glyph(10), "↵");
    let error = vocab.encode("Ġtheﬁ").unwrap_err().to_string();
    assert!(error.contains("character 5") && error.contains("U+FB01"), "{error}");
}
