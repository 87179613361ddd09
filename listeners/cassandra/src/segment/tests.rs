//! Segments give back what was written, and refuse what was not.

use std::{collections::BTreeSet, sync::Arc};

use arrow_schema::Field;
use bytes::Bytes;
use parquet::arrow::PARQUET_FIELD_ID_META_KEY;
use proptest::prelude::*;
use tidemark_cassandra_format::{
    model::{Cell, CellState, ColumnData, Deletion, Liveness, Partition, PartitionReader, Row, Unfiltered},
    schema::TableSchema,
    types::CqlType,
};

use super::{
    Fetch, Layout, ReadError, SEGMENT_FORMAT, SegmentKey, SegmentReader, WriteError, WriteLimits,
    physical::Physical,
    samples::{self, Sample, clustering, collect, every_type, ids, layout, write},
};

/// Limits that make many batches, row groups and segments of little data.
fn tiny(segment_bytes: usize) -> WriteLimits {
    WriteLimits { segment_bytes, row_group_bytes: 1, batch_bytes: 300, spool_bytes: 100 }
}

fn open(layout: &Arc<Layout>, bytes: Bytes) -> Result<SegmentReader, ReadError> {
    SegmentReader::open(Arc::new(bytes), layout.clone(), "s.parquet")
}

fn read(layout: &Arc<Layout>, bytes: Bytes) -> Result<Vec<Sample>, ReadError> {
    collect(&mut open(layout, bytes)?)
}

fn cell(ts: i64, value: &[u8]) -> ColumnData {
    ColumnData::Simple(Cell { ts, state: CellState::Live, value: Bytes::copy_from_slice(value) })
}

fn partition(token: i64, key: &'static [u8]) -> Partition {
    Partition { token, key: Bytes::from_static(key), deletion: Deletion::LIVE, static_row: None }
}

fn row(d: i32) -> Unfiltered {
    Unfiltered::Row(Row { clustering: clustering(1, d, "e"), ..Row::default() })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn any_stream_comes_back_byte_by_byte(samples in samples::stream(&every_type()), small: bool) {
        let layout = layout();
        let limits = if small { tiny(20_000) } else { WriteLimits::default() };
        let segments = write(&layout, limits, samples.clone()).unwrap();
        let mut found = Vec::new();
        for (segment, bytes) in segments {
            let part = read(&layout, bytes).unwrap();
            let key = |sample: &Sample| SegmentKey { token: sample.0.token, key: sample.0.key.clone() }.stored();
            prop_assert_eq!((key(&part[0]), key(&part[part.len() - 1])), (segment.first, segment.last));
            found.extend(part);
        }
        prop_assert_eq!(found, samples);
    }

    #[test]
    fn damaged_bytes_are_an_error_or_a_stream_but_never_a_panic(
        samples in samples::stream(&every_type()),
        damage in proptest::collection::vec((any::<proptest::sample::Index>(), any::<u8>()), 1..6),
        cut in proptest::option::of(any::<proptest::sample::Index>()),
    ) {
        let layout = layout();
        for (_, bytes) in write(&layout, WriteLimits::default(), samples).unwrap() {
            let mut bytes = bytes.to_vec();
            for (place, byte) in &damage {
                let place = place.index(bytes.len());
                bytes[place] = *byte;
            }
            if let Some(cut) = cut {
                bytes.truncate(cut.index(bytes.len()));
            }
            let _ = read(&layout, bytes.into());
        }
    }
}

#[test]
fn values_as_cassandra_writes_them_have_a_typed_form() {
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    for column in &every_type().regulars {
        let physical = Physical::of(&column.cql_type.clone().freeze(), SEGMENT_FORMAT);
        let proper = samples::proper(&column.cql_type);
        let held = runner.run(&proper, |bytes| {
            prop_assert!(physical.holds(&bytes), "{}: {bytes:?}", column.name);
            Ok(())
        });
        held.unwrap();
    }
}

#[test]
fn field_ids_and_names_are_unique() {
    let layout = layout();
    let fields = layout.schema().fields();
    let names: BTreeSet<_> = fields.iter().map(|f| f.name()).collect();
    let ids: BTreeSet<_> = fields.iter().map(|f| f.metadata()[PARQUET_FIELD_ID_META_KEY].clone()).collect();
    assert_eq!((names.len(), ids.len()), (fields.len(), fields.len()));
    let id = |name: &str| fields.iter().find(|f| f.name() == name).map(|f: &Arc<Field>| f.metadata().clone());
    assert_eq!(id("__token_").unwrap()[PARQUET_FIELD_ID_META_KEY], "1");
    assert!(id("int__ts").is_some() && id("int__ts_").is_some());
}

