//! The preflight of one node: what would keep a capture from being whole, before the first one.

mod unversioned;

use std::path::PathBuf;

use scylla::client::session::Session;
use tidemark_catalog::pattern::Patterns;
use tidemark_gateway::causes::joined;
use tidemark_listener_core::{
    assignment::CheckRequest,
    check::{self, Line, Status, some},
};

use super::{
    files, names,
    node::{Config, Node},
    snapshot,
};
use crate::{
    cluster::{KeyspaceSchema, TableRows},
    connect,
    describe::{self, Live, LocalNode, Support, support},
    release::Release,
};

/// Clocks further apart than this are worth a look, ms.
const CLOCK_MILLIS: i64 = 500;

/// Every line, in the order it was tried. What builds on a session is left out where there is none.
pub(super) async fn run(node: &Node, request: &CheckRequest) -> Vec<Line> {
    let Config { source, node: spec, cassandra, access } = &node.config;
    let mut lines = directories(&spec.address, &spec.data_directories).await;
    match connect::connect_node(&spec.address, cassandra.as_ref()).await {
        Ok(session) => lines.extend(by_session(node, &session, request).await),
        Err(error) => lines.push(Line::fail("connect", &spec.address, joined(&error), error.hint())),
    }
    if request.store {
        let subject = format!("{} store", spec.address);
        lines.extend(check::store::lines(access, source, &subject, &node.env).await);
    }
    lines
}

async fn by_session(node: &Node, session: &Session, request: &CheckRequest) -> Vec<Line> {
    let address = node.config.node.address.as_str();
    let local = match describe::local(session).await {
        Ok(local) => local,
        Err(error) => return vec![unreadable("connect", address, &error)],
    };
    let mut lines = vec![Line::ok("connect", address, format!("{} in cluster {}", local.node.host_id, local.cluster))];
    lines.push(version(address, &local.release));
    lines.push(partitioner(address, &local.partitioner));
    lines.push(nodetool(node, &local).await);
    lines.push(clock(node, session).await);
    lines.push(agreement(address, session, &local).await);
    lines.push(members(node, session, &local).await);
    lines.extend(objects(node, session, request).await);
    lines
}

fn unreadable(name: &str, subject: &str, error: &describe::Error) -> Line {
    Line::fail(name, subject, joined(error), error.hint())
}

/// Judges a server version by its release; 4.0 to 5.0 are known, their pre-releases not quite.
fn version(address: &str, version: &str) -> Line {
    let name = "version";
    let Some(release) = Release::of(version) else {
        return Line::warn(name, address, version, "the version is not known; 4.0 to 5.0 can be protected");
    };
    if release < Release::V4_0 {
        return Line::fail(name, address, version, "4.0 is the oldest version that can be protected");
    }
    if !release.is_known() {
        return Line::fail(name, address, version, "this version writes files that are not known; 5.0 is the newest");
    }
    match version.bytes().all(|b| b.is_ascii_digit() || b == b'.') {
        true => Line::ok(name, address, version),
        false => Line::warn(name, address, version, "a pre-release: its files may be other than expected"),
    }
}

fn partitioner(address: &str, class: &str) -> Line {
    let hint = "only clusters with Murmur3Partitioner can be protected";
    let name = class.rsplit('.').next().unwrap_or(class);
    if name == "Murmur3Partitioner" {
        Line::ok("partitioner", address, name)
    } else {
        Line::fail("partitioner", address, class, hint)
    }
}

async fn nodetool(node: &Node, local: &LocalNode) -> Line {
    let (name, subject) = ("nodetool", node.config.node.address.as_str());
    match node.nodetool.host_id().await {
        Ok(Some(id)) if id == local.node.host_id => Line::ok(name, subject, "answers for this node"),
        Ok(id) => {
            let detail = format!("reaches node {}, not {}", id.as_deref().unwrap_or("?"), local.node.host_id);
            Line::fail(name, subject, detail, "point the nodetool arguments (-h, -p) at this node's JMX port")
        }
        Err(error) => {
            let hint = "see that the command runs as the listener's user and reaches this node's JMX port";
            Line::fail(name, subject, joined(&error), hint)
        }
    }
}

async fn clock(node: &Node, session: &Session) -> Line {
    let (name, subject) = ("clock", node.config.node.address.as_str());
    match describe::clock_offset_millis(session, &node.env).await {
        Ok(offset) if offset.abs() <= CLOCK_MILLIS => Line::ok(name, subject, format!("{offset} ms apart")),
        Ok(offset) => Line::warn(
            name,
            subject,
            format!("the listener's clock is {offset} ms from the node's"),
            "synchronise the clocks: what is provably complete is judged with them",
        ),
        Err(error) => unreadable(name, subject, &error),
    }
}

