//! Reads restored rows back and compares them, cell by cell, with what the segment holds: values byte by byte, write times,
//! expiries within 1 s of the slowest write. Fields of non-frozen user-defined types are compared but for the order of their
//! sets and maps, which servers put in order ([`ordered`]).
//!
//! CQL cannot show INSERT markers, tombstones and the ids of list elements: of a marker only that the row is there is proven.
//! What expires around the moment of reading may be there or not. Of counters the values are compared, their write times are
//! the destination's own. Rows with a null in their key were refused when they were to be written; here they are passed over.

use std::{collections::BTreeSet, sync::atomic::Ordering};

use bytes::Bytes;
use tidemark_cassandra_format::{
    model::{Cell, CellState, ColumnData, Expiry, PathCell, Row},
    schema::Column,
    types::CqlType,
};
use tidemark_listener_core::failure::Failure;
use tidemark_records::restore::checkpoint::Counts;

use super::slices::{pass_over, row_key, same_key};
use crate::{
    connect::{self, Out, Raw},
    counter::{self, Refused},
    restore::{
        pieces::feed::Piece,
        schema::cql::quote,
        values::{
            ordered,
            raw::{self, Element},
        },
        verify::merged::{self, Standing},
        write::{
            load::RowKey,
            statements::{rows::value_expiry, ttl::Lifetimes},
            target::{Target, WriteFailure},
        },
    },
};

/// A row is not as it was.
const MISMATCH: &str = "TM-REST-0601";

/// Atoms that expire within this time around the reading may be there or not, s.
const EXPIRY_SLACK: u32 = 5;

/// An atom as it should be found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Expected {
    pub(super) key: Bytes,
    pub(super) value: Bytes,
    pub(super) ts: i64,
    /// When it expires, at the earliest and at the latest, s since 1970.
    pub(super) expiry: Option<(u32, u32)>,
    /// False where it expires about now.
    pub(super) certain: bool,
}

/// The clock around a reading, s since 1970, how late an expiry may be, and what became of expiries.
#[derive(Clone, Copy, Debug)]
pub(in crate::restore) struct Reading {
    before: u32,
    after: u32,
    late: u32,
    /// When the restore began to write, s since 1970.
    started: u32,
    lifetimes: Lifetimes,
}

impl Reading {
    /// When an atom with this expiry at the source expires here; as [`Lifetimes::expected`].
    fn expected(&self, expiry: Option<Expiry>) -> Option<Option<(u32, u32)>> {
        self.lifetimes.expected(expiry, (self.started, self.before))
    }
}

impl Target {
    /// Reads the rows of a piece back and compares them.
    ///
    /// # Errors
    /// `TM-REST-0601` names the first row and column that differ; `TM-REST-0602` where they cannot be read. In a merge a row
    /// differs only where it is older than what was written: what newer data or a deletion may explain is counted apart.
    pub async fn verify(&self, piece: &Piece) -> Result<Counts, Failure> {
        let mut tries = 0;
        loop {
            match self.try_verify(piece).await {
                Ok(counts) => return Ok(counts),
                Err(failure) => self.wait_to_retry(failure, tries, false).await?,
            }
            tries += 1;
        }
    }

    /// How many rows are equal. Which rows were refused is looked at only where one is not as it was.
    async fn try_verify(&self, piece: &Piece) -> Result<Counts, WriteFailure> {
        match self.verify_but(piece, &BTreeSet::new()).await {
            Err(failure) if failure.error.code == MISMATCH && !self.refusals.is_strict() => {
                let refused = self.refused_rows(piece).await?;
                if refused.is_empty() { Err(failure) } else { self.verify_but(piece, &refused).await }
            }
            verified => verified,
        }
    }

    /// How many rows are equal, those that were refused aside.
    async fn verify_but(&self, piece: &Piece, refused: &BTreeSet<RowKey>) -> Result<Counts, WriteFailure> {
        let mut verified = Counts::default();
        if let Some(row) = &piece.static_row {
            let (found, reading) = self.read(piece, true).await?;
            verified.add(self.compare_rows(piece, std::slice::from_ref(row), found, (reading, refused), true)?);
        }
        if !piece.rows.is_empty() {
            let (found, reading) = self.read(piece, false).await?;
            verified.add(self.compare_rows(piece, &piece.rows, found, (reading, refused), false)?);
        }
        Ok(verified)
    }

