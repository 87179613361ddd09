//! What a restore's plan looks at: the destination as it is now. All input and output of planning is here.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    time::Duration,
};

use futures::TryStreamExt;
use scylla::{client::session::Session, statement::Consistency, statement::unprepared::Statement};
use tidemark_gateway::{Env, causes::joined};
use tidemark_listener_core::failure::Failure;

use crate::{
    cluster::KeyspaceSchema,
    connect::{self, Out},
    describe::{self, Member},
    release::Release,
    restore::{
        schema::{cql::quote, functions::Languages},
        write::{
            size::WriteSizes,
            statements::ttl::{LAST_EXPIRY_2038, LAST_EXPIRY_2106},
        },
    },
    spec::CassandraSpec,
};

/// Names of the write timeout among settings, from 4.1 on and before.
const WRITE_TIMEOUT: [&str; 2] = ["write_request_timeout", "write_request_timeout_in_ms"];

/// Names of the write timeout of counters.
const COUNTER_TIMEOUT: [&str; 2] = ["counter_write_request_timeout", "counter_write_request_timeout_in_ms"];

/// Names of the setting that allows views, from 4.1 on and before.
const VIEWS_ALLOWED: [&str; 2] = ["materialized_views_enabled", "enable_materialized_views"];

/// Name of the setting that allows masks, from 5.0 on.
const MASKS_ALLOWED: &str = "dynamic_data_masking_enabled";

/// Names of the setting that allows user-defined functions, from 4.1 on and before.
const FUNCTIONS_ALLOWED: [&str; 2] = ["user_defined_functions_enabled", "enable_user_defined_functions"];

/// Names of the setting that allows those of other languages than Java.
const SCRIPTS_ALLOWED: [&str; 2] =
    ["scripted_user_defined_functions_enabled", "enable_scripted_user_defined_functions"];

/// Write timeout that is assumed where the destination does not tell its own.
const ASSUMED_WRITE_TIMEOUT: Duration = Duration::from_secs(10);

/// Looks at the versions of the schema until they agree.
const AGREEMENT_TRIES: u32 = 20;

/// Time between two such looks.
const AGREEMENT_WAIT: Duration = Duration::from_millis(500);

/// The destination as it was seen.
#[derive(Clone, Debug)]
pub struct Observed {
    /// Cluster name.
    pub cluster: String,
    /// Server version.
    pub release: String,
    /// Partitioner class.
    pub partitioner: String,
    /// Its nodes.
    pub nodes: Vec<ObservedNode>,
    /// What its nodes run, up or not.
    pub members: Vec<Member>,
    /// Storage compatibility modes of the nodes that are up, each with their addresses; none before 5.0.
    pub modes: BTreeMap<String, Vec<String>>,
    /// Versions of the schema of nodes that are up and do not agree, each with the host ids that have it.
    pub disagreement: BTreeMap<String, Vec<String>>,
    /// Its write timeout.
    pub write_timeout: Duration,
    /// Its write timeout for counters; never shorter than the other.
    pub counter_timeout: Duration,
    /// What it takes in one write.
    pub sizes: WriteSizes,
    /// Last expiry that it takes, s since 1970.
    pub last_expiry: u32,
    /// True where it lets materialised views be made.
    pub allows_views: bool,
    /// True where it lets columns be masked.
    pub allows_masks: bool,
    /// Languages of functions that it lets be made.
    pub functions: Languages,
    /// True where it asks roles for their rights.
    pub authorizes: bool,
    /// Our clock minus the destination's, ms.
    pub clock_offset_millis: i64,
    /// Keyspaces that exist among those asked for.
    pub keyspaces: Vec<KeyspaceSchema>,
    /// What the tables asked for hold, those that exist.
    pub contents: BTreeMap<(String, String), Contents>,
}

/// A node of the destination.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObservedNode {
    /// Its address.
    pub address: String,
    /// Its data centre.
    pub dc: String,
    /// True where the driver has a connection with it.
    pub up: bool,
}

/// What a table holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Contents {
    /// Nothing, read at ALL.
    Empty,
    /// Nothing, read at QUORUM because a replica is away.
    EmptyAtQuorum,
    /// At least one row.
    Rows,
    /// Could not be read.
    Unknown(String),
}

/// Why a cluster could not be looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unseen {
    /// In words.
    pub why: String,
    /// What to do about it.
    pub hint: &'static str,
    /// True where a later look may succeed.
    pub retryable: bool,
}

impl Unseen {
    /// The error of a run that needs to see its destination.
    #[must_use]
    pub fn into_error(self) -> Failure {
        let Self { why, hint, retryable } = self;
        Failure { retryable, ..Failure::new("TM-REST-0202", format!("look at the destination: {why}")) }.with_hint(hint)
    }
}

