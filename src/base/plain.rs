//! Numbers as a person reads them: no zero has a sign, and none is a row of digits.

use std::fmt;

/// A number that is printed without a minus sign where nothing but zeros would follow it: `{:.3}` of -0.0001 is `0.000`. Where
/// digits are asked for, one of a thousand million or more has an exponent: `2.004e12`.
#[derive(Clone, Copy, Debug)]
pub struct Plain(pub f64);

impl fmt::Display for Plain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        /// More digits before the point than anybody reads.
        const LONG: f64 = 1e9;
        let text = match f.precision() {
            Some(_) if self.0.is_finite() && self.0.abs() >= LONG => {
                return fmt::LowerExp::fmt(&self.0, f);
            }
            Some(digits) => format!("{:.digits$}", self.0),
            None => self.0.to_string(),
        };
        let is_zero = text.bytes().all(|byte| matches!(byte, b'-' | b'0' | b'.'));
        fmt::Display::fmt(if is_zero { &0.0 } else { &self.0 }, f)
    }
}
