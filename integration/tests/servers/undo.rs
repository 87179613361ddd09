//! Undo in place: after wrong deletions, updates and inserts readers see the version's state again, but for what was written
//! later; while the application writes, over tables that are full of deleted rows, and when the daemon is killed.

mod deleted;
mod engine;
mod killed;

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use scylla::client::session::Session;
use tidemark_gateway::Env;
use tidemark_integration::{
    cassandra::{Cluster, ClusterSpec},
    compare::{self, TableImage},
    cql, paths,
    system::System,
    wait::{self, Look},
};
use tidemark_web::api::Quality;

use self::engine::{Engine, Options};

/// Loopback network of these tests' cluster.
const GROUP: u8 = 140;
/// Partitions of the table, and rows of each.
const PARTITIONS: i32 = 120;
const ROWS: i32 = 8;
/// Rows of the one wide partition.
const WIDE: i32 = 2_500;
/// Remaining life of values that expire, s.
const LIFE: i32 = 5_000;

#[tokio::test(flavor = "multi_thread")]
async fn a_mistake_is_undone_in_place_and_what_came_later_stays() -> Result<()> {
    if !paths::cassandra_or_skip("a_mistake_is_undone_in_place_and_what_came_later_stays") {
        return Ok(());
    }
    let spec = ClusterSpec::new("undo", GROUP, 3);
    let spec = spec.with_setting("tombstone_failure_threshold", &deleted::read_over()?.to_string());
    let cluster = Cluster::start(spec).await?;
    let session: cql::Shared = Arc::new(cql::connect(&cluster.contact_points()).await?);
    create(&session).await?;
    fill(&session).await?;
    let before = compare::read(&session, "ks", "t").await?;
    let mut system = System::start(GROUP).await?;
    system.add_source("source", &cluster).await?;
    let version = system.protect("source", "ks/*", "all", &["--write-level", "all"]).await?;
    ensure!(version.version.quality == Quality::Cut, "{:?}", version.version);
    let engine = Engine::new(&system, &cluster, "ks/t").await?;

    nothing_is_written_where_nothing_differs(&engine, &session, &before).await?;
    undone_while_the_application_writes(&engine, &session, &before).await?;
    what_the_version_does_not_have_goes_when_asked(&engine, &session, &before).await?;
    only_what_is_chosen_is_undone(&engine, &session, &before).await?;
    a_list_that_was_set_by_index_meanwhile_is_named(&engine, &session, &before).await?;
    deletions_of_the_future_are_named(&engine, &session, &before).await?;
    deleted::ranges_full_of_deleted_rows_are_halved(&system, &cluster, &session).await?;
    killed::an_undo_goes_on_after_the_daemon_is_killed(&mut system, &cluster, &session).await
}

async fn create(session: &Session) -> Result<()> {
    let statements = [
        "CREATE KEYSPACE ks WITH replication = {'class': 'SimpleStrategy', 'replication_factor': 3}",
        "CREATE TYPE ks.u (f int, g text)",
        "CREATE TABLE ks.t (pk int, ck int, st text static, sm map<text, int> static, a int, b text, l list<int>, \
         m map<text, int>, s set<int>, u u, fl frozen<list<int>>, PRIMARY KEY (pk, ck))",
    ];
    cql::run(session, &statements.map(str::to_owned)).await
}

async fn fill(session: &Session) -> Result<()> {
    let mut statements = Vec::new();
    for pk in 0..PARTITIONS {
        statements.push(format!("INSERT INTO ks.t (pk, st, sm) VALUES ({pk}, 'static {pk}', {{'x': {pk}, 'y': 2}})"));
        for ck in 0..ROWS {
            let values = format!(
                "{pk}, {ck}, {ck}, 'row {pk} {ck}', [{ck}, {pk}, {ck}], {{'k': {ck}, 'j': 7}}, {{1, {ck}, 99}}, \
                 {{f: {ck}, g: 'g'}}, [{ck}, 1]"
            );
            let insert = format!("INSERT INTO ks.t (pk, ck, a, b, l, m, s, u, fl) VALUES ({values})");
            statements.push(if ck == 3 { format!("{insert} USING TTL {LIFE}") } else { insert });
        }
        // A row of a marker alone, and one of cells alone.
        statements.push(format!("INSERT INTO ks.t (pk, ck) VALUES ({pk}, 100)"));
        statements.push(format!("UPDATE ks.t SET a = 1, m = m + {{'u': 1}} WHERE pk = {pk} AND ck = 101"));
    }
    run_all(session, statements).await?;
    let wide = (0..WIDE).map(|ck| format!("INSERT INTO ks.t (pk, ck, a, l) VALUES (-1, {ck}, {ck}, [{ck}])"));
    run_all(session, wide.collect()).await
}

