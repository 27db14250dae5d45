//! Times every workload that can be repeated, with statistics and a comparison with the last time.

use std::time::Duration;

use criterion::{Criterion, criterion_group, criterion_main};

use mnemoscope::bench::{ALL, How, Kind};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn workloads(criterion: &mut Criterion) {
    mnemoscope::nn::kernel::pool::keep_candle_on_one_thread();
    let how = How { time: Duration::from_secs(3), set: Vec::new() };
    for workload in ALL {
        let Kind::Repeated(prepare) = workload.kind else { continue };
        // Made when it is chosen: one that is not costs nothing.
        let mut steady = None;
        criterion.bench_function(workload.name, |bencher| {
            let steady = steady.get_or_insert_with(|| {
                prepare(&how).unwrap_or_else(|error| panic!("{}: {error}", workload.name))
            });
            bencher.iter(|| {
                (steady.work)().unwrap_or_else(|error| panic!("{}: {error}", workload.name));
            });
        });
    }
}

criterion_group! {
    name = all;
    config = Criterion::default().sample_size(20).warm_up_time(Duration::from_secs(1));
    targets = workloads
}
criterion_main!(all);
