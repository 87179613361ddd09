//! The coordinator on a real etcd of three members: the suite that every backend passes, and what happens when members die, freeze,
//! forget, or lose what they had.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod hole;

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use futures::future::{join_all, try_join_all};
use tidemark_gateway::Env;
use tidemark_integration::{
    etcd::{EtcdCluster, MEMBERS, Signal},
    paths,
    wait::{self, Look},
};
use tidemark_orchestrator::coordinator::{
    Applied, Cmp, Coordinator, Error, Op, WatchEvent,
    conformance::{CASES, Subject},
    etcd::{Access, Config, Etcd, Witness},
};

/// Longest time for what a few calls to members that do not answer may take.
const BOUND: Duration = Duration::from_secs(30);

async fn open(config: &Config) -> Etcd {
    Etcd::open(config, &[], Env::system()).await.unwrap()
}

async fn put(c: &Etcd, key: &str, value: &str) -> u64 {
    c.txn(vec![], vec![Op::put(key, value)], vec![]).await.unwrap().revision
}

#[tokio::test(flavor = "multi_thread")]
async fn every_case_of_the_suite_holds_on_etcd() {
    if !paths::etcd_or_skip("coordinator") {
        return;
    }
    let etcd = EtcdCluster::start(170).await.unwrap();
    for (n, case) in CASES.iter().enumerate() {
        println!("{}", case.name);
        let cluster = format!("suite-{n}");
        let coordinator = Arc::new(open(&etcd.config(&cluster, "a")).await);
        let other = Arc::new(open(&etcd.config(&cluster, "b")).await);
        // The shortest that etcd grants: one and a half times the wait for a leader, in whole seconds.
        case.run(&Subject { coordinator, other, ttl: Duration::from_secs(2) }).await;
    }
}

/// Adds one to a counter until told to stop; how often it was told that it had, and the longest time that one took.
async fn add(c: &Etcd, env: &Env, stop: &AtomicBool, done: &AtomicU64) -> Result<(u64, Duration), Error> {
    let (mut added, mut longest) = (0, Duration::ZERO);
    while !stop.load(Ordering::SeqCst) {
        let began = env.monotonic();
        loop {
            let known = c.get("n").await?.unwrap();
            let n: u64 = String::from_utf8(known.value).unwrap().parse().unwrap();
            let when = vec![Cmp::ModRevision("n".to_owned(), known.mod_revision)];
            if c.txn(when, vec![Op::put("n", (n + 1).to_string())], vec![]).await?.succeeded {
                break;
            }
        }
        added += 1;
        done.fetch_add(1, Ordering::SeqCst);
        longest = longest.max(env.monotonic() - began);
    }
    Ok((added, longest))
}

