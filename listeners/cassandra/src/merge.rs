//! The merge of any number of sources of one table into one stream, by Cassandra's own rules.
//!
//! A source is anything that reads partitions: an SSTable, another merge, a segment. The merge is a join of sets of atoms:
//! commutative, associative and idempotent, so it does not matter how often or in which order a write is seen. (Shadowable
//! row deletions are the exception, as in Cassandra itself: only materialised views of old servers hold them, and views
//! are never captured. So are counters that were written to again after a deletion, which Cassandra does not support:
//! what they hold depends on what each replica had merged before, here as there.) The clock is never consulted: expired
//! cells and old tombstones are kept, only what is shadowed by a deletion or beaten by a newer write is dropped.
//!
//! Invariants of what comes out: partitions ascend by (token, key) and none is empty; rows and markers ascend strictly in
//! clustering order; no atom is shadowed by a deletion in the same partition; range tombstones are disjoint, coalesced and
//! each closed. What goes in is checked for order, and a violation is an error, because a merge of unordered input would
//! silently lose deletions.
//!
//! Memory: one row or marker of each source that holds the current partition, and one partition head of each source.
//! Rules: `db/rows/{Cells,Row,RangeTombstoneMarker}.java` and `db/{DeletionTime,LivenessInfo}.java` of Cassandra 4.0–5.0.

use std::{cmp::Reverse, collections::BinaryHeap, sync::Arc};

use tidemark_cassandra_format::{
    model::{Deletion, Marker, Partition, PartitionReader, Row, Unfiltered},
    schema::{Column, TableSchema},
};

mod atoms;
#[cfg(test)]
mod counters;
mod error;
#[cfg(test)]
pub(crate) mod fixtures;
mod intake;
mod markers;
mod memory;
mod observer;
#[cfg(test)]
pub(crate) mod properties;
mod row;
mod source;
#[cfg(test)]
mod tests;

pub(crate) use atoms::EXPIRED_LIVENESS_TTL;
pub use error::Error;
pub(crate) use markers::boundary;
pub use memory::MemoryReader;
pub use observer::{Cover, Observer};
use source::{Head, Source};

use crate::counter::Refused;

/// Merges sources of one table into one [`PartitionReader`].
///
/// `O` sees all versions of each row before they are merged; the default sees nothing.
pub struct MergeReader<R: PartitionReader, O = ()> {
    schema: Arc<TableSchema>,
    sources: Vec<Source<R>>,
    /// Per source, what it deletes at the current position; no deletion for sources without the current partition.
    covers: Vec<Cover>,
    /// Heads of the sources that wait for a later partition.
    heads: BinaryHeap<Reverse<Head>>,
    /// Sources that hold the current partition; at the start all, because all must deliver their first head.
    members: Vec<usize>,
    /// Members with a next row or marker, last position first.
    queue: Vec<usize>,
    /// Scratch: the versions of the row or partition that is being merged.
    versions: Vec<(usize, Row)>,
    partitions: Vec<(usize, Partition)>,
    /// Merged partition deletion.
    deletion: Deletion,
    /// Merged open range deletion behind the current position.
    open: Deletion,
    /// What was read to find out whether the partition is empty.
    pending: Option<Unfiltered>,
    observer: O,
    /// True where the table has counters.
    counters: bool,
    failed: bool,
}

impl<R: PartitionReader> MergeReader<R> {
    /// A merge of `sources`, which all hold `schema`'s table; their order has no influence on the result.
    pub fn new(schema: Arc<TableSchema>, sources: Vec<R>) -> Self {
        Self::observed(schema, sources, ())
    }
}

impl<R: PartitionReader, O: Observer> MergeReader<R, O> {
    /// As [`MergeReader::new`], with an observer of all versions.
    pub fn observed(schema: Arc<TableSchema>, sources: Vec<R>, observer: O) -> Self {
        let count = sources.len();
        let counters = schema.has_counters();
        let source = |(index, reader)| Source::new(index, reader, counters);
        Self {
            sources: sources.into_iter().enumerate().map(source).collect(),
            counters,
            schema,
            covers: vec![Cover::NONE; count],
            heads: BinaryHeap::with_capacity(count),
            members: (0..count).collect(),
            queue: Vec::with_capacity(count),
            versions: Vec::with_capacity(count),
            partitions: Vec::with_capacity(count),
            deletion: Deletion::LIVE,
            open: Deletion::LIVE,
            pending: None,
            observer,
            failed: false,
        }
    }

    /// The observer.
    pub fn observer(&self) -> &O {
        &self.observer
    }

