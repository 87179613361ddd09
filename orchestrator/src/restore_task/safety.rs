//! The safety version: what an undo is about to overwrite, kept as an ordinary version so that the undo can be undone.
//!
//! It is made by a protect task of its own, in a set of its own, `safety-<operation>`, in the store of the version that is
//! restored. No policy names that set, so that no retention ends it. The task is submitted under a key that belongs to the
//! operation: a run after a crash finds the same task and makes no second version.

use std::{collections::BTreeSet, time::Duration};

use serde::Deserialize as _;
use serde_json::{Value, json};
use tidemark_catalog::{
    ids::{ObjectName, SourceId, TaskId, VersionId},
    manifest::WorstQuality,
};
use tidemark_gateway::causes;
use tidemark_listener_core::{
    check::Line,
    progress::Progress,
    restorer::{Action, RestorePlan},
};

use super::{Prepared, spec::Restore};
use crate::{
    executors::Executors,
    failure::Failure,
    protect::{self, ProtectSpec, result::ProtectResult},
    registrations::{POLICIES, PolicyRecord},
    tasks::{Kind, State, Status, Submit, TaskContext},
};

/// Part of the checkpoint that holds the id of the task that makes the version.
const PART: &str = "safety";

/// Longest wait for the task between two looks at our own end.
const LOOK: Duration = Duration::from_secs(1);

/// Targets of an undo.
fn undone(plan: &RestorePlan) -> BTreeSet<String> {
    plan.objects.iter().filter(|o| o.action == Action::Undo).map(|o| o.target.to_string()).collect()
}

/// Targets whose present state is kept, sorted.
fn kept(plan: &RestorePlan, restore: &Restore) -> Vec<String> {
    undone(plan).into_iter().filter(|target| !restore.no_safety_version.contains(target)).collect()
}

/// Lines of the plan about the safety version.
pub(super) fn checks(plan: &RestorePlan, restore: &Restore, listeners: usize) -> Vec<Line> {
    let undone = undone(plan);
    let kept = kept(plan, restore);
    let mut lines = Vec::new();
    for name in restore.no_safety_version.iter().filter(|name| !undone.contains(*name)) {
        let hint = "name targets of the undo, as the plan shows them";
        lines.push(Line::fail("safety-version", name, "it is not undone, so that its name means nothing", hint));
    }
    for name in restore.no_safety_version.iter().filter(|name| undone.contains(*name)) {
        let detail = "its present state is not kept: the undo cannot be undone";
        lines.push(Line::warn("safety-version", name, detail, "leave --no-safety-version away"));
    }
    if kept.is_empty() {
        return lines;
    }
    lines.push(match listeners {
        0 => Line::fail(
            "safety-version",
            restore.to.as_str(),
            "the source names no listeners, so that its present state cannot be kept",
            "add its nodes, or type the target's name: --no-safety-version KEYSPACE/TABLE",
        ),
        _ => {
            let detail =
                format!("the present state of {} is kept as a version before anything is written", kept.join(", "));
            Line::ok("safety-version", restore.to.as_str(), detail)
        }
    });
    lines
}

/// The name of the version that keeps the present state, made by this run or an earlier one; `None` where nothing is to be
/// kept.
///
/// # Errors
/// `TM-REST-0014` where it cannot be made, `TM-REST-0015` where it is not proven complete and nobody agreed to that.
pub(super) async fn version(
    with: &Executors,
    prepared: &Prepared,
    restore: &Restore,
    plan: &RestorePlan,
    context: &TaskContext,
) -> Result<Option<VersionId>, Failure> {
    let objects = kept(plan, restore);
    if objects.is_empty() {
        return Ok(None);
    }
    // From now on this run only waits: another task may have its place.
    let waiting = context.waits();
    let task = match context.checkpoints.load::<TaskId>(PART).await? {
        Some(task) => task,
        None => {
            let task = submit(with, prepared, restore, objects, context).await?;
            context.checkpoints.save(PART, &task).await?;
            task
        }
    };
    let status = until_done(with, &task, context).await?;
    drop(waiting);
    judge(&status, restore).map(Some)
}

