//! The commit: pages, then the manifest.

use std::collections::BTreeMap;

use tidemark_catalog::{
    chain::Head,
    commit::{Claim, ManifestDraft},
    entry::{Cut, ObjectLine, PartitionCut},
    figures::Figures,
    ids::{FencingToken, VersionId},
    manifest::{Holds, Version, WorstQuality},
    pages,
};
use tokio_util::sync::CancellationToken;

use super::Job;
use crate::failure::Failure;

/// The claim of this run, as the catalog asks for it. Runs are cancelled a margin before their lease ends.
struct RunClaim {
    token: FencingToken,
    cancel: CancellationToken,
}

impl Claim for RunClaim {
    fn token(&self) -> FencingToken {
        self.token
    }

    fn holds(&self) -> bool {
        !self.cancel.is_cancelled()
    }
}

/// A version that was committed.
pub(super) struct Sealed {
    pub(super) id: VersionId,
    pub(super) version: Box<Version>,
}

impl Job<'_> {
    /// Commits the version, or finds that an earlier run of this task did. Of a capture of an earlier run, none that a newer
    /// version has overtaken.
    pub(super) async fn seal(&self, lines: Vec<ObjectLine>, resumed: bool) -> Result<Sealed, Failure> {
        self.require_kept(&lines).await?;
        let draft = ManifestDraft { in_order: resumed, ..self.draft(lines).await? };
        let set = self.with.stores.prove(&self.store, &self.source_id, &self.set).await?;
        let claim = RunClaim { token: self.context.token, cancel: self.context.cancel.clone() };
        let (manifest, stored) = set.commit(draft, &claim, &self.with.env).await?;
        let head = Head { number: manifest.number, digest: stored.digest };
        self.with.stores.committed(&self.store, &self.source_id, &self.set, head).await?;
        let id = VersionId { source: manifest.source, set: manifest.set, number: manifest.number };
        let Holds::Version(version) = manifest.holds else {
            return Err(Failure::permanent(
                "TM-PROT-0007",
                format!("{id}, which this task committed, holds no version"),
            ));
        };
        tracing::info!(version_id = %id, fencing_token = %manifest.token, quality = %version.worst, "version committed");
        Ok(Sealed { id, version })
    }

    async fn draft(&self, lines: Vec<ObjectLine>) -> Result<ManifestDraft, Failure> {
        let (cut, worst) = (union(&lines), worst(&lines));
        let figures = Figures::sum(lines.iter().map(|line| &line.figures));
        let objects = lines.len() as u64;
        let pages = pages::write_pages(&self.store.objects, &self.names, lines).await?;
        let kind = self.driver.kind().to_owned();
        let version = Version { kind, cut, pages, objects, figures, worst, revises: None, group: None };
        Ok(ManifestDraft {
            task: self.context.task.id.to_string(),
            node: self.with.node.clone(),
            holds: Holds::Version(Box::new(version)),
            in_order: false,
        })
    }
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
