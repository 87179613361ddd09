//! Name and password of a user of the source.

use std::fmt;

use super::Error;
use crate::spec::MongoSpec;

/// Environment variable of a listener with the name of the source's user.
pub const USERNAME_VARIABLE: &str = "TIDEMARK_MONGODB_USERNAME";

/// Environment variable of a listener with the password of the source's user.
pub const PASSWORD_VARIABLE: &str = "TIDEMARK_MONGODB_PASSWORD";

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

    /// The credentials that a specification names, read from their file.
    ///
    /// # Errors
    /// [`Error::ReadCredentials`], [`Error::CredentialsLine`], [`Error::Spec`].
    pub fn of(spec: &MongoSpec) -> Result<Option<Self>, Error> {
        let Some(path) = spec.credentials_file()? else { return Ok(None) };
        let text = std::fs::read_to_string(path);
        let text = text.map_err(|source| Error::ReadCredentials { path: path.to_owned(), source })?;
        let line = |name: &'static str| {
            let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
            value.map(str::to_owned).ok_or_else(|| Error::CredentialsLine { path: path.to_owned(), line: name })
        };
        Ok(Some(Self { username: line("username")?, password: line("password")? }))
    }

    /// Variables that hand the credentials to a listener.
    pub fn environment(&self) -> Vec<(String, String)> {
        let pairs = [(USERNAME_VARIABLE, &self.username), (PASSWORD_VARIABLE, &self.password)];
        pairs.map(|(name, value)| (name.to_owned(), value.clone())).to_vec()
    }

    pub(super) fn into_pair(self) -> (String, String) {
        (self.username, self.password)
    }
}
