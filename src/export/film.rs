//! The same page at many steps: side by side as a strip, or one after the other as a film.

use std::collections::BTreeSet;

use crate::base::convert;
use crate::base::error::{Error, Result};
use crate::base::vocab::plain;
use crate::figure::composite::Composite;
use crate::figure::difference::NAME;
use crate::figure::page::Page;
use crate::figure::{Plot, png, provenance};
use crate::panel::scales;
use crate::run_folder::recording::Recording;

use super::against::AgainstSpec;
use super::drawn_panel;
use super::sheet::{MOST_PANELS, PanelSpec, Sheet};
use super::sheet_runner::{Progress, SheetRunner};

/// Frames of a film; more are refused.
pub const MOST_FRAMES: usize = 2000;

/// At most `count` recorded steps from `from` to `to`, as evenly apart as they are recorded, first and last included.
pub fn steps(recording: &Recording, from: u64, to: u64, count: usize) -> Vec<u64> {
    let inside: Vec<u64> =
        recording.recorded.iter().copied().filter(|step| (from..=to).contains(step)).collect();
    let (Some(first), Some(last)) = (inside.first(), inside.last()) else { return Vec::new() };
    // Those of a series may lie further and further apart.
    if inside.len() <= count {
        return inside;
    }
    // There are no more frames than steps, however many somebody names.
    let count = count.min(2 * inside.len());
    let wanted = |i: usize| {
        let part = i as f64 / (count.max(2) - 1) as f64;
        *first as f64 + part * (*last - *first) as f64
    };
    let nearest = |at: f64| {
        let distance = |step: &&u64| (**step as f64 - at).abs();
        inside.iter().min_by(|a, b| distance(a).total_cmp(&distance(b))).copied()
    };
    let chosen: BTreeSet<u64> = (0..count).filter_map(|i| nearest(wanted(i))).collect();
    chosen.into_iter().collect()
}

/// A sheet with one panel at several steps, side by side in the same colours.
///
/// # Errors
/// When the sheet has several panels, or the steps are none or too many.
pub fn strip(sheet: &Sheet, steps: &[u64]) -> Result<Sheet> {
    let [only] = sheet.panels.as_slice() else {
        return Err(Error::usage("a filmstrip shows one panel: name it, without --sheet"));
    };
    let count = only.count();
    if steps.is_empty() || steps.len() * count > MOST_PANELS {
        return Err(Error::usage(format!(
            "read {} steps for the strip, expected 1 to {}",
            steps.len(),
            MOST_PANELS / count
        )));
    }
    let at = |step: &u64| PanelSpec {
        step: Some(*step),
        // Of several figures each says its step itself.
        title: (count == 1).then(|| format!("Step {step}")),
        ..only.clone()
    };
    let (columns, letters) = if count > 1 { (count, "") } else { (steps.len().min(6), "none") };
    let minus = only.against.as_ref().filter(|_| count == 1).map(minus);
    let title = minus.filter(|_| sheet.title.is_empty()).unwrap_or_else(|| sheet.title.clone());
    Ok(Sheet {
        title,
        columns,
        letters: letters.to_owned(),
        share: vec!["colors".to_owned(), "legend".to_owned()],
        panels: steps.iter().map(at).collect(),
        ..sheet.clone()
    })
}

/// What stands above the differences at several steps.
fn minus(against: &AgainstSpec) -> String {
    let step = against.step.map(|step| format!("step {step}"));
    let run = Some(against.run.clone()).filter(|run| !run.is_empty());
    let both: Vec<String> = step.into_iter().chain(run).collect();
    match &both[..] {
        [] => format!("{NAME}: each step minus itself with nothing in force"),
        said => format!("{NAME}: each step minus {}", said.join(", ")),
    }
}

