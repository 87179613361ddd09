//! The replicas as we collapse them, the compacted table, and what they differ in.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    sync::Arc,
};

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use tidemark_cassandra_format::{
    io::FileReader,
    model::{Marker, PartitionReader, Unfiltered},
    schema::TableSchema,
    sstable::{ReadOptions, SsTableFiles, SsTableReader},
};
use tidemark_listener_cassandra::{
    collapse::{Collapse, CollapseOptions, ReplicaInput},
    merge::{MemoryReader, MergeReader},
    normal::{Differences, Relation},
};

use super::tally::Tally;

/// Differences of one table that are shown.
const SHOWN: usize = 3;

/// What is compared.
pub(crate) struct Compared {
    pub(crate) schema: Arc<TableSchema>,
    /// Directories of the files of each replica.
    pub(crate) replicas: Vec<Vec<PathBuf>>,
    /// Directory of what Cassandra made of them.
    pub(crate) compacted: PathBuf,
    pub(crate) at_seconds: u32,
    pub(crate) relation: Relation,
    pub(crate) purge_before_seconds: u32,
}

/// Compares, and adds to the tally.
pub(crate) fn run(of: &Compared, tally: &mut Tally) -> Result<()> {
    let mut walk = Differences::new(Arc::clone(&of.schema), of.ours()?, of.theirs()?, of.at_seconds);
    let mut shown = 0;
    while let Some(found) = walk.next()? {
        if of.relation.allows(&found, of.at_seconds) {
            tally.purged += 1;
        } else if shown < SHOWN {
            tally.differences.push(format!("ours (left) against Cassandra's: {found:?}"));
            shown += 1;
        }
    }
    if of.relation == Relation::Equal {
        of.compare_markers(tally)?;
    }
    of.note_files(tally)?;
    of.count(tally)
}

impl Compared {
    /// What we make of the replicas.
    fn ours(&self) -> Result<Collapse<MergeReader<SsTableReader>>> {
        let replicas = self.replicas.iter().enumerate().map(|(replica, directories)| -> Result<_> {
            let tables = directories.iter().map(|directory| sstables(directory, &self.schema));
            let tables: Vec<_> = tables.collect::<Result<Vec<_>>>()?.into_iter().flatten().collect();
            let reader = MergeReader::new(Arc::clone(&self.schema), tables);
            Ok(ReplicaInput { host: replica.to_string(), reader, owns: Arc::new(|_| true) })
        });
        let options = CollapseOptions { now_seconds: self.at_seconds, cut_from_micros: i64::MAX };
        Ok(Collapse::new(Arc::clone(&self.schema), replicas.collect::<Result<_>>()?, options))
    }

    /// What Cassandra made of them: one SSTable, or none where all was purged.
    fn made(&self) -> Result<Vec<SsTableReader>> {
        let made = sstables(&self.compacted, &self.schema)?;
        ensure!(made.len() <= 1, "{} SSTables after a compaction of all", made.len());
        Ok(made)
    }

    /// Notes formats and compressors.
    fn note_files(&self, tally: &mut Tally) -> Result<()> {
        for directory in self.replicas.iter().flatten() {
            for name in names(directory)? {
                tally.read.insert(format_of(&name)?);
                tally.compressors.insert(compressor(directory, &name)?);
            }
        }
        for name in names(&self.compacted)? {
            tally.made.insert(format_of(&name)?);
        }
        Ok(())
    }

    fn theirs(&self) -> Result<MergeReader<SsTableReader>> {
        Ok(MergeReader::new(Arc::clone(&self.schema), self.made()?))
    }

    /// Before any normal form, range tombstones come out of both merges in the same markers: as few, of the same kinds, at the
    /// same places.
    fn compare_markers(&self, tally: &mut Tally) -> Result<()> {
        let ours = markers(self.ours()?)?;
        let theirs = self.made()?.into_iter().map(markers).collect::<Result<Vec<_>, _>>()?.concat();
        let differ = |((key, left), (other, right)): (&Placed, &Placed)| {
            let moved = self.schema.compare_positions(left.position(), right.position()).is_ne();
            key != other || moved || (left.kind, left.close, left.open) != (right.kind, right.close, right.open)
        };
        if ours.len() != theirs.len() {
            tally.differences.push(format!("{} markers in ours, {} in Cassandra's", ours.len(), theirs.len()));
        } else if let Some((left, right)) = ours.iter().zip(&theirs).find(|pair| differ(*pair)) {
            tally.differences.push(format!("marker in ours {left:?}, in Cassandra's {right:?}"));
        }
        tally.markers(ours.into_iter().map(|(_, marker)| marker.kind));
        Ok(())
    }

