use std::sync::atomic::{AtomicUsize, Ordering};

use object_store::{ObjectStoreExt, list::PaginatedListResult, memory::InMemory};

use super::*;
use crate::{Env, preflight};

/// A bucket that lists what is in a store, in order and by pages, but for one lie.
#[derive(Clone)]
struct Lying {
    inner: Arc<InMemory>,
    lie: Lie,
    /// Requests.
    asked: Arc<AtomicUsize>,
}

#[derive(Clone, Copy, PartialEq)]
enum Lie {
    None,
    /// The token is not looked at, and another one is given each time.
    FirstPageAgain,
    /// The same, with the same token.
    SameToken,
    /// Says that the first page is all.
    Stops,
    /// Gives a folder's names behind those that begin with its name.
    ByFolder,
    /// The key to begin behind is not looked at.
    FromTheStart,
    /// As many names as there are, whatever was asked for.
    OnePage,
    /// No name, and always more to come.
    Nothing,
}

impl Lying {
    fn of(lie: Lie) -> Self {
        Self { inner: Arc::default(), lie, asked: Arc::default() }
    }

    async fn names(names: &[&str], lie: Lie) -> Self {
        let this = Self::of(lie);
        for name in names {
            this.inner.put(&Path::parse(name).unwrap(), "x".into()).await.unwrap();
        }
        this
    }

    fn store(&self, prefix: &str) -> Arc<dyn ObjectStore> {
        let prefix = Path::from(prefix);
        let inner = object_store::prefix::PrefixStore::new(self.inner.clone(), prefix.clone());
        Arc::new(Paged::new(Arc::new(inner), Arc::new(self.clone()), prefix))
    }

    /// Keys below the prefix and behind `from`, each with its slash if it is a folder; no two alike.
    async fn keys(&self, prefix: &str, from: &str, options: &PaginatedListOptions) -> Vec<String> {
        let metas: Vec<_> = self.inner.list(None).try_collect().await.unwrap();
        let keys = metas.into_iter().map(|meta| meta.location.to_string());
        let keys = keys.filter(|key| key.starts_with(prefix) && key.as_str() > from);
        let up_to = |key: String| match key[prefix.len()..].find('/') {
            Some(at) if options.delimiter.is_some() => key[..=prefix.len() + at].to_owned(),
            _ => key,
        };
        let mut keys: Vec<_> = keys.map(up_to).filter(|key| key.as_str() > from).collect();
        match self.lie {
            Lie::ByFolder => keys.sort_by_key(|key| key.replace('/', "~")),
            _ => keys.sort(),
        }
        keys.dedup();
        keys
    }
}

#[async_trait]
impl PaginatedListStore for Lying {
    async fn list_paginated(&self, prefix: Option<&str>, options: PaginatedListOptions) -> Result<PaginatedListResult> {
        let asked = self.asked.fetch_add(1, Ordering::SeqCst);
        let token = options.page_token.as_deref().filter(|_| !matches!(self.lie, Lie::FirstPageAgain | Lie::SameToken));
        let offset = options.offset.as_deref().filter(|_| self.lie != Lie::FromTheStart);
        let from = token.or(offset).unwrap_or("");
        let mut keys = self.keys(prefix.unwrap_or(""), from, &options).await;
        let most = if self.lie == Lie::OnePage { usize::MAX } else { options.max_keys.unwrap_or(1000).min(1000) };
        let more = keys.len() > most;
        keys.truncate(if self.lie == Lie::Nothing { 0 } else { most });
        let page_token = match self.lie {
            Lie::Stops => None,
            Lie::FirstPageAgain | Lie::Nothing => Some(format!("token {asked}")),
            Lie::SameToken => Some("token".to_owned()),
            _ => more.then(|| keys.last().unwrap().clone()),
        };
        let (folders, objects): (Vec<_>, Vec<_>) = keys.into_iter().partition(|key| key.ends_with('/'));
        let mut result =
            ListResult { common_prefixes: Vec::new(), objects: Vec::new(), extensions: Default::default() };
        result.common_prefixes = folders.iter().map(|key| Path::parse(key).unwrap()).collect();
        for key in objects {
            result.objects.push(self.inner.head(&Path::parse(key).unwrap()).await?);
        }
        Ok(PaginatedListResult { result, page_token })
    }
}

/// So many names in the folder, and the first page of them is full.
async fn many(count: usize, lie: Lie) -> Lying {
    let names: Vec<_> = (0..count).map(|number| format!("p/q/{number:05}")).collect();
    Lying::names(&names.iter().map(String::as_str).collect::<Vec<_>>(), lie).await
}

async fn list(store: &Arc<dyn ObjectStore>, prefix: &str) -> Result<Vec<String>> {
    store.list(Some(&prefix.into())).map_ok(|meta| meta.location.to_string()).try_collect().await
}

