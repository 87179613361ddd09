use std::{os::unix::fs::MetadataExt, sync::Mutex, time::Duration};

use futures::TryStreamExt;
use object_store::ObjectStoreExt;

use super::*;
use crate::{
    Env, Stored, preflight, retry,
    upload::{self, Attempt, UploadOptions},
};

/// A store whose syncs are written down, and fail where that is asked for.
struct Case {
    store: Arc<dyn ObjectStore>,
    directory: tempfile::TempDir,
    asked: Asked,
}

#[derive(Clone, Default)]
struct Asked(Arc<Mutex<Log>>);

#[derive(Default)]
struct Log {
    /// Paths in the store in their order; `.` is the store itself.
    paths: Vec<String>,
    /// The next sync of these fails, once, as the kernel has it.
    failing: Vec<String>,
    /// Syncs of the whole file system, and whether they fail.
    settled: u32,
    settles_fail: bool,
}

impl Asked {
    fn sync(&self, root: &path::Path) -> Sync {
        let (asked, root) = (self.clone(), std::fs::canonicalize(root).unwrap());
        let (all, of_all) = (self.clone(), root.clone());
        Sync {
            one: Arc::new(move |path, file| asked.note(path.strip_prefix(&root).unwrap(), file)),
            all: Arc::new(
                move |path, _| if path == of_all { all.settle() } else { Err(io::Error::other("elsewhere")) },
            ),
            longest_wait: LONGEST_WAIT,
        }
    }

    fn settle(&self) -> io::Result<()> {
        let mut log = self.0.lock().unwrap();
        log.settled += 1;
        if log.settles_fail { Err(io::Error::from_raw_os_error(5)) } else { Ok(()) }
    }

    fn note(&self, path: &path::Path, file: &File) -> io::Result<()> {
        let mut log = self.0.lock().unwrap();
        let path = if path.as_os_str().is_empty() { ".".to_owned() } else { path.display().to_string() };
        log.paths.push(path.clone());
        match log.failing.iter().position(|failing| *failing == path) {
            Some(at) => {
                log.failing.remove(at);
                Err(io::Error::from_raw_os_error(5))
            }
            None => file.sync_all(),
        }
    }
}

impl Case {
    fn new() -> Self {
        let (directory, asked) = (tempfile::tempdir().unwrap(), Asked::default());
        let local = Local::open(directory.path(), asked.sync(directory.path())).unwrap();
        Self { store: Arc::new(local), directory, asked }
    }

    /// The store opened once more, in the same process.
    fn again(&self) -> Arc<dyn ObjectStore> {
        Arc::new(Local::open(self.directory.path(), self.asked.sync(self.directory.path())).unwrap())
    }

    /// Syncs since the last call.
    fn syncs(&self) -> Vec<String> {
        std::mem::take(&mut self.asked.0.lock().unwrap().paths)
    }

    fn fail(&self, path: &str) {
        self.asked.0.lock().unwrap().failing.push(path.to_owned());
    }

    async fn create(&self, path: &str, bytes: &'static str) -> Result<PutResult> {
        self.store.put_opts(&path.into(), bytes.into(), PutMode::Create.into()).await
    }

    async fn upload(&self, path: &str, bytes: &[u8]) -> std::result::Result<Stored, upload::Error> {
        let options = UploadOptions { part_bytes: 10, in_flight: 3 };
        upload::put_reader_new(&self.store, &path.into(), bytes, &options, |_| {}).await
    }

    fn inode(&self, path: &str) -> u64 {
        std::fs::metadata(self.directory.path().join(path)).unwrap().ino()
    }

    /// All files of the directory, those that no listing shows too.
    fn files(&self, directory: &str) -> Vec<String> {
        let entries = std::fs::read_dir(self.directory.path().join(directory)).unwrap();
        let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }
}

fn unsynced(error: &object_store::Error) -> bool {
    is_unsynced(error) && retry::is_transient(error)
}

