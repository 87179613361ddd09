//! Documents in the store: JSON, compressed with zstd above 64 KiB, written once and read back by size and digest.
//!
//! A person can read a bucket; a reader tells the two encodings apart by zstd's magic number, which no JSON starts with.

use std::{io::Read, sync::Arc};

use bytes::Bytes;
use object_store::{ObjectStore, path::Path};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use tidemark_gateway::{Stored, fetch, upload};

use crate::stored::StoredRef;

/// JSON longer than this, bytes, is compressed.
pub const PLAIN_BYTES: usize = 64 << 10;

/// Greatest document, bytes of JSON; also bounds what a compressed document may expand to.
pub const DOCUMENT_BYTES: u64 = 64 << 20;

/// Newest format number that this build reads, of any document.
pub const NEWEST_FORMAT: u32 = 1;

/// First bytes of a zstd frame (RFC 8878).
const ZSTD_MAGIC: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];

/// Why a document cannot be written or read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The value has no JSON form.
    #[error("encode {path}")]
    Encode {
        /// The document.
        path: Path,
        /// Why.
        source: serde_json::Error,
    },
    /// Compression failed.
    #[error("compress {path}")]
    Compress {
        /// The document.
        path: Path,
        /// Why.
        source: std::io::Error,
    },
    /// The document was not stored.
    #[error("store {path}")]
    Write {
        /// The document.
        path: Path,
        /// Why.
        source: upload::Error,
    },
    /// The stored bytes cannot be had, or are others than were written.
    #[error("load {path}")]
    Read {
        /// The document.
        path: Path,
        /// Why.
        source: fetch::Error,
    },
    /// The compressed bytes are not a zstd frame.
    #[error("{path} is damaged: cannot be decompressed")]
    Decompress {
        /// The document.
        path: Path,
        /// Why.
        source: std::io::Error,
    },
    /// Larger than any document.
    #[error("{path} is larger than the {limit} bytes of the largest document")]
    TooLarge {
        /// The document.
        path: Path,
        /// [`DOCUMENT_BYTES`].
        limit: u64,
    },
    /// Written by a newer build.
    #[error("{path}: format {found} is newer than this build reads ({NEWEST_FORMAT})")]
    Newer {
        /// The document.
        path: Path,
        /// Its format number.
        found: u64,
    },
    /// Not the document that is expected.
    #[error("{path} is not a valid document")]
    Decode {
        /// The document.
        path: Path,
        /// Why, with line and column.
        source: serde_json::Error,
    },
}

impl Error {
    /// The object does not exist.
    pub fn is_absent(&self) -> bool {
        matches!(self, Self::Read { source, .. } if source.is_absent())
    }

    /// The name holds other bytes than were to be written.
    pub fn is_taken(&self) -> bool {
        matches!(self, Self::Write { source: upload::Error::Taken { .. }, .. })
    }

    /// Whether the same call may succeed later.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Write { source, .. } => source.is_retryable(),
            Self::Read { source, .. } => source.is_retryable(),
            _ => false,
        }
    }
}

/// Writes `value` under the new name `path`.
///
/// # Errors
/// [`Error::Write`] where the name holds other bytes or the store fails; [`Error::TooLarge`]; [`Error::Encode`].
pub async fn write<T: Serialize>(store: &Arc<dyn ObjectStore>, path: &Path, value: &T) -> Result<StoredRef, Error> {
    let bytes = encode(path, value)?;
    let stored = upload::put_new(store, path, bytes).await;
    let stored = stored.map_err(|source| Error::Write { path: path.clone(), source })?;
    Ok(StoredRef { key: path.to_string(), size: stored.size, digest: stored.digest })
}

/// Reads the document that `reference` names, proven to be the one that was written.
///
/// # Errors
/// Each names the document: [`Error::Read`] where it is absent or damaged, [`Error::Newer`], [`Error::Decode`],
/// [`Error::Decompress`], [`Error::TooLarge`].
pub async fn read<T: DeserializeOwned>(store: &Arc<dyn ObjectStore>, reference: &StoredRef) -> Result<T, Error> {
    let path = reference.path();
    if reference.size > DOCUMENT_BYTES {
        return Err(Error::TooLarge { path, limit: DOCUMENT_BYTES });
    }
    let expected = Stored { size: reference.size, digest: reference.digest };
    let bytes = fetch::get(store, &path, &expected).await;
    decode(&path, &bytes.map_err(|source| Error::Read { path: path.clone(), source })?)
}

/// As [`read`], of a name alone: nothing proves that the bytes are those that were written.
///
/// # Errors
/// As [`read`].
pub async fn read_unchecked<T: DeserializeOwned>(store: &Arc<dyn ObjectStore>, path: &Path) -> Result<T, Error> {
    let bytes = fetch::get_unchecked(store, path).await;
    decode(path, &bytes.map_err(|source| Error::Read { path: path.clone(), source })?)
}

/// The stored bytes of `value`.
pub(crate) fn encode<T: Serialize>(path: &Path, value: &T) -> Result<Bytes, Error> {
    let json = serde_json::to_vec(value).map_err(|source| Error::Encode { path: path.clone(), source })?;
    if json.len() as u64 > DOCUMENT_BYTES {
        return Err(Error::TooLarge { path: path.clone(), limit: DOCUMENT_BYTES });
    }
    if json.len() <= PLAIN_BYTES {
        return Ok(json.into());
    }
    let packed = zstd::bulk::compress(&json, zstd::DEFAULT_COMPRESSION_LEVEL);
    packed.map(Bytes::from).map_err(|source| Error::Compress { path: path.clone(), source })
}

