//! How the window looks: two quiet schemes, one spacing, one accent.

use std::sync::Arc;

use egui::{
    Color32, CornerRadius, FontData, FontDefinitions, FontFamily, FontId, Margin, Stroke,
    TextStyle, Theme, Visuals, vec2,
};

use crate::figure::color::Color;
use crate::figure::fallback::Fallback;
use crate::figure::font::{self, Family, Typeface};
use crate::figure::style::Style;
use crate::panel::Palette;

/// Colours of one scheme, straight sRGB. Text on paper keeps a contrast of at least 4.5 : 1 (WCAG AA).
struct Scheme {
    paper: Color,
    panel: Color,
    raised: Color,
    line: Color,
    ink: Color,
    faint: Color,
    accent: Color,
    warning: Color,
    error: Color,
}

/// The accents are Okabe and Ito's blue and sky blue, which colour-blind readers tell from everything else here.
const LIGHT: Scheme = Scheme {
    paper: Color::rgb(255, 255, 255),
    panel: Color::rgb(244, 245, 247),
    raised: Color::rgb(231, 234, 238),
    line: Color::rgb(208, 213, 220),
    ink: Color::rgb(28, 33, 40),
    faint: Color::rgb(92, 101, 114),
    accent: Color::rgb(0, 104, 166),
    warning: Color::rgb(140, 82, 0),
    error: Color::rgb(176, 32, 32),
};

const DARK: Scheme = Scheme {
    paper: Color::rgb(20, 23, 28),
    panel: Color::rgb(28, 32, 39),
    raised: Color::rgb(44, 50, 60),
    line: Color::rgb(58, 65, 77),
    ink: Color::rgb(230, 233, 237),
    faint: Color::rgb(158, 167, 179),
    accent: Color::rgb(86, 180, 233),
    warning: Color::rgb(240, 190, 90),
    error: Color::rgb(255, 130, 120),
};

/// The colours that figures are drawn in.
pub fn palette(dark: bool) -> Palette {
    let scheme = if dark { &DARK } else { &LIGHT };
    Palette {
        dark,
        paper: scheme.paper,
        ink: scheme.ink,
        faint: scheme.faint,
        accent: scheme.accent,
    }
}

pub fn color32(c: Color) -> Color32 {
    Color32::from_rgba_unmultiplied(c.r, c.g, c.b, c.a)
}

/// How figures are laid out on the screen: as in files, in the colours of the window.
pub fn figure_style(dark: bool, fallback: Fallback) -> Style {
    let scheme = if dark { &DARK } else { &LIGHT };
    Style {
        family: Typeface { own: Family::Sans, fallback },
        paper: scheme.paper,
        ink: scheme.ink,
        faint: scheme.faint,
        dark,
        aside: true,
        ..Style::light().scaled(SCREEN_TEXT)
    }
}

/// Text of a figure is this much larger on the screen than on paper, which is read from nearer.
const SCREEN_TEXT: f32 = 1.2;

const BOLD: &str = "Liberation Sans Bold";
const SERIF: &str = "Liberation Serif";
const SERIF_BOLD: &str = "Liberation Serif Bold";

/// The bold face of the figures.
pub fn bold(size: f32) -> FontId {
    FontId::new(size, FontFamily::Name(BOLD.into()))
}

/// A face of the figures.
pub fn face(family: Family, bold: bool, size: f32) -> FontId {
    match (family, bold) {
        (Family::Sans, false) => FontId::proportional(size),
        (Family::Sans, true) => self::bold(size),
        (Family::Serif, false) => FontId::new(size, FontFamily::Name(SERIF.into())),
        (Family::Serif, true) => FontId::new(size, FontFamily::Name(SERIF_BOLD.into())),
    }
}

