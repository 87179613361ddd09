//! The records of registrations, as the coordinator and the mirrors in the stores hold them. None holds a secret.

use jiff::{Timestamp, tz::TimeZone};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use tidemark_catalog::{
    ids::{SetId, SourceId, StoreId},
    pattern::{self, Patterns},
    repository,
    retention::Retention,
};
use tidemark_gateway::open::Checksums;

use crate::{
    limits::LimitsSpec,
    schedule::{self, Schedule, ScheduleSpec},
};

/// A registered store. Credentials are a reference, never themselves.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StoreRecord {
    /// Name.
    pub name: String,
    /// URL without secrets.
    pub url: String,
    /// `env:PREFIX` or `file:/path`.
    pub credentials: Option<String>,
    /// The same for listeners, where they have credentials of their own.
    #[serde(default)]
    pub listener_credentials: Option<String>,
    /// Id of the repository in it; empty until it is known.
    pub repository: String,
    /// How versions are committed to it.
    pub commit_mode: CommitMode,
    /// It has shown that it verifies checksums.
    #[serde(default)]
    pub checksums: bool,
    /// What the daemon and its listeners together may ask of it.
    #[serde(default, skip_serializing_if = "LimitsSpec::is_none")]
    pub limits: LimitsSpec,
}

/// How versions are committed to a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum CommitMode {
    /// The store creates a name atomically, and once.
    #[serde(rename = "a")]
    AtomicCreate,
}

impl From<repository::CommitMode> for CommitMode {
    fn from(mode: repository::CommitMode) -> Self {
        match mode {
            repository::CommitMode::CreateOnly => Self::AtomicCreate,
        }
    }
}

impl StoreRecord {
    /// What its checksums are worth.
    pub fn checksums(&self) -> Checksums {
        if self.checksums { Checksums::Told } else { Checksums::Unproven }
    }
}

/// A registered source.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SourceRecord {
    /// Name.
    pub name: String,
    /// Kind, for example `cassandra`.
    pub kind: String,
    /// The kind's own specification; names credentials, does not hold them.
    pub spec: serde_json::Value,
    /// The store whose mirror it came from, until an operator confirms it. Never mirrored.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub imported_from: Option<String>,
}

impl SourceRecord {
    /// True where an operator has said it, or has confirmed what a store's mirror said. Without that nothing of it is executed,
    /// read or connected to, and no slot of its policies is due.
    pub fn is_confirmed(&self) -> bool {
        self.imported_from.is_none()
    }

    /// True where both say the same of one source.
    pub fn says(&self, other: &Self) -> bool {
        (&self.name, &self.kind, &self.spec) == (&other.name, &other.kind, &other.spec)
    }
}

/// A registered policy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "StoredPolicy")]
pub struct PolicyRecord {
    /// Name, which is that of its version set.
    pub name: SetId,
    /// Source.
    pub source: SourceId,
    /// Patterns of objects, texts of [`Pattern`](tidemark_catalog::pattern::Pattern).
    pub objects: Vec<String>,
    /// Patterns of objects that are left alone, whatever `objects` says.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub excludes: Vec<String>,
    /// Store.
    pub store: StoreId,
    /// When it runs by itself, as it was given; absent: only when it is asked to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub schedule: Option<ScheduleSpec>,
    /// Which versions are kept; absent: all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub keep: Option<Retention>,
    /// IANA name of the zone of its days and weeks, the same as its schedule's; UTC where it is absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub zone: Option<String>,
    /// What it says in the source kind's own words, an object.
    pub options: Value,
    /// True where its schedule rests.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub paused: bool,
    /// True where staged bytes stay after their version is committed.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub keep_staged: bool,
    /// What a run of it may ask of storage.
    #[serde(skip_serializing_if = "LimitsSpec::is_none")]
    pub limits: LimitsSpec,
    /// The store whose mirror it came from, until an operator confirms it. Never mirrored.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub imported_from: Option<String>,
    /// When it was made, resumed or confirmed, or got its first schedule: from then on runs are awaited. Absent where an older build
    /// wrote it. Never mirrored.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub active_since: Option<Timestamp>,
}

impl PolicyRecord {
    /// The same in the place of `known`: where that one did not run by itself, runs are awaited from `now` on.
    #[must_use]
    pub fn after(self, known: Option<&Self>, now: Timestamp) -> Self {
        let ran = known.filter(|known| !known.paused && known.is_confirmed() && known.schedule.is_some());
        Self { active_since: ran.map_or(Some(now), |known| known.active_since), ..self }
    }

