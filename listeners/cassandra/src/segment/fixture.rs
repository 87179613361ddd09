//! `testdata/segments/v*/every-type.parquet`: one segment of each format with every type, every state of a cell and every kind
//! of record. They are read for ever; the streams they must give are made here. What writers make of a stream may change,
//! the files never.

use std::{path::PathBuf, sync::Arc};

use bytes::Bytes;
use tidemark_cassandra_format::{
    model::{
        BoundKind, Cell, CellState, ColumnData, Deletion, Expiry, Liveness, Marker, Partition, PathCell, Row,
        RowDeletion, Unfiltered,
    },
    schema::TableSchema,
};

use super::{
    SEGMENT_FORMAT, SegmentReader, WriteLimits,
    samples::{Sample, clustering, collect, every_type, layout, write},
};

fn read(format: u32) -> Vec<Sample> {
    let version = format!("v{format}");
    let path = [env!("CARGO_MANIFEST_DIR"), "testdata", "segments", &version, "every-type.parquet"];
    let bytes = Bytes::from(std::fs::read(path.iter().collect::<PathBuf>()).unwrap());
    collect(&mut SegmentReader::open(Arc::new(bytes), layout(), "every-type.parquet").unwrap()).unwrap()
}

/// Values with a typed form for the table's regular columns. Format 1 had none for composite values: bytes.
fn typed(column: &str, format: u32) -> Vec<u8> {
    if format > 1
        && let Some(value) = composite(column)
    {
        return value.to_vec();
    }
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

/// Values of composite types, as CQL would write `[(3, 'a'), null]` and so on.
fn composite(column: &str) -> Option<&'static [u8]> {
    const POINT: &[u8] = b"\0\0\0\x04\0\0\0\x03\0\0\0\x01a";
    let value: &[u8] = match column {
        "decimal" => b"\0\0\0\x02\x03\xe8",
        "varint" => b"\xff\x7f",
        "frozen_list" => b"\0\0\0\x02\0\0\0\x0d\0\0\0\x04\0\0\0\x03\0\0\0\x01a\xff\xff\xff\xff",
        "frozen_map" => b"\0\0\0\x01\0\0\0\x04\0\0\0\x05\0\0\0\x01b",
        "frozen_set" => b"\0\0\0\x02\0\0\0\x04\0\0\0\x01\0\0\0\x04\0\0\0\x02",
        "frozen_udt" => POINT,
        "tuple" => b"\xff\xff\xff\xff\0\0\0\x02ab",
        "timeuuid" => b"\x58\xe0\xa7\xd7\xee\xbc\x11\xd8\x96\x69\x08\0\x20\x0c\x9a\x66",
        "deep" => b"\0\0\0\x01\0\0\0\x01k\0\0\0\x21\0\0\0\x01\0\0\0\x19\0\0\0\x05\0\0\0\x01\x07\0\0\0\x0c\xff\xff\xff\xff\0\0\0\x04yyyy",
        "m_deep" => b"\xff\xff\xff\xff\xff\xff\xff\xff",
        _ => return None,
    };
    Some(value)
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

fn data(name: &str, multi_cell: bool, state: CellState, raw: bool, ts: i64, format: u32) -> ColumnData {
    let is_tombstone = matches!(state, CellState::Tombstone { .. });
    let value = match (is_tombstone, raw) {
        (true, _) => Vec::new(),
        (false, true) => vec![0xff, 0xfe, 0xfd],
        (false, false) => typed(name, format),
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
fn rows(format: u32) -> Vec<Unfiltered> {
    let mut table = TableSchema::clone(&every_type());
    table.regulars.retain(|column| format > 1 || !column.name.contains("deep"));
    let mut rows = Vec::new();
    for (i, state) in (0_u8..).zip(states()) {
        for (raw, ts) in [(false, 1_700_000_000_000_000), (true, 5)] {
            let columns = (0..).zip(&table.regulars);
            let columns =
                columns.map(|(at, c)| (at, data(&c.name, c.cql_type.is_multi_cell(), state, raw, ts, format)));
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

fn stream(format: u32) -> Vec<Sample> {
    let deletion = Deletion { marked_at: 1_600_000_000_000_000, local_time: 1_600_000_000 };
    let text = data("text", false, CellState::Live, false, 9, format);
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
        (partition(i64::MIN + 1, b"\0\x04\0\0\0\x01\0\0\x01a\0", Deletion::LIVE, Some(static_row)), rows(format)),
        (partition(-1, b"\0\x04\0\0\0\x02\0\0\0\0", deletion, None), markers()),
        (partition(0, b"no composite", Deletion::LIVE, None), vec![Unfiltered::Row(deleted_row)]),
        (partition(i64::MAX, b"\0\0\0\0\x01b\0", Deletion::LIVE, None), Vec::new()),
    ]
}

#[test]
fn every_format_is_read_for_ever() {
    for format in 1..=SEGMENT_FORMAT {
        assert_eq!(read(format), stream(format), "format {format}");
    }
}

#[test]
fn this_build_gives_the_fixtures_back_as_well() {
    for format in 1..=SEGMENT_FORMAT {
        let (_, bytes) = write(&layout(), WriteLimits::default(), stream(format)).unwrap().remove(0);
        // How the file of a new format is made, once.
        if let Some(path) = std::env::var_os("TIDEMARK_SEGMENT_FIXTURE").filter(|_| format == SEGMENT_FORMAT) {
            std::fs::write(path, &bytes).unwrap();
        }
        let mut reader = SegmentReader::open(Arc::new(bytes), layout(), "new").unwrap();
        assert_eq!(collect(&mut reader).unwrap(), stream(format));
    }
}
