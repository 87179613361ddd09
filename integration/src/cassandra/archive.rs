//! Archives of loaded classes (class data sharing), from which nodes and tools of 5.0 start with less work.
//!
//! They lie beside the jars in the cache, for one JDK each, and are made once: by a node that starts, is asked a few things by
//! `nodetool`, and ends. A JVM that finds an archive made from other jars does without it.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::Command,
    sync::LazyLock,
};

use anyhow::{Context, Result, ensure};

use super::{Cluster, ClusterSpec, Release, run};

/// Loopback network of the node that loads the classes.
const GROUP: u8 = 199;
/// The variable from which a JVM takes flags besides those of its command line.
const FLAGS: &str = "JAVA_TOOL_OPTIONS";

/// Who starts from an archive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Program {
    /// A node.
    Node,
    /// `nodetool`, and whatever else runs beside a node.
    Tool,
}

/// The JVM's flag for the archive of a program; none where there is no archive.
pub(super) fn flag(release: Release, program: Program) -> Option<String> {
    let path = path(release, program)?;
    path.exists().then(|| format!("-XX:SharedArchiveFile={}", path.display()))
}

/// Makes the archives of a release that has them, where they are not there. Whoever comes while they are made waits.
///
/// # Errors
/// Where the node does not start or end, or the JVM writes no archive.
pub(super) async fn make(release: Release) -> Result<()> {
    let (Some(node), Some(tool)) = (path(release, Program::Node), path(release, Program::Tool)) else { return Ok(()) };
    if node.exists() {
        return Ok(());
    }
    let lock = File::create(node.with_extension("lock"))?;
    let _held =
        tokio::task::spawn_blocking(move || lock.lock().map(|()| lock)).await?.context("lock of the archives")?;
    if node.exists() {
        return Ok(());
    }
    println!("making archives of Cassandra's classes, once");
    let (new_node, new_tool) = (node.with_extension("new"), tool.with_extension("new"));
    let mut spec = ClusterSpec::new("classes", GROUP, 1).with_release(release).with_nodetool_of_its_own();
    spec.environment.push((FLAGS.to_owned(), at_exit(&new_node)));
    let mut cluster = Cluster::begin(spec).await?;
    let line = cluster.nodetool_line(0);
    let archiving = ["env".to_owned(), format!("{FLAGS}={}", at_exit(&new_tool))];
    run(&[archiving.as_slice(), &line].concat(), &["snapshot", "-t", "classes", "system_schema"])?;
    cluster.nodes[0].terminate().await?;
    // The node's comes last: it says that all are there.
    fs::rename(&new_tool, &tool).with_context(|| format!("the JVM wrote no {}", new_tool.display()))?;
    fs::rename(&new_node, &node).with_context(|| format!("the JVM wrote no {}", new_node.display()))
}

fn at_exit(archive: &Path) -> String {
    format!("-XX:ArchiveClassesAtExit={}", archive.display())
}

/// Path of an archive, there or not; none for releases that few tests start.
fn path(release: Release, program: Program) -> Option<PathBuf> {
    let name = if program == Program::Node { "node" } else { "tool" };
    let jdk = JDK.as_deref().filter(|_| release == Release::V5_0)?;
    Some(release.jars().with_file_name(format!("{}-{jdk}.{name}.jsa", release.version())))
}

/// What tells this JDK from others; none where it does not say, and then there are no archives.
static JDK: LazyLock<Option<String>> = LazyLock::new(|| jdk().ok());

fn jdk() -> Result<String> {
    let output = Command::new("java").arg("-version").output().context("java -version")?;
    ensure!(output.status.success(), "java -version: {}", output.status);
    let digest = blake3::hash(&output.stderr).to_hex();
    Ok(digest[..12].to_owned())
}
