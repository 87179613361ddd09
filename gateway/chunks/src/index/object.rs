//! Reading one index object.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    ops::Range,
    sync::Arc,
};

use object_store::{ObjectStore, path::Path};

use super::{
    cache::{Cache, Part},
    layout::{
        MAGIC, MOST_PART_BYTES, MOST_SUMMARY_BYTES, RECORD_BYTES, RECORDS_IN_PAGE, Row, ShardAt, Summary, candidate,
        fingerprint, read_group, read_pack, shard_of,
    },
};
use crate::{
    ChunkId, Class,
    frame::{FRAME_BYTES, Frames, Role},
    header::{HEADER_BYTES, Kind},
    keys::Keyring,
    pack::{Ends, Error, FOOTER_BYTES, PackRecord, ranges},
    read::Location,
};

/// Ids that are looked up together, which bounds the memory of a lookup.
const IDS: usize = 512;

/// An open index object. In memory are only the places of its groups.
#[derive(Debug)]
pub struct IndexObject {
    store: Arc<dyn ObjectStore>,
    path: Path,
    frames: Frames,
    summary: Summary,
    cache: Arc<Cache>,
    number: u64,
}

/// A part that is sealed: its role, place and sealed length.
type Place = (Part, u64, u32);

impl IndexObject {
    pub(super) async fn open(
        store: &Arc<dyn ObjectStore>,
        keyring: &Keyring,
        path: &Path,
        cache: Arc<Cache>,
    ) -> Result<Self, Error> {
        let least = (HEADER_BYTES + FRAME_BYTES + FOOTER_BYTES) as u64;
        let ends = Ends::read(store, path, Kind::Index, MAGIC, least..u64::MAX).await?;
        let frames = keyring.frames(path, &ends.header)?;
        let mut sealed = ends.list(store, path, ends.before, MOST_SUMMARY_BYTES).await?;
        let seal = |_| Error::Seal { path: path.clone(), part: "summary" };
        let open = frames.open(Role::Summary(ends.before), &mut sealed).map_err(seal)?;
        let layout = || Error::Layout { path: path.clone(), part: "tables" };
        let summary = Summary::read(open).ok_or_else(layout)?;
        let number = cache.object();
        Ok(Self { store: Arc::clone(store), path: path.clone(), frames, summary, cache, number })
    }

    /// Its name.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Chunks in it.
    pub fn chunks(&self) -> u64 {
        self.summary.rows
    }

    /// Packs in it.
    pub fn packs(&self) -> u32 {
        self.summary.packs
    }

    pub(super) fn groups(&self) -> u64 {
        self.summary.groups.len() as u64
    }

    /// Where these chunks are, by their numbers in `wanted`.
    pub(super) async fn find(&self, wanted: &[(Class, ChunkId)]) -> Result<Vec<(usize, Location)>, Error> {
        let mut found = Vec::new();
        for (batch, wanted) in wanted.chunks(IDS).enumerate() {
            for (at, row) in self.find_rows(wanted).await? {
                found.push((batch * IDS + at, row));
            }
        }
        self.locate(found).await
    }

    async fn find_rows(&self, wanted: &[(Class, ChunkId)]) -> Result<Vec<(usize, Row)>, Error> {
        let groups = self.parts(wanted.iter().map(|(_, id)| self.group_place(self.group_of(id)))).await?;
        let mut shards: BTreeMap<u64, (ShardAt, Vec<usize>)> = BTreeMap::new();
        for (at, (_, id)) in wanted.iter().enumerate() {
            if let Some((number, shard)) =
                groups.get(&Part::Group(self.group_of(id))).and_then(|group| self.shard(group, id))
            {
                shards.entry(number).or_insert_with(|| (shard, Vec::new())).1.push(at);
            }
        }
        let places = shards.iter().map(|(number, (shard, _))| (Part::Shard(*number), shard.offset, shard.sealed));
        let read = self.parts(places).await?;
        let mut found = Vec::new();
        for (number, (_, ats)) in shards {
            let shard = read.get(&Part::Shard(number)).map(|shard| &**shard).unwrap_or_default();
            for at in ats {
                let (class, id) = &wanted[at];
                let rows = Row::find(shard, id).ok_or_else(|| self.layout("shards"))?;
                found.extend(rows.into_iter().filter(|row| row.entry.class == *class).map(|row| (at, row)));
            }
        }
        Ok(found)
    }

    fn group_of(&self, id: &ChunkId) -> u64 {
        shard_of(id, self.summary.shard_bits) / self.summary.shards()
    }

    fn group_place(&self, group: u64) -> Place {
        let (offset, sealed) = self.summary.groups.get(group as usize).copied().unwrap_or_default();
        (Part::Group(group), offset, sealed)
    }

