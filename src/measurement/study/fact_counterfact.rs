//! A fact against what the prompt says instead: which heads let the fact win (Ortu et al. 2024).

use candle_core::Tensor;

use super::bench::{
    Bench, Seen, answers, groups, lacks, likeliest, line, logit, mean, number, probability, tokens,
};
use super::direct::{Direct, along};
use super::{Ground, Study, heads_of, is_gpt2_small};
use crate::base::error::{Error, Result};
use crate::base::intervention::{Point, Site};
use crate::base::prompt::Encoded;
use crate::base::study::{Drawn, Headline, Known};
use crate::measurement::Answer;
use crate::measurement::causal::Progress;
use crate::nn::edit::{At, Edit, With};

crate::choices! {
    /// What is scaled.
    pub enum Scaled {
        /// Attention scores, before the softmax.
        Scores = "scores",
        /// Attention weights, after it: rows no longer sum to one.
        Pattern = "pattern",
    }
}

crate::settings! {
    /// The fact is what the network knows (`answer`), the counterfact what the prompt says in its place (`wrong`), at the position of the role
    /// `attribute`. Arrays: `lens.last.fact`, `lens.last.counterfact`, `lens.attribute.fact`, `lens.attribute.counterfact` `[layer]`, the logit
    /// of either where the stream behind a layer is read as if it were the last, at the last position and at the attribute; `direct.heads`
    /// `[layer, head]`, what heads write straight into the difference of fact and counterfact, and `direct.attribute`, what of it they fetch at the attribute; `heads` `[head, 2]`, the layers and numbers of the
    /// heads whose scores are scaled. Scores are multiplied before the softmax, from the last position to the attribute: a negative one becomes
    /// smaller by a factor above 1. With `scaled = pattern` the weights are multiplied, and rows are not raised to sum to one again.
    pub struct FactCounterfact = "A fact against a counterfact: in \"Redefine: iPhone was developed by Google. iPhone was developed by\", does the network say what it knows or what it was told, and what if some heads look harder at what it was told?" {
        /// Prompts, from the first.
        prompts: usize = 100, in 1..=10000;
        /// Heads whose attention is scaled, as 10.7,11.10, or all. Empty: those that the paper names, in a network of the shape of GPT-2 small; else the two that, by what they fetch at the attribute, raise the fact most above the counterfact.
        heads: String = String::new();
        /// What of these heads is multiplied, from the last position to the attribute: scores before the softmax, or the pattern behind it, whose rows are not raised to sum to one again.
        scaled: Scaled = Scaled::Scores;
        /// What it is multiplied with.
        alpha: f64 = 5.0, in -1000.0..=1000.0;
    }
}

const KNOWN: &[Known] = &[
    Known {
        network: "GPT-2 small",
        found: "the scores of the heads 10.7 and 11.10, from the last position to the attribute, times 5: that is the experiment",
        source: "Ortu et al. 2024, arXiv 2402.11655; its code comp-mech (notebook and ablator.py)",
    },
    Known {
        network: "GPT-2 small",
        found: "the counterfact wins in 96 % of 10 000 prompts; with the scores times 5 the fact wins in 50 % instead of 4 %",
        source: "Ortu et al. 2024, arXiv 2402.11655, as a summary of it says",
    },
];

const HEADLINES: &[Headline] = &[
    Headline::share("fact_wins", "the fact wins in {}"),
    Headline::share("fact_wins_scaled", "with the scores multiplied in {}"),
    Headline::number("probability_fact", "probability of the fact {}"),
    Headline::number("probability_fact_scaled", "then {}"),
    Headline::number("probability_counterfact", "of the counterfact {}"),
    Headline::number("probability_counterfact_scaled", "then {}"),
];

const DRAWN: &[Drawn] = &[
    Drawn::lines(
        "Read at the last position",
        "logit",
        &[("lens.last.fact", "fact"), ("lens.last.counterfact", "counterfact")],
    ),
    Drawn::lines(
        "Read at the attribute",
        "logit",
        &[("lens.attribute.fact", "fact"), ("lens.attribute.counterfact", "counterfact")],
    ),
    Drawn::map(
        "What heads write straight into fact less counterfact",
        "logit difference",
        &[("direct.heads", "")],
    ),
    Drawn::map(
        "The same by what they fetch at the attribute",
        "logit difference",
        &[("direct.attribute", "")],
    ),
];

