//! Parts of networks on candle: parameters, taps, layers with hand-written kernels, losses, optimisers.

pub mod activation;
pub mod attention;
pub mod edit;
pub mod kernel;
pub mod linear;
pub mod loss;
pub mod norm;
pub mod optim;
pub mod params;
pub mod position;
pub mod tap;
pub mod tape;
pub mod wire;

use std::panic::Location;

use crate::base::error::{Error, without_build_paths};

impl From<candle_core::Error> for Error {
    /// What candle says, and where in our sources it was asked: its own text names neither the layer nor the tensor.
    #[track_caller]
    fn from(e: candle_core::Error) -> Self {
        let place = Location::caller();
        let text = format!("{} (at {}:{})", said(&e), place.file(), place.line());
        Self::internal(without_build_paths(&text)).caused_by(e)
    }
}

/// What an error of candle says, without a backtrace.
pub fn said(e: &candle_core::Error) -> String {
    use candle_core::Error::{Context, WithBacktrace, WithPath};
    if let WithBacktrace { inner, .. } = e {
        said(inner)
    } else if let Context { inner, context } = e {
        format!("{context}: {}", said(inner))
    } else if let WithPath { inner, path } = e {
        format!("{}: {}", path.display(), said(inner))
    } else {
        e.to_string()
    }
}
