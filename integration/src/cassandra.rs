//! Real Cassandra clusters on loopback.
//!
//! All nodes start at once with given tokens and are ready in about ten seconds. Each cluster has its own directory and
//! its own addresses (constants of the test that uses it); nodes are stopped by their process id, and die with the
//! process that started them unless they are to be kept.

mod archive;
mod config;
mod node;
mod nodetool;
pub mod offline;
mod release;
mod tokens;
mod view;

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use tempfile::TempDir;

use self::nodetool::NodetoolServer;
pub use self::{node::Node, release::Release};
use crate::{
    paths,
    wait::{self, Look},
};

/// Longest time until a node serves clients and is seen by all others, on a loaded machine.
const READY: Duration = Duration::from_secs(180);

/// A cluster to start.
#[derive(Clone, Debug)]
pub struct ClusterSpec {
    /// Name of the cluster.
    pub name: String,
    /// Addresses of the nodes, 127.0.x.y; no other cluster on the machine may have them.
    pub addresses: Vec<String>,
    /// What the nodes run.
    pub release: Release,
    /// Tokens of each node.
    pub num_tokens: usize,
    /// Greatest heap, for example `256M`.
    pub heap: String,
    /// Lines of `cassandra.yaml` that replace or extend the template's: name, value, as 4.1 and 5.0 know them.
    pub settings: Vec<(String, String)>,
    /// Data centre and rack of each node; none where all are in one.
    pub places: Vec<Place>,
    /// Role and password that clients log in with; none where the cluster asks for none.
    pub login: Option<Login>,
    /// Environment of the nodes besides this process's own.
    pub environment: Vec<(String, String)>,
    /// True for the whole just-in-time compiler: faster after half a minute, slower before.
    pub full_jit: bool,
    /// True where each call of `nodetool` is a process of its own, as it is for operators.
    pub nodetool_of_its_own: bool,
    /// Leaves nodes and directory behind when the cluster is dropped.
    pub keep: bool,
}

impl ClusterSpec {
    /// `nodes` nodes on 127.0.`group`.1 and up, 4 tokens each, heaps of 256 MiB.
    pub fn new(name: &str, group: u8, nodes: u8) -> Self {
        Self {
            name: name.to_owned(),
            addresses: (1..=nodes).map(|member| format!("127.0.{group}.{member}")).collect(),
            release: Release::default(),
            num_tokens: 4,
            heap: "256M".to_owned(),
            settings: Vec::new(),
            places: Vec::new(),
            login: None,
            environment: Vec::new(),
            full_jit: false,
            nodetool_of_its_own: false,
            keep: false,
        }
    }

    /// The same of another release.
    #[must_use]
    pub fn with_release(mut self, release: Release) -> Self {
        self.release = release;
        self
    }

    /// The same with other tokens per node.
    #[must_use]
    pub fn with_tokens(mut self, num_tokens: usize) -> Self {
        self.num_tokens = num_tokens;
        self
    }

    /// The same with a line of `cassandra.yaml`.
    #[must_use]
    pub fn with_setting(mut self, name: &str, value: &str) -> Self {
        self.settings.push((name.to_owned(), value.to_owned()));
        self
    }

    /// The same with the data centre and rack of each node, which tell each other.
    #[must_use]
    pub fn with_places(mut self, places: &[(&str, &str)]) -> Self {
        let place = |(dc, rack): &(&str, &str)| Place { dc: (*dc).to_owned(), rack: (*rack).to_owned() };
        self.places = places.iter().map(place).collect();
        self.with_setting("endpoint_snitch", "GossipingPropertyFileSnitch")
    }

    /// The same with passwords and rights of roles; the launcher logs in as Cassandra's first superuser.
    #[must_use]
    pub fn with_passwords(mut self) -> Self {
        self.login = Some(Login { role: "cassandra".to_owned(), password: "cassandra".to_owned() });
        self.with_setting("authenticator", "PasswordAuthenticator").with_setting("authorizer", "CassandraAuthorizer")
    }

    /// The same with a process for each call of `nodetool`.
    #[must_use]
    pub fn with_nodetool_of_its_own(mut self) -> Self {
        self.nodetool_of_its_own = true;
        self
    }

    fn place_of(&self, address: &str) -> Option<&Place> {
        let index = self.addresses.iter().position(|known| known == address)?;
        self.places.get(index)
    }
}

/// Where a node is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// Data centre.
    pub dc: String,
    /// Rack.
    pub rack: String,
}

/// A role and its password.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Login {
    /// Name of the role.
    pub role: String,
    /// Password.
    pub password: String,
}

