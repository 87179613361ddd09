//! Statistics.db: a table of contents, then components, each with a CRC32.
//!
//! Source: `MetadataSerializer` and `ValidationMetadata` of `org.apache.cassandra.io.sstable.metadata`, 5.0.9.

use bytes::Bytes;

use super::cursor::{Cursor, Decoded, Fault};
use super::header::Header;
use super::stats::Stats;
use super::{Error, Version};

/// The partitioner whose tokens this crate computes.
const PARTITIONER: &str = "org.apache.cassandra.dht.Murmur3Partitioner";

/// Kinds of components, by their ordinals; there are no others.
const VALIDATION: i32 = 0;
const COMPACTION: i32 = 1;
const STATS: i32 = 2;
const HEADER: i32 = 3;

/// What Statistics.db says.
pub(super) struct Statistics {
    pub(super) header: Header,
    pub(super) stats: Stats,
}

impl Statistics {
    /// Parses the file and verifies every checksum in it.
    pub(super) fn parse(file: &str, bytes: &Bytes, version: Version) -> Result<Self, Error> {
        let components = components(bytes).map_err(|fault| Error::damage(file, fault))?;
        check_partitioner(file, component(file, &components, VALIDATION)?)?;
        // Not used, but a file without it was not written by Cassandra.
        component(file, &components, COMPACTION)?;
        let stats = component(file, &components, STATS)?;
        let stats =
            Stats::parse(&stats.bytes, version).map_err(|fault| Error::damage(file, fault.shifted(stats.offset)))?;
        let header = component(file, &components, HEADER)?;
        let header = Header::parse(file, &header.bytes, header.offset)?;
        Ok(Self { header, stats })
    }
}

struct Component {
    kind: i32,
    offset: usize,
    bytes: Bytes,
}

fn component<'c>(file: &str, components: &'c [Component], kind: i32) -> Result<&'c Component, Error> {
    let found = components.iter().find(|component| component.kind == kind);
    found.ok_or_else(|| Error::corrupt(file, 0, format!("component {kind} is missing")))
}

/// Reads the table of contents and cuts the file into components, verifying all checksums.
fn components(bytes: &Bytes) -> Decoded<Vec<Component>> {
    let toc = table_of_contents(bytes)?;
    let mut components = Vec::with_capacity(toc.len());
    for (i, (kind, offset)) in toc.iter().enumerate() {
        let end = toc.get(i + 1).map_or(bytes.len(), |(_, next)| *next);
        components.push(cut(bytes, *kind, *offset, end)?);
    }
    Ok(components)
}

/// Kinds and offsets, ascending, the first right after the table.
fn table_of_contents(bytes: &Bytes) -> Decoded<Vec<(i32, usize)>> {
    let mut cursor = Cursor::new(bytes, 0);
    let count = cursor.i32()?;
    check(&bytes[..4], cursor.u32()?, 4)?;
    let count = usize::try_from(count).ok().filter(|count| *count <= 16);
    let Some(count) = count else { return cursor.corrupt("the number of components") };
    let mut toc: Vec<(i32, usize)> = Vec::with_capacity(count);
    for _ in 0..count {
        let (kind, offset) = (cursor.i32()?, cursor.i32()?);
        let after = toc.last().map_or((-1, 0), |last| *last);
        let offset = usize::try_from(offset).ok().filter(|offset| *offset > after.1 && kind > after.0);
        let Some(offset) = offset else { return cursor.corrupt("components are not in order") };
        toc.push((kind, offset));
    }
    check_toc(bytes, &mut cursor, &toc)?;
    Ok(toc)
}

/// The table's checksum covers the count and the entries, but not the count's checksum between them.
fn check_toc(bytes: &Bytes, cursor: &mut Cursor<'_>, toc: &[(i32, usize)]) -> Decoded<()> {
    let mut crc = crc32fast::Hasher::new();
    crc.update(&bytes[..4]);
    crc.update(&bytes[8..cursor.position()]);
    let at = cursor.position();
    if crc.finalize() != cursor.u32()? {
        return Err(Fault::Corrupt(at, "checksum of the table of contents"));
    }
    if toc.first().is_none_or(|(_, first)| *first != cursor.position()) {
        return cursor.corrupt("the first component is not here");
    }
    Ok(())
}

fn cut(bytes: &Bytes, kind: i32, offset: usize, end: usize) -> Decoded<Component> {
    let content_end = end.checked_sub(4).filter(|content_end| *content_end >= offset && end <= bytes.len());
    let Some(content_end) = content_end else { return Err(Fault::Corrupt(offset, "length of a component")) };
    let component = Component { kind, offset, bytes: bytes.slice(offset..content_end) };
    check(&component.bytes, Cursor::new(bytes, content_end).u32()?, content_end)?;
    Ok(component)
}

