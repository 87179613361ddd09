//! Why a capture failed, and the codes that operators see.

use std::path::PathBuf;

use object_store::path::Path;
use tidemark_catalog::{document, pattern};
use tidemark_gateway::causes::chain;
use tidemark_gateway::{fetch, open, store_url, upload};
use tidemark_listener_core::failure::Failure;

use super::nodetool;
use crate::{connect, describe};

/// Why a capture failed as a whole. What concerns one table only is an `unreadable` line of the slice.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The process was started without a store.
    #[error("this listener was started without a store")]
    NoStore,
    /// The store's URL is none.
    #[error("URL of the store")]
    StoreUrl(#[source] store_url::Error),
    /// The store cannot be opened.
    #[error("open the store")]
    OpenStore(#[source] open::Error),
    /// A pattern of objects cannot be read.
    #[error("patterns of the assignment")]
    Pattern(#[source] pattern::Error),
    /// A pattern is none of tables.
    #[error("pattern {0:?} is not keyspace/table, with * for any text")]
    Depth(String),
    /// The node does not let us in.
    #[error("open a session with the node")]
    Connect(#[source] connect::Error),
    /// The node does not say what it must.
    #[error("describe the node")]
    Describe(#[source] describe::Error),
    /// nodetool failed.
    #[error("take or remove a snapshot")]
    Nodetool(#[source] nodetool::Error),
    /// The node's ring cannot be read.
    #[error("read the node's ring")]
    Ring(#[source] describe::NoRing),
    /// The step asks what this build does not know.
    #[error("the step asks what this listener does not know")]
    Ask(#[source] serde_json::Error),
    /// The files of the task's snapshot are not there any more.
    #[error("snapshot {tag} of this task no longer holds {subject}: {reason}; a new capture is needed")]
    SnapshotGone {
        /// Its tag.
        tag: String,
        /// The table.
        subject: String,
        /// What was found instead.
        reason: String,
    },
    /// A staged object cannot be read.
    #[error("read what an earlier run staged")]
    ReadStage(#[source] fetch::Error),
    /// A staged object is not the document that it should be.
    #[error("read what an earlier run staged")]
    StagedDocument(#[source] document::Error),
    /// A staged object belongs to another task or node.
    #[error("{path} belongs to another task or node")]
    StagedOther {
        /// The object.
        path: Path,
    },
    /// The names staged by an earlier run cannot be listed.
    #[error("list what an earlier run staged under {path}")]
    ListStage {
        /// The prefix.
        path: Path,
        /// Why.
        source: object_store::Error,
    },
    /// A staged file has another size than this file's.
    #[error("{path} is stored with {stored} bytes, but this node's file has {ours}")]
    StagedSize {
        /// The object.
        path: Path,
        /// Stored bytes.
        stored: u64,
        /// What would be stored.
        ours: u64,
    },
    /// The store does not take an object.
    #[error("write to the store")]
    WriteStage(#[source] upload::Error),
    /// A document is not stored.
    #[error("write to the store")]
    WriteDocument(#[source] document::Error),
    /// A file of the snapshot cannot be read; the table is unreadable.
    #[error("read {}", path.display())]
    ReadFile {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A file of the snapshot has another size than it had; the table is unreadable.
    #[error("{} has {found} bytes, not {expected} as when the snapshot was taken", path.display())]
    FileSize {
        /// The file.
        path: PathBuf,
        /// As listed.
        expected: u64,
        /// As read.
        found: u64,
    },
    /// A task of the listener ended in a panic.
    #[error("a task of the listener ended in a panic")]
    Task(#[source] tokio::task::JoinError),
    /// The task is over for good.
    #[error("cancelled")]
    Cancelled,
}

impl Error {
    /// Stable code for operators.
    pub fn code(&self) -> &'static str {
        match self {
            Self::NoStore | Self::StoreUrl(_) | Self::OpenStore(_) => "TM-CASS-0101",
            Self::Pattern(_) | Self::Depth(_) => "TM-CASS-0102",
            Self::Connect(_) => "TM-CASS-0103",
            Self::Describe(_) => "TM-CASS-0104",
            Self::Nodetool(_) => "TM-CASS-0105",
            Self::Ring(_) => "TM-CASS-0106",
            Self::SnapshotGone { .. } => "TM-CASS-0107",
            Self::ReadStage(_) | Self::ListStage { .. } => "TM-CASS-0108",
            Self::StagedDocument(_) | Self::StagedOther { .. } | Self::StagedSize { .. } => "TM-CASS-0109",
            Self::WriteStage(_) | Self::WriteDocument(_) => "TM-CASS-0110",
            Self::ReadFile { .. } | Self::FileSize { .. } => "TM-CASS-0111",
            Self::Task(_) => "TM-CASS-0112",
            Self::Ask(_) => "TM-CASS-0113",
            Self::Cancelled => "TM-TASK-0001",
        }
    }

    /// True where the same assignment may succeed later.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Connect(source) => source.is_retryable(),
            Self::Describe(source) => source.is_retryable(),
            Self::Nodetool(source) => source.is_retryable(),
            Self::ReadStage(source) => source.is_retryable(),
            // Another listener of this node was faster: the next run finds what it stored.
            Self::WriteStage(upload::Error::Taken { .. }) => true,
            Self::WriteStage(source) => source.is_retryable(),
            Self::WriteDocument(source) => source.is_taken() || source.is_retryable(),
            Self::Ring(_) | Self::ListStage { .. } | Self::Task(_) => true,
            Self::NoStore
            | Self::StoreUrl(_)
            | Self::OpenStore(_)
            | Self::Pattern(_)
            | Self::Depth(_)
            | Self::Ask(_)
            | Self::SnapshotGone { .. }
            | Self::StagedDocument(_)
            | Self::StagedOther { .. }
            | Self::StagedSize { .. }
            | Self::ReadFile { .. }
            | Self::FileSize { .. }
            | Self::Cancelled => false,
        }
    }

    /// What to do about it, where something is to be done.
    pub fn hint(&self) -> Option<&'static str> {
        Some(match self {
            Self::NoStore => "the orchestrator starts listeners with TIDEMARK_STORE_URL in their environment",
            Self::StoreUrl(_) | Self::OpenStore(_) => "tidemark store test shows whether the store can be opened",
            Self::Pattern(_) | Self::Depth(_) => "correct the policy's objects",
            Self::Connect(source) => source.hint(),
            Self::Describe(source) => source.hint(),
            Self::Nodetool(_) => "see that the command runs as the listener's user and reaches this node's JMX port",
            Self::Ring(_) => "see that nodetool reaches this node's JMX port, and what nodetool ring prints",
            Self::Ask(_) => "install the listener of the daemon's version beside tidemarkd",
            Self::SnapshotGone { .. } => "run the policy again; somebody else removes snapshots of this node",
            Self::ReadStage(_) | Self::ListStage { .. } | Self::WriteStage(_) | Self::WriteDocument(_) => {
                "see that the store is reachable from this host, and that the listener's credentials may put, get and list"
            }
            Self::ReadFile { .. } | Self::FileSize { .. } => "see to the node's disk and to the rights of the listener",
            Self::StagedDocument(_) | Self::StagedOther { .. } | Self::StagedSize { .. } => {
                "run the policy again; somebody else writes below the source's staged names"
            }
            Self::Task(_) | Self::Cancelled => return None,
        })
    }

    /// True where no later run of the task can use its snapshot. Where nodetool itself fails there is no use in calling it.
    pub(super) fn ends_task(&self) -> bool {
        !self.is_retryable() && !matches!(self, Self::Nodetool(_))
    }

    /// True where one table's files are at fault, not the capture.
    pub(super) fn is_local(&self) -> bool {
        matches!(self, Self::ReadFile { .. } | Self::FileSize { .. })
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let failure = Self { retryable: error.is_retryable(), ..Self::new(error.code(), chain(&error)) };
        Self { hint: error.hint().map(str::to_owned), ..failure }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_snapshot_is_kept_for_what_may_still_succeed() {
        let taken = upload::Error::Taken { path: Path::from("a") };
        assert!(Error::Cancelled.ends_task() && Error::Depth("x".into()).ends_task());
        let connection = std::io::Error::other("reset");
        let list = Error::ListStage {
            path: Path::from("a"),
            source: object_store::Error::Generic { store: "s", source: connection.into() },
        };
        assert!(!Error::WriteStage(taken).ends_task() && !list.ends_task());
    }

    #[test]
    fn a_failure_carries_code_and_causes() {
        let source = std::io::Error::other("disk fell out");
        let failure = Failure::from(Error::ReadFile { path: "/data/f".into(), source });
        assert_eq!((failure.code.as_ref(), failure.message.as_str()), ("TM-CASS-0111", "read /data/f: disk fell out"));
        assert!(!failure.retryable && failure.hint.is_some());
    }
}
