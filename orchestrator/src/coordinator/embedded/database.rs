//! The redb database: reads on snapshots, writes one after another.
//!
//! After an error of the file, a full disk for one, redb answers nothing any more until it is opened again. So it is opened again: at
//! once, that reads go on from what was committed last, and before each further call until that succeeds.

use std::{
    collections::BTreeMap,
    ops::Bound,
    path::Path,
    sync::{
        Mutex, PoisonError, RwLock,
        atomic::{AtomicBool, Ordering},
    },
};

use redb::{Database, ReadableDatabase as _, ReadableTable, TableDefinition, backends::FileBackend};

use super::{Event, LOG_REVISIONS, OpenError, Revision, codec, file::Solid};
use crate::coordinator::{Applied, Cmp, Error, EventKind, Kv, LeaseId, Op, Outcome};

const KV: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("kv");
const LOG: TableDefinition<'_, (u64, u32), &[u8]> = TableDefinition::new("log");
const META: TableDefinition<'_, &str, u64> = TableDefinition::new("meta");

/// Format number of the database.
const FORMAT: u64 = 1;

/// Opens the file of a database.
pub(super) type Opener = Box<dyn Fn() -> Result<Database, redb::Error> + Send + Sync>;

/// The database with the lock that orders writes and their publication.
pub(super) struct Db {
    open: Opener,
    /// Absent while it failed and could not be opened again.
    database: RwLock<Option<Database>>,
    /// True from an error of the file until the database is open again.
    failed: AtomicBool,
    writing: Mutex<()>,
}

/// What the log holds of the past.
pub(super) enum Past {
    /// Changes from the asked revision through this one.
    Events { events: Vec<Event>, through: Revision },
    /// The log does not reach back that far.
    Compacted,
}

type Meta<'t> = redb::Table<'t, &'static str, u64>;

/// A transaction that did not end as it should.
struct Failed {
    error: Error,
    /// What it would have done, where it may have been committed.
    unsure: Option<AppliedOps>,
}

impl From<Error> for Failed {
    fn from(error: Error) -> Self {
        Self { error, unsure: None }
    }
}

/// The file of a database as it is opened for good.
fn opener(path: &Path) -> Opener {
    let path = path.to_owned();
    Box::new(move || {
        let mut options = std::fs::OpenOptions::new();
        let file = options.read(true).write(true).create(true).truncate(false).open(&path);
        let backend = Solid(FileBackend::new(file.map_err(redb::Error::Io)?)?);
        Ok(Database::builder().create_with_backend(backend)?)
    })
}

impl Db {
    /// Opens or creates the database and deletes the leased keys of the previous run.
    pub(super) fn open(path: &Path) -> Result<Self, OpenError> {
        Self::open_with(path, opener(path))
    }

    /// As [`Self::open`], by another way to the file; `path` is for errors.
    pub(super) fn open_with(path: &Path, open: Opener) -> Result<Self, OpenError> {
        let refuse = |source: redb::Error| OpenError::Database { path: path.to_owned(), source: Box::new(source) };
        let database = open().map_err(refuse)?;
        let format = prepare(&database).map_err(refuse)?;
        if format != FORMAT {
            return Err(OpenError::Format { path: path.to_owned(), found: format, known: FORMAT });
        }
        delete_all_leased(&database).map_err(refuse)?;
        let database = RwLock::new(Some(database));
        Ok(Self { open, database, failed: AtomicBool::new(false), writing: Mutex::new(()) })
    }

    /// Does `work` with the database, which is opened again before where it failed.
    fn usable<T>(&self, work: impl FnOnce(&Database) -> T) -> Result<T, redb::Error> {
        self.mend()?;
        let database = self.database.read().unwrap_or_else(PoisonError::into_inner);
        database.as_ref().map(work).ok_or(redb::Error::DatabaseClosed)
    }

