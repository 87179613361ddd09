//! The numbers of one set that are not gone: as their manifests tell of them, or a needs block.

use std::ops::RangeInclusive;

use super::{
    Collector, Error,
    blocks::{self, Blocks},
    needs::Needs,
    reading::{Reading, States},
    rules::Rule,
};
use crate::{
    chain::{Loaded, VersionSet},
    ids::{SetId, VersionId, VersionNumber},
    manifest::Manifest,
    marks::Gone,
};

/// A set as far as it is not gone.
#[derive(Debug)]
pub(super) struct OfSet {
    pub(super) set: SetId,
    /// The last number in the store; 0 where there is none.
    pub(super) newest: u64,
    /// What is not gone, by number, ascending.
    pub(super) known: Vec<Known>,
    pub(super) manifests: Vec<Loaded>,
    pub(super) blocks: Blocks,
}

/// A number that is not gone.
#[derive(Debug)]
pub(super) struct Known {
    pub(super) number: VersionNumber,
    pub(super) task: String,
    /// Whether it says that what was staged for it stays.
    pub(super) keeps_staged: bool,
    /// It holds no version.
    pub(super) is_barrier: bool,
    pub(super) by: By,
}

/// Who tells of a number.
#[derive(Clone, Copy, Debug)]
pub(super) enum By {
    /// Its manifest, by its place in [`OfSet::manifests`].
    Manifest(usize),
    /// A block, by its place among those that are used, and the version's place in it.
    Block(usize, u32),
}

impl Collector<'_> {
    /// What is not gone of a set, proven, where it does not end before a number of which `gone` or `states` tell, or
    /// that is known to be `there`; of versions that were collected those whose manifest can be read, or of which a block tells.
    ///
    /// # Errors
    /// [`Error::Chain`], [`Error::List`].
    pub(super) async fn of_set(
        &self,
        set: &SetId,
        gone: &Gone,
        states: &States,
        there: Option<VersionNumber>,
        needs: &mut Needs<'_>,
    ) -> Result<OfSet, Error> {
        let failed = |source| Error::Chain { set: set.clone(), source };
        let chain = VersionSet::new(self.store.clone(), self.source.clone(), set.clone());
        let present = chain.list().await.map_err(failed)?;
        // They were read before the numbers were listed.
        let of_states = states.get(set).and_then(|states| states.keys().last().copied());
        let given = of_states.max(gone.last(set)).filter(|_| self.keeps(Rule::ToldNumbers));
        chain
            .refuse_before(present.last().copied(), given.max(there).max(self.live.known.get(set).copied()))
            .await
            .map_err(failed)?;
        let blocks = self.blocks(&chain, set, gone, &present, needs).await?;
        let told = told(&blocks, set, gone);
        let is_told = |number: VersionNumber| told.binary_search_by_key(&number, |known| known.number).is_ok();
        let is_gone = |number| gone.contains(set, number);
        let collected = |number| states.get(set).and_then(|of| of.get(&number)).is_some_and(|state| state.collected);
        let manifests = chain.proven(&present, is_gone, is_told, collected).await.map_err(failed)?;
        let read = manifests.iter().enumerate().map(|(place, loaded)| known(&loaded.manifest, place));
        let mut known: Vec<_> = read.chain(told).collect();
        known.sort_by_key(|known| known.number);
        let newest = present.last().map_or(0, |newest| newest.0);
        Ok(OfSet { set: set.clone(), newest, known, manifests, blocks })
    }
}

/// What blocks tell of what is not gone, ascending.
fn told(blocks: &Blocks, set: &SetId, gone: &Gone) -> Vec<Known> {
    let mut told = Vec::new();
    for (block, used) in blocks.used.iter().enumerate() {
        for (place, version) in (0..).zip(&used.versions).filter(|(_, version)| !gone.contains(set, version.number)) {
            let blocks::Told { number, task, keeps_staged } = version.clone();
            told.push(Known { number, task, keeps_staged, is_barrier: false, by: By::Block(block, place) });
        }
    }
    told
}

fn known(manifest: &Manifest, place: usize) -> Known {
    let version = manifest.version();
    Known {
        number: manifest.number,
        task: manifest.task.clone(),
        keeps_staged: version.is_some_and(|version| version.keeps_staged),
        is_barrier: version.is_none(),
        by: By::Manifest(place),
    }
}

impl OfSet {
    /// The id of a number.
    pub(super) fn id(&self, collector: &Collector<'_>, number: VersionNumber) -> VersionId {
        VersionId { source: collector.source.clone(), set: self.set.clone(), number }
    }

    /// Whether all of these numbers are gone after the reading.
    pub(super) fn is_gone(&self, reading: &Reading<'_>, mut numbers: RangeInclusive<u64>) -> bool {
        numbers.all(|number| reading.gone.contains(&self.set, VersionNumber(number)))
    }
}
