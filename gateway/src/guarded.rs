//! The decorator around every store: requests are tried again within a budget, and only so many run at a time.
//!
//! A conditional create is never tried again here: a failed answer may hide a success, and only the caller knows the bytes
//! to compare ([`crate::upload::put_new`]). Permits are held for the time of a request, not while waiting to try again and
//! not while a body is read: a store that lets nobody write for minutes is waited for by each writer alone, and readers go on.
//! Who waits for bytes of a limit ([`crate::limits`]) holds no permit either; each try is counted. Request metrics have their place
//! in [`Guarded::attempt`]; listings are the client's own.

mod parts;

use std::{fmt, ops::Range, sync::Arc};

use async_trait::async_trait;
use bytes::Bytes;
use futures::{FutureExt, StreamExt, TryStreamExt, stream::BoxStream};
use object_store::{
    CopyMode, CopyOptions, GetOptions, GetResult, GetResultPayload, ListResult, MultipartUpload, ObjectMeta,
    ObjectStore, ObjectStoreExt, PutMode, PutMultipartOptions, PutOptions, PutPayload, PutResult, Result, UploadPart,
    multipart::MultipartStore, path::Path,
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use self::parts::Parts;
use crate::{
    Env,
    limits::{Limits, Queue, Running},
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
    /// All of them bind; the last ones are waited for first.
    limits: Vec<Limits>,
    env: Env,
}

impl Guarded {
    pub(crate) fn new(inner: Arc<dyn ObjectStore>, requests: usize, retry: Option<Retry>, env: Env) -> Self {
        let (heads, permits) = (Arc::clone(&inner), Arc::new(Semaphore::new(requests)));
        Self { heads, inner, parts: None, permits, retry, limits: Vec::new(), env }
    }

    /// The same with another client of the same store for requests without a body.
    pub(crate) fn with_heads(self, heads: Arc<dyn ObjectStore>) -> Self {
        Self { heads, ..self }
    }

    /// The same with the calls for parts of the same store.
    pub(crate) fn with_parts(self, parts: Arc<dyn MultipartStore>) -> Self {
        Self { parts: Some(parts), ..self }
    }

    /// The same under one more limit, which may be that of other stores too.
    pub(crate) fn with_limits(mut self, limits: Limits) -> Self {
        self.limits.push(limits);
        self
    }

    /// The same under no limit.
    pub(crate) fn without_limits(self) -> Self {
        Self { limits: Vec::new(), ..self }
    }

    /// Waits until so many bytes are within all limits.
    async fn take(&self, bytes: u64) {
        for limits in self.limits.iter().rev() {
            limits.take(bytes, &self.env).await;
        }
    }

    /// Waits until one more request is within all limits. The place in a further one, which fewer share, is taken first: who waits
    /// for it holds up nobody else.
    async fn enter(&self) -> (Vec<Running>, OwnedSemaphorePermit) {
        let mut running = Vec::with_capacity(self.limits.len());
        for limits in self.limits.iter().rev() {
            running.push(limits.enter().await);
        }
        let permit = Arc::clone(&self.permits).acquire_owned().await.expect("the semaphore is never closed");
        (running, permit)
    }

    /// One try of a request that sends so many bytes. `queue` hears when it waits for its turn.
    async fn attempt<T>(&self, sent: usize, queue: &Queue, request: impl Future<Output = Result<T>>) -> Result<T> {
        let turn = async {
            self.take(sent as u64).await;
            self.enter().await
        };
        let _running = queue.during(turn).await;
        request.await
    }

    async fn repeat<T, F: Future<Output = Result<T>>>(
        &self,
        operation: &str,
        sent: usize,
        mut request: impl FnMut() -> F,
    ) -> Result<T> {
        let queue = Queue::default();
        let Some(retry) = &self.retry else { return self.attempt(sent, &queue, request()).await };
        let mut tries = Tries::new(retry, &self.env);
        loop {
            let error = match self.attempt(sent, &queue, request()).await {
                Err(error) if is_transient(&error) => error,
                other => return other,
            };
            let Some(wait) = tries.next_wait() else { return Err(error) };
            tracing::debug!(operation, store = %self.inner, wait_millis = wait.as_millis() as u64, %error, "try again");
            tokio::time::sleep(wait).await;
        }
    }
}

impl Guarded {
    /// The answer to a read, whose bytes are counted before they are handed on; a file at once, before it is opened to the reader.
    async fn counted(&self, answer: GetResult) -> GetResult {
        let stream = match answer.payload {
            GetResultPayload::Stream(stream) => stream,
            payload => {
                self.take(answer.range.end - answer.range.start).await;
                return GetResult { payload, ..answer };
            }
        };
        let this = self.clone();
        let counted = stream.and_then(move |bytes| {
            let this = this.clone();
            async move {
                this.take(bytes.len() as u64).await;
                Ok(bytes)
            }
        });
        GetResult { payload: GetResultPayload::Stream(counted.boxed()), ..answer }
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
        let sent = payload.content_length();
        if matches!(opts.mode, PutMode::Overwrite) {
            return self.repeat("put", sent, || self.inner.put_opts(location, payload.clone(), opts.clone())).await;
        }
        let queue = opts.extensions.get::<Queue>().cloned().unwrap_or_default();
        self.attempt(sent, &queue, self.inner.put_opts(location, payload, opts)).await
    }

    async fn put_multipart_opts(&self, location: &Path, opts: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        // A start whose answer was lost leaves an empty upload behind; the store's own clean-up rule ends it.
        let Some(parts) = &self.parts else {
            let upload = self.repeat("multipart", 0, || self.inner.put_multipart_opts(location, opts.clone())).await?;
            return Ok(Box::new(GuardedUpload { inner: upload, guarded: self.clone() }));
        };
        let id = self.repeat("multipart", 0, || parts.create_multipart_opts(location, opts.clone())).await?;
        Ok(Box::new(Parts::new(self.clone(), parts.clone(), location.clone(), id)))
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        let store = if options.head { &self.heads } else { &self.inner };
        let answer = self.repeat("get", 0, || store.get_opts(location, options.clone())).await?;
        Ok(if options.head { answer } else { self.counted(answer).await })
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        let answer = self.repeat("get_ranges", 0, || self.inner.get_ranges(location, ranges)).await?;
        let read = answer.iter().map(|bytes| bytes.len() as u64).sum();
        self.take(read).await;
        Ok(answer)
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        // One by one: a failed bulk request does not say which of its names are gone.
        let this = self.clone();
        locations
            .and_then(move |path| {
                let this = this.clone();
                async move {
                    this.repeat("delete", 0, || this.inner.delete(&path)).await?;
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
        self.repeat("list", 0, || self.inner.list_with_delimiter(prefix)).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        if matches!(options.mode, CopyMode::Overwrite) {
            return self.repeat("copy", 0, || self.inner.copy_opts(from, to, options.clone())).await;
        }
        self.attempt(0, &Queue::default(), self.inner.copy_opts(from, to, options)).await
    }
}

/// Parts of an upload under the store's bound on requests at a time.
#[derive(Debug)]
struct GuardedUpload {
    inner: Box<dyn MultipartUpload>,
    guarded: Guarded,
}

#[async_trait]
impl MultipartUpload for GuardedUpload {
    fn put_part(&mut self, data: PutPayload) -> UploadPart {
        let (guarded, sent) = (self.guarded.clone(), data.content_length());
        let part = self.inner.put_part(data);
        async move { guarded.attempt(sent, &Queue::default(), part).await }.boxed()
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
