//! A figure as a file: format and size as a person writes them.

use std::path::Path;

use super::layout::{Style, layout};
use super::provenance::Provenance;
use super::thin::thinned;
use super::{Figure, pdf, png, svg, table};
use crate::record::error::{Error, Result};

pub use crate::record::file::save;

/// Millimetres in a point (1/72 inch).
pub const MM_PER_POINT: f32 = 25.4 / 72.0;

crate::choices! {
    /// Kinds of figure files, by their endings.
    pub enum Format {
        Svg = "svg",
        Pdf = "pdf",
        Png = "png",
        Csv = "csv",
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

/// Reads a length such as `89mm`, `3.5in` or `252pt`, in points.
///
/// # Errors
/// When it is no positive number with one of these units.
pub fn parse_length(text: &str) -> Result<f32> {
    let wrong = || {
        Error::usage(format!(
            "read the length \"{text}\", expected a positive number with its unit, as in 89mm, 8.9cm, 3.5in or 252pt"
        ))
    };
    let text = text.trim();
    let split = text.find(|c: char| c.is_ascii_alphabetic()).ok_or_else(wrong)?;
    let (number, unit) = text.split_at(split);
    let number: f32 = number.trim().parse().map_err(|_| wrong())?;
    let points = match unit {
        "mm" => number / MM_PER_POINT,
        "cm" => number * 10.0 / MM_PER_POINT,
        "in" => number * 72.0,
        "pt" => number,
        _ => return Err(wrong()),
    };
    // The largest page that a PDF may have.
    if points > 0.0 && points <= 14_400.0 { Ok(points) } else { Err(wrong()) }
}

/// How a figure becomes a file.
#[derive(Clone, Debug, PartialEq)]
pub struct Page {
    /// Width and height in points.
    pub size: [f32; 2],
    pub style: Style,
    /// Dots per inch of a PNG.
    pub dpi: f32,
    pub provenance: Provenance,
}

impl Page {
    /// A page of one column of a journal (89 mm), three quarters as high as wide.
    pub fn column() -> Self {
        let width = 89.0 / MM_PER_POINT;
        Self {
            size: [width, 0.75 * width],
            style: Style::light(),
            dpi: 300.0,
            provenance: Provenance::new(),
        }
    }
}

/// The bytes of a figure in a format; the same figure and page always give the same bytes.
///
/// # Errors
/// When the page cannot be drawn in that format.
pub fn render(figure: &Figure, page: &Page, format: Format) -> Result<Vec<u8>> {
    let figure = &thinned(figure, page.size[0]);
    if format == Format::Csv {
        return table::csv(figure).map(String::into_bytes);
    }
    let scene = layout(figure, page.size, &page.style);
    let (title, provenance) = (&figure.title, &page.provenance);
    match format {
        Format::Svg => Ok(svg::document(&scene, title, provenance).into_bytes()),
        Format::Png => png::document(&scene, title, provenance, page.dpi),
        Format::Pdf => pdf::document(&scene, title, provenance, &table::csv(figure)?),
        Format::Csv => unreachable!("handled above"),
    }
}