    /// All rows of the piece as the destination has them, in clustering order.
    pub(in crate::restore) async fn read(
        &self,
        piece: &Piece,
        is_static: bool,
    ) -> Result<(Vec<Out>, Reading), WriteFailure> {
        let before = self.now();
        let mut found = Vec::new();
        for (condition, values) in self.conditions(piece, is_static) {
            let cql = self.select(is_static, &condition);
            found.extend(self.read_all(piece, &cql, values).await?);
        }
        let late = self.slowest_write_seconds.load(Ordering::Relaxed);
        let (started, lifetimes) = (self.started, self.lifetimes);
        Ok((found, Reading { before, after: self.now(), late, started, lifetimes }))
    }

    async fn read_all(&self, piece: &Piece, cql: &str, values: Vec<Raw>) -> Result<Vec<Out>, WriteFailure> {
        let statement = self.extra(cql).await?;
        let pager = self.session.execute_iter(statement, values).await;
        let what = format!("read back {}", self.place(&piece.key, &[]));
        Ok(connect::collect(pager, "TM-REST-0602", &what).await?)
    }

    /// SELECT of the first key column, the clustering and, per column, value, write time and time to live.
    fn select(&self, is_static: bool, condition: &str) -> String {
        let columns = if is_static { &self.schema.statics } else { &self.schema.regulars };
        let first = quote(&self.schema.partition_key[0].name);
        let keys = self.schema.partition_key.iter().map(|c| quote(&c.name)).filter(|_| is_static);
        let clustering = self.schema.clustering.iter().map(|c| quote(&c.column.name)).filter(|_| !is_static);
        let keys: Vec<String> =
            if is_static { keys.collect() } else { std::iter::once(first).chain(clustering).collect() };
        let values = columns.iter().map(|c| self.selected(c));
        let distinct = if is_static { "DISTINCT " } else { "" };
        let all: Vec<String> = keys.into_iter().chain(values).collect();
        format!("SELECT {distinct}{} FROM {} WHERE {condition}", all.join(", "), self.quoted())
    }

    fn selected(&self, column: &Column) -> String {
        let name = quote(&column.name);
        match self.is_timed(column) {
            true => format!("{name}, WRITETIME({name}), TTL({name})"),
            false => name,
        }
    }

    /// True where the destination can tell the column's times. Those of counters are its own.
    fn is_timed(&self, column: &Column) -> bool {
        column.cql_type != CqlType::Counter && (self.element_times || !column.cql_type.is_multi_cell())
    }

    /// Compares rows in order; how many are equal, or in a merge under what is newer.
    fn compare_rows(
        &self,
        piece: &Piece,
        rows: &[Row],
        found: Vec<Out>,
        (reading, refused): (Reading, &BTreeSet<RowKey>),
        is_static: bool,
    ) -> Result<Counts, Failure> {
        let columns = if is_static { &self.schema.statics } else { &self.schema.regulars };
        let keys = if is_static { self.schema.partition_key.len() } else { 1 + self.schema.clustering.len() };
        let mut found =
            found.into_iter().filter(|row| is_static || row.0[1..keys].iter().all(Option::is_some)).peekable();
        let mut counts = Counts::default();
        for row in rows {
            let key = if is_static { Some(Vec::new()) } else { row_key(&row.clustering) };
            // A row without a whole key was refused when it was to be written.
            let Some(key) = key else { continue };
            let presence = presence(row, reading);
            if self.shared && presence != Presence::None && !is_static {
                pass_over(&self.schema, &mut found, &row.clustering);
            }
            let here = found.next_if(|f| presence != Presence::None && (is_static || same_key(f, &key)));
            if !refused.is_empty() && refused.contains(&(is_static, row.clustering.clone())) {
                continue;
            }
            match (here, presence) {
                (None, Presence::None | Presence::Perhaps) => {}
                (None, Presence::Certain) if self.shared => counts.hidden += 1,
                (None, Presence::Certain) if is_static => self.mismatch(piece, &key, "the static row is not there")?,
                (None, Presence::Certain) => self.mismatch(piece, &key, "the row is not there")?,
                (Some(here), _) => match self.compare_row(columns, row, &here.0[keys..], reading) {
                    Ok(Standing::Equal) => counts.verified += 1,
                    Ok(Standing::Newer) => counts.newer += 1,
                    Ok(Standing::Hidden) => counts.hidden += 1,
                    Err(why) => self.mismatch(piece, &key, &why)?,
                },
            }
        }
        match found.next().filter(|_| !self.shared && !is_static) {
            Some(extra) => {
                let key: Vec<Bytes> = extra.0[1..keys].iter().flatten().cloned().collect();
                self.mismatch(piece, &key, "the row is not in the version").map(|()| counts)
            }
            None => Ok(counts),
        }
    }

