//! The house has room: recurrent networks, memory carried between segments, a label at every position and a
//! foreign vocabulary all pass through the public traits.

use std::sync::Arc;

use candle_core::{Device, Tensor};
use mnemoscope::model::{Architecture, Input, Layout, Model, Output, State};
use mnemoscope::nn::attention::{Attention, attend};
use mnemoscope::nn::linear::{embed, linear};
use mnemoscope::nn::loss::cross_entropy;
use mnemoscope::nn::params::{Init, Param, Params};
use mnemoscope::nn::tap::{Bench, Tap, Untapped, through};
use mnemoscope::record::batch::{Batch, Row};
use mnemoscope::record::intervention::{Intervention, Point, Site};
use mnemoscope::record::question::ProbeCall;
use mnemoscope::record::vocab::Vocab;
use mnemoscope::run::examine::Instrument;
use mnemoscope::run::experiment::{Experiment, Optimizer, Staged, Train};
use mnemoscope::run::trainer::Trainer;
use mnemoscope::task::{Source, Task, batch};
use mnemoscope::{Result, knobs};

knobs! {
    /// Elman's network: the simplest with a memory of its own.
    pub struct Elman = "A recurrent network: h = tanh(E x + W h), logits = U h." {
        /// Units.
        width: usize = 16, in 1..=512;
    }
}

impl Architecture for Elman {
    fn build(&self, vocab: usize, length: usize, params: &mut Params) -> Result<Box<dyn Model>> {
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
        let x = embed(&params.get(self.embed), input.tokens)?;
        let x = through(tap, 0, Point::Embed, x)?;
        let (w, bias) = (params.get(self.recurrent), params.get(self.bias));
        let mut h = match input.state {
            Some(state) => state.0[0].clone(),
            None => Tensor::zeros((rows, self.layout.width), x.dtype(), x.device())?,
        };
        let mut all = Vec::new();
        for place in 0..length {
            let seen = x.narrow(1, place, 1)?.squeeze(1)?;
            h = (seen + linear(&h, &w, Some(&bias))?)?.tanh()?;
            all.push(h.clone());
        }
        let all = through(tap, 0, Point::ResidPost, Tensor::stack(&all, 1)?)?;
        let logits = linear(&all, &params.get(self.unembed), None)?;
        let logits = through(tap, 0, Point::Logits, logits)?;
        Ok(Output { logits, state: Some(State(vec![h])) })
    }
}

knobs! {
    /// Memory rows before and after each segment (Bulatov et al. 2022), with one layer of attention.
    pub struct RecurrentMemory = "A transformer that reads memory before a segment and writes it after." {
        /// Width of the residual stream.
        width: usize = 8, in 1..=512;
        /// Rows of memory.
        rows: usize = 2, in 1..=64;
    }
}

impl Architecture for RecurrentMemory {
    fn build(&self, vocab: usize, length: usize, params: &mut Params) -> Result<Box<dyn Model>> {
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
            Some(state) => state.0[0].clone(),
            None => {
                let fresh = params.get(self.memory).unsqueeze(0)?;
                fresh.broadcast_as((batch, self.rows, self.layout.width))?
            }
        };
        let segment = embed(&params.get(self.embed), input.tokens)?;
        let x = Tensor::cat(&[&memory, &segment, &memory], 1)?;
        let [queries, keys] = self.maps.map(|map| linear(&x, &params.get(map), None));
        let how = Attention { layer: 0, heads: 1, scale: 0.5 };
        let x = (&x + attend(how, &queries?, &keys?, &x, tap)?)?;
        let x = through(tap, 0, Point::ResidPost, x)?;
        let read = x.narrow(1, self.rows, length)?;
        let logits = linear(&read, &params.get(self.unembed), None)?;
        let written = x.narrow(1, self.rows + length, self.rows)?;
        Ok(Output { logits, state: Some(State(vec![written])) })
    }
}

knobs! {
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
    model.forward(params, &Input { tokens: &tokens, state }, &mut Untapped).unwrap()
}

