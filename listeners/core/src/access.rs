//! What a listener reads from its environment when it starts: its store, the store's key, and secrets of its source.
//!
//! Secrets come by environment only, never by arguments, which every user of the host can read.

use std::{env, env::VarError, sync::Arc};

use object_store::ObjectStore;
use tidemark_gateway::{Env, credentials::Credentials, limits::Limits, open, store_url::StoreUrl};

use crate::{
    launch::{self, Store},
    ship,
};

/// Prefix of the variables with the store's access key.
const KEY_PREFIX: &str = "TIDEMARK_STORE";

/// Why the environment cannot be read. No variant holds a value.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A variable is not text.
    #[error("{name} is not UTF-8 text")]
    NotText {
        /// The variable.
        name: String,
    },
    /// Of two variables that belong together one is missing.
    #[error("of {} and {} only one is set", names[0], names[1])]
    Half {
        /// Both.
        names: [&'static str; 2],
    },
    /// The variables of the store contradict each other.
    #[error("the store in the environment")]
    Store(#[source] launch::Error),
    /// The store's key is incomplete.
    #[error("credentials of the store")]
    Key(#[source] tidemark_gateway::credentials::Error),
}

/// The value of an environment variable; `None` where it is absent or empty.
///
/// # Errors
/// [`Error::NotText`].
pub fn variable(name: &str) -> Result<Option<String>, Error> {
    match env::var(name) {
        Ok(value) => Ok(Some(value).filter(|value| !value.is_empty())),
        Err(VarError::NotPresent) => Ok(None),
        Err(VarError::NotUnicode(_)) => Err(Error::NotText { name: name.to_owned() }),
    }
}

/// The values of two variables that belong together, such as a user's name and password; `None` where neither is set.
///
/// # Errors
/// [`Error::Half`] where one is; [`Error::NotText`].
pub fn pair(names: [&'static str; 2]) -> Result<Option<[String; 2]>, Error> {
    both(names, [variable(names[0])?, variable(names[1])?])
}

fn both(names: [&'static str; 2], values: [Option<String>; 2]) -> Result<Option<[String; 2]>, Error> {
    match values {
        [Some(first), Some(second)] => Ok(Some([first, second])),
        [None, None] => Ok(None),
        _ => Err(Error::Half { names }),
    }
}

/// The store that a process was started for, and what opens it. Prints no secret.
#[derive(Clone, Debug, Default)]
pub struct Access {
    /// The store; none where only the source is to be looked at.
    pub store: Option<Store>,
    /// Its access key, where it needs one.
    pub key: Option<Credentials>,
    /// What the process may ask of the store, all that opens it together; the orchestrator sets it by control.
    pub limits: Limits,
}

impl Access {
    /// What the environment says: the variables of [`Store`], and `TIDEMARK_STORE_ACCESS_KEY_ID` with
    /// `TIDEMARK_STORE_SECRET_ACCESS_KEY`.
    ///
    /// # Errors
    /// [`Error`] naming the variable.
    pub fn from_environment() -> Result<Self, Error> {
        Ok(Self { store: store()?, key: key()?, limits: Limits::default() })
    }

    /// Opens the store; nothing is asked of it yet.
    ///
    /// # Errors
    /// [`ship::Error::NoStore`], [`ship::Error::StoreUrl`], [`ship::Error::OpenStore`].
    pub fn open(&self, env: &Env) -> Result<Arc<dyn ObjectStore>, ship::Error> {
        let store = self.store.as_ref().ok_or(ship::Error::NoStore)?;
        let url: StoreUrl = store.url.parse().map_err(ship::Error::StoreUrl)?;
        let checksums = if store.checksums { open::Checksums::Told } else { open::Checksums::Unproven };
        let limits = self.limits.clone();
        let options = open::OpenOptions { checksums, limits, ..open::OpenOptions::default() };
        open::open(&url, self.key.as_ref(), &options, env).map_err(ship::Error::OpenStore)
    }

    /// True for a store that tells who writes to it by credentials.
    pub fn has_rights(&self) -> bool {
        let url = self.store.as_ref().map(|store| store.url.parse());
        matches!(url, Some(Ok(StoreUrl::S3(_))))
    }
}

fn store() -> Result<Option<Store>, Error> {
    let mut unreadable = None;
    let get = |name: &str| {
        variable(name).unwrap_or_else(|error| {
            unreadable = Some(error);
            None
        })
    };
    let store = Store::from_variables(get).map_err(Error::Store);
    unreadable.map_or(store, Err)
}

fn key() -> Result<Option<Credentials>, Error> {
    if variable(&format!("{KEY_PREFIX}_ACCESS_KEY_ID"))?.is_none() {
        return Ok(None);
    }
    Credentials::load(&format!("env:{KEY_PREFIX}")).map(Some).map_err(Error::Key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_of_a_pair_is_refused() {
        let names = ["USER_NAME", "PASSWORD"];
        let value = |text: &str| Some(text.to_owned());
        assert_eq!(both(names, [None, None]).unwrap(), None);
        assert_eq!(both(names, [value("a"), value("b")]).unwrap(), Some(["a".to_owned(), "b".to_owned()]));
        for half in [[value("secret"), None], [None, value("secret")]] {
            let words = both(names, half).unwrap_err().to_string();
            assert_eq!(words, "of USER_NAME and PASSWORD only one is set");
        }
    }

    #[test]
    fn a_process_without_a_store_opens_none() {
        let access = Access::default();
        assert!(matches!(access.open(&Env::system()), Err(ship::Error::NoStore)) && !access.has_rights());
        let store = Store { url: "nonsense".to_owned(), repository: "r".to_owned(), checksums: false };
        let access = Access { store: Some(store), ..Access::default() };
        assert!(matches!(access.open(&Env::system()), Err(ship::Error::StoreUrl(_))));
    }
}
