//! The mirror of configuration in the store: sources, policies and sets, so that the bucket alone is enough to start again.
//!
//! Each change of an item is a new numbered object, created once; the highest number counts. A removal is a number too.

use std::{collections::BTreeMap, sync::Arc};

use futures::{StreamExt, TryStreamExt, stream};
use object_store::{ObjectStore, path::Path};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    document::{self, Document},
    layout,
};

/// Items that are read at a time.
const ITEMS_AT_A_TIME: usize = 16;

/// One state of an item, as it is stored.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Item {
    /// `null` where the item was removed.
    value: Option<Value>,
}

impl Document for Item {
    const KIND: &'static str = "config";
}

/// Why configuration cannot be mirrored or read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A kind or id that cannot be part of a name.
    #[error("{0:?} is not 1 to 63 of a-z, 0-9 and '-', starting with a letter or digit")]
    Name(String),
    /// `null` is how a removal is stored.
    #[error("the value of {kind} {id} is null")]
    Null {
        /// Kind of item.
        kind: String,
        /// The item.
        id: String,
    },
    /// The store cannot list the mirror.
    #[error("list configuration under {prefix}")]
    List {
        /// Where.
        prefix: Path,
        /// Why.
        source: object_store::Error,
    },
    /// An item cannot be stored or loaded.
    #[error(transparent)]
    Page(#[from] document::Error),
}

/// What a mirror holds of a kind.
#[derive(Debug, Default)]
pub struct Latest {
    /// The newest state of every item that was not removed, by id.
    pub items: BTreeMap<String, Value>,
    /// Items whose newest state cannot be read: damaged, or written by a newer build. No older state stands in for one: it may
    /// have been changed, or removed, for a reason.
    pub problems: BTreeMap<String, document::Error>,
}

/// Mirrors `value` as the newest state of the item `id` of `kind` (`sources`, `policies`, `sets`), and gives its number.
/// Putting the state that is the newest already writes nothing.
///
/// # Errors
/// [`Error::Name`], [`Error::Null`], [`Error::List`], [`Error::Page`].
pub async fn put(store: &Arc<dyn ObjectStore>, kind: &str, id: &str, value: &Value) -> Result<u64, Error> {
    if value.is_null() {
        return Err(Error::Null { kind: kind.to_owned(), id: id.to_owned() });
    }
    append(store, kind, id, Item { value: Some(value.clone()) }).await
}

/// Mirrors that the item `id` of `kind` was removed, and gives the number of that.
///
/// # Errors
/// [`Error::Name`], [`Error::List`], [`Error::Page`].
pub async fn remove(store: &Arc<dyn ObjectStore>, kind: &str, id: &str) -> Result<u64, Error> {
    append(store, kind, id, Item { value: None }).await
}

/// The newest state of every item of `kind` that was not removed; one that cannot be read hides no other.
///
/// # Errors
/// [`Error::Name`], [`Error::List`]; [`Error::Page`] where the store does not answer.
pub async fn latest(store: &Arc<dyn ObjectStore>, kind: &str) -> Result<Latest, Error> {
    check(kind)?;
    let newest = numbers(store, &layout::config_kind(kind)).await?;
    let reads = newest.into_iter().map(|(id, number)| async move {
        let item = document::read_unchecked::<Item>(store, &layout::config(kind, &id, number)).await;
        (id, item)
    });
    let mut found = Latest::default();
    let mut reads = std::pin::pin!(stream::iter(reads).buffered(ITEMS_AT_A_TIME));
    while let Some((id, item)) = reads.next().await {
        match item {
            Ok(item) => found.items.extend(item.value.map(|value| (id, value))),
            Err(error) if error.is_retryable() => return Err(error.into()),
            Err(error) => {
                found.problems.insert(id, error);
            }
        }
    }
    Ok(found)
}

/// The newest state of the item `id` of `kind`; `None` where there is none, or it was removed.
///
/// # Errors
/// As [`latest`]; [`Error::Page`] where it cannot be read.
pub async fn newest(store: &Arc<dyn ObjectStore>, kind: &str, id: &str) -> Result<Option<Value>, Error> {
    check(kind)?;
    check(id)?;
    let prefix = Path::from(format!("{}/{id}", layout::config_kind(kind)));
    let Some(number) = numbers(store, &prefix).await?.remove(id) else { return Ok(None) };
    let item: Item = document::read_unchecked(store, &layout::config(kind, id, number)).await?;
    Ok(item.value)
}

/// Every state that the item `id` of `kind` was given, oldest first; `None` where it was removed.
///
/// # Errors
/// As [`latest`].
pub async fn history(store: &Arc<dyn ObjectStore>, kind: &str, id: &str) -> Result<Vec<Option<Value>>, Error> {
    check(kind)?;
    check(id)?;
    let prefix = Path::from(format!("{}/{id}", layout::config_kind(kind)));
    let newest = numbers(store, &prefix).await?.remove(id).unwrap_or(0);
    let reads = (1..=newest).map(|number| async move {
        let item: Item = document::read_unchecked(store, &layout::config(kind, id, number)).await?;
        Ok::<_, Error>(item.value)
    });
    stream::iter(reads).buffered(ITEMS_AT_A_TIME).try_collect().await
}

