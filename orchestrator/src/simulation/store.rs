//! The store as a machine has it, over the network; and as the judge has it, at once.

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, SystemTime},
};

use async_trait::async_trait;
use bytes::Bytes;
use futures::{StreamExt as _, TryStreamExt as _, stream, stream::BoxStream};
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, GetResultPayload, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    PutMode, PutMultipartOptions, PutOptions, PutPayload, PutResult, Result, path::Path,
};

use super::{
    bucket::{Bucket, Object},
    machine::Seat,
    world::{Peer, State, World},
};

/// How long an answer is waited for.
const PATIENCE: Duration = Duration::from_secs(5);

/// How often a listing is asked for, as a store's client does.
const LISTS: u32 = 4;

/// The store of one machine.
pub(super) struct SimStore {
    pub(super) world: World,
    pub(super) seat: Seat,
}

impl SimStore {
    async fn ask<T: Send + 'static>(
        &self,
        words: String,
        apply: impl FnOnce(&mut State) -> T + Send + 'static,
    ) -> Result<T> {
        let (place, who) = (self.seat.place, self.seat.name.clone());
        let answer = self.world.ask(place, Peer::Store, self.seat.clock.time(), move |state, busy| {
            state.did(place, &who, format!("{words}{}", if busy { ": busy" } else { "" }));
            if busy { Err(status(503)) } else { Ok(apply(state)) }
        });
        tokio::time::timeout(PATIENCE, answer).await.unwrap_or_else(|_| Err(status(504)))
    }

    async fn found(&self, path: &Path) -> Result<Object> {
        if let Some(found) = self.mistaken_read(path) {
            return found;
        }
        let name = path.to_string();
        let found = self.ask(format!("get {name}"), move |state| bucket(state).objects.get(&name).cloned()).await?;
        found.ok_or_else(|| absent(path))
    }

    async fn listed(&self, prefix: Option<&Path>) -> Result<Vec<(String, Object)>> {
        let prefix = prefix.map(Path::to_string);
        let mut tries = 0;
        loop {
            let below = prefix.clone();
            let words = format!("list {}", below.as_deref().unwrap_or_default());
            match self.ask(words, move |state| bucket(state).below(below.as_deref())).await {
                Err(_) if tries + 1 < LISTS => tries += 1,
                Ok(found) => return Ok(found),
                Err(error) => return Err(error),
            }
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
    }
}

pub(super) fn bucket(state: &State) -> std::sync::MutexGuard<'_, Bucket> {
    state.bucket.lock().unwrap_or_else(PoisonError::into_inner)
}

pub(super) fn absent(path: &Path) -> Error {
    Error::NotFound { path: path.to_string(), source: "there is no such object".into() }
}

/// As the client of S3 words it.
fn status(code: u16) -> Error {
    Error::Generic { store: "S3", source: format!("Server returned non-2xx status code: {code}").into() }
}

fn meta(name: &str, object: &Object) -> ObjectMeta {
    ObjectMeta {
        location: Path::from(name),
        last_modified: (SystemTime::UNIX_EPOCH + super::machine::START + object.written).into(),
        size: object.bytes.len() as u64,
        e_tag: None,
        version: None,
    }
}

fn answer(path: &Path, object: &Object, options: &GetOptions) -> Result<GetResult> {
    let (size, meta) = (object.bytes.len() as u64, meta(path.as_ref(), object));
    let range = match &options.range {
        Some(range) => range.as_range(size).map_err(|error| Error::Generic { store: "S3", source: Box::new(error) })?,
        None => 0..size,
    };
    let bytes = object.bytes.slice(range.start as usize..range.end as usize);
    let payload = GetResultPayload::Stream(stream::once(async move { Ok(bytes) }).boxed());
    Ok(GetResult { payload, meta, range, attributes: Default::default(), extensions: Default::default() })
}

fn folded(prefix: Option<&Path>, found: &[(String, Object)]) -> ListResult {
    let depth = prefix.map_or(0, |prefix| prefix.parts().count());
    let (mut objects, mut common_prefixes) = (Vec::new(), Vec::<Path>::new());
    for (name, object) in found {
        let path = Path::from(name.as_str());
        let parts: Vec<_> = path.parts().collect();
        if parts.len() == depth + 1 {
            objects.push(meta(name, object));
            continue;
        }
        let folder: Path = parts.into_iter().take(depth + 1).collect();
        if common_prefixes.last() != Some(&folder) {
            common_prefixes.push(folder);
        }
    }
    ListResult { common_prefixes, objects, extensions: Default::default() }
}

