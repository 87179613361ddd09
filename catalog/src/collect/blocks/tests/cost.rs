//! How many requests a collection makes.

use super::*;

/// Requests that read an object, of a mark and a sweep which free one of so many versions.
async fn reads(off: Off, versions: u64, numbers: u64) -> u64 {
    let bench = Bench::of(off, 1, numbers);
    for task in 0..versions {
        bench.commit_sharing("daily", &format!("t-{task}")).await;
    }
    // The first mark makes the lowest blocks, and each one after it those above.
    bench.collect().await;
    for round in 0..3 {
        bench.commit_sharing("daily", &format!("round-{round}")).await;
        bench.collect().await;
    }
    bench.expire("east.daily.5").await;
    bench.world.shared.advance(12);
    let before = bench.world.shared.reads();
    bench.mark().await.unwrap().unwrap();
    bench.world.shared.advance(12);
    assert!(bench.sweep().await.unwrap().unwrap().objects > 0);
    bench.world.shared.reads() - before
}

#[tokio::test]
async fn a_collection_reads_by_what_is_new_and_not_by_what_is_kept() {
    let (few, many) = (reads(Off::Nothing, 136, 64).await, reads(Off::Nothing, 1288, 64).await);
    println!("64 numbers: {few} reads of 136 versions, {many} of 1288");
    // Both read the source: 18 blocks more, each once.
    assert!(many <= few + 2 * 18 + 4, "{few} {many}");
    let (few, many) = (reads(Off::Nothing, 136, 4).await, reads(Off::Nothing, 520, 4).await);
    println!("4 numbers: {few} reads of 136 versions, {many} of 520");
    // A level more, of at most three blocks.
    assert!(many <= few + 2 * 3 + 4, "{few} {many}");
    let without = reads(Off::Collector(Rule::Blocks), 136, 64).await;
    println!("without blocks: {without} reads of 136 versions");
    assert!(without > 2 * 2 * 136, "{without}");
}