#[tokio::test]
async fn each_write_syncs_its_file_its_directory_and_each_directory_that_was_made() {
    let case = Case::new();
    case.create("a/b/c", "x").await.unwrap();
    assert_eq!(case.syncs(), [".", "a", "a/b/c#1", "a/b"]);
    case.create("a/b/d", "x").await.unwrap();
    assert_eq!(case.syncs(), ["a/b/d#1", "a/b"]);
    case.store.put(&"a/b/d".into(), "y".into()).await.unwrap();
    assert_eq!(case.syncs(), ["a/b/d#1", "a/b"]);
    case.upload("a/e/f", &[1; 35]).await.unwrap();
    assert_eq!(case.syncs(), ["a", "a/e/f#1", "a/e"]);
    case.store.copy(&"a/b/c".into(), &"g/h".into()).await.unwrap();
    assert_eq!(case.syncs(), [".", "g"]);
    case.store.rename(&"g/h".into(), &"g/i".into()).await.unwrap();
    assert_eq!(case.syncs(), ["g"]);
    assert_eq!(
        (case.files("a/b"), case.files("a/e"), case.files("g")),
        (vec!["c".into(), "d".into()], vec!["f".into()], vec!["i".into()])
    );
}

#[tokio::test]
async fn directories_of_another_writer_are_synced_too() {
    let case = Case::new();
    std::fs::create_dir_all(case.directory.path().join("a/b")).unwrap();
    case.create("a/b/c", "x").await.unwrap();
    assert_eq!(case.syncs(), [".", "a", "a/b/c#1", "a/b"]);
}

#[tokio::test]
async fn a_file_that_was_not_synced_is_never_named_and_is_written_anew() {
    let case = Case::new();
    for put in [PutMode::Create, PutMode::Overwrite] {
        case.fail("c#1");
        let error = case.store.put_opts(&"c".into(), "x".into(), put.into()).await.unwrap_err();
        assert!(unsynced(&error) && error.to_string().contains("is not stored"), "{error}");
        assert_eq!(case.files("."), Vec::<String>::new());
    }
    case.fail("c#1");
    upload::put_new(&case.store, &"c".into(), "x").await.unwrap();
    assert_eq!(case.files("."), ["c"]);
}

#[tokio::test]
async fn what_is_read_back_after_a_failed_sync_of_the_directory_does_not_count() {
    let case = Case::new();
    case.fail(".");
    let (path, bytes) = (Path::from("c"), Bytes::from("x"));
    let tried = upload::try_create(&case.store, &path, &bytes, Duration::from_secs(9)).await.unwrap();
    let Attempt::Absent(error) = tried else { panic!("{tried:?}") };
    assert!(error.is_retryable(), "{error}");
    let (first, _) = (case.inode("c"), case.syncs());
    upload::put_new(&case.store, &path, bytes).await.unwrap();
    assert_eq!(case.syncs(), ["c#1", "."]);
    assert_ne!(case.inode("c"), first, "the bytes were not written anew");
}

#[tokio::test]
async fn an_upload_in_parts_that_was_not_synced_is_written_anew() {
    let case = Case::new();
    let bytes = [7; 35];
    for failing in ["c#1", "."] {
        case.fail(failing);
        let error = case.upload("c", &bytes).await.unwrap_err();
        assert!(matches!(error, upload::Error::Write { .. }) && error.is_retryable(), "{failing}: {error}");
    }
    let (first, _) = (case.inode("c"), case.syncs());
    case.upload("c", &bytes).await.unwrap();
    assert_eq!((case.syncs(), case.files(".")), (vec!["c#1".into(), ".".into()], vec!["c".into()]));
    assert_ne!(case.inode("c"), first, "the bytes were not written anew");
    let taken = case.upload("c", &[8; 35]).await.unwrap_err();
    assert!(matches!(taken, upload::Error::Taken { .. }), "{taken}");
    assert_eq!(std::fs::read(case.directory.path().join("c")).unwrap(), bytes);
}

#[tokio::test]
async fn a_sync_without_an_end_is_no_answer() {
    let directory = tempfile::tempdir().unwrap();
    let (release, held) = std::sync::mpsc::channel::<()>();
    let held = Mutex::new(held);
    let root = std::fs::canonicalize(directory.path()).unwrap();
    let one = move |path: &path::Path, _: &File| {
        let ends = path == root && held.lock().unwrap().recv().is_err();
        if ends { Err(io::Error::other("the test is over")) } else { Ok(()) }
    };
    let longest_wait = Duration::from_millis(100);
    let sync = Sync { one: Arc::new(one), all: Arc::new(|_, _| Ok(())), longest_wait };
    let store: Arc<dyn ObjectStore> = Arc::new(Local::open(directory.path(), sync).unwrap());
    let (path, bytes) = (Path::from("c"), Bytes::from("x"));
    // The name is there long before the time is over, and its sync never ends.
    let tried = upload::try_create(&store, &path, &bytes, Duration::from_millis(500)).await.unwrap();
    assert!(matches!(tried, Attempt::Absent(upload::Error::NoAnswer { .. })), "{tried:?}");
    let answers = [
        store.get(&path).await.map(drop),
        store.head(&path).await.map(drop),
        store.get_range(&path, 0..1).await.map(drop),
        store.list(None).try_collect::<Vec<_>>().await.map(drop),
        store.list_with_delimiter(None).await.map(drop),
    ];
    for answer in answers {
        let error = answer.unwrap_err();
        assert!(unsynced(&error) && error.to_string().contains("has not ended"), "{error}");
    }
    drop(release);
}

