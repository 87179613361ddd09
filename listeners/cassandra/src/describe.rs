//! What one node says about itself, its ring and its schema, read over CQL from that node alone.
//!
//! Everything is read through a session of [`connect_node`](crate::connect::connect_node): two nodes may disagree about the
//! schema or the ring, and consolidation must see who said what.

use std::{collections::BTreeMap, net::IpAddr};

use futures::TryStreamExt;
use scylla::{
    client::session::Session,
    deserialize::{TypeCheckError, row::DeserializeRow},
    errors::{NextRowError, PagerExecutionError},
    statement::unprepared::Statement,
    value::CqlTimestamp,
};
use tidemark_gateway::Env;
use tidemark_listener_core::source::LiveObject;
use uuid::Uuid;

use crate::{
    cluster::{KeyspaceSchema, NodeCapture, RingNode},
    connect::{Caused, Retryable},
};

mod live;
mod members;
mod schema;
mod support;

pub use live::{Ghost, Live, NoRing};
pub use members::{Member, disagreement, members, modes, releases};
pub use schema::{TRIGGER, is_system_keyspace, keyspace_names, keyspace_schema, views};
pub use support::{Support, support};

/// Settings that are kept with a capture, besides every name that starts with `sstable`: 4.0 says `…_in_ms` where later
/// versions do not.
const SETTINGS: [&str; 26] = [
    "authorizer",
    "auto_snapshot",
    "cdc_enabled",
    "commitlog_sync",
    "commitlog_sync_group_window",
    "commitlog_sync_period",
    "commitlog_sync_period_in_ms",
    "counter_write_request_timeout",
    "counter_write_request_timeout_in_ms",
    "dynamic_data_masking_enabled",
    "enable_materialized_views",
    "enable_scripted_user_defined_functions",
    "enable_user_defined_functions",
    "hinted_handoff_enabled",
    "incremental_backups",
    "materialized_views_enabled",
    "max_hint_window",
    "max_hint_window_in_ms",
    "memtable_allocation_type",
    "scripted_user_defined_functions_enabled",
    "storage_compatibility_mode",
    "transient_replication_enabled",
    "user_defined_functions_enabled",
    "uuid_sstable_identifiers_enabled",
    "write_request_timeout",
    "write_request_timeout_in_ms",
];

/// Why a node could not be described.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The query was refused, or the node did not answer.
    #[error("read {what}")]
    Query {
        /// Table or statement.
        what: &'static str,
        /// Why.
        source: Box<PagerExecutionError>,
    },
    /// The answer broke off, or a row of it cannot be read.
    #[error("read rows of {what}")]
    Rows {
        /// Table or statement.
        what: &'static str,
        /// Why.
        source: Box<NextRowError>,
    },
    /// The columns are not those of the Cassandra versions that are supported.
    #[error("{what} does not have the columns of Cassandra 4.0 to 5.0")]
    Columns {
        /// Table or statement.
        what: &'static str,
        /// Which one is not.
        source: TypeCheckError,
    },
    /// A row that every node has is not there.
    #[error("{what} says nothing about {subject}")]
    Missing {
        /// Table or statement.
        what: &'static str,
        /// What was looked for.
        subject: String,
    },
}

impl Error {
    /// True where the same call may succeed later.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Query { source, .. } => source.is_retryable(),
            Self::Rows { source, .. } => source.is_retryable(),
            Self::Columns { .. } => false,
            // A keyspace that was dropped between two reads, or a node that is still starting.
            Self::Missing { .. } => true,
        }
    }

    /// What to do about it.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Query { source, .. } => source.cause().hint(),
            Self::Rows { source, .. } => source.cause().hint(),
            Self::Columns { .. } => "only Cassandra 4.0 to 5.0 can be read",
            Self::Missing { .. } => "the node may still be starting, or a keyspace was dropped just now: try again",
        }
    }
}

/// A node's own row, `system.local`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LocalNode {
    /// Cluster name.
    pub cluster: String,
    /// Server version, for example `5.0.9`.
    pub release: String,
    /// Partitioner class.
    pub partitioner: String,
    /// Version of the schema that the node knows, UUID text.
    pub schema_version: String,
    /// Another one with each start of its process.
    pub generation: i32,
    /// Its place in the ring.
    pub node: RingNode,
    /// Table id (32 hex digits) → hex of the 20-byte record of its last TRUNCATE.
    pub truncated_at: BTreeMap<String, String>,
}

/// All rows of an answer, page by page. There are no values to bind: with values the driver prepares the statement, and a node
/// whose cache is full of statements in use forgets it before it is executed.
async fn rows<R>(
    session: &Session,
    what: &'static str,
    query: impl Into<Statement>,
    no_values: (),
) -> Result<Vec<R>, Error>
where
    R: for<'frame, 'metadata> DeserializeRow<'frame, 'metadata> + 'static,
{
    let pager = session.query_iter(query, no_values).await;
    let pager = pager.map_err(|source| Error::Query { what, source: Box::new(source) })?;
    let stream = pager.rows_stream::<R>().map_err(|source| Error::Columns { what, source })?;
    stream.try_collect().await.map_err(|source| Error::Rows { what, source: Box::new(source) })
}

