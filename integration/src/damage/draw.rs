//! Draws harms at random, from a seed.

use std::collections::BTreeMap;

use rand::{Rng, SeedableRng, seq::IndexedRandom};
use rand_chacha::ChaCha8Rng;

use super::{Bench, Harm, harm::Act};

/// Offsets in Data.db files, by file name, at which a cut leaves whole partitions or chunks.
pub type Boundaries = BTreeMap<String, Vec<u64>>;

/// What is done to one copy of a snapshot. The last harm is the one that was drawn; those before it take away what would
/// notice it otherwise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Case(pub Vec<Harm>);

impl Case {
    /// The harm that was drawn.
    pub fn drawn(&self) -> &Harm {
        &self.0[self.0.len() - 1]
    }
}

/// A seeded source of cases.
#[derive(Debug)]
pub struct Draw {
    rng: ChaCha8Rng,
}

impl Draw {
    /// The same seed draws the same of the same files.
    pub fn new(seed: u64) -> Self {
        Self { rng: ChaCha8Rng::seed_from_u64(seed) }
    }

    /// Flips of single bytes: each second one in the data, the others in every file of the snapshot in turn.
    pub fn flips(&mut self, bench: &Bench, count: usize) -> Vec<Case> {
        let mut others = bench.files().iter().cycle();
        let flip = |number: usize| {
            let file = if number.is_multiple_of(2) { self.data_file(bench) } else { others.next().cloned() };
            let (file, size) = file.filter(|(_, size)| *size > 0)?;
            let act = Act::Flip { offset: self.rng.random_range(0..size), mask: self.rng.random_range(1..=255) };
            Some(self.case(Harm::new(file, act)))
        };
        (0..count).filter_map(flip).collect()
    }

    /// Cuts: each second one of the data at a boundary, the others of every file of the snapshot in turn, anywhere.
    pub fn cuts(&mut self, bench: &Bench, boundaries: &Boundaries, count: usize) -> Vec<Case> {
        let mut others = bench.files().iter().cycle();
        let cut = |number: usize| {
            let (file, length) = if number.is_multiple_of(2) {
                let (file, size) = self.data_file(bench)?;
                let inside: Vec<u64> = boundaries.get(&file)?.iter().copied().filter(|at| *at < size).collect();
                (file, *inside.choose(&mut self.rng)?)
            } else {
                let (file, size) = others.next().cloned().filter(|(_, size)| *size > 0)?;
                (file, self.rng.random_range(0..size))
            };
            Some(self.case(Harm::new(file, Act::Cut { length })))
        };
        (0..count).filter_map(cut).collect()
    }

    /// Flips and cuts of what was staged, every object in turn.
    pub fn staged(&mut self, bench: &Bench, count: usize) -> Vec<Case> {
        let objects = bench.staged().iter().filter(|(_, size)| *size > 0).cycle();
        let harm = |(number, (key, size)): (usize, &(String, u64))| {
            let act = match number % 4 {
                0 => Act::Cut { length: self.rng.random_range(0..*size) },
                _ => Act::Flip { offset: self.rng.random_range(0..*size), mask: self.rng.random_range(1..=255) },
            };
            Case(vec![Harm::new(key.clone(), act)])
        };
        objects.take(count).enumerate().map(harm).collect()
    }

    fn data_file(&mut self, bench: &Bench) -> Option<(String, u64)> {
        let data: Vec<_> = bench.files().iter().filter(|(name, _)| name.ends_with("-Data.db")).collect();
        data.choose(&mut self.rng).map(|file| (*file).clone())
    }

    /// Now and then damage to the data meets a file without its digest: the checksums of chunks must do then.
    fn case(&mut self, harm: Harm) -> Case {
        if harm.component() != "Data.db" || self.rng.random_range(0..4) > 0 {
            return Case(vec![harm]);
        }
        let gone = ["Digest.crc32", "TOC.txt"].map(|name| Harm::new(format!("{}{name}", harm.stem()), Act::Remove));
        Case(gone.into_iter().chain([harm]).collect())
    }
}

/// Each file of the snapshot removed, one at a time.
pub fn removals(bench: &Bench) -> Vec<Case> {
    bench.files().iter().map(|(name, _)| Case(vec![Harm::new(name.clone(), Act::Remove)])).collect()
}
