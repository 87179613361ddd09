//! What comes of a restore and of a count, as it is stored with the task and shown as the result of its operation.

use serde::{Deserialize, Serialize};
use tidemark_catalog::ids::{ObjectName, VersionId};
use tidemark_listener_core::restorer::{self, RestoreReport, UndoCounts};

/// Result of a restore.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RestoreResult {
    /// Rows written (static rows too), each counted once.
    pub rows_written: u64,
    /// Rows whose data had expired by now.
    pub rows_expired: u64,
    /// Rows read back and found equal.
    pub rows_verified: u64,
    /// Rows of an undo's targets that were read and compared.
    pub rows_read: u64,
    /// Rows that an undo found equal and did not write.
    pub rows_untouched: u64,
    /// Rows with something that the version does not have and that an undo left there.
    pub rows_kept: u64,
    /// Rows that an undo removed.
    pub rows_removed: u64,
    /// Rows with data newer than an undo's instant.
    pub rows_newer: u64,
    /// Rows of a merge that stand under newer data.
    pub rows_under_newer: u64,
    /// Rows of a merge that newer deletions hide.
    pub rows_hidden: u64,
    /// Rows that still differ after an undo.
    pub differing_rows: u64,
    /// The first of them.
    pub differing: Vec<DifferingRow>,
    /// Rows that could not be written.
    pub rows_refused: u64,
    /// Objects that could not be made.
    pub objects_refused: u64,
    /// The first of both.
    pub refused: Vec<Refused>,
    /// Warnings for people.
    pub warnings: Vec<String>,
    /// What an undo has besides; nothing for other restores.
    #[serde(flatten)]
    pub undo: Option<Undone>,
}

/// What only an undo has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Undone {
    /// The version that keeps what was overwritten, where one was made.
    pub safety_version: Option<VersionId>,
    /// The instant of the undo, µs since 1970, in decimal: it may be above 2^53.
    pub instant_micros: String,
}

/// A row that is not as the version has it although an undo wrote it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DifferingRow {
    /// At the destination.
    pub target: ObjectName,
    /// Its key, in the source kind's own words.
    pub key: String,
    /// What differs.
    pub why: String,
}

/// A row that could not be written, or an object that could not be made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refused {
    /// The object at the destination.
    pub object: ObjectName,
    /// The row's key, in the source kind's own words; `None` where it is the whole object.
    pub key: Option<String>,
    /// Stable code, `TM-AREA-NNNN`.
    pub code: String,
    /// Why.
    pub reason: String,
}

/// Result of a count: sums over all objects, and each.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CountResult {
    /// As [`CountedObject::come_back`].
    pub come_back: u64,
    /// As [`CountedObject::change`].
    pub change: u64,
    /// As [`CountedObject::would_be_removed`].
    pub would_be_removed: u64,
    /// As [`CountedObject::untouched`].
    pub untouched: u64,
    /// As [`CountedObject::rows_kept`].
    pub rows_kept: u64,
    /// As [`CountedObject::rows_newer`].
    pub rows_newer: u64,
    /// Each object, in the plan's order.
    pub objects: Vec<CountedObject>,
}

/// What an undo of one object would do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CountedObject {
    /// In the version.
    pub object: ObjectName,
    /// At the destination.
    pub target: ObjectName,
    /// Rows of the version that the target does not show.
    pub come_back: u64,
    /// Rows that both have and that differ.
    pub change: u64,
    /// Rows of the target that the version does not have.
    pub would_be_removed: u64,
    /// Rows that are equal in all respects.
    pub untouched: u64,
    /// Rows with something that the version does not have and that would stay.
    pub rows_kept: u64,
    /// Rows with something newer than an undo that starts now.
    pub rows_newer: u64,
    /// Time of the newest write found in what differs, µs since 1970.
    pub newest_write_micros: Option<i64>,
    /// Ranges of the target that could not be read, with the reason.
    pub unreadable_ranges: Vec<String>,
}

impl RestoreResult {
    /// Rows and objects that are not as the version has them.
    pub fn unlike(&self) -> u64 {
        self.differing_rows.saturating_add(self.rows_refused).saturating_add(self.objects_refused)
    }
}

impl From<RestoreReport> for RestoreResult {
    fn from(report: RestoreReport) -> Self {
        let RestoreReport {
            rows_written,
            rows_expired,
            rows_verified,
            rows_read,
            rows_untouched,
            rows_kept,
            rows_removed,
            rows_newer,
            rows_under_newer,
            rows_hidden,
            differing_rows,
            differing,
            rows_refused,
            objects_refused,
            refused,
            warnings,
        } = report;
        Self {
            rows_written,
            rows_expired,
            rows_verified,
            rows_read,
            rows_untouched,
            rows_kept,
            rows_removed,
            rows_newer,
            rows_under_newer,
            rows_hidden,
            differing_rows,
            differing: differing.into_iter().map(Into::into).collect(),
            rows_refused,
            objects_refused,
            refused: refused.into_iter().map(Into::into).collect(),
            warnings,
            undo: None,
        }
    }
}

