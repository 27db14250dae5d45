//! What a network of another program is asked about: prompts that a person writes, and random tokens of which a block comes twice.

use std::sync::Arc;

use crate::base::batch::{NO_TARGET, Row};
use crate::base::convert::id;
use crate::base::error::Result;
use crate::base::vocab::Vocab;

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
    }
}

impl Task for Prompts {
    fn open(&self) -> Result<Arc<dyn Source>> {
        let names = (0..self.tokens).map(|id| id.to_string()).collect();
        Ok(Arc::new(PromptSource { settings: self.clone(), vocab: Vocab::of_words(names) }))
    }

    fn boxed(&self) -> Box<dyn Task> {
        Box::new(self.clone())
    }

    fn length_setting(&self) -> Option<&'static str> {
        Some("block")
    }
}

struct PromptSource {
    settings: Prompts,
    vocab: Vocab,
}

/// Bit of [`Row::roles`]: the token stood before.
const AGAIN: u8 = 1;

impl Source for PromptSource {
    fn vocab(&self) -> &Vocab {
        &self.vocab
    }

    fn settings(&self) -> Option<Box<dyn Task>> {
        Some(self.settings.boxed())
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
