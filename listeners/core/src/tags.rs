//! Names of what captures hold at a source (snapshots), and which of them are left over: their daemon lost its state, or a
//! listener was killed and its task given up.
//!
//! A tag names repository, source, task and step. Only tags of an assignment's own repository and source are looked at, and of
//! those only the ones whose task the orchestrator does not count as unfinished; it says nothing about tasks where it is not the
//! newest daemon of the repository, and then nothing is left over. So neither what another daemon holds goes, nor what other
//! sources or tools do, nor what a task holds that will be resumed. Captures of one source run one after another: none of them
//! can begin between the orchestrator's words and the removal.

use std::collections::BTreeSet;

use tidemark_catalog::ids::TaskId;

use crate::assignment::{Assignment, Capture};

/// Beginning of all tags.
pub const PREFIX: &str = "tidemark-";

/// Tag of what a step of an assignment's task holds: `tidemark-<repository>-<source>-<task>.<step>`, the same in every run.
pub fn tag<W>(assignment: &Assignment<W>, step: u32) -> String {
    format!("{}{}.{step}", start(assignment), assignment.task)
}

/// Those of the tags `found` that the assignment's own task has made, in any step.
pub fn own<'a, W>(found: &'a BTreeSet<String>, assignment: &Assignment<W>) -> Vec<&'a str> {
    let is_own = |tag: &&str| task_of(tag, assignment).as_ref() == Some(&assignment.task);
    found.iter().map(String::as_str).filter(is_own).collect()
}

/// Those of the tags `found` whose tasks are over; none where the orchestrator does not say which are not.
pub fn abandoned<'a>(found: &'a BTreeSet<String>, assignment: &Assignment<Capture>) -> Vec<&'a str> {
    let Some(unfinished) = &assignment.work.unfinished else { return Vec::new() };
    let is_over = |tag: &&str| {
        task_of(tag, assignment).is_some_and(|task| task != assignment.task && !unfinished.contains(&task))
    };
    found.iter().map(String::as_str).filter(is_over).collect()
}

/// The task of a tag that captures of this assignment's repository and source make; `None` for any other tag.
fn task_of<W>(tag: &str, assignment: &Assignment<W>) -> Option<TaskId> {
    let (task, step) = tag.strip_prefix(&start(assignment))?.split_once('.')?;
    step.parse::<u32>().ok()?;
    // Without a '-': that of a source whose name begins with this one's has more of them.
    let is_task = task.len() == 32 && task.bytes().all(|b| b.is_ascii_hexdigit());
    is_task.then(|| task.parse().ok()).flatten()
}

fn start<W>(assignment: &Assignment<W>) -> String {
    format!("{PREFIX}{}-{}-", assignment.repository, assignment.source)
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWN: &str = "00000000000000000000000000000001";
    const LIVE: &str = "00000000000000000000000000000002";
    const OVER: &str = "00000000000000000000000000000003";

    fn assignment(unfinished: Option<&[&str]>) -> Assignment<Capture> {
        let unfinished = unfinished.map(|ids| ids.iter().map(|id| id.parse().unwrap()).collect());
        Assignment {
            id: "a".into(),
            source: "prod".parse().unwrap(),
            task: OWN.parse().unwrap(),
            token: "1-1".parse().unwrap(),
            needs: Vec::new(),
            repository: "r1".into(),
            work: Capture { unfinished, ..Capture::default() },
        }
    }

    fn found() -> BTreeSet<String> {
        let tags = [
            format!("tidemark-r1-prod-{OWN}.1"),
            format!("tidemark-r1-prod-{LIVE}.1"),
            format!("tidemark-r1-prod-{OVER}.3"),
            format!("tidemark-r1-prod-{OVER}.x"),
            format!("tidemark-r2-prod-{OVER}.1"),
            format!("tidemark-r1-prod-b-{OVER}.1"),
            format!("tidemark-r1-other-{OVER}.1"),
            "tidemark-r1-prod-nightly".to_owned(),
            "before-upgrade".to_owned(),
        ];
        BTreeSet::from(tags)
    }

    #[test]
    fn only_snapshots_of_ended_tasks_of_this_repository_and_source_are_abandoned() {
        let found = found();
        assert_eq!(abandoned(&found, &assignment(Some(&[LIVE]))), [format!("tidemark-r1-prod-{OVER}.3")]);
    }

    #[test]
    fn nothing_is_abandoned_where_the_orchestrator_does_not_know() {
        assert!(abandoned(&found(), &assignment(None)).is_empty());
    }

    #[test]
    fn a_task_knows_what_it_holds_itself() {
        let assignment = assignment(None);
        assert!(found().contains(&tag(&assignment, 1)));
        assert_eq!(own(&found(), &assignment), [tag(&assignment, 1)]);
    }
}
