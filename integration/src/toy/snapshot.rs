//! Snapshots: hard links of a replica's files, so that they stay the same between the runs of a task. Blocking.
//!
//! A snapshot is the directory `.tidemark/<tag>` of the replica with `<object>/<name>` and, written last, `taken.json`: without it
//! there is no snapshot yet, and the next run begins anew. A document that is acknowledged was renamed into its place before the
//! directories are listed; who replaces it later leaves the link's file alone.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    io::{self, ErrorKind},
    path::{Path, PathBuf},
};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tidemark_gateway::{Env, causes::joined};

use super::{
    record::DOCUMENT_BYTES,
    replica::{self, Error},
};

/// Where snapshots are, below a replica's directory.
const FOLDER: &str = ".tidemark";

/// What says that a snapshot is whole.
const TAKEN: &str = "taken.json";

/// A snapshot that is whole.
#[derive(Debug)]
pub struct Snapshot {
    directory: PathBuf,
    /// What it holds.
    pub taken: Taken,
}

/// What was taken.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Taken {
    /// Right before the directories were listed.
    pub started: Timestamp,
    /// Right after the last link was made.
    pub finished: Timestamp,
    /// The objects.
    pub objects: BTreeMap<String, Held>,
}

/// What is held of an object: its files with their sizes, or why it could not be taken.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Held {
    /// Sizes by name.
    Files(BTreeMap<String, u64>),
    /// Why not, for people.
    Unreadable(String),
}

impl Snapshot {
    /// The snapshot `tag` of a replica; it is taken where it is not there. `is_meant` chooses objects by name.
    ///
    /// # Errors
    /// [`Error::Io`] where the replica cannot be listed or nothing can be written beside its data.
    pub fn take(replica: &Path, tag: &str, is_meant: impl Fn(&str) -> bool, env: &Env) -> Result<Self, Error> {
        let directory = replica.join(FOLDER).join(tag);
        if let Some(taken) = recall(&directory)? {
            return Ok(Self { directory, taken });
        }
        remove(&directory)?;
        fs::create_dir_all(&directory).map_err(Error::at(&directory))?;
        let started = env.now();
        let mut objects = BTreeMap::new();
        for object in replica::objects(replica)?.into_iter().filter(|object| is_meant(object)) {
            let held = link(replica, &directory, &object).unwrap_or_else(|error| Held::Unreadable(joined(&error)));
            objects.insert(object, held);
        }
        let taken = Taken { started, finished: env.now(), objects };
        let path = directory.join(TAKEN);
        write_whole(&path, &serde_json::to_vec(&taken).map_err(|error| Error::at(&path)(error.into()))?)?;
        Ok(Self { directory, taken })
    }

    /// Where a file is.
    pub fn path(&self, object: &str, name: &str) -> PathBuf {
        self.directory.join(object).join(name)
    }

    /// Bytes of all files.
    pub fn bytes(&self) -> u64 {
        let files = self.taken.objects.values().filter_map(|held| match held {
            Held::Files(files) => Some(files.values().sum::<u64>()),
            Held::Unreadable(_) => None,
        });
        files.sum()
    }
}

/// Tags of all snapshots of a replica, whole or not.
///
/// # Errors
/// [`Error::Io`].
pub fn tags(replica: &Path) -> Result<BTreeSet<String>, Error> {
    let folder = replica.join(FOLDER);
    let entries = match fs::read_dir(&folder) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(BTreeSet::new()),
        entries => entries.map_err(Error::at(&folder))?,
    };
    let name = |entry: io::Result<fs::DirEntry>| Ok(entry?.file_name().to_string_lossy().into_owned());
    entries.map(name).collect::<io::Result<_>>().map_err(Error::at(&folder))
}

/// Removes these snapshots; one that is not there is removed.
///
/// # Errors
/// [`Error::Io`].
pub fn give_back<'a>(replica: &Path, tags: impl IntoIterator<Item = &'a str>) -> Result<(), Error> {
    tags.into_iter().try_for_each(|tag| remove(&replica.join(FOLDER).join(tag)))
}

/// Writes a file that is there whole or not at all, durably.
///
/// # Errors
/// [`Error::Io`].
pub fn write_whole(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    let (folder, name) = (path.parent().unwrap_or(path), path.file_name().unwrap_or_default());
    let beside = folder.join(format!(".{}.part", name.to_string_lossy()));
    let write = || {
        let mut file = fs::File::create(&beside)?;
        io::Write::write_all(&mut file, bytes)?;
        file.sync_all()?;
        fs::rename(&beside, path)?;
        fs::File::open(folder)?.sync_all()
    };
    write().map_err(Error::at(path))
}

fn recall(directory: &Path) -> Result<Option<Taken>, Error> {
    let path = directory.join(TAKEN);
    match fs::read(&path) {
        Ok(bytes) => serde_json::from_slice(&bytes).map(Some).map_err(|source| Error::Document { path, source }),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Error::at(&path)(error)),
    }
}

fn link(replica: &Path, directory: &Path, object: &str) -> Result<Held, Error> {
    let folder = directory.join(object);
    fs::create_dir_all(&folder).map_err(Error::at(&folder))?;
    let mut files = BTreeMap::new();
    for name in replica::documents(replica, object)? {
        let (from, to) = (replica.join(object).join(&name), folder.join(&name));
        let size = fs::hard_link(&from, &to).and_then(|()| fs::metadata(&to)).map_err(Error::at(&from))?.len();
        if size > DOCUMENT_BYTES {
            return Err(Error::at(&from)(ErrorKind::FileTooLarge.into()));
        }
        files.insert(name, size);
    }
    Ok(Held::Files(files))
}

fn remove(directory: &Path) -> Result<(), Error> {
    match fs::remove_dir_all(directory) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(Error::at(directory)(error)),
        _ => Ok(()),
    }
}
