//! The machine in hidden states as an analysis: found on some held-out strings, judged by longer ones.

use std::ops::Range;
use std::sync::Arc;

use super::{Analysis, Ground, OnPartial, PartialAnswer, one};
use crate::base::analysis::{Automata as Asked, Grouping};
use crate::base::array::Array;
use crate::base::batch::Row;
use crate::base::convert::narrow;
use crate::base::error::{Error, Result};
use crate::measurement::automaton::{
    Agreement, Found, Groups, Moore, Strings, Walks, found, partners, shown,
};
use crate::measurement::read::Tally;
use crate::measurement::{Answer, Mean, Subject};
use crate::numeric::clusters::means;
use crate::numeric::geometry::{Basis, centered, pca};
use crate::task::{self, Source};

crate::settings! {
    /// Vectors after each symbol of held-out strings are put in groups; what follows each group with each symbol, by majority, is a
    /// machine, which is made as small as it can be (Hou and Zhou 2018, arXiv 1810.10708; the grid is that of `DeepStellar`, Du et al.
    /// 2019). It tells what the network tells, and is judged by strings longer than those of training.
    ///
    /// Arrays: `next` `[state, action]`, -1 where it was never seen, with `seen`, how often it was, and `certainty`, the share of these that
    /// lead there; `label` `[state]`, the token that is told, -1 of a start of which nothing is; `purity` `[state]`, the share of vectors at
    /// which the network tells it; `partner` `[state]`, the state of the true machine that it stands for, -1 where it has none; `centre`
    /// `[state, dim]`. `true_next` and `true_label` of the smallest true machine, as far as strings show it; `action` `[action]`, their tokens.
    /// `points` `[point, dim]`, some of the vectors, their mean at 0, with `point_state`, and `axes` `[axis, dim]` and `explained` `[axis]`,
    /// their principal axes and the shares of the variance. Of the sequence in view `here_state` and `here_action` `[position]`, -1 where
    /// there is none. `apart` `[symbol]`: the shortest string after which both machines tell different things.
    ///
    /// Numbers: `states`, `true_states` (those that the strings reach) of `machine_states`, `groups`, `start`, `true_start`, `is_same` (1 or 0), `determinism` (the share of transitions
    /// between groups that go where most do), `strings`; after these are read, `length` and `trained_length` in symbols, `agreement` of the
    /// machine with the network, `accuracy` of the machine and `network_accuracy`.
    pub struct Automaton = "The machine that a network is: its hidden states in groups, what follows each, made as small as it can be, beside the true machine, and judged by strings longer than those of training." {
        /// The question.
        asked: Asked = Asked::default();
        /// Seed of the first centres of clusters.
        seed: usize = 0, in 0..=9007199254740992.0;
    }
}

/// Strings of one forward pass.
const AT_A_TIME: usize = 32;
/// Vectors that are given for a picture of them.
const MOST_POINTS: usize = 1024;
/// Principal axes that are given: a page has two.
const AXES: usize = 2;

impl Analysis for Automaton {
    fn run(&self, ground: &Ground<'_>, tell: OnPartial<'_>) -> Result<Answer> {
        let strings = Strings::new(ground.subject, ground.seed)?;
        let site = strings.site(&self.asked.place)?;
        let others = Others::new(&strings, self.asked.length)?;
        let passes = passes(self.asked.strings);
        let total = 2 * passes.len() + 1;
        let mut walks = Walks::default();
        for (done, numbers) in passes.iter().enumerate() {
            if !tell(PartialAnswer { done, total, so_far: &|| Ok(Answer::default()) }) {
                return Ok(stopped(Answer::default()));
            }
            walks.append(strings.walks(ground.subject.source, numbers.clone(), Some(site))?);
        }
        let here = strings.walked(std::slice::from_ref(ground.prompt), Some(site))?;
        let mut seen = self.seen(&strings, walks, (ground.prompt, here))?;
        for (pass, Range { start, end }) in passes.iter().enumerate() {
            let done = passes.len() + 1 + pass;
            if !tell(PartialAnswer { done, total, so_far: &|| seen.answer(&strings, &others) }) {
                return seen.answer(&strings, &others).map(stopped);
            }
            let source = others.source.as_deref().unwrap_or(ground.subject.source);
            let numbers = start + self.asked.strings..end + self.asked.strings;
            seen.agreement.count(&seen.found.machine, &strings.walks(source, numbers, None)?);
        }
        seen.answer(&strings, &others)
    }

    fn follows(&self) -> bool {
        true
    }
}

/// The numbers of the strings of each pass.
fn passes(strings: usize) -> Vec<Range<usize>> {
    let starts = (0..strings).step_by(AT_A_TIME);
    starts.map(|start| start..(start + AT_A_TIME).min(strings)).collect()
}

fn stopped(mut answer: Answer) -> Answer {
    let note = "Stopped before the end: not all strings were read.";
    answer.notes.push(note.to_owned());
    answer
}

