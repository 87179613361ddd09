//! Capture beside one Cassandra node: snapshot, ship undecoded, say what was shipped.
//!
//! Everything a capture must remember is in the store under `staged/<task>/<host id>/`, written once and in this order:
//!
//! | object | says | a crash before it leaves |
//! | --- | --- | --- |
//! | `snapshot.json` | the snapshot was taken, when, which files it holds, what the node said then | a snapshot that the next run clears and takes again |
//! | `<table id>/<sstable>/<component>` | one file of the snapshot | a snapshot and some files: the next run ships the rest |
//! | `info.json` | the node's words, for consolidation | the same |
//! | `slice.json` | everything above is stored | the same; after it the task is done |
//!
//! The node's snapshot goes when the slice is stored, and when the task is cancelled or fails for good. What ended tasks of the
//! same source left all the same goes at the start of the next capture; nothing else on the node is touched.

use std::sync::Arc;

use async_trait::async_trait;
use object_store::{ObjectStore, path::Path};
use serde::Serialize;
use tidemark_catalog::{
    ids::SourceId,
    layout,
    slice::{SLICE_FORMAT, SliceManifest},
    stored::StoredRef,
};
use tidemark_gateway::{Env, Stored, credentials, fetch, open, pause, store_url::StoreUrl, upload};
use tidemark_listener_core::{
    assignment::{Assignment, CheckRequest},
    check,
    listener::{Failure, Listener},
    progress::{Progress, ProgressSink},
};
use tokio_util::sync::CancellationToken;

use crate::{connect, connect::Credentials, describe, spec::NodeSpec};

mod checks;
mod error;
mod files;
mod leftovers;
mod names;
mod nodetool;
mod ship;
mod shipment;
mod snapshot;
mod source;

pub use error::Error;
use names::Patterns;
use nodetool::Nodetool;
use shipment::Shipment;
pub use shipment::{TakenSnapshot, ship_taken};
use snapshot::SnapshotRecord;

/// The node that a listener captures, and what opens it and the store.
#[derive(Clone, Debug)]
pub struct Config {
    /// The protected system.
    pub source: SourceId,
    /// The node.
    pub node: NodeSpec,
    /// Role that reads the node's system tables, where the cluster asks for one.
    pub cassandra: Option<Credentials>,
    /// Access key of the store, where it needs one.
    pub store: Option<credentials::Credentials>,
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

    fn open_store(&self, url: &str, checksums: bool) -> Result<Arc<dyn ObjectStore>, Error> {
        let url: StoreUrl = url.parse().map_err(Error::StoreUrl)?;
        let credentials = self.config.store.as_ref();
        let checksums = if checksums { open::Checksums::Told } else { open::Checksums::Unproven };
        let options = open::OpenOptions { checksums, ..open::OpenOptions::default() };
        open::open(&url, credentials, &options, &self.env).map_err(Error::OpenStore)
    }
}

#[async_trait]
impl Listener for CassandraListener {
    async fn check(&self, request: &CheckRequest) -> Vec<check::Line> {
        checks::run(self, request).await
    }

    async fn capture(
        &self,
        assignment: &Assignment,
        progress: ProgressSink,
        cancel: CancellationToken,
    ) -> Result<StoredRef, Failure> {
        let run = Run { listener: self, assignment, progress, tag: names::tag(assignment) };
        let outcome = cancel.run_until_cancelled(run.capture()).await.unwrap_or(Err(Error::Cancelled));
        if outcome.as_ref().is_err_and(Error::ends_task) {
            run.give_back().await;
        }
        Ok(outcome?)
    }
}

/// One run of a capture.
struct Run<'a> {
    listener: &'a CassandraListener,
    assignment: &'a Assignment,
    progress: ProgressSink,
    tag: String,
}

/// The place of one capture in the store.
struct Stage {
    store: Arc<dyn ObjectStore>,
    prefix: Path,
}

impl Stage {
    fn path(&self, name: &str) -> Path {
        Path::from(format!("{}/{name}", self.prefix))
    }

    /// The bytes of an object, where it exists.
    async fn find(&self, name: &str) -> Result<Option<bytes::Bytes>, Error> {
        match fetch::get_unchecked(&self.store, &self.path(name)).await {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if error.is_absent() => Ok(None),
            Err(error) => Err(Error::ReadStage(error)),
        }
    }