/// The heads that the paper names.
const OF_THE_PAPER: [(usize, usize); 2] = [(10, 7), (11, 10)];

impl Study for FactCounterfact {
    fn prompts(&self) -> &'static [&'static str] {
        &[include_str!("../../../assets/studies/fact-counterfact.jsonl")]
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
        let direct = bench.direct()?;
        let prompts = ground.first(self.prompts)?;
        let groups = groups(prompts);
        let (mut before, mut after) = (Outcome::default(), Outcome::default());
        let mut read = Read::new(&bench);
        for (i, group) in groups.iter().enumerate() {
            let seen = bench.pass(&tokens(group), &[], &read.sites)?;
            before.take(group, &seen)?;
            read.take(&bench, &direct, group, &seen)?;
            tell(i + 1, 2 * groups.len());
        }
        let mut answer = read.answer(&bench, prompts.len())?;
        let heads = self.heads(&bench, &answer)?;
        for (i, group) in groups.iter().enumerate() {
            let seen = bench.pass(&tokens(group), &self.edits(group, &heads.0)?, &[])?;
            after.take(group, &seen)?;
            tell(groups.len() + i + 1, 2 * groups.len());
        }
        answer.means.insert(0, number("prompts", prompts.len() as f64));
        before.tell("", &mut answer);
        after.tell("_scaled", &mut answer);
        heads.tell(self, &mut answer)?;
        answer.shows(groups[0][0].1, false)?;
        Ok(answer)
    }
}

/// What becomes of fact and counterfact, prompt by prompt.
#[derive(Default)]
struct Outcome {
    logits: [Vec<f64>; 2],
    probabilities: [Vec<f64>; 2],
    fact_wins: Vec<f64>,
    fact_likeliest: Vec<f64>,
    counterfact_likeliest: Vec<f64>,
}

impl Outcome {
    fn take(&mut self, group: &[(usize, &Encoded)], seen: &Seen) -> Result<()> {
        for ((i, prompt), logits) in group.iter().zip(&seen.logits) {
            let both = answers(*i, prompt)?;
            let [fact, counterfact] = both.map(|token| logit(logits, token));
            self.logits[0].push(fact);
            self.logits[1].push(counterfact);
            for (all, token) in self.probabilities.iter_mut().zip(both) {
                all.push(probability(logits, &[token]));
            }
            self.fact_wins.push(f64::from(u8::from(fact > counterfact)));
            let is_likeliest = both.map(|token| f64::from(u8::from(likeliest(logits) == token)));
            self.fact_likeliest.push(is_likeliest[0]);
            self.counterfact_likeliest.push(is_likeliest[1]);
        }
        Ok(())
    }

    fn tell(&self, end: &str, answer: &mut Answer) {
        for (name, values) in [
            ("fact_wins", &self.fact_wins),
            ("fact_likeliest", &self.fact_likeliest),
            ("counterfact_likeliest", &self.counterfact_likeliest),
            ("logit_fact", &self.logits[0]),
            ("logit_counterfact", &self.logits[1]),
            ("probability_fact", &self.probabilities[0]),
            ("probability_counterfact", &self.probabilities[1]),
        ] {
            answer.means.push(mean(&format!("{name}{end}"), values));
        }
    }
}

/// What the stream says of both on its way, and who writes their difference; sums over prompts.
struct Read {
    sites: Vec<Site>,
    /// At the last position and at the attribute: fact and counterfact, by layer.
    lens: [[Vec<f64>; 2]; 2],
    heads: Vec<Vec<f64>>,
    /// By what they fetch at the attribute.
    fetched: Vec<Vec<f64>>,
}

const LENSES: [[&str; 2]; 2] = [
    ["lens.last.fact", "lens.last.counterfact"],
    ["lens.attribute.fact", "lens.attribute.counterfact"],
];

