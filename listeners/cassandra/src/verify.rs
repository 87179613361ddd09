//! Proof of an entry: every range page and segment is read again and compared with what the entry says.
//!
//! The walk is that of all record sources (`tidemark_records::verify`). Cassandra's part is that segments decode in the entry's own
//! schema, that partitions ascend and have the tokens of their keys, that rows and markers ascend by the table's order, and that
//! rows and static rows that a reader sees are as many as the entry counts.

use std::sync::Arc;

use object_store::ObjectStore;
use tidemark_cassandra_format::{
    model::{Partition, PartitionReader, Row, Unfiltered},
    token,
};
use tidemark_catalog::{
    entry::Entry,
    figures::{Counts, Figures},
};
use tidemark_gateway::causes;
use tidemark_listener_core::{failure::Failure, progress::ProgressSink};
use tidemark_records::{
    segments::SegmentFile,
    verify::{self, Ends, Found, Refused, SegmentProver},
};

use crate::{
    consolidate::{self, EntrySchema, SchemaError, counts},
    segment::{Layout, ReadError, SegmentKey, SegmentReader},
    view,
};

/// Code of an entry that is not proven.
const CODE: &str = "TM-CASS-0420";

/// Reads every object that the entry names and proves it; gives the number of records (Parquet rows) read.
///
/// # Errors
/// Code `TM-CASS-0420`, naming the object, the page or segment, and what is wrong with it.
pub async fn verify(store: &Arc<dyn ObjectStore>, entry: &Entry, progress: ProgressSink) -> Result<u64, Failure> {
    let layout = EntrySchema::layout(entry);
    let layout = layout.map_err(|source| Unreadable { object: entry.object.to_string(), source })?;
    let prover = Prover { layout, now_seconds: consolidate::view_seconds(&entry.cut) };
    verify::entry(store, entry, prover, CODE, progress).await
}

/// The entry has no schema that segments could be read in.
#[derive(Debug, thiserror::Error)]
#[error("verify {object}")]
struct Unreadable {
    object: String,
    source: SchemaError,
}

impl From<Unreadable> for Failure {
    fn from(error: Unreadable) -> Self {
        Self::new(CODE, causes::joined(&error))
    }
}

impl From<ReadError> for Refused {
    fn from(source: ReadError) -> Self {
        Self::Unread { retryable: source.is_retryable(), source: source.into() }
    }
}

/// Proves the segments of one table.
struct Prover {
    layout: Arc<Layout>,
    now_seconds: u32,
}

impl SegmentProver for Prover {
    fn prove(&self, file: SegmentFile) -> Result<Found, Refused> {
        let mut reader = SegmentReader::of(file, &self.layout)?;
        let mut ends = Ends::default();
        let (mut records, mut static_rows) = (0, 0);
        while let Some(partition) = reader.next_partition()? {
            ends.see(key(&partition)?)?;
            static_rows += u64::from(self.is_visible(partition.static_row.as_ref()));
            records += self.rows(&mut reader)?;
        }
        Ok(Found { ends: ends.keys(), records, own: counts::of_static_rows(static_rows) })
    }

    fn check_own(&self, figures: &Figures, counted: &Counts) -> Result<(), String> {
        counts::check(figures, counted)
    }
}

/// The partition's key, whose token must be its own.
fn key(partition: &Partition) -> Result<SegmentKey, Refused> {
    let expected = token::murmur3(&partition.key);
    if partition.token != expected {
        let key = hex::encode(&partition.key);
        return Err(Refused::Wrong(format!("key {key} has token {expected}, not {}", partition.token)));
    }
    Ok(SegmentKey { token: partition.token, key: partition.key.clone() })
}

impl Prover {
    /// Live rows of the current partition, whose order is checked.
    fn rows(&self, reader: &mut SegmentReader) -> Result<u64, Refused> {
        let table = self.layout.table();
        let mut rows = 0;
        let mut previous: Option<Unfiltered> = None;
        while let Some(next) = reader.next_unfiltered()? {
            let ascends = |previous: &Unfiltered| table.compare_positions(previous.position(), next.position()).is_lt();
            if !previous.as_ref().is_none_or(ascends) {
                return Err(Refused::Wrong("rows of a partition are out of order".to_owned()));
            }
            if let Unfiltered::Row(row) = &next {
                rows += u64::from(self.is_visible(Some(row)));
            }
            previous = Some(next);
        }
        Ok(rows)
    }

    fn is_visible(&self, row: Option<&Row>) -> bool {
        row.is_some_and(|row| view::is_visible(row, self.now_seconds))
    }
}
