//! Character statistics of a text.
