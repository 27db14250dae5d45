//! Views, without a window: the same figure goes to the screen, to a file and to a test.

pub mod attention;
pub mod attribution;
pub mod automaton;
pub mod circuits;
pub mod colors;
pub mod columns;
pub mod compare;
pub mod curves;
pub mod differences;
pub mod flags;
pub mod gating;
mod head_map;
pub mod head_scores;
pub mod heads;
pub mod in_context_errors;
mod kind;
pub mod length;
pub mod lens;
pub mod memories;
pub mod outputs;
pub mod pairs;
pub mod patching;
pub mod paths;
pub mod positions;
pub mod predictions;
pub mod query_key;
pub mod readers;
pub mod scales;
pub mod span;
pub mod step_marks;
pub mod study;
pub mod sweep;
pub mod sweep_map;
pub mod timeline;
pub mod tokens;
pub mod tracing;
pub mod tree;
pub mod tree_scrubbing;
pub mod working_memory;

pub use columns::describe;
pub use kind::{PanelKind, Stack};

use std::any::Any;
use std::sync::Arc;

use crate::base::question::{Analyzed, MeasurementCall, Readings};
use crate::base::settings::Settings;
use crate::base::vocab::Vocab;
use crate::figure::Figure;
use crate::figure::color::Color;
use crate::run_folder::recording::Recording;
use crate::sweep::Sweep;

/// All panels that draw a figure: the one list.
pub const ALL: &[PanelKind] = &[
    tokens::KIND,
    predictions::KIND,
    heads::KIND,
    attention::KIND,
    patching::KIND,
    paths::KIND,
    tracing::KIND,
    lens::KIND,
    attribution::KIND,
    readers::KIND,
    length::KIND,
    in_context_errors::KIND,
    curves::KIND,
    head_scores::KIND,
    sweep::KIND,
    sweep_map::KIND,
    differences::KIND,
    working_memory::KIND,
    memories::KIND,
    query_key::KIND,
    circuits::KIND,
    gating::KIND,
    tree::KIND,
    tree_scrubbing::KIND,
    automaton::KIND,
    timeline::KIND,
];

/// What is selected, everywhere at once.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Selection {
    pub layer: usize,
    pub head: usize,
    /// Query position in the sequence in view.
    pub query: Option<usize>,
    pub key: Option<usize>,
    /// A place of the network's memory.
    pub slot: Option<MemorySlot>,
    /// The first of the positions in view, where a hand has scrolled to it; none: they follow query and key.
    pub first: Option<usize>,
}

/// A memory token as it is written in a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemorySlot {
    pub token: usize,
    pub segment: usize,
    /// Layer of its place `memory.write`.
    pub layer: usize,
}

/// Shape of the network in view, as panels need it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct NetShape {
    pub kind: String,
    /// Heads of each layer.
    pub heads: Vec<usize>,
    pub vocab: usize,
    /// How many tokens may be the right one where a target stands: [`crate::task::Source::possible_answers`].
    pub answers: usize,
    pub length: usize,
    /// Positions that are read at a time; 0: whole sequences.
    pub segment: usize,
    /// Whether it predicts real numbers: losses are squared errors then.
    pub reals: bool,
    /// Whether another program trained it: its heads often leave what attention they have to spare at the first token.
    pub is_read: bool,
}

impl NetShape {
    /// Whether any layer attends.
    pub fn has_heads(&self) -> bool {
        self.heads.iter().any(|heads| *heads > 0)
    }

    /// Whether all its patterns over a long sequence take more memory than an answer should: then thumbnails of all heads are asked for, and
    /// the pattern of the head in focus.
    pub fn is_large(&self) -> bool {
        const MOST_NUMBERS: usize = 64 << 20;
        let heads: usize = self.heads.iter().sum();
        heads.saturating_mul(self.length).saturating_mul(self.length) > MOST_NUMBERS
    }

    /// Its kind and its size.
    pub fn in_words(&self) -> String {
        let heads: usize = self.heads.iter().sum();
        let Self { kind, vocab, .. } = self;
        format!("{kind}: {} layers, {heads} heads, {vocab} tokens", self.heads.len())
    }
}

/// Colours of the surroundings.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Palette {
    pub dark: bool,
    pub paper: Color,
    pub ink: Color,
    /// Text and lines of second rank.
    pub faint: Color,
    pub accent: Color,
}

impl Palette {
    /// Okabe and Ito's blue on light paper, their sky blue on dark.
    pub const fn accent_on(dark: bool) -> Color {
        if dark { Color::rgb(86, 180, 233) } else { Color::rgb(0, 104, 166) }
    }
}

