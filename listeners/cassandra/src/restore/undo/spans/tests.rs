use bytes::Bytes;
use tidemark_cassandra_format::model::{ColumnData, Deletion, Partition, Row, Unfiltered};

use tidemark_listener_core::restorer::Selection;

use super::{cutter::SPAN_ROWS, *};
use crate::{
    restore::samples::{self, MemoryReader, int, live},
    restore::select::Selected,
};

fn row(ck: i32) -> Row {
    samples::row(ck, None, vec![(0, ColumnData::Simple(live(5, int(1))))])
}

/// Partitions with these tokens, and keys like them, with rows 0 to count.
fn stream(partitions: &[(i64, i32)]) -> MemoryReader {
    let whole = partitions.iter().map(|(token, count)| {
        let key = int(i32::try_from(*token % 1_000_000).unwrap());
        let head = Partition { token: *token, key, deletion: Deletion::LIVE, static_row: None };
        (head, (0..*count).map(|ck| Unfiltered::Row(row(ck))).collect())
    });
    MemoryReader::whole(whole.collect())
}

fn spans_of(segments: &[&[(i64, i32)]], selected: &Selected, from: Place) -> Vec<Span> {
    let (schema, mut spans) = (samples::schema(), Vec::new());
    let first = from.segment;
    let mut cutter = Cutter::new(&schema, selected, from, |span| {
        spans.push(span);
        true
    });
    for (index, partitions) in (0..).zip(segments).skip(first as usize) {
        assert!(cutter.segment(index, &mut stream(partitions)).unwrap());
    }
    assert!(cutter.finish(segments.len() as u64));
    spans
}

/// A position in a partition: its rows up to a clustering, none at its start, all at its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum At {
    Row(i32, bool),
    End,
}

fn number(clustering: &Clustering) -> i32 {
    i32::from_be_bytes(clustering[0].as_ref().unwrap().as_ref().try_into().unwrap())
}

/// Asserts that the units follow one another without gap or overlap from one token to another.
fn assert_tiled(units: &[Unit], all: Tokens) {
    let mut covered = all.after;
    let mut within: Option<(Bytes, At)> = None;
    for unit in units {
        match &unit.area {
            Area::Tokens(tokens) => {
                assert!(within.is_none(), "a partition is left before its end: {unit:?}");
                assert_eq!(tokens.after, covered, "{unit:?}");
                assert!(unit.parts.iter().all(|part| tokens.contains(part.token)));
                covered = tokens.through;
            }
            Area::Slice(slice) => {
                let part = &unit.parts[0];
                let expected = within.as_ref().map(|(key, at)| (key.clone(), *at));
                let after = slice.after.as_ref().map(|c| At::Row(number(c), true));
                assert_eq!(after, expected.as_ref().map(|(_, at)| *at), "{unit:?}");
                assert!(expected.is_none_or(|(key, _)| key == part.raw_key));
                let until = slice.until.as_ref().map_or(At::End, |c| At::Row(number(c), slice.inclusive));
                let inside = |ck: i32| after.is_none_or(|a| At::Row(ck, false) > a) && At::Row(ck, true) <= until;
                assert!(part.rows.iter().all(|row| inside(number(&row.clustering))), "{unit:?}");
                within = (until != At::End).then(|| (part.raw_key.clone(), until));
                covered = covered.max(part.token);
            }
            Area::Row => {
                let ck = number(&unit.parts[0].rows[0].clustering);
                assert_eq!(within.as_ref().map(|(_, at)| *at), Some(At::Row(ck, false)), "{unit:?}");
                within = Some((unit.parts[0].raw_key.clone(), At::Row(ck, true)));
            }
            Area::Static => {}
        }
    }
    assert!(within.is_none());
    assert_eq!(covered, all.through);
}

fn rows_in(units: &[Unit]) -> Vec<(i64, i32)> {
    let of = |part: &Part| part.rows.iter().map(|row| (part.token, number(&row.clustering))).collect::<Vec<_>>();
    units.iter().flat_map(|unit| unit.parts.iter().flat_map(of)).collect()
}

fn all_rows(segments: &[&[(i64, i32)]]) -> Vec<(i64, i32)> {
    segments.iter().flat_map(|s| s.iter()).flat_map(|(token, count)| (0..*count).map(|ck| (*token, ck))).collect()
}

const WIDE: i32 = 2 * SPAN_ROWS as i32 + 5;

#[test]
fn spans_cover_the_ring_and_go_on_from_any_place() {
    let narrow: Vec<(i64, i32)> = (0..300).map(|n| (n * 1_000, 7)).collect();
    let segments: Vec<&[(i64, i32)]> =
        vec![&[(-5_000_000, 2), (-7, WIDE)], &[(-6, 1), (-5, WIDE)], &narrow, &[], &[(900_000_000, 3)]];
    let selected = Selected::all();
    let spans = spans_of(&segments, &selected, Place::default());
    let units = |spans: &[Span]| spans.iter().map(|s| s.unit.clone()).collect::<Vec<_>>();
    assert_tiled(&units(&spans), Tokens::ALL);
    assert_eq!(rows_in(&units(&spans)), all_rows(&segments));
    assert!(spans.len() > 64 && spans.iter().all(|s| s.unit.row_count() <= 2 * SPAN_ROWS));
    for (n, span) in spans.iter().enumerate() {
        let saved: Place = serde_json::from_value(serde_json::to_value(&span.end).unwrap()).unwrap();
        let rest = spans_of(&segments, &selected, saved);
        assert_eq!(rows_in(&units(&rest)), rows_in(&units(&spans[n + 1..])), "after span {n}");
        assert_eq!(rest.last().map(|s| &s.unit.area), spans[n + 1..].last().map(|s| &s.unit.area));
    }
}

