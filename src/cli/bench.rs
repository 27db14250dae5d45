//! `mnemoscope bench`: how fast this program is on this machine.

use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use serde_json::{Value, json};

use crate::base::error::{Error, Kind, Result};
use crate::bench::{How, Measured, find, sgemm_peak};

use super::say;

#[derive(Args)]
pub struct Bench {
    /// Workloads, or the part before the slash for all of a kind (all when left out)
    #[arg(value_name = "NAME")]
    names: Vec<String>,
    /// One JSON object a line
    #[arg(long)]
    json: bool,
    /// Seconds of samples of each workload that is repeated
    #[arg(long, value_name = "S", default_value_t = 3.0, allow_negative_numbers = true)]
    seconds: f64,
    /// Another program's largest rate of matrix products in GFLOP/s: the larger of it and ours is the peak
    #[arg(long, value_name = "GFLOPS")]
    peak: Option<f64>,
    /// Change a setting of what is trained: --set train.shard=8
    #[arg(long = "set", value_name = "NAME=VALUE")]
    set: Vec<String>,
    /// Name the workloads and run none
    #[arg(long)]
    list: bool,
}

impl Bench {
    pub fn run(self) -> Result<ExitCode> {
        let workloads = find(&self.names)?;
        if self.list {
            for workload in workloads {
                say(format!("{:<20} {}", workload.name, workload.about))?;
            }
            return Ok(ExitCode::SUCCESS);
        }
        let time = Duration::try_from_secs_f64(self.seconds).ok().filter(|t| *t <= LONGEST);
        let time = time.ok_or_else(|| {
            Error::usage(format!(
                "--seconds {}: expected a number from 0 to {}",
                self.seconds,
                LONGEST.as_secs()
            ))
        })?;
        let how = How { time, set: self.set, program: std::env::current_exe()? };
        let ours = sgemm_peak()?;
        let peak = self.peak.map_or(ours, |theirs| theirs.max(ours));
        if self.json {
            say(json!({ "name": "sgemm", "gflops": ours, "peak_gflops": peak }).to_string())?;
        } else {
            say(format!(
                "matrix products: {ours:.0} GFLOP/s here, {peak:.0} taken for the peak\n"
            ))?;
            say(HEADER)?;
        }
        for workload in workloads {
            let all = match workload.measure(&how) {
                Ok(all) => all,
                // What this machine lacks is no fault of the others.
                Err(e) if e.kind == Kind::System => vec![Measured::not_measured(workload.name, &e)],
                Err(e) => return Err(e.context(workload.name)),
            };
            for measured in all {
                let text = if self.json { line(&measured, peak) } else { row(&measured, peak) };
                say(text)?;
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// A day: longer is a slip of the hand.
const LONGEST: Duration = Duration::from_secs(86_400);

const HEADER: &str =
    "workload                    median       min       p99  samples  tokens/s  GFLOP/s  of peak";

fn row(measured: &Measured, peak: f64) -> String {
    let name = &measured.name;
    if let Some(why) = &measured.not_measured {
        return format!("{name:<22}  not measured: {why}");
    }
    let [median, min, p99] = [0.5, 0.0, 0.99].map(|q| time(measured.quantile(q)));
    let number = |value: Option<f64>, digits: usize| {
        value.map_or_else(String::new, |value| format!("{value:.digits$}"))
    };
    let gflops = measured.useful_gflops();
    let share = gflops.map_or_else(String::new, |g| format!("{:.0} %", 100.0 * g / peak));
    let mut text = format!(
        "{name:<22} {median:>11} {min:>9} {p99:>9} {:>8} {:>9} {:>8} {share:>8}",
        measured.samples.len(),
        number(measured.tokens_per_s(), 0),
        number(gflops, 1),
    );
    for (name, value) in &measured.others {
        text.push_str(&format!("  {name} {value:.3}"));
    }
    text
}

/// Three digits and a unit.
fn time(seconds: f64) -> String {
    let (value, unit) = match seconds {
        s if s >= 1.0 => (s, "s"),
        s if s >= 1e-3 => (1e3 * s, "ms"),
        s => (1e6 * s, "µs"),
    };
    let digits = if value >= 100.0 { 0 } else { usize::from(value < 10.0) + 1 };
    format!("{value:.digits$} {unit}")
}

fn line(measured: &Measured, peak: f64) -> String {
    if let Some(why) = &measured.not_measured {
        return json!({ "name": measured.name, "not_measured": why }).to_string();
    }
    let mut object = json!({
        "name": measured.name,
        "median_s": measured.median(),
        "min_s": measured.quantile(0.0),
        "p25_s": measured.quantile(0.25),
        "p75_s": measured.quantile(0.75),
        "p99_s": measured.quantile(0.99),
        "samples": measured.samples.len(),
        "tokens_per_s": measured.tokens_per_s(),
        "useful_gflops": measured.useful_gflops(),
        "fraction_of_peak": measured.useful_gflops().map(|gflops| gflops / peak),
    });
    for (name, value) in &measured.others {
        object[*name] = Value::from(*value);
    }
    object.to_string()
}
