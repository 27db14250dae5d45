//! Single-threaded kernels on slices of `f32`, and the one pool of threads that runs them shard by shard.

pub mod activation;
pub mod attention;
pub mod cross_entropy;
pub mod lanes;
pub mod mask;
pub mod matrix;
pub mod normalize;
pub mod pool;
pub mod recurrent;
pub mod slice;
pub mod squared_error;
pub mod update;
