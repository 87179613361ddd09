//! Repositories of every format ever written are read for ever.
//!
//! `testdata/v2/` was written by [`generate`] once and is never edited. One test reads all of it and fails if a file there
//! was not read; another fails if today's writer writes anything else, so that a change of the format cannot go unnoticed.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod fixture_v2;
mod recording;

use std::{collections::BTreeMap, fs, path::Path as FilePath, sync::Arc};

use object_store::{ObjectStore, local::LocalFileSystem};
use tidemark_catalog::{
    config_mirror, content, document, entry::Entry, find, identities, ids::VersionId, manifest::Manifest, pages,
    repository, slice::SliceManifest, stored::StoredRef, work::WorkRoot,
};
use tidemark_gateway::{Stored, fetch};

use recording::Recording;

fn testdata() -> std::path::PathBuf {
    FilePath::new(env!("CARGO_MANIFEST_DIR")).join("testdata/v2")
}

/// Every file under `root`: name from there, content.
fn files(root: &FilePath) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display())) {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let name = path.strip_prefix(root).unwrap().to_str().unwrap().to_owned();
                found.insert(name, fs::read(&path).unwrap());
            }
        }
    }
    found
}

async fn read_stored(store: &Arc<dyn ObjectStore>, stored: &StoredRef) {
    let expected = Stored { size: stored.size, digest: stored.digest, tree: None };
    fetch::get(store, &stored.path(), &expected).await.unwrap();
}

async fn read_version(store: &Arc<dyn ObjectStore>, manifest: &Manifest) {
    for line in pages::read_lines(store, manifest).await.unwrap() {
        let Some(entry) = line.entry else { continue };
        let entry: Entry = document::read(store, &entry).await.unwrap();
        assert_eq!(entry.object, line.object);
        let records = entry.content.records().unwrap();
        assert_eq!(identities::read(store, &records.merged).await.unwrap().len(), 1);
        for range in content::ranges(store, &records.baseline).await.unwrap() {
            read_stored(store, &range.stored).await;
        }
    }
}

/// What was captured for a version, and the work root of its task.
async fn read_staged(store: &Arc<dyn ObjectStore>, id: &VersionId) {
    let work = fixture_v2::work_path(&id.source, &id.set, id.number.0);
    let root: WorkRoot = document::read_unchecked(store, &work).await.unwrap();
    assert_eq!((root.tokens.len(), &root.pins[0]), (2, id));
    let path = fixture_v2::slice_path(&id.source, id.number.0);
    let slice: SliceManifest = document::read_unchecked(store, &path).await.unwrap();
    read_stored(store, &slice.info).await;
    for file in slice.objects.iter().flat_map(|object| &object.files) {
        read_stored(store, &file.stored).await;
    }
}

#[tokio::test]
async fn every_file_of_the_first_format_is_read() {
    let inner = LocalFileSystem::new_with_prefix(testdata()).expect("testdata/v2 is part of the source");
    let recording = Arc::new(Recording::new(inner));
    let store: Arc<dyn ObjectStore> = recording.clone();

    assert!(repository::open(&store).await.unwrap().is_some(), "tidemark.json is there");
    let versions = find::versions(&store).await.unwrap();
    let ids: Vec<String> = versions.iter().map(|(id, _)| id.to_string()).collect();
    assert_eq!(ids, ["east.daily.1", "east.daily.2"]);
    for (_, manifest) in &versions {
        read_version(&store, manifest).await;
    }
    for (id, _) in &versions {
        read_staged(&store, id).await;
    }
    for (kind, ids) in [("sources", ["east"].as_slice()), ("policies", &["daily", "gone"])] {
        assert_eq!(config_mirror::latest(&store, kind).await.unwrap().items.len(), 1, "{kind}");
        for id in ids {
            assert!(!config_mirror::history(&store, kind, id).await.unwrap().is_empty());
        }
    }

    let unread: Vec<String> = files(&testdata()).into_keys().filter(|name| !recording.was_read(name)).collect();
    assert!(unread.is_empty(), "no test reads {unread:?}");
}

#[tokio::test]
async fn todays_writer_still_writes_the_first_format() {
    let fresh = FilePath::new(env!("CARGO_TARGET_TMPDIR")).join("fixture-v2");
    let _ = fs::remove_dir_all(&fresh);
    fs::create_dir_all(&fresh).unwrap();
    fixture_v2::generate(Arc::new(LocalFileSystem::new_with_prefix(&fresh).unwrap())).await;

    let (written, kept) = (files(&fresh), files(&testdata()));
    let names = |files: &BTreeMap<String, Vec<u8>>| files.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(&written), names(&kept), "fresh copy is in {}", fresh.display());
    for (name, bytes) in &written {
        assert!(plain(bytes) == plain(&kept[name]), "{name} is written otherwise; fresh copy in {}", fresh.display());
    }
}

/// Decompressed where it is compressed: another version of the compressor may write other bytes.
fn plain(bytes: &[u8]) -> Vec<u8> {
    zstd::stream::decode_all(bytes).unwrap_or_else(|_| bytes.to_vec())
}
