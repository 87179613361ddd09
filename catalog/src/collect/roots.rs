//! Work roots: which tasks are alive, under which tokens they wrote and what they pin.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
};

use futures::{StreamExt, TryStreamExt, stream};
use jiff::Timestamp;
use object_store::{ObjectStore, path::Path};

use super::Error;
use crate::{
    document,
    ids::{FencingToken, SetId, SourceId, TaskId, VersionId},
    layout,
    states::store_time,
    work::WorkRoot,
};

/// Roots that are read at a time.
const READS_AT_A_TIME: usize = 16;

/// The roots of a source.
#[derive(Debug, Default)]
pub(super) struct Roots {
    /// What the roots of each task say together.
    pub(super) tasks: BTreeMap<TaskId, OfTask>,
    /// Task of each token.
    pub(super) writers: HashMap<FencingToken, BTreeSet<TaskId>>,
    /// Task of each root.
    pub(super) paths: HashMap<Path, TaskId>,
}

/// What the roots of one task say together.
#[derive(Debug)]
pub(super) struct OfTask {
    /// When the newest was written, by the store's clock.
    pub(super) newest: Timestamp,
    /// What any of them pins.
    pub(super) pins: BTreeSet<VersionId>,
}

impl Roots {
    /// All roots of these sets.
    ///
    /// # Errors
    /// [`Error::List`]; [`Error::Root`] for one that cannot be read: what it pins is not known.
    pub(super) async fn read(
        store: &Arc<dyn ObjectStore>,
        source: &SourceId,
        sets: &BTreeSet<SetId>,
    ) -> Result<Self, Error> {
        let mut roots = Self::default();
        for set in sets {
            let listed = list(store, source, set).await?;
            let mut reads = Vec::with_capacity(listed.len());
            for (path, since) in listed {
                reads.push(async move { (document::read_unchecked::<WorkRoot>(store, &path).await, path, since) });
            }
            let mut reads = stream::iter(reads).buffer_unordered(READS_AT_A_TIME);
            while let Some((read, path, since)) = reads.next().await {
                match read {
                    Ok(root) => roots.add(root, path, since),
                    // Another sweep deleted it meanwhile.
                    Err(error) if error.is_absent() => {}
                    Err(source) => return Err(Error::Root { path, source }),
                }
            }
        }
        Ok(roots)
    }

    fn add(&mut self, root: WorkRoot, path: Path, since: Timestamp) {
        for token in root.tokens {
            self.writers.entry(token).or_default().insert(root.task.clone());
        }
        self.paths.insert(path, root.task.clone());
        let of = self.tasks.entry(root.task).or_insert_with(|| OfTask { newest: since, pins: BTreeSet::new() });
        of.newest = of.newest.max(since);
        of.pins.extend(root.pins);
    }
}

async fn list(store: &Arc<dyn ObjectStore>, source: &SourceId, set: &SetId) -> Result<Vec<(Path, Timestamp)>, Error> {
    let prefix = layout::work(source, set);
    let mut listing = store.list(Some(&prefix));
    let mut found = Vec::new();
    while let Some(meta) = listing.try_next().await.map_err(|source| Error::List { prefix: prefix.clone(), source })? {
        if super::name::Kind::of(source, &meta.location) == super::name::Kind::Root {
            found.push((meta.location.clone(), store_time(&meta)));
        }
    }
    Ok(found)
}
