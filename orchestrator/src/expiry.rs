//! Which versions of a policy's set stay by its rules.

use std::sync::Arc;

use futures::{StreamExt as _, TryStreamExt as _, stream};
use jiff::Timestamp;
use tidemark_catalog::{
    chain::VersionSet,
    ids::{SetId, SourceId, VersionNumber},
    manifest::Manifest,
    retention::{self, Candidate, Decision, Reason, Retention},
    states::{VersionState, VersionStates},
};
use tidemark_gateway::causes::joined as words_of;

use crate::{failure::Failure, registrations::PolicyRecord, stores::OpenStore};

/// Manifests that are read at a time.
const READS_AT_A_TIME: usize = 16;

/// The versions of a set that rules are asked about.
#[derive(Debug, Default)]
pub(crate) struct Candidates {
    /// Versions that are neither expired nor collected, ascending.
    pub(crate) candidates: Vec<Candidate>,
    /// Versions that cannot be judged, because they or their states are damaged: they stay.
    pub(crate) damaged: Vec<VersionNumber>,
}

/// The versions of a set.
///
/// # Errors
/// Where the store does not say.
pub(crate) async fn candidates(store: &OpenStore, source: &SourceId, set: &SetId) -> Result<Candidates, Failure> {
    let chain = VersionSet::new(Arc::clone(&store.objects), source.clone(), set.clone());
    let states = VersionStates::new(Arc::clone(&store.objects), source.clone(), set.clone());
    let states = states.survey(|_| true).await?;
    let numbers = chain.list().await?;
    let gone = |number: &VersionNumber| states.known.get(number).is_some_and(|state| !state.is_visible());
    let (mut found, mut reads) = (Candidates::default(), Vec::new());
    for number in numbers.into_iter().filter(|number| !gone(number)) {
        match states.damaged.contains_key(&number) {
            true => found.damaged.push(number),
            false => reads.push({
                let chain = &chain;
                async move { (number, chain.read(number).await) }
            }),
        }
    }
    let mut reads = stream::iter(reads).buffered(READS_AT_A_TIME).map(Ok::<_, Failure>);
    while let Some((number, read)) = reads.try_next().await? {
        match read {
            Ok(manifest) => found.candidates.extend(candidate(&manifest, states.known.get(&number))),
            Err(error) if error.is_of_the_store() => return Err(error.into()),
            Err(error) => {
                tracing::warn!(source_id = %source, %set, %number, error = words_of(&error), "a damaged version stays");
                found.damaged.push(number);
            }
        }
    }
    Ok(found)
}

/// What rules ask of a version; `None` of a barrier.
fn candidate(manifest: &Manifest, state: Option<&VersionState>) -> Option<Candidate> {
    let version = manifest.version()?;
    let at = version.cut.as_ref().map_or(manifest.committed, |cut| cut.through);
    let held = state.and_then(|state| state.hold.as_ref()).map(|hold| format!("{}: {}", hold.by, hold.reason));
    Some(Candidate { number: manifest.number, at, held: held.into_iter().collect(), quality: version.worst })
}

/// What the rules say of each, newest first.
///
/// # Errors
/// `TM-POL-0400` where this host does not know the policy's zone.
pub(crate) fn plan(
    policy: &PolicyRecord,
    keep: &Retention,
    candidates: &[Candidate],
    now: Timestamp,
) -> Result<Vec<Decision>, Failure> {
    let zone = policy.zone().map_err(|error| Failure::permanent("TM-POL-0400", words_of(&error)))?;
    Ok(retention::plan(keep, &zone, candidates, now))
}

/// Reasons as a text.
pub(crate) fn words(reasons: &[Reason]) -> String {
    reasons.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}
