//! The merge is a join, and what it shows is one with what it holds.

use std::sync::Arc;

use tidemark_cassandra_format::model::{CellState, Row, Unfiltered};
use tidemark_cassandra_format::schema::TableSchema;

use crate::content::{Content, drain, expect_order};
use crate::data;
use crate::input::Input;
use crate::merge::{MemoryReader, MergeReader};
use crate::orders::has_tuples;
use crate::tables::{self, Table};
use crate::view;
use crate::writes;

/// Instants before, at and after the expiries of [`writes`].
const INSTANTS: [u32; 4] = [0, 5, 6, u32::MAX];

/// A byte for what the sources are: writes that collide, streams of any shape, or two contents of one table's Data.db.
pub(crate) fn run(bytes: &[u8]) {
    let mut input = Input(bytes);
    match input.below(4) {
        0 | 1 => of_writes(input),
        2 => of_streams(input),
        _ => of_data(input),
    }
}

fn merged(schema: &Arc<TableSchema>, sources: &[&Content]) -> Result<Content, String> {
    let readers = sources.iter().map(|source| MemoryReader::new((*source).clone())).collect();
    let (content, read) = drain(&mut MergeReader::new(schema.clone(), readers));
    read.map(|()| content).map_err(|error| error.to_string())
}

/// Writes dealt to three sources.
fn of_writes(mut input: Input<'_>) {
    let schema = writes::schema();
    let mut hands: [Vec<Content>; 3] = Default::default();
    for _ in 0..32 {
        if !input.is_empty() {
            let hand = usize::from(input.below(3));
            hands[hand].push(writes::write(&mut input));
        }
    }
    let join = |hand: &Vec<Content>| merged(&schema, &hand.iter().collect::<Vec<_>>()).expect("writes are well-formed");
    let all = join(&hands.concat());
    let sources = hands.each_ref().map(join);
    expect_join(&schema, &sources);
    assert_eq!(merged(&schema, &sources.each_ref()), Ok(all), "it does not matter how writes are dealt");
}

/// What is out of order or of another shape is refused; where it is not, the order of sources does not matter.
fn of_streams(mut input: Input<'_>) {
    let schema = writes::schema();
    let [a, b] = [writes::stream(&mut input), writes::stream(&mut input)];
    let (ab, ba) = (merged(&schema, &[&a, &b]), merged(&schema, &[&b, &a]));
    assert_eq!(ab.is_ok(), ba.is_ok());
    if let (Ok(ab), Ok(ba)) = (ab, ba) {
        assert_eq!(ab, ba);
        expect_order(&schema, &ab);
    }
}

/// A byte for the table, a length, and two contents.
fn of_data(mut input: Input<'_>) {
    let table = tables::by_number(input.byte());
    let schema = &table.fixture.schema;
    let [a, b] = [input.piece(), input.0].map(|bytes| whole_partitions(table, bytes));
    let (Ok(a), Ok(b)) = (merged(schema, &[&a]), merged(schema, &[&b])) else { return };
    let order = schema.clustering.iter().map(|column| &column.column.cql_type);
    let paths = schema.regulars.iter().chain(&schema.statics).filter_map(|column| column.cql_type.path_type());
    if !order.chain(paths).any(has_tuples) && !schema.has_counters() && ![&a, &b].into_iter().any(has_shadowable) {
        expect_join(schema, &[a, b, Content::new()]);
    }
}

/// What is read before the bytes end or are wrong, without the partition in which that is.
fn whole_partitions(table: &Table, bytes: &[u8]) -> Content {
    let (mut content, read) = data::read(table, bytes, 1 << 20);
    if read.is_err() {
        content.pop();
    }
    content
}

/// Deletions of old views end when a row comes back, so that order matters, in Cassandra, too.
fn has_shadowable(content: &Content) -> bool {
    let rows = content.iter().flat_map(|(_, rest)| rest);
    rows.into_iter().any(|next| matches!(next, Unfiltered::Row(row) if row.deletion.shadowable))
}

/// The laws of a join for what merges have made.
fn expect_join(schema: &Arc<TableSchema>, [a, b, c]: &[Content; 3]) {
    let join = |sources: &[&Content]| merged(schema, sources).expect("the merge reads what it made");
    let (ab, bc) = (join(&[a, b]), join(&[b, c]));
    assert_eq!(ab, join(&[b, a]), "commutative");
    assert_eq!(join(&[&ab, c]), join(&[a, &bc]), "associative");
    assert_eq!(join(&[&ab, c]), join(&[a, b, c]), "associative, of three");
    assert_eq!(&join(&[a, a]), a, "idempotent");
    assert_eq!(join(&[&ab, b]), ab, "what is in it adds nothing");
    expect_order(schema, &ab);
    for (head, rest) in &ab {
        let rows = rest.iter().filter_map(|next| if let Unfiltered::Row(row) = next { Some(row) } else { None });
        head.static_row.iter().chain(rows).for_each(expect_view);
    }
}

/// A row is seen while something of it lives; what is dead stays dead.
fn expect_view(row: &Row) {
    let mut before = None;
    for now in INSTANTS {
        let seen = view::live_row(row, now);
        assert_eq!(seen.is_some(), view::is_visible(row, now));
        let cells = seen.iter().flat_map(view::LiveRow::cells);
        let cells = cells.inspect(|live| assert!(!matches!(live.cell.state, CellState::Tombstone { .. }))).count();
        let lives = seen.and_then(|seen| seen.liveness()).is_some();
        assert_eq!(seen.is_some(), lives || cells > 0);
        assert!(before.is_none_or(|(had, count)| (had || !lives) && cells <= count), "nothing comes back with time");
        before = Some((lives, cells));
    }
}

pub(crate) fn seeds() -> Vec<Vec<u8>> {
    let random = (0_u32..64).map(|seed| {
        let mut state = seed;
        let step = |_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 24) as u8
        };
        let mut bytes: Vec<u8> = (0..40 + 4 * seed).map(step).collect();
        bytes[0] = (seed % 3) as u8;
        bytes
    });
    let twice = |(number, table): (u8, &Table)| {
        [&[3, number][..], &crate::input::framed(&table.content), &table.content].concat()
    };
    random.chain((0..).zip(tables::all()).map(twice)).collect()
}
