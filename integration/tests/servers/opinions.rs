//! What others say of a version: Cassandra's own `sstabledump` of every replica's SSTables, merged by documented rules in
//! Python, and readers of Parquet that know nothing of ours.

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use scylla::client::session::Session;
use serde::Deserialize;
use tidemark_integration::{
    cassandra::{Cluster, ClusterSpec},
    compare::{self, image::Cell},
    cql::{self, Raw, Values},
    journal::{
        Journal,
        write::{Change, Data, Place, Write},
    },
    opinions, paths,
    system::System,
    tables::{self, Kind, Table, workload::Workload},
};

/// Loopback network of this test.
const GROUP: u8 = 90;
/// The replica that misses writes.
const LAGGING: usize = 2;
/// Document whose code is run.
const DOC: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/format-cassandra-segments.md");

#[tokio::test(flavor = "multi_thread")]
async fn segments_hold_what_sstabledump_and_other_readers_of_parquet_say() -> Result<()> {
    if !paths::cassandra_and_readers_or_skip("segments_hold_what_sstabledump_and_other_readers_of_parquet_say") {
        return Ok(());
    }
    let mut cluster = Cluster::start(ClusterSpec::new("opinions", GROUP, 3)).await?;
    let session = cql::connect(&cluster.contact_points()).await?;
    create(&session, &cluster).await?;
    let journal = write_with_a_lagging_replica(&mut cluster, &session).await?;
    let system = System::start(GROUP).await?;
    system.add_source("opinions", &cluster).await?;
    // Captured before anything is read: reading at ALL repairs what disagrees.
    let version = system.protect("opinions", "ks/*", "all", &["--write-level", "quorum"]).await?;
    let (store, id) = (system.store_dir().display().to_string(), version.version.id);

    let dumps = system.scratch("dumps");
    opinions::dump_sstables(&cluster, "ks", &dumps)?;
    let verdicts = opinions::ask("compare_dumps.py", &[&store, &id, &dumps.display().to_string()])?;
    sstabledump_agrees(&serde_json::from_value(verdicts)?, &journal)?;

    let shown = opinions::ask("run_snippets.py", &[DOC, &store, &id, "ks/kv"])?;
    documented_code_shows_the_table(&serde_json::from_value(shown)?, &session).await
}

/// What `compare_dumps.py` found of one table.
#[derive(Debug, Deserialize)]
struct Verdict {
    sstables: usize,
    rows: usize,
    static_rows: usize,
    cells: usize,
    expiring: usize,
    differences: Vec<String>,
}

fn sstabledump_agrees(verdicts: &BTreeMap<String, Verdict>, journal: &Journal) -> Result<()> {
    for table in journal.tables() {
        let verdict = verdicts.get(&format!("ks/{table}")).with_context(|| format!("{table} was not compared"))?;
        let first = verdict.differences.iter().take(5).cloned().collect::<Vec<_>>().join("\n  ");
        ensure!(verdict.differences.is_empty(), "{table}: {} differences:\n  {first}", verdict.differences.len());
        // The dumps were read whole: they have what the journal wrote.
        let image = journal.image(table)?;
        let (rows, static_rows) = (image.row_count(), image.static_count());
        ensure!(
            (verdict.rows, verdict.static_rows) == (rows, static_rows),
            "{table}: {verdict:?}, {rows} {static_rows}"
        );
        let cells = image.rows.values().flat_map(|row| row.columns.values().flatten());
        let (cells, expiring) =
            cells.fold((0, 0), |(all, expiring), cell: &Cell| (all + 1, expiring + usize::from(cell.expiry.is_some())));
        ensure!((verdict.cells, verdict.expiring) == (cells, expiring), "{table}: {verdict:?}, {cells} {expiring}");
        ensure!(verdict.sstables > 3, "{table}: {} SSTables on 3 nodes", verdict.sstables);
        println!(
            "{table}: {} SSTables, {rows} + {static_rows} rows, {cells} cells, {expiring} expire",
            verdict.sstables
        );
    }
    Ok(())
}

/// A record of `kv`: key, clustering, value, write time and state of the value.
type Record = (i32, i32, Option<String>, Option<i64>, i8);

/// What `run_snippets.py` was shown.
#[derive(Debug, Deserialize)]
struct Shown {
    duckdb: Vec<(i32, i32, String, i64)>,
    pyarrow: Vec<Record>,
    blocks: usize,
}

