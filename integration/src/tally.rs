//! The truth about counters: a sum per counter, of the additions and deletions that a test made.
//!
//! Counters have no write times that a test could set, so that the [journal](crate::journal) cannot hold them. What is
//! deleted here is never added to again: Cassandra does not define what it would hold.

use std::collections::{BTreeMap, BTreeSet, btree_map::Entry};

use anyhow::{Context, Result, ensure};
use futures::{StreamExt, TryStreamExt, stream};
use scylla::{
    client::session::Session,
    deserialize::row::DeserializeRow,
    statement::{Consistency, prepared::PreparedStatement, unprepared::Statement},
    value::Counter,
};

/// Additions that are under way at the same time.
const CONCURRENT: usize = 64;

/// What is done to the counters of `hits (pk int, ck int, st counter static, a counter, b counter, PRIMARY KEY (pk, ck))` and
/// `plain (k int PRIMARY KEY, n counter)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// To `a` (0) or `b` (1) of a row.
    Add((i32, i32), usize, i64),
    /// To `st`.
    AddStatic(i32, i64),
    /// To `n`.
    AddPlain(i32, i64),
    /// Of `a` (0) or `b` (1) of a row.
    DeleteCell((i32, i32), usize),
    /// Of a row of `hits`.
    DeleteRow((i32, i32)),
    /// Of a partition of `hits`, with its static counter.
    DeletePartition(i32),
}

/// Names of the columns of [`Step::Add`].
const COLUMNS: [&str; 2] = ["a", "b"];

impl Step {
    /// The statement in a keyspace, and what it binds besides the addition.
    fn statement(self, keyspace: &str) -> (String, Vec<i32>, Option<Counter>) {
        let (text, key, by) = match self {
            Self::Add((pk, ck), at, by) => {
                let column = COLUMNS[at];
                let text = format!("UPDATE {keyspace}.hits SET {column} = {column} + ? WHERE pk = ? AND ck = ?");
                (text, vec![pk, ck], Some(by))
            }
            Self::AddStatic(pk, by) => {
                (format!("UPDATE {keyspace}.hits SET st = st + ? WHERE pk = ?"), vec![pk], Some(by))
            }
            Self::AddPlain(k, by) => (format!("UPDATE {keyspace}.plain SET n = n + ? WHERE k = ?"), vec![k], Some(by)),
            Self::DeleteCell((pk, ck), at) => {
                (format!("DELETE {} FROM {keyspace}.hits WHERE pk = ? AND ck = ?", COLUMNS[at]), vec![pk, ck], None)
            }
            Self::DeleteRow((pk, ck)) => {
                (format!("DELETE FROM {keyspace}.hits WHERE pk = ? AND ck = ?"), vec![pk, ck], None)
            }
            Self::DeletePartition(pk) => (format!("DELETE FROM {keyspace}.hits WHERE pk = ?"), vec![pk], None),
        };
        (text, key, by.map(Counter))
    }

    async fn run(
        self,
        session: &Session,
        keyspace: &str,
        prepared: &BTreeMap<String, PreparedStatement>,
    ) -> Result<()> {
        let (text, key, by) = self.statement(keyspace);
        let statement = prepared.get(&text).context("a statement that was not prepared")?;
        let ran = match (by, &key[..]) {
            (Some(by), [pk]) => session.execute_unpaged(statement, (by, pk)).await,
            (Some(by), [pk, ck]) => session.execute_unpaged(statement, (by, pk, ck)).await,
            (None, [pk]) => session.execute_unpaged(statement, (pk,)).await,
            (None, [pk, ck]) => session.execute_unpaged(statement, (pk, ck)).await,
            _ => unreachable!("keys have one or two columns"),
        };
        ran.map(drop).with_context(|| format!("{self:?}"))
    }
}

/// Runs steps side by side: they must not depend on each other's order.
///
/// # Errors
/// Naming the step that failed.
pub async fn run(session: &Session, keyspace: &str, level: Consistency, steps: &[Step]) -> Result<()> {
    let mut prepared = BTreeMap::new();
    for (text, ..) in steps.iter().map(|step| step.statement(keyspace)) {
        if let Entry::Vacant(vacant) = prepared.entry(text) {
            let mut statement = session.prepare(vacant.key().as_str()).await?;
            statement.set_consistency(level);
            vacant.insert(statement);
        }
    }
    let runs: Vec<_> = steps.iter().map(|step| step.run(session, keyspace, &prepared)).collect();
    stream::iter(runs).buffer_unordered(CONCURRENT).try_collect::<Vec<()>>().await.map(drop)
}

/// The counters that there are. A counter of value 0 is there, one that was deleted or never added to is not.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// `a` and `b` of the rows of `hits`.
    pub rows: BTreeMap<(i32, i32), [Option<i64>; 2]>,
    /// `st` of its partitions.
    pub statics: BTreeMap<i32, i64>,
    /// `n` of `plain`.
    pub plain: BTreeMap<i32, i64>,
}

