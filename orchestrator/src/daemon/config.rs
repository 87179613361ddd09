//! Settings of the daemon: a file, and flags that override it.

mod cluster;
mod file;

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use serde::Deserialize;
use tidemark_catalog::collect::Ages;
use tidemark_listener_core::records::ConsolidateLimits;

use crate::{
    allow::{Allow, Lists},
    coordinator::etcd,
    listeners::ListenerConfig,
    stores::ONE_OF_MANY,
    tasks::RunnerConfig,
};

/// Name of a node where none is given.
const NODE: &str = "tidemarkd";

/// The version of the configuration file that is read.
const VERSION: u32 = 1;

/// Settings as they are given. What is not given has its default; [`RawConfig::state`] and [`RawConfig::token_file`] have none.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RawConfig {
    /// Version of the file's format: 1.
    pub version: u32,
    /// State directory.
    pub state: PathBuf,
    /// Address of the API, `ip:port`.
    pub listen: String,
    /// File of the API's token; made where it is absent.
    pub token_file: PathBuf,
    /// Address at which control is served besides the socket in the state directory, `ip:port`; none by default.
    pub control_listen: Option<String>,
    /// Name of this node.
    pub node: String,
    /// Members of the etcd of a cluster of daemons, `https://host:port`; none: one daemon, with its state in the state directory.
    pub coordinator: Vec<String>,
    /// PEM file of the authority of etcd's certificates.
    pub coordinator_ca: Option<PathBuf>,
    /// PEM file of this daemon's certificate for etcd.
    pub coordinator_cert: Option<PathBuf>,
    /// PEM file of its key.
    pub coordinator_key: Option<PathBuf>,
    /// File with `name:password` of an etcd user.
    pub coordinator_user_file: Option<PathBuf>,
    /// Name of the cluster of daemons; several may share an etcd.
    pub cluster: String,
    /// What this daemon does: `control`, `worker`.
    pub roles: Vec<String>,
    /// Objects, or ranges of one, that this daemon consolidates at a time within a task.
    pub consolidations: usize,
    /// Staged bytes from which an object is consolidated by whichever daemon of a cluster has a place, in as many parts.
    pub consolidation_part_bytes: usize,
    /// Bytes of buffers of one consolidation.
    pub consolidation_memory_bytes: usize,
    /// Seconds that a source, store or destination may be away before a task is given up.
    pub longest_absence_seconds: usize,
    /// Longest pause between two tries of a task, seconds.
    pub longest_pause_seconds: usize,
    /// Seconds from one collection of a store to the next; 0: only when it is asked for.
    pub collect_every_seconds: usize,
    /// Seconds in which the expiry of a version can be undone.
    pub expiry_grace_seconds: usize,
    /// Seconds from the mark of garbage to its deletion.
    pub marks_grace_seconds: usize,
    /// Seconds after which what belongs to no task that is known counts as garbage.
    pub unclaimed_seconds: usize,
    /// What sources may have executed and read; all that they name where it is absent.
    pub allow: Option<RawAllow>,
}

impl Default for RawConfig {
    fn default() -> Self {
        Self {
            version: VERSION,
            state: PathBuf::new(),
            listen: "127.0.0.1:8480".to_owned(),
            token_file: PathBuf::new(),
            control_listen: None,
            node: NODE.to_owned(),
            coordinator: Vec::new(),
            coordinator_ca: None,
            coordinator_cert: None,
            coordinator_key: None,
            coordinator_user_file: None,
            cluster: "default".to_owned(),
            roles: vec!["control".to_owned(), "worker".to_owned()],
            consolidations: 1,
            consolidation_part_bytes: 64 << 20,
            consolidation_memory_bytes: 256 << 20,
            longest_absence_seconds: 4 * 3600,
            longest_pause_seconds: 60,
            collect_every_seconds: 3600,
            expiry_grace_seconds: 24 * 3600,
            marks_grace_seconds: 24 * 3600,
            unclaimed_seconds: 96 * 3600,
            allow: None,
        }
    }
}

/// What sources may have executed and read, absolute; a directory stands for all below it. What a list does not name is refused.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RawAllow {
    /// Programs.
    pub programs: Vec<PathBuf>,
    /// Files with credentials.
    pub credentials: Vec<PathBuf>,
    /// Files and directories with data; any where it is absent.
    pub data: Option<Vec<PathBuf>>,
}

