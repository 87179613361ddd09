//! Sets that have lost their newest manifests: what is said of a number is not said of another version.

use futures::future::{BoxFuture, FutureExt};

use super::*;
use crate::{
    chain,
    collect::race::world::Claims,
    commit::{self, ManifestDraft},
    manifest::{Barrier, Holds},
    marks,
    testing::{FaultyStore, TestClaim},
};

/// Two versions that were given up and the barrier of a sweep behind them, which the marks know to be gone.
async fn swept_and_marked() -> Bench {
    let bench = Bench::new();
    for task in ["one", "two"] {
        bench.commit("daily", task).await;
    }
    bench.expire("east.daily.1").await;
    bench.world.shared.advance(12);
    bench.collect().await;
    bench.expire("east.daily.2").await;
    bench.world.shared.advance(12);
    let round = bench.mark().await.unwrap().unwrap();
    assert_eq!(round.head.gone.last(&"daily".parse().unwrap()), Some(VersionNumber(3)));
    bench
}

async fn lose(bench: &Bench, number: u64) {
    let path = layout::manifest(&bench.world.source, &"daily".parse().unwrap(), VersionNumber(number));
    bench.store.delete(&path).await.unwrap();
}

fn cut_at<T: std::fmt::Debug>(found: Result<T, Error>, last: u64) {
    let error = found.unwrap_err();
    let Error::Chain { set, source: chain::Error::RolledBack { head, .. } } = &error else { panic!("{error:?}") };
    assert!(set.as_str() == "daily" && head.0 == last && !error.is_retryable(), "{error}");
}

#[tokio::test]
async fn a_set_that_ends_before_what_is_said_of_it_is_refused_and_nothing_is_deleted() {
    for of_marks in [true, false] {
        let bench = swept_and_marked().await;
        let last = if of_marks {
            3
        } else {
            // A state tells of a version that no round knows to be gone.
            bench.world.shared.advance(12);
            bench.sweep().await.unwrap().unwrap();
            bench.commit("daily", "three").await;
            bench.expire("east.daily.5").await;
            5
        };
        lose(&bench, last).await;
        let before = bench.names().await;
        bench.world.shared.advance(9);
        cut_at(bench.with(async |collector| collector.survey(&BTreeSet::new(), &mut |_| {}).await).await, last);
        if of_marks {
            bench.world.shared.advance(12);
            cut_at(bench.sweep().await, last);
        } else {
            cut_at(bench.mark().await, last);
        }
        assert_eq!(bench.names().await, before);
    }
}

#[tokio::test]
async fn a_number_that_was_given_and_is_lost_is_not_given_to_a_version() {
    let bench = swept_and_marked().await;
    lose(&bench, 3).await;
    let (set, claim) = (testing::set_in(&bench.store, "east", "daily"), Held(bench.world.claim_of(1)));
    let before = bench.names().await;
    let error = set.commit(testing::draft("late"), &claim, &bench.env).await.unwrap_err();
    let commit::Error::Chain(lost) = &error else { panic!("{error:?}") };
    assert!(lost.is_other_store() && lost.to_string().contains("version 3"), "{lost}");
    assert_eq!(bench.names().await, before);
    assert!(set.require_told().await.is_err_and(|error| error.is_other_store()));
    let holds = Holds::Barrier(Barrier { reason: "lost".to_owned() });
    let lost = ManifestDraft { holds, ..testing::draft("accept") };
    let through = set.told_from(VersionNumber(1)).await.unwrap().unwrap();
    set.fill(through, lost, &claim, &bench.env).await.unwrap();
    // Who accepts a store learns its heads anew.
    let (_, head) = set.head().await.unwrap().unwrap();
    bench.world.state.lock().unwrap().fenced.insert(set.set.clone(), head);
    set.require_told().await.unwrap();
    bench.commit("daily", "late").await;
    assert_eq!(set.newest().await.unwrap().unwrap().number, VersionNumber(4));
    bench.world.shared.advance(12);
    bench.sweep().await.unwrap().unwrap();
    bench.collect().await;
    let (survey, _) = bench.survey(&[]).await;
    assert!(survey.versions.objects > 0 && survey.garbage.objects == 0, "{survey:?}");
    assert_eq!(set.list().await.unwrap().len() as u64, set.newest().await.unwrap().unwrap().number.0);
}

#[tokio::test]
async fn what_is_said_of_a_number_that_only_is_not_listed_is_no_loss() {
    let bench = swept_and_marked().await;
    let lagging: Arc<dyn ObjectStore> =
        Arc::new(FaultyStore::lagging(bench.store.clone(), "versions/00000000000000000003"));
    let (set, claim) = (testing::set_in(&lagging, "east", "daily"), TestClaim::new(1_000));
    for error in [
        set.require_told().await.map_err(commit::Error::from).unwrap_err(),
        set.commit(testing::draft("late"), &claim, &bench.env).await.unwrap_err(),
    ] {
        assert!(matches!(error, commit::Error::Chain(chain::Error::ListingLags { .. })), "{error:?}");
        assert!(error.is_retryable());
    }
}

