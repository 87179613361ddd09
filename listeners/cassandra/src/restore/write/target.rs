//! A destination table: its prepared statements, the level that requests run at, and what may be tried again.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use scylla::{
    client::session::Session,
    errors::{DbError, ExecutionError, RequestAttemptError},
    policies::retry::FallthroughRetryPolicy,
    statement::{Consistency, prepared::PreparedStatement},
};
use tidemark_cassandra_format::schema::TableSchema;
use tidemark_catalog::ids::ObjectName;
use tidemark_gateway::{
    Env,
    backoff::{self, Jitter},
};
use tidemark_listener_core::failure::Failure;
use tidemark_records::restore::refusals::Refusals;

use crate::{
    connect, level,
    restore::write::{
        answer::is_about_values,
        size::WriteSizes,
        statements::{
            rows::Clock,
            shapes::{Shapes, StatementId},
            ttl::Lifetimes,
        },
    },
};

/// Tries of one piece after its first failure.
const RETRIES: u32 = 8;

/// Most statements that are kept besides those of the table's shapes.
const EXTRA_STATEMENTS: usize = 500;

/// First and longest wait between two tries.
const FIRST_BACKOFF: Duration = Duration::from_millis(200);
const LONGEST_BACKOFF: Duration = Duration::from_secs(10);

/// The level of requests: the wanted one, until a replica is away and the caller declared another.
#[derive(Debug)]
pub struct Level {
    wanted: Consistency,
    declared: Option<Consistency>,
    fallen: AtomicBool,
}

impl Level {
    /// A level with, where the caller declared one, what to fall back to.
    pub fn new(wanted: Consistency, declared: Option<Consistency>) -> Self {
        Self { wanted, declared: declared.filter(|d| *d != wanted), fallen: AtomicBool::new(false) }
    }

    /// The level to use now.
    pub fn now(&self) -> Consistency {
        if self.has_fallen() { self.declared.unwrap_or(self.wanted) } else { self.wanted }
    }

    /// True once a replica was away and requests run at the declared level.
    pub fn has_fallen(&self) -> bool {
        self.fallen.load(Ordering::Relaxed)
    }

    /// Falls back to the declared level; false where there is none or it is in use already.
    fn fall(&self) -> bool {
        self.declared.is_some() && !self.fallen.swap(true, Ordering::Relaxed)
    }
}

/// Levels that an undo can read at: those that meet writes that were acknowledged at a quorum.
const READ_LEVELS: [Consistency; 4] =
    [Consistency::All, Consistency::Quorum, Consistency::EachQuorum, Consistency::LocalQuorum];

/// Parses the name of a level that an undo can read at, in any case.
pub fn parse_read_level(name: &str) -> Option<Consistency> {
    level::parse(name).filter(|level| READ_LEVELS.contains(level))
}

/// A table of the destination, ready to be written and read back.
pub struct Target {
    /// The session.
    pub session: Arc<Session>,
    /// Its schema: that of the version.
    pub schema: Arc<TableSchema>,
    /// Keyspace and table at the destination.
    pub name: (String, String),
    /// Its statements.
    pub shapes: Shapes,
    prepared: Vec<(StatementId, PreparedStatement)>,
    /// Statements made on the way, by text.
    extra: tokio::sync::Mutex<BTreeMap<String, PreparedStatement>>,
    /// Level of requests.
    pub level: Arc<Level>,
    /// Clocks.
    pub env: Env,
    /// What becomes of expiries.
    pub lifetimes: Lifetimes,
    /// When the restore began to write, s since 1970.
    pub started: u32,
    /// Time after which a write that was not acknowledged is given up at the destination.
    pub write_timeout: Duration,
    /// True where the destination can tell the times of elements (5.0 on).
    pub element_times: bool,
    /// True where the destination table was allowed to hold rows before.
    pub shared: bool,
    /// Longest time until a write was acknowledged, s, rounded up.
    pub slowest_write_seconds: Arc<AtomicU32>,
    /// What the destination takes in one write.
    pub sizes: WriteSizes,
    /// Where rows that cannot be written are kept.
    pub refusals: Arc<Refusals>,
}

