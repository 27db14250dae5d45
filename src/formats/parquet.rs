//! A table of named columns as a Parquet file.

use std::sync::Arc;

use parquet::basic::{Compression, LogicalType, Repetition, Type as Physical};
use parquet::data_type::{BoolType, ByteArray, ByteArrayType, DataType, DoubleType, Int64Type};
use parquet::errors::ParquetError;
use parquet::file::metadata::KeyValue;
use parquet::file::properties::WriterProperties;
use parquet::file::writer::{SerializedFileWriter, SerializedRowGroupWriter};
use parquet::schema::types::{Type, TypePtr};

use super::columns::{Columns, Values};
use crate::base::error::{Error, Result};

/// One row group: every column optional, `INT64`, `DOUBLE`, `BOOLEAN` or UTF-8 `BYTE_ARRAY`, not compressed. `notes` go
/// into its metadata. The same table gives the same bytes.
///
/// # Errors
/// When a name is there twice.
pub fn parquet(columns: &Columns, notes: &[(&str, String)]) -> Result<Vec<u8>> {
    written(columns, notes)
        .map_err(|e| Error::internal(format!("writing Parquet: {e}")).caused_by(e))
}

fn written(columns: &Columns, notes: &[(&str, String)]) -> Result<Vec<u8>, ParquetError> {
    let note = |(key, value): &(&str, String)| KeyValue::new((*key).to_owned(), value.clone());
    let properties = WriterProperties::builder()
        .set_compression(Compression::UNCOMPRESSED)
        .set_created_by(format!("mnemoscope {}", env!("CARGO_PKG_VERSION")))
        .set_key_value_metadata(Some(notes.iter().map(note).collect()))
        .build();
    let mut bytes = Vec::new();
    let schema = Arc::new(schema(columns)?);
    let mut file = SerializedFileWriter::new(&mut bytes, schema, Arc::new(properties))?;
    let mut group = file.next_row_group()?;
    for (_, values) in &columns.0 {
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
}

fn schema(columns: &Columns) -> Result<Type, ParquetError> {
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
    let fields = columns.0.iter().map(field).collect::<Result<Vec<_>, _>>()?;
    Type::group_type_builder("schema").with_fields(fields).build()
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
