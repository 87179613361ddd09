//! Stores finished segments under new names, in order, while a thread makes the next.
//!
//! One finished segment waits while another is stored and a third is made: that is the memory it takes, and what the thread waits
//! for. What is stored is garbage until something names it, so a crash at any step leaves nothing to undo.

use std::sync::Arc;

use object_store::ObjectStore;
use tidemark_catalog::{content::SegmentRef, names::Names, stored::StoredRef};
use tidemark_gateway::upload::{self, UploadOptions};
use tokio::sync::mpsc;

use super::{Content, FinishedSegment};

/// Why segments were not made or stored. `E` is why they could not be made.
#[derive(Debug, thiserror::Error)]
pub enum Error<E: std::error::Error + 'static> {
    /// The store did not take one.
    #[error("store a segment")]
    Store(#[source] upload::Error),
    /// The thread that makes them ended in a panic.
    #[error("the thread that makes segments ended: {0}")]
    Thread(String),
    /// They could not be made.
    #[error(transparent)]
    Made(E),
}

/// Segments are stored no more: what they are for has ended. Who makes them ends too, with any error; it is not reported.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("segments are stored no more")]
pub struct Closed;

/// Where the thread that makes segments puts them.
pub struct SegmentSink(mpsc::Sender<FinishedSegment>);

impl SegmentSink {
    /// Hands a segment over to be stored; waits while one is waiting already. Blocking.
    ///
    /// # Errors
    /// [`Closed`] where one could not be stored, or nobody waits for the segments.
    pub fn put(&self, segment: FinishedSegment) -> Result<(), Closed> {
        self.0.blocking_send(segment).map_err(|_| Closed)
    }
}

/// Runs `make` on a thread of its own and stores the segments that it puts, meanwhile and in order; gives their references in the
/// same order, and what `make` gave. Dropped, it stores no more, and `make` is told so at its next segment.
///
/// # Errors
/// [`Error`]. Where the store fails, what `make` fails of in consequence is not told.
pub async fn stored_while<T, E, F>(
    store: &Arc<dyn ObjectStore>,
    names: &Names,
    make: F,
) -> Result<(Vec<SegmentRef>, T), Error<E>>
where
    F: FnOnce(&SegmentSink) -> Result<T, E> + Send + 'static,
    T: Send + 'static,
    E: std::error::Error + Send + 'static,
{
    let (sender, receiver) = mpsc::channel(1);
    let thread = tokio::task::spawn_blocking(move || make(&SegmentSink(sender)));
    let stored = all(store, names, receiver).await;
    let made = thread.await.map_err(|error| Error::Thread(error.to_string()))?;
    // A failed upload closes the channel, which ends the thread: its own error is then only the consequence.
    let segments = stored.map_err(Error::Store)?;
    Ok((segments, made.map_err(Error::Made)?))
}

async fn all(
    store: &Arc<dyn ObjectStore>,
    names: &Names,
    mut segments: mpsc::Receiver<FinishedSegment>,
) -> Result<Vec<SegmentRef>, upload::Error> {
    let mut references = Vec::new();
    while let Some(segment) = segments.recv().await {
        references.push(one(store, names, segment).await?);
    }
    Ok(references)
}

async fn one(
    store: &Arc<dyn ObjectStore>,
    names: &Names,
    segment: FinishedSegment,
) -> Result<SegmentRef, upload::Error> {
    let path = names.segment();
    let stored = match segment.content {
        // One create-only put: a multipart upload is never created conditionally and is read back whole.
        Content::Memory(bytes) => upload::put_new(store, &path, bytes).await?,
        Content::File(file) => {
            let file = tokio::fs::File::from_std(file);
            upload::put_reader_new(store, &path, file, &UploadOptions::default(), |_| {}).await?
        }
    };
    let FinishedSegment { first, last, records, .. } = segment;
    Ok(SegmentRef { first, last, stored: StoredRef::new(&path, stored), records })
}
