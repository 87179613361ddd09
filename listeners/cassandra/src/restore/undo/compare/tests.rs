//! Rows of `pk int, ck int, st text static, a int, b text, l list<int>, m map<text, int>, s set<text>, u (f int, g text)`.

use tidemark_cassandra_format::model::CellState;
use tidemark_listener_core::restorer::Selection;

use super::*;
use crate::restore::samples::{self, complex, expiring, int, live};

const STAMP: i64 = 1_000;
const NOW: u32 = 500;

struct Case {
    schema: TableSchema,
    selected: Selected,
    element_times: bool,
    written: bool,
    list_stamp: i64,
}

fn case() -> Case {
    let schema = samples::schema();
    Case { schema, selected: Selected::all(), element_times: true, written: false, list_stamp: STAMP }
}

impl Case {
    fn compare(&self, version: Option<&Row>, found: Option<&[Option<Bytes>]>) -> Difference {
        let comparison = Comparison {
            schema: &self.schema,
            selected: &self.selected,
            stamp: STAMP,
            list_stamp: self.list_stamp,
            element_times: self.element_times,
            before: NOW,
            after: NOW,
            written: self.written,
        };
        comparison.row(false, version, found).unwrap()
    }
}

fn long(ts: i64) -> Bytes {
    Bytes::copy_from_slice(&ts.to_be_bytes())
}

fn text(value: &'static str) -> Bytes {
    Bytes::from_static(value.as_bytes())
}

/// A collection of these parts, each with its length before it.
fn packed(count: i32, parts: &[Option<Bytes>]) -> Bytes {
    let mut bytes = count.to_be_bytes().to_vec();
    for part in parts {
        match part {
            None => bytes.extend((-1_i32).to_be_bytes()),
            Some(part) => {
                bytes.extend((part.len() as i32).to_be_bytes());
                bytes.extend(part);
            }
        }
    }
    bytes.into()
}

fn times(of: &[i64]) -> Option<Bytes> {
    Some(packed(of.len() as i32, &of.iter().map(|ts| Some(long(*ts))).collect::<Vec<_>>()))
}

/// What was read of a row: each column with value, write time and time to live.
#[derive(Clone)]
struct Read(Vec<[Option<Bytes>; 3]>);

impl Read {
    fn nothing() -> Self {
        Self(vec![[const { None }; 3]; 6])
    }

    fn with(mut self, column: usize, value: Bytes, times: Option<Bytes>, ttls: Option<Bytes>) -> Self {
        self.0[column] = [Some(value), times, ttls];
        self
    }

    fn simple(self, column: usize, value: Bytes, ts: i64, ttl: Option<i32>) -> Self {
        self.with(column, value, Some(long(ts)), ttl.map(int))
    }

