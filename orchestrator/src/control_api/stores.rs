//! Stores: preflight, repository, generation, and what comes back from them.

mod accept;
mod change;

pub(super) use accept::accept;
pub(super) use change::change;

use std::{collections::BTreeMap, path::PathBuf, sync::Arc};

use object_store::ObjectStore;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tidemark_catalog::{config_mirror, ids::StoreId, repository};
use tidemark_gateway::{causes, preflight};
use tidemark_listener_core::source::Uses;
use tidemark_web::{
    api::{self, AddStore, CheckLine, CheckStatus, Checklist, Problem, Store},
    control::Tagged,
};

use super::{
    Api, limits,
    problems::{answer, check_name, refused, taken},
};
use crate::{
    failure::Failure,
    generation,
    limits::LimitsSpec,
    registrations::{CommitMode, POLICIES, PolicyRecord, SOURCES, STORES, SourceRecord, StoreRecord},
    stores::{self, OpenStore, identity::Damaged},
};

/// Registers a store. Each step is safe to do again; the registration comes last.
pub(super) async fn add(api: &Api, request: AddStore) -> Result<Store, Problem> {
    check_name::<StoreId>("store", &request.name)?;
    if let Some(known) = api.registrations().get::<StoreRecord>(STORES, &request.name).await.map_err(answer)? {
        return if is(&known, &request) {
            Ok(show(api, known))
        } else {
            let taken = taken("TM-STORE-0409", "store", &request.name);
            Err(taken.with_hint("tidemark store edit changes its limits; another store needs another name"))
        };
    }
    let opened = open(api, request).await?;
    let report = preflight::run(&opened.objects, &api.with.env).await;
    report.map_err(|error| unsafe_store(&opened.record.name, &error))?;
    let record = with_repository(api, opened.record, &opened.objects).await?;
    let proven = api.with.stores.prove_checksums(&record).await.map_err(answer)?;
    let checksums = proven.is_some_and(|line| line.outcome == preflight::Outcome::Passed);
    let store = OpenStore { record: StoreRecord { checksums, ..record }, ..opened };
    api.with.stores.prove_again(&store).await.map_err(answer)?;
    attach(api, &store).await?;
    let warnings = learn(api, &store).await?;
    match api.registrations().create(STORES, &store.record.name, &store.record).await.map_err(answer)? {
        Some(other) if other != store.record => Err(taken("TM-STORE-0409", "store", &other.name)),
        _ => Ok(Store { warnings, ..show(api, store.record) }),
    }
}

/// Whether a registration is what is asked for; limits only where any are.
fn is(known: &StoreRecord, request: &AddStore) -> bool {
    let limits = request.limits.is_none() || limits::show(known.limits.clone()) == request.limits;
    let same = (&known.url, &known.credentials, &known.listener_credentials)
        == (&request.url, &request.credentials, &request.listener_credentials);
    same && limits
}

/// Limits that are sound.
fn read_limits(limits: Option<api::Limits>) -> Result<LimitsSpec, Problem> {
    limits::read(limits).map_err(|error| refused(400, "TM-STORE-0400", &error).with_hint(limits::HINT))
}

async fn open(api: &Api, request: AddStore) -> Result<OpenStore, Problem> {
    let AddStore { name, url, credentials, listener_credentials, limits } = request;
    let limits = read_limits(limits)?;
    let (repository, commit_mode) = (String::new(), CommitMode::AtomicCreate);
    let checksums = false;
    let record =
        StoreRecord { name, url, credentials, listener_credentials, repository, commit_mode, checksums, limits };
    let files = [&record.credentials, &record.listener_credentials].into_iter().flatten();
    let credentials = files.filter_map(|reference| reference.strip_prefix("file:")).map(PathBuf::from).collect();
    let refused_files = api.with.allow.refused(Uses { credentials, ..Uses::default() }).await;
    if !refused_files.is_empty() {
        return Err(Problem::refused("TM-SRC-0011", format!("store {}: {}", record.name, refused_files.join("; ")))
            .with_hint(
                "name it in the section [allow] of the daemon's configuration file, if it is right, and restart",
            ));
    }
    // A reference that leads nowhere shows now and not in the first capture.
    stores::listener_secrets(&record).map_err(answer)?;
    api.with.stores.open_new(record).map_err(|error| match &error {
        stores::Error::Url { .. } => refused(400, "TM-STORE-0400", &error)
            .with_hint("file:///dir, s3://bucket/prefix?endpoint=http://host:port&region=r, or memory:"),
        _ => answer(error),
    })
}

fn unsafe_store(name: &str, error: &preflight::Error) -> Problem {
    let status = if error.is_retryable() { 503 } else { 422 };
    let words = format!("store {name}: {}", causes::joined(error));
    Problem::new(status, "TM-STORE-0102", words).with_hint(format!("the preflight failed at {}", error.property()))
}

