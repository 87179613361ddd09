//! The ownership filter.

use std::sync::Arc;

use tidemark_cassandra_format::model::{Partition, PartitionReader, Unfiltered};

/// True iff a host owns a token.
pub type Ownership = Arc<dyn Fn(i64) -> bool + Send + Sync>;

/// Reads only what the host owns, and counts the partitions it leaves out.
pub(crate) struct Owned<R> {
    reader: R,
    owns: Ownership,
    dropped: u64,
}

impl<R> Owned<R> {
    pub(crate) fn new(reader: R, owns: Ownership) -> Self {
        Self { reader, owns, dropped: 0 }
    }

    /// Partitions left out so far.
    pub(crate) fn dropped(&self) -> u64 {
        self.dropped
    }
}

impl<R: PartitionReader> PartitionReader for Owned<R> {
    type Error = R::Error;

    fn next_partition(&mut self) -> Result<Option<Partition>, R::Error> {
        while let Some(partition) = self.reader.next_partition()? {
            if (self.owns)(partition.token) {
                return Ok(Some(partition));
            }
            self.dropped += 1;
        }
        Ok(None)
    }

    fn next_unfiltered(&mut self) -> Result<Option<Unfiltered>, R::Error> {
        self.reader.next_unfiltered()
    }
}
