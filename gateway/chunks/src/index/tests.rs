use std::{collections::HashSet, fmt::Debug, ops::Range};

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStoreExt, PutMultipartOptions,
    PutOptions, PutPayload, PutResult, Result as StoreResult,
};
use proptest::prelude::*;

use super::*;
use crate::{
    header::Kind,
    keys::RepositoryKey,
    pack::{
        Entry, PackReader, PackRecord,
        tests::{chunks, key, memory, written},
    },
};

fn index(store: &Arc<dyn ObjectStore>, key: &RepositoryKey) -> Index {
    Index::new(Arc::clone(store), Keyring::Repository(key.clone()), IndexOptions::default())
}

fn issue(key: &RepositoryKey, path: &str) -> Issued {
    key.issue(&Env::system(), Kind::Index, Path::from(path)).unwrap()
}

/// An id that is spread as real ones are.
fn id(number: u64) -> ChunkId {
    ChunkId::from_bytes(*blake3::hash(&number.to_le_bytes()).as_bytes())
}

/// A pack that is only in the index, with chunks of these numbers.
fn made(key: &RepositoryKey, name: &str, numbers: Range<u64>) -> Pack {
    let header = key.issue(&Env::system(), Kind::Pack, Path::from(name)).unwrap().header().clone();
    let record = PackRecord { path: Path::from(name), header, stored: Stored::of(name.as_bytes()) };
    let entry = |(at, number): (u32, u64)| Entry {
        id: id(number),
        class: Class::Data,
        offset: 104 + at * 50,
        stored: 50,
        raw: 9,
    };
    Pack { record, entries: (0..).zip(numbers).map(entry).collect() }
}

async fn flushed(index: &mut Index, key: &RepositoryKey, path: &str) -> IndexRecord {
    index.flush(&Env::system(), issue(key, path), &UploadOptions::default()).await.unwrap().unwrap()
}

async fn places(index: &Index, numbers: Range<u64>) -> Vec<Vec<(String, u32)>> {
    let wanted: Vec<_> = numbers.map(|number| (Class::Data, id(number))).collect();
    let found = index.find(&wanted).await.unwrap();
    let place = |location: &Location| (location.pack.path.to_string(), location.entry.offset);
    found.iter().map(|locations| locations.iter().map(place).collect()).collect()
}

#[tokio::test]
async fn what_was_recorded_is_found_before_and_after_it_is_flushed() {
    let (store, key) = (memory(), key(1, 1));
    let mut index = index(&store, &key);
    index.record(&made(&key, "p", 0..3000));
    index.record(&made(&key, "q", 3000..5000));
    let before = places(&index, 0..6000).await;
    assert!((0..5000).all(|at| before[at].len() == 1) && (5000..6000).all(|at| before[at].is_empty()));
    let record = flushed(&mut index, &key, "i").await;
    assert_eq!((record.chunks, index.objects().len()), (5000, 1));
    assert_eq!(places(&index, 0..6000).await, before);
    assert!(index.flush(&Env::system(), issue(&key, "j"), &UploadOptions::default()).await.unwrap().is_none());
    let mut again = super::tests::index(&store, &key);
    again.open(&Path::from("i")).await.unwrap();
    assert_eq!(places(&again, 0..6000).await, before);
}

#[tokio::test]
async fn classes_do_not_stand_for_each_other() {
    let (store, key) = (memory(), key(1, 1));
    let mut index = index(&store, &key);
    index.record(&made(&key, "p", 0..10));
    let tree = [(Class::Tree, id(1))];
    assert!(index.find(&tree).await.unwrap()[0].is_empty());
    flushed(&mut index, &key, "i").await;
    assert!(index.find(&tree).await.unwrap()[0].is_empty());
}

