//! The worked examples compile, run and check themselves.

#[path = "../../examples/add_task.rs"]
mod add_task;

#[test]
fn a_task_is_added_as_the_documentation_says() {
    add_task::main().unwrap();
}
