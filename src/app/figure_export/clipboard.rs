//! A page on its way to the clipboard.

use crate::app::commands::CopyAs;
use crate::base::error::Result;
use crate::figure::file::{Format, render_all};
use crate::figure::png;

use super::editor::Doc;

/// What goes on the clipboard.
pub enum Copied {
    Image(egui::ColorImage),
    Text(String),
}

/// A page as it goes on the clipboard, and a sentence that says what it is. Reads weights: not for the window's thread.
pub fn copied(doc: &Doc, copy: CopyAs) -> Result<(Copied, &'static str)> {
    let (drawing, page) = doc.composed()?;
    let text = |format| -> Result<Copied> {
        let bytes = render_all(&drawing, &page, format)?;
        Ok(Copied::Text(String::from_utf8_lossy(&bytes).into_owned()))
    };
    match copy {
        CopyAs::Svg => Ok((text(Format::Svg)?, "The figure is on the clipboard as SVG")),
        CopyAs::Numbers => {
            Ok((text(Format::Csv)?, "The numbers drawn are on the clipboard as CSV"))
        }
        CopyAs::Image => {
            let (width, height, rgba) = png::pixels(&page.scene(&drawing), page.dpi)?;
            let size = [width as usize, height as usize];
            let image = egui::ColorImage::from_rgba_unmultiplied(size, &rgba);
            Ok((Copied::Image(image), "The figure is on the clipboard as an image"))
        }
    }
}
