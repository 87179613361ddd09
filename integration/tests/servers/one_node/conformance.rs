//! The rules of the conformance suite that need a server: those of the listener beside a node, and those of restores.

#![allow(clippy::unwrap_used, reason = "a subject that cannot be made fails its test")]

use std::{
    path::PathBuf,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU32, Ordering},
    },
};

use anyhow::{Context, Result};
use async_trait::async_trait;
use object_store::{ObjectStore, local::LocalFileSystem};
use scylla::client::session::Session;
use serde_json::{Value, json};
use tempfile::TempDir;
use tidemark_catalog::{
    entry::ObjectLine,
    find,
    ids::{FencingToken, TaskId},
    pages,
};
use tidemark_gateway::Env;
use tidemark_integration::{cassandra::Cluster, cql, system::specification};
use tidemark_listener_cassandra::{
    capture::{CassandraListener, Config},
    driver::CassandraDriver,
    spec::CassandraSpec,
};
use tidemark_listener_core::{
    access::Access,
    assignment::{Assignment, Capture, Step},
    conformance::{listener, restorer},
    failure::Failure,
    launch,
    listener::Listener,
    progress,
    restorer::{RestoreJob, RestoreOptions, Restorer},
    source::{Answers, NextStep, Source},
};
use tokio_util::sync::CancellationToken;

use super::Shared;

const KEYSPACE: &str = "conform";
const ROWS: i32 = 60;

/// A node's listener, and restores to it, keep the suite's rules.
pub(super) async fn the_rules_are_kept(shared: &Shared) -> Result<()> {
    let Shared { cluster, session, system } = shared;
    fill(session).await?;
    let version = system.protect("source", "conform/*", KEYSPACE, &["--write-level", "all"]).await?.version.id;
    listener::all(&Beside::of(cluster)?).await?;
    let store: Arc<dyn ObjectStore> = Arc::new(LocalFileSystem::new_with_prefix(system.store_dir())?);
    let line = line(&store, &version).await?;
    let (driver, destination) = (CassandraDriver::new(Env::system()), specification(cluster));
    restorer::all(&Back { driver, destination, store, line, session, jobs: AtomicU32::new(0) }).await?;
    Ok(())
}

async fn fill(session: &Session) -> Result<()> {
    let create = [
        "CREATE KEYSPACE conform WITH replication = {'class': 'SimpleStrategy', 'replication_factor': 1}",
        "CREATE TABLE conform.t (k int PRIMARY KEY, v text)",
    ];
    cql::run(session, &create.map(str::to_owned)).await?;
    let insert = session.prepare("INSERT INTO conform.t (k, v) VALUES (?, ?)").await?;
    for k in 0..ROWS {
        session.execute_unpaged(&insert, (k, k.to_string())).await?;
    }
    Ok(())
}

async fn line(store: &Arc<dyn ObjectStore>, version: &str) -> Result<ObjectLine> {
    for (id, manifest) in find::versions(store).await? {
        if id.to_string() == version {
            return pages::read_lines(store, &manifest).await?.pop().context("no object");
        }
    }
    anyhow::bail!("{version} is not in the store")
}

/// The node's listener, with a store of its own for each rule.
struct Beside {
    spec: CassandraSpec,
    driver: CassandraDriver,
    stores: Mutex<Vec<TempDir>>,
}

impl Beside {
    fn of(cluster: &Cluster) -> Result<Self> {
        let spec = CassandraSpec::parse(&specification(cluster))?;
        Ok(Self { spec, driver: CassandraDriver::new(Env::system()), stores: Mutex::default() })
    }

    fn directory(&self) -> PathBuf {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().to_owned();
        self.stores.lock().unwrap().push(directory);
        path
    }

    fn assignment(&self, task: TaskId) -> Assignment<Capture> {
        Assignment {
            id: "one".to_owned(),
            needs: Vec::new(),
            source: "conform".parse().unwrap(),
            task,
            token: FencingToken { generation: 1, revision: 1 },
            repository: "r".to_owned(),
            work: Capture { objects: vec!["conform/*".to_owned()], ..Capture::default() },
        }
    }

