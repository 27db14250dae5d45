//! In-context bigrams among global ones.
