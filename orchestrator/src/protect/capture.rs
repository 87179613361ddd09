//! All listeners of the source at the same time, step by step: the next step begins when each has answered. The answers are
//! checkpointed; a run that was interrupted goes on with the step that it was at.

use std::{sync::Arc, time::Duration};

use futures::{FutureExt as _, future::join_all};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tidemark_catalog::{ids::TaskId, stored::StoredRef};
use tidemark_gateway::causes;
use tidemark_listener_core::{
    assignment::{Assignment, Capture, Mode, Step, Work},
    progress::{self, ProgressSink},
    source::{Answers, Asked, ListenerSpec, NextStep},
};

use super::{Captured, Hints, Job, scope};
use crate::{
    failure::{Away, Failure},
    generation,
    listeners::{Stop, Sum, Target, own},
    stores::{self, ListenerStore},
};

/// Part of the checkpoint that holds what was captured.
pub(super) const PART: &str = "captured";

/// Part of the checkpoint that holds the answers to the steps of a capture that is not done.
const STEPS: &str = "steps";

/// Longest time that listeners of a task that is over have for giving back what they hold.
const GIVE_BACK: Duration = Duration::from_secs(30);

/// A capture on its way, as it is checkpointed.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Steps {
    /// Answers to each step so far, by listener.
    answers: Vec<Answers>,
    /// Listeners that did not answer a step, with the reason; they are asked no more.
    absent: Vec<(String, String)>,
    /// What to do about it, by listener, where that is known.
    #[serde(default, skip_serializing_if = "Hints::is_empty")]
    hints: Hints,
}

