//! The worked examples compile, run and check themselves.

#[path = "../../examples/add_model.rs"]
mod add_model;
#[path = "../../examples/add_panel.rs"]
mod add_panel;
#[path = "../../examples/add_probe.rs"]
mod add_probe;
#[path = "../../examples/add_task.rs"]
pub mod add_task;
#[path = "../../examples/memory_tokens.rs"]
pub mod memory_tokens;
#[path = "../../examples/recurrent.rs"]
pub mod recurrent;

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

#[test]
fn a_recurrent_network_trains_on_the_tape() {
    recurrent::main().unwrap();
}

#[test]
fn a_network_with_memory_tokens_trains_in_segments() {
    memory_tokens::main().unwrap();
}
