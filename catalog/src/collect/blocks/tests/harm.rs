//! Blocks that are damaged, foreign, of a format to come, or half written.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use futures::future::{BoxFuture, FutureExt, ready};
use object_store::{ObjectStoreExt, path::Path};
use tidemark_gateway::fetch;

use super::*;
use crate::{
    chain::Head,
    collect::{Collector, Error, Fence, FenceError, Survey},
    commit::Claim,
    ids::FencingToken,
    testing::token,
};

/// Four versions of which two blocks of two numbers tell, and one more.
async fn told() -> Bench {
    let bench = Bench::of(Off::Nothing, 1, 2);
    for task in ["one", "two", "three", "four", "five"] {
        bench.commit("daily", task).await;
    }
    bench.mark().await.unwrap().unwrap();
    bench.world.shared.advance(12);
    bench.sweep().await.unwrap().unwrap();
    bench.free().await.unwrap();
    assert_eq!(bench.blocks().await.len(), 2, "none that is higher");
    bench
}

async fn blocks_of(bench: &Bench, beginning: &str) -> Vec<Path> {
    let names = bench.names().await;
    let blocks = names.iter().filter(|name| name.contains(&format!("/needs/{beginning}")));
    blocks.map(|name| Path::from(name.as_str())).collect()
}

/// What is stored, but for what no version needs.
fn needed(survey: &Survey) -> (crate::collect::Sum, crate::collect::Sum, String) {
    (survey.versions, survey.garbage, format!("{:?} {:?}", survey.by_object, survey.alone))
}

/// Puts a block of the first two numbers that is preferred to all others.
async fn put(bench: &Bench, level: u8, last: u64, bytes: Vec<u8>) -> Path {
    let set = "daily".parse().unwrap();
    let token = FencingToken { generation: 9, revision: 1 };
    let path = layout::needs_block(&bench.world.source, &set, level, VersionNumber(last), token, Digest::of(&bytes));
    bench.store.put(&path, bytes.into()).await.unwrap();
    path
}

async fn sound(bench: &Bench) -> Block {
    let path = blocks_of(bench, "00-00000000000000000002").await.remove(0);
    let bytes = fetch::get_unchecked(&bench.store, &path).await.unwrap();
    document::decode(&path, &bytes).unwrap()
}

#[tokio::test]
async fn a_block_that_is_damaged_is_read_around_and_made_anew() {
    for harm in ["cut", "empty", "flipped", "swapped", "gone"] {
        let bench = told().await;
        let before = needed(&bench.survey(&[]).await.0);
        let path = blocks_of(&bench, "00-00000000000000000002").await.remove(0);
        let other = blocks_of(&bench, "00-00000000000000000004").await.remove(0);
        let mut bytes = fetch::get_unchecked(&bench.store, &path).await.unwrap().to_vec();
        match harm {
            "cut" => bytes.truncate(bytes.len() - 1),
            "empty" => bytes.clear(),
            "swapped" => bytes = fetch::get_unchecked(&bench.store, &other).await.unwrap().to_vec(),
            _ => {
                // A digit of a name: the block would be sound without its digest.
                let at = String::from_utf8(bytes.clone()).unwrap().find("\"keys\":\"").unwrap() + 8;
                bytes[at] = if bytes[at] == b'0' { b'1' } else { b'0' };
                assert!(document::decode::<Block>(&path, &bytes).is_ok());
            }
        }
        match harm {
            "gone" => bench.store.delete(&path).await.unwrap(),
            _ => drop(bench.store.put(&path, bytes.into()).await.unwrap()),
        }
        assert_eq!(needed(&bench.survey(&[]).await.0), before, "{harm}");
        bench.commit("daily", "six").await;
        let survey = bench.survey(&[]).await.0;
        bench.collect().await;
        let after = bench.survey(&[]).await.0;
        assert_eq!(after.versions, survey.versions, "{harm}");
        let made = blocks_of(&bench, "00-00000000000000000002").await;
        assert!(made.iter().all(|name| *name != path), "{harm}: the damaged one is deleted: {made:?}");
        assert!(made.len() == 1 || !blocks_of(&bench, "01-").await.is_empty(), "{harm}: {made:?}");
    }
}

