//! How the columns of one file map to those of the table's schema.

use super::Error;
use super::header::{Bases, Header, HeaderColumn};
use crate::model::ColumnIndex;
use crate::schema::{Column, TableSchema, storage_order};
use crate::types::CqlType;

/// What becomes of a column's cells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Target {
    /// The column was dropped: its cells are skipped.
    Skip,
    /// The column of the schema, and when a column of this name was dropped (µs): older cells are skipped.
    Keep(ColumnIndex, Option<i64>),
}

/// A column of the file.
#[derive(Debug)]
pub(super) struct FileColumn {
    pub(super) cql_type: CqlType,
    /// Length of its values where it is fixed (columns of one cell only).
    pub(super) fixed_length: Option<usize>,
    pub(super) is_complex: bool,
    pub(super) target: Target,
}

/// What the rows of one file look like.
#[derive(Debug)]
pub(super) struct Layout {
    pub(super) bases: Bases,
    /// Lengths of clustering values where they are fixed.
    pub(super) clustering: Vec<Option<usize>>,
    pub(super) statics: Vec<FileColumn>,
    pub(super) regulars: Vec<FileColumn>,
}

impl Layout {
    /// Maps the header's columns to the schema's by name and compares the keys' types.
    pub(super) fn new(file: &str, header: Header, schema: &TableSchema) -> Result<Self, Error> {
        check_key(file, &header, schema)?;
        check_clustering(file, &header, schema)?;
        let clustering = header.clustering.iter().map(|column| column.cql_type.fixed_length()).collect();
        let statics = columns(file, header.statics, &schema.statics, &schema.regulars, schema)?;
        let regulars = columns(file, header.regulars, &schema.regulars, &schema.statics, schema)?;
        Ok(Self { bases: header.bases, clustering, statics, regulars })
    }
}

fn check_key(file: &str, header: &Header, schema: &TableSchema) -> Result<(), Error> {
    let fits = header.key.len() == schema.partition_key.len()
        && header.key.iter().zip(&schema.partition_key).all(|(ours, column)| ours.is_readable_as(&column.cql_type));
    if fits { Ok(()) } else { Err(Error::schema(file, "its partition key has other types")) }
}

fn check_clustering(file: &str, header: &Header, schema: &TableSchema) -> Result<(), Error> {
    let fits = header.clustering.len() == schema.clustering.len()
        && header.clustering.iter().zip(&schema.clustering).all(|(ours, theirs)| {
            ours.reversed == theirs.reversed && ours.cql_type.is_readable_as(&theirs.column.cql_type)
        });
    if !fits {
        return Err(Error::schema(file, "its clustering columns have other types"));
    }
    match schema.clustering.iter().find(|column| !column.column.cql_type.is_comparable()) {
        None => Ok(()),
        Some(column) => Err(unordered(file, &column.column.name)),
    }
}

fn unordered(file: &str, column: &str) -> Error {
    Error::unsupported(file, format!("column {column:?} is ordered by a class that is not known here"))
}

fn columns(
    file: &str,
    mut ours: Vec<HeaderColumn>,
    same_kind: &[Column],
    other_kind: &[Column],
    schema: &TableSchema,
) -> Result<Vec<FileColumn>, Error> {
    // Cassandra writes them in this order; Scylla writes them by name but encodes rows in this order.
    ours.sort_by(|a, b| storage_order((&a.cql_type, &a.name), (&b.cql_type, &b.name)));
    if let Some(pair) = ours.windows(2).find(|pair| pair[0].name == pair[1].name) {
        return Err(Error::corrupt(file, 0, format!("column {:?} is there twice", pair[0].name)));
    }
    ours.into_iter().map(|column| file_column(file, column, same_kind, other_kind, schema)).collect()
}

fn file_column(
    file: &str,
    column: HeaderColumn,
    same_kind: &[Column],
    other_kind: &[Column],
    schema: &TableSchema,
) -> Result<FileColumn, Error> {
    let HeaderColumn { name, cql_type } = column;
    let target = match same_kind.iter().position(|theirs| theirs.name == name) {
        Some(index) => keep(file, &cql_type, &same_kind[index], index)?,
        None if was_dropped(&name, other_kind, schema) => Target::Skip,
        None => return Err(Error::schema(file, format!("column {name:?} is not in the schema and was not dropped"))),
    };
    if cql_type.path_type().is_some_and(|path| !path.is_comparable()) {
        return Err(unordered(file, &name));
    }
    let is_complex = cql_type.is_multi_cell();
    Ok(FileColumn { fixed_length: cql_type.fixed_length(), is_complex, cql_type, target })
}

/// A static column that became a regular one, or the reverse, was dropped in between.
fn was_dropped(name: &str, other_kind: &[Column], schema: &TableSchema) -> bool {
    schema.dropped_at(name).is_some()
        || other_kind.iter().any(|column| column.name == name && column.dropped_at.is_some())
}

fn keep(file: &str, ours: &CqlType, theirs: &Column, index: usize) -> Result<Target, Error> {
    let fits = if ours.is_multi_cell() || theirs.cql_type.is_multi_cell() {
        ours.is_readable_as(&theirs.cql_type)
    } else {
        // Values are raw bytes; a column may have been added again with a wider type, such as int as blob.
        (ours == &CqlType::Counter) == (theirs.cql_type == CqlType::Counter)
    };
    match ColumnIndex::try_from(index) {
        Ok(index) if fits => Ok(Target::Keep(index, theirs.dropped_at)),
        _ => Err(Error::schema(file, format!("column {:?} has another type there", theirs.name))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_column_that_is_there_twice_is_damage() {
        let of = |names: [&str; 2]| {
            let ours = names.map(|name| HeaderColumn { name: name.to_owned(), cql_type: CqlType::Int });
            let theirs =
                ["a", "b"].map(|name| Column { name: name.to_owned(), cql_type: CqlType::Int, dropped_at: None });
            let schema = TableSchema {
                keyspace: "ks".to_owned(),
                table: "t".to_owned(),
                partition_key: Vec::new(),
                clustering: Vec::new(),
                statics: Vec::new(),
                regulars: theirs.to_vec(),
                dropped: Vec::new(),
            };
            columns("f", ours.into(), &schema.regulars, &[], &schema)
        };
        assert_eq!(of(["b", "a"]).unwrap().len(), 2);
        let error = of(["a", "a"]).unwrap_err();
        assert!(error.is_corruption() && error.to_string().contains("\"a\" is there twice"), "{error}");
    }
}
