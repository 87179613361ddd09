//! Why a collection stops.

use object_store::path::Path;
use tidemark_gateway::unfinished;

use super::FenceError;
use crate::{
    chain, commit, document, find,
    ids::{FencingToken, SetId, VersionId},
    marks, pages, states,
};

/// Why a collection stops. Before a sweep begins to delete, nothing is deleted after any of these.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The sets of the source cannot be listed.
    #[error(transparent)]
    Find(#[from] find::Error),
    /// A folder cannot be listed.
    #[error("list {prefix}")]
    List {
        /// The folder.
        prefix: Path,
        /// Why.
        source: object_store::Error,
    },
    /// The store's clock cannot be asked.
    #[error("ask the store for the time by {path}")]
    Clock {
        /// The object that was written for it.
        path: Path,
        /// Why.
        source: object_store::Error,
    },
    /// A state cannot be read or changed.
    #[error(transparent)]
    States(#[from] states::Error),
    /// The chain of a set does not verify.
    #[error("the chain of set {set} does not verify")]
    Chain {
        /// The set.
        set: SetId,
        /// Why.
        source: chain::Error,
    },
    /// The object pages of a version cannot be read.
    #[error("read the pages of version {version}")]
    Pages {
        /// The version.
        version: VersionId,
        /// Why.
        source: pages::Error,
    },
    /// What an object's state names cannot be read.
    #[error("read what version {version} needs of {object}")]
    Entry {
        /// The version.
        version: VersionId,
        /// The object.
        object: String,
        /// Why.
        source: document::Error,
    },
    /// A work root cannot be read: what it pins is not known.
    #[error("read the work root {path}")]
    Root {
        /// The root.
        path: Path,
        /// Why.
        source: document::Error,
    },
    /// The store does not give a needs block.
    #[error("read the needs block {path}")]
    Block {
        /// The block.
        path: Path,
        /// Why.
        source: document::Error,
    },
    /// Marks cannot be read or written.
    #[error(transparent)]
    Marks(#[from] marks::Error),
    /// The claim ended.
    #[error("claim {token} ended")]
    ClaimLost {
        /// Its token.
        token: FencingToken,
    },
    /// No new claim can be had.
    #[error("take a new claim")]
    Fence(#[source] FenceError),
    /// The newest manifest of a set cannot be remembered.
    #[error("remember the barrier of set {set}")]
    Remember {
        /// The set.
        set: SetId,
        /// Why.
        source: FenceError,
    },
    /// The new claim is not above that of the marks: it is not new, or of an older generation.
    #[error("the claim {fence} is not above {marks}, by which the marks were made")]
    OldToken {
        /// Token of the claim.
        fence: FencingToken,
        /// Token of the marks.
        marks: FencingToken,
    },
    /// A later generation uses the store.
    #[error("generation {mine} is not the newest of the store, which is {newest}")]
    OldGeneration {
        /// That of the claim.
        mine: u64,
        /// The newest.
        newest: u64,
    },
    /// A set cannot be fenced.
    #[error("commit a barrier to set {set}")]
    Barrier {
        /// The set.
        set: SetId,
        /// Why.
        source: commit::Error,
    },
    /// Uploads that were not ended cannot be listed or ended.
    #[error(transparent)]
    Uploads(Box<unfinished::Error>),
    /// An object cannot be deleted.
    #[error("delete objects of {prefix}")]
    Delete {
        /// Where they are.
        prefix: Path,
        /// Why.
        source: object_store::Error,
    },
}

impl Error {
    /// True where the store failed and so says nothing about what a version needs: a refused credential, an outage.
    pub(super) fn is_of_the_store(&self) -> bool {
        match self {
            Self::Pages { source, .. } => source.is_of_the_store(),
            Self::Entry { source, .. } => source.is_of_the_store(),
            _ => false,
        }
    }

    /// Whether the same call may succeed later.
    pub fn is_retryable(&self) -> bool {
        let transient = tidemark_gateway::retry::is_transient;
        match self {
            Self::Find(source) => source.is_retryable(),
            Self::List { source, .. } | Self::Clock { source, .. } | Self::Delete { source, .. } => transient(source),
            Self::States(source) => source.is_retryable(),
            Self::Chain { source, .. } => source.is_retryable(),
            Self::Pages { source: pages::Error::Page(source), .. }
            | Self::Entry { source, .. }
            | Self::Block { source, .. }
            | Self::Root { source, .. } => source.is_retryable(),
            Self::Marks(source) => source.is_retryable(),
            Self::Barrier { source, .. } => source.is_retryable(),
            Self::Uploads(source) => source.is_retryable(),
            Self::ClaimLost { .. } | Self::Fence(_) | Self::Remember { .. } => true,
            Self::Pages { .. } | Self::OldToken { .. } | Self::OldGeneration { .. } => false,
        }
    }
}
