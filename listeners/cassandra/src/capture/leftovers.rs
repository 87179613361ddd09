//! Snapshots that captures left on the node: their daemon lost its state, or a listener was killed and its task given up.
//!
//! A tag names repository, source and task. Only tags of this assignment's repository and source are looked at, and of those
//! only the ones whose task the orchestrator does not count as unfinished; it says nothing about tasks where it is not the
//! newest daemon of the repository, and then nothing is removed. So neither another daemon's snapshots go, nor those of other
//! sources or tools, nor that of a task that will be resumed. Captures of one source run one after another: none of them can
//! begin between the orchestrator's words and the removal.

use std::{
    collections::BTreeSet,
    fs, io,
    path::{Path, PathBuf},
};

use tidemark_gateway::causes::chain;
use tidemark_listener_core::{
    assignment::{Assignment, Capture},
    ship,
};

use super::{Error, names, nodetool::Nodetool};

/// Where a node's snapshots are, and what removes them.
pub(super) struct Held<'a> {
    pub(super) nodetool: &'a Nodetool,
    pub(super) data_directories: &'a [PathBuf],
}

/// Removes them. A failure costs disk on the node, not data: it is logged, and the next preflight shows the tag.
pub(super) async fn remove(held: &Held<'_>, assignment: &Assignment<Capture>) {
    match found(held.data_directories).await {
        Ok(found) => clear(held.nodetool, abandoned(&found, assignment)).await,
        Err(error) => tracing::warn!(error = chain(&error), "no search for left snapshots: none is removed"),
    }
}

/// Removes the snapshots of the assignment's own task: those of `steps`, and others that are found on disk.
pub(super) async fn give_back(held: &Held<'_>, assignment: &Assignment<Capture>, steps: impl IntoIterator<Item = u32>) {
    let mut tags: BTreeSet<String> = steps.into_iter().map(|step| names::tag(assignment, step)).collect();
    match found(held.data_directories).await {
        Ok(found) => {
            let own = |tag: &String| names::task_of(tag, assignment).as_ref() == Some(&assignment.task);
            tags.extend(found.into_iter().filter(own));
        }
        Err(error) => tracing::warn!(error = chain(&error), "no search for other snapshots of the task"),
    }
    clear(held.nodetool, tags.iter().map(String::as_str).collect()).await;
}

async fn clear(nodetool: &Nodetool, tags: Vec<&str>) {
    for tag in tags {
        match nodetool.clear_snapshot(tag).await {
            Ok(()) => tracing::info!(tag, "removed a snapshot"),
            Err(error) => tracing::warn!(tag, error = chain(&error), "a snapshot could not be removed from the node"),
        }
    }
}

/// Names of the snapshots of every table in the data directories.
///
/// # Errors
/// [`ship::Error::Task`].
pub(super) async fn found(data: &[PathBuf]) -> Result<BTreeSet<String>, Error> {
    let data = data.to_vec();
    tokio::task::spawn_blocking(move || tags(&data)).await.map_err(|error| ship::Error::Task(error).into())
}

/// The tags whose tasks are over, of those that were found.
fn abandoned<'a>(found: &'a BTreeSet<String>, assignment: &Assignment<Capture>) -> Vec<&'a str> {
    let Some(unfinished) = &assignment.work.unfinished else { return Vec::new() };
    let is_over = |tag: &&str| {
        names::task_of(tag, assignment).is_some_and(|task| task != assignment.task && !unfinished.contains(&task))
    };
    found.iter().map(String::as_str).filter(is_over).collect()
}

/// Names of the snapshots of every table in the data directories. Blocking. What cannot be listed is passed over.
fn tags(data: &[PathBuf]) -> BTreeSet<String> {
    let tables = data.iter().flat_map(|data| folders(data)).flat_map(|keyspace| folders(&keyspace));
    let snapshots = tables.flat_map(|table| folders(&table.join("snapshots")));
    snapshots.filter_map(|snapshot| Some(snapshot.file_name()?.to_str()?.to_owned())).collect()
}

fn folders(path: &Path) -> Vec<PathBuf> {
    let list = || -> io::Result<Vec<PathBuf>> { fs::read_dir(path)?.map(|entry| Ok(entry?.path())).collect() };
    match list() {
        Ok(found) => found.into_iter().filter(|path| path.is_dir()).collect(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
        Err(error) => {
            tracing::warn!(path = %path.display(), %error, "not searched for left snapshots");
            Vec::new()
        }
    }
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
    fn tags_are_found_on_disk_in_every_data_directory() {
        let root = tempfile::tempdir().unwrap();
        for path in ["a/shop/orders-1/snapshots/x", "b/shop/orders-1/snapshots/y", "a/shop/orders-1/backups"] {
            fs::create_dir_all(root.path().join(path)).unwrap();
        }
        let data = ["a", "b", "absent"].map(|name| root.path().join(name));
        assert_eq!(tags(&data), BTreeSet::from(["x".to_owned(), "y".to_owned()]));
    }
}
