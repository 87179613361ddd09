use std::sync::Arc;

use tidemark_cassandra_format::model::{
    BoundKind::{InclEnd, InclStart},
    Cell, CellState, Deletion, Partition, Row, Unfiltered,
};
use tidemark_cassandra_format::{schema::TableSchema, types::CqlType};

use super::{Collapse, CollapseOptions, CollapseStats, Error, ReplicaInput};
use crate::{
    counter::fixtures::{Written, context},
    merge::{MemoryReader, MergeReader, fixtures::*},
};

/// Cut in s; writes are before it up to 999 µs.
const CUT: CollapseOptions = CollapseOptions { now_seconds: 100, cut_from_micros: 1000 };

type Replica = ReplicaInput<MergeReader<MemoryReader>>;

fn replica(host: usize, content: Vec<Content>, owns: impl Fn(i64) -> bool + Send + Sync + 'static) -> Replica {
    let reader = MergeReader::new(schema(), vec![MemoryReader::new(content)]);
    ReplicaInput { host: format!("host-{host}"), reader, owns: Arc::new(owns) }
}

fn run(replicas: Vec<Replica>) -> (Vec<Content>, CollapseStats) {
    let mut collapse = Collapse::new(schema(), replicas, CUT);
    let content = drain(&mut collapse).unwrap();
    (content, collapse.stats())
}

/// Collapses replicas that own everything.
fn collapse(contents: impl IntoIterator<Item = Vec<Content>>) -> (Vec<Content>, CollapseStats) {
    run(contents.into_iter().enumerate().map(|(host, content)| replica(host, content, |_| true)).collect())
}

/// Disagreeing rows of replicas that hold these rows and markers of one partition.
fn disagreeing(replicas: impl IntoIterator<Item = Vec<Unfiltered>>) -> u64 {
    collapse(replicas.into_iter().map(|rest| vec![(head(0), rest)])).1.disagreeing_rows
}

fn update(ts: i64) -> Vec<Unfiltered> {
    rows([row(1, 1).cell(A, live(ts, "v"))])
}

fn with_static(static_row: Row) -> Content {
    (Partition { static_row: Some(static_row), ..head(0) }, vec![])
}

#[test]
fn equal_replicas_collapse_into_one_and_agree() {
    let content = vec![
        (head(1), rows([row(1, 1).marker(5).cell(A, live(5, "v")), row(2, 1).marker(5)])),
        with_token(2, with_static(Row::default().cell(0, live(5, "s")))),
    ];
    let (collapsed, stats) = collapse([content.clone(), content.clone(), content.clone()]);
    assert_eq!(collapsed, content);
    assert_eq!((stats.partitions, stats.live_rows, stats.live_static_rows, stats.disagreeing_rows), (2, 2, 1, 0));
    assert_eq!(stats.not_owned_partitions(), 0);
}

fn with_token(token: i64, (partition, rest): Content) -> Content {
    (Partition { token, ..partition }, rest)
}

#[test]
fn only_live_rows_count() {
    let all = rows([
        row(1, 1).cell(A, expiring(5, 10, 101, "lives")),
        row(2, 1).cell(A, expiring(5, 10, 100, "expired")),
        row(3, 1).cell(A, tombstone(5)),
        row(4, 1).deleted(deletion(5)),
    ]);
    let statics = with_static(Row::default().cell(0, expiring(5, 10, 100, "expired")));
    let (_, stats) = collapse([vec![(statics.0, all)]]);
    assert_eq!((stats.live_rows, stats.live_static_rows), (1, 0));
}

#[test]
fn a_missing_insert_is_a_disagreement() {
    assert_eq!(disagreeing([update(5), vec![]]), 1);
    assert_eq!(disagreeing([vec![], update(5), update(5)]), 1);
    // Also where one replica lacks the whole partition, or all of the table.
    let content = vec![(head(3), update(5))];
    assert_eq!(collapse([content.clone(), vec![(head(4), vec![])]]).1.disagreeing_rows, 1);
    assert_eq!(collapse([vec![], content]).1.disagreeing_rows, 1);
}

#[test]
fn a_missing_marker_is_a_disagreement() {
    let cell = || row(1, 1).cell(A, live(5, "v"));
    assert_eq!(disagreeing([rows([cell().marker(4)]), rows([cell()])]), 1);
}

