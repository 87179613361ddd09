//! The fake source of blocks: what is staged of an object are its blocks, and listeners restore it.

use std::sync::Arc;

use async_trait::async_trait;
use object_store::ObjectStore;
use serde_json::{Value, json};
use tidemark_catalog::{
    content::{self, Content},
    document, door,
    entry::{Entry, ObjectLine, Quality},
    figures::Figures,
    position::Position,
    slice,
    stored::StoredRef,
};
use tidemark_gateway::{Digest, upload};
use tidemark_listener_core::{
    blocks::{BlockSource, SealJob},
    check,
    failure::Failure,
    progress::ProgressSink,
    restorer::{HostWork, Place, RestoreControl, RestoreJob, RestorePlan, RestoreReport, Restorer},
    source::{Family, ListenerSpec, LiveObject, Source, Uses},
};

use super::{driver, objects};

/// The kind; it is asked for nothing that could fail.
pub(super) struct Blocks;

#[async_trait]
impl Source for Blocks {
    fn kind(&self) -> &'static str {
        "fake-blocks"
    }

    fn validate(&self, spec: &Value) -> Result<(), Failure> {
        driver::validate(spec)
    }

    fn uses(&self, spec: &Value) -> Result<Uses, Failure> {
        driver::uses(spec)
    }

    fn validate_options(&self, options: &Value) -> Result<(), Failure> {
        driver::validate_options(options)
    }

    async fn check(&self, spec: &Value) -> Vec<check::Line> {
        driver::check(spec)
    }

    async fn objects(&self, spec: &Value) -> Result<Vec<LiveObject>, Failure> {
        Ok(driver::live(spec, objects()))
    }

    async fn listeners(&self, spec: &Value) -> Result<Vec<ListenerSpec>, Failure> {
        driver::listeners(spec)
    }

    fn family(&self) -> Family<'_> {
        Family::Blocks(self)
    }

    fn restorer(&self) -> &dyn Restorer {
        self
    }
}

#[async_trait]
impl BlockSource for Blocks {
    async fn seal(&self, job: &SealJob) -> Result<ObjectLine, Failure> {
        let slice = job.slices.first().ok_or_else(|| failed("no slice"))?;
        let cut = slice::cut(&[slice], 0).ok_or_else(|| failed("no slice"))?;
        let Some(object) = slice.objects.iter().find(|object| object.object == job.object) else {
            return Ok(ObjectLine::missing(job.object.clone(), cut, "it was not captured".to_owned()));
        };
        if let Some(reason) = &object.unreadable {
            return Ok(ObjectLine::missing(job.object.clone(), cut, reason.clone()));
        }
        let staged: Vec<StoredRef> = object.files.iter().map(|file| file.stored.clone()).collect();
        let bytes = read(&job.store, &staged).await?;
        let (size, path) = (bytes.len() as u64, job.names.segment());
        let stored = upload::put_new(&job.store, &path, bytes.clone()).await.map_err(failed)?;
        let leaves = vec![StoredRef::new(&path, stored)];
        let figures = Figures { kept_new_bytes: size, records: 1, ..Figures::default() };
        let entry = Entry {
            object: job.object.clone(),
            object_id: "1".to_owned(),
            kind: self.kind().to_owned(),
            schema: Value::Null,
            content: Content::Blocks(content::Blocks { root: Digest::of(&bytes), size, leaves }),
            replicas: vec![],
            cut: cut.clone(),
            position: Position::default(),
            quality: Quality::Cut,
            figures: figures.clone(),
        };
        let stored = document::write(&job.store, &job.names.page(), &entry).await.map_err(failed)?;
        let (object, quality) = (job.object.clone(), Quality::Cut);
        Ok(ObjectLine { object, entry: Some(stored), cut, quality, topology: None, figures, left_out: vec![] })
    }

    async fn verify(&self, store: &Arc<dyn ObjectStore>, entry: &Entry, _: ProgressSink) -> Result<u64, Failure> {
        let Content::Blocks(blocks) = &entry.content else { return Err(Failure::new("TM-FAKE-0011", "no blocks")) };
        let bytes = read(store, &blocks.leaves).await?;
        match Digest::of(&bytes) == blocks.root && bytes.len() as u64 == blocks.size {
            true => Ok(blocks.size),
            false => Err(Failure::new("TM-FAKE-0011", "the root is another")),
        }
    }
}

fn failed(error: impl std::fmt::Display) -> Failure {
    Failure::new("TM-FAKE-0011", error.to_string())
}

async fn read(store: &Arc<dyn ObjectStore>, leaves: &[StoredRef]) -> Result<Vec<u8>, Failure> {
    let mut bytes = Vec::new();
    for leaf in leaves {
        bytes.extend(door::read(store, leaf).await.map_err(failed)?);
    }
    Ok(bytes)
}

#[async_trait]
impl Restorer for Blocks {
    fn validate_options(&self, options: &Value) -> Result<(), Failure> {
        driver::validate_options(options)
    }

    async fn plan(&self, job: &RestoreJob) -> Result<RestorePlan, Failure> {
        Ok(driver::plan(job))
    }

    async fn place(&self, job: &RestoreJob, plan: &RestorePlan) -> Result<Place, Failure> {
        let work = |listener| HostWork { listener, ask: json!({"objects": plan.objects.len()}) };
        Ok(Place::Hosts(self.listeners(&job.destination).await?.into_iter().map(work).collect()))
    }

    async fn run(&self, _: &RestoreJob, _: &RestorePlan, _: RestoreControl) -> Result<RestoreReport, Failure> {
        unreachable!("its listeners restore")
    }
}
