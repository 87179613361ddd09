//! What becomes of versions after their commit, what is stored, and what collection would free.

use std::{collections::BTreeSet, sync::Arc};

use futures::{FutureExt as _, TryStreamExt as _};
use tidemark_catalog::{
    chain::VersionSet,
    collect::{self, Class, Collector, Leftover, Line, Sum, Survey},
    find,
    ids::{FencingToken, SourceId, StoreId, VersionId},
    states::{By, Change, VersionStates},
};
use tidemark_gateway::causes;
use tidemark_web::{
    api::{
        ChangeVersion, Collect, GcItem, GcPreview, ObjectUsage, Problem, SourceUsage, StoreUsage, Stored, Version,
        VersionSize,
    },
    control::VersionChange,
};

use super::{
    Api,
    problems::{answer, check_name, refused},
    sets, versions,
};
use crate::{
    collect_task::{self, leftovers::Nobodys, live},
    executors,
    stores::OpenStore,
    tasks::Submit,
    version_name::VersionName,
};

/// Most objects that a preview names.
const ITEMS: usize = 10_000;

/// Longest reason, bytes.
const REASON_BYTES: usize = 1024;

/// Expires, holds or releases a version; gives its line.
pub(super) async fn change(
    api: &Api,
    id: &str,
    what: VersionChange,
    change: ChangeVersion,
) -> Result<Version, Problem> {
    let ChangeVersion { reason } = change;
    if reason.len() > REASON_BYTES {
        let words = format!("reason has {} bytes, more than {REASON_BYTES}", reason.len());
        return Err(Problem::bad_request("TM-API-0400", words));
    }
    let name = executors::version_name(id).map_err(answer)?;
    let (store, line) = line(api, &name).boxed().await?;
    let id = name.id;
    let states = VersionStates::new(Arc::clone(&store.objects), id.source.clone(), id.set.clone());
    let token = FencingToken { generation: api.coordinator.generation(), revision: 0 };
    let by = By { token, who: "operator", env: &api.with.env };
    let change = match what {
        VersionChange::Expire => Change::Expire { reason },
        VersionChange::Unexpire => Change::Unexpire { reason },
        VersionChange::Hold => Change::Hold { reason },
        VersionChange::Release => Change::Release,
    };
    let state = states.change(id.number, &change, by).await.map_err(answer)?;
    Ok(versions::with_state(line, &state, api.with.ages.undo))
}

/// The store and the line of a version. A number whose manifest cannot be read, or is another one than was committed, is a line too: it
/// can be given up, so that the others are collected without it.
async fn line(api: &Api, name: &VersionName) -> Result<(OpenStore, Version), Problem> {
    let unread = match api.with.version(name, None).await {
        Ok(found) => return Ok((found.store.clone(), versions::show(&found.store, &name.id, &found.manifest))),
        Err(failure) => answer(failure),
    };
    let VersionId { source, set, number } = &name.id;
    let store = name.store.as_ref().map(StoreId::as_str);
    let Ok(store) = sets::place(api, source, set, store).await else { return Err(unread) };
    let chain = VersionSet::new(Arc::clone(&store.objects), source.clone(), set.clone());
    let newest = chain.list().await.map_err(answer)?.last().copied();
    match chain.prove(*number).await {
        Err(error) if error.is_damage() && Some(*number) <= newest => {
            let line = versions::damaged(&store, &name.id, &error);
            Ok((store, line))
        }
        _ => Err(unread),
    }
}

/// What deleting a version would free.
pub(super) async fn size(api: &Api, id: &str) -> Result<VersionSize, Problem> {
    let name = executors::version_name(id).map_err(answer)?;
    let found = api.with.version(&name, None).await.map_err(answer)?;
    let version = name.id;
    let only = BTreeSet::from([version.clone()]);
    let survey = survey(api, &found.store, &version.source, &only, &mut |_| {}).await?;
    Ok(VersionSize { id: version.to_string(), frees: stored(survey.frees) })
}

/// What is stored of each source.
pub(super) async fn usage(api: &Api, name: &str) -> Result<StoreUsage, Problem> {
    let store = api.with.stores.get(name).await.map_err(answer)?;
    let mut sources = Vec::new();
    for source in sources_of(&store, None).await? {
        sources.push(match survey(api, &store, &source, &BTreeSet::new(), &mut |_| {}).await {
            Ok(survey) => source_usage(&source, survey),
            Err(problem) if problem.status == 503 => return Err(problem),
            Err(problem) => {
                let usage = source_usage(&source, Survey::default());
                SourceUsage { problem: Some(format!("{}: {}", problem.code, problem.detail)), ..usage }
            }
        });
    }
    Ok(StoreUsage { store: name.to_owned(), sources })
}

/// What collections would free, object by object.
pub(super) async fn preview(api: &Api, name: &str, source: Option<&str>, all: bool) -> Result<GcPreview, Problem> {
    let store = api.with.stores.get(name).await.map_err(answer)?;
    let mut preview =
        GcPreview { store: name.to_owned(), frees: Stored::default(), items: vec![], left_out: 0, problems: vec![] };
    if source.is_none() {
        add_leftovers(api, &store, all, &mut preview).await?;
    }
    for source in sources_of(&store, source).await? {
        let (mut items, mut left_out, room) = (Vec::new(), 0, ITEMS - preview.items.len());
        let mut each = |line: Line| {
            let item = item(line);
            if !all && item.frees_bytes == 0 {
                return;
            }
            if items.len() < room { items.push(item) } else { left_out += 1 }
        };
        match survey(api, &store, &source, &BTreeSet::new(), &mut each).await {
            Ok(Survey { marked, garbage, .. }) => {
                for sum in [marked, garbage] {
                    preview.frees.objects += sum.objects;
                    preview.frees.bytes += sum.bytes;
                }
                preview.items.extend(items);
                preview.left_out += left_out;
            }
            Err(problem) if problem.status == 503 => return Err(problem),
            Err(problem) => preview.problems.push(format!("{source}: {}: {}", problem.code, problem.detail)),
        }
    }
    Ok(preview)
}

