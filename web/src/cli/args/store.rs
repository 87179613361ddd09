//! What is said of stores, and of limits.

use clap::{Args, Subcommand, ValueEnum};

/// Commands on stores.
#[derive(Debug, Subcommand)]
pub(in crate::cli) enum StoreCommand {
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
    /// Say what is stored of each source, by what uses it.
    ///
    /// Each stored object of a source is in one row, and the rows add up to its total; rows without any are left out. What belongs to no
    /// source (the store's identity, the mirror of the configuration) is not counted.
    ///
    ///   versions           versions that are listed need it
    ///   expired versions   only expired versions need it: it goes with them, unless their expiry is undone
    ///   being read         only a collected version needs it that an operation reads: it goes when that is done
    ///   kept staged files  staged files of versions whose policy keeps them
    ///   operations         operations that are not done may need it
    ///   to be deleted      nothing needs it and it is marked: a collection deletes it once its grace is over
    ///   not needed         nothing needs it: the next collection marks it
    ///   too new to tell    nothing is known to need it, but it is too new to be sure: it may be of work that has just begun
    ///   records            manifests, what became of versions, marks: they are small, and stay
    ///   not Tidemark's     it was not written by Tidemark: it is never deleted
    #[command(verbatim_doc_comment)]
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
pub(in crate::cli) struct LimitsSaid {
    /// Bytes sent and read in a second, on average: `50MiB/s`, `800KB/s`.
    #[arg(long, value_name = "RATE")]
    pub(in crate::cli) bandwidth: Option<String>,
    /// Requests at a time.
    #[arg(long, value_name = "COUNT")]
    pub(in crate::cli) requests: Option<u32>,
    /// Hours in which other limits hold, with their zone: `mon-fri 08:00-18:00 Europe/Berlin: 10MiB/s, requests 4`, or
    /// `sat,sun 00:00-24:00: unlimited`; repeat for several, of which the first that hold are in force.
    #[arg(long, value_name = "HOURS: LIMITS")]
    pub(in crate::cli) hours: Vec<String>,
}

/// Which limit can be taken away.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(in crate::cli) enum ClearLimit {
    /// The bound on bytes in a second.
    Bandwidth,
    /// The bound on requests at a time.
    Requests,
    /// All hours with limits of their own.
    Hours,
}
