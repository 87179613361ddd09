//! What every backend of [`Coordinator`] must do: [`CASES`], each on a state of its own.
//!
//! Cases about the end of leases wait for that end; whoever runs them says how short a lease can be.
#![expect(clippy::unwrap_used, reason = "a case that cannot go on fails")]

mod leases;
mod reading;
mod sharing;
mod transactions;
mod watching;

use std::{sync::Arc, time::Duration};

use futures::future::BoxFuture;

use super::{Coordinator, Event, EventKind, Op, Watch, WatchEvent, list_all};

/// Longest time that a case may take; it ends with an error then.
const LONGEST: Duration = Duration::from_secs(90);

/// What a case runs on: a state that is new, and two coordinators of it.
#[derive(Clone)]
pub struct Subject {
    /// A coordinator.
    pub coordinator: Arc<dyn Coordinator>,
    /// Another one of the same state, as a second daemon of a cluster has it; on one node the same.
    pub other: Arc<dyn Coordinator>,
    /// A short time to live that the backend keeps.
    pub ttl: Duration,
}

/// A case.
pub struct Case {
    /// What is promised.
    pub name: &'static str,
    run: for<'a> fn(&'a Subject) -> BoxFuture<'a, ()>,
}

impl Case {
    /// Runs it.
    ///
    /// # Panics
    /// Where the promise is broken, or nothing is heard for long.
    pub async fn run(&self, subject: &Subject) {
        let ended = tokio::time::timeout(LONGEST, (self.run)(subject)).await;
        assert!(ended.is_ok(), "{}: not within {LONGEST:?}", self.name);
    }
}

/// A table of the cases of modules.
macro_rules! cases {
    ($($module:ident: $($case:ident),* $(,)?;)*) => {
        /// Every case.
        pub const CASES: &[Case] = &[$($(
            Case { name: stringify!($case), run: |subject| Box::pin($module::$case(subject)) },
        )*)*];
    };
}

cases! {
    reading:
        an_absent_key_is_none,
        a_put_is_read_back_with_its_revisions,
        a_put_keeps_the_create_revision,
        a_key_made_again_has_a_new_create_revision,
        revisions_rise_over_all_keys,
        values_of_any_bytes_come_back,
        names_of_any_text_are_told_apart_and_sorted_by_bytes,
        lists_are_sorted_bounded_by_the_prefix_and_paged,
        prefixes_end_where_names_do_not_start_with_them,
        a_list_of_nothing_is_empty_and_tells_the_revision,
        a_long_list_comes_in_pages_and_whole;
    transactions:
        only_one_of_two_creators_wins,
        a_stale_mod_revision_changes_nothing,
        a_revision_of_zero_stands_for_absence,
        values_are_compared_and_absent_keys_have_none,
        all_conditions_must_hold,
        no_conditions_hold_always,
        what_does_not_hold_runs_the_other_operations,
        operations_of_a_transaction_share_a_revision,
        a_get_sees_the_operations_before_it,
        a_get_between_changes_has_the_revision_of_the_transaction,
        of_several_changes_of_a_key_the_last_one_stays,
        a_transaction_without_changes_takes_no_revision,
        bounds_are_kept,
        a_transaction_at_its_bounds_is_taken,
        a_transaction_of_an_older_generation_changes_nothing,
        the_generation_only_rises;
    watching:
        a_watch_starts_with_the_past_and_goes_on,
        a_watch_from_the_future_skips_what_is_before,
        a_watch_hears_of_its_prefix_only,
        two_watches_see_the_same_order,
        several_changes_of_a_key_in_a_transaction_are_one,
        a_delete_of_what_is_not_there_is_not_heard_of,
        a_watch_catches_up_with_many_changes_in_order,
        a_watch_from_the_revision_of_a_list_misses_nothing;
    leases:
        leases_have_ids_of_their_own,
        a_revoked_lease_takes_its_keys_along,
        the_keys_of_a_lease_go_as_one,
        a_lease_takes_no_keys_of_another,
        a_dropped_lease_runs_out_and_watchers_hear_of_it,
        a_held_lease_outlives_its_time_to_live,
        a_deadline_moves_on_and_is_never_further_than_the_time_to_live,
        a_put_on_a_gone_lease_is_refused,
        a_refused_put_takes_the_whole_transaction_along,
        a_put_without_lease_frees_the_key_of_it,
        a_key_moves_from_lease_to_lease,
        a_claim_whose_lease_ran_out_is_free;
    sharing:
        another_coordinator_reads_what_was_written,
        all_coordinators_of_a_state_have_its_opening,
        one_of_many_creators_wins,
        no_compare_and_set_is_lost,
        changes_of_another_coordinator_are_heard_of,
        a_generation_that_rose_elsewhere_refuses_and_is_known_then,
        generations_raised_at_once_end_with_the_highest;
}

async fn put(c: &dyn Coordinator, key: &str, value: &str) -> u64 {
    c.txn(vec![], vec![Op::put(key, value)], vec![]).await.unwrap().revision
}

async fn delete(c: &dyn Coordinator, key: &str) -> u64 {
    c.txn(vec![], vec![Op::delete(key)], vec![]).await.unwrap().revision
}

async fn keys(c: &dyn Coordinator, prefix: &str) -> Vec<String> {
    list_all(c, prefix).await.unwrap().0.into_iter().map(|kv| kv.key).collect()
}

async fn next(watch: &mut Watch) -> Event {
    match watch.next().await {
        Some(WatchEvent::Changed(event)) => event,
        other => panic!("expected a change, got {other:?}"),
    }
}

fn event(key: &str, revision: u64, kind: EventKind) -> Event {
    Event { key: key.to_owned(), revision, kind }
}
