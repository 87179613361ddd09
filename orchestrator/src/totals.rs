//! The figures of a version, or of an object in one, that operations and lists name: what all kinds of sources count, and what only
//! some do.

use serde::{Deserialize, Serialize};
use tidemark_catalog::figures::Figures;

/// Figures that are named.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Totals {
    /// Bytes of the source's files over all nodes.
    pub source_bytes: u64,
    /// Bytes that listeners uploaded.
    pub shipped_bytes: u64,
    /// Bytes of the segments.
    pub kept_bytes: u64,
    /// Rows live at the cut.
    pub rows: u64,
    /// Live static rows at the cut.
    pub static_rows: u64,
    /// Rows on which owner replicas disagreed.
    pub disagreeing_rows: u64,
    /// Partitions dropped because their node did not own them.
    pub not_owned_partitions: u64,
}

impl From<&Figures> for Totals {
    fn from(figures: &Figures) -> Self {
        let own = |name: &str| {
            let counts = figures.own.values().filter_map(|counts| counts.get(name));
            counts.fold(0_u64, |sum, count| sum.saturating_add(*count))
        };
        Self {
            source_bytes: figures.logical_bytes,
            shipped_bytes: figures.shipped_bytes,
            kept_bytes: figures.kept_bytes(),
            rows: figures.records,
            static_rows: own("static_rows"),
            disagreeing_rows: own("disagreeing_rows"),
            not_owned_partitions: own("not_owned_partitions"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_of_hostile_figures_do_not_wrap() {
        let own = |kind: &str, count| (kind.to_owned(), [("static_rows".to_owned(), count)].into());
        let hostile = Figures {
            kept_new_bytes: u64::MAX,
            kept_shared_bytes: 1,
            own: [own("a", u64::MAX), own("cassandra", 1)].into(),
            ..Figures::default()
        };
        let shown = Totals::from(&hostile);
        assert_eq!((shown.static_rows, shown.kept_bytes, shown.rows), (u64::MAX, u64::MAX, 0));
    }
}
