//! Values at the ends of their types.

use bytes::Bytes;
use rand::{Rng, seq::IndexedRandom};
use rand_chacha::ChaCha8Rng;

use crate::tables::{Kind, values};

/// Bytes of the longest texts: more than a chunk of a compressed file.
const LONG: usize = 5000;
/// Bytes of the longest varints.
const WIDE: usize = 100;

/// An extreme value of a type, of at least one byte where the type has any; composites are of extreme parts, and shorter than
/// their type now and then, as written before it got its last fields. Sets and maps have none of their own.
pub(super) fn extreme(kind: &Kind, rng: &mut ChaCha8Rng) -> Bytes {
    match kind {
        Kind::Frozen(inner) => extreme(inner, rng),
        Kind::List(element) => {
            let count = rng.random_range(0..3);
            values::collection(&(0..count).map(|_| extreme(element, rng)).collect::<Vec<_>>())
        }
        Kind::Vector(element, dimensions) => {
            let elements: Vec<Bytes> = (0..*dimensions).map(|_| extreme(element, rng)).collect();
            values::vector(element, &elements)
        }
        Kind::Tuple(parts) => fields(parts.iter().collect(), rng),
        Kind::Udt(_, parts) => fields(parts.iter().map(|(_, kind)| kind).collect(), rng),
        Kind::Set(_) | Kind::Map(..) => values::filled(kind, rng),
        scalar => scalars(scalar).choose(rng).cloned().map_or_else(|| values::filled(scalar, rng), Bytes::from),
    }
}

fn fields(kinds: Vec<&Kind>, rng: &mut ChaCha8Rng) -> Bytes {
    let written = rng.random_range(1..=kinds.len());
    let mut field = |kind| (rng.random_range(0..4) > 0).then(|| extreme(kind, rng));
    values::tuple(&kinds[..written].iter().map(|kind| field(kind)).collect::<Vec<_>>())
}

/// Extreme values of a scalar type.
fn scalars(kind: &Kind) -> Vec<Vec<u8>> {
    match kind {
        Kind::Ascii => vec![vec![0], vec![0x7f], vec![b'a'; LONG]],
        Kind::Text | Kind::Varchar => {
            vec![vec![0], "\u{10ffff}".into(), "\u{e4}\u{1f980}\u{fffd}".into(), vec![b'z'; LONG]]
        }
        Kind::Blob => vec![vec![0], vec![0xff], vec![0, 0], vec![0x80; LONG]],
        Kind::TinyInt => all([i8::MIN, -1, 0, i8::MAX].map(i8::to_be_bytes)),
        Kind::SmallInt => all([i16::MIN, -1, 0, i16::MAX].map(i16::to_be_bytes)),
        Kind::Int => all([i32::MIN, -1, 0, i32::MAX].map(i32::to_be_bytes)),
        Kind::BigInt | Kind::Timestamp => all([i64::MIN, -1, 0, i64::MAX].map(i64::to_be_bytes)),
        Kind::Float => {
            let ends = [f32::NEG_INFINITY, f32::MIN, -0.0, 0.0, f32::from_bits(1), f32::MAX, f32::INFINITY, f32::NAN];
            all(ends.map(f32::to_be_bytes))
        }
        Kind::Double => {
            let ends = [f64::NEG_INFINITY, f64::MIN, -0.0, 0.0, f64::from_bits(1), f64::MAX, f64::INFINITY, f64::NAN];
            all(ends.map(f64::to_be_bytes))
        }
        Kind::Date => all([0, 0x8000_0000, u32::MAX].map(u32::to_be_bytes)),
        Kind::Time => all([0, 86_399_999_999_999_i64].map(i64::to_be_bytes)),
        Kind::Inet => vec![vec![0; 4], vec![0xff; 4], vec![0; 16], vec![0xff; 16]],
        Kind::Uuid => vec![vec![0; 16], vec![0xff; 16], time_uuid(0, 0), time_uuid(u64::MAX, u64::MAX)],
        Kind::TimeUuid => {
            vec![time_uuid(0, 0), time_uuid(0, 0x7f7f), time_uuid(0, 0x8080), time_uuid(u64::MAX, u64::MAX)]
        }
        Kind::VarInt => varints(),
        Kind::Decimal => decimals(),
        Kind::Duration => durations(),
        _ => vec![],
    }
}

fn all<const N: usize, const M: usize>(values: [[u8; N]; M]) -> Vec<Vec<u8>> {
    values.map(|value| value.to_vec()).to_vec()
}

/// Of version 1, with all else of both halves as given.
fn time_uuid(high: u64, low: u64) -> Vec<u8> {
    [((high & !0xf000) | 0x1000).to_be_bytes(), low.to_be_bytes()].concat()
}

/// Around the ends of one byte and of eight, and far beyond, of both signs.
fn varints() -> Vec<Vec<u8>> {
    let far = |sign: u8| [vec![sign], vec![0x5a; WIDE]].concat();
    let near = [0_i64, -1, 127, 128, -128, -129].map(shortest).to_vec();
    let wide = vec![[vec![0x80], vec![0; 7]].concat(), [vec![0, 0x80], vec![0; 7]].concat(), far(0x01), far(0xfe)];
    [near, wide].concat()
}

/// Two's complement without leading bytes that only repeat the sign.
fn shortest(value: i64) -> Vec<u8> {
    let bytes = value.to_be_bytes();
    let redundant = |start: &usize| match &bytes[*start..] {
        [0, next, ..] => *next < 0x80,
        [0xff, next, ..] => *next >= 0x80,
        _ => false,
    };
    let start = (0..bytes.len()).find(|start| !redundant(start)).unwrap_or(0);
    bytes[start..].to_vec()
}

/// One and its negative in several scales, zeros, and magnitudes far apart.
fn decimals() -> Vec<Vec<u8>> {
    let decimal = |scale: i32, unscaled: &[u8]| [&scale.to_be_bytes()[..], unscaled].concat();
    let of = |scale, unscaled| decimal(scale, &shortest(unscaled));
    let wide = [&[0x01][..], &[0x5a; WIDE]].concat();
    let same =
        vec![of(0, 1), of(1, 10), of(2, 100), of(0, -1), of(2, -100), of(0, 0), of(5, 0), of(-1, 10), of(0, 100)];
    let far = vec![of(-1000, 1), of(1000, 1), of(-1000, -1), of(1000, -1), decimal(7, &wide), decimal(-7, &wide)];
    [same, far].concat()
}

/// Nothing, and the ends of months, days and nanoseconds in both directions.
fn durations() -> Vec<Vec<u8>> {
    let (month, day) = (i64::from(i32::MAX), i64::from(i32::MAX));
    let parts =
        [[0, 0, 0], [month, day, i64::MAX], [-month, -day, -i64::MAX], [0, -1, 0], [-1, 0, -1], [0, 0, i64::MIN]];
    parts.map(values::duration).to_vec()
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;

    use super::*;

    #[test]
    fn varints_are_as_short_as_their_value_allows() {
        assert_eq!(
            [0, -1, 127, 128, -128, -129].map(shortest),
            [vec![0], vec![0xff], vec![0x7f], vec![0, 0x80], vec![0x80], vec![0xff, 0x7f]]
        );
    }

    #[test]
    fn composites_come_whole_and_short_and_never_without_bytes() {
        let kind = Kind::Tuple(vec![Kind::Int, Kind::Int, Kind::Int]).frozen();
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let lengths: std::collections::BTreeSet<usize> = (0..200).map(|_| extreme(&kind, &mut rng).len()).collect();
        assert_eq!((lengths.first(), lengths.last()), (Some(&4), Some(&24)));
    }
}
