//! Listings of a bucket, page by page, such that none is short without saying so and none goes on for ever.
//!
//! Some servers look at no continuation token and give the same page again; others stop at 1,000 names and say that this is all.
//! The library asks on in the one case for ever and believes the other. Here each name must lie behind the one before it,
//! as S3 lists them; a token must not come twice; and behind a last page that is as long as a page can be, one more
//! request looks whether there is more. A name that such a server left out in the middle cannot be known here.
//!
//! The preflight lists a few names in very small pages ([`crate::preflight`]).

use std::{fmt, ops::Range, sync::Arc};

use async_trait::async_trait;
use bytes::Bytes;
use futures::{
    StreamExt, TryStreamExt,
    stream::{self, BoxStream},
};
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore, PutMultipartOptions,
    PutOptions, PutPayload, PutResult, Result,
    list::{PaginatedListOptions, PaginatedListStore},
    path::{DELIMITER, Path},
};

use crate::preflight::page_names;

/// Names of a page where nothing else was asked for; no store gives more.
const PAGE_NAMES: usize = 1000;

/// Pages in a row without a name.
const EMPTY_PAGES: usize = 1000;

/// Pages of a listing by folder, among the extensions of its result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Pages(pub(crate) usize);

/// A listing that cannot be right.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("the store lists {name} after {last}: its listing of {prefix:?} goes backwards or repeats itself")]
    Order { prefix: String, name: String, last: String },
    #[error("the store gives the same continuation of its listing of {prefix:?} again: it would go on for ever")]
    Token { prefix: String },
    #[error("the listing of {prefix:?} has {EMPTY_PAGES} pages in a row without a name")]
    Empty { prefix: String },
    #[error("the store ends its listing of {prefix:?} at {last}, on a full page, and lists {name} behind it")]
    Short { prefix: String, last: String, name: String },
    #[error("the listing of {prefix:?} from behind {offset} on begins with {name}")]
    Offset { prefix: String, offset: String, name: String },
}

impl From<Error> for object_store::Error {
    fn from(error: Error) -> Self {
        Self::Generic { store: "S3", source: error.into() }
    }
}

/// Whether a listing failed because it cannot be right.
pub(crate) fn is_wrong(error: &(dyn std::error::Error + 'static)) -> bool {
    crate::causes::of(error).any(|cause| cause.is::<Error>())
}

/// A store whose listings are checked; all else is `inner`'s.
#[derive(Clone)]
pub(crate) struct Paged {
    inner: Arc<dyn ObjectStore>,
    /// The bucket; takes whole keys.
    pages: Arc<dyn PaginatedListStore>,
    /// Of the store in the bucket.
    prefix: Path,
}

impl Paged {
    pub(crate) fn new(inner: Arc<dyn ObjectStore>, pages: Arc<dyn PaginatedListStore>, prefix: Path) -> Self {
        Self { inner, pages, prefix }
    }

    fn listing(&self, prefix: Option<&Path>, offset: Option<&Path>, folders: bool) -> Listing {
        let whole = |path: &Path| self.prefix.parts().chain(path.parts()).collect::<Path>();
        let below = whole(&prefix.cloned().unwrap_or_default());
        Listing {
            pages: Arc::clone(&self.pages),
            prefix: if below.as_ref().is_empty() { String::new() } else { format!("{below}{DELIMITER}") },
            offset: offset.map(|offset| whole(offset).to_string()),
            folders,
            page_names: prefix.and_then(page_names),
            last: String::new(),
            empty: 0,
        }
    }

    fn objects(&self, listing: Listing) -> BoxStream<'static, Result<ObjectMeta>> {
        let prefix = self.prefix.clone();
        let pages = listing.pages().map_ok(|page| stream::iter(page.objects).map(Ok)).try_flatten();
        pages.map_ok(move |meta| ObjectMeta { location: within(&prefix, meta.location), ..meta }).boxed()
    }
}

/// The name of the bucket as a name of the store.
fn within(prefix: &Path, path: Path) -> Path {
    path.prefix_match(prefix).map(Iterator::collect).unwrap_or(path)
}

/// A listing under way.
struct Listing {
    pages: Arc<dyn PaginatedListStore>,
    /// What all keys begin with.
    prefix: String,
    /// The key behind which it begins.
    offset: Option<String>,
    /// Keys are given up to the next slash behind the prefix.
    folders: bool,
    /// Names of a page, where it is not for the store to say.
    page_names: Option<usize>,
    /// The last key or folder so far.
    last: String,
    /// Pages in a row without a name.
    empty: usize,
}

