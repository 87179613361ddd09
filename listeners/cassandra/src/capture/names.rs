//! Names: patterns of objects, files of SSTables.

use tidemark_catalog::pattern::Patterns;

use super::error::Error;

/// Components that are shipped, in shipping order, the same for both formats. Indexes (`Index.db` and `Summary.db` of
/// `big`, the tries `Partitions.db` and `Rows.db` of `bti`) and filters can be made again from the data, and a scan of it
/// meets everything without them.
pub(super) const SHIPPED: [&str; 6] =
    ["Data.db", "Statistics.db", "CompressionInfo.db", "CRC.db", "Digest.crc32", "TOC.txt"];

/// The patterns of a capture or a check: of tables, so that each has two parts.
///
/// # Errors
/// [`Error::Pattern`] and [`Error::Depth`] for the first text that is no pattern.
pub(super) fn patterns(objects: &[String], excludes: &[String]) -> Result<Patterns, Error> {
    let patterns = Patterns::parse(objects).and_then(|patterns| patterns.without(excludes)).map_err(Error::Pattern)?;
    let other = patterns.iter().find(|pattern| pattern.depth() != 2).map(ToString::to_string);
    other.map_or(Ok(patterns), |other| Err(Error::Depth(other)))
}

/// A file of an SSTable: `<version>-<id>-<format>-<component>`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct SstableFile<'a> {
    /// Two letters, for example `nb`.
    pub(super) version: &'a str,
    /// `big` or `bti`, or what a later Cassandra calls its own.
    pub(super) format: &'a str,
    /// `<version>-<id>-<format>`: what the components of one SSTable have in common.
    pub(super) stem: &'a str,
    /// For example `Data.db`.
    pub(super) component: &'a str,
}

impl<'a> SstableFile<'a> {
    /// The parts of a file name; `None` for files that belong to no SSTable.
    pub(super) fn parse(name: &'a str) -> Option<Self> {
        let mut parts = name.splitn(4, '-');
        let (version, id, format, component) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
        let lower = |text: &str, len| text.len() == len && text.bytes().all(|b| b.is_ascii_lowercase());
        let plain = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
        let known = lower(version, 2) && plain(id) && lower(format, 3) && !component.is_empty();
        let stem = &name[..name.len() - component.len() - 1];
        known.then_some(Self { version, format, stem, component })
    }
}

/// True for names that are one safe part of a path: letters, digits and `_`, as Cassandra itself demands of keyspaces and
/// tables. What comes back from the store must not lead out of the data directories.
pub(super) fn is_plain(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_has_two_parts() {
        let code = |objects: &str, excludes: &str| {
            patterns(&[objects.to_owned()], &[excludes.to_owned()]).map_err(|error| error.code()).err()
        };
        for wrong in ["shop", "shop/", "/orders", "a/b/c", "", "shop/[a"] {
            assert_eq!(code(wrong, "shop/x"), Some("TM-CASS-0102"), "{wrong}");
            assert_eq!(code("shop/*", wrong), Some("TM-CASS-0102"), "{wrong}");
        }
        assert_eq!(code("shop/*", "shop/x"), None);
    }

    #[test]
    fn file_names_of_every_version_are_taken_apart() {
        let big = SstableFile::parse("nb-12-big-Data.db").unwrap();
        assert_eq!((big.version, big.stem, big.component), ("nb", "nb-12-big", "Data.db"));
        let bti = SstableFile::parse("da-3gto_1bxq_1wpv52uj-bti-CompressionInfo.db").unwrap();
        assert_eq!((bti.stem, bti.component), ("da-3gto_1bxq_1wpv52uj-bti", "CompressionInfo.db"));
        assert_eq!((bti.version, bti.format), ("da", "bti"));
        let sai = SstableFile::parse("nb-1-big-SAI+ba+idx+Meta.db").unwrap();
        assert_eq!(sai.component, "SAI+ba+idx+Meta.db");
    }

    #[test]
    fn other_files_are_not_taken_for_sstables() {
        for name in
            ["manifest.json", "schema.cql", "nb-1-big", "nb-1-big-", "NB-1-big-Data.db", "nb-../x-big-Data.db", ""]
        {
            assert_eq!(SstableFile::parse(name), None, "{name}");
        }
    }

    #[test]
    fn only_plain_names_become_paths() {
        assert!(is_plain("Orders_2024"));
        for name in ["", "..", "a/b", "a.b", "ä"] {
            assert!(!is_plain(name), "{name}");
        }
    }
}
