//! Versions, as the stores hold them.

mod shape;

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
};

use futures::{FutureExt as _, StreamExt as _, TryStreamExt as _, future::join_all, stream};
use jiff::Timestamp;
use tidemark_catalog::{
    chain::{Listed, VersionSet},
    entry::{self, ObjectLine},
    find,
    ids::{SetId, SourceId, VersionId},
    pages,
    states::{VersionState, VersionStates},
};
use tidemark_gateway::causes;
use tidemark_web::{
    api::{List, Order, Page, Problem, Quality, Version, VersionDetail},
    control::Versions,
};

use super::{
    Api,
    known::{Held, HeldObject, Seen},
    problems::{answer, refused},
};
use crate::{
    executors,
    failure::{Failure, collection},
    registrations::{PolicyRecord, StoreRecord},
    stores::OpenStore,
};
pub(super) use shape::{damaged, show, with_state};
use shape::{show_object, unknown, unread_line};

/// Versions that are read at a time.
const READS_AT_A_TIME: usize = 8;

/// A version that a store lists, unread.
struct Unread {
    store: Arc<OpenStore>,
    seen: Seen,
    state: VersionState,
}

impl Unread {
    fn set(&self) -> VersionSet {
        let VersionId { source, set, .. } = &self.seen.id;
        VersionSet::new(Arc::clone(&self.store.objects), source.clone(), set.clone())
    }

    /// Its place in lists.
    fn key(&self) -> String {
        let VersionId { source, set, number } = &self.seen.id;
        format!("{source}.{set}.{:020}@{}", number.0, self.store.record.name)
    }
}

/// A line of the list.
enum Row {
    Version(Unread),
    /// About a store that cannot be looked into.
    Refused(Version),
}

impl Row {
    /// Its place in lists: stores that cannot be looked into come before all versions.
    fn key(&self) -> String {
        match self {
            Self::Version(version) => version.key(),
            Self::Refused(line) => format!("!{}", line.store),
        }
    }
}

/// What the stores list.
#[derive(Default)]
struct Listing {
    versions: Vec<Unread>,
    /// Stores that cannot be looked into, a line each.
    refused: Vec<Version>,
}

/// A page of the versions in all stores, by source, set and number. One whose manifest does not verify is listed as `damaged`:
/// hiding it would look as if it had never been. A store that cannot be looked into is listed as `unknown`, where others can.
/// Expired and collected ones, and fences, are left out unless they are asked for.
pub(super) async fn list(api: &Api, which: Versions<'_>, page: &Page) -> Result<List<Version>, Problem> {
    let Listing { mut versions, refused } = unread(api, which.source, which.policy).await?;
    versions.retain(|version| is_wanted(&version.state, which));
    let mut all: Vec<Row> =
        refused.into_iter().map(Row::Refused).chain(versions.into_iter().map(Row::Version)).collect();
    all.sort_by_cached_key(Row::key);
    let page = page.cut(all, Order::Ascending, Row::key);
    let mut reads = Vec::with_capacity(page.items.len());
    for row in &page.items {
        reads.push(shown(api, row).boxed());
    }
    let mut items: Vec<Version> = stream::iter(reads).buffered(READS_AT_A_TIME).try_collect().await?;
    items.retain(|version| which.fences || version.quality != Quality::Fence);
    Ok(List { items, next_page_token: page.next_page_token })
}

fn is_wanted(state: &VersionState, which: Versions<'_>) -> bool {
    match state {
        VersionState { collected: true, .. } => which.collected,
        VersionState { expired: Some(_), .. } => which.expired,
        _ => true,
    }
}

async fn shown(api: &Api, row: &Row) -> Result<Version, Problem> {
    match row {
        Row::Version(version) => Ok(with_state(line(api, version).await?, &version.state, api.with.ages.undo)),
        Row::Refused(line) => Ok(line.clone()),
    }
}

