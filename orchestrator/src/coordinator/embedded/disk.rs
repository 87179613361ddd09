//! A coordinator on a disk that is full, and what it does then.

use std::{
    io,
    ops::Bound,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use redb::{BackendError, Database, StorageBackend, backends::FileBackend};
use tidemark_gateway::Env;

use super::{
    super::{Applied, Coordinator as _, Op},
    Embedded,
    database::Db,
    file::Solid,
    lock::StateLock,
};

/// Bytes of the file that can be written; holes can be made beyond. 0: nothing can be written.
pub(crate) type Space = Arc<AtomicU64>;

#[derive(Debug)]
struct Disk {
    file: FileBackend,
    space: Space,
}

impl StorageBackend for Disk {
    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.file.read(offset, out)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.file.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        if offset + data.len() as u64 > self.space.load(Ordering::SeqCst) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.file.write(offset, data)
    }

    fn close(&self) -> io::Result<()> {
        self.file.close()
    }

    fn try_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.file.try_lock_range(start, end)
    }

    fn unlock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.file.unlock_range(start, end)
    }
}

/// A coordinator in this directory, on a disk with so much space.
pub(crate) fn small(directory: &Path, space: &Space) -> Embedded {
    let (path, space) = (directory.join("coordinator.redb"), Arc::clone(space));
    let open = {
        let path = path.clone();
        move || {
            let mut options = std::fs::OpenOptions::new();
            let file = options.read(true).write(true).create(true).truncate(false).open(&path);
            let file = FileBackend::new(file.map_err(redb::Error::Io)?)?;
            let backend = Solid(Disk { file, space: Arc::clone(&space) });
            Ok(Database::builder().create_with_backend(backend)?)
        }
    };
    let lock = StateLock::acquire(directory).unwrap();
    Embedded::over(Db::open_with(&path, Box::new(open)).unwrap(), lock, Env::system())
}

fn key(number: usize) -> String {
    format!("k/{number:04}")
}

async fn put(open: &Embedded, number: usize) -> Result<u64, super::Error> {
    let ops = vec![Op::put(key(number), vec![u8::try_from(number % 251).unwrap(); 32 << 10])];
    Ok(open.txn(vec![], ops, vec![]).await?.revision)
}

/// Asserts that these keys are there, and no others.
async fn holds(open: &Embedded, keys: std::ops::Range<usize>) {
    let (found, _) = crate::coordinator::list_all(open, "k/").await.unwrap();
    assert_eq!(found.iter().map(|kv| kv.key.clone()).collect::<Vec<_>>(), keys.map(key).collect::<Vec<_>>());
    for (number, kv) in found.iter().enumerate() {
        assert!(
            kv.value.len() == 32 << 10 && kv.value.iter().all(|byte| usize::from(*byte) == number % 251),
            "{number}"
        );
    }
}

#[tokio::test]
async fn a_full_disk_refuses_writes_loses_nothing_and_reads_go_on_until_there_is_space() {
    let directory = tempfile::tempdir().unwrap();
    let space = Space::new(AtomicU64::new(u64::MAX));
    let open = small(directory.path(), &space);
    space.store(4 << 20, Ordering::SeqCst);
    let (mut written, mut last) = (0, 0);
    let error = loop {
        match put(&open, written).await {
            Ok(revision) => (written, last) = (written + 1, revision),
            Err(error) => break error,
        }
        assert!(written < 1000, "it is never full");
    };
    assert!(written > 10 && error.applied() == Applied::Not, "{written} {error}");
    for _ in 0..5 {
        holds(&open, 0..written).await;
        assert!(put(&open, written).await.is_err());
    }
    assert!(std::fs::metadata(directory.path().join("coordinator.redb")).unwrap().len() <= 4 << 20, "it has a hole");
    space.store(u64::MAX, Ordering::SeqCst);
    let revision = put(&open, written).await.unwrap();
    assert_eq!(revision, last + 1, "what was refused took no revision");
    holds(&open, 0..written + 1).await;
    drop(open);
    holds(&Embedded::open(directory.path(), Env::system()).unwrap(), 0..written + 1).await;
}

#[tokio::test]
async fn a_disk_that_takes_nothing_at_any_time_leaves_all_that_was_written_or_one_more() {
    let directory = tempfile::tempdir().unwrap();
    let space = Space::new(AtomicU64::new(u64::MAX));
    let open = small(directory.path(), &space);
    let mut written = 0;
    for round in 0..20 {
        put(&open, written).await.unwrap();
        written += 1;
        space.store(round * (100 << 10), Ordering::SeqCst);
        if let Err(error) = put(&open, written).await {
            space.store(u64::MAX, Ordering::SeqCst);
            let there = open.get(&key(written)).await.unwrap().is_some();
            assert!(!there || error.applied() == Applied::Unknown, "{error}");
            written += usize::from(there);
        } else {
            written += 1;
        }
        space.store(u64::MAX, Ordering::SeqCst);
        holds(&open, 0..written).await;
    }
}

#[tokio::test]
async fn keys_of_a_lease_that_ended_while_nothing_could_be_written_are_gone_before_the_next_transaction() {
    let directory = tempfile::tempdir().unwrap();
    let space = Space::new(AtomicU64::new(u64::MAX));
    let open = small(directory.path(), &space);
    let lease = open.lease(Duration::from_secs(10)).await.unwrap();
    open.txn(vec![], vec![Op::put_leased("claim", "", lease.id())], vec![]).await.unwrap();
    space.store(0, Ordering::SeqCst);
    lease.revoke().await.unwrap_err();
    open.txn(vec![], vec![Op::put("other", "")], vec![]).await.unwrap_err();
    space.store(u64::MAX, Ordering::SeqCst);
    let free = vec![crate::coordinator::Cmp::CreateRevision("claim".to_owned(), 0)];
    assert!(open.txn(free, vec![Op::put("other", "")], vec![]).await.unwrap().succeeded);
    assert_eq!(open.get("claim").await.unwrap(), None);
}
