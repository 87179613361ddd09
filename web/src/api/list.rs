//! Lists, and the pages that they are read in.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Items of a page where none is asked for.
const DEFAULT_SIZE: usize = 100;

/// Most items of a page.
const MAX_SIZE: usize = 1000;

/// A list of things, or a page of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct List<T> {
    /// The items.
    pub items: Vec<T>,
    /// Asks for the next page, as `page_token`; absent on the last one.
    pub next_page_token: Option<String>,
}

/// Which page of a list is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// Most items, from 1.
    pub size: usize,
    /// Key of the last item of the page before.
    pub after: Option<String>,
}

/// Which way the keys of a list go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// The least first.
    Ascending,
    /// The greatest first.
    Descending,
}

impl Page {
    /// The page of a request; `None` where the token is none that a list gave out. Sizes are cut to 1000; 0 or none is 100.
    pub fn of(size: Option<u32>, token: Option<&str>) -> Option<Self> {
        let size = match size.and_then(|size| usize::try_from(size).ok()).unwrap_or(0) {
            0 => DEFAULT_SIZE,
            size => size.min(MAX_SIZE),
        };
        let decode = |token| String::from_utf8(URL_SAFE_NO_PAD.decode(token).ok()?).ok();
        match token {
            None => Some(Self { size, after: None }),
            Some(token) => decode(token).map(|after| Self { size, after: Some(after) }),
        }
    }

    /// The first page, as large as may be.
    pub fn first() -> Self {
        Self { size: MAX_SIZE, after: None }
    }

    /// The page of `all` whose keys go in `order`; items that came or went since the page before shift nothing.
    pub fn cut<T>(&self, all: Vec<T>, order: Order, key: impl Fn(&T) -> String) -> List<T> {
        let is_left = |item: &T| match (&self.after, order) {
            (None, _) => true,
            (Some(after), Order::Ascending) => key(item) > *after,
            (Some(after), Order::Descending) => key(item) < *after,
        };
        let mut items: Vec<T> = all.into_iter().filter(|item| is_left(item)).collect();
        let more = items.len() > self.size;
        items.truncate(self.size);
        let last = items.last().filter(|_| more).map(|item| URL_SAFE_NO_PAD.encode(key(item)));
        List { items, next_page_token: last }
    }
}

impl<T> List<T> {
    /// A list with all its items.
    pub fn whole(items: Vec<T>) -> Self {
        Self { items, next_page_token: None }
    }

    /// The same page of other things.
    pub fn map<U>(self, change: impl FnMut(T) -> U) -> List<U> {
        List { items: self.items.into_iter().map(change).collect(), next_page_token: self.next_page_token }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pages(order: Order, mut all: Vec<&'static str>, size: u32) -> Vec<Vec<&'static str>> {
        let (mut pages, mut token) = (Vec::new(), None::<String>);
        loop {
            let page = Page::of(Some(size), token.as_deref()).unwrap().cut(all.clone(), order, |s| (*s).to_owned());
            pages.push(page.items);
            // What was given out goes meanwhile: nothing else may be passed over for it.
            all.remove(0);
            token = page.next_page_token;
            if token.is_none() {
                return pages;
            }
        }
    }

    #[test]
    fn pages_hold_each_item_once_whatever_goes_meanwhile() {
        let all = vec!["a", "b", "c", "d", "e"];
        assert_eq!(pages(Order::Ascending, all.clone(), 2), [vec!["a", "b"], vec!["c", "d"], vec!["e"]]);
        assert_eq!(pages(Order::Ascending, all.clone(), 5), std::slice::from_ref(&all));
        let down = all.into_iter().rev().collect();
        assert_eq!(pages(Order::Descending, down, 3), [vec!["e", "d", "c"], vec!["b", "a"]]);
    }

    #[test]
    fn sizes_are_bounded_and_foreign_tokens_refused() {
        assert_eq!(Page::of(None, None).unwrap().size, 100);
        assert_eq!(Page::of(Some(0), None).unwrap().size, 100);
        assert_eq!(Page::of(Some(5000), None).unwrap().size, 1000);
        assert_eq!(Page::of(None, Some("not base64!")), None);
    }
}
