//! `examine` on a thread: the latest question wins, one is in flight.

use std::any::Any;
use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;

use crossbeam_channel::{Receiver, Sender, TrySendError, bounded, unbounded};

use crate::base::batch::Row;
use crate::base::budget;
use crate::base::error::{Error, Result, without_build_paths};
use crate::base::intervention::Intervention;
use crate::base::question::{MeasurementCall, Readings};
use crate::base::weights::Weights;
use crate::run_folder::WeightsReader;

use super::examine::{Instrument, Waiting};
use super::experiment::Experiment;
use super::lenses::{Lenses, reads_with_lens};

/// Whose weights are asked.
#[derive(Clone, Debug)]
pub enum Which {
    /// These (the live ones).
    Given(Arc<Weights>),
    /// Those recorded at a step of a run folder (kept in a cache within a memory budget).
    Recorded { folder: PathBuf, step: u64 },
}

#[derive(Clone, Debug)]
pub struct Question {
    /// Comes back with the answer.
    pub id: u64,
    pub which: Which,
    /// Folders in which readers of the run may be kept: those are used.
    pub kept: Vec<PathBuf>,
    pub prompt: Arc<Row>,
    pub interventions: Vec<Intervention>,
    pub calls: Vec<MeasurementCall>,
}

#[derive(Clone, Debug)]
pub struct Reply {
    pub id: u64,
    pub readings: Result<Arc<Readings>>,
    /// False: some layers of one call alone, while the others are computed.
    pub is_whole: bool,
}

/// A thread that answers. Dropping it joins the thread.
pub struct Examiner {
    pub replies: Receiver<Reply>,
    questions: Option<Sender<Question>>,
    /// The other end of the questions: to take back one that is still waiting.
    waiting: Receiver<Question>,
    /// The number of the last question: nobody waits for answers to those before.
    last: Arc<AtomicU64>,
    thread: Option<JoinHandle<()>>,
}

impl Examiner {
    /// The network is built on the thread: where that fails, every reply says why. `wake` is called after each
    /// reply (the window asks for a frame).
    pub fn start(experiment: &Experiment, wake: impl Fn() + Send + Sync + 'static) -> Result<Self> {
        let experiment = experiment.clone();
        let (questions, waiting) = bounded::<Question>(1);
        let (replies, answers) = unbounded();
        let (asked, last) = (waiting.clone(), Arc::new(AtomicU64::new(0)));
        let newest = last.clone();
        let thread = std::thread::Builder::new()
            .name("examiner".to_owned())
            .spawn(move || {
                let mut desk = Desk::new(&experiment);
                let teller = Teller { replies, wake: Box::new(wake), last: newest };
                for question in asked {
                    let asker = Asker { teller: &teller, id: question.id };
                    let readings = match &mut desk {
                        Ok(desk) => desk.answer(&question, &asker),
                        Err(error) => Err(error.clone()),
                    };
                    if !asker.send(readings, true) {
                        return;
                    }
                }
            })
            .map_err(|e| {
                Error::system(format!("the examiner's thread cannot be started: {e}")).caused_by(e)
            })?;
        Ok(Self {
            replies: answers,
            questions: Some(questions),
            waiting,
            last,
            thread: Some(thread),
        })
    }

    /// Replaces any question that is still waiting; one that is being answered ends before its next layer, where it can.
    pub fn ask(&self, question: Question) {
        let Some(questions) = &self.questions else { return };
        self.last.store(question.id, Ordering::Relaxed);
        let mut question = question;
        // The thread may take the old question between the two tries: then there is room as well.
        while let Err(TrySendError::Full(same)) = questions.try_send(question) {
            let _ = self.waiting.try_recv();
            question = same;
        }
    }

    /// Takes no more questions; true once the thread has ended, so that dropping it waits for nothing.
    pub fn is_retired(&mut self) -> bool {
        self.last.store(u64::MAX, Ordering::Relaxed);
        let _ = self.waiting.try_recv();
        self.questions = None;
        self.thread.as_ref().is_none_or(JoinHandle::is_finished)
    }
}

