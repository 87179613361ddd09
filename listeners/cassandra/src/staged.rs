//! SSTables in the store, as listeners staged them: components grouped by SSTable, small ones fetched whole and proven by
//! their BLAKE3, `Data.db` read in windows.
//!
//! `Data.db` is not hashed on the way: it may be terabytes, and Cassandra's own checksums cover every chunk of it, which
//! the SSTable reader verifies. What the store holds of it is bounded by the size in the slice.

mod data;
mod group;

use std::{
    collections::BTreeMap,
    sync::{Arc, atomic::AtomicU64},
};

use bytes::Bytes;
use object_store::ObjectStore;
use tidemark_cassandra_format::sstable::SsTableFiles;
use tidemark_catalog::{
    door,
    slice::{Encoding, StagedFile},
};
use tidemark_gateway::Digest;
use tokio::runtime::Handle;

pub use data::StagedData;
pub use group::{StagedSsTable, group};

/// Most bytes of a small component; the largest is `CompressionInfo.db`, 8 bytes for 16 KiB of data.
const COMPONENT_BYTES: u64 = 512 << 20;

/// Components that a full scan needs beside `Data.db`. The others (indexes, filters) are not fetched.
const SCANNED: [&str; 5] = ["Statistics.db", "CompressionInfo.db", "CRC.db", "Digest.crc32", "TOC.txt"];

/// Why a staged SSTable cannot be opened. `file` is the file's name at the source.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file's name is not one of an SSTable's components.
    #[error("host {host}: {file} is not a component of an SSTable")]
    Name {
        /// Host id.
        host: String,
        /// The file.
        file: String,
    },
    /// An SSTable lacks a component that every one has.
    #[error("host {host}: {sstable} was staged without {component}")]
    Incomplete {
        /// Host id.
        host: String,
        /// Version, id and format of the SSTable.
        sstable: String,
        /// What is missing.
        component: &'static str,
    },
    /// A file was staged twice.
    #[error("host {host}: {file} was staged twice")]
    Twice {
        /// Host id.
        host: String,
        /// The file.
        file: String,
    },
    /// The stored bytes could not be read or are not those that were staged.
    #[error("host {host}: {file}")]
    Fetch {
        /// Host id.
        host: String,
        /// The file.
        file: String,
        /// Why.
        source: door::Error,
    },
    /// The stored bytes are what was staged, but not an encoding of the file.
    #[error("host {host}: {file} is damaged: {reason}")]
    Damaged {
        /// Host id.
        host: String,
        /// The file.
        file: String,
        /// What is wrong.
        reason: String,
    },
}

impl Error {
    /// Whether the same call may succeed later.
    pub fn is_retryable(&self) -> bool {
        matches!(self, Self::Fetch { source, .. } if source.is_retryable())
    }

    /// The host whose files are not what they have to be. `None` where it is the store that does not give them: a refused
    /// credential or an outage says nothing about the files.
    pub fn damaged_host(&self) -> Option<&str> {
        match self {
            Self::Fetch { source, .. } if source.is_of_the_store() => None,
            Self::Name { host, .. }
            | Self::Incomplete { host, .. }
            | Self::Twice { host, .. }
            | Self::Fetch { host, .. }
            | Self::Damaged { host, .. } => Some(host),
        }
    }
}

/// An SSTable ready for reading.
pub struct OpenedSsTable {
    /// Version, id and format, for example `nb-1-big`.
    pub name: String,
    /// The components that a scan needs, by name without the SSTable's own (`Statistics.db`), proven.
    pub components: BTreeMap<String, Bytes>,
    /// `Data.db`.
    pub data: StagedData,
}

impl OpenedSsTable {
    /// The files as the SSTable reader takes them.
    pub fn into_files(mut self) -> SsTableFiles {
        SsTableFiles {
            statistics: self.components.remove("Statistics.db").unwrap_or_default(),
            compression_info: self.components.remove("CompressionInfo.db"),
            crc: self.components.remove("CRC.db"),
            digest: self.components.remove("Digest.crc32"),
            toc: self.components.remove("TOC.txt"),
            data: Box::new(self.data),
            name: self.name,
        }
    }
}

/// How staged files are read.
#[derive(Clone)]
pub struct ReadOptions {
    /// Stored bytes of `Data.db` fetched by one request.
    pub window_bytes: usize,
    /// Counts the bytes of `Data.db` that were handed out, once each while reading goes forward.
    pub bytes_read: Arc<AtomicU64>,
    /// Where requests run.
    pub runtime: Handle,
}

/// Fetches an SSTable's components and opens its data.
///
/// # Errors
/// [`Error::Fetch`] and [`Error::Damaged`] where a component is not what was staged.
pub async fn open(
    store: &Arc<dyn ObjectStore>,
    sstable: &StagedSsTable,
    options: &ReadOptions,
) -> Result<OpenedSsTable, Error> {
    let mut components = BTreeMap::new();
    for (component, file) in &sstable.components {
        if SCANNED.contains(&component.as_str()) {
            components.insert(component.clone(), fetch_component(store, &sstable.host, file).await?);
        }
    }
    let StagedFile { stored, size, encoding, .. } = &sstable.data;
    let opened = door::open_unproven(store, stored, options.runtime.clone());
    let file = |source| Error::Fetch { host: sstable.host.clone(), file: sstable.data.name.clone(), source };
    let object = opened.map_err(file)?;
    let data = StagedData::new(object, *encoding, *size, options);
    Ok(OpenedSsTable { name: sstable.name.clone(), components, data })
}

/// The file's bytes, proven to be those at the source.
async fn fetch_component(store: &Arc<dyn ObjectStore>, host: &str, file: &StagedFile) -> Result<Bytes, Error> {
    let damaged = |reason: String| Error::Damaged { host: host.to_owned(), file: file.name.clone(), reason };
    if file.size > COMPONENT_BYTES || file.stored.size > COMPONENT_BYTES {
        return Err(damaged(format!("it has {} bytes, more than a component may", file.size)));
    }
    let stored = door::read(store, &file.stored).await;
    let stored = stored.map_err(|source| Error::Fetch { host: host.to_owned(), file: file.name.clone(), source })?;
    let bytes = decode(stored, file).map_err(&damaged)?;
    if bytes.len() as u64 != file.size || Digest::of(&bytes) != file.digest {
        return Err(damaged("its bytes are not those of the source".to_owned()));
    }
    Ok(bytes)
}

fn decode(stored: Bytes, file: &StagedFile) -> Result<Bytes, String> {
    if file.encoding == Encoding::Plain {
        return Ok(stored);
    }
    let mut decoded = Vec::new();
    let mut rest = &stored[..];
    while !rest.is_empty() {
        let (frame, tail) = rest.split_at_checked(data::frame_length(rest)?).ok_or("a zstd frame is cut")?;
        decoded.extend(data::decode_frame(frame)?);
        rest = tail;
        if decoded.len() as u64 > file.size {
            return Err("it expands beyond its size".to_owned());
        }
    }
    Ok(decoded.into())
}

#[cfg(test)]
mod tests;
