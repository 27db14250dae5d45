//! The figure sheet: a small TOML that says which panels of which runs go where on a page.

use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::base::convert::{self, narrow};
use crate::base::error::{Error, Result};
use crate::base::number::{self, Misread};
use crate::base::registry;
use crate::figure::cloud::Camera;
use crate::figure::color::ColorMap;
use crate::figure::composite::Place;
use crate::figure::fallback::Fallback;
use crate::figure::file::{SIDES, parse_length};
use crate::figure::font::{Family, Typeface};
use crate::figure::page::Page;
use crate::figure::preset::{self, Preset};
use crate::figure::provenance::Provenance;
use crate::formats::foreign;
use crate::panel::{self, PanelKind, compare};
use crate::run_folder::read_text;

use super::against::{self, AgainstSpec};

/// Panels of a sheet; more would not be seen on a page.
pub const MOST_PANELS: usize = 64;
/// Bytes of a sheet that are read.
const MOST_BYTES: u64 = 1 << 20;

/// The sheets that come with the program.
pub const BUILTIN: &[(&str, &str)] = &[
    ("birth-2", include_str!("../../assets/figures/birth-2.toml")),
    ("birth-3", include_str!("../../assets/figures/birth-3.toml")),
    ("birth-3-orders", include_str!("../../assets/figures/birth-3-orders.toml")),
    ("birth-4", include_str!("../../assets/figures/birth-4.toml")),
    ("gating", include_str!("../../assets/figures/gating.toml")),
    ("induction-phases", include_str!("../../assets/figures/induction-phases.toml")),
    ("tree", include_str!("../../assets/figures/tree.toml")),
];

/// A page and what is on it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Sheet {
    /// What it shows and which run it wants, for a person who chooses among sheets.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub about: String,
    /// Above all panels.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub title: String,
    /// Columns of the grid; 0: as many as make it about square.
    #[serde(skip_serializing_if = "is_zero")]
    pub columns: usize,
    /// Relative widths of columns and heights of rows.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub widths: Vec<f32>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub heights: Vec<f32>,
    /// `lower`, `upper` or `none`; empty: lower-case letters where there are several panels.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub letters: String,
    /// What the panels have in common: `colors` (one scale), `legend` (one legend).
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub share: Vec<String>,
    pub page: PageSpec,
    #[serde(rename = "panel")]
    pub panels: Vec<PanelSpec>,
}

/// Size and look of a page. What is not said is the preset's.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PageSpec {
    /// A name of [`preset::ALL`].
    #[serde(skip_serializing_if = "String::is_empty")]
    pub preset: String,
    /// `column`, `page`, or a length with its unit; empty: a column for one panel, the page for several.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub width: String,
    /// A length with its unit, or a number: so many times the width.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub height: String,
    /// `sans` or `serif`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub font: String,
    /// Points of labels, of tick labels, of the lines of axes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub text: Option<f32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub small: Option<f32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line: Option<f32>,
    /// Colours of all maps that run from little to much.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub map: String,
    /// Hatch what does not exist above the diagonal of an attention map, instead of leaving it white.
    #[serde(skip_serializing_if = "is_false")]
    pub hatched: bool,
    #[serde(skip_serializing_if = "is_false")]
    pub dark: bool,
    /// In greys, as a printer without colours shows it.
    #[serde(skip_serializing_if = "is_false")]
    pub grey: bool,
    /// Dots per inch of pixels.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dpi: Option<f32>,
    /// Fonts for what the face lacks. They are this machine's, not the sheet's: the provenance names those that were used.
    #[serde(skip)]
    pub fallback: Fallback,
}

/// A panel of a sheet.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PanelSpec {
    /// Its kind: a name of `mnemoscope list panels`.
    pub panel: String,
    /// A run of a sweep that is asked about, or the folder beside the run that is; empty: that run itself.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub run: String,
    /// Further runs that are drawn with it where the panel draws several, named as `run`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub beside: Vec<String>,
    /// The step, or the nearest whose weights are recorded; none: the last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub step: Option<u64>,
    /// Layer and head in focus, as `1.0`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub head: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub query: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<usize>,
    /// The first of the positions in view, where not all are; none: they follow query and key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first: Option<usize>,
    /// A file with a set of prompts, for a network of another program.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prompts: Option<String>,
    /// Number of the held-out sequence, or of the prompt of the set.
    #[serde(skip_serializing_if = "is_zero_u64")]
    pub sequence: u64,
    /// Text in its place.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tokens: Option<String>,
    /// What begins that text (BOS): `tokenizer`, `transformer_lens` or `nothing`; none: as the tokenizer of the network says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub begin: Option<String>,
    /// Tokens in its place, by their numbers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ids: Option<Vec<u32>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub intervene: Vec<String>,
    /// In place of the title and the caption that the panel gives itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub caption: Option<String>,
    /// The cells of the grid, counted from 1; what is not said follows the panel before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub row: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub column: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rows: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub columns: Option<usize>,
    /// How a cloud is looked at.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub camera: Option<Camera>,
    /// With what it is compared.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub against: Option<AgainstSpec>,
    /// Settings of the panel.
    #[serde(skip_serializing_if = "toml::Table::is_empty")]
    pub set: toml::Table,
}

