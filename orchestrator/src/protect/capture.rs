//! All listeners of the source at the same time.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use futures::{FutureExt as _, future::join_all};
use tidemark_catalog::{ids::TaskId, stored::StoredRef};
use tidemark_listener_core::{
    assignment::Assignment,
    driver::ListenerSpec,
    progress::{Progress, ProgressSink},
};

use super::{Captured, Job, scope};
use crate::{
    errors, generation,
    listeners::{Stop, Target},
    stores,
    tasks::Failure,
};

/// Part of the checkpoint that holds what was captured.
const PART: &str = "captured";

impl Job<'_> {
    /// What was captured, by this run or an earlier one.
    pub(super) async fn captured(&self) -> Result<Captured, Failure> {
        if let Some(captured) = self.context.checkpoints.load(PART).await? {
            return Ok(Captured { resumed: true, ..captured });
        }
        let captured = self.capture_all().await?;
        self.context.checkpoints.save(PART, &captured).await?;
        Ok(captured)
    }

    async fn capture_all(&self) -> Result<Captured, Failure> {
        let specs = self.driver.listeners(&self.source.spec).await?;
        if specs.is_empty() {
            return Err(Failure::permanent(
                "TM-PROT-0005",
                format!("source {} names no listeners", self.policy.source),
            )
            .with_hint("a source that is only a destination cannot be protected"));
        }
        let secrets = stores::listener_secrets(&self.store.record)?;
        let unfinished = self.unfinished().await?;
        let total = Arc::new(Sum::new(Arc::clone(&self.context.progress)));
        let mut captures = Vec::with_capacity(specs.len());
        for spec in &specs {
            captures.push(self.capture(spec, secrets.clone(), unfinished.clone(), Arc::clone(&total)).boxed());
        }
        let outcomes = join_all(captures).await;
        sort_out(specs, outcomes)
    }

    /// Tasks of this source that are not done, where this daemon knows all of them: where no newer one has attached to the
    /// repository since.
    async fn unfinished(&self) -> Result<Option<Vec<TaskId>>, Failure> {
        let newest = generation::newest(&self.store.objects)
            .await
            .map_err(|error| Failure::retryable("TM-STORE-0104", errors::chain(&error)))?;
        if newest > self.context.token.generation {
            return Ok(None);
        }
        Ok(Some(self.with.tasks.unfinished(&scope(&self.policy.source)).await?))
    }

    async fn capture(
        &self,
        spec: &ListenerSpec,
        store_secrets: Vec<(String, String)>,
        unfinished: Option<Vec<TaskId>>,
        total: Arc<Sum>,
    ) -> Result<StoredRef, Failure> {
        let target = Target { source: self.source_id.clone(), spec: spec.clone(), store_secrets };
        let assignment = |attempt: u32| Assignment {
            id: format!("{}-{}-{}-{attempt}", self.context.task.id, self.context.token, spec.id),
            source: self.source_id.clone(),
            task: self.context.task.id.clone(),
            token: self.context.token,
            objects: self.policy.objects.clone(),
            repository: self.store.record.repository.clone(),
            unfinished: unfinished.clone(),
            store: self.store.record.url.clone(),
            store_checksums: self.store.record.checksums,
            limits: self.with.capture_limits.clone(),
        };
        let stop = Stop { now: self.context.cancel.clone(), over: self.context.over.clone() };
        let id = spec.id.clone();
        let progress: ProgressSink = Arc::new(move |progress| total.report(&id, progress));
        self.with.listeners.capture(&target, assignment, progress, stop).await
    }
}

/// Slices and absences; a failure where there is no slice at all.
fn sort_out(specs: Vec<ListenerSpec>, outcomes: Vec<Result<StoredRef, Failure>>) -> Result<Captured, Failure> {
    if outcomes.iter().any(|outcome| outcome.as_ref().is_err_and(|failure| failure.cancelled)) {
        return Err(Failure::cancelled());
    }
    let mut captured = Captured::default();
    let (mut retryable, mut away) = (false, None);
    for (spec, outcome) in specs.into_iter().zip(outcomes) {
        match outcome {
            Ok(slice) => captured.slices.push(slice),
            Err(failure) => {
                tracing::warn!(listener = spec.id, %failure, "partition is absent from the version");
                retryable |= failure.retryable;
                away = away.or_else(|| failure.away.clone());
                captured.absent.push((spec.id, failure.to_string()));
            }
        }
    }
    if captured.slices.is_empty() { Err(nothing(&captured.absent, retryable, away)) } else { Ok(captured) }
}

fn nothing(absent: &[(String, String)], retryable: bool, away: Option<String>) -> Failure {
    let reasons: Vec<_> = absent.iter().map(|(_, reason)| reason.as_str()).collect();
    let words = format!("no partition could be captured; {}", reasons.join("; "));
    Failure { away, ..Failure::of("TM-PROT-0001", words, retryable) }
        .with_hint("tidemark source test shows what each listener needs")
}

/// Adds up the progress of all listeners.
struct Sum {
    parts: Mutex<BTreeMap<String, Progress>>,
    sink: ProgressSink,
}

impl Sum {
    fn new(sink: ProgressSink) -> Self {
        Self { parts: Mutex::default(), sink }
    }

    fn report(&self, listener: &str, progress: Progress) {
        let mut parts = self.parts.lock().unwrap_or_else(PoisonError::into_inner);
        parts.insert(listener.to_owned(), progress);
        let done = parts.values().map(|p| p.done).sum();
        let total = parts.values().map(|p| p.total).sum();
        drop(parts);
        (self.sink)(Progress { phase: "capture".to_owned(), done, total, unit: "bytes".to_owned() });
    }
}

#[cfg(test)]
mod tests {
    use tidemark_gateway::Digest;

    use super::*;

    fn spec(id: &str) -> ListenerSpec {
        ListenerSpec { id: id.to_owned(), program: "p".to_owned(), arguments: vec![], secret_environment: vec![] }
    }

    fn slice() -> StoredRef {
        StoredRef { key: "k".to_owned(), size: 1, digest: Digest::of(b"1") }
    }

    #[test]
    fn a_partition_that_cannot_be_captured_is_absent_with_its_reason() {
        let outcomes = vec![Ok(slice()), Err(Failure::permanent("TM-X-0001", "down"))];
        let captured = sort_out(vec![spec("a"), spec("b")], outcomes).unwrap();
        assert_eq!(captured.slices, [slice()]);
        assert_eq!(captured.absent, [("b".to_owned(), "TM-X-0001: down".to_owned())]);
    }

    #[test]
    fn nothing_captured_is_a_failure_that_is_retried_where_one_of_them_may_be() {
        let down = |retryable| Err(Failure::of("TM-X-0001", "down", retryable));
        let failure = sort_out(vec![spec("a"), spec("b")], vec![down(false), down(true)]).unwrap_err();
        assert!(failure.retryable);
        let failure = sort_out(vec![spec("a")], vec![down(false)]).unwrap_err();
        assert!(!failure.retryable && failure.message.contains("down"));
    }

    #[test]
    fn a_cancelled_listener_cancels_all() {
        let outcomes = vec![Ok(slice()), Err(Failure::cancelled())];
        assert!(sort_out(vec![spec("a"), spec("b")], outcomes).unwrap_err().cancelled);
    }
}