/// What a target is made of.
pub struct TargetSettings {
    /// Keyspace and table.
    pub name: (String, String),
    /// Level of requests.
    pub level: Arc<Level>,
    /// Clocks.
    pub env: Env,
    /// What becomes of expiries.
    pub lifetimes: Lifetimes,
    /// When the restore began to write, s since 1970.
    pub started: u32,
    /// The destination's write timeout for the table's kind.
    pub write_timeout: Duration,
    /// True from Cassandra 5.0 on.
    pub element_times: bool,
    /// True where the table may hold other rows.
    pub shared: bool,
    /// Where the longest write is kept.
    pub slowest_write_seconds: Arc<AtomicU32>,
    /// What the destination takes in one write.
    pub sizes: WriteSizes,
    /// Where rows that cannot be written are kept.
    pub refusals: Arc<Refusals>,
}

impl Target {
    /// Prepares the statements of a table.
    ///
    /// # Errors
    /// `TM-REST-0301` where the destination refuses a statement.
    pub async fn prepare(
        session: Arc<Session>,
        schema: Arc<TableSchema>,
        settings: TargetSettings,
    ) -> Result<Self, Failure> {
        let shapes = Shapes::of(&schema, &settings.name.0, &settings.name.1);
        let mut prepared = Vec::new();
        // Counters are written by statements of their own.
        let ids = if schema.has_counters() { Vec::new() } else { ids(&shapes) };
        for id in ids {
            prepared.push((id, prepare(&session, &shapes.get(id).cql).await?));
        }
        let TargetSettings {
            name,
            level,
            env,
            lifetimes,
            started,
            write_timeout,
            element_times,
            shared,
            slowest_write_seconds,
            sizes,
            refusals,
        } = settings;
        let extra = tokio::sync::Mutex::new(BTreeMap::new());
        Ok(Self {
            session,
            schema,
            name,
            shapes,
            prepared,
            extra,
            level,
            env,
            lifetimes,
            started,
            write_timeout,
            element_times,
            shared,
            slowest_write_seconds,
            sizes,
            refusals,
        })
    }

    /// The prepared statement of this id, at the level of now.
    pub fn statement(&self, id: StatementId) -> PreparedStatement {
        let (_, found) = self.prepared.iter().find(|(known, _)| *known == id).expect("all statements were prepared");
        self.at_level(found.clone())
    }

    /// A statement that is prepared on its first use, at the level of now.
    ///
    /// # Errors
    /// `TM-REST-0301`.
    pub async fn extra(&self, cql: &str) -> Result<PreparedStatement, Failure> {
        let mut extra = self.extra.lock().await;
        if let Some(found) = extra.get(cql) {
            return Ok(self.at_level(found.clone()));
        }
        let made = prepare(&self.session, cql).await?;
        if extra.len() >= EXTRA_STATEMENTS {
            extra.clear();
        }
        extra.insert(cql.to_owned(), made.clone());
        Ok(self.at_level(made))
    }

    fn at_level(&self, mut statement: PreparedStatement) -> PreparedStatement {
        statement.set_consistency(self.level.now());
        statement
    }

    /// Seconds since 1970 by our clock.
    pub fn now(&self) -> u32 {
        u32::try_from(self.env.now().as_second()).unwrap_or(u32::MAX)
    }

    /// The rule for expiries of what is written at `now`, s since 1970.
    pub fn clock(&self, now: u32) -> Clock {
        Clock { lifetimes: self.lifetimes, now }
    }

    /// `keyspace.table`, quoted.
    pub fn quoted(&self) -> String {
        format!(
            "{}.{}",
            crate::restore::schema::cql::quote(&self.name.0),
            crate::restore::schema::cql::quote(&self.name.1)
        )
    }

    /// Keeps a row that cannot be written, by its key in words, among the refusals.
    ///
    /// # Errors
    /// `error` itself where the first refusal is to end the restore.
    pub(super) fn refuse(&self, key: String, error: Failure) -> Result<(), Failure> {
        match ObjectName::new([self.name.0.as_str(), self.name.1.as_str()]) {
            Ok(object) => self.refusals.add(&object, Some(key), error),
            Err(_) => Err(error),
        }
    }

