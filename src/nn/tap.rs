//! Watch and change a forward pass. The watcher is an argument, so nothing has to be removed afterwards.

use std::collections::BTreeMap;
use std::ops::{Deref, DerefMut};

use candle_core::Tensor;

use super::attention::Attention;
use super::edit::Edit;
use crate::base::error::{Error, Result};
use crate::base::intervention::{Point, Site, memory_token};

/// Sees, and may replace, every tensor of a forward pass that it wants.
pub trait Tap {
    /// False lets the model take a fused kernel past this point.
    fn wants(&self, site: Site) -> bool;
    /// What goes on instead of `x`; only called where `wants` is true.
    ///
    /// # Errors
    /// When the replacement cannot be computed.
    fn at(&mut self, site: Site, x: Tensor) -> Result<Tensor>;
    /// The same where a place is passed piece by piece: a network that reads in segments, or position after position.
    ///
    /// # Errors
    /// As [`Self::at`]; and for a tap that says nothing of pieces, when `x` is not the whole.
    fn at_part(&mut self, site: Site, part: Part, x: Tensor) -> Result<Tensor> {
        if part.is_whole(site, &x) {
            return self.at(site, x);
        }
        Err(Error::usage(format!(
            "this question looks at whole sequences, and this network passes {site} in pieces: ask another one"
        )))
    }
}

/// What the rows of a tensor are: memory tokens, positions of segments before, those of this one, and then the other memory
/// tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part {
    /// The first position.
    pub from: usize,
    pub len: usize,
    /// Positions of the whole sequence.
    pub of: usize,
    /// Memory tokens before the positions.
    pub memory: usize,
    /// Of the positions before `from`, so many are there too: the last.
    pub cached: usize,
    /// Memory tokens before the keys of scores and patterns.
    pub key_memory: usize,
    /// Keys of positions before `from`.
    pub key_cached: usize,
    /// Where the memory keys are rows that positions were compressed into: the number of the first of them, counted through the
    /// whole sequence.
    pub compressed: Option<usize>,
    /// Number of the segment that is read.
    pub segment: usize,
}

impl Part {
    /// `len` positions and nothing else.
    pub fn positions(from: usize, len: usize, of: usize) -> Self {
        let (memory, cached, key_memory, key_cached) = (0, 0, 0, 0);
        let (compressed, segment) = (None, 0);
        Self { from, len, of, memory, cached, key_memory, key_cached, compressed, segment }
    }

    /// Of `count` rows whose first position is the `step`-th of these; if they are more than the positions, they begin with
    /// `memory` memory tokens.
    pub fn rows(self, step: usize, count: usize, memory: usize) -> Self {
        if count > self.len {
            return Self { memory, ..self };
        }
        Self { segment: self.segment, ..Self::positions(self.from + step, count, self.of) }
    }

    /// All positions of a tensor of a place.
    pub fn whole(site: Site, x: &Tensor) -> Self {
        let len = rows(site, x);
        Self::positions(0, len, len)
    }

    /// Whether `x` has all positions and nothing else.
    pub fn is_whole(self, site: Site, x: &Tensor) -> bool {
        self == Self::positions(0, self.of, self.of) && rows(site, x) == self.of
    }

    /// What a row is, as in [`crate::base::intervention::Place::positions`]: a memory token by itself, and that of this segment.
    pub fn place(self, row: usize) -> [usize; 2] {
        self.place_after(self.memory, self.cached, row)
    }

    /// What a key is.
    pub fn key(self, column: usize) -> [usize; 2] {
        match self.compressed {
            Some(first) if column < self.key_memory => {
                [None, Some(self.segment)].map(|segment| memory_token(first + column, segment))
            }
            _ => self.place_after(self.key_memory, self.key_cached, column),
        }
    }

    /// The same of attention from so many queries, which stand at the last of the keys: keys that are more than
    /// these and the memory were kept of positions before.
    pub fn of_attention(self, how: Attention, queries: usize, keys: usize) -> Self {
        let Attention { mask, compressed, .. } = how;
        let more = keys.saturating_sub(queries);
        let memory = mask.memory.saturating_sub(more);
        let key_cached = more.saturating_sub(mask.memory).min(self.from);
        Self { key_memory: memory + more - key_cached, memory, key_cached, compressed, ..self }
    }

    /// The columns of memory tokens, of so many: the first of them and their number, before the positions and after them.
    pub fn memory_keys(self, columns: usize) -> [(usize, usize); 2] {
        let end = self.key_memory + self.key_cached + self.len;
        [(0, self.key_memory), (end, columns.saturating_sub(end))]
    }

