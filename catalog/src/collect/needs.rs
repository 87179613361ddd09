//! What an entry and a version name: the one place that knows it.

use std::{collections::HashMap, fmt, sync::Arc};

use futures::{FutureExt, StreamExt, stream};
use object_store::ObjectStore;

use super::Error;
use crate::{
    content::{self, Content, Records},
    document,
    entry::Entry,
    ids::{ObjectName, VersionId},
    manifest::Manifest,
    marks::Key,
    pages,
    stored::StoredRef,
};

/// Entries that are read at a time.
const READS_AT_A_TIME: usize = 16;

/// Every object that an entry needs, itself included.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EntryNeeds {
    /// The entry and the range pages: they were read, and are what they were when they were written.
    pub read: Vec<StoredRef>,
    /// Segments, identity pages and leaves of blocks: nothing was asked about them.
    pub unread: Vec<StoredRef>,
}

impl EntryNeeds {
    /// All of them.
    pub fn all(&self) -> impl Iterator<Item = &StoredRef> {
        self.read.iter().chain(&self.unread)
    }
}

/// Every object that the entry which `reference` names needs, itself included.
///
/// # Errors
/// As [`document::read`], for the entry and its range pages.
pub async fn of_entry(store: &Arc<dyn ObjectStore>, reference: &StoredRef) -> Result<EntryNeeds, document::Error> {
    let entry: Entry = document::read(store, reference).await?;
    let mut needs = EntryNeeds { read: vec![reference.clone()], unread: Vec::new() };
    match entry.content {
        Content::Blocks(blocks) => needs.unread = blocks.leaves,
        Content::Records(records) => {
            let ranges = content::ranges(store, &records.baseline).await?;
            needs.unread = beside_baseline(&records);
            needs.unread.extend(ranges.into_iter().map(|range| range.stored));
            needs.read.extend(records.baseline);
        }
    }
    Ok(needs)
}

/// What records name but for their baseline: segments of increments and retractions, identity pages.
fn beside_baseline(records: &Records) -> Vec<StoredRef> {
    let increments = records.increments.iter().flat_map(|increment| &increment.segments);
    let retractions = records.retractions.iter().flat_map(|retraction| &retraction.segments);
    let segments = increments.chain(retractions).map(|segment| segment.stored.clone());
    segments.chain(records.merged.iter().map(|page| page.stored.clone())).collect()
}

/// What versions need, each entry read once however many versions share it. Names and objects are numbered as they come.
pub(super) struct Needs<'a> {
    store: &'a Arc<dyn ObjectStore>,
    objects: Vec<ObjectName>,
    numbers: HashMap<ObjectName, u32>,
    keys: Vec<Key>,
    names: HashMap<Key, u32>,
    pages: HashMap<u32, Arc<[Line]>>,
    entries: HashMap<u32, Arc<[u32]>>,
}

/// A line of an object page: the object's number, and its entry.
type Line = (u32, Option<StoredRef>);

/// The number of a name that a version needs, with that of the object it is of; none of what objects share.
pub(super) type Named = (u32, Option<u32>);

impl<'a> Needs<'a> {
    pub(super) fn new(store: &'a Arc<dyn ObjectStore>) -> Self {
        let (names, pages, entries) = (HashMap::new(), HashMap::new(), HashMap::new());
        Self { store, objects: Vec::new(), numbers: HashMap::new(), keys: Vec::new(), names, pages, entries }
    }

    /// The number of a name.
    pub(super) fn name(&mut self, key: Key) -> u32 {
        *self.names.entry(key).or_insert_with(|| {
            self.keys.push(key);
            u32::try_from(self.keys.len() - 1).unwrap_or(u32::MAX)
        })
    }

    /// The number of a name that any version or block has.
    pub(super) fn known(&self, key: Key) -> Option<u32> {
        self.names.get(&key).copied()
    }

    /// The name of a number that was given.
    pub(super) fn key(&self, name: u32) -> Key {
        self.keys[name as usize]
    }

