//! Slots: wrapped copies of the repository key, any of which opens the repository.
//!
//! A slot is a small document at `keys/<name>`. It has the repository key, sealed with AES-256-GCM under a key that follows from
//! a key file (BLAKE3) or a passphrase (Argon2id), and a proof, by which whoever holds the repository key knows the
//! slots of it without being able to open them. Adding, replacing and removing slots touches no data.
//!
//! A slot that was removed opens the repository still where a copy of it was kept together with its secret: a secret that others may
//! know asks for a new repository.

mod document;
mod unlock;

use std::sync::Arc;

use futures::TryStreamExt;
use object_store::{ObjectStore, ObjectStoreExt, path::Path};
use tidemark_gateway::{Env, fetch, upload};
use uuid::Uuid;

pub use document::{Fault, SlotKind};
pub use unlock::{Argon2Cost, MOST_PASSPHRASE_BYTES, Unlock, new_key_file};

use crate::keys::{KeyId, RepositoryKey};
use document::Slot;

/// Folder of the slots.
pub const FOLDER: &str = "keys";

/// Most slots of a repository.
pub const MOST_SLOTS: usize = 64;

/// Most bytes of a slot.
const MOST_BYTES: u64 = 16 << 10;

/// Why slots cannot be read or changed. Nothing of it holds a secret.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The store refused or failed.
    #[error("list the key slots")]
    List(#[source] object_store::Error),
    /// More than there may be.
    #[error("there are more than {MOST_SLOTS} key slots")]
    Many,
    /// There is none.
    #[error("the repository has no key slot")]
    None,
    /// None opens with what was given.
    #[error("no key slot opens: {}", reasons(.0))]
    NoneOpens(Vec<(String, Fault)>),
    /// The new slot was not stored.
    #[error("write key slot {name}")]
    Write {
        /// Its name.
        name: String,
        /// Why.
        source: upload::Error,
    },
    /// The slot cannot be removed by the store.
    #[error("remove key slot {name}")]
    Remove {
        /// Its name.
        name: String,
        /// Why.
        source: object_store::Error,
    },
    /// A name that is none.
    #[error("{name:?} is no name of a key slot: 1 to 63 of a-z, 0-9 and -, beginning with a letter or digit")]
    Name {
        /// What was given.
        name: String,
    },
    /// Another slot must stay, whole and of this key.
    #[error("key slot {name} is the last one that opens the repository")]
    Last {
        /// Its name.
        name: String,
    },
    /// There is none of that name.
    #[error("there is no key slot {name}")]
    Unknown {
        /// Its name.
        name: String,
    },
    /// The secret is no good.
    #[error("make a key slot")]
    Secret(#[source] Fault),
}

fn reasons(faults: &[(String, Fault)]) -> String {
    let each: Vec<_> = faults.iter().map(|(name, fault)| format!("{name}: {fault}")).collect();
    each.join("; ")
}

/// What a slot says of itself.
#[derive(Debug)]
pub struct SlotInfo {
    /// Its name.
    pub name: String,
    /// What opens it and which key it says it holds; or why it cannot be read.
    pub state: Result<(SlotKind, KeyId), Fault>,
}

/// The slots of one repository.
#[derive(Clone, Debug)]
pub struct Slots {
    store: Arc<dyn ObjectStore>,
    repository: Uuid,
}

impl Slots {
    /// Of the repository with this id, at the root of `store`.
    pub fn new(store: Arc<dyn ObjectStore>, repository: Uuid) -> Self {
        Self { store, repository }
    }

    /// All slots, by name.
    ///
    /// # Errors
    /// [`Error::List`], [`Error::Many`].
    pub async fn list(&self) -> Result<Vec<SlotInfo>, Error> {
        let read = self.read_all().await?;
        let info = |(name, slot): (String, Result<Slot, Fault>)| SlotInfo {
            name,
            state: slot.map(|slot| (slot.kind(), slot.key_id())),
        };
        Ok(read.into_iter().map(info).collect())
    }

    /// The repository key, by whichever slot opens with `unlock`. Damaged slots keep no other from opening.
    ///
    /// # Errors
    /// [`Error::NoneOpens`] with the reason of each slot: a wrong secret is told apart from damage; [`Error::None`], [`Error::List`],
    /// [`Error::Many`].
    pub async fn open(&self, unlock: &Unlock) -> Result<RepositoryKey, Error> {
        let mut faults = Vec::new();
        for (name, slot) in self.read_all().await? {
            let opened = match slot {
                Ok(slot) => self.open_one(slot, unlock).await,
                Err(fault) => Err(fault),
            };
            match opened {
                Ok(key) => return Ok(key),
                Err(fault) => faults.push((name, fault)),
            }
        }
        Err(if faults.is_empty() { Error::None } else { Error::NoneOpens(faults) })
    }

    async fn open_one(&self, slot: Slot, unlock: &Unlock) -> Result<RepositoryKey, Fault> {
        let (unlock, repository) = (unlock.clone(), self.repository);
        let open = tokio::task::spawn_blocking(move || slot.open(&unlock, repository));
        open.await.unwrap_or(Err(Fault::Cancelled))
    }

    /// Adds a slot for the key, opened by `unlock`. A name that was removed must not be used again.
    ///
    /// # Errors
    /// [`Error::Name`], [`Error::Secret`]; [`Error::Write`] also where the name is taken.
    pub async fn add(&self, env: &Env, name: &str, key: &RepositoryKey, unlock: &Unlock) -> Result<(), Error> {
        let path = path(name)?;
        let (env, key, unlock) = (env.clone(), key.clone(), unlock.clone());
        let seal = tokio::task::spawn_blocking(move || Slot::seal(&env, &key, &unlock));
        let slot = seal.await.unwrap_or(Err(Fault::Cancelled)).map_err(Error::Secret)?;
        let written = upload::put_new(&self.store, &path, slot.to_json()).await;
        written.map(drop).map_err(|source| Error::Write { name: name.into(), source })
    }

    /// Removes a slot, provided that another one is whole and holds the key. Where two remove at the same time, the caller must see to
    /// it that they do not.
    ///
    /// # Errors
    /// [`Error::Last`], [`Error::Unknown`], [`Error::Name`], [`Error::Remove`], [`Error::List`], [`Error::Many`].
    pub async fn remove(&self, name: &str, key: &RepositoryKey) -> Result<(), Error> {
        let path = path(name)?;
        let slots = self.read_all().await?;
        if !slots.iter().any(|(found, _)| found == name) {
            return Err(Error::Unknown { name: name.into() });
        }
        let proven = |slot: &Result<Slot, Fault>| slot.as_ref().is_ok_and(|slot| slot.is_of(key));
        if !slots.iter().any(|(found, slot)| found != name && proven(slot)) {
            return Err(Error::Last { name: name.into() });
        }
        self.store.delete(&path).await.map_err(|source| Error::Remove { name: name.into(), source })
    }

    async fn read_all(&self) -> Result<Vec<(String, Result<Slot, Fault>)>, Error> {
        let folder = Path::from(FOLDER);
        let mut listed = self.store.list(Some(&folder));
        let mut names = Vec::new();
        while let Some(object) = listed.try_next().await.map_err(Error::List)? {
            let name = object.location.filename().unwrap_or_default().to_owned();
            if path(&name).is_ok_and(|path| path == object.location) {
                names.push((name, object.location, object.size));
            }
            if names.len() > MOST_SLOTS {
                return Err(Error::Many);
            }
        }
        names.sort_unstable();
        let mut slots = Vec::with_capacity(names.len());
        for (name, path, size) in names {
            slots.push((name, self.read(&path, size).await));
        }
        Ok(slots)
    }

    async fn read(&self, path: &Path, size: u64) -> Result<Slot, Fault> {
        if size > MOST_BYTES {
            return Err(Fault::Layout(format!("it has {size} bytes")));
        }
        Slot::from_json(&fetch::get_unchecked(&self.store, path).await.map_err(|source| Fault::Read(Arc::new(source)))?)
    }
}

fn path(name: &str) -> Result<Path, Error> {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let fits = (1..=63).contains(&name.len())
        && name.bytes().all(|byte| plain(byte) || byte == b'-')
        && name.bytes().next().is_some_and(plain);
    let path = || Path::from(format!("{FOLDER}/{name}"));
    fits.then(path).ok_or_else(|| Error::Name { name: name.chars().take(80).collect() })
}

#[cfg(test)]
mod tests;