impl PanelSpec {
    fn kind(&self) -> Option<&'static PanelKind> {
        panel::ALL.iter().find(|kind| kind.name == self.panel)
    }

    /// How many figures it draws: one, and more where it is compared side by side.
    pub fn count(&self) -> usize {
        let against = self.against.as_ref().and_then(|against| against.showing().ok());
        against.zip(self.kind()).map_or(1, |(showing, kind)| showing.count(kind))
    }

    /// Height over width that suits a figure of it when nothing is said.
    fn usual_aspect(&self) -> f32 {
        self.kind().map_or(0.9, |kind| kind.aspect)
    }

    fn check(&self) -> Result<()> {
        let kind = registry::row("panel", panel::ALL, &self.panel)?;
        self.check_run(&self.run)?;
        if let Some(against) = &self.against {
            self.check_run(&against.run)?;
            against::check(kind, Some(against))?;
        }
        let cells = [self.row, self.column, self.rows, self.columns];
        match cells.into_iter().flatten().find(|cell| !(1..=MOST_PANELS).contains(cell)) {
            None => Ok(()),
            Some(cell) => Err(Error::usage(format!(
                "panel {}: read the row or column {cell}, expected 1 to {MOST_PANELS}",
                self.panel
            ))),
        }
    }

    /// A name, and no path: a sheet of someone else finds nothing but what lies beside the run that is asked.
    fn check_run(&self, run: &str) -> Result<()> {
        if !run.contains(['/', '\\']) && run != ".." && run.len() <= 255 {
            return Ok(());
        }
        Err(Error::usage(format!(
            "panel {}: read run = \"{run}\", expected the name of a folder beside the run that is asked, or of a run of the sweep",
            self.panel
        )))
    }
}

fn is_zero(n: &usize) -> bool {
    *n == 0
}

fn is_zero_u64(n: &u64) -> bool {
    *n == 0
}

fn is_false(b: &bool) -> bool {
    !b
}

impl Sheet {
    pub fn one(panel: PanelSpec, page: PageSpec) -> Self {
        Self { page, panels: vec![panel], ..Self::default() }
    }

    /// Reads a sheet; `origin` is named where it is wrong.
    ///
    /// # Errors
    /// When it is no sheet, or names what does not exist.
    pub fn parse(text: &str, origin: &str) -> Result<Self> {
        if text.len() as u64 > MOST_BYTES {
            return Err(Error::input(format!(
                "{origin} has {} bytes; a figure sheet has at most {MOST_BYTES}",
                text.len()
            )));
        }
        let sheet: Self = toml::from_str(text).map_err(|e| {
            Error::input(format!("{origin} is no figure sheet: {}", e.message()))
                .context(place_of(text, e.span()))
                .caused_by(e)
        })?;
        sheet.check().map_err(|e| e.context(origin))?;
        Ok(sheet)
    }

    /// The sheet of a file, or one that comes with the program.
    ///
    /// # Errors
    /// When there is none, or it cannot be read.
    pub fn find(arg: &str) -> Result<Self> {
        if let Some((name, text)) = BUILTIN.iter().find(|(name, _)| *name == arg) {
            return Self::parse(text, name);
        }
        let path = Path::new(arg);
        let names = || BUILTIN.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ");
        if !path.exists() {
            return Err(Error::usage(format!(
                "there is no figure sheet {arg}: expected a .toml file, or one of {}",
                names()
            )));
        }
        Self::load(path)
    }

    /// The sheet of a file.
    ///
    /// # Errors
    /// When it cannot be read, is longer than any sheet, or as [`Self::parse`].
    pub fn load(path: &Path) -> Result<Self> {
        if let Some(error) = foreign::refusal(path) {
            return Err(error);
        }
        let text = read_text(path, MOST_BYTES).map_err(|e| e.context("the figure sheet"))?;
        Self::parse(&text, &path.display().to_string())
    }

    /// As text that [`Self::parse`] reads.
    pub fn to_toml(&self) -> String {
        // Strings, numbers and lists of tables always have a TOML form.
        toml::to_string(self).unwrap_or_default()
    }

