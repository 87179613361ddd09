//! What was read of an SSTable, and what must be true of it whatever the bytes were.

use std::fmt::Debug;

use tidemark_cassandra_format::model::{CellState, ColumnData, Partition, PartitionReader, Row, Unfiltered};
use tidemark_cassandra_format::schema::TableSchema;
use tidemark_cassandra_format::token;

/// Partitions with their rows and markers.
pub(crate) type Content = Vec<(Partition, Vec<Unfiltered>)>;

/// Reads to the end or to an error; what was read before it is returned, too.
pub(crate) fn drain<R: PartitionReader>(reader: &mut R) -> (Content, Result<(), R::Error>) {
    let mut content = Content::new();
    loop {
        match reader.next_partition() {
            Ok(Some(partition)) => content.push((partition, Vec::new())),
            Ok(None) => return (content, Ok(())),
            Err(error) => return (content, Err(error)),
        }
        loop {
            match reader.next_unfiltered() {
                Ok(Some(unfiltered)) => content.last_mut().expect("one was pushed").1.push(unfiltered),
                Ok(None) => break,
                Err(error) => return (content, Err(error)),
            }
        }
    }
}

/// As [`drain`], but keeps nothing: returns a checksum of all, and stops when `most_bytes` of values were read.
pub(crate) fn skim<R: PartitionReader>(
    schema: &TableSchema,
    reader: &mut R,
    most_bytes: usize,
) -> (u32, Result<(), R::Error>) {
    let (mut sum, mut bytes) = (crc32fast::Hasher::new(), 0);
    let read = skim_into(schema, reader, &mut |key, size| {
        sum.update(key);
        bytes += size;
        bytes < most_bytes
    });
    (sum.finalize(), read)
}

fn skim_into<R: PartitionReader>(
    schema: &TableSchema,
    reader: &mut R,
    goes_on: &mut dyn FnMut(&[u8], usize) -> bool,
) -> Result<(), R::Error> {
    while let Some(head) = reader.next_partition()? {
        let mut last: Option<Unfiltered> = None;
        goes_on(&head.key, head.key.len());
        while let Some(next) = reader.next_unfiltered()? {
            if let Some(last) = &last {
                assert!(schema.compare_positions(last.position(), next.position()).is_lt(), "rows and markers ascend");
            }
            if let Unfiltered::Row(row) = &next {
                expect_row(row, schema.clustering.len(), schema.regulars.len());
                for value in values(row) {
                    goes_on(value, value.len());
                }
            }
            if !goes_on(&[], 0) {
                return Ok(());
            }
            last = Some(next);
        }
    }
    Ok(())
}

/// Both read the same, or both failed and say so in the same words.
pub(crate) fn expect_equal<T: PartialEq + Debug, E: ToString>(one: Result<T, E>, other: Result<T, E>) {
    match (one, other) {
        (Ok(one), Ok(other)) => assert_eq!(one, other),
        (Err(one), Err(other)) => assert_eq!(one.to_string(), other.to_string()),
        (one, _) => {
            panic!("the same bytes were read and refused; first {}", if one.is_ok() { "read" } else { "refused" })
        }
    }
}

/// Every byte of a file is part of one thing at most, so that what was read is no larger than the file.
pub(crate) fn expect_within(content: &Content, data_bytes: usize) {
    assert!(content.iter().all(|(head, _)| head.token == token::murmur3(&head.key)));
    let heads = content.iter().map(|(head, _)| head.key.len() + head.static_row.as_ref().map_or(0, row_bytes));
    let rest = content.iter().flat_map(|(_, rest)| rest).map(|unfiltered| match unfiltered {
        Unfiltered::Row(row) => row_bytes(row),
        Unfiltered::Marker(marker) => marker.prefix.iter().flatten().map(|value| value.len()).sum(),
    });
    let read: usize = heads.chain(rest).sum();
    assert!(read <= data_bytes, "{read} bytes of {data_bytes}");
}

fn row_bytes(row: &Row) -> usize {
    values(row).into_iter().map(<[u8]>::len).sum()
}

/// Everything in a row that is bytes.
fn values(row: &Row) -> Vec<&[u8]> {
    let mut values: Vec<&[u8]> = row.clustering.iter().flatten().map(|value| &value[..]).collect();
    for (_, data) in &row.columns {
        match data {
            ColumnData::Simple(cell) => values.push(&cell.value),
            ColumnData::Complex { cells, .. } => {
                values.extend(cells.iter().flat_map(|at| [&at.path[..], &at.cell.value]))
            }
        }
    }
    values
}

/// The order that readers promise: of partitions, of rows and markers, of columns, and ranges that end as they started.
pub(crate) fn expect_order(schema: &TableSchema, content: &Content) {
    for (head, rest) in content {
        let ascending = |pair: &[Unfiltered]| schema.compare_positions(pair[0].position(), pair[1].position()).is_lt();
        assert!(rest.windows(2).all(ascending), "rows and markers ascend");
        head.static_row.iter().for_each(|row| expect_row(row, 0, schema.statics.len()));
        let rows = rest.iter().filter_map(|next| if let Unfiltered::Row(row) = next { Some(row) } else { None });
        rows.for_each(|row| expect_row(row, schema.clustering.len(), schema.regulars.len()));
    }
    let ascending = |a: &Partition, b: &Partition| (a.token, &a.key) < (b.token, &b.key);
    assert!(content.windows(2).all(|pair| ascending(&pair[0].0, &pair[1].0)), "partitions ascend");
}

fn expect_row(row: &Row, clustering: usize, columns: usize) {
    assert_eq!(row.clustering.len(), clustering);
    assert!(!row.is_empty(), "a row says something");
    assert!(row.columns.windows(2).all(|pair| pair[0].0 < pair[1].0), "columns ascend");
    for (index, data) in &row.columns {
        assert!(usize::from(*index) < columns);
        let expect_empty = |state: CellState, value: &[u8]| match state {
            CellState::Tombstone { .. } => assert!(value.is_empty(), "a deleted cell has no value"),
            CellState::Expiring(expiry) => assert!(expiry.ttl > 0),
            CellState::Live => {}
        };
        match data {
            ColumnData::Simple(cell) => expect_empty(cell.state, &cell.value),
            ColumnData::Complex { cells, .. } => {
                cells.iter().for_each(|at| expect_empty(at.cell.state, &at.cell.value))
            }
        }
    }
}
