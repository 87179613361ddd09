//! Snapshots that captures left on the node ([`tags`] says which those are), and those of a task that is over.

use std::{
    collections::BTreeSet,
    fs, io,
    path::{Path, PathBuf},
};

use tidemark_gateway::causes::joined;
use tidemark_listener_core::{
    assignment::{Assignment, Capture},
    ship, tags,
};

use super::{error::Error, nodetool::Nodetool};

/// Where a node's snapshots are, and what removes them.
pub(super) struct Held<'a> {
    pub(super) nodetool: &'a Nodetool,
    pub(super) data_directories: &'a [PathBuf],
}

/// Removes them. A failure costs disk on the node, not data: it is logged, and the next preflight shows the tag.
pub(super) async fn remove(held: &Held<'_>, assignment: &Assignment<Capture>) {
    match found(held.data_directories).await {
        Ok(found) => clear(held.nodetool, tags::abandoned(&found, assignment)).await,
        Err(error) => tracing::warn!(error = joined(&error), "no search for left snapshots: none is removed"),
    }
}

/// Removes the snapshots of the assignment's own task: those of `steps`, and others that are found on disk.
pub(super) async fn give_back(held: &Held<'_>, assignment: &Assignment<Capture>, steps: impl IntoIterator<Item = u32>) {
    let mut own: BTreeSet<String> = steps.into_iter().map(|step| tags::tag(assignment, step)).collect();
    match found(held.data_directories).await {
        Ok(found) => own.extend(tags::own(&found, assignment).into_iter().map(str::to_owned)),
        Err(error) => tracing::warn!(error = joined(&error), "no search for other snapshots of the task"),
    }
    clear(held.nodetool, own.iter().map(String::as_str).collect()).await;
}

async fn clear(nodetool: &Nodetool, tags: Vec<&str>) {
    for tag in tags {
        match nodetool.clear_snapshot(tag).await {
            Ok(()) => tracing::info!(tag, "removed a snapshot"),
            Err(error) => tracing::warn!(tag, error = joined(&error), "a snapshot could not be removed from the node"),
        }
    }
}

/// Names of the snapshots of every table in the data directories.
///
/// # Errors
/// [`ship::Error::Task`].
pub(super) async fn found(data: &[PathBuf]) -> Result<BTreeSet<String>, Error> {
    let data = data.to_vec();
    tokio::task::spawn_blocking(move || on_disk(&data)).await.map_err(|error| ship::Error::Task(error).into())
}

/// Names of the snapshots of every table in the data directories. Blocking. What cannot be listed is passed over.
fn on_disk(data: &[PathBuf]) -> BTreeSet<String> {
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

    #[test]
    fn tags_are_found_on_disk_in_every_data_directory() {
        let root = tempfile::tempdir().unwrap();
        for path in ["a/shop/orders-1/snapshots/x", "b/shop/orders-1/snapshots/y", "a/shop/orders-1/backups"] {
            fs::create_dir_all(root.path().join(path)).unwrap();
        }
        let data = ["a", "b", "absent"].map(|name| root.path().join(name));
        assert_eq!(on_disk(&data), BTreeSet::from(["x".to_owned(), "y".to_owned()]));
    }
}
