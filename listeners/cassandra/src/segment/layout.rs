//! The columns of a segment: their Parquet field ids, names and types, made from a table and the ids of its columns.
//!
//! Ids 1 to 15 are the segment's own columns. A column of the table with id `n` takes `16 n` and, for its companions,
//! `16 n + k`; companions are the [`Companion`]s.

mod names;

use std::{
    collections::{BTreeMap, HashSet},
    sync::Arc,
};

use arrow_schema::{DataType, Field, Fields, Schema, SchemaRef};
use tidemark_cassandra_format::schema::{Column, TableSchema};
use tidemark_catalog::content::ColumnId;

use self::names::{Names, with_id};
use super::{SEGMENT_FORMAT, physical::Physical};

/// Greatest id of a column: its companions' ids must be positive 32-bit integers.
const MAX_COLUMN_ID: u32 = (1 << 27) - 1;

/// Why a table has no layout.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum LayoutError {
    /// A column of the table has no id.
    #[error("column {0:?} has no id")]
    NoId(String),
    /// Two columns have the same id or an id has two names.
    #[error("column id {0} is given twice")]
    IdTwice(u32),
    /// An id is 0 or above 2^27 − 1.
    #[error("column id {0} is not in 1..2^27")]
    IdRange(u32),
    /// The table has no partition key.
    #[error("table {0} has no partition key")]
    NoKey(String),
}

/// The segment's own columns, by field id.
#[derive(Clone, Copy)]
pub(super) enum Own {
    Token = 1,
    Kind = 2,
    KeyRaw = 3,
    RowTs = 4,
    RowTtl = 5,
    RowLdt = 6,
    RowDelTs = 7,
    RowDelLdt = 8,
    RowDelShadowable = 9,
    MarkerKind = 10,
    MarkerPrefix = 11,
    CloseTs = 12,
    CloseLdt = 13,
    OpenTs = 14,
    OpenLdt = 15,
}

/// What stands beside a column's value: `k` of the field id `16 n + k`.
#[derive(Clone, Copy)]
pub(super) enum Companion {
    Value = 0,
    Ts = 1,
    Ttl = 2,
    Ldt = 3,
    State = 4,
    Raw = 5,
    DelTs = 6,
    DelLdt = 7,
    Element = 8,
    Path = 9,
    PathRaw = 10,
    CellValue = 11,
}

/// A partition key or clustering column.
#[derive(Clone, Debug)]
pub(super) struct KeyColumn {
    pub(super) id: u32,
    pub(super) name: String,
    pub(super) physical: Physical,
}

/// A static or regular column.
#[derive(Clone, Debug)]
pub(super) struct DataColumn {
    pub(super) id: u32,
    pub(super) name: String,
    pub(super) shape: Shape,
}

/// One cell, or many by path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    Simple(Physical),
    Complex { path: Physical, value: Physical },
}

/// The columns of a table's segments. A reader may ask for another layout than the writer's: columns that the file has not
/// are absent from every row, columns that were not asked for are not read.
#[derive(Clone, Debug)]
pub struct Layout {
    format: u32,
    /// The layout of the same columns in the format before.
    before: Option<Arc<Layout>>,
    table: Arc<TableSchema>,
    pub(super) partition_key: Vec<KeyColumn>,
    pub(super) clustering: Vec<KeyColumn>,
    pub(super) statics: Vec<DataColumn>,
    pub(super) regulars: Vec<DataColumn>,
    schema: SchemaRef,
}

impl Layout {
    /// The layout of `table`, whose columns have these ids; ids of other columns are ignored.
    ///
    /// # Errors
    /// [`LayoutError`] where a column has no id, an id is used twice or out of range, or the table has no key.
    pub fn new(table: Arc<TableSchema>, ids: &[ColumnId]) -> Result<Self, LayoutError> {
        if table.partition_key.is_empty() {
            return Err(LayoutError::NoKey(format!("{}.{}", table.keyspace, table.table)));
        }
        let ids = checked(ids)?;
        let first = Self::in_format(1, None, table.clone(), &ids)?;
        Self::in_format(SEGMENT_FORMAT, Some(Arc::new(first)), table, &ids)
    }

    fn in_format(
        format: u32,
        before: Option<Arc<Self>>,
        table: Arc<TableSchema>,
        ids: &BTreeMap<&str, u32>,
    ) -> Result<Self, LayoutError> {
        let key = |column: &Column| -> Result<KeyColumn, LayoutError> {
            let physical = Physical::of(&column.cql_type, format);
            Ok(KeyColumn { id: id_of(ids, column)?, name: column.name.clone(), physical })
        };
        let partition_key = table.partition_key.iter().map(key).collect::<Result<_, _>>()?;
        let clustering = table.clustering.iter().map(|c| key(&c.column)).collect::<Result<_, _>>()?;
        let data = |column: &Column| Ok(DataColumn::of(id_of(ids, column)?, column, format));
        let statics = table.statics.iter().map(data).collect::<Result<_, _>>()?;
        let regulars = table.regulars.iter().map(data).collect::<Result<_, _>>()?;
        let schema = Arc::new(Schema::empty());
        let mut layout = Self { format, before, table, partition_key, clustering, statics, regulars, schema };
        layout.schema = Arc::new(Schema::new(layout.fields()));
        Ok(layout)
    }

