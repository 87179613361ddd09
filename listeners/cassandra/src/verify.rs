//! Proof of an entry: every range page and segment is read again and compared with what the entry says.
//!
//! Checked are digests (of everything read), that segments decode in the entry's own schema, that partitions ascend within and
//! over segments and have the tokens of their keys, that rows and markers ascend by the table's order, that ranges, records
//! and figures are as written. Nothing is taken from the source.

use std::sync::Arc;

use object_store::ObjectStore;
use tidemark_cassandra_format::{
    model::{Partition, PartitionReader, Unfiltered},
    schema::TableSchema,
    token,
};
use tidemark_catalog::{
    content::{self, Records, SegmentRef},
    document,
    entry::Entry,
    identities,
};
use tidemark_gateway::causes;
use tidemark_listener_core::{
    driver,
    progress::{Progress, ProgressSink},
};
use tokio::runtime::Handle;

use crate::{
    consolidate::{self, EntrySchema, SchemaError, counts},
    segment::{Layout, OpenError, ReadError, SegmentKey, StoredSegment},
    view,
};

/// Why an entry is not proven.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("verify {object}")]
    Schema { object: String, source: SchemaError },
    #[error("verify {object}: read a range page")]
    Page { object: String, source: document::Error },
    #[error("verify {object}: read what was merged")]
    Merged { object: String, source: document::Error },
    #[error("verify {object}: open a segment")]
    Open { object: String, source: OpenError },
    #[error("verify {object}: read a segment")]
    Read { object: String, source: ReadError },
    #[error("verify {object}: segment {key}: {what}")]
    Wrong { object: String, key: String, what: String },
    #[error("verify {object}: {what}")]
    Entry { object: String, what: String },
    #[error("verify {object}: the thread that reads ended: {reason}")]
    Thread { object: String, reason: String },
}

impl From<Failure> for driver::Error {
    fn from(failure: Failure) -> Self {
        let retryable = match &failure {
            Failure::Page { source, .. } => source.is_retryable(),
            Failure::Merged { source, .. } => source.is_retryable(),
            Failure::Open { source, .. } => source.is_retryable(),
            Failure::Read { source, .. } => source.is_retryable(),
            _ => false,
        };
        Self { retryable, ..Self::new("TM-CASS-0420", causes::chain(&failure)) }
    }
}

/// Figures of what was read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Figures {
    records: u64,
    rows: u64,
    static_rows: u64,
    stored_bytes: u64,
}

/// Reads every object that the entry names and proves it; gives the number of records (Parquet rows) read.
///
/// # Errors
/// Code `TM-CASS-0420`, naming the object, the page or segment, and what is wrong with it.
pub async fn verify(store: &Arc<dyn ObjectStore>, entry: &Entry, progress: ProgressSink) -> Result<u64, driver::Error> {
    Ok(Verifier::of(store, entry, progress)?.run(entry).await?)
}

struct Verifier {
    object: String,
    store: Arc<dyn ObjectStore>,
    layout: Arc<Layout>,
    now_seconds: u32,
    progress: ProgressSink,
    total_bytes: u64,
}

impl Verifier {
    fn of(store: &Arc<dyn ObjectStore>, entry: &Entry, progress: ProgressSink) -> Result<Self, Failure> {
        let object = entry.object.to_string();
        let layout = EntrySchema::layout(entry).map_err(|source| Failure::Schema { object: object.clone(), source })?;
        Ok(Self {
            object,
            store: store.clone(),
            layout,
            now_seconds: consolidate::view_seconds(&entry.cut),
            progress,
            total_bytes: entry.figures.kept_bytes(),
        })
    }

    async fn run(&self, entry: &Entry) -> Result<u64, Failure> {
        let records = entry.content.records().ok_or_else(|| self.entry("it holds blocks, not records"))?;
        self.check_merged(records).await?;
        let mut found = Figures::default();
        let ranges = content::ranges(&self.store, &records.baseline).await;
        for range in ranges.map_err(|source| Failure::Page { object: self.object.clone(), source })? {
            found = self.segment(range, found).await?;
            self.report(&found);
        }
        self.check_figures(entry, &found)?;
        Ok(found.records)
    }

    async fn check_merged(&self, records: &Records) -> Result<(), Failure> {
        let read = identities::read(&self.store, &records.merged).await;
        read.map(drop).map_err(|source| Failure::Merged { object: self.object.clone(), source })
    }

