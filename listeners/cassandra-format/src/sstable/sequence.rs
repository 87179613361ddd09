//! The order that a file promises: partitions, rows and bounds ascend strictly, range tombstones end as they started; and
//! where the statistics name the first and the last partition, it is these.

use bytes::Bytes;

use super::row::PreviousSize;
use super::stats::Extent;
use crate::model::{BoundKind, Clustering, Deletion, Marker, Unfiltered};
use crate::order::Position;
use crate::schema::TableSchema;

/// Where a reader is; an error is the reason.
#[derive(Default)]
pub(super) struct Sequence {
    extent: Option<Extent>,
    partition: Option<(i64, Bytes)>,
    /// The last row's clustering (no kind) or the last marker's prefix.
    last: Option<(Option<BoundKind>, Clustering)>,
    /// Offset of the last row or marker.
    last_offset: Option<u64>,
    /// The range deletion that is open.
    open: Option<Deletion>,
}

impl Sequence {
    pub(super) fn new(extent: Option<Extent>) -> Self {
        Self { extent, ..Self::default() }
    }

    pub(super) fn start_partition(&mut self, token: i64, key: &Bytes) -> Result<(), &'static str> {
        match &self.partition {
            None if self.extent.as_ref().is_some_and(|extent| extent.first_key != key) => {
                return Err("the statistics name another first partition");
            }
            Some((last_token, last_key)) if (*last_token, last_key) >= (token, key) => {
                return Err("partitions are not in order");
            }
            _ => {}
        }
        *self = Self { extent: self.extent.take(), partition: Some((token, key.clone())), ..Self::default() };
        Ok(())
    }

    /// Judges the end of the file.
    pub(super) fn finish(&self) -> Result<(), &'static str> {
        let last = self.partition.as_ref().map(|(_, key)| key);
        match &self.extent {
            Some(extent) if last != Some(&extent.last_key) => Err("the statistics name another last partition"),
            _ => Ok(()),
        }
    }

    pub(super) fn check(
        &mut self,
        schema: &TableSchema,
        unfiltered: &Unfiltered,
        offset: u64,
        previous_size: PreviousSize,
    ) -> Result<(), &'static str> {
        // What Cassandra writes as the size before the first one depends on its version; none reads it.
        if self.last_offset.is_some_and(|last| offset - last != previous_size) {
            return Err("the size of the row before is another");
        }
        self.last_offset = Some(offset);
        self.check_position(schema, unfiltered)?;
        match unfiltered {
            Unfiltered::Row(_) => Ok(()),
            Unfiltered::Marker(marker) => self.check_marker(marker),
        }
    }

    fn check_position(&mut self, schema: &TableSchema, unfiltered: &Unfiltered) -> Result<(), &'static str> {
        let ascends = self.last.as_ref().is_none_or(|(kind, prefix)| {
            let last = kind.map_or(Position::Row(prefix), |kind| Position::Bound(kind, prefix));
            schema.compare_positions(last, unfiltered.position()).is_lt()
        });
        let (kind, prefix) = match unfiltered {
            Unfiltered::Row(row) => (None, &row.clustering),
            Unfiltered::Marker(marker) => (Some(marker.kind), &marker.prefix),
        };
        // Into the same vector: this is done for every row.
        let last = self.last.get_or_insert_default();
        last.0 = kind;
        last.1.clone_from(prefix);
        if ascends { Ok(()) } else { Err("rows are not in order") }
    }

    fn check_marker(&mut self, marker: &Marker) -> Result<(), &'static str> {
        if self.open != marker.close {
            return Err("a range tombstone does not end as it started");
        }
        self.open = marker.open;
        Ok(())
    }

    pub(super) fn end_partition(&mut self) -> Result<(), &'static str> {
        if self.open.is_none() { Ok(()) } else { Err("a range tombstone does not end") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Row;
    use crate::schema::{ClusteringColumn, Column};
    use crate::types::CqlType;

    fn sequence(first: &'static str, last: &'static str) -> Sequence {
        Sequence::new(Some(Extent { first_key: first.into(), last_key: last.into() }))
    }

    /// A table with one clustering column.
    fn table() -> TableSchema {
        let column = Column { name: "c".to_owned(), cql_type: CqlType::Int, dropped_at: None };
        TableSchema {
            keyspace: "ks".to_owned(),
            table: "t".to_owned(),
            partition_key: Vec::new(),
            clustering: vec![ClusteringColumn { column, reversed: false }],
            statics: Vec::new(),
            regulars: Vec::new(),
            dropped: Vec::new(),
        }
    }

    fn at(place: i32) -> Clustering {
        vec![Some(Bytes::copy_from_slice(&place.to_be_bytes()))]
    }

    fn row(place: i32) -> Unfiltered {
        Unfiltered::Row(Row { clustering: at(place), ..Row::default() })
    }

    fn marker(kind: BoundKind, place: i32, close: Option<i64>, open: Option<i64>) -> Unfiltered {
        let deletion = |marked_at: Option<i64>| marked_at.map(|marked_at| Deletion { marked_at, local_time: 1 });
        Unfiltered::Marker(Marker { kind, prefix: at(place), close: deletion(close), open: deletion(open) })
    }

    /// What is said of these in one partition, each ten bytes long.
    fn judged(all: &[Unfiltered]) -> Result<(), &'static str> {
        let mut sequence = Sequence::default();
        for (offset, unfiltered) in (0..).step_by(10).zip(all) {
            sequence.check(&table(), unfiltered, offset, 10)?;
        }
        sequence.end_partition()
    }

    #[test]
    fn rows_and_bounds_ascend() {
        let (start, end) = (
            |place| marker(BoundKind::InclStart, place, None, Some(1)),
            |place| marker(BoundKind::InclEnd, place, Some(1), None),
        );
        assert_eq!(judged(&[row(-1), start(1), row(1), row(2), end(2), row(3)]), Ok(()));
        for pair in [[row(1), row(1)], [row(2), row(1)], [row(1), start(1)], [start(1), end(0)]] {
            assert_eq!(judged(&pair), Err("rows are not in order"), "{pair:?}");
        }
    }

    #[test]
    fn ranges_end_as_they_started() {
        use BoundKind::{ExclEndInclStart, InclEnd, InclStart};
        let (start, end) = (marker(InclStart, 1, None, Some(1)), marker(InclEnd, 3, Some(2), None));
        let change = |close| marker(ExclEndInclStart, 2, Some(close), Some(2));
        assert_eq!(judged(&[start.clone(), change(1), end.clone()]), Ok(()));
        for wrong in [
            vec![start.clone(), change(3), end.clone()],
            vec![start.clone(), end.clone()],
            vec![end],
            vec![start.clone(), marker(InclStart, 2, None, Some(1))],
        ] {
            assert_eq!(judged(&wrong), Err("a range tombstone does not end as it started"), "{wrong:?}");
        }
        assert_eq!(judged(&[start]), Err("a range tombstone does not end"));
    }

    #[test]
    fn each_says_how_long_the_one_before_was() {
        let mut sequence = Sequence::default();
        let mut check = |place, offset, size| sequence.check(&table(), &row(place), offset, size);
        // The first one's is not read, by Cassandra neither.
        assert_eq!((check(1, 50, 7), check(2, 60, 10)), (Ok(()), Ok(())));
        assert_eq!(check(3, 75, 10), Err("the size of the row before is another"));
    }

    #[test]
    fn the_range_of_keys_is_that_of_the_statistics() {
        let mut whole = sequence("a", "b");
        assert!(whole.start_partition(1, &"a".into()).is_ok() && whole.finish().is_err());
        assert!(whole.start_partition(2, &"b".into()).is_ok() && whole.finish().is_ok());
        assert!(sequence("a", "b").start_partition(2, &"b".into()).is_err());
        assert!(sequence("a", "a").finish().is_err());
    }

    #[test]
    fn without_a_range_any_partition_may_come_but_in_order() {
        let mut any = Sequence::new(None);
        assert!(any.finish().is_ok() && any.start_partition(1, &"x".into()).is_ok());
        assert!(any.start_partition(1, &"x".into()).is_err());
        assert!(any.start_partition(0, &"y".into()).is_err());
    }
}
