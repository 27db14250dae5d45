//! Causal tracing as an analysis: of the prompt in view, and on average over prompts.

use std::cell::RefCell;

use super::{Analysis, Ground, OnPartial, PartialAnswer, map, one};
use crate::base::analysis::{Corrupted, Restoring, Tracing as Asked};
use crate::base::array::Array;
use crate::base::batch::NO_TARGET;
use crate::base::error::{Error, Result};
use crate::base::pair::Pair;
use crate::base::prompt::Encoded;
use crate::measurement::causal::in_turn;
use crate::measurement::causal::tracing::{
    ATTENTION, Corruption, Kind, MLP, Maps, Restored, STATE, SUBJECT, Trace, WITHOUT_ATTENTION,
    WITHOUT_MLP, known, spread,
};
use crate::measurement::probing::data::numbers;
use crate::measurement::study::bench::{Bench, line};
use crate::measurement::{Answer, Mean};
use crate::task::prompted::Prompted;

crate::settings! {
    /// Causal tracing (Meng et al. 2022, arXiv 2202.05262), of any network: the tokens of a subject are corrupted, and states, MLPs or attentions
    /// restored one after the other.
    ///
    /// Arrays: `trace.KIND` `[layer, position]`, the probability of the answer to the prompt in focus with that restored, and `mean.KIND` `[layer, place]`,
    /// the same on average over prompts, with KIND `state`, `mlp`, `attention`, `state_without_mlp`, `state_without_attention`; NaN where a cell is not
    /// done yet. Of the prompt in focus `tokens` `[position]`, `subject` `[token]`, its positions, and `answer` `[1]`. Numbers: `prompts`,
    /// `probability` and `probability_corrupted` (means over prompts), `focus` and `focus_corrupted` (of the prompt in focus), `window`, `noise_std`.
    pub struct Tracing = "Causal tracing: the tokens of a subject are corrupted and the answer is lost. Which states, MLPs and attentions bring it back when they alone are restored?" {
        /// The question.
        asked: Asked = Asked::default();
    }
}

impl Analysis for Tracing {
    /// Networks that train here are small, and the way of a fact forms step by step.
    fn follows(&self) -> bool {
        true
    }

    fn run(&self, ground: &Ground<'_>, tell: OnPartial<'_>) -> Result<Answer> {
        let bench = Bench { subject: ground.subject, pool: ground.pool };
        let prompts = self.prompts(ground)?;
        let (known, left) =
            known(&bench, &prompts, self.asked.mean_over.max(1), self.asked.all_prompts)?;
        if known.is_empty() {
            return Err(Error::usage(NONE_KNOWN));
        }
        let std = self.asked.noise * spread(&bench, known.iter().map(|(prompt, _)| *prompt))?;
        let (kinds, how) = (self.kinds(), self.corruption(std));
        let traces =
            known.iter().map(|(prompt, token)| Trace::new(&bench, prompt, *token, &kinds, how));
        let traces = traces.collect::<Result<Vec<_>>>()?;
        let window = self.window(bench.layers());
        let restored = Restored { kinds: &kinds, window };
        let cells = restored.cells(&bench, &traces);
        let maps = RefCell::new(Maps::new(&bench, &traces, &kinds));
        let so_far = || {
            let mut answer = about(&traces, &known[0].0.roles[SUBJECT])?;
            answer.means.push(one("window", window as f64));
            answer.means.push(one(
                "noise_std",
                if self.asked.corrupted == Corrupted::Noise { std } else { 0.0 },
            ));
            let maps = maps.borrow();
            answer.arrays.extend(maps.first()?.into_iter().chain(maps.means(false)?));
            answer.notes.extend(left_out(left));
            Ok(answer)
        };
        let mut is_whole = true;
        in_turn(
            ground.pool,
            &cells,
            |cell| Ok((*cell, restored.probability(&bench, &traces, *cell)?)),
            |(cell, probability)| maps.borrow_mut().take(cell, probability),
            &mut |done, total| {
                is_whole = tell(PartialAnswer { done, total, so_far: &so_far });
                is_whole
            },
        )?;
        let mut answer = so_far()?;
        map::note_stop(&mut answer, is_whole);
        Ok(answer)
    }
}

const NONE_KNOWN: &str = "of no prompt the network says the answer, so there is none to be restored: take a later step or other prompts, or ask them all the same (setting \"all_prompts\")";

impl Tracing {
    fn kinds(&self) -> Vec<Kind> {
        let mut kinds = match self.asked.restored {
            Restoring::All => vec![STATE, MLP, ATTENTION],
            Restoring::State => vec![STATE],
            Restoring::Mlp => vec![MLP],
            Restoring::Attention => vec![ATTENTION],
        };
        if self.asked.severed {
            kinds.extend([WITHOUT_MLP, WITHOUT_ATTENTION]);
        }
        kinds
    }

    fn corruption(&self, std: f64) -> Corruption {
        let Asked { samples, seed, .. } = self.asked;
        match self.asked.corrupted {
            Corrupted::Noise => Corruption::Noise { std, samples, seed },
            Corrupted::Resample => Corruption::Resample,
            Corrupted::Zero => Corruption::Zero,
        }
    }