/// The fonts of the figures for the whole window; egui's own stay behind them for what they lack.
fn fonts() -> FontDefinitions {
    let mut fonts = FontDefinitions::default();
    let mut add = |name: &str, bytes: &'static [u8]| {
        fonts.font_data.insert(name.to_owned(), Arc::new(FontData::from_static(bytes)));
    };
    for (name, bytes) in font::FILES {
        add(name, bytes);
    }
    add(BOLD, font::BOLD);
    let [serif, _, serif_bold] = Family::Serif.files();
    add(SERIF, serif);
    add(SERIF_BOLD, serif_bold);
    let own = || font::FILES.iter().map(|(name, _)| (*name).to_owned());
    let proportional = fonts.families.entry(FontFamily::Proportional).or_default();
    proportional.splice(0..0, own());
    let mut bold = vec![BOLD.to_owned()];
    bold.extend(proportional.iter().cloned());
    let behind = proportional.clone();
    fonts.families.insert(FontFamily::Name(BOLD.into()), bold);
    for name in [SERIF, SERIF_BOLD] {
        let mut faces = vec![name.to_owned()];
        faces.extend(behind.iter().cloned());
        fonts.families.insert(FontFamily::Name(name.into()), faces);
    }
    let monospace = fonts.families.entry(FontFamily::Monospace).or_default();
    monospace.extend(own());
    fonts
}

/// Installs both schemes; which one is shown is [`egui::Context::set_theme`]'s affair.
pub fn install(ctx: &egui::Context) {
    ctx.set_fonts(fonts());
    ctx.set_visuals_of(Theme::Light, visuals(&LIGHT, Visuals::light()));
    ctx.set_visuals_of(Theme::Dark, visuals(&DARK, Visuals::dark()));
    ctx.all_styles_mut(|style| {
        for (text, size) in [
            (TextStyle::Small, 11.0),
            (TextStyle::Body, 13.5),
            (TextStyle::Button, 13.5),
            (TextStyle::Monospace, 13.0),
        ] {
            let font = if text == TextStyle::Monospace {
                FontId::monospace(size)
            } else {
                FontId::proportional(size)
            };
            style.text_styles.insert(text, font);
        }
        style.text_styles.insert(TextStyle::Heading, bold(19.0));
        style.spacing.item_spacing = vec2(8.0, 5.0);
        style.spacing.button_padding = vec2(8.0, 3.0);
        style.spacing.window_margin = Margin::same(10);
        style.spacing.menu_margin = Margin::same(6);
        style.spacing.slider_width = 120.0;
        style.spacing.tooltip_width = 360.0;
        // Values under the pointer are read, not waited for.
        style.interaction.tooltip_delay = 0.0;
        style.interaction.show_tooltips_only_when_still = false;
        // Nothing moves by itself: a microscope does not wobble, and a still window costs nothing.
        style.animation_time = 0.0;
    });
    // Zoom keys are in our own table of actions.
    ctx.options_mut(|options| options.zoom_with_keyboard = false);
}

fn visuals(s: &Scheme, mut v: Visuals) -> Visuals {
    let (ink, line) = (color32(s.ink), color32(s.line));
    let round = CornerRadius::same(4);
    v.panel_fill = color32(s.panel);
    v.window_fill = color32(s.panel);
    v.extreme_bg_color = color32(s.paper);
    v.faint_bg_color = color32(s.raised);
    v.code_bg_color = color32(s.raised);
    v.window_stroke = Stroke::new(1.0, line);
    v.window_corner_radius = CornerRadius::same(6);
    v.menu_corner_radius = CornerRadius::same(6);
    v.hyperlink_color = color32(s.accent);
    v.warn_fg_color = color32(s.warning);
    v.error_fg_color = color32(s.error);
    v.weak_text_color = Some(color32(s.faint));
    v.selection.bg_fill = color32(s.accent).gamma_multiply(0.35);
    v.selection.stroke = Stroke::new(1.5, color32(s.accent));
    v.slider_trailing_fill = true;
    for (widget, fill) in [
        (&mut v.widgets.noninteractive, s.panel),
        (&mut v.widgets.inactive, s.raised),
        (&mut v.widgets.hovered, s.line),
        (&mut v.widgets.active, s.line),
        (&mut v.widgets.open, s.raised),
    ] {
        widget.bg_fill = color32(fill);
        widget.weak_bg_fill = color32(fill);
        widget.bg_stroke = Stroke::new(1.0, line);
        widget.fg_stroke = Stroke::new(1.0, ink);
        widget.corner_radius = round;
        widget.expansion = 0.0;
    }
    v.widgets.hovered.bg_stroke = Stroke::new(1.0, color32(s.accent));
    v.widgets.active.bg_stroke = Stroke::new(1.0, color32(s.accent));
    v
}
