//! Experiments small enough to train within a test.

use mnemoscope::base::event::{Event, Mark, MetricsRow, State};
use mnemoscope::run::experiment::Experiment;
use mnemoscope::run::session::Session;
use mnemoscope::run::trainer::Trainer;

/// Two layers of two heads on short sequences: a step takes about a millisecond.
pub fn tiny() -> Experiment {
    let mut experiment = Experiment::of("tiny", "bigram", "decoder").unwrap();
    experiment
        .set_texts([
            "task.length=20",
            "model.layers=2",
            "model.heads=2",
            "model.width=16",
            "model.mlp=none",
            "train.batch=6",
            "train.shard=2",
            "train.evaluate=3",
            "train.held_out=6",
            "train.rate=0.05",
            "train.threads=2",
        ])
        .unwrap();
    experiment
}

pub fn with(texts: &[&str]) -> Experiment {
    let mut experiment = tiny();
    experiment.set_texts(texts.iter().copied()).unwrap();
    experiment
}

/// Trains to `steps`, evaluating where due as a session does.
pub fn train(trainer: &mut Trainer, steps: u64) -> (Vec<MetricsRow>, Vec<Mark>) {
    let (mut rows, mut marks) = (Vec::new(), Vec::new());
    while trainer.steps_done() < steps {
        marks.extend(trainer.step().unwrap());
        if trainer.is_evaluation_due() {
            let (row, more) = trainer.evaluate().unwrap();
            rows.push(row);
            marks.extend(more);
        }
    }
    (rows, marks)
}

/// Events up to the first that `last` accepts.
pub fn until(session: &Session, last: impl Fn(&Event) -> bool) -> Vec<Event> {
    let mut events = Vec::new();
    loop {
        let event = session
            .events
            .recv_timeout(std::time::Duration::from_secs(60))
            .expect("the session says no more");
        let done = last(&event);
        events.push(event);
        if done {
            return events;
        }
    }
}

pub fn is_state(event: &Event, wanted: State) -> bool {
    matches!(event, Event::Progress { state, .. } if *state == wanted)
}
