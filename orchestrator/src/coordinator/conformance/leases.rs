//! Leases and the keys that hang on them.

use super::{
    super::{Applied, Cmp, Coordinator, Error, EventKind, LeaseId, Op, Outcome},
    Subject, event, keys, next, put,
};

async fn put_leased(c: &dyn Coordinator, key: &str, lease: LeaseId) -> u64 {
    c.txn(vec![], vec![Op::put_leased(key, "1", lease)], vec![]).await.unwrap().revision
}

async fn claim(c: &dyn Coordinator, lease: LeaseId) -> Outcome {
    let when = vec![Cmp::CreateRevision("claim".to_owned(), 0)];
    c.txn(when, vec![Op::put_leased("claim", "", lease)], vec![]).await.unwrap()
}

pub(super) async fn leases_have_ids_of_their_own(Subject { coordinator: c, other, ttl }: &Subject) {
    let leases = [c.lease(*ttl).await.unwrap(), c.lease(*ttl).await.unwrap(), other.lease(*ttl).await.unwrap()];
    let [one, two, three] = &leases;
    assert!(one.id() != two.id() && two.id() != three.id() && one.id() != three.id());
    assert!(leases.iter().all(|lease| lease.id().0 > 0));
    for lease in leases {
        lease.revoke().await.unwrap();
    }
}

pub(super) async fn a_revoked_lease_takes_its_keys_along(Subject { coordinator: c, ttl, .. }: &Subject) {
    let lease = c.lease(*ttl).await.unwrap();
    let lost = lease.lost();
    c.txn(vec![], vec![Op::put_leased("l/a", "", lease.id()), Op::put("l/b", "")], vec![]).await.unwrap();
    assert_eq!(c.get("l/a").await.unwrap().unwrap().lease, Some(lease.id()));
    assert!(!lost.is_cancelled());
    lease.revoke().await.unwrap();
    assert_eq!(keys(&**c, "l/").await, ["l/b"]);
    assert!(lost.is_cancelled());
}

pub(super) async fn the_keys_of_a_lease_go_as_one(Subject { coordinator: c, ttl, .. }: &Subject) {
    let lease = c.lease(*ttl).await.unwrap();
    put_leased(&**c, "l/a", lease.id()).await;
    let last = put_leased(&**c, "l/b", lease.id()).await;
    let mut watch = c.watch("l/", last + 1).await.unwrap();
    lease.revoke().await.unwrap();
    let mut gone = [next(&mut watch).await, next(&mut watch).await];
    gone.sort_by(|a, b| a.key.cmp(&b.key));
    let revision = gone[0].revision;
    assert_eq!(gone, [event("l/a", revision, EventKind::Delete), event("l/b", revision, EventKind::Delete)]);
    assert!(revision > last);
}

pub(super) async fn a_lease_takes_no_keys_of_another(Subject { coordinator: c, ttl, .. }: &Subject) {
    let (one, two) = (c.lease(*ttl).await.unwrap(), c.lease(*ttl).await.unwrap());
    put_leased(&**c, "l/one", one.id()).await;
    put_leased(&**c, "l/two", two.id()).await;
    one.revoke().await.unwrap();
    assert_eq!(keys(&**c, "l/").await, ["l/two"]);
    two.revoke().await.unwrap();
    assert_eq!(keys(&**c, "l/").await, Vec::<String>::new());
}

pub(super) async fn a_dropped_lease_runs_out_and_watchers_hear_of_it(Subject { coordinator: c, ttl, .. }: &Subject) {
    let lease = c.lease(*ttl).await.unwrap();
    let put = put_leased(&**c, "l/a", lease.id()).await;
    let mut watch = c.watch("l/", put + 1).await.unwrap();
    drop(lease);
    let gone = next(&mut watch).await;
    assert_eq!(gone, event("l/a", gone.revision, EventKind::Delete));
    assert_eq!(c.get("l/a").await.unwrap(), None);
}

pub(super) async fn a_held_lease_outlives_its_time_to_live(Subject { coordinator: c, ttl, .. }: &Subject) {
    let lease = c.lease(*ttl).await.unwrap();
    put_leased(&**c, "l/a", lease.id()).await;
    let ended = tokio::time::timeout(*ttl * 4, lease.lost().cancelled_owned()).await;
    assert!(ended.is_err());
    assert!(c.get("l/a").await.unwrap().is_some());
    lease.revoke().await.unwrap();
}

