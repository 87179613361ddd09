use std::fmt;

use async_trait::async_trait;
use futures::stream::BoxStream;
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, PutMode, PutMultipartOptions,
    PutOptions, PutPayload, PutResult, Result as Answer, memory::InMemory,
};

use super::*;

/// A store that breaks one promise.
#[derive(Debug)]
struct Broken {
    inner: InMemory,
    fault: Fault,
}

#[derive(Debug, PartialEq)]
enum Fault {
    /// Ignores the create-only condition.
    Overwrites,
    /// Looks first and writes then.
    Races,
    /// Says that it exists, and overwrites.
    RefusesButWrites,
    /// Gives other bytes back.
    Flips,
    /// Lists nothing.
    Hides,
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.fault)
    }
}

#[async_trait]
impl ObjectStore for Broken {
    async fn put_opts(&self, path: &Path, mut payload: PutPayload, opts: PutOptions) -> Answer<PutResult> {
        let overwrite = PutOptions::from(PutMode::Overwrite);
        match self.fault {
            Fault::Overwrites => self.inner.put_opts(path, payload, overwrite).await,
            Fault::Races => {
                let exists = self.inner.get_opts(path, GetOptions::default()).await.is_ok();
                tokio::task::yield_now().await;
                let opts = if exists { opts } else { overwrite };
                self.inner.put_opts(path, payload, opts).await
            }
            Fault::RefusesButWrites => {
                let answer = self.inner.put_opts(path, payload.clone(), opts).await;
                self.inner.put_opts(path, payload, overwrite).await?;
                answer
            }
            Fault::Flips => {
                let mut bytes: Vec<u8> = payload.iter().flatten().copied().collect();
                bytes.iter_mut().for_each(|b| *b ^= 1);
                payload = bytes.into();
                self.inner.put_opts(path, payload, opts).await
            }
            Fault::Hides => self.inner.put_opts(path, payload, opts).await,
        }
    }

    async fn put_multipart_opts(&self, path: &Path, opts: PutMultipartOptions) -> Answer<Box<dyn MultipartUpload>> {
        self.inner.put_multipart_opts(path, opts).await
    }

    async fn get_opts(&self, path: &Path, options: GetOptions) -> Answer<GetResult> {
        self.inner.get_opts(path, options).await
    }

    fn delete_stream(&self, paths: BoxStream<'static, Answer<Path>>) -> BoxStream<'static, Answer<Path>> {
        self.inner.delete_stream(paths)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Answer<ObjectMeta>> {
        match self.fault {
            Fault::Hides => Box::pin(futures::stream::empty()),
            _ => self.inner.list(prefix),
        }
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Answer<ListResult> {
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Answer<()> {
        self.inner.copy_opts(from, to, options).await
    }
}

async fn refused(fault: Fault) -> (&'static str, String) {
    let store: Arc<dyn ObjectStore> = Arc::new(Broken { inner: InMemory::new(), fault });
    let error = run(&store, &Env::system()).await.unwrap_err();
    assert!(!error.is_retryable());
    (error.property(), error.to_string())
}

#[tokio::test]
async fn each_broken_promise_is_named() {
    let cases = [
        (Fault::Overwrites, "create-only", "second creator of an existing name"),
        (Fault::Races, "create-race", "two creators of one name both win"),
        (Fault::RefusesButWrites, "create-only", "changed the object"),
        (Fault::Flips, "write-read", "reads back other"),
        (Fault::Hides, "list-after-write", "is not listed"),
    ];
    for (fault, property, reason) in cases {
        let found = refused(fault).await;
        assert!(found.0 == property && found.1.contains(reason), "{property}: {found:?}");
    }
}

#[tokio::test]
async fn a_good_store_passes_and_is_left_clean() {
    let store: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
    let report = run(&store, &Env::system()).await.unwrap();
    assert!(report.lines.len() == 8 && report.lines.iter().all(|l| l.outcome == Outcome::Passed), "{report}");
    assert!(store.list_with_delimiter(None).await.unwrap().common_prefixes.is_empty());
}
