//! Access keys of stores: where they come from, and how they stay out of every text.

use std::{fmt, fs, path::PathBuf};

use zeroize::Zeroizing;

/// An access key of an S3-compatible store. Prints as `***`; wiped from memory when dropped.
#[derive(Clone)]
pub struct Credentials {
    access_key_id: Zeroizing<String>,
    secret_access_key: Zeroizing<String>,
}

/// Why no credentials could be had from a reference. No variant holds a value.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Not a reference to credentials.
    #[error("credentials are given as env:PREFIX or file:/path, never themselves")]
    Reference,
    /// An environment variable is absent, empty or not UTF-8.
    #[error("environment variable {name} is not set, or not UTF-8 text")]
    Variable {
        /// The variable.
        name: String,
    },
    /// The file cannot be read.
    #[error("read credentials file {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file has a line that is not one of the two that are known.
    #[error("credentials file {}, line {line}: expected access_key_id=... or secret_access_key=..., each once", path.display())]
    Line {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
    },
    /// The file lacks one of the two values.
    #[error("credentials file {} lacks {name}", path.display())]
    Lacks {
        /// The file.
        path: PathBuf,
        /// What is absent.
        name: &'static str,
    },
}

impl Credentials {
    /// Credentials of these values.
    pub fn new(access_key_id: impl Into<String>, secret_access_key: impl Into<String>) -> Self {
        Self {
            access_key_id: Zeroizing::new(access_key_id.into()),
            secret_access_key: Zeroizing::new(secret_access_key.into()),
        }
    }

    /// Reads the credentials that `reference` points at: `env:PREFIX` (variables `PREFIX_ACCESS_KEY_ID` and
    /// `PREFIX_SECRET_ACCESS_KEY`) or `file:/path` (lines `access_key_id=...` and `secret_access_key=...`; empty lines and
    /// lines that start with `#` do not count).
    ///
    /// # Errors
    /// [`Error`] naming the variable, or the file and line.
    pub fn load(reference: &str) -> Result<Self, Error> {
        match reference.split_once(':') {
            Some(("env", prefix)) if !prefix.is_empty() => from_variables(prefix),
            Some(("file", path)) if path.starts_with('/') => from_file(PathBuf::from(path)),
            _ => Err(Error::Reference),
        }
    }

    /// The public half.
    pub fn access_key_id(&self) -> &str {
        &self.access_key_id
    }

    /// The secret half; hand it to the store's client and nothing else.
    pub fn secret_access_key(&self) -> &str {
        &self.secret_access_key
    }
}

fn from_variables(prefix: &str) -> Result<Credentials, Error> {
    let value = |suffix: &str| {
        let name = format!("{prefix}_{suffix}");
        std::env::var(&name).ok().filter(|v| !v.is_empty()).ok_or(Error::Variable { name })
    };
    Ok(Credentials::new(value("ACCESS_KEY_ID")?, value("SECRET_ACCESS_KEY")?))
}

fn from_file(path: PathBuf) -> Result<Credentials, Error> {
    let text = match fs::read_to_string(&path) {
        Ok(text) => Zeroizing::new(text),
        Err(source) => return Err(Error::Read { path, source }),
    };
    let (mut id, mut secret) = (None, None);
    for (index, line) in text.lines().map(str::trim).enumerate().filter(|(_, l)| !l.is_empty() && !l.starts_with('#')) {
        let slot = match line.split_once('=') {
            Some(("access_key_id", value)) if id.is_none() && !value.is_empty() => id.insert(value),
            Some(("secret_access_key", value)) if secret.is_none() && !value.is_empty() => secret.insert(value),
            _ => return Err(Error::Line { path, line: index + 1 }),
        };
        *slot = slot.trim();
    }
    match (id, secret) {
        (Some(id), Some(secret)) => Ok(Credentials::new(id, secret)),
        (None, _) => Err(Error::Lacks { path, name: "access_key_id" }),
        (_, None) => Err(Error::Lacks { path, name: "secret_access_key" }),
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Credentials(***)")
    }
}

impl fmt::Display for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(text: &str) -> Result<Credentials, Error> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("key");
        fs::write(&path, text).unwrap();
        Credentials::load(&format!("file:{}", path.display()))
    }

    #[test]
    fn a_file_gives_both_halves_and_prints_neither() {
        let found = file("# store\naccess_key_id=AK\n\nsecret_access_key = no\n".replace(" = ", "=").as_str()).unwrap();
        assert_eq!((found.access_key_id(), found.secret_access_key()), ("AK", "no"));
        assert_eq!(format!("{found} {found:?}"), "*** Credentials(***)");
    }

    #[test]
    fn errors_name_the_place_and_no_value() {
        for (text, place) in [
            ("access_key_id=AK\n", "lacks secret_access_key"),
            ("secret_access_key=hunter2\n", "lacks access_key_id"),
            ("access_key_id=AK\nhunter2\n", "line 2"),
            ("access_key_id=AK\naccess_key_id=hunter2\n", "line 2"),
            ("access_key_id=\n", "line 1"),
        ] {
            let error = file(text).unwrap_err().to_string();
            assert!(error.contains(place) && !error.contains("hunter2"), "{text:?}: {error}");
        }
    }

    #[test]
    fn a_reference_is_never_the_secret_itself() {
        for reference in ["hunter2", "AK:hunter2", "env:", "file:relative/hunter2"] {
            let error = Credentials::load(reference).unwrap_err();
            assert!(matches!(error, Error::Reference) && !error.to_string().contains("hunter2"));
        }
        let absent = Credentials::load("env:TIDEMARK_NO_SUCH_PREFIX").unwrap_err().to_string();
        assert!(absent.contains("TIDEMARK_NO_SUCH_PREFIX_ACCESS_KEY_ID"), "{absent}");
    }
}
