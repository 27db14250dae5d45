//! Where a figure comes from; travels inside every file of it, and is enough to make it again.

use std::io::Cursor;

use resvg::usvg::roxmltree;
use serde::{Deserialize, Serialize};

use super::Figure;
use super::color::{ColorMap, Scaling};
use super::fallback::Face;
use super::scene::Beyond;
use crate::base::error::{Error, Result};
use crate::base::vocab::plain_json;
use crate::formats::file::without_mark;

/// Version of what is written here; a reader of version `n` reads all up to `n`.
pub const SCHEMA: u32 = 1;

/// Keyword of the text chunk of a PNG that holds it.
pub const KEYWORD: &str = "Provenance";

/// Everything that a person needs to make a figure again.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Provenance {
    pub schema: u32,
    /// Name and version, e.g. `mnemoscope 0.1.0`.
    pub program: String,
    /// When it was made, in seconds since 1970, where the environment says so (`SOURCE_DATE_EPOCH`); else files carry no
    /// date, so that the same figure has the same bytes on every day.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub date: Option<i64>,
    /// The figure sheet as TOML: page, panels with all their settings, steps, texts.
    pub sheet: String,
    /// The runs that answered.
    pub runs: Vec<RunFacts>,
    /// One for each panel, in the order of the sheet.
    pub panels: Vec<PanelFacts>,
    /// Fonts that do not come with the program and that glyphs were taken from.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub fonts: Vec<FontFacts>,
}

/// A font of the system, or one that was named.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct FontFacts {
    /// Family and style.
    pub name: String,
    /// Of the whole file, in hexadecimal.
    pub sha256: String,
}

/// A run that a figure shows.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct RunFacts {
    /// Name of the run folder.
    pub name: String,
    /// The experiment as TOML.
    pub experiment: String,
    /// Everything random in the run comes from it: weights, sequences, held-out sequences.
    pub seed: u64,
    /// What it was trained on.
    pub device: String,
    /// What its numbers are, e.g. `float32`.
    pub dtype: String,
    /// What was changed in it while it trained, in order: `step 40: train.rate = 0.01`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub history: Vec<String>,
}

/// A panel of a figure.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct PanelFacts {
    /// Its letter on the page.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub letter: String,
    /// Its kind, e.g. `attention`.
    pub panel: String,
    /// All its settings as TOML.
    pub settings: String,
    /// Name of its run.
    pub run: String,
    /// Step of the weights that answered, where there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub step: Option<u64>,
    /// Layer and head in focus.
    pub head: [usize; 2],
    /// Positions of the selected query and key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub query: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<usize>,
    /// The sequence in view, token by token.
    pub tokens: Vec<String>,
    /// What was changed in the network that answered, in order; nothing where it is as it was trained.
    pub interventions: Vec<String>,
    /// SHA-256 of the weights in hexadecimal, where they are known: [`crate::base::weights::Weights::sha256`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub weights_sha256: Option<String>,
    /// What is drawn, in which units and colours.
    pub quantities: Vec<Quantity>,
    /// What it is compared with.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub against: Option<AgainstFacts>,
}

/// The other subject of a panel that compares two, asked about the same sequence.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct AgainstFacts {
    /// As in [`PanelFacts`].
    pub run: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub step: Option<u64>,
    pub head: [usize; 2],
    pub interventions: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub weights_sha256: Option<String>,
}

/// What a plot shows.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Quantity {
    pub plot: String,
    /// Labels of the axes, with units in parentheses.
    pub x: String,
    pub y: String,
    /// What the colours say, with which map, between which limits.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub color: Option<ColorFacts>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ColorFacts {
    pub label: String,
    pub map: String,
    pub from: f32,
    pub to: f32,
    pub logarithmic: bool,
    /// `linear`, `square root` or `logarithmic`; empty in what an older version wrote.
    #[serde(default)]
    pub scaling: String,
}

/// The fonts that a scene takes glyphs from, of those that are not ours.
pub fn fonts(beyond: &Beyond) -> Vec<FontFacts> {
    let facts =
        |face: &&Face| FontFacts { name: face.name.clone(), sha256: face.sha256().to_owned() };
    beyond.others.iter().map(facts).collect()
}

/// The quantities of a figure, plot by plot.
pub fn quantities(figure: &Figure) -> Vec<Quantity> {
    let color = |bar: &super::ColorBar| ColorFacts {
        label: bar.label.clone(),
        map: ColorMap::name(bar.map).to_owned(),
        from: bar.range.0,
        to: bar.range.1,
        logarithmic: bar.scaling == Scaling::Logarithmic,
        scaling: bar.scaling.name().to_owned(),
    };
    let quantity = |plot: &super::Plot| Quantity {
        plot: plot.title.clone(),
        x: plot.x.label.clone(),
        y: plot.y.label.clone(),
        color: plot.color_bar.as_ref().map(color),
    };
    figure.plots.iter().map(quantity).collect()
}

impl Default for Provenance {
    fn default() -> Self {
        Self::new()
    }
}

