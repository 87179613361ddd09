//! Registered stores, opened when they are needed and kept open.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use object_store::ObjectStore;
use tidemark_catalog::ids::VersionId;
use tidemark_catalog::{chain, chain::VersionSet, manifest::Manifest};
use tidemark_gateway::{
    Env,
    credentials::{self, Credentials},
    open, preflight,
    store_url::{self, StoreUrl},
};

use crate::registrations::{self, Registrations, STORES, StoreRecord};

/// Variables that carry a store's keys to a listener.
const LISTENER_KEYS: [&str; 2] = ["TIDEMARK_STORE_ACCESS_KEY_ID", "TIDEMARK_STORE_SECRET_ACCESS_KEY"];

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
}

/// An open store.
#[derive(Clone)]
pub struct OpenStore {
    /// Its registration.
    pub record: StoreRecord,
    /// Its objects.
    pub objects: Arc<dyn ObjectStore>,
}

/// The stores; a cheap handle.
#[derive(Clone)]
pub struct Stores {
    registrations: Registrations,
    env: Env,
    opened: Arc<Mutex<HashMap<StoreRecordKey, Arc<dyn ObjectStore>>>>,
}

/// What makes two registrations the same client: URL, reference to credentials, what checksums are worth.
type StoreRecordKey = (String, Option<String>, bool);

impl Stores {
    /// Stores registered in `registrations`.
    pub fn new(registrations: Registrations, env: Env) -> Self {
        Self { registrations, env, opened: Arc::default() }
    }

    /// Opens a store that need not be registered; makes no request.
    ///
    /// # Errors
    /// [`Error::Url`], [`Error::Credentials`], [`Error::Open`].
    pub fn open(&self, record: StoreRecord) -> Result<OpenStore, Error> {
        let key = (record.url.clone(), record.credentials.clone(), record.checksums);
        if let Some(objects) = self.lock().get(&key) {
            return Ok(OpenStore { record, objects: Arc::clone(objects) });
        }
        let url = parse_url(&record)?;
        let credentials = load_credentials(&record.name, record.credentials.as_deref())?;
        let options = open::OpenOptions { checksums: record.checksums(), ..open::OpenOptions::default() };
        let opened = open::open(&url, credentials.as_ref(), &options, &self.env);
        let objects = opened.map_err(|source| Error::Open { name: record.name.clone(), source })?;
        self.lock().insert(key, Arc::clone(&objects));
        Ok(OpenStore { record, objects })
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

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<StoreRecordKey, Arc<dyn ObjectStore>>> {
        self.opened.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A registered store.
    ///
    /// # Errors
    /// [`Error`]; [`Error::Unknown`] where there is none of this name.
    pub async fn get(&self, name: &str) -> Result<OpenStore, Error> {
        let record = self.registrations.get(STORES, name).await?;
        self.open(record.ok_or_else(|| Error::Unknown(name.to_owned()))?)
    }

    /// All registered stores.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn all(&self) -> Result<Vec<OpenStore>, Error> {
        let records: Vec<StoreRecord> = self.registrations.list(STORES).await?;
        records.into_iter().map(|record| self.open(record)).collect()
    }

    /// The store that a version is in, and its set, unread; `None` where no registered store has it.
    ///
    /// # Errors
    /// [`FindError`].
    pub async fn place(&self, id: &VersionId) -> Result<Option<(OpenStore, VersionSet)>, FindError> {
        for store in self.all().await? {
            let set = VersionSet::new(Arc::clone(&store.objects), id.source.clone(), id.set.clone());
            if set.list().await?.contains(&id.number) {
                return Ok(Some((store, set)));
            }
        }
        Ok(None)
    }

    /// The version and the store it is in; `None` where no registered store has it.
    ///
    /// # Errors
    /// [`FindError`].
    pub async fn find(&self, id: &VersionId) -> Result<Option<(OpenStore, Manifest)>, FindError> {
        let Some((store, set)) = self.place(id).await? else { return Ok(None) };
        Ok(Some((store, set.read(id.number).await?)))
    }
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
mod tests {
    use super::*;

    fn record(credentials: Option<String>, listener_credentials: Option<String>) -> StoreRecord {
        let [name, url, repository, commit_mode] = ["s", "s3://backups", "", "a"].map(str::to_owned);
        StoreRecord { name, url, credentials, listener_credentials, repository, commit_mode, checksums: false }
    }

    #[test]
    fn listeners_get_their_own_keys_and_the_daemons_only_where_they_have_none() {
        let directory = tempfile::tempdir().unwrap();
        let key = |name: &str| {
            let file = directory.path().join(name);
            std::fs::write(&file, format!("access_key_id={name}\nsecret_access_key=secret-of-{name}\n")).unwrap();
            Some(format!("file:{}", file.display()))
        };
        let ids = |record| {
            let secrets = listener_secrets(&record).unwrap();
            secrets.into_iter().map(|(_, value)| value).collect::<Vec<_>>()
        };
        assert_eq!(ids(record(key("daemon"), key("listener"))), ["listener", "secret-of-listener"]);
        assert_eq!(ids(record(key("daemon"), None)), ["daemon", "secret-of-daemon"]);
        assert!(ids(record(None, None)).is_empty());
    }
}
