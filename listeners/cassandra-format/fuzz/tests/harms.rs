//! Flips and cuts of every component of every format with every compressor and none: each is reported by the SSTable's name, or
//! no row is another. `TIDEMARK_HARMS` says how many of each component, half flips and half cuts; `TIDEMARK_SEED` which.
//!
//! The files are those of `testdata/`, which real servers wrote. Memory and time are held to the budget of the fuzz targets.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::env;
use std::fmt;

use bytes::Bytes;
use rand::{Rng, SeedableRng, seq::IndexedRandom};
use rand_chacha::ChaCha8Rng;
use tidemark_cassandra_format::sstable::{Compressor, Version};
use tidemark_cassandra_fuzz::budget;

use self::common::{Content, Fixture};

#[expect(dead_code, reason = "the fixtures of the format's own tests")]
#[path = "../../tests/sstable/common.rs"]
mod common;

/// Components of which every byte is covered by a checksum or compared.
const COVERED: [&str; 3] = ["Data.db", "Statistics.db", "Digest.crc32"];
/// The only component that may end early without harm: it is a list of names.
const LIST: &str = "TOC.txt";

fn number(name: &str, default: u64) -> u64 {
    env::var(name).map_or(default, |text| text.trim().parse().unwrap_or_else(|_| panic!("{name}={text}")))
}

/// An SSTable and what is in it.
struct Whole {
    fixture: Fixture,
    content: Content,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Act {
    Flip { offset: usize, mask: u8 },
    Cut { length: usize },
}

impl Act {
    /// Flips and cuts in turn; each second cut leaves whole chunks, where there are any.
    fn draw(rng: &mut ChaCha8Rng, number: usize, bytes: &Bytes, boundaries: &[usize]) -> Self {
        match number % 4 {
            0 | 2 => Self::Flip { offset: rng.random_range(0..bytes.len()), mask: rng.random_range(1..=255) },
            1 => Self::Cut { length: rng.random_range(0..bytes.len()) },
            _ => Self::Cut {
                length: boundaries.choose(rng).copied().unwrap_or_else(|| rng.random_range(0..bytes.len())),
            },
        }
    }

    fn on(self, bytes: &Bytes) -> Bytes {
        match self {
            Self::Flip { offset, mask } => {
                let mut flipped = bytes.to_vec();
                flipped[offset] ^= mask;
                flipped.into()
            }
            Self::Cut { length } => bytes.slice(..length),
        }
    }
}

/// Offsets within the data at which chunks of 4 KiB or, as CompressionInfo.db says, compressed ones start.
fn boundaries(fixture: &Fixture) -> Vec<usize> {
    let data_bytes = fixture.component("Data.db").unwrap().len();
    let Some(info) = fixture.component("CompressionInfo.db") else { return (0..data_bytes).step_by(4096).collect() };
    let offset = |bytes: &[u8]| bytes.iter().fold(0, |sum, byte| sum << 8 | usize::from(*byte));
    let fits = |count: &usize| offset(&info[info.len() - 8 * count - 4..info.len() - 8 * count]) == *count;
    let count = (1..info.len() / 8).find(fits).unwrap();
    info[info.len() - 8 * count..].chunks(8).map(offset).collect()
}

/// What became of the harms to one component.
#[derive(Clone, Copy, Debug, Default)]
struct Count {
    flips: usize,
    flips_reported: usize,
    cuts: usize,
    cuts_reported: usize,
}

impl fmt::Display for Count {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { flips, flips_reported, cuts, cuts_reported } = self;
        write!(f, "flips {flips_reported}/{flips}, cuts {cuts_reported}/{cuts}")
    }
}

/// Reads a harmed SSTable; true where the harm was reported, false where every row is as it was.
fn is_reported(whole: &Whole, harmed: &Fixture, harm: &str) -> bool {
    let bytes: usize = harmed.components.iter().map(|(_, bytes)| bytes.len()).sum();
    match budget::within(bytes, || harmed.read()) {
        Ok(content) => {
            assert!(content == whole.content, "{harm}: other rows");
            false
        }
        Err(error) => {
            assert!(error.to_string().contains(&format!("{}-", harmed.name)), "{harm}: {error} names no file of it");
            true
        }
    }
}

/// Harms one component `count` times, of these SSTables in turn.
fn harm(rng: &mut ChaCha8Rng, all: &[&Whole], component: &'static str, count: usize) -> Count {
    let mut tally = Count::default();
    for number in 0..count {
        let whole = all[(number / 4) % all.len()];
        let bytes = whole.fixture.component(component).unwrap();
        let boundaries = if component == "Data.db" { boundaries(&whole.fixture) } else { Vec::new() };
        let act = Act::draw(rng, number, &bytes, &boundaries);
        let mut harmed = whole.fixture.with(component, Some(act.on(&bytes)));
        // Now and then the data lacks its digest: the checksums of chunks must do then.
        if component == "Data.db" && rng.random_range(0..4) == 0 {
            harmed = harmed.with("Digest.crc32", None).with(LIST, None);
        }
        let reported = is_reported(whole, &harmed, &format!("{:?} {component} {act:?}", whole.fixture));
        match act {
            Act::Flip { .. } => {
                (tally.flips, tally.flips_reported) = (tally.flips + 1, tally.flips_reported + usize::from(reported))
            }
            Act::Cut { .. } => {
                (tally.cuts, tally.cuts_reported) = (tally.cuts + 1, tally.cuts_reported + usize::from(reported))
            }
        }
    }
    tally
}

#[test]
fn every_harm_to_every_component_is_reported_or_changes_no_row() {
    let (count, seed) = (number("TIDEMARK_HARMS", 400) as usize, number("TIDEMARK_SEED", 1));
    println!("{count} harms of each component of each format and compressor, seed {seed}");
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let all: Vec<Whole> =
        Fixture::all().into_iter().map(|fixture| Whole { content: fixture.read().unwrap(), fixture }).collect();
    let mut groups: BTreeMap<(&str, &str), Vec<&Whole>> = BTreeMap::new();
    for whole in &all {
        let kind = whole.fixture.compressor().map_or("plain", Compressor::class);
        groups.entry((whole.fixture.version().names().0, kind)).or_default().push(whole);
    }
    // Cassandra makes tables with four compressors, and those of the fifth are the same in all formats.
    assert_eq!(groups.len(), 5 * Version::ALL.len() + 1, "{:?}", groups.keys());
    for ((version, kind), of_group) in groups {
        let components: Vec<&'static str> = of_group[0].fixture.components.iter().map(|(name, _)| *name).collect();
        assert_eq!(components.len(), 5, "{version} {kind}: {components:?}");
        for component in components {
            let tally = harm(&mut rng, &of_group, component, count);
            println!("{version} {kind} {component}: reported of tried: {tally}");
            assert!(component == LIST || tally.cuts_reported == tally.cuts, "cuts were missed");
            assert!(!COVERED.contains(&component) || tally.flips_reported == tally.flips, "flips were missed");
        }
    }
}
