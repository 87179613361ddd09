use tidemark_cassandra_format::model::{
    BoundKind::{ExclEnd, ExclEndInclStart, ExclStart, InclEnd, InclEndExclStart, InclStart},
    Deletion, Partition, PartitionReader, Row, RowDeletion, Unfiltered,
};

use super::{Error, MemoryReader, MergeReader, fixtures::*};

/// The merged row of versions of row (1, 1), each from its own source.
fn one_row(versions: impl IntoIterator<Item = Row>) -> Option<Row> {
    let merged = merged_rows(versions.into_iter().map(|version| rows([version])));
    assert!(merged.len() <= 1);
    merged.into_iter().next().map(|merged| match merged {
        Unfiltered::Row(row) => row,
        Unfiltered::Marker(marker) => panic!("{marker:?}"),
    })
}

#[test]
fn partitions_ascend_by_token_then_key_and_meet_by_both() {
    let other_key = Partition { key: b"zzzzzzzzzz".to_vec().into(), ..head(5) };
    let of = |head: Partition, x| (head, rows([row(x, 1).marker(1)]));
    let first = vec![of(head(-3), 1), of(head(5), 1)];
    let second = vec![of(head(5), 2), of(other_key.clone(), 3)];
    let both = (head(5), rows([row(1, 1).marker(1), row(2, 1).marker(1)]));
    assert_eq!(merged([first, second]), [of(head(-3), 1), both, of(other_key, 3)]);
}

#[test]
fn no_sources_make_an_empty_stream() {
    assert_eq!(merged([]), []);
    assert_eq!(merged([vec![], vec![]]), []);
}

#[test]
fn partitions_and_rows_without_atoms_vanish() {
    let empty = vec![(head(1), rows([row(1, 1), row(2, 1)])), (head(2), vec![])];
    assert_eq!(merged([empty.clone(), empty]), []);
}

#[test]
fn what_is_not_read_of_a_partition_is_skipped() {
    let of = |token| (head(token), rows([row(1, 1).marker(1), row(2, 1).marker(1)]));
    let sources = [vec![of(1), of(2)], vec![of(1), of(3)]];
    let mut merge = MergeReader::new(schema(), sources.into_iter().map(MemoryReader::new).collect());
    assert_eq!(merge.next_partition().unwrap(), Some(head(1)));
    assert_eq!(merge.next_partition().unwrap(), Some(head(2)));
    assert!(merge.next_unfiltered().unwrap().is_some());
    assert_eq!(merge.next_partition().unwrap(), Some(head(3)));
    assert_eq!(merge.next_partition().unwrap(), None);
    assert_eq!(merge.next_partition().unwrap(), None);
}

#[test]
fn rows_of_all_sources_come_in_clustering_order() {
    let of = |keys: &[(i32, i32)]| rows(keys.iter().map(|&(x, y)| row(x, y).marker(1)));
    // y descends.
    let merged = merged_rows([of(&[(-1, 0), (2, 3)]), of(&[(1, 1), (2, 4), (2, 3)]), of(&[(2, 1)])]);
    assert_eq!(merged, of(&[(-1, 0), (1, 1), (2, 4), (2, 3), (2, 1)]));
}

#[test]
fn each_column_keeps_its_own_winner() {
    let left = row(1, 1).marker(1).cell(A, live(5, "left")).cell(B, live(3, "left"));
    let right = row(1, 1).marker(2).cell(A, live(4, "right")).cell(B, live(4, "right"));
    let expected = row(1, 1).marker(2).cell(A, live(5, "left")).cell(B, live(4, "right"));
    assert_eq!(one_row([left, right]), Some(expected));
}

#[test]
fn columns_of_one_version_only_are_kept() {
    let left = row(1, 1).cell(B, live(1, "b"));
    let right = row(1, 1).cell(A, live(1, "a")).map(Deletion::LIVE, &[("k", live(1, "v"))]);
    let expected = row(1, 1).cell(A, live(1, "a")).cell(B, live(1, "b")).map(Deletion::LIVE, &[("k", live(1, "v"))]);
    assert_eq!(one_row([left, right]), Some(expected));
}

