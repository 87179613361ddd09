//! What is stored and what it serves.

use std::collections::{BTreeMap, BTreeSet};

use futures::TryStreamExt;

use super::{
    Class, Collector, Error, Line,
    name::Kind,
    reading::{Reading, States},
    roots::Roots,
    served::Served,
};
use crate::{
    ids::{ObjectName, VersionId, VersionNumber},
    layout, marks,
};

/// Objects and their stored bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sum {
    /// How many.
    pub objects: u64,
    /// Stored bytes.
    pub bytes: u64,
}

impl Sum {
    /// Adds an object.
    pub fn add(&mut self, bytes: u64) {
        self.objects += 1;
        self.bytes = self.bytes.saturating_add(bytes);
    }
}

/// Sums over all that is stored of a source. Each object is in exactly one of the sums of the first part.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Survey {
    /// What plain versions need.
    pub versions: Sum,
    /// What only expired versions need.
    pub expired: Sum,
    /// What only collected versions need that are read.
    pub pinned: Sum,
    /// What is staged and kept with its version.
    pub staged_kept: Sum,
    /// What tasks that are alive may need, staged or not.
    pub tasks: Sum,
    /// What is marked, and goes with the next sweep.
    pub marked: Sum,
    /// What nothing needs.
    pub garbage: Sum,
    /// What nothing is known to need, but is not old.
    pub young: Sum,
    /// Manifests, states, marks.
    pub lasting: Sum,
    /// What no build of ours writes.
    pub foreign: Sum,

    /// Of all that, what lies below `staged/`.
    pub staged: Sum,
    /// Of all that, segments.
    pub segments: Sum,
    /// What versions need that are not collected, by object; what objects share (object pages) is in none.
    pub by_object: BTreeMap<ObjectName, Sum>,
    /// What deleting this version alone would free, by version; those that would free nothing are left out.
    pub alone: BTreeMap<VersionId, Sum>,
    /// What deleting all of the versions that were asked for would free.
    pub frees: Sum,
}

impl Survey {
    /// All that is stored.
    pub fn total(&self) -> Sum {
        let parts = [
            self.versions,
            self.expired,
            self.pinned,
            self.staged_kept,
            self.tasks,
            self.marked,
            self.garbage,
            self.young,
            self.lasting,
            self.foreign,
        ];
        parts.iter().fold(Sum::default(), |sum, part| Sum {
            objects: sum.objects + part.objects,
            bytes: sum.bytes.saturating_add(part.bytes),
        })
    }
}

impl Collector<'_> {
    /// See [`Collector::survey`].
    pub(super) async fn survey_all(
        &self,
        without: &BTreeSet<VersionId>,
        each: &mut (dyn FnMut(Line) + Send),
    ) -> Result<Survey, Error> {
        let round = marks::newest(self.store, self.source).await?;
        let marked = marks::read(self.store, self.source).await?;
        let gone = round.as_ref().map(|round| round.head.gone.clone()).unwrap_or_default();
        let sets = self.sets().await?;
        let mut states = self.states(&sets, &gone).await?;
        self.run_ahead(&mut states, without);
        let roots = Roots::read(self.store, self.source, &sets).await?;
        let reading = self.read(round.as_ref(), &sets, &states, roots, without).await?;
        let mut survey = Survey::default();
        let prefix = layout::source(self.source);
        let failed = |source| Error::List { prefix: prefix.clone(), source };
        let mut listing = self.store.list(Some(&prefix));
        while let Some(meta) = listing.try_next().await.map_err(failed)? {
            let (kind, class) = self.classify(&reading, &marked, &meta);
            let served = reading.served(&meta.location);
            survey.add(&kind, &class, meta.size);
            survey.add_served(&reading, served, meta.size);
            each(Line { path: meta.location, bytes: meta.size, class });
        }
        Ok(survey)
    }

    /// Collects, in the states alone, what the next [`Collector::mark`] will: an expiry that is over is none to wait for. Versions
    /// of which is asked what deleting them frees are left as they are.
    fn run_ahead(&self, states: &mut States, without: &BTreeSet<VersionId>) {
        for (set, states) in states {
            let asked = |number: &VersionNumber| {
                without.contains(&VersionId { source: self.source.clone(), set: set.clone(), number: *number })
            };
            for (_, state) in states.iter_mut().filter(|(number, _)| !asked(number)) {
                state.collected |= state.collectable(self.ages.undo).is_some_and(|at| at <= self.live.as_of);
            }
        }
    }
}

impl Survey {
    fn add(&mut self, kind: &Kind, class: &Class, bytes: u64) {
        let sum = match class {
            Class::Versions { .. } => &mut self.versions,
            Class::Expired { .. } => &mut self.expired,
            Class::Pinned { .. } => &mut self.pinned,
            Class::Staged { .. } => &mut self.staged_kept,
            Class::Task { .. } => &mut self.tasks,
            Class::Marked { .. } => &mut self.marked,
            Class::Garbage { .. } => &mut self.garbage,
            Class::Young { .. } => &mut self.young,
            Class::Lasting => &mut self.lasting,
            Class::Foreign => &mut self.foreign,
        };
        sum.add(bytes);
        match kind {
            Kind::Staged(_) => self.staged.add(bytes),
            Kind::Segment(_) => self.segments.add(bytes),
            _ => {}
        }
    }

    fn add_served(&mut self, reading: &Reading<'_>, served: Option<&Served>, bytes: u64) {
        let Some(served) = served.filter(|served| served.holders > 0) else { return };
        if let Some(object) = served.object.and_then(|number| reading.needs.object(number)) {
            self.by_object.entry(object.clone()).or_default().add(bytes);
        }
        if let Some(only) = reading.version(Some(served.holder)).filter(|_| served.holders == 1) {
            self.alone.entry(only).or_default().add(bytes);
        }
        if !served.outside {
            self.frees.add(bytes);
        }
    }
}
