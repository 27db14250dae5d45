//! The fonts that travel with the program, and how wide a text is in them.

use std::borrow::Cow;
use std::sync::LazyLock;

use rustybuzz::ttf_parser;

use crate::record::vocab;

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

    /// Width of a text on one line, in the unit of `size`, without kerning (which only makes it narrower).
    pub fn width(self, text: &str, size: f32, bold: bool) -> f32 {
        size * text.chars().map(|c| self.advance(c, bold)).sum::<f32>()
    }

    /// Width of one character in parts of the font size.
    fn advance(self, c: char, bold: bool) -> f32 {
        static LATIN: LazyLock<[[[f32; 128]; 2]; Family::ALL.len()]> = LazyLock::new(|| {
            let latin = |family: Family, bold| {
                std::array::from_fn(|i| {
                    u8::try_from(i).map_or(0.0, |c| family.measure(char::from(c), bold))
                })
            };
            std::array::from_fn(|i| [false, true].map(|bold| latin(Family::ALL[i], bold)))
        });
        match u8::try_from(c) {
            Ok(c) if c < 128 => LATIN[self as usize][usize::from(bold)][usize::from(c)],
            _ => self.measure(c, bold),
        }
    }

    fn measure(self, c: char, bold: bool) -> f32 {
        let Some(face) = self.font_of(c).and_then(|font| self.face(font, bold)) else {
            return 0.6;
        };
        let ttf: &ttf_parser::Face<'_> = face;
        let units = ttf.glyph_index(c).and_then(|g| ttf.glyph_hor_advance(g)).unwrap_or(0);
        f32::from(units) / f32::from(ttf.units_per_em())
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
        for word in text.split_whitespace() {
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

/// The text with a visible sign for everything that has none in the fonts: names for control characters, a box
/// for the rest.
pub fn shown(text: &str) -> Cow<'_, str> {
    if text.chars().all(|c| vocab::visible(c) == c || c == ' ') && text.chars().all(has_sign) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match if c == ' ' { c } else { vocab::visible(c) } {
            c if has_sign(c) => out.push(c),
            c => out.push_str(control_name(c).unwrap_or("□")),
        }
    }
    Cow::Owned(out)
}

fn has_sign(c: char) -> bool {
    c.is_ascii_graphic() || c == ' ' || Family::Sans.font_of(c).is_some()
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