pub(super) async fn a_deadline_moves_on_and_is_never_further_than_the_time_to_live(
    Subject { coordinator: c, ttl, .. }: &Subject,
) {
    let env = tidemark_gateway::Env::system();
    let lease = c.lease(*ttl).await.unwrap();
    let granted = lease.deadline();
    let (mut before, mut moved) = (granted, 0);
    while env.monotonic() < *ttl * 2 {
        let ended = tokio::time::timeout(*ttl / 10, lease.lost().cancelled_owned()).await;
        assert!(ended.is_err());
        let now = lease.deadline();
        assert!(now >= before);
        moved += u32::from(now > before);
        before = now;
    }
    assert!(moved >= 2, "renewed {moved} times in twice its time to live");
    // Renewals are a third of it apart, so that in twice the time it moves on by about that, and by no more.
    assert!(before - granted <= *ttl * 2 + *ttl / 3, "moved on by {:?}", before - granted);
    lease.revoke().await.unwrap();
}

pub(super) async fn a_put_on_a_gone_lease_is_refused(Subject { coordinator: c, ttl, .. }: &Subject) {
    let lease = c.lease(*ttl).await.unwrap();
    let id = lease.id();
    lease.revoke().await.unwrap();
    let error = c.txn(vec![], vec![Op::put_leased("l/a", "", id)], vec![]).await.unwrap_err();
    assert!(matches!(error, Error::LeaseGone(gone) if gone == id), "{error}");
    assert_eq!(error.applied(), Applied::Not);
}

pub(super) async fn a_refused_put_takes_the_whole_transaction_along(Subject { coordinator: c, ttl, .. }: &Subject) {
    let lease = c.lease(*ttl).await.unwrap();
    let id = lease.id();
    let before = put(&**c, "k", "1").await;
    lease.revoke().await.unwrap();
    let ops = vec![Op::put("k", "2"), Op::put_leased("l/a", "", id), Op::delete("k")];
    c.txn(vec![], ops, vec![]).await.unwrap_err();
    let kv = c.get("k").await.unwrap().unwrap();
    assert_eq!((kv.value.as_slice(), kv.mod_revision), (b"1".as_slice(), before));
}

pub(super) async fn a_put_without_lease_frees_the_key_of_it(Subject { coordinator: c, ttl, .. }: &Subject) {
    let lease = c.lease(*ttl).await.unwrap();
    put_leased(&**c, "k", lease.id()).await;
    put(&**c, "k", "2").await;
    lease.revoke().await.unwrap();
    let kv = c.get("k").await.unwrap().unwrap();
    assert_eq!((kv.value.as_slice(), kv.lease), (b"2".as_slice(), None));
}

pub(super) async fn a_key_moves_from_lease_to_lease(Subject { coordinator: c, ttl, .. }: &Subject) {
    let (one, two) = (c.lease(*ttl).await.unwrap(), c.lease(*ttl).await.unwrap());
    put_leased(&**c, "k", one.id()).await;
    put_leased(&**c, "k", two.id()).await;
    one.revoke().await.unwrap();
    assert_eq!(c.get("k").await.unwrap().unwrap().lease, Some(two.id()));
    two.revoke().await.unwrap();
    assert_eq!(c.get("k").await.unwrap(), None);
}

pub(super) async fn a_claim_whose_lease_ran_out_is_free(Subject { coordinator: c, other, ttl }: &Subject) {
    let (one, two) = (c.lease(*ttl).await.unwrap(), other.lease(*ttl).await.unwrap());
    let first = claim(&**c, one.id()).await;
    assert!(first.succeeded && !claim(&**other, two.id()).await.succeeded);
    let mut watch = other.watch("claim", first.revision + 1).await.unwrap();
    drop(one);
    next(&mut watch).await;
    let second = claim(&**other, two.id()).await;
    assert!(second.succeeded && second.revision > first.revision);
    // What the first holder writes under its claim is refused.
    let when = vec![Cmp::ModRevision("claim".to_owned(), first.revision)];
    assert!(!c.txn(when, vec![Op::put("effect", "")], vec![]).await.unwrap().succeeded);
    two.revoke().await.unwrap();
}
