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

/// Columns of a peer: address, tokens, schema version.
type Peer = (IpAddr, Option<Vec<String>>, Option<Uuid>);

/// Whether the node at `address` knows the tokens of every peer and has their schema.
///
/// # Errors
/// Where an answer has another shape.
pub(super) async fn of(address: &str, peers: &[String], login: Option<&Login>) -> Result<Look<()>> {
    let Ok(session) = connect(address, login).await else {
        return Ok(Look::Not(format!("{address} takes no clients")));
    };
    let (own, known) = (schema_version(&session).await?, known(&session).await?);
    let mut missing = Vec::new();
    for peer in peers.iter().filter(|peer| *peer != address) {
        match known.get(&peer.parse::<IpAddr>()?) {
            None => missing.push(format!("{address} does not know {peer}")),
            Some((_, version)) if *version != Some(own) => {
                missing.push(format!("{address} and {peer} have other schemas"))
            }
            Some((0, _)) => missing.push(format!("{address} does not know the tokens of {peer}")),
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

async fn schema_version(session: &Session) -> Result<Uuid> {
    let answer =
        session.query_unpaged(local("SELECT schema_version FROM system.local"), ()).await?.into_rows_result()?;
    Ok(answer.single_row::<(Uuid,)>().context("system.local")?.0)
}

/// Number of tokens and schema version of each peer.
async fn known(session: &Session) -> Result<HashMap<IpAddr, (usize, Option<Uuid>)>> {
    let statement = local("SELECT peer, tokens, schema_version FROM system.peers_v2");
    let answer = session.query_unpaged(statement, ()).await?.into_rows_result()?;
    let peers = answer
        .rows::<Peer>()?
        .map(|row| row.map(|(peer, tokens, version)| (peer, (tokens.map_or(0, |tokens| tokens.len()), version))));
    peers.collect::<Result<_, _>>().context("system.peers_v2")
}

fn local(text: &str) -> Statement {
    let mut statement = Statement::new(text);
    statement.set_consistency(Consistency::One);
    statement
}
