//! Versions, as the stores hold them.

use tidemark_catalog::{
    entry::{self, DegradedRange, ObjectLine, Quality},
    find,
    ids::{SourceId, VersionId},
    manifest::Manifest,
    pages,
};
use tidemark_listener_core::driver;
use tidemark_web::api::{PlannedObject, Problem, RestorePlan, Totals, Version, VersionDetail, VersionObject};

use super::{
    Api,
    problems::{answer, refused},
    sources::show_line,
};
use crate::{protect::seal::word, stores::OpenStore};

/// Versions in all stores, oldest first. One whose manifest does not verify is listed as `damaged`: hiding it would look as
/// if it had never been.
pub(super) async fn list(api: &Api, source: Option<&str>, set: Option<&str>) -> Result<Vec<Version>, Problem> {
    let mut versions = Vec::new();
    for store in api.with.stores.all().await.map_err(answer)? {
        let survey = survey(&store).await?;
        let good = survey.versions.iter().map(|(id, manifest)| (id, show(&store, id, manifest)));
        let bad = survey.damaged.iter().map(|(id, error)| (id, damaged(&store, id, error)));
        let wanted =
            |id: &VersionId| source.is_none_or(|s| s == id.source.as_str()) && set.is_none_or(|s| s == id.set.as_str());
        versions.extend(good.chain(bad).filter(|(id, _)| wanted(id)).map(|(id, version)| (id.clone(), version)));
    }
    versions.sort_by(|(a, va), (b, vb)| (&va.committed, a).cmp(&(&vb.committed, b)));
    Ok(versions.into_iter().map(|(_, version)| version).collect())
}

async fn survey(store: &OpenStore) -> Result<find::Survey, Problem> {
    find::survey(&store.objects).await.map_err(|error| refused(503, "TM-CAT-0006", &error))
}

fn damaged(store: &OpenStore, id: &VersionId, error: &tidemark_catalog::chain::Error) -> Version {
    tracing::error!(version_id = %id, store = store.record.name, error = %crate::errors::chain(error), "version is damaged");
    Version {
        id: id.to_string(),
        store: store.record.name.clone(),
        committed: String::new(),
        cut_from: None,
        cut_through: None,
        quality: "damaged".to_owned(),
        objects: 0,
        totals: Totals::default(),
    }
}

/// Versions of a source that verify, oldest first within a set.
pub(super) async fn verified(api: &Api, source: &SourceId) -> Result<Vec<(OpenStore, VersionId, Manifest)>, Problem> {
    let mut found = Vec::new();
    for store in api.with.stores.all().await.map_err(answer)? {
        let versions = survey(&store).await?.versions.into_iter().filter(|(id, _)| id.source == *source);
        found.extend(versions.map(|(id, manifest)| (store.clone(), id, manifest)));
    }
    found.sort_by_key(|(_, _, manifest)| manifest.committed);
    Ok(found)
}

/// One version with its objects.
pub(super) async fn one(api: &Api, id: &str) -> Result<VersionDetail, Problem> {
    let (store, manifest) = api.with.version(id).await.map_err(answer)?;
    let lines = pages::read_lines(&store.objects, &manifest).await.map_err(answer)?;
    let id = VersionId { source: manifest.source.clone(), set: manifest.set.clone(), number: manifest.number };
    Ok(VersionDetail { version: show(&store, &id, &manifest), contents: lines.into_iter().map(show_object).collect() })
}

fn show(store: &OpenStore, id: &VersionId, manifest: &Manifest) -> Version {
    Version {
        id: id.to_string(),
        store: store.record.name.clone(),
        committed: manifest.committed.to_string(),
        cut_from: manifest.cut.as_ref().map(|cut| cut.from.to_string()),
        cut_through: manifest.cut.as_ref().map(|cut| cut.through.to_string()),
        quality: word(manifest.worst).to_owned(),
        objects: manifest.objects,
        totals: show_totals(manifest.totals),
    }
}

fn show_totals(totals: entry::Totals) -> Totals {
    Totals {
        source_bytes: totals.source_bytes,
        shipped_bytes: totals.shipped_bytes,
        kept_bytes: totals.kept_bytes,
        rows: totals.rows,
        static_rows: totals.static_rows,
        disagreeing_rows: totals.disagreeing_rows,
        not_owned_partitions: totals.not_owned_partitions,
    }
}

fn show_object(line: ObjectLine) -> VersionObject {
    let (quality, notes) = match line.quality {
        Quality::Exact => ("exact", Vec::new()),
        Quality::Cut => ("cut", Vec::new()),
        Quality::Degraded { ranges } => ("degraded", ranges.iter().map(show_range).collect()),
        Quality::Missing { reason } => ("missing", vec![reason]),
    };
    let totals = show_totals(line.totals);
    VersionObject { object: line.object.to_string(), quality: quality.to_owned(), notes, totals }
}

fn show_range(range: &DegradedRange) -> String {
    let DegradedRange { after, through, replicas, captured, reason } = range;
    format!("({after}, {through}]: {captured} of {replicas} replicas captured, {reason}")
}

/// A plan as the API shows it.
pub(super) fn show_plan(version: &str, plan: driver::RestorePlan) -> RestorePlan {
    let object = |o: driver::PlannedObject| PlannedObject {
        object: o.object.to_string(),
        target: o.target.to_string(),
        rows: o.rows,
        stored_bytes: o.stored_bytes,
    };
    RestorePlan {
        version: version.to_owned(),
        destination: plan.destination,
        write_level: plan.write_level,
        objects: plan.objects.into_iter().map(object).collect(),
        schema: plan.schema,
        checks: plan.checks.into_iter().map(show_line).collect(),
        rows: plan.rows,
        stored_bytes: plan.stored_bytes,
    }
}
