//! Pictures on the screen: what is drawn of a figure, and what was picked in it. What that means is said elsewhere.

pub mod background;
pub mod cloud;
pub mod gpu_cloud;
pub mod paint;
pub mod software;
pub mod theme;

use crate::figure::Pick;

/// Screen units in one point of a scene: 96 to the inch on a screen, 72 on paper.
pub const UNITS_PER_POINT: f32 = 96.0 / 72.0;

/// Something in a picture was clicked; with Shift, it is the key position that is meant.
#[derive(Clone, Debug, PartialEq)]
pub struct Picked {
    pub pick: Pick,
    pub shift: bool,
}
