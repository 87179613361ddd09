//! What a listing is worth after all that was told: which collections were taken as they were right before the time
//! that is proven, and about which names nobody can say. No I/O.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use tidemark_catalog::{ids::ObjectName, slice::SliceObject};

use super::{journal::RunFile, run::ROUNDS, scan::Scan, told::Told};
use crate::{
    describe::Listed,
    event::Namespace,
    staged::{Collection, Run, Schema},
    time::ClusterTime,
};

/// Id of what was not listed.
const UNKNOWN: &str = "unknown";

/// What was listed, and when.
pub(super) struct Listing {
    /// Wall time right before it was asked.
    pub(super) started: Timestamp,
    /// It is of no earlier time, and of no later one.
    pub(super) from: ClusterTime,
    pub(super) until: ClusterTime,
    pub(super) collections: Vec<(Listed, Schema)>,
}

/// All that is known when events are proven up to a time.
pub(super) struct Look<'a> {
    pub(super) listing: &'a Listing,
    /// Scans by UUID.
    pub(super) scans: &'a BTreeMap<String, Scan>,
    pub(super) told: &'a Told,
    /// Stored runs of events, by UUID.
    pub(super) runs: &'a [(String, RunFile)],
    pub(super) proven: ClusterTime,
    /// What was listed when events were proven.
    pub(super) again: &'a [Listed],
}

impl Look<'_> {
    /// Names about which the listing may be wrong right before the time that is proven; a name without collection means
    /// all of the database.
    pub(super) fn disturbed(&self) -> BTreeSet<Namespace> {
        let since = self.listing.from..self.proven;
        let changed = self.told.catalog.iter().filter(|change| since.contains(&change.at));
        let mut names: BTreeSet<Namespace> = changed.map(|change| change.namespace()).collect();
        let unlisted = |uuid: &str| !self.listing.collections.iter().any(|(listed, _)| listed.uuid == uuid);
        // Collections of which no event told that they came. Where the last event stands at the time that is proven,
        // others may not.
        let seen = self.told.seen.iter().filter(|(uuid, (last, _))| since.start <= *last && unlisted(uuid));
        names.extend(seen.map(|(_, (_, name))| name.clone()));
        for (listed, _) in
            self.listing.collections.iter().filter(|(listed, _)| listed.unsupported().is_none() && !listed.is_view())
        {
            let scan = self.scans.get(&listed.uuid);
            if !scan.is_some_and(|scan| settled(scan, &listed.namespace, self.told)) {
                names.insert(listed.namespace.clone());
            }
        }
        names.extend(self.views_changed());
        names
    }

    /// Names of views that came, went or changed between the listings: servers before 8.1 have no events of views. A
    /// view that is the same before and after the time that is proven was so at it.
    fn views_changed(&self) -> Vec<Namespace> {
        let before = views(self.listing.collections.iter().map(|(listed, _)| listed));
        before.symmetric_difference(&views(self.again.iter())).map(|(name, _)| (*name).clone()).collect()
    }

    /// What was taken of the collections of the listing. What came since, or may have come, is not in it and is named.
    pub(super) fn taken(&self, disturbed: &BTreeSet<Namespace>) -> (Vec<Collection>, Vec<SliceObject>) {
        let (mut collections, mut objects) = (Vec::new(), Vec::new());
        for (listed, schema) in &self.listing.collections {
            let Some(object) = listed.object() else { continue };
            let line = SliceObject { object, object_id: listed.uuid.clone(), unreadable: None, files: Vec::new() };
            if let Some(reason) = self.unreadable(listed, disturbed) {
                tracing::warn!(object = %line.object, reason, "the object is unreadable");
                objects.push(SliceObject { unreadable: Some(reason), ..line });
                continue;
            }
            let own = self.runs.iter().filter(|(uuid, _)| *uuid == listed.uuid).map(|(_, file)| file);
            let files: Vec<_> =
                self.scans.get(&listed.uuid).into_iter().flat_map(|scan| &scan.files).chain(own).collect();
            let runs: Vec<Run> = files.iter().map(|file| file.run.clone()).collect();
            let (uuid, object) = (listed.uuid.clone(), Some(line.object.clone()));
            let since = self.told.entered.get(&uuid).copied();
            collections.push(Collection { uuid, object, since, schema: schema.clone(), runs });
            objects.push(SliceObject { files: files.into_iter().map(|file| file.file.clone()).collect(), ..line });
        }
        objects.extend(disturbed.iter().filter_map(|name| self.unlisted(name)));
        (collections, objects)
    }

    /// The line of a name that is not in the listing.
    fn unlisted(&self, name: &Namespace) -> Option<SliceObject> {
        let listed = self.listing.collections.iter().any(|(listed, _)| listed.namespace == *name);
        if listed || self.told.gone(name, self.proven) {
            return None;
        }
        let object = ObjectName::new([name.database.as_str(), name.collection.as_str()]).ok()?;
        let reason =
            format!("it came, or changed its name, when it had been listed {ROUNDS} times: the next capture has it");
        tracing::warn!(%object, reason, "the object is not captured");
        Some(SliceObject { object, object_id: UNKNOWN.to_owned(), unreadable: Some(reason), files: Vec::new() })
    }

    /// Why there is nothing to be had of a collection.
    fn unreadable(&self, listed: &Listed, disturbed: &BTreeSet<Namespace>) -> Option<String> {
        if let Some(why) = listed.unsupported() {
            return Some(why.to_owned());
        }
        let scan = self.scans.get(&listed.uuid);
        if let Some(id) = scan.and_then(|scan| scan.twice.as_ref()) {
            let Namespace { database, collection } = &listed.namespace;
            return Some(format!(
                "two documents of {database}.{collection} have the _id {id}: their changes cannot be told apart"
            ));
        }
        if disturbed.iter().any(|at| at.touches(&listed.namespace)) {
            return Some(format!("it came, went or changed {ROUNDS} times while it was captured"));
        }
        let whole = listed.is_view() || scan.is_some_and(|scan| scan.over);
        (!whole).then(|| "it could not be read to its end".to_owned())
    }
}

/// Names and options of the views among these.
fn views<'a>(all: impl Iterator<Item = &'a Listed>) -> BTreeSet<(&'a Namespace, &'a [u8])> {
    all.filter(|listed| listed.is_view()).map(|listed| (&listed.namespace, &listed.options[..])).collect()
}

/// True where another scan would find nothing else.
pub(super) fn settled(scan: &Scan, name: &Namespace, told: &Told) -> bool {
    scan.twice.is_some() || scan.over && !moved(scan, name, told)
}

/// True where the name may mean another collection than when it was listed, or none: what is read under it is not of what was listed.
/// What nothing was told of yet lies in the bracket of the scan.
pub(super) fn moved_since(listing: &Listing, name: &Namespace, told: &Told) -> bool {
    let changes = told.catalog.iter().filter(|change| change.moves() && change.at >= listing.from);
    changes.map(|change| change.namespace()).any(|at| at.touches(name))
}

/// True where the name may have meant another collection while it was read, or where the collection came from among
/// what is not captured since it began to be: what happened to it there is not known.
fn moved(scan: &Scan, name: &Namespace, told: &Told) -> bool {
    let Some((from, until)) = scan.bracket else { return true };
    let changes = told.catalog.iter().filter(|change| change.moves() && (from..=until).contains(&change.at));
    let entered = told.entered.get(scan.uuid()).is_some_and(|at| from < *at);
    entered || changes.map(|change| change.namespace()).any(|at| at.touches(name))
}

#[cfg(test)]
mod tests;
