//! Causal tracing: where a fact is restored in a run whose subject is noise (Meng et al. 2022).

use candle_core::Tensor;

use super::bench::{Bench, Work, lacks, likeliest, mean, number, probability};
use super::noise::Noise;
use super::{Ground, Study};
use crate::base::array::Array;
use crate::base::convert::{id, narrow};
use crate::base::error::{Error, Result};
use crate::base::intervention::{Point, Site};
use crate::base::prompt::Encoded;
use crate::base::study::{self, Drawn, Headline, Known};
use crate::measurement::causal::Progress;
use crate::measurement::read::values;
use crate::measurement::{Answer, Subject};
use crate::nn::edit::{At, Edit, With};
use crate::nn::tap::{Captured, Streams};

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

/// What is restored: its name, its place, and whether it is a window of layers.
const KINDS: [(&str, Point, bool); 3] = [
    ("state", Point::ResidPost, false),
    ("mlp", Point::MlpOut, true),
    ("attention", Point::AttnOut, true),
];

/// Places of a prompt.
const PLACES: usize = study::PLACES.len();

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
        let spread = spread(&bench, ground.first(usize::MAX)?)?;
        let asked = self.asked(&bench, ground.first(usize::MAX)?, &mut answer)?;
        let traces = asked
            .into_iter()
            .map(|(prompt, token)| Trace::new(&bench, prompt, token, self, self.noise * spread));
        let traces = traces.collect::<Result<Vec<_>>>()?;
        let all = |value: fn(&Trace<'_>) -> f64| traces.iter().map(value).collect::<Vec<f64>>();
        answer.means.push(number("prompts", traces.len() as f64));
        answer.means.push(number("noise_std", self.noise * spread));
        answer.means.push(mean("probability", &all(|trace| trace.clean)));
        answer.means.push(mean("probability_noised", &all(|trace| trace.noised)));
        answer.means.push(mean("total_effect", &all(|trace| trace.clean - trace.noised)));
        self.restore(&bench, &traces, &mut answer, tell)?;
        answer.shows(traces[0].prompt, false)?;
        let subject: Vec<f64> =
            traces[0].prompt.role("subject").iter().map(|at| *at as f64).collect();
        answer.arrays.push(super::bench::line("subject", "token", &subject)?);
        Ok(answer)
    }
}

/// A prompt with noise on its subject.
struct Trace<'e> {
    prompt: &'e Encoded,
    answer: u32,
    /// Probabilities of the answer.
    clean: f64,
    noised: f64,
    /// The noise is added to the embeddings.
    noise: Edit,
    /// What the run without noise has, each of one prompt.
    states: Captured,
    /// What the layers read under the noise, of all samples.
    streams: Streams,
}

/// A cell of a map: of which trace, what, at which layer and position.
#[derive(Clone, Copy)]
struct Cell {
    trace: usize,
    kind: usize,
    layer: usize,
    position: usize,
}

impl CausalTracing {
    /// Prompts that are asked, each with its answer: what its line says, else what the network says.
    fn asked<'e>(
        &self,
        bench: &Bench<'_>,
        prompts: &'e [Encoded],
        answer: &mut Answer,
    ) -> Result<Vec<(&'e Encoded, u32)>> {
        let (mut asked, mut left) = (Vec::new(), 0);
        for (i, prompt) in prompts.iter().enumerate() {
            if asked.len() == self.prompts {
                break;
            }
            if prompt.role("subject").is_empty() {
                return Err(lacks(i, "subject\" among its \"roles"));
            }
            let said = likeliest(&bench.pass(&[&prompt.tokens], &[], &[])?.logits[0]);
            let token = prompt.answer().unwrap_or(said);
            if token == said || self.all_prompts {
                asked.push((prompt, token));
            } else {
                left += 1;
            }
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
        let cells = cells(bench, traces);
        let mut maps = Maps::new(bench.layers(), traces);
        let mut work = Work::new(bench.pool, cells.len(), tell);
        work.each(
            &cells,
            |cell| Ok((*cell, traces[cell.trace].restored(bench, *cell, self.window)?)),
            |(cell, probability)| maps.take(traces, cell, probability),
        )?;
        maps.answer(bench.layers(), traces, answer)
    }
}

