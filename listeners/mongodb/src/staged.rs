//! What a listener stages of a collection: runs of documents and runs of events, each a file of BSON documents one
//! after another, as files of dumps have them, in zstd frames of 1 MiB.
//!
//! - A *scan run* holds whole documents in the order of their keys, and was read within a bracket of cluster times.
//! - An *event run* holds change events as the server gave them, in the order of their documents' keys, then of their
//!   positions.
//!
//! What a listener says of its partition is [`Partition`], the slice's `info`: which runs each collection has, with
//! first and last key, so that runs of a scan, which follow each other, are read one after the other.

mod frames;
mod runs;

use serde::{Deserialize, Serialize};
use tidemark_catalog::{document::Document, ids::ObjectName, opaque::Opaque, slice::SliceObject};

pub use frames::{framed, unframed};
#[cfg(test)]
pub(crate) use runs::tests as samples;
pub use runs::{Damaged, Item, Items};

use crate::{raw, time::ClusterTime};

/// What a listener says of its partition.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Partition {
    /// Name of the replica set; empty of mongos.
    pub set: String,
    /// Version of the server that was asked.
    pub version: String,
    /// All events from this time on were read.
    pub from: ClusterTime,
    /// All events before this time were given: the state is that right before it.
    pub before: ClusterTime,
    /// The collections, by UUID.
    pub collections: Vec<Collection>,
}

impl Document for Partition {
    const KIND: &'static str = "mongodb-partition";
}

impl Partition {
    /// What it says of an object of its slice.
    ///
    /// # Errors
    /// Where it says nothing of it, or that of several: views have one id, and are told apart by their names.
    pub fn collection(&self, held: &SliceObject) -> Result<&Collection, String> {
        let by_id: Vec<&Collection> =
            self.collections.iter().filter(|collection| collection.uuid == held.object_id).collect();
        let own = by_id.iter().find(|collection| collection.object.as_ref() == Some(&held.object));
        match (own, &by_id[..]) {
            (Some(own), _) => Ok(own),
            (None, [only]) if only.object.is_none() => Ok(only),
            (None, []) => Err(format!("it says nothing of {}", held.object_id)),
            (None, _) => Err(format!("it does not say which {} is {}", held.object_id, held.object)),
        }
    }
}

/// What is staged of a collection.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Collection {
    /// Its UUID, 32 hexadecimal digits; `view` of a view.
    pub uuid: String,
    /// Its name; absent in what earlier builds staged.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub object: Option<ObjectName>,
    /// Its events from here on were kept, where that is not so from the partition's beginning on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<ClusterTime>,
    /// What it is.
    pub schema: Schema,
    /// Its runs, by name of the staged file.
    pub runs: Vec<Run>,
}

/// What a collection is, as the server says it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Schema {
    /// BSON of its options, as `listCollections` gives them.
    pub options: Opaque,
    /// BSON of each index, as `listIndexes` gives them, by name.
    pub indexes: Vec<Index>,
}

impl Schema {
    /// True of a view.
    pub fn is_view(&self) -> bool {
        raw::find(self.options.as_bytes(), "viewOn").ok().flatten().is_some()
    }
}

/// An index.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Index {
    /// Its name.
    pub name: String,
    /// BSON of its specification.
    pub specification: Opaque,
}

/// A staged file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Run {
    /// Name of the staged file.
    pub name: String,
    /// What it holds.
    pub holds: Holds,
    /// Key of the first.
    pub first: Opaque,
    /// Key of the last.
    pub last: Opaque,
    /// How many.
    pub count: u64,
}

/// What a run holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Holds {
    /// Documents that were read within this bracket, both ends included.
    Scan {
        /// First time.
        from: ClusterTime,
        /// Last time.
        until: ClusterTime,
    },
    /// Change events.
    Events,
}