/// Settings that are sound.
#[derive(Clone, Debug)]
pub struct Config {
    pub(super) state: PathBuf,
    pub(super) listen: SocketAddr,
    pub(super) token_file: PathBuf,
    pub(super) control_listen: Option<SocketAddr>,
    pub(super) runner: RunnerConfig,
    /// How long a store may take to say that it is the one that was registered.
    pub(super) first_look: Duration,
    pub(super) listeners: ListenerConfig,
    pub(super) consolidations: usize,
    pub(super) part_bytes: u64,
    pub(super) consolidate_limits: ConsolidateLimits,
    pub(super) ages: Ages,
    pub(super) collect_every: Duration,
    pub(super) allow: Allow,
    pub(super) etcd: Option<etcd::Config>,
    pub(super) roles: Roles,
}

/// What a daemon does besides answering the API.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Roles {
    /// It turns policies into operations, whenever it leads.
    pub control: bool,
    /// It runs operations.
    pub worker: bool,
}

/// What is wrong with the settings. Settings are named as in the file.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file is not TOML, or has a setting that is not known or of another type.
    #[error("{}:{line}:{column}: {reason}", path.display())]
    Parse {
        /// The file.
        path: PathBuf,
        /// Line, from 1.
        line: usize,
        /// Character of the line, from 1.
        column: usize,
        /// What is wrong.
        reason: String,
    },
    /// A setting of the file is wrong.
    #[error("{}:{line}:{column}", path.display())]
    At {
        /// The file.
        path: PathBuf,
        /// Line of the value, from 1.
        line: usize,
        /// Character of the line, from 1.
        column: usize,
        /// What is wrong.
        source: Box<ConfigError>,
    },
    /// Of another version.
    #[error("version is {found}; this program reads version {VERSION}")]
    Version {
        /// As it says.
        found: u32,
    },
    /// A setting without a default is not given.
    #[error("{name} is not given, neither by a flag nor in a configuration file")]
    Missing {
        /// The setting.
        name: &'static str,
    },
    /// Not an absolute path.
    #[error("{name} has {value:?}, which is not an absolute path")]
    Relative {
        /// The setting.
        name: &'static str,
        /// Its value.
        value: PathBuf,
    },
    /// Not an address.
    #[error("{name} {value:?} is not ip:port")]
    Address {
        /// The setting.
        name: &'static str,
        /// Its value.
        value: String,
    },
    /// An address that other hosts can reach.
    #[error("{name} {value} is not a loopback address; without TLS the daemon serves this host only")]
    Remote {
        /// The setting.
        name: &'static str,
        /// Its value.
        value: SocketAddr,
    },
    /// A name, a list of words or an address that is none.
    #[error("{name} has {value:?}, which is not {wanted}")]
    Text {
        /// The setting.
        name: &'static str,
        /// Its value.
        value: String,
        /// What it may be.
        wanted: &'static str,
    },
    /// A number out of its range.
    #[error("{name} is {value}, it must be from {least} to {most}")]
    Range {
        /// The setting.
        name: &'static str,
        /// Its value.
        value: usize,
        /// Least value, inclusive.
        least: usize,
        /// Greatest value, inclusive.
        most: usize,
    },
}

impl ConfigError {
    /// The setting that is wrong, as in the file; within a section `section.name`.
    fn setting(&self) -> Option<&'static str> {
        match self {
            Self::Version { .. } => Some("version"),
            Self::Missing { name }
            | Self::Relative { name, .. }
            | Self::Address { name, .. }
            | Self::Remote { name, .. }
            | Self::Text { name, .. }
            | Self::Range { name, .. } => Some(name),
            Self::Read { .. } | Self::Parse { .. } | Self::At { .. } => None,
        }
    }
}

