//! What is selected: one position to ask of, one to look at, one head; the same for all panels.

use crate::figure::Pick;
use crate::panel::{MemorySlot, Selection, positions};
use crate::run::scoring;

use super::Lab;

impl Lab {
    /// One selection for all panels.
    pub fn pick(&mut self, pick: &Pick, shift: bool) {
        let before = self.first_in_view();
        let selection = &mut self.selection;
        match *pick {
            // A run is opened by the window.
            Pick::Nothing | Pick::Token(_) | Pick::Run(_) => return,
            Pick::Query(at) | Pick::Key(at) if shift => selection.key = Some(at),
            Pick::Query(at) => {
                selection.query = Some(at);
                // What comes after the query is hidden from it.
                selection.key = selection.key.filter(|key| *key <= at);
            }
            Pick::Key(at) => selection.key = Some(at),
            // What wrote it is selected everywhere.
            Pick::Slot { token, segment, layer, writer } => {
                selection.slot = Some(MemorySlot { token, segment, layer });
                selection.query = Some(writer);
                selection.key = None;
            }
            Pick::QueryKey { query, key } => {
                selection.query = Some(query);
                selection.key = Some(key);
            }
            Pick::Head { layer, head } => {
                self.awaits_head = false;
                selection.layer = layer;
                selection.head = head;
            }
            Pick::Step(step) => return self.view(Some(step)),
            Pick::Patch(ref patch) => return self.show_patched(patch),
            Pick::CloudPoint { sequence, position, is_key } => {
                return self.pick_cloud_point(sequence, position, is_key);
            }
        }
        self.hold_view(before);
        self.changed();
    }

    /// The first of the positions in view.
    fn first_in_view(&self) -> usize {
        positions::first_in_view(&self.selection, self.prompt.len())
    }

    /// Leaves in view what was in view before, where what is selected now is a part of it.
    fn hold_view(&mut self, first: usize) {
        let in_view = first..first + positions::IN_VIEW;
        let follows = Selection { first: None, ..self.selection.clone() };
        if positions::first_in_view(&follows, self.prompt.len()) == first {
            // They would be in view anyway, unless a hand has scrolled there.
            return;
        }
        let selected = [self.selection.query, self.selection.key];
        let is_seen = selected.iter().flatten().all(|at| in_view.contains(at));
        self.selection.first = is_seen.then_some(first);
    }

    /// Moves the positions in view so that `first` is the first.
    pub fn scroll_to(&mut self, first: usize) {
        let last = self.prompt.len().saturating_sub(positions::IN_VIEW);
        self.selection.first = Some(first.min(last));
        self.changed();
    }

    /// Moves the positions in view by so many.
    pub fn scroll(&mut self, by: i64) {
        let (first, far) = (self.first_in_view(), usize::try_from(by.unsigned_abs()));
        let far = far.unwrap_or(usize::MAX);
        self.scroll_to(if by < 0 { first.saturating_sub(far) } else { first.saturating_add(far) });
    }

    /// Points of other sequences bring that sequence into view.
    pub(super) fn pick_cloud_point(&mut self, sequence: usize, position: usize, is_key: bool) {
        if self.drawn != Some(sequence as u64) {
            self.draw_sequence(sequence as u64);
        }
        if position >= self.prompt.len() {
            return;
        }
        let slot = if is_key { &mut self.selection.key } else { &mut self.selection.query };
        *slot = Some(position);
        self.changed();
    }

    /// Moves the selected query (or key) by `by` positions.
    pub fn move_selection(&mut self, by: isize, key: bool) {
        let (last, before) = (self.prompt.len().saturating_sub(1), self.first_in_view());
        let slot = if key { &mut self.selection.key } else { &mut self.selection.query };
        let from = slot.unwrap_or(if by > 0 { 0 } else { last });
        *slot = Some(from.saturating_add_signed(by).min(last));
        self.hold_view(before);
        self.changed();
    }

    /// Moves the focus by `by` heads through all layers.
    pub fn move_head(&mut self, by: isize) {
        let Some(run) = self.run() else { return };
        let heads = run.info.net.heads.iter().enumerate();
        let all: Vec<(usize, usize)> =
            heads.flat_map(|(l, &n)| (0..n).map(move |h| (l, h))).collect();
        let here = (self.selection.layer, self.selection.head);
        let at = all.iter().position(|h| *h == here).unwrap_or(0);
        if let Some(&(layer, head)) =
            all.get(at.saturating_add_signed(by).min(all.len().saturating_sub(1)))
        {
            self.focus((layer, head));
        }
    }

    fn focus(&mut self, (layer, head): (usize, usize)) {
        self.awaits_head = false;
        (self.selection.layer, self.selection.head) = (layer, head);
        self.changed();
    }

    /// Brings the head that scores highest as an induction head into focus once that is known, where nobody has chosen one.
    /// True if so.
    pub fn focus_on_induction(&mut self) -> bool {
        if !self.awaits_head {
            return false;
        }
        let found = self.analyses.analyzed.get(&scoring::call());
        let Some(Ok(scores)) = found.filter(|found| found.ended).and_then(|f| f.reading.as_ref())
        else {
            return false;
        };
        let Some(heads) = scores.array("prefix_matching").filter(|array| array.shape.len() == 2)
        else {
            return false;
        };
        let known = heads.data.iter().enumerate().filter(|(_, score)| score.is_finite());
        let Some((at, _)) = known.max_by(|a, b| a.1.total_cmp(b.1)) else { return false };
        self.focus((at / heads.shape[1], at % heads.shape[1]));
        true
    }

    pub fn clear_selection(&mut self) {
        self.selection.query = None;
        self.selection.key = None;
        self.selection.slot = None;
        self.changed();
    }
}
