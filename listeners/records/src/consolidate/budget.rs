//! How a consolidation's memory is shared.

use tidemark_listener_core::records::ConsolidateLimits;

use crate::segments::WriteLimits;

/// Smallest window of an input, bytes.
const LEAST_WINDOW: usize = 64 << 10;

/// Greatest window of an input, bytes: beyond that larger requests win nothing.
const MOST_WINDOW: usize = 4 << 20;

/// Shares of the memory: half of it is for the inputs, each with a window of stored bytes and two of decoded ones; of the rest two
/// finished segments may wait while a third is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budget {
    /// Bytes of each window of an input: 64 KiB to 4 MiB.
    pub window_bytes: usize,
    /// Bytes of a segment in memory.
    pub segment_bytes: usize,
}

impl Budget {
    /// The budget of `inputs` that are read at the same time, within `memory_bytes`. So many inputs that their smallest windows are
    /// more than that take more.
    pub fn of(memory_bytes: usize, inputs: usize) -> Self {
        let each = memory_bytes / 2 / inputs.max(1) / 4;
        Self { window_bytes: each.clamp(LEAST_WINDOW, MOST_WINDOW), segment_bytes: memory_bytes / 6 }
    }

    /// Limits of the segments that are written meanwhile.
    pub fn write_limits(self, limits: &ConsolidateLimits) -> WriteLimits {
        let usual = WriteLimits::default();
        WriteLimits {
            segment_bytes: limits.segment_bytes,
            spool_bytes: usual.spool_bytes.min(self.segment_bytes),
            ..usual
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_budget_is_shared_by_the_inputs() {
        assert_eq!(Budget::of(256 << 20, 3).window_bytes, MOST_WINDOW);
        let many = Budget::of(256 << 20, 300).window_bytes;
        assert!(many > LEAST_WINDOW && 300 * 3 * many <= 128 << 20);
        assert_eq!(Budget::of(1 << 20, 1000).window_bytes, LEAST_WINDOW);
    }

    #[test]
    fn segments_spill_before_the_memory_is_full() {
        let limits = ConsolidateLimits { memory_bytes: 60 << 20, segment_bytes: 7, ..ConsolidateLimits::default() };
        let writing = Budget::of(limits.memory_bytes, 1).write_limits(&limits);
        assert_eq!((writing.segment_bytes, writing.spool_bytes), (7, 10 << 20));
        assert_eq!(Budget::of(1 << 40, 1).write_limits(&limits).spool_bytes, WriteLimits::default().spool_bytes);
    }
}