    /// The same without when it became active: what tells one policy from another.
    #[must_use]
    pub fn timeless(&self) -> Self {
        Self { active_since: None, ..self.clone() }
    }

    /// True where an operator has said it, or has confirmed what a store's mirror said. Without that it does not run, protects
    /// nothing, and lets nothing go.
    pub fn is_confirmed(&self) -> bool {
        self.imported_from.is_none()
    }

    /// A policy that says nothing more.
    pub fn new(name: SetId, source: SourceId, objects: Vec<String>, store: StoreId) -> Self {
        Self {
            name,
            source,
            objects,
            excludes: Vec::new(),
            store,
            schedule: None,
            keep: None,
            zone: None,
            options: Value::Object(Map::new()),
            paused: false,
            keep_staged: false,
            limits: LimitsSpec::default(),
            imported_from: None,
            active_since: None,
        }
    }

    /// Its schedule, where it has one.
    ///
    /// # Errors
    /// [`schedule::Error`], also for what this host does not know although another one did: the zone.
    pub fn schedule(&self) -> Result<Option<Schedule>, schedule::Error> {
        self.schedule.clone().map(Schedule::try_from).transpose()
    }

    /// The schedule by which it runs now: none while it is paused, or is not confirmed.
    ///
    /// # Errors
    /// As [`PolicyRecord::schedule`].
    pub fn active_schedule(&self) -> Result<Option<Schedule>, schedule::Error> {
        if self.paused || !self.is_confirmed() { Ok(None) } else { self.schedule() }
    }

    /// The zone of its days and weeks.
    ///
    /// # Errors
    /// [`schedule::Error::Zone`] for a name that this host does not know.
    pub fn zone(&self) -> Result<TimeZone, schedule::Error> {
        self.zone.as_deref().map_or(Ok(TimeZone::UTC), schedule::zone)
    }

    /// Its limits; hours that name no zone are in its own.
    pub fn limits(&self) -> LimitsSpec {
        self.limits.clone().within(self.zone.as_deref())
    }

    /// The objects that it is about.
    ///
    /// # Errors
    /// [`pattern::Error`] for the first text that is no pattern.
    pub fn patterns(&self) -> Result<Patterns, pattern::Error> {
        Patterns::parse(&self.objects)?.without(&self.excludes)
    }
}

/// A policy as any build stored it: at first what is Cassandra's stood beside the rest.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct StoredPolicy {
    name: SetId,
    source: SourceId,
    objects: Vec<String>,
    #[serde(default)]
    excludes: Vec<String>,
    store: StoreId,
    schedule: Option<ScheduleSpec>,
    keep: Option<Retention>,
    zone: Option<String>,
    #[serde(default)]
    options: Map<String, Value>,
    #[serde(default)]
    paused: bool,
    #[serde(default)]
    keep_staged: bool,
    #[serde(default)]
    limits: LimitsSpec,
    imported_from: Option<String>,
    active_since: Option<Timestamp>,
    write_level: Option<Value>,
    repaired: Option<Value>,
}