async fn with_repository(
    api: &Api,
    record: StoreRecord,
    objects: &Arc<dyn ObjectStore>,
) -> Result<StoreRecord, Problem> {
    let repository = repository::create_or_open(objects, &api.with.env).await.map_err(answer)?;
    let (id, commit_mode) = (repository.id.to_string(), repository.commit_mode.into());
    let record = StoreRecord { repository: id, commit_mode, ..record };
    let registered: Vec<StoreRecord> = api.registrations().list(STORES).await.map_err(answer)?;
    match registered.into_iter().find(|other| other.repository == record.repository && other.name != record.name) {
        Some(other) => Err(Problem::conflict(
            "TM-STORE-0409",
            format!("the repository at {} is registered already, as store {}", record.url, other.name),
        )),
        None => Ok(record),
    }
}

async fn attach(api: &Api, store: &OpenStore) -> Result<(), Problem> {
    let taken = generation::attach(&*api.coordinator, &store.record.repository, &store.objects, &api.with.env).await;
    let generation = taken.map_err(|error| answer(stores::generations_failed(store, error)))?;
    tracing::info!(store = store.record.name, generation, "store attached");
    Ok(())
}

/// Takes what the store holds for what is known of it, and brings back what its mirror has; gives what could not be read, which
/// stops nothing else.
async fn learn(api: &Api, store: &OpenStore) -> Result<Vec<String>, Problem> {
    let damaged = api.with.stores.learn(store).await.map_err(answer)?;
    let mut warnings: Vec<String> = damaged.iter().map(|damaged| format!("{}: {damaged}", damaged.code())).collect();
    warnings.extend(take_over(api, store).await?);
    for warning in &warnings {
        tracing::warn!(store = store.record.name, warning, "the store is used without this");
    }
    Ok(warnings)
}

/// Brings back sources and policies that the store's mirror holds and that are not registered here. Who can write to the store
/// can write the mirror: they are marked, and before an operator confirms them nothing that a source names is used, and nothing that
/// a policy says is done.
async fn take_over(api: &Api, store: &OpenStore) -> Result<Vec<String>, Problem> {
    let mut warnings = Vec::new();
    let mut sources = BTreeMap::new();
    let imported_from = Some(store.record.name.clone());
    for (id, source) in mirrored::<SourceRecord>(store, "sources", &mut warnings).await? {
        let source = SourceRecord { imported_from: imported_from.clone(), ..source };
        api.registrations().create(SOURCES, &id, &source).await.map_err(answer)?;
        sources.insert(id, source);
    }
    let own: StoreId = check_name("store", &store.record.name)?;
    for (id, policy) in mirrored::<PolicyRecord>(store, "policies", &mut warnings).await? {
        if is_of_another_source(api, &policy, &sources).await? {
            let source = &policy.source;
            warnings.push(format!(
                "TM-STORE-0106: mirrored policies {id} is not taken over: source {source} is another one here"
            ));
            continue;
        }
        // The mirror is in the policy's own store, by whatever name that was registered before.
        let policy = PolicyRecord { store: own.clone(), imported_from: imported_from.clone(), ..policy };
        api.registrations().create(POLICIES, policy.name.as_str(), &policy).await.map_err(answer)?;
    }
    Ok(warnings)
}

/// Whether a policy that is not registered here is of a source that the operator knows, and the mirror does not: it says nothing
/// about that one.
async fn is_of_another_source(
    api: &Api,
    policy: &PolicyRecord,
    mirrored: &BTreeMap<String, SourceRecord>,
) -> Result<bool, Problem> {
    let registered: Option<PolicyRecord> =
        api.registrations().get(POLICIES, policy.name.as_str()).await.map_err(answer)?;
    let known: Option<SourceRecord> = api.registrations().get(SOURCES, policy.source.as_str()).await.map_err(answer)?;
    let same = |known: &SourceRecord| mirrored.get(policy.source.as_str()).is_some_and(|source| source.says(known));
    Ok(registered.is_none() && known.is_some_and(|known| known.is_confirmed() && !same(&known)))
}

/// The items of a kind in the mirror, by id. One that cannot be read is a warning.
async fn mirrored<T: DeserializeOwned>(
    store: &OpenStore,
    kind: &str,
    warnings: &mut Vec<String>,
) -> Result<Vec<(String, T)>, Problem> {
    let found = config_mirror::latest(&store.objects, kind).await;
    let found = found.map_err(|error| refused(503, "TM-STORE-0105", &error))?;
    let mut unread = |id: &str, why: String| {
        warnings.push(format!("TM-STORE-0106: mirrored {kind} {id} is not taken over: {why}"));
    };
    for (id, error) in &found.problems {
        unread(id, causes::joined(error));
    }
    let mut items = Vec::new();
    for (id, value) in found.items {
        match named(&id, value) {
            Ok(item) => items.push((id, item)),
            Err(why) => unread(&id, why),
        }
    }
    Ok(items)
}