    fn mismatch(&self, piece: &Piece, key: &[Bytes], why: &str) -> Result<(), Failure> {
        let error =
            Failure::new(MISMATCH, format!("{} was not restored as it was: {why}", self.place(&piece.key, key)));
        let hint = "a counter that was deleted in a table cannot be set in it again, and nobody else may write to it: \
                    restore into a new table";
        Err(if self.has_counters() { error.with_hint(hint) } else { error })
    }

    /// Compares one row's columns with what was read; the error names the column.
    fn compare_row(
        &self,
        columns: &[Column],
        row: &Row,
        read: &[Option<Bytes>],
        reading: Reading,
    ) -> Result<Standing, String> {
        let mut at = read.iter();
        let mut worst = Standing::Equal;
        for (index, column) in (0_u16..).zip(columns) {
            let value = at.next().and_then(Option::as_ref);
            let timed = self.is_timed(column);
            let times = if timed { [at.next(), at.next()].map(|v| v.and_then(Option::as_ref)) } else { [None, None] };
            let data = data_of(row, index);
            let found = elements(&column.cql_type, value, times[0], times[1])
                .ok_or_else(|| format!("column {:?}: its bytes are not of its type", column.name))?;
            let expected = expected(&column.cql_type, data, reading)
                .map_err(|refused| format!("column {:?}: {refused}", column.name))?;
            let standing = match self.shared {
                true => merged::compare(&column.cql_type, &expected, &found, timed, reading),
                false => compare(&column.cql_type, &expected, &found, timed, reading).map(|()| Standing::Equal),
            };
            worst = worst.max(standing.map_err(|why| format!("column {:?}: {why}", column.name))?);
        }
        Ok(worst)
    }
}

/// Whether a row must be there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Presence {
    None,
    Perhaps,
    Certain,
}

/// What a row holds of a column: its columns are in order.
fn data_of(row: &Row, index: u16) -> Option<&ColumnData> {
    row.columns.binary_search_by_key(&index, |(i, _)| *i).ok().map(|n| &row.columns[n].1)
}

/// Whether an atom with this expiry is there when read: `None` no, else whether it is certain.
fn life(expiry: Option<Expiry>, reading: Reading) -> Option<bool> {
    let Some((earliest, latest)) = reading.expected(expiry)? else { return Some(true) };
    let gone = latest.saturating_add(EXPIRY_SLACK + reading.late) < reading.before;
    (!gone).then_some(earliest > reading.after.saturating_add(EXPIRY_SLACK))
}

fn presence(row: &Row, reading: Reading) -> Presence {
    let marker = row.liveness.and_then(|l| life(l.expiry, reading));
    let cell = |cell: &Cell| value_expiry(cell).and_then(|e| life(e, reading));
    let cells = row.columns.iter().flat_map(|(_, data)| match data {
        ColumnData::Simple(one) => vec![cell(one)],
        ColumnData::Complex { cells, .. } => cells.iter().map(|c| cell(&c.cell)).collect(),
    });
    let mut best = Presence::None;
    for certain in cells.chain([marker]).flatten() {
        best = if certain || best == Presence::Certain { Presence::Certain } else { Presence::Perhaps };
    }
    best
}

