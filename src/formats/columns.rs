//! A table of named columns, and its spelling as CSV; as Parquet: [`super::parquet`].

use crate::base::error::{Error, Result};
use crate::base::plain::Plain;

/// Values of a column; `None` where there is none.
#[derive(Clone, Debug, PartialEq)]
pub enum Values {
    Text(Vec<Option<String>>),
    Whole(Vec<Option<i64>>),
    Number(Vec<Option<f64>>),
    Truth(Vec<Option<bool>>),
}

impl Values {
    pub fn len(&self) -> usize {
        match self {
            Self::Text(v) => v.len(),
            Self::Whole(v) => v.len(),
            Self::Number(v) => v.len(),
            Self::Truth(v) => v.len(),
        }
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The cell of a row as text; numbers with the shortest digits that read back as the same.
    fn text(&self, row: usize) -> String {
        fn spell<T: ToString>(values: &[Option<T>], row: usize) -> String {
            values.get(row).and_then(Option::as_ref).map_or_else(String::new, T::to_string)
        }
        match self {
            Self::Text(v) => harmless(&spell(v, row)),
            Self::Whole(v) => spell(v, row),
            Self::Number(v) => {
                v.get(row).copied().flatten().map_or_else(String::new, |v| Plain(v).to_string())
            }
            Self::Truth(v) => spell(v, row),
        }
    }

    /// The column as numbers, NaN where there is none; `None` where it holds no numbers.
    pub fn numbers(&self) -> Option<Vec<f64>> {
        match self {
            Self::Number(v) => Some(v.iter().map(|v| v.unwrap_or(f64::NAN)).collect()),
            Self::Whole(v) => Some(v.iter().map(|v| v.map_or(f64::NAN, |v| v as f64)).collect()),
            Self::Text(_) | Self::Truth(_) => None,
        }
    }
}

/// Named columns of the same length.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Columns(pub Vec<(String, Values)>);

fn wrong(e: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::internal(format!("writing CSV: {e}")).caused_by(e)
}

impl Columns {
    pub fn rows(&self) -> usize {
        self.0.first().map_or(0, |(_, values)| values.len())
    }

    pub fn get(&self, name: &str) -> Option<&Values> {
        self.0.iter().find(|(n, _)| n == name).map(|(_, values)| values)
    }

    /// A header and a line a row; an empty cell where there is no value.
    ///
    /// # Errors
    /// Only when there is no memory.
    pub fn csv(&self) -> Result<Vec<u8>> {
        let mut writer = csv::Writer::from_writer(Vec::new());
        let header = self.0.iter().map(|(name, _)| harmless(name));
        writer.write_record(header).map_err(wrong)?;
        for row in 0..self.rows() {
            let cells = self.0.iter().map(|(_, values)| values.text(row));
            writer.write_record(cells).map_err(wrong)?;
        }
        writer.into_inner().map_err(wrong)
    }
}

/// Text that no spreadsheet takes for a formula.
pub fn harmless(text: &str) -> String {
    match text.chars().next() {
        // The last four are the wide forms of the first, which spreadsheets of East Asia take for the same.
        Some('=' | '+' | '-' | '@' | '\t' | '\r' | '\n' | '＝' | '＋' | '－' | '＠') => {
            format!("'{text}")
        }
        _ => text.to_owned(),
    }
}
