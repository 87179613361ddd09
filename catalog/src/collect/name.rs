//! What a listed name is.

use object_store::path::Path;

use crate::{
    ids::{FencingToken, SetId, SourceId, TaskId},
    layout, marks,
};

/// What a name below a source's folder is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A page or an entry, by the claim that wrote it.
    Page(FencingToken),
    /// A segment, by the claim that wrote it.
    Segment(FencingToken),
    /// Staged for a task.
    Staged(TaskId),
    /// A work root.
    Root,
    /// What collection never deletes.
    Lasting,
    /// No build of ours writes it.
    Foreign,
}

/// Folder of the preflight of listeners, which is no task's.
const CHECK: &str = "check";

impl Kind {
    /// What `path` is, of `source`.
    pub(super) fn of(source: &SourceId, path: &Path) -> Self {
        let prefix = layout::source(source);
        let rest = path.as_ref().strip_prefix(prefix.as_ref()).and_then(|rest| rest.strip_prefix('/'));
        let parts: Vec<&str> = rest.map(|rest| rest.split('/').collect()).unwrap_or_default();
        Self::of_parts(&parts).or_else(|| Self::of_marks(source, path)).unwrap_or(Self::Foreign)
    }

    fn of_parts(parts: &[&str]) -> Option<Self> {
        match *parts {
            ["pages", name] => Some(Self::Page(layout::token_and_sequence(name)?.0)),
            ["segments", name] => Some(Self::Segment(layout::token_and_sequence(name.strip_suffix(".parquet")?)?.0)),
            ["staged", CHECK, ..] => Some(Self::Lasting),
            ["staged", task, _, ..] => Some(Self::Staged(task.parse().ok()?)),
            ["sets", set, ref within @ ..] => {
                set.parse::<SetId>().ok()?;
                Self::of_set(within)
            }
            _ => None,
        }
    }

    fn of_set(parts: &[&str]) -> Option<Self> {
        match *parts {
            ["versions", number] => layout::digits(number, 20).map(|_| Self::Lasting),
            ["states", number, revision] => {
                layout::digits(number, 20)?;
                layout::digits(revision, 10).map(|_| Self::Lasting)
            }
            ["needs", name] => layout::needs_parts(name).map(|_| Self::Lasting),
            ["work", token, sequence] => {
                layout::digits(sequence, 10)?;
                layout::whole_token(token).map(|_| Self::Root)
            }
            _ => None,
        }
    }

    fn of_marks(source: &SourceId, path: &Path) -> Option<Self> {
        marks::parse(&layout::marks(source), path).map(|_| Self::Lasting)
    }
}

#[cfg(test)]
mod tests {
    use tidemark_gateway::Digest;

    use super::*;
    use crate::{ids::VersionNumber, testing::token};

    #[test]
    fn every_name_that_we_write_is_known_and_no_other() {
        let (source, set, task) = ("s".parse().unwrap(), "daily".parse().unwrap(), "t-1".parse::<TaskId>().unwrap());
        let staged = layout::staged(&source, &task, "p");
        let of = |path: Path| Kind::of(&source, &path);
        assert_eq!(of(layout::page(&source, token(7), 1)), Kind::Page(token(7)));
        assert_eq!(of(layout::segment(&source, token(7), 1)), Kind::Segment(token(7)));
        assert_eq!(of(Path::from(format!("{staged}/slice.json"))), Kind::Staged(task.clone()));
        assert_eq!(of(layout::staged_file(&layout::staged_folder(&staged, "o"), token(1), "a/b")), Kind::Staged(task));
        assert_eq!(of(layout::work_root(&source, &set, token(7), 3)), Kind::Root);
        for lasting in [
            layout::manifest(&source, &set, VersionNumber(1)),
            layout::state(&source, &set, VersionNumber(1), 1),
            layout::needs_block(&source, &set, 0, VersionNumber(64), token(1), Digest::of(b"block")),
            layout::staged_check(&source),
            layout::marks_head(&source, 1),
            layout::marks_swept(&source, 1),
            layout::marks_page(&source, 1, token(1), 0),
        ] {
            assert_eq!(of(lasting.clone()), Kind::Lasting, "{lasting}");
        }
        for foreign in [
            "sources/s/pages/readme",
            "sources/s/pages/1-2-3",
            "sources/s/segments/0000000001-00000000000000000007-0000000001",
            "sources/s/staged/t-1",
            "sources/s/staged/T/p/x",
            "sources/s/sets/daily/work/1-7/0000000001",
            "sources/s/sets/daily/versions/1",
            "sources/s/sets/daily/needs/0-64",
            "sources/s/sets/X/versions/00000000000000000001",
            "sources/s/marks/1/head",
            "sources/s2/pages/0000000001-00000000000000000007-0000000001",
            "sources/s",
            "config/sources/s/00000000000000000001",
        ] {
            assert_eq!(of(Path::from(foreign)), Kind::Foreign, "{foreign}");
        }
    }
}
