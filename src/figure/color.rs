//! Colours and perceptual colour maps: one table for the screen, the shaders and the files.

/// Straight (not premultiplied) sRGB with alpha.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(C)]
pub struct Color {
    pub r: u8,
    pub g: u8,
    pub b: u8,
    pub a: u8,
}

impl Color {
    pub const fn rgb(r: u8, g: u8, b: u8) -> Self {
        Self { r, g, b, a: 255 }
    }

    #[must_use]
    pub const fn alpha(self, a: u8) -> Self {
        Self { a, ..self }
    }
}

crate::choices! {
    /// Sequential maps for probabilities, `vik` for signed numbers.
    pub enum ColorMap {
        Viridis = "viridis",
        Magma = "magma",
        Cividis = "cividis",
        Batlow = "batlow",
        Vik = "vik",
    }
}
