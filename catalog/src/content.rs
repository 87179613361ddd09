//! What an object's state is made of: records in segments, or blocks.

use std::sync::Arc;

use object_store::ObjectStore;
use serde::{Deserialize, Serialize};
use tidemark_gateway::Digest;

use crate::{
    document::{self, Document},
    identities::IdentityPageRef,
    keys::Key,
    position::{Mark, Position},
    stored::StoredRef,
};

/// The content of an object, by the family of its source.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "family", rename_all = "kebab-case")]
pub enum Content {
    /// Keyed records.
    Records(Records),
    /// Bytes at offsets.
    Blocks(Blocks),
}

impl Content {
    /// The records; `None` of what is made of blocks.
    pub fn records(&self) -> Option<&Records> {
        match self {
            Self::Records(records) => Some(records),
            Self::Blocks(_) => None,
        }
    }
}

/// Records: a state at rest and what came on top of it. The state is the join of all, less what was retracted.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Records {
    /// Columns with ids that are never reused; Parquet field ids in the segments.
    pub columns: Vec<ColumnId>,
    /// Range pages of the state at rest, in order.
    pub baseline: Vec<StoredRef>,
    /// What came on top of it, oldest first.
    pub increments: Vec<Increment>,
    /// What a fresh capture did not find any more, oldest first.
    pub retractions: Vec<Retraction>,
    /// Identity pages of what has been merged from all partitions, in order.
    pub merged: Vec<IdentityPageRef>,
}

/// A column and its id.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ColumnId {
    /// From 1, never reused within the object.
    pub id: u32,
    /// Name at the source.
    pub name: String,
}

/// The atoms of the positions behind `after`, up to and with `through`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Increment {
    /// Where it begins, itself not in it.
    pub after: Position,
    /// Where it ends, itself in it.
    pub through: Position,
    /// Which of the changes in between it holds.
    pub interval: Interval,
    /// Places of which it lacks changes, sorted by partition.
    pub gaps: Vec<Gap>,
    /// Its segments, in order.
    pub segments: Vec<SegmentRef>,
}

/// Which of the changes between two positions are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Interval {
    /// Every distinct one, because they came from a log: any instant within can be restored.
    Exact,
    /// The winners at its end only, because they came from files.
    Cut,
}

/// Changes of one partition that the source no longer had when they were asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Gap {
    /// The partition.
    pub partition: String,
    /// Where it begins, itself not in it.
    pub after: Mark,
    /// Where it ends, itself in it.
    pub through: Mark,
    /// What happened, for people.
    pub reason: String,
}

/// Atoms that vanished from a range that a fresh capture proved complete. It is no deletion of the source: it hides atoms of
/// captures before its own, never one that is captured later.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Retraction {
    /// Number of the capture of this object that did not find them, from 1.
    pub capture: u64,
    /// Segments that name them, in order.
    pub segments: Vec<SegmentRef>,
}

/// Most ranges of a page.
pub const PAGE_RANGES: usize = 256;

/// A page of key ranges, ascending and disjoint.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RangePage {
    /// 1 to [`PAGE_RANGES`].
    pub ranges: Vec<SegmentRef>,
}

impl Document for RangePage {
    const KIND: &'static str = "range-page";
}

/// The ranges of range pages, in order.
///
/// # Errors
/// As [`document::read`]; [`document::Error::Shape`] where a page is empty or too long, or ranges do not ascend.
pub async fn ranges(store: &Arc<dyn ObjectStore>, pages: &[StoredRef]) -> Result<Vec<SegmentRef>, document::Error> {
    let mut all: Vec<SegmentRef> = Vec::new();
    for page in pages {
        let read = document::read::<RangePage>(store, page).await?.ranges;
        let wrong = |reason| Err(document::Error::Shape { path: page.path(), reason });
        if !(1..=PAGE_RANGES).contains(&read.len()) {
            return wrong("it has no ranges, or more than 256");
        }
        let behind = |before: Option<&SegmentRef>, range: &SegmentRef| {
            range.first <= range.last && before.is_none_or(|before| before.last < range.first)
        };
        for range in read {
            if !behind(all.last(), &range) {
                return wrong("a range is not behind the one before it");
            }
            all.push(range);
        }
    }
    Ok(all)
}

