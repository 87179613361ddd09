//! Policies.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{LimitNow, Limits};

/// A policy, `POST /api/v1/policies`; its name is the name of its version set.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Policy {
    /// Name.
    pub name: String,
    /// Source.
    pub source: String,
    /// Patterns of objects: `keyspace/table`, `*` for any text within a part; `?`, `[a-z]`, `{a,b}` and `\` as in globs. Of
    /// several databases all objects go into one version; new objects that match are in by themselves.
    pub objects: Vec<String>,
    /// Patterns of objects that are left alone, whatever `objects` says.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub excludes: Vec<String>,
    /// Store.
    pub store: String,
    /// When it runs by itself; absent: only when it is asked to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schedule: Option<Schedule>,
    /// Which versions are kept; absent: all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keep: Option<Keep>,
    /// IANA name of the zone of `schedule` and `keep`, such as `Europe/Vienna`; absent: UTC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zone: Option<String>,
    /// What it says in the source kind's own words; for `cassandra`: `write_level` and `repaired`, `docs/operations.md`,
    /// "Policies and completeness".
    #[serde(default = "super::nothing")]
    #[schema(value_type = Object)]
    pub options: serde_json::Value,
    /// True where its schedule rests.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub paused: bool,
    /// True where staged bytes stay after their version is committed.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub keep_staged: bool,
    /// What a run of it may ask of storage, its listeners and its consolidation together; absent: no bound but the store's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limits: Option<Limits>,
}

/// When a policy runs: `every` or `cron`, not both.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Schedule {
    /// Time between two runs, from 1 s on: `20s`, `5m`, `12h`, `PT36H`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub every: Option<String>,
    /// Minute, hour, day of the month, month, day of the week; a sixth field before them is seconds. Or `@daily` and the like.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cron: Option<String>,
    /// When runs may begin: `mon-fri 20:00-06:00`, `sat,sun`, `22:00-04:00`; always where there are none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub windows: Vec<String>,
    /// How much later than its time a run begins at most, so that not all policies begin at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jitter: Option<String>,
}

/// Which versions are kept: those that any rule keeps. The newest version and the newest complete one stay always, held ones
/// too. At least one rule is above 0.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Keep {
    /// The newest so many versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last: Option<u32>,
    /// All versions of this time before the newest one: `36h`, `7d`, `4w`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub within: Option<String>,
    /// The newest version of each of the last so many hours that have one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hourly: Option<u32>,
    /// The same for days.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub daily: Option<u32>,
    /// The same for weeks, which begin on Monday.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weekly: Option<u32>,
    /// The same for months.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub monthly: Option<u32>,
    /// The same for years.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub yearly: Option<u32>,
}

/// A policy and how it stands.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct PolicyDetail {
    /// The policy; what `PUT` takes, and what the ETag is of.
    pub policy: Policy,
    /// How it stands.
    pub status: PolicyStatus,
    /// The store whose mirror it came from, where nobody has confirmed it: then it does not run, protects nothing, and lets nothing
    /// go.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unconfirmed: Option<String>,
}

/// How a policy stands. What the store says is absent where the store cannot be looked into; `note` says so.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct PolicyStatus {
    /// Its newest version.
    pub newest_version: Option<String>,
    /// When that was committed.
    #[schema(value_type = Option<String>)]
    pub last_success: Option<Timestamp>,
    /// Every write acknowledged before this is in the newest version of which all objects are proven complete.
    #[schema(value_type = Option<String>)]
    pub recoverable_until: Option<Timestamp>,
    /// Longest time between two versions by its schedule, now, s; absent without a schedule.
    pub expected_interval_seconds: Option<u64>,
    /// True where the newest version is older than 1.5 times the expected interval, there is none, or it is from a time that is
    /// still to come; a policy that was made, resumed or confirmed is late from 1.5 times the interval after that on, whether it could
    /// run or not. One without a schedule, and one that is paused, is never late.
    pub late: bool,
    /// When it runs next; absent without a schedule, and while it is paused or its source is not confirmed.
    #[schema(value_type = Option<String>)]
    pub next_run: Option<Timestamp>,
    /// Its operation that runs, or else waits.
    pub running: Option<String>,
    /// Its run that failed last, whatever came after it; absent where none did of those operations that are still kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_failure: Option<FailedRun>,
    /// Times of its schedule that have passed since its newest version without another one, the one that runs now and what was
    /// before this schedule held aside; 0 while there is none yet.
    pub missed_slots: u64,
    /// Why it does not run by itself although it should; absent where it runs, is paused or has no schedule.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stopped: Option<String>,
    /// What of its limits is in force now; absent where it has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit_now: Option<LimitNow>,
    /// Why something is not known.
    pub note: Option<String>,
}

/// A run that failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct FailedRun {
    /// Its operation, which says more.
    pub operation: String,
    /// When it ended.
    #[schema(value_type = String)]
    pub at: Timestamp,
    /// Code of its error, `TM-…`.
    pub code: String,
    /// First line of its error.
    pub message: String,
}

/// A coming run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ComingRun {
    /// When it begins.
    #[schema(value_type = String)]
    pub at: Timestamp,
    /// The time of the schedule that it is for: earlier, where there is jitter.
    #[schema(value_type = String)]
    pub slot: Timestamp,
}

/// What retention makes of the versions of a policy.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct PolicyPreview {
    /// Its versions, newest first.
    pub versions: Vec<PreviewVersion>,
    /// How many of them go.
    pub going: u64,
    /// Bytes of the segments of those that go: what is freed at most, because versions may share segments.
    pub going_bytes: u64,
    /// How many go that would stay without the change that is previewed.
    pub newly_going: u64,
    /// The bytes of these.
    pub newly_going_bytes: u64,
    /// What the request that makes the change repeats as `consent`, so that just these versions go; absent where none do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub consent: Option<String>,
}

/// What becomes of a version.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct PreviewVersion {
    /// Id.
    pub version: String,
    /// When it was captured: the end of its cut, or else when it was committed. Absent where it is damaged.
    #[schema(value_type = Option<String>)]
    pub at: Option<Timestamp>,
    /// True where it stays.
    pub keep: bool,
    /// True where it goes because of the change that is previewed.
    pub newly_going: bool,
    /// Why it stays, or why it goes.
    pub reasons: Vec<String>,
    /// Bytes of its segments.
    pub kept_bytes: u64,
}

/// A policy that was changed, or would be.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ChangedPolicy {
    /// The policy after the change.
    pub policy: Policy,
    /// What its retention would let go then; of a dry run only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub preview: Option<PolicyPreview>,
}

/// A policy that was removed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct RemovedPolicy {
    /// As it was.
    pub policy: Policy,
    /// Its versions, which stay.
    pub versions: u64,
    /// What that means, for people.
    pub note: String,
}

/// `POST /api/v1/protect`: a policy and its first run in one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Protect {
    /// The policy; where one of this name exists it must be the same.
    pub policy: Policy,
}
