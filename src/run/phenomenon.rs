//! When an experiment shows what it is about, as its document says it.

use toml::{Table, Value};

use crate::base::error::{Error, Result};

use super::lesson::{Lesson, check_keys};

/// When an experiment shows what it is about.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Phenomenon {
    /// Which of its lessons shows it, counted from 1.
    pub lesson: usize,
    /// The step at which it is there.
    pub step: u64,
    /// Seconds of training until then, on two cores.
    pub seconds: u64,
}

impl Phenomenon {
    /// # Errors
    /// When a key is missing or unknown, or is no number from 0 on.
    pub fn read(value: &Value) -> Result<Self> {
        let wrong = || {
            Error::usage(format!(
                "phenomenon = {value}: expected whole numbers from 0 on, such as phenomenon = {{ lesson = 3, step = 230, seconds = 12 }}"
            ))
        };
        let table = value.as_table().ok_or_else(wrong)?;
        check_keys("phenomenon", table, &["lesson", "step", "seconds"])?;
        let whole = |key: &str| {
            let number = table.get(key).and_then(Value::as_integer);
            number.and_then(|number| u32::try_from(number).ok()).ok_or_else(wrong)
        };
        Ok(Self {
            lesson: whole("lesson")? as usize,
            step: whole("step")?.into(),
            seconds: whole("seconds")?.into(),
        })
    }

    /// # Errors
    /// When there is no such lesson.
    pub fn check(&self, lessons: &[Lesson]) -> Result<()> {
        if (1..=lessons.len()).contains(&self.lesson) {
            return Ok(());
        }
        let (said, count) = (self.lesson, lessons.len());
        Err(Error::usage(format!(
            "phenomenon: lesson = {said}, and there are {count} lessons, counted from 1"
        )))
    }

    pub fn to_value(self) -> Value {
        let whole = |number: u64| Value::Integer(i64::try_from(number).unwrap_or(i64::MAX));
        let numbers = [self.lesson as u64, self.step, self.seconds].map(whole);
        let keys = ["lesson", "step", "seconds"].map(str::to_owned);
        Value::Table(Table::from_iter(keys.into_iter().zip(numbers)))
    }
}
