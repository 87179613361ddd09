//! API tokens: 32 random bytes with a prefix that secret scanners know; kept as a digest, compared in constant time.
//!
//! The file of a new token is written beside its name, synced, and linked to it: a crash or a full disk leaves a whole file or none.
//! An empty file is what neither leaves; it is taken for none.

mod file;

use std::{fmt, io, path::Path};

use tidemark_gateway::{Digest, Env};

/// Prefix of every token.
const PREFIX: &str = "tmk_";

/// A token that opens the API. Prints as `***`.
#[derive(Clone)]
pub struct ApiToken {
    text: String,
}

/// Why a token cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file cannot be read or made.
    #[error("token file {path}")]
    File {
        /// The file.
        path: String,
        /// Why.
        source: io::Error,
    },
    /// The file does not hold a token.
    #[error("token file {path} does not hold a token (tmk_ and 64 hexadecimal digits)")]
    Shape {
        /// The file.
        path: String,
    },
}

impl ApiToken {
    /// A new token.
    pub fn generate(env: &Env) -> Self {
        Self { text: format!("{PREFIX}{}", hex::encode(env.random::<32>())) }
    }

    /// Takes `text` as a token, where it has a token's shape.
    pub fn parse(text: &str) -> Option<Self> {
        let digits = text.trim().strip_prefix(PREFIX)?;
        let shaped = digits.len() == 64 && digits.bytes().all(|b| b.is_ascii_hexdigit());
        shaped.then(|| Self { text: text.trim().to_owned() })
    }

    /// Reads a token from a file.
    ///
    /// # Errors
    /// [`Error::File`] and [`Error::Shape`].
    pub fn read(path: &Path) -> Result<Self, Error> {
        let text =
            std::fs::read_to_string(path).map_err(|source| Error::File { path: path.display().to_string(), source })?;
        Self::parse(&text).ok_or_else(|| Error::Shape { path: path.display().to_string() })
    }

    /// Reads the token of a file, or makes the file (mode 0600) with a new token where it is absent or empty.
    ///
    /// # Errors
    /// [`Error::File`] and [`Error::Shape`].
    pub fn read_or_create(path: &Path, env: &Env) -> Result<Self, Error> {
        let failed = |source| Error::File { path: path.display().to_string(), source };
        if !lacks_a_token(path).map_err(failed)? {
            return Self::read(path);
        }
        let token = Self::generate(env);
        let write = |file: &mut std::fs::File| io::Write::write_all(file, format!("{}\n", token.text).as_bytes());
        match file::create(path, &file::beside(path, env.random()), write) {
            Ok(()) => Ok(token),
            // Another process was faster: its token is the one.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Self::read(path),
            Err(source) => Err(failed(source)),
        }
    }

    /// True iff `presented` is this token; takes the same time wherever they differ.
    pub fn accepts(&self, presented: &str) -> bool {
        // Comparing keyless digests of both sides hides where the texts differ: digests differ everywhere at once.
        let (own, other) = (Digest::of(self.text.as_bytes()), Digest::of(presented.as_bytes()));
        let difference = own.as_bytes().iter().zip(other.as_bytes()).fold(0, |acc, (a, b)| acc | (a ^ b));
        difference == 0
    }

    /// The secret itself, for the one header it belongs in.
    pub fn expose(&self) -> &str {
        &self.text
    }
}

impl fmt::Debug for ApiToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ApiToken(***)")
    }
}

/// True where there is no file, or one that holds nothing.
fn lacks_a_token(path: &Path) -> io::Result<bool> {
    match std::fs::metadata(path) {
        Ok(found) => Ok(found.is_file() && found.len() == 0),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(true),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_token_accepts_itself_and_nothing_else() {
        let token = ApiToken::generate(&Env::system());
        assert!(token.accepts(token.expose()));
        assert!(!token.accepts(""));
        assert!(!token.accepts(&token.expose()[1..]));
        assert_eq!(format!("{token:?}"), "ApiToken(***)");
    }

    #[test]
    fn a_token_file_is_made_once_and_private() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("token");
        let first = ApiToken::read_or_create(&path, &Env::system()).unwrap();
        let second = ApiToken::read_or_create(&path, &Env::system()).unwrap();
        assert!(first.accepts(second.expose()));
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn an_empty_file_gets_a_token_and_one_with_something_else_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("token");
        std::fs::write(&path, "").unwrap();
        let made = ApiToken::read_or_create(&path, &Env::system()).unwrap();
        assert!(ApiToken::read(&path).unwrap().accepts(made.expose()));
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        std::fs::write(&path, "password").unwrap();
        assert!(matches!(ApiToken::read_or_create(&path, &Env::system()), Err(Error::Shape { .. })));
        assert_eq!(std::fs::read(&path).unwrap(), b"password");
    }

    #[test]
    fn a_file_without_a_token_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("token");
        std::fs::write(&path, "password").unwrap();
        assert!(matches!(ApiToken::read(&path), Err(Error::Shape { .. })));
    }
}
