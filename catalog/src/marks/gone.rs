//! Numbers of versions whose manifests need nothing any more, as ranges.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::ids::{SetId, VersionNumber};

/// Numbers by set, as ranges with both ends in them: there are at most as many as there are kept versions, and one more.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Gone(BTreeMap<SetId, Vec<(u64, u64)>>);

impl Gone {
    /// Whether a number is among them.
    pub fn contains(&self, set: &SetId, number: VersionNumber) -> bool {
        let Some(ranges) = self.0.get(set) else { return false };
        let after = ranges.partition_point(|(first, _)| *first <= number.0);
        after.checked_sub(1).is_some_and(|at| number.0 <= ranges[at].1)
    }

    /// The sets that have numbers.
    pub fn sets(&self) -> impl Iterator<Item = &SetId> {
        self.0.keys()
    }

    /// The greatest number of a set; `None` where it has none.
    pub fn last(&self, set: &SetId) -> Option<VersionNumber> {
        self.0.get(set)?.last().map(|(_, last)| VersionNumber(*last))
    }

    /// Adds a number.
    pub fn insert(&mut self, set: &SetId, number: VersionNumber) {
        if self.contains(set, number) {
            return;
        }
        let ranges = self.0.entry(set.clone()).or_default();
        let at = ranges.partition_point(|(first, _)| *first < number.0);
        ranges.insert(at, (number.0, number.0));
        join(ranges, at);
        join(ranges, at.saturating_sub(1));
    }
}

/// Makes one range of that at `at` and the next, where nothing lies between them.
fn join(ranges: &mut Vec<(u64, u64)>, at: usize) {
    if let [(_, last), (first, end), ..] = ranges[at..]
        && last + 1 == first
    {
        ranges[at].1 = end;
        ranges.remove(at + 1);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn it_holds_what_was_inserted_in_as_few_ranges_as_there_can_be(numbers in prop::collection::vec(1_u64..40, 0..60)) {
            let set: SetId = "daily".parse().unwrap();
            let mut gone = Gone::default();
            for number in &numbers {
                gone.insert(&set, VersionNumber(*number));
            }
            let expected: BTreeSet<u64> = numbers.into_iter().collect();
            let found: BTreeSet<u64> = (0..50).filter(|number| gone.contains(&set, VersionNumber(*number))).collect();
            prop_assert_eq!(&found, &expected);
            prop_assert_eq!(gone.last(&set), expected.last().copied().map(VersionNumber));
            let beginnings = expected.iter().filter(|number| !expected.contains(&(**number - 1))).count();
            prop_assert_eq!(gone.0.get(&set).map_or(0, Vec::len), beginnings);
            prop_assert!(!gone.contains(&"hourly".parse().unwrap(), VersionNumber(1)));
        }
    }
}
