//! The second look: what was mended is read again, and what still differs is named.
//!
//! A deletion with a time in the future does not show in CQL; it hides what was written, and only this look finds it.

use std::collections::{BTreeMap, BTreeSet};

use futures::{FutureExt, StreamExt, TryStreamExt, stream};
use tidemark_cassandra_format::model::{ColumnData, Deletion, PathCell, Row};
use tidemark_listener_core::failure::Failure;
use tidemark_records::difference::{
    standing::{Standing, Totals},
    state::Outcome,
};

use super::Work;
use crate::restore::undo::{
    compare::{Difference, Extra},
    fix::Fix,
    scan::{Scan, Seen, Trouble},
    spans::{Area, Part, Unit},
};

/// Rows that are looked at at the same time, for one unit.
const LOOKS: usize = 16;

/// Where fewer of a unit's rows than one in so many were mended, each is read by its key.
const FEW: usize = 8;

impl Work<'_> {
    /// Reads mended rows: the whole unit where they are many of it, else each by its key.
    pub(super) async fn look_again(&self, unit: &Unit, mended: Vec<Fix>, outcome: &mut Outcome) -> Result<(), Failure> {
        let many = mended.len() * FEW > unit.row_count() && mended.iter().any(|fix| fix.is_wanted);
        let looks = match many {
            // What cannot be read as a whole is read row by row.
            true => self.reread(unit, &mended).await.ok(),
            false => None,
        };
        let looks = match looks {
            Some(looks) => looks,
            None => {
                // Boxed: of a stream over a borrowing closure the compiler cannot tell that it is Send.
                let looks: Vec<_> = mended.iter().map(|fix| self.reread_row(fix).boxed()).collect();
                stream::iter(looks).buffered(LOOKS).try_collect().await?
            }
        };
        for (fix, seen) in mended.iter().zip(looks) {
            let why = match seen.map(|seen| seen.difference) {
                None => None,
                Some(Err(why)) => Some(why),
                Some(Ok(difference)) => self.left(fix, &difference, &mut outcome.totals),
            };
            if let Some(why) = why {
                outcome.differs(self.table.key_text(&fix.partition.values, &fix.clustering), why);
            }
        }
        Ok(())
    }

    /// All of the unit once more; the mended rows of it. A row that went is not seen.
    async fn reread(&self, unit: &Unit, mended: &[Fix]) -> Result<Vec<Option<Seen>>, Trouble> {
        let places: BTreeMap<_, usize> = mended.iter().enumerate().map(|(n, fix)| (fix.key(), n)).collect();
        let mut found: Vec<Option<Seen>> = mended.iter().map(|_| None).collect();
        for is_static in [true, false] {
            if !mended.iter().any(|fix| fix.is_static == is_static) {
                continue;
            }
            let mut scan = Scan::new(self.table, unit, is_static, self.attempts(), true);
            while let Some(seen) = scan.next().await? {
                if let Some(n) = places.get(&seen.key(is_static)) {
                    found[*n] = Some(seen);
                }
            }
        }
        Ok(found)
    }

    async fn reread_row(&self, fix: &Fix) -> Result<Option<Seen>, Failure> {
        let unit = row_unit(fix);
        let mut tries = 0;
        loop {
            let mut scan = Scan::new(self.table, &unit, fix.is_static, self.attempts(), true);
            let failure = match scan.next().await {
                Ok(seen) => return Ok(seen),
                Err(Trouble::TooMuch { error, .. }) => error.into(),
                Err(Trouble::Failed(failure)) => failure,
            };
            self.table.target.wait_to_retry(failure, tries, false).await?;
            tries += 1;
        }
    }

    /// What of a mended row is not as the version has it, in words.
    fn left(&self, fix: &Fix, difference: &Difference, totals: &mut Totals) -> Option<String> {
        totals.newer += u64::from(difference.newer && !fix.difference.newer);
        let why = match difference.standing {
            Standing::Absent if fix.difference.writes() => {
                Some("it is not there: a newer deletion hides what was written".to_owned())
            }
            Standing::Extra if fix.removes_row() => Some("it was deleted and is still there".to_owned()),
            Standing::Changed => self.hidden(fix, difference),
            _ => remains(fix, difference).then(|| "a value was deleted and is still there".to_owned()),
        };
        why.or_else(|| self.mixed(fix, difference))
    }

    /// Names the columns that were written and are not there.
    fn hidden(&self, fix: &Fix, difference: &Difference) -> Option<String> {
        let values = fix.difference.columns.iter().map(|(index, _)| *index);
        let wrote: BTreeSet<u16> = values.chain(fix.lists().map(|(index, _)| index)).collect();
        let hidden = columns_of(difference).filter(|index| wrote.contains(index));
        let names = self.names(fix, hidden);
        (!names.is_empty()).then(|| format!("a newer deletion hides what was written: {names}"))
    }

    /// Names the lists that were replaced around newer elements.
    fn mixed(&self, fix: &Fix, difference: &Difference) -> Option<String> {
        const WORDS: &str = "a list was replaced whole although elements were set or added after the instant";
        let names = self.names(fix, fix.mixed(difference).into_iter());
        (!names.is_empty()).then(|| format!("{WORDS}: {names}"))
    }

    /// Names of columns of a mended row, with commas between.
    fn names(&self, fix: &Fix, indexes: impl Iterator<Item = u16>) -> String {
        let schema = self.table.schema();
        let columns = if fix.is_static { &schema.statics } else { &schema.regulars };
        let columns = indexes.filter_map(|index| columns.get(usize::from(index)));
        columns.map(|column| column.name.as_str()).collect::<Vec<_>>().join(", ")
    }
}

fn columns_of(difference: &Difference) -> impl Iterator<Item = u16> {
    let lists = difference.lists.iter().map(|(index, _)| *index);
    difference.columns.iter().map(|(index, _)| *index).chain(lists)
}

/// True where a column that was deleted is there, no newer than its deletion.
fn remains(fix: &Fix, difference: &Difference) -> bool {
    let gone = |extra: &Extra| matches!(extra, Extra::Column(_)) && fix.difference.extras.contains(extra);
    fix.remove && !fix.removes_row() && difference.extras.iter().any(gone)
}

/// A mended row by its key, with what was written of it as the version.
fn row_unit(fix: &Fix) -> Unit {
    let data = |cells: &[PathCell]| ColumnData::Complex { deletion: Deletion::LIVE, cells: cells.to_vec() };
    let lists = fix.lists().map(|(index, cells)| (index, data(cells)));
    let mut columns: Vec<_> = fix.difference.columns.iter().cloned().chain(lists).collect();
    columns.sort_by_key(|(index, _)| *index);
    let row = Row { clustering: fix.clustering.clone(), liveness: fix.difference.marker, columns, ..Row::default() };
    let (static_row, rows) = if fix.is_static { (Some(row), Vec::new()) } else { (None, vec![row]) };
    let partition = &fix.partition;
    let (token, raw_key, key) = (partition.token, partition.raw.clone(), partition.values.clone());
    let area = if fix.is_static { Area::Static } else { Area::Row };
    Unit { area, parts: vec![Part { token, raw_key, key, static_row, rows }] }
}
