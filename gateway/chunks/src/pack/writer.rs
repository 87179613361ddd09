//! Writing one pack.

use std::{fmt, sync::Arc};

use object_store::ObjectStore;
use tidemark_gateway::{
    Env,
    upload::{self, UploadOptions},
};

use super::{Entry, FOOTER_BYTES, MAGIC, MOST_ENTRIES, Pack, PackRecord};
use crate::{
    frame::{FRAME_BYTES, Frames, Role},
    header::{HEADER_BYTES, Kind},
    keys::Issued,
    prepare::Prepared,
    upload::Upload,
};

/// Bounds of packs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PackOptions {
    /// A pack is full once it has so many bytes; it has at most one chunk more. 16 to 64 MiB where packs serve their purpose.
    pub target_bytes: u32,
    /// How packs are uploaded, which bounds the memory of a pack under way.
    pub upload: UploadOptions,
}

impl Default for PackOptions {
    /// 16 MiB, each of them in one part: so a pack is created by one request, which no store takes twice, and need not be read back.
    fn default() -> Self {
        Self { target_bytes: 16 << 20, upload: UploadOptions { part_bytes: 20 << 20, in_flight: 2 } }
    }
}

/// Why a pack was not written. Its name must not be used again.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// It was not stored.
    #[error("write a pack")]
    Upload(#[from] upload::Error),
    /// The key was issued for something else.
    #[error("{path} was issued as {found:?}, to be written as {expected:?}")]
    Kind {
        /// The name.
        path: object_store::path::Path,
        /// What is to be written.
        expected: Kind,
        /// What the key is for.
        found: Kind,
    },
    /// Nothing more fits.
    #[error("{path} is full")]
    Full {
        /// The pack.
        path: object_store::path::Path,
    },
}

impl WriteError {
    /// Whether the same bytes under a new name may succeed later.
    pub fn is_retryable(&self) -> bool {
        matches!(self, Self::Upload(error) if error.is_retryable())
    }
}

/// A pack under way. Memory: that of its upload ([`UploadOptions`]), 3 MiB, and its entries. Dropped, it leaves no pack.
pub struct PackWriter {
    env: Env,
    issued: Issued,
    frames: Frames,
    upload: Upload,
    entries: Vec<Entry>,
    target_bytes: u32,
}

impl PackWriter {
    /// Begins the pack of this name.
    ///
    /// # Errors
    /// [`WriteError::Kind`].
    pub fn start(
        store: &Arc<dyn ObjectStore>,
        env: &Env,
        issued: Issued,
        options: &PackOptions,
    ) -> Result<Self, WriteError> {
        let upload = begin(store, &issued, Kind::Pack, &options.upload)?;
        let target_bytes = options.target_bytes.min(64 << 20);
        Ok(Self { env: env.clone(), frames: issued.frames(), issued, upload, entries: Vec::new(), target_bytes })
    }

    /// Appends a chunk and says where.
    ///
    /// # Errors
    /// [`WriteError::Upload`] where the store fails, after which nothing more can be written; [`WriteError::Full`].
    pub async fn append(&mut self, chunk: &Prepared) -> Result<Entry, WriteError> {
        if self.is_full() {
            return Err(WriteError::Full { path: self.issued.path().clone() });
        }
        let offset = u32::try_from(self.upload.written()).expect("a pack has at most 64 MiB and a chunk");
        let role = Role::Chunk(chunk.class(), chunk.id());
        self.frames.seal(&self.env, role, self.upload.buffer(), |out| chunk.write(out));
        let (stored, raw) = (chunk.stored_bytes(), chunk.raw_bytes());
        let entry = Entry { id: chunk.id(), class: chunk.class(), offset, stored, raw };
        self.entries.push(entry);
        self.upload.flow().await?;
        Ok(entry)
    }

    /// Whether the pack has the size it is meant to have.
    pub fn is_full(&self) -> bool {
        self.upload.written() >= u64::from(self.target_bytes) || self.entries.len() >= MOST_ENTRIES
    }

    /// Completes the pack. Only now it exists.
    ///
    /// # Errors
    /// [`WriteError::Upload`].
    pub async fn finish(mut self) -> Result<Pack, WriteError> {
        let frames = self.upload.written() - HEADER_BYTES as u64;
        let (entries, before) = (&self.entries, self.upload.written());
        self.frames.seal(&self.env, Role::Entries(frames), self.upload.buffer(), |out| {
            entries.iter().for_each(|entry| entry.write(out));
        });
        let list = u32::try_from(self.upload.written() - before).expect("at most 32 Ki entries of 41 bytes");
        footer(self.upload.buffer(), frames, list, MAGIC);
        let stored = self.upload.finish().await?;
        let record = PackRecord { path: self.issued.path().clone(), header: self.issued.header().clone(), stored };
        Ok(Pack { record, entries: self.entries })
    }
}

impl fmt::Debug for PackWriter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PackWriter({}, {} chunks)", self.issued.path(), self.entries.len())
    }
}

/// Begins an object with its header.
pub(crate) fn begin(
    store: &Arc<dyn ObjectStore>,
    issued: &Issued,
    expected: Kind,
    options: &UploadOptions,
) -> Result<Upload, WriteError> {
    let found = issued.header().kind;
    if found != expected {
        return Err(WriteError::Kind { path: issued.path().clone(), expected, found });
    }
    let mut upload = Upload::start(store, issued.path(), options);
    upload.buffer().extend_from_slice(&issued.header().to_bytes());
    Ok(upload)
}

/// The last bytes of a pack or an index: where the sealed list begins, and its length.
pub(crate) fn footer(out: &mut Vec<u8>, before: u64, list: u32, magic: &[u8; 4]) {
    const { assert!(FOOTER_BYTES == 8 + 4 + 4 && FRAME_BYTES == 28) };
    out.extend_from_slice(&before.to_le_bytes());
    out.extend_from_slice(&list.to_le_bytes());
    out.extend_from_slice(magic);
}
