//! From what a row differs in to the statements that mend it: pure.
//!
//! Deletions have the instant as their time, values the microsecond after. A list is replaced whole: in attempt k its deletion
//! has the time R + 2k and its elements R + 1 + 2k, so that two attempts that both land leave the elements of one.

use std::sync::Arc;

use bytes::{BufMut, Bytes, BytesMut};
use tidemark_cassandra_format::{
    model::{Clustering, ColumnData, ColumnIndex, Deletion, PathCell, Row},
    schema::{Column, TableSchema},
    types::CqlType,
};

use crate::{
    connect::Raw,
    restore::undo::{
        compare::{Difference, Extra},
        query::{self, Condition},
        scan::{PartitionKey, RowKey},
    },
    restore::{
        schema::cql::quote,
        write::{
            size::WriteSizes,
            statements::{
                rows::{Clock, Error, check_key, clustering, row_writes},
                shapes::{Shapes, StatementId},
            },
        },
    },
};

/// Most elements that one statement removes.
const REMOVED_ELEMENTS: usize = 1_000;

/// A row to mend.
#[derive(Clone, Debug)]
pub(super) struct Fix {
    /// Its partition.
    pub(super) partition: Arc<PartitionKey>,
    /// Its clustering; empty for a static row.
    pub(super) clustering: Clustering,
    /// True for the static row.
    pub(super) is_static: bool,
    /// True where the version has the row.
    pub(super) is_wanted: bool,
    /// What it differs in.
    pub(super) difference: Difference,
    /// True where what the version does not have goes.
    pub(super) remove: bool,
}

impl Fix {
    /// Its place.
    pub(super) fn key(&self) -> RowKey {
        (self.partition.token, self.partition.raw.clone(), !self.is_static, self.clustering.clone())
    }

    /// Lists that are replaced, with the elements that they get.
    pub(super) fn lists(&self) -> impl Iterator<Item = (ColumnIndex, &[PathCell])> {
        let lists = self.difference.lists.iter().map(|(index, cells)| (*index, cells.as_slice()));
        let shorter = self.difference.extras.iter().filter(|_| self.remove).filter_map(|extra| match extra {
            Extra::List(index, cells) => Some((*index, cells.as_slice())),
            _ => None,
        });
        lists.chain(shorter)
    }

    /// Lists that are replaced around newer elements, as it was seen before or after it was done.
    pub(super) fn mixed(&self, after: &Difference) -> Vec<ColumnIndex> {
        let mixed = |index: &ColumnIndex| self.difference.mixed.contains(index) || after.mixed.contains(index);
        self.lists().map(|(index, _)| index).filter(mixed).collect()
    }

    /// True where a list is replaced.
    pub(super) fn has_lists(&self) -> bool {
        self.lists().next().is_some()
    }

    /// True where the row goes.
    pub(super) fn removes_row(&self) -> bool {
        self.remove && self.difference.extras.contains(&Extra::Row)
    }
}

/// What a statement is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Text {
    /// One of those that write rows.
    Prepared(StatementId),
    /// Any other.
    Cql(String),
}

/// One execution of one statement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Request {
    /// The statement.
    pub(super) text: Text,
    /// Values of its markers.
    pub(super) values: Vec<Raw>,
    /// Bytes of the values, about.
    pub(super) bytes: usize,
    /// True where it appends to a list.
    pub(super) appends: bool,
}

/// By what rows are mended.
pub(super) struct Mender<'a> {
    /// The version's schema.
    pub(super) schema: &'a TableSchema,
    /// The target's statements.
    pub(super) shapes: &'a Shapes,
    /// `keyspace.table`, quoted.
    pub(super) table: String,
    /// Write time of values, µs.
    pub(super) stamp: i64,
    /// Write time of elements of lists, µs.
    pub(super) list_stamp: i64,
    /// What becomes of expiries.
    pub(super) clock: Clock,
    /// Sizes of writes that the destination takes.
    pub(super) sizes: WriteSizes,
}