/// Most bytes of a provenance that are read: that of a page of a hundred panels is a tenth of it.
const MOST_BYTES: usize = 4 << 20;
/// Most elements and texts of the metadata of a PDF: one that this program made has some twenty.
const MOST_NODES: u32 = 1000;

impl Provenance {
    /// Of this program; the rest is empty.
    pub fn new() -> Self {
        Self {
            schema: SCHEMA,
            program: concat!(env!("CARGO_PKG_NAME"), " ", env!("CARGO_PKG_VERSION")).to_owned(),
            date: None,
            sheet: String::new(),
            runs: Vec::new(),
            panels: Vec::new(),
            fonts: Vec::new(),
        }
    }

    /// One line of JSON; the order of its fields is fixed. Signs of tokens that are not seen are written as their numbers:
    /// XML forbids some of them.
    pub fn to_json(&self) -> String {
        // Strings, numbers and lists of them always have a JSON form.
        plain_json(&serde_json::to_string(self).unwrap_or_default())
    }

    /// As [`Self::to_json`], for a person to read.
    pub fn to_pretty_json(&self) -> String {
        plain_json(&serde_json::to_string_pretty(self).unwrap_or_default()) + "\n"
    }

    /// Reads what [`Provenance::to_json`] wrote.
    ///
    /// # Errors
    /// When it is something else, or of a later version of this program.
    pub fn from_json(text: &str) -> Result<Self> {
        #[derive(Deserialize)]
        struct Version {
            schema: u32,
            #[serde(default)]
            program: String,
        }
        if text.len() > MOST_BYTES {
            return Err(Error::input(format!(
                "read {} bytes of provenance, expected at most {MOST_BYTES}",
                text.len()
            )));
        }
        let wrong = |e: serde_json::Error| {
            Error::input(format!("read something that is no provenance of a figure: {e}"))
                .caused_by(e)
        };
        let version: Version = serde_json::from_str(text).map_err(wrong)?;
        if version.schema > SCHEMA {
            return Err(Error::input(format!(
                "read a provenance of version {} made by {}, expected at most {SCHEMA}: use that program",
                version.schema, version.program
            )));
        }
        serde_json::from_str(text).map_err(wrong)
    }

    /// Reads the provenance out of a file that this program made: PDF, SVG, PNG or JSON.
    ///
    /// # Errors
    /// When the file is none of these or has no provenance in it.
    pub fn read(bytes: &[u8]) -> Result<Self> {
        let bytes = without_mark(bytes);
        let found = match bytes {
            [0x89, b'P', b'N', b'G', ..] => in_png(bytes),
            [b'%', b'P', b'D', b'F', ..] => in_pdf(bytes),
            [b'{', ..] => std::str::from_utf8(bytes).ok().map(str::to_owned),
            _ => in_svg(bytes),
        };
        let text = found.ok_or_else(|| {
            Error::input(
                "found no provenance; expected a PDF, SVG, PNG or JSON file of a figure that this program made",
            )
        })?;
        Self::from_json(&text)
    }
}

fn in_png(bytes: &[u8]) -> Option<String> {
    let mut decoder = png::Decoder::new(Cursor::new(bytes));
    decoder.set_limits(png::Limits { bytes: 16 * MOST_BYTES });
    let reader = decoder.read_info().ok()?;
    let chunk = reader.info().utf8_text.iter().find(|t| t.keyword == KEYWORD)?;
    // A chunk of a few bytes may inflate to any number of them.
    let mut chunk = chunk.clone();
    chunk.decompress_text_with_limit(MOST_BYTES).ok()?;
    chunk.get_text().ok()
}

/// The metadata alone are read: the marks of a large figure may be any number.
fn in_svg(bytes: &[u8]) -> Option<String> {
    let found = between(bytes, b"<metadata", b"</metadata>")?;
    text_of(found, "metadata")
}

/// The keywords in the metadata of a PDF, which by custom lie in it as plain XML between two marks.
fn in_pdf(bytes: &[u8]) -> Option<String> {
    let packet = between(bytes, b"<x:xmpmeta", b"</x:xmpmeta>")?;
    text_of(packet, "Keywords")
}

/// The text of the first element of that name.
fn text_of(xml: &[u8], name: &str) -> Option<String> {
    // Each sign of JSON takes up to six in XML.
    let text = std::str::from_utf8(xml).ok().filter(|text| text.len() <= 6 * MOST_BYTES)?;
    // No definitions of entities, which could stand for each other without end.
    let options = roxmltree::ParsingOptions {
        allow_dtd: false,
        nodes_limit: MOST_NODES,
        ..roxmltree::ParsingOptions::default()
    };
    let document = roxmltree::Document::parse_with_options(text, options).ok()?;
    let node = document.descendants().find(|n| n.tag_name().name() == name)?;
    node.text().map(str::to_owned)
}

/// From the last begin mark of a text to the end mark after it, both included.
fn between<'a>(bytes: &'a [u8], begin: &[u8], end: &[u8]) -> Option<&'a [u8]> {
    let start = bytes.windows(begin.len()).rposition(|w| w == begin)?;
    let rest = &bytes[start..];
    let stop = rest.windows(end.len()).position(|w| w == end)?;
    Some(&rest[..stop + end.len()])
}
