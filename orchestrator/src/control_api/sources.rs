//! Sources: specification, preflight, objects.

mod objects;

use futures::{FutureExt as _, future::join_all};
use tidemark_catalog::ids::SourceId;
use tidemark_listener_core::{assignment::CheckRequest, check, source::Uses};
use tidemark_web::api::{
    AddSource, CheckLine, CheckStatus, Checklist, ListenerState, ListenerStatus, Policy, Problem, Source, Unconfirmed,
};

use super::{
    Api, policies,
    problems::{answer, check_name, taken},
    stores::checklist,
};
use crate::{
    executors,
    failure::Failure,
    listeners::{Attachment, Target},
    registrations::{POLICIES, PolicyRecord, SOURCES, SourceRecord},
    sources::Driver,
};

pub(super) use objects::objects;

pub(super) async fn add(api: &Api, request: AddSource) -> Result<Source, Problem> {
    check_name::<SourceId>("source", &request.name)?;
    let AddSource { name, kind, spec } = request;
    let driver = api.with.driver(&kind).map_err(answer)?;
    driver.validate(&spec).map_err(answer)?;
    let record = SourceRecord { name, kind, spec, imported_from: None };
    api.with.require_allowed(&record, &driver).await.map_err(answer)?;
    match api.registrations().create(SOURCES, &record.name, &record).await.map_err(answer)? {
        // What a store's mirror said gives way to the operator. That says nothing of its policies.
        Some(other) if !other.is_confirmed() => {
            replace(api, &other, &record).await?;
            Ok(show(api, record).await)
        }
        Some(other) if !other.says(&record) => Err(taken("TM-SRC-0409", "source", &record.name)),
        _ => Ok(show(api, record).await),
    }
}

async fn replace(api: &Api, known: &SourceRecord, record: &SourceRecord) -> Result<(), Problem> {
    let name = &record.name;
    if api.registrations().replace(SOURCES, name, known, record).await.map_err(answer)? {
        tracing::info!(source_id = name, store = known.imported_from, "source confirmed");
        return Ok(());
    }
    Err(Problem::conflict("TM-SRC-0409", format!("source {name} was changed meanwhile")))
}

/// Takes a source that came from a store's mirror for the operator's own, where the configuration allows what it names, with the
/// policies that came with it. Where it stops in between, those that are left are confirmed one by one.
pub(super) async fn confirm(api: &Api, name: &str) -> Result<Source, Problem> {
    let (record, driver) = api.with.registered(name).await.map_err(answer)?;
    driver.validate(&record.spec).map_err(answer)?;
    api.with.require_allowed(&record, &driver).await.map_err(answer)?;
    let shown = policies::that_come_with(api, &record).await?;
    let confirmed = SourceRecord { imported_from: None, ..record.clone() };
    replace(api, &record, &confirmed).await?;
    let store = record.imported_from.unwrap_or_default();
    let (policies, waiting) = policies::confirm_as_shown(api, &store, shown).await?;
    let names = |of: &[PolicyRecord]| of.iter().map(|policy| policy.name.to_string()).collect::<Vec<_>>().join(", ");
    tracing::info!(source_id = name, policies = names(&policies), waiting = names(&waiting), "policies confirmed");
    let [confirmed_policies, waiting_policies] =
        [policies, waiting].map(|policies| policies.into_iter().map(Policy::from).collect());
    Ok(Source { confirmed_policies, waiting_policies, ..show(api, confirmed).await })
}

pub(super) async fn list(api: &Api) -> Result<Vec<Source>, Problem> {
    let records: Vec<SourceRecord> = api.registrations().list(SOURCES).await.map_err(answer)?;
    Ok(join_all(records.into_iter().map(|record| show(api, record))).await)
}

pub(super) async fn one(api: &Api, name: &str) -> Result<Source, Problem> {
    let record: Option<SourceRecord> = api.registrations().get(SOURCES, name).await.map_err(answer)?;
    Ok(show(api, record.ok_or_else(|| answer(executors::unknown_source(name)))?).await)
}

/// A source with its listeners, as far as its driver can tell them now. Of one that may not be used nothing is asked: a driver may
/// read what it names.
async fn show(api: &Api, record: SourceRecord) -> Source {
    let listeners = listener_states(api, &record).await.unwrap_or_default();
    let uses = api.with.driver(&record.kind).ok().and_then(|driver| driver.uses(&record.spec).ok()).unwrap_or_default();
    let refused = api.with.allow.refused(uses.clone()).await;
    // Where they cannot be listed nothing is confirmed either.
    let policies = policies::that_come_with(api, &record).await.unwrap_or_default();
    let SourceRecord { name, kind, spec, imported_from } = record;
    let unconfirmed = imported_from.map(|store| show_unconfirmed(store, uses, policies));
    Source {
        name,
        kind,
        spec,
        listeners,
        unconfirmed,
        refused,
        confirmed_policies: Vec::new(),
        waiting_policies: Vec::new(),
    }
}