#[test]
fn a_recurrent_network_in_two_segments_equals_one_pass() {
    let mut params = Params::new(1);
    let model = Elman::default().build(2, 8, &mut params).unwrap();
    let tokens = [1, 0, 1, 1, 0, 0, 1, 0];
    let whole = forward(&*model, &params, &tokens, None);
    let first = forward(&*model, &params, &tokens[..3], None);
    let second = forward(&*model, &params, &tokens[3..], first.state.as_ref());
    let halves = [numbers(&first.logits), numbers(&second.logits)].concat();
    assert_eq!(halves, numbers(&whole.logits));
    assert_eq!(numbers(&second.state.unwrap().0[0]), numbers(&whole.state.unwrap().0[0]));
    let forgetful = forward(&*model, &params, &tokens[3..], None);
    assert_ne!(numbers(&forgetful.logits), numbers(&second.logits));
}

#[test]
fn gradients_flow_through_the_memory_into_the_segment_before() {
    let architectures: [&dyn Architecture; 2] = [&Elman::default(), &RecurrentMemory::default()];
    for architecture in architectures {
        let mut params = Params::new(1);
        let model = architecture.build(5, 8, &mut params).unwrap();
        // Token 4 stands in the first segment only, the loss in the second only.
        let first = forward(&*model, &params, &[0, 4, 1], None);
        let second = forward(&*model, &params, &[2, 3], first.state.as_ref());
        assert_eq!(second.logits.dims(), [1, 2, 5]);
        let loss = cross_entropy(&second.logits, &[1, 2], &[0.5, 0.5]).unwrap();
        let grads = loss.backward().unwrap();
        let table = params.var(params.find("embed").unwrap());
        let to_token = |t: usize| {
            let rows = grads.get(table.as_tensor()).unwrap().to_vec2::<f32>().unwrap();
            rows[t].iter().map(|g| g.abs()).sum::<f32>()
        };
        assert!(to_token(4) > 1e-4, "{}", model.layout().kind);
    }
}

#[test]
fn points_of_a_recurrent_network_can_be_kept_and_cut() {
    let mut params = Params::new(1);
    let model = Elman::default().build(2, 8, &mut params).unwrap();
    let cut: Intervention = "zero layer0.resid_post@2".parse().unwrap();
    let site = Site { layer: 0, point: Point::ResidPost };
    let mut bench = Bench::new(&[cut], vec![site]);
    let tokens = tensor(&[1, 0, 1, 1], 1);
    let output = model.forward(&params, &Input::new(&tokens), &mut bench).unwrap();
    assert_eq!(bench.captured[&site].dims(), [1, 4, 16]);
    let logits = output.logits.squeeze(0).unwrap().to_vec2::<f32>().unwrap();
    assert_eq!(logits[2], [0.0, 0.0]);
    assert_ne!(logits[3], [0.0, 0.0]);
}

/// Parity learned by Elman's network: neither is in a registry.
fn parity() -> Experiment {
    Experiment {
        name: "parity".to_owned(),
        about: String::new(),
        task_kind: "parity".to_owned(),
        task: Box::new(Parity::default()),
        model_kind: "elman".to_owned(),
        model: Box::new(Elman::default()),
        train: Train {
            batch: 16,
            optimizer: Optimizer::AdamW,
            rate: 0.01,
            decay: 0.0,
            clip: 1.0,
            shard: 4,
            held_out: 32,
            threads: 1,
            ..Train::default()
        },
        at: vec![Staged { step: 0, what: "freeze layer0.b".parse().unwrap() }],
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
    let model = Elman::default().build(2, 96, &mut params).unwrap();
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
    let calls = [ProbeCall::new("predictions"), ProbeCall::new("attention")];
    let weights = trainer.weights().unwrap();
    let readings = instrument.examine(&weights, &prompt, &[], &calls).unwrap();
    let predictions = readings.get(&calls[0]).unwrap().as_ref().unwrap();
    let targets = predictions.array("target").unwrap();
    assert_eq!(*targets.data, [1.0, 1.0, 0.0], "the label, not the next token");
    let refused = readings.get(&calls[1]).unwrap().as_ref().unwrap_err();
    assert!(!refused.to_string().is_empty(), "no attention here: a sentence, and the rest answers");
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
