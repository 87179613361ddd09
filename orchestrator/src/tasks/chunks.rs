//! Values larger than one value of the coordinator, cut into chunks that are written in one transaction.
//!
//! The chunks of a value are the keys `<prefix>0000`, `<prefix>0001` …; the bytes of all of them in this order are the value.

use crate::coordinator::{Kv, Op};

/// Bytes of a chunk.
const CHUNK_BYTES: usize = 60 << 10;

/// Largest value in chunks, bytes: a transaction of the coordinator's larger backends holds 1.5 MiB.
pub(super) const WHOLE_BYTES: usize = 1 << 20;

/// What writes a value.
pub(super) fn puts(prefix: &str, bytes: &[u8]) -> Vec<Op> {
    bytes.chunks(CHUNK_BYTES).enumerate().map(|(index, chunk)| Op::put(format!("{prefix}{index:04}"), chunk)).collect()
}

/// The value of these chunks under the key of the first; `None` where there are none.
pub(super) fn joined(chunks: &[Kv]) -> Option<Kv> {
    let first = chunks.first()?;
    let value = chunks.iter().flat_map(|kv| &kv.value).copied().collect();
    Some(Kv { value, ..first.clone() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::coordinator::{MAX_OPS, MAX_VALUE_BYTES};

    #[test]
    fn the_largest_value_keeps_the_bounds_of_a_transaction_also_where_it_replaces_another() {
        let bytes = vec![7; WHOLE_BYTES];
        let ops = puts("checkpoint/t/part#", &bytes);
        assert!(ops.len() * 2 + 5 < MAX_OPS, "{}", ops.len());
        let kvs = ops.into_iter().map(|op| match op {
            Op::Put { key, value, .. } => Kv { key, value, create_revision: 1, mod_revision: 1, lease: None },
            other => panic!("{other:?}"),
        });
        let kvs: Vec<_> = kvs.collect();
        assert!(kvs.iter().all(|kv| kv.value.len() <= MAX_VALUE_BYTES) && kvs.is_sorted_by_key(|kv| &kv.key));
        let whole = joined(&kvs).unwrap();
        assert!(whole.value == bytes && whole.key == "checkpoint/t/part#0000");
        assert_eq!(joined(&[]), None);
    }
}
