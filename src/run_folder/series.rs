//! A folder of checkpoints of another program: one network at several steps of its training, each in a folder of its own. Opening it
//! reads what each step says of itself and the headers of its tensors; the numbers are read of the step that is asked about. Nothing is
//! written, and no file stays open.

pub mod follow;
mod history;
mod layout;
pub mod scores;
mod shape;
mod tokenizer;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::base::error::{Error, Result};
use crate::base::weights::{OpenFile, Weights};

use super::model_folder::{self, ModelFolder};
use super::recording::Recording;

use shape::Shape;

pub use history::Curves;
pub use tokenizer::tokenizer_folder;

/// Most steps of a series; the longest that is published has 609.
pub const MOST_STEPS: usize = 4096;
/// Sentences about steps that are left out, before the rest of them are only counted.
const MOST_PROBLEMS: usize = 8;

/// A network of another program at several steps of its training, or at one.
#[derive(Debug)]
pub struct Series {
    pub folder: PathBuf,
    /// Updates of training, in order, and the folder of the network after so many.
    pub steps: Vec<(u64, PathBuf)>,
    /// Why steps are left out, a sentence each.
    problems: Vec<Error>,
    /// What is the same at all steps.
    shape: Shape,
}

/// Whether a folder holds checkpoints in folders that are named after steps, as a cache of Hugging Face's, or that say their step in
/// their `config.json`. One that holds a whole network itself is that network, whatever lies in it besides.
pub fn is_series(folder: &Path) -> bool {
    !super::is_run(folder) && !model_folder::is_whole(folder) && layout::is_there(folder)
}

/// The network of a folder: of a series, that of the last step that can be read.
///
/// # Errors
/// When it holds none.
pub fn network(folder: &Path) -> Result<ModelFolder> {
    if !is_series(folder) {
        return ModelFolder::open(folder);
    }
    let mut failed = None;
    for (_, path) in layout::list(folder)?.steps.iter().rev() {
        match ModelFolder::open(path) {
            Ok(network) => return Ok(network),
            Err(e) => failed = failed.or(Some(e)),
        }
    }
    Err(no_step(folder, failed))
}

impl Series {
    /// Reads which steps there are; a step that cannot be read is left out with a sentence. A folder that holds one network is a series
    /// of one step.
    ///
    /// # Errors
    /// When no step can be read, two folders are of the same step, a step is beyond those of any run, there are more than
    /// [`MOST_STEPS`], or two steps are of different networks (keys of `config.json` and both steps are named).
    pub fn open(folder: &Path) -> Result<Self> {
        let folder = folder.to_owned();
        if !is_series(&folder) {
            let network = ModelFolder::open(&folder)?;
            let shape = Shape::of(network.step, &network.config)
                .map_err(|e| e.context(folder.display()))?;
            let steps = vec![(network.step, folder.clone())];
            return Ok(Self { folder, steps, problems: Vec::new(), shape });
        }
        let shape = Shape::default();
        let mut series = Self { folder, steps: Vec::new(), problems: Vec::new(), shape };
        series.refresh()?;
        Ok(series)
    }

    /// Whether the folder itself holds the network.
    fn is_one(&self) -> bool {
        matches!(&self.steps[..], [(_, path)] if *path == self.folder)
    }

    /// Sees which steps came and went since. Of those that were there before, nothing is read.
    ///
    /// # Errors
    /// As [`Self::open`]; what was known stays as it was.
    pub fn refresh(&mut self) -> Result<()> {
        if self.is_one() {
            return Ok(());
        }
        let layout::Listed { steps: listed, problems: mut found } = layout::list(&self.folder)?;
        let (mut steps, mut shape) = (Vec::with_capacity(listed.len()), self.shape.clone());
        for (step, path) in listed {
            if self.path(step) == Some(&path) {
                steps.push((step, path));
                continue;
            }
            match ModelFolder::open(&path) {
                Ok(network) => {
                    shape = shape.and(step, &network.config).map_err(|e| self.named(e))?;
                    steps.push((step, path));
                }
                Err(e) => found.push(e.context(format!("step {step} is left out"))),
            }
        }
        if steps.is_empty() {
            return Err(no_step(&self.folder, found.into_iter().next()));
        }
        (self.steps, self.shape, self.problems) = (steps, shape, few(found));
        Ok(())
    }

    fn named(&self, e: Error) -> Error {
        e.context(self.folder.display())
    }

    /// Why steps are left out, since this was last asked.
    pub fn take_problems(&mut self) -> Vec<Error> {
        std::mem::take(&mut self.problems)
    }

    fn path(&self, step: u64) -> Option<&PathBuf> {
        let at = self.steps.binary_search_by_key(&step, |(step, _)| *step).ok()?;
        Some(&self.steps[at].1)
    }

