//! Entries in a store in memory.

use jiff::Timestamp;
use object_store::{ObjectStoreExt, memory::InMemory, path::Path};
use serde_json::json;
use tidemark_catalog::{
    content::{Blocks, Content, Increment, Interval, RangePage, Records},
    entry::{Cut, Quality},
    figures::Figures,
    keys::Key,
    opaque::Opaque,
    position::Position,
};
use tidemark_gateway::{Digest, Stored};

use super::*;

fn entry_of(content: Content) -> Entry {
    Entry {
        object: "a".parse().unwrap(),
        object_id: "1".to_owned(),
        kind: "numbers".to_owned(),
        schema: json!({}),
        content,
        replicas: Vec::new(),
        cut: Cut { from: Timestamp::UNIX_EPOCH, through: Timestamp::UNIX_EPOCH, partitions: Vec::new() },
        position: Position::default(),
        quality: Quality::Cut,
        figures: Figures::default(),
    }
}

fn segment(byte: u8) -> SegmentRef {
    let key = Key { bytes: Opaque::new(vec![byte]), text: byte.to_string() };
    let stored = StoredRef::new(&Path::from("s"), Stored::of(&[byte]));
    SegmentRef { first: key.clone(), last: key, stored, records: 1 }
}

#[tokio::test]
async fn segments_are_those_of_all_pages_in_order() {
    let store: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
    let mut baseline = Vec::new();
    for (path, bytes) in [("p1", [1, 2]), ("p2", [3, 4])] {
        let page = RangePage { ranges: bytes.map(segment).to_vec() };
        baseline.push(document::write(&store, &Path::from(path), &page).await.unwrap());
    }
    let written = entry_of(Content::Records(Records { baseline, ..Records::default() }));
    let reference = document::write(&store, &Path::from("e"), &written).await.unwrap();
    let read = entry(&store, &reference).await.unwrap();
    assert_eq!(segments(&store, &read).await.unwrap(), [1, 2, 3, 4].map(segment));
    store.delete(&Path::from("p2")).await.unwrap();
    assert_eq!(segments(&store, &read).await.unwrap_err().code, "TM-REST-0102");
}

#[tokio::test]
async fn what_this_build_cannot_restore_is_refused() {
    let store: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
    let blocks = Content::Blocks(Blocks { root: Digest::of(b""), size: 0, leaves: Vec::new() });
    let reference = document::write(&store, &Path::from("e"), &entry_of(blocks)).await.unwrap();
    let refused = entry(&store, &reference).await.unwrap_err();
    assert_eq!((refused.code.as_ref(), refused.message.contains("blocks")), ("TM-REST-0103", true));
    let (after, through) = (Position::default(), Position::default());
    let increment = Increment { after, through, interval: Interval::Cut, gaps: Vec::new(), segments: Vec::new() };
    let later = Content::Records(Records { increments: vec![increment], ..Records::default() });
    let reference = document::write(&store, &Path::from("i"), &entry_of(later)).await.unwrap();
    let refused = entry(&store, &reference).await.unwrap_err();
    assert_eq!((refused.code.as_ref(), refused.message.contains("increments")), ("TM-REST-0103", true));
}

#[tokio::test]
async fn an_entry_that_is_gone_is_told_from_one_that_cannot_be_read() {
    let store: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
    let written = entry_of(Content::Records(Records::default()));
    let reference = document::write(&store, &Path::from("e"), &written).await.unwrap();
    store.delete(&Path::from("e")).await.unwrap();
    assert_eq!(entry(&store, &reference).await.unwrap_err().code, "TM-REST-0102");
}