impl From<restorer::DifferingRow> for DifferingRow {
    fn from(row: restorer::DifferingRow) -> Self {
        let restorer::DifferingRow { target, key, why } = row;
        Self { target, key, why }
    }
}

impl From<restorer::Refused> for Refused {
    fn from(refused: restorer::Refused) -> Self {
        let restorer::Refused { object, key, code, reason } = refused;
        Self { object, key, code, reason }
    }
}

impl From<Vec<UndoCounts>> for CountResult {
    fn from(counts: Vec<UndoCounts>) -> Self {
        let sum = |of: fn(&UndoCounts) -> u64| counts.iter().map(of).fold(0_u64, u64::saturating_add);
        Self {
            come_back: sum(|c| c.come_back),
            change: sum(|c| c.change),
            would_be_removed: sum(|c| c.would_be_removed),
            untouched: sum(|c| c.untouched),
            rows_kept: sum(|c| c.rows_kept),
            rows_newer: sum(|c| c.rows_newer),
            objects: counts.into_iter().map(Into::into).collect(),
        }
    }
}

impl From<UndoCounts> for CountedObject {
    fn from(counts: UndoCounts) -> Self {
        let UndoCounts {
            object,
            target,
            come_back,
            change,
            would_be_removed,
            untouched,
            rows_kept,
            rows_newer,
            newest_write_micros,
            unreadable_ranges,
        } = counts;
        Self {
            object,
            target,
            come_back,
            change,
            would_be_removed,
            untouched,
            rows_kept,
            rows_newer,
            newest_write_micros,
            unreadable_ranges,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{json, to_value};

    use super::*;

    fn report() -> RestoreReport {
        let target: ObjectName = "ks/t".parse().unwrap();
        let differing = restorer::DifferingRow { target: target.clone(), key: "k=1".to_owned(), why: "v".to_owned() };
        let refused = restorer::Refused { object: target, key: None, code: "TM-REST-0401".into(), reason: "no".into() };
        RestoreReport {
            rows_written: 1,
            rows_expired: 2,
            rows_verified: 3,
            rows_read: 4,
            rows_untouched: 5,
            rows_kept: 6,
            rows_removed: 7,
            rows_newer: 8,
            rows_under_newer: 9,
            rows_hidden: 10,
            differing_rows: 11,
            differing: vec![differing],
            rows_refused: 12,
            objects_refused: 13,
            refused: vec![refused],
            warnings: vec!["w".to_owned()],
        }
    }

    #[test]
    fn the_result_of_a_restore_is_the_report_and_what_only_an_undo_has() {
        let result = RestoreResult::from(report());
        assert_eq!((to_value(&result).unwrap(), result.unlike()), (to_value(report()).unwrap(), 36));
        let undo = Some(Undone { safety_version: None, instant_micros: "5".to_owned() });
        let undone = RestoreResult { undo, ..result };
        let mut whole = to_value(report()).unwrap();
        whole["safety_version"] = json!(null);
        whole["instant_micros"] = json!("5");
        assert_eq!(to_value(&undone).unwrap(), whole);
        assert_eq!(serde_json::from_value::<RestoreResult>(whole).unwrap(), undone);
    }

    #[test]
    fn the_result_of_a_count_has_all_of_each_object_and_the_sums() {
        let counts = |object: &str, come_back| UndoCounts {
            object: object.parse().unwrap(),
            target: "ks2/t".parse().unwrap(),
            come_back,
            change: 1,
            would_be_removed: 2,
            untouched: 3,
            rows_kept: 4,
            rows_newer: 5,
            newest_write_micros: Some(-6),
            unreadable_ranges: vec!["r".to_owned()],
        };
        let all = vec![counts("ks/a", 1), counts("ks/b", u64::MAX)];
        let result = CountResult::from(all.clone());
        let mut whole = json!({"change": 2, "would_be_removed": 4, "untouched": 6, "rows_kept": 8, "rows_newer": 10});
        whole["come_back"] = json!(u64::MAX);
        whole["objects"] = json!(all);
        assert_eq!(to_value(&result).unwrap(), whole);
        assert_eq!(serde_json::from_value::<CountResult>(whole).unwrap(), result);
    }
}
