//! What of a plan depends on the releases of the destination's nodes.

use std::collections::BTreeSet;

use tidemark_gateway::causes::joined;
use tidemark_listener_core::check::Line;

use super::decide::Planner;
use crate::{
    cluster::KeyspaceSchema,
    describe::releases,
    release::Release,
    restore::{observe::Observed, schema::older::Holds},
};

/// What to do where nodes do not take each other's schema changes.
const MID_UPGRADE: &str = "end the upgrade first: until then new tables do not reach every node";

/// What the destination can hold, judged by its oldest node.
pub(super) fn holds(seen: &Observed) -> Holds {
    let oldest = releases(&seen.members).into_iter().next();
    Holds { release: oldest.unwrap_or(Release::V4_0), masks: seen.allows_masks }
}

impl Planner<'_> {
    /// One release among all nodes, from 4.0 on, and one storage compatibility mode: nodes of 5.0 take schema changes from nodes
    /// of their release and mode only (`MigrationCoordinator`).
    pub(super) fn version(&mut self, seen: &Observed, contact: &str) {
        let versions: BTreeSet<&str> = seen.members.iter().map(|member| member.release.as_str()).collect();
        let versions = versions.into_iter().collect::<Vec<_>>().join(", ");
        let releases = releases(&seen.members);
        if releases.first().is_none_or(|oldest| *oldest < Release::V4_0) {
            self.fail("version", contact, format!("Cassandra {versions}"), "restore into 4.0 or later");
        } else if releases.len() > 1 {
            self.fail("version", contact, format!("nodes of several releases: {versions}"), MID_UPGRADE);
        } else if seen.modes.len() > 1 {
            let each: Vec<String> =
                seen.modes.iter().map(|(mode, nodes)| format!("{mode} ({})", nodes.join(", "))).collect();
            let detail = format!("nodes of several storage compatibility modes: {}", each.join(", "));
            self.fail("version", contact, detail, MID_UPGRADE);
        } else {
            self.checks.push(Line::ok("version", contact, versions));
        }
    }

    /// The keyspace without the types that the destination's release does not know; tables that need one of them, or have
    /// columns of such types, are refused.
    pub(super) fn held(
        &mut self,
        captured: &KeyspaceSchema,
        tables: &[&str],
        target: &str,
        holds: Holds,
    ) -> KeyspaceSchema {
        let unknown = holds.unknown_types(&captured.types);
        for table in captured.tables.iter().filter(|table| tables.contains(&table.name.as_str())) {
            for (column, cql_type) in holds.unknown_columns(table, &unknown) {
                let detail =
                    format!("column {column:?} is a {cql_type}, which Cassandra {} does not know", holds.release);
                self.fail("release", &format!("{target}/{}", table.name), detail, "restore into 5.0, or leave it out");
            }
        }
        let mut captured = captured.clone();
        captured.types.retain(|udt| !unknown.contains(&udt.name));
        captured
    }

    /// The statements as the destination takes them; what is left out is said.
    pub(super) fn fitted(&mut self, statements: Vec<String>, target: &str, holds: Holds) -> Vec<String> {
        let mut kept = Vec::new();
        for statement in statements {
            match holds.fit(&statement) {
                Err(why) => self.fail("schema", target, joined(&why), "report this with the entry's schema"),
                Ok(fitted) => {
                    let hint = "restore into a destination that has it, or make up for it by hand";
                    let subject = format!("{target}/{}", fitted.name);
                    let line = |what: String| Line::warn("release", &subject, what, hint);
                    self.checks.extend(fitted.lacking.into_iter().map(line));
                    kept.extend(fitted.statement);
                }
            }
        }
        kept
    }
}
