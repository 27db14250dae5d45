//! PDF: exact page size, our fonts embedded as subsets, text that can be selected, the data attached.

use chrono::{Datelike, Timelike};
use krilla::color::rgb;
use krilla::embed::{AssociationKind, EmbeddedFile, MimeType};
use krilla::geom::{Path, PathBuilder, Point, Rect, Size, Transform};
use krilla::image::Image;
use krilla::metadata::{DateTime, Metadata};
use krilla::num::NormalizedF32;
use krilla::page::PageSettings;
use krilla::paint::{Fill, FillRule, LineJoin, Stroke, StrokeDash};
use krilla::surface::Surface;
use krilla::text::{Font, GlyphId, KrillaGlyph};
use krilla::{Document, SerializeSettings};

use super::color::Color;
use super::fallback::Face;
use super::font::{Family, Glyph, Run, Typeface};
use super::provenance::Provenance;
use super::scene::{Item, Scene};
use super::{Anchor, cells, cloud, font};
use crate::base::error::{Error, Result};
use crate::base::vocab::plain;

/// Writes the scene as a document of one page. `csv`: the numbers, attached as `data.csv`.
///
/// # Errors
/// When the page has no size or the document cannot be put together.
pub fn document(scene: &Scene, title: &str, provenance: &Provenance, csv: &str) -> Result<Vec<u8>> {
    // Tags would need the structure of the figure, which a picture does not have.
    let settings = SerializeSettings { enable_tagging: false, ..SerializeSettings::default() };
    let mut document = Document::new_with(settings);
    document.set_metadata(metadata(title, provenance));
    attach_data(&mut document, csv);
    let page = PageSettings::from_wh(scene.width, scene.height).ok_or_else(|| {
        Error::usage(format!(
            "a page of {} by {} points cannot be made: choose another size",
            scene.width, scene.height
        ))
    })?;
    let mut fonts = Fonts::load(scene.family)?;
    let mut page = document.start_page_with(page);
    let mut surface = page.surface();
    for item in &scene.items {
        draw(&mut surface, &mut fonts, item);
    }
    surface.finish();
    page.finish();
    document.finish().map_err(|e| Error::internal(format!("writing a PDF: {e:?}")))
}

fn metadata(title: &str, provenance: &Provenance) -> Metadata {
    let dated = match provenance.date.and_then(day) {
        Some(date) => Metadata::new().creation_date(date),
        None => Metadata::new(),
    };
    dated
        .title(plain(title))
        .creator(provenance.program.clone())
        .producer(provenance.program.clone())
        .keywords(vec![provenance.to_json()])
        .language("en".to_owned())
}

/// So many seconds since 1970 as the date of a document, in UTC.
fn day(seconds: i64) -> Option<DateTime> {
    let date = chrono::DateTime::from_timestamp(seconds, 0)?;
    let byte = |n: u32| u8::try_from(n).unwrap_or(0);
    Some(
        DateTime::new(u16::try_from(date.year()).ok()?)
            .month(byte(date.month()))
            .day(byte(date.day()))
            .hour(byte(date.hour()))
            .minute(byte(date.minute()))
            .second(byte(date.second()))
            .utc_offset_hour(0)
            .utc_offset_minute(0),
    )
}

fn attach_data(document: &mut Document, csv: &str) {
    // Adding a second file of the same name would be refused; there is only this one.
    let _ = document.embed_file(EmbeddedFile {
        path: "data.csv".to_owned(),
        mime_type: MimeType::new("text/csv"),
        description: Some("The numbers drawn in this figure".to_owned()),
        association_kind: AssociationKind::Data,
        data: csv.as_bytes().to_vec().into(),
        modification_date: None,
        compress: Some(true),
        location: None,
    });
}

/// The faces of a family, and those of others as they come.
struct Fonts {
    typeface: Typeface,
    own: Vec<Font>,
    others: Vec<(&'static Face, Font)>,
}

impl Fonts {
    fn load(typeface: Typeface) -> Result<Self> {
        let faces: Option<Vec<Font>> =
            typeface.own.files().into_iter().map(|bytes| Font::new(bytes.into(), 0)).collect();
        let own = faces.ok_or_else(|| Error::internal("a font of the program does not parse"))?;
        Ok(Self { typeface, own, others: Vec::new() })
    }