impl RawConfig {
    /// The settings, where they are sound.
    ///
    /// # Errors
    /// [`ConfigError`] naming the setting.
    pub fn validate(self) -> Result<Config, ConfigError> {
        let (listen, control_listen) = self.check()?;
        let (etcd, roles) = (self.etcd(), self.roles());
        let given = |name, path: PathBuf| match path.as_os_str().is_empty() {
            true => Err(ConfigError::Missing { name }),
            false => Ok(path),
        };
        let seconds = |seconds: usize| Duration::from_secs(seconds as u64);
        let runner = RunnerConfig {
            node: self.node,
            longest_absence: seconds(self.longest_absence_seconds),
            longest_backoff: seconds(self.longest_pause_seconds),
            ..RunnerConfig::default()
        };
        let memory_bytes = self.consolidation_memory_bytes;
        let (etcd, roles) = (etcd?, roles?);
        let lists = |RawAllow { programs, credentials, data }| Allow::only(Lists { programs, credentials, data });
        Ok(Config {
            state: given("state", self.state)?,
            listen,
            token_file: given("token_file", self.token_file)?,
            control_listen,
            runner,
            first_look: ONE_OF_MANY,
            listeners: ListenerConfig::default(),
            consolidations: self.consolidations,
            part_bytes: self.consolidation_part_bytes as u64,
            consolidate_limits: ConsolidateLimits { memory_bytes, ..ConsolidateLimits::default() },
            ages: Ages {
                undo: seconds(self.expiry_grace_seconds),
                marks: seconds(self.marks_grace_seconds),
                unclaimed: seconds(self.unclaimed_seconds),
            },
            collect_every: seconds(self.collect_every_seconds),
            allow: self.allow.map_or_else(Allow::default, lists),
            etcd,
            roles,
        })
    }

    /// Checks every value that is given; the addresses.
    fn check(&self) -> Result<(SocketAddr, Option<SocketAddr>), ConfigError> {
        if self.version != VERSION {
            return Err(ConfigError::Version { found: self.version });
        }
        let listen = loopback("listen", &self.listen)?;
        let control_listen = self.control_listen.as_deref().map(|text| loopback("control_listen", text)).transpose()?;
        self.check_cluster()?;
        range("consolidations", self.consolidations, 1, 64)?;
        range("consolidation_part_bytes", self.consolidation_part_bytes, 1, 1 << 40)?;
        range("consolidation_memory_bytes", self.consolidation_memory_bytes, 16 << 20, 1 << 40)?;
        range("longest_absence_seconds", self.longest_absence_seconds, 1, 30 * 24 * 3600)?;
        range("longest_pause_seconds", self.longest_pause_seconds, 1, 3600)?;
        range("collect_every_seconds", self.collect_every_seconds, 0, 7 * 24 * 3600)?;
        range("expiry_grace_seconds", self.expiry_grace_seconds, 0, 366 * 24 * 3600)?;
        range("marks_grace_seconds", self.marks_grace_seconds, 0, 366 * 24 * 3600)?;
        range("unclaimed_seconds", self.unclaimed_seconds, 0, 366 * 24 * 3600)?;
        if let Some(RawAllow { programs, credentials, data }) = &self.allow {
            absolute("allow.programs", programs)?;
            absolute("allow.credentials", credentials)?;
            absolute("allow.data", data.as_deref().unwrap_or_default())?;
        }
        Ok((listen, control_listen))
    }
}

impl Config {
    /// The same with other bounds on listeners.
    #[must_use]
    pub fn with_listeners(self, listeners: ListenerConfig) -> Self {
        Self { listeners, ..self }
    }

    /// The same with other ages in collection.
    #[must_use]
    pub fn with_ages(self, ages: Ages) -> Self {
        Self { ages, ..self }
    }

    /// The same with another bound on the first look at a store.
    #[must_use]
    pub fn with_first_look(self, first_look: Duration) -> Self {
        Self { first_look, ..self }
    }

    /// The same with other bounds on tasks; the node keeps its name.
    #[must_use]
    pub fn with_runner(self, runner: RunnerConfig) -> Self {
        let node = self.runner.node;
        Self { runner: RunnerConfig { node, ..runner }, ..self }
    }
}

fn loopback(name: &'static str, text: &str) -> Result<SocketAddr, ConfigError> {
    let value: SocketAddr =
        text.parse().map_err(|_| ConfigError::Address { name, value: text.chars().take(80).collect() })?;
    if value.ip().is_loopback() { Ok(value) } else { Err(ConfigError::Remote { name, value }) }
}

fn range(name: &'static str, value: usize, least: usize, most: usize) -> Result<(), ConfigError> {
    if (least..=most).contains(&value) { Ok(()) } else { Err(ConfigError::Range { name, value, least, most }) }
}

fn absolute(name: &'static str, paths: &[PathBuf]) -> Result<(), ConfigError> {
    let relative = paths.iter().find(|path| !path.is_absolute());
    relative.map_or(Ok(()), |value| Err(ConfigError::Relative { name, value: value.clone() }))
}
