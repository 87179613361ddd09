//! Rows to writes, as tables.

use bytes::{BufMut, BytesMut};

use crate::restore::job::TtlPolicy;

use super::*;
use crate::restore::samples::{self, complex, expiring, int, live};

const NOW: u32 = 1_000;
const SIZES: WriteSizes = WriteSizes { limit: 16 << 20, full: 8 << 20 };
const CLOCK: Clock =
    Clock { lifetimes: Lifetimes { policy: TtlPolicy::Keep, cut: NOW, last_expiry: ttl::LAST_EXPIRY_2038 }, now: NOW };

fn writes(row: &Row) -> Vec<Write> {
    let schema = samples::schema();
    row_writes(&schema, &Shapes::of(&schema, "ks", "t"), row, false, CLOCK, SIZES).unwrap()
}

fn raw(value: impl Into<Bytes>) -> Raw {
    Raw::Bytes(value.into())
}

#[test]
fn a_plain_insert_is_one_statement() {
    let columns =
        vec![(0, ColumnData::Simple(live(5, int(1)))), (1, ColumnData::Simple(live(5, Bytes::from_static(b"x"))))];
    let writes = writes(&samples::row(7, Some(5), columns));
    assert_eq!(writes.len(), 1);
    assert_eq!(writes[0].values, vec![raw(int(1)), raw(&b"x"[..])]);
    let bound = writes[0].bind(&[int(3)], &[int(7)]);
    let ts = Bytes::copy_from_slice(&5_i64.to_be_bytes());
    assert_eq!(bound, vec![raw(int(3)), raw(int(7)), raw(int(1)), raw(&b"x"[..]), raw(ts), raw(int(0))]);
}

#[test]
fn cells_of_other_times_are_updates_with_the_rest_unset() {
    let columns = vec![
        (0, ColumnData::Simple(live(6, int(1)))),
        (1, ColumnData::Simple(expiring(6, NOW + 9, Bytes::from_static(b"x")))),
    ];
    let writes = writes(&samples::row(7, Some(5), columns));
    let seen: Vec<_> = writes.iter().map(|w| (w.statement, w.ts, w.ttl)).collect();
    let update = StatementId::Regular(0);
    assert_eq!(seen, vec![(StatementId::Insert, 5, 0), (update, 6, 0), (update, 6, 9)]);
    assert_eq!(writes[0].values, vec![Raw::Unset, Raw::Unset]);
    let unset = Raw::Unset;
    assert_eq!(
        writes[1].values,
        vec![raw(int(1)), unset.clone(), empty_list(), unset.clone(), unset.clone(), unset.clone(), unset,]
    );
}

#[test]
fn what_has_expired_or_is_deleted_is_not_written() {
    let dead = Cell { ts: 5, state: CellState::Tombstone { local_time: 1 }, value: Bytes::new() };
    let columns = vec![(0, ColumnData::Simple(expiring(5, NOW, int(1)))), (1, ColumnData::Simple(dead))];
    let row = samples::row(7, None, columns);
    assert!(writes(&row).is_empty());
    assert!(is_live(&row, NOW - 1) && !is_live(&row, NOW));
}

#[test]
fn a_row_without_its_expiries_is_one_statement_and_a_rebased_one_lives_on() {
    let columns = vec![
        (0, ColumnData::Simple(expiring(5, NOW + 9, int(1)))),
        (1, ColumnData::Simple(expiring(5, NOW - 1, int(2)))),
    ];
    let row = samples::row(7, Some(5), columns);
    let schema = samples::schema();
    let ttls = |policy| {
        let lifetimes = Lifetimes { policy, cut: NOW - 10, ..CLOCK.lifetimes };
        let clock = Clock { lifetimes, ..CLOCK };
        let writes = row_writes(&schema, &Shapes::of(&schema, "ks", "t"), &row, false, clock, SIZES).unwrap();
        writes.iter().map(|w| w.ttl).collect::<Vec<_>>()
    };
    assert_eq!(ttls(TtlPolicy::Keep), [0, 9]);
    assert_eq!(ttls(TtlPolicy::Rebase), [0, 19, 9]);
    assert_eq!(ttls(TtlPolicy::Strip), [0]);
}

