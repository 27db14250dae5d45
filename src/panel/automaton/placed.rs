//! Where states and vectors are drawn, from picture to picture.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::figure::Figure;
use crate::numeric::clusters::square_distance;
use crate::numeric::geometry::{Basis, align};
use crate::numeric::matching::matched;
use crate::panel::Memory;
use crate::panel::outputs::{array, sentence};

use super::answer::Answer;

/// Where everything stands, and what has to be known of it when the next picture is drawn: the states and the axes of that one
/// are put as near to these as they can be, so that neither jumps.
#[derive(Clone)]
pub struct Placed {
    /// The place of each found state: first those of the true machine, then those inside the circle.
    pub slot: Vec<usize>,
    /// `[state, dims]`: the mean of its vectors.
    centres: Arc<[f32]>,
    pub basis: Basis,
}

impl Placed {
    /// States that stand for true ones take their places. Others take those of the states nearest to them in the picture before.
    pub fn new(answer: &Answer<'_>, memory: &mut Memory) -> Result<Self, Figure> {
        let (centres, axes) =
            (array(answer.reading, "centre", 2)?, array(answer.reading, "axes", 2)?);
        let explained = array(answer.reading, "explained", 1)?.data.iter().map(|x| f64::from(*x));
        let dims = axes.shape[1];
        let basis = Basis { rows: axes.data.to_vec(), dims, explained: explained.collect() };
        if centres.shape != [answer.found.next.len(), dims] {
            return Err(sentence("The answer does not have one centre for each state."));
        }
        let before = memory.take::<Self>().filter(|before| before.basis.dims == dims);
        let basis = before.as_ref().map_or_else(|| basis.clone(), |b| align(&basis, &b.basis));
        let first = answer.truth.next.len();
        let centre = |state: usize| centres.outer(state);
        let near =
            before.map_or_else(BTreeMap::new, |before| before.nearest(answer, first, centre));
        let mut free = (first..).filter(|slot| !near.values().any(|taken| taken == slot));
        let slot = answer.partner.iter().enumerate().map(|(state, partner)| {
            partner.or_else(|| near.get(&state).copied()).or_else(|| free.next()).unwrap_or(first)
        });
        Ok(Self { slot: slot.collect(), centres: centres.data.clone(), basis })
    }

    /// For states without a partner, the places inside the circle of those before that they are nearest to.
    fn nearest<'a>(
        &self,
        answer: &Answer<'_>,
        first: usize,
        centre: impl Fn(usize) -> &'a [f32],
    ) -> BTreeMap<usize, usize> {
        let extra = |(state, partner): (usize, &Option<usize>)| partner.is_none().then_some(state);
        let now: Vec<usize> = answer.partner.iter().enumerate().filter_map(extra).collect();
        let then: Vec<usize> = (0..self.slot.len()).filter(|s| self.slot[*s] >= first).collect();
        if then.is_empty() {
            return BTreeMap::new();
        }
        let before = |state: usize| &self.centres[state * self.basis.dims..][..self.basis.dims];
        let near = |(a, b): (usize, usize)| -square_distance(centre(a), before(b));
        let pairs = now.iter().flat_map(|a| then.iter().map(move |b| (*a, *b)));
        let weights: Vec<f64> = pairs.map(near).collect();
        let partners = now.iter().zip(matched(&weights, then.len()));
        partners.filter_map(|(state, other)| Some((*state, self.slot[then[other?]]))).collect()
    }
}
