//! What a listed object serves, or why it goes.

use std::collections::BTreeSet;

use jiff::Timestamp;
use object_store::{ObjectMeta, path::Path};

use super::{
    Class, Collector, Why,
    name::Kind,
    reading::{Fate, Reading},
    served::Served,
};
use crate::{
    ids::{FencingToken, TaskId, VersionId},
    marks::Marked,
    states::{after, store_time},
};

impl Collector<'_> {
    /// What `meta` is, after one reading. `marked` is what the round that is not swept has marked.
    pub(super) fn classify(&self, reading: &Reading<'_>, marked: &Marked, meta: &ObjectMeta) -> (Kind, Class) {
        let kind = Kind::of(self.source, &meta.location);
        let served = reading.served(&meta.location);
        let class = match (served.and_then(|served| needed(reading, served)), &kind) {
            (Some(class), _) => class,
            (None, Kind::Lasting) => Class::Lasting,
            (None, Kind::Foreign) => Class::Foreign,
            (None, kind) => self.unneeded(reading, marked, meta, kind, served),
        };
        (kind, class)
    }

    fn unneeded(
        &self,
        reading: &Reading<'_>,
        marked: &Marked,
        meta: &ObjectMeta,
        kind: &Kind,
        served: Option<&Served>,
    ) -> Class {
        if let Some(round) = marked.round().filter(|_| marked.contains(&meta.location)) {
            return Class::Marked { round };
        }
        let writers = reading.writers(kind, &meta.location);
        if let Some(task) = writers.intersection(&reading.alive).next() {
            return Class::Task { task: task.clone() };
        }
        if let Kind::Staged(task) = kind {
            return self.staged(reading, task, store_time(meta));
        }
        if let Some(version) = served.and_then(|served| reading.version(served.gone)) {
            return Class::Garbage { why: Why::Collected { version } };
        }
        match writers.into_iter().next() {
            Some(task) => Class::Garbage { why: self.why_over(reading, task) },
            None => self.by_age(reading, store_time(meta)),
        }
    }

    /// What is staged for a task that is not alive.
    fn staged(&self, reading: &Reading<'_>, task: &TaskId, since: Timestamp) -> Class {
        let committed = reading.committed.get(task.as_str());
        match committed.and_then(|place| reading.versions.get(*place as usize)) {
            Some((version, fate)) if reading.keeping.contains(task.as_str()) && *fate != Fate::Gone => {
                Class::Staged { version: version.clone() }
            }
            Some(_) => Class::Garbage { why: Why::TaskDone { task: task.clone() } },
            None if self.live.done.contains(task) => Class::Garbage { why: Why::TaskDone { task: task.clone() } },
            None => self.by_age(reading, since),
        }
    }

    fn why_over(&self, reading: &Reading<'_>, task: TaskId) -> Why {
        let done = self.live.done.contains(&task) || reading.committed.contains_key(task.as_str());
        if done { Why::TaskDone { task } } else { Why::Unclaimed }
    }

    fn by_age(&self, reading: &Reading<'_>, since: Timestamp) -> Class {
        let until = after(since, self.ages.unclaimed);
        if reading.now < until { Class::Young { until } } else { Class::Garbage { why: Why::Unclaimed } }
    }
}

fn needed(reading: &Reading<'_>, served: &Served) -> Option<Class> {
    if served.plain > 0 {
        let first = reading.version(Some(served.first))?;
        return Some(Class::Versions { first, count: u64::from(served.plain) });
    }
    if let Some(version) = reading.version(served.expired) {
        let after = match reading.versions.get(served.expired? as usize) {
            Some((_, Fate::Expired(after))) => *after,
            _ => None,
        };
        return Some(Class::Expired { version, after });
    }
    reading.version(served.pinned).map(|version| Class::Pinned { version })
}

impl Reading<'_> {
    /// The version at a place.
    pub(super) fn version(&self, place: Option<u32>) -> Option<VersionId> {
        self.versions.get(place? as usize).map(|(id, _)| id.clone())
    }

    /// Tasks that may have written an object, as far as roots say so.
    fn writers(&self, kind: &Kind, path: &Path) -> BTreeSet<TaskId> {
        let of_token = |token: &FencingToken| self.roots.writers.get(token).cloned().unwrap_or_default();
        match kind {
            Kind::Page(token) | Kind::Segment(token) => of_token(token),
            Kind::Staged(task) => [task.clone()].into(),
            Kind::Root => self.roots.paths.get(path).cloned().into_iter().collect(),
            Kind::Lasting | Kind::Foreign => BTreeSet::new(),
        }
    }
}
