//! The redb database: reads on snapshots, writes one after another.

use std::{
    collections::BTreeMap,
    ops::Bound,
    path::Path,
    sync::{Mutex, PoisonError},
};

use redb::{Database, ReadableDatabase as _, ReadableTable, TableDefinition};

use super::{Event, LOG_REVISIONS, OpenError, Revision, codec};
use crate::coordinator::{Applied, Cmp, Error, EventKind, Kv, LeaseId, Op, Outcome};

const KV: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("kv");
const LOG: TableDefinition<'_, (u64, u32), &[u8]> = TableDefinition::new("log");
const META: TableDefinition<'_, &str, u64> = TableDefinition::new("meta");

/// Format number of the database.
const FORMAT: u64 = 1;

/// The database with the lock that orders writes and their publication.
pub(super) struct Db {
    database: Database,
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

impl Db {
    /// Opens or creates the database and deletes the leased keys of the previous run.
    pub(super) fn open(path: &Path) -> Result<Self, OpenError> {
        let refuse = |source: redb::Error| OpenError::Database { path: path.to_owned(), source: Box::new(source) };
        let database = Database::create(path).map_err(|e| refuse(e.into()))?;
        let format = prepare(&database).map_err(refuse)?;
        if format != FORMAT {
            return Err(OpenError::Format { path: path.to_owned(), found: format, known: FORMAT });
        }
        let db = Self { database, writing: Mutex::new(()) };
        db.delete_all_leased().map_err(refuse)?;
        Ok(db)
    }

    /// Generation as it is stored.
    pub(super) fn generation(&self) -> u64 {
        self.meta("generation").unwrap_or(0)
    }

    fn meta(&self, name: &str) -> Result<u64, redb::Error> {
        let table = self.database.begin_read()?.open_table(META)?;
        Ok(table.get(name)?.map_or(0, |v| v.value()))
    }

    /// Raises the generation where `to` is higher; returns what it is then.
    pub(super) fn raise_generation(&self, to: u64) -> Result<u64, Error> {
        let _writing = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let txn = self.database.begin_write().map_err(not_applied("begin"))?;
        let now = update_generation(&txn, to).map_err(not_applied("raise the generation"))?;
        txn.commit().map_err(unknown("raise the generation"))?;
        Ok(now)
    }

    /// One key.
    pub(super) fn get(&self, key: &str) -> Result<Option<Kv>, Error> {
        let read = || -> Result<Option<Kv>, redb::Error> {
            let table = self.database.begin_read()?.open_table(KV)?;
            read_kv(&table, key)
        };
        read().map_err(not_applied("read a key"))
    }

    /// A page of keys and the revision of the snapshot it was read from.
    pub(super) fn list(&self, prefix: &str, limit: usize, after: Option<&str>) -> Result<(Vec<Kv>, Revision), Error> {
        let read = || -> Result<(Vec<Kv>, Revision), redb::Error> {
            let txn = self.database.begin_read()?;
            let revision = txn.open_table(META)?.get("revision")?.map_or(0, |v| v.value());
            let table = txn.open_table(KV)?;
            let start = match after {
                Some(after) if after >= prefix => Bound::Excluded(after),
                _ => Bound::Included(prefix),
            };
            Ok((read_range(&table, prefix, limit, start)?, revision))
        };
        read().map_err(not_applied("list keys"))
    }

    /// Changes under a prefix since `from`, where the log still has them.
    pub(super) fn events(&self, prefix: &str, from: Revision) -> Result<Past, Error> {
        let read = || -> Result<Past, redb::Error> {
            let txn = self.database.begin_read()?;
            let meta = txn.open_table(META)?;
            let through = meta.get("revision")?.map_or(0, |v| v.value());
            if from <= meta.get("compacted")?.map_or(0, |v| v.value()) {
                return Ok(Past::Compacted);
            }
            let events = read_log(&txn.open_table(LOG)?, prefix, from)?;
            Ok(Past::Events { events, through })
        };
        read().map_err(not_applied("read the log"))
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
        let _writing = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let txn = self.database.begin_write().map_err(not_applied("begin"))?;
        let succeeded = holds(&txn, when).map_err(not_applied("compare"))?;
        let ops = if succeeded { then } else { otherwise };
        require_leases(ops, lease_alive)?;
        let applied = apply(&txn, ops).map_err(not_applied("apply"))?;
        if applied.events.is_empty() {
            txn.abort().map_err(not_applied("end a transaction without changes"))?;
        } else {
            txn.commit().map_err(unknown("commit"))?;
            publish(applied.events);
        }
        Ok(Outcome { succeeded, revision: applied.revision, gets: applied.gets })
    }

    /// Deletes the keys of one lease, or of all; returns how many.
    pub(super) fn delete_leased(
        &self,
        lease: Option<LeaseId>,
        publish: impl FnOnce(Vec<Event>),
    ) -> Result<usize, Error> {
        let _writing = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let txn = self.database.begin_write().map_err(not_applied("begin"))?;
        let events = delete_leased(&txn, lease).map_err(not_applied("delete leased keys"))?;
        txn.commit().map_err(unknown("delete leased keys"))?;
        let deleted = events.len();
        publish(events);
        Ok(deleted)
    }

    /// Drops from the log what it would not keep any more at `revision`.
    #[cfg(test)]
    pub(super) fn forget_before(&self, revision: Revision) -> Result<(), redb::Error> {
        let txn = self.database.begin_write()?;
        compact(&mut txn.open_table(LOG)?, &mut txn.open_table(META)?, revision)?;
        Ok(txn.commit()?)
    }

    fn delete_all_leased(&self) -> Result<(), redb::Error> {
        let txn = self.database.begin_write()?;
        delete_leased(&txn, None)?;
        Ok(txn.commit()?)
    }
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
        found.push(codec::decode_kv(key.value(), value.value()).ok_or_else(|| corrupted("kv", key.value()))?);
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
struct AppliedOps {
    revision: Revision,
    gets: Vec<Option<Kv>>,
    events: Vec<Event>,
}

fn apply(txn: &redb::WriteTransaction, ops: &[Op]) -> Result<AppliedOps, redb::Error> {
    let mut meta = txn.open_table(META)?;
    let last = meta.get("revision")?.map_or(0, |v| v.value());
    let (changes, gets) = apply_to_keys(&mut txn.open_table(KV)?, ops, last + 1)?;
    let revision = if changes.is_empty() { last } else { last + 1 };
    let events = log_changes(txn, &mut meta, revision, changes)?;
    Ok(AppliedOps { revision, gets, events })
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

fn delete_leased(txn: &redb::WriteTransaction, lease: Option<LeaseId>) -> Result<Vec<Event>, redb::Error> {
    let mut keys = Vec::new();
    for item in txn.open_table(KV)?.iter()? {
        let (key, value) = item?;
        let kv = codec::decode_kv(key.value(), value.value()).ok_or_else(|| corrupted("kv", key.value()))?;
        if kv.lease.is_some() && (lease.is_none() || kv.lease == lease) {
            keys.push(Op::Delete(kv.key));
        }
    }
    Ok(apply(txn, &keys)?.events)
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
