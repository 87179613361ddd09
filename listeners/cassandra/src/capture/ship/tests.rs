//! Shipping into a store in memory.

use std::path::PathBuf;

use object_store::{ObjectStoreExt, PutPayload, memory::InMemory};
use tidemark_listener_core::progress;

use tidemark_gateway::Digest;

use super::*;

/// A store, and a directory with the files of one table.
struct Bench {
    stage: Stage,
    directory: tempfile::TempDir,
    table: TableRecord,
}

impl Bench {
    fn new(files: &[(&str, usize)]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let mut records = Vec::new();
        for (name, len) in files {
            std::fs::write(directory.path().join(name), vec![7; *len]).unwrap();
            records.push(FileRecord { name: (*name).to_owned(), size: *len as u64 });
        }
        let object = "shop/orders".parse().unwrap();
        let table = TableRecord { object, id: "0f".repeat(16), unreadable: None, files: records };
        let stage = Stage { store: Arc::new(InMemory::new()), prefix: Path::from("sources/s/staged/t/h") };
        Self { stage, directory, table }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn listed(&self) -> Vec<LocalFile> {
        let file = |record: &FileRecord| LocalFile {
            path: self.path(&record.name),
            name: record.name.clone(),
            size: record.size,
        };
        self.table.files.iter().map(file).collect()
    }

    async fn ship(&self) -> Result<SliceObject, Error> {
        let limits = CaptureLimits { uploads: 2, part_bytes: 1000 };
        let shipper = Shipper::new(&self.stage, &limits, Meter::new(progress::silent(), 0));
        shipper.table(&self.table, Ok(self.listed())).await
    }

    async fn stored(&self, file: &StagedFile) -> bytes::Bytes {
        self.stage.store.get(&file.stored.path()).await.unwrap().bytes().await.unwrap()
    }
}

#[tokio::test]
async fn compressed_tables_go_as_they_are_under_names_of_their_parts() {
    let bench = Bench::new(&[("nb-1-big-Data.db", 5000), ("nb-1-big-CompressionInfo.db", 40)]);
    let shipped = bench.ship().await.unwrap();
    let data = &shipped.files[0];
    assert_eq!(data.stored.key, format!("sources/s/staged/t/h/{}/nb-1-big/Data.db", "0f".repeat(16)));
    assert_eq!((data.encoding, data.size, data.digest), (Encoding::Plain, 5000, data.stored.digest));
    assert_eq!(bench.stored(data).await, vec![7; 5000]);
}

#[tokio::test]
async fn data_of_uncompressed_tables_goes_in_frames() {
    let bench = Bench::new(&[("nb-1-big-Data.db", 5000), ("nb-1-big-CRC.db", 40), ("nb-2-big-Data.db", 0)]);
    let shipped = bench.ship().await.unwrap();
    let encodings: Vec<Encoding> = shipped.files.iter().map(|file| file.encoding).collect();
    assert_eq!(encodings, [Encoding::Zstd, Encoding::Plain, Encoding::Zstd]);
    let data = &shipped.files[0];
    assert_eq!(data.digest, Digest::of(&vec![7; 5000]));
    let decoded = zstd::bulk::decompress(&bench.stored(data).await, 5000).unwrap();
    assert_eq!(decoded, vec![7; 5000]);
    assert_eq!((shipped.files[2].stored.size, shipped.files[2].digest), (0, Digest::of(b"")));
}

#[tokio::test]
async fn a_second_run_says_the_same_and_sends_nothing() {
    let bench = Bench::new(&[("nb-1-big-Data.db", 5000), ("nb-1-big-Statistics.db", 400)]);
    let first = bench.ship().await.unwrap();
    // The store keeps what it has: were it written again, this would be gone.
    let path = first.files[1].stored.path();
    bench.stage.store.put(&path, PutPayload::from(vec![9; 400])).await.unwrap();
    assert_eq!(bench.ship().await.unwrap(), first);
    assert_eq!(bench.stored(&first.files[1]).await, vec![9; 400]);
}

#[tokio::test]
async fn a_stored_file_of_another_size_is_refused() {
    let bench = Bench::new(&[("nb-1-big-Statistics.db", 400)]);
    let first = bench.ship().await.unwrap();
    bench.stage.store.put(&first.files[0].stored.path(), PutPayload::from(vec![9; 399])).await.unwrap();
    let error = bench.ship().await.unwrap_err();
    assert!(matches!(error, Error::StagedSize { stored: 399, ours: 400, .. }), "{error}");
    assert!(!error.is_retryable());
}

#[tokio::test]
async fn a_file_that_vanishes_makes_its_table_unreadable() {
    let bench = Bench::new(&[("nb-1-big-Data.db", 5000), ("nb-1-big-Statistics.db", 400)]);
    std::fs::remove_file(bench.path("nb-1-big-Statistics.db")).unwrap();
    let shipped = bench.ship().await.unwrap();
    assert!(shipped.files.is_empty());
    assert!(shipped.unreadable.unwrap().contains("nb-1-big-Statistics.db"));
}

#[tokio::test]
async fn a_file_that_shrinks_makes_its_table_unreadable() {
    let bench = Bench::new(&[("nb-1-big-Data.db", 5000)]);
    std::fs::write(bench.path("nb-1-big-Data.db"), vec![7; 4999]).unwrap();
    let shipped = bench.ship().await.unwrap();
    assert!(shipped.unreadable.unwrap().contains("4999"));
}
