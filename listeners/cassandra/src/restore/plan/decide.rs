//! The plan of a restore: a pure function of what is asked for and what was seen.

use std::collections::{BTreeMap, BTreeSet};

use tidemark_catalog::{
    entry::{ObjectLine, Quality},
    ids::ObjectName,
};
use tidemark_gateway::causes::joined;
use tidemark_listener_core::{
    check::{Line, Status},
    restorer::{Action, IfExists, PlannedObject, RestorePlan},
};

use super::{existing, release::holds};
use crate::{
    cluster::KeyspaceSchema,
    consolidate::counts,
    describe::is_system_keyspace,
    level,
    restore::job::{CqlOptions, TtlPolicy},
    restore::{
        observe::{Observed, Unseen},
        plan::fit,
        schema::{renamed, statements},
        write::{statements::ttl::LAST_EXPIRY_2038, target::parse_read_level},
    },
};

/// Greatest difference of clocks that passes without a word, ms.
const CLOCK_MILLIS: i64 = 1_000;

/// An object to restore, with the schema in its entry; the error says why there is none.
pub struct Wanted<'a> {
    /// Its line in the version.
    pub line: &'a ObjectLine,
    /// Its keyspace as captured.
    pub schema: Result<KeyspaceSchema, String>,
}

/// Decides what a restore does. Nothing but its arguments goes in.
pub fn decide(
    wanted: &[Wanted<'_>],
    options: &CqlOptions,
    contact: &str,
    seen: &Result<Observed, Unseen>,
) -> RestorePlan {
    let moved: Vec<Wanted<'_>> = wanted.iter().map(|item| moved(item, options)).collect();
    let mut planner = Planner {
        wanted: &moved,
        options,
        checks: Vec::new(),
        schema: Vec::new(),
        indexes: Vec::new(),
        objects: Vec::new(),
        counters: BTreeSet::new(),
        lists: BTreeMap::new(),
    };
    planner.options();
    planner.objects();
    let write_level = match seen {
        Ok(seen) => planner.at(seen, contact),
        Err(unseen) => {
            planner.checks.push(Line::fail("connect", contact, unseen.why.clone(), unseen.hint));
            options.write_level.clone().unwrap_or_else(|| "all".to_owned())
        }
    };
    planner.finish(write_level, contact, seen)
}

/// Name of an object at the destination.
pub fn target_of(object: &ObjectName, options: &CqlOptions) -> Option<(String, String)> {
    let [keyspace, table] = object.parts() else { return None };
    let whole = options.rename.get(&format!("{keyspace}/{table}")).and_then(|to| to.split_once('/'));
    let renamed = options.rename.get(keyspace).unwrap_or(keyspace);
    let (keyspace, table) = whole.unwrap_or((renamed.as_str(), table.as_str()));
    (!keyspace.is_empty() && !table.is_empty()).then(|| (keyspace.to_owned(), table.to_owned()))
}

/// What is wanted, with the table named in its schema as it is to be named at the destination.
fn moved<'a>(item: &Wanted<'a>, options: &CqlOptions) -> Wanted<'a> {
    let names = (item.line.object.parts(), target_of(&item.line.object, options));
    let schema = match (&item.schema, names) {
        (Ok(schema), ([_, from], Some((_, to)))) if *from != to => renamed::table(schema, from, &to),
        (schema, _) => schema.clone(),
    };
    Wanted { line: item.line, schema }
}

pub(super) struct Planner<'a> {
    pub(super) wanted: &'a [Wanted<'a>],
    pub(super) options: &'a CqlOptions,
    pub(super) checks: Vec<Line>,
    pub(super) schema: Vec<String>,
    /// Indexes and views.
    pub(super) indexes: Vec<String>,
    pub(super) objects: Vec<PlannedObject>,
    /// Targets that hold counters.
    pub(super) counters: BTreeSet<String>,
    /// Names of non-frozen lists of targets that have some.
    pub(super) lists: BTreeMap<String, Vec<String>>,
}

