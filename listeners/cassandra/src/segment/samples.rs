//! Tables and streams for tests: a table of every type, streams of it with every kind of atom.

mod values;

use std::{convert::Infallible, sync::Arc, vec};

use bytes::Bytes;
use proptest::{collection::vec as many, prelude::*};
use tidemark_cassandra_format::{
    model::{
        BoundKind, Cell, CellState, Clustering, ColumnData, ColumnIndex, Deletion, Expiry, Liveness, Marker, Partition,
        PartitionReader, PathCell, Row, RowDeletion, Unfiltered,
    },
    schema::{ClusteringColumn, Column, TableSchema},
    types::CqlType,
};
use tidemark_catalog::content::ColumnId;

pub(crate) use self::values::proper;
use self::values::{any_value, value};
use super::{Content, FinishedSegment, Layout, SegmentWriter, WriteError, WriteLimits};

/// A partition with what follows its head.
pub(crate) type Sample = (Partition, Vec<Unfiltered>);

/// Streams partitions from memory.
pub(crate) struct Samples {
    rest: vec::IntoIter<Sample>,
    current: vec::IntoIter<Unfiltered>,
}

impl Samples {
    pub(crate) fn new(samples: Vec<Sample>) -> Self {
        Self { rest: samples.into_iter(), current: Vec::new().into_iter() }
    }
}

impl PartitionReader for Samples {
    type Error = Infallible;

    fn next_partition(&mut self) -> Result<Option<Partition>, Infallible> {
        let Some((partition, unfiltereds)) = self.rest.next() else { return Ok(None) };
        self.current = unfiltereds.into_iter();
        Ok(Some(partition))
    }

    fn next_unfiltered(&mut self) -> Result<Option<Unfiltered>, Infallible> {
        Ok(self.current.next())
    }
}

/// Everything that a stream holds.
pub(crate) fn collect<R: PartitionReader>(reader: &mut R) -> Result<Vec<Sample>, R::Error> {
    let mut samples = Vec::new();
    while let Some(partition) = reader.next_partition()? {
        let mut unfiltereds = Vec::new();
        while let Some(unfiltered) = reader.next_unfiltered()? {
            unfiltereds.push(unfiltered);
        }
        samples.push((partition, unfiltereds));
    }
    Ok(samples)
}

/// The segments of a stream, with their bytes.
pub(crate) fn write(
    layout: &Arc<Layout>,
    limits: WriteLimits,
    samples: Vec<Sample>,
) -> Result<Vec<(FinishedSegment, Bytes)>, WriteError<Infallible>> {
    let mut writer = SegmentWriter::new(layout.clone(), limits);
    let mut stream = Samples::new(samples);
    let mut segments = Vec::new();
    while let Ok(Some(partition)) = stream.next_partition() {
        segments.extend(writer.write_partition(&partition, &mut stream)?);
    }
    segments.extend(writer.finish()?);
    Ok(segments.into_iter().map(with_bytes).collect())
}

fn with_bytes(mut segment: FinishedSegment) -> (FinishedSegment, Bytes) {
    let bytes = match &mut segment.content {
        Content::Memory(bytes) => bytes.clone(),
        Content::File(file) => {
            let mut bytes = Vec::new();
            std::io::Read::read_to_end(file, &mut bytes).unwrap();
            bytes.into()
        }
    };
    assert_eq!(bytes.len() as u64, segment.size);
    (segment, bytes)
}

fn column(name: &str, cql_type: CqlType) -> Column {
    Column { name: name.to_owned(), cql_type, dropped_at: None }
}

fn list(element: CqlType, frozen: bool) -> CqlType {
    CqlType::List { element: Box::new(element), frozen }
}

fn map(key: CqlType, value: CqlType, frozen: bool) -> CqlType {
    CqlType::Map { key: Box::new(key), value: Box::new(value), frozen }
}

fn udt(frozen: bool) -> CqlType {
    let fields = vec![("x".to_owned(), CqlType::Int), ("y".to_owned(), CqlType::Text)];
    CqlType::Udt { keyspace: "ks".into(), name: "point".into(), fields, frozen }
}

