//! What blocks tell is believed, and no more of them is read than is of use.

use object_store::{ObjectStoreExt, path::Path};

use super::*;
use crate::{
    collect::{Swept, race::world::Held},
    commit::ManifestDraft,
    manifest::{Holds, Version},
    marks::{Gone, Writer},
    testing,
};

impl Bench {
    fn blocks_read(&self) -> u64 {
        let mut read = 0;
        self.world.shared.count_blocks(|what, count| read += if what.ends_with("read") { count } else { 0 });
        read
    }
}

#[tokio::test]
async fn what_a_version_keeps_staged_stays_when_only_blocks_tell_of_it() {
    let bench = Bench::of(Off::Nothing, 1, 2);
    let keeping = Holds::Version(Box::new(Version { keeps_staged: true, ..Version::empty("fake") }));
    let draft = ManifestDraft { holds: keeping, ..testing::draft("keeping") };
    let set = testing::set_in(&bench.store, "east", "daily");
    set.commit(draft, &Held(bench.world.claim_of(1)), &bench.env).await.unwrap();
    let staged = Path::from("sources/east/staged/keeping/p/file");
    bench.store.put(&staged, "x".into()).await.unwrap();
    let mut levels = std::collections::BTreeSet::new();
    for task in 0..12 {
        bench.commit("daily", &format!("t-{task}")).await;
        bench.collect().await;
        let blocks = bench.blocks().await;
        let first = blocks
            .iter()
            .filter(|block| [2, 4, 8, 16].map(|last| format!("{last:020}")).contains(&block[3..].to_owned()));
        levels.extend(first.map(|block| block[..2].to_owned()));
        let read = bench.blocks_read();
        bench.free().await.unwrap();
        assert!(bench.store.head(&staged).await.is_ok(), "{blocks:?}");
        assert!(blocks.is_empty() || bench.blocks_read() > read);
    }
    assert!(levels.contains("00") && levels.contains("02"), "{levels:?}");
}

#[tokio::test]
async fn what_only_a_block_says_to_be_needed_is_swept_by_no_round() {
    let bench = Bench::of(Off::Nothing, 1, 2);
    for task in ["one", "two", "three"] {
        bench.commit("daily", task).await;
    }
    bench.collect().await;
    assert_eq!(bench.blocks().await.len(), 1);
    // As a collector marks that read before the versions were there.
    let mut writer = Writer::new(&bench.store, &bench.world.source, 2, bench.world.claim_of(1));
    for name in bench.names().await.iter().filter(|name| name.contains("/pages/") || name.contains("/segments/")) {
        writer.push(&Path::from(name.as_str()), 1).await.unwrap();
    }
    assert!(writer.finish(Gone::default(), &bench.env).await.unwrap());
    bench.world.shared.advance(12);
    let (before, read) = (bench.survey(&[]).await.0.versions, bench.blocks_read());
    assert_eq!(bench.sweep().await.unwrap(), Some(Swept::default()));
    assert!(bench.blocks_read() > read);
    assert_eq!(bench.survey(&[]).await.0.versions, before);
}

#[tokio::test]
async fn a_block_that_the_store_does_not_give_is_an_outage_and_no_reason_to_read_all() {
    let bench = Bench::of(Off::Nothing, 1, 2);
    for task in ["one", "two", "three", "four", "five"] {
        bench.commit("daily", task).await;
    }
    bench.mark().await.unwrap().unwrap();
    bench.world.shared.set_away(Some("/needs/"));
    let before = bench.world.shared.reads();
    let error =
        bench.with(async |collector| collector.survey(&Default::default(), &mut |_| {}).await).await.unwrap_err();
    let reads = bench.world.shared.reads() - before;
    bench.world.shared.set_away(Some("/versions/"));
    let before = bench.world.shared.reads();
    bench.with(async |collector| collector.survey(&Default::default(), &mut |_| {}).await).await.unwrap_err();
    let to_manifests = bench.world.shared.reads() - before;
    assert!(error.is_retryable() && tidemark_gateway::causes::joined(&error).contains("/needs/00-"), "{error:?}");
    assert!(reads < to_manifests, "no manifest was read: {reads} {to_manifests}");
}

