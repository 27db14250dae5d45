//! Indirect object identification: to whom was the bag given? (Wang et al. 2022)

use super::bench::{
    Bench, answers, counterparts, groups, likeliest, line, logit, mean, number, tokens,
};
use super::direct::{Direct, along};
use super::{Ground, Study};
use crate::base::array::Array;
use crate::base::batch::{NO_TARGET, Row};
use crate::base::convert::narrow;
use crate::base::error::{Error, Result};
use crate::base::intervention::Point;
use crate::base::pair::Pair;
use crate::base::prompt::Encoded;
use crate::base::study::{Drawn, Headline, Known};
use crate::measurement::Answer;
use crate::measurement::causal::effect::LEAST_CONTRAST;
use crate::measurement::causal::patching::{By, Family, Plan};
use crate::measurement::causal::{Pairs, Progress, Seen, Stage};

crate::settings! {
    /// The logit difference of the indirect object and the subject, whose doing it is directly, and where it is restored. Arrays:
    /// `logit_difference` `[prompt]`; `direct.heads` `[layer, head]` and `direct.mlp` `[layer]`, what each writes straight into the
    /// difference at the last position, mean over prompts; `patched.resid_pre` `[layer, position]` and `patched.z` `[layer, head]`, how
    /// much of the difference comes back where that part of the run on the counterfactual prompts is taken from the run on the
    /// prompts: (mean difference - that of the counterparts) / (that of the prompts - that of the counterparts).
    pub struct Ioi = "Indirect object identification: in \"When John and Mary went to the shops, John gave the bag to\", how much more likely is Mary than John, which heads say so, and where does it come from?" {
        /// Prompts, from the first. With 1 the numbers are those of one pair, as in demonstrations of attribution.
        prompts: usize = 8, in 1..=1000;
        /// Take parts from one run into the other, part by part: the long part of the study.
        patch: bool = true;
    }
}

const KNOWN: &[Known] = &[
    Known {
        network: "GPT-2 small",
        found: "mean logit difference 3.5519 over these 8 prompts, and -3.5519 with the name exchanged",
        source: "TransformerLens, demo Activation Patching in TransformerLens (its kept outputs)",
    },
    Known {
        network: "GPT-2 small",
        found: "what heads write straight into the difference of one prompt (John, Mary): 9.9 +1.9583, 9.6 +1.6281, 10.7 -1.4267, 11.1 -0.9117, 11.10 -0.9042, 10.0 +0.6370, 10.10 +0.4524, 8.10 +0.4264",
        source: "TransformerLens, demo Direct Logit Attribution (its kept outputs)",
    },
    Known {
        network: "GPT-2 small",
        found: "the circuit: name movers 9.9 10.0 9.6; negative name movers 10.7 11.10; S-inhibition 7.3 7.9 8.6 8.10; induction 5.5 5.8 5.9 6.9; duplicate tokens 0.1 0.10 3.0; previous tokens 2.2 4.11",
        source: "Wang et al. 2022, arXiv 2211.00593; the heads as in its code, Easy-Transformer",
    },
    Known {
        network: "GPT-2 small",
        found: "the stream at the second name of the subject restores all until layer 7 or 8, at the last position from layer 8 or 9 on; heads that restore it: 7.9 8.6 8.10 5.5 6.9 3.0 9.9, and the other way 10.7 11.10",
        source: "TransformerLens, demo Exploratory Analysis (its text)",
    },
];

const HEADLINES: &[Headline] = &[
    Headline::number("logit_difference", "logit difference {}"),
    Headline::number("logit_difference_corrupted", "with the name exchanged {}"),
    Headline::share("right_above_wrong", "above 0 in {}"),
];

const DRAWN: &[Drawn] = &[
    Drawn::map(
        "What heads write straight into the difference",
        "logit difference",
        &[("direct.heads", "")],
    ),
    Drawn::map(
        "Heads taken from the run on the prompts",
        "logit difference restored (share)",
        &[("patched.z", "")],
    ),
    Drawn::map(
        "The stream taken from the run on the prompts",
        "logit difference restored (share)",
        &[("patched.resid_pre", "")],
    ),
];

