//! Coordination: a small transactional key-value store with revisions, watches and leases.
//!
//! One trait, two backends behind one [`conformance`] suite. The trait keeps to what etcd can do, so that a daemon on one
//! node ([`embedded`]) and those of a cluster ([`etcd`]) behave the same. Nothing that a restore needs is kept here.
//!
//! What protects data is the compare in every [`Coordinator::txn`] and the create-only manifest in the store; a lease is a
//! hint. After a crash a transaction is there as a whole or not at all; leases of the previous run are gone with their keys.

pub mod conformance;
pub mod embedded;
pub mod etcd;
pub mod lease;
pub mod watch;

use std::time::Duration;

use async_trait::async_trait;

pub use lease::{Hold, Lease, LeaseId};
pub use watch::{Event, EventKind, Watch, WatchEvent};

/// Most operations of one transaction, compares not counted.
pub const MAX_OPS: usize = 100;

/// Largest value, bytes.
pub const MAX_VALUE_BYTES: usize = 64 << 10;

/// Most bytes of keys and values that a transaction puts, both lists of operations together.
pub const MAX_PUT_BYTES: usize = 5 << 18;

/// Place of a transaction in the order of all transactions, from 1; 0 stands for "never".
pub type Revision = u64;

/// A stored key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kv {
    /// The key.
    pub key: String,
    /// Its value, at most [`MAX_VALUE_BYTES`].
    pub value: Vec<u8>,
    /// Revision at which it came to be since it was last absent.
    pub create_revision: Revision,
    /// Revision of its last put.
    pub mod_revision: Revision,
    /// Lease it hangs on, where it does.
    pub lease: Option<LeaseId>,
}

/// A condition of a transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cmp {
    /// The key was created at this revision; 0: it does not exist.
    CreateRevision(String, Revision),
    /// The key was last put at this revision; 0: it does not exist.
    ModRevision(String, Revision),
    /// The key exists with this value.
    Value(String, Vec<u8>),
    /// The generation of the coordinator's state is this one, as it is stored: a caller that missed its rise is refused.
    Generation(u64),
}

/// An operation of a transaction. Of several changes of one key the last one stays.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Op {
    /// Creates or replaces a key; without a lease it leaves the one it hung on.
    Put {
        /// The key.
        key: String,
        /// The value.
        value: Vec<u8>,
        /// Lease to hang it on.
        lease: Option<LeaseId>,
    },
    /// Removes a key, where it exists.
    Delete(String),
    /// Reads a key, as it is after the operations before.
    Get(String),
}

impl Op {
    /// A put without a lease.
    pub fn put(key: impl Into<String>, value: impl Into<Vec<u8>>) -> Self {
        Self::Put { key: key.into(), value: value.into(), lease: None }
    }

    /// A put that hangs on a lease.
    pub fn put_leased(key: impl Into<String>, value: impl Into<Vec<u8>>, lease: LeaseId) -> Self {
        Self::Put { key: key.into(), value: value.into(), lease: Some(lease) }
    }

    /// A delete.
    pub fn delete(key: impl Into<String>) -> Self {
        Self::Delete(key.into())
    }

    /// The key that it is about.
    pub fn key(&self) -> &str {
        match self {
            Self::Put { key, .. } | Self::Delete(key) | Self::Get(key) => key,
        }
    }
}

/// What a transaction did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// True where all conditions held and the first list of operations ran; otherwise the second ran.
    pub succeeded: bool,
    /// Revision of this transaction where it changed something, of the last one otherwise. A backend may give one that deletes what is
    /// not there a revision too.
    pub revision: Revision,
    /// Answers of the [`Op::Get`]s that ran, in order.
    pub gets: Vec<Option<Kv>>,
}

/// Whether something may have happened although it failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Applied {
    /// Nothing was changed.
    Not,
    /// It may have been applied; only reading tells.
    Unknown,
}

