//! The plain pre-norm transformer.
