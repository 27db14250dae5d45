//! Whether a head raises what it attends to: eigenvalues of its OV circuit over the whole vocabulary (Elhage et al. 2021, section
//! "Summarizing OV/QK matrices").

use candle_core::Tensor;

use super::head::{Head, Layer};
use super::{Answer, Seen, one};
use crate::base::array::Array;
use crate::base::convert::narrow;
use crate::base::error::{Error, Result};
use crate::measurement::read::values;
use crate::model::readout::Readout;
use crate::nn::linear::{linear, widened};
use crate::nn::norm::HeldNorm;
use crate::numeric::eigen::{Complex, eigenvalues};

/// Multiplications that a product over the whole vocabulary may take, so that all heads have their scores: a second or two.
const MOST_WORK: usize = 100_000_000_000;
/// Rows of the vocabulary that become `f32` at a time.
const ROWS: usize = 4096;
/// Of larger matrices eigenvalues take too long.
const MOST_DIM: usize = 512;

/// Adds the eigenvalues of the head, its score and those of the others.
pub(super) fn measure(seen: &Seen<'_>, head: &Head, answer: &mut Answer) -> Result<()> {
    let Some((readout, norm)) = &seen.readout else { return Ok(()) };
    let over = Vocabulary { seen, readout, norm };
    let layout = seen.subject.model.layout();
    let work = layout.vocab.saturating_mul(layout.width).saturating_mul(layout.width);
    let is_wanted = seen.asked.heads && work <= MOST_WORK;
    let product = is_wanted.then(|| over.product()).transpose()?;
    let own = over.through(head)?;
    let Some(found) = own.as_ref().and_then(solved) else {
        answer.notes.push("The eigenvalues of this OV circuit were not computed.".to_owned());
        return Ok(());
    };
    answer.means.push(one("copying_of_head", score(&found)));
    answer.arrays.push(as_array(&found, scale(seen, readout))?);
    answer.arrays.push(match product {
        Some(product) => of_all(seen, &product)?,
        None => of_this(seen, score(&found))?,
    });
    Ok(())
}

/// By which all eigenvalues are multiplied: what norms are held at.
fn scale(seen: &Seen<'_>, readout: &Readout) -> f64 {
    let [here, last] = seen.scales.map(f64::from);
    here * last * readout.scale
}

/// Sum of the eigenvalues over the sum of their sizes; NaN where all are zero.
fn score(found: &[Complex]) -> f64 {
    let sum: f64 = found.iter().map(|z| z.re).sum();
    sum / found.iter().map(|z| z.abs()).sum::<f64>()
}

fn as_array(found: &[Complex], scale: f64) -> Result<Array> {
    let parts = found.iter().flat_map(|z| [z.re * scale, z.im * scale].map(narrow));
    let data: Vec<f32> = parts.collect();
    Array::new("eigenvalues", &["eigenvalue", "part"], &[found.len(), 2], data)
}

/// `W_V (E U) W_O` for one head, `[dim, dim]`, of the product `E U`: the eigenvalues of `E W_V W_O U` that its rank leaves. `None` where it writes none.
fn through(product: &Tensor, head: &Head) -> Result<Option<Tensor>> {
    let Some(outputs) = &head.outputs else { return Ok(None) };
    let read = linear(&head.values.weight, &product.t()?.contiguous()?, None)?;
    Ok(Some(linear(&read, outputs, None)?))
}

fn solved(core: &Tensor) -> Option<Vec<Complex>> {
    let n = core.dim(0).ok().filter(|n| *n <= MOST_DIM)?;
    let numbers = values(core, |x| x.iter().map(|x| f64::from(*x)).collect::<Vec<f64>>()).ok()?;
    eigenvalues(&numbers, n)
}

/// The scores of all heads, `[layer, head]`.
fn of_all(seen: &Seen<'_>, product: &Tensor) -> Result<Array> {
    let (mut scores, shape) = blank(seen);
    for (layer, &count) in seen.subject.model.layout().heads.iter().enumerate() {
        if count == 0 {
            continue;
        }
        let there = Layer::new(seen.subject, layer)?;
        for head in 0..count {
            let core = through(product, &there.head(head)?)?;
            let found = core.as_ref().and_then(solved);
            scores[layer * shape[1] + head] = found.map_or(f32::NAN, |found| narrow(score(&found)));
        }
    }
    Array::new("copying", &["layer", "head"], &shape, scores)
}

/// The score of the head that was asked for, among heads whose scores are not known.
fn of_this(seen: &Seen<'_>, score: f64) -> Result<Array> {
    let (mut scores, shape) = blank(seen);
    scores[seen.asked.layer * shape[1] + seen.asked.head] = narrow(score);
    Array::new("copying", &["layer", "head"], &shape, scores)
}

fn blank(seen: &Seen<'_>) -> (Vec<f32>, [usize; 2]) {
    let heads = &seen.subject.model.layout().heads;
    let shape = [heads.len(), heads.iter().copied().max().unwrap_or(0)];
    (vec![f32::NAN; shape[0] * shape[1]], shape)
}

/// Both tables of the vocabulary, of which some rows are looked at at a time.
struct Vocabulary<'a> {
    seen: &'a Seen<'a>,
    readout: &'a Readout,
    norm: &'a HeldNorm,
}

impl Vocabulary<'_> {
    /// `E U` summed over the vocabulary, `[width, width]`; the norm before the head is in its own matrices. Of a network that is read and not trained it is
    /// made once.
    fn product(&self) -> Result<Tensor> {
        let params = self.seen.subject.params;
        let make = || self.summed(|embed, unembed| Ok(embed.t()?.matmul(unembed)?));
        match params.is_stored(self.seen.embedding.tokens) {
            true => params.derived("circuits: embedding times unembedding", make),
            false => make(),
        }
    }

    /// The same product with the matrices of a head on both sides, `[dim, dim]`, without that of the whole stream.
    fn through(&self, head: &Head) -> Result<Option<Tensor>> {
        let Some(outputs) = &head.outputs else { return Ok(None) };
        let core = self.summed(|embed, unembed| {
            let read = linear(embed, &head.values.weight, None)?;
            Ok(read.t()?.matmul(&linear(unembed, outputs, None)?)?)
        });
        core.map(Some)
    }

    /// The sum of what is made of some rows of both tables, `[row, width]` each.
    fn summed(&self, of: impl Fn(&Tensor, &Tensor) -> Result<Tensor>) -> Result<Tensor> {
        let embed = self.seen.subject.params.kept(self.seen.embedding.tokens)?;
        let (vocab, unembed) = (embed.dim(0)?, &self.readout.unembed);
        let mut sum: Option<Tensor> = None;
        for from in (0..vocab).step_by(ROWS) {
            let some = |x: &Tensor| widened(&x.narrow(0, from, ROWS.min(vocab - from))?);
            let part = of(&some(&embed)?, &self.norm.folded(&some(unembed)?)?)?;
            sum = Some(match sum {
                Some(sum) => (sum + part)?,
                None => part,
            });
        }
        let sum = sum.ok_or_else(|| Error::internal("a network without a vocabulary"))?;
        Ok((sum * f64::from(self.seen.embedding.scale))?)
    }
}
