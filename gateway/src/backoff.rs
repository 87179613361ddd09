//! How long to wait before the next try of what failed.

use std::time::Duration;

/// How much of a wait is left to chance, with 64 random bits where any is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Jitter {
    /// Nothing.
    None,
    /// Any time between half of it and all of it.
    Half(u64),
    /// Any time between none and all of it.
    Full(u64),
}

/// The wait after a failure that `before` others in a row came before: `first`, doubled with each of them, at most `longest`; of
/// that as much as `jitter` takes.
pub fn wait(first: Duration, longest: Duration, before: u32, jitter: Jitter) -> Duration {
    let factor = 1_u32.checked_shl(before).unwrap_or(u32::MAX);
    let whole = first.saturating_mul(factor).min(longest);
    match jitter {
        Jitter::None => whole,
        Jitter::Half(noise) => whole.mul_f64(0.5 + share(noise) / 2.0),
        Jitter::Full(noise) => whole.mul_f64(share(noise)),
    }
}

/// From 0 to 1, both included.
fn share(noise: u64) -> f64 {
    noise as f64 / u64::MAX as f64
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const FIRST: Duration = Duration::from_millis(200);
    const LONGEST: Duration = Duration::from_secs(10);

    #[test]
    fn waits_double_up_to_the_longest() {
        let waits: Vec<_> = (0..8).map(|failures| wait(FIRST, LONGEST, failures, Jitter::None).as_millis()).collect();
        assert_eq!(waits, [200, 400, 800, 1_600, 3_200, 6_400, 10_000, 10_000]);
        assert_eq!(wait(FIRST, LONGEST, u32::MAX, Jitter::None), LONGEST);
    }

    #[test]
    fn chance_reaches_both_ends() {
        let of = |jitter| wait(FIRST, LONGEST, 1, jitter).as_millis();
        assert_eq!((of(Jitter::Half(0)), of(Jitter::Half(u64::MAX))), (200, 400));
        assert_eq!((of(Jitter::Full(0)), of(Jitter::Full(u64::MAX))), (0, 400));
    }

    proptest! {
        #[test]
        fn chance_stays_within_bounds(failures: u32, noise: u64) {
            let whole = wait(FIRST, LONGEST, failures, Jitter::None);
            let half = wait(FIRST, LONGEST, failures, Jitter::Half(noise));
            prop_assert!(whole / 2 <= half && half <= whole && whole <= LONGEST);
            prop_assert!(wait(FIRST, LONGEST, failures, Jitter::Full(noise)) <= whole);
        }
    }
}
