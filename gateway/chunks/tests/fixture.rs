//! Format 1, as it was first written, is read for ever: `testdata/v1` is never edited.
//!
//! The same code that wrote it writes it anew, and that is read alike, so that what is written today is what is described.
#![expect(clippy::unwrap_used, reason = "a test's helpers")]

use std::{path::Path as FilePath, sync::Arc};

use futures::StreamExt;
use jiff::Timestamp;
use object_store::{ObjectStore, ObjectStoreExt, local::LocalFileSystem, path::Path};
use tidemark_chunks::{
    Class,
    cut::{AlignedCutter, StreamCutter},
    header::Kind,
    index::{Index, IndexOptions},
    keys::{Keyring, RepositoryKey},
    pack::{PackOptions, PackReader, PackWriter},
    prepare::Preparer,
    read::{ChunkReader, ReadOptions, Wanted},
    slots::{Argon2Cost, Slots, Unlock, new_key_file},
};
use tidemark_gateway::{Env, upload::UploadOptions};
use uuid::Uuid;

const PASSPHRASE: &str = "spring tide";
const PACKS: [&str; 2] = [
    "chunks/pack/00/0000000001-00000000000000000007-0000000001",
    "chunks/pack/01/0000000001-00000000000000000007-0000000002",
];
const INDEX: &str = "chunks/index/0000000001-00000000000000000007-0000000003";
const OBJECT: &str = "sources/disk/pages/0000000001-00000000000000000007-0000000004";
const KEY_FILE: &str = "key-file.txt";

fn repository() -> Uuid {
    Uuid::from_u128(0x0191_0000_0000_7000_8000_0000_0000_0001)
}

/// What the two packs hold: text that compresses, noise that does not, one byte, and a chunk that is in both.
fn contents(pack: usize) -> Vec<(Class, Vec<u8>)> {
    let text = |line: &str| line.bytes().cycle().take(5_000).collect();
    let mut noise = vec![0; 4_096];
    blake3::Hasher::new().update(&[pack as u8]).finalize_xof().fill(&mut noise);
    vec![
        (Class::Data, text(["the first of the flood ", "the last of the ebb "][pack])),
        (Class::Data, noise),
        (Class::Tree, vec![pack as u8]),
        (Class::Data, text("in both ")),
    ]
}

fn local(root: &FilePath) -> Arc<dyn ObjectStore> {
    Arc::new(LocalFileSystem::new_with_prefix(root).unwrap())
}

async fn generate(root: &FilePath) {
    let (store, env) = (local(root), Env::seeded(1, Timestamp::UNIX_EPOCH));
    let key = RepositoryKey::random(&env, repository());
    let slots = Slots::new(Arc::clone(&store), repository());
    let text = new_key_file(&env);
    store.put(&Path::from(KEY_FILE), text.as_bytes().to_vec().into()).await.unwrap();
    slots.add(&env, "file", &key, &Unlock::key_file(&text).unwrap()).await.unwrap();
    let cost = Argon2Cost { memory_kib: 64, passes: 2, lanes: 2 };
    slots.add(&env, "passphrase", &key, &Unlock::Passphrase(PASSPHRASE.to_owned().into(), cost)).await.unwrap();
    let mut index = Index::new(Arc::clone(&store), Keyring::Repository(key.clone()), IndexOptions::default());
    for (number, path) in PACKS.into_iter().enumerate() {
        let issued = key.issue(&env, Kind::Pack, Path::from(path)).unwrap();
        let mut writer = PackWriter::start(&store, &env, issued, &PackOptions::default()).unwrap();
        for (class, bytes) in contents(number) {
            let chunk = key.ids().identify(class, &bytes).map(|chunk| Preparer::new(1).unwrap().prepare(chunk));
            writer.append(&chunk.unwrap()).await.unwrap();
        }
        index.record(&writer.finish().await.unwrap());
    }
    let issued = key.issue(&env, Kind::Index, Path::from(INDEX)).unwrap();
    index.flush(&env, issued, &UploadOptions::default()).await.unwrap();
    let sealed = key.issue(&env, Kind::Object, Path::from(OBJECT)).unwrap().seal_object(&env, b"{}");
    store.put(&Path::from(OBJECT), sealed.into()).await.unwrap();
}

