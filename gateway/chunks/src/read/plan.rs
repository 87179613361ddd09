//! Which ranges of which packs to read.

use std::{collections::HashMap, ops::Range, sync::Arc};

use object_store::path::Path;

use super::{ReadOptions, Wanted};
use crate::pack::PackRecord;

/// Chunks of one pack that are read by one request.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Run {
    pub(super) pack: Option<Arc<PackRecord>>,
    pub(super) range: Range<u64>,
    pub(super) wanted: Vec<Wanted>,
}

/// The requests for these chunks: each pack's in the order of their offsets, packs in the order in which they are first asked for.
pub(super) fn plan(wanted: Vec<Wanted>, options: &ReadOptions) -> Vec<Run> {
    let mut order = HashMap::new();
    let mut keyed: Vec<_> = wanted.into_iter().map(|wanted| (key(&wanted, &mut order), wanted)).collect();
    keyed.sort_by_key(|(key, _)| *key);
    let mut runs: Vec<Run> = Vec::new();
    for (_, wanted) in keyed {
        let range = wanted.locations.first().map_or(0..0, |at| u64::from(at.entry.offset)..at.entry.end());
        let pack = wanted.locations.first().map(|location| Arc::clone(&location.pack));
        match runs.last_mut().filter(|run| joins(run, pack.as_deref(), &range, options)) {
            Some(run) => {
                run.range.end = run.range.end.max(range.end);
                run.wanted.push(wanted);
            }
            None => runs.push(Run { pack, range, wanted: vec![wanted] }),
        }
    }
    runs
}

fn key(wanted: &Wanted, order: &mut HashMap<Path, usize>) -> (usize, u32) {
    let Some(location) = wanted.locations.first() else { return (usize::MAX, 0) };
    let next = order.len();
    (*order.entry(location.pack.path.clone()).or_insert(next), location.entry.offset)
}

fn joins(run: &Run, pack: Option<&PackRecord>, range: &Range<u64>, options: &ReadOptions) -> bool {
    let same = run.pack.as_deref().map(|pack| &pack.path) == pack.map(|pack| &pack.path);
    let length = run.range.end.max(range.end) - run.range.start;
    same && range.start <= run.range.end + options.gap_bytes && length <= options.range_bytes
}