    fn map(self, entries: &[(&'static str, i32, i64)]) -> Self {
        let parts: Vec<_> = entries.iter().flat_map(|(k, v, _)| [Some(text(k)), Some(int(*v))]).collect();
        let ts: Vec<i64> = entries.iter().map(|(_, _, ts)| *ts).collect();
        self.with(3, packed(entries.len() as i32, &parts), times(&ts), None)
    }

    fn list(self, values: &[(i32, i64)]) -> Self {
        let parts: Vec<_> = values.iter().map(|(v, _)| Some(int(*v))).collect();
        let ts: Vec<i64> = values.iter().map(|(_, ts)| *ts).collect();
        self.with(2, packed(values.len() as i32, &parts), times(&ts), None)
    }

    fn timed(&self) -> Vec<Option<Bytes>> {
        self.0.concat()
    }

    /// As before 5.0: columns of several cells tell no times.
    fn untimed(&self) -> Vec<Option<Bytes>> {
        let one = |(n, [value, ts, ttl]): (usize, &[Option<Bytes>; 3])| match n {
            0 | 1 => vec![value.clone(), ts.clone(), ttl.clone()],
            _ => vec![value.clone()],
        };
        self.0.iter().enumerate().flat_map(one).collect()
    }
}

fn simple(column: u16, cell: Cell) -> (u16, ColumnData) {
    (column, ColumnData::Simple(cell))
}

fn list_cells(values: &[i32]) -> (u16, ColumnData) {
    let cell = |(n, value): (usize, &i32)| (Bytes::from(vec![n as u8; 16]), live(5, int(*value)));
    (2, complex(values.iter().enumerate().map(cell).collect()))
}

#[test]
fn what_reads_the_same_is_left_untouched_whatever_its_times() {
    let map = (3, complex(vec![(text("k"), live(5, int(1)))]));
    let version = samples::row(7, Some(5), vec![simple(0, live(5, int(1))), list_cells(&[1, 2]), map]);
    let read = Read::nothing().simple(0, int(1), 99, None).list(&[(1, 7), (2, 7)]).map(&[("k", 1, 9_999)]);
    let difference = case().compare(Some(&version), Some(&read.timed()));
    assert_eq!(difference.standing, Standing::Same);
    assert!(!difference.newer && !difference.ours && difference.extras.is_empty() && !difference.writes());
    let before_5 = Case { element_times: false, ..case() };
    assert_eq!(before_5.compare(Some(&version), Some(&read.untimed())).standing, Standing::Same);
}

#[test]
fn a_row_that_is_gone_comes_back_with_its_marker() {
    let version = samples::row(7, Some(5), vec![simple(0, live(5, int(1))), list_cells(&[1])]);
    let difference = case().compare(Some(&version), None);
    assert_eq!(difference.standing, Standing::Absent);
    assert_eq!(difference.marker, Some(Liveness { ts: STAMP, expiry: None }));
    assert_eq!(difference.columns, vec![simple(0, live(STAMP, int(1)))]);
    assert_eq!(difference.lists.len(), 1);
    let only_marker = samples::row(7, Some(5), vec![]);
    assert_eq!(case().compare(Some(&only_marker), None).standing, Standing::Absent);
    assert_eq!(case().compare(Some(&only_marker), Some(&Read::nothing().timed())).standing, Standing::Same);
}

#[test]
fn other_values_are_written_and_newer_ones_stay() {
    let version = samples::row(7, None, vec![simple(0, live(5, int(1))), simple(1, live(5, text("x")))]);
    let read = Read::nothing().simple(0, int(2), STAMP, None).simple(1, text("y"), STAMP + 1, None);
    let difference = case().compare(Some(&version), Some(&read.timed()));
    assert_eq!(difference.columns, vec![simple(0, live(STAMP, int(1)))]);
    assert_eq!((difference.standing, difference.newer), (Standing::Changed, true));
    assert_eq!(difference.newest, Some(STAMP));
}

#[test]
fn what_an_earlier_run_wrote_is_known_by_its_time() {
    let version = samples::row(7, None, vec![simple(0, live(5, int(1))), list_cells(&[1])]);
    let ours = Read::nothing().simple(0, int(1), STAMP, None).list(&[(1, 6)]);
    assert!(case().compare(Some(&version), Some(&ours.timed())).ours);
    let attempts = Case { list_stamp: STAMP + 4, ..case() };
    let list = Read::nothing().simple(0, int(1), 6, None).list(&[(1, STAMP + 2)]);
    let difference = attempts.compare(Some(&version), Some(&list.timed()));
    assert_eq!((difference.standing, difference.ours, difference.newer), (Standing::Same, true, false));
}

#[test]
fn expiries_are_compared_within_two_seconds_and_about_now_either_way_is_right() {
    let version = |at| samples::row(7, Some(5), vec![simple(0, expiring(5, at, int(1)))]);
    let read = |ttl| Read::nothing().simple(0, int(1), 9, ttl).timed();
    let standing = |at, ttl| case().compare(Some(&version(at)), Some(&read(ttl))).standing;
    assert_eq!(standing(NOW + 100, Some(98)), Standing::Same);
    assert_eq!(standing(NOW + 100, Some(102)), Standing::Same);
    assert_eq!(standing(NOW + 100, Some(97)), Standing::Changed);
    assert_eq!(standing(NOW + 100, None), Standing::Changed);
    assert_eq!(standing(NOW + 3, None), Standing::Same);
    let none = Read::nothing().timed();
    assert_eq!(case().compare(Some(&version(NOW + 3)), Some(&none)).standing, Standing::Same);
    assert_eq!(case().compare(Some(&version(NOW + 100)), Some(&none)).standing, Standing::Changed);
    // What has expired is not the version's any more.
    let expired = case().compare(Some(&version(NOW - 100)), Some(&read(None)));
    assert_eq!(expired.extras, vec![Extra::Column(0)]);
    let forever = samples::row(7, Some(5), vec![simple(0, live(5, int(1)))]);
    let written = case().compare(Some(&forever), Some(&read(Some(50))));
    assert!(matches!(&written.columns[0].1, ColumnData::Simple(cell) if cell.state == CellState::Live));
}

#[test]
fn elements_are_compared_one_by_one() {
    let entries = [("a", 1), ("b", 2), ("c", 3)].map(|(k, v)| (text(k), live(5, int(v))));
    let version = samples::row(7, Some(5), vec![(3, complex(entries.to_vec()))]);
    let read = Read::nothing().map(&[("a", 1, 6), ("b", 9, 6), ("d", 4, 6), ("e", 5, STAMP + 1)]);
    let difference = case().compare(Some(&version), Some(&read.timed()));
    let wanted = complex(vec![(text("b"), live(STAMP, int(2))), (text("c"), live(STAMP, int(3)))]);
    assert_eq!(difference.columns, vec![(3, wanted)]);
    assert_eq!(difference.extras, vec![Extra::Elements(3, vec![text("d")])]);
    assert!(difference.newer);
    // Without times what is another after it was written has won.
    let after = Case { element_times: false, written: true, ..case() };
    let difference = after.compare(Some(&version), Some(&read.untimed()));
    assert_eq!(difference.columns, vec![(3, complex(vec![(text("c"), live(STAMP, int(3)))]))]);
    assert!(difference.newer && difference.extras.is_empty());
}

#[test]
fn fields_are_compared_one_by_one() {
    let version = samples::row(7, Some(5), vec![(5, complex(vec![(Bytes::from_static(&[0, 1]), live(5, text("g")))]))]);
    let value = packed(0, &[Some(int(1)), Some(text("h"))]).slice(4..);
    let read = Read::nothing().with(5, value, times(&[6, 6]), None);
    let difference = case().compare(Some(&version), Some(&read.timed()));
    assert_eq!(difference.columns, vec![(5, complex(vec![(Bytes::from_static(&[0, 1]), live(STAMP, text("g")))]))]);
    assert_eq!(difference.extras, vec![Extra::Elements(5, vec![Bytes::from_static(&[0, 0])])]);
}

#[test]
fn lists_are_the_same_more_or_others() {
    let version = samples::row(7, Some(5), vec![list_cells(&[1, 2, 1])]);
    let of = |values: &[(i32, i64)]| case().compare(Some(&version), Some(&Read::nothing().list(values).timed()));
    assert_eq!(of(&[(1, 6), (2, 6), (1, 6)]).standing, Standing::Same);
    let more = of(&[(1, 6), (9, 6), (2, 6), (1, 6)]);
    assert!(matches!(&more.extras[..], [Extra::List(2, cells)] if cells.len() == 3) && !more.writes());
    let newer = of(&[(1, 6), (2, 6), (1, 6), (9, STAMP + 1)]);
    assert!(newer.newer && newer.extras.is_empty() && !newer.writes() && newer.mixed.is_empty());
    for values in [&[(1, 6), (2, 6)][..], &[(1, 6), (1, 6), (2, 6)], &[], &[(1, STAMP + 9), (2, 6), (1, 6)]] {
        let other = of(values);
        assert_eq!(other.lists.len(), 1, "{values:?}");
        assert_eq!(other.lists[0].1.len(), 3);
    }
    let none = samples::row(7, Some(5), vec![]);
    let extra = case().compare(Some(&none), Some(&Read::nothing().list(&[(1, 6)]).timed()));
    assert_eq!(extra.extras, vec![Extra::Column(2)]);
}

#[test]
fn a_list_that_is_replaced_around_newer_elements_is_known() {
    let version = samples::row(7, Some(5), vec![list_cells(&[1, 2, 3])]);
    let mixed = |case: Case, values: &[(i32, i64)]| {
        let read = Read::nothing().list(values);
        let read = if case.element_times { read.timed() } else { read.untimed() };
        case.compare(Some(&version), Some(&read)).mixed
    };
    // An element was set by its index, or one is to go that is not the version's.
    assert_eq!(mixed(case(), &[(1, 6), (9, STAMP + 1), (3, 6)]), vec![2]);
    assert_eq!(mixed(case(), &[(1, 6), (8, 6), (2, 6), (3, 6), (9, STAMP + 1)]), vec![2]);
    assert!(mixed(case(), &[(1, 6), (8, 6), (3, 6)]).is_empty());
    // Once it was replaced: what stands before the version's elements tells it, with and without times.
    for element_times in [true, false] {
        let after = || Case { written: true, element_times, ..case() };
        assert_eq!(mixed(after(), &[(9, STAMP + 1), (1, STAMP), (2, STAMP), (3, STAMP)]), vec![2]);
        assert!(mixed(after(), &[(1, STAMP), (2, STAMP), (3, STAMP), (9, STAMP + 1)]).is_empty());
        assert!(mixed(after(), &[(1, STAMP), (2, STAMP), (3, STAMP)]).is_empty());
        assert!(mixed(after(), &[]).is_empty());
    }
}

#[test]
fn rows_that_the_version_does_not_have_are_extra_unless_they_are_newer() {
    let old = Read::nothing().simple(0, int(1), 6, None).timed();
    assert_eq!(case().compare(None, Some(&old)).extras, vec![Extra::Row]);
    let new = Read::nothing().simple(0, int(1), STAMP + 1, None).timed();
    let difference = case().compare(None, Some(&new));
    assert_eq!((difference.standing, difference.newer), (Standing::Same, true));
    let both = Read::nothing().simple(0, int(1), 6, None).simple(1, text("x"), STAMP + 1, None).timed();
    assert_eq!(case().compare(None, Some(&both)).standing, Standing::Extra);
    // A row of nothing but a marker: what a deletion at the instant leaves is newer.
    let empty = Read::nothing().timed();
    assert_eq!(case().compare(None, Some(&empty)).standing, Standing::Extra);
    let after = Case { written: true, ..case() };
    assert_eq!(after.compare(None, Some(&empty)).standing, Standing::Same);
    assert_eq!(after.compare(None, Some(&old)).standing, Standing::Extra);
    let dead = samples::row(7, None, vec![simple(0, expiring(5, NOW - 100, int(1)))]);
    assert_eq!(case().compare(Some(&dead), Some(&old)).standing, Standing::Extra);
}

#[test]
fn only_chosen_columns_are_looked_at_and_no_marker_is_written() {
    let selection = Selection { rows: None, columns: vec!["b".into()] };
    let selected = Selected::parse(&selection, &samples::schema()).unwrap();
    let case = Case { selected, ..case() };
    let version = samples::row(7, Some(5), vec![simple(0, live(5, int(1))), simple(1, live(5, text("x")))]);
    let read = |value| vec![Some(text(value)), Some(long(6)), None];
    assert_eq!(case.compare(Some(&version), Some(&read("x"))).standing, Standing::Same);
    let difference = case.compare(Some(&version), Some(&read("y")));
    assert_eq!(difference.columns, vec![simple(1, live(STAMP, text("x")))]);
    assert_eq!(difference.marker, None);
    assert_eq!(case.compare(None, Some(&read("y"))).extras, vec![Extra::Column(1)]);
}

#[test]
fn bytes_of_another_type_are_an_error() {
    let case = case();
    let comparison = Comparison {
        schema: &case.schema,
        selected: &case.selected,
        stamp: STAMP,
        list_stamp: STAMP,
        element_times: true,
        before: NOW,
        after: NOW,
        written: false,
    };
    let read = Read::nothing().with(3, Bytes::from_static(&[1]), None, None).timed();
    assert!(comparison.row(false, None, Some(&read)).unwrap_err().contains("\"m\""));
}
