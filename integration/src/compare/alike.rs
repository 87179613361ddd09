//! One form for what is the same to Cassandra though its bytes are not.
//!
//! Keys are the same where their comparator says so: decimals of other scales, tuples with and without nulls at their end. Of
//! several such keys that were written any may be shown. The order of a set or map within a field of a non-frozen user-defined
//! type is the client's or the server's, by the statement that wrote it. All else is compared by its bytes.

use bytes::{Buf, Bytes};

use super::image::{Cell, RowImage, RowKey, TableImage};
use crate::tables::{Column, Kind, Table};

/// The image with clustering values, paths of cells and fields in one form each.
pub fn in_one_form(table: &Table, image: &TableImage) -> TableImage {
    let rows = image.rows.iter().map(|(key, row)| (row_key(table, key), self::row(table, key, row)));
    TableImage { rows: rows.collect() }
}

fn row_key(table: &Table, key: &RowKey) -> RowKey {
    let kinds = table.clustering.iter().map(|clustering| &clustering.column.kind);
    let of =
        |clustering: &Vec<Bytes>| kinds.clone().zip(clustering).map(|(kind, value)| compared(kind, value)).collect();
    RowKey { partition: key.partition.clone(), clustering: key.clustering.as_ref().map(of) }
}

fn row(table: &Table, key: &RowKey, row: &RowImage) -> RowImage {
    let columns = if key.clustering.is_some() { &table.regulars } else { &table.statics };
    let of = |(name, cells): (&String, &Vec<Cell>)| {
        let column = columns.iter().find(|column| column.name == *name);
        (name.clone(), column.map_or_else(|| cells.clone(), |column| self::cells(column, cells)))
    };
    RowImage { columns: row.columns.iter().map(of).collect() }
}

fn cells(column: &Column, cells: &[Cell]) -> Vec<Cell> {
    let mut cells: Vec<Cell> = cells.iter().map(|of| cell(&column.kind, of.clone())).collect();
    if matches!(column.kind, Kind::Set(_) | Kind::Map(..)) {
        cells.sort_by(|left, right| left.path.cmp(&right.path));
    }
    cells
}

fn cell(kind: &Kind, cell: Cell) -> Cell {
    match kind {
        Kind::Set(key) | Kind::Map(key, _) => Cell { path: compared(key, &cell.path), ..cell },
        Kind::Udt(_, fields) => match fields.get(cell.path.first().map_or(0, |index| usize::from(*index))) {
            Some((_, field)) => Cell { value: unordered(field, &cell.value), ..cell },
            None => cell,
        },
        _ => cell,
    }
}

/// Bytes that are equal for keys that compare as equal.
fn compared(kind: &Kind, value: &Bytes) -> Bytes {
    match kind {
        Kind::Frozen(inner) => compared(inner, value),
        Kind::Decimal => decimal(value),
        Kind::List(of) | Kind::Set(of) => {
            joined(counted(value).iter().map(|part| part.as_ref().map(|v| compared(of, v))))
        }
        Kind::Map(key, of) => {
            let kinds = [key, of].into_iter().cycle();
            joined(counted(value).iter().zip(kinds).map(|(part, of)| part.as_ref().map(|v| compared(of, v))))
        }
        Kind::Tuple(kinds) => {
            let mut parts = sized(value.clone());
            while parts.last().is_some_and(Option::is_none) {
                parts.pop();
            }
            joined(parts.iter().zip(kinds).map(|(part, of)| part.as_ref().map(|v| compared(of, v))))
        }
        _ => value.clone(),
    }
}

/// Bytes that are equal for values that differ in the order of their sets and maps only.
fn unordered(kind: &Kind, value: &Bytes) -> Bytes {
    match kind {
        Kind::Frozen(inner) => unordered(inner, value),
        Kind::List(of) => joined(counted(value).iter().map(|part| part.as_ref().map(|v| unordered(of, v)))),
        Kind::Set(of) => {
            let mut parts: Vec<_> = counted(value).iter().map(|part| part.as_ref().map(|v| unordered(of, v))).collect();
            parts.sort();
            joined(parts.into_iter())
        }
        Kind::Map(key, of) => {
            let parts = counted(value);
            let entry = |of_kind: &Kind, part: &Option<Bytes>| part.as_ref().map(|v| unordered(of_kind, v));
            let mut entries: Vec<_> =
                parts.chunks(2).map(|pair| [entry(key, &pair[0]), pair.get(1).and_then(|v| entry(of, v))]).collect();
            entries.sort();
            joined(entries.into_iter().flatten())
        }
        _ => value.clone(),
    }
}

/// Parts of a serialised collection.
fn counted(value: &Bytes) -> Vec<Option<Bytes>> {
    sized(value.slice(value.len().min(4)..))
}

