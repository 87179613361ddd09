//! Values of every type in CQL's serialisation (native protocol v5, section 6), from a seeded generator.
//!
//! Sets and maps come sorted and without duplicates, in the order of Cassandra's comparators: their elements and keys are
//! of types whose bytes order as their values do.

use std::collections::BTreeMap;

use bytes::Bytes;
use rand::{Rng, RngCore};
use rand_chacha::ChaCha8Rng;

use super::kind::Kind;

const WORDS: [&str; 16] = [
    "amber",
    "birch",
    "cobalt",
    "dune",
    "ember",
    "fjord",
    "granite",
    "harbour",
    "indigo",
    "juniper",
    "kestrel",
    "lagoon",
    "marsh",
    "nickel",
    "orchid",
    "präriehund",
];

/// A value for a column that is not part of a key; now and then an extreme one, or one of no bytes.
pub fn value(kind: &Kind, rng: &mut ChaCha8Rng) -> Bytes {
    if kind.may_be_empty() && rng.random_range(0..40) == 0 { Bytes::new() } else { filled(kind, rng) }
}

/// A value of at least one byte where the type has any.
pub fn filled(kind: &Kind, rng: &mut ChaCha8Rng) -> Bytes {
    match kind {
        Kind::List(element) => collection(&elements_of(element, rng)),
        Kind::Set(element) => collection(&sorted(element, rng)),
        Kind::Map(key, value) => pairs(&sorted_map(key, value, rng)),
        Kind::Tuple(parts) => fields(parts.iter(), rng),
        Kind::Udt(_, parts) => fields(parts.iter().map(|(_, kind)| kind), rng),
        Kind::Vector(element, dimensions) => {
            vector(element, &(0..*dimensions).map(|_| filled(element, rng)).collect::<Vec<_>>())
        }
        Kind::Frozen(inner) => filled(inner, rng),
        scalar => Bytes::from(scalar_value(scalar, rng)),
    }
}

/// A value from a small domain, so that later operations meet earlier ones; its bytes order as its values do.
pub fn key(kind: &Kind, rng: &mut ChaCha8Rng) -> Bytes {
    let number = rng.random_range(0..12_u8);
    match kind {
        Kind::Int => Bytes::copy_from_slice(&i32::from(number).to_be_bytes()),
        Kind::BigInt => Bytes::copy_from_slice(&i64::from(number).to_be_bytes()),
        Kind::TinyInt => Bytes::copy_from_slice(&[number]),
        Kind::Text => Bytes::from(WORDS[usize::from(number)]),
        other => filled(other, rng),
    }
}

/// Serialises a list or a set.
pub fn collection(elements: &[Bytes]) -> Bytes {
    let mut out = count(elements.len());
    elements.iter().for_each(|element| sized(&mut out, Some(element)));
    out.into()
}

/// Serialises a map.
pub fn pairs(entries: &[(Bytes, Bytes)]) -> Bytes {
    let mut out = count(entries.len());
    for (key, value) in entries {
        sized(&mut out, Some(key));
        sized(&mut out, Some(value));
    }
    out.into()
}

/// Serialises the fields of a tuple or of a user-defined type.
pub fn tuple(fields: &[Option<Bytes>]) -> Bytes {
    let mut out = Vec::new();
    fields.iter().for_each(|field| sized(&mut out, field.as_ref()));
    out.into()
}

/// Serialises a vector: elements of one length have none before them.
pub fn vector(element: &Kind, elements: &[Bytes]) -> Bytes {
    let mut out = Vec::new();
    for value in elements {
        if element.fixed_length().is_none() {
            unsigned_vint(&mut out, value.len() as u64);
        }
        out.extend(value);
    }
    out.into()
}

/// Serialises a duration's months, days and nanoseconds, none of them of another sign than the others.
pub fn duration(parts: [i64; 3]) -> Vec<u8> {
    let mut out = Vec::new();
    for part in parts {
        unsigned_vint(&mut out, ((part << 1) ^ (part >> 63)).cast_unsigned());
    }
    out
}

