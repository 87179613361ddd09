//! Writing objects under new names.
//!
//! A stored name is never written twice, and an answer other than success proves nothing: a failed create may have landed,
//! and "already exists" may be the answer to an own earlier try or to a conflict where nothing landed. So after any answer
//! but success the object is read back and compared. A crash leaves the object whole or absent, or an unfinished multipart
//! upload that no reader sees.
//!
//! Reading back from a local disk proves less: it shows what is in memory, though the disk may have failed to take it. There
//! only the store's own word counts, which is also "already exists" (`local`).

mod stream;

use std::{pin::pin, sync::Arc, time::Duration};

use bytes::Bytes;
use object_store::{ObjectStore, PutMode, PutOptions, PutResult, path::Path};

use crate::{
    Stored,
    backoff::{self, Jitter},
    fetch,
    limits::Queue,
    local, retry,
};

pub use stream::{UploadOptions, put_file_new, put_reader_new};

/// Longest time of one try to create an object.
const PUT_TIMEOUT: Duration = Duration::from_secs(120);

/// Tries of one create that the store turned away though the object is absent, or that a local disk did not take.
const PUT_TRIES: u32 = 10;

/// How long a create is tried again that a busy store refuses or does not answer; as long as other requests ([`retry::Retry`]).
const PUT_BUDGET: Duration = Duration::from_secs(15 * 60);

/// Bounds of the pauses between these tries.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// Why an object was not written. After any of these the name must not be used for other bytes.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The name holds other bytes.
    #[error("{path} exists with other bytes")]
    Taken {
        /// The name.
        path: Path,
    },
    /// The store refused or failed, and the object is absent.
    #[error("write {path}")]
    Write {
        /// The name.
        path: Path,
        /// Why.
        source: object_store::Error,
    },
    /// The store did not answer, and the object is absent so far.
    #[error("write {path}: no answer within {} s", .after.as_secs())]
    NoAnswer {
        /// The name.
        path: Path,
        /// How long each try waited.
        after: Duration,
    },
    /// The write failed, and reading back failed too.
    #[error("whether {path} was written is not known")]
    Unknown {
        /// The name.
        path: Path,
        /// Why it cannot be read back.
        source: fetch::Error,
    },
    /// The store acknowledged, but holds something else.
    #[error("the store acknowledged {path} but does not hold what was sent")]
    Damaged {
        /// The name.
        path: Path,
        /// What was found.
        source: fetch::Error,
    },
    /// The bytes to write cannot be read.
    #[error("read the bytes for {path}")]
    Source {
        /// The name.
        path: Path,
        /// Why.
        source: std::io::Error,
    },
    /// More parts than stores accept.
    #[error("{path} has more than {limit} bytes, the most with this part size")]
    TooLong {
        /// The name.
        path: Path,
        /// The bound.
        limit: u64,
    },
}

impl Error {
    /// Whether the same call, with the same bytes, may succeed later.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Write { source, .. } => is_unclear(source),
            Self::NoAnswer { .. } => true,
            Self::Unknown { source, .. } => source.is_retryable(),
            _ => false,
        }
    }
}

/// What one try to create an object came to, after reading back.
#[derive(Debug)]
pub enum Attempt {
    /// The object exists with exactly these bytes.
    Stored(Stored),
    /// The object exists with other bytes.
    Taken,
    /// The object does not exist (yet: a try without an answer may still land), or is in the memory of a local store that did not
    /// bring it to its disk; trying again with the same bytes is right where the error [is retryable](Error::is_retryable).
    Absent(Error),
}

