//! Lists whose appends may have landed before: read, compare, correct.
//!
//! Each execution of `l = l + ?` makes new element ids, so that doing it twice gives every element twice. Before an append
//! whose earlier outcome is unknown is sent again, and before any append of a merge, the list is read: if our elements are all
//! there, nothing is appended; if some are, they are deleted one by one, at their own write times, and appended again under
//! new ids. Elements that are not ours (in a table that held rows before) stay. The caller has waited until no earlier request
//! can still land.

use std::collections::{BTreeMap, HashSet};

use bytes::Bytes;
use scylla::statement::batch::{Batch, BatchType};
use tidemark_cassandra_format::{
    model::{ColumnData, ColumnIndex, Row},
    schema::Column,
};

use tidemark_listener_core::failure::Failure;

use crate::{
    connect::{self, Out, Raw},
    restore::{
        pieces::feed::Piece,
        schema::cql::quote,
        values::raw::{self, Element},
        write::{
            statements::{
                rows::{Write, value_expiry},
                shapes::{Slot, slots},
            },
            target::{Target, WriteFailure},
        },
    },
};

/// Lists cannot be looked at.
const LOOK: &str = "TM-REST-0402";

/// Deletions in one request.
const DELETIONS: usize = 500;

/// What is to be done with the elements that were found in one list.
#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    /// All of ours are there, once, in order.
    Whole,
    /// None of ours is there.
    Absent,
    /// Delete the elements at these indexes (with their write times), then append.
    Broken(Vec<(i32, i64)>),
}

/// An element that we append: value and write time.
type Wanted = (Bytes, i64);

impl Target {
    /// The writes of a row that are still to be sent, after elements of half-written lists were deleted.
    ///
    /// # Errors
    /// `TM-REST-0402` where a list cannot be read or corrected.
    pub async fn settle_lists(
        &self,
        piece: &Piece,
        row: &Row,
        is_static: bool,
        clustering: &[Bytes],
        writes: Vec<Write>,
        now: u32,
    ) -> Result<Vec<Write>, WriteFailure> {
        let wanted = self.wanted(row, is_static, now);
        let found = self.read_lists(piece, is_static, clustering, &wanted).await?;
        let judged: Vec<(ColumnIndex, Verdict)> = wanted
            .iter()
            .map(|(index, wanted)| (*index, judge(wanted, found.get(index).map_or(&[], Vec::as_slice))))
            .collect();
        if judged.iter().all(|(_, verdict)| *verdict == Verdict::Whole) {
            return Ok(self.without_appends(writes));
        }
        for (index, verdict) in judged {
            let whole = || all_of(&wanted[&index], found.get(&index).map_or(&[], Vec::as_slice));
            let doomed = match verdict {
                Verdict::Absent => continue,
                Verdict::Broken(doomed) => doomed,
                // Another list of the row is appended again, and with it this one: they share statements.
                Verdict::Whole => whole(),
            };
            self.delete_elements(piece, is_static, clustering, index, doomed).await?;
        }
        Ok(writes)
    }

    fn without_appends(&self, writes: Vec<Write>) -> Vec<Write> {
        let kept = |write: Write| match write.appends {
            true => {
                let shape = self.shapes.get(write.statement);
                write.without_appends(shape)
            }
            false => Some(write),
        };
        writes.into_iter().filter_map(kept).collect()
    }

    /// Columns of the static row, or of rows.
    pub(super) fn columns(&self, is_static: bool) -> &[Column] {
        if is_static { &self.schema.statics } else { &self.schema.regulars }
    }

    /// The elements that live at `now`, per list of the row.
    fn wanted(&self, row: &Row, is_static: bool, now: u32) -> BTreeMap<ColumnIndex, Vec<Wanted>> {
        let columns = self.columns(is_static);
        let is_list = |index: &ColumnIndex| {
            let column = &columns[usize::from(*index)];
            matches!(slots(&[&column.cql_type])[..], [Slot::List(_)])
        };
        let lists = row.columns.iter().filter(|(index, _)| is_list(index));
        let live = |data: &ColumnData| match data {
            ColumnData::Simple(_) => Vec::new(),
            ColumnData::Complex { cells, .. } => {
                let clock = self.clock(now);
                let live = cells.iter().filter(|c| value_expiry(&c.cell).and_then(|e| clock.kept(e)).is_some());
                live.map(|c| (c.cell.value.clone(), c.cell.ts)).collect()
            }
        };
        lists.map(|(index, data)| (*index, live(data))).filter(|(_, wanted)| !wanted.is_empty()).collect()
    }

