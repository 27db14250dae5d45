//! Rank-one editing as an analysis: what becomes of the fact in view, of its neighbours and of all others.
#![expect(clippy::doc_markdown, reason = "help is shown as it stands, and backticks with it")]

use super::tracing::{in_view, of_task};
use super::{Analysis, Ground, OnPartial, PartialAnswer, one};
use crate::base::array::Array;
use crate::base::convert::narrow;
use crate::base::error::{Error, Result};
use crate::base::intervention::{How, Intervention, Place, Point, Site};
use crate::base::prompt::Encoded;
use crate::measurement::causal::rewriting::{Wanted, rank_one};
use crate::measurement::causal::tracing::{
    Corruption, MLP, Maps, Restored, SUBJECT, Trace, spread,
};
use crate::measurement::study::bench::{Bench, groups, likeliest, probability, tokens};
use crate::measurement::{Answer, Mean, Subject};

crate::settings! {
    /// Rank-one editing of the MLP that holds a fact (ROME, Meng et al. 2022, arXiv 2202.05262): the output matrix of an MLP is changed so that another answer
    /// follows the prompt in view, and the prompts of the task are asked before and after. Where no place is said it is the MLP whose output, restored alone
    /// under noise on the subject, brings the answer back most.
    ///
    /// Arrays over prompts, the rewritten one first: `before` and `after`, the probability of the old answer; `right_before` and `right_after`, whether it is
    /// the likeliest; `group` (0 rewritten, 1 the same subject, 2 part of the subject in common, 3 others). Numbers: `rewritten_before`, `rewritten_after`,
    /// the probability of the new answer; `value`, that with the wanted value instead of the changed matrix; of each group `NAME_count`, `NAME_before` and `NAME_after`, shares
    /// of right answers; `layer` and `position`.
    pub struct Rewriting = "Rank-one editing: the MLP that holds a fact is changed so that another answer follows the prompt in view. What becomes of that fact, of its neighbours, and of all others?" {
        /// The new answer (empty: the wrong answer that the prompt has).
        to: String = String::new();
        /// The MLP and the position at which the fact is looked up, as layer3.mlp_out@3 (empty: where causal tracing restores most).
        place: String = String::new();
        /// Prompts of the task that are asked before and after.
        others: usize = 256, in 1..=10000;
    }
}

impl Analysis for Rewriting {
    fn run(&self, ground: &Ground<'_>, tell: OnPartial<'_>) -> Result<Answer> {
        let prompt = in_view(ground);
        let bench = Bench { subject: ground.subject, pool: ground.pool };
        let to = self.new_answer(ground, &prompt)?;
        let others = of_task(ground, self.others);
        let place = self.place(&bench, &prompt, &others)?;
        let position = place.positions.first().copied().unwrap_or(0);
        let wanted = Wanted { tokens: &prompt.tokens, layer: place.site.layer, position, to };
        tell(PartialAnswer { done: 0, total: 1, so_far: &|| Ok(Answer::default()) });
        let change = rank_one(ground.subject, &wanted, ground.seed)?;
        let params = change.carried_out(ground.subject.params)?;
        let after = Bench { subject: Subject { params: &params, ..ground.subject }, ..bench };
        let all: Vec<Encoded> = asked(&prompt, others);
        let told = [told(&bench, &all, to)?, told(&after, &all, to)?];
        let mut answer = answer(&all, &told)?;
        answer.means.push(one("value", change.probability));
        answer.means.push(one("layer", place.site.layer as f64));
        answer.means.push(one("position", position as f64));
        let how = How::Rewrite { tokens: prompt.tokens.clone(), to };
        let what = Intervention::Change { place, how };
        answer.notes.push(format!("In force with --intervene \"{what}\", or in Interventions."));
        Ok(answer)
    }
}

/// What a prompt has in common with the one that is rewritten.
const GROUPS: [&str; 4] = ["rewritten", "same_subject", "neighbours", "others"];

impl Rewriting {
    fn new_answer(&self, ground: &Ground<'_>, prompt: &Encoded) -> Result<u32> {
        let vocab = ground.subject.source.vocab();
        if self.to.trim().is_empty() {
            return prompt.wrong().ok_or_else(|| {
                Error::usage(
                    "the prompt in view has no wrong answer that could become its new one: say what should follow (setting \"to\")",
                )
            });
        }
        let mut ids = vocab.encode(&self.to).map_err(|e| e.context("to"))?;
        ids.retain(|id| !vocab.is_special(*id));
        match ids[..] {
            [id] => Ok(id),
            _ => Err(Error::usage(format!(
                "to: read {} tokens in \"{}\", expected one",
                ids.len(),
                self.to
            ))),
        }
    }

    /// What is said, or what tracing finds.
    fn place(&self, bench: &Bench<'_>, prompt: &Encoded, others: &[Encoded]) -> Result<Place> {
        let text = self.place.trim();
        if text.is_empty() {
            return traced(bench, prompt, others);
        }
        let place: Place = text.parse()?;
        match (place.site.point, &place.positions[..]) {
            (Point::MlpOut, [_]) => Ok(place),
            _ => Err(Error::usage(format!(
                "place: read \"{text}\", expected what an MLP writes at one position, as layer3.mlp_out@3"
            ))),
        }
    }
}

