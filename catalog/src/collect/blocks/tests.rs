//! What needs blocks are held to: they cost little, change nothing, and whatever harms them costs nothing but requests.

mod cost;
mod harm;
mod same;
mod told;

use tidemark_gateway::Digest;

use super::{
    super::{race::world::Off, rules::Rule, tests::Bench},
    Listed,
    stored::{Block, Told},
};
use crate::{
    document,
    ids::{SetId, SourceId, VersionNumber},
    layout,
    stored::StoredRef,
};

/// A sound block of a chain that is nowhere, which says that nothing is needed.
pub(in crate::collect) fn foreign(source: &SourceId, set: &SetId, first: u64, last: u64) -> Vec<u8> {
    let reference = StoredRef { key: String::new(), size: 0, digest: Digest::of(b""), tree: None, seal: None };
    let listed = Listed { level: 0, first, last, stored: reference };
    let before = (first > 1).then(|| Digest::of(b"before"));
    let block = Block { before, end: Digest::of(b"elsewhere"), ..Block::nothing(source, set, &listed) };
    document::encode(&layout::needs(source, set), &block).unwrap().into()
}

impl Bench {
    /// Names of the needs blocks in the store, without the set and the digest.
    async fn blocks(&self) -> Vec<String> {
        let names = self.names().await;
        let blocks = names.iter().filter(|name| name.contains("/needs/"));
        blocks.map(|name| name.rsplit_once('/').unwrap().1[..23].to_owned()).collect()
    }
}

#[tokio::test]
async fn a_block_of_the_first_format_is_read_and_written_as_ever() {
    let (source, set) = ("east".parse().unwrap(), "daily".parse().unwrap());
    let told =
        |number, keeps_staged| Told { number: VersionNumber(number), task: format!("task-{number}"), keeps_staged };
    let keys =
        |bytes: &[u8]| crate::opaque::Opaque::new(bytes.iter().flat_map(|byte| [*byte; 16]).collect::<Vec<u8>>());
    let names = |object, versions: &[(u32, u32)], bytes: &[u8]| super::stored::Names {
        object,
        versions: versions.to_vec(),
        keys: keys(bytes),
    };
    let block = Block {
        source,
        set,
        level: 0,
        first: VersionNumber(65),
        last: VersionNumber(128),
        before: Some(Digest::of(b"before")),
        end: Digest::of(b"end"),
        versions: vec![told(70, false), told(71, true), told(128, false)],
        objects: vec!["ks/a".parse().unwrap(), "ks/b".parse().unwrap()],
        needs: vec![
            names(Some(1), &[(0, 2)], &[1, 2]),
            names(None, &[(0, 0), (2, 2)], &[3]),
            names(Some(0), &[(1, 1)], &[4]),
        ],
    };
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/v2-needs");
    let bytes = document::encode(&layout::needs(&block.source, &block.set), &block).unwrap();
    let token = crate::testing::token(7);
    let path = layout::needs_block(&block.source, &block.set, 0, block.last, token, Digest::of(&bytes));
    let kept = std::fs::read(folder.join(path.as_ref())).unwrap_or_else(|error| panic!("{path}: {error}"));
    assert_eq!(kept, bytes);
    let listed = Listed::parse(&path, bytes.len() as u64, super::NUMBERS).unwrap();
    let read: Block = document::decode(&path, &kept).unwrap();
    assert_eq!(read.checked(&block.source, &block.set, &listed).unwrap(), block);
}

#[tokio::test]
async fn blocks_are_made_of_manifests_and_then_of_blocks_and_go_when_they_are_of_no_use() {
    let bench = Bench::of(Off::Nothing, 1, 2);
    for task in 0..9 {
        bench.commit("daily", &format!("t-{task}")).await;
    }
    bench.mark().await.unwrap().unwrap();
    let of = |level: u8, last: u64| format!("{level:02}-{last:020}");
    assert_eq!(bench.blocks().await, [of(0, 2), of(0, 4), of(0, 6), of(0, 8)]);
    bench.collect().await;
    bench.commit("daily", "more").await;
    bench.collect().await;
    bench.commit("daily", "yet-more").await;
    bench.collect().await;
    // 9 versions, and after each of the others a barrier.
    let blocks = bench.blocks().await;
    assert!(blocks.contains(&of(2, 8)) && !blocks.contains(&of(0, 2)) && !blocks.contains(&of(1, 4)), "{blocks:?}");
    for number in 1..=9 {
        bench.expire(&format!("east.daily.{number}")).await;
    }
    bench.world.shared.advance(12);
    bench.collect().await;
    assert!(!bench.blocks().await.contains(&of(2, 8)), "all that it tells of is gone");
}

#[tokio::test]
async fn a_survey_and_a_freeing_write_no_block() {
    let bench = Bench::of(Off::Nothing, 1, 2);
    for task in ["one", "two", "three"] {
        bench.commit("daily", task).await;
    }
    bench.survey(&[]).await;
    bench.free().await.unwrap();
    assert_eq!(bench.blocks().await, [""; 0]);
}

#[tokio::test]
async fn no_block_tells_of_the_newest_number() {
    let bench = Bench::of(Off::Nothing, 1, 2);
    for task in ["one", "two"] {
        bench.commit("daily", task).await;
    }
    bench.mark().await.unwrap().unwrap();
    assert_eq!(bench.blocks().await, [""; 0]);
}
