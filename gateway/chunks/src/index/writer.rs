//! Writing one index object.

use std::sync::Arc;

use object_store::ObjectStore;
use tidemark_gateway::{Env, upload::UploadOptions};

use super::{
    FlushError, IndexRecord,
    layout::{
        MAGIC, RECORDS_IN_PAGE, Row, ShardAt, Summary, fingerprint, groups, shard_bits, shard_of, shards_in_group,
        write_pack,
    },
};
use crate::{
    frame::{Frames, Role},
    header::Kind,
    keys::Issued,
    pack::{PackRecord, WriteError, begin, footer},
    upload::Upload,
};

/// Takes rows in order. Memory: the rows of a shard, what is known of the groups, and the upload's.
pub(super) struct IndexWriter {
    env: Env,
    issued: Issued,
    frames: Frames,
    upload: Upload,
    bits: u8,
    rows: u64,
    shard: u64,
    shard_rows: Vec<u8>,
    shard_count: u32,
    /// Of the shards of the group so far.
    places: Vec<ShardAt>,
    prints: Vec<u8>,
    groups: Vec<(u64, u32)>,
}

impl IndexWriter {
    /// For about so many rows.
    pub(super) fn start(
        store: &Arc<dyn ObjectStore>,
        env: &Env,
        issued: Issued,
        rows: u64,
        options: &UploadOptions,
    ) -> Result<Self, WriteError> {
        Ok(Self {
            env: env.clone(),
            frames: issued.frames(),
            upload: begin(store, &issued, Kind::Index, options)?,
            issued,
            bits: shard_bits(rows),
            rows: 0,
            shard: 0,
            shard_rows: Vec::new(),
            shard_count: 0,
            places: Vec::new(),
            prints: Vec::new(),
            groups: Vec::new(),
        })
    }

    /// The next row: none before it comes later by id and pack.
    pub(super) async fn push(&mut self, row: &Row) -> Result<(), FlushError> {
        let shard = shard_of(&row.entry.id, self.bits);
        while self.shard < shard {
            self.end_shard().await?;
        }
        row.write(&mut self.shard_rows);
        self.prints.extend_from_slice(&fingerprint(&row.entry.id, self.bits).to_le_bytes());
        self.shard_count += 1;
        self.rows += 1;
        Ok(())
    }

    async fn end_shard(&mut self) -> Result<(), WriteError> {
        let offset = self.upload.written();
        if self.shard_count > 0 {
            let rows = &self.shard_rows;
            self.frames.seal(&self.env, Role::Shard(self.shard), self.upload.buffer(), |out| {
                out.extend_from_slice(rows);
            });
        }
        let sealed = self.since(offset);
        self.places.push(ShardAt { offset, sealed, rows: self.shard_count });
        (self.shard_count, self.shard) = (0, self.shard + 1);
        self.shard_rows.clear();
        if self.places.len() as u64 == shards_in_group(self.bits) {
            self.end_group();
        }
        Ok(self.upload.flow().await?)
    }

    fn end_group(&mut self) {
        let offset = self.upload.written();
        let (places, prints) = (&self.places, &self.prints);
        self.frames.seal(&self.env, Role::Group(self.groups.len() as u64), self.upload.buffer(), |out| {
            places.iter().for_each(|place| place.write(out));
            out.extend_from_slice(prints);
        });
        let sealed = self.since(offset);
        self.groups.push((offset, sealed));
        self.places.clear();
        self.prints.clear();
    }

    fn since(&self, offset: u64) -> u32 {
        u32::try_from(self.upload.written() - offset).expect("a part is far below 4 GiB")
    }

    /// Completes the object, with the packs that the rows name by their numbers.
    pub(super) async fn finish(mut self, packs: &[Arc<PackRecord>]) -> Result<IndexRecord, FlushError> {
        while (self.groups.len() as u64) < groups(self.bits) {
            self.end_shard().await?;
        }
        let packs_at = self.upload.written();
        for (page, records) in (0..).zip(packs.chunks(RECORDS_IN_PAGE as usize)) {
            self.frames.seal(&self.env, Role::Packs(page), self.upload.buffer(), |out| {
                records.iter().for_each(|record| write_pack(record, out));
            });
            self.upload.flow().await.map_err(WriteError::from)?;
        }
        self.summary(packs.len(), packs_at);
        let (path, header) = (self.issued.path().clone(), self.issued.header().clone());
        let stored = self.upload.finish().await.map_err(WriteError::from)?;
        Ok(IndexRecord { path, header, stored, chunks: self.rows })
    }

    fn summary(&mut self, packs: usize, packs_at: u64) {
        let packs = u32::try_from(packs).expect("rows name packs by 32 bits");
        let groups = std::mem::take(&mut self.groups);
        let summary = Summary { rows: self.rows, packs, shard_bits: self.bits, packs_at, groups };
        let offset = self.upload.written();
        self.frames.seal(&self.env, Role::Summary(offset), self.upload.buffer(), |out| summary.write(out));
        let sealed = self.since(offset);
        footer(self.upload.buffer(), offset, sealed, MAGIC);
    }
}
