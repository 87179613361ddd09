//! Checksums set to what they should be, so that what lies behind them is reached.

/// Statistics.db with all its checksums right, as far as its table of contents makes sense.
pub(crate) fn statistics(bytes: &[u8]) -> Vec<u8> {
    let mut sealed = bytes.to_vec();
    let Some(count) = number(bytes, 0).filter(|count| *count <= 16) else { return sealed };
    put(&mut sealed, 4, &[bytes.get(..4).unwrap_or_default()]);
    let end = 8 + 8 * count;
    let Some(entries) = bytes.get(8..end) else { return sealed };
    put(&mut sealed, end, &[&bytes[..4], entries]);
    let starts: Vec<usize> = (0..count).filter_map(|entry| number(bytes, 12 + 8 * entry)).collect();
    for (entry, start) in starts.iter().enumerate() {
        let end = starts.get(entry + 1).copied().unwrap_or(bytes.len()).saturating_sub(4);
        if let Some(component) = bytes.get(*start..end) {
            put(&mut sealed, end, &[component]);
        }
    }
    sealed
}

/// Compressed data with the checksum of each chunk right, as far as the offsets in CompressionInfo.db make sense.
pub(crate) fn chunks(info: &[u8], data: &[u8]) -> Vec<u8> {
    let mut sealed = data.to_vec();
    for (start, end) in spans(info, data.len()) {
        if let Some(stored) = data.get(start..end) {
            put(&mut sealed, end, &[stored]);
        }
    }
    sealed
}

/// Where the chunks lie, without their checksums. The offsets end CompressionInfo.db, eight bytes each, behind their number.
pub(crate) fn spans(info: &[u8], data_bytes: usize) -> Vec<(usize, usize)> {
    let counted = |count: &usize| number(info, info.len() - 8 * count - 4) == Some(*count);
    let Some(count) = (1..).take_while(|count| 8 * count + 4 <= info.len()).find(counted) else { return Vec::new() };
    let offset = |bytes: &[u8]| bytes.iter().fold(0_usize, |sum, byte| sum << 8 | usize::from(*byte));
    let mut starts: Vec<usize> = info[info.len() - 8 * count..].chunks_exact(8).map(offset).collect();
    starts.push(data_bytes);
    starts.windows(2).map(|pair| (pair[0], pair[1].saturating_sub(4))).collect()
}

/// CRC.db for this data in chunks of this length.
pub(crate) fn crc(chunk_bytes: u32, data: &[u8]) -> Vec<u8> {
    let sums = data.chunks(chunk_bytes.max(1) as usize).flat_map(|chunk| crc32fast::hash(chunk).to_be_bytes());
    chunk_bytes.to_be_bytes().into_iter().chain(sums).collect()
}

/// Digest.crc32 for this data.
pub(crate) fn digest(data: &[u8]) -> Vec<u8> {
    crc32fast::hash(data).to_string().into_bytes()
}

fn number(bytes: &[u8], at: usize) -> Option<usize> {
    let found = bytes.get(at..)?.first_chunk::<4>()?;
    usize::try_from(u32::from_be_bytes(*found)).ok()
}

fn put(bytes: &mut [u8], at: usize, covered: &[&[u8]]) {
    let mut sum = crc32fast::Hasher::new();
    covered.iter().for_each(|part| sum.update(part));
    if let Some(place) = at.checked_add(4).and_then(|end| bytes.get_mut(at..end)) {
        place.copy_from_slice(&sum.finalize().to_be_bytes());
    }
}
