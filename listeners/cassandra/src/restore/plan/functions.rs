//! What a plan says of functions, aggregates, and of what is not part of a version.

use std::collections::BTreeSet;

use tidemark_gateway::causes::joined;
use tidemark_listener_core::check::Line;

use super::decide::Planner;
use crate::{
    cluster::KeyspaceSchema,
    restore::{
        observe::Observed,
        schema::{
            functions::{self, Chosen, Languages},
            older::not_masked,
            statements::Function,
        },
    },
};

/// What to do about functions that are not made.
const BY_HAND: &str = "set user_defined_functions_enabled at the destination, or do without";

impl Planner<'_> {
    /// The functions and aggregates that are made; of the others, and of those that exist otherwise, a word is said.
    pub(super) fn functions(
        &mut self,
        functions: Vec<Function>,
        target: &str,
        exists: Option<&KeyspaceSchema>,
        languages: Languages,
        unknown: impl Fn(&str) -> bool,
    ) -> Chosen {
        let others = exists.map(|there| functions::others_of_the_name(&functions, there)).unwrap_or_default();
        for other in others {
            let detail = format!("{} {} exists with another definition, which stays", other.kind, other.name);
            self.checks.push(Line::warn("function", target, detail, "compare both; no row depends on it"));
        }
        let chosen = functions::choose(functions, languages, unknown);
        let lines = chosen.left_out.iter().map(|why| Line::warn("function", target, why.clone(), BY_HAND));
        self.checks.extend(lines);
        chosen
    }

    /// Tables without the masks whose functions are not made.
    pub(super) fn unmasked(&mut self, tables: Vec<String>, target: &str, lost: &BTreeSet<String>) -> Vec<String> {
        if lost.is_empty() {
            return tables;
        }
        let mut kept = Vec::new();
        for table in tables {
            match functions::without_masks(&table, lost) {
                Err(why) => self.fail("schema", target, joined(&why), "report this with the entry's schema"),
                Ok((statement, columns)) => {
                    let line = |column: &String| Line::warn("function", target, not_masked(column), BY_HAND);
                    self.checks.extend(columns.iter().map(line));
                    kept.push(statement);
                }
            }
        }
        kept
    }

    /// Who may do what is not part of a version.
    pub(super) fn roles(&mut self, seen: &Observed, contact: &str) {
        let detail = "roles and permissions are not part of a version";
        self.checks.push(match seen.authorizes {
            true => Line::warn("roles", contact, detail, "grant at the destination what its users need"),
            false => Line::ok("roles", contact, detail),
        });
    }
}
