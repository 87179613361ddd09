//! Files of a snapshot on the node's disk.
//!
//! Cassandra lists the data files of a snapshot in the snapshot's own `manifest.json`. A file that is listed there but not
//! found means that a data directory was not named to the listener: the table is then unreadable, never smaller.

use std::{
    collections::BTreeSet,
    fs, io,
    path::{Path, PathBuf},
};

use serde::Deserialize;
use tidemark_cassandra_format::sstable::Descriptor;
use tidemark_listener_core::{ship::LocalFile, tags};

use super::names::{SHIPPED, SstableFile, is_plain};

/// Most bytes of a snapshot's manifest.
const MANIFEST_BYTES: u64 = 64 << 20;

/// A table on disk.
#[derive(Clone, Copy, Debug)]
pub(super) struct TableOnDisk<'a> {
    pub(super) keyspace: &'a str,
    pub(super) table: &'a str,
    /// 32 hex digits.
    pub(super) id: &'a str,
}

impl TableOnDisk<'_> {
    /// Its directory in each of the node's data directories; `None` where its names are no names of a table.
    pub(super) fn directories(&self, data_directories: &[PathBuf]) -> Option<Vec<PathBuf>> {
        let safe = [self.keyspace, self.table, self.id].into_iter().all(is_plain);
        let directory = |data: &PathBuf| data.join(self.keyspace).join(format!("{}-{}", self.table, self.id));
        safe.then(|| data_directories.iter().map(directory).collect())
    }
}

/// Part of `manifest.json` that counts.
#[derive(Deserialize)]
struct Manifest {
    files: Vec<String>,
}

/// The files to ship of a table's snapshot, in shipping order: by SSTable, then as [`SHIPPED`]. Blocking.
///
/// # Errors
/// The reason, for people, why the table cannot be captured.
pub(super) fn snapshot(data: &[PathBuf], table: TableOnDisk<'_>, tag: &str) -> Result<Vec<LocalFile>, String> {
    let directories = table.directories(data).ok_or_else(|| "the table's name cannot be a directory".to_owned())?;
    let directories: Vec<PathBuf> = directories.into_iter().map(|table| table.join("snapshots").join(tag)).collect();
    let mut files = Vec::new();
    let mut listed: Option<BTreeSet<String>> = None;
    for directory in directories.iter().filter(|directory| directory.is_dir()) {
        files.extend(list(directory).map_err(|error| reason("list", directory, &error))?);
        if let Some(manifest) = manifest(&directory.join("manifest.json"))? {
            listed.get_or_insert_default().extend(manifest.files);
        }
    }
    let listed = listed.ok_or_else(|| unlisted(&directories, tag))?;
    readable(&files)?;
    complete(&files, &listed)?;
    files.sort_by_cached_key(|file| order(&file.name));
    Ok(files)
}

/// Why it is not known what a snapshot holds.
fn unlisted(directories: &[PathBuf], tag: &str) -> String {
    match directories.iter().find(|directory| directory.is_dir()) {
        Some(directory) => format!("manifest.json is missing in {}", directory.display()),
        None => format!("no snapshot {tag} of the table in the node's data directories"),
    }
}

fn reason(verb: &str, path: &Path, error: &dyn std::fmt::Display) -> String {
    format!("{verb} {}: {error}", path.display())
}

/// The files of `directory` that are shipped; directories of secondary indexes are left out.
fn list(directory: &Path) -> io::Result<Vec<LocalFile>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let Ok(name) = entry.file_name().into_string() else { continue };
        let shipped = SstableFile::parse(&name).is_some_and(|file| SHIPPED.contains(&file.component));
        // Metadata of the entry itself: a link to elsewhere is not a file of Cassandra's.
        let metadata = entry.metadata()?;
        if shipped && metadata.is_file() {
            files.push(LocalFile { path: entry.path(), name, size: metadata.len() });
        }
    }
    Ok(files)
}

fn manifest(path: &Path) -> Result<Option<Manifest>, String> {
    match fs::metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(reason("read", path, &error)),
        Ok(metadata) if metadata.len() > MANIFEST_BYTES => return Err(reason("read", path, &"too large")),
        Ok(_) => {}
    }
    let bytes = fs::read(path).map_err(|error| reason("read", path, &error))?;
    serde_json::from_slice(&bytes).map(Some).map_err(|error| reason("read", path, &error))
}

/// Refuses a snapshot with a file of a format that is not read, before anything of it is shipped.
fn readable(files: &[LocalFile]) -> Result<(), String> {
    let parsed = files.iter().filter_map(|file| Some((file, SstableFile::parse(&file.name)?)));
    let foreign: Vec<_> =
        parsed.filter(|(file, parsed)| parsed.component == "Data.db" && !is_read(&file.name)).collect();
    let Some((first, parsed)) = foreign.iter().min_by_key(|(file, _)| &file.name) else { return Ok(()) };
    let more = if foreign.len() > 1 { format!(", and {} more files", foreign.len() - 1) } else { String::new() };
    let (name, version, format) = (&first.name, parsed.version, parsed.format);
    Err(format!(
        "{name} is of format {version}-{format} that is not read{more}; nodetool upgradesstables rewrites old ones"
    ))
}

