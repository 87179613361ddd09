//! The place of one partition's capture in the store, `staged/<task>/<partition>/`, and the documents in it.

use std::sync::Arc;

use bytes::Bytes;
use jiff::Timestamp;
use object_store::{ObjectStore, path::Path};
use tidemark_catalog::{
    document::{self, Document},
    ids::{FencingToken, SourceId, TaskId},
    layout,
    slice::{SliceManifest, SliceObject},
    stored::StoredRef,
};
use tidemark_gateway::{Stored, fetch};

use super::Error;
use crate::assignment::Assignment;

/// The partition's own description, beside the slice manifest.
const INFO: &str = "info.json";

/// The slice manifest: written last.
const SLICE: &str = "slice.json";

/// The place of one partition's capture in the store: the same in every run of the task, and nobody else's.
pub struct Stage {
    pub(super) store: Arc<dyn ObjectStore>,
    source: SourceId,
    task: TaskId,
    pub(super) token: FencingToken,
    partition: String,
    prefix: Path,
}

/// What was captured of a partition.
pub struct Captured {
    /// Wall time of the partition's host right before the capture point: everything acknowledged until then is in.
    pub started: Timestamp,
    /// Wall time right after it.
    pub finished: Timestamp,
    /// The objects, in any order.
    pub objects: Vec<SliceObject>,
}

impl Stage {
    /// The place of `partition` in the assignment's task. `partition` is a safe part of a path: lower-case letters, digits and
    /// `-`; the same text means the same partition in every task of the source.
    pub fn new<W>(store: Arc<dyn ObjectStore>, assignment: &Assignment<W>, partition: &str) -> Self {
        let Assignment { source, task, token, .. } = assignment;
        let prefix = layout::staged(source, task, partition);
        let (source, task, partition) = (source.clone(), task.clone(), partition.to_owned());
        Self { store, source, task, token: *token, partition, prefix }
    }

    /// The document `name` in this place.
    fn path(&self, name: &str) -> Path {
        Path::from(format!("{}/{name}", self.prefix))
    }

    /// Where the files of an object are, whichever claim of the task stored them.
    pub(super) fn folder(&self, folder: &str) -> Path {
        layout::staged_folder(&self.prefix, folder)
    }

    /// The answer of an earlier run to `step`, where there is one.
    ///
    /// # Errors
    /// [`Error::ReadStage`].
    pub async fn answered(&self, step: u32) -> Result<Option<StoredRef>, Error> {
        let name = step_name(step);
        let found = self.find(&name).await?;
        Ok(found.map(|bytes| StoredRef::new(&self.path(&name), Stored::of(&bytes))))
    }

    /// Stores the answer to `step`, `step-<step>.json`. Of two runs that answer at once only one has its answer stored: what
    /// the source compares is what later steps read.
    ///
    /// # Errors
    /// [`Error::WriteDocument`], retryable where another run was faster.
    pub async fn answer(&self, step: u32, answer: &(impl Document + Sync)) -> Result<StoredRef, Error> {
        self.create(&step_name(step), answer).await
    }

    /// Reads the stored answer to `step` back.
    ///
    /// # Errors
    /// [`Error::StagedOther`] where there is none; else as the store or the document fails.
    pub async fn recall<D: Document>(&self, step: u32) -> Result<D, Error> {
        let name = step_name(step);
        let bytes = self.find(&name).await?.ok_or_else(|| self.strange(step))?;
        document::decode(&self.path(&name), &bytes).map_err(Error::StagedDocument)
    }

    /// The failure of a step whose stored answer is not what this run can have asked for.
    pub fn strange(&self, step: u32) -> Error {
        Error::StagedOther { path: self.path(&step_name(step)) }
    }

    /// The slice manifest of an earlier run that came to its end, where there is one.
    ///
    /// # Errors
    /// [`Error::StagedOther`] where it is of another source, task or partition; else as the store or the document fails.
    pub async fn done(&self) -> Result<Option<StoredRef>, Error> {
        let Some(bytes) = self.find(SLICE).await? else { return Ok(None) };
        let path = self.path(SLICE);
        let slice: SliceManifest = document::decode(&path, &bytes).map_err(Error::StagedDocument)?;
        if (&slice.source, &slice.task, &slice.partition) != (&self.source, &self.task, &self.partition) {
            return Err(Error::StagedOther { path });
        }
        tracing::info!(task = %slice.task, "the task is done already");
        Ok(Some(StoredRef::new(&path, Stored::of(&bytes))))
    }

