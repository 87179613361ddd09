//! The test's own truth: writes that were made, and what must come of them.
//!
//! Every write goes to Cassandra by CQL with its own write time and is remembered, with the time at which it ran and the
//! replica that missed it. What a table must hold, and on how many rows its replicas must disagree, follows from that
//! memory alone.

pub mod lagging;
pub mod model;
pub mod statement;
pub mod write;

use std::collections::{BTreeMap, BTreeSet, HashMap, hash_map};

use anyhow::{Context, Result};
use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream};
use scylla::{
    client::session::Session,
    statement::{Consistency, prepared::PreparedStatement},
};
use tidemark_gateway::Env;

use self::{
    model::{Atom, LiveRow, Model},
    statement::Statement,
    write::{Key, Write},
};
use crate::{
    compare::image::{Cell, RowImage, RowKey, TableImage},
    cql,
    tables::{Column, Kind, Table},
    wait::{self, Look},
};

/// Partitions that are written at the same time; writes of one partition follow one another.
const CONCURRENT_PARTITIONS: usize = 16;
/// Lives shorter than this are over before anything is compared, s.
const SHORT_LIFE: i64 = 3600;

/// A write that was made.
#[derive(Clone, Debug)]
struct Entry {
    write: Write,
    /// When it ran, s since 1970, both ends included.
    executed: (i64, i64),
    /// Address of the one replica that was down.
    missed_by: Option<String>,
}

/// All writes to the tables of one keyspace.
#[derive(Debug)]
pub struct Journal {
    keyspace: String,
    tables: BTreeMap<&'static str, (Table, Vec<Entry>)>,
    env: Env,
}

impl Journal {
    /// Nothing written yet.
    pub fn new(keyspace: &str, tables: &[Table]) -> Self {
        let tables = tables.iter().map(|table| (table.name, (table.clone(), vec![]))).collect();
        Self { keyspace: keyspace.to_owned(), tables, env: Env::system() }
    }

    /// Makes writes that reach every replica: at `ALL`.
    ///
    /// # Errors
    /// Where a write fails; the journal is of no use then.
    pub async fn write(&mut self, session: &Session, table: &str, writes: Vec<Write>) -> Result<()> {
        self.make(session, table, writes, None).await
    }

    /// Makes writes while the replica at `address` is down: at `QUORUM` of three, so that both others have them.
    ///
    /// # Errors
    /// Where a write fails; the journal is of no use then.
    pub async fn write_missed_by(
        &mut self,
        session: &Session,
        table: &str,
        writes: Vec<Write>,
        address: &str,
    ) -> Result<()> {
        self.make(session, table, writes, Some(address)).await
    }

    async fn make(&mut self, session: &Session, name: &str, writes: Vec<Write>, missed_by: Option<&str>) -> Result<()> {
        let (table, entries) = self.tables.get_mut(name).with_context(|| format!("table {name}"))?;
        let level = if missed_by.is_some() { Consistency::Quorum } else { Consistency::All };
        let prepared = prepare(session, &self.keyspace, table, &writes, level).await?;
        let mut partitions: BTreeMap<Key, Vec<(usize, &Write)>> = BTreeMap::new();
        for (turn, write) in writes.iter().enumerate() {
            partitions.entry(write.partition.clone()).or_default().push((turn, write));
        }
        let runner = Runner { session, env: &self.env, keyspace: &self.keyspace, table, prepared: &prepared };
        let runs = stream::iter(partitions.into_values()).map(|writes| runner.run(writes));
        let done: Vec<Vec<_>> = runs.buffer_unordered(CONCURRENT_PARTITIONS).try_collect().await?;
        let executed: BTreeMap<usize, (i64, i64)> = done.into_iter().flatten().collect();
        let missed_by = missed_by.map(str::to_owned);
        entries.extend(writes.into_iter().zip(executed.into_values()).map(|(write, executed)| Entry {
            write,
            executed,
            missed_by: missed_by.clone(),
        }));
        Ok(())
    }

    /// Waits until every short life is over, so that what is alive does not depend on the moment of looking.
    ///
    /// # Errors
    /// Where the clock does not move on.
    pub async fn settle(&self) -> Result<()> {
        let horizon = self.now() + SHORT_LIFE;
        let last = self
            .tables
            .values()
            .filter_map(|(table, entries)| state(table, entries, |_| true).last_expiry_before(horizon))
            .max();
        let last = last.unwrap_or(0);
        wait::until("end of short lives", std::time::Duration::from_secs(30), async || {
            Ok(Look::when(self.now() > last + 1, || format!("{} s to go", last + 1 - self.now())))
        })
        .await
    }

