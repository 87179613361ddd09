//! What a daemon carries from one state of the coordinator to another: registered stores, and the sources and policies that an
//! operator has said or confirmed.
//!
//! A daemon writes it down in its state directory (`registered.json`) as it changes. When it finds itself on a state that lacks some of
//! it — etcd was wiped or put back, a daemon by itself became one of a cluster, or the other way round — it registers again what is
//! absent. With a store comes what the store's mirror holds; of that nothing is used before an operator confirms it, but what this
//! daemon knows to have been confirmed and the mirror still says is confirmed at once.
//!
//! Nothing that is registered is replaced. A store that is away is tried again; one that holds another repository by now is refused and
//! named. What could not be brought back yet stays in the file.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use futures::future::select_all;
use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;

use crate::{
    control_api::{Api, bring_back},
    coordinator::{self, Revision, Watch},
    failure::Failure,
    registrations::{self, POLICIES, PolicyRecord, SOURCES, STORES, SourceRecord, StoreRecord},
    state_file,
};

/// Name of the file in the state directory.
pub(crate) const FILE: &str = "registered.json";

/// Longest time between two looks.
const LOOK: Duration = Duration::from_secs(30);

/// Time until what failed is tried again.
const RETRY: Duration = Duration::from_secs(3);

/// What is carried, each by name. It holds no secret.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Registered {
    stores: BTreeMap<String, StoreRecord>,
    /// Confirmed ones.
    sources: BTreeMap<String, SourceRecord>,
    /// Confirmed ones.
    policies: BTreeMap<String, PolicyRecord>,
}

/// Carries what is registered until `stop`.
pub(crate) async fn run(api: Api, state: PathBuf, stop: CancellationToken) {
    let mut carried = Carried::open(api, &state);
    while !stop.is_cancelled() {
        let looked = tokio::select! {
            () = stop.cancelled() => return,
            looked = carried.look() => looked,
        };
        let wait = match looked {
            Ok(changes) => changes,
            Err(error) => {
                tracing::debug!(%error, "what is registered is not known, asking again");
                Changes::default()
            }
        };
        tokio::select! {
            () = stop.cancelled() => return,
            () = wait.next() => {}
        }
    }
}

/// What this daemon carries.
pub(crate) struct Carried {
    api: Api,
    file: PathBuf,
    /// As the file has it.
    kept: Registered,
    /// What was said of stores that cannot be brought back: once each.
    said: BTreeSet<String>,
}

/// What may change next; nothing where it is only tried again.
#[derive(Default)]
pub(crate) struct Changes(Vec<Watch>);

impl Changes {
    async fn next(self) {
        if self.0.is_empty() {
            return tokio::time::sleep(RETRY).await;
        }
        let mut watches = self.0;
        let any = select_all(watches.iter_mut().map(|watch| Box::pin(watch.next())));
        let _ = tokio::time::timeout(LOOK, any).await;
    }
}

impl Carried {
    /// What the file in this state directory says.
    pub(crate) fn open(api: Api, state: &Path) -> Self {
        let file = state.join(FILE);
        Self { api, kept: read(&file), file, said: BTreeSet::new() }
    }

    /// Brings back what is absent, and writes down what is there; what to wait for then.
    pub(crate) async fn look(&mut self) -> Result<Changes, Failure> {
        let is_whole = self.bring_back().await?;
        let (_, now) = self.api.coordinator().list(STORES, 1, None).await.map_err(unread)?;
        let there = self.registered().await?;
        let there = if is_whole { there } else { there.and(&self.kept) };
        if there != self.kept {
            match state_file::write(&self.file, &there) {
                Ok(()) => self.kept = there,
                Err(error) => {
                    let path = self.file.display();
                    tracing::warn!(%path, %error, "what is registered is not written down");
                }
            }
        }
        if is_whole { self.changes(now + 1).await } else { Ok(Changes::default()) }
    }

    async fn changes(&self, from: Revision) -> Result<Changes, Failure> {
        let mut watches = Vec::new();
        for prefix in [STORES, SOURCES, POLICIES] {
            watches.push(self.api.coordinator().watch(prefix, from).await.map_err(unread)?);
        }
        Ok(Changes(watches))
    }