    /// Does the steps before the one that ships.
    async fn prepared(&self, listener: &dyn Listener, store: &Arc<dyn ObjectStore>, task: &str) -> Assignment<Capture> {
        let mut assignment = self.assignment(task.parse().unwrap());
        let (id, mut steps) = (self.spec.nodes[0].listener_id(), Vec::<Answers>::new());
        loop {
            let next = self.driver.next_step(store, &steps).await.unwrap();
            let (asked, ships) = match next {
                NextStep::Prepare(asked) => (asked, false),
                NextStep::Ship(asked) => (asked, true),
            };
            let ask = asked.asks.get(&id).cloned().unwrap_or(Value::Null);
            assignment.work.step = Step { number: steps.len().try_into().unwrap(), ask, over: false };
            if ships {
                return assignment;
            }
            let done = listener.capture(&assignment, progress::silent(), CancellationToken::new()).await.unwrap();
            steps.push(Answers::from([(id.clone(), done)]));
        }
    }
}

#[async_trait]
impl listener::Subject for Beside {
    async fn ready(&self) -> listener::Ready {
        let directory = self.directory();
        let place = launch::Store {
            url: format!("file://{}", directory.display()),
            repository: "r".to_owned(),
            checksums: false,
        };
        let access = Access { store: Some(place), ..Access::default() };
        let (source, node) = ("conform".parse().unwrap(), self.spec.nodes[0].clone());
        let config = Config { source, node, cassandra: None, access };
        let listener: Arc<dyn Listener> = Arc::new(CassandraListener::new(config, Env::system()));
        let store: Arc<dyn ObjectStore> = Arc::new(LocalFileSystem::new_with_prefix(directory).unwrap());
        let assignment = self.prepared(&*listener, &store, "0123456789abcdef0123456789abcdef").await;
        listener::Ready { listener, assignment, store }
    }

    async fn next_task(&self, ready: &listener::Ready) -> Assignment<Capture> {
        self.prepared(&*ready.listener, &ready.store, "fedcba9876543210fedcba9876543210").await
    }
}

/// Restores of the version, each into a keyspace of its own.
struct Back<'a> {
    driver: CassandraDriver,
    destination: Value,
    store: Arc<dyn ObjectStore>,
    line: ObjectLine,
    session: &'a Session,
    jobs: AtomicU32,
}

#[async_trait]
impl restorer::Subject for Back<'_> {
    fn restorer(&self) -> &dyn Restorer {
        &self.driver
    }

    async fn job(&self) -> RestoreJob {
        let number = self.jobs.fetch_add(1, Ordering::Relaxed);
        let mut options = RestoreOptions::default();
        options.common.rename.insert(KEYSPACE.to_owned(), format!("{KEYSPACE}{number}"));
        RestoreJob {
            lines: vec![self.line.clone()],
            store: Arc::clone(&self.store),
            destination: self.destination.clone(),
            options,
            env: Env::system(),
        }
    }

    async fn seen(&self, job: &RestoreJob) -> Result<Value, Failure> {
        let failed = |error: String| Failure::new("TM-TEST-0001", error);
        let keyspace = &job.options.common.rename[KEYSPACE];
        let tables = "SELECT table_name FROM system_schema.tables WHERE keyspace_name = ?";
        let tables = self.session.query_unpaged(tables, (keyspace,)).await.map_err(|e| failed(e.to_string()))?;
        if tables.into_rows_result().map_err(|e| failed(e.to_string()))?.rows_num() == 0 {
            return Ok(json!([]));
        }
        let rows = self.session.query_unpaged(format!("SELECT k, v FROM {keyspace}.t"), ()).await;
        let rows = rows.map_err(|e| failed(e.to_string()))?.into_rows_result().map_err(|e| failed(e.to_string()))?;
        let rows = rows.rows::<(i32, String)>().map_err(|e| failed(e.to_string()))?;
        let mut rows: Vec<_> = rows.collect::<Result<_, _>>().map_err(|e| failed(e.to_string()))?;
        rows.sort_unstable();
        Ok(json!(rows))
    }

    fn expected(&self) -> Value {
        json!((0..ROWS).map(|k| (k, k.to_string())).collect::<Vec<_>>())
    }

    fn unreachable(&self) -> Value {
        json!({"contact": ["127.0.0.1:1"]})
    }
}
