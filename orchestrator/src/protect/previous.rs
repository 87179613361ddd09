//! What the objects were in the set's earlier versions: a new state carries on what is never reused, column ids for one.
//!
//! Nothing that a version needs depends on it. So a version or an entry that is damaged is passed over, with a word in the
//! log: an old version that cannot be read must not keep a new one from being made.

use std::{collections::BTreeMap, sync::Arc};

use futures::FutureExt as _;
use tidemark_catalog::{chain::VersionSet, entry::Entry, ids::ObjectName, pages, stored::StoredRef};

use super::Job;
use crate::{executors::read_document, failure::Failure};

/// Versions that are searched for an object's entry, from the newest on.
const LOOK_BACK: usize = 32;

impl Job<'_> {
    /// The newest entry of each object among the newest [`LOOK_BACK`] versions of the set.
    pub(super) async fn previous(&self, objects: &[ObjectName]) -> Result<BTreeMap<ObjectName, StoredRef>, Failure> {
        let set = VersionSet::new(Arc::clone(&self.store.objects), self.source_id.clone(), self.set.clone());
        let mut found = BTreeMap::new();
        for number in set.list().await?.into_iter().rev().take(LOOK_BACK) {
            if objects.iter().all(|object| found.contains_key(object)) {
                break;
            }
            match self.entries(&set, number).boxed().await {
                Ok(entries) => entries.into_iter().for_each(|(object, entry)| {
                    found.entry(object).or_insert(entry);
                }),
                Err(failure) if failure.retryable => return Err(failure),
                Err(failure) => {
                    tracing::warn!(source_id = %self.source_id, set = %self.set, version = number.0, %failure,
                    "a damaged version is not carried on")
                }
            }
        }
        Ok(found)
    }

    async fn entries(
        &self,
        set: &VersionSet,
        number: tidemark_catalog::ids::VersionNumber,
    ) -> Result<Vec<(ObjectName, StoredRef)>, Failure> {
        let manifest = set.read(number).await?;
        let lines = pages::read_lines(&self.store.objects, &manifest).await?;
        Ok(lines.into_iter().filter_map(|line| Some((line.object, line.entry?))).collect())
    }

    /// An entry of an earlier version; `None` where it is damaged.
    pub(super) async fn previous_entry(&self, reference: &StoredRef) -> Result<Option<Arc<Entry>>, Failure> {
        match read_document(&self.store.objects, reference).await {
            Ok(entry) => Ok(Some(Arc::new(entry))),
            Err(error) if error.is_retryable() => Err(error.into()),
            Err(error) => {
                tracing::warn!(source_id = %self.source_id, entry = reference.key, error = %tidemark_gateway::causes::chain(&error),
                    "a damaged entry is not carried on");
                Ok(None)
            }
        }
    }
}
