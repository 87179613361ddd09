//! Rules for [`Restorer`].

use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use super::{Broken, Rule, Suite, done, ensure};
use crate::{
    check::Status,
    failure::Failure,
    progress,
    restorer::{CheckpointSaver, IfExists, RestoreControl, RestoreJob, RestorePlan, RestoreReport, Restorer},
};

/// A restorer with a version, and destinations to restore it to.
#[async_trait]
pub trait Subject: Send + Sync {
    /// The implementation; its plans are run in the daemon.
    fn restorer(&self) -> &dyn Restorer;

    /// A job to an empty destination that nothing else uses, of objects with records, under their own names.
    async fn job(&self) -> RestoreJob;

    /// What a reader of the job's destination sees, in an order of its own that is the same for the same data.
    async fn seen(&self, job: &RestoreJob) -> Result<Value, Failure>;

    /// What a reader of the source saw when the version was made, in the same shape.
    fn expected(&self) -> Value;

    /// A destination that cannot be reached.
    fn unreachable(&self) -> Value;
}

/// Runs all rules.
///
/// # Errors
/// [`Broken`] naming every rule that is not kept.
pub async fn all(subject: &dyn Subject) -> Result<(), Broken> {
    let mut suite = Suite::default();
    suite.rule("a plan writes nothing and is the same again", planned(subject)).await;
    suite.rule("what was seen at the source is seen at the destination", restored(subject)).await;
    suite.rule("a restore that was interrupted goes on", interrupted(subject)).await;
    suite.rule("a destination that holds data is refused", refused(subject)).await;
    suite.rule("a merge into the same data changes nothing", merged(subject)).await;
    suite.rule("a destination that is away is no empty one", away(subject)).await;
    suite.rule("cancelled work says so", cancelled(subject)).await;
    suite.end()
}

/// Saves within which the subject's restore must be done.
const MOST_SAVES: u32 = 100;

/// Keeps what was saved, and stops the work after some saves.
struct Saver {
    saved: Mutex<Option<Value>>,
    left: Mutex<u32>,
    cancel: CancellationToken,
}

impl Saver {
    fn stopping_after(saves: u32) -> Arc<Self> {
        Arc::new(Self { saved: Mutex::default(), left: Mutex::new(saves), cancel: CancellationToken::new() })
    }

