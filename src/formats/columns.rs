//! A table of named columns, and its two spellings: CSV and Parquet.

use std::sync::Arc;

use parquet::basic::{Compression, LogicalType, Repetition, Type as Physical};
use parquet::data_type::{BoolType, ByteArray, ByteArrayType, DataType, DoubleType, Int64Type};
use parquet::errors::ParquetError;
use parquet::file::metadata::KeyValue;
use parquet::file::properties::WriterProperties;
use parquet::file::writer::{SerializedFileWriter, SerializedRowGroupWriter};
use parquet::schema::types::{Type, TypePtr};

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

    /// A Parquet file of one row group: every column optional, `INT64`, `DOUBLE`, `BOOLEAN` or UTF-8 `BYTE_ARRAY`,
    /// not compressed. `notes` go into its metadata. The same table gives the same bytes.
    ///
    /// # Errors
    /// When a name is there twice.
    pub fn parquet(&self, notes: &[(&str, String)]) -> Result<Vec<u8>> {
        let note = |(key, value): &(&str, String)| KeyValue::new((*key).to_owned(), value.clone());
        let properties = WriterProperties::builder()
            .set_compression(Compression::UNCOMPRESSED)
            .set_created_by(format!("mnemoscope {}", env!("CARGO_PKG_VERSION")))
            .set_key_value_metadata(Some(notes.iter().map(note).collect()))
            .build();
        let write = || -> Result<Vec<u8>, ParquetError> {
            let mut bytes = Vec::new();
            let schema = Arc::new(self.schema()?);
            let mut file = SerializedFileWriter::new(&mut bytes, schema, Arc::new(properties))?;
            let mut group = file.next_row_group()?;
            for (_, values) in &self.0 {
                match values {
                    Values::Text(v) => {
                        let bytes = |text: &Option<String>| text.as_deref().map(ByteArray::from);
                        let bytes: Vec<_> = v.iter().map(bytes).collect();
                        column::<ByteArrayType>(&mut group, &bytes)?;
                    }
                    Values::Whole(v) => column::<Int64Type>(&mut group, v)?,
                    Values::Number(v) => column::<DoubleType>(&mut group, v)?,
                    Values::Truth(v) => column::<BoolType>(&mut group, v)?,
                }
            }
            group.close()?;
            file.close()?;
            Ok(bytes)
        };
        write().map_err(|e| Error::internal(format!("writing Parquet: {e}")).caused_by(e))
    }

    fn schema(&self) -> Result<Type, ParquetError> {
        let field = |(name, values): &(String, Values)| -> Result<TypePtr, ParquetError> {
            let (physical, logical) = match values {
                Values::Text(_) => (Physical::BYTE_ARRAY, Some(LogicalType::String)),
                Values::Whole(_) => (Physical::INT64, None),
                Values::Number(_) => (Physical::DOUBLE, None),
                Values::Truth(_) => (Physical::BOOLEAN, None),
            };
            let built = Type::primitive_type_builder(name, physical)
                .with_repetition(Repetition::OPTIONAL)
                .with_logical_type(logical)
                .build()?;
            Ok(Arc::new(built))
        };
        let fields = self.0.iter().map(field).collect::<Result<Vec<_>, _>>()?;
        Type::group_type_builder("schema").with_fields(fields).build()
    }
}

/// Writes the next column of a row group: the values that are there, and a level of 1 for each of them.
fn column<T: DataType>(
    group: &mut SerializedRowGroupWriter<'_, &mut Vec<u8>>,
    values: &[Option<T::T>],
) -> Result<(), ParquetError> {
    let there: Vec<T::T> = values.iter().flatten().cloned().collect();
    let levels: Vec<i16> = values.iter().map(|value| i16::from(value.is_some())).collect();
    let Some(mut writer) = group.next_column()? else {
        return Err(ParquetError::General("there are more columns than the schema has".to_owned()));
    };
    writer.typed::<T>().write_batch(&there, Some(&levels), None)?;
    writer.close()
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
