//! Races around a set whose newest manifest is lost, of which the marks tell as gone.

use object_store::ObjectStoreExt;

use super::{
    Race, Victim,
    world::{Held, Off},
};
use crate::{
    chain::VersionSet,
    commit::ManifestDraft,
    ids::{SetId, VersionNumber},
    manifest::{Barrier, Holds},
    states::Change,
};

impl Race {
    /// A set of two versions that were given up and of the barrier behind them, which is lost; then a task commits to it
    /// beside a collector, and an operator takes the set as it is.
    pub(super) async fn run_cut(&mut self) -> Result<(), String> {
        let (world, daily) = (self.world.clone(), "daily".parse::<SetId>().unwrap());
        for number in 1..=2 {
            self.enter_new_writer(&format!("old-{number}"), &daily);
            self.drain().await;
        }
        // The barrier of the first is gone for the second, and the newest manifest.
        for (number, times) in [(1, 2), (2, 1)] {
            let (other, id) = (self.other(), format!("{}.{daily}.{number}", world.source).parse().unwrap());
            other
                .change(&id, &Change::Expire { reason: "test".to_owned() })
                .await
                .map_err(|error| error.to_string())?;
            world.shared.advance(12);
            other.collect_alone(times).await.map_err(|error| error.to_string())?;
        }
        let chain = VersionSet::new(world.store(None), world.source.clone(), daily.clone());
        let barrier = chain.list().await.map_err(|error| error.to_string())?.pop().unwrap_or(VersionNumber(0));
        world.store(None).delete(&chain.path(barrier)).await.map_err(|error| error.to_string())?;
        self.enter_victim(Victim::Cut);
        let writer = self.made;
        self.enter(None, true, |other| Box::pin(other.collect(1, true)));
        let collector = self.made;
        for _ in 0..2 {
            self.go_far(writer, world.roll(60)).await;
            self.go_far(collector, world.roll(60)).await;
        }
        self.drain().await;
        self.require_whole().await?;
        if world.off == Off::Nothing {
            self.accept(&chain).await?;
        }
        self.enter_new_writer("later", &daily);
        self.drain().await;
        self.other().collect(1, true).await;
        self.require_whole().await.map(drop)
    }

    /// Takes what is lost by numbers that hold no version.
    async fn accept(&self, chain: &VersionSet) -> Result<(), String> {
        let reason = "lost".to_owned();
        let (task, holds) = ("accept".to_owned(), Holds::Barrier(Barrier { reason }));
        let draft = ManifestDraft { task, node: "n".to_owned(), holds, in_order: false };
        let told = chain.told_from(VersionNumber(1)).await.map_err(|error| error.to_string())?;
        let claim = Held(self.world.claim_of(1));
        let env = self.world.env();
        let filled = chain.fill(told.unwrap_or(VersionNumber(0)), draft, &claim, &env).await;
        filled.map_err(|error| error.to_string())?;
        // What is known of the set is what is there now.
        let head = chain.head().await.map_err(|error| error.to_string())?.map(|(_, head)| head);
        self.world.state.lock().unwrap().fenced.extend(head.map(|head| (chain.set.clone(), head)));
        Ok(())
    }
}
