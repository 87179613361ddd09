//! What a listener hands in must be its own.
//!
//! The daemon does not know beforehand which partition a listener stands beside: the listener says it by the folder that it
//! stages in. So it must be a folder of this source and task, the same in every step, and no other listener's.

use std::collections::BTreeMap;

use object_store::path::Path;
use tidemark_catalog::{
    ids::{SourceId, TaskId},
    layout,
    stored::StoredRef,
};
use tidemark_listener_core::source::Answers;

use crate::failure::Failure;

/// Code of an answer that is not its listener's own.
const NOT_OWN: &str = "TM-PROT-0006";

/// A source's task: all folders that its listeners stage in lie below it.
#[derive(Clone, Copy)]
pub(crate) struct Folder<'a> {
    pub(crate) source: &'a SourceId,
    pub(crate) task: &'a TaskId,
}

impl Folder<'_> {
    /// The partition in whose folder the object of this name lies; `None` where it lies in none of this task.
    pub(crate) fn partition<'k>(&self, key: &'k str) -> Option<&'k str> {
        // Names that a store reads as others, such as those with `..`, are nobody's.
        Path::parse(key).ok().filter(|path| path.as_ref() == key)?;
        let staged = layout::staged_root(self.source);
        let (partition, _) = key.strip_prefix(&format!("{staged}/{}/", self.task))?.split_once('/')?;
        Some(partition)
    }

    /// Why the answer is not the listener's own, by its name and its earlier answers.
    fn refuse(&self, listener: &str, answer: &StoredRef, earlier: &[Answers]) -> Result<(), Failure> {
        let key = &answer.key;
        let Some(partition) = self.partition(key) else {
            let words = format!(
                "listener {listener} handed in {key}, which is not staged for source {}, task {}",
                self.source, self.task
            );
            return Err(not_own(words));
        };
        let mut earlier = earlier.iter().filter_map(|answers| self.partition(&answers.get(listener)?.key));
        match earlier.find(|earlier| *earlier != partition) {
            Some(other) => {
                Err(not_own(format!("listener {listener} handed in partition {partition}, before it was {other}")))
            }
            None => Ok(()),
        }
    }
}

/// What came of a step, by listener; answers that are not their listener's own are failures. `earlier` are the answers to the
/// steps before it.
pub(crate) fn only_own(
    folder: Folder<'_>,
    outcomes: Vec<(String, Result<StoredRef, Failure>)>,
    earlier: &[Answers],
) -> Vec<(String, Result<StoredRef, Failure>)> {
    let owners = owners(folder, &outcomes, earlier);
    let judge = |listener: &str, answer: StoredRef| {
        folder.refuse(listener, &answer, earlier)?;
        match folder.partition(&answer.key).and_then(|partition| Some((partition, owners.get(partition)?))) {
            Some((partition, owners)) if owners.len() > 1 => Err(shared(partition, owners)),
            _ => Ok(answer),
        }
    };
    outcomes
        .into_iter()
        .map(|(listener, outcome)| {
            let outcome = outcome.and_then(|answer| judge(&listener, answer));
            (listener, outcome)
        })
        .collect()
}

/// Who handed in which partition, in this step or an earlier one.
fn owners(
    folder: Folder<'_>,
    outcomes: &[(String, Result<StoredRef, Failure>)],
    earlier: &[Answers],
) -> BTreeMap<String, Vec<String>> {
    let mut owners: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let now = outcomes.iter().filter_map(|(listener, outcome)| Some((listener, outcome.as_ref().ok()?)));
    for (listener, answer) in now.chain(earlier.iter().flatten()) {
        let Some(partition) = folder.partition(&answer.key) else { continue };
        let owners = owners.entry(partition.to_owned()).or_default();
        if !owners.contains(listener) {
            owners.push(listener.clone());
        }
    }
    owners
}

fn shared(partition: &str, owners: &[String]) -> Failure {
    not_own(format!("listeners {} all handed in partition {partition}", owners.join(", ")))
}

fn not_own(words: String) -> Failure {
    Failure::permanent(NOT_OWN, words).with_hint(
        "see whether two nodes of the source's specification reach the same one; else find out who runs this listener",
    )
}

#[cfg(test)]
mod tests {
    use tidemark_gateway::Stored;

    use super::*;

    fn answer(key: &str) -> StoredRef {
        StoredRef { key: key.to_owned(), ..StoredRef::new(&object_store::path::Path::default(), Stored::of(b"1")) }
    }

    /// Code, or key, of what comes of answers by these names.
    fn judged(answers: &[(&str, &str)], earlier: &[(&str, &str)]) -> Vec<String> {
        let (source, task) = ("shop".parse().unwrap(), "t1".parse().unwrap());
        let outcomes = answers.iter().map(|(listener, key)| ((*listener).to_owned(), Ok(answer(key)))).collect();
        let earlier = earlier.iter().map(|(listener, key)| ((*listener).to_owned(), answer(key))).collect();
        let judged = only_own(Folder { source: &source, task: &task }, outcomes, &[earlier]);
        judged.into_iter().map(|(_, outcome)| outcome.map_or_else(|failure| failure.code, |own| own.key)).collect()
    }

    #[test]
    fn what_lies_below_the_folder_of_the_task_is_the_listeners_own() {
        let (one, two) = ("sources/shop/staged/t1/p1/slice.json", "sources/shop/staged/t1/p2/step/0.json");
        assert_eq!(judged(&[("a", one), ("b", two)], &[]), [one, two]);
    }

    #[test]
    fn what_lies_elsewhere_is_not() {
        let elsewhere = [
            "sources/other/staged/t1/p1/slice.json",
            "sources/shop/staged/t2/p1/slice.json",
            "sources/shop/staged/t1/slice.json",
            "sources/shop/staged/t11/p1/slice.json",
            "sources/shop/staged/t1//slice.json",
            "sources/shop/staged/t1/p1/../../t2/p1/slice.json",
            "/sources/shop/staged/t1/p1/slice.json",
            "sources/shop/segments/1-1-1.parquet",
            "",
        ];
        for key in elsewhere {
            assert_eq!(judged(&[("a", key)], &[]), [NOT_OWN], "{key}");
        }
    }

    #[test]
    fn a_partition_that_two_hand_in_is_nobodys_and_others_stand() {
        let (one, two) = ("sources/shop/staged/t1/p1/slice.json", "sources/shop/staged/t1/p2/slice.json");
        assert_eq!(judged(&[("a", one), ("b", one), ("c", two)], &[]), [NOT_OWN, NOT_OWN, two]);
    }

    #[test]
    fn what_another_handed_in_before_is_nobodys() {
        let (one, two) = ("sources/shop/staged/t1/p1/slice.json", "sources/shop/staged/t1/p2/slice.json");
        assert_eq!(judged(&[("b", one)], &[("a", one)]), [NOT_OWN]);
        assert_eq!(judged(&[("b", two)], &[("a", one)]), [two]);
    }

    #[test]
    fn a_listener_stays_with_its_partition() {
        let (one, two) = ("sources/shop/staged/t1/p1/step-0.json", "sources/shop/staged/t1/p2/step-1.json");
        assert_eq!(judged(&[("a", two)], &[("b", one)]), [two]);
        assert_eq!(judged(&[("a", two)], &[("a", one)]), [NOT_OWN]);
    }
}