fn count(elements: usize) -> Vec<u8> {
    i32::try_from(elements).unwrap_or(i32::MAX).to_be_bytes().to_vec()
}

fn sized(out: &mut Vec<u8>, value: Option<&Bytes>) {
    let length = value.map_or(-1, |bytes| i32::try_from(bytes.len()).unwrap_or(i32::MAX));
    out.extend(length.to_be_bytes());
    out.extend(value.into_iter().flatten());
}

fn elements_of(element: &Kind, rng: &mut ChaCha8Rng) -> Vec<Bytes> {
    (0..rng.random_range(0..4)).map(|_| filled(element, rng)).collect()
}

fn sorted(element: &Kind, rng: &mut ChaCha8Rng) -> Vec<Bytes> {
    let elements: BTreeMap<Bytes, ()> = (0..rng.random_range(0..4)).map(|_| (key(element, rng), ())).collect();
    elements.into_keys().collect()
}

fn sorted_map(kind: &Kind, value: &Kind, rng: &mut ChaCha8Rng) -> Vec<(Bytes, Bytes)> {
    let entries: BTreeMap<Bytes, Bytes> =
        (0..rng.random_range(0..4)).map(|_| (key(kind, rng), filled(value, rng))).collect();
    entries.into_iter().collect()
}

fn fields<'a>(kinds: impl Iterator<Item = &'a Kind>, rng: &mut ChaCha8Rng) -> Bytes {
    let fields: Vec<Option<Bytes>> =
        kinds.map(|kind| if rng.random_range(0..8) == 0 { None } else { Some(filled(kind, rng)) }).collect();
    tuple(&fields)
}

fn scalar_value(kind: &Kind, rng: &mut ChaCha8Rng) -> Vec<u8> {
    match kind {
        Kind::Ascii => ascii(rng),
        Kind::Text | Kind::Varchar => text(rng),
        Kind::Blob => (0..rng.random_range(0..64)).map(|_| rng.random()).collect(),
        Kind::Boolean => vec![rng.random_range(0..2)],
        Kind::TinyInt => vec![rng.random()],
        Kind::SmallInt => rng.random::<i16>().to_be_bytes().into(),
        Kind::Int => integer(rng, i32::MIN.into(), i32::MAX.into()).to_be_bytes()[4..].into(),
        Kind::BigInt => integer(rng, i64::MIN, i64::MAX).to_be_bytes().into(),
        Kind::Float => real(rng).to_be_bytes().into(),
        Kind::Double => f64::from(real(rng)).to_be_bytes().into(),
        Kind::Date => (0x8000_0000_u32 + rng.random_range(0..40_000)).to_be_bytes().into(),
        Kind::Time => rng.random_range(0..86_400_000_000_000_i64).to_be_bytes().into(),
        Kind::Timestamp => rng.random_range(-1_000_000_000_000..2_000_000_000_000_i64).to_be_bytes().into(),
        Kind::Uuid => uuid(rng, 0x40),
        Kind::TimeUuid => uuid(rng, 0x10),
        Kind::Inet => inet(rng),
        Kind::VarInt => varint(rng),
        Kind::Decimal => [rng.random_range(-3..12_i32).to_be_bytes().to_vec(), varint(rng)].concat(),
        Kind::Duration => any_duration(rng),
        other => unreachable!("{other} is not a scalar"),
    }
}

fn ascii(rng: &mut ChaCha8Rng) -> Vec<u8> {
    (0..rng.random_range(1..20)).map(|_| rng.random_range(b' '..=b'~')).collect()
}

fn text(rng: &mut ChaCha8Rng) -> Vec<u8> {
    let words: Vec<&str> = (0..rng.random_range(1..8)).map(|_| WORDS[rng.random_range(0..WORDS.len())]).collect();
    words.join(" ").into_bytes()
}

