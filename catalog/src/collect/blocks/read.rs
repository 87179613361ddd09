//! Which blocks a reading uses.

use std::collections::{HashMap, HashSet};

use futures::{FutureExt, StreamExt, TryStreamExt, stream};
use tidemark_gateway::causes;

use super::{Block, Blocks, Group, Listed, Used, stored};
use crate::{
    chain::VersionSet,
    collect::{Collector, Error, needs::Needs, rules::Rule},
    document,
    ids::{SetId, VersionNumber},
    layout,
    marks::Gone,
};

/// Blocks that are read and decoded at a time.
const READS_AT_A_TIME: usize = 4;

impl Collector<'_> {
    /// The blocks of a set, those that can be used read and linked; `present` are the numbers of its manifests, ascending.
    ///
    /// # Errors
    /// [`Error::List`], [`Error::Chain`], [`Error::Block`] where the store does not answer. A block that is damaged, gone or of another
    /// chain is no error: its numbers are read.
    pub(in crate::collect) async fn blocks(
        &self,
        chain: &VersionSet,
        set: &SetId,
        gone: &Gone,
        present: &[VersionNumber],
        needs: &mut Needs<'_>,
    ) -> Result<Blocks, Error> {
        let newest = present.last().map_or(0, |newest| newest.0);
        let listed = self.list_blocks(set).await?;
        let mut usable: Vec<_> =
            listed.iter().filter(|one| one.last <= newest && !one.is_gone(set, gone)).cloned().collect();
        let mut read: HashMap<String, Used> = HashMap::new();
        loop {
            let chosen = highest(&usable);
            let missing: Vec<_> = chosen.iter().filter(|one| !read.contains_key(&one.stored.key)).cloned().collect();
            let mut refused = HashSet::new();
            let mut reads = Vec::with_capacity(missing.len());
            for one in missing {
                reads.push(async move { (self.read_block(set, &one).await, one) }.boxed());
            }
            let mut reads = stream::iter(reads).buffered(READS_AT_A_TIME);
            while let Some((block, one)) = reads.next().await {
                match block {
                    Ok(block) => drop(read.insert(one.stored.key.clone(), held(one, block, set, gone, needs))),
                    Err(source) if source.is_of_the_store() => {
                        return Err(Error::Block { path: one.stored.path(), source });
                    }
                    Err(error) => {
                        let (block, error) = (&one.stored.key, causes::joined(&error));
                        tracing::warn!(block, error, "a needs block cannot be read: what it tells is read again");
                        refused.insert(one.stored.key);
                    }
                }
            }
            if refused.is_empty()
                && let Some(unlinked) = self.unlinked(chain, set, &chosen, &read).await?
            {
                tracing::warn!(block = unlinked, "a needs block is of another chain: what it tells is read again");
                refused.insert(unlinked);
            }
            if refused.is_empty() {
                let used = chosen.iter().filter_map(|one| read.remove(&one.stored.key)).collect();
                return Ok(Blocks { used, listed });
            }
            usable.retain(|one| !refused.contains(&one.stored.key));
        }
    }

    async fn list_blocks(&self, set: &SetId) -> Result<Vec<Listed>, Error> {
        let mut found = Vec::new();
        if !self.keeps(Rule::Blocks) {
            return Ok(found);
        }
        let prefix = layout::needs(self.source, set);
        let mut listing = self.store.list(Some(&prefix));
        while let Some(meta) =
            listing.try_next().await.map_err(|source| Error::List { prefix: prefix.clone(), source })?
        {
            found.extend(Listed::parse(&meta.location, meta.size, self.numbers));
        }
        // Of two of the same numbers the one of the later claim comes first.
        found.sort_by(|a, b| b.level.cmp(&a.level).then_with(|| b.stored.key.cmp(&a.stored.key)));
        Ok(found)
    }

    async fn read_block(&self, set: &SetId, listed: &Listed) -> Result<Block, document::Error> {
        let read = match document::read::<Block>(self.store, &listed.stored).await {
            Ok(block) => block.checked(self.source, set, listed),
            Err(error) => Err(error),
        };
        match read {
            Err(_) if !self.keeps(Rule::BlockRead) => Ok(Block::nothing(self.source, set, listed)),
            read => read,
        }
    }

    /// The last block to whose last manifest the chain does not link; `None` where it does so to all.
    async fn unlinked(
        &self,
        chain: &VersionSet,
        set: &SetId,
        chosen: &[Listed],
        read: &HashMap<String, Used>,
    ) -> Result<Option<String>, Error> {
        if !self.keeps(Rule::BlockLink) {
            return Ok(None);
        }
        let mut next: Option<&Used> = None;
        for block in chosen.iter().rev().filter_map(|one| read.get(&one.stored.key)) {
            let follows = next.is_some_and(|next| next.listed.first == block.listed.last + 1);
            let is_linked = follows && next.is_some_and(|next| next.before == Some(block.end));
            if !is_linked && !self.goes_on_from(chain, set, block).await? {
                return Ok(Some(block.listed.stored.key.clone()));
            }
            next = Some(block);
        }
        Ok(None)
    }

    async fn goes_on_from(&self, chain: &VersionSet, set: &SetId, block: &Used) -> Result<bool, Error> {
        match chain.link_of(VersionNumber(block.listed.last + 1)).await {
            // Without the rule: nothing else speaks for what could not be read.
            Ok(_) if !self.keeps(Rule::BlockRead) && block.end == Block::no_end() => Ok(true),
            Ok(link) => Ok(link == Some(block.end)),
            Err(error) if error.is_damage() => Ok(false),
            Err(source) => Err(Error::Chain { set: set.clone(), source }),
        }
    }
}

/// Of blocks in the order in which they are preferred those that are in none that comes before; ascending.
fn highest(usable: &[Listed]) -> Vec<Listed> {
    let mut chosen: Vec<Listed> = Vec::new();
    for one in usable {
        if !chosen.iter().any(|other| other.holds(one)) {
            chosen.push(one.clone());
        }
    }
    chosen.sort_by_key(|one| one.first);
    chosen
}

/// A block as a reading holds it: names and objects by their numbers.
fn held(listed: Listed, block: Block, set: &SetId, gone: &Gone, needs: &mut Needs<'_>) -> Used {
    let objects: Vec<_> = block.objects.into_iter().map(|object| needs.number(object)).collect();
    let is_needed =
        |place: u32| block.versions.get(place as usize).is_some_and(|told| !gone.contains(set, told.number));
    let mut groups = Vec::new();
    for group in block.needs {
        let object = group.object.and_then(|object| objects.get(object as usize).copied());
        let mut held = Group { object, places: group.versions, names: Vec::new() };
        if held.places().any(is_needed) {
            held.names = stored::keys(&group.keys).map(|key| needs.name(key)).collect();
            groups.push(held);
        }
    }
    Used { listed, before: block.before, end: block.end, versions: block.versions, groups }
}
