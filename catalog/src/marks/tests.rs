use object_store::{ObjectStoreExt, memory::InMemory};
use tidemark_gateway::Env;

use super::*;
use crate::testing::token;

fn place() -> (Arc<dyn ObjectStore>, SourceId) {
    (Arc::new(InMemory::new()), "east".parse().unwrap())
}

fn name(number: usize) -> Path {
    Path::from(format!("sources/east/pages/{number}"))
}

/// Writes a round that marks these names, under a token of its own.
async fn write(store: &Arc<dyn ObjectStore>, source: &SourceId, round: u64, names: std::ops::Range<usize>) -> bool {
    let mut writer = Writer::new(store, source, round, token(names.start as u64));
    for number in names {
        writer.push(&name(number), 2).await.unwrap();
    }
    writer.finish(Gone::default(), &Env::system()).await.unwrap()
}

async fn swept(store: &Arc<dyn ObjectStore>, source: &SourceId, round: u64) {
    let record = SweptRecord { round, token: token(round), objects: 1, bytes: 1 };
    document::write(store, &layout::marks_swept(source, round), &record).await.unwrap();
}

#[tokio::test]
async fn what_was_marked_is_known_whatever_the_number_of_pages() {
    let (store, source) = place();
    assert!(read(&store, &source).await.unwrap().is_empty());
    assert!(write(&store, &source, 1, 0..PAGE_NAMES + 1).await);
    let marked = read(&store, &source).await.unwrap();
    assert_eq!(marked.round(), Some(1));
    assert!((0..=PAGE_NAMES).all(|number| marked.contains(&name(number))));
    assert!(!marked.contains(&name(PAGE_NAMES + 1)));
    let round = newest(&store, &source).await.unwrap().unwrap();
    assert_eq!((round.objects, round.bytes, round.head.pages.len()), (8193, 2 * 8193, 2));
}

#[tokio::test]
async fn only_the_highest_head_counts_and_none_that_was_swept() {
    let (store, source) = place();
    assert!(!write(&store, &source, 1, 0..0).await, "nothing is no round");
    assert!(write(&store, &source, 1, 0..1).await);
    assert!(!write(&store, &source, 1, 1..2).await, "a round has one head");
    swept(&store, &source, 1).await;
    assert!(read(&store, &source).await.unwrap().is_empty());
    assert!(write(&store, &source, 2, 5..6).await);
    store.delete(&layout::marks_head(&source, 1)).await.unwrap();
    assert!(write(&store, &source, 1, 7..8).await, "a collector that was frozen");
    let page = layout::marks_page(&source, 3, token(9), 0);
    document::write(&store, &page, &Page { names: Vec::new() }).await.unwrap();
    let marked = read(&store, &source).await.unwrap();
    assert!(marked.round() == Some(2) && marked.contains(&name(5)) && !marked.contains(&name(7)));
}

#[tokio::test]
async fn a_page_that_is_gone_is_an_error_unless_the_round_was_swept() {
    let (store, source) = place();
    write(&store, &source, 1, 0..1).await;
    store.delete(&layout::marks_page(&source, 1, token(0), 0)).await.unwrap();
    let error = read(&store, &source).await.unwrap_err();
    assert!(matches!(&error, Error::Document(document) if document.is_absent()), "{error}");
    let round = newest(&store, &source).await.unwrap().unwrap();
    assert!(!is_over(&store, &source, &round).await.unwrap());
    swept(&store, &source, 1).await;
    assert!(is_over(&store, &source, &round).await.unwrap());
    assert!(read(&store, &source).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_head_of_another_source_is_refused() {
    let (store, source) = place();
    write(&store, &source, 1, 0..1).await;
    let bytes = store.get(&layout::marks_head(&source, 1)).await.unwrap().bytes().await.unwrap();
    let west = "west".parse().unwrap();
    store.put(&layout::marks_head(&west, 1), bytes.into()).await.unwrap();
    assert!(matches!(read(&store, &west).await, Err(Error::Identity { .. })));
}
