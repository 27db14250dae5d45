//! SVG: real text, attributes in place of style sheets, width and height in millimetres.

use std::fmt::Write;

use super::color::Color;
use super::fallback::Face;
use super::font::{Family, Font, Run, Typeface};
use super::provenance::Provenance;
use super::scene::{Item, MM_PER_POINT, Scene};
use super::{Anchor, cells, cloud, font, png};
use crate::base::vocab;

/// The scene as a document of its own.
pub fn document(scene: &Scene, title: &str, provenance: &Provenance) -> String {
    written(scene, title, provenance, false)
}

/// The scene for a reader that has all the fonts in which it was measured: each stretch of text names its own.
pub(super) fn exact(scene: &Scene) -> String {
    written(scene, "", &Provenance::default(), true)
}

fn written(scene: &Scene, title: &str, provenance: &Provenance, exact: bool) -> String {
    let mut out = String::new();
    let (width, height) = (scene.width, scene.height);
    let mm = |points: f32| decimal(points * MM_PER_POINT);
    let _ = write!(
        out,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" xmlns:xlink=\"http://www.w3.org/1999/xlink\" \
         width=\"{}mm\" height=\"{}mm\" viewBox=\"0 0 {} {}\" font-family=\"{}\">\n\
         <title>{}</title>\n<metadata>{}</metadata>\n",
        mm(width),
        mm(height),
        decimal(width),
        decimal(height),
        families(scene),
        escaped(&vocab::plain(title)),
        escaped(&provenance.to_json()),
    );
    let mut clips = 0;
    for item in &scene.items {
        if let Item::Text { text, .. } = item
            && exact
            && !scene.family.has_all(text)
        {
            stretches(&mut out, item, scene.family);
        } else {
            write_item(&mut out, item, &mut clips);
        }
    }
    out.push_str("</svg>\n");
    out
}

/// Ours and those of the same widths, then those of others that the scene was measured in.
fn families(scene: &Scene) -> String {
    let (own, generic) = match scene.family.own {
        Family::Sans => {
            ("Liberation Sans, Arial, Helvetica, Mnemoscope Signs, DejaVu Sans", "sans-serif")
        }
        Family::Serif => {
            ("Liberation Serif, Times New Roman, Times, Mnemoscope Signs, DejaVu Serif", "serif")
        }
    };
    let quoted = |face: &Face| {
        let bare = vocab::plain(&face.family).replace(['\'', '\\', '\n'], " ");
        escaped(&format!(", '{bare}'"))
    };
    let others: String = scene.beyond().others.into_iter().map(quoted).collect();
    format!("{own}{others}, {generic}")
}

fn write_item(out: &mut String, item: &Item, clips: &mut usize) {
    match item {
        Item::Rect { min, max, fill, stroke } => {
            let _ = write!(out, "<rect {}", corners(*min, *max));
            match fill {
                Some(fill) => out.push_str(&paint("fill", *fill)),
                None => out.push_str(" fill=\"none\""),
            }
            if let Some((color, width)) = stroke {
                let _ =
                    write!(out, "{} stroke-width=\"{}\"", paint("stroke", *color), decimal(*width));
            }
            out.push_str("/>\n");
        }
        Item::Polyline { points, color, width, dash } => {
            let points: Vec<String> =
                points.iter().map(|p| format!("{},{}", decimal(p[0]), decimal(p[1]))).collect();
            let _ = write!(
                out,
                "<polyline points=\"{}\" fill=\"none\"{} stroke-width=\"{}\" stroke-linejoin=\"round\"",
                points.join(" "),
                paint("stroke", *color),
                decimal(*width)
            );
            if let Some([on, off]) = dash.lengths(*width) {
                let _ = write!(out, " stroke-dasharray=\"{} {}\"", decimal(on), decimal(off));
            }
            out.push_str("/>\n");
        }
        Item::Circle { center, radius, fill } => circle(out, *center, *radius, *fill),
        Item::Text { .. } => text(out, item),
        Item::Image { min, max, columns, rows, pixels } => {
            let image =
                cells::Image { min: *min, max: *max, columns: *columns, rows: *rows, pixels };
            write_image(out, &image);
        }
        Item::Cloud { min, max, cloud, x, y } => {
            for item in cloud::primitives(cloud, *min, *max, *x, *y) {
                write_item(out, &item, clips);
            }
        }
        Item::Clip { min, max } => open_clip(out, *min, *max, clips),
        Item::Unclip => out.push_str("</g>\n"),
    }
}

fn open_clip(out: &mut String, min: [f32; 2], max: [f32; 2], clips: &mut usize) {
    *clips += 1;
    let _ = writeln!(
        out,
        "<clipPath id=\"clip{clips}\"><rect {}/></clipPath><g clip-path=\"url(#clip{clips})\">",
        corners(min, max)
    );
}

fn circle(out: &mut String, center: [f32; 2], radius: f32, fill: Color) {
    let _ = writeln!(
        out,
        "<circle cx=\"{}\" cy=\"{}\" r=\"{}\"{}/>",
        decimal(center[0]),
        decimal(center[1]),
        decimal(radius),
        paint("fill", fill)
    );
}

