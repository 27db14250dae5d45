//! Causal tracing: where a fact is restored in a run whose subject is noise (Meng et al. 2022).

use super::bench::{Bench, Work, lacks, mean, number};
use super::{Ground, Study};
use crate::base::error::{Error, Result};
use crate::base::prompt::Encoded;
use crate::base::study::{Drawn, Headline, Known};
use crate::measurement::Answer;
use crate::measurement::causal::Progress;
use crate::measurement::causal::tracing::{self, Corruption, Kind, Maps, Restored, SUBJECT, Trace};

crate::settings! {
    /// The probability of the answer in a run with noise on the embeddings of the subject's tokens, and in the same with something
    /// restored: the stream behind a layer at a position (`state`), or what MLPs (`mlp`) or attention (`attention`) write there in a
    /// window of layers around one. The noise has `noise` times the standard deviation of the embeddings of all subjects' tokens, before
    /// anything is added to them, and is drawn number by number as NumPy's `RandomState(seed).randn` does, the same for every cell, as in the published
    /// code. Arrays: `trace.state` and so on `[layer, position]`, of the first prompt; `effect.state` and so on `[layer, place]`, restored
    /// less noised probability, mean over prompts. Places: the first token of the subject, those between, its last one, the first token behind, those that
    /// follow, the last one of all.
    pub struct CausalTracing = "Causal tracing: with noise on the subject, as in \"The Space Needle is in the city of\", the network forgets the answer. Which states, MLPs and attentions bring it back when they alone are restored?" {
        /// Prompts, from the first of those that are asked.
        prompts: usize = 4, in 1..=1000;
        /// Ask also prompts whose answer is not the likeliest token: the others say what the network knows.
        all_prompts: bool = false;
        /// Noise, in standard deviations of the embeddings.
        noise: f64 = 3.0, in 0.0..=100.0;
        /// Samples of the noise; probabilities are means over them.
        samples: usize = 10, in 1..=100;
        /// Layers of a window of MLPs or attentions.
        window: usize = 10, in 1..=100;
        /// What the noise is drawn with.
        seed: usize = 1;
    }
}

const KNOWN: &[Known] = &[Known {
    network: "GPT-2 XL",
    found: "the settings: noise of 3 standard deviations of the subjects' embeddings, 10 samples of NumPy's RandomState(1), windows of 10 layers",
    source: "Meng et al. 2022, arXiv 2202.05262; its code (rome, experiments/causal_trace.py). The numbers of the paper were not at hand",
}];

const HEADLINES: &[Headline] = &[
    Headline::number("probability", "probability of the answer {}"),
    Headline::number("probability_noised", "with noise on the subject {}"),
    Headline::number("total_effect", "total effect {}"),
];

const DRAWN: &[Drawn] = &[
    Drawn::map("One state restored", "probability of the answer", &[("trace.state", "")]),
    Drawn::map("MLPs of a window restored", "probability of the answer", &[("trace.mlp", "")]),
    Drawn::map(
        "Attentions of a window restored",
        "probability of the answer",
        &[("trace.attention", "")],
    ),
    Drawn::map("One state restored, all prompts", "change of probability", &[("effect.state", "")]),
    Drawn::map(
        "MLPs of a window restored, all prompts",
        "change of probability",
        &[("effect.mlp", "")],
    ),
    Drawn::map(
        "Attentions of a window restored, all prompts",
        "change of probability",
        &[("effect.attention", "")],
    ),
];

/// What is restored.
const KINDS: [Kind; 3] = [tracing::STATE, tracing::MLP, tracing::ATTENTION];

impl Study for CausalTracing {
    fn prompts(&self) -> &'static [&'static str] {
        &[include_str!("../../../assets/studies/causal-tracing.jsonl")]
    }

    fn is_begun(&self) -> bool {
        false
    }

    fn known(&self) -> &'static [Known] {
        KNOWN
    }

    fn headlines(&self) -> &'static [Headline] {
        HEADLINES
    }

    fn drawn(&self) -> &'static [Drawn] {
        DRAWN
    }

    fn run(&self, ground: &Ground<'_>, tell: Progress<'_>) -> Result<Answer> {
        let bench = Bench::new(ground);
        let mut answer = Answer::default();
        let spread = tracing::spread(&bench, ground.first(usize::MAX)?)?;
        let how =
            Corruption::Noise { std: self.noise * spread, samples: self.samples, seed: self.seed };
        let asked = self.asked(&bench, ground.first(usize::MAX)?, &mut answer)?;
        let traces =
            asked.into_iter().map(|(prompt, token)| Trace::new(&bench, prompt, token, &KINDS, how));
        let traces = traces.collect::<Result<Vec<_>>>()?;
        let all = |value: fn(&Trace<'_>) -> f64| traces.iter().map(value).collect::<Vec<f64>>();
        answer.means.push(number("prompts", traces.len() as f64));
        answer.means.push(number("noise_std", self.noise * spread));
        answer.means.push(mean("probability", &all(|trace| trace.clean)));
        answer.means.push(mean("probability_noised", &all(|trace| trace.corrupted)));
        answer.means.push(mean("total_effect", &all(|trace| trace.clean - trace.corrupted)));
        self.restore(&bench, &traces, &mut answer, tell)?;
        answer.shows(traces[0].prompt, false)?;
        let subject: Vec<f64> =
            traces[0].prompt.role(SUBJECT).iter().map(|at| *at as f64).collect();
        answer.arrays.push(super::bench::line("subject", "token", &subject)?);
        Ok(answer)
    }
}

impl CausalTracing {
    /// Prompts that are asked, each with its answer: what its line says, else what the network says.
    fn asked<'e>(
        &self,
        bench: &Bench<'_>,
        prompts: &'e [Encoded],
        answer: &mut Answer,
    ) -> Result<Vec<(&'e Encoded, u32)>> {
        let (asked, left) = tracing::known(bench, prompts, self.prompts, self.all_prompts)?;
        let looked_at = prompts.iter().take(asked.len() + left);
        let without = looked_at.map(|prompt| prompt.role(SUBJECT)).position(<[usize]>::is_empty);
        if let Some(number) = without {
            return Err(lacks(number, "subject\" among its \"roles"));
        }
        if left > 0 {
            let are = if left == 1 { "prompt is" } else { "prompts are" };
            answer.notes.push(format!(
                "{left} {are} left out: another token than the answer is likeliest."
            ));
        }
        if asked.is_empty() {
            return Err(Error::usage(
                "of no prompt the network says the answer, so there is none to be restored; ask them all the same (--set all_prompts=true), or others (--prompts FILE; without an answer it is what the network says)",
            ));
        }
        Ok(asked)
    }

    fn restore(
        &self,
        bench: &Bench<'_>,
        traces: &[Trace<'_>],
        answer: &mut Answer,
        tell: Progress<'_>,
    ) -> Result<()> {
        let restored = Restored { kinds: &KINDS, window: self.window };
        let cells = restored.cells(bench, traces);
        let mut maps = Maps::new(bench, traces, &KINDS);
        let mut work = Work::new(bench.pool, cells.len(), tell);
        work.each(
            &cells,
            |cell| Ok((*cell, restored.probability(bench, traces, *cell)?)),
            |(cell, probability)| maps.take(cell, probability),
        )?;
        for (first, effect) in maps.first()?.into_iter().zip(maps.means(true)?) {
            answer.arrays.extend([first, effect]);
        }
        Ok(())
    }
}
