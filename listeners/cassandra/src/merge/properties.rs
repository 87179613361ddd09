//! Properties of the merge over random writes, and a model of visibility that shares no code with it.
//!
//! Keys, times and values are few, so that every tie is hit often.

use std::collections::BTreeMap;

use bytes::Bytes;
use proptest::{collection::vec, prelude::*};
use tidemark_cassandra_format::model::{
    BoundKind, Cell, CellState, ColumnData, ColumnIndex, Deletion, Expiry, Liveness, Marker, Partition, PathCell, Row,
    RowDeletion, Unfiltered,
};

use super::fixtures::{A, B, Content, M, head, key, merged, schema};
use crate::{
    resolver::{PartitionResolver, PartitionState},
    view,
};

/// Where a cell is: row (`None` for the static row), column, path.
pub(crate) type Place = (Option<(i32, i32)>, ColumnIndex, Option<&'static str>);

/// One side of a range: a prefix of (x, y), and whether the bound lies after what the prefix covers.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Side {
    prefix: Vec<i32>,
    after: bool,
}

/// One write.
#[derive(Clone, Debug)]
pub(crate) enum Write {
    Marker { row: (i32, i32), liveness: Liveness },
    Cell { place: Place, cell: Cell },
    ColumnDeletion { row: (i32, i32), deletion: Deletion },
    RowDeletion { row: (i32, i32), deletion: Deletion },
    Range { from: Side, to: Side, deletion: Deletion },
    Partition { deletion: Deletion },
}

/// A place on a line that orders rows and bounds as the table does: x ascending, y descending.
type Point = (i32, i32);

fn row_point((x, y): (i32, i32)) -> Point {
    (x, -2 * y)
}

impl Side {
    fn point(&self) -> Point {
        match (self.prefix.as_slice(), self.after) {
            ([x, y, ..], after) => (*x, -2 * y + if after { 1 } else { -1 }),
            ([x], after) => (*x, if after { i32::MAX } else { i32::MIN }),
            ([], false) => (i32::MIN, i32::MIN),
            ([], true) => (i32::MAX, i32::MAX),
        }
    }
}

// Writes as sources of one write each.

fn row_with(row: (i32, i32), fill: impl FnOnce(&mut Row)) -> Content {
    let mut made = Row { clustering: key(&[row.0, row.1]), ..Row::default() };
    fill(&mut made);
    (head(0), vec![Unfiltered::Row(made)])
}

fn column_of(path: Option<&'static str>, cell: &Cell) -> ColumnData {
    let cell = cell.clone();
    match path {
        None => ColumnData::Simple(cell),
        Some(path) => ColumnData::Complex {
            deletion: Deletion::LIVE,
            cells: vec![PathCell { path: Bytes::from_static(path.as_bytes()), cell }],
        },
    }
}

fn range(from: &Side, to: &Side, deletion: Deletion) -> Content {
    let start = if from.after { BoundKind::ExclStart } else { BoundKind::InclStart };
    let end = if to.after { BoundKind::InclEnd } else { BoundKind::ExclEnd };
    let open = Marker { kind: start, prefix: key(&from.prefix), close: None, open: Some(deletion) };
    let close = Marker { kind: end, prefix: key(&to.prefix), close: Some(deletion), open: None };
    (head(0), vec![Unfiltered::Marker(open), Unfiltered::Marker(close)])
}

impl Write {
    pub(crate) fn content(&self) -> Content {
        match self {
            Self::Marker { row, liveness } => row_with(*row, |made| made.liveness = Some(*liveness)),
            Self::Cell { place: (Some(row), column, path), cell } => {
                row_with(*row, |made| made.columns.push((*column, column_of(*path, cell))))
            }
            Self::Cell { place: (None, column, path), cell } => {
                let static_row = Row { columns: vec![(*column, column_of(*path, cell))], ..Row::default() };
                (Partition { static_row: Some(static_row), ..head(0) }, vec![])
            }
            Self::ColumnDeletion { row, deletion } => row_with(*row, |made| {
                made.columns.push((M, ColumnData::Complex { deletion: *deletion, cells: vec![] }));
            }),
            Self::RowDeletion { row, deletion } => {
                row_with(*row, |made| made.deletion = RowDeletion { time: *deletion, shadowable: false })
            }
            Self::Range { from, to, deletion } => range(from, to, *deletion),
            Self::Partition { deletion } => (Partition { deletion: *deletion, ..head(0) }, vec![]),
        }
    }
}