/// Runs statements, some at a time, in no order.
async fn run_all(session: &Session, statements: Vec<String>) -> Result<()> {
    use futures::{StreamExt, TryStreamExt, stream};
    let run = |statement: String| async move {
        session.query_unpaged(statement.as_str(), ()).await.with_context(|| statement.clone()).map(drop)
    };
    stream::iter(statements).map(run).buffer_unordered(32).try_collect().await
}

fn micros() -> i64 {
    Env::system().now().as_microsecond()
}

/// An instant that is later than everything so far and earlier than everything to come.
async fn instant() -> Result<i64> {
    let instant = micros() + 1_000;
    wait::until("the instant", Duration::from_secs(5), async || {
        Ok(Look::when(micros() > instant + 1_000, || "not yet".to_owned()))
    })
    .await?;
    Ok(instant)
}

/// The image without write times, which an undo changes.
fn without_times(image: &TableImage) -> TableImage {
    let mut image = image.clone();
    for cell in image.rows.values_mut().flat_map(|row| row.columns.values_mut()).flatten() {
        cell.writetime = 0;
    }
    image
}

async fn expect(session: &Session, what: &str, expected: &TableImage) -> Result<()> {
    let found = compare::read(session, "ks", "t").await?;
    without_times(expected).expect(what, &without_times(&found))
}

/// Rows that a reader sees, static ones too.
fn rows(image: &TableImage) -> u64 {
    image.rows.len() as u64
}

async fn nothing_is_written_where_nothing_differs(
    engine: &Engine,
    session: &Session,
    before: &TableImage,
) -> Result<()> {
    let count = engine.count(Options::default()).await?;
    ensure!((count.come_back, count.change, count.would_be_removed) == (0, 0, 0), "{count:?}");
    ensure!(count.untouched == rows(before) && count.unreadable_ranges.is_empty(), "{} rows: {count:?}", rows(before));
    ensure!((count.rows_kept, count.rows_newer) == (0, 0), "{count:?}");
    let report = engine.run(instant().await?, Options { remove: true, ..Options::default() }).await?;
    ensure!((report.rows_read, report.rows_untouched) == (rows(before), rows(before)), "{report:?}");
    ensure!(report.rows_written == 0 && report.differing_rows == 0, "{report:?}");
    // Write times, too, are what they were.
    before.expect("an undo of nothing", &compare::read(session, "ks", "t").await?)
}

/// Deletions, updates and values of all kinds that were wrong.
fn damage() -> Vec<String> {
    let mut statements = vec![
        // By row, by range, by partition, in the narrow and in the wide ones.
        "DELETE FROM ks.t WHERE pk = 1 AND ck = 2".to_owned(),
        "DELETE FROM ks.t WHERE pk = 2 AND ck >= 3 AND ck < 6".to_owned(),
        "DELETE FROM ks.t WHERE pk = -1 AND ck > 100 AND ck <= 1900".to_owned(),
        "DELETE FROM ks.t WHERE pk = 3 AND ck = 100".to_owned(),
        "DELETE FROM ks.t WHERE pk = 3 AND ck = 101".to_owned(),
    ];
    statements.extend((10..30).map(|pk| format!("DELETE FROM ks.t WHERE pk = {pk}")));
    statements.extend((30..40).flat_map(|pk| {
        [
            format!("UPDATE ks.t SET a = -1, b = 'wrong', fl = [0] WHERE pk = {pk} AND ck = 0"),
            format!("UPDATE ks.t SET m = {{'k': 1000}}, s = {{}}, u = {{f: 5}} WHERE pk = {pk} AND ck = 1"),
            format!("UPDATE ks.t SET l = [9] WHERE pk = {pk} AND ck = 2"),
            format!("UPDATE ks.t USING TTL 100000 SET a = 3 WHERE pk = {pk} AND ck = 3"),
            format!("UPDATE ks.t SET b = 'for ever' WHERE pk = {pk} AND ck = 3"),
            format!("DELETE m['k'], l[0], u.f FROM ks.t WHERE pk = {pk} AND ck = 4"),
            format!("UPDATE ks.t SET st = 'wrong', sm = {{'x': -1}} WHERE pk = {pk}"),
            format!("DELETE a, b FROM ks.t WHERE pk = {pk} AND ck = 5"),
        ]
    }));
    statements
}