/// All cells at which something may change: what stands before the subject is the same with noise and without.
fn cells(bench: &Bench<'_>, traces: &[Trace<'_>]) -> Vec<Cell> {
    let mut cells = Vec::new();
    for (at, trace) in traces.iter().enumerate() {
        let first = trace.prompt.role("subject").iter().min().copied().unwrap_or(0);
        for (kind, (_, point, _)) in KINDS.iter().enumerate() {
            let there = bench.everywhere(*point).any(|site| trace.states.contains_key(&site));
            let layers = if there { bench.layers() } else { 0 };
            cells.extend((0..layers).flat_map(|layer| {
                (first..trace.prompt.tokens.len()).map(move |position| Cell {
                    trace: at,
                    kind,
                    layer,
                    position,
                })
            }));
        }
    }
    cells
}

impl<'e> Trace<'e> {
    fn new(
        bench: &Bench<'_>,
        prompt: &'e Encoded,
        answer: u32,
        study: &CausalTracing,
        size: f64,
    ) -> Result<Self> {
        let sites = KINDS.iter().flat_map(|(_, point, _)| bench.everywhere(*point));
        let seen = bench.pass(&[&prompt.tokens], &[], &sites.collect::<Vec<_>>())?;
        let noise = noise(bench, prompt, study, size)?;
        let mut trace = Self {
            prompt,
            answer,
            clean: probability(&seen.logits[0], &[answer]),
            noised: 0.0,
            noise,
            states: seen.captured,
            streams: Streams::default(),
        };
        let rows = vec![prompt.tokens.as_slice(); study.samples];
        let (seen, streams) = bench.streams(&rows, std::slice::from_ref(&trace.noise))?;
        (trace.noised, trace.streams) = (trace.mean(&seen.logits), streams);
        Ok(trace)
    }

    fn mean(&self, logits: &[Vec<f32>]) -> f64 {
        let all = logits.iter().map(|logits| probability(logits, &[self.answer]));
        all.sum::<f64>() / logits.len() as f64
    }

    /// The mean probability of the answer over all samples of the noise.
    fn run(&self, bench: &Bench<'_>, samples: usize, restored: Vec<Edit>) -> Result<f64> {
        let rows = vec![self.prompt.tokens.as_slice(); samples];
        let first = restored.iter().map(|edit| edit.site.layer).min().unwrap_or(0);
        let from = self.streams.from(first);
        // Where the pass begins behind the noise, that is in what it begins with.
        let noise = if from.is_none() { Some(self.noise.clone()) } else { None };
        let edits: Vec<Edit> = noise.into_iter().chain(restored).collect();
        Ok(self.mean(&bench.pass_from(&rows, &edits, from)?.logits))
    }

    fn samples(&self) -> usize {
        match &self.noise.with {
            With::Add(noise) => noise.dims()[0],
            With::Zero
            | With::Cut
            | With::Scale(_)
            | With::Times(_)
            | With::Replace(_)
            | With::Hold => 1,
        }
    }

    fn restored(&self, bench: &Bench<'_>, cell: Cell, window: usize) -> Result<f64> {
        let (_, point, is_window) = KINDS[cell.kind];
        let layers = match is_window {
            // As in the published code: of ten layers five before, the layer itself and four behind.
            true => {
                let end = (cell.layer + window.div_ceil(2)).min(bench.layers());
                cell.layer.saturating_sub(window / 2)..end
            }
            false => cell.layer..cell.layer + 1,
        };
        let edit = |layer: usize| {
            let site = Site { layer, point };
            let clean = self.states.get(&site)?;
            let with = With::Replace(clean.clone());
            Some(Edit {
                site,
                head: None,
                positions: At::Same(vec![cell.position]),
                keys: At::All,
                with,
            })
        };
        self.run(bench, self.samples(), layers.filter_map(edit).collect())
    }

    /// Which of the places a position is.
    fn place(&self, position: usize) -> Option<usize> {
        let subject = self.prompt.role("subject");
        let (first, last) = (*subject.iter().min()?, *subject.iter().max()?);
        match position {
            p if p == self.prompt.end() => Some(5),
            p if p < first => None,
            p if p == last => Some(2),
            p if p == first => Some(0),
            p if p < last => Some(1),
            p if p == last + 1 => Some(3),
            _ => Some(4),
        }
    }
}

