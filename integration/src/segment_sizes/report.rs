//! Bytes of segments by column, from the files' own metadata.

use std::{collections::BTreeMap, fmt, time::Duration};

use anyhow::Result;
use bytes::Bytes;
use parquet::file::metadata::ParquetMetaDataReader;

/// Greatest share of one compacted replica that the segments of the shop may take.
const GOAL: f64 = 0.50;

/// What was measured.
#[derive(Clone, Debug)]
pub struct Report {
    /// By table.
    pub tables: Vec<TableSizes>,
}

/// Figures of one table.
#[derive(Clone, Debug, Default)]
pub struct TableSizes {
    /// Its name.
    pub name: String,
    /// Bytes of Cassandra's Data.db files.
    pub compacted_bytes: u64,
    /// Bytes of the segments.
    pub stored_bytes: u64,
    /// Records of the segments.
    pub records: u64,
    /// How long it took to read the files and write the segments, on one thread.
    pub took: Duration,
    /// Bytes by column, as stored and as encoded before compression.
    pub(super) columns: BTreeMap<String, (u64, u64)>,
}

impl TableSizes {
    /// Adds the columns of a segment.
    pub(super) fn add(&mut self, segment: &Bytes) -> Result<()> {
        let metadata = ParquetMetaDataReader::new().parse_and_finish(segment)?;
        for column in metadata.row_groups().iter().flat_map(|group| group.columns()) {
            let sizes = self.columns.entry(column.column_path().string()).or_default();
            sizes.0 += u64::try_from(column.compressed_size())?;
            sizes.1 += u64::try_from(column.uncompressed_size())?;
        }
        Ok(())
    }

    fn ratio(&self) -> f64 {
        ratio(self.stored_bytes, self.compacted_bytes)
    }
}

impl Report {
    /// Stored bytes for each byte of Cassandra's own files.
    pub fn ratio(&self) -> f64 {
        ratio(self.sum(|table| table.stored_bytes), self.sum(|table| table.compacted_bytes))
    }

    /// True where the goal is met.
    pub fn holds(&self) -> bool {
        self.ratio() <= GOAL
    }

    fn sum(&self, figure: impl Fn(&TableSizes) -> u64) -> u64 {
        self.tables.iter().map(figure).sum()
    }
}

fn ratio(part: u64, of: u64) -> f64 {
    part as f64 / of.max(1) as f64
}

impl fmt::Display for TableSizes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}: {} records, bytes stored and before compression", self.name, self.records)?;
        let mut columns: Vec<_> = self.columns.iter().collect();
        columns.sort_by_key(|(_, (stored, _))| std::cmp::Reverse(*stored));
        for (name, (stored, encoded)) in columns {
            let each = ratio(*stored, self.records);
            writeln!(f, "{stored:>10} {encoded:>10} {each:>7.2} a record  {name}")?;
        }
        let in_columns = self.columns.values().map(|(stored, _)| stored).sum();
        writeln!(f, "{:>10} beside the columns\n", self.stored_bytes.saturating_sub(in_columns))
    }
}

impl fmt::Display for Report {
    /// Columns for people, then lines of name, value and goal, separated by tabs.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for table in &self.tables {
            write!(f, "{table}")?;
        }
        for table in &self.tables {
            writeln!(f, "{} stored/compacted\t{:.3}\t-", table.name, table.ratio())?;
        }
        let seconds: f64 = self.tables.iter().map(|table| table.took.as_secs_f64()).sum();
        let rate = self.sum(|table| table.records) as f64 / seconds.max(1e-9);
        writeln!(f, "records/s on one thread\t{rate:.0}\t-")?;
        writeln!(f, "stored bytes\t{}\t-", self.sum(|table| table.stored_bytes))?;
        write!(f, "stored/compacted\t{:.3}\t<= {GOAL:.2}", self.ratio())
    }
}
