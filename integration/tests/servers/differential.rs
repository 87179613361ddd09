//! The merge against Cassandra's own.
//!
//! Random tables and histories that collide (`generate`): Cassandra's writer makes the files of three replicas that differ, each
//! in a format and with a compressor that follow from the seed; one node gets the files of all three and compacts them, into a
//! format that follows from the seed, too. What it makes of them must be what ours makes, atom by atom in normal form: equal
//! where `gc_grace_seconds` reaches back before everything, and equal but for what may be purged where it does not.
//!
//! `TIDEMARK_SEED` is the first schema's seed, `TIDEMARK_SCHEMAS` their number; the seeds of schemas that fail are printed.

mod case;
mod compare;
mod format;
mod tally;

use std::path::Path;

use anyhow::{Result, ensure};
use case::{Case, TABLES};
use format::Format;
use tally::Tally;
use tidemark_gateway::Env;
use tidemark_integration::{
    cassandra::{Cluster, ClusterSpec, offline::Offline},
    cql,
    environment::number,
    paths,
    sstables::Script,
};
use tidemark_listener_cassandra::describe;

/// Schemas that one node holds at a time.
const SCHEMAS_PER_ROUND: usize = 25;

#[tokio::test]
async fn what_cassandra_compacts_is_what_we_merge() -> Result<()> {
    if !paths::cassandra_or_skip("what_cassandra_compacts_is_what_we_merge") {
        return Ok(());
    }
    let (first, schemas) = (number("TIDEMARK_SEED", 1)?, number("TIDEMARK_SCHEMAS", 10)?);
    let seeds: Vec<u64> = (first..first + schemas).collect();
    let mut tally = Tally::default();
    for seeds in seeds.chunks(SCHEMAS_PER_ROUND) {
        round(seeds, &mut tally).await?;
    }
    println!("{tally}");
    ensure!(tally.failures.is_empty(), "{}", tally.failures.join("\n"));
    // Few schemas need not have everything.
    if schemas >= 10 { tally.is_telling() } else { Ok(()) }
}

/// Writes, compacts and compares the schemas of some seeds.
async fn round(seeds: &[u64], tally: &mut Tally) -> Result<()> {
    let env = Env::system();
    let cases: Vec<Case> = seeds.iter().map(|seed| Case::of(*seed)).collect();
    let mut cluster = Cluster::start(ClusterSpec::new("differential", 100, 1)).await?;
    let session = cql::connect(&cluster.contact_points()).await?;
    for case in &cases {
        cql::run(&session, &case.create(env.now().as_second())).await?;
    }
    let keyspaces: Vec<String> = cases.iter().map(|case| case.keyspace.clone()).collect();
    let capture = describe::node_capture(&session, &keyspaces, &env).await?;
    let files = cluster.home().join("files");
    let mut script = Script::default();
    cases.iter().for_each(|case| case.write(&mut script, &files));
    script.run(&Offline::new(Format::Da.settings())?)?;
    for format in Format::ALL {
        let cases: Vec<&Case> = cases.iter().filter(|case| case.format == format).collect();
        if cases.is_empty() {
            continue;
        }
        let at_seconds = compact(&mut cluster, &cases, format, &files).await?;
        let data = cluster.nodes()[0].data_dir();
        for (case, table) in cases.iter().flat_map(|case| TABLES.map(|table| (case, table))) {
            case.compare(table, &capture, &files, &data, at_seconds, tally)?;
        }
    }
    Ok(())
}

/// Has the node compact these schemas' files into a format; returns a moment before it did, s since 1970.
async fn compact(cluster: &mut Cluster, cases: &[&Case], format: Format, files: &Path) -> Result<u32> {
    cluster.stop(0).await?;
    format.settings().iter().for_each(|(name, value)| cluster.set(name, value));
    let data = cluster.nodes()[0].data_dir();
    cases.iter().try_for_each(|case| case.place(files, &data))?;
    cluster.restart(0).await?;
    let at_seconds = u32::try_from(Env::system().now().as_second())?;
    cluster.nodetool(0, &["compact"])?;
    cluster.nodetool(0, &["snapshot", "-t", &format.snapshot()])?;
    Ok(at_seconds)
}
