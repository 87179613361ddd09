//! Figures of an object or a version.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Counts of a kind of source, by name.
pub type Counts = BTreeMap<String, u64>;

/// Figures of an object or a version. Counts are exact.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Figures {
    /// Bytes that it takes at the source, over all partitions, before anything is saved.
    pub logical_bytes: u64,
    /// Bytes that listeners uploaded.
    pub shipped_bytes: u64,
    /// Stored bytes of its state that the version before does not have.
    pub kept_new_bytes: u64,
    /// Stored bytes of its state that the version before has too.
    pub kept_shared_bytes: u64,
    /// Records that a reader sees at the cut.
    pub records: u64,
    /// Records that the version before does not have; absent where nobody counted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inserted: Option<u64>,
    /// Records that both have, and that differ; absent where nobody counted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub updated: Option<u64>,
    /// Records that only the version before has; absent where nobody counted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deleted: Option<u64>,
    /// What only a kind of source counts, under the kind's name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub own: BTreeMap<String, Counts>,
}

impl Figures {
    /// Stored bytes of the state.
    pub fn kept_bytes(&self) -> u64 {
        self.kept_new_bytes.saturating_add(self.kept_shared_bytes)
    }

    /// A count that only `kind` knows; 0 where it is absent.
    pub fn count(&self, kind: &str, name: &str) -> u64 {
        self.own.get(kind).and_then(|counts| counts.get(name)).copied().unwrap_or(0)
    }

    /// Sums of both. What nobody counted of one is not counted of the sum.
    #[must_use]
    pub fn plus(mut self, other: &Self) -> Self {
        let both = |one: Option<u64>, other: Option<u64>| Some(one?.saturating_add(other?));
        for (kind, counts) in &other.own {
            let own = self.own.entry(kind.clone()).or_default();
            for (name, count) in counts {
                let sum = own.entry(name.clone()).or_default();
                *sum = sum.saturating_add(*count);
            }
        }
        Self {
            logical_bytes: self.logical_bytes.saturating_add(other.logical_bytes),
            shipped_bytes: self.shipped_bytes.saturating_add(other.shipped_bytes),
            kept_new_bytes: self.kept_new_bytes.saturating_add(other.kept_new_bytes),
            kept_shared_bytes: self.kept_shared_bytes.saturating_add(other.kept_shared_bytes),
            records: self.records.saturating_add(other.records),
            inserted: both(self.inserted, other.inserted),
            updated: both(self.updated, other.updated),
            deleted: both(self.deleted, other.deleted),
            own: self.own,
        }
    }

    /// The sum of many.
    pub fn sum<'a>(all: impl IntoIterator<Item = &'a Self>) -> Self {
        let mut all = all.into_iter();
        let first = all.next().cloned().unwrap_or_default();
        all.fold(first, |sum, next| sum.plus(next))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figures(records: u64, inserted: Option<u64>, own: &[(&str, &str, u64)]) -> Figures {
        let mut figures = Figures { records, inserted, ..Figures::default() };
        for (kind, name, count) in own {
            figures.own.entry((*kind).to_owned()).or_default().insert((*name).to_owned(), *count);
        }
        figures
    }

    #[test]
    fn sums_hold_what_both_counted_and_what_either_kind_counts_of_its_own() {
        let one = figures(1, Some(1), &[("a", "x", 1), ("a", "y", 2)]);
        let other = figures(2, Some(5), &[("a", "x", 10), ("b", "z", 3)]);
        let sum = Figures::sum([&one, &other]);
        assert_eq!(sum, figures(3, Some(6), &[("a", "x", 11), ("a", "y", 2), ("b", "z", 3)]));
        assert_eq!((sum.count("a", "x"), sum.count("b", "x"), sum.count("c", "x")), (11, 0, 0));
        assert_eq!(Figures::sum([&one, &figures(0, None, &[])]).inserted, None);
        assert_eq!(Figures::sum([]), Figures::default());
    }

    #[test]
    fn what_nobody_counted_is_not_in_the_json() {
        let json = serde_json::to_value(Figures::default()).unwrap();
        assert_eq!(json.as_object().unwrap().len(), 5, "{json}");
        assert_eq!(serde_json::from_value::<Figures>(json).unwrap(), Figures::default());
    }
}
