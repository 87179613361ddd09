//! Reading one run: a range of a pack at once, and its chunks some at a time, so that memory is used again while it is warm.

use std::{collections::VecDeque, ops::Range, sync::Arc};

use bytes::Bytes;
use futures::{Stream, StreamExt, future::BoxFuture, stream};

use super::{ChunkReader, Damage, Fetched, Location, Opener, Reason, Wanted, nowhere, plan::Run};
use crate::{
    Class,
    frame::Frames,
    pack::{Entry, PackRecord},
};

/// Most bytes of frames that are opened together.
const BATCH_BYTES: u64 = 256 << 10;

/// Bytes of a pack, with what opens them.
#[derive(Clone)]
pub(super) struct Source {
    pub(super) frames: Arc<Frames>,
    pub(super) bytes: Bytes,
    /// Where in the pack they begin.
    pub(super) start: u32,
}

impl Source {
    /// These chunks, outside the runtime.
    pub(super) async fn open(
        &self,
        reader: &ChunkReader,
        pack: &PackRecord,
        entries: Vec<Entry>,
    ) -> Vec<Result<Bytes, Damage>> {
        let (source, ids, path, copy) = (self.clone(), reader.ids.clone(), pack.path.clone(), entries.clone());
        let open = move || -> std::io::Result<Vec<_>> {
            let mut opener = Opener::new(&source.frames, &ids, &path)?;
            Ok(copy.iter().map(|entry| opener.chunk(entry, &source.bytes, source.start)).collect())
        };
        let opened = tokio::task::spawn_blocking(open).await.unwrap_or_else(|error| Err(error.into()));
        opened.unwrap_or_else(|error| {
            let reason = Reason::Memory(Arc::new(error));
            entries.iter().map(|entry| Err(Damage::new(&pack.path, entry, reason.clone()))).collect()
        })
    }
}

/// A run under way.
pub(super) struct Reading {
    reader: ChunkReader,
    pack: Option<Arc<PackRecord>>,
    range: Range<u64>,
    source: Option<Result<Source, Reason>>,
    rest: VecDeque<Wanted>,
}

impl Reading {
    pub(super) fn of(reader: ChunkReader, run: Run) -> Self {
        Self { reader, pack: run.pack, range: run.range, source: None, rest: run.wanted.into() }
    }

    /// Its chunks, some at a time.
    pub(super) fn fetched(self) -> impl Stream<Item = Vec<Fetched>> + Send + Unpin {
        let next = |mut reading: Self| -> BoxFuture<'static, _> {
            Box::pin(async move {
                let batch = reading.next_batch();
                if batch.is_empty() { None } else { Some((reading.read(batch).await, reading)) }
            })
        };
        stream::unfold(self, next).boxed()
    }

    fn next_batch(&mut self) -> Vec<Wanted> {
        let (mut batch, mut bytes) = (Vec::new(), 0);
        while let Some(wanted) = self.rest.pop_front_if(|_| bytes < BATCH_BYTES) {
            bytes += wanted.locations.first().map_or(0, |location| u64::from(location.entry.stored));
            batch.push(wanted);
        }
        batch
    }

    async fn read(&mut self, batch: Vec<Wanted>) -> Vec<Fetched> {
        let read = self.first(&batch).await;
        let mut fetched = Vec::with_capacity(batch.len());
        for (wanted, bytes) in batch.into_iter().zip(read) {
            let class = wanted.locations.first().map_or(Class::Data, |location| location.entry.class);
            let bytes = match bytes {
                Err(damage) => self.elsewhere(&wanted.locations, damage).await,
                bytes => bytes,
            };
            fetched.push(Fetched { position: wanted.position, class, bytes });
        }
        fetched
    }

    /// Each chunk of the batch at its first place.
    async fn first(&mut self, batch: &[Wanted]) -> Vec<Result<Bytes, Damage>> {
        let Some(pack) = self.pack.clone() else { return batch.iter().map(|_| Err(nowhere())).collect() };
        let entries: Vec<_> = batch.iter().filter_map(|wanted| Some(wanted.locations.first()?.entry)).collect();
        if self.source.is_none() {
            self.source = Some(self.reader.source(&pack, self.range.clone()).await);
        }
        match &self.source {
            Some(Ok(source)) => source.open(&self.reader, &pack, entries).await,
            Some(Err(Reason::Cut { .. })) | None => self.one_by_one(&pack, entries).await,
            Some(Err(reason)) => {
                entries.iter().map(|entry| Err(Damage::new(&pack.path, entry, reason.clone()))).collect()
            }
        }
    }

    /// A pack that was cut loses only what it lacks.
    async fn one_by_one(&self, pack: &PackRecord, entries: Vec<Entry>) -> Vec<Result<Bytes, Damage>> {
        let mut read = Vec::with_capacity(entries.len());
        for entry in entries {
            read.push(self.reader.alone(pack, entry).await);
        }
        read
    }

    async fn elsewhere(&self, locations: &[Location], damage: Damage) -> Result<Bytes, Damage> {
        for Location { pack, entry } in locations.iter().skip(1) {
            if let Ok(bytes) = self.reader.alone(pack, *entry).await {
                return Ok(bytes);
            }
        }
        Err(damage)
    }
}
