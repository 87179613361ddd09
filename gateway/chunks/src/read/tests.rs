use std::sync::Mutex;

use futures::StreamExt;
use proptest::prelude::*;

use super::*;
use crate::pack::{
    Pack,
    tests::{chunks, key, memory, written},
};

fn locations(pack: &Pack) -> Vec<Location> {
    let record = Arc::new(pack.record.clone());
    pack.entries.iter().map(|entry| Location { pack: Arc::clone(&record), entry: *entry }).collect()
}

fn wanted(locations: Vec<Location>) -> Vec<Wanted> {
    let one = |(position, location)| Wanted { position, locations: vec![location] };
    locations.into_iter().enumerate().map(one).collect()
}

fn reader(store: &Arc<dyn ObjectStore>) -> ChunkReader {
    let key = key(1, 1);
    let options = ReadOptions { gap_bytes: 1_000, range_bytes: 20_000, in_flight: 3 };
    ChunkReader::new(Arc::clone(store), Keyring::Repository(key.clone()), key.ids(), options)
}

async fn read(reader: &ChunkReader, wanted: Vec<Wanted>) -> Vec<Result<Bytes, Damage>> {
    let mut fetched: Vec<_> = reader.read(wanted).collect().await;
    fetched.sort_by_key(|fetched| fetched.position);
    fetched.into_iter().map(|fetched| fetched.bytes).collect()
}

#[tokio::test]
async fn chunks_of_several_packs_are_read_whole() {
    let store = memory();
    let (one, other) = (chunks(1, 30, 3_000), chunks(2, 30, 3_000));
    let mut all = locations(&written(&store, &key(1, 1), "p", &one).await);
    all.extend(locations(&written(&store, &key(1, 1), "q", &other).await));
    all.reverse();
    let read = read(&reader(&store), wanted(all)).await;
    let expected: Vec<_> = one.into_iter().chain(other).rev().collect();
    assert_eq!(read.into_iter().map(Result::unwrap).collect::<Vec<_>>(), expected);
}

#[tokio::test]
async fn a_damaged_chunk_is_named_and_keeps_no_other_from_being_read() {
    let store = memory();
    let pack = written(&store, &key(1, 1), "p", &chunks(1, 10, 3_000)).await;
    let mut bytes = store.get(&Path::from("p")).await.unwrap().bytes().await.unwrap().to_vec();
    bytes[pack.entries[4].offset as usize + 100] ^= 1;
    store.put(&Path::from("p"), bytes.into()).await.unwrap();
    let read = read(&reader(&store), wanted(locations(&pack))).await;
    for (number, read) in read.iter().enumerate() {
        assert_eq!(read.is_err(), number == 4, "{number}");
    }
    let entry = pack.entries[4];
    let expected = format!(
        "chunk {} at byte {} of p: its seal is broken: the bytes were changed or are another chunk's",
        entry.id, entry.offset
    );
    assert_eq!(read[4].as_ref().unwrap_err().to_string(), expected);
}

#[tokio::test]
async fn a_chunk_that_is_damaged_in_one_pack_is_read_from_another() {
    let store = memory();
    let bytes = chunks(1, 3, 3_000);
    let (one, other) = (written(&store, &key(1, 1), "p", &bytes).await, written(&store, &key(1, 1), "q", &bytes).await);
    store.delete(&Path::from("p")).await.unwrap();
    let both = locations(&one).into_iter().zip(locations(&other)).enumerate();
    let both = both.map(|(position, (one, other))| Wanted { position, locations: vec![one, other] });
    let read = read(&reader(&store), both.collect()).await;
    assert_eq!(read.into_iter().map(Result::unwrap).collect::<Vec<_>>(), bytes);
}

#[tokio::test]
async fn a_pack_that_was_cut_loses_only_what_it_lacks() {
    let store = memory();
    let pack = written(&store, &key(1, 1), "p", &chunks(1, 10, 3_000)).await;
    let bytes = store.get(&Path::from("p")).await.unwrap().bytes().await.unwrap();
    let size = pack.entries[4].end() - 1;
    store.put(&Path::from("p"), bytes.slice(..size as usize).into()).await.unwrap();
    let read = read(&reader(&store), wanted(locations(&pack))).await;
    for (number, read) in read.iter().enumerate() {
        match read {
            Ok(_) => assert!(number < 4, "{number}"),
            Err(damage) => assert!(number >= 4 && matches!(damage.reason, Reason::Cut { bytes } if bytes == size)),
        }
    }
}

