//! The steps of a capture, and how the source compares what its nodes say before anything is shipped.
//!
//! | step | each node | stored as |
//! | --- | --- | --- |
//! | 0 | looks: ring, states, schema of the chosen tables, truncation records, start of its process | `step-0.json` |
//! | 1 | takes: notes the clock, flushes, snapshots | `step-1.json` |
//! | 2 | looks again | `step-2.json` |
//! | then | takes what changed meanwhile, and looks again, a few times | `step-3.json`, `step-4.json`, … |
//! | last | ships | `slice.json` |
//!
//! All nodes are at the same step, so that the first look is before the first node's capture and the next one after the last
//! node's. What is the same at both was the same throughout:
//!
//! - a table that was altered, truncated, dropped or made meanwhile is taken again on all nodes, and no other table;
//! - a node that was started again takes all of its tables again;
//! - where the ring, a member's state or the replication changed on any node, all nodes take all tables again.
//!
//! What still changes during the last capture is left out by name (tables), or ships with both views of the ring, and the
//! ranges on which these differ are degraded. Views that differ between nodes, but not in time, are not waited for.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use object_store::ObjectStore;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tidemark_catalog::{
    document::{self, Document},
    ids::ObjectName,
};
use tidemark_gateway::causes::joined;
use tidemark_listener_core::{
    failure::Failure,
    source::{Answers, Asked, NextStep},
};

use super::snapshot::{Look, SnapshotRecord};
use crate::cluster::{NodeCapture, View};

/// Most captures of a task: the first, and those of what changed meanwhile.
const CAPTURES: usize = 5;

/// What a node is asked.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Ask {
    /// Say how things are.
    Look,
    /// Flush and snapshot.
    Take {
        /// These tables; all that match where absent.
        tables: Option<BTreeSet<ObjectName>>,
    },
    /// Ship what was taken.
    Ship(Ship),
}

impl Ask {
    /// # Errors
    /// Where it is of another build.
    pub(super) fn of(ask: &Value) -> Result<Self, serde_json::Error> {
        if ask.is_null() { Ok(Self::Look) } else { Self::deserialize(ask) }
    }
}

/// What a node ships.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Ship {
    /// The step whose snapshot holds each table.
    pub(super) tables: BTreeMap<ObjectName, u32>,
    /// Those of them that are not shipped, with the reason.
    pub(super) left_out: BTreeMap<ObjectName, String>,
    /// The last look before the first of these snapshots, and the last of all.
    pub(super) looks: (u32, u32),
}

/// What a node answers, the content of `step-<number>.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Answer {
    /// How things are.
    Look(Box<Look>),
    /// A snapshot was taken.
    Take(SnapshotRecord),
}

impl Document for Answer {
    const KIND: &'static str = "cassandra-step";
}

/// The driver's [`next_step`](tidemark_listener_core::source::Source::next_step).
pub(crate) async fn next_step(store: &Arc<dyn ObjectStore>, steps: &[Answers]) -> Result<NextStep, Failure> {
    let present: BTreeSet<&String> = steps.last().map(|step| step.keys().collect()).unwrap_or_default();
    let mut histories = BTreeMap::new();
    for listener in present {
        let mut history = History::default();
        for (step, answers) in (0..).zip(steps) {
            let Some(reference) = answers.get(listener) else { return Err(strange(listener, step)) };
            let answer = document::read::<Answer>(store, reference).await;
            let failed =
                |error: document::Error| Failure { retryable: error.is_retryable(), ..unreadable(&joined(&error)) };
            match answer.map_err(failed)? {
                Answer::Look(look) => history.looks.push((step, *look)),
                Answer::Take(take) => history.takes.push((step, take)),
            }
        }
        histories.insert(listener.clone(), history);
    }
    Ok(decide(steps.len(), &histories))
}

fn unreadable(why: &str) -> Failure {
    Failure::new("TM-CASS-0114", format!("what a node answered cannot be read: {why}"))
}

fn strange(listener: &str, step: u32) -> Failure {
    unreadable(&format!("{listener} has not answered step {step}"))
}

/// Answers of a node so far, each with its step.
#[derive(Default)]
struct History {
    looks: Vec<(u32, Look)>,
    takes: Vec<(u32, SnapshotRecord)>,
}

type Histories = BTreeMap<String, History>;

/// Decides by what the nodes have said. A look follows each take.
fn decide(steps: usize, histories: &Histories) -> NextStep {
    let captures = steps / 2;
    if steps.is_multiple_of(2) {
        return NextStep::Prepare(Asked::default());
    }
    if captures == 0 {
        return NextStep::Prepare(take(histories, |_| None));
    }
    let changes = Changes::of(histories);
    tracing::info!(captures, changes = ?changes, "the nodes' words were compared");
    if changes.is_none() || captures >= CAPTURES {
        return NextStep::Ship(ship(histories, &changes));
    }
    let again = |listener: &String| changes.again(listener);
    NextStep::Prepare(take(histories, again))
}

fn take(histories: &Histories, tables: impl Fn(&String) -> Option<BTreeSet<ObjectName>>) -> Asked {
    let ask = |listener: &String| (listener.clone(), value(&Ask::Take { tables: tables(listener) }));
    Asked { asks: histories.keys().map(ask).collect(), notes: Vec::new() }
}

fn value(ask: &Ask) -> Value {
    serde_json::to_value(ask).expect("an ask is plain data")
}

/// What was another before the last capture than after it.
#[derive(Debug, Default, PartialEq)]
struct Changes {
    /// The ring, a state or a replication changed on these nodes.
    ring: BTreeSet<String>,
    /// These nodes were started again.
    started: BTreeSet<String>,
    /// Tables, each with what became of it.
    tables: BTreeMap<ObjectName, &'static str>,
}

