//! Copy suppression: heads that say no to what they attend to.

use candle_core::Tensor;

use super::bench::{Bench, Seen, Work, answers, likeliest, line, logit, mean, number, probability};
use super::direct::{Direct, along};
use super::{Ground, Study, head_of, is_gpt2_small};
use crate::base::convert::id;
use crate::base::error::{Error, Result};
use crate::base::intervention::{Point, Site};
use crate::base::prompt::Encoded;
use crate::base::study::{Drawn, First, Headline, Known};
use crate::measurement::Answer;
use crate::measurement::causal::Progress;
use crate::measurement::read::{Tally, argmax, values};
use crate::nn::edit::{Edit, With};

crate::settings! {
    /// For every head: at each position, what it writes straight into the logit, less the mean of all logits, of the token that it attends to most; mean
    /// over positions, `suppression` `[layer, head]`: below 0 the head says no to what it looks at. The first position is no key here: heads rest
    /// on it. Where a prompt has an answer and a wrong one: both with the head in focus and with that head writing nothing.
    pub struct CopySuppression = "Copy suppression: which heads lower the logit of the very token that they attend to, and what does the network say of \"All's fair in love and\" without the strongest?" {
        /// Prompts, from the first.
        prompts: usize = 100, in 1..=10000;
        /// The head that is taken out, as 10.7. Empty: that of the paper, in a network of the shape of GPT-2 small; else the one that suppresses most.
        head: String = String::new();
    }
}

const KNOWN: &[Known] = &[
    Known {
        network: "GPT-2 small",
        found: "\"All's fair in love and war\": without head 10.7 the network says \"love\" a second time",
        source: "McDougall et al. 2023, arXiv 2310.04625",
    },
    Known {
        network: "GPT-2 small",
        found: "copy suppression explains 76.9 % of what head 10.7 does, and is behind 39 % of self-repair in indirect object identification",
        source: "McDougall et al. 2023, arXiv 2310.04625, its abstract",
    },
];

const DRAWN: &[Drawn] = &[Drawn::map(
    "What heads write into the token that they attend to most",
    "logit, less the mean of all",
    &[("suppression", "")],
)
.naming(First::Lowest)];

/// The head that the paper is about.
const OF_THE_PAPER: (usize, usize) = (10, 7);

impl Study for CopySuppression {
    fn prompts(&self) -> &'static [&'static str] {
        &[include_str!("../../../assets/studies/copy-suppression.jsonl")]
    }

    fn known(&self) -> &'static [Known] {
        KNOWN
    }

    fn headlines(&self) -> &'static [Headline] {
        &[]
    }

    fn drawn(&self) -> &'static [Drawn] {
        DRAWN
    }

    fn run(&self, ground: &Ground<'_>, tell: Progress<'_>) -> Result<Answer> {
        let bench = Bench::new(ground);
        let direct = bench.direct()?;
        let prompts = ground.first(self.prompts)?;
        let mut sums: Vec<Vec<Tally>> =
            bench.heads().iter().map(|n| vec![Tally::default(); *n]).collect();
        let mut work = Work::new(ground.pool, prompts.len(), tell);
        work.each(
            prompts,
            |prompt| looked(&bench, &direct, prompt),
            |found| {
                let all = sums.iter_mut().flatten().zip(found.into_iter().flatten());
                all.for_each(|(sum, more)| sum.merge(more));
            },
        )?;
        let mut answer = Answer::default();
        answer.means.push(number("prompts", prompts.len() as f64));
        let of = |layer: usize, head: usize| sums[layer][head].mean();
        answer.arrays.push(bench.by_head("suppression", of)?);
        let (head, why) = self.head(&bench, &of)?;
        answer.notes.push(format!("The head in focus is {}.{}: {why}.", head.0, head.1));
        answer.arrays.push(line("head", "place", &[head.0 as f64, head.1 as f64])?);
        with_and_without(&bench, prompts, head, &mut answer)?;
        Ok(answer)
    }
}

