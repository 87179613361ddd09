//! Small sources of the merge, made of bytes: writes that collide, and streams that no reader would deliver.

use std::sync::Arc;

use bytes::Bytes;
use tidemark_cassandra_format::model::{
    BoundKind, Cell, CellState, Clustering, ColumnData, ColumnIndex, Deletion, Expiry, Liveness, Marker, Partition,
    PathCell, Row, RowDeletion, Unfiltered,
};
use tidemark_cassandra_format::schema::{ClusteringColumn, Column, TableSchema};
use tidemark_cassandra_format::token;
use tidemark_cassandra_format::types::CqlType;

use crate::content::Content;
use crate::input::Input;

/// Place of the map among the regular columns.
const MAP: ColumnIndex = 2;
const KINDS: [BoundKind; 6] = [
    BoundKind::ExclEnd,
    BoundKind::InclStart,
    BoundKind::ExclEndInclStart,
    BoundKind::InclEndExclStart,
    BoundKind::InclEnd,
    BoundKind::ExclStart,
];

/// `t (k blob, x int, y int, s int static, a int, b decimal, m map<text, int>, PRIMARY KEY (k, x, y))`, `y` descending.
pub(crate) fn schema() -> Arc<TableSchema> {
    let column = |name: &str, cql_type| Column { name: name.to_owned(), cql_type, dropped_at: None };
    let clustering = |name, reversed| ClusteringColumn { column: column(name, CqlType::Int), reversed };
    let map = CqlType::Map { key: Box::new(CqlType::Text), value: Box::new(CqlType::Int), frozen: false };
    Arc::new(TableSchema {
        keyspace: "ks".to_owned(),
        table: "t".to_owned(),
        partition_key: vec![column("k", CqlType::Blob)],
        clustering: vec![clustering("x", false), clustering("y", true)],
        statics: vec![column("s", CqlType::Int)],
        regulars: vec![column("a", CqlType::Int), column("b", CqlType::Decimal), column("m", map)],
        dropped: Vec::new(),
    })
}

/// One write as a source of its own.
pub(crate) fn write(input: &mut Input<'_>) -> Content {
    let mut head = head(input.below(2));
    let rest = match input.below(8) {
        0 => {
            head.deletion = deletion(input);
            Vec::new()
        }
        1 => {
            let mut row = Row::default();
            row.columns.push((0, ColumnData::Simple(cell(input))));
            head.static_row = Some(row);
            Vec::new()
        }
        2 => range(input),
        kind => vec![Unfiltered::Row(row(input, kind))],
    };
    vec![(head, rest)]
}

fn head(number: u8) -> Partition {
    let key = Bytes::copy_from_slice(&[number]);
    Partition { token: token::murmur3(&key), key, deletion: Deletion::LIVE, static_row: None }
}

fn row(input: &mut Input<'_>, kind: u8) -> Row {
    let mut row = Row { clustering: vec![int(input.below(3)), int(input.below(2))], ..Row::default() };
    match kind {
        3 => row.deletion = RowDeletion { time: deletion(input), shadowable: false },
        4 => {
            row.liveness =
                Some(Liveness { ts: time(input), expiry: Some(expiry(input)).filter(|_| input.below(2) == 0) })
        }
        5 => row.columns.push((MAP, ColumnData::Complex { deletion: deletion(input), cells: Vec::new() })),
        6 => {
            let path = Bytes::from_static(input.pick(&[b"p", b"q", b"r"]));
            let cells = vec![PathCell { path, cell: cell(input) }];
            row.columns.push((MAP, ColumnData::Complex { deletion: Deletion::LIVE, cells }));
        }
        _ => row.columns.push((ColumnIndex::from(input.below(2)), ColumnData::Simple(cell(input)))),
    }
    row
}

