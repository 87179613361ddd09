//! The version's stream and the target's, both in the order of their keys, as one.

use std::{cmp::Ordering, future::Future, iter::Peekable};

/// Records of a target, ascending by their keys.
pub trait Records: Send {
    /// A record.
    type Record: Send;
    /// Why it cannot be read on.
    type Error;

    /// The next record; `None` at the end, and from then on.
    fn next(&mut self) -> impl Future<Output = Result<Option<Self::Record>, Self::Error>> + Send;
}

/// What both have, or one of them, under one key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Pair<V, T> {
    /// Both have it.
    Both(V, T),
    /// Only the version has it.
    Version(V),
    /// Only the target has it.
    Target(T),
}

/// Both streams as one, each key once.
pub struct Pairs<V: Iterator, T: Records> {
    version: Peekable<V>,
    target: T,
    /// The target's next record, once it was read.
    ahead: Option<T::Record>,
}

impl<V: Iterator, T: Records> Pairs<V, T> {
    /// Of a version's records, ascending by their keys, and the target's.
    pub fn new(version: V, target: T) -> Self {
        Self { version: version.peekable(), target, ahead: None }
    }

    /// What is next by `order`, by which both ascend; `None` at the end of both.
    ///
    /// # Errors
    /// The target's; the pairs before it have been handed out.
    pub async fn next(
        &mut self,
        order: impl FnOnce(&V::Item, &T::Record) -> Ordering,
    ) -> Result<Option<Pair<V::Item, T::Record>>, T::Error> {
        if self.ahead.is_none() {
            self.ahead = self.target.next().await?;
        }
        let order = match (self.version.peek(), &self.ahead) {
            (None, None) => return Ok(None),
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (Some(version), Some(target)) => order(version, target),
        };
        let version = if order.is_le() { self.version.next() } else { None };
        let target = if order.is_ge() { self.ahead.take() } else { None };
        Ok(match (version, target) {
            (Some(version), Some(target)) => Some(Pair::Both(version, target)),
            (Some(version), None) => Some(Pair::Version(version)),
            (None, Some(target)) => Some(Pair::Target(target)),
            (None, None) => None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Few(std::vec::IntoIter<Result<u8, &'static str>>);

    impl Records for Few {
        type Record = u8;
        type Error = &'static str;

        async fn next(&mut self) -> Result<Option<u8>, &'static str> {
            self.0.next().transpose()
        }
    }

    async fn pairs(version: &[u8], target: Vec<Result<u8, &'static str>>) -> (Vec<Pair<u8, u8>>, Option<&'static str>) {
        let mut pairs = Pairs::new(version.iter().copied(), Few(target.into_iter()));
        let mut found = Vec::new();
        loop {
            match pairs.next(Ord::cmp).await {
                Ok(Some(pair)) => found.push(pair),
                Ok(None) => return (found, None),
                Err(why) => return (found, Some(why)),
            }
        }
    }

    #[tokio::test]
    async fn each_key_comes_once_and_in_order() {
        use Pair::{Both, Target, Version};
        let (found, failed) = pairs(&[1, 3, 4, 7], [2, 3, 5, 8].map(Ok).to_vec()).await;
        let expected = [Version(1), Target(2), Both(3, 3), Version(4), Target(5), Version(7), Target(8)];
        assert_eq!((found, failed), (expected.to_vec(), None));
        assert_eq!(pairs(&[1], vec![]).await, (vec![Version(1)], None));
        assert_eq!(pairs(&[], vec![Ok(1)]).await, (vec![Target(1)], None));
    }

    #[tokio::test]
    async fn an_unread_target_is_no_empty_one() {
        let (found, failed) = pairs(&[1, 3], vec![Ok(1), Err("away")]).await;
        assert_eq!((found, failed), (vec![Pair::Both(1, 1)], Some("away")));
    }
}