#[test]
fn expired_cells_and_tombstones_are_kept() {
    let version = row(1, 1).cell(A, expiring(1, 1, 1, "old")).cell(B, tombstone(1));
    assert_eq!(one_row([version.clone(), version.clone()]), Some(version));
}

#[test]
fn elements_merge_by_path_below_the_column_s_deletion() {
    let left = row(1, 1).map(deletion(5), &[("b", live(6, "left")), ("c", live(7, "left"))]);
    let right = row(1, 1).map(deletion(4), &[("a", live(5, "gone")), ("b", live(8, "right")), ("d", live(6, "d"))]);
    let cells = [("b", live(8, "right")), ("c", live(7, "left")), ("d", live(6, "d"))];
    assert_eq!(one_row([left, right]), Some(row(1, 1).map(deletion(5), &cells)));
}

#[test]
fn a_column_deletion_below_a_stronger_one_is_dropped_with_its_cells() {
    let left = row(1, 1).map(deletion(4), &[("a", live(5, "gone"))]);
    let right = row(1, 1).deleted(deletion(5));
    assert_eq!(one_row([left, right.clone()]), Some(right));
}

#[test]
fn a_row_deletion_shadows_older_atoms_of_all_sources() {
    let old = row(1, 1).marker(5).cell(A, live(4, "old")).cell(B, live(6, "new"));
    let gone = row(1, 1).deleted(deletion(5));
    let expected = row(1, 1).deleted(deletion(5)).cell(B, live(6, "new"));
    assert_eq!(one_row([old.clone(), gone.clone()]), Some(expected.clone()));
    let own = Row { deletion: gone.deletion, ..old };
    assert_eq!(one_row([own]), Some(expected));
}

#[test]
fn a_shadowable_deletion_ends_with_a_newer_marker() {
    let shadowable = Row { deletion: RowDeletion { time: deletion(5), shadowable: true }, ..row(1, 1) };
    let older = row(1, 1).marker(5).cell(A, live(3, "v"));
    let newer = row(1, 1).marker(6).cell(A, live(3, "v"));
    assert_eq!(one_row([older, shadowable.clone()]), Some(shadowable.clone()));
    assert_eq!(one_row([shadowable, newer.clone()]), Some(newer));
}

#[test]
fn the_partition_deletion_shadows_static_row_rows_and_ranges() {
    let statics = Row::default().cell(0, live(5, "s"));
    let fresh = Row::default().cell(0, live(6, "s"));
    let covered = vec![
        marker(InclStart, &[1], None, Some(4)),
        Unfiltered::Row(row(1, 1).marker(5)),
        Unfiltered::Row(row(1, 0).marker(6)),
        marker(InclEnd, &[1], Some(4), None),
    ];
    let content =
        |static_row: &Row| vec![(Partition { static_row: Some(static_row.clone()), ..head(1) }, covered.clone())];
    let gone = Partition { deletion: deletion(5), ..head(1) };
    let kept = rows([row(1, 0).marker(6)]);
    assert_eq!(merged([content(&statics), vec![(gone.clone(), vec![])]]), [(gone.clone(), kept.clone())]);
    let with_static = Partition { static_row: Some(fresh.clone()), ..gone.clone() };
    assert_eq!(merged([vec![(gone, vec![])], content(&fresh)]), [(with_static, kept)]);
}

#[test]
fn a_source_s_own_deletions_apply_without_other_sources() {
    let source = vec![
        marker(InclStart, &[1], None, Some(4)),
        Unfiltered::Row(row(1, 1).marker(4).cell(A, live(5, "kept"))),
        Unfiltered::Row(row(1, 0).marker(3)),
        marker(InclEnd, &[1], Some(4), None),
    ];
    let expected = vec![source[0].clone(), Unfiltered::Row(row(1, 1).cell(A, live(5, "kept"))), source[3].clone()];
    assert_eq!(merged_rows([source]), expected);
}

