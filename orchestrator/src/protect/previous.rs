//! What the objects were in the set's earlier versions: a new state carries on what is never reused, column ids for one.
//!
//! Nothing that a version needs depends on it. So a version or an entry that is damaged is passed over, with a word in the
//! log: an old version that cannot be read must not keep a new one from being made.

use std::{collections::BTreeMap, sync::Arc};

use futures::FutureExt as _;
use tidemark_catalog::{
    chain::{self, VersionSet},
    document,
    entry::Entry,
    ids::{ObjectName, VersionNumber},
    marks, pages,
    states::{self, VersionStates},
    stored::StoredRef,
};

use super::Job;
use crate::{executors::read_document, failure::Failure};

/// Versions that are searched for an object's entry, from the newest on.
const LOOK_BACK: usize = 32;

impl Job<'_> {
    /// The newest entry of each object among the newest [`LOOK_BACK`] versions of the set.
    pub(super) async fn previous(&self, objects: &[ObjectName]) -> Result<BTreeMap<ObjectName, StoredRef>, Failure> {
        let set = VersionSet::new(Arc::clone(&self.store.objects), self.source_id.clone(), self.set.clone());
        let marks = marks::newest(&self.store.objects, &self.source_id).await;
        let marks = self.undamaged(marks, marks::Error::is_of_the_store, || "marks".to_owned())?.flatten();
        let gone = |number| marks.as_ref().is_some_and(|round| round.is_gone(&self.set, number));
        let (mut found, mut looked) = (BTreeMap::new(), 0);
        for number in set.list().await?.into_iter().rev().filter(|number| !gone(*number)) {
            if looked == LOOK_BACK || objects.iter().all(|object| found.contains_key(object)) {
                break;
            }
            let Some(entries) = self.entries(&set, number).boxed().await? else { continue };
            looked += 1;
            for (object, entry) in entries {
                found.entry(object).or_insert(entry);
            }
        }
        Ok(found)
    }

    /// The entries of a version; none where it is damaged, `None` where the number holds no version or a collected one.
    async fn entries(
        &self,
        set: &VersionSet,
        number: VersionNumber,
    ) -> Result<Option<Vec<(ObjectName, StoredRef)>>, Failure> {
        let what = || format!("version {number}");
        let manifest = set.read(number).await;
        let Some(manifest) = self.undamaged(manifest, chain::Error::is_of_the_store, what)? else {
            return Ok(Some(Vec::new()));
        };
        if manifest.version().is_none() || self.is_collected(number).await? {
            return Ok(None);
        }
        let lines = pages::read_lines(&self.store.objects, &manifest).await;
        let lines = self.undamaged(lines, pages::Error::is_of_the_store, what)?.unwrap_or_default();
        Ok(Some(lines.into_iter().filter_map(|line| Some((line.object, line.entry?))).collect()))
    }

    async fn is_collected(&self, number: VersionNumber) -> Result<bool, Failure> {
        let states = VersionStates::new(Arc::clone(&self.store.objects), self.source_id.clone(), self.set.clone());
        let state = states.get(number).await;
        let state =
            self.undamaged(state, states::Error::is_of_the_store, || format!("the state of version {number}"))?;
        Ok(state.is_some_and(|state| state.collected))
    }

    /// An entry of an earlier version; `None` where it is damaged.
    pub(super) async fn previous_entry(&self, reference: &StoredRef) -> Result<Option<Arc<Entry>>, Failure> {
        let entry = read_document(&self.store.objects, reference).await;
        let entry = self.undamaged(entry, document::Error::is_of_the_store, || format!("entry {}", reference.key))?;
        Ok(entry.map(Arc::new))
    }

    /// What was read; `None`, with a word in the log, where `what` is damaged. A store that does not answer is no damage.
    fn undamaged<T, E: std::error::Error + Into<Failure> + 'static>(
        &self,
        read: Result<T, E>,
        is_of_the_store: fn(&E) -> bool,
        what: impl Fn() -> String,
    ) -> Result<Option<T>, Failure> {
        match read {
            Ok(read) => Ok(Some(read)),
            Err(error) if is_of_the_store(&error) => Err(error.into()),
            Err(error) => {
                let (what, error) = (what(), tidemark_gateway::causes::joined(&error));
                tracing::warn!(source_id = %self.source_id, set = %self.set, what, error, "damaged, and not carried on");
                Ok(None)
            }
        }
    }
}
