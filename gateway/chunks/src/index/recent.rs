//! Packs that are in no index object yet.

use std::{collections::BTreeMap, sync::Arc};

use crate::{
    ChunkId, Class,
    pack::{Entry, Pack, PackRecord},
    read::Location,
};

#[derive(Debug, Default)]
pub(super) struct Recent {
    packs: Vec<Arc<PackRecord>>,
    /// By id and pack.
    rows: BTreeMap<(ChunkId, u32), Entry>,
}

impl Recent {
    pub(super) fn record(&mut self, pack: &Pack) {
        let number = u32::try_from(self.packs.len()).expect("packs are flushed long before");
        self.packs.push(Arc::new(pack.record.clone()));
        self.rows.extend(pack.entries.iter().map(|entry| ((entry.id, number), *entry)));
    }

    pub(super) fn len(&self) -> usize {
        self.rows.len()
    }

    pub(super) fn packs(&self) -> &[Arc<PackRecord>] {
        &self.packs
    }

    /// Sorted by id and pack.
    pub(super) fn rows(&self) -> impl Iterator<Item = (u32, Entry)> {
        self.rows.iter().map(|((_, pack), entry)| (*pack, *entry))
    }

    pub(super) fn find(&self, (class, id): &(Class, ChunkId)) -> Vec<Location> {
        let rows = self.rows.range((*id, 0)..=(*id, u32::MAX)).rev().filter(|(_, entry)| entry.class == *class);
        let location =
            |pack: u32, entry: Entry| Some(Location { pack: Arc::clone(self.packs.get(pack as usize)?), entry });
        rows.filter_map(|((_, pack), entry)| location(*pack, *entry)).collect()
    }
}
