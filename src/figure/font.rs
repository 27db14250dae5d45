//! The fonts that travel with the program, and how wide a text is in them.

use std::borrow::Cow;
use std::sync::LazyLock;

use rustybuzz::ttf_parser;
use unicode_bidi::{BidiClass, BidiInfo, Level, bidi_class};

use super::fallback::{Face, Fallback};
use crate::base::vocab;

/// The fonts of the window, in the order in which a character looks for its sign.
pub const FILES: [(&str, &[u8]); 2] = [("Liberation Sans", SANS), ("Mnemoscope Signs", SIGNS)];

const SANS: &[u8] = include_bytes!("../../assets/fonts/LiberationSans-Regular.ttf");
const SERIF: &[u8] = include_bytes!("../../assets/fonts/LiberationSerif-Regular.ttf");
const SERIF_BOLD: &[u8] = include_bytes!("../../assets/fonts/LiberationSerif-Bold.ttf");
const SIGNS: &[u8] = include_bytes!("../../assets/fonts/MnemoscopeSigns.ttf");

/// Liberation Sans Bold.
pub const BOLD: &[u8] = include_bytes!("../../assets/fonts/LiberationSans-Bold.ttf");

crate::choices! {
    /// What figures are written in: the widths of Arial, or those of Times New Roman.
    #[derive(Default)]
    pub enum Family {
        #[default]
        Sans = "sans",
        Serif = "serif",
    }
}

/// From the baseline up to the middle of the capitals, in parts of the font size (half of 1409/2048).
pub const MIDDLE: f32 = 0.344;

/// From the middle of the capitals to the top of the highest sign and to the bottom of the lowest, in parts of
/// the font size: what a line of text needs.
pub const HALF_LINE: f32 = 0.6;

/// Faces of a family: its own, the signs that it lacks, and its bold one.
const FACES: usize = 3;

impl Family {
    /// The files of its faces: the regular one, the signs, the bold one.
    pub fn files(self) -> [&'static [u8]; FACES] {
        match self {
            Self::Sans => [SANS, SIGNS, BOLD],
            Self::Serif => [SERIF, SIGNS, SERIF_BOLD],
        }
    }

    /// The name of its own faces.
    pub fn face_name(self) -> &'static str {
        match self {
            Self::Sans => "Liberation Sans",
            Self::Serif => "Liberation Serif",
        }
    }

    /// Its faces, parsed once. A font that does not parse is left out.
    fn faces(self) -> &'static [rustybuzz::Face<'static>] {
        static PARSED: LazyLock<[Vec<rustybuzz::Face<'static>>; Family::ALL.len()]> =
            LazyLock::new(|| {
                std::array::from_fn(|i| {
                    let files = Family::ALL[i].files().into_iter();
                    files.filter_map(|bytes| rustybuzz::Face::from_slice(bytes, 0)).collect()
                })
            });
        &PARSED[self as usize]
    }

    /// Which of the regular face and the signs has a sign for the character.
    pub fn font_of(self, c: char) -> Option<usize> {
        self.faces().iter().take(FACES - 1).position(|face| face.glyph_index(c).is_some())
    }

    /// The face as a shaper sees it; `bold` changes the regular one only.
    pub fn face(self, font: usize, bold: bool) -> Option<&'static rustybuzz::Face<'static>> {
        self.faces().get(Self::index(font, bold))
    }

    /// Index into [`Self::files`] of a face.
    pub fn index(font: usize, bold: bool) -> usize {
        if bold && font == 0 { FACES - 1 } else { font }
    }

    /// Widths of the signs of ASCII in its regular and in its bold face, in parts of the font size.
    fn advances(self) -> &'static [[f32; 128]; 2] {
        static LATIN: LazyLock<[[[f32; 128]; 2]; Family::ALL.len()]> = LazyLock::new(|| {
            let latin = |family: Family, bold| {
                std::array::from_fn(|i| {
                    let font = family.face(0, bold);
                    let letter = u8::try_from(i).map(char::from);
                    font.zip(letter.ok()).map_or(0.0, |(face, c)| advance_in(face, c))
                })
            };
            std::array::from_fn(|i| [false, true].map(|bold| latin(Family::ALL[i], bold)))
        });
        &LATIN[self as usize]
    }
}

/// Width of one sign in a face, in parts of the font size.
fn advance_in(face: &ttf_parser::Face<'_>, c: char) -> f32 {
    let units = face.glyph_index(c).and_then(|g| face.glyph_hor_advance(g)).unwrap_or(0);
    f32::from(units) / f32::from(face.units_per_em())
}

/// What is drawn for a sign that no font has.
const BOX: char = '□';

/// What text is written in: a family of ours, and behind it other fonts for the signs that it lacks.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Typeface {
    pub own: Family,
    pub fallback: Fallback,
}