async fn agreement(address: &str, session: &Session, local: &LocalNode) -> Line {
    let name = "schema-agreement";
    let members = match describe::members(session, local).await {
        Ok(members) => members,
        Err(error) => return unreadable(name, address, &error),
    };
    let versions = describe::disagreement(&members);
    if versions.is_empty() {
        return match describe::releases(&members).len() {
            0 | 1 => Line::ok(name, address, "one schema version"),
            _ => Line::ok(name, address, "one schema version in each release"),
        };
    }
    let each: Vec<String> =
        versions.iter().map(|(version, hosts)| format!("{version}: {}", hosts.join(", "))).collect();
    let hint = "wait for a schema change to arrive everywhere; a node that is down shows its last version";
    Line::warn(name, address, each.join("; "), hint)
}

/// The node's ring, and rows about nodes that are not in it.
async fn members(node: &Node, session: &Session, local: &LocalNode) -> Line {
    let (name, subject) = ("members", node.config.node.address.as_str());
    let hint = "see that nodetool reaches this node's JMX port, and what nodetool ring prints";
    let printed = match node.nodetool.ring().await {
        Ok(printed) => printed,
        Err(error) => return Line::fail(name, subject, joined(&error), hint),
    };
    let known = match describe::known(session, local).await {
        Ok(known) => known,
        Err(error) => return unreadable(name, subject, &error),
    };
    match Live::parse(&printed, &known) {
        Ok(live) => ghosts(name, subject, &live),
        Err(error) => Line::fail(name, subject, joined(&error), hint),
    }
}

fn ghosts(name: &str, subject: &str, live: &Live) -> Line {
    let Some(first) = live.ghosts.first() else {
        return Line::ok(name, subject, format!("{} in its ring", live.ring.len()));
    };
    let names = live.ghosts.iter().map(|ghost| ghost.name.clone()).collect();
    let detail = format!("system.peers_v2 has rows about nodes that are not in the ring: {}", some(names));
    Line::warn(name, subject, detail, &format!("they are ignored; on this node: {}", first.statement))
}

async fn directories(address: &str, directories: &[PathBuf]) -> Vec<Line> {
    let (address, directories) = (address.to_owned(), directories.to_vec());
    let looked = tokio::task::spawn_blocking(move || directories.iter().map(|d| directory(&address, d)).collect());
    looked.await.unwrap_or_default()
}

fn directory(address: &str, path: &std::path::Path) -> Line {
    let subject = format!("{address} {}", path.display());
    let hint = "name the data_file_directories of cassandra.yaml as the listener sees them, and let its user read them";
    match std::fs::read_dir(path).and_then(|entries| entries.collect::<Result<Vec<_>, _>>()) {
        Ok(entries) if entries.is_empty() => Line::warn("data-directory", &subject, "empty", hint),
        Ok(entries) => Line::ok("data-directory", &subject, format!("{} keyspaces", entries.len())),
        Err(error) => Line::fail("data-directory", &subject, error.to_string(), hint),
    }
}

/// What is to be said about the tables that the patterns name.
async fn objects(node: &Node, session: &Session, request: &CheckRequest) -> Vec<Line> {
    let subject = node.config.node.address.as_str();
    let patterns = match names::patterns(&request.objects, &request.excludes) {
        Ok(patterns) => patterns,
        Err(error) => {
            return vec![Line::fail("objects", subject, joined(&error), "write keyspace/table, * for any text")];
        }
    };
    let keyspaces = match snapshot::schemas(session, &patterns).await {
        Ok(keyspaces) => keyspaces,
        Err(error) => return vec![Line::fail("objects", subject, joined(&error), "see that the node answers queries")],
    };
    let chosen = chosen(&keyspaces, &patterns);
    let mut lines = vec![matched(subject, &chosen, &patterns)];
    lines.extend(notes(&chosen));
    lines.extend(views(session, subject, &keyspaces).await);
    lines.extend(unversioned::lines(subject, &keyspaces, &patterns));
    lines.extend(on_disk(node, &chosen).await);
    lines
}

type Chosen<'a> = Vec<(&'a KeyspaceSchema, &'a TableRows)>;

fn chosen<'a>(keyspaces: &'a [KeyspaceSchema], patterns: &Patterns) -> Chosen<'a> {
    let of = |keyspace: &'a KeyspaceSchema| keyspace.tables.iter().map(move |table| (keyspace, table));
    let matching = |(keyspace, table): &(&KeyspaceSchema, &TableRows)| patterns.matches(&[&keyspace.name, &table.name]);
    keyspaces.iter().flat_map(of).filter(matching).collect()
}

fn matched(subject: &str, chosen: &Chosen<'_>, patterns: &Patterns) -> Line {
    let names: Vec<[&str; 2]> = chosen.iter().map(|(ks, table)| [ks.name.as_str(), table.name.as_str()]).collect();
    let unmatched = patterns.unmatched(&names);
    if unmatched.is_empty() {
        return Line::ok("objects", subject, format!("{} tables", chosen.len()));
    }
    let detail = format!("{} tables; nothing matches {}", chosen.len(), some(unmatched));
    Line::warn("objects", subject, detail, "see that keyspace and table are written as in the schema, with capitals")
}