    /// The network after `step` updates of training; its numbers stay in their files until they are asked for.
    ///
    /// # Errors
    /// When there is no such step, or no longer (with the nearest that are there), or its files are damaged or those of another network.
    pub fn weights(&mut self, step: u64) -> Result<Weights> {
        if self.path(step).is_none() {
            // It may have been written since.
            self.refresh()?;
        }
        let Some(path) = self.path(step).cloned() else {
            let why = format!("there is no step {step} in {}", self.folder.display());
            return Err(Error::usage(format!("{why}; {}", self.nearest(step))));
        };
        match self.network_of(step, &path) {
            Ok(network) => {
                let file = Some(OpenFile(Arc::new(network.let_go())));
                Ok(Weights { step, tensors: Vec::new(), file })
            }
            Err(e) => Err(self.without(step, &path, &e)),
        }
    }

    fn network_of(&self, step: u64, path: &Path) -> Result<ModelFolder> {
        let network = ModelFolder::open(path)?;
        self.shape.check(step, &network.config).map_err(|e| self.named(e))?;
        Ok(network)
    }

    /// That a step cannot be read. One that was removed is none of the series any more.
    fn without(&mut self, step: u64, path: &Path, why: &Error) -> Error {
        if self.is_one() {
            return why.clone();
        }
        let is_gone = !path.exists();
        if is_gone {
            self.steps.retain(|(other, _)| *other != step);
            // Others may have gone with it; where nothing can be read now, what was known is still the best that is.
            let _ = self.refresh();
        }
        let nearest = self.nearest(step);
        if is_gone {
            return Error::input(format!(
                "step {step} is gone: {} was removed after the series was opened; {nearest}",
                path.display()
            ));
        }
        Error::new(why.kind, format!("step {step} cannot be read: {}; {nearest}", why.clause()))
    }

    fn nearest(&self, step: u64) -> String {
        let after = self.steps.partition_point(|(other, _)| *other < step);
        let others = self.steps[..after].last().into_iter().chain(&self.steps[after..]);
        let near = others.filter(|(other, _)| *other != step).take(2);
        let near: Vec<String> = near.map(|(other, _)| other.to_string()).collect();
        match near.len() {
            0 => "no other step is there".to_owned(),
            1 => format!("the nearest step that is there: {}", near[0]),
            _ => format!("the nearest steps that are there: {}", near.join(" and ")),
        }
    }

    /// The steps, and of curves what a Trainer logged, as a recording.
    pub fn recording(&mut self) -> Recording {
        let recorded: Vec<u64> = self.steps.iter().map(|(step, _)| *step).collect();
        let mut recording = Recording {
            folder: Some(self.folder.clone()),
            last_step: recorded.last().copied().unwrap_or(0),
            recorded,
            sparse: true,
            ..Recording::default()
        };
        self.curves().pour(&mut recording);
        recording
    }

    /// What the files of each step are like: [`scores::versions`].
    fn versions(&self) -> BTreeMap<u64, String> {
        self.steps.iter().map(|(step, path)| (*step, scores::version(path))).collect()
    }

    /// The log of the newest step that has one, and what it is like.
    fn log(&self) -> Option<(PathBuf, history::Written)> {
        let files = self.steps.iter().rev().map(|(_, path)| path.join(history::STATE));
        files.into_iter().find_map(|file| history::written(&file).map(|written| (file, written)))
    }

    /// What Hugging Face's Trainer logged until the newest step that has its `trainer_state.json`; nothing where no step has.
    pub fn curves(&mut self) -> Curves {
        /// One that is damaged may be in the middle of being written; then the one before is as good.
        const TRIES: usize = 3;
        let files = self.steps.iter().rev().map(|(_, path)| path.join(history::STATE));
        let files: Vec<PathBuf> = files.filter(|path| path.is_file()).take(TRIES).collect();
        for file in files {
            match Curves::read(&file) {
                Ok(curves) => return curves,
                Err(e) => self.problems.push(e.context("the curves of the newest step")),
            }
        }
        Curves::default()
    }
}

fn no_step(folder: &Path, why: Option<Error>) -> Error {
    let place = folder.display();
    match why {
        Some(why) => why.context(format!("{place} holds no checkpoint that can be read")),
        None => Error::input(format!(
            "{place} holds no folders of checkpoints any more, such as step512 or checkpoint-500"
        )),
    }
}

/// The first of many sentences, and how many more there are.
fn few(mut problems: Vec<Error>) -> Vec<Error> {
    let more = problems.len().saturating_sub(MOST_PROBLEMS);
    if more > 0 {
        problems.truncate(MOST_PROBLEMS);
        problems.push(Error::input(format!("{more} more steps are left out")));
    }
    problems
}
