//! Tables captured from real servers (the format crate's `testdata`) are consolidated from an in-memory store.

pub(crate) mod bench;

use std::sync::{Arc, Mutex};

use tidemark_cassandra_format::model::{PartitionReader, Unfiltered};
use tidemark_catalog::{
    document,
    entry::{Entry, ObjectLine, Quality, ReplicaState},
    identities,
    opaque::Opaque,
};
use tidemark_listener_core::progress;
use tidemark_records::segments::StoredSegment;

use super::*;
use crate::{
    consolidate::EntrySchema,
    driver::CassandraDriver,
    segment::{SegmentReader, key},
    verify::verify,
};
use bench::Bench;

/// Everything that an entry's segments hold.
async fn content(bench: &Bench, entry: &Entry) -> Vec<(tidemark_cassandra_format::model::Partition, Vec<Unfiltered>)> {
    let layout = EntrySchema::layout(entry).unwrap();
    let mut found = Vec::new();
    for range in bench.ranges(entry).await {
        let segment = StoredSegment::new(&bench.store, range, tokio::runtime::Handle::current());
        let layout = layout.clone();
        let read = move || all(&mut SegmentReader::of(segment.open().unwrap(), &layout).unwrap());
        found.extend(tokio::task::spawn_blocking(read).await.unwrap());
    }
    found
}

fn all(reader: &mut SegmentReader) -> Vec<(tidemark_cassandra_format::model::Partition, Vec<Unfiltered>)> {
    let mut found = Vec::new();
    while let Some(partition) = reader.next_partition().unwrap() {
        let mut unfiltereds = Vec::new();
        while let Some(unfiltered) = reader.next_unfiltered().unwrap() {
            unfiltereds.push(unfiltered);
        }
        found.push((partition, unfiltereds));
    }
    found
}

fn count(line: &ObjectLine, name: &str) -> u64 {
    line.figures.count("cassandra", name)
}

/// The line of all keys.
async fn whole(job: ConsolidateJob) -> Result<ObjectLine, failure::Failure> {
    in_ranges(job, &[KeyRange::all()]).await
}

async fn in_ranges(job: ConsolidateJob, ranges: &[KeyRange]) -> Result<ObjectLine, failure::Failure> {
    let driver = CassandraDriver::new(job.env.clone());
    tidemark_records::consolidate::object(&driver, crate::segment::KIND, job, ranges).await
}

async fn consolidated(bench: &Bench) -> (ObjectLine, Entry) {
    let line = whole(bench.job()).await.unwrap();
    let entry = document::read(&bench.store, line.entry.as_ref().unwrap()).await.unwrap();
    (line, entry)
}

#[tokio::test]
async fn three_equal_replicas_become_one_copy() {
    for table in
        ["kv", "kv_plain", "types", "types_plain", "deletes", "wide", "orders", "paths", "small", "dropped", "counters"]
    {
        let bench = Bench::of(table, 3).await;
        let (line, entry) = consolidated(&bench).await;
        assert_eq!(line.quality, Quality::Cut, "{table}");
        assert!(content(&bench, &entry).await == bench.merged().await, "{table} came back other than it was read");
        let records = verify(&bench.store, &entry, progress::silent()).await.unwrap();
        assert!(records >= line.figures.records && records > 0, "{table}");
        assert_eq!([count(&line, "disagreeing_rows"), count(&line, "not_owned_partitions")], [0, 0], "{table}");
        assert_eq!(entry.replicas.iter().map(|r| r.state.to_string()).collect::<Vec<_>>(), ["captured"; 3]);
        assert!(line.figures.shipped_bytes > 0 && line.figures.kept_bytes() > 0);
    }
}

