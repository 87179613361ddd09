//! The first half of a round: what nothing needs is marked.

use std::collections::BTreeSet;

use futures::TryStreamExt;
use jiff::Timestamp;
use object_store::{ObjectMeta, path::Path};

use super::{Class, Collector, Error, Why, name::Kind, reading::Reading, roots::Roots, rules::Rule};
use crate::{
    commit::Claim,
    ids::{SetId, VersionId},
    layout,
    marks::{self, Gone, Marked, Round, Writer},
    states::{By, Change, VersionStates},
};

impl Collector<'_> {
    /// See [`Collector::give_up`].
    pub(super) async fn give_up_expired(&self, claim: &dyn Claim) -> Result<(), Error> {
        self.refuse_old_generation(claim.token()).await?;
        let before = marks::newest(self.store, self.source).await?;
        let gone = before.map(|round| round.head.gone).unwrap_or_default();
        self.collect_expired(claim, &self.sets().await?, &gone, self.live.as_of).await
    }

    /// See [`Collector::mark`].
    pub(super) async fn mark_round(&self, claim: &dyn Claim) -> Result<Option<Round>, Error> {
        let before = marks::newest(self.store, self.source).await?;
        if before.as_ref().is_some_and(|round| !round.swept) {
            return Ok(before);
        }
        self.refuse_old_generation(claim.token()).await?;
        let next = before.as_ref().map_or(0, |round| round.number) + 1;
        let now = self.live.as_of;
        let sets = self.sets().await?;
        let early = match self.keeps(Rule::RootsAfterRecords) {
            true => None,
            false => Some(Roots::read(self.store, self.source, &sets).await?),
        };
        let gone = before.as_ref().map(|round| round.head.gone.clone()).unwrap_or_default();
        self.collect_expired(claim, &sets, &gone, now).await?;
        let states = self.states(&sets, &gone).await?;
        let roots = match early {
            Some(early) => early,
            None => Roots::read(self.store, self.source, &sets).await?,
        };
        let mut reading = self.read(before.as_ref(), &sets, &states, roots, &BTreeSet::new()).await?;
        let mut writer = Writer::new(self.store, self.source, next, claim.token());
        for prefix in self.folders(&sets) {
            self.mark_folder(&reading, &prefix, &mut writer).await?;
        }
        super::require_held(claim)?;
        // Where none is made there is nothing to mark, or another collector was first, and its round is as good.
        let is_made = writer.finish(reading.gone.clone(), self.env).await?;
        self.write_blocks(&mut reading, claim).await;
        Ok(marks::newest(self.store, self.source).await?.filter(|round| is_made || !round.swept))
    }

    /// Makes versions collected whose expiry is over.
    async fn collect_expired(
        &self,
        claim: &dyn Claim,
        sets: &BTreeSet<SetId>,
        gone: &Gone,
        now: Timestamp,
    ) -> Result<(), Error> {
        let by = By { token: claim.token(), who: self.node, env: self.env };
        let collect = Change::Collect { now, grace: self.ages.undo };
        for (set, states) in self.states(sets, gone).await? {
            let of = VersionStates::new(self.store.clone(), self.source.clone(), set.clone());
            let over = states.iter().filter(|(_, state)| state.collectable(self.ages.undo).is_some_and(|at| at <= now));
            for (number, _) in over {
                match of.change(*number, &collect, by).await {
                    Ok(_) => {}
                    Err(error) if error.is_refusal() => {
                        let version = VersionId { source: self.source.clone(), set: set.clone(), number: *number };
                        tracing::info!(%version, %error, "a version is kept that was to be collected");
                    }
                    Err(error) => return Err(error.into()),
                }
            }
        }
        Ok(())
    }

    /// Folders of what collection may delete.
    fn folders(&self, sets: &BTreeSet<SetId>) -> Vec<Path> {
        let source = layout::source(self.source);
        let mut folders: Vec<_> = ["pages", "segments", "staged"].map(|name| source.clone().join(name)).into();
        folders.extend(sets.iter().map(|set| layout::work(self.source, set)));
        folders
    }

    async fn mark_folder(&self, reading: &Reading<'_>, prefix: &Path, writer: &mut Writer<'_>) -> Result<(), Error> {
        let failed = |source| Error::List { prefix: prefix.clone(), source };
        let mut listing = self.store.list(Some(prefix));
        while let Some(meta) = listing.try_next().await.map_err(failed)? {
            if self.is_to_be_marked(reading, &meta) {
                writer.push(&meta.location, meta.size).await?;
            }
        }
        Ok(())
    }

    /// What is staged for tasks that are done needs no marks: [`Collector::free_staged`] deletes it.
    fn is_to_be_marked(&self, reading: &Reading<'_>, meta: &ObjectMeta) -> bool {
        match self.classify(reading, &Marked::default(), meta) {
            (Kind::Staged(_), Class::Garbage { why: Why::TaskDone { .. } }) => false,
            (_, class) => matches!(class, Class::Garbage { .. }),
        }
    }
}
