//! Compares the replicas' versions of each row while they are merged.

use std::sync::Arc;

use tidemark_cassandra_format::{
    model::{ColumnIndex, Deletion, Expiry, Partition, Row},
    schema::{Column, TableSchema},
    types::CqlType,
};

use super::{
    CollapseOptions,
    difference::{Version, newest_difference},
    owned::Ownership,
};
use crate::{
    counter,
    merge::{Cover, Observer},
    view::{self, LiveCell, LiveRow},
};

/// Counts the rows on which captured owners disagree.
pub(crate) struct Witness {
    schema: Arc<TableSchema>,
    owns: Vec<Ownership>,
    options: CollapseOptions,
    /// Captured owners of the current partition.
    owners: Vec<usize>,
    disagreeing: u64,
}

impl Witness {
    pub(crate) fn new(schema: Arc<TableSchema>, owns: Vec<Ownership>, options: CollapseOptions) -> Self {
        let owners = Vec::with_capacity(owns.len());
        Self { schema, owns, options, owners, disagreeing: 0 }
    }

    /// Rows on which owners disagreed so far.
    pub(crate) fn disagreeing(&self) -> u64 {
        self.disagreeing
    }

    fn enter(&mut self, token: i64) {
        let Self { owns, owners, .. } = self;
        owners.clear();
        owners.extend((0..owns.len()).filter(|&index| owns[index](token)));
    }

    /// Adds the row if the owners disagree on it; `version_of` gives each owner's version.
    fn judge<'a>(&mut self, is_static: bool, version_of: impl Fn(usize) -> Version<'a>) {
        let disagree = {
            let columns = if is_static { &self.schema.statics } else { &self.schema.regulars };
            self.views_differ(columns, &version_of)
                && self.newest(columns, &version_of) < Some(self.options.cut_from_micros)
        };
        self.disagreeing += u64::from(disagree);
    }

    fn views_differ<'a>(&self, columns: &[Column], version_of: &impl Fn(usize) -> Version<'a>) -> bool {
        let view_of = |&owner: &usize| {
            let row = version_of(owner).row;
            row.and_then(|row| view::live_row(row, self.options.now_seconds))
        };
        let mut views = self.owners.iter().map(view_of);
        let first = views.next();
        views.any(|view| match (view, first.unwrap_or_default()) {
            (Some(view), Some(first)) => !same_view(columns, &view, &first),
            (view, first) => view.is_some() != first.is_some(),
        })
    }

    /// Write time of the newest atom that not all owners have. What all have, each has in common with the first owner, so
    /// comparing with that one finds every difference.
    fn newest<'a>(&self, columns: &[Column], version_of: &impl Fn(usize) -> Version<'a>) -> Option<i64> {
        let (&first, others) = self.owners.split_first()?;
        let first = version_of(first);
        others.iter().filter_map(|&other| newest_difference(columns, first, version_of(other))).max()
    }
}

/// True iff a reader is told the same.
fn same_view(columns: &[Column], left: &LiveRow<'_>, right: &LiveRow<'_>) -> bool {
    let cells = || left.cells().map(|at| told(columns, at)).eq(right.cells().map(|at| told(columns, at)));
    left.liveness() == right.liveness() && cells()
}

/// What a reader is told of a cell: its place, write time and expiry, and its value; of a counter the sum of its shards.
fn told<'a>(columns: &[Column], at: LiveCell<'a>) -> (Place<'a>, i64, Option<Expiry>, Told<'a>) {
    let count = match columns[usize::from(at.column)].cql_type {
        CqlType::Counter => counter::value(&at.cell.value).ok(),
        _ => None,
    };
    ((at.column, at.path), at.cell.ts, at.expiry(), count.map_or(Told::Value(&at.cell.value), Told::Count))
}

/// Column and path.
type Place<'a> = (ColumnIndex, Option<&'a [u8]>);

/// A value as a reader is told it.
#[derive(PartialEq, Eq)]
enum Told<'a> {
    Value(&'a [u8]),
    Count(i64),
}

impl Observer for Witness {
    fn partition(&mut self, heads: &[(usize, Partition)]) {
        self.enter(heads[0].1.token);
        let has_static = heads.iter().any(|(_, head)| head.static_row.is_some());
        let unanimous = heads.len() == self.owners.len()
            && heads.windows(2).all(|pair| pair[0].1.static_row == pair[1].1.static_row);
        if has_static && !unanimous {
            self.judge(true, |owner| {
                let head = heads.iter().find(|(index, _)| *index == owner).map(|(_, head)| head);
                let cover = head.map_or(Deletion::LIVE, |head| head.deletion);
                Version { row: head.and_then(|head| head.static_row.as_ref()), cover }
            });
        }
    }

    fn row(&mut self, versions: &[(usize, Row)], covers: &[Cover]) {
        let unanimous = versions.len() == self.owners.len() && versions.windows(2).all(|pair| pair[0].1 == pair[1].1);
        if !unanimous {
            self.judge(false, |owner| Version {
                row: versions.iter().find(|(index, _)| *index == owner).map(|(_, row)| row),
                cover: covers[owner].strongest(),
            });
        }
    }
}
