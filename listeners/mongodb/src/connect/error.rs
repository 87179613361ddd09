//! Why a server was not reached or did not do what it was asked.

use mongodb::error::ErrorKind;
use tidemark_gateway::causes::joined;
use tidemark_listener_core::{credentials, failure::Failure};

use crate::{raw, spec};

/// Why there is no answer, or another than was wanted.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The credentials cannot be read.
    #[error(transparent)]
    Credentials(#[from] credentials::Error),
    /// The specification does not name its credentials as it should.
    #[error("credentials of the specification")]
    Spec(#[from] spec::Error),
    /// The driver does not take the options.
    #[error("options of connections to {place}")]
    Options {
        /// The deployment.
        place: String,
        /// Why.
        source: Box<mongodb::error::Error>,
    },
    /// A command that was made wrongly.
    #[error("command {name} of this program is no document")]
    Made {
        /// The command.
        name: String,
        /// Why.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A command failed, or nobody answered it.
    #[error("{command} at {place}")]
    Command {
        /// The deployment.
        place: String,
        /// The command's name.
        command: String,
        /// Why.
        source: Box<Shown>,
    },
    /// A reply has not the shape that it is documented to have.
    #[error("{place} answers {command} with what cannot be read: {what}")]
    Reply {
        /// The deployment.
        place: String,
        /// The command's name.
        command: String,
        /// What.
        what: String,
    },
    /// A reply is damaged.
    #[error("{place} answers with a document that is damaged")]
    Damaged {
        /// The deployment.
        place: String,
        /// Why.
        source: raw::Error,
    },
}

/// An error of the driver, shown without the bytes of the server's reply.
#[derive(Debug)]
pub struct Shown(pub mongodb::error::Error);

impl std::fmt::Display for Shown {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0.kind.as_ref() {
            ErrorKind::Command(command) => write!(f, "{} ({}): {}", command.code_name, command.code, command.message),
            other => other.fmt(f),
        }
    }
}

impl std::error::Error for Shown {}

/// What a server said to what it did not do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Said {
    /// The place in the log that a stream should go on from is not there any more, or is none of this log.
    Lost,
    /// What was sent is wrong by its form.
    Malformed,
    /// The collection is not there (any more), or a view is there instead.
    NoCollection,
    /// Something of that name exists.
    Exists,
    /// The user may not do it.
    Denied,
    /// The collection changed while it was read.
    Interrupted,
    /// Anything else, or nothing.
    Other,
}

impl Said {
    /// By the server's code.
    fn by(code: i32) -> Self {
        match code {
            286 | 280 | 136 | 260 | 222 => Self::Lost,
            9 => Self::Malformed,
            26 | 166 | 167 => Self::NoCollection,
            48 | 85 | 86 => Self::Exists,
            13 | 18 | 8000 => Self::Denied,
            175 | 237 | 43 => Self::Interrupted,
            _ => Self::Other,
        }
    }
}

/// Codes of errors that may pass: stepdowns, shutdowns, network, elections, interruptions.
const PASSING: [i32; 16] = [6, 7, 11, 64, 89, 91, 134, 189, 262, 317, 9001, 10107, 11600, 11602, 13435, 13436];

impl Error {
    /// What the server said.
    pub fn said(&self) -> Said {
        self.server_code().map_or(Said::Other, Said::by)
    }

    /// The server's own code of the error.
    pub fn server_code(&self) -> Option<i32> {
        let Self::Command { source, .. } = self else { return None };
        match source.0.kind.as_ref() {
            ErrorKind::Command(command) => Some(command.code),
            _ => None,
        }
    }

    /// Whether the same call may succeed later.
    pub fn is_retryable(&self) -> bool {
        let Self::Command { source, .. } = self else { return false };
        match source.0.kind.as_ref() {
            ErrorKind::Io(_) | ErrorKind::ServerSelection { .. } | ErrorKind::ConnectionPoolCleared { .. } => true,
            ErrorKind::DnsResolve { .. } => true,
            ErrorKind::Command(command) => {
                PASSING.contains(&command.code) || source.0.contains_label("RetryableWriteError")
            }
            _ => source.0.contains_label("ResumableChangeStreamError"),
        }
    }

    /// What to do about it.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Credentials(_) | Self::Spec(_) => "correct the credentials file that the specification names",
            Self::Options { .. } => "correct the specification's hosts, auth or tls",
            Self::Command { .. } if self.said() == Said::Denied => {
                "give the user the roles of docs/sources/mongodb.md, and see that its credentials are right"
            }
            Self::Command { .. } => "see that the servers are up, and reachable from this host",
            Self::Made { .. } | Self::Reply { .. } | Self::Damaged { .. } => {
                "see which server this is and of which version: docs/sources/mongodb.md says which are known"
            }
        }
    }

    /// The failure under a code.
    pub fn coded(&self, code: &'static str) -> Failure {
        let answered = self.server_code().is_some();
        let failure = Failure { retryable: self.is_retryable(), answered, ..Failure::new(code, joined(self)) };
        failure.with_hint(self.hint())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// NamespaceNotFound, CommandNotSupportedOnView, OptionNotSupportedOnView; then QueryPlanKilled and others.
    #[test]
    fn a_view_in_the_place_of_a_collection_is_no_collection() {
        assert_eq!([26, 166, 167].map(Said::by), [Said::NoCollection; 3]);
        assert_eq!(
            [175, 286, 13, 48, 9, 1].map(Said::by),
            [Said::Interrupted, Said::Lost, Said::Denied, Said::Exists, Said::Malformed, Said::Other]
        );
    }
}
