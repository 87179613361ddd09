//! What the kinds of tasks need, and which code runs which kind.

use std::sync::Arc;

use async_trait::async_trait;
use futures::{FutureExt as _, future::BoxFuture};
use object_store::ObjectStore;
use serde::de::DeserializeOwned;
use tidemark_catalog::{
    chain::{self, VersionSet},
    commit,
    document::{self, Document},
    ids::VersionId,
    manifest::{Barrier, Holds, Manifest, Version},
    pages,
    stored::StoredRef,
};
use tidemark_gateway::{Env, causes::chain as words};
use tidemark_listener_core::{assignment::CaptureLimits, driver::ConsolidateLimits};

use crate::{
    listeners::Listeners,
    protect,
    registrations::{self, Registrations, SOURCES, SourceRecord},
    restore_task,
    sources::Drivers,
    stores::{self, OpenStore, Stores},
    tasks::{Completion, Execute, Failure, Kind, TaskContext, Tasks},
    verify_task,
};

/// Everything that tasks are done with; a cheap handle.
#[derive(Clone)]
pub struct Executors {
    /// Stores.
    pub stores: Stores,
    /// Registrations.
    pub registrations: Registrations,
    /// Kinds of sources.
    pub drivers: Drivers,
    /// Listeners.
    pub listeners: Listeners,
    /// All tasks.
    pub tasks: Tasks,
    /// Bounds of a capture, for each listener.
    pub capture_limits: CaptureLimits,
    /// Bounds of a consolidation.
    pub consolidate_limits: ConsolidateLimits,
    /// Objects consolidated at a time within a task, from 1.
    pub consolidations: usize,
    /// Name of this node, as it is written into manifests.
    pub node: String,
    /// Clocks.
    pub env: Env,
}

#[async_trait]
impl Execute for Executors {
    async fn execute(&self, context: TaskContext) -> Result<Completion, Failure> {
        match context.task.kind {
            Kind::Protect => protect::run(self, context).await,
            Kind::Restore => restore_task::run(self, context).await,
            Kind::Verify => verify_task::run(self, context).await,
            Kind::Count => restore_task::count::run(self, context).await,
        }
    }
}

impl Executors {
    /// A registered source with its driver.
    pub(crate) async fn source(&self, name: &str) -> Result<(SourceRecord, crate::protect::Driver), Failure> {
        let record: Option<SourceRecord> = self.registrations.get(SOURCES, name).await?;
        let record = record.ok_or_else(|| Failure::permanent("TM-SRC-0404", format!("there is no source {name}")))?;
        let driver = self.driver(&record.kind)?;
        Ok((record, driver))
    }

    /// The driver of a kind.
    pub(crate) fn driver(&self, kind: &str) -> Result<crate::protect::Driver, Failure> {
        self.drivers.get(kind).ok_or_else(|| {
            Failure::permanent("TM-SRC-0002", format!("sources of kind {kind} are not known"))
                .with_hint(format!("known kinds: {}", self.drivers.kinds()))
        })
    }

    /// A version by its printed id.
    pub(crate) async fn version(&self, id: &str) -> Result<FoundVersion, Failure> {
        let found = self.stores.find(&version_id(id)?).await?;
        let (store, manifest) = found.ok_or_else(|| unknown_version(id))?;
        match &manifest.holds {
            Holds::Version(version) => Ok(FoundVersion { store, version: (**version).clone(), manifest }),
            Holds::Barrier(Barrier { reason }) => {
                Err(Failure::permanent("TM-VER-0410", format!("{id} holds no version: {reason}"))
                    .with_hint("tidemark version list shows what there is"))
            }
        }
    }

    /// A version by its printed id, unread: it may be damaged.
    pub(crate) async fn version_place(&self, id: &str) -> Result<(OpenStore, VersionSet, VersionId), Failure> {
        let parsed = version_id(id)?;
        let (store, set) = self.stores.place(&parsed).await?.ok_or_else(|| unknown_version(id))?;
        Ok((store, set, parsed))
    }
}

/// A version that was found.
pub(crate) struct FoundVersion {
    /// Where it is.
    pub(crate) store: OpenStore,
    /// Its manifest.
    pub(crate) manifest: Manifest,
    /// What the manifest holds.
    pub(crate) version: Version,
}

fn version_id(id: &str) -> Result<VersionId, Failure> {
    id.parse().map_err(|error| Failure::permanent("TM-VER-0400", words(&error)))
}

fn unknown_version(id: &str) -> Failure {
    Failure::permanent("TM-VER-0404", format!("no registered store holds version {id}"))
        .with_hint("tidemark version list shows what there is")
}

