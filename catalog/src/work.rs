//! Work roots: what a running task has written that no manifest names yet.
//!
//! Garbage collection keeps what the newest roots of live tasks name, and a task that was interrupted finds here what it
//! has done. Roots are written create-only under the claim's token; a crash leaves the last complete one.

use std::sync::Arc;

use futures::TryStreamExt;
use jiff::Timestamp;
use object_store::{ObjectStore, path::Path};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    document::{self, Document},
    ids::{FencingToken, SetId, SourceId, TaskId},
    layout,
    names::Names,
    stored::StoredRef,
};

/// Everything that a task has written so far under one claim.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WorkRoot {
    /// The task.
    pub task: TaskId,
    /// The claim it was written under.
    pub token: FencingToken,
    /// Name of the node.
    pub node: String,
    /// Wall time of the node; orders nothing.
    pub written: Timestamp,
    /// Names of objects that must not be collected, those of earlier roots of this task included.
    pub objects: Vec<String>,
    /// Where the task stands, in the task's own JSON shape.
    pub checkpoint: Value,
}

impl Document for WorkRoot {
    const KIND: &'static str = "work-root";
}

/// Why work roots cannot be written or read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The store cannot list them.
    #[error("list work roots under {prefix}")]
    List {
        /// Where.
        prefix: Path,
        /// Why.
        source: object_store::Error,
    },
    /// A root cannot be stored or loaded.
    #[error(transparent)]
    Page(#[from] document::Error),
}

/// Writes `root` under the next name of its claim.
///
/// # Errors
/// [`Error::Page`].
pub async fn write(
    store: &Arc<dyn ObjectStore>,
    names: &Names,
    set: &SetId,
    root: &WorkRoot,
) -> Result<StoredRef, Error> {
    Ok(document::write(store, &names.work(set), root).await?)
}

/// The newest root of `task`: of its latest claim the last one; `None` where it has written none.
///
/// # Errors
/// [`Error::List`]; [`Error::Page`] where a root is damaged.
pub async fn newest(
    store: &Arc<dyn ObjectStore>,
    source: &SourceId,
    set: &SetId,
    task: &TaskId,
) -> Result<Option<WorkRoot>, Error> {
    for path in paths(store, source, set).await?.into_iter().rev() {
        let root: WorkRoot = document::read_unchecked(store, &path).await?;
        if root.task == *task {
            return Ok(Some(root));
        }
    }
    Ok(None)
}

/// Names of all roots of a set, in order of claim and age.
async fn paths(store: &Arc<dyn ObjectStore>, source: &SourceId, set: &SetId) -> Result<Vec<Path>, Error> {
    let prefix = layout::work(source, set);
    let listed = store.list(Some(&prefix)).map_ok(|meta| meta.location).try_collect().await;
    let mut paths: Vec<Path> = listed.map_err(|source| Error::List { prefix, source })?;
    paths.sort();
    Ok(paths)
}

#[cfg(test)]
mod tests {
    use object_store::memory::InMemory;
    use serde_json::json;

    use super::*;

    fn root(task: &str, token: FencingToken, step: u64) -> WorkRoot {
        let written = Timestamp::UNIX_EPOCH;
        let (task, node, objects) = (task.parse().unwrap(), "n1".to_owned(), vec![format!("sources/s/pages/{step}")]);
        WorkRoot { task, token, node, written, objects, checkpoint: json!({ "step": step }) }
    }

    #[tokio::test]
    async fn the_newest_root_of_a_task_is_of_its_latest_claim() {
        let store: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
        let (source, set): (SourceId, SetId) = ("s".parse().unwrap(), "daily".parse().unwrap());
        let mut step = 0;
        for revision in [9, 10] {
            let token = FencingToken { generation: 1, revision };
            let names = Names::new(source.clone(), token);
            for task in ["one", "two", "one", "two"] {
                step += 1;
                write(&store, &names, &set, &root(task, token, step)).await.unwrap();
            }
        }
        let newest = |task: &str| {
            let task = task.parse().unwrap();
            let (store, source, set) = (&store, &source, &set);
            async move { newest(store, source, set, &task).await.unwrap().map(|root| root.checkpoint["step"].clone()) }
        };
        assert_eq!((newest("one").await, newest("two").await), (Some(json!(7)), Some(json!(8))));
        assert_eq!(newest("three").await, None);
    }
}