fn text(out: &mut String, item: &Item) {
    let Item::Text { text, align, .. } = item else { return };
    let anchor = match align {
        Anchor::Left => "start",
        Anchor::Center => "middle",
        Anchor::Right => "end",
    };
    text_tag(out, item, 0.0, &format!(" text-anchor=\"{anchor}\""), text);
}

/// A text that takes several fonts: each stretch of it in its own, where the one before it ends.
fn stretches(out: &mut String, item: &Item, typeface: Typeface) {
    let Item::Text { text, size, align, bold, .. } = item else { return };
    let runs = typeface.runs(text);
    let width =
        |run: &Run| size * typeface.shape(run, *bold).iter().map(|g| g.advance).sum::<f32>();
    let whole: f32 = runs.iter().map(width).sum();
    let mut along = match align {
        Anchor::Left => 0.0,
        Anchor::Center => -whole / 2.0,
        Anchor::Right => -whole,
    };
    for run in &runs {
        let font = match run.font {
            Font::Own(_) => String::new(),
            Font::Other(face) => format!(" font-family=\"{}\"", face.key()),
        };
        text_tag(out, item, along, &font, &run.drawn());
        along += width(run);
    }
}

/// One line of text, so far along from the place of its item.
fn text_tag(out: &mut String, item: &Item, along: f32, attributes: &str, text: &str) {
    let Item::Text { at, size, color, upright, bold, .. } = item else { return };
    // The baseline lies below the middle of the capitals; turned, to the right of it.
    let drop = font::MIDDLE * size;
    let (x, y) = if *upright { (at[0] + drop, at[1]) } else { (at[0], at[1] + drop) };
    let _ = write!(
        out,
        "<text x=\"{}\" y=\"{}\" font-size=\"{}\"{attributes}{}",
        decimal(x + along),
        decimal(y),
        decimal(*size),
        paint("fill", *color),
    );
    if *bold {
        out.push_str(" font-weight=\"bold\"");
    }
    if *upright {
        let _ = write!(out, " transform=\"rotate(-90 {} {})\"", decimal(x), decimal(y));
    }
    // Leading, trailing and double spaces belong to the text.
    let _ = writeln!(out, " xml:space=\"preserve\">{}</text>", escaped(text));
}

fn write_image(out: &mut String, image: &cells::Image<'_>) {
    if image.is_small() {
        for (rect, color) in cells::rects(image) {
            let _ = writeln!(out, "<rect {}{}/>", corners(rect[0], rect[1]), paint("fill", color));
        }
        return;
    }
    let (width, height, rgba) = cells::bitmap(image);
    let Ok(bytes) = png::encode(&rgba, width, height, None, &[]) else { return };
    let _ = writeln!(
        out,
        "<image {} preserveAspectRatio=\"none\" image-rendering=\"optimizeSpeed\" \
         xlink:href=\"data:image/png;base64,{}\"/>",
        corners(image.min, image.max),
        base64(&bytes)
    );
}

fn corners(min: [f32; 2], max: [f32; 2]) -> String {
    format!(
        "x=\"{}\" y=\"{}\" width=\"{}\" height=\"{}\"",
        decimal(min[0]),
        decimal(min[1]),
        decimal(max[0] - min[0]),
        decimal(max[1] - min[1])
    )
}

/// A colour as a paint attribute, with its opacity where it has one.
fn paint(attribute: &str, color: Color) -> String {
    let Color { r, g, b, a } = color;
    let solid = format!(" {attribute}=\"#{r:02x}{g:02x}{b:02x}\"");
    if a == 255 {
        return solid;
    }
    format!("{solid} {attribute}-opacity=\"{}\"", decimal(f32::from(a) / 255.0))
}

/// At most three decimals, none that say nothing.
fn decimal(value: f32) -> String {
    let text = format!("{value:.3}");
    let short = text.trim_end_matches('0').trim_end_matches('.');
    if short == "-0" { "0".to_owned() } else { short.to_owned() }
}

/// Text for XML 1.0: its five signs as entities, what it forbids or advises against as U+FFFD.
pub fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&apos;"),
            '\t' | '\n' | '\r' => {
                let _ = write!(out, "&#{};", u32::from(c));
            }
            '\0'..='\x1f' | '\u{7f}'..='\u{9f}' | '\u{fffe}' | '\u{ffff}' => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}

/// Base64 of RFC 4648, section 4.
fn base64(bytes: &[u8]) -> String {
    const SIGNS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for group in bytes.chunks(3) {
        let [a, b, c] = std::array::from_fn(|i| u32::from(group.get(i).copied().unwrap_or(0)));
        let bits = a << 16 | b << 8 | c;
        for i in 0..4 {
            let sign = SIGNS[(bits >> (18 - 6 * i) & 63) as usize];
            out.push(if i <= group.len() { char::from(sign) } else { '=' });
        }
    }
    out
}
