use std::{sync::Arc, time::Duration};

use tidemark_gateway::Env;

use super::{
    super::{
        Cmp, Coordinator, Op, WatchEvent,
        conformance::{self, Subject},
    },
    Embedded, LOG_REVISIONS, OpenError,
};

fn fresh() -> (Embedded, tempfile::TempDir) {
    let directory = tempfile::tempdir().unwrap();
    (Embedded::open(directory.path(), Env::system()).unwrap(), directory)
}

#[tokio::test]
async fn every_case_of_the_suite_holds() {
    assert!(conformance::CASES.len() >= 40);
    for case in conformance::CASES {
        println!("{}", case.name);
        let (coordinator, _directory) = fresh();
        let coordinator: Arc<dyn Coordinator> = Arc::new(coordinator);
        let other = Arc::clone(&coordinator);
        case.run(&Subject { coordinator, other, ttl: Duration::from_millis(200) }).await;
    }
}

#[tokio::test]
async fn a_second_opener_is_told_who_has_it() {
    let (_open, directory) = fresh();
    let error = Embedded::open(directory.path(), Env::system()).map(drop).unwrap_err();
    let pid = std::process::id().to_string();
    assert!(matches!(&error, OpenError::InUse { pid: found, .. } if *found == pid), "{error}");
}

#[tokio::test]
async fn leased_keys_and_only_those_are_gone_after_reopening() {
    let (open, directory) = fresh();
    let lease = open.lease(Duration::from_secs(10)).await.unwrap();
    let ops = vec![Op::put_leased("claim", "", lease.id()), Op::put("task", "1")];
    let revision = open.txn(vec![], ops, vec![]).await.unwrap().revision;
    open.raise_generation(4).await.unwrap();
    let opening = open.opening().to_owned();
    drop((lease, open));
    let again = Embedded::open(directory.path(), Env::system()).unwrap();
    assert_ne!(again.opening(), opening);
    assert_eq!(again.get("claim").await.unwrap(), None);
    assert_eq!(again.get("task").await.unwrap().unwrap().mod_revision, revision);
    assert_eq!(again.generation(), 4);
    let created = again.txn(vec![Cmp::CreateRevision("claim".to_owned(), 0)], vec![Op::put("claim", "")], vec![]);
    assert!(created.await.unwrap().revision > revision + 1, "the deletion has a revision of its own");
}

#[tokio::test]
async fn a_watch_from_before_the_log_must_list_again() {
    let (open, _directory) = fresh();
    let db = &open.inner.db;
    for _ in 0..3 {
        db.write(|_| true, &[], &[Op::put("k", "")], &[], drop).unwrap();
    }
    db.forget_before(LOG_REVISIONS + 2).unwrap();
    let mut watch = open.watch("", 1).await.unwrap();
    assert_eq!(watch.next().await, Some(WatchEvent::Resync));
    assert_eq!(watch.next().await, None);
    let mut rest = open.watch("", 3).await.unwrap();
    assert!(matches!(rest.next().await, Some(WatchEvent::Changed(e)) if e.revision == 3));
}