    fn place_after(self, memory: usize, cached: usize, row: usize) -> [usize; 2] {
        let token = match row.checked_sub(memory) {
            None => row,
            Some(row) if row < cached + self.len => return [self.from - cached + row; 2],
            Some(_) => row - cached - self.len,
        };
        [None, Some(self.segment)].map(|segment| memory_token(token, segment))
    }
}

/// The axis of a tensor of the forward pass that positions are on.
pub fn position_axis(site: Site) -> usize {
    if site.point.by_head() { 2 } else { 1 }
}

fn rows(site: Site, x: &Tensor) -> usize {
    x.dims().get(position_axis(site)).copied().unwrap_or(0)
}

/// A tap on the attention to a part of the sequences.
pub struct Within<'a> {
    pub tap: &'a mut dyn Tap,
    pub part: Part,
}

impl Tap for Within<'_> {
    fn wants(&self, site: Site) -> bool {
        self.tap.wants(site)
    }

    fn at(&mut self, site: Site, x: Tensor) -> Result<Tensor> {
        let Part { key_memory: memory, key_cached: cached, .. } = self.part;
        let is_key = matches!(site.point, Point::K | Point::V);
        let part = if is_key { Part { memory, cached, ..self.part } } else { self.part };
        self.tap.at_part(site, part, x)
    }
}

/// Passes `x` through the tap if the tap wants it.
///
/// # Errors
/// Those of the tap.
pub fn through(tap: &mut dyn Tap, layer: usize, point: Point, x: Tensor) -> Result<Tensor> {
    let site = Site { layer, point };
    if tap.wants(site) { tap.at(site, x) } else { Ok(x) }
}

/// Wants nothing: the fast path.
pub struct Untapped;

impl Tap for Untapped {
    fn wants(&self, _site: Site) -> bool {
        false
    }

    fn at(&mut self, _site: Site, x: Tensor) -> Result<Tensor> {
        Ok(x)
    }
}

/// Tensors of a forward pass, by where they were; what came in pieces is put together along its positions.
///
/// As a map it holds positions alone: a column of scores and patterns is a position, whatever the network has before it. The
/// columns of memory tokens stand beside them, for those who ask.
#[derive(Clone, Debug, Default)]
pub struct Captured {
    positions: BTreeMap<Site, Tensor>,
    /// `[batch, head, query, memory token]`, of scores and patterns.
    memory: BTreeMap<Site, Tensor>,
    /// Segment by segment, with all rows, where some of them are memory tokens.
    pieces: BTreeMap<Site, Vec<(Part, Tensor)>>,
}

impl Captured {
    pub fn new() -> Self {
        Self::default()
    }

    /// A tensor with all its columns, and how many of them, the first, are of memory tokens: rows of patterns sum to 1.
    ///
    /// # Errors
    /// When segments have different numbers of memory tokens.
    pub fn whole(&self, site: Site) -> Result<Option<(Tensor, usize)>> {
        Ok(match (self.positions.get(&site), self.memory.get(&site)) {
            (Some(positions), Some(memory)) => {
                Some((Tensor::cat(&[memory, positions], KEYS)?, memory.dim(KEYS)?))
            }
            (positions, _) => positions.map(|positions| (positions.clone(), 0)),
        })
    }

    /// What a place was in each segment, memory tokens and all; nothing where it has none.
    pub fn pieces(&self, site: Site) -> &[(Part, Tensor)] {
        self.pieces.get(&site).map_or(&[], Vec::as_slice)
    }

    fn add(&mut self, site: Site, part: Part, x: &Tensor) -> Result<()> {
        let rows = x.dim(position_axis(site))?;
        let keys = if site.point.has_keys() { x.dim(KEYS)? } else { 0 };
        if rows > part.cached + part.len || keys > part.key_cached + part.len {
            self.pieces.entry(site).or_default().push((part, x.clone()));
        }
        if let Some(columns) = memory_columns(site, part, x)? {
            let columns = self.beside_those_before(site, part, columns)?;
            append(&mut self.memory, site, part, columns)?;
        }
        append(&mut self.positions, site, part, in_sequence(site, part, x.clone())?)
    }
}

