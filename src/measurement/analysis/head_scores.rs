//! The scores of all heads, sequence by sequence, with the losses on repeated random tokens: of a large network that takes a while.

use super::{Analysis, Ground, OnPartial, PartialAnswer};
use crate::base::analysis::HeadScoring;
use crate::base::batch::{Batch, Row};
use crate::base::error::Result;
use crate::measurement::heads::{Heads, On};
use crate::measurement::read::{Tally, cross_entropy, each_prediction};
use crate::measurement::{Answer, Measurement, Scene, Subject};
use crate::model::pass;
use crate::nn::tap::Captured;

/// The loss on a text that is the same for all steps of a network.
pub const LOSS_TEXT: &str = "loss_text";

crate::settings! {
    /// What the measurement `heads` counts, told as it comes, and losses.
    ///
    /// Arrays `[layer, head]` and numbers by head as in `heads`; numbers `loss_repeats_first` and `loss_repeats_again` (loss in nats on
    /// random tokens the first time and repeated), `loss_text` where a text is given.
    pub struct HeadScores = "The scores of all heads on random tokens and on sequences of the task, and the loss on random tokens when they come for the first time and again." {
        /// What is looked at.
        scoring: HeadScoring = HeadScoring::default();
    }
}

impl Analysis for HeadScores {
    fn reads_prompt(&self) -> bool {
        false
    }

    fn run(&self, ground: &Ground<'_>, tell: OnPartial<'_>) -> Result<Answer> {
        let subject = ground.subject;
        let HeadScoring { examples, tokens, repeats, task, ref text } = self.scoring;
        let heads = Heads { examples, tokens, repeats };
        heads.applies(subject)?;
        let on = if task { On::BothWithLosses } else { On::RandomWithLosses };
        let counts = heads.count(subject, on, &mut |done, total, counts| {
            tell(PartialAnswer { done, total, so_far: &|| counts.answer(subject) })
        })?;
        let mut answer = counts.answer(subject)?;
        if !text.is_empty() {
            let row = read(subject, text)?;
            answer.means.push(loss(subject, row)?.named(LOSS_TEXT));
        }
        Ok(answer)
    }
}

/// A text in the tokens of the network, as much of it as the network reads.
fn read(subject: Subject<'_>, text: &str) -> Result<Row> {
    let mut tokens = subject.source.vocab().encode(text).map_err(|e| e.context("text"))?;
    tokens.truncate(subject.model.layout().length);
    Ok(subject.source.label(&tokens, &Row::default()))
}

/// The loss over all tokens of a row that another one follows.
fn loss(Subject { model, params, source }: Subject<'_>, row: Row) -> Result<Tally> {
    let batch = Batch::from_rows(&[row]);
    let (logits, _) = pass::forward(model, params, &batch, &[], &[], true)?;
    let captured = Captured::new();
    let subject = Subject { model, params, source };
    let scene =
        Scene { subject, batch: &batch, first: 0, logits: logits.as_ref(), captured: &captured };
    let mut tally = Tally::default();
    each_prediction(&scene, |_, target, logits| {
        tally.add(cross_entropy(logits, target));
    })?;
    Ok(tally)
}