impl Drop for Examiner {
    fn drop(&mut self) {
        // A question that waits would be answered to nobody.
        self.last.store(u64::MAX, Ordering::Relaxed);
        let _ = self.waiting.try_recv();
        self.questions = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Where answers go.
struct Teller {
    replies: Sender<Reply>,
    wake: Box<dyn Fn() + Send + Sync>,
    last: Arc<AtomicU64>,
}

/// Who asked a question.
struct Asker<'a> {
    teller: &'a Teller,
    id: u64,
}

impl Asker<'_> {
    /// Whether anybody is still there.
    fn send(&self, readings: Result<Arc<Readings>>, is_whole: bool) -> bool {
        let sent = self.teller.replies.send(Reply { id: self.id, readings, is_whole });
        (self.teller.wake)();
        sent.is_ok()
    }
}

impl Waiting for Asker<'_> {
    fn hear(&self, part: Readings) {
        // Whether anybody is still there is asked with the whole answer.
        self.send(Ok(Arc::new(part)), false);
    }

    fn goes_on(&self) -> bool {
        self.teller.last.load(Ordering::Relaxed) <= self.id
    }
}

/// What the thread works with.
pub(super) struct Desk {
    pub instrument: Instrument,
    shelf: Shelf,
    lenses: Lenses,
}

impl Desk {
    pub fn new(experiment: &Experiment) -> Result<Self> {
        let built = catch_unwind(AssertUnwindSafe(|| Instrument::new(experiment)));
        let built =
            built.unwrap_or_else(|panic| Err(fault("building the network", panic.as_ref())));
        Ok(Self { instrument: built?, shelf: Shelf::default(), lenses: Lenses::default() })
    }

    pub fn weights(&mut self, which: &Which) -> Result<Arc<Weights>> {
        match which {
            Which::Given(weights) => Ok(weights.clone()),
            Which::Recorded { folder, step } => self.shelf.weights(folder, *step),
        }
    }

    fn answer(&mut self, question: &Question, asker: &dyn Waiting) -> Result<Arc<Readings>> {
        let weights = self.weights(&question.which)?;
        let Question { prompt, interventions, calls, kept, .. } = question;
        if reads_with_lens(calls) {
            self.instrument.equip(self.lenses.kept_in(kept));
        }
        // Everything the instrument changes is overwritten by the next question: a panic leaves nothing half.
        let examined = catch_unwind(AssertUnwindSafe(|| {
            let asker = Some(asker);
            self.instrument.examine_as_it_comes(&weights, prompt, interventions, calls, asker)
        }));
        examined.unwrap_or_else(|panic| Err(fault("examining", panic.as_ref()))).map(Arc::new)
    }
}

/// What a panic said, as an error of the program.
pub(super) fn fault(doing: &str, panic: &(dyn Any + Send)) -> Error {
    let said = panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no message");
    let said = without_build_paths(said);
    Error::internal(format!("{doing} failed by a fault of the program: {said}"))
}

/// Recorded weights that were asked for lately.
#[derive(Default)]
struct Shelf {
    readers: Vec<(PathBuf, WeightsReader)>,
    /// The one asked for last is at the end.
    kept: VecDeque<(PathBuf, Arc<Weights>)>,
}

impl Shelf {
    fn weights(&mut self, folder: &Path, step: u64) -> Result<Arc<Weights>> {
        let found = self.kept.iter().position(|(f, w)| f == folder && w.step == step);
        if let Some(at) = found
            && let Some(one) = self.kept.remove(at)
        {
            let weights = one.1.clone();
            self.kept.push_back(one);
            return Ok(weights);
        }
        let weights = Arc::new(self.read(folder, step)?);
        if weights.file.is_some() {
            // There is nothing to keep: the numbers lie in files of another program, which may change them.
            return Ok(weights);
        }
        self.kept.push_back((folder.to_owned(), weights.clone()));
        let size = |kept: &VecDeque<(PathBuf, Arc<Weights>)>| {
            kept.iter().map(|(_, w)| w.trained_bytes()).sum::<usize>()
        };
        while self.kept.len() > 1 && size(&self.kept) > budget::WEIGHTS_BYTES {
            self.kept.pop_front();
        }
        Ok(weights)
    }

    fn read(&mut self, folder: &Path, step: u64) -> Result<Weights> {
        if let Some((_, reader)) = self.readers.iter_mut().find(|(f, _)| f == folder) {
            return reader.weights(step);
        }
        let mut reader = WeightsReader::open(folder)?;
        let weights = reader.weights(step);
        self.readers.push((folder.to_owned(), reader));
        weights
    }
}
