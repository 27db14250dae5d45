//! Opens the runs of a figure sheet, asks them what its panels draw, and hangs a drawn panel for each.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::base::batch::Reals;
use crate::base::error::{Error, Result};
use crate::base::question::{Analyzed, Found, MeasurementCall};
use crate::base::registry::row;
use crate::figure::provenance::RunFacts;
use crate::formats::file::meant;
use crate::formats::tokenizer::Begin;
use crate::panel::{self, Beside, NetShape, Panel, Selection, Snapshot};
use crate::run::job::analysis_of;
use crate::run::scoring;
use crate::run_folder::Reader;
use crate::run_folder::library;
use crate::run_folder::recording::Recording;
use crate::sweep::Sweep;

use super::against::{self, AgainstSpec};
use super::drawn_panel::{DrawnPanel, panel_of, run_facts};
use super::run_at::{Question, RunAt, folder_of, name_of, refuse_sweep, told_apart};
use super::sheet::{PanelSpec, Sheet};

/// Told how far a long question has come: done, of how many. False ends it with what there is.
pub type Progress<'a> = dyn FnMut(usize, usize) -> bool + 'a;

/// The runs that the panels of a sheet come from.
pub struct SheetRunner {
    /// The folder that was named: a run, or a sweep.
    folder: PathBuf,
    /// Where runs lie that something is compared with or drawn with, by their names in a sheet.
    elsewhere: BTreeMap<String, PathBuf>,
    runs: BTreeMap<PathBuf, RunAt>,
    /// SHA-256 of weights, by folder and step.
    hashes: BTreeMap<(PathBuf, u64), String>,
    /// Steps that were asked for and are not recorded, and those taken for them.
    pub taken: Vec<(u64, u64)>,
    /// Runs of a sweep that cannot be read and are not drawn: why, a sentence each.
    pub left_out: Vec<String>,
}

impl SheetRunner {
    pub fn new(folder: &Path) -> Self {
        Self {
            folder: folder.to_owned(),
            elsewhere: BTreeMap::new(),
            runs: BTreeMap::new(),
            hashes: BTreeMap::new(),
            taken: Vec::new(),
            left_out: Vec::new(),
        }
    }

    /// Has what a sheet compares with, or draws with, a run of this name found in a folder.
    pub fn lies_in(&mut self, run: String, folder: PathBuf) {
        self.elsewhere.insert(run, folder);
    }

    fn place_of(&self, run: &str) -> PathBuf {
        let found = self.elsewhere.get(run).cloned();
        found.unwrap_or_else(|| folder_of(&self.folder, run))
    }

    /// What is damaged or gone of the runs that were opened, and was left out.
    pub fn problems(&self) -> impl Iterator<Item = &Error> {
        self.runs.values().flat_map(RunAt::problems)
    }

    /// The drawn panels of a sheet, in order.
    ///
    /// # Errors
    /// When a run cannot be opened, or not be asked what a panel draws.
    pub fn drawn_panels(
        &mut self,
        sheet: &Sheet,
        progress: &mut Progress<'_>,
    ) -> Result<Vec<DrawnPanel>> {
        let drawn_panel = |spec: &PanelSpec| {
            let named = |e: Error| match sheet.panels.len() {
                1 => e,
                _ => e.context(format!("panel {}", spec.panel)),
            };
            self.drawn_panel(sheet, spec, progress).map_err(named)
        };
        sheet.panels.iter().map(drawn_panel).collect()
    }

    /// What is recorded of a run, named as [`PanelSpec::run`].
    pub fn recording(&mut self, run: &str) -> Result<Arc<Recording>> {
        let folder = folder_of(&self.folder, run);
        self.opened(&folder, &Question::default()).map(|run| run.recording.clone())
    }

    fn opened(&mut self, folder: &Path, question: &Question) -> Result<&mut RunAt> {
        if !self.runs.contains_key(folder) {
            self.runs.insert(folder.to_owned(), RunAt::open(folder, question)?);
        }
        self.runs.get_mut(folder).ok_or_else(|| Error::internal("a run that was opened is gone"))
    }

    fn drawn_panel(
        &mut self,
        sheet: &Sheet,
        spec: &PanelSpec,
        progress: &mut Progress<'_>,
    ) -> Result<DrawnPanel> {
        let panel = panel_of(spec, sheet)?;
        let kind = row("panel", panel::ALL, &spec.panel)?;
        against::check(kind, spec.against.as_ref())?;
        let folder = folder_of(&self.folder, &spec.run);
        if kind.is_of_sweep {
            let sweep = Sweep::read(&folder)?;
            let problems = sweep.runs.iter().filter_map(|run| run.problem.clone());
            add_new(&mut self.left_out, problems);
            return Ok(of_sweep(sweep, &folder, spec));
        }
        let subject = Subject { panel: &*panel, spec, name: name_of(&folder), folder, reads: None };
        let mut drawn_panel = self.subject(&subject, progress)?;
        if let Some(against) = &spec.against {
            let other = self.other(&subject, against, &drawn_panel, progress);
            drawn_panel.against = Some(Arc::new(other.map_err(|e| e.context("against"))?));
        }
        Ok(drawn_panel)
    }

