//! What was compared, so that a comparison of nothing does not pass.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use anyhow::{Result, ensure};
use tidemark_cassandra_format::model::BoundKind;
use tidemark_listener_cassandra::normal::{Difference, Place};

/// Kinds of places that every run of ten schemas must have met, live or dead.
const EXPECTED: [&str; 10] = [
    "partition deletion",
    "range deletion",
    "row deletion",
    "live marker",
    "dead marker",
    "column deletion",
    "live cell",
    "dead cell",
    "live static cell",
    "dead static cell",
];

/// Formats that every run of ten schemas must have read of replicas, and got of compactions.
const FORMATS: [&str; 3] = ["da-bti", "nb-big", "oa-big"];

/// Compressors that it must have read; `none` is a file without one.
const COMPRESSORS: [&str; 5] = ["DeflateCompressor", "LZ4Compressor", "SnappyCompressor", "ZstdCompressor", "none"];

#[derive(Debug, Default)]
pub(crate) struct Tally {
    /// Formats of replicas' files.
    pub(crate) read: BTreeSet<String>,
    /// Formats of what Cassandra made of them.
    pub(crate) made: BTreeSet<String>,
    /// Compressors of replicas' files.
    pub(crate) compressors: BTreeSet<String>,
    /// Atoms by kind.
    atoms: BTreeMap<String, u64>,
    /// Markers by kind.
    markers: BTreeMap<BoundKind, u64>,
    /// Atoms that Cassandra purged and might.
    pub(crate) purged: u64,
    /// Of the table that is compared.
    pub(crate) differences: Vec<String>,
    pub(crate) failures: Vec<String>,
}

impl Tally {
    pub(crate) fn count(&mut self, atom: &Difference, at_seconds: u32) {
        let dead = atom.left.as_ref().and_then(|atom| atom.dead_since(at_seconds)).is_some();
        let state = if dead { "dead" } else { "live" };
        let kind = match &atom.place {
            Place::PartitionDeletion => "partition deletion".to_owned(),
            Place::RangeDeletion { .. } => "range deletion".to_owned(),
            Place::RowDeletion { .. } => "row deletion".to_owned(),
            Place::Marker { .. } => format!("{state} marker"),
            Place::ColumnDeletion { .. } => "column deletion".to_owned(),
            Place::Cell { row: None, .. } => format!("{state} static cell"),
            Place::Cell { .. } => format!("{state} cell"),
        };
        *self.atoms.entry(kind).or_default() += 1;
    }

    /// Counts markers by kind.
    pub(crate) fn markers(&mut self, kinds: impl Iterator<Item = BoundKind>) {
        for kind in kinds {
            *self.markers.entry(kind).or_default() += 1;
        }
    }

    /// Fails where something was not met at all.
    pub(crate) fn is_telling(&self) -> Result<()> {
        for kind in EXPECTED {
            ensure!(self.atoms.contains_key(kind), "no {kind} in any table");
        }
        ensure!(self.purged > 0, "nothing was purged");
        ensure!(self.markers.len() == 6, "kinds of markers: {:?}", self.markers);
        for formats in [&self.read, &self.made] {
            ensure!(formats.iter().eq(FORMATS), "formats: {formats:?}");
        }
        ensure!(self.compressors.iter().eq(COMPRESSORS), "compressors: {:?}", self.compressors);
        Ok(())
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let atoms: Vec<String> = self.atoms.iter().map(|(kind, count)| format!("{count} {kind}s")).collect();
        writeln!(f, "compared {}; {} atoms were purged", atoms.join(", "), self.purged)?;
        writeln!(f, "markers: {:?}", self.markers)?;
        write!(f, "formats {:?} with {:?}, compacted to {:?}", self.read, self.compressors, self.made)
    }
}