/// The tables have the same statements behind them; only local times and paths of lists, which a server makes, differ.
#[tokio::test]
async fn files_of_several_formats_in_one_table_become_one_copy() {
    let directories = ["nb/types_zstd", "oa/types_deflate", "da/types_snappy", "nb-4.1/types_lz4"];
    // That of 4.1 has no vectors and another number than the other `nb`.
    let mixed = Bench::mixed(&directories[..3], 1).await;
    let (line, entry) = consolidated(&mixed).await;
    let found = content(&mixed, &entry).await;
    assert!(found == mixed.merged().await, "mixed files came back other than they were read");
    assert_eq!(count(&line, "disagreeing_rows"), 0);
    for directory in directories {
        let alone = Bench::of(directory, 1).await.merged().await;
        assert_eq!(shape(&alone), shape(&found), "{directory}");
    }
}

/// Tokens of partitions, and the number of rows of each.
fn shape(content: &[(tidemark_cassandra_format::model::Partition, Vec<Unfiltered>)]) -> Vec<(i64, usize)> {
    content.iter().map(|(partition, rows)| (partition.token, rows.len())).collect()
}

#[tokio::test]
async fn small_segments_are_ranges_in_order() {
    let bench = Bench::of("kv", 1).await;
    let mut job = bench.job();
    job.limits.segment_bytes = 1;
    let line = whole(job).await.unwrap();
    let entry: Entry = document::read(&bench.store, line.entry.as_ref().unwrap()).await.unwrap();
    let ranges = bench.ranges(&entry).await;
    assert!(ranges.len() > 1 && ranges.iter().all(|range| range.first == range.last));
    assert!(content(&bench, &entry).await == bench.merged().await);
    verify(&bench.store, &entry, progress::silent()).await.unwrap();
}

#[tokio::test]
async fn what_a_node_does_not_own_is_dropped_and_counted() {
    let mut bench = Bench::of("kv", 2).await;
    bench.replicate(1).await;
    let (line, entry) = consolidated(&bench).await;
    let partitions = bench.merged().await.len() as u64;
    assert_eq!(count(&line, "not_owned_partitions"), partitions);
    assert!(content(&bench, &entry).await == bench.merged().await);
    assert_eq!(line.quality, Quality::Cut);
}

#[tokio::test]
async fn a_node_that_could_not_read_lowers_the_quality_unless_quorum_proves_it() {
    let mut bench = Bench::of("kv", 3).await;
    bench.make_unreadable(2, "a file is gone");
    let (line, entry) = consolidated(&bench).await;
    assert!(matches!(line.quality, Quality::Degraded { .. }));
    assert!(entry.replicas.iter().any(|r| r.state.to_string() == "unreadable: a file is gone"));
    bench.declared.repaired = true;
    assert_eq!(whole(bench.job()).await.unwrap().quality, Quality::Cut);
}

#[tokio::test]
async fn an_absent_node_is_recorded() {
    let mut bench = Bench::of("kv", 3).await;
    bench.remove(1, "no listener");
    let (line, entry) = consolidated(&bench).await;
    assert!(matches!(&line.quality, Quality::Degraded { ranges } if ranges[0].captured == 2));
    assert!(entry.replicas.iter().any(|r| r.state.to_string() == "absent: no listener"));
    assert_eq!(line.cut.partitions.len(), 2);
}

#[tokio::test]
async fn a_table_that_nobody_could_read_is_missing_with_the_reasons() {
    let mut bench = Bench::of("kv", 2).await;
    bench.make_unreadable(0, "broken disk");
    bench.make_unreadable(1, "format me");
    let line = whole(bench.job()).await.unwrap();
    let Quality::Missing { reason } = &line.quality else { panic!("{line:?}") };
    assert!(reason.contains("broken disk") && reason.contains("format me"), "{reason}");
    assert_eq!(line.entry, None);
}