#[test]
fn list_elements_keep_their_order_over_runs_of_times() {
    let path = |n: u8| Bytes::copy_from_slice(&[n; 16]);
    let cells = vec![
        (path(1), live(5, int(10))),
        (path(2), live(6, int(11))),
        (path(3), live(5, int(12))),
        (path(4), live(5, int(13))),
    ];
    let writes = writes(&samples::row(7, Some(5), vec![(2, complex(cells))]));
    let list = |w: &Write| w.values.get(2).cloned();
    let encoded = |values: &[i32]| {
        let mut bytes = BytesMut::new();
        bytes.put_i32(values.len() as i32);
        values.iter().for_each(|v| {
            bytes.put_i32(4);
            bytes.put_i32(*v);
        });
        Some(raw(bytes.freeze()))
    };
    assert_eq!(writes[0].statement, StatementId::Insert);
    let lists: Vec<_> = writes[1..].iter().map(list).collect();
    assert_eq!(lists, vec![encoded(&[10]), encoded(&[11]), encoded(&[12, 13])]);
    assert!(writes[1..].iter().all(|w| w.appends) && !writes[0].appends);
}

#[test]
fn maps_sets_and_fields_share_one_update() {
    let text = |s: &'static str| Bytes::from_static(s.as_bytes());
    let columns = vec![
        (3, complex(vec![(text("k"), live(5, int(1)))])),
        (4, complex(vec![(text("e"), live(5, Bytes::new()))])),
        (5, complex(vec![(Bytes::from_static(&[0, 1]), live(5, text("g")))])),
    ];
    let writes = writes(&samples::row(7, None, columns));
    assert_eq!(writes.len(), 1);
    let map = [&[0, 0, 0, 1, 0, 0, 0, 1][..], b"k", &[0, 0, 0, 4, 0, 0, 0, 1]].concat();
    assert_eq!(writes[0].values[3], raw(map));
    assert_eq!(writes[0].values[4], raw([&[0, 0, 0, 1, 0, 0, 0, 1][..], b"e"].concat()));
    assert_eq!(writes[0].values[5..], [Raw::Unset, raw(text("g"))]);
}

#[test]
fn empty_values_are_written_where_cql_takes_them_and_refused_by_name_elsewhere() {
    let row = samples::row(7, None, vec![(0, ColumnData::Simple(live(5, Bytes::new())))]);
    assert_eq!(writes(&row)[0].values[0], raw(Bytes::new()));
    let mut schema = samples::schema();
    schema.regulars[0].cql_type = CqlType::Date;
    let shapes = Shapes::of(&schema, "ks", "t");
    let refused = row_writes(&schema, &shapes, &row, false, CLOCK, SIZES);
    assert!(matches!(refused, Err(Error::Empty { column, .. }) if column == "a"));
    let CqlType::List { element, .. } = &mut schema.regulars[2].cql_type else { panic!("column 2 is a list") };
    **element = CqlType::SmallInt;
    let element = samples::row(7, None, vec![(2, complex(vec![(Bytes::from(vec![1; 16]), live(5, Bytes::new()))]))]);
    assert!(row_writes(&schema, &shapes, &element, false, CLOCK, SIZES).is_err());
}

#[test]
fn a_repeated_write_without_appends_keeps_the_other_columns() {
    let cells = complex(vec![(Bytes::from(vec![1; 16]), live(5, int(1)))]);
    let row = samples::row(7, None, vec![(0, ColumnData::Simple(live(5, int(9)))), (2, cells.clone())]);
    let schema = samples::schema();
    let shapes = Shapes::of(&schema, "ks", "t");
    let kept = writes(&row).remove(0).without_appends(&shapes.regular[0]).unwrap();
    assert_eq!((kept.values[0].clone(), kept.values[2].clone(), kept.appends), (raw(int(9)), empty_list(), false));
    let only_list = samples::row(7, None, vec![(2, cells)]);
    assert!(writes(&only_list).remove(0).without_appends(&shapes.regular[0]).is_none());
}

