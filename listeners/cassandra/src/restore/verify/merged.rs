//! What verification may say of a merge: newer data and newer deletions at the destination win, and they may.
//!
//! Where a newer value is found its write time proves it. Where nothing is found, CQL cannot tell a newer deletion from a
//! value that was not written: that is counted apart, and said.

use std::collections::HashMap;

use bytes::Bytes;
use tidemark_cassandra_format::types::CqlType;

use crate::restore::{
    values::raw::Element,
    verify::rows::{Expected, Reading, expires_right, is_same},
};

/// How what was merged stands at the destination, from best to worst.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Standing {
    /// As it was written.
    Equal,
    /// Under a newer value.
    Newer,
    /// Not there: under a newer deletion, as far as can be told.
    Hidden,
}

/// Compares one column's atoms; what the destination has besides is its own.
///
/// # Errors
/// In words, where the destination holds an older value, or the same with another expiry.
pub(super) fn compare(
    cql_type: &CqlType,
    expected: &[Expected],
    found: &[Element],
    timed: bool,
    reading: Reading,
) -> Result<Standing, String> {
    match cql_type {
        CqlType::List { frozen: false, .. } => in_order(expected, found, timed, reading),
        _ => by_key(cql_type, expected, found, timed, reading),
    }
}

/// Elements of a list have no name: ours come in order, with others between.
fn in_order(expected: &[Expected], found: &[Element], timed: bool, reading: Reading) -> Result<Standing, String> {
    let mut rest = found.iter();
    worst(expected.iter().map(|atom| {
        let mut ahead = rest.clone();
        let here = ahead.find(|e| e.value == atom.value && (!timed || e.ts == Some(atom.ts)));
        if here.is_some() {
            rest = ahead;
        }
        here.map_or(Ok(missing(atom)), |here| alive(atom, here, timed, reading))
    }))
}

/// Whatever else has elements knows each by its key.
fn by_key(
    cql_type: &CqlType,
    expected: &[Expected],
    found: &[Element],
    timed: bool,
    reading: Reading,
) -> Result<Standing, String> {
    let found: HashMap<&Bytes, &Element> = found.iter().map(|e| (&e.key, e)).collect();
    worst(expected.iter().map(|atom| match found.get(&atom.key) {
        None => Ok(missing(atom)),
        Some(here) => one(cql_type, atom, here, timed, reading),
    }))
}

/// The worst of all, or the first that cannot be explained.
fn worst(standings: impl Iterator<Item = Result<Standing, String>>) -> Result<Standing, String> {
    (0_usize..).zip(standings).try_fold(Standing::Equal, |worst, (n, standing)| match standing {
        Ok(standing) => Ok(worst.max(standing)),
        Err(why) => Err(format!("value {n}: {why}")),
    })
}

/// What expires about now may be gone.
fn missing(atom: &Expected) -> Standing {
    if atom.certain { Standing::Hidden } else { Standing::Equal }
}

fn one(cql_type: &CqlType, atom: &Expected, here: &Element, timed: bool, reading: Reading) -> Result<Standing, String> {
    let same = is_same(cql_type, atom, &here.value);
    let Some(ts) = here.ts.filter(|_| timed) else {
        return Ok(if same { Standing::Equal } else { Standing::Newer });
    };
    if ts > atom.ts {
        return Ok(Standing::Newer);
    }
    if ts < atom.ts {
        // Of two values the newer one wins: an older one shows only where ours is not there.
        return if atom.certain { Err(older(ts, atom.ts)) } else { Ok(Standing::Equal) };
    }
    match same {
        true => alive(atom, here, timed, reading),
        // Of two values of one time the greater one wins, and one that expires wins over one that does not.
        false if wins(&here.value, &atom.value) || here.ttl.is_some() => Ok(Standing::Newer),
        false => Err("another value of the same time stands there although it is lesser".to_owned()),
    }
}

fn wins(here: &Bytes, ours: &Bytes) -> bool {
    here > ours
}

fn alive(atom: &Expected, here: &Element, timed: bool, reading: Reading) -> Result<Standing, String> {
    match timed && !expires_right(atom.expiry, here.ttl, reading) {
        false => Ok(Standing::Equal),
        // The same value of the same time with a time to live of its own: one that expires wins.
        true if here.ttl.is_some() => Ok(Standing::Newer),
        true => Err(format!("it does not expire, instead of at {:?}", atom.expiry)),
    }
}

fn older(here: i64, ours: i64) -> String {
    format!("a value of {here} stands there, older than that of {ours} which was written")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::restore::verify::rows::tests::{READING, check_with};

    fn of(ts: i64, value: i32, found: &[(i32, i64, Option<i32>)]) -> Result<Standing, String> {
        check_with(ts, value, found, |cql_type, expected, found| compare(cql_type, expected, found, true, READING))
    }

    #[test]
    fn newer_values_win_and_what_is_not_there_may_be_deleted() {
        assert_eq!(of(5, 1, &[(1, 5, None)]), Ok(Standing::Equal));
        assert_eq!(of(5, 1, &[(2, 6, None)]), Ok(Standing::Newer));
        assert_eq!(of(5, 1, &[]), Ok(Standing::Hidden));
    }

    #[test]
    fn an_older_or_lesser_value_is_never_explained() {
        assert!(of(5, 1, &[(2, 4, None)]).unwrap_err().contains("older"));
        assert_eq!(of(5, 1, &[(2, 5, None)]), Ok(Standing::Newer));
        assert!(of(5, 2, &[(1, 5, None)]).unwrap_err().contains("lesser"));
    }

    #[test]
    fn a_set_of_a_hundred_thousand_is_compared_too() {
        let keys: Vec<Bytes> = (0..100_000_u32).map(|n| Bytes::copy_from_slice(&n.to_be_bytes())).collect();
        let ours = |key: &Bytes| Expected { key: key.clone(), value: Bytes::new(), ts: 5, expiry: None, certain: true };
        let here = |key: &Bytes| Element { key: key.clone(), value: Bytes::new(), ts: Some(5), ttl: None };
        let set = CqlType::Set { element: Box::new(CqlType::Int), frozen: false };
        let expected: Vec<Expected> = keys.iter().map(ours).collect();
        let mut found: Vec<Element> = keys.iter().map(here).collect();
        assert_eq!(compare(&set, &expected, &found, true, READING), Ok(Standing::Equal));
        found.pop();
        assert_eq!(compare(&set, &expected, &found, true, READING), Ok(Standing::Hidden));
        found[7].ts = Some(4);
        assert!(compare(&set, &expected, &found, true, READING).unwrap_err().starts_with("value 7: "));
    }

    #[test]
    fn elements_of_a_list_come_in_order_with_others_between() {
        let list = CqlType::List { element: Box::new(CqlType::Int), frozen: false };
        let value = |value: u8| Bytes::copy_from_slice(&[value]);
        let ours = |n| Expected { key: Bytes::new(), value: value(n), ts: 5, expiry: None, certain: true };
        let here = |n| Element { key: Bytes::new(), value: value(n), ts: Some(5), ttl: None };
        let stand = |found: &[u8]| {
            let found: Vec<Element> = found.iter().copied().map(here).collect();
            compare(&list, &[1, 2, 1].map(ours), &found, true, READING)
        };
        assert_eq!(stand(&[1, 9, 2, 1]), Ok(Standing::Equal));
        assert_eq!(stand(&[1, 2]), Ok(Standing::Hidden));
        assert_eq!(stand(&[2, 1, 1]), Ok(Standing::Hidden));
    }
}
