//! How each server is started.

use std::{fs, process::Command, time::Duration};

use anyhow::{Context, Result, ensure};
use tempfile::TempDir;
use tidemark_gateway::tls;

use super::{BUCKET, StoreServer, install, log, process::Process};
use crate::wait::{self, Look};

/// Access key of every server; they hold nothing but test data.
pub(super) const ACCESS_KEY: &str = "tidemark-test";

/// Its secret.
pub(super) const SECRET_KEY: &str = "tidemark-test-secret";

/// versitygw 1.8.0 on a directory: conditions hold, also with several processes on one directory. It has users, and a log of
/// every request.
///
/// # Errors
/// Where it cannot be installed or started; with its last output.
pub async fn versitygw(port: u16) -> Result<StoreServer> {
    let program = install()?.join("bin/versitygw");
    let directory = TempDir::new()?;
    let [data, versions, users] = ["data", "versions", "users"].map(|name| directory.path().join(name));
    fs::create_dir_all(data.join(BUCKET))?;
    fs::create_dir_all(&versions)?;
    fs::create_dir_all(&users)?;
    let mut command = Command::new(program);
    command.args(["--port", &format!("127.0.0.1:{port}"), "--access", ACCESS_KEY, "--secret", SECRET_KEY, "--quiet"]);
    command.arg("--iam-dir").arg(users).arg("--access-log").arg(log::path(directory.path()));
    command.args(["posix", "--versioning-dir"]).arg(versions).arg(data);
    let process = Process::start(command, directory.path(), port).await?;
    Ok(StoreServer { process, directory, port })
}

/// moto's server, without the threads of its own command: those look for a name and then write it, so that two creators of one
/// name may both win (seen: 2 of 32). The argument is the port.
const MOTO: &str = "import sys
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import run_simple
run_simple('127.0.0.1', int(sys.argv[1]), DomainDispatcherApplication(create_backend_app), threaded=False)";

/// moto 5.2.5 in memory, a request at a time: a second opinion on conditions. It takes any key.
///
/// # Errors
/// As [`versitygw`].
pub async fn moto(port: u16) -> Result<StoreServer> {
    let program = install()?.join("moto/bin/python");
    let directory = TempDir::new()?;
    let mut command = Command::new(program);
    command.args(["-c", MOTO, &port.to_string()]);
    let process = Process::start(command, directory.path(), port).await?;
    let server = StoreServer { process, directory, port };
    create_bucket(&server).await?;
    Ok(server)
}

/// s3mock 5.2.0: lets two creators of one name win. It listens on every interface, so call it in a network namespace of
/// its own only (the environment variable `TIDEMARK_ISOLATED` says so).
///
/// # Errors
/// As [`versitygw`]; outside such a namespace.
pub async fn s3mock(port: u16) -> Result<StoreServer> {
    ensure!(std::env::var_os("TIDEMARK_ISOLATED").is_some(), "s3mock listens on every interface: isolate it first");
    let jar = install()?.join("s3mock-5.2.0.jar");
    let directory = TempDir::new()?;
    let mut command = Command::new("java");
    command.args(["-Xmx256m", "-XX:TieredStopAtLevel=1"]);
    command.arg(format!("-Djava.io.tmpdir={}", directory.path().display())).arg("-jar").arg(jar);
    command.args([format!("--http.port={port}"), format!("--server.port={}", port + 1)]);
    let process = Process::start(command, directory.path(), port).await?;
    let server = StoreServer { process, directory, port };
    create_bucket(&server).await?;
    Ok(server)
}

/// Both servers take a bucket from anyone. A port may be open before the server behind it answers.
async fn create_bucket(server: &StoreServer) -> Result<()> {
    tls::install();
    let client = reqwest::Client::builder().timeout(Duration::from_secs(10)).build()?;
    let url = format!("http://127.0.0.1:{}/{BUCKET}", server.port);
    wait::until("creation of the bucket", Duration::from_secs(60), async || {
        let answer = client.put(&url).send().await;
        let ready = answer.as_ref().is_ok_and(|answer| answer.status().is_success());
        Ok(Look::when(ready, || format!("{answer:?}; the server said: {}", server.process.said())))
    })
    .await
    .context("create the bucket")
}