impl Study for Ioi {
    fn prompts(&self) -> &'static [&'static str] {
        &[include_str!("../../../assets/studies/ioi.jsonl")]
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
        let prompts = ground.first(self.prompts)?;
        let mut found = Found::new(&bench)?;
        for group in groups(prompts) {
            found.take(&bench, &group)?;
        }
        let mut answer = found.answer(&bench)?;
        if self.patch {
            patched(&bench, prompts, &mut answer, tell)?;
        }
        Ok(answer)
    }
}

/// What is found without changing anything.
struct Found<'a> {
    /// None where the network does not say what heads write.
    direct: Result<Direct<'a>>,
    differences: Vec<(usize, f64)>,
    corrupted: Vec<f64>,
    likeliest: Vec<f64>,
    /// Sums over prompts, by layer and head, and by layer.
    heads: Vec<Vec<f64>>,
    mlps: Vec<Option<f64>>,
}

impl<'a> Found<'a> {
    fn new(bench: &Bench<'a>) -> Result<Self> {
        Ok(Self {
            direct: bench.direct(),
            differences: Vec::new(),
            corrupted: Vec::new(),
            likeliest: Vec::new(),
            heads: bench.heads().iter().map(|n| vec![0.0; *n]).collect(),
            mlps: vec![None; bench.layers()],
        })
    }

    fn take(&mut self, bench: &Bench<'a>, group: &[(usize, &Encoded)]) -> Result<()> {
        let pairs = group.iter().map(|(i, prompt)| answers(*i, prompt));
        let pairs = pairs.collect::<Result<Vec<[u32; 2]>>>()?;
        let mut sites = Vec::new();
        if self.direct.is_ok() {
            sites.extend(bench.everywhere(Point::Z).chain(bench.everywhere(Point::MlpOut)));
            sites.push(bench.last(Point::ResidPost));
        }
        let seen = bench.pass(&tokens(group), &[], &sites)?;
        for ((logits, [right, wrong]), (i, _)) in seen.logits.iter().zip(&pairs).zip(group) {
            self.differences.push((*i, logit(logits, *right) - logit(logits, *wrong)));
            self.likeliest.push(f64::from(u8::from(likeliest(logits) == *right)));
        }
        if let Ok(direct) = &self.direct {
            let end = group[0].1.end();
            let stream = seen.at(bench.last(Point::ResidPost), end)?;
            let scales = direct.scales(&stream)?;
            let [right, wrong] = [0, 1]
                .map(|side| direct.rows(&pairs.iter().map(|pair| pair[side]).collect::<Vec<_>>()));
            let rows = right?.sub(&wrong?)?;
            for site in bench.everywhere(Point::Z).filter(|site| bench.heads()[site.layer] > 0) {
                let written = direct.written(site.layer, &seen.at(site, end)?)?;
                let parts = along(&written, &rows, &scales)?;
                let by_head = parts.chunks_exact(group.len()).zip(&mut self.heads[site.layer]);
                by_head.for_each(|(parts, sum)| *sum += parts.iter().sum::<f64>());
            }
            for site in bench.everywhere(Point::MlpOut) {
                if seen.captured.contains_key(&site) {
                    let parts = along(&seen.at(site, end)?, &rows, &scales)?;
                    *self.mlps[site.layer].get_or_insert(0.0) += parts.iter().sum::<f64>();
                }
            }
        }
        if group.iter().all(|(_, prompt)| prompt.counterpart.is_some()) {
            let seen = bench.pass(&counterparts(group)?, &[], &[])?;
            let both = seen.logits.iter().zip(&pairs);
            self.corrupted.extend(
                both.map(|(logits, [right, wrong])| logit(logits, *right) - logit(logits, *wrong)),
            );
        }
        Ok(())
    }