async fn check(root: &FilePath) {
    let store = local(root);
    let key = opened(&store).await;
    let keyring = Keyring::Repository(key.clone());
    let mut index = Index::new(Arc::clone(&store), keyring.clone(), IndexOptions::default());
    index.open(&Path::from(INDEX)).await.unwrap();
    for (number, path) in PACKS.into_iter().enumerate() {
        let pack = PackReader::open(&store, &keyring, &Path::from(path)).await.unwrap();
        let (_, damages) = pack.verify(&key.ids()).await.unwrap();
        let ids: Vec<_> = pack.entries().iter().map(|entry| (entry.class, entry.id)).collect();
        let expected: Vec<_> =
            contents(number).iter().map(|(class, bytes)| (*class, key.ids().id(*class, bytes))).collect();
        assert_eq!((damages.len(), ids), (0, expected));
        assert_eq!(read(&store, &key, &index, &pack).await, contents(number));
    }
    let sealed = store.get(&Path::from(OBJECT)).await.unwrap().bytes().await.unwrap();
    assert_eq!(keyring.open_object(&Path::from(OBJECT), &sealed).unwrap(), b"{}");
}

async fn opened(store: &Arc<dyn ObjectStore>) -> RepositoryKey {
    let slots = Slots::new(Arc::clone(store), repository());
    let text = store.get(&Path::from(KEY_FILE)).await.unwrap().bytes().await.unwrap();
    let file = Unlock::key_file(std::str::from_utf8(&text).unwrap()).unwrap();
    let (by_file, by_passphrase) = (
        slots.open(&file).await.unwrap(),
        slots.open(&Unlock::passphrase(PASSPHRASE.to_owned()).unwrap()).await.unwrap(),
    );
    assert_eq!(by_file.id(), by_passphrase.id());
    by_file
}

/// The pack's chunks, found through the index.
async fn read(
    store: &Arc<dyn ObjectStore>,
    key: &RepositoryKey,
    index: &Index,
    pack: &PackReader,
) -> Vec<(Class, Vec<u8>)> {
    let asked: Vec<_> = pack.entries().iter().map(|entry| (entry.class, entry.id)).collect();
    let found = index.find(&asked).await.unwrap();
    assert_eq!(found.iter().map(Vec::len).collect::<Vec<_>>(), [1, 1, 1, 2]);
    let wanted = found.into_iter().enumerate().map(|(position, locations)| Wanted { position, locations }).collect();
    let keyring = Keyring::Repository(key.clone());
    let reader = ChunkReader::new(Arc::clone(store), keyring, key.ids(), ReadOptions::default());
    let mut fetched: Vec<_> = reader.read(wanted).collect().await;
    fetched.sort_by_key(|fetched| fetched.position);
    fetched.into_iter().map(|fetched| (fetched.class, fetched.bytes.unwrap().to_vec())).collect()
}

#[tokio::test]
async fn format_1_is_read() {
    check(&FilePath::new(env!("CARGO_MANIFEST_DIR")).join("testdata/v1")).await;
}

#[tokio::test]
async fn what_is_written_today_is_read_alike() {
    let fresh = FilePath::new(env!("CARGO_TARGET_TMPDIR")).join("chunks-v1");
    let _ = std::fs::remove_dir_all(&fresh);
    std::fs::create_dir_all(&fresh).unwrap();
    generate(&fresh).await;
    check(&fresh).await;
}

/// Another cut would lose all that is shared with what is in the repository.
#[tokio::test]
async fn the_repository_of_format_1_cuts_as_it_did() {
    let store = local(&FilePath::new(env!("CARGO_MANIFEST_DIR")).join("testdata/v1"));
    let key = opened(&store).await.chunking();
    let mut bytes = vec![0; 300_000];
    blake3::Hasher::new().update(b"cuts").finalize_xof().fill(&mut bytes);
    let aligned: Vec<_> = AlignedCutter::new(&key).pieces(&bytes).map(|piece| piece.range().end).collect();
    let stream: Vec<_> = StreamCutter::new(&key).chunks(&bytes[..]).map(|chunk| chunk.unwrap().len()).collect();
    assert_eq!(format!("{aligned:?} {stream:?}"), include_str!("../testdata/v1-cuts.txt").trim_end());
}
