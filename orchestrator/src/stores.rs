//! Registered stores, opened when they are needed and kept open. Before a store is used it is looked at whether it is still
//! the one that was registered (`identity`).

mod failure;
pub(crate) mod identity;
mod known;
mod limits;

pub(crate) use identity::generations_failed;

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use futures::{FutureExt as _, future::join_all};
use object_store::ObjectStore;
use tidemark_catalog::ids::{SetId, SourceId, VersionId};
use tidemark_catalog::{chain, chain::VersionSet, document, find, manifest::Manifest};
use tidemark_gateway::{
    Env,
    causes::joined as chain_of,
    credentials::{self, Credentials},
    open::{self, OpenOptions, Opened},
    preflight,
    store_url::{self, StoreUrl},
    unfinished::Unfinished,
};
use tidemark_listener_core::launch;

use crate::{
    generation,
    limits::{Bound, Bounds, Owner},
    registrations::{self, Registrations, STORES, StoreRecord},
    version_name::{Pin, VersionName},
};
use known::Known;

/// Variables that carry a store's keys to a listener.
const LISTENER_KEYS: [&str; 2] = ["TIDEMARK_STORE_ACCESS_KEY_ID", "TIDEMARK_STORE_SECRET_ACCESS_KEY"];

/// Longest time in which a store must say that it is the one that was registered, where others could be asked or work could go on
/// with others.
pub const ONE_OF_MANY: Duration = Duration::from_secs(10);

/// Why a store cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No store of this name.
    #[error("there is no store {0}")]
    Unknown(String),
    /// The registrations cannot be read.
    #[error(transparent)]
    Registrations(#[from] registrations::Error),
    /// Its URL is none.
    #[error("store {name}")]
    Url {
        /// The store.
        name: String,
        /// Why.
        source: store_url::Error,
    },
    /// Its credentials cannot be had.
    #[error("credentials of store {name}")]
    Credentials {
        /// The store.
        name: String,
        /// Why.
        source: credentials::Error,
    },
    /// It cannot be opened.
    #[error("open store {name}")]
    Open {
        /// The store.
        name: String,
        /// Why.
        source: open::Error,
    },
    /// It holds no repository although it is registered.
    #[error("store {name} at {url} holds no repository: emptied, moved away, or not mounted")]
    Emptied {
        /// The store.
        name: String,
        /// Where it is.
        url: String,
    },
    /// It holds another repository.
    #[error("store {name} at {url} holds repository {found}; registered is {known}")]
    Swapped {
        /// The store.
        name: String,
        /// Where it is.
        url: String,
        /// The repository in it.
        found: String,
        /// The one that was registered.
        known: String,
    },
    /// A generation that was written to it is gone, or is another one.
    #[error(
        "store {name} at {url} was put back: generation {generation} is gone or another one, its newest is {newest}"
    )]
    WentBack {
        /// The store.
        name: String,
        /// Where it is.
        url: String,
        /// The generation that is known.
        generation: u64,
        /// The newest in the store; 0 for none.
        newest: u64,
    },
    /// It did not say in time what it holds, while others can be asked or worked with.
    #[error("store {name} did not answer within {seconds} s")]
    Silent {
        /// The store.
        name: String,
        /// How long it was waited for.
        seconds: u64,
    },
    /// A task was claimed under a generation that this opening of the coordinator has not taken in the store.
    #[error("store {name}: claimed under generation {claimed}, which an earlier opening has; it is {taken} now")]
    Behind {
        /// The store.
        name: String,
        /// The claim's.
        claimed: u64,
        /// The one that was taken.
        taken: u64,
    },
    /// Its identity cannot be read.
    #[error("identify store {name}")]
    Identity {
        /// The store.
        name: String,
        /// Why.
        source: document::Error,
    },
    /// Its generations cannot be read.
    #[error("generations of store {name}")]
    Generations {
        /// The store.
        name: String,
        /// Why.
        source: Box<generation::Error>,
    },
    /// What is known of its newest generation cannot be read.
    #[error("what is known of the generations of store {name} cannot be read")]
    UnreadableGeneration {
        /// The store.
        name: String,
        /// Why.
        source: registrations::Error,
    },
    /// What is known of the newest version of a set cannot be read.
    #[error("what is known of the newest version of {source_id}.{set} in store {name} cannot be read")]
    UnreadableHead {
        /// The store.
        name: String,
        /// The protected system.
        source_id: SourceId,
        /// The version set.
        set: SetId,
        /// Why.
        source: registrations::Error,
    },
    /// Its version sets cannot be found.
    #[error("version sets of store {name}")]
    Find {
        /// The store.
        name: String,
        /// Why.
        source: Box<find::Error>,
    },
    /// A chain in it cannot be read, or ends before what is known of it.
    #[error("versions of store {name}")]
    Chain {
        /// The store.
        name: String,
        /// Why.
        source: chain::Error,
    },
    /// The newest manifests of a set are damaged: nothing can be linked to them.
    #[error("the newest versions of {source_id}.{set} in store {name} are damaged")]
    DamagedEnd {
        /// The store.
        name: String,
        /// The protected system.
        source_id: SourceId,
        /// The version set.
        set: SetId,
        /// What is wrong.
        source: chain::Error,
    },
}

