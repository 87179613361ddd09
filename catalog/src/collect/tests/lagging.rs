//! Lists of manifests that lag behind the barriers of a sweep.

use futures::future::{BoxFuture, FutureExt};

use super::*;
use crate::{chain, collect::race::world::Claims, marks::Gone};

/// After a barrier lists lack so many of the newest manifests.
struct Lagging<'a>(Claims<'a>, u64);

impl Fence for Lagging<'_> {
    fn claim(&self) -> BoxFuture<'_, Result<Arc<dyn Claim>, FenceError>> {
        self.0.claim()
    }

    fn known<'a>(&'a self, set: &'a SetId) -> BoxFuture<'a, Result<Option<Head>, FenceError>> {
        self.0.known(set)
    }

    fn fenced<'a>(&'a self, _: &'a SetId, _: Head) -> BoxFuture<'a, Result<(), FenceError>> {
        self.0.world.shared.set_lag(self.1);
        async { Ok(()) }.boxed()
    }
}

#[tokio::test]
async fn a_list_that_lacks_the_barrier_is_asked_again_later_and_nothing_is_deleted() {
    for lag in [1, 2, 3] {
        let bench = Bench::new();
        bench.commit("daily", "one").await;
        // A version that was committed after it was marked what it needs: only the second reading finds it.
        let segments = bench.names().await.into_iter().filter(|name| name.contains("/segments/"));
        let mut writer = crate::marks::Writer::new(&bench.store, &bench.world.source, 1, bench.world.claim_of(1));
        for segment in segments {
            writer.push(&Path::from(segment), 1).await.unwrap();
        }
        assert!(writer.finish(Gone::default(), &bench.env).await.unwrap());
        bench.world.shared.advance(12);
        let before = bench.names().await;
        let claims = || Claims { world: &bench.world, generation: 1 };
        let lagging = Lagging(claims(), lag);
        let error = bench.with(async |collector| collector.sweep(&lagging).await).await.unwrap_err();
        let lags = matches!(&error, Error::Chain { source: chain::Error::ListingLags { .. }, .. });
        assert!(lags && error.is_retryable(), "{lag}: {error:?}");
        bench.world.shared.set_lag(0);
        let after = bench.names().await;
        assert_eq!(after.len(), before.len() + 1, "there is a barrier more");
        assert!(before.iter().all(|name| after.contains(name)));
        let swept = bench.with(async |collector| collector.sweep(&Lagging(claims(), 0)).await).await.unwrap();
        assert_eq!(swept, Some(Swept::default()));
    }
}

#[tokio::test]
async fn by_a_list_that_lacks_what_is_known_nothing_is_freed() {
    let bench = Bench::new();
    for task in ["one", "two"] {
        bench.commit("daily", task).await;
    }
    let live = Live { known: [("daily".parse().unwrap(), VersionNumber(2))].into(), ..bench.live() };
    let collector = bench.world.collector(&bench.store, &live, &bench.env);
    let (before, claim) = (bench.names().await, Held(bench.world.claim_of(1)));
    bench.world.shared.set_lag(1);
    let error = collector.free_staged(&claim).await.unwrap_err();
    assert!(matches!(&error, Error::Chain { source: chain::Error::ListingLags { .. }, .. }), "{error:?}");
    bench.world.shared.set_lag(0);
    assert_eq!(bench.names().await, before);
    assert!(collector.free_staged(&claim).await.unwrap().objects > 0);
}
