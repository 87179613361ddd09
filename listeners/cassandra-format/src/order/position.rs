//! Order of rows and range tombstone bounds within a partition, and of cells within a multi-cell column.

use std::cmp::Ordering;

use bytes::Bytes;

use super::compare_values;
use crate::model::{BoundKind, Clustering, Marker, Row, Unfiltered};
use crate::schema::TableSchema;
use crate::types::CqlType;

/// A place in the clustering order of a partition.
#[derive(Clone, Copy, Debug)]
pub enum Position<'a> {
    /// A row's clustering.
    Row(&'a [Option<Bytes>]),
    /// A bound: before or after everything its prefix covers.
    Bound(BoundKind, &'a [Option<Bytes>]),
}

impl<'a> Position<'a> {
    fn prefix(self) -> &'a [Option<Bytes>] {
        match self {
            Self::Row(clustering) | Self::Bound(_, clustering) => clustering,
        }
    }

    /// Side of the position on rows with its prefix: before, among or after them.
    fn side(self) -> Ordering {
        match self {
            Self::Row(_) => Ordering::Equal,
            Self::Bound(kind, _) => kind.side(),
        }
    }
}

impl BoundKind {
    /// Where the bound lies in regard to the rows it prefixes: `Less` before them, `Greater` after them.
    pub fn side(self) -> Ordering {
        match self {
            Self::ExclEnd | Self::InclStart | Self::ExclEndInclStart => Ordering::Less,
            Self::InclEndExclStart | Self::InclEnd | Self::ExclStart => Ordering::Greater,
        }
    }
}

impl Row {
    /// The row's place in its partition.
    pub fn position(&self) -> Position<'_> {
        Position::Row(&self.clustering)
    }
}

impl Marker {
    /// The marker's place in its partition.
    pub fn position(&self) -> Position<'_> {
        Position::Bound(self.kind, &self.prefix)
    }
}

impl Unfiltered {
    /// Its place in its partition.
    pub fn position(&self) -> Position<'_> {
        match self {
            Self::Row(row) => row.position(),
            Self::Marker(marker) => marker.position(),
        }
    }
}

impl TableSchema {
    /// Compares the clusterings of two rows: column by column, null before all values, `DESC` columns reversed.
    pub fn compare_clustering(&self, a: &Clustering, b: &Clustering) -> Ordering {
        self.compare_positions(Position::Row(a), Position::Row(b))
    }

    /// Compares two places. Bounds of the same prefix and side are equal, whatever they open or close; a shorter prefix
    /// lies before or after everything it prefixes.
    pub fn compare_positions(&self, a: Position<'_>, b: Position<'_>) -> Ordering {
        let (x, y) = (a.prefix(), b.prefix());
        self.compare_prefixes(x, y).then_with(|| match x.len().cmp(&y.len()) {
            Ordering::Equal => a.side().cmp(&b.side()),
            Ordering::Less => a.side(),
            Ordering::Greater => b.side().reverse(),
        })
    }

    /// Compares the columns that both prefixes have.
    fn compare_prefixes(&self, a: &[Option<Bytes>], b: &[Option<Bytes>]) -> Ordering {
        for ((a, b), column) in a.iter().zip(b).zip(&self.clustering) {
            let order = match (a, b) {
                // Null is first in both directions.
                (None, _) | (_, None) => a.is_some().cmp(&b.is_some()),
                (Some(a), Some(b)) if column.reversed => compare_values(&column.column.cql_type, b, a),
                (Some(a), Some(b)) => compare_values(&column.column.cql_type, a, b),
            };
            if order.is_ne() {
                return order;
            }
        }
        Ordering::Equal
    }

    /// Compares two cell paths of a column: set elements and map keys by their type, list paths as time UUIDs, field
    /// indexes of UDTs as 16-bit integers. Paths of a column of one cell are compared by bytes.
    pub fn compare_paths(&self, column_type: &CqlType, a: &[u8], b: &[u8]) -> Ordering {
        compare_paths(column_type, a, b)
    }
}

/// Compares two cell paths of a column of this type; see [`TableSchema::compare_paths`].
pub fn compare_paths(column_type: &CqlType, a: &[u8], b: &[u8]) -> Ordering {
    column_type.path_type().map_or_else(|| a.cmp(b), |path_type| compare_values(path_type, a, b))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::{ClusteringColumn, Column};

    fn schema() -> TableSchema {
        let column = |name: &str, cql_type| Column { name: name.into(), cql_type, dropped_at: None };
        TableSchema {
            keyspace: "ks".into(),
            table: "t".into(),
            partition_key: vec![column("k", CqlType::Int)],
            clustering: vec![
                ClusteringColumn { column: column("a", CqlType::Int), reversed: false },
                ClusteringColumn { column: column("b", CqlType::Text), reversed: true },
            ],
            statics: vec![],
            regulars: vec![],
            dropped: vec![],
        }
    }

    fn int(n: i32) -> Option<Bytes> {
        Some(Bytes::copy_from_slice(&n.to_be_bytes()))
    }

    fn text(t: &'static str) -> Option<Bytes> {
        Some(Bytes::from_static(t.as_bytes()))
    }

    #[test]
    fn rows_and_bounds_ascend_as_cassandra_writes_them() {
        let (none, one, two) = (vec![], vec![int(1)], vec![int(2)]);
        let row = |a: i32, b: Option<Bytes>| vec![int(a), b];
        let (null, b, a, empty) = (row(1, None), row(1, text("b")), row(1, text("a")), row(1, text("")));
        let minus = row(-1, text("a"));
        let ascending = [
            Position::Bound(BoundKind::InclStart, &none),
            Position::Row(&minus),
            Position::Bound(BoundKind::ExclEndInclStart, &one),
            Position::Row(&null),
            Position::Bound(BoundKind::InclStart, &b),
            Position::Row(&b),
            Position::Bound(BoundKind::ExclStart, &b),
            Position::Row(&a),
            Position::Row(&empty),
            Position::Bound(BoundKind::InclEnd, &one),
            Position::Bound(BoundKind::ExclEnd, &two),
            Position::Bound(BoundKind::InclEnd, &none),
        ];
        let schema = schema();
        for (i, x) in ascending.iter().enumerate() {
            for (j, y) in ascending.iter().enumerate() {
                assert_eq!(schema.compare_positions(*x, *y), i.cmp(&j), "{x:?} and {y:?}");
            }
        }
    }

    #[test]
    fn bounds_of_one_side_are_equal() {
        let prefix = vec![int(1)];
        for (a, b) in [(BoundKind::ExclEnd, BoundKind::InclStart), (BoundKind::InclEnd, BoundKind::ExclStart)] {
            let order = schema().compare_positions(Position::Bound(a, &prefix), Position::Bound(b, &prefix));
            assert_eq!(order, Ordering::Equal);
        }
    }

    #[test]
    fn paths_compare_by_the_kind_of_column() {
        let int = || Box::new(CqlType::Int);
        let set = CqlType::Set { element: int(), frozen: false };
        assert_eq!(compare_paths(&set, &(-1_i32).to_be_bytes(), &1_i32.to_be_bytes()), Ordering::Less);
        let udt = CqlType::Udt { keyspace: "ks".into(), name: "u".into(), fields: vec![], frozen: false };
        assert_eq!(compare_paths(&udt, &[0, 2], &[1, 0]), Ordering::Less);
    }
}
