//! What the tests of this crate share.

mod faulty;

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use jiff::Timestamp;
use object_store::ObjectStore;
use tidemark_gateway::Env;

use crate::{
    chain::VersionSet,
    commit::{Claim, ManifestDraft},
    entry::{Cut, ObjectLine, Quality},
    figures::Figures,
    ids::{FencingToken, ObjectName},
    manifest::{Holds, Manifest, Version},
};

pub(crate) use faulty::{Fault, FaultyStore};

pub(crate) fn set_in(store: &Arc<dyn ObjectStore>, source: &str, set: &str) -> VersionSet {
    VersionSet::new(store.clone(), source.parse().unwrap(), set.parse().unwrap())
}

pub(crate) fn token(revision: u64) -> FencingToken {
    FencingToken { generation: 1, revision }
}

/// A claim that can be lost.
pub(crate) struct TestClaim {
    token: FencingToken,
    held: AtomicBool,
}

impl TestClaim {
    pub(crate) fn new(revision: u64) -> Self {
        Self { token: token(revision), held: AtomicBool::new(true) }
    }

    pub(crate) fn lose(&self) {
        self.held.store(false, Ordering::SeqCst);
    }
}

impl Claim for TestClaim {
    fn token(&self) -> FencingToken {
        self.token
    }

    fn holds(&self) -> bool {
        self.held.load(Ordering::SeqCst)
    }
}

pub(crate) fn draft(task: &str) -> ManifestDraft {
    ManifestDraft {
        task: task.to_owned(),
        node: "n1".to_owned(),
        holds: Holds::Version(Box::new(Version::empty("fake"))),
        in_order: false,
    }
}

pub(crate) fn line(object: ObjectName) -> ObjectLine {
    let (from, through) = (Timestamp::UNIX_EPOCH, Timestamp::UNIX_EPOCH);
    let cut = Cut { from, through, partitions: Vec::new() };
    ObjectLine {
        object,
        entry: None,
        cut,
        quality: Quality::Cut,
        topology: None,
        figures: Figures::default(),
        left_out: Vec::new(),
    }
}

/// Commits tasks `task-1` to `task-<count>` one after another.
pub(crate) async fn commit_tasks(set: &VersionSet, count: usize) -> Vec<Manifest> {
    let (claim, env) = (TestClaim::new(1), Env::system());
    let mut done = Vec::new();
    for n in 1..=count {
        done.push(set.commit(draft(&format!("task-{n}")), &claim, &env).await.unwrap().0);
    }
    done
}
