//! The graphics processor: shaders that compute and draw, and which device runs them.

pub mod cloud;
pub mod device;
pub mod flat;
pub mod projection;