    async fn segment(&self, range: SegmentRef, found: Figures) -> Result<Figures, Failure> {
        let bounds = [&range.first, &range.last].map(SegmentKey::of_stored);
        let [Some(first), Some(end)] = bounds else { return Err(self.wrong(&range, "its bounds are no keys")) };
        let segment = StoredSegment::new(&self.store, range.clone(), Handle::current());
        let scan = Scan { object: self.object.clone(), segment, layout: self.layout.clone(), now: self.now_seconds };
        let scanned = tokio::task::spawn_blocking(move || scan.run(&first, &end)).await;
        let scanned = scanned.map_err(|e| Failure::Thread { object: self.object.clone(), reason: e.to_string() })??;
        Ok(Figures {
            records: found.records + scanned.records,
            rows: found.rows + scanned.rows,
            static_rows: found.static_rows + scanned.static_rows,
            stored_bytes: found.stored_bytes + range.stored.size,
        })
    }

    fn check_figures(&self, entry: &Entry, found: &Figures) -> Result<(), Failure> {
        let figures = &entry.figures;
        if let Some(strange) = counts::strange(figures) {
            return Err(self.entry(&strange));
        }
        for (what, expected, found) in [
            ("rows", figures.records, found.rows),
            ("static rows", counts::static_rows(figures), found.static_rows),
            ("bytes of segments", figures.kept_bytes(), found.stored_bytes),
        ] {
            if expected != found {
                return Err(self.entry(&format!("the entry counts {expected} {what}, found are {found}")));
            }
        }
        Ok(())
    }

    fn report(&self, found: &Figures) {
        (self.progress)(Progress {
            phase: format!("verify {}", self.object),
            done: found.stored_bytes,
            total: self.total_bytes,
            unit: "bytes".to_owned(),
        });
    }

    fn entry(&self, what: &str) -> Failure {
        Failure::Entry { object: self.object.clone(), what: what.to_owned() }
    }

    fn wrong(&self, range: &SegmentRef, what: &str) -> Failure {
        Failure::Wrong { object: self.object.clone(), key: range.stored.key.clone(), what: what.to_owned() }
    }
}

/// The blocking part: reads one segment to its end.
struct Scan {
    object: String,
    segment: StoredSegment,
    layout: Arc<Layout>,
    now: u32,
}

impl Scan {
    fn run(&self, first: &SegmentKey, last: &SegmentKey) -> Result<Figures, Failure> {
        let opened = self.segment.open(&self.layout);
        let mut reader = opened.map_err(|source| Failure::Open { object: self.object.clone(), source })?;
        let mut found = Figures { records: reader.records(), ..Figures::default() };
        let mut ends: Option<(SegmentKey, SegmentKey)> = None;
        while let Some(partition) = reader.next_partition().map_err(|source| self.read(source))? {
            let key = self.check_key(&partition)?;
            ends = Some((ends.map_or_else(|| key.clone(), |(first, _)| first), key));
            found.static_rows += u64::from(self.is_visible(partition.static_row.as_ref()));
            found.rows += self.rows(&mut reader)?;
        }
        let expected = self.segment.reference().records;
        if found.records != expected {
            return Err(self.wrong(format!("it has {} records, its range says {expected}", found.records)));
        }
        match ends {
            Some((begin, end)) if begin == *first && end == *last => Ok(found),
            _ => Err(self.wrong("its first or last partition is not that of its range".to_owned())),
        }
    }

    fn check_key(&self, partition: &Partition) -> Result<SegmentKey, Failure> {
        let expected = token::murmur3(&partition.key);
        if partition.token != expected {
            let what = format!("key {} has token {expected}, not {}", hex::encode(&partition.key), partition.token);
            return Err(self.wrong(what));
        }
        Ok(SegmentKey { token: partition.token, key: partition.key.clone() })
    }

    /// Live rows of the current partition, whose order is checked.
    fn rows(&self, reader: &mut crate::segment::SegmentReader) -> Result<u64, Failure> {
        let table: &TableSchema = self.layout.table();
        let mut rows = 0;
        let mut previous: Option<Unfiltered> = None;
        while let Some(next) = reader.next_unfiltered().map_err(|source| self.read(source))? {
            let ascends = |previous: &Unfiltered| table.compare_positions(previous.position(), next.position()).is_lt();
            if !previous.as_ref().is_none_or(ascends) {
                return Err(self.wrong("rows of a partition are out of order".to_owned()));
            }
            if let Unfiltered::Row(row) = &next {
                rows += u64::from(self.is_visible(Some(row)));
            }
            previous = Some(next);
        }
        Ok(rows)
    }

    fn is_visible(&self, row: Option<&tidemark_cassandra_format::model::Row>) -> bool {
        row.is_some_and(|row| view::is_visible(row, self.now))
    }

    fn read(&self, source: ReadError) -> Failure {
        Failure::Read { object: self.object.clone(), source }
    }

    fn wrong(&self, what: String) -> Failure {
        let key = self.segment.reference().stored.key.clone();
        Failure::Wrong { object: self.object.clone(), key, what }
    }
}