    /// Opens the database again, where it failed.
    fn mend(&self) -> Result<(), redb::Error> {
        if !self.failed.load(Ordering::SeqCst) {
            return Ok(());
        }
        let mut database = self.database.write().unwrap_or_else(PoisonError::into_inner);
        if self.failed.load(Ordering::SeqCst) {
            // The old one lets go of the file first.
            *database = None;
            *database = Some((self.open)()?);
            self.failed.store(false, Ordering::SeqCst);
            tracing::warn!("the coordinator's database was opened again after an error of its file");
        }
        Ok(())
    }

    /// True, and remembered, where after this error the database has to be opened again.
    fn saw(&self, error: &redb::Error) -> bool {
        use redb::Error::{Backend, DatabaseClosed, Io, LockPoisoned, PreviousIo};
        let of_the_file = matches!(error, Io(_) | Backend(_) | PreviousIo | DatabaseClosed | LockPoisoned(_));
        if of_the_file {
            self.failed.store(true, Ordering::SeqCst);
        }
        of_the_file
    }

    /// Reads; once more where the database had to be opened again.
    fn read<T>(&self, work: impl Fn(&Database) -> Result<T, redb::Error>) -> Result<T, redb::Error> {
        match self.usable(&work)? {
            Err(error) if self.saw(&error) => self.usable(&work)?,
            done => done,
        }
    }

    /// Does `work` in a transaction; `publish` gets its changes, in the order of revisions over all calls.
    fn change(
        &self,
        work: impl FnOnce(&redb::WriteTransaction) -> Result<AppliedOps, Error>,
        publish: impl FnOnce(Vec<Event>),
    ) -> Result<AppliedOps, Error> {
        let _writing = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let done = self.usable(|database| attempt(database, work)).map_err(not_applied("open the database again"))?;
        match done {
            Ok(mut applied) => {
                let events = std::mem::take(&mut applied.events);
                if !events.is_empty() {
                    publish(events);
                }
                Ok(applied)
            }
            Err(Failed { error, unsure }) => {
                if let Error::Backend { source, .. } = &error
                    && source.downcast_ref::<redb::Error>().is_some_and(|source| self.saw(source))
                {
                    self.after_failure(unsure, publish);
                }
                Err(error)
            }
        }
    }

    /// Opens the database again, that reads go on; watchers hear of what was committed although the caller was not told so.
    fn after_failure(&self, unsure: Option<AppliedOps>, publish: impl FnOnce(Vec<Event>)) {
        if let Err(error) = self.mend() {
            tracing::error!(%error, "the coordinator's database cannot be opened again yet");
        } else if let Some(applied) = unsure
            && self.meta("revision").is_ok_and(|revision| revision == applied.revision)
        {
            publish(applied.events);
        }
    }

    /// Generation as it is stored.
    pub(super) fn generation(&self) -> u64 {
        self.meta("generation").unwrap_or(0)
    }

    fn meta(&self, name: &str) -> Result<u64, redb::Error> {
        self.read(|database| {
            let table = database.begin_read()?.open_table(META)?;
            Ok(table.get(name)?.map_or(0, |v| v.value()))
        })
    }

    /// Raises the generation where `to` is higher; returns what it is then.
    pub(super) fn raise_generation(&self, to: u64) -> Result<u64, Error> {
        let raise = |txn: &redb::WriteTransaction| {
            update_generation(txn, to).map_err(not_applied("raise the generation"))?;
            Ok(AppliedOps { always: true, ..AppliedOps::default() })
        };
        self.change(raise, drop)?;
        Ok(self.meta("generation").map_err(not_applied("read the generation"))?.max(to))
    }

    /// One key.
    pub(super) fn get(&self, key: &str) -> Result<Option<Kv>, Error> {
        let read = self.read(|database| read_kv(&database.begin_read()?.open_table(KV)?, key));
        read.map_err(not_applied("read a key"))
    }