#[tokio::test]
async fn what_another_process_has_named_is_synced_once_before_anything_is_said_of_it() {
    let settled = |case: &Case| case.asked.0.lock().unwrap().settled;
    let (path, prefix) = (Path::from("a/b"), Path::from("a"));
    for question in 0..5 {
        let case = Case::new();
        std::fs::create_dir(case.directory.path().join("a")).unwrap();
        std::fs::write(case.directory.path().join("a/b"), "x").unwrap();
        case.create("c", "x").await.unwrap();
        assert_eq!(settled(&case), 0, "writes sync what they write");
        for _ in 0..2 {
            match question {
                0 => drop(case.store.get(&path).await.unwrap()),
                1 => drop(case.store.head(&path).await.unwrap()),
                2 => drop(case.store.list(Some(&prefix)).try_collect::<Vec<_>>().await.unwrap()),
                3 => drop(case.store.list_with_delimiter(Some(&prefix)).await.unwrap()),
                _ => drop(case.store.get_range(&path, 0..1).await.unwrap()),
            }
            assert_eq!(settled(&case), 1, "question {question}");
        }
    }
}

#[tokio::test]
async fn a_file_system_that_could_not_be_synced_is_not_asked_again_and_nothing_is_said_of_it() {
    let case = Case::new();
    case.asked.0.lock().unwrap().settles_fail = true;
    for _ in 0..2 {
        let error = case.store.get(&Path::from("a/b")).await.unwrap_err();
        assert!(crate::causes::joined(&error).contains("what is there may not last"), "{error:?}");
        let listed = case.store.list(None).try_collect::<Vec<_>>().await;
        assert!(listed.is_err());
        case.asked.0.lock().unwrap().settles_fail = false;
    }
    assert_eq!(case.asked.0.lock().unwrap().settled, 1);
}

/// Each way to be told of the object `a/c`, which is the only one.
async fn told(store: &Arc<dyn ObjectStore>, way: usize) -> Result<()> {
    let (path, prefix) = (Path::from("a/c"), Path::from("a"));
    match way {
        0 => store.get(&path).await.map(drop),
        1 => store.head(&path).await.map(drop),
        2 => store.get_range(&path, 0..1).await.map(drop),
        3 => store.list(Some(&prefix)).try_collect::<Vec<_>>().await.map(|found| assert_eq!(found.len(), 1)),
        4 => {
            store.list_with_offset(None, &prefix).try_collect::<Vec<_>>().await.map(|found| assert_eq!(found.len(), 1))
        }
        _ => store.list_with_delimiter(Some(&prefix)).await.map(|found| assert_eq!(found.objects.len(), 1)),
    }
}

#[tokio::test]
async fn nobody_in_the_process_is_shown_a_name_whose_sync_failed_until_it_was_written_anew() {
    for way in 0..6 {
        let case = Case::new();
        case.create("a/b", "x").await.unwrap();
        case.store.delete(&"a/b".into()).await.unwrap();
        case.fail("a");
        assert!(unsynced(&case.create("a/c", "x").await.unwrap_err()));
        let (first, _) = (case.inode("a/c"), case.syncs());
        // Writing it anew fails too, then it does not.
        for (store, failing) in [(&case.store, "a/c#1"), (&case.store, "a"), (&case.again(), "a")] {
            case.fail(failing);
            let error = told(store, way).await.unwrap_err();
            assert!(unsynced(&error) && error.to_string().contains("is not stored"), "{way}: {error}");
        }
        let _ = case.syncs();
        told(&case.again(), way).await.unwrap();
        assert_eq!(case.syncs().last().map(String::as_str), Some("a"), "{way}");
        assert_ne!(case.inode("a/c"), first, "{way}: the bytes were not written anew");
        told(&case.store, way).await.unwrap();
        assert_eq!(
            (case.syncs(), case.files("a")),
            (vec![], vec!["c".to_owned()]),
            "{way}: what lasts is not written again"
        );
        assert_eq!(case.store.get(&"a/c".into()).await.unwrap().bytes().await.unwrap(), "x");
    }
}

