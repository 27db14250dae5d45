//! Greater-than: a war that began in 1732 ends in a later year (Hanna et al. 2023).

use super::bench::{
    Bench, Work, counterparts, groups, lacks, line, mean, number, probabilities, probability,
    tokens,
};
use super::{Ground, Study};
use crate::base::array::Array;
use crate::base::convert::narrow;
use crate::base::error::Result;
use crate::base::intervention::{Point, Site};
use crate::base::prompt::Encoded;
use crate::base::study::{Drawn, Headline, Known};
use crate::measurement::Answer;
use crate::measurement::causal::Progress;
use crate::nn::edit::{At, Edit, With};
use crate::nn::tap::Captured;

crate::settings! {
    /// The difference of two probabilities at the last position: of all that may follow, and of all that may not. Arrays: `difference`
    /// `[prompt]`; `probability.prompt` and `probability.counterpart` `[token]`, of the first prompt, with the ids as
    /// `probability.tokens`; `change.heads` `[layer, head]` and `change.mlp` `[layer]`, how the difference changes where that part at all
    /// positions is taken from the run on the counterpart (the same with the year 01, which all years follow): below 0 the part
    /// matters.
    pub struct GreaterThan = "Greater-than: after \"The war lasted from the year 1732 to the year 17\", how much likelier are years after 32 than years up to 32, and which parts say so?" {
        /// Prompts, from the first.
        prompts: usize = 24, in 1..=1000;
        /// Take parts from the other run, part by part: the long part of the study.
        patch: bool = true;
    }
}

const KNOWN: &[Known] = &[
    Known {
        network: "GPT-2 small",
        found: "MLPs 8 9 10 11 and the heads 5.1 5.5 6.1 6.9 7.10 8.8 8.11 9.1 carry it",
        source: "Hanna, Liu and Variengien 2023; its code gpt2-greater-than (circuit_discovery.py)",
    },
    Known {
        network: "GPT-2 small",
        found: "0.93 on one prompt; MLPs 9, 10, 8 and 11 matter most, in this order",
        source: "an independent replication on the web",
    },
];

const HEADLINES: &[Headline] = &[
    Headline::number("difference", "later years less others, in probability: {}"),
    Headline::number("difference_corrupted", "from the counterparts {}"),
    Headline::share("above_zero", "above 0 in {}"),
];

const DRAWN: &[Drawn] = &[
    Drawn::lines(
        "What follows the first prompt",
        "probability",
        &[("probability.prompt", "prompt"), ("probability.counterpart", "counterpart")],
    ),
    Drawn::map(
        "Heads taken from the run on the counterparts",
        "change of the difference",
        &[("change.heads", "")],
    ),
    Drawn::lines(
        "MLPs taken from the run on the counterparts",
        "change of the difference",
        &[("change.mlp", "MLP")],
    ),
];

impl Study for GreaterThan {
    fn prompts(&self) -> &'static [&'static str] {
        &[
            include_str!("../../../assets/studies/greater-than.jsonl"),
            include_str!("../../../assets/studies/greater-than-digits.jsonl"),
        ]
    }

    fn about_other_set(&self) -> &'static str {
        "This tokenizer reads the prompts of the paper otherwise; the study's second set, made for such tokenizers, is asked: the first digits of the years are compared. What begins with the digit of the first year is neither later nor earlier, so that this digit is left out, in the plot too."
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
        for (i, prompt) in prompts.iter().enumerate() {
            if prompt.answers.is_empty() || prompt.wrongs.is_empty() {
                return Err(lacks(i, if prompt.answers.is_empty() { "answer" } else { "wrong" }));
            }
        }
        let runs = groups(prompts).into_iter().map(|group| Runs::new(&bench, group));
        let runs = runs.collect::<Result<Vec<_>>>()?;
        let mut answer = Answer::default();
        whole(&runs, &mut answer)?;
        first(&bench, &prompts[0], &mut answer)?;
        if self.patch {
            parts(&bench, &runs, &mut answer, tell)?;
        }
        Ok(answer)
    }
}

/// Prompts of one length: what follows them, and what follows their counterparts.
struct Runs<'e> {
    group: Vec<(usize, &'e Encoded)>,
    clean: Vec<f64>,
    corrupted: Vec<f64>,
    /// What the run on the counterparts has in heads and MLPs.
    other: Captured,
}

impl<'e> Runs<'e> {
    fn new(bench: &Bench<'_>, group: Vec<(usize, &'e Encoded)>) -> Result<Self> {
        let clean = differences(&group, &bench.pass(&tokens(&group), &[], &[])?.logits);
        let sites: Vec<Site> =
            bench.everywhere(Point::Z).chain(bench.everywhere(Point::MlpOut)).collect();
        let other = bench.pass(&counterparts(&group)?, &[], &sites)?;
        let corrupted = differences(&group, &other.logits);
        Ok(Self { group, clean, corrupted, other: other.captured })
    }
}

