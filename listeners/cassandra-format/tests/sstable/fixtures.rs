//! Reading the fixtures: whole, in windows of any size, and refusing what does not fit.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::common::{Fixture, schema};
use tidemark_cassandra_format::model::{BoundKind, ColumnData, PartitionReader, Unfiltered};
use tidemark_cassandra_format::sstable::{Compressor, Error, ReadOptions, SsTableReader, Version, components};
use tidemark_cassandra_format::types::CqlType;

#[test]
fn every_fixture_is_read_to_its_end() {
    for fixture in Fixture::all() {
        let content = fixture.read().unwrap_or_else(|error| panic!("{}: {error}", fixture.path));
        assert!(!content.is_empty(), "{}", fixture.path);
    }
}

#[test]
fn there_is_a_fixture_of_every_format_with_every_compressor() {
    let fixtures = Fixture::all();
    for version in Version::ALL {
        for compressor in Compressor::ALL.map(Some).into_iter().chain([None]) {
            // The same for all formats, and what no table is made with.
            if compressor == Some(Compressor::Noop) && version != Version::Da {
                continue;
            }
            let of = |fixture: &&Fixture| fixture.version() == version && fixture.compressor() == compressor;
            let tables: BTreeSet<&str> = fixtures
                .iter()
                .filter(of)
                .filter_map(|fixture| fixture.path.rsplit('/').next()?.split('_').next())
                .collect();
            for table in ["small", "types"] {
                assert!(tables.contains(table), "{version:?} {compressor:?} {tables:?}");
            }
        }
    }
    let ids = |long: bool| fixtures.iter().any(|fixture| (fixture.name.len() > 20) == long);
    assert!(ids(true) && ids(false), "ids are numbers and UUIDs");
}

#[test]
fn all_kinds_of_bounds_are_in_every_format() {
    for run in ["nb", "oa", "da"] {
        let content = Fixture::load(&format!("{run}/bounds")).read().unwrap();
        let kind = |unfiltered: &Unfiltered| match unfiltered {
            Unfiltered::Marker(marker) => Some(marker.kind),
            Unfiltered::Row(_) => None,
        };
        let kinds: BTreeSet<BoundKind> = content.iter().flat_map(|(_, rows)| rows).filter_map(kind).collect();
        assert_eq!(kinds.len(), 6, "{run}: {kinds:?}");
    }
}

#[test]
fn the_window_does_not_matter() {
    for fixture in Fixture::all() {
        let whole = fixture.read().unwrap();
        for window_bytes in [0, 1, 100, 5000, 70_000] {
            let options = ReadOptions { window_bytes, ..ReadOptions::default() };
            assert!(fixture.read_with(options).unwrap() == whole, "{} in windows of {window_bytes}", fixture.path);
        }
    }
}

#[test]
fn skipping_rows_reads_the_same_partitions() {
    for fixture in Fixture::all() {
        let mut reader = fixture.open(ReadOptions::default()).unwrap();
        let mut partitions = Vec::new();
        while let Some(partition) = reader.next_partition().unwrap() {
            partitions.push(partition);
        }
        let whole: Vec<_> = fixture.read().unwrap().into_iter().map(|(partition, _)| partition).collect();
        assert!(partitions == whole, "{}", fixture.path);
        assert!(reader.next_partition().unwrap().is_none() && reader.next_unfiltered().unwrap().is_none());
    }
}

