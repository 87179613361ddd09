//! Only the newest daemon of a repository collects.

use std::sync::Arc;

use futures::TryStreamExt;
use object_store::ObjectStore;

use super::Error;
use crate::{ids::FencingToken, layout};

/// Refuses a claim of a daemon that another one has left behind: what it believes of policies and tasks counts for nothing.
///
/// # Errors
/// [`Error::OldGeneration`]; [`Error::List`].
pub async fn require_newest(store: &Arc<dyn ObjectStore>, claim: FencingToken) -> Result<(), Error> {
    let prefix = layout::generations();
    let failed = |source| Error::List { prefix: prefix.clone(), source };
    let mut listing = store.list(Some(&prefix));
    let mut newest = 0;
    while let Some(meta) = listing.try_next().await.map_err(failed)? {
        newest = newest.max(meta.location.filename().and_then(layout::generation_number).unwrap_or(0));
    }
    if newest > claim.generation {
        return Err(Error::OldGeneration { mine: claim.generation, newest });
    }
    Ok(())
}
