//! How a limit is divided among the daemon and its listeners.

use std::num::NonZeroU64;

use tidemark_gateway::limits::Limit;

/// Shares of a limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Shares {
    /// The daemon's.
    pub(super) own: Limit,
    /// That of each listener.
    pub(super) listener: Limit,
}

/// Divides a limit: each of so many listeners has `weight` times the daemon's share, and what is left over is the daemon's.
///
/// The shares add up to the limit where it has enough for all: for each listener a request and one for the daemon, and as many
/// bytes as all weights together. Nobody's share is nothing.
pub(super) fn divide(limit: Limit, listeners: u64, weight: u64) -> Shares {
    let bytes = limit.bytes_per_second.map(|all| part(all.get(), listeners, weight));
    let requests = limit.requests.map(|all| part(u64::try_from(all).unwrap_or(u64::MAX), listeners, weight));
    let share = |bytes: Option<u64>, requests: Option<u64>| Limit {
        bytes_per_second: bytes.and_then(NonZeroU64::new),
        requests: requests.map(|requests| usize::try_from(requests).unwrap_or(usize::MAX)),
    };
    let (own, listener) = (|(own, _): (u64, u64)| own, |(_, listener): (u64, u64)| listener);
    Shares {
        own: share(bytes.map(own), requests.map(own)),
        listener: share(bytes.map(listener), requests.map(listener)),
    }
}

/// The daemon's part and each listener's, both at least 1.
fn part(all: u64, listeners: u64, weight: u64) -> (u64, u64) {
    let weights = u128::from(listeners) * u128::from(weight) + 1;
    let share = u128::from(all) * u128::from(weight) / weights;
    let share = u64::try_from(share).unwrap_or(u64::MAX).max(1);
    (all.saturating_sub(share.saturating_mul(listeners)).max(1), share)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn limit(bytes: u64, requests: usize) -> Limit {
        Limit { bytes_per_second: NonZeroU64::new(bytes), requests: Some(requests) }
    }

    #[test]
    fn listeners_and_the_daemon_share_alike_or_by_weight() {
        assert_eq!(divide(limit(100, 16), 0, 1).own, limit(100, 16), "alone it has all");
        assert_eq!(divide(limit(100, 16), 3, 1), Shares { own: limit(25, 4), listener: limit(25, 4) });
        assert_eq!(divide(limit(100, 17), 2, 1), Shares { own: limit(34, 7), listener: limit(33, 5) });
        assert_eq!(divide(limit(90, 9), 1, 8), Shares { own: limit(10, 1), listener: limit(80, 8) });
        assert_eq!(divide(limit(100, 2), 1, 8), Shares { own: limit(12, 1), listener: limit(88, 1) });
        let none = divide(Limit::default(), 3, 1);
        assert_eq!((none.own, none.listener), (Limit::default(), Limit::default()));
    }

    proptest! {
        #[test]
        fn shares_add_up_to_the_limit_and_none_is_nothing(
            bytes in 64_u64 << 10..u64::MAX,
            spare in 0_usize..1_000,
            listeners in 0_u64..1_000,
            weight in 1_u64..10,
        ) {
            let most = listeners as usize + 1 + spare;
            let Shares { own, listener } = divide(limit(bytes, most), listeners, weight);
            let bytes_of = |share: Limit| u128::from(share.bytes_per_second.map_or(0, NonZeroU64::get));
            let requests_of = |share: Limit| share.requests.unwrap_or(0);
            prop_assert_eq!(bytes_of(own) + bytes_of(listener) * u128::from(listeners), u128::from(bytes));
            prop_assert_eq!(requests_of(own) + requests_of(listener) * listeners as usize, most);
            for share in [own, listener] {
                prop_assert!(bytes_of(share) > 0 && requests_of(share) > 0, "{:?}", share);
            }
        }
    }
}
