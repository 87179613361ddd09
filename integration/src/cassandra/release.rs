//! Releases of Cassandra that nodes run, and what a node of 4.x needs other than one of 5.0.

use std::{
    path::PathBuf,
    process::Command,
    sync::{LazyLock, Mutex},
};

use anyhow::{Context, Result, ensure};

use crate::paths;

/// Modules of the JDK that jamm, which measures the memory of 4.x, looks into.
const MEASURED: [&str; 6] =
    ["java.base", "java.logging", "java.management", "java.management.rmi", "java.rmi", "jdk.management"];

/// A release of Cassandra.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Release {
    /// 4.0
    V4_0,
    /// 4.1
    V4_1,
    /// 5.0, which everything runs that does not say otherwise.
    #[default]
    V5_0,
}

impl Release {
    /// Its version, as the jars are named.
    pub fn version(self) -> &'static str {
        match self {
            Self::V4_0 => "4.0.19",
            Self::V4_1 => "4.1.10",
            Self::V5_0 => paths::CASSANDRA_VERSION,
        }
    }

    /// Directory of its jars, complete if it exists.
    pub fn jars(self) -> PathBuf {
        paths::cassandra_jars(self.version())
    }

    /// Flags of the JVM that it needs besides those of 5.0.
    ///
    /// # Errors
    /// Where the JDK does not tell its packages.
    pub(super) fn jvm_options(self) -> Result<Vec<String>> {
        if self == Self::V5_0 {
            return Ok(Vec::new());
        }
        let agent = format!("-javaagent:{}", self.jars().join("jamm-0.3.2.jar").display());
        Ok([vec![agent], opened_packages()?].concat())
    }

    /// A line of `cassandra.yaml` as this release knows it. 4.0 has the unit in the name of a setting, where later releases
    /// have it in the value.
    pub(super) fn setting(self, line: &str) -> String {
        let unit_in_name = line.split_once(": ").filter(|_| self == Self::V4_0).and_then(|(name, value)| {
            let (number, unit) = value.split_at(value.find(|c: char| !c.is_ascii_digit())?);
            let number: u64 = number.parse().ok()?;
            let (suffix, number) = match unit {
                "ms" => ("in_ms", number),
                "s" => ("in_ms", number * 1000),
                "MiB" if name.starts_with("prepared_statements") => ("mb", number),
                "MiB" => ("in_mb", number),
                "MiB/s" => ("mb_per_sec", number),
                _ => return None,
            };
            Some(format!("{name}_{suffix}: {number}"))
        });
        unit_in_name.unwrap_or_else(|| line.to_owned())
    }
}

/// `--add-opens` for every package of [`MEASURED`]. The JDK is asked once.
fn opened_packages() -> Result<Vec<String>> {
    static ASKED: LazyLock<Mutex<Vec<String>>> = LazyLock::new(Mutex::default);
    let mut asked = ASKED.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    if asked.is_empty() {
        for module in MEASURED {
            asked.extend(packages(module)?.iter().map(|package| format!("--add-opens={module}/{package}=ALL-UNNAMED")));
        }
    }
    Ok(asked.clone())
}

fn packages(module: &str) -> Result<Vec<String>> {
    let output = Command::new("java").args(["--describe-module", module]).output().context("java")?;
    ensure!(output.status.success(), "java --describe-module {module}: {}", output.status);
    Ok(String::from_utf8(output.stdout)?.lines().filter_map(package).map(str::to_owned).collect())
}

/// The package that a line of `java --describe-module` names, exported or not.
fn package(line: &str) -> Option<&str> {
    let line = line.strip_prefix("qualified ").unwrap_or(line);
    let rest = line.strip_prefix("exports ").or_else(|| line.strip_prefix("contains "))?;
    rest.split_whitespace().next()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_move_into_the_names_of_4_0() {
        let table = [
            ("commitlog_sync_period: 1s", "commitlog_sync_period_in_ms: 1000"),
            ("write_request_timeout: 20s", "write_request_timeout_in_ms: 20000"),
            ("key_cache_size: 4MiB", "key_cache_size_in_mb: 4"),
            ("prepared_statements_cache_size: 64MiB", "prepared_statements_cache_size_mb: 64"),
            ("compaction_throughput: 0MiB/s", "compaction_throughput_mb_per_sec: 0"),
            ("native_transport_port: 9042", "native_transport_port: 9042"),
            ("auto_snapshot: false", "auto_snapshot: false"),
            ("      - seeds: \"127.0.0.1\"", "      - seeds: \"127.0.0.1\""),
        ];
        for (line, of_4_0) in table {
            assert_eq!((Release::V4_0.setting(line).as_str(), Release::V5_0.setting(line).as_str()), (of_4_0, line));
        }
    }

    #[test]
    fn packages_are_read_whoever_may_use_them() {
        assert_eq!(package("exports java.rmi"), Some("java.rmi"));
        assert_eq!(package("qualified exports sun.rmi.server to jdk.jconsole"), Some("sun.rmi.server"));
        assert_eq!(package("contains sun.rmi.log"), Some("sun.rmi.log"));
        assert_eq!(package("requires java.base mandated"), None);
    }
}
