//! The coordinator of a daemon on one node: redb in the state directory.
//!
//! Tables: `kv` (key → record), `log` (revision and index → change; the last [`LOG_REVISIONS`] revisions, for watches) and
//! `meta` (`format`, `revision`, `generation`, `compacted`). Commits are durable. Leases live in memory only: opening the
//! directory deletes the leased keys of the previous run. A lock file admits one process per directory.
//!
//! A crash at any point leaves the last committed transaction; redb recovers on opening. So does an error of the file: a full disk
//! refuses writes, reads go on, and writes are taken again when there is space.

mod codec;
mod database;
mod file;
mod leases;
pub(crate) mod lock;
mod watcher;

use std::{
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use tidemark_gateway::Env;
use tokio::sync::broadcast;

use super::{
    Applied, Cmp, Coordinator, Error, Kv, Lease, Op, Outcome, Revision, Watch, check_limits,
    watch::{Event, WatchEvent},
};
use database::Db;
use leases::Leases;

/// Name of the database in the state directory.
pub(crate) const FILE: &str = "coordinator.redb";

/// Revisions that watches can start from.
pub const LOG_REVISIONS: u64 = 10_000;

/// Transactions a watch may lag behind before it has to list again.
const WATCH_BACKLOG: usize = 1024;

/// Why a state directory cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The directory or its lock file cannot be made or read.
    #[error("state directory {path}")]
    Directory {
        /// The directory.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Another process has it open.
    #[error("state directory {path} is in use by pid {pid}")]
    InUse {
        /// The directory.
        path: PathBuf,
        /// The process, as its lock file says; `unknown` where it says nothing.
        pid: String,
    },
    /// The database cannot be opened.
    #[error("coordinator database {path}")]
    Database {
        /// The file.
        path: PathBuf,
        /// Why.
        source: Box<redb::Error>,
    },
    /// The database was written by another version.
    #[error("coordinator database {path} has format {found}, this program reads format {known}")]
    Format {
        /// The file.
        path: PathBuf,
        /// Its format.
        found: u64,
        /// Ours.
        known: u64,
    },
}

/// The embedded coordinator; a cheap handle.
#[derive(Clone)]
pub struct Embedded {
    inner: Arc<Inner>,
}

struct Inner {
    db: Arc<Db>,
    leases: Leases,
    generation: AtomicU64,
    /// Drawn when it was opened, 16 random bytes, hexadecimal.
    opening: String,
    events: broadcast::Sender<Arc<Vec<Event>>>,
    env: Env,
    _lock: lock::StateLock,
}

impl Embedded {
    /// Opens or creates the coordinator's state in `directory` and deletes the leased keys of the previous run.
    ///
    /// # Errors
    /// [`OpenError`]; [`OpenError::InUse`] where another process has it open.
    pub fn open(directory: &Path, env: Env) -> Result<Self, OpenError> {
        let lock = lock::StateLock::acquire(directory)?;
        Ok(Self::over(Db::open(&directory.join(FILE))?, lock, env))
    }

    fn over(db: Db, lock: lock::StateLock, env: Env) -> Self {
        let generation = AtomicU64::new(db.generation());
        let (events, _) = broadcast::channel(WATCH_BACKLOG);
        let opening = hex::encode(env.random::<16>());
        let (db, leases) = (Arc::new(db), Leases::default());
        let inner = Inner { db, leases, generation, opening, events, env, _lock: lock };
        Self { inner: Arc::new(inner) }
    }
}

impl Inner {
    /// Runs a transaction off the runtime. A lease named by a put is looked up under the same lock as the write.
    async fn txn(self: &Arc<Self>, when: Vec<Cmp>, then: Vec<Op>, otherwise: Vec<Op>) -> Result<Outcome, Error> {
        let inner = Arc::clone(self);
        blocking("transaction", move || {
            inner.sweep()?;
            inner.db.write(|lease| inner.leases.is_alive(lease), &when, &then, &otherwise, |e| inner.publish(e))
        })
        .await
    }

    /// Deletes the keys of leases that have ended. What could not be written is deleted before the next transaction: nothing sees a
    /// claim of a lease that is gone and takes it for one that holds.
    fn sweep(&self) -> Result<(), Error> {
        for id in self.leases.ended() {
            self.db.delete_leased(id, |events| self.publish(events))?;
            self.leases.swept(id);
        }
        Ok(())
    }

    /// Sends changes to the watchers; called under the write lock, so in the order of revisions.
    fn publish(&self, events: Vec<Event>) {
        // An error only says that nobody watches.
        let _ = self.events.send(Arc::new(events));
    }
}

#[async_trait]
impl Coordinator for Embedded {
    fn generation(&self) -> u64 {
        self.inner.generation.load(Ordering::SeqCst)
    }

    fn opening(&self) -> &str {
        &self.inner.opening
    }

    async fn raise_generation(&self, to: u64) -> Result<(), Error> {
        let inner = Arc::clone(&self.inner);
        blocking("raise the generation", move || {
            let now = inner.db.raise_generation(to)?;
            inner.generation.fetch_max(now, Ordering::SeqCst);
            Ok(())
        })
        .await
    }

    async fn get(&self, key: &str) -> Result<Option<Kv>, Error> {
        let (db, key) = (Arc::clone(&self.inner.db), key.to_owned());
        blocking("read a key", move || db.get(&key)).await
    }

    async fn list(&self, prefix: &str, limit: usize, after: Option<&str>) -> Result<(Vec<Kv>, Revision), Error> {
        let (db, prefix, after) = (Arc::clone(&self.inner.db), prefix.to_owned(), after.map(str::to_owned));
        blocking("list keys", move || db.list(&prefix, limit, after.as_deref())).await
    }

    async fn txn(&self, when: Vec<Cmp>, then: Vec<Op>, otherwise: Vec<Op>) -> Result<Outcome, Error> {
        check_limits(&then, &otherwise)?;
        self.inner.txn(when, then, otherwise).await
    }

    async fn watch(&self, prefix: &str, from: Revision) -> Result<Watch, Error> {
        // Subscribed before the log is read: a change is then in the log, in the channel, or in both, and never in neither.
        let live = self.inner.events.subscribe();
        let (db, prefix) = (Arc::clone(&self.inner.db), prefix.to_owned());
        let wanted = prefix.clone();
        let past = blocking("read the log", move || db.events(&wanted, from)).await?;
        Ok(watcher::watch(prefix, from, past, live))
    }

    async fn lease(&self, ttl: Duration) -> Result<Lease, Error> {
        Ok(leases::grant(&self.inner, ttl))
    }
}

/// Runs database work on a blocking thread. Where that thread dies the work may have been done.
async fn blocking<T: Send + 'static>(
    operation: &'static str,
    work: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(source) => Err(Error::Backend { operation, applied: Applied::Unknown, source: Box::new(source) }),
    }
}

#[cfg(test)]
pub(crate) mod disk;
#[cfg(test)]
mod tests;
