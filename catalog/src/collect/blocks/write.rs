//! Writing the blocks that a reading found missing.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::RangeInclusive,
};

use tidemark_gateway::{Digest, causes, upload};

use super::{
    NUMBERS, Used,
    build::{Builder, Built},
    span,
    stored::{Block, Told},
};
use crate::{
    chain::{self, Loaded, Part, VersionSet},
    collect::{
        Collector,
        reading::Reading,
        rules::Rule,
        set::{By, OfSet},
    },
    commit::Claim,
    document,
    ids::VersionNumber,
    layout,
    manifest::Manifest,
};

/// Why a block is not written.
#[derive(Debug, thiserror::Error)]
enum Error {
    #[error("read what the block links to")]
    Chain(#[from] chain::Error),
    #[error(transparent)]
    Document(#[from] document::Error),
    #[error("write the block")]
    Write(#[from] upload::Error),
}

/// A block that is missing, with what it can be made of.
enum Missing<'a> {
    Manifests(Vec<&'a Loaded>),
    Blocks(Vec<&'a Used>),
}

impl Missing<'_> {
    /// What it is made of, as parts of the chain, ascending.
    fn parts(&self) -> Vec<Part> {
        match self {
            Self::Manifests(manifests) => manifests.iter().map(|loaded| loaded.part()).collect(),
            Self::Blocks(blocks) => blocks.iter().map(|block| block.part()).collect(),
        }
    }
}

impl Collector<'_> {
    /// Writes the blocks that the next reading can use. One that cannot be written is missing the next time too, and stops nothing.
    pub(in crate::collect) async fn write_blocks(&self, reading: &mut Reading<'_>, claim: &dyn Claim) {
        let sets = std::mem::take(&mut reading.sets);
        for of in sets.iter().filter(|_| self.keeps(Rule::Blocks)) {
            for (level, numbers, missing) in self.missing(reading, of) {
                if !claim.holds() {
                    return;
                }
                if let Err(error) = self.write_block(reading, of, level, &numbers, missing, claim).await {
                    let error = causes::joined(&error);
                    tracing::warn!(source_id = %self.source, set = %of.set, level, last = numbers.end(), error, "a needs block is not written");
                }
            }
        }
    }

    /// Blocks that are missing: level, numbers, and what they are made of.
    fn missing<'s>(&self, reading: &Reading<'_>, of: &'s OfSet) -> Vec<(u8, RangeInclusive<u64>, Missing<'s>)> {
        let mut missing = self.missing_first(reading, of);
        let by_level = |level: u8| of.blocks.used.iter().filter(move |block| block.listed.level == level);
        let levels: BTreeSet<u8> = of.blocks.used.iter().map(|block| block.listed.level).collect();
        for level in levels {
            let (Some(below), Some(span)) = (span(level, self.numbers), span(level + 1, self.numbers)) else {
                continue;
            };
            let mut parents: BTreeMap<u64, Vec<&Used>> = BTreeMap::new();
            for block in by_level(level) {
                parents.entry((block.listed.first - 1) / span).or_default().push(block);
            }
            for (parent, blocks) in parents {
                let numbers = parent * span + 1..=(parent + 1) * span;
                let has = |first: u64| blocks.iter().any(|block| block.listed.first == first);
                let mut parts = numbers.clone().step_by(usize::try_from(below).unwrap_or(usize::MAX));
                let whole = parts.all(|first| has(first) || of.is_gone(reading, first..=first + below - 1));
                if whole && *numbers.end() < of.newest {
                    missing.push((level + 1, numbers, Missing::Blocks(blocks)));
                }
            }
        }
        missing
    }

    /// Blocks of level 0 of which all is read. The newest number is in none: nothing vouches for it but itself.
    fn missing_first<'s>(&self, reading: &Reading<'_>, of: &'s OfSet) -> Vec<(u8, RangeInclusive<u64>, Missing<'s>)> {
        let mut ranges: BTreeMap<u64, Vec<&Loaded>> = BTreeMap::new();
        for known in of.known.iter().filter(|known| !reading.gone.contains(&of.set, known.number)) {
            if let By::Manifest(at) = known.by {
                ranges.entry((known.number.0 - 1) / self.numbers).or_default().push(&of.manifests[at]);
            }
        }
        let mut missing = Vec::new();
        let is_higher = |block: &&Used| block.listed.level > 0;
        for (range, manifests) in ranges {
            let numbers = range * self.numbers + 1..=(range + 1) * self.numbers;
            let mut higher = of.blocks.used.iter().filter(is_higher);
            if higher.any(|block| block.listed.first <= *numbers.start() && *numbers.start() <= block.listed.last) {
                continue;
            }
            let is_read = |number: u64| manifests.iter().any(|loaded| loaded.manifest.number.0 == number);
            let whole = numbers.clone().all(|number| is_read(number) || of.is_gone(reading, number..=number));
            if whole && *numbers.end() < of.newest {
                missing.push((0, numbers, Missing::Manifests(manifests)));
            }
        }
        missing
    }

