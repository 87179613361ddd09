//! Leaders that are overtaken, and daemons that die at a transaction.

use rand::{Rng as _, SeedableRng as _, rngs::StdRng};

use super::*;
use crate::coordinator::{self, Applied, Lease, Revision};

/// A coordinator of a process that dies at its nth transaction: before it is applied, or after it was and before anybody hears.
struct Dies {
    inner: Embedded,
    left: AtomicUsize,
    applies: bool,
}

fn died(applied: Applied) -> coordinator::Error {
    coordinator::Error::Backend { operation: "test", applied, source: "the process died".into() }
}

#[async_trait]
impl Coordinator for Dies {
    fn generation(&self) -> u64 {
        self.inner.generation()
    }

    fn opening(&self) -> &str {
        self.inner.opening()
    }

    async fn raise_generation(&self, to: u64) -> Result<(), coordinator::Error> {
        self.inner.raise_generation(to).await
    }

    async fn get(&self, key: &str) -> Result<Option<Kv>, coordinator::Error> {
        self.inner.get(key).await
    }

    async fn list(
        &self,
        prefix: &str,
        limit: usize,
        after: Option<&str>,
    ) -> Result<(Vec<Kv>, Revision), coordinator::Error> {
        self.inner.list(prefix, limit, after).await
    }

    async fn txn(&self, when: Vec<Cmp>, then: Vec<Op>, otherwise: Vec<Op>) -> Result<Outcome, coordinator::Error> {
        let left = self.left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
        match left {
            Ok(1) if self.applies => {
                self.inner.txn(when, then, otherwise).await?;
                Err(died(Applied::Unknown))
            }
            Ok(1) | Err(_) => Err(died(Applied::Not)),
            Ok(_) => self.inner.txn(when, then, otherwise).await,
        }
    }

    async fn watch(&self, prefix: &str, from: Revision) -> Result<Watch, coordinator::Error> {
        self.inner.watch(prefix, from).await
    }

    async fn lease(&self, ttl: Duration) -> Result<Lease, coordinator::Error> {
        self.inner.lease(ttl).await
    }
}

#[tokio::test]
async fn a_daemon_that_dies_at_any_transaction_fires_each_slot_once() {
    for applies in [false, true] {
        for nth in 1..=4 {
            let bench = bench([every("aaa", "1h"), policy("bbb", json!({"cron": "0 * * * *"})), every("ccc", "1h")]);
            let now = at("2026-11-29T12:00:00Z");
            let leader = bench.led("2026-11-29T11:30:00Z").await;
            let dies = Dies { inner: bench.coordinator.clone(), left: AtomicUsize::new(nth), applies };
            let died = bench.over(Arc::new(dies)).look(&leader, now).await.is_err();
            assert_eq!(died, nth <= 3, "three transactions are made");
            leader.step_down().await;
            let leader = bench.leader().await;
            bench.scheduler().look(&leader, now).await.unwrap();
            let mut subjects: Vec<_> = bench.tasks().await.into_iter().map(|task| task.subject).collect();
            subjects.sort();
            assert_eq!(subjects, ["shop/aaa", "shop/bbb", "shop/ccc"], "killed at {nth}, applied: {applies}");
            bench.finish().await;
            bench.scheduler().look(&leader, at("2026-11-29T13:00:00Z")).await.unwrap();
            assert_eq!(bench.tasks().await.len(), 6);
        }
    }
}

#[tokio::test]
async fn two_leaders_cannot_fire_a_slot_twice() {
    let bench = bench([every("daily", "1h")]);
    let overtaken = bench.led("2026-11-29T11:30:00Z").await;
    assert!(Leader::take(&bench.coordinator, "other").await.unwrap().is_none());
    // The key is gone although its holder does not know yet.
    bench.coordinator.txn(vec![], vec![Op::delete(leader::KEY)], vec![]).await.unwrap();
    let leader = bench.leader().await;
    let (now, later) = (at("2026-11-29T12:00:00Z"), at("2026-11-29T13:00:00Z"));
    let refused = bench.scheduler().look(&overtaken, now).await;
    assert!(matches!(refused, Err(Error::NotLeader)), "{refused:?}");
    assert!(bench.tasks().await.is_empty());
    let (one, other) = (bench.scheduler(), bench.scheduler());
    let (one, other) = tokio::join!(one.look(&leader, now), other.look(&leader, now));
    assert_eq!(one.unwrap().fired.len() + other.unwrap().fired.len(), 1);
    bench.finish().await;
    assert!(matches!(bench.scheduler().look(&overtaken, later).await, Err(Error::NotLeader)));
}

#[tokio::test]
async fn whatever_the_clock_and_the_daemons_do_no_slot_comes_twice_and_none_is_uncounted() {
    for seed in 0..12 {
        let mut rng = StdRng::seed_from_u64(seed);
        let bench = bench([every("daily", "20s")]);
        let (mut now, mut leader) = (at("2026-11-29T12:00:00Z"), bench.led("2026-11-29T12:00:00Z").await);
        for _ in 0..60 {
            now = now.checked_add(jiff::SignedDuration::from_secs(rng.random_range(-40..70))).unwrap();
            let (nth, applies) = (rng.random_range(1..4), rng.random());
            let dies = Dies { inner: bench.coordinator.clone(), left: AtomicUsize::new(nth), applies };
            if bench.over(Arc::new(dies)).look(&leader, now).await.is_err() || rng.random_bool(0.1) {
                leader.step_down().await;
                leader = bench.leader().await;
            }
            if rng.random_bool(0.7) {
                bench.finish().await;
            }
        }
        let tasks = bench.tasks().await;
        // Of each slot since then it is known what it came to.
        let record = bench.record("daily").await;
        let first = SlotId::at(record.since).0 / 20_000;
        let slots = record.last.0 / 20_000 - first;
        let counted = tasks.len() as u64 + record.missed_in_all + record.skipped_in_all;
        assert_eq!(counted, slots, "seed {seed}");
    }
}

#[tokio::test]
async fn the_loop_leads_runs_what_is_due_and_gives_the_key_back() {
    let bench = bench([every("daily", "1s")]);
    let shutdown = CancellationToken::new();
    let scheduler = bench.scheduler();
    let running = scheduler.run(shutdown.clone());
    let tasks = Tasks::new(Arc::new(bench.coordinator.clone()), Env::system());
    let mut made = bench.coordinator.watch("task/", 1).await.unwrap();
    let waiting = async {
        tokio::time::timeout(Duration::from_secs(20), made.next()).await.unwrap();
        shutdown.cancel();
    };
    tokio::join!(running, waiting);
    assert!(!tasks.list().await.unwrap().is_empty());
    assert_eq!(bench.coordinator.get(leader::KEY).await.unwrap(), None);
}
