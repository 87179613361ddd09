//! Counter contexts: what the cell of a counter column holds, and how two of them merge.
//!
//! A context is a set of shards, one per counter id (a node, or an earlier life of one): id of 16 bytes, logical clock and
//! count. The counter's value is the sum of the counts. On disk: i16 *n*, *n* × i16 header elements, then the shards of 32
//! bytes, ascending by id. A header element `index + i16::MIN` says that the shard at `index` is global, a plain `index`
//! that it is local; shards without an element are remote.
//!
//! Global shards are all that Cassandra 2.1 and later write. Remote ones are left of 2.0 and merge as well. Two *local*
//! shards of one id add up, so that merging what was merged before counts twice: contexts with local shards are refused.
//! What is accepted is a join, the greatest shard of each id: commutative, associative and idempotent.
//!
//! Rules: `db/context/CounterContext.java` and `db/rows/Cells.java` of Cassandra 4.0–5.0.

use std::cmp::Ordering;

use bytes::{BufMut, Bytes, BytesMut};

/// Bytes of a counter id.
const ID_BYTES: usize = 16;

/// Bytes of a shard: id, clock, count.
const SHARD_BYTES: usize = ID_BYTES + 8 + 8;

/// Most shards of a context: its header counts them in an i16.
const MOST_SHARDS: usize = i16::MAX as usize;

/// Why a context is not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// It holds local shards.
    #[error("it holds local shards of Cassandra 2.0 or older, of which no second copy can be merged")]
    Local,
    /// It is none.
    #[error("its context is malformed: {0}")]
    Malformed(&'static str),
    /// The merge has more shards than a context can hold.
    #[error("it has more than {MOST_SHARDS} shards")]
    TooMany,
}

/// The count of one counter id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Shard<'a> {
    id: &'a [u8],
    is_global: bool,
    clock: i64,
    count: i64,
}

impl Shard<'_> {
    /// Of two shards of one id the one of higher rank survives: global over remote, then by clock, then by count.
    ///
    /// Clocks of remote shards below zero mark counts that were reset: they stand above all others, the lowest first.
    fn rank(&self) -> (bool, bool, i64, i64) {
        let is_reset = !self.is_global && self.clock < 0;
        (self.is_global, is_reset, if is_reset { !self.clock } else { self.clock }, self.count)
    }
}

/// The shards of a context, ascending by id.
fn parse(context: &[u8]) -> Result<Vec<Shard<'_>>, Refused> {
    let (elements, body) = split(context)?;
    let mut globals = elements.chunks_exact(2).map(|pair| u16::from_be_bytes([pair[0], pair[1]])).peekable();
    let mut shards: Vec<Shard<'_>> = Vec::with_capacity(body.len() / SHARD_BYTES);
    for (index, shard) in (0_u16..).zip(body.chunks_exact(SHARD_BYTES)) {
        if globals.peek() == Some(&index) {
            return Err(Refused::Local);
        }
        let is_global = globals.next_if_eq(&(index | 1 << 15)).is_some();
        let (id, counts) = shard.split_at(ID_BYTES);
        let (clock, count) = counts.split_at(8);
        if shards.last().is_some_and(|last| last.id >= id) {
            return Err(Refused::Malformed("its ids do not ascend"));
        }
        shards.push(Shard { id, is_global, clock: number(clock), count: number(count) });
    }
    if globals.next().is_some() {
        Err(Refused::Malformed("its header names shards that are not there"))
    } else {
        Ok(shards)
    }
}

/// Header elements and shards, both of whole pieces.
fn split(context: &[u8]) -> Result<(&[u8], &[u8]), Refused> {
    let (count, rest) = context.split_first_chunk::<2>().ok_or(Refused::Malformed("it has no header"))?;
    // A negative number marks contexts whose local shards are still to be cleared.
    let count = usize::try_from(i16::from_be_bytes(*count)).map_err(|_| Refused::Local)?;
    let split = rest.split_at_checked(2 * count);
    let (elements, body) = split.ok_or(Refused::Malformed("its header is longer than the context"))?;
    if !body.len().is_multiple_of(SHARD_BYTES) {
        return Err(Refused::Malformed("it ends within a shard"));
    }
    if body.len() / SHARD_BYTES > MOST_SHARDS { Err(Refused::TooMany) } else { Ok((elements, body)) }
}

