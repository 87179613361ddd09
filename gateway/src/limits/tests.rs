use bytes::Bytes;
use futures::{TryStreamExt, future::join_all};
use object_store::{ObjectStore, ObjectStoreExt, memory::InMemory, path::Path};

use super::*;
use crate::{
    guarded::Guarded,
    upload::{self, UploadOptions},
};

const KIB: u64 = 1024;

fn bytes(per_second: u64) -> Limit {
    Limit { bytes_per_second: NonZeroU64::new(per_second), requests: None }
}

/// A store in memory under a limit; all time is that of the limit.
fn limited(limit: Limit) -> (Arc<dyn ObjectStore>, Limits, Env) {
    let (limits, env, inner) = (Limits::new(limit), Env::system(), Arc::new(InMemory::new()));
    let guarded = Guarded::new(inner.clone(), 64, None, env.clone()).with_parts(inner).with_limits(limits.clone());
    (Arc::new(guarded), limits, env)
}

/// Seconds that `work` takes.
async fn seconds(env: &Env, work: impl Future) -> f64 {
    let before = env.monotonic();
    work.await;
    (env.monotonic() - before).as_secs_f64()
}

fn near(found: f64, expected: f64) -> bool {
    (found - expected).abs() < 0.15
}

async fn put_all(store: &Arc<dyn ObjectStore>, count: u64, size: u64) {
    let paths: Vec<_> = (0..count).map(|number| Path::from(format!("{number}"))).collect();
    let puts = paths.iter().map(|path| store.put(path, vec![7; size as usize].into()));
    assert!(join_all(puts).await.iter().all(Result::is_ok));
}

#[tokio::test(start_paused = true)]
async fn puts_parts_and_reads_keep_to_the_rate_together() {
    let (store, limits, env) = limited(bytes(10 * KIB));
    // The first goes at once, and the others wait for what went before.
    let took = seconds(&env, put_all(&store, 11, 10 * KIB)).await;
    assert!(near(took, 10.0), "puts: {took}");
    let options = UploadOptions { part_bytes: 10 << 10, in_flight: 4 };
    limits.set(Limit::default());
    let body = vec![7; 100 << 10];
    let path = Path::from("parts");
    let upload = upload::put_reader_new(&store, &path, &body[..], &options, |_| {});
    assert_eq!(seconds(&env, upload).await, 0.0, "no bound");
    limits.set(bytes(10 * KIB));
    let read = async {
        for _ in 0..2 {
            let stream = store.get(&"parts".into()).await.unwrap().into_stream();
            assert_eq!(
                stream.map_ok(|part: Bytes| part.len()).try_fold(0, async |all, part| Ok(all + part)).await.unwrap(),
                100 << 10
            );
        }
        store.get_range(&"parts".into(), 0..10 * KIB).await.unwrap();
        store.head(&"parts".into()).await.unwrap();
    };
    let took = seconds(&env, read).await;
    assert!(near(took, 20.0), "reads: {took}");
}