    /// What a panel is compared with: it is asked as A is, about the same sequence.
    fn other(
        &mut self,
        a: &Subject<'_>,
        against: &AgainstSpec,
        drawn_panel: &DrawnPanel,
        progress: &mut Progress<'_>,
    ) -> Result<DrawnPanel> {
        let run = if against.run.is_empty() { &a.spec.run } else { &against.run };
        let [layer, head] = drawn_panel.facts.head;
        let spec = &PanelSpec {
            step: against.step.or(drawn_panel.facts.step),
            head: Some(against.head.clone())
                .filter(|head| !head.is_empty())
                .unwrap_or_else(|| format!("{layer}.{head}")),
            intervene: against.intervene.clone(),
            tokens: None,
            begin: None,
            ids: None,
            beside: Vec::new(),
            ..a.spec.clone()
        };
        let folder = self.place_of(run);
        let name = told_apart(&folder, &a.folder);
        let reads = Some(&*drawn_panel.shown);
        self.subject(&Subject { spec, folder, name, reads, ..*a }, progress)
    }

    /// Asks a run what a panel draws.
    fn subject(&mut self, of: &Subject<'_>, progress: &mut Progress<'_>) -> Result<DrawnPanel> {
        let Subject { panel, spec, folder, name, reads } = of;
        refuse_sweep(folder)?;
        let question = Question {
            step: spec.step,
            sequence: spec.sequence,
            prompts: spec.prompts.as_deref().map(meant),
            tokens: spec.tokens.clone(),
            begin: spec.begin.as_deref().map(begin).transpose()?,
            ids: spec.ids.clone(),
            interventions: spec.intervene.clone(),
        };
        let mut beside = Vec::with_capacity(spec.beside.len());
        let mut answered = Vec::with_capacity(spec.beside.len());
        for name in &spec.beside {
            let folder = self.place_of(name);
            let mut recording = Arc::new(Reader::open(&folder)?.recording);
            scoring::recall(&mut recording, &folder, library::home().ok().as_deref());
            beside.push((name_of(&folder), recording));
            answered.push(self.beside(of, &folder, progress)?);
        }
        let run = self.opened(folder, &question)?;
        run.turn_to(&question)?;
        if let Some((other, readings)) =
            reads.and_then(|other| Some((other, other.readings.as_ref()?)))
        {
            run.read(&readings.prompt, &other.vocab)?;
        }
        let step = run.weights.step;
        let mut shown = snapshot(run, *panel, spec, name, progress)?;
        shown.runs.extend(beside);
        shown.beside = answered;
        let facts = run_facts(name.clone(), &run.experiment, &run.recording.marks);
        let mut drawn_panel = DrawnPanel::new(&spec.panel, shown, facts);
        drawn_panel.facts.weights_sha256 = self.hash_of(folder);
        if let Some(wanted) = spec.step.filter(|wanted| *wanted != step) {
            add_new(&mut self.taken, [(wanted, step)]);
        }
        Ok(drawn_panel)
    }

    /// Asks a run that is drawn with another the long questions of a panel, at its last step.
    fn beside(
        &mut self,
        own: &Subject<'_>,
        folder: &Path,
        progress: &mut Progress<'_>,
    ) -> Result<Beside> {
        let (panel, name) = (own.panel, told_apart(folder, &own.folder));
        let question = Question::default();
        if panel.analyses(&NetShape::default(), &Selection::default()).is_empty() {
            return Ok(Beside { name, ..Beside::default() });
        }
        let [in_view, other] = [&own.folder, folder].map(Reader::open);
        if !panel.draws_beside(&in_view?.recording, &other?.recording) {
            return Err(Error::usage(format!(
                "{name} is of another task, where other lengths and another guess hold, or the setting runs leaves it out; with runs = \"all\" it is drawn all the same"
            )));
        }
        let run = self.opened(folder, &question)?;
        run.turn_to(&question)?;
        let net = net_shape(run);
        let selection = selection(&PanelSpec::default(), &net, run.prompt.len())?;
        let analyzed = analyzed(run, &panel.analyses(&net, &selection), progress);
        Ok(Beside { name, analyzed })
    }

    /// SHA-256 of the weights that an opened run is at.
    fn hash_of(&mut self, folder: &Path) -> Option<String> {
        let weights = &self.runs.get(folder)?.weights;
        let hash = self.hashes.entry((folder.to_owned(), weights.step));
        Some(hash.or_insert_with(|| weights.sha256()).clone())
    }
}

/// What is asked for a panel, of a run that is called so.
struct Subject<'a> {
    panel: &'a dyn Panel,
    spec: &'a PanelSpec,
    folder: PathBuf,
    name: String,
    /// Whose sequence it is asked about; none: its own.
    reads: Option<&'a Snapshot>,
}

