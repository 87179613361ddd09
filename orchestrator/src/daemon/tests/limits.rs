//! Limits of stores and policies: how they are said, shown and changed, and that the running daemon obeys them at once.

use std::num::NonZeroU64;

use tidemark_gateway::limits::Limit;
use tidemark_web::{
    api::{ChangeStore, LimitNow, Limits, Problem, Store},
    control::IfMatch,
};

use super::*;
use crate::limits::LimitsSpec;

fn limits(value: Value) -> Option<Limits> {
    serde_json::from_value(value).unwrap()
}

async fn add(api: &Api, directory: &Path, limits: Option<Limits>) -> Result<Store, Problem> {
    let (name, url) = ("s".to_owned(), format!("file://{}", directory.display()));
    api.add_store(AddStore { name, url, credentials: None, listener_credentials: None, limits }).await
}

/// What the daemon itself may ask of the store.
fn own(api: &Api) -> Limit {
    api.bounds().store("s", &LimitsSpec::default()).get()
}

#[tokio::test]
async fn the_limits_of_a_store_are_changed_in_a_state_that_was_seen_and_obeyed_at_once() {
    let (state, bucket) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    with_daemon(state.path(), fake::World::default(), async |api| {
        let first = limits(json!({"bytes_per_second": 100_000_000}));
        let added = add(&api, bucket.path(), first.clone()).await.unwrap();
        let now = LimitNow { bytes_per_second: Some(100_000_000), requests: None };
        assert_eq!((&added.limits, added.limit_now), (&first, Some(now)));
        assert_eq!(own(&api), Limit { bytes_per_second: NonZeroU64::new(100_000_000), requests: None });
        assert!(add(&api, bucket.path(), None).await.is_ok(), "the same again, without a word about limits");
        let other = add(&api, bucket.path(), limits(json!({"requests": 9}))).await.unwrap_err();
        assert_eq!(other.code, "TM-STORE-0409");

        let seen = IfMatch(api.store("s").await.unwrap().etag);
        let always =
            json!({"requests": 90, "hours": [{"when": "00:00-24:00", "zone": "Europe/Berlin", "requests": 5}]});
        let change = ChangeStore { limits: limits(always) };
        let changed = api.change_store("s", change.clone(), &seen).await.unwrap();
        let now = LimitNow { bytes_per_second: None, requests: Some(5) };
        assert_eq!((&changed.value.limits, changed.value.limit_now), (&change.limits, Some(now)));
        assert_eq!(own(&api), Limit { bytes_per_second: None, requests: Some(5) });
        assert_eq!(api.store("s").await.unwrap(), changed);
        let late = api.change_store("s", ChangeStore::default(), &seen).await.unwrap_err();
        assert_eq!((late.status, late.code.as_str()), (412, "TM-STORE-0412"));
        assert_eq!(own(&api).requests, Some(5));
        api.change_store("s", ChangeStore::default(), &IfMatch("*".to_owned())).await.unwrap();
        let shown = api.store("s").await.unwrap().value;
        assert_eq!((own(&api), shown.limits, shown.limit_now), (Limit::default(), None, None));
    })
    .await;
}

#[tokio::test]
async fn limits_that_cannot_be_obeyed_are_refused_by_the_name_of_their_field() {
    let (state, bucket) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    with_daemon(state.path(), fake::World::default(), async |api| {
        let wrong = || limits(json!({"hours": [{"when": "mon-fri 08:00-18:00", "requests": 1}]}));
        let refused = add(&api, bucket.path(), wrong()).await.unwrap_err();
        assert_eq!((refused.status, refused.code.as_str()), (400, "TM-STORE-0400"));
        assert!(refused.detail.starts_with("limits.hours[0].requests: 1 is less than 2"), "{refused:?}");
        assert!(api.stores().await.unwrap().is_empty());
        set_up(&api, bucket.path()).await;
        let any = IfMatch("*".to_owned());
        let refused = api.change_store("s", ChangeStore { limits: wrong() }, &any).await.unwrap_err();
        assert_eq!((refused.status, refused.code.as_str()), (400, "TM-STORE-0400"));
        let none = api.change_store("t", ChangeStore::default(), &any).await.unwrap_err();
        assert_eq!(none.code, "TM-STORE-0404");
        let refused = api.add_policy(Policy { limits: wrong(), ..policy() }, None).await.unwrap_err();
        assert_eq!((refused.status, refused.code.as_str()), (400, "TM-POL-0400"));
    })
    .await;
}

#[tokio::test]
async fn the_limits_of_a_policy_are_in_the_bucket_and_come_back_from_it() {
    let (state, bucket) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let said = limits(json!({"requests": 8, "hours": [{"when": "00:00-24:00", "bytes_per_second": 1 << 30}]}));
    with_daemon(state.path(), fake::World::default(), async |api| {
        set_up(&api, bucket.path()).await;
        api.add_policy(policy(), None).await.unwrap();
        let seen = api.policy("daily").await.unwrap();
        assert_eq!(seen.value.status.limit_now, None);
        let limited = Policy { limits: said.clone(), ..policy() };
        api.change_policy("daily", limited, &IfMatch(seen.etag), None).await.unwrap();
        let ran = done(&api, api.run_policy("daily", "one").await.unwrap()).await;
        assert_eq!(ran.error, None, "{ran:?}");
    })
    .await;
    let state = tempfile::tempdir().unwrap();
    with_daemon(state.path(), fake::World::default(), async |api| {
        add_store(&api, bucket.path()).await;
        let back = api.policy("daily").await.unwrap().value;
        assert_eq!(back.policy.limits, said);
        let now = LimitNow { bytes_per_second: Some(1 << 30), requests: None };
        assert_eq!(back.status.limit_now, Some(now));
    })
    .await;
}