    fn check(&self) -> Result<()> {
        if self.panels.is_empty() {
            return Err(Error::usage("a figure sheet has one [[panel]] at least"));
        }
        let count = self.figures().len();
        if count > MOST_PANELS || self.columns > MOST_PANELS {
            return Err(Error::usage(format!(
                "read {count} panels in {} columns; a figure sheet has at most {MOST_PANELS}",
                self.columns
            )));
        }
        self.panels.iter().try_for_each(PanelSpec::check)?;
        for (what, parts) in [("widths", &self.widths), ("heights", &self.heights)] {
            if parts.len() > MOST_PANELS || parts.iter().any(|part| !(1e-3..=1e3).contains(part)) {
                return Err(Error::usage(format!(
                    "{what}: expected at most {MOST_PANELS} numbers from 0.001 to 1000"
                )));
            }
        }
        for what in &self.share {
            one_of("share", what, &["colors", "legend"])?;
        }
        if !self.letters.is_empty() {
            one_of("letters", &self.letters, &["lower", "upper", "none"])?;
        }
        Ok(())
    }

    pub fn shares(&self, what: &str) -> bool {
        self.share.iter().any(|s| s == what)
    }

    /// The panel of each figure on the page, in order: one that is compared may have several.
    pub fn figures(&self) -> Vec<&PanelSpec> {
        self.panels.iter().flat_map(|panel| std::iter::repeat_n(panel, panel.count())).collect()
    }

    /// The letter of a figure.
    pub fn letter(&self, index: usize) -> String {
        let lettered = match self.letters.as_str() {
            "none" => false,
            "" => self.figures().len() > 1,
            _ => true,
        };
        let Some(letter) = ('a'..='z').nth(index % 26).filter(|_| lettered) else {
            return String::new();
        };
        let letter = if self.letters == "upper" { letter.to_ascii_uppercase() } else { letter };
        // After z comes a2.
        if index < 26 { letter.to_string() } else { format!("{letter}{}", index / 26 + 1) }
    }

    /// The letters of the figures of a panel.
    pub fn letters_of(&self, panel: usize) -> String {
        let count = |panels: &[PanelSpec]| panels.iter().map(PanelSpec::count).sum::<usize>();
        let (first, own) = (count(&self.panels[..panel]), count(&self.panels[panel..=panel]));
        let letters = (first..first + own).map(|figure| self.letter(figure));
        letters.filter(|letter| !letter.is_empty()).collect::<Vec<_>>().join(", ")
    }

    /// Columns of the grid.
    fn across(&self) -> usize {
        let several = self.panels.iter().map(PanelSpec::count).max().unwrap_or(1);
        match (self.columns, self.panels.as_slice()) {
            (0, [only]) if several > 1 => {
                only.kind().map_or(several, |kind| compare::grid(kind, several, self.room())[1])
            }
            (0, _) => convert::index((self.figures().len() as f64).sqrt().ceil()).max(several),
            (n, _) => n,
        }
    }

    /// Width and height of the page, or something in their proportion where the height follows from what is on it.
    fn room(&self) -> [f32; 2] {
        const USUAL: [f32; 2] = [1.0, 0.6];
        if self.page.height.is_empty() {
            return USUAL;
        }
        self.page().map_or(USUAL, |page| page.size)
    }

    /// Where each figure stands: row by row, unless its panel says otherwise. What is compared with it follows it.
    pub fn places(&self) -> Vec<Place> {
        let across = self.across();
        let (mut row, mut column) = (0, 0);
        let place = |(panel, is_first): (&PanelSpec, bool)| {
            let columns = panel.columns.unwrap_or(1);
            let [said_row, said_column] =
                [panel.row, panel.column].map(|said| said.filter(|_| is_first));
            row = said_row.map_or(row, |r| r - 1);
            column = said_column.map_or(column, |c| c - 1);
            if said_column.is_none() && column > 0 && column + columns > across {
                (row, column) = (row + 1, 0);
            }
            let place = Place { row, column, rows: panel.rows.unwrap_or(1), columns };
            column += columns;
            place
        };
        let of = |panel| (0..PanelSpec::count(panel)).map(move |nth| (panel, nth == 0));
        self.panels.iter().flat_map(of).map(place).collect()
    }

