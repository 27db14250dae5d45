//! The answer of the analysis `automaton` as machines: what was found, what is true, and the sequence in view.

use crate::base::convert;
use crate::base::question::Reading;
use crate::figure::Figure;
use crate::panel::outputs::{array, sentence};

/// A machine as it is drawn.
#[derive(Clone, Debug, PartialEq)]
pub struct Machine {
    /// `[state][action]`: the state afterwards; `None` where it was never seen.
    pub next: Vec<Vec<Option<usize>>>,
    /// The token that is told of each state.
    pub label: Vec<Option<u32>>,
    pub start: Option<usize>,
}

/// What is known.
pub struct Answer<'a> {
    pub reading: &'a Reading,
    pub found: Machine,
    pub truth: Machine,
    /// The state of the true machine that each found one stands for.
    pub partner: Vec<Option<usize>>,
    /// The token of each action.
    pub actions: Vec<u32>,
    /// Of each position of the sequence in view, its state and the action that stands there.
    pub here: Vec<(Option<usize>, Option<usize>)>,
    /// `[state][action]`: how often it was seen, and the share that leads where most do.
    pub moves: Vec<Vec<(f32, f32)>>,
}

impl<'a> Answer<'a> {
    /// # Errors
    /// The figure that says what is missing.
    pub fn new(reading: &'a Reading) -> Result<Self, Figure> {
        let found = machine(reading, ["next", "label", "start"])?;
        let truth = machine(reading, ["true_next", "true_label", "true_start"])?;
        let actions = numbers(reading, "action")?.into_iter().flatten().map(convert::id).collect();
        let moves = moves(reading)?;
        let here = numbers(reading, "here_state")?.into_iter();
        let answer = Self {
            partner: numbers(reading, "partner")?,
            here: here.zip(numbers(reading, "here_action")?).collect(),
            reading,
            found,
            truth,
            actions,
            moves,
        };
        if answer.is_sound() {
            return Ok(answer);
        }
        Err(sentence("The machines of the answer lead to states that they do not have."))
    }

    fn is_sound(&self) -> bool {
        let (states, actions) = (self.found.next.len(), self.actions.len());
        let sizes = [self.partner.len(), self.moves.len()].iter().all(|n| *n == states);
        let partners = self.partner.iter().flatten().all(|state| *state < self.truth.next.len());
        let here = self.here.iter().all(|(state, action)| {
            state.is_none_or(|state| state < states) && action.is_none_or(|a| a < actions)
        });
        let machines = [&self.found, &self.truth].iter().all(|m| m.is_sound(actions));
        sizes && partners && here && machines && self.moves.iter().all(|row| row.len() == actions)
    }
}

impl Machine {
    fn is_sound(&self, actions: usize) -> bool {
        let states = self.next.len();
        let inside = |state: &usize| *state < states;
        let row =
            |row: &Vec<Option<usize>>| row.len() == actions && row.iter().flatten().all(inside);
        self.label.len() == states
            && self.start.as_ref().is_none_or(inside)
            && self.next.iter().all(row)
    }
}

fn machine(reading: &Reading, [next, label, start]: [&str; 3]) -> Result<Machine, Figure> {
    let actions = array(reading, next, 2)?.shape[1];
    let label = numbers(reading, label)?;
    let all: Vec<Option<usize>> = array(reading, next, 2)?.data.iter().map(|x| whole(*x)).collect();
    Ok(Machine {
        next: all.chunks(actions).map(<[Option<usize>]>::to_vec).collect(),
        label: label.into_iter().map(|token| token.map(convert::id)).collect(),
        start: reading.number(start).map(convert::narrow).and_then(whole),
    })
}

fn moves(reading: &Reading) -> Result<Vec<Vec<(f32, f32)>>, Figure> {
    let (seen, certainty) = (array(reading, "seen", 2)?, array(reading, "certainty", 2)?);
    let row = |state| seen.outer(state).iter().copied().zip(certainty.outer(state).iter().copied());
    Ok((0..seen.shape[0]).map(|state| row(state).collect()).collect())
}

/// The whole numbers of an array along one axis; `None` for those below 0.
pub fn numbers(reading: &Reading, name: &str) -> Result<Vec<Option<usize>>, Figure> {
    Ok(array(reading, name, 1)?.data.iter().map(|x| whole(*x)).collect())
}

fn whole(x: f32) -> Option<usize> {
    (x >= 0.0).then(|| convert::index(x))
}
