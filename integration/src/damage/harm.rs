//! One harm to one file.

use std::{
    fmt, fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, ensure};

/// What is done to a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Act {
    /// The byte at this offset is changed by these bits.
    Flip {
        /// From 0.
        offset: u64,
        /// Not 0.
        mask: u8,
    },
    /// The file ends after so many bytes.
    Cut {
        /// Bytes left, fewer than there were.
        length: u64,
    },
    /// The file is gone.
    Remove,
}

/// What is done to which file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Harm {
    /// Name of the file, or of a stored object.
    pub file: String,
    /// What is done to it.
    pub act: Act,
}

impl Harm {
    /// A harm to `file`.
    pub fn new(file: impl Into<String>, act: Act) -> Self {
        Self { file: file.into(), act }
    }

    /// Does it to the file in `directory`. The harmed file is a new one: other links to the old one keep it whole.
    ///
    /// # Errors
    /// Where there is no such file or nothing would change.
    pub fn apply(&self, directory: &Path) -> Result<()> {
        let path = directory.join(&self.file);
        let bytes = fs::read(&path).with_context(|| format!("{self}"))?;
        let harmed = self.harmed(bytes)?;
        fs::remove_file(&path)?;
        harmed.map_or(Ok(()), |bytes| fs::write(&path, bytes)).with_context(|| format!("{self}"))
    }

    /// The bytes after it; none where they are gone.
    ///
    /// # Errors
    /// Where nothing would change.
    pub fn harmed(&self, mut bytes: Vec<u8>) -> Result<Option<Vec<u8>>> {
        let size = bytes.len() as u64;
        match self.act {
            Act::Flip { offset, mask } => {
                ensure!(offset < size && mask != 0, "{self}: nothing to flip in {size} bytes");
                bytes[usize::try_from(offset)?] ^= mask;
            }
            Act::Cut { length } => {
                ensure!(length < size, "{self}: there are only {size} bytes");
                bytes.truncate(usize::try_from(length)?);
            }
            Act::Remove => return Ok(None),
        }
        Ok(Some(bytes))
    }

    /// The component, for example `Data.db`; the whole name of other files.
    pub fn component(&self) -> &str {
        self.file.splitn(4, '-').nth(3).unwrap_or(&self.file)
    }

    /// What the files of one SSTable have in common, for example `nb-1-big-`; the whole name of other files.
    pub fn stem(&self) -> &str {
        &self.file[..self.file.len() - if self.component() == self.file { 0 } else { self.component().len() }]
    }
}

impl fmt::Display for Harm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.act {
            Act::Flip { offset, mask } => write!(f, "{} flipped at {offset} by {mask:#04x}", self.file),
            Act::Cut { length } => write!(f, "{} cut to {length} bytes", self.file),
            Act::Remove => write!(f, "{} removed", self.file),
        }
    }
}

/// Directory of a table below a node's data directory.
///
/// # Errors
/// Where there is none or more than one.
pub fn table_directory(data: &Path, keyspace: &str, table: &str) -> Result<PathBuf> {
    let below = data.join(keyspace);
    let mut found = Vec::new();
    for entry in fs::read_dir(&below).with_context(|| below.display().to_string())? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.rsplit_once('-').is_some_and(|(name, _)| name == table) {
            found.push(entry.path());
        }
    }
    ensure!(found.len() == 1, "{} directories of {keyspace}.{table}", found.len());
    Ok(found.remove(0))
}

/// Names and sizes of the files in a directory, sorted; directories are left out, and what goes meanwhile.
///
/// # Errors
/// Where it cannot be read.
pub fn files_in(directory: &Path) -> Result<Vec<(String, u64)>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(directory).with_context(|| directory.display().to_string())? {
        let entry = entry?;
        let metadata = match entry.metadata() {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
            metadata => metadata?,
        };
        if metadata.is_file() {
            files.push((entry.file_name().to_string_lossy().into_owned(), metadata.len()));
        }
    }
    files.sort();
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn components_and_stems_are_parts_of_names() {
        let harm = |file: &str| Harm::new(file, Act::Remove);
        let data = harm("nb-12-big-Data.db");
        assert_eq!((data.stem(), data.component()), ("nb-12-big-", "Data.db"));
        let manifest = harm("manifest.json");
        assert_eq!((manifest.stem(), manifest.component()), ("manifest.json", "manifest.json"));
    }

    #[test]
    fn a_harm_always_changes_something() {
        let harm = |act| Harm::new("f", act).harmed(vec![1, 2, 3]);
        assert_eq!(harm(Act::Flip { offset: 2, mask: 1 }).unwrap(), Some(vec![1, 2, 2]));
        assert_eq!(harm(Act::Cut { length: 0 }).unwrap(), Some(vec![]));
        assert_eq!(harm(Act::Remove).unwrap(), None);
        for act in [Act::Flip { offset: 3, mask: 1 }, Act::Flip { offset: 0, mask: 0 }, Act::Cut { length: 3 }] {
            assert!(harm(act).is_err());
        }
    }

    #[test]
    fn other_links_to_a_harmed_file_stay_whole() {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join("a"), b"abc").unwrap();
        fs::hard_link(directory.path().join("a"), directory.path().join("b")).unwrap();
        Harm::new("a", Act::Flip { offset: 0, mask: 0xff }).apply(directory.path()).unwrap();
        assert_ne!(fs::read(directory.path().join("a")).unwrap(), b"abc");
        assert_eq!(fs::read(directory.path().join("b")).unwrap(), b"abc");
    }
}
