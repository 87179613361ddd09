//! What is said of restores.

use clap::{Args, Subcommand};

use super::WaitArguments;
use crate::api::IfExists;

/// What to restore, and where to.
#[derive(Debug, Args)]
pub(in crate::cli) struct RestoreArguments {
    /// Id of the version.
    #[arg(long)]
    pub(in crate::cli) version: String,
    /// Store that it is in, where several hold one of this id.
    #[arg(long)]
    pub(in crate::cli) store: Option<String>,
    /// `pin` of the plan that is to be run: another version under this id is refused then.
    #[arg(long, value_name = "PIN")]
    pub(in crate::cli) pin: Option<String>,
    /// Destination: a registered source.
    #[arg(long)]
    pub(in crate::cli) to: String,
    /// Patterns of objects as for `protect`; all by default.
    #[arg(long = "only", value_name = "PATTERN")]
    pub(in crate::cli) objects: Vec<String>,
    /// Keyspace or table to rename, `from=to` or `from/table=to/table`; repeat for several.
    #[arg(long, value_name = "FROM=TO")]
    pub(in crate::cli) rename: Vec<String>,
    /// Cassandra: replication of new keyspaces, JSON as in CQL; the version's own by default.
    #[arg(long)]
    pub(in crate::cli) replication: Option<String>,
    /// Cassandra: level to write at; `all` by default.
    #[arg(long, value_name = "LEVEL")]
    pub(in crate::cli) write_level: Option<String>,
    /// What becomes of destination objects that exist; without it they are refused.
    #[arg(long, value_enum)]
    pub(in crate::cli) if_exists: Option<IfExists>,
    /// Remove what the version does not have, where it is proven complete; with `--if-exists undo`.
    #[arg(long)]
    pub(in crate::cli) remove: bool,
    /// Rows, a condition on the primary key or token as in CQL: `"id = 5 AND day > '2026-01-01'"`; all by default.
    #[arg(long = "where", value_name = "CONDITION")]
    pub(in crate::cli) rows: Option<String>,
    /// Columns, with commas between; all by default.
    #[arg(long, value_name = "COLUMNS", value_delimiter = ',')]
    pub(in crate::cli) columns: Vec<String>,
    /// Cassandra: level to read an undo's target at, `all` or a quorum; one that meets every acknowledged write by default.
    #[arg(long, value_name = "LEVEL")]
    pub(in crate::cli) read_level: Option<String>,
    /// How far the clocks of the application's clients may be off, such as 500ms or 2s; 1s by default.
    #[arg(long, value_name = "TIME")]
    pub(in crate::cli) client_clock_bound: Option<String>,
    /// Undo this destination object without keeping a version of its present state; repeat for several.
    #[arg(long, value_name = "OBJECT")]
    pub(in crate::cli) no_safety_version: Vec<String>,
    /// Destination object that may be overwritten, its name typed; repeat for several.
    #[arg(long = "confirm-target", value_name = "OBJECT")]
    pub(in crate::cli) into_non_empty: Vec<String>,
    /// Restore objects that are not proven complete.
    #[arg(long)]
    pub(in crate::cli) accept_degraded: bool,
    /// Cassandra: what becomes of times to live. `keep`: data expires when it would have at the source, and what has expired since
    /// the cut does not come back; `rebase`: what lived at the cut lives for the time that it had left then; `strip`: what
    /// lived at the cut does not expire.
    #[arg(long, value_parser = ["keep", "rebase", "strip"])]
    pub(in crate::cli) ttl: Option<String>,
    /// Option of the destination's kind, its value JSON or plain text; repeat for several.
    #[arg(long = "option", value_name = "NAME=VALUE")]
    pub(in crate::cli) options: Vec<String>,
    /// End at the first row or table that cannot be written, instead of naming it in the result and going on.
    #[arg(long)]
    pub(in crate::cli) strict: bool,
}

/// Commands on restores.
#[derive(Debug, Subcommand)]
pub(in crate::cli) enum RestoreCommand {
    /// Say what a restore would do.
    Plan {
        /// What and where.
        #[command(flatten)]
        what: RestoreArguments,
        /// Count what an undo would write, by reading and comparing; takes as long as reading both.
        #[arg(long)]
        count: bool,
    },
    /// Restore.
    Run {
        /// What and where.
        #[command(flatten)]
        what: RestoreArguments,
        /// Only say what would be done.
        #[arg(long)]
        dry_run: bool,
        /// Waiting.
        #[command(flatten)]
        wait: WaitArguments,
    },
}
