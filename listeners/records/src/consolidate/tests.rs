//! Objects of a source that answers what it is told to.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Mutex},
};

use async_trait::async_trait;
use jiff::Timestamp;
use object_store::{ObjectStore, memory::InMemory, path::Path};
use serde_json::{Value, json};
use tidemark_catalog::{
    content::{Content, SegmentRef, ranges},
    document,
    entry::{DegradedRange, Entry, Quality},
    figures::{Counts, Figures},
    ids::FencingToken,
    keys::Key,
    names::Names,
    opaque::Opaque,
    position::Position,
    slice::SliceManifest,
    stored::StoredRef,
};
use tidemark_gateway::{Env, Stored};
use tidemark_listener_core::{
    progress::{self, ProgressSink},
    records::{ConsolidateLimits, ObjectState},
};
use tokio_util::sync::CancellationToken;

use super::*;

/// Answers in order, and what it was asked: the range's text, and who was left out.
struct Told {
    answers: Mutex<VecDeque<Consolidated>>,
    asked: Mutex<Vec<(String, Vec<String>)>>,
}

impl Told {
    fn of(answers: impl IntoIterator<Item = Consolidated>) -> Self {
        Self { answers: Mutex::new(answers.into_iter().collect()), asked: Mutex::default() }
    }
}

#[async_trait]
impl RecordSource for Told {
    async fn consolidate(&self, job: &ConsolidateJob, range: &KeyRange) -> Result<Consolidated, Failure> {
        let without = job.unreadable.keys().cloned().collect();
        self.asked.lock().unwrap().push((range.text.clone(), without));
        Ok(self.answers.lock().unwrap().pop_front().unwrap())
    }

