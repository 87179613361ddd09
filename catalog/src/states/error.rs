//! Why a state cannot be read or changed.

use jiff::Timestamp;
use object_store::path::Path;

use crate::{
    document,
    ids::{SetId, SourceId, VersionId},
};

/// Why the state of a version cannot be read or changed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The store cannot list the states.
    #[error("list states of versions of set {set} of source {source_id}")]
    List {
        /// The protected system.
        source_id: SourceId,
        /// The version set.
        set: SetId,
        /// Why.
        source: object_store::Error,
    },
    /// A record cannot be read.
    #[error("read the state {path}")]
    Record {
        /// The record.
        path: Path,
        /// Why.
        source: document::Error,
    },
    /// A record is not what its name says.
    #[error("state {path} is damaged: it says it is of version {found}")]
    Identity {
        /// The record.
        path: Path,
        /// Source, set and number inside it.
        found: String,
    },
    /// A record was not stored.
    #[error("write the state {path}")]
    Write {
        /// The record.
        path: Path,
        /// Why.
        source: document::Error,
    },
    /// A record is there that the store does not list: its listings lag behind its writes, and prove nothing.
    #[error("the state {path} is there, and the store does not list it: its listings lag behind its writes")]
    ListingLags {
        /// The record.
        path: Path,
    },
    /// The version's state does not allow the change.
    #[error("version {version}")]
    Refused {
        /// The version.
        version: VersionId,
        /// Why.
        #[source]
        refusal: Refusal,
    },
}

/// Why a change is not allowed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Somebody holds it.
    #[error("it is held by {by} ({reason})")]
    Held {
        /// Who.
        by: String,
        /// Why.
        reason: String,
    },
    /// It is gone.
    #[error("it was collected")]
    Collected,
    /// There is no expiry to undo, or to collect after.
    #[error("it is not expired")]
    NotExpired,
    /// It may still be undone.
    #[error("its expiry can be undone until {until}")]
    Grace {
        /// When it may be collected, by the store's clock.
        until: Timestamp,
    },
}

impl Error {
    /// True where the store failed and so says nothing about a record.
    pub fn is_of_the_store(&self) -> bool {
        match self {
            Self::List { .. } | Self::ListingLags { .. } => true,
            Self::Record { source, .. } | Self::Write { source, .. } => source.is_of_the_store(),
            Self::Identity { .. } | Self::Refused { .. } => false,
        }
    }

    /// True where the version's state does not allow the change.
    pub fn is_refusal(&self) -> bool {
        matches!(self, Self::Refused { .. })
    }

    /// Whether the same call may succeed later.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::List { source, .. } => tidemark_gateway::retry::is_transient(source),
            Self::Record { source, .. } | Self::Write { source, .. } => source.is_retryable(),
            Self::ListingLags { .. } => true,
            Self::Identity { .. } | Self::Refused { .. } => false,
        }
    }
}