    /// Creates `name` with the JSON of `value`.
    async fn create(&self, name: &str, value: &(impl Serialize + Sync)) -> Result<StoredRef, Error> {
        let path = self.path(name);
        let json = serde_json::to_vec(value).map_err(|source| Error::WriteJson { path: path.clone(), source })?;
        let stored = upload::put_new(&self.store, &path, json).await.map_err(Error::WriteStage)?;
        Ok(reference(&path, stored))
    }
}

fn reference(path: &Path, stored: Stored) -> StoredRef {
    StoredRef { key: path.to_string(), size: stored.size, digest: stored.digest }
}

impl Run<'_> {
    async fn capture(&self) -> Result<StoredRef, Error> {
        let patterns = Patterns::parse(&self.assignment.objects)?;
        self.tell("snapshot");
        let store = self.listener.open_store(&self.assignment.store, self.assignment.store_checksums)?;
        let session = self.connect().await?;
        let local = describe::local(&session).await.map_err(Error::Describe)?;
        let host = local.node.host_id;
        let prefix = layout::staged(&self.assignment.source, &self.assignment.task, &host);
        let stage = Stage { store, prefix };
        let slice = match self.done(&stage, &host).await? {
            Some(slice) => slice,
            None => {
                leftovers::remove(self.listener, self.assignment).await;
                let record = self.snapshot(&stage, &session, &patterns).await?;
                // The driver's buffers are not needed while files are shipped.
                drop(session);
                self.shipment().run(&stage, record).await?
            }
        };
        pause::point("slice-stored");
        self.give_back().await;
        Ok(slice)
    }

    async fn connect(&self) -> Result<scylla::client::session::Session, Error> {
        let config = &self.listener.config;
        connect::connect_node(&config.node.address, config.cassandra.as_ref()).await.map_err(Error::Connect)
    }

    /// The slice manifest of an earlier run that came to its end.
    async fn done(&self, stage: &Stage, host: &str) -> Result<Option<StoredRef>, Error> {
        let Some(bytes) = stage.find("slice.json").await? else { return Ok(None) };
        let path = stage.path("slice.json");
        let slice: SliceManifest =
            serde_json::from_slice(&bytes).map_err(|source| Error::StagedJson { path: path.clone(), source })?;
        let ours = slice.format == SLICE_FORMAT && slice.task == self.assignment.task && slice.partition == host;
        if !ours || slice.source != self.assignment.source {
            return Err(Error::StagedOther { path });
        }
        tracing::info!(task = %slice.task, "the task is done already");
        Ok(Some(reference(&path, Stored::of(&bytes))))
    }

    async fn snapshot(
        &self,
        stage: &Stage,
        session: &scylla::client::session::Session,
        patterns: &Patterns,
    ) -> Result<SnapshotRecord, Error> {
        let place = snapshot::Place {
            session,
            nodetool: &self.listener.nodetool,
            data_directories: &self.listener.config.node.data_directories,
            env: &self.listener.env,
            tag: &self.tag,
        };
        if let Some(bytes) = stage.find("snapshot.json").await? {
            return snapshot::reuse(&place, &stage.path("snapshot.json"), &bytes).await;
        }
        let record = snapshot::take(&place, patterns).await?;
        stage.create("snapshot.json", &record).await?;
        Ok(record)
    }

    fn shipment(&self) -> Shipment<'_> {
        let data_directories = &self.listener.config.node.data_directories;
        Shipment { assignment: self.assignment, data_directories, progress: Arc::clone(&self.progress) }
    }

    /// Removes the task's own snapshot from the node. A failure costs disk on the node, not data: it is logged and shown by
    /// the next preflight.
    async fn give_back(&self) {
        if let Err(error) = self.listener.nodetool.clear_snapshot(&self.tag).await {
            let error = tidemark_listener_core::chain::chain(&error);
            tracing::warn!(tag = self.tag, error, "the snapshot could not be removed from the node");
        }
    }

    fn tell(&self, phase: &str) {
        (self.progress)(Progress { phase: phase.to_owned(), done: 0, total: 0, unit: "bytes".to_owned() });
    }
}
