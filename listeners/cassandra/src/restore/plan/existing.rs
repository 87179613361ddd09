//! What becomes of target tables that exist: the caller chooses, because nothing is right for all.

use tidemark_listener_core::{
    check::Line,
    restorer::{Action, IfExists},
};

use super::decide::Planner;
use crate::{
    cluster::{KeyspaceSchema, TableRows},
    restore::job::TtlPolicy,
    restore::{
        observe::{Contents, Observed},
        schema::{known, statements},
    },
};

/// The choices, for people.
const CHOICES: &str = "choose: --if-exists undo makes it what the version says; --if-exists merge lets newer data and \
                       deletions win; --rename KS=KS2 or KS/T=KS2/T2 restores beside it";

impl Planner<'_> {
    /// Chooses how each object comes to its target.
    pub(super) fn contents(&mut self, seen: &Observed) {
        for index in 0..self.objects.len() {
            let target = self.objects[index].target.clone();
            let [keyspace, table] = target.parts() else { continue };
            let subject = target.to_string();
            match seen.contents.get(&(keyspace.clone(), table.clone())) {
                None => self.checks.push(Line::ok("empty", &subject, "the table will be made")),
                Some(Contents::Unknown(why)) => {
                    let detail = format!("cannot be read: {why}");
                    self.unreadable(index, &subject, detail, seen);
                }
                Some(contents) => self.existing(index, &subject, contents, seen),
            }
        }
    }

    /// A table that cannot be read by one query may still be undone range by range: after a mass delete for one.
    fn unreadable(&mut self, index: usize, subject: &str, detail: String, seen: &Observed) {
        if self.options.if_exists == Some(IfExists::Undo) {
            self.checks.push(Line::warn("empty", subject, detail, "it is read in smaller ranges"));
            return self.undo(index, subject, seen);
        }
        self.fail("empty", subject, detail, "start the nodes of the destination, or choose --if-exists undo");
    }

    fn existing(&mut self, index: usize, subject: &str, contents: &Contents, seen: &Observed) {
        if *contents == Contents::EmptyAtQuorum {
            let detail = "the table is empty as far as a quorum knows: a replica is away";
            self.checks.push(Line::warn("empty", subject, detail, "start all nodes of the destination"));
        }
        if self.counters.contains(subject) {
            return self.counters_in(subject, contents);
        }
        let empty = *contents != Contents::Rows;
        match self.options.if_exists {
            None => {
                let holds = if empty { "is empty, but may hold deletions, which win" } else { "holds rows" };
                self.fail("empty", subject, format!("the table exists and {holds}"), CHOICES);
            }
            Some(IfExists::Undo) => self.undo(index, subject, seen),
            Some(IfExists::Merge) => self.merge(index, subject, empty),
        }
    }

    fn merge(&mut self, index: usize, subject: &str, empty: bool) {
        self.objects[index].action = Action::Merge;
        let detail = "merge: original times; newer data and deletions win, and rows that are not in the version stay; a row \
                      under a newer deletion cannot be told from one that was not written";
        self.checks.push(Line::ok("merge", subject, detail));
        self.merged_lists(subject);
        if empty {
            return;
        }
        self.typed(subject);
        if self.options.ttl == TtlPolicy::Strip {
            let why = "a merge cannot strip: of two values of one time the one that expires wins";
            self.fail("ttl", subject, why, "restore beside by --rename, or use --ttl keep");
        }
    }

    /// Elements of lists have no names by which deletions could find them again.
    fn merged_lists(&mut self, subject: &str) {
        let Some(lists) = self.lists.get(subject) else { return };
        let detail = format!(
            "lists are merged as wholes ({}): elements that the application removed from one come back, with the whole list \
             appended behind what is there; before Cassandra 5.0 elements are told by value only",
            lists.join(", ")
        );
        let hint = "restore beside by --rename where removed elements must stay away";
        self.checks.push(Line::warn("lists", subject, detail, hint));
    }

    /// Counters are added up from nothing.
    fn counters_in(&mut self, subject: &str, contents: &Contents) {
        if self.options.if_exists == Some(IfExists::Undo) {
            self.fail("undo", subject, "counters cannot be undone in place", "restore the table under another name");
        } else if *contents == Contents::Empty {
            self.checks.push(Line::ok("empty", subject, "the table is there and empty"));
        } else {
            let detail = "the table holds counters and is not known to be empty at all replicas";
            self.fail("empty", subject, detail, "restore it under another name, or drop or truncate the table");
        }
    }

    fn undo(&mut self, index: usize, subject: &str, seen: &Observed) {
        self.objects[index].action = Action::Undo;
        self.typed(subject);
        let rest = if self.options.remove { "is removed where the version is complete" } else { "stays" };
        let detail = format!("undo: what differs from the version is overwritten; what it does not have {rest}");
        self.checks.push(Line::ok("undo", subject, detail));
        if self.options.ttl != TtlPolicy::Keep {
            self.fail("ttl", subject, "an undo compares expiries and keeps them", "use --ttl keep");
        }
        let lwt = "whether conditional updates are in progress (system.paxos) is not checked";
        self.checks.push(Line::warn("lwt", subject, lwt, "let no conditional update of these rows run meanwhile"));
        self.side_effects(subject, seen);
    }

    /// Views follow by themselves; change data capture sees the undo's writes.
    fn side_effects(&mut self, subject: &str, seen: &Observed) {
        let Some((keyspace, table)) = subject.split_once('/') else { return };
        let Some(there) = seen.keyspaces.iter().find(|k| k.name == keyspace) else { return };
        let views = statements::views_of(there, table);
        if !views.is_empty() {
            let detail = format!("materialised views follow by themselves: {}", views.join(", "));
            self.checks.push(Line::warn("view", subject, detail, "compare them after the undo"));
        }
        if statements::captures_changes(there, table) {
            let detail = "change data capture (cdc) is on: what reads it sees the undo's writes";
            self.checks.push(Line::warn("cdc", subject, detail, "tell those who read it"));
        }
    }

    /// Anything that overwrites needs the target's name typed.
    fn typed(&mut self, subject: &str) {
        if !self.options.into_non_empty.iter().any(|name| name == subject) {
            let hint = format!("type its name: --confirm-target {subject}");
            self.fail(CONFIRM, subject, "the table would be written over", &hint);
        }
    }

    /// True for tables that are undone.
    pub(super) fn is_undone(&self, keyspace: &str, table: &str) -> bool {
        let undone = self.objects.iter().filter(|o| o.action == Action::Undo);
        undone.map(|o| o.target.parts()).any(|parts| matches!(parts, [k, t] if k == keyspace && t == table))
    }
}

