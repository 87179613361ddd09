//! Grouping staged files by SSTable.

use std::collections::BTreeMap;

use tidemark_catalog::slice::StagedFile;

use super::Error;

/// The files of one SSTable.
#[derive(Clone, Debug, PartialEq)]
pub struct StagedSsTable {
    /// Host id of the node that staged it.
    pub host: String,
    /// Version, id and format, for example `nb-1-big`.
    pub name: String,
    /// `Data.db`.
    pub data: StagedFile,
    /// The other components, by name without the SSTable's own, for example `Statistics.db`.
    pub components: BTreeMap<String, StagedFile>,
}

/// The SSTables of one host's staged files, sorted by name.
///
/// # Errors
/// [`Error::Name`], [`Error::Twice`], and [`Error::Incomplete`] where `Data.db` or `Statistics.db` is missing.
pub fn group(host: &str, files: &[StagedFile]) -> Result<Vec<StagedSsTable>, Error> {
    let mut tables: BTreeMap<&str, BTreeMap<String, StagedFile>> = BTreeMap::new();
    for file in files {
        let (table, component) =
            split(&file.name).ok_or_else(|| Error::Name { host: host.to_owned(), file: file.name.clone() })?;
        if tables.entry(table).or_default().insert(component.to_owned(), file.clone()).is_some() {
            return Err(Error::Twice { host: host.to_owned(), file: file.name.clone() });
        }
    }
    tables.into_iter().map(|(name, components)| complete(host, name, components)).collect()
}

fn complete(host: &str, name: &str, mut components: BTreeMap<String, StagedFile>) -> Result<StagedSsTable, Error> {
    let missing = |component| Error::Incomplete { host: host.to_owned(), sstable: name.to_owned(), component };
    let data = components.remove("Data.db").ok_or_else(|| missing("Data.db"))?;
    if !components.contains_key("Statistics.db") {
        return Err(missing("Statistics.db"));
    }
    Ok(StagedSsTable { host: host.to_owned(), name: name.to_owned(), data, components })
}

/// `nb-1-big-Data.db` as (`nb-1-big`, `Data.db`).
fn split(file: &str) -> Option<(&str, &str)> {
    let dash = file.match_indices('-').nth(2)?.0;
    let (table, component) = (&file[..dash], &file[dash + 1..]);
    let parts_there = table.split('-').all(|part| !part.is_empty());
    (parts_there && !component.is_empty()).then_some((table, component))
}
