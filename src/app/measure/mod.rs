//! What the window is measured by, and what it gives to those outside: pictures of it, how far it has come, how often it draws.

pub mod pace;
pub mod pacing;
pub mod screenshot;
pub mod stopwatch;
