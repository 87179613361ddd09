//! The collapse of all captured replicas into one consistent copy, and what is learnt about them on the way.
//!
//! Each replica is a merge over the SSTables of one host, so its rows are what that host would have read. Partitions that
//! the host did not own at capture are dropped first: nodes keep stale rows until `cleanup`, and merging those would bring
//! deleted data back. The rest is merged over the hosts by the same rules.
//!
//! **Disagreement.** For each row (static rows too) the captured owners of its partition are compared, those that hold
//! nothing of it included. They disagree iff
//! 1. their live views at the cut differ: the row is there for one and not for another, or a live cell or INSERT marker
//!    differs in value, write time or expiry (the value of a counter is the sum of its shards); and
//! 2. the newest atom in which they differ was written before the lower bound of the cut: a younger difference may only be
//!    a write that was on its way.
//!
//! The atoms compared for 2 are the row's cells and tombstones by column and path, the deletions of its multi-cell columns,
//! its INSERT marker, and the strongest deletion that covers it (partition, range or row deletion). An atom differs when it is
//! not the same in all owners. Tombstones that one replica purged and another still has are therefore no disagreement by
//! themselves, because the views are equal.

use std::sync::Arc;

use tidemark_cassandra_format::{
    model::{Partition, PartitionReader, Unfiltered},
    schema::TableSchema,
};

use crate::{
    merge::{self, MergeReader},
    view,
};

mod difference;
mod owned;
#[cfg(test)]
mod tests;
mod witness;

pub(crate) use difference::merge_walk;
use owned::Owned;
pub use owned::Ownership;
use witness::Witness;

/// One captured replica.
pub struct ReplicaInput<R> {
    /// Host id.
    pub host: String,
    /// Its merged data: rows without shadowed atoms, as [`MergeReader`] gives them.
    pub reader: R,
    /// True iff the host owned the token at capture.
    pub owns: Ownership,
}

/// The cut by which live views and disagreements are judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CollapseOptions {
    /// Instant of the live views, s since 1970.
    pub now_seconds: u32,
    /// Lower bound of the cut, µs since 1970: differences written at or after it are no disagreement.
    pub cut_from_micros: i64,
}

/// What a collapse has counted; complete once the stream has ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CollapseStats {
    /// Partitions that were read.
    pub partitions: u64,
    /// Rows live at the cut, without static rows.
    pub live_rows: u64,
    /// Partitions with a live static row at the cut.
    pub live_static_rows: u64,
    /// Rows, static ones too, on which captured owners disagree.
    pub disagreeing_rows: u64,
    /// Per host, in the order given, the partitions that were dropped because the host did not own them.
    pub not_owned: Vec<(String, u64)>,
}

impl CollapseStats {
    /// Distinct pairs of host and partition that were dropped.
    pub fn not_owned_partitions(&self) -> u64 {
        self.not_owned.iter().map(|(_, partitions)| partitions).sum()
    }
}

/// Why a collapse failed.
#[derive(Debug, thiserror::Error)]
pub enum Error<E> {
    /// A replica failed or its data is out of order.
    #[error("collapse replica {host}")]
    Replica {
        /// Host id.
        host: String,
        /// What went wrong.
        source: merge::Error<E>,
    },
    /// The table cannot be merged, or the collapse was read on after an error.
    #[error("collapse the replicas")]
    Merge {
        /// What went wrong.
        source: merge::Error<E>,
    },
}

/// One stream over all captured replicas. Memory: one row and one partition head per replica.
///
/// Figures cover what has been read: a partition must be read to its end to be counted whole.
pub struct Collapse<R: PartitionReader> {
    merge: MergeReader<Owned<R>, Witness>,
    hosts: Vec<String>,
    now_seconds: u32,
    partitions: u64,
    live_rows: u64,
    live_static_rows: u64,
}

impl<R: PartitionReader> Collapse<R> {
    /// A collapse of `replicas`, all of `schema`'s table; hosts are distinct.
    pub fn new(schema: Arc<TableSchema>, replicas: Vec<ReplicaInput<R>>, options: CollapseOptions) -> Self {
        let hosts = replicas.iter().map(|replica| replica.host.clone()).collect();
        let owns = replicas.iter().map(|replica| Arc::clone(&replica.owns)).collect();
        let witness = Witness::new(Arc::clone(&schema), owns, options);
        let readers = replicas.into_iter().map(|replica| Owned::new(replica.reader, replica.owns)).collect();
        Self {
            merge: MergeReader::observed(schema, readers, witness),
            hosts,
            now_seconds: options.now_seconds,
            partitions: 0,
            live_rows: 0,
            live_static_rows: 0,
        }
    }

    /// What has been counted so far; whole after the end of the stream.
    pub fn stats(&self) -> CollapseStats {
        let dropped = self.merge.sources().map(Owned::dropped);
        CollapseStats {
            partitions: self.partitions,
            live_rows: self.live_rows,
            live_static_rows: self.live_static_rows,
            disagreeing_rows: self.merge.observer().disagreeing(),
            not_owned: self.hosts.iter().cloned().zip(dropped).collect(),
        }
    }

    fn error(&self, source: merge::Error<R::Error>) -> Error<R::Error> {
        match source.index().and_then(|index| self.hosts.get(index)) {
            Some(host) => Error::Replica { host: host.clone(), source },
            None => Error::Merge { source },
        }
    }

    fn count(&mut self, partition: &Partition) {
        self.partitions += 1;
        let live = partition.static_row.as_ref().is_some_and(|row| view::is_visible(row, self.now_seconds));
        self.live_static_rows += u64::from(live);
    }
}

impl<R: PartitionReader> PartitionReader for Collapse<R> {
    type Error = Error<R::Error>;

    fn next_partition(&mut self) -> Result<Option<Partition>, Self::Error> {
        let partition = self.merge.next_partition().map_err(|source| self.error(source))?;
        if let Some(partition) = &partition {
            self.count(partition);
        }
        Ok(partition)
    }

    fn next_unfiltered(&mut self) -> Result<Option<Unfiltered>, Self::Error> {
        let next = self.merge.next_unfiltered().map_err(|source| self.error(source))?;
        if let Some(Unfiltered::Row(row)) = &next {
            self.live_rows += u64::from(view::is_visible(row, self.now_seconds));
        }
        Ok(next)
    }
}
