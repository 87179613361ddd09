//! A policy of 1,500 objects: captured, restored at once, and listed. The coordinator refuses a value that is too large.

use super::*;

const MANY: usize = 1500;

fn large() -> fake::World {
    fake::World { many: MANY, ..fake::World::default() }
}

fn all() -> Policy {
    Policy { objects: vec!["*/*".to_owned()], ..policy() }
}

/// What the list of operations says of one: its result there and what that lacks.
async fn listed(api: &Api, id: &str) -> (Value, Option<String>) {
    let page = api.operations(None, &Page::first()).await.unwrap();
    let operation = page.items.into_iter().find(|operation| operation.id == id).unwrap();
    (operation.result.unwrap(), operation.result_cut)
}

#[tokio::test]
async fn a_policy_of_1500_objects_is_protected_and_restored_at_once_and_its_results_are_read() {
    let (state, bucket) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let config = Config { consolidations: 8, ..config(state.path()) };
    with_config(config, large(), async |api| {
        set_up(&api, bucket.path()).await;
        let asked = api.protect(Protect { policy: all() }, "one", None).await.unwrap();
        let made = api.operation(&asked.id, 300).await.unwrap();
        assert_eq!((made.state, &made.result_cut), (OperationState::Succeeded, &None), "{:?}", made.error);
        let result = made.result.unwrap();
        assert_eq!((&result["version"], &result["objects"]), (&json!("src.daily.1"), &json!(MANY + 3)));
        assert_eq!(result["notes"].as_array().unwrap().len(), MANY, "the whole is read from the store");
        let (summary, cut) = listed(&api, &made.id).await;
        assert_eq!((&summary["version"], &summary["quality"]), (&json!("src.daily.1"), &json!("cut")));
        let kept = summary["notes"].as_array().unwrap().len();
        assert!(kept > 10 && kept < MANY && cut.unwrap().contains("/notes has 1500 items"), "{kept}");

        let names: Vec<String> = (0..MANY).map(|n| format!("many/t{n:04}")).collect();
        let restore = restore(json!({"objects": names, "into_non_empty": names}));
        let asked = api.restore(restore, "r").await.unwrap();
        let restored = api.operation(&asked.id, 300).await.unwrap();
        assert_eq!((restored.state, &restored.result_cut), (OperationState::Warnings, &None), "{:?}", restored.error);
        let result = restored.result.unwrap();
        assert_eq!((&result["rows_written"], result["warnings"].as_array().unwrap().len()), (&json!(MANY), MANY));

        std::fs::remove_dir_all(bucket.path().join("sources/src/staged")).unwrap();
        let made = api.operation(&made.id, 0).await.unwrap();
        assert_eq!((made.state, &made.result.unwrap()), (OperationState::Succeeded, &summary), "the summary stays");
        let said = made.result_cut.unwrap();
        assert!(said.contains("/notes has 1500 items") && said.contains("TM-TASK-0010"), "{said}");
    })
    .await;
}
