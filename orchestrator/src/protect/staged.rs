//! What was staged goes once its version is committed: every object that the version names was proven as it was uploaded, and
//! looked for once more before the manifest. What is left behind here is garbage, which collection finds.
//!
//! Before a capture of an earlier run is consolidated, all of it must be there: a task that was not known for long may have been
//! collected. A file that is gone would otherwise look like one that cannot be read, and cost its partition.

use std::collections::HashMap;

use futures::{StreamExt as _, TryStreamExt as _, future};
use object_store::path::Path;
use tidemark_catalog::{layout, marks::Marked, slice::SliceManifest, stored::StoredRef};
use tidemark_gateway::{causes, retry};

use super::Job;
use crate::failure::{self, Failure};

impl Job<'_> {
    /// Deletes what this task staged, unless the policy keeps it. The version stands whatever becomes of it, so that a failure is only logged.
    pub(super) async fn clear_staged(&self) {
        if self.policy.keep_staged {
            return;
        }
        let prefix = layout::staged_task(&self.source_id, &self.context.task.id);
        match self.delete_below(&prefix).await {
            Ok(0) => {}
            Ok(objects) => {
                tracing::info!(source_id = %self.source_id, objects, "staged objects of the version deleted")
            }
            Err(error) => {
                let error = causes::joined(&error);
                tracing::warn!(source_id = %self.source_id, %prefix, error, "staged objects are left to collection");
            }
        }
    }

    /// Refuses slices of which a file is gone, has another size, or is marked by collection.
    ///
    /// # Errors
    /// `TM-PROT-0009`; where the store cannot be listed.
    pub(super) async fn require_staged(&self, slices: &[SliceManifest], marked: &Marked) -> Result<(), Failure> {
        let prefix = layout::staged_task(&self.source_id, &self.context.task.id);
        let listed = self.store.objects.list(Some(&prefix)).map_ok(|meta| (meta.location.to_string(), meta.size));
        let listed = listed.try_collect::<HashMap<String, u64>>().await;
        let listed =
            listed.map_err(|error| failure::catalog::store("TM-CAT-0006", &error, retry::is_transient(&error)))?;
        let files = slices.iter().flat_map(|slice| &slice.objects).flat_map(|object| &object.files);
        let mut named = files.map(|file| &file.stored).chain(slices.iter().map(|slice| &slice.info));
        let gone =
            |stored: &&StoredRef| listed.get(&stored.key) != Some(&stored.size) || marked.contains(&stored.path());
        match named.find(gone) {
            None => Ok(()),
            Some(gone) => {
                let words = format!("{}, which an earlier run captured, was collected or is gone", gone.key);
                Err(Failure::permanent("TM-PROT-0009", words).with_hint("run the policy again: it captures anew"))
            }
        }
    }

    /// Deletes every object of a task but what belongs to its record; gives how many.
    async fn delete_below(&self, prefix: &Path) -> Result<usize, object_store::Error> {
        let objects = &self.store.objects;
        let parts = layout::task_parts(&self.source_id, &self.context.task.id);
        let names = objects.list(Some(prefix)).try_filter_map(move |meta| {
            let keep = (!meta.location.prefix_matches(&parts)).then_some(meta.location);
            future::ready(Ok(keep))
        });
        let names = names.boxed();
        let mut deleted = 0;
        let mut deletions = objects.delete_stream(names);
        while let Some(done) = deletions.next().await {
            match done {
                Ok(_) => deleted += 1,
                // Another run of this task is at it too.
                Err(object_store::Error::NotFound { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(deleted)
    }
}