#[tokio::test]
async fn a_replica_with_a_damaged_file_is_left_out_and_named_as_an_absent_one_would_be() {
    for file in ["nb-1-big-Data.db", "nb-1-big-Statistics.db", "nb-1-big-Digest.crc32"] {
        let mut bench = Bench::of("kv", 3).await;
        bench.damage(1, file).await;
        let (line, entry) = consolidated(&bench).await;
        let Quality::Degraded { ranges } = &line.quality else { panic!("{line:?}") };
        let host = bench.host(1);
        assert!(
            ranges.iter().all(|r| r.captured == 2 && r.reason.contains(&host) && r.reason.contains(file)),
            "{ranges:?}"
        );
        assert_eq!((line.left_out.len(), &line.left_out[0].partition), (1, &host));
        assert!(
            line.left_out[0].to_string().contains("127.0.0.1") && line.left_out[0].reason.contains(file),
            "{line:?}"
        );
        let record = entry.replicas.iter().find(|r| r.partition == host).unwrap();
        let ReplicaState::Unreadable { reason } = &record.state else { panic!("{record:?}") };
        assert!(reason.contains(file) && record.own.is_null());
        let merged = identities::read(&bench.store, &entry.content.records().unwrap().merged).await.unwrap();
        assert!(merged.len() == 2 && merged.iter().all(|identity| identity.partition != host), "{merged:?}");
        assert_eq!(entry.cut.partitions.len(), 2);
        assert!(content(&bench, &entry).await == bench.merged().await);
        bench.declared.repaired = true;
        assert_eq!(whole(bench.job()).await.unwrap().quality, Quality::Cut);
    }
}

#[tokio::test]
async fn of_a_replica_with_one_damaged_file_no_other_file_is_merged() {
    let mut bench = Bench::mixed(&["nb/types_zstd", "oa/types_deflate"], 3).await;
    let whole = bench.merged().await;
    // Only this node has the second file: what is in it must not come from a node that is not counted.
    for node in [1, 2] {
        bench.slices[node].objects[0].files.retain(|file| file.name.starts_with("nb-"));
    }
    bench.damage(0, "nb-1-big-Data.db").await;
    let (_, entry) = consolidated(&bench).await;
    let found = content(&bench, &entry).await;
    assert!(found == Bench::of("nb/types_zstd", 1).await.merged().await && found != whole);
}

#[tokio::test]
async fn a_table_whose_replicas_are_all_damaged_is_missing_and_names_each() {
    let mut bench = Bench::of("kv", 3).await;
    for (node, file) in [(0, "nb-1-big-Data.db"), (1, "nb-1-big-Statistics.db"), (2, "nb-1-big-CompressionInfo.db")] {
        bench.damage(node, file).await;
    }
    let line = whole(bench.job()).await.unwrap();
    let Quality::Missing { reason } = &line.quality else { panic!("{line:?}") };
    let files = ["nb-1-big-Data.db is damaged", "Statistics.db", "CompressionInfo.db"];
    assert!(files.iter().all(|file| reason.contains(file)), "{reason}");
    assert!((0..3).all(|node| reason.contains(&bench.host(node))) && line.entry.is_none(), "{reason}");
}

/// Nodes that own nothing of the table may be whole: that is no state of it.
#[tokio::test]
async fn a_table_whose_only_owner_is_damaged_is_missing_and_not_empty() {
    let mut bench = Bench::of("kv", 2).await;
    let only = |capture: &mut crate::cluster::NodeCapture| {
        capture.ring[1].dc = "dc2".to_owned();
        let class = "org.apache.cassandra.locator.NetworkTopologyStrategy";
        let options = [("class", class), ("dc1", "1")].map(|(key, value)| (key.to_owned(), value.to_owned()));
        capture.keyspaces[0].replication = options.into();
    };
    bench.captures.iter_mut().for_each(only);
    bench.store_captures().await;
    assert_eq!(whole(bench.job()).await.unwrap().quality, Quality::Cut);
    bench.damage(0, "nb-1-big-Data.db").await;
    let line = whole(bench.job()).await.unwrap();
    assert!(matches!(&line.quality, Quality::Missing { reason } if reason.contains("nb-1-big-Data.db")), "{line:?}");
    assert!(line.entry.is_none());
}

