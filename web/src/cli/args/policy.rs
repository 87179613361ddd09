//! What is said of policies, and of protection in one call.

use clap::{Args, Subcommand, ValueEnum};

use super::{LimitsSaid, WaitArguments};

/// What to protect, and how.
#[derive(Debug, Args)]
pub(in crate::cli) struct ProtectArguments {
    /// Source, or source/pattern such as `prod/shop/*`.
    pub(in crate::cli) target: String,
    /// Store.
    #[arg(long)]
    pub(in crate::cli) to: String,
    /// Name of the policy; the source's name by default.
    #[arg(long)]
    pub(in crate::cli) policy: Option<String>,
    /// What the policy says.
    #[command(flatten)]
    pub(in crate::cli) says: PolicySays,
    /// Let versions that are there go without asking, where the rules say so.
    #[arg(long)]
    pub(in crate::cli) yes: bool,
    /// Waiting.
    #[command(flatten)]
    pub(in crate::cli) wait: WaitArguments,
}

/// What a policy says.
#[derive(Debug, Default, Args)]
pub(in crate::cli) struct PolicySays {
    /// Patterns of objects, `keyspace/table` with `*` for any text within a part, other wildcards as in globs; repeat for several,
    /// also of several databases: they go into one version.
    #[arg(long = "object", value_name = "PATTERN")]
    pub(in crate::cli) objects: Vec<String>,
    /// Patterns of objects that are left alone, whatever `--object` says; repeat for several.
    #[arg(long = "exclude", value_name = "PATTERN")]
    pub(in crate::cli) excludes: Vec<String>,
    /// Run by itself, with so much time from one run to the next: `5m`, `12h`, `PT36H`.
    #[arg(long, value_name = "TIME", conflicts_with = "cron")]
    pub(in crate::cli) every: Option<String>,
    /// Run by itself at these times: minute, hour, day of the month, month, day of the week, as in cron; or `@daily` and the like.
    #[arg(long, value_name = "EXPRESSION")]
    pub(in crate::cli) cron: Option<String>,
    /// When runs may begin by themselves: `mon-fri 20:00-06:00`, `sat,sun`; repeat for several.
    #[arg(long = "window", value_name = "WINDOW")]
    pub(in crate::cli) windows: Vec<String>,
    /// How much later a run may begin, so that not all policies begin at once.
    #[arg(long, value_name = "TIME")]
    pub(in crate::cli) jitter: Option<String>,
    /// Zone of `--cron`, `--window` and `--keep`, such as `Europe/Vienna`; UTC by default.
    #[arg(long, value_name = "ZONE")]
    pub(in crate::cli) zone: Option<String>,
    /// Versions to keep: `last=3,within=7d,daily=7,weekly=4,monthly=12`, also hourly and yearly; all by default.
    #[arg(long, value_name = "RULES")]
    pub(in crate::cli) keep: Option<String>,
    /// Leave staged bytes in the store after their version is committed.
    #[arg(long)]
    pub(in crate::cli) keep_staged: bool,
    /// What a run of it may ask of storage; the store's limits hold besides.
    #[command(flatten)]
    pub(in crate::cli) limits: LimitsSaid,
    /// Cassandra: level at which the application's writes are acknowledged; `quorum` by default.
    #[arg(long, value_name = "LEVEL")]
    pub(in crate::cli) write_level: Option<String>,
    /// Cassandra: give your word that the write level always held and repairs ran since the last change of replication or ring.
    #[arg(long)]
    pub(in crate::cli) repaired: bool,
    /// Option of the source's kind, its value JSON or plain text; repeat for several.
    #[arg(long = "option", value_name = "NAME=VALUE")]
    pub(in crate::cli) options: Vec<String>,
}

/// What of a policy can be taken away.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(in crate::cli) enum Clear {
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
pub(in crate::cli) enum PolicyCommand {
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
    /// Confirm a policy that came from a store: its schedule and its rules count from then on. Versions that go by it are shown before.
    Confirm {
        /// Name of the policy.
        name: String,
        /// Let versions go by it without asking.
        #[arg(long)]
        yes: bool,
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
