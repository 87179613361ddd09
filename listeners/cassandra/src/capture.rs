//! Capture beside one Cassandra node: snapshot, ship undecoded, say what was shipped.
//!
//! A capture has steps (`steps`), and is asked for one at a time. Everything it must remember is in the store under
//! `staged/<task>/<host id>/`, written once and in this order:
//!
//! | object | says | a crash before it leaves |
//! | --- | --- | --- |
//! | `step-<number>.json` | how the node was, or which snapshot was taken when and which files it holds | nothing, or a snapshot that the next run of the step clears and takes again |
//! | `<table id>/<sstable>/<component>` | one file of a snapshot | snapshots and some files: the next run ships the rest |
//! | `info.json` | the node's words, for consolidation | the same |
//! | `slice.json` | everything above is stored | the same; after it the task is done |
//!
//! The node's snapshots go when the slice is stored, and when the task is cancelled or fails for good. What ended tasks of the
//! same source left all the same goes at the start of the next capture; nothing else on the node is touched.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use async_trait::async_trait;
use scylla::client::session::Session;
use tidemark_catalog::{ids::SourceId, stored::StoredRef};
use tidemark_gateway::{Env, pause};
use tidemark_listener_core::{
    access::Access,
    assignment::{Assignment, Capture, CheckRequest},
    check,
    failure::Failure,
    listener::Listener,
    progress::ProgressSink,
    ship::Stage,
    tags,
};
use tokio_util::sync::CancellationToken;

use crate::{cluster::NodeCapture, connect, connect::Credentials, describe, spec::NodeSpec};

mod checks;
mod error;
mod files;
mod leftovers;
mod names;
mod nodetool;
mod shipment;
mod snapshot;
mod steps;
mod tables;

pub use error::Error;
use nodetool::Nodetool;
use shipment::{Load, Shipment};
pub use shipment::{TakenSnapshot, ship_taken};
use snapshot::SnapshotRecord;
pub(crate) use steps::next_step;
use steps::{Answer, Ask, Ship};

/// The node that a listener captures, and what opens it and the store.
#[derive(Clone, Debug)]
pub struct Config {
    /// The protected system.
    pub source: SourceId,
    /// The node.
    pub node: NodeSpec,
    /// Role that reads the node's system tables, where the cluster asks for one.
    pub cassandra: Option<Credentials>,
    /// The store that the process was started for.
    pub access: Access,
}

/// Captures one Cassandra node.
pub struct CassandraListener {
    config: Config,
    nodetool: Nodetool,
    env: Env,
}

impl CassandraListener {
    /// A listener for the node of `config`; nothing is asked of it yet.
    pub fn new(config: Config, env: Env) -> Self {
        Self { nodetool: Nodetool::new(config.node.nodetool.clone()), config, env }
    }
}

#[async_trait]
impl Listener for CassandraListener {
    async fn check(&self, request: &CheckRequest) -> Vec<check::Line> {
        checks::run(self, request).await
    }

    async fn capture(
        &self,
        assignment: &Assignment<Capture>,
        progress: ProgressSink,
        cancel: CancellationToken,
    ) -> Result<StoredRef, Failure> {
        let nodetool = self.nodetool.telling(Arc::clone(&progress));
        let run = Run { listener: self, assignment, nodetool, progress };
        let outcome = cancel.run_until_cancelled(run.step()).await.unwrap_or(Err(Error::Cancelled));
        if outcome.as_ref().is_err_and(Error::ends_task) {
            leftovers::give_back(&run.held(), assignment, run.taken_here()).await;
        }
        Ok(outcome?)
    }
}

/// One run of a step of a capture.
struct Run<'a> {
    listener: &'a CassandraListener,
    assignment: &'a Assignment<Capture>,
    nodetool: Nodetool,
    progress: ProgressSink,
}

