//! The statements that read a unit of the target: pure.

use std::cmp::Ordering;

use bytes::Bytes;
use tidemark_cassandra_format::{
    model::Clustering,
    order::compare_values,
    schema::{ClusteringColumn, TableSchema},
};

use crate::{
    connect::Raw,
    restore::schema::cql::quote,
    restore::select::Tokens,
    restore::undo::{
        compare::Comparison,
        spans::{Area, Slice, Unit},
    },
};

/// A condition after WHERE, with the values of its markers.
pub(super) type Condition = (String, Vec<Raw>);

/// SELECT of the key columns and of the chosen columns, each with its times where the target tells them.
pub(super) fn select(comparison: &Comparison<'_>, table: &str, is_static: bool, condition: &str) -> String {
    let schema = comparison.schema;
    let partition = schema.partition_key.iter().map(|c| quote(&c.name));
    let clustering = schema.clustering.iter().map(|c| quote(&c.column.name)).filter(|_| !is_static);
    let values = comparison.columns(is_static).map(|(_, column)| {
        let name = quote(&column.name);
        match comparison.is_timed(column) {
            true => format!("{name}, WRITETIME({name}), TTL({name})"),
            false => name,
        }
    });
    let all: Vec<String> = partition.chain(clustering).chain(values).collect();
    let distinct = if is_static { "DISTINCT " } else { "" };
    format!("SELECT {distinct}{} FROM {table} WHERE {condition}", all.join(", "))
}

/// The conditions that select what a unit reads, in the order of its rows.
pub(super) fn conditions(schema: &TableSchema, unit: &Unit, is_static: bool) -> Vec<Condition> {
    match &unit.area {
        Area::Tokens(tokens) => vec![within(schema, *tokens)],
        Area::Static | Area::Row | Area::Slice(_) if unit.parts.is_empty() => Vec::new(),
        Area::Static => vec![partition(schema, &unit.parts[0].key)],
        Area::Row => {
            let row = unit.parts[0].rows.first().map(|row| row.clustering.clone()).unwrap_or_default();
            vec![one_row(schema, &unit.parts[0].key, &row)]
        }
        Area::Slice(_) if is_static => vec![partition(schema, &unit.parts[0].key)],
        Area::Slice(slice) => slices(schema, &unit.parts[0].key, slice),
    }
}

/// The condition of one row of a partition.
pub(super) fn one_row(schema: &TableSchema, key: &[Bytes], clustering: &Clustering) -> Condition {
    let columns: Vec<&ClusteringColumn> = schema.clustering.iter().collect();
    let values: Vec<Bytes> = clustering.iter().flatten().cloned().collect();
    and(partition(schema, key), equal(&columns, &values))
}

/// The condition of one partition.
pub(super) fn partition(schema: &TableSchema, key: &[Bytes]) -> Condition {
    let names: Vec<String> = schema.partition_key.iter().map(|c| format!("{} = ?", quote(&c.name))).collect();
    (names.join(" AND "), key.iter().cloned().map(Raw::Bytes).collect())
}

fn within(schema: &TableSchema, tokens: Tokens) -> Condition {
    let names: Vec<String> = schema.partition_key.iter().map(|c| quote(&c.name)).collect();
    let token = format!("token({})", names.join(", "));
    let bound = |token: i64| Raw::Bytes(Bytes::copy_from_slice(&token.to_be_bytes()));
    (format!("{token} > ? AND {token} <= ?"), vec![bound(tokens.after), bound(tokens.through)])
}

fn and(one: Condition, other: Condition) -> Condition {
    match other.0.is_empty() {
        true => one,
        false => (format!("{} AND {}", one.0, other.0), [one.1, other.1].concat()),
    }
}

fn equal(columns: &[&ClusteringColumn], values: &[Bytes]) -> Condition {
    let names: Vec<String> =
        columns.iter().zip(values).map(|(c, _)| format!("{} = ?", quote(&c.column.name))).collect();
    (names.join(" AND "), values.iter().cloned().map(Raw::Bytes).collect())
}