    /// Stores the partition's description of itself, then the slice manifest, objects sorted by name; returns the manifest's
    /// reference. Everything that the objects name must be stored before the call. `info` is the same in every run of the task:
    /// a run that finds another one stored has failed.
    ///
    /// # Errors
    /// [`Error::WriteDocument`], retryable where another run was faster.
    pub async fn finish(&self, info: &(impl Document + Sync), captured: Captured) -> Result<StoredRef, Error> {
        let info = self.create(INFO, info).await?;
        let Captured { started, finished, mut objects } = captured;
        objects.sort_by(|a, b| a.object.cmp(&b.object));
        let slice = SliceManifest {
            source: self.source.clone(),
            task: self.task.clone(),
            token: self.token,
            partition: self.partition.clone(),
            started,
            finished,
            objects,
            info,
        };
        self.create(SLICE, &slice).await
    }

    /// The bytes of an object, where it exists.
    async fn find(&self, name: &str) -> Result<Option<Bytes>, Error> {
        match fetch::get_unchecked(&self.store, &self.path(name)).await {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if error.is_absent() => Ok(None),
            Err(error) => Err(Error::ReadStage(error)),
        }
    }

    async fn create(&self, name: &str, value: &(impl Document + Sync)) -> Result<StoredRef, Error> {
        document::write(&self.store, &self.path(name), value).await.map_err(Error::WriteDocument)
    }
}

fn step_name(step: u32) -> String {
    format!("step-{step}.json")
}

#[cfg(test)]
mod tests {
    use object_store::memory::InMemory;
    use serde::{Deserialize, Serialize};
    use serde_json::json;
    use tidemark_catalog::ids::ObjectName;

    use super::*;

    /// What a partition says of itself.
    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Words(String);

    impl Document for Words {
        const KIND: &'static str = "words";
    }

    fn stage(store: &Arc<dyn ObjectStore>, token: &str, partition: &str) -> Stage {
        let assignment = json!({
            "id": "a", "source": "s", "task": "t", "token": token, "repository": "r", "work": null,
        });
        let assignment: Assignment<()> = serde_json::from_value(assignment).unwrap();
        Stage::new(Arc::clone(store), &assignment, partition)
    }

    fn captured(names: &[&str]) -> Captured {
        let line = |name: &&str| {
            let object: ObjectName = name.parse().unwrap();
            SliceObject { object, object_id: "1".to_owned(), unreadable: None, files: Vec::new() }
        };
        let objects = names.iter().map(line).collect();
        Captured { started: Timestamp::UNIX_EPOCH, finished: Timestamp::UNIX_EPOCH, objects }
    }

    #[tokio::test]
    async fn a_step_has_one_answer_whoever_of_two_runs_stores_it() {
        let store: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
        let (stale, next) = (stage(&store, "1-1", "p"), stage(&store, "1-2", "p"));
        assert_eq!(next.answered(0).await.unwrap(), None);
        assert!(matches!(next.recall::<Words>(0).await, Err(Error::StagedOther { .. })));
        let first = stale.answer(0, &Words("first".to_owned())).await.unwrap();
        let error = next.answer(0, &Words("second".to_owned())).await.unwrap_err();
        assert!(matches!(error, Error::WriteDocument(_)) && error.is_retryable(), "{error}");
        assert_eq!(next.answered(0).await.unwrap(), Some(first));
        assert_eq!(next.recall::<Words>(0).await.unwrap(), Words("first".to_owned()));
    }

    #[tokio::test]
    async fn what_a_run_finished_is_what_the_next_one_answers() {
        let store: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
        let first = stage(&store, "1-1", "p");
        assert_eq!(first.done().await.unwrap(), None);
        let slice = first.finish(&Words("info".to_owned()), captured(&["ks/b", "ks/a"])).await.unwrap();
        assert_eq!(stage(&store, "1-2", "p").done().await.unwrap(), Some(slice.clone()));
        assert_eq!(stage(&store, "1-2", "q").done().await.unwrap(), None);
        let slice: SliceManifest = document::read(&store, &slice).await.unwrap();
        let names: Vec<String> = slice.objects.iter().map(|line| line.object.to_string()).collect();
        assert_eq!((names, slice.partition.as_str()), (vec!["ks/a".to_owned(), "ks/b".to_owned()], "p"));
    }

    #[tokio::test]
    async fn a_slice_of_another_task_is_not_taken_for_this_ones() {
        let store: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
        let other = Stage { task: "u".parse().unwrap(), ..stage(&store, "1-1", "p") };
        other.finish(&Words("info".to_owned()), captured(&[])).await.unwrap();
        let error = stage(&store, "1-1", "p").done().await.unwrap_err();
        assert!(matches!(error, Error::StagedOther { .. }) && !error.is_retryable(), "{error}");
    }
}
