//! `testdata/segments/v1/every-type.parquet`: one segment with every type, every state of a cell and every kind of record.
//! It is read for ever; the stream it must give is made here. What writers make of the stream may change, the file never.

use std::{path::PathBuf, sync::Arc};

use bytes::Bytes;
use tidemark_cassandra_format::model::{
    BoundKind, Cell, CellState, ColumnData, Deletion, Expiry, Liveness, Marker, Partition, PathCell, Row, RowDeletion,
    Unfiltered,
};

use super::{
    SegmentReader, WriteLimits,
    samples::{Sample, clustering, collect, every_type, layout, write},
};

fn path() -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "testdata", "segments", "v1", "every-type.parquet"].iter().collect()
}

/// Values with a typed form, one for each of the table's regular columns of one cell, in their order.
fn typed(column: &str) -> Vec<u8> {
    match column {
        "ascii" | "text" => b"some text".to_vec(),
        "bigint" | "time" => 7_200_000_000_000_i64.to_be_bytes().to_vec(),
        "boolean" => vec![1],
        "date" => (0x8000_0000_u32 + 20_000).to_be_bytes().to_vec(),
        "double" => (-2.5_f64).to_be_bytes().to_vec(),
        "float" => 1.5_f32.to_be_bytes().to_vec(),
        "int" | "int__ts" => (-7_i32).to_be_bytes().to_vec(),
        "smallint" => 300_i16.to_be_bytes().to_vec(),
        "timestamp" => 1_700_000_000_123_i64.to_be_bytes().to_vec(),
        "timeuuid" | "uuid" => (0..16).collect(),
        "tinyint" => vec![0xfe],
        "__token" => b"a user's own column".to_vec(),
        other => other.as_bytes().to_vec(),
    }
}

const EXPIRY: Expiry = Expiry { ttl: 3600, at: 2_000_000_000 };

fn states() -> [CellState; 4] {
    let other = Expiry { ttl: 60, at: 1_999_999_999 };
    [
        CellState::Live,
        CellState::Expiring(EXPIRY),
        CellState::Expiring(other),
        CellState::Tombstone { local_time: 1_700_000_000 },
    ]
}

fn data(name: &str, multi_cell: bool, state: CellState, raw: bool, ts: i64) -> ColumnData {
    let is_tombstone = matches!(state, CellState::Tombstone { .. });
    let value = match (is_tombstone, raw) {
        (true, _) => Vec::new(),
        (false, true) => vec![0xff, 0xfe, 0xfd],
        (false, false) => typed(name),
    };
    let cell = Cell { ts, state, value: value.into() };
    if !multi_cell {
        return ColumnData::Simple(cell);
    }
    let paths: [&[u8]; 3] = [b"", b"\0\x01", b"0123456789abcdef"];
    let cells = paths.map(|path| PathCell { path: Bytes::from_static(path), cell: cell.clone() });
    ColumnData::Complex { deletion: Deletion { marked_at: ts - 1, local_time: 1_700_000_000 }, cells: cells.into() }
}

/// Rows with every column in each state, typed and raw, at the row's own time and at another.
fn rows() -> Vec<Unfiltered> {
    let table = every_type();
    let mut rows = Vec::new();
    for (i, state) in (0_u8..).zip(states()) {
        for (raw, ts) in [(false, 1_700_000_000_000_000), (true, 5)] {
            let columns = (0..).zip(&table.regulars);
            let columns = columns.map(|(at, c)| (at, data(&c.name, c.cql_type.is_multi_cell(), state, raw, ts)));
            rows.push(Unfiltered::Row(Row {
                clustering: clustering(i, i32::from(raw), if raw { "raw" } else { "typed" }),
                liveness: Some(Liveness { ts: 1_700_000_000_000_000, expiry: (i > 0).then_some(EXPIRY) }),
                deletion: RowDeletion::default(),
                columns: columns.collect(),
            }));
        }
    }
    rows
}

fn markers() -> Vec<Unfiltered> {
    use BoundKind::{ExclEnd, ExclEndInclStart, ExclStart, InclEnd, InclEndExclStart, InclStart};
    let deletion = Deletion { marked_at: 1_700_000_000_000_000, local_time: 1_700_000_000 };
    let marker = |(length, kind): (usize, BoundKind)| {
        let prefix = clustering(1, 2, "bound")[..length.min(3)].to_vec();
        let close = matches!(kind, ExclEnd | InclEnd | ExclEndInclStart | InclEndExclStart).then_some(deletion);
        let open = matches!(kind, InclStart | ExclStart | ExclEndInclStart | InclEndExclStart).then_some(deletion);
        Unfiltered::Marker(Marker { kind, prefix, close, open })
    };
    let kinds = [InclStart, ExclEndInclStart, InclEndExclStart, ExclEnd, ExclStart, InclEnd];
    (0..).zip(kinds).map(marker).collect()
}

fn stream() -> Vec<Sample> {
    let deletion = Deletion { marked_at: 1_600_000_000_000_000, local_time: 1_600_000_000 };
    let text = data("text", false, CellState::Live, false, 9);
    let static_row = Row { columns: vec![(0, text)], ..Row::default() };
    let partition = |token, key: &'static [u8], deletion, static_row| Partition {
        token,
        key: Bytes::from_static(key),
        deletion,
        static_row,
    };
    let deleted_row = Row {
        clustering: vec![None, Some(Bytes::new()), Some(Bytes::from_static(&[0xff]))],
        deletion: RowDeletion { time: deletion, shadowable: true },
        ..Row::default()
    };
    vec![
        (partition(i64::MIN + 1, b"\0\x04\0\0\0\x01\0\0\x01a\0", Deletion::LIVE, Some(static_row)), rows()),
        (partition(-1, b"\0\x04\0\0\0\x02\0\0\0\0", deletion, None), markers()),
        (partition(0, b"no composite", Deletion::LIVE, None), vec![Unfiltered::Row(deleted_row)]),
        (partition(i64::MAX, b"\0\0\0\0\x01b\0", Deletion::LIVE, None), Vec::new()),
    ]
}

#[test]
fn version_1_is_read_for_ever() {
    let bytes = Bytes::from(std::fs::read(path()).unwrap());
    let mut reader = SegmentReader::open(Arc::new(bytes), layout(), "every-type.parquet").unwrap();
    assert_eq!(collect(&mut reader).unwrap(), stream());
}

#[test]
fn this_build_gives_the_fixture_back_as_well() {
    let (_, bytes) = write(&layout(), WriteLimits::default(), stream()).unwrap().remove(0);
    let mut reader = SegmentReader::open(Arc::new(bytes), layout(), "new").unwrap();
    assert_eq!(collect(&mut reader).unwrap(), stream());
}
