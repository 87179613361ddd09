//! A table whose schema changes between versions: each version restores with its own schema, what Cassandra ignores of dropped
//! columns stays ignored, and no column ever gets the id of another.

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};
use scylla::client::session::Session;
use serde_json::Value;
use tidemark_integration::{
    compare::{self, TableImage},
    cql,
    system::{Restore, System},
};
use tidemark_web::api::Quality;

use super::Shared;

/// Steps: statements, of which a version is made at the end of each.
const STEPS: [&[&str]; 4] = [
    &[
        "CREATE TYPE changing.place (street text, zip int)",
        "CREATE TABLE changing.t (k int, c int, s int static, a int, b text, m map<text, int>, f frozen<place>, n place, \
         PRIMARY KEY (k, c)) WITH CLUSTERING ORDER BY (c DESC)",
        "INSERT INTO changing.t (k, c, s, a, b, m, f, n) VALUES \
         (1, 1, 7, 11, 'one', {'x': 1}, {street: 'A', zip: 1}, {street: 'B', zip: 2})",
        "INSERT INTO changing.t (k, c, a, b, m) VALUES (1, 2, 12, 'two', {'x': 2, 'y': 3})",
        "INSERT INTO changing.t (k, c, a) VALUES (2, 1, 21)",
    ],
    &[
        "ALTER TABLE changing.t ADD d bigint",
        "ALTER TABLE changing.t DROP a",
        "ALTER TABLE changing.t DROP m",
        "ALTER TABLE changing.t RENAME c TO c2",
        "ALTER TYPE changing.place ADD country text",
        "ALTER TYPE changing.place RENAME zip TO postcode",
        "INSERT INTO changing.t (k, c2, b, d, f) VALUES \
         (3, 1, 'three', 5000000000, {street: 'C', postcode: 3, country: 'AT'})",
        "UPDATE changing.t SET d = 6, n.country = 'CH' WHERE k = 1 AND c2 = 1",
        "DELETE FROM changing.t WHERE k = 1 AND c2 = 2",
    ],
    &[
        "ALTER TABLE changing.t ADD a int",
        "ALTER TABLE changing.t ADD m map<text, int>",
        "UPDATE changing.t SET a = 31, m = m + {'z': 9} WHERE k = 3 AND c2 = 1",
        // Older than the drop: Cassandra ignores it once it is in a file.
        "UPDATE changing.t USING TIMESTAMP 1000 SET a = 99, m = m + {'old': 9} WHERE k = 2 AND c2 = 1",
    ],
    &[
        "DROP TABLE changing.t",
        "CREATE TABLE changing.t (k text PRIMARY KEY, a int, v set<int>)",
        "INSERT INTO changing.t (k, a, v) VALUES ('new', 1, {1, 2})",
    ],
];

/// Each version restores with its own schema.
pub(super) async fn each_version_has_its_own_schema(shared: &Shared) -> Result<()> {
    let Shared { session, system, .. } = shared;
    let keyspace = "CREATE KEYSPACE changing WITH replication = {'class': 'SimpleStrategy', 'replication_factor': 1}";
    cql::run(session, &[keyspace.to_owned()]).await?;

    let mut states = Vec::new();
    for statements in STEPS {
        cql::run(session, &statements.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>()).await?;
        let version = system.protect("source", "changing/*", "changing", &["--write-level", "all"]).await?;
        ensure!(version.version.quality == Quality::Cut, "quality {}: {:?}", version.version.quality, version.contents);
        let ids = column_ids(system, &version.version.id)?;
        states.push((version.version.id, State::read(session, "changing").await?, ids));
    }
    expect_ignored(&states[2].1)?;
    expect_ids(&states.iter().map(|(_, _, ids)| ids).collect::<Vec<_>>())?;
    for (number, (version, state, _)) in states.iter().enumerate() {
        let into = format!("copy{number}");
        let restore =
            Restore { version, to: "source", from: "changing", into: &into, replication_factor: 1, more: &[] };
        system.restore(&restore).await?;
        state.expect(&into, &State::read(session, &into).await?)?;
    }
    Ok(())
}

/// What a keyspace holds: rows of its table, and what the server says of its columns and types.
struct State {
    rows: TableImage,
    schema: Vec<String>,
}

impl State {
    async fn read(session: &Session, keyspace: &str) -> Result<Self> {
        let columns = "SELECT column_name, kind, position, clustering_order, type FROM system_schema.columns \
                       WHERE keyspace_name = ?";
        let columns = session.query_unpaged(columns, (keyspace,)).await?.into_rows_result()?;
        let mut schema = Vec::new();
        for row in columns.rows::<(String, String, i32, String, String)>()? {
            schema.push(format!("{:?}", row?));
        }
        let types = "SELECT type_name, field_names, field_types FROM system_schema.types WHERE keyspace_name = ?";
        let types = session.query_unpaged(types, (keyspace,)).await?.into_rows_result()?;
        for row in types.rows::<(String, Vec<String>, Vec<String>)>()? {
            schema.push(format!("{:?}", row?));
        }
        Ok(Self { rows: compare::read(session, keyspace, "t").await?, schema })
    }

    fn expect(&self, name: &str, found: &Self) -> Result<()> {
        ensure!(self.schema == found.schema, "{name}: schema {:?}, expected {:?}", found.schema, self.schema);
        self.rows.expect(name, &found.rows)
    }
}

/// The third state shows what the test wrote after the columns were added again, and nothing from before.
fn expect_ignored(state: &State) -> Result<()> {
    let holders = |column: &str| {
        let rows = state.rows.rows.values();
        rows.filter(|row| row.columns.contains_key(column)).count()
    };
    let found = ["a", "m", "b", "d"].map(holders);
    ensure!(found == [1, 1, 2, 2], "rows with a, m, b and d: {found:?}");
    Ok(())
}

/// Ids of one version, by name.
pub(super) type Ids = BTreeMap<String, u64>;

fn expect_ids(ids: &[&Ids]) -> Result<()> {
    let [first, second, third, fourth] = ids else { anyhow::bail!("{} versions", ids.len()) };
    let last = |before: &[&Ids]| before.iter().flat_map(|ids| ids.values()).max().copied().unwrap_or(0);
    for name in ["k", "s", "b", "f", "n"] {
        ensure!(first[name] == second[name] && second[name] == third[name], "{name} changed its id: {ids:?}");
    }
    ensure!(first["c"] == second["c2"] && second["c2"] == third["c2"], "the renamed column changed its id: {ids:?}");
    ensure!(second["d"] > last(&ids[..1]), "an id was given again: {ids:?}");
    ensure!(third["a"].min(third["m"]) > last(&ids[..2]), "a column added again has an old id: {ids:?}");
    ensure!(fourth.values().min() > Some(&last(&ids[..3])), "a table created again has old ids: {ids:?}");
    Ok(())
}

/// Ids of the columns of a version's first table, read from the store's documents.
pub(super) fn column_ids(system: &System, version: &str) -> Result<Ids> {
    let page = system.document(text(&system.manifest(version)?["pages"][0]["key"])?)?;
    let entry = system.document(text(&page["lines"][0]["entry"]["key"])?)?;
    let columns = entry["content"]["columns"].as_array().context("no columns")?;
    columns.iter().map(|c| Ok((text(&c["name"])?.to_owned(), c["id"].as_u64().context("no id")?))).collect()
}

fn text(value: &Value) -> Result<&str> {
    value.as_str().with_context(|| format!("{value} is not text"))
}