#[test]
fn static_rows_ignore_range_tombstones() {
    let static_row = Some(Row::default().cell(0, live(1, "s")));
    let everything = vec![marker(InclStart, &[], None, Some(9)), marker(InclEnd, &[], Some(9), None)];
    let content = (Partition { static_row, ..head(1) }, everything);
    assert_eq!(merged([vec![content.clone()], vec![(head(1), rows([row(1, 1).marker(9)]))]]), [content]);
}

#[test]
fn overlapping_ranges_become_boundaries() {
    let left = vec![marker(InclStart, &[1], None, Some(5)), marker(InclEnd, &[3], Some(5), None)];
    let right = vec![marker(ExclStart, &[2], None, Some(7)), marker(ExclEnd, &[5], Some(7), None)];
    let expected = vec![
        marker(InclStart, &[1], None, Some(5)),
        marker(InclEndExclStart, &[2], Some(5), Some(7)),
        marker(ExclEnd, &[5], Some(7), None),
    ];
    assert_eq!(merged_rows([left.clone(), right.clone()]), expected);
    assert_eq!(merged_rows([right, left]), expected);
}

#[test]
fn a_weaker_range_shows_around_a_stronger_one() {
    let wide = vec![marker(InclStart, &[1], None, Some(5)), marker(InclEnd, &[9], Some(5), None)];
    let strong = vec![marker(InclStart, &[3], None, Some(7)), marker(InclEnd, &[4], Some(7), None)];
    let weak = vec![marker(InclStart, &[6], None, Some(2)), marker(InclEnd, &[7], Some(2), None)];
    let expected = vec![
        marker(InclStart, &[1], None, Some(5)),
        marker(ExclEndInclStart, &[3], Some(5), Some(7)),
        marker(InclEndExclStart, &[4], Some(7), Some(5)),
        marker(InclEnd, &[9], Some(5), None),
    ];
    assert_eq!(merged_rows([wide, strong, weak]), expected);
}

#[test]
fn equal_ranges_that_touch_are_one() {
    let left = vec![marker(InclStart, &[1], None, Some(5)), marker(InclEnd, &[2], Some(5), None)];
    let right = vec![marker(ExclStart, &[2], None, Some(5)), marker(InclEnd, &[3], Some(5), None)];
    let expected = vec![left[0].clone(), right[1].clone()];
    assert_eq!(merged_rows([left.clone(), right.clone()]), expected);
    // Two markers at one place of one source, and a boundary that changes nothing, are tolerated.
    assert_eq!(merged_rows([[left.clone(), right.clone()].concat()]), expected);
    let boundary = vec![left[0].clone(), marker(InclEndExclStart, &[2], Some(5), Some(5)), right[1].clone()];
    assert_eq!(merged_rows([boundary]), expected);
}

#[test]
fn a_row_between_two_markers_of_its_own_key_is_seen_by_the_right_one() {
    // ..(1,1) exclusive in one source, (1,1).. exclusive in another: the row itself is free.
    let before = vec![marker(InclStart, &[], None, Some(9)), marker(ExclEnd, &[1, 1], Some(9), None)];
    let after = vec![marker(ExclStart, &[1, 1], None, Some(9)), marker(InclEnd, &[], Some(9), None)];
    let free = rows([row(1, 1).marker(9)]);
    let merged = merged_rows([before.clone(), after.clone(), free.clone()]);
    assert_eq!(merged, [before.clone(), free.clone(), after.clone()].concat());
    // Inclusive ends cover it.
    let through = vec![before[0].clone(), marker(InclEnd, &[1, 1], Some(9), None)];
    assert_eq!(merged_rows([free, through.clone()]), through);
}

#[test]
fn a_range_equal_to_the_partition_deletion_says_nothing_more() {
    let range = vec![marker(InclStart, &[1], None, Some(5)), marker(InclEnd, &[1], Some(5), None)];
    let gone = Partition { deletion: deletion(5), ..head(1) };
    assert_eq!(merged([vec![(gone.clone(), vec![])], vec![(head(1), range)]]), [(gone, vec![])]);
}

