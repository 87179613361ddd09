//! Files in the state directory: small JSON files, each replaced as a whole, and files that are put aside.

use std::{
    fs,
    io::{self, Write as _},
    path::{Path, PathBuf},
};

use jiff::Timestamp;
use serde::{Serialize, de::DeserializeOwned};

/// What a file says; `None` where it is absent.
///
/// # Errors
/// Where it cannot be read; [`io::ErrorKind::InvalidData`] where it is not what this program writes.
pub(crate) fn read<T: DeserializeOwned>(file: &Path) -> io::Result<Option<T>> {
    match fs::read(file) {
        Ok(bytes) => {
            let read = serde_json::from_slice(&bytes);
            Ok(Some(read.map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Puts `value` in the place of the file: after a crash it is the old one or the new one.
///
/// # Errors
/// Of the file system.
pub(crate) fn write(file: &Path, value: &impl Serialize) -> io::Result<()> {
    let next = file.with_extension("json.next");
    let mut written = fs::File::create(&next)?;
    written.write_all(&serde_json::to_vec(value)?)?;
    written.sync_all()?;
    fs::rename(next, file)?;
    file.parent().map_or(Ok(()), |directory| fs::File::open(directory)?.sync_all())
}

/// Puts a file aside under its name and a number of its own, ms since 1970; the name then.
///
/// # Errors
/// Of the file system; [`io::ErrorKind::NotFound`] where it is absent.
pub(crate) fn put_aside(file: &Path, now: Timestamp) -> io::Result<PathBuf> {
    let mut aside = file.as_os_str().to_owned();
    aside.push(format!(".{}", now.as_millisecond()));
    fs::rename(file, &aside)?;
    Ok(aside.into())
}
