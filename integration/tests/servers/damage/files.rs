//! Files of a real node's snapshot, harmed at random and read in process: `TIDEMARK_FLIPS` and `TIDEMARK_CUTS` say how many
//! times for compressed tables and for others, `TIDEMARK_SEED` which; `make soak` asks for ten times as many.

use std::{fmt, fs};

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use tidemark_integration::{
    cassandra::{Cluster, ClusterSpec},
    cql,
    damage::{
        Bench, Draw, Outcome, Shelf, Tally,
        draw::{self, Boundaries},
        harm::{files_in, table_directory},
        tally::Place,
    },
    environment::number,
    journal::Journal,
    paths,
    tables::{self, Table, workload::Workload},
};

/// Loopback network of this test.
const GROUP: u8 = 70;
/// Components that nothing is read of.
const UNUSED: [&str; 4] = ["Index.db", "Summary.db", "Filter.db", "schema.cql"];
/// Components of which every byte is covered by a checksum or compared.
const COVERED: [&str; 3] = ["Data.db", "Statistics.db", "Digest.crc32"];

/// How much is tried, of compressed tables and of others.
#[derive(Clone, Copy, Debug)]
struct Plan {
    flips: usize,
    cuts: usize,
    seed: u64,
}

impl Plan {
    fn from_environment() -> Result<Self> {
        let flips = usize::try_from(number("TIDEMARK_FLIPS", 500)?)?;
        let cuts = usize::try_from(number("TIDEMARK_CUTS", 50)?)?;
        Ok(Self { flips, cuts, seed: number("TIDEMARK_SEED", 1)? })
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn damaged_files_are_reported_or_change_no_row() -> Result<()> {
    if !paths::cassandra_or_skip("damaged_files_are_reported_or_change_no_row") {
        return Ok(());
    }
    let plan = Plan::from_environment()?;
    println!("{plan:?}");
    let groups = [("compressed", pick(&["collections", "statics"])), ("uncompressed", uncompressed())];
    let tables: Vec<Table> = groups.iter().flat_map(|(_, tables)| tables.clone()).collect();
    let cluster = Cluster::start(ClusterSpec::new("damage", GROUP, 1)).await?;
    let journal = write(&cluster, &tables).await?;
    let names: Vec<&str> = tables.iter().map(|table| table.name).collect();
    let shelf = Shelf::fill(&cluster, "ks", &names).await?;
    let mut drawn = Draw::new(plan.seed);
    for (kind, tables) in &groups {
        let mut benches = Vec::new();
        for table in tables {
            let bench = Bench::new(&shelf, table.name).await?;
            expect_rows(&bench, &journal, table.name)?;
            expect_foreign_refused(&bench).await?;
            let boundaries = boundaries(&cluster, &bench, table.name)?;
            benches.push((bench, boundaries));
        }
        let tally = Tallies::run(&mut drawn, &benches, plan).await?;
        println!("{kind}, reported of tried: {tally}");
        tally.expect(&benches)?;
    }
    Ok(())
}

/// The tables of these names, of those that all tests use.
fn pick(names: &[&str]) -> Vec<Table> {
    tables::all().into_iter().filter(|table| names.contains(&table.name)).collect()
}

/// Tables without compression: one that is so anyway, and static columns.
fn uncompressed() -> Vec<Table> {
    let plain = |table| Table { name: "statics_plain", options: vec!["compression = {'enabled': false}"], ..table };
    pick(&["deletions"]).into_iter().chain(pick(&["statics"]).into_iter().map(plain)).collect()
}

/// Writes of every kind, in two SSTables of each table.
async fn write(cluster: &Cluster, tables: &[Table]) -> Result<Journal> {
    let session = cql::connect(&cluster.contact_points()).await?;
    cql::run(&session, &tables::create_keyspace("ks", 1)).await?;
    for table in tables {
        cql::run(&session, &table.create("ks")).await?;
    }
    cluster.nodetool(0, &["disableautocompaction", "ks"])?;
    let mut journal = Journal::new("ks", tables);
    let mut workloads: Vec<_> = tables.iter().map(|table| (table.name, Workload::new(table, 42))).collect();
    for (table, workload) in &mut workloads {
        journal.write(&session, table, workload.load()).await?;
    }
    cluster.nodetool(0, &["flush", "ks"])?;
    for (table, workload) in &mut workloads {
        journal.write(&session, table, workload.changes(200)).await?;
    }
    journal.settle().await?;
    Ok(journal)
}

/// The whole snapshot holds the rows that the journal knows, so that it is worth comparing with.
fn expect_rows(bench: &Bench, journal: &Journal, table: &str) -> Result<()> {
    let image = journal.image(table)?;
    let expected = (image.row_count() as u64, image.static_count() as u64);
    let found = bench.whole().rows();
    ensure!(found == expected, "{table}: rows and static rows are {found:?}, expected {expected:?}");
    let sstables = bench.files().iter().filter(|(name, _)| name.ends_with("-Data.db")).count();
    ensure!(sstables == 2, "{table} has {sstables} SSTables, not 2");
    Ok(())
}

/// Of another version by name nothing is shipped, and the table says why.
async fn expect_foreign_refused(bench: &Bench) -> Result<()> {
    for version in ["mc", "me", "zz"] {
        let outcome = bench.foreign(version).await?;
        let Outcome::Refused(why) = &outcome else { anyhow::bail!("{}, {version}: {outcome:?}", bench.object()) };
        let named = why.contains(&format!("{version}-1-big-Data.db")) && why.contains(&format!(" {version}-big "));
        ensure!(named, "{}, {version}: {why}", bench.object());
    }
    Ok(())
}

/// Where a cut of each Data.db leaves whole chunks or, in files without compression, whole partitions.
fn boundaries(cluster: &Cluster, bench: &Bench, table: &str) -> Result<Boundaries> {
    let mut found = Boundaries::new();
    for (name, _) in files_in(&bench.directory())?.into_iter().filter(|(name, _)| name.ends_with("-Data.db")) {
        let info = bench.directory().join(name.replace("-Data.db", "-CompressionInfo.db"));
        let offsets = if info.is_file() {
            chunk_offsets(&fs::read(info)?)?
        } else {
            let live = table_directory(&cluster.nodes()[0].data_dir(), "ks", table)?.join(&name);
            partition_offsets(&cluster.tool(0, "sstabledump", &[&live.to_string_lossy()])?)?
        };
        found.insert(name, offsets);
    }
    Ok(found)
}

/// Offsets of the chunks: they end CompressionInfo.db, eight bytes each, behind their number.
fn chunk_offsets(info: &[u8]) -> Result<Vec<u64>> {
    let count = (1..).take_while(|count| 8 * count + 4 <= info.len()).find(|count| {
        let (head, _) = info.split_at(info.len() - 8 * count);
        head.ends_with(&u32::try_from(*count).unwrap_or(0).to_be_bytes())
    });
    let table = &info[info.len() - 8 * count.context("chunks of CompressionInfo.db")?..];
    Ok(table.chunks_exact(8).map(|offset| offset.iter().fold(0, |sum, byte| sum << 8 | u64::from(*byte))).collect())
}

/// Offsets of the partitions, as Cassandra's own tool tells them.
fn partition_offsets(dump: &str) -> Result<Vec<u64>> {
    let partitions: Vec<Value> = serde_json::from_str(dump).context("sstabledump")?;
    let offset = |partition: &Value| partition["partition"]["position"].as_u64().context("position of a partition");
    partitions.iter().map(offset).collect()
}

/// Counts by what was done.
#[derive(Debug, Default)]
struct Tallies {
    flips: Tally,
    cuts: Tally,
    removals: Tally,
    staged: Tally,
}

impl fmt::Display for Tallies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { flips, cuts, removals, staged } = self;
        write!(f, "\n  flips: {flips}\n  cuts: {cuts}\n  removals: {removals}\n  staged: {staged}")
    }
}

