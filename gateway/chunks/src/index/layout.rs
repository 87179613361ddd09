//! The bytes of an index object.
//!
//! Header; then group by group the sealed shards of the group and the sealed group itself; then the sealed pages of the table of
//! packs; then the sealed summary; then a footer of 16 bytes: where the summary begins (64 bits), its sealed length (32 bits),
//! magic `indx`.
//!
//! - A *shard* has the rows of all ids with the same first `shard_bits` bits, sorted by id and pack: id (32), number of the pack (32
//!   bits), offset and length of the frame (32 bits each), bytes of the chunk (24 bits), class (8 bits).
//! - A *group* has, for each of its 64 shards (fewer where there are fewer): offset (64 bits), sealed length, number of rows (32 bits
//!   each); then, shard by shard, of each row the 16 bits of the id that follow the first `shard_bits`.
//! - A *page of packs* has 64 records (the last page fewer) of 256 bytes: length of the name (8 bits), the name padded with zeros
//!   to 111 bytes, header (104), size (64 bits), BLAKE3 (32).
//! - The *summary*: number of rows (64 bits), of packs (32 bits), `shard_bits` (8 bits), where the pages of packs begin (64 bits), then
//!   of each group offset (64 bits) and sealed length (32 bits).

use object_store::path::Path;
use tidemark_gateway::{Digest, Stored};

use crate::{
    ChunkId, Class,
    fields::Fields,
    frame::FRAME_BYTES,
    header::{HEADER_BYTES, Header, Kind, MOST_PATH_BYTES},
    pack::{Entry, PackRecord},
};

pub(super) const MAGIC: &[u8; 4] = b"indx";
pub(super) const ROW_BYTES: usize = 48;
pub(super) const SHARDS_IN_GROUP: u64 = 64;
pub(super) const RECORDS_IN_PAGE: u64 = 64;
pub(super) const RECORD_BYTES: usize = 256;

/// Rows that a shard has about half to all of.
const SHARD_ROWS: u64 = 512;

/// Most shards are 2^22: of 2^31 chunks.
pub(super) const MOST_SHARD_BITS: u8 = 22;

/// Most bytes of a sealed shard or group; a shard has evenly spread ids, so that only a made-up one would have more.
pub(super) const MOST_PART_BYTES: u32 = 16 << 20;

/// Most bytes of a summary: 2^16 groups.
pub(super) const MOST_SUMMARY_BYTES: u64 = 1 << 20;

const SHARD_BYTES: usize = 16;
const GROUP_BYTES: usize = 12;

/// A chunk in an index object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Row {
    pub(super) pack: u32,
    pub(super) entry: Entry,
}

impl Row {
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        let Entry { id, class, offset, stored, raw } = &self.entry;
        out.extend_from_slice(id.as_bytes());
        for word in [self.pack, *offset, *stored] {
            out.extend_from_slice(&word.to_le_bytes());
        }
        let [a, b, c, _] = raw.to_le_bytes();
        out.extend_from_slice(&[a, b, c, *class as u8]);
    }

    fn read(fields: &mut Fields<'_>) -> Option<Self> {
        let (id, pack) = (ChunkId::from_bytes(fields.array()?), fields.u32()?);
        let (offset, stored) = (fields.u32()?, fields.u32()?);
        let [a, b, c, class] = fields.array()?;
        let raw = u32::from_le_bytes([a, b, c, 0]);
        let entry = Entry { id, class: Class::from_byte(class)?, offset, stored, raw };
        entry.is_bounded().then_some(Self { pack, entry })
    }

    /// All rows of a shard.
    pub(super) fn read_all(shard: &[u8]) -> Option<Vec<Self>> {
        let (rows, rest) = shard.as_chunks::<ROW_BYTES>();
        let read = rows.iter().map(|row| Self::read(&mut Fields::new(row)));
        rest.is_empty().then(|| read.collect()).flatten()
    }

    /// The rows of one id.
    pub(super) fn find(shard: &[u8], id: &ChunkId) -> Option<Vec<Self>> {
        let (rows, rest) = shard.as_chunks::<ROW_BYTES>();
        let start = rows.partition_point(|row| row[..32] < id.as_bytes()[..]);
        let same = rows[start..].iter().take_while(|row| row[..32] == id.as_bytes()[..]);
        let read = same.map(|row| Self::read(&mut Fields::new(row)));
        rest.is_empty().then(|| read.collect()).flatten()
    }
}

/// Bits of the id that say the shard, for so many rows.
pub(super) fn shard_bits(rows: u64) -> u8 {
    let shards = rows.div_ceil(SHARD_ROWS).max(1).next_power_of_two();
    (shards.trailing_zeros() as u8).min(MOST_SHARD_BITS)
}

pub(super) fn shard_of(id: &ChunkId, bits: u8) -> u64 {
    id.prefix().checked_shr(64 - u32::from(bits)).unwrap_or(0)
}

pub(super) fn fingerprint(id: &ChunkId, bits: u8) -> u16 {
    ((id.prefix() << bits) >> 48) as u16
}

/// Where a sealed shard is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct ShardAt {
    pub(super) offset: u64,
    pub(super) sealed: u32,
    pub(super) rows: u32,
}