    async fn verify(&self, _: &Arc<dyn ObjectStore>, _: &Entry, _: ProgressSink) -> Result<u64, Failure> {
        unreachable!("nothing is verified here")
    }
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn state(object_id: &str) -> ObjectState {
    ObjectState {
        object_id: object_id.to_owned(),
        schema: json!({"columns": 1}),
        columns: Vec::new(),
        replicas: Vec::new(),
        cut: Cut { from: at(1), through: at(2), partitions: Vec::new() },
        position: Position::default(),
        quality: Quality::Cut,
        topology: None,
        left_out: Vec::new(),
        logical_bytes: 70,
        shipped_bytes: 50,
    }
}

fn part(object_id: &str, segments: &[(u8, u8)]) -> Consolidated {
    let key = |byte: u8| Key { bytes: Opaque::new(vec![byte]), text: byte.to_string() };
    let stored = StoredRef::new(&Path::from("segment"), Stored::of(b"rows"));
    let segment = |(first, last): &(u8, u8)| SegmentRef {
        first: key(*first),
        last: key(*last),
        stored: stored.clone(),
        records: 1,
    };
    let (state, segments) = (state(object_id), segments.iter().map(segment).collect());
    let own = Counts::from([("odd".to_owned(), 2)]);
    Consolidated::Part(Box::new(Part { state, segments, merged: Vec::new(), records: 3, own, degraded: Vec::new() }))
}

fn unreadable(partition: &str) -> Consolidated {
    Consolidated::Unreadable { partition: partition.to_owned(), reason: "a bit fell".to_owned() }
}

/// Keys below 4, and the others.
fn halves() -> [KeyRange; 2] {
    let four = || Some(Opaque::new(vec![4]));
    let range = |from, until, text: &str| KeyRange { from, until, text: text.to_owned() };
    [range(None, four(), "low"), range(four(), None, "high")]
}

/// A job with slices of `a` and `b`, of which only the description of `a` is in the store.
async fn job() -> ConsolidateJob {
    let store: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
    store.put_opts(&Path::from("a"), "info".into(), Default::default()).await.unwrap();
    let slice = |partition: &str, second| SliceManifest {
        source: "s".parse().unwrap(),
        task: "t".parse().unwrap(),
        token: FencingToken { generation: 1, revision: 1 },
        partition: partition.to_owned(),
        started: at(second),
        finished: at(second + 5),
        objects: Vec::new(),
        info: StoredRef::new(&Path::from(partition), Stored::of(b"info")),
    };
    ConsolidateJob {
        source: "s".parse().unwrap(),
        object: "ks/t".parse().unwrap(),
        slices: Arc::new(vec![slice("b", 20), slice("a", 10)]),
        absent: Arc::default(),
        unreadable: BTreeMap::new(),
        previous: None,
        store,
        names: Arc::new(Names::new("s".parse().unwrap(), FencingToken { generation: 1, revision: 1 })),
        options: Value::Null,
        limits: ConsolidateLimits::default(),
        env: Env::seeded(1, at(5_000)),
        progress: progress::silent(),
        cancel: CancellationToken::new(),
    }
}

async fn made(job: &ConsolidateJob, source: &Told) -> Result<ObjectLine, Failure> {
    object(source, "told", job.clone(), &halves()).await
}

#[tokio::test]
async fn parts_of_ranges_become_one_entry() {
    let job = job().await;
    let source = Told::of([part("1", &[(1, 2), (3, 3)]), part("1", &[(4, 9)])]);
    let line = made(&job, &source).await.unwrap();
    let entry: Entry = document::read(&job.store, line.entry.as_ref().unwrap()).await.unwrap();
    let Content::Records(records) = &entry.content else { panic!("{:?}", entry.content) };
    let found = ranges(&job.store, &records.baseline).await.unwrap();
    assert_eq!(found.iter().map(|range| range.first.text.as_str()).collect::<Vec<_>>(), ["1", "3", "4"]);
    let Figures { logical_bytes, shipped_bytes, kept_new_bytes, records, .. } = line.figures;
    assert_eq!((logical_bytes, shipped_bytes, kept_new_bytes, records), (70, 50, 12, 6));
    assert_eq!((line.figures.count("told", "odd"), &line.figures), (4, &entry.figures));
    assert_eq!((entry.kind.as_str(), entry.object_id.as_str()), ("told", "1"));
}

#[tokio::test]
async fn what_a_range_turned_out_to_lack_is_in_the_quality_of_the_whole() {
    let [low, _] = halves();
    let lacking = DegradedRange { range: low, replicas: 1, captured: 1, reason: "a document".to_owned() };
    let Consolidated::Part(mut doubted) = part("1", &[(1, 2)]) else { unreachable!() };
    doubted.degraded.push(lacking.clone());
    let source = Told::of([Consolidated::Part(doubted), part("1", &[(4, 9)])]);
    let line = made(&job().await, &source).await.unwrap();
    assert_eq!(line.quality, Quality::Degraded { ranges: vec![lacking] });
}

#[tokio::test]
async fn all_ranges_begin_again_without_a_partition_that_cannot_be_read() {
    let job = job().await;
    let source = Told::of([part("1", &[(1, 2)]), unreadable("a"), part("1", &[(1, 2)]), part("1", &[])]);
    made(&job, &source).await.unwrap();
    let asked = source.asked.into_inner().unwrap();
    let asked: Vec<_> = asked.iter().map(|(range, without)| (range.as_str(), without.len())).collect();
    assert_eq!(asked, [("low", 0), ("high", 0), ("low", 1), ("high", 1)]);
}

#[tokio::test]
async fn a_partition_is_not_left_out_for_what_the_store_does_not_show() {
    let failure = made(&job().await, &Told::of([unreadable("b")])).await.unwrap_err();
    assert_eq!((failure.code.as_ref(), failure.retryable), ("TM-REC-0002", true));
}

#[tokio::test]
async fn a_source_that_names_a_partition_for_ever_is_ended() {
    let failure = made(&job().await, &Told::of([unreadable("a"), unreadable("a")])).await.unwrap_err();
    assert_eq!((failure.code.as_ref(), failure.retryable), ("TM-REC-0003", false));
}

#[tokio::test]
async fn ranges_that_do_not_hold_every_key_once_are_refused() {
    let [low, high] = halves();
    for ranges in [vec![], vec![low.clone()], vec![high.clone(), low.clone()], vec![low.clone(), low, high]] {
        let failure = object(&Told::of([]), "told", job().await, &ranges).await.unwrap_err();
        assert_eq!(failure.code, "TM-REC-0003", "{failure}");
    }
}

#[tokio::test]
async fn parts_of_different_states_are_refused() {
    for parts in [
        [part("1", &[(1, 2)]), part("2", &[(3, 4)])],
        [part("1", &[(1, 2)]), part("1", &[(2, 4)])],
        [part("1", &[(2, 1)]), part("1", &[(3, 4)])],
    ] {
        let failure = made(&job().await, &Told::of(parts)).await.unwrap_err();
        assert_eq!(failure.code, "TM-REC-0003", "{failure}");
    }
}

#[tokio::test]
async fn what_nobody_can_read_is_a_line_without_entry() {
    let missing = Consolidated::Missing { reason: "no replica".to_owned() };
    let line = made(&job().await, &Told::of([missing])).await.unwrap();
    assert_eq!((line.entry, line.quality), (None, Quality::Missing { reason: "no replica".to_owned() }));
    let partitions: Vec<_> = line.cut.partitions.iter().map(|cut| cut.partition.as_str()).collect();
    assert_eq!((line.cut.from, line.cut.through, partitions), (at(9), at(25), vec!["a", "b"]));
}

#[tokio::test]
async fn cancelled_work_says_so() {
    let job = job().await;
    job.cancel.cancel();
    assert!(made(&job, &Told::of([])).await.unwrap_err().cancelled);
}
