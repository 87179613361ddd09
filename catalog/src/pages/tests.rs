use object_store::memory::InMemory;

use super::*;
use crate::{
    ids::ObjectName,
    manifest::{Holds, Version},
    testing::{TestClaim, draft, line, set_in, token},
};

fn setup() -> (Arc<dyn ObjectStore>, Names) {
    (Arc::new(InMemory::new()), Names::new("east".parse().unwrap(), token(1)))
}

fn object(n: usize) -> ObjectName {
    ObjectName::new(["keyspace".to_owned(), format!("table {n:04}")]).unwrap()
}

async fn manifest(store: &Arc<dyn ObjectStore>, pages: Vec<StoredRef>, objects: u64) -> Manifest {
    let holds = Holds::Version(Box::new(Version { pages, objects, ..Version::empty("fake") }));
    let draft = crate::commit::ManifestDraft { holds, ..draft("task") };
    let env = tidemark_gateway::Env::system();
    set_in(store, "east", "daily").commit(draft, &TestClaim::new(1), &env).await.unwrap().0
}

#[tokio::test]
async fn lines_come_back_sorted_whatever_their_number() {
    for count in [0, 1, 255, 256, 257, 600] {
        let (store, names) = setup();
        let lines = (0..count).rev().map(|n| line(object(n))).collect();
        let pages = write_pages(&store, &names, lines).await.unwrap();
        assert_eq!(pages.len(), count.div_ceil(PAGE_LINES));
        let manifest = manifest(&store, pages, count as u64).await;
        let found: Vec<_> = read_lines(&store, &manifest).await.unwrap().into_iter().map(|line| line.object).collect();
        assert_eq!(found, (0..count).map(object).collect::<Vec<_>>());
    }
}

#[tokio::test]
async fn an_object_on_two_lines_is_refused() {
    let (store, names) = setup();
    let error = write_pages(&store, &names, vec![line(object(1)), line(object(1))]).await.unwrap_err();
    assert!(matches!(error, Error::Twice { .. }), "{error}");
}

#[tokio::test]
async fn pages_that_do_not_agree_with_the_manifest_are_refused() {
    let (store, names) = setup();
    let mut pages = write_pages(&store, &names, (0..300).map(|n| line(object(n))).collect()).await.unwrap();
    let mut manifest = manifest(&store, pages.clone(), 299).await;
    assert!(matches!(read_lines(&store, &manifest).await, Err(Error::Count { expected: 299, found: 300, .. })));
    pages.reverse();
    manifest.holds = Holds::Version(Box::new(Version { pages, objects: 300, ..Version::empty("fake") }));
    assert!(matches!(read_lines(&store, &manifest).await, Err(Error::Page(document::Error::Shape { .. }))));
}
