//! What can be seen of the versions before they are merged.

use tidemark_cassandra_format::model::{Deletion, Partition, Row};

/// What one source deletes at a position, apart from row deletions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cover {
    /// Partition deletion.
    pub partition: Deletion,
    /// Range tombstone that is open there.
    pub range: Deletion,
}

impl Cover {
    /// No deletion, also of sources that do not hold the partition.
    pub const NONE: Self = Self { partition: Deletion::LIVE, range: Deletion::LIVE };

    /// The stronger of both.
    pub fn strongest(self) -> Deletion {
        self.partition.max(self.range)
    }
}

/// Sees all versions that a merge joins. Sources are named by their index in the order they were given.
pub trait Observer: Send {
    /// Called at each partition with the heads of the sources that hold it.
    fn partition(&mut self, _heads: &[(usize, Partition)]) {}

    /// Called at each row with its versions, one per source that holds it, and the deletions of all sources, by index.
    fn row(&mut self, _versions: &[(usize, Row)], _covers: &[Cover]) {}
}

impl Observer for () {}