#[test]
fn a_missing_update_is_a_disagreement() {
    assert_eq!(disagreeing([update(5), update(6)]), 1);
    let other_value = rows([row(1, 1).cell(A, live(5, "w"))]);
    assert_eq!(disagreeing([update(5), other_value]), 1);
    let other_expiry = rows([row(1, 1).cell(A, expiring(5, 300, 305, "v"))]);
    assert_eq!(disagreeing([update(5), other_expiry]), 1);
    let element = |ts| rows([row(1, 1).map(Deletion::LIVE, &[("k", live(ts, "v"))])]);
    assert_eq!(disagreeing([element(5), element(6)]), 1);
}

#[test]
fn each_row_counts_once_however_many_replicas_differ() {
    assert_eq!(disagreeing([update(5), update(6), update(7), vec![]]), 1);
    let two = rows([row(1, 1).marker(5), row(1, 0).marker(5), row(2, 1).marker(5)]);
    assert_eq!(disagreeing([two.clone(), two[..1].to_vec()]), 2);
}

#[test]
fn a_missing_deletion_is_a_disagreement_whatever_its_kind() {
    let deleted = rows([row(1, 1).deleted(deletion(6))]);
    assert_eq!(disagreeing([update(5), deleted]), 1);
    assert_eq!(disagreeing([update(5), rows([row(1, 1).cell(A, tombstone(6))])]), 1);
    let range = vec![marker(InclStart, &[1], None, Some(6)), marker(InclEnd, &[1], Some(6), None)];
    assert_eq!(disagreeing([update(5), range]), 1);
    let gone = vec![(Partition { deletion: deletion(6), ..head(0) }, vec![])];
    assert_eq!(collapse([vec![(head(0), update(5))], gone]).1.disagreeing_rows, 1);
}

#[test]
fn a_purged_tombstone_is_no_disagreement() {
    let live_and = |other: Row| rows([other.cell(A, live(9, "v"))]);
    let tombstones = rows([row(1, 1).cell(A, live(9, "v")).cell(B, tombstone(5)).map(deletion(5), &[])]);
    assert_eq!(disagreeing([tombstones, live_and(row(1, 1))]), 0);
    assert_eq!(disagreeing([live_and(row(1, 1).deleted(deletion(5))), live_and(row(1, 1))]), 0);
    assert_eq!(disagreeing([rows([row(1, 1).deleted(deletion(5))]), vec![]]), 0);
    assert_eq!(disagreeing([rows([row(1, 1).cell(A, expiring(5, 10, 99, "v"))]), vec![]]), 0);
    let range = [marker(InclStart, &[1], None, Some(6)), marker(InclEnd, &[1], Some(6), None)];
    let fresh = rows([row(1, 1).marker(7)]);
    let covered = [&range[..1], &fresh, &range[1..]].concat();
    assert_eq!(disagreeing([covered, fresh]), 0);
}

#[test]
fn each_replica_is_seen_through_its_own_deletions() {
    // Both have deleted the row; one has not compacted the deleted data away.
    let uncompacted = vec![
        marker(InclStart, &[1], None, Some(6)),
        Unfiltered::Row(row(1, 1).cell(A, live(5, "v"))),
        marker(InclEnd, &[1], Some(6), None),
    ];
    let compacted = vec![uncompacted[0].clone(), uncompacted[2].clone()];
    assert_eq!(disagreeing([uncompacted, compacted]), 0);
}