#[tokio::test]
async fn a_block_that_is_not_what_its_name_says_tells_nothing() {
    let bench = told().await;
    let before = needed(&bench.survey(&[]).await.0);
    let block = sound(&bench).await;
    let nothing = || Block { needs: Vec::new(), objects: Vec::new(), ..block.clone() };
    let encode = |block: &Block| document::encode(&Path::from("block"), block).unwrap().to_vec();
    let first = |change: fn(&mut super::super::stored::Names)| {
        let mut block = block.clone();
        change(&mut block.needs[0]);
        encode(&block)
    };
    let wrong = [
        encode(&Block { source: "west".parse().unwrap(), ..nothing() }),
        encode(&Block { set: "kept".parse().unwrap(), ..nothing() }),
        encode(&Block { level: 1, ..nothing() }),
        encode(&Block { first: VersionNumber(2), ..nothing() }),
        encode(&Block { last: VersionNumber(4), ..nothing() }),
        encode(&Block { before: Some(Digest::of(b"x")), ..nothing() }),
        encode(&Block { end: Digest::of(b"x"), ..nothing() }),
        encode(&Block { versions: block.versions.iter().rev().cloned().collect(), ..nothing() }),
        first(|names| names.object = Some(9)),
        first(|names| names.versions = vec![(1, 0)]),
        first(|names| names.versions = vec![(0, 1), (1, 1)]),
        first(|names| names.versions = vec![(0, 2)]),
        first(|names| names.versions = Vec::new()),
        first(|names| names.keys = crate::opaque::Opaque::new(vec![0; 15])),
        first(|names| names.keys = crate::opaque::Opaque::default()),
        foreign(&bench.world.source, &"daily".parse().unwrap(), 1, 2),
        br#"{"document":"marks","format":2,"body":{}}"#.to_vec(),
        b"{".to_vec(),
        br#"{"document":"needs-block","format":3,"of":"a format to come"}"#.to_vec(),
    ];
    let mut put_there = Vec::new();
    for (at, bytes) in wrong.into_iter().enumerate() {
        put_there.push(put(&bench, 0, 2, bytes).await);
        assert_eq!(needed(&bench.survey(&[]).await.0), before, "{at}");
    }
    // It would be used if it were linked.
    let used = put(&bench, 0, 2, encode(&nothing())).await;
    assert_ne!(needed(&bench.survey(&[]).await.0), before, "what is not refused is used");
    bench.store.delete(&used).await.unwrap();
    bench.commit("daily", "six").await;
    bench.collect().await;
    let names = bench.names().await;
    let left: Vec<_> = put_there.iter().filter(|path| names.contains(&path.to_string())).collect();
    assert!(left.is_empty(), "they are of no use: {left:?}");
}

#[tokio::test]
async fn a_version_that_a_block_does_not_tell_of_is_read() {
    let bench = told().await;
    let before = needed(&bench.survey(&[]).await.0);
    let mut block = sound(&bench).await;
    block.versions.truncate(1);
    block.needs.retain(|names| names.versions[0].0 == 0);
    block.needs.iter_mut().for_each(|names| names.versions = vec![(0, 0)]);
    put(&bench, 0, 2, document::encode(&Path::from("block"), &block).unwrap().to_vec()).await;
    assert_eq!(needed(&bench.survey(&[]).await.0), before);
}

#[tokio::test]
async fn a_block_of_what_was_rolled_back_is_not_used() {
    let bench = told().await;
    let (set, source) = ("daily".parse().unwrap(), bench.world.source.clone());
    let newest = blocks_of(&bench, "00-00000000000000000004").await;
    assert_eq!(newest.len(), 1);
    let last = bench.names().await.iter().filter(|name| name.contains("/versions/")).count() as u64;
    for number in 2..=last {
        bench.store.delete(&layout::manifest(&source, &set, VersionNumber(number))).await.unwrap();
    }
    let (survey, _) = bench.survey(&[]).await;
    assert_eq!(survey.alone.len(), 1, "blocks that reach beyond the last number are of no use: {survey:?}");
    for task in ["other-2", "other-3", "other-4", "other-5"] {
        bench.commit("daily", task).await;
    }
    let without =
        Collector { broken: Some(Rule::Blocks), ..bench.world.collector(&bench.store, &bench.live(), &bench.env) }
            .survey(&Default::default(), &mut |_| {})
            .await
            .unwrap();
    assert_eq!(needed(&bench.survey(&[]).await.0), needed(&without));
}

