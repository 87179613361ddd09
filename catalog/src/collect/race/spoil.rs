//! Somebody who harms needs blocks: damages those that are there, and puts others beside them.

use futures::TryStreamExt;
use object_store::{ObjectStore, ObjectStoreExt, path::Path};
use tidemark_gateway::{Digest, fetch};

use super::{super::blocks, others::Other};
use crate::{
    find,
    ids::{FencingToken, SetId, VersionNumber},
    layout,
};

impl Other {
    /// Harms one block of one set; nothing of it may cost data.
    pub(super) async fn spoil(self) {
        let source = &self.world.source;
        let Ok(sets) = find::sets(&self.store, source).await else { return };
        let Some(set) = sets.get(self.world.roll(sets.len().max(1) as u64) as usize).cloned() else { return };
        let listed: Result<Vec<_>, _> = self.store.list(Some(&layout::needs(source, &set))).try_collect().await;
        let Ok(listed) = listed else { return };
        match listed.get(self.world.roll(listed.len().max(1) as u64) as usize) {
            Some(meta) if self.world.chance(2) => self.damage(&meta.location).await,
            Some(meta) if self.world.chance(2) => drop(self.store.delete(&meta.location).await),
            _ => self.add(&set).await,
        }
    }

    async fn damage(&self, path: &Path) {
        let Ok(bytes) = fetch::get_unchecked(&self.store, path).await else { return };
        let mut bytes = bytes.to_vec();
        match self.world.roll(3) {
            0 => bytes.truncate(self.world.roll(bytes.len().max(1) as u64) as usize),
            1 => bytes = Vec::new(),
            _ => {
                let any = self.world.roll(bytes.len().max(1) as u64) as usize;
                if let Some(byte) = bytes.get_mut(any) {
                    *byte ^= 1;
                }
            }
        }
        self.world.count("a needs block was damaged");
        drop(self.store.put(path, bytes.into()).await);
    }

    /// A block of another chain, in which nothing is needed, or one of a format to come; it is preferred to all others.
    async fn add(&self, set: &SetId) {
        let (source, span) = (&self.world.source, self.world.numbers);
        let last = VersionNumber(span * (1 + self.world.roll(2)));
        let bytes = match self.world.roll(3) {
            0 => br#"{"document":"needs-block","format":9,"of":"a format to come"}"#.to_vec(),
            _ => blocks::tests::foreign(source, set, last.0 - span + 1, last.0),
        };
        let token = FencingToken { generation: 8, revision: self.world.roll(1000) };
        let path = layout::needs_block(source, set, 0, last, token, Digest::of(&bytes));
        self.world.count("a foreign needs block was put");
        drop(self.store.put(&path, bytes.into()).await);
    }
}