fn show_unconfirmed(store: String, uses: Uses, policies: Vec<PolicyRecord>) -> Unconfirmed {
    let Uses { programs, credentials, data, addresses } = uses;
    let line = |words: Vec<String>| words.iter().map(|word| plain(word)).collect::<Vec<_>>().join(" ");
    let runs = programs.into_iter().map(line).collect();
    let reads = credentials.into_iter().chain(data).map(|path| plain(&path.to_string_lossy())).collect();
    Unconfirmed { store, runs, reads, connects: addresses, policies: policies.into_iter().map(Policy::from).collect() }
}

/// A word as it is, or quoted and escaped where it could look like something else: whoever wrote it is not trusted.
fn plain(word: &str) -> String {
    let harmless = |c: char| c.is_ascii_alphanumeric() || "/._-:=@%+,".contains(c);
    if !word.is_empty() && word.chars().all(harmless) { word.to_owned() } else { format!("{word:?}") }
}

async fn listener_states(api: &Api, record: &SourceRecord) -> Result<Vec<ListenerState>, Failure> {
    let source = source_id(&record.name)?;
    let (record, driver) = api.with.source(&record.name).await?;
    let specs = driver.listeners(&record.spec).await?;
    let state = |id: String| {
        let attachment = api.with.listeners.state(&source, &id);
        show_listener(id, attachment)
    };
    Ok(specs.into_iter().map(|spec| state(spec.id)).collect())
}

fn show_listener(id: String, attachment: Attachment) -> ListenerState {
    let (state, version) = match attachment {
        Attachment::Attached { version } => (ListenerStatus::Attached, Some(version)),
        Attachment::Starting => (ListenerStatus::Starting, None),
        Attachment::Stopped => (ListenerStatus::Stopped, None),
    };
    ListenerState { id, state, version }
}

fn source_id(name: &str) -> Result<SourceId, Failure> {
    name.parse().map_err(|_| Failure::permanent("TM-SRC-0400", format!("{name:?} is not a name")))
}

/// Preflight of the source and of all its listeners, with the store and the objects that its policies name.
pub(super) async fn test(api: &Api, name: &str) -> Result<Checklist, Problem> {
    let (record, driver) = api.with.source(name).await.map_err(answer)?;
    let mut lines = driver.check(&record.spec).await;
    match targets(api, &record, &driver).await {
        Ok((targets, request)) => {
            let mut checks = Vec::with_capacity(targets.len());
            for target in &targets {
                checks.push(api.with.listeners.check(target, &request).boxed());
            }
            lines.extend(join_all(checks).await.into_iter().flatten());
        }
        Err(failure) => {
            let hint = failure.hint.as_deref().unwrap_or("listeners cannot be checked before this is mended");
            lines.push(check::Line::fail("listeners", name, failure.message.clone(), hint));
        }
    }
    Ok(checklist(lines.into_iter().map(show_line).collect()))
}

async fn targets(api: &Api, record: &SourceRecord, driver: &Driver) -> Result<(Vec<Target>, CheckRequest), Failure> {
    let source = source_id(&record.name)?;
    let policies: Vec<PolicyRecord> = api.registrations().list(POLICIES).await?;
    let own = |policy: &PolicyRecord| policy.source == source && policy.is_confirmed();
    let policies: Vec<_> = policies.into_iter().filter(own).collect();
    let store = match policies.first() {
        Some(policy) => Some(api.with.stores.get(policy.store.as_str()).await?),
        None => api.with.stores.first().await?,
    };
    let store = store.map(|store| api.with.stores.listener_store(&store.record)).transpose()?;
    let target = |spec| Target { source: source.clone(), spec, store: store.clone() };
    let targets = driver.listeners(&record.spec).await?.into_iter().map(target).collect();
    let excludes = excluded_by_all(&policies);
    let objects = policies.into_iter().flat_map(|policy| policy.objects).collect();
    Ok((targets, CheckRequest { needs: Vec::new(), store: store.is_some(), objects, excludes }))
}

/// What every policy excludes: what only some exclude may be named by another.
fn excluded_by_all(policies: &[PolicyRecord]) -> Vec<String> {
    let Some((first, others)) = policies.split_first() else { return Vec::new() };
    let by_all = |text: &&String| others.iter().all(|other| other.excludes.contains(text));
    first.excludes.iter().filter(by_all).cloned().collect()
}

/// A line as the API shows it.
pub(super) fn show_line(line: check::Line) -> CheckLine {
    let status = match line.status {
        check::Status::Ok => CheckStatus::Ok,
        check::Status::Warn => CheckStatus::Warn,
        check::Status::Fail => CheckStatus::Fail,
    };
    let check::Line { name, subject, detail, hint, .. } = line;
    CheckLine { name, subject, status, detail, hint }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_unconfirmed_source_would_run_cannot_be_shown_as_something_else() {
        let programs = vec![["sh", "-c", "rm -rf /", "\u{1b}[2J", ""].map(str::to_owned).to_vec()];
        let uses = Uses {
            programs,
            credentials: vec!["/etc/a\nb".into()],
            data: vec!["/data".into()],
            addresses: vec!["h:9042".to_owned()],
        };
        let shown = show_unconfirmed("s".to_owned(), uses, Vec::new());
        assert_eq!(shown.runs, [r#"sh -c "rm -rf /" "\u{1b}[2J" """#]);
        assert_eq!(shown.reads, [r#""/etc/a\nb""#, "/data"]);
        assert_eq!(shown.connects, ["h:9042"]);
    }
}
