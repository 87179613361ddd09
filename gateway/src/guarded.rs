//! The decorator around every store: requests are tried again within a budget, and only so many run at a time.
//!
//! A conditional create is never tried again here: a failed answer may hide a success, and only the caller knows the bytes
//! to compare ([`crate::upload::put_new`]). Permits are held for the time of a request, not while waiting to try again and
//! not while a body is read: a store that lets nobody write for minutes is waited for by each writer alone, and readers go on.
//! Request metrics have their place in [`Guarded::attempt`]; listings are the client's own.

mod parts;

use std::{fmt, ops::Range, sync::Arc};

use async_trait::async_trait;
use bytes::Bytes;
use futures::{FutureExt, StreamExt, TryStreamExt, stream::BoxStream};
use object_store::{
    CopyMode, CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore, ObjectStoreExt,
    PutMode, PutMultipartOptions, PutOptions, PutPayload, PutResult, Result, UploadPart, multipart::MultipartStore,
    path::Path,
};
use tokio::sync::Semaphore;

use self::parts::Parts;
use crate::{
    Env,
    retry::{Retry, Tries, is_transient},
};

/// A store with a bound on requests at a time, and with retry where a network lies between.
#[derive(Clone)]
pub(crate) struct Guarded {
    inner: Arc<dyn ObjectStore>,
    /// The same store, by a client for requests without a body.
    heads: Arc<dyn ObjectStore>,
    /// The same store, where it takes parts one by one: each is then tried again by itself.
    parts: Option<Arc<dyn MultipartStore>>,
    permits: Arc<Semaphore>,
    retry: Option<Retry>,
    env: Env,
}

impl Guarded {
    pub(crate) fn new(inner: Arc<dyn ObjectStore>, requests: usize, retry: Option<Retry>, env: Env) -> Self {
        let (heads, permits) = (Arc::clone(&inner), Arc::new(Semaphore::new(requests)));
        Self { heads, inner, parts: None, permits, retry, env }
    }

    /// The same with another client of the same store for requests without a body.
    pub(crate) fn with_heads(self, heads: Arc<dyn ObjectStore>) -> Self {
        Self { heads, ..self }
    }

    /// The same with the calls for parts of the same store.
    pub(crate) fn with_parts(self, parts: Arc<dyn MultipartStore>) -> Self {
        Self { parts: Some(parts), ..self }
    }

    async fn attempt<T>(&self, request: impl Future<Output = Result<T>>) -> Result<T> {
        let _permit = self.permits.acquire().await.expect("the semaphore is never closed");
        request.await
    }

    async fn repeat<T, F: Future<Output = Result<T>>>(
        &self,
        operation: &str,
        mut request: impl FnMut() -> F,
    ) -> Result<T> {
        let Some(retry) = &self.retry else { return self.attempt(request()).await };
        let mut tries = Tries::new(retry, &self.env);
        loop {
            let error = match self.attempt(request()).await {
                Err(error) if is_transient(&error) => error,
                other => return other,
            };
            let Some(wait) = tries.next_wait() else { return Err(error) };
            tracing::debug!(operation, store = %self.inner, wait_millis = wait.as_millis() as u64, %error, "try again");
            tokio::time::sleep(wait).await;
        }
    }
}

impl fmt::Debug for Guarded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Guarded").field("inner", &self.inner).finish_non_exhaustive()
    }
}

impl fmt::Display for Guarded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt(f)
    }
}

#[async_trait]
impl ObjectStore for Guarded {
    async fn put_opts(&self, location: &Path, payload: PutPayload, opts: PutOptions) -> Result<PutResult> {
        if matches!(opts.mode, PutMode::Overwrite) {
            return self.repeat("put", || self.inner.put_opts(location, payload.clone(), opts.clone())).await;
        }
        self.attempt(self.inner.put_opts(location, payload, opts)).await
    }

    async fn put_multipart_opts(&self, location: &Path, opts: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        // A start whose answer was lost leaves an empty upload behind; the store's own clean-up rule ends it.
        let Some(parts) = &self.parts else {
            let upload = self.repeat("multipart", || self.inner.put_multipart_opts(location, opts.clone())).await?;
            return Ok(Box::new(GuardedUpload { inner: upload, permits: self.permits.clone() }));
        };
        let id = self.repeat("multipart", || parts.create_multipart_opts(location, opts.clone())).await?;
        Ok(Box::new(Parts::new(self.clone(), parts.clone(), location.clone(), id)))
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        let store = if options.head { &self.heads } else { &self.inner };
        self.repeat("get", || store.get_opts(location, options.clone())).await
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        self.repeat("get_ranges", || self.inner.get_ranges(location, ranges)).await
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        // One by one: a failed bulk request does not say which of its names are gone.
        let this = self.clone();
        locations
            .and_then(move |path| {
                let this = this.clone();
                async move {
                    this.repeat("delete", || this.inner.delete(&path)).await?;
                    Ok(path)
                }
            })
            .boxed()
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        // Each page is tried again by the store's client; a listing as a whole cannot be resumed without skipping names.
        self.inner.list(prefix)
    }

    fn list_with_offset(&self, prefix: Option<&Path>, offset: &Path) -> BoxStream<'static, Result<ObjectMeta>> {
        self.inner.list_with_offset(prefix, offset)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.repeat("list", || self.inner.list_with_delimiter(prefix)).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        if matches!(options.mode, CopyMode::Overwrite) {
            return self.repeat("copy", || self.inner.copy_opts(from, to, options.clone())).await;
        }
        self.attempt(self.inner.copy_opts(from, to, options)).await
    }
}

/// Parts of an upload under the store's bound on requests at a time.
#[derive(Debug)]
struct GuardedUpload {
    inner: Box<dyn MultipartUpload>,
    permits: Arc<Semaphore>,
}

#[async_trait]
impl MultipartUpload for GuardedUpload {
    fn put_part(&mut self, data: PutPayload) -> UploadPart {
        let (part, permits) = (self.inner.put_part(data), self.permits.clone());
        async move {
            let _permit = permits.acquire().await.expect("the semaphore is never closed");
            part.await
        }
        .boxed()
    }

    async fn complete(&mut self) -> Result<PutResult> {
        self.inner.complete().await
    }

    async fn abort(&mut self) -> Result<()> {
        self.inner.abort().await
    }
}

#[cfg(test)]
mod tests;
#[cfg(test)]
mod throttle_tests;
