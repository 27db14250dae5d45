//! What is done with the runs recorded on this machine, away from the window.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use egui::Context;

use crate::base::error::{Error, Result};
use crate::run_folder::library::{self, CAP_BYTES, Stock};
use crate::run_folder::recent;

use super::App;
use super::note::Note;

/// How long the list of runs stays as it is while it is seen.
const FRESH: Duration = Duration::from_secs(3);

impl App {
    pub(super) fn list_library(&mut self) {
        if std::mem::replace(&mut self.run_list.asked, true) {
            return;
        }
        self.run_list.listed |= self.lab.runs_folder.is_none();
        let Some(library) = self.lab.runs_folder.clone() else { return };
        let keep = self.lab.folders();
        let list = move || {
            let stock = Stock::take(&library, CAP_BYTES, &keep)?;
            Ok((stock, recent::list(&library)?))
        };
        self.work("list runs", list, |app, (stock, recent)| {
            (app.run_list.stock, app.run_list.recent) = (stock, recent);
            app.run_list.listed = true;
        });
    }

    /// A network, or a set of prompts, that was opened stands at the head of what was opened lately.
    pub(super) fn remember(&mut self, path: PathBuf) {
        let Some(library) = self.lab.runs_folder.clone() else { return };
        // A picture of the window is not somebody who opens something.
        if self.screenshot.is_some() {
            return;
        }
        let remember = move || {
            let prompts = || path.is_file().then_some(recent::Kind::Prompts);
            match recent::Kind::of_folder(&path).or_else(prompts) {
                Some(kind) => recent::remember(&library, kind, &path),
                None => Ok(()),
            }
        };
        self.work("remember", remember, |app, ()| app.run_list.asked = false);
    }

    pub(super) fn forget_recent(&mut self, path: PathBuf) {
        let Some(library) = self.lab.runs_folder.clone() else { return };
        let forget = move || recent::forget(&library, &path);
        self.work("forget", forget, |app, ()| app.run_list.asked = false);
    }

    /// While the list is seen, runs that came, went or grew appear by themselves: every few seconds somebody looks at the
    /// folders alone, and where they have changed the list is read.
    pub(super) fn keep_list_fresh(&mut self, ctx: &Context) {
        ctx.request_repaint_after(FRESH);
        let Some(library) = self.lab.runs_folder.clone() else { return };
        if self.looked_at_library.elapsed() < FRESH || self.worker.is_busy() {
            return;
        }
        self.looked_at_library = Instant::now();
        let glance = move || Ok(library::glance(&library));
        self.work("look at runs", glance, |app, glance| {
            let before = app.glance.replace(glance);
            app.run_list.asked &= before.is_none_or(|before| before == glance);
        });
    }

    pub(super) fn discard_runs(&mut self, folders: Vec<PathBuf>) {
        let discard = move || {
            let (moved, refused) = each(&folders, library::discard);
            Ok(Moved { text: told(&moved, "moved to the trash"), undo: moved, refused })
        };
        self.work("delete runs", discard, Self::moved);
    }

    pub(super) fn restore_runs(&mut self, folders: Vec<PathBuf>) {
        self.note = Note::default();
        let restore = move || {
            let (moved, refused) = each(&folders, library::restore);
            Ok(Moved { text: told(&moved, "restored"), undo: Vec::new(), refused })
        };
        self.work("restore runs", restore, Self::moved);
    }

    pub(super) fn empty_trash(&mut self) {
        let Some(library) = self.lab.runs_folder.clone() else { return };
        self.note = Note::default();
        let empty = move || {
            let (text, refused) = match library::empty_trash(&library) {
                Ok(left) if left.is_empty() => ("the trash was emptied", left),
                Ok(left) => ("", left),
                Err(error) => ("", vec![error]),
            };
            Ok(Moved { text: text.to_owned(), undo: Vec::new(), refused })
        };
        self.work("empty the trash", empty, Self::moved);
    }

    fn moved(&mut self, Moved { text, undo, refused }: Moved) {
        refused.into_iter().for_each(|error| self.lab.trouble(error));
        if !text.is_empty() {
            self.note.say(text, undo);
        }
        self.run_list.asked = false;
    }

    pub(super) fn name_run(&mut self, folder: &Path, name: &str) {
        let rename = match self.lab.is_of_others(folder) {
            true => library::rename_beside,
            false => library::rename,
        };
        self.lab.attempt(|_| rename(folder, name));
        self.run_list.asked = false;
    }
}

/// Runs were moved: what is said, which of them the sentence offers to bring back, and what refused.
struct Moved {
    text: String,
    undo: Vec<PathBuf>,
    refused: Vec<Error>,
}

/// Moves runs one by one: those that went, where they lie now, and what refused.
fn each(folders: &[PathBuf], go: impl Fn(&Path) -> Result<PathBuf>) -> (Vec<PathBuf>, Vec<Error>) {
    let (mut moved, mut refused) = (Vec::new(), Vec::new());
    for folder in folders {
        match go(folder) {
            Ok(place) => moved.push(place),
            Err(error) => refused.push(error),
        }
    }
    (moved, refused)
}

/// Runs that were moved, in words; nothing of none.
fn told(moved: &[PathBuf], what: &str) -> String {
    match moved {
        [] => String::new(),
        [one] => {
            format!("{} {what}", one.file_name().unwrap_or_default().to_string_lossy())
        }
        all => format!("{} runs {what}", all.len()),
    }
}