impl Captured {
    /// Columns of rows that positions were compressed into, each where its number says, in as many as there are by now; rows of segments
    /// that had none are zeros.
    fn beside_those_before(&mut self, site: Site, part: Part, columns: Tensor) -> Result<Tensor> {
        let Some(first) = part.compressed else { return Ok(columns) };
        let all = first + columns.dim(KEYS)?;
        if part.from > 0 {
            let mut dims = columns.dims().to_vec();
            (dims[position_axis(site)], dims[KEYS]) = (part.from, all);
            let before = match self.memory.remove(&site) {
                Some(before) => before.pad_with_zeros(KEYS, 0, all - before.dim(KEYS)?)?,
                None => Tensor::zeros(dims, columns.dtype(), columns.device())?,
            };
            self.memory.insert(site, before);
        }
        Ok(columns.pad_with_zeros(KEYS, first, 0)?)
    }
}

impl Deref for Captured {
    type Target = BTreeMap<Site, Tensor>;

    fn deref(&self) -> &Self::Target {
        &self.positions
    }
}

impl DerefMut for Captured {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.positions
    }
}

impl FromIterator<(Site, Tensor)> for Captured {
    fn from_iter<I: IntoIterator<Item = (Site, Tensor)>>(tensors: I) -> Self {
        Self { positions: tensors.into_iter().collect(), ..Self::default() }
    }
}

/// The axis of scores and patterns that keys are on.
pub const KEYS: usize = 3;

/// Puts a part after those before it.
fn append(all: &mut BTreeMap<Site, Tensor>, site: Site, part: Part, mut x: Tensor) -> Result<()> {
    if let Some(before) = all.get(&site).filter(|_| part.from > 0) {
        x = Tensor::cat(&[before, &x], position_axis(site))?;
    }
    all.insert(site, x);
    Ok(())
}

/// Carries out edits and keeps the tensors of some sites (after the edits).
#[derive(Default)]
pub struct EditAndCapture {
    edits: Vec<Edit>,
    keep: Vec<Site>,
    /// What places whose content is held were when they were passed last.
    held: BTreeMap<Site, Tensor>,
    pub captured: Captured,
    /// Sites whose last position was passed.
    complete: usize,
}

impl EditAndCapture {
    pub fn new(edits: Vec<Edit>, keep: Vec<Site>) -> Self {
        Self { edits, keep, ..Self::default() }
    }

    /// Whether the tensors of so many sites are there, to their last position.
    pub fn has(&self, sites: usize) -> bool {
        self.complete >= sites
    }

    fn capture(&mut self, site: Site, part: Part, x: &Tensor) -> Result<()> {
        self.captured.add(site, part, &x.detach())?;
        self.complete += usize::from(part.from + part.len >= part.of);
        Ok(())
    }
}

/// The rows of the positions alone, and in scores and patterns a column for each position of the whole sequence, 0 where it
/// is not seen. Where a place is one of memory tokens: as it is.
fn in_sequence(site: Site, part: Part, x: Tensor) -> Result<Tensor> {
    if part.len == 0 || part.is_whole(site, &x) {
        return Ok(x);
    }
    let x = x.narrow(position_axis(site), part.memory + part.cached, part.len)?;
    if !site.point.has_keys() {
        return Ok(x);
    }
    let (before, after) =
        (part.from - part.key_cached, part.of.saturating_sub(part.from + part.len));
    let x = x.narrow(KEYS, part.key_memory, part.key_cached + part.len)?;
    Ok(x.pad_with_zeros(KEYS, before, after)?)
}

/// The columns of memory tokens of scores and patterns, in the rows of the positions: those before the positions, then the others.
fn memory_columns(site: Site, part: Part, x: &Tensor) -> Result<Option<Tensor>> {
    if !site.point.has_keys() || part.len == 0 {
        return Ok(None);
    }
    let (rows, keys) = (x.narrow(position_axis(site), part.memory, part.len)?, x.dim(KEYS)?);
    let columns = part.memory_keys(keys).into_iter().filter(|(_, count)| *count > 0);
    let columns = columns.map(|(from, count)| Ok(rows.narrow(KEYS, from, count)?));
    let columns = columns.collect::<Result<Vec<Tensor>>>()?;
    Ok(if columns.is_empty() { None } else { Some(Tensor::cat(&columns, KEYS)?) })
}

impl Tap for EditAndCapture {
    fn wants(&self, site: Site) -> bool {
        self.keep.contains(&site) || self.edits.iter().any(|edit| edit.site == site)
    }

    fn at(&mut self, site: Site, x: Tensor) -> Result<Tensor> {
        self.at_part(site, Part::whole(site, &x), x)
    }

