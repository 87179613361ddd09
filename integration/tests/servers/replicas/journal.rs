//! The journal's own proof: what it expects is what Cassandra answers, for every table, before anything else uses it.

use anyhow::{Result, ensure};
use tidemark_integration::{
    compare, cql,
    journal::Journal,
    tables::{self, workload::Workload},
};

use super::{LAGGING, Shared};

/// Keyspace of the tables.
const KEYSPACE: &str = "journal";

/// Writes of every kind, of which one replica misses some, and a look at the tables.
pub(super) async fn what_it_expects_is_what_cassandra_answers(shared: &mut Shared) -> Result<()> {
    let Shared { source: cluster, session, .. } = shared;
    cql::run(session, &tables::create_keyspace(KEYSPACE, 3)).await?;
    let tables = tables::all();
    for table in &tables {
        cql::run(session, &table.create(KEYSPACE)).await?;
    }
    let mut journal = Journal::new(KEYSPACE, &tables);
    let mut workloads: Vec<_> = tables.iter().map(|table| (table.name, Workload::new(table, 1))).collect();
    for (table, workload) in &mut workloads {
        journal.write(session, table, [workload.load(), workload.changes(150)].concat()).await?;
    }
    let address = cluster.nodes()[LAGGING].address.clone();
    cluster.stop(LAGGING).await?;
    for (table, workload) in &mut workloads {
        journal.write_missed_by(session, table, workload.changes(150), &address).await?;
    }
    cluster.restart(LAGGING).await?;
    for (table, workload) in &mut workloads {
        journal.write(session, table, workload.changes(50)).await?;
    }
    journal.settle().await?;
    for table in journal.tables() {
        ensure!(!journal.disagreeing(session, table, &address)?.is_empty(), "{table}: nothing was missed");
        let found = compare::read(session, KEYSPACE, table).await?;
        journal.image(table)?.expect(table, &found)?;
    }
    Ok(())
}
