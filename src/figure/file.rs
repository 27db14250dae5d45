//! A figure as a file: format and size as a person writes them.

use std::path::Path;

use super::composite::Composite;
use super::page::Page;
use super::scene::MM_PER_POINT;
use super::thin::thinned;
use super::{Figure, numbers, pdf, pgf, png, svg, table};
use crate::base::convert::narrow;
use crate::base::error::{Error, Result};
use crate::base::number::{self, Misread};

pub use crate::formats::file::save;

crate::choices! {
    /// Kinds of figure files, by their endings.
    pub enum Format {
        Svg = "svg",
        Pdf = "pdf",
        Png = "png",
        /// For TeX, with a table of numbers beside it.
        Tex = "tex",
        Csv = "csv",
        Npz = "npz",
        /// The provenance alone.
        Json = "json",
    }
}

impl Format {
    /// The format that the ending of a file name asks for.
    ///
    /// # Errors
    /// When it asks for none that is known.
    pub fn from_path(path: &Path) -> Result<Self> {
        let ending = path.extension().and_then(|e| e.to_str()).unwrap_or("").to_lowercase();
        let found = Self::ALL.iter().copied().find(|f| f.name() == ending);
        found.ok_or_else(|| {
            Error::usage(format!(
                "{} does not end in .{}: end the name of the file with the format that you want",
                path.display(),
                Self::NAMES.join(", .")
            ))
        })
    }
}

impl Format {
    /// Whether text becomes glyphs in it; the others hold the characters.
    pub fn has_glyphs(self) -> bool {
        match self {
            Self::Pdf | Self::Png => true,
            Self::Svg | Self::Tex | Self::Csv | Self::Npz | Self::Json => false,
        }
    }
}

/// The smallest and the largest side of a page, in points: a millimetre, and what a PDF may have.
pub const SIDES: std::ops::RangeInclusive<f32> = 1.0 / MM_PER_POINT..=14_400.0;

/// Reads a length such as `89mm`, `3.5in` or `252pt`, in points.
///
/// # Errors
/// When it is no number with one of these units, or no side of a page ([`SIDES`]).
pub fn parse_length(text: &str) -> Result<f32> {
    let wrong = || {
        Error::usage(format!(
            "read the length \"{text}\", expected a number with its unit, as in 89mm, 8.9cm, 3.5in or 252pt, from 1mm to 200in"
        ))
    };
    let text = text.trim();
    let split = text.find(|c: char| c.is_ascii_alphabetic()).ok_or_else(wrong)?;
    let (number, unit) = text.split_at(split);
    let number = narrow(number::read(number).map_err(|why| match why {
        Misread::Neither => wrong(),
        Misread::Either(..) => Error::usage(format!("read the length \"{text}\": {why}")),
    })?);
    let points = match unit {
        "mm" => number / MM_PER_POINT,
        "cm" => number * 10.0 / MM_PER_POINT,
        "in" => number * 72.0,
        "pt" => number,
        _ => return Err(wrong()),
    };
    if SIDES.contains(&points) { Ok(points) } else { Err(wrong()) }
}

/// The bytes of a figure in a format; the same figure and page always give the same bytes.
///
/// # Errors
/// When the page cannot be drawn in that format.
pub fn render(figure: &Figure, page: &Page, format: Format) -> Result<Vec<u8>> {
    render_all(&Composite::one(figure.clone()), page, format)
}

/// What the parts of a page for TeX are called where no name is said.
const TEX_NAME: &str = "figure";

/// A page for TeX with its table and its images; `name` is that of its file, without the ending.
pub fn tex(drawing: &Composite, page: &Page, name: &str) -> Result<pgf::Pages> {
    pgf::document(&thin(drawing, page), page, name)
}

fn thin(drawing: &Composite, page: &Page) -> Composite {
    let mut drawing = drawing.clone();
    for part in &mut drawing.parts {
        part.figure = thinned(&part.figure, page.size[0]);
    }
    drawing
}

/// As [`render`] for a page of several figures.
///
/// # Errors
/// When the page cannot be drawn in that format.
pub fn render_all(drawing: &Composite, page: &Page, format: Format) -> Result<Vec<u8>> {
    let drawing = thin(drawing, page);
    let (title, provenance) = (drawing.name(), &page.provenance);
    match format {
        Format::Svg => Ok(svg::document(&page.scene(&drawing), title, provenance).into_bytes()),
        Format::Png => png::document(&page.scene(&drawing), title, provenance, page.dpi),
        Format::Pdf => {
            let csv = table::csv_of(drawing.figures())?;
            pdf::document(&page.scene(&drawing), title, provenance, &csv)
        }
        Format::Csv => table::csv_of(drawing.figures()).map(String::into_bytes),
        Format::Tex => pgf::document(&drawing, page, TEX_NAME).map(|p| p.tex.into_bytes()),
        Format::Npz => numbers::npz_of(drawing.figures(), &provenance.to_json()),
        Format::Json => Ok(provenance.to_pretty_json().into_bytes()),
    }
}
