//! The join of two states of one partition, on which the merge shows to be commutative, associative and idempotent.

use std::{convert::Infallible, sync::Arc};

use tidemark_cassandra_format::{
    model::{Deletion, Partition, PartitionReader, Unfiltered},
    schema::TableSchema,
};

use crate::merge::{self, MemoryReader, MergeReader};

/// Joins whole partitions of one table, in memory, by the same merge that consolidation streams through.
#[derive(Clone, Debug)]
pub(crate) struct PartitionResolver {
    schema: Arc<TableSchema>,
}

/// One partition in merged form: ordered, nothing shadowed. Only [`PartitionResolver::state`] and joins make one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PartitionState {
    head: Partition,
    unfiltered: Vec<Unfiltered>,
}

impl PartitionState {
    /// The parts.
    pub(crate) fn into_parts(self) -> (Partition, Vec<Unfiltered>) {
        (self.head, self.unfiltered)
    }
}

impl PartitionResolver {
    /// A resolver for partitions of this table.
    pub(crate) fn new(schema: Arc<TableSchema>) -> Self {
        Self { schema }
    }

    /// The state that the atoms of one partition make.
    ///
    /// # Errors
    /// [`merge::Error`] where they are out of order or do not fit the table.
    pub(crate) fn state(
        &self,
        head: Partition,
        unfiltered: Vec<Unfiltered>,
    ) -> Result<PartitionState, merge::Error<Infallible>> {
        self.merge(vec![PartitionState { head, unfiltered }])
    }

    /// Merges states of one partition; at least one.
    fn merge(&self, states: Vec<PartitionState>) -> Result<PartitionState, merge::Error<Infallible>> {
        let (token, key) = (states[0].head.token, states[0].head.key.clone());
        let readers = states.into_iter().map(|state| MemoryReader::new([state.into_parts()])).collect();
        let mut merged = MergeReader::new(Arc::clone(&self.schema), readers);
        // The merge drops a partition without atoms; as a state it is the neutral element.
        let empty = Partition { token, key, deletion: Deletion::LIVE, static_row: None };
        let head = merged.next_partition()?.unwrap_or(empty);
        let mut unfiltered = Vec::new();
        while let Some(next) = merged.next_unfiltered()? {
            unfiltered.push(next);
        }
        Ok(PartitionState { head, unfiltered })
    }

    /// The join of two states of one partition.
    ///
    /// # Panics
    /// If the two are states of different partitions or of another table than the resolver's, or hold more than 32,767
    /// shards of one counter.
    pub(crate) fn join(&self, left: PartitionState, right: PartitionState) -> PartitionState {
        assert_eq!((left.head.token, &left.head.key), (right.head.token, &right.head.key), "states of one partition");
        self.merge(vec![left, right]).expect("states are ordered and fit the table: only merges make them")
    }
}
