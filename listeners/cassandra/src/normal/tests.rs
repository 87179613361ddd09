use tidemark_cassandra_format::model::{
    BoundKind::{ExclEnd, ExclEndInclStart, ExclStart, InclEnd, InclEndExclStart, InclStart},
    Expiry, Liveness,
};

use super::*;
use crate::merge::{MemoryReader, fixtures::*};

const NOW: u32 = 100;

fn normal(content: Vec<Content>) -> Vec<Content> {
    drain(&mut NormalReader::new(schema(), MemoryReader::new(content), NOW)).unwrap()
}

fn one(rest: Vec<Unfiltered>) -> Vec<Content> {
    vec![(head(0), rest)]
}

fn differences(left: Vec<Content>, right: Vec<Content>) -> Vec<Difference> {
    let mut all = Vec::new();
    let mut walk = Differences::new(schema(), MemoryReader::new(left), MemoryReader::new(right), NOW);
    while let Some(difference) = walk.next().unwrap() {
        all.push(difference);
    }
    all
}

/// Places, and whether left and right have an atom there.
fn places(left: Vec<Content>, right: Vec<Content>) -> Vec<(Place, bool, bool)> {
    let all = differences(left, right).into_iter();
    all.map(|found| (found.place, found.left.is_some(), found.right.is_some())).collect()
}

fn holds(left: Vec<Content>, right: Vec<Content>, relation: Relation) -> bool {
    let mut walk = Differences::new(schema(), MemoryReader::new(left), MemoryReader::new(right), NOW);
    walk.next_against(relation).unwrap().is_none()
}

fn purgeable(before: u32) -> Relation {
    Relation::EqualButForPurgeable { purge_before_seconds: before }
}

#[test]
fn an_expired_cell_is_a_tombstone_of_the_second_of_its_write() {
    let raw = row(1, 1)
        .cell(A, expiring(7, 30, NOW, "gone"))
        .cell(B, expiring(7, 30, NOW + 1, "kept"))
        .map(Deletion::LIVE, &[("k", expiring(7, 1, 3, "gone"))]);
    let tomb = |local_time| Cell { ts: 7, state: CellState::Tombstone { local_time }, value: Default::default() };
    let expected =
        row(1, 1).cell(A, tomb(70)).cell(B, expiring(7, 30, NOW + 1, "kept")).map(Deletion::LIVE, &[("k", tomb(2))]);
    assert_eq!(normal(one(rows([raw]))), one(rows([expected])));
    let statics = |row| vec![(Partition { static_row: Some(row), ..head(0) }, vec![])];
    let expired = statics(Row::default().cell(0, expiring(7, 30, 99, "gone")));
    assert_eq!(normal(expired), statics(Row::default().cell(0, tomb(69))));
}

#[test]
fn an_expired_marker_stays() {
    let expired = Row { liveness: Some(Liveness { ts: 1, expiry: expiry(5, 9) }), ..row(1, 1) };
    assert_eq!(normal(one(rows([expired.clone()]))), one(rows([expired])));
}

fn expiry(ttl: u32, at: u32) -> Option<Expiry> {
    Some(Expiry { ttl, at })
}

#[test]
fn a_range_that_says_no_more_than_the_partition_s_deletion_is_gone() {
    let ranges = vec![
        marker(InclStart, &[1], None, Some(7)),
        marker(ExclEndInclStart, &[2], Some(7), Some(5)),
        marker(InclEndExclStart, &[3], Some(5), Some(9)),
        marker(InclEnd, &[4], Some(9), None),
    ];
    let of = |rest| vec![(Partition { deletion: deletion(5), ..head(0) }, rest)];
    let expected = vec![
        marker(InclStart, &[1], None, Some(7)),
        marker(ExclEnd, &[2], Some(7), None),
        marker(ExclStart, &[3], None, Some(9)),
        marker(InclEnd, &[4], Some(9), None),
    ];
    assert_eq!(normal(of(ranges)), of(expected));
    let equal = vec![marker(InclStart, &[1], None, Some(5)), marker(InclEnd, &[4], Some(5), None)];
    assert_eq!(normal(of(equal)), of(vec![]));
}

#[test]
fn shadowed_atoms_are_gone() {
    let raw = row(1, 1).marker(4).deleted(deletion(5)).cell(A, live(5, "old")).cell(B, live(6, "new"));
    let expected = row(1, 1).deleted(deletion(5)).cell(B, live(6, "new"));
    assert_eq!(normal(one(rows([raw]))), one(rows([expected])));
}

#[test]
fn equal_copies_have_no_differences() {
    let range = [marker(InclStart, &[1], None, Some(3)), marker(InclEnd, &[1], Some(3), None)];
    let row = row(2, 1).marker(4).cell(A, live(5, "v")).map(deletion(1), &[("k", tombstone(9))]);
    let content = one([range.to_vec(), rows([row])].concat());
    assert_eq!(differences(content.clone(), content), []);
    assert_eq!(differences(vec![], vec![]), []);
}