/// Types of one cell, all there are.
pub(crate) fn simple_types() -> Vec<(&'static str, CqlType)> {
    vec![
        ("ascii", CqlType::Ascii),
        ("bigint", CqlType::BigInt),
        ("blob", CqlType::Blob),
        ("boolean", CqlType::Boolean),
        ("counter", CqlType::Counter),
        ("date", CqlType::Date),
        ("decimal", CqlType::Decimal),
        ("double", CqlType::Double),
        ("duration", CqlType::Duration),
        ("empty", CqlType::Empty),
        ("float", CqlType::Float),
        ("frozen_list", list(udt(true), true)),
        ("frozen_map", map(CqlType::Int, CqlType::Text, true)),
        ("frozen_set", CqlType::Set { element: Box::new(CqlType::Int), frozen: true }),
        ("frozen_udt", udt(true)),
        ("inet", CqlType::Inet),
        ("int", CqlType::Int),
        ("point", CqlType::Custom("org.apache.cassandra.db.marshal.PointType".into())),
        ("smallint", CqlType::SmallInt),
        ("text", CqlType::Text),
        ("time", CqlType::Time),
        ("timestamp", CqlType::Timestamp),
        ("timeuuid", CqlType::TimeUuid),
        ("tinyint", CqlType::TinyInt),
        ("tuple", CqlType::Tuple(vec![CqlType::Int, CqlType::Text])),
        ("uuid", CqlType::Uuid),
        ("varint", CqlType::VarInt),
        ("vector", CqlType::Vector { element: Box::new(CqlType::Float), dimensions: 3 }),
    ]
}

/// A table of every type, with names that collide with generated ones.
pub(crate) fn every_type() -> Arc<TableSchema> {
    let clustering = [("c", CqlType::TimeUuid, false), ("d", CqlType::Int, true), ("e", CqlType::Text, false)];
    let ordered = |(name, cql_type, reversed)| ClusteringColumn { column: column(name, cql_type), reversed };
    let mut regulars: Vec<Column> = simple_types().into_iter().map(|(name, cql)| column(name, cql)).collect();
    regulars.extend([column("int__ts", CqlType::Int), column("__token", CqlType::Text)]);
    regulars.extend([
        column("m_list", list(CqlType::Int, false)),
        column("m_map", map(CqlType::Text, CqlType::Timestamp, false)),
        column("m_set", CqlType::Set { element: Box::new(CqlType::Uuid), frozen: false }),
        column("m_udt", udt(false)),
        // Not in the fixture of format 1.
        column("deep", map(CqlType::Text, list(CqlType::Tuple(vec![CqlType::Decimal, udt(true)]), true), true)),
        column("m_deep", map(CqlType::Decimal, CqlType::Tuple(vec![CqlType::TimeUuid, udt(true)]), false)),
    ]);
    Arc::new(TableSchema {
        keyspace: "ks".into(),
        table: "Every Type".into(),
        partition_key: vec![column("a", CqlType::Int), column("b", CqlType::Text)],
        clustering: clustering.into_iter().map(ordered).collect(),
        statics: vec![column("s", CqlType::Text), column("sm", map(CqlType::Int, CqlType::Blob, false))],
        regulars,
        dropped: Vec::new(),
    })
}

/// Ids from 1 on in the table's order.
pub(crate) fn ids(table: &TableSchema) -> Vec<ColumnId> {
    let clustering = table.clustering.iter().map(|c| &c.column);
    let columns = table.partition_key.iter().chain(clustering).chain(&table.statics).chain(&table.regulars);
    (1..).zip(columns).map(|(id, column)| ColumnId { id, name: column.name.clone() }).collect()
}

/// The layout of [`every_type`].
pub(crate) fn layout() -> Arc<Layout> {
    let table = every_type();
    let ids = ids(&table);
    Arc::new(Layout::new(table, &ids).unwrap())
}

fn time() -> impl Strategy<Value = i64> {
    prop_oneof![Just(7), Just(i64::MIN), any::<i64>()]
}

fn seconds() -> impl Strategy<Value = u32> {
    prop_oneof![Just(9), Just(u32::MAX), any::<u32>()]
}

fn expiry() -> impl Strategy<Value = Expiry> {
    (seconds(), seconds()).prop_map(|(ttl, at)| Expiry { ttl, at })
}

fn deletion() -> impl Strategy<Value = Deletion> {
    let any = (time(), seconds()).prop_map(|(marked_at, local_time)| Deletion { marked_at, local_time });
    prop_oneof![3 => Just(Deletion::LIVE), 1 => any]
}

fn cell(cql: &CqlType) -> impl Strategy<Value = Cell> + use<> {
    let state = prop_oneof![
        Just(CellState::Live),
        expiry().prop_map(CellState::Expiring),
        seconds().prop_map(|local_time| CellState::Tombstone { local_time }),
    ];
    (time(), state, value(cql)).prop_map(|(ts, state, value)| Cell { ts, state, value })
}

