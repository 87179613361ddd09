//! A file on its way to its name.

use std::{
    fs::{self, File, Metadata, OpenOptions},
    io::{self, ErrorKind, Read, Write},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use super::{Disk, Error, directories::parent, names::Change};

/// Bytes compared at a time.
const COMPARED_BYTES: usize = 1 << 20;

/// What a create came upon.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// The name was free.
    New,
    /// The name held the same bytes, and has those of this file now, which last.
    Same,
    /// The name holds other bytes.
    Other,
}

/// A file under a temporary name beside the one that it is to have; removed when dropped.
#[derive(Debug)]
pub(super) struct Staged {
    file: File,
    path: PathBuf,
    target: PathBuf,
    /// The temporary name is no longer this file's; by now it may be another one's.
    moved: bool,
}

impl Staged {
    /// An empty file; makes its directories.
    pub(super) fn new(disk: &Disk, target: &Path) -> Result<Self, Error> {
        let create = |path: &Path| OpenOptions::new().read(true).write(true).create_new(true).open(path);
        Self::stage(disk, target, create)
    }

    /// The bytes of `source`, which is an object and so was synced.
    pub(super) fn link(disk: &Disk, source: &Path, target: &Path) -> Result<Self, Error> {
        Self::stage(disk, target, |path| fs::hard_link(source, path).and_then(|()| File::open(path)))
    }

    fn stage(disk: &Disk, target: &Path, make: impl Fn(&Path) -> io::Result<File>) -> Result<Self, Error> {
        let directory = parent(target);
        disk.directories.make(directory)?;
        let staged = match temporary(target, &make) {
            // Removed meanwhile.
            Err(error) if error.kind() == ErrorKind::NotFound => {
                disk.directories.make(directory)?;
                temporary(target, &make)
            }
            other => other,
        };
        let (file, path) = staged.map_err(|source| failed("create", target, source))?;
        Ok(Self { file, path, target: target.to_owned(), moved: false })
    }

    pub(super) fn append(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.file.write_all(bytes).map_err(|source| failed("write", &self.path, source))
    }

    /// The file itself, to write at any place.
    pub(super) fn file(&self) -> &File {
        &self.file
    }

    /// The name that it is to have.
    pub(super) fn target(&self) -> &Path {
        &self.target
    }

    /// The tag by which the library tells versions of a file apart; a name does not change it.
    pub(super) fn tag(&self) -> Result<String, Error> {
        let metadata = self.file.metadata().map_err(|source| failed("look at", &self.path, source))?;
        let micros = metadata.mtime() as i128 * 1_000_000 + i128::from(metadata.mtime_nsec()) / 1_000;
        Ok(format!("\"{:x}-{:x}-{:x}\"", metadata.ino(), micros.max(0), metadata.len()))
    }

    /// Makes the bytes last.
    pub(super) fn sync(&self, disk: &Disk) -> Result<(), Error> {
        disk.sync.ask(&self.path, &self.file)
    }

    /// Gives the synced file its name where that is free or held by the same bytes, and makes that last.
    pub(super) fn create(self, disk: &Disk) -> Result<Found, Error> {
        // Opened before the change, so that no failure is reported to somebody else.
        let directory = self.directory()?;
        let mut change = Change::begin(&self.target);
        match fs::hard_link(&self.path, &self.target) {
            Ok(()) => {
                change.given();
                disk.sync.ask(parent(&self.target), &directory)?;
                change.lasts();
                return Ok(Found::New);
            }
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            Err(source) => return Err(failed("name", &self.target, source)),
        }
        drop(change);
        if !self.same().map_err(|source| failed("compare", &self.target, source))? {
            return Ok(Found::Other);
        }
        self.replace(disk).map(|()| Found::Same)
    }

    /// Gives the synced file its name, whatever holds it, and makes that last.
    pub(super) fn replace(self, disk: &Disk) -> Result<(), Error> {
        let change = Change::begin(&self.target);
        self.replace_under(change, disk)
    }

    fn replace_under(mut self, mut change: Change, disk: &Disk) -> Result<(), Error> {
        let directory = self.directory()?;
        // Of two names of one file a rename removes neither.
        let moves = !self.has_the_name();
        fs::rename(&self.path, &self.target).map_err(|source| failed("name", &self.target, source))?;
        self.moved = moves;
        change.given();
        disk.sync.ask(parent(&self.target), &directory)?;
        change.lasts();
        Ok(())
    }

    /// Writes what has a doubtful name into a new file, whose name is synced anew. The bytes were synced before they were named.
    pub(super) fn write_anew(disk: &Disk, target: &Path) -> Result<(), Error> {
        let change = Change::begin(target);
        if !change.of_doubtful() {
            return Ok(());
        }
        let mut old = match File::open(target) {
            Err(error) if error.kind() == ErrorKind::NotFound => {
                change.lasts();
                return Ok(());
            }
            other => other.map_err(|source| failed("open", target, source))?,
        };
        let mut staged = Self::new(disk, target)?;
        io::copy(&mut old, &mut staged.file).map_err(|source| failed("write anew", target, source))?;
        staged.sync(disk)?;
        staged.replace_under(change, disk)
    }

    fn directory(&self) -> Result<File, Error> {
        let path = parent(&self.target);
        File::open(path).map_err(|source| failed("open directory", path, source))
    }

    fn has_the_name(&self) -> bool {
        let file = |metadata: Metadata| (metadata.dev(), metadata.ino());
        let (ours, theirs) = (self.file.metadata().map(file), fs::metadata(&self.target).map(file));
        matches!((ours, theirs), (Ok(ours), Ok(theirs)) if ours == theirs)
    }

    /// Whether the name holds the same bytes.
    fn same(&self) -> io::Result<bool> {
        let (mut ours, mut theirs) = (File::open(&self.path)?, File::open(&self.target)?);
        let size = |file: &File| file.metadata().map(|metadata: Metadata| metadata.len());
        if size(&ours)? != size(&theirs)? {
            return Ok(false);
        }
        let (mut left, mut right) = (Vec::new(), Vec::new());
        loop {
            for (file, buffer) in [(&mut ours, &mut left), (&mut theirs, &mut right)] {
                buffer.clear();
                file.take(COMPARED_BYTES as u64).read_to_end(buffer)?;
            }
            if left != right || left.is_empty() {
                return Ok(left == right);
            }
        }
    }
}

impl Drop for Staged {
    fn drop(&mut self) {
        if !self.moved {
            // What stays where this fails no listing shows.
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// The first of the names `target#1`, `target#2` and so on that `make` finds free.
fn temporary(target: &Path, make: impl Fn(&Path) -> io::Result<File>) -> io::Result<(File, PathBuf)> {
    for number in 1_u64.. {
        let mut path = target.as_os_str().to_owned();
        path.push(format!("#{number}"));
        match make(Path::new(&path)) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            other => return other.map(|file| (file, path.into())),
        }
    }
    unreachable!("no directory holds so many files")
}

fn failed(operation: &'static str, path: &Path, source: io::Error) -> Error {
    Error::File { operation, path: path.to_owned(), source }
}