/// The atoms of a column that should be found, in the order in which CQL shows them.
///
/// # Errors
/// Where a counter has no value.
fn expected(cql_type: &CqlType, data: Option<&ColumnData>, reading: Reading) -> Result<Vec<Expected>, Refused> {
    let of = |key: Bytes, value: Bytes, cell: &Cell| {
        let expiry = value_expiry(cell)?;
        let certain = life(expiry, reading)?;
        Some(Expected { key, value, ts: cell.ts, expiry: reading.expected(expiry)?, certain })
    };
    let element = |c: &PathCell| match cql_type {
        CqlType::List { .. } => of(Bytes::new(), c.cell.value.clone(), &c.cell),
        CqlType::Set { .. } => of(c.path.clone(), Bytes::new(), &c.cell),
        _ => of(c.path.clone(), c.cell.value.clone(), &c.cell),
    };
    Ok(match data {
        None => Vec::new(),
        Some(ColumnData::Simple(cell)) => of(Bytes::new(), shown(cql_type, cell)?, cell).into_iter().collect(),
        Some(ColumnData::Complex { cells, .. }) => cells.iter().filter_map(element).collect(),
    })
}

/// The bytes that CQL shows of a cell: of a counter the sum of its shards.
fn shown(cql_type: &CqlType, cell: &Cell) -> Result<Bytes, Refused> {
    match (cql_type, cell.state) {
        (CqlType::Counter, CellState::Live) => Ok(Bytes::copy_from_slice(&counter::value(&cell.value)?.to_be_bytes())),
        _ => Ok(cell.value.clone()),
    }
}

/// What was read of a column, as elements; one for a simple column.
pub(crate) fn elements(
    cql_type: &CqlType,
    value: Option<&Bytes>,
    times: Option<&Bytes>,
    ttls: Option<&Bytes>,
) -> Option<Vec<Element>> {
    match cql_type {
        CqlType::List { frozen: false, .. } => raw::list_with_ttls(value, times, ttls),
        CqlType::Set { frozen: false, .. } => raw::set(value, times, ttls),
        CqlType::Map { frozen: false, .. } => raw::map(value, times, ttls),
        CqlType::Udt { frozen: false, .. } => raw::fields(value, times, ttls),
        _ => {
            let Some(value) = value else { return Some(Vec::new()) };
            let ts = times.map(|b| Some(i64::from_be_bytes(b.as_ref().try_into().ok()?)));
            let ttl = ttls.map(|b| Some(i32::from_be_bytes(b.as_ref().try_into().ok()?)));
            let (ts, ttl) = (
                ts.map_or(Some(None), |v: Option<i64>| v.map(Some))?,
                ttl.map_or(Some(None), |v: Option<i32>| v.map(Some))?,
            );
            Some(vec![Element { key: Bytes::new(), value: value.clone(), ts, ttl }])
        }
    }
}

/// Compares in order; what expires about now may be missing.
fn compare(
    cql_type: &CqlType,
    expected: &[Expected],
    found: &[Element],
    timed: bool,
    reading: Reading,
) -> Result<(), String> {
    let mut found = found.iter().peekable();
    for (n, atom) in expected.iter().enumerate() {
        let Some(here) = found.next_if(|e| e.key == atom.key && is_same(cql_type, atom, &e.value)) else {
            match atom.certain {
                true => return Err(format!("value {n} of {} is not as it was", expected.len())),
                false => continue,
            }
        };
        if timed && here.ts != Some(atom.ts) {
            return Err(format!("value {n}: write time {:?} instead of {}", here.ts, atom.ts));
        }
        if timed && !expires_right(atom.expiry, here.ttl, reading) {
            return Err(format!("value {n}: it lives for {:?} s instead of until {:?}", here.ttl, atom.expiry));
        }
    }
    if found.next().is_some() { Err("there is a value that is not in the version".to_owned()) } else { Ok(()) }
}