impl Tally {
    /// Does the steps.
    pub fn apply(&mut self, steps: &[Step]) {
        steps.iter().for_each(|step| self.step(*step));
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Add(row, at, by) => {
                let counter = &mut self.rows.entry(row).or_default()[at];
                *counter = Some(counter.unwrap_or(0).wrapping_add(by));
            }
            Step::AddStatic(pk, by) => add(&mut self.statics, pk, by),
            Step::AddPlain(k, by) => add(&mut self.plain, k, by),
            Step::DeleteCell(row, at) => {
                if let Some(row) = self.rows.get_mut(&row) {
                    row[at] = None;
                }
            }
            Step::DeleteRow(row) => drop(self.rows.remove(&row)),
            Step::DeletePartition(pk) => {
                self.rows.retain(|(of, _), _| *of != pk);
                self.statics.remove(&pk);
            }
        }
        self.rows.retain(|_, counters| *counters != [None, None]);
    }

    /// Rows of `hits` (static ones too) and of `plain` on which a replica that missed the last steps must disagree with the
    /// others: `self` is what it holds. Every addition changes the write time, so that all it missed shows.
    pub fn disagreements(&self, missed: &[Step]) -> (usize, usize) {
        let mut whole = self.clone();
        whole.apply(missed);
        let (mut rows, mut statics, mut plain) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
        for step in missed {
            match *step {
                Step::Add(row, ..) | Step::DeleteCell(row, _) | Step::DeleteRow(row) => drop(rows.insert(row)),
                Step::AddStatic(pk, _) => drop(statics.insert(pk)),
                Step::AddPlain(k, _) => drop(plain.insert(k)),
                Step::DeletePartition(pk) => {
                    rows.extend(self.rows.keys().filter(|(of, _)| *of == pk));
                    statics.insert(pk);
                }
            }
        }
        rows.retain(|row| self.rows.contains_key(row) || whole.rows.contains_key(row));
        statics.retain(|pk| self.statics.contains_key(pk) || whole.statics.contains_key(pk));
        (rows.len() + statics.len(), plain.len())
    }

    /// What the tables of a keyspace hold, read at ALL.
    ///
    /// # Errors
    /// Where they cannot be read.
    pub async fn read(session: &Session, keyspace: &str) -> Result<Self> {
        let mut tally = Self::default();
        let query = format!("SELECT pk, ck, a, b FROM {keyspace}.hits");
        type Hit = (i32, Option<i32>, Option<Counter>, Option<Counter>);
        for (pk, ck, a, b) in rows::<Hit>(session, query).await? {
            // A partition with nothing but its static row answers with a row of nulls.
            if let Some(ck) = ck {
                tally.rows.insert((pk, ck), [a, b].map(|counter| counter.map(|counter| counter.0)));
            }
        }
        let query = format!("SELECT DISTINCT pk, st FROM {keyspace}.hits");
        for (pk, st) in rows::<(i32, Option<Counter>)>(session, query).await? {
            tally.statics.extend(st.map(|st| (pk, st.0)));
        }
        for (k, n) in rows::<(i32, Counter)>(session, format!("SELECT k, n FROM {keyspace}.plain")).await? {
            tally.plain.insert(k, n.0);
        }
        Ok(tally)
    }

    /// Fails where `found` is another, naming the first differences.
    ///
    /// # Errors
    /// The differences.
    pub fn expect(&self, what: &str, found: &Self) -> Result<()> {
        let rows = differences(&self.rows, &found.rows);
        let (statics, plain) = (differences(&self.statics, &found.statics), differences(&self.plain, &found.plain));
        ensure!(self == found, "{what}: rows {rows}; static rows {statics}; plain {plain}");
        Ok(())
    }
}

fn add(counters: &mut BTreeMap<i32, i64>, key: i32, by: i64) {
    let counter = counters.entry(key).or_default();
    *counter = counter.wrapping_add(by);
}

fn differences<K: Ord + Copy + std::fmt::Debug, V: PartialEq + std::fmt::Debug>(
    expected: &BTreeMap<K, V>,
    found: &BTreeMap<K, V>,
) -> String {
    let keys: BTreeSet<K> = expected.keys().chain(found.keys()).copied().collect();
    let other: Vec<K> = keys.into_iter().filter(|key| expected.get(key) != found.get(key)).collect();
    let told = other.iter().take(5).map(|key| format!("{key:?}: {:?}, found {:?}", expected.get(key), found.get(key)));
    format!("{} differ: {}", other.len(), told.collect::<Vec<_>>().join("; "))
}

async fn rows<R>(session: &Session, query: String) -> Result<Vec<R>>
where
    R: for<'frame, 'metadata> DeserializeRow<'frame, 'metadata> + 'static,
{
    let mut statement = Statement::new(query.clone());
    statement.set_consistency(Consistency::All);
    let pager = session.query_iter(statement, ()).await.with_context(|| query.clone())?;
    pager.rows_stream::<R>()?.try_collect().await.context(query)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tally_adds_and_forgets() {
        let mut tally = Tally::default();
        tally.apply(&[
            Step::Add((1, 1), 0, 5),
            Step::Add((1, 1), 0, -5),
            Step::Add((1, 2), 1, 1),
            Step::AddStatic(1, 2),
        ]);
        assert_eq!(tally.rows, BTreeMap::from([((1, 1), [Some(0), None]), ((1, 2), [None, Some(1)])]));
        let missed =
            [Step::DeleteCell((1, 2), 1), Step::Add((2, 1), 0, 1), Step::DeleteRow((9, 9)), Step::AddPlain(1, 1)];
        assert_eq!(tally.disagreements(&missed), (2, 1));
        assert_eq!(tally.disagreements(&[Step::DeletePartition(1)]), (3, 0));
        tally.apply(&[Step::DeletePartition(1)]);
        assert_eq!(tally, Tally::default());
    }
}