async fn submit(
    with: &Executors,
    prepared: &Prepared,
    restore: &Restore,
    objects: Vec<String>,
    context: &TaskContext,
) -> Result<TaskId, Failure> {
    let name = format!("safety-{}", context.task.id);
    let policies: Vec<PolicyRecord> = with.registrations.list(POLICIES).await?;
    let options = prepared.driver.undeclared(&said(&policies, &restore.to, &objects));
    let no_name = |error| Failure::permanent("TM-POL-0400", causes::joined(&error));
    let (set, store) = (name.parse().map_err(no_name)?, prepared.store.record.name.parse().map_err(no_name)?);
    let policy = PolicyRecord { options, ..PolicyRecord::new(set, restore.to.clone(), objects, store) };
    let submit = Submit {
        kind: Kind::Protect,
        subject: format!("{}/{name}", restore.to),
        body: json!({"safety": context.task.id}),
        exclusive: Some(protect::scope(&restore.to)),
        spec: json!(ProtectSpec { policy }),
    };
    Ok(with.tasks.submit(submit, &name).await?.id)
}

/// What the policies of a source that name each of these objects say, in the objects' order.
fn said<'a>(policies: &'a [PolicyRecord], source: &SourceId, objects: &[String]) -> Vec<Vec<&'a Value>> {
    let naming = |object: &String| {
        let own = policies.iter().filter(|policy| policy.source == *source && policy.is_confirmed());
        let own = own.filter(|policy| names(policy, object));
        own.map(|policy| &policy.options).collect()
    };
    objects.iter().map(naming).collect()
}

fn names(policy: &PolicyRecord, object: &str) -> bool {
    let Ok(object) = object.parse::<ObjectName>() else { return false };
    policy.patterns().is_ok_and(|patterns| patterns.matches(object.parts()))
}

/// Waits for the task; where a person ended ours, it is ended too.
async fn until_done(with: &Executors, task: &TaskId, context: &TaskContext) -> Result<Status, Failure> {
    loop {
        let phase = "keep the present state".to_owned();
        (context.progress)(Progress { phase, done: 0, total: 1, unit: "versions".to_owned() });
        let status = tokio::select! {
            biased;
            status = with.tasks.wait(task, LOOK) => status?,
            () = context.cancel.cancelled() => {
                if context.over.is_cancelled() {
                    with.tasks.cancel(task).await?;
                }
                return Err(Failure::cancelled());
            }
        };
        let gone =
            || Failure::permanent("TM-REST-0014", format!("operation {task} that kept the present state is gone"));
        let status = status.ok_or_else(gone)?;
        if status.task.state.is_done() {
            return Ok(status);
        }
    }
}

/// The version's id, where it is one that the undo may rely on.
fn judge(status: &Status, restore: &Restore) -> Result<VersionId, Failure> {
    const HINT: &str =
        "nothing was written; mend what the message names, or type the target's name: --no-safety-version";
    let task = &status.task;
    let result = task.result.as_ref().filter(|_| matches!(task.state, State::Succeeded | State::Warnings));
    let Some(result) = result.and_then(|result| ProtectResult::deserialize(result).ok()) else {
        let why = task.error.as_ref().map_or_else(|| task.state.as_str().to_owned(), ToString::to_string);
        let words = format!("the present state could not be kept by operation {}: {why}", task.id);
        return Err(Failure::permanent("TM-REST-0014", words).with_hint(HINT));
    };
    let ProtectResult { version, quality, .. } = result;
    match quality {
        WorstQuality::Cut | WorstQuality::Exact => Ok(version),
        WorstQuality::Degraded if restore.accept_degraded => Ok(version),
        WorstQuality::Degraded | WorstQuality::Missing => {
            let words = format!("safety version {version} is {quality}: it may not hold all that would be overwritten");
            Err(Failure::permanent("TM-REST-0015", words).with_hint(HINT))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(name: &str, source: &str, objects: &str) -> PolicyRecord {
        let options = json!({"of": name});
        let (name, source, store) = (name.parse().unwrap(), source.parse().unwrap(), "s".parse().unwrap());
        PolicyRecord { options, ..PolicyRecord::new(name, source, vec![objects.to_owned()], store) }
    }

    #[test]
    fn each_object_has_the_words_of_the_policies_that_name_it() {
        let policies =
            [policy("a", "prod", "shop/*"), policy("b", "prod", "*/orders"), policy("c", "test", "shop/orders")];
        let objects = ["shop/orders", "shop/lines", "other/x"].map(str::to_owned);
        let found = said(&policies, &"prod".parse().unwrap(), &objects);
        let names: Vec<Vec<_>> = found.iter().map(|own| own.iter().map(|options| &options["of"]).collect()).collect();
        assert_eq!(json!(names), json!([["a", "b"], ["a"], []]));
    }
}
