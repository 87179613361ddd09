//! Tests of counters in a merge: which cell survives, what is refused, and that the join is one.

use std::sync::Arc;

use bytes::Bytes;
use proptest::{collection::vec, prelude::*};
use tidemark_cassandra_format::{
    model::{Cell, CellState, Deletion, Partition, Row, Unfiltered},
    schema::TableSchema,
    types::CqlType,
};

use super::{Error, MemoryReader, MergeReader, fixtures::*};
use crate::{
    counter::{
        Refused,
        fixtures::{Written, context},
    },
    resolver::{PartitionResolver, PartitionState},
};

/// The table of the fixtures with counters for its columns `a`, `b` and the static `s`.
fn counters() -> Arc<TableSchema> {
    let mut counters = TableSchema::clone(&schema());
    let TableSchema { statics, regulars, .. } = &mut counters;
    statics.iter_mut().chain(&mut regulars[..2]).for_each(|column| column.cql_type = CqlType::Counter);
    Arc::new(counters)
}

fn count(ts: i64, shards: &[Written]) -> Cell {
    Cell { ts, state: CellState::Live, value: context(shards) }
}

/// The cell that the merge of these makes of one column.
fn one_cell(cells: impl IntoIterator<Item = Cell>) -> Cell {
    let versions = cells.into_iter().map(|cell| row(1, 1).cell(A, cell));
    let merged = merge(versions.map(|row| (head(0), rows([row])))).unwrap();
    let [(_, rest)] = &merged[..] else { panic!("{merged:?}") };
    let [Unfiltered::Row(row)] = &rest[..] else { panic!("{rest:?}") };
    let [(A, tidemark_cassandra_format::model::ColumnData::Simple(cell))] = &row.columns[..] else { panic!("{row:?}") };
    cell.clone()
}

fn merge(sources: impl IntoIterator<Item = Content>) -> Result<Vec<Content>, MemoryError> {
    let readers = sources.into_iter().map(|content| MemoryReader::new([content])).collect();
    drain(&mut MergeReader::new(counters(), readers))
}

#[test]
fn counts_of_several_leaders_add_up_at_the_latest_write_time() {
    let merged = one_cell([count(5, &[(1, 'g', 1, 10)]), count(9, &[(2, 'g', 1, 3)]), count(7, &[(1, 'g', 2, 12)])]);
    assert_eq!(merged, count(9, &[(1, 'g', 2, 12), (2, 'g', 1, 3)]));
}

#[test]
fn a_tombstone_beats_a_counter_of_any_time() {
    assert_eq!(one_cell([count(9, &[(1, 'g', 1, 10)]), tombstone(5)]), tombstone(5));
    assert_eq!(one_cell([tombstone(5), count(9, &[(1, 'g', 1, 10)]), tombstone(7)]), tombstone(7));
}

#[test]
fn what_a_deletion_covers_takes_no_part_in_the_merge() {
    let older = row(1, 1).cell(A, count(5, &[(1, 'g', 7, 70)]));
    let deleted = row(1, 1).deleted(deletion(6)).cell(A, count(9, &[(2, 'g', 1, 1)]));
    let merged = merge([older, deleted.clone()].map(|row| (head(0), rows([row])))).unwrap();
    assert_eq!(merged, [(head(0), rows([deleted]))]);
    let statics = |ts, id| Some(Row::default().cell(0, count(ts, &[(id, 'g', 1, 1)])));
    let gone = Partition { static_row: statics(5, 1), ..head(0) };
    let kept = Partition { static_row: statics(9, 2), deletion: deletion(6), ..head(0) };
    assert_eq!(merge([(gone, vec![]), (kept.clone(), vec![])]).unwrap(), [(kept, vec![])]);
}

#[test]
fn local_shards_are_refused_with_source_key_and_column() {
    let local = count(1, &[(1, 'l', 1, 1)]);
    let of_row = (head(7), rows([row(1, 1).cell(B, local.clone())]));
    let of_static = (Partition { static_row: Some(Row::default().cell(0, local)), ..head(7) }, vec![]);
    let good = (head(7), rows([row(1, 1).cell(B, count(1, &[(1, 'g', 1, 1)]))]));
    for (bad, name) in [(of_row, "b"), (of_static, "s")] {
        let refused = merge([good.clone(), bad]);
        let Err(Error::Counter { index: Some(1), key, column, source: Refused::Local }) = refused else {
            panic!("{refused:?}")
        };
        assert_eq!((key.as_str(), column.as_str()), ("0000000000000007", name));
    }
}

#[test]
fn counters_that_expire_or_hold_no_context_are_refused() {
    for cell in [expiring(1, 5, 9, ""), live(1, ""), live(1, "no context")] {
        let refused = merge([(head(0), rows([row(1, 1).cell(A, cell)]))]);
        assert!(matches!(refused, Err(Error::Counter { source: Refused::Malformed(_), .. })), "{refused:?}");
    }
}

/// One version of the partition. Deletions lie before or after all counts: what is written to a counter after its deletion
/// has no defined value in Cassandra.
fn states() -> impl Strategy<Value = PartitionState> {
    let deletion = |at: &'static [i64]| {
        proptest::sample::select(at).prop_map(|at| if at == 0 { Deletion::LIVE } else { deletion(at) })
    };
    let cell = prop_oneof![
        4 => (1_i64..20, shards()).prop_map(|(ts, value)| Cell { ts, state: CellState::Live, value }),
        1 => (1_i64..20).prop_map(tombstone),
    ];
    let cells = vec(proptest::option::of(cell), 3);
    (cells, deletion(&[0, 0, 0, 0, 100]), deletion(&[0, 0, 0, 0, 90])).prop_map(|(cells, of_row, of_partition)| {
        let [a, b, s] = <[Option<Cell>; 3]>::try_from(cells).unwrap();
        let mut of = row(1, 1);
        of.deletion.time = of_row;
        let of = [(A, a), (B, b)].into_iter().fold(of, |row, (at, cell)| match cell {
            Some(cell) => row.cell(at, cell),
            None => row,
        });
        let static_row = s.map(|cell| Row::default().cell(0, cell));
        let head = Partition { static_row, deletion: of_partition, ..head(0) };
        PartitionResolver::new(counters()).state(head, rows([of])).unwrap()
    })
}

fn shards() -> impl Strategy<Value = Bytes> {
    let shard = (proptest::bool::ANY, 1_i64..4, -1_i64..2);
    proptest::collection::btree_map(0_u8..3, shard, 1..3).prop_map(|shards| {
        let written = |(id, (global, clock, count))| (id, if global { 'g' } else { 'r' }, clock, count);
        context(&shards.into_iter().map(written).collect::<Vec<_>>())
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn joins_of_partitions_with_counters_are_joins(a in states(), b in states(), c in states()) {
        let resolver = PartitionResolver::new(counters());
        let join = |a: &PartitionState, b: &PartitionState| resolver.join(a.clone(), b.clone());
        prop_assert_eq!(join(&a, &b), join(&b, &a));
        prop_assert_eq!(join(&join(&a, &b), &c), join(&a, &join(&b, &c)));
        prop_assert_eq!(join(&a, &a), a.clone());
        prop_assert_eq!(join(&join(&a, &b), &b), join(&a, &b));
    }
}
