//! Which of two atoms at the same place survives: total orders, so that the greater one is the join.

use std::cmp::Reverse;

use tidemark_cassandra_format::model::{Cell, CellState, Deletion, Liveness, RowDeletion};

/// TTL by which materialised views mark a liveness as expired, whatever its expiry says.
pub(crate) const EXPIRED_LIVENESS_TTL: u32 = i32::MAX as u32;

/// Gives all ways to say "no deletion" one form.
pub(crate) fn normal(deletion: Deletion) -> Deletion {
    if deletion.is_live() { Deletion::LIVE } else { deletion }
}

/// True iff `left` survives against `right` at the same row, column and path, or both are equal.
///
/// Later write time; then tombstone over expiring over live, expired or not; then later local deletion time or expiry;
/// then, of cells that expire together, the smaller TTL, which was written later; then greater value, bytewise unsigned.
pub(crate) fn cell_wins(left: &Cell, right: &Cell) -> bool {
    if left.ts != right.ts {
        return left.ts > right.ts;
    }
    cell_rank(left) >= cell_rank(right)
}

fn cell_rank(cell: &Cell) -> (u8, u32, Reverse<u32>, &[u8]) {
    match cell.state {
        CellState::Live => (0, 0, Reverse(0), &cell.value),
        CellState::Expiring(expiry) => (1, expiry.at, Reverse(expiry.ttl), &cell.value),
        CellState::Tombstone { local_time } => (2, local_time, Reverse(0), &cell.value),
    }
}

/// The stronger of two row markers.
///
/// Later write time; then the "expired" marker of materialised views; then expiring over not expiring; then later expiry;
/// then the smaller TTL.
pub(crate) fn join_liveness(left: Option<Liveness>, right: Option<Liveness>) -> Option<Liveness> {
    match (left, right) {
        (Some(left), Some(right)) => Some(if liveness_rank(&left) >= liveness_rank(&right) { left } else { right }),
        (left, right) => left.or(right),
    }
}

fn liveness_rank(liveness: &Liveness) -> (i64, u8, u32, Reverse<u32>) {
    match liveness.expiry {
        None => (liveness.ts, 0, 0, Reverse(0)),
        Some(expiry) if expiry.ttl == EXPIRED_LIVENESS_TTL => (liveness.ts, 2, expiry.at, Reverse(expiry.ttl)),
        Some(expiry) => (liveness.ts, 1, expiry.at, Reverse(expiry.ttl)),
    }
}

/// The stronger of two row deletions; of equal ones the one that is not shadowable, which deletes more.
pub(crate) fn join_row_deletions(left: RowDeletion, right: RowDeletion) -> RowDeletion {
    if left.time.supersedes(right.time) {
        left
    } else if right.time.supersedes(left.time) {
        right
    } else {
        RowDeletion { time: normal(left.time), shadowable: left.shadowable && right.shadowable }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use tidemark_cassandra_format::model::Expiry;

    use super::*;

    fn cell(ts: i64, state: CellState, value: &'static str) -> Cell {
        Cell { ts, state, value: Bytes::from_static(value.as_bytes()) }
    }

    fn expiring(ttl: u32, at: u32) -> CellState {
        CellState::Expiring(Expiry { ttl, at })
    }

    /// Each beats all before it.
    fn ladder() -> Vec<Cell> {
        vec![
            cell(1, CellState::Tombstone { local_time: 99 }, ""),
            cell(2, CellState::Live, ""),
            cell(2, CellState::Live, "a"),
            cell(2, CellState::Live, "a\u{7f}"),
            cell(2, CellState::Live, "é"),
            cell(2, expiring(9, 5), "a"),
            cell(2, expiring(9, 5), "b"),
            cell(2, expiring(3, 5), "a"),
            cell(2, expiring(3, 5), "b"),
            cell(2, expiring(3, 6), "a"),
            cell(2, CellState::Tombstone { local_time: 0 }, ""),
            cell(2, CellState::Tombstone { local_time: 7 }, ""),
            cell(3, CellState::Live, ""),
        ]
    }

    #[test]
    fn cells_rank_by_time_state_expiry_and_value() {
        let ladder = ladder();
        for (low, weaker) in ladder.iter().enumerate() {
            for stronger in &ladder[low + 1..] {
                assert!(cell_wins(stronger, weaker), "{stronger:?} should beat {weaker:?}");
                assert!(!cell_wins(weaker, stronger), "{weaker:?} should lose to {stronger:?}");
            }
        }
    }

    #[test]
    fn row_markers_rank_by_time_expired_expiring_and_expiry() {
        let of = |ts, expiry: Option<(u32, u32)>| Liveness { ts, expiry: expiry.map(|(ttl, at)| Expiry { ttl, at }) };
        let ladder = [
            of(1, Some((i32::MAX as u32, 9))),
            of(2, None),
            of(2, Some((5, 3))),
            of(2, Some((4, 3))),
            of(2, Some((5, 4))),
            of(2, Some((i32::MAX as u32, 1))),
            of(3, None),
        ];
        for (low, &weaker) in ladder.iter().enumerate() {
            for &stronger in &ladder[low + 1..] {
                assert_eq!(join_liveness(Some(weaker), Some(stronger)), Some(stronger));
                assert_eq!(join_liveness(Some(stronger), Some(weaker)), Some(stronger));
            }
            assert_eq!(join_liveness(Some(weaker), None), Some(weaker));
        }
    }

    #[test]
    fn of_equal_row_deletions_the_unconditional_one_survives() {
        let time = Deletion { marked_at: 4, local_time: 4 };
        let shadowable = RowDeletion { time, shadowable: true };
        let plain = RowDeletion { time, shadowable: false };
        assert_eq!(join_row_deletions(shadowable, plain), plain);
        assert_eq!(join_row_deletions(plain, shadowable), plain);
        assert_eq!(join_row_deletions(shadowable, shadowable), shadowable);
        assert_eq!(join_row_deletions(shadowable, RowDeletion::default()), shadowable);
    }

    #[test]
    fn no_deletion_has_one_form() {
        assert_eq!(normal(Deletion { marked_at: i64::MIN, local_time: 3 }), Deletion::LIVE);
    }
}
