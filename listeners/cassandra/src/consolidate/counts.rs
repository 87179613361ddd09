//! What only Cassandra counts of a table, under its own name among an object's figures.

use tidemark_catalog::figures::{Counts, Figures};

use crate::{collapse::CollapseStats, segment::KIND};

/// Partitions with a static row that a reader sees at the cut.
const STATIC_ROWS: &str = "static_rows";

/// Rows (static ones too) on which owner replicas disagreed although the newest difference is older than the cut.
const DISAGREEING_ROWS: &str = "disagreeing_rows";

/// Partitions that were dropped because the node that held them did not own them.
const NOT_OWNED_PARTITIONS: &str = "not_owned_partitions";

/// The counts of a collapse.
pub(super) fn of(stats: &CollapseStats) -> Counts {
    let counts = [
        (STATIC_ROWS, stats.live_static_rows),
        (DISAGREEING_ROWS, stats.disagreeing_rows),
        (NOT_OWNED_PARTITIONS, stats.not_owned_partitions()),
    ];
    counts.map(|(name, count)| (name.to_owned(), count)).into()
}

/// Partitions with a visible static row.
pub(crate) fn static_rows(figures: &Figures) -> u64 {
    figures.count(KIND, STATIC_ROWS)
}

/// The count of segments that hold this many partitions with a visible static row.
pub(crate) fn of_static_rows(static_rows: u64) -> Counts {
    [(STATIC_ROWS.to_owned(), static_rows)].into()
}

/// What is wrong with an entry's figures, where of its segments [`of_static_rows`] were counted.
pub(crate) fn check(figures: &Figures, counted: &Counts) -> Result<(), String> {
    if let Some(strange) = strange(figures) {
        return Err(strange);
    }
    let (expected, found) = (static_rows(figures), counted.get(STATIC_ROWS).copied().unwrap_or(0));
    if expected == found { Ok(()) } else { Err(format!("the entry counts {expected} static rows, found are {found}")) }
}

/// What is not as [`of`] writes it; `None` where all is.
fn strange(figures: &Figures) -> Option<String> {
    let names = [DISAGREEING_ROWS, NOT_OWNED_PARTITIONS, STATIC_ROWS];
    let found = |kind: &str| figures.own.get(kind).into_iter().flatten().map(|(name, _)| name.as_str());
    if figures.own.len() == 1 && found(KIND).eq(names) {
        return None;
    }
    let kinds: Vec<_> = figures.own.keys().map(String::as_str).collect();
    Some(format!("its own figures are {} of {}", found(KIND).collect::<Vec<_>>().join(", "), kinds.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_counts_than_are_written_are_strange() {
        let whole = Figures { own: [(KIND.to_owned(), of(&CollapseStats::default()))].into(), ..Figures::default() };
        assert_eq!(strange(&whole), None);
        assert_eq!((check(&whole, &Counts::new()), check(&whole, &of_static_rows(0))), (Ok(()), Ok(())));
        assert!(check(&whole, &of_static_rows(5)).unwrap_err().contains("found are 5"));
        assert!(strange(&Figures::default()).is_some());
        let mut more = whole.clone();
        more.own.entry(KIND.to_owned()).or_default().insert("more".to_owned(), 1);
        assert!(strange(&more).unwrap().contains("more"));
        let mut other = whole;
        other.own.insert("other".to_owned(), Counts::new());
        assert!(strange(&other).unwrap().contains("other"));
    }
}
