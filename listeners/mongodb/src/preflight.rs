//! Preflight: how a deployment stands, a line for each thing that a capture rests on.

use std::time::Duration;

use tidemark_gateway::{Env, causes::joined};
use tidemark_listener_core::check::{Line, some};

use crate::{
    connect::{Error, Said, Server},
    describe::{self, Hello},
    raw::Builder,
    set,
    spec::MongoSpec,
};

/// The rights that a capture needs; printed where they lack.
const ROLE: &str = "give the user the roles backup and clusterMonitor, and a role of your own with the actions find and changeStream \
                    on any database and collection: db.getSiblingDB('admin').createRole({role: 'tidemark', privileges: [{resource: \
                    {db: '', collection: ''}, actions: ['find', 'changeStream']}], roles: ['backup', 'clusterMonitor']})";

/// Oldest version that is known.
const OLDEST: u32 = 6;

/// Newest version that is known.
const NEWEST: u32 = 8;

/// Clocks that are further apart are worth a look, ms.
const CLOCK_MILLIS: i64 = 1_000;

/// Less log than this is worth a look, s.
const LOG_SECONDS: u64 = 24 * 3600;

/// The lines of a deployment, of which `read` is what is read, and of `each` of its addresses.
pub async fn lines(spec: &MongoSpec, whole: &Server, read: &Server, each: &[Server], env: &Env) -> Vec<Line> {
    let hello = match describe::hello(whole).await {
        Ok(hello) => hello,
        Err(error) => return vec![failed("connect", whole, &error)],
    };
    let mut lines =
        vec![Line::ok("connect", whole.place(), "it answers"), kind(spec, whole, &hello), clock(whole, &hello, env)];
    for server in each {
        lines.extend(member(spec, server).await);
    }
    lines.push(version(read).await);
    lines.push(log(whole).await);
    lines.push(stream(read).await);
    lines.push(collections(whole).await);
    lines
}

fn failed(name: &str, server: &Server, error: &Error) -> Line {
    let hint = if error.said() == Said::Denied { ROLE } else { error.hint() };
    Line::fail(name, server.place(), joined(error), hint)
}

/// What is wrong at one address: who answers there may be another.
async fn member(spec: &MongoSpec, server: &Server) -> Option<Line> {
    match describe::hello(server).await {
        Ok(hello) => set::check(spec, &hello).err().map(|other| not_of_the_set(server, &other)),
        Err(error) => Some(Line::warn("replica-set", server.place(), joined(&error), error.hint())),
    }
}

fn not_of_the_set(server: &Server, other: &set::Other) -> Line {
    Line::fail("replica-set", server.place(), other.to_string(), other.hint())
}

fn kind(spec: &MongoSpec, server: &Server, hello: &Hello) -> Line {
    if let Err(other) = set::check(spec, hello) {
        return not_of_the_set(server, &other);
    }
    match (&hello.set, hello.routes) {
        (Some(set), _) => Line::ok("replica-set", server.place(), format!("replica set {set}")),
        (None, true) => Line::ok("replica-set", server.place(), "mongos of a sharded cluster"),
        (None, false) => {
            let hint = "make it a replica set of one member: a server of its own keeps no log of changes";
            Line::fail("replica-set", server.place(), "neither a replica set nor mongos", hint)
        }
    }
}

fn clock(server: &Server, hello: &Hello, env: &Env) -> Line {
    let Some(theirs) = hello.local_millis else {
        return Line::warn("clock", server.place(), "it does not tell its clock", "see that its clock is right");
    };
    let apart = theirs - env.now().as_millisecond();
    let words = format!("{apart} ms from ours");
    if apart.abs() <= CLOCK_MILLIS {
        return Line::ok("clock", server.place(), words);
    }
    Line::warn("clock", server.place(), words, "synchronise the clocks: times of versions are told by them")
}

async fn version(server: &Server) -> Line {
    let version = match describe::version(server).await {
        Ok(version) => version,
        Err(error) => return failed("version", server, &error),
    };
    let major = version.split('.').next().and_then(|major| major.parse::<u32>().ok());
    match major {
        Some(OLDEST..=NEWEST) => Line::ok("version", server.place(), version),
        Some(newer) if newer > NEWEST => Line::warn(
            "version",
            server.place(),
            version,
            "this build was not made for it: try a restore before you rely on it",
        ),
        _ => Line::fail("version", server.place(), version, "MongoDB 6.0 to 8.x are supported"),
    }
}

/// How far its log reaches back. A deployment that does not tell is looked at by its stream alone.
async fn log(server: &Server) -> Line {
    match describe::log_seconds(server).await {
        Ok(Some(seconds)) if seconds >= LOG_SECONDS => Line::ok("log", server.place(), format!("{} h", seconds / 3600)),
        Ok(Some(seconds)) => {
            let hint = "a capture fails that takes longer than the log reaches: make the oplog larger, or set storage.oplogMinRetentionHours";
            Line::warn("log", server.place(), format!("it reaches back {seconds} s"), hint)
        }
        Ok(None) => {
            Line::warn("log", server.place(), "its log cannot be read", "see that the user may read local.oplog.rs")
        }
        Err(error) if error.said() == Said::Denied => Line::warn("log", server.place(), joined(&error), ROLE),
        Err(error) => Line::warn("log", server.place(), joined(&error), "mongos does not tell: ask its shards"),
    }
}

/// Whether a change stream of all can be opened.
async fn stream(server: &Server) -> Line {
    let stage = Builder::default().truth("allChangesForCluster", true).truth("showExpandedEvents", true).finish();
    let command = Builder::default()
        .int("aggregate", 1)
        .documents("pipeline", [&Builder::default().document("$changeStream", &stage).finish()[..]])
        .document("cursor", &Builder::default().finish())
        .finish();
    match server.cursor("admin", command, Some(Duration::from_millis(100))).await {
        Ok(_) => Line::ok("change-stream", server.place(), "it opens"),
        Err(error) => failed("change-stream", server, &error),
    }
}

async fn collections(server: &Server) -> Line {
    let all = match describe::collections(server).await {
        Ok(all) => all,
        Err(error) => return failed("collections", server, &error),
    };
    let unsupported: Vec<String> = all
        .iter()
        .filter(|listed| listed.unsupported().is_some())
        .map(|listed| format!("{}.{}", listed.namespace.database, listed.namespace.collection))
        .collect();
    let count = format!("{} collections and views", all.len());
    if unsupported.is_empty() {
        return Line::ok("collections", server.place(), count);
    }
    let words = format!("{count}; not supported: {}", some(unsupported));
    Line::warn("collections", server.place(), words, "source objects says why; exclude them from policies")
}