/// What all stores list; a problem where none of them can be looked into: no versions would be another answer.
async fn unread(api: &Api, source: Option<&str>, set: Option<&str>) -> Result<Listing, Problem> {
    let (mut listing, mut looked, mut first) = (Listing::default(), false, None);
    let mut looks = Vec::new();
    for record in api.with.stores.records().await.map_err(answer)? {
        looks.push(async { (record.name.clone(), unread_in(api, record, source, set).await) }.boxed());
    }
    for (name, found) in join_all(looks).await {
        match found {
            Ok(versions) => {
                looked = true;
                listing.versions.extend(versions);
            }
            Err(problem) => {
                tracing::warn!(
                    store = name,
                    code = problem.code,
                    error = problem.detail,
                    "store cannot be looked into"
                );
                listing.refused.push(unknown(name, &problem));
                first = first.or(Some(problem));
            }
        }
    }
    match first {
        Some(problem) if !looked => Err(problem),
        _ => Ok(listing),
    }
}

async fn unread_in(
    api: &Api,
    record: StoreRecord,
    source: Option<&str>,
    set: Option<&str>,
) -> Result<Vec<Unread>, Problem> {
    let store = Arc::new(api.with.stores.same_soon(record).await.map_err(answer)?);
    let listed = find::listed(&store.objects, source, set).await;
    let listed = listed.map_err(|error| refused(503, "TM-CAT-0006", &error))?;
    let states = states(&store, &listed).await?;
    let mut found = Vec::with_capacity(listed.len());
    let mut before: Option<(VersionId, Listed)> = None;
    for (id, listed) in listed {
        let linked = before
            .filter(|(last, _)| last.source == id.source && last.set == id.set && last.number.0 + 1 == id.number.0);
        let stamps = (listed.stamp.clone(), linked.map(|(_, last)| last.stamp));
        let seen = Seen { repository: store.record.repository.clone(), id: id.clone(), stamps };
        let state = states.get(&id).cloned().unwrap_or_default();
        found.push(Unread { store: Arc::clone(&store), seen, state });
        before = Some((id, listed));
    }
    Ok(found)
}

/// States of these versions, those that have any. One that cannot be read is passed over: what it hid is shown.
async fn states(
    store: &OpenStore,
    listed: &[(VersionId, Listed)],
) -> Result<HashMap<VersionId, VersionState>, Problem> {
    let sets: BTreeSet<(&SourceId, &SetId)> = listed.iter().map(|(id, _)| (&id.source, &id.set)).collect();
    let mut all = HashMap::new();
    for (source, set) in sets {
        let states = VersionStates::new(Arc::clone(&store.objects), source.clone(), set.clone());
        let found = states.survey(|_| true).boxed().await.map_err(answer)?;
        for (number, error) in &found.damaged {
            let error = causes::joined(error);
            tracing::error!(source_id = %source, %set, %number, error, "the state of a version is damaged");
        }
        let id = |number| VersionId { source: source.clone(), set: set.clone(), number };
        all.extend(found.known.into_iter().map(|(number, state)| (id(number), state)));
    }
    Ok(all)
}

/// The line of a version, read where it is not known.
async fn line(api: &Api, version: &Unread) -> Result<Version, Problem> {
    let Unread { store, seen, .. } = version;
    if let Some(known) = api.known.line(seen) {
        return Ok(Version { store: store.record.name.clone(), ..(*known).clone() });
    }
    match version.set().read(seen.id.number).await {
        Ok(manifest) => {
            let line = show(store, &seen.id, &manifest);
            api.known.keep_line(seen, line.clone());
            Ok(line)
        }
        // The store stopped answering meanwhile: nothing is known of this one.
        Err(error) if error.is_retryable() => Ok(unread_line(store, &seen.id, &answer(error))),
        Err(error) => Ok(damaged(store, &seen.id, &error)),
    }
}

/// Most versions of a policy that are read for its newest complete one; numbers that hold none do not count.
const LOOKED_AT: usize = 100;

/// The newest versions of a policy.
#[derive(Debug, Default)]
pub(super) struct Newest {
    /// Of those that can be read.
    pub(super) any: Option<Version>,
    /// Of those whose objects are all proven complete, among the newest 100.
    pub(super) complete: Option<Version>,
}

impl Newest {
    /// When the newest one was committed.
    pub(super) fn committed(&self) -> Option<Timestamp> {
        self.any.as_ref().and_then(|version| version.committed)
    }
}