    /// A page of keys and the revision of the snapshot it was read from.
    pub(super) fn list(&self, prefix: &str, limit: usize, after: Option<&str>) -> Result<(Vec<Kv>, Revision), Error> {
        let read = self.read(|database| {
            let txn = database.begin_read()?;
            let revision = txn.open_table(META)?.get("revision")?.map_or(0, |v| v.value());
            let table = txn.open_table(KV)?;
            let start = match after {
                Some(after) if after >= prefix => Bound::Excluded(after),
                _ => Bound::Included(prefix),
            };
            Ok((read_range(&table, prefix, limit, start)?, revision))
        });
        read.map_err(not_applied("list keys"))
    }

    /// Changes under a prefix since `from`, where the log still has them.
    pub(super) fn events(&self, prefix: &str, from: Revision) -> Result<Past, Error> {
        let read = self.read(|database| {
            let txn = database.begin_read()?;
            let meta = txn.open_table(META)?;
            let through = meta.get("revision")?.map_or(0, |v| v.value());
            if from <= meta.get("compacted")?.map_or(0, |v| v.value()) {
                return Ok(Past::Compacted);
            }
            let events = read_log(&txn.open_table(LOG)?, prefix, from)?;
            Ok(Past::Events { events, through })
        });
        read.map_err(not_applied("read the log"))
    }

    /// Runs a transaction; `publish` gets its changes, in the order of revisions over all calls.
    pub(super) fn write(
        &self,
        lease_alive: impl Fn(LeaseId) -> bool,
        when: &[Cmp],
        then: &[Op],
        otherwise: &[Op],
        publish: impl FnOnce(Vec<Event>),
    ) -> Result<Outcome, Error> {
        let mut succeeded = false;
        let work = |txn: &redb::WriteTransaction| {
            succeeded = holds(txn, when).map_err(not_applied("compare"))?;
            let ops = if succeeded { then } else { otherwise };
            require_leases(ops, lease_alive)?;
            apply(txn, ops).map_err(not_applied("apply"))
        };
        let AppliedOps { revision, gets, .. } = self.change(work, publish)?;
        Ok(Outcome { succeeded, revision, gets })
    }

    /// Deletes the keys of a lease.
    pub(super) fn delete_leased(&self, lease: LeaseId, publish: impl FnOnce(Vec<Event>)) -> Result<(), Error> {
        let work =
            |txn: &redb::WriteTransaction| delete_leased(txn, Some(lease)).map_err(not_applied("delete leased keys"));
        self.change(work, publish).map(drop)
    }

    /// Drops from the log what it would not keep any more at `revision`.
    #[cfg(test)]
    pub(super) fn forget_before(&self, revision: Revision) -> Result<(), redb::Error> {
        self.usable(|database| {
            let txn = database.begin_write()?;
            compact(&mut txn.open_table(LOG)?, &mut txn.open_table(META)?, revision)?;
            Ok(txn.commit()?)
        })?
    }
}

/// A transaction that is committed where it changes something.
fn attempt(
    database: &Database,
    work: impl FnOnce(&redb::WriteTransaction) -> Result<AppliedOps, Error>,
) -> Result<AppliedOps, Failed> {
    let txn = database.begin_write().map_err(not_applied("begin"))?;
    let applied = work(&txn)?;
    if applied.events.is_empty() && !applied.always {
        txn.abort().map_err(not_applied("end a transaction without changes"))?;
        return Ok(applied);
    }
    match txn.commit() {
        Ok(()) => Ok(applied),
        Err(error) => Err(Failed { error: unknown("commit")(error), unsure: Some(applied) }),
    }
}

fn delete_all_leased(database: &Database) -> Result<(), redb::Error> {
    let txn = database.begin_write()?;
    delete_leased(&txn, None)?;
    Ok(txn.commit()?)
}