#[tokio::test]
async fn a_replaced_copied_or_uploaded_name_that_was_not_synced_is_not_listed_until_it_is() {
    for write in 0..4 {
        let case = Case::new();
        case.create("c", "old").await.unwrap();
        case.fail(".");
        let written = match write {
            0 => case.store.put(&"c".into(), "new".into()).await.map(drop),
            1 => case.store.copy(&"c".into(), &"d".into()).await,
            2 => case.store.rename_if_not_exists(&"c".into(), &"d".into()).await,
            _ => {
                let mut upload = case.store.put_multipart(&"d".into()).await.unwrap();
                upload.put_part("x".into()).await.unwrap();
                upload.complete().await.map(drop)
            }
        };
        assert!(unsynced(&written.unwrap_err()), "{write}");
        case.fail(".");
        let error = case.again().list(None).try_collect::<Vec<_>>().await.unwrap_err();
        assert!(unsynced(&error), "{write}: {error}");
        case.again().list(None).try_collect::<Vec<_>>().await.unwrap();
    }
}

#[tokio::test]
async fn a_write_of_the_bytes_and_a_deletion_end_the_doubt() {
    let case = Case::new();
    for end in 0..2 {
        case.fail(".");
        assert!(case.create("c", "x").await.is_err());
        match end {
            0 => drop(case.store.put(&"c".into(), "y".into()).await.unwrap()),
            _ => case.store.delete(&"c".into()).await.unwrap(),
        }
        let _ = case.syncs();
        let found = case.store.get(&"c".into()).await;
        assert_eq!((found.is_ok(), case.syncs()), (end == 0, vec![]));
        let _ = case.store.delete(&"c".into()).await;
    }
}

#[tokio::test]
async fn a_store_that_is_opened_again_does_not_ask_again_what_failed() {
    let case = Case::new();
    std::fs::create_dir_all(case.directory.path().join("a/b")).unwrap();
    case.fail("a");
    for store in [&case.store, &case.again()] {
        let created = store.put_opts(&"a/b/c".into(), "x".into(), PutMode::Create.into()).await;
        assert!(unsynced(&created.unwrap_err()));
    }
    case.asked.0.lock().unwrap().settles_fail = true;
    for store in [&case.store, &case.again()] {
        let error = store.head(&"a/b/d".into()).await.unwrap_err();
        assert!(crate::causes::joined(&error).contains("what is there may not last"), "{error:?}");
        case.asked.0.lock().unwrap().settles_fail = false;
    }
}

#[tokio::test]
async fn a_directory_whose_sync_failed_is_made_anew() {
    let case = Case::new();
    case.fail("a");
    assert!(unsynced(&case.create("a/b/c", "x").await.unwrap_err()));
    assert_eq!(case.files("a"), Vec::<String>::new());
    let _ = case.syncs();
    case.create("a/b/c", "x").await.unwrap();
    assert_eq!(case.syncs(), ["a", "a/b/c#1", "a/b"]);
}

#[tokio::test]
async fn a_directory_in_use_whose_sync_failed_is_not_asked_again() {
    let case = Case::new();
    std::fs::create_dir_all(case.directory.path().join("a/b")).unwrap();
    case.fail("a");
    for _ in 0..2 {
        let error = case.create("a/b/c", "x").await.unwrap_err();
        assert!(unsynced(&error), "{error}");
    }
    assert_eq!(case.syncs(), [".", "a"]);
    case.create("a/d/c", "x").await.unwrap();
}

#[tokio::test]
async fn a_taken_name_is_refused_and_lasts_where_it_has_the_same_bytes() {
    let case = Case::new();
    case.create("c", "x").await.unwrap();
    let (first, _) = (case.inode("c"), case.syncs());
    let other = case.create("c", "y").await.unwrap_err();
    assert!(matches!(other, object_store::Error::AlreadyExists { .. }), "{other}");
    assert_eq!((case.inode("c"), case.syncs()), (first, vec!["c#1".into()]));
    let same = case.create("c", "x").await.unwrap_err();
    assert!(matches!(same, object_store::Error::AlreadyExists { .. }), "{same}");
    assert_ne!(case.inode("c"), first);
    assert_eq!((case.syncs(), case.files(".")), (vec!["c#1".into(), ".".into()], vec!["c".into()]));
}

