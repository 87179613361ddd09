//! Names of the metrics, with their helps. Names end in the unit; `tidemark_` comes before each, and `_total` after a counter's.

/// A metric's name and what it says.
pub(super) struct Named {
    /// Name, without `tidemark_` and `_total`.
    pub(super) name: &'static str,
    /// For people, a sentence without its full stop.
    pub(super) help: &'static str,
}

/// s.
pub(super) const POLICY_EXPECTED_INTERVAL: Named = Named {
    name: "policy_expected_interval_seconds",
    help: "Longest time between two versions of a policy by its schedule, now",
};
/// s since 1970.
pub(super) const POLICY_SCHEDULED_SINCE: Named = Named {
    name: "policy_scheduled_since_timestamp_seconds",
    help: "Since when runs of a policy are awaited: it was made, resumed or confirmed then, or its schedule changed",
};
/// s since 1970.
pub(super) const VERSION_LAST_SUCCESS: Named =
    Named { name: "version_last_success_timestamp_seconds", help: "When the newest version of a policy was made" };
/// s since 1970.
pub(super) const RECOVERABLE_UNTIL: Named = Named {
    name: "recoverable_until_timestamp_seconds",
    help: "Every write acknowledged before this is in the newest version of which all objects are complete",
};
/// 1 or absent.
pub(super) const POLICY_STOPPED: Named = Named {
    name: "policy_stopped",
    help: "1 of a policy that should run by itself and does not; the log and the list of policies say why",
};
/// slots.
pub(super) const POLICY_SLOTS_MISSED: Named = Named {
    name: "policy_slots_missed",
    help: "Slots of a policy that were left out because no daemon was there when they began",
};
/// slots.
pub(super) const POLICY_SLOTS_SKIPPED: Named = Named {
    name: "policy_slots_skipped",
    help: "Slots of a policy that were skipped because the run before was not done",
};
/// operations.
pub(super) const OPERATIONS: Named = Named { name: "operations", help: "Operations that a run of this daemon ended" };
/// s.
pub(super) const OPERATION_DURATION: Named =
    Named { name: "operation_duration_seconds", help: "Time from the request of an operation to its end" };
/// 1 or 0.
pub(super) const LEADER: Named = Named { name: "leader", help: "1 where this daemon turns schedules into operations" };