    /// `ks/t partition key 0a0b, clustering …`, for errors.
    pub fn place(&self, key: &[Bytes], clustering: &[Bytes]) -> String {
        let hex = |values: &[Bytes]| values.iter().map(hex::encode).collect::<Vec<_>>().join(":");
        let (keyspace, table) = &self.name;
        let row = if clustering.is_empty() { String::new() } else { format!(", row 0x{}", hex(clustering)) };
        format!("{keyspace}/{table}, partition 0x{}{row}", hex(key))
    }

    /// Waits before the next try, longer each time; for writes whose outcome matters, until no try before can still land.
    ///
    /// # Errors
    /// The error that was given, where no further try may help; it is permanent then or the budget is spent.
    pub async fn wait_to_retry(&self, error: WriteFailure, tries: u32, settle: bool) -> Result<(), Failure> {
        let fell = error.unavailable && self.level.fall();
        if !fell && (!error.error.retryable || tries >= RETRIES) {
            return Err(error.error);
        }
        let backoff = backoff::wait(FIRST_BACKOFF, LONGEST_BACKOFF, tries, Jitter::None);
        let wait = if settle { backoff.max(self.write_timeout * 2) } else { backoff };
        tokio::time::sleep(wait).await;
        Ok(())
    }
}

fn ids(shapes: &Shapes) -> Vec<StatementId> {
    let regular = (0..shapes.regular.len()).map(StatementId::Regular);
    let statics = (0..shapes.statics.len()).map(StatementId::Static);
    std::iter::once(StatementId::Insert).chain(regular).chain(statics).collect()
}

/// Prepares a statement that the driver never sends twice by itself: whether that is safe is known here only.
async fn prepare(session: &Session, cql: &str) -> Result<PreparedStatement, Failure> {
    let refused =
        |source: scylla::errors::PrepareError| connect::error("TM-REST-0301", &format!("prepare {cql:?}"), &source);
    let mut prepared = session.prepare(cql).await.map_err(refused)?;
    prepared.set_retry_policy(Some(Arc::new(FallthroughRetryPolicy::new())));
    prepared.set_page_size(500);
    Ok(prepared)
}

/// A request that failed.
pub struct WriteFailure {
    /// For people and for the task.
    pub error: Failure,
    /// True where too few replicas are alive for the level.
    pub unavailable: bool,
    /// True where the answer is about the values that were sent.
    pub about_values: bool,
}

impl From<Failure> for WriteFailure {
    fn from(error: Failure) -> Self {
        Self { error, unavailable: false, about_values: false }
    }
}

impl WriteFailure {
    /// What `code` and `what` say, because of `source`.
    pub fn of(code: &'static str, what: &str, source: &ExecutionError) -> Self {
        Self {
            error: connect::error(code, what, source),
            unavailable: is_unavailable(source),
            about_values: is_about_values(source),
        }
    }
}

/// True where fewer replicas are alive than the level asks for, or they did not answer in time at ALL.
fn is_unavailable(error: &ExecutionError) -> bool {
    use RequestAttemptError::DbError as Answer;
    match error {
        ExecutionError::LastAttemptError(Answer(DbError::Unavailable { .. }, _)) => true,
        ExecutionError::LastAttemptError(Answer(DbError::WriteTimeout { consistency, .. }, _)) => {
            *consistency == Consistency::All
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_undo_reads_at_levels_that_meet_a_quorum() {
        assert_eq!(parse_read_level("each_quorum"), Some(Consistency::EachQuorum));
        assert_eq!(["one", "local_one", "two", "three", "any"].map(parse_read_level), [None; 5]);
    }

    #[test]
    fn a_level_falls_once_and_only_to_what_was_declared() {
        let level = Level::new(Consistency::All, None);
        assert!(!level.fall());
        let level = Level::new(Consistency::All, Some(Consistency::Quorum));
        assert_eq!(level.now(), Consistency::All);
        assert!(level.fall() && !level.fall());
        assert_eq!(level.now(), Consistency::Quorum);
    }
}
