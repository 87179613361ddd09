//! Object pages of a version.

use std::sync::Arc;

use futures::{FutureExt, StreamExt, TryStreamExt, stream};
use object_store::{ObjectStore, path::Path};

use crate::{
    document,
    entry::{ObjectLine, ObjectPage, PAGE_LINES},
    manifest::Manifest,
    names::Names,
    stored::StoredRef,
};

/// Pages that are written or read at a time.
const PAGES_AT_A_TIME: usize = 8;

/// Why the pages of a version cannot be written or read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A page cannot be stored or loaded.
    #[error(transparent)]
    Page(#[from] document::Error),
    /// An object stands on two lines.
    #[error("object {object} is listed twice")]
    Twice {
        /// The object.
        object: String,
    },
    /// The number of lines is not what the manifest says.
    #[error("version {number} of set {set} names {expected} objects, its pages hold {found}")]
    Count {
        /// The version set.
        set: String,
        /// The version.
        number: u64,
        /// By the manifest.
        expected: u64,
        /// On the pages.
        found: u64,
    },
}

impl Error {
    /// True where the store failed and so says nothing about the pages: a refused credential, an outage.
    pub fn is_of_the_store(&self) -> bool {
        matches!(self, Self::Page(page) if page.is_of_the_store())
    }
}

/// Writes `lines` sorted by object, at most [`PAGE_LINES`] to a page, under new names, and gives the pages in order.
///
/// # Errors
/// [`Error::Twice`] before anything is written; [`Error::Page`].
pub async fn write_pages(
    store: &Arc<dyn ObjectStore>,
    names: &Names,
    mut lines: Vec<ObjectLine>,
) -> Result<Vec<StoredRef>, Error> {
    lines.sort_by(|a, b| a.object.cmp(&b.object));
    if let Some(pair) = lines.windows(2).find(|pair| pair[0].object == pair[1].object) {
        return Err(Error::Twice { object: pair[0].object.to_string() });
    }
    // Boxed in a loop, as in `read_lines`.
    let mut writes = Vec::with_capacity(lines.len().div_ceil(PAGE_LINES));
    for lines in lines.chunks(PAGE_LINES) {
        writes.push(write_page(store, names, lines).boxed());
    }
    Ok(stream::iter(writes).buffered(PAGES_AT_A_TIME).try_collect().await?)
}

async fn write_page(
    store: &Arc<dyn ObjectStore>,
    names: &Names,
    lines: &[ObjectLine],
) -> Result<StoredRef, document::Error> {
    document::write(store, &names.page(), &ObjectPage { lines: lines.to_vec() }).await
}

/// All object lines of a version, in order; none of a barrier.
///
/// # Errors
/// [`Error::Page`] where a page is absent or damaged: one that holds too many lines or does not follow the
/// one before it is damaged. [`Error::Count`] where pages and manifest do not agree.
pub async fn read_lines(store: &Arc<dyn ObjectStore>, manifest: &Manifest) -> Result<Vec<ObjectLine>, Error> {
    // Boxed in a loop: of a stream over a borrowing closure the compiler cannot tell that it is Send.
    let Some(version) = manifest.version() else { return Ok(Vec::new()) };
    let mut reads = Vec::with_capacity(version.pages.len());
    for page in &version.pages {
        reads.push(read_page(store, page).boxed());
    }
    let mut pages = stream::iter(reads).buffered(PAGES_AT_A_TIME);
    let mut lines: Vec<ObjectLine> = Vec::new();
    while let Some((path, page)) = pages.try_next().await? {
        if lines.last().zip(page.first()).is_some_and(|(last, first)| last.object >= first.object) {
            return Err(document::Error::Shape { path, reason: "it does not follow the page before it" }.into());
        }
        lines.extend(page);
    }
    count(manifest, version.objects, lines.len() as u64)?;
    Ok(lines)
}

pub(crate) async fn read_page(
    store: &Arc<dyn ObjectStore>,
    page: &StoredRef,
) -> Result<(Path, Vec<ObjectLine>), document::Error> {
    let path = page.path();
    let lines = document::read::<ObjectPage>(store, page).await?.lines;
    if lines.len() > PAGE_LINES {
        return Err(document::Error::Shape { path, reason: "it has more than 256 lines" });
    }
    if !lines.is_sorted_by(|a, b| a.object < b.object) {
        return Err(document::Error::Shape { path, reason: "its objects are not in order" });
    }
    Ok((path, lines))
}

fn count(manifest: &Manifest, expected: u64, found: u64) -> Result<(), Error> {
    if expected == found {
        return Ok(());
    }
    Err(count_error(manifest, expected, found))
}

pub(crate) fn count_error(manifest: &Manifest, expected: u64, found: u64) -> Error {
    let (set, number) = (manifest.set.to_string(), manifest.number.0);
    Error::Count { set, number, expected, found }
}

#[cfg(test)]
mod tests;
