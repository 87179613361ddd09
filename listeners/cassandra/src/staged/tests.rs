//! Staged files come back as they were at the source, whatever the windows.

use object_store::{ObjectStoreExt, memory::InMemory, path::Path};
use tidemark_cassandra_format::io::ReadAt;
use tidemark_catalog::stored::StoredRef;
use tidemark_gateway::{Stored, blocking::ObjectReader};

use super::*;

fn options(window_bytes: usize) -> ReadOptions {
    ReadOptions { window_bytes, bytes_read: Arc::default(), runtime: Handle::current() }
}

/// Bytes that hardly compress, the same for the same length.
fn noise(length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    blake3::Hasher::new().finalize_xof().fill(&mut bytes);
    bytes
}

fn frames(bytes: &[u8]) -> Vec<u8> {
    bytes.chunks(1 << 20).flat_map(|chunk| zstd::bulk::compress(chunk, 1).unwrap()).collect()
}

async fn stage(store: &Arc<dyn ObjectStore>, name: &str, bytes: &[u8], encoding: Encoding) -> StagedFile {
    let stored = match encoding {
        Encoding::Plain => bytes.to_vec(),
        Encoding::Zstd => frames(bytes),
    };
    let reference = StoredRef::new(&Path::from(name), Stored::of(&stored));
    store.put(&Path::from(name), stored.into()).await.unwrap();
    StagedFile {
        name: name.to_owned(),
        stored: reference,
        encoding,
        size: bytes.len() as u64,
        digest: Digest::of(bytes),
    }
}

fn store() -> Arc<dyn ObjectStore> {
    Arc::new(InMemory::new())
}

async fn sstable(store: &Arc<dyn ObjectStore>, data: &[u8], encoding: Encoding) -> StagedSsTable {
    let files = vec![
        stage(store, "nb-1-big-Data.db", data, encoding).await,
        stage(store, "nb-1-big-Statistics.db", &noise(3 << 20), encoding).await,
        stage(store, "nb-1-big-Index.db", b"index", Encoding::Plain).await,
    ];
    group("h", &files).unwrap().remove(0)
}

#[tokio::test]
async fn data_is_read_at_any_offset() {
    let mut data = noise(2_500_000);
    data.extend(vec![7; 3 << 20]);
    for encoding in [Encoding::Plain, Encoding::Zstd] {
        for window in [1, 200_000, 8 << 20] {
            let (store, data) = (store(), data.clone());
            let opened = open(&store, &sstable(&store, &data, encoding).await, &options(window)).await.unwrap();
            tokio::task::spawn_blocking(move || compare(&opened.data, &data)).await.unwrap();
        }
    }
}

fn compare(read: &StagedData, data: &[u8]) {
    assert_eq!(read.size(), data.len() as u64);
    let places = [(0, 10), (5, 100_000), (1_000_000, 100_000), (90_000, 3_000_000), (0, 1), (data.len(), 0)];
    for (offset, len) in places.into_iter().chain([(data.len() - 5, 5), (0, data.len())]) {
        assert!(read.read_at(offset as u64, len).unwrap() == data[offset..offset + len], "{len} at {offset}");
    }
    assert!(read.read_at(data.len() as u64, 1).is_err());
}

#[tokio::test]
async fn bytes_are_counted_once_on_the_way_forward() {
    let (store, options) = (store(), options(1));
    let opened = open(&store, &sstable(&store, &noise(300_000), Encoding::Plain).await, &options).await.unwrap();
    let read =
        move || [(0, 100_000), (50_000, 100_000), (0, 10)].map(|(at, len)| opened.data.read_at(at, len).unwrap());
    tokio::task::spawn_blocking(read).await.unwrap();
    assert_eq!(options.bytes_read.load(std::sync::atomic::Ordering::SeqCst), 150_000);
}

#[tokio::test]
async fn components_are_proven_and_indexes_left_alone() {
    let store = store();
    for encoding in [Encoding::Plain, Encoding::Zstd] {
        let table = sstable(&store, b"data", encoding).await;
        let opened = open(&store, &table, &options(1)).await.unwrap();
        assert_eq!(opened.components.keys().collect::<Vec<_>>(), ["Statistics.db"]);
        assert!(opened.components["Statistics.db"] == noise(3 << 20));
    }
}

#[tokio::test]
async fn a_component_of_other_bytes_is_named() {
    let store = store();
    let mut table = sstable(&store, b"data", Encoding::Plain).await;
    let statistics = table.components.get_mut("Statistics.db").unwrap();
    statistics.digest = Digest::of(b"other");
    let error = open(&store, &table, &options(1)).await.err().unwrap().to_string();
    assert!(error.contains("host h") && error.contains("nb-1-big-Statistics.db"), "{error}");
}

#[tokio::test]
async fn damaged_frames_are_errors() {
    let data = noise(3_000_000);
    let whole = frames(&data);
    for (stored, size) in [(whole[..1_500_000].to_vec(), 3_000_000), (vec![1; 5000], 5000), (whole, 3_000_001)] {
        let store = store();
        store.put(&Path::from("d"), stored.clone().into()).await.unwrap();
        let object = ObjectReader::new(store, Path::from("d"), stored.len() as u64, Handle::current());
        let read = StagedData::new(object, Encoding::Zstd, size, &options(1));
        let last = tokio::task::spawn_blocking(move || read.read_at(size - 1, 1)).await.unwrap();
        assert_eq!(last.unwrap_err().kind(), std::io::ErrorKind::InvalidData);
    }
}

#[tokio::test]
async fn incomplete_or_strange_files_are_refused() {
    let store = store();
    let data = stage(&store, "nb-1-big-Data.db", b"", Encoding::Plain).await;
    assert!(matches!(group("h", std::slice::from_ref(&data)), Err(Error::Incomplete { .. })));
    assert!(matches!(group("h", &[data.clone(), data.clone()]), Err(Error::Twice { .. })));
    let strange = StagedFile { name: "nb--big-Data.db".into(), ..data };
    assert!(matches!(group("h", &[strange]), Err(Error::Name { .. })));
}