    /// The sources, in the order they were given.
    pub fn sources(&self) -> impl Iterator<Item = &R> {
        self.sources.iter().map(Source::reader)
    }

    fn advance(&mut self) -> Result<Option<Partition>, Error<R::Error>> {
        loop {
            self.leave_partition()?;
            let Some(partition) = self.enter_partition()? else { return Ok(None) };
            if partition.deletion.is_live() && partition.static_row.is_none() {
                self.pending = self.step()?;
                if self.pending.is_none() {
                    continue;
                }
            }
            return Ok(Some(partition));
        }
    }

    /// Fetches the next head of every source that took part in the last partition, which skips what was not read of it.
    fn leave_partition(&mut self) -> Result<(), Error<R::Error>> {
        self.pending = None;
        self.queue.clear();
        for index in self.members.drain(..) {
            self.covers[index] = Cover::NONE;
            if let Some(head) = self.sources[index].advance(&self.schema)? {
                self.heads.push(Reverse(head));
            }
        }
        Ok(())
    }

    /// Takes all sources that stand at the first partition, and merges their heads.
    fn enter_partition(&mut self) -> Result<Option<Partition>, Error<R::Error>> {
        let Some(Reverse(first)) = self.heads.pop() else { return Ok(None) };
        self.admit(first.index());
        while self.heads.peek().is_some_and(|Reverse(head)| head.same_key(&first)) {
            if let Some(Reverse(head)) = self.heads.pop() {
                self.admit(head.index());
            }
        }
        self.observer.partition(&self.partitions);
        let partition = self.merge_heads()?;
        self.prime()?;
        Ok(partition)
    }

    fn admit(&mut self, index: usize) {
        if let Some(partition) = self.sources[index].take_head() {
            self.covers[index] = Cover { partition: atoms::normal(partition.deletion), range: Deletion::LIVE };
            self.members.push(index);
            self.partitions.push((index, partition));
        }
    }

    fn merge_heads(&mut self) -> Result<Option<Partition>, Error<R::Error>> {
        let mut heads = std::mem::take(&mut self.partitions);
        let deletions = heads.iter().map(|(_, head)| atoms::normal(head.deletion));
        let deletion = deletions.fold(Deletion::LIVE, Deletion::max);
        let static_row = |(index, head): &mut (usize, Partition)| Some((*index, head.static_row.take()?));
        let mut statics: Vec<(usize, Row)> = heads.iter_mut().filter_map(static_row).collect();
        let merged = heads.drain(..).next().map(|(_, head)| head);
        self.partitions = heads;
        self.deletion = deletion;
        self.open = Deletion::LIVE;
        let static_row = self.merge_versions(&mut statics, |schema| &schema.statics)?;
        Ok(merged.map(|head| Partition { deletion, static_row, ..head }))
    }

    /// Reads the first row or marker of each member.
    fn prime(&mut self) -> Result<(), Error<R::Error>> {
        for position in 0..self.members.len() {
            let index = self.members[position];
            if self.sources[index].prime(&self.schema)? {
                self.enqueue(index);
            }
        }
        Ok(())
    }

    /// The next merged row or marker that has something left to say.
    fn step(&mut self) -> Result<Option<Unfiltered>, Error<R::Error>> {
        while let Some(index) = self.queue.pop() {
            let merged = match self.take(index)? {
                Unfiltered::Row(row) => self.merge_row(index, row)?.map(Unfiltered::Row),
                Unfiltered::Marker(marker) => self.merge_marker(index, marker)?.map(Unfiltered::Marker),
            };
            if merged.is_some() {
                return Ok(merged);
            }
        }
        self.check_closed()?;
        Ok(None)
    }

    /// Takes the source's next row or marker, reads the one behind it, and queues the source for that.
    fn take(&mut self, index: usize) -> Result<Unfiltered, Error<R::Error>> {
        let taken = self.sources[index].take(&self.schema)?;
        if self.sources[index].next().is_some() {
            self.enqueue(index);
        }
        Ok(taken)
    }

    fn enqueue(&mut self, index: usize) {
        let Self { schema, sources, queue, .. } = self;
        let Some(next) = sources[index].next() else { return };
        let behind = |&other: &usize| {
            sources[other].next().is_some_and(|at| schema.compare_positions(at.position(), next.position()).is_gt())
        };
        let place = queue.partition_point(behind);
        queue.insert(place, index);
    }

