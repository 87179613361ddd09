//! A store that answers reads, and for three minutes says of writes that they come too fast.

use std::{
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    time::Duration,
};

use futures::future::join_all;
use jiff::Timestamp;
use object_store::{
    Error, MultipartId,
    memory::InMemory,
    multipart::{MultipartStore, PartId},
};

use super::*;
use crate::{
    Stored, fetch,
    upload::{self, UploadOptions},
};

const THROTTLED: Duration = Duration::from_secs(180);

#[derive(Debug)]
struct Throttled {
    inner: InMemory,
    throttles: AtomicBool,
    /// The one kind of request that is turned away; all that write where there is none.
    only: Option<&'static str>,
    turned_away: AtomicUsize,
}

impl Throttled {
    fn new(only: Option<&'static str>) -> Arc<Self> {
        Arc::new(Self { inner: InMemory::new(), throttles: true.into(), only, turned_away: 0.into() })
    }

    /// Turns away, or lets pass.
    fn write(&self, kind: &str) -> Result<()> {
        if !self.throttles.load(Ordering::SeqCst) || self.only.is_some_and(|only| only != kind) {
            return Ok(());
        }
        self.turned_away.fetch_add(1, Ordering::SeqCst);
        let text = "Server returned non-2xx status code: 503 Service Unavailable: <Code>SlowDown</Code>";
        Err(Error::Generic { store: "S3", source: text.into() })
    }
}

impl fmt::Display for Throttled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("throttled")
    }
}

#[async_trait]
impl ObjectStore for Throttled {
    async fn put_opts(&self, path: &Path, payload: PutPayload, opts: PutOptions) -> Result<PutResult> {
        self.write("put")?;
        self.inner.put_opts(path, payload, opts).await
    }

    async fn put_multipart_opts(&self, _: &Path, _: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        unreachable!("parts are put one by one")
    }

    async fn get_opts(&self, path: &Path, options: GetOptions) -> Result<GetResult> {
        self.inner.get_opts(path, options).await
    }

    fn delete_stream(&self, paths: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        self.inner.delete_stream(paths)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.inner.list(prefix)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.inner.copy_opts(from, to, options).await
    }
}

#[async_trait]
impl MultipartStore for Throttled {
    async fn create_multipart(&self, path: &Path) -> Result<MultipartId> {
        self.write("start")?;
        self.inner.create_multipart(path).await
    }

    async fn put_part(&self, path: &Path, id: &MultipartId, number: usize, data: PutPayload) -> Result<PartId> {
        self.write("part")?;
        self.inner.put_part(path, id, number, data).await
    }

    async fn complete_multipart(&self, path: &Path, id: &MultipartId, parts: Vec<PartId>) -> Result<PutResult> {
        self.write("complete")?;
        self.inner.complete_multipart(path, id, parts).await
    }

    async fn abort_multipart(&self, path: &Path, id: &MultipartId) -> Result<()> {
        self.inner.abort_multipart(path, id).await
    }
}

/// Uploads `count` objects of `bytes` at a time through two permits, while somebody reads once a second; the reads that had
/// their answer within a second.
async fn upload_through(only: Option<&'static str>, count: usize, bytes: usize) -> usize {
    let throttled = Throttled::new(only);
    throttled.inner.put(&"read".into(), "x".into()).await.unwrap();
    let env = Env::seeded(7, Timestamp::UNIX_EPOCH);
    let guarded = Guarded::new(throttled.clone(), 2, Some(Retry::default()), env).with_parts(throttled.clone());
    let store: Arc<dyn ObjectStore> = Arc::new(guarded);
    let body = vec![7; bytes];
    let options = UploadOptions { part_bytes: 10, in_flight: 4 };
    let paths: Vec<_> = (0..count).map(|number| Path::from(format!("{number}"))).collect();
    let uploads = join_all(paths.iter().map(|path| upload::put_reader_new(&store, path, &body[..], &options, |_| {})));
    let (uploaded, reads) = tokio::join!(uploads, reads(&store, &throttled));
    assert!(throttled.turned_away.load(Ordering::SeqCst) >= count, "nothing was throttled");
    for (path, stored) in paths.iter().zip(uploaded) {
        assert_eq!(stored.unwrap(), Stored::of(&body), "{path}");
        assert_eq!(fetch::get_unchecked(&store, path).await.unwrap(), body);
    }
    reads
}

/// Reads once a second until the store takes writes again, and a little longer.
async fn reads(store: &Arc<dyn ObjectStore>, throttled: &Throttled) -> usize {
    let second = Duration::from_secs(1);
    let mut answered = 0;
    for elapsed in 1..=THROTTLED.as_secs() + 20 {
        tokio::time::sleep(second).await;
        throttled.throttles.store(elapsed < THROTTLED.as_secs(), Ordering::SeqCst);
        let read = tokio::time::timeout(second, store.get(&"read".into())).await;
        answered += usize::from(read.is_ok_and(|read| read.is_ok()));
    }
    answered
}

#[tokio::test(start_paused = true)]
async fn three_minutes_without_writes_fail_no_upload_and_no_read_waits() {
    let all = THROTTLED.as_secs() as usize + 20;
    assert_eq!(upload_through(None, 20, 5).await, all, "single creates");
    assert_eq!(upload_through(None, 5, 95).await, all, "uploads in parts");
    for only in ["start", "part", "complete"] {
        assert_eq!(upload_through(Some(only), 5, 95).await, all, "{only} alone");
    }
}

#[tokio::test(start_paused = true)]
async fn a_create_is_given_up_once_its_budget_is_spent() {
    let throttled = Throttled::new(None);
    let store: Arc<dyn ObjectStore> = throttled.clone();
    let path = Path::from("a");
    let create = upload::put_new(&store, &path, "x");
    let error = tokio::time::timeout(Duration::from_secs(16 * 60), create).await.unwrap().unwrap_err();
    assert!(error.is_retryable() && throttled.turned_away.load(Ordering::SeqCst) > 50, "{error}");
}

#[tokio::test]
async fn an_upload_that_lacks_a_part_is_not_completed() {
    let throttled = Throttled::new(Some("nothing"));
    let guarded = Guarded::new(throttled.clone(), 2, None, Env::system()).with_parts(throttled);
    let mut upload = guarded.put_multipart(&"a".into()).await.unwrap();
    drop(upload.put_part("lost".into()));
    upload.put_part("kept".into()).await.unwrap();
    let error = upload.complete().await.unwrap_err();
    assert!(error.to_string().contains("lacks a part"), "{error}");
    upload.abort().await.unwrap();
}
