//! The second half of a round: what is marked and not named is deleted.

use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    sync::Arc,
};

use futures::{StreamExt, TryStreamExt, stream};
use object_store::path::Path;
use tidemark_gateway::{causes, pause};

use super::{Collector, Error, Fence, Swept, blocks, name::Kind, needs::Needs, require_newest, rules::Rule};
use crate::{
    chain::{Head, Loaded, VersionSet},
    commit::{self, Claim, ManifestDraft},
    document,
    ids::{FencingToken, SetId, VersionNumber},
    layout,
    manifest::{Barrier, Holds},
    marks::{self, Gone, Key, MarkedName, Page, Part, Round, SweptRecord},
    states::after,
};

impl Collector<'_> {
    /// See [`Collector::sweep`].
    pub(super) async fn sweep_round(&self, fence: &dyn Fence) -> Result<Option<Swept>, Error> {
        let Some(round) = marks::newest(self.store, self.source).await?.filter(|round| !round.swept) else {
            return Ok(None);
        };
        if super::store_now(self.store, self.env).await? < after(round.since, self.ages.marks) {
            return Ok(None);
        }
        let claim = fence.claim().await.map_err(Error::Fence)?;
        self.refuse_old(&round, claim.token()).await?;
        // Without the rule: what was named before the barriers.
        let early = match self.keeps(Rule::SecondReading) {
            true => None,
            false => Some(self.named(&self.sets().await?, &round.head.gone, &BTreeMap::new()).await?),
        };
        let sets = self.sets().await?;
        let mut fenced = BTreeMap::new();
        for set in &sets {
            fenced.extend(self.fence(set, &round, &claim, fence).await?.map(|number| (set.clone(), number)));
        }
        let (named, over) = match early {
            Some(early) => early,
            None => self.named(&sets, &round.head.gone, &fenced).await?,
        };
        pause::point("mid-sweep");
        let swept = self.delete_round(&round, claim.as_ref(), &named).await?;
        self.finish(&round, claim.token(), swept, over).await?;
        Ok(Some(swept))
    }

    async fn refuse_old(&self, round: &Round, fence: FencingToken) -> Result<(), Error> {
        if fence <= round.token {
            return Err(Error::OldToken { fence, marks: round.token });
        }
        self.refuse_old_generation(fence).await
    }

    /// Another daemon that has taken the repository over knows more of what is kept: what an older one believes counts for nothing.
    pub(super) async fn refuse_old_generation(&self, claim: FencingToken) -> Result<(), Error> {
        if self.keeps(Rule::NewestGeneration) { require_newest(self.store, claim).await } else { Ok(()) }
    }

    /// Makes claims below `claim` unable to commit to `set`, and has the manifest remembered that does so; gives its number.
    async fn fence(
        &self,
        set: &SetId,
        round: &Round,
        claim: &Arc<dyn Claim>,
        fence: &dyn Fence,
    ) -> Result<Option<VersionNumber>, Error> {
        if !self.keeps(Rule::Barrier) {
            return Ok(None);
        }
        let failed = |source| Error::Remember { set: set.clone(), source };
        let mut chain = VersionSet::new(self.store.clone(), self.source.clone(), set.clone());
        // What is not what was committed must not be vouched for by a barrier behind it.
        if let Some(known) = fence.known(set).await.map_err(failed)? {
            chain = chain.with_head(known);
        }
        let head = self.fencing(&chain, set, round, claim).await?;
        fence.fenced(set, head).await.map_err(failed)?;
        Ok(Some(head.number))
    }

    /// The newest manifest of `set`, which has the token of `claim` or a higher one.
    async fn fencing(
        &self,
        chain: &VersionSet,
        set: &SetId,
        round: &Round,
        claim: &Arc<dyn Claim>,
    ) -> Result<Head, Error> {
        let failed = |source| Error::Chain { set: set.clone(), source };
        if let Some((newest, head)) = chain.head().await.map_err(failed)?
            && newest.token >= claim.token()
        {
            return Ok(head);
        }
        let reason = format!("marks of round {} are swept: older claims have not read them", round.number);
        let draft = ManifestDraft {
            task: format!("{}{}", super::FENCE_TASK, claim.token()),
            node: self.node.to_owned(),
            holds: Holds::Barrier(Barrier { reason }),
            in_order: false,
        };
        match chain.commit(draft, claim.as_ref(), self.env).await {
            Ok((barrier, stored)) => Ok(Head { number: barrier.number, digest: stored.digest }),
            // Somebody with a higher token has committed meanwhile, which fences as well.
            Err(commit::Error::Fenced { number, .. }) => {
                chain.read_head(number).await.map(|(_, head)| head).map_err(failed)
            }
            Err(source) => Err(Error::Barrier { set: set.clone(), source }),
        }
    }

    /// All that versions need which are not gone. Of those that were collected since, one of which anything cannot be read needs nothing:
    /// when the marks were made it was there, and what it named is not among them.
    /// And the needs blocks that are over. `fenced` are numbers that are there: a listing that ends before them leaves versions out.
    async fn named(
        &self,
        sets: &BTreeSet<SetId>,
        gone: &Gone,
        fenced: &BTreeMap<SetId, VersionNumber>,
    ) -> Result<(HashSet<Key>, Vec<Path>), Error> {
        let mut needs = Needs::new(self.store);
        let (mut named, mut over) = (HashSet::new(), Vec::new());
        let states = self.states(sets, gone).await?;
        for set in sets {
            let of_states = states.get(set);
            let there = fenced.get(set).copied().filter(|_| self.keeps(Rule::ListReaches));
            let of = self.of_set(set, gone, &states, there, &mut needs).await?;
            for Loaded { manifest, .. } in &of.manifests {
                let is_collected =
                    of_states.and_then(|of| of.get(&manifest.number)).is_some_and(|state| state.collected);
                let names = match needs.of_version(manifest).await {
                    Err(error) if is_collected && !error.is_of_the_store() => {
                        let (number, error) = (manifest.number, causes::joined(&error));
                        tracing::warn!(source_id = %self.source, %set, %number, error, "a version that was given up needs nothing");
                        continue;
                    }
                    names => names?,
                };
                named.extend(names.into_iter().map(|(name, _)| needs.key(name)));
            }
            for group in of.blocks.used.iter().flat_map(|block| &block.groups) {
                named.extend(group.names.iter().map(|name| needs.key(*name)));
            }
            over.extend(blocks::over(&of.blocks, set, gone));
        }
        Ok((named, over))
    }

    async fn delete_round(&self, round: &Round, claim: &dyn Claim, named: &HashSet<Key>) -> Result<Swept, Error> {
        let (mut swept, fence) = (Swept::default(), claim.token());
        for page in &round.head.pages {
            super::require_held(claim)?;
            let page: Page = document::read(self.store, page).await.map_err(marks::Error::from)?;
            let goes = |name: &MarkedName| self.may_go(fence, name) && !named.contains(&Key::of(&name.key));
            let going: Vec<_> = page.names.into_iter().filter(goes).collect();
            swept.objects += going.len() as u64;
            swept.bytes = going.iter().fold(swept.bytes, |sum, name| sum.saturating_add(name.bytes));
            self.delete(going.into_iter().filter_map(|name| Path::parse(name.key).ok()).collect()).await?;
        }
        Ok(swept)
    }

    /// Whether a marked name is one that collection deletes, whatever the marks say: written under an older claim, or staged.
    fn may_go(&self, fence: FencingToken, name: &MarkedName) -> bool {
        let Ok(path) = Path::parse(&name.key) else { return false };
        match Kind::of(self.source, &path) {
            Kind::Page(token) | Kind::Segment(token) => token < fence,
            Kind::Staged(_) | Kind::Root => true,
            Kind::Lasting | Kind::Foreign => false,
        }
    }

    /// Deletes these objects, as many at a time as the store takes; what is not there any more is no error.
    pub(super) async fn delete(&self, paths: Vec<Path>) -> Result<(), Error> {
        let paths = stream::iter(paths.into_iter().map(Ok)).boxed();
        let mut deleted = self.store.delete_stream(paths);
        while let Some(done) = deleted.next().await {
            match done {
                Ok(_) | Err(object_store::Error::NotFound { .. }) => {}
                Err(source) => return Err(Error::Delete { prefix: layout::source(self.source), source }),
            }
        }
        Ok(())
    }

    /// Says that the round was swept, then deletes its pages, all that is left of rounds before it, and what else is `over`.
    async fn finish(&self, round: &Round, token: FencingToken, swept: Swept, mut over: Vec<Path>) -> Result<(), Error> {
        let record = SweptRecord { round: round.number, token, objects: swept.objects, bytes: swept.bytes };
        match document::write(self.store, &layout::marks_swept(self.source, round.number), &record).await {
            Ok(_) => {}
            Err(error) if error.is_taken() => {}
            Err(error) => return Err(marks::Error::from(error).into()),
        }
        let prefix = layout::marks(self.source);
        let failed = |source| Error::List { prefix: prefix.clone(), source };
        let mut listing = self.store.list(Some(&prefix));
        while let Some(meta) = listing.try_next().await.map_err(failed)? {
            match marks::parse(&prefix, &meta.location) {
                Some((number, _)) if number < round.number => over.push(meta.location),
                Some((number, Part::Page)) if number == round.number => over.push(meta.location),
                _ => {}
            }
        }
        self.delete(over).await
    }
}