/// Name of the check that a target's name was typed.
pub(super) const CONFIRM: &str = "confirm-target";

/// Whether a table that exists can be undone. Columns that were dropped since are added again, those that were added stay;
/// keys and types of columns must be the same.
pub(super) fn fits(captured: &KeyspaceSchema, table: &str, there: &KeyspaceSchema) -> Vec<Line> {
    let find = |keyspace: &KeyspaceSchema| keyspace.tables.iter().find(|t| t.name == table).cloned();
    let (Some(captured), Some(there_table)) = (find(captured), find(there)) else { return Vec::new() };
    let subject = format!("{}/{table}", there.name);
    let hint = "restore the table under another name";
    let fail = |why: String| Line::fail("schema", &subject, why, hint);
    let mut lines: Vec<Line> = other_columns(&captured, &there_table).map(fail).collect();
    let missing = names(&captured).filter(|name| !names(&there_table).any(|n| n == *name));
    let added = names(&there_table).filter(|name| !names(&captured).any(|n| n == *name));
    lines.extend(missing.map(|name| {
        let detail = format!("column {name:?} was dropped since: it is added again");
        Line::warn("schema", &subject, detail, "drop it again afterwards if it is not wanted")
    }));
    lines.extend(added.map(|name| Line::ok("schema", &subject, format!("column {name:?} was added since: it stays"))));
    lines
}

/// Statements that add the columns again that were dropped since.
pub(super) fn added_again(captured: &KeyspaceSchema, table: &str, there: &KeyspaceSchema) -> Vec<String> {
    let find = |keyspace: &KeyspaceSchema| keyspace.tables.iter().find(|t| t.name == table).cloned();
    let (Some(captured), Some(there_table)) = (find(captured), find(there)) else { return Vec::new() };
    let missing = captured.columns.iter().filter(|column| !names(&there_table).any(|name| name == column.name));
    missing.map(|column| known::add_column(&there.name, table, column)).collect()
}

fn names(table: &TableRows) -> impl Iterator<Item = &str> {
    table.columns.iter().map(|column| column.name.as_str())
}

/// Columns of one name that are not the same in both, and key columns that only one has.
fn other_columns(captured: &TableRows, there: &TableRows) -> impl Iterator<Item = String> {
    let of = |table: &TableRows, name: &str| table.columns.iter().find(|c| c.name == name).cloned();
    let is_key = |kind: &str| kind == "partition_key" || kind == "clustering";
    let mut all: Vec<&str> = names(captured).chain(names(there)).collect();
    all.sort_unstable();
    all.dedup();
    let mut wrong = Vec::new();
    for name in all {
        match (of(captured, name), of(there, name)) {
            (Some(a), Some(b)) if a != b => wrong.push(format!("column {name:?} is another one now")),
            (Some(a), None) | (None, Some(a)) if is_key(&a.kind) => {
                wrong.push(format!("key column {name:?} is not in both"));
            }
            _ => {}
        }
    }
    wrong.into_iter()
}