#[tokio::test]
async fn blocks_that_reach_beyond_the_last_number_or_are_gone_are_not_read() {
    let bench = Bench::of(Off::Nothing, 1, 2);
    for task in ["one", "two", "three", "four", "five"] {
        bench.commit("daily", task).await;
    }
    bench.mark().await.unwrap().unwrap();
    let read = async || {
        let before = bench.blocks_read();
        bench.survey(&[]).await;
        bench.blocks_read() - before
    };
    for (lag, blocks) in [(0, 2), (1, 2), (2, 1), (3, 1), (4, 0)] {
        bench.world.shared.set_lag(lag);
        assert_eq!(read().await, blocks, "a list that lacks {lag}");
    }
    bench.world.shared.set_lag(0);
    bench.world.shared.advance(12);
    bench.sweep().await.unwrap().unwrap();
    for number in 1..=4 {
        bench.expire(&format!("east.daily.{number}")).await;
    }
    bench.world.shared.advance(12);
    bench.mark().await.unwrap().unwrap();
    assert!(!bench.blocks().await.is_empty());
    assert_eq!(read().await, 0, "all that they tell of is gone");
}

#[tokio::test]
async fn a_block_that_is_refused_is_made_anew_once() {
    for harm in ["damaged", "foreign", "higher"] {
        let bench = Bench::of(Off::Nothing, 1, 2);
        for task in ["one", "two", "three", "four", "five"] {
            bench.commit("daily", task).await;
        }
        bench.collect().await;
        // Each makes the blocks that it can of what the one before made; nothing is there to be marked.
        let reads_and_blocks = async || {
            let before = bench.world.shared.reads();
            assert_eq!(bench.mark().await.unwrap(), None);
            (bench.world.shared.reads() - before, bench.blocks().await.len())
        };
        let mut settled = reads_and_blocks().await;
        for _ in 0..3 {
            settled = reads_and_blocks().await;
        }
        let (source, set) = (&bench.world.source, "daily".parse().unwrap());
        let (level, last) = if harm == "higher" { (1, 4) } else { (0, 2) };
        if harm == "damaged" {
            for name in bench.names().await.into_iter().filter(|name| name.contains("/needs/")) {
                bench.store.put(&Path::from(name), "damaged".into()).await.unwrap();
            }
        } else {
            let bytes = foreign(source, &set, 1, last);
            let token = crate::ids::FencingToken { generation: 9, revision: 1 };
            let path = layout::needs_block(source, &set, level, VersionNumber(last), token, Digest::of(&bytes));
            bench.store.put(&path, bytes.into()).await.unwrap();
        }
        let mut found = Vec::new();
        for _ in 0..6 {
            found.push(reads_and_blocks().await);
        }
        println!("{harm}: settled at {settled:?} reads and blocks, then {found:?}");
        let [.., before, after] = found[..] else { panic!() };
        assert_eq!(before, after, "{harm}: nothing is made any more: {found:?}");
        // What is refused is read, and refused again, until a sweep deletes it.
        assert!(after.0 <= settled.0 + 4, "{harm}: settled at {settled:?}, then {found:?}");
    }
}

#[tokio::test]
async fn a_block_that_no_reading_could_use_is_not_made() {
    let bench = Bench::of(Off::Nothing, 1, 2);
    for task in ["one", "two", "three", "four", "five"] {
        bench.commit("daily", task).await;
    }
    // The third has another link than it had: the end of the first block is told by nobody any more.
    let path = layout::manifest(&bench.world.source, &"daily".parse().unwrap(), VersionNumber(3));
    let bytes = tidemark_gateway::fetch::get_unchecked(&bench.store, &path).await.unwrap();
    let mut manifest: crate::manifest::Manifest = document::decode(&path, &bytes).unwrap();
    manifest.previous = Some(Digest::of(b"another"));
    bench.store.put(&path, document::encode(&path, &manifest).unwrap().into()).await.unwrap();
    bench.expire("east.daily.3").await;
    bench.world.shared.advance(12);
    for _ in 0..3 {
        bench.mark().await.unwrap();
        assert_eq!(bench.blocks().await, [""; 0]);
        bench.world.shared.advance(12);
        bench.sweep().await.unwrap();
        bench.free().await.unwrap();
    }
}
