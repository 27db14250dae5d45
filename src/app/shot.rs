//! A picture of the window at a step: waits until the panels have answered for it, saves it, and quits.

use std::path::{Path, PathBuf};

use crossbeam_channel::Sender;
use egui::{ColorImage, Context, ViewportCommand};

use crate::figure::png;
use crate::record::error::{Error, Result};
use crate::record::file::{check_free, save};

use super::App;

/// Frames that must pass without a change: tooltips, textures and plots settle in two.
const STILL: u32 = 4;

/// A picture that is wanted.
pub struct Shot {
    file: PathBuf,
    replace: bool,
    step: Option<u64>,
    still: u32,
    requested: bool,
    done: Sender<Result<()>>,
}

impl Shot {
    /// `done` hears how it went.
    pub fn new(file: PathBuf, step: Option<u64>, done: Sender<Result<()>>) -> Self {
        Self { file, replace: false, step, still: 0, requested: false, done }
    }

    /// Whether a file of that name may be replaced.
    #[must_use]
    pub fn replacing(self, replace: bool) -> Self {
        Self { replace, ..self }
    }

    /// The window that was asked for the picture is gone.
    pub fn ask_again(&mut self) {
        (self.still, self.requested) = (0, false);
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

impl App {
    /// Takes the picture once everything stands still at the wanted step.
    pub(super) fn take_shot(&mut self, ctx: &Context) {
        let ready = self.stands_still();
        let failed = self.cannot_answer();
        let Some(shot) = &mut self.shot else { return };
        if shot.requested {
            return;
        }
        if let Some(why) = failed {
            // The window was closed by hand when nobody listens.
            let _ = shot.done.send(Err(why));
            shot.requested = true;
            return ctx.send_viewport_cmd(ViewportCommand::Close);
        }
        shot.still = if ready { shot.still + 1 } else { 0 };
        if shot.still < STILL {
            return;
        }
        shot.requested = true;
        let (file, replace) = (shot.file.clone(), shot.replace);
        let (done, closer) = (shot.done.clone(), ctx.clone());
        ctx.request_screenshot(move |image| {
            let _ = done.send(write(&file, replace, &image));
            closer.send_viewport_cmd(ViewportCommand::Close);
        });
    }

    /// Why there will never be a picture.
    fn cannot_answer(&self) -> Option<Error> {
        let lab = &self.lab;
        if lab.building > 0 || !lab.orders.is_empty() || self.worker.is_busy() {
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
        nothing.then(|| {
            said().unwrap_or_else(|| Error::input("this run has no recorded weights to show"))
        })
    }

    fn stands_still(&self) -> bool {
        let Some(shot) = &self.shot else { return false };
        let lab = &self.lab;
        let here = lab.step_in_view();
        let reached = match (shot.step, lab.step) {
            (Some(step), None) => here >= step || !lab.can_train(),
            _ => true,
        };
        reached && !lab.is_training() && lab.asking.is_settled(here)
    }
}

fn write(file: &Path, replace: bool, image: &ColorImage) -> Result<()> {
    let rgba: Vec<u8> =
        image.pixels.iter().flat_map(egui::Color32::to_srgba_unmultiplied).collect();
    let size = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
    let bytes = png::encode(&rgba, size(image.size[0]), size(image.size[1]), None, &[])?;
    save(file, &bytes, replace)
}
