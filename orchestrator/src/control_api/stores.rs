//! Stores: preflight, repository, generation, and what comes back from them.

mod accept;
mod change;
mod learn;

pub(super) use accept::accept;
pub(super) use change::change;
pub(crate) use learn::take_over;
use learn::{Learned, learn};

use std::{path::PathBuf, sync::Arc};

use object_store::ObjectStore;
use tidemark_catalog::{ids::StoreId, repository};
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
    registrations::{CommitMode, STORES, StoreRecord},
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
    let Learned { taken_over, mut warnings } = learn(api, &store).await?;
    warnings.extend(accept::told_words(&store).await?);
    match api.registrations().create(STORES, &store.record.name, &store.record).await.map_err(answer)? {
        Some(other) if other != store.record => Err(taken("TM-STORE-0409", "store", &other.name)),
        _ => Ok(Store { taken_over: Some(taken_over), warnings, ..show(api, store.record) }),
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
    Store {
        name,
        url,
        repository,
        commit_mode,
        limits: limits::show(limits),
        limit_now,
        taken_over: None,
        warnings: Vec::new(),
    }
}
