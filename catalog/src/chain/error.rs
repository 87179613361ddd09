//! Why a chain cannot be read.

use object_store::path::Path;
use tidemark_gateway::fetch;

use crate::{
    document,
    ids::{SetId, SourceId, VersionNumber},
    marks, states,
};

/// Why the chain cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The store cannot list the versions.
    #[error("list versions of set {set} of source {source_id}")]
    List {
        /// The protected system.
        source_id: SourceId,
        /// The version set.
        set: SetId,
        /// Why.
        source: object_store::Error,
    },
    /// A manifest cannot be read.
    #[error("read manifest {path}")]
    Read {
        /// The manifest.
        path: Path,
        /// Why.
        source: fetch::Error,
    },
    /// A manifest is not one.
    #[error("manifest {path} is damaged")]
    Decode {
        /// The manifest.
        path: Path,
        /// Why.
        source: document::Error,
    },
    /// A manifest is not what its name says.
    #[error("manifest {path} is damaged: it says it is version {found}")]
    Identity {
        /// The manifest.
        path: Path,
        /// Source, set and number inside it.
        found: String,
    },
    /// The hash link to the version before does not verify.
    #[error(
        "manifest {path} does not follow the version before it: its link is {link}, the version before has {expected}"
    )]
    Link {
        /// The manifest.
        path: Path,
        /// Digest that it carries, or `none`.
        link: String,
        /// Digest of the stored bytes of the version before, or `none`.
        expected: String,
    },
    /// The version after it knows it with other bytes.
    #[error("manifest {path} is damaged, or {next} is: that one says its BLAKE3 is {link}, it is {found}")]
    Successor {
        /// The manifest.
        path: Path,
        /// The one after it.
        next: Path,
        /// Digest that the one after it carries, or `none`.
        link: String,
        /// Digest of the stored bytes.
        found: String,
    },
    /// The chain has a hole.
    #[error("version {missing} of set {set} of source {source_id} is missing: a manifest was deleted")]
    Hole {
        /// The protected system.
        source_id: SourceId,
        /// The version set.
        set: SetId,
        /// The first one that is not there.
        missing: VersionNumber,
    },
    /// A name far above the end of the chain, which no writer of ours comes to; or all manifests between were deleted.
    #[error(
        "manifest {path} is a stray: version {missing} of its set is missing, and all between them. Nothing of ours writes so far ahead: \
         remove that object, or put back what is missing"
    )]
    Stray {
        /// What lies there.
        path: Path,
        /// The first number that is not there.
        missing: VersionNumber,
    },
    /// Versions that are known to exist are not there.
    #[error(
        "set {set} of source {source_id} ends at version {found}, but version {head} was committed: deleted or rolled back"
    )]
    RolledBack {
        /// The protected system.
        source_id: SourceId,
        /// The version set.
        set: SetId,
        /// The newest version found; 0 for none.
        found: u64,
        /// The version that is known to exist.
        head: VersionNumber,
    },
    /// A version that is known to exist is there, and the store does not list it: its listings lag behind its writes, and prove
    /// nothing.
    #[error("manifest {path} is there, and the store does not list it: its listings lag behind its writes")]
    ListingLags {
        /// The manifest.
        path: Path,
    },
    /// The newest version that is known is another one in the store.
    #[error(
        "version {head} of set {set} of source {source_id} is another one than was committed: BLAKE3 {found}, known {known}"
    )]
    HeadChanged {
        /// The protected system.
        source_id: SourceId,
        /// The version set.
        set: SetId,
        /// The version that is known to exist.
        head: VersionNumber,
        /// Digest of the stored bytes, or `none`.
        found: String,
        /// The digest that is known.
        known: String,
    },
    /// What tells of numbers beside the manifests cannot be read.
    #[error("find which numbers of set {set} of source {source_id} were given")]
    Told {
        /// The protected system.
        source_id: SourceId,
        /// The version set.
        set: SetId,
        /// Why.
        source: Box<TellError>,
    },
}

/// Why it cannot be read what tells of numbers beside their manifests.
#[derive(Debug, thiserror::Error)]
pub enum TellError {
    /// The states of versions.
    #[error(transparent)]
    States(states::Error),
    /// The marks of the source.
    #[error(transparent)]
    Marks(marks::Error),
}

impl TellError {
    fn is_of_the_store(&self) -> bool {
        match self {
            Self::States(source) => source.is_of_the_store(),
            Self::Marks(source) => source.is_of_the_store(),
        }
    }

    fn is_retryable(&self) -> bool {
        match self {
            Self::States(source) => source.is_retryable(),
            Self::Marks(source) => source.is_retryable(),
        }
    }
}

impl Error {
    /// Whether the store holds less than what is known to have been committed to it. Another manifest in the place of a known one
    /// is no such thing: a byte that changed looks the same, and says nothing about other sets.
    pub fn is_other_store(&self) -> bool {
        matches!(self, Self::RolledBack { .. })
    }

    /// True where the store failed and so says nothing about the chain: a refused credential, an outage.
    pub fn is_of_the_store(&self) -> bool {
        match self {
            Self::List { .. } | Self::ListingLags { .. } => true,
            Self::Read { source, .. } => source.is_of_the_store(),
            Self::Told { source, .. } => source.is_of_the_store(),
            _ => false,
        }
    }

    /// True where the store answers and what it holds is no sound chain: a manifest is damaged, is another one than was committed, or
    /// is gone from its middle.
    pub fn is_damage(&self) -> bool {
        !matches!(self, Self::Told { .. }) && !self.is_other_store() && !self.is_of_the_store()
    }

    /// Whether the same call may succeed later.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::List { source, .. } => tidemark_gateway::retry::is_transient(source),
            Self::Read { source, .. } => source.is_retryable(),
            Self::Told { source, .. } => source.is_retryable(),
            Self::ListingLags { .. } => true,
            _ => false,
        }
    }
}
