use tidemark_records::difference::standing::Standing;

use super::*;
use crate::{
    restore::job::TtlPolicy,
    restore::{
        samples::{self, complex, expiring, int, live},
        write::statements::ttl::{LAST_EXPIRY_2038, Lifetimes},
    },
};

const STAMP: i64 = 1_000;
const ATTEMPT: i64 = STAMP + 6;

fn made(schema: &TableSchema, fix: &Fix) -> Result<Vec<Request>, Error> {
    let shapes = Shapes::of(schema, "ks", "t");
    let lifetimes = Lifetimes { policy: TtlPolicy::Keep, cut: 0, last_expiry: LAST_EXPIRY_2038 };
    let mender = Mender {
        schema,
        shapes: &shapes,
        table: "ks.t".into(),
        stamp: STAMP,
        list_stamp: ATTEMPT,
        clock: Clock { lifetimes, now: 500 },
        sizes: WriteSizes::below(16 << 20),
    };
    mender.requests(fix)
}

fn fix(difference: Difference, remove: bool) -> Fix {
    let partition = PartitionKey { token: 1, raw: int(3), values: vec![int(3)] };
    Fix {
        partition: Arc::new(partition),
        clustering: vec![Some(int(7))],
        is_static: false,
        is_wanted: true,
        difference,
        remove,
    }
}

fn requests(difference: Difference, remove: bool) -> Vec<(String, Vec<Raw>)> {
    let schema = samples::schema();
    let shapes = Shapes::of(&schema, "ks", "t");
    let text = |request: Request| match request.text {
        Text::Prepared(id) => (shapes.get(id).cql.clone(), request.values),
        Text::Cql(cql) => (cql, request.values),
    };
    made(&schema, &fix(difference, remove)).unwrap().into_iter().map(text).collect()
}

fn raw(value: Bytes) -> Raw {
    Raw::Bytes(value)
}

#[test]
fn values_have_the_stamp_and_what_is_left_of_their_lives() {
    let columns = vec![(0, ColumnData::Simple(expiring(STAMP, 560, int(1))))];
    let difference = Difference { standing: Standing::Changed, columns, ..Difference::default() };
    let found = requests(difference, true);
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].1[..2], [long(STAMP), raw(int(60))]);
}

#[test]
fn a_list_is_deleted_right_before_its_elements() {
    let cells = vec![PathCell { path: Bytes::from(vec![1; 16]), cell: live(STAMP, int(1)) }];
    let lists = vec![(2, cells.clone())];
    let difference = Difference { standing: Standing::Changed, lists, ..Difference::default() };
    let found = requests(difference, false);
    assert_eq!(found[0].0, "DELETE \"l\" FROM ks.t USING TIMESTAMP ? WHERE \"pk\" = ? AND \"ck\" = ?");
    assert_eq!(found[0].1, vec![long(ATTEMPT - 1), raw(int(3)), raw(int(7))]);
    assert_eq!(found[1].1[0], long(ATTEMPT));
    let extras = vec![Extra::List(2, cells)];
    let more = Difference { extras, ..Difference::default() };
    assert_eq!(requests(more.clone(), true), found);
    assert!(requests(more, false).is_empty());
}

