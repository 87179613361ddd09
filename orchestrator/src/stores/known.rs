//! What is known of repositories from outside them: the newest generation and the head of each version set.
//!
//! Keys in the coordinator: `known/<repository>/generation` and `known/<repository>/head/<source>.<set>`. A head moves
//! forward only, by whoever saw the version committed. What a crash leaves unrecorded is found in the store the next time:
//! a chain may have gone on, it may never be shorter. Lost with the coordinator's state, it is learnt again from the store
//! as that is then. A record that cannot be read says nothing: it hides no other, and is overwritten once somebody has looked.

use std::sync::Arc;

use serde::{Deserialize, Serialize, de::DeserializeOwned};
use tidemark_catalog::{
    chain::Head,
    ids::{SetId, SourceId},
};
use tidemark_gateway::Digest;

use crate::{
    coordinator::{Cmp, Coordinator, Kv, Op, list_all},
    registrations::Error,
};

/// A generation that is known to be in a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct KnownGeneration {
    /// Its number.
    pub(crate) number: u64,
    /// BLAKE3 of what is stored of it.
    pub(crate) digest: Digest,
}

/// A head with its set.
pub(crate) type KnownHead = (SourceId, SetId, Head);

/// What is known of the heads of a repository.
#[derive(Debug, Default)]
pub(crate) struct Heads {
    /// Those that can be read.
    pub(crate) known: Vec<KnownHead>,
    /// Sets whose record cannot be read, with the reason.
    pub(crate) unreadable: Vec<(SourceId, SetId, Error)>,
}

/// What is known; a cheap handle.
#[derive(Clone)]
pub(crate) struct Known {
    coordinator: Arc<dyn Coordinator>,
}

impl Known {
    pub(crate) fn new(coordinator: Arc<dyn Coordinator>) -> Self {
        Self { coordinator }
    }

    /// The coordinator that it is kept in.
    pub(super) fn coordinator(&self) -> &dyn Coordinator {
        &*self.coordinator
    }

    pub(crate) async fn generation(&self, repository: &str) -> Result<Option<KnownGeneration>, Error> {
        let found = self.get(&generation_key(repository)).await?;
        found.map(|kv| decode(&kv)).transpose()
    }

    pub(crate) async fn set_generation(&self, repository: &str, generation: KnownGeneration) -> Result<(), Error> {
        self.txn(vec![], vec![Op::put(generation_key(repository), encode(&generation))]).await?;
        Ok(())
    }

    pub(crate) async fn head(&self, repository: &str, source: &SourceId, set: &SetId) -> Result<Option<Head>, Error> {
        let found = self.get(&head_key(repository, source, set)).await?;
        found.map(|kv| decode(&kv)).transpose()
    }

    pub(crate) async fn heads(&self, repository: &str) -> Result<Heads, Error> {
        let prefix = heads_prefix(repository);
        let found = list_all(&*self.coordinator, &prefix).await;
        let (found, _) = found.map_err(|source| Error::Coordinator { key: prefix.clone(), source })?;
        let parse = |kv: &Kv| -> Option<(SourceId, SetId)> {
            let (source, set) = kv.key.strip_prefix(&prefix)?.split_once('.')?;
            Some((source.parse().ok()?, set.parse().ok()?))
        };
        let mut heads = Heads::default();
        for ((source, set), kv) in found.iter().filter_map(|kv| Some((parse(kv)?, kv))) {
            match decode(kv) {
                Ok(head) => heads.known.push((source, set, head)),
                Err(error) => heads.unreadable.push((source, set, error)),
            }
        }
        Ok(heads)
    }

    /// Forgets what was known of a set.
    pub(crate) async fn forget(&self, repository: &str, source: &SourceId, set: &SetId) -> Result<(), Error> {
        self.txn(vec![], vec![Op::delete(head_key(repository, source, set))]).await?;
        Ok(())
    }

    /// Records a head as it was seen, whatever was known before.
    pub(crate) async fn set_head(&self, repository: &str, head: &KnownHead) -> Result<(), Error> {
        let (source, set, head) = head;
        self.txn(vec![], vec![Op::put(head_key(repository, source, set), encode(head))]).await?;
        Ok(())
    }

    /// Records a head where it is above the one that is known.
    pub(crate) async fn advance(
        &self,
        repository: &str,
        source: &SourceId,
        set: &SetId,
        head: Head,
    ) -> Result<(), Error> {
        let key = head_key(repository, source, set);
        loop {
            let seen = self.get(&key).await?;
            if let Some(kv) = &seen
                && decode::<Head>(kv)?.number >= head.number
            {
                return Ok(());
            }
            let when = vec![Cmp::ModRevision(key.clone(), seen.map_or(0, |kv| kv.mod_revision))];
            if self.txn(when, vec![Op::put(&key, encode(&head))]).await? {
                return Ok(());
            }
        }
    }

    async fn get(&self, key: &str) -> Result<Option<Kv>, Error> {
        self.coordinator.get(key).await.map_err(|source| Error::Coordinator { key: key.to_owned(), source })
    }

    async fn txn(&self, when: Vec<Cmp>, then: Vec<Op>) -> Result<bool, Error> {
        let outcome = self.coordinator.txn(when, then, vec![]).await;
        Ok(outcome.map_err(|source| Error::Coordinator { key: "known/".to_owned(), source })?.succeeded)
    }
}

fn generation_key(repository: &str) -> String {
    format!("known/{repository}/generation")
}

fn heads_prefix(repository: &str) -> String {
    format!("known/{repository}/head/")
}

fn head_key(repository: &str, source: &SourceId, set: &SetId) -> String {
    format!("{}{source}.{set}", heads_prefix(repository))
}

fn encode(value: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(value).expect("what is known is plain data")
}

fn decode<T: DeserializeOwned>(kv: &Kv) -> Result<T, Error> {
    serde_json::from_slice(&kv.value).map_err(|source| Error::Decode { key: kv.key.clone(), source })
}