#[test]
fn every_kind_of_atom_is_compared() {
    let clustering = Some(key(&[1, 1]));
    let one_row = |row: Row| one(rows([row]));
    let empty = || one_row(row(1, 1).cell(B, live(9, "both")));
    let with = |row: Row| one_row(row.cell(B, live(9, "both")));
    let only_left = |content, place| assert_eq!(places(content, empty()), [(place, true, false)]);
    only_left(with(row(1, 1).marker(4)), Place::Marker { row: clustering.clone() });
    only_left(with(row(1, 1).deleted(deletion(4))), Place::RowDeletion { row: clustering.clone() });
    let cell = Place::Cell { row: clustering.clone(), column: A, path: None };
    only_left(with(row(1, 1).cell(A, live(4, "v"))), cell.clone());
    let column = one_row(row(1, 1).cell(B, live(9, "both")).map(deletion(4), &[("k", live(6, "v"))]));
    let path = Some(b"k".as_slice().into());
    let expected = [
        (Place::ColumnDeletion { row: clustering.clone(), column: M }, false, true),
        (Place::Cell { row: clustering, column: M, path }, false, true),
    ];
    assert_eq!(places(empty(), column), expected);
    let changed = |value| with(row(1, 1).cell(A, live(4, value)));
    assert_eq!(places(changed("v"), changed("w")), [(cell, true, true)]);
}

#[test]
fn heads_and_static_rows_are_compared_where_one_side_lacks_the_partition() {
    let static_row = Some(Row::default().cell(0, live(6, "s")));
    let deleted = Partition { deletion: deletion(5), static_row, ..head(3) };
    let left = vec![(head(1), rows([row(1, 1).marker(9)])), (deleted, vec![])];
    let right = vec![(head(1), rows([row(1, 1).marker(9)])), (head(5), rows([row(1, 1).marker(9)]))];
    let expected = [
        (Place::PartitionDeletion, true, false),
        (Place::Cell { row: None, column: 0, path: None }, true, false),
        (Place::Marker { row: Some(key(&[1, 1])) }, false, true),
    ];
    assert_eq!(places(left, right), expected);
}

#[test]
fn ranges_are_compared_between_bounds() {
    let left = vec![marker(InclStart, &[1], None, Some(5)), marker(InclEnd, &[4], Some(5), None)];
    let right = vec![marker(InclStart, &[2], None, Some(5)), marker(ExclEnd, &[5], Some(5), None)];
    let range = |value, after| Place::RangeDeletion { prefix: key(&[value]), after };
    let expected = [(range(1, false), true, false), (range(4, true), false, true)];
    assert_eq!(places(one(left), one(right)), expected);
}

#[test]
fn a_purged_range_between_two_others_is_the_only_difference() {
    let full = vec![
        marker(InclStart, &[1], None, Some(50)),
        marker(ExclEndInclStart, &[2], Some(50), Some(20)),
        marker(InclEndExclStart, &[3], Some(20), Some(50)),
        marker(InclEnd, &[4], Some(50), None),
    ];
    let purged = vec![
        marker(InclStart, &[1], None, Some(50)),
        marker(ExclEnd, &[2], Some(50), None),
        marker(ExclStart, &[3], None, Some(50)),
        marker(InclEnd, &[4], Some(50), None),
    ];
    let place = Place::RangeDeletion { prefix: key(&[2]), after: false };
    assert_eq!(places(one(full.clone()), one(purged.clone())), [(place, true, false)]);
    assert!(holds(one(full.clone()), one(purged.clone()), purgeable(21)));
    assert!(!holds(one(full), one(purged), purgeable(20)));
}

#[test]
fn only_dead_atoms_before_the_instant_are_purgeable() {
    let kept = || row(1, 1).cell(B, live(9, "both"));
    let cases = [
        (kept().deleted(deletion(4)), 4),
        (row(1, 1).cell(A, tombstone(4)).cell(B, live(9, "both")), 4),
        (row(1, 1).cell(A, expiring(9, 30, 90, "v")).cell(B, live(9, "both")), 60),
        (kept().map(deletion(4), &[]), 4),
        (Row { liveness: Some(Liveness { ts: 4, expiry: expiry(30, 90) }), ..kept() }, 90),
    ];
    for (dead, local_time) in cases {
        let (with, without) = (one(rows([dead])), one(rows([kept()])));
        assert!(!holds(with.clone(), without.clone(), Relation::Equal));
        assert!(!holds(with.clone(), without.clone(), purgeable(local_time)), "{with:?}");
        assert!(holds(with.clone(), without.clone(), purgeable(local_time + 1)), "{with:?}");
        assert!(holds(without, with, purgeable(local_time + 1)));
    }
}

#[test]
fn live_atoms_are_never_purgeable() {
    let cases = [
        row(1, 1).cell(A, live(1, "v")),
        row(1, 1).cell(A, expiring(1, 100, NOW + 1, "v")),
        row(1, 1).marker(1),
        Row { liveness: Some(Liveness { ts: 4, expiry: expiry(30, NOW + 1) }), ..row(1, 1) },
    ];
    for alive in cases {
        assert!(!holds(one(rows([alive.clone()])), vec![], purgeable(u32::MAX)), "{alive:?}");
        assert!(!holds(vec![], one(rows([alive.clone()])), purgeable(u32::MAX)), "{alive:?}");
    }
}

#[test]
fn a_stream_that_fails_is_named_and_is_not_the_end() {
    let unclosed = one(vec![marker(InclStart, &[1], None, Some(5))]);
    let mut walk = Differences::new(schema(), MemoryReader::new(vec![]), MemoryReader::new(unclosed), NOW);
    let mut failures = 0;
    for _ in 0..3 {
        failures += usize::from(matches!(walk.next(), Err(Error::Right(_))));
    }
    assert!(failures >= 2, "{failures} of 3 calls failed");
}
