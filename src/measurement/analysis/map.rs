//! Maps of effects in the making, and the pair that is shown above them.

use super::Judge;
use crate::base::array::Array;
use crate::base::convert::narrow;
use crate::base::error::Result;
use crate::base::pair::Pair;
use crate::measurement::Answer;
use crate::measurement::causal::effect::Estimate;

/// A map in the making.
pub(super) struct Map {
    name: &'static str,
    axes: &'static [&'static str],
    shape: Vec<usize>,
    effect: Vec<f32>,
    low: Vec<f32>,
    high: Vec<f32>,
}

impl Map {
    /// Nothing is known yet.
    pub(super) fn new(
        name: &'static str,
        axes: &'static [&'static str],
        shape: Vec<usize>,
    ) -> Self {
        let empty = vec![f32::NAN; shape.iter().product()];
        let (effect, low, high) = (empty.clone(), empty.clone(), empty);
        Self { name, axes, shape, effect, low, high }
    }

    pub(super) fn name(&self) -> &'static str {
        self.name
    }

    pub(super) fn is_empty(&self) -> bool {
        self.effect.is_empty()
    }

    /// By coordinates, one for each axis; more of them are left out.
    pub(super) fn put_at(&mut self, coordinates: &[usize], found: Estimate) {
        let index = coordinates.iter().zip(&self.shape).fold(0, |at, (c, n)| at * n + c);
        self.put(index, found);
    }

    pub(super) fn put(&mut self, index: usize, found: Estimate) {
        self.effect[index] = narrow(found.mean);
        self.low[index] = narrow(found.interval[0]);
        self.high[index] = narrow(found.interval[1]);
    }

    fn arrays(&self) -> Result<[Array; 3]> {
        let array = |what: &str, data: &Vec<f32>| {
            Array::new(format!("{what}.{}", self.name), self.axes, &self.shape, data.clone())
        };
        Ok([array("effect", &self.effect)?, array("low", &self.low)?, array("high", &self.high)?])
    }
}

/// What is known of maps, with the first pair that counts.
pub(super) fn answer<'a>(judge: &Judge<'_>, maps: impl Iterator<Item = &'a Map>) -> Result<Answer> {
    let mut answer = judge.about();
    let pairs = judge.stage.pairs;
    let shown = judge.kept.first().copied().unwrap_or(0);
    if let Some(pair) = pairs.all().get(shown) {
        answer.arrays = of_pair(pair)?;
        let last = pairs.all().iter().map(|pair| pair.at).max().unwrap_or(0);
        answer.arrays.push(Array::new("last".to_owned(), &["one"], &[1], vec![last as f32])?);
    }
    let (mut done, mut without) = (0, 0);
    for map in maps {
        answer.arrays.extend(map.arrays()?);
        let cells = map.effect.iter().zip(&map.low).filter(|(effect, _)| effect.is_finite());
        cells
            .for_each(|(_, low)| (done, without) = (done + 1, without + usize::from(low.is_nan())));
    }
    if without > 0 {
        answer.notes.push(match judge.kept.len() {
            1 => "One pair alone has no interval.".to_owned(),
            _ => format!(
                "{without} of {done} cells have no interval: all pairs have the very same effect there."
            ),
        });
    }
    Ok(answer)
}

/// Says so where a question was stopped.
pub(super) fn note_stop(answer: &mut Answer, is_whole: bool) {
    if !is_whole {
        let note = "Stopped before the end: cells that are left out were not done.";
        answer.notes.push(note.to_owned());
    }
}

/// The two sequences of a pair, where it is predicted, and what.
fn of_pair(pair: &Pair) -> Result<Vec<Array>> {
    let ids = |ids: &[u32]| ids.iter().map(|&id| id as f32).collect::<Vec<f32>>();
    let array = |name: &str, axis: &str, data: Vec<f32>| {
        Array::new(name.to_owned(), &[axis], &[data.len()], data)
    };
    Ok(vec![
        array("base_tokens", "position", ids(&pair.base.tokens))?,
        array("other_tokens", "position", ids(&pair.other.tokens))?,
        array("at", "one", vec![pair.at as f32])?,
        array("answers", "sequence", ids(&pair.answers))?,
    ])
}
