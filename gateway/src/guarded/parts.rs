//! An upload in parts, of which each request is tried again by itself.

use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use futures::FutureExt;
use object_store::{
    MultipartId, MultipartUpload, PutPayload, PutResult, Result, UploadPart,
    multipart::{MultipartStore, PartId},
    path::Path,
};

use super::Guarded;

pub(super) struct Parts {
    guarded: Guarded,
    upload: Arc<Upload>,
    /// Of the next part.
    number: usize,
}

struct Upload {
    store: Arc<dyn MultipartStore>,
    path: Path,
    id: MultipartId,
    /// By number; none while a part is not acknowledged.
    parts: Mutex<Vec<Option<PartId>>>,
}

impl Parts {
    pub(super) fn new(guarded: Guarded, store: Arc<dyn MultipartStore>, path: Path, id: MultipartId) -> Self {
        Self { guarded, upload: Arc::new(Upload { store, path, id, parts: Mutex::default() }), number: 0 }
    }
}

impl Upload {
    fn acknowledged(&self, number: usize, part: PartId) {
        let mut parts = self.parts.lock().unwrap_or_else(PoisonError::into_inner);
        let count = parts.len().max(number + 1);
        parts.resize(count, None);
        parts[number] = Some(part);
    }

    /// All `count` parts in their order.
    fn all(&self, count: usize) -> Result<Vec<PartId>> {
        let parts = self.parts.lock().unwrap_or_else(PoisonError::into_inner);
        let all = (0..count).map(|number| parts.get(number).cloned().flatten());
        let lacks = || object_store::Error::Generic {
            store: "S3",
            source: format!("the upload of {} lacks a part", self.path).into(),
        };
        all.collect::<Option<_>>().ok_or_else(lacks)
    }
}

impl std::fmt::Debug for Parts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Parts").field("path", &self.upload.path).field("id", &self.upload.id).finish_non_exhaustive()
    }
}

#[async_trait]
impl MultipartUpload for Parts {
    fn put_part(&mut self, data: PutPayload) -> UploadPart {
        let (guarded, upload, number) = (self.guarded.clone(), Arc::clone(&self.upload), self.number);
        self.number += 1;
        async move {
            let Upload { store, path, id, .. } = upload.as_ref();
            let part = guarded
                .repeat("part", data.content_length(), || store.put_part(path, id, number, data.clone()))
                .await?;
            upload.acknowledged(number, part);
            Ok(())
        }
        .boxed()
    }

    /// Where an answer was lost that told of success, the store knows the upload no more: what it holds then decides.
    async fn complete(&mut self) -> Result<PutResult> {
        let Upload { store, path, id, .. } = self.upload.as_ref();
        let parts = self.upload.all(self.number)?;
        self.guarded.repeat("complete", 0, || store.complete_multipart(path, id, parts.clone())).await
    }

    async fn abort(&mut self) -> Result<()> {
        let Upload { store, path, id, .. } = self.upload.as_ref();
        self.guarded.repeat("abort", 0, || store.abort_multipart(path, id)).await
    }
}
