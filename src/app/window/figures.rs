//! Figures on their way out of the window: saved, copied, put on the figure sheet.

use std::path::PathBuf;
use std::sync::Arc;

use egui::Context;

use crate::app::commands::{CopyAs, ExportCommand};
use crate::app::figure_export::clipboard::{Copied, copied};
use crate::app::figure_export::editor::Doc;
use crate::app::figure_export::snapshot::{self, PanelSnapshot};
use crate::base::error::{Error, Result};
use crate::export::files;
use crate::export::sheet::{PageSpec, PanelSpec, Sheet};
use crate::export::sheet_runner::SheetRunner;

use super::App;
use super::file_dialog::FileDialog;

impl App {
    /// The windows in which pages are chosen.
    pub(super) fn figure_editors(&mut self, ctx: &Context) {
        match self.copied.take() {
            Some(Copied::Image(image)) => ctx.copy_image(image),
            Some(Copied::Text(text)) => ctx.copy_text(text),
            None => {}
        }
        if let Some(command) = self.export.ui(ctx) {
            self.fulfil(&command, false);
        }
        if let Some(command) = self.sheet.ui(ctx) {
            self.fulfil(&command, true);
        }
    }

    /// The figure sheet; the one of the last launch, if nothing is on it yet.
    pub(super) fn show_sheet(&mut self) {
        self.sheet.open = true;
        if let Some(text) = self.kept_sheet.take().filter(|_| self.sheet.doc.snapshots.is_empty()) {
            self.load_sheet(move || Sheet::parse(&text, "the figure sheet of the last launch"));
        }
    }

    pub(super) fn save_figure(&mut self, kind: &str, path: PathBuf, replace: bool) {
        if let Some((spec, snapshot, aspect)) = self.take_down(kind) {
            self.save_page(&self.page_of(spec, snapshot, aspect), path, replace);
        }
    }

    /// The page that a panel gets where none was chosen.
    fn page_of(&self, spec: PanelSpec, snapshot: PanelSnapshot, aspect: f32) -> Doc {
        let mut doc = Doc::one(spec, snapshot, aspect);
        doc.sheet.page.fallback = self.export.fallback;
        doc
    }

    /// What a panel shows now, taken down.
    fn take_down(&mut self, kind: &str) -> Option<(PanelSpec, PanelSnapshot, f32)> {
        let taken = self.host.seen(kind).and_then(|seen| {
            let (spec, snapshot) = snapshot::of(seen.kind, seen.panel, &self.lab, seen.camera)?;
            Ok((spec, snapshot, seen.aspect))
        });
        taken.map_err(|error| self.lab.trouble(error)).ok()
    }

    /// Opens the export window on a panel.
    pub(super) fn export(&mut self, kind: &str) {
        if let Some((spec, snapshot, aspect)) = self.take_down(kind) {
            let mut doc = Doc::one(spec, snapshot, aspect);
            // The page that was chosen last is likely to be wanted again; its height was another panel's.
            let page = &self.export.doc.sheet.page;
            if *page != PageSpec::default() {
                let height = doc.sheet.page.height.clone();
                doc.sheet.page = PageSpec { height, ..page.clone() };
            }
            self.export.show(doc);
        }
    }

    /// Puts a panel on the figure sheet.
    pub(super) fn add_to_sheet(&mut self, kind: &str) {
        let Some((mut spec, snapshot, _)) = self.take_down(kind) else { return };
        let doc = &self.sheet.doc;
        // Runs are told apart by the names of their folders; the first panel's is the one that is asked about.
        let base = doc.snapshots.first().map(|first| first.drawn_panel.run.name.clone());
        if base.is_some_and(|base| base != snapshot.drawn_panel.run.name) {
            spec.run.clone_from(&snapshot.drawn_panel.run.name);
        }
        self.sheet.add(spec, snapshot);
        let count = self.sheet.doc.snapshots.len();
        self.say(format!(
            "{} is on the figure sheet, which has {count} now",
            self.lab.panels.title(kind)
        ));
    }

    /// Puts a panel's figure on the clipboard.
    pub(super) fn copy(&mut self, kind: &str, copy: CopyAs) {
        if let Some((spec, snapshot, aspect)) = self.take_down(kind) {
            self.copy_page(self.page_of(spec, snapshot, aspect), copy);
        }
    }

    fn copy_page(&mut self, doc: Doc, copy: CopyAs) {
        self.work(
            "copy figure",
            move || copied(&doc, copy),
            |app, (what, said)| {
                app.copied = Some(what);
                app.say(said.to_owned());
            },
        );
    }

    /// Carries out what was asked for in the export window or on the figure sheet.
    pub(super) fn fulfil(&mut self, command: &ExportCommand, sheet: bool) {
        let doc = if sheet { &self.sheet.doc } else { &self.export.doc };
        match command {
            ExportCommand::Save => self.ask(FileDialog::SavePage { sheet }),
            ExportCommand::Copy(copy) => self.copy_page(doc.clone(), *copy),
            ExportCommand::SaveSheet => self.ask(FileDialog::SaveSheet),
            ExportCommand::ChooseFont => self.ask(FileDialog::ChooseFont),
            ExportCommand::SystemFonts => self.choose_fonts(Vec::new()),
            ExportCommand::OpenSheet => self.ask(FileDialog::OpenSheet),
            ExportCommand::Builtin(name) => {
                let name = *name;
                self.load_sheet(move || Sheet::find(name));
            }
        }
    }

    /// Reads a sheet and asks the run in view what its panels draw.
    pub(super) fn load_sheet(&mut self, read: impl FnOnce() -> Result<Sheet> + Send + 'static) {
        let folder = self.lab.run().and_then(|run| run.recording.folder.clone());
        let Some(folder) = folder else {
            return self.lab.trouble(Error::usage(
                "a figure sheet asks a recorded run, and the one in view is in memory only",
            ));
        };
        let doc = move || {
            let sheet = read()?;
            let drawn_panels = SheetRunner::new(&folder).drawn_panels(&sheet, &mut |_, _| true)?;
            let snapshot =
                |drawn_panel| Arc::new(PanelSnapshot { drawn_panel, ..PanelSnapshot::default() });
            Ok(Doc { snapshots: drawn_panels.into_iter().map(snapshot).collect(), sheet })
        };
        self.work("figure sheet", doc, |app, doc| app.sheet.show(doc));
    }

    /// Writes a page with its numbers and its provenance beside it.
    pub(super) fn save_page(&mut self, figure: &Doc, path: PathBuf, replace: bool) {
        let named = [path];
        let names = match files::names(&named, false) {
            Ok(names) => names,
            Err(error) => return self.lab.trouble(error),
        };
        let figure = figure.clone();
        let written = move || {
            let (drawing, page) = figure.composed()?;
            files::write(&files::rendered(&names, &drawing, &page)?, &named, replace)?;
            Ok(format!("Saved {}, with its numbers and where they come from", named[0].display()))
        };
        self.work("write figure", written, Self::say);
    }
}