impl fmt::Display for Unseen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.why)
    }
}

impl From<connect::Error> for Unseen {
    fn from(error: connect::Error) -> Self {
        Self { why: joined(&error), hint: error.hint(), retryable: error.is_retryable() }
    }
}

impl From<describe::Error> for Unseen {
    fn from(error: describe::Error) -> Self {
        Self { why: joined(&error), hint: error.hint(), retryable: error.is_retryable() }
    }
}

/// Looks at the destination: its nodes, the keyspaces of these names, and whether these tables hold rows.
///
/// # Errors
/// [`Unseen`] where the destination cannot be reached or described.
pub async fn observe(
    spec: &CassandraSpec,
    keyspaces: &BTreeSet<String>,
    tables: &BTreeSet<(String, String)>,
    env: &Env,
) -> Result<Observed, Unseen> {
    let node = connect_any(spec).await?;
    let local = describe::local(&node).await?;
    let ring = describe::ring(&node, &local).await?;
    let settings = describe::all_settings(&node).await?;
    let clock_offset_millis = describe::clock_offset_millis(&node, env).await?;
    let known = describe::keyspace_names(&node).await?;
    let mut found = Vec::new();
    for keyspace in keyspaces.iter().filter(|k| known.contains(k)) {
        found.push(describe::keyspace_schema(&node, keyspace).await?);
    }
    let session = connect::connect(spec, keyspaces).await?;
    let up = connected(&session);
    let (members, disagreement) = agreement(&node, &up).await?;
    let modes = describe::modes(&session).await?;
    let nodes = ring.into_iter().map(|n| {
        let up = up.contains(&n.host_id);
        ObservedNode { address: n.address, dc: n.dc, up }
    });
    let contents = contents(&session, &found, tables).await;
    Ok(Observed {
        cluster: local.cluster,
        last_expiry: last_expiry(&settings, &local.release),
        sizes: WriteSizes::of(&settings),
        allows_views: VIEWS_ALLOWED.iter().any(|name| is_on(&settings, name)),
        allows_masks: is_on(&settings, MASKS_ALLOWED),
        functions: Languages {
            java: FUNCTIONS_ALLOWED.iter().any(|name| is_on(&settings, name)),
            others: SCRIPTS_ALLOWED.iter().any(|name| is_on(&settings, name)),
        },
        authorizes: settings.get("authorizer").is_some_and(|class| !class.contains("AllowAllAuthorizer")),
        release: local.release,
        partitioner: local.partitioner,
        nodes: nodes.collect(),
        members,
        modes,
        disagreement,
        write_timeout: write_timeout(&settings),
        counter_timeout: timeout(&settings, COUNTER_TIMEOUT).max(timeout(&settings, WRITE_TIMEOUT)),
        clock_offset_millis,
        keyspaces: found,
        contents,
    })
}

/// The members, and on which schemas those that are up do not agree. A change that was just made is given time to spread; what
/// a node had when it went down says nothing.
async fn agreement(
    node: &Session,
    up: &BTreeSet<String>,
) -> Result<(Vec<Member>, BTreeMap<String, Vec<String>>), describe::Error> {
    let mut tries = 0;
    loop {
        let local = describe::local(node).await?;
        let members = describe::members(node, &local).await?;
        let alive: Vec<Member> = members.iter().filter(|member| up.contains(&member.host_id)).cloned().collect();
        let disagreement = describe::disagreement(&alive);
        tries += 1;
        if disagreement.is_empty() || tries == AGREEMENT_TRIES {
            return Ok((members, disagreement));
        }
        tokio::time::sleep(AGREEMENT_WAIT).await;
    }
}

/// True where a setting is there and on.
fn is_on(settings: &BTreeMap<String, String>, name: &str) -> bool {
    settings.get(name).is_some_and(|value| value == "true")
}

/// A session with the first contact point that lets us in.
///
/// # Errors
/// [`Unseen`] with all reasons, and what to do about the first.
pub async fn connect_any(spec: &CassandraSpec) -> Result<Session, Unseen> {
    let credentials = connect::credentials(spec)?;
    let mut reasons: Vec<Unseen> = Vec::new();
    for address in &spec.contact {
        match connect::connect_node(address, credentials.as_ref()).await {
            Ok(session) => return Ok(session),
            Err(error) => reasons.push(error.into()),
        }
    }
    let hint = reasons.first().map_or("name a contact point", |first| first.hint);
    let retryable = reasons.iter().any(|reason| reason.retryable);
    Err(Unseen { why: reasons.into_iter().map(|reason| reason.why).collect::<Vec<_>>().join("; "), hint, retryable })
}

