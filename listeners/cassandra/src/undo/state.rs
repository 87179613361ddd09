//! Where an undo stands, as it is saved: what is read, written and read again.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use tidemark_catalog::ids::ObjectName;
use tidemark_listener_core::driver::{DIFFERING_KEPT, DifferingRow, Error, RestoreReport};

use crate::undo::spans::Place;

/// Format number of [`State`].
const STATE_FORMAT: u32 = 1;

/// Unreadable places that are kept by name.
const UNREADABLE_KEPT: usize = 20;

/// What was seen and done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Totals {
    /// Rows read or looked for.
    pub(super) read: u64,
    /// Rows that the target did not show.
    pub(super) absent: u64,
    /// Rows that differed.
    pub(super) changed: u64,
    /// Rows that the version does not have.
    pub(super) extra: u64,
    /// Rows that are equal to the version in all respects, and were not written by an undo.
    pub(super) untouched: u64,
    /// Rows with something that the version does not have and that stays, whatever else is done with them.
    #[serde(default)]
    pub(super) kept: u64,
    /// Rows written, by earlier runs too.
    pub(super) written: u64,
    /// Rows removed; at least, where a run was interrupted, because what is gone cannot be counted again.
    pub(super) removed: u64,
    /// Columns and elements removed from rows that stay, as `removed`.
    pub(super) cells_removed: u64,
    /// Rows with something newer.
    pub(super) newer: u64,
    /// Rows that differ where the version is not proven complete, and nobody consented.
    pub(super) withheld: u64,
    /// Newest write time of what differs, µs.
    pub(super) newest: Option<i64>,
}

impl Totals {
    fn add(&mut self, other: &Self) {
        self.read += other.read;
        self.absent += other.absent;
        self.changed += other.changed;
        self.extra += other.extra;
        self.untouched += other.untouched;
        self.kept += other.kept;
        self.written += other.written;
        self.removed += other.removed;
        self.cells_removed += other.cells_removed;
        self.newer += other.newer;
        self.withheld += other.withheld;
        self.newest = self.newest.max(other.newest);
    }
}

/// A row that is not as it should be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Named {
    /// Its key.
    pub(super) key: String,
    /// What is wrong with it.
    pub(super) why: String,
}

/// What came of some rows.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Outcome {
    /// Figures.
    pub(super) totals: Totals,
    /// Rows that still differ.
    pub(super) differing_rows: u64,
    /// The first of them.
    pub(super) differing: Vec<Named>,
    /// Places that could not be read.
    pub(super) unreadable_places: u64,
    /// The first of them.
    pub(super) unreadable: Vec<String>,
}

impl Outcome {
    /// Adds the other outcome.
    pub(super) fn add(&mut self, other: Self) {
        self.totals.add(&other.totals);
        self.differing_rows += other.differing_rows;
        self.unreadable_places += other.unreadable_places;
        self.differing.extend(other.differing);
        self.differing.truncate(DIFFERING_KEPT);
        self.unreadable.extend(other.unreadable);
        self.unreadable.truncate(UNREADABLE_KEPT);
    }

    /// Notes a row that is not as it should be.
    pub(super) fn differs(&mut self, key: String, why: String) {
        self.differing_rows += 1;
        if self.differing.len() < DIFFERING_KEPT {
            self.differing.push(Named { key, why });
        }
    }

    /// Notes a place that cannot be read.
    pub(super) fn cannot_read(&mut self, place: String) {
        self.unreadable_places += 1;
        if self.unreadable.len() < UNREADABLE_KEPT {
            self.unreadable.push(place);
        }
    }
}

/// Where an undo stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct State {
    format: u32,
    /// µs since 1970; a state is good for its own instant only.
    instant: i64,
    /// Where the next span starts.
    pub(super) place: Place,
    /// Numbers of attempts at lists that may have been sent.
    pub(super) attempts: u32,
    /// So far.
    pub(super) outcome: Outcome,
}

impl State {
    /// The beginning.
    pub(super) fn start(instant: i64) -> Self {
        let outcome = Outcome::default();
        Self { format: STATE_FORMAT, instant, place: Place::default(), attempts: 0, outcome }
    }

