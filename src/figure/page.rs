//! A page: how large, in which look, and where it comes from.

use super::composite::Composite;
use super::grey;
use super::provenance::Provenance;
use super::scene::{MM_PER_POINT, Scene};
use super::style::Style;

/// How a figure becomes a file.
#[derive(Clone, Debug, PartialEq)]
pub struct Page {
    /// Width and height in points.
    pub size: [f32; 2],
    pub style: Style,
    /// Dots per inch of a PNG.
    pub dpi: f32,
    /// As a printer without colours shows it.
    pub grey: bool,
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
            grey: false,
            provenance: Provenance::new(),
        }
    }

    /// The page laid out.
    pub fn scene(&self, drawing: &Composite) -> Scene {
        let scene = drawing.layout(self.size, &self.style);
        if self.grey { grey::in_greys(scene) } else { scene }
    }
}
