//! What makes few rows of many positions that leave a cache, and how it is trained (Rae et al. 2019, arXiv 1911.05507).

use crate::base::error::Result;
use crate::nn::attention::{Attention, Mask, Sees};
use crate::nn::params::{Init, Params};
use crate::nn::wire::{Along, Heads, Map, Wire};

use super::decoder::layer::Layer;

crate::choices! {
    /// What makes one row of several.
    pub enum Function {
        /// Their mean.
        Mean = "mean",
        /// The largest of each number.
        Max = "max",
        /// A linear map of all of them: a convolution whose kernel is as long as its stride.
        Conv = "conv",
    }
}

/// What a layer compresses with.
pub(super) struct Compression {
    rate: usize,
    width: usize,
    with: With,
}

enum With {
    Mean,
    Max,
    /// `[width, rate · width]`
    Conv(Map),
}

impl Compression {
    /// Of `rate` positions one row of `width` numbers, in a layer.
    pub fn new(
        params: &mut Params,
        layer: usize,
        (function, rate, width): (Function, usize, usize),
    ) -> Result<Self> {
        let with = match function {
            Function::Mean => With::Mean,
            Function::Max => With::Max,
            Function::Conv => {
                let init = Init::Normal(1.0 / ((rate * width) as f64).sqrt());
                let (name, shape) = (format!("layer{layer}.compress"), [width, rate * width]);
                With::Conv(Map::with_bias(params, &name, shape, init)?)
            }
        };
        Ok(Self { rate, width, with })
    }

    /// One row for each group of positions, `[batch, group, width]`.
    pub fn compressed<'m, W: Wire<'m>>(&'m self, wire: &mut W, old: &W::X) -> Result<W::X> {
        let groups = wire.in_rows_of(old, self.rate * self.width)?;
        let part =
            |wire: &mut W, i| wire.slice(&groups, Along::Columns, i * self.width, self.width);
        let mut all = match self.with {
            With::Conv(map) => return wire.linear(&groups, map),
            With::Mean | With::Max => part(wire, 0)?,
        };
        for i in 1..self.rate {
            let next = part(wire, i)?;
            all = match self.with {
                With::Max => larger(wire, &all, &next)?,
                With::Mean | With::Conv(_) => wire.sum(&all, &next)?,
            };
        }
        match self.with {
            With::Mean => wire.scale(&all, 1.0 / self.rate as f32),
            With::Max | With::Conv(_) => Ok(all),
        }
    }

    /// Adds to the loss how far attention to the compressed rows is from attention to what they were made of, each with their number: by
    /// content alone, from what the layer `read`s now, by its matrices as they are. Nothing but what compresses learns of it.
    pub fn reconstruct<'m, W: Wire<'m>>(
        wire: &mut W,
        layer: &'m Layer,
        read: &W::X,
        [old, rows]: [(&W::X, usize); 2],
    ) -> Result<()> {
        if !wire.learns(rows.0) {
            return Ok(());
        }
        let (read, old) = (wire.detach(read)?, (&wire.detach(old.0)?, old.1));
        let queries = wire.linear_held(&read, layer.attention.queries.weight)?;
        let [wanted, found] = [old, rows].map(|to| by_content(wire, layer, &queries, to));
        wire.lose(&found?, &wanted?)
    }
}

/// What the heads of a layer find in `count` rows, without where these stand: `[batch, query, head · dim]`.
fn by_content<'m, W: Wire<'m>>(
    wire: &mut W,
    layer: &'m Layer,
    queries: &W::X,
    (rows, count): (&W::X, usize),
) -> Result<W::X> {
    let attention = &layer.attention;
    let keys = wire.linear_held(rows, attention.keys.weight)?;
    let values = match attention.values {
        Some(values) => wire.linear_held(rows, values.weight)?,
        None => rows.clone(),
    };
    let how = Attention { mask: Mask { memory: 0, sees: Sees::All }, ..attention.how };
    let mut found = Vec::new();
    // Attention goes from no more queries than there are keys.
    for from in (0..wire.positions()).step_by(count) {
        let together = count.min(wire.positions() - from);
        let queries = &wire.slice(queries, Along::Positions, from, together)?;
        let (keys, read) = (&keys, &values);
        let (values, outputs, residual) = (None, None, None);
        let heads = Heads { queries, keys, read, values, outputs, residual, last: false };
        found.push(wire.aside(|wire| wire.attend(how, heads))?);
    }
    wire.concat(&found, Along::Positions)
}

/// The larger of each two numbers: `a + max(b - a, 0)`.
fn larger<'m, W: Wire<'m>>(wire: &mut W, a: &W::X, b: &W::X) -> Result<W::X> {
    use crate::nn::activation::Activation::Relu;
    let minus_a = wire.scale(a, -1.0)?;
    let more = wire.sum(b, &minus_a)?;
    let more = wire.activate(more, Relu)?;
    wire.sum(a, &more)
}
