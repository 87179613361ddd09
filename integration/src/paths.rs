//! Where things are: the cache of installed tools, the built binaries, directories of runs.

use std::{
    env,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, ensure};

/// Version of the Cassandra server that is in use where nothing else is said.
pub const CASSANDRA_VERSION: &str = "5.0.9";

/// Directory of installed tools: `TIDEMARK_CACHE`, or `$HOME/.cache/tidemark`. `make setup` fills it.
pub fn cache() -> PathBuf {
    match env::var_os("TIDEMARK_CACHE") {
        Some(dir) => dir.into(),
        None => PathBuf::from(env::var_os("HOME").unwrap_or_else(|| "/root".into())).join(".cache/tidemark"),
    }
}

/// Directory of the jars of a version of Cassandra, complete if it exists.
pub fn cassandra_jars(version: &str) -> PathBuf {
    cache().join("cassandra").join(version)
}

/// Directory of tools for tests: `TIDEMARK_TOOLS`, or `$HOME/.cache/tidemark-tools`. `make setup` fills it.
pub fn tools() -> PathBuf {
    match env::var_os("TIDEMARK_TOOLS") {
        Some(dir) => dir.into(),
        None => PathBuf::from(env::var_os("HOME").unwrap_or_else(|| "/root".into())).join(".cache/tidemark-tools"),
    }
}

/// Python with the readers of Parquet.
pub fn readers_python() -> PathBuf {
    tools().join("readers/bin/python")
}

/// Path of a built binary of the workspace, beside the running test or tool.
///
/// # Errors
/// Where it was not built: `make build` does.
pub fn binary(name: &str) -> Result<PathBuf> {
    let own = env::current_exe().context("own executable")?;
    // Tests are in <target>/<profile>/deps, binaries in <target>/<profile>.
    let dirs = own.ancestors().skip(1).take(2).map(Path::to_path_buf);
    let found = dirs.map(|dir| dir.join(name)).find(|path| path.is_file());
    found.with_context(|| format!("binary {name} is not beside {}; run make build", own.display()))
}

/// Fails unless the jars of Cassandra are installed.
///
/// # Errors
/// Naming the directory and the command that installs them.
pub fn require_cassandra() -> Result<()> {
    require_cassandra_version(CASSANDRA_VERSION)
}

/// Fails unless the jars of this version of Cassandra are installed.
///
/// # Errors
/// Naming the directory and the command that installs them.
pub fn require_cassandra_version(version: &str) -> Result<()> {
    let jars = cassandra_jars(version);
    ensure!(jars.is_dir(), "no Cassandra jars in {}; run make setup", jars.display());
    Ok(())
}

/// Fails unless the readers of Parquet are installed.
///
/// # Errors
/// Naming the program and the command that installs it.
pub fn require_readers() -> Result<()> {
    let python = readers_python();
    ensure!(python.is_file(), "no {}; run make setup", python.display());
    Ok(())
}

/// Directory of etcd and etcdctl.
pub fn etcd() -> PathBuf {
    tools().join("etcd")
}

/// Fails unless etcd is installed.
///
/// # Errors
/// Naming the program and the command that installs it.
pub fn require_etcd() -> Result<()> {
    let program = etcd().join("etcd");
    ensure!(program.is_file(), "no {}; run make setup", program.display());
    Ok(())
}

/// Directory of the stand-in of MongoDB.
pub fn secantus() -> PathBuf {
    tools().join("secantus")
}

/// Fails unless the stand-in of MongoDB is installed.
///
/// # Errors
/// Naming the program and the command that installs it.
pub fn require_secantus() -> Result<()> {
    let program = secantus().join("bin/secantusd-py");
    ensure!(program.is_file(), "no {}; run make setup", program.display());
    Ok(())
}

/// True where a test may use Cassandra. Where it may not, says loudly that `test` was skipped; with `CI=1` it panics
/// instead, so that no run of CI passes by skipping.
///
/// # Panics
/// With `CI=1` and no jars.
pub fn cassandra_or_skip(test: &str) -> bool {
    there_or_skip(test, require_cassandra())
}

/// The same for these versions of Cassandra.
///
/// # Panics
/// With `CI=1` where one of them is missing.
pub fn cassandra_versions_or_skip(test: &str, versions: &[&str]) -> bool {
    there_or_skip(test, versions.iter().try_for_each(|version| require_cassandra_version(version)))
}

/// The same for Cassandra and the readers of Parquet.
///
/// # Panics
/// With `CI=1` where one of them is missing.
pub fn cassandra_and_readers_or_skip(test: &str) -> bool {
    there_or_skip(test, require_cassandra().and_then(|()| require_readers()))
}

/// The same for etcd.
///
/// # Panics
/// With `CI=1` where it is missing.
pub fn etcd_or_skip(test: &str) -> bool {
    there_or_skip(test, require_etcd())
}

/// The same for the stand-in of MongoDB.
///
/// # Panics
/// With `CI=1` where it is missing.
pub fn secantus_or_skip(test: &str) -> bool {
    there_or_skip(test, require_secantus())
}

fn there_or_skip(test: &str, there: Result<()>) -> bool {
    let Err(missing) = there else { return true };
    assert!(env::var("CI").is_err(), "{test}: {missing}");
    eprintln!("SKIPPED {test}: {missing}");
    false
}
