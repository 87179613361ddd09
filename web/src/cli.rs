//! The `tidemark` command line.
//!
//! Results go to stdout (a table, or JSON with `-o json`), progress and errors to stderr. Exit codes are those of
//! [`exit`]; an unknown code is a failure.

mod args;
mod commands;
pub mod exit;
mod output;
mod wait;

use std::{ffi::OsString, process::ExitCode};

use clap::Parser as _;
use tidemark_gateway::Env;

use self::args::Arguments;
use crate::{
    client::{self, Client},
    token::{self, ApiToken},
};

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
enum Error {
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
    /// The call failed.
    #[error(transparent)]
    Call(#[from] client::Error),
    /// Standard output is gone.
    #[error("write the result")]
    Output(#[source] std::io::Error),
}

/// Runs the command line of this process.
pub async fn main(arguments: impl IntoIterator<Item = OsString>, env: &Env) -> ExitCode {
    let arguments = match Arguments::try_parse_from(arguments) {
        Ok(arguments) => arguments,
        Err(error) => {
            // Help and version are answers, all else is wrong usage.
            let code = if error.use_stderr() { exit::USAGE } else { exit::OK };
            let _ = error.print();
            return ExitCode::from(code);
        }
    };
    let interrupted = tokio::signal::ctrl_c();
    let code = tokio::select! {
        code = run(&arguments, env) => code,
        _ = interrupted => exit::INTERRUPTED,
    };
    ExitCode::from(code)
}

async fn run(arguments: &Arguments, env: &Env) -> u8 {
    let outcome = match connect(arguments) {
        Ok(client) => commands::run(arguments, &client, env).await,
        Err(error) => Err(error),
    };
    outcome.unwrap_or_else(|error| {
        output::print_error(&error, arguments.output);
        exit::of_error(&error)
    })
}

fn connect(arguments: &Arguments) -> Result<Client, Error> {
    let token = match (&arguments.token_file, std::env::var("TIDEMARK_TOKEN")) {
        (Some(path), _) => ApiToken::read(path)?,
        (None, Ok(text)) => ApiToken::parse(&text).ok_or(Error::TokenShape)?,
        (None, Err(_)) => return Err(Error::NoToken),
    };
    Ok(Client::new(&arguments.server, token)?)
}
