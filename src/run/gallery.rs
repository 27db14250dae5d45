//! The experiments that come with the program, as cards: what each shows, where it comes from and how long it takes.

use crate::base::error::Result;

use super::experiment::{BUILTIN, Experiment, STILLS};
use super::phenomenon::Phenomenon;

/// An experiment that comes with the program.
#[derive(Clone, Debug)]
pub struct Card {
    pub name: &'static str,
    pub title: String,
    /// What it teaches: a sentence or two.
    pub about: String,
    /// The paper or text that it comes from.
    pub source: String,
    pub phenomenon: Option<Phenomenon>,
    /// Number of its lessons.
    pub lessons: usize,
    /// A picture of what it shows, as PNG.
    pub still: &'static [u8],
}

/// All of them, in the order of the list.
///
/// # Errors
/// When a document is none.
pub fn cards() -> Result<Vec<Card>> {
    BUILTIN.iter().zip(STILLS).map(|((name, _), (_, still))| Card::new(name, still)).collect()
}

impl Card {
    fn new(name: &'static str, still: &'static [u8]) -> Result<Self> {
        let experiment = Experiment::builtin(name)?;
        Ok(Self {
            name,
            title: experiment.title().to_owned(),
            about: experiment.about,
            source: experiment.source,
            phenomenon: experiment.phenomenon,
            lessons: experiment.lessons.len(),
            still,
        })
    }

    /// Whether every word of a search stands somewhere on the card.
    pub fn is_found_by(&self, search: &str) -> bool {
        let Self { name, title, about, source, .. } = self;
        let all = format!("{name} {title} {about} {source}").to_lowercase();
        search.to_lowercase().split_whitespace().all(|word| all.contains(word))
    }

    /// How long it takes until the phenomenon is there: `step 230, 12 s on two cores`; with `here`, seconds on this machine.
    pub fn time(&self, here: Option<f64>) -> String {
        let Some(Phenomenon { step, seconds, .. }) = self.phenomenon else {
            return "until you stop it".to_owned();
        };
        match here {
            Some(here) => format!("step {step}, about {} here", duration(here)),
            None => format!("step {step}, {} on two cores", duration(seconds as f64)),
        }
    }
}

/// `8 s`, `3 min`, `5 h`.
fn duration(seconds: f64) -> String {
    match seconds {
        s if s < 0.95 => "1 s".to_owned(),
        s if s < 100.0 => format!("{s:.0} s"),
        s if s < 6000.0 => format!("{:.0} min", s / 60.0),
        s => format!("{:.0} h", s / 3600.0),
    }
}