impl Read {
    fn new(bench: &Bench<'_>) -> Self {
        let points = [Point::ResidPost, Point::Z, Point::V, Point::Pattern];
        let none: Vec<Vec<f64>> = bench.heads().iter().map(|n| vec![0.0; *n]).collect();
        Self {
            sites: points.iter().flat_map(|point| bench.everywhere(*point)).collect(),
            lens: std::array::from_fn(|_| std::array::from_fn(|_| vec![0.0; bench.layers()])),
            heads: none.clone(),
            fetched: none,
        }
    }

    fn take(
        &mut self,
        bench: &Bench<'_>,
        direct: &Direct<'_>,
        group: &[(usize, &Encoded)],
        seen: &Seen,
    ) -> Result<()> {
        let pairs = group.iter().map(|(i, prompt)| answers(*i, prompt));
        let pairs = pairs.collect::<Result<Vec<[u32; 2]>>>()?;
        let end = group[0].1.end();
        for site in bench.everywhere(Point::ResidPost) {
            let at_end = seen.at(site, end)?;
            let attributes = attributes(group, seen.get(site)?)?;
            for (lens, stream) in self.lens.iter_mut().zip([&at_end, &attributes]) {
                let logits: Vec<Vec<f32>> = direct.read_logits(stream, &pairs)?;
                for (side, all) in lens.iter_mut().enumerate() {
                    all[site.layer] += logits.iter().map(|both| f64::from(both[side])).sum::<f64>();
                }
            }
        }
        let scales = direct.scales(&seen.at(bench.last(Point::ResidPost), end)?)?;
        let [fact, counterfact] = [0, 1]
            .map(|side| direct.rows(&pairs.iter().map(|pair| pair[side]).collect::<Vec<_>>()));
        let rows = fact?.sub(&counterfact?)?;
        for site in bench.everywhere(Point::Z).filter(|site| bench.heads()[site.layer] > 0) {
            let layer = site.layer;
            let written = direct.written(layer, &seen.at(site, end)?)?;
            let parts = along(&written, &rows, &scales)?;
            let by_head = parts.chunks_exact(group.len()).zip(&mut self.heads[layer]);
            by_head.for_each(|(parts, sum)| *sum += parts.iter().sum::<f64>());
            let looks = looks(group, seen.get(Site { layer, point: Point::Pattern })?)?;
            let there = values_there(group, seen.get(Site { layer, point: Point::V })?)?;
            let there = direct.shared(&there, bench.heads()[layer])?;
            let parts = along(&direct.written(layer, &there)?, &rows, &scales)?;
            for (i, (part, look)) in parts.iter().zip(looks).enumerate() {
                self.fetched[layer][i / group.len()] += part * look;
            }
        }
        Ok(())
    }

    fn answer(&self, bench: &Bench<'_>, prompts: usize) -> Result<Answer> {
        let (mut answer, count) = (Answer::default(), prompts as f64);
        let sums = self.lens.iter().flatten().zip(LENSES.iter().flatten());
        for (sums, name) in sums {
            let means: Vec<f64> = sums.iter().map(|sum| sum / count).collect();
            answer.arrays.push(line(name, "layer", &means)?);
        }
        let of = |layer: usize, head: usize| self.heads[layer][head] / count;
        answer.arrays.push(bench.by_head("direct.heads", of)?);
        let of = |layer: usize, head: usize| self.fetched[layer][head] / count;
        answer.arrays.push(bench.by_head("direct.attribute", of)?);
        Ok(answer)
    }
}

/// What a stream `[prompt, pos, width]` holds at the attribute of each prompt, `[prompt, width]`.
fn attributes(group: &[(usize, &Encoded)], stream: &Tensor) -> Result<Tensor> {
    let row = |(at, (number, prompt)): (usize, &(usize, &Encoded))| {
        Ok(stream.get(at)?.narrow(0, attribute(*number, prompt)?, 1)?)
    };
    let rows = group.iter().enumerate().map(row).collect::<Result<Vec<Tensor>>>()?;
    Ok(Tensor::cat(&rows, 0)?)
}