    fn merge_row(&mut self, index: usize, row: Row) -> Result<Option<Row>, Error<R::Error>> {
        let mut versions = std::mem::take(&mut self.versions);
        versions.push((index, row));
        while let Some(other) = self.pop_same_row(&versions[0].1) {
            if let Unfiltered::Row(row) = self.take(other)? {
                versions.push((other, row));
            }
        }
        self.observer.row(&versions, &self.covers);
        let merged = self.merge_versions(&mut versions, |schema| &schema.regulars);
        self.versions = versions;
        merged
    }

    /// The join of all versions of a row, of which nothing is left that is deleted here; leaves `versions` empty.
    fn merge_versions(
        &self,
        versions: &mut Vec<(usize, Row)>,
        columns: impl Fn(&TableSchema) -> &[Column],
    ) -> Result<Option<Row>, Error<R::Error>> {
        let active = self.active();
        if self.counters {
            row::clear(versions, active);
        }
        let mut rows = versions.drain(..).map(|(_, row)| row);
        let Some(mut merged) = rows.next() else { return Ok(None) };
        for other in rows {
            let joined = row::join(columns(&self.schema), &mut merged, other);
            joined.map_err(|(column, source)| self.refused(column, source))?;
        }
        Ok(row::settled(merged, active))
    }

    fn refused(&self, column: String, source: Refused) -> Error<R::Error> {
        let key = self.members.first().map(|&index| hex::encode(self.sources[index].key()));
        Error::Counter { index: None, key: key.unwrap_or_default(), column, source }
    }

    /// The deletion that covers rows at the current position.
    fn active(&self) -> Deletion {
        if self.open.is_live() { self.deletion } else { self.open }
    }

    fn pop_same_row(&mut self, row: &Row) -> Option<usize> {
        let &index = self.queue.last()?;
        match self.sources[index].next()? {
            Unfiltered::Row(next) if self.schema.compare_clustering(&row.clustering, &next.clustering).is_eq() => {
                self.queue.pop()
            }
            _ => None,
        }
    }

    fn merge_marker(&mut self, index: usize, mut marker: Marker) -> Result<Option<Marker>, Error<R::Error>> {
        self.apply(index, &marker)?;
        while let Some(other) = self.pop_same_marker(&marker) {
            if let Unfiltered::Marker(same) = self.take(other)? {
                self.apply(other, &same)?;
                // Equal places may differ in bytes (decimals); one choice for every order of sources.
                marker.prefix = marker.prefix.max(same.prefix);
            }
        }
        let open = self.merged_open();
        let previous = std::mem::replace(&mut self.open, open);
        Ok(markers::boundary(marker, previous, open))
    }

    fn pop_same_marker(&mut self, marker: &Marker) -> Option<usize> {
        let &index = self.queue.last()?;
        match self.sources[index].next()? {
            Unfiltered::Marker(next) if self.schema.compare_positions(marker.position(), next.position()).is_eq() => {
                self.queue.pop()
            }
            _ => None,
        }
    }

    fn apply(&mut self, index: usize, marker: &Marker) -> Result<(), Error<R::Error>> {
        let open = &mut self.covers[index].range;
        *open = markers::follow(*open, marker).ok_or(Error::Marker { index })?;
        Ok(())
    }

    /// The strongest open deletion of all members, unless the partition deletion already says as much: Cassandra's
    /// `RangeTombstoneMarker.Merger`.
    fn merged_open(&self) -> Deletion {
        let opens = self.members.iter().map(|&index| self.covers[index].range);
        let strongest = opens.fold(Deletion::LIVE, Deletion::max);
        if strongest.supersedes(self.deletion) { strongest } else { Deletion::LIVE }
    }

    fn check_closed(&self) -> Result<(), Error<R::Error>> {
        match self.members.iter().find(|&&index| !self.covers[index].range.is_live()) {
            Some(&index) => Err(Error::Unclosed { index }),
            None => Ok(()),
        }
    }

    /// Remembers a failure: reading on could leave a source out.
    fn guard<T>(&mut self, result: Result<T, Error<R::Error>>) -> Result<T, Error<R::Error>> {
        self.failed |= result.is_err();
        result
    }
}

impl<R: PartitionReader, O: Observer> PartitionReader for MergeReader<R, O> {
    type Error = Error<R::Error>;

    fn next_partition(&mut self) -> Result<Option<Partition>, Self::Error> {
        if self.failed {
            return Err(Error::Failed);
        }
        let result = self.advance();
        self.guard(result)
    }

    fn next_unfiltered(&mut self) -> Result<Option<Unfiltered>, Self::Error> {
        if self.failed {
            return Err(Error::Failed);
        }
        if let Some(pending) = self.pending.take() {
            return Ok(Some(pending));
        }
        let result = self.step();
        self.guard(result)
    }
}
