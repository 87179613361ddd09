//! Documents in the store: JSON, compressed with zstd above 64 KiB, written once and read back by size and digest.
//!
//! Each says what it is: `{"document": kind, "format": number, "body": …}`. A person can read a bucket; a reader tells JSON from
//! zstd by the magic number, which no JSON starts with. Kind and number are looked at before the body, here and nowhere else.

use std::{io::Read, sync::Arc};

use bytes::Bytes;
use object_store::{ObjectStore, path::Path};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use tidemark_gateway::{fetch, upload};

use crate::{door, stored::StoredRef};

/// JSON longer than this, bytes, is compressed.
pub const PLAIN_BYTES: usize = 64 << 10;

/// Greatest document, bytes of JSON; also bounds what a compressed document may expand to.
pub const DOCUMENT_BYTES: u64 = 64 << 20;

/// The first format number of every kind of document that is read for ever. Number 1 was never released.
pub const FIRST_FORMAT: u32 = 2;

/// First bytes of a zstd frame (RFC 8878).
const ZSTD_MAGIC: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];

/// A kind of document.
pub trait Document: Serialize + DeserializeOwned {
    /// Its name in the store: lower-case words joined by `-`.
    const KIND: &'static str;

    /// The format number that is written, the newest one that is read.
    const FORMAT: u32 = FIRST_FORMAT;

    /// The document in `json`, the whole of it, whose kind is right and whose `format` is from [`FIRST_FORMAT`] through
    /// [`Document::FORMAT`]. A kind with older formats reads each in its own shape and converts it.
    ///
    /// # Errors
    /// Where the JSON has not the shape of its format, with line and column.
    fn parse(format: u32, json: &[u8]) -> Result<Self, serde_json::Error> {
        let _ = format;
        Ok(serde_json::from_slice::<Envelope<Self>>(json)?.body)
    }
}

