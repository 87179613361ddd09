//! What is registered: stores, sources and policies, by name, in the coordinator. Sources and policies are mirrored into the
//! stores, which is where they come back from.

mod records;

use std::sync::Arc;

use serde::{Serialize, de::DeserializeOwned};
use tidemark_gateway::causes;

use crate::{
    coordinator::{self, Cmp, Coordinator, Kv, Op, Revision, list_all},
    failure::Failure,
};

pub use records::{CommitMode, PolicyRecord, SourceRecord, StoreRecord};

/// Keys of registered stores.
pub const STORES: &str = "store/";
/// Keys of registered sources.
pub const SOURCES: &str = "source/";
/// Keys of registered policies.
pub const POLICIES: &str = "policy/";

/// Why a registration cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The coordinator failed.
    #[error("registration {key}")]
    Coordinator {
        /// Its key.
        key: String,
        /// Why.
        source: coordinator::Error,
    },
    /// A record cannot be read.
    #[error("registration {key} is not what this program writes")]
    Decode {
        /// Its key.
        key: String,
        /// Why.
        source: serde_json::Error,
    },
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let retryable = matches!(error, Error::Coordinator { .. });
        Self::of("TM-TASK-0002", causes::joined(&error), retryable)
    }
}

/// A registration as it was read.
#[derive(Clone, Debug)]
pub struct Registered<T> {
    /// It.
    pub value: T,
    /// When it was written.
    revision: Revision,
}

/// The registrations; a cheap handle.
#[derive(Clone)]
pub struct Registrations {
    coordinator: Arc<dyn Coordinator>,
}

impl Registrations {
    /// Registrations in this coordinator.
    pub fn new(coordinator: Arc<dyn Coordinator>) -> Self {
        Self { coordinator }
    }

    /// The coordinator they are in.
    pub fn coordinator(&self) -> &Arc<dyn Coordinator> {
        &self.coordinator
    }

