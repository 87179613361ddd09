//! The lock that admits one process per state directory.

use std::{
    fs::{File, OpenOptions, TryLockError},
    io::{Read as _, Seek as _, Write as _},
    path::Path,
};

use super::OpenError;

/// Held while the directory is open; the operating system lets go of it when the process ends, however it ends.
pub(crate) struct StateLock {
    _file: File,
}

impl StateLock {
    /// Makes the directory where there is none and takes its lock.
    pub(crate) fn acquire(directory: &Path) -> Result<Self, OpenError> {
        let refuse = |source| OpenError::Directory { path: directory.to_owned(), source };
        std::fs::create_dir_all(directory).map_err(refuse)?;
        let mut file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .open(directory.join("lock"))
            .map_err(refuse)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(in_use(directory, &mut file)),
            Err(TryLockError::Error(source)) => return Err(refuse(source)),
        }
        write_pid(&mut file).map_err(refuse)?;
        Ok(Self { _file: file })
    }
}

fn in_use(directory: &Path, file: &mut File) -> OpenError {
    let mut text = String::new();
    let read = file.read_to_string(&mut text).is_ok();
    let pid = text.trim();
    let pid = if read && !pid.is_empty() { pid } else { "unknown" };
    OpenError::InUse { path: directory.to_owned(), pid: pid.to_owned() }
}

fn write_pid(file: &mut File) -> std::io::Result<()> {
    file.set_len(0)?;
    file.rewind()?;
    writeln!(file, "{}", std::process::id())?;
    file.sync_data()
}