impl fmt::Debug for SimStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SimStore")
    }
}

impl fmt::Display for SimStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("simulated store")
    }
}

#[async_trait]
impl ObjectStore for SimStore {
    async fn put_opts(&self, path: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        let (name, bytes): (String, Bytes) = (path.to_string(), payload.into());
        let create = matches!(options.mode, PutMode::Create) && !self.overwrites(&name);
        self.sending(&name, &bytes);
        let (place, sent) = (self.seat.place, bytes.clone());
        let put = self.ask(format!("put {name}"), move |state| {
            let now = state.now;
            let old = bucket(state).objects.get(&name).cloned();
            let put = bucket(state).put(&name, bytes.clone(), create, now);
            if put {
                state.judge.stored(place, &name, &bytes, old.map(|old| old.bytes), now);
            }
            put
        });
        match put.await? {
            true => Ok(PutResult { e_tag: None, version: None, extensions: Default::default() }),
            false => {
                self.remember(path, sent);
                Err(Error::AlreadyExists { path: path.to_string(), source: "412 Precondition Failed".into() })
            }
        }
    }

    async fn put_multipart_opts(&self, path: &Path, _: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        Err(Error::NotSupported { source: format!("{path}: nothing large is written here").into() })
    }

    async fn get_opts(&self, path: &Path, options: GetOptions) -> Result<GetResult> {
        answer(path, &self.found(path).await?, &options)
    }

    fn delete_stream(&self, paths: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        let this = Self { world: self.world.clone(), seat: self.seat.clone() };
        paths
            .and_then(move |path| {
                let this = Self { world: this.world.clone(), seat: this.seat.clone() };
                async move {
                    let name = path.to_string();
                    let words = format!("delete {name}");
                    this.ask(words, move |state| {
                        let now = state.now;
                        let gone = bucket(state).objects.remove(&name).is_some();
                        if gone {
                            state.judge.deleted(&name, now);
                        }
                    })
                    .await?;
                    Ok(path)
                }
            })
            .boxed()
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        let this = Self { world: self.world.clone(), seat: self.seat.clone() };
        let prefix = prefix.cloned();
        let listed = async move {
            let found = this.listed(prefix.as_ref()).await?;
            Ok::<_, Error>(stream::iter(found.into_iter().map(|(name, object)| Ok(meta(&name, &object)))))
        };
        stream::once(listed).try_flatten().boxed()
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        Ok(folded(prefix, &self.listed(prefix).await?))
    }

    async fn copy_opts(&self, from: &Path, _: &Path, _: CopyOptions) -> Result<()> {
        Err(Error::NotSupported { source: format!("{from}: nothing is copied here").into() })
    }
}

/// The store without a network, for the judge: what is there now.
#[derive(Debug)]
pub(super) struct Still(pub(super) Arc<Mutex<Bucket>>);

impl Still {
    fn lock(&self) -> std::sync::MutexGuard<'_, Bucket> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Display for Still {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("store as it is")
    }
}

#[async_trait]
impl ObjectStore for Still {
    async fn put_opts(&self, path: &Path, _: PutPayload, _: PutOptions) -> Result<PutResult> {
        Err(Error::NotSupported { source: format!("{path}: the judge writes nothing").into() })
    }

    async fn put_multipart_opts(&self, path: &Path, _: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        Err(Error::NotSupported { source: format!("{path}: the judge writes nothing").into() })
    }

    async fn get_opts(&self, path: &Path, options: GetOptions) -> Result<GetResult> {
        let found = self.lock().objects.get(path.as_ref()).cloned();
        answer(path, &found.ok_or_else(|| absent(path))?, &options)
    }

    fn delete_stream(&self, paths: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        paths
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        let found = self.lock().below(prefix.map(Path::as_ref));
        stream::iter(found.into_iter().map(|(name, object)| Ok(meta(&name, &object)))).boxed()
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        Ok(folded(prefix, &self.lock().below(prefix.map(Path::as_ref))))
    }

    async fn copy_opts(&self, from: &Path, _: &Path, _: CopyOptions) -> Result<()> {
        Err(Error::NotSupported { source: format!("{from}: the judge writes nothing").into() })
    }
}
