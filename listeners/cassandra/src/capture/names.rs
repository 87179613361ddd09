//! Names: patterns of objects, files of SSTables, snapshots.

use tidemark_catalog::ids::TaskId;
use tidemark_listener_core::assignment::{Assignment, Capture};

use super::Error;

/// Components that are shipped, in shipping order, the same for both formats. Indexes (`Index.db` and `Summary.db` of
/// `big`, the tries `Partitions.db` and `Rows.db` of `bti`) and filters can be made again from the data, and a scan of it
/// meets everything without them.
pub(super) const SHIPPED: [&str; 6] =
    ["Data.db", "Statistics.db", "CompressionInfo.db", "CRC.db", "Digest.crc32", "TOC.txt"];

/// Beginning of the tags of our snapshots.
pub(super) const TAG_PREFIX: &str = "tidemark-";

/// Tag of the snapshot that a step of an assignment's task takes: `tidemark-<repository>-<source>-<task>.<step>`.
pub(super) fn tag(assignment: &Assignment<Capture>, step: u32) -> String {
    format!("{}{}.{step}", tag_start(assignment), assignment.task)
}

/// The task of a tag that captures of this assignment's repository and source make; `None` for any other tag.
pub(super) fn task_of(tag: &str, assignment: &Assignment<Capture>) -> Option<TaskId> {
    let (task, step) = tag.strip_prefix(&tag_start(assignment))?.split_once('.')?;
    step.parse::<u32>().ok()?;
    // Without a '-': that of a source whose name begins with this one's has more of them.
    let is_task = task.len() == 32 && task.bytes().all(|b| b.is_ascii_hexdigit());
    is_task.then(|| task.parse().ok()).flatten()
}

fn tag_start(assignment: &Assignment<Capture>) -> String {
    format!("{TAG_PREFIX}{}-{}-", assignment.repository, assignment.source)
}

/// Patterns of tables, `keyspace/table`, where `*` stands for any text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Patterns(Vec<(String, String)>);

impl Patterns {
    /// # Errors
    /// [`Error::Pattern`] for the first that is not `keyspace/table`.
    pub(super) fn parse(texts: &[String]) -> Result<Self, Error> {
        let split = |text: &String| match text.split_once('/') {
            Some((keyspace, table)) if !keyspace.is_empty() && !table.is_empty() && !table.contains('/') => {
                Ok((keyspace.to_owned(), table.to_owned()))
            }
            _ => Err(Error::Pattern(text.clone())),
        };
        texts.iter().map(split).collect::<Result<_, _>>().map(Self)
    }

    /// True where tables of `keyspace` may match.
    pub(super) fn touches(&self, keyspace: &str) -> bool {
        self.0.iter().any(|(pattern, _)| matches(pattern, keyspace))
    }

    /// True where the table matches any pattern.
    pub(super) fn matches(&self, keyspace: &str, table: &str) -> bool {
        self.0.iter().any(|(first, second)| matches(first, keyspace) && matches(second, table))
    }

    /// The patterns that match none of `tables` (keyspace and table), as text.
    pub(super) fn unmatched(&self, tables: &[(&str, &str)]) -> Vec<String> {
        let matched = |(first, second): &&(String, String)| {
            tables.iter().any(|(keyspace, table)| matches(first, keyspace) && matches(second, table))
        };
        self.0.iter().filter(|pattern| !matched(pattern)).map(|(first, second)| format!("{first}/{second}")).collect()
    }
}

/// Whether `text` is `pattern` with each `*` replaced by some text, possibly none.
fn matches(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('*');
    let Some(mut rest) = parts.next().and_then(|first| text.strip_prefix(first)) else { return false };
    let Some(last) = parts.next_back() else { return rest.is_empty() };
    for part in parts {
        // The leftmost place leaves the most for what follows.
        let Some(at) = rest.find(part) else { return false };
        rest = &rest[at + part.len()..];
    }
    rest.ends_with(last)
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

    fn patterns(texts: &[&str]) -> Patterns {
        Patterns::parse(&texts.iter().map(|t| t.to_string()).collect::<Vec<_>>()).unwrap()
    }

    #[test]
    fn a_star_stands_for_any_text() {
        let table = [
            ("shop", "shop", true),
            ("shop", "shops", false),
            ("*", "anything", true),
            ("*", "", true),
            ("s*p", "shop", true),
            ("s*p", "sp", true),
            ("s*p", "s", false),
            ("*o*o*", "foo", true),
            ("*o*o*", "fo", false),
            ("ab*ba", "aba", false),
            ("a*b*c", "aXbYbZc", true),
        ];
        for (pattern, text, expected) in table {
            assert_eq!(matches(pattern, text), expected, "{pattern} {text}");
        }
    }

    #[test]
    fn both_parts_must_match() {
        let patterns = patterns(&["shop/*", "*/audit_*"]);
        assert!(patterns.matches("shop", "orders") && patterns.matches("bank", "audit_1"));
        assert!(!patterns.matches("bank", "orders"));
        assert!(patterns.touches("bank"));
        assert_eq!(patterns.unmatched(&[("shop", "orders")]), ["*/audit_*"]);
    }

    #[test]
    fn a_pattern_has_two_parts() {
        for wrong in ["shop", "shop/", "/orders", "a/b/c", ""] {
            assert!(matches!(Patterns::parse(&[wrong.to_owned()]), Err(Error::Pattern(_))), "{wrong}");
        }
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