    fn at_part(&mut self, site: Site, part: Part, mut x: Tensor) -> Result<Tensor> {
        for edit in self.edits.iter().filter(|edit| edit.site == site) {
            x = edit.apply(&x, part, self.held.get(&site))?;
        }
        if self.edits.iter().any(|edit| edit.site == site && edit.holds()) {
            self.held.insert(site, x.clone());
        }
        if self.keep.contains(&site) {
            self.capture(site, part, &x)?;
        }
        Ok(x)
    }
}

/// Looks at places while they pass, after the edits; nothing of them is kept.
pub trait Glance {
    fn sites(&self) -> &[Site];
    /// Sees the whole of a place.
    ///
    /// # Errors
    /// When it cannot be looked at.
    fn see(&mut self, site: Site, x: &Tensor) -> Result<()>;
    /// Whether it sees a place before it is edited, too: no pass goes on for that.
    fn sees_before(&self, _site: Site) -> bool {
        false
    }
    /// Sees such a place.
    ///
    /// # Errors
    /// When nobody wants the pass any more: it ends there.
    fn before(&mut self, _site: Site, _x: &Tensor) -> Result<()> {
        Ok(())
    }
}

/// What each layer reads, before anything is changed there: from there on a pass can be made again. `[batch, pos, width]` each.
#[derive(Clone, Debug, Default)]
pub struct Streams(Vec<Tensor>);

impl Streams {
    /// The layer that a pass begins with which is asked about `layer` and later ones, and what that layer reads; `None`: it begins at the
    /// beginning.
    pub fn from(&self, layer: usize) -> Option<(usize, Tensor)> {
        let at = layer.min(self.0.len().checked_sub(1)?);
        (at > 0).then(|| (at, self.0[at].clone()))
    }
}

impl Glance for Streams {
    fn sites(&self) -> &[Site] {
        &[]
    }

    fn see(&mut self, _site: Site, _x: &Tensor) -> Result<()> {
        Ok(())
    }

    fn sees_before(&self, site: Site) -> bool {
        site.point == Point::ResidPre
    }

    /// Layers come in their order, from the one that the pass begins with.
    fn before(&mut self, site: Site, x: &Tensor) -> Result<()> {
        if site.layer == self.0.len() {
            self.0.push(x.detach());
        }
        Ok(())
    }
}

/// Keeps the tensors of some sites under edits, and ends the pass, by refusing to go on, once it has all that is asked.
pub struct Until<'a> {
    pub bench: EditAndCapture,
    glance: Option<&'a mut dyn Glance>,
    /// Sites to capture or to look at.
    enough: usize,
    /// Sites that were looked at.
    seen: usize,
    /// Whether a refusal was no failure.
    pub is_ended: bool,
}

impl<'a> Until<'a> {
    /// Ends with the last of the sites where the logits are not wanted.
    pub fn new(
        edits: Vec<Edit>,
        keep: &[Site],
        glance: Option<&'a mut dyn Glance>,
        wants_logits: bool,
    ) -> Self {
        let sites = keep.len() + glance.as_ref().map_or(0, |glance| glance.sites().len());
        let enough = if wants_logits { usize::MAX } else { sites };
        let bench = EditAndCapture::new(edits, keep.to_vec());
        Self { bench, glance, enough, seen: 0, is_ended: false }
    }

    /// Looks at what passes a site, if somebody does.
    fn look(&mut self, site: Site, part: Part, x: &Tensor) -> Result<()> {
        let Some(glance) = self.glance.as_mut().filter(|glance| glance.sites().contains(&site))
        else {
            return Ok(());
        };
        if !part.is_whole(site, x) {
            return Err(Error::usage(format!(
                "this question looks at whole sequences, and this network passes {site} in pieces: ask another one"
            )));
        }
        self.seen += 1;
        glance.see(site, x)
    }
}

impl Tap for Until<'_> {
    fn wants(&self, site: Site) -> bool {
        let sees =
            |glance: &&mut dyn Glance| glance.sites().contains(&site) || glance.sees_before(site);
        self.glance.as_ref().is_some_and(sees) || self.bench.wants(site)
    }

    fn at(&mut self, site: Site, x: Tensor) -> Result<Tensor> {
        self.at_part(site, Part::whole(site, &x), x)
    }

    fn at_part(&mut self, site: Site, part: Part, x: Tensor) -> Result<Tensor> {
        if let Some(glance) = self.glance.as_mut().filter(|glance| glance.sees_before(site)) {
            glance.before(site, &x)?;
        }
        let x = self.bench.at_part(site, part, x)?;
        self.look(site, part, &x)?;
        self.is_ended = self.bench.has(self.enough.saturating_sub(self.seen));
        if self.is_ended { Err(Error::internal("nothing more is asked")) } else { Ok(x) }
    }
}
