//! One run of one step of a capture.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
    sync::Arc,
};

use scylla::client::session::Session;
use tidemark_catalog::stored::StoredRef;
use tidemark_gateway::pause;
use tidemark_listener_core::{
    assignment::{Assignment, Capture},
    progress::ProgressSink,
    ship::Stage,
    tags,
};

use super::{
    error::Error,
    leftovers, names,
    node::Node,
    nodetool::Nodetool,
    shipment::{Load, Shipment},
    snapshot::{self, SnapshotRecord},
    steps::{Answer, Ask, Ship},
};
use crate::{cluster::NodeCapture, connect, describe};

/// One run of a step of a capture.
pub(super) struct Run<'a> {
    pub(super) node: &'a Node,
    pub(super) assignment: &'a Assignment<Capture>,
    pub(super) nodetool: Nodetool,
    pub(super) progress: ProgressSink,
}

impl Run<'_> {
    /// Does the step, or finds it done.
    ///
    /// # Errors
    /// [`Error`].
    pub(super) async fn step(&self) -> Result<StoredRef, Error> {
        if self.assignment.work.step.over {
            return Err(Error::Cancelled);
        }
        let ask = Ask::of(&self.assignment.work.step.ask).map_err(Error::Ask)?;
        let store = self.node.config.access.open(&self.node.env)?;
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
        let patterns = names::patterns(&self.assignment.work.objects, &self.assignment.work.excludes)?;
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
        snapshot::Place { session, nodetool: &self.nodetool, data_directories: self.data(), env: &self.node.env, tag }
    }

    fn held(&self) -> leftovers::Held<'_> {
        leftovers::Held { nodetool: &self.nodetool, data_directories: self.data() }
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

    /// Gives back what the task holds on the node, where no later run can use it.
    pub(super) async fn give_back(&self) {
        let takes = matches!(Ask::of(&self.assignment.work.step.ask), Ok(Ask::Take { .. }));
        let here = takes.then_some(self.assignment.work.step.number);
        leftovers::give_back(&self.held(), self.assignment, here).await;
    }

    /// What is to be shipped, proven to be on disk.
    async fn load(&self, stage: &Stage, ship: Ship) -> Result<Load, Error> {
        let mut records = BTreeMap::new();
        for step in ship.tables.values().collect::<BTreeSet<_>>() {
            records.insert(*step, self.taken(stage, *step).await?);
        }
        let mut tables = Vec::with_capacity(ship.tables.len());
        for (object, step) in &ship.tables {
            let record = &records[step];
            let table = record.tables.iter().find(|table| table.object == *object);
            let mut table = table.cloned().ok_or_else(|| stage.strange(*step))?;
            match ship.left_out.get(object) {
                Some(reason) => (table.unreadable, table.files) = (Some(reason.clone()), Vec::new()),
                None => snapshot::prove(self.data(), &record.tag, &table).await?,
            }
            tables.push((record.tag.clone(), table));
        }
        let (first, last) = ship.looks;
        let (before, mut node) = (self.look(stage, first).await?.view(), self.look(stage, last).await?);
        node.before = (before != node.view()).then_some(before);
        let started = records.values().map(|record| record.started).min();
        let finished = records.values().map(|record| record.finished).max();
        let now = self.node.env.now();
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
        let config = &self.node.config;
        connect::connect_node(&config.node.address, config.cassandra.as_ref()).await.map_err(Error::Connect)
    }

    fn data(&self) -> &[PathBuf] {
        &self.node.config.node.data_directories
    }

    fn shipment(&self) -> Shipment<'_> {
        Shipment { assignment: self.assignment, data_directories: self.data(), progress: Arc::clone(&self.progress) }
    }
}