/// A document as it is stored.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Envelope<T> {
    document: String,
    format: u32,
    body: T,
}

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
        source: door::Error,
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
    #[error("{path}: format {found} is newer than this build reads ({newest})")]
    Newer {
        /// The document.
        path: Path,
        /// Its format number.
        found: u64,
        /// The newest that is read.
        newest: u32,
    },
    /// Of a format that was never released.
    #[error("{path}: format {found} was never released, the first is {FIRST_FORMAT}")]
    Older {
        /// The document.
        path: Path,
        /// Its format number.
        found: u64,
    },
    /// A document of another kind.
    #[error("{path}: it is a document of kind {found:?}, not {expected:?}")]
    Kind {
        /// The document.
        path: Path,
        /// As it says.
        found: String,
        /// As it should be.
        expected: &'static str,
    },
    /// Sound by itself, but not in its place among others.
    #[error("{path} is damaged: {reason}")]
    Shape {
        /// The document.
        path: Path,
        /// What is wrong.
        reason: &'static str,
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

    /// True where the store failed and so says nothing about the document: a refused credential, an outage.
    pub fn is_of_the_store(&self) -> bool {
        matches!(self, Self::Read { source, .. } if source.is_of_the_store())
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
pub async fn write<T: Document>(store: &Arc<dyn ObjectStore>, path: &Path, value: &T) -> Result<StoredRef, Error> {
    let bytes = encode(path, value)?;
    let stored = upload::put_new(store, path, bytes).await;
    let stored = stored.map_err(|source| Error::Write { path: path.clone(), source })?;
    Ok(StoredRef::new(path, stored))
}

/// Reads the document that `reference` names, proven to be the one that was written.
///
/// # Errors
/// Each names the document: [`Error::Read`] where it is absent or damaged, [`Error::Kind`], [`Error::Newer`],
/// [`Error::Older`], [`Error::Decode`], [`Error::Decompress`], [`Error::TooLarge`].
pub async fn read<T: Document>(store: &Arc<dyn ObjectStore>, reference: &StoredRef) -> Result<T, Error> {
    let path = reference.path();
    if reference.size > DOCUMENT_BYTES {
        return Err(Error::TooLarge { path, limit: DOCUMENT_BYTES });
    }
    let bytes = door::read(store, reference).await;
    decode(&path, &bytes.map_err(|source| Error::Read { path: path.clone(), source })?)
}

/// As [`read`], of a name alone: nothing proves that the bytes are those that were written.
///
/// # Errors
/// As [`read`].
pub async fn read_unchecked<T: Document>(store: &Arc<dyn ObjectStore>, path: &Path) -> Result<T, Error> {
    let bytes = fetch::get_unchecked(store, path).await;
    decode(path, &bytes.map_err(|source| Error::Read { path: path.clone(), source: source.into() })?)
}

/// The stored bytes of `value`; `path` is for errors.
///
/// # Errors
/// [`Error::Encode`], [`Error::TooLarge`], [`Error::Compress`].
pub fn encode<T: Document>(path: &Path, value: &T) -> Result<Bytes, Error> {
    #[derive(Serialize)]
    struct Borrowed<'a, T> {
        document: &'static str,
        format: u32,
        body: &'a T,
    }
    let whole = Borrowed { document: T::KIND, format: T::FORMAT, body: value };
    let json = serde_json::to_vec(&whole).map_err(|source| Error::Encode { path: path.clone(), source })?;
    if json.len() as u64 > DOCUMENT_BYTES {
        return Err(Error::TooLarge { path: path.clone(), limit: DOCUMENT_BYTES });
    }
    if json.len() <= PLAIN_BYTES {
        return Ok(json.into());
    }
    let packed = zstd::bulk::compress(&json, zstd::DEFAULT_COMPRESSION_LEVEL);
    packed.map(Bytes::from).map_err(|source| Error::Compress { path: path.clone(), source })
}

/// The document in stored bytes; `path` is for errors.
///
/// # Errors
/// As [`read`], but for [`Error::Read`].
pub fn decode<T: Document>(path: &Path, stored: &[u8]) -> Result<T, Error> {
    let unpacked;
    let json = if stored.starts_with(&ZSTD_MAGIC) {
        unpacked = decompress(path, stored)?;
        &unpacked
    } else {
        stored
    };
    let format = admit::<T>(path, json)?;
    T::parse(format, json).map_err(|source| Error::Decode { path: path.clone(), source })
}

/// The format number of a document of the right kind and of a known format. What is newer may have any other shape, so that kind
/// and number are looked at before all else.
fn admit<T: Document>(path: &Path, json: &[u8]) -> Result<u32, Error> {
    #[derive(Deserialize)]
    struct Head {
        /// Absent from what is of no released format.
        #[serde(default)]
        document: String,
        format: u64,
    }
    let path = || path.clone();
    let Head { document, format: found } =
        serde_json::from_slice(json).map_err(|source| Error::Decode { path: path(), source })?;
    if found < u64::from(FIRST_FORMAT) {
        return Err(Error::Older { path: path(), found });
    }
    if document != T::KIND {
        let found = document.chars().take(80).collect();
        return Err(Error::Kind { path: path(), found, expected: T::KIND });
    }
    match u32::try_from(found) {
        Ok(format) if format <= T::FORMAT => Ok(format),
        _ => Err(Error::Newer { path: path(), found, newest: T::FORMAT }),
    }
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

#[cfg(test)]
mod tests {
    use object_store::memory::InMemory;

    use super::*;

    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Note {
        text: String,
    }

    impl Document for Note {
        const KIND: &'static str = "note";
        const FORMAT: u32 = 3;
    }

    fn note(text: &str) -> Note {
        Note { text: text.to_owned() }
    }

    fn memory() -> (Arc<dyn ObjectStore>, Path) {
        (Arc::new(InMemory::new()), Path::from("pages/one"))
    }

    async fn put(bytes: impl Into<Bytes>) -> (Arc<dyn ObjectStore>, StoredRef) {
        let (store, path) = memory();
        let stored = upload::put_new(&store, &path, bytes).await.unwrap();
        (store, StoredRef::new(&path, stored))
    }

    #[tokio::test]
    async fn small_documents_are_plain_json_and_large_ones_compressed() {
        let around = encode(&Path::from("p"), &note("")).unwrap().len();
        for (len, compressed) in
            [(10, false), (PLAIN_BYTES - around, false), (PLAIN_BYTES - around + 1, true), (1 << 20, true)]
        {
            let (store, path) = memory();
            let value = note(&"x".repeat(len));
            let reference = write(&store, &path, &value).await.unwrap();
            let stored = fetch::get_unchecked(&store, &path).await.unwrap();
            assert_eq!(stored.starts_with(&ZSTD_MAGIC), compressed, "{len}");
            assert_eq!(reference.size, stored.len() as u64);
            assert_eq!(read::<Note>(&store, &reference).await.unwrap(), value);
        }
    }

    #[tokio::test]
    async fn kind_and_both_bounds_are_looked_at_before_anything_else() {
        let of =
            |document: &str, format: u64| format!(r#"{{"shape":"unknown","document":"{document}","format":{format}}}"#);
        for (json, message) in [
            (of("note", 4), "pages/one: format 4 is newer than this build reads (3)"),
            (of("note", u64::MAX), "pages/one: format 18446744073709551615 is newer than this build reads (3)"),
            (of("note", 1), "pages/one: format 1 was never released, the first is 2"),
            (r#"{"format":1,"lines":[]}"#.to_owned(), "pages/one: format 1 was never released, the first is 2"),
            (of("entry", 2), "pages/one: it is a document of kind \"entry\", not \"note\""),
            (r#"{"format":2}"#.to_owned(), "pages/one: it is a document of kind \"\", not \"note\""),
        ] {
            let (store, reference) = put(json).await;
            assert_eq!(read::<Note>(&store, &reference).await.unwrap_err().to_string(), message);
        }
    }

    #[tokio::test]
    async fn unknown_fields_of_a_known_format_are_refused_in_the_body_and_around_it() {
        for json in [
            r#"{"document":"note","format":2,"body":{"text":"","more":1}}"#,
            r#"{"document":"note","format":2,"more":1,"body":{"text":""}}"#,
        ] {
            let (store, reference) = put(json).await;
            let error = read::<Note>(&store, &reference).await.unwrap_err();
            assert!(matches!(&error, Error::Decode { source, .. } if source.to_string().contains("more")), "{error:?}");
        }
    }

    #[tokio::test]
    async fn a_document_that_expands_beyond_the_bound_is_refused() {
        let bomb = zstd::bulk::compress(&vec![b' '; DOCUMENT_BYTES as usize + 1], 1).unwrap();
        assert!(bomb.len() < 1 << 20);
        let (store, reference) = put(bomb).await;
        assert!(matches!(read::<Note>(&store, &reference).await, Err(Error::TooLarge { .. })));
    }

    #[tokio::test]
    async fn damage_is_refused_with_the_documents_name() {
        let mut frame = zstd::bulk::compress(&[b' '; 1000], 1).unwrap();
        frame.truncate(frame.len() - 3);
        for bytes in [frame, b"{".to_vec(), b"".to_vec(), ZSTD_MAGIC.to_vec()] {
            let (store, reference) = put(bytes).await;
            let error = read::<Note>(&store, &reference).await.unwrap_err();
            assert!(error.to_string().contains("pages/one") && !error.is_retryable(), "{error}");
        }
    }

    #[tokio::test]
    async fn other_bytes_than_were_written_are_refused() {
        let (store, mut reference) = put(r#"{"document":"note","format":2,"body":{"text":""}}"#).await;
        assert_eq!(read::<Note>(&store, &reference).await.unwrap(), note(""));
        reference.digest = tidemark_gateway::Digest::of(b"other");
        assert!(matches!(read::<Note>(&store, &reference).await, Err(Error::Read { .. })));
        reference.size = DOCUMENT_BYTES + 1;
        assert!(matches!(read::<Note>(&store, &reference).await, Err(Error::TooLarge { .. })));
    }

    #[tokio::test]
    async fn a_name_is_written_once() {
        let (store, path) = memory();
        write(&store, &path, &note("1")).await.unwrap();
        assert!(write(&store, &path, &note("2")).await.unwrap_err().is_taken());
        assert!(read_unchecked::<Note>(&store, &Path::from("no")).await.unwrap_err().is_absent());
    }
}
