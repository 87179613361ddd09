//! Three nodes of 4.1, one of which missed writes of every kind.

use anyhow::Result;
use scylla::{client::session::Session, statement::Consistency};
use tidemark_integration::{
    cassandra::{Cluster, ClusterSpec, Release},
    compare, cql,
    journal::{Journal, lagging::KEYSPACE},
    tables::{self, Table, workload::Workload},
    tally::{self, Step, Tally},
    ties,
};

/// The replica that misses writes.
pub(super) const LAGGING: usize = 2;

/// The nodes, and what was written to them.
pub(super) struct Source<'a> {
    /// The nodes.
    pub cluster: Cluster,
    /// A session with them.
    pub session: Session,
    /// What the tables of `ks` must hold.
    pub journal: Journal,
    /// What those of `counted` must hold.
    pub tally: Tally,
    workloads: Vec<(&'static str, Workload<'a>)>,
}

impl<'a> Source<'a> {
    /// Starts them, makes these tables in `ks`, counters in `counted` and pairs of equal write times, and writes to all.
    pub(super) async fn start(tables: &'a [Table]) -> Result<Self> {
        let spec = ClusterSpec::new("releases", super::THREE, 3).with_release(Release::V4_1);
        let cluster = Cluster::start(spec).await?;
        let session = cql::connect(&cluster.contact_points()).await?;
        let journal = Journal::new(KEYSPACE, tables);
        let workloads = tables.iter().map(|table| (table.name, Workload::new(table, 61))).collect();
        let mut source = Self { cluster, session, journal, tally: Tally::default(), workloads };
        source.create(tables).await?;
        source.fill().await?;
        Ok(source)
    }

    async fn create(&self, tables: &[Table]) -> Result<()> {
        cql::run(&self.session, &tables::create_keyspace(KEYSPACE, 3)).await?;
        for table in tables {
            cql::run(&self.session, &table.create(KEYSPACE)).await?;
        }
        let counters = [
            "CREATE KEYSPACE counted WITH replication = {'class': 'SimpleStrategy', 'replication_factor': 3}",
            "CREATE TABLE counted.hits (pk int, ck int, st counter static, a counter, b counter, PRIMARY KEY (pk, ck))",
            "CREATE TABLE counted.plain (k int PRIMARY KEY, n counter)",
        ];
        cql::run(&self.session, &counters.map(str::to_owned)).await
    }

    async fn fill(&mut self) -> Result<()> {
        for (table, workload) in &mut self.workloads {
            self.journal.write(&self.session, table, workload.load()).await?;
        }
        ties::write_first(&self.session).await?;
        self.count(Consistency::All, additions(0..20)).await?;
        self.cluster.nodetool_everywhere(&["flush"])?;
        self.write(60).await?;
        let address = self.cluster.nodes()[LAGGING].address.clone();
        self.cluster.stop(LAGGING).await?;
        for (table, workload) in &mut self.workloads {
            self.journal.write_missed_by(&self.session, table, workload.changes(80), &address).await?;
        }
        ties::write_second(&self.session).await?;
        let deleted = [Step::DeleteRow((1, 1)), Step::DeletePartition(2), Step::DeleteCell((3, 3), 0)];
        self.count(Consistency::Quorum, additions(10..30).into_iter().chain(deleted).collect()).await?;
        self.cluster.restart(LAGGING).await?;
        self.journal.settle().await
    }

    async fn count(&mut self, level: Consistency, steps: Vec<Step>) -> Result<()> {
        tally::run(&self.session, "counted", level, &steps).await?;
        self.tally.apply(&steps);
        Ok(())
    }

    /// Has a node run 5.0 on its data.
    pub(super) async fn upgrade(&mut self, index: usize) -> Result<()> {
        self.cluster.upgrade(index, Release::V5_0).await?;
        self.session = cql::connect(&self.cluster.contact_points()).await?;
        Ok(())
    }

    /// As many changes of each table of the journal, which every replica gets.
    pub(super) async fn write(&mut self, changes: usize) -> Result<()> {
        for (table, workload) in &mut self.workloads {
            self.journal.write(&self.session, table, workload.changes(changes)).await?;
        }
        Ok(())
    }

    /// Fails unless a keyspace holds what the journal says.
    pub(super) async fn expect_restored(&self, session: &Session, keyspace: &str) -> Result<()> {
        for table in self.journal.tables() {
            let found = compare::read(session, keyspace, table).await?;
            self.journal.image(table)?.expect(&format!("{keyspace}.{table}"), &found)?;
        }
        Ok(())
    }
}

fn additions(partitions: std::ops::Range<i32>) -> Vec<Step> {
    let of = |pk: i32| {
        let row = move |ck: i32| [Step::Add((pk, ck), 0, i64::from(pk * ck) - 7), Step::Add((pk, ck), 1, 1)];
        let others = [Step::AddStatic(pk, i64::from(pk)), Step::AddPlain(pk, 5 - i64::from(pk))];
        (0..5).flat_map(row).chain(others)
    };
    partitions.flat_map(of).collect()
}
