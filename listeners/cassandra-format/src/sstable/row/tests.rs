//! Rows and markers byte by byte: each way in which they can be wrong, by its reason.

use super::*;
use crate::sstable::cursor::Fault;
use crate::sstable::header::Bases;

/// Clustering `(int, text)`; columns `int`, `set<text>`, `list<int>`, of which the last two are of several cells.
fn layout() -> Layout {
    let set = CqlType::Set { element: Box::new(CqlType::Text), frozen: false };
    let list = CqlType::List { element: Box::new(CqlType::Int), frozen: false };
    let column = |index, cql_type: CqlType| FileColumn {
        fixed_length: cql_type.fixed_length(),
        is_complex: cql_type.is_multi_cell(),
        cql_type,
        target: Target::Keep(index, None),
    };
    Layout {
        bases: Bases { timestamp: 0, local_time: 0, ttl: 0 },
        clustering: vec![Some(4), None],
        statics: vec![column(0, CqlType::Int)],
        regulars: vec![column(0, CqlType::Int), column(1, set), column(2, list)],
    }
}

/// Columns that a subset leaves out: all but the one named, or all.
const INT: u8 = 0b110;
const SET: u8 = 0b101;
const LIST: u8 = 0b011;
const NONE: u8 = 0b111;

/// `(1, 'a')`.
const CLUSTERING: [u8; 7] = [0, 0, 0, 0, 1, 1, b'a'];
/// A write time of i64::MIN, which is that of no deletion.
const NEVER: [u8; 9] = [0xff, 0x80, 0, 0, 0, 0, 0, 0, 0];

/// Flags, the clustering above, the size, the size before, the body.
fn row(flags: &[u8], body: &[u8]) -> Vec<u8> {
    [flags, &CLUSTERING, &[body.len() as u8 + 1, 0], body].concat()
}

/// A row of no marker with one column, which a subset names.
fn column(subset: u8, data: &[u8]) -> Vec<u8> {
    row(&[0], &[&[subset], data].concat())
}

/// A marker of this kind with a prefix of one value.
fn marker(kind: u8, deletions: &[u8]) -> Vec<u8> {
    [&[MARKER, kind, 0, 1], &CLUSTERING[..5], &[deletions.len() as u8 + 1, 0], deletions].concat()
}

fn read(bytes: &[u8]) -> Decoded<Option<Unfiltered>> {
    let bytes = Bytes::copy_from_slice(bytes);
    let mut cursor = Cursor::new(&bytes, 0);
    let read = read_unfiltered(&mut cursor, &layout())?;
    assert!(cursor.is_at_end(), "the whole of {bytes:02x?}");
    Ok(read.map(|(unfiltered, _)| unfiltered))
}

/// The reason why these bytes are refused.
fn reason(bytes: &[u8]) -> &'static str {
    match read(bytes) {
        Err(Fault::Corrupt(_, reason)) => reason,
        other => panic!("{bytes:02x?}: {other:?}"),
    }
}

#[test]
fn what_is_well_formed_is_read() {
    for bytes in [
        row(&[HAS_TIMESTAMP], &[5, INT, 0x08, 0, 0, 0, 7]),
        row(&[HAS_TIMESTAMP | HAS_TTL], &[5, 9, 9, INT, 0x1a, 0, 0, 0, 7]),
        row(&[EXTENSION | HAS_DELETION, SHADOWABLE], &[5, 5, NONE]),
        column(INT, &[0x05, 5, 5]),
        column(INT, &[0x02, 5, 5, 5, 0, 0, 0, 7]),
        column(SET, &[2, 0x04, 5, 1, b'a', 0x04, 5, 1, b'b']),
        marker(1, &[5, 5]),
        marker(2, &[5, 5, 6, 6]),
    ] {
        assert!(read(&bytes).unwrap().is_some(), "{bytes:02x?}");
    }
    assert_eq!(read(&[END_OF_PARTITION]), Ok(None));
}

#[test]
fn flags_without_meaning_are_refused() {
    let of_row = "unknown flags of a row";
    for flags in [
        &[0x03][..],
        &[0x05],
        &[0x06],
        &[EXTENSION, 0],
        &[EXTENSION, 0x04],
        &[EXTENSION | HAS_DELETION, 0x82],
        &[HAS_TTL],
        &[EXTENSION, SHADOWABLE],
    ] {
        assert_eq!(reason(&row(flags, &[5, 5, NONE])), of_row, "{flags:02x?}");
    }
    for flags in [0x20, 0x80, 0x07, 0x10, 0x15] {
        assert_eq!(reason(&column(INT, &[flags, 5, 5, 5, 0, 0, 0, 7])), "unknown flags of a cell", "{flags:02x}");
    }
    assert_eq!(reason(&column(INT, &[0x01, 5, 5, 0, 0, 0, 7])), "a deleted cell with a value");
}

