//! The seam [`BlockSource`]: what listeners shipped as blocks is sealed into one state.

use std::sync::Arc;

use async_trait::async_trait;
use object_store::ObjectStore;
use serde_json::Value;
use tidemark_catalog::{
    entry::{Entry, ObjectLine},
    ids::{ObjectName, SourceId},
    names::Names,
    slice::SliceManifest,
};
use tidemark_gateway::Env;
use tokio_util::sync::CancellationToken;

use crate::{failure::Failure, progress::ProgressSink};

/// A kind of source of bytes at offsets. Until a manifest names it, what a call writes is garbage.
#[async_trait]
pub trait BlockSource: Send + Sync {
    /// Makes one state of what was shipped of an object: proves that all blocks are there, writes leaves, root and entry.
    ///
    /// # Errors
    /// [`Failure`] where the store fails or the work is cancelled. What cannot be had of the object is no error: the line has
    /// no entry then and its quality says why.
    async fn seal(&self, job: &SealJob) -> Result<ObjectLine, Failure>;

    /// Reads every object that the entry names and proves it: digests up to the root, sizes. Gives the number of bytes read.
    ///
    /// # Errors
    /// [`Failure`] naming the stored object and what is wrong with it.
    async fn verify(&self, store: &Arc<dyn ObjectStore>, entry: &Entry, progress: ProgressSink)
    -> Result<u64, Failure>;
}

/// The sealing of one object.
#[derive(Clone)]
pub struct SealJob {
    /// The protected system.
    pub source: SourceId,
    /// The object.
    pub object: ObjectName,
    /// Slices of all captured partitions.
    pub slices: Arc<Vec<SliceManifest>>,
    /// Partitions that could not be captured, with the reason.
    pub absent: Arc<Vec<(String, String)>>,
    /// The object's entry in the newest version of the set that has one: what is shared with it is named, not written again.
    pub previous: Option<Arc<Entry>>,
    /// Where everything is.
    pub store: Arc<dyn ObjectStore>,
    /// New names.
    pub names: Arc<Names>,
    /// What the policy says in the source kind's own words.
    pub options: Value,
    /// Clocks.
    pub env: Env,
    /// Progress in bytes.
    pub progress: ProgressSink,
    /// Stops the work.
    pub cancel: CancellationToken,
}
