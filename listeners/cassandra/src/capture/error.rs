//! Why a capture failed, and the codes that operators see.

use tidemark_catalog::pattern;
use tidemark_gateway::causes::joined;
use tidemark_listener_core::{failure::Failure, ship};

use super::nodetool;
use crate::{connect, describe};

/// Why a capture failed as a whole. What concerns one table only is an `unreadable` line of the slice.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A pattern of objects cannot be read.
    #[error("patterns of the assignment")]
    Pattern(#[source] pattern::Error),
    /// A text is no pattern of tables.
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
    /// The store fails, or what is on disk cannot be shipped.
    #[error(transparent)]
    Ship(#[from] ship::Error),
    /// The task is over for good.
    #[error("cancelled")]
    Cancelled,
}

impl Error {
    /// Stable code for operators.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Pattern(_) | Self::Depth(_) => "TM-CASS-0102",
            Self::Connect(_) => "TM-CASS-0103",
            Self::Describe(_) => "TM-CASS-0104",
            Self::Nodetool(_) => "TM-CASS-0105",
            Self::Ring(_) => "TM-CASS-0106",
            Self::SnapshotGone { .. } => "TM-CASS-0107",
            Self::Ask(_) => "TM-CASS-0113",
            Self::Ship(source) => source.code(),
            Self::Cancelled => "TM-TASK-0001",
        }
    }

    /// True where the same assignment may succeed later.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Connect(source) => source.is_retryable(),
            Self::Describe(source) => source.is_retryable(),
            Self::Nodetool(source) => source.is_retryable(),
            Self::Ship(source) => source.is_retryable(),
            Self::Ring(_) => true,
            Self::Pattern(_) | Self::Depth(_) | Self::Ask(_) | Self::SnapshotGone { .. } | Self::Cancelled => false,
        }
    }

    /// What to do about it, where something is to be done.
    pub fn hint(&self) -> Option<&'static str> {
        Some(match self {
            Self::Pattern(_) | Self::Depth(_) => "correct the policy's objects",
            Self::Connect(source) => source.hint(),
            Self::Describe(source) => source.hint(),
            Self::Nodetool(_) => "see that the command runs as the listener's user and reaches this node's JMX port",
            Self::Ring(_) => "see that nodetool reaches this node's JMX port, and what nodetool ring prints",
            Self::Ask(_) => "install the listener of the daemon's version beside tidemarkd",
            Self::SnapshotGone { .. } => "run the policy again; somebody else removes snapshots of this node",
            Self::Ship(source) => return source.hint(),
            Self::Cancelled => return None,
        })
    }

    /// True where no later run of the task can use its snapshot. Where nodetool itself fails there is no use in calling it.
    pub(super) fn ends_task(&self) -> bool {
        !self.is_retryable() && !matches!(self, Self::Nodetool(_))
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let failure = Self { retryable: error.is_retryable(), ..Self::new(error.code(), joined(&error)) };
        Self { hint: error.hint().map(str::to_owned), ..failure }
    }
}

#[cfg(test)]
mod tests {
    use object_store::path::Path;
    use tidemark_gateway::upload;

    use super::*;

    #[test]
    fn a_snapshot_is_kept_for_what_may_still_succeed() {
        let taken = ship::Error::WriteStage(upload::Error::Taken { path: Path::from("a") });
        assert!(Error::Cancelled.ends_task() && Error::Depth("x".into()).ends_task());
        let connection = std::io::Error::other("reset");
        let list = ship::Error::ListStage {
            path: Path::from("a"),
            source: object_store::Error::Generic { store: "s", source: connection.into() },
        };
        assert!(!Error::from(taken).ends_task() && !Error::from(list).ends_task());
    }
}
