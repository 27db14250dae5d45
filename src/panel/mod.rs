//! Views, without a window: the same figure goes to the screen, to a file and to a test.

pub mod answer;
pub mod attention;
pub mod attribution;
pub mod columns;
pub mod curves;
pub mod flags;
pub mod gating;
pub mod heads;
pub mod ink;
pub mod lens;
pub mod memories;
pub mod patching;
pub mod predictions;
pub mod query_key;
pub mod readers;
pub mod span;
pub mod sweep;
pub mod timeline;
pub mod tokens;
pub mod tree;
pub mod tree_scrubbing;

pub use columns::describe;

use std::sync::Arc;

use crate::figure::Figure;
use crate::figure::color::Color;
use crate::record::knobs::Knobs;
use crate::record::question::{Inquired, ProbeCall, Readings};
use crate::record::recording::Recording;
use crate::record::registry::Entry;
use crate::record::sweep::Sweep;
use crate::record::vocab::Vocab;

/// All panels that draw a figure.
pub const ALL: &[Entry<dyn Panel>] = &[
    Entry { name: "tokens", make: || Box::<tokens::Tokens>::default() },
    Entry { name: "predictions", make: || Box::<predictions::Predictions>::default() },
    Entry { name: "heads", make: || Box::<heads::Heads>::default() },
    Entry { name: "attention", make: || Box::<attention::Attention>::default() },
    Entry { name: "lens", make: || Box::<lens::Lens>::default() },
    Entry { name: "attribution", make: || Box::<attribution::Attribution>::default() },
    Entry { name: "readers", make: || Box::<readers::Readers>::default() },
    Entry { name: "query_key", make: || Box::<query_key::QueryKey>::default() },
    Entry { name: "memories", make: || Box::<memories::Memories>::default() },
    Entry { name: "patching", make: || Box::<patching::Patching>::default() },
    Entry { name: "tree", make: || Box::<tree::TreePanel>::default() },
    Entry { name: "tree_scrubbing", make: || Box::<tree_scrubbing::TreeScrubbing>::default() },
    Entry { name: "gating", make: || Box::<gating::Gating>::default() },
    Entry { name: "curves", make: || Box::<curves::Curves>::default() },
    Entry { name: "sweep", make: || Box::<sweep::Sweep>::default() },
    Entry { name: "timeline", make: || Box::<timeline::Timeline>::default() },
];

/// What is selected, everywhere at once.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Selection {
    pub layer: usize,
    pub head: usize,
    /// Query position in the sequence in view.
    pub query: Option<usize>,
    pub key: Option<usize>,
}

/// Shape of the network in view, as panels need it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct NetShape {
    pub kind: String,
    /// Heads of each layer.
    pub heads: Vec<usize>,
    pub vocab: usize,
    pub length: usize,
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
    /// Why there are none, where the examination failed: every panel that draws answers says it in their place.
    pub failure: Option<&'a str>,
    /// Answers to long questions, as far as they have come.
    pub inquired: &'a Inquired,
    pub selection: &'a Selection,
    pub palette: Palette,
    /// Room in points (1/72 inch): what is drawn should fit it.
    pub size: [f32; 2],
}

/// One view with its settings.
pub trait Panel: Knobs + Send {
    /// The questions whose answers it draws.
    fn needs(&self, net: &NetShape, selection: &Selection) -> Vec<ProbeCall>;
    /// The long questions whose answers it draws: names of inquiries, with their settings.
    fn inquiries(&self, _net: &NetShape, _selection: &Selection) -> Vec<ProbeCall> {
        Vec::new()
    }
    fn figure(&self, view: &View<'_>) -> Figure;
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
    pub failure: Option<String>,
    pub inquired: Inquired,
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
            failure: self.failure.as_deref(),
            inquired: &self.inquired,
            selection: &self.selection,
            palette,
            size,
        }
    }
}