impl Mender<'_> {
    /// The statements that mend a row, in order.
    ///
    /// # Errors
    /// Where CQL cannot express a value or a key, or the destination cannot hold an expiry.
    pub(super) fn requests(&self, fix: &Fix) -> Result<Vec<Request>, Error> {
        let mut requests = self.deletions(fix);
        let row = self.row(fix, !requests.is_empty());
        let values = if fix.is_static { Vec::new() } else { clustering(self.schema, &row)? };
        check_key(self.schema, &fix.partition.values, &values)?;
        let key_bytes: usize = values.iter().map(Bytes::len).sum();
        for write in row_writes(self.schema, self.shapes, &row, fix.is_static, self.clock, self.sizes)? {
            let (bytes, appends) = (write.bytes + key_bytes, write.appends);
            let bound = write.bind(&fix.partition.values, &values);
            let text = match &write.apart {
                None => Text::Prepared(write.statement),
                Some(assignment) => Text::Cql(self.update(assignment, fix.is_static)),
            };
            requests.push(Request { text, values: bound, bytes, appends });
        }
        Ok(requests)
    }

    /// The statements that delete what goes, and lists before they get their elements.
    fn deletions(&self, fix: &Fix) -> Vec<Request> {
        let condition = match fix.is_static {
            true => query::partition(self.schema, &fix.partition.values),
            false => query::one_row(self.schema, &fix.partition.values, &fix.clustering),
        };
        let mut requests = Vec::new();
        for extra in fix.difference.extras.iter().filter(|_| fix.remove) {
            match extra {
                Extra::Row => requests.push(self.delete("", self.stamp - 1, &condition)),
                Extra::Column(index) => requests.push(self.delete(
                    &format!("{} ", quote(&self.column(fix, *index).name)),
                    self.stamp - 1,
                    &condition,
                )),
                Extra::Elements(index, paths) => {
                    requests.extend(self.remove_elements(self.column(fix, *index), paths, &condition));
                }
                // It is among those that are replaced.
                Extra::List(..) => {}
            }
        }
        for (index, _) in fix.lists() {
            let name = format!("{} ", quote(&self.column(fix, index).name));
            requests.push(self.delete(&name, self.list_stamp - 1, &condition));
        }
        requests
    }

    /// The statement that sets what has no slot.
    fn update(&self, assignment: &str, is_static: bool) -> String {
        let clustering = self.schema.clustering.iter().map(|c| &c.column).filter(|_| !is_static);
        let keys = self.schema.partition_key.iter().chain(clustering);
        let keys: Vec<String> = keys.map(|column| format!("{} = ?", quote(&column.name))).collect();
        let table = &self.table;
        format!("UPDATE {table} USING TIMESTAMP ? AND TTL ? SET {assignment} WHERE {}", keys.join(" AND "))
    }

    fn column(&self, fix: &Fix, index: ColumnIndex) -> &Column {
        let columns = if fix.is_static { &self.schema.statics } else { &self.schema.regulars };
        &columns[usize::from(index)]
    }

    /// What is written of a row. The INSERT marker goes along with any change, because it does not show whether the target
    /// has it.
    fn row(&self, fix: &Fix, removes: bool) -> Row {
        let stamped = |mut at: PathCell| {
            at.cell.ts = self.list_stamp;
            at
        };
        let data = |cells: &[PathCell]| ColumnData::Complex {
            deletion: Deletion::LIVE,
            cells: cells.iter().cloned().map(stamped).collect(),
        };
        let lists = fix.lists().map(|(index, cells)| (index, data(cells)));
        let mut columns: Vec<_> = fix.difference.columns.iter().cloned().chain(lists).collect();
        columns.sort_by_key(|(index, _)| *index);
        let liveness = fix.difference.marker.filter(|_| fix.difference.writes() || removes);
        Row { clustering: fix.clustering.clone(), liveness, columns, ..Row::default() }
    }

    fn delete(&self, what: &str, at: i64, condition: &Condition) -> Request {
        let cql = format!("DELETE {what}FROM {} USING TIMESTAMP ? WHERE {}", self.table, condition.0);
        request(cql, [vec![long(at)], condition.1.clone()].concat())
    }

    fn remove_elements(&self, column: &Column, paths: &[Bytes], condition: &Condition) -> Vec<Request> {
        let name = quote(&column.name);
        if let CqlType::Udt { fields, .. } = &column.cql_type {
            let index = |path: &Bytes| <[u8; 2]>::try_from(path.as_ref()).map(u16::from_be_bytes).ok();
            let known = paths.iter().filter_map(|path| fields.get(usize::from(index(path)?)));
            let field = |(field, _): &(String, CqlType)| {
                self.delete(&format!("{name}.{} ", quote(field)), self.stamp - 1, condition)
            };
            return known.map(field).collect();
        }
        let cql = format!("UPDATE {} USING TIMESTAMP ? SET {name} = {name} - ? WHERE {}", self.table, condition.0);
        let part = |paths: &[Bytes]| {
            let values = vec![long(self.stamp - 1), Raw::Bytes(set(paths))];
            request(cql.clone(), [values, condition.1.clone()].concat())
        };
        runs(paths, self.sizes.full).into_iter().map(part).collect()
    }
}

/// Elements in runs, each of which one statement removes and one write takes.
fn runs(paths: &[Bytes], full: usize) -> Vec<&[Bytes]> {
    let (mut runs, mut start, mut bytes) = (Vec::new(), 0, 0);
    for (at, path) in paths.iter().enumerate() {
        if at > start && (at - start >= REMOVED_ELEMENTS || bytes + path.len() > full) {
            runs.push(&paths[start..at]);
            (start, bytes) = (at, 0);
        }
        bytes += path.len();
    }
    runs.extend((start < paths.len()).then(|| &paths[start..]));
    runs
}

fn request(cql: String, values: Vec<Raw>) -> Request {
    let size = |value: &Raw| if let Raw::Bytes(bytes) = value { bytes.len() } else { 0 };
    let bytes = values.iter().map(size).sum();
    Request { text: Text::Cql(cql), values, bytes, appends: false }
}

fn long(value: i64) -> Raw {
    Raw::Bytes(Bytes::copy_from_slice(&value.to_be_bytes()))
}

/// A set of these elements, as CQL serialises it.
fn set(elements: &[Bytes]) -> Bytes {
    let mut packed = BytesMut::new();
    packed.put_u32(elements.len() as u32);
    for element in elements {
        packed.put_u32(element.len() as u32);
        packed.put_slice(element);
    }
    packed.freeze()
}

#[cfg(test)]
mod tests;