#[test]
fn a_segment_ends_at_a_partition_boundary() {
    let samples: Vec<Sample> =
        (0..5).map(|token| (partition(token, b"k"), (0..100).rev().map(row).collect())).collect();
    let segments = write(&layout(), tiny(1), samples.clone()).unwrap();
    assert_eq!(segments.len(), 5);
    assert!(segments.iter().all(|(segment, _)| segment.records == 100 && segment.first == segment.last));
    let one = write(&layout(), tiny(usize::MAX), samples).unwrap();
    assert_eq!(one.iter().map(|(segment, _)| segment.records).collect::<Vec<_>>(), [500]);
}

#[test]
fn partitions_out_of_order_are_refused() {
    for tokens in [[2, 1], [1, 1]] {
        let samples = tokens.map(|token| (partition(token, b"k"), Vec::new())).to_vec();
        assert!(matches!(write(&layout(), tiny(1), samples), Err(WriteError::Order { .. })));
    }
}

#[test]
fn atoms_of_another_table_are_refused() {
    let bad = [
        Row::default(),
        Row { clustering: clustering(1, 2, "e"), columns: vec![(99, cell(1, b""))], ..Row::default() },
        Row { clustering: clustering(1, 2, "e"), columns: vec![(30, cell(1, b""))], ..Row::default() },
    ];
    for row in bad {
        let samples = vec![(partition(1, b"k"), vec![Unfiltered::Row(row)])];
        let error = write(&layout(), tiny(1), samples).unwrap_err();
        assert!(matches!(&error, WriteError::Shape { .. }), "{error}");
    }
}

#[test]
fn reading_goes_on_from_a_row_group() {
    let samples = vec![(partition(1, b"k"), (0..50).map(row).collect()), (partition(2, b"k"), vec![row(0)])];
    let (_, bytes) = write(&layout(), tiny(usize::MAX), samples.clone()).unwrap().remove(0);
    let mut reader = open(&layout(), bytes).unwrap();
    assert!(reader.row_groups() > 10);
    let skipped: u64 = (0..5).map(|group| reader.records_of_row_group(group)).sum();
    reader.read_from_row_group(5).unwrap();
    let found = collect(&mut reader).unwrap();
    assert_eq!(found[0].0, samples[0].0);
    assert_eq!(found[0].1, samples[0].1[usize::try_from(skipped).unwrap()..]);
    assert_eq!(found[1], samples[1]);
    assert!(reader.read_from_row_group(999).is_err());
}

#[test]
fn skipping_a_partition_leads_to_the_next() {
    let samples = vec![(partition(1, b"k"), (0..50).map(row).collect()), (partition(2, b"k"), vec![row(0)])];
    let (_, bytes) = write(&layout(), tiny(usize::MAX), samples).unwrap().remove(0);
    let mut reader = open(&layout(), bytes).unwrap();
    assert_eq!(reader.next_partition().unwrap().unwrap().token, 1);
    assert_eq!(reader.next_partition().unwrap().unwrap().token, 2);
    assert_eq!(reader.next_partition().unwrap(), None);
}

fn one_row() -> Vec<Sample> {
    let columns = vec![(1, cell(5, &7_i64.to_be_bytes())), (2, cell(6, b"blob"))];
    let liveness = Some(Liveness { ts: 5, expiry: None });
    let row = Row { clustering: clustering(1, 2, "e"), liveness, columns, ..Row::default() };
    vec![(partition(1, b"k"), vec![Unfiltered::Row(row)])]
}

/// The table without some regular columns, the ids as before.
fn without(names: &[&str]) -> Arc<Layout> {
    let full = every_type();
    let mut table = TableSchema::clone(&full);
    table.regulars.retain(|column| !names.contains(&column.name.as_str()));
    Arc::new(Layout::new(Arc::new(table), &ids(&full)).unwrap())
}

#[test]
fn a_column_that_was_not_asked_for_is_not_read() {
    let (_, bytes) = write(&layout(), tiny(1), one_row()).unwrap().remove(0);
    let found = read(&without(&["bigint"]), bytes).unwrap();
    let Unfiltered::Row(row) = &found[0].1[0] else { panic!("{found:?}") };
    assert_eq!(row.columns, vec![(1, cell(6, b"blob"))]);
}

