//! Formats of SSTables, and how a node is told which to write.

/// A format.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Format {
    /// As 4.0 wrote it, and 5.0 does unless told otherwise.
    Nb,
    /// Of 5.0.
    Oa,
    /// Of 5.0, with tries for indexes.
    Da,
}

impl Format {
    /// All, in the order in which a node may change them.
    pub(crate) const ALL: [Self; 3] = [Self::Nb, Self::Oa, Self::Da];

    /// Version in names of files.
    pub(crate) fn version(self) -> &'static str {
        match self {
            Self::Nb => "nb",
            Self::Oa => "oa",
            Self::Da => "da",
        }
    }

    /// Lines of `cassandra.yaml` that make a node write it.
    pub(crate) fn settings(self) -> &'static [(&'static str, &'static str)] {
        const MODE: (&str, &str) = ("storage_compatibility_mode", "NONE");
        match self {
            Self::Nb => &[],
            Self::Oa => &[MODE],
            Self::Da => &[MODE, ("sstable", "{selected_format: bti}")],
        }
    }

    /// What such a node reads: one that writes as 4.0 does refuses `oa`.
    pub(crate) fn reads(self) -> &'static [Self] {
        match self {
            Self::Nb => &[Self::Nb, Self::Da],
            _ => &Self::ALL,
        }
    }

    /// Name of the snapshot of what a node compacted while it wrote this format.
    pub(crate) fn snapshot(self) -> String {
        format!("compacted-{}", self.version())
    }
}
