//! Values that come again: a few of each type, the extreme ones among them.

use bytes::Bytes;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::extremes::extreme;
use crate::tables::{Kind, values};

/// How many different values a type has, besides the extreme ones.
const VALUES: u64 = 7;

/// One of a few values of a type, for elements and map keys: writes are to meet.
pub(super) fn key(kind: &Kind, rng: &mut ChaCha8Rng) -> Bytes {
    if rng.random_range(0..4) == 0 { extreme(kind, rng) } else { numbered(kind, rng.random_range(0..VALUES)) }
}

/// As [`key`], for clustering columns, which may be of no bytes.
pub(super) fn clustering(kind: &Kind, rng: &mut ChaCha8Rng) -> Bytes {
    if kind.may_be_empty() && rng.random_range(0..12) == 0 { Bytes::new() } else { key(kind, rng) }
}

/// As [`key`], but never without bytes, which the only column of a partition key must not be.
pub(super) fn partition_key(kind: &Kind, rng: &mut ChaCha8Rng) -> Bytes {
    (0..VALUES).map(|_| key(kind, rng)).find(|value| !value.is_empty()).unwrap_or_else(|| extreme(kind, rng))
}

/// A value of a column: mostly one of a few, so that equal values meet too, otherwise any.
pub(super) fn value(kind: &Kind, rng: &mut ChaCha8Rng) -> Bytes {
    if rng.random_range(0..4) == 0 { values::value(kind, rng) } else { key(kind, rng) }
}

/// As [`value`], for elements and fields: servers take values without bytes of most types for a whole column only.
pub(super) fn element(kind: &Kind, rng: &mut ChaCha8Rng) -> Bytes {
    if rng.random_range(0..4) == 0 { values::filled(kind, rng) } else { key(kind, rng) }
}

fn numbered(kind: &Kind, number: u64) -> Bytes {
    values::filled(kind, &mut ChaCha8Rng::seed_from_u64(number))
}