    /// Number and place of the shard that may hold the id.
    fn shard(&self, group: &[u8], id: &ChunkId) -> Option<(u64, ShardAt)> {
        let (bits, shards) = (self.summary.shard_bits, self.summary.shards());
        let number = shard_of(id, bits);
        let shard = candidate(group, shards, number % shards, fingerprint(id, bits))?;
        Some((number, shard))
    }

    /// With the packs of these rows.
    async fn locate(&self, rows: Vec<(usize, Row)>) -> Result<Vec<(usize, Location)>, Error> {
        let numbers: BTreeSet<_> = rows.iter().map(|(_, row)| row.pack).collect();
        let mut packs = HashMap::with_capacity(numbers.len());
        for number in numbers {
            packs.insert(number, Arc::new(self.pack(number).await?));
        }
        let location = |(at, row): (usize, Row)| {
            let pack = packs.get(&row.pack).cloned();
            pack.map(|pack| (at, Location { pack, entry: row.entry })).ok_or_else(|| self.layout("packs"))
        };
        rows.into_iter().map(location).collect()
    }

    /// The pack with this number.
    pub(super) async fn pack(&self, number: u32) -> Result<PackRecord, Error> {
        if number >= self.summary.packs {
            return Err(self.layout("shards"));
        }
        let page = u64::from(number) / RECORDS_IN_PAGE;
        let (offset, sealed) = self.summary.page(page);
        let read = self.parts([(Part::Packs(page), offset, sealed)]).await?;
        let at = (u64::from(number) % RECORDS_IN_PAGE) as usize * RECORD_BYTES;
        let record = read.values().next().and_then(|page| page.get(at..at + RECORD_BYTES)).and_then(read_pack);
        record.ok_or_else(|| self.layout("packs"))
    }

    /// All rows of a group, sorted, read at once and not kept.
    pub(super) async fn rows(&self, group: u64) -> Result<Vec<Row>, Error> {
        let place = self.group_place(group);
        let read = self.parts([place]).await?;
        let shards = read.values().next().and_then(|group| read_group(group, self.summary.shards()));
        let shards = shards.ok_or_else(|| self.layout("groups"))?;
        let first = group * self.summary.shards();
        let places = (first..).zip(&shards).filter(|(_, shard)| shard.rows > 0);
        let places: Vec<_> = places.map(|(number, shard)| (Part::Shard(number), shard.offset, shard.sealed)).collect();
        let mut rows = Vec::with_capacity(shards.iter().map(|shard| shard.rows as usize).sum());
        for (_, shard) in self.fetch(&places).await? {
            rows.extend(Row::read_all(&shard).ok_or_else(|| self.layout("shards"))?);
        }
        Ok(rows)
    }

    /// These parts, out of the cache or the store.
    async fn parts(&self, places: impl IntoIterator<Item = Place>) -> Result<HashMap<Part, Arc<[u8]>>, Error> {
        let (mut parts, mut missing) = (HashMap::new(), BTreeMap::new());
        for (part, offset, sealed) in places {
            match self.cache.get((self.number, part)) {
                Some(bytes) => drop(parts.insert(part, bytes)),
                None => drop(missing.insert(offset, (part, offset, sealed))),
            }
        }
        let missing: Vec<_> = missing.into_values().collect();
        for (part, bytes) in self.fetch(&missing).await? {
            let bytes: Arc<[u8]> = bytes.into();
            self.cache.put((self.number, part), Arc::clone(&bytes));
            parts.insert(part, bytes);
        }
        Ok(parts)
    }

    /// These parts, out of the store, each proven; ordered by their place.
    async fn fetch(&self, places: &[Place]) -> Result<Vec<(Part, Vec<u8>)>, Error> {
        if places.iter().any(|(_, _, sealed)| *sealed > MOST_PART_BYTES) {
            return Err(self.layout("tables"));
        }
        let wanted: Vec<Range<u64>> = places.iter().map(|(_, at, sealed)| *at..at + u64::from(*sealed)).collect();
        let read = if wanted.is_empty() { Vec::new() } else { ranges(&self.store, &self.path, &wanted).await? };
        places.iter().zip(read).map(|((part, ..), sealed)| Ok((*part, self.unseal(*part, &sealed)?))).collect()
    }

    fn unseal(&self, part: Part, sealed: &[u8]) -> Result<Vec<u8>, Error> {
        let (role, name) = match part {
            Part::Group(number) => (Role::Group(number), "groups"),
            Part::Shard(number) => (Role::Shard(number), "shards"),
            Part::Packs(number) => (Role::Packs(number), "packs"),
        };
        let mut sealed = sealed.to_vec();
        let open = self.frames.open(role, &mut sealed);
        open.map(|open| open.to_vec()).map_err(|_| Error::Seal { path: self.path.clone(), part: name })
    }

    fn layout(&self, part: &'static str) -> Error {
        Error::Layout { path: self.path.clone(), part }
    }
}
