//! Times every workload under Criterion, with statistics and a comparison with the last time.

use std::time::Duration;

use criterion::{Criterion, criterion_group, criterion_main};

use mnemoscope::base::error::{Error, Result};
use mnemoscope::bench::{ALL, How, Kind, Measured, Steady, Workload};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn workloads(criterion: &mut Criterion) {
    mnemoscope::nn::kernel::pool::keep_candle_on_one_thread();
    let how = How {
        time: Duration::from_secs(3),
        set: Vec::new(),
        program: env!("CARGO_BIN_EXE_mnemoscope").into(),
    };
    for workload in ALL {
        match workload.kind {
            Kind::Repeated(prepare) => repeated(criterion, workload, || prepare(&how)),
            Kind::Whole(measure) => whole(criterion, workload, || measure(&how)),
        }
    }
}

/// Calls are timed one after the other.
fn repeated(criterion: &mut Criterion, workload: &Workload, prepare: impl Fn() -> Result<Steady>) {
    // Made when it is chosen: one that is not costs nothing.
    let mut steady = None;
    criterion.bench_function(workload.name, |bencher| {
        let steady = steady.get_or_insert_with(|| prepare().unwrap_or_else(failed(workload)));
        bencher.iter(|| (steady.work)().unwrap_or_else(failed(workload)));
    });
}

/// What takes its samples itself is run once, and Criterion is given these; of several numbers, the first.
fn whole(
    criterion: &mut Criterion,
    workload: &Workload,
    measure: impl Fn() -> Result<Vec<Measured>>,
) {
    let mut taken = None;
    criterion.bench_function(workload.name, |bencher| {
        let samples = taken.get_or_insert_with(|| {
            let all = measure().unwrap_or_else(failed(workload));
            let first = all.into_iter().find(|measured| !measured.samples.is_empty());
            let nothing = || Error::system("this machine cannot run it");
            let first = first.ok_or_else(nothing).unwrap_or_else(failed(workload));
            first.samples.into_iter().cycle()
        });
        // Each of Criterion's samples is one of ours, so that their spread is kept.
        bencher.iter_custom(|calls| {
            Duration::from_secs_f64(calls as f64 * samples.next().unwrap_or_default())
        });
    });
}

fn failed<T>(workload: &Workload) -> impl Fn(Error) -> T {
    let name = workload.name;
    move |error| panic!("{name}: {error}")
}

criterion_group! {
    name = all;
    config = Criterion::default().sample_size(20).warm_up_time(Duration::from_secs(1));
    targets = workloads
}
criterion_main!(all);
