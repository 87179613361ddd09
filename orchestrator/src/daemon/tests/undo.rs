//! What surrounds an undo in place: its instant, its safety version, its count.

use super::*;

/// An undo of what `daily` protects, with a bound of the clients' clocks that costs no time.
fn undo(more: Value) -> Restore {
    let mut whole = json!({"if_exists": "undo", "client_clock_bound_millis": 5});
    whole.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    restore(whole)
}

async fn run(api: &Api, more: Value, key: &str) -> Operation {
    let asked = api.restore(undo(more), key).await.unwrap();
    done(api, asked).await
}

#[tokio::test]
async fn an_undo_keeps_the_present_state_first_and_is_later_than_what_it_undoes() {
    let (state, bucket) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let world = fake::World::default();
    let instants = Arc::clone(&world.instants);
    // One place for all tasks: the undo gives its place to the task that it waits for.
    let one = config(state.path()).with_runner(RunnerConfig { max_running: 1, ..RunnerConfig::default() });
    with_config(one, world, async |api| {
        set_up(&api, bucket.path()).await;
        protect(&api, "one").await;
        let ended = run(&api, json!({}), "u").await;
        assert_eq!(ended.state, OperationState::Succeeded, "{ended:?}");
        let result = ended.result.unwrap();
        let safety = format!("src.safety-{}.1", ended.id);
        assert_eq!(result["safety_version"], safety);
        let ids: Vec<String> = versions(&api).await.into_iter().map(|version| version.id).collect();
        assert_eq!(ids, ["src.daily.1".to_owned(), safety]);
        let fixed: i64 = result["instant_micros"].as_str().unwrap().parse().unwrap();
        assert_eq!(*instants.lock().unwrap(), [Some(fixed)]);
        assert!(fixed >= ended.created.as_microsecond() + 5_000, "{fixed} {}", ended.created);
    })
    .await;
}

#[test]
fn a_killed_undo_goes_on_with_its_instant_and_takes_no_second_safety_version() {
    let (state, bucket) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let world = fake::World { hang_at: Some("restore".to_owned()), ..fake::World::default() };
    let (hung, instants) = (Arc::clone(&world.hung), Arc::clone(&world.instants));
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let id = runtime.block_on(async {
        let daemon = super::super::Daemon::open(config(state.path()), Env::system(), world.parts()).await.unwrap();
        let api = daemon.api();
        tokio::spawn(daemon.serve(CancellationToken::new()));
        set_up(&api, bucket.path()).await;
        protect(&api, "one").await;
        let asked = api.restore(undo(json!({})), "u").await.unwrap();
        tokio::time::timeout(Duration::from_secs(30), hung.notified()).await.unwrap();
        asked.id
    });
    runtime.shutdown_timeout(Duration::from_secs(30));
    let again = fake::World { instants: Arc::clone(&instants), ..fake::World::default() };
    tokio::runtime::Runtime::new().unwrap().block_on(with_daemon(state.path(), again, async |api| {
        let ended = api.operation(&id, 30).await.unwrap();
        assert_eq!((ended.state.as_str(), ended.attempt), ("succeeded", 2), "{ended:?}");
        assert_eq!(versions(&api).await.len(), 2);
    }));
    let instants = instants.lock().unwrap();
    assert!(instants.len() == 2 && instants[0].is_some() && instants[0] == instants[1], "{instants:?}");
}

#[tokio::test]
async fn an_undo_without_a_whole_safety_version_writes_nothing_unless_somebody_agreed() {
    let (state, bucket) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let world = fake::World { unreachable: vec!["n2".to_owned()], ..fake::World::default() };
    let instants = Arc::clone(&world.instants);
    with_daemon(state.path(), world, async |api| {
        set_up(&api, bucket.path()).await;
        protect(&api, "one").await;
        let refused = run(&api, json!({}), "a").await.error.unwrap();
        assert_eq!((refused.code.as_str(), instants.lock().unwrap().len()), ("TM-REST-0015", 0));
        let agreed = run(&api, json!({"accept_degraded": true}), "b").await;
        assert!(agreed.result.unwrap()["safety_version"].is_string());
        let typed = run(&api, json!({"no_safety_version": ["ks/a", "ks/b"]}), "c").await;
        assert!(typed.result.unwrap()["safety_version"].is_null());
        let other = api.restore(undo(json!({"no_safety_version": ["ks/x"]})), "d").await.unwrap_err();
        assert_eq!(other.code, "TM-REST-0001");
    })
    .await;
}

#[tokio::test]
async fn a_count_writes_nothing_and_belongs_to_an_undo() {
    let (state, bucket) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let world = fake::World::default();
    let instants = Arc::clone(&world.instants);
    with_daemon(state.path(), world, async |api| {
        set_up(&api, bucket.path()).await;
        protect(&api, "one").await;
        let asked = api.count_restore(undo(json!({})), "c").await.unwrap();
        let result = done(&api, asked).await.result.unwrap();
        assert_eq!((&result["come_back"], &result["change"], &result["untouched"]), (&json!(4), &json!(2), &json!(14)));
        assert_eq!(result["rows_kept"], json!(6));
        assert!(instants.lock().unwrap().is_empty() && versions(&api).await.len() == 1);
        assert_eq!(api.count_restore(restore(json!({})), "d").await.unwrap_err().code, "TM-REST-0016");
    })
    .await;
}
