//! Where an undo stands, as it is saved: what is read, written and read again.

use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::Value;
use tidemark_catalog::ids::ObjectName;
use tidemark_listener_core::{
    failure::Failure,
    restorer::{DIFFERING_KEPT, DifferingRow, PlannedObject, RestoreReport, UndoCounts},
};

use crate::difference::standing::Totals;

/// Format number of [`State`].
const STATE_FORMAT: u32 = 1;

/// Unreadable places that are kept by name.
const UNREADABLE_KEPT: usize = 20;

/// A place between two spans, in the source's own shape; the default is the start.
pub trait Place: Clone + Default + Serialize + DeserializeOwned {
    /// What is wrong with a place that was read back, in words, if anything.
    fn fault(&self) -> Option<String>;
}

/// A record that is not as it should be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Named {
    /// Its key, for people.
    pub key: String,
    /// What is wrong with it.
    pub why: String,
}

/// What came of some records.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Outcome {
    /// Figures.
    pub totals: Totals,
    /// Records that still differ.
    pub differing_rows: u64,
    /// The first of them, at most [`DIFFERING_KEPT`].
    pub differing: Vec<Named>,
    /// Places that could not be read.
    pub unreadable_places: u64,
    /// The first of them.
    pub unreadable: Vec<String>,
}

impl Outcome {
    /// Adds the other outcome.
    pub fn add(&mut self, other: Self) {
        self.totals.add(&other.totals);
        self.differing_rows += other.differing_rows;
        self.unreadable_places += other.unreadable_places;
        self.differing.extend(other.differing);
        self.differing.truncate(DIFFERING_KEPT);
        self.unreadable.extend(other.unreadable);
        self.unreadable.truncate(UNREADABLE_KEPT);
    }

    /// Notes a record that is not as it should be.
    pub fn differs(&mut self, key: String, why: String) {
        self.differing_rows += 1;
        if self.differing.len() < DIFFERING_KEPT {
            self.differing.push(Named { key, why });
        }
    }

    /// Notes a place that cannot be read.
    pub fn cannot_read(&mut self, place: String) {
        self.unreadable_places += 1;
        if self.unreadable.len() < UNREADABLE_KEPT {
            self.unreadable.push(place);
        }
    }
}

/// Where an undo stands. Saved as JSON, which denies unknown fields.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct State<P> {
    format: u32,
    /// µs since 1970; a state is good for its own instant only.
    instant: i64,
    /// Where the next span starts.
    pub place: P,
    /// Numbers of attempts that may have been sent.
    pub attempts: u32,
    /// So far.
    pub outcome: Outcome,
}

impl<P: Place> State<P> {
    /// The beginning of an undo at an instant, µs since 1970.
    pub fn start(instant: i64) -> Self {
        let outcome = Outcome::default();
        Self { format: STATE_FORMAT, instant, place: P::default(), attempts: 0, outcome }
    }

    /// As it was saved by an earlier run.
    ///
    /// # Errors
    /// `TM-REST-0501` where it is not the state of an undo at this instant.
    pub fn parse(saved: Value, instant: i64) -> Result<Self, Failure> {
        let refuse =
            |why: String| Failure::new("TM-REST-0501", format!("the saved place of the undo cannot be used: {why}"));
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
    pub fn to_value(&self) -> Value {
        serde_json::to_value(self).expect("a state has string keys only, so that it is always JSON")
    }

    /// What is told of an object that was only compared.
    pub fn counts(self, planned: &PlannedObject) -> UndoCounts {
        let totals = self.outcome.totals;
        UndoCounts {
            object: planned.object.clone(),
            target: planned.target.clone(),
            come_back: totals.absent,
            change: totals.changed,
            would_be_removed: totals.extra,
            untouched: totals.untouched,
            rows_kept: totals.kept,
            rows_newer: totals.newer,
            newest_write_micros: totals.newest,
            unreadable_ranges: self.outcome.unreadable,
        }
    }

    /// What is told of it; `remove` where what the version does not have was to go.
    pub fn report(&self, target: &ObjectName, remove: bool) -> RestoreReport {
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
