//! What the kinds of tasks need.

use std::sync::Arc;

use futures::{FutureExt as _, future::BoxFuture};
use object_store::ObjectStore;
use serde::de::DeserializeOwned;
use tidemark_catalog::{
    chain::VersionSet,
    collect::Ages,
    document::{self, Document},
    ids::VersionId,
    manifest::{Barrier, Holds, Manifest, Version},
    states::VersionStates,
    stored::StoredRef,
};
use tidemark_gateway::{Env, causes::joined as words};
use tidemark_listener_core::{assignment::CaptureLimits, records::ConsolidateLimits};

use crate::{
    allow::Allow,
    coordinator::Coordinator,
    failure::{Failure, collection},
    listeners::Listeners,
    nodes::{self, NodeRecord, RELEASE},
    registrations::{Registrations, SOURCES, SourceRecord},
    sources::{Driver, Drivers},
    stores::{OpenStore, Stores},
    tasks::{self, TaskContext, Tasks},
    version_name::{Pin, VersionName},
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
    /// What sources may use of this host.
    pub allow: Allow,
    /// Listeners.
    pub listeners: Listeners,
    /// All tasks.
    pub tasks: Tasks,
    /// Bounds of a capture, for each listener.
    pub capture_limits: CaptureLimits,
    /// Bounds of a consolidation.
    pub consolidate_limits: ConsolidateLimits,
    /// Ranges of keys that this process consolidates at a time within a task, from 1.
    pub consolidations: usize,
    /// Staged bytes from which an object may be consolidated by another worker, and for each further part of it, from 1.
    pub part_bytes: u64,
    /// The state that daemons share.
    pub coordinator: Arc<dyn Coordinator>,
    /// How long collection leaves things alone.
    pub ages: Ages,
    /// Name of this node, as it is written into manifests.
    pub node: String,
    /// Clocks.
    pub env: Env,
}

impl Executors {
    /// How many workers of this release take new work.
    pub(crate) async fn workers(&self) -> Result<usize, Failure> {
        let failed = |source| tasks::Error::Coordinator { subject: "list nodes".to_owned(), source };
        let draining = nodes::drain::all(&*self.coordinator).await.map_err(failed)?;
        let nodes = nodes::records(&*self.coordinator).await.map_err(failed)?;
        let takes = |node: &&NodeRecord| node.works() && node.version == RELEASE && !draining.contains(&node.name);
        Ok(nodes.iter().filter(takes).count())
    }

    /// A registered source with its driver, which may be used: it is confirmed, and what it names on this host is allowed.
    pub(crate) async fn source(&self, name: &str) -> Result<(SourceRecord, Driver), Failure> {
        let (record, driver) = self.registered(name).await?;
        if let Some(store) = &record.imported_from {
            let words = format!("source {name} came from the mirror of store {store} and is not confirmed");
            return Err(Failure::permanent("TM-SRC-0010", words).with_hint(format!(
                "see what it would run and read: tidemark source show {name}; then: tidemark source confirm {name}"
            )));
        }
        self.require_allowed(&record, &driver).await?;
        Ok((record, driver))
    }

    /// Refuses a source that names programs or files which the configuration does not allow.
    pub(crate) async fn require_allowed(&self, record: &SourceRecord, driver: &Driver) -> Result<(), Failure> {
        let refused = self.allow.refused(driver.uses(&record.spec)?).await;
        if refused.is_empty() {
            return Ok(());
        }
        let words = format!("source {}: {}", record.name, refused.join("; "));
        Err(Failure::permanent("TM-SRC-0011", words).with_hint(
            "name it in the section [allow] of the daemon's configuration file, if it is right, and restart",
        ))
    }

    /// A registered source with its driver, to be shown only: nothing that it names may be used.
    pub(crate) async fn registered(&self, name: &str) -> Result<(SourceRecord, Driver), Failure> {
        let record: Option<SourceRecord> = self.registrations.get(SOURCES, name).await?;
        let record = record.ok_or_else(|| unknown_source(name))?;
        let driver = self.driver(&record.kind)?;
        Ok((record, driver))
    }

    /// The source of a kind.
    pub(crate) fn driver(&self, kind: &str) -> Result<Driver, Failure> {
        self.drivers.get(kind).ok_or_else(|| {
            Failure::permanent("TM-SRC-0002", format!("sources of kind {kind} are not known"))
                .with_hint(format!("known kinds: {}", self.drivers.kinds()))
        })
    }

    /// A version that was not collected: the one that was pinned, where one was.
    pub(crate) async fn version(&self, name: &VersionName, pin: Option<&Pin>) -> Result<FoundVersion, Failure> {
        let found = self.stores.find(name, pin).await?;
        let (store, manifest, pin) = found.ok_or_else(|| unknown_version(name))?;
        match &manifest.holds {
            Holds::Version(version) => {
                let found = FoundVersion { store, version: (**version).clone(), manifest, pin };
                found.refuse_collected().await?;
                Ok(found)
            }
            Holds::Barrier(Barrier { reason }) => {
                Err(Failure::permanent("TM-VER-0410", format!("{name} holds no version: {reason}"))
                    .with_hint("tidemark version list shows what there is"))
            }
        }
    }

    /// A version, unread: it may be damaged.
    pub(crate) async fn version_place(&self, name: &VersionName) -> Result<(OpenStore, VersionSet), Failure> {
        self.stores.place(name).await?.ok_or_else(|| unknown_version(name))
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
    /// Which manifest it is.
    pub(crate) pin: Pin,
}

impl FoundVersion {
    /// Its id.
    pub(crate) fn id(&self) -> VersionId {
        let Manifest { source, set, number, .. } = &self.manifest;
        VersionId { source: source.clone(), set: set.clone(), number: *number }
    }

    /// Refuses a version that was given up to collection. A record that cannot be read refuses nothing: what is gone is
    /// named when it is read.
    ///
    /// # Errors
    /// `TM-VER-0411`; where the store does not say.
    pub(crate) async fn refuse_collected(&self) -> Result<(), Failure> {
        let id = self.id();
        let states = VersionStates::new(Arc::clone(&self.store.objects), id.source.clone(), id.set.clone());
        match states.get(id.number).await {
            Ok(state) => collection::refuse_collected(&id, &state),
            Err(error) if error.is_of_the_store() => Err(error.into()),
            Err(error) => {
                tracing::warn!(version_id = %id, error = words(&error), "a damaged state of a version is passed over");
                Ok(())
            }
        }
    }
}

/// The version of a printed id, perhaps with its store.
///
/// # Errors
/// `TM-VER-0400` for a text that is no version's name.
pub(crate) fn version_name(name: &str) -> Result<VersionName, Failure> {
    name.parse().map_err(|error| Failure::permanent("TM-VER-0400", words(&error)))
}

/// There is no source of this name.
pub(crate) fn unknown_source(name: &str) -> Failure {
    Failure::permanent("TM-SRC-0404", format!("there is no source {name}"))
}

fn unknown_version(name: &VersionName) -> Failure {
    Failure::permanent("TM-VER-0404", format!("no registered store holds version {name}"))
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