/// Reads a document. Boxed: of the unboxed future within a task's the compiler cannot tell that it is Send.
pub(crate) fn read_document<'a, T: Document + Send + 'a>(
    store: &'a Arc<dyn ObjectStore>,
    reference: &'a StoredRef,
) -> BoxFuture<'a, Result<T, document::Error>> {
    document::read(store, reference).boxed()
}

/// A task's specification in its kind's shape.
pub(crate) fn spec<T: DeserializeOwned>(context: &TaskContext) -> Result<T, Failure> {
    serde_json::from_value(context.task.spec.clone())
        .map_err(|error| Failure::permanent("TM-TASK-0005", format!("specification of the task: {error}")))
}

impl From<registrations::Error> for Failure {
    fn from(error: registrations::Error) -> Self {
        let retryable = matches!(error, registrations::Error::Coordinator { .. });
        Self::of("TM-TASK-0002", words(&error), retryable)
    }
}

impl From<stores::Error> for Failure {
    fn from(error: stores::Error) -> Self {
        use stores::Error as E;
        match error {
            E::Unknown(_) => Self::permanent("TM-STORE-0404", words(&error)),
            E::Registrations(error) => error.into(),
            E::Credentials { .. } => Self::permanent("TM-STORE-0103", words(&error))
                .with_hint("credentials are read by the daemon: its environment or the file it names"),
            E::Url { .. } | E::Open { .. } => Self::permanent("TM-STORE-0101", words(&error)),
            E::Emptied { .. } => Self::permanent("TM-STORE-0110", words(&error)).with_hint(OTHER_STORE),
            E::Swapped { .. } => Self::permanent("TM-STORE-0111", words(&error)).with_hint(OTHER_STORE),
            E::WentBack { .. } => Self::permanent("TM-STORE-0112", words(&error)).with_hint(OTHER_STORE),
            E::Identity { ref source, .. } => store("TM-STORE-0115", &error, source.is_retryable()),
            E::Generations { ref source, .. } => store("TM-STORE-0104", &error, source.is_retryable()),
            E::Find { ref source, .. } => store("TM-CAT-0006", &error, source.is_retryable()),
            E::Chain { ref source, .. } if source.is_other_store() => other_chain(&error),
            E::Chain { ref source, .. } => store("TM-CAT-0001", &error, source.is_retryable()),
        }
    }
}

/// A failure of the store; it is away where that may pass.
pub(crate) fn store(code: &str, error: &(dyn std::error::Error + 'static), retryable: bool) -> Failure {
    Failure::of(code, words(error), retryable).by_absence_of("store")
}

/// What to do about a store that is not what it was.
const OTHER_STORE: &str =
    "bring the store back as it was; only if it was put back on purpose: tidemark store accept NAME --confirm NAME";

/// A chain that ends before its known head, or whose head is another one.
fn other_chain(error: &(dyn std::error::Error + 'static)) -> Failure {
    Failure::permanent("TM-STORE-0113", words(error)).with_hint(OTHER_STORE)
}

impl From<stores::FindError> for Failure {
    fn from(error: stores::FindError) -> Self {
        match error {
            stores::FindError::Store(error) => error.into(),
            stores::FindError::Chain(error) => error.into(),
        }
    }
}

impl From<chain::Error> for Failure {
    fn from(error: chain::Error) -> Self {
        if error.is_other_store() {
            return other_chain(&error);
        }
        store("TM-CAT-0001", &error, error.is_retryable())
    }
}

impl From<pages::Error> for Failure {
    fn from(error: pages::Error) -> Self {
        let retryable = matches!(&error, pages::Error::Page(page) if page.is_retryable());
        store("TM-CAT-0002", &error, retryable)
    }
}

impl From<document::Error> for Failure {
    fn from(error: document::Error) -> Self {
        store("TM-CAT-0003", &error, error.is_retryable())
    }
}

impl From<commit::Error> for Failure {
    fn from(error: commit::Error) -> Self {
        if matches!(&error, commit::Error::Chain(chain) if chain.is_other_store()) {
            return other_chain(&error);
        }
        if matches!(error, commit::Error::Overtaken { .. }) {
            return Self::permanent("TM-CAT-0007", words(&error))
                .with_hint("the newer version holds what this one would");
        }
        // A fenced claim is taken anew: the next attempt has a higher token.
        let fenced = matches!(error, commit::Error::Fenced { .. } | commit::Error::ClaimLost { .. });
        if fenced {
            Self::retryable("TM-CAT-0004", words(&error))
        } else {
            store("TM-CAT-0004", &error, error.is_retryable())
        }
    }
}
