use std::{
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use futures::future::join_all;
use object_store::{Error, memory::InMemory};

use super::*;

/// Fails the first requests, and counts how many there are in all and at a time.
#[derive(Debug, Default)]
struct Flaky {
    inner: InMemory,
    failing: AtomicUsize,
    status: u16,
    seen: AtomicUsize,
    now: AtomicUsize,
    most: AtomicUsize,
}

impl Flaky {
    fn failing(times: usize, status: u16) -> Arc<Self> {
        Arc::new(Self { failing: times.into(), status, ..Self::default() })
    }

    async fn request<T>(&self, answer: impl Future<Output = Result<T>>) -> Result<T> {
        self.seen.fetch_add(1, Ordering::SeqCst);
        let now = self.now.fetch_add(1, Ordering::SeqCst) + 1;
        self.most.fetch_max(now, Ordering::SeqCst);
        tokio::task::yield_now().await;
        self.now.fetch_sub(1, Ordering::SeqCst);
        let fails = self.failing.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok();
        if fails {
            let source = format!("Server returned non-2xx status code: {}", self.status).into();
            return Err(Error::Generic { store: "flaky", source });
        }
        answer.await
    }

    fn seen(&self) -> usize {
        self.seen.load(Ordering::SeqCst)
    }
}

impl fmt::Display for Flaky {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("flaky")
    }
}

#[async_trait]
impl ObjectStore for Flaky {
    async fn put_opts(&self, path: &Path, payload: PutPayload, opts: PutOptions) -> Result<PutResult> {
        self.request(self.inner.put_opts(path, payload, opts)).await
    }

    async fn put_multipart_opts(&self, path: &Path, opts: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        self.request(self.inner.put_multipart_opts(path, opts)).await
    }

    async fn get_opts(&self, path: &Path, options: GetOptions) -> Result<GetResult> {
        self.request(self.inner.get_opts(path, options)).await
    }

    fn delete_stream(&self, paths: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        self.inner.delete_stream(paths)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.inner.list(prefix)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.request(self.inner.list_with_delimiter(prefix)).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.request(self.inner.copy_opts(from, to, options)).await
    }
}

fn guarded(flaky: &Arc<Flaky>, requests: usize) -> Guarded {
    let retry = Retry {
        budget: Duration::from_millis(200),
        first: Duration::from_millis(1),
        longest: Duration::from_millis(2),
    };
    Guarded::new(flaky.clone(), requests, Some(retry), Env::system())
}

#[tokio::test]
async fn a_busy_store_is_asked_again_until_it_answers() {
    let flaky = Flaky::failing(5, 503);
    let store = guarded(&flaky, 4);
    let path = Path::from("a");
    store.put(&path, "x".into()).await.unwrap();
    assert_eq!(flaky.seen(), 6);
    flaky.failing.store(3, Ordering::SeqCst);
    assert_eq!(store.get(&path).await.unwrap().bytes().await.unwrap(), "x");
    assert_eq!(flaky.seen(), 10);
}

#[tokio::test]
async fn the_last_failure_is_given_once_the_budget_is_spent() {
    let flaky = Flaky::failing(usize::MAX, 503);
    let error = guarded(&flaky, 4).get(&Path::from("a")).await.unwrap_err();
    assert!(is_transient(&error) && flaky.seen() > 10, "{error}: {} requests", flaky.seen());
}

#[tokio::test]
async fn a_refusal_is_given_at_once() {
    let flaky = Flaky::failing(1, 400);
    assert!(guarded(&flaky, 4).get(&Path::from("a")).await.is_err());
    assert!(guarded(&flaky, 4).get(&Path::from("a")).await.is_err_and(|e| matches!(e, Error::NotFound { .. })));
    assert_eq!(flaky.seen(), 2);
}

#[tokio::test]
async fn a_conditional_create_is_never_tried_again() {
    let flaky = Flaky::failing(1, 503);
    let create = guarded(&flaky, 4).put_opts(&Path::from("a"), "x".into(), PutMode::Create.into()).await;
    assert!(create.is_err() && flaky.seen() == 1);
}

#[tokio::test]
async fn no_more_requests_run_at_a_time_than_are_allowed() {
    let flaky = Flaky::failing(0, 503);
    let store = guarded(&flaky, 3);
    let paths: Vec<_> = (0..50).map(|n| Path::from(format!("{n}"))).collect();
    join_all(paths.iter().map(|path| store.put(path, "x".into()))).await;
    assert_eq!((flaky.seen(), flaky.most.load(Ordering::SeqCst)), (50, 3));
}