    /// The object of a number that was given.
    pub(super) fn object(&self, number: u32) -> Option<&ObjectName> {
        self.objects.get(number as usize)
    }

    /// All that a version needs besides its manifest, each name once; asked again about a version it reads nothing.
    ///
    /// # Errors
    /// [`Error::Pages`], [`Error::Entry`].
    pub(super) async fn of_version(&mut self, manifest: &Manifest) -> Result<Vec<Named>, Error> {
        let Some(version) = manifest.version() else { return Ok(Vec::new()) };
        let (mut named, mut lines) = (Vec::new(), Vec::new());
        for page in &version.pages {
            named.push((self.name(Key::of(page.path().as_ref())), None));
            let page = self.page(page).await;
            lines.extend(page.map_err(|error| pages_failed(manifest, error.into()))?.iter().cloned());
        }
        if lines.len() as u64 != version.objects {
            return Err(pages_failed(manifest, pages::count_error(manifest, version.objects, lines.len() as u64)));
        }
        self.load_entries(manifest, &lines).await?;
        for (object, entry) in &lines {
            let Some(entry) = entry else { continue };
            let entry = self.name(Key::of(entry.path().as_ref()));
            let names = self.entries.get(&entry);
            named.extend(names.iter().flat_map(|names| names.iter()).map(|name| (*name, Some(*object))));
        }
        named.sort_by_key(|(name, _)| *name);
        named.dedup_by_key(|(name, _)| *name);
        Ok(named)
    }

    async fn page(&mut self, page: &StoredRef) -> Result<Arc<[Line]>, document::Error> {
        let name = self.name(Key::of(page.path().as_ref()));
        if let Some(lines) = self.pages.get(&name) {
            return Ok(lines.clone());
        }
        let (_, read) = pages::read_page(self.store, page).await?;
        let lines: Arc<[Line]> = read.into_iter().map(|line| (self.number(line.object), line.entry)).collect();
        self.pages.insert(name, lines.clone());
        Ok(lines)
    }

    /// The number of an object.
    pub(super) fn number(&mut self, object: ObjectName) -> u32 {
        if let Some(number) = self.numbers.get(&object) {
            return *number;
        }
        let number = u32::try_from(self.objects.len()).unwrap_or(u32::MAX);
        self.objects.push(object.clone());
        self.numbers.insert(object, number);
        number
    }

    /// Reads the entries that were not read for an earlier version.
    async fn load_entries(&mut self, manifest: &Manifest, lines: &[Line]) -> Result<(), Error> {
        let mut reads = Vec::new();
        for (object, entry) in lines {
            let Some(entry) = entry else { continue };
            let (name, store) = (self.name(Key::of(entry.path().as_ref())), self.store);
            if !self.entries.contains_key(&name) {
                reads.push(async move { (of_entry(store, entry).await, name, *object) }.boxed());
            }
        }
        let mut reads = stream::iter(reads).buffer_unordered(READS_AT_A_TIME);
        while let Some((read, name, object)) = reads.next().await {
            let failed = |source| Error::Entry {
                version: version_id(manifest),
                object: self.objects.get(object as usize).map(ToString::to_string).unwrap_or_default(),
                source,
            };
            let needs = read.map_err(failed)?;
            let names = needs.all().map(|stored| self.name(Key::of(stored.path().as_ref()))).collect();
            self.entries.insert(name, names);
        }
        Ok(())
    }
}

impl fmt::Debug for Needs<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Needs({} entries)", self.entries.len())
    }
}

/// The id of the version that a manifest makes.
pub(super) fn version_id(manifest: &Manifest) -> VersionId {
    VersionId { source: manifest.source.clone(), set: manifest.set.clone(), number: manifest.number }
}

fn pages_failed(manifest: &Manifest, source: pages::Error) -> Error {
    Error::Pages { version: version_id(manifest), source }
}
