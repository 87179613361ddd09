//! Makes a block of what a reading knows.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::{
    super::needs::{Named, Needs},
    Group,
    stored::{Names, Told},
};
use crate::{ids::ObjectName, marks::Key, opaque::Opaque};

/// Ranges of places, ascending.
type Places = Vec<(u32, u32)>;

/// Versions, told one after another, and what they need. Holds about 120 bytes for each name.
#[derive(Debug, Default)]
pub(super) struct Builder {
    versions: Vec<Told>,
    needs: HashMap<Named, Places>,
}

/// What a block tells.
pub(super) struct Built {
    pub(super) versions: Vec<Told>,
    pub(super) objects: Vec<ObjectName>,
    pub(super) needs: Vec<Names>,
}

impl Builder {
    /// Tells of a version and of all that it needs.
    pub(super) fn tell(&mut self, told: Told, needs: impl IntoIterator<Item = Named>) {
        let place = self.place();
        self.versions.push(told);
        for named in needs {
            extend(self.needs.entry(named).or_default(), place);
        }
    }

    /// Tells what a block does, of the versions that are not gone.
    pub(super) fn tell_again(&mut self, versions: &[Told], groups: &[Group], is_gone: impl Fn(&Told) -> bool) {
        let mut places = HashMap::new();
        for (before, told) in (0..).zip(versions).filter(|(_, told)| !is_gone(told)) {
            places.insert(before, self.place());
            self.versions.push(told.clone());
        }
        for group in groups {
            let kept: Vec<u32> = group.places().filter_map(|before| places.get(&before).copied()).collect();
            for name in group.names.iter().filter(|_| !kept.is_empty()) {
                let ranges = self.needs.entry((*name, group.object)).or_default();
                kept.iter().for_each(|place| extend(ranges, *place));
            }
        }
    }

    fn place(&self) -> u32 {
        u32::try_from(self.versions.len()).unwrap_or(u32::MAX)
    }

    /// True where it tells of no version.
    pub(super) fn is_empty(&self) -> bool {
        self.versions.is_empty()
    }

    /// What a block is to tell, in an order that depends on nothing else.
    pub(super) fn finish(self, needs: &Needs<'_>) -> Built {
        let used: BTreeSet<_> = self.needs.keys().filter_map(|(_, object)| needs.object(*object.as_ref()?)).collect();
        let objects: Vec<ObjectName> = used.into_iter().cloned().collect();
        let place = |object: u32| {
            let at = objects.binary_search(needs.object(object)?).ok()?;
            u32::try_from(at).ok()
        };
        let mut groups: BTreeMap<(Places, Option<u32>), Vec<Key>> = BTreeMap::new();
        for ((name, object), places) in self.needs {
            let object = object.and_then(place);
            groups.entry((places, object)).or_default().push(needs.key(name));
        }
        let names = |((versions, object), mut keys): ((Places, Option<u32>), Vec<Key>)| {
            keys.sort_unstable();
            let keys: Vec<u8> = keys.into_iter().flat_map(Key::to_bytes).collect();
            Names { object, versions, keys: Opaque::new(keys) }
        };
        Built { versions: self.versions, needs: groups.into_iter().map(names).collect(), objects }
    }
}

/// Adds a place that is behind all others.
fn extend(ranges: &mut Places, place: u32) {
    match ranges.last_mut() {
        Some((_, last)) if *last + 1 == place => *last = place,
        _ => ranges.push((place, place)),
    }
}
