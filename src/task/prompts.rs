//! What a network of another program is asked about: prompts that a person writes, and random tokens of which a block comes twice.

use std::any::Any;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use crate::base::batch::{NO_TARGET, Row};
use crate::base::convert::id;
use crate::base::error::{Error, Result};
use crate::base::settings::{Settings, Slot, Spec};
use crate::base::vocab::{Tokenizer, Vocab};
use crate::formats::tokenizer::{Begin, Codec};

use super::chance::{below, stream};
use super::{Source, Task, unlabelled};

crate::settings! {
    /// Settings of prompts for a network that was trained elsewhere.
    pub struct Prompts = "Prompts for a network that was trained elsewhere; its own sequences are random tokens of which a block comes twice." {
        /// Tokens of the network.
        tokens: usize = 50257, in 1..=524288;
        /// Random tokens of a block.
        block: usize = 25, in 1..=2048;
        /// Positions of the longest prompt.
        longest: usize = 1024, in 1..=4096;
        /// The token that begins a prompt (BOS): the one that the tokenizer puts there, the one that TransformerLens does, or none.
        begin: Begin = Begin::Tokenizer;
    }
}

/// Prompts of a network and the tokenizer that goes with it.
#[derive(Clone)]
pub struct PromptTask {
    settings: Prompts,
    vocab: Vocab,
    beginnings: Beginnings,
}

impl PromptTask {
    /// In the folder of a network `model_type`, its tokenizer; where there is none, prompts are written as the numbers of their tokens.
    ///
    /// # Errors
    /// When there is one that is not read.
    pub fn new(settings: Prompts, folder: &Path, model_type: &str) -> Result<Self> {
        let mut beginnings = Beginnings::default();
        let vocab = match Codec::in_folder(folder)? {
            None => numbered(settings.tokens),
            Some(codec) => {
                let begins = |how| {
                    let known = |id: &u32| (*id as usize) < settings.tokens;
                    codec.begins(how, model_type).filter(known)
                };
                beginnings = Beginnings {
                    tokenizer: begins(Begin::Tokenizer),
                    transformer_lens: begins(Begin::TransformerLens),
                };
                let (first, tokens) = (begins(settings.begin), settings.tokens);
                let reader = Reader { codec, first, beginnings, tokens };
                Vocab::of_tokenizer(settings.tokens, Arc::new(reader))
            }
        };
        Ok(Self { settings, vocab, beginnings })
    }
}

fn numbered(tokens: usize) -> Vocab {
    Vocab::of_words((0..tokens).map(|id| id.to_string()).collect())
}

impl Settings for PromptTask {
    fn about(&self) -> &'static str {
        self.settings.about()
    }

    fn each(&mut self, visit: &mut dyn FnMut(&Spec, Slot<'_>)) {
        self.settings.each(visit);
    }
}

impl Task for PromptTask {
    fn open(&self) -> Result<Arc<dyn Source>> {
        let Self { settings, vocab, beginnings } = self.clone();
        Ok(Arc::new(PromptSource { settings, vocab, beginnings }))
    }

    fn boxed(&self) -> Box<dyn Task> {
        Box::new(self.clone())
    }
}

/// A facet: tokens that may begin a prompt (BOS), by who puts them there. They are no part of a text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Beginnings {
    pub tokenizer: Option<u32>,
    pub transformer_lens: Option<u32>,
}

impl Beginnings {
    pub fn of(self, how: Begin) -> Option<u32> {
        match how {
            Begin::Tokenizer => self.tokenizer,
            Begin::TransformerLens => self.transformer_lens,
            Begin::Nothing => None,
        }
    }

    /// The tokens without one that begins them.
    pub fn without(self, ids: &[u32]) -> &[u32] {
        match ids.split_first() {
            Some((id, rest)) if [self.tokenizer, self.transformer_lens].contains(&Some(*id)) => {
                rest
            }
            _ => ids,
        }
    }

    /// The tokens begun in that way, whatever began them before.
    pub fn begun(self, how: Begin, ids: &[u32]) -> Vec<u32> {
        self.of(how).into_iter().chain(self.without(ids).iter().copied()).collect()
    }
}

/// Reads text as a network does, with the token that begins it in front: that one is no part of the text.
struct Reader {
    codec: Codec,
    first: Option<u32>,
    beginnings: Beginnings,
    /// Of the network; the tokenizer may know others.
    tokens: usize,
}

impl Tokenizer for Reader {
    fn encode(&self, text: &str) -> Result<Vec<u32>> {
        let mut ids: Vec<u32> = self.first.into_iter().collect();
        ids.extend(self.codec.encode(text)?);
        match ids.iter().find(|id| **id as usize >= self.tokens) {
            None => Ok(ids),
            Some(id) => Err(Error::input(format!(
                "the tokenizer reads token {id} there, and the network has {} tokens: they do not belong together",
                self.tokens
            ))),
        }
    }

    fn decode(&self, ids: &[u32]) -> String {
        self.codec.decode(self.beginnings.without(ids))
    }

    fn text(&self, id: u32) -> String {
        String::from_utf8_lossy(self.codec.bytes(id)).into_owned()
    }

    fn glyph(&self, id: u32) -> String {
        self.codec.glyph(id)
    }

    fn is_special(&self, id: u32) -> bool {
        self.codec.is_special(id)
    }

    fn groups(&self, ids: &[u32]) -> Vec<(Range<usize>, String)> {
        let groups = self.codec.groups(ids).into_iter();
        groups.map(|group| (group.positions, group.text)).collect()
    }
}

struct PromptSource {
    settings: Prompts,
    vocab: Vocab,
    beginnings: Beginnings,
}

/// Bit of [`Row::roles`]: the token stood before.
const AGAIN: u8 = 1;

impl Source for PromptSource {
    fn vocab(&self) -> &Vocab {
        &self.vocab
    }

    fn settings(&self) -> Option<Box<dyn Task>> {
        let Self { settings, vocab, beginnings } = self;
        let (settings, vocab) = (settings.clone(), vocab.clone());
        Some(Box::new(PromptTask { settings, vocab, beginnings: *beginnings }))
    }

    fn facets(&self) -> Vec<&dyn Any> {
        vec![&self.beginnings]
    }

    fn roles(&self) -> &'static [&'static str] {
        &["again"]
    }

    fn length(&self) -> usize {
        (2 * self.settings.block).min(self.settings.longest)
    }

    fn longest(&self) -> usize {
        self.settings.longest
    }

    fn sequence(&self, seed: u64, index: u64) -> Row {
        let mut rng = stream("prompts", seed, index);
        let draw = |_| id(below(self.settings.tokens, &mut rng));
        let block: Vec<u32> = (0..self.settings.block).map(draw).collect();
        labelled([&block[..], &block].concat()[..self.length()].to_vec())
    }

    fn label(&self, tokens: &[u32], _like: &Row) -> Row {
        labelled(tokens.to_vec())
    }
}

/// Each token is to be followed by the next one.
fn labelled(tokens: Vec<u32>) -> Row {
    let mut row = unlabelled(tokens);
    for (i, token) in row.tokens.iter().enumerate() {
        row.targets[i] = row.tokens.get(i + 1).copied().unwrap_or(NO_TARGET);
        let before = row.tokens[..i].iter().filter(|other| *other == token).count();
        row.occurrence[i] = u16::try_from(before + 1).unwrap_or(u16::MAX);
        row.roles[i] = if before > 0 { AGAIN } else { 0 };
    }
    row
}
