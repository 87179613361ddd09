//! The HEADER component of Statistics.db: bases of times, and the columns that the file has, with their types.

use bytes::Bytes;

use super::Error;
use super::cursor::{Cursor, Decoded};
use crate::types::{CqlType, MarshalType};

/// What is subtracted from times before they are written: 2015-09-22, in µs and s.
const TIMESTAMP_EPOCH: i64 = 1_442_880_000_000_000;
const DELETION_TIME_EPOCH: u32 = 1_442_880_000;

/// Columns are numbered by a u16 here; Cassandra has no limit of its own, but long before this one it fails.
const MAX_COLUMNS: usize = u16::MAX as usize;

/// Bases of the deltas that rows hold.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bases {
    /// Of write times, µs.
    pub(super) timestamp: i64,
    /// Of local deletion times and expiries, s.
    pub(super) local_time: u32,
    /// Of TTLs, s.
    pub(super) ttl: u32,
}

/// A column as the file has it.
pub(super) struct HeaderColumn {
    pub(super) name: String,
    pub(super) cql_type: CqlType,
}

pub(super) struct Header {
    pub(super) bases: Bases,
    pub(super) key: Vec<CqlType>,
    pub(super) clustering: Vec<MarshalType>,
    pub(super) statics: Vec<HeaderColumn>,
    pub(super) regulars: Vec<HeaderColumn>,
}

/// The header before its types are parsed.
struct RawHeader {
    bases: Bases,
    key: Bytes,
    clustering: Vec<Bytes>,
    statics: Vec<(Bytes, Bytes)>,
    regulars: Vec<(Bytes, Bytes)>,
}

impl Header {
    /// Parses the component, which starts at `offset` of the file.
    pub(super) fn parse(file: &str, bytes: &Bytes, offset: usize) -> Result<Self, Error> {
        let raw = RawHeader::parse(bytes).map_err(|fault| Error::damage(file, fault.shifted(offset)))?;
        let text = |bytes: &Bytes| -> Result<String, Error> {
            let utf8 = String::from_utf8(bytes.to_vec());
            utf8.map_err(|_| Error::corrupt(file, offset as u64, "a name or type in the header is not UTF-8"))
        };
        let marshal = |bytes: &Bytes| {
            MarshalType::parse(&text(bytes)?).map_err(|error| Error::unsupported(file, error.to_string()))
        };
        let columns = |raw: &[(Bytes, Bytes)]| -> Result<Vec<HeaderColumn>, Error> {
            let column = |(name, cql_type): &(Bytes, Bytes)| {
                Ok(HeaderColumn { name: text(name)?, cql_type: marshal(cql_type)?.cql_type })
            };
            raw.iter().map(column).collect()
        };
        let key = MarshalType::parse_key(&text(&raw.key)?);
        Ok(Self {
            bases: raw.bases,
            key: key.map_err(|error| Error::unsupported(file, error.to_string()))?,
            clustering: raw.clustering.iter().map(marshal).collect::<Result<_, _>>()?,
            statics: columns(&raw.statics)?,
            regulars: columns(&raw.regulars)?,
        })
    }
}

impl RawHeader {
    fn parse(bytes: &Bytes) -> Decoded<Self> {
        let c = &mut Cursor::new(bytes, 0);
        let timestamp = (c.uvint()? as i64).wrapping_add(TIMESTAMP_EPOCH);
        let local_time = (c.uvint()? as u32).wrapping_add(DELETION_TIME_EPOCH);
        let bases = Bases { timestamp, local_time, ttl: c.uvint()? as u32 };
        let key = c.vbytes()?;
        let clustering = list(c, |c| c.vbytes())?;
        let statics = list(c, |c| Ok((c.vbytes()?, c.vbytes()?)))?;
        let regulars = list(c, |c| Ok((c.vbytes()?, c.vbytes()?)))?;
        if c.is_at_end() {
            Ok(Self { bases, key, clustering, statics, regulars })
        } else {
            c.corrupt("bytes after the header")
        }
    }
}

fn list<T>(c: &mut Cursor<'_>, item: impl Fn(&mut Cursor<'_>) -> Decoded<T>) -> Decoded<Vec<T>> {
    let count = c.length()?;
    // Each item has at least its length's byte, but takes more memory than that: both bound what is collected.
    c.require(count)?;
    if count > MAX_COLUMNS {
        return c.corrupt("more columns than any table has");
    }
    (0..count).map(|_| item(c)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sstable::cursor::Fault;

    /// A header of these numbers of clustering columns, statics and regulars, all names and types empty.
    fn header(counts: [u16; 3]) -> Bytes {
        let vint = |count: u16| [&[0xc0][..], &count.to_be_bytes()].concat();
        let columns = |(count, bytes): (u16, usize)| [vint(count), vec![0; usize::from(count) * bytes]].concat();
        [vec![0; 4], counts.into_iter().zip([1, 2, 2]).flat_map(columns).collect()].concat().into()
    }

    #[test]
    fn headers_are_as_long_as_they_say() {
        let raw = RawHeader::parse(&header([1, 2, 3])).unwrap();
        assert_eq!((raw.clustering.len(), raw.statics.len(), raw.regulars.len()), (1, 2, 3));
        let longer = [&header([1, 2, 3])[..], &[0]].concat().into();
        assert!(matches!(RawHeader::parse(&longer), Err(Fault::Corrupt(_, "bytes after the header"))));
        assert!(matches!(RawHeader::parse(&header([1, 2, 3]).slice(..9)), Err(Fault::Incomplete(_))));
    }

    #[test]
    fn more_columns_than_a_table_has_are_refused_before_they_are_collected() {
        assert!(RawHeader::parse(&header([u16::MAX, 0, 0])).is_ok());
        let more = [&[0, 0, 0, 0, 0xc1, 0, 0][..], &[0; 1 << 17]].concat().into();
        assert!(matches!(RawHeader::parse(&more), Err(Fault::Corrupt(7, "more columns than any table has"))));
    }
}