/// Makes the tables where they are missing; returns the format.
fn prepare(database: &Database) -> Result<u64, redb::Error> {
    let txn = database.begin_write()?;
    txn.open_table(KV)?;
    txn.open_table(LOG)?;
    let format = {
        let mut meta = txn.open_table(META)?;
        let found = meta.get("format")?.map(|v| v.value());
        if found.is_none() {
            meta.insert("format", FORMAT)?;
        }
        found.unwrap_or(FORMAT)
    };
    txn.commit()?;
    Ok(format)
}

fn update_generation(txn: &redb::WriteTransaction, to: u64) -> Result<u64, redb::Error> {
    let mut meta = txn.open_table(META)?;
    let now = meta.get("generation")?.map_or(0, |v| v.value()).max(to);
    meta.insert("generation", now)?;
    Ok(now)
}

fn read_kv(table: &impl ReadableTable<&'static str, &'static [u8]>, key: &str) -> Result<Option<Kv>, redb::Error> {
    let Some(found) = table.get(key)? else { return Ok(None) };
    codec::decode_kv(key, found.value()).map(Some).ok_or_else(|| corrupted("kv", key))
}

fn read_range(
    table: &impl ReadableTable<&'static str, &'static [u8]>,
    prefix: &str,
    limit: usize,
    start: Bound<&str>,
) -> Result<Vec<Kv>, redb::Error> {
    let mut found = Vec::new();
    for item in table.range::<&str>((start, Bound::Unbounded))? {
        let (key, value) = item?;
        if found.len() == limit || !key.value().starts_with(prefix) {
            break;
        }
        match codec::decode_kv(key.value(), value.value()) {
            Some(kv) => found.push(kv),
            // One record hides no other; whoever asks for it by name is told.
            None => tracing::error!(key = key.value(), "a record of the coordinator is damaged, and passed over"),
        }
    }
    Ok(found)
}

fn read_log(
    table: &impl ReadableTable<(u64, u32), &'static [u8]>,
    prefix: &str,
    from: Revision,
) -> Result<Vec<Event>, redb::Error> {
    let mut events = Vec::new();
    for item in table.range((from, 0)..)? {
        let (at, value) = item?;
        let revision = at.value().0;
        let event =
            codec::decode_event(revision, value.value()).ok_or_else(|| corrupted("log", &revision.to_string()))?;
        if event.key.starts_with(prefix) {
            events.push(event);
        }
    }
    Ok(events)
}

fn holds(txn: &redb::WriteTransaction, when: &[Cmp]) -> Result<bool, redb::Error> {
    let (table, meta) = (txn.open_table(KV)?, txn.open_table(META)?);
    for cmp in when {
        let held = match cmp {
            Cmp::CreateRevision(key, wanted) => read_kv(&table, key)?.map_or(0, |kv| kv.create_revision) == *wanted,
            Cmp::ModRevision(key, wanted) => read_kv(&table, key)?.map_or(0, |kv| kv.mod_revision) == *wanted,
            Cmp::Value(key, wanted) => read_kv(&table, key)?.is_some_and(|kv| kv.value == *wanted),
            Cmp::Generation(wanted) => meta.get("generation")?.map_or(0, |v| v.value()) == *wanted,
        };
        if !held {
            return Ok(false);
        }
    }
    Ok(true)
}

fn require_leases(ops: &[Op], alive: impl Fn(LeaseId) -> bool) -> Result<(), Error> {
    ops.iter().try_for_each(|op| match op {
        Op::Put { lease: Some(lease), .. } if !alive(*lease) => Err(Error::LeaseGone(*lease)),
        _ => Ok(()),
    })
}

/// What a list of operations did.
#[derive(Default)]
struct AppliedOps {
    revision: Revision,
    gets: Vec<Option<Kv>>,
    events: Vec<Event>,
    /// True where it is committed although no key changed.
    always: bool,
}

