//! A worked example of a new task: a run of random letters, then the same run again.
//!
//! `cargo run --example add_task` shows two of its sequences. Inside the crate this file would be
//! `src/task/repeat.rs`, with `pub mod repeat;` and one line in `task::ALL`: the form, the command line, the
//! experiment file and the property tests of every task then know it.

use std::sync::Arc;

use mnemoscope::Result;
use mnemoscope::record::batch::{NO_TARGET, Row};
use mnemoscope::record::knobs::set;
use mnemoscope::record::vocab::Vocab;
use mnemoscope::task::{Source, Task};
use rand_chacha::ChaCha8Rng;
use rand_core::{Rng, SeedableRng};

// Settings are declared once: name, type, default, range and help.
mnemoscope::knobs! {
    /// Settings of the task.
    pub struct Repeat = "Random letters, then the same letters again: the second half can be copied." {
        /// Distinct letters.
        letters: usize = 10, in 2..=26;
        /// Letters in the run that is repeated.
        run: usize = 8, in 1..=512;
    }
}

// Settings open into a source: here is the place to read files and to refuse contradictions.
impl Task for Repeat {
    fn open(&self) -> Result<Arc<dyn Source>> {
        let tokens = ('a'..='z').take(self.letters).map(String::from).collect();
        Ok(Arc::new(Repeated { vocab: Vocab::new(tokens), run: self.run }))
    }

    fn boxed(&self) -> Box<dyn Task> {
        Box::new(self.clone())
    }
}

struct Repeated {
    vocab: Vocab,
    run: usize,
}

impl Source for Repeated {
    fn vocab(&self) -> &Vocab {
        &self.vocab
    }

    fn roles(&self) -> &'static [&'static str] {
        &["repeated"]
    }

    fn length(&self) -> usize {
        2 * self.run
    }

    // A generator of its own for each sequence: the same in any order and on any thread.
    fn sequence(&self, seed: u64, index: u64) -> Row {
        let mut key = [0; 32];
        key[..8].copy_from_slice(&seed.to_le_bytes());
        key[8..16].copy_from_slice(&index.to_le_bytes());
        let mut rng = ChaCha8Rng::from_seed(key);
        let letters = self.vocab.len() as u32;
        let run: Vec<u32> = (0..self.run).map(|_| rng.next_u32() % letters).collect();
        self.label(&[run.as_slice(), run.as_slice()].concat(), &Row::default())
    }

    // What a position is follows from the tokens alone here, so that edited text can be labelled too.
    fn label(&self, tokens: &[u32], _like: &Row) -> Row {
        let second = |t: usize| t >= self.run;
        let targets = (0..tokens.len()).map(|t| tokens.get(t + 1).copied().unwrap_or(NO_TARGET));
        Row {
            tokens: tokens.to_vec(),
            targets: targets.collect(),
            // Bit 0: the first of the roles.
            roles: (0..tokens.len()).map(|t| u8::from(second(t))).collect(),
            // 2 where the answer was seen before in the sequence, 1 where it may be seen later.
            occurrence: (0..tokens.len()).map(|t| if second(t) { 2 } else { 1 }).collect(),
        }
    }
}

#[expect(clippy::print_stdout, reason = "an example shows what it does")]
pub fn main() -> Result<()> {
    let mut task = Repeat::default();
    set(&mut task, "task.", "letters", &5.into())?;
    let source = task.open()?;
    for index in 0..2 {
        let row = source.sequence(0, index);
        let glyphs: String = row.tokens.iter().map(|&t| source.vocab().glyph(t)).collect();
        let marks: String = row.roles.iter().map(|r| if r & 1 == 1 { '^' } else { ' ' }).collect();
        println!("{glyphs}\n{marks}");
        assert_eq!(source.label(&row.tokens, &row), row);
    }
    Ok(())
}
