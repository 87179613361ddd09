//! What was compared, so that a comparison of nothing does not pass.

use std::{collections::BTreeMap, fmt};

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

#[derive(Debug, Default)]
pub(crate) struct Tally {
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
        Ok(())
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let atoms: Vec<String> = self.atoms.iter().map(|(kind, count)| format!("{count} {kind}s")).collect();
        writeln!(f, "compared {}; {} atoms were purged", atoms.join(", "), self.purged)?;
        write!(f, "markers: {:?}", self.markers)
    }
}