#[test]
fn what_goes_is_deleted_at_the_instant_and_the_marker_stays() {
    let set = Extra::Elements(4, vec![Bytes::from_static(b"e")]);
    let fields = Extra::Elements(5, vec![Bytes::from_static(&[0, 1])]);
    let marker = Some(tidemark_cassandra_format::model::Liveness { ts: STAMP, expiry: None });
    let extras = vec![Extra::Column(0), set, fields];
    let difference = Difference { marker, extras, ..Difference::default() };
    let found = requests(difference.clone(), true);
    let texts: Vec<&str> = found.iter().map(|(text, _)| text.split(" WHERE").next().unwrap()).collect();
    assert_eq!(
        texts[..3],
        [
            "DELETE \"a\" FROM ks.t USING TIMESTAMP ?",
            "UPDATE ks.t USING TIMESTAMP ? SET \"s\" = \"s\" - ?",
            "DELETE \"u\".\"g\" FROM ks.t USING TIMESTAMP ?",
        ]
    );
    assert!(found[..3].iter().all(|(_, values)| values[0] == long(STAMP - 1)));
    assert_eq!(found[1].1[1], raw(Bytes::from_static(&[0, 0, 0, 1, 0, 0, 0, 1, b'e'])));
    assert!(texts[3].starts_with("INSERT"));
    assert!(requests(difference, false).is_empty());
    let row = Difference { standing: Standing::Extra, extras: vec![Extra::Row], ..Difference::default() };
    let found = requests(row, true);
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].0, "DELETE FROM ks.t USING TIMESTAMP ? WHERE \"pk\" = ? AND \"ck\" = ?");
}

#[test]
fn elements_are_added_and_not_assigned() {
    let columns = vec![(3, complex(vec![(Bytes::from_static(b"k"), live(STAMP, int(1)))]))];
    let difference = Difference { standing: Standing::Changed, columns, ..Difference::default() };
    let found = requests(difference, false);
    assert_eq!(found.len(), 1);
    assert!(found[0].0.contains("\"m\" = \"m\" + ?"));
}

#[test]
fn a_key_that_a_server_would_read_as_another_is_refused() {
    let mut schema = samples::schema();
    let list = CqlType::List { element: Box::new(CqlType::Int), frozen: true };
    schema.partition_key = vec![samples::column("pk", list)];
    let columns = vec![(0, ColumnData::Simple(live(STAMP, int(1))))];
    let changed = Difference { standing: Standing::Changed, columns, ..Difference::default() };
    let extra = Difference { standing: Standing::Extra, extras: vec![Extra::Row], ..Difference::default() };
    // One element without bytes, and one of four.
    for (key, is_odd) in [(&[0, 0, 0, 1, 0, 0, 0, 0][..], true), (&[0, 0, 0, 1, 0, 0, 0, 4, 0, 0, 0, 7][..], false)] {
        let partition = PartitionKey { token: 1, raw: int(3), values: vec![Bytes::copy_from_slice(key)] };
        let partition = Arc::new(partition);
        for difference in [changed.clone(), extra.clone()] {
            let fix = Fix { partition: partition.clone(), ..fix(difference, true) };
            assert_eq!(made(&schema, &fix).is_err(), is_odd);
        }
    }
}

#[test]
fn lists_that_are_replaced_around_newer_elements_are_known_before_and_after() {
    let of = |mixed: &[ColumnIndex]| Difference { mixed: mixed.to_vec(), ..Difference::default() };
    let lists = vec![(2, Vec::new())];
    let replaced = Difference { lists, ..of(&[2]) };
    assert_eq!(fix(replaced.clone(), false).mixed(&of(&[])), vec![2]);
    assert_eq!(fix(Difference { mixed: vec![], ..replaced }, false).mixed(&of(&[2])), vec![2]);
    // One that stays is not looked at.
    let more = Difference { extras: vec![Extra::List(2, Vec::new())], ..of(&[2]) };
    assert!(fix(more.clone(), false).mixed(&of(&[2])).is_empty());
    assert_eq!(fix(more, true).mixed(&of(&[])), vec![2]);
}

#[test]
fn elements_are_removed_in_runs_that_a_write_takes() {
    let lengths = |paths: &[Bytes], full| runs(paths, full).iter().map(|run| run.len()).collect::<Vec<_>>();
    let of = |count: usize, bytes: usize| vec![Bytes::from(vec![0; bytes]); count];
    assert!(lengths(&[], 10).is_empty());
    assert_eq!(lengths(&of(5, 4), 10), vec![2, 2, 1]);
    assert_eq!(lengths(&of(2, 11), 10), vec![1, 1]);
    assert_eq!(lengths(&of(REMOVED_ELEMENTS + 1, 1), 8 << 20), vec![REMOVED_ELEMENTS, 1]);
}