    async fn read_lists(
        &self,
        piece: &Piece,
        is_static: bool,
        clustering: &[Bytes],
        wanted: &BTreeMap<ColumnIndex, Vec<Wanted>>,
    ) -> Result<BTreeMap<ColumnIndex, Vec<Element>>, WriteFailure> {
        let columns = self.columns(is_static);
        let names: Vec<String> = wanted.keys().map(|i| quote(&columns[usize::from(*i)].name)).collect();
        let times =
            |name: &String| if self.element_times { format!("{name}, WRITETIME({name})") } else { name.clone() };
        let selected: Vec<String> = names.iter().map(times).collect();
        let cql =
            format!("SELECT {} FROM {} WHERE {}", selected.join(", "), self.quoted(), self.row_condition(is_static));
        let Some(Out(values)) = self.read_one(piece, clustering, is_static, &cql).await? else {
            return Ok(BTreeMap::new());
        };
        let step = if self.element_times { 2 } else { 1 };
        let mut found = BTreeMap::new();
        for (n, index) in wanted.keys().enumerate() {
            let times = values.get(n * step + 1).filter(|_| self.element_times).cloned().flatten();
            let elements = raw::list(values[n * step].as_ref(), times.as_ref());
            let elements =
                elements.ok_or_else(|| self.list_error(piece, clustering, "its bytes are not those of a list"))?;
            found.insert(*index, elements);
        }
        Ok(found)
    }

    fn list_error(&self, piece: &Piece, clustering: &[Bytes], why: &str) -> Failure {
        let place = self.place(&piece.key, clustering);
        Failure::new(LOOK, format!("look at the lists of {place}: {why}"))
    }

    /// `"pk" = ? AND …` of one row, or of the partition for its static row.
    pub fn row_condition(&self, is_static: bool) -> String {
        let partition = self.schema.partition_key.iter();
        let clustering = self.schema.clustering.iter().map(|c| &c.column).filter(|_| !is_static);
        let names = partition.chain(clustering).map(|c| format!("{} = ?", quote(&c.name)));
        names.collect::<Vec<_>>().join(" AND ")
    }

    /// The first row of the answer.
    async fn read_one(
        &self,
        piece: &Piece,
        clustering: &[Bytes],
        is_static: bool,
        cql: &str,
    ) -> Result<Option<Out>, WriteFailure> {
        let cql = if is_static { format!("{cql} LIMIT 1") } else { cql.to_owned() };
        let statement = self.extra(&cql).await?;
        let values = bound(piece, if is_static { &[] } else { clustering });
        let pager = self.session.execute_iter(statement, values).await;
        let what = format!("look at the lists of {}", self.place(&piece.key, clustering));
        let rows: Vec<Out> = connect::collect(pager, LOOK, &what).await?;
        Ok(rows.into_iter().next())
    }

    /// Deletes elements by index, last first, so that the indexes of the rest stay.
    async fn delete_elements(
        &self,
        piece: &Piece,
        is_static: bool,
        clustering: &[Bytes],
        index: ColumnIndex,
        mut doomed: Vec<(i32, i64)>,
    ) -> Result<(), WriteFailure> {
        let name = quote(&self.columns(is_static)[usize::from(index)].name);
        let (table, condition) = (self.quoted(), self.row_condition(is_static));
        let cql = format!("DELETE {name}[?] FROM {table} USING TIMESTAMP ? WHERE {condition}");
        let statement = self.extra(&cql).await?;
        let key = bound(piece, if is_static { &[] } else { clustering });
        doomed.sort_unstable_by(|a, b| b.cmp(a));
        for part in doomed.chunks(DELETIONS) {
            let mut batch = Batch::new(BatchType::Unlogged);
            part.iter().for_each(|_| batch.append_statement(statement.clone()));
            batch.set_consistency(self.level.now());
            batch.set_retry_policy(statement.get_retry_policy().cloned());
            let first = |(at, ts): &(i32, i64)| {
                [Bytes::copy_from_slice(&at.to_be_bytes()), Bytes::copy_from_slice(&ts.to_be_bytes())].map(Raw::Bytes)
            };
            let values: Vec<Vec<Raw>> =
                part.iter().map(|d| first(d).into_iter().chain(key.clone()).collect()).collect();
            let sent = self.session.batch(&batch, values).await;
            let what = || format!("delete list elements of {}", self.place(&piece.key, clustering));
            sent.map_err(|source| WriteFailure::of("TM-REST-0402", &what(), &source))?;
        }
        Ok(())
    }
}