#[test]
fn a_column_that_the_file_has_not_is_absent() {
    let samples = vec![(partition(1, b"k"), vec![row(1)])];
    let (_, bytes) = write(&without(&["bigint", "m_map"]), tiny(1), samples.clone()).unwrap().remove(0);
    assert_eq!(read(&layout(), bytes).unwrap(), samples);
}

#[test]
fn a_column_of_another_type_is_refused_by_name() {
    let (_, bytes) = write(&layout(), tiny(1), one_row()).unwrap().remove(0);
    let mut table = TableSchema::clone(&every_type());
    table.regulars[1].cql_type = CqlType::Text;
    let ids = ids(&table);
    let layout = Arc::new(Layout::new(Arc::new(table), &ids).unwrap());
    let error = read(&layout, bytes).unwrap_err().to_string();
    assert_eq!(error, "segment s.parquet: column \"bigint\": the file has Int64, asked for Utf8");
}

#[test]
fn values_of_a_type_that_has_grown_since_come_back() {
    let type_of = |fields: &[&str]| CqlType::Udt {
        keyspace: "ks".into(),
        name: "t".into(),
        fields: fields.iter().map(|name| ((*name).to_owned(), CqlType::TinyInt)).collect(),
        frozen: true,
    };
    let layout = |fields: &[&str]| {
        let mut table = TableSchema::clone(&every_type());
        table.regulars[1].cql_type = type_of(fields);
        let ids = ids(&table);
        Arc::new(Layout::new(Arc::new(table), &ids).unwrap())
    };
    let columns = vec![(1, cell(5, b"\0\0\0\x01\x07"))];
    let row = Row { clustering: clustering(1, 2, "e"), columns, ..Row::default() };
    let samples = vec![(partition(1, b"k"), vec![Unfiltered::Row(row)])];
    let (_, bytes) = write(&layout(&["a"]), tiny(1), samples.clone()).unwrap().remove(0);
    assert_eq!(read(&layout(&["renamed", "b"]), bytes.clone()).unwrap(), samples);
    let (_, newer) = write(&layout(&["a", "b"]), tiny(1), samples).unwrap().remove(0);
    assert!(matches!(read(&layout(&["a"]), newer), Err(ReadError::Column { .. })));
}

#[test]
fn a_row_group_is_as_large_as_its_limit() {
    let samples = vec![(partition(1, b"k"), (0..10_000).map(row).collect())];
    let (_, bytes) = write(&layout(), WriteLimits::default(), samples).unwrap().remove(0);
    let reader = open(&layout(), bytes).unwrap();
    assert_eq!((reader.row_groups(), reader.records_of_row_group(0)), (1, 10_000));
}

#[test]
fn what_is_no_segment_is_refused() {
    for bytes in [&b""[..], b"PAR1", b"some bytes that are not Parquet at all"] {
        assert!(read(&layout(), Bytes::from_static(bytes)).is_err());
    }
}

#[test]
fn companions_equal_to_the_liveness_are_null() {
    let layout = layout();
    let (_, bytes) = write(&layout, tiny(1), one_row()).unwrap().remove(0);
    let reader = parquet::arrow::arrow_reader::ParquetRecordBatchReader::try_new(bytes, 10).unwrap();
    let batch = reader.map(Result::unwrap).next().unwrap();
    assert_eq!(batch.column_by_name("bigint__ts").unwrap().null_count(), 1);
    assert_eq!(batch.column_by_name("blob__ts").unwrap().null_count(), 0);
}

/// A `Fetch` that counts.
struct Counting(Bytes, std::sync::atomic::AtomicUsize);

impl Fetch for Counting {
    fn size(&self) -> u64 {
        self.0.size()
    }

    fn fetch(&self, offset: u64, length: usize) -> std::io::Result<Bytes> {
        self.1.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        self.0.fetch(offset, length)
    }
}

#[test]
fn a_row_group_is_one_request() {
    let samples = vec![(partition(1, b"k"), (0..20).map(row).collect())];
    let (_, bytes) = write(&layout(), WriteLimits::default(), samples.clone()).unwrap().remove(0);
    let counting = Arc::new(Counting(bytes, 0.into()));
    let mut reader = SegmentReader::open(counting.clone(), layout(), "s").unwrap();
    assert_eq!(collect(&mut reader).unwrap(), samples);
    assert_eq!(counting.1.load(std::sync::atomic::Ordering::SeqCst), 1 + reader.row_groups());
}
