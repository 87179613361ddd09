//! What a listener learns when it is started, and from nobody afterwards: the one store that it writes to.
//!
//! Whoever speaks to it later can have it work for this store only.

/// The store of a listener process; its credentials have variables of their own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Store {
    /// Where it is.
    pub url: String,
    /// Id of the repository in it.
    pub repository: String,
    /// Whether it has shown that it verifies checksums.
    pub checksums: bool,
}

const URL: &str = "TIDEMARK_STORE_URL";
const REPOSITORY: &str = "TIDEMARK_STORE_REPOSITORY";
const CHECKSUMS: &str = "TIDEMARK_STORE_CHECKSUMS";

/// Values of [`CHECKSUMS`]: proven, and not.
const WORDS: [&str; 2] = ["proven", "unproven"];

/// What is wrong with the variables of a store.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// One of them is missing.
    #[error("{URL} is set and {0} is not")]
    Missing(&'static str),
    /// Neither `proven` nor `unproven`.
    #[error("{CHECKSUMS} is {0:?}, not proven or unproven")]
    Checksums(String),
}

impl Store {
    /// The variables of a listener's environment that say it.
    pub fn variables(&self) -> [(&'static str, String); 3] {
        let word = WORDS[usize::from(!self.checksums)];
        [(URL, self.url.clone()), (REPOSITORY, self.repository.clone()), (CHECKSUMS, word.to_owned())]
    }

    /// The store that the variables say; `None` where they say none. `get` has the value of a variable.
    ///
    /// # Errors
    /// [`Error`].
    pub fn from_variables(mut get: impl FnMut(&str) -> Option<String>) -> Result<Option<Self>, Error> {
        let Some(url) = get(URL) else { return Ok(None) };
        let repository = get(REPOSITORY).ok_or(Error::Missing(REPOSITORY))?;
        let word = get(CHECKSUMS).ok_or(Error::Missing(CHECKSUMS))?;
        let checksums = match WORDS.iter().position(|known| *known == word) {
            Some(place) => place == 0,
            None => return Err(Error::Checksums(word)),
        };
        Ok(Some(Self { url, repository, checksums }))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn read(variables: &BTreeMap<&str, String>) -> Result<Option<Store>, Error> {
        Store::from_variables(|name| variables.get(name).cloned())
    }

    #[test]
    fn a_store_crosses_the_environment() {
        for checksums in [true, false] {
            let store = Store { url: "s3://b/p".to_owned(), repository: "r1".to_owned(), checksums };
            let mut variables = BTreeMap::from(store.variables());
            assert_eq!(read(&variables), Ok(Some(store)));
            variables.insert(CHECKSUMS, "perhaps".to_owned());
            assert_eq!(read(&variables), Err(Error::Checksums("perhaps".to_owned())));
            variables.remove(REPOSITORY);
            assert_eq!(read(&variables), Err(Error::Missing(REPOSITORY)));
        }
        assert_eq!(read(&BTreeMap::new()), Ok(None));
    }
}
