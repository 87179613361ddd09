//! Data.db without its checksums: the grammar, sizes and orders alone.

use bytes::Bytes;
use tidemark_cassandra_format::sstable::{Error, ReadOptions, components};

use crate::content::{Content, drain, expect_order, expect_within};
use crate::input::Input;
use crate::single::named;
use crate::tables::{self, Table};

/// Rows are no larger here.
const MAX_ROW_BYTES: usize = 8 << 20;

/// A byte for the table, one for the window, then the content.
pub(crate) fn run(bytes: &[u8]) {
    let mut input = Input(bytes);
    let (table, window) = (tables::by_number(input.byte()), input.byte());
    let (partial, read) = read(table, input.0, 1 << 20);
    expect_order(&table.fixture.schema, &partial);
    expect_within(&partial, input.0.len());
    // However little is looked at in a time, the rows are the same, and so is the answer.
    let (small_partial, small) = self::read(table, input.0, usize::from(window));
    assert_eq!((partial, read.is_ok()), (small_partial, small.is_ok()));
}

/// What is read of this content with the table's statistics, up to an error.
pub(crate) fn read(table: &Table, content: &[u8], window_bytes: usize) -> (Content, Result<(), String>) {
    let options = ReadOptions { window_bytes, max_row_bytes: MAX_ROW_BYTES };
    let fixture = &table.fixture;
    let content = Bytes::copy_from_slice(content);
    let words = |error: Error| named(&error, "Data.db");
    let statistics = table.component("Statistics.db");
    match components::data(fixture.version(), &statistics, content, fixture.schema.clone(), options) {
        Ok(mut reader) => {
            let (content, read) = drain(&mut reader);
            (content, read.map_err(words))
        }
        Err(error) => panic!("the statistics are whole: {error}"),
    }
}

pub(crate) fn seeds() -> Vec<Vec<u8>> {
    let seed = |(number, table): (u8, &Table)| [&[number, 16][..], &table.content].concat();
    (0..).zip(tables::all()).map(seed).collect()
}
