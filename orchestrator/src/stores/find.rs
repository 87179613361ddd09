//! Finding a version: which store has it, by its id, or by the pin of a plan.

use std::sync::Arc;

use futures::{FutureExt as _, future::join_all};
use tidemark_catalog::{chain, chain::VersionSet, ids::VersionId, manifest::Manifest};

use super::{Error, OpenStore, Stores};
use crate::{
    registrations::StoreRecord,
    version_name::{Pin, VersionName},
};

impl Stores {
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
