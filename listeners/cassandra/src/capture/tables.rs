//! What is shipped of a table: `<sstable>/<component>` in the table's folder, data that Cassandra did not compress in frames.

use std::collections::BTreeSet;

use tidemark_catalog::slice::{Encoding, SliceObject};
use tidemark_listener_core::ship::{self, Item, LocalFile, Parcel, Shipper};

use super::{
    names::SstableFile,
    snapshot::{FileRecord, TableRecord},
};

/// Ships the files of one table that are `listed` on disk; a table that cannot be read, or has other files than recorded, is
/// an answer, not an error.
pub(super) async fn ship(
    shipper: &Shipper<'_>,
    table: &TableRecord,
    listed: Result<Vec<LocalFile>, String>,
) -> Result<SliceObject, ship::Error> {
    let listed = listed.and_then(|files| match same(&files, &table.files) {
        true => Ok(parcels(files)),
        false => Err("files of the snapshot changed while it was shipped".to_owned()),
    });
    let item = Item { object: table.object.clone(), object_id: table.id.clone(), folder: table.id.clone() };
    shipper.object(&item, listed).await
}

fn same(files: &[LocalFile], records: &[FileRecord]) -> bool {
    let pairs = files.iter().zip(records);
    files.len() == records.len()
        && pairs.into_iter().all(|(file, record)| file.name == record.name && file.size == record.size)
}

/// Where each file goes below the table's folder, and how: `<sstable>/<component>`.
fn parcels(files: Vec<LocalFile>) -> Vec<Parcel> {
    let stem = |file: &LocalFile, component| {
        let parsed = SstableFile::parse(&file.name).filter(|parsed| parsed.component == component);
        parsed.map(|parsed| parsed.stem.to_owned())
    };
    let compressed: BTreeSet<String> = files.iter().filter_map(|file| stem(file, "CompressionInfo.db")).collect();
    let parcel = |file: LocalFile| {
        let parsed = SstableFile::parse(&file.name)?;
        let plain = parsed.component != "Data.db" || compressed.contains(parsed.stem);
        let encoding = if plain { Encoding::Plain } else { Encoding::Zstd };
        let place = format!("{}/{}", parsed.stem, parsed.component);
        Some(Parcel { file, encoding, place })
    };
    // Only files of SSTables are listed.
    files.into_iter().filter_map(parcel).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(names: &[&str]) -> Vec<LocalFile> {
        names.iter().map(|name| LocalFile { path: name.into(), name: (*name).to_owned(), size: 9 }).collect()
    }

    fn places(names: &[&str]) -> Vec<(String, Encoding)> {
        parcels(files(names)).into_iter().map(|parcel| (parcel.place, parcel.encoding)).collect()
    }

    #[test]
    fn compressed_tables_go_as_they_are_under_names_of_their_parts() {
        let expected = [("nb-1-big/Data.db", Encoding::Plain), ("nb-1-big/CompressionInfo.db", Encoding::Plain)];
        let expected = expected.map(|(place, encoding)| (place.to_owned(), encoding));
        assert_eq!(places(&["nb-1-big-Data.db", "nb-1-big-CompressionInfo.db"]), expected);
    }

    #[test]
    fn data_of_uncompressed_sstables_goes_in_frames() {
        let names = ["nb-1-big-Data.db", "nb-1-big-CRC.db", "nb-2-big-Data.db", "nb-2-big-CompressionInfo.db"];
        let encodings: Vec<Encoding> = places(&names).into_iter().map(|(_, encoding)| encoding).collect();
        assert_eq!(encodings, [Encoding::Zstd, Encoding::Plain, Encoding::Plain, Encoding::Plain]);
    }

    #[test]
    fn files_that_were_not_recorded_are_not_shipped_for_those_that_were() {
        let record = |name: &str, size| FileRecord { name: name.to_owned(), size };
        assert!(same(&files(&["a"]), &[record("a", 9)]));
        for other in [vec![], vec![record("b", 9)], vec![record("a", 8)], vec![record("a", 9), record("b", 9)]] {
            assert!(!same(&files(&["a"]), &other), "{other:?}");
        }
    }
}
