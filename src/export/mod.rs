//! From recorded runs to finished files: figure sheets, what their panels show, films of many steps.
//!
//! A [`sheet::Sheet`] says what is drawn, a [`runner::Gallery`] asks the runs and hangs a [`drawn panel::Plate`] for each panel,
//! [`drawn panel::compose`] puts them on a page, [`files`] writes it with its numbers and its provenance beside it; [`answers`]
//! writes what measurements and analyses found, [`study`] what studies did.

pub mod against;
pub mod answers;
pub mod drawn_panel;
pub mod files;
pub mod film;
pub mod run_at;
pub mod sheet;
pub mod sheet_runner;
pub mod still;
pub mod study;
