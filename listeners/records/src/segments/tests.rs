//! Segments of numbers come back, and what is no segment is refused.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use bytes::Bytes;
use object_store::{ObjectStore, ObjectStoreExt, memory::InMemory};
use tidemark_catalog::{content::SegmentRef, ids::FencingToken, names::Names};
use tidemark_gateway::causes::joined;
use tokio::runtime::Handle;

use super::{
    numbers::{key, read, tiny, write},
    upload::{Error, SegmentSink, stored_while},
    *,
};

fn open(bytes: Bytes) -> Result<SegmentFile, ReadError> {
    SegmentFile::open(Arc::new(bytes), "s.parquet")
}

fn all(bytes: Bytes) -> Result<Vec<i32>, ReadError> {
    read(&open(bytes)?)
}

#[test]
fn numbers_come_back_in_order_whatever_the_limits() {
    for limits in [tiny(1), tiny(2_000), tiny(usize::MAX), WriteLimits::default()] {
        let mut found = Vec::new();
        for (segment, bytes) in write(limits, 0..3_000, 1).unwrap() {
            let numbers = all(bytes).unwrap();
            assert_eq!((key(numbers[0]), key(numbers[numbers.len() - 1])), (segment.first, segment.last));
            assert_eq!(numbers.len() as u64, segment.records);
            found.extend(numbers);
        }
        assert!(found.into_iter().eq(0..3_000));
    }
}

#[test]
fn all_records_of_a_key_are_in_one_segment() {
    let segments = write(tiny(1), 0..5, 100).unwrap();
    assert_eq!(segments.len(), 5);
    assert!(segments.iter().all(|(segment, _)| segment.records == 100 && segment.first == segment.last));
    let (_, bytes) = write(tiny(usize::MAX), 0..5, 100).unwrap().remove(0);
    let file = open(bytes).unwrap();
    assert!(file.row_groups() > 10);
    let records: u64 = (0..=file.row_groups()).map(|group| file.records_of_row_group(group)).sum();
    assert_eq!((file.records(), records), (500, 500));
}

#[test]
fn what_is_beyond_the_spool_goes_to_a_file() {
    let mut cutter = SegmentCutter::new(numbers::NumberBuilder::new(), tiny(usize::MAX));
    cutter.begin(key(7)).unwrap();
    cutter.append(|builder| builder.append(7)).unwrap();
    let segment = cutter.finish().unwrap().unwrap();
    assert!(matches!(segment.content, Content::File(_)), "{segment:?}");
    let (segment, _) = write(WriteLimits::default(), [7], 1).unwrap().remove(0);
    assert!(matches!(segment.content, Content::Memory(_)), "{segment:?}");
}

#[test]
fn no_key_makes_no_segment() {
    assert!(write(tiny(1), [], 1).unwrap().is_empty());
}

#[test]
fn keys_out_of_order_and_records_that_do_not_fit_are_refused() {
    for numbers in [[2, 1], [1, 1]] {
        let error = write(tiny(usize::MAX), numbers, 1).unwrap_err();
        assert_eq!(error.to_string(), "key 1 came out of order");
    }
    let error = write(tiny(1), [-4], 1).unwrap_err();
    assert_eq!(joined(&error), "a record does not fit its segment: -4 is negative");
}

#[test]
fn damaged_bytes_are_an_error_or_numbers_but_never_a_panic() {
    let (_, bytes) = write(tiny(usize::MAX), 0..12, 1).unwrap().remove(0);
    for at in 0..bytes.len() {
        let mut damaged = bytes.to_vec();
        damaged[at] ^= 0xff;
        let _ = all(damaged.into());
        let _ = all(bytes.slice(..at));
    }
}

#[test]
fn what_is_no_segment_is_refused() {
    for bytes in [&b""[..], b"PAR1", b"some bytes that are not Parquet at all"] {
        assert!(open(Bytes::from_static(bytes)).is_err());
    }
    let (_, bytes) = write(tiny(1), [1], 1).unwrap().remove(0);
    let file = open(bytes).unwrap();
    assert_eq!(file.format("numbers", 1..=3).unwrap(), 1);
    for (kind, known) in [("letters", 1..=3), ("numbers", 2..=3)] {
        let error = file.format(kind, known).unwrap_err().to_string();
        assert!(error.contains("s.parquet: its format is 1 of numbers; this build reads"), "{error}");
    }
    assert!(file.batches(1, parquet::arrow::ProjectionMask::all()).is_err());
}

