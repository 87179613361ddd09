//! What has been merged into an object's state, as sorted pages. Nothing but verification reads them yet.

use std::sync::Arc;

use object_store::ObjectStore;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    document::{self, Document},
    names::Names,
    opaque::Opaque,
    stored::StoredRef,
};

/// Most identities of a page.
pub const PAGE_IDENTITIES: usize = 1024;

/// One thing that was merged (for Cassandra: an SSTable of a node).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Identity {
    /// The partition it came from.
    pub partition: String,
    /// What makes it what it is; never its name alone.
    pub id: Opaque,
    /// What the kind of source keeps about it, in its own JSON shape.
    pub own: Value,
}

impl Identity {
    fn place(&self) -> (&str, &Opaque) {
        (&self.partition, &self.id)
    }
}

/// A page of identities, ascending by partition, then by id.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IdentityPage {
    /// 1 to [`PAGE_IDENTITIES`].
    pub identities: Vec<Identity>,
}

impl Document for IdentityPage {
    const KIND: &'static str = "identity-page";
}

/// A page with where it begins and ends, so that only the pages of one partition need be read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IdentityPageRef {
    /// Partition of its first identity.
    pub first: String,
    /// Partition of its last identity.
    pub last: String,
    /// The page.
    pub stored: StoredRef,
}

/// Writes identities, sorted and each once, at most [`PAGE_IDENTITIES`] to a page, and gives the pages in order.
///
/// # Errors
/// [`document::Error`] where a page cannot be stored.
pub async fn write(
    store: &Arc<dyn ObjectStore>,
    names: &Names,
    mut identities: Vec<Identity>,
) -> Result<Vec<IdentityPageRef>, document::Error> {
    identities.sort_by(|a, b| a.place().cmp(&b.place()));
    identities.dedup_by(|a, b| a.place() == b.place());
    let mut pages = Vec::new();
    for chunk in identities.chunks(PAGE_IDENTITIES) {
        let (Some(first), Some(last)) = (chunk.first(), chunk.last()) else { continue };
        let (first, last) = (first.partition.clone(), last.partition.clone());
        let stored = document::write(store, &names.page(), &IdentityPage { identities: chunk.to_vec() }).await?;
        pages.push(IdentityPageRef { first, last, stored });
    }
    Ok(pages)
}

/// All identities of these pages, in order.
///
/// # Errors
/// As [`document::read`]; [`document::Error::Shape`] where a page is empty or too long, begins or ends with another partition than
/// its reference says, or identities do not ascend.
pub async fn read(store: &Arc<dyn ObjectStore>, pages: &[IdentityPageRef]) -> Result<Vec<Identity>, document::Error> {
    let mut all: Vec<Identity> = Vec::new();
    for page in pages {
        let read = document::read::<IdentityPage>(store, &page.stored).await?.identities;
        check(page, &read, all.last())?;
        all.extend(read);
    }
    Ok(all)
}

fn check(page: &IdentityPageRef, read: &[Identity], before: Option<&Identity>) -> Result<(), document::Error> {
    let wrong = |reason| document::Error::Shape { path: page.stored.path(), reason };
    let (Some(first), Some(last)) = (read.first(), read.last()) else { return Err(wrong("it is empty")) };
    if read.len() > PAGE_IDENTITIES {
        return Err(wrong("it has more than 1024 identities"));
    }
    if first.partition != page.first || last.partition != page.last {
        return Err(wrong("it begins or ends with another partition than its reference says"));
    }
    if !read.is_sorted_by(|a, b| a.place() < b.place()) {
        return Err(wrong("its identities are not in order"));
    }
    match before {
        Some(before) if before.place() >= first.place() => Err(wrong("it does not follow the page before it")),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use object_store::memory::InMemory;
    use serde_json::json;

    use super::*;
    use crate::testing::token;

    fn identity(number: u16) -> Identity {
        let partition = format!("p{}", number / 1500);
        Identity { partition, id: Opaque::new(number.to_be_bytes().to_vec()), own: json!({ "name": number }) }
    }

    fn setup() -> (Arc<dyn ObjectStore>, Names) {
        (Arc::new(InMemory::new()), Names::new("east".parse().unwrap(), token(1)))
    }

    #[tokio::test]
    async fn identities_come_back_sorted_and_each_once() {
        for count in [0_u16, 1, 1024, 1025, 3000] {
            let (store, names) = setup();
            let given = (0..count).rev().chain(0..count.min(5)).map(identity).collect();
            let pages = write(&store, &names, given).await.unwrap();
            assert_eq!(pages.len(), usize::from(count).div_ceil(PAGE_IDENTITIES));
            assert_eq!(read(&store, &pages).await.unwrap(), (0..count).map(identity).collect::<Vec<_>>());
        }
    }

    #[tokio::test]
    async fn pages_in_another_order_or_of_other_partitions_are_refused() {
        let (store, names) = setup();
        let mut pages = write(&store, &names, (0..3000).map(identity).collect()).await.unwrap();
        pages.reverse();
        assert!(matches!(read(&store, &pages).await, Err(document::Error::Shape { .. })));
        pages.reverse();
        pages[1].last = "p7".to_owned();
        let error = read(&store, &pages).await.unwrap_err();
        assert!(error.to_string().contains(&pages[1].stored.key) && !error.is_retryable(), "{error}");
    }
}