    /// Ten layers of 48 in the published experiment: as many of each network.
    fn window(&self, layers: usize) -> usize {
        match self.asked.window {
            0 => ((layers * 10 + 24) / 48).max(1),
            window => window,
        }
    }

    /// The prompt in focus, which is the sequence in view where that has a subject, and then those of the task, each with the positions that are
    /// corrupted as its subject.
    fn prompts(&self, ground: &Ground<'_>) -> Result<Vec<Encoded>> {
        let most = self.asked.mean_over.saturating_mul(2).max(1);
        let mut all = of_task(ground, most);
        let in_view = in_view(ground);
        all.retain(|prompt| prompt.tokens != in_view.tokens);
        all.insert(0, in_view);
        let all = all.into_iter().filter_map(|prompt| self.about_its_subject(prompt));
        let all: Vec<Encoded> = all.collect();
        if all.is_empty() {
            let roles = ground.subject.source.roles().join(", ");
            return Err(Error::usage(format!(
                "neither the sequence in view nor the task says what its subject is: name the positions that are corrupted (setting \"positions\"), such as 0-3 or a role of the task ({roles}), or open a set of prompts with the role \"subject\""
            )));
        }
        Ok(all)
    }

    /// `None` where it has no such position.
    fn about_its_subject(&self, mut prompt: Encoded) -> Option<Encoded> {
        let text = self.asked.positions.trim();
        let wanted = match text {
            "" => prompt.role(SUBJECT).to_vec(),
            text => numbers(text).unwrap_or_else(|| prompt.role(text).to_vec()),
        };
        let is_there = !wanted.is_empty() && wanted.iter().all(|at| *at < prompt.tokens.len());
        prompt.roles.insert(SUBJECT.to_owned(), wanted);
        is_there.then_some(prompt)
    }
}

/// Prompts that the task makes, or the first sequences of its pairs, whose subject is where they differ.
pub(super) fn of_task(ground: &Ground<'_>, most: usize) -> Vec<Encoded> {
    let source = ground.subject.source;
    if let Some(prompted) = source.facet::<Prompted>() {
        return prompted.first(ground.seed, most);
    }
    let Some(kind) = source.pair_kinds().first() else { return Vec::new() };
    let pairs = (0..most as u64).filter_map(|index| source.pair(kind.name, ground.seed, index));
    let prompt = |pair: Pair| {
        let before = |tokens: &[u32]| tokens[..=pair.at].to_vec();
        let places = pair.places.iter().map(|(name, at)| ((*name).to_owned(), vec![*at]));
        let differs = pair.differs().into_iter().filter(|at| *at <= pair.at).collect();
        Encoded {
            tokens: before(&pair.base.tokens),
            counterpart: Some(before(&pair.other.tokens)),
            answers: vec![pair.answers[0]],
            wrongs: vec![pair.answers[1]],
            roles: places.chain([(SUBJECT.to_owned(), differs)]).collect(),
        }
    };
    pairs.map(prompt).collect()
}

/// The sequence in view up to its last target; with what the task knows of it, where it is one of the task's prompts.
pub(super) fn in_view(ground: &Ground<'_>) -> Encoded {
    let row = ground.prompt;
    let target = row.targets.iter().rposition(|target| *target != NO_TARGET);
    let at = target.unwrap_or(row.len().saturating_sub(1));
    let tokens = row.tokens.get(..=at).unwrap_or(&[]).to_vec();
    let source = ground.subject.source;
    let known = source.facet::<Prompted>().and_then(|prompted| (prompted.of_text)(&tokens));
    if let Some(prompt) = known {
        return prompt;
    }
    let roles = source.roles().iter().enumerate().map(|(bit, role)| {
        let has = |at: &usize| row.roles[*at] >> bit & 1 == 1;
        ((*role).to_owned(), (0..tokens.len()).filter(has).collect())
    });
    let roles = roles.collect();
    let answers = target.map(|at| row.targets[at]).into_iter().collect();
    Encoded { tokens, answers, roles, ..Encoded::default() }
}

/// What is known of prompts before anything is restored.
fn about(traces: &[Trace<'_>], subject: &[usize]) -> Result<Answer> {
    let mean = |name: &str, value: fn(&Trace<'_>) -> f64| Mean {
        name: name.to_owned(),
        sum: traces.iter().map(value).sum(),
        count: traces.len() as f64,
    };
    let means = vec![
        one("prompts", traces.len() as f64),
        mean("probability", |trace| trace.clean),
        mean("probability_corrupted", |trace| trace.corrupted),
        one("focus", traces[0].clean),
        one("focus_corrupted", traces[0].corrupted),
    ];
    let mut answer = Answer { means, ..Answer::default() };
    answer.shows(traces[0].prompt, false)?;
    let subject: Vec<f64> = subject.iter().map(|at| *at as f64).collect();
    answer.arrays.push(line("subject", "token", &subject)?);
    answer.arrays.push(Array::new("answer", &["one"], &[1], vec![traces[0].answer as f32])?);
    Ok(answer)
}

fn left_out(count: usize) -> Option<String> {
    let are = if count == 1 { "prompt is" } else { "prompts are" };
    (count > 0)
        .then(|| format!("{count} {are} left out: another token than the answer is likeliest."))
}
