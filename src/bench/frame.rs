//! What a frame of the window costs its thread, without a window.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::app::headless::{Headless, Took};
use crate::app::{App, Launch, Panels, Surroundings};
use crate::base::error::Result;
use crate::base::intervention::Intervention;
use crate::base::question::Readings;
use crate::panel::compare::Showing;
use crate::run::examine::Instrument;
use crate::run::experiment::Experiment;
use crate::run_folder::WeightsReader;

use super::pretrained;
use super::scratch::{Scratch, record};
use super::{How, Kind, Measured, Workload};

pub const DEFAULT: Workload = Workload {
    name: "frame/default",
    about: "processor time of a frame: default layout, 1600 by 1000, while the default experiment trains",
    kind: Kind::Whole(default),
};

pub const COMPARED: Workload = Workload {
    name: "frame/compared",
    about: "the same with A, B (the beginning of the run) and A minus B in every panel",
    kind: Kind::Whole(compared),
};

/// Frames are far apart while training goes on: this many times the time of other workloads.
const PATIENCE: u32 = 5;

/// Training is under way and every panel has something to show.
const WARM: Duration = Duration::from_secs(3);

fn default(how: &How) -> Result<Vec<Measured>> {
    trained(how, DEFAULT.name, |_| ())
}

fn compared(how: &How) -> Result<Vec<Measured>> {
    trained(how, COMPARED.name, |app| app.lab.show_compared(Showing::All))
}

/// Frames while the default experiment trains, after something was done in the window.
fn trained(how: &How, name: &'static str, done: fn(&mut App)) -> Result<Vec<Measured>> {
    let scratch = Scratch::new()?;
    let mut window = Headless::new(surroundings(&scratch), &Launch::default());
    window.until("the first answer", |app| app.lab.readings.is_some())?;
    done(&mut window.app);
    let (begun, mut taken) = (Instant::now(), Vec::new());
    let end = begun + WARM + PATIENCE * how.time;
    while Instant::now() < end {
        window.wait(Duration::from_secs(1));
        let took = window.frame();
        if begun.elapsed() >= WARM {
            taken.push(took);
        }
    }
    Ok(vec![measured(name, &taken)])
}

/// Nothing of this is a person's own.
pub fn surroundings(scratch: &Scratch) -> Surroundings {
    let library = Ok(scratch.path().join("runs"));
    Surroundings { library, system_dialogs: false, adapter: None, panels: Panels::default() }
}

fn measured(name: &str, taken: &[Took]) -> Measured {
    let seconds = |of: fn(&Took) -> Duration| taken.iter().map(|t| of(t).as_secs_f64()).collect();
    let wall = Measured::new("", seconds(|took| took.wall));
    let mut measured = Measured::new(name, seconds(|took| took.cpu));
    measured.others.push(("wall_p99_ms", 1e3 * wall.quantile(0.99)));
    measured
}

pub const HEADS: Workload = Workload {
    name: "frame/heads",
    about: "processor time of a frame: 12 by 12 heads on a sequence of 512 at a glance and one in focus, still and live",
    kind: Kind::Whole(heads),
};

fn heads(how: &How) -> Result<Vec<Measured>> {
    let mut experiment = Experiment::of("heads", "bigram", "decoder")?;
    experiment.set_texts([
        "task.length=512",
        "model.layers=12",
        "model.heads=12",
        "model.width=144",
        "train.batch=1",
        "train.held_out=1",
    ])?;
    let names = ["frame/heads_still", "frame/heads_live"];
    still_and_live(how, &experiment, (&["heads", "attention"], 0), names)
}

pub const MEMORY: Workload = Workload {
    name: "frame/memory",
    about: "the same with the working memory, the lengths and the machine of 64 segments of 8, 8 memory tokens",
    kind: Kind::Whole(memory),
};

fn memory(how: &How) -> Result<Vec<Measured>> {
    let mut experiment = Experiment::of("memory", "automaton", "memory_tokens")?;
    experiment.set_texts([
        "task.length=512",
        "task.longest=512",
        "model.memory=8",
        "train.segment=8",
        "train.batch=1",
        "train.held_out=1",
    ])?;
    let panels = ["tokens", "working_memory", "length", "automaton"];
    let names = ["frame/memory_still", "frame/memory_live"];
    still_and_live(how, &experiment, (&panels, 3), names)
}

