//! The store's own clock.

use std::sync::Arc;

use jiff::Timestamp;
use object_store::{ObjectStore, ObjectStoreExt, PutMode, path::Path};
use tidemark_gateway::Env;

use super::Error;
use crate::states::store_time;

/// The time by the store's own clock: that of an object which is written for it under a new name, and deleted. A crash in between
/// leaves that object, below `.tidemark-probe/`.
///
/// # Errors
/// [`Error::Clock`].
pub async fn store_now(store: &Arc<dyn ObjectStore>, env: &Env) -> Result<Timestamp, Error> {
    let path = Path::from(format!(".tidemark-probe/{}/clock", env.id()));
    ask(store, &path).await.map_err(|source| Error::Clock { path, source })
}

async fn ask(store: &Arc<dyn ObjectStore>, path: &Path) -> Result<Timestamp, object_store::Error> {
    store.put_opts(path, "clock".into(), PutMode::Create.into()).await?;
    let now = store_time(&store.head(path).await?);
    store.delete(path).await?;
    Ok(now)
}