/// A `Fetch` that counts.
struct Counting(Bytes, AtomicUsize);

impl Fetch for Counting {
    fn size(&self) -> u64 {
        self.0.size()
    }

    fn fetch(&self, offset: u64, length: usize) -> io::Result<Bytes> {
        self.1.fetch_add(1, Ordering::SeqCst);
        self.0.fetch(offset, length)
    }
}

#[test]
fn the_footer_and_each_row_group_are_one_request() {
    let (_, bytes) = write(tiny(usize::MAX), 0..500, 1).unwrap().remove(0);
    let counting = Arc::new(Counting(bytes, 0.into()));
    let file = SegmentFile::open(counting.clone(), "s").unwrap();
    assert!(read(&file).unwrap().into_iter().eq(0..500));
    assert_eq!(counting.1.load(Ordering::SeqCst), 1 + file.row_groups());
}

fn store() -> (Arc<dyn ObjectStore>, Names) {
    let names = Names::new("s".parse().unwrap(), FencingToken { generation: 1, revision: 1 });
    (Arc::new(InMemory::new()), names)
}

/// Puts segments of numbers, each of its own segment; fails behind the last.
fn failing(sink: &SegmentSink, numbers: std::ops::Range<i32>) -> Result<(), io::Error> {
    for (segment, _) in write(tiny(1), numbers, 1).unwrap() {
        sink.put(segment).map_err(io::Error::other)?;
    }
    Err(io::Error::other("behind the last"))
}

async fn made(store: &Arc<dyn ObjectStore>, names: &Names, limits: WriteLimits) -> Vec<SegmentRef> {
    let make = move |sink: &SegmentSink| {
        let segments = write(limits, 0..40, 1).unwrap();
        let count = segments.len();
        segments.into_iter().try_for_each(|(segment, _)| sink.put(segment))?;
        Ok::<_, upload::Closed>(count)
    };
    let (segments, count) = stored_while(store, names, make).await.unwrap();
    assert_eq!(segments.len(), count);
    segments
}

async fn opened(store: &Arc<dyn ObjectStore>, reference: &SegmentRef) -> Result<SegmentFile, OpenError> {
    let segment = StoredSegment::new(store, reference.clone(), Handle::current());
    tokio::task::spawn_blocking(move || segment.open()).await.unwrap()
}

#[tokio::test]
async fn segments_are_stored_in_order_and_open_again() {
    let (store, names) = store();
    let mut found = Vec::new();
    for reference in made(&store, &names, tiny(200)).await {
        found.extend(read(&opened(&store, &reference).await.unwrap()).unwrap());
        assert_eq!(reference.last, key(found[found.len() - 1]));
    }
    assert!(found.into_iter().eq(0..40));
}

#[tokio::test]
async fn a_stored_segment_with_other_bytes_is_not_opened() {
    let (store, names) = store();
    let reference = made(&store, &names, WriteLimits::default()).await.remove(0);
    let path = reference.stored.path();
    let mut bytes = store.get(&path).await.unwrap().bytes().await.unwrap().to_vec();
    bytes[5] ^= 1;
    store.put(&path, bytes.into()).await.unwrap();
    let error = opened(&store, &reference).await.err().unwrap();
    assert!(matches!(error, OpenError::Stored { .. }) && !error.is_retryable(), "{error}");
    assert!(joined(&error).contains(&reference.stored.key), "{}", joined(&error));
    store.delete(&path).await.unwrap();
    assert!(opened(&store, &reference).await.is_err());
}

#[tokio::test]
async fn why_segments_could_not_be_made_or_stored_is_told() {
    let (store, names) = store();
    let failed = stored_while(&store, &names, |sink: &SegmentSink| failing(sink, 0..3)).await;
    assert!(matches!(&failed, Err(Error::Made(error)) if error.to_string() == "behind the last"));
    let panicked = stored_while(&store, &names, |_: &SegmentSink| -> Result<(), io::Error> { panic!("on purpose") });
    assert!(matches!(panicked.await, Err(Error::Thread(_))));
    let taken = Names::new("s".parse().unwrap(), FencingToken { generation: 1, revision: 2 });
    let same = Names::new("s".parse().unwrap(), FencingToken { generation: 1, revision: 2 });
    store.put(&taken.segment(), Bytes::from("other bytes").into()).await.unwrap();
    let unstored = stored_while(&store, &same, |sink: &SegmentSink| failing(sink, 0..9)).await;
    assert!(matches!(unstored, Err(Error::Store(_))));
}
