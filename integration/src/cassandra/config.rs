//! Configuration files and command lines of nodes and tools.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result};

use super::{
    ClusterSpec,
    archive::{self, Program},
    node::Node,
    nodetool::NodetoolServer,
};

const YAML: &str = include_str!("../../cassandra/cassandra.yaml");
const JVM_OPTIONS: &str = include_str!("../../cassandra/jvm.options");
const LOGBACK: &str = include_str!("../../cassandra/logback.xml");
const LOGBACK_TOOLS: &str = include_str!("../../cassandra/logback-tools.xml");
/// Directory of a node's triggers.
pub(super) const TRIGGERS: &str = "triggers";
/// Setting that lets users make functions; Java's own rules must let the node watch over them.
const FUNCTIONS: &str = "user_defined_functions_enabled";
/// Flags of a program that runs Cassandra's tools in its own process: they end it, which the program forbids, and cannot register
/// with the JVM under its rules.
const IN_ONE_PROCESS: [&str; 2] =
    ["-Djava.security.manager=allow", "-Dorg.apache.cassandra.disable_mbean_registration=true"];
/// File that says where a node is.
const RACKDC: &str = "cassandra-rackdc.properties";

/// Writes the configuration of a node into its directory; with a server of `nodetool`, the node's script asks that.
pub(super) fn write(spec: &ClusterSpec, seeds: &str, node: &Node, server: Option<&NodetoolServer>) -> Result<()> {
    for dir in ["conf", "log", "tmp", TRIGGERS] {
        fs::create_dir_all(node.dir.join(dir)).with_context(|| format!("directory of {}", node.address))?;
    }
    let conf = node.dir.join("conf");
    fs::write(conf.join("cassandra.yaml"), yaml(spec, seeds, node))?;
    if let Some(place) = spec.place_of(&node.address) {
        fs::write(conf.join(RACKDC), format!("dc={}\nrack={}\n", place.dc, place.rack))?;
    }
    fs::write(conf.join("logback.xml"), LOGBACK)?;
    fs::write(conf.join("logback-tools.xml"), LOGBACK_TOOLS)?;
    let script = server.map_or_else(|| nodetool_script(node), |server| server.script(node.jmx_port));
    fs::write(nodetool(node), script)?;
    Ok(())
}

/// Command of the program `class` in `classes`, which runs `nodetool` for many calls; it dies with the process that started it.
pub(super) fn nodetool_server(node: &Node, classes: &Path, class: &str) -> Command {
    let mut line = java(node, &IN_ONE_PROCESS);
    if let Some(class_path) = line.last_mut() {
        *class_path = format!("{class_path}:{}", classes.display());
    }
    let mut command = dying_with_parent();
    command.args(line).arg(class);
    command
}

/// Script for bash that runs `nodetool` against a node.
pub(super) fn nodetool(node: &Node) -> PathBuf {
    node.dir.join("conf/nodetool")
}

fn nodetool_script(node: &Node) -> String {
    let words: Vec<String> = tool(node, "NodeTool").iter().map(|word| format!("'{word}'")).collect();
    format!("exec {} -h 127.0.0.1 -p {} \"$@\"\n", words.join(" "), node.jmx_port)
}

fn yaml(spec: &ClusterSpec, seeds: &str, node: &Node) -> String {
    let tokens: Vec<String> = node.tokens.iter().map(i64::to_string).collect();
    let filled = YAML
        .replace("{cluster}", &spec.name)
        .replace("{seeds}", seeds)
        .replace("{num_tokens}", &node.tokens.len().to_string())
        .replace("{tokens}", &tokens.join(","))
        .replace("{bootstrap}", &node.bootstrap.to_string())
        .replace("{address}", &node.address)
        .replace("{dir}", &node.dir.display().to_string());
    let whole = spec.settings.iter().fold(filled, |yaml, (name, value)| set(&yaml, name, value));
    // Who replaces another asks the others for its tokens.
    let lines = whole.lines().filter(|line| node.replaces.is_none() || !line.starts_with("initial_token:"));
    lines.flat_map(|line| [node.release().setting(line), "\n".to_owned()]).collect()
}

/// Replaces the top-level setting `name`, or adds it.
fn set(yaml: &str, name: &str, value: &str) -> String {
    let prefix = format!("{name}:");
    let kept = yaml.lines().filter(|line| !line.starts_with(&prefix));
    kept.chain([format!("{name}: {value}").as_str()]).flat_map(|line| [line, "\n"]).collect()
}