    fn get(&mut self, font: font::Font, bold: bool) -> Option<Font> {
        let face = match font {
            font::Font::Own(font) => return Some(self.own[Family::index(font, bold)].clone()),
            font::Font::Other(face) => face,
        };
        if let Some((_, font)) = self.others.iter().find(|(known, _)| *known == face) {
            return Some(font.clone());
        }
        let font = Font::new(face.bytes.into(), face.index)?;
        self.others.push((face, font.clone()));
        Some(font)
    }
}

fn draw(surface: &mut Surface<'_>, fonts: &mut Fonts, item: &Item) {
    match item {
        Item::Rect { min, max, fill, stroke } => {
            surface.set_fill(fill.map(solid));
            surface.set_stroke(stroke.map(|(color, width)| pen(color, width)));
            if let (true, Some(path)) = (fill.is_some() || stroke.is_some(), rectangle(*min, *max))
            {
                surface.draw_path(&path);
            }
        }
        Item::Polyline { points, color, width, dash } => {
            let broken = |lengths: [f32; 2]| StrokeDash { array: lengths.to_vec(), offset: 0.0 };
            let dash = dash.lengths(*width).map(broken);
            surface.set_fill(None);
            surface.set_stroke(Some(Stroke { dash, ..pen(*color, *width) }));
            if let Some(path) = polyline(points) {
                surface.draw_path(&path);
            }
        }
        Item::Circle { center, radius, fill } => {
            surface.set_fill(Some(solid(*fill)));
            surface.set_stroke(None);
            if let Some(path) = circle(*center, *radius) {
                surface.draw_path(&path);
            }
        }
        Item::Text { .. } => draw_text(surface, fonts, item),
        Item::Image { min, max, columns, rows, pixels } => {
            let image =
                cells::Image { min: *min, max: *max, columns: *columns, rows: *rows, pixels };
            draw_image(surface, &image);
        }
        Item::Cloud { min, max, cloud, x, y } => {
            for item in cloud::primitives(cloud, *min, *max, *x, *y) {
                draw(surface, fonts, &item);
            }
        }
        Item::Clip { min, max } => match rectangle(*min, *max) {
            Some(path) => surface.push_clip_path(&path, &FillRule::NonZero),
            // Keeps pushes and pops in pairs.
            None => surface.push_transform(&Transform::identity()),
        },
        Item::Unclip => surface.pop(),
    }
}

fn draw_image(surface: &mut Surface<'_>, image: &cells::Image<'_>) {
    if image.is_small() {
        surface.set_stroke(None);
        for ([min, max], color) in cells::rects(image) {
            surface.set_fill(Some(solid(color)));
            if let Some(path) = rectangle(min, max) {
                surface.draw_path(&path);
            }
        }
        return;
    }
    let (width, height, rgba) = cells::bitmap(image);
    let size = Size::from_wh(image.max[0] - image.min[0], image.max[1] - image.min[1]);
    let Some(size) = size else { return };
    surface.push_transform(&Transform::from_translate(image.min[0], image.min[1]));
    surface.draw_image(Image::from_rgba8(rgba, width, height), size);
    surface.pop();
}

fn draw_text(surface: &mut Surface<'_>, fonts: &mut Fonts, item: &Item) {
    let Item::Text { at, text, size, color, align, upright, bold } = item else { return };
    let typeface = fonts.typeface;
    let runs = typeface.runs(text).into_iter();
    let shaped: Vec<(Run, Vec<Glyph>)> = runs
        .map(|run| {
            let glyphs = typeface.shape(&run, *bold);
            (run, glyphs)
        })
        .collect();
    let length = |glyphs: &[Glyph]| size * glyphs.iter().map(|g| g.advance).sum::<f32>();
    let width = size * shaped.iter().flat_map(|(_, glyphs)| glyphs).map(|g| g.advance).sum::<f32>();
    let back = match align {
        Anchor::Left => 0.0,
        Anchor::Center => width / 2.0,
        Anchor::Right => width,
    };
    surface.set_fill(Some(solid(*color)));
    surface.set_stroke(None);
    surface.push_transform(&Transform::from_translate(at[0], at[1]));
    if *upright {
        surface.push_transform(&Transform::from_rotate(-90.0));
    }
    let mut x = -back;
    for (run, glyphs) in &shaped {
        let start = Point::from_xy(x, font::MIDDLE * size);
        if let Some(face) = fonts.get(run.font, *bold) {
            let glyphs = placed(glyphs, &run.text);
            surface.draw_glyphs(start, &glyphs, face, &run.text, *size, false);
        }
        x += length(glyphs);
    }
    if *upright {
        surface.pop();
    }
    surface.pop();
}

/// Glyphs with the stretches of the text that they stand for, by which it is selected.
fn placed(glyphs: &[Glyph], text: &str) -> Vec<KrillaGlyph> {
    let starts = || glyphs.iter().map(|glyph| glyph.start);
    let end_of = |start: usize| starts().filter(|s| *s > start).min().unwrap_or(text.len());
    let place = |g: &Glyph| {
        let [x, y] = g.offset;
        let range = g.start..end_of(g.start);
        KrillaGlyph::new(GlyphId::new(g.id), g.advance, x, y, 0.0, range, None)
    };
    glyphs.iter().map(place).collect()
}

fn opacity(color: Color) -> NormalizedF32 {
    NormalizedF32::new(f32::from(color.a) / 255.0).unwrap_or(NormalizedF32::ONE)
}

fn solid(color: Color) -> Fill {
    Fill {
        paint: rgb::Color::new(color.r, color.g, color.b).into(),
        opacity: opacity(color),
        rule: FillRule::NonZero,
    }
}

fn pen(color: Color, width: f32) -> Stroke {
    Stroke {
        paint: rgb::Color::new(color.r, color.g, color.b).into(),
        opacity: opacity(color),
        width,
        line_join: LineJoin::Round,
        ..Stroke::default()
    }
}

fn rectangle(min: [f32; 2], max: [f32; 2]) -> Option<Path> {
    let mut path = PathBuilder::new();
    path.push_rect(Rect::from_ltrb(min[0], min[1], max[0], max[1])?);
    path.finish()
}

fn polyline(points: &[[f32; 2]]) -> Option<Path> {
    let (first, rest) = points.split_first()?;
    let mut path = PathBuilder::new();
    path.move_to(first[0], first[1]);
    for point in rest {
        path.line_to(point[0], point[1]);
    }
    path.finish()
}

/// Four Bézier arcs, off by at most 0.03 % of the radius.
fn circle([x, y]: [f32; 2], r: f32) -> Option<Path> {
    const K: f32 = 0.552_284_8;
    let k = K * r;
    let mut path = PathBuilder::new();
    path.move_to(x + r, y);
    path.cubic_to(x + r, y + k, x + k, y + r, x, y + r);
    path.cubic_to(x - k, y + r, x - r, y + k, x - r, y);
    path.cubic_to(x - r, y - k, x - k, y - r, x, y - r);
    path.cubic_to(x + k, y - r, x + r, y - k, x + r, y);
    path.close();
    path.finish()
}