#[derive(scylla::DeserializeRow)]
struct LocalRow {
    host_id: Uuid,
    cluster_name: String,
    release_version: String,
    partitioner: String,
    schema_version: Uuid,
    gossip_generation: i32,
    data_center: String,
    rack: String,
    tokens: Option<Vec<String>>,
    truncated_at: Option<BTreeMap<Uuid, Vec<u8>>>,
    rpc_address: IpAddr,
    rpc_port: i32,
}

/// The node's own row.
///
/// # Errors
/// [`Error`].
pub async fn local(session: &Session) -> Result<LocalNode, Error> {
    const QUERY: &str = "SELECT host_id, cluster_name, release_version, partitioner, schema_version, \
                         gossip_generation, data_center, rack, tokens, truncated_at, rpc_address, rpc_port FROM system.local WHERE key = 'local'";
    let what = "system.local";
    let found: Vec<LocalRow> = rows(session, what, QUERY, ()).await?;
    let row = found.into_iter().next().ok_or_else(|| Error::Missing { what, subject: "the node".into() })?;
    Ok(LocalNode {
        node: RingNode {
            host_id: row.host_id.to_string(),
            address: address(row.rpc_address, row.rpc_port),
            dc: row.data_center,
            rack: row.rack,
            tokens: sorted_tokens(row.tokens),
        },
        cluster: row.cluster_name,
        release: row.release_version,
        partitioner: row.partitioner,
        schema_version: row.schema_version.to_string(),
        generation: row.gossip_generation,
        truncated_at: truncations(row.truncated_at),
    })
}

fn address(ip: IpAddr, port: i32) -> String {
    match ip {
        IpAddr::V4(ip) => format!("{ip}:{port}"),
        IpAddr::V6(ip) => format!("[{ip}]:{port}"),
    }
}

/// Tokens in ascending order of their numbers; what is no number keeps its place at the end, for the reader to refuse.
fn sorted_tokens(tokens: Option<Vec<String>>) -> Vec<String> {
    let mut tokens = tokens.unwrap_or_default();
    tokens
        .sort_by_cached_key(|token| (token.parse::<i64>().map_or((true, 0), |number| (false, number)), token.clone()));
    tokens
}

fn truncations(records: Option<BTreeMap<Uuid, Vec<u8>>>) -> BTreeMap<String, String> {
    let line = |(id, record): (Uuid, Vec<u8>)| (id.simple().to_string(), hex::encode(record));
    records.unwrap_or_default().into_iter().map(line).collect()
}

#[derive(scylla::DeserializeRow)]
struct PeerRow {
    peer: IpAddr,
    peer_port: i32,
    host_id: Option<Uuid>,
    native_address: Option<IpAddr>,
    native_port: Option<i32>,
    data_center: Option<String>,
    rack: Option<String>,
    tokens: Option<Vec<String>>,
    schema_version: Option<Uuid>,
    release_version: Option<String>,
}

async fn peers(session: &Session) -> Result<Vec<PeerRow>, Error> {
    const QUERY: &str = "SELECT peer, peer_port, host_id, native_address, native_port, data_center, rack, tokens, schema_version, \
                         release_version FROM system.peers_v2";
    rows(session, "system.peers_v2", QUERY, ()).await
}

/// A peer as a member of the ring. Rows without host id or address belong to nodes that have left or are about to join:
/// they own nothing.
fn member(row: PeerRow) -> Option<RingNode> {
    Some(RingNode {
        host_id: row.host_id?.to_string(),
        address: address(row.native_address?, row.native_port.unwrap_or(9042)),
        dc: row.data_center?,
        rack: row.rack?,
        tokens: sorted_tokens(row.tokens),
    })
}

/// The ring as the node sees it, itself included, sorted by host id.
///
/// # Errors
/// [`Error`].
pub async fn ring(session: &Session, local: &LocalNode) -> Result<Vec<RingNode>, Error> {
    let mut ring: Vec<RingNode> = peers(session).await?.into_iter().filter_map(member).collect();
    ring.push(local.node.clone());
    ring.sort_by(|a, b| a.host_id.cmp(&b.host_id));
    Ok(ring)
}

/// The members as the node's system tables have them, itself included, by the address that nodes speak to each other on. There
/// may be rows of nodes that are gone.
///
/// # Errors
/// [`Error`].
pub async fn known(session: &Session, local: &LocalNode) -> Result<Vec<Known>, Error> {
    let known = |row: PeerRow| {
        let (peer, port) = (row.peer, row.peer_port);
        Known { peer: address(peer, port), ip: peer.to_string(), port, node: member(row) }
    };
    let mut all: Vec<Known> = peers(session).await?.into_iter().map(known).collect();
    let query = "SELECT broadcast_address, broadcast_port FROM system.local WHERE key = 'local'";
    let own: Vec<(IpAddr, i32)> = rows(session, "system.local", query, ()).await?;
    let own = own.into_iter().map(|(ip, port)| Known {
        peer: address(ip, port),
        ip: ip.to_string(),
        port,
        node: Some(local.node.clone()),
    });
    all.extend(own);
    Ok(all)
}