/// The page at each step, all in the same colours and on the same axes.
///
/// # Errors
/// When a step cannot be asked, there are too many, or progress says that it is enough.
pub fn frames(
    runner: &mut SheetRunner,
    sheet: &Sheet,
    steps: &[u64],
    progress: &mut Progress<'_>,
) -> Result<(Vec<Composite>, Page)> {
    if steps.len() < 2 || steps.len() > MOST_FRAMES {
        return Err(Error::usage(format!(
            "a film has 2 to {MOST_FRAMES} frames, and there are {} recorded steps to show: choose others",
            steps.len()
        )));
    }
    let mut frames = Vec::with_capacity(steps.len());
    let (mut last, mut fonts) = (None, Vec::new());
    for (index, step) in steps.iter().enumerate() {
        if !progress(index, steps.len()) {
            return Err(stopped());
        }
        let mut at = sheet.clone();
        at.panels.iter_mut().for_each(|panel| panel.step = Some(*step));
        let drawn_panels = runner.drawn_panels(&at, &mut |_, _| true)?;
        let (drawing, mut page) = drawn_panel::compose(&at, &drawn_panels)?;
        for font in std::mem::take(&mut page.provenance.fonts) {
            if !fonts.contains(&font) {
                fonts.push(font);
            }
        }
        frames.push(drawing);
        last = Some(page);
    }
    hold_still(&mut frames);
    let mut page = last.ok_or_else(|| Error::internal("a film without frames"))?;
    page.provenance.fonts = fonts;
    Ok((frames, page))
}

/// Gives the plots that follow each other from frame to frame the widest of their colour scales and axes.
fn hold_still(frames: &mut [Composite]) {
    let Some(first) = frames.first() else { return };
    let places: Vec<(usize, usize)> = first
        .parts
        .iter()
        .enumerate()
        .flat_map(|(part, p)| (0..p.figure.plots.len()).map(move |plot| (part, plot)))
        .collect();
    for (part, plot) in places {
        let mut same: Vec<&mut Plot> = frames
            .iter_mut()
            .filter_map(|f| f.parts.get_mut(part)?.figure.plots.get_mut(plot))
            .collect();
        scales::share(&mut same);
    }
}

/// Pixels of a frame: width, height, straight RGBA.
pub type Pixels = (u32, u32, Vec<u8>);

/// # Errors
/// When a frame would be too large.
pub fn pixels(frame: &Composite, page: &Page) -> Result<Pixels> {
    png::pixels(&page.scene(frame), page.dpi)
}

/// An animated GIF that begins again at its end. `pace`: frames per second.
///
/// # Errors
/// When a frame is too large for the format.
pub fn gif(
    frames: &[Composite],
    page: &Page,
    pace: f64,
    progress: &mut Progress<'_>,
) -> Result<Vec<u8>> {
    let wrong =
        |e: gif::EncodingError| Error::internal(format!("encoding a GIF: {e}")).caused_by(e);
    let mut encoder: Option<gif::Encoder<Vec<u8>>> = None;
    for (index, frame) in frames.iter().enumerate() {
        go_on(progress(index, frames.len()))?;
        let (width, height, mut rgba) = pixels(frame, page)?;
        let side = |n: u32| {
            u16::try_from(n).map_err(|_| {
                Error::usage(format!(
                    "a GIF has at most 65535 pixels on a side, not {n}: choose a lower --dpi"
                ))
            })
        };
        let (width, height) = (side(width)?, side(height)?);
        let encoder = match &mut encoder {
            Some(encoder) => encoder,
            None => {
                let mut made = gif::Encoder::new(Vec::new(), width, height, &[]).map_err(wrong)?;
                made.set_repeat(gif::Repeat::Infinite).map_err(wrong)?;
                encoder.insert(made)
            }
        };
        let mut picture = gif::Frame::from_rgba_speed(width, height, &mut rgba, 10);
        picture.delay = convert::short((100.0 / pace).round().clamp(1.0, 65535.0));
        encoder.write_frame(&picture).map_err(wrong)?;
    }
    let encoder = encoder.ok_or_else(|| Error::internal("a film without frames"))?;
    encoder.into_inner().map_err(|e| Error::internal(format!("encoding a GIF: {e}")).caused_by(e))
}

/// An animated PNG that begins again at its end.
///
/// # Errors
/// When a frame would be too large.
pub fn apng(
    frames: &[Composite],
    page: &Page,
    pace: f64,
    progress: &mut Progress<'_>,
) -> Result<Vec<u8>> {
    let mut pictures = Vec::with_capacity(frames.len());
    for (index, frame) in frames.iter().enumerate() {
        go_on(progress(index, frames.len()))?;
        pictures.push(pixels(frame, page)?);
    }
    let title = plain(frames.first().map_or("", Composite::name));
    let texts = [("Title", title.as_str()), (provenance::KEYWORD, &page.provenance.to_json())];
    png::animated(&pictures, pace, page.dpi, &texts)
}

/// What is said of a film that somebody ended.
pub fn stopped() -> Error {
    Error::usage("the film was stopped")
}

fn go_on(goes_on: bool) -> Result<()> {
    if goes_on { Ok(()) } else { Err(stopped()) }
}
