//! A store that misbehaves on creates as real ones were seen to, and lets writers meet.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use futures::{StreamExt, TryStreamExt, stream::BoxStream};
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, Result, path::Path,
};
use tidemark_gateway::Env;

/// What happens to a create.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Nothing.
    None,
    /// It lands, and the answer is 500.
    LandsSays500,
    /// It lands, and no answer comes.
    LandsHangs,
    /// No answer comes, and it lands after the caller has given up.
    LandsLate,
    /// It does not land, and the answer is that the name exists.
    Absent409,
    /// It does not land, and the answer is 503.
    Absent503,
}

const FAULTS: [Fault; 6] =
    [Fault::None, Fault::LandsSays500, Fault::LandsHangs, Fault::LandsLate, Fault::Absent409, Fault::Absent503];

/// Picks a fault for each create: the scheduled ones first, then at random, or none.
#[derive(Debug)]
pub(crate) struct FaultyStore {
    inner: Arc<dyn ObjectStore>,
    scheduled: std::sync::Mutex<Vec<Fault>>,
    random: Option<Env>,
    late: Duration,
    creates: AtomicUsize,
    reads: AtomicUsize,
    /// Lists know nothing of objects whose names end so.
    unlisted: Option<&'static str>,
}

impl FaultyStore {
    /// Faults in this order, then none.
    pub(crate) fn scheduled(inner: Arc<dyn ObjectStore>, mut faults: Vec<Fault>, late: Duration) -> Self {
        faults.reverse();
        let (creates, reads) = (AtomicUsize::new(0), AtomicUsize::new(0));
        Self { inner, scheduled: faults.into(), random: None, late, creates, reads, unlisted: None }
    }

    /// Each create draws a fault, evenly.
    pub(crate) fn random(inner: Arc<dyn ObjectStore>, env: Env, late: Duration) -> Self {
        Self { random: Some(env), ..Self::scheduled(inner, Vec::new(), late) }
    }

    /// Without faults but in lists, which lag behind for objects whose names end so.
    pub(crate) fn lagging(inner: Arc<dyn ObjectStore>, unlisted: &'static str) -> Self {
        Self { unlisted: Some(unlisted), ..Self::scheduled(inner, Vec::new(), Duration::ZERO) }
    }

    /// How many creates were asked for.
    pub(crate) fn creates(&self) -> usize {
        self.creates.load(Ordering::SeqCst)
    }

    /// How many objects were asked for.
    pub(crate) fn reads(&self) -> usize {
        self.reads.load(Ordering::SeqCst)
    }

    fn draw(&self) -> Fault {
        match (self.scheduled.lock().unwrap().pop(), &self.random) {
            (Some(fault), _) => fault,
            (None, Some(env)) => FAULTS[usize::from(env.random::<1>()[0]) % FAULTS.len()],
            (None, None) => Fault::None,
        }
    }

    fn status(code: u16) -> Error {
        Error::Generic { store: "faulty", source: format!("Server returned non-2xx status code: {code}").into() }
    }
}

impl fmt::Display for FaultyStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "faulty {}", self.inner)
    }
}

#[async_trait]
impl ObjectStore for FaultyStore {
    async fn put_opts(&self, path: &Path, payload: PutPayload, opts: PutOptions) -> Result<PutResult> {
        self.creates.fetch_add(1, Ordering::SeqCst);
        // A store in memory answers at once; others get their turn here, so that writers meet.
        tokio::task::yield_now().await;
        match self.draw() {
            Fault::None => self.inner.put_opts(path, payload, opts).await,
            Fault::LandsSays500 => {
                self.inner.put_opts(path, payload, opts).await?;
                Err(Self::status(500))
            }
            Fault::LandsHangs => {
                self.inner.put_opts(path, payload, opts).await?;
                std::future::pending().await
            }
            Fault::LandsLate => {
                let (inner, path, late) = (self.inner.clone(), path.clone(), self.late);
                tokio::spawn(async move {
                    tokio::time::sleep(late).await;
                    inner.put_opts(&path, payload, opts).await
                });
                std::future::pending().await
            }
            Fault::Absent409 => Err(Error::AlreadyExists { path: path.to_string(), source: "409 Conflict".into() }),
            Fault::Absent503 => Err(Self::status(503)),
        }
    }

    async fn put_multipart_opts(&self, path: &Path, opts: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        self.inner.put_multipart_opts(path, opts).await
    }

    async fn get_opts(&self, path: &Path, options: GetOptions) -> Result<GetResult> {
        tokio::task::yield_now().await;
        self.reads.fetch_add(1, Ordering::SeqCst);
        self.inner.get_opts(path, options).await
    }

    fn delete_stream(&self, paths: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        self.inner.delete_stream(paths)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        let unlisted = self.unlisted;
        let listed = move |meta: &ObjectMeta| unlisted.is_none_or(|end| !meta.location.as_ref().ends_with(end));
        self.inner.list(prefix).try_filter(move |meta| std::future::ready(listed(meta))).boxed()
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.inner.copy_opts(from, to, options).await
    }
}
