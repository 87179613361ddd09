//! What a restore did.

use serde::{Deserialize, Serialize};
use tidemark_catalog::{document::Document, ids::ObjectName};

/// What a restore did.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RestoreReport {
    /// Rows written (static rows too), each counted once.
    pub rows_written: u64,
    /// Rows whose data had expired by now and which therefore do not exist any more.
    pub rows_expired: u64,
    /// Rows read back and found equal by digest.
    pub rows_verified: u64,
    /// Rows of an undo's targets that were read and compared.
    pub rows_read: u64,
    /// Rows that an undo found equal in all respects and did not write.
    pub rows_untouched: u64,
    /// Rows with something that the version does not have (the whole row, a value, an element) and that an undo left there;
    /// they may be written besides.
    #[serde(default)]
    pub rows_kept: u64,
    /// Rows that an undo removed.
    pub rows_removed: u64,
    /// Rows with data newer than an undo's instant, which stays; where its time can be read.
    pub rows_newer: u64,
    /// Rows of a merge that stand under newer data at the destination.
    pub rows_under_newer: u64,
    /// Rows of a merge that are not there, whole or in part: newer deletions hide them, as far as can be told.
    pub rows_hidden: u64,
    /// Rows that still differ after an undo.
    pub differing_rows: u64,
    /// The first of them, by key.
    pub differing: Vec<DifferingRow>,
    /// Rows that could not be written.
    pub rows_refused: u64,
    /// Objects that could not be made, none of whose rows were written.
    pub objects_refused: u64,
    /// The first [`REFUSED_NAMED`] of these rows and objects.
    pub refused: Vec<Refused>,
    /// Warnings for people.
    pub warnings: Vec<String>,
}

/// A row that is not as the version has it although an undo wrote it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DifferingRow {
    /// At the destination.
    pub target: ObjectName,
    /// Its key, in the source kind's own words.
    pub key: String,
    /// What differs.
    pub why: String,
}

/// Most [`RestoreReport::differing`] rows that are kept by key.
pub const DIFFERING_KEPT: usize = 100;

/// A row that could not be written, or an object that could not be made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Refused {
    /// The object at the destination.
    pub object: ObjectName,
    /// The row's key, in the source kind's own words; `None` where it is the whole object.
    pub key: Option<String>,
    /// Stable code, `TM-<AREA>-<number>`.
    pub code: String,
    /// Why.
    pub reason: String,
}

/// Most refused rows and objects that a report names; the counts go on.
pub const REFUSED_NAMED: usize = 100;

impl RestoreReport {
    /// Adds the report of another part; the first [`DIFFERING_KEPT`] rows and [`REFUSED_NAMED`] refusals stay named. Sums that
    /// do not fit stay at the greatest number.
    pub fn add(&mut self, other: Self) {
        let sum = |own: &mut u64, other: u64| *own = own.saturating_add(other);
        sum(&mut self.rows_written, other.rows_written);
        sum(&mut self.rows_expired, other.rows_expired);
        sum(&mut self.rows_verified, other.rows_verified);
        sum(&mut self.rows_read, other.rows_read);
        sum(&mut self.rows_untouched, other.rows_untouched);
        sum(&mut self.rows_kept, other.rows_kept);
        sum(&mut self.rows_removed, other.rows_removed);
        sum(&mut self.rows_newer, other.rows_newer);
        sum(&mut self.rows_under_newer, other.rows_under_newer);
        sum(&mut self.rows_hidden, other.rows_hidden);
        sum(&mut self.rows_refused, other.rows_refused);
        sum(&mut self.objects_refused, other.objects_refused);
        sum(&mut self.differing_rows, other.differing_rows);
        self.refused.extend(other.refused);
        self.refused.truncate(REFUSED_NAMED);
        self.differing.extend(other.differing);
        self.differing.truncate(DIFFERING_KEPT);
        self.warnings.extend(other.warnings);
    }
}

impl Document for RestoreReport {
    const KIND: &'static str = "restore-report";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reports_add_up_and_keep_the_first_keys() {
        let row = |n: usize| DifferingRow { target: "ks/t".parse().unwrap(), key: n.to_string(), why: String::new() };
        let of = |from: usize| RestoreReport {
            rows_read: 3,
            rows_kept: 2,
            differing_rows: 80,
            differing: (from..from + 80).map(row).collect(),
            ..RestoreReport::default()
        };
        let mut sum = of(0);
        sum.add(of(80));
        assert_eq!((sum.rows_read, sum.rows_kept), (6, 4));
        assert_eq!((sum.differing_rows, sum.differing.len()), (160, DIFFERING_KEPT));
        assert_eq!(sum.differing[99].key, "99");
        sum.add(RestoreReport { rows_read: u64::MAX, ..RestoreReport::default() });
        assert_eq!(sum.rows_read, u64::MAX);
    }
}