#[test]
fn a_difference_written_after_the_cut_began_is_none() {
    assert_eq!(disagreeing([update(999), vec![]]), 1);
    assert_eq!(disagreeing([update(1000), vec![]]), 0);
    assert_eq!(disagreeing([update(5), update(1000)]), 0);
    assert_eq!(disagreeing([update(5), rows([row(1, 1).deleted(deletion(1000))])]), 0);
    let range = vec![marker(InclStart, &[1], None, Some(1000)), marker(InclEnd, &[1], Some(1000), None)];
    assert_eq!(disagreeing([update(5), range]), 0);
    let gone = vec![(Partition { deletion: deletion(1000), ..head(0) }, vec![])];
    assert_eq!(collapse([vec![(head(0), update(5))], gone]).1.disagreeing_rows, 0);
    // The newest difference decides; what both have does not.
    let both = |of: Row| rows([of.cell(B, live(2000, "both"))]);
    assert_eq!(disagreeing([both(row(1, 1).cell(A, live(5, "v"))), both(row(1, 1))]), 1);
    let element = |cells: &[(&'static str, _)]| rows([row(1, 1).map(Deletion::LIVE, cells)]);
    assert_eq!(
        disagreeing([element(&[("a", live(5, "v")), ("b", live(1000, "v"))]), element(&[("a", live(4, "v"))])]),
        0
    );
    assert_eq!(
        disagreeing([element(&[("a", live(5, "v")), ("b", live(1000, "v"))]), element(&[("b", live(1000, "v"))])]),
        1
    );
}

#[test]
fn static_rows_disagree_too() {
    let of = |ts| vec![with_static(Row::default().cell(0, live(ts, "s")))];
    assert_eq!(collapse([of(5), of(5)]).1.disagreeing_rows, 0);
    assert_eq!(collapse([of(5), of(6)]).1.disagreeing_rows, 1);
    assert_eq!(collapse([of(5), vec![]]).1.disagreeing_rows, 1);
    assert_eq!(collapse([of(5), of(1000)]).1.disagreeing_rows, 0);
    let gone = vec![(Partition { deletion: deletion(6), ..head(0) }, vec![])];
    assert_eq!(collapse([of(5), gone]).1.disagreeing_rows, 1);
}

#[test]
fn what_a_host_does_not_own_is_left_out_and_counted() {
    let content = |tokens: &[i64]| tokens.iter().map(|&token| (head(token), update(token))).collect::<Vec<_>>();
    // Partition 3 belongs to the first only; the second still has an old copy, and 2 belongs to nobody captured.
    let first = replica(1, content(&[1, 2, 3]), |token| token != 2);
    let second = replica(2, content(&[1, 2, 3]), |token| token == 1);
    let (collapsed, stats) = run(vec![first, second]);
    assert_eq!(collapsed, content(&[1, 3]));
    assert_eq!(stats.not_owned, [("host-1".to_owned(), 1), ("host-2".to_owned(), 2)]);
    assert_eq!((stats.not_owned_partitions(), stats.disagreeing_rows), (3, 0));
}

#[test]
fn stale_data_of_a_former_owner_does_not_come_back() {
    let stale = replica(1, vec![(head(1), update(5))], |_| false);
    let deleted = replica(2, vec![], |_| true);
    let (collapsed, stats) = run(vec![stale, deleted]);
    assert_eq!(collapsed, []);
    assert_eq!((stats.live_rows, stats.disagreeing_rows), (0, 0));
}

#[test]
fn errors_name_the_host() {
    let unclosed = vec![marker(InclStart, &[1], None, Some(6))];
    let replicas = vec![replica(1, vec![], |_| true), replica(2, vec![(head(1), unclosed)], |_| true)];
    let result = drain(&mut Collapse::new(schema(), replicas, CUT));
    assert!(matches!(result, Err(Error::Replica { host, .. }) if host == "host-2"));
}

#[test]
fn counters_disagree_by_what_readers_are_told() {
    let mut counters = TableSchema::clone(&schema());
    counters.regulars[0].cql_type = CqlType::Counter;
    let counters = Arc::new(counters);
    let disagreeing = |left: Cell, right: Cell| {
        let replica = |host, cell| {
            let content = MemoryReader::new([(head(0), rows([row(1, 1).cell(A, cell)]))]);
            let reader = MergeReader::new(counters.clone(), vec![content]);
            ReplicaInput { host: format!("host-{host}"), reader, owns: Arc::new(|_| true) }
        };
        let replicas = vec![replica(1, left), replica(2, right)];
        let mut collapse = Collapse::new(counters.clone(), replicas, CUT);
        drain(&mut collapse).unwrap();
        collapse.stats().disagreeing_rows
    };
    let count = |ts, shards: &[Written]| Cell { ts, state: CellState::Live, value: context(shards) };
    let three = || count(5, &[(1, 'g', 2, 3)]);
    assert_eq!(disagreeing(three(), three()), 0);
    assert_eq!(disagreeing(three(), count(5, &[(1, 'g', 1, 1), (2, 'g', 1, 2)])), 0);
    assert_eq!(disagreeing(three(), count(5, &[(1, 'g', 1, 2)])), 1);
    assert_eq!(disagreeing(three(), count(6, &[(1, 'g', 3, 3)])), 1);
    assert_eq!(disagreeing(three(), count(1000, &[(1, 'g', 3, 4)])), 0);
    assert_eq!(disagreeing(three(), tombstone(5)), 1);
}