/// A row about a member in a node's system tables.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Known {
    /// Where other nodes speak to it, `address:port`.
    pub peer: String,
    /// The address alone.
    pub ip: String,
    /// The port alone.
    pub port: i32,
    /// The member, where the row says all of it.
    pub node: Option<RingNode>,
}

/// The settings that are kept with a capture, by name; settings without a value are left out.
///
/// # Errors
/// [`Error`].
pub async fn settings(session: &Session) -> Result<BTreeMap<String, String>, Error> {
    let kept = |name: &str| SETTINGS.contains(&name) || name.starts_with("sstable");
    Ok(all_settings(session).await?.into_iter().filter(|(name, _)| kept(name)).collect())
}

/// All settings, by name; settings without a value are left out.
///
/// # Errors
/// [`Error`].
pub async fn all_settings(session: &Session) -> Result<BTreeMap<String, String>, Error> {
    let found: Vec<(String, Option<String>)> =
        rows(session, "system_views.settings", "SELECT name, value FROM system_views.settings", ()).await?;
    Ok(found.into_iter().filter_map(|(name, value)| Some((name, value?))).collect())
}

/// The host's clock minus the node's own, ms: the host's is read before and after one request, and its middle counts.
///
/// # Errors
/// [`Error`].
pub async fn clock_offset_millis(session: &Session, env: &Env) -> Result<i64, Error> {
    let what = "the node's clock";
    let before = env.now().as_millisecond();
    let query = "SELECT toTimestamp(now()) FROM system.local WHERE key = 'local'";
    let answer: Vec<(CqlTimestamp,)> = rows(session, what, query, ()).await?;
    let after = env.now().as_millisecond();
    let (node,) = answer.into_iter().next().ok_or_else(|| Error::Missing { what, subject: "the time".into() })?;
    Ok(before.midpoint(after) - node.0)
}

/// Everything that a slice keeps about the node: ring, the schema of `keyspaces` (sorted, each once), settings, clock.
///
/// # Errors
/// [`Error`]; [`Error::Missing`] where one of `keyspaces` does not exist.
pub async fn node_capture(session: &Session, keyspaces: &[String], env: &Env) -> Result<NodeCapture, Error> {
    let local = local(session).await?;
    let mut schemas: Vec<KeyspaceSchema> = Vec::with_capacity(keyspaces.len());
    for keyspace in keyspaces {
        schemas.push(keyspace_schema(session, keyspace).await?);
    }
    Ok(NodeCapture {
        ring: ring(session, &local).await?,
        before: None,
        keyspaces: schemas,
        settings: settings(session).await?,
        clock_offset_millis: clock_offset_millis(session, env).await?,
        host_id: local.node.host_id,
        cluster: local.cluster,
        release: local.release,
        partitioner: local.partitioner,
        schema_version: local.schema_version,
        generation: local.generation,
        truncated_at: local.truncated_at,
    })
}

/// User tables that the node knows, sorted by name, each with whether it can be protected. Views are not objects: they are
/// made again from their tables.
///
/// # Errors
/// [`Error`].
pub async fn live_objects(session: &Session) -> Result<Vec<LiveObject>, Error> {
    let mut objects = Vec::new();
    for name in keyspace_names(session).await? {
        let keyspace = keyspace_schema(session, &name).await?;
        objects.extend(keyspace.tables.iter().filter_map(|table| support::live_object(&keyspace, table)));
    }
    objects.sort_by(|a, b| a.object.cmp(&b.object));
    Ok(objects)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_in_ring_order() {
        let tokens = ["9", "-10", "100", "-9"].map(str::to_owned).to_vec();
        assert_eq!(sorted_tokens(Some(tokens)), ["-10", "-9", "9", "100"]);
        assert!(sorted_tokens(None).is_empty());
    }

    #[test]
    fn addresses_of_both_families_can_be_dialled_again() {
        assert_eq!(address([127, 0, 0, 1].into(), 9042), "127.0.0.1:9042");
        assert_eq!(address(std::net::Ipv6Addr::LOCALHOST.into(), 9042), "[::1]:9042");
    }

    #[test]
    fn a_peer_without_host_id_is_no_member() {
        let row = PeerRow {
            peer: [127, 0, 0, 2].into(),
            peer_port: 7000,
            host_id: None,
            native_address: Some([127, 0, 0, 2].into()),
            native_port: None,
            data_center: Some("dc1".into()),
            rack: Some("r1".into()),
            tokens: None,
            schema_version: None,
            release_version: None,
        };
        assert_eq!(member(row), None);
    }
}