/// The document in stored bytes.
pub(crate) fn decode<T: DeserializeOwned>(path: &Path, stored: &[u8]) -> Result<T, Error> {
    let unpacked;
    let json = if stored.starts_with(&ZSTD_MAGIC) {
        unpacked = decompress(path, stored)?;
        &unpacked
    } else {
        stored
    };
    refuse_newer(path, json)?;
    serde_json::from_slice(json).map_err(|source| Error::Decode { path: path.clone(), source })
}

fn decompress(path: &Path, stored: &[u8]) -> Result<Vec<u8>, Error> {
    let damaged = |source| Error::Decompress { path: path.clone(), source };
    let mut json = Vec::new();
    let decoder = zstd::stream::read::Decoder::with_buffer(stored).map_err(damaged)?;
    decoder.take(DOCUMENT_BYTES + 1).read_to_end(&mut json).map_err(damaged)?;
    if json.len() as u64 > DOCUMENT_BYTES {
        return Err(Error::TooLarge { path: path.clone(), limit: DOCUMENT_BYTES });
    }
    Ok(json)
}

/// A newer document may have any other shape, so its number is looked at before anything else.
fn refuse_newer(path: &Path, json: &[u8]) -> Result<(), Error> {
    #[derive(Deserialize)]
    struct Numbered {
        format: u64,
    }
    match serde_json::from_slice::<Numbered>(json) {
        Ok(Numbered { format }) if format > u64::from(NEWEST_FORMAT) => {
            Err(Error::Newer { path: path.clone(), found: format })
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use object_store::memory::InMemory;
    use serde_json::{Value, json};

    use super::*;

    fn memory() -> (Arc<dyn ObjectStore>, Path) {
        (Arc::new(InMemory::new()), Path::from("pages/one"))
    }

    async fn put(bytes: impl Into<Bytes>) -> (Arc<dyn ObjectStore>, StoredRef) {
        let (store, path) = memory();
        let stored = upload::put_new(&store, &path, bytes).await.unwrap();
        (store, StoredRef { key: path.to_string(), size: stored.size, digest: stored.digest })
    }

    #[tokio::test]
    async fn small_documents_are_plain_json_and_large_ones_compressed() {
        for (len, compressed) in [(10, false), (PLAIN_BYTES - 2, false), (PLAIN_BYTES - 1, true), (1 << 20, true)] {
            let (store, path) = memory();
            let value = Value::String("x".repeat(len));
            let reference = write(&store, &path, &value).await.unwrap();
            let stored = fetch::get_unchecked(&store, &path).await.unwrap();
            assert_eq!(stored.starts_with(&ZSTD_MAGIC), compressed, "{len}");
            assert_eq!(reference.size, stored.len() as u64);
            assert_eq!(read::<Value>(&store, &reference).await.unwrap(), value);
        }
    }

    #[tokio::test]
    async fn a_newer_format_is_refused_by_name_whatever_else_it_holds() {
        let (store, reference) = put(r#"{"shape":"unknown","format":2}"#).await;
        let error = read::<crate::entry::ObjectPage>(&store, &reference).await.unwrap_err();
        assert_eq!(error.to_string(), "pages/one: format 2 is newer than this build reads (1)");
    }

    #[tokio::test]
    async fn unknown_fields_of_a_known_format_are_refused() {
        let (store, reference) = put(r#"{"format":1,"lines":[],"more":1}"#).await;
        let error = read::<crate::entry::ObjectPage>(&store, &reference).await.unwrap_err();
        assert!(matches!(&error, Error::Decode { source, .. } if source.to_string().contains("more")), "{error:?}");
    }

    #[tokio::test]
    async fn a_document_that_expands_beyond_the_bound_is_refused() {
        let bomb = zstd::bulk::compress(&vec![b' '; DOCUMENT_BYTES as usize + 1], 1).unwrap();
        assert!(bomb.len() < 1 << 20);
        let (store, reference) = put(bomb).await;
        assert!(matches!(read::<Value>(&store, &reference).await, Err(Error::TooLarge { .. })));
    }

    #[tokio::test]
    async fn damage_is_refused_with_the_documents_name() {
        let mut frame = zstd::bulk::compress(&[b' '; 1000], 1).unwrap();
        frame.truncate(frame.len() - 3);
        for bytes in [frame, b"{".to_vec(), b"".to_vec(), ZSTD_MAGIC.to_vec()] {
            let (store, reference) = put(bytes).await;
            let error = read::<Value>(&store, &reference).await.unwrap_err();
            assert!(error.to_string().contains("pages/one") && !error.is_retryable(), "{error}");
        }
    }

    #[tokio::test]
    async fn other_bytes_than_were_written_are_refused() {
        let (store, mut reference) = put(r#"{"format":1}"#).await;
        reference.digest = tidemark_gateway::Digest::of(b"other");
        assert!(matches!(read::<Value>(&store, &reference).await, Err(Error::Read { .. })));
        reference.size = DOCUMENT_BYTES + 1;
        assert!(matches!(read::<Value>(&store, &reference).await, Err(Error::TooLarge { .. })));
    }

    #[tokio::test]
    async fn a_name_is_written_once() {
        let (store, path) = memory();
        write(&store, &path, &json!(1)).await.unwrap();
        assert!(write(&store, &path, &json!(2)).await.unwrap_err().is_taken());
        assert!(read_unchecked::<Value>(&store, &Path::from("no")).await.unwrap_err().is_absent());
    }
}
