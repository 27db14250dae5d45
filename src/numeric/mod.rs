//! Numbers worked on without any network: projections, groups of points, correlations, small pictures of large patterns.

pub mod clusters;
pub mod correlation;
pub mod eigen;
pub mod formula;
pub mod geometry;
pub mod grid;
pub mod matching;
pub mod pattern;
pub mod regression;