    /// As it was saved by an earlier run.
    ///
    /// # Errors
    /// `TM-REST-0501` where it is not the state of an undo at this instant.
    pub(super) fn parse(saved: Value, instant: i64) -> Result<Self, Error> {
        let refuse =
            |why: String| Error::new("TM-REST-0501", format!("the saved place of the undo cannot be used: {why}"));
        let parsed: Self = serde_json::from_value(saved).map_err(|source| refuse(source.to_string()))?;
        if parsed.format != STATE_FORMAT {
            return Err(refuse(format!("its format is {}", parsed.format)));
        }
        if parsed.instant != instant {
            return Err(refuse(format!("its instant is {}, and not {instant}", parsed.instant)));
        }
        match parsed.place.fault() {
            Some(fault) => Err(refuse(fault)),
            None => Ok(parsed),
        }
    }

    /// As JSON.
    pub(super) fn to_value(&self) -> Value {
        serde_json::to_value(self).expect("a state has string keys only, so that it is always JSON")
    }

    /// What is told of it; `remove` where what the version does not have was to go.
    pub(super) fn report(&self, target: &ObjectName, remove: bool) -> RestoreReport {
        let Outcome { totals, differing_rows, differing, unreadable_places, unreadable } = &self.outcome;
        let row =
            |named: &Named| DifferingRow { target: target.clone(), key: named.key.clone(), why: named.why.clone() };
        let mut warnings = Vec::new();
        if *unreadable_places > 0 {
            let list = unreadable.join("; ");
            warnings.push(format!("{target}: {unreadable_places} places could not be read: {list}"));
        }
        if totals.withheld > 0 {
            let rows = totals.withheld;
            let text = "differ where the version is not proven complete, and were left as they are";
            warnings.push(format!("{target}: {rows} rows {text}"));
        }
        if remove && totals.kept > 0 {
            let rows = totals.kept;
            let text = "hold what the version does not have where it is not proven complete: nothing was removed there";
            warnings.push(format!("{target}: {rows} rows {text}"));
        }
        RestoreReport {
            rows_written: totals.written,
            rows_read: totals.read,
            rows_untouched: totals.untouched,
            rows_kept: totals.kept,
            rows_removed: totals.removed,
            rows_newer: totals.newer,
            differing_rows: *differing_rows,
            differing: differing.iter().map(row).collect(),
            warnings,
            ..RestoreReport::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_comes_back_as_it_was_saved_and_for_its_own_instant_only() {
        let mut state = State::start(5);
        state.outcome.differs("pk = 1".into(), "gone".into());
        state.place.token = Some("-9".into());
        let back = State::parse(state.to_value(), 5).unwrap();
        assert_eq!(back, state);
        assert_eq!(State::parse(state.to_value(), 6).unwrap_err().code, "TM-REST-0501");
        assert_eq!(State::parse(Value::Null, 5).unwrap_err().code, "TM-REST-0501");
        let damaged = [("token", serde_json::json!("9x")), ("row", serde_json::json!(["0g"]))];
        for (name, value) in damaged {
            let mut saved = state.to_value();
            saved["place"][name] = value;
            assert_eq!(State::parse(saved, 5).unwrap_err().code, "TM-REST-0501", "{name}");
        }
    }

    #[test]
    fn what_stays_although_it_was_to_go_is_a_warning() {
        let mut state = State::start(5);
        state.outcome.totals.kept = 2;
        let report = |remove| state.report(&"ks/t".parse().unwrap(), remove);
        assert_eq!((report(false).rows_kept, report(false).warnings.len()), (2, 0));
        assert!(report(true).warnings[0].contains("2 rows hold what the version does not have"));
    }

    #[test]
    fn lists_are_bounded_and_counts_are_not() {
        let mut outcome = Outcome::default();
        for n in 0..1_000 {
            outcome.differs(n.to_string(), String::new());
            outcome.cannot_read(n.to_string());
        }
        let mut sum = outcome.clone();
        sum.add(outcome);
        assert_eq!((sum.differing_rows, sum.differing.len()), (2_000, DIFFERING_KEPT));
        assert_eq!((sum.unreadable_places, sum.unreadable.len()), (2_000, UNREADABLE_KEPT));
    }
}
