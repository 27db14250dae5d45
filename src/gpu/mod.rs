//! The graphics processor: shaders that compute and draw.