/// The newest versions of a policy that are not expired, in its store.
pub(super) async fn newest(api: &Api, policy: &PolicyRecord) -> Result<Newest, Problem> {
    let mut found = Newest::default();
    let listed = unread_of(api, policy).await?;
    let mut looked = 0;
    for version in listed.iter().rev().filter(|version| version.state.is_visible()) {
        let line = line(api, version).await?;
        looked += usize::from(!matches!(line.quality, Quality::Lost | Quality::Fence));
        if looked > LOOKED_AT {
            break;
        }
        match line.quality {
            Quality::Damaged | Quality::Lost | Quality::Fence | Quality::Unknown => continue,
            Quality::Exact | Quality::Cut => found.complete = Some(line.clone()),
            Quality::Degraded | Quality::Missing => {}
        }
        found.any.get_or_insert(line);
        if found.complete.is_some() {
            break;
        }
    }
    Ok(found)
}

/// Versions of a policy in its store, by number.
async fn unread_of(api: &Api, policy: &PolicyRecord) -> Result<Vec<Unread>, Problem> {
    let record = api.with.stores.record(policy.store.as_str()).await.map_err(answer)?;
    unread_in(api, record, Some(policy.source.as_str()), Some(policy.name.as_str())).await
}

/// Versions of a source that can be read and are not expired, with the objects they hold, oldest first. Damaged ones hold nothing for certain: they
/// are left out here, and shown by the list of versions and by verification; so are those of stores that do not answer, where
/// others can.
pub(super) async fn held(api: &Api, source: &SourceId) -> Result<Vec<(VersionId, Arc<Held>)>, Problem> {
    let all = unread(api, Some(source.as_str()), None).await?.versions;
    let mut reads = Vec::with_capacity(all.len());
    for version in all.iter().filter(|version| version.state.is_visible()) {
        reads.push(held_by(api, version).boxed());
    }
    let found: Vec<Option<_>> = stream::iter(reads).buffered(READS_AT_A_TIME).collect().await;
    let mut found: Vec<_> = found.into_iter().flatten().collect();
    found.sort_by(|(a, held_a), (b, held_b)| (held_a.committed, a).cmp(&(held_b.committed, b)));
    Ok(found)
}

async fn held_by(api: &Api, version: &Unread) -> Option<(VersionId, Arc<Held>)> {
    let id = &version.seen.id;
    if let Some(held) = api.known.held(&version.seen) {
        return Some((id.clone(), held));
    }
    match read_held(version).await {
        Ok(held) => Some((id.clone(), api.known.keep_held(&version.seen, held))),
        Err(failure) => {
            tracing::error!(version_id = %id, store = version.store.record.name, error = %failure, "version cannot be read");
            None
        }
    }
}

async fn read_held(version: &Unread) -> Result<Held, Failure> {
    let manifest = version.set().read(version.seen.id.number).await?;
    let lines = pages::read_lines(&version.store.objects, &manifest).await?;
    let held = lines.into_iter().filter(|line| line.entry.is_some());
    Ok(Held { committed: manifest.committed, objects: held.map(held_object).collect() })
}

fn held_object(line: ObjectLine) -> HeldObject {
    let complete = matches!(line.quality, entry::Quality::Exact | entry::Quality::Cut);
    HeldObject { object: line.object.to_string(), complete_before: complete.then_some(line.cut.from) }
}

/// One version with its objects; one that is damaged without them, with what is wrong.
pub(super) async fn one(api: &Api, id: &str) -> Result<VersionDetail, Problem> {
    let name = executors::version_name(id).map_err(answer)?;
    let (store, set) = api.with.version_place(&name).await.map_err(answer)?;
    let id = name.id;
    let manifest = match set.read(id.number).await {
        Ok(manifest) => manifest,
        Err(error) if error.is_retryable() => return Err(answer(error)),
        Err(error) => return Ok(VersionDetail { version: damaged(&store, &id, &error), contents: Vec::new() }),
    };
    let state = VersionStates::new(Arc::clone(&store.objects), id.source.clone(), id.set.clone()).get(id.number).await;
    let state = state.map_err(answer)?;
    collection::refuse_collected(&id, &state).map_err(answer)?;
    let lines = pages::read_lines(&store.objects, &manifest).await.map_err(answer)?;
    let version = with_state(show(&store, &id, &manifest), &state, api.with.ages.undo);
    Ok(VersionDetail { version, contents: lines.into_iter().map(show_object).collect() })
}
