//! The row above the curves of readers: what is fitted, to which label, where; and keeping what was fitted.

use egui::Ui;

use super::Pane;
use crate::app::commands::{Action, Command};
use crate::app::lab::Lab;
use crate::app::lab::analyses::READERS;
use crate::app::panes::form::{Offered, offer, words};
use crate::base::error::Result;
use crate::base::settings;
use crate::measurement::analysis::readers::Readers as Asked;
use crate::panel::Panel;
use crate::run_folder::readers::{KeptReader, save};
use crate::task::tree_path::Trees;

/// Labels and positions of the task to choose from, and a button that keeps what was fitted.
pub struct Readers;

impl Pane for Readers {
    fn row(&mut self, ui: &mut Ui, panel: &mut dyn Panel, lab: &Lab) -> Vec<Action> {
        offers(ui, panel, lab);
        keep(ui, panel, lab).into_iter().collect()
    }
}

/// What the task in view offers to be told, and where.
fn offers(ui: &mut Ui, panel: &mut dyn Panel, lab: &Lab) {
    let Some(run) = lab.run() else { return };
    let source = &run.info.source;
    let is_tree = source.facet::<Trees>().is_some();
    let of_trees = |names: &'static [&'static str]| if is_tree { names } else { &[] };
    let kinds = source.label_kinds();
    let fixed = ["token", "token-1", "token+1", "target", "position", "seen"];
    let labels = kinds.iter().map(|kind| (kind.name, kind.about));
    let labels: Vec<(&str, &str)> = labels
        .chain(fixed.map(|name| (name, "")))
        .chain(of_trees(&["sub_path"]).iter().map(|name| (*name, "The nodes that it climbs.")))
        .collect();
    let first = labels[0].0;
    let first = if kinds.is_empty() { "target" } else { first };
    text(ui, panel, "label", "Label to tell", first, &labels);
    let positions = ["all"].into_iter().chain(run.info.roles.iter().copied());
    let positions: Vec<(&str, &str)> = positions
        .chain(["other", "repeated"])
        .chain(of_trees(&["registers", "important"]).iter().copied())
        .map(|name| (name, ""))
        .collect();
    text(ui, panel, "positions", "Positions to read at", "all", &positions);
}

/// A setting that is a text, with the usual ones to choose from.
fn text<'a>(
    ui: &mut Ui,
    panel: &mut dyn Panel,
    name: &str,
    label: &str,
    usual: &str,
    known: &[(&'a str, &'a str)],
) {
    let offered =
        |(value, about): &(&'a str, &'a str)| Offered { value, called: words(value), about };
    let known: Vec<Offered<'_>> = known.iter().map(offered).collect();
    offer(ui, panel, name, usual, &known).on_hover_text(label).accessible_name(label);
}

/// The button that keeps what was fitted.
fn keep(ui: &mut Ui, panel: &dyn Panel, lab: &Lab) -> Option<Action> {
    let calls = panel.analyses(&lab.run()?.info.net, &lab.selection);
    let ended = calls.iter().filter_map(|call| lab.analyses.analyzed.get(call));
    let done = ended.filter(|f| f.ended && matches!(&f.reading, Some(Ok(_)))).count() > 0;
    let folder = lab.run().and_then(|run| run.recording.folder.as_ref());
    if !done || folder.is_none() {
        return None;
    }
    let help = "Keep what was fitted in the folder \"readers\" of the run, or beside your own runs while another program writes that one. A lens is then read in the tree at this step.";
    ui.button("Keep").on_hover_text(help).clicked().then_some(Action::Do(Command::KeepReaders))
}

/// Work for a thread; a sentence says what was kept.
type Write = Box<dyn FnOnce() -> Result<String> + Send>;

/// The readers that were fitted last, to be written by a worker; `None` where there are none.
///
/// # Errors
/// When the settings of the question do not suit the task.
pub fn to_keep(lab: &Lab) -> Result<Option<Write>> {
    let Some(run) = lab.run() else { return Ok(None) };
    let Some(folder) = lab.keeps_in() else { return Ok(None) };
    let mut all: Vec<(String, KeptReader)> = Vec::new();
    for (key, found) in &lab.analyses.analyzed.by_call {
        let Some(Ok(reading)) = found.reading.as_ref().filter(|_| found.ended) else { continue };
        let Some(call) = lab.analyses.call(key).filter(|call| call.measurement == READERS) else {
            continue;
        };
        let mut asked = Asked::default();
        for (name, value) in &call.settings {
            settings::set(&mut asked, "readers.", name, value)?;
        }
        all.extend(asked.kept(reading, &*run.info.source, found.step)?);
    }
    if all.is_empty() {
        return Ok(None);
    }
    Ok(Some(Box::new(move || {
        let written = all.iter().try_for_each(|(name, reader)| {
            // The same question about the same step gives the same reader.
            save(&folder, name, reader, true).map(|_| ())
        });
        let place = folder.join("readers");
        let said = match &all[..] {
            [(name, _)] => format!("kept {name} in {}", place.display()),
            all => format!("kept {} readers in {}", all.len(), place.display()),
        };
        written.map(|()| said)
    })))
}
