//! Queries and keys of one head over held-out sequences and the one in view, in one space.

use candle_core::Tensor;

use super::read::{captured, values};
use super::{Answer, Mean, Measurement, Scene, Scope, Subject};
use crate::base::array::Array;
use crate::base::batch::Row;
use crate::base::convert::narrow;
use crate::base::error::{Error, Result};
use crate::base::intervention::{Point, Site};
use crate::numeric::geometry::{QueriesKeys, Scale, arrange, centered, pca, starts};

crate::settings! {
    /// One query and one key per position and sequence. Points come sequence by sequence: a new one starts
    /// wherever the position is 0. The last sequence is the one in view; where it is one of the held-out
    /// ones, it is there only once.
    ///
    /// Arrays: `queries` and `keys` `[point, dim]` as the network computes them; `token`, `position` and
    /// `roles` (bits, see the roles of the task) `[point]`; `sequence` `[point]`, the number of the held-out
    /// sequence, -1 for the one in view. `points` `[2 point, dim]`: all queries, then all keys, in one space
    /// (see [`crate::numeric::geometry::arrange`]), their mean at 0; `axes` `[axis, dim]` and `explained`
    /// `[axis]`: its first three principal axes and their shares of the variance.
    ///
    /// Numbers: `c`, by which queries were divided and keys multiplied; `correlation` between distance and dot
    /// product of near pairs (-1 at best, NaN where no query has two near keys), and `pairs`, on how many pairs
    /// it was measured (see [`crate::numeric::geometry::MOST_PAIRS`]).
    pub struct QueryKey = "Queries and keys of one head for every position of a few held-out sequences and of the one in view, placed in one space." {
        /// Layer, from 0.
        layer: usize = 0, in 0..=1000;
        /// Head, from 0.
        head: usize = 0, in 0..=1000;
        /// Held-out sequences that are looked at, besides the one in view.
        sequences: usize = 8, in 1..=4096;
        /// How the factor c is chosen that shrinks queries and stretches keys; attention stays the same for every c.
        scale: Scale = Scale::Norms;
    }
}

/// Principal axes that are given: a page has two, a view in space one more.
const AXES: usize = 3;

impl Measurement for QueryKey {
    fn scope(&self) -> Scope {
        Scope::HeldOut
    }

    fn wants_logits(&self) -> bool {
        false
    }

    fn sequences(&self) -> Option<usize> {
        Some(self.sequences)
    }

    fn suits_reals(&self) -> bool {
        true
    }

    fn applies(&self, subject: Subject<'_>) -> Result<()> {
        let heads = &subject.model.layout().heads;
        let Some(&count) = heads.get(self.layer) else {
            return Err(Error::usage(format!(
                "layer {} was asked for; this network has {}, counted from 0",
                self.layer,
                heads.len()
            )));
        };
        if self.head < count {
            return Ok(());
        }
        Err(Error::usage(format!(
            "head {} of layer {} was asked for; that layer has {count}, counted from 0",
            self.head, self.layer
        )))
    }

    fn sites(&self, _subject: Subject<'_>) -> Vec<Site> {
        [Point::Q, Point::K].map(|point| Site { layer: self.layer, point }).to_vec()
    }

    fn measure(&self, scene: &Scene<'_>) -> Result<Answer> {
        let batch = scene.batch;
        let points = batch.tokens.len();
        let along = |name, data: Vec<f32>| Array::new(name, &["point"], &[points], data);
        let arrays = vec![
            self.vectors(scene, "queries", Point::Q)?,
            self.vectors(scene, "keys", Point::K)?,
            along("token", batch.tokens.iter().map(|&t| t as f32).collect())?,
            along("position", (0..points).map(|i| (i % batch.len) as f32).collect())?,
            along("roles", batch.roles.iter().map(|&r| f32::from(r)).collect())?,
        ];
        Ok(Answer { arrays, ..Answer::default() })
    }

    fn with_prompt(&self) -> bool {
        true
    }