async fn undone_while_the_application_writes(
    engine: &Engine,
    session: &cql::Shared,
    before: &TableImage,
) -> Result<()> {
    run_all(session, damage()).await?;
    let count = engine.count(Options::default()).await?;
    ensure!(count.come_back > 1_800 && count.change >= 70 && count.unreadable_ranges.is_empty(), "{count:?}");
    let at = instant().await?;
    let stop = Arc::new(AtomicBool::new(false));
    let writer = tokio::spawn(write_on(session.clone(), stop.clone()));
    let report = engine.run(at, Options::default()).await;
    stop.store(true, Ordering::Relaxed);
    let later = writer.await.context("the writer")??;
    let report = report?;
    println!("undone: {report:?}; the application wrote {} rows", later.len());
    ensure!(report.rows_written >= 1_800 && report.rows_untouched > 500, "{report:?}");
    ensure!(report.differing_rows == 0, "{report:?}");
    ensure!(!later.is_empty(), "the application wrote nothing");
    let mut expected = before.clone();
    for ((pk, ck), value) in &later {
        set_b(&mut expected, *pk, *ck, value);
    }
    expect(session, "the table after its undo", &expected).await?;
    // What was written later goes back, too, where it is later no more.
    let report = engine.run(instant().await?, Options::default()).await?;
    ensure!(report.rows_written as usize <= later.len() && report.differing_rows == 0, "{report:?}");
    expect(session, "the table after its second undo", before).await
}

/// Updates one text of rows here and there, damaged or not, until told to stop; what it wrote last.
async fn write_on(session: cql::Shared, stop: Arc<AtomicBool>) -> Result<BTreeMap<(i32, i32), String>> {
    let mut last = BTreeMap::new();
    for n in 0_i32.. {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        let (pk, ck) = (n * 7 % PARTITIONS, n % ROWS);
        if ck == 3 {
            continue;
        }
        let value = format!("later {n}");
        let update = format!("UPDATE ks.t SET b = '{value}' WHERE pk = {pk} AND ck = {ck}");
        session.query_unpaged(update, ()).await?;
        last.insert((pk, ck), value);
    }
    Ok(last)
}

fn set_b(image: &mut TableImage, pk: i32, ck: i32, value: &str) {
    let int = |n: i32| Bytes::copy_from_slice(&n.to_be_bytes());
    let key = compare::image::RowKey { partition: vec![int(pk)], clustering: Some(vec![int(ck)]) };
    let value = Bytes::copy_from_slice(value.as_bytes());
    let cell = compare::image::Cell { path: Bytes::new(), value, writetime: 0, expiry: None };
    image.rows.entry(key).or_default().columns.insert("b".to_owned(), vec![cell]);
}

async fn what_the_version_does_not_have_goes_when_asked(
    engine: &Engine,
    session: &Session,
    before: &TableImage,
) -> Result<()> {
    let mut extra = vec![
        "INSERT INTO ks.t (pk, ck, a) VALUES (5, 50, 1)".to_owned(),
        "INSERT INTO ks.t (pk, ck, a, l) VALUES (-1, 90000, 1, [1])".to_owned(),
        "INSERT INTO ks.t (pk, ck) VALUES (5, 51)".to_owned(),
        "UPDATE ks.t SET a = 4, m = m + {'new': 1}, s = s + {77}, l = l + [5], u.g = 'x' WHERE pk = 6 AND ck = 101"
            .to_owned(),
        "UPDATE ks.t SET b = 'new', m = {'n': 1} WHERE pk = 6 AND ck = 100".to_owned(),
        "UPDATE ks.t SET l = l + [5], s = s + {77}, m = m + {'new': 1} WHERE pk = 7 AND ck = 1".to_owned(),
        "UPDATE ks.t SET st = 'new' WHERE pk = 9000".to_owned(),
    ];
    extra.extend((0..300).map(|pk| format!("INSERT INTO ks.t (pk, ck, a) VALUES ({}, 1, 1)", 10_000 + pk)));
    run_all(session, extra).await?;
    let with_extras = compare::read(session, "ks", "t").await?;
    let count = engine.count(Options::default()).await?;
    ensure!(count.would_be_removed == 303 && count.come_back == 0, "{count:?}");
    // Besides these rows, three and a static one hold more than in the version.
    ensure!(count.rows_kept == 307, "{count:?}");
    // `a` of one row is another value; everything else is more than the version has.
    let report = engine.run(instant().await?, Options::default()).await?;
    ensure!(report.rows_written == 1 && report.rows_removed == 0 && report.rows_kept == 307, "{report:?}");
    let found = compare::read(session, "ks", "t").await?;
    ensure!(found.rows.len() == with_extras.rows.len(), "something was removed unasked");
    let report = engine.run(instant().await?, Options { remove: true, ..Options::default() }).await?;
    ensure!(report.rows_removed == 303 && report.differing_rows == 0 && report.rows_kept == 0, "{report:?}");
    expect(session, "the table without what the version does not have", before).await
}

