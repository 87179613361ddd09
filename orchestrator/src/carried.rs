//! What a daemon carries from one state of the coordinator to another: the stores, and the sources and policies that an operator has said
//! or confirmed.
//!
//! A daemon writes it down in its state directory (`registered.json`) as it changes, with the state that it is of. Where the daemon finds
//! itself on another state — etcd was wiped or put back, a daemon by itself became one of a cluster, or the other way round — it
//! registers again what is absent there ([`bring_back`]), and only then writes down what is registered now.
//!
//! - What is absent is registered as the file has it, whether or not its store can be reached: a policy that cannot run is late and can
//!   be seen, one that is not there cannot.
//! - A store's mirror may have a newer policy than the file. Where it says otherwise than both the file and what is registered, that is
//!   nobody's word here: it waits, unconfirmed, for an operator.
//! - What is registered and confirmed stays as it is, but for a policy that the file and the mirror agree on: the cluster that is come back
//!   to has an older one.
//! - A name that another store has by now, or a repository that has another name by now, is left alone and named in the log; what was
//!   written down then stays, in a file beside.

mod bring_back;

use std::{
    collections::BTreeMap,
    io,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use futures::future::select_all;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use tidemark_gateway::Env;
use tokio_util::sync::CancellationToken;

use crate::{
    control_api::Api,
    coordinator::{self, Cmp, Coordinator, Op, Watch},
    executors::Executors,
    failure::Failure,
    registrations::{self, POLICIES, PolicyRecord, Registrations, SOURCES, STORES, SourceRecord, StoreRecord},
    state_file,
};

/// Name of the file in the state directory.
pub(crate) const FILE: &str = "registered.json";

/// What tells the state of a daemon by itself from every other one.
const STATE: &str = "state/id";

/// Longest time between two looks.
const LOOK: Duration = Duration::from_secs(30);

/// Time until what failed is tried again.
const RETRY: Duration = Duration::from_secs(5);

/// What is registered, each by name. It holds no secret.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Registered {
    /// Which state it is of.
    state: String,
    stores: BTreeMap<String, StoreRecord>,
    /// Confirmed ones.
    sources: BTreeMap<String, SourceRecord>,
    /// Confirmed ones.
    policies: BTreeMap<String, PolicyRecord>,
}

/// Carries what is registered until `stop`.
pub(crate) async fn run(api: Api, directory: PathBuf, stop: CancellationToken) {
    let mut carried = match Carried::open(api, &directory) {
        Ok(carried) => carried,
        Err(error) => {
            let path = directory.join(FILE);
            tracing::error!(path = %path.display(), %error, "what was registered cannot be read: nothing is carried to another state");
            return;
        }
    };
    while !stop.is_cancelled() {
        let looked = tokio::select! {
            () = stop.cancelled() => return,
            looked = carried.look() => looked,
        };
        let changes = looked.unwrap_or_else(|error| {
            tracing::warn!(%error, "what is registered is not known, asking again");
            Changes::default()
        });
        tokio::select! {
            () = stop.cancelled() => return,
            () = changes.next() => {}
        }
    }
}

/// Writes down what is registered in a state that is about to be left.
///
/// # Errors
/// Where the state or the file system fails.
pub(crate) async fn write_down(coordinator: Arc<dyn Coordinator>, directory: &Path, env: &Env) -> Result<(), Failure> {
    let file = directory.join(FILE);
    let kept = read(&file, env).map_err(|error| unkept(&error))?;
    let there = Registered::read(&Registrations::new(coordinator), kept.as_ref(), env).await?;
    // What was not brought back to this state yet is not lost by leaving it.
    let there = match kept {
        Some(kept) if kept.state != there.state => there.and(kept),
        _ => there,
    };
    state_file::write(&file, &there).map_err(|error| unkept(&error))
}

/// What this daemon carries.
pub(crate) struct Carried {
    api: Api,
    file: PathBuf,
    /// As the file has it; none where there is no file yet.
    kept: Option<Registered>,
}

/// What may change next; nothing where it is only tried again.
#[derive(Default)]
pub(crate) struct Changes(Vec<Watch>);

impl Changes {
    async fn next(self) {
        let mut watches = self.0;
        if watches.is_empty() {
            return tokio::time::sleep(RETRY).await;
        }
        let any = select_all(watches.iter_mut().map(|watch| Box::pin(watch.next())));
        let _ = tokio::time::timeout(LOOK, any).await;
    }
}

impl Carried {
    /// What the file in this state directory says. One that is not what this program writes is put aside, and says nothing.
    ///
    /// # Errors
    /// Where it cannot be read or put aside.
    pub(crate) fn open(api: Api, directory: &Path) -> io::Result<Self> {
        let file = directory.join(FILE);
        let kept = read(&file, &api.with().env)?;
        Ok(Self { api, file, kept })
    }

