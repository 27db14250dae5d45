//! What a panel of the window shows, taken down so that it can be drawn again: for files and figure sheets.

use std::path::PathBuf;
use std::sync::Arc;

use crate::base::error::{Error, Result};
use crate::base::question::Readings;
use crate::base::settings;
use crate::base::weights::Weights;
use crate::export::against::AgainstSpec;
use crate::export::drawn_panel::{DrawnPanel, run_facts};
use crate::export::run_at::{name_of, told_apart};
use crate::export::sheet::PanelSpec;
use crate::figure::cloud::Camera;
use crate::panel::{Panel, PanelKind, Snapshot};
use crate::run_folder::Reader;

use crate::app::lab::Lab;
use crate::app::lab::compared::{Compared, Subject};
use crate::app::lab::run::Run;

/// What a panel shows, taken down, and where the weights of it are.
#[derive(Clone, Default)]
pub struct PanelSnapshot {
    pub drawn_panel: DrawnPanel,
    pub origin: WeightsOrigin,
    /// Where those are of what it is compared with.
    pub against: WeightsOrigin,
}

impl PanelSnapshot {
    /// What is drawn, and which weights answered. Reads files: not for the window's thread.
    pub fn identified(&self) -> DrawnPanel {
        let mut drawn_panel = self.drawn_panel.clone();
        self.origin.identify(&mut drawn_panel);
        if let Some(other) = &mut drawn_panel.against {
            self.against.identify(Arc::make_mut(other));
        }
        drawn_panel
    }
}

/// What the window looks at, as a recorded run shows it: at a step, and not live.
fn snapshot(lab: &Lab, readings: Option<&Arc<Readings>>) -> Option<Snapshot> {
    let run = lab.run()?;
    Some(Snapshot {
        net: run.info.net.clone(),
        vocab: run.info.vocab.clone(),
        roles: run.info.roles,
        runs: in_order(lab).map(|run| (folder_name(run), run.recording.clone())).collect(),
        sweep: lab.sweep.clone(),
        step: Some(step(lab, readings)),
        live: false,
        readings: readings.cloned(),
        before: None,
        beside: Vec::new(),
        failure: lab.failure.clone(),
        analyzed: lab.analyses.analyzed.clone(),
        selection: lab.selection.clone(),
    })
}

/// A panel with its settings, as it is seen now. `camera`: how a cloud in it is looked at.
///
/// # Errors
/// When there is no run, or none any more that it is compared with.
pub fn of(
    kind: &PanelKind,
    panel: &mut dyn Panel,
    lab: &Lab,
    camera: Camera,
) -> Result<(PanelSpec, PanelSnapshot)> {
    let nothing = || Error::usage("there is no run to draw yet");
    let gone = || Error::usage("the run that this was compared with is no longer in the window");
    let compared = |subject| lab.compared(subject).map(|other| (subject, other)).ok_or_else(gone);
    let other = lab.comparison.of_kind(kind).map(compared).transpose()?;
    let beside = other.as_ref().and_then(|(_, other)| other.beside);
    let readings = beside.or(lab.readings.as_ref());
    let run = lab.run().ok_or_else(nothing)?;
    let mut shown = snapshot(lab, readings).ok_or_else(nothing)?;
    let others = lab.drawn_beside(panel);
    shown.beside = lab.beside(panel);
    for (beside, run) in shown.beside.iter_mut().zip(&others) {
        beside.name = folder_name(run);
    }
    shown.runs.truncate(1);
    shown.runs.extend(others.iter().map(|run| (folder_name(run), run.recording.clone())));
    let mut spec = PanelSpec {
        camera: kind.has_camera.then_some(camera),
        set: settings::to_table(panel),
        beside: others.into_iter().map(folder_name).collect(),
        ..spec(kind.name, lab, readings)
    };
    let facts = run_facts(folder_name(run), &run.began, &run.recording.marks);
    let mut snapshot = PanelSnapshot {
        drawn_panel: DrawnPanel::new(kind.name, shown, facts),
        origin: WeightsOrigin::of(lab, readings),
        against: WeightsOrigin::default(),
    };
    if let Some((subject, other)) = other {
        spec.against = Some(against(subject, &other, lab));
        snapshot.against = WeightsOrigin::of_other(&other);
        snapshot.drawn_panel.against = Some(Arc::new(drawn_other(kind, other, run)));
    }
    Ok((spec, snapshot))
}