    fn saved(&self) -> Option<Value> {
        self.saved.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

#[async_trait]
impl CheckpointSaver for Saver {
    async fn save(&self, checkpoint: Value) -> Result<(), Failure> {
        *self.saved.lock().unwrap_or_else(PoisonError::into_inner) = Some(checkpoint);
        let mut left = self.left.lock().unwrap_or_else(PoisonError::into_inner);
        *left = left.saturating_sub(1);
        if *left == 0 {
            self.cancel.cancel();
        }
        Ok(())
    }
}

fn control(saver: &Arc<Saver>, checkpoint: Option<Value>) -> RestoreControl {
    RestoreControl {
        progress: progress::silent(),
        cancel: saver.cancel.clone(),
        checkpoint,
        save: Arc::clone(saver) as Arc<dyn CheckpointSaver>,
        instant: None,
    }
}

async fn plan(subject: &dyn Subject, job: &RestoreJob) -> Result<RestorePlan, String> {
    let plan = done("plan", subject.restorer().plan(job).await)?;
    let failed: Vec<_> = plan.checks.iter().filter(|line| line.status == Status::Fail).collect();
    ensure(failed.is_empty(), || format!("the plan fails: {failed:?}"))?;
    Ok(plan)
}

async fn run(subject: &dyn Subject, job: &RestoreJob, plan: &RestorePlan) -> Result<RestoreReport, String> {
    let saver = Saver::stopping_after(u32::MAX);
    done("run", subject.restorer().run(job, plan, control(&saver, None)).await)
}

async fn seen(subject: &dyn Subject, job: &RestoreJob) -> Rule {
    let (found, expected) = (done("look", subject.seen(job).await)?, subject.expected());
    ensure(found == expected, || format!("seen is {found}, expected {expected}"))
}

async fn planned(subject: &dyn Subject) -> Rule {
    let job = subject.job().await;
    let before = done("look", subject.seen(&job).await)?;
    let (one, other) = (plan(subject, &job).await?, plan(subject, &job).await?);
    ensure(one.objects == other.objects && one.schema == other.schema, || format!("{one:?} is not {other:?}"))?;
    ensure(one.objects.len() == job.lines.len(), || format!("{} of {} objects", one.objects.len(), job.lines.len()))?;
    let after = done("look", subject.seen(&job).await)?;
    ensure(before == after, || format!("{before} became {after}"))
}

async fn restored(subject: &dyn Subject) -> Rule {
    let job = subject.job().await;
    let plan = plan(subject, &job).await?;
    let report = run(subject, &job, &plan).await?;
    ensure(report.rows_refused == 0 && report.rows_written > 0, || format!("{report:?}"))?;
    let verified = report.rows_verified + report.rows_expired;
    ensure(verified == report.rows_written, || format!("not all that was written was read back: {report:?}"))?;
    seen(subject, &job).await
}

/// Stopped after the first save, then after the second, and so on, until it gets to its end.
async fn interrupted(subject: &dyn Subject) -> Rule {
    let mut stopped = false;
    for saves in 1..MOST_SAVES {
        let job = subject.job().await;
        let plan = plan(subject, &job).await?;
        let saver = Saver::stopping_after(saves);
        let ended = match subject.restorer().run(&job, &plan, control(&saver, None)).await {
            Ok(_) => true,
            Err(failure) if failure.cancelled => false,
            Err(failure) => return Err(format!("stopped after {saves} saves, it ends with {failure}")),
        };
        if !ended {
            let again = Saver::stopping_after(u32::MAX);
            let resumed = subject.restorer().run(&job, &plan, control(&again, saver.saved())).await;
            done("go on", resumed)?;
        }
        seen(subject, &job).await?;
        if ended {
            return ensure(stopped, || "it saves nothing, or cannot be stopped".to_owned());
        }
        stopped = true;
    }
    Err(format!("it does not end within {MOST_SAVES} saves"))
}

async fn refused(subject: &dyn Subject) -> Rule {
    let job = subject.job().await;
    let first = plan(subject, &job).await?;
    run(subject, &job, &first).await?;
    let again = done("plan", subject.restorer().plan(&job).await)?;
    let failed = again.checks.iter().find(|line| line.status == Status::Fail);
    let hinted = failed.is_some_and(|line| line.hint.is_some());
    ensure(hinted, || format!("no check fails with a hint: {:?}", again.checks))?;
    // A destination that was filled after the plan is refused by the run.
    let late = run(subject, &job, &first).await;
    ensure(late.is_err(), || format!("the old plan is run again: {late:?}"))?;
    seen(subject, &job).await
}

async fn merged(subject: &dyn Subject) -> Rule {
    let mut job = subject.job().await;
    let first = plan(subject, &job).await?;
    run(subject, &job, &first).await?;
    job.options.common.if_exists = Some(IfExists::Merge);
    job.options.common.into_non_empty = first.objects.iter().map(|object| object.target.to_string()).collect();
    let again = done("plan", subject.restorer().plan(&job).await)?;
    if again.checks.iter().any(|line| line.status == Status::Fail) {
        // A kind of source that does not merge says so.
        return Ok(());
    }
    run(subject, &job, &again).await?;
    seen(subject, &job).await
}

async fn away(subject: &dyn Subject) -> Rule {
    let mut job = subject.job().await;
    job.destination = subject.unreachable();
    match subject.restorer().plan(&job).await {
        Err(failure) => ensure(!failure.message.is_empty(), || "no words".to_owned()),
        Ok(plan) => ensure(plan.checks.iter().any(|line| line.status == Status::Fail), || format!("{plan:?}")),
    }
}

async fn cancelled(subject: &dyn Subject) -> Rule {
    let job = subject.job().await;
    let plan = plan(subject, &job).await?;
    let saver = Saver::stopping_after(u32::MAX);
    saver.cancel.cancel();
    match subject.restorer().run(&job, &plan, control(&saver, None)).await {
        Err(failure) => ensure(failure.cancelled, || format!("{failure:?}")),
        Ok(report) => Err(format!("it ends with {report:?}")),
    }
}