    /// Brings back what is absent where the state is another one, and writes down what is registered; what to wait for then.
    pub(crate) async fn look(&mut self) -> Result<Changes, Failure> {
        let with: &Executors = self.api.with();
        let (_, now) = with.coordinator.list(STORES, 1, None).await.map_err(unread)?;
        let mut there = Registered::read(&with.registrations, self.kept.as_ref(), &with.env).await?;
        if let Some(kept) = self.kept.take_if(|kept| kept.state != there.state) {
            let brought = match bring_back::all(&self.api, &kept).await {
                Ok(true) => Ok(()),
                Ok(false) => state_file::put_aside(&self.file, with.env.now()).map_err(|error| unkept(&error)).map(|aside| {
                    let path = aside.display();
                    tracing::error!(%path, "not all that was registered could be registered again: it is kept in this file");
                }),
                Err(error) => Err(error),
            };
            if let Err(error) = brought {
                self.kept = Some(kept);
                return Err(error);
            }
            there = Registered::read(&with.registrations, Some(&kept), &with.env).await?;
        }
        if self.kept.as_ref() != Some(&there) {
            match state_file::write(&self.file, &there) {
                Ok(()) => self.kept = Some(there),
                Err(error) => {
                    tracing::warn!(path = %self.file.display(), %error, "what is registered is not written down");
                    return Ok(Changes::default());
                }
            }
        }
        let mut watches = Vec::new();
        for prefix in [STORES, SOURCES, POLICIES] {
            watches.push(with.coordinator.watch(prefix, now + 1).await.map_err(unread)?);
        }
        Ok(Changes(watches))
    }
}

impl Registered {
    /// What is registered and confirmed now; of a record that cannot be read what is `kept` of it.
    async fn read(registrations: &Registrations, kept: Option<&Self>, env: &Env) -> Result<Self, Failure> {
        let mut sources = each(registrations, SOURCES, kept.map(|kept| &kept.sources)).await?;
        sources.retain(|_, source: &mut SourceRecord| source.is_confirmed());
        let mut policies = each(registrations, POLICIES, kept.map(|kept| &kept.policies)).await?;
        policies.retain(|_, policy: &mut PolicyRecord| policy.is_confirmed());
        Ok(Self {
            state: state_of(&**registrations.coordinator(), env).await.map_err(unread)?,
            stores: each(registrations, STORES, kept.map(|kept| &kept.stores)).await?,
            sources,
            policies,
        })
    }

    /// With what `kept` has besides.
    fn and(self, kept: Self) -> Self {
        let Self { state, stores, sources, policies } = self;
        let mut all = Self { state, ..kept };
        all.stores.extend(stores);
        all.sources.extend(sources);
        all.policies.extend(policies);
        all
    }
}

/// All registrations of a kind by name; of one that cannot be read what is kept of it.
async fn each<T: Clone + DeserializeOwned>(
    registrations: &Registrations,
    prefix: &str,
    kept: Option<&BTreeMap<String, T>>,
) -> Result<BTreeMap<String, T>, Failure> {
    let mut all = BTreeMap::new();
    for (name, read) in registrations.each::<T>(prefix).await? {
        let found = read.ok().or_else(|| kept?.get(&name).cloned());
        all.extend(found.map(|found| (name, found)));
    }
    Ok(all)
}

/// What the file says; one that is not what this program writes is put aside, and says nothing.
fn read(file: &Path, env: &Env) -> io::Result<Option<Registered>> {
    match state_file::read(file) {
        Err(error) if error.kind() == io::ErrorKind::InvalidData => {
            let aside = state_file::put_aside(file, env.now())?;
            tracing::error!(path = %aside.display(), %error, "what was registered is not what this program writes, and is put aside");
            Ok(None)
        }
        read => read,
    }
}

/// What tells a state from every other one: of a cluster its opening, else an id that is drawn once.
async fn state_of(coordinator: &dyn Coordinator, env: &Env) -> Result<String, coordinator::Error> {
    if coordinator.cluster().is_some() {
        return Ok(coordinator.opening().to_owned());
    }
    loop {
        if let Some(known) = coordinator.get(STATE).await? {
            return Ok(String::from_utf8_lossy(&known.value).into_owned());
        }
        let drawn = Op::put(STATE, hex::encode(env.random::<16>()));
        coordinator.txn(vec![Cmp::CreateRevision(STATE.to_owned(), 0)], vec![drawn], vec![]).await?;
    }
}

fn unkept(error: &io::Error) -> Failure {
    Failure::retryable("TM-TASK-0002", format!("write down what is registered: {error}"))
}

fn unread(source: coordinator::Error) -> Failure {
    registrations::Error::Coordinator { key: STORES.to_owned(), source }.into()
}