/// Why the coordinator did not answer as asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A transaction or value beyond the bounds.
    #[error("{what} is {size}, the limit is {limit}")]
    Limit {
        /// What is too large.
        what: String,
        /// Its size.
        size: usize,
        /// The bound.
        limit: usize,
    },
    /// A put names a lease that does not exist any more.
    #[error("lease {0} is gone")]
    LeaseGone(LeaseId),
    /// The backend failed.
    #[error("coordinator: {operation}")]
    Backend {
        /// What was being done.
        operation: &'static str,
        /// Whether it may have been applied.
        applied: Applied,
        /// Why.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

impl Error {
    /// Whether the operation may have been applied although it failed.
    pub fn applied(&self) -> Applied {
        match self {
            Self::Limit { .. } | Self::LeaseGone(_) => Applied::Not,
            Self::Backend { applied, .. } => *applied,
        }
    }
}

/// A transactional key-value store with revisions that rise over all keys.
#[async_trait]
pub trait Coordinator: Send + Sync + 'static {
    /// Generation of this coordinator's state: 0 until a store is attached, see [`crate::generation`]; never falls.
    fn generation(&self) -> u64;

    /// What tells this state from every copy of it: an older copy that is put in its place does not know it. Generations are taken for
    /// it ([`crate::generation`]). The state of one node, which anybody can copy, draws it at each opening; that of a cluster would
    /// keep it until its data is lost or rolled back.
    fn opening(&self) -> &str;

    /// The cluster of daemons that shares this state; `None` where one daemon alone has it.
    fn cluster(&self) -> Option<&str> {
        None
    }

    /// Says that this state is older than what was done under it, as a store shows. A shared one gets another opening then, and nothing
    /// is done any more by whoever opened it before. One of a single daemon is taken for another one at each opening anyway.
    ///
    /// # Errors
    /// [`Error::Backend`].
    async fn rolled_back(&self) -> Result<(), Error> {
        Ok(())
    }

    /// Raises the generation, durably, where `to` is higher.
    ///
    /// # Errors
    /// [`Error::Backend`].
    async fn raise_generation(&self, to: u64) -> Result<(), Error>;

    /// The key as it is now.
    ///
    /// # Errors
    /// [`Error::Backend`].
    async fn get(&self, key: &str) -> Result<Option<Kv>, Error>;

    /// At most `limit` keys that start with `prefix`, ascending, those above `after` where given; and the revision at which
    /// they were read.
    ///
    /// # Errors
    /// [`Error::Backend`].
    async fn list(&self, prefix: &str, limit: usize, after: Option<&str>) -> Result<(Vec<Kv>, Revision), Error>;

    /// Runs `then` where all of `when` hold, else `otherwise`; as a whole, durable when it returns.
    ///
    /// # Errors
    /// [`Error::Limit`] beyond [`MAX_OPS`], [`MAX_VALUE_BYTES`] and [`MAX_PUT_BYTES`]; [`Error::LeaseGone`]; [`Error::Backend`].
    async fn txn(&self, when: Vec<Cmp>, then: Vec<Op>, otherwise: Vec<Op>) -> Result<Outcome, Error>;

    /// Changes under `prefix` from revision `from` on, inclusive.
    ///
    /// # Errors
    /// [`Error::Backend`].
    async fn watch(&self, prefix: &str, from: Revision) -> Result<Watch, Error>;

    /// A lease that is kept alive until it is dropped or revoked.
    ///
    /// # Errors
    /// [`Error::Backend`].
    async fn lease(&self, ttl: Duration) -> Result<Lease, Error>;
}

/// Refuses what a backend may refuse, whatever the backend.
pub(crate) fn check_limits(then: &[Op], otherwise: &[Op]) -> Result<(), Error> {
    let refused = |what: String, size, limit| Err(Error::Limit { what, size, limit });
    let mut bytes = 0;
    for ops in [then, otherwise] {
        if ops.len() > MAX_OPS {
            return refused("operations of a transaction".to_owned(), ops.len(), MAX_OPS);
        }
        for op in ops {
            let Op::Put { key, value, .. } = op else { continue };
            if value.len() > MAX_VALUE_BYTES {
                return refused(format!("value of {key}, bytes"), value.len(), MAX_VALUE_BYTES);
            }
            bytes += key.len() + value.len();
        }
    }
    if bytes > MAX_PUT_BYTES {
        return refused("what a transaction puts, bytes".to_owned(), bytes, MAX_PUT_BYTES);
    }
    Ok(())
}

/// All keys under `prefix`, in pages, and the revision of the first page.
///
/// # Errors
/// As [`Coordinator::list`].
pub async fn list_all(coordinator: &dyn Coordinator, prefix: &str) -> Result<(Vec<Kv>, Revision), Error> {
    const PAGE: usize = 500;
    let (mut all, revision) = coordinator.list(prefix, PAGE, None).await?;
    let mut full = all.len() == PAGE;
    while full {
        let after = all.last().map(|kv| kv.key.clone());
        let (page, _) = coordinator.list(prefix, PAGE, after.as_deref()).await?;
        full = page.len() == PAGE;
        all.extend(page);
    }
    Ok((all, revision))
}