/// Everything a panel may look at.
#[derive(Clone, Copy)]
pub struct View<'a> {
    pub net: &'a NetShape,
    pub vocab: &'a Vocab,
    /// Names of the roles of the task in view.
    pub roles: &'a [&'static str],
    /// Runs to draw, the one in view first; each with a short name.
    pub runs: &'a [(String, Arc<Recording>)],
    /// The sweep that is open; its runs are not those of `runs`.
    pub sweep: Option<&'a Sweep>,
    /// The step in view; `None` means the newest.
    pub step: Option<u64>,
    /// The run in view is being trained: its newest step is not its last.
    pub live: bool,
    /// The newest answers (perhaps of a step before the one asked for).
    pub readings: Option<&'a Readings>,
    /// Answers about the sequence before a hand changed something in it.
    pub before: Option<&'a Readings>,
    /// What runs that are drawn with it answered to the long questions.
    pub beside: &'a [Beside],
    /// What it is compared with: scales that both have in common are as wide as both need.
    pub against: Option<&'a Self>,
    /// Why there are none, where the examination failed: every panel that draws answers says it in their place.
    pub failure: Option<&'a str>,
    /// Answers to long questions, as far as they have come.
    pub analyzed: &'a Analyzed,
    pub selection: &'a Selection,
    pub palette: Palette,
    /// Room in points (1/72 inch): what is drawn should fit it.
    pub size: [f32; 2],
}

/// A run that is drawn with the one in view.
#[derive(Clone, Debug, Default)]
pub struct Beside {
    /// Its short name.
    pub name: String,
    /// What it answered to the long questions, as far as that has come.
    pub analyzed: Analyzed,
}

/// One view with its settings. It is pure: the same settings and the same view give the same figure.
pub trait Panel: Settings + Send {
    /// The questions whose answers it draws.
    fn needs(&self, net: &NetShape, selection: &Selection) -> Vec<MeasurementCall>;
    /// The long questions whose answers it draws: names of analyses, with their settings.
    fn analyses(&self, _net: &NetShape, _selection: &Selection) -> Vec<MeasurementCall> {
        Vec::new()
    }
    fn figure(&self, view: &View<'_>) -> Figure;
    /// The figure of A minus B, both of the same sequence. Most subtract the numbers of the two figures, which are drawn already.
    fn difference(&self, [a, _]: [&View<'_>; 2], drawn: [&Figure; 2]) -> Figure {
        compare::subtracted(drawn, a.palette.dark)
    }
    /// Whether it draws another run with the one in view: its history, or its answers to the long questions.
    fn draws_beside(&self, _in_view: &Recording, _other: &Recording) -> bool {
        false
    }
    /// The figure that follows the one that was drawn before, for whoever draws again and again. What has to be known of that one
    /// is in `memory`.
    fn next_figure(&self, view: &View<'_>, _memory: &mut Memory) -> Figure {
        self.figure(view)
    }
}

/// What is remembered of the figure that a panel drew last; it belongs to whoever draws. Empty: none was drawn.
#[derive(Default)]
pub struct Memory(Option<Box<dyn Any + Send>>);

impl Memory {
    /// What was kept, if it is of this type.
    pub fn take<T: Any + Send>(&mut self) -> Option<T> {
        self.0.take().and_then(|kept| kept.downcast().ok()).map(|kept| *kept)
    }

    pub fn keep<T: Any + Send>(&mut self, what: T) {
        self.0 = Some(Box::new(what));
    }
}

/// What a view looks at, of its own: to be drawn again later, at another size.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    pub net: NetShape,
    pub vocab: Vocab,
    pub roles: &'static [&'static str],
    pub runs: Vec<(String, Arc<Recording>)>,
    pub sweep: Option<Arc<Sweep>>,
    pub step: Option<u64>,
    pub live: bool,
    pub readings: Option<Arc<Readings>>,
    pub before: Option<Arc<Readings>>,
    pub beside: Vec<Beside>,
    pub failure: Option<String>,
    pub analyzed: Analyzed,
    pub selection: Selection,
}

impl Snapshot {
    /// The view of it in colours, with room of a size in points.
    pub fn view(&self, palette: Palette, size: [f32; 2]) -> View<'_> {
        View {
            net: &self.net,
            vocab: &self.vocab,
            roles: self.roles,
            runs: &self.runs,
            sweep: self.sweep.as_deref(),
            step: self.step,
            live: self.live,
            readings: self.readings.as_deref(),
            before: self.before.as_deref(),
            beside: &self.beside,
            against: None,
            failure: self.failure.as_deref(),
            analyzed: &self.analyzed,
            selection: &self.selection,
            palette,
            size,
        }
    }
}
