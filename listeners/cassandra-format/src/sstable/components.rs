//! The small components beside Data.db: which must be there, and what they say.

use bytes::Bytes;

use super::compression::CompressionInfo;
use super::cursor::{Cursor, Decoded};
use super::data::Chunking;
use super::statistics::damage;
use super::{Descriptor, Error, SsTableFiles};

/// A chunk of a plain file is read as a whole; Cassandra's are 64 KiB.
const MAX_PLAIN_CHUNK_BYTES: i32 = 64 << 20;

/// The descriptor of any file's name, or of the names' common part.
pub(super) fn describe(name: &str) -> Result<Descriptor, Error> {
    let has_component = name.matches('-').count() > 2;
    let name = if has_component { name.to_owned() } else { format!("{name}-Data.db") };
    Descriptor::parse(&name).map(|(descriptor, _)| descriptor)
}

/// Refuses a set of files that lacks a component which the table of contents lists and which is used here.
pub(super) fn check_listed(descriptor: &Descriptor, files: &SsTableFiles) -> Result<(), Error> {
    let Some(toc) = &files.toc else { return Ok(()) };
    let toc_file = descriptor.file_name("TOC.txt");
    let text = std::str::from_utf8(toc).map_err(|_| Error::corrupt(&toc_file, 0, "not text"))?;
    let lists = |component: &str| text.lines().any(|line| line.trim_end() == component);
    for (component, is_given) in [
        ("CompressionInfo.db", files.compression_info.is_some()),
        ("CRC.db", files.crc.is_some()),
        ("Digest.crc32", files.digest.is_some()),
    ] {
        if lists(component) && !is_given {
            return Err(Error::corrupt(&descriptor.file_name(component), 0, "the file is missing"));
        }
    }
    if lists("Data.db") && lists("Statistics.db") {
        return Ok(());
    }
    Err(Error::corrupt(&toc_file, 0, "it lists no data"))
}

/// How Data.db is cut into chunks. One of the two components with checksums must be there, and not both.
pub(super) fn chunking(descriptor: &Descriptor, files: &SsTableFiles) -> Result<Chunking, Error> {
    let file_bytes = files.data.size();
    match (&files.compression_info, &files.crc) {
        (Some(info), None) => {
            let file = descriptor.file_name("CompressionInfo.db");
            Ok(Chunking::Compressed(CompressionInfo::parse(&file, info, file_bytes)?))
        }
        (None, Some(crc)) => {
            let file = descriptor.file_name("CRC.db");
            let (chunk_bytes, checksums) = parse_crc(crc, file_bytes).map_err(|fault| damage(&file, fault))?;
            Ok(Chunking::Plain { chunk_bytes, checksums })
        }
        (None, None) => {
            let reason = "neither CompressionInfo.db nor CRC.db is there: the data cannot be verified";
            Err(Error::corrupt(&descriptor.file_name("Data.db"), 0, reason))
        }
        (Some(_), Some(_)) => {
            Err(Error::corrupt(&descriptor.file_name("CRC.db"), 0, "CompressionInfo.db is there, too"))
        }
    }
}

/// CRC.db: i32 length of chunks, then the CRC32 of each; a file may end with that of an empty chunk.
fn parse_crc(crc: &Bytes, file_bytes: u64) -> Decoded<(usize, Bytes)> {
    let c = &mut Cursor::new(crc, 0);
    let chunk_bytes = c.i32()?;
    if !(1..=MAX_PLAIN_CHUNK_BYTES).contains(&chunk_bytes) {
        return c.corrupt("the length of chunks");
    }
    let chunks = file_bytes.div_ceil(chunk_bytes as u64);
    let stored = crc.len() - 4;
    if !stored.is_multiple_of(4) || (stored as u64 / 4 != chunks && stored as u64 / 4 != chunks + 1) {
        return c.corrupt("the number of checksums does not fit the length of the data");
    }
    Ok((chunk_bytes as usize, c.take(stored)?))
}

/// Digest.crc32: the CRC32 of Data.db as stored, in decimal digits.
pub(super) fn digest(descriptor: &Descriptor, digest: Option<&Bytes>) -> Result<Option<u32>, Error> {
    let Some(digest) = digest else { return Ok(None) };
    let text = std::str::from_utf8(digest).ok().map(str::trim_end);
    let digits = text.filter(|text| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()));
    let parsed = digits.and_then(|digits| digits.parse().ok());
    let file = descriptor.file_name("Digest.crc32");
    parsed.map(Some).ok_or_else(|| Error::corrupt(&file, 0, "not a decimal CRC32"))
}
