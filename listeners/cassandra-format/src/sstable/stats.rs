//! The STATS component of Statistics.db: ranges of times, commit-log positions, origin (format `nb`).

use bytes::Bytes;

use super::cursor::{Cursor, Decoded};

/// A position in a node's commit log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CommitLogPosition {
    /// Id of the segment; −1 for "none".
    pub segment: i64,
    /// Logical offset in the segment, bytes.
    pub offset: i32,
}

/// What Cassandra wrote about an SSTable's content. Hints, not proofs: the level and the repair state are rewritten in
/// place, and the times of a compacted file can be wider than its rows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stats {
    /// Smallest write time, µs.
    pub min_timestamp: i64,
    /// Greatest write time, µs.
    pub max_timestamp: i64,
    /// Smallest local deletion time or expiry, s; `i32::MAX` where there is none.
    pub min_local_deletion_time: i32,
    /// Greatest local deletion time or expiry, s.
    pub max_local_deletion_time: i32,
    /// Smallest TTL, s.
    pub min_ttl: i32,
    /// Greatest TTL, s.
    pub max_ttl: i32,
    /// Level of levelled compaction.
    pub level: i32,
    /// When the file was repaired, ms since 1970; 0 where it was not.
    pub repaired_at: i64,
    /// Number of cells written.
    pub total_columns: i64,
    /// Number of rows written.
    pub total_rows: i64,
    /// Which parts of its origin's commit log the file holds: `(after, through]`.
    pub commit_log_intervals: Vec<(CommitLogPosition, CommitLogPosition)>,
    /// UUID of the pending repair that the file belongs to.
    pub pending_repair: Option<u128>,
    /// True for transient replicas, whose data is not kept.
    pub is_transient: bool,
    /// Host id of the node whose commit log the intervals are of.
    pub originating_host: Option<u128>,
}

impl Stats {
    pub(super) fn parse(bytes: &Bytes) -> Decoded<Self> {
        let c = &mut Cursor::new(bytes, 0);
        skip_estimates(c)?;
        position(c)?; // upper bound of the intervals below
        let (min_timestamp, max_timestamp) = (c.i64()?, c.i64()?);
        let (min_local_deletion_time, max_local_deletion_time) = (c.i32()?, c.i32()?);
        let (min_ttl, max_ttl) = (c.i32()?, c.i32()?);
        c.u64()?; // compression ratio
        skip_tombstone_histogram(c)?;
        let (level, repaired_at) = (c.i32()?, c.i64()?);
        skip_clustering_values(c)?;
        skip_clustering_values(c)?;
        flag(c)?; // legacy counter shards
        let (total_columns, total_rows) = (c.i64()?, c.i64()?);
        position(c)?; // lower bound
        let commit_log_intervals = intervals(c)?;
        let pending_repair = optional_uuid(c)?;
        let is_transient = flag(c)?;
        let originating_host = optional_uuid(c)?;
        let stats = Self {
            min_timestamp,
            max_timestamp,
            min_local_deletion_time,
            max_local_deletion_time,
            min_ttl,
            max_ttl,
            level,
            repaired_at,
            total_columns,
            total_rows,
            commit_log_intervals,
            pending_repair,
            is_transient,
            originating_host,
        };
        if c.is_at_end() { Ok(stats) } else { c.corrupt("bytes after the statistics") }
    }
}

/// A count of things of `size` bytes each, all of which must be there.
fn count(c: &mut Cursor<'_>, size: usize) -> Decoded<usize> {
    let Ok(count) = usize::try_from(c.i32()?) else { return c.corrupt("a negative count") };
    c.require(count.saturating_mul(size))?;
    Ok(count)
}

/// Histograms of partition sizes and cells per partition: buckets of two longs.
fn skip_estimates(c: &mut Cursor<'_>) -> Decoded<()> {
    for _ in 0..2 {
        let buckets = count(c, 16)?;
        c.take(buckets * 16)?;
    }
    Ok(())
}

/// Maximum and actual number of points, then a double and a long each.
fn skip_tombstone_histogram(c: &mut Cursor<'_>) -> Decoded<()> {
    c.i32()?;
    let points = count(c, 16)?;
    c.take(points * 16).map(drop)
}

fn skip_clustering_values(c: &mut Cursor<'_>) -> Decoded<()> {
    for _ in 0..count(c, 2)? {
        c.short_bytes()?;
    }
    Ok(())
}

fn position(c: &mut Cursor<'_>) -> Decoded<CommitLogPosition> {
    Ok(CommitLogPosition { segment: c.i64()?, offset: c.i32()? })
}

fn intervals(c: &mut Cursor<'_>) -> Decoded<Vec<(CommitLogPosition, CommitLogPosition)>> {
    let count = count(c, 24)?;
    (0..count).map(|_| Ok((position(c)?, position(c)?))).collect()
}

fn flag(c: &mut Cursor<'_>) -> Decoded<bool> {
    match c.u8()? {
        0 => Ok(false),
        1 => Ok(true),
        _ => c.corrupt("a flag that is neither 0 nor 1"),
    }
}

fn optional_uuid(c: &mut Cursor<'_>) -> Decoded<Option<u128>> {
    if !flag(c)? {
        return Ok(None);
    }
    Ok(Some((u128::from(c.u64()?) << 64) | u128::from(c.u64()?)))
}
