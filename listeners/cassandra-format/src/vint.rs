//! Cassandra's unsigned variable-length integers: the leading one bits of the first byte count the bytes that follow.

/// Decodes the integer at the start of `bytes`; returns it and its size, 1–9 bytes; `None` where bytes are missing.
pub(crate) fn peek(bytes: &[u8]) -> Option<(u64, usize)> {
    let first = *bytes.first()?;
    if first < 0x80 {
        return Some((first.into(), 1));
    }
    let extra = first.leading_ones() as usize;
    let tail = bytes.get(1..=extra)?;
    // With eight more bytes the first holds no bits of the value.
    let head = u64::from(first & 0xff_u8.checked_shr(first.leading_ones()).unwrap_or(0));
    Some((tail.iter().fold(head, |value, byte| (value << 8) | u64::from(*byte)), extra + 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_of_every_length_decode() {
        assert_eq!(peek(&[0x7f]), Some((0x7f, 1)));
        assert_eq!(peek(&[0x80, 0x80]), Some((0x80, 2)));
        assert_eq!(peek(&[0xbf, 0xff, 9]), Some((0x3fff, 2)));
        assert_eq!(peek(&[0xc0, 0x40, 0]), Some((0x4000, 3)));
        assert_eq!(peek(&[0xfe, 1, 2, 3, 4, 5, 6, 7]), Some((0x01_0203_0405_0607, 8)));
        assert_eq!(peek(&[0xff; 9]), Some((u64::MAX, 9)));
    }

    #[test]
    fn missing_bytes_are_noticed() {
        assert_eq!(peek(&[]), None);
        assert_eq!(peek(&[0x80]), None);
        assert_eq!(peek(&[0xff; 8]), None);
    }
}