/// What a panel is compared with, as a sheet says it.
fn against(subject: &Subject, other: &Compared<'_>, lab: &Lab) -> AgainstSpec {
    let is_same = subject.run == lab.run_id();
    let head = subject.head.map(|(layer, head)| format!("{layer}.{head}"));
    AgainstSpec {
        run: if is_same { String::new() } else { folder_name(other.run) },
        step: other.readings.map(|readings| readings.step).or(other.step),
        head: head.unwrap_or_default(),
        intervene: in_force(other.readings),
        show: lab.comparison.showing.name().to_owned(),
    }
}

/// What is drawn of that.
fn drawn_other(kind: &PanelKind, other: Compared<'_>, in_view: &Run) -> DrawnPanel {
    let run = other.run;
    let folders = run.recording.folder.as_ref().zip(in_view.recording.folder.as_ref());
    let name = folders.map_or_else(|| folder_name(run), |(own, beside)| told_apart(own, beside));
    let shown = Snapshot {
        net: run.info.net.clone(),
        vocab: run.info.vocab.clone(),
        roles: run.info.roles,
        runs: vec![(name.clone(), run.recording.clone())],
        step: other.readings.map(|readings| readings.step).or(other.step),
        readings: other.readings.cloned(),
        failure: other.failure.map(str::to_owned),
        analyzed: other.analyzed,
        selection: other.selection,
        ..Snapshot::default()
    };
    let facts = run_facts(name, &run.began, &run.recording.marks);
    DrawnPanel::new(kind.name, shown, facts)
}

fn spec(kind: &str, lab: &Lab, readings: Option<&Arc<Readings>>) -> PanelSpec {
    let (sequence, tokens, ids) = lab.asked_about();
    let selection = &lab.selection;
    let prompts = lab.prompts_file();
    let begin = prompts.is_some().then(|| lab.begin.name().to_owned());
    PanelSpec {
        panel: kind.to_owned(),
        step: Some(step(lab, readings)),
        head: format!("{}.{}", selection.layer, selection.head),
        query: selection.query,
        first: selection.first,
        key: selection.key,
        sequence,
        prompts: prompts.map(|file| file.to_string_lossy().into_owned()),
        tokens,
        begin,
        ids,
        intervene: in_force(readings),
        ..PanelSpec::default()
    }
}

/// The runs of the window, the one in view first.
fn in_order(lab: &Lab) -> impl Iterator<Item = &Run> {
    let others = lab.runs.iter().enumerate().filter(|(i, _)| *i != lab.current);
    lab.run().into_iter().chain(others.map(|(_, run)| run))
}

/// The step that the picture shows, which while an answer is awaited is not the step in view.
fn step(lab: &Lab, readings: Option<&Arc<Readings>>) -> u64 {
    readings.map_or(lab.step_in_view(), |readings| readings.step)
}

fn in_force(readings: Option<&Arc<Readings>>) -> Vec<String> {
    let all = readings.map(|readings| readings.interventions.as_slice());
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
    fn of(lab: &Lab, readings: Option<&Arc<Readings>>) -> Self {
        let step = step(lab, readings);
        let run = lab.run();
        let shown = run.and_then(|run| run.training.as_ref()?.shown.clone());
        let folder = run.and_then(|run| run.recording.folder.clone());
        Self { step, weights: shown.filter(|weights| weights.step == step), folder }
    }

    /// Of what that is compared with.
    fn of_other(other: &Compared<'_>) -> Self {
        let folder = other.run.recording.folder.clone();
        let weights = other.readings.map(|readings| Arc::new(readings.weights.clone()));
        let step = weights.as_ref().map(|weights| weights.step).or(other.step);
        Self { step: step.unwrap_or(0), weights, folder }
    }

    /// Says which weights answered, where that is not said yet.
    fn identify(&self, drawn_panel: &mut DrawnPanel) {
        let hash = &mut drawn_panel.facts.weights_sha256;
        *hash = hash.take().or_else(|| self.sha256());
    }

    /// SHA-256 of the weights; none where they are gone. Reads files: not for the window's thread.
    fn sha256(&self) -> Option<String> {
        if let Some(weights) = &self.weights {
            return Some(weights.sha256());
        }
        let mut reader = Reader::open(self.folder.as_deref()?).ok()?;
        reader.weights(self.step).ok().map(|weights| weights.sha256())
    }
}
