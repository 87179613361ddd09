//! Shipping into a store in memory.

use object_store::{ObjectStore, ObjectStoreExt, PutPayload, memory::InMemory};
use tidemark_catalog::ids::FencingToken;
use tidemark_gateway::Digest;

use super::*;
use crate::{
    assignment::{Assignment, Capture},
    progress,
};

/// A store, and a directory with the files of one object.
struct Bench {
    store: Arc<dyn ObjectStore>,
    directory: tempfile::TempDir,
    item: Item,
    parcels: Vec<Parcel>,
}

fn assignment(revision: u64) -> Assignment<Capture> {
    Assignment {
        id: "a".into(),
        source: "s".parse().unwrap(),
        task: "t".parse().unwrap(),
        token: FencingToken { generation: 1, revision },
        needs: Vec::new(),
        repository: "r".into(),
        work: Capture::default(),
    }
}

impl Bench {
    /// Files of these names and sizes; those that end in `.json` go in frames.
    fn new(files: &[(&str, usize)]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let mut parcels = Vec::new();
        for (name, len) in files {
            let path = directory.path().join(name);
            std::fs::write(&path, vec![7; *len]).unwrap();
            let file = LocalFile { path, name: (*name).to_owned(), size: *len as u64 };
            let encoding = if name.ends_with(".json") { Encoding::Zstd } else { Encoding::Plain };
            parcels.push(Parcel { file, encoding, place: format!("files/{name}") });
        }
        let item = Item { object: "shop/orders".parse().unwrap(), object_id: "7".into(), folder: "orders".into() };
        Self { store: Arc::new(InMemory::new()), directory, item, parcels }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    async fn ship(&self) -> Result<SliceObject, Error> {
        self.ship_under(1).await
    }

    /// Ships in a run under the claim of this revision.
    async fn ship_under(&self, revision: u64) -> Result<SliceObject, Error> {
        let stage = Stage::new(Arc::clone(&self.store), &assignment(revision), "h");
        let limits = CaptureLimits { uploads: 2, part_bytes: 1000 };
        let shipper = Shipper::new(&stage, &limits, Meter::new(progress::silent(), 0));
        shipper.object(&self.item, Ok(self.parcels.clone())).await
    }

    async fn stored(&self, file: &StagedFile) -> bytes::Bytes {
        self.store.get(&file.stored.path()).await.unwrap().bytes().await.unwrap()
    }
}

#[tokio::test]
async fn plain_files_go_as_they_are_under_names_of_their_own() {
    let bench = Bench::new(&[("a.db", 5000), ("b.db", 40)]);
    let shipped = bench.ship().await.unwrap();
    let data = &shipped.files[0];
    assert_eq!(data.stored.key, "sources/s/staged/t/h/orders/0000000001-00000000000000000001/files/a.db");
    assert_eq!((data.encoding, data.size, data.digest), (Encoding::Plain, 5000, data.stored.digest));
    assert_eq!((shipped.object_id.as_str(), shipped.files.len()), ("7", 2));
    assert_eq!(bench.stored(data).await, vec![7; 5000]);
}

#[tokio::test]
async fn framed_files_have_a_digest_of_their_own_content() {
    let bench = Bench::new(&[("a.json", 5000), ("b.db", 40), ("c.json", 0)]);
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
async fn a_reason_instead_of_files_makes_an_unreadable_line() {
    let bench = Bench::new(&[]);
    let stage = Stage::new(Arc::clone(&bench.store), &assignment(1), "h");
    let shipper = Shipper::new(&stage, &CaptureLimits::default(), Meter::new(progress::silent(), 0));
    let line = shipper.object(&bench.item, Err("no such directory".to_owned())).await.unwrap();
    assert_eq!((line.unreadable.as_deref(), line.files.len()), (Some("no such directory"), 0));
}

#[tokio::test]
async fn a_second_run_says_the_same_and_sends_nothing() {
    let bench = Bench::new(&[("a.db", 5000), ("b.db", 400)]);
    let first = bench.ship().await.unwrap();
    // The store keeps what it has: were it written again, this would be gone.
    let path = first.files[1].stored.path();
    bench.store.put(&path, PutPayload::from(vec![9; 400])).await.unwrap();
    assert_eq!(bench.ship().await.unwrap(), first);
    assert_eq!(bench.stored(&first.files[1]).await, vec![9; 400]);
}

#[tokio::test]
async fn the_run_of_a_later_claim_finds_what_earlier_ones_stored() {
    let bench = Bench::new(&[("a.json", 5000), ("b.db", 400)]);
    let first = bench.ship_under(1).await.unwrap();
    assert_eq!(bench.ship_under(2).await.unwrap(), first);
    bench.store.delete(&first.files[1].stored.path()).await.unwrap();
    let second = bench.ship_under(3).await.unwrap();
    assert_eq!(second.files[0], first.files[0]);
    assert!(second.files[1].stored.key.ends_with("/0000000001-00000000000000000003/files/b.db"));
    assert_eq!(bench.ship_under(2).await.unwrap(), second);
}

#[tokio::test]
async fn what_an_earlier_claim_stored_otherwise_is_sent_again_and_left_alone() {
    let bench = Bench::new(&[("a.json", 5000)]);
    let first = bench.ship_under(1).await.unwrap().files.remove(0);
    bench.store.put(&first.stored.path(), PutPayload::from(vec![9; 399])).await.unwrap();
    let second = bench.ship_under(2).await.unwrap().files.remove(0);
    assert_ne!(second.stored.key, first.stored.key);
    assert_eq!((second.stored.digest, second.digest), (first.stored.digest, first.digest));
    assert_eq!(bench.stored(&first).await, vec![9; 399]);
}

#[tokio::test]
async fn a_file_of_another_size_under_the_claims_own_name_is_refused() {
    let bench = Bench::new(&[("b.db", 400)]);
    let first = bench.ship().await.unwrap();
    bench.store.put(&first.files[0].stored.path(), PutPayload::from(vec![9; 399])).await.unwrap();
    let error = bench.ship().await.unwrap_err();
    assert!(matches!(error, Error::StagedSize { stored: 399, ours: 400, .. }), "{error}");
    assert!(!error.is_retryable());
}

#[tokio::test]
async fn a_file_that_vanishes_makes_its_object_unreadable() {
    let bench = Bench::new(&[("a.db", 5000), ("b.db", 400)]);
    std::fs::remove_file(bench.path("b.db")).unwrap();
    let shipped = bench.ship().await.unwrap();
    assert!(shipped.files.is_empty());
    assert!(shipped.unreadable.unwrap().contains("b.db"));
}

#[tokio::test]
async fn a_file_that_shrinks_makes_its_object_unreadable() {
    let bench = Bench::new(&[("a.db", 5000)]);
    std::fs::write(bench.path("a.db"), vec![7; 4999]).unwrap();
    let shipped = bench.ship().await.unwrap();
    assert!(shipped.unreadable.unwrap().contains("4999"));
}
