//! The worked examples compile, run and check themselves; the panel is opened in the window.

use std::time::Duration;

use egui::accesskit::Role;
use egui_kittest::Harness;
use egui_kittest::kittest::Queryable;

use mnemoscope::app::commands::{Command, table};
use mnemoscope::app::{App, Panels};
use mnemoscope::panel;

use crate::app::{TINY, finished, press, until, window_with};

#[path = "../../examples/add_measurement.rs"]
mod add_measurement;
#[path = "../../examples/add_model.rs"]
mod add_model;
#[path = "../../examples/add_panel.rs"]
mod add_panel;
#[path = "../../examples/add_task.rs"]
pub mod add_task;

#[test]
fn a_task_is_added_as_the_documentation_says() {
    add_task::main().unwrap();
}

#[test]
fn a_probe_is_added_as_the_documentation_says() {
    add_measurement::main().unwrap();
}

#[test]
fn a_panel_is_added_as_the_documentation_says() {
    add_panel::main().unwrap();
}

#[test]
fn a_model_is_added_as_the_documentation_says() {
    add_model::main().unwrap();
}

/// Whether the long question with this in it was answered to its end, and nothing is asked any more.
fn is_answered(app: &App, part: &str) -> bool {
    let found = &app.lab.analyses.analyzed.by_call;
    let is_whole = found.iter().any(|(call, found)| call.contains(part) && found.ended);
    is_whole && !app.lab.analyses.is_busy()
}

fn click(harness: &mut Harness<'_, App>, role: Role, label: &str) {
    harness.get_by_role_and_label(role, label).click();
    for _ in 0..3 {
        harness.step();
    }
}

#[test]
fn a_panel_is_opened_in_the_window_with_its_controls_and_its_long_question() {
    let folder = tempfile::tempdir().unwrap();
    // The one line of the registry.
    let all: Vec<_> = panel::ALL.iter().copied().chain([add_panel::KIND]).collect();
    let panels = Panels(all.leak());
    // Menu and palette are made from the list.
    let shows = Command::Show("head_effects");
    let row = table(panels).into_iter().find(|entry| entry.command == shows).unwrap();
    assert_eq!(row.text, "Head effects");
    let mut harness = window_with(folder.path(), TINY, [1600.0, 1000.0], panels);
    finished(&mut harness);
    let figure =
        |harness: &Harness<'_, App>| harness.query_by_label("Head effects figure").is_some();
    assert!(!figure(&harness), "it lies behind all heads");
    press(&mut harness, "Head effects");
    until(&mut harness, "every head was tried", |app| is_answered(app, "all_pairs=false"));
    // A network this small is wrong: of that there is a sentence instead of a figure.
    assert!(!figure(&harness));
    assert!(harness.query_by_label_contains("No pair counts at this step").is_some());
    // Its controls change what is asked: by a switch and by a choice.
    click(&mut harness, Role::CheckBox, "Wrong ones too");
    click(&mut harness, Role::ComboBox, "Effect");
    press(&mut harness, "how far predictions move apart (kl)");
    let asked = "metric=\"kl\",pairs=32,all_pairs=true";
    until(&mut harness, "every head was tried", |app| is_answered(app, asked));
    assert!(figure(&harness));
    // What is only drawn asks nothing.
    let started = harness.state().lab.analyses.started;
    click(&mut harness, Role::CheckBox, "Largest first");
    std::thread::sleep(Duration::from_millis(300));
    harness.step();
    harness.step();
    assert_eq!(harness.state().lab.analyses.started, started);
    assert!(figure(&harness));
    press(&mut harness, "Refresh the answer");
    until(&mut harness, "it was asked again", |app| {
        app.lab.analyses.started == started + 1 && is_answered(app, asked)
    });
    // Its form has the settings that stand above the picture and the others.
    press(&mut harness, "Settings of Head effects");
    assert!(harness.query_by_role_and_label(Role::CheckBox, "sorted").is_some());
    assert!(harness.query_by_role_and_label(Role::TextInput, "pair").is_some());
    assert!(harness.state().lab.troubles.is_empty(), "{:?}", harness.state().lab.troubles);
}