fn bound(piece: &Piece, clustering: &[Bytes]) -> Vec<Raw> {
    piece.key.iter().chain(clustering).cloned().map(Raw::Bytes).collect()
}

/// Indexes and write times of the found elements that are ours. Without times (before 5.0) values alone tell.
fn all_of(wanted: &[Wanted], found: &[Element]) -> Vec<(i32, i64)> {
    let newest = wanted.iter().map(|(_, ts)| *ts).max().unwrap_or(0);
    let timed: HashSet<(&Bytes, i64)> = wanted.iter().map(|(value, ts)| (value, *ts)).collect();
    let values: HashSet<&Bytes> = wanted.iter().map(|(value, _)| value).collect();
    let is_ours = |e: &Element| match e.ts {
        Some(ts) => timed.contains(&(&e.value, ts)),
        None => values.contains(&e.value),
    };
    let ours = (0..).zip(found).filter(|(_, e)| is_ours(e));
    ours.map(|(at, e)| (at, e.ts.unwrap_or(newest))).collect()
}

/// Compares what was found with what we append.
fn judge(wanted: &[Wanted], found: &[Element]) -> Verdict {
    let ours = all_of(wanted, found);
    if ours.is_empty() {
        return Verdict::Absent;
    }
    let values = ours.iter().map(|(at, _)| &found[*at as usize]);
    let same = |((value, ts), e): (&Wanted, &Element)| *value == e.value && e.ts.is_none_or(|found| found == *ts);
    let whole = ours.len() == wanted.len() && wanted.iter().zip(values).all(same);
    if whole { Verdict::Whole } else { Verdict::Broken(ours) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(elements: &[(&'static str, i64)]) -> Vec<Element> {
        let element = |(value, ts): &(&'static str, i64)| Element {
            key: Bytes::new(),
            value: Bytes::from_static(value.as_bytes()),
            ts: Some(*ts),
            ttl: None,
        };
        elements.iter().map(element).collect()
    }

    #[test]
    fn lists_are_judged_by_value_and_write_time() {
        let wanted: Vec<Wanted> = vec![("a".into(), 1), ("b".into(), 2), ("a".into(), 1)];
        let judge = |elements: &[(&'static str, i64)]| judge(&wanted, &found(elements));
        assert_eq!(judge(&[]), Verdict::Absent);
        assert_eq!(judge(&[("x", 1)]), Verdict::Absent);
        assert_eq!(judge(&[("a", 1), ("b", 2), ("a", 1)]), Verdict::Whole);
        assert_eq!(judge(&[("a", 1), ("x", 9), ("b", 2), ("a", 1)]), Verdict::Whole);
        assert_eq!(judge(&[("a", 1)]), Verdict::Broken(vec![(0, 1)]));
        assert_eq!(judge(&[("x", 9), ("b", 2), ("b", 2)]), Verdict::Broken(vec![(1, 2), (2, 2)]));
        assert_eq!(judge(&[("b", 2), ("a", 1), ("a", 1)]), Verdict::Broken(vec![(0, 2), (1, 1), (2, 1)]));
    }

    #[test]
    fn a_list_of_a_hundred_thousand_is_judged_too() {
        let values: Vec<Bytes> = (0..100_000_u32).map(|n| Bytes::copy_from_slice(&n.to_be_bytes())).collect();
        let wanted: Vec<Wanted> = values.iter().cloned().zip(0..).collect();
        let element =
            |(value, ts): &Wanted| Element { key: Bytes::new(), value: value.clone(), ts: Some(*ts), ttl: None };
        let mut elements: Vec<Element> = wanted.iter().map(element).collect();
        assert_eq!(super::judge(&wanted, &elements), Verdict::Whole);
        elements.pop();
        assert!(matches!(super::judge(&wanted, &elements), Verdict::Broken(ours) if ours.len() == 99_999));
    }

    #[test]
    fn without_times_values_tell() {
        let wanted: Vec<Wanted> = vec![("a".into(), 1), ("b".into(), 2)];
        let mut elements = found(&[("a", 0), ("b", 0)]);
        elements.iter_mut().for_each(|e| e.ts = None);
        assert_eq!(super::judge(&wanted, &elements), Verdict::Whole);
        elements.pop();
        assert_eq!(super::judge(&wanted, &elements), Verdict::Broken(vec![(0, 2)]));
    }
}