/// Command that runs a node. It dies with the process that started it, unless it is to be kept.
pub(super) fn server(spec: &ClusterSpec, node: &Node) -> Command {
    let mut command = if spec.keep { Command::new("setsid") } else { dying_with_parent() };
    let dir = node.dir.display();
    command.envs(spec.environment.iter().map(|(name, value)| (name, value)));
    command.arg("java").args(archive::flag(node.release(), Program::Node)).args(jvm_options(node));
    command.args([
        "-Xms96M",
        &format!("-Xmx{}", spec.heap),
        "-XX:MaxDirectMemorySize=128M",
        "-XX:+ExitOnOutOfMemoryError",
    ]);
    if !spec.full_jit {
        command.arg("-XX:TieredStopAtLevel=1");
    }
    command.arg(format!("-Dcassandra.jmx.local.port={}", node.jmx_port));
    // Gossip needs no settling where tokens are given, but a node that streams must have seen all others.
    let ring_delay = if node.bootstrap { 5000 } else { 1000 };
    command.arg(format!("-Dcassandra.ring_delay_ms={ring_delay}"));
    command.args(node.replaces.iter().flat_map(|address| replacing(address)));
    command.args(["-Dcassandra.skip_wait_for_gossip_to_settle=0", "-Dcassandra.superuser_setup_delay_ms=0"]);
    command.args(["-Dcassandra.consistent.rangemovement=false", "-Dcassandra.shutdown_announce_in_ms=100"]);
    command.arg("-Dcassandra.available_processors=2");
    // A node that missed a change of the schema asks for it at once, not after a minute.
    command.arg("-Dcassandra.migration_delay_ms=1000");
    // The commit log keeps schema changes; flushing eight tables for each of them takes most of a test's time.
    command.arg("-Dcassandra.test.flush_local_schema_changes=false");
    // What a row takes of a memtable is measured at every start; with 1,000 rows instead of 100,000 it comes to the same 180 bytes,
    // in half of the processor time of the whole start.
    command.arg("-Dcassandra.memtable_row_overhead_computation_step=1000");
    // A look at the clock every 2 ms is most of what an idle node does; it is for timeouts of many seconds.
    command.arg("-Dcassandra.approximate_time_precision_ms=20");
    command.arg(format!("-Dcassandra.triggers_dir={dir}/{TRIGGERS}"));
    if spec.settings.iter().any(|(name, _)| name == FUNCTIONS) {
        command.arg("-Djava.security.manager=allow");
    }
    if spec.place_of(&node.address).is_some() {
        command.arg(format!("-D{RACKDC}=file://{dir}/conf/{RACKDC}"));
    }
    command.args(common(&node.dir, "logback.xml"));
    command.args([format!("-Dcassandra.storagedir={dir}"), format!("-Dcassandra.logdir={dir}/log")]);
    command.args(["-cp", &class_path(node), "org.apache.cassandra.service.CassandraDaemon"]);
    command
}

/// Flags of a node that replaces another one. Before it tells others it looks as long as the greater of this interval and two ring
/// delays whether that one is alive. When it has its share it stays a joining member, because of the survey of writes.
fn replacing(address: &str) -> [String; 3] {
    [
        format!("-Dcassandra.replace_address_first_boot={address}"),
        "-Dcassandra.broadcast_interval_ms=1000".to_owned(),
        "-Dcassandra.write_survey=true".to_owned(),
    ]
}

/// Command line of one of Cassandra's tools (a class of `org.apache.cassandra.tools`) for a node, without its arguments.
pub(super) fn tool(node: &Node, class: &str) -> Vec<String> {
    let mut line = java(node, &[]);
    line.push(format!("org.apache.cassandra.tools.{class}"));
    line
}

/// Command line of a Java program of one source file that uses Cassandra's classes; without its arguments.
pub(super) fn program(node: &Node, source: &Path) -> Vec<String> {
    // The compiler needs a deeper stack than a server's threads.
    let mut line = java(node, &[&IN_ONE_PROCESS[..], &["-Xss4M"]].concat());
    line.push(source.display().to_string());
    line
}

fn java(node: &Node, more: &[&str]) -> Vec<String> {
    let mut line = vec!["java".to_owned()];
    line.extend(archive::flag(node.release(), Program::Tool));
    line.extend(jvm_options(node).map(str::to_owned));
    line.extend(["-XX:TieredStopAtLevel=1", "-Xshare:auto", "-Xmx192M"].map(str::to_owned));
    line.extend(more.iter().map(ToString::to_string));
    line.extend(common(&node.dir, "logback-tools.xml"));
    line.push(format!("-Dcassandra.storagedir={}", node.dir.join("tmp").display()));
    line.extend(["-cp".to_owned(), class_path(node)]);
    line
}

fn common(dir: &Path, logback: &str) -> [String; 3] {
    let dir = dir.display();
    [
        format!("-Dcassandra.config=file://{dir}/conf/cassandra.yaml"),
        format!("-Dlogback.configurationFile={dir}/conf/{logback}"),
        format!("-Djava.io.tmpdir={dir}/tmp"),
    ]
}

fn jvm_options(node: &Node) -> impl Iterator<Item = &str> {
    let common = JVM_OPTIONS.lines().filter(|line| line.starts_with('-'));
    common.chain(node.jvm_options.iter().map(String::as_str))
}

fn class_path(node: &Node) -> String {
    node.release().jars().join("*").display().to_string()
}

fn dying_with_parent() -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL"]);
    command
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_setting_replaces_the_template_s_or_is_added() {
        assert_eq!(set("a: 1\nb: 2\n", "a", "3"), "b: 2\na: 3\n");
        assert_eq!(set("a: 1\n", "c", "4"), "a: 1\nc: 4\n");
    }
}