    /// The page, without its provenance.
    ///
    /// # Errors
    /// When the preset, the face or a length is none.
    pub fn page(&self) -> Result<Page> {
        let spec = &self.page;
        let preset = spec.preset()?;
        let width = match spec.width.as_str() {
            "" => preset.widths[usize::from(self.figures().len() > 1)],
            "column" | "1 column" => preset.widths[0],
            "page" | "2 columns" => preset.widths[1],
            text => parse_length(text).map_err(|e| e.context("width"))?,
        };
        let height = match spec.height.as_str() {
            "" => (width * self.usual_aspect()).clamp(*SIDES.start(), *SIDES.end()),
            text => match number::read(text) {
                Ok(ratio) if ratio <= 20.0 && SIDES.contains(&(width * narrow(ratio))) => {
                    width * narrow(ratio)
                }
                Ok(_) => {
                    return Err(Error::usage(format!(
                        "height {text}: expected a length with its unit, or a number of widths up to 20 that gives a page from 1mm to 200in high"
                    )));
                }
                Err(Misread::Neither) => parse_length(text).map_err(|e| e.context("height"))?,
                Err(why) => return Err(Error::usage(format!("read the height \"{text}\": {why}"))),
            },
        };
        let family = match spec.font.as_str() {
            "" => preset.family,
            name => one_of("font", name, Family::NAMES).map(|i| Family::ALL[i])?,
        };
        let text = in_points("text", spec.text.unwrap_or(preset.text), 3.0..=72.0)?;
        let small = match (spec.small, spec.text) {
            (Some(small), _) => small,
            // In the same proportion as the preset's.
            (None, Some(text)) => text * preset.small / preset.text,
            (None, None) => preset.small,
        };
        let small = in_points("small", small, 3.0..=72.0)?;
        let line = in_points("line", spec.line.unwrap_or(0.5), 0.1..=10.0)?;
        let family = Typeface { own: family, fallback: spec.fallback };
        let mut style = preset::style(family, text, small, line, spec.dark);
        style.hatched = spec.hatched;
        let provenance = Provenance::new();
        let dpi = spec.dpi.unwrap_or(300.0);
        if !DPI.contains(&dpi) {
            return Err(Error::usage(format!(
                "dpi {dpi}: expected {} to {} dots per inch",
                DPI.start(),
                DPI.end()
            )));
        }
        Ok(Page { size: [width, height], style, dpi, grey: spec.grey, provenance })
    }

    /// Height over width that suits what is on the page when nothing is said.
    fn usual_aspect(&self) -> f32 {
        let figures = self.figures();
        if let [only] = figures.as_slice() {
            return only.usual_aspect();
        }
        let places = self.places();
        let columns = places.iter().map(|p| p.column + p.columns).max().unwrap_or(1) as f32;
        let rows = places.iter().map(|p| p.row + p.rows).max().unwrap_or(1);
        let tallest = |row: usize| {
            let here = places.iter().zip(&figures).filter(|(p, _)| p.row == row && p.rows == 1);
            let aspect = here.map(|(p, panel)| panel.usual_aspect() * p.columns as f32);
            aspect.fold(0.3, f32::max)
        };
        ((0..rows).map(tallest).sum::<f32>() / columns).clamp(0.15, 1.4)
    }
}

impl PageSpec {
    /// # Errors
    /// When there is no preset of that name.
    pub fn preset(&self) -> Result<&'static Preset> {
        if self.preset.is_empty() {
            return Ok(&preset::ALL[0]);
        }
        one_of("preset", &self.preset, &Preset::names()).map(|i| &preset::ALL[i])
    }

    /// The map that all sequential maps are drawn in, where one was chosen.
    ///
    /// # Errors
    /// When there is none of that name.
    pub fn map(&self) -> Result<Option<ColorMap>> {
        if self.map.is_empty() {
            return Ok(None);
        }
        one_of("map", &self.map, ColorMap::NAMES).map(|i| Some(ColorMap::ALL[i]))
    }
}

/// Index of a name among those that there are.
fn one_of(what: &str, name: &str, names: &[&str]) -> Result<usize> {
    names.iter().position(|n| *n == name).ok_or_else(|| {
        Error::usage(format!("{what} \"{name}\" is not known: choose one of {}", names.join(", ")))
    })
}

/// From a picture of the whole page in some dots to what no printer tells apart.
const DPI: std::ops::RangeInclusive<f32> = 1.0..=100_000.0;

fn in_points(what: &str, value: f32, range: std::ops::RangeInclusive<f32>) -> Result<f32> {
    if range.contains(&value) {
        return Ok(value);
    }
    Err(Error::usage(format!(
        "{what} = {value}: expected {} to {} points",
        range.start(),
        range.end()
    )))
}

fn place_of(text: &str, span: Option<std::ops::Range<usize>>) -> String {
    let start = span.map_or(0, |span| span.start.min(text.len()));
    format!("line {}", text[..start].matches('\n').count() + 1)
}