/// Uploads that nobody will end, and objects of probes.
async fn add_leftovers(api: &Api, store: &OpenStore, all: bool, preview: &mut GcPreview) -> Result<(), Problem> {
    let nobodys = Nobodys::of(&api.with, store).await.map_err(answer)?;
    let mut found = collect::leftovers(&store.objects, &store.unfinished);
    loop {
        match found.try_next().await {
            Ok(Some(leftover)) => add_leftover(preview, &leftover, &nobodys, all),
            Ok(None) => return Ok(()),
            Err(error) => {
                preview.problems.push(format!("uploads that were not ended: {}", causes::joined(&error)));
                return Ok(());
            }
        }
    }
}

fn add_leftover(preview: &mut GcPreview, leftover: &Leftover, nobodys: &Nobodys, all: bool) {
    let (goes, bytes) = (nobodys.has(leftover), leftover.bytes().unwrap_or(0));
    if goes {
        preview.frees.objects += 1;
        preview.frees.bytes += bytes;
    } else if !all {
        return;
    }
    if preview.items.len() == ITEMS {
        preview.left_out += 1;
        return;
    }
    let after = (!goes).then(|| nobodys.from(leftover));
    let frees_bytes = if goes { bytes } else { 0 };
    let (name, serves) = (leftover.path().to_string(), format!("nothing: {leftover}"));
    preview.items.push(GcItem { name, bytes, frees_bytes, serves, after });
}

/// The task that collects.
pub(super) async fn submit(api: &Api, request: Collect) -> Result<Submit, Problem> {
    let store: StoreId = check_name("store", &request.store)?;
    let source: Option<SourceId> = request.source.as_deref().map(|name| check_name("source", name)).transpose()?;
    api.with.stores.get(store.as_str()).await.map_err(answer)?;
    Ok(collect_task::submit(store, source))
}

/// Sources with anything in the store, sorted; one of them where it is named.
async fn sources_of(store: &OpenStore, only: Option<&str>) -> Result<Vec<SourceId>, Problem> {
    let only: Option<SourceId> = only.map(|name| check_name("source", name)).transpose()?;
    let found = find::sources(&store.objects).await.map_err(|error| refused(503, "TM-CAT-0006", &error))?;
    match only {
        Some(only) if !found.contains(&only) => {
            let words = format!("store {} holds nothing of source {only}", store.record.name);
            Err(Problem::not_found("TM-SRC-0404", words))
        }
        only => Ok(found.into_iter().filter(|source| only.as_ref().is_none_or(|only| only == source)).collect()),
    }
}

async fn survey(
    api: &Api,
    store: &OpenStore,
    source: &SourceId,
    without: &BTreeSet<VersionId>,
    each: &mut (dyn FnMut(Line) + Send),
) -> Result<Survey, Problem> {
    let live = live::known(&api.with, store, source).boxed().await.map_err(answer)?;
    let with = &api.with;
    let collector = Collector::new(&store.objects, source, &live, with.ages, &with.node, &with.env);
    collector.survey(without, each).boxed().await.map_err(answer)
}

fn stored(sum: Sum) -> Stored {
    Stored { objects: sum.objects, bytes: sum.bytes }
}

fn source_usage(source: &SourceId, survey: Survey) -> SourceUsage {
    let usage = |(object, sum): (_, Sum)| ObjectUsage { object: ToString::to_string(&object), stored: stored(sum) };
    SourceUsage {
        source: source.to_string(),
        total: stored(survey.total()),
        versions: stored(survey.versions),
        expired: stored(survey.expired),
        pinned: stored(survey.pinned),
        staged_kept: stored(survey.staged_kept),
        operations: stored(survey.tasks),
        marked: stored(survey.marked),
        garbage: stored(survey.garbage),
        young: stored(survey.young),
        lasting: stored(survey.lasting),
        foreign: stored(survey.foreign),
        staged: stored(survey.staged),
        segments: stored(survey.segments),
        objects: survey.by_object.into_iter().map(usage).collect(),
        problem: None,
    }
}

/// What an object serves, in words.
fn item(line: Line) -> GcItem {
    let (mut goes, mut after) = (false, None);
    let serves = match line.class {
        Class::Versions { first, count: 1 } => format!("version {first}"),
        Class::Versions { first, count } => format!("version {first} and {} more", count - 1),
        Class::Expired { version, after: until } => {
            after = until;
            let held = if until.is_none() { ", which is held" } else { "" };
            format!("expired version {version}{held}")
        }
        Class::Pinned { version } => format!("collected version {version}, which is being read"),
        Class::Staged { version } => format!("staged, kept with version {version}"),
        Class::Task { task } => format!("operation {task}"),
        Class::Marked { round } => {
            goes = true;
            format!("nothing: marked in round {round}")
        }
        Class::Garbage { why } => {
            goes = true;
            format!("nothing: {why}")
        }
        Class::Young { until } => {
            after = Some(until);
            "nothing that is known".to_owned()
        }
        Class::Lasting => "the store: it stays".to_owned(),
        Class::Foreign => "not ours: it stays".to_owned(),
    };
    let frees_bytes = if goes { line.bytes } else { 0 };
    GcItem { name: line.path.to_string(), bytes: line.bytes, frees_bytes, serves, after }
}
