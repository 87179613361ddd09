//! The task that writes a version to a destination, and the plan that is shown before.
//!
//! Plan and run are made by the same function; a run keeps its plan in the checkpoint, because a destination that it has
//! begun to fill would no longer pass the checks for an empty one.
//!
//! An undo in place has two steps before its first read: its instant is fixed (`instant`), and the present state of what it
//! will overwrite is kept as a version of its own (`safety`). Both are checkpointed, so that every later run of the task
//! has the same instant and takes no second version.

pub(crate) mod count;
mod hosts;
mod instant;
mod plan;
pub mod result;
mod safety;
pub mod spec;

use std::sync::Arc;

use futures::FutureExt as _;
use tidemark_catalog::{
    entry::{ObjectLine, Quality},
    ids::SourceId,
    pages,
    pattern::Patterns,
};
use tidemark_listener_core::{
    check::{self, Status},
    failure,
    restorer::{self, Place, RestoreControl, RestoreJob, RestoreOptions, RestorePlan, RestoreReport},
};

use crate::{
    executors::{self, Executors, FoundVersion},
    failure::{Away, Failure},
    reading,
    sources::Driver,
    stores::OpenStore,
    tasks::{Completion, RESTORER_PART, Shelf, TaskContext},
    version_name::Pin,
};
use plan::KeptPlan;
use result::{RestoreResult, Undone};
use spec::{Restore, RestoreSpec};

/// Part of the checkpoint that holds the plan.
const PLAN_PART: &str = "plan";

/// A restore that is ready to be planned or run.
pub(crate) struct Prepared {
    driver: Driver,
    job: RestoreJob,
    /// The destination.
    destination: SourceId,
    /// The store that holds the version.
    store: OpenStore,
    /// Objects that the version does not hold although it lists them.
    left_out: Vec<String>,
    /// The manifest.
    pin: Pin,
}

impl Prepared {
    /// The manifest that it was made of.
    pub(crate) fn pin(&self) -> &Pin {
        &self.pin
    }

    /// Name of the store that holds the version.
    pub(crate) fn store_name(&self) -> &str {
        &self.store.record.name
    }

    /// The restore as it is recorded: of this manifest and no other.
    pub(crate) fn pinned(&self, restore: Restore) -> Restore {
        Restore { pin: Some(self.pin.clone()), ..restore }
    }

    /// What the run would do.
    ///
    /// # Errors
    /// The restorer's.
    pub(crate) async fn plan(&self) -> Result<RestorePlan, Failure> {
        self.driver.restorer().plan(&self.job).await.map_err(away)
    }

    /// What the coordinator does not take of the task is kept where the version is, with its source.
    fn keep_parts(&self, with: &Executors, restore: &Restore, context: &TaskContext) {
        context.checkpoints.keep_at(Shelf::new(&with.stores, &self.store(), &restore.version.id.source));
    }

    /// The store that holds the version.
    fn store(&self) -> OpenStore {
        self.store.clone()
    }

    /// The check that refuses an undo where the destination's listeners would have to do it.
    async fn at_hosts(&self, plan: &RestorePlan) -> Result<Option<check::Line>, Failure> {
        let place = self.driver.restorer().place(&self.job, plan).await.map_err(away)?;
        let hint = "merge, or restore under another name";
        let line = || check::Line::fail("undo", &plan.destination, "this kind of source restores at its hosts", hint);
        Ok(matches!(place, Place::Hosts(_)).then(line))
    }

    /// The checks that hang on what Tidemark itself needs: targets whose present state can be kept.
    ///
    /// # Errors
    /// The restorer's, or the source's.
    pub(crate) async fn full_plan(&self, restore: &Restore) -> Result<RestorePlan, Failure> {
        let mut plan = self.plan().await?;
        if plan.undoes() {
            let listeners = self.driver.listeners(&self.job.destination).await?;
            plan.checks.extend(safety::checks(&plan, restore, listeners.len()));
            plan.checks.extend(self.at_hosts(&plan).await?);
        }
        Ok(plan)
    }
}

