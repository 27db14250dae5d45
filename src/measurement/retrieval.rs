//! Whether a segment that asks gets the memory of the segment that knows.

use super::read::{Tally, values};
use super::working_memory::RETRIEVAL;
use super::{Answer, Mean, Measurement, Scene, Scope, Subject};
use crate::base::error::{Error, Result};
use crate::base::intervention::Site;
use crate::model::Keeps;
use crate::task::associative_retrieval::Text;

crate::settings! {
    /// Of networks that retrieve memories by attention, in a task that asks for something of one of its segments.
    ///
    /// Number: `retrieval_right`, the share of sequences whose last segment gives most of this attention to the memory of the segment that
    /// it asks for.
    pub struct Retrieval = "How often the memory of the right segment is retrieved where a segment asks for something." {
    }
}

impl Measurement for Retrieval {
    fn scope(&self) -> Scope {
        Scope::HeldOut
    }

    fn applies(&self, subject: Subject<'_>) -> Result<()> {
        let retrieves = subject.model.keeps() == Some(Keeps::Retrieved);
        if retrieves && subject.source.facet::<Text>().is_some() {
            return Ok(());
        }
        Err(Error::usage(
            "this is asked of a network that retrieves memories of segments, such as hierarchical, in the task associative_retrieval",
        ))
    }

    fn sites(&self, _subject: Subject<'_>) -> Vec<Site> {
        vec![RETRIEVAL]
    }

    fn wants_logits(&self) -> bool {
        false
    }

    fn columns(&self, _subject: Subject<'_>) -> Vec<String> {
        vec!["retrieval_right".to_owned()]
    }

    fn measure(&self, scene: &Scene<'_>) -> Result<Answer> {
        let mut right = Tally::default();
        let text = scene.subject.source.facet::<Text>();
        if let (Some(text), Some(all)) = (text, scene.captured.get(&RETRIEVAL)) {
            let (_, segments, columns) = all.dims3()?;
            let last = values(&all.narrow(1, segments - 1, 1)?.contiguous()?, <[f32]>::to_vec)?;
            let sequences = scene.batch.tokens.chunks_exact(scene.batch.len.max(1));
            for (tokens, shares) in sequences.zip(last.chunks_exact(columns)) {
                if let Some(asked) = text.asked_segment(tokens) {
                    right.hit(most(&shares[..segments - 1]) == Some(asked));
                }
            }
        }
        let Tally { sum, count } = right;
        let means = vec![Mean { name: "retrieval_right".to_owned(), sum, count }];
        Ok(Answer { means, ..Answer::default() })
    }
}

fn most(shares: &[f32]) -> Option<usize> {
    (0..shares.len()).max_by(|a, b| shares[*a].total_cmp(&shares[*b]))
}
