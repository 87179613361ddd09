//! A replica's directory: what is in it. Blocking.

use std::{
    collections::BTreeSet,
    fs,
    io::{self, ErrorKind, Read},
    path::{Path, PathBuf},
};

use super::record::{DOCUMENT_BYTES, Record, Winners};

/// Why a replica cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A directory or a file cannot be read or written.
    #[error("{}", path.display())]
    Io {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file is no document.
    #[error("{} is not a document", path.display())]
    Document {
        /// Which.
        path: PathBuf,
        /// Why, with line and column.
        source: serde_json::Error,
    },
}

impl Error {
    /// Of this path.
    pub fn at(path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        |source| Self::Io { path, source }
    }
}

/// Names of the objects of a replica.
///
/// # Errors
/// [`Error::Io`]; a name that is no text is `InvalidData`.
pub fn objects(directory: &Path) -> Result<BTreeSet<String>, Error> {
    names(directory, |kind| kind.is_dir())
}

/// Names of the documents of an object; none where the replica has no such object.
///
/// # Errors
/// [`Error::Io`].
pub fn documents(directory: &Path, object: &str) -> Result<BTreeSet<String>, Error> {
    match names(&directory.join(object), |kind| kind.is_file()) {
        Ok(mut found) => {
            found.retain(|name| name.ends_with(".json"));
            Ok(found)
        }
        Err(Error::Io { source, .. }) if source.kind() == ErrorKind::NotFound && directory.is_dir() => {
            Ok(BTreeSet::new())
        }
        Err(error) => Err(error),
    }
}

/// What a reader of this replica finds of an object, deletions too.
///
/// # Errors
/// [`Error`] naming the file.
pub fn read(directory: &Path, object: &str) -> Result<Winners, Error> {
    let mut winners = Winners::default();
    for name in documents(directory, object)? {
        let path = directory.join(object).join(name);
        let record = read_document(&path)?.ok_or_else(|| Error::at(&path)(ErrorKind::NotFound.into()))?;
        winners.add(record);
    }
    Ok(winners)
}

/// The record in a file; `None` where there is no file.
///
/// # Errors
/// [`Error`]; what is larger than a document is `FileTooLarge`.
pub fn read_document(path: &Path) -> Result<Option<Record>, Error> {
    let file = match fs::File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(Error::at(path)(error)),
    };
    let mut bytes = Vec::new();
    let read = file.take(DOCUMENT_BYTES + 1).read_to_end(&mut bytes).map_err(Error::at(path))?;
    if read as u64 > DOCUMENT_BYTES {
        return Err(Error::at(path)(ErrorKind::FileTooLarge.into()));
    }
    let parsed = Record::parse(&bytes);
    parsed.map(Some).map_err(|source| Error::Document { path: path.to_owned(), source })
}

/// Names in a directory that do not begin with `.`.
fn names(directory: &Path, is_meant: impl Fn(fs::FileType) -> bool) -> Result<BTreeSet<String>, Error> {
    let mut found = BTreeSet::new();
    for entry in fs::read_dir(directory).map_err(Error::at(directory))? {
        let entry = entry.map_err(Error::at(directory))?;
        let path = entry.path();
        let name = entry.file_name().into_string().map_err(|_| Error::at(&path)(ErrorKind::InvalidData.into()))?;
        if !name.starts_with('.') && is_meant(entry.file_type().map_err(Error::at(&path))?) {
            found.insert(name);
        }
    }
    Ok(found)
}