fn check(bytes: &[u8], stored: u32, at: usize) -> Decoded<()> {
    if crc32fast::hash(bytes) == stored { Ok(()) } else { Err(Fault::Corrupt(at, "checksum of the metadata")) }
}

/// VALIDATION: the partitioner's class, then the Bloom filter's chance.
fn check_partitioner(file: &str, component: &Component) -> Result<(), Error> {
    let mut cursor = Cursor::new(&component.bytes, 0);
    let decoded = cursor.short_bytes().and_then(|name| cursor.u64().map(|_| name));
    let name = decoded.map_err(|fault| Error::damage(file, fault.shifted(component.offset)))?;
    if name == PARTITIONER {
        return Ok(());
    }
    Err(Error::unsupported(
        file,
        format!("partitioner {}; only {PARTITIONER} is supported", String::from_utf8_lossy(&name)),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A table of contents with its checksums right, then enough zeros for any component.
    fn table(entries: &[(i32, i32)]) -> Bytes {
        let count = (entries.len() as i32).to_be_bytes();
        let entries: Vec<u8> =
            entries.iter().flat_map(|(kind, at)| [kind.to_be_bytes(), at.to_be_bytes()].concat()).collect();
        let sums = [crc32fast::hash(&count), crc32fast::hash(&[&count[..], &entries].concat())].map(u32::to_be_bytes);
        [&count[..], &sums[0], &entries, &sums[1], &[0; 99]].concat().into()
    }

    fn reason(entries: &[(i32, i32)]) -> &'static str {
        match table_of_contents(&table(entries)) {
            Err(Fault::Corrupt(_, reason)) => reason,
            other => panic!("{entries:?}: {other:?}"),
        }
    }

    #[test]
    fn tables_of_contents_are_in_order_and_followed_by_the_first_component() {
        assert_eq!(table_of_contents(&table(&[(0, 28), (2, 40)])), Ok(vec![(0, 28), (2, 40)]));
        for entries in [
            [(0, 28), (0, 40)],
            [(2, 28), (0, 40)],
            [(0, 28), (2, 28)],
            [(0, 28), (2, 20)],
            [(-1, 28), (2, 40)],
            [(0, 28), (2, -1)],
        ] {
            assert_eq!(reason(&entries), "components are not in order", "{entries:?}");
        }
        assert_eq!(reason(&[(0, 29), (2, 40)]), "the first component is not here");
        assert_eq!(reason(&[]), "the first component is not here");
        assert_eq!(reason(&(0..17).map(|kind| (kind, 200 + kind)).collect::<Vec<_>>()), "the number of components");
    }

    #[test]
    fn each_checksum_of_the_table_is_compared() {
        for (at, words) in [(4, "checksum of the metadata"), (24, "checksum of the table of contents")] {
            let mut bytes = table(&[(0, 28), (2, 40)]).to_vec();
            bytes[at] ^= 1;
            assert!(
                matches!(table_of_contents(&bytes.into()), Err(Fault::Corrupt(_, reason)) if reason == words),
                "{at}"
            );
        }
    }

    #[test]
    fn other_partitioners_are_refused_by_name() {
        let of = |class: &str| {
            let bytes = [&(class.len() as u16).to_be_bytes()[..], class.as_bytes(), &[0; 8]].concat();
            check_partitioner("f", &Component { kind: VALIDATION, offset: 0, bytes: bytes.into() })
        };
        assert!(of(PARTITIONER).is_ok());
        let error = of("org.apache.cassandra.dht.ByteOrderedPartitioner").unwrap_err();
        assert!(!error.is_corruption() && error.to_string().contains("ByteOrderedPartitioner;"), "{error}");
    }

    #[test]
    fn components_lie_in_the_file_and_have_their_checksum() {
        let content = [b"abcd", &crc32fast::hash(b"abcd").to_be_bytes()[..]].concat();
        let bytes = Bytes::from(content.clone());
        assert_eq!(cut(&bytes, 0, 0, 8).map(|component| component.bytes).ok(), Some(Bytes::from_static(b"abcd")));
        for (offset, end) in [(0, 9), (6, 8), (0, 3), (8, 8)] {
            assert!(
                matches!(cut(&bytes, 0, offset, end), Err(Fault::Corrupt(_, "length of a component"))),
                "{offset} {end}"
            );
        }
        assert!(matches!(cut(&bytes, 0, 1, 8), Err(Fault::Corrupt(4, "checksum of the metadata"))));
    }
}
