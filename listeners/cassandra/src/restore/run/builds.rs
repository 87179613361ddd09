//! Waits until the indexes and views that were made after the load are built on every node.
//!
//! Each node keeps what it has built in tables of its own: `system."IndexInfo"` for indexes of all kinds, `system.built_views`
//! for views. A build that makes no headway for long is not waited for, nor one that the role may not look at: the restore
//! ends and says which ones are not known to be done.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use futures::TryStreamExt;
use scylla::client::session::Session;
use tidemark_gateway::{Env, causes::joined};
use tidemark_listener_core::{failure::Failure, progress::Progress};
use tidemark_records::restore::pipeline::Pipeline;

use crate::{
    connect::{self, Credentials, Out, Retryable},
    restore::{
        observe::ObservedNode,
        schema::{
            cql::literal,
            known::{Built, BuiltKind},
        },
    },
    spec::CassandraSpec,
};

/// Time between two looks.
const POLL: Duration = Duration::from_secs(1);

/// Time without any headway after which a build is not waited for.
const PATIENCE: Duration = Duration::from_secs(600);

/// A build on one node.
type Pending<'a> = (&'a Built, &'a str);

/// Waits until `wanted` is built on all of `nodes`; a warning for each build that is not done.
///
/// # Errors
/// [`Failure::cancelled`]; `TM-REST-0204` where the credentials cannot be read.
pub(super) async fn wait(
    spec: &CassandraSpec,
    nodes: &[ObservedNode],
    wanted: &[Built],
    pipeline: &Pipeline<'_>,
    env: &Env,
) -> Result<Vec<String>, Failure> {
    let credentials = connect::credentials(spec).map_err(|e| Failure::new("TM-REST-0204", joined(&e)))?;
    let mut pending: BTreeSet<Pending<'_>> =
        nodes.iter().flat_map(|node| wanted.iter().map(|built| (built, node.address.as_str()))).collect();
    let total = pending.len();
    // A look at a node that is off takes its time too: it is time that counts, not looks.
    let (mut moved_at, mut unknown) = (env.monotonic(), Vec::new());
    while !pending.is_empty() && env.monotonic().saturating_sub(moved_at) < PATIENCE {
        let seen = look(&pending, credentials.as_ref()).await;
        if !seen.is_empty() {
            moved_at = env.monotonic();
        }
        pending.retain(|build| !seen.contains_key(build));
        for ((built, node), why) in seen.into_iter().filter_map(|(build, seen)| Some((build, seen.err()?))) {
            unknown.push(format!("whether {built} is built on {node} is not known: {why}"));
        }
        pipeline.progress(Progress {
            phase: "build indexes and views".to_owned(),
            done: (total - pending.len()) as u64,
            total: total as u64,
            unit: "builds".to_owned(),
        });
        if !pending.is_empty() {
            pipeline.pause(POLL).await?;
        }
    }
    unknown.extend(pending.into_iter().map(|(built, node)| format!("{built} is not built yet on {node}")));
    Ok(unknown)
}

/// The builds that need no further look: done, or refused to be looked at, and why. A node that does not answer now may
/// answer later.
async fn look<'a>(
    pending: &BTreeSet<Pending<'a>>,
    credentials: Option<&Credentials>,
) -> BTreeMap<Pending<'a>, Result<(), String>> {
    let nodes: BTreeSet<&str> = pending.iter().map(|(_, node)| *node).collect();
    let mut seen = BTreeMap::new();
    for node in nodes {
        let session = match connect::connect_node(node, credentials).await {
            Ok(session) => session,
            Err(error) => {
                tracing::debug!(node, error = joined(&error), "what a node has built is not known");
                continue;
            }
        };
        for build in pending.iter().filter(|(_, of)| *of == node) {
            match is_built(&session, build.0).await {
                Ok(true) => drop(seen.insert(*build, Ok(()))),
                Ok(false) => {}
                Err(why) => drop(seen.insert(*build, Err(why))),
            }
        }
    }
    seen
}

/// True where the node has built it; false where it has not or did not answer.
///
/// # Errors
/// Why it will never say.
async fn is_built(session: &Session, built: &Built) -> Result<bool, String> {
    // Names are written out: with values to bind the driver prepares the statement, which a busy node may forget at once.
    let (keyspace, name) = (literal(&built.keyspace), literal(&built.name));
    let query = match built.kind {
        // The first column is named for tables; it holds the keyspace.
        BuiltKind::Index => {
            format!("SELECT index_name FROM system.\"IndexInfo\" WHERE table_name = {keyspace} AND index_name = {name}")
        }
        BuiltKind::View => {
            format!("SELECT view_name FROM system.built_views WHERE keyspace_name = {keyspace} AND view_name = {name}")
        }
    };
    let pager = match session.query_iter(query, ()).await {
        Ok(pager) => pager,
        Err(error) if error.is_retryable() => return Ok(false),
        Err(error) => return Err(joined(&error)),
    };
    let mut rows = pager.rows_stream::<Out>().map_err(|error| joined(&error))?;
    Ok(matches!(rows.try_next().await, Ok(Some(_))))
}
