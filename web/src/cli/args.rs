//! Arguments of the command line.

mod policy;
mod restore;
mod store;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum, builder::BoolishValueParser};

pub(super) use policy::{Clear, PolicyCommand, PolicySays, ProtectArguments};
pub(super) use restore::{RestoreArguments, RestoreCommand};
pub(super) use store::{ClearLimit, LimitsSaid, StoreCommand};

/// Backup of distributed databases: versions, restores, operations.
#[derive(Debug, Parser)]
#[command(name = "tidemark", version, propagate_version = false, arg_required_else_help = true)]
pub(super) struct Arguments {
    /// Server to talk to: `https://HOST:PORT`, or `http://` and an address of this host; several daemons of a cluster with commas, of
    /// which one that can be reached is asked. No proxy is used.
    #[arg(long, global = true, env = "TIDEMARK_SERVER", default_value = "http://127.0.0.1:8480")]
    pub(super) server: String,
    /// Send the token in plain text to a server on another host.
    #[arg(long, global = true, env = "TIDEMARK_UNENCRYPTED", value_parser = BoolishValueParser::new())]
    pub(super) unencrypted: bool,
    /// File with the API token; without it the token is taken from TIDEMARK_TOKEN.
    #[arg(long, global = true, env = "TIDEMARK_TOKEN_FILE")]
    pub(super) token_file: Option<PathBuf>,
    /// How to print results.
    #[arg(short, long, global = true, value_enum, default_value_t = Format::Table)]
    pub(super) output: Format,
    /// Print no progress.
    #[arg(short, long, global = true)]
    pub(super) quiet: bool,
    /// The command.
    #[command(subcommand)]
    pub(super) command: Command,
}

/// How results are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    /// Tables and words for people.
    Table,
    /// One JSON document, shaped as the REST API's answer.
    Json,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Stores: where versions are kept.
    #[command(subcommand)]
    Store(StoreCommand),
    /// Sources: what is protected.
    #[command(subcommand)]
    Source(SourceCommand),
    /// Objects of a source.
    #[command(subcommand)]
    Object(ObjectCommand),
    /// Protect objects of a source: a policy and its first run in one.
    Protect(Box<ProtectArguments>),
    /// Policies.
    #[command(subcommand)]
    Policy(PolicyCommand),
    /// Versions: committed, restorable states.
    #[command(subcommand)]
    Version(VersionCommand),
    /// Restores.
    #[command(subcommand)]
    Restore(Box<RestoreCommand>),
    /// Operations: work that takes long.
    #[command(subcommand)]
    Op(OpCommand),
    /// Collection: space that nothing needs any more.
    #[command(subcommand)]
    Gc(GcCommand),
    /// The daemons that work together.
    #[command(subcommand)]
    Cluster(ClusterCommand),
    /// Explain an error code: what happened, what is safe, what to do.
    Explain {
        /// The code, such as TM-STORE-0102.
        code: String,
    },
}

/// Commands on sources.
#[derive(Debug, Subcommand)]
pub(super) enum SourceCommand {
    /// Register a source.
    Add {
        /// Name for the source.
        name: String,
        /// Kind of source.
        #[arg(long)]
        kind: String,
        /// File with the source's specification, JSON.
        #[arg(long)]
        spec: PathBuf,
    },
    /// List registered sources.
    List,
    /// Show one source.
    Show {
        /// Name of the source.
        name: String,
    },
    /// Check a source and its listeners.
    Test {
        /// Name of the source.
        name: String,
    },
    /// Confirm a source that came from a store, with its policies from there: `source show` names programs, files and policies that
    /// are used from then on.
    Confirm {
        /// Name of the source.
        name: String,
    },
}

/// Commands on objects.
#[derive(Debug, Subcommand)]
pub(super) enum ObjectCommand {
    /// Objects of a source, as a tree: their versions, the policies that name them, and how far back a loss would reach.
    Tree {
        /// Name of the source.
        source: String,
        /// Only those that no policy names.
        #[arg(long)]
        unprotected: bool,
    },
}

/// How long to wait for work that takes long.
#[derive(Debug, Args)]
pub(super) struct WaitArguments {
    /// Wait until the operation is done, or for so many seconds where a number is given.
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "0", value_name = "SECONDS")]
    pub(super) wait: Option<u64>,
    /// Key that makes a repeated call the same work; new for each call by default.
    #[arg(long)]
    pub(super) idempotency_key: Option<String>,
}