/// The strings that a machine is judged by.
struct Others {
    /// `None`: they are as long as those of training.
    source: Option<Arc<dyn Source>>,
    /// Their actions.
    length: usize,
    /// What is to be known of them.
    note: Option<String>,
}

impl Others {
    /// Strings of so many actions; 0: twice as many as in training, or as many as the network reads.
    ///
    /// # Errors
    /// When the network reads no strings of that length, or the task makes none.
    fn new(strings: &Strings<'_>, asked: usize) -> Result<Self> {
        let Subject { model, source, .. } = strings.subject;
        let usual = 2 * strings.length;
        let room = model.layout().length * strings.length / source.length().max(1);
        if asked > room {
            return Err(Error::usage(format!(
                "length: this network reads strings of at most {room} symbols, and {asked} are asked for; train it with task.longest = {asked}, or ask for fewer"
            )));
        }
        let length = if asked == 0 { usual.min(room.max(strings.length)) } else { asked };
        let short = asked == 0 && length < usual;
        let note = short.then(|| format!("The network reads no strings of more than {room} symbols: with task.longest = {usual} in training the machine is judged by longer ones."));
        let source =
            if length == strings.length { None } else { Some(task::of_length(source, length)?) };
        Ok(Self { source, length, note })
    }
}

impl Automaton {
    /// The machine in what was read, and the states of the sequence in view.
    fn seen(
        &self,
        strings: &Strings<'_>,
        walks: Walks,
        (row, here): (&Row, Walks),
    ) -> Result<Seen> {
        if walks.hidden.iter().chain(&here.hidden).any(|x| !x.is_finite()) {
            return Err(Error::input(
                "Some vectors are no finite numbers, so no states are found in them: training has diverged. Go back to an earlier step.",
            ));
        }
        let whole = strings.truth();
        let truth = shown(&whole, &walks);
        let groups = self.groups(&walks, truth.next.len());
        let found = found(&walks, &groups.of, groups.count, strings.actions.len());
        let state = |vector: &[f32]| found.state_of_group[groups.group(vector)?];
        let states = here.hidden.chunks_exact(here.dims.max(1)).map(state);
        let places = strings.places(row).into_iter().zip(states);
        Ok(Seen {
            here: places.map(|((at, action), state)| (at, action, state)).collect(),
            positions: row.len(),
            partners: partners(&found, &truth, &walks, &groups.of),
            agreement: Agreement::default(),
            whole: whole.next.len(),
            truth,
            found,
            groups,
            walks,
        })
    }

    fn groups(&self, walks: &Walks, states: usize) -> Groups {
        let Asked { method, clusters, components, bins, .. } = self.asked;
        let (vectors, dims) = (&walks.hidden, walks.dims.max(1));
        match method {
            Grouping::Clusters => {
                let count = if clusters == 0 { OVER * states } else { clusters };
                Groups::clusters(vectors, dims, count, self.seed as u64)
            }
            Grouping::Grid => Groups::boxes(vectors, dims, components, bins),
        }
    }
}

/// Clusters for each state of the true machine, where nobody says how many: hidden vectors also tell the last symbols, so that as
/// many clusters as states cut across these.
const OVER: usize = 3;

/// What is known.
struct Seen {
    walks: Walks,
    groups: Groups,
    found: Found,
    truth: Moore,
    /// States of the whole true machine: the strings may not reach all of them.
    whole: usize,
    partners: Vec<Option<usize>>,
    agreement: Agreement,
    /// Of the sequence in view: positions with an action, with it and the state after it, and how many there are in all.
    here: Vec<(usize, usize, Option<usize>)>,
    positions: usize,
}

impl Seen {
    fn answer(&self, strings: &Strings<'_>, others: &Others) -> Result<Answer> {
        let apart = self.found.machine.compared(&self.truth).apart;
        let mut answer = Answer { means: self.numbers(apart.is_none()), ..Answer::default() };
        let lengths = [("length", others.length), ("trained_length", strings.length)];
        answer.means.extend(lengths.map(|(name, n)| one(name, n as f64)));
        answer.arrays = self.of_found()?;
        answer.arrays.extend(self.of_truth(strings)?);
        answer.arrays.extend(self.points()?);
        answer.arrays.extend(self.in_view()?);
        if let Some(word) = &apart {
            let data: Vec<f32> = word.iter().map(|action| *action as f32).collect();
            answer.arrays.push(Array::new("apart", &["symbol"], &[data.len()], data)?);
        }
        answer.notes.extend(others.note.clone());
        Ok(answer)
    }

