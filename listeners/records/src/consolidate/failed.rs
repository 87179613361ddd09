//! Why the thread that makes the segments of a range ended, and the failure that it becomes.

use tidemark_gateway::causes::joined;
use tidemark_listener_core::failure::Failure;

use super::watch::Stopped;
use crate::segments::{
    CutError,
    upload::{Closed, Error},
};

/// Why segments are not made, within [`stored_while`](crate::segments::upload::stored_while). `E` is why a record does not fit.
///
/// What the stream itself fails of is not told here: ask [`Watched::failed`](super::watch::Watched::failed) first.
#[derive(Debug, thiserror::Error)]
pub enum Failed<E: std::error::Error + 'static> {
    /// The stream of records ended before its end.
    #[error(transparent)]
    Stopped(#[from] Stopped),
    /// A segment is not taken any more.
    #[error(transparent)]
    Closed(#[from] Closed),
    /// A segment cannot be made.
    #[error(transparent)]
    Cut(#[from] CutError<E>),
}

/// The failure of segments that were not made or stored, under the source's `code`: cancelled where the work was, retryable where
/// the store failed or the disk of temporary files did.
pub fn failure<E: std::error::Error + 'static>(error: &Error<Failed<E>>, code: &'static str) -> Failure {
    let retryable = match error {
        Error::Made(Failed::Stopped(Stopped::Cancelled)) => return Failure::cancelled(),
        Error::Store(source) => source.is_retryable(),
        Error::Made(Failed::Cut(CutError::Spool(_))) => true,
        Error::Thread(_) | Error::Made(_) => false,
    };
    Failure { retryable, ..Failure::new(code, joined(error)) }
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    #[test]
    fn cancelled_work_is_no_failure_of_the_source() {
        let of = |failed: Failed<io::Error>| failure(&Error::Made(failed), "TM-NUM-0002");
        assert!(of(Stopped::Cancelled.into()).cancelled);
        let full = of(CutError::Spool(io::Error::other("disk full")).into());
        assert_eq!((full.code.as_ref(), full.message.as_str()), ("TM-NUM-0002", "spool a segment: disk full"));
        assert!(full.retryable && !full.cancelled);
        let record = of(CutError::Record(io::Error::other("too long")).into());
        assert!(!record.retryable && record.message.ends_with("too long"), "{record:?}");
    }
}
