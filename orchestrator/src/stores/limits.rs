//! Limits of stores and policies, as they are registered, in force on what is open.

use tidemark_gateway::{causes::joined, limits::Limits};
use tidemark_listener_core::launch;

use super::{Error, ListenerStore, OpenStore, Stores, listener_secrets};
use crate::{
    limits::{Bounds, Owner},
    registrations::{POLICIES, PolicyRecord, STORES, StoreRecord},
};

impl Stores {
    /// The same store, for work that is under limits of its own too.
    ///
    /// # Errors
    /// As [`Stores::open`].
    pub fn under(&self, store: OpenStore, limits: Limits) -> Result<OpenStore, Error> {
        let objects = self.open_or_make(&store.record, false)?.under(limits);
        Ok(OpenStore { objects, ..store })
    }

    /// The limits that are obeyed.
    pub fn bounds(&self) -> &Bounds {
        &self.bounds
    }

    /// Brings all limits that are obeyed up to date with what is registered and with the clock. What cannot be read stays as it was.
    pub async fn renew_limits(&self) {
        let _renewing = self.renewing.lock().await;
        for owner in self.bounds.owners() {
            let spec = match &owner {
                Owner::Store(name) => self
                    .registrations
                    .get::<StoreRecord>(STORES, name)
                    .await
                    .map(|store| store.map(|store| store.limits)),
                Owner::Policy(name) => {
                    let policy = self.registrations.get::<PolicyRecord>(POLICIES, name).await;
                    policy.map(|policy| policy.map(|policy| policy.limits()))
                }
            };
            match spec {
                Ok(spec) => spec.into_iter().for_each(|spec| self.bounds.define(&owner, spec)),
                Err(error) => tracing::warn!(%owner, error = joined(&error), "its limit stays as it was"),
            }
        }
        self.bounds.look();
    }

    /// What a listener is told of a store when it is started, and the store's limit.
    ///
    /// # Errors
    /// As [`listener_secrets`].
    pub fn listener_store(&self, record: &StoreRecord) -> Result<ListenerStore, Error> {
        let StoreRecord { name, url, repository, checksums, limits, .. } = record.clone();
        self.bounds.store(&name, &limits);
        Ok(ListenerStore {
            place: launch::Store { url, repository, checksums },
            secrets: listener_secrets(record)?,
            bound: self.bounds.bound(vec![Owner::Store(name)]),
        })
    }
}