impl Tallies {
    async fn run(drawn: &mut Draw, benches: &[(Bench, Boundaries)], plan: Plan) -> Result<Self> {
        let mut tallies = Self::default();
        for (bench, boundaries) in benches {
            let share = |count: usize| count.div_ceil(benches.len());
            tallies.flips.run(bench, Place::Node, &drawn.flips(bench, share(plan.flips))).await?;
            tallies.cuts.run(bench, Place::Node, &drawn.cuts(bench, boundaries, share(plan.cuts))).await?;
            tallies.removals.run(bench, Place::Node, &draw::removals(bench)).await?;
            tallies.staged.run(bench, Place::Store, &drawn.staged(bench, share(plan.cuts))).await?;
        }
        let drawn = (tallies.flips.tried(), tallies.cuts.tried());
        ensure!(drawn.0 >= plan.flips && drawn.1 >= plan.cuts, "{drawn:?} were drawn");
        Ok(tallies)
    }

    /// Every file was hit, and what every byte counts of was never missed.
    fn expect(&self, benches: &[(Bench, Boundaries)]) -> Result<()> {
        for (name, _) in benches.iter().flat_map(|(bench, _)| bench.files()) {
            let component = name.splitn(4, '-').nth(3).unwrap_or(name);
            let (flips, removals) = (self.flips.of(component), self.removals.of(component));
            ensure!(flips.tried > 0 && removals.tried > 0, "{component} was never hit");
            if UNUSED.contains(&component) {
                ensure!(flips.reported + removals.reported == 0, "{component} is not read, but was reported");
            }
            if COVERED.contains(&component) {
                ensure!(flips.reported == flips.tried, "flips in {component} were missed: {flips:?}");
                ensure!(removals.reported == removals.tried, "{component} was not missed: {removals:?}");
            }
        }
        let cuts = self.cuts.of("Data.db");
        ensure!(cuts.tried > 0 && cuts.reported == cuts.tried, "cuts of Data.db were missed: {cuts:?}");
        ensure!(self.staged.of("Data.db").reported > 0, "nothing of what was staged was reported: {}", self.staged);
        Ok(())
    }
}