/// What all listeners of a step have in common.
struct Together {
    number: u32,
    store: ListenerStore,
    unfinished: Option<Vec<TaskId>>,
    total: Arc<Sum>,
}

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

    /// Step after step, all listeners at the same one, until the source has them ship. What they prepare is compared by the
    /// source alone.
    async fn capture_all(&self) -> Result<Captured, Failure> {
        let specs = self.specs().await?;
        let unfinished = self.unfinished().await?;
        let mut steps: Steps = self.context.checkpoints.load(STEPS).await?.unwrap_or_default();
        // What the answers of an earlier run hold may be as old as a whole capture of it.
        let resumed = !steps.answers.is_empty();
        loop {
            let next = self.driver.next_step(&self.store.objects, &steps.answers).await?;
            let (asked, ships) = match next {
                NextStep::Prepare(asked) => (asked, false),
                NextStep::Ship(asked) => (asked, true),
            };
            let answers = match self.step(&specs, &mut steps, &asked, unfinished.clone()).await {
                Ok(answers) => answers,
                Err(failure) => {
                    self.give_back(&specs, &steps).await;
                    return Err(failure);
                }
            };
            if ships {
                let slices = answers.into_values().collect();
                let Steps { absent, hints, .. } = steps;
                return Ok(Captured { slices, absent, hints, notes: asked.notes, resumed });
            }
            steps.answers.push(answers);
            self.context.checkpoints.save(STEPS, &steps).await?;
        }
    }

    /// Has every listener give back what earlier steps hold at the source, where no other run of the task will come. What cannot
    /// be reached is removed by the source's next capture.
    async fn give_back(&self, specs: &[ListenerSpec], steps: &Steps) {
        if !self.context.over.is_cancelled() || steps.answers.is_empty() {
            return;
        }
        let Ok(store) = self.listener_store() else { return };
        let number = u32::try_from(steps.answers.len()).unwrap_or(u32::MAX);
        let step = Step { number, ask: Value::Null, over: true };
        let works: Vec<_> = specs
            .iter()
            .map(|spec| {
                let target = self.target(spec, &store);
                let assignment = self.assignment(spec, &step, None);
                let listeners = &self.with.listeners;
                async move { listeners.work(&target, assignment, progress::silent(), Stop::default()).await }.boxed()
            })
            .collect();
        // The answers are failures; without one in time the next capture does it.
        let _ = tokio::time::timeout(GIVE_BACK, join_all(works)).await;
    }

    async fn specs(&self) -> Result<Vec<ListenerSpec>, Failure> {
        let specs = self.driver.listeners(&self.source.spec).await?;
        if specs.is_empty() {
            let words = format!("source {} names no listeners", self.policy.source);
            return Err(Failure::permanent("TM-PROT-0005", words)
                .with_hint("a source that is only a destination cannot be protected"));
        }
        Ok(specs)
    }

    /// One step of all listeners that have answered so far, at the same time.
    async fn step(
        &self,
        specs: &[ListenerSpec],
        steps: &mut Steps,
        asked: &Asked,
        unfinished: Option<Vec<TaskId>>,
    ) -> Result<Answers, Failure> {
        let together = Together {
            number: u32::try_from(steps.answers.len()).unwrap_or(u32::MAX),
            store: self.listener_store()?,
            unfinished,
            total: Arc::new(Sum::new("capture", "bytes", Arc::clone(&self.context.progress))),
        };
        let present: Vec<&ListenerSpec> =
            specs.iter().filter(|spec| !steps.absent.iter().any(|(id, _)| *id == spec.id)).collect();
        let ask = |spec: &ListenerSpec| asked.asks.get(&spec.id).cloned().unwrap_or(Value::Null);
        let works: Vec<_> = present.iter().map(|spec| self.capture(spec, ask(spec), &together).boxed()).collect();
        let outcomes = join_all(works).await;
        let outcomes = present.into_iter().map(|spec| spec.id.clone()).zip(outcomes).collect();
        sort_out(own::only_own(self.folder(), outcomes, &steps.answers), steps)
    }

    /// Tasks of this source that are not done, where this daemon knows all of them: where no newer one has attached to the
    /// repository since.
    async fn unfinished(&self) -> Result<Option<Vec<TaskId>>, Failure> {
        let newest = generation::newest(&self.store.objects)
            .await
            .map_err(|error| Failure::retryable("TM-STORE-0104", causes::joined(&error)))?;
        if newest > self.context.token.generation {
            return Ok(None);
        }
        Ok(Some(self.with.tasks.unfinished(&scope(&self.policy.source)).await?))
    }

    async fn capture(&self, spec: &ListenerSpec, ask: Value, together: &Together) -> Result<StoredRef, Failure> {
        let target = self.target(spec, &together.store);
        let step = Step { number: together.number, ask, over: false };
        let assignment = self.assignment(spec, &step, together.unfinished.as_deref());
        let stop = Stop { now: self.context.cancel.clone(), over: self.context.over.clone() };
        let (id, total) = (spec.id.clone(), Arc::clone(&together.total));
        let progress: ProgressSink = Arc::new(move |progress| total.report(&id, progress));
        self.with.listeners.work(&target, assignment, progress, stop).await
    }

    /// The store as listeners of this run are told of it, under the policy's limit too.
    fn listener_store(&self) -> Result<ListenerStore, stores::Error> {
        let store = self.with.stores.listener_store(&self.store.record)?;
        Ok(ListenerStore { bound: store.bound.clone().and(self.bound.owner()), ..store })
    }

    fn target(&self, spec: &ListenerSpec, store: &ListenerStore) -> Target {
        Target { source: self.source_id.clone(), spec: spec.clone(), store: Some(store.clone()) }
    }

    /// The assignment of the n-th try of a step.
    fn assignment<'s>(
        &'s self,
        spec: &'s ListenerSpec,
        step: &'s Step,
        unfinished: Option<&'s [TaskId]>,
    ) -> impl Fn(u32) -> Assignment + Send + Sync + 's {
        move |attempt| {
            let work = Work::Capture(Box::new(self.work(step, unfinished)));
            Assignment {
                id: format!("{}-{}-{}-{}-{attempt}", self.context.task.id, self.context.token, step.number, spec.id),
                source: self.source_id.clone(),
                task: self.context.task.id.clone(),
                token: self.context.token,
                // Said here too: a listener that does not know a field cannot tell that it needs it.
                needs: work.needs().into_iter().map(str::to_owned).collect(),
                repository: self.store.record.repository.clone(),
                work,
            }
        }
    }

    fn work(&self, step: &Step, unfinished: Option<&[TaskId]>) -> Capture {
        Capture {
            objects: self.policy.objects.clone(),
            excludes: self.policy.excludes.clone(),
            unfinished: unfinished.map(<[TaskId]>::to_vec),
            step: step.clone(),
            limits: self.with.capture_limits.clone(),
            mode: Mode::Fresh,
            checkpoint: None,
            held: None,
        }
    }
}