/// Waits until something was added after now, `more` times.
async fn until_added(done: &AtomicU64, more: u64) {
    let goal = done.load(Ordering::SeqCst) + more;
    let look = async || {
        let now = done.load(Ordering::SeqCst);
        Ok(Look::when(now >= goal, || format!("{now} of {goal}")))
    };
    wait::until("additions go on", BOUND, look).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_leader_is_a_pause_in_which_nothing_fails_is_lost_or_done_twice() {
    if !paths::etcd_or_skip("coordinator") {
        return;
    }
    let mut etcd = EtcdCluster::start(171).await.unwrap();
    let env = Env::system();
    let coordinators = join_all(["a", "b", "c"].map(async |node| open(&etcd.config("kills", node)).await)).await;
    put(&coordinators[0], "n", "0").await;
    let leases = join_all(coordinators.iter().map(async |c| c.lease(Duration::from_secs(10)).await.unwrap())).await;
    let mut watch = coordinators[1].watch("n", 1).await.unwrap();
    let (stop, done) = (AtomicBool::new(false), AtomicU64::new(0));
    let kills = async {
        for round in 0..4 {
            until_added(&done, 10).await;
            // The leader twice, then members that only follow.
            let leader = etcd.leader().unwrap().unwrap();
            let victim = if round < 2 { leader } else { (leader + 1) % MEMBERS };
            etcd.kill(victim).unwrap();
            until_added(&done, 10).await;
            etcd.restart(victim).await.unwrap();
        }
        stop.store(true, Ordering::SeqCst);
    };
    let writers = try_join_all(coordinators.iter().map(|c| add(c, &env, &stop, &done)));
    let (written, ()) = tokio::join!(writers, kills);
    let written = written.unwrap();
    let (added, longest) = written.iter().fold((0, Duration::ZERO), |(n, t), (m, u)| (n + m, t.max(*u)));
    println!("{added} additions, 2 leaders and 2 followers killed, the longest addition took {longest:?}");
    let n = coordinators[0].get("n").await.unwrap().unwrap();
    assert_eq!(String::from_utf8(n.value).unwrap(), added.to_string());
    assert!(longest <= Duration::from_secs(5), "writes resume after {longest:?}");
    assert!(leases.iter().all(|lease| !lease.lost().is_cancelled()), "a lease was lost");
    let mut heard = 0;
    while heard <= added {
        match watch.next().await {
            Some(WatchEvent::Changed(event)) if event.key == "n" => heard += 1,
            other => panic!("{other:?} after {heard} of {added} changes"),
        }
    }
    assert!(coordinators.iter().all(|c| !c.ended().is_cancelled()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_whose_answer_is_lost_is_done_once_and_told_so() {
    if !paths::etcd_or_skip("coordinator") {
        return;
    }
    let (etcd, armed) = (EtcdCluster::start(176).await.unwrap(), hole::Armed::default());
    let proxy = async |n: usize| {
        let target = etcd.endpoint(n).replace("http://", "");
        hole::proxy(&format!("127.0.176.{}:2379", 11 + n), target, Arc::clone(&armed)).await
    };
    let endpoints = vec![proxy(0).await, proxy(1).await, proxy(2).await];
    let c = open(&Config { endpoints, ..etcd.config("answers", "a") }).await;
    let absent = |key: &str| vec![Cmp::CreateRevision(key.to_owned(), 0)];
    for n in 0..4 {
        let key = format!("created/{n}");
        armed.store(true, Ordering::SeqCst);
        let then = vec![Op::put(&key, "mine")];
        let made = c.txn(absent(&key), then, vec![Op::Get(key.clone())]).await.unwrap();
        assert!(!armed.load(Ordering::SeqCst), "no answer was lost");
        assert!(made.succeeded, "its own first attempt is taken for somebody else's");
        let kv = c.get(&key).await.unwrap().unwrap();
        assert_eq!((kv.create_revision, kv.mod_revision), (made.revision, made.revision), "it was done twice");
    }
    // One that does not hold and changes nothing says so, whatever was lost.
    armed.store(true, Ordering::SeqCst);
    let refused =
        c.txn(absent("created/0"), vec![Op::put("x", "")], vec![Op::Get("created/0".to_owned())]).await.unwrap();
    assert!(!refused.succeeded && refused.gets[0].as_ref().unwrap().value == b"mine");
    // What was read in one that changed something is lost with its answer: that is not made up.
    armed.store(true, Ordering::SeqCst);
    let error = c.txn(vec![], vec![Op::put("y", "1"), Op::Get("y".to_owned())], vec![]).await.unwrap_err();
    assert_eq!(error.applied(), Applied::Unknown);
    assert_eq!(c.get("y").await.unwrap().unwrap().value, b"1");
    // Leases: granted once, though asked for twice.
    armed.store(true, Ordering::SeqCst);
    let lease = c.lease(Duration::from_secs(10)).await.unwrap();
    c.txn(vec![], vec![Op::put_leased("l", "", lease.id())], vec![]).await.unwrap();
    assert_eq!(etcd.ctl(0, &["lease", "list"]).unwrap().lines().count(), 2, "one lease and a line above it");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_members_cannot_say_is_not_taken_for_an_answer() {
    if !paths::etcd_or_skip("coordinator") {
        return;
    }
    let mut etcd = EtcdCluster::start(172).await.unwrap();
    let all = open(&etcd.config("faults", "a")).await;
    let alone = Config { endpoints: vec![etcd.endpoint(0)], ..etcd.config("faults", "b") };
    let alone = open(&alone).await;
    lost_connection(&mut etcd, &all, &alone).await;
    forgotten_under_a_watch(&mut etcd, &all, &alone).await;
    lease_taken_away(&etcd, &all).await;
    frozen(&etcd, &all).await;
    without_a_quorum(&mut etcd, &all).await;
}

/// A watch whose only member dies goes on when that is back, and misses nothing.
async fn lost_connection(etcd: &mut EtcdCluster, all: &Etcd, alone: &Etcd) {
    let mut watch = alone.watch("lost/", 1).await.unwrap();
    etcd.kill(0).unwrap();
    for key in ["lost/a", "lost/b"] {
        put(all, key, "").await;
    }
    etcd.restart(0).await.unwrap();
    for key in ["lost/a", "lost/b"] {
        let event = tokio::time::timeout(BOUND, watch.next()).await.unwrap();
        assert!(matches!(&event, Some(WatchEvent::Changed(event)) if event.key == key), "{event:?}");
    }
}

/// What was compacted while a watch had no connection, or before it began, cannot be delivered: it says so, and ends.
async fn forgotten_under_a_watch(etcd: &mut EtcdCluster, all: &Etcd, alone: &Etcd) {
    let mut watch = alone.watch("gone/", 1).await.unwrap();
    let mut live = all.watch("gone/", 1).await.unwrap();
    etcd.kill(0).unwrap();
    put(all, "gone/a", "").await;
    let last = put(all, "gone/b", "").await;
    for key in ["gone/a", "gone/b"] {
        let event = tokio::time::timeout(BOUND, live.next()).await.unwrap();
        assert!(matches!(&event, Some(WatchEvent::Changed(event)) if event.key == key), "{event:?}");
    }
    etcd.ctl(1, &["compact", &last.to_string()]).unwrap();
    etcd.restart(0).await.unwrap();
    let mut early = all.watch("gone/", 1).await.unwrap();
    for watch in [&mut watch, &mut early] {
        let said = tokio::time::timeout(BOUND, watch.next()).await.unwrap();
        assert_eq!(said, Some(WatchEvent::Resync));
        assert_eq!(watch.next().await, None);
    }
    // One that had heard all goes on.
    let after = put(all, "gone/c", "").await;
    let event = tokio::time::timeout(BOUND, live.next()).await.unwrap();
    assert!(matches!(&event, Some(WatchEvent::Changed(event)) if event.revision == after), "{event:?}");
}

/// A lease that etcd has ended and its holder believes in opens nothing; the next renewal tells.
async fn lease_taken_away(etcd: &EtcdCluster, all: &Etcd) {
    let lease = all.lease(Duration::from_secs(10)).await.unwrap();
    let claim = |op| all.txn(vec![Cmp::CreateRevision("claim".to_owned(), 0)], vec![op], vec![]);
    let claimed = claim(Op::put_leased("claim", "", lease.id())).await.unwrap();
    etcd.ctl(1, &["lease", "revoke", &format!("{:x}", lease.id().0)]).unwrap();
    assert!(!lease.lost().is_cancelled(), "nobody told it yet");
    let error = claim(Op::put_leased("claim", "", lease.id())).await.unwrap_err();
    assert!(matches!(error, Error::LeaseGone(id) if id == lease.id()), "{error:?}");
    assert_eq!(error.applied(), Applied::Not);
    let when = vec![Cmp::ModRevision("claim".to_owned(), claimed.revision)];
    assert!(!all.txn(when, vec![Op::put("effect", "")], vec![]).await.unwrap().succeeded);
    tokio::time::timeout(Duration::from_secs(6), lease.lost().cancelled_owned()).await.unwrap();
}

/// While no member answers a lease is given up in time, and what was asked is unknown at most.
async fn frozen(etcd: &EtcdCluster, all: &Etcd) {
    let env = Env::system();
    let lease = all.lease(Duration::from_secs(3)).await.unwrap();
    all.txn(vec![], vec![Op::put_leased("frozen", "", lease.id())], vec![]).await.unwrap();
    (0..MEMBERS).for_each(|n| etcd.signal(n, Signal::Stop).unwrap());
    let lost = async {
        lease.lost().cancelled().await;
        env.monotonic()
    };
    let write = all.txn(vec![], vec![Op::put("late", "")], vec![]);
    let (lost, write, read) = tokio::join!(lost, write, all.get("late"));
    println!("no member answers: the lease was given up after {lost:?}");
    assert!(lost <= Duration::from_millis(3500), "given up after {lost:?}");
    assert_eq!(write.unwrap_err().applied(), Applied::Unknown);
    assert_eq!(read.unwrap_err().applied(), Applied::Not);
    (0..MEMBERS).for_each(|n| etcd.signal(n, Signal::Continue).unwrap());
    assert!(lease.lost().is_cancelled());
    put(all, "after", "").await;
}

/// Members without a quorum change nothing and say so; with it all goes on.
async fn without_a_quorum(etcd: &mut EtcdCluster, all: &Etcd) {
    let leader = etcd.leader().unwrap().unwrap();
    let rest = [(leader + 1) % MEMBERS, (leader + 2) % MEMBERS];
    for n in rest {
        etcd.kill(n).unwrap();
    }
    all.txn(vec![], vec![Op::put("alone", "")], vec![]).await.unwrap_err();
    assert_eq!(all.get("alone").await.unwrap_err().applied(), Applied::Not);
    for n in rest {
        etcd.restart(n).await.unwrap();
    }
    let after = async || match all.txn(vec![], vec![Op::put("again", "")], vec![]).await {
        Ok(_) => Ok(Look::Ready(())),
        Err(error) => Ok(Look::Not(format!("{error:?}"))),
    };
    wait::until("a write", BOUND, after).await.unwrap();
    assert!(!all.ended().is_cancelled());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_state_that_is_lost_or_rolled_back_is_never_taken_for_the_one_that_was_opened() {
    if !paths::etcd_or_skip("coordinator") {
        return;
    }
    let mut etcd = EtcdCluster::start(173).await.unwrap();
    let config = etcd.config("state", "a");
    let first = open(&config).await;
    let mut watch = first.watch("w/", 1).await.unwrap();
    put(&first, "k", "old").await;
    let snapshot = etcd.directory().join("snapshot");
    etcd.ctl(0, &["snapshot", "save", &snapshot.display().to_string()]).unwrap();
    put(&first, "k", "new").await;
    put(&first, "l", "new").await;
    let seen = first.witness();
    assert_eq!(open(&config).await.opening(), first.opening(), "each daemon opens the same state");

    etcd.put_back(&snapshot).unwrap();
    etcd.start_all().await.unwrap();
    // Who goes on and saw what is gone draws another opening for all that come.
    ends(&first).await;
    assert_eq!(watch.next().await, None);
    assert_ne!(open(&config).await.opening(), seen.opening);

    // Who saw nothing of what is gone cannot tell; who wrote down that it did, can.
    etcd.put_back(&snapshot).unwrap();
    etcd.start_all().await.unwrap();
    assert_eq!(open(&config).await.opening(), seen.opening);
    let second = Etcd::open(&config, std::slice::from_ref(&seen), Env::system()).await.unwrap();
    assert_ne!(second.opening(), seen.opening);
    assert_eq!(open(&config).await.opening(), second.opening());
    let foreign = Witness { opening: seen.opening.clone(), revision: u64::MAX >> 1 };
    assert_eq!(Etcd::open(&config, &[foreign], Env::system()).await.unwrap().opening(), second.opening());

    etcd.wipe().unwrap();
    etcd.start_all().await.unwrap();
    let third = open(&config).await;
    assert_ne!(third.opening(), second.opening());
    // However far the new state is: it is not the one that was opened.
    for n in 0..50 {
        put(&third, &format!("n/{n}"), "").await;
    }
    ends(&second).await;

    let other = open(&config).await;
    third.rolled_back().await.unwrap();
    assert!(third.ended().is_cancelled());
    ends(&other).await;
    assert_ne!(open(&config).await.opening(), other.opening());
}

/// A coordinator of a state that is no more reads nothing, changes nothing, and says that it has ended.
async fn ends(c: &Etcd) {
    let before = c.witness();
    let error = c.get("k").await.unwrap_err();
    assert_eq!(error.applied(), Applied::Not);
    assert!(c.ended().is_cancelled(), "{error:?}");
    let error = c.txn(vec![], vec![Op::put("k", "of another state")], vec![]).await.unwrap_err();
    assert_eq!(error.applied(), Applied::Not);
    c.watch("w/", 1).await.map(drop).unwrap_err();
    assert_eq!(c.witness(), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn certificates_and_users_say_what_a_daemon_may() {
    if !paths::etcd_or_skip("coordinator") {
        return;
    }
    let etcd = EtcdCluster::start_tls(174).await.unwrap();
    let ctl = |arguments: &str| etcd.ctl(0, &arguments.split(' ').collect::<Vec<_>>()).unwrap();
    for command in [
        "role add daemons",
        "role grant-permission daemons --prefix=true readwrite /tidemark/v1/mine/",
        "user add root:secret",
        "user grant-role root root",
        "user add daemon:secret",
        "user grant-role daemon daemons",
        "auth enable",
    ] {
        ctl(command);
    }
    let with = |cluster: &str, access| Config { access, ..etcd.config(cluster, "a") };
    let opened = async |config: Config| Etcd::open(&config, &[], Env::system()).await;

    let daemon = etcd.client("daemon").unwrap();
    let by_certificate = opened(with("mine", daemon.clone())).await.unwrap();
    put(&by_certificate, "k", "1").await;
    let refused = opened(with("other", daemon)).await.map(drop).unwrap_err();
    assert!(format!("{refused:?}").contains("permission denied"), "{refused:?}");

    let nobody = etcd.client("nobody").unwrap();
    opened(with("mine", nobody.clone())).await.map(drop).unwrap_err();
    let user = etcd.directory().join("user");
    std::fs::write(&user, "daemon:secret\n").unwrap();
    let by_user = opened(with("mine", Access { user: Some(user.clone()), ..nobody.clone() }));
    let by_user = by_user.await.unwrap();
    assert_eq!(by_user.get("k").await.unwrap().unwrap().value, b"1");
    // Tokens of before a change of users are got anew.
    ctl("user add another:secret");
    put(&by_user, "k", "2").await;
    std::fs::write(&user, "daemon:wrong\n").unwrap();
    let wrong = Access { user: Some(user), ..nobody };
    let error = opened(with("mine", wrong)).await.map(drop).unwrap_err();
    assert!(!format!("{error:?}").contains("wrong"), "the password is told: {error:?}");
    let none = Access { identity: None, ..etcd.client("daemon").unwrap() };
    opened(with("mine", none)).await.map(drop).unwrap_err();
}
