//! A real etcd of three members on loopback, each a process that can be killed, stopped, started again and wiped.
//!
//! Debian's etcd 3.4 with the settings that clusters of daemons are run with (docs/operations.md): pre-vote, and a check of the data
//! at the start.

mod certificates;

use std::{
    fs::{self, File},
    net::TcpStream,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;
use tempfile::TempDir;
use tidemark_orchestrator::coordinator::etcd::{Access, Config};

use crate::{
    paths,
    wait::{self, Look},
};

/// Longest time until members agree on a leader, on a machine that is busy.
const READY: Duration = Duration::from_secs(60);

/// What a certificate of a client is for.
const CLIENT: &str = "extendedKeyUsage=clientAuth";

/// Members of a cluster.
pub const MEMBERS: usize = 3;

/// A cluster of etcd; its members are killed when it is dropped.
#[derive(Debug)]
pub struct EtcdCluster {
    members: Vec<Member>,
    group: u8,
    tls: bool,
    directory: TempDir,
}

#[derive(Debug)]
struct Member {
    child: Option<Child>,
    log: PathBuf,
}

/// A signal that etcd is sent.
#[derive(Clone, Copy, Debug)]
pub enum Signal {
    /// Its time stands.
    Stop,
    /// It goes on.
    Continue,
}

impl EtcdCluster {
    /// Starts three members at 127.0.`group`.1 to .3 and waits until they have a leader.
    ///
    /// # Errors
    /// Where they do not come up, with what they said last.
    pub async fn start(group: u8) -> Result<Self> {
        Self::start_with(group, false).await
    }

    /// The same, by TLS only, for clients with a certificate of the cluster's authority. `openssl` makes the certificates.
    ///
    /// # Errors
    /// As [`EtcdCluster::start`].
    pub async fn start_tls(group: u8) -> Result<Self> {
        Self::start_with(group, true).await
    }

    async fn start_with(group: u8, tls: bool) -> Result<Self> {
        paths::require_etcd()?;
        let directory = TempDir::new()?;
        let member = |n| Member { child: None, log: directory.path().join(format!("log{n}")) };
        let members = (0..MEMBERS).map(member).collect();
        let mut cluster = Self { members, group, tls, directory };
        if tls {
            let names: Vec<_> = (1..=MEMBERS).map(|n| format!("IP:127.0.{group}.{n}")).collect();
            certificates::authority(cluster.directory())?;
            certificates::sign(cluster.directory(), "server", &format!("subjectAltName={}", names.join(",")))?;
            certificates::sign(cluster.directory(), "root", CLIENT)?;
        }
        cluster.start_all().await?;
        Ok(cluster)
    }

    /// Makes a client's certificate for this name; where it is.
    ///
    /// # Errors
    /// Where `openssl` fails.
    pub fn client(&self, name: &str) -> Result<Access> {
        certificates::sign(self.directory(), name, CLIENT)?;
        Ok(self.access(name))
    }

    fn access(&self, name: &str) -> Access {
        let file = |name: String| self.directory().join(name);
        Access {
            ca: Some(file("ca.pem".to_owned())),
            identity: Some((file(format!("{name}.pem")), file(format!("{name}.key")))),
            user: None,
        }
    }

    /// Starts all members that do not run and waits until there is a leader.
    ///
    /// # Errors
    /// As [`EtcdCluster::start`].
    pub async fn start_all(&mut self) -> Result<()> {
        for n in 0..MEMBERS {
            if self.members[n].child.is_none() {
                self.spawn(n)?;
            }
        }
        self.ready().await
    }

    /// Starts a member that was killed.
    ///
    /// # Errors
    /// Where it runs, or does not come up.
    pub async fn restart(&mut self, n: usize) -> Result<()> {
        self.spawn(n)?;
        wait::until(&format!("etcd member {n}"), READY, async || {
            let open = TcpStream::connect_timeout(&self.address(n, 2379).parse()?, Duration::from_millis(500)).is_ok();
            Ok(Look::when(open, || self.said(n)))
        })
        .await
    }

    fn spawn(&mut self, n: usize) -> Result<()> {
        ensure!(self.members[n].child.is_none(), "member {n} runs");
        let scheme = self.scheme();
        let (client, peer) = (format!("{scheme}://{}", self.address(n, 2379)), self.peer(n));
        let mut command = Command::new(paths::etcd().join("etcd"));
        command.arg("--data-dir").arg(self.data(n)).args(["--name", &format!("m{n}")]);
        command.args(["--listen-client-urls", &client, "--advertise-client-urls", &client]);
        command.args(["--listen-peer-urls", &peer, "--initial-advertise-peer-urls", &peer]);
        command.args(["--initial-cluster", &self.initial(), "--initial-cluster-token", "tidemark-test"]);
        command.args(["--pre-vote", "--experimental-initial-corrupt-check=true", "--logger=zap"]);
        if self.tls {
            let file = |name: &str| self.directory().join(name);
            command.arg("--client-cert-auth").arg("--trusted-ca-file").arg(file("ca.pem"));
            command.arg("--cert-file").arg(file("server.pem")).arg("--key-file").arg(file("server.key"));
        }
        let output = File::create(&self.members[n].log)?;
        command.stdin(Stdio::null()).stdout(output.try_clone()?).stderr(output);
        self.members[n].child = Some(command.spawn().with_context(|| format!("start {command:?}"))?);
        Ok(())
    }

    async fn ready(&mut self) -> Result<()> {
        wait::until("a leader of etcd", READY, async || {
            for n in 0..MEMBERS {
                if let Some(status) = self.members[n].child.as_mut().map(Child::try_wait).transpose()?.flatten() {
                    bail!("etcd member {n} ended with {status}: {}", self.said(n));
                }
            }
            match self.leader() {
                Ok(leader) => Ok(Look::when(leader.is_some(), || format!("no leader; {}", self.said(0)))),
                Err(error) => Ok(Look::Not(format!("{error:#}"))),
            }
        })
        .await
    }

    /// The member that leads, as the members say.
    ///
    /// # Errors
    /// Where none answers.
    pub fn leader(&self) -> Result<Option<usize>> {
        for n in (0..MEMBERS).filter(|n| self.members[*n].child.is_some()) {
            let Ok(said) = self.ctl(n, &["endpoint", "status", "-w", "json"]) else { continue };
            let said: Value = serde_json::from_str(&said)?;
            let status = &said[0]["Status"];
            if status["leader"].as_u64().is_some_and(|leader| leader > 0 && status["header"]["member_id"] == leader) {
                return Ok(Some(n));
            }
        }
        Ok(None)
    }

    /// Kills a member at once, as a crash would.
    ///
    /// # Errors
    /// Where it cannot be killed.
    pub fn kill(&mut self, n: usize) -> Result<()> {
        if let Some(mut child) = self.members[n].child.take() {
            child.kill().context("kill of etcd")?;
            child.wait()?;
        }
        Ok(())
    }

    /// Sends a member a signal.
    ///
    /// # Errors
    /// Where it does not run.
    pub fn signal(&self, n: usize, signal: Signal) -> Result<()> {
        let pid = self.members[n].child.as_ref().context("the member does not run")?.id();
        let name = match signal {
            Signal::Stop => "-STOP",
            Signal::Continue => "-CONT",
        };
        let sent = Command::new("kill").args([name, &pid.to_string()]).status()?;
        ensure!(sent.success(), "kill {name} {pid} ended with {sent}");
        Ok(())
    }

    /// Runs etcdctl against one member; what it said.
    ///
    /// # Errors
    /// Where it fails.
    pub fn ctl(&self, n: usize, arguments: &[&str]) -> Result<String> {
        let mut command = Command::new(paths::etcd().join("etcdctl"));
        command.env("ETCDCTL_API", "3").args(["--dial-timeout", "1s", "--command-timeout", "3s"]);
        command.args(["--endpoints", &format!("{}://{}", self.scheme(), self.address(n, 2379))]);
        if let (Some(ca), Some((certificate, key))) =
            (self.access("root").ca.filter(|_| self.tls), self.access("root").identity)
        {
            command.arg("--cacert").arg(ca).arg("--cert").arg(certificate).arg("--key").arg(key);
        }
        let ran = command.args(arguments).output()?;
        let said = String::from_utf8_lossy(&ran.stdout).into_owned();
        ensure!(ran.status.success(), "etcdctl {arguments:?}: {said}{}", String::from_utf8_lossy(&ran.stderr));
        Ok(said)
    }

    /// Kills all members and takes their data away, as if their disks were lost.
    ///
    /// # Errors
    /// Where that cannot be done.
    pub fn wipe(&mut self) -> Result<()> {
        for n in 0..MEMBERS {
            self.kill(n)?;
            fs::remove_dir_all(self.data(n))?;
        }
        Ok(())
    }

    /// Kills all members and puts their data back to a snapshot that was saved by [`EtcdCluster::ctl`].
    ///
    /// # Errors
    /// Where that cannot be done.
    pub fn put_back(&mut self, snapshot: &Path) -> Result<()> {
        self.wipe()?;
        for n in 0..MEMBERS {
            let file = snapshot.display().to_string();
            let (data, name, initial, peer) =
                (self.data(n).display().to_string(), format!("m{n}"), self.initial(), self.peer(n));
            let place = ["--data-dir", &data, "--name", &name, "--initial-cluster", &initial];
            let more = ["--initial-cluster-token", "tidemark-test", "--initial-advertise-peer-urls", &peer];
            self.ctl(n, &[["snapshot", "restore", &file].as_slice(), &place, &more].concat())?;
        }
        Ok(())
    }

    /// How a daemon of this name reaches all members.
    pub fn config(&self, cluster: &str, node: &str) -> Config {
        let endpoints = (0..MEMBERS).map(|n| self.endpoint(n)).collect();
        let access = if self.tls { self.access("root") } else { Access::default() };
        Config { endpoints, access, cluster: cluster.to_owned(), node: node.to_owned() }
    }

    /// Address of a member for clients.
    pub fn endpoint(&self, n: usize) -> String {
        format!("{}://{}", self.scheme(), self.address(n, 2379))
    }

    /// A directory that goes with the cluster.
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    fn scheme(&self) -> &'static str {
        if self.tls { "https" } else { "http" }
    }

    fn address(&self, n: usize, port: u16) -> String {
        format!("127.0.{}.{}:{port}", self.group, n + 1)
    }

    fn peer(&self, n: usize) -> String {
        format!("http://{}", self.address(n, 2380))
    }

    fn initial(&self) -> String {
        (0..MEMBERS).map(|n| format!("m{n}={}", self.peer(n))).collect::<Vec<_>>().join(",")
    }

    fn data(&self, n: usize) -> PathBuf {
        self.directory.path().join(format!("data{n}"))
    }

    fn said(&self, n: usize) -> String {
        let text = fs::read_to_string(&self.members[n].log).unwrap_or_default();
        let lines: Vec<_> = text.lines().collect();
        lines[lines.len().saturating_sub(12)..].join("\n")
    }
}

impl Drop for EtcdCluster {
    fn drop(&mut self) {
        for n in 0..self.members.len() {
            if let Err(error) = self.kill(n) {
                eprintln!("a member of etcd may be left running: {error:#}");
            }
        }
    }
}