/// Tries once to create `path` with exactly `bytes`, and reads back on any answer but success.
///
/// # Errors
/// [`Error::Unknown`] where reading back fails.
pub async fn try_create(
    store: &Arc<dyn ObjectStore>,
    path: &Path,
    bytes: &Bytes,
    limit: Duration,
) -> Result<Attempt, Error> {
    let stored = Stored::of(bytes);
    let failure = match create(store, path, bytes, limit).await {
        Some(Ok(_)) => return Ok(Attempt::Stored(stored)),
        Some(Err(source)) => Error::Write { path: path.clone(), source },
        None => Error::NoAnswer { path: path.clone(), after: limit },
    };
    match fetch::lasts(store, path, &stored).await {
        Ok(lasts) if lasts || exists(&failure) => Ok(Attempt::Stored(stored)),
        Ok(_) => Ok(Attempt::Absent(failure)),
        Err(fetch::Error::Size { .. } | fetch::Error::Digest { .. }) => Ok(Attempt::Taken),
        Err(error) if error.is_absent() || local::is_unsynced(&error) => Ok(Attempt::Absent(failure)),
        Err(source) => Err(Error::Unknown { path: path.clone(), source }),
    }
}

/// The answer to a create; `None` where there is none for so long after its turn came.
async fn create(
    store: &Arc<dyn ObjectStore>,
    path: &Path,
    bytes: &Bytes,
    limit: Duration,
) -> Option<object_store::Result<PutResult>> {
    let queue = Queue::default();
    let mut options = PutOptions::from(PutMode::Create);
    options.extensions.insert(queue.clone());
    let mut create = store.put_opts(path, bytes.clone().into(), options);
    loop {
        match tokio::time::timeout(limit, &mut create).await {
            Ok(answer) => return Some(answer),
            Err(_) if queue.waits() => {}
            Err(_) => return None,
        }
    }
}

/// Creates `path` with exactly `bytes`; where it exists with the same bytes already, that is the success of an earlier try.
///
/// Not cancel safe: a dropped call may still write the object.
///
/// # Errors
/// [`Error::Taken`] where the name holds other bytes; [`Error::Write`] and [`Error::NoAnswer`] where the object is absent
/// after all tries; [`Error::Unknown`].
pub async fn put_new(store: &Arc<dyn ObjectStore>, path: &Path, bytes: impl Into<Bytes>) -> Result<Stored, Error> {
    let bytes = bytes.into();
    let mut budget = pin!(tokio::time::sleep(PUT_BUDGET));
    let (mut tries, mut turned_away) = (0, 0);
    loop {
        tries += 1;
        let error = match try_create(store, path, &bytes, PUT_TIMEOUT).await? {
            Attempt::Stored(stored) => return Ok(stored),
            Attempt::Taken => return Err(Error::Taken { path: path.clone() }),
            Attempt::Absent(error) => error,
        };
        turned_away += u32::from(!is_busy(&error));
        let spent = turned_away == PUT_TRIES || futures::poll!(budget.as_mut()).is_ready();
        if spent || !error.is_retryable() {
            return Err(error);
        }
        tracing::debug!(%path, tries, %error, "nothing was written, try again");
        tokio::time::sleep(pause_before(tries, path)).await;
    }
}

/// Whether a store behind a network does not answer or says that it is busy.
fn is_busy(error: &Error) -> bool {
    match error {
        Error::Write { source, .. } => retry::is_transient(source) && !local::is_unsynced(source),
        Error::NoAnswer { .. } => true,
        _ => false,
    }
}

/// Tries of one name need no randomness among themselves; those of different names are spread by the digest of the name.
fn pause_before(tries: u32, path: &Path) -> Duration {
    let noise = crate::Digest::of(format!("{path}#{tries}").as_bytes()).noise();
    backoff::wait(FIRST_PAUSE, LONGEST_PAUSE, tries - 1, Jitter::Full(noise))
}

/// The answer of a store that proved the name to be taken, and on a local disk to last.
fn exists(failure: &Error) -> bool {
    matches!(failure, Error::Write { source: object_store::Error::AlreadyExists { .. }, .. })
}

/// A conflict may mean that nothing landed; a transient failure says so itself. All else is a refusal.
fn is_unclear(error: &object_store::Error) -> bool {
    let conflict =
        matches!(error, object_store::Error::AlreadyExists { .. } | object_store::Error::Precondition { .. });
    conflict || retry::is_transient(error)
}

#[cfg(test)]
mod tests;
