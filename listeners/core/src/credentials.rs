//! Name and password of a user of a source, from the file that a specification names.

use std::{
    fmt, fs, io,
    path::{Path, PathBuf},
};

/// Why credentials cannot be had. No variant holds one.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file cannot be read.
    #[error("read credentials {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A line is missing in the file.
    #[error("credentials {} hold no line {line}=…", path.display())]
    Line {
        /// The file.
        path: PathBuf,
        /// `username` or `password`.
        line: &'static str,
    },
}

/// Name and password of a user; prints as `***`.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    username: String,
    password: String,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Credentials(***)")
    }
}

impl Credentials {
    /// Credentials of this user.
    pub fn new(username: impl Into<String>, password: impl Into<String>) -> Self {
        Self { username: username.into(), password: password.into() }
    }

    /// What a file holds, which has the lines `username=…` and `password=…`.
    ///
    /// # Errors
    /// [`Error`].
    pub fn read(path: &Path) -> Result<Self, Error> {
        let text = fs::read_to_string(path).map_err(|source| Error::Read { path: path.to_owned(), source })?;
        let line = |name: &'static str| {
            let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
            value.map(str::to_owned).ok_or_else(|| Error::Line { path: path.to_owned(), line: name })
        };
        Ok(Self { username: line("username")?, password: line("password")? })
    }

    /// The user's name.
    pub fn username(&self) -> &str {
        &self.username
    }

    /// The user's password: for the source's own driver, and for nothing that is printed or stored.
    pub fn password(&self) -> &str {
        &self.password
    }

    /// The variables that hand them to a listener, of name and of password, as [`crate::access::pair`] reads them.
    pub fn environment(&self, names: [&str; 2]) -> Vec<(String, String)> {
        let [username, password] = names.map(str::to_owned);
        vec![(username, self.username.clone()), (password, self.password.clone())]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Credentials, Error> {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("credentials");
        fs::write(&path, text).unwrap();
        Credentials::read(&path)
    }

    #[test]
    fn they_are_read_handed_on_and_never_printed() {
        let credentials = read("username=backup\npassword=a=b c\n").unwrap();
        assert_eq!(credentials, Credentials::new("backup", "a=b c"));
        assert!(!format!("{credentials:?}").contains("a=b"));
        assert_eq!(
            credentials.environment(["U", "P"]),
            [("U", "backup"), ("P", "a=b c")].map(|(n, v)| (n.into(), v.into()))
        );
    }

    #[test]
    fn a_missing_line_is_named_and_nothing_of_the_file_is_shown() {
        let error = read("username=backup\n").unwrap_err();
        assert!(
            matches!(error, Error::Line { line: "password", .. }) && !error.to_string().contains("backup"),
            "{error}"
        );
        assert!(matches!(read("password=x\n"), Err(Error::Line { line: "username", .. })));
    }

    #[test]
    fn an_unreadable_file_is_an_error_and_not_an_anonymous_login() {
        assert!(matches!(Credentials::read(Path::new("/nowhere/credentials")), Err(Error::Read { .. })));
    }
}