// Random writes.

fn rows() -> impl Strategy<Value = (i32, i32)> {
    (0..3, 0..2)
}

fn deletions() -> impl Strategy<Value = Deletion> {
    (1_i64..6, 1_u32..3).prop_map(|(marked_at, local_time)| Deletion { marked_at, local_time })
}

fn expiries() -> impl Strategy<Value = Expiry> {
    (1_u32..3, 5_u32..7).prop_map(|(ttl, at)| Expiry { ttl, at })
}

fn cells() -> impl Strategy<Value = Cell> {
    let values = || proptest::sample::select(vec!["", "a", "b"]).prop_map(|value| Bytes::from_static(value.as_bytes()));
    let states = prop_oneof![
        3 => values().prop_map(|value| (CellState::Live, value)),
        2 => (expiries(), values()).prop_map(|(expiry, value)| (CellState::Expiring(expiry), value)),
        2 => (1_u32..3).prop_map(|local_time| (CellState::Tombstone { local_time }, Bytes::new())),
    ];
    (2_i64..6, states).prop_map(|(ts, (state, value))| Cell { ts, state, value })
}

fn places() -> impl Strategy<Value = Place> {
    prop_oneof![
        1 => Just((None, 0, None)),
        4 => (rows(), prop_oneof![Just(A), Just(B)]).prop_map(|(row, column)| (Some(row), column, None)),
        4 => (rows(), proptest::sample::select(vec!["p", "q", "r"])).prop_map(|(row, path)| (Some(row), M, Some(path))),
    ]
}

fn sides() -> impl Strategy<Value = Side> {
    (vec(0..3, 0..3), any::<bool>()).prop_map(|(prefix, after)| Side { prefix, after })
}

fn ranges() -> impl Strategy<Value = Write> {
    let ordered = (sides(), sides(), deletions()).prop_filter_map("an empty range", |(a, b, deletion)| {
        let (from, to) = if a.point() < b.point() { (a, b) } else { (b, a) };
        (from.point() < to.point()).then_some((from, to, deletion))
    });
    ordered.prop_map(|(from, to, deletion)| Write::Range { from, to, deletion })
}

fn livenesses() -> impl Strategy<Value = Liveness> {
    let expiry = prop_oneof![2 => Just(None), 1 => expiries().prop_map(Some)];
    (2_i64..6, expiry).prop_map(|(ts, expiry)| Liveness { ts, expiry })
}

pub(crate) fn writes() -> impl Strategy<Value = Write> {
    prop_oneof![
        4 => (rows(), livenesses()).prop_map(|(row, liveness)| Write::Marker { row, liveness }),
        8 => (places(), cells()).prop_map(|(place, cell)| Write::Cell { place, cell }),
        2 => (rows(), deletions()).prop_map(|(row, deletion)| Write::ColumnDeletion { row, deletion }),
        2 => (rows(), deletions()).prop_map(|(row, deletion)| Write::RowDeletion { row, deletion }),
        3 => ranges(),
        1 => deletions().prop_map(|deletion| Write::Partition { deletion }),
    ]
}

// The model: every atom is asked by itself which writes are stronger.

/// What readers see: rows with their marker's time and their cells.
#[derive(Debug, Default, PartialEq)]
struct Seen {
    markers: BTreeMap<(i32, i32), Liveness>,
    cells: BTreeMap<Place, Cell>,
}

/// Deletions that cover a row, or the static row, apart from those of multi-cell columns.
fn covering(writes: &[Write], at: Option<(i32, i32)>) -> Vec<Deletion> {
    let covers = |write: &Write| match (write, at) {
        (Write::Partition { deletion }, _) => Some(*deletion),
        (Write::RowDeletion { row, deletion }, Some(at)) if *row == at => Some(*deletion),
        (Write::Range { from, to, deletion }, Some(at)) => {
            (from.point() < row_point(at) && row_point(at) < to.point()).then_some(*deletion)
        }
        _ => None,
    };
    writes.iter().filter_map(covers).collect()
}

fn is_deleted(deletions: &[Deletion], ts: i64) -> bool {
    deletions.iter().any(|deletion| deletion.marked_at >= ts)
}

