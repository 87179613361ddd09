//! The task that reads and proves everything a version names.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tidemark_catalog::{
    chain::VersionSet,
    entry::{Entry, ObjectLine},
    ids::VersionId,
    layout, pages,
};
use tidemark_gateway::causes;
use tidemark_listener_core::source::Family;

use crate::{
    executors::{Executors, FoundVersion, read_document, spec},
    failure::{Away, Failure},
    protect::seal,
    reading,
    sources::Driver,
    stores::OpenStore,
    tasks::{Completion, TaskContext},
    version_name::VersionName,
};

/// What a verify task needs to know.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VerifySpec {
    /// The version.
    pub version: VersionName,
}

/// What comes of a verify task, as it is stored with the task and shown as the result of its operation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VerifyResult {
    /// The version.
    pub version: VersionId,
    /// Its objects.
    pub objects: usize,
    /// Objects that it does not hold.
    pub missing: usize,
    /// Records that were read.
    pub records: u64,
    /// Why the version after it cannot vouch for it, where that one is damaged.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unproven: Option<String>,
}

/// Verifies a version: its manifest and link, its pages, and each object that it holds. All damage is found, not only the
/// first.
pub(crate) async fn run(with: &Executors, context: TaskContext) -> Result<Completion, Failure> {
    let VerifySpec { version } = spec(&context)?;
    let found = with.version(&version, None).await?;
    reading::keep(with, &context, &found).await?;
    let driver = with.driver(&found.version.kind)?;
    let (store, (lines, unproven)) = (&found.store, verify_manifest(&found).await?);
    let (mut records, mut damaged) = (0, Vec::new());
    for line in &lines {
        if context.cancel.is_cancelled() {
            return Err(Failure::cancelled());
        }
        match verify_line(&driver, store, line, &context).await {
            Ok(found) => records += found,
            Err(failure) if failure.retryable || failure.cancelled => return Err(failure),
            Err(failure) => damaged.push(format!("{}: {failure}", line.object)),
        }
    }
    if !damaged.is_empty() {
        let words = format!("version {version} is damaged; {}", damaged.join("; "));
        return Err(Failure::permanent("TM-VER-0001", words)
            .with_hint("other versions and objects are not touched by it: verify and restore those"));
    }
    let missing = lines.iter().filter(|line| line.entry.is_none()).count();
    let warnings = missing > 0 || unproven.is_some();
    let result = VerifyResult { version: version.id, objects: lines.len(), missing, records, unproven };
    Ok(Completion::of(&result, warnings))
}

/// The lines of a manifest that is proven by its neighbours in the chain and says of its lines what they are; and why the one
/// after it cannot prove it.
async fn verify_manifest(found: &FoundVersion) -> Result<(Vec<ObjectLine>, Option<String>), Failure> {
    let FoundVersion { store, manifest, version, pin: _ } = found;
    let set = VersionSet::new(Arc::clone(&store.objects), manifest.source.clone(), manifest.set.clone());
    let unproven = set.prove(manifest.number).await?.unproven;
    let lines = pages::read_lines(&store.objects, manifest).await?;
    if seal::tells(version, &lines) {
        return Ok((lines, unproven.map(|error| causes::joined(&error))));
    }
    let path = layout::manifest(&manifest.source, &manifest.set, manifest.number);
    let words = format!("manifest {path} is damaged: its cut, figures or quality are not those of its objects");
    Err(Failure::permanent("TM-VER-0003", words))
}

/// Records of one object; 0 for one that the version does not hold.
async fn verify_line(
    driver: &Driver,
    store: &OpenStore,
    line: &ObjectLine,
    context: &TaskContext,
) -> Result<u64, Failure> {
    let Some(reference) = &line.entry else { return Ok(0) };
    let entry: Entry = read_document(&store.objects, reference).await?;
    if entry.object != line.object {
        let words = format!("its entry {} is of {}", reference.key, entry.object);
        return Err(Failure::permanent("TM-VER-0002", words));
    }
    let progress = Arc::clone(&context.progress);
    let verified = match driver.family() {
        Family::Records(records) => records.verify(&store.objects, &entry, progress),
        Family::Blocks(blocks) => blocks.verify(&store.objects, &entry, progress),
    };
    tokio::select! {
        biased;
        verified = verified => Ok(verified.map_err(|error| Failure::from(error).by_absence_of(Away::Store))?),
        () = context.cancel.cancelled() => Err(Failure::cancelled()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_specification_and_the_result_are_stored_under_the_names_they_always_had() {
        let result =
            VerifyResult { version: "s.d.1".parse().unwrap(), objects: 1, missing: 2, records: 3, unproven: None };
        let whole = json!({"version": "s.d.1", "objects": 1, "missing": 2, "records": 3});
        assert_eq!(serde_json::to_value(&result).unwrap(), whole);
        assert_eq!(serde_json::from_value::<VerifyResult>(whole).unwrap(), result);
        let spec = |text: &str| serde_json::from_value::<VerifySpec>(json!({"version": text}));
        assert_eq!(spec("s.d.1").unwrap().version.id, result.version);
        assert_eq!(serde_json::to_value(spec("main:s.d.1").unwrap()).unwrap(), json!({"version": "main:s.d.1"}));
        assert!(spec("s.d").is_err());
    }
}
