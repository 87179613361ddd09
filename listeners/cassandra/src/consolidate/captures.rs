//! What the nodes said about themselves, read from their slices.

use std::sync::Arc;

use futures::{StreamExt, TryStreamExt, stream};
use object_store::ObjectStore;
use tidemark_catalog::{document, slice::SliceManifest};

use super::error::Error;
use crate::cluster::NodeCapture;

/// Captures read at the same time.
const AT_A_TIME: usize = 8;

/// The description in each slice, in the slices' order.
pub(super) async fn read(store: &Arc<dyn ObjectStore>, slices: &[SliceManifest]) -> Result<Vec<NodeCapture>, Error> {
    let reads: Vec<_> = slices.iter().map(|slice| read_one(store, slice)).collect();
    stream::iter(reads).buffered(AT_A_TIME).try_collect().await
}

async fn read_one(store: &Arc<dyn ObjectStore>, slice: &SliceManifest) -> Result<NodeCapture, Error> {
    let host = slice.partition.clone();
    let read = document::read::<NodeCapture>(store, &slice.info).await;
    let capture = read.map_err(|source| Error::Capture { host: host.clone(), source })?;
    if capture.host_id != host {
        let reason = format!("it is of host {}", capture.host_id);
        return Err(Error::StrangeCapture { host, reason });
    }
    Ok(capture)
}
