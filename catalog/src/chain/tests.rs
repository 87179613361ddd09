use object_store::{ObjectStoreExt, memory::InMemory};

use super::*;
use crate::manifest::{Barrier, Holds};
use crate::testing::{commit_tasks, set_in};

async fn chain_of(count: usize) -> (Arc<dyn ObjectStore>, VersionSet) {
    let store: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
    let set = set_in(&store, "east", "daily");
    commit_tasks(&set, count).await;
    (store, set)
}

async fn copy(store: &Arc<dyn ObjectStore>, from: &Path, to: &Path) {
    let bytes = fetch::get_unchecked(store, from).await.unwrap();
    store.put(to, bytes.into()).await.unwrap();
}

#[tokio::test]
async fn an_empty_set_has_no_versions() {
    let (_, set) = chain_of(0).await;
    assert_eq!((set.list().await.unwrap(), set.newest().await.unwrap()), (vec![], None));
    assert!(set.verify_chain().await.unwrap().is_empty());
}

#[tokio::test]
async fn versions_are_numbered_from_one_and_linked() {
    let (_, set) = chain_of(3).await;
    assert_eq!(set.list().await.unwrap(), [1, 2, 3].map(VersionNumber));
    assert_eq!(set.newest().await.unwrap().unwrap().number, VersionNumber(3));
    assert_eq!(set.read(VersionNumber(1)).await.unwrap().previous, None);
    assert_eq!(set.verify_chain().await.unwrap().len(), 3);
    for number in [1, 2, 3].map(VersionNumber) {
        assert_eq!(set.prove(number).await.unwrap().manifest, set.read(number).await.unwrap());
    }
}

#[tokio::test]
async fn foreign_names_beside_the_manifests_are_passed_over() {
    let (store, set) = chain_of(1).await;
    let versions = layout::versions(&set.source, &set.set);
    for name in ["2", "readme", "0000000000000000000x", "00000000000000000000", "000000000000000000000003"] {
        store.put(&Path::from(format!("{versions}/{name}")), "x".into()).await.unwrap();
    }
    assert_eq!(set.list().await.unwrap(), [VersionNumber(1)]);
}

#[tokio::test]
async fn a_changed_version_breaks_its_link_to_the_next() {
    let (store, set) = chain_of(3).await;
    let path = set.path(VersionNumber(2));
    let text = String::from_utf8(fetch::get_unchecked(&store, &path).await.unwrap().to_vec()).unwrap();
    store.put(&path, text.replace("\"node\":\"n1\"", "\"node\":\"n2\"").into()).await.unwrap();
    assert!(set.read(VersionNumber(2)).await.is_ok(), "only the next version tells");
    let error = set.prove(VersionNumber(2)).await.unwrap_err();
    assert!(matches!(&error, Error::Successor { path: damaged, .. } if *damaged == path), "{error}");
    assert!(matches!(set.read(VersionNumber(3)).await, Err(Error::Link { .. })));
    assert!(matches!(set.verify_chain().await, Err(Error::Link { .. })));
}

#[tokio::test]
async fn a_version_under_another_number_or_set_is_refused() {
    let (store, set) = chain_of(3).await;
    let other = set_in(&store, "east", "hourly");
    copy(&store, &set.path(VersionNumber(1)), &other.path(VersionNumber(1))).await;
    assert!(matches!(other.read(VersionNumber(1)).await, Err(Error::Identity { .. })));
    copy(&store, &set.path(VersionNumber(3)), &set.path(VersionNumber(4))).await;
    assert!(matches!(set.newest().await, Err(Error::Identity { .. })));
}

#[tokio::test]
async fn anything_else_in_the_place_of_a_known_head_is_damage_of_the_set_and_no_other_store() {
    let (store, set) = chain_of(2).await;
    let known = set.clone().with_head(set.head().await.unwrap().unwrap().1);
    let path = set.path(VersionNumber(2));
    let text = String::from_utf8(fetch::get_unchecked(&store, &path).await.unwrap().to_vec()).unwrap();
    store.put(&path, text.replace("\"node\":\"n1\"", "\"node\":\"n2\"").into()).await.unwrap();
    let damage = async || {
        for error in [known.require_head().await.unwrap_err(), known.head().await.unwrap_err()] {
            assert!(error.is_damage() && !error.is_other_store() && !error.is_retryable(), "{error}");
        }
    };
    damage().await;
    store.put(&path, text.replace("\"number\":2", "\"number\":3").into()).await.unwrap();
    damage().await;
    store.put(&path, text[1..].to_owned().into()).await.unwrap();
    damage().await;
    assert_eq!(known.newest_readable().await.unwrap().unwrap().number, VersionNumber(1));
}

#[tokio::test]
async fn a_deleted_version_is_a_hole() {
    let (store, set) = chain_of(3).await;
    store.delete(&set.path(VersionNumber(2))).await.unwrap();
    assert!(matches!(set.verify_chain().await, Err(Error::Hole { missing: VersionNumber(2), .. })));
    let error = set.read(VersionNumber(3)).await.unwrap_err();
    assert!(matches!(&error, Error::Read { path, .. } if *path == set.path(VersionNumber(2))), "{error}");
}

async fn head_at(set: &VersionSet, number: u64) -> Head {
    set.load(VersionNumber(number)).await.unwrap().head()
}