/// The attention of each head from the last position to the attribute, `[head, prompt]`, of a pattern `[prompt, head, query, key]`.
fn looks(group: &[(usize, &Encoded)], pattern: &Tensor) -> Result<Vec<f64>> {
    let heads = pattern.dim(1)?;
    let mut looks = vec![0.0; heads * group.len()];
    for (at, (number, prompt)) in group.iter().enumerate() {
        let row = pattern.get(at)?.narrow(1, prompt.end(), 1)?;
        let row: Vec<f32> =
            row.narrow(2, attribute(*number, prompt)?, 1)?.flatten_all()?.to_vec1()?;
        for (head, look) in row.into_iter().enumerate() {
            looks[head * group.len() + at] = f64::from(look);
        }
    }
    Ok(looks)
}

/// The values at the attribute of each prompt, `[head, prompt, dim]`.
fn values_there(group: &[(usize, &Encoded)], values: &Tensor) -> Result<Tensor> {
    let one = |(at, (number, prompt)): (usize, &(usize, &Encoded))| {
        Ok(values.get(at)?.narrow(1, attribute(*number, prompt)?, 1)?)
    };
    let all = group.iter().enumerate().map(one).collect::<Result<Vec<Tensor>>>()?;
    Ok(Tensor::cat(&all, 1)?)
}

/// Where the prompt says the counterfact.
fn attribute(number: usize, prompt: &Encoded) -> Result<usize> {
    let role = prompt.role("attribute").first().copied();
    role.ok_or_else(|| lacks(number, "attribute\" among its \"roles"))
}

/// Heads whose scores are scaled, and why they.
struct ScaledHeads(Vec<(usize, usize)>, &'static str);

impl FactCounterfact {
    fn heads(&self, bench: &Bench<'_>, found: &Answer) -> Result<ScaledHeads> {
        let layout = bench.subject.model.layout();
        if self.heads.trim() == "all" {
            return Ok(ScaledHeads(bench.each_head(), "all that there are"));
        }
        if !self.heads.trim().is_empty() {
            return Ok(ScaledHeads(heads_of(&self.heads, layout)?, "as they were given"));
        }
        if is_gpt2_small(layout) {
            return Ok(ScaledHeads(OF_THE_PAPER.to_vec(), "those that the paper names"));
        }
        let direct = found.arrays.iter().find(|array| array.name == "direct.attribute");
        let direct = direct.ok_or_else(|| Error::internal("heads were not looked at"))?;
        let mut heads = bench.each_head();
        let of = |(layer, head): &(usize, usize)| direct.outer(*layer)[*head];
        heads.sort_by(|a, b| of(b).total_cmp(&of(a)));
        heads.truncate(2);
        Ok(ScaledHeads(
            heads,
            "the two that, by what they fetch at the attribute, raise the fact most above the counterfact",
        ))
    }

    fn edits(&self, group: &[(usize, &Encoded)], heads: &[(usize, usize)]) -> Result<Vec<Edit>> {
        let at = group.iter().map(|(i, prompt)| attribute(*i, prompt).map(|at| vec![at]));
        let at = at.collect::<Result<Vec<_>>>()?;
        let point = match self.scaled {
            Scaled::Scores => Point::Scores,
            Scaled::Pattern => Point::Pattern,
        };
        let edit = |&(layer, head): &(usize, usize)| Edit {
            site: Site { layer, point },
            head: Some(head),
            positions: At::Same(vec![group[0].1.end()]),
            keys: At::PerRow(at.clone()),
            with: With::Scale(self.alpha),
        };
        Ok(heads.iter().map(edit).collect())
    }
}

impl ScaledHeads {
    fn tell(&self, study: &FactCounterfact, answer: &mut Answer) -> Result<()> {
        let names: Vec<String> = self.0.iter().map(|(l, h)| format!("{l}.{h}")).collect();
        answer.notes.push(format!(
            "{} by {} in the heads {}: {}.",
            match study.scaled {
                Scaled::Scores => "Scores are multiplied",
                Scaled::Pattern => "Attention weights are multiplied, and rows not raised again,",
            },
            study.alpha,
            names.join(" and "),
            self.1
        ));
        let data: Vec<f32> = self.0.iter().flat_map(|(l, h)| [*l as f32, *h as f32]).collect();
        let shape = [self.0.len(), 2];
        answer.arrays.push(crate::base::array::Array::new(
            "heads",
            &["head", "place"],
            &shape,
            data,
        )?);
        Ok(())
    }
}