impl Listing {
    fn pages(self) -> impl futures::Stream<Item = Result<ListResult>> + Send + 'static {
        stream::try_unfold((self, Some(None::<String>)), async |(mut this, at)| {
            let Some(token) = at else { return Ok(None) };
            let (page, next) = this.page(token).await?;
            Ok::<_, object_store::Error>(Some((page, (this, next.map(Some)))))
        })
    }

    /// A page, and the token of the next one.
    async fn page(&mut self, token: Option<String>) -> Result<(ListResult, Option<String>)> {
        let answer = self.ask(self.offset.clone(), token.clone()).await?;
        let (page, next) = (answer.result, answer.page_token.filter(|token| !token.is_empty()));
        let names = self.check(&page)?;
        self.empty = if names == 0 { self.empty + 1 } else { 0 };
        if next.is_some() && next == token {
            return Err(Error::Token { prefix: self.prefix.clone() }.into());
        }
        if self.empty == EMPTY_PAGES {
            return Err(Error::Empty { prefix: self.prefix.clone() }.into());
        }
        if next.is_none() && names >= self.page_names.unwrap_or(PAGE_NAMES) {
            self.expect_end().await?;
        }
        Ok((page, next))
    }

    async fn ask(
        &self,
        offset: Option<String>,
        page_token: Option<String>,
    ) -> Result<object_store::list::PaginatedListResult> {
        let options = PaginatedListOptions {
            offset,
            delimiter: self.folders.then_some(DELIMITER.into()),
            max_keys: self.page_names,
            page_token,
            ..PaginatedListOptions::default()
        };
        let prefix = (!self.prefix.is_empty()).then_some(self.prefix.as_str());
        self.pages.list_paginated(prefix, options).await
    }

    /// How many names the page has, each of which lies behind the one before it.
    fn check(&mut self, page: &ListResult) -> Result<usize, Error> {
        let names = keys(page);
        for key in &names {
            if self.last.is_empty() {
                self.begins(key)?;
            } else if !key.may_follow(&self.last) {
                let (prefix, last) = (self.prefix.clone(), self.last.clone());
                return Err(Error::Order { prefix, name: key.text.clone(), last });
            }
            self.last = key.behind(&self.last);
        }
        Ok(names.len())
    }

    fn begins(&self, key: &Key) -> Result<(), Error> {
        match &self.offset {
            Some(offset) if !key.may_follow(offset) => {
                let (prefix, offset) = (self.prefix.clone(), offset.clone());
                Err(Error::Offset { prefix, offset, name: key.text.clone() })
            }
            _ => Ok(()),
        }
    }

    /// Looks for names behind the last one.
    async fn expect_end(&self) -> Result<()> {
        // Of a folder, what is in it lies behind its name too, but before this.
        let beyond =
            if self.last.ends_with(DELIMITER) { format!("{}{}", self.last, char::MAX) } else { self.last.clone() };
        let more = self.ask(Some(beyond), None).await?.result;
        match keys(&more).into_iter().next() {
            Some(Key { text: name, .. }) => {
                Err(Error::Short { prefix: self.prefix.clone(), last: self.last.clone(), name }.into())
            }
            None => Ok(()),
        }
    }
}

/// A name as the library gives it.
struct Key {
    /// Of a folder with the slash at its end.
    text: String,
    /// Empty objects may be named with a slash at the end ("folders" of some consoles), which the library drops.
    empty: bool,
}

impl Key {
    fn may_follow(&self, last: &str) -> bool {
        self.text.as_str() > last || self.empty && format!("{}{DELIMITER}", self.text).as_str() > last
    }

    /// The key that it stands for, behind `last`.
    fn behind(&self, last: &str) -> String {
        if self.text.as_str() > last { self.text.clone() } else { format!("{}{DELIMITER}", self.text) }
    }
}

/// All of a page: objects as they come, folders put where they belong between them.
fn keys(page: &ListResult) -> Vec<Key> {
    let folders = page.common_prefixes.iter().map(|folder| Key { text: format!("{folder}{DELIMITER}"), empty: false });
    let objects = page.objects.iter().map(|meta| Key { text: meta.location.to_string(), empty: meta.size == 0 });
    merge(folders.collect(), objects.collect())
}

/// Both in their order; the lesser one first where both have more.
fn merge(left: Vec<Key>, right: Vec<Key>) -> Vec<Key> {
    let (mut left, mut right) = (left.into_iter().peekable(), right.into_iter().peekable());
    let mut merged = Vec::new();
    loop {
        let from_left = match (left.peek(), right.peek()) {
            (Some(left), Some(right)) => left.text < right.text,
            (left, _) => left.is_some(),
        };
        match if from_left { left.next() } else { right.next() } {
            Some(key) => merged.push(key),
            None => return merged,
        }
    }
}

impl fmt::Debug for Paged {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Paged").field("inner", &self.inner).finish_non_exhaustive()
    }
}

impl fmt::Display for Paged {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt(f)
    }
}

#[async_trait]
impl ObjectStore for Paged {
    async fn put_opts(&self, location: &Path, payload: PutPayload, opts: PutOptions) -> Result<PutResult> {
        self.inner.put_opts(location, payload, opts).await
    }

    async fn put_multipart_opts(&self, location: &Path, opts: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        self.inner.put_multipart_opts(location, opts).await
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        self.inner.get_opts(location, options).await
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        self.inner.get_ranges(location, ranges).await
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        self.inner.delete_stream(locations)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.objects(self.listing(prefix, None, false))
    }

    fn list_with_offset(&self, prefix: Option<&Path>, offset: &Path) -> BoxStream<'static, Result<ObjectMeta>> {
        self.objects(self.listing(prefix, Some(offset), false))
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        let (mut common_prefixes, mut objects, mut pages) = (Vec::new(), Vec::new(), 0);
        let mut listing = std::pin::pin!(self.listing(prefix, None, true).pages());
        while let Some(page) = listing.try_next().await? {
            common_prefixes.extend(page.common_prefixes.into_iter().map(|path| within(&self.prefix, path)));
            let ours = |meta: ObjectMeta| ObjectMeta { location: within(&self.prefix, meta.location), ..meta };
            objects.extend(page.objects.into_iter().map(ours));
            pages += 1;
        }
        let mut extensions = object_store::Extensions::new();
        extensions.insert(Pages(pages));
        Ok(ListResult { common_prefixes, objects, extensions })
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.inner.copy_opts(from, to, options).await
    }
}

#[cfg(test)]
mod tests;