#[tokio::test]
async fn only_admitted_packs_are_referred_to_wherever_else_the_chunk_is() {
    let (store, key) = (memory(), key(1, 1));
    let mut index = index(&store, &key);
    index.record(&made(&key, "marked", 0..100));
    flushed(&mut index, &key, "i").await;
    index.record(&made(&key, "live", 50..150));
    flushed(&mut index, &key, "j").await;
    index.record(&made(&key, "unlisted", 0..200));
    let wanted: Vec<_> = (0..200).map(|number| (Class::Data, id(number))).collect();
    let packs = async |admitted: &Admitted| {
        let reusable = index.reusable(admitted, &wanted).await.unwrap();
        reusable.into_iter().map(|reference| reference.map(|found| found.pack().to_string())).collect::<Vec<_>>()
    };
    assert!(packs(&Admitted::default()).await.iter().all(Option::is_none));
    let live = packs(&Admitted::new([Path::from("live")])).await;
    for (number, pack) in live.into_iter().enumerate() {
        assert_eq!(pack.as_deref(), (50..150).contains(&number).then_some("live"), "{number}");
    }
}

#[tokio::test]
async fn objects_merge_into_one_without_the_packs_that_are_gone() {
    let (store, key) = (memory(), key(1, 1));
    let mut index = index(&store, &key);
    for (number, name) in (0..).zip(["a", "b", "c"]) {
        index.record(&made(&key, name, number * 1000..number * 1000 + 1500));
        flushed(&mut index, &key, &format!("i{number}")).await;
    }
    let before = places(&index, 0..4000).await;
    assert_eq!(before[1200].len(), 2, "a chunk in two packs");
    let env = Env::system();
    let record = index
        .merge(&env, issue(&key, "m"), &UploadOptions::default(), &[0, 1, 2], |path| path.as_ref() != "b")
        .await
        .unwrap();
    assert_eq!((record.chunks, index.objects().len(), index.objects()[0].packs()), (3000, 1, 2));
    let after = places(&index, 0..4000).await;
    for (number, (before, after)) in before.iter().zip(&after).enumerate() {
        let kept: Vec<_> = before.iter().filter(|(pack, _)| pack != "b").cloned().collect();
        assert_eq!(after, &kept, "{number}");
    }
    // What is in two objects alike is in the merged one once.
    index.record(&made(&key, "a", 0..1500));
    flushed(&mut index, &key, "i9").await;
    let record = index.merge(&env, issue(&key, "n"), &UploadOptions::default(), &[0, 1], |_| true).await.unwrap();
    assert_eq!(record.chunks, 3000);
}

#[tokio::test]
async fn the_index_is_made_again_from_packs_alone() {
    let (store, key) = (memory(), key(1, 1));
    let mut first = index(&store, &key);
    for number in 0..3 {
        first.record(&written(&store, &key, &format!("p{number}"), &chunks(number, 10, 300)).await);
    }
    let mut again = index(&store, &key);
    let mut ids = Vec::new();
    for number in 0..3 {
        let path = Path::from(format!("p{number}"));
        let reader = PackReader::open(&store, &Keyring::Repository(key.clone()), &path).await.unwrap();
        let (record, damages) = reader.verify(&key.ids()).await.unwrap();
        assert!(damages.is_empty());
        ids.extend(reader.entries().iter().map(|entry| (entry.class, entry.id)));
        again.record(&Pack { record, entries: reader.entries().to_vec() });
    }
    assert_eq!(ids.len(), 30);
    assert_eq!(again.find(&ids).await.unwrap(), first.find(&ids).await.unwrap());
}

