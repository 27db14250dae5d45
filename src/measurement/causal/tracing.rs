//! Causal tracing: prompts whose subject is corrupted, and what brings their answer back when it alone is restored (Meng et al. 2022, arXiv 2202.05262).

use candle_core::Tensor;

use crate::base::array::Array;
use crate::base::convert::{id, narrow};
use crate::base::error::{Error, Result};
use crate::base::intervention::{Point, Site};
use crate::base::prompt::Encoded;
use crate::base::study;
use crate::measurement::Subject;
use crate::measurement::read::values;
use crate::measurement::study::bench::{Bench, likeliest, probability};
use crate::measurement::study::noise::Noise;
use crate::nn::edit::{At, Edit, With};
use crate::nn::tap::{Captured, Streams};

/// The role of the positions that are corrupted.
pub const SUBJECT: &str = "subject";

/// What is restored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kind {
    /// As in the names of arrays.
    pub name: &'static str,
    point: Point,
    /// In a window of layers around one, or in that one alone.
    is_window: bool,
    /// What stays as it is in the corrupted run, at the same position in all layers behind.
    severed: Option<Point>,
}

/// The stream behind a layer.
pub const STATE: Kind =
    Kind { name: "state", point: Point::ResidPost, is_window: false, severed: None };
/// What MLPs write.
pub const MLP: Kind = Kind { name: "mlp", point: Point::MlpOut, is_window: true, severed: None };
/// What attention writes.
pub const ATTENTION: Kind =
    Kind { name: "attention", point: Point::AttnOut, is_window: true, severed: None };
/// The stream, with the MLPs behind it severed.
pub const WITHOUT_MLP: Kind =
    Kind { name: "state_without_mlp", severed: Some(Point::MlpOut), ..STATE };
/// The stream, with attention behind it severed.
pub const WITHOUT_ATTENTION: Kind =
    Kind { name: "state_without_attention", severed: Some(Point::AttnOut), ..STATE };

/// What becomes of the embeddings of a subject.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Corruption {
    /// Noise of so many standard deviations (in numbers of the embedding) is added, several times, drawn number by number as NumPy's
    /// `RandomState(seed).randn` does.
    Noise { std: f64, samples: usize, seed: usize },
    /// They are those of the counterpart.
    Resample,
    /// They are zero, but for what the position adds.
    Zero,
}

impl Corruption {
    /// Runs of each prompt.
    fn samples(self) -> usize {
        match self {
            Self::Noise { samples, .. } => samples,
            Self::Resample | Self::Zero => 1,
        }
    }

    /// The corrupted embeddings of a prompt, `[sample, pos, dim]`, of which those of the subject count; `clean` are its own.
    fn embeddings(self, bench: &Bench<'_>, prompt: &Encoded, clean: &Tensor) -> Result<Tensor> {
        match self {
            Self::Noise { std, samples, seed } => {
                let noise = noise(bench, prompt, std, (samples, seed))?;
                Ok(clean.broadcast_add(&noise)?)
            }
            Self::Resample => {
                let other = prompt.counterpart.as_ref().ok_or_else(|| {
                    Error::usage(
                        "a prompt has no counterpart to resample its subject from: corrupt with noise or zero, or give one (counterpart in a set of prompts)",
                    )
                })?;
                let seen = bench.pass(&[&other[..prompt.tokens.len()]], &[], &[EMBED])?;
                Ok(seen.get(EMBED)?.clone())
            }
            Self::Zero => {
                let rows = position_rows(bench.subject, prompt.tokens.len())?;
                rows.map_or_else(|| Ok(clean.zeros_like()?), |rows| Ok(rows.unsqueeze(0)?))
            }
        }
    }
}

const EMBED: Site = Site { layer: 0, point: Point::Embed };

/// A prompt whose subject is corrupted.
pub struct Trace<'e> {
    pub prompt: &'e Encoded,
    pub answer: u32,
    /// Probabilities of the answer.
    pub clean: f64,
    pub corrupted: f64,
    samples: usize,
    /// What the embeddings become.
    corruption: Edit,
    /// What the run on the prompt itself has, each of one prompt.
    states: Captured,
    /// What the corrupted run has that may be severed, of all samples.
    severed: Captured,
    /// What layers read in the corrupted run, of all samples.
    streams: Streams,
}

