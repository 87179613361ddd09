//! Writing a round of marks.

use std::sync::Arc;

use object_store::{ObjectStore, path::Path};
use tidemark_gateway::Env;

use super::{Error, Gone, Head, MarkedName, PAGE_NAMES, Page};
use crate::{
    document,
    ids::{FencingToken, SourceId},
    layout,
    stored::StoredRef,
};

/// Writes the pages of a round as names come, and its head last. Holds the names of one page.
pub(crate) struct Writer<'a> {
    store: &'a Arc<dyn ObjectStore>,
    source: &'a SourceId,
    round: u64,
    token: FencingToken,
    names: Vec<MarkedName>,
    pages: Vec<StoredRef>,
    objects: u64,
    bytes: u64,
}

impl<'a> Writer<'a> {
    pub(crate) fn new(store: &'a Arc<dyn ObjectStore>, source: &'a SourceId, round: u64, token: FencingToken) -> Self {
        Self { store, source, round, token, names: Vec::new(), pages: Vec::new(), objects: 0, bytes: 0 }
    }

    /// Marks an object.
    pub(crate) async fn push(&mut self, path: &Path, bytes: u64) -> Result<(), Error> {
        self.names.push(MarkedName { key: path.to_string(), bytes });
        self.objects += 1;
        self.bytes = self.bytes.saturating_add(bytes);
        if self.names.len() < PAGE_NAMES { Ok(()) } else { self.flush().await }
    }

    async fn flush(&mut self) -> Result<(), Error> {
        let mut names = std::mem::take(&mut self.names);
        if names.is_empty() {
            return Ok(());
        }
        names.sort();
        let path = layout::marks_page(self.source, self.round, self.token, self.pages.len() as u64);
        self.pages.push(document::write(self.store, &path, &Page { names }).await?);
        Ok(())
    }

    /// Writes the head; false where nothing was marked, and then writes none, or where the round has one from somebody else.
    pub(crate) async fn finish(mut self, gone: Gone, env: &Env) -> Result<bool, Error> {
        if self.objects == 0 {
            return Ok(false);
        }
        self.flush().await?;
        let head = Head {
            source: self.source.clone(),
            round: self.round,
            token: self.token,
            nonce: hex::encode(env.random::<16>()),
            pages: self.pages,
            objects: self.objects,
            bytes: self.bytes,
            gone,
        };
        match document::write(self.store, &layout::marks_head(self.source, self.round), &head).await {
            Ok(_) => Ok(true),
            Err(error) if error.is_taken() => Ok(false),
            Err(error) => Err(error.into()),
        }
    }
}