#[tokio::test]
async fn what_was_read_before_a_store_was_rolled_back_is_not_bound_to_what_is_there_then() {
    let bench = Bench::of(Off::Nothing, 1, 2);
    let (set, source): (SetId, _) = ("daily".parse().unwrap(), bench.world.source.clone());
    for task in ["one", "two", "three", "four"] {
        bench.commit("daily", task).await;
    }
    bench.mark().await.unwrap().unwrap();
    bench.world.shared.advance(12);
    bench.sweep().await.unwrap().unwrap();
    // The barrier is gone for the next round: it is read by nobody, and a block ends before it.
    bench.commit("daily", "five").await;
    bench.mark().await.unwrap().unwrap();
    for path in blocks_of(&bench, "").await {
        bench.store.delete(&path).await.unwrap();
    }
    let claim = crate::collect::race::world::Held(bench.world.claim_of(1));
    bench
        .with(async |collector| {
            let round = crate::marks::newest(&bench.store, &source).await.unwrap().unwrap();
            assert!(round.is_gone(&set, VersionNumber(5)));
            let sets = [set.clone()].into();
            let states = collector.states(&sets, &round.head.gone).await.unwrap();
            let roots = crate::collect::roots::Roots::read(&bench.store, &source, &sets).await.unwrap();
            let mut reading = collector.read(Some(&round), &sets, &states, roots, &Default::default()).await.unwrap();
            for number in 1..=6 {
                bench.store.delete(&layout::manifest(&source, &set, VersionNumber(number))).await.unwrap();
            }
            bench.store.delete(&layout::marks_head(&source, round.number)).await.unwrap();
            for task in 1..=6 {
                bench.commit("daily", &format!("other-{task}")).await;
            }
            collector.write_blocks(&mut reading, &claim).await;
        })
        .await;
    let without =
        Collector { broken: Some(Rule::Blocks), ..bench.world.collector(&bench.store, &bench.live(), &bench.env) }
            .survey(&Default::default(), &mut |_| {})
            .await
            .unwrap();
    assert_eq!(needed(&bench.survey(&[]).await.0), needed(&without));
}

#[tokio::test]
async fn a_collector_that_dies_at_any_call_of_a_mark_leaves_what_the_next_one_makes_good() {
    let mut calls = 0;
    loop {
        let bench = Bench::of(Off::Nothing, 1, 2);
        for task in ["one", "two", "three", "four", "five"] {
            bench.commit("daily", task).await;
        }
        bench.expire("east.daily.2").await;
        bench.world.shared.advance(12);
        let before = bench.survey(&[]).await.0;
        let (world, store) = (bench.world.clone(), bench.world.store(Some(1)));
        let (claim, live) = (crate::collect::race::world::Held(world.claim_of(1)), bench.live());
        let collector = world.collector(&store, &live, &bench.env);
        let mut mark = collector.mark(&claim).boxed();
        let mut is_done = false;
        for _ in 0..calls {
            world.shared.grant(1);
            let step = std::future::poll_fn(|context| match mark.as_mut().poll(context) {
                std::task::Poll::Ready(done) => std::task::Poll::Ready(Some(done)),
                std::task::Poll::Pending if world.shared.is_waiting(1) => std::task::Poll::Ready(None),
                std::task::Poll::Pending => std::task::Poll::Pending,
            });
            if let Some(done) = step.await {
                done.unwrap();
                is_done = true;
                break;
            }
        }
        drop(mark);
        bench.world.shared.advance(12);
        bench.collect().await;
        let after = bench.survey(&[]).await.0;
        assert_eq!(after.versions, before.versions, "after {calls} calls");
        assert_eq!(after.garbage.objects + after.marked.objects, 0, "after {calls} calls");
        if is_done {
            break;
        }
        calls += 1;
    }
    assert!(calls > 40, "{calls}");
}

/// Claims that end after they were asked so many times.
struct Lapsing(FencingToken, Arc<AtomicU64>);

impl Claim for Lapsing {
    fn token(&self) -> FencingToken {
        self.0
    }

    fn holds(&self) -> bool {
        self.1.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok()
    }
}

impl Fence for Lapsing {
    fn claim(&self) -> BoxFuture<'_, Result<Arc<dyn Claim>, FenceError>> {
        ready(Ok(Arc::new(Lapsing(self.0, self.1.clone())) as Arc<dyn Claim>)).boxed()
    }

    fn known<'a>(&'a self, _: &'a SetId) -> BoxFuture<'a, Result<Option<Head>, FenceError>> {
        ready(Ok(None)).boxed()
    }

    fn fenced<'a>(&'a self, _: &'a SetId, _: Head) -> BoxFuture<'a, Result<(), FenceError>> {
        ready(Ok(())).boxed()
    }
}

#[tokio::test]
async fn a_sweep_whose_claim_has_ended_deletes_nothing() {
    let bench = Bench::of(Off::Nothing, 1, 2);
    bench.commit("daily", "one").await;
    bench.mark().await.unwrap().unwrap();
    bench.world.shared.advance(12);
    let work = async || bench.names().await.into_iter().filter(|name| name.contains("/work/")).count();
    let before = work().await;
    assert!(before > 0);
    let (mut fenced, mut asked) = (false, 0);
    loop {
        let claim = Lapsing(token(1_000 + asked), Arc::new(AtomicU64::new(asked)));
        let swept = bench.with(async |collector| collector.sweep(&claim).await).await;
        if swept.is_ok() {
            break;
        }
        fenced |= matches!(swept, Err(Error::ClaimLost { .. }));
        assert_eq!(work().await, before, "{asked}");
        asked += 1;
    }
    assert!(fenced && work().await == 0, "the claim ended between the barrier and the deletion too");
}