/// An item that has the name it is stored under.
fn named<T: DeserializeOwned>(id: &str, value: Value) -> Result<T, String> {
    let name = value.get("name").and_then(Value::as_str).unwrap_or_default().to_owned();
    let item = serde_json::from_value(value).map_err(|error| error.to_string())?;
    if name == id { Ok(item) } else { Err(format!("it says it is {name:?}")) }
}

pub(super) async fn list(api: &Api) -> Result<Vec<Store>, Problem> {
    let records = api.registrations().list(STORES).await.map_err(answer)?;
    Ok(records.into_iter().map(|record| show(api, record)).collect())
}

pub(super) async fn one(api: &Api, name: &str) -> Result<Tagged<Store>, Problem> {
    Ok(change::tagged(api, api.with.stores.record(name).await.map_err(answer)?))
}

/// Looks whether the store is still the one that was registered, and runs the preflight again. Nothing is written to another
/// one.
pub(super) async fn test(api: &Api, name: &str) -> Result<Checklist, Problem> {
    let store = match api.with.stores.unproven(name).await {
        Err(error @ stores::Error::Emptied { .. }) => return Ok(checklist(vec![other_store(name, error)])),
        store => store.map_err(answer)?,
    };
    let damaged = match api.with.stores.prove_all(&store).await {
        Err(error) => return Ok(checklist(vec![other_store(name, error)])),
        Ok(damaged) => damaged,
    };
    let mut lines = vec![same_store(name, &store)];
    lines.extend(damaged.iter().map(|damaged| damaged_set(name, damaged)));
    lines.extend(properties(api, name, &store).await?);
    Ok(checklist(lines))
}

fn same_store(name: &str, store: &OpenStore) -> CheckLine {
    CheckLine {
        name: "identity".to_owned(),
        subject: name.to_owned(),
        status: CheckStatus::Ok,
        detail: format!("repository {}, with all that is known to be in it", store.record.repository),
        hint: None,
    }
}

fn damaged_set(store: &str, damaged: &Damaged) -> CheckLine {
    let Damaged { source_id, set, .. } = damaged;
    CheckLine {
        name: "versions".to_owned(),
        subject: format!("{source_id}.{set}"),
        status: CheckStatus::Warn,
        detail: format!("{}: {damaged}", damaged.code()),
        hint: Some(format!("tidemark version repair {source_id}.{set} --store {store}")),
    }
}

fn other_store(name: &str, error: stores::Error) -> CheckLine {
    let failure = Failure::from(error);
    CheckLine {
        name: "identity".to_owned(),
        subject: name.to_owned(),
        status: CheckStatus::Fail,
        detail: failure.to_string(),
        hint: failure.hint,
    }
}

async fn properties(api: &Api, name: &str, store: &OpenStore) -> Result<Vec<CheckLine>, Problem> {
    Ok(match preflight::run(&store.objects, &api.with.env).await {
        Ok(report) => {
            let checksums = api.with.stores.prove_checksums(&store.record).await.map_err(answer)?;
            report.lines.into_iter().chain(checksums).map(|line| show_line(name, line)).collect()
        }
        Err(error) => vec![failed(name, &error)],
    })
}

fn show_line(store: &str, line: preflight::Line) -> CheckLine {
    let status = match line.outcome {
        preflight::Outcome::Passed => CheckStatus::Ok,
        preflight::Outcome::Warned => CheckStatus::Warn,
    };
    CheckLine { name: line.name.to_owned(), subject: store.to_owned(), status, detail: line.detail, hint: None }
}

fn failed(store: &str, error: &preflight::Error) -> CheckLine {
    CheckLine {
        name: error.property().to_owned(),
        subject: store.to_owned(),
        status: CheckStatus::Fail,
        detail: causes::joined(error),
        hint: Some("versions are not safe on a store without this".to_owned()),
    }
}

/// The lines with their worst status.
pub(super) fn checklist(lines: Vec<CheckLine>) -> Checklist {
    let status = lines.iter().map(|line| line.status).max().unwrap_or(CheckStatus::Ok);
    Checklist { status, lines }
}

fn show(api: &Api, record: StoreRecord) -> Store {
    let StoreRecord { name, url, repository, commit_mode, limits, .. } = record;
    let limit_now = limits::now(&limits, api.with.env.now());
    let commit_mode = match commit_mode {
        CommitMode::AtomicCreate => api::CommitMode::AtomicCreate,
    };
    Store { name, url, repository, commit_mode, limits: limits::show(limits), limit_now, warnings: Vec::new() }
}
