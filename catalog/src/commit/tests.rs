use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use futures::future::join_all;
use object_store::{ObjectStore, ObjectStoreExt, local::LocalFileSystem, memory::InMemory};

use super::*;
use crate::{
    manifest::{Barrier, Version},
    testing::{Fault, FaultyStore, TestClaim, commit_tasks, draft, set_in, token},
};

/// Time that one create may take in these tests; the faulty store's late creates land after it.
const SHORT: Patience = Patience { create: Duration::from_millis(15), pause: Duration::from_millis(5) };
const LATE: Duration = Duration::from_millis(25);

fn impatient(store: &Arc<dyn ObjectStore>) -> VersionSet {
    let mut set = set_in(store, "east", "daily");
    set.patience = SHORT;
    set
}

fn memory() -> Arc<dyn ObjectStore> {
    Arc::new(InMemory::new())
}

/// A faultless store on which writers meet.
fn meeting() -> Arc<dyn ObjectStore> {
    Arc::new(FaultyStore::scheduled(memory(), Vec::new(), LATE))
}

/// Verifies the chain and gives the task of each version.
async fn tasks(set: &VersionSet) -> Vec<String> {
    set.verify_chain().await.unwrap().into_iter().map(|manifest| manifest.task).collect()
}

/// 32 racers, each with a task of its own.
async fn race(inner: Arc<dyn ObjectStore>) {
    let counting = Arc::new(FaultyStore::scheduled(inner, Vec::new(), LATE));
    let store: Arc<dyn ObjectStore> = counting.clone();
    let (set, claim, env) = (set_in(&store, "east", "daily"), TestClaim::new(1), Env::system());
    let racers = (0..32).map(|n| set.commit(draft(&format!("task-{n}")), &claim, &env));
    let done = join_all(racers).await;
    let numbers: BTreeSet<u64> = done.into_iter().map(|done| done.unwrap().0.number.0).collect();
    assert_eq!(numbers, (1..=32).collect());
    assert_eq!(tasks(&set).await.into_iter().collect::<BTreeSet<_>>().len(), 32);
    assert!(counting.creates() > 32, "the racers never met");
}

