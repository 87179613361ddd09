//! Registered stores, opened when they are needed and kept open. Before a store is used it is looked at whether it is still
//! the one that was registered (`identity`).

mod error;
mod failure;
mod find;
pub(crate) mod identity;
mod known;
mod limits;

pub use error::Error;
pub use find::FindError;
pub(crate) use identity::generations_failed;

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use object_store::ObjectStore;
use tidemark_gateway::{
    Env,
    causes::joined as chain_of,
    credentials::Credentials,
    open::{self, OpenOptions, Opened},
    preflight,
    store_url::StoreUrl,
    unfinished::Unfinished,
};
use tidemark_listener_core::launch;

use crate::{
    limits::{Bound, Bounds, Owner},
    registrations::{Registrations, STORES, StoreRecord},
};
use known::Known;

/// Variables that carry a store's keys to a listener.
const LISTENER_KEYS: [&str; 2] = ["TIDEMARK_STORE_ACCESS_KEY_ID", "TIDEMARK_STORE_SECRET_ACCESS_KEY"];

/// Longest time in which a store must say that it is the one that was registered, where others could be asked or work could go on
/// with others.
pub const ONE_OF_MANY: Duration = Duration::from_secs(10);

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
    opener: Arc<Opener>,
}

/// Opens a store at a URL: [`open::opened`], or what a simulation has in its place.
pub(crate) type Opener =
    dyn Fn(&StoreUrl, Option<&Credentials>, &OpenOptions, &Env) -> Result<Opened, open::Error> + Send + Sync;

/// What makes two registrations the same client: name, whose limits it is under, URL, reference to credentials, what checksums
/// are worth.
type StoreRecordKey = (String, String, Option<String>, bool);

impl Stores {
    /// Stores registered in `registrations`.
    pub fn new(registrations: Registrations, env: Env) -> Self {
        let known = Known::new(Arc::clone(registrations.coordinator()));
        let bounds = Bounds::new(env.clone());
        let (opened, renewing, compared) = (Arc::default(), Arc::default(), Arc::default());
        let opener = Arc::new(open::opened);
        Self { registrations, known, env, first_look: ONE_OF_MANY, opened, bounds, renewing, compared, opener }
    }

    /// The same with stores that are opened so.
    #[cfg(test)]
    #[must_use]
    pub(crate) fn with_opener(self, opener: Arc<Opener>) -> Self {
        Self { opener, ..self }
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
        let opened = (self.opener)(&url, credentials.as_ref(), &options, &self.env);
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
