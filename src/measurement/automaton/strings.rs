//! Strings of actions, read by a network: what stands in it after each, and what it tells.

use std::ops::Range;

use crate::base::batch::{Batch, Row};
use crate::base::error::{Error, Result};
use crate::base::intervention::{Place, Point, Site};
use crate::measurement::Subject;
use crate::measurement::read::{likeliest, values};
use crate::model::pass;
use crate::task::Source;
use crate::task::automaton::Machine;

use super::{Moore, Walks};

/// The strings of a task whose machine is known.
pub struct Strings<'a> {
    pub subject: Subject<'a>,
    /// Seed of the sequences.
    pub seed: u64,
    machine: &'a Machine,
    /// The token of each action.
    pub actions: Vec<u32>,
    /// Actions of a sequence of training.
    pub length: usize,
}

impl<'a> Strings<'a> {
    /// # Errors
    /// When the task has no machine.
    pub fn new(subject: Subject<'a>, seed: u64) -> Result<Self> {
        let source = subject.source;
        let machine = source.facet::<Machine>().ok_or_else(|| {
            Error::usage(
                "The sequences of this task are no strings that a machine reads, so none is looked for in the network; those of the task \"automaton\" are.",
            )
        })?;
        let id = |name: &String| source.vocab().id(name);
        let actions = machine.actions.iter().filter_map(id).collect();
        let mut strings = Self { subject, seed, machine, actions, length: 0 };
        strings.length = strings.places(&source.sequence(seed, 0)).len();
        if strings.length == 0 || strings.actions.len() != machine.actions.len() {
            return Err(Error::internal(
                "the actions of the machine are no tokens of the sequences of its task",
            ));
        }
        Ok(strings)
    }

    /// The true machine, as small as it can be.
    pub fn truth(&self) -> Moore {
        let vocab = self.subject.source.vocab();
        let label = |told: &usize| self.machine.labels.get(*told).and_then(|name| vocab.id(name));
        let whole = Moore {
            start: self.machine.start,
            next: self
                .machine
                .next
                .iter()
                .map(|row| row.iter().copied().map(Some).collect())
                .collect(),
            told: self.machine.told.iter().map(label).collect(),
        };
        whole.minimised().machine
    }

    /// The positions of a sequence at which an action stands, and which.
    pub fn places(&self, row: &Row) -> Vec<(usize, usize)> {
        let action = |token: &u32| self.actions.iter().position(|action| action == token);
        let place = |(at, token)| action(token).map(|action| (at, action));
        row.tokens.iter().enumerate().filter_map(place).collect()
    }

    /// Where a network of these sequences is read: at the place that was named, or after the last layer, in its hidden state or the
    /// residual stream.
    ///
    /// # Errors
    /// When the network has no such place, or no one vector at each position stands there.
    pub fn site(&self, named: &str) -> Result<Site> {
        let Subject { model, params, source } = self.subject;
        let last = model.layout().heads.len().saturating_sub(1);
        let usual =
            [Point::own("hidden"), Point::ResidPost].map(|point| Site { layer: last, point });
        let asked = match named.trim() {
            "" => usual.to_vec(),
            text => vec![text.parse::<Place>().map_err(|e| e.context("place"))?.site],
        };
        let batch = Batch::from_rows(&[source.sequence(self.seed, 0)]);
        let (_, there) = pass::forward(model, params, &batch, &[], &asked, true)?;
        let is_vector = |site: &&Site| there.get(*site).is_some_and(|x| x.dims().len() == 3);
        asked.iter().find(is_vector).copied().ok_or_else(|| {
            Error::usage(format!(
                "place: this network has no vector for each position at \"{}\"; expected for example layer0.resid_post, or layer0.hidden of a recurrent one",
                if named.trim().is_empty() { "resid_post" } else { named.trim() }
            ))
        })
    }

    /// What the network does on some sequences of a source, by their numbers; its vectors where a site is named.
    ///
    /// # Errors
    /// When the forward pass fails, or sequences differ in length.
    pub fn walks(
        &self,
        source: &dyn Source,
        numbers: Range<usize>,
        site: Option<Site>,
    ) -> Result<Walks> {
        let rows: Vec<Row> =
            numbers.map(|number| source.sequence(self.seed, number as u64)).collect();
        self.walked(&rows, site)
    }

    /// The same on these sequences, each with as many actions.
    ///
    /// # Errors
    /// As [`Self::walks`].
    pub fn walked(&self, rows: &[Row], site: Option<Site>) -> Result<Walks> {
        let Subject { model, params, .. } = self.subject;
        let batch = Batch::from_rows(rows);
        let sites: Vec<Site> = site.into_iter().collect();
        let (logits, captured) = pass::forward(model, params, &batch, &[], &sites, true)?;
        let told = likeliest(logits.as_ref())?;
        let places: Vec<Vec<(usize, usize)>> = rows.iter().map(|row| self.places(row)).collect();
        let length = places.first().map_or(0, Vec::len);
        if places.iter().any(|places| places.len() != length) {
            return Err(Error::internal("strings of a task differ in length"));
        }
        let in_row = |(row, places): (usize, Vec<(usize, usize)>)| {
            places.into_iter().map(move |(at, action)| (row * batch.len + at, action))
        };
        let all: Vec<(usize, usize)> = places.into_iter().enumerate().flat_map(in_row).collect();
        let mut walks = Walks {
            length,
            actions: all.iter().map(|(_, action)| *action).collect(),
            told: all.iter().map(|(at, _)| told[*at]).collect(),
            right: all.iter().map(|(at, _)| batch.targets[*at]).collect(),
            ..Walks::default()
        };
        if let Some(x) = site.and_then(|site| captured.get(&site)) {
            let dims = x.dim(2)?;
            let vectors = |x: &[f32]| {
                all.iter().flat_map(|(at, _)| &x[at * dims..][..dims]).copied().collect()
            };
            (walks.dims, walks.hidden) = (dims, values(x, vectors)?);
        }
        Ok(walks)
    }
}