impl Changes {
    fn of(histories: &Histories) -> Self {
        let mut changes = Self::default();
        for (listener, history) in histories {
            let [.., (_, before), (_, after)] = &history.looks[..] else { continue };
            if view_changed(&before.node.view(), &after.node.view()) || before.states != after.states {
                changes.ring.insert(listener.clone());
            }
            if before.node.generation != after.node.generation {
                changes.started.insert(listener.clone());
            }
            changes.tables.extend(changed_tables(&before.node, &after.node));
        }
        changes
    }

    fn is_none(&self) -> bool {
        self.ring.is_empty() && self.started.is_empty() && self.tables.is_empty()
    }

    /// What the node takes again; `None` for all tables.
    fn again(&self, listener: &String) -> Option<BTreeSet<ObjectName>> {
        let all = !self.ring.is_empty() || self.started.contains(listener);
        (!all).then(|| self.tables.keys().cloned().collect())
    }

    /// The tables that the node may not ship, of those that it took.
    fn left_out(&self, listener: &str, taken: &BTreeMap<ObjectName, u32>) -> BTreeMap<ObjectName, String> {
        let during = |what: &str| format!("{what} during the last of {CAPTURES} captures");
        let reason = |table: &ObjectName| match self.tables.get(table) {
            Some(what) => Some(during(&format!("it was {what}"))),
            None => self.started.contains(listener).then(|| during("the node was started again")),
        };
        taken.keys().filter_map(|table| Some((table.clone(), reason(table)?))).collect()
    }
}

/// True where the rings differ, or a keyspace that both have is replicated otherwise.
fn view_changed(before: &View, after: &View) -> bool {
    let other = |(keyspace, options)| after.replication.get(keyspace).is_some_and(|now| now != options);
    before.ring != after.ring || before.replication.iter().any(other)
}

fn changed_tables(before: &NodeCapture, after: &NodeCapture) -> BTreeMap<ObjectName, &'static str> {
    let names = |node: &NodeCapture| {
        let of = |keyspace: &crate::cluster::KeyspaceSchema| {
            let table = |table: &crate::cluster::TableRows| (keyspace.name.clone(), table.name.clone());
            keyspace.tables.iter().map(table).collect::<Vec<_>>()
        };
        node.keyspaces.iter().flat_map(of).collect::<BTreeSet<_>>()
    };
    let changed = |(keyspace, table): &(String, String)| {
        let what = after.changed_since(before, keyspace, table)?;
        Some((ObjectName::new([keyspace.as_str(), table.as_str()]).ok()?, what))
    };
    names(before).union(&names(after)).filter_map(changed).collect()
}

fn ship(histories: &Histories, changes: &Changes) -> Asked {
    let ask = |(listener, history): (&String, &History)| {
        let tables = history.taken();
        let (_, last) = history.bounds();
        let first = tables.values().min().map_or(last, |step| step.saturating_sub(1));
        let left_out = changes.left_out(listener, &tables);
        (listener.clone(), value(&Ask::Ship(Ship { tables, left_out, looks: (first, last) })))
    };
    Asked { asks: histories.iter().map(ask).collect(), notes: notes(histories, changes) }
}

impl History {
    /// The snapshot that holds each table: the last one that was to hold it. A table that is not in that one is gone.
    fn taken(&self) -> BTreeMap<ObjectName, u32> {
        let mut tables = BTreeMap::new();
        for (step, take) in &self.takes {
            match &take.asked {
                None => tables.clear(),
                Some(asked) => tables.retain(|table, _| !asked.contains(table)),
            }
            tables.extend(take.tables.iter().map(|table| (table.object.clone(), *step)));
        }
        tables
    }

    /// Steps of the first and the last look.
    fn bounds(&self) -> (u32, u32) {
        let step = |look: Option<&(u32, Look)>| look.map_or(0, |(step, _)| *step);
        (step(self.looks.first()), step(self.looks.last()))
    }
}

/// What people should know, a line each, however many nodes, tables or rows it is about.
fn notes(histories: &Histories, changes: &Changes) -> Vec<String> {
    let mut notes = Vec::new();
    let captures = histories.values().map(|history| history.takes.len()).max().unwrap_or(0);
    if captures > 1 {
        notes.push(format!("{captures} captures were made, because something changed during the ones before the last"));
    }
    if !changes.ring.is_empty() {
        let (first, nodes) = (changes.ring.first().map_or("", String::as_str), changes.ring.len());
        notes.push(format!(
            "the ring changed during each of {captures} captures, at last as seen by {nodes} nodes; {first} is one"
        ));
    }
    if let Some((table, what)) = changes.tables.first_key_value() {
        let count = changes.tables.len();
        notes.push(format!("{count} tables changed during each of {captures} captures; {table} was {what}"));
    }
    notes.extend(ghosts(histories));
    notes
}

/// A line about rows of system tables that are about nodes that are not in the ring.
fn ghosts(histories: &Histories) -> Option<String> {
    let looks = histories.iter().filter_map(|(listener, history)| Some((listener, &history.looks.last()?.1)));
    let haunted: Vec<_> = looks.filter(|(_, look)| !look.ghosts.is_empty()).collect();
    let rows: usize = haunted.iter().map(|(_, look)| look.ghosts.len()).sum();
    let (nodes, (listener, look)) = (haunted.len(), haunted.first()?);
    let ghost = look.ghosts.first()?;
    Some(format!(
        "{rows} rows in system.peers_v2 of {nodes} nodes are about nodes that are not in their rings, and are ignored; \
         on {listener} {} goes by {}",
        ghost.name, ghost.statement
    ))
}

#[cfg(test)]
mod tests;
