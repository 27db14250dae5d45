//! A picture of the window at a step: waits until the panels have answered for it, saves it, and quits.

use std::path::{Path, PathBuf};

use crossbeam_channel::Sender;
use egui::{ColorImage, Context, Vec2, ViewportCommand};

use crate::base::error::{Error, Result};
use crate::base::intervention::Intervention;
use crate::figure::png;
use crate::formats::file::{check_free, save};

use crate::app::lab::Lab;

/// Frames that must pass without a change: tooltips, textures and plots settle in two.
const STILL: u32 = 4;

/// So often a window is asked for the size of the picture: a screen may be too small for it.
const SIZINGS: u32 = 8;

/// A picture that is wanted.
pub struct Screenshot {
    file: PathBuf,
    replace: bool,
    step: Option<u64>,
    /// What is to be brought into force, as it is spelled, once the step is there.
    intervene: Vec<String>,
    /// In points of the screen, and how often the window was asked for it.
    size: Option<Vec2>,
    sizings: u32,
    still: u32,
    requested: bool,
    done: Sender<Result<()>>,
}

impl Screenshot {
    /// `done` hears how it went.
    pub fn new(file: PathBuf, step: Option<u64>, done: Sender<Result<()>>) -> Self {
        let intervene = Vec::new();
        let (replace, requested, size) = (false, false, None);
        Self { file, replace, step, intervene, size, sizings: 0, still: 0, requested, done }
    }

    /// With these interventions in force.
    #[must_use]
    pub fn under(self, intervene: Vec<String>) -> Self {
        Self { intervene, ..self }
    }

    /// Whether a file of that name may be replaced.
    #[must_use]
    pub fn replacing(self, replace: bool) -> Self {
        Self { replace, ..self }
    }

    /// Of a window of this size.
    #[must_use]
    pub fn of_size(self, size: [f32; 2]) -> Self {
        Self { size: Some(size.into()), ..self }
    }

    /// Whether the window is as large as is wanted, or cannot be: it has the size that was kept, whatever it began with.
    fn has_size(&mut self, ctx: &Context) -> bool {
        let Some(wanted) = self.size.filter(|_| self.sizings < SIZINGS) else { return true };
        let zoom = ctx.zoom_factor();
        if (ctx.content_rect().size() * zoom - wanted).abs().max_elem() < 1.0 {
            return true;
        }
        self.sizings += 1;
        ctx.send_viewport_cmd(ViewportCommand::InnerSize(wanted / zoom));
        ctx.request_repaint();
        false
    }

    /// The window that was asked for the picture is gone.
    pub fn ask_again(&mut self) {
        (self.still, self.requested) = (0, false);
    }

    /// Takes the picture once everything stands still at the wanted step. `works`: something is still on its way to the lab.
    pub fn take(&mut self, ctx: &Context, lab: &mut Lab, works: bool) {
        if self.requested {
            return;
        }
        let is_still = self.has_size(ctx) && self.stands_still(lab) && !works;
        let intervened = if is_still { self.intervene(lab) } else { Ok(false) };
        if let Some(why) = intervened.as_ref().err().cloned().or_else(|| cannot_answer(lab, works))
        {
            // The window was closed by hand when nobody listens.
            let _ = self.done.send(Err(why));
            self.requested = true;
            return ctx.send_viewport_cmd(ViewportCommand::Close);
        }
        self.still = if is_still && intervened.is_ok_and(|now| !now) { self.still + 1 } else { 0 };
        if self.still < STILL {
            return;
        }
        self.requested = true;
        let (file, replace) = (self.file.clone(), self.replace);
        let (done, closer) = (self.done.clone(), ctx.clone());
        ctx.request_screenshot(move |image| {
            let _ = done.send(write(&file, replace, &image));
            closer.send_viewport_cmd(ViewportCommand::Close);
        });
    }

    /// Brings into force what is wanted; whether anything was left to do.
    fn intervene(&mut self, lab: &mut Lab) -> Result<bool> {
        let wanted = std::mem::take(&mut self.intervene);
        for text in &wanted {
            let Some(run) = lab.run() else { continue };
            let what = Intervention::written(text, &run.info.vocab)?;
            lab.intervene(what);
        }
        Ok(!wanted.is_empty())
    }

    fn stands_still(&self, lab: &Lab) -> bool {
        let here = lab.step_in_view();
        let reached = match (self.step, lab.step) {
            (Some(step), None) => here >= step || !lab.can_train(),
            _ => true,
        };
        let asks = lab.examination.is_busy() || lab.analyses.is_busy() || lab.scoring.is_busy();
        // Panels that ask long questions alone wait for no other answer.
        let answered = lab.examination.is_settled(here) || !lab.examination.wanted;
        reached && !lab.is_training() && !asks && answered
    }
}

/// What is wrong with the name of a picture is said before a window is opened.
///
/// # Errors
/// When it asks for another format than PNG, or names a file that is there and may not be replaced.
pub fn check(file: &Path, replace: bool) -> Result<()> {
    if !file.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("png")) {
        return Err(Error::usage(format!(
            "--screenshot {}: expected a name that ends in .png. The figures of single panels are written in other formats, too: mnemoscope figure",
            file.display()
        )));
    }
    check_free(file, replace)
}

/// Why there will never be a picture, where nothing `works` on it any more.
fn cannot_answer(lab: &Lab, works: bool) -> Option<Error> {
    if lab.building > 0 || !lab.orders.is_empty() || works {
        return None;
    }
    let said = || lab.troubles.first().cloned();
    if lab.runs.is_empty() {
        return Some(said().unwrap_or_else(|| Error::internal("there is no run to show")));
    }
    if let Some(failure) = &lab.failure {
        return Some(Error::input(failure.clone()));
    }
    let nothing = lab.run().is_some_and(|run| {
        run.training.as_ref().is_none_or(|t| t.gone) && run.recording.recorded.is_empty()
    });
    nothing
        .then(|| said().unwrap_or_else(|| Error::input("this run has no recorded weights to show")))
}

fn write(file: &Path, replace: bool, image: &ColorImage) -> Result<()> {
    let rgba: Vec<u8> =
        image.pixels.iter().flat_map(egui::Color32::to_srgba_unmultiplied).collect();
    let size = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
    let bytes = png::encode(&rgba, size(image.size[0]), size(image.size[1]), None, &[])?;
    save(file, &bytes, replace)
}
