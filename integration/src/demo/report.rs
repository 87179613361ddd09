//! The table at the end of the demo.

use std::{collections::BTreeSet, fmt, fs, path::Path};

use anyhow::{Context, Result};
use comfy_table::{CellAlignment, Table, presets::UTF8_FULL_CONDENSED};

use super::undo::Undone;
use crate::compare::digest::Differences;

/// Everything that the demo saw.
#[derive(Clone, Debug)]
pub struct Report {
    /// Live rows at the capture.
    pub rows: u64,
    /// Bytes of the files that three replicas held at the capture.
    pub replica_bytes: u64,
    /// Bytes that listeners uploaded.
    pub shipped_bytes: u64,
    /// Bytes of the segments.
    pub stored_bytes: u64,
    /// Bytes of one replica's Data.db files after Cassandra's own major compaction.
    pub compacted_bytes: u64,
    /// Rows on which replicas disagreed, found.
    pub disagreements: u64,
    /// Rows that one replica missed a write of, as the load knows.
    pub missed: u64,
    /// Seconds that the protect operation took.
    pub protect_seconds: f64,
    /// Seconds that the restore operation took.
    pub restore_seconds: f64,
    /// Rows read back and compared.
    pub compared: usize,
    /// What differed.
    pub differences: Differences,
    /// The undo in place.
    pub undone: Undone,
}

/// Most rows that the undo in place may write, of a thousand: about 20 are damaged.
const UNDO_PER_MILLE: u64 = 21;

impl Report {
    /// True where the restored rows are those read before the damage, and the disagreements are those that were made.
    pub fn holds(&self) -> bool {
        let elsewhere = self.differences.is_empty() && self.compared > 0 && self.disagreements == self.missed;
        elsewhere && self.undo_holds()
    }

    /// True where the damaged cluster shows again what it showed before, and little was written for it.
    fn undo_holds(&self) -> bool {
        let Undone { written, untouched, differences, .. } = &self.undone;
        let few = *written > 0 && written * 1_000 <= self.rows * UNDO_PER_MILLE;
        few && differences.is_empty() && written + untouched >= self.rows
    }

    /// Stored bytes for each byte of one compacted replica.
    pub fn ratio(&self) -> f64 {
        self.stored_bytes as f64 / self.compacted_bytes.max(1) as f64
    }

    fn lines(&self) -> Vec<(&'static str, String)> {
        let undone = &self.undone;
        let rate = self.rows as f64 / self.restore_seconds.max(0.001);
        vec![
            ("live rows", count(self.rows)),
            ("files of the three replicas", mebibytes(self.replica_bytes)),
            ("shipped by the listeners", mebibytes(self.shipped_bytes)),
            ("stored, one copy of every row", mebibytes(self.stored_bytes)),
            ("one replica compacted by Cassandra (LZ4)", mebibytes(self.compacted_bytes)),
            ("stored ÷ one compacted replica", format!("{:.2} (goal ≤ 0.50)", self.ratio())),
            (
                "rows on which replicas disagreed",
                format!("{} found, {} made", count(self.disagreements), count(self.missed)),
            ),
            ("protect: capture, collapse, commit", format!("{:.1} s", self.protect_seconds)),
            ("restore into another topology", format!("{:.1} s, {} rows/s", self.restore_seconds, count(rate as u64))),
            ("rows compared with before the incident", count(self.compared as u64)),
            ("equal, with write times and TTLs", verdict(self.differences)),
            ("undo in place, with its safety version", format!("{:.1} s, {}", undone.seconds, undone.safety)),
            (
                "rows read, written, untouched",
                format!(
                    "{}, {} ({:.2} %, goal ≤ 2.10 %), {}",
                    count(undone.read),
                    count(undone.written),
                    undone.written as f64 * 100.0 / self.rows.max(1) as f64,
                    count(undone.untouched)
                ),
            ),
            ("equal to before the incident", verdict(undone.differences)),
        ]
    }
}

fn verdict(differences: Differences) -> String {
    let Differences { missing, unexpected, changed } = differences;
    if differences.is_empty() {
        return "yes".to_owned();
    }
    format!("NO: {missing} missing, {unexpected} unexpected, {changed} changed")
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut table = Table::new();
        table.load_preset(UTF8_FULL_CONDENSED);
        self.lines().into_iter().for_each(|(name, value)| {
            table.add_row([name.to_owned(), value]);
        });
        if let Some(column) = table.column_mut(1) {
            column.set_cell_alignment(CellAlignment::Right);
        }
        write!(f, "{table}")
    }
}

/// Sizes of the Data.db files of a keyspace below a node's data directory, snapshots not counted.
///
/// # Errors
/// Where a directory cannot be read.
pub(super) fn data_files(data_dir: &Path, keyspace: &str) -> Result<Vec<u64>> {
    let mut sizes = Vec::new();
    for table in fs::read_dir(data_dir.join(keyspace)).context("keyspace directory")? {
        for file in fs::read_dir(table?.path())? {
            let file = file?;
            if file.file_name().to_string_lossy().ends_with("-Data.db") {
                // One that vanishes under the look is one that compaction replaced.
                sizes.extend(file.metadata().map(|metadata| metadata.len()).ok());
            }
        }
    }
    Ok(sizes)
}

/// A number with its digits in groups of three.
pub(super) fn count(number: u64) -> String {
    let digits = number.to_string();
    let starts: BTreeSet<usize> =
        (0..digits.len()).filter(|place| place % 3 == digits.len() % 3 && *place > 0).collect();
    digits
        .char_indices()
        .flat_map(|(place, digit)| starts.contains(&place).then_some(',').into_iter().chain([digit]))
        .collect()
}

fn mebibytes(bytes: u64) -> String {
    format!("{:.1} MiB", bytes as f64 / f64::from(1 << 20))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped() {
        assert_eq!(count(7), "7");
        assert_eq!(count(123_456), "123,456");
        assert_eq!(count(1_234_567), "1,234,567");
    }
}