/// True where the value was found: byte by byte, or of a field what a server makes of it.
pub(super) fn is_same(cql_type: &CqlType, atom: &Expected, found: &Bytes) -> bool {
    match cql_type {
        CqlType::Udt { fields, frozen: false, .. } => {
            let index = <[u8; 2]>::try_from(atom.key.as_ref()).map(u16::from_be_bytes);
            let field = index.ok().and_then(|index| fields.get(usize::from(index)));
            field.is_some_and(|(_, field)| ordered::same_but_for_order(field, &atom.value, found))
        }
        _ => atom.value == *found,
    }
}

/// True where the remaining time leads to the expiry: at most 1 s early, at most 1 s and the slowest write late.
pub(super) fn expires_right(expiry: Option<(u32, u32)>, ttl: Option<i32>, reading: Reading) -> bool {
    match (expiry, ttl) {
        (None, None) => true,
        (Some((from, to)), Some(ttl)) => {
            let earliest = i64::from(reading.before) + i64::from(ttl) - 1 - i64::from(reading.late);
            let latest = i64::from(reading.after) + i64::from(ttl) + 1;
            earliest <= i64::from(to) && i64::from(from) <= latest
        }
        _ => false,
    }
}

#[cfg(test)]
pub(super) mod tests {

    use super::*;
    use crate::restore::job::TtlPolicy;
    use crate::{
        counter::fixtures::context,
        restore::{
            samples::{self, complex, expiring, int, live},
            write::statements::ttl::LAST_EXPIRY_2038,
        },
    };

    pub(in crate::restore) const READING: Reading = Reading {
        before: 1_000,
        after: 1_000,
        late: 1,
        started: 950,
        lifetimes: Lifetimes { policy: TtlPolicy::Keep, cut: 900, last_expiry: LAST_EXPIRY_2038 },
    };

    fn element(value: i32, ts: i64, ttl: Option<i32>) -> Element {
        Element { key: Bytes::new(), value: int(value), ts: Some(ts), ttl }
    }

    /// Hands what is expected of one cell, and what was found as (value, write time, time to live), to a comparison.
    pub(in crate::restore) fn check_with<T>(
        ts: i64,
        value: i32,
        found: &[(i32, i64, Option<i32>)],
        compare: impl FnOnce(&CqlType, &[Expected], &[Element]) -> T,
    ) -> T {
        let cell = ColumnData::Simple(live(ts, int(value)));
        let expected = expected(&CqlType::Int, Some(&cell), READING).unwrap();
        let found: Vec<Element> = found.iter().map(|(value, ts, ttl)| element(*value, *ts, *ttl)).collect();
        compare(&CqlType::Int, &expected, &found)
    }

    fn check(cell: Cell, found: &[Element]) -> Result<(), String> {
        let expected = expected(&CqlType::Int, Some(&ColumnData::Simple(cell)), READING).unwrap();
        compare(&CqlType::Int, &expected, found, true, READING)
    }

    #[test]
    fn value_write_time_and_expiry_must_be_right() {
        assert_eq!(check(live(5, int(1)), &[element(1, 5, None)]), Ok(()));
        for wrong in [element(2, 5, None), element(1, 6, None), element(1, 5, Some(9))] {
            assert!(check(live(5, int(1)), std::slice::from_ref(&wrong)).is_err(), "{wrong:?}");
        }
        assert!(check(live(5, int(1)), &[]).is_err());
        for (ttl, good) in [(97, false), (99, true), (100, true), (101, true), (102, true), (103, false)] {
            assert_eq!(check(expiring(5, 1_100, int(1)), &[element(1, 5, Some(ttl))]).is_ok(), good, "{ttl}");
        }
        assert!(check(expiring(5, 1_100, int(1)), &[element(1, 5, None)]).is_err());
    }