/// The store of a listener, and the keys with which it opens it, as variables for its environment.
#[derive(Clone)]
pub struct ListenerStore {
    /// The store.
    pub place: launch::Store,
    /// Its keys.
    pub secrets: Vec<(String, String)>,
    /// The limits that the listener will obey.
    pub bound: Bound,
}

/// An open store.
#[derive(Clone)]
pub struct OpenStore {
    /// Its registration.
    pub record: StoreRecord,
    /// Its objects.
    pub objects: Arc<dyn ObjectStore>,
    /// Its uploads that were begun and not ended.
    pub unfinished: Unfinished,
    /// Its objects past all limits: only to look whether it is there.
    pub(crate) aside: Arc<dyn ObjectStore>,
}

impl OpenStore {
    fn of(record: StoreRecord, opened: Opened) -> Self {
        let aside = opened.aside();
        let Opened { objects, unfinished, .. } = opened;
        Self { record, objects, unfinished, aside }
    }
}

/// The stores; a cheap handle.
#[derive(Clone)]
pub struct Stores {
    registrations: Registrations,
    known: Known,
    env: Env,
    /// Bound of [`Stores::look`].
    first_look: Duration,
    opened: Arc<Mutex<HashMap<StoreRecordKey, Opened>>>,
    bounds: Bounds,
    /// Held while limits are taken from what is registered: the newest is taken last.
    renewing: Arc<tokio::sync::Mutex<()>>,
    /// Repositories that showed nothing newer than the coordinator's state, since this process opened it.
    compared: Arc<Mutex<HashSet<String>>>,
}

/// What makes two registrations the same client: name, whose limits it is under, URL, reference to credentials, what checksums
/// are worth.
type StoreRecordKey = (String, String, Option<String>, bool);

impl Stores {
    /// Stores registered in `registrations`.
    pub fn new(registrations: Registrations, env: Env) -> Self {
        let known = Known::new(Arc::clone(registrations.coordinator()));
        let bounds = Bounds::new(env.clone());
        let (opened, renewing, compared) = (Arc::default(), Arc::default(), Arc::default());
        Self { registrations, known, env, first_look: ONE_OF_MANY, opened, bounds, renewing, compared }
    }

    /// The same with another bound of [`Stores::look`].
    #[must_use]
    pub fn with_first_look(self, first_look: Duration) -> Self {
        Self { first_look, ..self }
    }

    /// Opens a store that is not registered yet; of a file store the directory is made.
    ///
    /// # Errors
    /// As [`Stores::open`].
    pub fn open_new(&self, record: StoreRecord) -> Result<OpenStore, Error> {
        self.bounds.store(&record.name, &record.limits);
        self.bounds.define(&Owner::Store(record.name.clone()), record.limits.clone());
        let opened = self.open_or_make(&record, true)?;
        Ok(OpenStore::of(record, opened))
    }