/// Proves that each data file of the snapshot was found, with what is needed to read it.
fn complete(files: &[LocalFile], listed: &BTreeSet<String>) -> Result<(), String> {
    let found: BTreeSet<&str> = files.iter().map(|file| file.name.as_str()).collect();
    // Names with a directory belong to secondary indexes.
    let wanted = listed.iter().filter(|name| !name.contains('/'));
    if let Some(missing) = wanted.into_iter().find(|name| !found.contains(name.as_str())) {
        return Err(format!("{missing} is in the snapshot but in none of the listener's data directories"));
    }
    for file in files {
        let stem = SstableFile::parse(&file.name).map_or("", |file| file.stem);
        let absent = ["Data.db", "Statistics.db"].map(|component| format!("{stem}-{component}"));
        if let Some(absent) = absent.iter().find(|name| !found.contains(name.as_str())) {
            return Err(format!("{absent} is missing beside {}", file.path.display()));
        }
    }
    Ok(())
}

fn order(name: &str) -> (String, usize) {
    let Some(file) = SstableFile::parse(name) else { return (name.to_owned(), 0) };
    let rank = SHIPPED.iter().position(|component| *component == file.component);
    (file.stem.to_owned(), rank.unwrap_or(SHIPPED.len()))
}

/// What lies in the table's directories now: formats of SSTables that are not read, and tags of our own snapshots. Blocking.
///
/// # Errors
/// The first directory that exists but cannot be listed.
pub(super) fn survey(data: &[PathBuf], table: TableOnDisk<'_>) -> io::Result<Survey> {
    let mut survey = Survey::default();
    for directory in table.directories(data).unwrap_or_default() {
        if !directory.is_dir() {
            continue;
        }
        survey.found = true;
        for name in names(&directory)? {
            let data_file = SstableFile::parse(&name).filter(|file| file.component == "Data.db");
            let unread = data_file.filter(|_| !is_read(&name));
            survey.unread.extend(unread.map(|file| format!("{}-{}", file.version, file.format)));
        }
        let snapshots = directory.join("snapshots");
        let tags = if snapshots.is_dir() { names(&snapshots)? } else { Vec::new() };
        survey.tags.extend(tags.into_iter().filter(|tag| tag.starts_with(tags::PREFIX)));
    }
    Ok(survey)
}

/// Whether an SSTable's format can be decoded, by what its file is called. What the server's version is says nothing: 5.0
/// writes three formats, and a table keeps files of older ones until they are compacted.
fn is_read(name: &str) -> bool {
    Descriptor::parse(name).is_ok_and(|(descriptor, _)| descriptor.supported().is_ok())
}

/// What lies in a table's directories.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Survey {
    /// A directory of the table exists.
    pub(super) found: bool,
    /// Versions and formats of SSTables that cannot be decoded, for example `me-big`.
    pub(super) unread: BTreeSet<String>,
    /// Tags of our own snapshots.
    pub(super) tags: BTreeSet<String>,
}