/// Values with their lengths, to the end; a negative length is null.
fn sized(mut rest: Bytes) -> Vec<Option<Bytes>> {
    let mut parts = Vec::new();
    while let Ok(length) = rest.try_get_i32() {
        parts.push(usize::try_from(length).ok().map(|length| rest.split_to(length.min(rest.len()))));
    }
    parts
}

/// Parts with their lengths. What was cut off or counted before is told by nothing, which is enough to compare.
fn joined(parts: impl Iterator<Item = Option<Bytes>>) -> Bytes {
    let mut out = Vec::new();
    for part in parts {
        out.extend(part.as_ref().map_or(-1, |part| part.len() as i64).to_be_bytes());
        out.extend(part.into_iter().flatten());
    }
    out.into()
}

/// Sign, scale and magnitude of a decimal without zeros at its end.
fn decimal(value: &Bytes) -> Bytes {
    let mut unscaled = value.clone();
    let Ok(scale) = unscaled.try_get_i32() else { return value.clone() };
    let negative = unscaled.first().is_some_and(|first| first & 0x80 != 0);
    let (mut magnitude, mut scale) = (magnitude(&unscaled, negative), i64::from(scale));
    if magnitude.is_empty() {
        return Bytes::from_static(b"0");
    }
    while let Some(tenth) = tenth(&magnitude) {
        (magnitude, scale) = (tenth, scale - 1);
    }
    [&[u8::from(negative)][..], &scale.to_be_bytes(), &magnitude].concat().into()
}

/// Of a number in two's complement, without leading zeros.
fn magnitude(value: &[u8], negative: bool) -> Vec<u8> {
    let mut bytes = value.to_vec();
    if negative {
        let mut carry = true;
        for byte in bytes.iter_mut().rev() {
            (*byte, carry) = (!*byte).overflowing_add(u8::from(carry));
        }
    }
    bytes.into_iter().skip_while(|byte| *byte == 0).collect()
}

/// A tenth of a magnitude that is one.
fn tenth(magnitude: &[u8]) -> Option<Vec<u8>> {
    let mut rest = 0_u32;
    let digit = |byte: &u8| {
        rest = rest * 256 + u32::from(*byte);
        let digit = (rest / 10) as u8;
        rest %= 10;
        digit
    };
    let quotient: Vec<u8> = magnitude.iter().map(digit).collect();
    (rest == 0).then(|| quotient.into_iter().skip_while(|byte| *byte == 0).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tables::values;

    fn of(scale: i32, unscaled: &[u8]) -> Bytes {
        Bytes::from([&scale.to_be_bytes()[..], unscaled].concat())
    }

    #[test]
    fn decimals_of_one_value_have_one_form() {
        let same = [of(0, &[1]), of(1, &[10]), of(2, &[100])].map(|value| compared(&Kind::Decimal, &value));
        assert!(same.iter().all(|value| *value == same[0]));
        let others = [of(0, &[0]), of(0, &[0xff]), of(0, &[2]), of(1, &[1]), of(-1, &[1])];
        assert!(others.iter().all(|value| compared(&Kind::Decimal, value) != same[0]));
        assert_eq!(compared(&Kind::Decimal, &of(5, &[0])), compared(&Kind::Decimal, &of(0, &[0])));
        assert_eq!(compared(&Kind::Decimal, &of(0, &[0x80])), compared(&Kind::Decimal, &of(1, &[0xfb, 0])));
    }

    #[test]
    fn nulls_at_the_end_of_a_tuple_tell_nothing_and_others_do() {
        let kind = Kind::Tuple(vec![Kind::Text, Kind::Text]);
        let (a, none) = (Some(Bytes::from("a")), None);
        let of = |parts: &[Option<Bytes>]| compared(&kind, &values::tuple(parts));
        assert_eq!(of(std::slice::from_ref(&a)), of(&[a.clone(), none.clone()]));
        assert_ne!(of(std::slice::from_ref(&a)), of(&[none, a]));
    }

    #[test]
    fn only_sets_and_maps_have_no_order() {
        let (ab, ba) = ([Bytes::from("a"), Bytes::from("b")], [Bytes::from("b"), Bytes::from("a")]);
        let same =
            |kind: Kind| unordered(&kind, &values::collection(&ab)) == unordered(&kind, &values::collection(&ba));
        assert!(same(Kind::set(Kind::Text).frozen()));
        assert!(!same(Kind::list(Kind::Text).frozen()));
        let map = Kind::map(Kind::Text, Kind::Text);
        let pairs = |pairs: [(&'static str, &'static str); 2]| {
            unordered(&map, &values::pairs(&pairs.map(|(key, value)| (Bytes::from(key), Bytes::from(value)))))
        };
        assert_eq!(pairs([("a", "1"), ("b", "2")]), pairs([("b", "2"), ("a", "1")]));
        assert_ne!(pairs([("a", "1"), ("b", "2")]), pairs([("b", "1"), ("a", "2")]));
    }
}