impl CopySuppression {
    fn head(
        &self,
        bench: &Bench<'_>,
        of: &dyn Fn(usize, usize) -> f64,
    ) -> Result<((usize, usize), &'static str)> {
        let layout = bench.subject.model.layout();
        if !self.head.trim().is_empty() {
            return Ok((head_of(self.head.trim(), layout)?, "as it was given"));
        }
        if is_gpt2_small(layout) {
            return Ok((OF_THE_PAPER, "that of the paper"));
        }
        let heads = bench.each_head().into_iter().filter(|(l, h)| of(*l, *h).is_finite());
        let most = heads.min_by(|a, b| of(a.0, a.1).total_cmp(&of(b.0, b.1)));
        let most = most.ok_or_else(|| {
            Error::input("no prompt has two tokens behind its first, so no head attends to one; give longer prompts")
        })?;
        Ok((most, "the one that suppresses most"))
    }
}

/// What each head does to the token that it attends to most, at each position of a prompt.
fn looked(bench: &Bench<'_>, direct: &Direct<'_>, prompt: &Encoded) -> Result<Vec<Vec<Tally>>> {
    if prompt.tokens.len() < 2 {
        return Ok(bench.heads().iter().map(|n| vec![Tally::default(); *n]).collect());
    }
    let points = [Point::Pattern, Point::Z].into_iter();
    let mut sites: Vec<Site> = points.flat_map(|point| bench.everywhere(point)).collect();
    sites.push(bench.last(Point::ResidPost));
    let seen = bench.pass(&[&prompt.tokens], &[], &sites)?;
    let scales = direct.scales(&seen.get(bench.last(Point::ResidPost))?.get(0)?)?;
    let rows = direct.rows(&prompt.tokens)?.broadcast_sub(&direct.mean()?)?;
    let layers = bench.heads().iter().enumerate();
    layers.map(|(layer, _)| in_layer(direct, &seen, layer, (&rows, &scales))).collect()
}

/// `rows` reads the token of each position, `[pos, width]`.
fn in_layer(
    direct: &Direct<'_>,
    seen: &Seen,
    layer: usize,
    (rows, scales): (&Tensor, &[f64]),
) -> Result<Vec<Tally>> {
    let at = |point| seen.captured.get(&Site { layer, point });
    let (Some(pattern), Some(gathered)) = (at(Point::Pattern), at(Point::Z)) else {
        return Ok(Vec::new());
    };
    let written = direct.written(layer, &gathered.get(0)?)?;
    let length = rows.dim(0)?;
    let attended = values(pattern, |all| {
        let rows = all.chunks_exact(length).enumerate();
        rows.map(|(i, row)| id(1 + argmax(row[1..=(i % length).max(1)].iter().copied())))
            .collect::<Vec<u32>>()
    })?;
    let mut tallies = Vec::new();
    for (head, attended) in attended.chunks_exact(length).enumerate() {
        let at = Tensor::from_slice(attended, length, rows.device())?;
        let parts = along(&written.get(head)?, &rows.index_select(&at, 0)?, scales)?;
        let mut tally = Tally::default();
        parts.into_iter().skip(1).for_each(|part| tally.add(part));
        tallies.push(tally);
    }
    Ok(tallies)
}

/// What follows prompts that say what should and what should not, with the head and without it.
fn with_and_without(
    bench: &Bench<'_>,
    prompts: &[Encoded],
    (layer, head): (usize, usize),
    answer: &mut Answer,
) -> Result<()> {
    let site = Site { layer, point: Point::Z };
    let cut = Edit { head: Some(head), ..Edit::all(site, With::Zero) };
    let asked = prompts.iter().enumerate().filter(|(_, prompt)| !prompt.answers.is_empty());
    for (i, prompt) in asked {
        let pair = answers(i, prompt)?;
        let mut said = Vec::new();
        for (end, edits) in [("", &[][..]), ("_without", std::slice::from_ref(&cut))] {
            let Seen { logits, .. } = bench.pass(&[&prompt.tokens], edits, &[])?;
            let [right, wrong] = pair.map(|token| logit(&logits[0], token));
            let [p_right, p_wrong] = pair.map(|token| probability(&logits[0], &[token]));
            for (name, value) in [
                ("logit_difference", right - wrong),
                ("probability_right", p_right),
                ("probability_wrong", p_wrong),
            ] {
                answer.means.push(mean(&format!("{name}{end}.{i}"), &[value]));
            }
            let token = likeliest(&logits[0]);
            let glyph = bench.subject.source.vocab().glyph(token);
            said.push(format!("\"{glyph}\" ({:.3})", probability(&logits[0], &[token])));
        }
        answer.notes.push(format!(
            "After prompt {} the likeliest token is {} with the head and {} without it.",
            i + 1,
            said[0],
            said[1]
        ));
    }
    Ok(())
}
