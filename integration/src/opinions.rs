//! Others' opinions of what is stored: Cassandra's own tools, run many times in one process, and readers of Parquet that know
//! nothing of ours. Programs and scripts are in `opinions/`; `install/readers.sh` installs what they need.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::{cassandra::Cluster, paths};

/// Runs a Python script of `opinions/`; returns the JSON that it prints.
///
/// # Errors
/// Where it fails, with what it said.
pub fn ask(script: &str, arguments: &[&str]) -> Result<Value> {
    let mut command = Command::new(paths::readers_python());
    // The clone stays as it was.
    command.arg("-B").arg(file(script)).args(arguments).stdin(Stdio::null());
    let output = command.output().with_context(|| format!("run {script}"))?;
    ensure!(output.status.success(), "{script}: {}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).with_context(|| format!("answer of {script}"))
}

/// Dumps every SSTable of a keyspace on every node with `sstabledump`, as `TABLE/N.json` (`-t -l`) below `to`; `TABLE/N.stamps` has
/// the stamps of all cells, which it does not show fully. Nothing may be compacted meanwhile.
///
/// # Errors
/// Where there is no SSTable, or one cannot be dumped.
pub fn dump_sstables(cluster: &Cluster, keyspace: &str, to: &Path) -> Result<()> {
    let mut calls = Vec::new();
    for (number, (table, sstable)) in sstables(cluster, keyspace)?.into_iter().enumerate() {
        let (dir, sstable) = (to.join(table), sstable.display().to_string());
        fs::create_dir_all(&dir)?;
        let (json, stamps) = (dir.join(format!("{number}.json")), dir.join(format!("{number}.stamps")));
        calls.push(format!("{}\tSSTableExport\t{sstable}\t-t\t-l", json.display()));
        calls.push(format!("{}\tCellStamps\t{sstable}", stamps.display()));
    }
    ensure!(!calls.is_empty(), "keyspace {keyspace} has no SSTables");
    run(cluster, &to.join("calls"), &calls)
}

/// Endpoints of each partition key (as CQL text) of the table `table` of some keyspaces, keyspace by keyspace, as
/// `nodetool getendpoints` lists them; files go to `dir`.
///
/// # Errors
/// Where the tool fails.
pub fn endpoints(
    cluster: &Cluster,
    keyspaces: &[&str],
    table: &str,
    keys: &[String],
    dir: &Path,
) -> Result<Vec<Vec<Vec<String>>>> {
    fs::create_dir_all(dir)?;
    let port = cluster.nodes()[0].jmx_port.to_string();
    let output = |keyspace: &str, number: usize| dir.join(format!("{keyspace}-{number}"));
    let call = |keyspace: &str, (number, key): (usize, &String)| {
        let output = output(keyspace, number).display().to_string();
        [&output, "NodeTool", "-h", "127.0.0.1", "-p", &port, "getendpoints", keyspace, table, key].join("\t")
    };
    let calls: Vec<String> =
        keyspaces.iter().flat_map(|keyspace| keys.iter().enumerate().map(|key| call(keyspace, key))).collect();
    run(cluster, &dir.join("calls"), &calls)?;
    let lines = |output: PathBuf| Ok(fs::read_to_string(output)?.lines().map(str::to_owned).collect());
    let of = |keyspace: &&str| (0..keys.len()).map(|number| lines(output(keyspace, number))).collect();
    keyspaces.iter().map(of).collect()
}

/// Runs tools of Cassandra in one process; each line of `calls` as `ToolCalls.java` takes it.
fn run(cluster: &Cluster, list: &Path, calls: &[String]) -> Result<()> {
    fs::write(list, calls.join("\n"))?;
    cluster.java_program(0, &file("ToolCalls.java"), &[&list.display().to_string()]).map(drop)
}

/// Table and Data.db of every SSTable; those of indexes are in directories of their own.
fn sstables(cluster: &Cluster, keyspace: &str) -> Result<Vec<(String, PathBuf)>> {
    let mut found = Vec::new();
    for node in cluster.nodes() {
        for table in fs::read_dir(node.data_dir().join(keyspace))? {
            let table = table?;
            let name = table.file_name().to_string_lossy().into_owned();
            let name = name.rsplit_once('-').with_context(|| format!("directory {name}"))?.0.to_owned();
            for component in fs::read_dir(table.path())? {
                let path = component?.path();
                found.extend(path.to_string_lossy().ends_with("-Data.db").then(|| (name.clone(), path.clone())));
            }
        }
    }
    Ok(found)
}

fn file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("opinions").join(name)
}