#[tokio::test]
async fn a_pack_that_is_gone_and_a_key_that_is_not_there_are_told_apart() {
    let store = memory();
    let pack = written(&store, &key(1, 1), "p", &chunks(1, 2, 300)).await;
    let ids = key(1, 1).ids();
    let given = Keyring::Given { repository: key(1, 1).repository(), keys: Arc::default() };
    let none = ChunkReader::new(Arc::clone(&store), given, ids, ReadOptions::default());
    let refused = read(&none, wanted(locations(&pack))).await;
    assert!(refused.iter().all(|read| read.as_ref().is_err_and(Damage::is_of_the_reader)));
    store.delete(&Path::from("p")).await.unwrap();
    let gone = read(&reader(&store), wanted(locations(&pack))).await;
    assert!(gone.iter().all(|read| matches!(read, Err(damage) if matches!(damage.reason, Reason::Absent))));
}

#[tokio::test]
async fn a_wrong_entry_gives_no_wrong_bytes() {
    let store = memory();
    let pack = written(&store, &key(1, 1), "p", &chunks(1, 3, 300)).await;
    let good = locations(&pack);
    let other = |change: fn(&mut Entry)| {
        let mut location = good[1].clone();
        change(&mut location.entry);
        location
    };
    let bad = vec![
        other(|entry| entry.offset += 1),
        other(|entry| entry.stored -= 1),
        other(|entry| entry.raw -= 1),
        other(|entry| entry.class = Class::Tree),
        other(|entry| entry.id = ChunkId::from_bytes([0; 32])),
        other(|entry| entry.offset = u32::MAX - 400),
    ];
    assert!(read(&reader(&store), wanted(bad)).await.iter().all(Result::is_err));
}

#[tokio::test]
async fn a_chunk_that_is_nowhere_is_an_error() {
    let nowhere = vec![Wanted { position: 7, locations: Vec::new() }];
    let fetched: Vec<_> = reader(&memory()).read(nowhere).collect().await;
    assert!(
        matches!(&fetched[..], [Fetched { position: 7, bytes: Err(damage), .. }] if matches!(damage.reason, Reason::Unknown))
    );
}

static RECORDS: Mutex<Vec<Arc<PackRecord>>> = Mutex::new(Vec::new());

fn record(number: usize) -> Arc<PackRecord> {
    let mut records = RECORDS.lock().unwrap();
    while records.len() <= number {
        let path = Path::from(format!("p{}", records.len()));
        let issued =
            key(1, 1).issue(&tidemark_gateway::Env::system(), crate::header::Kind::Pack, path.clone()).unwrap();
        let stored = tidemark_gateway::Stored::of(b"");
        records.push(Arc::new(PackRecord { path, header: issued.header().clone(), stored }));
    }
    Arc::clone(&records[number])
}

proptest! {
    #[test]
    fn runs_hold_every_chunk_once_within_their_bounds(
        places in prop::collection::vec((0..3_usize, 0..100_000_u32, 1..5_000_u32), 0..60),
    ) {
        let options = ReadOptions { gap_bytes: 1_000, range_bytes: 20_000, in_flight: 1 };
        let asked: Vec<_> = places.iter().map(|(pack, offset, stored)| {
            let id = ChunkId::from_bytes([0; 32]);
            Location { pack: record(*pack), entry: Entry { id, class: Class::Data, offset: *offset, stored: *stored, raw: 1 } }
        }).collect();
        let runs = plan(wanted(asked), &options);
        let mut positions: Vec<_> = runs.iter().flat_map(|run| run.wanted.iter().map(|wanted| wanted.position)).collect();
        positions.sort_unstable();
        prop_assert_eq!(positions, (0..places.len()).collect::<Vec<_>>());
        for run in &runs {
            prop_assert!(run.range.end - run.range.start <= 20_000);
            let mut reached = run.range.start;
            for entry in run.wanted.iter().map(|wanted| wanted.locations[0].entry) {
                prop_assert!(u64::from(entry.offset) <= reached + 1_000, "a gap that is not worth reading");
                reached = reached.max(entry.end());
            }
            for wanted in &run.wanted {
                let (pack, entry) = (&wanted.locations[0].pack, wanted.locations[0].entry);
                prop_assert!(run.pack.as_ref() == Some(pack));
                prop_assert!(run.range.start <= u64::from(entry.offset) && entry.end() <= run.range.end);
            }
        }
        let close = |pair: &[plan::Run]| pair[0].pack == pair[1].pack && pair[1].range.end - pair[0].range.start <= 20_000
            && pair[1].range.start <= pair[0].range.end + 1_000 && pair[1].wanted.len() == 1;
        prop_assert!(!runs.windows(2).any(close), "runs that could be one");
    }
}
