//! Arguments of the command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum, builder::BoolishValueParser};

use crate::api::IfExists;

/// Backup of distributed databases: versions, restores, operations.
#[derive(Debug, Parser)]
#[command(name = "tidemark", version, propagate_version = false, arg_required_else_help = true)]
pub(super) struct Arguments {
    /// Server to talk to: `https://HOST:PORT`, or `http://` and an address of this host. No proxy is used.
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

/// Commands on stores.
#[derive(Debug, Subcommand)]
pub(super) enum StoreCommand {
    /// Register a store, after proving that it keeps the promises a commit needs.
    Add {
        /// Name for the store.
        name: String,
        /// `file:///dir`, `s3://bucket/prefix?endpoint=http://host:port&region=r`, `memory:`.
        url: String,
        /// Where credentials are: `env:PREFIX` or `file:/path`, as the daemon sees it.
        #[arg(long)]
        credentials: Option<String>,
        /// Where the lesser credentials of listeners are, in the same form; those of the daemon without it.
        #[arg(long)]
        listener_credentials: Option<String>,
        /// What the daemon and its listeners together may ask of it.
        #[command(flatten)]
        limits: LimitsSaid,
    },
    /// Change the limits of a store, also for work that runs: what is given takes the place of what was said.
    Edit {
        /// Name of the store.
        name: String,
        /// What the daemon and its listeners together may ask of it.
        #[command(flatten)]
        limits: LimitsSaid,
        /// Take something away; repeat for several.
        #[arg(long, value_enum, value_name = "WHAT")]
        clear: Vec<ClearLimit>,
    },
    /// List registered stores.
    List,
    /// Show one store.
    Show {
        /// Name of the store.
        name: String,
    },
    /// Say what is stored of each source, by what it serves.
    Usage {
        /// Name of the store.
        name: String,
    },
    /// Look whether the store is still what was registered, and prove its promises again.
    Test {
        /// Name of the store.
        name: String,
    },
    /// Take a store as it is now, which was put back from a copy, emptied or replaced on purpose. Versions that are not in it
    /// are given up; their numbers are not given again.
    Accept {
        /// Name of the store.
        name: String,
        /// The name once more.
        #[arg(long, value_name = "NAME")]
        confirm: String,
    },
}

/// Limits of a store or a policy.
#[derive(Clone, Debug, Default, Args)]
pub(super) struct LimitsSaid {
    /// Bytes sent and read in a second, on average: `50MiB/s`, `800KB/s`.
    #[arg(long, value_name = "RATE")]
    pub(super) bandwidth: Option<String>,
    /// Requests at a time.
    #[arg(long, value_name = "COUNT")]
    pub(super) requests: Option<u32>,
    /// Hours in which other limits hold, with their zone: `mon-fri 08:00-18:00 Europe/Berlin: 10MiB/s, requests 4`, or
    /// `sat,sun 00:00-24:00: unlimited`; repeat for several, of which the first that hold are in force.
    #[arg(long, value_name = "HOURS: LIMITS")]
    pub(super) hours: Vec<String>,
}

/// Which limit can be taken away.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum ClearLimit {
    /// The bound on bytes in a second.
    Bandwidth,
    /// The bound on requests at a time.
    Requests,
    /// All hours with limits of their own.
    Hours,
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

/// What to protect, and how.
#[derive(Debug, Args)]
pub(super) struct ProtectArguments {
    /// Source, or source/pattern such as `prod/shop/*`.
    pub(super) target: String,
    /// Store.
    #[arg(long)]
    pub(super) to: String,
    /// Name of the policy; the source's name by default.
    #[arg(long)]
    pub(super) policy: Option<String>,
    /// What the policy says.
    #[command(flatten)]
    pub(super) says: PolicySays,
    /// Let versions that are there go without asking, where the rules say so.
    #[arg(long)]
    pub(super) yes: bool,
    /// Waiting.
    #[command(flatten)]
    pub(super) wait: WaitArguments,
}

/// What a policy says.
#[derive(Debug, Default, Args)]
pub(super) struct PolicySays {
    /// Patterns of objects, `keyspace/table` with `*` for any text within a part, other wildcards as in globs; repeat for several,
    /// also of several databases: they go into one version.
    #[arg(long = "object", value_name = "PATTERN")]
    pub(super) objects: Vec<String>,
    /// Patterns of objects that are left alone, whatever `--object` says; repeat for several.
    #[arg(long = "exclude", value_name = "PATTERN")]
    pub(super) excludes: Vec<String>,
    /// Run by itself, with so much time from one run to the next: `5m`, `12h`, `PT36H`.
    #[arg(long, value_name = "TIME", conflicts_with = "cron")]
    pub(super) every: Option<String>,
    /// Run by itself at these times: minute, hour, day of the month, month, day of the week, as in cron; or `@daily` and the like.
    #[arg(long, value_name = "EXPRESSION")]
    pub(super) cron: Option<String>,
    /// When runs may begin by themselves: `mon-fri 20:00-06:00`, `sat,sun`; repeat for several.
    #[arg(long = "window", value_name = "WINDOW")]
    pub(super) windows: Vec<String>,
    /// How much later a run may begin, so that not all policies begin at once.
    #[arg(long, value_name = "TIME")]
    pub(super) jitter: Option<String>,
    /// Zone of `--cron`, `--window` and `--keep`, such as `Europe/Vienna`; UTC by default.
    #[arg(long, value_name = "ZONE")]
    pub(super) zone: Option<String>,
    /// Versions to keep: `last=3,within=7d,daily=7,weekly=4,monthly=12`, also hourly and yearly; all by default.
    #[arg(long, value_name = "RULES")]
    pub(super) keep: Option<String>,
    /// Leave staged bytes in the store after their version is committed.
    #[arg(long)]
    pub(super) keep_staged: bool,
    /// What a run of it may ask of storage; the store's limits hold besides.
    #[command(flatten)]
    pub(super) limits: LimitsSaid,
    /// Cassandra: level at which the application's writes are acknowledged; `quorum` by default.
    #[arg(long, value_name = "LEVEL")]
    pub(super) write_level: Option<String>,
    /// Cassandra: give your word that the write level always held and repairs ran since the last change of replication or ring.
    #[arg(long)]
    pub(super) repaired: bool,
    /// Option of the source's kind, its value JSON or plain text; repeat for several.
    #[arg(long = "option", value_name = "NAME=VALUE")]
    pub(super) options: Vec<String>,
}

/// What of a policy can be taken away.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Clear {
    /// What is left alone.
    Excludes,
    /// The whole schedule: it runs only when it is asked to.
    Schedule,
    /// The windows of the schedule.
    Windows,
    /// The jitter of the schedule.
    Jitter,
    /// The retention: all versions are kept.
    Keep,
    /// The zone: UTC.
    Zone,
    /// Staged bytes go when their version is committed.
    KeepStaged,
    /// The bound on bytes in a second.
    Bandwidth,
    /// The bound on requests at a time.
    Requests,
    /// All hours with limits of their own.
    Hours,
    /// The options of the source's kind.
    Options,
}

