//! What changes the network in view: in training, or in what is looked at alone.

use crate::base::error::Error;
use crate::base::intervention::{How, Intervention};
use crate::figure::Patch;

use super::Lab;

/// What a hand did, to be taken back or done again.
#[derive(Clone, Debug, PartialEq)]
pub enum Change {
    Intervened(Intervention),
    Lifted(Intervention),
}

impl Lab {
    /// What a hand brought into force and lifted since this was asked last.
    pub fn take_changes(&mut self) -> Vec<Change> {
        std::mem::take(&mut self.changes)
    }

    /// Undoes a change; of one that is undone already, nothing.
    pub fn take_back(&mut self, change: &Change) {
        match change {
            Change::Intervened(what) => self.lift(what),
            Change::Lifted(what) => self.intervene(what.clone()),
        }
    }

    pub fn do_again(&mut self, change: &Change) {
        match change {
            Change::Intervened(what) => self.intervene(what.clone()),
            Change::Lifted(what) => self.lift(what),
        }
    }

    /// Whether interventions change training, or only what is looked at.
    pub fn acts_on_training(&self) -> bool {
        self.step.is_none() && self.training().is_some_and(|t| !t.gone)
    }

    /// Whether what is in force is shown alone: training goes on without it.
    pub fn shows_alone(&self) -> bool {
        !self.trial.is_empty()
    }

    /// What changes the network in view, and what can be undone.
    pub fn in_force(&self) -> Vec<Intervention> {
        let training = self.training().filter(|_| self.acts_on_training());
        let trained_with = training.map_or(&[][..], |training| &training.in_force[..]);
        [trained_with, &self.trial].concat()
    }

    /// Brings the base of a pair into view with one place taken from the run on its counterfactual; once more, and
    /// that is lifted. One place at a time: what another click brought is lifted before.
    pub(super) fn show_patched(&mut self, patch: &Patch) {
        let how = How::Patch(patch.other.to_vec());
        let what = Intervention::Change { place: patch.place.clone(), how };
        let here = self.prompt.tokens[..] == patch.base[..];
        let again = here && self.in_force().contains(&what);
        self.lift_patched();
        if again {
            return self.lift(&what);
        }
        if !here {
            self.show_tokens(&patch.base);
        }
        self.selection.query = Some(patch.at).filter(|at| *at < self.prompt.len());
        self.patched = Some(what.clone());
        self.intervene(what);
    }

    /// What a click on a map brought holds for its sequence alone.
    pub(super) fn lift_patched(&mut self) {
        if let Some(what) = self.patched.take() {
            self.trial.retain(|t| *t != what);
            self.changed();
        }
    }

    /// Training or the step of the past in view, whichever is looked at.
    pub fn intervene(&mut self, what: Intervention) {
        if self.in_force().contains(&what) {
            return;
        }
        let trains = self.acts_on_training() && !what.needs_reference();
        if trains && let Some(training) = self.training_mut() {
            training.intervene(&what, true);
        } else if what.changes_forward() {
            self.trial.push(what.clone());
        } else {
            return self.trouble(Error::usage(
                "freezing changes training, and a step of the past is not trained: go back to live, or branch from this step and freeze there",
            ));
        }
        self.changes.push(Change::Intervened(what));
        self.changed();
    }

    /// Of what is not in force, nothing.
    pub fn lift(&mut self, what: &Intervention) {
        let acts = self.acts_on_training();
        if self.trial.contains(what) {
            self.trial.retain(|t| t != what);
        } else if let Some(training) =
            self.training_mut().filter(|training| acts && training.in_force.contains(what))
        {
            training.intervene(what, false);
        } else {
            return;
        }
        self.changes.push(Change::Lifted(what.clone()));
        self.changed();
    }

    /// Brings these into force and lifts all others.
    pub fn operate(&mut self, wanted: &[Intervention]) {
        let now = self.in_force();
        for what in now.iter().rev().filter(|what| !wanted.contains(what)) {
            self.lift(what);
        }
        for what in wanted.iter().filter(|what| !now.contains(what)) {
            self.intervene(what.clone());
        }
    }

    /// Cuts the head in focus, or mends it.
    pub fn cut_or_mend_head(&mut self) {
        let cut = self.head_cut();
        if self.in_force().contains(&cut) { self.lift(&cut) } else { self.intervene(cut) }
    }

    pub fn lift_newest(&mut self) {
        if let Some(what) = self.in_force().last() {
            self.lift(what);
        }
    }

    pub fn lift_all(&mut self) {
        for what in self.in_force().iter().rev() {
            self.lift(what);
        }
    }

    /// What cutting the head in focus means.
    pub fn head_cut(&self) -> Intervention {
        Intervention::cut_head(self.selection.layer, self.selection.head)
    }
}