#[tokio::test(start_paused = true)]
async fn parts_of_an_upload_are_counted() {
    let (store, _, env) = limited(bytes(10 * KIB));
    let mut upload = store.put_multipart(&"a".into()).await.unwrap();
    let parts = (0..5).map(|_| upload.put_part(vec![7; 10 << 10].into())).collect::<Vec<_>>();
    let took = seconds(&env, join_all(parts)).await;
    assert!(near(took, 4.0), "{took}");
    upload.complete().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn what_waits_obeys_a_new_limit_within_a_second() {
    for (to, expected) in
        [(Limit::default(), 100.0), (bytes(1000 * KIB), 100.9), (bytes(10), 100.0 + 900.0 * 1024.0 / 10.0)]
    {
        let (store, limits, env) = limited(bytes(KIB));
        // Each of the two waits for the 1,000 KiB before it: the second one to be let through.
        let puts = put_all(&store, 2, 1000 * KIB);
        let change = async {
            tokio::time::sleep(Duration::from_secs(100)).await;
            limits.set(to);
        };
        let took = seconds(&env, async { tokio::join!(puts, change) }).await;
        assert!((took - expected).abs() < 1.0, "{to:?}: {took}");
        assert_eq!(limits.get(), to);
    }
}

#[tokio::test(start_paused = true)]
async fn what_was_not_used_is_not_saved_up() {
    let (store, _, env) = limited(bytes(10 * KIB));
    put_all(&store, 1, 1).await;
    tokio::time::sleep(Duration::from_secs(3600)).await;
    let took = seconds(&env, put_all(&store, 11, 10 * KIB)).await;
    assert!(took > 9.8, "{took}");
}

#[tokio::test(start_paused = true)]
async fn requests_at_a_time_are_bounded_and_the_bound_moves() {
    let limits = Limits::new(Limit { bytes_per_second: None, requests: Some(2) });
    let (first, _second) = (limits.enter().await, limits.enter().await);
    let entered = Arc::new(AtomicU8::new(0));
    let waiting: Vec<_> = (0..6)
        .map(|_| {
            let (limits, entered) = (limits.clone(), entered.clone());
            tokio::spawn(async move {
                let _running = limits.enter().await;
                entered.fetch_add(1, Ordering::SeqCst);
                std::future::pending::<()>().await;
            })
        })
        .collect();
    let mut seen = Vec::new();
    let mut look = async || {
        tokio::time::sleep(Duration::from_secs(1)).await;
        seen.push(entered.load(Ordering::SeqCst));
    };
    look().await;
    drop(first);
    look().await;
    limits.set(Limit { bytes_per_second: None, requests: Some(4) });
    look().await;
    // Lowered below what runs: nothing more enters, and what runs goes on.
    limits.set(Limit { bytes_per_second: None, requests: Some(0) });
    waiting[5].abort();
    look().await;
    limits.set(Limit::default());
    look().await;
    assert_eq!(seen, [0, 1, 3, 3, 5]);
    waiting.iter().for_each(tokio::task::JoinHandle::abort);
}

#[tokio::test(start_paused = true)]
async fn who_gives_up_waiting_takes_nothing_and_lets_others_pass() {
    let (store, _, env) = limited(bytes(KIB));
    put_all(&store, 1, 10 * KIB).await;
    let given_up = tokio::time::timeout(Duration::from_secs(1), put_all(&store, 1, 1000 * KIB)).await;
    assert!(given_up.is_err());
    let took = seconds(&env, put_all(&store, 1, 1)).await;
    assert!(near(took, 9.0), "{took}");
}

#[tokio::test(start_paused = true)]
async fn a_create_that_waits_for_its_turn_is_not_without_an_answer() {
    let (store, _, env) = limited(bytes(KIB));
    put_all(&store, 1, 1000 * KIB).await;
    let create = upload::try_create(&store, &"created".into(), &Bytes::from("x"), Duration::from_secs(60)).await;
    assert!(matches!(create, Ok(upload::Attempt::Stored(_))) && env.monotonic().as_secs() > 900, "{create:?}");
}

#[tokio::test(start_paused = true)]
async fn a_request_waits_for_each_of_several_limits() {
    let (inner, env) = (Arc::new(InMemory::new()), Env::system());
    for (outer, own, expected) in [(10, 5, 10.0), (5, 10, 10.0), (0, 5, 10.0), (5, 0, 10.0)] {
        let guarded = Guarded::new(inner.clone(), 64, None, env.clone()).with_parts(inner.clone());
        let guarded = guarded.with_limits(Limits::new(bytes(outer * KIB))).with_limits(Limits::new(bytes(own * KIB)));
        let store: Arc<dyn ObjectStore> = Arc::new(guarded);
        let puts = seconds(&env, put_all(&store, 11, 5 * KIB)).await;
        let read = async {
            for _ in 0..11 {
                store.get(&"0".into()).await.unwrap().bytes().await.unwrap();
            }
        };
        let reads = seconds(&env, read).await;
        assert!(near(puts, expected) && reads > expected, "{outer} and {own}: {puts} {reads}");
    }
}

#[tokio::test(start_paused = true)]
async fn who_waits_for_a_limit_of_his_own_holds_up_nobody_else() {
    let (shared, own) = (Limits::new(Limit { bytes_per_second: None, requests: Some(1) }), Limits::default());
    own.set(Limit { bytes_per_second: None, requests: Some(1) });
    let plain = Guarded::new(Arc::new(InMemory::new()), 1, None, Env::system()).with_limits(shared);
    let bound = plain.clone().with_limits(own.clone());
    let _held = own.enter().await;
    let waits = tokio::spawn(async move { bound.put(&"a".into(), "x".into()).await });
    tokio::time::sleep(Duration::from_secs(1)).await;
    let other = tokio::time::timeout(Duration::from_secs(1), plain.put(&"b".into(), "x".into())).await;
    assert!(other.is_ok() && !waits.is_finished());
    waits.abort();
}

#[test]
fn the_least_of_two_limits_is_what_both_allow() {
    let [one, other] = [(Some(5), None), (Some(7), Some(2))]
        .map(|(bytes, requests)| Limit { bytes_per_second: bytes.and_then(NonZeroU64::new), requests });
    let least = Limit { requests: Some(2), ..one };
    assert_eq!((one.least(other), other.least(one)), (least, least));
    assert_eq!(one.least(Limit::default()), one);
}

#[test]
fn a_limit_is_read_as_it_is_written() {
    let limit = Limit { bytes_per_second: NonZeroU64::new(5), requests: None };
    assert_eq!(serde_json::to_string(&limit).unwrap(), r#"{"bytes_per_second":5}"#);
    assert_eq!(serde_json::from_str::<Limit>(r#"{"bytes_per_second":5}"#).unwrap(), limit);
    assert!(serde_json::from_str::<Limit>(r#"{"bytes_per_second":0}"#).is_err());
}
