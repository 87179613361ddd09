//! The journal's own proof: what it expects is what Cassandra answers, for every table, before anything else uses it.

use anyhow::Result;
use tidemark_integration::{
    cassandra::{Cluster, ClusterSpec},
    compare, cql,
    journal::Journal,
    paths,
    tables::{self, workload::Workload},
};

#[tokio::test]
async fn the_journal_expects_what_cassandra_answers() -> Result<()> {
    if !paths::cassandra_or_skip("the_journal_expects_what_cassandra_answers") {
        return Ok(());
    }
    let mut cluster = Cluster::start(ClusterSpec::new("journal", 2, 3)).await?;
    let session = cql::connect(&cluster.contact_points()).await?;
    cql::run(&session, &tables::create_keyspace("ks", 3)).await?;
    let tables = tables::all();
    for table in &tables {
        cql::run(&session, &table.create("ks")).await?;
    }
    let mut journal = Journal::new("ks", &tables);
    let mut workloads: Vec<_> = tables.iter().map(|table| (table.name, Workload::new(table, 1))).collect();
    for (table, workload) in &mut workloads {
        journal.write(&session, table, [workload.load(), workload.changes(150)].concat()).await?;
    }
    let address = cluster.nodes()[2].address.clone();
    cluster.stop(2).await?;
    for (table, workload) in &mut workloads {
        journal.write_missed_by(&session, table, workload.changes(150), &address).await?;
    }
    cluster.restart(2).await?;
    for (table, workload) in &mut workloads {
        journal.write(&session, table, workload.changes(50)).await?;
    }
    journal.settle().await?;
    for table in journal.tables() {
        assert!(!journal.disagreeing(&session, table, &address)?.is_empty(), "{table}: nothing was missed");
        let found = compare::read(&session, "ks", table).await?;
        journal.image(table)?.expect(table, &found)?;
    }
    Ok(())
}
