use std::time::Duration;

use tidemark_gateway::Env;

use super::{
    super::{Cmp, Coordinator as _, Op, WatchEvent, conformance},
    Embedded, LOG_REVISIONS, OpenError,
};

fn fresh() -> (Embedded, tempfile::TempDir) {
    let directory = tempfile::tempdir().unwrap();
    (Embedded::open(directory.path(), Env::system()).unwrap(), directory)
}

conformance::cases! {
    fresh();
    an_absent_key_is_none,
    a_put_is_read_back_with_its_revisions,
    revisions_rise_over_all_keys,
    a_key_made_again_has_a_new_create_revision,
    only_one_of_two_creators_wins,
    a_transaction_of_an_older_generation_changes_nothing,
    a_stale_mod_revision_changes_nothing,
    values_are_compared_and_absent_keys_have_none,
    all_conditions_must_hold,
    operations_of_a_transaction_share_a_revision,
    a_get_sees_the_operations_before_it,
    a_transaction_without_changes_takes_no_revision,
    lists_are_sorted_bounded_by_the_prefix_and_paged,
    a_watch_starts_with_the_past_and_goes_on,
    a_watch_from_the_future_skips_what_is_before,
    two_watches_see_the_same_order,
    a_revoked_lease_takes_its_keys_along,
    a_dropped_lease_runs_out_and_watchers_hear_of_it,
    a_held_lease_outlives_its_time_to_live,
    a_put_on_a_gone_lease_is_refused,
    a_put_without_lease_frees_the_key_of_it,
    bounds_are_kept,
    the_generation_only_rises,
}

#[tokio::test]
async fn a_second_opener_is_told_who_has_it() {
    let (_open, directory) = fresh();
    let error = Embedded::open(directory.path(), Env::system()).map(drop).unwrap_err();
    let pid = std::process::id().to_string();
    assert!(matches!(&error, OpenError::InUse { pid: found, .. } if *found == pid), "{error}");
}

#[tokio::test]
async fn leased_keys_and_only_those_are_gone_after_reopening() {
    let (open, directory) = fresh();
    let lease = open.lease(Duration::from_secs(10)).await.unwrap();
    let ops = vec![Op::put_leased("claim", "", lease.id()), Op::put("task", "1")];
    let revision = open.txn(vec![], ops, vec![]).await.unwrap().revision;
    open.raise_generation(4).await.unwrap();
    let opening = open.opening().to_owned();
    drop((lease, open));
    let again = Embedded::open(directory.path(), Env::system()).unwrap();
    assert_ne!(again.opening(), opening);
    assert_eq!(again.get("claim").await.unwrap(), None);
    assert_eq!(again.get("task").await.unwrap().unwrap().mod_revision, revision);
    assert_eq!(again.generation(), 4);
    let created = again.txn(vec![Cmp::CreateRevision("claim".to_owned(), 0)], vec![Op::put("claim", "")], vec![]);
    assert!(created.await.unwrap().revision > revision + 1, "the deletion has a revision of its own");
}

#[tokio::test]
async fn a_watch_from_before_the_log_must_list_again() {
    let (open, _directory) = fresh();
    let db = &open.inner.db;
    for _ in 0..3 {
        db.write(|_| true, &[], &[Op::put("k", "")], &[], drop).unwrap();
    }
    db.forget_before(LOG_REVISIONS + 2).unwrap();
    let mut watch = open.watch("", 1).await.unwrap();
    assert_eq!(watch.next().await, Some(WatchEvent::Resync));
    assert_eq!(watch.next().await, None);
    let mut rest = open.watch("", 3).await.unwrap();
    assert!(matches!(rest.next().await, Some(WatchEvent::Changed(e)) if e.revision == 3));
}
