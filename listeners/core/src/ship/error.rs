//! Why files cannot be shipped, and the codes that operators see.

use std::path::PathBuf;

use object_store::path::Path;
use tidemark_catalog::document;
use tidemark_gateway::{causes::joined, fetch, open, store_url, upload};

use crate::failure::Failure;

/// Why shipping failed as a whole. What concerns one object only is an `unreadable` line of the slice.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The process was started without a store.
    #[error("this listener was started without a store")]
    NoStore,
    /// The store's URL cannot be read.
    #[error("URL of the store")]
    StoreUrl(#[source] store_url::Error),
    /// The store cannot be opened.
    #[error("open the store")]
    OpenStore(#[source] open::Error),
    /// A staged object cannot be read.
    #[error("read what an earlier run staged")]
    ReadStage(#[source] fetch::Error),
    /// A staged object is not the document that it should be.
    #[error("read what an earlier run staged")]
    StagedDocument(#[source] document::Error),
    /// A staged object belongs to another task or partition.
    #[error("{path} belongs to another task or partition")]
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
    #[error("{path} is stored with {stored} bytes, but the file here has {ours}")]
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
    /// A file cannot be read; its object is unreadable.
    #[error("read {}", path.display())]
    ReadFile {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A file has another size than it had; its object is unreadable.
    #[error("{} has {found} bytes, not {expected} as when it was captured", path.display())]
    FileSize {
        /// The file.
        path: PathBuf,
        /// As listed.
        expected: u64,
        /// As read.
        found: u64,
    },
    /// A task of the program ended in a panic.
    #[error("a task of the program failed")]
    Task(#[source] tokio::task::JoinError),
}

impl Error {
    /// Stable code.
    pub fn code(&self) -> &'static str {
        match self {
            Self::NoStore | Self::StoreUrl(_) | Self::OpenStore(_) => "TM-SHIP-0001",
            Self::ReadStage(_) | Self::ListStage { .. } => "TM-SHIP-0002",
            Self::StagedDocument(_) | Self::StagedOther { .. } | Self::StagedSize { .. } => "TM-SHIP-0003",
            Self::WriteStage(_) | Self::WriteDocument(_) => "TM-SHIP-0004",
            Self::ReadFile { .. } | Self::FileSize { .. } => "TM-SHIP-0005",
            Self::Task(_) => "TM-SHIP-0006",
        }
    }

    /// True where the same assignment may succeed later.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::ReadStage(source) => source.is_retryable(),
            // Another run of the same work was faster: the next one finds what it stored.
            Self::WriteStage(upload::Error::Taken { .. }) => true,
            Self::WriteStage(source) => source.is_retryable(),
            Self::WriteDocument(source) => source.is_taken() || source.is_retryable(),
            Self::ListStage { .. } | Self::Task(_) => true,
            Self::NoStore
            | Self::StoreUrl(_)
            | Self::OpenStore(_)
            | Self::StagedDocument(_)
            | Self::StagedOther { .. }
            | Self::StagedSize { .. }
            | Self::ReadFile { .. }
            | Self::FileSize { .. } => false,
        }
    }

    /// What to do about it, where something is to be done.
    pub fn hint(&self) -> Option<&'static str> {
        Some(match self {
            Self::NoStore => "the orchestrator starts listeners with TIDEMARK_STORE_URL in their environment",
            Self::StoreUrl(_) | Self::OpenStore(_) => "tidemark store test shows whether the store can be opened",
            Self::ReadStage(_) | Self::ListStage { .. } | Self::WriteStage(_) | Self::WriteDocument(_) => {
                "see that the store is reachable from this host, and that the listener's credentials may put, get and list"
            }
            Self::ReadFile { .. } | Self::FileSize { .. } => "see to the host's disk and to the rights of the listener",
            Self::StagedDocument(_) | Self::StagedOther { .. } | Self::StagedSize { .. } => {
                "run the policy again; somebody else writes below the source's staged names"
            }
            Self::Task(_) => return None,
        })
    }

    /// True where one object's files are at fault, not the capture.
    pub fn is_local(&self) -> bool {
        matches!(self, Self::ReadFile { .. } | Self::FileSize { .. })
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
    use super::*;

    #[test]
    fn a_failure_carries_code_and_causes() {
        let source = std::io::Error::other("disk fell out");
        let failure = Failure::from(Error::ReadFile { path: "/data/f".into(), source });
        assert_eq!((failure.code.as_ref(), failure.message.as_str()), ("TM-SHIP-0005", "read /data/f: disk fell out"));
        assert!(!failure.retryable && failure.hint.is_some());
    }

    #[test]
    fn a_run_that_was_overtaken_finds_what_the_other_stored() {
        assert!(Error::WriteStage(upload::Error::Taken { path: Path::from("a") }).is_retryable());
        assert!(!Error::StagedOther { path: Path::from("a") }.is_retryable());
    }
}
