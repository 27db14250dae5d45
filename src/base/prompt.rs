//! A prompt in tokens, and what is known of it: what questions over sets of prompts are asked with.

use std::collections::BTreeMap;

use super::error::{Error, Result};

/// A prompt in tokens.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Encoded {
    pub tokens: Vec<u32>,
    /// The counterfactual prompt, as long as the other.
    pub counterpart: Option<Vec<u32>>,
    /// What should follow: one token or several; none where nothing is said.
    pub answers: Vec<u32>,
    /// What should not.
    pub wrongs: Vec<u32>,
    /// Positions by name.
    pub roles: BTreeMap<String, Vec<usize>>,
}

impl Encoded {
    pub fn answer(&self) -> Option<u32> {
        self.answers.first().copied()
    }

    pub fn wrong(&self) -> Option<u32> {
        self.wrongs.first().copied()
    }

    /// The last position: what follows it is asked for.
    pub fn end(&self) -> usize {
        self.tokens.len().saturating_sub(1)
    }

    /// The positions of a role; none where it has no such role.
    pub fn role(&self, name: &str) -> &[usize] {
        self.roles.get(name).map_or(&[], Vec::as_slice)
    }

    /// All tokens that are named.
    pub fn ids(&self) -> impl Iterator<Item = u32> {
        let other = self.counterpart.iter().flatten();
        self.tokens.iter().chain(other).chain(&self.answers).chain(&self.wrongs).copied()
    }

    /// The same behind a token that begins both prompts.
    #[must_use]
    pub fn begun(mut self, first: Option<u32>) -> Self {
        let Some(first) = first else { return self };
        self.tokens.insert(0, first);
        self.counterpart.iter_mut().for_each(|tokens| tokens.insert(0, first));
        self.roles.values_mut().flatten().for_each(|at| *at += 1);
        self
    }
}

/// That the network has all tokens that prompts name, and reads so many.
///
/// # Errors
/// At the first prompt for which it does not.
pub fn check(prompts: &[Encoded], vocab: usize, longest: usize) -> Result<()> {
    for (i, prompt) in prompts.iter().enumerate() {
        let number = i + 1;
        if prompt.tokens.is_empty() || prompt.tokens.len() > longest {
            return Err(Error::input(format!(
                "prompt {number} has {} tokens; this network reads 1 to {longest}",
                prompt.tokens.len()
            )));
        }
        if let Some(id) = prompt.ids().find(|id| *id as usize >= vocab) {
            return Err(Error::input(format!(
                "prompt {number} names token {id}; this network has the tokens 0 to {}",
                vocab.saturating_sub(1)
            )));
        }
    }
    Ok(())
}
