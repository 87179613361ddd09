//! The STATS component of Statistics.db: ranges of times, of clusterings and of keys, commit-log positions, origin.
//!
//! Source: `StatsMetadata.StatsMetadataSerializer` of `org.apache.cassandra.io.sstable.metadata`, 5.0.9.

use bytes::Bytes;

use super::Version;
use super::clustering::read_bound;
use super::cursor::{Cursor, Decoded};
use crate::types::MarshalType;

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
    /// Smallest local deletion time or expiry, s; `None` where there is none.
    pub min_local_deletion_time: Option<u32>,
    /// Greatest local deletion time or expiry, s; `None` where anything has none.
    pub max_local_deletion_time: Option<u32>,
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
    /// The range of keys, which only the formats of 5.0 say.
    pub extent: Option<Extent>,
}

/// Where an SSTable's content lies, as the formats of 5.0 (`oa`, `da`) say it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Extent {
    /// Raw key of the first partition.
    pub first_key: Bytes,
    /// Raw key of the last partition.
    pub last_key: Bytes,
}

impl Stats {
    pub(super) fn parse(bytes: &Bytes, version: Version) -> Decoded<Self> {
        let c = &mut Cursor::new(bytes, 0);
        skip_estimates(c)?;
        position(c)?; // upper bound of the intervals below
        let (min_timestamp, max_timestamp) = (c.i64()?, c.i64()?);
        let (min_local_deletion_time, max_local_deletion_time) = (local_time(c, version)?, local_time(c, version)?);
        let (min_ttl, max_ttl) = (c.i32()?, c.i32()?);
        c.u64()?; // compression ratio
        let padding = skip_tombstone_histogram(c, version)?;
        let (level, repaired_at) = (c.i32()?, c.i64()?);
        skip_clusterings(c, version)?;
        flag(c)?; // legacy counter shards
        let (total_columns, total_rows) = (c.i64()?, c.i64()?);
        position(c)?; // lower bound
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
            commit_log_intervals: intervals(c)?,
            pending_repair: optional_uuid(c)?,
            is_transient: flag(c)?,
            originating_host: optional_uuid(c)?,
            extent: if version.is_of_five() { Some(extent(c)?) } else { None },
        };
        check_padding(c, padding)?;
        Ok(stats)
    }
}

/// A local deletion time; the greatest value stands for "none".
fn local_time(c: &mut Cursor<'_>, version: Version) -> Decoded<Option<u32>> {
    let none = if version.is_of_five() { u32::MAX } else { i32::MAX as u32 };
    Ok(Some(c.u32()?).filter(|time| *time != none))
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

/// Maximum and actual number of points, then a double and a long each; since 5.0 a long and an int. Returns how many
/// zeros may follow the component: Cassandra sizes it as if the points were as large as before.
fn skip_tombstone_histogram(c: &mut Cursor<'_>, version: Version) -> Decoded<usize> {
    c.i32()?;
    let size = if version.is_of_five() { 12 } else { 16 };
    let points = count(c, size)?;
    c.take(points * size)?;
    Ok(points * (16 - size))
}

fn check_padding(c: &mut Cursor<'_>, most: usize) -> Decoded<()> {
    let rest = c.rest();
    let is_padding = rest.is_empty() || rest.len() == most && rest.iter().all(|byte| *byte == 0);
    if is_padding { Ok(()) } else { c.corrupt("bytes after the statistics") }
}

/// Least and greatest clustering values; since 5.0 the clusterings' types and a slice with its bounds.
fn skip_clusterings(c: &mut Cursor<'_>, version: Version) -> Decoded<()> {
    if version.is_of_five() {
        return skip_slice(c);
    }
    for _ in 0..2 {
        for _ in 0..count(c, 2)? {
            c.short_bytes()?;
        }
    }
    Ok(())
}

fn skip_slice(c: &mut Cursor<'_>) -> Decoded<()> {
    let types = c.length()?;
    c.require(types)?;
    let lengths = (0..types).map(|_| type_length(c)).collect::<Decoded<Vec<_>>>()?;
    for _ in 0..2 {
        read_bound(c, &lengths)?;
    }
    Ok(())
}

/// The length of a type's values where it is fixed.
fn type_length(c: &mut Cursor<'_>) -> Decoded<Option<usize>> {
    let text = c.vbytes()?;
    let parsed = std::str::from_utf8(&text).ok().and_then(|text| MarshalType::parse(text).ok());
    parsed.map_or_else(|| c.corrupt("the type of a clustering"), |parsed| Ok(parsed.cql_type.fixed_length()))
}

fn extent(c: &mut Cursor<'_>) -> Decoded<Extent> {
    flag(c)?; // some partition has a deletion
    let (first_key, last_key) = (c.vbytes()?, c.vbytes()?);
    c.u64()?; // share of the token space that is covered
    Ok(Extent { first_key, last_key })
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

#[cfg(test)]
mod tests {
    use super::super::cursor::Fault;
    use super::*;

    fn on<T>(bytes: &[u8], read: impl Fn(&mut Cursor<'_>) -> Decoded<T>) -> Result<T, &'static str> {
        let bytes = Bytes::copy_from_slice(bytes);
        read(&mut Cursor::new(&bytes, 0)).map_err(|fault| match fault {
            Fault::Corrupt(_, reason) => reason,
            Fault::Incomplete(_) => "incomplete",
        })
    }

    #[test]
    fn counts_and_flags_are_what_can_be() {
        assert_eq!((on(&[0], flag), on(&[1], flag)), (Ok(false), Ok(true)));
        assert_eq!(on(&[2], flag), Err("a flag that is neither 0 nor 1"));
        assert_eq!(on(&[0, 0, 0, 2, 7, 7], |c| count(c, 1)), Ok(2));
        assert_eq!(on(&[0, 0, 0, 2, 7, 7], |c| count(c, 2)), Err("incomplete"));
        assert_eq!(on(&[0x7f, 0xff, 0xff, 0xff], |c| count(c, usize::MAX)), Err("incomplete"));
        assert_eq!(on(&[0xff; 8], |c| count(c, 1)), Err("a negative count"));
    }

    #[test]
    fn bounds_are_no_longer_than_the_clustering() {
        let text = "Int32Type";
        let slice =
            |size: u8| [&[1, text.len() as u8], text.as_bytes(), &[1, 0, size, 0, 0, 0, 0, 7, 6, 0, 0]].concat();
        assert_eq!(on(&slice(1), skip_slice), Ok(()));
        assert_eq!(on(&slice(2), skip_slice), Err("a bound longer than the clustering"));
        assert_eq!(on(&[1, 3, b'(', b')', b','], skip_slice), Err("the type of a clustering"));
        assert_eq!(on(&[0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff], skip_slice), Err("incomplete"));
    }

    #[test]
    fn nothing_but_the_padding_follows() {
        assert_eq!(on(&[0; 8], |c| check_padding(c, 8)), Ok(()));
        assert_eq!(on(&[], |c| check_padding(c, 8)), Ok(()));
        for bytes in [&[0; 4][..], &[0, 0, 0, 0, 0, 0, 0, 1], &[0; 9]] {
            assert_eq!(on(bytes, |c| check_padding(c, 8)), Err("bytes after the statistics"), "{bytes:?}");
        }
    }
}