/// Mostly small, now and then anything or an end of the range.
fn integer(rng: &mut ChaCha8Rng, least: i64, greatest: i64) -> i64 {
    match rng.random_range(0..10) {
        0 => least,
        1 => greatest,
        2..5 => rng.random_range(least..=greatest),
        _ => rng.random_range(-1000..1000),
    }
}

fn real(rng: &mut ChaCha8Rng) -> f32 {
    match rng.random_range(0..12) {
        0 => f32::NAN,
        1 => f32::NEG_INFINITY,
        2 => -0.0,
        3 => f32::MIN_POSITIVE,
        _ => rng.random_range(-1.0e6..1.0e6),
    }
}

/// A random UUID of the version in the high four bits of `version`.
fn uuid(rng: &mut ChaCha8Rng, version: u8) -> Vec<u8> {
    let mut bytes = [0; 16];
    rng.fill_bytes(&mut bytes);
    bytes[6] = (bytes[6] & 0x0f) | version;
    bytes[8] = (bytes[8] & 0x3f) | 0x80;
    bytes.into()
}

fn inet(rng: &mut ChaCha8Rng) -> Vec<u8> {
    let length = if rng.random() { 4 } else { 16 };
    let mut bytes = vec![0; length];
    rng.fill_bytes(&mut bytes);
    // An IPv4 address in IPv6 notation would be turned into its four bytes by the server.
    if length == 16 {
        bytes[0] = 0x20;
    }
    bytes
}

/// Two's complement, as short as possible, up to 20 bytes.
fn varint(rng: &mut ChaCha8Rng) -> Vec<u8> {
    let mut bytes = vec![0; rng.random_range(1..20)];
    rng.fill_bytes(&mut bytes);
    let redundant = |bytes: &[u8]| {
        matches!(bytes, [0, next, ..] if *next < 0x80) || matches!(bytes, [0xff, next, ..] if *next >= 0x80)
    };
    while redundant(&bytes) {
        bytes.remove(0);
    }
    bytes
}

fn any_duration(rng: &mut ChaCha8Rng) -> Vec<u8> {
    let sign = if rng.random() { 1 } else { -1 };
    let parts = [rng.random_range(0..40), rng.random_range(0..1000), rng.random_range(0..1_000_000_000_000_i64)];
    duration(parts.map(|part| part * sign))
}

/// Cassandra's vint: the first byte's leading ones count the bytes that follow.
fn unsigned_vint(out: &mut Vec<u8>, value: u64) {
    let bits = 64 - value.leading_zeros().min(63);
    let extra = ((bits - 1) / 7).min(8) as usize;
    let bytes = value.to_be_bytes();
    if extra == 8 {
        out.push(0xff);
        out.extend(bytes);
        return;
    }
    let start = out.len();
    out.extend(&bytes[7 - extra..]);
    out[start] |= !(0xff_u16 >> extra) as u8;
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;

    use super::*;

    #[test]
    fn vints_count_their_bytes_in_the_first() {
        let encode = |value| {
            let mut out = Vec::new();
            unsigned_vint(&mut out, value);
            out
        };
        assert_eq!(encode(0), [0]);
        assert_eq!(encode(127), [127]);
        assert_eq!(encode(128), [0x80, 128]);
        assert_eq!(encode(16_383), [0xbf, 0xff]);
        assert_eq!(encode(16_384), [0xc0, 0x40, 0]);
        assert_eq!(encode(u64::MAX), [0xff; 9]);
    }

    #[test]
    fn the_same_seed_gives_the_same_values() {
        let kind = Kind::map(Kind::Text, Kind::list(Kind::Duration));
        let values = |seed| {
            let mut rng = ChaCha8Rng::seed_from_u64(seed);
            (0..50).map(|_| value(&kind, &mut rng)).collect::<Vec<_>>()
        };
        assert_eq!(values(1), values(1));
        assert_ne!(values(1), values(2));
    }
}
