//! Reading the fixtures: whole, in windows of any size, and refusing what does not fit.

use std::sync::Arc;

use crate::common::{Fixture, TABLES, schema};
use tidemark_cassandra_format::model::{ColumnData, PartitionReader, Unfiltered};
use tidemark_cassandra_format::sstable::{Error, ReadOptions};
use tidemark_cassandra_format::types::CqlType;

#[test]
fn every_fixture_is_read_to_its_end() {
    for table in TABLES {
        let content = Fixture::load(table).read().unwrap_or_else(|error| panic!("{table}: {error}"));
        assert!(!content.is_empty(), "{table}");
    }
}

#[test]
fn the_window_does_not_matter() {
    for table in TABLES {
        let fixture = Fixture::load(table);
        let whole = fixture.read().unwrap();
        for window_bytes in [0, 1, 100, 5000, 70_000] {
            let options = ReadOptions { window_bytes, ..ReadOptions::default() };
            assert!(fixture.read_with(options).unwrap() == whole, "{table} in windows of {window_bytes}");
        }
    }
}

#[test]
fn skipping_rows_reads_the_same_partitions() {
    for table in TABLES {
        let fixture = Fixture::load(table);
        let mut reader = fixture.open(ReadOptions::default()).unwrap();
        let mut partitions = Vec::new();
        while let Some(partition) = reader.next_partition().unwrap() {
            partitions.push(partition);
        }
        let whole: Vec<_> = fixture.read().unwrap().into_iter().map(|(partition, _)| partition).collect();
        assert!(partitions == whole, "{table}");
        assert!(reader.next_partition().unwrap().is_none() && reader.next_unfiltered().unwrap().is_none());
    }
}

#[test]
fn compression_does_not_change_the_content() {
    // Local times and the paths of lists are the server's, so only the shape can be compared.
    for (compressed, plain) in [("types", "types_plain"), ("kv", "kv_plain"), ("small", "small_plain")] {
        let shape = |table: &str| {
            let content = Fixture::load(table).read().unwrap();
            content
                .into_iter()
                .map(|(partition, rows)| (partition.key, partition.token, rows.len()))
                .collect::<Vec<_>>()
        };
        assert_eq!(shape(compressed), shape(plain));
    }
}

#[test]
fn rows_larger_than_allowed_are_refused() {
    let options = ReadOptions { max_row_bytes: 3000, ..ReadOptions::default() };
    let small = ReadOptions { window_bytes: 1000, ..options };
    assert!(matches!(Fixture::load("kv").read_with(small), Err(Error::RowTooLarge { limit: 3000, .. })));
}

#[test]
fn a_reader_that_failed_stays_failed() {
    let fixture = Fixture::load("small_plain");
    let data = fixture.component("Data.db").unwrap();
    let mut reader = fixture
        .with("Data.db", Some([&data[..40], &[0xff], &data[41..]].concat().into()))
        .open(ReadOptions::default())
        .unwrap();
    assert!(reader.next_partition().unwrap_err().is_corruption());
    assert!(matches!(reader.next_partition(), Err(Error::Failed { .. })));
    assert!(matches!(reader.next_unfiltered(), Err(Error::Failed { .. })));
}

#[test]
fn dropped_columns_are_left_out_and_added_ones_keep_what_is_newer() {
    let content = Fixture::load("dropped").read().unwrap();
    let schema = schema("dropped");
    let mut kept = Vec::new();
    for (partition, rows) in &content {
        assert!(partition.static_row.iter().all(|row| row.columns.len() == 1), "gs is dropped");
        for unfiltered in rows {
            let Unfiltered::Row(row) = unfiltered else { panic!("only rows") };
            kept.extend(row.columns.iter().map(|(index, data)| (&schema.regulars[usize::from(*index)].name, data)));
        }
    }
    let of = |name: &str| kept.iter().filter(|(column, _)| *column == name).map(|(_, data)| *data).collect::<Vec<_>>();
    assert_eq!((of("keep").len(), of("gone").len()), (4, 0));
    let [ColumnData::Simple(back)] = of("back")[..] else { panic!("one cell is newer than the drop") };
    assert_eq!(back.value[..], 77_i32.to_be_bytes());
    let [ColumnData::Complex { deletion, cells }] = of("bm")[..] else { panic!("one column is newer") };
    assert!(deletion.is_live() && cells.len() == 1);
    // The row that had nothing but dropped cells is not there.
    let rows: usize = content.iter().map(|(_, rows)| rows.len()).sum();
    assert_eq!((content.len(), rows), (3, 4));
}

#[test]
fn unknown_and_clashing_columns_are_refused() {
    let fixture = Fixture::load("small");
    let with = |change: &dyn Fn(&mut tidemark_cassandra_format::schema::TableSchema)| {
        let mut schema = (*fixture.schema).clone();
        change(&mut schema);
        Fixture { schema: Arc::new(schema), ..fixture.clone() }.read().unwrap_err()
    };
    let errors = [
        with(&|schema| drop(schema.regulars.remove(0))),
        with(&|schema| schema.regulars[1].cql_type = CqlType::Text),
        with(&|schema| schema.clustering[0].reversed = true),
        with(&|schema| schema.clustering[0].column.cql_type = CqlType::BigInt),
        with(&|schema| drop(schema.clustering.pop())),
        with(&|schema| schema.partition_key[0].cql_type = CqlType::Text),
        with(&|schema| schema.regulars.append(&mut schema.statics)),
    ];
    for error in errors {
        assert!(matches!(error, Error::Schema { .. }), "{error}");
    }
}

#[test]
fn other_formats_are_refused_by_name() {
    let fixture = Fixture::load("small");
    for name in ["oa-1-big", "me-1-big", "da-1-bti-Data.db", "na-3h5q_0cq5_1jnk12s5evlnm3a29l-big"] {
        let error = Fixture { name: name.into(), ..fixture.clone() }.read().unwrap_err();
        assert!(matches!(&error, Error::Unsupported { .. }) && error.to_string().contains(&name[..2]), "{error}");
    }
}

#[test]
fn components_that_are_listed_must_be_there() {
    for (table, component) in [
        ("small", "CompressionInfo.db"),
        ("small", "Digest.crc32"),
        ("small_plain", "CRC.db"),
        ("small_plain", "Digest.crc32"),
    ] {
        let fixture = Fixture::load(table).with(component, None);
        let error = fixture.read().unwrap_err();
        assert!(error.is_corruption() && error.to_string().contains(component), "{error}");
        // Without the list the digest may be missing, the checksums of the chunks may not.
        let unlisted = fixture.with("TOC.txt", None).read();
        assert_eq!(unlisted.is_ok(), component == "Digest.crc32");
    }
}

#[test]
fn statistics_tell_the_origin() {
    for table in TABLES {
        let fixture = Fixture::load(table);
        let reader = fixture.open(ReadOptions::default()).unwrap();
        let stats = reader.stats();
        assert!(stats.originating_host.is_some() && !stats.commit_log_intervals.is_empty(), "{table}");
        assert!(stats.min_timestamp <= stats.max_timestamp && stats.repaired_at == 0 && !stats.is_transient, "{table}");
    }
    assert_eq!(Fixture::load("kv").open(ReadOptions::default()).unwrap().stats().total_rows, 84);
}