/// The conditions of a run of rows: one where all clustering columns have the same direction, else one for each run of rows
/// that a slice of a single column is.
fn slices(schema: &TableSchema, key: &[Bytes], slice: &Slice) -> Vec<Condition> {
    let columns: Vec<&ClusteringColumn> = schema.clustering.iter().collect();
    let values = |clustering: &Clustering| clustering.iter().flatten().cloned().collect::<Vec<Bytes>>();
    let after = slice.after.as_ref().map(values);
    let until = slice.until.as_ref().map(|until| (values(until), slice.inclusive));
    let reversed = columns.iter().filter(|c| c.reversed).count();
    let own = match reversed == 0 || reversed == columns.len() {
        true => vec![tuples(&columns, after.as_deref(), until.as_ref())],
        false => runs(&columns, after.as_deref(), until.as_ref()),
    };
    own.into_iter().map(|condition| and(partition(schema, key), condition)).collect()
}

type Until = (Vec<Bytes>, bool);

/// `("c1", "c2") > (?, ?) AND ("c1", "c2") <= (?, ?)`
fn tuples(columns: &[&ClusteringColumn], after: Option<&[Bytes]>, until: Option<&Until>) -> Condition {
    let names: Vec<String> = columns.iter().map(|c| quote(&c.column.name)).collect();
    let (names, marks) = (names.join(", "), vec!["?"; columns.len()].join(", "));
    let is_reversed = columns.first().is_some_and(|c| c.reversed);
    let compare = |sign: &str, values: &[Bytes]| {
        (format!("({names}) {sign} ({marks})"), values.iter().cloned().map(Raw::Bytes).collect::<Vec<_>>())
    };
    let lower = after.map(|values| compare(if is_reversed { "<" } else { ">" }, values));
    let upper = until.map(|(values, inclusive)| {
        let sign = match (is_reversed, inclusive) {
            (false, true) => "<=",
            (false, false) => "<",
            (true, true) => ">=",
            (true, false) => ">",
        };
        compare(sign, values)
    });
    lower.into_iter().chain(upper).reduce(and).unwrap_or_default()
}

/// From `after` to `until` over columns of both directions: first what shares ever shorter prefixes with the start, then what
/// lies between both, then what shares ever longer prefixes with the end.
fn runs(columns: &[&ClusteringColumn], after: Option<&[Bytes]>, until: Option<&Until>) -> Vec<Condition> {
    let common = match (after, until) {
        (Some(after), Some((until, _))) => common_prefix(columns, after, until),
        _ => 0,
    };
    let mut found = Vec::new();
    for depth in (common + 1..columns.len()).rev() {
        found.extend(after.map(|after| and(equal(columns, &after[..depth]), beyond(columns[depth], &after[depth]))));
    }
    if let Some(column) = columns.get(common) {
        let prefix = after.or(until.map(|(until, _)| until.as_slice())).unwrap_or_default();
        let shared = equal(columns, &prefix[..common]);
        let lower = after.map(|after| beyond(column, &after[common]));
        let upper = until.map(|(until, _)| before(column, &until[common]));
        found.push([shared].into_iter().chain(lower).chain(upper).reduce(join).unwrap_or_default());
    }
    if let Some((until, inclusive)) = until {
        for depth in common + 1..columns.len() {
            found.push(and(equal(columns, &until[..depth]), before(columns[depth], &until[depth])));
        }
        // Where the start is the end, the row is done.
        found.extend((*inclusive && common < columns.len()).then(|| equal(columns, until)));
    }
    found
}

/// As [`and`], with nothing before it, too.
fn join(one: Condition, other: Condition) -> Condition {
    if one.0.is_empty() { other } else { and(one, other) }
}

fn common_prefix(columns: &[&ClusteringColumn], a: &[Bytes], b: &[Bytes]) -> usize {
    let same = |(column, (a, b)): &(&&ClusteringColumn, (&Bytes, &Bytes))| {
        compare_values(&column.column.cql_type, a, b) == Ordering::Equal
    };
    columns.iter().zip(a.iter().zip(b)).take_while(same).count()
}

fn beyond(column: &ClusteringColumn, value: &Bytes) -> Condition {
    let sign = if column.reversed { "<" } else { ">" };
    (format!("{} {sign} ?", quote(&column.column.name)), vec![Raw::Bytes(value.clone())])
}