#[tokio::test]
async fn a_file_that_is_gone_is_damage_and_a_store_that_is_gone_is_an_outage() {
    let mut bench = Bench::of("kv", 3).await;
    bench.declared.repaired = true;
    bench.lose(1, "nb-1-big-Data.db").await;
    let (line, _) = consolidated(&bench).await;
    assert!(line.quality == Quality::Cut && line.left_out[0].reason.contains("nb-1-big-Data.db"), "{line:?}");
    bench.lose_capture(1).await;
    let error = whole(bench.job()).await.unwrap_err();
    assert!(error.retryable, "{error:?}");
}

#[tokio::test]
async fn a_file_that_is_gone_half_way_is_blamed_on_its_host() {
    let bench = Bench::of("kv", 3).await;
    let mut job = bench.job();
    let captures = captures::read(&job.store, &job.slices).await.unwrap();
    let Verdict::Merge(plan) = Plan::make(&job, &captures, &KeyRange::all()).unwrap() else { panic!() };
    job.store = Arc::new(object_store::memory::InMemory::new());
    let failure = merge(&job, *plan).await.unwrap_err();
    assert_eq!(failure.damage().unwrap().host, bench.host(0));
}

#[tokio::test]
async fn nodes_that_see_another_ring_degrade_the_ranges_on_which_they_differ() {
    let mut bench = Bench::of("kv", 3).await;
    bench.captures[2].ring.pop();
    for capture in &mut bench.captures {
        capture.keyspaces[0].replication.insert("replication_factor".to_owned(), "1".to_owned());
    }
    bench.store_captures().await;
    let (host, line) = (bench.host(2), whole(bench.job()).await.unwrap());
    let Quality::Degraded { ranges } = line.quality else { panic!("{:?}", line.quality) };
    assert!(ranges.iter().all(|range| range.replicas == 2 && range.reason.contains(&host)), "{ranges:?}");
}

#[tokio::test]
async fn nodes_of_another_cluster_are_an_error() {
    let mut bench = Bench::of("kv", 3).await;
    bench.captures[2].cluster = "other".to_owned();
    bench.store_captures().await;
    let error = whole(bench.job()).await.unwrap_err();
    assert_eq!(error.code, "TM-CASS-0402");
    assert!(error.hint.is_some());
}

#[tokio::test]
async fn a_schema_that_changed_meanwhile_makes_the_table_missing() {
    let mut bench = Bench::of("kv", 2).await;
    bench.captures[1].keyspaces[0].tables[0].id = "0f".repeat(16);
    bench.store_captures().await;
    let line = whole(bench.job()).await.unwrap();
    assert!(matches!(&line.quality, Quality::Missing { reason } if reason.contains("schema changed")));
}

#[tokio::test]
async fn an_empty_table_has_an_entry_without_ranges() {
    let mut bench = Bench::of("kv", 1).await;
    bench.slices[0].objects[0].files.clear();
    let (line, entry) = consolidated(&bench).await;
    assert_eq!((line.quality, bench.ranges(&entry).await.len(), entry.figures.records), (Quality::Cut, 0, 0));
    assert_eq!(verify(&bench.store, &entry, progress::silent()).await.unwrap(), 0);
}

#[tokio::test]
async fn figures_that_only_cassandra_knows_are_checked_by_it() {
    let bench = Bench::of("kv", 1).await;
    let (_, entry) = consolidated(&bench).await;
    let mut other = entry.clone();
    other.figures.own.entry("cassandra".to_owned()).or_default().insert("static_rows".to_owned(), 5);
    let mut more = entry.clone();
    more.figures.own.insert("mongodb".to_owned(), Default::default());
    for strange in [other, more] {
        let error = verify(&bench.store, &strange, progress::silent()).await.unwrap_err();
        assert_eq!(error.code, "TM-CASS-0420", "{}", error.message);
    }
}

#[tokio::test]
async fn cancelled_work_says_so() {
    let bench = Bench::of("kv", 1).await;
    let job = bench.job();
    job.cancel.cancel();
    assert!(whole(job).await.unwrap_err().cancelled);
}

