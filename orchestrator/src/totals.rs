//! What is stored of a version in the words of the API, which operations and lists have in common.

use tidemark_catalog::{figures::Figures, manifest::WorstQuality};
use tidemark_web::api::Totals;

/// Figures as the API names them: `totals`, with what only some kinds of source count.
pub(crate) fn figures(figures: &Figures) -> Totals {
    let own = |name: &str| {
        figures.own.values().filter_map(|counts| counts.get(name)).fold(0_u64, |sum, count| sum.saturating_add(*count))
    };
    Totals {
        source_bytes: figures.logical_bytes,
        shipped_bytes: figures.shipped_bytes,
        kept_bytes: figures.kept_bytes(),
        rows: figures.records,
        static_rows: own("static_rows"),
        disagreeing_rows: own("disagreeing_rows"),
        not_owned_partitions: own("not_owned_partitions"),
    }
}

/// The word for a quality.
pub(crate) fn quality(worst: WorstQuality) -> &'static str {
    match worst {
        WorstQuality::Exact => "exact",
        WorstQuality::Cut => "cut",
        WorstQuality::Degraded => "degraded",
        WorstQuality::Missing => "missing",
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
        let shown = figures(&hostile);
        assert_eq!((shown.static_rows, shown.kept_bytes, shown.rows), (u64::MAX, u64::MAX, 0));
    }
}