    fn numbers(&self, agrees: bool) -> Vec<Mean> {
        let (machine, truth) = (&self.found.machine, &self.truth);
        let counts = [
            ("states", machine.next.len()),
            ("true_states", truth.next.len()),
            ("machine_states", self.whole),
            ("groups", self.groups.count),
            ("start", machine.start),
            ("true_start", truth.start),
            ("is_same", usize::from(agrees && machine.next.len() == truth.next.len())),
            ("strings", self.walks.actions.len() / self.walks.length.max(1)),
        ];
        let Agreement { with_network, with_truth, network } = self.agreement;
        let shares =
            [("agreement", with_network), ("accuracy", with_truth), ("network_accuracy", network)];
        let shares = shares.map(|(name, tally): (_, Tally)| tally.named(name));
        let counts = counts.map(|(name, n)| one(name, n as f64));
        let determinism = one("determinism", self.found.determinism);
        counts.into_iter().chain([determinism]).chain(shares).collect()
    }

    /// The machine that was found, state by state.
    fn of_found(&self) -> Result<Vec<Array>> {
        let Found { machine, seen, certainty, purity, .. } = &self.found;
        let shape = [machine.next.len(), machine.next.first().map_or(0, Vec::len)];
        let of_states =
            |name: &str, data: Vec<f32>| Array::new(name, &["state"], &shape[..1], data);
        let of_moves =
            |name: &str, data: Vec<f32>| Array::new(name, &["state", "action"], &shape, data);
        let partners = self.partners.iter().map(|partner| number(*partner)).collect();
        Ok(vec![
            of_moves("next", moves(machine))?,
            of_moves("seen", seen.iter().flatten().map(|n| *n as f32).collect())?,
            of_moves("certainty", certainty.iter().flatten().map(|x| narrow(*x)).collect())?,
            of_states("label", labels(machine))?,
            of_states("purity", purity.iter().map(|share| narrow(*share)).collect())?,
            of_states("partner", partners)?,
            self.centres(shape[0])?,
        ])
    }

    /// The true machine, and the tokens of the actions of both.
    fn of_truth(&self, strings: &Strings<'_>) -> Result<[Array; 3]> {
        let (truth, actions) = (&self.truth, &strings.actions);
        let shape = [truth.next.len(), actions.len()];
        let tokens: Vec<f32> = actions.iter().map(|token| *token as f32).collect();
        Ok([
            Array::new("true_next", &["true_state", "action"], &shape, moves(truth))?,
            Array::new("true_label", &["true_state"], &shape[..1], labels(truth))?,
            Array::new("action", &["action"], &shape[1..], tokens)?,
        ])
    }

    /// The state of each vector that has one, by its number.
    fn states(&self) -> impl Iterator<Item = Option<usize>> {
        self.groups.of.iter().map(|group| self.found.state_of_group[*group])
    }

    /// The mean of the vectors of each state.
    fn centres(&self, states: usize) -> Result<Array> {
        let dims = self.walks.dims;
        let known = self.walks.hidden.chunks_exact(dims.max(1)).zip(self.states());
        let (vectors, of): (Vec<&[f32]>, Vec<usize>) =
            known.filter_map(|(vector, state)| Some((vector, state?))).unzip();
        let centres = means(&vectors.concat(), dims.max(1), &of, vec![0.0; states * dims]);
        Array::new("centre", &["state", "dim"], &[states, dims], centres)
    }

    /// Some of the vectors, to be drawn.
    fn points(&self) -> Result<Vec<Array>> {
        let dims = self.walks.dims;
        let count = self.groups.of.len().min(MOST_POINTS);
        let points = centered(&self.walks.hidden[..count * dims], dims);
        let Basis { rows, explained, .. } = pca(&points, dims, AXES);
        let axes = explained.len();
        let states: Vec<f32> = self.states().take(count).map(number).collect();
        let explained: Vec<f32> = explained.into_iter().map(narrow).collect();
        Ok(vec![
            Array::new("points", &["point", "dim"], &[count, dims], points)?,
            Array::new("point_state", &["point"], &[count], states)?,
            Array::new("axes", &["axis", "dim"], &[axes, dims], rows)?,
            Array::new("explained", &["axis"], &[axes], explained)?,
        ])
    }

    /// The state and the action at each position of the sequence in view.
    fn in_view(&self) -> Result<[Array; 2]> {
        let (mut states, mut actions) = (vec![-1.0; self.positions], vec![-1.0; self.positions]);
        for (at, action, state) in &self.here {
            (states[*at], actions[*at]) = (number(*state), *action as f32);
        }
        let array = |name: &str, data| Array::new(name, &["position"], &[self.positions], data);
        Ok([array("here_state", states)?, array("here_action", actions)?])
    }
}

/// A number, or -1 for none.
fn number(what: Option<usize>) -> f32 {
    what.map_or(-1.0, |what| what as f32)
}

/// `[state]`: the token that is told.
fn labels(machine: &Moore) -> Vec<f32> {
    let token = |told: &Option<u32>| number(told.map(|token| token as usize));
    machine.told.iter().map(token).collect()
}

/// `[state, action]`: the state afterwards.
fn moves(machine: &Moore) -> Vec<f32> {
    machine.next.iter().flatten().map(|next| number(*next)).collect()
}