/// Answers, and absences added to `steps`; a failure where there is no answer at all.
fn sort_out(
    outcomes: impl IntoIterator<Item = (String, Result<StoredRef, Failure>)>,
    steps: &mut Steps,
) -> Result<Answers, Failure> {
    let mut answers = Answers::new();
    let (mut retryable, mut cancelled, mut away) = (false, false, None);
    for (listener, outcome) in outcomes {
        match outcome {
            Ok(answer) => drop(answers.insert(listener, answer)),
            Err(failure) => {
                tracing::warn!(listener, %failure, "partition is absent from the version");
                retryable |= failure.retryable;
                away = away.or(failure.away);
                cancelled |= failure.cancelled;
                steps.hints.extend(failure.hint.clone().map(|hint| (listener.clone(), hint)));
                steps.absent.push((listener, failure.to_string()));
            }
        }
    }
    match answers.is_empty() {
        _ if cancelled => Err(Failure::cancelled()),
        true => Err(nothing(steps, retryable, away)),
        false => Ok(answers),
    }
}

/// Nothing was captured: why, in one code where all listeners failed with the same.
fn nothing(steps: &Steps, retryable: bool, away: Option<Away>) -> Failure {
    let (listener, reason) = steps.absent.first().map_or(("", ""), |(id, reason)| (id.as_str(), reason.as_str()));
    let code_of = |reason: &str| Some(reason.split_once(": ")?.0.to_owned()).filter(|code| code.starts_with("TM-"));
    let code =
        code_of(reason).filter(|code| steps.absent.iter().all(|(_, other)| code_of(other).as_ref() == Some(code)));
    let reason = code.as_ref().map_or(reason, |code| &reason[code.len() + 2..]);
    let words = format!("no partition could be captured; {reason}, the first of {}", steps.absent.len());
    let hint = steps.hints.get(listener).map_or("tidemark source test shows what each listener needs", String::as_str);
    let code = code.unwrap_or_else(|| "TM-PROT-0001".to_owned());
    Failure { away, ..Failure::of(&code, words, retryable) }.with_hint(hint)
}

#[cfg(test)]
mod tests {
    use tidemark_gateway::Stored;

    use super::*;

    fn slice() -> StoredRef {
        StoredRef::new(&object_store::path::Path::from("k"), Stored::of(b"1"))
    }

    fn outcomes(outcomes: Vec<Result<StoredRef, Failure>>) -> Vec<(String, Result<StoredRef, Failure>)> {
        ["a", "b"].map(str::to_owned).into_iter().zip(outcomes).collect()
    }

    #[test]
    fn a_partition_that_cannot_be_captured_is_absent_with_its_reason() {
        let mut steps = Steps::default();
        let both = outcomes(vec![Ok(slice()), Err(Failure::permanent("TM-X-0001", "down").with_hint("start it"))]);
        let answers = sort_out(both, &mut steps).unwrap();
        assert_eq!(answers, Answers::from([("a".to_owned(), slice())]));
        assert_eq!(steps.absent, [("b".to_owned(), "TM-X-0001: down".to_owned())]);
        assert_eq!(steps.hints, Hints::from([("b".to_owned(), "start it".to_owned())]));
    }

    #[test]
    fn nothing_captured_is_a_failure_that_is_retried_where_one_of_them_may_be() {
        let down = |retryable| Err(Failure::of("TM-X-0001", "down", retryable));
        let failure = sort_out(outcomes(vec![down(false), down(true)]), &mut Steps::default()).unwrap_err();
        assert!(failure.retryable);
        let failure = sort_out(outcomes(vec![down(false)]), &mut Steps::default()).unwrap_err();
        assert!(!failure.retryable && failure.message.contains("down"));
        assert_eq!(failure.code, "TM-X-0001");
        let several = vec![down(false), Err(Failure::permanent("TM-X-0002", "up"))];
        let failure = sort_out(outcomes(several), &mut Steps::default()).unwrap_err();
        assert_eq!(failure.code, "TM-PROT-0001");
        assert!(failure.message.contains("TM-X-0001: down"), "{failure}");
        assert!(failure.hint.is_some_and(|hint| hint.contains("source test")));
    }

    #[test]
    fn nothing_captured_hints_at_what_its_first_listener_needs() {
        let down = || Err(Failure::retryable("TM-X-0001", "down").with_hint("start it"));
        let failure = sort_out(outcomes(vec![down(), down()]), &mut Steps::default()).unwrap_err();
        assert_eq!(failure.hint.as_deref(), Some("start it"));
    }

    #[test]
    fn a_checkpoint_without_hints_is_read() {
        let steps: Steps = serde_json::from_str(r#"{"answers": [], "absent": [["b", "down"]]}"#).unwrap();
        assert!(steps.hints.is_empty());
    }

    #[test]
    fn a_cancelled_listener_cancels_all() {
        let both = outcomes(vec![Ok(slice()), Err(Failure::cancelled())]);
        assert!(sort_out(both, &mut Steps::default()).unwrap_err().cancelled);
    }
}
