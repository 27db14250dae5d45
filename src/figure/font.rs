//! The fonts that travel with the program, and how wide a text is in them.

use std::borrow::Cow;
use std::sync::LazyLock;

use rustybuzz::ttf_parser;

use crate::record::vocab;

/// The fonts, in the order in which a character looks for its sign.
pub const FILES: [(&str, &[u8]); 2] = [
    ("Liberation Sans", include_bytes!("../../assets/fonts/LiberationSans-Regular.ttf")),
    ("Mnemoscope Signs", include_bytes!("../../assets/fonts/MnemoscopeSigns.ttf")),
];

/// Liberation Sans Bold.
pub const BOLD: &[u8] = include_bytes!("../../assets/fonts/LiberationSans-Bold.ttf");

/// From the baseline up to the middle of the capitals, in parts of the font size (half of 1409/2048).
pub const MIDDLE: f32 = 0.344;

/// From the middle of the capitals to the top of the highest sign and to the bottom of the lowest, in parts of
/// the font size: what a line of text needs.
pub const HALF_LINE: f32 = 0.6;

/// The fonts, parsed once: those of [`FILES`] and the bold one. A font that does not parse is left out.
static FACES: LazyLock<Vec<rustybuzz::Face<'static>>> = LazyLock::new(|| {
    let files = FILES.iter().map(|(_, bytes)| *bytes).chain([BOLD]);
    files.filter_map(|bytes| rustybuzz::Face::from_slice(bytes, 0)).collect()
});

/// Index into [`FILES`] of the first font that has a sign for the character.
pub fn font_of(c: char) -> Option<usize> {
    FACES.iter().take(FILES.len()).position(|face| face.glyph_index(c).is_some())
}

/// The font as a shaper sees it; `bold` changes the first one only.
pub fn face(font: usize, bold: bool) -> Option<&'static rustybuzz::Face<'static>> {
    FACES.get(if bold && font == 0 { FILES.len() } else { font })
}

/// Width of a text on one line, in the unit of `size`, without kerning (which only makes it narrower).
pub fn width(text: &str, size: f32, bold: bool) -> f32 {
    size * text.chars().map(|c| advance(c, bold)).sum::<f32>()
}

/// Width of one character in parts of the font size.
fn advance(c: char, bold: bool) -> f32 {
    static LATIN: LazyLock<[[f32; 128]; 2]> = LazyLock::new(|| {
        [false, true].map(|bold| {
            std::array::from_fn(|i| u8::try_from(i).map_or(0.0, |c| measure(char::from(c), bold)))
        })
    });
    match u8::try_from(c) {
        Ok(c) if c < 128 => LATIN[usize::from(bold)][usize::from(c)],
        _ => measure(c, bold),
    }
}

fn measure(c: char, bold: bool) -> f32 {
    let Some(face) = font_of(c).and_then(|font| face(font, bold)) else { return 0.6 };
    let ttf: &ttf_parser::Face<'_> = face;
    let units = ttf.glyph_index(c).and_then(|g| ttf.glyph_hor_advance(g)).unwrap_or(0);
    f32::from(units) / f32::from(ttf.units_per_em())
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
    c.is_ascii_graphic() || c == ' ' || font_of(c).is_some()
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

/// The text cut to a width, with an ellipsis where something is missing; empty where not even that fits.
pub fn fit(text: &str, size: f32, width_limit: f32) -> Cow<'_, str> {
    if width(text, size, false) <= width_limit {
        return Cow::Borrowed(text);
    }
    let room = width_limit - width("…", size, false);
    let mut used = 0.0;
    let kept: String = text
        .chars()
        .take_while(|c| {
            used += size * advance(*c, false);
            used <= room
        })
        .collect();
    match kept.trim_end() {
        "" => Cow::Borrowed(""),
        kept => Cow::Owned(format!("{kept}…")),
    }
}

/// The text broken between words into lines of at most a width; a longer word stands alone, cut.
pub fn wrap(text: &str, size: f32, width_limit: f32) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    let mut line = String::new();
    for word in text.split_whitespace() {
        let longer = if line.is_empty() { word.to_owned() } else { format!("{line} {word}") };
        if width(&longer, size, false) <= width_limit || line.is_empty() {
            line = longer;
        } else {
            lines.push(std::mem::replace(&mut line, word.to_owned()));
        }
    }
    if !line.is_empty() {
        lines.push(line);
    }
    lines.iter().map(|line| fit(line, size, width_limit).into_owned()).collect()
}