async fn documented_code_shows_the_table(shown: &Shown, session: &Session) -> Result<()> {
    ensure!(shown.blocks == 3, "{} blocks of code ran", shown.blocks);
    let mut expected = BTreeMap::new();
    for (key, row) in compare::read(session, "ks", "kv").await?.rows {
        let clustering = key.clustering.context("kv has no statics")?;
        let key = (int(&key.partition[0])?, int(&clustering[0])?);
        expected.extend(row.columns.get("v").map(|cells| (key, cells[0].clone())));
    }
    let text = |cell: &Cell| String::from_utf8_lossy(&cell.value).into_owned();
    let by_duckdb: BTreeMap<_, _> =
        shown.duckdb.iter().map(|(pk, ck, v, written)| ((*pk, *ck), (v.clone(), *written))).collect();
    let all: BTreeMap<_, _> = expected.iter().map(|(key, cell)| (*key, (text(cell), cell.writetime))).collect();
    ensure!(by_duckdb == all && shown.duckdb.len() == all.len(), "DuckDB: {by_duckdb:?}, expected {all:?}");
    ensure!(all.len() == 30, "{} values in kv", all.len());

    // The Arrow table has every record of a row; state 1 are the values that are alive and do not expire.
    let lasting = shown.pyarrow.iter().filter(|row| row.4 == 1);
    let by_pyarrow: BTreeMap<_, _> = lasting.map(|row| ((row.0, row.1), (row.2.clone(), row.3))).collect();
    let lasting = expected.iter().filter(|(_, cell)| cell.expiry.is_none());
    let lasting: BTreeMap<_, _> = lasting.map(|(key, cell)| (*key, (Some(text(cell)), Some(cell.writetime)))).collect();
    ensure!(by_pyarrow == lasting, "pyarrow: {by_pyarrow:?}, expected {lasting:?}");
    Ok(())
}

async fn create(session: &Session, cluster: &Cluster) -> Result<()> {
    cql::run(session, &tables::create_keyspace("ks", 3)).await?;
    for table in tables::all() {
        cql::run(session, &table.create("ks")).await?;
    }
    cql::run(session, &["CREATE TABLE ks.kv (pk int, ck int, v text, PRIMARY KEY (pk, ck))".to_owned()]).await?;
    // What is dumped after the capture are the files that were captured.
    cluster.nodetool_everywhere(&["disableautocompaction", "ks"])
}

/// Writes of every kind before, while and after one replica is down, into several SSTables each.
async fn write_with_a_lagging_replica(cluster: &mut Cluster, session: &Session) -> Result<Journal> {
    let tables = tables::all();
    let mut journal = Journal::new("ks", &tables);
    let mut workloads: Vec<_> = tables.iter().map(|table| (table.name, Workload::new(table, 7))).collect();
    for (table, workload) in &mut workloads {
        journal.write(session, table, printable(table, &tables, workload.load())?).await?;
    }
    write_pairs(session).await?;
    cluster.nodetool(0, &["flush", "ks"])?;
    for (table, workload) in &mut workloads {
        journal.write(session, table, printable(table, &tables, workload.changes(150))?).await?;
    }
    let address = cluster.nodes()[LAGGING].address.clone();
    cluster.stop(LAGGING).await?;
    for (table, workload) in &mut workloads {
        let writes = printable(table, &tables, workload.changes(150))?;
        journal.write_missed_by(session, table, writes, &address).await?;
    }
    cluster.restart(LAGGING).await?;
    journal.settle().await?;
    Ok(journal)
}

/// The writes without booleans of no bytes: `sstabledump` ends at the first one with a NullPointerException.
fn printable(name: &str, tables: &[Table], mut writes: Vec<Write>) -> Result<Vec<Write>> {
    let table = tables.iter().find(|table| table.name == name).with_context(|| name.to_owned())?;
    for write in &mut writes {
        let (all, columns) = match &mut write.change {
            Change::Insert { columns, .. } => (&table.regulars, columns),
            Change::Update { place: Place::Row(_), columns, .. } => (&table.regulars, columns),
            Change::Update { place: Place::Static, columns, .. } => (&table.statics, columns),
            _ => continue,
        };
        columns.retain(|(column, data)| all[*column].kind != Kind::Boolean || *data != Data::Value(Bytes::new()));
    }
    Ok(writes)
}

/// The document's table: 40 rows, of which 2 lose their value, 1 is deleted, 1 never had a value, 2 expire, one of them soon,
/// and 5 go with a range.
async fn write_pairs(session: &Session) -> Result<()> {
    let insert = session.prepare("INSERT INTO ks.kv (pk, ck, v) VALUES (?, ?, ?) USING TIMESTAMP ? AND TTL ?").await?;
    for number in 0..40_i32 {
        let (key, ck) = (Raw::int(number % 8), Raw::int(number));
        let value = if number == 20 { Raw::Null } else { Raw::from(&Bytes::from(format!("value {number}"))) };
        let ttl = Raw::int(if number == 30 {
            1
        } else if number == 31 {
            86_400
        } else {
            0
        });
        let written = Raw::bigint(1_750_000_000_000_000 + i64::from(number));
        session.execute_unpaged(&insert, Values(vec![key, ck, value, written, ttl])).await?;
    }
    let later = "USING TIMESTAMP 1750000001000000 WHERE pk";
    let changes = [
        format!("DELETE v FROM ks.kv {later} = 2 AND ck = 10"),
        format!("DELETE v FROM ks.kv {later} = 3 AND ck = 11"),
        format!("DELETE FROM ks.kv {later} = 4 AND ck = 12"),
        format!("DELETE FROM ks.kv {later} = 1 AND ck >= 0 AND ck < 39"),
        "UPDATE ks.kv USING TIMESTAMP 1750000002000000 SET v = 'newer' WHERE pk = 0 AND ck = 0".to_owned(),
    ];
    cql::run(session, &changes).await
}

fn int(bytes: &Bytes) -> Result<i32> {
    Ok(i32::from_be_bytes(bytes[..].try_into().context("an int of four bytes")?))
}