fn apply(txn: &redb::WriteTransaction, ops: &[Op]) -> Result<AppliedOps, redb::Error> {
    let mut meta = txn.open_table(META)?;
    let last = meta.get("revision")?.map_or(0, |v| v.value());
    let (changes, gets) = apply_to_keys(&mut txn.open_table(KV)?, ops, last + 1)?;
    let revision = if changes.is_empty() { last } else { last + 1 };
    let events = log_changes(txn, &mut meta, revision, changes)?;
    Ok(AppliedOps { revision, gets, events, always: false })
}

type Changes = BTreeMap<String, EventKind>;

fn apply_to_keys(
    table: &mut redb::Table<'_, &'static str, &'static [u8]>,
    ops: &[Op],
    revision: Revision,
) -> Result<(Changes, Vec<Option<Kv>>), redb::Error> {
    let (mut changes, mut gets) = (Changes::new(), Vec::new());
    for op in ops {
        match op {
            Op::Put { key, value, lease } => {
                let created = read_kv(table, key)?.map_or(revision, |kv| kv.create_revision);
                let (key, value) = (key.clone(), value.clone());
                let kv = Kv { key, value, create_revision: created, mod_revision: revision, lease: *lease };
                table.insert(kv.key.as_str(), codec::encode_kv(&kv).as_slice())?;
                changes.insert(kv.key, EventKind::Put);
            }
            Op::Delete(key) => {
                if table.remove(key.as_str())?.is_some() {
                    changes.insert(key.clone(), EventKind::Delete);
                }
            }
            Op::Get(key) => gets.push(read_kv(table, key)?),
        }
    }
    Ok((changes, gets))
}

/// Writes the changes to the log, drops what is older than the log keeps, and moves the revision.
fn log_changes(
    txn: &redb::WriteTransaction,
    meta: &mut Meta<'_>,
    revision: Revision,
    changes: Changes,
) -> Result<Vec<Event>, redb::Error> {
    if changes.is_empty() {
        return Ok(Vec::new());
    }
    let mut log = txn.open_table(LOG)?;
    let events: Vec<Event> = changes.into_iter().map(|(key, kind)| Event { key, revision, kind }).collect();
    for (index, event) in (0_u32..).zip(&events) {
        log.insert((revision, index), codec::encode_event(event).as_slice())?;
    }
    meta.insert("revision", revision)?;
    compact(&mut log, meta, revision)?;
    Ok(events)
}

/// Drops what the log no longer keeps at `revision`.
fn compact(
    log: &mut redb::Table<'_, (u64, u32), &'static [u8]>,
    meta: &mut Meta<'_>,
    revision: Revision,
) -> Result<(), redb::Error> {
    let compacted = revision.saturating_sub(LOG_REVISIONS);
    log.retain_in(..(compacted + 1, 0), |_, _| false)?;
    meta.insert("compacted", compacted)?;
    Ok(())
}

fn delete_leased(txn: &redb::WriteTransaction, lease: Option<LeaseId>) -> Result<AppliedOps, redb::Error> {
    let mut keys = Vec::new();
    for item in txn.open_table(KV)?.iter()? {
        let (key, value) = item?;
        // One that is damaged hangs on no lease that anybody could tell.
        let Some(kv) = codec::decode_kv(key.value(), value.value()) else { continue };
        if kv.lease.is_some() && (lease.is_none() || kv.lease == lease) {
            keys.push(Op::Delete(kv.key));
        }
    }
    apply(txn, &keys)
}

fn corrupted(table: &str, key: &str) -> redb::Error {
    redb::Error::Corrupted(format!("record of {key} in table {table}"))
}

fn not_applied<E: Into<redb::Error>>(operation: &'static str) -> impl Fn(E) -> Error {
    move |e| Error::Backend { operation, applied: Applied::Not, source: Box::new(e.into()) }
}

fn unknown<E: Into<redb::Error>>(operation: &'static str) -> impl Fn(E) -> Error {
    move |e| Error::Backend { operation, applied: Applied::Unknown, source: Box::new(e.into()) }
}
