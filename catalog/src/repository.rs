//! The identity of a repository, `tidemark.json`, created once.

use std::sync::Arc;

use jiff::Timestamp;
use object_store::ObjectStore;
use serde::{Deserialize, Serialize};
use tidemark_gateway::Env;
use uuid::Uuid;

use crate::{
    document::{self, Document},
    layout,
};

/// What makes a bucket a repository.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Repository {
    /// Told apart from every other repository.
    pub id: Uuid,
    /// How versions are committed.
    pub commit_mode: CommitMode,
    /// Wall time of the node that created it.
    pub created: Timestamp,
}

impl Document for Repository {
    const KIND: &'static str = "repository";
}

/// How versions are committed to a repository.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CommitMode {
    /// By creating a name that the store lets exist once ([`crate::commit`]).
    CreateOnly,
}

/// Opens the repository in `store`; creates one where there is none. Of many that create at a time one wins, and all get
/// the same.
///
/// # Errors
/// [`document::Error`] naming `tidemark.json`, where it is damaged or newer, or the store fails.
pub async fn create_or_open(store: &Arc<dyn ObjectStore>, env: &Env) -> Result<Repository, document::Error> {
    if let Some(found) = open(store).await? {
        return Ok(found);
    }
    let fresh = Repository { id: env.id(), commit_mode: CommitMode::CreateOnly, created: env.now() };
    match document::write(store, &layout::repository(), &fresh).await {
        Err(error) if error.is_taken() => document::read_unchecked(store, &layout::repository()).await,
        other => other.map(|_| fresh),
    }
}

/// The repository in `store`; `None` where there is none.
///
/// # Errors
/// As [`create_or_open`].
pub async fn open(store: &Arc<dyn ObjectStore>) -> Result<Option<Repository>, document::Error> {
    match document::read_unchecked(store, &layout::repository()).await {
        Err(error) if error.is_absent() => Ok(None),
        other => other.map(Some),
    }
}

#[cfg(test)]
mod tests {
    use futures::future::join_all;
    use object_store::{ObjectStoreExt, memory::InMemory};

    use super::*;

    #[tokio::test]
    async fn racing_creators_all_get_the_same_repository() {
        let store: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
        assert_eq!(open(&store).await.unwrap(), None);
        let env = Env::system();
        let all = join_all((0..32).map(|_| create_or_open(&store, &env))).await;
        let first = open(&store).await.unwrap().unwrap();
        assert!(all.into_iter().all(|found| found.unwrap() == first));
    }

    #[tokio::test]
    async fn a_newer_repository_is_refused_and_left_alone() {
        let store: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
        store.put(&layout::repository(), r#"{"document":"repository","format":7}"#.into()).await.unwrap();
        let error = create_or_open(&store, &Env::system()).await.unwrap_err();
        assert_eq!(error.to_string(), "tidemark.json: format 7 is newer than this build reads (2)");
    }
}
