//! What becomes of a number that does not fit.

use mnemoscope::base::convert::{
    byte, count, id, index, integer, low_half, low_word, narrow, natural, share, short, size, whole,
};

#[test]
fn half_the_precision_is_the_nearest() {
    assert_eq!(narrow(0.1), 0.1);
    assert_eq!(narrow(1e300), f32::INFINITY);
    assert_eq!(narrow(-1e300), f32::NEG_INFINITY);
    assert!(narrow(f64::NAN).is_nan());
}

#[test]
fn a_whole_number_is_cut_towards_zero() {
    assert_eq!((index(2.9), index(2.9_f32), count(2.9)), (2, 2, 2));
    assert_eq!((natural(2.9), short(2.9), byte(2.9)), (2, 2, 2));
    assert_eq!((integer(-2.9), whole(-2.9_f32)), (-2, -2));
}

#[test]
fn beyond_the_kind_is_its_nearest_number() {
    assert_eq!((index(-1.0), count(-1.0), natural(-1.0), short(-1.0), byte(-1.0)), (0, 0, 0, 0, 0));
    assert_eq!((index(f64::INFINITY), count(f32::INFINITY)), (usize::MAX, u64::MAX));
    assert_eq!((natural(1e10), short(1e10), byte(1e10)), (u32::MAX, u16::MAX, u8::MAX));
    assert_eq!((integer(1e10), integer(-1e10)), (i32::MAX, i32::MIN));
    assert_eq!((whole(1e30), whole(f32::NEG_INFINITY)), (i64::MAX, i64::MIN));
    assert_eq!((id(7), id(usize::MAX), size(7)), (7, u32::MAX, 7));
}

#[test]
fn what_is_no_number_is_zero() {
    let nan = f64::NAN;
    assert_eq!((index(nan), count(nan), natural(nan), short(nan), byte(nan)), (0, 0, 0, 0, 0));
    assert_eq!((integer(nan), whole(nan)), (0, 0));
}

#[test]
fn bits_are_taken_from_below() {
    assert_eq!(low_half(0x1234_5678_9abc_def0), 0x9abc_def0);
    assert_eq!(low_word((7 << 64) | 5), 5);
}

#[test]
fn shares_are_even_and_stay_below_their_count() {
    assert_eq!((share(0, 10), share(u64::MAX, 10)), (0, 9));
    assert_eq!((share(1 << 63, 10), share(u64::MAX, 0)), (5, 0));
}
