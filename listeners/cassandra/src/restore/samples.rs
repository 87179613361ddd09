//! A table and rows for tests.

use bytes::Bytes;
use tidemark_cassandra_format::{
    model::{
        Cell, CellState, ColumnData, Deletion, Expiry, Liveness, Partition, PartitionReader, PathCell, Row, Unfiltered,
    },
    schema::{ClusteringColumn, Column, TableSchema},
    types::CqlType,
};

pub(crate) fn column(name: &str, cql_type: CqlType) -> Column {
    Column { name: name.into(), cql_type, dropped_at: None }
}

/// `pk int, ck int, st text static, a int, b text, l list<int>, m map<text, int>, s set<text>, u (f int, g text)`.
pub(crate) fn schema() -> TableSchema {
    let list = CqlType::List { element: Box::new(CqlType::Int), frozen: false };
    let map = CqlType::Map { key: Box::new(CqlType::Text), value: Box::new(CqlType::Int), frozen: false };
    let set = CqlType::Set { element: Box::new(CqlType::Text), frozen: false };
    let fields = vec![("f".to_owned(), CqlType::Int), ("g".to_owned(), CqlType::Text)];
    let udt = CqlType::Udt { keyspace: "ks".into(), name: "u".into(), fields, frozen: false };
    TableSchema {
        keyspace: "ks".into(),
        table: "t".into(),
        partition_key: vec![column("pk", CqlType::Int)],
        clustering: vec![ClusteringColumn { column: column("ck", CqlType::Int), reversed: false }],
        statics: vec![column("st", CqlType::Text)],
        regulars: vec![
            column("a", CqlType::Int),
            column("b", CqlType::Text),
            column("l", list),
            column("m", map),
            column("s", set),
            column("u", udt),
        ],
        dropped: vec![],
    }
}

pub(crate) fn int(value: i32) -> Bytes {
    Bytes::copy_from_slice(&value.to_be_bytes())
}

pub(crate) fn live(ts: i64, value: impl Into<Bytes>) -> Cell {
    Cell { ts, state: CellState::Live, value: value.into() }
}

pub(crate) fn expiring(ts: i64, at: u32, value: impl Into<Bytes>) -> Cell {
    Cell { ts, state: CellState::Expiring(Expiry { ttl: 100, at }), value: value.into() }
}

pub(crate) fn complex(cells: Vec<(Bytes, Cell)>) -> ColumnData {
    let cells = cells.into_iter().map(|(path, cell)| PathCell { path, cell }).collect();
    ColumnData::Complex { deletion: Deletion::LIVE, cells }
}

pub(crate) fn row(ck: i32, marker: Option<i64>, columns: Vec<(u16, ColumnData)>) -> Row {
    let liveness = marker.map(|ts| Liveness { ts, expiry: None });
    Row { clustering: vec![Some(int(ck))], liveness, columns, ..Row::default() }
}

/// A stream held in memory.
pub(crate) struct MemoryReader {
    partitions: std::vec::IntoIter<(Partition, Vec<Unfiltered>)>,
    current: std::vec::IntoIter<Unfiltered>,
}

impl MemoryReader {
    /// Partitions of these keys, in this order.
    pub(crate) fn of(partitions: &[(i32, Vec<Unfiltered>)]) -> Self {
        let head =
            |key: i32| Partition { token: i64::from(key), key: int(key), deletion: Deletion::LIVE, static_row: None };
        Self::whole(partitions.iter().map(|(key, rows)| (head(*key), rows.clone())).collect())
    }

    /// These partitions with their rows and markers.
    pub(crate) fn whole(partitions: Vec<(Partition, Vec<Unfiltered>)>) -> Self {
        Self { partitions: partitions.into_iter(), current: Vec::new().into_iter() }
    }
}

impl PartitionReader for MemoryReader {
    type Error = std::convert::Infallible;

    fn next_partition(&mut self) -> Result<Option<Partition>, Self::Error> {
        Ok(self.partitions.next().map(|(partition, rows)| {
            self.current = rows.into_iter();
            partition
        }))
    }

    fn next_unfiltered(&mut self) -> Result<Option<Unfiltered>, Self::Error> {
        Ok(self.current.next())
    }
}
