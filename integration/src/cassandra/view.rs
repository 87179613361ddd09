//! What one node knows about the others.
//!
//! A node that answers clients and sees its peers up may not know their tokens yet: it would take the ring for smaller
//! than it is, and schema changes would not reach every node.

use std::{collections::HashMap, net::IpAddr, sync::Arc};

use anyhow::{Context, Result};
use scylla::{
    client::{session::Session, session_builder::SessionBuilder},
    policies::host_filter::AllowListHostFilter,
    statement::{Consistency, unprepared::Statement},
};
use uuid::Uuid;

use super::Login;
use crate::wait::Look;

/// Columns of a peer: address, tokens, version, schema version.
type Peer = (IpAddr, Option<Vec<String>>, Option<String>, Option<Uuid>);

/// Whether the node at `address` knows the tokens of every peer and has their schema. Releases make the digest of a schema from
/// other tables: nodes of different ones are not compared.
///
/// # Errors
/// Where an answer has another shape.
pub(super) async fn of(address: &str, peers: &[String], login: Option<&Login>) -> Result<Look<()>> {
    let Ok(session) = connect(address, login).await else {
        return Ok(Look::Not(format!("{address} takes no clients")));
    };
    let ((release, own), known) = (own(&session).await?, known(&session).await?);
    let mut missing = Vec::new();
    for peer in peers.iter().filter(|peer| *peer != address) {
        match known.get(&peer.parse::<IpAddr>()?) {
            None => missing.push(format!("{address} does not know {peer}")),
            Some((_, running, version)) if *running == release && *version != Some(own) => {
                missing.push(format!("{address} and {peer} have other schemas"))
            }
            Some((0, ..)) => missing.push(format!("{address} does not know the tokens of {peer}")),
            Some(_) => {}
        }
    }
    Ok(Look::when(missing.is_empty(), || missing.join(", ")))
}

/// A session with this node alone.
async fn connect(address: &str, login: Option<&Login>) -> Result<Session> {
    let node = format!("{address}:9042");
    let filter = AllowListHostFilter::new([node.as_str()])?;
    let builder = SessionBuilder::new().known_node(&node).host_filter(Arc::new(filter));
    let builder = login.iter().fold(builder, |builder, login| builder.user(&login.role, &login.password));
    Ok(builder.build().await?)
}

/// The node's version and schema version.
async fn own(session: &Session) -> Result<(Option<String>, Uuid)> {
    let statement = local("SELECT release_version, schema_version FROM system.local");
    let answer = session.query_unpaged(statement, ()).await?.into_rows_result()?;
    answer.single_row().context("system.local")
}

/// Number of tokens, version and schema version of each peer.
async fn known(session: &Session) -> Result<HashMap<IpAddr, (usize, Option<String>, Option<Uuid>)>> {
    let statement = local("SELECT peer, tokens, release_version, schema_version FROM system.peers_v2");
    let answer = session.query_unpaged(statement, ()).await?.into_rows_result()?;
    let known =
        |(peer, tokens, release, schema): Peer| (peer, (tokens.map_or(0, |tokens| tokens.len()), release, schema));
    answer.rows::<Peer>()?.map(|row| row.map(known)).collect::<Result<_, _>>().context("system.peers_v2")
}

fn local(text: &str) -> Statement {
    let mut statement = Statement::new(text);
    statement.set_consistency(Consistency::One);
    statement
}