#[tokio::test]
async fn every_flipped_byte_of_an_index_is_found() {
    let (store, key) = (memory(), key(1, 1));
    let mut first = index(&store, &key);
    first.record(&made(&key, "p", 0..20));
    flushed(&mut first, &key, "i").await;
    let expected = places(&first, 0..40).await;
    let whole = store.get(&Path::from("i")).await.unwrap().bytes().await.unwrap().to_vec();
    let wanted: Vec<_> = (0..40).map(|number| (Class::Data, id(number))).collect();
    for at in 0..whole.len() {
        let mut changed = whole.clone();
        changed[at] ^= 0x10;
        store.put(&Path::from("i"), changed.into()).await.unwrap();
        let mut index = index(&store, &key);
        let found = match index.open(&Path::from("i")).await {
            Ok(()) => index.find(&wanted).await,
            Err(error) => Err(error),
        };
        assert!(found.is_err(), "byte {at} of {}", whole.len());
    }
    store.put(&Path::from("i"), whole.into()).await.unwrap();
    assert_eq!(places(&first, 0..40).await, expected);
}

#[tokio::test]
async fn an_index_of_another_name_or_a_pack_in_its_place_is_refused() {
    let (store, key) = (memory(), key(1, 1));
    let mut first = index(&store, &key);
    first.record(&written(&store, &key, "p", &chunks(1, 3, 100)).await);
    flushed(&mut first, &key, "i").await;
    let bytes = store.get(&Path::from("i")).await.unwrap().bytes().await.unwrap();
    store.put(&Path::from("older"), bytes.into()).await.unwrap();
    assert!(matches!(index(&store, &key).open(&Path::from("older")).await, Err(Error::Key(_))));
    assert!(matches!(
        index(&store, &key).open(&Path::from("p")).await,
        Err(Error::Footer { .. } | Error::Header { .. })
    ));
    assert!(index(&store, &key).open(&Path::from("gone")).await.unwrap_err().is_absent());
}

/// Counts the ranges that are read.
#[derive(Debug)]
struct Counted {
    store: Arc<dyn ObjectStore>,
    bytes: std::sync::atomic::AtomicU64,
}

impl std::fmt::Display for Counted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Counted")
    }
}

#[async_trait]
impl ObjectStore for Counted {
    async fn put_opts(&self, path: &Path, payload: PutPayload, options: PutOptions) -> StoreResult<PutResult> {
        self.store.put_opts(path, payload, options).await
    }

    async fn put_multipart_opts(
        &self,
        path: &Path,
        options: PutMultipartOptions,
    ) -> StoreResult<Box<dyn MultipartUpload>> {
        self.store.put_multipart_opts(path, options).await
    }

    async fn get_opts(&self, path: &Path, options: GetOptions) -> StoreResult<GetResult> {
        self.store.get_opts(path, options).await
    }

    async fn get_ranges(&self, path: &Path, ranges: &[Range<u64>]) -> StoreResult<Vec<Bytes>> {
        let bytes = ranges.iter().map(|range| range.end - range.start).sum();
        self.bytes.fetch_add(bytes, std::sync::atomic::Ordering::Relaxed);
        self.store.get_ranges(path, ranges).await
    }

