//! The worked examples compile, run and check themselves.

#[path = "../../examples/add_model.rs"]
mod add_model;
#[path = "../../examples/add_panel.rs"]
mod add_panel;
#[path = "../../examples/add_probe.rs"]
mod add_probe;
#[path = "../../examples/add_task.rs"]
pub mod add_task;

#[test]
fn a_task_is_added_as_the_documentation_says() {
    add_task::main().unwrap();
}

#[test]
fn a_probe_is_added_as_the_documentation_says() {
    add_probe::main().unwrap();
}

#[test]
fn a_panel_is_added_as_the_documentation_says() {
    add_panel::main().unwrap();
}

#[test]
fn a_model_is_added_as_the_documentation_says() {
    add_model::main().unwrap();
}
