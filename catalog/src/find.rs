//! What a store holds, found from the store alone.

use std::{str::FromStr, sync::Arc};

use object_store::{ObjectStore, path::Path};

use crate::{
    chain::{self, Listed, VersionSet},
    ids::{SetId, SourceId, VersionId},
    layout,
    manifest::Manifest,
};

/// Why the store's content cannot be found.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The store cannot list a folder.
    #[error("list folders under {prefix}")]
    List {
        /// The folder.
        prefix: Path,
        /// Why.
        source: object_store::Error,
    },
    /// A version cannot be read.
    #[error("read version {version}")]
    Version {
        /// The version.
        version: VersionId,
        /// Why.
        source: chain::Error,
    },
    /// The versions of a set cannot be listed.
    #[error(transparent)]
    Chain(#[from] chain::Error),
}

impl Error {
    /// Whether the same call may succeed later.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::List { source, .. } => tidemark_gateway::retry::is_transient(source),
            Self::Version { source, .. } | Self::Chain(source) => source.is_retryable(),
        }
    }
}

/// Every version in a store.
#[derive(Debug, Default)]
pub struct Survey {
    /// Versions that verify, by source, set and number.
    pub versions: Vec<(VersionId, Manifest)>,
    /// Versions that do not, with what is wrong; the others are not touched by it.
    pub damaged: Vec<(VersionId, chain::Error)>,
}

/// Sources with anything in the store, sorted.
///
/// # Errors
/// [`Error::List`].
pub async fn sources(store: &Arc<dyn ObjectStore>) -> Result<Vec<SourceId>, Error> {
    folders(store, layout::sources()).await
}

/// Version sets of a source, sorted.
///
/// # Errors
/// [`Error::List`].
pub async fn sets(store: &Arc<dyn ObjectStore>, source: &SourceId) -> Result<Vec<SetId>, Error> {
    folders(store, layout::sets(source)).await
}

/// Every version in the store, sorted by source, set and number, all verified.
///
/// # Errors
/// [`Error::Version`] for the first one that does not verify (use [`survey`] to get the others); [`Error::List`],
/// [`Error::Chain`].
pub async fn versions(store: &Arc<dyn ObjectStore>) -> Result<Vec<(VersionId, Manifest)>, Error> {
    let found = survey(store).await?;
    match found.damaged.into_iter().next() {
        Some((version, source)) => Err(Error::Version { version, source }),
        None => Ok(found.versions),
    }
}

/// Every version in the store, those that verify and those that do not.
///
/// # Errors
/// [`Error::List`] and [`Error::Chain`] where the store cannot be listed; a damaged version is no error.
pub async fn survey(store: &Arc<dyn ObjectStore>) -> Result<Survey, Error> {
    let mut found = Survey::default();
    for source in sources(store).await? {
        for set in sets(store, &source).await? {
            survey_set(store, &source, &set, &mut found).await?;
        }
    }
    Ok(found)
}

/// Every version, unread, sorted by source, set and number; of one source or set where given.
///
/// # Errors
/// [`Error::List`], [`Error::Chain`].
pub async fn listed(
    store: &Arc<dyn ObjectStore>,
    source: Option<&str>,
    set: Option<&str>,
) -> Result<Vec<(VersionId, Listed)>, Error> {
    let mut found = Vec::new();
    for of in sources(store).await?.into_iter().filter(|of| source.is_none_or(|s| s == of.as_str())) {
        for within in sets(store, &of).await?.into_iter().filter(|within| set.is_none_or(|s| s == within.as_str())) {
            let chain = VersionSet::new(store.clone(), of.clone(), within.clone());
            let id = |number| VersionId { source: of.clone(), set: within.clone(), number };
            found.extend(chain.listed().await?.into_iter().map(|listed| (id(listed.number), listed)));
        }
    }
    Ok(found)
}

async fn survey_set(
    store: &Arc<dyn ObjectStore>,
    source: &SourceId,
    set: &SetId,
    found: &mut Survey,
) -> Result<(), Error> {
    let chain = VersionSet::new(store.clone(), source.clone(), set.clone());
    for number in chain.list().await? {
        let id = VersionId { source: source.clone(), set: set.clone(), number };
        match chain.read(number).await {
            Ok(manifest) => found.versions.push((id, manifest)),
            Err(error) if error.is_retryable() => return Err(error.into()),
            Err(error) => found.damaged.push((id, error)),
        }
    }
    Ok(())
}

/// Names of the folders under `prefix`; names that no build of ours writes are passed over.
async fn folders<T: FromStr + Ord>(store: &Arc<dyn ObjectStore>, prefix: Path) -> Result<Vec<T>, Error> {
    let listed = store.list_with_delimiter(Some(&prefix)).await;
    let listed = listed.map_err(|source| Error::List { prefix, source })?;
    let names = listed.common_prefixes.iter().filter_map(|folder| folder.filename()?.parse().ok());
    let mut names: Vec<T> = names.collect();
    names.sort();
    Ok(names)
}

#[cfg(test)]
mod tests {
    use object_store::{ObjectStoreExt, memory::InMemory};

    use super::*;
    use crate::testing::{commit_tasks, set_in};

    #[tokio::test]
    async fn everything_is_found_from_the_store_alone_and_damage_hides_only_itself() {
        let store: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
        commit_tasks(&set_in(&store, "east", "daily"), 3).await;
        commit_tasks(&set_in(&store, "east", "hourly"), 1).await;
        commit_tasks(&set_in(&store, "west", "daily"), 1).await;
        store.put(&Path::from("sources/NOT OURS/sets/x/versions/1"), "x".into()).await.unwrap();
        let found: Vec<_> = versions(&store).await.unwrap().iter().map(|(id, _)| id.to_string()).collect();
        assert_eq!(found, ["east.daily.1", "east.daily.2", "east.daily.3", "east.hourly.1", "west.daily.1"]);

        let broken: VersionId = "east.hourly.1".parse().unwrap();
        store.put(&layout::manifest(&broken.source, &broken.set, broken.number), "{}".into()).await.unwrap();
        let survey = survey(&store).await.unwrap();
        assert_eq!((survey.versions.len(), survey.damaged.len()), (4, 1));
        assert_eq!(survey.damaged[0].0, broken);
        assert!(matches!(versions(&store).await, Err(Error::Version { version, .. }) if version == broken));
    }
}