    /// What is registered and confirmed now.
    async fn registered(&self) -> Result<Registered, Failure> {
        let registrations = self.api.registrations();
        let stores: Vec<StoreRecord> = registrations.list(STORES).await?;
        let sources: Vec<SourceRecord> = registrations.list(SOURCES).await?;
        let policies: Vec<PolicyRecord> = registrations.list(POLICIES).await?;
        let sources = sources.into_iter().filter(SourceRecord::is_confirmed);
        let policies = policies.into_iter().filter(PolicyRecord::is_confirmed);
        Ok(Registered {
            stores: stores.into_iter().map(|store| (store.name.clone(), store)).collect(),
            sources: sources.map(|source| (source.name.clone(), source)).collect(),
            policies: policies.map(|policy| (policy.name.to_string(), policy)).collect(),
        })
    }

    /// Registers again what is kept and not there; true where all of it could be.
    async fn bring_back(&mut self) -> Result<bool, Failure> {
        let there = self.registered().await?;
        let absent: Vec<_> =
            self.kept.stores.values().filter(|store| !there.stores.contains_key(&store.name)).cloned().collect();
        let mut is_whole = true;
        for store in absent {
            match bring_back(&self.api, &store).await {
                Ok(()) => tracing::warn!(store = store.name, "the store was not registered any more, and is again"),
                Err(problem) => {
                    is_whole = false;
                    let said = format!("{}: {}", store.name, problem.detail);
                    if self.said.insert(said) {
                        let (code, detail) = (&problem.code, &problem.detail);
                        tracing::error!(
                            store = store.name,
                            code,
                            detail,
                            "the store is not registered any more, and could not be again"
                        );
                    }
                }
            }
        }
        for source in self.kept.sources.values() {
            self.source(source).await?;
        }
        for policy in self.kept.policies.values() {
            self.policy(policy).await?;
        }
        Ok(is_whole)
    }

    /// Registers a source again that is absent, and confirms one that a mirror brought back as it was.
    async fn source(&self, kept: &SourceRecord) -> Result<(), Failure> {
        let registrations = self.api.registrations();
        let known: Option<SourceRecord> = registrations.create(SOURCES, &kept.name, kept).await?;
        let Some(known) = known else {
            tracing::warn!(source_id = kept.name, "the source was not registered any more, and is again");
            return Ok(());
        };
        if !known.is_confirmed() && known.says(kept) && registrations.replace(SOURCES, &kept.name, &known, kept).await?
        {
            tracing::warn!(source_id = kept.name, "the source is confirmed, as it was here");
        }
        Ok(())
    }

    /// Confirms a policy that a mirror brought back as it was.
    async fn policy(&self, kept: &PolicyRecord) -> Result<(), Failure> {
        let registrations = self.api.registrations();
        let known: Option<PolicyRecord> = registrations.get(POLICIES, kept.name.as_str()).await?;
        let Some(known) = known.filter(|known| !known.is_confirmed()) else { return Ok(()) };
        let says = PolicyRecord { imported_from: None, ..known.timeless() };
        if says == kept.timeless() && registrations.replace(POLICIES, kept.name.as_str(), &known, kept).await? {
            tracing::warn!(policy = kept.name.as_str(), "the policy is confirmed, as it was here");
        }
        Ok(())
    }
}

impl Registered {
    /// With what `kept` has besides.
    fn and(self, kept: &Self) -> Self {
        let mut all = kept.clone();
        all.stores.extend(self.stores);
        all.sources.extend(self.sources);
        all.policies.extend(self.policies);
        all
    }
}

/// What the file says. One that cannot be read is put aside, and says nothing.
fn read(file: &Path) -> Registered {
    state_file::read(file).map(Option::unwrap_or_default).unwrap_or_else(|error| {
        let aside = file.with_extension("json.unread");
        let moved = fs::rename(file, &aside);
        let (path, aside) = (file.display(), aside.display());
        tracing::error!(%path, %aside, %error, is_moved = moved.is_ok(), "what was registered cannot be read, and is put aside");
        Registered::default()
    })
}

fn unread(source: coordinator::Error) -> Failure {
    registrations::Error::Coordinator { key: STORES.to_owned(), source }.into()
}