    fn finish(&self, answer: Answer, prompt: &Row) -> Result<Answer> {
        let mut answer = numbered(answer, prompt)?;
        let (queries, keys) = (found(&answer, "queries")?, found(&answer, "keys")?);
        if queries.data.iter().chain(&*keys.data).any(|x| !x.is_finite()) {
            return Err(Error::input(
                "Some queries or keys of this head are no finite numbers, so they have no place to be drawn: training has diverged. Go back to an earlier step.",
            ));
        }
        let (count, dims) = (queries.shape[0], queries.shape[1]);
        let starts = starts(&found(&answer, "position")?.data);
        let input = QueriesKeys { queries: &queries.data, keys: &keys.data, dims, starts: &starts };
        let arranged = arrange(&input, self.scale);
        let points = centered(&arranged.points, dims);
        let basis = pca(&points, dims, AXES);
        let axes = basis.explained.len();
        let explained: Vec<f32> = basis.explained.iter().map(|&share| narrow(share)).collect();
        answer.arrays.extend([
            Array::new("points", &["point", "dim"], &[2 * count, dims], points)?,
            Array::new("axes", &["axis", "dim"], &[axes, dims], basis.rows)?,
            Array::new("explained", &["axis"], &[axes], explained)?,
        ]);
        let number = |name: &str, sum| Mean { name: name.to_owned(), sum, count: 1.0 };
        answer.means.extend([
            number("c", arranged.c),
            number("correlation", arranged.correlation),
            number("pairs", arranged.pairs as f64),
        ]);
        Ok(answer)
    }
}

fn found<'a>(answer: &'a Answer, name: &str) -> Result<&'a Array> {
    let found = answer.arrays.iter().find(|array| array.name == name);
    found.ok_or_else(|| Error::internal(format!("the measurement query_key measured no {name}")))
}

/// The answer with the number of each point's sequence, and without the held-out copy of the one in view.
fn numbered(mut answer: Answer, prompt: &Row) -> Result<Answer> {
    let starts = starts(&found(&answer, "position")?.data);
    let token = found(&answer, "token")?.data.clone();
    let ends = starts.iter().skip(1).copied().chain([token.len()]);
    let sequences: Vec<(usize, usize)> = starts.iter().copied().zip(ends).collect();
    let same = |(from, to): &(usize, usize)| {
        let ids = token[*from..*to].iter();
        ids.copied().eq(prompt.tokens.iter().map(|&id| id as f32))
    };
    let last = sequences.len().saturating_sub(1);
    let copy = sequences[..last].iter().find(|ends| same(ends)).copied();
    let mut number = Vec::with_capacity(token.len());
    for (i, (from, to)) in sequences.iter().enumerate() {
        number.extend(std::iter::repeat_n(if i == last { -1.0 } else { i as f32 }, to - from));
    }
    answer.arrays.push(Array::new("sequence", &["point"], &[number.len()], number)?);
    if let Some((from, to)) = copy {
        answer.arrays.iter_mut().for_each(|array| *array = without(array, from, to));
    }
    Ok(answer)
}

/// An array without the entries `from..to` of its first axis.
fn without(array: &Array, from: usize, to: usize) -> Array {
    let inner: usize = array.shape[1..].iter().product();
    let mut shape = array.shape.clone();
    shape[0] -= to - from;
    let data = [&array.data[..from * inner], &array.data[to * inner..]].concat();
    Array { shape, data: data.into(), ..array.clone() }
}

impl QueryKey {
    fn vectors(&self, scene: &Scene<'_>, name: &str, point: Point) -> Result<Array> {
        let all = captured(scene, Site { layer: self.layer, point })?;
        // A head of keys may serve several heads of queries.
        let heads = scene.subject.model.layout().heads[self.layer].max(1);
        let one: Tensor = all.narrow(1, self.head * all.dim(1)? / heads, 1)?;
        let dim = one.dim(3)?;
        let data = values(&one, <[f32]>::to_vec)?;
        Array::new(name, &["point", "dim"], &[data.len() / dim, dim], data)
    }
}
