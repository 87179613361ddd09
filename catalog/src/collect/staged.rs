//! What was staged for tasks that are over.

use std::collections::HashSet;

use futures::TryStreamExt;

use super::{Collector, Error, Swept, name::Kind, needs::Needs};
use crate::{commit::Claim, ids::TaskId, layout, marks};

impl Collector<'_> {
    /// See [`Collector::free_staged`].
    pub(super) async fn free(&self, claim: &dyn Claim) -> Result<Swept, Error> {
        let mut tasks = self.staged_tasks().await?;
        tasks.retain(|task| !self.live.tasks.contains(task));
        let mut swept = Swept::default();
        if tasks.is_empty() {
            return Ok(swept);
        }
        let (freed, kept) = self.committed_tasks().await?;
        tasks.retain(|task| !kept.contains(task.as_str()));
        tasks.retain(|task| freed.contains(task.as_str()) || self.live.done.contains(task));
        for task in tasks {
            self.free_task(&task, claim, &mut swept).await?;
        }
        Ok(swept)
    }

    /// Tasks for which anything is staged.
    async fn staged_tasks(&self) -> Result<Vec<TaskId>, Error> {
        let prefix = layout::staged_root(self.source);
        let listed = self.store.list_with_delimiter(Some(&prefix)).await;
        let listed = listed.map_err(|source| Error::List { prefix: prefix.clone(), source })?;
        Ok(listed.common_prefixes.iter().filter_map(|folder| folder.filename()?.parse().ok()).collect())
    }

    /// Tasks whose version is committed: those whose staged files go, and those whose staged files stay with it.
    async fn committed_tasks(&self) -> Result<(HashSet<String>, HashSet<String>), Error> {
        let (mut freed, mut kept) = (HashSet::new(), HashSet::new());
        let gone = marks::newest(self.store, self.source).await?.map(|round| round.head.gone).unwrap_or_default();
        let sets = self.sets().await?;
        let states = self.states(&sets, &gone).await?;
        let mut needs = Needs::new(self.store);
        for set in &sets {
            let of_set = states.get(set).into_iter().flatten();
            let collected: HashSet<_> =
                of_set.filter(|(_, state)| state.collected).map(|(number, _)| *number).collect();
            for known in self.of_set(set, &gone, &states, None, &mut needs).await?.known {
                let stays = self.live.keeps_staged(set, known.keeps_staged) && !collected.contains(&known.number);
                if stays {
                    kept.insert(known.task)
                } else {
                    freed.insert(known.task)
                };
            }
        }
        Ok((freed, kept))
    }

    async fn free_task(&self, task: &TaskId, claim: &dyn Claim, swept: &mut Swept) -> Result<(), Error> {
        super::require_held(claim)?;
        let prefix = layout::staged_root(self.source).join(task.as_str());
        let failed = |source| Error::List { prefix: prefix.clone(), source };
        let mut listing = self.store.list(Some(&prefix));
        let mut going = Vec::new();
        while let Some(meta) = listing.try_next().await.map_err(failed)? {
            if Kind::of(self.source, &meta.location) == Kind::Staged(task.clone()) {
                swept.objects += 1;
                swept.bytes = swept.bytes.saturating_add(meta.size);
                going.push(meta.location);
            }
            if going.len() == marks::PAGE_NAMES {
                self.delete(std::mem::take(&mut going)).await?;
            }
        }
        self.delete(going).await
    }
}
