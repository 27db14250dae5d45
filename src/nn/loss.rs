//! Cross-entropy.
