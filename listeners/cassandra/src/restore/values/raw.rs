//! Collections as CQL answers carry them: native protocol v4 and v5, §6 "Data Type Serialization Formats".
//!
//! Everything is read with checked lengths; `None` means that the bytes are not of the type.

use bytes::Bytes;

/// One element of a collection, or one field of a user-defined type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Element {
    /// Set: the element; map: the key; user-defined type: the 2-byte field index; list: empty.
    pub(crate) key: Bytes,
    /// List, map and field: the value; set: empty.
    pub(crate) value: Bytes,
    /// Write time, µs, where it was asked for.
    pub(crate) ts: Option<i64>,
    /// Remaining time to live, s, where it was asked for and there is one.
    pub(crate) ttl: Option<i32>,
}

/// The elements of a list, with write times from `WRITETIME(l)` where given; none for null.
pub(crate) fn list(value: Option<&Bytes>, times: Option<&Bytes>) -> Option<Vec<Element>> {
    let values = sequence(value)?;
    let elements = values.into_iter().map(|v| Some((Bytes::new(), v?))).collect::<Option<Vec<_>>>()?;
    timed(elements, times, None)
}

/// The elements of a set.
pub(crate) fn set(value: Option<&Bytes>, times: Option<&Bytes>, ttls: Option<&Bytes>) -> Option<Vec<Element>> {
    let elements = sequence(value)?.into_iter().map(|v| Some((v?, Bytes::new()))).collect::<Option<Vec<_>>>()?;
    timed(elements, times, ttls)
}

/// The elements of a list with times to live.
pub(crate) fn list_with_ttls(
    value: Option<&Bytes>,
    times: Option<&Bytes>,
    ttls: Option<&Bytes>,
) -> Option<Vec<Element>> {
    let values = sequence(value)?;
    let elements = values.into_iter().map(|v| Some((Bytes::new(), v?))).collect::<Option<Vec<_>>>()?;
    timed(elements, times, ttls)
}

/// The entries of a map.
pub(crate) fn map(value: Option<&Bytes>, times: Option<&Bytes>, ttls: Option<&Bytes>) -> Option<Vec<Element>> {
    let Some(value) = value else { return Some(Vec::new()) };
    let mut at = Cursor { bytes: value.clone() };
    let count = usize::try_from(at.int()?).ok()?;
    let mut elements = Vec::new();
    for _ in 0..count {
        elements.push((at.value()??, at.value()??));
    }
    at.bytes.is_empty().then_some(())?;
    timed(elements, times, ttls)
}

/// The fields of a user-defined type that are not null; times come one per field.
pub(crate) fn fields(value: Option<&Bytes>, times: Option<&Bytes>, ttls: Option<&Bytes>) -> Option<Vec<Element>> {
    let Some(value) = value else { return Some(Vec::new()) };
    let mut at = Cursor { bytes: value.clone() };
    let (times, ttls) = (longs(times)?, ints(ttls)?);
    let mut found = Vec::new();
    for index in 0_u16.. {
        if at.bytes.is_empty() {
            break;
        }
        let Some(value) = at.value()? else { continue };
        let n = usize::from(index);
        let key = Bytes::copy_from_slice(&index.to_be_bytes());
        let (ts, ttl) = (times.get(n).copied().flatten(), ttls.get(n).copied().flatten());
        found.push(Element { key, value, ts, ttl });
    }
    Some(found)
}

/// Elements with the n-th time each.
fn timed(elements: Vec<(Bytes, Bytes)>, times: Option<&Bytes>, ttls: Option<&Bytes>) -> Option<Vec<Element>> {
    let (times, ttls) = (longs(times)?, ints(ttls)?);
    let of = |(n, (key, value)): (usize, (Bytes, Bytes))| Element {
        key,
        value,
        ts: times.get(n).copied().flatten(),
        ttl: ttls.get(n).copied().flatten(),
    };
    Some(elements.into_iter().enumerate().map(of).collect())
}

/// Values of a list or set; none for null.
fn sequence(value: Option<&Bytes>) -> Option<Vec<Option<Bytes>>> {
    let Some(value) = value else { return Some(Vec::new()) };
    let mut at = Cursor { bytes: value.clone() };
    let count = usize::try_from(at.int()?).ok()?;
    let mut values = Vec::new();
    for _ in 0..count {
        values.push(at.value()?);
    }
    at.bytes.is_empty().then_some(values)
}

fn longs(value: Option<&Bytes>) -> Option<Vec<Option<i64>>> {
    let long = |v: Option<Bytes>| v.map(|b| <[u8; 8]>::try_from(b.as_ref()).ok().map(i64::from_be_bytes));
    sequence(value)?.into_iter().map(|v| long(v).map_or(Some(None), |known| known.map(Some))).collect()
}

fn ints(value: Option<&Bytes>) -> Option<Vec<Option<i32>>> {
    let int = |v: Option<Bytes>| v.map(|b| <[u8; 4]>::try_from(b.as_ref()).ok().map(i32::from_be_bytes));
    sequence(value)?.into_iter().map(|v| int(v).map_or(Some(None), |known| known.map(Some))).collect()
}

/// A place in the bytes of a value.
struct Cursor {
    bytes: Bytes,
}

impl Cursor {
    fn int(&mut self) -> Option<i32> {
        let first = *self.bytes.first_chunk::<4>()?;
        self.bytes = self.bytes.slice(4..);
        Some(i32::from_be_bytes(first))
    }

    /// A value with its length before it; the inner `None` is null.
    fn value(&mut self) -> Option<Option<Bytes>> {
        let Ok(length) = usize::try_from(self.int()?) else { return Some(None) };
        (length <= self.bytes.len()).then(|| Some(self.bytes.split_to(length)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(parts: &[&[u8]]) -> Bytes {
        Bytes::from(parts.concat())
    }

    #[test]
    fn elements_come_with_their_times() {
        let value = bytes(&[&[0, 0, 0, 2], &[0, 0, 0, 1, b'a'], &[0, 0, 0, 1, b'b']]);
        let times = bytes(&[&[0, 0, 0, 2], &[0, 0, 0, 8], &7_i64.to_be_bytes(), &[0, 0, 0, 8], &8_i64.to_be_bytes()]);
        let ttls = bytes(&[&[0, 0, 0, 2], &[0xff; 4], &[0, 0, 0, 4], &9_i32.to_be_bytes()]);
        let found = set(Some(&value), Some(&times), Some(&ttls)).unwrap();
        assert_eq!(found.iter().map(|e| (e.ts, e.ttl)).collect::<Vec<_>>(), vec![(Some(7), None), (Some(8), Some(9))]);
    }

    #[test]
    fn null_fields_are_passed_over_and_missing_ones_end_the_value() {
        let value = bytes(&[&[0xff; 4], &[0, 0, 0, 1, b'g']]);
        let found = fields(Some(&value), None, None).unwrap();
        assert_eq!((found.len(), &found[0].key[..], &found[0].value[..]), (1, &[0, 1][..], &b"g"[..]));
    }

    #[test]
    fn bytes_of_another_shape_are_refused() {
        for wrong in [&[0_u8, 0, 0][..], &[0, 0, 0, 1], &[0, 0, 0, 1, 0, 0, 0, 9, 1], &[0, 0, 0, 0, 1], &[0xff; 4]] {
            let wrong = Bytes::copy_from_slice(wrong);
            assert_eq!(list(Some(&wrong), None), None, "{wrong:?}");
            assert_eq!(map(Some(&wrong), None, None), None, "{wrong:?}");
        }
        assert_eq!(list(None, None), Some(vec![]));
    }
}
