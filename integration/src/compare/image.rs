//! What a table holds, as CQL shows it: rows with their cells, write times and expiries.

use std::{collections::BTreeMap, fmt};

use bytes::Bytes;

/// When a value expires, s since 1970: within these bounds, both included, because TTL says how long is left and not
/// exactly when it was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Expiry {
    /// Not before.
    pub earliest: i64,
    /// Not after.
    pub latest: i64,
}

impl Expiry {
    /// True where both may be the same instant, give or take the second that a restored TTL is rounded to.
    pub fn agrees(self, other: Self) -> bool {
        self.earliest <= other.latest + 1 && other.earliest <= self.latest + 1
    }
}

/// Place of a row: partition key and clustering values; static rows have no clustering.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct RowKey {
    /// Values of the partition key.
    pub partition: Vec<Bytes>,
    /// Values of the clustering columns, none for the static row.
    pub clustering: Option<Vec<Bytes>>,
}

impl fmt::Display for RowKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hex = |values: &[Bytes]| values.iter().map(hex::encode).collect::<Vec<_>>().join(":");
        let clustering = self.clustering.as_deref().map_or_else(|| "static".to_owned(), hex);
        write!(f, "({}) {clustering}", hex(&self.partition))
    }
}

impl fmt::Debug for RowKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// One cell. `path` is empty for columns of one cell; the element of a set, the key of a map, the place in a list (u32),
/// the index of a field.
#[derive(Clone, PartialEq, Eq)]
pub struct Cell {
    /// Where in the column.
    pub path: Bytes,
    /// Value.
    pub value: Bytes,
    /// Write time, µs.
    pub writetime: i64,
    /// Set where it has a TTL.
    pub expiry: Option<Expiry>,
}

impl fmt::Debug for Cell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[{}]={}@{}", hex::encode(&self.path), hex::encode(&self.value), self.writetime)?;
        self.expiry.map_or(Ok(()), |expiry| write!(f, " until {}..{}", expiry.earliest, expiry.latest))
    }
}

impl Cell {
    fn agrees(&self, other: &Self) -> bool {
        let expiries = match (self.expiry, other.expiry) {
            (Some(left), Some(right)) => left.agrees(right),
            (left, right) => left.is_none() && right.is_none(),
        };
        self.path == other.path && self.value == other.value && self.writetime == other.writetime && expiries
    }
}

/// A column of a row by its name.
type Named<'a> = (&'a String, &'a Vec<Cell>);

/// Cells of a row by column name, in the order of the server; columns without a value are not there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RowImage {
    /// The columns.
    pub columns: BTreeMap<String, Vec<Cell>>,
}

impl RowImage {
    /// True where every value and write time is the same and expiries are within a second.
    pub fn agrees(&self, other: &Self) -> bool {
        let same = |((left_name, left), (right_name, right)): (Named<'_>, Named<'_>)| {
            left_name == right_name
                && left.len() == right.len()
                && left.iter().zip(right).all(|(left, right)| left.agrees(right))
        };
        self.columns.len() == other.columns.len() && self.columns.iter().zip(&other.columns).all(same)
    }
}

/// A whole table.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TableImage {
    /// Its rows, static rows among them.
    pub rows: BTreeMap<RowKey, RowImage>,
}

impl TableImage {
    /// Rows, static rows not counted.
    pub fn row_count(&self) -> usize {
        self.rows.keys().filter(|key| key.clustering.is_some()).count()
    }

    /// Static rows.
    pub fn static_count(&self) -> usize {
        self.rows.len() - self.row_count()
    }

    /// Every row in which the two differ, for people: both sides' contents.
    pub fn differences(&self, found: &Self) -> Vec<String> {
        let missing = self.rows.keys().filter(|key| !found.rows.contains_key(*key));
        let missing = missing.map(|key| format!("row {key} is missing"));
        let others = found.rows.iter().filter_map(|(key, row)| match self.rows.get(key) {
            None => Some(format!("row {key} should not be there: {row:?}")),
            Some(expected) if !expected.agrees(row) => Some(difference(key, expected, row)),
            Some(_) => None,
        });
        missing.chain(others).collect()
    }

    /// Fails with the first differences, if there are any.
    ///
    /// # Errors
    /// Where the images differ.
    pub fn expect(&self, what: &str, found: &Self) -> anyhow::Result<()> {
        let differences = self.differences(found);
        let first = differences.iter().take(5).cloned().collect::<Vec<_>>().join("\n  ");
        anyhow::ensure!(differences.is_empty(), "{what}: {} rows differ:\n  {first}", differences.len());
        Ok(())
    }
}

fn difference(key: &RowKey, expected: &RowImage, found: &RowImage) -> String {
    let names = expected.columns.keys().chain(found.columns.keys()).collect::<std::collections::BTreeSet<_>>();
    let differs = |name: &&&String| {
        let pick = |row: &RowImage| RowImage {
            columns: row.columns.get_key_value(**name).map(|(k, v)| (k.clone(), v.clone())).into_iter().collect(),
        };
        !pick(expected).agrees(&pick(found))
    };
    let columns = names.iter().filter(differs).map(|name| {
        format!("{name}: expected {:?}, found {:?}", expected.columns.get(*name), found.columns.get(*name))
    });
    format!("row {key}: {}", columns.collect::<Vec<_>>().join("; "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image(value: &str, writetime: i64, expiry: Option<i64>) -> TableImage {
        let expiry = expiry.map(|at| Expiry { earliest: at, latest: at });
        let cell = Cell { path: Bytes::new(), value: Bytes::from(value.to_owned()), writetime, expiry };
        let row = RowImage { columns: BTreeMap::from([("v".to_owned(), vec![cell])]) };
        let key = RowKey { partition: vec![Bytes::from("k")], clustering: Some(vec![]) };
        TableImage { rows: BTreeMap::from([(key, row)]) }
    }

    #[test]
    fn another_value_write_time_or_expiry_is_a_difference() {
        let base = image("a", 5, Some(100));
        assert_eq!(base.differences(&image("a", 5, Some(101))), Vec::<String>::new());
        for other in [image("b", 5, Some(100)), image("a", 6, Some(100)), image("a", 5, Some(102)), image("a", 5, None)]
        {
            assert_eq!(base.differences(&other).len(), 1);
        }
    }

    #[test]
    fn missing_and_unexpected_rows_are_differences() {
        let (full, empty) = (image("a", 5, None), TableImage::default());
        assert!(full.differences(&empty)[0].contains("is missing"));
        assert!(empty.differences(&full)[0].contains("should not be there"));
        assert!(full.expect("a table", &empty).is_err());
    }
}