#[tokio::test]
async fn marks_that_cannot_be_read_tell_nothing_and_no_number_is_given() {
    let bench = swept_and_marked().await;
    let head = layout::marks_head(&bench.world.source, 2);
    bench.store.put(&head, "damaged".into()).await.unwrap();
    assert!(marks::newest(&bench.store, &bench.world.source).await.is_err());
    let set = testing::set_in(&bench.store, "east", "daily");
    let error = set.commit(testing::draft("late"), &TestClaim::new(1_000), &bench.env).await.unwrap_err();
    let commit::Error::Chain(error) = &error else { panic!("{error:?}") };
    assert!(matches!(error, chain::Error::Told { .. }) && !error.is_damage() && !error.is_retryable(), "{error}");
}

#[tokio::test]
async fn the_barrier_of_a_sweep_is_remembered_before_anything_is_deleted() {
    let bench = swept_and_marked().await;
    bench.world.shared.advance(12);
    bench.sweep().await.unwrap().unwrap();
    let set = testing::set_in(&bench.store, "east", "daily");
    let (newest, head) = set.head().await.unwrap().unwrap();
    assert!(is_fence(&newest) && newest.number == VersionNumber(4));
    let remembered = bench.world.state.lock().unwrap().fenced.get(&"daily".parse().unwrap()).copied();
    assert_eq!(remembered, Some(head));
}

/// Knows of a set what it is told, and remembers nothing where it is told not to.
struct Knows<'a>(Claims<'a>, Option<Head>, bool);

impl Fence for Knows<'_> {
    fn claim(&self) -> BoxFuture<'_, Result<Arc<dyn Claim>, FenceError>> {
        self.0.claim()
    }

    fn known<'a>(&'a self, _: &'a SetId) -> BoxFuture<'a, Result<Option<Head>, FenceError>> {
        let known = self.1;
        async move { Ok(known) }.boxed()
    }

    fn fenced<'a>(&'a self, _: &'a SetId, _: Head) -> BoxFuture<'a, Result<(), FenceError>> {
        let remembers = self.2;
        async move { if remembers { Ok(()) } else { Err("not now".into()) } }.boxed()
    }
}

#[tokio::test]
async fn a_barrier_does_not_vouch_for_a_manifest_that_is_another_one_than_is_known() {
    let bench = swept_and_marked().await;
    let set = testing::set_in(&bench.store, "east", "daily");
    let (_, head) = set.head().await.unwrap().unwrap();
    bench.world.shared.advance(12);
    let before = bench.names().await;
    let claims = || Claims { world: &bench.world, generation: 1 };
    let other = Head { digest: tidemark_gateway::Digest::of(b"what was committed"), ..head };
    for known in [other, Head { number: VersionNumber(2), ..other }] {
        let knows = Knows(claims(), Some(known), true);
        let error = bench.with(async |collector| collector.sweep(&knows).await).await.unwrap_err();
        let is_other = |error: &chain::Error| matches!(error, chain::Error::HeadChanged { .. });
        let Error::Chain { source, .. } = &error else { panic!("{error:?}") };
        assert!(is_other(source), "{source:?}");
        assert_eq!(bench.names().await, before);
    }
    let knows = Knows(claims(), Some(head), true);
    assert!(bench.with(async |collector| collector.sweep(&knows).await).await.unwrap().is_some());
}

#[tokio::test]
async fn where_a_barrier_cannot_be_remembered_nothing_is_deleted() {
    let bench = swept_and_marked().await;
    bench.world.shared.advance(12);
    let before = bench.names().await;
    let forgets = Knows(Claims { world: &bench.world, generation: 1 }, None, false);
    let error = bench.with(async |collector| collector.sweep(&forgets).await).await.unwrap_err();
    assert!(matches!(error, Error::Remember { .. }), "{error:?}");
    let after = bench.names().await;
    assert!(before.iter().all(|name| after.contains(name)));
}

#[tokio::test]
async fn a_stray_name_among_states_is_named_and_tells_of_no_number() {
    let bench = swept_and_marked().await;
    let path = layout::state(&bench.world.source, &"daily".parse().unwrap(), VersionNumber(1_000_000), 1);
    bench.store.put(&path, "x".into()).await.unwrap();
    let set = testing::set_in(&bench.store, "east", "daily");
    let error = set.told_from(VersionNumber(4)).await.unwrap_err();
    let causes = tidemark_gateway::causes::joined(&error);
    assert!(matches!(error, chain::Error::Told { .. }) && causes.contains(path.as_ref()), "{causes}");
    bench.store.delete(&path).await.unwrap();
    assert_eq!(set.told_from(VersionNumber(4)).await.unwrap(), None);
}
