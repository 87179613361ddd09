//! The `tidemark` command line.
//!
//! Results go to stdout (a table, or JSON with `-o json`), progress and errors to stderr. Exit codes are those of
//! [`exit`]; an unknown code is a failure.

mod args;
mod commands;
mod error;
pub mod exit;
mod output;
mod wait;

use std::{ffi::OsString, process::ExitCode};

use clap::Parser as _;
use tidemark_gateway::Env;

use self::{
    args::{Arguments, Command},
    error::Error,
};
use crate::{client::Client, token::ApiToken};

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
    let outcome = match (&arguments.command, connect(arguments)) {
        // Explaining needs no server.
        (Command::Explain { code }, _) => commands::explain(code, arguments.output),
        (_, Ok(client)) => commands::run(arguments, &client, env).await,
        (_, Err(error)) => Err(error),
    };
    outcome.unwrap_or_else(|error| {
        output::print_error(&error, arguments.output);
        error.exit()
    })
}

fn connect(arguments: &Arguments) -> Result<Client, Error> {
    let token = match (&arguments.token_file, std::env::var("TIDEMARK_TOKEN")) {
        (Some(path), _) => ApiToken::read(path)?,
        (None, Ok(text)) => ApiToken::parse(&text).ok_or(Error::TokenShape)?,
        (None, Err(_)) => return Err(Error::NoToken),
    };
    let client = if arguments.unencrypted { Client::unencrypted } else { Client::new };
    Ok(client(&arguments.server, token)?)
}