/// Frames of some panels, which ask so many long questions, that show a run which nobody trains, and of the same where two answers to their questions take turns, so that
/// every frame has all its pictures to draw anew.
fn still_and_live(
    how: &How,
    experiment: &Experiment,
    (panels, questions): (&[&str], u64),
    names: [&'static str; 2],
) -> Result<Vec<Measured>> {
    let scratch = Scratch::new()?;
    let folder = scratch.path().join("run");
    record(&folder, experiment, 2, 2)?;
    let what = Some(folder.clone().into());
    let mut window = Headless::new(surroundings(&scratch), &Launch { what, ..Launch::default() });
    window.show_only(panels);
    window.until("the run is open", |app| app.lab.readings.is_some())?;
    window.until("long questions are answered", |app| {
        app.lab.analyses.started >= questions && !app.lab.analyses.is_busy()
    })?;
    let (calls, prompt) = (window.calls(), window.app.lab.prompt.clone());
    let mut instrument = Instrument::new(experiment)?;
    let mut reader = WeightsReader::open(&folder)?;
    let mut answers = Vec::new();
    for step in [0, 1] {
        let readings = instrument.examine(&reader.weights(step)?, &prompt, &[], &calls)?;
        answers.push(Arc::new(readings));
    }
    Ok(frames(how, &mut window, &answers, names))
}

pub const GPT2: Workload = Workload {
    name: "frame/gpt2",
    about: "the same of a network of GPT-2 small's size: thumbnails of 144 heads on 1024 tokens, one head and the tokens",
    kind: Kind::Whole(gpt2),
};

fn gpt2(how: &How) -> Result<Vec<Measured>> {
    const TOKENS: usize = 1024;
    let scratch = Scratch::new()?;
    let folder = pretrained::write(&scratch)?;
    let what = Some(folder.clone().into());
    let mut window = Headless::new(surroundings(&scratch), &Launch { what, ..Launch::default() });
    window.show_only(&["heads", "attention", "tokens"]);
    window.until("the network is open", |app| app.lab.readings.is_some())?;
    let text: Vec<String> = pretrained::tokens(TOKENS).iter().map(ToString::to_string).collect();
    window.app.lab.set_text(&text.join(" "));
    let is_answered = |app: &App| {
        app.lab.readings.as_ref().is_some_and(|readings| readings.prompt.len() == TOKENS)
    };
    window.until("the text is answered", is_answered)?;
    let (calls, prompt) = (window.calls(), window.app.lab.prompt.clone());
    let experiment = Experiment::of_run(&folder)?;
    let mut instrument = Instrument::new(&experiment)?;
    let weights = WeightsReader::open(&folder)?.weights(0)?;
    let mut answers = Vec::new();
    for interventions in [vec![], vec![Intervention::cut_head(0, 0)]] {
        let readings = instrument.examine(&weights, &prompt, &interventions, &calls)?;
        // As if nothing were in force: the window would ask anew.
        answers.push(Arc::new(Readings { interventions: Vec::new(), ..readings }));
    }
    Ok(frames(how, &mut window, &answers, ["frame/gpt2_still", "frame/gpt2_live"]))
}

/// Frames of a window that stands still, and of one where answers take turns.
fn frames(
    how: &How,
    window: &mut Headless,
    answers: &[Arc<Readings>],
    names: [&'static str; 2],
) -> Vec<Measured> {
    let mut all = Vec::new();
    for (name, live) in names.into_iter().zip([false, true]) {
        let (mut taken, mut count) = (Vec::new(), 0);
        let begun = Instant::now();
        while begun.elapsed() < how.time || taken.len() < 100 {
            if live {
                window.answer(answers[count % 2].clone());
            }
            let took = window.frame();
            count += 1;
            // The first ones draw what was not seen before.
            if count > 5 {
                taken.push(took);
            }
        }
        all.push(measured(name, &taken));
    }
    all
}
