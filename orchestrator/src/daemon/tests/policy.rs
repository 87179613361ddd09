//! Policies: what they name, how they are changed, what they say of what runs.

use super::*;

/// Objects of the version, in its order.
async fn objects_of(api: &Api, version: &str) -> Vec<String> {
    let contents = api.version(version).await.unwrap().contents;
    contents.into_iter().map(|object| object.object).collect()
}

#[tokio::test]
async fn several_databases_go_into_one_version_new_objects_too_and_what_is_excluded_never() {
    let (state, bucket) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let world = fake::World::default();
    let added = Arc::clone(&world.added);
    with_daemon(state.path(), world, async |api| {
        set_up(&api, bucket.path()).await;
        let (objects, excludes) = (vec!["ks/*".to_owned(), "other/*".to_owned()], vec!["*/b*".to_owned()]);
        api.add_policy(Policy { objects, excludes, ..policy() }).await.unwrap();
        let run = async |key: &str| done(&api, api.run_policy("daily", key).await.unwrap()).await;
        assert_eq!(run("one").await.result.unwrap()["version"], "src.daily.1");
        // The fake's listeners ship all there is, excluded or not.
        assert_eq!(objects_of(&api, "src.daily.1").await, ["ks/a", "other/c"]);
        added.lock().unwrap().extend(["other/new", "ks/bad", "third/x"].map(str::to_owned));
        assert_eq!(run("two").await.result.unwrap()["version"], "src.daily.2");
        assert_eq!(objects_of(&api, "src.daily.2").await, ["ks/a", "other/c", "other/new"]);
        let restored = api.plan_restore(restore(json!({"version": "src.daily.2"}))).await.unwrap();
        assert_eq!(restored.objects.len(), 3);
    })
    .await;
}
