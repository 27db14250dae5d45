//! From recorded runs to finished files: figure sheets, what their panels show, films of many steps.
//!
//! A [`sheet::Sheet`] says what is drawn, a [`gallery::Gallery`] asks the runs and hangs a [`plate::Plate`] for each panel,
//! [`plate::compose`] puts them on a page, [`files`] writes it with its numbers and its provenance beside it; [`answers`]
//! writes what probes and inquiries found.

pub mod answers;
pub mod files;
pub mod film;
pub mod gallery;
pub mod plate;
pub mod run_at;
pub mod sheet;