    async fn write_block(
        &self,
        reading: &mut Reading<'_>,
        of: &OfSet,
        level: u8,
        numbers: &RangeInclusive<u64>,
        missing: Missing<'_>,
        claim: &dyn Claim,
    ) -> Result<(), Error> {
        let Some(Part { before, end, .. }) = self.bound(of, numbers, &missing.parts()).await? else {
            tracing::debug!(source_id = %self.source, set = %of.set, level, last = numbers.end(), "no reading could use the needs block");
            return Ok(());
        };
        let mut builder = Builder::default();
        match missing {
            Missing::Manifests(manifests) => {
                for Loaded { manifest, .. } in manifests {
                    // It was read before, and is read no more.
                    let Ok(named) = reading.needs.of_version(manifest).await else { return Ok(()) };
                    builder.tell(told(manifest), named);
                }
            }
            Missing::Blocks(blocks) => {
                for block in blocks {
                    let is_gone = |told: &Told| reading.gone.contains(&of.set, told.number);
                    builder.tell_again(&block.versions, &block.groups, is_gone);
                }
            }
        }
        if builder.is_empty() {
            return Ok(());
        }
        let Built { versions, objects, needs } = builder.finish(&reading.needs);
        let (source, set) = (self.source.clone(), of.set.clone());
        let (first, last) = (VersionNumber(*numbers.start()), VersionNumber(*numbers.end()));
        let block = Block { source, set, level, first, last, before, end, versions, objects, needs };
        self.store_block(&block, claim).await
    }

    /// The part of the chain that a block of these numbers would be of; `None` where what it is made of is not of one chain, which may be
    /// there no more, or where the number behind it does not tell of its end (each reading would refuse the block), or where finding that
    /// out would cost more than the block saves.
    async fn bound(&self, of: &OfSet, numbers: &RangeInclusive<u64>, parts: &[Part]) -> Result<Option<Part>, Error> {
        let known: u64 = parts.iter().map(|part| part.last - part.first + 1).sum();
        // What is gone in between is read one by one.
        if (numbers.end() - numbers.start() + 1).saturating_sub(known) > NUMBERS {
            return Ok(None);
        }
        let chain = VersionSet::new(self.store.clone(), self.source.clone(), of.set.clone());
        let Some(whole) = chain.whole(numbers.clone(), parts).await? else { return Ok(None) };
        let told = chain.link_of(VersionNumber(numbers.end() + 1)).await?;
        Ok((told == Some(whole.end)).then_some(whole))
    }

    async fn store_block(&self, block: &Block, claim: &dyn Claim) -> Result<(), Error> {
        let bytes = document::encode(&layout::needs(self.source, &block.set), block)?;
        let digest = Digest::of(&bytes);
        let path = layout::needs_block(self.source, &block.set, block.level, block.last, claim.token(), digest);
        upload::put_new(self.store, &path, bytes).await?;
        Ok(())
    }
}

fn told(manifest: &Manifest) -> Told {
    let keeps_staged = manifest.version().is_some_and(|version| version.keeps_staged);
    Told { number: manifest.number, task: manifest.task.clone(), keeps_staged }
}