/// A range from one bound to a later one: of one row, of an `x`, or of everything up to one.
fn range(input: &mut Input<'_>) -> Vec<Unfiltered> {
    let (x, y, span, deletion) = (input.below(3), input.below(2), input.below(4), deletion(input));
    let (from, to) = match span {
        0 => (vec![int(x), int(y)], vec![int(x), int(y)]),
        1 => (vec![int(x)], vec![int(x)]),
        2 => (vec![], vec![int(x), int(y)]),
        _ => (vec![int(x), int(y)], vec![]),
    };
    // Equal bounds must include what they bound, or the range is empty.
    let (starts, ends) = if from == to { (1, 1) } else { (2, 2) };
    let start = [BoundKind::InclStart, BoundKind::ExclStart][usize::from(input.below(starts))];
    let end = [BoundKind::InclEnd, BoundKind::ExclEnd][usize::from(input.below(ends))];
    // Before or after everything there is only one bound.
    let start = if from.is_empty() { BoundKind::InclStart } else { start };
    let end = if to.is_empty() { BoundKind::InclEnd } else { end };
    let marker = |kind, prefix, close, open| Unfiltered::Marker(Marker { kind, prefix, close, open });
    vec![marker(start, from, None, Some(deletion)), marker(end, to, Some(deletion), None)]
}

fn int(value: u8) -> Option<Bytes> {
    Some(Bytes::copy_from_slice(&i32::from(value).to_be_bytes()))
}

fn time(input: &mut Input<'_>) -> i64 {
    i64::from(input.below(6)) - 1
}

fn deletion(input: &mut Input<'_>) -> Deletion {
    Deletion { marked_at: time(input), local_time: input.below(3).into() }
}

fn expiry(input: &mut Input<'_>) -> Expiry {
    Expiry { ttl: input.pick(&[1, 2, i32::MAX as u32]), at: 5 + u32::from(input.below(2)) }
}

fn cell(input: &mut Input<'_>) -> Cell {
    let ts = time(input);
    let state = match input.below(4) {
        0 | 1 => CellState::Live,
        2 => CellState::Expiring(expiry(input)),
        _ => CellState::Tombstone { local_time: input.below(3).into() },
    };
    let value = if matches!(state, CellState::Tombstone { .. }) { Bytes::new() } else { value(input) };
    Cell { ts, state, value }
}

fn value(input: &mut Input<'_>) -> Bytes {
    Bytes::from_static(input.pick(&[b"".as_slice(), b"a", b"b", b"\x80"]))
}

/// Partitions, rows and markers in any order and of any shape.
pub(crate) fn stream(input: &mut Input<'_>) -> Content {
    let mut content = Content::new();
    for _ in 0..input.below(4) {
        let mut head = head(input.below(3));
        head.token = head.token.wrapping_add(input.below(2).into());
        head.static_row = (input.below(2) == 1).then(|| any_row(input));
        let rest = (0..input.below(6)).map(|_| any(input)).collect();
        content.push((head, rest));
    }
    content
}

fn any(input: &mut Input<'_>) -> Unfiltered {
    if input.below(2) == 0 {
        return Unfiltered::Row(any_row(input));
    }
    let prefix: Clustering = (0..input.below(4)).map(|_| int(input.below(2))).collect();
    let kind = input.pick(&KINDS);
    let some = |input: &mut Input<'_>| (input.below(3) > 0).then(|| deletion(input));
    Unfiltered::Marker(Marker { kind, prefix, close: some(input), open: some(input) })
}

fn any_row(input: &mut Input<'_>) -> Row {
    let clustering = (0..input.below(4)).map(|_| int(input.below(2)).filter(|_| input.below(5) > 0)).collect();
    let mut row = Row { clustering, ..Row::default() };
    for _ in 0..input.below(4) {
        let data = if input.below(2) == 0 {
            ColumnData::Simple(cell(input))
        } else {
            let cells = (0..input.below(3)).map(|_| PathCell { path: value(input), cell: cell(input) }).collect();
            ColumnData::Complex { deletion: deletion(input), cells }
        };
        row.columns.push((ColumnIndex::from(input.below(4)), data));
    }
    row
}