/// A running cluster.
#[derive(Debug)]
pub struct Cluster {
    spec: ClusterSpec,
    home: PathBuf,
    nodes: Vec<Node>,
    /// One for each release that its nodes have run.
    nodetools: Vec<NodetoolServer>,
    // Dropped after the nodes, which use it.
    directory: Option<TempDir>,
}

impl Cluster {
    /// Starts all nodes and waits until each serves clients and sees all others.
    ///
    /// # Errors
    /// Where the jars are missing, a node ends, or the cluster is not ready in time.
    pub async fn start(spec: ClusterSpec) -> Result<Self> {
        paths::require_cassandra_version(spec.release.version())?;
        archive::make(spec.release).await?;
        Self::begin(spec).await
    }

    async fn begin(spec: ClusterSpec) -> Result<Self> {
        let directory = tempfile::Builder::new().prefix(&format!("tidemark-{}-", spec.name)).tempdir()?;
        let home = directory.path().to_owned();
        let mut cluster = Self { home, directory: Some(directory), nodes: vec![], nodetools: vec![], spec };
        let count = cluster.spec.addresses.len();
        for (index, address) in cluster.spec.addresses.clone().iter().enumerate() {
            let tokens = tokens::interleaved(index, count, cluster.spec.num_tokens);
            cluster.nodes.push(Node::new(&cluster.home, address, tokens, false, cluster.spec.release)?);
        }
        for index in 0..count {
            cluster.launch(index)?;
        }
        cluster.ready(&(0..count).collect::<Vec<_>>()).await?;
        cluster.agreed().await?;
        Ok(cluster)
    }

    /// Starts one more node, which streams its share from the others; returns its index.
    ///
    /// # Errors
    /// As [`Cluster::start`].
    pub async fn add(&mut self, address: &str) -> Result<usize> {
        let taken: Vec<i64> = self.nodes.iter().flat_map(|node| node.tokens.clone()).collect();
        let tokens = tokens::between(&taken, self.spec.num_tokens);
        self.nodes.push(Node::new(&self.home, address, tokens, true, self.spec.release)?);
        let index = self.nodes.len() - 1;
        self.launch(index)?;
        self.ready(&[index]).await?;
        self.agreed().await?;
        Ok(index)
    }

    /// Starts a node that takes over the tokens of a stopped one and never becomes its successor: from some seconds later on, for
    /// which nobody waits here, it is a joining member. Returns its index.
    ///
    /// A node counts as silent after half of `cassandra.gossip_quarantine_delay_ms`, and one that joins is then forgotten; the
    /// delay follows from that of the ring, which is short here, so that the cluster needs a longer one of its own.
    ///
    /// # Errors
    /// Where it cannot be started.
    pub fn begin_replacing(&mut self, index: usize, address: &str) -> Result<usize> {
        let (tokens, replaced) = (self.nodes[index].tokens.clone(), self.nodes[index].address.clone());
        let mut node = Node::new(&self.home, address, tokens, true, self.spec.release)?;
        node.replaces = Some(replaced);
        self.nodes.push(node);
        let new = self.nodes.len() - 1;
        self.launch(new)?;
        Ok(new)
    }

    /// Stops a node in order (it flushes and says goodbye) and waits until the others see it down.
    ///
    /// # Errors
    /// Where it does not end or the others do not notice in time.
    pub async fn stop(&mut self, index: usize) -> Result<()> {
        let marks = self.log_lengths();
        self.nodes[index].terminate().await?;
        self.seen_by_others(index, &marks, "is now DOWN").await
    }

    /// Kills a node, as a crash would; the others notice in their own time.
    ///
    /// # Errors
    /// Where it cannot be killed.
    pub fn kill(&mut self, index: usize) -> Result<()> {
        self.nodes[index].kill()
    }

    /// Starts a stopped or killed node again and waits until it serves clients and all see each other.
    ///
    /// # Errors
    /// As [`Cluster::start`].
    pub async fn restart(&mut self, index: usize) -> Result<()> {
        let marks = self.log_lengths();
        self.launch(index)?;
        self.ready(&[index]).await?;
        self.seen_by_others(index, &marks, "is now UP").await?;
        self.agreed().await
    }

    /// Stops a node in order and starts another release on its data.
    ///
    /// # Errors
    /// As [`Cluster::stop`] and [`Cluster::restart`].
    pub async fn upgrade(&mut self, index: usize, release: Release) -> Result<()> {
        paths::require_cassandra_version(release.version())?;
        self.stop(index).await?;
        self.nodes[index].set_release(release)?;
        self.restart(index).await
    }