async fn only_what_is_chosen_is_undone(engine: &Engine, session: &Session, before: &TableImage) -> Result<()> {
    let wrong = [
        "DELETE FROM ks.t WHERE pk = 20",
        "DELETE FROM ks.t WHERE pk = 21",
        "UPDATE ks.t SET a = -5, b = 'wrong' WHERE pk = 22 AND ck = 0",
    ];
    run_all(session, wrong.map(str::to_owned).to_vec()).await?;
    let rows = |text: &str| Options { rows: Some(text.to_owned()), ..Options::default() };
    let report = engine.run(instant().await?, rows("pk = 20 AND ck >= 2 AND ck < 5")).await?;
    ensure!((report.rows_written, report.rows_read) == (3, 3), "{report:?}");
    let report = engine.run(instant().await?, rows("pk = 20")).await?;
    ensure!(report.rows_written as i32 == ROWS + 2 - 3 + 1, "{report:?}");
    let columns = Options { columns: vec!["a".into()], ..rows("pk = 22") };
    let report = engine.run(instant().await?, columns).await?;
    ensure!(report.rows_written == 1, "{report:?}");
    let report = engine.run(instant().await?, rows("token(pk) > -9223372036854775808")).await?;
    ensure!(report.rows_written as i32 == ROWS + 2 + 1 + 1, "{report:?}");
    expect(session, "the table after undos of parts", before).await
}

async fn deletions_of_the_future_are_named(engine: &Engine, session: &Session, before: &TableImage) -> Result<()> {
    let future = micros() + 1_000_000_000;
    let wrong = [
        format!("DELETE FROM ks.t USING TIMESTAMP {future} WHERE pk = 40 AND ck = 1"),
        format!("DELETE b FROM ks.t USING TIMESTAMP {future} WHERE pk = 41 AND ck = 1"),
        format!("UPDATE ks.t USING TIMESTAMP {future} SET b = 'newer' WHERE pk = 42 AND ck = 1"),
    ];
    run_all(session, wrong.to_vec()).await?;
    let report = engine.run(instant().await?, Options::default()).await?;
    ensure!(report.differing_rows == 2 && report.rows_newer == 1, "{report:?}");
    let keys: Vec<&str> = report.differing.iter().map(|row| row.key.as_str()).collect();
    for key in ["pk = 40 AND ck = 1", "pk = 41 AND ck = 1"] {
        ensure!(keys.contains(&key), "{key} is not among {keys:?}");
    }
    // An undo with a later instant brings them back.
    let report = engine.run(future + 1, Options::default()).await?;
    ensure!(report.differing_rows == 0 && report.rows_written == 3, "{report:?}");
    expect(session, "the table after an undo from the future", before).await
}

async fn a_list_that_was_set_by_index_meanwhile_is_named(
    engine: &Engine,
    session: &Session,
    before: &TableImage,
) -> Result<()> {
    let at = instant().await?;
    run_all(session, vec!["UPDATE ks.t SET l[1] = 77 WHERE pk = 50 AND ck = 4".to_owned()]).await?;
    let report = engine.run(at, Options::default()).await?;
    let named = report.differing.iter().any(|row| row.key == "pk = 50 AND ck = 4" && row.why.contains("list"));
    ensure!(report.differing_rows == 1 && named, "{report:?}");
    // What was set is no more than what the version does not have, once it is older than the instant.
    let report = engine.run(instant().await?, Options { remove: true, ..Options::default() }).await?;
    ensure!(report.differing_rows == 0, "{report:?}");
    expect(session, "the table after its list was replaced", before).await
}