/// Finds the version's objects and the destination.
///
/// # Errors
/// [`Failure`] naming what does not exist, or an object that is missing in the version.
pub(crate) async fn prepare(with: &Executors, restore: &Restore) -> Result<Prepared, Failure> {
    let FoundVersion { store, manifest, version, pin } = with.version(&restore.version, restore.pin.as_ref()).await?;
    let lines = pages::read_lines(&store.objects, &manifest).await?;
    let (lines, left_out) = choose(lines, restore)?;
    let (destination, driver) = with.source(restore.to.as_str()).await?;
    if destination.kind != version.kind {
        let words =
            format!("version {} is of kind {}, {} is {}", restore.version, version.kind, restore.to, destination.kind);
        return Err(Failure::permanent("TM-REST-0003", words));
    }
    driver.restorer().validate_options(&restore.options)?;
    let job = RestoreJob {
        lines,
        store: Arc::clone(&store.objects),
        destination: destination.spec,
        options: RestoreOptions::from(restore),
        env: with.env.clone(),
    };
    let destination = destination.name.parse().map_err(|_| {
        Failure::permanent("TM-REST-0003", format!("source {:?} has no name that can be stored", restore.to))
    })?;
    Ok(Prepared { driver, job, destination, store, left_out, pin })
}

/// The lines to restore, and words for those that cannot be because the version does not hold them.
fn choose(lines: Vec<ObjectLine>, restore: &Restore) -> Result<(Vec<ObjectLine>, Vec<String>), Failure> {
    let patterns = Patterns::parse(&restore.objects)
        .map_err(|error| Failure::permanent("TM-REST-0004", format!("objects: {error}")))?;
    refuse_unmatched(&lines, &patterns, restore)?;
    let asked = |line: &ObjectLine| patterns.is_empty() || patterns.matches(line.object.parts());
    let (mut held, mut left_out) = (Vec::new(), Vec::new());
    for line in lines.into_iter().filter(asked) {
        match &line.quality {
            Quality::Missing { reason } => {
                left_out.push(format!("{} is missing in the version: {reason}", line.object))
            }
            _ => held.push(line),
        }
    }
    if !left_out.is_empty() && !restore.accept_degraded {
        return Err(Failure::permanent("TM-REST-0002", left_out.join("; "))
            .with_hint("name the other objects, or accept what is degraded"));
    }
    if held.is_empty() {
        let words = format!("version {} holds nothing of what is asked for", restore.version);
        return Err(Failure::permanent("TM-REST-0004", words));
    }
    Ok((held, left_out))
}

/// Each pattern names something: a slip in one of them must not leave a table out.
fn refuse_unmatched(lines: &[ObjectLine], patterns: &Patterns, restore: &Restore) -> Result<(), Failure> {
    let names: Vec<&[String]> = lines.iter().map(|line| line.object.parts()).collect();
    let unmatched = patterns.unmatched(&names);
    if unmatched.is_empty() {
        return Ok(());
    }
    let words = format!("no object of version {} matches {}", restore.version, unmatched.join(", "));
    Err(Failure::permanent("TM-REST-0004", words))
}

/// Refuses a plan with a failed check, in the words of the checks.
///
/// # Errors
/// [`Failure`] `TM-REST-0001`.
pub(crate) fn refuse_failed(plan: &RestorePlan) -> Result<(), Failure> {
    let failed: Vec<_> = plan.checks.iter().filter(|line| line.status == Status::Fail).collect();
    if failed.is_empty() {
        return Ok(());
    }
    let words: Vec<_> = failed.iter().map(|l| format!("{} {}: {}", l.name, l.subject, l.detail)).collect();
    let mut failure = Failure::permanent("TM-REST-0001", words.join("; "));
    failure.hint = failed.iter().find_map(|line| line.hint.clone());
    Err(failure)
}

/// Restores, from the checkpoint on.
pub(crate) async fn run(with: &Executors, context: TaskContext) -> Result<Completion, Failure> {
    let RestoreSpec { restore } = executors::spec(&context)?;
    reading::keep(with, &context, &with.version(&restore.version, restore.pin.as_ref()).await?).await?;
    let prepared = prepare(with, &restore).await?;
    prepared.keep_parts(with, &restore, &context);
    let plan = kept_plan(&prepared, &restore, &context).await?;
    let control = RestoreControl {
        progress: Arc::clone(&context.progress),
        cancel: context.cancel.clone(),
        checkpoint: context.checkpoints.load(RESTORER_PART).await?,
        save: Arc::new(context.checkpoints.clone()),
        instant: None,
    };
    let restorer = prepared.driver.restorer();
    match restorer.place(&prepared.job, &plan).await.map_err(away)? {
        Place::Hosts(_) if plan.undoes() => return Err(no_undo_at_hosts()),
        Place::Hosts(works) => {
            let report = hosts::run(with, &prepared, works, &context).boxed().await?;
            return Ok(completion(report, prepared.left_out, None));
        }
        Place::Daemon if !plan.undoes() => {
            let report = restorer.run(&prepared.job, &plan, control).await.map_err(away)?;
            return Ok(completion(report, prepared.left_out, None));
        }
        Place::Daemon => {}
    }
    let fixed = instant::fixed(&prepared, &restore, &context).await?;
    let safety_version = safety::version(with, &prepared, &restore, &plan, &context).await?;
    let control = RestoreControl { instant: Some(fixed.instant.micros), ..control };
    let mut report = restorer.run(&prepared.job, &plan, control).await.map_err(away)?;
    report.warnings.extend(fixed.instant.unread.iter().map(|why| format!("a clock was not known: {why}")));
    let undone = Undone { safety_version, instant_micros: fixed.instant.micros.to_string() };
    Ok(completion(report, prepared.left_out, Some(undone)))
}

