//! How columns are encoded: deltas for numbers and times, dictionaries for values, statistics where queries filter.

use std::sync::Arc;

use arrow_schema::Schema;
use parquet::{
    arrow::{ArrowSchemaConverter, arrow_writer::ArrowWriterOptions},
    basic::{Encoding, LogicalType, Type as PhysicalType},
    errors::ParquetError,
    file::properties::{EnabledStatistics, WriterPropertiesBuilder},
    schema::types::{ColumnDescPtr, SchemaDescriptor, Type, TypePtr},
};
use tidemark_records::segments::Label;

use super::{
    KIND, describe,
    layout::{Companion, Layout, Own},
};

/// Above this a dictionary is given up for the column's other encoding.
const DICTIONARY_BYTES: usize = 256 << 10;

/// The same for integers, which deltas or plain bytes store as shortly once there are many.
const INTEGER_DICTIONARY_BYTES: usize = 64 << 10;

/// Options of the Parquet writer for this layout: no Arrow schema in the file (the Parquet types say everything), UUIDs
/// with their logical type, encodings by column.
pub(super) fn writer_options(layout: &Layout) -> Result<ArrowWriterOptions, ParquetError> {
    let schema = parquet_schema(layout.schema())?;
    let (object, described) = (describe::object(layout), describe::schema(layout));
    let label = Label { format: layout.format(), kind: KIND, object: &object, schema: &described };
    let mut properties = label.properties()?;
    for (i, column) in schema.columns().iter().enumerate() {
        properties = column_properties(properties, column, id(schema.get_column_root(i)), layout);
    }
    let options = ArrowWriterOptions::new().with_properties(properties.build());
    Ok(options.with_skip_arrow_metadata(true).with_parquet_schema(schema))
}

fn column_properties(
    properties: WriterPropertiesBuilder,
    column: &ColumnDescPtr,
    root: Option<u32>,
    layout: &Layout,
) -> WriterPropertiesBuilder {
    let path = column.path().clone();
    // Parts of composite values have no ids.
    let id = id(column.self_type()).or(root).unwrap_or_default();
    let value = id >= 16 && is_value(id % 16);
    let properties = match fallback(column.physical_type()) {
        Some(encoding) => properties.set_column_encoding(path.clone(), encoding),
        None => properties,
    };
    let is_integer = matches!(column.physical_type(), PhysicalType::INT32 | PhysicalType::INT64);
    let dictionary_bytes = if is_integer { INTEGER_DICTIONARY_BYTES } else { DICTIONARY_BYTES };
    let properties = properties.set_column_dictionary_page_size_limit(path.clone(), dictionary_bytes);
    let unique = column.logical_type_ref().is_some_and(is_time) || layout.clustering.iter().any(|c| c.id == id / 16);
    let properties = properties.set_column_dictionary_enabled(path.clone(), value && !unique || is_ttl(id));
    let filtered = value || id == Own::Token as u32;
    let statistics = if filtered { EnabledStatistics::Chunk } else { EnabledStatistics::None };
    properties.set_column_statistics_enabled(path, statistics)
}

fn id(of: &Type) -> Option<u32> {
    let info = of.get_basic_info();
    info.has_id().then(|| info.id().cast_unsigned())
}

fn is_value(companion: u32) -> bool {
    [Companion::Value, Companion::Path, Companion::CellValue].iter().any(|kind| *kind as u32 == companion)
}

/// TTLs are few.
fn is_ttl(id: u32) -> bool {
    id == Own::RowTtl as u32 || id >= 16 && id % 16 == Companion::Ttl as u32
}

fn is_time(logical: &LogicalType) -> bool {
    matches!(logical, LogicalType::Timestamp { .. })
}

fn fallback(physical: PhysicalType) -> Option<Encoding> {
    match physical {
        PhysicalType::INT32 | PhysicalType::INT64 => Some(Encoding::DELTA_BINARY_PACKED),
        PhysicalType::BYTE_ARRAY => Some(Encoding::DELTA_LENGTH_BYTE_ARRAY),
        _ => None,
    }
}

fn parquet_schema(schema: &Schema) -> Result<SchemaDescriptor, ParquetError> {
    let converted = ArrowSchemaConverter::new().convert(schema)?;
    Ok(SchemaDescriptor::new(with_uuids(&converted.root_schema_ptr())?))
}

/// The type with every 16-byte array marked as a UUID: segments have no others.
fn with_uuids(of: &TypePtr) -> Result<TypePtr, ParquetError> {
    let info = of.get_basic_info();
    if of.is_primitive() {
        return if of.get_physical_type() == PhysicalType::FIXED_LEN_BYTE_ARRAY { uuid(of) } else { Ok(of.clone()) };
    }
    let fields = of.get_fields().iter().map(with_uuids).collect::<Result<_, _>>()?;
    let mut builder = Type::group_type_builder(info.name())
        .with_fields(fields)
        .with_converted_type(info.converted_type())
        .with_logical_type(info.logical_type_ref().cloned())
        .with_id(info.has_id().then(|| info.id()));
    if info.has_repetition() {
        builder = builder.with_repetition(info.repetition());
    }
    builder.build().map(Arc::new)
}

fn uuid(of: &TypePtr) -> Result<TypePtr, ParquetError> {
    let info = of.get_basic_info();
    Type::primitive_type_builder(info.name(), PhysicalType::FIXED_LEN_BYTE_ARRAY)
        .with_length(16)
        .with_repetition(info.repetition())
        .with_logical_type(Some(LogicalType::Uuid))
        .with_id(info.has_id().then(|| info.id()))
        .build()
        .map(Arc::new)
}
