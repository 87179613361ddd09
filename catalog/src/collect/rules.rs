//! The rules that the proof rests on. Tests switch one off and see that data is lost without it.

/// A rule of collectors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rule {
    /// Every set gets a barrier before the second reading.
    Barrier,
    /// Manifests are read again after the barriers.
    SecondReading,
    /// The listing of the second reading reaches the barrier.
    ListReaches,
    /// Only the newest generation sweeps.
    NewestGeneration,
    /// Roots are read after the records of collected versions are written.
    RootsAfterRecords,
    /// A set that ends before a number of which states or marks tell is not read.
    ToldNumbers,
    /// A needs block is used only where the chain links to it.
    BlockLink,
    /// A needs block that cannot be read tells nothing.
    BlockRead,
    /// Needs blocks are used and written. No data rests on it.
    Blocks,
}

impl super::Collector<'_> {
    /// Whether a rule is kept: always, but in tests of what it is for.
    pub(super) fn keeps(&self, rule: Rule) -> bool {
        #[cfg(test)]
        return self.broken != Some(rule);
        #[cfg(not(test))]
        {
            let _ = rule;
            true
        }
    }
}
