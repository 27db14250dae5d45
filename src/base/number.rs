//! Numbers as a person types them: with a decimal point or one decimal comma, and a sentence for what is neither.

use std::fmt;

/// What a number may be: from the smallest to the largest, both allowed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bounds {
    pub low: f64,
    pub high: f64,
    pub whole: bool,
}

impl Bounds {
    pub fn takes(self, x: f64) -> bool {
        (self.low..=self.high).contains(&x) && (!self.whole || x.fract() == 0.0)
    }

    /// Reads a number that is within.
    ///
    /// # Errors
    /// What was read and what was expected, when it is no number, may be two, or is not within.
    pub fn read(self, text: &str) -> Result<f64, String> {
        match read(text) {
            Ok(x) if self.takes(x) => Ok(x),
            Err(either @ Misread::Either(..)) => Err(format!("read \"{}\": {either}", text.trim())),
            Ok(_) | Err(Misread::Neither) => {
                Err(format!("read \"{}\", expected {self}", text.trim()))
            }
        }
    }
}

impl fmt::Display for Bounds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = if self.whole { "a whole number" } else { "a number" };
        write!(f, "{what} from {} to {}", self.low, self.high)
    }
}

/// Why a text is not one number.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Misread {
    Neither,
    /// Its comma may stand before the decimals or between thousands.
    Either(f64, f64),
}

impl fmt::Display for Misread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Neither => f.write_str("that is no number"),
            Self::Either(decimal, thousands) => write!(
                f,
                "that is {decimal} where a comma begins the decimals and {thousands} where it stands between thousands; write one of these two"
            ),
        }
    }
}

/// Reads a finite number: `0.25`, `0,25`, `1,5e-3`, `1 000`. One comma is a decimal comma, unless it may as well stand between
/// thousands, as in `1,000`.
///
/// # Errors
/// When it is no number, or may be two.
pub fn read(text: &str) -> Result<f64, Misread> {
    let text = ungrouped(text.trim()).ok_or(Misread::Neither)?;
    let Some((before, after)) = text.split_once(',') else { return plain_number(&text) };
    let decimal = plain_number(&format!("{before}.{after}"))?;
    if !may_be_thousands(before, after) {
        return Ok(decimal);
    }
    Err(Misread::Either(decimal, plain_number(&format!("{before}{after}"))?))
}

/// `1,234`: one to three digits, not from 0 on, and then three.
fn may_be_thousands(before: &str, after: &str) -> bool {
    let whole = before.trim_start_matches(['+', '-']);
    let decimals = after.split(['e', 'E']).next().unwrap_or(after);
    (1..=3).contains(&whole.len()) && !whole.starts_with('0') && decimals.len() == 3
}

/// The text with a plain minus, and without the spaces between its thousands.
fn ungrouped(text: &str) -> Option<String> {
    let text = text.replace('\u{2212}', "-");
    let mut groups = text.split([' ', '\u{a0}', '\u{2009}', '\u{202f}']);
    let mut whole = groups.next()?.to_owned();
    for group in groups {
        let digits = group.chars().take_while(char::is_ascii_digit).count();
        if digits != 3 || !whole.ends_with(|c: char| c.is_ascii_digit()) {
            return None;
        }
        whole += group;
    }
    Some(whole)
}

/// As Rust reads it, without the words that it takes for numbers.
fn plain_number(text: &str) -> Result<f64, Misread> {
    let known = |c: char| c.is_ascii_digit() || ".+-eE".contains(c);
    let number = text.chars().all(known).then(|| text.parse().ok()).flatten();
    number.filter(|x: &f64| x.is_finite()).ok_or(Misread::Neither)
}

/// As short as it can be and exactly, so that it is read back as the same number.
pub fn spelled(x: f64) -> String {
    let size = x.abs();
    if size != 0.0 && !(1e-4..1e12).contains(&size) { format!("{x:e}") } else { x.to_string() }
}

/// A number of half the precision as a person wrote it: 7.3, and not 7.300000190734863.
pub fn widened(x: f32) -> f64 {
    x.to_string().parse().unwrap_or(f64::from(x))
}
