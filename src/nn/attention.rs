//! Causal attention.
