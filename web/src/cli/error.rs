//! Why a command failed: code, cause and hint, as problems of the API have them.

use serde::Serialize;

use super::exit;
use crate::{api::Problem, client, token};
use tidemark_gateway::causes::joined;

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    /// No token was given.
    #[error("no token: neither --token-file nor TIDEMARK_TOKEN is given")]
    NoToken,
    /// TIDEMARK_TOKEN is not a token.
    #[error("TIDEMARK_TOKEN is not a token (tmk_ and 64 hexadecimal digits)")]
    TokenShape,
    /// The token cannot be read.
    #[error(transparent)]
    Token(#[from] token::Error),
    /// A file of the command line cannot be read.
    #[error("read {path}")]
    Read {
        /// The file.
        path: String,
        /// Why.
        source: std::io::Error,
    },
    /// An argument is wrong in a way that the parser cannot see.
    #[error("{0}")]
    Usage(String),
    /// Versions would go, and nobody agreed.
    #[error("{0} versions would go that stay now, and nobody agreed to that; nothing was changed")]
    Unconfirmed(u64),
    /// The call failed.
    #[error(transparent)]
    Call(#[from] client::Error),
    /// Nothing is known of this error code.
    #[error("there is no error code {0}")]
    UnknownCode(String),
    /// Standard output is gone.
    #[error("write the result")]
    Output(#[source] std::io::Error),
}

/// A failure that the server knows nothing of, in the shape of a problem.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    title: &'static str,
    pub(super) code: &'static str,
    pub(super) detail: String,
    pub(super) hint: Option<&'static str>,
    doc: String,
}

impl Error {
    /// The server's own words, where it is the server that refused.
    pub(super) fn problem(&self) -> Option<&Problem> {
        match self {
            Self::Call(client::Error::Problem(problem)) => Some(problem),
            _ => None,
        }
    }

    /// Code, cause and hint of what the server did not say.
    pub(super) fn report(&self) -> Report {
        let (code, hint) = self.code();
        Report { title: "Command failed", code, detail: joined(self), hint, doc: format!("/errors/{code}") }
    }

    fn code(&self) -> (&'static str, Option<&'static str>) {
        match self {
            Self::NoToken => ("TM-CLI-0001", Some("the daemon made the file that its --token-file names")),
            Self::TokenShape | Self::Token(_) => {
                ("TM-CLI-0002", Some("use the file that the daemon's --token-file names"))
            }
            Self::Read { .. } => ("TM-CLI-0003", None),
            Self::Usage(_) => ("TM-CLI-0004", Some("tidemark COMMAND --help shows what a command takes")),
            Self::Call(client::Error::Unreachable { .. } | client::Error::Nowhere) => {
                ("TM-CLI-0005", Some("see that tidemarkd runs, and that --server or TIDEMARK_SERVER names its address"))
            }
            Self::Call(client::Error::Plain { .. }) => (
                "TM-CLI-0010",
                Some(
                    "use https://, or a tunnel to an address of this host; --unencrypted where the network is trusted with the token",
                ),
            ),
            // A problem has a code of its own; an answer of another shape has not.
            Self::Call(_) => ("TM-CLI-0006", Some("see that --server names a tidemarkd of this version")),
            Self::UnknownCode(_) => ("TM-CLI-0007", Some("codes look like TM-STORE-0102")),
            Self::Output(_) => ("TM-CLI-0008", None),
            Self::Unconfirmed(_) => (
                "TM-CLI-0009",
                Some(
                    "see the list above; the same command with --yes lets them go, longer rules (--keep) or tidemark version hold keep them",
                ),
            ),
        }
    }

    /// The exit code.
    pub(super) fn exit(&self) -> u8 {
        match self {
            Self::Call(client::Error::Unreachable { .. }) => exit::UNREACHABLE,
            Self::Call(client::Error::Problem(problem)) => exit::of_status(problem.status),
            Self::Call(client::Error::Shape { .. }) | Self::Output(_) => exit::FAILED,
            Self::NoToken | Self::TokenShape | Self::Token(_) => exit::UNAUTHORISED,
            Self::Read { .. } | Self::Usage(_) | Self::Call(client::Error::Plain { .. } | client::Error::Nowhere) => {
                exit::USAGE
            }
            Self::UnknownCode(_) => exit::NOT_FOUND,
            Self::Unconfirmed(_) => exit::CONFLICT,
        }
    }
}