    #[test]
    fn rebased_lives_count_from_any_moment_of_the_writing_and_stripped_ones_have_no_end() {
        let check = |policy, at, ttl| {
            let reading = Reading { lifetimes: Lifetimes { policy, ..READING.lifetimes }, ..READING };
            let expected = expected(&CqlType::Int, Some(&ColumnData::Simple(expiring(5, at, int(1)))), reading);
            compare(&CqlType::Int, &expected.unwrap(), &[element(1, 5, ttl)], true, reading).is_ok()
        };
        // 100 s were left at the cut; written between 950 and 1,000, read at 1,000.
        for (ttl, good) in [(48, false), (49, true), (75, true), (102, true), (103, false)] {
            assert_eq!(check(TtlPolicy::Rebase, 1_000, Some(ttl)), good, "{ttl}");
        }
        assert!(check(TtlPolicy::Strip, 1_000, None) && !check(TtlPolicy::Strip, 1_000, Some(75)));
        assert!(!check(TtlPolicy::Strip, 900, None), "what had expired at the cut came back");
    }

    #[test]
    fn what_expires_about_now_may_be_missing_but_not_different() {
        assert_eq!(check(expiring(5, 1_001, int(1)), &[]), Ok(()));
        assert_eq!(check(expiring(5, 1_001, int(1)), &[element(1, 5, Some(1))]), Ok(()));
        assert!(check(expiring(5, 1_001, int(1)), &[element(2, 5, Some(1))]).is_err());
        assert!(check(expiring(5, 900, int(1)), &[element(1, 5, Some(1))]).is_err());
    }

    #[test]
    fn a_counter_is_found_by_its_sum() {
        let context = context(&[(1, 'g', 1, 300), (2, 'g', 9, -1)]);
        let check = |found: i64| {
            let expected = expected(&CqlType::Counter, Some(&ColumnData::Simple(live(5, context.clone()))), READING);
            let value = Bytes::copy_from_slice(&found.to_be_bytes());
            let found = Element { key: Bytes::new(), value, ts: None, ttl: None };
            compare(&CqlType::Counter, &expected.unwrap(), &[found], false, READING)
        };
        assert!(check(299).is_ok() && check(300).is_err());
    }

    #[test]
    fn a_value_too_many_is_found() {
        let nothing = expected(&CqlType::Int, None, READING).unwrap();
        assert!(compare(&CqlType::Int, &nothing, &[element(1, 5, None)], true, READING).is_err());
    }

    #[test]
    fn only_fields_may_be_found_in_another_order() {
        let set = |frozen| CqlType::Set { element: Box::new(CqlType::Int), frozen };
        let fields = vec![("f".to_owned(), CqlType::Int), ("g".to_owned(), set(true))];
        let of = CqlType::Udt { keyspace: "ks".into(), name: "u".into(), fields, frozen: false };
        let values = |values: [i32; 2]| {
            let sized = values.map(|value| [4_i32.to_be_bytes(), value.to_be_bytes()].concat()).concat();
            Bytes::from([&2_i32.to_be_bytes()[..], &sized].concat())
        };
        let found = |value| Element { key: Bytes::from_static(&[0, 1]), value, ts: Some(5), ttl: None };
        let cells = complex(vec![(Bytes::from_static(&[0, 1]), live(5, values([7, 3])))]);
        let field = expected(&of, Some(&cells), READING).unwrap();
        assert_eq!(compare(&of, &field, &[found(values([3, 7]))], true, READING), Ok(()));
        assert!(compare(&of, &field, &[found(values([3, 8]))], true, READING).is_err());
        let column = expected(&set(true), Some(&ColumnData::Simple(live(5, values([7, 3])))), READING).unwrap();
        let found = Element { key: Bytes::new(), ..found(values([3, 7])) };
        assert!(compare(&set(true), &column, &[found], true, READING).is_err(), "servers keep a column in order");
    }

    #[test]
    fn rows_are_certain_by_their_longest_atom() {
        let row = |marker, cell| samples::row(1, marker, vec![(0, ColumnData::Simple(cell))]);
        assert_eq!(presence(&row(None, expiring(5, 900, int(1))), READING), Presence::None);
        assert_eq!(presence(&row(None, expiring(5, 1_001, int(1))), READING), Presence::Perhaps);
        assert_eq!(presence(&row(Some(5), expiring(5, 900, int(1))), READING), Presence::Certain);
        let list = samples::row(1, None, vec![(2, complex(vec![(Bytes::new(), live(5, int(1)))]))]);
        assert_eq!(presence(&list, READING), Presence::Certain);
    }
}
