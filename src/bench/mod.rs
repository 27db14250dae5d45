//! How fast the program is: workloads that `mnemoscope bench` measures and `benches/` times again.

mod cloud;
pub mod cost;
mod emerge;
mod examine;
mod figure;
mod frame;
mod pretrained;
mod scratch;
mod scrub;
mod train;
mod window;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use crate::base::convert;
use crate::base::error::{Error, Result, did_you_mean};
use crate::nn::kernel::matrix::{Into, Matrix, multiply};
use crate::nn::kernel::pool::Pool;

/// All workloads.
pub const ALL: &[Workload] = &[
    train::BIRTH,
    train::BIRTH_SMALL,
    train::GPT,
    train::GPT_DEEP,
    train::GRU,
    train::MEMORY_TOKENS,
    train::FEEDBACK,
    train::GROWTH,
    emerge::BIRTH,
    examine::ATTENTION,
    pretrained::OPEN,
    pretrained::PASS_64,
    pretrained::PASS_256,
    pretrained::PASS_1024,
    pretrained::OVERVIEW,
    pretrained::FOCUS,
    pretrained::PATCHING,
    pretrained::SERIES,
    scrub::SCRUB,
    figure::COMPOSITE,
    figure::PDF,
    frame::DEFAULT,
    frame::COMPARED,
    frame::HEADS,
    frame::GPT2,
    frame::MEMORY,
    cloud::PROJECT,
    window::START,
    window::TAX,
    window::MEMORY,
];

/// Something that the program does, to be timed.
pub struct Workload {
    /// As on the command line.
    pub name: &'static str,
    /// One line for a person.
    pub about: &'static str,
    pub kind: Kind,
}

/// How a workload is timed.
pub enum Kind {
    /// Made once and then repeated: each call of [`Steady::work`] is one sample.
    Repeated(fn(&How) -> Result<Steady>),
    /// Takes its samples itself.
    Whole(fn(&How) -> Result<Vec<Measured>>),
}

/// A workload that is ready to be repeated.
pub struct Steady {
    pub work: Box<dyn FnMut() -> Result<()>>,
    /// Tokens that one call reads, where that means something.
    pub tokens: Option<f64>,
    /// Useful floating-point operations of one call: see [`cost`].
    pub flop: Option<f64>,
}

/// How long to measure, and with what settings.
#[derive(Clone, Debug)]
pub struct How {
    /// Time for the samples of one workload.
    pub time: Duration,
    /// Settings of the experiments that are trained, other than those of the workload: `train.shard=8`.
    pub set: Vec<String>,
    /// The program whose window is measured.
    pub program: PathBuf,
}

/// What came of a workload.
#[derive(Clone, Debug)]
pub struct Measured {
    pub name: String,
    /// Seconds of each sample, in the order they were taken.
    pub samples: Vec<f64>,
    pub tokens: Option<f64>,
    pub flop: Option<f64>,
    /// More numbers, with their unit in the name.
    pub others: Vec<(&'static str, f64)>,
    /// Why there is no number.
    pub not_measured: Option<String>,
}

impl Measured {
    pub fn new(name: impl std::convert::Into<String>, samples: Vec<f64>) -> Self {
        Self {
            name: name.into(),
            samples,
            tokens: None,
            flop: None,
            others: Vec::new(),
            not_measured: None,
        }
    }

    /// A workload that this machine cannot run, and why.
    pub fn not_measured(name: impl std::convert::Into<String>, why: &Error) -> Self {
        Self { not_measured: Some(why.message.clone()), ..Self::new(name, Vec::new()) }
    }

    /// Seconds at a quantile of the samples, e.g. 0.5 for the median; NaN without samples.
    pub fn quantile(&self, q: f64) -> f64 {
        let mut sorted = self.samples.clone();
        sorted.sort_by(f64::total_cmp);
        let at = convert::index(((sorted.len().saturating_sub(1)) as f64 * q).round());
        sorted.get(at).copied().unwrap_or(f64::NAN)
    }

    pub fn median(&self) -> f64 {
        self.quantile(0.5)
    }

    pub fn tokens_per_s(&self) -> Option<f64> {
        self.tokens.map(|tokens| tokens / self.median())
    }

    pub fn useful_gflops(&self) -> Option<f64> {
        self.flop.map(|flop| flop / self.median() / 1e9)
    }
}

/// The workloads whose name is one of `names` or begins with one of them and a slash; all without names.
///
/// # Errors
/// When a name fits none.
pub fn find(names: &[String]) -> Result<Vec<&'static Workload>> {
    let fits = |workload: &Workload, name: &str| {
        workload.name == name
            || workload.name.strip_prefix(name).is_some_and(|rest| rest.starts_with('/'))
    };
    for name in names {
        if !ALL.iter().any(|workload| fits(workload, name)) {
            let known: Vec<&str> = ALL.iter().map(|workload| workload.name).collect();
            return Err(Error::usage(format!(
                "there is no workload \"{name}\".{} There are {}; the part before the slash names all of a kind",
                did_you_mean(name, known.iter().copied()),
                known.join(", ")
            )));
        }
    }
    let wanted =
        |workload: &&Workload| names.is_empty() || names.iter().any(|name| fits(workload, name));
    Ok(ALL.iter().filter(wanted).collect())
}

impl Workload {
    /// Runs it.
    pub fn measure(&self, how: &How) -> Result<Vec<Measured>> {
        match self.kind {
            Kind::Repeated(prepare) => Ok(vec![prepare(how)?.measure(self.name, how)?]),
            Kind::Whole(measure) => measure(how),
        }
    }
}

impl Steady {
    /// Samples for about as long as was asked for, at least ten, after a warm-up of a fifth of that.
    pub fn measure(mut self, name: &str, how: &How) -> Result<Measured> {
        let begun = Instant::now();
        let mut calls = 0;
        while calls < 3 || begun.elapsed() < how.time / 5 {
            (self.work)()?;
            calls += 1;
        }
        let (begun, mut samples) = (Instant::now(), Vec::new());
        while samples.len() < 10 || begun.elapsed() < how.time {
            let call = Instant::now();
            (self.work)()?;
            samples.push(call.elapsed().as_secs_f64());
        }
        Ok(Measured { tokens: self.tokens, flop: self.flop, ..Measured::new(name, samples) })
    }
}

/// The largest rate of single-precision matrix products on all cores, in GFLOP/s: each thread multiplies matrices of
/// its own that fill its cache.
pub fn sgemm_peak() -> Result<f64> {
    const SIDE: usize = 512;
    const PRODUCTS: usize = 8;
    let pool = Pool::new(0)?;
    let threads = pool.threads();
    let mut best = f64::INFINITY;
    for _ in 0..20 {
        let times = pool.map(threads, |_| {
            let (a, b) = (vec![0.5; SIDE * SIDE], vec![0.25; SIDE * SIDE]);
            let mut out = vec![0.0; SIDE * SIDE];
            let begun = Instant::now();
            for _ in 0..PRODUCTS {
                let (a, b) = (Matrix::new(&a, SIDE, SIDE), Matrix::new(&b, SIDE, SIDE));
                multiply(&mut out, SIDE, a, b, 1.0, Into::Overwrite);
            }
            Ok(begun.elapsed().as_secs_f64())
        })?;
        // The slowest thread: the others may have run while it waited to begin.
        best = best.min(times.into_iter().fold(0.0, f64::max));
    }
    Ok((2 * SIDE.pow(3) * PRODUCTS * threads) as f64 / best / 1e9)
}