    /// Opens a store, whatever is in it; makes no request.
    ///
    /// # Errors
    /// [`Error::Url`], [`Error::Credentials`], [`Error::Open`]; [`Error::Emptied`] where the directory of a file store is gone.
    pub fn open(&self, record: StoreRecord) -> Result<OpenStore, Error> {
        let opened = self.open_or_make(&record, false)?;
        Ok(OpenStore::of(record, opened))
    }

    fn open_or_make(&self, record: &StoreRecord, create: bool) -> Result<Opened, Error> {
        let StoreRecord { name, url, credentials, checksums, .. } = record;
        let key = (name.clone(), url.clone(), credentials.clone(), *checksums);
        // One that is to be made may have been open before, elsewhere on the same path.
        let opened = if create { None } else { self.lock().get(&key).cloned() };
        if let Some(opened) = opened {
            return Ok(opened);
        }
        let url = parse_url(record)?;
        let credentials = load_credentials(name, credentials.as_deref())?;
        let limits = self.bounds.store(name, &record.limits);
        let options = OpenOptions { limits, checksums: record.checksums(), create, ..OpenOptions::default() };
        let opened = open::opened(&url, credentials.as_ref(), &options, &self.env);
        let opened = opened.map_err(|source| not_open(record, source))?;
        self.lock().insert(key, opened.clone());
        Ok(opened)
    }