#[tokio::test]
async fn a_chain_that_ends_before_its_known_head_raises_the_alarm() {
    let (store, set) = chain_of(3).await;
    let known = set.clone().with_head(set.head().await.unwrap().unwrap().1);
    assert_eq!(known.newest().await.unwrap().unwrap().number, VersionNumber(3));
    let one_known = set.clone().with_head(head_at(&set, 1).await);
    assert_eq!(one_known.newest().await.unwrap().unwrap().number, VersionNumber(3));
    store.delete(&set.path(VersionNumber(3))).await.unwrap();
    let found = [known.newest().await.map(drop), known.verify_chain().await.map(drop), known.require_head().await];
    for error in found.map(Result::unwrap_err) {
        assert!(matches!(error, Error::RolledBack { head: VersionNumber(3), .. }), "{error}");
        assert!(error.is_other_store() && !error.is_retryable());
    }
    one_known.require_head().await.unwrap();
}

#[tokio::test]
async fn a_chain_that_went_on_goes_back_to_its_known_head_or_is_another_one() {
    let (_, set) = chain_of(3).await;
    let (_, other) = chain_of(5).await;
    for number in 1..=3 {
        let known = other.clone().with_head(head_at(&other, number).await);
        assert_eq!(known.head().await.unwrap().unwrap().1.number, VersionNumber(5));
        let swapped = other.clone().with_head(head_at(&set, number).await);
        let error = swapped.newest().await.unwrap_err();
        assert!(matches!(error, Error::HeadChanged { head, .. } if head.0 == number), "{error}");
    }
}

#[tokio::test]
async fn what_was_taken_out_between_the_known_head_and_the_end_is_named() {
    let (store, set) = chain_of(5).await;
    let known = set.clone().with_head(head_at(&set, 1).await);
    store.delete(&set.path(VersionNumber(3))).await.unwrap();
    let error = known.head().await.unwrap_err();
    assert!(matches!(&error, Error::Read { path, .. } if *path == set.path(VersionNumber(3))), "{error}");
}

#[tokio::test]
async fn another_manifest_in_the_place_of_the_known_head_is_seen_without_reading_the_end() {
    let (store, set) = chain_of(3).await;
    let known = set.clone().with_head(head_at(&set, 2).await);
    known.require_head().await.unwrap();
    let other = fetch::get_unchecked(&store, &set.path(VersionNumber(1))).await.unwrap();
    store.put(&set.path(VersionNumber(2)), other.into()).await.unwrap();
    assert!(matches!(known.require_head().await, Err(Error::Identity { .. })), "a copy of one");
    let (other, _) = chain_of(2).await;
    let second = fetch::get_unchecked(&other, &set.path(VersionNumber(2))).await.unwrap();
    store.put(&set.path(VersionNumber(2)), second.into()).await.unwrap();
    assert!(matches!(known.require_head().await, Err(Error::Link { .. })), "one of another chain");
}

#[tokio::test]
async fn a_listing_that_lacks_the_known_head_proves_nothing_while_that_is_there() {
    let (store, set) = chain_of(3).await;
    let head = set.head().await.unwrap().unwrap().1;
    let lagging: Arc<dyn ObjectStore> =
        Arc::new(crate::testing::FaultyStore::lagging(Arc::clone(&store), "versions/00000000000000000003"));
    let known = set_in(&lagging, "east", "daily").with_head(head);
    let looked =
        async || [known.newest().await.map(drop), known.verify_chain().await.map(drop), known.require_head().await];
    for error in looked().await.map(Result::unwrap_err) {
        assert!(matches!(error, Error::ListingLags { .. }), "{error}");
        assert!(error.is_retryable() && error.is_of_the_store() && !error.is_damage());
    }
    copy(&store, &set.path(VersionNumber(1)), &set.path(VersionNumber(3))).await;
    for error in looked().await.map(Result::unwrap_err) {
        assert!(matches!(error, Error::HeadChanged { .. }), "{error}");
    }
    store.delete(&set.path(VersionNumber(3))).await.unwrap();
    for error in looked().await.map(Result::unwrap_err) {
        assert!(matches!(error, Error::RolledBack { .. }), "{error}");
    }
}

#[tokio::test]
async fn lost_numbers_are_taken_by_manifests_without_a_version() {
    let (store, set) = chain_of(5).await;
    for number in [4, 5] {
        store.delete(&set.path(VersionNumber(number))).await.unwrap();
    }
    let (claim, env) = (crate::testing::TestClaim::new(9), Env::system());
    let lost = ManifestDraft {
        holds: Holds::Barrier(Barrier { reason: "lost".to_owned() }),
        ..crate::testing::draft("accept")
    };
    for _ in 0..2 {
        set.fill(VersionNumber(5), lost.clone(), &claim, &env).await.unwrap();
    }
    let chain = set.verify_chain().await.unwrap();
    assert_eq!(chain.iter().map(|m| m.version().is_none()).collect::<Vec<_>>(), [false, false, false, true, true]);
    let stale = set.commit(crate::testing::draft("stale"), &crate::testing::TestClaim::new(1), &env).await;
    assert!(matches!(stale, Err(commit::Error::Fenced { .. })), "{stale:?}");
}

#[tokio::test]
async fn damaged_bytes_are_refused_with_the_manifests_name() {
    for bytes in ["", "{", "[]", r#"{"format":1}"#, r#"{"document":"manifest","format":2}"#] {
        let (store, set) = chain_of(1).await;
        store.put(&set.path(VersionNumber(1)), bytes.into()).await.unwrap();
        let error = set.read(VersionNumber(1)).await.unwrap_err();
        assert!(error.to_string().contains("versions/00000000000000000001") && !error.is_retryable(), "{error}");
    }
}
