//! Regular expressions of others with a bound on their steps. The tokenizers' own search takes a million steps for a match, says
//! nothing when they did not suffice, and leaves the rest of the text in one piece: so it is gone over before.

use fancy_regex::{Regex, RegexBuilder};

use crate::base::error::{Error, Result};

/// Bytes of the longest expression: ten times those of the longest that is known.
const MOST_PATTERN_BYTES: usize = 8 << 10;
/// Steps back that a match takes at ease.
const QUICK: usize = 2_000;
/// Steps back after which the tokenizers give up.
const SLOW: usize = 1_000_000;
/// Matches of a prompt that may take more than at ease: those that stand far from the one before.
const MOST_SLOW: usize = 64;

/// An expression that splits text or finds what is replaced.
#[derive(Debug)]
pub struct Patient {
    pattern: String,
    quick: Regex,
    slow: Regex,
}

impl Patient {
    /// # Errors
    /// When it is longer than any that is known, or no expression.
    pub fn new(pattern: &str) -> Result<Self> {
        let limited = |limit| {
            let built = RegexBuilder::new(pattern).backtrack_limit(limit).build();
            built.map_err(|e| refusal(pattern, &format!("is none that is understood ({e})")))
        };
        if pattern.len() > MOST_PATTERN_BYTES {
            let why = format!("has {} bytes, expected {MOST_PATTERN_BYTES} at most", pattern.len());
            return Err(refusal(pattern, &why));
        }
        Ok(Self { pattern: pattern.to_owned(), quick: limited(QUICK)?, slow: limited(SLOW)? })
    }

    /// Goes over a text as the tokenizer will.
    ///
    /// # Errors
    /// When the steps do not suffice.
    pub fn check(&self, text: &str) -> Result<()> {
        let (mut at, mut slow) = (0, 0);
        while at < text.len() {
            let found = self.quick.find_from_pos(text, at).or_else(|_| {
                slow += 1;
                let regex = if slow > MOST_SLOW { &self.quick } else { &self.slow };
                regex.find_from_pos(text, at)
            });
            let Some(found) = found.map_err(|_| self.tired())? else { return Ok(()) };
            at = found.end().max(text.ceil_char_boundary(at + 1));
        }
        Ok(())
    }

    fn tired(&self) -> Error {
        Error::usage(format!(
            "a regular expression of the tokenizer ({}) takes too many steps on this prompt, which would then be split otherwise than is meant; shorten the prompt, or take another tokenizer",
            begun(&self.pattern)
        ))
    }
}

fn refusal(pattern: &str, why: &str) -> Error {
    Error::input(format!(
        "the regular expression {} {why}; save the tokenizer anew, or take another",
        begun(pattern)
    ))
}

/// The beginning of an expression.
fn begun(pattern: &str) -> String {
    const LONG: usize = 60;
    let short: String = pattern.chars().take(LONG).collect();
    if short.len() < pattern.len() { short + "…" } else { short }
}