#[test]
fn sources_out_of_order_are_errors() {
    let of = |token| (head(token), rows([row(1, 1).marker(1)]));
    let partitions = try_merged([vec![of(0)], vec![of(2), of(1)]]);
    assert!(matches!(partitions, Err(Error::PartitionOrder { index: 1, previous: 2, token: 1 })), "{partitions:?}");
    let twice = try_merged([vec![of(2), of(2)]]);
    assert!(matches!(twice, Err(Error::PartitionOrder { index: 0, .. })), "{twice:?}");
    for keys in [[(2, 1), (1, 1)], [(1, 1), (1, 1)], [(1, 1), (1, 2)]] {
        let source = vec![(head(7), rows(keys.map(|(x, y)| row(x, y).marker(1))))];
        let merged = try_merged([source]);
        assert!(matches!(merged, Err(Error::RowOrder { index: 0, token: 7 })), "{merged:?}");
    }
}

#[test]
fn range_tombstones_that_do_not_match_are_errors() {
    let merged = |rest| try_merged([vec![(head(1), rest)]]);
    let start = || marker(InclStart, &[1], None, Some(5));
    let end = || marker(InclEnd, &[2], Some(5), None);
    assert!(matches!(merged(vec![start()]), Err(Error::Unclosed { index: 0 })));
    assert!(matches!(merged(vec![end()]), Err(Error::Marker { index: 0 })));
    assert!(matches!(merged(vec![start(), marker(InclStart, &[2], None, Some(5))]), Err(Error::Marker { index: 0 })));
    assert!(matches!(merged(vec![marker(InclStart, &[1], Some(5), Some(5))]), Err(Error::Shape { index: 0, .. })));
    assert!(matches!(merged(vec![marker(InclStart, &[1, 1, 1], None, Some(5))]), Err(Error::Shape { .. })));
}

#[test]
fn rows_that_do_not_fit_the_table_are_errors() {
    let short = Row { clustering: key(&[1]), ..row(1, 1) }.marker(1);
    let unknown = row(1, 1).cell(3, live(1, "v"));
    let twice = row(1, 1).cell(A, live(1, "v")).cell(A, live(1, "v"));
    let simple_map = row(1, 1).cell(M, live(1, "v"));
    let unordered = row(1, 1).map(Deletion::LIVE, &[("b", live(1, "v")), ("a", live(1, "v"))]);
    for bad in [short, unknown, twice, simple_map, unordered] {
        let merged = try_merged([vec![(head(1), rows([bad]))]]);
        assert!(matches!(merged, Err(Error::Shape { index: 0, token: 1, .. })), "{merged:?}");
    }
}

/// Fails at its second partition.
struct Failing(u32);

impl PartitionReader for Failing {
    type Error = &'static str;

    fn next_partition(&mut self) -> Result<Option<Partition>, Self::Error> {
        self.0 += 1;
        if self.0 == 1 { Ok(Some(Partition { deletion: deletion(1), ..head(1) })) } else { Err("torn") }
    }

    fn next_unfiltered(&mut self) -> Result<Option<Unfiltered>, Self::Error> {
        Ok(None)
    }
}

#[test]
fn a_failed_source_is_never_an_ended_one() {
    let mut merge = MergeReader::new(schema(), vec![Failing(5), Failing(0)]);
    assert!(matches!(merge.next_partition(), Err(Error::Source { index: 0, source: "torn" })));
    assert!(matches!(merge.next_partition(), Err(Error::Failed)));
    assert!(matches!(merge.next_unfiltered(), Err(Error::Failed)));
    let mut merge = MergeReader::new(schema(), vec![Failing(0)]);
    assert!(merge.next_partition().unwrap().is_some());
    assert!(matches!(merge.next_partition(), Err(Error::Source { index: 0, .. })));
}
