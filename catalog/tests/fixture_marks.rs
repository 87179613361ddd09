//! States of versions and marks are read for ever.
//!
//! `testdata/v2-marks/` was written by [`generate`] once and is never edited: the repository of `testdata/v2/` after its first
//! version was collected and swept, and its second one collected and marked. One test reads all that collection wrote, another
//! fails if today's writer writes anything else.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

#[allow(dead_code, reason = "of what it offers this test needs the writer only")]
mod fixture_v2;

use std::{collections::BTreeMap, fs, path::Path as FilePath, sync::Arc, time::Duration};

use futures::{
    FutureExt,
    future::{BoxFuture, ready},
};
use jiff::Timestamp;
use object_store::{ObjectStore, local::LocalFileSystem, path::Path};
use tidemark_catalog::{
    chain::Head,
    collect::{Ages, Collector, Fence, FenceError, Live},
    commit::Claim,
    find,
    ids::{FencingToken, SetId, SourceId, VersionNumber},
    layout, marks,
    states::{By, Change, VersionStates},
};
use tidemark_gateway::{Env, fetch};

struct Held(u64);

impl Claim for Held {
    fn token(&self) -> FencingToken {
        FencingToken { generation: 1, revision: self.0 }
    }

    fn holds(&self) -> bool {
        true
    }
}

impl Fence for Held {
    fn claim(&self) -> BoxFuture<'_, Result<Arc<dyn Claim>, FenceError>> {
        ready(Ok(Arc::new(Held(self.0)) as Arc<dyn Claim>)).boxed()
    }

    fn known<'a>(&'a self, _: &'a SetId) -> BoxFuture<'a, Result<Option<Head>, FenceError>> {
        ready(Ok(None)).boxed()
    }

    fn fenced<'a>(&'a self, _: &'a SetId, _: Head) -> BoxFuture<'a, Result<(), FenceError>> {
        ready(Ok(())).boxed()
    }
}

fn names() -> (SourceId, SetId) {
    ("east".parse().unwrap(), "daily".parse().unwrap())
}

/// Collects the first version and sweeps, then collects the second one and marks.
async fn generate(store: Arc<dyn ObjectStore>) {
    fixture_v2::generate(store.clone()).await;
    let env = Env::seeded(2, Timestamp::from_second(1_800_000_100).unwrap());
    let (source, set) = names();
    let ages = Ages { undo: Duration::ZERO, marks: Duration::ZERO, unclaimed: Duration::from_secs(3600) };
    let live = Live { as_of: "2100-01-01T00:00:00Z".parse().unwrap(), ..Live::default() };
    let collector = Collector::new(&store, &source, &live, ages, "node-1", &env);
    let states = VersionStates::new(store.clone(), source.clone(), set);
    let by = By { token: Held(50).token(), who: "policy daily", env: &env };
    for (number, revision) in [(1, 60), (2, 70)] {
        let number = VersionNumber(number);
        let hold = Change::Hold { reason: "audit of ä".to_owned() };
        let expire = Change::Expire { reason: "beyond keep last 1".to_owned() };
        for change in [hold, Change::Release, expire.clone(), Change::Undo, expire] {
            states.change(number, &change, by).await.unwrap();
        }
        assert!(collector.mark(&Held(revision)).await.unwrap().is_some());
        if number.0 == 1 {
            assert!(collector.sweep(&Held(revision + 1)).await.unwrap().unwrap().objects > 0);
        }
    }
}

fn testdata() -> std::path::PathBuf {
    FilePath::new(env!("CARGO_MANIFEST_DIR")).join("testdata/v2-marks")
}

/// Every file under `root`: name from there, content, decompressed.
fn files(root: &FilePath) -> BTreeMap<String, Vec<u8>> {
    let (mut found, mut folders) = (BTreeMap::new(), vec![root.to_owned()]);
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display())) {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let bytes = fs::read(&path).unwrap();
                let name = path.strip_prefix(root).unwrap().to_str().unwrap().to_owned();
                found.insert(name, zstd::stream::decode_all(bytes.as_slice()).unwrap_or(bytes));
            }
        }
    }
    found
}

#[tokio::test]
async fn states_and_marks_of_the_first_format_are_read() {
    let store: Arc<dyn ObjectStore> = Arc::new(LocalFileSystem::new_with_prefix(testdata()).unwrap());
    let (source, set) = names();
    let versions = find::versions(&store).await.unwrap();
    let barriers: Vec<_> = versions.iter().map(|(_, manifest)| manifest.version().is_none()).collect();
    assert_eq!(barriers, [false, false, true], "the sweep left a barrier");

    let states = VersionStates::new(store.clone(), source.clone(), set.clone());
    for (number, newest) in states.listed().await.unwrap() {
        let mut course = Vec::new();
        for revision in 1..=newest.revision {
            let state = states.read(number, tidemark_catalog::states::Listed { revision, ..newest }).await.unwrap();
            course.push((state.expired.is_some(), state.hold.is_some(), state.collected));
        }
        let (held, plain, expired) = ((false, true, false), (false, false, false), (true, false, false));
        assert_eq!(course, [held, plain, expired, plain, expired, (true, false, true)], "{number}");
    }

    let round = marks::newest(&store, &source).await.unwrap().unwrap();
    assert_eq!((round.number, round.swept, round.token), (2, false, Held(70).token()));
    let marked = marks::read(&store, &source).await.unwrap();
    let segment = layout::segment(&source, FencingToken { generation: 1, revision: 42 }, 0);
    assert!(marked.contains(&segment), "a segment of the second version is marked");
    assert!(!marked.contains(&layout::manifest(&source, &set, VersionNumber(1))), "manifests stay");
    assert!(fetch::get_unchecked(&store, &layout::marks_swept(&source, 1)).await.is_ok());
    let gone = layout::segment(&source, FencingToken { generation: 1, revision: 41 }, 0);
    assert!(fetch::get_unchecked(&store, &gone).await.unwrap_err().is_absent(), "the first version was swept");
    assert!(fetch::get_unchecked(&store, &Path::from("tidemark.json")).await.is_ok());
}

#[tokio::test]
async fn todays_collector_still_writes_the_first_format() {
    let fresh = FilePath::new(env!("CARGO_TARGET_TMPDIR")).join("fixture-v2-marks");
    let _ = fs::remove_dir_all(&fresh);
    fs::create_dir_all(&fresh).unwrap();
    generate(Arc::new(LocalFileSystem::new_with_prefix(&fresh).unwrap())).await;
    let (written, kept) = (files(&fresh), files(&testdata()));
    let names = |files: &BTreeMap<String, Vec<u8>>| files.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(&written), names(&kept), "fresh copy is in {}", fresh.display());
    for (name, bytes) in &written {
        assert!(*bytes == kept[name], "{name} is written otherwise; fresh copy in {}", fresh.display());
    }
}
