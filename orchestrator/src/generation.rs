//! Generations: what keeps tokens rising when the coordinator's state is lost.
//!
//! Revisions start anew with a new state directory, so a fencing token starts with a generation. A state takes one when its
//! first store is attached: a number above every generation that this store holds and above that of every newest manifest
//! in it, written there create-only. Attaching a further store may raise it; then the new number is written to the stores
//! attached before as well, so that each store knows every generation that wrote to it. The number of a store is remembered
//! under `generation/<repository>`, so that attaching it again changes nothing.
//!
//! A crash in between leaves a number that nobody uses.

use std::{collections::BTreeSet, sync::Arc};

use futures::TryStreamExt as _;
use jiff::Timestamp;
use object_store::{ObjectStore, path::Path};
use serde::{Deserialize, Serialize};
use tidemark_catalog::{
    chain::{self, VersionSet},
    document::{self, Document},
    find, layout,
};
use tidemark_gateway::{Digest, Env, fetch, retry};

use crate::coordinator::{self, Coordinator, Op};

/// Why no generation could be taken.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The coordinator failed.
    #[error("record the generation")]
    Coordinator(#[source] coordinator::Error),
    /// A store cannot be listed.
    #[error("list generations")]
    List(#[source] object_store::Error),
    /// Sources or sets of a store cannot be listed.
    #[error("find the version sets of the store")]
    Find(#[from] find::Error),
    /// The end of a chain cannot be read.
    #[error("find the newest token of the store")]
    Chain(#[from] chain::Error),
    /// A number that is listed cannot be read.
    #[error("read generation {number}")]
    Read {
        /// The number.
        number: u64,
        /// Why.
        source: fetch::Error,
    },
    /// A number cannot be written.
    #[error("write generation {number}")]
    Write {
        /// The number.
        number: u64,
        /// Why.
        source: document::Error,
    },
}

impl Error {
    /// Whether the same call may succeed later.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Coordinator(_) => true,
            Self::List(source) => retry::is_transient(source),
            Self::Find(source) => source.is_retryable(),
            Self::Chain(source) => source.is_retryable(),
            Self::Read { source, .. } => source.is_retryable(),
            Self::Write { source, .. } => source.is_retryable(),
        }
    }
}

/// Makes sure that this coordinator's generation is its own in `store`; `attached` are the stores that use it already.
///
/// # Errors
/// [`Error`]; the same call is safe after any of them.
pub async fn attach(
    coordinator: &dyn Coordinator,
    repository: &str,
    store: &Arc<dyn ObjectStore>,
    attached: &[Arc<dyn ObjectStore>],
    env: &Env,
) -> Result<u64, Error> {
    let known = coordinator.get(&key(repository)).await.map_err(Error::Coordinator)?.is_some();
    let current = coordinator.generation();
    // One that was raised while this store was away is not in it.
    if known && listed(store).await?.contains(&current) {
        return Ok(current);
    }
    take_above(coordinator, repository, current, store, attached, env).await
}

/// True where attaching `store` would take a generation above the present one.
///
/// # Errors
/// [`Error`].
pub async fn rises(coordinator: &dyn Coordinator, store: &Arc<dyn ObjectStore>) -> Result<bool, Error> {
    Ok(lowest_new(store).await? > coordinator.generation())
}

/// Takes a generation that is new in `store` and here: whatever was claimed before is fenced by what is committed under it.
///
/// # Errors
/// As [`attach`].
pub async fn renew(
    coordinator: &dyn Coordinator,
    repository: &str,
    store: &Arc<dyn ObjectStore>,
    attached: &[Arc<dyn ObjectStore>],
    env: &Env,
) -> Result<u64, Error> {
    take_above(coordinator, repository, coordinator.generation() + 1, store, attached, env).await
}

/// Forgets that this coordinator's generation is in a repository: attaching it again takes a new one.
///
/// # Errors
/// [`Error::Coordinator`].
pub async fn detach(coordinator: &dyn Coordinator, repository: &str) -> Result<(), Error> {
    let delete = vec![Op::delete(key(repository))];
    coordinator.txn(vec![], delete, vec![]).await.map_err(Error::Coordinator)?;
    Ok(())
}

fn key(repository: &str) -> String {
    format!("generation/{repository}")
}

async fn take_above(
    coordinator: &dyn Coordinator,
    repository: &str,
    least: u64,
    store: &Arc<dyn ObjectStore>,
    attached: &[Arc<dyn ObjectStore>],
    env: &Env,
) -> Result<u64, Error> {
    let number = take(coordinator.generation(), least, store, attached, env).await?;
    coordinator.raise_generation(number).await.map_err(Error::Coordinator)?;
    let put = Op::put(key(repository), number.to_string());
    coordinator.txn(vec![], vec![put], vec![]).await.map_err(Error::Coordinator)?;
    Ok(number)
}

/// Takes the lowest number that is new in `store`, not below `least`, and new in the others where it is above `current`.
async fn take(
    current: u64,
    least: u64,
    store: &Arc<dyn ObjectStore>,
    attached: &[Arc<dyn ObjectStore>],
    env: &Env,
) -> Result<u64, Error> {
    let mut number = least.max(lowest_new(store).await?);
    loop {
        let others = if number > current { attached } else { &[] };
        if claim_in_all(number, std::iter::once(store).chain(others), env).await? {
            return Ok(number);
        }
        number += 1;
    }
}

/// A generation, as it is stored.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Generation {
    generation: u64,
    /// 16 random bytes, hexadecimal: two coordinators never write the same bytes.
    nonce: String,
    created: Timestamp,
}

