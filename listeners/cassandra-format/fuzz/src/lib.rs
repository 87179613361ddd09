//! What a fuzzer drives: each component of an SSTable, its names and types, the order of values, and the merge, by bytes alone.
//!
//! A target takes any bytes, reads them as the product would, and panics where a promise is broken: the same bytes give the
//! same answer, an error names its file, nothing is larger than what it was read from, orders are orders, the merge is a
//! join. Around each run stands a [`budget`] of memory and time. Everything here is plain functions: `src/bin/fuzz.rs` hands
//! them to libFuzzer, `tests/` runs the seeds and every input that once failed.

pub mod budget;
mod container;
mod content;
mod data;
#[expect(clippy::unwrap_used, dead_code, reason = "the fixtures of the format's own tests")]
#[path = "../../tests/sstable/common.rs"]
mod fixture;
mod input;
mod merging;
mod orders;
#[expect(
    dead_code,
    unreachable_pub,
    unused_imports,
    reason = "parts of the listener's crate, which is too large to be fuzzed as a whole"
)]
#[path = "../../../cassandra/src"]
mod product {
    pub mod counter;
    pub mod merge;
    pub mod view;
}
mod seal;
mod single;
mod tables;
mod typed;
mod writes;

use product::{counter, merge, view};

/// Something that is fuzzed.
#[derive(Debug)]
pub struct Target {
    /// Its name, also of its directory of regressions.
    pub name: &'static str,
    /// Inputs get no longer, bytes.
    pub most_bytes: usize,
    run: fn(&[u8]),
    seeds: fn() -> Vec<Vec<u8>>,
}

/// All targets.
pub static TARGETS: [Target; 12] = [
    Target { name: "statistics", most_bytes: 16 << 10, run: single::statistics, seeds: single::seeds::statistics },
    Target { name: "compression_info", most_bytes: 4 << 10, run: single::info, seeds: single::seeds::info },
    Target { name: "chunk", most_bytes: 16 << 10, run: single::chunk, seeds: single::seeds::chunk },
    Target { name: "crc", most_bytes: 4 << 10, run: single::crc, seeds: single::seeds::crc },
    Target { name: "digest", most_bytes: 64, run: single::digest, seeds: single::seeds::digest },
    Target { name: "names", most_bytes: 512, run: container::names, seeds: container::name_seeds },
    Target { name: "open", most_bytes: 32 << 10, run: container::open, seeds: container::seeds },
    Target { name: "data", most_bytes: 4 << 10, run: data::run, seeds: data::seeds },
    Target { name: "types", most_bytes: 4 << 10, run: typed::types, seeds: typed::type_seeds },
    Target { name: "schema", most_bytes: 16 << 10, run: typed::schema, seeds: typed::schema_seeds },
    Target { name: "order", most_bytes: 1 << 10, run: orders::run, seeds: orders::seeds },
    Target { name: "merge", most_bytes: 8 << 10, run: merging::run, seeds: merging::seeds },
];

impl Target {
    /// The target of this name.
    pub fn named(name: &str) -> Option<&'static Self> {
        TARGETS.iter().find(|target| target.name == name)
    }

    /// Runs it on these bytes.
    ///
    /// # Panics
    /// Where a promise is broken or the budget is exceeded; where it is exceeded in memory the process ends.
    pub fn run(&self, bytes: &[u8]) {
        tables::load();
        budget::within(bytes.len(), || (self.run)(bytes));
    }

    /// Inputs to start from, made of the files in `testdata/`, which real servers wrote.
    pub fn seeds(&self) -> Vec<Vec<u8>> {
        let mut seeds = (self.seeds)();
        seeds.retain(|seed| seed.len() <= self.most_bytes);
        seeds
    }
}