#[tokio::test]
async fn names_of_all_pages_are_listed_once_within_the_prefix() {
    for count in [0, 999, 1000, 1001, 2000, 2001] {
        let bucket = many(count, Lie::None).await;
        let store = bucket.store("p");
        let listed = list(&store, "q").await.unwrap();
        assert!(listed.len() == count && listed.first().is_none_or(|name| name == "q/00000"), "{count}: {listed:?}");
        let asked = bucket.asked.load(Ordering::SeqCst);
        assert_eq!(asked, count / 1000 + 1, "{count}: requests");
        assert_eq!(store.list_with_delimiter(Some(&"q".into())).await.unwrap().objects.len(), count);
        let offset =
            store.list_with_offset(Some(&"q".into()), &"q/00997".into()).try_collect::<Vec<_>>().await.unwrap();
        assert_eq!(offset.len(), count.saturating_sub(998));
    }
}

#[tokio::test]
async fn folders_and_objects_are_in_one_order() {
    let bucket = Lying::names(&["p/a-", "p/a/x", "p/a/y", "p/a0", "p/b/x", "other"], Lie::None).await;
    let listed = bucket.store("p").list_with_delimiter(None).await.unwrap();
    let objects: Vec<_> = listed.objects.iter().map(|meta| meta.location.as_ref()).collect();
    let folders: Vec<_> = listed.common_prefixes.iter().map(Path::as_ref).collect();
    assert_eq!((objects, folders), (vec!["a-", "a0"], vec!["a", "b"]));
    assert_eq!(list(&bucket.store(""), "p").await.unwrap().len(), 5);
    assert_eq!(bucket.store("").list(None).try_collect::<Vec<_>>().await.unwrap().len(), 6);
}

#[tokio::test]
async fn a_full_page_of_folders_is_no_sign_of_more() {
    let names: Vec<_> = (0..1000).map(|number| format!("{number:05}/x")).collect();
    let bucket = Lying::names(&names.iter().map(String::as_str).collect::<Vec<_>>(), Lie::None).await;
    assert_eq!(bucket.store("").list_with_delimiter(None).await.unwrap().common_prefixes.len(), 1000);
    bucket.inner.put(&"01000/x".into(), "x".into()).await.unwrap();
    let short = Lying { lie: Lie::Stops, ..bucket }.store("").list_with_delimiter(None).await.unwrap_err();
    assert!(is_wrong(&short) && short.to_string().contains("01000/"), "{short}");
}

#[tokio::test]
async fn a_listing_that_does_not_go_on_or_ends_early_is_an_error() {
    let cases = [
        (Lie::FirstPageAgain, "goes backwards or repeats itself"),
        (Lie::SameToken, "goes backwards or repeats itself"),
        (Lie::Stops, "on a full page, and lists p/q/01000 behind it"),
        (Lie::Nothing, "1000 pages in a row"),
    ];
    for (lie, part) in cases {
        let store = many(1001, lie).await.store("p");
        let listed = list(&store, "q").await.unwrap_err();
        let level = store.list_with_delimiter(Some(&"q".into())).await.unwrap_err();
        for error in [listed, level] {
            assert!(is_wrong(&error) && !crate::retry::is_transient(&error), "{error}");
            assert!(error.to_string().contains(part), "{part}: {error}");
        }
    }
    let empty = Lying::of(Lie::SameToken).store("p");
    let error = list(&empty, "q").await.unwrap_err().to_string();
    assert!(error.contains("go on for ever"), "{error}");
}

#[tokio::test]
async fn a_listing_in_another_order_or_from_another_place_is_an_error() {
    let bucket = Lying::names(&["a-", "a/x", "a0"], Lie::ByFolder).await;
    let error = bucket.store("").list(None).try_collect::<Vec<_>>().await.unwrap_err();
    assert!(error.to_string().contains("lists a/x after a0"), "{error}");
    let bucket = Lying::names(&["a", "b"], Lie::FromTheStart).await;
    let error = bucket.store("").list_with_offset(None, &"a".into()).try_collect::<Vec<_>>().await.unwrap_err();
    assert!(error.to_string().contains("from behind a on begins with a"), "{error}");
}

#[test]
fn empty_objects_that_stand_for_folders_are_where_their_slash_puts_them() {
    let key = |text: &str, empty| Key { text: text.to_owned(), empty };
    assert!(key("a", true).may_follow("a-") && !key("a", false).may_follow("a-"));
    assert_eq!(key("a", true).behind("a-"), "a/");
    assert_eq!(key("a0", true).behind("a-"), "a0");
}

#[tokio::test]
async fn the_preflight_lists_a_few_names_by_pages_and_says_what_is_wrong() {
    let run = async |lie| preflight::run(&Lying::of(lie).store("p"), &Env::system()).await;
    let line = |report: preflight::Report| report.lines.into_iter().find(|line| line.name == "paging").unwrap();
    let good = line(run(Lie::None).await.unwrap());
    assert!(good.outcome == preflight::Outcome::Passed && good.detail.contains("pages"), "{good:?}");
    let untried = line(run(Lie::OnePage).await.unwrap());
    assert!(untried.outcome == preflight::Outcome::Warned && untried.detail.contains("not tried"), "{untried:?}");
    for lie in [Lie::FirstPageAgain, Lie::SameToken, Lie::Stops, Lie::ByFolder, Lie::FromTheStart] {
        let error = run(lie).await.unwrap_err();
        assert!(!error.is_retryable() && matches!(error.property(), "paging" | "list-after-write"), "{error:?}");
    }
}