impl From<Family> for Typeface {
    fn from(own: Family) -> Self {
        Self::of(own)
    }
}

/// A font that glyphs are taken from.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Font {
    /// One of [`Family::files`].
    Own(usize),
    Other(&'static Face),
}

/// A stretch of text in one font and one direction.
#[derive(Clone, Debug, PartialEq)]
pub struct Run {
    pub font: Font,
    pub text: String,
    pub right_to_left: bool,
    /// No font has its signs: boxes stand for them.
    pub is_lacking: bool,
}

impl Run {
    /// Its text as it is drawn.
    pub fn drawn(&self) -> Cow<'_, str> {
        if self.is_lacking {
            Cow::Owned(self.text.chars().map(|_| BOX).collect())
        } else {
            Cow::Borrowed(&self.text)
        }
    }
}

/// A glyph of a run, in the order in which they stand from left to right; lengths in parts of the font size.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Glyph {
    pub id: u32,
    pub advance: f32,
    pub offset: [f32; 2],
    /// Where what it stands for begins in the text of the run, in bytes.
    pub start: usize,
}

impl Typeface {
    /// A family of ours alone.
    pub const fn of(own: Family) -> Self {
        Self { own, fallback: Fallback::NONE }
    }

    /// The font that has a sign, if there is one.
    pub fn font_of(self, c: char) -> Option<Font> {
        self.own.font_of(c).map(Font::Own).or_else(|| self.fallback.find(c).map(Font::Other))
    }

    /// The font of ours that has a box for what no font has.
    fn boxed(self) -> Font {
        Font::Own(self.own.font_of(BOX).unwrap_or(0))
    }

    fn is_own(self, c: char) -> bool {
        c.is_ascii() || self.own.font_of(c).is_some()
    }

    /// Whether all signs of a text are ours, and drawing it asks for no other font.
    pub fn has_all(self, text: &str) -> bool {
        text.chars().all(|c| self.is_own(c))
    }

    /// The font as a shaper sees it; `bold` changes our regular one only.
    pub fn shaper(self, font: Font, bold: bool) -> Option<&'static rustybuzz::Face<'static>> {
        match font {
            Font::Own(font) => self.own.face(font, bold),
            Font::Other(face) => Some(&face.shaper),
        }
    }

    /// Width of a text on one line, in the unit of `size`, in our own faces without kerning (which only makes it narrower).
    pub fn width(self, text: &str, size: f32, bold: bool) -> f32 {
        let is_one = text.chars().nth(1).is_none();
        if is_one || self.has_all(text) {
            return size * text.chars().map(|c| self.advance(c, bold)).sum::<f32>();
        }
        let glyphs = |run: &Run| self.shape(run, bold);
        size * self.runs(text).iter().flat_map(glyphs).map(|glyph| glyph.advance).sum::<f32>()
    }

    /// Width of one sign in parts of the font size.
    fn advance(self, c: char, bold: bool) -> f32 {
        if c.is_ascii() {
            return self.own.advances()[usize::from(bold)][c as usize];
        }
        let (font, c) = self.font_of(c).map_or_else(|| (self.boxed(), BOX), |font| (font, c));
        self.shaper(font, bold).map_or(0.0, |face| advance_in(face, c))
    }

    /// Breaks a text where the font or the direction changes; the stretches stand as they are read on the page, from left
    /// to right.
    pub fn runs(self, text: &str) -> Vec<Run> {
        let mut runs = Vec::new();
        for (part, right_to_left) in directions(text) {
            let mut stretches = self.in_one_font(part);
            if right_to_left {
                stretches.reverse();
            }
            runs.extend(stretches.into_iter().map(|(font, text)| Run {
                font: font.unwrap_or_else(|| self.boxed()),
                text,
                right_to_left,
                is_lacking: font.is_none(),
            }));
        }
        runs
    }

    fn in_one_font(self, text: &str) -> Vec<(Option<Font>, String)> {
        let mut stretches: Vec<(Option<Font>, String)> = Vec::new();
        for c in text.chars() {
            let last = stretches.last().and_then(|(font, _)| *font);
            // A mark belongs to the letter before it, and is placed by the font that has both.
            let with_letter = last.filter(|_| bidi_class(c) == BidiClass::NSM).filter(|font| {
                self.shaper(*font, false).is_some_and(|face| face.glyph_index(c).is_some())
            });
            let font = with_letter.or_else(|| self.font_of(c));
            match stretches.last_mut().filter(|(before, _)| *before == font) {
                Some((_, text)) => text.push(c),
                None => stretches.push((font, c.to_string())),
            }
        }
        stretches
    }

