//! Random tables and histories end to end: what a reader sees at `ALL` is what a version holds and what comes back, on other
//! nodes and other tokens.
//!
//! `TIDEMARK_SEED` is the first schema's seed, `TIDEMARK_SCHEMAS` their number; without them it is a few schemas that have
//! every type and form between them. Of a table that fails, its seed and its definition are printed.

use std::{collections::HashMap, env};

use anyhow::{Context, Result, ensure};
use scylla::{
    client::session::Session,
    statement::{Consistency, prepared::PreparedStatement},
};
use tidemark_integration::{
    cassandra::Cluster,
    compare::{self, TableImage, alike},
    cql,
    environment::number,
    generate::{Event, History, Schema, Shape, forms, history::SERVER_TTL_SECONDS},
    journal::statement::{self, Statement},
    system::{Restore, System},
};
use tidemark_web::api::Quality;

use super::{LAGGING, Shared};

/// Seeds that have every type and form between them; of the first one, a field holds a map that its client sent out of order.
const SEEDS: [u64; 5] = [2, 1475, 1771, 1954, 1978];

const SHAPE: Shape = Shape { writes: 200, replicas: 3, files: 1, ttl_seconds: &SERVER_TTL_SECONDS };

struct Case {
    seed: u64,
    keyspace: String,
    schema: Schema,
    events: Vec<Event>,
}

/// What a version of a table counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Figures {
    rows: usize,
    static_rows: usize,
    disagreeing: usize,
}

impl Case {
    fn of(seed: u64) -> Self {
        let schema = Schema::of(seed);
        let events = History::of(&schema.table, SHAPE, seed);
        Self { seed, keyspace: format!("seed{seed}"), schema, events }
    }

    async fn create(&self, session: &Session) -> Result<()> {
        cql::run(session, &self.schema.create_keyspace(&self.keyspace, 3)).await?;
        cql::run(session, &self.schema.table.create(&self.keyspace)).await
    }

    /// Makes writes one after another at a consistency level.
    async fn write(&self, session: &Session, events: &[Event], level: Consistency) -> Result<()> {
        let mut prepared: HashMap<String, PreparedStatement> = HashMap::new();
        for event in events {
            let Statement { text, values, .. } = statement::of(&self.keyspace, &self.schema.table, &event.write);
            if !prepared.contains_key(&text) {
                let mut statement = session.prepare(text.as_str()).await.with_context(|| text.clone())?;
                statement.set_consistency(level);
                prepared.insert(text.clone(), statement);
            }
            let run = session.execute_unpaged(&prepared[&text], &values).await;
            run.with_context(|| format!("{text} with {values:?}"))?;
        }
        Ok(())
    }

    /// Protects and restores, and compares. Reading at `ALL` repairs what disagrees, so nothing is read before the capture.
    async fn there_and_back(&self, system: &System, session: &Session, other: &Session) -> Result<Figures> {
        let keyspace = self.keyspace.as_str();
        let version =
            system.protect("source", &format!("{keyspace}/*"), keyspace, &["--write-level", "quorum"]).await?;
        ensure!(version.version.quality == Quality::Cut, "quality {}: {:?}", version.version.quality, version.contents);
        let (id, into) = (version.version.id.as_str(), format!("{keyspace}_copy"));
        let restore =
            Restore { version: id, to: "single", from: keyspace, into: &into, replication_factor: 1, more: &[] };
        system.restore(&restore).await?;
        let seen = self.read(session, keyspace).await?;
        seen.expect("restored", &self.read(other, &into).await?)?;
        let totals = version.version.totals;
        let figures = Figures {
            rows: totals.rows.try_into()?,
            static_rows: totals.static_rows.try_into()?,
            disagreeing: totals.disagreeing_rows.try_into()?,
        };
        let expected = Figures { rows: seen.row_count(), static_rows: seen.static_count(), ..figures };
        ensure!(figures == expected, "{figures:?} in the version, {expected:?} at the source");
        Ok(figures)
    }

    async fn read(&self, session: &Session, keyspace: &str) -> Result<TableImage> {
        let image = compare::read(session, keyspace, self.schema.table.name).await?;
        Ok(alike::in_one_form(&self.schema.table, &image))
    }

    fn failed(&self, error: &anyhow::Error) -> String {
        let definition = [self.schema.create_keyspace("ks", 3), self.schema.table.create("ks")].concat().join("\n  ");
        format!("TIDEMARK_SEED={} TIDEMARK_SCHEMAS=1: {error:#}\n  {definition}", self.seed)
    }
}

/// The seeds that were asked for, or those that have everything.
fn seeds() -> Result<Vec<u64>> {
    match (env::var("TIDEMARK_SEED"), env::var("TIDEMARK_SCHEMAS")) {
        (Err(_), Err(_)) => Ok(SEEDS.to_vec()),
        _ => {
            let first = number("TIDEMARK_SEED", 1)?;
            Ok((first..first + number("TIDEMARK_SCHEMAS", 10)?).collect())
        }
    }
}

#[test]
fn a_few_schemas_have_every_type_and_form() {
    let cases = SEEDS.map(Case::of);
    let missing = forms::missing(cases.iter().map(|case| (&case.schema, &case.events[..])));
    assert!(missing.is_empty(), "none of seeds {SEEDS:?} has {missing:?}");
}

/// What readers see of any table is what comes back.
pub(super) async fn what_readers_see_of_any_table_is_what_comes_back(shared: &mut Shared) -> Result<()> {
    let cases: Vec<Case> = seeds()?.into_iter().map(Case::of).collect();
    write_with_a_lagging_replica(&mut shared.source, &shared.session, &cases).await?;
    let Shared { session, system, other, .. } = shared;
    let (mut sum, mut failures) = (Figures::default(), Vec::new());
    for case in &cases {
        match case.there_and_back(system, session, other).await {
            Ok(figures) => sum = sum.plus(figures),
            Err(error) => failures.push(case.failed(&error)),
        }
    }
    println!("{} tables: {sum:?}", cases.len());
    ensure!(failures.is_empty(), "{} tables failed:\n{}", failures.len(), failures.join("\n"));
    ensure!(sum.rows > 0 && sum.static_rows > 0 && sum.disagreeing > 0, "nothing was compared: {sum:?}");
    Ok(())
}

impl Figures {
    fn plus(self, other: Self) -> Self {
        Self {
            rows: self.rows + other.rows,
            static_rows: self.static_rows + other.static_rows,
            disagreeing: self.disagreeing + other.disagreeing,
        }
    }
}

/// Half of the writes reach all replicas, half miss one; one replica has the first half in a file.
async fn write_with_a_lagging_replica(source: &mut Cluster, session: &Session, cases: &[Case]) -> Result<()> {
    for case in cases {
        case.create(session).await?;
        case.write(session, &case.events[..SHAPE.writes / 2], Consistency::All).await?;
    }
    source.nodetool(0, &["flush"])?;
    source.stop(LAGGING).await?;
    for case in cases {
        case.write(session, &case.events[SHAPE.writes / 2..], Consistency::Quorum).await?;
    }
    source.restart(LAGGING).await
}
