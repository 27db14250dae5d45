//! Fonts for the signs that our own lack: those of the system, or files that were chosen.

use std::path::PathBuf;
use std::sync::Arc;

use egui::epaint::text::{FallbackRequest, FontInsert, FontProvider};
use egui::{Context, FontData};

use crate::base::error::Error;
use crate::figure::fallback::Fallback;
use crate::figure::font::{Family, Typeface};
use crate::figure::scene::Beyond;

use super::App;

/// Lets all text of the window find the glyphs that it lacks where figures find them.
pub fn install(ctx: &Context, fallback: Fallback) {
    let find = move |request: &FallbackRequest<'_>| {
        let face = fallback.find(request.cluster.chars().next()?)?;
        let data = FontData { index: face.index, ..FontData::from_static(face.bytes) };
        Some(FontInsert::new(&face.key(), data, Vec::new()))
    };
    let provider: Arc<dyn FontProvider> = Arc::new(find);
    ctx.set_font_providers(vec![provider]);
}

impl App {
    /// Reads the fonts of files, away from the window; of none, takes those of the system.
    pub(super) fn choose_fonts(&mut self, files: Vec<PathBuf>) {
        let read = move || Fallback::open(&files).map(|fallback| (files, fallback));
        self.work("read fonts", read, |app, (files, fallback)| app.take_fonts(files, fallback));
    }

    /// Draws everything with other fonts behind our own.
    pub(super) fn take_fonts(&mut self, files: Vec<PathBuf>, fallback: Fallback) {
        self.fonts = files;
        self.host.take_fonts(fallback);
        (self.export.fallback, self.sheet.fallback) = (fallback, fallback);
        let window = self.window.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        install(&window, fallback);
    }

    /// Says of a run, once, how many characters of its tokens no font has; of a network that reads all the world's languages, of the
    /// tokens in view.
    pub(super) fn say_lacking(&mut self) {
        let Some(run) = self.lab.run() else { return };
        let family = Typeface { own: Family::Sans, fallback: self.export.fallback };
        let vocab = run.info.source.vocab();
        let mut beyond = Beyond::default();
        let all = 0..u32::try_from(vocab.len()).unwrap_or(u32::MAX);
        let mut take = |id: u32| beyond.take(family, &vocab.glyph(id));
        match run.experiment.model.is_read() {
            true => self.lab.prompt.tokens.iter().copied().for_each(&mut take),
            false => all.for_each(&mut take),
        }
        if let Some(sentence) = beyond.sentence() {
            let what = "Font for other scripts… in the menu View";
            self.lab.trouble(Error::input(format!("{sentence} ({what})")));
        }
    }

    /// Fonts that were chosen in an earlier window may be gone: that is said, and the choice is kept.
    pub(super) fn restore_fonts(&mut self, files: Vec<PathBuf>) {
        if files.is_empty() {
            return;
        }
        self.fonts.clone_from(&files);
        let read = move || match Fallback::open(&files) {
            Ok(fallback) => Ok((files, fallback)),
            Err(error) => {
                let what = "the fonts of the system are used instead";
                Err(Error::input(format!("{}; {what}", error.clause())))
            }
        };
        self.work("read fonts", read, |app, (files, fallback)| app.take_fonts(files, fallback));
    }
}
