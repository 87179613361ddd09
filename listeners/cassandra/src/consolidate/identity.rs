//! Identities of merged SSTables: by content, never by name, because integer SSTable ids start again after TRUNCATE.

use std::collections::BTreeMap;

use bytes::Bytes;
use serde_json::json;
use tidemark_catalog::{identities::Identity, opaque::Opaque};
use tidemark_gateway::Digest;

/// Component of Statistics.db that never changes; repair and levelled compaction rewrite others in place.
const HEADER: i32 = 3;

/// The identity of an SSTable of a host's table: its name, size of Data, and BLAKE3 of Digest, of CompressionInfo or CRC, and of
/// the HEADER part of Statistics; what it has not is null. Its id is the BLAKE3 of all of that in this order, behind host and table
/// id, as a JSON array without blanks.
pub(super) fn of(
    host: &str,
    table_id: &str,
    name: &str,
    components: &BTreeMap<String, Bytes>,
    data_bytes: u64,
) -> Identity {
    let digest = |component: &str| components.get(component).map(|bytes| Digest::of(bytes));
    let header = components.get("Statistics.db").and_then(header).map(|header| Digest::of(&header));
    let (digest, chunks) = (digest("Digest.crc32"), digest("CompressionInfo.db").or_else(|| digest("CRC.db")));
    let id = json!([host, table_id, name, data_bytes, digest, chunks, header]);
    let id = Digest::of(id.to_string().as_bytes());
    let own = json!({
        "sstable": name,
        "data_bytes": data_bytes,
        "digest": digest,
        "chunks": chunks,
        "header": header,
    });
    Identity { partition: host.to_owned(), id: Opaque::new(id.as_bytes().to_vec()), own }
}

/// The HEADER part of Statistics.db, its own checksum included; `None` where the file's table has none in its bounds.
fn header(statistics: &Bytes) -> Option<Bytes> {
    let count = usize::try_from(int(statistics, 0)?).ok().filter(|count| *count <= 16)?;
    // Count, its checksum, then pairs of kind and offset.
    let entry = |i: usize| Some((int(statistics, 8 + 8 * i)?, usize::try_from(int(statistics, 12 + 8 * i)?).ok()?));
    let entries: Vec<_> = (0..count).map(entry).collect::<Option<_>>()?;
    let start = entries.iter().find(|(kind, _)| *kind == HEADER)?.1;
    let end = entries.iter().map(|(_, offset)| *offset).filter(|offset| *offset > start).min();
    let end = end.unwrap_or(statistics.len());
    (start <= end && end <= statistics.len()).then(|| statistics.slice(start..end))
}

fn int(bytes: &[u8], at: usize) -> Option<i32> {
    Some(i32::from_be_bytes(*bytes.get(at..)?.first_chunk()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_identity_is_of_these_bytes_for_ever() {
        const ABC: &str = "6437b3ac38465133ffb63b75273a8db548c558465d79db03fd359c6cd5bd9d85";
        let components = |names: &[&str]| names.iter().map(|name| ((*name).to_owned(), Bytes::from("abc"))).collect();
        let id = |names: &[&str]| of("h", "t", "nb-1-big", &components(names), 5);
        let of_text = |text: String| Opaque::new(Digest::of(text.as_bytes()).as_bytes().to_vec());
        let none = id(&["Data.db", "Statistics.db"]);
        assert_eq!(none.id, of_text(r#"["h","t","nb-1-big",5,null,null,null]"#.to_owned()));
        let both = id(&["Digest.crc32", "CRC.db"]);
        assert_eq!(both.id, of_text(format!(r#"["h","t","nb-1-big",5,"{ABC}","{ABC}",null]"#)));
        assert_eq!((both.partition.as_str(), both.own["chunks"].as_str()), ("h", Some(ABC)));
    }

    #[test]
    fn the_header_is_cut_out_of_statistics() {
        let mut bytes: Vec<u8> = Vec::new();
        for number in [2_i32, 77, 2, 28, 3, 31, 99] {
            bytes.extend(number.to_be_bytes());
        }
        bytes.extend(b"statHEADER");
        assert_eq!(header(&bytes.clone().into()).unwrap(), "tHEADER");
        assert_eq!(header(&bytes[..20].to_vec().into()), None);
        assert_eq!(header(&Bytes::new()), None);
    }
}