fn data(column: &Column) -> BoxedStrategy<ColumnData> {
    if let Some(path) = column.cql_type.path_type() {
        let of: &CqlType = match &column.cql_type {
            CqlType::List { element: value, .. } | CqlType::Map { value, .. } => value,
            _ => &CqlType::Blob,
        };
        let cell = (value(path), cell(of)).prop_map(|(path, cell)| PathCell { path, cell });
        return (deletion(), many(cell, 0..4))
            .prop_map(|(deletion, cells)| ColumnData::Complex { deletion, cells })
            .boxed();
    }
    cell(&column.cql_type).prop_map(ColumnData::Simple).boxed()
}

fn row(columns: &[Column], clustering: &[ClusteringColumn]) -> impl Strategy<Value = Row> + use<> {
    let liveness = proptest::option::of((time(), proptest::option::of(expiry())));
    let columns: Vec<_> = columns.iter().map(|column| proptest::option::of(data(column))).collect();
    (bound(clustering), liveness, deletion(), any::<bool>(), columns).prop_map(
        |(clustering, liveness, time, shadowable, columns)| Row {
            clustering,
            liveness: liveness.map(|(ts, expiry)| Liveness { ts, expiry }),
            deletion: RowDeletion { time, shadowable },
            columns: present(columns),
        },
    )
}

/// Values of these clustering columns.
fn bound(clustering: &[ClusteringColumn]) -> Vec<impl Strategy<Value = Option<Bytes>> + use<>> {
    clustering.iter().map(|c| proptest::option::of(value(&c.column.cql_type))).collect()
}

fn present(columns: Vec<Option<ColumnData>>) -> Vec<(ColumnIndex, ColumnData)> {
    (0..).zip(columns).filter_map(|(index, data)| Some((index, data?))).collect()
}

fn marker(clustering: &[ClusteringColumn]) -> impl Strategy<Value = Marker> + use<> {
    use BoundKind::{ExclEnd, ExclEndInclStart, ExclStart, InclEnd, InclEndExclStart, InclStart};
    let kinds = [ExclEnd, InclStart, ExclEndInclStart, InclEndExclStart, InclEnd, ExclStart];
    let prefix = (bound(clustering), 0..=clustering.len()).prop_map(|(mut prefix, length)| {
        prefix.truncate(length);
        prefix
    });
    let deletion = || proptest::option::of(deletion());
    (proptest::sample::select(kinds.to_vec()), prefix, deletion(), deletion())
        .prop_map(|(kind, prefix, close, open)| Marker { kind, prefix, close, open })
}

fn unfiltered(table: &TableSchema) -> impl Strategy<Value = Unfiltered> + use<> {
    let clustering = &table.clustering;
    prop_oneof![
        4 => row(&table.regulars, clustering).prop_map(Unfiltered::Row),
        1 => marker(clustering).prop_map(Unfiltered::Marker),
    ]
}

/// A composite key of two components, or bytes that are none.
fn key() -> impl Strategy<Value = Bytes> {
    let composite = (value(&CqlType::Int), value(&CqlType::Text)).prop_map(|(a, b)| super::key::join(&[a, b]).unwrap());
    prop_oneof![4 => composite, 1 => any_value()]
}

/// Any stream of the table; the key is of two components.
pub(crate) fn stream(table: &TableSchema) -> impl Strategy<Value = Vec<Sample>> + use<> {
    let static_row = proptest::option::of(row(&table.statics, &[]));
    let partition = (static_row, deletion(), many(unfiltered(table), 0..5));
    let keys = proptest::collection::btree_set((-3..3_i64, key().prop_map(|key| key.to_vec())), 0..6);
    (keys, many(partition, 6)).prop_map(|(keys, partitions)| {
        let with_key = |((token, key), (static_row, deletion, unfiltereds)): ((i64, Vec<u8>), _)| {
            (Partition { token, key: key.into(), deletion, static_row }, unfiltereds)
        };
        keys.into_iter().zip(partitions).map(with_key).collect()
    })
}

/// Clustering of one row of [`every_type`].
pub(crate) fn clustering(c: u8, d: i32, e: &str) -> Clustering {
    let c = Bytes::copy_from_slice(&[c; 16]);
    vec![Some(c), Some(Bytes::copy_from_slice(&d.to_be_bytes())), Some(Bytes::copy_from_slice(e.as_bytes()))]
}
