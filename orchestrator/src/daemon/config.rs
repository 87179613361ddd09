//! Settings of the daemon.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use tidemark_listener_core::records::ConsolidateLimits;

use crate::{listeners::ListenerConfig, tasks::RunnerConfig};

/// Settings as they are given.
#[derive(Clone, Debug)]
pub struct RawConfig {
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
    /// Objects consolidated at a time within a task.
    pub consolidations: usize,
    /// Bytes of buffers of one consolidation.
    pub consolidation_memory_bytes: usize,
    /// Seconds that a source, store or destination may be away before a task is given up.
    pub longest_absence_seconds: usize,
    /// Longest pause between two tries of a task, seconds.
    pub longest_pause_seconds: usize,
}

/// Settings that are sound.
#[derive(Clone, Debug)]
pub struct Config {
    pub(super) state: PathBuf,
    pub(super) listen: SocketAddr,
    pub(super) token_file: PathBuf,
    pub(super) control_listen: Option<SocketAddr>,
    pub(super) runner: RunnerConfig,
    pub(super) listeners: ListenerConfig,
    pub(super) consolidations: usize,
    pub(super) consolidate_limits: ConsolidateLimits,
}

/// What is wrong with the settings.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
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

impl RawConfig {
    /// The settings, where they are sound.
    ///
    /// # Errors
    /// [`ConfigError`] naming the setting.
    pub fn validate(self) -> Result<Config, ConfigError> {
        let listen = loopback("listen", &self.listen)?;
        let control_listen = self.control_listen.as_deref().map(|text| loopback("control-listen", text)).transpose()?;
        range("consolidations", self.consolidations, 1, 64)?;
        range("consolidation-memory-bytes", self.consolidation_memory_bytes, 16 << 20, 1 << 40)?;
        range("longest-absence-seconds", self.longest_absence_seconds, 1, 30 * 24 * 3600)?;
        range("longest-pause-seconds", self.longest_pause_seconds, 1, 3600)?;
        let seconds = |seconds: usize| Duration::from_secs(seconds as u64);
        let runner = RunnerConfig {
            node: self.node,
            longest_absence: seconds(self.longest_absence_seconds),
            longest_backoff: seconds(self.longest_pause_seconds),
            ..RunnerConfig::default()
        };
        let memory_bytes = self.consolidation_memory_bytes;
        Ok(Config {
            state: self.state,
            listen,
            token_file: self.token_file,
            control_listen,
            runner,
            listeners: ListenerConfig::default(),
            consolidations: self.consolidations,
            consolidate_limits: ConsolidateLimits { memory_bytes, ..ConsolidateLimits::default() },
        })
    }
}

impl Config {
    /// The same with other bounds on listeners.
    #[must_use]
    pub fn with_listeners(self, listeners: ListenerConfig) -> Self {
        Self { listeners, ..self }
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