#[tokio::test]
async fn racers_in_memory_make_a_chain_without_holes_with_each_task_once() {
    race(memory()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn racers_on_a_disk_make_a_chain_without_holes_with_each_task_once() {
    let dir = tempfile::tempdir().unwrap();
    race(Arc::new(LocalFileSystem::new_with_prefix(dir.path()).unwrap())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_that_runs_many_times_at_once_commits_once_and_all_get_that_version() {
    let (store, env) = (meeting(), Env::system());
    let (set, claim) = (set_in(&store, "east", "daily"), TestClaim::new(1));
    let racers = (0..32).map(|n| set.commit(draft(&format!("task-{}", n % 8)), &claim, &env));
    let mut by_task: BTreeMap<String, BTreeSet<u64>> = BTreeMap::new();
    for done in join_all(racers).await {
        let (manifest, _) = done.unwrap();
        by_task.entry(manifest.task).or_default().insert(manifest.number.0);
    }
    assert!(by_task.len() == 8 && by_task.values().all(|numbers| numbers.len() == 1), "{by_task:?}");
    assert_eq!(tasks(&set).await.len(), 8);
}

#[tokio::test]
async fn a_task_that_was_killed_right_after_its_create_finds_its_version() {
    let store = memory();
    let set = set_in(&store, "east", "daily");
    let first = commit_tasks(&set, 5).await;
    let (again, stored) = set.commit(draft("task-2"), &TestClaim::new(7), &Env::system()).await.unwrap();
    assert_eq!(again, first[1]);
    assert_eq!(document::read::<Manifest>(&store, &stored).await.unwrap(), again);
    assert_eq!(tasks(&set).await.len(), 5);
}

#[tokio::test]
async fn damage_far_back_does_not_end_all_backups_but_damage_of_the_last_link_does() {
    let store = memory();
    let set = set_in(&store, "east", "daily");
    commit_tasks(&set, 5).await;
    store.put(&set.path(VersionNumber(2)), "damaged".into()).await.unwrap();
    let (manifest, _) = set.commit(draft("a"), &TestClaim::new(1), &Env::system()).await.unwrap();
    assert_eq!(manifest.number, VersionNumber(6));
    store.put(&set.path(VersionNumber(5)), "damaged".into()).await.unwrap();
    let error = set.commit(draft("b"), &TestClaim::new(1), &Env::system()).await.unwrap_err();
    assert!(matches!(error, Error::Chain(chain::Error::Link { .. })), "{error}");
}

#[tokio::test]
async fn a_stale_token_cannot_commit() {
    let (store, env) = (memory(), Env::system());
    let set = set_in(&store, "east", "daily");
    set.commit(draft("a"), &TestClaim::new(5), &env).await.unwrap();
    let error = set.commit(draft("b"), &TestClaim::new(4), &env).await.unwrap_err();
    assert!(
        matches!(&error, Error::Fenced { mine, theirs, .. } if (*mine, *theirs) == (token(4), token(5))),
        "{error}"
    );
    assert!(!error.is_retryable());
    assert_eq!(tasks(&set).await, ["a"]);
    let other = set_in(&store, "east", "hourly");
    other.commit(draft("b"), &TestClaim::new(4), &env).await.expect("tokens are compared within a set");
}

#[tokio::test]
async fn racers_with_different_tokens_never_commit_an_older_one_after_a_newer() {
    let (store, env) = (meeting(), Env::system());
    let set = set_in(&store, "east", "daily");
    let claims: Vec<_> = (0..32).map(|n| TestClaim::new(n * 7 % 32)).collect();
    let done = join_all(claims.iter().map(|claim| set.commit(draft(&claim.token().to_string()), claim, &env))).await;
    let committed = done.iter().filter(|done| done.is_ok()).count();
    assert!(done.iter().all(|done| matches!(done, Ok(_) | Err(Error::Fenced { .. }))));
    let tokens: Vec<_> = set.verify_chain().await.unwrap().iter().map(|manifest| manifest.token).collect();
    assert!(tokens.is_sorted() && tokens.len() == committed && tokens.last() == Some(&token(31)), "{tokens:?}");
}

#[tokio::test]
async fn a_lost_claim_writes_nothing() {
    let store = memory();
    let (set, claim) = (set_in(&store, "east", "daily"), TestClaim::new(1));
    claim.lose();
    let error = set.commit(draft("a"), &claim, &Env::system()).await.unwrap_err();
    assert!(matches!(error, Error::ClaimLost { .. }), "{error}");
    assert!(set.list().await.unwrap().is_empty());
}

#[tokio::test]
async fn every_misbehaviour_of_the_store_ends_in_exactly_one_version() {
    for fault in [Fault::LandsSays500, Fault::LandsHangs, Fault::LandsLate, Fault::Absent409, Fault::Absent503] {
        let store: Arc<dyn ObjectStore> = Arc::new(FaultyStore::scheduled(memory(), vec![fault; 3], LATE));
        let set = impatient(&store);
        for task in ["a", "b"] {
            let (manifest, stored) = set.commit(draft(task), &TestClaim::new(1), &Env::system()).await.unwrap();
            assert_eq!(document::read::<Manifest>(&store, &stored).await.unwrap(), manifest, "{fault:?}");
        }
        assert_eq!(tasks(&set).await, ["a", "b"], "{fault:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lost_or_doubled_on_a_store_that_misbehaves_at_random() {
    let rounds = (0..20).map(|seed| async move {
        let env = Env::seeded(seed, Timestamp::UNIX_EPOCH);
        let store: Arc<dyn ObjectStore> = Arc::new(FaultyStore::random(memory(), env, LATE));
        let (set, claim, env) = (impatient(&store), TestClaim::new(1), Env::system());
        let acknowledged = join_all((0..12).map(|n| {
            let (set, claim, env) = (&set, &claim, &env);
            async move { set.commit(draft(&format!("task-{}", n % 6)), claim, env).await.unwrap().0 }
        }));
        let acknowledged = acknowledged.await;
        // What is still under way may land now, and must change nothing.
        tokio::time::sleep(LATE * 2).await;
        let chain = set.verify_chain().await.unwrap();
        let once: BTreeSet<_> = chain.iter().map(|manifest| manifest.task.clone()).collect();
        assert!(once.len() == 6 && chain.len() == 6, "seed {seed}: {:?}", tasks(&set).await);
        assert!(acknowledged.iter().all(|manifest| chain.contains(manifest)), "seed {seed}");
    });
    join_all(rounds).await;
}

#[tokio::test]
async fn a_late_create_of_an_overtaken_claim_replaces_nothing() {
    let inner = memory();
    let faulty: Arc<dyn ObjectStore> =
        Arc::new(FaultyStore::scheduled(inner.clone(), vec![Fault::LandsLate; 99], LATE));
    let (slow, claim, env) = (impatient(&faulty), TestClaim::new(1), Env::system());
    let old = async {
        let committing = slow.commit(draft("old"), &claim, &env);
        tokio::time::timeout(Duration::from_millis(5), committing).await
    };
    assert!(old.await.is_err(), "the create is under way when its process stops");
    let (new, _) = set_in(&inner, "east", "daily").commit(draft("new"), &TestClaim::new(2), &env).await.unwrap();
    tokio::time::sleep(LATE * 2).await;
    assert_eq!(set_in(&inner, "east", "daily").verify_chain().await.unwrap(), [new]);
}

#[tokio::test]
async fn what_was_captured_long_ago_does_not_become_the_newest() {
    let (store, env, claim) = (memory(), Env::system(), TestClaim::new(1));
    let set = set_in(&store, "east", "daily");
    let cut = |from: i64, through: i64| {
        let at = |second| Timestamp::from_second(second).unwrap();
        Some(Cut { from: at(from), through: at(through), partitions: Vec::new() })
    };
    let of = |task: &str, cut, in_order| {
        let holds = Holds::Version(Box::new(Version { cut, ..Version::empty("fake") }));
        ManifestDraft { holds, in_order, ..draft(task) }
    };
    set.commit(of("new", cut(20, 30), true), &claim, &env).await.unwrap();
    let error = set.commit(of("old", cut(1, 19), true), &claim, &env).await.unwrap_err();
    assert!(matches!(error, Error::Overtaken { number: VersionNumber(1) }) && !error.is_retryable(), "{error}");
    set.commit(of("beside", cut(1, 20), true), &claim, &env).await.expect("their cuts meet");
    set.commit(of("clock set back", cut(1, 2), false), &claim, &env).await.expect("captured just now");
    let (again, _) = set.commit(of("new", cut(20, 30), true), &claim, &env).await.unwrap();
    assert_eq!(again.number, VersionNumber(1), "it was committed before");
    // Barriers are no versions, however many there are.
    for number in 0..RECENT_VERSIONS + 8 {
        let holds = Holds::Barrier(Barrier { reason: "swept".to_owned() });
        let fence = ManifestDraft { holds, ..draft(&format!("barrier-{number}")) };
        set.commit(fence, &claim, &env).await.unwrap();
    }
    let error = set.commit(of("older", cut(0, 0), true), &claim, &env).await.unwrap_err();
    assert!(matches!(error, Error::Overtaken { number: VersionNumber(3) }), "{error}");
    let (again, _) = set.commit(of("new", cut(20, 30), true), &claim, &env).await.unwrap();
    assert_eq!(again.number, VersionNumber(1), "it was committed before");
    store.put(&set.path(VersionNumber(3)), "damaged".into()).await.unwrap();
    let error = set.commit(of("older", cut(0, 0), true), &claim, &env).await.unwrap_err();
    assert!(matches!(error, Error::Overtaken { number: VersionNumber(2) }), "what is damaged is passed over: {error}");
}

#[tokio::test]
async fn a_barrier_reads_back_over_no_other_and_a_version_over_a_bounded_number_of_them() {
    let counting = Arc::new(FaultyStore::scheduled(memory(), Vec::new(), LATE));
    let (store, env): (Arc<dyn ObjectStore>, _) = (counting.clone(), Env::system());
    let set = set_in(&store, "east", "daily");
    let at = |second| Timestamp::from_second(second).unwrap();
    let cut = |from, through| Some(Cut { from: at(from), through: at(through), partitions: Vec::new() });
    let of = |task: &str, cut, in_order| {
        let holds = Holds::Version(Box::new(Version { cut, ..Version::empty("fake") }));
        ManifestDraft { holds, in_order, ..draft(task) }
    };
    set.commit(of("new", cut(20, 30), false), &TestClaim::new(1), &env).await.unwrap();
    let mut dearest = 0;
    for number in 0..600 {
        let holds = Holds::Barrier(Barrier { reason: "swept".to_owned() });
        let (fence, claim) =
            (ManifestDraft { holds, ..draft(&format!("barrier-{number}")) }, TestClaim::new(2 + number));
        let before = counting.reads();
        let (barrier, _) = set.commit(fence.clone(), &claim, &env).await.unwrap();
        dearest = dearest.max(counting.reads() - before);
        if number % 100 == 0 {
            // The same claim again, and once more after a later manifest of it.
            assert_eq!(set.commit(fence.clone(), &claim, &env).await.unwrap().0, barrier);
            set.commit(draft(&format!("beside-{number}")), &claim, &env).await.unwrap();
            assert_eq!(set.commit(fence, &claim, &env).await.unwrap().0, barrier);
        }
    }
    assert!(dearest <= 4, "the newest two, whatever lies behind them: {dearest}");
    let (late, before) = (TestClaim::new(1_000), counting.reads());
    set.commit(of("late", cut(40, 50), false), &late, &env).await.unwrap();
    let reads = counting.reads() - before;
    println!("a barrier reads {dearest} manifests at most, a version behind 600 of them {reads}");
    assert!(reads <= RECENT_NUMBERS as usize + 16, "{reads}");
    for number in 0..RECENT_NUMBERS + 50 {
        let holds = Holds::Barrier(Barrier { reason: "swept".to_owned() });
        let fence = ManifestDraft { holds, ..draft(&format!("later-{number}")) };
        set.commit(fence, &TestClaim::new(1_001 + number), &env).await.unwrap();
    }
    // What was captured long ago is held against the newest version, however far back.
    let error = set.commit(of("old", cut(1, 19), true), &TestClaim::new(9_000), &env).await.unwrap_err();
    assert!(matches!(error, Error::Overtaken { .. }), "{error}");
}

#[tokio::test]
async fn a_listing_that_lacks_what_is_there_is_an_error_and_not_a_loop() {
    let (store, env, claim) = (memory(), Env::system(), TestClaim::new(1));
    set_in(&store, "east", "daily").commit(draft("first"), &claim, &env).await.unwrap();
    let lagging: Arc<dyn ObjectStore> = Arc::new(FaultyStore::lagging(store, "00000000000000000001"));
    let set = set_in(&lagging, "east", "daily");
    let error = set.commit(draft("second"), &claim, &env).await.unwrap_err();
    assert!(matches!(error, Error::ListingLags { number: VersionNumber(1) }) && error.is_retryable(), "{error}");
}