fn names(directory: &Path) -> io::Result<Vec<String>> {
    fs::read_dir(directory)?.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: TableOnDisk<'static> = TableOnDisk { keyspace: "shop", table: "orders", id: "00ff" };

    struct Disk {
        root: tempfile::TempDir,
    }

    impl Disk {
        fn new() -> Self {
            Self { root: tempfile::tempdir().unwrap() }
        }

        fn data(&self) -> Vec<PathBuf> {
            ["a", "b"].map(|name| self.root.path().join(name)).to_vec()
        }

        fn snapshot(&self, data: &str, names: &[&str]) {
            let directory = self.root.path().join(data).join("shop/orders-00ff/snapshots/tidemark-t");
            fs::create_dir_all(&directory).unwrap();
            for name in names {
                fs::write(directory.join(name), name).unwrap();
            }
        }

        fn manifest(&self, data: &str, files: &[&str]) {
            self.snapshot(data, &[]);
            let directory = self.root.path().join(data).join("shop/orders-00ff/snapshots/tidemark-t");
            fs::write(
                directory.join("manifest.json"),
                serde_json::json!({ "files": files, "ephemeral": false }).to_string(),
            )
            .unwrap();
        }

        fn list(&self) -> Result<Vec<String>, String> {
            let files = snapshot(&self.data(), TABLE, "tidemark-t")?;
            Ok(files.into_iter().map(|file| file.name).collect())
        }
    }

    #[test]
    fn files_of_all_data_directories_are_listed_in_order() {
        let disk = Disk::new();
        disk.snapshot("a", &["nb-2-big-Statistics.db", "nb-2-big-Data.db", "nb-2-big-Filter.db", "schema.cql"]);
        disk.snapshot("b", &["nb-1-big-Data.db", "nb-1-big-Statistics.db", "nb-1-big-TOC.txt"]);
        disk.manifest("a", &["nb-2-big-Data.db", "nb-1-big-Data.db", ".idx/nb-1-big-Data.db"]);
        let expected = [
            "nb-1-big-Data.db",
            "nb-1-big-Statistics.db",
            "nb-1-big-TOC.txt",
            "nb-2-big-Data.db",
            "nb-2-big-Statistics.db",
        ];
        assert_eq!(disk.list().unwrap(), expected);
    }

    #[test]
    fn a_table_without_files_is_empty_and_not_unreadable() {
        let disk = Disk::new();
        disk.manifest("a", &[]);
        assert!(disk.list().unwrap().is_empty());
    }

    #[test]
    fn a_table_without_a_snapshot_is_unreadable() {
        let reason = Disk::new().list().unwrap_err();
        assert!(reason.contains("no snapshot tidemark-t"), "{reason}");
    }

    #[test]
    fn a_snapshot_without_a_manifest_is_unreadable() {
        let disk = Disk::new();
        disk.snapshot("a", &["nb-1-big-Data.db", "nb-1-big-Statistics.db"]);
        assert!(disk.list().unwrap_err().starts_with("manifest.json is missing in "));
    }

    #[test]
    fn a_file_in_a_directory_that_was_not_named_is_missed() {
        let disk = Disk::new();
        disk.snapshot("a", &["nb-1-big-Data.db", "nb-1-big-Statistics.db"]);
        disk.manifest("a", &["nb-1-big-Data.db", "nb-2-big-Data.db"]);
        let reason = disk.list().unwrap_err();
        assert!(reason.contains("nb-2-big-Data.db"), "{reason}");
    }

    #[test]
    fn an_sstable_without_statistics_is_unreadable() {
        let disk = Disk::new();
        disk.snapshot("a", &["nb-1-big-Data.db"]);
        disk.manifest("a", &["nb-1-big-Data.db"]);
        assert!(disk.list().unwrap_err().contains("nb-1-big-Statistics.db is missing"));
    }

    #[test]
    fn a_file_of_a_foreign_format_makes_the_table_unreadable_by_name() {
        for (foreign, format) in
            [("mc-7-big", " mc-big "), ("me-3gto_1bxq_1wpv52uj-big", " me-big "), ("zz-1-xyz", "zz-xyz")]
        {
            let disk = Disk::new();
            disk.snapshot("a", &["nb-1-big-Data.db", "nb-1-big-Statistics.db"]);
            let name = format!("{foreign}-Data.db");
            disk.snapshot("b", &[&name, &format!("{foreign}-Statistics.db")]);
            disk.manifest("a", &["nb-1-big-Data.db", &name]);
            let reason = disk.list().unwrap_err();
            assert!(reason.starts_with(&name) && reason.contains(format), "{reason}");
        }
        let disk = Disk::new();
        disk.snapshot("a", &["mc-1-big-Data.db", "mc-2-big-Data.db"]);
        disk.manifest("a", &["mc-1-big-Data.db", "mc-2-big-Data.db"]);
        let reason = disk.list().unwrap_err();
        assert!(reason.starts_with("mc-1-big-Data.db") && reason.contains("and 1 more"), "{reason}");
    }

    #[test]
    fn a_damaged_manifest_is_no_empty_table() {
        let disk = Disk::new();
        disk.snapshot("a", &["manifest.json"]);
        assert!(disk.list().unwrap_err().contains("manifest.json"));
    }

    #[test]
    fn names_that_lead_elsewhere_are_refused() {
        let table = TableOnDisk { keyspace: "..", ..TABLE };
        assert_eq!(table.directories(&[PathBuf::from("/data")]), None);
    }

    #[test]
    fn a_survey_names_formats_that_are_not_read_and_our_snapshots() {
        let disk = Disk::new();
        disk.snapshot("a", &[]);
        let names = ["nb-1-big", "oa-2-big", "da-3h5t_19io_3q6962n8ijzo7awcgn-bti", "me-4-big", "ea-5-bti"];
        for name in names {
            fs::write(disk.data()[0].join(format!("shop/orders-00ff/{name}-Data.db")), "x").unwrap();
        }
        let survey = survey(&disk.data(), TABLE).unwrap();
        assert!(survey.found && survey.tags.contains("tidemark-t"));
        assert_eq!(survey.unread.into_iter().collect::<Vec<_>>(), ["ea-bti", "me-big"]);
    }

    #[test]
    fn the_files_of_both_formats_are_shipped_without_their_indexes() {
        let disk = Disk::new();
        let bti = "da-3h5t_19io_3q6962n8ijzo7awcgn-bti";
        let of = |stem: &str, components: &[&str]| components.iter().map(|c| format!("{stem}-{c}")).collect::<Vec<_>>();
        let shipped = ["Data.db", "Statistics.db", "CompressionInfo.db", "Digest.crc32", "TOC.txt"];
        let left_out =
            [of(bti, &["Partitions.db", "Rows.db", "Filter.db"]), of("oa-7-big", &["Index.db", "Summary.db"])];
        let expected = [of(bti, &shipped), of("oa-7-big", &shipped)].concat();
        for name in left_out.iter().flatten().chain(&expected) {
            disk.snapshot("a", &[name.as_str()]);
        }
        disk.manifest("a", &[&format!("{bti}-Data.db"), "oa-7-big-Data.db"]);
        assert_eq!(disk.list().unwrap(), expected);
    }
}
