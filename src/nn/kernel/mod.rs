//! Fused CPU kernels.
