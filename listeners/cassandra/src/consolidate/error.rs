//! Why a consolidation failed, and the codes that operators see.

use tidemark_cassandra_format::sstable;
use tidemark_catalog::document;
use tidemark_gateway::{
    causes::{self, joined},
    upload,
};
use tidemark_listener_core::failure;
use tidemark_records::consolidate::watch::Stopped;

use crate::{collapse, counter::Refused, merge, options, segment, staged};

/// Error of the stream that is written.
pub(super) type StreamError = collapse::Error<crate::merge::Error<sstable::Error>>;

/// Why a consolidation failed.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    #[error("read what host {host} said about its cluster")]
    Capture { host: String, source: document::Error },
    #[error("what host {host} said about its cluster is not of it: {reason}")]
    StrangeCapture { host: String, reason: String },
    #[error("the captured nodes do not agree: {0}")]
    Disagree(String),
    #[error("place the replicas of keyspace {keyspace}")]
    Placement { keyspace: String, source: crate::ring::Error },
    #[error("open the files of {table}")]
    Staged { table: String, source: staged::Error },
    #[error("open an SSTable of {table} of host {host}")]
    Open { table: String, host: String, source: sstable::Error },
    #[error("read {table}{}", .file.as_ref().map(|file| format!(", file {file}")).unwrap_or_default())]
    Read { table: String, file: Option<String>, source: StreamError },
    #[error("write segments of {table}")]
    Write { table: String, source: segment::WriteError<Stopped> },
    #[error("store a segment of {table}")]
    Upload { table: String, source: upload::Error },
    #[error("{0} is no range of tokens")]
    Range(String),
    #[error("the options of the policy")]
    Options(#[source] options::Error),
    #[error("encode the schema of {table}")]
    Encode { table: String, source: serde_json::Error },
    #[error("cancelled")]
    Cancelled,
    #[error("the thread that merges ended: {0}")]
    Thread(String),
}

impl Error {
    fn code(&self) -> &'static str {
        match self {
            Self::Capture { .. } | Self::StrangeCapture { .. } => "TM-CASS-0401",
            Self::Disagree(_) => "TM-CASS-0402",
            Self::Placement { .. } => "TM-CASS-0403",
            Self::Staged { .. } => "TM-CASS-0404",
            Self::Open { .. } => "TM-CASS-0405",
            Self::Read { .. } => "TM-CASS-0406",
            Self::Write { .. } => "TM-CASS-0407",
            Self::Upload { .. } => "TM-CASS-0408",
            Self::Encode { .. } => "TM-CASS-0409",
            Self::Range(_) => "TM-CASS-0411",
            Self::Options(_) => "TM-CASS-0412",
            Self::Cancelled | Self::Thread(_) => "TM-CASS-0410",
        }
    }

    fn is_retryable(&self) -> bool {
        match self {
            // What every listener writes first is absent only where the store is.
            Self::Capture { source, .. } => source.is_retryable() || source.is_absent(),
            Self::Open { source, .. } => source.is_retryable(),
            Self::Staged { source, .. } => source.is_retryable(),
            Self::Upload { source, .. } => source.is_retryable(),
            Self::Read { source, .. } => caused_by(source, sstable::Error::is_retryable),
            _ => false,
        }
    }

    fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Capture { .. } | Self::StrangeCapture { .. } | Self::Staged { .. } => {
                Some("capture again: what was staged is incomplete or damaged in the store")
            }
            Self::Disagree(_) => Some("see that all nodes of the source belong to one cluster"),
            _ => None,
        }
    }
}

/// What makes one replica of the table unreadable, for good.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Damage {
    /// Host id.
    pub(super) host: String,
    /// The file, and what is wrong with it.
    pub(super) reason: String,
}

impl Error {
    /// The replica whose files are to blame; `None` where it is the store, the table, or the whole of the replicas.
    pub(super) fn damage(&self) -> Option<Damage> {
        if self.is_retryable() || self.is_of_local_counters() {
            return None;
        }
        let (host, reason) = match self {
            Self::Staged { source, .. } => (source.damaged_host()?, joined(source)),
            Self::Open { host, source, .. } => (host.as_str(), joined(source)),
            Self::Read { file, source: collapse::Error::Replica { host, source }, .. } => {
                (host.as_str(), of_file(file.as_deref(), innermost(source)))
            }
            _ => return None,
        };
        Some(Damage { host: host.to_owned(), reason })
    }

    /// True where the table holds counters that nobody can merge: what is wrong with it then is no damage.
    pub(super) fn is_of_local_counters(&self) -> bool {
        let Self::Read { source, .. } = self else { return false };
        let source: &(dyn std::error::Error + 'static) = source;
        causes::of(source).any(|error| matches!(error.downcast_ref::<Refused>(), Some(Refused::Local)))
    }
}

/// What was wrong, without the merges that it came through: they name sources by number.
fn innermost(error: &merge::Error<merge::Error<sstable::Error>>) -> String {
    match error {
        merge::Error::Source { source: merge::Error::Source { source, .. }, .. } => joined(source),
        merge::Error::Source { source, .. } => joined(source),
        other => joined(other),
    }
}

/// The reason with the file in front, unless it names it.
fn of_file(file: Option<&str>, reason: String) -> String {
    match file {
        Some(file) if !reason.contains(file) => format!("{file}: {reason}"),
        _ => reason,
    }
}

/// True where the chain of causes holds an SSTable's error for which `is` holds.
fn caused_by(error: &(dyn std::error::Error + 'static), is: impl Fn(&sstable::Error) -> bool) -> bool {
    causes::of(error).any(|error| error.downcast_ref::<sstable::Error>().is_some_and(&is))
}

impl From<Error> for failure::Failure {
    fn from(failure: Error) -> Self {
        if matches!(failure, Error::Cancelled) {
            return Self::cancelled();
        }
        let message = joined(&failure);
        let error = Self { retryable: failure.is_retryable(), ..Self::new(failure.code(), message) };
        match failure.hint() {
            Some(hint) => error.with_hint(hint),
            None => error,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failure(source: Refused) -> Error {
        let inner = merge::Error::Counter { index: Some(0), key: "0a".into(), column: "c".into(), source };
        let source =
            collapse::Error::Replica { host: "h".into(), source: merge::Error::Source { index: 0, source: inner } };
        Error::Read { table: "ks.t".into(), file: Some("nb-1-big-Data.db".into()), source }
    }

    #[test]
    fn local_counters_are_told_from_damage_and_named_by_file_key_and_column() {
        assert!(failure(Refused::Local).is_of_local_counters());
        assert!(!failure(Refused::Malformed("x")).is_of_local_counters() && !Error::Cancelled.is_of_local_counters());
        let text = joined(&failure(Refused::Local));
        assert!(["nb-1-big-Data.db", "0x0a", "\"c\"", "local shards"].iter().all(|word| text.contains(word)), "{text}");
    }
}