/// Host ids of the nodes that the driver is connected with.
fn connected(session: &Session) -> BTreeSet<String> {
    let state = session.get_cluster_state();
    state.get_nodes_info().iter().filter(|n| n.is_connected()).map(|n| n.host_id.to_string()).collect()
}

async fn contents(
    session: &Session,
    keyspaces: &[KeyspaceSchema],
    tables: &BTreeSet<(String, String)>,
) -> BTreeMap<(String, String), Contents> {
    let mut found = BTreeMap::new();
    for (keyspace, table) in tables {
        let schema = keyspaces.iter().find(|k| k.name == *keyspace);
        if schema.is_some_and(|k| k.tables.iter().any(|t| t.name == *table)) {
            found.insert((keyspace.clone(), table.clone()), content(session, keyspace, table).await);
        }
    }
    found
}

async fn content(session: &Session, keyspace: &str, table: &str) -> Contents {
    match first_row(session, keyspace, table, Consistency::All).await {
        Ok(true) => return Contents::Rows,
        Ok(false) => return Contents::Empty,
        Err(_) => {}
    }
    match first_row(session, keyspace, table, Consistency::Quorum).await {
        Ok(true) => Contents::Rows,
        Ok(false) => Contents::EmptyAtQuorum,
        Err(why) => Contents::Unknown(why),
    }
}

/// True where a table holds a row. One row is asked for, but the answer may come late where there are many tombstones.
async fn first_row(session: &Session, keyspace: &str, table: &str, level: Consistency) -> Result<bool, String> {
    let mut query = Statement::new(format!("SELECT * FROM {}.{} LIMIT 1", quote(keyspace), quote(table)));
    query.set_consistency(level);
    let pager = session.query_iter(query, ()).await.map_err(|e| joined(&e))?;
    let mut rows = pager.rows_stream::<Out>().map_err(|e| joined(&e))?;
    rows.try_next().await.map(|row| row.is_some()).map_err(|e| joined(&e))
}

/// The last expiry that a server takes: until 5.0 and in the mode that 5.0 starts with, expiries are signed numbers. In a
/// mode between the two the server decides.
fn last_expiry(settings: &BTreeMap<String, String>, release: &str) -> u32 {
    let mode = settings.get("storage_compatibility_mode").map_or("CASSANDRA_4", String::as_str);
    match Release::of(release) >= Some(Release::V5_0) && !mode.eq_ignore_ascii_case("CASSANDRA_4") {
        true => LAST_EXPIRY_2106,
        false => LAST_EXPIRY_2038,
    }
}

/// The write timeout among a server's settings.
pub fn write_timeout(settings: &BTreeMap<String, String>) -> Duration {
    timeout(settings, WRITE_TIMEOUT)
}

/// A timeout among settings, by its names: `2000ms`, `2s`, or milliseconds in 4.0.
fn timeout(settings: &BTreeMap<String, String>, names: [&str; 2]) -> Duration {
    let told = names.iter().find_map(|name| settings.get(*name));
    told.and_then(|text| parse_duration(text)).unwrap_or(ASSUMED_WRITE_TIMEOUT)
}

fn parse_duration(text: &str) -> Option<Duration> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let number: u64 = text[..digits].parse().ok()?;
    match text[digits..].trim() {
        "" | "ms" => Some(Duration::from_millis(number)),
        "s" => Some(Duration::from_secs(number)),
        "m" => Some(Duration::from_secs(number.checked_mul(60)?)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_new_files_hold_late_expiries() {
        let mode = |mode: &str| BTreeMap::from([("storage_compatibility_mode".to_owned(), mode.to_owned())]);
        assert_eq!(last_expiry(&BTreeMap::new(), "5.0.9"), LAST_EXPIRY_2038);
        assert_eq!(last_expiry(&mode("CASSANDRA_4"), "5.0.9"), LAST_EXPIRY_2038);
        assert_eq!(last_expiry(&mode("NONE"), "5.0.9"), LAST_EXPIRY_2106);
        assert_eq!(last_expiry(&mode("NONE"), "4.1.10"), LAST_EXPIRY_2038);
    }

    #[test]
    fn write_timeouts_are_read_as_each_version_tells_them() {
        let of =
            |name: &str, value: &str| timeout(&BTreeMap::from([(name.to_owned(), value.to_owned())]), WRITE_TIMEOUT);
        assert_eq!(of("write_request_timeout", "2000ms"), Duration::from_secs(2));
        assert_eq!(of("write_request_timeout", "3s"), Duration::from_secs(3));
        assert_eq!(of("write_request_timeout_in_ms", "2500"), Duration::from_millis(2500));
        assert_eq!(of("other", "1s"), ASSUMED_WRITE_TIMEOUT);
        assert_eq!(of("write_request_timeout", "soon"), ASSUMED_WRITE_TIMEOUT);
    }
}
