//! Merges the runs of a range by key: what is known of each document, and what of it shows.
//!
//! Runs are opened when their first key is reached, and closed behind their last. A scan's runs follow each other, so
//! that one of them is open at a time; runs of events may all be open.

use std::{
    cmp::Reverse,
    collections::BinaryHeap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use object_store::ObjectStore;
use tidemark_catalog::{
    door,
    keys::{Key, KeyRange},
    opaque::Opaque,
};
use tidemark_gateway::{Digest, causes::joined};
use tidemark_listener_core::{
    failure::Failure,
    records::{ConsolidateJob, Consolidated},
};
use tokio::runtime::Handle;

use super::plan::{Plan, PlannedRun};
use crate::{
    codes::{CONSOLIDATION, CONTRADICTION},
    key::Id,
    staged::{self, Item, Items, Run},
    state::Known,
    time::ClusterTime,
};

/// Why a merge ended before its end.
#[derive(Debug)]
pub(super) enum StreamError {
    /// What a member staged cannot be read, or does not fit together.
    Unreadable {
        /// Which.
        partition: String,
        /// Why.
        reason: String,
    },
    /// Members contradict each other.
    Contradiction(String),
    /// The store failed, or the memory does not suffice.
    Failed(Failure),
}

impl StreamError {
    /// What becomes of the work that it ended.
    ///
    /// # Errors
    /// Unless only a member cannot be read.
    pub(super) fn consolidated(self) -> Result<Consolidated, Failure> {
        match self {
            Self::Unreadable { partition, reason } => Ok(Consolidated::Unreadable { partition, reason }),
            Self::Failed(failure) => Err(failure),
            Self::Contradiction(words) => Err(Failure::new(CONTRADICTION, words)),
        }
    }
}

/// A document of a range, and what is known of it.
pub(super) struct Joined {
    pub(super) key: Key,
    pub(super) id: Id,
    pub(super) known: Known,
}

/// A run that is open, at its next item.
struct Open {
    partition: String,
    items: Items,
    next: Option<(Opaque, Id, Item)>,
}

/// See the module.
pub(super) struct Merge {
    store: Arc<dyn ObjectStore>,
    runtime: Handle,
    object: String,
    range: KeyRange,
    times: std::ops::Range<ClusterTime>,
    /// Runs that are not open yet, by first key, the last first.
    waiting: Vec<PlannedRun>,
    open: Vec<Open>,
    /// Next keys of the open runs.
    keys: BinaryHeap<Reverse<(Opaque, usize)>>,
    bytes: Arc<AtomicU64>,
    most_bytes: usize,
}

impl Merge {
    /// The merge of a plan's runs in a range; counts the stored bytes that it reads.
    pub(super) fn of(
        job: &ConsolidateJob,
        plan: &Plan,
        range: &KeyRange,
        bytes: Arc<AtomicU64>,
        runtime: Handle,
    ) -> Self {
        // Only runs that have keys of the range are read.
        let below = |run: &Run| range.from.as_ref().is_some_and(|from| run.last < *from);
        let above = |run: &Run| range.until.as_ref().is_some_and(|until| run.first >= *until);
        let within = |planned: &&PlannedRun| !(below(&planned.run) || above(&planned.run));
        let mut waiting: Vec<PlannedRun> = plan.runs.iter().filter(within).cloned().collect();
        waiting.sort_by(|a, b| (&b.run.first, &b.run.name).cmp(&(&a.run.first, &a.run.name)));
        Self {
            store: Arc::clone(&job.store),
            runtime,
            object: job.object.to_string(),
            range: range.clone(),
            times: plan.base.from..plan.base.before,
            waiting,
            open: Vec::new(),
            keys: BinaryHeap::new(),
            bytes,
            most_bytes: job.limits.memory_bytes / 2,
        }
    }

    /// What is known of the next document of the range, ascending; `None` behind the last. Blocking.
    pub(super) fn next(&mut self) -> Result<Option<Joined>, StreamError> {
        loop {
            let Some((key, id, known)) = self.known()? else { return Ok(None) };
            if self.range.holds(&key) {
                let text = id.to_string();
                return Ok(Some(Joined { key: Key { bytes: key, text }, id, known }));
            }
        }
    }

    /// What is known of the next document.
    fn known(&mut self) -> Result<Option<(Opaque, Id, Known)>, StreamError> {
        self.open_reached()?;
        let Some(Reverse((key, _))) = self.keys.peek().cloned() else { return Ok(None) };
        let (mut known, mut id, mut scanned) = (Known::default(), None, false);
        while self.keys.peek().is_some_and(|Reverse((next, _))| *next == key) {
            let Some(Reverse((_, index))) = self.keys.pop() else { break };
            let Some((_, found, item)) = self.open[index].next.take() else { break };
            if matches!(item, Item::Scan(_)) && std::mem::replace(&mut scanned, true) {
                return Err(self.twice(index, &found));
            }
            self.add(&found, item, &mut known)?;
            id = Some(found);
            self.advance(index)?;
            // What was read may have been the last before another run begins at the same key.
            self.open_reached()?;
        }
        Ok(id.map(|id| (key, id, known)))
    }

    /// A member read each document once: which of two was there last, nothing tells.
    fn twice(&self, index: usize, id: &Id) -> StreamError {
        let reason = format!("{}: two documents have the _id {id}", self.object);
        StreamError::Unreadable { partition: self.open[index].partition.clone(), reason }
    }

    fn add(&self, id: &Id, item: Item, known: &mut Known) -> Result<(), StreamError> {
        match item {
            Item::Scan(scan) => known.scan(scan),
            Item::Event(at, change) if self.times.contains(&at.time) => known.event(at, change).map_err(|error| {
                StreamError::Contradiction(format!("{}, document {id}: members say {error}", self.object))
            })?,
            Item::Event(..) => {}
        }
        Ok(())
    }

    /// Opens the runs that begin at the next key or before it; where nothing is open, the next run.
    fn open_reached(&mut self) -> Result<(), StreamError> {
        while let Some(next) = self.waiting.last() {
            let reached = self.keys.peek().is_none_or(|Reverse((key, _))| next.run.first <= *key);
            if !reached {
                break;
            }
            let Some(planned) = self.waiting.pop() else { break };
            let items = self.read(&planned)?;
            self.open.push(Open { partition: planned.partition, items, next: None });
            self.advance(self.open.len() - 1)?;
            self.look_at_memory()?;
        }
        Ok(())
    }

    fn advance(&mut self, index: usize) -> Result<(), StreamError> {
        let open = &mut self.open[index];
        let unreadable = |reason: String| StreamError::Unreadable { partition: open.partition.clone(), reason };
        match open.items.next().transpose().map_err(|damaged| unreadable(damaged.to_string()))? {
            Some(next) => {
                self.keys.push(Reverse((next.0.clone(), index)));
                open.next = Some(next);
            }
            None => open.items.close(),
        }
        Ok(())
    }

    fn read(&self, planned: &PlannedRun) -> Result<Items, StreamError> {
        let PlannedRun { partition, run, file } = planned;
        let unreadable = |why: String| StreamError::Unreadable {
            partition: partition.clone(),
            reason: format!("{}: {why}", run.name),
        };
        let stored = match self.runtime.block_on(door::read(&self.store, &file.stored)) {
            Ok(stored) => stored,
            Err(error) if error.is_of_the_store() => {
                return Err(StreamError::Failed(Failure::retryable(CONSOLIDATION, joined(&error))));
            }
            Err(error) => return Err(unreadable(joined(&error))),
        };
        self.bytes.fetch_add(file.stored.size, Ordering::Relaxed);
        let bytes = staged::unframed(&stored, file.size).map_err(|error| unreadable(error.to_string()))?;
        if Digest::of(&bytes) != file.digest {
            return Err(unreadable("its digest is another".to_owned()));
        }
        Ok(Items::new(run.clone(), bytes))
    }

    fn look_at_memory(&self) -> Result<(), StreamError> {
        let open: usize = self.open.iter().map(|open| open.items.bytes()).sum();
        if open <= self.most_bytes {
            return Ok(());
        }
        let words =
            format!("{}: {open} bytes of runs would be open at once, more than {}", self.object, self.most_bytes);
        Err(StreamError::Failed(Failure::new(CONSOLIDATION, words).with_hint("give consolidations more memory")))
    }
}