/// Every frame of a film says the same.
fn add_new<T: PartialEq>(all: &mut Vec<T>, more: impl IntoIterator<Item = T>) {
    for one in more {
        if !all.contains(&one) {
            all.push(one);
        }
    }
}

fn of_sweep(sweep: Sweep, folder: &Path, spec: &PanelSpec) -> DrawnPanel {
    let experiment = sweep.plan.to_toml();
    let shown = Snapshot { sweep: Some(Arc::new(sweep)), ..Snapshot::default() };
    let run = RunFacts { name: name_of(folder), experiment, ..RunFacts::default() };
    DrawnPanel::new(&spec.panel, shown, run)
}

fn net_shape(run: &RunAt) -> NetShape {
    let layout = run.instrument.layout();
    NetShape {
        kind: layout.kind.to_owned(),
        heads: layout.heads.clone(),
        vocab: layout.vocab,
        answers: run.instrument.source().possible_answers(),
        length: layout.length,
        segment: run.experiment.train.segment,
        reals: run.instrument.source().facet::<Reals>().is_some(),
        is_read: run.experiment.model.is_read(),
    }
}

/// Asks a run what a panel draws.
fn snapshot(
    run: &mut RunAt,
    panel: &dyn Panel,
    spec: &PanelSpec,
    name: &str,
    progress: &mut Progress<'_>,
) -> Result<Snapshot> {
    let net = net_shape(run);
    let selection = selection(spec, &net, run.prompt.len())?;
    let readings = run.ask(&panel.needs(&net, &selection))?;
    if let Some(e) = readings.by_call.values().find_map(|r| r.as_ref().err()) {
        return Err(e.clone());
    }
    let analyzed = analyzed(run, &panel.analyses(&net, &selection), progress);
    let source = run.instrument.source();
    Ok(Snapshot {
        net,
        vocab: source.vocab().clone(),
        roles: source.roles(),
        runs: vec![(name.to_owned(), run.recording.clone())],
        step: Some(run.weights.step),
        readings: Some(Arc::new(readings)),
        analyzed,
        selection,
        ..Snapshot::default()
    })
}

/// The answers to the long questions of a panel. Why one cannot be answered is an answer too: the panel says it, or draws the rest.
fn analyzed(run: &mut RunAt, calls: &[MeasurementCall], progress: &mut Progress<'_>) -> Analyzed {
    let mut analyzed = Analyzed::default();
    let step = run.weights.step;
    for call in calls {
        let refused =
            |error: Error| Found { reading: Some(Err(error)), ended: true, ..Found::begun(step) };
        let found = long_answer(run, call, progress);
        let found = found.unwrap_or_else(refused);
        analyzed.by_call.insert(call.key(), found);
    }
    analyzed
}

/// The answer to a long question of a panel, as far as progress lets it come.
fn long_answer(
    run: &mut RunAt,
    call: &MeasurementCall,
    progress: &mut Progress<'_>,
) -> Result<Found> {
    let mut whole = true;
    let prompt = run.prompt.clone();
    let reading = run.instrument.analyze(
        &run.weights,
        &prompt,
        &run.interventions,
        &*analysis_of(call)?,
        &mut |done, total, _| {
            whole &= progress(done, total);
            whole
        },
    )?;
    let (step, done) = (run.weights.step, usize::from(whole));
    Ok(Found { step, done, total: 1, reading: Some(Ok(Arc::new(reading))), ended: true })
}

/// # Errors
/// When the network has no such head, or the sequence no such position.
fn selection(spec: &PanelSpec, net: &NetShape, length: usize) -> Result<Selection> {
    let wrong = || {
        let counts: Vec<String> = net.heads.iter().map(ToString::to_string).collect();
        Error::usage(format!(
            "head {}: expected LAYER.HEAD, for example 1.0; the layers of this network, from 0 on, have {} heads",
            spec.head,
            counts.join(", ")
        ))
    };
    let (layer, head) = match spec.head.as_str() {
        "" => (net.heads.len().saturating_sub(1).min(1), 0),
        text => {
            let (layer, head) = text.split_once('.').ok_or_else(wrong)?;
            (layer.parse().map_err(|_| wrong())?, head.parse().map_err(|_| wrong())?)
        }
    };
    // A recurrent network has layers without heads: nobody named one then.
    let is_known = net.heads.get(layer).is_some_and(|&heads| head < heads || spec.head.is_empty());
    if !is_known && !net.heads.is_empty() {
        return Err(wrong());
    }
    for (what, position) in [("query", spec.query), ("key", spec.key)] {
        if position.is_some_and(|p| p >= length) {
            return Err(Error::usage(format!(
                "{what}: the sequence has positions 0 to {}",
                length.saturating_sub(1)
            )));
        }
    }
    Ok(Selection { layer, head, query: spec.query, key: spec.key, first: spec.first, slot: None })
}

/// What a sheet says that begins a text.
fn begin(name: &str) -> Result<Begin> {
    Begin::named(name).ok_or_else(|| {
        Error::input(format!(
            "begin = \"{name}\" is in the sheet, expected one of {}",
            Begin::NAMES.join(", ")
        ))
    })
}
