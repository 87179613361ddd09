//! Partition keys: their place in the order, and the components of composite ones.

use bytes::{BufMut, Bytes, BytesMut};
use tidemark_catalog::{
    keys::{Key, KeyRange},
    opaque::Opaque,
};

/// Bytes of a key that its text shows; the rest is in its bytes.
const SHOWN: usize = 32;

/// A partition's place: ordered by token, then by key bytes, unsigned.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SegmentKey {
    /// Murmur3 token.
    pub token: i64,
    /// Raw partition key.
    pub key: Bytes,
}

impl SegmentKey {
    /// The key as it stands in a range page: 8 bytes of the token (big-endian, its sign bit flipped), then the raw key.
    pub fn stored(&self) -> Key {
        let bytes = Opaque::new([&place(self.token)[..], &self.key].concat());
        let shown = hex::encode(&self.key[..self.key.len().min(SHOWN)]);
        let rest = if self.key.len() > SHOWN { "…" } else { "" };
        Key { bytes, text: format!("{} {shown}{rest}", self.token) }
    }

    /// The key of what [`SegmentKey::stored`] wrote; `None` where it is shorter than a token.
    pub fn of_stored(key: &Key) -> Option<Self> {
        let (place, key) = key.bytes.as_bytes().split_first_chunk::<8>()?;
        Some(Self { token: token(*place), key: Bytes::copy_from_slice(key) })
    }
}

impl From<SegmentKey> for Key {
    fn from(key: SegmentKey) -> Self {
        key.stored()
    }
}

/// A token as bytes that order as tokens do.
fn place(token: i64) -> [u8; 8] {
    (token.cast_unsigned() ^ (1 << 63)).to_be_bytes()
}

fn token(place: [u8; 8]) -> i64 {
    (u64::from_be_bytes(place) ^ (1 << 63)).cast_signed()
}

/// The keys with tokens in `(after, through]`; all where these are the ends of the ring.
pub(crate) fn range(after: i64, through: i64) -> KeyRange {
    // A range begins and ends before a token: the one behind each end, and none behind the last.
    let end = |end: i64| end.checked_add(1).map(|next| Opaque::new(place(next).to_vec()));
    let from = if after == i64::MIN { None } else { end(after) };
    KeyRange { from, until: end(through), text: format!("({after}, {through}]") }
}

/// The tokens `(after, through]` of what [`range`] gave; `None` where its ends are no tokens.
pub(crate) fn tokens(range: &KeyRange) -> Option<(i64, i64)> {
    let end = |bound: &Opaque| token(bound.as_bytes().try_into().ok()?).checked_sub(1);
    let after = range.from.as_ref().map_or(Some(i64::MIN), end)?;
    if after == i64::MIN && range.from.is_some() {
        return None;
    }
    let through = range.until.as_ref().map_or(Some(i64::MAX), end)?;
    Some((after, through))
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
        assert_eq!(SegmentKey::of_stored(&key.stored()), Some(key));
    }

    #[test]
    fn stored_keys_order_as_keys_do_and_ranges_hold_their_tokens() {
        let keys = |token| [&b""[..], b"\0", b"\xff"].map(|key| SegmentKey { token, key: Bytes::from_static(key) });
        let tokens_of = [i64::MIN, i64::MIN + 1, -1, 0, 1, i64::MAX];
        let all: Vec<_> = tokens_of.into_iter().flat_map(keys).collect();
        assert!(all.is_sorted() && all.iter().map(SegmentKey::stored).is_sorted());
        for (after, through) in [(i64::MIN, i64::MAX), (i64::MIN, -1), (-1, 1), (0, i64::MAX), (-2, -1)] {
            let range = range(after, through);
            assert_eq!(tokens(&range), Some((after, through)));
            for key in all.iter().filter(|key| key.token > i64::MIN) {
                let inside = after < key.token && key.token <= through;
                assert_eq!(range.holds(&key.stored().bytes), inside, "{key:?} {after} {through}");
            }
        }
    }
}