    /// What a table must hold now.
    ///
    /// # Errors
    /// Where the table is not the journal's.
    pub fn image(&self, table: &str) -> Result<TableImage> {
        let (table, entries) = self.tables.get(table).with_context(|| format!("table {table}"))?;
        let live = state(table, entries, |_| true).live(self.now());
        Ok(TableImage { rows: live.into_iter().map(|(key, row)| image_of(table, key, &row)).collect() })
    }

    /// Rows (static ones too) on which the replica at `address` must disagree with the others now: those that it owns
    /// and whose live contents are others without what it missed.
    ///
    /// # Errors
    /// Where the table is not the journal's, or the session does not know it.
    pub fn disagreeing(&self, session: &Session, name: &str, address: &str) -> Result<BTreeSet<(Key, Option<Key>)>> {
        let (table, entries) = self.tables.get(name).with_context(|| format!("table {name}"))?;
        let now = self.now();
        let own = state(table, entries, |entry| entry.missed_by.as_deref() != Some(address)).live(now);
        let all = state(table, entries, |_| true).live(now);
        let mut rows = model::differing(&all, &own);
        let mut owned: HashMap<Key, bool> = HashMap::new();
        for (partition, _) in &rows {
            let replicas = cql::replicas(session, &self.keyspace, name, partition)?;
            owned.insert(partition.clone(), replicas.iter().any(|replica| replica == address));
        }
        rows.retain(|(partition, _)| owned[partition]);
        Ok(rows)
    }

    /// Names of the tables.
    pub fn tables(&self) -> impl Iterator<Item = &'static str> {
        self.tables.keys().copied()
    }

    fn now(&self) -> i64 {
        self.env.now().as_second()
    }
}

/// Runs the writes of one partition.
struct Runner<'a> {
    session: &'a Session,
    env: &'a Env,
    keyspace: &'a str,
    table: &'a Table,
    prepared: &'a HashMap<String, PreparedStatement>,
}

impl Runner<'_> {
    async fn run(&self, writes: Vec<(usize, &Write)>) -> Result<Vec<(usize, (i64, i64))>> {
        let mut done = Vec::new();
        for (turn, write) in writes {
            let Statement { text, values, .. } = statement::of(self.keyspace, self.table, write);
            let before = self.env.now().as_second();
            let run = self.session.execute_unpaged(&self.prepared[&text], &values).await;
            run.with_context(|| format!("{text} with {values:?}"))?;
            done.push((turn, (before, self.env.now().as_second())));
        }
        Ok(done)
    }
}

async fn prepare(
    session: &Session,
    keyspace: &str,
    table: &Table,
    writes: &[Write],
    level: Consistency,
) -> Result<HashMap<String, PreparedStatement>> {
    let mut prepared = HashMap::new();
    for write in writes {
        let Statement { text, idempotent, .. } = statement::of(keyspace, table, write);
        if let hash_map::Entry::Vacant(place) = prepared.entry(text) {
            let mut statement = session.prepare(place.key().as_str()).await.with_context(|| place.key().clone())?;
            statement.set_consistency(level);
            statement.set_is_idempotent(idempotent);
            place.insert(statement);
        }
    }
    Ok(prepared)
}

/// The state after those entries that are kept. Turns count all of them, so that elements of lists have the same places
/// in every state.
fn state<'a>(table: &'a Table, entries: &[Entry], keep: impl Fn(&Entry) -> bool) -> Model<'a> {
    let mut model = Model::new(table);
    for (turn, entry) in entries.iter().enumerate().filter(|(_, entry)| keep(entry)) {
        model.apply(&entry.write, entry.executed, turn as u64);
    }
    model
}

/// What CQL shows of a live row: all but its marker.
fn image_of(table: &Table, (partition, clustering): (Key, Option<Key>), row: &LiveRow) -> (RowKey, RowImage) {
    let columns = if clustering.is_some() { &table.regulars } else { &table.statics };
    let cells =
        row.columns.iter().map(|(index, atoms)| (columns[*index].name.clone(), cells_of(&columns[*index], atoms)));
    let row = RowImage { columns: cells.collect() };
    (RowKey { partition, clustering }, row)
}

fn cells_of(column: &Column, atoms: &BTreeMap<Bytes, Atom>) -> Vec<Cell> {
    let cells = atoms.iter().enumerate().map(|(place, (path, atom))| Cell {
        path: match column.kind {
            Kind::List(_) => Bytes::copy_from_slice(&(place as u32).to_be_bytes()),
            _ => path.clone(),
        },
        value: atom.value.clone().unwrap_or_default(),
        writetime: atom.ts,
        expiry: atom.expiry,
    });
    cells.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_journal_expects_empty_tables() {
        let journal = Journal::new("ks", &crate::tables::all());
        assert!(journal.tables().all(|table| journal.image(table).unwrap() == TableImage::default()));
    }
}
