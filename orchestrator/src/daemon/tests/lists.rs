//! Lists in pages, damaged versions, keys that are used again.

use tidemark_web::api::List;

use super::*;

/// The stored manifest of a version.
fn manifest(bucket: &Path, number: u64) -> std::path::PathBuf {
    bucket.join(format!("sources/src/sets/daily/versions/{number:020}"))
}

#[tokio::test]
async fn a_version_whose_manifest_is_damaged_is_listed_with_the_reason_and_hides_no_other() {
    let (state, bucket) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    with_daemon(state.path(), fake::World::default(), async |api| {
        set_up(&api, bucket.path()).await;
        for key in ["one", "two", "three"] {
            protect(&api, key).await;
        }
        let qualities = async || versions(&api).await.into_iter().map(|v| v.quality).collect::<Vec<_>>();
        assert_eq!(qualities().await, [Quality::Cut; 3]);
        // Damaged after it was listed: what is known of it from then must not be shown.
        let path = manifest(bucket.path(), 3);
        let stored = std::fs::read_to_string(&path).unwrap();
        std::fs::remove_file(&path).unwrap();
        std::fs::write(&path, stored.replacen("daily", "dayly", 1)).unwrap();
        assert_eq!(qualities().await, [Quality::Cut, Quality::Cut, Quality::Damaged]);
        let damaged = versions(&api).await.pop().unwrap();
        assert!(damaged.damage.as_ref().unwrap().contains("dayly"), "{damaged:?}");
        assert_eq!(api.version("src.daily.3").await.unwrap().version, damaged);
        let verify = api.verify_version("src.daily.3", "v").await.unwrap();
        let ended = done(&api, verify).await;
        assert_eq!((ended.state.as_str(), ended.error.unwrap().code.as_str()), ("failed", "TM-CAT-0001"));
        let objects = api.objects("src", false, &Page::first()).await.unwrap().items;
        assert_eq!((objects[0].versions, objects[0].newest_version.as_deref()), (2, Some("src.daily.2")));
    })
    .await;
}

#[tokio::test]
async fn a_version_whose_predecessor_was_replaced_is_damaged_too() {
    let (state, bucket) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    with_daemon(state.path(), fake::World::default(), async |api| {
        set_up(&api, bucket.path()).await;
        for key in ["one", "two"] {
            protect(&api, key).await;
        }
        assert_eq!(versions(&api).await.len(), 2);
        let path = manifest(bucket.path(), 1);
        let stored = std::fs::read_to_string(&path).unwrap();
        std::fs::remove_file(&path).unwrap();
        std::fs::write(&path, stored + " ").unwrap();
        let listed = versions(&api).await;
        assert!(listed[1].damage.as_ref().is_some_and(|damage| damage.contains("does not follow")), "{listed:?}");
    })
    .await;
}

#[tokio::test]
async fn versions_objects_and_operations_come_in_pages() {
    let (state, bucket) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    with_daemon(state.path(), fake::World::default(), async |api| {
        set_up(&api, bucket.path()).await;
        let mut ids = Vec::new();
        for key in ["one", "two", "three"] {
            ids.push(protect(&api, key).await.id);
        }
        let mut page = Page { size: 2, after: None };
        let first = api.versions(Versions::default(), &page).await.unwrap();
        assert_eq!(first.items.iter().map(|v| v.id.as_str()).collect::<Vec<_>>(), ["src.daily.1", "src.daily.2"]);
        page = next(&page, &first);
        let rest = api.versions(Versions::default(), &page).await.unwrap();
        assert_eq!((rest.items[0].id.as_str(), rest.next_page_token), ("src.daily.3", None));
        page = Page { size: 2, after: None };
        let first = api.objects("src", false, &page).await.unwrap();
        let rest = api.objects("src", false, &next(&page, &first)).await.unwrap();
        let names = first.items.iter().chain(&rest.items).map(|o| o.object.as_str()).collect::<Vec<_>>();
        assert_eq!(names, ["ks/a", "ks/b", "other/c"]);
        let first = api.operations(None, &page).await.unwrap();
        let rest = api.operations(None, &next(&page, &first)).await.unwrap();
        let newest_first: Vec<_> = first.items.iter().chain(&rest.items).map(|o| o.id.clone()).collect();
        ids.reverse();
        assert_eq!(newest_first, ids);
    })
    .await;
}

fn next<T>(page: &Page, list: &List<T>) -> Page {
    let size = u32::try_from(page.size).unwrap();
    Page::of(Some(size), list.next_page_token.as_deref()).unwrap()
}

#[tokio::test]
async fn a_store_is_shown_by_its_name() {
    let (state, bucket) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    with_daemon(state.path(), fake::World::default(), async |api| {
        add_store(&api, bucket.path()).await;
        assert_eq!(api.store("s").await.unwrap().value, api.stores().await.unwrap()[0]);
        assert_eq!(api.store("t").await.unwrap_err().code, "TM-STORE-0404");
    })
    .await;
}