/// Commands on policies.
#[derive(Debug, Subcommand)]
pub(super) enum PolicyCommand {
    /// Register a policy without running it. Asks before its retention lets versions go that are there.
    Create {
        /// Name of the policy.
        name: String,
        /// Source, or source/pattern such as `prod/shop/*`.
        target: String,
        /// Store.
        #[arg(long)]
        to: String,
        /// What it says.
        #[command(flatten)]
        says: Box<PolicySays>,
        /// Let versions that are there go without asking, where the rules say so.
        #[arg(long)]
        yes: bool,
    },
    /// List policies and how they stand.
    List,
    /// Show one policy and how it stands.
    Show {
        /// Name of the policy.
        name: String,
    },
    /// Change a policy: what is given takes the place of what it said. Asks before a shorter retention lets versions go.
    Edit {
        /// Name of the policy.
        name: String,
        /// What it says.
        #[command(flatten)]
        says: Box<PolicySays>,
        /// Take something away; repeat for several.
        #[arg(long, value_enum, value_name = "WHAT")]
        clear: Vec<Clear>,
        /// Let versions go without asking.
        #[arg(long)]
        yes: bool,
    },
    /// Let the schedule of a policy rest; it can still be run.
    Pause {
        /// Name of the policy.
        name: String,
    },
    /// Let the schedule of a policy go on.
    Resume {
        /// Name of the policy.
        name: String,
    },
    /// Confirm a policy that came from a store: its schedule and its rules count from then on.
    Confirm {
        /// Name of the policy.
        name: String,
    },
    /// Remove a policy; its versions stay.
    Delete {
        /// Name of the policy.
        name: String,
    },
    /// Run a policy now.
    Run {
        /// Name of the policy.
        name: String,
        /// Waiting.
        #[command(flatten)]
        wait: WaitArguments,
    },
    /// Show the coming runs of a policy.
    Next {
        /// Name of the policy.
        name: String,
        /// How many, up to 1000.
        #[arg(long, default_value_t = 10)]
        count: usize,
    },
    /// Say of each version of a policy whether its retention keeps it, and why.
    Preview {
        /// Name of the policy.
        name: String,
    },
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
        /// Expired ones too.
        #[arg(long)]
        expired: bool,
    },
    /// Show one version with its objects.
    Show {
        /// Id of the version, `source.policy.number`.
        id: String,
        /// Store that it is in, where several hold one of this id.
        #[arg(long)]
        store: Option<String>,
    },
    /// Hide a version; it is collected after a grace, and until then `unexpire` brings it back.
    Expire(ReasonArguments),
    /// Take the expiry of a version back, and hold it.
    Unexpire(ReasonArguments),
    /// Keep a version whatever its policy's rules say.
    Hold(ReasonArguments),
    /// End the hold of a version.
    Release(ReasonArguments),
    /// Say what deleting a version would free.
    Size {
        /// Id of the version.
        id: String,
    },
    /// Read and prove everything that a version names.
    Verify {
        /// Id of the version.
        id: String,
        /// Store that it is in, where several hold one of this id.
        #[arg(long)]
        store: Option<String>,
        /// Waiting.
        #[command(flatten)]
        wait: WaitArguments,
    },
    /// Seal the damaged newest versions of a policy, so that it can go on. They are given up: what is damaged must not be put
    /// back afterwards.
    Repair {
        /// Version set, `source.policy`.
        set: String,
        /// Store that it is in, where several hold it.
        #[arg(long)]
        store: Option<String>,
    },
}

