//! How much heads read of what other heads write: Elhage et al. 2021, *A Mathematical Framework for Transformer Circuits*,
//! section "Attention head composition".

use candle_core::Tensor;

use super::head::{Head, Layer};
use crate::base::array::Array;
use crate::base::convert::narrow;
use crate::base::error::Result;
use crate::measurement::Subject;
use crate::measurement::read::values;

/// By way of what a head reads another.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum By {
    Queries,
    Keys,
    Values,
}

/// With the names of their arrays.
pub(super) const ALL: [(By, &str); 3] =
    [(By::Queries, "q_composition"), (By::Keys, "k_composition"), (By::Values, "v_composition")];

/// A matrix `[rows, columns]` in double precision.
struct Plain {
    data: Vec<f64>,
    columns: usize,
}

impl Plain {
    fn of(tensor: &Tensor) -> Result<Self> {
        let columns = tensor.dim(1)?;
        let data = values(tensor, |x| x.iter().map(|x| f64::from(*x)).collect())?;
        Ok(Self { data, columns })
    }

    fn rows(&self) -> usize {
        self.data.len() / self.columns.max(1)
    }

    fn row(&self, i: usize) -> &[f64] {
        &self.data[i * self.columns..(i + 1) * self.columns]
    }

    /// `self · otherᵀ`
    fn times(&self, other: &Self) -> Self {
        let columns = other.rows();
        let entry = |i: usize| dot(self.row(i / columns), other.row(i % columns));
        Self { data: (0..self.rows() * columns).map(entry).collect(), columns }
    }
}

/// What is needed of a head, once.
struct Side {
    /// `[dim, width]` as they are kept: what reads the stream, by way of queries, keys and values.
    reads: [Tensor; 3],
    /// What it writes, `[dim, width]`.
    writes: Tensor,
    /// Products of rows with rows of these, `[dim, dim]`, in the order of `reads`, then of `writes`.
    squares: [Plain; 4],
}

impl Side {
    fn new(head: &Head) -> Result<Option<Self>> {
        let Some(writes) = head.outputs.clone() else { return Ok(None) };
        let reads = [&head.queries, &head.keys, &head.values].map(|map| map.weight.clone());
        let square = |x: &Tensor| -> Result<Plain> { Plain::of(&x.matmul(&x.t()?)?) };
        let [q, k, v] = &reads;
        let squares = [square(q)?, square(k)?, square(v)?, square(&writes)?];
        Ok(Some(Self { writes, squares, reads }))
    }

    /// The matrices that are multiplied with what was written, and with what the product is multiplied: the squares of the other factor.
    fn reader(&self, by: By) -> (&Tensor, &Plain) {
        let [q, k, v] = &self.reads;
        let [of_q, of_k, _, of_writes] = &self.squares;
        match by {
            By::Queries => (q, of_k),
            By::Keys => (k, of_q),
            By::Values => (v, of_writes),
        }
    }

    /// Frobenius norm of the whole circuit that reads: `W_QK` or `W_OV`.
    fn size(&self, by: By) -> f64 {
        let [q, k, v, writes] = &self.squares;
        match by {
            By::Queries | By::Keys => inner(q, k).sqrt(),
            By::Values => inner(v, writes).sqrt(),
        }
    }
}

/// Sum of the products of all entries: of the squares of `A` and of `B`, the squared Frobenius norm of `Aᵀ B`.
fn inner(a: &Plain, b: &Plain) -> f64 {
    dot(&a.data, &b.data)
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(x, y)| x * y).sum()
}

/// How much a head reads of what another one writes: `‖R W_OV‖ / (‖R‖ ‖W_OV‖)`, where `R` is its `W_QK` transposed (queries), its `W_QK`
/// (keys) or its `W_OV` (values). All products are of matrices `[dim, dim]`.
fn composition(reader: &Side, writer: &Side, by: By) -> Result<f64> {
    let (reads, beside) = reader.reader(by);
    let through = Plain::of(&reads.matmul(&writer.writes.t()?)?)?;
    let read = &writer.squares[2];
    // ‖Aᵀ S B‖² = Σ S ∘ (A Aᵀ) S (B Bᵀ)
    let right = through.times(read);
    let turned = Plain { data: transposed(&right), columns: right.rows() };
    let left = beside.times(&turned);
    let size = inner(&through, &left).max(0.0).sqrt();
    Ok(size / (reader.size(by) * writer.size(By::Values)))
}

fn transposed(x: &Plain) -> Vec<f64> {
    let rows = x.rows();
    (0..x.data.len()).map(|i| x.data[i % rows * x.columns + i / rows]).collect()
}

/// Of the head of a layer with every head of other layers, `[layer, head]` by way of queries, keys and values: what it reads of those in
/// earlier layers, and what those in later layers read of it. NaN in its own layer. Empty where heads do not just add to the stream.
pub(super) fn arrays(subject: Subject<'_>, layer: usize, head: &Head) -> Result<Vec<Array>> {
    let Some(own) = Side::new(head)? else { return Ok(Vec::new()) };
    let heads = &subject.model.layout().heads;
    let most = heads.iter().copied().max().unwrap_or(0);
    let mut found = vec![vec![f32::NAN; heads.len() * most]; ALL.len()];
    let others = heads.iter().enumerate().filter(|(l, count)| *l != layer && **count > 0);
    for (other_layer, &count) in others {
        let there = Layer::new(subject, other_layer)?;
        for other in 0..count {
            let Some(other_side) = Side::new(&there.head(other)?)? else { continue };
            let reads = other_layer < layer;
            let (reader, writer) = if reads { (&own, &other_side) } else { (&other_side, &own) };
            for (found, (by, _)) in found.iter_mut().zip(ALL) {
                found[other_layer * most + other] = narrow(composition(reader, writer, by)?);
            }
        }
    }
    let shape = [heads.len(), most];
    let array = |(data, (_, name)): (Vec<f32>, (By, &str))| {
        Array::new(name, &["layer", "head"], &shape, data)
    };
    found.into_iter().zip(ALL).map(array).collect()
}
