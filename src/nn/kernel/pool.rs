//! The shard pool: the only place where kernels get more than one thread.
//!
//! A batch is cut into shards by the caller; each runs from start to end on one thread, and results are taken
//! strictly in the order of shards. So numbers depend on the shards and never on the threads.

use std::any::Any;
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};

use crossbeam_channel::{Receiver, Sender, bounded, unbounded};
use rayon::prelude::*;
use rayon::{ThreadPool, ThreadPoolBuilder};

use crate::base::error::{Error, Result};

/// Threads that wait for shards.
pub struct Pool {
    threads: ThreadPool,
}

impl Pool {
    /// A pool of `threads` threads; 0: as many as the machine has.
    pub fn new(threads: usize) -> Result<Self> {
        let available = || std::thread::available_parallelism().map_or(1, usize::from);
        let threads = if threads == 0 { available() } else { threads };
        let threads = ThreadPoolBuilder::new()
            .num_threads(threads)
            .thread_name(|i| format!("shard-{i}"))
            .build()
            .map_err(|e| {
                Error::system(format!("cannot start {threads} threads: {e}")).caused_by(e)
            })?;
        Ok(Self { threads })
    }

    pub fn threads(&self) -> usize {
        self.threads.current_num_threads()
    }

    /// Runs `work` for each shard in `0..shards` and gives the results in order.
    ///
    /// # Errors
    /// That of the first shard that failed; a panic in a shard comes back as one.
    pub fn map<T: Send>(
        &self,
        shards: usize,
        work: impl Fn(usize) -> Result<T> + Sync,
    ) -> Result<Vec<T>> {
        let mut results = Vec::with_capacity(shards);
        self.fold_in_order(shards, work, |result| {
            results.push(result);
            Ok(())
        })?;
        Ok(results)
    }

    /// Has a thread do something when it has nothing else to do. Nobody waits for it, and a panic ends nothing else.
    pub fn spawn(&self, work: impl FnOnce() + Send + 'static) {
        self.threads.spawn(|| drop(catch_unwind(AssertUnwindSafe(work))));
    }

    /// Changes each item, on all threads: what is done to one must not depend on the others.
    ///
    /// # Errors
    /// That of the first item that failed; a panic comes back as one.
    pub fn each<T: Send>(
        &self,
        items: &mut [T],
        work: impl Fn(&mut T) -> Result<()> + Sync,
    ) -> Result<()> {
        let caught = |(i, item): (usize, &mut T)| {
            catch_unwind(AssertUnwindSafe(|| work(item)))
                .unwrap_or_else(|panic| Err(fault(&format!("item {i}"), panic.as_ref())))
        };
        let outcomes: Vec<Result<()>> =
            self.threads.install(|| items.par_iter_mut().enumerate().map(caught).collect());
        outcomes.into_iter().collect()
    }

    /// Runs `work` for each shard in `0..shards`; `take` gets the results strictly in order, on this thread.
    /// At most a few results per thread wait at any time.
    ///
    /// # Errors
    /// That of the first shard (or taking) that failed; a panic in a shard comes back as one.
    pub fn fold_in_order<T: Send>(
        &self,
        shards: usize,
        work: impl Fn(usize) -> Result<T> + Sync,
        mut take: impl FnMut(T) -> Result<()>,
    ) -> Result<()> {
        let workers = self.threads().min(shards);
        // How far workers may run ahead of the oldest result that is still missing.
        let ahead = (2 * workers).min(shards);
        let (give, tickets) = bounded::<usize>(ahead);
        let (report, results) = unbounded();
        self.threads.in_place_scope(|scope| {
            for _ in 0..workers {
                let (tickets, report, work) = (tickets.clone(), report.clone(), &work);
                scope.spawn(move |_| run_shards(&tickets, &report, work));
            }
            drop((tickets, report));
            let outcome = gather(shards, ahead, &give, &results, &mut take);
            // Without tickets the workers end, and the scope with them.
            drop(give);
            outcome
        })
    }
}

/// The environment variable that says how many threads candle may use for one operation.
const CANDLE_THREADS: &str = "CANDLE_NUM_THREADS";

/// Keeps candle from spreading sums of gradients over a pool of its own, whose threads spin and which one shard
/// at a time can use: with it, a step takes more than twice as long. To be called first thing in `main`; does
/// nothing where the program already has other threads, or where the variable is set.
pub fn keep_candle_on_one_thread() {
    if std::env::var_os(CANDLE_THREADS).is_some() || !is_only_thread() {
        return;
    }
    #[expect(unsafe_code, reason = "candle takes this setting from the environment alone")]
    // SAFETY: no other thread can read the environment meanwhile: there is none.
    unsafe {
        std::env::set_var(CANDLE_THREADS, "1");
    }
}

/// Where the system does not tell, the start of `main` is taken for what it is.
fn is_only_thread() -> bool {
    std::fs::read_dir("/proc/self/task").map_or(true, |threads| threads.count() == 1)
}

type Report<T> = (usize, Result<T>);

fn run_shards<T>(
    tickets: &Receiver<usize>,
    report: &Sender<Report<T>>,
    work: &(impl Fn(usize) -> Result<T> + Sync),
) {
    for shard in tickets {
        let result = catch_unwind(AssertUnwindSafe(|| work(shard))).unwrap_or_else(|panic| {
            Err(fault(&format!("shard {shard} of the batch"), panic.as_ref()))
        });
        if report.send((shard, result)).is_err() {
            return;
        }
    }
}

fn gather<T>(
    shards: usize,
    ahead: usize,
    give: &Sender<usize>,
    results: &Receiver<Report<T>>,
    take: &mut impl FnMut(T) -> Result<()>,
) -> Result<()> {
    let gone = || Error::internal("a thread of the shard pool ended before its shard was done");
    for shard in 0..ahead {
        give.send(shard).map_err(|_| gone())?;
    }
    let mut early = BTreeMap::new();
    for next in 0..shards {
        let result = loop {
            if let Some(result) = early.remove(&next) {
                break result;
            }
            let (shard, result) = results.recv().map_err(|_| gone())?;
            early.insert(shard, result);
        };
        take(result?)?;
        if next + ahead < shards {
            give.send(next + ahead).map_err(|_| gone())?;
        }
    }
    Ok(())
}

fn fault(part: &str, panic: &(dyn Any + Send)) -> Error {
    let said = panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no message");
    Error::internal(format!("{part} failed: {said}; this is a fault of the program"))
}
