//! Which versions of a policy's set stay by its rules.

use std::sync::Arc;

use futures::{StreamExt as _, TryStreamExt as _, stream};
use jiff::Timestamp;
use tidemark_catalog::{
    chain::VersionSet,
    ids::{SetId, SourceId, VersionNumber},
    manifest::Manifest,
    retention::{self, Candidate, Decision, Reason, Retention},
    states::{AllStates, VersionState, VersionStates},
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

/// A version as rules look at it.
#[derive(Clone, Debug)]
pub(crate) struct Looked {
    /// Its number.
    pub(crate) number: VersionNumber,
    /// What rules are told of it.
    pub(crate) what: What,
    /// When it was captured: the end of its cut, or else when it was committed; `None` where that cannot be read.
    pub(crate) at: Option<Timestamp>,
    /// Stored bytes of its segments; 0 where that cannot be read.
    pub(crate) kept_bytes: u64,
}

/// What rules are told of a version.
#[derive(Clone, Debug)]
pub(crate) enum What {
    /// They decide.
    Candidate(Candidate),
    /// It is expired already.
    Expired,
    /// It stays, because it cannot be judged: it or its state is damaged, in these words.
    Damaged(String),
}

/// The versions of a set.
///
/// # Errors
/// Where the store does not say.
pub(crate) async fn candidates(store: &OpenStore, source: &SourceId, set: &SetId) -> Result<Candidates, Failure> {
    let mut found = Candidates::default();
    for looked in look(store, source, set, VersionState::is_visible).await? {
        match looked.what {
            What::Candidate(candidate) => found.candidates.push(candidate),
            What::Expired => {}
            What::Damaged(reason) => {
                let number = looked.number;
                tracing::warn!(source_id = %source, %set, %number, error = reason, "a damaged version stays");
                found.damaged.push(number);
            }
        }
    }
    Ok(found)
}

/// The versions of a set that are not collected, expired ones too, ascending: what rules say of them is [`plan`]'s to tell.
///
/// # Errors
/// Where the store does not say.
pub(crate) async fn versions(store: &OpenStore, source: &SourceId, set: &SetId) -> Result<Vec<Looked>, Failure> {
    look(store, source, set, |state| !state.collected).await
}

/// The versions of a set whose states are `wanted`, and those whose states cannot be read; not barriers.
async fn look(
    store: &OpenStore,
    source: &SourceId,
    set: &SetId,
    wanted: impl Fn(&VersionState) -> bool,
) -> Result<Vec<Looked>, Failure> {
    let chain = VersionSet::new(Arc::clone(&store.objects), source.clone(), set.clone());
    let states = VersionStates::new(Arc::clone(&store.objects), source.clone(), set.clone());
    let AllStates { mut known, mut damaged } = states.survey(|_| true).await?;
    let mut reads = Vec::new();
    for number in chain.list().await? {
        let state = match damaged.remove(&number) {
            Some(error) => Err(words_of(&error)),
            None => Ok(known.remove(&number).unwrap_or_default()),
        };
        if state.as_ref().map_or(true, &wanted) {
            let chain = &chain;
            reads.push(async move { (number, state, chain.read(number).await) });
        }
    }
    let mut reads = stream::iter(reads).buffered(READS_AT_A_TIME).map(Ok::<_, Failure>);
    let mut found = Vec::new();
    while let Some((number, state, read)) = reads.try_next().await? {
        match read {
            Ok(manifest) => found.extend(judged(&manifest, state)),
            Err(error) if error.is_of_the_store() => return Err(error.into()),
            Err(error) => {
                // What is expired is so, whether it can be read or not.
                let expired = state.is_ok_and(|state| !state.is_visible());
                let what = if expired { What::Expired } else { What::Damaged(words_of(&error)) };
                found.push(Looked { number, what, at: None, kept_bytes: 0 });
            }
        }
    }
    Ok(found)
}

/// What rules are told of a version; `None` of a barrier.
fn judged(manifest: &Manifest, state: Result<VersionState, String>) -> Option<Looked> {
    let candidate = candidate(manifest, state.as_ref().ok())?;
    let (number, at, kept_bytes) = (candidate.number, Some(candidate.at), manifest.version()?.figures.kept_bytes());
    let what = match state {
        Err(damage) => What::Damaged(damage),
        Ok(state) if !state.is_visible() => What::Expired,
        Ok(_) => What::Candidate(candidate),
    };
    Some(Looked { number, what, at, kept_bytes })
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