impl Document for Generation {
    const KIND: &'static str = "generation";
}

/// Writes the number to each; false where another coordinator has it in one of them.
async fn claim_in_all(
    number: u64,
    stores: impl Iterator<Item = &Arc<dyn ObjectStore>>,
    env: &Env,
) -> Result<bool, Error> {
    for store in stores {
        let nonce = hex::encode(env.random::<16>());
        let taken = Generation { generation: number, nonce, created: env.now() };
        match document::write(store, &layout::generation(number), &taken).await {
            Ok(_) => {}
            Err(error) if error.is_taken() => return Ok(false),
            Err(source) => return Err(Error::Write { number, source }),
        }
    }
    Ok(true)
}

/// The highest generation that a store holds; 0 where it holds none.
///
/// # Errors
/// [`Error::List`].
pub(crate) async fn newest(store: &Arc<dyn ObjectStore>) -> Result<u64, Error> {
    Ok(listed(store).await?.last().copied().unwrap_or(0))
}

/// All generations that a store holds.
///
/// # Errors
/// [`Error::List`].
pub(crate) async fn listed(store: &Arc<dyn ObjectStore>) -> Result<BTreeSet<u64>, Error> {
    let listed = store.list(Some(&Path::from("gen")));
    let numbers = listed.try_filter_map(|object| async move { Ok(object.location.filename().and_then(number)) });
    numbers.try_collect().await.map_err(Error::List)
}

/// The generation that a name is; `None` for a foreign one. A token has 10 digits for it.
fn number(name: &str) -> Option<u64> {
    let digits = name.len() == 20 && name.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| name.parse().ok()).flatten().filter(|number| *number < 10_000_000_000)
}

/// BLAKE3 of what is stored of a generation.
///
/// # Errors
/// [`Error::Read`].
pub(crate) async fn digest(store: &Arc<dyn ObjectStore>, number: u64) -> Result<Digest, Error> {
    let bytes = fetch::get_unchecked(store, &layout::generation(number)).await;
    bytes.map(|bytes| Digest::of(&bytes)).map_err(|source| Error::Read { number, source })
}

/// The lowest number above all that a store holds or that its newest manifests carry.
async fn lowest_new(store: &Arc<dyn ObjectStore>) -> Result<u64, Error> {
    Ok(newest(store).await?.max(newest_token(store).await?) + 1)
}

/// The highest generation in the newest manifests of a store.
async fn newest_token(store: &Arc<dyn ObjectStore>) -> Result<u64, Error> {
    let mut highest = 0;
    for source in find::sources(store).await? {
        for set in find::sets(store, &source).await? {
            // Damage hides no generation: the name of each is below `gen/` as well.
            let newest = VersionSet::new(Arc::clone(store), source.clone(), set).newest_readable().await?;
            highest = highest.max(newest.map_or(0, |manifest| manifest.token.generation));
        }
    }
    Ok(highest)
}

