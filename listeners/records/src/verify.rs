//! Proof of an entry: every page and segment that it names is read again and compared with what it says.
//!
//! Checked for every kind of source are digests (of everything read), that ranges ascend, that each segment begins and ends with
//! the keys and has the number of records that its range says, that records and stored bytes add up to the entry's figures. What
//! a segment holds in between, its [`SegmentProver`] checks. Nothing is taken from the source.

mod ends;
mod error;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use object_store::ObjectStore;
use tidemark_catalog::{
    content::{self, Records, SegmentRef},
    entry::Entry,
    figures::{Counts, Figures},
    identities,
    keys::Key,
};
use tidemark_listener_core::{
    failure::Failure,
    progress::{Progress, ProgressSink},
};
use tokio::runtime::Handle;

use crate::segments::{SegmentFile, StoredSegment};
pub use ends::Ends;
use error::Error;
pub use error::Refused;

/// What a kind of source knows of its segments, of one object.
pub trait SegmentProver: Send + Sync + 'static {
    /// Reads a segment to its end and checks what it holds: that it is of a format that is read, that keys ascend
    /// ([`Ends`] does that), that records make sense. Blocking.
    ///
    /// # Errors
    /// [`Refused`].
    fn prove(&self, file: SegmentFile) -> Result<Found, Refused>;

    /// Compares the entry's own figures with what was counted of all its segments.
    ///
    /// # Errors
    /// What is wrong, for people.
    fn check_own(&self, figures: &Figures, counted: &Counts) -> Result<(), String>;
}

/// What a segment holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// First and last key; `None` where there is no record.
    pub ends: Option<(Key, Key)>,
    /// Records that a reader sees at the entry's cut.
    pub records: u64,
    /// What only the kind of source counts.
    pub own: Counts,
}

/// Reads every object that the entry names and proves it, one segment after the other; gives the number of stored records (Parquet
/// rows) read. Reports bytes of segments.
///
/// # Errors
/// `code`, naming the object, the page or segment, and what is wrong with it; retryable where the store failed.
pub async fn entry(
    store: &Arc<dyn ObjectStore>,
    entry: &Entry,
    prover: impl SegmentProver,
    code: &'static str,
    progress: ProgressSink,
) -> Result<u64, Failure> {
    let verifier =
        Verifier { object: entry.object.to_string(), store: store.clone(), prover: Arc::new(prover), progress };
    verifier.run(entry).await.map_err(|error: Error| error.coded(code))
}

/// Sums over segments.
#[derive(Default)]
struct Sums {
    stored_records: u64,
    stored_bytes: u64,
    records: u64,
    own: Counts,
}

impl Sums {
    fn add(&mut self, range: &SegmentRef, found: Found) {
        self.stored_records = self.stored_records.saturating_add(range.records);
        self.stored_bytes = self.stored_bytes.saturating_add(range.stored.size);
        self.records = self.records.saturating_add(found.records);
        for (name, count) in found.own {
            let sum = self.own.entry(name).or_default();
            *sum = sum.saturating_add(count);
        }
    }
}

struct Verifier<P> {
    object: String,
    store: Arc<dyn ObjectStore>,
    prover: Arc<P>,
    progress: ProgressSink,
}

impl<P: SegmentProver> Verifier<P> {
    async fn run(&self, entry: &Entry) -> Result<u64, Error> {
        let records = entry.content.records().ok_or_else(|| self.entry("it holds blocks, not records".to_owned()))?;
        if !records.increments.is_empty() || !records.retractions.is_empty() {
            let what = "it has increments or retractions, which this build does not verify";
            return Err(self.entry(what.to_owned()));
        }
        self.check_merged(records).await?;
        let mut sums = Sums::default();
        let ranges = content::ranges(&self.store, &records.baseline).await;
        for range in ranges.map_err(|source| Error::Page { object: self.object.clone(), source })? {
            let found = self.segment(&range).await?;
            sums.add(&range, found);
            self.report(&sums, entry.figures.kept_bytes());
        }
        self.check_figures(&entry.figures, &sums)?;
        Ok(sums.stored_records)
    }

    async fn check_merged(&self, records: &Records) -> Result<(), Error> {
        let read = identities::read(&self.store, &records.merged).await;
        read.map(drop).map_err(|source| Error::Merged { object: self.object.clone(), source })
    }

    async fn segment(&self, range: &SegmentRef) -> Result<Found, Error> {
        let segment = StoredSegment::new(&self.store, range.clone(), Handle::current());
        let scan = Scan { object: self.object.clone(), segment, prover: self.prover.clone() };
        let scanned = tokio::task::spawn_blocking(move || scan.run()).await;
        scanned.map_err(|error| Error::Thread { object: self.object.clone(), reason: error.to_string() })?
    }

    fn check_figures(&self, figures: &Figures, sums: &Sums) -> Result<(), Error> {
        self.prover.check_own(figures, &sums.own).map_err(|what| self.entry(what))?;
        for (what, expected, found) in
            [("records", figures.records, sums.records), ("bytes of segments", figures.kept_bytes(), sums.stored_bytes)]
        {
            if expected != found {
                return Err(self.entry(format!("the entry counts {expected} {what}, found are {found}")));
            }
        }
        Ok(())
    }

    fn report(&self, sums: &Sums, total: u64) {
        let (phase, unit) = (format!("verify {}", self.object), "bytes".to_owned());
        (self.progress)(Progress { phase, done: sums.stored_bytes, total, unit });
    }

    fn entry(&self, what: String) -> Error {
        Error::Entry { object: self.object.clone(), what }
    }
}

/// The blocking part: one segment.
struct Scan<P> {
    object: String,
    segment: StoredSegment,
    prover: Arc<P>,
}

impl<P: SegmentProver> Scan<P> {
    fn run(&self) -> Result<Found, Error> {
        let file = self.segment.open().map_err(|source| Error::Open { object: self.object.clone(), source })?;
        let stored = file.records();
        let found = self.prover.prove(file).map_err(|refused| self.refused(refused))?;
        let SegmentRef { first, last, records, .. } = self.segment.reference();
        if stored != *records {
            return Err(self.wrong(format!("it has {stored} records, its range says {records}")));
        }
        match &found.ends {
            Some((begin, end)) if begin == first && end == last => Ok(found),
            _ => Err(self.wrong("its first or last key is not that of its range".to_owned())),
        }
    }

    fn refused(&self, refused: Refused) -> Error {
        match refused {
            Refused::Unread { source, retryable } => Error::Read { object: self.object.clone(), source, retryable },
            Refused::Wrong(what) => self.wrong(what),
        }
    }

    fn wrong(&self, what: String) -> Error {
        let key = self.segment.reference().stored.key.clone();
        Error::Wrong { object: self.object.clone(), key, what }
    }
}