fn before(column: &ClusteringColumn, value: &Bytes) -> Condition {
    let sign = if column.reversed { ">" } else { "<" };
    (format!("{} {sign} ?", quote(&column.column.name)), vec![Raw::Bytes(value.clone())])
}

#[cfg(test)]
mod tests {
    use tidemark_cassandra_format::types::CqlType;

    use super::*;
    use crate::restore::samples::{column, int, schema};

    fn columns(reversed: &[bool]) -> Vec<ClusteringColumn> {
        let one = |(n, reversed): (usize, &bool)| ClusteringColumn {
            column: column(&format!("c{n}"), CqlType::Int),
            reversed: *reversed,
        };
        reversed.iter().enumerate().map(one).collect()
    }

    fn values(of: &[i32]) -> Vec<Bytes> {
        of.iter().map(|n| int(*n)).collect()
    }

    /// True where a row of these values satisfies a condition of single columns.
    fn holds(condition: &Condition, row: &[i32]) -> bool {
        let mut bound = condition.1.iter().map(|raw| match raw {
            Raw::Bytes(bytes) => i32::from_be_bytes(bytes.as_ref().try_into().unwrap()),
            other => panic!("{other:?}"),
        });
        condition.0.split(" AND ").filter(|text| !text.is_empty()).all(|text| {
            let mut words = text.split(' ');
            let (name, sign) = (words.next().unwrap(), words.next().unwrap());
            let value = row[name.trim_matches('"')[1..].parse::<usize>().unwrap()];
            let bound = bound.next().unwrap();
            match sign {
                "=" => value == bound,
                "<" => value < bound,
                ">" => value > bound,
                other => panic!("{other}"),
            }
        })
    }

    /// All rows of three columns of 0 to 2, in clustering order.
    fn rows(columns: &[ClusteringColumn]) -> Vec<Vec<i32>> {
        let mut rows: Vec<Vec<i32>> = (0..27).map(|n| vec![n / 9, n / 3 % 3, n % 3]).collect();
        let key = |row: &Vec<i32>| -> Vec<i32> {
            row.iter().zip(columns).map(|(v, c)| if c.reversed { -v } else { *v }).collect()
        };
        rows.sort_by_key(key);
        rows
    }

    #[test]
    fn runs_of_both_directions_select_each_row_between_the_ends_once_and_in_order() {
        for reversed in [[true, false, true], [false, true, false], [false, false, true]] {
            let columns = columns(&reversed);
            let borrowed: Vec<&ClusteringColumn> = columns.iter().collect();
            let rows = rows(&columns);
            for from in 0..=rows.len() {
                for to in from..=rows.len() {
                    for inclusive in [true, false] {
                        let after = (from > 0).then(|| values(&rows[from - 1]));
                        let until = rows.get(to).map(|row| (values(row), inclusive));
                        let expected = &rows[from..(to + usize::from(inclusive)).min(rows.len())];
                        let conditions = runs(&borrowed, after.as_deref(), until.as_ref());
                        let found: Vec<&Vec<i32>> =
                            conditions.iter().flat_map(|c| rows.iter().filter(move |row| holds(c, row))).collect();
                        assert_eq!(found, expected.iter().collect::<Vec<_>>(), "{reversed:?} {after:?} {until:?}");
                    }
                }
            }
        }
    }

    #[test]
    fn columns_of_one_direction_are_one_slice() {
        let mut schema = schema();
        schema.clustering = columns(&[true, true]);
        let slice = Slice {
            after: Some(values(&[5, 6]).into_iter().map(Some).collect()),
            until: Some(values(&[1, 2]).into_iter().map(Some).collect()),
            inclusive: true,
            with_static: false,
        };
        let found = slices(&schema, &[int(9)], &slice);
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].0, "\"pk\" = ? AND (\"c0\", \"c1\") < (?, ?) AND (\"c0\", \"c1\") >= (?, ?)");
        assert_eq!(found[0].1.len(), 5);
        assert_eq!(slices(&schema, &[int(9)], &Slice::default())[0].0, "\"pk\" = ?");
    }
}