    fn answer(mut self, bench: &Bench<'a>) -> Result<Answer> {
        let mut answer = Answer::default();
        let count = self.differences.len() as f64;
        self.differences.sort_by_key(|(i, _)| *i);
        let differences: Vec<f64> = self.differences.iter().map(|(_, x)| *x).collect();
        let right: Vec<f64> = differences.iter().map(|x| f64::from(u8::from(*x > 0.0))).collect();
        answer.means.push(number("prompts", count));
        answer.means.push(mean("logit_difference", &differences));
        answer.means.push(mean("logit_difference_corrupted", &self.corrupted));
        answer.means.push(mean("right_above_wrong", &right));
        answer.means.push(mean("right_likeliest", &self.likeliest));
        answer.arrays.push(line("logit_difference", "prompt", &differences)?);
        match &self.direct {
            Err(e) => answer.notes.push(format!("No attribution: {}.", e.clause())),
            Ok(_) => {
                let of = |layer: usize, head: usize| self.heads[layer][head] / count;
                answer.arrays.push(bench.by_head("direct.heads", of)?);
                let mlps = self.mlps.iter().map(|sum| sum.map_or(f64::NAN, |sum| sum / count));
                answer.arrays.push(line("direct.mlp", "layer", &mlps.collect::<Vec<_>>())?);
            }
        }
        Ok(answer)
    }
}

/// Runs on counterparts with one part after the other taken from the runs on the prompts, of the length that most prompts have.
fn patched(
    bench: &Bench<'_>,
    prompts: &[Encoded],
    answer: &mut Answer,
    tell: Progress<'_>,
) -> Result<()> {
    let group = groups(prompts).into_iter().max_by_key(Vec::len).unwrap_or_default();
    let pairs = group.iter().map(|(i, prompt)| pair(*i, prompt)).collect::<Result<Vec<_>>>()?;
    let pairs = Pairs::new(pairs)?;
    let stage = Stage::new(bench.subject, &pairs)?;
    let [base, other] = [&stage.base, &stage.other].map(|seen| difference(seen));
    if (other - base).abs() < LEAST_CONTRAST {
        answer.notes.push("Nothing is patched: prompts and counterparts have the same logit difference, so that none can be restored.".to_owned());
        return Ok(());
    }
    if pairs.len() < prompts.len() {
        answer.notes.push(format!(
            "Patched are the {} prompts of {} tokens; the others are of other lengths.",
            pairs.len(),
            pairs.length()
        ));
    }
    let maps =
        [("patched.z", Point::Z, By::Head), ("patched.resid_pre", Point::ResidPre, By::Position)];
    let plans = maps.map(|(name, point, by)| {
        Plan::new(&stage, Family { point, by }).map(|plan| (name, Family { point, by }, plan))
    });
    let plans = plans.into_iter().collect::<Result<Vec<_>>>()?;
    let total = plans.iter().map(|(.., plan)| plan.cells().len()).sum();
    let mut before = 0;
    for (name, family, plan) in plans {
        let shape = plan.shape();
        let mut restored = vec![f32::NAN; shape.iter().product()];
        let mut goes_on = true;
        plan.run(
            bench.pool,
            |found| {
                let share = (difference(&found.seen) - base) / (other - base);
                restored[found.cell.index(&shape)] = narrow(share);
            },
            &mut |done, _| {
                goes_on = tell(before + done, total);
                goes_on
            },
        )?;
        answer.arrays.push(Array::new(name, family.axes(), &shape, restored)?);
        before += plan.cells().len();
        if !goes_on {
            break;
        }
    }
    answer.shows(group[0].1, true)
}

/// Mean logit difference of the answer and what should not follow.
fn difference(seen: &[Seen]) -> f64 {
    // The pairs begin at the counterpart, whose own answer comes first.
    -seen.iter().map(|seen| seen.difference).sum::<f64>() / seen.len() as f64
}

fn pair(number: usize, prompt: &Encoded) -> Result<Pair> {
    let [right, wrong] = answers(number, prompt)?;
    let counterpart = prompt.counterpart.as_ref().ok_or_else(|| {
        Error::input(format!(
            "prompt {} has no counterpart to be patched: give one of as many tokens, or leave patching out (--set patch=false)",
            number + 1
        ))
    })?;
    let row = |tokens: &[u32]| Row {
        tokens: tokens.to_vec(),
        targets: vec![NO_TARGET; tokens.len()],
        roles: vec![0; tokens.len()],
        occurrence: vec![0; tokens.len()],
        ..Row::default()
    };
    Ok(Pair {
        base: row(counterpart),
        other: row(&prompt.tokens),
        at: prompt.end(),
        answers: [wrong, right],
        places: Vec::new(),
    })
}
