//! Generations: what keeps tokens rising when the coordinator's state is lost.
//!
//! Revisions start anew with a new state directory, so a fencing token starts with a generation. A state takes one when its
//! first store is attached: a number above every generation that this store holds and above that of every newest manifest
//! in it, written there create-only. Attaching a further store may raise it; then the new number is written to the stores
//! attached before as well, so that each store knows every generation that wrote to it. The number of a store is remembered
//! under `generation/<repository>`, so that attaching it again changes nothing.
//!
//! A crash in between leaves a number that nobody uses.

use std::sync::Arc;

use futures::TryStreamExt as _;
use object_store::{ObjectStore, path::Path};
use tidemark_catalog::{chain, chain::VersionSet, find, layout};
use tidemark_gateway::{Env, upload};

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
    /// A number cannot be written.
    #[error("write generation {number}")]
    Write {
        /// The number.
        number: u64,
        /// Why.
        source: upload::Error,
    },
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
    let key = format!("generation/{repository}");
    if coordinator.get(&key).await.map_err(Error::Coordinator)?.is_some() {
        return Ok(coordinator.generation());
    }
    let number = take(coordinator.generation(), store, attached, env).await?;
    coordinator.raise_generation(number).await.map_err(Error::Coordinator)?;
    let put = Op::put(key, number.to_string());
    coordinator.txn(vec![], vec![put], vec![]).await.map_err(Error::Coordinator)?;
    Ok(number)
}

/// Takes the lowest number that is new in `store`, not below `current`, and new in the others where it is above `current`.
async fn take(
    current: u64,
    store: &Arc<dyn ObjectStore>,
    attached: &[Arc<dyn ObjectStore>],
    env: &Env,
) -> Result<u64, Error> {
    let mut number = current.max(newest(store).await?.max(newest_token(store).await?) + 1);
    loop {
        let others = if number > current { attached } else { &[] };
        if claim_in_all(number, std::iter::once(store).chain(others), env).await? {
            return Ok(number);
        }
        number += 1;
    }
}

/// Writes the number to each; false where another coordinator has it in one of them.
async fn claim_in_all(
    number: u64,
    stores: impl Iterator<Item = &Arc<dyn ObjectStore>>,
    env: &Env,
) -> Result<bool, Error> {
    for store in stores {
        let nonce = hex::encode(env.random::<16>());
        let body = serde_json::json!({"format": 1, "generation": number, "nonce": nonce, "created": env.now()});
        match upload::put_new(store, &layout::generation(number), body.to_string()).await {
            Ok(_) => {}
            Err(upload::Error::Taken { .. }) => return Ok(false),
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
    let listed = store.list(Some(&Path::from("gen")));
    let numbers = listed.try_fold(0, |highest: u64, object| async move {
        let number = object.location.filename().and_then(|name| name.parse().ok());
        Ok(highest.max(number.unwrap_or(0)))
    });
    numbers.await.map_err(Error::List)
}

/// The highest generation in the newest manifests of a store.
async fn newest_token(store: &Arc<dyn ObjectStore>) -> Result<u64, Error> {
    let mut highest = 0;
    for source in find::sources(store).await? {
        for set in find::sets(store, &source).await? {
            let newest = VersionSet::new(Arc::clone(store), source.clone(), set).newest().await?;
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
    async fn a_higher_generation_is_taken_along_to_a_store_that_knows_lower_ones() {
        let (one, two, env) = (store(), store(), Env::system());
        let (coordinator, _directory) = state();
        coordinator.raise_generation(9).await.unwrap();
        assert_eq!(attach(&coordinator, "one", &one, &[], &env).await.unwrap(), 9);
        assert_eq!(attach(&coordinator, "two", &two, &[one], &env).await.unwrap(), 9);
        assert_eq!(newest(&two).await.unwrap(), 9);
    }
}