/// Lines of the tables that cannot be protected, or only with a word of warning.
fn notes(chosen: &Chosen<'_>) -> Vec<Line> {
    let note = |(keyspace, table): &(&KeyspaceSchema, &TableRows)| {
        let (detail, hint) = match support(keyspace, table) {
            Support::Supported(None) => return None,
            Support::Supported(Some(note)) => (note, "captured; see whether a restore can bring back what you need"),
            Support::Unsupported(reason) => (reason, "versions will show this table as missing"),
        };
        Some(Line::warn("table", &format!("{}/{}", keyspace.name, table.name), detail, hint))
    };
    chosen.iter().filter_map(note).collect()
}

async fn views(session: &Session, subject: &str, keyspaces: &[KeyspaceSchema]) -> Vec<Line> {
    let mut names = Vec::new();
    for keyspace in keyspaces {
        match describe::views(session, &keyspace.name).await {
            Ok(views) => names.extend(views.into_iter().map(|view| format!("{}/{view}", keyspace.name))),
            Err(error) => return vec![unreadable("views", subject, &error)],
        }
    }
    let detail = |names| format!("not captured, made again from their tables: {}", some(names));
    if names.is_empty() { Vec::new() } else { vec![Line::ok("views", subject, detail(names))] }
}

async fn on_disk(node: &Node, chosen: &Chosen<'_>) -> Vec<Line> {
    let data = node.config.node.data_directories.clone();
    let of =
        |(keyspace, table): &(&KeyspaceSchema, &TableRows)| [&keyspace.name, &table.name, &table.id].map(String::clone);
    let tables: Vec<[String; 3]> = chosen.iter().map(of).collect();
    let address = node.config.node.address.clone();
    let looked = tokio::task::spawn_blocking(move || Found::look(&data, &tables).lines(&address));
    looked.await.unwrap_or_default()
}

/// What was found on disk, over all tables.
#[derive(Default)]
struct Found {
    absent: Vec<String>,
    unreadable: Vec<String>,
    formats: Vec<String>,
    tags: std::collections::BTreeSet<String>,
}

impl Found {
    fn look(data: &[PathBuf], tables: &[[String; 3]]) -> Self {
        let mut found = Self::default();
        for [keyspace, table, id] in tables {
            let name = format!("{keyspace}/{table}");
            match files::survey(data, files::TableOnDisk { keyspace, table, id }) {
                Err(error) => found.unreadable.push(format!("{name} ({error})")),
                Ok(survey) if !survey.found => found.absent.push(name),
                Ok(survey) => {
                    found.formats.extend(survey.unread.iter().map(|format| format!("{name} ({format})")));
                    found.tags.extend(survey.tags);
                }
            }
        }
        found
    }

    fn lines(self, address: &str) -> Vec<Line> {
        let mut lines = Vec::new();
        let mut add = |status, name: &str, names: Vec<String>, hint: &str| {
            if !names.is_empty() {
                let line = if status == Status::Fail { Line::fail } else { Line::warn };
                lines.push(line(name, address, some(names), hint));
            }
        };
        add(Status::Fail, "table-directory", self.absent, "the tables have no directory in the data directories named");
        add(Status::Fail, "table-directory", self.unreadable, "let the listener's user read the data directories");
        add(
            Status::Warn,
            "format",
            self.formats,
            "files of this format cannot be decoded; nodetool upgradesstables rewrites old ones",
        );
        let tags = self.tags.into_iter().collect();
        add(
            Status::Warn,
            "snapshots",
            tags,
            "if no capture is running: nodetool clearsnapshot -t TAG frees their disk space",
        );
        lines
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_judged_by_their_numbers() {
        let table = [
            ("4.0.19", Status::Ok),
            ("4.1.10", Status::Ok),
            ("5.0.9", Status::Ok),
            ("5.0-rc1", Status::Warn),
            ("3.11.17", Status::Fail),
            ("5.1.0", Status::Fail),
            ("6.0.0-SNAPSHOT", Status::Fail),
            ("unknown", Status::Warn),
        ];
        for (release, expected) in table {
            assert_eq!(version("n", release).status, expected, "{release}");
        }
    }

    #[test]
    fn only_one_partitioner_is_taken() {
        assert_eq!(partitioner("n", "org.apache.cassandra.dht.Murmur3Partitioner").status, Status::Ok);
        assert_eq!(partitioner("n", "org.apache.cassandra.dht.ByteOrderedPartitioner").status, Status::Fail);
    }

    #[test]
    fn absent_directories_are_failures() {
        assert_eq!(directory("n", std::path::Path::new("/nowhere/data")).status, Status::Fail);
    }
}
