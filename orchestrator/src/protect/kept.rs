//! Whether what a line names is still in the store: between its consolidation and the commit somebody may have put back an
//! older copy, or a replica that lags may have taken the store's place. What collection has marked counts as gone.

use futures::{FutureExt as _, StreamExt as _, TryStreamExt as _, stream};
use tidemark_catalog::{
    collect,
    content::{self, Content},
    document, door,
    entry::{Entry, ObjectLine},
    identities,
    marks::Marked,
    stored::StoredRef,
};
use tidemark_gateway::retry;

use super::Job;
use crate::{
    executors::read_document,
    failure::{Failure, catalog::store},
};

/// Lines that are looked after at the same time before a commit.
const LINES_AT_A_TIME: usize = 4;

/// Objects of a line that are asked for at the same time.
const LOOKS_AT_A_TIME: usize = 16;

impl Job<'_> {
    /// Refuses to commit lines that name what is not there.
    ///
    /// # Errors
    /// `TM-PROT-0008`, retryable: the next run makes such a line anew; cancelled, where the run is.
    pub(super) async fn require_kept(&self, lines: &[ObjectLine], marked: &Marked) -> Result<(), Failure> {
        let looks: Vec<_> = lines.iter().map(|line| self.require_line(line, marked).boxed()).collect();
        stream::iter(looks).buffer_unordered(LINES_AT_A_TIME).try_collect().await
    }

    async fn require_line(&self, line: &ObjectLine, marked: &Marked) -> Result<(), Failure> {
        if self.context.cancel.is_cancelled() {
            return Err(Failure::cancelled());
        }
        match self.lacks(line, marked).await? {
            None => Ok(()),
            Some(lacks) => Err(Failure::retryable("TM-PROT-0008", format!("{}: {lacks}", line.object))),
        }
    }

    /// What of a line the store no longer holds as it was written; `None` where it holds all. The entry and its pages are read;
    /// segments and leaves are asked for by presence and size, what leaves name is not.
    ///
    /// # Errors
    /// Where the store does not answer.
    pub(super) async fn lacks(&self, line: &ObjectLine, marked: &Marked) -> Result<Option<String>, Failure> {
        let Some(entry) = &line.entry else { return Ok(None) };
        if let Some(marked) = self.first_marked(entry, marked).await? {
            return Ok(Some(marked));
        }
        let entry: Entry = match lacking(read_document(&self.store.objects, entry).await)? {
            Ok(entry) => entry,
            Err(lacks) => return Ok(Some(lacks)),
        };
        let records = match &entry.content {
            Content::Records(records) => records,
            Content::Blocks(blocks) => return self.first_absent(&blocks.leaves).await,
        };
        let on_top = records.increments.iter().flat_map(|increment| &increment.segments);
        let on_top = on_top.chain(records.retractions.iter().flat_map(|retraction| &retraction.segments));
        let mut segments: Vec<_> = on_top.map(|segment| segment.stored.clone()).collect();
        if let Err(lacks) = lacking(identities::read(&self.store.objects, &records.merged).await)? {
            return Ok(Some(lacks));
        }
        match lacking(content::ranges(&self.store.objects, &records.baseline).await)? {
            Ok(ranges) => segments.extend(ranges.into_iter().map(|range| range.stored)),
            Err(lacks) => return Ok(Some(lacks)),
        }
        self.first_absent(&segments).await
    }

    /// The first object of an entry, or the entry itself, that collection has marked.
    async fn first_marked(&self, entry: &StoredRef, marked: &Marked) -> Result<Option<String>, Failure> {
        if marked.is_empty() {
            return Ok(None);
        }
        let needs = match lacking(collect::of_entry(&self.store.objects, entry).boxed().await)? {
            Ok(needs) => needs,
            Err(lacks) => return Ok(Some(lacks)),
        };
        Ok(marked.first(needs.all()).map(|marked| format!("{} is marked by collection", marked.key)))
    }

    pub(super) async fn first_absent(&self, stored: &[StoredRef]) -> Result<Option<String>, Failure> {
        let looks: Vec<_> = stored.iter().map(|stored| self.absent(stored).boxed()).collect();
        let found: Vec<_> = stream::iter(looks).buffer_unordered(LOOKS_AT_A_TIME).try_collect().await?;
        Ok(found.into_iter().flatten().next())
    }

    async fn absent(&self, segment: &StoredRef) -> Result<Option<String>, Failure> {
        match door::head(&self.store.objects, segment).await {
            Ok(seen) if seen.size == segment.size => Ok(None),
            Ok(seen) => Ok(Some(format!("{} has {} bytes of {}", segment.key, seen.size, segment.size))),
            Err(object_store::Error::NotFound { .. }) => Ok(Some(format!("{} is not in the store", segment.key))),
            Err(error) => Err(store("TM-CAT-0003", &error, retry::is_transient(&error))),
        }
    }
}

/// A document, or why it is not there as it was written.
fn lacking<T>(read: Result<T, document::Error>) -> Result<Result<T, String>, Failure> {
    match read {
        Ok(document) => Ok(Ok(document)),
        Err(error) if error.is_of_the_store() => Err(error.into()),
        Err(error) => Ok(Err(tidemark_gateway::causes::joined(&error))),
    }
}
