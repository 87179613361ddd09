//! What a restore or a count was asked to do, as it is stored with its task.

use std::collections::BTreeMap;

use jiff::SignedDuration;
use serde::{Deserialize, Deserializer, Serialize, de::Error as _};
use serde_json::{Map, Value};
use tidemark_catalog::ids::SourceId;
use tidemark_listener_core::restorer::{self, CLIENT_CLOCK_BOUND_MICROS, CommonOptions, RestoreOptions, Selection};

use crate::version_name::{Pin, VersionName};

/// The specification of a restore task and of a count task.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RestoreSpec {
    /// As it was asked for.
    #[serde(deserialize_with = "of_any_build")]
    pub restore: Restore,
}

/// A restore as any build stored it: at first what is Cassandra's stood beside the rest.
fn of_any_build<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Restore, D::Error> {
    let mut stored = Map::deserialize(deserializer)?;
    let beside = ["replication", "write_level", "read_level", "ttl"];
    let beside: Vec<_> = beside.into_iter().filter_map(|name| Some((name.to_owned(), stored.remove(name)?))).collect();
    let options = stored.entry("options").or_insert_with(nothing);
    if let Value::Object(options) = options {
        options.extend(beside.into_iter().filter(|(_, value)| !value.is_null()));
    }
    serde_json::from_value(Value::Object(stored)).map_err(D::Error::custom)
}

/// A restore as it was asked for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Restore {
    /// Version to restore.
    pub version: VersionName,
    /// The manifest that was planned: what is run is this one or none. Every restore is pinned when it is asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pin: Option<Pin>,
    /// Patterns of its objects, texts of [`Pattern`](tidemark_catalog::pattern::Pattern); all where empty.
    #[serde(default)]
    pub objects: Vec<String>,
    /// Destination: a registered source.
    pub to: SourceId,
    /// First parts of object names or whole object names to rename, from → to; objects go first.
    #[serde(default)]
    pub rename: BTreeMap<String, String>,
    /// Destination objects that may be overwritten, by full name.
    #[serde(default)]
    pub into_non_empty: Vec<String>,
    /// What becomes of destination objects that hold data; without it they are refused.
    #[serde(default)]
    pub if_exists: Option<IfExists>,
    /// An undo removes what the version does not have, where the version is proven complete.
    #[serde(default)]
    pub remove: bool,
    /// Condition on the rows, in the source kind's own words; all rows where absent.
    #[serde(default, rename = "where")]
    pub rows: Option<String>,
    /// Columns by name; all where empty.
    #[serde(default)]
    pub columns: Vec<String>,
    /// How far the clocks of the destination's clients may be off, ms.
    #[serde(default)]
    pub client_clock_bound_millis: Option<u32>,
    /// Destination objects, by full name, that are undone without keeping a version of their present state.
    #[serde(default)]
    pub no_safety_version: Vec<String>,
    /// Restore what is not proven complete.
    #[serde(default)]
    pub accept_degraded: bool,
    /// End at the first row or object that cannot be written.
    #[serde(default)]
    pub strict: bool,
    /// What the destination's kind of source is told in its own words, an object.
    #[serde(default = "nothing")]
    pub options: Value,
}

fn nothing() -> Value {
    Value::Object(Map::new())
}

/// What becomes of a destination object that holds data.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum IfExists {
    /// It becomes the version's state.
    Undo,
    /// The version's data is added with its own times.
    Merge,
}

impl Restore {
    /// How far the clocks of the destination's clients may be off.
    pub fn client_clock_bound(&self) -> SignedDuration {
        let bound = self.client_clock_bound_millis.map(|millis| SignedDuration::from_millis(millis.into()));
        bound.unwrap_or(SignedDuration::from_micros(CLIENT_CLOCK_BOUND_MICROS))
    }
}

impl From<&Restore> for RestoreOptions {
    /// What a restorer is told of it.
    fn from(restore: &Restore) -> Self {
        let bound = restore.client_clock_bound().as_micros();
        let common = CommonOptions {
            rename: restore.rename.clone(),
            into_non_empty: restore.into_non_empty.clone(),
            if_exists: restore.if_exists.map(restorer::IfExists::from),
            remove: restore.remove,
            selection: Selection { rows: restore.rows.clone(), columns: restore.columns.clone() },
            client_clock_bound_micros: i64::try_from(bound).expect("32 bits of milliseconds are fewer microseconds"),
            accept_degraded: restore.accept_degraded,
            strict: restore.strict,
        };
        Self { common, source: restore.options.clone() }
    }
}

impl From<IfExists> for restorer::IfExists {
    fn from(choice: IfExists) -> Self {
        match choice {
            IfExists::Undo => Self::Undo,
            IfExists::Merge => Self::Merge,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn restore(more: Value) -> Result<Restore, serde_json::Error> {
        let mut whole = json!({"version": "shop.daily.1", "to": "copy"});
        whole.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        serde_json::from_value(whole)
    }

    #[test]
    fn the_bound_of_the_clocks_is_a_second_where_nobody_says_otherwise() {
        let micros = |more| RestoreOptions::from(&restore(more).unwrap()).common.client_clock_bound_micros;
        assert_eq!(micros(json!({})), 1_000_000);
        assert_eq!(micros(json!({"client_clock_bound_millis": 0})), 0);
        assert_eq!(micros(json!({"client_clock_bound_millis": u32::MAX})), i64::from(u32::MAX) * 1_000);
    }

    #[test]
    fn a_driver_is_told_all_of_it() {
        let asked = json!({
            "rename": {"ks": "ks2"}, "into_non_empty": ["ks2/t"],
            "if_exists": "merge", "remove": true, "where": "k = 1", "columns": ["v"],
            "client_clock_bound_millis": 5, "accept_degraded": true, "strict": true, "options": {"ttl": "strip"},
        });
        let told = RestoreOptions {
            common: CommonOptions {
                rename: [("ks".to_owned(), "ks2".to_owned())].into(),
                into_non_empty: vec!["ks2/t".to_owned()],
                if_exists: Some(restorer::IfExists::Merge),
                remove: true,
                selection: Selection { rows: Some("k = 1".to_owned()), columns: vec!["v".to_owned()] },
                client_clock_bound_micros: 5_000,
                accept_degraded: true,
                strict: true,
            },
            source: json!({"ttl": "strip"}),
        };
        assert_eq!(RestoreOptions::from(&restore(asked).unwrap()), told);
    }

    #[test]
    fn a_restore_of_an_earlier_build_is_read() {
        let stored = json!({"restore": {
            "version": "shop.daily.1", "to": "copy", "replication": null, "write_level": "two", "read_level": null, "ttl": "keep",
        }});
        let spec: RestoreSpec = serde_json::from_value(stored).unwrap();
        assert_eq!(spec.restore.options, json!({"write_level": "two", "ttl": "keep"}));
        let again: RestoreSpec = serde_json::from_value(serde_json::to_value(&spec).unwrap()).unwrap();
        assert_eq!(again, spec);
    }

    #[test]
    fn hostile_values_are_refused() {
        for more in [
            json!({"version": "shop.daily"}),
            json!({"to": "../copy"}),
            json!({"pin": "r"}),
            json!({"if_exists": "replace"}),
            json!({"ttl": "keep"}),
            json!({"client_clock_bound_millis": -1}),
            json!({"more": 1}),
        ] {
            assert!(restore(more.clone()).is_err(), "{more}");
        }
    }
}
