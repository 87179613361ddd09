//! Which rows of a partition are read for a piece, and how they are told from others.

use std::iter::Peekable;

use bytes::Bytes;
use tidemark_cassandra_format::{model::Clustering, schema::TableSchema};

use crate::{
    connect::{Out, Raw},
    restore::{pieces::feed::Piece, schema::cql::quote, write::target::Target},
};

impl Target {
    /// The conditions that select the rows of a piece, with their values, in clustering order.
    pub(super) fn conditions(&self, piece: &Piece, is_static: bool) -> Vec<(String, Vec<Raw>)> {
        let raw = |values: &[Bytes]| values.iter().cloned().map(Raw::Bytes).collect::<Vec<_>>();
        let (mut condition, mut values) = (self.row_condition(true), raw(&piece.key));
        // In a merge a partition may hold any number of rows that are not ours.
        let whole = !self.shared && piece.after.is_none() && piece.last;
        if is_static || whole || self.schema.clustering.is_empty() {
            return vec![(condition, values)];
        }
        let Some(ends) = ends(&self.schema, piece, self.shared) else {
            let keys = piece.rows.iter().filter_map(|row| row_key(&row.clustering));
            return keys.map(|key| (self.row_condition(false), [raw(&piece.key), raw(&key)].concat())).collect();
        };
        for (key, comparison) in ends {
            condition.push_str(&format!(" AND {}", self.slice(comparison)));
            values.extend(raw(&key));
        }
        vec![(condition, values)]
    }

    /// `("c1", "c2") > (?, ?)`
    fn slice(&self, comparison: &str) -> String {
        let names: Vec<String> = self.schema.clustering.iter().map(|c| quote(&c.column.name)).collect();
        format!("({}) {comparison} ({})", names.join(", "), vec!["?"; names.len()].join(", "))
    }
}

/// The clustering values of a row, none where one of them is null: CQL has no word for that.
pub(super) fn row_key(clustering: &Clustering) -> Option<Vec<Bytes>> {
    clustering.iter().cloned().collect()
}

/// The ends of the slice that holds a piece's rows: clustering values and how rows compare with them; in a merge the first and
/// the last of the rows. `None` where no slice does: over columns of both directions, and where an end has a null in its key.
fn ends(schema: &TableSchema, piece: &Piece, shared: bool) -> Option<Vec<(Vec<Bytes>, &'static str)>> {
    let reversed = schema.clustering.iter().filter(|c| c.reversed).count();
    let (above, from, up_to) = match reversed {
        0 => (">", ">=", "<="),
        all if all == schema.clustering.len() => ("<", "<=", ">="),
        _ => return None,
    };
    let begin = match shared {
        true => piece.rows.first().map(|row| (&row.clustering, from)),
        false => piece.after.as_ref().map(|after| (after, above)),
    };
    let end = piece.rows.last().filter(|_| shared || !piece.last).map(|row| (&row.clustering, up_to));
    let ends = begin.into_iter().chain(end);
    ends.map(|(clustering, comparison)| Some((row_key(clustering)?, comparison))).collect()
}

/// Passes over the rows before this one: they are not ours.
pub(super) fn pass_over(
    schema: &TableSchema,
    found: &mut Peekable<impl Iterator<Item = Out>>,
    clustering: &Clustering,
) {
    let is_before = |f: &Out| schema.compare_clustering(&f.0[1..=clustering.len()].to_vec(), clustering).is_lt();
    while found.next_if(is_before).is_some() {}
}

pub(super) fn same_key(found: &Out, key: &[Bytes]) -> bool {
    found.0[1..=key.len()].iter().flatten().eq(key)
}

#[cfg(test)]
mod tests {
    use tidemark_cassandra_format::{model::Row, schema::ClusteringColumn, types::CqlType};

    use tidemark_records::restore::checkpoint::Mark;

    use super::*;
    use crate::restore::samples::{self, int};

    fn piece(rows: Vec<Row>, after: Option<Clustering>, last: bool) -> Piece {
        let at = Mark::default();
        Piece { at, end: at, token: 1, key: vec![int(1)], static_row: None, rows, after, last, bytes: 0 }
    }

    fn keyless() -> Row {
        Row { clustering: vec![None], ..Row::default() }
    }

    #[test]
    fn a_merge_is_read_between_its_rows_and_a_load_behind_the_piece_before() {
        let rows = || [3, 5, 8].map(|ck| samples::row(ck, Some(5), vec![])).into();
        let first = piece(rows(), None, true);
        let middle = piece(rows(), Some(vec![Some(int(2))]), false);
        let at = |ck: i32, comparison: &'static str| (vec![int(ck)], comparison);
        let mut schema = samples::schema();
        assert_eq!(ends(&schema, &first, true), Some(vec![at(3, ">="), at(8, "<=")]));
        assert_eq!(ends(&schema, &middle, true), Some(vec![at(3, ">="), at(8, "<=")]));
        assert_eq!(ends(&schema, &middle, false), Some(vec![at(2, ">"), at(8, "<=")]));
        schema.clustering[0].reversed = true;
        assert_eq!(ends(&schema, &first, true), Some(vec![at(3, "<="), at(8, ">=")]));
        assert_eq!(ends(&schema, &middle, false), Some(vec![at(2, "<"), at(8, ">=")]));
        schema.clustering.push(ClusteringColumn { column: samples::column("d", CqlType::Int), reversed: false });
        assert_eq!(ends(&schema, &middle, true), None, "no slice runs over columns of both directions");
    }

    #[test]
    fn a_row_with_a_null_in_its_key_bounds_no_slice() {
        let schema = samples::schema();
        let row = || samples::row(3, Some(5), vec![]);
        assert_eq!(row_key(&keyless().clustering), None);
        assert_eq!(ends(&schema, &piece(vec![keyless(), row()], None, true), true), None);
        assert_eq!(ends(&schema, &piece(vec![row()], Some(vec![None]), true), false), None);
        let found = ends(&schema, &piece(vec![keyless(), row()], None, false), false);
        assert_eq!(found, Some(vec![(vec![int(3)], "<=")]));
    }

    #[test]
    fn only_rows_before_ours_are_passed_over() {
        let out = |ck: i32| Out(vec![Some(int(1)), Some(int(ck))]);
        let mut found = [0, 1, 5, 7].map(out).into_iter().peekable();
        pass_over(&samples::schema(), &mut found, &vec![Some(int(3))]);
        assert_eq!(found.next(), Some(out(5)), "the row after one that is not there is still to be found");
    }
}
