//! Positions: how far the log of a source, or its captures, have come in each of its partitions.

use std::{cmp::Ordering, collections::BTreeMap};

use serde::{Deserialize, Serialize};

use crate::opaque::Labelled;

/// A place in the order of one partition; its text is for example a time or an LSN.
pub type Mark = Labelled;

/// A mark in each of some partitions: everything up to it, itself included, and nothing of partitions that are not there. The
/// checkpoint of a capture is one. Partially ordered: one may be ahead here and behind there.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Position(BTreeMap<String, Mark>);

impl Position {
    /// The position with these marks, by partition.
    pub fn new(marks: impl IntoIterator<Item = (String, Mark)>) -> Self {
        Self(marks.into_iter().collect())
    }

    /// How far it has come in a partition; `None` where it has not begun.
    pub fn mark(&self, partition: &str) -> Option<&Mark> {
        self.0.get(partition)
    }

    /// True where everything up to `other` is up to this one too: each partition of `other` is here, with a mark that is not before
    /// its own. Every position covers the empty one and itself.
    pub fn covers(&self, other: &Self) -> bool {
        other.0.iter().all(|(partition, mark)| self.0.get(partition).is_some_and(|own| own >= mark))
    }
}

impl PartialOrd for Position {
    /// By [`covers`](Self::covers); `None` where neither covers the other.
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        match (self.covers(other), other.covers(self)) {
            (true, true) => Some(Ordering::Equal),
            (true, false) => Some(Ordering::Greater),
            (false, true) => Some(Ordering::Less),
            (false, false) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::opaque::Opaque;

    /// `a` and `b` of a position with two partitions; 0 stands for a partition that is not there.
    fn at((a, b): (u8, u8)) -> Position {
        let mark = |at: u8| Mark { bytes: Opaque::new(vec![at]), text: at.to_string() };
        let marks = [("a", a), ("b", b)].into_iter().filter(|(_, at)| *at > 0);
        Position::new(marks.map(|(partition, at)| (partition.to_owned(), mark(at))))
    }

    #[test]
    fn the_truth_table_of_covers() {
        for (one, other, covers, is_covered) in [
            ((0, 0), (0, 0), true, true),
            ((1, 0), (0, 0), true, false),
            ((1, 0), (1, 0), true, true),
            ((2, 0), (1, 0), true, false),
            ((1, 0), (0, 1), false, false),
            ((1, 1), (1, 0), true, false),
            ((1, 1), (2, 0), false, false),
            ((1, 2), (2, 1), false, false),
            ((2, 2), (1, 2), true, false),
            ((2, 2), (2, 2), true, true),
            ((9, 9), (0, 10), false, false),
            ((9, 10), (0, 10), true, false),
        ] {
            let found = (at(one).covers(&at(other)), at(other).covers(&at(one)));
            assert_eq!(found, (covers, is_covered), "{one:?} {other:?}");
            let order = at(one).partial_cmp(&at(other));
            let expected = match found {
                (true, true) => Some(Ordering::Equal),
                (true, false) => Some(Ordering::Greater),
                (false, true) => Some(Ordering::Less),
                (false, false) => None,
            };
            assert_eq!(order, expected);
        }
    }

    #[test]
    fn a_position_is_its_marks_by_partition() {
        let json = serde_json::to_string(&at((1, 0))).unwrap();
        assert_eq!(json, r#"{"a":{"bytes":"01","text":"1"}}"#);
        assert_eq!(serde_json::from_str::<Position>(&json).unwrap(), at((1, 0)));
    }
}
