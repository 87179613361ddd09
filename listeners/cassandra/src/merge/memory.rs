//! Partitions held in memory, as a source.

use std::{collections::VecDeque, convert::Infallible};

use tidemark_cassandra_format::model::{Partition, PartitionReader, Unfiltered};

/// Reads partitions from memory, in the order given.
#[derive(Clone, Debug, Default)]
pub struct MemoryReader {
    partitions: VecDeque<(Partition, VecDeque<Unfiltered>)>,
    current: VecDeque<Unfiltered>,
}

impl MemoryReader {
    /// A reader over `partitions`, each with its rows and markers.
    pub fn new(partitions: impl IntoIterator<Item = (Partition, Vec<Unfiltered>)>) -> Self {
        let partitions = partitions.into_iter().map(|(head, rest)| (head, rest.into())).collect();
        Self { partitions, current: VecDeque::new() }
    }
}

impl PartitionReader for MemoryReader {
    type Error = Infallible;

    fn next_partition(&mut self) -> Result<Option<Partition>, Infallible> {
        let next = self.partitions.pop_front();
        Ok(next.map(|(head, rest)| {
            self.current = rest;
            head
        }))
    }

    fn next_unfiltered(&mut self) -> Result<Option<Unfiltered>, Infallible> {
        Ok(self.current.pop_front())
    }
}