/// Commands on versions.
#[derive(Debug, Subcommand)]
pub(super) enum VersionCommand {
    /// List versions by source, policy and number; damaged ones too.
    List {
        /// Of this source only.
        #[arg(long)]
        source: Option<String>,
        /// Of this policy only.
        #[arg(long)]
        policy: Option<String>,
        /// Expired ones too, with the time until which `unexpire` brings them back.
        #[arg(long)]
        expired: bool,
        /// Those too that were collected.
        #[arg(long)]
        collected: bool,
        /// Numbers too that collection took so that older operations cannot commit: they hold no version.
        #[arg(long)]
        fences: bool,
    },
    /// Show one version with its objects.
    Show(VersionArguments),
    /// Hide a version; it is collected after a grace, and until then `unexpire` brings it back.
    Expire(ReasonArguments),
    /// Take the expiry of a version back, and hold it.
    Unexpire(ReasonArguments),
    /// Keep a version whatever its policy's rules say.
    Hold(ReasonArguments),
    /// End the hold of a version.
    Release(ReasonArguments),
    /// Say what deleting a version would free.
    Size(VersionArguments),
    /// Read and prove everything that a version names.
    Verify {
        /// The version.
        #[command(flatten)]
        version: VersionArguments,
        /// Waiting.
        #[command(flatten)]
        wait: WaitArguments,
    },
    /// Seal the damaged newest versions of a policy, so that it can go on. They are given up: what is damaged must not be put
    /// back afterwards.
    Repair {
        /// Version set, `source.policy`, or `STORE:source.policy`.
        set: String,
        /// Store that it is in, where several hold it.
        #[arg(long)]
        store: Option<String>,
    },
}

/// A version.
#[derive(Debug, Args)]
pub(super) struct VersionArguments {
    /// Id of the version, `source.policy.number`, or `STORE:source.policy.number`.
    pub(super) id: String,
    /// Store that it is in, where several hold one of this id.
    #[arg(long)]
    pub(super) store: Option<String>,
}

/// A version, and why something is done to it.
#[derive(Debug, Args)]
pub(super) struct ReasonArguments {
    /// The version.
    #[command(flatten)]
    pub(super) version: VersionArguments,
    /// Why, for people.
    #[arg(long, default_value = "")]
    pub(super) reason: String,
}

/// Commands on the cluster.
#[derive(Debug, Subcommand)]
pub(super) enum ClusterCommand {
    /// Show which daemons are there, which one leads, and what each runs.
    Status,
    /// Have a daemon take no new work, for example before it is stopped: it ends what it runs, and leads no more.
    Drain {
        /// Name of the daemon.
        node: String,
    },
    /// Have it take new work again.
    Undrain {
        /// Name of the daemon.
        node: String,
    },
}

/// Commands on collection.
#[derive(Debug, Subcommand)]
pub(super) enum GcCommand {
    /// Say what collection would free, object by object; change nothing.
    Preview {
        /// Name of the store.
        store: String,
        /// One source only.
        #[arg(long)]
        source: Option<String>,
        /// Name what stays too, with what it serves.
        #[arg(long)]
        all: bool,
    },
    /// Expire versions by their policies' rules, mark what nothing needs, delete what was marked long enough ago.
    Run {
        /// Name of the store.
        store: String,
        /// One source only.
        #[arg(long)]
        source: Option<String>,
        /// Waiting.
        #[command(flatten)]
        wait: WaitArguments,
    },
}

/// Commands on operations.
#[derive(Debug, Subcommand)]
pub(super) enum OpCommand {
    /// List operations, newest first.
    List {
        /// Id of an operation: list those that do parts of it, on whichever daemon.
        #[arg(long)]
        of: Option<String>,
    },
    /// Show one operation.
    Show {
        /// Id of the operation.
        id: String,
    },
    /// Follow an operation until it is done.
    Watch {
        /// Id of the operation.
        id: String,
    },
    /// Take up an operation that failed where its checkpoint is.
    Resume {
        /// Id of the operation.
        id: String,
    },
    /// Ask an operation to stop.
    Cancel {
        /// Id of the operation.
        id: String,
    },
}
