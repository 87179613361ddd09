//! One wide partition in three files that differ, and what must come of them.

use std::path::{Path, PathBuf};

use anyhow::Result;

use super::{Offline, kept};

const GENERATE: &str = include_str!("../../../cassandra/GenerateWide.java");

/// A table (pk int, ck int, v blob) of one partition, as `cassandra/GenerateWide.java` says. What must come of it is worked
/// out here from the same words, by another program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WidePartition {
    /// Rows that are written, deleted ones among them.
    pub rows: u32,
    /// Bytes of each value.
    pub value_bytes: u32,
    /// What the values follow from.
    pub seed: u64,
}

/// A row that must be there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WideRow {
    /// Write time, µs.
    pub writetime: i64,
    /// Value.
    pub value: Vec<u8>,
}

impl WidePartition {
    /// Files, that is replicas.
    pub const FILES: u32 = 3;
    const WRITE_TIME: i64 = 1_700_000_000_000_000;

    /// The statement that creates the table.
    pub fn create_table(&self, keyspace: &str, table: &str) -> String {
        let columns = "pk int, ck int, v blob, PRIMARY KEY (pk, ck)";
        format!("CREATE TABLE {keyspace}.{table} ({columns}) WITH compression = {{'enabled': false}}")
    }

    /// Directory with a directory of each file (0, 1, 2), written unless the cache has it.
    ///
    /// # Errors
    /// Where the jars are missing or the program fails, with what it said.
    pub fn sstables(&self) -> Result<PathBuf> {
        let Self { rows, value_bytes, seed } = self;
        kept(&format!("wide-{rows}-{value_bytes}-{seed}"), GENERATE, |directory| self.generate(directory))
    }

    fn generate(&self, directory: &Path) -> Result<()> {
        let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("cassandra/GenerateWide.java");
        let (directory, create) = (directory.display().to_string(), self.create_table("generated", "wide"));
        let numbers = [u64::from(self.rows), self.value_bytes.into(), self.seed].map(|number| number.to_string());
        let [rows, value_bytes, seed] = numbers.each_ref().map(String::as_str);
        let arguments = [&directory, "generated", &create, rows, value_bytes, seed];
        Offline::new(&[])?.run(&program, &arguments).map(drop)
    }

    /// What must be there of row n; `None` where it is deleted.
    pub fn row(&self, n: u32) -> Option<WideRow> {
        let deleted = (0..Self::FILES).map(|file| self.deleted(file, n)).max();
        let newest = (0..Self::FILES).filter_map(|file| written(file, n)).max().filter(|time| Some(*time) > deleted)?;
        let value = random_bytes(self.seed + 2 * u64::from(n) + u64::from(newest == 20), self.value_bytes);
        Some(WideRow { writetime: Self::WRITE_TIME + newest, value })
    }

    /// Rows that are there, and rows of which the replicas have another view each.
    pub fn figures(&self) -> (u64, u64) {
        let view = |file, n| written(file, n).filter(|time| *time > self.deleted(file, n));
        let disagree = |n: &u32| (1..Self::FILES).any(|file| view(file, *n) != view(0, *n));
        let live = (0..self.rows).filter(|n| self.row(*n).is_some()).count();
        (live as u64, (0..self.rows).filter(disagree).count() as u64)
    }

    /// Time up to which a file deletes a row.
    fn deleted(&self, file: u32, n: u32) -> i64 {
        let block = n / 100;
        let short = block % 3 == file && block < self.rows / 100 && (40..50).contains(&(n % 100));
        if short { 15 } else { [5, 0, 0][file as usize] }
    }
}

/// Time at which a file has a row.
fn written(file: u32, n: u32) -> Option<i64> {
    let here = n % 3 == file || (n + 1) % 3 == file;
    match n % 16 {
        0 => here.then_some(1),
        1 => Some(if file == 2 { 20 } else { 1 }),
        _ => here.then_some(10),
    }
}

/// What Java's `SplittableRandom` of a seed gives: SplitMix64 (Steele, Lea and Flood, 2014), low byte first.
fn random_bytes(seed: u64, count: u32) -> Vec<u8> {
    let mut state = seed;
    let words = std::iter::repeat_with(|| {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    });
    words.flat_map(u64::to_le_bytes).take(count as usize).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SMALL: WidePartition = WidePartition { rows: 1000, value_bytes: 8, seed: 1 };

    #[test]
    fn rows_are_deleted_by_the_whole_range_by_short_ones_or_not() {
        let time = |n| SMALL.row(n).map(|row| row.writetime - WidePartition::WRITE_TIME);
        assert_eq!(
            [0, 1, 2, 39, 40, 41, 49, 50].map(time),
            [None, Some(20), Some(10), Some(10), None, None, Some(20), Some(10)]
        );
        assert_eq!(time(16 * 3), None);
    }

    #[test]
    fn values_are_those_of_java() {
        // new SplittableRandom(0).nextLong()
        assert_eq!(random_bytes(0, 8), 0xe220_a839_7b1d_cdaf_u64.to_le_bytes());
    }
}