/// A segment with the range of keys it holds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SegmentRef {
    /// First key, inclusive.
    pub first: Key,
    /// Last key, inclusive.
    pub last: Key,
    /// The Parquet file.
    pub stored: StoredRef,
    /// Parquet rows in it (atoms' carriers: rows, static rows, deletions).
    pub records: u64,
}

/// Blocks: bytes at offsets, found by a tree of pages.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Blocks {
    /// Proves the whole content.
    pub root: Digest,
    /// Bytes of the object.
    pub size: u64,
    /// Leaf pages, in order of offset.
    pub leaves: Vec<StoredRef>,
}

#[cfg(test)]
mod tests {
    use object_store::{memory::InMemory, path::Path};
    use tidemark_gateway::Stored;

    use super::*;
    use crate::opaque::Opaque;

    fn position(at: u8) -> Position {
        let mark = Mark { bytes: Opaque::new(vec![at]), text: at.to_string() };
        Position::new([("p".to_owned(), mark)])
    }

    fn segment() -> SegmentRef {
        let key = |byte: u8| Key { bytes: Opaque::new(vec![byte]), text: byte.to_string() };
        let stored = StoredRef::new(&Path::from("s/1"), Stored::of(b"abc"));
        SegmentRef { first: key(1), last: key(2), stored, records: 4 }
    }

    fn round_trip(content: &Content) -> serde_json::Value {
        let json = serde_json::to_value(content).unwrap();
        assert_eq!(&serde_json::from_value::<Content>(json.clone()).unwrap(), content);
        json
    }

    #[test]
    fn what_no_writer_makes_yet_comes_back_as_it_was() {
        let mark = |at: u8| position(at).mark("p").unwrap().clone();
        let gap = Gap { partition: "p".to_owned(), after: mark(1), through: mark(2), reason: "gone".to_owned() };
        let increment = |interval| Increment {
            after: position(1),
            through: position(3),
            interval,
            gaps: vec![gap.clone()],
            segments: vec![segment()],
        };
        let records = Records {
            increments: vec![increment(Interval::Exact), increment(Interval::Cut)],
            retractions: vec![Retraction { capture: u64::MAX, segments: vec![segment()] }],
            ..Records::default()
        };
        let json = round_trip(&Content::Records(records));
        assert_eq!((&json["family"], &json["increments"][1]["interval"]), (&"records".into(), &"cut".into()));
        let blocks = Blocks { root: Digest::of(b"r"), size: u64::MAX, leaves: vec![segment().stored] };
        assert_eq!(round_trip(&Content::Blocks(blocks))["family"], "blocks");
    }

    #[test]
    fn another_family_and_unknown_fields_are_refused() {
        for json in [
            r#"{"family":"streams"}"#,
            r#"{"family":"blocks","root":"","size":0,"leaves":[]}"#,
            r#"{"family":"records","columns":[],"baseline":[],"increments":[],"retractions":[],"merged":[],"more":1}"#,
        ] {
            assert!(serde_json::from_str::<Content>(json).is_err(), "{json}");
        }
    }

    /// Pages of ranges of these first and last keys.
    async fn pages(of: &[&[(u8, u8)]]) -> (Arc<dyn ObjectStore>, Vec<StoredRef>) {
        let store: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
        let key = |byte: u8| Key { bytes: Opaque::new(vec![byte]), text: byte.to_string() };
        let mut pages = Vec::new();
        for (number, ranges) in of.iter().enumerate() {
            let range = |(first, last): &(u8, u8)| SegmentRef { first: key(*first), last: key(*last), ..segment() };
            let page = RangePage { ranges: ranges.iter().map(range).collect() };
            pages.push(document::write(&store, &Path::from(format!("p/{number}")), &page).await.unwrap());
        }
        (store, pages)
    }

    #[tokio::test]
    async fn ranges_ascend_within_pages_and_across() {
        let (store, sound) = pages(&[&[(1, 1), (2, 4)], &[(5, 9)]]).await;
        assert_eq!(ranges(&store, &sound).await.unwrap().len(), 3);
        for wrong in [&[&[(1, 2), (2, 4)][..]][..], &[&[(4, 2)]], &[&[(1, 5)], &[(5, 9)]], &[&[]], &[&[(1, 1); 257]]] {
            let (store, pages) = pages(wrong).await;
            let error = ranges(&store, &pages).await.unwrap_err();
            assert!(error.to_string().contains("p/") && !error.is_retryable(), "{error}");
        }
    }
}