impl Run<'_> {
    async fn step(&self) -> Result<StoredRef, Error> {
        if self.assignment.work.step.over {
            return Err(Error::Cancelled);
        }
        let ask = Ask::of(&self.assignment.work.step.ask).map_err(Error::Ask)?;
        let store = self.listener.config.access.open(&self.listener.env)?;
        let session = self.connect().await?;
        let local = describe::local(&session).await.map_err(Error::Describe)?;
        let host = local.node.host_id;
        let stage = Stage::new(store, self.assignment, &host);
        match ask {
            Ask::Ship(ship) => {
                // The driver's buffers are not needed while files are shipped.
                drop(session);
                self.ship(&stage, ship).await
            }
            prepare => self.prepare(&stage, &session, prepare).await,
        }
    }

    /// The answer to a step that ships nothing; that of an earlier run where there is one.
    async fn prepare(&self, stage: &Stage, session: &Session, ask: Ask) -> Result<StoredRef, Error> {
        let number = self.assignment.work.step.number;
        if let Some(answer) = stage.answered(number).await? {
            return Ok(answer);
        }
        let patterns = names::patterns(&self.assignment.work.objects)?;
        let tag = tags::tag(self.assignment, number);
        let place = self.place(session, &tag);
        let answer = match ask {
            Ask::Take { tables } => Answer::Take(snapshot::take(&place, &patterns, tables).await?),
            _ => {
                if number == 0 {
                    leftovers::remove(&self.held(), self.assignment).await;
                }
                Answer::Look(Box::new(snapshot::look(&place, &patterns).await?))
            }
        };
        Ok(stage.answer(number, &answer).await?)
    }

    fn place<'p>(&'p self, session: &'p Session, tag: &'p str) -> snapshot::Place<'p> {
        snapshot::Place {
            session,
            nodetool: &self.nodetool,
            data_directories: &self.listener.config.node.data_directories,
            env: &self.listener.env,
            tag,
        }
    }

    fn held(&self) -> leftovers::Held<'_> {
        leftovers::Held { nodetool: &self.nodetool, data_directories: &self.listener.config.node.data_directories }
    }

    /// Ships, unless an earlier run has, and gives the snapshots back.
    async fn ship(&self, stage: &Stage, ship: Ship) -> Result<StoredRef, Error> {
        let taken: BTreeSet<u32> = ship.tables.values().copied().collect();
        let slice = match stage.done().await? {
            Some(slice) => slice,
            None => self.shipment().run(stage, self.load(stage, ship).await?).await?,
        };
        pause::point("slice-stored");
        leftovers::give_back(&self.held(), self.assignment, taken).await;
        Ok(slice)
    }

    /// The step, where it takes a snapshot.
    fn taken_here(&self) -> Option<u32> {
        let takes = matches!(Ask::of(&self.assignment.work.step.ask), Ok(Ask::Take { .. }));
        takes.then_some(self.assignment.work.step.number)
    }

    /// What is to be shipped, proven to be on disk.
    async fn load(&self, stage: &Stage, ship: Ship) -> Result<Load, Error> {
        let mut records = BTreeMap::new();
        for step in ship.tables.values().collect::<BTreeSet<_>>() {
            records.insert(*step, self.taken(stage, *step).await?);
        }
        let data = &self.listener.config.node.data_directories;
        let mut tables = Vec::with_capacity(ship.tables.len());
        for (object, step) in &ship.tables {
            let record = &records[step];
            let table = record.tables.iter().find(|table| table.object == *object);
            let mut table = table.cloned().ok_or_else(|| stage.strange(*step))?;
            match ship.left_out.get(object) {
                Some(reason) => (table.unreadable, table.files) = (Some(reason.clone()), Vec::new()),
                None => snapshot::prove(data, &record.tag, &table).await?,
            }
            tables.push((record.tag.clone(), table));
        }
        let (first, last) = ship.looks;
        let (before, mut node) = (self.look(stage, first).await?.view(), self.look(stage, last).await?);
        node.before = (before != node.view()).then_some(before);
        let started = records.values().map(|record| record.started).min();
        let finished = records.values().map(|record| record.finished).max();
        let now = self.listener.env.now();
        Ok(Load { started: started.unwrap_or(now), finished: finished.unwrap_or(now), tables, node })
    }

    async fn taken(&self, stage: &Stage, step: u32) -> Result<SnapshotRecord, Error> {
        match stage.recall(step).await? {
            Answer::Take(record) => Ok(record),
            Answer::Look(_) => Err(stage.strange(step).into()),
        }
    }

    async fn look(&self, stage: &Stage, step: u32) -> Result<NodeCapture, Error> {
        match stage.recall(step).await? {
            Answer::Look(look) => Ok(look.node),
            Answer::Take(_) => Err(stage.strange(step).into()),
        }
    }

    async fn connect(&self) -> Result<Session, Error> {
        let config = &self.listener.config;
        connect::connect_node(&config.node.address, config.cassandra.as_ref()).await.map_err(Error::Connect)
    }

    fn shipment(&self) -> Shipment<'_> {
        let data_directories = &self.listener.config.node.data_directories;
        Shipment { assignment: self.assignment, data_directories, progress: Arc::clone(&self.progress) }
    }
}
