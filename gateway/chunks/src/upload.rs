//! One object, uploaded while it is made.

use std::{io, pin::Pin, sync::Arc};

use bytes::Bytes;
use futures::{FutureExt, Stream, future::BoxFuture, stream};
use object_store::{ObjectStore, path::Path};
use tidemark_gateway::{
    Stored,
    upload::{self, UploadOptions, put_reader_new},
};
use tokio::sync::mpsc;
use tokio_util::io::StreamReader;

/// Bytes that go to the upload at a time.
const PIECE_BYTES: usize = 1 << 20;

/// Pieces that wait for the upload.
const PIECES: usize = 2;

enum Message {
    Piece(Bytes),
    End,
}

/// An upload under way. Its own work is done while something is pushed. Dropped before [`Upload::finish`] it leaves no object:
/// only the end that is said to be one ends the object.
pub(crate) struct Upload {
    sender: mpsc::Sender<Message>,
    buffer: Vec<u8>,
    written: u64,
    task: BoxFuture<'static, Result<Stored, upload::Error>>,
    ended: Option<Result<Stored, upload::Error>>,
}

impl Upload {
    pub(crate) fn start(store: &Arc<dyn ObjectStore>, path: &Path, options: &UploadOptions) -> Self {
        let (sender, receiver) = mpsc::channel(PIECES);
        let (store, path, options) = (Arc::clone(store), path.clone(), options.clone());
        let task = async move {
            let reader = StreamReader::new(pieces(receiver));
            put_reader_new(&store, &path, reader, &options, |_| {}).await
        };
        Self { sender, buffer: Vec::new(), written: 0, task: task.boxed(), ended: None }
    }

    /// Bytes so far.
    pub(crate) fn written(&self) -> u64 {
        self.written + self.buffer.len() as u64
    }

    /// What is appended here is what comes next in the object.
    pub(crate) fn buffer(&mut self) -> &mut Vec<u8> {
        &mut self.buffer
    }

    /// Hands over what has come together, where that is enough. Waits while the upload is behind.
    pub(crate) async fn flow(&mut self) -> Result<(), upload::Error> {
        if self.buffer.len() < PIECE_BYTES { Ok(()) } else { self.hand_over().await }
    }

    async fn hand_over(&mut self) -> Result<(), upload::Error> {
        let piece = std::mem::replace(&mut self.buffer, Vec::with_capacity(PIECE_BYTES + PIECE_BYTES / 8));
        self.written += piece.len() as u64;
        self.send(Message::Piece(piece.into())).await
    }

    async fn send(&mut self, message: Message) -> Result<(), upload::Error> {
        if self.ended.is_some() {
            return self.failed();
        }
        tokio::select! {
            biased;
            ended = &mut self.task => self.ended = Some(ended),
            sent = self.sender.send(message) => match sent {
                Ok(()) => return Ok(()),
                Err(_) => self.ended = Some((&mut self.task).await),
            },
        }
        self.failed()
    }

    /// The upload ended before its end was said: that is its error, or everything there was is stored (as by an earlier try).
    fn failed(&mut self) -> Result<(), upload::Error> {
        match self.ended.take() {
            Some(Err(error)) => Err(error),
            other => {
                self.ended = other;
                Ok(())
            }
        }
    }

    /// Everything that was appended is stored under the name.
    pub(crate) async fn finish(mut self) -> Result<Stored, upload::Error> {
        self.hand_over().await?;
        self.send(Message::End).await?;
        match self.ended {
            Some(ended) => ended,
            None => self.task.await,
        }
    }
}

fn pieces(receiver: mpsc::Receiver<Message>) -> Pin<Box<dyn Stream<Item = io::Result<Bytes>> + Send>> {
    Box::pin(stream::unfold(receiver, |mut receiver| async {
        match receiver.recv().await {
            Some(Message::Piece(piece)) => Some((Ok(piece), receiver)),
            Some(Message::End) => None,
            None => Some((Err(io::Error::other("the writer gave up")), receiver)),
        }
    }))
}

#[cfg(test)]
mod tests {
    use object_store::{ObjectStoreExt, memory::InMemory};

    use super::*;

    fn start(store: &Arc<dyn ObjectStore>) -> Upload {
        Upload::start(store, &Path::from("o"), &UploadOptions { part_bytes: 5 << 20, in_flight: 2 })
    }

    #[tokio::test]
    async fn all_bytes_arrive_in_order() {
        let store: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
        let mut upload = start(&store);
        let mut expected = Vec::new();
        for number in 0..200_u32 {
            let bytes = [number as u8; 70_001];
            upload.buffer().extend_from_slice(&bytes);
            expected.extend_from_slice(&bytes);
            upload.flow().await.unwrap();
        }
        assert_eq!(upload.written(), expected.len() as u64);
        let stored = upload.finish().await.unwrap();
        assert_eq!(stored, Stored::of(&expected));
        assert_eq!(store.get(&Path::from("o")).await.unwrap().bytes().await.unwrap(), expected);
    }

    #[tokio::test]
    async fn an_upload_that_is_dropped_leaves_no_object() {
        let store: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
        let mut upload = start(&store);
        upload.buffer().resize(3 << 20, 1);
        upload.flow().await.unwrap();
        drop(upload);
        assert!(store.head(&Path::from("o")).await.is_err());
    }

    #[tokio::test]
    async fn a_taken_name_is_an_error_of_the_push_or_of_the_end() {
        let store: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
        store.put(&Path::from("o"), "x".into()).await.unwrap();
        let mut upload = start(&store);
        upload.buffer().push(1);
        assert!(matches!(upload.finish().await, Err(upload::Error::Taken { .. })));
    }
}
