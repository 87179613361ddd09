//! A store at which the actors of a race take turns: each call waits until the scheduler lets its actor go on. It keeps the store's
//! clock too, which only the scheduler moves.

use std::{
    collections::HashMap,
    fmt,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    task::{Poll, Waker},
    time::{Duration, SystemTime},
};

use async_trait::async_trait;
use futures::{FutureExt, StreamExt, TryStreamExt, future::poll_fn, stream::BoxStream};
use jiff::Timestamp;
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore, ObjectStoreExt, PutMode,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, Result, path::Path,
};

/// What the stores of all actors share.
#[derive(Debug, Default)]
pub(in crate::collect) struct Shared {
    /// Seconds since 1970.
    now: Mutex<u64>,
    written: Mutex<HashMap<Path, u64>>,
    /// Objects that were read.
    reads: AtomicU64,
    /// Needs blocks that were read.
    blocks_read: AtomicU64,
    /// So many of the newest manifests of each set are not listed.
    lag: AtomicU64,
    /// Reads of what has this in its name are answered by an outage.
    away: Mutex<Option<String>>,
    /// By actor.
    turns: Mutex<HashMap<usize, Turn>>,
}

#[derive(Debug, Default)]
struct Turn {
    granted: bool,
    waiting: Vec<Waker>,
}

impl Shared {
    pub(in crate::collect) fn now(&self) -> Timestamp {
        Timestamp::from_second(*self.now.lock().unwrap() as i64).unwrap()
    }

    /// How many objects were read.
    pub(in crate::collect) fn reads(&self) -> u64 {
        self.reads.load(Ordering::SeqCst)
    }

    /// How many needs blocks were read, and are written.
    pub(in crate::collect) fn count_blocks(&self, mut count: impl FnMut(&'static str, u64)) {
        let written = self.written.lock().unwrap();
        count("a needs block was read", self.blocks_read.load(Ordering::SeqCst));
        count("a needs block was written", written.keys().filter(|path| is_block(path)).count() as u64);
    }

    /// From now on what has this in its name cannot be read, because the store does not answer.
    pub(in crate::collect) fn set_away(&self, part: Option<&str>) {
        *self.away.lock().unwrap() = part.map(str::to_owned);
    }

    fn is_away(&self, path: &Path) -> bool {
        self.away.lock().unwrap().as_ref().is_some_and(|part| path.as_ref().contains(part))
    }

    /// From now on lists of manifests lack so many of the newest.
    pub(in crate::collect) fn set_lag(&self, manifests: u64) {
        self.lag.store(manifests, Ordering::SeqCst);
    }

    pub(in crate::collect) fn advance(&self, seconds: u64) {
        *self.now.lock().unwrap() += seconds;
    }

    /// Lets one call of an actor through.
    pub(in crate::collect) fn grant(&self, actor: usize) {
        let mut turns = self.turns.lock().unwrap();
        let turn = turns.entry(actor).or_default();
        turn.granted = true;
        turn.waiting.drain(..).for_each(Waker::wake);
    }

    /// Whether all that the actor does is to wait for its turn.
    pub(in crate::collect) fn is_waiting(&self, actor: usize) -> bool {
        let turns = self.turns.lock().unwrap();
        turns.get(&actor).is_some_and(|turn| !turn.granted && !turn.waiting.is_empty())
    }

    async fn turn(&self, actor: usize) {
        poll_fn(|context| {
            let mut turns = self.turns.lock().unwrap();
            let turn = turns.entry(actor).or_default();
            if std::mem::take(&mut turn.granted) {
                return Poll::Ready(());
            }
            turn.waiting.push(context.waker().clone());
            Poll::Pending
        })
        .await;
    }

    fn stamp(&self, mut meta: ObjectMeta) -> ObjectMeta {
        let at = self.written.lock().unwrap().get(&meta.location).copied().unwrap_or(0);
        meta.last_modified = (SystemTime::UNIX_EPOCH + Duration::from_secs(at)).into();
        meta
    }
}

fn is_block(path: &Path) -> bool {
    path.as_ref().contains("/needs/")
}

/// The store as one actor sees it.
#[derive(Clone, Debug)]
pub(in crate::collect) struct Stage {
    pub(in crate::collect) inner: Arc<dyn ObjectStore>,
    pub(in crate::collect) shared: Arc<Shared>,
    /// `None`: nobody waits.
    pub(in crate::collect) actor: Option<usize>,
    /// Whether states are overwritten instead of created.
    pub(in crate::collect) overwrites_states: bool,
}

impl Stage {
    async fn turn(&self) {
        if let Some(actor) = self.actor {
            self.shared.turn(actor).await;
        }
    }
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "stage {}", self.inner)
    }
}

#[async_trait]
impl ObjectStore for Stage {
    async fn put_opts(&self, path: &Path, payload: PutPayload, mut opts: PutOptions) -> Result<PutResult> {
        self.turn().await;
        if self.overwrites_states && path.as_ref().contains("/states/") {
            opts.mode = PutMode::Overwrite;
        }
        let put = self.inner.put_opts(path, payload, opts).await?;
        let now = *self.shared.now.lock().unwrap();
        self.shared.written.lock().unwrap().insert(path.clone(), now);
        Ok(put)
    }

    async fn put_multipart_opts(&self, path: &Path, opts: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        self.inner.put_multipart_opts(path, opts).await
    }

    async fn get_opts(&self, path: &Path, options: GetOptions) -> Result<GetResult> {
        self.turn().await;
        self.shared.reads.fetch_add(1, Ordering::SeqCst);
        if self.shared.is_away(path) {
            let source = "Server returned non-2xx status code: 503".into();
            return Err(object_store::Error::Generic { store: "stage", source });
        }
        self.shared.blocks_read.fetch_add(u64::from(is_block(path)), Ordering::SeqCst);
        let mut got = self.inner.get_opts(path, options).await?;
        got.meta = self.shared.stamp(got.meta);
        Ok(got)
    }

    fn delete_stream(&self, paths: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        let stage = self.clone();
        let delete = move |path: Result<Path>| {
            let stage = stage.clone();
            async move {
                let path = path?;
                stage.turn().await;
                stage.inner.delete(&path).await.map(|()| path)
            }
        };
        paths.then(delete).boxed()
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        let (stage, prefix) = (self.clone(), prefix.cloned());
        let listed = async move {
            stage.turn().await;
            let mut found: Vec<_> = stage.inner.list(prefix.as_ref()).try_collect().await?;
            if prefix.is_some_and(|prefix| prefix.as_ref().ends_with("/versions")) {
                found.sort_by(|a, b| a.location.cmp(&b.location));
                found.truncate(found.len().saturating_sub(stage.shared.lag.load(Ordering::SeqCst) as usize));
            }
            let found: Vec<_> = found.into_iter().map(|meta| Ok(stage.shared.stamp(meta))).collect();
            Ok::<_, object_store::Error>(futures::stream::iter(found))
        };
        listed.into_stream().try_flatten().boxed()
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.turn().await;
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.inner.copy_opts(from, to, options).await
    }
}
