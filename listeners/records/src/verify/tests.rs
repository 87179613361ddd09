//! Entries of numbers are proven, and what was harmed is not.

use std::{io, sync::Mutex};

use bytes::Bytes;
use jiff::Timestamp;
use object_store::{ObjectStoreExt, memory::InMemory, path::Path};
use serde_json::Value;
use tidemark_catalog::{
    content::{Blocks, Content, RangePage, Retraction},
    document,
    entry::{Cut, Quality},
    ids::FencingToken,
    names::Names,
    position::Position,
    stored::StoredRef,
};
use tidemark_gateway::{Digest, Stored};
use tidemark_listener_core::progress;

use super::*;
use crate::segments::{
    FinishedSegment, ReadError, SegmentCutter, WriteLimits,
    numbers::{self, NumberBuilder, key, read, tiny, write},
};

/// Proves numbers; counts the odd ones.
struct Numbers;

impl SegmentProver for Numbers {
    fn prove(&self, file: SegmentFile) -> Result<Found, Refused> {
        let numbers = read(&file)?;
        let mut ends = Ends::default();
        numbers.iter().try_for_each(|number| ends.see(key(*number)))?;
        let odd = numbers.iter().filter(|number| *number % 2 == 1).count() as u64;
        Ok(Found { ends: ends.keys(), records: numbers.len() as u64, own: [("odd".to_owned(), odd)].into() })
    }

    fn check_own(&self, figures: &Figures, counted: &Counts) -> Result<(), String> {
        if figures.own.get("numbers") == Some(counted) { Ok(()) } else { Err(format!("it counts {counted:?}")) }
    }
}

/// Segments of numbers in a store, and what names them.
struct Bench {
    store: Arc<dyn ObjectStore>,
    names: Names,
    ranges: Vec<SegmentRef>,
    figures: Figures,
}

impl Bench {
    /// Segments of the numbers from 0 to 99.
    async fn new() -> Self {
        let names = Names::new("s".parse().unwrap(), FencingToken { generation: 1, revision: 1 });
        let store: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
        let mut bench = Self { store, names, ranges: Vec::new(), figures: Figures::default() };
        for segment in write(tiny(600), 0..100, 1).unwrap() {
            bench.add(segment).await;
        }
        assert!(bench.ranges.len() > 2);
        bench.figures.records = 100;
        bench.figures.own.insert("numbers".to_owned(), [("odd".to_owned(), 50)].into());
        bench
    }

    /// Stores a segment and its range.
    async fn add(&mut self, (segment, bytes): (FinishedSegment, Bytes)) {
        let path = self.names.segment();
        let stored = StoredRef::new(&path, Stored::of(&bytes));
        self.figures.kept_new_bytes += stored.size;
        self.put(&path, bytes).await;
        let FinishedSegment { first, last, records, .. } = segment;
        self.ranges.push(SegmentRef { first, last, stored, records });
    }

    async fn put(&self, path: &Path, bytes: impl Into<Bytes>) {
        self.store.put(path, bytes.into().into()).await.unwrap();
    }

    async fn entry(&self) -> Entry {
        let page = RangePage { ranges: self.ranges.clone() };
        let page = document::write(&self.store, &self.names.page(), &page).await.unwrap();
        let at = Timestamp::from_second(1).unwrap();
        Entry {
            object: "a/b".parse().unwrap(),
            object_id: "1".to_owned(),
            kind: "numbers".to_owned(),
            schema: Value::Null,
            content: Content::Records(Records { baseline: vec![page], ..Records::default() }),
            replicas: Vec::new(),
            cut: Cut { from: at, through: at, partitions: Vec::new() },
            position: Position::default(),
            quality: Quality::Cut,
            figures: self.figures.clone(),
        }
    }

    async fn verify(&self) -> Result<u64, Failure> {
        entry(&self.store, &self.entry().await, Numbers, "TM-NUM-0001", progress::silent()).await
    }

    /// Why it is not proven.
    async fn refused(&self) -> String {
        let failure = self.verify().await.unwrap_err();
        assert_eq!((failure.code.as_ref(), failure.retryable), ("TM-NUM-0001", false), "{failure}");
        assert!(failure.message.starts_with("verify a/b: "), "{failure}");
        failure.message
    }
}

#[tokio::test]
async fn a_sound_entry_is_proven_to_its_last_byte() {
    let bench = Bench::new().await;
    let seen = Arc::new(Mutex::new(Vec::new()));
    let sink = seen.clone();
    let progress = Arc::new(move |progress| sink.lock().unwrap().push(progress));
    let sound = bench.entry().await;
    assert_eq!(entry(&bench.store, &sound, Numbers, "TM-NUM-0001", progress).await, Ok(100));
    let seen = seen.lock().unwrap();
    let last = &seen[seen.len() - 1];
    assert_eq!((seen.len(), last.done, last.phase.as_str()), (bench.ranges.len(), last.total, "verify a/b"));
}