#[test]
fn elements_without_bytes_are_written_by_themselves_in_their_place() {
    let path = |n: u8| Bytes::copy_from_slice(&[n; 16]);
    let cells = vec![(path(1), live(5, int(1))), (path(2), live(5, Bytes::new())), (path(3), live(5, int(3)))];
    let row = samples::row(7, Some(5), vec![(2, complex(cells))]);
    let found = writes(&row);
    let apart: Vec<_> = found.iter().map(|w| (w.apart.as_deref(), w.appends)).collect();
    assert_eq!(apart, vec![(None, false), (None, true), (Some("\"l\" = \"l\" + [blobAsInt(0x)]"), true), (None, true)]);
    // Times and keys are bound, the element is not.
    assert!(found[2].values.is_empty());
    assert_eq!(found[2].bind(&[int(3)], &[int(7)]).len(), 4);
    let shapes = Shapes::of(&samples::schema(), "ks", "t");
    assert!(found[2].clone().without_appends(shapes.get(found[2].statement)).is_none());
}

fn wide(cells: Vec<(Bytes, Cell)>, sizes: WriteSizes) -> Result<Vec<Write>, Error> {
    let mut schema = samples::schema();
    schema.regulars[3].cql_type =
        CqlType::Map { key: Box::new(CqlType::Text), value: Box::new(CqlType::Blob), frozen: false };
    let row = samples::row(7, None, vec![(3, complex(cells))]);
    row_writes(&schema, &Shapes::of(&schema, "ks", "t"), &row, false, CLOCK, sizes)
}

#[test]
fn a_collection_larger_than_a_write_is_cut_and_an_element_larger_than_the_limit_is_named() {
    let big = |mib: usize| live(5, Bytes::from(vec![b'x'; mib << 20]));
    let cells = |sizes: &[usize]| (0_u8..).zip(sizes).map(|(n, mib)| (vec![n].into(), big(*mib))).collect();
    let sizes = WriteSizes::below(4 << 20);
    let found = wide(cells(&[1, 1, 1, 3, 1]), sizes).unwrap();
    assert_eq!(found.iter().map(|w| w.bytes >> 20).collect::<Vec<_>>(), vec![1, 1, 1, 3, 1]);
    assert_eq!(wide(cells(&[1, 1, 1]), WriteSizes::below(16 << 20)).unwrap().len(), 1);
    let refused = wide(cells(&[1, 5]), sizes).unwrap_err();
    assert!(
        matches!(&refused, Error::Large { column, bytes, limit } if column == "m" && *bytes > 5 << 20 && *limit == 4 << 20)
    );
}

#[test]
fn cells_of_one_time_are_cut_too() {
    let big = || ColumnData::Simple(live(5, Bytes::from(vec![b'x'; 1 << 20])));
    let mut schema = samples::schema();
    schema.regulars[0].cql_type = CqlType::Blob;
    let row = samples::row(7, Some(5), vec![(0, big()), (1, big())]);
    let shapes = Shapes::of(&schema, "ks", "t");
    let count = |limit| row_writes(&schema, &shapes, &row, false, CLOCK, WriteSizes::below(limit)).unwrap().len();
    assert_eq!((count(16 << 20), count(2 << 20)), (1, 2));
}

#[test]
fn a_hundred_thousand_times_are_as_many_writes() {
    let cells = (0..100_000_i32).map(|n| (int(n), live(i64::from(n), Bytes::new()))).collect();
    let mut schema = samples::schema();
    schema.regulars[4].cql_type = CqlType::Set { element: Box::new(CqlType::Int), frozen: false };
    let row = samples::row(7, None, vec![(4, complex(cells))]);
    let found = row_writes(&schema, &Shapes::of(&schema, "ks", "t"), &row, false, CLOCK, SIZES).unwrap();
    assert!(found.iter().map(|w| w.ts).eq(0..100_000));
}

#[test]
fn static_rows_bind_the_partition_key_only() {
    let schema = samples::schema();
    let row = Row { columns: vec![(0, ColumnData::Simple(live(5, Bytes::from_static(b"s"))))], ..Row::default() };
    let writes = row_writes(&schema, &Shapes::of(&schema, "ks", "t"), &row, true, CLOCK, SIZES).unwrap();
    assert_eq!(writes[0].statement, StatementId::Static(0));
    assert_eq!(writes[0].bind(&[int(3)], &[]).len(), 4);
}
