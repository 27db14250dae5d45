//! Clouds of points: projected for the graphics device as the window has it done, and by the twin; and drawn again
//! unchanged.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::app::headless::StillCloud;
use crate::base::error::{Kind as ErrorKind, Result};
use crate::figure::Cloud;
use crate::figure::cloud::project;
use crate::figure::color::category;
use crate::gpu::projection::Projection;

use super::{How, Kind, Measured, Steady, Workload};

pub const PROJECT: Workload = Workload {
    name: "cloud",
    about: "10^4, 10^5 and 10^6 points of 64 dimensions to 3, for the graphics device and by its twin; and unchanged",
    kind: Kind::Whole(clouds),
};

const DIMS: usize = 64;

fn clouds(how: &How) -> Result<Vec<Measured>> {
    let mut all = Vec::new();
    for exponent in [4, 5, 6] {
        let count = 10usize.pow(exponent);
        let cloud = cloud(count);
        let twin = Steady {
            work: {
                let cloud = cloud.clone();
                Box::new(move || {
                    drop(std::hint::black_box(project(&cloud.points, &cloud.basis, cloud.dims)));
                    Ok(())
                })
            },
            tokens: None,
            flop: None,
        };
        let twin = twin.measure(&format!("cloud/twin_{count}"), how)?;
        all.push(match device(count, &cloud, how, &twin) {
            Err(e) if e.kind == ErrorKind::System => {
                Measured::not_measured(format!("cloud/project_{count}"), &e)
            }
            measured => measured?,
        });
        all.push(with_rate(twin, count));
        all.push(still(count, cloud, how));
    }
    Ok(all)
}

fn device(count: usize, cloud: &Cloud, how: &How, twin: &Measured) -> Result<Measured> {
    let mut projection = Projection::new(cloud)?;
    let software = projection.adapter().software;
    let steady = Steady { work: Box::new(move || projection.run()), tokens: None, flop: None };
    let mut measured = steady.measure(&format!("cloud/project_{count}"), how)?;
    measured.others.push(("over_twin", measured.median() / twin.median()));
    measured.others.push(("software", f64::from(u8::from(software))));
    Ok(with_rate(measured, count))
}

/// Points are read, places of four numbers written.
fn with_rate(mut measured: Measured, count: usize) -> Measured {
    let bytes = (4 * count * (DIMS + 4)) as f64;
    measured.others.push(("gb_per_s", bytes / measured.median() / 1e9));
    measured
}

/// Processor time of a frame in which nothing changes.
fn still(count: usize, cloud: Cloud, how: &How) -> Measured {
    let mut window = StillCloud::new(cloud);
    for _ in 0..3 {
        window.frame();
    }
    let (begun, mut samples) = (Instant::now(), Vec::new());
    while samples.len() < 20 || begun.elapsed() < how.time.min(Duration::from_secs(1)) {
        samples.push(window.frame().cpu.as_secs_f64());
    }
    Measured::new(format!("cloud/still_{count}"), samples)
}

/// Numbers from -2 to 2.
fn cloud(count: usize) -> Cloud {
    let noise = |i: usize| (i.wrapping_mul(2_654_435_761) >> 7) % 4001;
    let number = |i: usize| noise(i) as f32 / 1000.0 - 2.0;
    Cloud {
        name: "cloud".to_owned(),
        dims: DIMS,
        points: (0..count * DIMS).map(number).collect(),
        basis: (0..3 * DIMS).map(|i| number(i + 77) / (DIMS as f32).sqrt()).collect(),
        colors: (0..count).map(category).collect(),
        diameter: 4.0,
        picks: Arc::default(),
        hovers: Arc::default(),
        three_d: true,
        links: Vec::new(),
        rings: Vec::new(),
    }
}