impl From<StoredPolicy> for PolicyRecord {
    fn from(stored: StoredPolicy) -> Self {
        let StoredPolicy { name, source, objects, store, mut options, write_level, repaired, .. } = stored;
        let beside = [("write_level", write_level), ("repaired", repaired)];
        options.extend(beside.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))));
        Self {
            excludes: stored.excludes,
            schedule: stored.schedule,
            keep: stored.keep,
            zone: stored.zone,
            options: Value::Object(options),
            paused: stored.paused,
            keep_staged: stored.keep_staged,
            limits: stored.limits,
            imported_from: stored.imported_from,
            active_since: stored.active_since,
            ..Self::new(name, source, objects, store)
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn policy(field: &str, value: Value) -> Result<PolicyRecord, serde_json::Error> {
        let mut policy = json!({"name": "daily", "source": "shop", "objects": ["ks/*"], "store": "s"});
        policy[field] = value;
        serde_json::from_value(policy)
    }

    #[test]
    fn a_policy_is_stored_under_its_names() {
        let record = policy("options", json!({"deep": true})).unwrap();
        let stored = json!({
            "name": "daily", "source": "shop", "objects": ["ks/*"], "store": "s",
            "options": {"deep": true},
        });
        assert_eq!(serde_json::to_value(&record).unwrap(), stored);
        assert_eq!(policy("store", json!("t")).unwrap().options, json!({}), "nothing is said");
        let full = json!({
            "name": "daily", "source": "shop", "objects": ["ks/*"], "excludes": ["ks/tmp_*"], "store": "s",
            "schedule": {"cron": "0 3 * * *", "zone": "Europe/Vienna", "windows": ["mon-fri"], "jitter": "5m"},
            "keep": {"last": 3, "within": "36h", "daily": 7}, "zone": "Europe/Vienna",
            "options": {}, "paused": true, "keep_staged": true,
            "limits": {"bytes_per_second": 65536, "hours": [{"when": "sat,sun 00:00-24:00", "requests": 4}]},
            "imported_from": "s", "active_since": "2026-11-29T12:00:00Z",
        });
        let record: PolicyRecord = serde_json::from_value(full.clone()).unwrap();
        assert!(record.paused && record.keep_staged && record.excludes == ["ks/tmp_*"]);
        assert!(record.schedule().unwrap().is_some() && record.active_schedule().unwrap().is_none());
        assert_eq!(record.limits().hours[0].zone.as_deref(), Some("Europe/Vienna"));
        assert_eq!(serde_json::to_value(&record).unwrap(), full);
        let mut first = json!({"name": "daily", "source": "shop", "objects": ["ks/*"], "store": "s"});
        first["write_level"] = json!("quorum");
        first["repaired"] = json!(true);
        let read: PolicyRecord = serde_json::from_value(first).unwrap();
        assert_eq!(read.options, json!({"write_level": "quorum", "repaired": true}), "what stood beside the rest");
    }

    #[test]
    fn a_policy_is_awaited_since_it_was_made_or_resumed_whatever_is_changed_of_it() {
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        let (made, later) = (at("2026-11-29T12:00:00Z"), at("2026-11-30T12:00:00Z"));
        let hourly = policy("schedule", json!({"every": "1h"})).unwrap().after(None, made);
        assert_eq!(hourly.active_since, Some(made));
        let since = |known: &PolicyRecord| hourly.timeless().after(Some(known), later).active_since;
        assert_eq!(since(&hourly), Some(made), "it ran all the time");
        let other =
            PolicyRecord { schedule: serde_json::from_value(json!({"every": "2h"})).unwrap(), ..hourly.clone() };
        assert_eq!(since(&other), Some(made), "a backup that is late is not on time because its schedule was edited");
        for rested in [
            PolicyRecord { paused: true, ..hourly.clone() },
            PolicyRecord { imported_from: Some("s".to_owned()), ..hourly.clone() },
            PolicyRecord { schedule: None, ..hourly.clone() },
        ] {
            assert_eq!(since(&rested), Some(later), "{rested:?}");
        }
        assert_eq!(since(&hourly.timeless()), None, "of one that an older build wrote nobody knows");
    }

    #[test]
    fn a_policy_with_hostile_values_is_refused() {
        for (field, value) in [
            ("name", json!("../x")),
            ("source", json!("a/b")),
            ("store", json!("")),
            ("objects", json!("ks/*")),
            ("more", json!(1)),
        ] {
            assert!(policy(field, value).is_err(), "{field}");
        }
    }

    #[test]
    fn a_store_is_stored_under_the_names_it_always_had() {
        let stored = json!({
            "name": "s", "url": "memory:", "credentials": null, "listener_credentials": null, "repository": "r",
            "commit_mode": "a", "checksums": false,
        });
        let record: StoreRecord = serde_json::from_value(stored.clone()).unwrap();
        assert_eq!(record.commit_mode, CommitMode::AtomicCreate);
        assert_eq!(serde_json::to_value(&record).unwrap(), stored);
        let mut limited = stored;
        limited["limits"] = json!({"requests": 16, "hours": [{"when": "08:00-18:00", "zone": "UTC", "requests": 4}]});
        let record: StoreRecord = serde_json::from_value(limited.clone()).unwrap();
        assert_eq!(serde_json::to_value(&record).unwrap(), limited);
        let other = json!({"name": "s", "url": "memory:", "credentials": null, "repository": "r", "commit_mode": "b"});
        assert!(serde_json::from_value::<StoreRecord>(other).is_err());
    }
}
