//! The commit: pages, then the manifest.

use std::{collections::BTreeMap, sync::Arc};

use serde_json::Value;
use tidemark_catalog::{
    chain::{Head, VersionSet},
    commit::{Claim, ManifestDraft},
    entry::{Cut, ObjectLine, PartitionCut},
    figures::Figures,
    ids::{FencingToken, VersionId},
    manifest::{Holds, Version, WorstQuality},
    marks::Marked,
    pages,
};

use super::{Job, capture};
use crate::{failure::Failure, tasks::TaskContext};

/// Part of the checkpoint that holds the version, once it is committed.
pub(super) const COMMITTED: &str = "committed";

/// The claim of this run, as the catalog asks for it.
pub(crate) struct RunClaim {
    pub(crate) token: FencingToken,
    pub(crate) context: TaskContext,
}

impl Claim for RunClaim {
    fn token(&self) -> FencingToken {
        self.token
    }

    fn holds(&self) -> bool {
        self.context.holds()
    }
}

/// A version that was committed.
pub(super) struct Sealed {
    pub(super) id: VersionId,
    pub(super) version: Box<Version>,
    /// Its lines, in order.
    pub(super) lines: Vec<ObjectLine>,
}

impl Job<'_> {
    /// Commits the version, or finds that an earlier run of this task did. Of a capture of an earlier run, none that a newer
    /// version has overtaken.
    pub(super) async fn seal(&self, lines: Vec<ObjectLine>, marked: &Marked, resumed: bool) -> Result<Sealed, Failure> {
        self.require_kept(&lines, marked).await?;
        let draft = ManifestDraft { in_order: resumed, ..self.draft(lines.clone()).await? };
        let set = self.with.stores.prove(&self.store, &self.source_id, &self.set).await?;
        let claim = RunClaim { token: self.context.token, context: self.context.clone() };
        let (manifest, stored) = set.commit(draft, &claim, &self.with.env).await?;
        let head = Head { number: manifest.number, digest: stored.digest };
        self.with.stores.committed(&self.store, &self.source_id, &self.set, head).await?;
        let id = VersionId { source: manifest.source, set: manifest.set, number: manifest.number };
        let Holds::Version(version) = manifest.holds else { return Err(no_version(&id)) };
        tracing::info!(version_id = %id, fencing_token = %manifest.token, quality = %version.worst, "version committed");
        Ok(Sealed { id, version, lines })
    }

    /// The version that an earlier run of this task committed, read from the store: as its checkpoint says, or as the chain
    /// does, where the checkpoint was lost. What was staged for it may be gone by now.
    pub(super) async fn committed(&self) -> Result<Option<Sealed>, Failure> {
        let set = VersionSet::new(Arc::clone(&self.store.objects), self.source_id.clone(), self.set.clone());
        let known = self.context.checkpoints.load::<VersionId>(COMMITTED).await?;
        let manifest = match known {
            Some(id) => set.read(id.number).await?,
            // Nothing was captured yet, so that nothing was committed.
            None if self.context.checkpoints.load::<Value>(capture::PART).await?.is_none() => return Ok(None),
            None => match set.of_task(self.context.task.id.as_str()).await? {
                Some(manifest) => manifest,
                None => return Ok(None),
            },
        };
        let lines = pages::read_lines(&self.store.objects, &manifest).await?;
        let id = VersionId { source: manifest.source, set: manifest.set, number: manifest.number };
        let Holds::Version(version) = manifest.holds else { return Err(no_version(&id)) };
        Ok(Some(Sealed { id, version, lines }))
    }

    async fn draft(&self, lines: Vec<ObjectLine>) -> Result<ManifestDraft, Failure> {
        let (cut, worst) = (union(&lines), worst(&lines));
        let figures = Figures::sum(lines.iter().map(|line| &line.figures));
        let objects = lines.len() as u64;
        let pages = pages::write_pages(&self.store.objects, &self.names, lines).await?;
        let kind = self.driver.kind().to_owned();
        let version = Version {
            cut,
            pages,
            objects,
            figures,
            worst,
            keeps_staged: self.policy.keep_staged,
            ..Version::empty(kind)
        };
        Ok(ManifestDraft {
            task: self.context.task.id.to_string(),
            node: self.with.node.clone(),
            holds: Holds::Version(Box::new(version)),
            in_order: false,
        })
    }
}

fn no_version(id: &VersionId) -> Failure {
    Failure::permanent("TM-PROT-0007", format!("{id}, which this task committed, holds no version"))
}

/// True where a version says of its lines what they are: their cut, figures and worst quality.
pub(crate) fn tells(version: &Version, lines: &[ObjectLine]) -> bool {
    let figures = Figures::sum(lines.iter().map(|line| &line.figures));
    version.cut == union(lines) && version.figures == figures && version.worst == worst(lines)
}

/// The union of the lines' cuts.
fn union(lines: &[ObjectLine]) -> Option<Cut> {
    let from = lines.iter().map(|line| line.cut.from).min()?;
    let through = lines.iter().map(|line| line.cut.through).max()?;
    let mut partitions: BTreeMap<String, PartitionCut> = BTreeMap::new();
    for cut in lines.iter().flat_map(|line| &line.cut.partitions) {
        let known = partitions.entry(cut.partition.clone()).or_insert_with(|| cut.clone());
        known.started = known.started.min(cut.started);
        known.finished = known.finished.max(cut.finished);
    }
    Some(Cut { from, through, partitions: partitions.into_values().collect() })
}

/// The worst quality of the lines.
fn worst(lines: &[ObjectLine]) -> WorstQuality {
    lines.iter().map(|line| WorstQuality::from(&line.quality)).max().unwrap_or(WorstQuality::Missing)
}