#[test]
fn a_static_row_stands_first_and_nowhere_else() {
    assert_eq!(reason(&row(&[EXTENSION, STATIC], &[NONE])), "a static row among the rows");
    let statics = |bytes: &[u8]| {
        let bytes = Bytes::copy_from_slice(bytes);
        read_static_row(&mut Cursor::new(&bytes, 0), &layout())
    };
    assert!(statics(&[EXTENSION, STATIC, 2, 0, 1]).unwrap().is_empty());
    for first in [&[END_OF_PARTITION][..], &[MARKER], &[0, STATIC, 2, 0, 1], &[EXTENSION | MARKER, STATIC, 2, 0, 1]] {
        assert_eq!(statics(first), Err(Fault::Corrupt(1, "the static row is missing")), "{first:02x?}");
    }
    let without = statics(&[EXTENSION | HAS_DELETION, SHADOWABLE, 4, 0, 5, 5, 1]);
    assert_eq!(without, Err(Fault::Corrupt(2, "the static row is missing")));
}

#[test]
fn clusterings_have_the_table_s_values_and_no_more() {
    let of = |states: u8, values: &[u8]| [&[0, states], values, &[2, 0, NONE]].concat();
    assert_eq!(reason(&of(0b11, &[1, b'a'])), "a clustering value that is empty and null");
    assert_eq!(reason(&of(0b01_00_00, &CLUSTERING[1..])), "states of clustering values that are not there");
    let Ok(Some(Unfiltered::Row(row))) = read(&of(0b10_01, &[])) else { panic!("a row") };
    assert_eq!(row.clustering, [Some(Bytes::new()), None]);
    let longer = [&[MARKER, 1, 0, 3, 0, 0, 0, 0, 1, 1, b'a'][..], &[3, 0, 5, 5]].concat();
    assert_eq!(reason(&longer), "a bound longer than the clustering");
}

#[test]
fn sizes_are_those_of_the_content() {
    for (body, size) in [(&[NONE][..], 3), (&[NONE], 1), (&[INT, 0x08, 0, 0, 0, 7], 4)] {
        let flags = if body.len() > 1 { HAS_TIMESTAMP } else { 0 };
        let time: &[u8] = if body.len() > 1 { &[5] } else { &[] };
        let bytes = [&[flags], &CLUSTERING[..], &[size, 0], time, body, &[0, 0]].concat();
        assert_eq!(reason(&bytes), "the size of a row does not fit its content");
    }
    let mut of_marker = marker(1, &[5, 5]);
    of_marker[9] += 1;
    assert_eq!(reason(&[&of_marker[..], &[0]].concat()), "the size of a row does not fit its content");
}

#[test]
fn cells_refer_to_what_their_row_has() {
    assert_eq!(reason(&column(INT, &[0x08, 0, 0, 0, 7])), "a cell refers to the write time of a row without one");
    let without_ttl = row(&[HAS_TIMESTAMP], &[5, INT, 0x1a, 0, 0, 0, 7]);
    assert_eq!(reason(&without_ttl), "a cell refers to the TTL of a row without one");
    let never = [0xf0_u8, 0x80, 0, 0, 0];
    for ttl in [&[0][..], &never] {
        let cell = [&[0x02, 5, 5], ttl, &[0, 0, 0, 7]].concat();
        assert_eq!(reason(&column(INT, &cell)), "a TTL that is not positive", "{ttl:02x?}");
    }
    assert_eq!(reason(&column(0b1000, &[])), "columns that the file does not have");
}

#[test]
fn paths_have_their_length_and_ascend() {
    assert_eq!(reason(&column(LIST, &[1, 0x04, 5, 1, b'a'])), "a path of the wrong length");
    for second in [b'a', b'A'] {
        let cells = [2, 0x04, 5, 1, b'a', 0x04, 5, 1, second];
        assert_eq!(reason(&column(SET, &cells)), "cells of a column are not in order");
    }
}

#[test]
fn more_cells_than_bytes_are_asked_for_before_they_are_collected() {
    let claimed = column(SET, &[0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]);
    assert!(matches!(read(&claimed), Err(Fault::Incomplete(needed)) if needed > 1 << 50), "{:?}", read(&claimed));
}

#[test]
fn markers_have_a_known_kind_and_delete_something() {
    for kind in [3, 4, 8, 0xff] {
        assert_eq!(reason(&marker(kind, &[5, 5])), "unknown kind of a bound", "{kind}");
    }
    for kind in [0, 1] {
        assert_eq!(reason(&marker(kind, &[&NEVER[..], &[5]].concat())), "a range tombstone that deletes nothing");
    }
}