    /// One of them.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn get<T: DeserializeOwned>(&self, prefix: &str, name: &str) -> Result<Option<T>, Error> {
        let key = format!("{prefix}{name}");
        let found = self.coordinator.get(&key).await.map_err(|source| Error::Coordinator { key, source })?;
        found.map(|kv| decode(&kv)).transpose()
    }

    /// One of them, as it is now.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn read<T: DeserializeOwned>(&self, prefix: &str, name: &str) -> Result<Option<Registered<T>>, Error> {
        let key = format!("{prefix}{name}");
        let found = self.coordinator.get(&key).await.map_err(|source| Error::Coordinator { key, source })?;
        found.map(|kv| Ok(Registered { value: decode(&kv)?, revision: kv.mod_revision })).transpose()
    }

    /// Replaces a registration that is still as it was read, however it was written; false where it is another one by now.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn replace_at<T: Serialize>(
        &self,
        prefix: &str,
        name: &str,
        read: &Registered<T>,
        value: &T,
    ) -> Result<bool, Error> {
        let key = format!("{prefix}{name}");
        let put = Op::put(&key, encode(value));
        self.at(key, read.revision, put).await
    }

    /// Removes a registration that is still as it was read; false where it is another one by now.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn remove_at<T>(&self, prefix: &str, name: &str, read: &Registered<T>) -> Result<bool, Error> {
        let key = format!("{prefix}{name}");
        let delete = Op::delete(&key);
        self.at(key, read.revision, delete).await
    }

    async fn at(&self, key: String, revision: Revision, op: Op) -> Result<bool, Error> {
        let outcome = self.coordinator.txn(vec![Cmp::ModRevision(key.clone(), revision)], vec![op], vec![]).await;
        Ok(outcome.map_err(|source| Error::Coordinator { key, source })?.succeeded)
    }

    /// All under a prefix that can be read, by name. One that cannot is named in the log, and hides no other.
    ///
    /// # Errors
    /// [`Error::Coordinator`].
    pub async fn list<T: DeserializeOwned>(&self, prefix: &str) -> Result<Vec<T>, Error> {
        let read = |(name, read)| match read {
            Ok(item) => Some(item),
            Err(error) => {
                tracing::error!(
                    key = format!("{prefix}{name}"),
                    error = causes::joined(&error),
                    "a registration is passed over"
                );
                None
            }
        };
        Ok(self.each(prefix).await?.into_iter().filter_map(read).collect())
    }

    /// All under a prefix by name, each read by itself.
    ///
    /// # Errors
    /// [`Error::Coordinator`].
    pub async fn each<T: DeserializeOwned>(&self, prefix: &str) -> Result<Vec<(String, Result<T, Error>)>, Error> {
        let found = list_all(&*self.coordinator, prefix).await;
        let (found, _) = found.map_err(|source| Error::Coordinator { key: prefix.to_owned(), source })?;
        let name = |kv: &Kv| kv.key.strip_prefix(prefix).unwrap_or(&kv.key).to_owned();
        Ok(found.iter().map(|kv| (name(kv), decode(kv))).collect())
    }

    /// Registers; where the name is taken, leaves it as it is and returns what has it.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn create<T: Serialize + DeserializeOwned>(
        &self,
        prefix: &str,
        name: &str,
        value: &T,
    ) -> Result<Option<T>, Error> {
        let key = format!("{prefix}{name}");
        let when = vec![Cmp::CreateRevision(key.clone(), 0)];
        let outcome = self.coordinator.txn(when, vec![Op::put(&key, encode(value))], vec![Op::Get(key.clone())]).await;
        let outcome = outcome.map_err(|source| Error::Coordinator { key, source })?;
        outcome.gets.into_iter().flatten().next().map(|kv| decode(&kv)).transpose()
    }

    /// Replaces a registration that is `known`; false where it is another one by now.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn replace<T: Serialize>(&self, prefix: &str, name: &str, known: &T, value: &T) -> Result<bool, Error> {
        let key = format!("{prefix}{name}");
        let (when, put) = (vec![Cmp::Value(key.clone(), encode(known))], vec![Op::put(&key, encode(value))]);
        let outcome = self.coordinator.txn(when, put, vec![]).await;
        Ok(outcome.map_err(|source| Error::Coordinator { key, source })?.succeeded)
    }

    /// Removes a registration that is `known`; false where it is another one by now.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn remove<T: Serialize>(&self, prefix: &str, name: &str, known: &T) -> Result<bool, Error> {
        let key = format!("{prefix}{name}");
        let (when, delete) = (vec![Cmp::Value(key.clone(), encode(known))], vec![Op::delete(&key)]);
        let outcome = self.coordinator.txn(when, delete, vec![]).await;
        Ok(outcome.map_err(|source| Error::Coordinator { key, source })?.succeeded)
    }
}

fn encode<T: Serialize>(value: &T) -> Vec<u8> {
    serde_json::to_vec(value).expect("registrations are plain data")
}

fn decode<T: DeserializeOwned>(kv: &Kv) -> Result<T, Error> {
    serde_json::from_slice(&kv.value).map_err(|source| Error::Decode { key: kv.key.clone(), source })
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use tidemark_gateway::Env;

    use super::*;
    use crate::coordinator::embedded::Embedded;

    #[tokio::test]
    async fn a_registration_is_changed_as_it_was_read_however_it_was_written() {
        let state = tempfile::tempdir().unwrap();
        let registrations = Registrations::new(Arc::new(Embedded::open(state.path(), Env::system()).unwrap()));
        // As an earlier build wrote it: this one writes other bytes for the same policy.
        let old = json!({"name": "p", "source": "a", "objects": ["k/*"], "store": "s", "write_level": "one"});
        registrations.create(POLICIES, "p", &old).await.unwrap();
        let read = registrations.read::<PolicyRecord>(POLICIES, "p").await.unwrap().unwrap();
        let paused = PolicyRecord { paused: true, ..read.value.clone() };
        assert!(!registrations.replace(POLICIES, "p", &read.value, &paused).await.unwrap());
        assert!(registrations.replace_at(POLICIES, "p", &read, &paused).await.unwrap());
        assert!(!registrations.replace_at(POLICIES, "p", &read, &paused).await.unwrap(), "it is another one by now");
        assert!(!registrations.remove_at(POLICIES, "p", &read).await.unwrap());
        let read = registrations.read::<PolicyRecord>(POLICIES, "p").await.unwrap().unwrap();
        assert_eq!(read.value, paused);
        assert!(registrations.remove_at(POLICIES, "p", &read).await.unwrap());
        assert!(registrations.read::<PolicyRecord>(POLICIES, "p").await.unwrap().is_none());
    }
}