impl ShardAt {
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.offset.to_le_bytes());
        out.extend_from_slice(&self.sealed.to_le_bytes());
        out.extend_from_slice(&self.rows.to_le_bytes());
    }

    fn read(fields: &mut Fields<'_>) -> Option<Self> {
        let (offset, sealed, rows) = (fields.u64()?, fields.u32()?, fields.u32()?);
        let expected = if rows == 0 { 0 } else { rows as usize * ROW_BYTES + FRAME_BYTES };
        (sealed as usize == expected && sealed <= MOST_PART_BYTES && offset >> 60 == 0).then_some(Self {
            offset,
            sealed,
            rows,
        })
    }
}

/// The shards of a group, and the fingerprints of one of them.
pub(super) fn read_group(group: &[u8], shards: u64) -> Option<Vec<ShardAt>> {
    let mut fields = Fields::new(group);
    let read: Vec<_> = (0..shards).map(|_| ShardAt::read(&mut fields)).collect::<Option<_>>()?;
    let rows: usize = read.iter().map(|shard| shard.rows as usize).sum();
    (fields.left() == rows * 2).then_some(read)
}

/// The shard with number `within` of the group, where it may hold an id of this fingerprint. The group is one that was read.
pub(super) fn candidate(group: &[u8], shards: u64, within: u64, fingerprint: u16) -> Option<ShardAt> {
    let (within, table) = (usize::try_from(within).ok()?, shards as usize * SHARD_BYTES);
    let (directory, _) = group.get(..table)?.as_chunks::<SHARD_BYTES>();
    let rows = |at: &[u8; SHARD_BYTES]| u32::from_le_bytes([at[12], at[13], at[14], at[15]]) as usize;
    let before: usize = directory.iter().take(within).map(rows).sum();
    let shard = ShardAt::read(&mut Fields::new(directory.get(within)?))?;
    let start = table + before * 2;
    let (prints, _) = group.get(start..start + shard.rows as usize * 2)?.as_chunks::<2>();
    prints.binary_search_by_key(&fingerprint, |print| u16::from_le_bytes(*print)).ok().map(|_| shard)
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Summary {
    pub(super) rows: u64,
    pub(super) packs: u32,
    pub(super) shard_bits: u8,
    pub(super) packs_at: u64,
    /// Where each group begins, and its sealed length.
    pub(super) groups: Vec<(u64, u32)>,
}

impl Summary {
    /// Shards of each group.
    pub(super) fn shards(&self) -> u64 {
        shards_in_group(self.shard_bits)
    }

    pub(super) fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.rows.to_le_bytes());
        out.extend_from_slice(&self.packs.to_le_bytes());
        out.push(self.shard_bits);
        out.extend_from_slice(&self.packs_at.to_le_bytes());
        for (offset, sealed) in &self.groups {
            out.extend_from_slice(&offset.to_le_bytes());
            out.extend_from_slice(&sealed.to_le_bytes());
        }
    }

    pub(super) fn read(bytes: &[u8]) -> Option<Self> {
        let mut fields = Fields::new(bytes);
        let (rows, packs, shard_bits, packs_at) = (fields.u64()?, fields.u32()?, fields.u8()?, fields.u64()?);
        let bounded = shard_bits <= MOST_SHARD_BITS && rows >> 40 == 0 && packs_at >> 60 == 0;
        let groups =
            bounded.then(|| groups(shard_bits)).filter(|groups| fields.left() as u64 == groups * GROUP_BYTES as u64);
        let groups = (0..groups?).map(|_| Some((fields.u64()?, fields.u32()?))).collect::<Option<Vec<_>>>()?;
        let fits = groups.iter().all(|(offset, sealed)| offset >> 60 == 0 && *sealed <= MOST_PART_BYTES);
        fits.then_some(Self { rows, packs, shard_bits, packs_at, groups })
    }

    /// Where the page of packs with this number is.
    pub(super) fn page(&self, page: u64) -> (u64, u32) {
        let full = RECORDS_IN_PAGE * RECORD_BYTES as u64 + FRAME_BYTES as u64;
        let records = (u64::from(self.packs) - page * RECORDS_IN_PAGE).min(RECORDS_IN_PAGE);
        (self.packs_at + page * full, (records as usize * RECORD_BYTES + FRAME_BYTES) as u32)
    }
}

pub(super) fn shards_in_group(bits: u8) -> u64 {
    (1 << bits).min(SHARDS_IN_GROUP)
}

pub(super) fn groups(bits: u8) -> u64 {
    (1 << bits) / shards_in_group(bits)
}

pub(super) fn write_pack(record: &PackRecord, out: &mut Vec<u8>) {
    let (name, end) = (record.path.as_ref().as_bytes(), out.len() + RECORD_BYTES);
    out.push(u8::try_from(name.len()).expect("names are bounded when their keys are issued"));
    out.extend_from_slice(name);
    out.resize(end - (RECORD_BYTES - 1 - MOST_PATH_BYTES), 0);
    out.extend_from_slice(&record.header.to_bytes());
    out.extend_from_slice(&record.stored.size.to_le_bytes());
    out.extend_from_slice(record.stored.digest.as_bytes());
}

pub(super) fn read_pack(bytes: &[u8]) -> Option<PackRecord> {
    let mut fields = Fields::new(bytes);
    let len = usize::from(fields.u8()?);
    let name = fields.bytes(MOST_PATH_BYTES)?.get(..len)?;
    let path = Path::parse(std::str::from_utf8(name).ok()?).ok()?;
    let header = Header::read(fields.bytes(HEADER_BYTES)?, Kind::Pack).ok()?;
    let (size, digest) = (fields.u64()?, Digest::from(blake3::Hash::from_bytes(fields.array()?)));
    fields.end()?;
    Some(PackRecord { path, header, stored: Stored { size, digest, tree: None } })
}
