//! What venues ask of a figure: widths, sizes of text, a face.

use super::font::{Family, Typeface};
use super::scene::MM_PER_POINT;
use super::style::Style;

/// What a venue asks. Widths from the author instructions as collected by tueplots 0.2; those of Nature from its figure
/// guide. Where Computer Modern is asked for, the serif face of this program stands in for it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Preset {
    pub name: &'static str,
    /// Who asks for it, in words.
    pub about: &'static str,
    /// Widths of one column and of the page in points; the same where the text has one column.
    pub widths: [f32; 2],
    /// Sizes of text and of small text (tick labels) in points.
    pub text: f32,
    pub small: f32,
    pub family: Family,
}

const fn mm(length: f32) -> f32 {
    length / MM_PER_POINT
}

const fn inches(length: f32) -> f32 {
    length * 72.0
}

const fn serif(
    name: &'static str,
    about: &'static str,
    widths: [f32; 2],
    text: f32,
    small: f32,
) -> Preset {
    Preset { name, about, widths, text, small, family: Family::Serif }
}

/// All presets, the default one first.
pub const ALL: &[Preset] = &[
    Preset {
        name: "plain",
        about: "89 and 183 mm, sans, 7 and 6 pt: fits most journals",
        widths: [mm(89.0), mm(183.0)],
        text: 7.0,
        small: 6.0,
        family: Family::Sans,
    },
    Preset {
        name: "nature",
        about: "Nature and its journals: text of 5 to 7 pt",
        widths: [mm(89.0), mm(183.0)],
        text: 7.0,
        small: 5.5,
        family: Family::Sans,
    },
    serif("neurips", "NeurIPS", [inches(5.5), inches(5.5)], 9.0, 7.0),
    serif("iclr", "ICLR", [inches(5.5), inches(5.5)], 9.0, 7.0),
    serif("icml", "ICML", [inches(3.25), inches(6.75)], 8.0, 6.0),
    serif("aistats", "AISTATS", [inches(3.25), inches(6.75)], 9.0, 7.0),
    serif("uai", "UAI", [inches(3.25), inches(6.75)], 9.0, 7.0),
    serif("cvpr", "CVPR", [inches(3.25), inches(6.875)], 8.0, 6.0),
    serif("aaai", "AAAI", [inches(3.3), inches(6.975)], 9.0, 7.0),
    serif("eccv", "ECCV", [inches(4.8), inches(4.8)], 8.0, 6.0),
    serif("jmlr", "JMLR", [inches(6.0), inches(6.0)], 10.0, 8.0),
    serif("tmlr", "TMLR", [inches(6.5), inches(6.5)], 9.0, 7.0),
    Preset {
        name: "slides",
        about: "slides of 16 to 9",
        widths: [398.34, 398.34],
        text: 11.0,
        small: 9.0,
        family: Family::Sans,
    },
];

impl Preset {
    pub fn find(name: &str) -> Option<&'static Self> {
        ALL.iter().find(|preset| preset.name == name)
    }

    pub fn names() -> Vec<&'static str> {
        ALL.iter().map(|preset| preset.name).collect()
    }
}

/// The look of a page: `text` and `small` in points; lines of axes `line` points wide, those of the data in proportion.
pub fn style(family: impl Into<Typeface>, text: f32, small: f32, line: f32, dark: bool) -> Style {
    let plain = if dark { Style::dark() } else { Style::light() };
    Style {
        title_size: text + 1.0,
        label_size: text,
        tick_size: small,
        line_width: line,
        mark_text: small / plain.tick_size,
        mark_width: line / plain.line_width,
        family: family.into(),
        ..plain
    }
}