    /// Sets a line of `cassandra.yaml`, which nodes that are started from now on have.
    pub fn set(&mut self, name: &str, value: &str) {
        self.spec.settings.push((name.to_owned(), value.to_owned()));
    }

    /// The nodes, running or not, in the order of their addresses.
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// Directory that holds all of the cluster.
    pub fn home(&self) -> &Path {
        &self.home
    }

    /// `address:9042` of every running node.
    pub fn contact_points(&self) -> Vec<String> {
        self.running().map(|node| format!("{}:9042", node.address)).collect()
    }

    /// Command line of `nodetool` for a node, without the tool's own arguments. It stays the same when the node is upgraded,
    /// and is then the tool of the new release.
    pub fn nodetool_line(&self, index: usize) -> Vec<String> {
        vec!["bash".to_owned(), config::nodetool(&self.nodes[index]).display().to_string()]
    }

    /// Runs `nodetool` against a node; returns its standard output.
    ///
    /// # Errors
    /// Where it fails, with what it said.
    pub fn nodetool(&self, index: usize, arguments: &[&str]) -> Result<String> {
        run(&self.nodetool_line(index), arguments)
    }

    /// Runs `nodetool` against every running node.
    ///
    /// # Errors
    /// As [`Cluster::nodetool`].
    pub fn nodetool_everywhere(&self, arguments: &[&str]) -> Result<()> {
        let running = (0..self.nodes.len()).filter(|index| self.nodes[*index].pid().is_some());
        let mut running = running;
        running.try_for_each(|index| self.nodetool(index, arguments).map(drop))
    }

    /// Runs one of `sstabledump`, `sstablemetadata` or `sstableverify` with the configuration of a node.
    ///
    /// # Errors
    /// Where it fails, with what it said, and where it is not one of these.
    pub fn tool(&self, index: usize, name: &str, arguments: &[&str]) -> Result<String> {
        let class = match name {
            "sstabledump" => "SSTableExport",
            "sstablemetadata" => "SSTableMetadataViewer",
            "sstableverify" => "StandaloneVerifier",
            _ => anyhow::bail!("no tool {name}"),
        };
        run(&config::tool(&self.nodes[index], class), arguments)
    }

    /// Has every node know the trigger class of a Java source file, whose name is the class's.
    ///
    /// # Errors
    /// Where the JDK or a node does not take it.
    pub fn install_trigger(&self, source: &Path) -> Result<()> {
        let built = tempfile::tempdir()?;
        let jars = self.spec.release.jars().join("*").display().to_string();
        let (classes, jar) = (built.path().join("classes"), built.path().join("trigger.jar"));
        let words = |line: &[&str], paths: &[&Path]| {
            let paths = paths.iter().map(|path| path.display().to_string());
            line.iter().map(|word| (*word).to_owned()).chain(paths).collect::<Vec<_>>()
        };
        run(&words(&["javac", "-cp", &jars, "-d"], &[&classes, source]), &[])?;
        run(&[words(&["jar", "--create", "--file"], &[&jar]), words(&["-C"], &[&classes])].concat(), &["."])?;
        for (index, node) in self.nodes.iter().enumerate() {
            fs::copy(&jar, node.dir.join(config::TRIGGERS).join("trigger.jar"))?;
            self.nodetool(index, &["reloadtriggers"])?;
        }
        Ok(())
    }

    /// Runs a Java program of one source file with Cassandra's classes and the configuration of a node; returns its standard
    /// output.
    ///
    /// # Errors
    /// Where it fails, with what it said.
    pub fn java_program(&self, index: usize, source: &Path, arguments: &[&str]) -> Result<String> {
        run(&config::program(&self.nodes[index], source), arguments)
    }

    fn launch(&mut self, index: usize) -> Result<()> {
        let (seeds, server) = (self.spec.addresses.join(","), self.nodetool_server(index)?);
        let server = server.map(|place| &self.nodetools[place]);
        config::write(&self.spec, &seeds, &self.nodes[index], server)?;
        self.nodes[index].spawn(&self.spec)
    }

    /// Place of the server that runs `nodetool` of a node's release, started unless it runs; none where each call is a process.
    fn nodetool_server(&mut self, index: usize) -> Result<Option<usize>> {
        if self.spec.keep || self.spec.nodetool_of_its_own {
            return Ok(None);
        }
        let node = &self.nodes[index];
        if let Some(place) = self.nodetools.iter().position(|server| server.release() == node.release()) {
            return Ok(Some(place));
        }
        nodetool::make(node.release())?;
        config::write(&self.spec, "", node, None)?;
        self.nodetools.push(NodetoolServer::start(&self.home, node)?);
        Ok(Some(self.nodetools.len() - 1))
    }