#[tokio::test]
async fn work_is_cancelled_in_the_middle() {
    let bench = Bench::of("kv", 1).await;
    let mut job = bench.job();
    let cancel = job.cancel.clone();
    // Reported while the merge runs and when it is through, before anything names its segments.
    job.progress = Arc::new(move |_| cancel.cancel());
    assert!(whole(job).await.unwrap_err().cancelled);
}

#[tokio::test]
async fn progress_ends_at_the_bytes_of_data() {
    let bench = Bench::of("kv", 2).await;
    let last = Arc::new(Mutex::new(None));
    let sink = last.clone();
    let mut job = bench.job();
    job.progress = Arc::new(move |progress| *sink.lock().unwrap() = Some(progress));
    whole(job).await.unwrap();
    let last = last.lock().unwrap().clone().unwrap();
    assert_eq!((last.done, last.total, last.phase.as_str()), (last.total, 2 * 69_676, "consolidate fx/kv"));
}

#[tokio::test]
async fn an_entry_is_not_proven_by_damaged_segments_or_other_figures() {
    let mut bench = Bench::of("kv", 1).await;
    let (_, entry) = consolidated(&bench).await;
    let mut other = entry.clone();
    other.figures.records += 1;
    let error = verify(&bench.store, &other, progress::silent()).await.unwrap_err();
    assert!(error.code == "TM-CASS-0420" && error.message.contains("records"), "{}", error.message);
    let segment = bench.ranges(&entry).await.remove(0);
    bench.damage_object(&segment.stored.key).await;
    let error = verify(&bench.store, &entry, progress::silent()).await.unwrap_err();
    assert!(error.message.contains(&segment.stored.key) && error.message.contains("BLAKE3"), "{}", error.message);
}

#[tokio::test]
async fn key_ranges_make_the_same_state_as_one() {
    let mut bench = Bench::of("orders", 3).await;
    bench.declared.repaired = true;
    bench.damage(1, "nb-1-big-Data.db").await;
    let one = whole(bench.job()).await.unwrap();
    let one_entry: Entry = document::read(&bench.store, one.entry.as_ref().unwrap()).await.unwrap();
    let middle = bench.merged().await[3].0.token;
    let ranges = [key::range(i64::MIN, middle), key::range(middle, middle + 1), key::range(middle + 1, i64::MAX)];
    let many = in_ranges(bench.job(), &ranges).await.unwrap();
    let many_entry: Entry = document::read(&bench.store, many.entry.as_ref().unwrap()).await.unwrap();
    assert_eq!(content(&bench, &many_entry).await, content(&bench, &one_entry).await);
    assert_eq!(bench.ranges(&many_entry).await.len(), 2, "the range in the middle holds no partition");
    let (figures, of_one) = (many.figures.clone(), one.figures.clone());
    assert_eq!((figures.records, &figures.own), (of_one.records, &of_one.own));
    assert_eq!((many.quality, many.left_out), (one.quality, one.left_out));
    verify(&bench.store, &many_entry, progress::silent()).await.unwrap();
    let no_token = || Some(Opaque::new(vec![1]));
    let range = |from, until| KeyRange { from, until, text: "x".to_owned() };
    let no_ranges = [range(None, no_token()), range(no_token(), None)];
    assert_eq!(in_ranges(bench.job(), &no_ranges).await.unwrap_err().code, "TM-CASS-0411");
}

#[test]
fn statements_of_other_tables_are_left_out() {
    let schema = bench::capture_of("kv", 1, 0);
    let entry = EntrySchema::of(&schema, "fx", "kv").unwrap();
    let names: Vec<_> = entry.keyspace.statements.iter().map(|s| s.name.as_str()).collect();
    assert_eq!(names, ["fx", "kv", "kv_by_v"]);
    assert_eq!(entry.rows().unwrap().name, "kv");
    assert!(EntrySchema::of(&schema, "fx", "nothing").is_none());
}