/// Where the MLP of one layer alone, restored under noise, brings the answer of a prompt back most.
fn traced(bench: &Bench<'_>, prompt: &Encoded, others: &[Encoded]) -> Result<Place> {
    if prompt.role(SUBJECT).is_empty() {
        return Err(Error::usage(
            "the prompt in view has no role \"subject\" to trace: say where the fact is looked up (setting \"place\", as layer3.mlp_out@3)",
        ));
    }
    let std = 3.0 * spread(bench, others.iter().chain([prompt]))?;
    let how = Corruption::Noise { std, samples: 10, seed: 1 };
    let answer = likeliest(&bench.pass(&[&prompt.tokens], &[], &[])?.logits[0]);
    let traces = [Trace::new(bench, prompt, answer, &[MLP], how)?];
    let restored = Restored { kinds: &[MLP], window: 1 };
    let mut maps = Maps::new(bench, &traces, &[MLP]);
    for cell in restored.cells(bench, &traces) {
        maps.take(cell, restored.probability(bench, &traces, cell)?);
    }
    let map = maps.first()?.remove(0);
    let columns = map.shape[1];
    let known = map.data.iter().enumerate().filter(|(_, x)| x.is_finite());
    let best = known.max_by(|(_, a), (_, b)| a.total_cmp(b)).map(|(at, _)| at);
    let best = best.ok_or_else(|| Error::usage("this network has no MLP to rewrite a fact in"))?;
    let site = Site { layer: best / columns, point: Point::MlpOut };
    Ok(Place::all(site).at([best % columns]))
}

/// The prompt that is rewritten, and then all others.
fn asked(prompt: &Encoded, mut others: Vec<Encoded>) -> Vec<Encoded> {
    others.retain(|other| other.tokens != prompt.tokens && other.answer().is_some());
    others.insert(0, prompt.clone());
    others
}

/// Of each prompt the probability of its answer and whether it is the likeliest; of the first also the probability of the new one.
struct Told {
    answers: Vec<(f64, bool)>,
    new: f64,
}

fn told(bench: &Bench<'_>, all: &[Encoded], to: u32) -> Result<Told> {
    let mut told = Told { answers: vec![(f64::NAN, false); all.len()], new: 0.0 };
    for group in groups(all) {
        let seen = bench.pass(&tokens(&group), &[], &[])?;
        for ((at, prompt), logits) in group.iter().zip(&seen.logits) {
            let answer = prompt.answer().unwrap_or(u32::MAX);
            told.answers[*at] = (probability(logits, &[answer]), likeliest(logits) == answer);
            if *at == 0 {
                told.new = probability(logits, &[to]);
            }
        }
    }
    Ok(told)
}

/// Which of the groups each prompt is in.
fn group_of(first: &Encoded, at: usize, other: &Encoded) -> usize {
    let subject = |prompt: &Encoded| -> Vec<u32> {
        prompt.role(SUBJECT).iter().filter_map(|at| prompt.tokens.get(*at).copied()).collect()
    };
    let (own, others) = (subject(first), subject(other));
    match at {
        0 => 0,
        _ if !own.is_empty() && own == others => 1,
        _ if own.iter().zip(&others).any(|(a, b)| a == b) => 2,
        _ => 3,
    }
}

fn answer(all: &[Encoded], [before, after]: &[Told; 2]) -> Result<Answer> {
    let groups: Vec<usize> =
        all.iter().enumerate().map(|(at, other)| group_of(&all[0], at, other)).collect();
    let mut answer = Answer::default();
    answer.means.push(one("rewritten_before", before.new));
    answer.means.push(one("rewritten_after", after.new));
    for (number, name) in GROUPS.iter().enumerate().skip(1) {
        let of_group = |told: &Told| -> Vec<f64> {
            let both = told.answers.iter().zip(&groups).filter(|(_, group)| **group == number);
            both.map(|((_, right), _)| f64::from(u8::from(*right))).collect()
        };
        let [was, is] = [before, after].map(of_group);
        answer.means.push(one(format!("{name}_count"), was.len() as f64));
        for (end, rights) in [("before", was), ("after", is)] {
            let (sum, count) = (rights.iter().sum(), rights.len() as f64);
            answer.means.push(Mean { name: format!("{name}_{end}"), sum, count });
        }
    }
    let array = |name: &str, value: &dyn Fn(usize) -> f32| {
        let data: Vec<f32> = (0..all.len()).map(value).collect();
        Array::new(name, &["prompt"], &[all.len()], data)
    };
    let right = |told: &Told, at: usize| f32::from(u8::from(told.answers[at].1));
    answer.arrays = vec![
        array("before", &|at| narrow(before.answers[at].0))?,
        array("after", &|at| narrow(after.answers[at].0))?,
        array("right_before", &|at| right(before, at))?,
        array("right_after", &|at| right(after, at))?,
        array("group", &|at| groups[at] as f32)?,
    ];
    answer.shows(&all[0], false)?;
    Ok(answer)
}
