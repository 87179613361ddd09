//! Following an operation until it is done.

use std::{io::IsTerminal as _, time::Duration};

use indicatif::{ProgressBar, ProgressStyle};
use tidemark_gateway::Env;

use super::{
    Error,
    args::{Arguments, Format},
};
use crate::{api::Operation, client::Client};

/// Seconds that one call waits at the server; short, so that progress moves.
const STEP_SECONDS: u64 = 1;

/// Follows `operation` until it is done or `limit` has passed, showing progress on stderr; returns its last state.
pub(super) async fn follow(
    arguments: &Arguments,
    client: &Client,
    env: &Env,
    operation: Operation,
    limit: Option<Duration>,
) -> Result<Operation, Error> {
    let path = format!("/api/v1/operations/{}", operation.id);
    let started = env.monotonic();
    let mut display = Display::new(arguments);
    let mut operation = operation;
    // However the wait ends, by a signal too, somebody is told how to go on.
    let mut reminder = Reminder { operation: operation.id.clone(), due: !operation.done };
    while !operation.done && limit.is_none_or(|limit| env.monotonic() - started < limit) {
        display.show(&operation);
        operation = client.get_waiting(&path, STEP_SECONDS).await?;
    }
    reminder.due = !operation.done;
    display.close();
    Ok(operation)
}

/// Says, when it is dropped, that the operation goes on without its watcher.
struct Reminder {
    operation: String,
    due: bool,
}

impl Drop for Reminder {
    fn drop(&mut self) {
        if self.due {
            let id = &self.operation;
            eprintln!("operation {id} goes on; tidemark op watch {id}, or tidemark op cancel {id}");
        }
    }
}

/// Progress on stderr: a bar on a terminal, a line a phase elsewhere; with `-o json` a JSON document a line.
enum Display {
    Silent,
    Bar(ProgressBar),
    Lines { last: String },
    Json,
}

/// Version of the shape of progress in JSON.
const PROGRESS_SCHEMA: u32 = 1;

impl Display {
    fn new(arguments: &Arguments) -> Self {
        if arguments.quiet {
            Self::Silent
        } else if arguments.output == Format::Json {
            Self::Json
        } else if std::io::stderr().is_terminal() {
            Self::Bar(bar())
        } else {
            Self::Lines { last: String::new() }
        }
    }

    fn show(&mut self, operation: &Operation) {
        let progress = &operation.progress;
        let eta = progress.eta_seconds.map(|s| format!(", {s} s left")).unwrap_or_default();
        match self {
            Self::Silent => {}
            Self::Bar(bar) => {
                bar.set_length(progress.total);
                bar.set_position(progress.done);
                bar.set_message(format!("{} {}{eta}", progress.phase, progress.unit));
            }
            Self::Lines { last } if *last != progress.phase => {
                eprintln!("{}: {} {}", operation.kind, operation.state, progress.phase);
                last.clone_from(&progress.phase);
            }
            Self::Lines { .. } => {}
            Self::Json => eprintln!(
                "{}",
                serde_json::json!({
                    "schema": PROGRESS_SCHEMA,
                    "operation": operation.id,
                    "state": operation.state,
                    "progress": progress,
                })
            ),
        }
    }

    fn close(self) {
        if let Self::Bar(bar) = self {
            bar.finish_and_clear();
        }
    }
}

fn bar() -> ProgressBar {
    let style =
        ProgressStyle::with_template("{bar:30} {pos}/{len} {msg}").unwrap_or_else(|_| ProgressStyle::default_bar());
    ProgressBar::new(0).with_style(style)
}
