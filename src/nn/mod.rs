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

use crate::base::error::{Error, Kind};

impl From<candle_core::Error> for Error {
    fn from(e: candle_core::Error) -> Self {
        Self::new(Kind::Internal, e.to_string())
    }
}
