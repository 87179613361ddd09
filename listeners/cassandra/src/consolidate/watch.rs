//! Partitions that are watched while they are written.

use tidemark_cassandra_format::model::{Partition, PartitionReader, Unfiltered};
use tidemark_records::consolidate::watch::{self, Stopped, Watch};

/// A stream of partitions that is watched.
pub(super) struct Watched<R: PartitionReader>(watch::Watched<R, R::Error>);

impl<R: PartitionReader> Watched<R> {
    pub(super) fn new(stream: R, watch: Watch) -> Self {
        Self(watch::Watched::new(stream, watch))
    }

    /// The stream itself.
    pub(super) fn stream(&self) -> &R {
        self.0.stream()
    }

    /// The stream's own error, once.
    pub(super) fn failed(&mut self) -> Option<R::Error> {
        self.0.failed()
    }
}

impl<R: PartitionReader> PartitionReader for Watched<R>
where
    R::Error: Send,
{
    type Error = Stopped;

    fn next_partition(&mut self) -> Result<Option<Partition>, Stopped> {
        self.0.step(R::next_partition)
    }

    fn next_unfiltered(&mut self) -> Result<Option<Unfiltered>, Stopped> {
        self.0.step(R::next_unfiltered)
    }
}
