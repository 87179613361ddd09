//! Which instants of an object can be restored: from where its baseline stands, through the increments that hold every
//! change.
//!
//! Increments count as far as each begins where the one before it ends, is exact and lacks nothing. Behind the first
//! that does not, the state is known at the end of the entry at most, and at no instant before. What is not proven is
//! refused, and never taken for an instant at which nothing happened.

use tidemark_catalog::{
    content::{Increment, Interval, Records},
    position::Position,
};

#[cfg(test)]
mod tests;

/// What does not fit together in an entry; for people.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Broken {
    /// What a fresh capture did not find any more hides changes of before.
    #[error("it has retractions: nobody can say when what they hide went")]
    Retractions,
    /// An increment that ends before it begins.
    #[error("increment {0} ends before it begins")]
    Backwards(usize),
    /// The last increment does not lead to the entry's position.
    #[error("its last increment ends elsewhere than the entry says")]
    End,
}

/// Why the instants end before the entry does.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Stop {
    /// Only what was there at its end is known.
    #[error("of a stretch only the end is known")]
    Cut,
    /// Changes were gone when they were asked for.
    #[error("changes of {partition} from {after} to {through} are not held: {reason}")]
    Gap {
        /// The partition.
        partition: String,
        /// Where it begins.
        after: String,
        /// Where it ends.
        through: String,
        /// What happened.
        reason: String,
    },
    /// An increment begins elsewhere than the one before it ends.
    #[error("between two stretches changes may be missing")]
    Apart,
}

/// Why an instant cannot be restored.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// It is of other partitions, or ahead in one and behind in another.
    #[error("it is no instant of this object")]
    Other,
    /// The baseline is later.
    #[error("it is before the first instant that is held")]
    Before,
    /// Behind the end of what is proven.
    #[error("it is behind the last instant that is proven")]
    Behind {
        /// Why the instants end there, where the entry goes on.
        #[source]
        stop: Option<Stop>,
    },
}

/// The instants of an object.
#[derive(Clone, Debug, PartialEq)]
pub struct Instants<'a> {
    first: &'a Position,
    last: &'a Position,
    increments: &'a [Increment],
    stop: Option<Stop>,
}

impl<'a> Instants<'a> {
    /// The instants of records whose state has come to `position`.
    ///
    /// # Errors
    /// [`Broken`].
    pub fn of(records: &'a Records, position: &'a Position) -> Result<Self, Broken> {
        if !records.retractions.is_empty() {
            return Err(Broken::Retractions);
        }
        let all = &records.increments[..];
        if let Some(index) = all.iter().position(|increment| !increment.through.covers(&increment.after)) {
            return Err(Broken::Backwards(index));
        }
        if all.last().is_some_and(|last| last.through != *position) {
            return Err(Broken::End);
        }
        let first = all.first().map_or(position, |increment| &increment.after);
        let (mut last, mut count, mut stop) = (first, 0, None);
        for increment in all {
            stop = stopped(last, increment);
            if stop.is_some() {
                break;
            }
            (last, count) = (&increment.through, count + 1);
        }
        Ok(Self { first, last, increments: &all[..count], stop })
    }

    /// The first instant: where the baseline stands.
    pub fn first(&self) -> &'a Position {
        self.first
    }

    /// The last instant.
    pub fn last(&self) -> &'a Position {
        self.last
    }

    /// Why there are none between the last one and the entry's end; `None` where the last one is that end.
    pub fn stop(&self) -> Option<&Stop> {
        self.stop.as_ref()
    }

    /// The increments that lie, whole or in part, between the baseline and an instant: with the baseline all that is to
    /// be read for it.
    ///
    /// # Errors
    /// [`Refused`] where the instant is not proven.
    pub fn to(&self, at: &Position) -> Result<&'a [Increment], Refused> {
        let within = (at.covers(self.first), self.last.covers(at));
        match within {
            (true, true) => {}
            (true, false) if at.covers(self.last) => return Err(Refused::Behind { stop: self.stop.clone() }),
            (false, true) if self.first.covers(at) => return Err(Refused::Before),
            _ => return Err(Refused::Other),
        }
        let needed = self.increments.iter().take_while(|increment| !increment.after.covers(at)).count();
        Ok(&self.increments[..needed])
    }
}

/// Why an increment does not go on from the instant `last`; `None` where it does.
fn stopped(last: &Position, increment: &Increment) -> Option<Stop> {
    if increment.after != *last {
        return Some(Stop::Apart);
    }
    if let Some(gap) = increment.gaps.first() {
        let (partition, reason) = (gap.partition.clone(), gap.reason.clone());
        return Some(Stop::Gap { partition, after: gap.after.text.clone(), through: gap.through.text.clone(), reason });
    }
    (increment.interval != Interval::Exact).then_some(Stop::Cut)
}
