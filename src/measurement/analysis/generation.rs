//! Text that a network writes: the sequence in view goes on, token by token.

use candle_core::{Device, Tensor};
use rand_chacha::ChaCha8Rng;
use rand_core::SeedableRng;

use super::{Analysis, Ground, OnPartial, PartialAnswer};
use crate::base::array::Array;
use crate::base::convert;
use crate::base::error::{Error, Result};
use crate::measurement::read::{argmax, values};
use crate::measurement::{Answer, Subject, check_tokens};
use crate::model::{Input, State};
use crate::nn::edit::Edit;
use crate::nn::params::unit;
use crate::nn::tap::EditAndCapture;

pub use crate::base::analysis::Generating;

crate::settings! {
    /// Arrays: `token` `[position]`, the numbers of the tokens that were written, the first of them after the last of the sequence in view; `probability`
    /// `[position]`, what the network gave each of them (at temperature 1). Keys and values of what was read are kept where the network allows it
    /// ([`crate::model::Model::caches`]), so that each token costs one pass of one position; what is in force is in force at every position, as if the whole were read
    /// anew. Ends where the network's context does.
    pub struct Generation = "Continues the sequence in view, token by token, under what is in force." {
        /// How.
        generating: Generating = Generating::default();
    }
}

impl Analysis for Generation {
    fn run(&self, ground: &Ground<'_>, tell: OnPartial<'_>) -> Result<Answer> {
        check_tokens(ground.subject)?;
        let Generating { count, temperature, seed } = self.generating;
        let room = ground.subject.model.layout().length.saturating_sub(ground.prompt.len());
        if room == 0 {
            return Err(Error::usage(format!(
                "the sequence in view fills the context of this network, {} tokens: shorten it to have it continued",
                ground.prompt.len()
            )));
        }
        let mut rng = ChaCha8Rng::seed_from_u64(seed as u64);
        let total = count.min(room);
        let mut reader = Reader::new(ground.subject, ground.edits, ground.prompt.len() + total);
        let (mut written, mut next) = (Written::default(), ground.prompt.tokens.clone());
        while written.tokens.len() < total {
            let logits = reader.read(&next)?;
            let token = choose(&logits, temperature, unit(&mut rng));
            written.push(token, &logits);
            next = vec![convert::id(token)];
            let done = written.tokens.len();
            let so_far = || written.answer();
            if done < total && !tell(PartialAnswer { done, total, so_far: &so_far }) {
                break;
            }
        }
        let mut answer = written.answer()?;
        if total < count && written.tokens.len() == total {
            answer.notes.push(format!(
                "It ends with the context of the network, {} tokens.",
                ground.subject.model.layout().length
            ));
        }
        Ok(answer)
    }

    fn reads_edits(&self) -> bool {
        true
    }
}

/// What was written.
#[derive(Default)]
struct Written {
    tokens: Vec<f32>,
    probabilities: Vec<f32>,
}

impl Written {
    fn push(&mut self, token: usize, logits: &[f32]) {
        let most = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let sum: f64 = logits.iter().map(|x| f64::from(x - most).exp()).sum();
        self.tokens.push(token as f32);
        self.probabilities.push(convert::narrow(f64::from(logits[token] - most).exp() / sum));
    }

    fn answer(&self) -> Result<Answer> {
        let shape = [self.tokens.len()];
        let arrays = vec![
            Array::new("token", &["position"], &shape, self.tokens.clone())?,
            Array::new("probability", &["position"], &shape, self.probabilities.clone())?,
        ];
        Ok(Answer { arrays, ..Answer::default() })
    }
}

/// Reads a sequence on and on.
struct Reader<'a> {
    subject: Subject<'a>,
    edits: Vec<Edit>,
    /// All that was read, of a network that reads it anew each time.
    all: Vec<u32>,
    /// Positions that it will have read in the end: what is in force may be about any of them.
    whole: usize,
    state: Option<State>,
}

impl<'a> Reader<'a> {
    fn new(subject: Subject<'a>, edits: &[Edit], whole: usize) -> Self {
        let state = subject.model.caches().then(State::default);
        Self { subject, edits: edits.to_vec(), all: Vec::new(), whole, state }
    }

    /// Logits of what comes after these tokens, which come after all before.
    fn read(&mut self, tokens: &[u32]) -> Result<Vec<f32>> {
        self.all.extend(tokens);
        let caches = self.state.is_some();
        let tokens = if caches { tokens } else { &self.all };
        let ids = Tensor::from_slice(tokens, (1, tokens.len()), &Device::Cpu)?;
        let (state, logits_from) = (self.state.as_ref(), tokens.len().saturating_sub(1));
        let whole = Some(self.whole);
        let input = Input { state, whole, logits_from, caches, ..Input::new(&ids) };
        let Subject { model, params, .. } = self.subject;
        let mut tap = EditAndCapture::new(self.edits.clone(), Vec::new());
        let output = model.forward(params, &input, &mut tap)?;
        if caches {
            self.state = output.state;
        }
        let last = output.logits.dim(1)?.saturating_sub(1);
        values(&output.logits.get(0)?.get(last)?, <[f32]>::to_vec)
    }
}

/// The likeliest token at temperature 0; else the one where the sum of the probabilities passes `at`, a number in 0..1.
fn choose(logits: &[f32], temperature: f64, at: f64) -> usize {
    let likeliest = argmax(logits.iter().copied());
    if temperature == 0.0 {
        return likeliest;
    }
    let most = f64::from(logits[likeliest]);
    let weights: Vec<f64> =
        logits.iter().map(|x| ((f64::from(*x) - most) / temperature).exp()).collect();
    let mut left = at * weights.iter().sum::<f64>();
    let passes = |weight: &f64| {
        left -= weight;
        left < 0.0
    };
    weights.iter().position(passes).unwrap_or(likeliest)
}