    /// The layout of the same columns in segments of a format; `None` where this build knows no such format.
    pub(super) fn of_format(self: &Arc<Self>, format: u32) -> Option<Arc<Self>> {
        if self.format == format { Some(self.clone()) } else { self.before.as_ref()?.of_format(format) }
    }

    /// Format of the segments.
    pub(super) fn format(&self) -> u32 {
        self.format
    }

    /// The table.
    pub fn table(&self) -> &Arc<TableSchema> {
        &self.table
    }

    /// Arrow schema of the record batches, field ids in the fields' metadata.
    pub(super) fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// Columns in the order of the batches' arrays; `batch` and `decode` follow it.
    fn fields(&self) -> Vec<Field> {
        let mut names = Names::of(&self.table);
        let mut fields = vec![
            names.own(Own::Token, "__token", DataType::Int64, false),
            names.own(Own::Kind, "__kind", DataType::Int8, false),
        ];
        fields.extend(self.partition_key.iter().map(|c| value_field(c.id, &c.name, &c.physical)));
        fields.push(names.own(Own::KeyRaw, "__key_raw", DataType::Binary, true));
        for column in &self.clustering {
            fields.push(value_field(column.id, &column.name, &column.physical));
            fields.push(names.companion(column.id, Companion::Raw, &column.name));
        }
        fields.extend(names.row_fields());
        for column in self.statics.iter().chain(&self.regulars) {
            fields.extend(column.fields(&mut names));
        }
        fields
    }
}

impl DataColumn {
    fn of(id: u32, column: &Column, format: u32) -> Self {
        let shape = match Physical::of_cells(&column.cql_type, format) {
            Some((path, value)) => Shape::Complex { path, value },
            None => Shape::Simple(Physical::of(&column.cql_type, format)),
        };
        Self { id, name: column.name.clone(), shape }
    }

    /// True for columns of many cells.
    pub(super) fn is_complex(&self) -> bool {
        matches!(self.shape, Shape::Complex { .. })
    }

    /// Number of arrays beside the value's own.
    pub(super) fn companions(&self) -> usize {
        if self.is_complex() { 2 } else { 5 }
    }

    fn fields(&self, names: &mut Names) -> Vec<Field> {
        match &self.shape {
            Shape::Simple(physical) => self.simple_fields(physical, names),
            Shape::Complex { path, value } => self.complex_fields(path, value, names),
        }
    }

    fn simple_fields(&self, physical: &Physical, names: &mut Names) -> Vec<Field> {
        let kinds = [Companion::Ts, Companion::Ttl, Companion::Ldt, Companion::State, Companion::Raw];
        let mut fields = vec![value_field(self.id, &self.name, physical)];
        fields.extend(kinds.map(|kind| names.companion(self.id, kind, &self.name)));
        fields
    }

    fn complex_fields(&self, path: &Physical, value: &Physical, names: &mut Names) -> Vec<Field> {
        let list = DataType::List(Arc::new(self.element_field(path, value)));
        vec![
            with_id(Field::new(&self.name, list, true), self.id, Companion::Value),
            names.companion(self.id, Companion::DelTs, &self.name),
            names.companion(self.id, Companion::DelLdt, &self.name),
        ]
    }

    fn element_field(&self, path: &Physical, value: &Physical) -> Field {
        let cells = DataType::Struct(cell_fields(self.id, path, value));
        with_id(Field::new("element", cells, false), self.id, Companion::Element)
    }
}

/// Fields of one cell of a multi-cell column.
pub(super) fn cell_fields(id: u32, path: &Physical, value: &Physical) -> Fields {
    let field = |name: &str, data_type, nullable, kind| with_id(Field::new(name, data_type, nullable), id, kind);
    Fields::from(vec![
        field("path", path.data_type(), true, Companion::Path),
        field("path_raw", DataType::Binary, true, Companion::PathRaw),
        field("value", value.data_type(), true, Companion::CellValue),
        field("ts", DataType::Int64, true, Companion::Ts),
        field("ttl", DataType::UInt32, true, Companion::Ttl),
        field("ldt", DataType::UInt32, true, Companion::Ldt),
        field("state", DataType::Int8, false, Companion::State),
        field("raw", DataType::Binary, true, Companion::Raw),
    ])
}

fn value_field(id: u32, name: &str, physical: &Physical) -> Field {
    with_id(Field::new(name, physical.data_type(), true), id, Companion::Value)
}

fn checked(ids: &[ColumnId]) -> Result<BTreeMap<&str, u32>, LayoutError> {
    let mut seen = HashSet::new();
    let mut by_name = BTreeMap::new();
    for ColumnId { id, name } in ids {
        if !(1..=MAX_COLUMN_ID).contains(id) {
            return Err(LayoutError::IdRange(*id));
        }
        if !seen.insert(id) || by_name.insert(name.as_str(), *id).is_some() {
            return Err(LayoutError::IdTwice(*id));
        }
    }
    Ok(by_name)
}

fn id_of(ids: &BTreeMap<&str, u32>, column: &Column) -> Result<u32, LayoutError> {
    ids.get(column.name.as_str()).copied().ok_or_else(|| LayoutError::NoId(column.name.clone()))
}