/// A cell of a map: of which trace, which of the kinds, at which layer and position.
#[derive(Clone, Copy)]
pub struct Cell {
    trace: usize,
    kind: usize,
    layer: usize,
    position: usize,
}

/// What is restored in all traces.
#[derive(Clone, Copy)]
pub struct Restored<'k> {
    pub kinds: &'k [Kind],
    /// Layers of a window of MLPs or attentions.
    pub window: usize,
}

impl Restored<'_> {
    /// All cells at which something may change, prompt by prompt: what stands before the subject is the same with it and without.
    pub fn cells(self, bench: &Bench<'_>, traces: &[Trace<'_>]) -> Vec<Cell> {
        let mut cells = Vec::new();
        for (at, trace) in traces.iter().enumerate() {
            let first = trace.first();
            for (kind, _) in self.kinds.iter().enumerate().filter(|(_, kind)| trace.has(kind)) {
                cells.extend((0..bench.layers()).flat_map(|layer| {
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

    /// The mean probability of the answer with what a cell says restored.
    ///
    /// # Errors
    /// When a pass fails.
    pub fn probability(self, bench: &Bench<'_>, traces: &[Trace<'_>], cell: Cell) -> Result<f64> {
        traces[cell.trace].restored(bench, self.kinds[cell.kind], cell, self.window)
    }
}

impl<'e> Trace<'e> {
    /// # Errors
    /// When a pass fails, or the prompt lacks what it is to be corrupted with.
    pub fn new(
        bench: &Bench<'_>,
        prompt: &'e Encoded,
        answer: u32,
        kinds: &[Kind],
        how: Corruption,
    ) -> Result<Self> {
        let everywhere = |point: Point| bench.everywhere(point).collect::<Vec<Site>>();
        let mut sites: Vec<Site> =
            kinds.iter().flat_map(|kind| everywhere(kind.point)).chain([EMBED]).collect();
        sites.sort_unstable();
        sites.dedup();
        let seen = bench.pass(&[&prompt.tokens], &[], &sites)?;
        let embeddings = how.embeddings(bench, prompt, seen.get(EMBED)?)?;
        let mut subject = prompt.role(SUBJECT).to_vec();
        subject.sort_unstable();
        let corruption = replaced(EMBED, subject, &embeddings);
        let rows = vec![prompt.tokens.as_slice(); how.samples()];
        let edits = std::slice::from_ref(&corruption);
        let (corrupted, streams) = bench.streams(&rows, edits)?;
        let severed: Vec<Site> =
            kinds.iter().filter_map(|kind| kind.severed).flat_map(everywhere).collect();
        let severed = match severed.is_empty() {
            true => Captured::new(),
            false => bench.pass(&rows, edits, &severed)?.captured,
        };
        let mut trace = Self {
            prompt,
            answer,
            clean: probability(&seen.logits[0], &[answer]),
            corrupted: 0.0,
            samples: how.samples(),
            corruption,
            states: seen.captured,
            severed,
            streams,
        };
        trace.corrupted = trace.mean(&corrupted.logits);
        Ok(trace)
    }

    /// The first position of the subject.
    pub fn first(&self) -> usize {
        self.prompt.role(SUBJECT).iter().min().copied().unwrap_or(0)
    }

    /// Whether any layer has what a kind restores, and what it severs.
    fn has(&self, kind: &Kind) -> bool {
        let severed = |point: Point| self.severed.keys().any(|site| site.point == point);
        self.states.keys().any(|site| site.point == kind.point) && kind.severed.is_none_or(severed)
    }

    fn mean(&self, logits: &[Vec<f32>]) -> f64 {
        let all = logits.iter().map(|logits| probability(logits, &[self.answer]));
        all.sum::<f64>() / logits.len() as f64
    }

    /// The mean probability of the answer over all corrupted runs.
    fn run(&self, bench: &Bench<'_>, restored: Vec<Edit>) -> Result<f64> {
        let rows = vec![self.prompt.tokens.as_slice(); self.samples];
        let first = restored.iter().map(|edit| edit.site.layer).min().unwrap_or(0);
        let from = self.streams.from(first);
        // Where the pass begins behind the embedding, that is in what it begins with.
        let corruption = from.is_none().then(|| self.corruption.clone());
        let edits: Vec<Edit> = corruption.into_iter().chain(restored).collect();
        Ok(self.mean(&bench.pass_from(&rows, &edits, from)?.logits))
    }

    fn restored(&self, bench: &Bench<'_>, kind: Kind, cell: Cell, window: usize) -> Result<f64> {
        let Cell { layer, position, .. } = cell;
        let layers = match kind.is_window {
            // As in the published code: of ten layers five before, the layer itself and four behind.
            true => {
                let end = (layer + window.div_ceil(2)).min(bench.layers());
                layer.saturating_sub(window / 2)..end
            }
            false => layer..layer + 1,
        };
        let restored = layers.filter_map(|layer| {
            let site = Site { layer, point: kind.point };
            Some(replaced(site, vec![position], self.states.get(&site)?))
        });
        // As in the published code, at the position that is restored alone.
        let severed = kind.severed.into_iter().flat_map(|point| {
            (layer + 1..bench.layers()).filter_map(move |layer| {
                let site = Site { layer, point };
                Some(replaced(site, vec![position], self.severed.get(&site)?))
            })
        });
        self.run(bench, restored.chain(severed).collect())
    }

    /// Which of the places ([`study::PLACES`]) a position is.
    fn place(&self, position: usize) -> Option<usize> {
        let subject = self.prompt.role(SUBJECT);
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

fn replaced(site: Site, positions: Vec<usize>, by: &Tensor) -> Edit {
    let with = With::Replace(by.clone());
    Edit { site, head: None, positions: At::Same(positions), keys: At::All, with }
}

/// What is added to the embeddings, `[sample, pos, dim]`: 0 where there is no subject.
fn noise(
    bench: &Bench<'_>,
    prompt: &Encoded,
    std: f64,
    (samples, seed): (usize, usize),
) -> Result<Tensor> {
    let (width, length) = (bench.subject.model.layout().width, prompt.tokens.len());
    let mut subject = prompt.role(SUBJECT).to_vec();
    subject.sort_unstable();
    let mut drawn = Noise::new(id(seed));
    let mut numbers = vec![0.0; samples * length * width];
    for sample in 0..samples {
        for position in &subject {
            let from = (sample * length + position) * width;
            numbers[from..from + width].fill_with(|| narrow(std * drawn.gauss()));
        }
    }
    Ok(Tensor::from_vec(numbers, (samples, length, width), bench.subject.params.device())?)
}

/// What positions add to embeddings, `[pos, dim]`; `None` where they add nothing. A network that reads in segments has rows for one of them.
fn position_rows(Subject { params, .. }: Subject<'_>, count: usize) -> Result<Option<Tensor>> {
    let Some(table) = params.find("pos") else { return Ok(None) };
    let rows = params.dims(table).first().copied().unwrap_or(0).max(1);
    let wanted: Vec<u32> = (0..count).map(|position| id(position % rows)).collect();
    Ok(Some(params.rows(table, &wanted)?.detach()))
}

/// The standard deviation of the embeddings of all subjects' tokens, without what positions add.
///
/// # Errors
/// When a pass fails.
pub fn spread<'e>(
    bench: &Bench<'_>,
    prompts: impl IntoIterator<Item = &'e Encoded>,
) -> Result<f64> {
    let mut numbers: Vec<f64> = Vec::new();
    for prompt in prompts {
        let seen = bench.pass(&[&prompt.tokens], &[], &[EMBED])?;
        let mut embedded = seen.get(EMBED)?.get(0)?;
        if let Some(rows) = position_rows(bench.subject, prompt.tokens.len())? {
            embedded = embedded.sub(&rows)?;
        }
        let width = embedded.dim(1)?;
        values(&embedded, |all| {
            for at in prompt.role(SUBJECT) {
                numbers.extend(all[at * width..(at + 1) * width].iter().map(|x| f64::from(*x)));
            }
        })?;
    }
    let count = numbers.len() as f64;
    let mean = numbers.iter().sum::<f64>() / count;
    let squares: f64 = numbers.iter().map(|x| (x - mean).powi(2)).sum();
    Ok((squares / (count - 1.0)).sqrt())
}

/// The first prompts of which the network says the answer, or all of them, each with its answer: where none is written, what the network says. And of how many
/// before the last of these it says another one.
///
/// # Errors
/// When a pass fails.
pub fn known<'e>(
    bench: &Bench<'_>,
    prompts: &'e [Encoded],
    most: usize,
    all: bool,
) -> Result<(Vec<(&'e Encoded, u32)>, usize)> {
    let (mut known, mut left) = (Vec::new(), 0);
    for prompt in prompts {
        if known.len() == most {
            break;
        }
        let said = likeliest(&bench.pass(&[&prompt.tokens], &[], &[])?.logits[0]);
        let answer = prompt.answer().unwrap_or(said);
        if answer == said || all {
            known.push((prompt, answer));
        } else {
            left += 1;
        }
    }
    Ok((known, left))
}

/// Maps that are being filled.
pub struct Maps<'t> {
    traces: &'t [Trace<'t>],
    layers: usize,
    kinds: Vec<Filled>,
}

/// Of one kind.
struct Filled {
    name: &'static str,
    /// Of the first trace: probabilities by layer and position.
    first: Vec<f32>,
    /// Sums of probabilities and of effects, and counts, by layer and place.
    places: Vec<[f64; 3]>,
}

impl<'t> Maps<'t> {
    /// Nothing is known yet.
    pub fn new(bench: &Bench<'_>, traces: &'t [Trace<'t>], kinds: &[Kind]) -> Self {
        let (layers, length) = (bench.layers(), traces[0].prompt.tokens.len());
        let filled = |kind: &Kind| Filled {
            name: kind.name,
            first: vec![f32::NAN; layers * length],
            places: vec![[0.0; 3]; layers * study::PLACES.len()],
        };
        Self { traces, layers, kinds: kinds.iter().map(filled).collect() }
    }

    pub fn take(&mut self, cell: Cell, probability: f64) {
        let (trace, kind) = (&self.traces[cell.trace], &mut self.kinds[cell.kind]);
        if cell.trace == 0 {
            let at = cell.layer * trace.prompt.tokens.len() + cell.position;
            kind.first[at] = narrow(probability);
        }
        if let Some(place) = trace.place(cell.position) {
            let found = &mut kind.places[cell.layer * study::PLACES.len() + place];
            let more = [probability, probability - trace.corrupted, 1.0];
            found.iter_mut().zip(more).for_each(|(sum, x)| *sum += x);
        }
    }

    /// `trace.KIND` `[layer, position]` of the first trace, kind by kind.
    ///
    /// # Errors
    /// Never, of maps that were made as above.
    pub fn first(&self) -> Result<Vec<Array>> {
        let length = self.traces[0].prompt.tokens.len();
        let before = self.traces[0].first();
        let map = |kind: &Filled| {
            let mut first = kind.first.clone();
            // What stands before the subject changes nothing: there the run stays as it was corrupted.
            if first.iter().any(|x| x.is_finite()) {
                let still = narrow(self.traces[0].corrupted);
                first.chunks_exact_mut(length).for_each(|row| row[..before].fill(still));
            }
            let name = format!("trace.{}", kind.name);
            Array::new(name, &["layer", "position"], &[self.layers, length], first)
        };
        self.kinds.iter().map(map).collect()
    }

    /// Means over all traces `[layer, place]`, kind by kind: `mean.KIND`, probabilities, or with `effects` `effect.KIND`, probabilities less the
    /// corrupted ones.
    ///
    /// # Errors
    /// Never, of maps that were made as above.
    pub fn means(&self, effects: bool) -> Result<Vec<Array>> {
        let what = if effects { "effect" } else { "mean" };
        let map = |kind: &Filled| {
            let sums = kind.places.iter();
            let means: Vec<f32> =
                sums.map(|sums| narrow(sums[usize::from(effects)] / sums[2])).collect();
            let shape = [self.layers, study::PLACES.len()];
            Array::new(format!("{what}.{}", kind.name), &["layer", "place"], &shape, means)
        };
        self.kinds.iter().map(map).collect()
    }
}
