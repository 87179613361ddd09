//! A block as it is stored (`docs/format.md`, "Needs blocks").

use serde::{Deserialize, Serialize};
use tidemark_gateway::Digest;

use super::Listed;
use crate::{
    document::{self, Document},
    ids::{ObjectName, SetId, SourceId, VersionNumber},
    marks::Key,
    opaque::Opaque,
};

/// Bytes of a key.
const KEY_BYTES: usize = 16;

/// What the versions of some numbers need.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::collect) struct Block {
    pub(super) source: SourceId,
    pub(super) set: SetId,
    pub(super) level: u8,
    /// The numbers, both in it.
    pub(super) first: VersionNumber,
    pub(super) last: VersionNumber,
    /// What the chain has as the digest of the manifest before `first`; none where that is 1.
    pub(super) before: Option<Digest>,
    /// What the chain has as the digest of manifest `last`.
    pub(super) end: Digest,
    /// The versions of which it tells, ascending; others it neither knows nor denies.
    pub(super) versions: Vec<Told>,
    /// Objects that names are of, in order.
    pub(super) objects: Vec<ObjectName>,
    /// What the versions need; each name and object stands once for a version.
    pub(super) needs: Vec<Names>,
}

/// What its manifest says about a version.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::collect) struct Told {
    pub(in crate::collect) number: VersionNumber,
    pub(in crate::collect) task: String,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(in crate::collect) keeps_staged: bool,
}

/// Names that the same versions need, of the same object.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Names {
    /// Place in `objects`; absent of what objects share.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) object: Option<u32>,
    /// Places in `versions`, as ranges with both ends in them, ascending.
    pub(super) versions: Vec<(u32, u32)>,
    /// The names, 16 bytes of each ([`Key`]), ascending.
    pub(super) keys: Opaque,
}

impl Document for Block {
    const KIND: &'static str = "needs-block";
}

/// The keys in a text of them.
pub(super) fn keys(keys: &Opaque) -> impl Iterator<Item = Key> {
    keys.as_bytes().as_chunks::<KEY_BYTES>().0.iter().map(|bytes| Key::from_bytes(*bytes))
}

impl Block {
    /// The block, where it is that which its name says and nothing in it contradicts the rest.
    pub(super) fn checked(self, source: &SourceId, set: &SetId, listed: &Listed) -> Result<Self, document::Error> {
        match self.wrong(source, set, listed) {
            None => Ok(self),
            Some(reason) => Err(document::Error::Shape { path: listed.stored.path(), reason }),
        }
    }

    fn wrong(&self, source: &SourceId, set: &SetId, listed: &Listed) -> Option<&'static str> {
        let of = (self.level, self.first.0, self.last.0);
        if (&self.source, &self.set) != (source, set) || of != (listed.level, listed.first, listed.last) {
            return Some("it is of another set, or of other numbers");
        }
        if self.before.is_none() != (self.first.0 == 1) {
            return Some("only the first number has none before it");
        }
        let within = self.versions.iter().all(|told| self.first <= told.number && told.number <= self.last);
        if !within || !self.versions.is_sorted_by(|a, b| a.number < b.number) {
            return Some("its versions are not in order, or not of its numbers");
        }
        self.needs.iter().find_map(|names| self.wrong_names(names))
    }

    fn wrong_names(&self, names: &Names) -> Option<&'static str> {
        if names.object.is_some_and(|object| object as usize >= self.objects.len()) {
            return Some("names are of an object that it has not");
        }
        let ascend = names.versions.iter().all(|(first, last)| first <= last)
            && names.versions.is_sorted_by(|(_, last), (first, _)| last < first);
        if !ascend || names.versions.last().is_none_or(|(_, last)| *last as usize >= self.versions.len()) {
            return Some("names are of versions that it has not");
        }
        let whole = !names.keys.as_bytes().is_empty() && names.keys.as_bytes().len().is_multiple_of(KEY_BYTES);
        (!whole).then_some("a name is not whole")
    }

    /// The end of [`nothing`](Self::nothing).
    pub(super) fn no_end() -> Digest {
        Digest::of(b"")
    }

    /// Says that nothing needs anything; what a block that cannot be read is never taken for.
    pub(super) fn nothing(source: &SourceId, set: &SetId, listed: &Listed) -> Self {
        let told = |number| Told { number: VersionNumber(number), task: String::new(), keeps_staged: false };
        Self {
            source: source.clone(),
            set: set.clone(),
            level: listed.level,
            first: VersionNumber(listed.first),
            last: VersionNumber(listed.last),
            before: None,
            end: Self::no_end(),
            versions: (listed.first..=listed.last).map(told).collect(),
            objects: Vec::new(),
            needs: Vec::new(),
        }
    }
}