fn no_undo_at_hosts() -> Failure {
    let words = "an undo in place runs in the daemon, and this kind of source restores at the destination's hosts";
    Failure::permanent("TM-REST-0010", words).with_hint("merge, or restore under another name")
}

/// The result of a run: the restorer's report with what only the task knows. Rows that still differ are a warning.
fn completion(report: RestoreReport, left_out: Vec<String>, undo: Option<Undone>) -> Completion {
    let mut result = RestoreResult { undo, ..report.into() };
    result.warnings.extend(left_out);
    let warnings = !result.warnings.is_empty() || result.unlike() > 0;
    Completion::of(&result, warnings)
}

/// A restorer's failure that may go away: the destination is away, or the store is. What answers is not away.
fn away(error: failure::Failure) -> Failure {
    if error.answered {
        return error.into();
    }
    let what = if error.code == restorer::STORE_READ { Away::Store } else { Away::Destination };
    Failure::from(error).by_absence_of(what)
}

/// The plan of the first run of this task.
async fn kept_plan(prepared: &Prepared, restore: &Restore, context: &TaskContext) -> Result<RestorePlan, Failure> {
    if let Some(plan) = context.checkpoints.load::<KeptPlan>(PLAN_PART).await? {
        return Ok(plan.into());
    }
    let plan = prepared.full_plan(restore).await?;
    refuse_failed(&plan)?;
    context.checkpoints.save(PLAN_PART, &KeptPlan::from(plan.clone())).await?;
    Ok(plan)
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use serde_json::json;
    use tidemark_catalog::{entry::Cut, figures::Figures};

    use super::*;

    fn line(object: &str) -> ObjectLine {
        ObjectLine {
            object: object.parse().unwrap(),
            entry: None,
            cut: Cut { from: Timestamp::UNIX_EPOCH, through: Timestamp::UNIX_EPOCH, partitions: Vec::new() },
            quality: Quality::Cut,
            topology: None,
            figures: Figures::default(),
            left_out: Vec::new(),
        }
    }

    /// Names of the chosen objects, or the message of the failure.
    fn chosen(only: &[&str]) -> Result<Vec<String>, String> {
        let restore: Restore = serde_json::from_value(json!({"version": "s.d.1", "to": "d", "objects": only})).unwrap();
        let chosen = choose(vec![line("ks/a"), line("ks/b")], &restore);
        chosen.map(|(held, _)| held.iter().map(|l| l.object.to_string()).collect()).map_err(|failure| failure.message)
    }

    #[test]
    fn what_answers_that_it_failed_is_not_away() {
        let failed = || failure::Failure::retryable("TM-REST-0401", "write failure");
        assert_eq!(away(failed()).away, Some(Away::Destination));
        let answered = away(failure::Failure { answered: true, ..failed() });
        assert_eq!((answered.away, answered.retryable), (None, true));
    }

    #[test]
    fn every_pattern_must_name_an_object_of_the_version() {
        assert_eq!(chosen(&[]).unwrap(), ["ks/a", "ks/b"]);
        assert_eq!(chosen(&["ks/a", "*/a"]).unwrap(), ["ks/a"]);
        assert_eq!(chosen(&["ks/a", "ks/x", "y"]).unwrap_err(), "no object of version s.d.1 matches ks/x, y");
    }

    #[test]
    fn a_pattern_that_cannot_be_read_is_named() {
        assert_eq!(chosen(&["ks/{a,x}"]).unwrap(), ["ks/a"]);
        assert!(chosen(&["ks/{a"]).unwrap_err().starts_with("objects: \"ks/{a\" is no pattern: "));
    }
}
