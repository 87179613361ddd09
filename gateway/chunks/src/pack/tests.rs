use std::sync::Arc;

use object_store::{ObjectStore, ObjectStoreExt, memory::InMemory, path::Path};
use tidemark_gateway::{Env, upload::UploadOptions};
use uuid::Uuid;

use super::*;
use crate::{
    Secret,
    cut::tests::noise,
    header::Kind,
    id::IdKey,
    keys::{Keyring, RepositoryKey},
    prepare::{Prepared, Preparer},
    read::Reason,
};

pub(crate) fn key(byte: u8, repository: u128) -> RepositoryKey {
    RepositoryKey::new(Uuid::from_u128(repository), Secret::take(&mut [byte; 32]))
}

pub(crate) fn memory() -> Arc<dyn ObjectStore> {
    Arc::new(InMemory::new())
}

pub(crate) fn small() -> PackOptions {
    PackOptions { target_bytes: 1 << 20, upload: UploadOptions { part_bytes: 5 << 20, in_flight: 1 } }
}

pub(crate) fn prepared(ids: &IdKey, class: Class, bytes: &[u8]) -> Prepared {
    Preparer::new(1).unwrap().prepare(ids.identify(class, bytes).unwrap())
}

/// A pack with these chunks of data.
pub(crate) async fn written(store: &Arc<dyn ObjectStore>, key: &RepositoryKey, path: &str, chunks: &[Vec<u8>]) -> Pack {
    let env = Env::system();
    let issued = key.issue(&env, Kind::Pack, Path::from(path)).unwrap();
    let mut writer = PackWriter::start(store, &env, issued, &small()).unwrap();
    for chunk in chunks {
        writer.append(&prepared(&key.ids(), Class::Data, chunk)).await.unwrap();
    }
    writer.finish().await.unwrap()
}

pub(crate) fn chunks(seed: u64, count: u64, len: usize) -> Vec<Vec<u8>> {
    (0..count).map(|number| noise(seed * 1_000_003 + number, len)).collect()
}

async fn bytes(store: &Arc<dyn ObjectStore>, path: &str) -> Vec<u8> {
    store.get(&Path::from(path)).await.unwrap().bytes().await.unwrap().to_vec()
}

async fn put(store: &Arc<dyn ObjectStore>, path: &str, bytes: Vec<u8>) {
    store.put(&Path::from(path), bytes.into()).await.unwrap();
}

/// What opening and reading all of the pack finds.
async fn faults(store: &Arc<dyn ObjectStore>, key: &RepositoryKey, path: &str) -> Option<String> {
    let reader = match PackReader::open(store, &Keyring::Repository(key.clone()), &Path::from(path)).await {
        Ok(reader) => reader,
        Err(error) => return Some(error.to_string()),
    };
    let (_, damages) = reader.verify(&key.ids()).await.unwrap();
    damages.first().map(ToString::to_string)
}

#[tokio::test]
async fn a_pack_describes_itself() {
    let (store, key) = (memory(), key(1, 1));
    let pack = written(&store, &key, "p", &chunks(1, 20, 5_000)).await;
    let reader = PackReader::open(&store, &Keyring::Repository(key.clone()), &Path::from("p")).await.unwrap();
    assert_eq!(reader.entries(), pack.entries);
    let (record, damages) = reader.verify(&key.ids()).await.unwrap();
    assert!(damages.is_empty(), "{damages:?}");
    assert_eq!((record.stored.size, record), (bytes(&store, "p").await.len() as u64, pack.record));
}

#[tokio::test]
async fn an_empty_pack_is_one() {
    let (store, key) = (memory(), key(1, 1));
    written(&store, &key, "p", &[]).await;
    assert_eq!(faults(&store, &key, "p").await, None);
}

#[tokio::test]
async fn every_flipped_byte_is_found() {
    let (store, key) = (memory(), key(1, 1));
    written(&store, &key, "p", &[vec![1; 300], noise(1, 200), b"abc".to_vec()]).await;
    let whole = bytes(&store, "p").await;
    for at in 0..whole.len() {
        let mut changed = whole.clone();
        changed[at] ^= 0x40;
        put(&store, "p", changed).await;
        assert!(faults(&store, &key, "p").await.is_some(), "byte {at} of {}", whole.len());
    }
}

#[tokio::test]
async fn every_cut_and_every_addition_is_found() {
    let (store, key) = (memory(), key(1, 1));
    written(&store, &key, "p", &chunks(1, 3, 100)).await;
    let whole = bytes(&store, "p").await;
    for len in 0..whole.len() {
        put(&store, "p", whole[..len].to_vec()).await;
        assert!(faults(&store, &key, "p").await.is_some(), "{len} bytes");
    }
    put(&store, "p", [&whole[..], &[0]].concat()).await;
    assert!(faults(&store, &key, "p").await.is_some());
    for at in 0..whole.len() {
        put(&store, "p", [&whole[..at], &[0], &whole[at..]].concat()).await;
        assert!(faults(&store, &key, "p").await.is_some(), "a byte before {at}");
    }
}

#[tokio::test]
async fn packs_that_change_places_are_found() {
    let (store, key) = (memory(), key(1, 1));
    written(&store, &key, "p", &chunks(1, 3, 1_000)).await;
    written(&store, &key, "q", &chunks(2, 3, 1_000)).await;
    let (p, q) = (bytes(&store, "p").await, bytes(&store, "q").await);
    put(&store, "p", q).await;
    put(&store, "q", p).await;
    let expected = "the header of p is damaged or another object's: its key does not unwrap";
    assert_eq!(faults(&store, &key, "p").await.unwrap(), expected);
    assert!(faults(&store, &key, "q").await.is_some());
}

