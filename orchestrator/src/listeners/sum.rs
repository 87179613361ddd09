//! The progress of listeners that work at the same time, as one.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
};

use tidemark_listener_core::progress::{Progress, ProgressSink};

/// Adds up the progress of all listeners of a task.
pub struct Sum {
    phase: &'static str,
    unit: &'static str,
    parts: Mutex<BTreeMap<String, Progress>>,
    sink: ProgressSink,
}

impl Sum {
    /// Reports to `sink` in this phase and unit.
    pub fn new(phase: &'static str, unit: &'static str, sink: ProgressSink) -> Self {
        Self { phase, unit, parts: Mutex::default(), sink }
    }

    /// Takes one listener's progress, and reports that of all; sums that do not fit stay at the greatest number.
    pub fn report(&self, listener: &str, progress: Progress) {
        let mut parts = self.parts.lock().unwrap_or_else(PoisonError::into_inner);
        parts.insert(listener.to_owned(), progress);
        let sum = |of: fn(&Progress) -> u64| parts.values().fold(0_u64, |sum, part| sum.saturating_add(of(part)));
        let (done, total) = (sum(|part| part.done), sum(|part| part.total));
        drop(parts);
        (self.sink)(Progress { phase: self.phase.to_owned(), done, total, unit: self.unit.to_owned() });
    }
}