    /// The glyphs of a run.
    pub fn shape(self, run: &Run, bold: bool) -> Vec<Glyph> {
        let Some(face) = self.shaper(run.font, bold) else { return Vec::new() };
        if run.is_lacking {
            let id = face.glyph_index(BOX).map_or(0, |glyph| u32::from(glyph.0));
            let advance = advance_in(face, BOX);
            let glyph = |(start, _)| Glyph { id, advance, offset: [0.0; 2], start };
            let glyphs = run.text.char_indices().map(glyph);
            return if run.right_to_left { glyphs.rev().collect() } else { glyphs.collect() };
        }
        let mut buffer = rustybuzz::UnicodeBuffer::new();
        buffer.push_str(&run.text);
        buffer.set_direction(match run.right_to_left {
            true => rustybuzz::Direction::RightToLeft,
            false => rustybuzz::Direction::LeftToRight,
        });
        let shaped = rustybuzz::shape(face, &[], buffer);
        let units = face.units_per_em() as f32;
        let glyph = |(info, place): (&rustybuzz::GlyphInfo, &rustybuzz::GlyphPosition)| Glyph {
            id: info.glyph_id,
            advance: place.x_advance as f32 / units,
            offset: [place.x_offset as f32 / units, place.y_offset as f32 / units],
            start: info.cluster as usize,
        };
        shaped.glyph_infos().iter().zip(shaped.glyph_positions()).map(glyph).collect()
    }

    /// The text cut to a width, with an ellipsis where something is missing; empty where not even that fits.
    pub fn fit(self, text: &str, size: f32, width_limit: f32) -> Cow<'_, str> {
        if self.width(text, size, false) <= width_limit {
            return Cow::Borrowed(text);
        }
        let room = width_limit - self.width("…", size, false);
        let mut used = 0.0;
        let kept: String = text
            .chars()
            .take_while(|c| {
                used += size * self.advance(*c, false);
                used <= room
            })
            .collect();
        match kept.trim_end() {
            "" => Cow::Borrowed(""),
            kept => Cow::Owned(format!("{kept}…")),
        }
    }

    /// The text broken between words into lines of at most a width; a longer word stands alone, cut.
    pub fn wrap(self, text: &str, size: f32, width_limit: f32) -> Vec<String> {
        let mut lines: Vec<String> = Vec::new();
        let mut line = String::new();
        let parts = |c: char| c.is_whitespace() && c != '\u{a0}';
        for word in text.split(parts).filter(|word| !word.is_empty()) {
            let longer = if line.is_empty() { word.to_owned() } else { format!("{line} {word}") };
            if self.width(&longer, size, false) <= width_limit || line.is_empty() {
                line = longer;
            } else {
                lines.push(std::mem::replace(&mut line, word.to_owned()));
            }
        }
        if !line.is_empty() {
            lines.push(line);
        }
        lines.iter().map(|line| self.fit(line, size, width_limit).into_owned()).collect()
    }
}

/// The stretches of a text by direction, as they stand from left to right: in each, whether it is read from the right. Where
/// nothing else is said a line begins on the left.
fn directions(text: &str) -> Vec<(&str, bool)> {
    // No sign before the Hebrew ones is written from the right.
    if text.chars().all(|c| c < '\u{590}') {
        return vec![(text, false)];
    }
    let bidi = BidiInfo::new(text, Some(Level::ltr()));
    let lines = bidi.paragraphs.iter().flat_map(|line| {
        let (levels, runs) = bidi.visual_runs(line, line.range.clone());
        runs.into_iter().map(move |run| (&text[run.clone()], levels[run.start].is_rtl()))
    });
    lines.collect()
}

/// The text as figures show it: labels for signs that are not seen, names for control characters. Spaces stay.
pub fn shown(text: &str) -> Cow<'_, str> {
    let seen = vocab::labelled(text, |c| !vocab::is_hidden(c));
    if seen.chars().all(|c| control_name(c).is_none()) {
        return seen;
    }
    let mut out = String::with_capacity(seen.len());
    for c in seen.chars() {
        match control_name(c) {
            Some(name) => out.push_str(name),
            None => out.push(c),
        }
    }
    Cow::Owned(out)
}

/// `CR` for the control picture `␍`, and so on.
fn control_name(picture: char) -> Option<&'static str> {
    const NAMES: [&str; 34] = [
        "NUL", "SOH", "STX", "ETX", "EOT", "ENQ", "ACK", "BEL", "BS", "HT", "LF", "VT", "FF", "CR",
        "SO", "SI", "DLE", "DC1", "DC2", "DC3", "DC4", "NAK", "SYN", "ETB", "CAN", "EM", "SUB",
        "ESC", "FS", "GS", "RS", "US", "SP", "DEL",
    ];
    let index = u32::from(picture).checked_sub(0x2400)?;
    NAMES.get(index as usize).copied()
}