/// A big-endian number of eight bytes.
fn number(bytes: &[u8]) -> i64 {
    bytes.iter().fold(0, |number, byte| number << 8 | i64::from(*byte))
}

/// Checks that a context is whole and holds no local shards.
///
/// # Errors
/// [`Refused::Local`], [`Refused::Malformed`], [`Refused::TooMany`].
pub fn check(context: &[u8]) -> Result<(), Refused> {
    parse(context).map(drop)
}

/// The value of a context, as CQL shows it: the sum of the counts, which wraps as Java's does.
///
/// # Errors
/// As [`check`].
pub fn value(context: &[u8]) -> Result<i64, Refused> {
    Ok(parse(context)?.iter().fold(0, |sum, shard| sum.wrapping_add(shard.count)))
}

/// The join of two contexts.
///
/// # Errors
/// As [`check`], of either; [`Refused::TooMany`] of the join.
pub fn merge(left: &Bytes, right: &Bytes) -> Result<Bytes, Refused> {
    if left == right {
        return check(left).map(|()| left.clone());
    }
    let merged = join(&parse(left)?, &parse(right)?);
    if merged.len() > MOST_SHARDS { Err(Refused::TooMany) } else { Ok(encode(&merged)) }
}

/// The greatest shard of each id.
fn join<'a>(mut left: &[Shard<'a>], mut right: &[Shard<'a>]) -> Vec<Shard<'a>> {
    let mut joined = Vec::with_capacity(left.len() + right.len());
    while let ([a, left_rest @ ..], [b, right_rest @ ..]) = (left, right) {
        let order = a.id.cmp(b.id);
        let left_wins = order.is_lt() || order.is_eq() && a.rank() >= b.rank();
        joined.push(if left_wins { *a } else { *b });
        (left, right) = match order {
            Ordering::Less => (left_rest, right),
            Ordering::Equal => (left_rest, right_rest),
            Ordering::Greater => (left, right_rest),
        };
    }
    joined.extend_from_slice(left);
    joined.extend_from_slice(right);
    joined
}

/// The bytes of a context of at most [`MOST_SHARDS`] shards, ascending by id.
fn encode(shards: &[Shard<'_>]) -> Bytes {
    let globals: Vec<u16> = (0..).zip(shards).filter(|(_, shard)| shard.is_global).map(|(index, _)| index).collect();
    let mut bytes = BytesMut::with_capacity(2 + 2 * globals.len() + SHARD_BYTES * shards.len());
    bytes.put_u16(globals.len() as u16);
    globals.iter().for_each(|index| bytes.put_u16(index | 1 << 15));
    for shard in shards {
        bytes.put_slice(shard.id);
        bytes.put_i64(shard.clock);
        bytes.put_i64(shard.count);
    }
    bytes.freeze()
}

#[cfg(test)]
pub(crate) mod fixtures {
    use super::*;

    /// Which kind of shard, by its letter in tests: `g`lobal, `l`ocal, `r`emote.
    pub(crate) type Written = (u8, char, i64, i64);

    /// A context of shards of id (its last byte), kind, clock and count; written without the code under test.
    pub(crate) fn context(shards: &[Written]) -> Bytes {
        let elements: Vec<u16> = (0_u16..)
            .zip(shards)
            .filter_map(|(index, shard)| match shard.1 {
                'g' => Some(0x8000 + index),
                'l' => Some(index),
                _ => None,
            })
            .collect();
        let mut bytes = BytesMut::new();
        bytes.put_i16(elements.len() as i16);
        elements.into_iter().for_each(|element| bytes.put_u16(element));
        for (id, _, clock, count) in shards {
            bytes.put_bytes(0, ID_BYTES - 1);
            bytes.put_u8(*id);
            bytes.put_i64(*clock);
            bytes.put_i64(*count);
        }
        bytes.freeze()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::{
        fixtures::{Written, context},
        *,
    };

    fn merged(left: &[Written], right: &[Written]) -> Bytes {
        merge(&context(left), &context(right)).unwrap()
    }

    #[test]
    fn each_rule_of_cassandra_decides() {
        let table: [(Written, Written); 7] = [
            ((1, 'g', 1, 1), (1, 'r', 9, 9)),
            ((1, 'g', -1, 1), (1, 'r', -9, 9)),
            ((1, 'g', 3, 1), (1, 'g', 2, 9)),
            ((1, 'g', 3, 2), (1, 'g', 3, 1)),
            ((1, 'g', 3, 2), (1, 'g', -4, 9)),
            ((1, 'r', -1, 1), (1, 'r', 7, 9)),
            ((1, 'r', -5, 1), (1, 'r', -4, 9)),
        ];
        for (winner, loser) in table {
            assert_eq!(merged(&[winner], &[loser]), context(&[winner]), "{winner:?} {loser:?}");
            assert_eq!(merged(&[loser], &[winner]), context(&[winner]), "{loser:?} {winner:?}");
        }
    }

    #[test]
    fn shards_of_other_ids_are_kept_and_add_up() {
        let both = merged(&[(1, 'r', 1, 5), (3, 'g', 1, 7)], &[(2, 'g', 1, -2), (3, 'g', 2, 8)]);
        assert_eq!(both, context(&[(1, 'r', 1, 5), (2, 'g', 1, -2), (3, 'g', 2, 8)]));
        assert_eq!(value(&both), Ok(11));
        assert_eq!(value(&context(&[(1, 'g', 1, i64::MAX), (2, 'g', 1, 1)])), Ok(i64::MIN));
    }

    #[test]
    fn local_shards_are_refused_marked_for_clearing_or_not() {
        let local = context(&[(1, 'g', 1, 1), (2, 'l', 1, 1)]);
        assert_eq!(check(&local), Err(Refused::Local));
        assert_eq!(merge(&local, &local), Err(Refused::Local));
        let mut marked = local.to_vec();
        marked[..2].copy_from_slice(&(-2_i16).to_be_bytes());
        assert_eq!(value(&marked), Err(Refused::Local));
    }

    #[test]
    fn what_is_no_context_is_refused() {
        let whole = context(&[(1, 'g', 1, 1), (2, 'g', 1, 1)]);
        for length in 0..whole.len() {
            assert!(check(&whole[..length]).is_err(), "{length}");
        }
        let twice = context(&[(1, 'g', 1, 1), (1, 'g', 1, 1)]);
        assert!(matches!(check(&twice), Err(Refused::Malformed(_))));
        let mut beyond = whole.to_vec();
        beyond[5] = 9;
        assert!(matches!(check(&beyond), Err(Refused::Malformed(_))));
    }

    #[test]
    fn a_join_that_no_header_can_count_is_refused() {
        let of = |from: u32| {
            let mut bytes = BytesMut::from(&[0_u8, 0][..]);
            for id in from..from + 20_000 {
                bytes.put_bytes(0, ID_BYTES - 4);
                bytes.put_u32(id);
                bytes.put_bytes(0, 16);
            }
            bytes.freeze()
        };
        assert_eq!(merge(&of(0), &of(20_000)), Err(Refused::TooMany));
        assert!(merge(&of(0), &of(10_000)).is_ok());
    }

    /// Contexts without local shards; few values, so that every tie is hit.
    pub(crate) fn contexts() -> impl Strategy<Value = Bytes> {
        let shard = (proptest::bool::ANY, -2_i64..3, -1_i64..2);
        proptest::collection::btree_map(0_u8..4, shard, 0..4).prop_map(|shards: BTreeMap<u8, (bool, i64, i64)>| {
            let written = |(id, (global, clock, count))| (id, if global { 'g' } else { 'r' }, clock, count);
            context(&shards.into_iter().map(written).collect::<Vec<_>>())
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        #[test]
        fn merges_are_commutative_associative_and_idempotent(a in contexts(), b in contexts(), c in contexts()) {
            let join = |a: &Bytes, b: &Bytes| merge(a, b).unwrap();
            prop_assert_eq!(join(&a, &b), join(&b, &a));
            prop_assert_eq!(join(&join(&a, &b), &c), join(&a, &join(&b, &c)));
            prop_assert_eq!(join(&a, &a), a.clone());
            prop_assert_eq!(join(&join(&a, &b), &b), join(&a, &b));
        }

        #[test]
        fn any_bytes_are_judged_without_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..120)) {
            let bytes = Bytes::from(bytes);
            prop_assert_eq!(check(&bytes).is_ok(), value(&bytes).is_ok());
            prop_assert_eq!(merge(&bytes, &bytes).is_ok(), check(&bytes).is_ok());
        }
    }
}
