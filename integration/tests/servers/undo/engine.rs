//! The undo of one table, in this process.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex},
};

use anyhow::{Context, Result, anyhow};
use async_trait::async_trait;
use object_store::{ObjectStore, local::LocalFileSystem};
use scylla::{client::session::Session, statement::Consistency};
use serde_json::Value;
use tidemark_catalog::{
    entry::{Entry, ObjectLine},
    find, pages,
};
use tidemark_gateway::Env;
use tidemark_integration::{
    cassandra::Cluster,
    system::{System, specification},
};
use tidemark_listener_cassandra::{
    connect,
    restore::{
        job::{CqlJob, CqlOptions},
        observe::{Observed, observe},
        undo::{self, UndoObject},
        write::target::Level,
    },
    spec::CassandraSpec,
};
use tidemark_listener_core::{
    failure::Failure,
    restorer::{Action, CheckpointSaver, PlannedObject, RestoreReport, Selection, UndoCounts},
};
use tidemark_records::restore::objects::entry;
use tokio_util::sync::CancellationToken;

/// What is chosen.
#[derive(Clone, Debug, Default)]
pub(super) struct Options {
    /// What the version does not have goes.
    pub(super) remove: bool,
    /// Rows.
    pub(super) rows: Option<String>,
    /// Columns.
    pub(super) columns: Vec<String>,
}

/// One table of the newest version, and the table itself.
pub(super) struct Engine {
    store: Arc<dyn ObjectStore>,
    destination: Value,
    spec: CassandraSpec,
    seen: Observed,
    session: Arc<Session>,
    line: ObjectLine,
    entry: Entry,
}

impl Engine {
    /// Finds a table in the newest version of a system's store that has it.
    ///
    /// # Errors
    /// Where there is none.
    pub(super) async fn new(system: &System, cluster: &Cluster, object: &str) -> Result<Self> {
        let store: Arc<dyn ObjectStore> = Arc::new(LocalFileSystem::new_with_prefix(system.store_dir())?);
        let mut found = None;
        for (_, manifest) in find::versions(&store).await? {
            let lines = pages::read_lines(&store, &manifest).await?;
            found = lines.into_iter().find(|line| line.object.to_string() == object).or(found);
        }
        let line = found.with_context(|| format!("no version holds {object}"))?;
        let reference = line.entry.as_ref().context("no entry")?;
        let entry = entry(&store, reference).await.map_err(told)?;
        let destination = specification(cluster);
        let spec = CassandraSpec::parse(&destination)?;
        let [keyspace, table] = line.object.parts() else { return Err(anyhow!("{object}")) };
        let keyspaces = BTreeSet::from([keyspace.clone()]);
        let tables = BTreeSet::from([(keyspace.clone(), table.clone())]);
        let seen = observe(&spec, &keyspaces, &tables, &Env::system()).await.map_err(|why| anyhow!(why))?;
        let session = Arc::new(connect::connect(&spec, &keyspaces).await?);
        Ok(Self { store, destination, spec, seen, session, line, entry })
    }

    /// Runs an undo at an instant.
    ///
    /// # Errors
    /// The undo's.
    pub(super) async fn run(&self, instant: i64, options: Options) -> Result<RestoreReport> {
        self.run_from(instant, options, None, &Saved::default(), &CancellationToken::new()).await
    }

    /// Runs an undo at an instant, from a saved place, until it is cancelled.
    ///
    /// # Errors
    /// The undo's.
    pub(super) async fn run_from(
        &self,
        instant: i64,
        options: Options,
        from: Option<Value>,
        saved: &Saved,
        cancel: &CancellationToken,
    ) -> Result<RestoreReport> {
        let (job, planned) = (self.job(options), self.planned()?);
        undo::run(&self.object(&job, &planned, cancel), instant, from, saved).await.map_err(told)
    }

    /// Counts what an undo would do.
    ///
    /// # Errors
    /// The undo's.
    pub(super) async fn count(&self, options: Options) -> Result<UndoCounts> {
        let (job, planned) = (self.job(options), self.planned()?);
        undo::count(&self.object(&job, &planned, &CancellationToken::new())).await.map_err(told)
    }

    fn job(&self, options: Options) -> CqlJob {
        let Options { remove, rows, columns } = options;
        let selection = Selection { rows, columns };
        // Everything that the tests do counts as done before the undo.
        let options = CqlOptions { remove, selection, client_clock_bound_micros: 0, ..CqlOptions::default() };
        CqlJob {
            lines: vec![self.line.clone()],
            store: self.store.clone(),
            destination: self.destination.clone(),
            options,
            env: Env::system(),
        }
    }

    fn planned(&self) -> Result<PlannedObject> {
        Ok(PlannedObject {
            object: self.line.object.clone(),
            target: self.line.object.clone(),
            entry: self.line.entry.clone().context("no entry")?,
            action: Action::Undo,
            rows: self.line.figures.records,
            stored_bytes: 0,
        })
    }

    fn object<'a>(&'a self, job: &'a CqlJob, planned: &'a PlannedObject, cancel: &CancellationToken) -> UndoObject<'a> {
        UndoObject {
            job,
            spec: &self.spec,
            seen: &self.seen,
            session: self.session.clone(),
            level: Arc::new(Level::new(Consistency::All, None)),
            planned,
            entry: &self.entry,
            progress: Arc::new(|_| {}),
            cancel: cancel.clone(),
        }
    }
}

fn told(error: Failure) -> anyhow::Error {
    anyhow!("{}: {}", error.code, error.message)
}

/// Keeps what was saved last.
#[derive(Default)]
pub(super) struct Saved(pub(super) Mutex<Option<Value>>);

#[async_trait]
impl CheckpointSaver for Saved {
    async fn save(&self, checkpoint: Value) -> Result<(), Failure> {
        *self.0.lock().expect("no test panics while it holds this") = Some(checkpoint);
        Ok(())
    }
}
