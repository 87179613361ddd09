//! Partition keys: their place in the order, and the components of composite ones.

use bytes::{BufMut, Bytes, BytesMut};
use tidemark_catalog::entry::KeyBound;

/// A partition's place: ordered by token, then by key bytes, unsigned.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SegmentKey {
    /// Murmur3 token.
    pub token: i64,
    /// Raw partition key.
    pub key: Bytes,
}

impl SegmentKey {
    /// The key as it stands in a range page.
    pub fn bound(&self) -> KeyBound {
        KeyBound { token: self.token.to_string(), key: hex::encode(&self.key) }
    }

    /// The key of a bound; `None` where its token or key is not what [`SegmentKey::bound`] writes.
    pub fn of_bound(bound: &KeyBound) -> Option<Self> {
        let token = bound.token.parse().ok()?;
        Some(Self { token, key: hex::decode(&bound.key).ok()?.into() })
    }
}

/// The components of a key of `count` columns; `None` where [`join`] would not give the same bytes.
pub(super) fn split(key: &[u8], count: usize) -> Option<Vec<&[u8]>> {
    if count == 1 {
        return Some(vec![key]);
    }
    let mut rest = key;
    let mut components = Vec::with_capacity(count);
    for _ in 0..count {
        let (length, tail) = rest.split_first_chunk::<2>()?;
        let (component, tail) = tail.split_at_checked(usize::from(u16::from_be_bytes(*length)))?;
        rest = tail.strip_prefix(&[0])?;
        components.push(component);
    }
    rest.is_empty().then_some(components)
}

/// The key of these components; `None` where one of several is longer than a composite key can say.
pub(super) fn join(components: &[Bytes]) -> Option<Bytes> {
    if let [only] = components {
        return Some(only.clone());
    }
    let mut key = BytesMut::with_capacity(components.iter().map(|c| c.len() + 3).sum());
    for component in components {
        key.put_u16(component.len().try_into().ok()?);
        key.put_slice(component);
        key.put_u8(0);
    }
    Some(key.freeze())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn composite_keys_split_and_join() {
        let key = join(&[Bytes::from_static(b"a"), Bytes::new()]).unwrap();
        assert_eq!(&key[..], b"\0\x01a\0\0\0\0");
        assert_eq!(split(&key, 2), Some(vec![&b"a"[..], &b""[..]]));
    }

    #[test]
    fn keys_that_would_not_come_back_do_not_split() {
        for key in [&b"\0\x01a\x01\0\0\0"[..], b"\0\x01a\0\0\0", b"\0\x01a\0\0\0\0x", b"", b"\0\xffa\0\0\0\0"] {
            assert_eq!(split(key, 2), None);
        }
    }

    #[test]
    fn bounds_give_the_key_back() {
        let key = SegmentKey { token: i64::MIN + 1, key: Bytes::from_static(&[0, 255]) };
        assert_eq!(SegmentKey::of_bound(&key.bound()), Some(key));
    }
}