impl Planner<'_> {
    pub(super) fn fail(&mut self, name: &str, subject: &str, detail: impl Into<String>, hint: &str) {
        self.checks.push(Line::fail(name, subject, detail, hint));
    }

    /// Options that fit to nothing.
    fn options(&mut self) {
        self.renames();
        if let Some(level) = self.options.write_level.clone().filter(|l| level::parse(l).is_none()) {
            self.fail("write-level", &level, "not a level that a restore writes at", "use all, quorum or local_quorum");
        }
        if self.options.remove && self.options.if_exists != Some(IfExists::Undo) {
            self.fail(
                "remove",
                "restore",
                "only an undo removes rows",
                "leave --remove away, or choose --if-exists undo",
            );
        }
        if let Some(level) = self.options.read_level.clone().filter(|l| parse_read_level(l).is_none()) {
            let detail = "not a level that an undo reads at: what it does not see would count as gone";
            self.fail("read-level", &level, detail, "use all, quorum, each_quorum or local_quorum");
        }
        if self.wanted.is_empty() {
            self.fail("objects", "restore", "there is nothing to restore", "name objects of the version");
        }
    }

    /// Renames that fit to nothing, or to something of another shape.
    fn renames(&mut self) {
        let options = self.options;
        let parts = self.wanted.iter().filter_map(|w| match w.line.object.parts() {
            [keyspace, table] => Some([keyspace.clone(), format!("{keyspace}/{table}")]),
            _ => None,
        });
        let sources: BTreeSet<String> = parts.flatten().collect();
        for (from, to) in &options.rename {
            if !sources.contains(from) {
                let hint = "name a keyspace or a keyspace/table of the version";
                self.fail("rename", from, "no object of this name is restored", hint);
            }
            if from.matches('/').count() != to.matches('/').count() {
                let hint = "rename keyspaces as KS=KS2, tables as KS/T=KS2/T2";
                self.fail("rename", from, format!("{to:?} is not a name of the same kind"), hint);
            }
        }
    }

    /// What can be said of the objects without the destination.
    fn objects(&mut self) {
        let wanted = self.wanted;
        let mut targets = BTreeSet::new();
        for item in wanted {
            let subject = item.line.object.to_string();
            self.quality(&item.line.quality, &subject);
            let Some(target) = target_of(&item.line.object, self.options) else {
                self.fail("object", &subject, "its name is not keyspace/table", "restore tables");
                continue;
            };
            if !targets.insert(target.clone()) {
                self.fail("target", &subject, "two objects go to one table", "rename them apart");
            }
            if !fit::is_keyspace_name(&target.0) {
                let hint = "use 1 to 48 letters, digits and underscores";
                self.fail("target", &subject, format!("{:?} cannot be the name of a keyspace", target.0), hint);
            }
            if !fit::is_keyspace_name(&target.1) && target.1 != item.line.object.parts()[1] {
                let hint = "use 1 to 48 letters, digits and underscores";
                self.fail("target", &subject, format!("{:?} cannot be the name of a table", target.1), hint);
            }
            if is_system_keyspace(&target.0) {
                self.fail("target", &subject, format!("{} belongs to Cassandra", target.0), "rename the keyspace");
            }
            self.planned(item, &target, &subject);
        }
    }

    fn planned(&mut self, item: &Wanted<'_>, target: &(String, String), subject: &str) {
        let Some(entry) = &item.line.entry else {
            self.fail("object", subject, "the version holds no data of it", "leave it out of the restore");
            return;
        };
        match &item.schema {
            Err(why) => self.fail("entry", subject, why.clone(), "verify the version"),
            Ok(keyspace) => self.restorable(keyspace, target, subject),
        }
        let Ok(name) = ObjectName::new([target.0.clone(), target.1.clone()]) else { return };
        let figures = &item.line.figures;
        self.objects.push(PlannedObject {
            object: item.line.object.clone(),
            target: name,
            entry: entry.clone(),
            action: Action::Load,
            rows: figures.records.saturating_add(counts::static_rows(figures)),
            stored_bytes: figures.kept_bytes(),
        });
    }

    fn quality(&mut self, quality: &Quality, subject: &str) {
        let Quality::Degraded { ranges } = quality else { return };
        let reason = ranges.first().map_or("", |r| r.reason.as_str());
        let detail = format!("not proven complete in {} ranges: {reason}", ranges.len());
        let hint = "accept degraded objects, or choose a version in which it is complete";
        let line = if self.options.accept_degraded { Line::warn } else { Line::fail };
        self.checks.push(line("complete", subject, detail, hint));
    }

    /// Whether CQL can make the table's rows again.
    fn restorable(&mut self, keyspace: &KeyspaceSchema, target: &(String, String), subject: &str) {
        let Some(rows) = keyspace.tables.iter().find(|t| t.name == target.1) else {
            return self.fail("schema", subject, "the entry does not hold the table's schema", "verify the version");
        };
        for why in fit::not_restorable(rows) {
            self.fail("restorable", subject, why, "export it instead, or leave it out");
        }
        if fit::has_counters(rows) {
            let detail = "counters are added up from nothing, in a table that is new or was truncated; their write times \
                          are not kept";
            self.checks.push(Line::warn(
                "counters",
                subject,
                detail,
                "let nobody write to the table until it is restored",
            ));
            self.counters.insert(format!("{}/{}", target.0, target.1));
        }
        let lists = rows.columns.iter().filter(|column| column.cql_type.starts_with("list<"));
        let lists: Vec<String> = lists.map(|column| column.name.clone()).collect();
        if !lists.is_empty() {
            self.lists.insert(format!("{}/{}", target.0, target.1), lists);
        }
    }

    /// Everything that depends on the destination; the level to write at.
    fn at(&mut self, seen: &Observed, contact: &str) -> String {
        self.checks.push(Line::ok(
            "connect",
            contact,
            format!("cluster {:?}, {} nodes", seen.cluster, seen.nodes.len()),
        ));
        self.cluster(seen, contact);
        self.ttl(seen, contact);
        self.roles(seen, contact);
        self.contents(seen);
        self.keyspaces(seen);
        self.level(seen, contact)
    }

    fn cluster(&mut self, seen: &Observed, contact: &str) {
        self.version(seen, contact);
        if !seen.partitioner.ends_with("Murmur3Partitioner") {
            self.fail(
                "partitioner",
                contact,
                seen.partitioner.clone(),
                "restore into a cluster with Murmur3Partitioner",
            );
        }
        if !seen.disagreement.is_empty() {
            let hint = "wait until the nodes agree, or see nodetool describecluster";
            self.fail("schema-agreement", contact, "the nodes do not agree about the schema", hint);
        }
        if seen.clock_offset_millis.abs() > CLOCK_MILLIS {
            let detail = format!("our clock and the destination's are {} ms apart", seen.clock_offset_millis);
            self.checks.push(Line::warn(
                "clock",
                contact,
                detail,
                "expiring data will expire by as much earlier or later",
            ));
        }
    }

    /// What becomes of times to live, and whether the destination can hold them.
    fn ttl(&mut self, seen: &Observed, contact: &str) {
        let policy = self.options.ttl;
        let promise = match policy {
            TtlPolicy::Keep => {
                "keep: data expires when it would have; what has expired since the cut does not come back"
            }
            TtlPolicy::Rebase => "rebase: data lives, from its restore on, for the time that it had left at the cut",
            TtlPolicy::Strip => "strip: what lived at the cut does not expire; defaults of tables stay for new writes",
        };
        let limited = policy != TtlPolicy::Strip && seen.last_expiry == LAST_EXPIRY_2038;
        let limit =
            "; the destination takes no expiry after 2038-01-19T03:14:06Z, and a row with a later one is left out";
        self.checks.push(Line::ok("ttl", contact, format!("{promise}{}", if limited { limit } else { "" })));
        for item in self.wanted.iter().filter(|_| limited) {
            let Ok(keyspace) = &item.schema else { continue };
            let target = target_of(&item.line.object, self.options);
            let table = keyspace.tables.iter().find(|t| target.as_ref().is_some_and(|(_, to)| *to == t.name));
            let default = table.map_or(0, |table| i64::from(table.default_time_to_live));
            if default > 0 && item.line.cut.through.as_second() + default > i64::from(seen.last_expiry) {
                let subject = item.line.object.to_string();
                let detail =
                    format!("its default time to live, {default} s, leads beyond the destination's last expiry");
                let hint = "use the policy strip, or a destination with storage_compatibility_mode NONE";
                self.checks.push(Line::warn("ttl", &subject, detail, hint));
            }
        }
    }

    /// Schema statements, keyspace by keyspace, checked against what exists.
    fn keyspaces(&mut self, seen: &Observed) {
        let mut groups: BTreeMap<(String, String), (KeyspaceSchema, Vec<String>)> = BTreeMap::new();
        for item in self.wanted {
            let (Ok(schema), Some(target)) = (&item.schema, target_of(&item.line.object, self.options)) else {
                continue;
            };
            let group = groups.entry((schema.name.clone(), target.0)).or_insert_with(|| (schema.clone(), Vec::new()));
            if schema.tables.iter().any(|t| t.name == target.1) {
                // Each entry is sure of its own table only.
                fit::adopt(&mut group.0, schema, &target.1);
                group.1.push(target.1);
            }
        }
        for ((_, target), (schema, tables)) in groups {
            self.keyspace(&schema, &tables, &target, seen);
        }
    }

    fn keyspace(&mut self, captured: &KeyspaceSchema, tables: &[String], target: &str, seen: &Observed) {
        let replication = self.options.replication.as_ref().unwrap_or(&captured.replication);
        let exists = seen.keyspaces.iter().find(|k| k.name == target);
        let (undone, loaded): (Vec<String>, Vec<String>) =
            tables.iter().cloned().partition(|table| self.is_undone(target, table));
        let lines = match exists {
            Some(exists) => fit::existing(captured, tables, &loaded, exists),
            None => fit::replication(target, replication, &seen.nodes),
        };
        self.checks.extend(lines);
        if let Some(exists) = exists {
            self.checks.extend(undone.iter().flat_map(|table| existing::fits(captured, table, exists)));
            let again: Vec<String> =
                undone.iter().flat_map(|table| existing::added_again(captured, table, exists)).collect();
            if !again.is_empty() {
                match statements::statements(captured, &[], target, replication) {
                    Err(why) => self.fail("schema", target, joined(&why), "report this with the entry's schema"),
                    Ok(made) => self.schema.extend(made.types.into_iter().chain(again)),
                }
            }
        }
        let tables: Vec<&str> = loaded.iter().map(String::as_str).collect();
        if tables.is_empty() {
            return;
        }
        let holds = holds(seen);
        let unknown = holds.unknown_types(&captured.types);
        let captured = self.held(captured, &tables, target, holds);
        match statements::statements(&captured, &tables, target, replication) {
            Err(why) => self.fail("schema", target, joined(&why), "report this with the entry's schema"),
            Ok(made) => {
                self.schema.extend(exists.is_none().then_some(made.keyspace));
                let functions = self.functions(made.functions, target, exists, seen.functions, |statement| {
                    holds.is_unknown_function(statement, &unknown)
                });
                let tables = self.unmasked(made.tables, target, &functions.lost);
                let tables = self.fitted(tables, target, holds);
                self.schema.extend(made.types.into_iter().chain(functions.statements).chain(tables));
                let indexes = self.fitted(made.indexes, target, holds);
                self.indexes.extend(indexes);
                self.views(made.views, target, seen);
                let hint = "make it again by hand after the restore";
                self.checks.extend(made.warnings.into_iter().map(|w| Line::warn("schema", target, w, hint)));
            }
        }
    }

    /// Views are made where the destination allows them.
    fn views(&mut self, views: Vec<(String, String)>, target: &str, seen: &Observed) {
        for (name, statement) in views {
            if seen.allows_views {
                let fitted = self.fitted(vec![statement], target, holds(seen));
                self.indexes.extend(fitted);
            } else {
                let detail =
                    format!("materialised view {name} is not made again: the destination does not allow views");
                let hint = "set materialized_views_enabled at the destination, or make it there by hand";
                self.checks.push(Line::warn("view", target, detail, hint));
            }
        }
    }

    /// ALL while every node is up, else the level that the caller declared.
    fn level(&mut self, seen: &Observed, contact: &str) -> String {
        let down: Vec<&str> = seen.nodes.iter().filter(|n| !n.up).map(|n| n.address.as_str()).collect();
        let declared = self.options.write_level.clone().map(|l| l.to_ascii_lowercase());
        if down.is_empty() {
            let fallback = match declared.as_deref().filter(|l| *l != "all") {
                Some(level) => format!("; {level} should a replica go away"),
                None => String::new(),
            };
            self.checks.push(Line::ok("write-level", contact, format!("all{fallback}")));
            return "all".to_owned();
        }
        let detail = format!("nodes are down: {}", down.join(", "));
        if let Some(counters) = self.counters.first().cloned() {
            self.fail("write-level", &counters, format!("{detail}; counters are written at all"), "start them");
        }
        match declared.filter(|l| l != "all") {
            Some(level) => {
                let detail = format!("{detail}; writes at {level}");
                self.checks.push(Line::warn("write-level", contact, detail, "repair the restored tables afterwards"));
                level
            }
            None => {
                self.fail("write-level", contact, detail, "start them, or declare another level to write at");
                "all".to_owned()
            }
        }
    }

    fn finish(mut self, write_level: String, contact: &str, seen: &Result<Observed, Unseen>) -> RestorePlan {
        self.schema.append(&mut self.indexes);
        let destination = match seen {
            Ok(seen) => format!("{} ({contact}), {} nodes, Cassandra {}", seen.cluster, seen.nodes.len(), seen.release),
            Err(_) => contact.to_owned(),
        };
        RestorePlan {
            rows: self.objects.iter().fold(0, |sum, object| sum.saturating_add(object.rows)),
            stored_bytes: self.objects.iter().fold(0, |sum, object| sum.saturating_add(object.stored_bytes)),
            objects: self.objects,
            schema: self.schema,
            checks: self.checks,
            write_level: Some(write_level),
            destination,
        }
    }
}

/// The checks that refuse the run.
pub fn refusals(plan: &RestorePlan) -> Vec<&Line> {
    plan.checks.iter().filter(|line| line.status == Status::Fail).collect()
}

#[cfg(test)]
mod tests;
