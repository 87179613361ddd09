//! What is to be restored by CQL: the job with its options as Cassandra understands them.

use std::{collections::BTreeMap, sync::Arc};

use object_store::ObjectStore;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tidemark_catalog::entry::ObjectLine;
use tidemark_gateway::{Env, causes::joined};
use tidemark_listener_core::{
    failure::Failure,
    restorer::{CommonOptions, IfExists, RestoreJob, Selection},
    shape,
};

/// A restore by CQL.
#[derive(Clone, Debug)]
pub struct CqlJob {
    /// Lines of the tables to restore, all with entries.
    pub lines: Vec<ObjectLine>,
    /// Where they are.
    pub store: Arc<dyn ObjectStore>,
    /// Specification of the destination.
    pub destination: Value,
    /// Options.
    pub options: CqlOptions,
    /// Clocks.
    pub env: Env,
}

impl CqlJob {
    /// The job in Cassandra's words.
    ///
    /// # Errors
    /// `TM-REST-0104` naming the option that is not known or wrong.
    pub fn of(job: &RestoreJob) -> Result<Self, Failure> {
        let RestoreJob { lines, store, destination, options, env } = job.clone();
        let options = CqlOptions::of(options.common, Own::parse(&options.source)?);
        Ok(Self { lines, store, destination, options, env })
    }
}

/// Options that only Cassandra knows, as a restore gives them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Own {
    /// Replication of new keyspaces (`{"class": "SimpleStrategy", "replication_factor": "1"}`).
    pub replication: Option<BTreeMap<String, String>>,
    /// Level to write at: `all` by default.
    pub write_level: Option<String>,
    /// Level to read an undo's target at; one that meets every acknowledged write by default.
    pub read_level: Option<String>,
    /// What becomes of times to live.
    pub ttl: TtlPolicy,
}

impl Own {
    /// Parses options. Levels are checked by the plan, which names them in its lines.
    ///
    /// # Errors
    /// `TM-REST-0104` naming the option.
    pub fn parse(options: &Value) -> Result<Self, Failure> {
        let wrong = |error| Failure::new("TM-REST-0104", format!("options of the restore: {}", joined(&error)));
        shape::read(options).map_err(wrong)
    }
}

/// Options of a restore by CQL: those of all kinds of source, and Cassandra's own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CqlOptions {
    /// Names to change, from → to: keyspaces, or whole tables (`ks/t` → `ks2/t2`), which go first.
    pub rename: BTreeMap<String, String>,
    /// Replication of new keyspaces.
    pub replication: Option<BTreeMap<String, String>>,
    /// Level to write at: `all` by default.
    pub write_level: Option<String>,
    /// Names of tables that may be overwritten, typed by a person.
    pub into_non_empty: Vec<String>,
    /// What becomes of tables that hold rows already; without it they are refused.
    pub if_exists: Option<IfExists>,
    /// An undo removes what the version does not have, where the version is proven complete.
    pub remove: bool,
    /// Which rows and columns; all by default.
    pub selection: Selection,
    /// How far the clocks of the destination's clients may be off, µs, from 0.
    pub client_clock_bound_micros: i64,
    /// Level to read an undo's target at.
    pub read_level: Option<String>,
    /// Restore tables whose state is not proven complete.
    pub accept_degraded: bool,
    /// What becomes of times to live.
    pub ttl: TtlPolicy,
    /// End at the first row or table that cannot be written.
    pub strict: bool,
}

impl CqlOptions {
    fn of(common: CommonOptions, own: Own) -> Self {
        let CommonOptions {
            rename,
            into_non_empty,
            if_exists,
            remove,
            selection,
            client_clock_bound_micros,
            accept_degraded,
            strict,
        } = common;
        let Own { replication, write_level, read_level, ttl } = own;
        Self {
            rename,
            replication,
            write_level,
            into_non_empty,
            if_exists,
            remove,
            selection,
            client_clock_bound_micros,
            read_level,
            accept_degraded,
            ttl,
            strict,
        }
    }
}

impl Default for CqlOptions {
    fn default() -> Self {
        Self::of(CommonOptions::default(), Own::default())
    }
}

/// What becomes of times to live in a restore.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TtlPolicy {
    /// Data expires when it would have at the source; what has expired since the cut does not come back.
    #[default]
    Keep,
    /// What lived at the cut lives, from its restore on, for the time that it had left at the cut.
    Rebase,
    /// What lived at the cut does not expire.
    Strip,
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn options_are_read_by_name_and_others_refused() {
        assert_eq!(CqlOptions::default().client_clock_bound_micros, 1_000_000);
        let own = Own::parse(&json!({"ttl": "strip", "write_level": "quorum"})).unwrap();
        let options = CqlOptions::of(CommonOptions { strict: true, ..CommonOptions::default() }, own);
        assert_eq!((options.ttl, options.write_level.as_deref()), (TtlPolicy::Strip, Some("quorum")));
        assert!(options.strict);
        for (wrong, word) in
            [(json!({"tll": "keep"}), "tll"), (json!({"ttl": "never"}), "never"), (json!(1), "options")]
        {
            let failure = Own::parse(&wrong).unwrap_err();
            assert!(failure.code == "TM-REST-0104" && failure.message.contains(word), "{failure}");
        }
    }
}