#[cfg(test)]
mod tests {
    use object_store::memory::InMemory;

    use super::*;
    use crate::coordinator::embedded::Embedded;

    fn state() -> (Embedded, tempfile::TempDir) {
        let directory = tempfile::tempdir().unwrap();
        (Embedded::open(directory.path(), Env::system()).unwrap(), directory)
    }

    fn store() -> Arc<dyn ObjectStore> {
        Arc::new(InMemory::new())
    }

    #[tokio::test]
    async fn a_new_state_has_a_higher_generation_than_the_one_that_was_lost() {
        let (bucket, env) = (store(), Env::system());
        for expected in 1..4 {
            let (coordinator, _directory) = state();
            assert_eq!(attach(&coordinator, "r", &bucket, &[], &env).await.unwrap(), expected);
            assert_eq!(attach(&coordinator, "r", &bucket, &[], &env).await.unwrap(), expected);
        }
    }

    #[tokio::test]
    async fn a_generation_raised_by_one_store_is_known_to_the_others() {
        let (one, two, env) = (store(), store(), Env::system());
        for _ in 0..5 {
            attach(&state().0, "two", &two, &[], &env).await.unwrap();
        }
        let (coordinator, _directory) = state();
        assert_eq!(attach(&coordinator, "one", &one, &[], &env).await.unwrap(), 1);
        assert_eq!(attach(&coordinator, "two", &two, &[Arc::clone(&one)], &env).await.unwrap(), 6);
        assert_eq!(attach(&state().0, "one", &one, &[], &env).await.unwrap(), 7);
    }

    #[tokio::test]
    async fn a_store_that_was_away_while_the_generation_rose_gets_a_new_one() {
        let (one, two, env) = (store(), store(), Env::system());
        attach(&state().0, "two", &two, &[], &env).await.unwrap();
        let (coordinator, _directory) = state();
        assert_eq!(attach(&coordinator, "one", &one, &[], &env).await.unwrap(), 1);
        assert_eq!(attach(&coordinator, "two", &two, &[], &env).await.unwrap(), 2);
        assert_eq!(attach(&coordinator, "one", &one, &[two], &env).await.unwrap(), 2);
        assert_eq!(listed(&one).await.unwrap(), BTreeSet::from([1, 2]));
    }

    #[tokio::test]
    async fn foreign_names_are_no_generations() {
        let one = store();
        for name in ["3", "+0000000000000000009", "99999999999999999999", "00000000010000000000", "readme"] {
            object_store::ObjectStoreExt::put(&one, &Path::from(format!("gen/{name}")), "x".into()).await.unwrap();
        }
        assert_eq!(newest(&one).await.unwrap(), 0);
        object_store::ObjectStoreExt::put(&one, &layout::generation(4), "x".into()).await.unwrap();
        assert_eq!(attach(&state().0, "one", &one, &[], &Env::system()).await.unwrap(), 5);
    }

    #[tokio::test]
    async fn a_renewed_generation_is_above_all_and_in_all_stores() {
        let (one, two, env) = (store(), store(), Env::system());
        let (coordinator, _directory) = state();
        attach(&coordinator, "one", &one, &[], &env).await.unwrap();
        attach(&coordinator, "two", &two, &[Arc::clone(&one)], &env).await.unwrap();
        assert_eq!(renew(&coordinator, "two", &two, &[Arc::clone(&one)], &env).await.unwrap(), 2);
        assert_eq!((newest(&one).await.unwrap(), newest(&two).await.unwrap()), (2, 2));
        detach(&coordinator, "two").await.unwrap();
        assert_eq!(attach(&coordinator, "two", &two, &[one], &env).await.unwrap(), 3);
    }

    #[tokio::test]
    async fn a_higher_generation_is_taken_along_to_a_store_that_knows_lower_ones() {
        let (one, two, env) = (store(), store(), Env::system());
        let (coordinator, _directory) = state();
        coordinator.raise_generation(9).await.unwrap();
        assert_eq!(attach(&coordinator, "one", &one, &[], &env).await.unwrap(), 9);
        assert_eq!(attach(&coordinator, "two", &two, &[one], &env).await.unwrap(), 9);
        assert_eq!(newest(&two).await.unwrap(), 9);
    }
}
