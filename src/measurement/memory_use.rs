//! What the memory does for the answers: accuracy with what is carried from segment to segment, and without it.

use candle_core::Tensor;

use super::read::{Tally, each_hit};
use super::{Answer, Mean, Measurement, Scene, Scope, Subject};
use crate::base::error::{Error, Result};
use crate::base::intervention::Site;
use crate::model::pass::Tensors;
use crate::model::segments::Segment;
use crate::model::{Input, Keeps, State};
use crate::nn::tap::Untapped;

crate::settings! {
    /// Of networks that read in segments.
    ///
    /// Number: `memory_use`, the accuracy minus that of the same network where each segment is read as if it were the first: 0 where
    /// nothing that is carried is needed, or nothing is carried.
    pub struct MemoryUse = "What accuracy the network owes to what it carries from segment to segment." {
    }
}

/// Each is passed twice.
const SEQUENCES: usize = 32;

impl Measurement for MemoryUse {
    fn scope(&self) -> Scope {
        Scope::HeldOut
    }

    fn sequences(&self) -> Option<usize> {
        Some(SEQUENCES)
    }

    fn applies(&self, subject: Subject<'_>) -> Result<()> {
        let carries = match subject.model.keeps() {
            Some(
                Keeps::Tokens | Keeps::Retrieved | Keeps::Positions | Keeps::Compressed { .. },
            ) => true,
            Some(Keeps::Units | Keeps::Mechanisms) | None => false,
        };
        if carries && subject.model.segments().is_some() {
            return Ok(());
        }
        Err(Error::usage("this network carries no memory from one segment to the next"))
    }

    fn sites(&self, _subject: Subject<'_>) -> Vec<Site> {
        Vec::new()
    }

    fn columns(&self, _subject: Subject<'_>) -> Vec<String> {
        vec!["memory_use".to_owned()]
    }

    fn measure(&self, scene: &Scene<'_>) -> Result<Answer> {
        let forgetful = forgetful(scene)?;
        let (with, without) = (hits(scene)?, hits(&Scene { logits: Some(&forgetful), ..*scene })?);
        let (sum, count) = (with.sum - without.sum, with.count);
        let means = vec![Mean { name: "memory_use".to_owned(), sum, count }];
        Ok(Answer { means, ..Answer::default() })
    }
}

fn hits(scene: &Scene<'_>) -> Result<Tally> {
    let mut tally = Tally::default();
    each_hit(scene, |_, right| tally.hit(right))?;
    Ok(tally)
}

/// Logits of all segments, each read as if nothing came before it.
fn forgetful(scene: &Scene<'_>) -> Result<Tensor> {
    by_segments(scene, &mut |_, state| Ok(State { memory: Vec::new(), ..state }))
}

/// Logits of all segments, read one after the other; `carried` says what becomes of the state between the one before and each.
///
/// # Errors
/// When the network does not read in segments, or a pass fails.
pub(super) fn by_segments(
    scene: &Scene<'_>,
    carried: &mut dyn FnMut(Segment, State) -> Result<State>,
) -> Result<Tensor> {
    let Subject { model, params, .. } = scene.subject;
    let segments = model.segments().ok_or_else(|| Error::internal("a network without segments"))?;
    let tensors = Tensors::of(scene.batch, params)?;
    let Input { tokens, values, .. } = tensors.input();
    let (mut logits, mut state) = (Vec::new(), None);
    for (number, segment) in segments.of(scene.batch.len).enumerate() {
        let here = |x: &Tensor| x.narrow(1, segment.from, segment.len);
        let (tokens, values) = (here(tokens)?, values.map(here).transpose()?);
        let before = state.take().map(|state| carried(segment, state)).transpose()?;
        let input = Input {
            tokens: &tokens,
            values: values.as_ref(),
            state: before.as_ref(),
            whole: Some(scene.batch.len),
            logits_from: 0,
            from: None,
            caches: false,
        };
        let output = model.forward(params, &input, &mut Untapped)?;
        logits.push(output.logits);
        let read = segment.from + segment.len;
        let nothing = State { read, segments: number + 1, memory: Vec::new() };
        state = Some(output.state.unwrap_or(nothing));
    }
    Ok(Tensor::cat(&logits, 1)?)
}
