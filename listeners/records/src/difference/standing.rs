//! How a record of the target stands to the version's, and how it is counted.

use serde::{Deserialize, Serialize};

/// How a record of the target stands to the version's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Standing {
    /// Nothing of the version is missing or another.
    #[default]
    Same,
    /// The target does not show the record.
    Absent,
    /// Both have it, and something of the version is missing or another.
    Changed,
    /// The version does not have it.
    Extra,
}

/// What was found of a record.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Finding {
    /// How it stands.
    pub standing: Standing,
    /// True where the target shows it.
    pub is_there: bool,
    /// True where the target has something that the version does not, the whole record included.
    pub has_extras: bool,
    /// True where those extras are removed.
    pub remove: bool,
    /// True where something is newer than the undo's instant and another than in the version.
    pub newer: bool,
    /// True where something equal was written by this undo.
    pub ours: bool,
    /// Newest write time of what differs or is extra, µs since 1970; `None` where none can be read.
    pub newest: Option<i64>,
}

/// What was seen and done, in records.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Totals {
    /// Read or looked for.
    pub read: u64,
    /// The target did not show them.
    pub absent: u64,
    /// They differed.
    pub changed: u64,
    /// The version does not have them.
    pub extra: u64,
    /// They are equal to the version in all respects, and were not written by an undo.
    pub untouched: u64,
    /// They hold something that the version does not have and that stays, whatever else is done with them.
    #[serde(default)]
    pub kept: u64,
    /// Written, by earlier runs too.
    pub written: u64,
    /// Removed; at least, where a run was interrupted, because what is gone cannot be counted again.
    pub removed: u64,
    /// Values removed from records that stay, as `removed`.
    pub cells_removed: u64,
    /// They hold something newer.
    pub newer: u64,
    /// They differ where the version is not proven complete, and nobody consented.
    pub withheld: u64,
    /// Newest write time of what differs, µs since 1970.
    pub newest: Option<i64>,
}

impl Totals {
    /// Adds the other figures.
    pub fn add(&mut self, other: &Self) {
        self.read += other.read;
        self.absent += other.absent;
        self.changed += other.changed;
        self.extra += other.extra;
        self.untouched += other.untouched;
        self.kept += other.kept;
        self.written += other.written;
        self.removed += other.removed;
        self.cells_removed += other.cells_removed;
        self.newer += other.newer;
        self.withheld += other.withheld;
        self.newest = self.newest.max(other.newest);
    }

    /// Counts a record as it was found. What is done with it then is counted by whoever does it.
    pub fn count(&mut self, found: Finding) {
        let keeps = !found.remove && found.has_extras;
        let removes = found.remove && found.has_extras;
        self.read += u64::from(found.is_there || found.standing == Standing::Absent);
        self.newer += u64::from(found.newer);
        self.kept += u64::from(keeps);
        self.newest = self.newest.max(found.newest);
        match found.standing {
            Standing::Absent => self.absent += 1,
            Standing::Changed => self.changed += 1,
            Standing::Extra => self.extra += 1,
            Standing::Same if removes => self.changed += 1,
            Standing::Same if found.ours => self.written += 1,
            Standing::Same if keeps || found.newer => {}
            Standing::Same => self.untouched += u64::from(found.is_there),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counted(found: Finding) -> Totals {
        let mut totals = Totals::default();
        totals.count(Finding { is_there: true, ..found });
        totals
    }

    #[test]
    fn what_stays_and_is_not_the_versions_is_counted_and_not_taken_for_equal() {
        let (read, kept) = (1, 1);
        let same = Totals { read, ..Totals::default() };
        let of = |standing, has_extras, remove| counted(Finding { standing, has_extras, remove, ..Finding::default() });
        assert_eq!(of(Standing::Same, false, false), Totals { untouched: 1, ..same });
        assert_eq!(of(Standing::Same, true, false), Totals { kept, ..same });
        assert_eq!(of(Standing::Same, true, true), Totals { changed: 1, ..same });
        assert_eq!(of(Standing::Changed, true, false), Totals { kept, changed: 1, ..same });
        assert_eq!(of(Standing::Extra, true, false), Totals { kept, extra: 1, ..same });
        assert_eq!(of(Standing::Extra, true, true), Totals { extra: 1, ..same });
    }

    #[test]
    fn what_is_newer_is_not_taken_for_equal() {
        let newer = counted(Finding { newer: true, ..Finding::default() });
        assert_eq!(newer, Totals { read: 1, newer: 1, ..Totals::default() });
    }
}