#[tokio::test]
async fn damaged_and_absent_segments_are_named() {
    let bench = Bench::new().await;
    let (damaged, absent) = (bench.ranges[1].stored.path(), bench.ranges[0].stored.path());
    let mut bytes = bench.store.get(&damaged).await.unwrap().bytes().await.unwrap().to_vec();
    bytes[7] ^= 1;
    bench.put(&damaged, bytes).await;
    let why = bench.refused().await;
    assert!(why.contains(damaged.as_ref()) && why.contains("BLAKE3"), "{why}");
    bench.store.delete(&absent).await.unwrap();
    assert!(bench.verify().await.unwrap_err().message.contains(absent.as_ref()));
}

#[tokio::test]
async fn a_segment_that_lies_about_its_bounds_or_its_records_is_refused() {
    let mut begins = Bench::new().await;
    begins.ranges[0].first = key(-1);
    let mut ends = Bench::new().await;
    ends.ranges.last_mut().unwrap().last = key(100);
    for bench in [begins, ends] {
        assert!(bench.refused().await.contains("its first or last key is not that of its range"));
    }
    let mut more = Bench::new().await;
    more.ranges[1].records += 1;
    assert!(more.refused().await.contains("records, its range says"));
}

#[tokio::test]
async fn ranges_that_overlap_are_refused() {
    let mut bench = Bench::new().await;
    bench.ranges[0].last = bench.ranges[1].first.clone();
    assert!(bench.refused().await.contains("read a range page"));
}

#[tokio::test]
async fn a_segment_whose_keys_are_out_of_order_is_refused() {
    let mut bench = Bench::new().await;
    let mut cutter = SegmentCutter::new(NumberBuilder::new(), WriteLimits::default());
    cutter.begin(key(200)).unwrap();
    for number in [200, 220, 210] {
        cutter.append(|builder| builder.append(number)).unwrap();
    }
    bench.add(numbers::with_bytes(cutter.finish().unwrap().unwrap())).await;
    let why = bench.refused().await;
    assert!(why.contains("key 210 is out of order") && why.contains(&bench.ranges.last().unwrap().stored.key), "{why}");
}

#[tokio::test]
async fn what_is_whole_but_no_segment_is_refused() {
    let mut bench = Bench::new().await;
    let (mut segment, bytes) = (bench.ranges[0].clone(), b"some bytes that are not Parquet at all");
    segment.stored = StoredRef::new(&bench.names.segment(), Stored::of(bytes));
    bench.put(&segment.stored.path(), Bytes::from_static(bytes)).await;
    bench.ranges[0] = segment;
    assert!(bench.refused().await.contains("open a segment"));
}

#[tokio::test]
async fn figures_that_do_not_add_up_are_refused() {
    let mut figures = Vec::new();
    for _ in 0..3 {
        figures.push(Bench::new().await);
    }
    figures[0].figures.records += 1;
    figures[1].figures.kept_new_bytes -= 1;
    figures[2].figures.own.clear();
    for (bench, what) in figures.iter().zip(["counts 101 records", "bytes of segments", "it counts"]) {
        let why = bench.refused().await;
        assert!(why.contains(what), "{why}");
    }
}

#[tokio::test]
async fn blocks_are_no_records() {
    let bench = Bench::new().await;
    let blocks = Blocks { root: Digest::of(b""), size: 0, leaves: Vec::new() };
    let of_blocks = Entry { content: Content::Blocks(blocks), ..bench.entry().await };
    let proven = entry(&bench.store, &of_blocks, Numbers, "TM-NUM-0001", progress::silent()).await;
    assert!(proven.unwrap_err().message.contains("it holds blocks"));
}

#[tokio::test]
async fn what_came_on_top_of_the_baseline_is_not_passed_over() {
    let bench = Bench::new().await;
    let mut entry_with_more = bench.entry().await;
    let Content::Records(records) = &mut entry_with_more.content else { panic!("no records") };
    records.retractions.push(Retraction { capture: 1, segments: Vec::new() });
    let proven = entry(&bench.store, &entry_with_more, Numbers, "TM-NUM-0001", progress::silent()).await;
    assert!(proven.unwrap_err().message.contains("does not verify"));
}

/// Cannot have the bytes of any segment.
struct Away;

impl SegmentProver for Away {
    fn prove(&self, file: SegmentFile) -> Result<Found, Refused> {
        Err(ReadError::Fetch { file: file.name().to_owned(), source: io::Error::other("away") }.into())
    }

    fn check_own(&self, _: &Figures, _: &Counts) -> Result<(), String> {
        Ok(())
    }
}

#[tokio::test]
async fn a_store_that_fails_is_no_damage() {
    let bench = Bench::new().await;
    let proven = entry(&bench.store, &bench.entry().await, Away, "TM-NUM-0001", progress::silent()).await;
    let failure = proven.unwrap_err();
    assert!(failure.retryable && failure.message.ends_with(": read: away"), "{failure}");
}
