//! Numbers of one kind made into another that cannot hold them all: what becomes of the rest is said here, and only here.
//!
//! Whole numbers of a float are cut towards zero; what lies beyond the kind becomes its nearest number, and NaN becomes 0.

/// Half the precision: the nearest `f32`. Beyond the largest it is infinite, and NaN stays NaN.
#[inline]
#[expect(clippy::cast_possible_truncation, reason = "rounded, as it says")]
pub fn narrow(x: f64) -> f32 {
    x as f32
}

/// A place in a list, or how many.
#[inline]
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "saturates")]
pub fn index(x: impl Into<f64>) -> usize {
    x.into() as usize
}

/// A step, or how many of what may be more than memory holds.
#[inline]
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "saturates")]
pub fn count(x: impl Into<f64>) -> u64 {
    x.into() as u64
}

/// Pixels, or bits in a row.
#[inline]
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "saturates")]
pub fn natural(x: impl Into<f64>) -> u32 {
    x.into() as u32
}

/// A number in the head of a file.
#[inline]
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "saturates")]
pub fn short(x: impl Into<f64>) -> u16 {
    x.into() as u16
}

/// Part of a colour.
#[inline]
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "saturates")]
pub fn byte(x: impl Into<f64>) -> u8 {
    x.into() as u8
}

/// A power of ten.
#[inline]
#[expect(clippy::cast_possible_truncation, reason = "saturates")]
pub fn integer(x: impl Into<f64>) -> i32 {
    x.into() as i32
}

/// A whole number of either sign.
#[inline]
#[expect(clippy::cast_possible_truncation, reason = "saturates")]
pub fn whole(x: impl Into<f64>) -> i64 {
    x.into() as i64
}

/// A token, or another thing of which there are fewer than 2^32; of more it is the largest, which is none of them.
#[inline]
pub fn id(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}

/// How many that are to lie in memory; of more than it can hold, as many as it can.
#[inline]
pub fn size(n: u64) -> usize {
    usize::try_from(n).unwrap_or(usize::MAX)
}

/// A random number spread evenly over `0..count`.
#[inline]
pub fn share(random: u64, count: usize) -> usize {
    size(((u128::from(random) * count as u128) >> 64) as u64)
}

/// The lower half of the bits.
#[inline]
pub fn low_word(n: u128) -> u64 {
    (n & 0xffff_ffff_ffff_ffff) as u64
}

/// The lower half of the bits.
#[inline]
pub fn low_half(n: u64) -> u32 {
    (n & 0xffff_ffff) as u32
}