    /// Whether a store verifies checksums; `None` where that does not matter.
    ///
    /// # Errors
    /// As [`Stores::open`].
    pub async fn prove_checksums(&self, record: &StoreRecord) -> Result<Option<preflight::Line>, Error> {
        let url = parse_url(record)?;
        let credentials = load_credentials(&record.name, record.credentials.as_deref())?;
        let line = preflight::checksums(&url, credentials.as_ref(), &self.env).await;
        line.map_err(|source| Error::Open { name: record.name.clone(), source })
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<StoreRecordKey, Opened>> {
        self.opened.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn compared(&self) -> std::sync::MutexGuard<'_, HashSet<String>> {
        self.compared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A registered store, which is still what was registered ([`Stores::identify`]), and says so soon ([`Stores::look`]).
    ///
    /// # Errors
    /// [`Error`]; [`Error::Unknown`] where there is none of this name.
    pub async fn get(&self, name: &str) -> Result<OpenStore, Error> {
        let store = self.unproven(name).await?;
        self.look(&store).await?;
        self.not_put_back(&store).await?;
        Ok(store)
    }

    /// A registered store, whatever is in it now.
    ///
    /// # Errors
    /// As [`Stores::open`]; [`Error::Unknown`] where there is none of this name.
    pub async fn unproven(&self, name: &str) -> Result<OpenStore, Error> {
        self.open(self.record(name).await?)
    }

    /// The registration of a store.
    ///
    /// # Errors
    /// [`Error::Registrations`]; [`Error::Unknown`] where there is none of this name.
    pub async fn record(&self, name: &str) -> Result<StoreRecord, Error> {
        let record = self.registrations.get(STORES, name).await?;
        record.ok_or_else(|| Error::Unknown(name.to_owned()))
    }

    /// A store by its registration, which holds the repository that was registered, and says so soon: one that is down must not hold up
    /// what the others can do.
    ///
    /// # Errors
    /// As [`Stores::open`] and [`Stores::look`].
    pub async fn same_soon(&self, record: StoreRecord) -> Result<OpenStore, Error> {
        let store = self.open(record)?;
        self.look(&store).await?;
        Ok(store)
    }

    /// The first registered store that holds the repository that was registered; `None` where there is none such.
    ///
    /// # Errors
    /// [`Error::Registrations`].
    pub async fn first(&self) -> Result<Option<OpenStore>, Error> {
        for record in self.records().await? {
            let name = record.name.clone();
            match self.same_soon(record).await {
                Ok(store) => return Ok(Some(store)),
                Err(error) => tracing::warn!(store = name, error = chain_of(&error), "store is passed over"),
            }
        }
        Ok(None)
    }

    /// Registrations of all stores.
    ///
    /// # Errors
    /// [`Error::Registrations`].
    pub async fn records(&self) -> Result<Vec<StoreRecord>, Error> {
        Ok(self.registrations.list(STORES).await?)
    }

    /// The store that a version is in, and its set, unread; `None` where no registered store has it. A store that cannot be
    /// used hides no version of another one.
    ///
    /// # Errors
    /// [`FindError::Ambiguous`] where several stores have it, or are known to have held it, and none is named;
    /// [`FindError::Store`] of a named store that is not registered; else [`FindError`] where no store has it and one of them cannot
    /// be looked into, or is known to have held it.
    pub async fn place(&self, name: &VersionName) -> Result<Option<(OpenStore, VersionSet)>, FindError> {
        let mut records = self.records().await?;
        if let Some(store) = &name.store {
            records.retain(|record| record.name == store.as_str());
            if records.is_empty() {
                return Err(Error::Unknown(store.to_string()).into());
            }
        }
        self.place_in(records, &name.id).await
    }

    /// The same, in one of these stores.
    async fn place_in(
        &self,
        records: Vec<StoreRecord>,
        id: &VersionId,
    ) -> Result<Option<(OpenStore, VersionSet)>, FindError> {
        let looks = records.into_iter().map(|record| self.ask(record, id).boxed());
        let (mut found, mut held, mut refused) = (Vec::new(), Vec::new(), None);
        for look in join_all(looks.collect::<Vec<_>>()).await {
            match look {
                Look::Here(place) => found.push(*place),
                Look::Held(store, error) => {
                    held.push(store);
                    refused = refused.or(Some(error));
                }
                Look::Refused(error) => refused = refused.or(Some(error)),
                Look::No => {}
            }
        }
        if !found.is_empty() && found.len() + held.len() > 1 {
            let stores = found.into_iter().map(|(store, _)| store.record.name).chain(held).collect();
            return Err(FindError::Ambiguous { id: id.clone(), stores });
        }
        found.pop().map_or_else(|| refused.map_or(Ok(None), Err), |place| Ok(Some(place)))
    }

    async fn ask(&self, record: StoreRecord, id: &VersionId) -> Look {
        let (name, repository) = (record.name.clone(), record.repository.clone());
        match self.holds(record, id).await {
            Ok(Some(place)) => Look::Here(Box::new(place)),
            Ok(None) => Look::No,
            Err(error) if self.held(&repository, &id.source, &id.set, id.number).await => Look::Held(name, error),
            Err(error) => Look::Refused(error),
        }
    }

    /// The store of a record, where it holds a version.
    async fn holds(&self, record: StoreRecord, id: &VersionId) -> Result<Option<(OpenStore, VersionSet)>, FindError> {
        let store = self.same_soon(record).await?;
        let set = VersionSet::new(Arc::clone(&store.objects), id.source.clone(), id.set.clone());
        if set.list().await?.contains(&id.number) {
            return Ok(Some((store, set)));
        }
        if self.held(&store.record.repository, &id.source, &id.set, id.number).await {
            let (source_id, set) = (id.source.clone(), id.set.clone());
            return Err(chain::Error::Hole { source_id, set, missing: id.number }.into());
        }
        Ok(None)
    }

    /// The version, the store it is in and its pin; `None` where no registered store has it. With a pin it is the one that was
    /// pinned and no other, whatever its store is called by now.
    ///
    /// # Errors
    /// [`FindError`]; [`FindError::Unregistered`] and [`FindError::OtherManifest`] where the pinned one is not found.
    pub async fn find(
        &self,
        name: &VersionName,
        pin: Option<&Pin>,
    ) -> Result<Option<(OpenStore, Manifest, Pin)>, FindError> {
        let place = match pin {
            None => self.place(name).await?,
            Some(pin) => self.pinned_place(&name.id, pin).await?,
        };
        let Some((store, set)) = place else { return Ok(None) };
        let (manifest, head) = set.read_head(name.id.number).await?;
        let found = Pin { repository: store.record.repository.clone(), manifest: head.digest };
        match pin {
            Some(pin) if *pin != found => {
                Err(FindError::OtherManifest { name: name.clone(), pin: Box::new(pin.clone()), found: Box::new(found) })
            }
            _ => Ok(Some((store, manifest, found))),
        }
    }

    async fn pinned_place(&self, id: &VersionId, pin: &Pin) -> Result<Option<(OpenStore, VersionSet)>, FindError> {
        let mut records = self.records().await?;
        records.retain(|record| record.repository == pin.repository);
        if records.is_empty() {
            return Err(FindError::Unregistered { repository: pin.repository.clone() });
        }
        self.place_in(records, id).await
    }
}

/// What a look into a store says of a version.
enum Look {
    /// It is there.
    Here(Box<(OpenStore, VersionSet)>),
    /// It is known to have been in this store, and cannot be had now.
    Held(String, FindError),
    /// The store cannot be looked into, and is not known to have held it.
    Refused(FindError),
    /// It is not there.
    No,
}

/// Why a version cannot be found.
#[derive(Debug, thiserror::Error)]
pub enum FindError {
    /// A store cannot be used.
    #[error(transparent)]
    Store(#[from] Error),
    /// Its chain cannot be read.
    #[error(transparent)]
    Chain(#[from] chain::Error),
    /// Several stores have it.
    #[error("version {id} is in stores {}", stores.join(" and "))]
    Ambiguous {
        /// The version.
        id: VersionId,
        /// Their names.
        stores: Vec<String>,
    },
    /// The repository of a pinned version is in no registered store.
    #[error("repository {repository}, for which this was planned, is in no registered store")]
    Unregistered {
        /// Its id.
        repository: String,
    },
    /// Another manifest than was pinned.
    #[error("version {name} is another one than was planned: it is {found}, planned was {pin}")]
    OtherManifest {
        /// The version.
        name: VersionName,
        /// As it was planned.
        pin: Box<Pin>,
        /// As it is now.
        found: Box<Pin>,
    },
}

async fn in_time<T>(name: String, bound: Duration, look: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
    let found = tokio::time::timeout(bound, look).await;
    found.unwrap_or(Err(Error::Silent { name, seconds: bound.as_secs() }))
}

/// A directory that is gone is what an emptied store looks like.
fn not_open(record: &StoreRecord, source: open::Error) -> Error {
    let (name, url) = (record.name.clone(), record.url.clone());
    match source {
        open::Error::Absent { .. } => Error::Emptied { name, url },
        source => Error::Open { name, source },
    }
}

fn parse_url(record: &StoreRecord) -> Result<StoreUrl, Error> {
    record.url.parse().map_err(|source| Error::Url { name: record.name.clone(), source })
}

fn load_credentials(store: &str, reference: Option<&str>) -> Result<Option<Credentials>, Error> {
    let loaded = reference.map(Credentials::load).transpose();
    loaded.map_err(|source| Error::Credentials { name: store.to_owned(), source })
}

/// The keys with which a listener opens the store, as variables for its environment: those of listeners, or the daemon's
/// where there are none; none for a store that has none.
///
/// # Errors
/// [`Error::Credentials`].
pub fn listener_secrets(record: &StoreRecord) -> Result<Vec<(String, String)>, Error> {
    let reference = record.listener_credentials.as_ref().or(record.credentials.as_ref());
    let Some(credentials) = load_credentials(&record.name, reference.map(String::as_str))? else {
        return Ok(Vec::new());
    };
    let values = [credentials.access_key_id(), credentials.secret_access_key()];
    Ok(LISTENER_KEYS.iter().zip(values).map(|(name, value)| ((*name).to_owned(), value.to_owned())).collect())
}

#[cfg(test)]
mod tests;
