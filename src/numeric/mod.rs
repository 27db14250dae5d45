//! Numbers worked on without any network: projections, correlations, small pictures of large patterns.

pub mod correlation;
pub mod geometry;
pub mod pattern;
