//! Uploads that were begun and neither completed nor aborted: a crash leaves them, no listing of objects shows them, and they
//! take space for ever.
//!
//! A directory holds them as files under temporary names, S3 under ids of its own. Stores in memory have none. Whether one is
//! still under way cannot be seen: whoever ends uploads takes those that are much older than any upload lasts.

mod bucket;
mod directory;

use std::{fmt, io, path::PathBuf};

use futures::{StreamExt, stream::BoxStream};
use jiff::Timestamp;
use object_store::{client::HttpError, path::Path};

pub(crate) use self::{bucket::Bucket, directory::Directory};

/// An unfinished upload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Upload {
    /// The object that it was to become.
    pub path: Path,
    /// Tells it apart from other uploads to the same name.
    pub id: String,
    /// When it was begun, by the store's clock.
    pub begun: Timestamp,
    /// What it holds, bytes; `None` where the store does not say it in a list.
    pub bytes: Option<u64>,
}

/// Why uploads could not be listed or ended.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file or directory.
    #[error("{operation} {}", path.display())]
    File {
        /// What was done.
        operation: &'static str,
        /// With what.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
    /// The store was not reached, or its answer broke off.
    #[error("list unfinished uploads of bucket {bucket}")]
    Request {
        /// The bucket.
        bucket: String,
        /// Why.
        source: HttpError,
    },
    /// The request could not be signed.
    #[error("sign a request to bucket {bucket}")]
    Sign {
        /// The bucket.
        bucket: String,
        /// Why.
        source: object_store::Error,
    },
    /// The store refused, or is busy.
    #[error("list unfinished uploads of bucket {bucket}: status {status}{}", .code.as_ref().map(|code| format!(", {code}")).unwrap_or_default())]
    Refused {
        /// The bucket.
        bucket: String,
        /// HTTP status.
        status: u16,
        /// The store's word for it, such as `AccessDenied`.
        code: Option<String>,
    },
    /// The answer is no list of uploads.
    #[error("the list of unfinished uploads of bucket {bucket} cannot be read: {reason}")]
    Answer {
        /// The bucket.
        bucket: String,
        /// Why.
        reason: String,
    },
    /// The pages of the list do not follow one another.
    #[error("the list of unfinished uploads of bucket {bucket} is wrong: {reason}")]
    Pages {
        /// The bucket.
        bucket: String,
        /// What was seen.
        reason: &'static str,
    },
    /// An upload could not be ended.
    #[error("abort upload {id} of {path}")]
    Abort {
        /// The object that it was to become.
        path: Path,
        /// The upload.
        id: String,
        /// Why.
        source: object_store::Error,
    },
}

impl Error {
    /// Whether the same call may succeed later.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Request { .. } => true,
            Self::Refused { status, .. } => *status >= 500 || matches!(status, 408 | 429),
            Self::Abort { source, .. } => crate::retry::is_transient(source),
            _ => false,
        }
    }
}

/// The unfinished uploads of one store; a cheap handle.
#[derive(Clone)]
pub struct Unfinished(Kind);

#[derive(Clone)]
enum Kind {
    None,
    Directory(Directory),
    Bucket(Bucket),
}

impl Unfinished {
    /// Of a store that has none.
    pub(crate) fn none() -> Self {
        Self(Kind::None)
    }

    pub(crate) fn in_directory(directory: Directory) -> Self {
        Self(Kind::Directory(directory))
    }

    pub(crate) fn in_bucket(bucket: Bucket) -> Self {
        Self(Kind::Bucket(bucket))
    }

    /// The unfinished uploads below `prefix`, in no order; page by page as they are asked for. The stream ends after an error.
    ///
    /// # Errors
    /// [`Error`] by variant, but [`Error::Abort`].
    pub fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<Upload, Error>> {
        match &self.0 {
            Kind::None => futures::stream::empty().boxed(),
            Kind::Directory(directory) => directory.clone().list(prefix),
            Kind::Bucket(bucket) => bucket.clone().list(prefix),
        }
    }

    /// Ends an upload and frees what it holds; done too where it is gone already. What an upload of the same name has completed
    /// is not touched.
    ///
    /// # Errors
    /// [`Error::Abort`], [`Error::File`].
    pub async fn abort(&self, upload: &Upload) -> Result<(), Error> {
        match &self.0 {
            Kind::None => Ok(()),
            Kind::Directory(directory) => directory.abort(upload).await,
            Kind::Bucket(bucket) => bucket.abort(upload).await,
        }
    }
}

impl fmt::Debug for Unfinished {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Unfinished")
    }
}
