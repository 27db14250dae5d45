//! PNG at any number of dots per inch, with that number and the provenance inside.

use std::sync::{Arc, LazyLock};

use resvg::{tiny_skia, usvg};

use super::font::Family;
use super::provenance::{self, Provenance};
use super::scene::Scene;
use super::svg;
use crate::base::convert;
use crate::base::error::{Error, Result};
use crate::base::vocab::plain;

/// Pixels on a side beyond which a picture is refused: four bytes each of 20,000² are 1.6 GB.
const LARGEST_SIDE: f32 = 20_000.0;

/// Draws the scene at a resolution.
///
/// # Errors
/// When the picture would be too large or too small.
pub fn document(scene: &Scene, title: &str, provenance: &Provenance, dpi: f32) -> Result<Vec<u8>> {
    let (width, height, rgba) = pixels(scene, dpi)?;
    let texts = [("Title", &*plain(title)), (provenance::KEYWORD, &provenance.to_json())];
    encode(&rgba, width, height, Some(dpi), &texts)
}

/// The scene as straight RGBA: width, height, pixels.
///
/// # Errors
/// When the picture would be too large or too small.
pub fn pixels(scene: &Scene, dpi: f32) -> Result<(u32, u32, Vec<u8>)> {
    let side = |points: f32| (points * dpi / 72.0).round();
    let (width, height) = (side(scene.width), side(scene.height));
    if !(width >= 1.0 && height >= 1.0 && width.max(height) <= LARGEST_SIDE) {
        return Err(Error::usage(format!(
            "a picture of {} by {} points at {dpi} dots per inch would have {width} by {height} pixels; \
             from 1 to {LARGEST_SIDE} on a side can be drawn: choose another size or resolution",
            scene.width, scene.height
        )));
    }
    let tree = usvg::Tree::from_str(&svg::exact(scene), &options(scene))
        .map_err(|e| Error::internal(format!("reading our own SVG: {e}")).caused_by(e))?;
    let mut map = tiny_skia::Pixmap::new(convert::natural(width), convert::natural(height))
        .ok_or_else(|| Error::system("no memory for the picture: choose a smaller size"))?;
    let size = tree.size();
    let fit = tiny_skia::Transform::from_scale(width / size.width(), height / size.height());
    resvg::render(&tree, fit, &mut map.as_mut());
    Ok((map.width(), map.height(), map.take_demultiplied()))
}

/// Reads SVG with our fonts, and those of others that a scene needs, each under a name of its own.
fn options(scene: &Scene) -> Arc<usvg::Options<'static>> {
    let others = scene.beyond().others;
    if others.is_empty() {
        return OURS.clone();
    }
    let mut fonts = (*OURS.fontdb).clone();
    for face in others {
        fonts.push_face_info(usvg::fontdb::FaceInfo {
            id: usvg::fontdb::ID::dummy(),
            source: usvg::fontdb::Source::Binary(Arc::new(face.bytes)),
            index: face.index,
            families: vec![(face.key(), usvg::fontdb::Language::English_UnitedStates)],
            post_script_name: face.key(),
            style: usvg::fontdb::Style::Normal,
            weight: usvg::fontdb::Weight::NORMAL,
            stretch: usvg::fontdb::Stretch::Normal,
            monospaced: false,
        });
    }
    Arc::new(with_fonts(fonts))
}

/// Reads SVG with our fonts and no others.
static OURS: LazyLock<Arc<usvg::Options<'static>>> = LazyLock::new(|| {
    let mut fonts = usvg::fontdb::Database::new();
    for bytes in Family::ALL.iter().flat_map(|family| family.files()) {
        fonts.load_font_source(usvg::fontdb::Source::Binary(Arc::new(bytes)));
    }
    Arc::new(with_fonts(fonts))
});

fn with_fonts(fonts: usvg::fontdb::Database) -> usvg::Options<'static> {
    usvg::Options {
        font_family: Family::Sans.face_name().to_owned(),
        fontdb: Arc::new(fonts),
        ..usvg::Options::default()
    }
}

/// Encodes straight RGBA, always to the same bytes. `texts`: pairs of keyword and text.
///
/// # Errors
/// When the number of bytes does not fit the size.
pub fn encode(
    rgba: &[u8],
    width: u32,
    height: u32,
    dpi: Option<f32>,
    texts: &[(&str, &str)],
) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    write(&mut bytes, rgba, (width, height), dpi, texts)
        .map_err(|e| Error::internal(format!("encoding a PNG: {e}")).caused_by(e))?;
    Ok(bytes)
}

fn write(
    bytes: &mut Vec<u8>,
    rgba: &[u8],
    (width, height): (u32, u32),
    dpi: Option<f32>,
    texts: &[(&str, &str)],
) -> Result<(), png::EncodingError> {
    let mut encoder = png::Encoder::new(bytes, width, height);
    dress(&mut encoder, dpi, texts)?;
    let mut writer = encoder.write_header()?;
    writer.write_image_data(rgba)?;
    writer.finish()
}

/// Frames of one size as an animated PNG that begins again at its end. `pace`: frames per second.
///
/// # Errors
/// When there is no frame, or frames differ in size.
pub fn animated(
    frames: &[(u32, u32, Vec<u8>)],
    pace: f64,
    dpi: f32,
    texts: &[(&str, &str)],
) -> Result<Vec<u8>> {
    let Some((width, height, _)) = frames.first() else {
        return Err(Error::internal("an animated PNG without frames"));
    };
    let mut bytes = Vec::new();
    let wrong = |e: png::EncodingError| {
        Error::internal(format!("encoding an animated PNG: {e}")).caused_by(e)
    };
    let mut encoder = png::Encoder::new(&mut bytes, *width, *height);
    dress(&mut encoder, Some(dpi), texts).map_err(wrong)?;
    encoder.set_animated(u32::try_from(frames.len()).unwrap_or(u32::MAX), 0).map_err(wrong)?;
    encoder
        .set_frame_delay(100, convert::short((100.0 * pace).round().clamp(1.0, 65535.0)))
        .map_err(wrong)?;
    let mut writer = encoder.write_header().map_err(wrong)?;
    for (_, _, rgba) in frames {
        writer.write_image_data(rgba).map_err(wrong)?;
    }
    writer.finish().map_err(wrong)?;
    Ok(bytes)
}

/// Kind of pixels, physical size and texts.
fn dress(
    encoder: &mut png::Encoder<'_, &mut Vec<u8>>,
    dpi: Option<f32>,
    texts: &[(&str, &str)],
) -> Result<(), png::EncodingError> {
    encoder.set_color(png::ColorType::Rgba);
    encoder.set_depth(png::BitDepth::Eight);
    encoder.set_pixel_dims(dpi.map(|dpi| {
        let per_metre = convert::natural((dpi / 0.0254).round());
        png::PixelDimensions { xppu: per_metre, yppu: per_metre, unit: png::Unit::Meter }
    }));
    for (keyword, text) in texts.iter().filter(|(_, text)| !text.is_empty()) {
        encoder.add_itxt_chunk((*keyword).to_owned(), (*text).to_owned())?;
    }
    Ok(())
}