/// Partitions of one token, with keys and numbers of rows, between two others.
fn of_one_token(counts: &[i32]) -> MemoryReader {
    let one = |token: i64, key: i32, count: i32| {
        let head = Partition { token, key: int(key), deletion: Deletion::LIVE, static_row: None };
        (head, (0..count).map(|ck| Unfiltered::Row(row(ck))).collect::<Vec<_>>())
    };
    let same = (1..).zip(counts).map(|(key, count)| one(50, key, *count));
    MemoryReader::whole([one(49, 100, 3)].into_iter().chain(same).chain([one(51, 101, 3)]).collect())
}

fn keyed_rows(spans: &[Span]) -> Vec<(Bytes, i32)> {
    let row = |part: &Part, row: &Row| (part.raw_key.clone(), number(&row.clustering));
    let parts = spans.iter().flat_map(|span| &span.unit.parts);
    parts.flat_map(|part| part.rows.iter().map(|own| row(part, own)).collect::<Vec<_>>()).collect()
}

#[test]
fn partitions_of_one_token_are_all_handed_out_however_wide_they_are() {
    let schema = samples::schema();
    let selected = Selected::all();
    let spans = |counts: &[i32], from: Place| {
        let (mut spans, is_read) = (Vec::new(), from.segment > 0);
        let take = |span: Span| {
            spans.push(span);
            true
        };
        let mut cutter = Cutter::new(&schema, &selected, from, take);
        assert!(is_read || cutter.segment(0, &mut of_one_token(counts)).unwrap());
        assert!(cutter.finish(1));
        spans
    };
    for counts in [&[2, 2][..], &[WIDE, 2], &[2, WIDE], &[2, 3, WIDE, 4], &[WIDE, WIDE]] {
        let all = spans(counts, Place::default());
        assert_tiled(&all.iter().map(|span| span.unit.clone()).collect::<Vec<_>>(), Tokens::ALL);
        assert_eq!(keyed_rows(&all).len() as i32, counts.iter().sum::<i32>() + 6, "{counts:?}");
        for (n, span) in all.iter().enumerate() {
            let rest = spans(counts, span.end.clone());
            assert_eq!(keyed_rows(&rest), keyed_rows(&all[n + 1..]), "{counts:?} after span {n}");
        }
    }
}

#[test]
fn only_what_is_chosen_is_covered() {
    let schema = samples::schema();
    let segments: Vec<&[(i64, i32)]> = vec![&[(-50, 2), (10, 2), (20, 2), (30, 2)]];
    let parse =
        |text: &str| Selected::parse(&Selection { rows: Some(text.to_owned()), columns: vec![] }, &schema).unwrap();
    let selected = parse("token(pk) > 10 AND token(pk) <= 25 AND ck = 1");
    let units: Vec<Unit> = spans_of(&segments, &selected, Place::default()).into_iter().map(|s| s.unit).collect();
    assert_tiled(&units, Tokens { after: 10, through: 25 });
    assert_eq!(rows_in(&units), vec![(20, 1)]);
    // A partition that the version does not have is read, too: the target may.
    let units = spans_of(&segments, &parse("pk = 99"), Place::default());
    assert_eq!(units.len(), 1);
    assert!(matches!(&units[0].unit.area, Area::Slice(slice) if slice.with_static));
    assert_eq!(units[0].unit.parts[0].key, vec![int(99)]);
}

/// Halves everything until it cannot be cut any more.
fn leaves(unit: Unit) -> Vec<Unit> {
    let halves = unit.halved();
    if halves.is_empty() { vec![unit] } else { halves.into_iter().flat_map(leaves).collect() }
}

#[test]
fn halves_cover_the_same_down_to_single_rows() {
    let part = |token: i64, rows: i32| Part {
        token,
        raw_key: int(token as i32),
        key: vec![int(token as i32)],
        static_row: None,
        rows: (0..rows).map(row).collect(),
    };
    let tokens = Tokens { after: 0, through: 64 };
    for parts in [vec![], vec![part(5, 1)], vec![part(5, 3), part(6, 1), part(60, 9)], vec![part(1, 1), part(64, 2)]] {
        let whole = Unit { area: Area::Tokens(tokens), parts };
        let halves = whole.halved();
        assert!(halves.len() > 1);
        assert_tiled(&halves, tokens);
        let leaves = leaves(whole.clone());
        assert_tiled(&leaves, tokens);
        assert_eq!(rows_in(&leaves), rows_in(std::slice::from_ref(&whole)));
        let single = leaves.iter().filter(|unit| unit.area == Area::Row).count();
        assert_eq!(single, whole.row_count());
    }
}

#[test]
fn a_static_row_is_read_by_itself_before_the_rows_are_halved() {
    let part =
        Part { token: 5, raw_key: int(5), key: vec![int(5)], static_row: Some(row(0)), rows: vec![row(1), row(2)] };
    let slice = Slice { inclusive: true, with_static: true, ..Slice::default() };
    let halves = Unit { area: Area::Slice(slice), parts: vec![part] }.halved();
    assert_eq!(halves[0].area, Area::Static);
    assert!(halves[0].parts[0].static_row.is_some() && halves[0].parts[0].rows.is_empty());
    assert!(halves[1].parts[0].static_row.is_none() && halves[1].parts[0].rows.len() == 2);
    assert!(!halves[1].has_static());
}