/// A version, and why something is done to it.
#[derive(Debug, Args)]
pub(super) struct ReasonArguments {
    /// Id of the version.
    pub(super) id: String,
    /// Why, for people.
    #[arg(long, default_value = "")]
    pub(super) reason: String,
}

/// Commands on the cluster.
#[derive(Debug, Subcommand)]
pub(super) enum ClusterCommand {
    /// Show which daemons are there, which one leads, and what each runs.
    Status,
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

/// What to restore, and where to.
#[derive(Debug, Args)]
pub(super) struct RestoreArguments {
    /// Id of the version.
    #[arg(long)]
    pub(super) version: String,
    /// Store that it is in, where several hold one of this id.
    #[arg(long)]
    pub(super) store: Option<String>,
    /// `pin` of the plan that is to be run: another version under this id is refused then.
    #[arg(long, value_name = "PIN")]
    pub(super) pin: Option<String>,
    /// Destination: a registered source.
    #[arg(long)]
    pub(super) to: String,
    /// Patterns of objects as for `protect`; all by default.
    #[arg(long = "only", value_name = "PATTERN")]
    pub(super) objects: Vec<String>,
    /// Keyspace or table to rename, `from=to` or `from/table=to/table`; repeat for several.
    #[arg(long, value_name = "FROM=TO")]
    pub(super) rename: Vec<String>,
    /// Cassandra: replication of new keyspaces, JSON as in CQL; the version's own by default.
    #[arg(long)]
    pub(super) replication: Option<String>,
    /// Cassandra: level to write at; `all` by default.
    #[arg(long, value_name = "LEVEL")]
    pub(super) write_level: Option<String>,
    /// What becomes of destination objects that exist; without it they are refused.
    #[arg(long, value_enum)]
    pub(super) if_exists: Option<IfExists>,
    /// Remove what the version does not have, where it is proven complete; with `--if-exists undo`.
    #[arg(long)]
    pub(super) remove: bool,
    /// Rows, a condition on the primary key or token as in CQL: `"id = 5 AND day > '2026-01-01'"`; all by default.
    #[arg(long = "where", value_name = "CONDITION")]
    pub(super) rows: Option<String>,
    /// Columns, with commas between; all by default.
    #[arg(long, value_name = "COLUMNS", value_delimiter = ',')]
    pub(super) columns: Vec<String>,
    /// Cassandra: level to read an undo's target at, `all` or a quorum; one that meets every acknowledged write by default.
    #[arg(long, value_name = "LEVEL")]
    pub(super) read_level: Option<String>,
    /// How far the clocks of the application's clients may be off, such as 500ms or 2s; 1s by default.
    #[arg(long, value_name = "TIME")]
    pub(super) client_clock_bound: Option<String>,
    /// Undo this destination object without keeping a version of its present state; repeat for several.
    #[arg(long, value_name = "OBJECT")]
    pub(super) no_safety_version: Vec<String>,
    /// Destination object that may be overwritten, its name typed; repeat for several.
    #[arg(long = "confirm-target", value_name = "OBJECT")]
    pub(super) into_non_empty: Vec<String>,
    /// Restore objects that are not proven complete.
    #[arg(long)]
    pub(super) accept_degraded: bool,
    /// Cassandra: what becomes of times to live. `keep`: data expires when it would have at the source, and what has expired since
    /// the cut does not come back; `rebase`: what lived at the cut lives for the time that it had left then; `strip`: what
    /// lived at the cut does not expire.
    #[arg(long, value_parser = ["keep", "rebase", "strip"])]
    pub(super) ttl: Option<String>,
    /// Option of the destination's kind, its value JSON or plain text; repeat for several.
    #[arg(long = "option", value_name = "NAME=VALUE")]
    pub(super) options: Vec<String>,
    /// End at the first row or table that cannot be written, instead of naming it in the result and going on.
    #[arg(long)]
    pub(super) strict: bool,
}

/// Commands on restores.
#[derive(Debug, Subcommand)]
pub(super) enum RestoreCommand {
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

/// Commands on operations.
#[derive(Debug, Subcommand)]
pub(super) enum OpCommand {
    /// List operations, newest first.
    List,
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