/// Strength of a cell, as a list of reasons in the order in which they count.
fn strength(cell: &Cell) -> Vec<Vec<u8>> {
    let (kind, local) = match cell.state {
        CellState::Live => (0_u8, 0),
        CellState::Expiring(Expiry { at, .. }) => (1, at),
        CellState::Tombstone { local_time } => (2, local_time),
    };
    let ttl = if let CellState::Expiring(Expiry { ttl, .. }) = cell.state { ttl } else { 0 };
    let (ts, local, ttl) = (cell.ts.to_be_bytes(), local.to_be_bytes(), (u32::MAX - ttl).to_be_bytes());
    vec![ts.to_vec(), vec![kind], local.to_vec(), ttl.to_vec(), cell.value.to_vec()]
}

fn alive_at(now: u32, expiry: Option<Expiry>) -> bool {
    expiry.is_none_or(|expiry| now < expiry.at)
}

fn model(writes: &[Write], now: u32) -> Seen {
    let mut winners = BTreeMap::<Place, Cell>::new();
    let mut markers = BTreeMap::<(i32, i32), Liveness>::new();
    let rank = |of: &Liveness| (of.ts, of.expiry.map(|expiry| (expiry.at, u32::MAX - expiry.ttl)));
    for write in writes {
        match write {
            Write::Cell { place, cell } => {
                let best = winners.entry(*place).or_insert_with(|| cell.clone());
                if strength(cell) > strength(best) {
                    *best = cell.clone();
                }
            }
            Write::Marker { row, liveness } => {
                let best = markers.entry(*row).or_insert(*liveness);
                if rank(liveness) > rank(best) {
                    *best = *liveness;
                }
            }
            _ => {}
        }
    }
    winners.retain(|place, cell| model_cell_shows(writes, place, cell, now));
    markers.retain(|row, of| !is_deleted(&covering(writes, Some(*row)), of.ts) && alive_at(now, of.expiry));
    Seen { markers, cells: winners }
}

fn model_cell_shows(writes: &[Write], place: &Place, cell: &Cell, now: u32) -> bool {
    let mut deletions = covering(writes, place.0);
    deletions.extend(writes.iter().filter_map(|write| match write {
        Write::ColumnDeletion { row, deletion } if Some(*row) == place.0 && place.1 == M => Some(*deletion),
        _ => None,
    }));
    let lives = match cell.state {
        CellState::Live => true,
        CellState::Expiring(expiry) => alive_at(now, Some(expiry)),
        CellState::Tombstone { .. } => false,
    };
    lives && !is_deleted(&deletions, cell.ts)
}

// The merge's own answer, in the model's terms.

fn number(value: &Option<Bytes>) -> i32 {
    i32::from_be_bytes(value.as_deref().unwrap().try_into().unwrap())
}

fn name(path: &[u8]) -> &'static str {
    ["p", "q", "r"].into_iter().find(|name| name.as_bytes() == path).unwrap()
}

fn see(seen: &mut Seen, row: &Row, at: Option<(i32, i32)>, now: u32) {
    let Some(live) = view::live_row(row, now) else { return };
    if let (Some(at), Some(liveness)) = (at, live.liveness()) {
        seen.markers.insert(at, liveness);
    }
    seen.cells.extend(live.cells().map(|live| ((at, live.column, live.path.map(name)), live.cell.clone())));
}

fn seen(content: &[Content], now: u32) -> Seen {
    let mut seen = Seen::default();
    for (partition, rest) in content {
        partition.static_row.iter().for_each(|row| see(&mut seen, row, None, now));
        for next in rest {
            if let Unfiltered::Row(row) = next {
                let at = (number(&row.clustering[0]), number(&row.clustering[1]));
                see(&mut seen, row, Some(at), now);
            }
        }
    }
    seen
}

fn state(writes: &[Write]) -> PartitionState {
    let resolver = PartitionResolver::new(schema());
    let content = merged(writes.iter().map(|write| vec![write.content()]));
    let (partition, rest) = content.into_iter().next().unwrap_or_else(|| (head(0), vec![]));
    resolver.state(partition, rest).unwrap()
}

