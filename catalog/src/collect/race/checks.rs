//! What must be so during a race, and after it.

use std::{collections::BTreeSet, sync::Arc};

use object_store::{ObjectStore, ObjectStoreExt, path::Path};

use super::{
    super::{Survey, needs},
    Race,
};
use crate::{
    chain::VersionSet,
    find,
    ids::SetId,
    pages,
    states::{Listed, VersionStates},
};

impl Race {
    pub(super) fn require_right(&self) -> Result<(), String> {
        match self.world.state.lock().unwrap().wrong.first() {
            Some(wrong) => Err(wrong.clone()),
            None => Ok(()),
        }
    }

    /// Every object is there that a version needs which is not collected.
    pub(super) async fn require_whole(&self) -> Result<u64, String> {
        let (store, source) = (self.world.store(None), &self.world.source);
        let mut needed: BTreeSet<(Path, u64)> = BTreeSet::new();
        for set in find::sets(&store, source).await.unwrap() {
            let states = VersionStates::new(store.clone(), source.clone(), set.clone()).all().await.unwrap();
            let chain = VersionSet::new(store.clone(), source.clone(), set.clone());
            self.require_undone(&set, &store).await?;
            for manifest in chain.verify_chain().await.map_err(|error| error.to_string())? {
                if states.get(&manifest.number).is_some_and(|state| state.collected) {
                    continue;
                }
                let lost = |error: String| format!("version {} lost: {error}", needs::version_id(&manifest));
                let pages = manifest.version().map(|version| version.pages.clone()).unwrap_or_default();
                needed.extend(pages.iter().map(|page| (page.path(), page.size)));
                let lines = pages::read_lines(&store, &manifest).await.map_err(|error| lost(chain_of(&error)))?;
                for entry in lines.iter().filter_map(|line| line.entry.as_ref()) {
                    let needs = needs::of_entry(&store, entry).await.map_err(|error| lost(chain_of(&error)))?;
                    for stored in needs.all() {
                        store.head(&stored.path()).await.map_err(|error| lost(error.to_string()))?;
                        needed.insert((stored.path(), stored.size));
                    }
                }
            }
        }
        Ok(needed.iter().map(|(_, bytes)| bytes).sum())
    }

    /// What an operator was told to be undone or held was not collected by that same record.
    async fn require_undone(&self, set: &SetId, store: &Arc<dyn ObjectStore>) -> Result<(), String> {
        let told = self.world.state.lock().unwrap().told.clone();
        for (id, revision) in told.iter().filter(|(id, _)| id.set == *set) {
            let states = VersionStates::new(store.clone(), id.source.clone(), set.clone());
            let listed = Listed { revision: *revision, since: self.world.shared.now() };
            if states.read(id.number, listed).await.map_err(|error| error.to_string())?.collected {
                return Err(format!("version {id} was collected by the record that took its expiry back"));
            }
        }
        Ok(())
    }

    /// After everybody is done, two collections leave what versions need, to the byte.
    pub(super) async fn settle(&mut self) -> Result<(), String> {
        self.world.state.lock().unwrap().early = None;
        for _ in 0..3 {
            self.world.shared.advance(50);
            let generation = self.world.generation();
            self.other().collect(generation, false).await;
        }
        let needed = self.require_whole().await?;
        let survey = self.survey().await;
        let left = survey.versions.bytes + survey.expired.bytes;
        let rest = [survey.pinned, survey.tasks, survey.marked, survey.garbage, survey.young];
        if left != needed || rest.iter().any(|sum| sum.objects > 0) {
            return Err(format!("{needed} bytes are needed, and left is {survey:?}"));
        }
        if survey.foreign.objects != 1 {
            return Err("what is foreign was deleted".to_owned());
        }
        Ok(())
    }

    async fn survey(&self) -> Survey {
        let (store, env) = (self.world.store(None), self.world.env());
        let live = self.world.live(self.world.shared.now(), false);
        let collector = self.world.collector(&store, &live, &env);
        collector.survey(&BTreeSet::new(), &mut |_| {}).await.unwrap()
    }
}

fn chain_of(error: &(dyn std::error::Error + 'static)) -> String {
    tidemark_gateway::causes::joined(error)
}
