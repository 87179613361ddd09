//! The work on spans: read, compare, mend, look again.
//!
//! A crash leaves the saved place. What was done after it is found equal when the undo goes on, and because of its write time
//! it is known as the undo's own: it counts as written. What was removed is gone and is not counted again.

mod look;
mod unread;

use tidemark_listener_core::failure::Failure;
use tidemark_records::difference::{
    attempts::{self, Attempts},
    keep::Keeper,
    standing::{Finding, Totals},
    state::Outcome,
};

use crate::{
    restore::undo::{
        apply::Refused,
        compare::{Difference, Extra},
        fix::Fix,
        scan::{Scan, Seen, Trouble},
        spans::{Place, Span, Unit},
        table::Table,
    },
    restore::write::target::WriteFailure,
};

/// Rows to mend that are held at a time.
const HELD_FIXES: usize = 4_000;

/// Tries, after the first, of what cannot be cut any more and makes the target give up.
const LAST_TRIES: u32 = 3;

/// An undo, or its counting, in progress.
pub(super) struct Work<'a> {
    /// The table.
    pub(super) table: &'a Table,
    /// Where it stands.
    pub(super) keeper: Keeper<Place>,
    /// Number of the attempt at lists that units make first.
    pub(super) attempt: Attempts,
}

impl Work<'_> {
    /// The number of the attempt that units make first, stored before it is used.
    ///
    /// # Errors
    /// As it cannot be saved.
    pub(super) async fn attempt(&self) -> Result<u32, Failure> {
        self.attempt.current(&self.keeper).await
    }

    /// The number of another attempt, stored before it is used.
    ///
    /// # Errors
    /// As it cannot be saved.
    pub(super) async fn further_attempt(&self) -> Result<u32, Failure> {
        attempts::another(&self.keeper).await
    }

    fn attempts(&self) -> u32 {
        self.keeper.state().attempts
    }

    /// Does a span, in as many parts as it takes.
    ///
    /// # Errors
    /// As the target cannot be read or written.
    pub(super) async fn span(&self, span: Span) -> Result<(Place, Outcome), Failure> {
        let mut outcome = Outcome::default();
        let mut units = vec![span.unit];
        while let Some(unit) = units.pop() {
            let Err(why) = self.unit(&unit, &mut outcome).await? else { continue };
            let halves = unit.halved();
            match halves.is_empty() {
                false => units.extend(halves.into_iter().rev()),
                true => self.unread(&unit, &why, &mut outcome).await?,
            }
        }
        Ok((span.end, outcome))
    }

    /// Does a unit; the inner error says that there is too much in it.
    async fn unit(&self, unit: &Unit, outcome: &mut Outcome) -> Result<Result<(), Failure>, Failure> {
        let (mut tries, smaller) = (0, !unit.halved().is_empty());
        loop {
            let Err(trouble) = self.try_unit(unit, outcome).await else { return Ok(Ok(())) };
            // Some of its lists may have been sent.
            self.attempt.renew().await;
            let failure: WriteFailure = match trouble {
                Trouble::TooMuch { error, gave_up } if smaller || (gave_up && tries >= LAST_TRIES) => {
                    return Ok(Err(error));
                }
                Trouble::TooMuch { error, .. } => error.into(),
                Trouble::Failed(failure) => failure,
            };
            self.table.target.wait_to_retry(failure, tries, false).await?;
            tries += 1;
        }
    }

    /// Reads, compares and mends a unit. Rows that went on the way stay counted where the rest fails: they are not there when
    /// it is read again.
    async fn try_unit(&self, unit: &Unit, outcome: &mut Outcome) -> Result<(), Trouble> {
        let (mut own, mut fixes) = (Outcome::default(), Vec::new());
        let passes = [(true, unit.has_static() && self.table.reads_static()), (false, unit.has_rows())];
        for (is_static, _) in passes.into_iter().filter(|(_, wanted)| *wanted) {
            let mut scan = Scan::new(self.table, unit, is_static, self.attempts(), false);
            while let Some(seen) = scan.next().await? {
                fixes.extend(self.judge(seen, is_static, &mut own));
                if fixes.len() >= HELD_FIXES {
                    let (gone, kept) = std::mem::take(&mut fixes).into_iter().partition(|fix: &Fix| !fix.is_wanted);
                    fixes = kept;
                    self.mend(unit, gone, outcome).await?;
                }
            }
        }
        self.mend(unit, fixes, &mut own).await?;
        outcome.add(own);
        Ok(())
    }

    /// Counts a row; what is to be done with it.
    fn judge(&self, seen: Seen, is_static: bool, outcome: &mut Outcome) -> Option<Fix> {
        let Seen { partition, clustering, is_wanted, is_there, difference } = seen;
        let difference = match difference {
            Ok(difference) => difference,
            Err(why) => {
                outcome.differs(self.table.key_text(&partition.values, &clustering), why);
                return None;
            }
        };
        let remove = self.table.may_remove(partition.token) && !difference.extras.is_empty();
        outcome.totals.count(finding(&difference, is_there, remove));
        let writes = difference.writes();
        if writes && !self.table.may_write(partition.token) {
            outcome.totals.withheld += 1;
            return None;
        }
        let fix = Fix { partition, clustering, is_static, is_wanted, difference, remove };
        ((writes || remove) && self.keeper.writes()).then_some(fix)
    }

    /// Mends rows and looks at them again.
    async fn mend(&self, unit: &Unit, fixes: Vec<Fix>, outcome: &mut Outcome) -> Result<(), Failure> {
        if fixes.is_empty() {
            return Ok(());
        }
        let refused = self.apply(&fixes).await?;
        count(&fixes, &mut outcome.totals);
        let mended = without(fixes, &refused);
        self.refuse(refused, outcome);
        self.look_again(unit, mended, outcome).await
    }

    /// Names rows that could not be written.
    fn refuse(&self, refused: Vec<Refused>, outcome: &mut Outcome) {
        for (fix, why) in refused {
            let count = if fix.removes_row() { &mut outcome.totals.removed } else { &mut outcome.totals.written };
            *count = count.saturating_sub(1);
            outcome.differs(self.table.key_text(&fix.partition.values, &fix.clustering), why.message);
        }
    }
}

/// The rows that were not refused, in order. Both come in the same order.
fn without(fixes: Vec<Fix>, refused: &[Refused]) -> Vec<Fix> {
    let mut refused = refused.iter().map(|(fix, _)| fix.key()).peekable();
    fixes.into_iter().filter(|fix| refused.next_if(|key| *key == fix.key()).is_none()).collect()
}

/// What is counted of a row; `remove` where what the version does not have of it goes.
fn finding(difference: &Difference, is_there: bool, remove: bool) -> Finding {
    let Difference { standing, newer, ours, newest, ref extras, .. } = *difference;
    Finding { standing, is_there, has_extras: !extras.is_empty(), remove, newer, ours, newest }
}

/// Counts what was done.
fn count(fixes: &[Fix], totals: &mut Totals) {
    for fix in fixes {
        let rows = if fix.removes_row() { &mut totals.removed } else { &mut totals.written };
        *rows += 1;
        let cells = |extra: &Extra| match extra {
            Extra::Row | Extra::List(..) => 0,
            Extra::Column(_) => 1,
            Extra::Elements(_, paths) => paths.len() as u64,
        };
        totals.cells_removed += fix.difference.extras.iter().filter(|_| fix.remove).map(cells).sum::<u64>();
    }
}