    /// Waits until the nodes serve clients and each of them sees every other running one.
    async fn ready(&mut self, indexes: &[usize]) -> Result<()> {
        let up: Vec<String> = self.running().map(|node| node.address.clone()).collect();
        let name = format!("cluster {}", self.spec.name);
        wait::until(&name, READY, async || {
            let deaf = self.nodetools.iter().filter(|server| !server.started());
            let mut missing: Vec<String> = deaf.map(|_| "the server of nodetool starts".to_owned()).collect();
            for index in indexes {
                let node = &mut self.nodes[*index];
                missing.extend((!node.started()?).then(|| format!("{} starts", node.address)));
                missing.extend(unseen(node, &up).map(|peer| format!("{} does not see {peer}", node.address)));
            }
            Ok(Look::when(missing.is_empty(), || missing.join(", ")))
        })
        .await
    }

    /// Waits until every running node knows the tokens and has the schema of every other.
    async fn agreed(&self) -> Result<()> {
        let up: Vec<String> = self.running().map(|node| node.address.clone()).collect();
        for address in &up {
            wait::until(&format!("ring of {}", self.spec.name), READY, async || {
                view::of(address, &up, self.spec.login.as_ref()).await
            })
            .await?;
        }
        Ok(())
    }

    async fn seen_by_others(&self, index: usize, marks: &[usize], event: &str) -> Result<()> {
        let line = format!("/{}:7000 {event}", self.nodes[index].address);
        wait::until(&line, READY, async || {
            let others = self.nodes.iter().zip(marks).enumerate();
            let others = others.filter(|(other, (node, _))| *other != index && node.pid().is_some());
            let blind = others.map(|(_, pair)| pair).find(|(node, mark)| !after(&node.log(), **mark).contains(&line));
            Ok(Look::when(blind.is_none(), || format!("not in the log of {:?}", blind.map(|(node, _)| &node.address))))
        })
        .await
    }

    fn log_lengths(&self) -> Vec<usize> {
        self.nodes.iter().map(|node| node.log().len()).collect()
    }

    fn running(&self) -> impl Iterator<Item = &Node> {
        self.nodes.iter().filter(|node| node.pid().is_some())
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if self.spec.keep {
            self.nodes.iter_mut().for_each(Node::let_go);
            self.directory.take().map(TempDir::keep);
        }
    }
}

impl Cluster {
    /// Makes the SSTables in `directory` part of a table of a node, which exists; they stay where they are.
    ///
    /// # Errors
    /// Where the node does not take them.
    pub fn import(&self, index: usize, keyspace: &str, table: &str, directory: &Path) -> Result<()> {
        let links = self.nodes[index].dir.join("import").join(table);
        fs::create_dir_all(&links)?;
        for file in fs::read_dir(directory)? {
            let file = file?;
            // Cassandra moves what it imports; files of SSTables are written once, so that a link will do.
            let link = links.join(file.file_name());
            fs::hard_link(file.path(), &link).or_else(|_| fs::copy(file.path(), &link).map(drop))?;
        }
        let links = links.display().to_string();
        self.nodetool(index, &["import", "--no-verify", keyspace, table, &links]).map(drop)
    }
}

/// Peers that are up but that the node has not seen up in this run.
fn unseen<'a>(node: &Node, up: &'a [String]) -> impl Iterator<Item = &'a String> {
    let (own, log) = (node.address.clone(), node.log());
    up.iter().filter(move |peer| **peer != own && !log.contains(&format!("/{peer}:7000 is now UP")))
}

fn after(log: &str, mark: usize) -> &str {
    log.get(mark..).unwrap_or(log)
}

fn run(line: &[String], arguments: &[&str]) -> Result<String> {
    let (program, fixed) = line.split_first().context("empty command line")?;
    let output = Command::new(program).args(fixed).args(arguments).stdin(Stdio::null()).output()?;
    ensure!(output.status.success(), "{} {}: {}", last(fixed), arguments.join(" "), said(&output));
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

fn last(line: &[String]) -> &str {
    let tool = |word: &&String| word.starts_with("org.") || word.ends_with(".java") || word.ends_with("nodetool");
    line.iter().rev().find(tool).map_or("tool", String::as_str)
}

fn said(output: &Output) -> String {
    format!("{}\n{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}
