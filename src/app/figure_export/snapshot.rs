//! What a panel of the window shows, taken down so that it can be drawn again: for files and figure sheets.

use std::path::PathBuf;
use std::sync::Arc;

use crate::base::error::{Error, Result};
use crate::base::settings;
use crate::base::weights::Weights;
use crate::export::drawn_panel::{DrawnPanel, run_facts};
use crate::export::sheet::PanelSpec;
use crate::export::sheet_runner::name_of;
use crate::figure::cloud::Camera;
use crate::panel::{Panel, PanelKind, Snapshot};
use crate::run_folder::Reader;

use crate::app::lab::Lab;
use crate::app::lab::run::Run;

/// What a panel shows, taken down, and where the weights of it are.
#[derive(Clone, Default)]
pub struct PanelSnapshot {
    pub drawn_panel: DrawnPanel,
    pub origin: WeightsOrigin,
}

/// What the window looks at, as a recorded run shows it: at a step, and not live.
fn snapshot(lab: &Lab) -> Option<Snapshot> {
    let run = lab.run()?;
    Some(Snapshot {
        net: run.info.net.clone(),
        vocab: run.info.vocab.clone(),
        roles: run.info.roles,
        runs: in_order(lab).map(|run| (folder_name(run), run.recording.clone())).collect(),
        sweep: lab.sweep.clone(),
        step: Some(step(lab)),
        live: false,
        readings: lab.readings.clone(),
        before: None,
        failure: lab.failure.clone(),
        analyzed: lab.analyses.analyzed.clone(),
        selection: lab.selection.clone(),
    })
}

/// A panel with its settings, as it is seen now. `camera`: how a cloud in it is looked at.
///
/// # Errors
/// When there is no run.
pub fn of(
    kind: &PanelKind,
    panel: &mut dyn Panel,
    lab: &Lab,
    camera: Camera,
) -> Result<(PanelSpec, PanelSnapshot)> {
    let nothing = || Error::usage("there is no run to draw yet");
    let (run, mut shown) = (lab.run().ok_or_else(nothing)?, snapshot(lab).ok_or_else(nothing)?);
    // A panel that asks nothing draws histories, and those of all runs.
    let (net, selection) = (&run.info.net, &lab.selection);
    let is_history =
        panel.needs(net, selection).is_empty() && panel.analyses(net, selection).is_empty();
    let is_drawn =
        |other: &&Run| is_history && panel.draws_beside(&run.recording, &other.recording);
    let others: Vec<&Run> = in_order(lab).skip(1).filter(is_drawn).collect();
    shown.runs.truncate(1);
    shown.runs.extend(others.iter().map(|run| (folder_name(run), run.recording.clone())));
    let beside = others.into_iter().map(folder_name).collect();
    let spec = PanelSpec {
        camera: kind.has_camera.then_some(camera),
        set: settings::to_table(panel),
        beside,
        ..spec(kind.name, lab)
    };
    let facts = run_facts(folder_name(run), &run.began, &run.recording.marks);
    let drawn_panel = DrawnPanel::new(kind.name, shown, facts);
    Ok((spec, PanelSnapshot { drawn_panel, origin: WeightsOrigin::of(lab) }))
}

fn spec(kind: &str, lab: &Lab) -> PanelSpec {
    let (sequence, tokens) = lab.asked_about();
    let selection = &lab.selection;
    PanelSpec {
        panel: kind.to_owned(),
        step: Some(step(lab)),
        head: format!("{}.{}", selection.layer, selection.head),
        query: selection.query,
        first: selection.first,
        key: selection.key,
        sequence,
        tokens,
        intervene: in_force(lab),
        ..PanelSpec::default()
    }
}

/// The runs of the window, the one in view first.
fn in_order(lab: &Lab) -> impl Iterator<Item = &Run> {
    let others = lab.runs.iter().enumerate().filter(|(i, _)| *i != lab.current);
    lab.run().into_iter().chain(others.map(|(_, run)| run))
}

/// The step that the picture shows, which while an answer is awaited is not the step in view.
fn step(lab: &Lab) -> u64 {
    lab.readings.as_ref().map_or(lab.step_in_view(), |readings| readings.step)
}

fn in_force(lab: &Lab) -> Vec<String> {
    let all = lab.readings.as_ref().map(|readings| readings.interventions.as_slice());
    all.unwrap_or_default().iter().map(ToString::to_string).collect()
}

/// The name by which a command finds the run: that of its folder, else its name in the window.
fn folder_name(run: &Run) -> String {
    run.recording.folder.as_deref().map_or_else(|| run.name.clone(), name_of)
}

/// Where the weights of a drawn panel are: in memory, or in a folder.
#[derive(Clone, Default)]
pub struct WeightsOrigin {
    step: u64,
    weights: Option<Arc<Weights>>,
    folder: Option<PathBuf>,
}

impl WeightsOrigin {
    /// Of what the window shows now.
    pub fn of(lab: &Lab) -> Self {
        let step = step(lab);
        let run = lab.run();
        let shown = run.and_then(|run| run.training.as_ref()?.shown.clone());
        let folder = run.and_then(|run| run.recording.folder.clone());
        Self { step, weights: shown.filter(|weights| weights.step == step), folder }
    }

    /// SHA-256 of the weights; none where they are gone. Reads files: not for the window's thread.
    pub fn sha256(&self) -> Option<String> {
        if let Some(weights) = &self.weights {
            return Some(weights.sha256());
        }
        let mut reader = Reader::open(self.folder.as_deref()?).ok()?;
        reader.weights(self.step).ok().map(|weights| weights.sha256())
    }
}
