//! The kind of source as the orchestrator asks it.

use std::{collections::BTreeSet, path::Path, sync::Arc};

use async_trait::async_trait;
use object_store::ObjectStore;
use serde_json::Value;
use tidemark_catalog::{entry::Entry, keys::KeyRange};
use tidemark_listener_core::{
    check::Line,
    failure::Failure,
    progress::ProgressSink,
    records::{ConsolidateJob, Consolidated, RecordSource},
    restorer::Restorer,
    source::{Family, ListenerSpec, LiveObject, Source, Uses},
};

use super::{
    DIRECTORY, KIND, LISTENER,
    capture::{blocking, fail, object_name},
    consolidate,
    options::PolicyOptions,
    replica,
    restore::ToyRestorer,
    spec::{Replica, Specification},
    verify,
};

/// The toy kind of source.
#[derive(Clone, Copy, Debug)]
pub struct Toy;

#[async_trait]
impl Source for Toy {
    fn kind(&self) -> &'static str {
        KIND
    }

    fn validate(&self, spec: &Value) -> Result<(), Failure> {
        Specification::read(spec).map(drop)
    }

    fn uses(&self, spec: &Value) -> Result<Uses, Failure> {
        let data = Specification::read(spec)?.replicas.into_iter().map(|replica| replica.directory).collect();
        Ok(Uses { data, ..Uses::default() })
    }

    fn validate_options(&self, options: &Value) -> Result<(), Failure> {
        PolicyOptions::read(options).map(drop)
    }

    async fn check(&self, spec: &Value) -> Vec<Line> {
        let replicas = match Specification::read(spec) {
            Ok(spec) => spec.replicas,
            Err(failure) => return vec![fail("specification", "source", &failure)],
        };
        let mut lines = Vec::new();
        for Replica { id, directory } in &replicas {
            lines.push(look(id, directory).await);
        }
        lines
    }

    async fn objects(&self, spec: &Value) -> Result<Vec<LiveObject>, Failure> {
        // Those of the replicas that can be read: one that is away takes no object from the others.
        let (mut names, mut looked, mut away) = (BTreeSet::new(), false, None);
        for Replica { directory, .. } in Specification::read(spec)?.replicas {
            match blocking(move || replica::objects(&directory)).await {
                Ok(found) => {
                    looked = true;
                    names.extend(found);
                }
                Err(failure) => away = Some(failure),
            }
        }
        if let (false, Some(failure)) = (looked, away) {
            return Err(failure);
        }
        let live = |name: String| {
            let object = object_name(&name).map_err(|error| Failure::new(DIRECTORY, error.to_string()))?;
            Ok(LiveObject { object, object_id: name, supported: true, note: None })
        };
        names.into_iter().map(live).collect()
    }

    async fn listeners(&self, spec: &Value) -> Result<Vec<ListenerSpec>, Failure> {
        Specification::read(spec)?.replicas.iter().map(listener).collect()
    }

    fn family(&self) -> Family<'_> {
        Family::Records(self)
    }

    fn restorer(&self) -> &dyn Restorer {
        &ToyRestorer
    }
}

#[async_trait]
impl RecordSource for Toy {
    async fn consolidate(&self, job: &ConsolidateJob, range: &KeyRange) -> Result<Consolidated, Failure> {
        consolidate::part(job, range).await
    }

    async fn verify(
        &self,
        store: &Arc<dyn ObjectStore>,
        entry: &Entry,
        progress: ProgressSink,
    ) -> Result<u64, Failure> {
        verify::entry(store, entry, progress).await
    }
}

/// How a replica's directory stands.
pub(super) async fn look(id: &str, directory: &Path) -> Line {
    let directory = directory.to_owned();
    match blocking(move || replica::objects(&directory)).await {
        Ok(objects) => Line::ok("directory", id, format!("{} objects", objects.len())),
        Err(failure) => fail("directory", id, &failure),
    }
}

fn listener(replica: &Replica) -> Result<ListenerSpec, Failure> {
    let Replica { id, directory } = replica;
    let directory = directory.to_str().ok_or_else(|| Failure::new(DIRECTORY, "a directory's name is no text"))?;
    let arguments = ["--replica", id, "--directory", directory].map(str::to_owned).to_vec();
    let (id, program) = (id.clone(), LISTENER.to_owned());
    Ok(ListenerSpec { id, program, arguments, secret_environment: Vec::new(), inherited: &[] })
}