#[test]
fn compression_does_not_change_the_content() {
    // Local times and the paths of lists are the server's, so only the shape can be compared.
    let mut pairs: Vec<(String, String)> = [("types", "types_plain"), ("kv", "kv_plain"), ("small", "small_plain")]
        .map(|(a, b)| (a.to_owned(), b.to_owned()))
        .into();
    for run in ["nb", "oa", "da"] {
        for compressor in ["lz4", "snappy", "deflate", "zstd"] {
            pairs.extend(["types", "chunks"].map(|t| (format!("{run}/{t}_{compressor}"), format!("{run}/{t}_plain"))));
        }
    }
    for (compressed, plain) in &pairs {
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
    let schema = schema(".", "dropped");
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
    for name in ["ob-1-big", "me-1-big", "db-1-bti-Data.db", "nb-1-bti", "na-3h5q_0cq5_1jnk12s5evlnm3a29l-big"] {
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
    for fixture in Fixture::all() {
        let path = &fixture.path;
        let statistics = fixture.component("Statistics.db").unwrap();
        let stats = components::statistics("Statistics.db", &statistics, fixture.version()).unwrap();
        assert!(stats.originating_host.is_some() && !stats.commit_log_intervals.is_empty(), "{path}");
        assert!(stats.min_timestamp <= stats.max_timestamp && stats.repaired_at == 0 && !stats.is_transient, "{path}");
        let content = fixture.read().unwrap();
        let keys = content.first().zip(content.last()).map(|((first, _), (last, _))| (&first.key, &last.key));
        let named = stats.extent.as_ref().map(|extent| (&extent.first_key, &extent.last_key));
        assert_eq!(named, keys.filter(|_| fixture.version() != Version::Nb), "{path}");
    }
    assert_eq!(Fixture::load("kv").open(ReadOptions::default()).unwrap().stats().total_rows, 84);
}

/// The statistics of another SSTable of the same table.
#[test]
fn statistics_that_were_mixed_up_are_noticed() {
    for run in ["oa", "da"] {
        let [old, new] = Fixture::of(&format!("{run}/grown")).try_into().ok().unwrap();
        let mixed = new.with("Statistics.db", old.component("Statistics.db"));
        let error = mixed.read().unwrap_err();
        assert!(error.is_corruption() || matches!(error, Error::Schema { .. }), "{run}: {error}");
    }
}

#[test]
fn expiries_after_2038_are_read() {
    for run in ["oa", "da"] {
        let fixture = Fixture::load(&format!("{run}/late"));
        let content = fixture.read().unwrap();
        let expiries = content.iter().flat_map(|(_, rows)| rows).filter_map(|unfiltered| match unfiltered {
            Unfiltered::Row(row) => row.liveness?.expiry,
            Unfiltered::Marker(_) => None,
        });
        let expiries: Vec<u32> = expiries.map(|expiry| expiry.at).collect();
        assert_eq!(expiries.iter().filter(|at| **at > i32::MAX as u32).count(), 2, "{run}: {expiries:?}");
        let stats = fixture.open(ReadOptions::default()).unwrap().stats().clone();
        assert_eq!(stats.max_local_deletion_time, None, "a row without expiry");
        assert!(stats.min_local_deletion_time.is_some_and(|least| expiries.iter().all(|at| *at >= least)), "{run}");
    }
}

#[test]
fn tuples_may_lack_their_last_elements() {
    for run in ["nb", "oa", "da"] {
        let content = Fixture::load(&format!("{run}/tuples")).read().unwrap();
        let [(_, rows)] = &content[..] else { panic!("one partition") };
        let [Unfiltered::Row(row)] = &rows[..] else { panic!("one row") };
        let [(0, ColumnData::Simple(cell))] = &row.columns[..] else { panic!("one cell") };
        assert_eq!(cell.value[..], [&[0, 0, 0, 4, 0, 0, 0, 1, 0, 0, 0, 5][..], b"short"].concat(), "{run}");
    }
}

#[test]
fn content_alone_reads_as_the_whole_files_do() {
    for run in ["nb", "oa", "da"] {
        let fixture = Fixture::load(&format!("{run}/types_plain"));
        let (data, statistics) = (fixture.component("Data.db").unwrap(), fixture.component("Statistics.db").unwrap());
        let schema = fixture.schema.clone();
        let reader = components::data(fixture.version(), &statistics, data, schema, ReadOptions::default()).unwrap();
        assert!(read_all(reader) == fixture.read().unwrap(), "{run}");
    }
}

fn read_all(mut reader: SsTableReader) -> crate::common::Content {
    let mut content = Vec::new();
    while let Some(partition) = reader.next_partition().unwrap() {
        let rows = std::iter::from_fn(|| reader.next_unfiltered().unwrap()).collect();
        content.push((partition, rows));
    }
    content
}