    /// Counts all atoms of both, and holds Cassandra to its word: what may be purged is purged.
    fn count(&self, tally: &mut Tally) -> Result<()> {
        let nothing = MemoryReader::default();
        let mut ours = Differences::new(Arc::clone(&self.schema), self.ours()?, nothing.clone(), self.at_seconds);
        while let Some(atom) = ours.next()? {
            tally.count(&atom, self.at_seconds);
        }
        let mut theirs = Differences::new(Arc::clone(&self.schema), self.theirs()?, nothing, self.at_seconds);
        while let Some(atom) = theirs.next()? {
            if atom.is_purgeable(self.at_seconds, self.purge_before_seconds) {
                tally.differences.push(format!("not purged by the compaction: {atom:?}"));
            }
        }
        Ok(())
    }
}

/// A marker and the token and key of its partition.
type Placed = ((i64, Bytes), Marker);

fn markers<R: PartitionReader>(mut reader: R) -> Result<Vec<Placed>, R::Error> {
    let mut found = Vec::new();
    while let Some(partition) = reader.next_partition()? {
        while let Some(next) = reader.next_unfiltered()? {
            if let Unfiltered::Marker(marker) = next {
                found.push(((partition.token, partition.key.clone()), marker));
            }
        }
    }
    Ok(found)
}

/// All SSTables of a directory. Their names say nothing of the directory, so errors do.
fn sstables(directory: &Path, schema: &Arc<TableSchema>) -> Result<Vec<SsTableReader>> {
    let opened = names(directory)?.into_iter().map(|name| {
        open(directory, &name, schema).with_context(|| format!("SSTable {name} in {}", directory.display()))
    });
    opened.collect()
}

/// Names of all SSTables of a directory, as `nb-1-big`.
fn names(directory: &Path) -> Result<Vec<String>> {
    let files = fs::read_dir(directory).with_context(|| format!("files in {}", directory.display()))?;
    let files = files.map(|file| Ok(file?.file_name().to_string_lossy().into_owned())).collect::<Result<Vec<_>>>()?;
    Ok(files.iter().filter_map(|file| file.strip_suffix("-Data.db")).map(str::to_owned).collect())
}

/// Version and format of a name, without the number.
fn format_of(name: &str) -> Result<String> {
    let (version, rest) = name.split_once('-').with_context(|| name.to_owned())?;
    let (_, format) = rest.rsplit_once('-').with_context(|| name.to_owned())?;
    Ok(format!("{version}-{format}"))
}

/// The compressor's class, with which CompressionInfo.db starts after its length; `none` where there is no such file.
fn compressor(directory: &Path, name: &str) -> Result<String> {
    let info = directory.join(format!("{name}-CompressionInfo.db"));
    if !info.is_file() {
        return Ok("none".to_owned());
    }
    let bytes = fs::read(&info)?;
    let length = bytes.first_chunk::<2>().map_or(0, |length| usize::from(u16::from_be_bytes(*length)));
    let class = bytes.get(2..2 + length).with_context(|| format!("{} is cut", info.display()))?;
    Ok(String::from_utf8(class.to_vec())?)
}

fn open(directory: &Path, name: &str, schema: &Arc<TableSchema>) -> Result<SsTableReader> {
    let path = |component: &str| directory.join(format!("{name}-{component}"));
    let optional = |component: &str| path(component).is_file().then(|| fs::read(path(component)).map(Bytes::from));
    let files = SsTableFiles {
        name: name.to_owned(),
        data: Box::new(FileReader::new(File::open(path("Data.db"))?)?),
        statistics: fs::read(path("Statistics.db"))?.into(),
        compression_info: optional("CompressionInfo.db").transpose()?,
        crc: optional("CRC.db").transpose()?,
        digest: optional("Digest.crc32").transpose()?,
        toc: optional("TOC.txt").transpose()?,
    };
    Ok(SsTableReader::open(files, Arc::clone(schema), ReadOptions::default())?)
}
