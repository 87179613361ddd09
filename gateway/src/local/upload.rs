//! An upload in parts to a local store.

use std::{
    os::unix::fs::FileExt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use async_trait::async_trait;
use futures::FutureExt;
use object_store::{MultipartUpload, PutPayload, PutResult, Result, UploadPart};

use super::{
    Disk, Error, result,
    staged::{Found, Staged},
};

/// Parts go straight to their place in the file. Completed, it takes its name only where that is free or holds the same bytes.
#[derive(Debug)]
pub(super) struct Upload {
    disk: Arc<Disk>,
    state: Arc<Mutex<State>>,
    target: std::path::PathBuf,
    /// Where the next part begins.
    offset: u64,
}

#[derive(Debug)]
struct State {
    /// None after the end, and after a part that failed.
    staged: Option<Staged>,
    /// Bytes of all parts that were written.
    written: u64,
}

impl Upload {
    pub(super) fn new(disk: Arc<Disk>, staged: Staged) -> Self {
        let target = staged.target().to_owned();
        Self { disk, state: Arc::new(Mutex::new(State { staged: Some(staged), written: 0 })), target, offset: 0 }
    }
}

#[async_trait]
impl MultipartUpload for Upload {
    fn put_part(&mut self, data: PutPayload) -> UploadPart {
        let (offset, state, target) = (self.offset, Arc::clone(&self.state), self.target.clone());
        self.offset += data.content_length() as u64;
        async move {
            let written = tokio::task::spawn_blocking(move || write(&mut lock(&state), &target, offset, &data)).await?;
            Ok(written?)
        }
        .boxed()
    }

    async fn complete(&mut self) -> Result<PutResult> {
        let (disk, state, target, size) =
            (Arc::clone(&self.disk), Arc::clone(&self.state), self.target.clone(), self.offset);
        let completed = tokio::task::spawn_blocking(move || complete(&disk, &mut lock(&state), &target, size)).await?;
        Ok(completed?)
    }

    async fn abort(&mut self) -> Result<()> {
        let staged = lock(&self.state).staged.take();
        Ok(tokio::task::spawn_blocking(move || drop(staged)).await?)
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

fn write(
    state: &mut State,
    target: &std::path::Path,
    offset: u64,
    data: &PutPayload,
) -> std::result::Result<(), Error> {
    let ended = || Error::Ended { path: target.to_owned() };
    let file = state.staged.as_ref().ok_or_else(ended)?.file();
    let mut at = offset;
    let written = data.iter().try_for_each(|bytes| -> std::io::Result<()> {
        file.write_all_at(bytes, at)?;
        at += bytes.len() as u64;
        Ok(())
    });
    if let Err(source) = written {
        state.staged = None;
        return Err(Error::File { operation: "write a part of", path: target.to_owned(), source });
    }
    state.written += at - offset;
    Ok(())
}

fn complete(
    disk: &Disk,
    state: &mut State,
    target: &std::path::Path,
    size: u64,
) -> std::result::Result<PutResult, Error> {
    let ended = || Error::Ended { path: target.to_owned() };
    let staged = state.staged.take().filter(|_| state.written == size).ok_or_else(ended)?;
    staged.sync(disk)?;
    let result = result(staged.tag()?);
    match staged.create(disk)? {
        Found::New | Found::Same => Ok(result),
        Found::Other => Err(Error::Exists { path: target.to_owned() }),
    }
}
