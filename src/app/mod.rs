//! The roof: the window.