#[tokio::test]
async fn a_copy_onto_another_name_of_the_same_file_leaves_nothing_behind() {
    let case = Case::new();
    case.create("c", "x").await.unwrap();
    for _ in 0..2 {
        case.store.copy(&"c".into(), &"d".into()).await.unwrap();
        assert_eq!(case.files("."), ["c", "d"]);
    }
    let taken = case.store.copy_if_not_exists(&"c".into(), &"d".into()).await.unwrap_err();
    assert!(matches!(taken, object_store::Error::AlreadyExists { .. }), "{taken}");
    let absent = case.store.copy(&"z".into(), &"e".into()).await.unwrap_err();
    assert!(matches!(absent, object_store::Error::NotFound { .. }), "{absent}");
}

#[tokio::test]
async fn an_upload_that_lacks_a_part_is_not_completed() {
    let case = Case::new();
    let mut upload = case.store.put_multipart(&"c".into()).await.unwrap();
    drop(upload.put_part("lost".into()));
    upload.put_part("kept".into()).await.unwrap();
    let error = upload.complete().await.unwrap_err();
    assert!(error.to_string().contains("lacks a part"), "{error}");
    assert_eq!(case.files("."), Vec::<String>::new());
}

#[tokio::test]
async fn a_store_whose_directory_is_gone_is_neither_empty_nor_written() {
    let case = Case::new();
    case.create("a/c", "x").await.unwrap();
    std::fs::remove_dir_all(case.directory.path()).unwrap();
    let path = Path::from("a/c");
    let texts = [
        case.store.list(None).try_collect::<Vec<_>>().await.unwrap_err().to_string(),
        case.store.list_with_delimiter(None).await.unwrap_err().to_string(),
        case.create("a/d", "x").await.unwrap_err().to_string(),
        case.store.copy(&path, &"e".into()).await.unwrap_err().to_string(),
        case.store.put_multipart(&path).await.err().unwrap().to_string(),
    ];
    assert!(texts.iter().all(|text| text.contains("is gone")), "{texts:?}");
    assert!(!case.directory.path().exists());
    assert!(matches!(case.store.head(&path).await, Err(object_store::Error::NotFound { .. })));
}

#[tokio::test]
async fn directories_that_were_removed_are_made_again() {
    let case = Case::new();
    case.create("a/b/c", "x").await.unwrap();
    std::fs::remove_dir_all(case.directory.path().join("a")).unwrap();
    let _ = case.syncs();
    case.create("a/b/c", "x").await.unwrap();
    assert_eq!(case.syncs(), [".", "a", "a/b/c#1", "a/b"]);
}

#[tokio::test]
async fn directories_that_others_took_the_place_of_are_proven_again() {
    let case = Case::new();
    case.create("a/b/c", "x").await.unwrap();
    let (here, away) = (case.directory.path().join("a"), case.directory.path().join("away"));
    std::fs::rename(&here, &away).unwrap();
    std::fs::create_dir_all(here.join("b")).unwrap();
    let _ = case.syncs();
    case.create("a/b/c", "x").await.unwrap();
    assert_eq!(case.syncs(), [".", "a", "a/b/c#1", "a/b"]);
    std::fs::remove_dir_all(here.join("b")).unwrap();
    case.create("a/b/d/e", "x").await.unwrap();
    assert_eq!(case.syncs(), ["a", "a/b", "a/b/d/e#1", "a/b/d"]);
}

#[tokio::test]
async fn it_keeps_the_promises_of_a_store_and_tags_files_as_the_library_does() {
    let case = Case::new();
    let report = preflight::run(&case.store, &Env::system()).await.unwrap();
    assert!(report.lines.iter().all(|line| line.outcome == preflight::Outcome::Passed), "{report}");
    let put = case.create("a/c", "x").await.unwrap();
    assert_eq!(put.e_tag, case.store.head(&"a/c".into()).await.unwrap().e_tag);
}

#[test]
fn the_directory_of_a_new_store_is_made_to_last() {
    let (directory, asked) = (tempfile::tempdir().unwrap(), Asked::default());
    let path = std::fs::canonicalize(directory.path()).unwrap().join("a/b");
    let sync = asked.sync(directory.path());
    asked.0.lock().unwrap().failing.push("a".to_owned());
    assert!(matches!(make(&path, &sync), Err(Error::Unsynced { .. })) && !path.exists());
    make(&path, &sync).unwrap();
    assert_eq!(asked.0.lock().unwrap().paths, [".", "a", "a"]);
    assert!(path.is_dir());
}