async fn append(store: &Arc<dyn ObjectStore>, kind: &str, id: &str, item: Item) -> Result<u64, Error> {
    check(kind)?;
    check(id)?;
    let prefix = Path::from(format!("{}/{id}", layout::config_kind(kind)));
    let mut number = numbers(store, &prefix).await?.remove(id).unwrap_or(0);
    if number > 0 && is(store, &layout::config(kind, id, number), &item).await? {
        return Ok(number);
    }
    loop {
        number += 1;
        match document::write(store, &layout::config(kind, id, number), &item).await {
            Ok(_) => return Ok(number),
            // Someone else was first with another state; ours is later.
            Err(error) if error.is_taken() => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// Whether a state is this one; what cannot be read is another.
async fn is(store: &Arc<dyn ObjectStore>, path: &Path, item: &Item) -> Result<bool, Error> {
    match document::read_unchecked::<Item>(store, path).await {
        Ok(found) => Ok(found == *item),
        Err(error) if error.is_retryable() => Err(error.into()),
        Err(_) => Ok(false),
    }
}

/// The highest number of each item under `prefix`.
async fn numbers(store: &Arc<dyn ObjectStore>, prefix: &Path) -> Result<BTreeMap<String, u64>, Error> {
    let failed = |source| Error::List { prefix: prefix.clone(), source };
    let mut newest = BTreeMap::new();
    let mut listing = store.list(Some(prefix));
    while let Some(meta) = listing.try_next().await.map_err(failed)? {
        if let Some((id, number)) = parse(&meta.location) {
            let known: &mut u64 = newest.entry(id).or_default();
            *known = number.max(*known);
        }
    }
    Ok(newest)
}

/// Id and number in `config/<kind>/<id>/<20 digits>`; `None` for a foreign name.
fn parse(path: &Path) -> Option<(String, u64)> {
    let parts: Vec<_> = path.parts().collect();
    let [_, _, id, number] = parts.as_slice() else { return None };
    let (id, number) = (id.as_ref(), number.as_ref());
    let digits = number.len() == 20 && number.bytes().all(|b| b.is_ascii_digit());
    (digits && check(id).is_ok()).then(|| number.parse().ok()).flatten().map(|number| (id.to_owned(), number))
}

fn check(name: &str) -> Result<(), Error> {
    name.parse::<crate::ids::SourceId>().map(drop).map_err(|_| Error::Name(name.chars().take(80).collect()))
}

#[cfg(test)]
mod tests {
    use futures::future::join_all;
    use object_store::{ObjectStoreExt, memory::InMemory};
    use serde_json::json;

    use super::*;

    fn memory() -> Arc<dyn ObjectStore> {
        Arc::new(InMemory::new())
    }

    #[tokio::test]
    async fn the_latest_state_counts_and_a_removed_item_is_gone() {
        let store = memory();
        assert_eq!(put(&store, "sources", "a", &json!({"n": 1})).await.unwrap(), 1);
        assert_eq!(put(&store, "sources", "b", &json!(1)).await.unwrap(), 1);
        assert_eq!(put(&store, "sources", "a", &json!({"n": 2})).await.unwrap(), 2);
        assert_eq!(put(&store, "sources", "a", &json!({"n": 2})).await.unwrap(), 2);
        assert_eq!(remove(&store, "sources", "b").await.unwrap(), 2);
        assert_eq!(latest(&store, "sources").await.unwrap().items, BTreeMap::from([("a".to_owned(), json!({"n": 2}))]));
        assert!(latest(&store, "policies").await.unwrap().items.is_empty());
        assert_eq!(put(&store, "sources", "b", &json!(3)).await.unwrap(), 3);
        let history = history(&store, "sources", "b").await.unwrap();
        assert_eq!(history, [Some(json!(1)), None, Some(json!(3))]);
    }

    #[tokio::test]
    async fn an_item_that_cannot_be_read_hides_no_other_and_can_be_put_anew() {
        let store = memory();
        for id in ["a", "b", "c"] {
            put(&store, "policies", id, &json!(1)).await.unwrap();
        }
        let newer = r#"{"document":"config","format":9,"body":{}}"#;
        for (id, bytes) in [("a", "{"), ("b", newer)] {
            store.put(&layout::config("policies", id, 2), bytes.into()).await.unwrap();
        }
        let found = latest(&store, "policies").await.unwrap();
        assert_eq!(found.items, BTreeMap::from([("c".to_owned(), json!(1))]));
        assert_eq!(found.problems.keys().collect::<Vec<_>>(), ["a", "b"]);
        assert_eq!(put(&store, "policies", "a", &json!(1)).await.unwrap(), 3);
        assert_eq!(latest(&store, "policies").await.unwrap().items.len(), 2);
    }

    #[tokio::test]
    async fn writers_at_the_same_time_get_numbers_of_their_own() {
        let store = memory();
        let values: Vec<_> = (0..16).map(|n| json!(n)).collect();
        let numbers = join_all(values.iter().map(|value| put(&store, "sets", "x", value))).await;
        let mut numbers: Vec<_> = numbers.into_iter().map(Result::unwrap).collect();
        numbers.sort_unstable();
        assert_eq!(numbers, (1..=16).collect::<Vec<_>>());
    }

    #[tokio::test]
    async fn hostile_names_are_refused_and_foreign_objects_passed_over() {
        let store = memory();
        for name in ["", "..", "a/b", "A", "-a", "ä"] {
            assert!(matches!(put(&store, "sources", name, &json!(1)).await, Err(Error::Name(_))), "{name}");
            assert!(matches!(latest(&store, name).await, Err(Error::Name(_))), "{name}");
        }
        for foreign in ["config/sources/readme", "config/sources/a/1", "config/sources/A/00000000000000000001"] {
            store.put(&Path::from(foreign), "x".into()).await.unwrap();
        }
        assert!(latest(&store, "sources").await.unwrap().items.is_empty());
        assert!(matches!(put(&store, "sources", "a", &Value::Null).await, Err(Error::Null { .. })));
    }
}