/// Strongest range or partition deletion at each place on the line, as the merge's markers say.
fn deletions_of(content: &[Content], points: &[Point]) -> Vec<Deletion> {
    let (partition, rest) = &content[0];
    let open_at = |point: &Point| {
        let markers = rest.iter().filter_map(|next| if let Unfiltered::Marker(of) = next { Some(of) } else { None });
        let mut before = markers.filter(|of| {
            let prefix = of.prefix.iter().map(number).collect();
            let after = matches!(of.kind, BoundKind::InclEndExclStart | BoundKind::InclEnd | BoundKind::ExclStart);
            Side { prefix, after }.point() < *point
        });
        before.next_back().and_then(|of| of.open).unwrap_or(Deletion::LIVE)
    };
    points.iter().map(|point| stronger(open_at(point), partition.deletion)).collect()
}

fn stronger(left: Deletion, right: Deletion) -> Deletion {
    let rank = |of: Deletion| (of.marked_at, if of.marked_at == i64::MIN { 0 } else { of.local_time });
    if rank(left) >= rank(right) { left } else { right }
}

fn model_deletion(writes: &[Write], point: Point) -> Deletion {
    let covers = |write: &Write| match write {
        Write::Partition { deletion } => Some(*deletion),
        Write::Range { from, to, deletion } => (from.point() < point && point < to.point()).then_some(*deletion),
        _ => None,
    };
    writes.iter().filter_map(covers).fold(Deletion::LIVE, stronger)
}

pub(crate) fn deals() -> impl Strategy<Value = (Vec<Write>, Vec<usize>)> {
    vec(writes(), 1..24).prop_flat_map(|all| {
        let deal = vec(0_usize..4, all.len());
        (Just(all), deal)
    })
}

pub(crate) fn hands(all: &[Write], deal: &[usize]) -> Vec<Vec<Write>> {
    let hand = |to: usize| all.iter().zip(deal).filter(|(_, at)| **at == to).map(|(write, _)| write.clone()).collect();
    (0..4).map(hand).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn joins_are_commutative(left in vec(writes(), 0..12), right in vec(writes(), 0..12)) {
        let resolver = PartitionResolver::new(schema());
        let (left, right) = (state(&left), state(&right));
        prop_assert_eq!(resolver.join(left.clone(), right.clone()), resolver.join(right, left));
    }

    #[test]
    fn joins_are_associative(a in vec(writes(), 0..8), b in vec(writes(), 0..8), c in vec(writes(), 0..8)) {
        let resolver = PartitionResolver::new(schema());
        let (a, b, c) = (state(&a), state(&b), state(&c));
        let left_first = resolver.join(resolver.join(a.clone(), b.clone()), c.clone());
        prop_assert_eq!(left_first, resolver.join(a, resolver.join(b, c)));
    }

    #[test]
    fn joins_are_idempotent(all in vec(writes(), 0..16)) {
        let resolver = PartitionResolver::new(schema());
        let state = state(&all);
        prop_assert_eq!(resolver.join(state.clone(), state.clone()), state.clone());
        let (head, rest) = state.clone().into_parts();
        prop_assert_eq!(resolver.state(head, rest).unwrap(), state);
    }

    #[test]
    fn any_split_over_sources_gives_what_one_source_gives((all, deal) in deals()) {
        let hands = hands(&all, &deal);
        let sources = hands.iter().map(|hand| merged(hand.iter().map(|write| vec![write.content()])));
        let once = merged(all.iter().map(|write| vec![write.content()]));
        prop_assert_eq!(merged(sources), once);
    }

    #[test]
    fn readers_see_what_the_model_sees((all, deal) in deals(), now in proptest::sample::select(vec![0, 5, 6, 9])) {
        let hands = hands(&all, &deal);
        let content = merged(hands.iter().map(|hand| merged(hand.iter().map(|write| vec![write.content()]))));
        prop_assert_eq!(seen(&content, now), model(&all, now));
    }

    #[test]
    fn ranges_are_deleted_where_the_model_deletes((all, _) in deals()) {
        let content = merged(all.iter().map(|write| vec![write.content()]));
        let points: Vec<_> = (0..3).flat_map(|x| (-5..2).map(move |y| (x, y))).filter(|at| at.1 % 2 == 0).collect();
        let expected: Vec<_> = points.iter().map(|point| model_deletion(&all, *point)).collect();
        prop_assert_eq!(deletions_of(&content, &points), expected);
    }
}
