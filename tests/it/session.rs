//! A run on a thread: commands, events, and the folder that it leaves behind.

use mnemoscope::record::event::{Event, State};
use mnemoscope::record::folder::Reader;
use mnemoscope::run::experiment::Experiment;
use mnemoscope::run::session::{Begin, Command, Session, Start};

use super::tiny::{is_state, tiny, until, with};

fn start(experiment: Experiment, folder: Option<&std::path::Path>, begin: Begin) -> Session {
    let folder = folder.map(std::path::Path::to_owned);
    Session::start(Start { experiment, begin, folder, paused: false }).unwrap()
}

#[test]
fn a_run_goes_to_its_last_step_and_leaves_a_folder() {
    let home = tempfile::tempdir().unwrap();
    let folder = home.path().join("run");
    let session = start(with(&["train.steps=7"]), Some(&folder), Begin::Fresh);
    let events = until(&session, |e| is_state(e, State::Finished));
    assert!(matches!(&events[0], Event::Started { step: 0, columns, .. } if columns[0] == "loss"));
    drop(session);
    let mut reader = Reader::open(&folder).unwrap();
    let steps: Vec<u64> = reader.recording.rows.iter().map(|row| row.step).collect();
    assert_eq!(steps, [0, 3, 6, 7]);
    assert_eq!(reader.recording.recorded, steps);
    assert_eq!(reader.weights(6).unwrap().step, 6);
    let again = Experiment::parse(&reader.experiment().unwrap(), "run").unwrap();
    assert_eq!(again.to_toml(), with(&["train.steps=7"]).to_toml());
}

#[test]
fn a_paused_run_takes_single_steps() {
    let session = Session::start(Start {
        experiment: tiny(),
        begin: Begin::Fresh,
        folder: None,
        paused: true,
    })
    .unwrap();
    until(&session, |e| is_state(e, State::Paused));
    session.commands.send(Command::Step).unwrap();
    let events = until(&session, |e| is_state(e, State::Paused));
    assert!(matches!(events.last(), Some(Event::Progress { step: 1, .. })), "{events:?}");
}