/// What may follow less what may not, prompt by prompt.
fn differences(group: &[(usize, &Encoded)], logits: &[Vec<f32>]) -> Vec<f64> {
    let of = |((_, prompt), logits): (&(usize, &Encoded), &Vec<f32>)| {
        probability(logits, &prompt.answers) - probability(logits, &prompt.wrongs)
    };
    group.iter().zip(logits).map(of).collect()
}

fn whole(runs: &[Runs<'_>], answer: &mut Answer) -> Result<()> {
    let mut all: Vec<(usize, f64)> = Vec::new();
    for run in runs {
        all.extend(run.group.iter().zip(&run.clean).map(|((i, _), x)| (*i, *x)));
    }
    all.sort_by_key(|(i, _)| *i);
    let clean: Vec<f64> = all.into_iter().map(|(_, x)| x).collect();
    let corrupted: Vec<f64> = runs.iter().flat_map(|run| &run.corrupted).copied().collect();
    let above: Vec<f64> = clean.iter().map(|x| f64::from(u8::from(*x > 0.0))).collect();
    answer.means.push(number("prompts", clean.len() as f64));
    answer.means.push(mean("difference", &clean));
    answer.means.push(mean("difference_corrupted", &corrupted));
    answer.means.push(mean("above_zero", &above));
    answer.arrays.push(line("difference", "prompt", &clean)?);
    Ok(())
}

/// Probabilities of all tokens that are named, what may not follow first.
fn first(bench: &Bench<'_>, prompt: &Encoded, answer: &mut Answer) -> Result<()> {
    let named: Vec<u32> = prompt.wrongs.iter().chain(&prompt.answers).copied().collect();
    let group = [(0, prompt)];
    let both = [
        ("probability.prompt", tokens(&group)),
        ("probability.counterpart", counterparts(&group)?),
    ];
    for (name, rows) in both {
        let all = probabilities(&bench.pass(&rows, &[], &[])?.logits[0]);
        let each = named.iter().map(|id| all.get(*id as usize).copied().unwrap_or(f64::NAN));
        answer.arrays.push(line(name, "token", &each.collect::<Vec<_>>())?);
    }
    let ids: Vec<f64> = named.iter().map(|id| f64::from(*id)).collect();
    answer.arrays.push(line("probability.tokens", "token", &ids)?);
    answer.shows(prompt, true)
}

/// A head, or an MLP.
type Part = (usize, Option<usize>);

fn parts(
    bench: &Bench<'_>,
    runs: &[Runs<'_>],
    answer: &mut Answer,
    tell: Progress<'_>,
) -> Result<()> {
    let mlps = bench.everywhere(Point::MlpOut).filter(|site| runs[0].other.contains_key(site));
    let cells: Vec<Part> = mlps
        .map(|site| (site.layer, None))
        .chain(bench.each_head().into_iter().map(|(layer, head)| (layer, Some(head))))
        .collect();
    let all = runs.iter().flat_map(|run| &run.clean);
    let (clean, count) = (all.clone().sum::<f64>(), all.count() as f64);
    let most = bench.heads().iter().copied().max().unwrap_or(0);
    let mut heads = vec![f32::NAN; bench.layers() * most];
    let mut of_mlps = vec![f64::NAN; bench.layers()];
    let mut work = Work::new(bench.pool, cells.len(), tell);
    work.each(
        &cells,
        |part| Ok((*part, (taken(bench, runs, *part)? - clean) / count)),
        |((layer, head), change)| match head {
            Some(head) => heads[layer * most + head] = narrow(change),
            None => of_mlps[layer] = change,
        },
    )?;
    answer.arrays.push(Array::new(
        "change.heads",
        &["layer", "head"],
        &[bench.layers(), most],
        heads,
    )?);
    answer.arrays.push(line("change.mlp", "layer", &of_mlps)?);
    Ok(())
}

/// The sum of the differences where a part comes from the other run.
fn taken(bench: &Bench<'_>, runs: &[Runs<'_>], (layer, head): Part) -> Result<f64> {
    let point = if head.is_some() { Point::Z } else { Point::MlpOut };
    let site = Site { layer, point };
    let mut sum = 0.0;
    for run in runs {
        let Some(other) = run.other.get(&site) else { continue };
        let with = With::Replace(other.clone());
        let edit = Edit { site, head, positions: At::All, keys: At::All, with };
        let seen = bench.pass(&tokens(&run.group), &[edit], &[])?;
        sum += differences(&run.group, &seen.logits).iter().sum::<f64>();
    }
    Ok(sum)
}