/// What is added to the embeddings, `[sample, pos, dim]`: 0 where there is no subject.
fn noise(bench: &Bench<'_>, prompt: &Encoded, study: &CausalTracing, size: f64) -> Result<Edit> {
    let (width, length) = (bench.subject.model.layout().width, prompt.tokens.len());
    let mut subject = prompt.role("subject").to_vec();
    subject.sort_unstable();
    let mut drawn = Noise::new(id(study.seed));
    let mut numbers = vec![0.0; study.samples * length * width];
    for sample in 0..study.samples {
        for position in &subject {
            let from = (sample * length + position) * width;
            numbers[from..from + width].fill_with(|| narrow(size * drawn.gauss()));
        }
    }
    let device = bench.subject.params.device();
    let numbers = Tensor::from_vec(numbers, (study.samples, length, width), device)?;
    let site = Site { layer: 0, point: Point::Embed };
    let positions = At::Same(subject);
    Ok(Edit { site, head: None, positions, keys: At::All, with: With::Add(numbers) })
}

/// The standard deviation of the embeddings of all subjects' tokens, without what positions add.
fn spread(bench: &Bench<'_>, prompts: &[Encoded]) -> Result<f64> {
    let Subject { params, .. } = bench.subject;
    let site = Site { layer: 0, point: Point::Embed };
    let table = params.find("pos").map(|positions| params.get(positions)).transpose()?;
    let mut numbers: Vec<f64> = Vec::new();
    for prompt in prompts {
        let seen = bench.pass(&[&prompt.tokens], &[], &[site])?;
        let mut embedded = seen.get(site)?.get(0)?;
        if let Some(table) = &table {
            embedded = embedded.sub(&table.narrow(0, 0, prompt.tokens.len())?)?;
        }
        let width = embedded.dim(1)?;
        values(&embedded, |all| {
            for at in prompt.role("subject") {
                numbers.extend(all[at * width..(at + 1) * width].iter().map(|x| f64::from(*x)));
            }
        })?;
    }
    let count = numbers.len() as f64;
    let mean = numbers.iter().sum::<f64>() / count;
    let squares: f64 = numbers.iter().map(|x| (x - mean).powi(2)).sum();
    Ok((squares / (count - 1.0)).sqrt())
}

/// Maps that are being filled.
struct Maps {
    /// Of the first prompt, by kind: probabilities by layer and position.
    first: [Vec<f32>; 3],
    /// By kind: sums and counts of effects by layer and place.
    places: [Vec<(f64, f64)>; 3],
}

impl Maps {
    fn new(layers: usize, traces: &[Trace<'_>]) -> Self {
        let length = traces[0].prompt.tokens.len();
        Self {
            first: std::array::from_fn(|_| vec![f32::NAN; layers * length]),
            places: std::array::from_fn(|_| vec![(0.0, 0.0); layers * PLACES]),
        }
    }

    fn take(&mut self, traces: &[Trace<'_>], cell: Cell, probability: f64) {
        let trace = &traces[cell.trace];
        if cell.trace == 0 {
            let at = cell.layer * trace.prompt.tokens.len() + cell.position;
            self.first[cell.kind][at] = narrow(probability);
        }
        if let Some(place) = trace.place(cell.position) {
            let (sum, count) = &mut self.places[cell.kind][cell.layer * PLACES + place];
            *sum += probability - trace.noised;
            *count += 1.0;
        }
    }

    fn answer(self, layers: usize, traces: &[Trace<'_>], answer: &mut Answer) -> Result<()> {
        let length = traces[0].prompt.tokens.len();
        let before = traces[0].prompt.role("subject").iter().min().copied().unwrap_or(0);
        for ((name, ..), (mut first, places)) in
            KINDS.iter().zip(self.first.into_iter().zip(self.places))
        {
            // What stands before the subject changes nothing: there the run stays as noise left it.
            if first.iter().any(|x| x.is_finite()) {
                let still = narrow(traces[0].noised);
                first.chunks_exact_mut(length).for_each(|row| row[..before].fill(still));
            }
            let mean = |(sum, count): (f64, f64)| narrow(sum / count);
            let places: Vec<f32> = places.into_iter().map(mean).collect();
            let [trace, effect] = ["trace", "effect"].map(|what| format!("{what}.{name}"));
            answer.arrays.push(Array::new(
                trace,
                &["layer", "position"],
                &[layers, length],
                first,
            )?);
            answer.arrays.push(Array::new(effect, &["layer", "place"], &[layers, PLACES], places)?);
        }
        Ok(())
    }
}
