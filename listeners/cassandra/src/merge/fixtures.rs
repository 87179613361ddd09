//! A small table and short ways to write its rows, for tests.
//!
//! `t (k int, x int, y int, s int static, a int, b int, m map<text, int>, PRIMARY KEY (k, x, y)) WITH CLUSTERING ORDER BY
//! (x ASC, y DESC)`; regular columns 0 and 1 are `a` and `b`, 2 is `m`.

use std::sync::Arc;

use bytes::Bytes;
use tidemark_cassandra_format::{
    model::{
        BoundKind, Cell, CellState, Clustering, ColumnData, ColumnIndex, Deletion, Expiry, Liveness, Marker, Partition,
        PartitionReader, PathCell, Row, RowDeletion, Unfiltered,
    },
    schema::{ClusteringColumn, Column, TableSchema},
    types::CqlType,
};

use super::{Error, MemoryReader, MergeReader};

pub(crate) type Content = (Partition, Vec<Unfiltered>);

pub(crate) const A: ColumnIndex = 0;
pub(crate) const B: ColumnIndex = 1;
pub(crate) const M: ColumnIndex = 2;

pub(crate) fn schema() -> Arc<TableSchema> {
    let column = |name: &str, cql_type| Column { name: name.to_owned(), cql_type, dropped_at: None };
    let map = CqlType::Map { key: Box::new(CqlType::Text), value: Box::new(CqlType::Int), frozen: false };
    Arc::new(TableSchema {
        keyspace: "ks".to_owned(),
        table: "t".to_owned(),
        partition_key: vec![column("k", CqlType::Int)],
        clustering: vec![
            ClusteringColumn { column: column("x", CqlType::Int), reversed: false },
            ClusteringColumn { column: column("y", CqlType::Int), reversed: true },
        ],
        statics: vec![column("s", CqlType::Int)],
        regulars: vec![column("a", CqlType::Int), column("b", CqlType::Int), column("m", map)],
        dropped: vec![],
    })
}

/// A clustering or a prefix of one.
pub(crate) fn key(values: &[i32]) -> Clustering {
    values.iter().map(|value| Some(Bytes::copy_from_slice(&value.to_be_bytes()))).collect()
}

pub(crate) fn head(token: i64) -> Partition {
    let key = Bytes::copy_from_slice(&token.to_be_bytes());
    Partition { token, key, deletion: Deletion::LIVE, static_row: None }
}

/// A deletion whose local time follows from its write time.
pub(crate) fn deletion(marked_at: i64) -> Deletion {
    Deletion { marked_at, local_time: u32::try_from(marked_at).unwrap() }
}

pub(crate) fn live(ts: i64, value: &'static str) -> Cell {
    Cell { ts, state: CellState::Live, value: Bytes::from_static(value.as_bytes()) }
}

pub(crate) fn expiring(ts: i64, ttl: u32, at: u32, value: &'static str) -> Cell {
    Cell { state: CellState::Expiring(Expiry { ttl, at }), ..live(ts, value) }
}

pub(crate) fn tombstone(ts: i64) -> Cell {
    Cell { state: CellState::Tombstone { local_time: u32::try_from(ts).unwrap() }, ..live(ts, "") }
}

/// A row without atoms, to be filled.
pub(crate) fn row(x: i32, y: i32) -> Row {
    Row { clustering: key(&[x, y]), ..Row::default() }
}

/// Short ways to fill a row.
pub(crate) trait Fill: Sized {
    fn marker(self, ts: i64) -> Self;
    fn deleted(self, time: Deletion) -> Self;
    fn cell(self, column: ColumnIndex, cell: Cell) -> Self;
    fn map(self, deletion: Deletion, cells: &[(&'static str, Cell)]) -> Self;
}

impl Fill for Row {
    fn marker(mut self, ts: i64) -> Self {
        self.liveness = Some(Liveness { ts, expiry: None });
        self
    }

    fn deleted(mut self, time: Deletion) -> Self {
        self.deletion = RowDeletion { time, shadowable: false };
        self
    }

    fn cell(mut self, column: ColumnIndex, cell: Cell) -> Self {
        self.columns.push((column, ColumnData::Simple(cell)));
        self
    }

    fn map(mut self, deletion: Deletion, cells: &[(&'static str, Cell)]) -> Self {
        let at = |(path, cell): &(&'static str, Cell)| PathCell {
            path: Bytes::from_static(path.as_bytes()),
            cell: cell.clone(),
        };
        let cells = cells.iter().map(at).collect();
        self.columns.push((M, ColumnData::Complex { deletion, cells }));
        self
    }
}

pub(crate) fn marker(kind: BoundKind, prefix: &[i32], close: Option<i64>, open: Option<i64>) -> Unfiltered {
    Unfiltered::Marker(Marker { kind, prefix: key(prefix), close: close.map(deletion), open: open.map(deletion) })
}

pub(crate) fn rows(rows: impl IntoIterator<Item = Row>) -> Vec<Unfiltered> {
    rows.into_iter().map(Unfiltered::Row).collect()
}

/// All of a stream, in memory.
pub(crate) fn drain<R: PartitionReader>(reader: &mut R) -> Result<Vec<Content>, R::Error> {
    let mut all = Vec::new();
    while let Some(partition) = reader.next_partition()? {
        let mut rest = Vec::new();
        while let Some(next) = reader.next_unfiltered()? {
            rest.push(next);
        }
        all.push((partition, rest));
    }
    Ok(all)
}

pub(crate) type MemoryError = Error<std::convert::Infallible>;

/// The merge of sources that are given by their partitions.
pub(crate) fn try_merged(sources: impl IntoIterator<Item = Vec<Content>>) -> Result<Vec<Content>, MemoryError> {
    let readers = sources.into_iter().map(MemoryReader::new).collect();
    drain(&mut MergeReader::new(schema(), readers))
}

pub(crate) fn merged(sources: impl IntoIterator<Item = Vec<Content>>) -> Vec<Content> {
    try_merged(sources).unwrap()
}

/// The merge of sources that all hold only partition 0, without deletion or static row.
pub(crate) fn merged_rows(sources: impl IntoIterator<Item = Vec<Unfiltered>>) -> Vec<Unfiltered> {
    let merged = merged(sources.into_iter().map(|rest| vec![(head(0), rest)]));
    merged.into_iter().flat_map(|(_, rest)| rest).collect()
}
