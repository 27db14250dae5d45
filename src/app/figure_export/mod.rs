//! Figures on their way out of the window: what a panel shows taken down, and the page that it goes on.

pub mod clipboard;
pub mod editor;
pub mod snapshot;