    fn delete_stream(&self, paths: BoxStream<'static, StoreResult<Path>>) -> BoxStream<'static, StoreResult<Path>> {
        self.store.delete_stream(paths)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, StoreResult<ObjectMeta>> {
        self.store.list(prefix)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> StoreResult<ListResult> {
        self.store.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> StoreResult<()> {
        self.store.copy_opts(from, to, options).await
    }
}

#[tokio::test]
async fn what_is_new_is_told_by_the_groups_and_what_is_known_reads_its_shard_alone() {
    let counted = Arc::new(Counted { store: memory(), bytes: 0.into() });
    let store: Arc<dyn ObjectStore> = counted.clone();
    let key = key(1, 1);
    let mut index = Index::new(Arc::clone(&store), Keyring::Repository(key.clone()), IndexOptions::default());
    index.record(&made(&key, "p", 0..40_000));
    flushed(&mut index, &key, "i").await;
    let read = || counted.bytes.swap(0, std::sync::atomic::Ordering::Relaxed);
    read();
    assert!(places(&index, 40_000..40_001).await[0].is_empty());
    let groups = read();
    assert!(groups < 110_000, "one group of two: {groups} bytes");
    places(&index, 50_000..50_010).await;
    read();
    places(&index, 60_000..60_500).await;
    assert!(read() < 20 * 25_000, "of 500 that are new, few read a shard");
    assert_eq!(places(&index, 7..8).await[0].len(), 1);
    let once = read();
    assert!(once < 60_000, "a shard and a page of packs: {once} bytes");
    assert_eq!((places(&index, 7..8).await[0].len(), read()), (1, 0));
}

#[tokio::test]
async fn a_cache_that_holds_nothing_changes_no_answer() {
    let (store, key) = (memory(), key(1, 1));
    let options = IndexOptions { cache_bytes: 0, ..IndexOptions::default() };
    let mut index = Index::new(Arc::clone(&store), Keyring::Repository(key.clone()), options);
    index.record(&made(&key, "p", 0..5000));
    flushed(&mut index, &key, "i").await;
    let found = places(&index, 0..6000).await;
    assert_eq!(found.iter().filter(|places| places.len() == 1).count(), 5000);
}

#[test]
fn tiers_merge_what_is_small_and_leave_what_is_large() {
    assert_eq!(tier(&[9; 8]), None);
    assert_eq!(tier(&[9; 9]), Some((0..9).collect()));
    assert_eq!(tier(&[1_000_000, 10, 10, 10, 10, 10, 10, 10, 500_000]), Some((1..8).collect()));
    assert_eq!(tier(&[1, 10, 100, 1_000, 10_000, 100_000, 1_000_000, 10_000_000, 100_000_000]), Some(vec![0, 1]));
}

#[test]
fn summaries_and_rows_that_lie_are_refused() {
    let summary = layout::Summary { rows: 5, packs: 1, shard_bits: 0, packs_at: 104, groups: vec![(104, 60)] };
    let mut bytes = Vec::new();
    summary.write(&mut bytes);
    assert_eq!(layout::Summary::read(&bytes), Some(summary));
    let changed = |at: usize, to: u8| {
        let mut bytes = bytes.clone();
        bytes[at] = to;
        layout::Summary::read(&bytes)
    };
    assert_eq!(changed(12, 200), None, "more shards than there may be");
    assert_eq!(changed(12, 7), None, "fewer groups than the shards ask for");
    assert_eq!(changed(28, 0xff), None, "an offset that would overflow");
    assert_eq!(changed(32, 0xff), None, "a part larger than may be read");
    assert_eq!(layout::Row::read_all(&[0; 48]), None, "no such class");
    assert_eq!(layout::Row::read_all(&[0; 47]), None);
    assert_eq!(layout::read_group(&[0xff; 16], 1), None);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn an_index_answers_as_a_map(packs in prop::collection::vec((0..3000_u64, 0..2000_u64, any::<bool>()), 1..6)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let (store, key) = (memory(), key(1, 1));
            let mut index = index(&store, &key);
            let mut expected: Vec<HashSet<String>> = vec![HashSet::new(); 5000];
            for (number, (start, len, flush)) in packs.into_iter().enumerate() {
                let name = format!("p{number}");
                index.record(&made(&key, &name, start..start + len));
                expected[start as usize..(start + len) as usize].iter_mut().for_each(|packs| packs.extend([name.clone()]));
                if flush {
                    index.flush(&Env::system(), issue(&key, &format!("i{number}")), &UploadOptions::default()).await.unwrap();
                }
            }
            let found = places(&index, 0..5000).await;
            let found: Vec<HashSet<_>> = found.into_iter().map(|places| places.into_iter().map(|(pack, _)| pack).collect()).collect();
            assert_eq!(found, expected);
        });
    }
}

fn debug_is_bounded(value: &impl Debug) -> usize {
    format!("{value:?}").len()
}

#[test]
fn an_index_prints_no_key() {
    let (store, key) = (memory(), key(1, 1));
    let index = index(&store, &key);
    assert!(debug_is_bounded(&index) < 1000 && !format!("{index:?}").contains("1, 1, 1, 1"));
}