#[tokio::test]
async fn chunks_that_change_places_are_found() {
    let (store, key) = (memory(), key(1, 1));
    let one = written(&store, &key, "p", &chunks(1, 3, 1_000)).await;
    let other = written(&store, &key, "q", &chunks(2, 3, 1_000)).await;
    let (a, b, c) = (one.entries[0], one.entries[1], other.entries[0]);
    let range = |entry: Entry| entry.offset as usize..entry.end() as usize;
    let whole = bytes(&store, "p").await;
    let mut within = whole.clone();
    within[range(a)].copy_from_slice(&whole[range(b)]);
    put(&store, "p", within).await;
    let found = faults(&store, &key, "p").await.unwrap();
    assert!(found.contains(&format!("chunk {} at byte 104 of p: its seal is broken", a.id)), "{found}");
    let mut between = whole.clone();
    between[range(a)].copy_from_slice(&bytes(&store, "q").await[range(c)]);
    put(&store, "p", between).await;
    assert!(faults(&store, &key, "p").await.is_some());
}

#[tokio::test]
async fn a_pack_of_another_repository_or_key_is_told_by_name() {
    let (store, owner) = (memory(), key(1, 1));
    written(&store, &owner, "p", &chunks(1, 3, 1_000)).await;
    let foreign = faults(&store, &key(1, 2), "p").await.unwrap();
    assert!(foreign.starts_with("p belongs to repository"), "{foreign}");
    let wrong = faults(&store, &key(2, 1), "p").await.unwrap();
    assert!(wrong.starts_with("p is sealed with repository key"), "{wrong}");
}

#[tokio::test]
async fn one_damaged_chunk_is_named_and_the_others_are_whole() {
    let (store, key) = (memory(), key(1, 1));
    let pack = written(&store, &key, "p", &chunks(1, 5, 1_000)).await;
    let mut changed = bytes(&store, "p").await;
    changed[pack.entries[2].offset as usize + 500] ^= 1;
    put(&store, "p", changed).await;
    let reader = PackReader::open(&store, &Keyring::Repository(key.clone()), &Path::from("p")).await.unwrap();
    let (_, damages) = reader.verify(&key.ids()).await.unwrap();
    assert_eq!(damages.len(), 1);
    assert!(matches!(damages[0].reason, Reason::Seal) && damages[0].id == pack.entries[2].id);
}

#[tokio::test]
async fn packs_are_full_by_bytes_and_take_nothing_more() {
    let (store, key, env) = (memory(), key(1, 1), Env::system());
    let issued = key.issue(&env, Kind::Pack, Path::from("p")).unwrap();
    let mut writer = PackWriter::start(&store, &env, issued, &small()).unwrap();
    let mut appended = 0;
    for chunk in chunks(1, 40, 60_000) {
        match writer.append(&prepared(&key.ids(), Class::Data, &chunk)).await {
            Ok(_) => appended += 1,
            Err(error) => {
                assert!(matches!(error, WriteError::Full { .. }), "{error}");
                break;
            }
        }
    }
    assert_eq!(appended, (1 << 20) / 60_033 + 1);
    let pack = writer.finish().await.unwrap();
    assert!(pack.record.stored.size < (1 << 20) + 61_000);
}

#[tokio::test]
async fn a_key_for_another_kind_of_object_writes_no_pack() {
    let (store, key, env) = (memory(), key(1, 1), Env::system());
    let issued = key.issue(&env, Kind::Index, Path::from("p")).unwrap();
    assert!(matches!(PackWriter::start(&store, &env, issued, &small()), Err(WriteError::Kind { .. })));
}

#[tokio::test]
async fn chunks_move_into_another_pack_as_they_are() {
    let (store, key, env) = (memory(), key(1, 1), Env::system());
    let bytes = vec![noise(1, 2_000), vec![7; 2_000], noise(2, 2_000)];
    let pack = written(&store, &key, "p", &bytes).await;
    let mut changed = self::bytes(&store, "p").await;
    changed[pack.entries[2].offset as usize + 20] ^= 1;
    put(&store, "p", changed).await;
    let reader = PackReader::open(&store, &Keyring::Repository(key.clone()), &Path::from("p")).await.unwrap();
    let moved = reader.prepared(&key.ids(), reader.entries()).await.unwrap();
    assert!(moved[2].as_ref().is_err_and(|damage| damage.id == pack.entries[2].id), "what is damaged does not move");
    let issued = key.issue(&env, Kind::Pack, Path::from("q")).unwrap();
    let mut writer = PackWriter::start(&store, &env, issued, &small()).unwrap();
    for (moved, original) in moved.iter().flatten().zip(&bytes) {
        assert_eq!(*moved, prepared(&key.ids(), Class::Data, original));
        writer.append(moved).await.unwrap();
    }
    writer.finish().await.unwrap();
    assert_eq!(faults(&store, &key, "q").await, None);
}

#[test]
fn entries_that_lie_outside_or_leave_holes_are_refused() {
    let entry = Entry { id: ChunkId::from_bytes([1; 32]), class: Class::Data, offset: 104, stored: 100, raw: 50 };
    let list = |entry: Entry| {
        let mut bytes = Vec::new();
        entry.write(&mut bytes);
        bytes
    };
    assert_eq!(read_entries(&list(entry), 104..204), Some(vec![entry]));
    assert_eq!(read_entries(&list(entry), 104..205), None, "a hole at the end");
    assert_eq!(read_entries(&list(entry)[1..], 104..204), None);
    assert_eq!(read_entries(&list(Entry { raw: u32::MAX, ..entry }), 104..204), None);
    assert_eq!(read_entries(&list(Entry { stored: u32::MAX, ..entry }), 104..104 + u64::from(u32::MAX)), None);
    assert_eq!(read_entries(&[], 104..104), Some(vec![]));
}
