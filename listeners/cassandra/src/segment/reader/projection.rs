//! The columns of a file that are those of a layout, by field id and type.

use arrow_schema::{DataType, Field, Fields, SchemaRef};
use parquet::arrow::{PARQUET_FIELD_ID_META_KEY, ProjectionMask, arrow_reader::ArrowReaderMetadata};

use super::ReadError;

/// Which of the file's columns are read, and where each of the layout's is in a batch.
pub(super) struct Projection {
    pub(super) mask: ProjectionMask,
    pub(super) places: Vec<Option<usize>>,
}

impl Projection {
    pub(super) fn of(metadata: &ArrowReaderMetadata, asked: &SchemaRef, file: &str) -> Result<Self, ReadError> {
        let mut roots = Vec::with_capacity(asked.fields().len());
        for field in asked.fields() {
            roots.push(find(metadata.schema().fields(), field, file)?);
        }
        let mut read: Vec<usize> = roots.iter().flatten().copied().collect();
        read.sort_unstable();
        let places = roots.iter().map(|root| root.and_then(|root| read.binary_search(&root).ok())).collect();
        Ok(Self { mask: ProjectionMask::roots(metadata.parquet_schema(), read), places })
    }
}

/// The file's column of this field's id and type; `None` where there is none.
fn find(fields: &Fields, asked: &Field, file: &str) -> Result<Option<usize>, ReadError> {
    let refuse = |reason| ReadError::Column { file: file.to_owned(), column: asked.name().clone(), reason };
    let mut found = fields.iter().enumerate().filter(|(_, field)| field_id(field) == field_id(asked));
    let Some((root, field)) = found.next() else { return Ok(None) };
    if found.next().is_some() {
        return Err(refuse("the file has the column twice".to_owned()));
    }
    if !same_type(field.data_type(), asked.data_type()) {
        return Err(refuse(format!("the file has {}, asked for {}", field.data_type(), asked.data_type())));
    }
    Ok(Some(root))
}

fn field_id(field: &Field) -> Option<&str> {
    field.metadata().get(PARQUET_FIELD_ID_META_KEY).map(String::as_str)
}

/// Equal but for names and nullability; nested fields by their ids, in order. Parts of values have no ids, and a user-defined
/// type may have got more of them since.
fn same_type(found: &DataType, asked: &DataType) -> bool {
    let same_field = |a: &Field, b: &Field| field_id(a) == field_id(b) && same_type(a.data_type(), b.data_type());
    match (found, asked) {
        (DataType::List(found), DataType::List(asked)) => same_field(found, asked),
        (DataType::Struct(found), DataType::Struct(asked)) => {
            let grown = found.len() < asked.len() && asked.iter().all(|field| field_id(field).is_none());
            (found.len() == asked.len() || grown) && found.iter().zip(asked).all(|(a, b)| same_field(a, b))
        }
        _ => found == asked,
    }
}
