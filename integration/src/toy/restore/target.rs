//! An object at the destination: its directory in every replica.

use std::{fs, path::PathBuf};

use tidemark_catalog::ids::ObjectName;
use tidemark_gateway::Digest;
use tidemark_listener_core::failure::Failure;
use tidemark_records::restore::checkpoint::Counts;

use crate::toy::{
    OTHER, away,
    capture::blocking,
    record::Record,
    replica::{self, Error},
    snapshot::write_whole,
    spec::Specification,
};

/// An object's directories, one in each replica.
#[derive(Clone, Debug)]
pub(super) struct Target {
    replicas: Vec<PathBuf>,
    object: String,
}

impl Target {
    /// The object of this name; why there can be none.
    pub(super) fn of(destination: &Specification, name: &ObjectName) -> Result<Self, &'static str> {
        let [object] = name.parts() else { return Err("an object is one directory") };
        if object.starts_with('.') || object.contains(['/', '\0']) || object.len() > 255 {
            return Err("no directory can be called so");
        }
        let replicas = destination.replicas.iter().map(|replica| replica.directory.clone()).collect();
        Ok(Self { replicas, object: object.clone() })
    }

    /// True where no replica has a document of it.
    pub(super) async fn is_empty(&self) -> Result<bool, Failure> {
        let own = self.clone();
        blocking(move || {
            own.replicas
                .iter()
                .try_fold(true, |empty, replica| Ok(replica::documents(replica, &own.object)?.is_empty() && empty))
        })
        .await
    }

    /// True where its directory is in every replica.
    pub(super) fn is_there(&self) -> bool {
        self.directories().all(|directory| directory.is_dir())
    }

    /// Makes its directories.
    pub(super) async fn make(&self) -> Result<(), Failure> {
        let own = self.clone();
        blocking(move || own.directories().try_for_each(|path| fs::create_dir_all(&path).map_err(Error::at(&path))))
            .await
    }

    /// Writes records into every replica; what is there and wins stays.
    pub(super) async fn write(self, records: Vec<Record>) -> Result<Counts, Failure> {
        blocking(move || {
            for path in self.directories() {
                records.iter().try_for_each(|record| put(&path.join(file_name(record)), record))?;
            }
            Ok(Counts { written: records.len() as u64, ..Counts::default() })
        })
        .await
    }

    /// Reads records back from every replica.
    pub(super) async fn compare(self, records: Vec<Record>) -> Result<Counts, Failure> {
        let compared = tokio::task::spawn_blocking(move || {
            let mut counts = Counts::default();
            for record in &records {
                let newer = self.directories().try_fold(false, |newer, directory| {
                    Ok::<_, Failure>(is_newer(&directory.join(file_name(record)), record)? || newer)
                })?;
                *(if newer { &mut counts.newer } else { &mut counts.verified }) += 1;
            }
            Ok(counts)
        });
        compared.await.map_err(|ended| Failure::new(OTHER, ended.to_string()))?
    }

    fn directories(&self) -> impl Iterator<Item = PathBuf> {
        self.replicas.iter().map(|replica| replica.join(&self.object))
    }
}

/// The document's name: of the key alone.
fn file_name(record: &Record) -> String {
    format!("{}.json", Digest::of(record.key.as_bytes()))
}

fn put(path: &std::path::Path, record: &Record) -> Result<(), Error> {
    match replica::read_document(path)? {
        Some(there) if there.key == record.key && !record.beats(&there) => Ok(()),
        _ => write_whole(path, &record.to_document()),
    }
}

/// False where the document is the record, true where it is a newer one of its key.
fn is_newer(path: &std::path::Path, record: &Record) -> Result<bool, Failure> {
    match replica::read_document(path).map_err(|error| away(&error))? {
        Some(there) if there == *record => Ok(false),
        Some(there) if there.key == record.key && there.beats(record) => Ok(true),
        _ => {
            let words = format!("key {}: {} is not what was written", record.key, path.display());
            Err(Failure::new(OTHER, words).with_hint("see to the destination's disk, and restore again"))
        }
    }
}
